"""One image looked into: strengths, what is absent, what cannot be read, buildx's shapes; real images too."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundler.archive.reader import open_archive
from bundler.deliver import image_document
from bundler.deliver.image_inspection import ImageInspection, choose_image, open_image_inspection
from bundler.deliver.inspection import open_head
from bundler.deliver.raw_predicates import format_raw, raw_strengths
from bundler.deliver.readings import Reading, ReadingKind, read_all
from bundler.digest import sha256_of
from bundler.errors import SealiftError, TrustError, UsageError
from bundler.oci.descriptor import Descriptor, parse_platform
from bundler.oci.manifest import EMPTY_CONFIG
from tests.simulators.deliveries import NOW, Exporter, LayoutSource, make_site, verify
from tests.simulators.images import (
    IN_TOTO,
    SPDX,
    Layout,
    layer,
    provenance_statement,
    sbom_statement,
    statement,
    to_json,
    two_platforms,
)
from tests.simulators.sboms import cyclonedx, spdx2, spdx3
from tests.simulators.sigstore import SignedLayer, Sigstore
from tests.simulators.sigstore_keys import AT
from tests.simulators.tuf_repository import START, TufRepository
from tests.simulators.upstream_scans import attach_file, trivy
from trust_root.delivery import time_basis
from trust_root.reanchor import reanchor
from trust_root.site import load_site

NAME = "registry.example.org/app:1"
REPOSITORY = NAME.partition(":")[0]
IDENTITY, ISSUER = "https://ci.example.org/release@refs/tags/v1", "https://token.example.org"
COVERED, UNSIGNED = "covered by the image signature", "unsigned, no covering signature"
SIGNED = "signed, inclusion promise"
Make = Callable[["World"], None]


class World:
    """An image of two platforms that evidence is added to, then a bundle and a site."""

    def __init__(self, folder: Path, *platforms: str) -> None:
        self.folder = folder
        self.sigstore = Sigstore("inspection")
        self.signer = self.sigstore.keyless(IDENTITY, at=AT, issuer=ISSUER)
        self.layout = Layout()
        names = platforms or ("linux/amd64", "linux/arm64")
        self.children = [
            self.layout.image(name, [layer(name.encode(), seed=place)]) for place, name in enumerate(names)
        ]
        self.attestations: list[Descriptor] = []
        self.top = self.children[0]
        self.bundles: dict[Sequence[str], Path] = {}

    def attest(self, child: int, *statements: bytes) -> None:
        """BuildKit's attestation manifest about one platform."""
        self.attestations.append(self.layout.attestation(self.children[child], statements))

    def finish(self) -> None:
        """Put the index over everything."""
        self.top = self.layout.name(self.layout.index([*self.children, *self.attestations]), NAME)

    def sign(self, subject: Descriptor | None = None) -> None:
        """A keyless image signature, by default on the index."""
        subject = subject or self.top
        signed = self.sigstore.sign(subject.digest, self.signer, reference=REPOSITORY)
        self.tag(subject, "sig", signed)

    def attach(self, kind: str, predicate: object, subject: Descriptor | None = None) -> None:
        """A signed attestation under cosign's tag."""
        subject = subject or self.top
        made = self.sigstore.attest(subject.digest, self.signer, predicate_type=kind, predicate=predicate)
        self.tag(subject, "att", made)

    def tag(self, subject: Descriptor, suffix: str, *layers: SignedLayer) -> Descriptor:
        return self.layout.tag_evidence(self.layout.cosign(layers), subject, suffix, REPOSITORY)

    def refer(self, subject: Descriptor, raw: bytes) -> None:
        """A bare statement as a referrer."""
        config = self.layout.blob(b"{}", EMPTY_CONFIG)
        made = self.layout.manifest(config, [self.layout.blob(raw, IN_TOTO)], artifact_type=IN_TOTO, subject=subject)
        self.layout.name(replace(made, artifact_type=IN_TOTO))

    def bundle(self, *platforms: str) -> Path:
        """Export it, once."""
        if platforms not in self.bundles:
            self.layout.write(self.folder / "layout")
            targets = {"trusted_root/x.json": self.sigstore.trusted_root_json()}
            repository = TufRepository("main", targets=targets)
            kept = tuple(map(parse_platform, platforms))
            source = LayoutSource("oci", self.folder / "layout", NAME, NAME, kept)
            self.bundles[platforms] = Exporter(repository, self.folder).deliver(source, at=START)
            make_site(self.folder / "state", repository.pin)
        return self.bundles[platforms]

    def look(self, act: Callable[[ImageInspection], Any], platform: str | None = None, *kept: str) -> Any:
        """Open the image at the site, and give what `act` makes of it."""
        bundle = self.bundle(*kept)
        site = load_site(self.folder / "state", read_only=True)
        with open_image_inspection(bundle, site, time_basis(NOW, None), None, platform) as inspection:
            return act(inspection)

    def readings(self, kind: ReadingKind, platform: str | None = None) -> tuple[Reading, ...]:
        return self.look(lambda it: read_all(kind, it.judged, it.read_blob), platform)  # type: ignore[no-any-return]

    def failure(self, kind: ReadingKind, platform: str | None = None) -> str:
        """The code with which the command would fail; empty when it would not."""
        error: SealiftError | None = self.look(lambda it: image_document.readings_document(it, kind)[1], platform)
        return error.code if error else ""

    def raw(self, kind: ReadingKind, platform: str | None = None, *kept: str) -> str:
        return self.look(lambda it: format_raw(kind, it.judged, it.platform), platform, *kept)  # type: ignore[no-any-return]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def told(readings: Sequence[Reading]) -> list[tuple[str, str, str, str]]:
    return [(item.platform, item.form, item.strength, item.failure.code if item.failure else "") for item in readings]


