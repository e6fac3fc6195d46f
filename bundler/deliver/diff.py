"""What differs between two bundles: images, in each what it holds and who vouches for it, and data (DIFF.md).

Rules of this module:
- Both heads are checked first, by the same code as `inspect` and `verify`. Where one does not hold, the same facts are
  told with its failure set, so that whoever prints them says NOT VERIFIED.
- Only what is needed is read: manifests and evidence of images that differ in digest, evidence or trusted material.
  What is read is checked against its digest; an image that cannot be read whole ends the run with its reason.
- Signatures are judged by the newest trusted material known to their bundle or the site. No policy is asked: that is
  what `verify` does.
- Images are compared by name. What is left on both sides is compared when it has the same repository, once on each
  side: a tag that moved on. Vulnerability data is compared by kind and source, by what the inventories say of it.
- The same pair of bundles gives the same result, and a bundle does not differ from itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from bundler import limits
from bundler.archive.contents import Data
from bundler.archive.inventory import Image, Inventory
from bundler.archive.reader import ArchiveReader, open_archive
from bundler.deliver.diff_packages import PackageChanges, compare_packages
from bundler.deliver.image_inspection import with_stream_claims
from bundler.deliver.inspection import InspectedHead, open_head
from bundler.deliver.readings import signed_subjects
from bundler.digest import Digest
from bundler.errors import DamagedError, TrustError, hinting
from bundler.evidence.sbom import Package
from bundler.oci.reference import parse_reference
from bundler.value import dataclass
from bundler.verify.completeness import open_image
from bundler.verify.exhibits import Exhibits, gather_exhibits
from bundler.verify.facts import evidence_facts
from bundler.verify.keyring import Keyring
from bundler.verify.opened import open_evidence
from bundler.verify.requirements import Met
from bundler.verify.result import EvidenceFact
from trust_root.delivery import TimeBasis
from trust_root.site import Site


@dataclass(frozen=True, slots=True)
class Pair:
    """Something that was one thing and is another; empty where there was, or is, nothing."""

    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether there is a difference."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class PlatformChange:
    """One platform of an image that is in both bundles. `papers` are the SBOMs that were compared, or why not."""

    platform: str
    sboms: Pair
    packages: PackageChanges

    @property
    def differs(self) -> bool:
        """Whether there is a difference."""
        return self.sboms.differs or self.packages.any


@dataclass(frozen=True, slots=True)
class ImageChange:
    """An image that differs. `before` or `after` is None where it is not there."""

    before: Image | None
    after: Image | None
    size_before_bytes: int
    size_after_bytes: int
    platforms: Pair = Pair((), ())
    omitted: Pair = Pair((), ())
    signers: Pair = Pair((), ())
    strengths: Pair = Pair((), ())
    unverified: Pair = Pair((), ())
    builders: Pair = Pair((), ())
    sources: Pair = Pair((), ())
    papers: tuple[PlatformChange, ...] = ()

    @property
    def what(self) -> str:
        """`added`, `removed`, `replaced` (another tag), `moved` (another digest), `evidence` (same image) or `same`."""
        if self.before is None or self.after is None:
            return "added" if self.before is None else "removed"
        if self.before.name != self.after.name:
            return "replaced"
        if self.before.digest != self.after.digest:
            return "moved"
        pairs = (self.platforms, self.omitted, self.signers, self.strengths, self.unverified, self.builders)
        differs = any(pair.differs for pair in (*pairs, self.sources)) or any(paper.differs for paper in self.papers)
        return "evidence" if differs else "same"


@dataclass(frozen=True, slots=True)
class DataChange:
    """Vulnerability data of one kind and source that differs; None where it is not there."""

    before: Data | None
    after: Data | None


@dataclass(frozen=True, slots=True)
class Diff:
    """All differences; `same` counts images without any."""

    before: InspectedHead
    after: InspectedHead
    images: tuple[ImageChange, ...]
    same: int
    data: tuple[DataChange, ...]
    bytes_shared: int
    bytes_gone: int
    bytes_new: int

    @property
    def failure(self) -> TrustError | None:
        """Why one of the heads is not trusted."""
        return self.before.failure or self.after.failure


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one side holds of an image."""

    size_bytes: int
    platforms: Mapping[str, Digest]
    facts: tuple[EvidenceFact, ...]
    exhibits: Exhibits


