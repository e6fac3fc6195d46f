"""Image manifests and indexes, raw bytes kept (OCI image-spec manifest.md, image-index.md; Docker schema 2).

Rules of this module:
- The bytes have one meaning (THREATS E2; CVE-2021-41190): the media type comes from the descriptor, a `mediaType` in
  the document must equal it, and a document with the marks of both an index and a manifest is refused. OCI documents
  may lack `mediaType`; Docker's may not.
- Docker schema 1 is refused as unsupported: its digest does not cover the bytes as stored.
- `digest` is computed over `raw`. Whoever has a descriptor compares it before parsing (graph.py does).
"""

from __future__ import annotations

from collections.abc import Mapping

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, UnsupportedError
from bundler.fields import Fields
from bundler.oci.descriptor import Descriptor, parse_annotations, parse_descriptor, parse_optional_media_type
from bundler.oci.spelling import check_spelling
from bundler.strict_json import parse_foreign
from bundler.value import dataclass, field

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})

_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"
_INDEX_MARKS = ("manifests",)
_MANIFEST_MARKS = ("config", "layers")
_SCHEMA_1_MARKS = ("fsLayers", "history", "signatures")
_KEYS = frozenset(
    {"schemaVersion", "mediaType", "annotations", "subject", "artifactType"}
    | {*_INDEX_MARKS, *_MANIFEST_MARKS, *_SCHEMA_1_MARKS}
)


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """One image for one platform, or an artifact (evidence) in the same form."""

    raw: bytes = field(repr=False)
    digest: Digest
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None
    artifact_type: str | None
    annotations: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """A list of manifests, one a platform, with attestation manifests among them."""

    raw: bytes = field(repr=False)
    digest: Digest
    media_type: str
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None
    artifact_type: str | None
    annotations: Mapping[str, str] = field(hash=False)


def is_index(media_type: str) -> bool:
    """Whether the media type is that of an index (OCI) or manifest list (Docker)."""
    return media_type in INDEX_TYPES


def is_manifest(media_type: str) -> bool:
    """Whether the media type is that of an image manifest (OCI, or Docker schema 2)."""
    return media_type in MANIFEST_TYPES


def is_document_type(media_type: str) -> bool:
    """Whether the media type is that of an index or a manifest: what names other content."""
    return is_index(media_type) or is_manifest(media_type)


def parse_manifest(raw: bytes, media_type: str) -> ImageManifest | ImageIndex:
    """Parse the document that a descriptor with `media_type` names.

    Raises:
        MalformedError: no one meaning: ``manifest-type`` when the document says another type, ``manifest-ambiguous``
            when it has the marks of another kind, else the parser's code.
        UnsupportedError: schema 1 (``schema-1``), or a media type that is no manifest (``manifest-type``).
    """
    if media_type.startswith(_SCHEMA_1):
        raise _schema_1(media_type)
    if not is_index(media_type) and not is_manifest(media_type):
        raise UnsupportedError("manifest-type", "manifest", got=media_type[:160], want="an OCI or Docker manifest")
    fields = Fields(parse_foreign(raw, "manifest", max_bytes=limits.MANIFEST_BYTES), "manifest")
    check_spelling(fields, _KEYS)
    if fields.raw("schemaVersion") == 1 and "fsLayers" in fields:
        raise _schema_1("schemaVersion 1")
    fields.integer("schemaVersion", minimum=2, maximum=2)
    _check_type(fields, media_type)
    return _parse_index(fields, raw, media_type) if is_index(media_type) else _parse_image(fields, raw, media_type)


def _check_type(fields: Fields, media_type: str) -> None:
    said = fields.optional_text("mediaType")
    if said is None and media_type in (OCI_MANIFEST, OCI_INDEX):
        said = media_type
    if said != media_type:
        raise MalformedError(
            "manifest-type", "manifest", "mediaType", got=repr(said)[:160], want=f"{media_type}, as its descriptor says"
        )
    foreign = _SCHEMA_1_MARKS + (_MANIFEST_MARKS if is_index(media_type) else _INDEX_MARKS)
    for mark in foreign:
        if mark in fields:
            raise MalformedError(
                "manifest-ambiguous", "manifest", mark, got=f"{mark} in a {media_type}", want="one kind of document"
            )


def _parse_index(fields: Fields, raw: bytes, media_type: str) -> ImageIndex:
    return ImageIndex(
        raw=raw,
        digest=sha256_of(raw),
        media_type=media_type,
        manifests=tuple(map(parse_descriptor, fields.each("manifests", maximum=limits.INDEX_CHILDREN))),
        subject=_parse_subject(fields),
        artifact_type=parse_optional_media_type(fields, "artifactType"),
        annotations=parse_annotations(fields),
    )


def _parse_image(fields: Fields, raw: bytes, media_type: str) -> ImageManifest:
    return ImageManifest(
        raw=raw,
        digest=sha256_of(raw),
        media_type=media_type,
        config=parse_descriptor(fields.fields("config")),
        layers=tuple(map(parse_descriptor, fields.each("layers", maximum=limits.MANIFEST_LAYERS))),
        subject=_parse_subject(fields),
        artifact_type=parse_optional_media_type(fields, "artifactType"),
        annotations=parse_annotations(fields),
    )


def _parse_subject(fields: Fields) -> Descriptor | None:
    return parse_descriptor(fields.fields("subject")) if fields.raw("subject") is not None else None


def _schema_1(got: str) -> UnsupportedError:
    return UnsupportedError(
        "schema-1",
        "manifest",
        got=f"{got}, Docker schema 1",
        want="an OCI or Docker schema 2 manifest",
        hints=["push the image again with a current docker, podman or skopeo; that makes a schema 2 manifest"],
    )
