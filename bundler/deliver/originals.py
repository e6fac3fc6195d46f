"""SBOMs of the image that a patched one was made from, for platforms of which the patched one has none (PATCH.md).

Rules of this module:
- The derivation is proved first, here and now, as `verify` does: signed by the bundle's own stream, layers and history
  compared. What is not proved lends nothing, and why it is not stands among the failures.
- An SBOM of its own goes before one of the original.
- Every result says by name whose SBOM it is, and notes say what it cannot know: what the patch put on top. What the
  patch mended is known only by Copa's word and by the scanner's, and each stands as that.
- Their word settles findings as in `verify`: where the rule for the patched image has `derived_from` and names the
  author. Otherwise it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bundler.deliver.image_inspection import ImageInspection, says_derived
from bundler.deliver.readings import Reading, read_all
from bundler.digest import Digest
from bundler.errors import SealiftError
from bundler.evidence.derivation import Derivation, PatchedPlatform
from bundler.value import dataclass, replace
from bundler.verify.derivation import Proved, Surroundings
from bundler.verify.derived import SCANNERS_WORD, asserted, judge_derivation, told_change
from bundler.verify.keyring import Keyring
from bundler.verify.patch_vex import PatchVex
from bundler.verify.policy import Rule
from bundler.vulnerability.findings import Note, Original, ScanResult
from bundler.vulnerability.scan import SbomPlace

ScanReading = Callable[[Reading, SbomPlace], ScanResult]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a patched image comes from, proved.

    Attributes:
        inspection: the original, in the same bundle.
        patch: what Copa says that it mended.
    """

    proved: Proved
    inspection: ImageInspection
    patch: PatchVex

    @property
    def word(self) -> str:
        """Whose word the derivation is, as far as that is proved."""
        return self.inspection.judged.strength(asserted(self.proved.claim))

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the patched image lost."""
        return lost_platforms(self.proved.claim.derivation)


def lost_platforms(derivation: Derivation) -> tuple[Note, ...]:
    """What a proved derivation says that the patched image lost."""
    detail = "the original has it, the patched image has not"
    return tuple(Note("platform-lost", f"{platform} of {derivation.name}", detail) for platform in derivation.lost)


def find_origin(inspection: ImageInspection, rule: Rule | None) -> tuple[Origin | None, tuple[SealiftError, ...]]:
    """The original of an image, if the bundle proves one; and why other claims are not proved.

    Args:
        inspection: the image.
        rule: of the policy, for the names that an original may have and the authors whose word is taken.

    Raises:
        DamagedError, EnvError: documents of the derivation. RejectedError: the original cannot be read.
    """
    if not says_derived(inspection.judged.complete):
        return None, ()
    # A derivation is about all platforms, whichever one was asked for.
    whole = inspection if inspection.platform is None else inspection.open_other(inspection.image, None)
    head = inspection.head
    around = Surroundings(head.inventory, Keyring(head.targets), inspection.read_blob, head.keys, inspection.at)
    derived = judge_derivation(whole.judged.complete, rule, around)
    if derived.proved is None:
        return None, derived.failures
    claim = derived.proved.claim
    authors = copa_authors(rule)
    patch = PatchVex(claim.derivation, claim.stream, inspection.read_blob, authors, inspection.at)
    return Origin(derived.proved, inspection.open_other(derived.proved.original.image, None), patch), ()


def copa_authors(rule: Rule | None) -> tuple[str, ...]:
    """Authors of Copa's VEX whose word a rule takes: none unless it has `derived_from`."""
    if rule is None or not rule.derived_from or rule.vulnerabilities is None:
        return ()
    return rule.vulnerabilities.vex_authors


def scan_originals(
    origin: Origin, inspection: ImageInspection, missing: Iterable[str], scan: ScanReading
) -> Iterator[tuple[ScanResult, frozenset[Digest]]]:
    """Results for platforms without an SBOM of their own, each with the digests that VEX may know it by.

    Args:
        origin: of the image.
        inspection: the image.
        missing: platforms that no SBOM of the image itself is about.
        scan: judges one SBOM.
    """
    old = origin.inspection
    readings = [
        reading
        for reading in read_all("sbom", old.judged, old.read_blob)
        if reading.sbom is not None and not reading.code
    ]
    wanted = set(missing)
    for each in origin.patch.derivation.platforms:
        about = {each.original, *old.judged.complete.indexes_over[each.original]}
        for reading in readings if each.platform in wanted else ():
            if reading.subject in about:
                yield _scan(origin, inspection, each, reading, scan), origin.patch.digests(each.original)


def mended(origin: Origin, result: ScanResult) -> ScanResult:
    """A result by an SBOM of the original with Copa's word beside its findings."""
    made = next(each for each in origin.patch.derivation.platforms if each.platform == result.platform)
    return replace(result, findings=origin.patch.apply(made.original, result.findings))


def of_original(each: PatchedPlatform, original: Original) -> Note:
    """What is to be known of a platform that is judged by the SBOM of another image."""
    whose = f"judged by the SBOM of its original, {original.image} {original.digest}, {original.derivation}"
    unpatched = "this platform is the original's own, not patched"
    before = unpatched if each.patched == each.original else "it lists what was there before the patch"
    return Note("sbom-of-original", each.platform, f"{whose}: {before}")


def _scan(
    origin: Origin, inspection: ImageInspection, each: PatchedPlatform, reading: Reading, scan: ScanReading
) -> ScanResult:
    image = origin.inspection.image
    original = Original(image.name, image.digest, reading.subject, origin.word)
    borrowed = None if each.patched == each.original else original
    place = SbomPlace(
        inspection.image.name, each.patched, each.platform, reading.manifest, reading.strength, borrowed
    )  # fmt: skip
    result = scan(reading, place)
    told = [of_original(each, original), *_scanned(origin, each.platform)]
    told += [note for note in origin.patch.notes if note.subject == each.platform]
    return replace(result, notes=tuple(sorted({*result.notes, *told})))


def _scanned(origin: Origin, platform: str) -> Iterator[Note]:
    """What the two reports say that travelled along."""
    for proved in origin.proved.platforms:
        if proved.platform == platform and proved.lineage is not None:
            detail = f"{SCANNERS_WORD}, in reports {origin.word}: {told_change(proved)}"
            yield Note("patch-scanned", platform, detail)
