"""Scan, patch, scan again: one image in a registry, platform by platform (vulnerability/PATCH.md).

Rules of this module:
- Everything goes by digest: what is scanned is what is patched, is what the bundle carries as the original.
- Neither trivy nor copa is believed. A report has to be about the layers of the manifest that was named; what copa
  pushed is asked of the registry, and has to be the original with layers on top (vulnerability/lineage.py); and at
  least one thing that was fixable has to be gone in the second report. Otherwise nothing is exported.
- A platform with nothing fixable is left as it is, and keeps its manifest.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, RejectedError, UsageError
from bundler.evidence.derivation import Derivation, Original, PatchedPlatform
from bundler.evidence.derivation import Tool as ToolFact
from bundler.export.collect import CollectedImage, collect, naming
from bundler.export.patch_names import patched_name, platform_tag
from bundler.export.required import words_of
from bundler.export.resolve import choose_name, open_source
from bundler.export.settings import ImageRequest
from bundler.fields import Fields
from bundler.network.connection import Connection
from bundler.network.patcher import Patcher, PatchOrder
from bundler.network.registry_source import RegistrySource
from bundler.network.scanner import Scanner
from bundler.oci.annotations import attested_digest
from bundler.oci.descriptor import Descriptor
from bundler.oci.graph import check_document, walk
from bundler.oci.manifest import ImageManifest
from bundler.oci.platforms import UNKNOWN
from bundler.oci.reference import Reference, parse_reference
from bundler.strict_json import parse_foreign
from bundler.value import dataclass, field, replace
from bundler.version import TOOL
from bundler.vulnerability.lineage import PlatformImage, parse_config, verify_lineage
from bundler.vulnerability.scan_report import ScanReport, compare_reports, parse_scan_report

_RUNS_NOWHERE = "unknown/unknown"
_OPENVEX = "https://openvex.dev/ns"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PatchWish:
    """How to patch.

    Attributes:
        suffix: what the tag of a patched image ends in.
        target: registry and path below which patched images are pushed, each to a repository of the original's path;
            None: to the original's own.
        update: whether trivy may fetch its database before the first scan.
    """

    suffix: str = "-patched"
    target: str | None = None
    update: bool = True


@dataclass(slots=True)
class Workshop:
    """What patching works with.

    Attributes:
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
        gone, left: how many vulnerabilities went and stayed, by the scanner's word.
    """

    manifest: Descriptor
    fact: PatchedPlatform
    gone: int
    left: int


@dataclass(frozen=True, slots=True)
class PatchedImage:
    """An image and what became of it.

    Attributes:
        request: the original, by digest.
        name: its normalised reference. patched_name: that of the patched image.
        digest: of the original. is_index: whether that is an index.
        repository: where the patched manifests are.
        platforms: in the original's order.
        documents: reports and VEX, by digest.
        derivation: the statement, but for the patched image's own digest, which is not known yet.
    """

    request: ImageRequest
    name: str
    patched_name: str
    digest: Digest
    is_index: bool
    repository: Reference
    platforms: tuple[PlatformPatch, ...]
    documents: dict[Digest, bytes] = field(repr=False, hash=False)
    derivation: Derivation = field(repr=False)

    @property
    def changed(self) -> bool:
        """Whether any platform was patched."""
        return any(each.fact.original != each.fact.patched for each in self.platforms)


def open_original(request: ImageRequest, connection: Connection) -> tuple[RegistrySource, CollectedImage]:
    """The image to patch, with its evidence, by its digest from now on.

    Raises:
        UsageError: it is not in a registry (``patch-source``); or as `open_source`, `choose_name`, `collect`.
    """
    source = open_source(request, connection)
    if not isinstance(source, RegistrySource):
        source.close()
        raise UsageError(
            "patch-source", "image", request.source, got=f"{source.kind}: not in a registry", want="REGISTRY/NAME",
            hints=["trivy and copa read and push images in registries: push it to one first"],
        )  # fmt: skip
    return source, collect(source, choose_name(request, source.resolve()), request.platforms)


def patch_image(request: ImageRequest, shop: Workshop) -> PatchedImage:
    """Scan, patch and scan again one image.

    Args:
        request: the image, in a registry.
        shop: tools and places.

    Raises:
        EnvError: a tool is absent, failed or lied, or a registry did not answer.
        RejectedError: what was pushed is not the original with layers on top (codes of `verify_lineage`).
        UsageError: as `open_original`.
    """
    versions = (("trivy", shop.scanner.version()), ("copa", shop.patcher.version()))
    scanned_at = shop.clock().replace(microsecond=0)
    source, collected = open_original(request, shop.connection)
    image = collected.image
    with naming(image.name, source):
        work = _ImageWork(shop, source, _target(source, shop.wish), image.name)
        platforms = tuple(work.patch(platform, manifest) for platform, manifest in _manifests(collected))
    kept = {each.platform for each in image.omitted} - {UNKNOWN, _RUNS_NOWHERE}
    return PatchedImage(
        request=_pinned(request, source, image.name, image.digest),
        name=image.name,
        patched_name=patched_name(image.name, shop.wish.suffix),
        digest=image.digest,
        is_index=image.digest not in {each.digest for each in image.platforms},
        repository=work.target,
        platforms=platforms,
        documents=work.documents,
        derivation=Derivation(
            name=patched_name(image.name, shop.wish.suffix),
            image=image.digest,
            original=Original(image.name, image.digest),
            platforms=tuple(each.fact for each in platforms),
            lost=tuple(sorted(kept)),
            had=tuple(sorted(words_of(collected))),
            tools=(*(ToolFact(name, version) for name, version in versions), _ourselves()),
            scanned_at=scanned_at,
            patched_at=shop.clock().replace(microsecond=0),
        ),
    )


def read_platform(source: RegistrySource, manifest: ImageManifest) -> PlatformImage:
    """A manifest with its config, hashed.

    Raises:
        RejectedError: other bytes than the manifest names, or no config.
    """
    raw = source.read_document(manifest.config)
    check_document(manifest.config, raw)
    return PlatformImage(manifest, parse_config(raw))


def _manifests(collected: CollectedImage) -> list[tuple[str, ImageManifest]]:
    manifests = {manifest.digest: manifest for manifest in collected.platform_manifests}
    return [(child.platform, manifests[child.digest]) for child in collected.image.platforms]


@dataclass(slots=True)
class _ImageWork:
    """One image on its way; `documents` are the reports and VEX so far."""

    shop: Workshop
    source: RegistrySource
    target: Reference
    name: str
    documents: dict[Digest, bytes] = field(default_factory=dict)

    def patch(self, platform: str, manifest: ImageManifest) -> PlatformPatch:
        """Scan one platform, and patch it where something can be mended."""
        original = read_platform(self.source, manifest)
        raw, before = self.shop.scan(self.source.repository.name, original)
        report = self._keep(raw)
        if before.fixable:
            return self._mend(platform, original, raw, before)
        same = Descriptor(manifest.media_type, manifest.digest, len(manifest.raw))
        fact = PatchedPlatform(platform, manifest.digest, manifest.digest, report, report, None)
        return PlatformPatch(same, fact, 0, len(before.reported))

    def _mend(self, platform: str, original: PlatformImage, raw: bytes, before: ScanReport) -> PlatformPatch:
        shop, digest = self.shop, original.manifest.digest
        tag = platform_tag(self.name, shop.wish.suffix, platform)
        pushed = f"{self.target.name}:{tag}"
        shop.claim(pushed)
        shop.say(f"patching {self.source.repository.name}@{digest} as {pushed}")
        order = PatchOrder(self.source.repository.name, digest, tag if shop.wish.target is None else pushed, raw)
        vex = shop.patcher.patch(order, shop.fresh())
        _check_vex(vex, shop, pushed)
        made, patched = _read_patched(pushed, shop)
        verify_lineage(original, patched)
        after_raw, after = shop.scan(self.target.name, patched)
        _check_effect(before, after, shop, pushed)
        change = compare_reports(before, after)
        fact = PatchedPlatform(platform, digest, made.digest, sha256_of(raw), self._keep(after_raw), self._keep(vex))
        return PlatformPatch(made, fact, len(change.gone), len(change.left))

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
    """A patch that mends nothing is none."""
    still = {(each.vulnerability, each.package) for each in after.reported}
    if all((each.vulnerability, each.package) in still for each in before.fixable):
        raise shop.patcher.lied(pushed, f"not one of {len(before.fixable)} fixable findings is gone, and no error")


def _check_vex(raw: bytes, shop: Workshop, pushed: str) -> None:
    try:
        fields = Fields(parse_foreign(raw, "VEX document", max_bytes=limits.SCAN_REPORT_BYTES), "VEX document")
        context = fields.text("@context")
    except MalformedError as error:
        raise shop.patcher.lied(pushed, f"its VEX: {error}") from error
    if not context.startswith(_OPENVEX):
        raise shop.patcher.lied(pushed, f"its VEX has the context {context[:80]}")


def _target(source: RegistrySource, wish: PatchWish) -> Reference:
    """The repository that patched images are pushed to."""
    own = parse_reference(source.repository.name)
    if wish.target is None:
        return own
    try:
        return parse_reference(f"{wish.target.rstrip('/')}/{own.repository}")
    except MalformedError as error:
        raise UsageError(error.code, "option", "--to", got=error.got, want="REGISTRY[/PATH]") from error


def _pinned(request: ImageRequest, source: RegistrySource, name: str, digest: Digest) -> ImageRequest:
    """The same image, whatever becomes of its tag meanwhile."""
    return replace(request, source=f"docker://{source.repository.name}@{digest}", name=name)


def _ourselves() -> ToolFact:
    name, _, version = TOOL.partition(" ")
    return ToolFact(name, version or "unknown")
