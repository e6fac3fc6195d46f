"""The real signed images, exported and verified through the production rooms, with every way they can be wrong."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bundler.digest import sha256_of
from bundler.verify.result import Report
from tests.simulators.deliveries import Exporter, LayoutSource, keyless_policy, make_site, verify
from tests.simulators.tuf_repository import TufRepository

ISSUER = "https://token.actions.githubusercontent.com"
WORKFLOW = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml"
PROVENANCE = "https://slsa.dev/provenance/v0.2"
NAME = "ghcr.io/slsa-framework/example-package:{}"
VERSIONS = ("v1.4.0", "v1.10.0")


def policy(version: str, *, issuer: str = ISSUER, identity: str = WORKFLOW) -> str:
    return keyless_policy(
        "ghcr.io/slsa-framework/*", f"{identity}@refs/tags/{version}", issuer, predicate_type=PROVENANCE
    )


class World:
    """An exporter with the public-good trusted root as target, and a site that pinned its root."""

    def __init__(self, shared: Path, folder: Path) -> None:
        self.shared = shared
        self.folder = folder
        trusted_root = (shared / "real/trust/trusted_root.public-good.json").read_bytes()
        self.repository = TufRepository("main", targets={"trusted_root/public-good.json": trusted_root})
        self.exporter = Exporter(self.repository, folder)
        self.state = make_site(folder / "state", self.repository.pin)

    def layout(self, version: str) -> Path:
        return self.shared / "real/images" / f"slsa-generator-{version}"

    def report(self, layout: Path, version: str, text: str | None) -> Report:
        bundle = self.exporter.deliver(LayoutSource("oci", layout, NAME.format(version)))
        return verify(bundle, self.state, text).report


@pytest.fixture
def world(shared: Path, tmp_path: Path) -> World:
    return World(shared, tmp_path)


SOURCE = "github.com/slsa-framework/example-package"
HOLDS: list[dict[str, str]] = [
    {"source": SOURCE, "source_branch": "main"},
    {"source": f"https://{SOURCE}", "source_branch_regexp": "^main$"},
    {"builder_regexp": f"^{re.escape(WORKFLOW)}@refs/tags/v1[.][0-9.]+$", "source": SOURCE},
]
HOLDS_NOT: list[dict[str, str]] = [
    {"source": SOURCE, "source_branch": "master"},
    {"source": "github.com/slsa-framework/example-package2"},
    {"source": "github.com/kubernetes/kubernetes"},
    {"builder": WORKFLOW.replace("container", "generic")},
]
# Of each image: its tag's words, as far as it has one.
TAGGED = {
    "v1.4.0": ([], [{"source_tag": "v13.0.30"}, {"source_versioned_tag": "v13"}]),
    "v1.10.0": (
        [{"source_tag": "v13.0.30"}, *({"source_versioned_tag": tag} for tag in ("v13", "v13.0", "v13.0.30"))],
        [{"source_tag": "v13.0.3"}, *({"source_versioned_tag": tag} for tag in ("v1", "v14", "v13.1", "v13.0.29"))],
    ),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_slsa_verifiers_options_ask_of_provenance(world: World, version: str) -> None:
    bundle = world.exporter.deliver(LayoutSource("oci", world.layout(version), NAME.format(version)))
    tag_holds, tag_holds_not = TAGGED[version]
    for rules, code in ((HOLDS + tag_holds, 0), (HOLDS_NOT + tag_holds_not, 1)):
        for rule in rules:
            table = "\n".join(f"{name} = '{value}'" for name, value in rule.items())
            demands = policy(version).replace("[[rule.att", f"[rule.provenance]\n{table}\n[[rule.att", 1)
            report = verify(bundle, world.state, demands).report
            wanted = "" if code == 0 else "provenance-builder" if "builder" in rule else "provenance-source"
            assert (report.exit_code, report.reason) == (code, wanted), rule


@pytest.mark.parametrize("version", VERSIONS)
def test_verifies_with_the_workflow_that_signed_it(world: World, version: str) -> None:
    report = world.report(world.layout(version), version, policy(version))
    assert (report.exit_code, report.reason) == (0, "")
    (image,) = report.images
    signed = [fact for fact in image.evidence if fact.kind == "attestation"]
    assert [fact.strength for fact in signed] == ["signed, inclusion promise"]
    assert signed[0].signer == f"{WORKFLOW}@refs/tags/{version}"
    assert signed[0].log == "https://rekor.sigstore.dev"
    assert signed[0].demanded


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"issuer": "https://accounts.example.org"}, "issuer-mismatch"),
        ({"identity": WORKFLOW.replace("container", "generic")}, "identity-mismatch"),
    ],
)
def test_another_signer_is_untrusted(world: World, version: str, change: dict[str, str], reason: str) -> None:
    report = world.report(world.layout(version), version, policy(version, **change))
    assert (report.exit_code, report.reason) == (1, reason)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("log", "reason"), [("promise", ""), ("proof", "log-strength"), ("witnessed", "log-strength")])
def test_a_stronger_log_entry_can_be_demanded(world: World, version: str, log: str, reason: str) -> None:
    report = world.report(world.layout(version), version, f'{policy(version)}\nlog = "{log}"')
    assert report.reason == reason


def test_no_policy_is_rejected(world: World) -> None:
    report = world.report(world.layout("v1.4.0"), "v1.4.0", None)
    assert (report.exit_code, report.reason) == (1, "no-policy")


def test_buildkit_statements_are_listed_as_unsigned(world: World) -> None:
    layout = world.shared / "real/images/buildkit-two-platforms"
    text = 'format = 1\n[[rule]]\nimages = ["docker.io/library/test-image"]\nrequire = ["sbom", "provenance"]'
    bundle = world.exporter.deliver(LayoutSource("oci", layout, "docker.io/library/test-image:test"))
    report = verify(bundle, world.state, text).report
    assert (report.exit_code, report.reason) == (1, "sbom-unsigned")
    (image,) = report.images
    assert [platform for platform, _ in image.platforms] == ["linux/amd64", "linux/arm64"]
    facts = [(fact.platform, fact.predicate_type, fact.strength) for fact in image.evidence]
    unsigned = "unsigned, no covering signature"
    assert facts == [
        (platform, kind, unsigned)
        for platform in ("linux/amd64", "linux/arm64")
        for kind in ("https://spdx.dev/Document", PROVENANCE)
    ]
    allowed = verify(bundle, world.state, text + "\nallow_unsigned = true").report
    assert allowed.exit_code == 0
    assert any("allow_unsigned" in line for line in allowed.weakened)
    assert report.bundle is not None
    assert report.bundle.blobs == len(list((layout / "blobs/sha256").iterdir())) - 21


# -- what is wrong with the evidence itself ---------------------------------------------------------------------------


def rewrite(source: Path, target: Path, change: Callable[[dict[str, Any]], bool]) -> Path:
    """A copy of a cosign-saved layout whose `.att` manifest was changed; `change` gives False to drop it."""
    (target / "blobs/sha256").mkdir(parents=True)
    for path in (source / "blobs/sha256").iterdir():
        (target / "blobs/sha256" / path.name).write_bytes(path.read_bytes())
    (target / "oci-layout").write_bytes((source / "oci-layout").read_bytes())
    index = json.loads((source / "index.json").read_bytes())
    entry = next(item for item in index["manifests"] if item["annotations"]["kind"].endswith("/atts"))
    manifest = json.loads((source / "blobs/sha256" / entry["digest"][7:]).read_bytes())
    if change(manifest):
        raw = json.dumps(manifest).encode()
        digest = sha256_of(raw)
        (target / "blobs/sha256" / digest.hex).write_bytes(raw)
        entry |= {"digest": str(digest), "size": len(raw)}
    else:
        index["manifests"].remove(entry)
    (target / "index.json").write_text(json.dumps(index))
    return target


def notes(manifest: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = manifest["layers"][0]["annotations"]
    return found


def without(name: str) -> Callable[[dict[str, Any]], bool]:
    def change(manifest: dict[str, Any]) -> bool:
        del notes(manifest)[name]
        return True

    return change


def promise(edit: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], bool]:
    def change(manifest: dict[str, Any]) -> bool:
        bundle = json.loads(notes(manifest)["dev.sigstore.cosign/bundle"])
        edit(bundle)
        notes(manifest)["dev.sigstore.cosign/bundle"] = json.dumps(bundle)
        return True

    return change


def flipped_promise(bundle: dict[str, Any]) -> None:
    raw = bytearray(base64.b64decode(bundle["SignedEntryTimestamp"]))
    raw[-1] ^= 1
    bundle["SignedEntryTimestamp"] = base64.b64encode(raw).decode()


def later(bundle: dict[str, Any]) -> None:
    bundle["Payload"]["integratedTime"] += 1


def other_index(bundle: dict[str, Any]) -> None:
    bundle["Payload"]["logIndex"] += 1


def flipped_certificate(manifest: dict[str, Any]) -> bool:
    lines = notes(manifest)["dev.sigstore.cosign/certificate"].splitlines(keepends=True)
    der = bytearray(base64.b64decode("".join(lines[1:-1])))
    der[-1] ^= 1
    text = base64.b64encode(der).decode()
    body = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    notes(manifest)["dev.sigstore.cosign/certificate"] = f"{lines[0]}{body}\n{lines[-1]}"
    return True


ALTERED = {
    "att-removed": (lambda _: False, "attestation-missing"),
    "promise-removed": (without("dev.sigstore.cosign/bundle"), "no-signed-time"),
    "certificate-removed": (without("dev.sigstore.cosign/certificate"), "key-material"),
    "certificate-altered": (flipped_certificate, "cert-chain"),
    "promise-altered": (promise(flipped_promise), "set"),
    "promise-time": (promise(later), "set"),
    "promise-index": (promise(other_index), "set"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ALTERED)
def test_altered_evidence_is_rejected(world: World, version: str, name: str) -> None:
    change, reason = ALTERED[name]
    layout = rewrite(world.layout(version), world.folder / "altered", change)
    report = world.report(layout, version, policy(version))
    assert (report.exit_code, report.reason) == (1, reason)


def test_another_images_attestation_is_rejected(world: World) -> None:
    donor = world.layout("v1.4.0")
    stolen = next(
        item for item in json.loads((donor / "index.json").read_bytes())["manifests"]
        if item["annotations"]["kind"].endswith("/atts")
    )  # fmt: skip

    def graft(manifest: dict[str, Any]) -> bool:
        manifest.clear()
        manifest.update(json.loads((donor / "blobs/sha256" / stolen["digest"][7:]).read_bytes()))
        return True

    layout = rewrite(world.layout("v1.10.0"), world.folder / "grafted", graft)
    for path in (donor / "blobs/sha256").iterdir():
        (layout / "blobs/sha256" / path.name).write_bytes(path.read_bytes())
    text = policy("v1.10.0").replace("v1.10.0", "v1.4.0")
    report = world.report(layout, "v1.10.0", text)
    assert (report.exit_code, report.reason) == (1, "subject-mismatch")


def test_promise_of_another_entry_is_rejected(world: World) -> None:
    """CVE-2022-23649: a valid promise grafted from another image binds nothing here."""
    donor = world.layout("v1.4.0")
    entry = next(
        item for item in json.loads((donor / "index.json").read_bytes())["manifests"]
        if item["annotations"]["kind"].endswith("/atts")
    )  # fmt: skip
    other = json.loads((donor / "blobs/sha256" / entry["digest"][7:]).read_bytes())

    def graft(manifest: dict[str, Any]) -> bool:
        notes(manifest)["dev.sigstore.cosign/bundle"] = notes(other)["dev.sigstore.cosign/bundle"]
        return True

    layout = rewrite(world.layout("v1.10.0"), world.folder / "grafted", graft)
    report = world.report(layout, "v1.10.0", policy("v1.10.0"))
    assert report.exit_code == 1
    assert report.reason in ("cert-expired", "tlog-binding")
