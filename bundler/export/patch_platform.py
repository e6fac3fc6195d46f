"""Scan, patch, scan again: one platform of an image in a registry (vulnerability/PATCH.md).

Rules of this module:
- Everything goes by digest: what is scanned is what is patched, is what the bundle carries as the original.
- Neither trivy nor copa is believed. A report has to be about the layers of the manifest that was named; what copa
  pushed is asked of the registry, and has to be the original with layers on top (vulnerability/lineage.py); and at
  least one thing that copa can mend has to be gone in the second report. Otherwise nothing is exported.
- A platform in which copa can mend nothing is left as it is, and keeps its manifest. One that copa cannot patch ends
  the run, unless that was allowed; then it is left likewise, and the reason is told. So is it when trivy found nothing
  because it looked at no packages of a distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, RejectedError, UnsupportedError, UsageError
from bundler.evidence.derivation import PatchedPlatform
from bundler.export.patch_names import platform_tag
from bundler.network.connection import Connection
from bundler.network.patcher import Patcher, PatchOrder
from bundler.network.registry_source import RegistrySource
from bundler.network.scanner import Scanner
from bundler.oci.annotations import attested_digest
from bundler.oci.descriptor import Descriptor, Platform
from bundler.oci.graph import check_document, walk
from bundler.oci.manifest import ImageManifest
from bundler.oci.reference import Reference, parse_reference
from bundler.value import dataclass, field, replace
from bundler.vulnerability.copa_vex import parse_copa_vex
from bundler.vulnerability.lineage import PlatformImage, parse_config, verify_lineage
from bundler.vulnerability.scan_report import ScanReport, compare_reports, parse_scan_report

_LEAVE = "--allow-unpatched carries such a platform as it is, and says so"
# What copa itself could not do, or did for another platform; a lie stays a lie.
_CANNOT = frozenset({"copa-failed", "copa-stalled", "lineage-platform"})

BLIND = "trivy looked at no packages of a distribution here, so that nothing can be said of them"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PatchWish:
    """How to patch.

    Attributes:
        suffix: what the tag of a patched image ends in.
        target: registry and path below which patched images are pushed, each to a repository of the original's path;
            None: to the original's own.
        update: whether trivy may fetch its database before the first scan.
        allow_unpatched: whether a platform that copa cannot patch may be carried as it is.
    """

    suffix: str = "-patched"
    target: str | None = None
    update: bool = True
    allow_unpatched: bool = False


@dataclass(slots=True)
class Workshop:
    """What patching works with.

    Attributes:
        say: tells how far the work is. warn: tells what must not be missed.
        updated: the database was fetched in this run already.
        pushed: what copa was told to push so far; no two images may share a tag.
    """

    connection: Connection
    scanner: Scanner
    patcher: Patcher
    folder: Path
    wish: PatchWish
    clock: Callable[[], datetime]
    say: Say = lambda _text: None
    warn: Say = lambda _text: None
    updated: bool = False
    pushed: set[str] = field(default_factory=set)
    _calls: int = 0

    def fresh(self) -> Path:
        """A folder for one call; it is not there yet."""
        self._calls += 1
        return self.folder / f"call-{self._calls}"

    def claim(self, pushed: str) -> None:
        """Take a tag for one platform of one image.

        Raises:
            UsageError: it was taken in this run (``patch-tag``).
        """
        if pushed in self.pushed:
            raise UsageError(
                "patch-tag", "tag", pushed, got="of two images", want="one", hints=["patch them in two runs"]
            )
        self.pushed.add(pushed)

    def scan(self, repository: str, image: PlatformImage) -> tuple[bytes, ScanReport]:
        """A report about one manifest, and its bytes.

        Raises:
            EnvError: trivy failed, or its report is none, or about something else (``trivy-lied``).
        """
        which = f"{repository}@{image.manifest.digest}"
        self.say(f"scanning {which}")
        update = self.wish.update and not self.updated
        raw = self.scanner.scan(repository, image.manifest.digest, self.fresh(), update=update)
        self.updated = True
        try:
            report = parse_scan_report(raw)
            report.check_about(image.config.diff_ids, which)
        except RejectedError as error:
            raise self.scanner.lied(which, f"its report: {error}") from error
        return raw, report


@dataclass(frozen=True, slots=True)
class PlatformPatch:
    """One platform, scanned, patched or not, and scanned again.

    Attributes:
        manifest: descriptor of the manifest now.
        fact: what the statement will say.
        gone, left: how many vulnerabilities went and are there now, by the scanner's word.
        mendable: what of those left copa could mend, as `ID in PACKAGE`, sorted.
        refused: why copa did not patch it; empty when it did, or had not to.
        target: what the original's index says that it runs on.
        looked: whether trivy looked at packages of a distribution.
    """

    manifest: Descriptor
    fact: PatchedPlatform
    gone: int
    left: int
    mendable: tuple[str, ...] = ()
    refused: str = ""
    target: Platform | None = None
    looked: bool = True


def read_platform(source: RegistrySource, manifest: ImageManifest) -> PlatformImage:
    """A manifest with its config, hashed.

    Raises:
        RejectedError: other bytes than the manifest names, or no config.
    """
    raw = source.read_document(manifest.config)
    check_document(manifest.config, raw)
    return PlatformImage(manifest, parse_config(raw))


@dataclass(slots=True)
class PlatformWork:
    """The platforms of one image on their way; `documents` are the reports and VEX so far."""

    shop: Workshop
    source: RegistrySource
    target: Reference
    name: str
    documents: dict[Digest, bytes] = field(default_factory=dict)

    def patch(self, platform: str, manifest: ImageManifest) -> PlatformPatch:
        """Scan one platform, and patch it where copa can mend something.

        Raises:
            EnvError, RejectedError: as `patch_image`; but for what copa cannot do, where that is allowed.
        """
        original = read_platform(self.source, manifest)
        raw, before = self.shop.scan(self.source.repository.name, original)
        if not before.saw_distribution:
            self.shop.warn(f"warning: {self.name} {platform}: {BLIND}")
        if not before.mendable:
            return self._left(platform, manifest, raw, before)
        try:
            return self._mend(platform, original, raw, before)
        except (EnvError, RejectedError) as error:
            if error.code not in _CANNOT:
                raise
            if not self.shop.wish.allow_unpatched:
                raise _with_way_out(error, platform) from error
            self.shop.warn(f"warning: {self.name} {platform} is left unpatched: [{error.code}] {error}")
            left = self._left(platform, manifest, raw, before)
            return replace(left, refused=f"[{error.code}] {error}")

    def _left(self, platform: str, manifest: ImageManifest, raw: bytes, report: ScanReport) -> PlatformPatch:
        same = Descriptor(manifest.media_type, manifest.digest, len(manifest.raw))
        kept = self._keep(raw)
        fact = PatchedPlatform(platform, manifest.digest, manifest.digest, kept, kept, None)
        left = len(compare_reports(report, report).left)
        return PlatformPatch(same, fact, 0, left, named(report), looked=report.saw_distribution)

    def _mend(self, platform: str, original: PlatformImage, raw: bytes, before: ScanReport) -> PlatformPatch:
        shop, digest = self.shop, original.manifest.digest
        tag = platform_tag(self.name, shop.wish.suffix, platform)
        pushed = f"{self.target.name}:{tag}"
        shop.claim(pushed)
        shop.say(f"patching {self.source.repository.name}@{digest} as {pushed}")
        order = PatchOrder(self.source.repository.name, digest, tag if shop.wish.target is None else pushed, raw)
        vex = shop.patcher.patch(order, shop.fresh())
        made, patched = _read_patched(pushed, shop)
        _check_vex(vex, made.digest, shop, pushed)
        verify_lineage(original, patched)
        after_raw, after = shop.scan(self.target.name, patched)
        _check_effect(before, after, shop, pushed)
        change = compare_reports(before, after)
        kept = [self._keep(each) for each in (raw, after_raw, vex)]
        fact = PatchedPlatform(platform, digest, made.digest, kept[0], kept[1], kept[2])
        return PlatformPatch(made, fact, len(change.gone), len(change.left) + len(change.new), named(after))

    def _keep(self, raw: bytes) -> Digest:
        digest = sha256_of(raw)
        self.documents[digest] = raw
        return digest


def _read_patched(pushed: str, shop: Workshop) -> tuple[Descriptor, PlatformImage]:
    """What the registry holds under the tag that copa was told: one manifest, perhaps in an index of its own."""
    source = RegistrySource(shop.connection, parse_reference(pushed), pushed)
    try:
        top = source.resolve().descriptor
    except RejectedError as error:
        raise shop.patcher.lied(pushed, f"no such image in the registry, and no error ({error.code})") from error
    graph = walk(top, source.read_document)
    attestations = {node.digest for node in graph.nodes if attested_digest(node) is not None}
    manifests = [
        node
        for node in graph.nodes
        if isinstance(graph.documents.get(node.digest), ImageManifest) and node.digest not in attestations
    ]
    if len(manifests) != 1:
        raise shop.patcher.lied(pushed, f"{len(manifests)} image manifests")
    node = manifests[0]
    manifest = graph.documents[node.digest]
    if not isinstance(manifest, ImageManifest):
        raise shop.patcher.lied(pushed, "an index")
    return Descriptor(node.media_type, node.digest, node.size_bytes), read_platform(source, manifest)


def _check_effect(before: ScanReport, after: ScanReport, shop: Workshop, pushed: str) -> None:
    """A patch that mends nothing is none, nor is one after which trivy no longer knows the distribution."""
    try:
        after.check_sees_as(before)
    except RejectedError as error:
        raise shop.patcher.lied(pushed, str(error)) from error
    still = {(each.vulnerability, each.package) for each in after.reported}
    if all((each.vulnerability, each.package) in still for each in before.mendable):
        raise shop.patcher.lied(pushed, f"not one of {len(before.mendable)} fixable findings is gone, and no error")


def _check_vex(raw: bytes, made: Digest, shop: Workshop, pushed: str) -> None:
    try:
        parse_copa_vex(raw, made)
    except (RejectedError, UnsupportedError) as error:
        raise shop.patcher.lied(pushed, f"its VEX: {error}") from error


def named(report: ScanReport) -> tuple[str, ...]:
    """What copa could mend, by this report."""
    return tuple(sorted({f"{each.vulnerability} in {each.package}" for each in report.mendable}))


def _with_way_out(error: EnvError | RejectedError, platform: str) -> EnvError | RejectedError:
    """The same error with hints."""
    hints = [*error.hints, _LEAVE]
    if error.code == "lineage-platform":
        hints.insert(0, f"copa writes the platform of its own machine: run it on one of {platform}")
    return type(error)(error.code, error.what, error.which, got=error.got, want=error.want, hints=hints)
