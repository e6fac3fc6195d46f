"""Everything that belongs to one image: a bounded walk from its descriptor (THREATS E8, E9, I14, I19).

Rules of this module:
- Nothing is parsed before its bytes match size and digest of the descriptor that led to it.
- Bounded: depth, number of nodes, size of every document. Cycle-safe: a document is read once.
- A digest plays one role: document (index or manifest, always under one media type) or blob (config, layer). A blob
  may be named under several layer media types (Docker's and OCI's name for the same layer meet in practice); the first
  in walking order is the one recorded. Its size is always the same.
- What `omit` names is not read and not entered, only listed; if another path enters it, it is not omitted.
- Content that may lie elsewhere (foreign layers) is refused: the image would be sparse.
- The order of nodes is a function of the documents' bytes alone: indexes, then manifests, each in the order in which
  a depth-first walk meets them, then configs, then layers.
"""

from __future__ import annotations

from collections.abc import Callable

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, RejectedError, UnsupportedError
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import ImageIndex, ImageManifest, is_document_type, is_index, is_manifest, parse_manifest
from bundler.value import dataclass, field

Read = Callable[[Descriptor], bytes]


@dataclass(frozen=True, slots=True)
class ImageGraph:
    """The closure of one image. Every document in it was checked against its descriptor.

    `nodes` lists each digest once; `omitted` lists each left-out child once, in walking order.
    """

    top: Descriptor
    documents: dict[Digest, ImageIndex | ImageManifest] = field(hash=False)
    nodes: tuple[Descriptor, ...]
    omitted: tuple[Descriptor, ...]

    def children(self) -> tuple[Descriptor, ...]:
        """All descriptors that indexes of this image list and that were entered, in walking order, each digest once."""
        return tuple(node for node in self.nodes if node.digest in self.documents and node.digest != self.top.digest)


def walk(top: Descriptor, read: Read, *, omit: Callable[[Descriptor], bool] = lambda _: False) -> ImageGraph:
    """Walk from `top` through indexes to manifests, configs and layers.

    Args:
        top: the image's descriptor, index or manifest.
        read: gives the bytes of a document; it is asked only for indexes and manifests, and bounded sizes.
        omit: children of indexes that are left out on purpose.

    Raises:
        RejectedError: bytes that are not what a descriptor names (``blob-size``, ``blob-digest``), or a layer that may
            lie elsewhere (``foreign-layer``).
        MalformedError: a digest in two roles or sizes (``digest-role``, ``digest-size``), or a limit (``limits``).
        UnsupportedError: a digest other than sha256 (``digest-algorithm``), a child that is no manifest.
    """
    walker = _Walker(read, omit)
    walker.enter(top, 0)
    walker.check_omitted()
    return ImageGraph(
        top=top,
        documents=walker.documents,
        nodes=(*walker.indexes, *walker.manifests, *walker.configs, *walker.layers),
        omitted=tuple(entry for entry in walker.omitted.values() if entry.digest not in walker.documents),
    )


def check_document(descriptor: Descriptor, raw: bytes) -> None:
    """Refuse bytes that are not those which `descriptor` names.

    Raises:
        RejectedError: ``blob-size`` or ``blob-digest``.
    """
    if len(raw) != descriptor.size_bytes:
        raise RejectedError(
            "blob-size", "blob", str(descriptor.digest), got=f"{len(raw)} bytes", want=f"{descriptor.size_bytes}"
        )
    if sha256_of(raw) != descriptor.digest:
        raise RejectedError("blob-digest", "blob", str(descriptor.digest), got=str(sha256_of(raw)), want="that digest")


