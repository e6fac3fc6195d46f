"""Registry clients of others agree with `sealift load` and `sealift serve`: crane, oras, regctl, cosign, run for real.

Skipped where they are not built (`make peers`). Each test runs twice: against Debian's docker-registry after a load,
which has no referrers API, and against `sealift serve`, which has one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bundler.digest import Digest, parse_digest, sha256_of
from bundler.evidence.envelope import IN_TOTO
from bundler.oci.annotations import REF_NAME, format_fallback_tag
from bundler.oci.manifest import EMPTY_CONFIG
from tests.cli.session import call
from tests.simulators.deliveries import keyless_policy
from tests.simulators.evidence_image import ISSUER, REPOSITORY, EvidenceImage, evidence_image
from tests.simulators.images import layer
from tests.simulators.peers import Peer
from tests.simulators.real_registry import real_registry
from tests.simulators.serving import serving
from tests.simulators.sigstore import Sigstore
from tests.simulators.station import Station

NAME = f"{REPOSITORY}:1"
KEYED = "registry.example.org/team/keyed:1"
REAL = "ghcr.io/slsa-framework/example-package"
VERSIONS = ("v1.4.0", "v1.10.0")
WORKFLOW = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml"
SLSA_V02 = "https://slsa.dev/provenance/v0.2"
FILE, SPDX_JSON, SBOM = "app.spdx.json", "application/spdx+json", b'{"spdxVersion":"SPDX-2.3"}'
PLACES = ("loaded", "served")
KEYED_RULE = """format = 1
[[rule]]
images = ["registry.example.org/team/keyed:*"]
[[rule.signature]]
key = '''{key}'''
"""


@dataclass(frozen=True)
class Scene:
    """Where the images of one bundle are: host and path, by the kind of place."""

    folder: Path
    at: dict[str, str]


def carry(folder: Path, trusted_roots: dict[str, bytes], policy: str, *sources: str | Path) -> Iterator[Scene]:
    """Export, load into a registry, serve."""
    station = Station(folder / "station", trusted_roots)
    exported = station.export(*sources)
    assert exported.code == 0, exported
    file = folder / "policy.toml"
    file.write_text(policy)
    words = (station.bundle, "--policy", file, "--state", station.state, "--quiet")
    with ExitStack() as running:
        registry = running.enter_context(real_registry(folder / "registry"))
        loaded = call("load", *words, "--to", f"{registry.host}/plant", "--tls-verify=false")
        assert loaded.code == 0, loaded
        served = running.enter_context(serving(*words))
        yield Scene(folder, {"loaded": f"{registry.host}/plant", "served": served.address})


def keyed_image(sigstore: Sigstore) -> EvidenceImage:
    """Signed with a key, in a log all the same; with an SBOM that has a file name."""
    made = EvidenceImage(sigstore, sigstore.key_signer())
    made.top = made.amd64 = made.layout.image("linux/amd64", [layer(b"keyed", seed=3, packed="gzip")])
    made.layout.name(made.top, KEYED)
    made.sign(made.top)
    made.attest(made.top)
    config = made.layout.blob(b"{}", EMPTY_CONFIG)
    file = replace(made.layout.blob(SBOM, SPDX_JSON), annotations={"org.opencontainers.image.title": FILE})
    sbom = made.layout.manifest(config, [file], artifact_type=SPDX_JSON, subject=made.top)
    made.list(made.top, made.layout.name(sbom))
    return made


MADE = evidence_image()
MADE_KEYED = keyed_image(MADE.sigstore)


def real_settings(folder: Path, images: Path) -> tuple[str, Path]:
    """A settings file for images that others built and signed."""
    path = folder / "sealift.toml"
    lines = [
        f'[[image]]\nsource = "oci:{images}/slsa-generator-{version}"\nname = "{REAL}:{version}"\n'
        for version in VERSIONS
    ]
    path.write_text("".join(lines))
    return "-f", path


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("real")
    root = (shared / "real/trust/trusted_root.public-good.json").read_bytes()
    (folder / "trusted_root.json").write_bytes(root)
    rules = [
        keyless_policy(f"{REAL}:{version}", f"{WORKFLOW}@refs/tags/{version}", ISSUER, predicate_type=SLSA_V02)
        for version in VERSIONS
    ]
    policy = "\n".join([rules[0], *(rule.removeprefix("format = 1") for rule in rules[1:])])
    settings = real_settings(folder, shared / "real/images")
    yield from carry(folder, {"public-good": root}, policy, *settings)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("ours")
    (folder / "trusted_root.json").write_bytes(MADE.sigstore.trusted_root_json())
    (folder / "keyed.pub").write_text(MADE_KEYED.signer.public_pem)
    policy = KEYED_RULE.format(key=MADE_KEYED.signer.public_pem) + MADE.policy().removeprefix("format = 1\n")
    sources = [
        f"oci:{made.layout.write(folder / name)}:{reference}"
        for made, name, reference in ((MADE, "app", NAME), (MADE_KEYED, "keyed", KEYED))
    ]
    yield from carry(folder, {"demo": MADE.sigstore.trusted_root_json()}, policy, *sources)


@pytest.fixture(params=PLACES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app(ours: Scene, kind: str) -> str:
    """The repository with every form of evidence."""
    return f"{ours.at[kind]}/team/app"


@pytest.fixture
def keyed(ours: Scene, kind: str) -> str:
    """The repository with the image that a key signed."""
    return f"{ours.at[kind]}/team/keyed"


@pytest.fixture
def example(real: Scene, kind: str) -> str:
    """The repository with images that others built and signed."""
    return f"{real.at[kind]}/slsa-framework/example-package"


def host(reference: str) -> str:
    return reference.partition("/")[0]


def manifests(made: EvidenceImage) -> list[tuple[Digest, bytes]]:
    """All that travels as a manifest: the image's, its children's, the evidence's."""
    raws = [(digest, made.layout.read(digest)) for digest in made.carried]
    return [(digest, raw) for digest, raw in raws if b'"schemaVersion"' in raw[:200]]