@dataclass(frozen=True, slots=True)
class _Open:
    """An open bundle."""

    head: InspectedHead
    archive: ArchiveReader
    at: datetime

    def look(self, image: Image) -> _Seen:
        """Read what one image holds. Damage ends the run, though only one piece of evidence may have it."""
        damage: list[DamagedError] = []

        def read(digest: Digest) -> bytes:
            try:
                return self.archive.read_blob(digest, limits.EVIDENCE_BLOB_BYTES)
            except DamagedError as error:
                damage.append(error)
                raise

        complete = open_image(image, self.head.inventory, read)
        evidence = open_evidence(complete, Keyring(self.head.targets), read, self.at)
        facts = evidence_facts(complete, evidence, Met(signed_indexes=signed_subjects(evidence)))
        facts = with_stream_claims(facts, complete, self.head, read)
        size = sum({node.digest: node.size_bytes for node in complete.graph.nodes}.values())
        exhibits = gather_exhibits(complete, evidence, facts, read)
        if damage:
            raise damage[0]
        return _Seen(size, dict(complete.platforms), facts, exhibits)


def compare_bundles(before: Path | str, after: Path | str, site: Site | TrustError, basis: TimeBasis) -> Diff:
    """Compare two bundles.

    Args:
        before, after: paths.
        site: the site's state, or the error that says why there is none.
        basis: the time basis.

    Raises:
        DamagedError, UnsupportedError, EnvError, MalformedError: not a bundle that can be told about.
        TrustError: its own metadata is not even consistent.
        RejectedError: an image that is not what its inventory says.
    """
    with _open(before, site, basis) as old, _open(after, site, basis) as new:
        changes = [_compare_images(old, new, *pair) for pair in _pairs(old.head.inventory, new.head.inventory)]
    differing = tuple(change for change in changes if change.what != "same")
    shared, gone, fresh = _bytes(old.head.inventory, new.head.inventory)
    data = tuple(_compare_data(old.head.inventory, new.head.inventory))
    return Diff(old.head, new.head, differing, len(changes) - len(differing), data, shared, gone, fresh)


@contextmanager
def _open(file: Path | str, site: Site | TrustError, basis: TimeBasis) -> Iterator[_Open]:
    with ExitStack() as opened:
        with hinting(f"bundle {file}"):  # one of two
            archive = opened.enter_context(open_archive(file))
            head = open_head(archive, site, basis, str(file))
            archive.check_headers().require_whole()
        yield _Open(head, archive, basis.at)


def _pairs(before: Inventory, after: Inventory) -> Iterator[tuple[Image | None, Image | None]]:
    """Images that belong together, in the order of the newer bundle; what went comes last."""
    old, new = ({image.name: image for image in side.images} for side in (before, after))
    left = _alone([image for name, image in old.items() if name not in new])
    fresh = _alone([image for name, image in new.items() if name not in old])
    taken = set()
    for image in after.images:
        known = old.get(image.name)
        if known is None:
            repository = parse_reference(image.name).name
            known = left.get(repository) if repository in fresh else None
            taken.add(known.name if known else "")
        yield known, image
    yield from ((image, None) for image in before.images if image.name not in new and image.name not in taken)


def _compare_data(before: Inventory, after: Inventory) -> Iterator[DataChange]:
    """Data that differs, in the order of the newer bundle; what went comes last."""
    old, new = ({(item.kind, item.source): item for item in side.data} for side in (before, after))
    for place in [*new, *(place for place in old if place not in new)]:
        if old.get(place) != new.get(place):
            yield DataChange(old.get(place), new.get(place))


def _alone(images: list[Image]) -> dict[str, Image]:
    """Images by repository, where it has only one of these."""
    found: dict[str, list[Image]] = {}
    for image in images:
        found.setdefault(parse_reference(image.name).name, []).append(image)
    return {repository: group[0] for repository, group in found.items() if len(group) == 1}


