"""OCI image layouts as sources, read in place: `oci:FOLDER[:REF]` and `oci-archive:FILE[:REF]` (image-layout.md).

Rules of this module:
- Nothing is unpacked, copied or written. Bytes are handed out as they lie there; the exporter hashes them.
- FOLDER or FILE ends at the first colon, as with skopeo (export/resolve.py splits). REF is an entry's name in
  index.json, its full image name (`io.containerd.image.name`), or its digest.
- Without REF there must be exactly one image. Evidence does not count: entries that `cosign save` marked with a `kind`
  of sigs or atts, names that end in cosign's tag (`sha256-<hex>.sig`) or are the referrers' fallback tag, unnamed
  artifacts, and what has a `subject`.
- Evidence about an image: every entry whose name ends in cosign's tag for the digest asked for; every entry that has it
  as its `subject`; what the fallback tag lists (referrers.py); and in a layout written by `cosign save` the sigs and
  atts entries, which carry no digest. Newer ones carry the name of their image; those without belong to the one image
  there, and with more than one image they could be anyone's, and the layout is refused.
- What an entry is about is read from its bytes, hashed first. An entry that cannot be read ends the export, unless an
  ordinary name tells that it is an image: it could be evidence that would silently be lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, RejectedError, UnsupportedError, UsageError
from bundler.fields import Fields
from bundler.network.layout_files import INDEX, MARK, ArchiveFiles, FolderFiles, LayoutFiles, blob_name, read_at_most
from bundler.network.referrers import REFERRER, TAG_KINDS, read_fallback
from bundler.network.source import ANY_WORD, TAG_WORDS, Answer, Place, ResolvedImage
from bundler.oci.annotations import (
    COSIGN_ATTESTATIONS,
    COSIGN_IMAGE,
    COSIGN_INDEX,
    COSIGN_SIGNATURES,
    IMAGE_NAME,
    KIND,
    REF_NAME,
    format_fallback_tag,
    is_fallback_tag,
    parse_evidence_tag,
)
from bundler.oci.descriptor import Descriptor, parse_descriptor
from bundler.oci.graph import check_document
from bundler.oci.manifest import OCI_INDEX, is_document_type, parse_manifest
from bundler.oci.reference import parse_reference
from bundler.oci.spelling import check_spelling
from bundler.safe_file import disk_errors
from bundler.strict_json import parse_foreign

_VERSION = "1.0.0"
_COSIGN_KINDS = {"sig": COSIGN_SIGNATURES, "att": COSIGN_ATTESTATIONS}
_INDEX_KEYS = frozenset({"schemaVersion", "mediaType", "manifests", "annotations", "config", "layers", "fsLayers"})


class Layout:
    """A source: one image in an OCI layout. Made by `open_layout`."""

    def __init__(self, kind: str, place: str, files: LayoutFiles, reference: str | None) -> None:
        self.kind = kind
        self.place = place
        self._files = files
        self._entries = _read_entries(files, place)
        self._unread: set[Digest] = set()
        self._subjects = {entry.digest: self._subject_of(entry) for entry in self._entries}
        self._image = _select(self._entries, self._subjects, reference, place)

    def resolve(self) -> ResolvedImage:
        """The image's entry in index.json."""
        return ResolvedImage(self._image, _suggest_name(self._image))

    def read_document(self, descriptor: Descriptor) -> bytes:
        """Bytes of a document, at most one over its size, unchecked.

        Raises:
            RejectedError: the layout lacks it (``incomplete-source``).
        """
        with self.open_blob(descriptor) as stream, disk_errors("blob", str(descriptor.digest)):
            return read_at_most(stream, descriptor.size_bytes + 1)

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of a blob's bytes, unchecked.

        Raises:
            RejectedError: the layout lacks it (``incomplete-source``).
        """
        stream = self._files.open(blob_name(descriptor.digest))
        if stream is None:
            raise RejectedError(
                "incomplete-source", "blob", str(descriptor.digest), got=f"not in {self.place}", want="a whole image"
            )
        return stream

    def missing(self, descriptors: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
        """Those that are absent or have another size; contents are not read."""
        return tuple(item for item in descriptors if self._files.size_bytes(blob_name(item.digest)) != item.size_bytes)

    def has_hashed(self, digest: Digest) -> bool:
        """Never: files are handed out as they lie there."""
        del digest
        return False

    def places(self, subject: Digest) -> tuple[Place, ...]:
        """Subjects of entries, the fallback tag, cosign's tags, and the `kind` entries of a cosign-saved layout."""
        found = [
            Place("layout-referrers", REFERRER, ANY_WORD, lambda: self._ask_entries(subject)),
            Place("fallback-tag", REFERRER, ANY_WORD, lambda: self._ask_fallback(subject)),
        ]
        found += [
            Place(f"tag-{suffix}", TAG_KINDS[suffix], words, partial(self._ask_tag, subject, suffix))
            for suffix, words in TAG_WORDS.items()
        ]
        is_saved = any(_is_cosign_evidence(entry) for entry in self._entries) or KIND in self._image.annotations
        if subject == self._image.digest and is_saved:
            found += [
                Place(f"cosign-layout-{suffix}", TAG_KINDS[suffix], TAG_WORDS[suffix], partial(self._ask_kind, kind))
                for suffix, kind in _COSIGN_KINDS.items()
            ]
        return tuple(found)

    def close(self) -> None:
        """Release the archive, if it is one."""
        self._files.close()

    def _subject_of(self, entry: Descriptor) -> Digest | None:
        """The `subject` in the entry's own bytes. A `kind` of other tools than cosign tells nothing."""
        if _is_cosign_evidence(entry) or not is_document_type(entry.media_type):
            return None
        plain = Descriptor(entry.media_type, entry.digest, entry.size_bytes)
        named = REF_NAME in entry.annotations
        raw = b"" if named and self.missing([plain]) else self.read_document(plain)
        if named and sha256_of(raw) != entry.digest:
            self._unread.add(entry.digest)
            return None
        check_document(plain, raw)
        subject = parse_manifest(raw, entry.media_type).subject
        return subject.digest if subject is not None else None

    def _about(self, subject: Digest) -> tuple[Descriptor, ...]:
        return _distinct(entry for entry in self._entries if self._subjects[entry.digest] == subject)

    def _ask_entries(self, subject: Digest) -> Answer:
        answer = Answer.of(self._about(subject))
        if not self._unread:
            return answer
        return Answer(answer.found, f"{answer.said}; {len(self._unread)} named entries are missing or damaged")

    def _ask_fallback(self, subject: Digest) -> Answer:
        name = format_fallback_tag(subject)
        tagged = _distinct(entry for entry in self._entries if _last_part(entry) == name)
        if not tagged:
            return Answer.of(())
        if len(tagged) > 1:
            raise RejectedError("evidence-ambiguous", "fallback tag", name, got=f"{len(tagged)} entries", want="one")
        return read_fallback(tagged[0], self.read_document(tagged[0]), subject, self.read_document)

    def _ask_tag(self, subject: Digest, suffix: str) -> Answer:
        wanted = (subject, suffix)
        return Answer.of(
            _distinct(entry for entry in self._entries if wanted in map(parse_evidence_tag, _texts(entry)))
        )

    def _ask_kind(self, kind: str) -> Answer:
        return Answer.of(self._of_kind(kind))

    def _of_kind(self, kind: str) -> tuple[Descriptor, ...]:
        found = _distinct(entry for entry in self._entries if entry.annotations.get(KIND) == kind)
        images = _distinct(entry for entry in self._entries if _is_image(entry, self._subjects))
        if len(images) == 1:
            return found
        # What bears cosign's tag names its subject by that, and is found there.
        untagged = [entry for entry in found if not any(map(parse_evidence_tag, _texts(entry)))]
        return tuple(entry for entry in untagged if self._is_named_for(entry, images))

    def _is_named_for(self, evidence: Descriptor, images: Sequence[Descriptor]) -> bool:
        """Whether evidence of cosign's kinds names this image, where there are several.

        Raises:
            RejectedError: it names none of them, or more than one (``cosign-layout``).
        """
        names = set(_texts(evidence))
        meant = {entry.digest for entry in self._entries if names & set(_texts(entry))} & {
            item.digest for item in images
        }
        if len(meant) != 1:
            raise RejectedError(
                "cosign-layout",
                "layout",
                self.place,
                got=f"{len(images)} images beside signatures that do not name one of them",
                want="one image in a layout written by cosign save",
                hints=["save each image into a folder of its own: cosign save --dir FOLDER IMAGE"],
            )
        return self._image.digest in meant