class _Walker:
    """The state of one walk."""

    def __init__(self, read: Read, omit: Callable[[Descriptor], bool]) -> None:
        self._read = read
        self._omit = omit
        self._seen: dict[Digest, Descriptor] = {}
        self.documents: dict[Digest, ImageIndex | ImageManifest] = {}
        self.indexes: list[Descriptor] = []
        self.manifests: list[Descriptor] = []
        self.configs: list[Descriptor] = []
        self.layers: list[Descriptor] = []
        self.omitted: dict[Digest, Descriptor] = {}

    def enter(self, descriptor: Descriptor, depth: int) -> None:
        """Read one document and all below it. `depth` counts the indexes above it."""
        if not self._is_new(descriptor, document=True):
            return
        if depth > limits.INDEX_NESTING:
            raise MalformedError(
                "limits", "index", str(descriptor.digest), got="deeper", want=f"at most {limits.INDEX_NESTING} levels"
            )
        document = self._open(descriptor)
        self.documents[descriptor.digest] = document
        if isinstance(document, ImageIndex):
            self.indexes.append(descriptor)
            for child in document.manifests:
                if self._omit(child):
                    self.omitted.setdefault(child.digest, child)
                else:
                    self.enter(child, depth + 1)
        else:
            self.manifests.append(descriptor)
            self._add_blobs(document)

    def _open(self, descriptor: Descriptor) -> ImageIndex | ImageManifest:
        if not is_index(descriptor.media_type) and not is_manifest(descriptor.media_type):
            # Says schema 1, or an unknown type, in the parser's words, without asking for bytes.
            parse_manifest(b"", descriptor.media_type)
        if descriptor.size_bytes > limits.MANIFEST_BYTES:
            raise MalformedError(
                "limits",
                "manifest",
                str(descriptor.digest),
                got=f"{descriptor.size_bytes} bytes",
                want=f"at most {limits.MANIFEST_BYTES}",
            )
        raw = self._read(descriptor)
        check_document(descriptor, raw)
        return parse_manifest(raw, descriptor.media_type)

    def _add_blobs(self, manifest: ImageManifest) -> None:
        if self._is_new(manifest.config, document=False):
            self.configs.append(manifest.config)
        for layer in manifest.layers:
            if self._is_new(layer, document=False):
                self.layers.append(layer)

    def _is_new(self, descriptor: Descriptor, *, document: bool) -> bool:
        _check_kind(descriptor, document=document)
        known = self._seen.get(descriptor.digest)
        if known is None:
            self._seen[descriptor.digest] = descriptor
            if len(self._seen) > limits.IMAGE_NODES:
                raise MalformedError(
                    "limits", "image", str(descriptor.digest), got="more", want=f"at most {limits.IMAGE_NODES} nodes"
                )
            return True
        check_agree(known, descriptor)
        return False

    def check_omitted(self) -> None:
        """Refuse a child that is left out here and met there in another role."""
        for entry in self.omitted.values():
            known = self._seen.get(entry.digest)
            if known is not None:
                check_agree(known, entry)


def check_agree(known: Descriptor, descriptor: Descriptor) -> None:
    """Refuse two descriptors of one digest that give it two sizes or two roles.

    Raises:
        MalformedError: ``digest-size`` or ``digest-role``.
    """
    if known.size_bytes != descriptor.size_bytes:
        raise MalformedError(
            "digest-size",
            "blob",
            str(descriptor.digest),
            got=f"{descriptor.size_bytes} bytes here, {known.size_bytes} there",
            want="one size",
        )
    types = {known.media_type, descriptor.media_type}
    if len(types) > 1 and any(is_document_type(name) for name in types):
        raise MalformedError(
            "digest-role",
            "blob",
            str(descriptor.digest),
            got=f"{descriptor.media_type} here, {known.media_type} there",
            want="one role",
        )


def _check_kind(descriptor: Descriptor, *, document: bool) -> None:
    if descriptor.digest.algorithm != "sha256":
        raise UnsupportedError("digest-algorithm", "blob", str(descriptor.digest), got="sha512", want="sha256")
    if descriptor.is_foreign:
        raise RejectedError(
            "foreign-layer",
            "layer",
            str(descriptor.digest),
            got=f"{descriptor.media_type}, which may lie outside the registry",
            want="content that the registry holds",
        )
    if not document and is_document_type(descriptor.media_type):
        raise MalformedError(
            "digest-role", "blob", str(descriptor.digest), got=descriptor.media_type, want="a config or a layer"
        )
