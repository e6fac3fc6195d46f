"""Documents of scanners themselves: Trivy's JSON, Grype's JSON, SARIF.

    Trivy    `trivy image --format json`, schema 2     Results[].Vulnerabilities[].Severity
    Grype    `grype --output json`                     matches[].vulnerability.severity
    SARIF    2.1.0, of any tool                        named with its tools; its levels are no severities: not counted

Rules of this module:
- A document says by itself what it is, by fields that only it has. One that says so and has another shape is refused.
- Unknown fields are ignored, since every version adds some.
- Entries are counted as the scanner lists them: one vulnerability in two packages is two. What the scanner set aside
  itself (`ExperimentalModifiedFindings`, `ignoredMatches`) is counted apart, never left out.
- What a document names by digest is kept for whoever knows the image (verify/scans.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bundler import limits
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.sbom_parts import Spelling
from bundler.evidence.scan_parts import (
    WHAT,
    UpstreamScan,
    array,
    counted,
    moment,
    severity_of,
    text,
    texts,
)
from bundler.fields import Fields
from bundler.oci.spelling import check_spelling, inner

TRIVY, GRYPE, SARIF = "Trivy", "Grype", "SARIF"
_TRIVY_SCHEMA = 2
_SARIF_VERSION = "2.1.0"
_TRIVY_KEYS = frozenset({"SchemaVersion", "ArtifactName", "CreatedAt", "Metadata", "Results", "Trivy"})
_TRIVY_MARKS = frozenset({"ArtifactName", "ArtifactType", "Results"})
_GRYPE_KEYS = frozenset({"matches", "ignoredMatches", "source", "descriptor"})

JsonObject = dict[str, Any]


def read_scanner_document(value: Any) -> UpstreamScan | None:
    """What a scanner says, by the document that it writes; None when it has no form that is known here.

    Args:
        value: JSON that was read by `parse_foreign`.

    Raises:
        RejectedError: another version of a known form (code ``scan-version``).
        MalformedError: a known form in another shape, or too large (``limits``).
    """
    if not isinstance(value, dict):
        return None
    keys = value.keys()
    if "SchemaVersion" in keys and keys & _TRIVY_MARKS:
        return _trivy(Fields(value, WHAT))
    if {"matches", "descriptor"} <= keys:
        return _grype(Fields(value, WHAT))
    version = value.get("version")
    if isinstance(value.get("runs"), list) and isinstance(version, str) and version.startswith("2."):
        return _sarif(Fields(value, WHAT))
    return None


def _trivy(report: Fields) -> UpstreamScan:
    check_spelling(report, _TRIVY_KEYS)
    schema = report.integer("SchemaVersion")
    if schema != _TRIVY_SCHEMA:
        raise _version(f"Trivy schema {schema}", f"schema {_TRIVY_SCHEMA}")
    results = array(report, "Results") or []
    metadata = inner(report, "Metadata")
    named = [*texts(metadata, "RepoDigests", maximum=limits.SCAN_NAMES), text(metadata, "ImageID")]
    spelling = Spelling("Vulnerabilities", "ExperimentalModifiedFindings", what=WHAT)
    listed = [_objects(result, "Vulnerabilities", spelling) for result in _each(results, "Results")]
    aside = [
        item
        for result in _each(results, "Results")
        for item in _objects(result, "ExperimentalModifiedFindings", spelling)
        if item.get("Type") in (None, "vulnerability")
    ]
    inside = Spelling("Severity", what=WHAT)
    return UpstreamScan(
        form=TRIVY,
        scanner="Trivy",
        version=text(inner(report, "Trivy"), "Version"),
        scanned_at=moment(report, "CreatedAt"),
        counts=counted(_severity(item, inside) for items in listed for item in items),
        suppressed=len(aside),
        targets=len(results),
        target=text(report, "ArtifactName"),
        digests=_digests(named),
        layers=texts(metadata, "DiffIDs", maximum=limits.MANIFEST_LAYERS),
    )


def _grype(report: Fields) -> UpstreamScan:
    check_spelling(report, _GRYPE_KEYS)
    matches = array(report, "matches")
    descriptor = inner(report, "descriptor")
    source = inner(report, "source")
    about = source.raw("target") if source is not None else None
    target = Fields(about, WHAT, "source.target") if isinstance(about, dict) else None
    named = [
        *texts(target, "repoDigests", maximum=limits.SCAN_NAMES),
        text(target, "manifestDigest"),
        text(target, "imageID"),
    ]
    outside, inside = Spelling("vulnerability", what=WHAT), Spelling("severity", what=WHAT)
    database = inner(descriptor, "db")
    status = inner(database, "status") or database  # since 0.88 below `status`
    return UpstreamScan(
        form=GRYPE,
        scanner=text(descriptor, "name"),
        version=text(descriptor, "version"),
        database=text(status, "from") or text(status, "location"),
        database_at=moment(status, "built"),
        scanned_at=moment(descriptor, "timestamp"),
        counts=counted(_match(item, outside, inside) for item in _each(matches or [], "matches")),
        suppressed=len(array(report, "ignoredMatches") or []),
        target=text(target, "userInput") if target is not None else _short(about),
        digests=_digests(named),
    )


def _match(item: JsonObject, outside: Spelling, inside: Spelling) -> str:
    outside.check(item, "matches")
    vulnerability = item.get("vulnerability")
    if not isinstance(vulnerability, dict):
        raise _shape("matches.vulnerability", vulnerability, "object")
    return _severity(vulnerability, inside, "severity")


def _sarif(report: Fields) -> UpstreamScan:
    check_spelling(report, frozenset({"version", "runs"}))
    version = text(report, "version")
    if version != _SARIF_VERSION:
        raise _version(f"SARIF {version}"[:80], f"SARIF {_SARIF_VERSION}")
    runs = report.items("runs", maximum=limits.SCAN_NAMES)
    drivers = [inner(inner(Fields(run, WHAT, "runs"), "tool"), "driver") for run in runs]
    names = dict.fromkeys(text(driver, "name") for driver in drivers)
    versions = dict.fromkeys(text(driver, "version") or text(driver, "semanticVersion") for driver in drivers)
    return UpstreamScan(
        form=SARIF,
        scanner=", ".join(name for name in names if name)[: limits.SCAN_TEXT_CHARACTERS],
        version=", ".join(word for word in versions if word)[: limits.SCAN_TEXT_CHARACTERS],
    )


def _severity(item: JsonObject, spelling: Spelling, key: str = "Severity") -> str:
    spelling.check(item, key)
    word = item.get(key)
    if word is not None and not isinstance(word, str):
        raise _shape(key, word, "str")
    return severity_of(word or "")


def _objects(value: JsonObject, key: str, spelling: Spelling) -> list[JsonObject]:
    """Objects of a list; absent and null mean none, as Go writes it."""
    spelling.check(value, "Results")
    found = value.get(key)
    if found is not None and not isinstance(found, list):
        raise _shape(f"Results.{key}", found, "array")
    return list(_each(found or [], f"Results.{key}"))


def _each(values: Iterable[Any], where: str) -> Iterator[JsonObject]:
    for value in values:
        if not isinstance(value, dict):
            raise _shape(where, value, "object")
        yield value


def _digests(names: Iterable[str]) -> frozenset[str]:
    """`sha256:…` of names like `registry/app@sha256:…`; what has no digest names nothing."""
    found = (name.rpartition("@")[2] for name in names)
    return frozenset(name for name in found if name.startswith("sha256:"))


def _short(value: Any) -> str:
    return value[: limits.SCAN_TEXT_CHARACTERS] if isinstance(value, str) else ""


def _shape(where: str, value: Any, want: str) -> MalformedError:
    return MalformedError("field-type", WHAT, where, got=type(value).__name__, want=want)


def _version(got: str, want: str) -> RejectedError:
    return RejectedError("scan-version", WHAT, got=got, want=want)