def open_layout(kind: str, path: Path, reference: str | None = None, *, place: str | None = None) -> Layout:
    """Open a layout that lies in a folder (`oci`) or in a tar archive (`oci-archive`).

    Args:
        kind: `oci` or `oci-archive`.
        path: the folder or file.
        reference: which image; None when there is only one.
        place: the source as typed, for messages.

    Raises:
        EnvError: the folder or file cannot be read.
        UsageError: REF names no image, or more than one image is there and REF was not given (``layout-reference``).
        MalformedError, UnsupportedError: not an OCI layout.
    """
    files: LayoutFiles = FolderFiles(path) if kind == "oci" else ArchiveFiles(path)
    try:
        return Layout(kind, place or f"{kind}:{path}", files, reference)
    except BaseException:
        files.close()
        raise


def _read_entries(files: LayoutFiles, place: str) -> tuple[Descriptor, ...]:
    mark = Fields(_read_json(files, MARK, limits.LAYOUT_MARK_BYTES, place), MARK)
    if mark.text("imageLayoutVersion") != _VERSION:
        raise UnsupportedError(
            "layout-version", "layout", place, got=mark.text("imageLayoutVersion")[:40], want=f"version {_VERSION}"
        )
    index = Fields(_read_json(files, INDEX, limits.LAYOUT_INDEX_BYTES, place), INDEX)
    check_spelling(index, _INDEX_KEYS)
    index.integer("schemaVersion", minimum=2, maximum=2)
    if index.raw("mediaType") not in (None, OCI_INDEX) or "layers" in index or "config" in index:
        raise MalformedError("manifest-ambiguous", INDEX, place, got="another kind of document", want="an OCI index")
    return tuple(map(parse_descriptor, index.each("manifests", maximum=limits.LAYOUT_ENTRIES)))


