"""What `sealift export` prints: the result, or with `--dry-run` the plan, as text and as JSON.

Rule: text escapes whatever came from outside; JSON keeps it (its own escapes are enough) and has stable keys.
"""

from __future__ import annotations

import json
from typing import Any

from bundler.archive.inventory import Data, Image, data_fields
from bundler.escaping import escape
from bundler.export.pipeline import Exported
from bundler.export.plan import Plan
from bundler.moment import format_moment
from bundler.wording import counted


def exported_text(done: Exported) -> str:
    """The result, for people."""
    inventory = done.inventory
    audience = ", ".join(inventory.audience) or "any site"
    counts = f"{counted(len(inventory.images), 'image')}, {counted(len(inventory.blobs), 'blob')}"
    lines = [
        f"exported {escape(str(done.path))}",
        f"  {done.size_bytes} bytes, {counts}",
        f"  stream {inventory.stream}, sequence {inventory.sequence}, created {format_moment(inventory.created_at)}",
        f"  for {escape(audience)}",
        f"  inventory {done.inventory_digest}",
    ]
    lines += [line for image in inventory.images for line in _image_lines(image)]
    return "\n".join([*lines, *map(_data_line, inventory.data)]) + "\n"


def exported_json(done: Exported) -> str:
    """The result, for programs."""
    inventory = done.inventory
    value = {
        "file": str(done.path),
        "size_bytes": done.size_bytes,
        "stream": inventory.stream,
        "sequence": inventory.sequence,
        "previous": str(inventory.previous) if inventory.previous else None,
        "created": format_moment(inventory.created_at),
        "audience": list(inventory.audience),
        "inventory": str(done.inventory_digest),
        "development": done.development,
        "warnings": list(done.warnings),
        "blobs": len(inventory.blobs),
        "images": [_image_json(image) for image in inventory.images],
        "data": [data_fields(data) for data in inventory.data],
    }
    return json.dumps(value, indent=2) + "\n"


def plan_text(plan: Plan, *, compress: bool, free_bytes: int | None) -> str:
    """A plan, for people."""
    counts = f"{counted(len(plan.images), 'image')}, {counted(len(plan.blobs), 'blob')}"
    lines = [f"would export {counts}, {plan.content_bytes} bytes"]
    least, most = plan.least_bytes(compress=compress), plan.most_bytes(compress=compress)
    lines.append(f"  space needed: {least} to {most} bytes")
    if free_bytes is not None:
        lines.append(f"  space free:   {free_bytes} bytes" + ("" if free_bytes >= most else ": may not be enough"))
    lines += [line for image in plan.images for line in _image_lines(image)]
    return "\n".join([*lines, *map(_data_line, plan.data)]) + "\n"


def plan_json(plan: Plan, *, compress: bool, free_bytes: int | None) -> str:
    """A plan, for programs."""
    value = {
        "dry_run": True,
        "content_bytes": plan.content_bytes,
        "needed_bytes": {"least": plan.least_bytes(compress=compress), "most": plan.most_bytes(compress=compress)},
        "free_bytes": free_bytes,
        "blobs": len(plan.blobs),
        "images": [_image_json(image) for image in plan.images],
        "data": [data_fields(data) for data in plan.data],
    }
    return json.dumps(value, indent=2) + "\n"


def _image_lines(image: Image) -> list[str]:
    platforms = ", ".join(child.platform for child in image.platforms) or "none"
    lines = [escape(image.name), f"  {image.digest}", f"  platforms {escape(platforms)}"]
    if image.digest_origin == "synthesised":
        lines.insert(2, "  synthesised: no registry has this digest, and no evidence can be about it")
    if image.omitted:
        lines.append(f"  omitted {len(image.omitted)} of its index's entries")
    counts: dict[str, int] = {}
    for evidence in image.evidence:
        counts[evidence.kind] = counts.get(evidence.kind, 0) + 1
    found = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return [*lines, f"  evidence {found or 'none'}"]


def _data_line(data: Data) -> str:
    records = "" if data.records is None else f", {counted(data.records, 'record')}"
    changed = "" if data.modified_at is None else f", changed {format_moment(data.modified_at)}"
    return f"data {data.kind} {escape(data.source)}{records}{changed}"


def _image_json(image: Image) -> dict[str, Any]:
    return {
        "name": image.name,
        "digest": str(image.digest),
        "digest_origin": image.digest_origin,
        "media_type": image.media_type,
        "source": image.source,
        "platforms": [{"platform": child.platform, "digest": str(child.digest)} for child in image.platforms],
        "omitted": [{"platform": item.platform, "digest": str(item.digest)} for item in image.omitted],
        "evidence": [
            {"kind": item.kind, "subject": str(item.subject), "digest": str(item.digest), "found_by": item.found_by}
            for item in image.evidence
        ],
    }
