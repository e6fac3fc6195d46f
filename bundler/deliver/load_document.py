"""A load as one document: what was planned, or what was done, for `load --json`, its text, and the site's log.

Rules of this module:
- One form for all targets: what does not apply to a target is absent, never `null` or zero by pretence.
- What a bundle holds and no target takes (vulnerability data) is said: `not_loaded`.
- Digests say what stands at the target. Where that is not what was verified (a derived index, another digest in a
  storage), the document says so under `changed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bundler.deliver.load_layout import Named, Written
from bundler.deliver.load_names import SkopeoTarget
from bundler.deliver.load_plan import Plan, PlannedImage
from bundler.deliver.load_registry import Loaded
from bundler.deliver.load_storage import Stored
from bundler.deliver.verified import VerifiedBundle
from bundler.wording import counted

LOAD_VERSION = 1
NO_DIGESTS = "this storage keeps no digests; what runs from it cannot be compared with what was verified"
_LISTED = {True: "API", False: "fallback tags", None: "API or fallback tags; known after the first push"}
NOT_COVERED = "an index without the children that were left at home; the image's signatures cover the original only"


def head_document(bundle: VerifiedBundle, target: str, *, dry_run: bool) -> dict[str, Any]:
    """What every load's document begins with."""
    facts = bundle.report.bundle
    left = [{"kind": data.kind, "source": data.source, "digest": str(data.digest)} for data in bundle.inventory.data]
    document = {
        "version": LOAD_VERSION,
        "target": target,
        "dry_run": dry_run,
        "file": bundle.report.file,
        "pin": str(bundle.stream[0]),
        "stream": bundle.inventory.stream,
        "sequence": bundle.inventory.sequence,
        "inventory": "" if facts is None else str(facts.inventory),
    }
    return document | ({"not_loaded": left} if left else {}) | ({} if bundle.images else {"images": []})


def plan_document(plan: Plan, *, overwrite: bool) -> list[dict[str, Any]]:
    """What will happen to each image at a registry."""
    return [_planned(image, lists=plan.lists_referrers, overwrite=overwrite) for image in plan.images]


def loaded_document(loaded: Iterable[Loaded]) -> list[dict[str, Any]]:
    """What became of each image at a registry."""
    return [_loaded(item) for item in loaded]


def layout_document(written: Written, listed: Iterable[Named]) -> dict[str, Any]:
    """What was written into a layout; by name, what each name there stands for."""
    return {
        "digests": {item.name: str(item.document.digest) for item in listed if item.name},
        "blobs_written": written.written,
        "blobs_present": written.present,
        "bytes_written": written.bytes_written,
        "names_set": list(written.names_set),
        "names_kept": list(written.names_kept),
    }


def storage_document(
    planned: Iterable[Stored], target: SkopeoTarget, missing: Sequence[Stored]
) -> list[dict[str, Any]]:
    """What goes, or went, into a storage, and what was there already."""
    changes = target.transport == "docker-daemon"
    return [
        {
            "name": item.held.image.name,
            "to": f"{target.transport}:{item.name}",
            "digest": str(item.digest),
            "platform": item.platform,
            "present": item not in missing,
        }
        | ({"changed": {"why": NO_DIGESTS}} if changes else {})
        for item in planned
    ]


def load_lines(document: dict[str, Any]) -> Sequence[str]:
    """The document for people."""
    word, wrote = ("would load", "to write") if document["dry_run"] else ("loaded", "written")
    lines = [f"{word} {document['file']} into {document['target']}"]
    if document.get("images") == []:
        lines = [f"nothing to load into {document['target']}: {document['file']} holds no image"]
    lines.append(f"  stream {document['stream']}, sequence {document['sequence']}")
    if "not_loaded" in document:
        sources = counted(len(document["not_loaded"]), "source")
        lines.append(f"  {sources} of vulnerability data not loaded: registries and storages hold images")
    if "layout" in document:
        lines += _layout_lines(document["layout"], wrote)
    for image in document.get("images", ()):
        lines += _image_lines(image)
    return lines


def _planned(image: PlannedImage, *, lists: Mapping[str, bool | None], overwrite: bool) -> dict[str, Any]:
    document = {
        "name": image.held.image.name,
        "to": str(image.placed.name),
        "digest": str(image.held.image.digest),
        "blobs_missing": len(image.blobs),
        "documents_missing": len(image.documents),
        "bytes_missing": image.missing_bytes,
        "referrers": _LISTED[lists[image.placed.name.name]],
        "sparse": image.held.is_sparse,
        "tags": [
            {"tag": tag.tag, "state": tag.state, "digest": str(tag.digest)}
            | ({"found": str(tag.found)} if tag.found is not None else {})
            for tag in image.tags
        ],
    }
    return document | ({"conflict": True} if image.conflicts and not overwrite else {})


def _loaded(loaded: Loaded) -> dict[str, Any]:
    image = loaded.planned
    document: dict[str, Any] = {
        "name": image.held.image.name,
        "to": str(image.placed.name),
        "digest": str(loaded.digest),
        "blobs_pushed": loaded.blobs_pushed,
        "blobs_mounted": loaded.blobs_mounted,
        "documents_pushed": loaded.documents_pushed,
        "bytes_pushed": loaded.bytes_pushed,
        "evidence": len(image.held.evidence),
        "tags_set": list(loaded.tags_set),
        "fallback_tags_set": list(loaded.fallbacks_set),
    }
    if loaded.derived.indexes:
        document["changed"] = {
            "why": NOT_COVERED,
            "derived": {str(original): str(index.digest) for original, index in loaded.derived.indexes.items()},
        }
    return document


def _layout_lines(layout: dict[str, Any], wrote: str) -> Iterable[str]:
    yield (
        f"  {counted(layout['blobs_written'], 'blob')} {wrote} ({layout['bytes_written']} bytes), "
        f"{layout['blobs_present']} there already"
    )
    yield from (f"  name {name}" for name in layout["names_set"])
    yield from (f"  name {name}, as before" for name in layout["names_kept"])


def _image_lines(image: dict[str, Any]) -> Iterable[str]:
    yield f"{image['name']}"
    yield f"  to {image['to']}"
    yield f"  {image['digest']}"
    if "blobs_missing" in image:
        yield (
            f"  to push: {counted(image['blobs_missing'], 'blob')}, {counted(image['documents_missing'], 'manifest')}, "
            f"{image['bytes_missing']} bytes; referrers by {image['referrers']}"
        )
        for tag in image["tags"]:
            found = f", now {tag['found']}" if tag["state"] == "moves" else ""
            yield f"  tag {tag['tag']}: {tag['state']}{found}"
        if image["sparse"]:
            yield "  the index is sparse: some of its children were left at home"
    elif "blobs_pushed" in image:
        yield (
            f"  pushed {counted(image['blobs_pushed'], 'blob')} ({image['bytes_pushed']} bytes with manifests), "
            f"mounted {image['blobs_mounted']}, {counted(image['documents_pushed'], 'manifest')}; "
            f"{counted(image['evidence'], 'piece')} of evidence"
        )
        yield f"  tags set: {', '.join(image['tags_set']) or 'none, all stood'}"
        if image["fallback_tags_set"]:
            yield f"  fallback tags set: {', '.join(image['fallback_tags_set'])}"
    elif "present" in image:
        yield f"  {image['platform']}{', there already' if image['present'] else ''}"
    if "changed" in image:
        yield f"  CHANGED: {image['changed']['why']}"
        derived = image["changed"].get("derived", {})
        yield from (f"    {new} in the place of {old}" for old, new in derived.items())
