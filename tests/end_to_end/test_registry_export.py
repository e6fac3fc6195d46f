"""From a registry to a verified report: what was put in is what comes out, digest by digest, as from a layout."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bundler.archive.inventory import Image
from bundler.digest import Digest
from bundler.oci.manifest import DOCKER_LIST, DOCKER_MANIFEST
from tests.simulators.deliveries import keyless_policy
from tests.simulators.evidence_image import REPOSITORY, EvidenceImage, evidence_image
from tests.simulators.layout_walk import walk_layout
from tests.simulators.real_registry import RealRegistry, find_program, push_layout, push_manifest, real_registry
from tests.simulators.registry import Bearer, Registry
from tests.simulators.station import Station
from tests.simulators.tls import LoopbackAuthority

NAME = f"{REPOSITORY}:1"
PLAIN = ("--tls-verify=false",)
LOGIN = ("exporter", "right")
WORKFLOW = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml"
ISSUER = "https://token.actions.githubusercontent.com"


@pytest.fixture(scope="module", autouse=True)
def skopeo() -> str:
    return find_program("skopeo")


@dataclass(frozen=True)
class Direct:
    """An image with all evidence, and what an export of its layout made of it."""

    made: EvidenceImage
    image: Image
    blobs: dict[Digest, bytes]


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Station:
    image = evidence_image()
    return Station(tmp_path_factory.mktemp("station"), {"demo": image.sigstore.trusted_root_json()})


@pytest.fixture(scope="module", params=["oci", "docker"])
def direct(request: pytest.FixtureRequest, station: Station, tmp_path_factory: pytest.TempPathFactory) -> Direct:
    made = evidence_image(docker=request.param == "docker", seed=10 if request.param == "docker" else 0)
    layout = made.layout.write(tmp_path_factory.mktemp("layout"))
    image = station.exported(f"oci:{layout}:{NAME}", "--compression", "none")
    return Direct(made, image, station.blobs())


@dataclass(frozen=True)
class Served:
    """A registry, and the options with which it is reached."""

    registry: RealRegistry
    options: tuple[str, ...]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Served]]:
    """Debian's registry three times."""
    folder = tmp_path_factory.mktemp("registries")
    authority = LoopbackAuthority(folder / "authority")
    with (
        real_registry(folder / "plain") as plain,
        real_registry(folder / "login", login=LOGIN) as login,
        real_registry(folder / "tls", authority=authority) as tls,
    ):
        certificates = authority.cert_dir(folder / "certs.d")
        yield {
            "plain": Served(plain, PLAIN),
            "login": Served(login, (*PLAIN, "--authfile", str(auth_file(folder / "auth.json", login.host, *LOGIN)))),
            "tls": Served(tls, ("--cert-dir", str(certificates))),
        }


