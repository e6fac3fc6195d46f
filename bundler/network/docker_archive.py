"""Images in files of `docker save`: `docker-archive:FILE[:REF]`, as skopeo reads and writes them.

There is no registry's manifest in such a file, so no registry's digest. This source makes an OCI manifest from what is
there: the config as it stands, and its `rootfs.diff_ids` as layers, which lie in the archive as plain tars.

Rules of this module:
- The digest is made here (`digest_origin` is `synthesised`), and only with consent: nobody outside ever signed it, so
  evidence of the publisher cannot be about it. Every look-up is recorded as absent, for that reason.
- The manifest is a function of the config's bytes and the layers' sizes alone. Layers are hashed when they are read,
  against the diff_ids, like everything else; a config whose file name is a digest must have it.
- FILE ends at the first colon. REF is one of the image's names in the archive, normalised, or `@N`, its place from 0.
- Nothing is unpacked or copied, and documents and blobs are read in any order, some twice. So a compressed file or
  compressed layers are refused: reading them would mean unpacking them somewhere first, which the user does better.
- Names in manifest.json and in the archive are plain relative paths. Symbolic links (`docker save` writes them for
  repeated layers) are followed for layers only, within the archive, a few steps at most.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from bundler import limits
from bundler.digest import Digest, parse_digest, sha256_of
from bundler.errors import MalformedError, RejectedError, UnsupportedError, UsageError
from bundler.fields import Fields
from bundler.network.layout_files import INDEX, MARK, ArchiveFiles, compression, read_at_most
from bundler.network.referrers import REFERRER
from bundler.network.source import ABSENT, ANY_WORD, Answer, Place, ResolvedImage
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_CONFIG, OCI_MANIFEST
from bundler.oci.reference import parse_reference
from bundler.oci.spelling import check_spelling
from bundler.safe_file import disk_errors
from bundler.strict_json import format_canonical, parse_foreign
from bundler.value import dataclass

KIND = "docker-archive"
NO_DIGEST = f"{ABSENT}; the source has no registry digest"

_MANIFEST = "manifest.json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_ENTRY_KEYS = frozenset({"Config", "RepoTags", "Layers", "Parent", "LayerSources"})
_CONFIG_KEYS = frozenset({"rootfs", "architecture", "os", "variant", "config", "history", "created", "author"})
_ROOTFS_KEYS = frozenset({"type", "diff_ids"})
_LINK_STEPS = 8
_NUMBER = re.compile(r"@(0|[1-9][0-9]{0,5})", re.ASCII)
_NAMED_BY_DIGEST = re.compile(r"(?:sha256:)?([a-f0-9]{64})(?:\.json)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One image in manifest.json: names within the archive, and the names that people gave it."""

    config: str
    tags: tuple[str, ...]
    layers: tuple[str, ...]


