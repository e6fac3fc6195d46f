"""What SLSA provenance says of builder and source (slsa.dev/provenance, versions 0.1, 0.2 and 1).

    version      builder                   source
    0.1, 0.2     builder.id                invocation.configSource.uri (0.1 has none)
    1            runDetails.builder.id     buildDefinition.externalParameters: workflow.repository and workflow.ref,
                                           the same of buildConfigSource (Google Cloud Build), source.uri, or
                                           configSource.uri (BuildKit)

Rules of this module:
- Only the statement given is read; the caller has had its signature or its index checked.
- A place that is absent says nothing. One that holds another type, two places that say different things, and keys that
  another parser would fold to a known one are refused: what is ambiguous vouches for nothing.
- A source is its repository's address: `git+` before it and `.git` behind it are left out; what follows `@` or `#` is
  the ref (after `#`, up to `:`, where BuildKit names a folder). Letters are kept as they are. What has not the form of
  an address with a path is kept whole: `https://host@other/path` is never `https://host`.
"""

from __future__ import annotations

import re

from bundler import limits
from bundler.errors import MalformedError
from bundler.evidence.kind import provenance_version
from bundler.evidence.statement import Statement
from bundler.fields import Fields
from bundler.oci.spelling import check_spelling
from bundler.strict_json import parse_foreign
from bundler.value import dataclass

_WHAT = "provenance"
_ADDRESS = re.compile(r"(?:git\+)?([a-z][a-z0-9+.-]*://[^/@#]+/[^@#]+)(?:([@#])(.*))?", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What was said; None where nothing was. Claims of the builder, as good as whoever vouches for the statement."""

    builder: str | None
    source: str | None
    source_ref: str | None


def read_provenance(statement: Statement) -> Provenance:
    """Read builder and source.

    Raises:
        MalformedError: not provenance (code ``provenance``), ambiguous, or of another shape.
    """
    version = provenance_version(statement.predicate_type)
    if version is None:
        raise MalformedError("provenance", _WHAT, got=statement.predicate_type[:160], want="SLSA provenance")
    document = Fields(parse_foreign(statement.raw, _WHAT, max_bytes=limits.EVIDENCE_BLOB_BYTES), _WHAT)
    predicate = document.fields("predicate")
    if version == "v1":
        builder = _inner(_inner(predicate, "runDetails"), "builder")
        sources = _sources(_inner(_inner(predicate, "buildDefinition"), "externalParameters"))
    else:
        builder = _inner(predicate, "builder")
        sources = [split_source(_text(_inner(_inner(predicate, "invocation"), "configSource"), "uri"))]
    said = {source for source in sources if source != (None, None)}
    if len(said) > 1:
        raise MalformedError("provenance", _WHAT, "source", got=f"{len(said)} different ones", want="one")
    source, ref = said.pop() if said else (None, None)
    return Provenance(_text(builder, "id"), source, ref)


def _sources(parameters: Fields | None) -> list[tuple[str | None, str | None]]:
    """The places where version 1 is known to name its source."""
    named = (_named(_inner(parameters, name)) for name in ("workflow", "buildConfigSource"))
    described = (split_source(_text(_inner(parameters, name), "uri")) for name in ("source", "configSource"))
    return [*named, *described]


def _named(source: Fields | None) -> tuple[str | None, str | None]:
    """Repository and ref that stand in fields of their own."""
    repository, ref = _text(source, "repository"), _text(source, "ref")
    return (split_source(repository)[0], ref) if repository else (None, None)


def split_source(uri: str | None) -> tuple[str | None, str | None]:
    """Address and ref of `git+https://host/path@refs/tags/v1` or `https://host/path.git#refs/tags/v1:folder`."""
    if not uri:
        return None, None
    match = _ADDRESS.fullmatch(uri)
    if match is None:
        return uri, None
    address, mark, ref = match.groups()
    ref = ref.partition(":")[0] if mark == "#" else ref
    return address.removesuffix(".git"), ref or None


def _inner(fields: Fields | None, key: str) -> Fields | None:
    if fields is None:
        return None
    check_spelling(fields, frozenset({key}))
    return fields.fields(key) if fields.raw(key) is not None else None


def _text(fields: Fields | None, key: str) -> str | None:
    """A text; None when absent or empty."""
    if fields is None:
        return None
    check_spelling(fields, frozenset({key}))
    return fields.text(key) or None if fields.raw(key) is not None else None
