"""in-toto statements, versions 0.1 and 1 (in-toto/attestation, spec/v0.1 and spec/v1).

Rules of this module:
- What a statement is about is its subjects' digests. Names are claims and are never compared.
- The predicate type comes from here, from inside the (signed) statement (CVE-2022-35929).
- Unknown fields are ignored, as the specification demands; those that Go would fold to a known one are refused.
- `raw` is kept. The predicate is not: it may be large, and other rooms read it from `raw` when they need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bundler import limits
from bundler.digest import Digest
from bundler.errors import MalformedError, RejectedError
from bundler.fields import Fields
from bundler.oci.spelling import check_spelling
from bundler.strict_json import parse_foreign
from bundler.value import dataclass, field

STATEMENT_V01 = "https://in-toto.io/Statement/v0.1"
STATEMENT_V1 = "https://in-toto.io/Statement/v1"

_WHAT = "statement"
_KEYS = frozenset({"_type", "subject", "predicateType", "predicate"})
_SUBJECT_KEYS = frozenset({"name", "digest"})


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing a statement is about: a claimed name and its digests by algorithm."""

    name: str
    digests: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that was read. Whether anybody signed it is told by who holds it."""

    raw: bytes = field(repr=False)
    statement_type: str
    predicate_type: str
    subjects: tuple[Subject, ...]

    def check_subject(self, digest: Digest) -> None:
        """Check that the statement is about the content with this digest.

        Raises:
            RejectedError: no subject has it (code ``subject-mismatch``).
        """
        if not any(subject.digests.get(digest.algorithm) == digest.hex for subject in self.subjects):
            about = ", ".join(subject.digests.get(digest.algorithm, "?")[:64] for subject in self.subjects[:3])
            raise RejectedError("subject-mismatch", _WHAT, got=f"about {about}", want=str(digest))


def parse_statement(raw: bytes) -> Statement:
    """Read a statement.

    Raises:
        MalformedError: another type (code ``statement-type``), too many subjects or digests (``limits``), none
            (``statement``), or another shape.
    """
    fields = Fields(parse_foreign(raw, _WHAT, max_bytes=limits.EVIDENCE_BLOB_BYTES), _WHAT)
    check_spelling(fields, _KEYS)
    statement_type = fields.text("_type")
    if statement_type not in (STATEMENT_V01, STATEMENT_V1):
        raise MalformedError("statement-type", _WHAT, got=statement_type[:160], want=f"{STATEMENT_V01} or v1")
    predicate_type = fields.text("predicateType")
    subjects = tuple(_parse_subject(subject) for subject in fields.each("subject", maximum=limits.STATEMENT_SUBJECTS))
    if not predicate_type or not subjects:
        raise MalformedError("statement", _WHAT, got="no predicate type or no subject", want="both")
    return Statement(raw, statement_type, predicate_type, subjects)


def _parse_subject(fields: Fields) -> Subject:
    check_spelling(fields, _SUBJECT_KEYS)
    digests = fields.text_map("digest")
    if not 1 <= len(digests) <= limits.SUBJECT_DIGESTS:
        raise MalformedError(
            "limits", _WHAT, fields.where, got=f"{len(digests)} digests", want=f"1 to {limits.SUBJECT_DIGESTS}"
        )
    name = fields.text("name") if fields.raw("name") is not None else ""
    return Subject(name, MappingProxyType(digests))
