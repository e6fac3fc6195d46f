"""How a blob is stored, and where it stands: functions of its media type and sizes (FORMAT.md, "Compression", "Order").

Rules of this module:
- Indexes, manifests, image configs, content that is compressed already, and anything below 64 KiB stay raw.
- A frame must save at least a tenth; otherwise the blob stays raw.
- Order in the file: indexes, manifests, image configs, then all that is not an image layer (evidence), then image
  layers. Within a rank the exporter keeps the order in which the images, in inventory order, reach the blobs.
- Media types are the registry's words, not facts. They choose storage and place, never trust.
"""

from __future__ import annotations

import re

from bundler import limits
from bundler.oci.manifest import OCI_CONFIG, is_index, is_manifest

DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
CONFIG_TYPES = frozenset({OCI_CONFIG, DOCKER_CONFIG})

_LAYER = re.compile(r"application/vnd\.(?:oci\.image\.layer\.|docker\.image\.rootfs\.).*", re.DOTALL)
_WORDS = re.compile(r"[a-z0-9]+", re.ASCII)
_COMPRESSED = frozenset({"gzip", "gz", "zstd", "zst", "xz", "bzip2", "lz4", "zip"})
_RANK_INDEX, _RANK_MANIFEST, _RANK_CONFIG, _RANK_EVIDENCE, _RANK_LAYER = range(5)


def blob_rank(media_type: str) -> int:
    """Place of a blob in the file: 0 indexes, 1 manifests, 2 image configs, 3 evidence and others, 4 image layers."""
    if is_index(media_type):
        return _RANK_INDEX
    if is_manifest(media_type):
        return _RANK_MANIFEST
    if media_type in CONFIG_TYPES:
        return _RANK_CONFIG
    return _RANK_LAYER if _LAYER.fullmatch(media_type) else _RANK_EVIDENCE


def may_compress(media_type: str, size_bytes: int) -> bool:
    """Whether a blob may be stored as a frame (`stored: zstd`), before the gain is known."""
    return (
        size_bytes >= limits.COMPRESS_FROM_BYTES
        and blob_rank(media_type) > _RANK_CONFIG
        and _COMPRESSED.isdisjoint(_WORDS.findall(media_type.lower()))
    )


def pays(size_bytes: int, stored_size_bytes: int) -> bool:
    """Whether a frame saves at least a tenth."""
    return stored_size_bytes * 10 <= size_bytes * 9
