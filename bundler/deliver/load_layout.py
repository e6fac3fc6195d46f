"""Writes images into an OCI layout's folder (image-spec image-layout.md), new or one that is there.

Rules of this module:
- Blobs first, each whole under its name or not at all; `index.json` last, replaced as a whole. A load that ends in
  between has changed no name, and the next one goes on from there.
- A blob that is there is hashed before it counts; one that is not what its name says is written again.
- Entries and fields that others put there stay as they are, also those that come while blobs are written. What bears
  no name (referrers) is listed once, unless it is listed already.
- A name that stands for another digest is a conflict, unless the site typed `--overwrite-tags`.
- One load at a time: the folder itself is the lock. What a killed one has left half written is removed.
- Nothing is written or believed through a link that leads out of the layout.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from bundler import limits
from bundler.archive.layout import OCI_LAYOUT
from bundler.deliver.holdings import Document, HeldImage, descriptor_of
from bundler.deliver.load_names import require_one_meaning
from bundler.deliver.verified import VerifiedBundle
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, MalformedError, RejectedError, UnsupportedError
from bundler.fields import Fields
from bundler.network.layout_files import INDEX, MARK, blob_name
from bundler.oci.annotations import REF_NAME
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_INDEX
from bundler.safe_file import (
    TEMPORARY_PREFIX,
    disk_errors,
    locked_folder,
    new_file,
    read_bounded,
    remove,
    remove_temporaries,
    sync_folder,
    write_atomically,
)
from bundler.strict_json import parse_foreign
from bundler.value import dataclass

LAYOUT_VERSION = "1.0.0"
_BLOBS = "blobs/sha256"
_READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Named:
    """A document that the layout's index lists, under a name or none."""

    name: str
    document: Document


@dataclass(frozen=True, slots=True)
class Written:
    """What was done: blobs written, and those that were there; names set, and those that stood already."""

    written: int
    present: int
    bytes_written: int
    names_set: tuple[str, ...]
    names_kept: tuple[str, ...]


def load_layout(
    folder: Path,
    bundle: VerifiedBundle,
    listed: Iterable[Named],
    *,
    overwrite: bool = False,
    dry_run: bool = False,
    watch: Callable[[int], None] = lambda _: None,
) -> Written:
    """Write all images of a bundle into a layout.

    Args:
        folder: the layout; made when absent.
        bundle: verified and open.
        listed: what index.json gets (`names_of`).
        overwrite: names may be moved from other digests.
        dry_run: look only.
        watch: told the bytes written.

    Raises:
        UsageError: one name for two digests (``load-names``).
        RejectedError: a name stands for something else (``tag-conflict``), or its files are links that lead out of it
            (``layout-link``).
        MalformedError: the folder holds an `index.json` that is none (``layout``).
        UnsupportedError: a layout of another version (``layout-version``).
        EnvError: the disk, another load into it (``locked``), or a folder that is not empty and no layout
            (``folder-exists``).
        DamagedError: the bundle's file changed since it was verified (``chunk``).
    """
    index = _read_index(folder)
    wanted = list(listed)
    require_one_meaning((item.name, item.document.digest) for item in wanted if item.name)
    _, names_set, names_kept = _merge(index["manifests"], wanted, overwrite=overwrite)
    if dry_run:
        missing, present = _sort_blobs(folder, bundle.images)
        return Written(len(missing), present, sum(blob.size_bytes for blob in missing), names_set, names_kept)
    with disk_errors("layout", folder):
        (folder / _BLOBS).mkdir(parents=True, exist_ok=True)
        folder = folder.resolve(strict=True)
    with locked_folder(folder, what="layout"):
        remove_temporaries(folder)
        remove_temporaries(folder / _BLOBS)
        return _write_all(folder, bundle, wanted, overwrite=overwrite, watch=watch)


def _write_all(
    folder: Path, bundle: VerifiedBundle, wanted: list[Named], *, overwrite: bool, watch: Callable[[int], None]
) -> Written:
    """Blobs, then `index.json` as it is by then. The caller holds the lock."""
    missing, present = _sort_blobs(folder, bundle.images)
    documents = {document.digest: document for image in bundle.images for document in image.all_documents}
    for blob in missing:
        _write(folder / blob_name(blob.digest), _content(blob, documents, bundle), watch)
    sync_folder(folder / _BLOBS)
    index = _read_index(folder)
    after, names_set, names_kept = _merge(index["manifests"], wanted, overwrite=overwrite)
    if after != index["manifests"]:
        write_atomically(folder / MARK, OCI_LAYOUT, what="layout")
        write_atomically(folder / INDEX, json.dumps(index | {"manifests": after}, indent=2).encode(), what="layout")
    return Written(len(missing), present, sum(blob.size_bytes for blob in missing), names_set, names_kept)


def names_of(images: Iterable[HeldImage], rename: Callable[[str], str]) -> Iterator[Named]:
    """What index.json lists: images, then their evidence, cosign's under its tag, referrers without a name.

    Args:
        images: of the bundle.
        rename: gives the repository name to use for one of the inventory.
    """
    images = list(images)
    for image in images:
        tail = f":{image.reference.tag}" if image.reference.tag else f"@{image.image.digest}"
        yield Named(f"{rename(image.reference.name)}{tail}", image.documents[-1])
    for image in images:
        for held in image.evidence:
            name = f"{rename(image.reference.name)}:{held.tag}" if held.tag else ""
            yield Named(name, held.documents[-1])