# -- how strong -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("signed", "strength"), [("index", COVERED), ("platform", UNSIGNED), ("", UNSIGNED)])
def test_statements_in_an_index(world: World, signed: str, strength: str) -> None:
    world.attest(0, sbom_statement(world.children[0], "openssl"), provenance_statement(world.children[0]))
    world.attest(1, sbom_statement(world.children[1], "musl"))
    world.finish()
    if signed:
        world.sign(world.top if signed == "index" else world.children[0])
    readings = world.readings("sbom")
    assert told(readings) == [(name, "buildkit-attestation", strength, "") for name in ("linux/amd64", "linux/arm64")]
    assert [reading.signers for reading in readings] == [(IDENTITY,) if strength == COVERED else ()] * 2
    assert [[item.name for item in reading.sbom.packages] for reading in readings if reading.sbom] == [
        ["openssl"],
        ["musl"],
    ]
    assert world.failure("sbom") == ""
    assert world.failure("provenance") == "provenance-missing"
    assert world.failure("provenance", "linux/amd64") == ""
    assert told(world.readings("sbom", "linux/arm64")) == told(readings)[1:]


@pytest.mark.parametrize(
    ("kind", "document"), [(SPDX, spdx2()), (SPDX, spdx3()), ("https://cyclonedx.org/bom", cyclonedx())]
)
def test_signed_attestations(world: World, kind: str, document: dict[str, Any]) -> None:
    world.finish()
    world.attach(kind, document)
    (reading,) = world.readings("sbom")
    assert told([reading]) == [("", "cosign-attestation", SIGNED, "")]
    assert (reading.signers, reading.predicate_type) == ((IDENTITY,), kind)
    assert world.failure("sbom") == ""  # about the index, so about every platform
    assert world.failure("sbom", "linux/arm64") == ""


def test_an_attestation_about_one_platform_leaves_the_other_without(world: World) -> None:
    world.finish()
    world.attach(SPDX, spdx2(), world.children[0])
    assert world.failure("sbom") == "sbom-missing"
    document, failure = world.look(lambda it: image_document.readings_document(it, "sbom"))
    assert document["missing"] == ["linux/arm64"]
    assert "linux/arm64" in str(failure)
    assert any("tag-att: absent" in hint for hint in failure.hints)
    assert world.failure("sbom", "linux/amd64") == ""
    assert world.failure("sbom", "linux/arm64") == "sbom-missing"


