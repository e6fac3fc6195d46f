"""A layout, on disk or being built, sorted as registries see it: manifests (children first), blobs, tags."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundler.digest import Digest, parse_digest
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import is_index, is_manifest
from tests.simulators.images import Content, Layout

_REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class FileContent:
    """A blob that lies in a file."""

    path: Path

    def pieces(self) -> Iterator[bytes]:
        with self.path.open("rb") as source:
            while piece := source.read(1 << 20):
                yield piece


@dataclass(frozen=True)
class Walked:
    """What a layout holds, as far as its index.json reaches."""

    entries: tuple[Descriptor, ...]
    manifests: tuple[tuple[Descriptor, bytes], ...]
    blobs: dict[Digest, Content]
    tags: dict[str, Digest]

    @property
    def first(self) -> Descriptor:
        return self.entries[0]


def walk_layout(layout: Path | Layout) -> Walked:
    """Everything that the entries of index.json reach. A `subject` is not followed; untagged referrers are entries."""
    entries = (
        layout.entries if isinstance(layout, Layout) else json.loads((layout / "index.json").read_text())["manifests"]
    )
    manifests: dict[Digest, tuple[Descriptor, bytes]] = {}
    blobs: dict[Digest, Content] = {}

    def visit(entry: dict[str, Any]) -> Descriptor:
        descriptor = Descriptor(entry["mediaType"], parse_digest(entry["digest"]), entry["size"])
        content = _content(layout, descriptor.digest)
        if not (is_index(descriptor.media_type) or is_manifest(descriptor.media_type)):
            if content is not None:
                blobs[descriptor.digest] = content
            return descriptor
        if descriptor.digest in manifests or content is None:
            return descriptor
        raw = b"".join(content.pieces())
        document = json.loads(raw)
        config = [document["config"]] if "config" in document else []
        for child in [*document.get("manifests", []), *config, *document.get("layers", [])]:
            visit(child)
        manifests[descriptor.digest] = (descriptor, raw)
        return descriptor

    found = tuple(map(visit, entries))
    names = [entry.get("annotations", {}).get(_REF_NAME, "") for entry in entries]
    tags = {_tag(name): item.digest for name, item in zip(names, found, strict=True) if name}
    return Walked(found, tuple(manifests.values()), blobs, tags)


def _entries(folder: Path) -> list[dict[str, Any]]:
    return list(json.loads((folder / "index.json").read_text())["manifests"])


def _tag(name: str) -> str:
    last = name.rpartition("/")[2]
    return last.partition(":")[2] or last


def _content(layout: Path | Layout, digest: Digest) -> Content | None:
    if isinstance(layout, Layout):
        return layout.blobs.get(digest)
    path = layout / "blobs" / digest.algorithm / digest.hex
    return FileContent(path) if path.exists() else None
