"""Registry clients of others agree with `sealift load` and `sealift serve`: crane, oras, regctl, cosign, run for real.

Skipped where they are not built (`make peers`). Each test runs twice: against Debian's docker-registry after a load,
which has no referrers API, and against `sealift serve`, which has one.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bundler.digest import Digest, parse_digest, sha256_of
from bundler.evidence.envelope import IN_TOTO
from bundler.oci.annotations import REF_NAME, format_evidence_tag, format_fallback_tag
from bundler.oci.manifest import EMPTY_CONFIG
from tests.cli.session import call
from tests.simulators.deliveries import keyless_policy
from tests.simulators.evidence_image import IDENTITY, ISSUER, REPOSITORY, EvidenceImage, evidence_image
from tests.simulators.images import SLSA, layer
from tests.simulators.peers import Peer, cosign_material, is_any_built
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
ROOT = "trusted_root.json"
FILE, SPDX_JSON, SBOM = "app.spdx.json", "application/spdx+json", b'{"spdxVersion":"SPDX-2.3"}'
PLACES = ("loaded", "served")
KEYED_RULE = """format = 1
[[rule]]
images = ["registry.example.org/team/keyed:*"]
[[rule.signature]]
key = '''{key}'''
"""


pytestmark = pytest.mark.skipif(
    not is_any_built(), reason="no peers are built; `make peers` does that where Go is installed"
)


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


@pytest.fixture(scope="module")
def made() -> EvidenceImage:
    """What lies in `app`."""
    return evidence_image()


@pytest.fixture(scope="module")
def made_keyed(made: EvidenceImage) -> EvidenceImage:
    """What lies in `keyed`."""
    return keyed_image(made.sigstore)


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
    (folder / ROOT).write_bytes(root)
    rules = [
        keyless_policy(f"{REAL}:{version}", f"{WORKFLOW}@refs/tags/{version}", ISSUER, predicate_type=SLSA_V02)
        for version in VERSIONS
    ]
    policy = "\n".join([rules[0], *(rule.removeprefix("format = 1") for rule in rules[1:])])
    settings = real_settings(folder, shared / "real/images")
    yield from carry(folder, {"public-good": root}, policy, *settings)


@pytest.fixture(scope="module")
def ours(made_keyed: EvidenceImage, made: EvidenceImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("ours")
    (folder / ROOT).write_bytes(made.sigstore.trusted_root_json())
    (folder / "keyed.pub").write_text(made_keyed.signer.public_pem)
    policy = KEYED_RULE.format(key=made_keyed.signer.public_pem) + made.policy().removeprefix("format = 1\n")
    sources = [
        f"oci:{image.layout.write(folder / name)}:{reference}"
        for image, name, reference in ((made, "app", NAME), (made_keyed, "keyed", KEYED))
    ]
    yield from carry(folder, {"demo": made.sigstore.trusted_root_json()}, policy, *sources)


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


def test_crane_reads_every_manifest(made: EvidenceImage, app: str, tmp_path: Path) -> None:
    crane = Peer("crane", tmp_path)
    assert crane("digest", f"{app}:1").decode().strip() == str(made.top.digest)
    for digest, raw in manifests(made):
        assert crane("manifest", f"{app}@{digest}") == raw
    assert crane("manifest", f"{app}:1") == made.layout.read(made.top.digest)
    assert "MANIFEST_UNKNOWN" in crane.fails("manifest", f"{app}:none")


def test_crane_lists(made: EvidenceImage, app: str, kind: str, tmp_path: Path) -> None:
    crane = Peer("crane", tmp_path)
    assert set(crane("ls", app).decode().split()) == tags(made, kind)
    assert len(crane("catalog", host(app)).split()) == 2


def test_crane_pulls(made: EvidenceImage, app: str, tmp_path: Path) -> None:
    Peer("crane", tmp_path)("pull", "--format", "oci", f"{app}:1", tmp_path / "pulled")
    found = layout_digests(tmp_path / "pulled")
    assert {made.top.digest, made.amd64.digest, made.arm64.digest} <= found <= made.carried


@pytest.mark.parametrize("version", VERSIONS)
def test_crane_validates_real_images(example: str, version: str, shared: Path, tmp_path: Path) -> None:
    """Every layer is fetched, unpacked and compared with its config. (BuildKit's attestations are no layers to it.)"""
    crane = Peer("crane", tmp_path)
    layout = shared / f"real/images/slsa-generator-{version}"
    top, evidence = (
        parse_digest(item["digest"]) for item in json.loads((layout / "index.json").read_bytes())["manifests"]
    )
    for name, digest in ((version, top), (format_evidence_tag(top, "att"), evidence)):
        assert crane("manifest", f"{example}:{name}") == (layout / "blobs" / "sha256" / digest.hex).read_bytes()
        assert crane("digest", f"{example}:{name}").decode().strip() == str(digest)
        assert name in crane("ls", example).decode().split()
    crane("validate", "--remote", f"{example}:{version}", "--platform", "linux/amd64")
    crane("export", f"{example}:{version}", tmp_path / "files.tar")
    assert (tmp_path / "files.tar").stat().st_size > 1_000_000


def test_crane_copies_between_them(made: EvidenceImage, ours: Scene, tmp_path: Path) -> None:
    """From the one into the other's registry; serve takes nothing."""
    crane = Peer("crane", tmp_path)
    registry, served = host(ours.at["loaded"]), ours.at["served"]
    crane("copy", f"{served}/team/app:1", f"{registry}/copies/crane:1")
    assert crane("digest", f"{registry}/copies/crane:1").decode().strip() == str(made.top.digest)
    assert "UNSUPPORTED" in crane.fails("copy", f"{registry}/plant/team/app:1", f"{served}/copies/crane:1")


# -- oras -------------------------------------------------------------------------------------------------------------


def discovered(node: dict[str, Any]) -> dict[str, set[str]]:
    """What `oras discover` found about each subject."""
    below = [discovered(item) for item in node.get("referrers", [])]
    found = {node["digest"]: {item["digest"] for item in node.get("referrers", [])}}
    return {digest: names for part in [found, *below] for digest, names in part.items()}


def test_oras_discovers_referrers_and_theirs(made: EvidenceImage, app: str, tmp_path: Path) -> None:
    oras = Peer("oras", tmp_path)
    for subject in (made.top, made.amd64, made.arm64):
        reference = f"{app}@{subject.digest}"
        found = discovered(json.loads(oras("discover", "--plain-http", "--format", "json", reference)))
        assert found.pop(str(subject.digest))
        expected = {digest: set(map(str, referrers_of(made, parse_digest(digest)))) for digest in found}
        assert found == expected
    top = discovered(json.loads(oras("discover", "--plain-http", "--format", "json", f"{app}:1")))
    assert top[str(made.top.digest)] == set(map(str, referrers_of(made, made.top.digest)))
    only = ["discover", "--plain-http", "--format", "json", "--artifact-type", IN_TOTO, f"{app}:1"]
    (one,) = json.loads(oras(*only))["referrers"]
    assert one["artifactType"] == IN_TOTO


def test_oras_copies_everything_but_what_only_cosign_knows(made: EvidenceImage, app: str, tmp_path: Path) -> None:
    oras = Peer("oras", tmp_path)
    oras("cp", "-r", "--from-plain-http", f"{app}:1", "--to-oci-layout", f"{tmp_path / 'copy'}:1")
    found = layout_digests(tmp_path / "copy")
    below = {item.digest for listed in made.listed.values() for item in listed}
    assert {made.top.digest, made.amd64.digest, made.arm64.digest} | below <= found <= made.carried


def test_oras_pulls_a_file(made_keyed: EvidenceImage, keyed: str, tmp_path: Path) -> None:
    oras = Peer("oras", tmp_path)
    (referrer,) = referrers_of(made_keyed, made_keyed.top.digest)
    oras("pull", "--plain-http", f"{keyed}@{referrer}", "--output", tmp_path / "pulled")
    assert (tmp_path / "pulled" / FILE).read_bytes() == SBOM
    digest = sha256_of(SBOM)
    oras("blob", "fetch", "--plain-http", f"{keyed}@{digest}", "--output", tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == SBOM


def test_oras_lists_tags(made: EvidenceImage, app: str, kind: str, tmp_path: Path) -> None:
    oras = Peer("oras", tmp_path)
    assert set(oras("repo", "tags", "--plain-http", app).decode().split()) == tags(made, kind)


# -- regctl -----------------------------------------------------------------------------------------------------------


def plain(reference: str) -> tuple[str, str]:
    return "--host", f"reg={host(reference)},tls=disabled"


def test_regctl_reads_and_lists(made: EvidenceImage, app: str, kind: str, tmp_path: Path) -> None:
    regctl = Peer("regctl", tmp_path)
    raw = regctl("manifest", "get", *plain(app), "--format", "raw-body", f"{app}:1")
    assert raw == made.layout.read(made.top.digest)
    assert set(regctl("tag", "ls", *plain(app), app).decode().split()) == tags(made, kind)
    listed = json.loads(regctl("artifact", "list", *plain(app), "--format", "{{json .}}", f"{app}:1"))
    assert {item["digest"] for item in listed["descriptors"]} == set(map(str, referrers_of(made, made.top.digest)))


def test_regctl_copies_every_form_of_evidence(made: EvidenceImage, app: str, tmp_path: Path) -> None:
    """Its digest tags are cosign's: nothing is left behind. On top come fallback indexes of its own."""
    words = ["--referrers", "--digest-tags", "--force-recursive"]
    copy = tmp_path / "copy"
    Peer("regctl", tmp_path)("image", "copy", *plain(app), *words, f"{app}:1", f"ocidir://{copy}:1")
    found = layout_digests(copy)
    assert found >= made.carried
    for digest in found - made.carried:
        index = json.loads((copy / "blobs" / "sha256" / digest.hex).read_bytes())
        assert {parse_digest(item["digest"]) for item in index["manifests"]} <= made.carried


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


# -- cosign -----------------------------------------------------------------------------------------------------------


OTHER_SIGNER = re.compile("none of the expected identities matched|no matching CertificateIdentity found")


def by(identity: str) -> list[str]:
    return ["--allow-http-registry", "--certificate-identity", identity, "--certificate-oidc-issuer", ISSUER]


def predicates(out: bytes) -> set[str]:
    """The types of the statements that cosign prints, one envelope a line."""
    envelopes = [json.loads(line) for line in out.splitlines()]
    return {json.loads(base64.b64decode(item["payload"]))["predicateType"] for item in envelopes}


@pytest.mark.parametrize("form", ["bundle-referrer", "tag"])
def test_cosign_verifies_signatures(made: EvidenceImage, ours: Scene, app: str, form: str, tmp_path: Path) -> None:
    """About the index by a Sigstore bundle among its referrers, about a child by a `.sig` tag."""
    cosign = Peer("cosign", tmp_path)
    subject = made.top if form == "bundle-referrer" else made.arm64
    words = ["verify", "--trusted-root", str(ours.folder / ROOT), f"{app}@{subject.digest}"]
    assert subject.digest.hex.encode() in cosign(*words, *by(IDENTITY))
    assert OTHER_SIGNER.search(cosign.fails(*words, *by(f"{IDENTITY}x")))


def test_cosign_verifies_an_attestation(made: EvidenceImage, ours: Scene, app: str, tmp_path: Path) -> None:
    cosign = Peer("cosign", tmp_path, cosign_material(ours.folder / ROOT, tmp_path))
    words = ["verify-attestation", "--offline", "--type", SLSA, f"{app}@{made.arm64.digest}"]
    assert predicates(cosign(*words, *by(IDENTITY))) == {SLSA}
    assert OTHER_SIGNER.search(cosign.fails(*words, *by(f"{IDENTITY}x")))


def test_cosign_verifies_what_a_key_signed(made: EvidenceImage, ours: Scene, keyed: str, tmp_path: Path) -> None:
    """With the log entry, too: only its key is told to cosign."""
    cosign = Peer("cosign", tmp_path, cosign_material(ours.folder / ROOT, tmp_path))
    (tmp_path / "other.pub").write_text(made.sigstore.key_signer().public_pem)
    for command in (["verify"], ["verify-attestation", "--type", SLSA]):
        words = [*command, "--offline", "--allow-http-registry", f"{keyed}:1", "--key"]
        assert cosign(*words, ours.folder / "keyed.pub")
        assert "comparing public key" in cosign.fails(*words, tmp_path / "other.pub")


@pytest.mark.parametrize("version", VERSIONS)
def test_cosign_verifies_real_images(real: Scene, example: str, version: str, tmp_path: Path) -> None:
    cosign = Peer("cosign", tmp_path, cosign_material(real.folder / ROOT, tmp_path))
    words = ["verify-attestation", "--offline", "--type", SLSA_V02, f"{example}:{version}"]
    assert predicates(cosign(*words, *by(f"{WORKFLOW}@refs/tags/{version}"))) == {SLSA_V02}
    assert OTHER_SIGNER.search(cosign.fails(*words, *by(f"{WORKFLOW}@refs/tags/v0.0.1")))
