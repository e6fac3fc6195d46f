"""Images in folders of containers/image: `dir:FOLDER`, as skopeo writes them (its `directory/directory_transport.go`).

    version                    `Directory Transport Version: 1.1`
    manifest.json              the image's index or manifest
    <hex>.manifest.json        a manifest that the index lists
    <hex>                      a config or a layer, by its digest
    signature-1, signature-2   signatures of manifest.json
    <hex>.signature-1          signatures of a manifest that the index lists

Rules of this module:
- The digest is that of manifest.json's bytes. Their media type stands in the document itself; OCI documents that name
  none are told by what they hold. No name is recorded in such a folder.
- A folder without `version` is read (containers/image asks for it only when it writes); another version is not.
- Each signature file is handed out as it stands, whatever is in it, as evidence about the manifest beside it. A gap in
  their numbers, or a number written in another way, is refused: signatures would be lost, as containers/image stops at
  the first gap.
- No link is followed within the folder, and only regular files are read. Nothing is written.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, MalformedError, RejectedError, UnsupportedError
from bundler.fields import Fields
from bundler.network.layout_files import read_at_most
from bundler.network.source import Answer, Place, ResolvedImage
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_INDEX, OCI_MANIFEST, is_document_type, parse_manifest
from bundler.safe_file import disk_errors
from bundler.strict_json import parse_foreign

KIND = "dir"
SIGNATURE = "containers-signature"
SIGNATURE_TYPE = "application/vnd.sealift.containers-signature"

_VERSION = b"Directory Transport Version: 1.1\n"
_VERSION_FILE = "version"
_MANIFEST = "manifest.json"
_SIGNATURE_LIKE = re.compile(r"(?:([a-f0-9]{64})\.)?signature-(.*)", re.ASCII | re.DOTALL)
_NUMBER = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)
_SIGNATURE_PLACE = "signature-files"


class Directory:
    """A source: the image in a `dir:` folder. Made by `open_directory`."""

    kind = KIND

    def __init__(self, files: _Files, place: str) -> None:
        self.place = place
        self._files = files
        _check_version(files, place)
        raw = _read_manifest(files, place)
        self._top = Descriptor(_media_type_of(raw), sha256_of(raw), len(raw))
        self._signatures = _signature_names(files.names, place)
        self._signature_files: dict[Digest, str] = {}

    def resolve(self) -> ResolvedImage:
        """What manifest.json is."""
        return ResolvedImage(self._top, None)

    def read_document(self, descriptor: Descriptor) -> bytes:
        """Bytes of a document, at most one over its size, unchecked.

        Raises:
            RejectedError: the folder lacks it (``incomplete-source``).
        """
        with self.open_blob(descriptor) as stream, disk_errors("blob", str(descriptor.digest)):
            return read_at_most(stream, descriptor.size_bytes + 1)

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of a blob's bytes, unchecked.

        Raises:
            RejectedError: the folder lacks it (``incomplete-source``).
        """
        stream = self._files.open(self._name_of(descriptor))
        if stream is None:
            raise RejectedError(
                "incomplete-source", "blob", str(descriptor.digest), got=f"not in {self.place}", want="a whole image"
            )
        return stream

    def missing(self, descriptors: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
        """Those that are absent or have another size; contents are not read."""
        return tuple(item for item in descriptors if self._files.size_bytes(self._name_of(item)) != item.size_bytes)

    def has_hashed(self, digest: Digest) -> bool:
        """Never: files are handed out as they lie there."""
        del digest
        return False

    def places(self, subject: Digest) -> tuple[Place, ...]:
        """The signature files beside the subject's manifest; there is nothing else in such a folder."""
        return (Place(_SIGNATURE_PLACE, SIGNATURE, frozenset({"signature"}), lambda: self._ask(subject)),)

    def close(self) -> None:
        """Release the folder."""
        self._files.close()

    def _name_of(self, descriptor: Descriptor) -> str:
        digest = descriptor.digest
        if digest == self._top.digest:
            return _MANIFEST
        if is_document_type(descriptor.media_type):
            return f"{digest.hex}.{_MANIFEST}"
        if descriptor.media_type == SIGNATURE_TYPE:
            return self._signature_files.get(digest, digest.hex)
        return digest.hex

    def _ask(self, subject: Digest) -> Answer:
        names = self._signatures.get(subject.hex, ())
        if subject == self._top.digest:
            names = (*self._signatures.get("", ()), *names)
        return Answer.of(tuple(map(self._read_signature, names)))

    def _read_signature(self, name: str) -> Descriptor:
        raw = self._files.read(name, limits.SIGNATURE_FILE_BYTES)
        if raw is None:
            raise EnvError("file-absent", "signature file", name, got="gone meanwhile", want="a folder at rest")
        digest = sha256_of(raw)
        self._signature_files[digest] = name
        return Descriptor(SIGNATURE_TYPE, digest, len(raw))


class _Files:
    """The folder's files, reached through its descriptor, without links."""

    def __init__(self, folder: Path) -> None:
        with disk_errors("folder", folder):
            self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self.names = _list(self._folder)
            except BaseException:
                os.close(self._folder)
                raise

    def size_bytes(self, name: str) -> int | None:
        """Size of a regular file; None when absent.

        Raises:
            RejectedError: a link (``layout-link``).
            EnvError: another kind of file.
        """
        with disk_errors("file", name):
            try:
                found = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
            except FileNotFoundError:
                return None
        if stat.S_ISLNK(found.st_mode):
            raise _link(name)
        if not stat.S_ISREG(found.st_mode):
            raise _not_regular(name)
        return found.st_size

    def open(self, name: str) -> BinaryIO | None:
        """A stream of a regular file's bytes; None when absent. Raises as `size_bytes`."""
        # No link, even one put there this moment; and no waiting for the other end of a FIFO.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with disk_errors("file", name):
            try:
                descriptor = os.open(name, flags, dir_fd=self._folder)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise _link(name) from error
                raise
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise _not_regular(name)
            return cast("BinaryIO", os.fdopen(descriptor, "rb", buffering=0))

    def read(self, name: str, max_bytes: int) -> bytes | None:
        """A small file's bytes; None when absent.

        Raises:
            MalformedError: over `max_bytes` (``limits``).
        """
        stream = self.open(name)
        if stream is None:
            return None
        with stream, disk_errors("file", name):
            raw = read_at_most(stream, max_bytes + 1)
        if len(raw) > max_bytes:
            raise MalformedError("limits", "file", name, got=f"over {max_bytes} bytes", want=f"at most {max_bytes}")
        return raw

    def close(self) -> None:
        """Release the folder."""
        os.close(self._folder)


def _link(name: str) -> RejectedError:
    return RejectedError("layout-link", "file", name, got="a link", want="a file in the folder itself")


def _not_regular(name: str) -> EnvError:
    return EnvError("file-kind", "file", name, got="not a regular file", want="a regular file")


def open_directory(path: Path, *, place: str | None = None) -> Directory:
    """Open the image in a `dir:` folder.

    Args:
        path: the folder.
        place: the source as typed, for messages.

    Raises:
        EnvError: the folder or a file cannot be read.
        RejectedError: a link in it (``layout-link``), or signature files that are not numbered from 1 on
            (``signature-number``).
        MalformedError: no such folder's contents (``directory``, ``limits``, or a code of the parsers).
        UnsupportedError: another version (``directory-version``), or a manifest of another kind.
    """
    files = _Files(path)
    try:
        return Directory(files, place or f"{KIND}:{path}")
    except BaseException:
        files.close()
        raise


def _list(folder: int) -> tuple[str, ...]:
    names: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) > limits.LAYOUT_MEMBERS:
                raise MalformedError("limits", "folder", got="more files", want=f"at most {limits.LAYOUT_MEMBERS}")
    return tuple(names)