def _compare_images(old: _Open, new: _Open, before: Image | None, after: Image | None) -> ImageChange:
    if before is None or after is None:
        size_before, size_after = (
            side.look(image).size_bytes if image else 0 for side, image in ((old, before), (new, after))
        )
        return ImageChange(before, after, size_before, size_after)
    if _is_alike(before, after) and old.head.targets == new.head.targets:
        return ImageChange(before, after, 0, 0)
    first, second = old.look(before), new.look(after)
    names = sorted(first.platforms.keys() | second.platforms.keys())
    return ImageChange(
        before,
        after,
        first.size_bytes,
        second.size_bytes,
        platforms=Pair(tuple(sorted(first.platforms)), tuple(sorted(second.platforms))),
        omitted=Pair(*(tuple(sorted(item.platform for item in image.omitted)) for image in (before, after))),
        signers=_pair(_signers, first, second),
        strengths=_pair(_strengths, first, second),
        unverified=_pair(_unverified, first, second),
        builders=_pair(_builders, first, second),
        sources=_pair(_sources, first, second),
        papers=tuple(
            change
            for platform in ("", *names)
            if (change := _compare_platform(platform, first, second)).differs
            and (not platform or (platform in first.platforms and platform in second.platforms))
        ),
    )


def _is_alike(before: Image, after: Image) -> bool:
    """Whether two images of one name can only give the same answers."""
    same = (before.name, before.digest, before.platforms, before.omitted) == (
        after.name, after.digest, after.platforms, after.omitted,
    )  # fmt: skip
    return same and {(item.kind, item.subject, item.digest) for item in before.evidence} == {
        (item.kind, item.subject, item.digest) for item in after.evidence
    }


def _pair(told: Callable[[_Seen], Iterator[str]], first: _Seen, second: _Seen) -> Pair:
    return Pair(tuple(sorted(set(told(first)))), tuple(sorted(set(told(second)))))


def _signers(seen: _Seen) -> Iterator[str]:
    for chain in seen.exhibits.chains:
        fact = chain.fact
        issuer = f" (issuer {fact.issuer})" if fact.issuer else ""
        yield f"{_what(fact)}: {fact.signer}{issuer}"


def _strengths(seen: _Seen) -> Iterator[str]:
    """Of everything that is not told as not verified: signatures, attestations, and statements that nobody signed."""
    return (f"{_what(fact)}: {fact.strength}" for fact in seen.facts if not fact.code)


def _unverified(seen: _Seen) -> Iterator[str]:
    return (f"{_what(fact)}: {fact.code}" for fact in seen.facts if fact.code)


def _what(fact: EvidenceFact) -> str:
    about = fact.platform or "whole image"
    return " ".join(part for part in (fact.kind, fact.predicate_type, "about", about) if part)


def _builders(seen: _Seen) -> Iterator[str]:
    for paper in seen.exhibits.papers:
        if paper.provenance is not None:
            yield f"{paper.platform or 'whole image'}: {paper.provenance.claims.builder or 'not said'}"


def _sources(seen: _Seen) -> Iterator[str]:
    for paper in seen.exhibits.papers:
        if paper.provenance is not None:
            claims = paper.provenance.claims
            ref = f" at {claims.source_ref}" if claims.source_ref else ""
            yield f"{paper.platform or 'whole image'}: {claims.source or 'not said'}{ref}"


def _compare_platform(platform: str, first: _Seen, second: _Seen) -> PlatformChange:
    """SBOMs about one platform; those about the whole image have none."""
    sboms = Pair(*(tuple(sorted(set(_sboms(seen, platform)))) for seen in (first, second)))
    one_sided = not sboms.before or not sboms.after
    packages = [[] if one_sided else list(_packages(seen, platform)) for seen in (first, second)]
    return PlatformChange(platform, sboms, compare_packages(*packages))


def _sboms(seen: _Seen, platform: str) -> Iterator[str]:
    """What SBOMs there are; the tools' versions are no difference, another format or a failure is."""
    for paper in seen.exhibits.papers:
        if paper.kind == "sbom" and paper.platform == platform:
            code = f", not read: {paper.failure.code}" if paper.failure else ""
            yield f"{paper.sbom.format}{code}" if paper.sbom else f"{paper.predicate_type}{code}"


def _packages(seen: _Seen, platform: str) -> Iterator[Package]:
    for paper in seen.exhibits.papers:
        if paper.sbom is not None and paper.platform == platform:
            yield from paper.sbom.packages


def _bytes(before: Inventory, after: Inventory) -> tuple[int, int, int]:
    """Bytes as stored: in both, only before, only after."""
    old, new = ({blob.digest: blob.stored_size_bytes for blob in side.blobs} for side in (before, after))
    return (
        sum(size for digest, size in new.items() if digest in old),
        sum(size for digest, size in old.items() if digest not in new),
        sum(size for digest, size in new.items() if digest not in old),
    )
