"""From a source to one image, complete: its documents, its blobs, its evidence, and where evidence was looked for.

Rules of this module:
- The index's own bytes are kept. Platforms that were not asked for are omitted with their attestation manifests; both
  are listed, so the far side knows what is absent on purpose.
- Evidence is looked for about every document that is carried, and about the evidence itself (findings.py).
- Documents, and configs that tell a platform, are hashed before they are parsed (oci/graph.py); blobs are hashed when
  they are staged. What the source lacks is told here, all of it at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from bundler import limits
from bundler.archive.inventory import Image, Omission, PlatformChild
from bundler.digest import Digest
from bundler.errors import RejectedError, SealiftError, UsageError
from bundler.export.findings import Findings
from bundler.network.source import BlobPlace, Source
from bundler.oci.annotations import attested_digest
from bundler.oci.descriptor import Descriptor, Platform, parse_platform
from bundler.oci.graph import ImageGraph, check_document, walk
from bundler.oci.manifest import ImageIndex, ImageManifest, is_index, is_manifest
from bundler.oci.platforms import UNKNOWN, platform_manifests
from bundler.value import dataclass, field


@dataclass(frozen=True, slots=True)
class CollectedImage:
    """One image as it will be listed, and everything of it that travels.

    `nodes` has each digest once: documents and blobs of the image, then those of its evidence. `evidence_manifests`
    holds the parsed manifests by digest, the ones in indexes too; `platform_manifests` those of the image's platforms.
    `made` are blobs that the exporter adds itself, such as proofs that it fetched.
    """

    image: Image
    source: Source
    nodes: tuple[Descriptor, ...]
    evidence_manifests: dict[Digest, ImageManifest]
    platform_manifests: tuple[ImageManifest, ...] = ()
    made: Mapping[Digest, bytes] = field(default_factory=dict)


def collect(
    source: Source,
    name: str,
    platforms: Sequence[Platform] = (),
    *,
    present: frozenset[Digest] = frozenset(),
    may_lack: frozenset[str] = frozenset(),
) -> CollectedImage:
    """Collect one image.

    Args:
        source: where it is.
        name: its normalised reference.
        platforms: which to carry; all when empty.
        present: what other images bring anyway, and so is not left out here either.
        may_lack: words of evidence that may be missing even because a place could not answer.

    Raises:
        RejectedError: the source is incomplete (``incomplete-source``), gives other bytes than its descriptors name,
            or has ambiguous evidence (``evidence-ambiguous``).
        EnvError: a place where evidence may lie could not answer.
        UsageError: a platform that the image has not (``platform-absent``).
        MalformedError, UnsupportedError: documents with no one meaning, or of unknown kinds.
    """
    with naming(name, source):
        resolved = source.resolve()
        top = resolved.descriptor
        top = Descriptor(top.media_type, top.digest, top.size_bytes)
        reader = _Reader(source)
        omitted = _omissions(top, reader, platforms, present)
        graph = walk(top, reader.read, omit=lambda descriptor: descriptor.digest in omitted)
        check_whole(source, graph.nodes)  # before a config is read, so that all that is missing is named
        children = platform_manifests(graph, reader.read_checked)
        _check_platforms(graph, children, platforms)
        found = Findings(graph, [digest for _, digest in children])
        found.search_indexes()
        found.search_places(source.places, reader.read, may_lack)
        nodes = found.nodes()
        check_whole(source, nodes)
        image = Image(
            name=name,
            digest=top.digest,
            media_type=top.media_type,
            size_bytes=top.size_bytes,
            source=source.kind,
            platforms=tuple(PlatformChild(platform, digest) for platform, digest in children),
            omitted=tuple(map(_omission, graph.omitted)),
            evidence=tuple(found.evidence.values()),
            searches=tuple(found.searches),
            digest_origin=resolved.digest_origin,
        )
        documents = [graph.documents[digest] for _, digest in children]
        manifests = tuple(document for document in documents if isinstance(document, ImageManifest))
        return CollectedImage(image, source, nodes, found.manifests, manifests)


@contextlib.contextmanager
def naming(name: str, source: BlobPlace) -> Iterator[None]:
    """Add to an error from inside the block which image and place it is about."""
    try:
        yield
    except SealiftError as error:
        error.hints = (*error.hints, f"image {name}, from {source.place}")
        raise


def check_whole(source: Source, nodes: Sequence[Descriptor]) -> None:
    """Refuse a source that lacks any of `nodes`, and name them.

    Raises:
        RejectedError: code ``incomplete-source``.
    """
    missing = source.missing(nodes)
    if missing:
        listed = [f"missing: {item.digest} ({item.media_type}, {item.size_bytes} bytes)" for item in missing]
        raise RejectedError(
            "incomplete-source",
            "source",
            source.place,
            got=f"{len(missing)} of {len(nodes)} blobs missing or of another size",
            want="a whole image",
            hints=listed[: limits.HINTS],
        )


class _Reader:
    """Documents of one source, each read once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: dict[Digest, bytes] = {}

    def read(self, descriptor: Descriptor) -> bytes:
        """Bytes of a document, unchecked, cut one byte over the size that was first asked for."""
        known = self._known.get(descriptor.digest)
        if known is None:
            known = self._known[descriptor.digest] = self._source.read_document(descriptor)
        return known

    def read_checked(self, descriptor: Descriptor) -> bytes:
        """Bytes of a config, hashed: what it says decides what is carried.

        Raises:
            RejectedError: other bytes than the descriptor names (``blob-size``, ``blob-digest``).
        """
        raw = self.read(descriptor)
        check_document(descriptor, raw)
        return raw


