"""Descriptors: media type, digest and size of something (OCI image-spec, descriptor.md; image-index.md for platforms).

Rules of this module:
- A descriptor names content; it never is the content. `data`, if present, must be exactly the bytes that digest and
  size name (descriptor.md "data"); it is checked and then dropped, so that nothing is read from two places.
- `urls` and non-distributable media types are kept visible (`is_foreign`): such content lies elsewhere, and whoever
  needs it whole must refuse it.
- Unknown properties are ignored, as the specification demands; keys that only differ in case from known ones are not.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from types import MappingProxyType

from bundler import limits
from bundler.digest import Digest, parse_digest, sha256_of
from bundler.errors import MalformedError
from bundler.fields import Fields
from bundler.oci.spelling import check_spelling
from bundler.value import dataclass, field

_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"  # RFC 6838, 4.2 "restricted-name"
_MEDIA_TYPE = re.compile(rf"{_NAME}/{_NAME}(?:; ?[a-z0-9-]+=[A-Za-z0-9._+-]+)*", re.ASCII)
_PLATFORM_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_FOREIGN = re.compile(r".*(?:\.image\.layer\.nondistributable\.|\.image\.rootfs\.foreign\.).*")
_KEYS = frozenset({"mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"})
_PLATFORM_KEYS = frozenset({"architecture", "os", "os.version", "os.features", "variant"})
_NO_ANNOTATIONS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """What a child of an index runs on. `str()` gives `linux/amd64`, or `linux/arm/v7` with a variant."""

    os: str
    architecture: str
    variant: str | None = None
    os_version: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def covers(self, other: Platform) -> bool:
        """Whether `other` is what a person means by this platform: without a variant, any; arm64 is arm64/v8."""
        if (self.os, self.architecture) != (other.os, other.architecture):
            return False
        return self.variant is None or self._plain_variant() == other._plain_variant()

    def _plain_variant(self) -> str | None:
        return None if (self.architecture, self.variant) == ("arm64", "v8") else self.variant


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Names content by digest, size in bytes and media type."""

    media_type: str
    digest: Digest
    size_bytes: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str | None = None
    urls: tuple[str, ...] = ()

    @property
    def is_foreign(self) -> bool:
        """Whether the content may lie outside the registry (`urls`, or a non-distributable layer)."""
        return bool(self.urls) or _FOREIGN.fullmatch(self.media_type) is not None


def parse_descriptor(fields: Fields) -> Descriptor:
    """Read one descriptor.

    Raises:
        MalformedError: a field is missing, of another type, or out of bounds; ``data`` is not what the digest names
            (code ``descriptor-data``).
    """
    check_spelling(fields, _KEYS)
    digest = parse_digest(fields.text("digest"))
    size_bytes = fields.integer("size", maximum=limits.BLOB_BYTES)
    _check_data(fields, digest, size_bytes)
    return Descriptor(
        media_type=parse_media_type(fields.text("mediaType"), fields.what),
        digest=digest,
        size_bytes=size_bytes,
        platform=parse_platform_fields(fields.fields("platform")) if fields.raw("platform") is not None else None,
        annotations=parse_annotations(fields),
        artifact_type=parse_optional_media_type(fields, "artifactType"),
        urls=fields.texts("urls", maximum=limits.DESCRIPTOR_URLS) if fields.raw("urls") is not None else (),
    )


def parse_media_type(text: str, what: str) -> str:
    """Check the grammar of a media type (RFC 6838, 4.2), which may have parameters.

    Raises:
        MalformedError: code ``media-type``.
    """
    if not _MEDIA_TYPE.fullmatch(text):
        raise MalformedError("media-type", what, "mediaType", got=repr(text[:160]), want="type/subtype")
    return text


def parse_optional_media_type(fields: Fields, key: str) -> str | None:
    """A media type; None when the key is absent, null or empty (Go tools write the empty string)."""
    value = fields.raw(key)
    return None if value in (None, "") else parse_media_type(fields.text(key), fields.what)


def parse_annotations(fields: Fields) -> Mapping[str, str]:
    """The `annotations` of an object, which may be absent or null.

    Raises:
        MalformedError: not a map of strings, or one too long (code ``limits``).
    """
    if fields.raw("annotations") is None:
        return _NO_ANNOTATIONS
    annotations = fields.text_map("annotations")
    for key, value in annotations.items():
        if len(key) + len(value) > limits.ANNOTATION_CHARACTERS:
            raise MalformedError(
                "limits", fields.what, key[:80], got="more", want=f"at most {limits.ANNOTATION_CHARACTERS} characters"
            )
    return MappingProxyType(annotations)


def parse_platform(text: str) -> Platform:
    """Parse what a person types: `os/architecture` or `os/architecture/variant`.

    Raises:
        MalformedError: code ``platform``.
    """
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(_PLATFORM_PART.fullmatch(part) for part in parts):
        raise MalformedError("platform", "platform", repr(text[:80]), got="not a platform", want="os/architecture")
    return Platform(*parts)


def parse_platform_fields(fields: Fields) -> Platform | None:
    """A `platform` object; None when os and architecture are both empty, as Go tools write an absent one."""
    check_spelling(fields, _PLATFORM_KEYS)
    os, architecture = fields.text("os"), fields.text("architecture")
    if not os and not architecture:
        return None
    variant = fields.optional_text("variant") or None
    for part in (os, architecture, variant or "v"):
        if not _PLATFORM_PART.fullmatch(part):
            raise MalformedError("platform", fields.what, fields.where, got=repr(part[:80]), want="letters and digits")
    return Platform(os, architecture, variant, fields.optional_text("os.version") or None)


def _check_data(fields: Fields, digest: Digest, size_bytes: int) -> None:
    if fields.raw("data") is None:
        return
    try:
        data = base64.b64decode(fields.text("data"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError("descriptor-data", fields.what, fields.where, got="not base64", want="base64") from error
    if len(data) != size_bytes or (digest.algorithm == "sha256" and sha256_of(data) != digest):
        raise MalformedError(
            "descriptor-data", fields.what, fields.where, got="other bytes inline", want=f"the bytes of {digest}"
        )
