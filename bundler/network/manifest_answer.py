"""A manifest as a registry served it, with one meaning (THREATS E2; CVE-2021-41190).

Rules of this module:
- The bytes are hashed first. Asked for by digest, they have it; `Docker-Content-Digest`, where sent, says the same.
- The Content-Type is one of the four manifest types, and equals the document's own `mediaType` if it has one.
- What the document means otherwise is judged by oci/manifest.py, from these bytes and this type.
"""

from __future__ import annotations

import hashlib

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, UnsupportedError
from bundler.fields import Fields
from bundler.network.http import Answer, answer_error
from bundler.oci.manifest import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from bundler.strict_json import parse_foreign
from bundler.value import dataclass, field

ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST))

_TYPES = frozenset({OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST})
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"


@dataclass(frozen=True, slots=True)
class FetchedManifest:
    """A manifest or index: bytes, the type that it was served as, and the digest computed over the bytes."""

    raw: bytes = field(repr=False)
    media_type: str
    digest: Digest


def read_manifest(answer: Answer, wanted: Digest | None) -> FetchedManifest:
    """The manifest in an answer of status 200; closes it.

    Args:
        answer: its body is at most `limits.MANIFEST_BYTES`.
        wanted: the digest that was asked for; None for a tag.

    Raises:
        EnvError: other bytes, another type, or no one meaning (code ``registry-answer``).
        UnsupportedError: Docker schema 1 (code ``schema-1``).
    """
    raw = answer.read_whole(limits.MANIFEST_BYTES)
    digest = _hash(raw, wanted)
    if wanted is not None and digest != wanted:
        raise answer_error(answer.which, f"bytes with digest {digest}", f"{wanted}")
    _check_said_digest(answer, raw, digest)
    media_type = answer.header("Content-Type").partition(";")[0].strip()
    if media_type.startswith(_SCHEMA_1):
        raise UnsupportedError("schema-1", "manifest", answer.which, got="Docker schema 1", want="schema 2 or OCI")
    if media_type not in _TYPES:
        raise answer_error(answer.which, f"Content-Type {media_type[:80]!r}", "that of a manifest or index")
    _check_own_type(answer, raw, media_type)
    return FetchedManifest(raw, media_type, digest)


def _check_said_digest(answer: Answer, raw: bytes, digest: Digest) -> None:
    said = answer.header("Docker-Content-Digest")
    if said.startswith("sha512:") and digest.algorithm != "sha512":
        digest = Digest("sha512", hashlib.sha512(raw).hexdigest())
    if said and said != str(digest):
        raise answer_error(answer.which, f"Docker-Content-Digest {said[:160]!r}", f"{digest}, that of the bytes")


def _check_own_type(answer: Answer, raw: bytes, media_type: str) -> None:
    try:
        fields = Fields(parse_foreign(raw, "manifest", max_bytes=limits.MANIFEST_BYTES), "manifest")
        said = fields.optional_text("mediaType")
    except MalformedError as error:
        raise answer_error(answer.which, f"a document with a fault ({error.code})", "a manifest or index") from error
    if said is not None and said != media_type:
        raise answer_error(answer.which, f"Content-Type {media_type}, mediaType {said[:80]!r}", "one type")


def _hash(raw: bytes, wanted: Digest | None) -> Digest:
    if wanted is not None and wanted.algorithm == "sha512":
        return Digest("sha512", hashlib.sha512(raw).hexdigest())
    return sha256_of(raw)
