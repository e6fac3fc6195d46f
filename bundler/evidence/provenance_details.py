"""All that SLSA provenance says of a build, for people: versions 0.1, 0.2 and 1 (BuildKit, GitHub's generator, GCB).

    version      0.1                            0.2                                 1
    build type   recipe.type                    buildType                           buildDefinition.buildType
    entry point  recipe.entryPoint              invocation.configSource.entryPoint  externalParameters.workflow.path,
                                                                                    buildConfigSource.path, …
    parameters   recipe.arguments               invocation.parameters               buildDefinition.externalParameters
    materials    materials                      materials                           buildDefinition.resolvedDependencies
    times, id    metadata                       metadata                            runDetails.metadata

Rules of this module:
- Builder, source and ref are read in one place only (provenance.py), so that what is shown is what a policy judges.
- The source's digest is the one that stands beside its address, or the one of the material with that address.
- Claims: nothing here says who vouches for them. A place that holds another type is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from bundler import limits
from bundler.evidence.kind import provenance_version
from bundler.evidence.provenance import Provenance, read_provenance, split_source
from bundler.evidence.provenance_parts import WHAT, first_text
from bundler.evidence.statement import Statement
from bundler.fields import Fields
from bundler.moment import parse_foreign_moment
from bundler.oci.spelling import check_spelling, inner
from bundler.strict_json import parse_foreign
from bundler.value import dataclass, field

_SOURCES_1 = ("workflow", "buildConfigSource", "sourceToBuild", "configSource", "source")
_ENTRY_KEYS = ("path", "entryPoint")
# The specification has the first of each version; the Go library that BuildKit and GitHub's generator use, the others.
_INVOCATION_KEYS = ("invocationId", "invocationID", "buildInvocationId", "buildInvocationID")


@dataclass(frozen=True, slots=True)
class Material:
    """Something that went into the build, as claimed."""

    uri: str
    digests: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class ProvenanceDetails:
    """What one provenance says; None and empty where it says nothing.

    Attributes:
        version: of SLSA provenance, e.g. `v0.2`.
        claims: builder, source and ref, as a policy judges them.
        parameters: JSON values by name.
    """

    version: str
    claims: Provenance
    build_type: str | None
    source_digests: Mapping[str, str] = field(hash=False)
    entry_point: str | None
    parameters: Mapping[str, Any] = field(hash=False, repr=False)
    materials: tuple[Material, ...] = field(repr=False)
    started_at: datetime | None
    finished_at: datetime | None
    invocation: str | None


@dataclass(frozen=True, slots=True)
class _Places:
    """Where one version keeps what it says."""

    build_type: str | None
    sources: tuple[Fields | None, ...]
    parameters: Fields | None
    materials: tuple[Fields | None, str]
    metadata: Fields | None
    times: tuple[str, str]


def read_details(statement: Statement) -> ProvenanceDetails:
    """Read everything.

    Raises:
        MalformedError: as `read_provenance`; too many materials (``limits``), a time that is none (``time``).
    """
    claims = read_provenance(statement)
    version = provenance_version(statement.predicate_type) or ""
    document = Fields(parse_foreign(statement.raw, WHAT, max_bytes=limits.EVIDENCE_BLOB_BYTES), WHAT)
    predicate = document.fields("predicate")
    places = _PLACES[version](predicate)
    materials = tuple(_materials(*places.materials))
    started, finished = (_moment(places.metadata, key) for key in places.times)
    return ProvenanceDetails(
        version=version,
        claims=claims,
        build_type=places.build_type,
        source_digests=MappingProxyType(_source_digests(places, materials, claims)),
        entry_point=next(_entry_points(places), None),
        parameters=MappingProxyType(_values(places.parameters)),
        materials=materials,
        started_at=started,
        finished_at=finished,
        invocation=first_text(places.metadata, _INVOCATION_KEYS),
    )


def _places_01(predicate: Fields) -> _Places:
    recipe, metadata = inner(predicate, "recipe"), inner(predicate, "metadata")
    times = ("buildStartedOn", "buildFinishedOn")
    kind = first_text(recipe, ("type",))
    return _Places(kind, (recipe,), inner(recipe, "arguments"), (predicate, "materials"), metadata, times)


def _places_02(predicate: Fields) -> _Places:
    invocation, metadata = inner(predicate, "invocation"), inner(predicate, "metadata")
    sources = (inner(invocation, "configSource"),)
    times = ("buildStartedOn", "buildFinishedOn")
    kind, parameters = first_text(predicate, ("buildType",)), inner(invocation, "parameters")
    return _Places(kind, sources, parameters, (predicate, "materials"), metadata, times)


def _places_1(predicate: Fields) -> _Places:
    definition, run = inner(predicate, "buildDefinition"), inner(predicate, "runDetails")
    parameters = inner(definition, "externalParameters")
    sources = tuple(inner(parameters, name) for name in _SOURCES_1)
    kind = first_text(definition, ("buildType",))
    materials = (definition, "resolvedDependencies")
    return _Places(kind, sources, parameters, materials, inner(run, "metadata"), ("startedOn", "finishedOn"))


_PLACES = {"v0.1": _places_01, "v0.2": _places_02, "v1": _places_1}


def _entry_points(places: _Places) -> Iterator[str]:
    for source in places.sources:
        found = first_text(source, _ENTRY_KEYS)
        if found is not None:
            yield found


def _source_digests(places: _Places, materials: tuple[Material, ...], claims: Provenance) -> dict[str, str]:
    for source in places.sources:
        if source is not None and source.raw("digest") is not None:
            return source.text_map("digest")
    for material in materials:
        if claims.source is not None and split_source(material.uri)[0] == claims.source:
            return dict(material.digests)
    return {}


def _values(fields: Fields | None) -> dict[str, Any]:
    if fields is None:
        return {}
    names = fields.keys()
    return {name: fields.raw(name) for name in names}


def _materials(place: Fields | None, key: str) -> Iterator[Material]:
    if place is None:
        return
    check_spelling(place, frozenset({key}))
    if place.raw(key) is None:
        return
    for material in place.each(key, maximum=limits.PROVENANCE_MATERIALS):
        digests = material.text_map("digest") if material.raw("digest") is not None else {}
        yield Material(first_text(material, ("uri", "name")) or "", MappingProxyType(digests))


def _moment(fields: Fields | None, key: str) -> datetime | None:
    text = first_text(fields, (key,))
    return None if text is None else parse_foreign_moment(text)