def tags(made: EvidenceImage, kind: str) -> set[str]:
    """Those of the image and its evidence. Only a registry without a referrers API has need of fallback tags."""
    named = {entry.get("annotations", {}).get(REF_NAME, "").rpartition(":")[2] for entry in made.layout.entries} - {""}
    fallbacks = {format_fallback_tag(digest) for digest in made.listed}
    return named | fallbacks if kind == "loaded" else named - fallbacks


def layout_digests(folder: Path) -> set[Digest]:
    """What a client wrote into a layout; each file hashes to its name."""
    found = set()
    for path in (folder / "blobs" / "sha256").iterdir():
        assert sha256_of(path.read_bytes()).hex == path.name
        found.add(Digest("sha256", path.name))
    return found


def referrers_of(made: EvidenceImage, subject: Digest) -> set[Digest]:
    return {item.digest for item in made.listed.get(subject, [])}


# -- crane ------------------------------------------------------------------------------------------------------------


def test_crane_reads_every_manifest(app: str, tmp_path: Path) -> None:
    crane = Peer("crane", tmp_path)
    assert crane("digest", f"{app}:1").decode().strip() == str(MADE.top.digest)
    for digest, raw in manifests(MADE):
        assert crane("manifest", f"{app}@{digest}") == raw
    assert crane("manifest", f"{app}:1") == MADE.layout.read(MADE.top.digest)
    assert "MANIFEST_UNKNOWN" in crane.fails("manifest", f"{app}:none")


def test_crane_lists(app: str, kind: str, tmp_path: Path) -> None:
    crane = Peer("crane", tmp_path)
    assert set(crane("ls", app).decode().split()) == tags(MADE, kind)
    assert len(crane("catalog", host(app)).split()) == 2


def test_crane_pulls(app: str, tmp_path: Path) -> None:
    Peer("crane", tmp_path)("pull", "--format", "oci", f"{app}:1", tmp_path / "pulled")
    found = layout_digests(tmp_path / "pulled")
    assert {MADE.top.digest, MADE.amd64.digest, MADE.arm64.digest} <= found <= MADE.carried


@pytest.mark.parametrize("version", VERSIONS)
def test_crane_validates_real_images(example: str, version: str, tmp_path: Path) -> None:
    """Every layer is fetched, unpacked and compared with its config. (BuildKit's attestations are no layers to it.)"""
    crane = Peer("crane", tmp_path)
    crane("validate", "--remote", f"{example}:{version}", "--platform", "linux/amd64")
    crane("export", f"{example}:{version}", tmp_path / "files.tar")
    assert (tmp_path / "files.tar").stat().st_size > 1_000_000


def test_crane_copies_between_them(ours: Scene, tmp_path: Path) -> None:
    """From the one into the other's registry; serve takes nothing."""
    crane = Peer("crane", tmp_path)
    registry, served = host(ours.at["loaded"]), ours.at["served"]
    crane("copy", f"{served}/team/app:1", f"{registry}/copies/crane:1")
    assert crane("digest", f"{registry}/copies/crane:1").decode().strip() == str(MADE.top.digest)
    assert "UNSUPPORTED" in crane.fails("copy", f"{registry}/plant/team/app:1", f"{served}/copies/crane:1")


# -- oras -------------------------------------------------------------------------------------------------------------


def discovered(node: dict[str, Any]) -> dict[str, set[str]]:
    """What `oras discover` found about each subject."""
    below = [discovered(item) for item in node.get("referrers", [])]
    found = {node["digest"]: {item["digest"] for item in node.get("referrers", [])}}
    return {digest: names for part in [found, *below] for digest, names in part.items()}