def _read_index(folder: Path) -> dict[str, Any]:
    """The index of the layout that is there; an empty one when there is none."""
    empty: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    with disk_errors("layout", folder):
        if not folder.exists() or not any(folder.iterdir()):
            return empty
        for name in (INDEX, MARK, _BLOBS):
            _require_within(folder, name)
        if not (folder / INDEX).exists() and not (folder / MARK).exists() and not _is_begun(folder):
            raise EnvError(
                "folder-exists", "layout", str(folder), got="a folder with other things", want="an OCI layout, or none"
            )
        if (folder / MARK).exists():
            _check_version(folder)
        if not (folder / INDEX).exists():
            return empty
    value = parse_foreign(read_bounded(folder / INDEX, limits.LAYOUT_INDEX_BYTES), INDEX)
    entries = value.get("manifests") if isinstance(value, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise MalformedError("layout", "layout", str(folder / INDEX), got="no list of manifests", want="an OCI index")
    return dict(value)


def _check_version(folder: Path) -> None:
    mark = Fields(parse_foreign(read_bounded(folder / MARK, limits.LAYOUT_MARK_BYTES), MARK), MARK)
    version = mark.text("imageLayoutVersion")
    if version != LAYOUT_VERSION:
        raise UnsupportedError("layout-version", "layout", str(folder), got=version[:40], want=LAYOUT_VERSION)


def _is_begun(folder: Path) -> bool:
    """Whether an interrupted load has left nothing but blobs here, and what it had half written."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(TEMPORARY_PREFIX)} == {"blobs"}


def _require_within(folder: Path, name: str) -> None:
    if not _is_within(folder, name):
        raise RejectedError(
            "layout-link", "layout", str(folder / name), got="a link out of the layout", want="files within it"
        )


def _is_within(folder: Path, name: str) -> bool:
    try:
        return (folder / name).resolve().is_relative_to(folder.resolve())
    except RuntimeError:  # Python 3.11 and 3.12 say a loop of links so
        return False


def _merge(
    entries: list[dict[str, Any]], wanted: list[Named], *, overwrite: bool
) -> tuple[list[dict[str, Any]], tuple[str, ...], tuple[str, ...]]:
    after = list(entries)
    names_set: list[str] = []
    names_kept: list[str] = []
    for item in wanted:
        digest = str(item.document.digest)
        same_name = [entry for entry in after if item.name and _name_of(entry) == item.name]
        if item.name and any(entry.get("digest") == digest for entry in same_name):
            names_kept.append(item.name)
            continue
        if same_name and not overwrite:
            raise RejectedError(
                "tag-conflict", "name", item.name, got=f"there, for {same_name[0].get('digest')}"[:160],
                want=f"absent, or {digest}", hints=["--overwrite-tags moves it"],
            )  # fmt: skip
        if not item.name and any(entry.get("digest") == digest for entry in after):
            continue
        after = [entry for entry in after if entry not in same_name]
        after.append(_entry(item))
        names_set += [item.name] if item.name else []
    return after, tuple(names_set), tuple(names_kept)


def _entry(item: Named) -> dict[str, Any]:
    descriptor = descriptor_of(item.document)
    entry: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size_bytes,
    }
    return entry | {"annotations": {REF_NAME: item.name}} if item.name else entry


def _name_of(entry: dict[str, Any]) -> object:
    annotations = entry.get("annotations")
    return annotations.get(REF_NAME) if isinstance(annotations, dict) else None


def _sort_blobs(folder: Path, images: Iterable[HeldImage]) -> tuple[list[Descriptor], int]:
    """What is missing, documents last, and how many are there."""
    needed: dict[Digest, Descriptor] = {}
    for image in images:
        for blob in image.blobs():
            needed.setdefault(blob.digest, blob)
    for image in images:
        for document in image.all_documents:
            needed.setdefault(document.digest, descriptor_of(document))
    missing = [blob for blob in needed.values() if not _is_there(folder, blob)]
    return missing, len(needed) - len(missing)


def _is_there(folder: Path, blob: Descriptor) -> bool:
    path = folder / blob_name(blob.digest)
    with disk_errors("layout", path):
        if not _is_within(folder, blob_name(blob.digest)) or not path.is_file():
            return False
        if path.stat().st_size != blob.size_bytes:
            return False
        hasher = hashlib.sha256()
        with path.open("rb") as stream:
            while piece := stream.read(_READ_BYTES):
                hasher.update(piece)
    return Digest("sha256", hasher.hexdigest()) == blob.digest


def _content(
    blob: Descriptor, documents: dict[Digest, Document], bundle: VerifiedBundle
) -> Iterable[memoryview | bytes]:
    if blob.digest in documents:
        raw = documents[blob.digest].raw
        if sha256_of(raw) != blob.digest:
            raise RuntimeError("a document in memory is not what it was")
        return [raw]
    return bundle.blob(blob.digest).read()


def _write(path: Path, content: Iterable[memoryview | bytes], watch: Callable[[int], None]) -> None:
    """The proved bytes, whole under their name; what lay there was not what its name says."""
    if path.exists() or path.is_symlink():
        remove(path)
    with new_file(path, what="layout") as target:
        for piece in content:
            target.write(piece)
            watch(len(piece))
