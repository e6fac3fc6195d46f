"""What SLSA provenance says of builder and source (slsa.dev/provenance, versions 0.1, 0.2 and 1).

    version      builder                   source
    0.1          builder.id                materials[recipe.definedInMaterial].uri
    0.2          builder.id                invocation.configSource.uri
    1            runDetails.builder.id     buildDefinition.externalParameters: workflow.repository and workflow.ref,
                                           the same of buildConfigSource and sourceToBuild (Google Cloud Build),
                                           source.uri, or configSource.uri (BuildKit)

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
from bundler.evidence.provenance_parts import WHAT, one_of, text
from bundler.evidence.provenance_refs import read_refs
from bundler.evidence.statement import Statement
from bundler.fields import Fields
from bundler.oci.spelling import check_spelling, inner
from bundler.strict_json import parse_foreign
from bundler.value import dataclass

_NAMED = ("workflow", "buildConfigSource", "sourceToBuild")
_DESCRIBED = ("source", "configSource")
_PLACE = re.compile("-?[0-9]{1,9}", re.ASCII)
_ADDRESS = re.compile(r"(?:git\+)?([a-z][a-z0-9+.-]*://[^/@#]+/[^@#]+)(?:([@#])(.*))?", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What was said; None where nothing was. Claims of the builder, as good as whoever vouches for the statement.

    Attributes:
        source_branch, source_tag: short names, as slsa-verifier understands them (provenance_refs.py).
    """

    builder: str | None
    source: str | None
    source_ref: str | None
    source_branch: str | None = None
    source_tag: str | None = None


def read_provenance(statement: Statement) -> Provenance:
    """Read builder, source, ref, branch and tag.

    Raises:
        MalformedError: not provenance (code ``provenance``), ambiguous, or of another shape.
    """
    version = provenance_version(statement.predicate_type)
    if version is None:
        raise MalformedError("provenance", WHAT, got=statement.predicate_type[:160], want="SLSA provenance")
    document = Fields(parse_foreign(statement.raw, WHAT, max_bytes=limits.EVIDENCE_BLOB_BYTES), WHAT)
    predicate = document.fields("predicate")
    if version == "v1":
        builder = inner(inner(predicate, "runDetails"), "builder")
        sources = _sources(inner(inner(predicate, "buildDefinition"), "externalParameters"))
    elif version == "v0.2":
        builder = inner(predicate, "builder")
        sources = [split_source(text(inner(inner(predicate, "invocation"), "configSource"), "uri"))]
    else:
        builder = inner(predicate, "builder")
        sources = [split_source(_recipe_material(predicate))]
    source = one_of({address for address, _ in sources if address}, "source")
    ref = one_of({ref for _, ref in sources if ref}, "source ref")
    return Provenance(text(builder, "id"), source, ref, *read_refs(version, predicate, ref))


def _recipe_material(predicate: Fields) -> str | None:
    """The address of the material that version 0.1's recipe stands in, by its number.

    Google Cloud Build writes the number as text, as protobuf does, and -1 for none.
    """
    recipe = inner(predicate, "recipe")
    if recipe is None:
        return None
    check_spelling(recipe, frozenset({"definedInMaterial"}))
    check_spelling(predicate, frozenset({"materials"}))
    place = recipe.raw("definedInMaterial")
    if isinstance(place, str) and _PLACE.fullmatch(place):
        place = int(place)
    if place is None or (type(place) is int and place < 0):
        return None
    materials = list(predicate.each("materials", maximum=limits.PROVENANCE_MATERIALS))
    if type(place) is not int or place >= len(materials):
        raise MalformedError("provenance", WHAT, "recipe.definedInMaterial", got=str(place)[:80], want="a material")
    return text(materials[place], "uri")


def _sources(parameters: Fields | None) -> list[tuple[str | None, str | None]]:
    """The places where version 1 is known to name its source."""
    named = (_named(inner(parameters, name)) for name in _NAMED)
    described = (split_source(text(inner(parameters, name), "uri")) for name in _DESCRIBED)
    return [*named, *described]


def _named(source: Fields | None) -> tuple[str | None, str | None]:
    """Repository and ref that stand in fields of their own."""
    repository, ref = text(source, "repository"), text(source, "ref")
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
