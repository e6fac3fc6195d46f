"""An index without the children that were left at home, for registries that refuse to hold a sparse one.

Rules of this module:
- The original index is always tried first; this is the way out, and it is said: another index has another digest, and
  signatures of the original do not cover it.
- Nothing is invented: the derived index is the original's JSON less the absent entries, with one annotation that names
  the digest of the original. The same input gives the same bytes.
- An index above a derived one names the derived one in its place, and so is derived itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from bundler import limits
from bundler.deliver.holdings import HeldImage
from bundler.digest import Digest
from bundler.errors import RejectedError
from bundler.oci.manifest import OCI_INDEX, ImageIndex, parse_manifest
from bundler.strict_json import parse_foreign

DERIVED_FROM = "dev.sealift.index.derived-from"


def derive_indexes(image: HeldImage) -> Mapping[Digest, ImageIndex]:
    """What takes the place of each sparse index of an image, and of each index above one, by the original's digest.

    Raises:
        RejectedError: every child of an index was left at home (code ``load-sparse``).
    """
    derived: dict[Digest, ImageIndex] = {}
    for document in image.documents:  # children come before the indexes that name them
        if isinstance(document, ImageIndex):
            made = _derive(document, image.omitted, derived)
            if made is not None:
                derived[document.digest] = made
    return derived


def _derive(index: ImageIndex, omitted: frozenset[Digest], known: Mapping[Digest, ImageIndex]) -> ImageIndex | None:
    if not any(child.digest in omitted or child.digest in known for child in index.manifests):
        return None
    value: dict[str, Any] = parse_foreign(index.raw, "index", max_bytes=limits.MANIFEST_BYTES)
    pairs = zip(value["manifests"], index.manifests, strict=True)
    kept = [_entry(entry, known.get(child.digest)) for entry, child in pairs if child.digest not in omitted]
    if not kept:
        raise RejectedError("load-sparse", "index", str(index.digest), got="no child in the bundle", want="one or more")
    annotations = {**(value.get("annotations") or {}), DERIVED_FROM: str(index.digest)}
    value |= {"manifests": kept, "annotations": annotations, "mediaType": OCI_INDEX}
    raw = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    return cast("ImageIndex", parse_manifest(raw, OCI_INDEX))


def _entry(entry: dict[str, Any], made: ImageIndex | None) -> dict[str, Any]:
    if made is None:
        return entry
    return entry | {"mediaType": made.media_type, "digest": str(made.digest), "size": len(made.raw)}