def test_an_attestation_by_somebody_unknown_is_read_and_not_verified(world: World) -> None:
    world.finish()
    other = Sigstore("other")
    made = other.attest(
        world.top.digest, other.keyless(IDENTITY, at=AT, issuer=ISSUER), predicate_type=SPDX, predicate=spdx2()
    )
    world.tag(world.top, "att", made)
    (reading,) = world.readings("sbom")
    assert reading.strength == "not verified"
    assert reading.code
    assert reading.signers == ()
    assert reading.sbom is not None


def test_bare_statements_in_referrers_are_covered_by_nobody(world: World) -> None:
    world.finish()
    world.sign()
    world.refer(world.top, statement(world.top.digest, SPDX, spdx2()))
    assert told(world.readings("sbom")) == [("", "referrer", UNSIGNED, "")]


@pytest.mark.parametrize("signed", [True, False])
def test_sboms_under_a_tag(world: World, signed: bool) -> None:
    world.finish()
    made = world.tag(world.top, "sbom", SignedLayer(to_json(spdx2()), "text/spdx+json", {}))
    if signed:
        world.sign(made)
    strength = (
        "signed, bound to the image by its tag only" if signed else "unsigned, bound to the image by its tag only"
    )
    assert told(world.readings("sbom")) == [("", "cosign-sbom", strength, "")]
    assert world.failure("provenance") == "provenance-missing"


CYCLONEDX_JSON = "application/vnd.cyclonedx+json"


def attached(world: World, raw: bytes, media_type: str, artifact_type: str) -> Descriptor:
    """A file in a referrer, as `oras attach` puts it there."""
    config = world.layout.blob(b"{}", EMPTY_CONFIG)
    made = world.layout.manifest(
        config, [world.layout.blob(raw, media_type)], artifact_type=artifact_type, subject=world.top
    )
    return world.layout.name(replace(made, artifact_type=artifact_type))


@pytest.mark.parametrize(
    ("make", "media_type", "artifact_type", "found"),
    [
        (cyclonedx, CYCLONEDX_JSON, CYCLONEDX_JSON, "CycloneDX"),
        (spdx2, "application/spdx+json", "application/vnd.example", "SPDX"),
        (spdx3, "application/json", "application/spdx+json", "SPDX"),
    ],
)
def test_files_in_referrers(
    world: World, make: Callable[[], dict[str, Any]], media_type: str, artifact_type: str, found: str
) -> None:
    world.finish()
    world.sign()
    attached(world, to_json(make()), media_type, artifact_type)
    (reading,) = world.readings("sbom")
    assert told([reading]) == [("", "referrer", UNSIGNED, "")]
    assert reading.sbom is not None
    assert reading.sbom.format == found
    assert world.failure("sbom") == ""
    assert world.failure("provenance") == "provenance-missing"


def test_a_signed_referrer(world: World) -> None:
    world.finish()
    world.sign(attached(world, to_json(cyclonedx()), CYCLONEDX_JSON, CYCLONEDX_JSON))
    (reading,) = world.readings("sbom")
    assert (reading.strength, reading.signers) == ("signed, in a referrer of the image", (IDENTITY,))


@pytest.mark.parametrize(
    ("raw", "media_type", "code"),
    [
        (to_json(spdx2()), CYCLONEDX_JSON, "sbom-format"),
        (b"<bom/>", "application/vnd.cyclonedx+xml", "evidence-type"),
        (b"{}", "application/vnd.example+json", "sbom-missing"),
    ],
)
def test_bad_files_in_referrers(world: World, raw: bytes, media_type: str, code: str) -> None:
    world.finish()
    attached(world, raw, media_type, media_type)
    assert world.failure("sbom") == code


# -- failures ---------------------------------------------------------------------------------------------------------


def other_subject(world: World) -> None:
    world.attest(0, sbom_statement(world.children[1]))
    world.attest(1, sbom_statement(world.children[1]))


def empty(world: World) -> None:
    for place, child in enumerate(world.children):
        world.attest(place, statement(child.digest, SPDX, {**spdx2(), "packages": []}))