class DockerArchive:
    """A source: one image in an archive of `docker save`. Made by `open_docker_archive`."""

    kind = KIND

    def __init__(self, files: ArchiveFiles, place: str, entry: _Entry, name: str | None) -> None:
        self.place = place
        self._files = files
        config = _read_config(files, entry.config, place)
        digests = _diff_ids(config)
        self._layers = _layer_members(files, digests, entry, place)
        layers = [_describe(_LAYER, digest, files.size_bytes(self._layers[digest]) or 0) for digest in digests]
        about_config = _describe(OCI_CONFIG, sha256_of(config), len(config))
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": about_config, "layers": layers}
        manifest = format_canonical(document, "manifest")
        self._made = {sha256_of(raw): raw for raw in (manifest, config)}
        self._image = ResolvedImage(Descriptor(OCI_MANIFEST, sha256_of(manifest), len(manifest)), name, "synthesised")

    def resolve(self) -> ResolvedImage:
        """The manifest that was made for the image."""
        return self._image

    def read_document(self, descriptor: Descriptor) -> bytes:
        """Bytes of a document, at most one over its size, unchecked.

        Raises:
            RejectedError: the archive lacks it (``incomplete-source``).
        """
        with self.open_blob(descriptor) as stream, disk_errors("blob", str(descriptor.digest)):
            return read_at_most(stream, descriptor.size_bytes + 1)

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of a blob's bytes, unchecked.

        Raises:
            RejectedError: the archive lacks it (``incomplete-source``).
        """
        made = self._made.get(descriptor.digest)
        if made is not None:
            return BytesIO(made)
        name = self._layers.get(descriptor.digest)
        stream = self._files.open(name) if name is not None else None
        if stream is None:
            raise _incomplete(self.place, [str(descriptor.digest)])
        return stream

    def missing(self, descriptors: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
        """Those that are absent or have another size; contents are not read."""
        return tuple(item for item in descriptors if self._size_of(item.digest) != item.size_bytes)

    def has_hashed(self, digest: Digest) -> bool:
        """Never: layers are handed out as they lie there."""
        del digest
        return False

    def places(self, subject: Digest) -> tuple[Place, ...]:
        """None can answer: the digest was made here. That is recorded."""
        del subject
        return (Place(KIND, REFERRER, ANY_WORD, lambda: Answer((), NO_DIGEST)),)

    def close(self) -> None:
        """Release the archive."""
        self._files.close()

    def _size_of(self, digest: Digest) -> int | None:
        made = self._made.get(digest)
        if made is not None:
            return len(made)
        name = self._layers.get(digest)
        return self._files.size_bytes(name) if name is not None else None


def open_docker_archive(
    path: Path, reference: str | None = None, *, allow_synthesised: bool, place: str | None = None
) -> DockerArchive:
    """Open one image in an archive of `docker save`.

    Args:
        path: the file.
        reference: which image: a name, or `@N`; None when there is only one.
        allow_synthesised: whether the user consents to a digest that no registry has.
        place: the source as typed, for messages.

    Raises:
        EnvError: the file cannot be read.
        UsageError: no consent (``synthesised-digest``), or not one image of that name (``archive-reference``).
        RejectedError: layers are absent (``incomplete-source``), or the config is not the one named (``blob-digest``).
        MalformedError: no archive of that kind (``docker-archive``, ``tar``, or a code of the parsers).
        UnsupportedError: the file or a layer is compressed (``compressed-archive``).
    """
    place = place or f"{KIND}:{path}"
    files = ArchiveFiles(path)
    try:
        _check_names((*files.names(), *files.links))
        entries = _read_entries(files, place)
        if not allow_synthesised:
            raise _no_consent(files, place)
        entry, name = _select(entries, reference, place)
        return DockerArchive(files, place, entry, name)
    except BaseException:
        files.close()
        raise


def _describe(media_type: str, digest: Digest, size_bytes: int) -> dict[str, str | int]:
    return {"mediaType": media_type, "digest": str(digest), "size": size_bytes}


def _no_consent(files: ArchiveFiles, place: str) -> UsageError:
    hints = [
        "lost: signatures and attestations of the publisher: they are about the registry's digest, not this new one",
        "better: export it from its registry; or copy it with its digest: skopeo copy --all docker://IMAGE oci:FOLDER",
        "to export it without evidence: --allow-synthesised-digest, or allow_synthesised_digest = true in sealift.toml",
    ]
    if {MARK, INDEX} <= set(files.names()):
        hints.insert(1, "this file is an OCI layout too: oci-archive:FILE keeps the digest that it has there")
    return UsageError(
        "synthesised-digest", "source", place, got="an image without a registry's digest", want="consent", hints=hints
    )


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        _plain(name, "archive")


def _plain(name: str, what: str) -> str:
    """The name, if it is a relative path with no second spelling."""
    if not name or name.startswith(("/", "../")) or name in (".", "..") or posixpath.normpath(name) != name:
        raise MalformedError("docker-archive", what, repr(name[:160]), got="such a name", want="a plain relative path")
    return name


def _read(files: ArchiveFiles, name: str, max_bytes: int, place: str) -> bytes:
    stream = files.open(name)
    if stream is None:
        raise MalformedError("docker-archive", "archive", place, got=f"no {name[:160]}", want="a docker save archive")
    with stream, disk_errors("archive", place):
        raw = read_at_most(stream, max_bytes + 1)
    if len(raw) > max_bytes:
        raise MalformedError("limits", name[:160], place, got=f"over {max_bytes} bytes", want=f"at most {max_bytes}")
    return raw


def _read_entries(files: ArchiveFiles, place: str) -> tuple[_Entry, ...]:
    raw = _read(files, _MANIFEST, limits.LAYOUT_INDEX_BYTES, place)
    value = parse_foreign(raw, _MANIFEST, max_bytes=limits.LAYOUT_INDEX_BYTES)
    listed = Fields({"images": value}, _MANIFEST)
    return tuple(map(_parse_entry, listed.each("images", maximum=limits.DOCKER_ARCHIVE_IMAGES)))


def _parse_entry(fields: Fields) -> _Entry:
    check_spelling(fields, _ENTRY_KEYS)
    tags = fields.texts("RepoTags", maximum=limits.IMAGE_TAGS) if fields.raw("RepoTags") is not None else ()
    layers = fields.texts("Layers", maximum=limits.MANIFEST_LAYERS) if fields.raw("Layers") is not None else ()
    config = _plain(fields.text("Config"), _MANIFEST)
    return _Entry(config, tags, tuple(_plain(name, _MANIFEST) for name in layers))


def _select(entries: Sequence[_Entry], reference: str | None, place: str) -> tuple[_Entry, str | None]:
    """The image that is meant, and its name if there is just one."""
    number = _NUMBER.fullmatch(reference or "")
    if reference is None:
        found = list(entries)
    elif number:
        found = list(entries[int(number[1]) : int(number[1]) + 1])
    else:
        found = [entry for entry in entries if _normalised(reference) in map(_normalised, entry.tags) if reference]
    if len(found) != 1:
        raise UsageError(
            "archive-reference",
            "source",
            place,
            got=f"{len(found)} images" + (f" named {reference[:160]}" if reference is not None else ""),
            want="one; name it as FILE:REF",
            hints=[f"in it: {', '.join((f'@{n}', *entry.tags))}"[:300] for n, entry in _first(entries)],
        )
    if reference is not None and not number:
        return found[0], reference
    names = {_normalised(tag) for tag in found[0].tags} - {None}
    return found[0], names.pop() if len(names) == 1 else None


def _first(entries: Sequence[_Entry]) -> Iterable[tuple[int, _Entry]]:
    return enumerate(entries[: limits.HINTS])


def _normalised(name: str) -> str | None:
    try:
        return str(parse_reference(name))
    except MalformedError:  # `<none>:<none>`, as docker calls what has no name
        return None


def _read_config(files: ArchiveFiles, name: str, place: str) -> bytes:
    raw = _read(files, name, limits.MANIFEST_BYTES, place)
    said = _NAMED_BY_DIGEST.fullmatch(posixpath.basename(name))
    if said and sha256_of(raw).hex != said[1]:
        raise RejectedError(
            "blob-digest", "image config", name[:160], got=str(sha256_of(raw)), want="its name's digest"
        )
    return raw


def _diff_ids(config: bytes) -> tuple[Digest, ...]:
    """Digests of the layers' plain tars (image-spec config.md, "rootfs")."""
    fields = Fields(parse_foreign(config, "image config", max_bytes=limits.MANIFEST_BYTES), "image config")
    check_spelling(fields, _CONFIG_KEYS)
    rootfs = fields.fields("rootfs")
    check_spelling(rootfs, _ROOTFS_KEYS)
    if rootfs.text("type") != "layers":
        raise MalformedError(
            "docker-archive", "image config", "rootfs.type", got=rootfs.text("type")[:80], want="layers"
        )
    if rootfs.raw("diff_ids") is None:
        return ()  # what Go writes for an image without layers
    return tuple(map(parse_digest, rootfs.texts("diff_ids", maximum=limits.MANIFEST_LAYERS)))


