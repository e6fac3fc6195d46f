"""Patched images: the derivation statement found, its signature verified, and lineage proved (vulnerability/PATCH.md).

Rules of this module:
- A statement counts when the key that signed this bundle's stream signed it. That makes it the exporter's word: it says
  where to look, and nothing that it says of digests is believed unseen.
- Proved are: the original is in this bundle, whole; every platform of the patched image is named, with a manifest of
  the original for the same platform; each of these manifests is its original with layers on top, or the same manifest.
- Reports and VEX that the statement names are the other layers of the referrer, and each report is about its manifest.
- What the patched image lacks of its original (platforms) is derived here, and the statement has to agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from bundler import limits
from bundler.archive.inventory import Evidence, Inventory
from bundler.digest import Digest
from bundler.errors import MalformedError, RejectedError, SealiftError
from bundler.evidence.cosign import is_envelope, read_layer
from bundler.evidence.derivation import ARTIFACT_TYPE, Derivation, PatchedPlatform, parse_derivation
from bundler.evidence.envelope import parse_envelope
from bundler.evidence.kind import REFERRER
from bundler.oci.manifest import ImageIndex, ImageManifest
from bundler.oci.platforms import UNKNOWN
from bundler.value import dataclass, field
from bundler.verify.appraisal import ITEM_FAILURES
from bundler.verify.completeness import CompleteImage, open_image
from bundler.verify.keyring import Keyring
from bundler.verify.patterns import ImagePattern
from trust_root.stream_signature import StreamKeys

if TYPE_CHECKING:
    from bundler.vulnerability.lineage import Lineage, PlatformImage
    from bundler.vulnerability.scan_report import Change, ScanReport

ReadBlob = Callable[[Digest], bytes]
_RUNS_NOWHERE = "unknown/unknown"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a patched image is judged amidst.

    Attributes:
        keys: those that signed this bundle's stream; None where nobody knows them.
        at: the time of the verification.
    """

    inventory: Inventory
    keyring: Keyring
    read_blob: ReadBlob
    keys: StreamKeys | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A derivation statement whose signature was verified.

    Attributes:
        manifest: the referrer that holds it.
        signer: key material of who signed.
        stream: the stream whose key that is.
    """

    derivation: Derivation
    manifest: ImageManifest
    signer: Digest
    stream: str


@dataclass(frozen=True, slots=True)
class ProvedPlatform:
    """One platform of a patched image.

    Attributes:
        lineage: what was proved; None where the manifest is the original's own.
        change: what the patch did, in the scanner's words.
    """

    platform: str
    lineage: Lineage | None
    change: Change


@dataclass(frozen=True, slots=True)
class Proved:
    """A derivation that was proved.

    Attributes:
        original: the image that was patched, whole in this bundle.
        lost: platforms of the original that the patched image has not, sorted.
    """

    claim: Claim
    original: CompleteImage
    platforms: tuple[ProvedPlatform, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FoundClaims:
    """What was found beside an image: verified statements, and those that are not with the reason."""

    claims: tuple[Claim, ...] = ()
    failures: tuple[tuple[Evidence, SealiftError], ...] = field(default=())


def find_claims(complete: CompleteImage, read_blob: ReadBlob, keys: StreamKeys | None) -> FoundClaims:
    """Every derivation statement about an image; failures become values, so that one does not hide another."""
    claims: list[Claim] = []
    failures: list[tuple[Evidence, SealiftError]] = []
    for evidence, document in complete.evidence:
        if not isinstance(document, ImageManifest) or document.artifact_type != ARTIFACT_TYPE:
            continue
        try:
            claims.append(_open_claim(evidence, document, read_blob, keys))
        except ITEM_FAILURES as error:
            failures.append((evidence, error))
    return FoundClaims(tuple(claims), tuple(failures))


def _open_claim(evidence: Evidence, document: ImageManifest, read_blob: ReadBlob, keys: StreamKeys | None) -> Claim:
    """Signature first; nothing that nobody signed is parsed as a derivation."""
    which = str(evidence.digest)
    if evidence.kind != REFERRER or not document.layers or not is_envelope(document.layers[0].media_type):
        raise MalformedError("derivation", "derivation", which, got="no envelope in its first layer", want="one")
    if keys is None:
        raise RejectedError("stream-signature", "derivation", which, got="no key of the stream", want="a trusted head")
    if document.layers[0].size_bytes > 2 * limits.DERIVATION_BYTES:
        raise MalformedError("limits", "derivation", which, got="a larger envelope", want=f"{limits.DERIVATION_BYTES}")
    envelope = parse_envelope(read_layer(document.layers[0], read_blob))
    signer = keys.verify(envelope.signature, envelope.signed_bytes)
    derivation = parse_derivation(envelope.payload)
    if derivation.image != evidence.subject:
        raise RejectedError(
            "subject-mismatch", "derivation", which, got=f"about {derivation.image}", want=str(evidence.subject)
        )
    named, carried = set(derivation.documents), {layer.digest for layer in document.layers[1:]}
    if named != carried:
        differing = min(named ^ carried)
        raise RejectedError(
            "derivation-documents", "derivation", which, got=f"{differing} is carried or named alone",
            want="exactly the reports and VEX that it names",
        )  # fmt: skip
    return Claim(derivation, document, signer, keys.stream)


def prove(claim: Claim, complete: CompleteImage, around: Surroundings, wanted: Sequence[ImagePattern] = ()) -> Proved:
    """Prove what a statement claims of a patched image.

    Args:
        claim: a verified statement.
        complete: the patched image.
        around: the bundle that both images are in.
        wanted: what the original may be named; empty: anything.

    Raises:
        RejectedError: ``derivation-original`` (absent), ``derivation-name``, ``derivation-platforms``,
            ``scan-report-subject``, or a code of `verify_lineage` or of the parsers.
        DamagedError, UnsupportedError: the original cannot be read.
    """
    image = choose_original(around.inventory.images, claim.derivation, wanted)
    original = open_image(image, around.inventory, around.read_blob)
    _check_platforms(claim.derivation, complete, original)
    proved = tuple(_prove_platform(each, complete, original, around) for each in claim.derivation.platforms)
    lost = lost_platforms(original, claim.derivation.platforms)
    if lost != claim.derivation.lost:
        raise RejectedError(
            "derivation-platforms", "derivation", str(claim.derivation.image),
            got=f"it says that {_listed(claim.derivation.lost)} were lost", want=f"{_listed(lost)}, as the index says",
        )  # fmt: skip
    return Proved(claim, original, proved, lost)


def lost_platforms(original: CompleteImage, kept: Sequence[PatchedPlatform]) -> tuple[str, ...]:
    """Platforms of the original, carried or left out, that are not among those kept."""
    made_from = {each.original for each in kept}
    lost = {platform for platform, digest in original.platforms if digest not in made_from}
    lost |= {omission.platform for omission in original.image.omitted if omission.digest not in made_from}
    return tuple(sorted(lost - {UNKNOWN, _RUNS_NOWHERE}))


class Named(Protocol):
    """An image by name: of an inventory, or as a site remembers it."""

    @property
    def name(self) -> str:
        """Under which it was carried."""

    @property
    def digest(self) -> Digest:
        """Of its index or manifest."""


_Named = TypeVar("_Named", bound=Named)


def choose_original(images: Iterable[_Named], derivation: Derivation, wanted: Sequence[ImagePattern]) -> _Named:
    """The original among the images of the same delivery, under a name that it may have.

    Args:
        images: all of the delivery.
        derivation: names the original by its digest.
        wanted: names that an original may have; any when empty.

    Raises:
        RejectedError: ``derivation-original``, ``derivation-name``.
    """
    digest = derivation.original.digest
    found = [image for image in images if image.digest == digest]
    if not found or digest == derivation.image:
        raise RejectedError(
            "derivation-original", "original image", str(digest), got="not in the same delivery",
            want="carried beside the image that was made from it",
        )  # fmt: skip
    fitting = [image for image in found if not wanted or any(pattern.matches(image.name) for pattern in wanted)]
    if not fitting:
        raise RejectedError(
            "derivation-name", "original image", str(digest), got=f"named {found[0].name}",
            want=", ".join(pattern.text for pattern in wanted),
        )  # fmt: skip
    return fitting[0]


def _check_platforms(derivation: Derivation, complete: CompleteImage, original: CompleteImage) -> None:
    which = str(derivation.image)
    said = [(each.platform, each.patched) for each in derivation.platforms]
    if said != list(complete.platforms):
        raise RejectedError(
            "derivation-platforms", "derivation", which, got=f"about {_listed(name for name, _ in said)}",
            want=f"{_listed(name for name, _ in complete.platforms)}, the image's own manifests in its order",
        )  # fmt: skip
    _check_one_platform_each(derivation, complete)
    present = {digest: platform for platform, digest in original.platforms}
    for each in derivation.platforms:
        platform = present.get(each.original)
        if platform is None or _plain(platform) != _plain(each.platform):
            raise RejectedError(
                "derivation-platforms", "derivation", which,
                got=f"{each.platform} made from {each.original}, {platform or 'no platform of the original'}",
                want="a manifest of the original for the same platform",
            )  # fmt: skip


def _check_one_platform_each(derivation: Derivation, complete: CompleteImage) -> None:
    """Refuse an index that offers a patched manifest for a further platform, which no list of platforms has."""
    named = {each.patched: each.platform for each in derivation.platforms}
    for index in complete.graph.documents.values():
        for entry in index.manifests if isinstance(index, ImageIndex) else ():
            wanted = named.get(entry.digest)
            if wanted is not None and entry.platform is not None and str(entry.platform) != wanted:
                raise RejectedError(
                    "derivation-platforms", "patched image", str(derivation.image),
                    got=f"{entry.digest} for {entry.platform} too", want=f"for {wanted}, as the statement says",
                )  # fmt: skip


def _prove_platform(
    each: PatchedPlatform, complete: CompleteImage, original: CompleteImage, around: Surroundings
) -> ProvedPlatform:
    from bundler.vulnerability.lineage import verify_lineage  # noqa: PLC0415  few bundles hold a patched image
    from bundler.vulnerability.scan_report import compare_reports  # noqa: PLC0415

    older = _platform_image(original, each.original, around)
    newer = _platform_image(complete, each.patched, around)
    lineage = None if each.original == each.patched else verify_lineage(older, newer)
    before = _report(each.before, older, around)
    after = before if each.after == each.before else _report(each.after, newer, around)
    return ProvedPlatform(each.platform, lineage, compare_reports(before, after))


def _platform_image(image: CompleteImage, digest: Digest, around: Surroundings) -> PlatformImage:
    from bundler.vulnerability.lineage import PlatformImage, parse_config  # noqa: PLC0415

    manifest = image.graph.documents[digest]
    if not isinstance(manifest, ImageManifest):
        raise RejectedError("derivation-platforms", "derivation", str(digest), got="an index", want="a manifest")
    return PlatformImage(manifest, parse_config(read_layer(manifest.config, around.read_blob)))


def _report(digest: Digest, about: PlatformImage, around: Surroundings) -> ScanReport:
    from bundler.vulnerability.scan_report import parse_scan_report  # noqa: PLC0415

    report = parse_scan_report(around.read_blob(digest))
    report.check_about(about.config.diff_ids, str(digest))
    return report


def _plain(platform: str) -> str:
    """arm64 is arm64/v8 (oci/descriptor.py)."""
    return platform.removesuffix("/v8") if platform.endswith("/arm64/v8") else platform


def _listed(names: Sequence[str] | Iterator[str]) -> str:
    return ", ".join(names) or "none"
