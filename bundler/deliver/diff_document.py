"""A diff as plain values, in the order of DIFF.md: for `--json`, for text and for pages."""

from __future__ import annotations

from typing import Any

from bundler.archive.inventory import Image, data_fields
from bundler.deliver.diff import DataChange, Diff, ImageChange, Pair, PlatformChange
from bundler.deliver.diff_packages import PackageChange
from bundler.deliver.inspection import InspectedHead
from bundler.moment import format_moment

DIFF_VERSION = 1


def diff_document(diff: Diff) -> dict[str, Any]:
    """Everything that a diff says. Equal diffs give equal values, every key is always there."""
    return {
        "diff": DIFF_VERSION,
        "trusted": diff.failure is None,
        "different": bool(diff.images or diff.data),
        "before": _side(diff.before),
        "after": _side(diff.after),
        "bytes": {"shared": diff.bytes_shared, "gone": diff.bytes_gone, "new": diff.bytes_new},
        "same": diff.same,
        "images": [_image(change) for change in diff.images],
        "data": [_data(change) for change in diff.data],
    }


def _side(side: InspectedHead) -> dict[str, Any]:
    inventory = side.inventory
    return {
        "file": side.file,
        "trusted": side.failure is None,
        "reason": side.failure.code if side.failure else "",
        "message": str(side.failure) if side.failure else "",
        "pin": str(side.trust.pin) if side.failure is None and side.trust.pin else None,
        "stream": inventory.stream,
        "sequence": inventory.sequence,
        "inventory": str(side.inventory_digest),
        "created": format_moment(inventory.created_at),
        "images": len(inventory.images),
        "stored_size": sum(blob.stored_size_bytes for blob in inventory.blobs),
    }


def _image(change: ImageChange) -> dict[str, Any]:
    named = change.after or change.before
    return {
        "name": named.name if named else "",
        "change": change.what,
        "before": _version(change.before, change.size_before_bytes),
        "after": _version(change.after, change.size_after_bytes),
        "platforms": _pair(change.platforms),
        "omitted": _pair(change.omitted),
        "signers": _pair(change.signers),
        "log_strength": _pair(change.strengths),
        "not_verified": _pair(change.unverified),
        "builders": _pair(change.builders),
        "sources": _pair(change.sources),
        "packages": [_platform(paper) for paper in change.papers],
    }


def _data(change: DataChange) -> dict[str, Any]:
    before, after = (None if side is None else data_fields(side) for side in (change.before, change.after))
    named = after or before or {}
    word = "changed" if before and after else "added" if after else "removed"
    return {"kind": named["kind"], "source": named["source"], "change": word, "before": before, "after": after}


def _version(image: Image | None, size_bytes: int) -> dict[str, Any] | None:
    return None if image is None else {"name": image.name, "digest": str(image.digest), "size": size_bytes}


def _pair(pair: Pair) -> dict[str, list[str]]:
    """Only what is on one side."""
    return {
        "removed": [item for item in pair.before if item not in pair.after],
        "added": [item for item in pair.after if item not in pair.before],
    }


def _platform(paper: PlatformChange) -> dict[str, Any]:
    packages = paper.packages
    return {
        "platform": paper.platform,
        "sboms": {"before": list(paper.sboms.before), "after": list(paper.sboms.after)},
        "same": packages.same,
        "added": [_package(item) for item in packages.added],
        "removed": [_package(item) for item in packages.removed],
        "changed": [_package(item) for item in packages.changed],
    }


def _package(item: PackageChange) -> dict[str, Any]:
    return {
        "package": item.name,
        "versions": {"before": list(item.versions_before), "after": list(item.versions_after)},
        "licences": {"before": list(item.licences_before), "after": list(item.licences_after)},
    }