def _layer_members(files: ArchiveFiles, digests: Sequence[Digest], entry: _Entry, place: str) -> dict[Digest, str]:
    """Which member holds which layer. Those of equal digest are one."""
    if len(digests) != len(entry.layers):
        raise MalformedError(
            "docker-archive", "image config", place,
            got=f"{len(digests)} diff_ids for {len(entry.layers)} layers", want="one for each layer",
        )  # fmt: skip
    named = {name: _follow(files, name) for name in entry.layers}
    absent = [name for name, member in named.items() if files.size_bytes(member) is None]
    if absent:
        raise _incomplete(place, absent)
    for member in named.values():
        _refuse_compressed_layer(files, member)
    members: dict[Digest, str] = {}
    for digest, name in zip(digests, entry.layers, strict=True):
        members.setdefault(digest, named[name])
    return members


def _follow(files: ArchiveFiles, name: str) -> str:
    """Where a layer's links lead, within the archive."""
    for _ in range(_LINK_STEPS):
        target = files.links.get(name)
        if target is None:
            return name
        joined = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if not target or target.startswith("/") or joined == ".." or joined.startswith("../"):
            raise MalformedError(
                "docker-archive", "link", repr(name[:160]), got=f"to {target[:160]!r}", want="a member of the archive"
            )
        name = joined
    raise MalformedError("docker-archive", "link", repr(name[:160]), got="a loop, or too many links", want="a layer")


def _refuse_compressed_layer(files: ArchiveFiles, member: str) -> None:
    stream = files.open(member)
    if stream is None:
        return
    with stream, disk_errors("archive", member):
        form = compression(stream)
    if form is not None:
        raise UnsupportedError(
            "compressed-archive", "layer", repr(member[:160]), got=form, want="a plain tar, as docker save writes it",
            hints=[
                "if the file holds index.json, it is an OCI layout: oci-archive:FILE",
                "else convert it: skopeo copy docker-archive:FILE[:REF] oci:FOLDER, and export oci:FOLDER",
            ],
        )  # fmt: skip


def _incomplete(place: str, names: Sequence[str]) -> RejectedError:
    return RejectedError(
        "incomplete-source", "source", place, got=f"{len(names)} blobs missing", want="a whole image",
        hints=[f"missing: {name[:160]}" for name in names[: limits.HINTS]],
    )  # fmt: skip