def unknown_version(world: World) -> None:
    for place, child in enumerate(world.children):
        world.attest(place, statement(child.digest, SPDX, {**spdx2(), "spdxVersion": "SPDX-2.9"}))


def malformed(world: World) -> None:
    for place, child in enumerate(world.children):
        world.attest(place, statement(child.digest, SPDX, {"spdxVersion": "SPDX-2.3"}))


def no_statement(world: World) -> None:
    world.attest(0, b'{"_type":"https://example.org","predicateType":"https://spdx.dev/Document"}')
    world.attest(1, sbom_statement(world.children[1]))


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (other_subject, "subject-mismatch"),
        (empty, "sbom-empty"),
        (unknown_version, "sbom-version"),
        (malformed, "field-missing"),
        (no_statement, "statement-type"),
    ],
)
def test_sboms_that_are_failures(world: World, make: Make, code: str) -> None:
    make(world)
    world.finish()
    world.sign()
    assert world.failure("sbom") == code
    assert code in [failure for *_, failure in told(world.readings("sbom"))]


@pytest.mark.parametrize(
    ("raw", "media_type", "code"),
    [
        (to_json(spdx2()), "text/spdx", "evidence-type"),
        (b"SPDXVersion: SPDX-2.3", "text/spdx+json", "json"),
        (to_json(cyclonedx()), "text/spdx+json", "sbom-format"),
    ],
)
def test_bad_sboms_under_a_tag(world: World, raw: bytes, media_type: str, code: str) -> None:
    world.finish()
    world.tag(world.top, "sbom", SignedLayer(raw, media_type, {}))
    assert world.failure("sbom") == code


def test_an_envelope_that_cannot_be_read_may_be_an_sbom(world: World) -> None:
    world.finish()
    world.tag(world.top, "att", SignedLayer(b"{}", "application/vnd.dsse.envelope.v1+json", {}))
    (reading,) = world.readings("sbom")
    assert (reading.strength, bool(reading.failure)) == ("not verified", True)
    assert world.failure("sbom")


# -- signatures and tree ----------------------------------------------------------------------------------------------


def test_signatures(world: World) -> None:
    world.finish()
    assert world.look(image_document.signatures_document)[1].code == "signature-missing"


def test_signatures_that_are_there(world: World) -> None:
    world.finish()
    world.sign()
    world.attach(SPDX, spdx2())
    document, failure = world.look(image_document.signatures_document)
    assert failure is None
    assert [(item["kind"], item["strength"], item["signer"], item["issuer"]) for item in document["signatures"]] == [
        ("signature", SIGNED, IDENTITY, ISSUER),
        ("attestation", SIGNED, IDENTITY, ISSUER),
    ]


def test_tree(world: World) -> None:
    world.attest(0, sbom_statement(world.children[0]))
    world.finish()
    world.sign()
    made = world.tag(world.top, "sbom", SignedLayer(to_json(spdx2()), "text/spdx+json", {}))
    world.sign(made)
    document = world.look(image_document.tree_document)
    assert {item["kind"] for item in document["about_image"]} == {"signature", "sbom"}
    assert [[item["kind"] for item in child["evidence"]] for child in document["platforms"]] == [["statement"], []]
    assert [item["subject"] for item in document["about_evidence"]] == [str(made.digest)]
    assert json.loads(json.dumps(document)) == document


def test_without_trust_strengths_are_the_files_own(world: World) -> None:
    world.attest(0, sbom_statement(world.children[0]))
    world.finish()
    world.sign()
    files = [
        attach_file(world.layout, world.top, spdx2(), "application/spdx+json"),
        attach_file(world.layout, world.top, trivy("LOW")),
    ]
    for file in files:
        world.sign(file)
    no_pin = TrustError("no-pin", "state")
    with open_image_inspection(world.bundle(), no_pin, time_basis(NOW, None), None) as inspection:
        document, _ = image_document.signatures_document(inspection)
        readings = read_all("sbom", inspection.judged, inspection.read_blob)
        (scan,) = inspection.scans()
    assert (document["trusted"], document["reason"]) == (False, "no-pin")
    assert [item["strength"] for item in document["signatures"]] == [f"{SIGNED} (by the file's own keys)"] * 3
    in_referrer = "signed, in a referrer of the image (by the file's own keys)"
    assert [item.strength for item in readings] == [in_referrer, f"{COVERED} (by the file's own keys)"]
    assert scan.strength == in_referrer