def _check_version(files: _Files, place: str) -> None:
    said = files.read(_VERSION_FILE, limits.LAYOUT_MARK_BYTES)
    if said not in (None, _VERSION):
        raise UnsupportedError(
            "directory-version", "folder", place, got=repr(said)[:80], want=_VERSION.decode().strip()
        )


def _read_manifest(files: _Files, place: str) -> bytes:
    raw = files.read(_MANIFEST, limits.MANIFEST_BYTES)
    if raw is None:
        raise MalformedError("directory", "folder", place, got=f"no {_MANIFEST}", want="a folder written as dir:")
    return raw


def _media_type_of(raw: bytes) -> str:
    """The media type of a document that no descriptor names; the whole of it is parsed as that."""
    fields = Fields(parse_foreign(raw, _MANIFEST, max_bytes=limits.MANIFEST_BYTES), _MANIFEST)
    media_type = fields.optional_text("mediaType")
    if media_type is None:
        media_type = OCI_INDEX if "manifests" in fields else OCI_MANIFEST
    parse_manifest(raw, media_type)
    return media_type


def _signature_names(names: Iterable[str], place: str) -> dict[str, tuple[str, ...]]:
    """Names of signature files in their order, by the hex of what they are about; the empty text for manifest.json."""
    numbers: dict[str, dict[int, str]] = {}
    for name in names:
        match = _SIGNATURE_LIKE.fullmatch(name)
        if match is None:
            continue
        if not _NUMBER.fullmatch(match[2]):
            raise _misnumbered(place, name)
        numbers.setdefault(match[1] or "", {})[int(match[2])] = name
    for found in numbers.values():
        if len(found) > limits.SIGNATURE_FILES:
            raise MalformedError(
                "limits", "folder", place, got=f"{len(found)} signatures", want=f"at most {limits.SIGNATURE_FILES}"
            )
        if max(found) != len(found):
            raise _misnumbered(place, found[max(found)])
    return {about: tuple(found[number] for number in sorted(found)) for about, found in numbers.items()}


def _misnumbered(place: str, name: str) -> RejectedError:
    return RejectedError(
        "signature-number", "signature file", name[:160], got=f"in {place}", want="signature-1, signature-2 and so on"
    )