def _read_json(files: LayoutFiles, name: str, max_bytes: int, place: str) -> object:
    stream = files.open(name)
    if stream is None:
        raise MalformedError("layout", "layout", place, got=f"no {name}", want="an OCI image layout")
    with stream, disk_errors("layout", place):
        raw = read_at_most(stream, max_bytes + 1)
    value: object = parse_foreign(raw, name, max_bytes=max_bytes)
    return value


def _select(
    entries: Sequence[Descriptor], subjects: Mapping[Digest, Digest | None], reference: str | None, place: str
) -> Descriptor:
    images = [entry for entry in entries if is_document_type(entry.media_type)]
    if reference is None:
        images = [entry for entry in images if _is_image(entry, subjects)]
    else:
        named = [entry for entry in images if reference in _names(entry)]  # evidence may bear its image's name
        images = list(
            _distinct(item for item in named if not _is_cosign_evidence(item) or reference == str(item.digest))
        )
    if len(images) == 1:
        return images[0]
    names = sorted({name for entry in entries if _is_image(entry, subjects) for name in _names(entry)})
    raise UsageError(
        "layout-reference",
        "source",
        place,
        got=f"{len(images)} images" + (f" named {reference}" if reference else ""),
        want="one; name it as PATH:REF",
        hints=[f"in it: {name}" for name in names[: limits.HINTS]],
    )


def _is_cosign_evidence(entry: Descriptor) -> bool:
    return entry.annotations.get(KIND) in _COSIGN_KINDS.values()


def _is_image(entry: Descriptor, subjects: Mapping[Digest, Digest | None]) -> bool:
    if entry.annotations.get(KIND) in (COSIGN_IMAGE, COSIGN_INDEX):
        return True
    if _is_cosign_evidence(entry):
        return False
    if subjects[entry.digest] is not None:
        return False
    name = entry.annotations.get(REF_NAME)
    if name is None:
        return entry.artifact_type is None
    return parse_evidence_tag(name) is None and not is_fallback_tag(_last_part(entry))


def _last_part(entry: Descriptor) -> str:
    """The tag of an entry's name, with or without a repository before it."""
    return entry.annotations.get(REF_NAME, "").rpartition(":")[2]


def _texts(entry: Descriptor) -> tuple[str, ...]:
    """The names that were given to an entry."""
    return tuple(name for key in (REF_NAME, IMAGE_NAME) if (name := entry.annotations.get(key)))


def _names(entry: Descriptor) -> tuple[str, ...]:
    return (*_texts(entry), str(entry.digest))


def _suggest_name(entry: Descriptor) -> str | None:
    """A full reference recorded for the entry. A bare word such as `latest` is a tag, and no name."""
    for name in (entry.annotations.get(IMAGE_NAME), entry.annotations.get(REF_NAME)):
        if name and any(mark in name for mark in "/:@"):
            try:
                parse_reference(name)
            except MalformedError:
                continue
            return name
    return None


def _distinct(entries: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    first: dict[Digest, Descriptor] = {}
    for entry in entries:
        first.setdefault(entry.digest, entry)
    return tuple(first.values())