# -- which image ------------------------------------------------------------------------------------------------------


def test_images_are_chosen_by_name_or_digest(world: World) -> None:
    world.finish()
    inventory = world.look(lambda it: it.head.inventory)
    image = inventory.images[0]
    for wanted in (None, NAME, REPOSITORY, str(image.digest), f"{REPOSITORY}@{image.digest}", f"{NAME}@{image.digest}"):
        assert choose_image(inventory, wanted) is image
    for wanted in (
        "",
        "registry.example.org/other",
        f"{REPOSITORY}:2",
        f"{REPOSITORY}@sha256:{'0' * 64}",
        "!",
        "sha256:0",
    ):
        with pytest.raises(UsageError) as error:
            choose_image(inventory, wanted)
        assert error.value.code == "image-choice"
    second = replace(image, name=f"{REPOSITORY}:2")
    both = replace(inventory, images=(image, second))
    assert choose_image(both, f"{REPOSITORY}:2") is second
    for wanted in (None, REPOSITORY, str(image.digest)):
        with pytest.raises(UsageError):
            choose_image(both, wanted)


@pytest.mark.parametrize("platform", ["linux/s390x", "linux", "windows/amd64"])
def test_platforms_that_are_not_there(world: World, platform: str) -> None:
    world.finish()
    with pytest.raises(UsageError) as error:
        world.look(lambda _: None, platform)
    assert error.value.code in ("platform-absent", "platform")


# -- as buildx prints it ----------------------------------------------------------------------------------------------


def attested(world: World, places: Sequence[int]) -> None:
    for place in places:
        child = world.children[place]
        world.attest(
            place,
            statement(child.digest, SPDX, {"name": f"first <{place}>", "n": 1e21}),
            provenance_statement(child, "older"),
            statement(child.digest, SPDX, {"name": "second"}),
        )
        world.attest(place, provenance_statement(child, f"new {place}"), provenance_statement(child, "behind it"))
        world.attest(place, statement(child.digest, SPDX, {"name": "third"}))
    world.finish()


def test_raw_of_one_platform_is_the_bare_predicate(tmp_path: Path) -> None:
    world = World(tmp_path, "linux/amd64")
    attested(world, [0])
    assert world.raw("sbom") == '{\n  "n": 1e+21,\n  "name": "first \\u003c0\\u003e"\n}'
    assert json.loads(world.raw("provenance"))["runDetails"] == {"builder": {"id": "new 0"}}


def test_raw_of_several_platforms(world: World) -> None:
    attested(world, [0, 1])
    assert json.loads(world.raw("sbom")) == {
        f"linux/{name}": {
            "SPDX": {"n": 1e21, "name": f"first <{place}>"},
            "AdditionalSPDXs": [{"name": "second"}, {"name": "third"}],
        }
        for place, name in enumerate(("amd64", "arm64"))
    }
    assert list(json.loads(world.raw("sbom"))["linux/amd64"]) == ["SPDX", "AdditionalSPDXs"]
    assert json.loads(world.raw("sbom", "linux/arm64"))["name"] == "first <1>"
    provenance = json.loads(world.raw("provenance"))
    assert provenance["linux/arm64"]["SLSA"]["runDetails"]["builder"]["id"] == "new 1"
    strengths = world.look(lambda it: raw_strengths("sbom", it.judged))
    assert strengths == [("linux/amd64", UNSIGNED), ("linux/arm64", UNSIGNED)]


def test_an_image_keeps_its_shape_when_platforms_are_left_out(world: World) -> None:
    attested(world, [0, 1])
    assert list(json.loads(world.raw("sbom", None, "linux/amd64"))) == ["linux/amd64"]


