"""Which blobs of a bundle may be read as documents: what is kept of a pipe while it passes."""

from __future__ import annotations

from bundler import limits
from bundler.archive.inventory import Blob
from bundler.archive.layout import DATA_TYPES
from bundler.oci.manifest import is_document_type

_LAYER_MARKS = (".layer.", ".rootfs.", "application/octet-stream")
_DATA_TYPES = frozenset(media_type for types in DATA_TYPES.values() for media_type in types)


def is_document(blob: Blob) -> bool:
    """Whether a blob may be read as a document, so that it is kept when it passes: no layers, no large data."""
    if is_document_type(blob.media_type):
        return True
    if blob.media_type in _DATA_TYPES:
        return blob.size_bytes <= limits.PIPED_DATA_BYTES
    small = blob.size_bytes <= limits.EVIDENCE_BLOB_BYTES
    return small and not any(mark in blob.media_type for mark in _LAYER_MARKS)
