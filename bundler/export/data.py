"""Vulnerability data for a bundle: found, read through once, described as the inventory will list it.

    a file                 as it is: a zip of OSV records, one VEX document, a scanner's database
    a folder               packed into one blob (data_pack.py)
    docker://, oci:, …     an artifact: its manifest, config and layers, as an image's (resolve.py opens the source)

Rules of this module:
- What the far side could not read is refused here: a source as a whole, and each VEX document. Single OSV records that
  cannot be read are told as a warning: dumps of others always have some.
- The date is the latest change of anything in it; of a database, what its manifest's annotation says.
- Names occur once for each kind. A path is never recorded, only the file's own name, unless a name is given.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from bundler import limits
from bundler.archive.inventory import Data, Image
from bundler.archive.layout import DATA_TYPES
from bundler.digest import Digest
from bundler.errors import MalformedError, RejectedError, UsageError
from bundler.export.collect import CollectedImage, check_whole, naming
from bundler.export.data_pack import PackedFolder, packed_files, read_file
from bundler.export.resolve import choose_name, open_source
from bundler.export.settings import DataRequest, ImageRequest
from bundler.moment import parse_foreign_moment
from bundler.network.connection import Connection
from bundler.network.source import BlobPlace
from bundler.oci.descriptor import Descriptor
from bundler.oci.graph import walk
from bundler.oci.manifest import ImageManifest, is_manifest
from bundler.safe_file import disk_errors
from bundler.value import dataclass
from bundler.vulnerability.data_contents import OSV, VEX_KINDS, Contents, survey, survey_entries
from bundler.wording import counted

_ARTIFACTS = ("docker://", "oci:", "oci-archive:")
_CREATED = "org.opencontainers.image.created"


@dataclass(frozen=True, slots=True)
class CollectedData:
    """One source of data as it will be listed, and what of it travels.

    Attributes:
        artifact: the same as an image without platforms and evidence, for whoever fetches blobs; None for our own.
        warnings: what could not be read of it.
    """

    data: Data
    source: BlobPlace
    nodes: tuple[Descriptor, ...]
    artifact: CollectedImage | None = None
    warnings: tuple[str, ...] = ()


class LocalData:
    """A blob of ours, made from a file or a folder each time that it is opened."""

    def __init__(self, place: str, open_stream: Callable[[], BinaryIO]) -> None:
        self.place = place
        self._open = open_stream

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of its bytes, to be hashed."""
        del descriptor
        return self._open()

    def has_hashed(self, digest: Digest) -> bool:
        """No: the file can change."""
        del digest
        return False


def collect_data(
    requests: Sequence[DataRequest], connection: Connection, opened: ExitStack, created_at: datetime
) -> tuple[CollectedData, ...]:
    """Find and describe all data, in the order of the inventory.

    Args:
        requests: what was asked for.
        connection: for artifacts in registries.
        opened: takes the sources; they stay open until it is closed.
        created_at: the bundle's; later changes count for nothing.

    Raises:
        UsageError: two of one kind under one name (``name-twice``), or no such source.
        MalformedError, UnsupportedError: data that is not of its kind, or a VEX document that no reader would take.
        EnvError, RejectedError: from files, registries and layouts.
    """
    collected: dict[tuple[str, str], CollectedData] = {}
    for request in requests:
        if request.source.startswith(_ARTIFACTS):
            found = _artifact(request, connection, opened, created_at)
        else:
            found = _local(request, created_at)
        place = (found.data.kind, found.data.source)
        if place in collected:
            raise UsageError(
                "name-twice", "vulnerability data", found.data.source, got=f"two of kind {found.data.kind}",
                want="each name once", hints=["give them a `name`"],
            )  # fmt: skip
        collected[place] = found
    return tuple(collected[place] for place in sorted(collected))