def test_raw_fails_where_buildx_prints_null(world: World) -> None:
    attested(world, [0])
    assert world.raw("sbom", "linux/amd64")
    for platform in (None, "linux/arm64"):
        with pytest.raises(SealiftError) as error:
            world.raw("sbom", platform)
        assert (error.value.code, "linux/arm64" in str(error.value)) == ("sbom-missing", True)


def test_raw_checks_subjects(world: World) -> None:
    other_subject(world)
    world.finish()
    with pytest.raises(SealiftError) as error:
        world.raw("sbom")
    assert error.value.code == "subject-mismatch"


def enveloped(world: World, child: int, kind: str, predicate: object, about: Descriptor | None = None) -> None:
    """A signed envelope in an attestation manifest, before a bare statement of the same kind."""
    subject = world.children[child]
    raw, *_ = world.sigstore.attest((about or subject).digest, world.signer, predicate_type=kind, predicate=predicate)
    made = world.layout.attestation(subject, [statement(subject.digest, kind, {"name": "bare"})])
    document = json.loads(world.layout.read(made.digest))
    envelope = world.layout.blob(raw, "application/vnd.in-toto.spdx+dsse")
    document["layers"].insert(0, {
        "mediaType": envelope.media_type, "digest": str(envelope.digest), "size": envelope.size_bytes,
        "annotations": {"in-toto.io/predicate-type": kind},
    })  # fmt: skip
    again = world.layout.blob(to_json(document), made.media_type)
    world.attestations.append(replace(made, digest=again.digest, size_bytes=again.size_bytes))


def test_signed_envelopes_in_the_index_are_what_buildx_prints(tmp_path: Path) -> None:
    world = World(tmp_path, "linux/amd64")
    enveloped(world, 0, SPDX, {"name": "signed"})
    world.finish()
    world.sign()
    assert json.loads(world.raw("sbom")) == {"name": "signed"}
    strengths = world.look(lambda it: raw_strengths("sbom", it.judged))
    # Without its log entry the envelope cannot be verified; what buildx prints, it prints all the same.
    assert [strength.partition(" [")[0] for _, strength in strengths] == [COVERED, "not verified"]


def test_subjects_of_signed_envelopes_are_checked_too(world: World) -> None:
    enveloped(world, 0, SPDX, {"name": "signed"}, about=world.children[1])
    world.finish()
    with pytest.raises(SealiftError) as error:
        world.raw("sbom", "linux/amd64")
    assert error.value.code == "subject-mismatch"


def test_signed_attestations_are_not_what_buildx_prints(world: World) -> None:
    world.finish()
    world.attach(SPDX, spdx2())
    with pytest.raises(SealiftError) as error:
        world.raw("sbom")
    assert error.value.code == "sbom-missing"


# -- real images ------------------------------------------------------------------------------------------------------


class Real:
    """A real layout in a bundle, at a site with the public trusted root."""

    def __init__(self, shared: Path, folder: Path, layout: str, name: str) -> None:
        trusted_root = (shared / "real/trust/trusted_root.public-good.json").read_bytes()
        repository = TufRepository("main", targets={"trusted_root/public-good.json": trusted_root})
        self.layout = shared / "real/images" / layout
        self.bundle = Exporter(repository, folder).deliver(LayoutSource("oci", self.layout, name))
        self.state = make_site(folder / "state", repository.pin)

    def look(self, act: Callable[[ImageInspection], Any], platform: str | None = None) -> Any:
        site = load_site(self.state, read_only=True)
        with open_image_inspection(self.bundle, site, time_basis(NOW, None), None, platform) as inspection:
            return act(inspection)

    def predicates(self, word: bytes) -> list[Any]:
        """Predicates of bare statements whose type has this word."""
        small = [path for path in sorted((self.layout / "blobs/sha256").iterdir()) if path.stat().st_size < 100_000]
        statements = [json.loads(path.read_bytes()) for path in small if path.read_bytes().startswith(b'{"_type"')]
        return [item["predicate"] for item in statements if word.decode() in item["predicateType"]]