def _omissions(
    top: Descriptor, reader: _Reader, platforms: Sequence[Platform], present: frozenset[Digest]
) -> frozenset[Digest]:
    """Digests of all children to leave out: other platforms, and attestation manifests about them."""
    if not platforms or not is_index(top.media_type):
        return frozenset()
    indexes = walk(top, reader.read, omit=lambda descriptor: not is_index(descriptor.media_type))
    entries = [
        child
        for document in indexes.documents.values()
        if isinstance(document, ImageIndex)
        for child in document.manifests
        if not is_index(child.media_type)
    ]
    images = [child for child in entries if attested_digest(child) is None]
    kept = {child.digest for child in images if child.digest in present or _is_wanted(child, reader, platforms)}
    left_out = {child.digest for child in images} - kept
    kept |= {child.digest for child in entries if attested_digest(child) not in {None, *left_out}}
    kept |= {child.digest for child in entries if child.digest in present}
    return frozenset(child.digest for child in entries) - kept


def _is_wanted(child: Descriptor, reader: _Reader, platforms: Sequence[Platform]) -> bool:
    platform = child.platform
    if platform is None and is_manifest(child.media_type):
        graph = walk(child, reader.read)
        platform = _platform_or_none(platform_manifests(graph, reader.read_checked)[0][0])
    return platform is not None and any(wanted.covers(platform) for wanted in platforms)


def _check_platforms(graph: ImageGraph, children: Sequence[tuple[str, Digest]], platforms: Sequence[Platform]) -> None:
    """Each platform that was asked for is there; an index may list one manifest for several."""
    present = [_platform_or_none(platform) for platform, _ in children]
    carried = {digest for _, digest in children}
    indexes = [document for document in graph.documents.values() if isinstance(document, ImageIndex)]
    present += [entry.platform for index in indexes for entry in index.manifests if entry.digest in carried]
    for wanted in platforms:
        if not any(platform is not None and wanted.covers(platform) for platform in present):
            told = [str(entry.platform) for index in indexes for entry in index.manifests if entry.platform is not None]
            names = ", ".join(dict.fromkeys(name for name in told if name != "unknown/unknown"))  # BuildKit's evidence
            names = names or ", ".join(platform for platform, _ in children) or "none"
            raise UsageError(
                "platform-absent", "platform", str(wanted), got=f"not among {names}", want="one that is there"
            )


def _platform_or_none(text: str) -> Platform | None:
    return None if text == UNKNOWN else parse_platform(text)


def _omission(descriptor: Descriptor) -> Omission:
    platform = str(descriptor.platform) if descriptor.platform else UNKNOWN
    return Omission(descriptor.digest, descriptor.media_type, descriptor.size_bytes, platform)
