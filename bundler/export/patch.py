"""Scan, patch, scan again: one image in a registry, platform by platform (vulnerability/PATCH.md).

Rules of this module:
- The original is resolved once, and goes by its digest from then on, whatever becomes of its tag.
- Each platform is patched by itself (patch_platform.py). What became of all of them is the statement to sign.
"""

from __future__ import annotations

from bundler.digest import Digest
from bundler.errors import MalformedError, UsageError
from bundler.evidence.derivation import Derivation, Original
from bundler.evidence.derivation import Tool as ToolFact
from bundler.export.collect import CollectedImage, collect, naming
from bundler.export.patch_names import patched_name
from bundler.export.patch_platform import PatchWish, PlatformPatch, PlatformWork, Workshop, named, read_platform
from bundler.export.required import check_required, words_of
from bundler.export.resolve import choose_name, open_source
from bundler.export.settings import ImageRequest
from bundler.network.connection import Connection
from bundler.network.registry_source import RegistrySource
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import ImageManifest
from bundler.oci.platforms import UNKNOWN
from bundler.oci.reference import Reference, parse_reference
from bundler.value import dataclass, field, replace
from bundler.version import TOOL

_RUNS_NOWHERE = "unknown/unknown"


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
    name = choose_name(request, source.resolve())
    collected = collect(source, name, request.platforms, may_lack=request.may_lack)
    with naming(name, source):
        check_required(collected, request.require)  # before anything is patched for nothing
    return source, collected


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
        work = PlatformWork(shop, source, _target(source, shop.wish), image.name)
        platforms = tuple(
            replace(work.patch(platform, manifest), target=node.platform)
            for platform, node, manifest in _manifests(collected)
        )
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


@dataclass(frozen=True, slots=True)
class PlannedPlatform:
    """One platform, scanned.

    Attributes:
        platform, manifest: which.
        found: how many vulnerabilities it has, by the scanner's word.
        mendable: which of them copa can mend, as `ID in PACKAGE`.
        looked: whether trivy looked at packages of a distribution.
    """

    platform: str
    manifest: Digest
    found: int
    mendable: tuple[str, ...]
    looked: bool


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """An image, scanned: its normalised reference, its digest, and its platforms in order."""

    name: str
    digest: Digest
    platforms: tuple[PlannedPlatform, ...]


def plan_image(request: ImageRequest, shop: Workshop) -> PlannedImage:
    """Scan one image and patch nothing; copa is not needed. Raises as `patch_image`."""
    shop.scanner.version()
    source, collected = open_original(request, shop.connection)
    found = []
    with naming(collected.image.name, source):
        for platform, _, manifest in _manifests(collected):
            _, report = shop.scan(source.repository.name, read_platform(source, manifest))
            ids = {each.vulnerability for each in report.reported}
            looked = report.saw_distribution
            found.append(PlannedPlatform(platform, manifest.digest, len(ids), named(report), looked))
    return PlannedImage(collected.image.name, collected.image.digest, tuple(found))


def _manifests(collected: CollectedImage) -> list[tuple[str, Descriptor, ImageManifest]]:
    manifests = {manifest.digest: manifest for manifest in collected.platform_manifests}
    nodes = {node.digest: node for node in collected.nodes}
    return [(child.platform, nodes[child.digest], manifests[child.digest]) for child in collected.image.platforms]


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