def test_buildkit_two_platforms(shared: Path, tmp_path: Path) -> None:
    real = Real(shared, tmp_path, "buildkit-two-platforms", "docker.io/library/test-image:test")
    readings = real.look(lambda it: read_all("sbom", it.judged, it.read_blob))
    assert told(readings) == [(name, "buildkit-attestation", UNSIGNED, "") for name in ("linux/amd64", "linux/arm64")]
    assert [len(reading.sbom.packages) for reading in readings] == [1, 1]
    raw = json.loads(real.look(lambda it: format_raw("sbom", it.judged, it.platform)))
    assert list(raw) == ["linux/amd64", "linux/arm64"]
    assert all(each["SPDX"] in real.predicates(b"spdx") for each in raw.values())
    one = json.loads(real.look(lambda it: format_raw("provenance", it.judged, it.platform), "linux/arm64"))
    assert one in real.predicates(b"slsa")
    assert "arm64" in one["materials"][1]["uri"]


def test_a_generators_image_has_provenance_of_two_kinds(shared: Path, tmp_path: Path) -> None:
    real = Real(shared, tmp_path, "slsa-generator-v1.10.0", "ghcr.io/slsa-framework/example-package:v1.10.0")
    readings = real.look(lambda it: read_all("provenance", it.judged, it.read_blob))
    assert [(item.form, item.strength) for item in readings] == [
        ("cosign-attestation", SIGNED),
        ("buildkit-attestation", UNSIGNED),
    ]
    (signer,) = readings[0].signers
    assert signer == readings[0].provenance.claims.builder
    assert json.loads(real.look(lambda it: format_raw("provenance", it.judged, it.platform))) in real.predicates(
        b"slsa"
    )
    assert real.look(lambda it: image_document.readings_document(it, "sbom"))[1].code == "sbom-missing"


def test_the_older_generators_image(shared: Path, tmp_path: Path) -> None:
    real = Real(shared, tmp_path, "slsa-generator-v1.4.0", "ghcr.io/slsa-framework/example-package:v1.4.0")
    readings = real.look(lambda it: read_all("provenance", it.judged, it.read_blob))
    assert [(item.form, item.strength) for item in readings] == [("cosign-attestation", SIGNED)]
    assert readings[0].provenance.claims.source_ref == "refs/heads/main"
    with pytest.raises(SealiftError) as error:
        real.look(lambda it: format_raw("provenance", it.judged, it.platform))
    assert error.value.code == "provenance-missing"


def test_below_a_pin_that_was_given_up_the_one_in_its_place_judges(tmp_path: Path) -> None:
    """Evidence is shown as the trust that stands now sees it, not as the trust that was given up."""
    layout, _, _ = two_platforms(NAME)
    source = LayoutSource("oci", layout.write(tmp_path / "layout"), NAME)
    rules = 'format = 1\n[[rule]]\nimages = ["**"]\nrequire = ["sbom"]\nallow_unsigned = true\n'
    state, accepted, exporters = None, [], []
    for name in (b"old", b"new"):
        repository = TufRepository("main", targets={"keys/vendor.pub": name})
        exporters.append(Exporter(repository, tmp_path / name.decode()))
        bundle = exporters[-1].deliver(source)
        if state is None:
            state = make_site(tmp_path / "state", repository.pin)
        else:
            digest = sha256_of(repository.pin)
            reanchor(state, repository.pin, digest, NOW, operators=("A", "B"), reason="stolen")
        assert verify(bundle, state, rules).report.exit_code == 0
        accepted.append(bundle)
    assert state is not None
    with open_archive(accepted[0]) as archive:
        head = open_head(archive, load_site(state), time_basis(NOW, None), "old")
    assert (head.failure, dict(head.targets)) == (None, {"keys/vendor.pub": b"new"})
    with open_archive(exporters[0].deliver(source)) as archive:  # what never was accepted there proves nothing
        head = open_head(archive, load_site(state), time_basis(NOW, None), "thieves")
    assert head.failure is not None
    assert (head.failure.code, head.trust.pin) == ("pin-retired", None)