def auth_file(path: Path, host: str, user_name: str, password: str) -> Path:
    known = base64.b64encode(f"{user_name}:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {host: {"auth": known}}}))
    return path


def check_same(station: Station, image: Image, direct: Direct, referrers: str) -> None:
    """The image and all its blobs, as exported from the layout; only where things were found differs."""
    assert set(station.blobs()) == direct.made.carried == set(direct.blobs)
    places = {"layout-referrers": referrers}
    moved = tuple(replace(item, found_by=places.get(item.found_by, item.found_by)) for item in direct.image.evidence)
    assert replace(image, source="", searches=()) == replace(direct.image, source="", searches=(), evidence=moved)
    assert image.source == "docker"
    listed = sorted((item.kind, item.subject.hex, item.digest.hex) for item in image.evidence)
    assert listed == sorted((kind, subject.hex, digest.hex) for kind, subject, digest in direct.made.evidence)
    asked = {(item.subject, item.place): item.answer for item in image.searches}
    before = {(item.subject, item.place): item.answer for item in direct.image.searches}
    assert {place for _, place in asked} == {place for _, place in before} - {"layout-referrers"} | {"referrers"}
    for (subject, place), answer in before.items():
        if place != "layout-referrers":
            assert asked[subject, place] == answer
        elif referrers == "referrers":  # all that the fallback tag lists, and the layout's entries are not all
            assert asked[subject, "referrers"] == before[subject, "fallback-tag"]
        else:
            assert asked[subject, "referrers"] == "absent; no referrers API"


def check_verifies(station: Station, direct: Direct) -> None:
    verified = station.verify(direct.made.policy())
    assert (verified.code, verified.report["reason"]) == (0, ""), verified.report
    assert verified.image["digest"] == str(direct.made.top.digest)
    kinds = [fact["strength"] for fact in verified.image["evidence"]]
    assert "signed, inclusion proof" in kinds
    assert "signed, inclusion promise" in kinds


# -- Debian's registry


@pytest.mark.parametrize("kind", ["plain", "login", "tls"])
def test_a_real_registry_gives_what_was_put_in(
    station: Station, served: dict[str, Served], direct: Direct, kind: str
) -> None:
    place = served[kind]
    push_layout(place.registry, direct.made.layout, "team/app")
    image = station.exported(
        f"{place.registry.host}/team/app:1", "--name", NAME, "--compression", "none",
        "--cache", station.folder / f"cache-{kind}", *place.options,
    )  # fmt: skip
    check_same(station, image, direct, "fallback-tag")
    check_verifies(station, direct)


def test_a_wrong_password(station: Station, served: dict[str, Served], tmp_path: Path) -> None:
    host = served["login"].registry.host
    known = auth_file(tmp_path / "auth.json", host, LOGIN[0], "wrong-and-secret")
    for options in ([*PLAIN, "--authfile", known], [*PLAIN]):
        done = station.export(f"{host}/team/app:1", *options)
        assert done.code == 6
        assert "[registry-auth]" in done.err
        assert f"{host}/team/app" in done.err
        assert "wrong-and-secret" not in done.err
        assert station.left() == []


def test_an_authority_that_nobody_named(station: Station, served: dict[str, Served]) -> None:
    host = served["tls"].registry.host
    done = station.export(f"{host}/team/app:1")
    assert done.code == 6
    assert "[registry-tls]" in done.err
    assert host in done.err
    assert station.left() == []


# -- real images


@pytest.fixture(scope="module")
def public_good(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Station:
    trusted_root = (shared / "real/trust/trusted_root.public-good.json").read_bytes()
    return Station(tmp_path_factory.mktemp("public-good"), {"public-good": trusted_root})


@pytest.mark.parametrize("version", ["v1.4.0", "v1.10.0"])
def test_real_signed_images(shared: Path, public_good: Station, served: dict[str, Served], version: str) -> None:
    layout = shared / "real/images" / f"slsa-generator-{version}"
    name = f"ghcr.io/slsa-framework/example-package:{version}"
    registry = served["plain"].registry
    top = push_layout(registry, layout, "real/app", version)
    attestations = json.loads((layout / "index.json").read_text())["manifests"][1]
    raw = (layout / "blobs/sha256" / attestations["digest"][7:]).read_bytes()
    push_manifest(registry, "real/app", f"sha256-{top.digest.hex}.att", raw, attestations["mediaType"])

    before = public_good.exported(f"oci:{layout}", "--name", name, "--compression", "none")
    blobs = public_good.blobs()
    image = public_good.exported(f"{registry.host}/real/app:{version}", "--name", name, "--compression", "none", *PLAIN)
    assert public_good.blobs() == blobs
    walked = walk_layout(layout)
    assert set(blobs) == set(walked.blobs) | {item.digest for item, _ in walked.manifests}
    places = {"cosign-layout-att": "tag-att"}
    moved = tuple(replace(item, found_by=places.get(item.found_by, item.found_by)) for item in before.evidence)
    assert replace(image, source="oci", searches=()) == replace(before, searches=(), evidence=moved)

    identity = f"{WORKFLOW}@refs/tags/{version}"
    verified = public_good.verify(
        keyless_policy(name, identity, ISSUER, predicate_type="https://slsa.dev/provenance/v0.2")
    )
    assert (verified.code, verified.report["reason"]) == (0, "")
    (signed,) = (fact for fact in verified.image["evidence"] if fact["kind"] == "attestation")
    assert signed["signer"] == identity


# -- the simulator: with the referrers API, without it, page by page, with tokens


@pytest.mark.parametrize("way", ["api", "pages", "none", "token"])
def test_the_simulator_gives_what_was_put_in(station: Station, direct: Direct, tmp_path: Path, way: str) -> None:
    auth = Bearer("exporter", "right") if way == "token" else None
    with Registry(referrers_api=way != "none", page_size=1 if way == "pages" else None, auth=auth) as registry:
        registry.repository("team/app").load(direct.made.layout)
        options = [*PLAIN, "--cache", tmp_path / "cache"]
        if way == "token":
            options += ["--authfile", auth_file(tmp_path / "auth.json", registry.host, "exporter", "right")]
        image = station.exported(
            f"docker://{registry.host}/team/app:1", "--name", NAME, "--compression", "none", *options
        )
        paged = [item for item in registry.asked("GET", "/referrers/") if "last=" in item.target]
    check_same(station, image, direct, "fallback-tag" if way == "none" else "referrers")
    assert bool(paged) == (way == "pages")
    check_verifies(station, direct)


def test_a_platform_is_left_out(station: Station, direct: Direct, tmp_path: Path) -> None:
    """The index keeps its bytes, and its signatures hold; what was left out is listed and not fetched."""
    made = direct.made
    with Registry() as registry:
        registry.repository("team/app").load(made.layout)
        image = station.exported(
            f"{registry.host}/team/app:1", "--platform", "linux/amd64", "--name", NAME, "--compression", "none",
            "--cache", tmp_path / "cache", *PLAIN,
        )  # fmt: skip
        asked = {item.target for item in registry.log}
    blobs = station.blobs()
    assert blobs[made.top.digest] == made.layout.read(made.top.digest)
    assert [child.digest for child in image.platforms] == [made.amd64.digest]
    assert made.arm64.digest in {item.digest for item in image.omitted}
    left_out = {item.digest for item in image.omitted}
    assert not left_out & set(blobs)
    arm64 = json.loads(made.layout.read(made.arm64.digest))
    for part in (arm64["config"], *arm64["layers"]):
        assert not any(part["digest"] in target for target in asked)
    kept = {
        (subject, digest)
        for _, subject, digest in made.evidence
        if subject != made.arm64.digest and not {subject, digest} & left_out
    }
    assert {(item.subject, item.digest) for item in image.evidence} == kept

    verified = station.verify(made.policy("linux/amd64"))
    assert (verified.code, verified.report["reason"]) == (0, "")
    assert str(made.arm64.digest) in {item["digest"] for item in verified.image["omitted"]}
    both = station.verify(made.policy())
    assert (both.code, both.report["reason"]) == (1, "platform-omitted")


def test_one_docker_manifest(station: Station, tmp_path: Path) -> None:
    """Schema 2 by its own digest, without a list over it; as a tag, and as a digest."""
    made = evidence_image(docker=True, seed=20)
    with Registry() as registry:
        store = registry.repository("team/app")
        store.load(made.layout)
        store.tags["amd64"] = made.amd64.digest
        for part in (":amd64", f"@{made.amd64.digest}"):
            image = station.exported(f"{registry.host}/team/app{part}", "--compression", "none", *PLAIN)
            assert (image.digest, image.media_type) == (made.amd64.digest, DOCKER_MANIFEST)
            assert station.blobs()[image.digest] == made.layout.read(image.digest)
            assert [item.kind for item in image.evidence] == ["referrer"]
    assert made.top.media_type == DOCKER_LIST


def test_several_images_that_share_parts(station: Station, tmp_path: Path) -> None:
    """Two registries, one image in both of them; a platform that one leaves out and another brings is not left out."""
    one, other = evidence_image(seed=30), evidence_image(seed=40)
    with Registry() as first, Registry(referrers_api=False) as second:
        first.repository("team/app").load(one.layout)
        second.repository("mirror/app").load(one.layout)
        second.repository("team/tool").load(other.layout)
        settings = tmp_path / "sealift.toml"
        sources = {
            f"{first.host}/team/app:1": 'platforms = ["linux/amd64"]',
            f"docker://{second.host}/mirror/app:1": "",
            f"{second.host}/team/tool@{other.top.digest}": 'require = ["signature", "sbom", "provenance"]',
        }
        settings.write_text("".join(f'[[image]]\nsource = "{name}"\n{more}\n' for name, more in sources.items()))
        done = station.export("-f", settings, "--compression", "none", "--cache", tmp_path / "cache", *PLAIN)
        assert done.code == 0, done.err
        layers = [item for registry in (first, second) for item in registry.asked("GET", "/blobs/")]
    images = station.inventory().images
    assert [image.digest for image in images] == [one.top.digest, one.top.digest, other.top.digest]
    assert [image.omitted for image in images] == [(), (), ()]
    assert set(station.blobs()) == one.carried | other.carried
    digests = [item.target.rpartition("/")[2] for item in layers]
    assert len(digests) == len(set(digests))
    verified = station.verify(one.policy())
    assert verified.code == 0
    assert [image["verdict"] for image in verified.report["images"]] == ["verified"] * 3