def test_oras_discovers_referrers_and_theirs(app: str, tmp_path: Path) -> None:
    oras = Peer("oras", tmp_path)
    for subject in (MADE.top, MADE.amd64, MADE.arm64):
        reference = f"{app}@{subject.digest}"
        found = discovered(json.loads(oras("discover", "--plain-http", "--format", "json", reference)))
        assert found.pop(str(subject.digest))
        expected = {digest: set(map(str, referrers_of(MADE, parse_digest(digest)))) for digest in found}
        assert found == expected
    top = discovered(json.loads(oras("discover", "--plain-http", "--format", "json", f"{app}:1")))
    assert top[str(MADE.top.digest)] == set(map(str, referrers_of(MADE, MADE.top.digest)))
    only = ["discover", "--plain-http", "--format", "json", "--artifact-type", IN_TOTO, f"{app}:1"]
    (one,) = json.loads(oras(*only))["referrers"]
    assert one["artifactType"] == IN_TOTO


def test_oras_copies_everything_but_what_only_cosign_knows(app: str, tmp_path: Path) -> None:
    oras = Peer("oras", tmp_path)
    oras("cp", "-r", "--from-plain-http", f"{app}:1", "--to-oci-layout", f"{tmp_path / 'copy'}:1")
    found = layout_digests(tmp_path / "copy")
    below = {item.digest for listed in MADE.listed.values() for item in listed}
    assert {MADE.top.digest, MADE.amd64.digest, MADE.arm64.digest} | below <= found <= MADE.carried


def test_oras_pulls_a_file(keyed: str, tmp_path: Path) -> None:
    oras = Peer("oras", tmp_path)
    (referrer,) = referrers_of(MADE_KEYED, MADE_KEYED.top.digest)
    oras("pull", "--plain-http", f"{keyed}@{referrer}", "--output", tmp_path / "pulled")
    assert (tmp_path / "pulled" / FILE).read_bytes() == SBOM
    digest = sha256_of(SBOM)
    oras("blob", "fetch", "--plain-http", f"{keyed}@{digest}", "--output", tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == SBOM


def test_oras_lists_tags(app: str, kind: str, tmp_path: Path) -> None:
    oras = Peer("oras", tmp_path)
    assert set(oras("repo", "tags", "--plain-http", app).decode().split()) == tags(MADE, kind)


# -- regctl -----------------------------------------------------------------------------------------------------------


def plain(reference: str) -> tuple[str, str]:
    return "--host", f"reg={host(reference)},tls=disabled"


def test_regctl_reads_and_lists(app: str, kind: str, tmp_path: Path) -> None:
    regctl = Peer("regctl", tmp_path)
    raw = regctl("manifest", "get", *plain(app), "--format", "raw-body", f"{app}:1")
    assert raw == MADE.layout.read(MADE.top.digest)
    assert set(regctl("tag", "ls", *plain(app), app).decode().split()) == tags(MADE, kind)
    listed = json.loads(regctl("artifact", "list", *plain(app), "--format", "{{json .}}", f"{app}:1"))
    assert {item["digest"] for item in listed["descriptors"]} == set(map(str, referrers_of(MADE, MADE.top.digest)))


def test_regctl_copies_every_form_of_evidence(app: str, tmp_path: Path) -> None:
    """Its digest tags are cosign's: nothing is left behind. On top come fallback indexes of its own."""
    words = ["--referrers", "--digest-tags", "--force-recursive"]
    copy = tmp_path / "copy"
    Peer("regctl", tmp_path)("image", "copy", *plain(app), *words, f"{app}:1", f"ocidir://{copy}:1")
    found = layout_digests(copy)
    assert found >= MADE.carried
    for digest in found - MADE.carried:
        index = json.loads((copy / "blobs" / "sha256" / digest.hex).read_bytes())
        assert {parse_digest(item["digest"]) for item in index["manifests"]} <= MADE.carried


def test_regctl_gets_an_artifact_by_its_subject(keyed: str, tmp_path: Path) -> None:
    words = ["--subject", f"{keyed}:1", "--filter-artifact-type", SPDX_JSON]
    assert Peer("regctl", tmp_path)("artifact", "get", *plain(keyed), *words) == SBOM


@pytest.mark.parametrize("version", VERSIONS)
def test_regctl_copies_real_images(example: str, version: str, shared: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    words = ["--referrers", "--digest-tags", f"{example}:{version}", f"ocidir://{target}:1"]
    Peer("regctl", tmp_path)("image", "copy", *plain(example), *words)
    source = shared / f"real/images/slsa-generator-{version}"
    named = {entry["digest"] for entry in json.loads((source / "index.json").read_bytes())["manifests"]}
    assert set(map(parse_digest, named)) <= layout_digests(target) <= layout_digests(source)