def _local(request: DataRequest, created_at: datetime) -> CollectedData:
    path = request.base / request.source
    is_folder = path.is_dir()
    types = DATA_TYPES[request.kind]
    if is_folder and len(types) == 1:
        raise UsageError("data-kind", "vulnerability data", str(path), got="a folder", want=f"a file of {request.kind}")
    source = LocalData(str(path), lambda: _open_stream(path, is_folder=is_folder))
    size_bytes, digest = _hash(source, path)
    contents = _survey(request.kind, path, created_at, is_folder=is_folder)
    descriptor = Descriptor(types[-1] if is_folder else types[0], digest, size_bytes)
    name = request.name or path.resolve().name
    if not 0 < len(name) <= limits.INVENTORY_TEXT_CHARACTERS or not name.isprintable():
        raise UsageError("settings", "vulnerability data", repr(name[:80]), got="no printable name", want="a `name`")
    data = Data(
        kind=request.kind,
        source=name,
        modified_at=contents.modified_at.replace(microsecond=0) if contents and contents.modified_at else None,
        records=contents.records if contents else None,
        digest=digest,
        media_type=descriptor.media_type,
        size_bytes=size_bytes,
    )
    return CollectedData(data, source, (descriptor,), warnings=_warnings(name, contents))


def _open_stream(path: Path, *, is_folder: bool) -> BinaryIO:
    if is_folder:
        return io.BufferedReader(PackedFolder(path), limits.READ_BUFFER_BYTES)
    with disk_errors("vulnerability data", path):
        return path.open("rb")


def _hash(source: LocalData, path: Path) -> tuple[int, Digest]:
    whole, size_bytes = hashlib.sha256(), 0
    with source.open_blob(Descriptor("", Digest("sha256", "0" * 64), 0)) as stream, disk_errors("data", path):
        while piece := stream.read(limits.READ_BUFFER_BYTES):
            whole.update(piece)
            size_bytes += len(piece)
    return size_bytes, Digest("sha256", whole.hexdigest())


def _survey(kind: str, path: Path, created_at: datetime, *, is_folder: bool) -> Contents | None:
    """Read everything once; what none of the far side's readers would take ends the export."""
    if kind != OSV and kind not in VEX_KINDS:
        return None
    if is_folder:
        files = ((label.decode(), read_file(file)) for label, file in packed_files(path))
        contents = survey_entries(kind, files, created_at)
    else:
        with disk_errors("vulnerability data", path), path.open("rb") as stream:
            contents = survey(kind, stream, path.name, created_at)
    if contents.refused and (kind in VEX_KINDS or not contents.records):
        name, error = contents.refused[0]
        error.hints = (*error.hints, f"in {path}: {name}")
        raise error
    if not contents.records:
        raise MalformedError("data-empty", "vulnerability data", str(path), got="no record", want="some")
    return contents


def _warnings(name: str, contents: Contents | None) -> tuple[str, ...]:
    if contents is None or not contents.refused_count:
        return ()
    first, error = contents.refused[0]
    refused = counted(contents.refused_count, "record")
    return (f"{refused} of {name} cannot be read, the first is {first}: {error} ({error.code})",)


def _artifact(request: DataRequest, connection: Connection, opened: ExitStack, created_at: datetime) -> CollectedData:
    asked = ImageRequest(request.source, request.name, base=request.base)
    source = open_source(asked, connection)
    opened.callback(source.close)
    resolved = source.resolve()
    name = choose_name(asked, resolved)
    top = Descriptor(resolved.descriptor.media_type, resolved.descriptor.digest, resolved.descriptor.size_bytes)
    with naming(name, source):
        if not is_manifest(top.media_type):
            raise RejectedError(
                "data-kind", "vulnerability data", name, got=top.media_type, want="one manifest, no index"
            )
        graph = walk(top, source.read_document)
        manifests = [document for document in graph.documents.values() if isinstance(document, ImageManifest)]
        listed = (top, *(node for manifest in manifests for node in (manifest.config, *manifest.layers)))
        nodes = tuple({node.digest: node for node in listed}.values())
        check_whole(source, nodes)
    data = Data(request.kind, name, _annotated(manifests, created_at), None, top.digest, top.media_type, top.size_bytes)
    image = Image(name, top.digest, top.media_type, top.size_bytes, source.kind, (), (), (), ())
    return CollectedData(data, source, nodes, CollectedImage(image, source, nodes, {}))


def _annotated(manifests: Sequence[ImageManifest], created_at: datetime) -> datetime | None:
    """When a database was made, by its manifest's annotation; None where it says nothing that can be true."""
    for manifest in manifests:
        try:
            said = parse_foreign_moment(manifest.annotations.get(_CREATED)).replace(microsecond=0)
        except MalformedError:
            continue
        return said if said <= created_at else None
    return None
