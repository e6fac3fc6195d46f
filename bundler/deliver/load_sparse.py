"""An index without the children that were left at home, for registries that refuse to hold a sparse one.

Rules of this module:
- The original index is always tried first; this is the way out, and it is said: another index has another digest, and
  signatures of the original do not cover it.
- Nothing is invented: the derived index is the original's JSON less the absent entries, with one annotation that names
  the digest of the original. The same input gives the same bytes.
- An index above a derived one names the derived one in its place, and so is derived itself. An index within the image
  of which nothing is in the bundle is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, cast

from bundler import limits
from bundler.deliver.holdings import HeldImage
from bundler.digest import Digest
from bundler.oci.manifest import ImageIndex, parse_manifest
from bundler.strict_json import parse_foreign
from bundler.value import dataclass, field

DERIVED_FROM = "dev.sealift.index.derived-from"


@dataclass(frozen=True, slots=True)
class Derived:
    """What takes the place of sparse indexes.

    Attributes:
        indexes: the derived index by the original's digest.
        dropped: indexes of which no child is in the bundle; those above them do without.
    """

    indexes: Mapping[Digest, ImageIndex] = field(default_factory=dict)
    dropped: frozenset[Digest] = frozenset()

    def replaces(self, digest: Digest) -> bool:
        """Whether the document with this digest is not pushed itself."""
        return digest in self.indexes or digest in self.dropped


def derive_indexes(image: HeldImage) -> Derived:
    """What takes the place of each sparse index of an image, and of each index above one; nothing for a whole image."""
    indexes: dict[Digest, ImageIndex] = {}
    absent = set(image.omitted)
    for document in image.documents:  # children come before the indexes that name them
        if not isinstance(document, ImageIndex):
            continue
        children = {child.digest for child in document.manifests}
        if children and children <= absent:
            absent.add(document.digest)
        elif children & absent or not indexes.keys().isdisjoint(children):
            indexes[document.digest] = _derive(document, absent, indexes)
    return Derived(indexes, frozenset(absent - image.omitted))


def _derive(index: ImageIndex, absent: AbstractSet[Digest], known: Mapping[Digest, ImageIndex]) -> ImageIndex:
    value: dict[str, Any] = parse_foreign(index.raw, "index", max_bytes=limits.MANIFEST_BYTES)
    pairs = zip(value["manifests"], index.manifests, strict=True)
    kept = [_entry(entry, known.get(child.digest)) for entry, child in pairs if child.digest not in absent]
    annotations = {**(value.get("annotations") or {}), DERIVED_FROM: str(index.digest)}
    value |= {"manifests": kept, "annotations": annotations}
    raw = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    return cast("ImageIndex", parse_manifest(raw, index.media_type))


def _entry(entry: dict[str, Any], made: ImageIndex | None) -> dict[str, Any]:
    if made is None:
        return entry
    return entry | {"mediaType": made.media_type, "digest": str(made.digest), "size": len(made.raw)}
