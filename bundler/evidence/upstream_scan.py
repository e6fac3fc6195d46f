"""Scan reports as they come with an image: in statements, and as files of scanners (EVIDENCE: carried, and told).

    from                                                     bound to its image by
    `cosign attest --type vuln` (COSIGN_VULN_ATTESTATION)    the statement's subject, which the caller has had checked
    in-toto vulns 0.1 and 0.2 (in-toto/attestation)          likewise
    Docker Scout's own predicate                             likewise; named, not read
    Trivy's, Grype's JSON or SARIF in a referrer or `.sbom`  the `subject` of the referrer's manifest, or the tag alone

Rules of this module:
- The predicate type says what a statement holds. A file says by itself what it is (scan_formats.py); its media type
  and artifact type only say where to look.
- Where a predicate says nothing, the scanner's own document inside it may: its name, dates and counts. Where both
  speak, the predicate counts, for it is what somebody meant to sign.
- A result without a form that is known here is not counted, and that is said: it never counts as nothing found.
- Malformed, or of an unknown version: refused, with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bundler import limits
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.kind import COSIGN_SBOM, REFERRER, scan_form
from bundler.evidence.sbom_parts import Spelling
from bundler.evidence.scan_formats import read_scanner_document
from bundler.evidence.scan_parts import WHAT, UpstreamScan, array, counted, moment, rated, text, worst
from bundler.evidence.statement import Statement
from bundler.fields import Fields
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import ImageManifest
from bundler.oci.spelling import check_spelling, inner
from bundler.strict_json import collector_paused, parse_foreign
from bundler.value import replace

__all__ = ["UpstreamScan", "parse_scan_file", "read_scan", "scan_layers"]

UNKNOWN_RESULT = "unknown"
_COSIGN, _IN_TOTO, _SCOUT = "cosign vuln v1", ("in-toto vulns v0.1", "in-toto vulns v0.2"), "Docker Scout"
_PREDICATE_KEYS = frozenset({"scanner", "metadata"})
_RESULT_KEYS = frozenset({"id", "severity"})
# Words that a media type or an artifact type of scan reports has: nobody has registered one.
_NAMED = re.compile(
    r".*(?:^|[^a-z])(?:trivy|grype|sarif|vulns?|vulnerability|vulnerabilities|scan)(?:[^a-z].*|$)", re.ASCII
)
# Layers that are something else, whatever stands beside: statements, signatures, SBOMs, VEX, packed databases.
_OTHER = re.compile(r"in-toto|sigstore|simplesigning|dsse|cyclonedx|spdx|syft|vex|gzip|zstd", re.ASCII)
_PLAIN = frozenset({"application/json", "text/json"})
_MARKS = (b'"SchemaVersion"', b'"descriptor"', b'"runs"', b'"scanner"')


def read_scan(statement: Statement) -> UpstreamScan:
    """The scan report in a statement whose subject the caller has had checked.

    Raises:
        RejectedError: no scan report (code ``scan-format``), or a version that is not read here (``scan-version``).
        MalformedError: not JSON with one meaning, too large (``limits``), a time that is none (``time``), or another
            shape.
    """
    form = scan_form(statement.predicate_type)
    if form is None:
        raise RejectedError("scan-format", WHAT, got=statement.predicate_type[:160], want="a scan report")
    document = Fields(parse_foreign(statement.raw, WHAT, max_bytes=limits.EVIDENCE_BLOB_BYTES), WHAT)
    predicate = document.fields("predicate")
    if form == _COSIGN:
        return _cosign(predicate)
    if form in _IN_TOTO:
        return _in_toto(predicate, form)
    if form.startswith(_SCOUT):
        return UpstreamScan(form=form)
    raise RejectedError("scan-version", WHAT, got=form[:80], want=" or ".join((_COSIGN, *_IN_TOTO)))


def parse_scan_file(raw: bytes) -> UpstreamScan:
    """Read a scan report that stands alone: a scanner's document, or cosign's predicate as `trivy` writes it.

    Raises:
        RejectedError: no form that is known here (code ``scan-format``), or another version of one (``scan-version``).
        MalformedError: as `read_scan`.
    """
    value = parse_foreign(raw, WHAT, max_bytes=limits.SCAN_REPORT_BYTES)
    if isinstance(value, dict) and value.keys() >= _PREDICATE_KEYS:
        return _cosign(Fields(value, WHAT))
    with collector_paused():
        found = read_scanner_document(value)
    if found is None:
        raise RejectedError("scan-format", WHAT, got="no form that is known here", want="Trivy's, Grype's or SARIF")
    return found


def scan_layers(manifest: ImageManifest, kind: str) -> Iterator[tuple[Descriptor, str, bool]]:
    """Layers that may be scan reports by themselves, each with the type that says so, and whether a type names one.

    One whose types name none is plain JSON, and is a scan report only if it says so itself (`may_be_scan`). A layer
    named by its artifact type alone may have any type of its own: `oras attach` gives it that of an image layer.
    """
    if kind not in (REFERRER, COSIGN_SBOM):
        return
    artifact = _bare(manifest.artifact_type or manifest.config.media_type)
    for layer in manifest.layers:
        own = _bare(layer.media_type)
        named = next((each for each in (own, artifact) if _NAMED.fullmatch(each)), "")
        if (named or own in _PLAIN) and not _OTHER.search(own):
            yield layer, named or own, bool(named)


def may_be_scan(raw: bytes) -> bool:
    """Whether plain JSON is worth reading: it holds a word that only scan reports need."""
    return len(raw) <= limits.SCAN_REPORT_BYTES and any(mark in raw for mark in _MARKS)


def _cosign(predicate: Fields) -> UpstreamScan:
    """cosign specs/COSIGN_VULN_ATTESTATION_SPEC.md; `scanner.result` is whatever the scanner writes."""
    said = _said(predicate, _COSIGN)
    value = predicate.fields("scanner").raw("result")
    if value is None:
        return said
    with collector_paused():
        found = read_scanner_document(value)
    if found is None:
        return replace(said, result=UNKNOWN_RESULT)
    return replace(
        found,
        form=_COSIGN,
        result=found.form,
        scanner=said.scanner or found.scanner,
        version=said.version or found.version,
        database=said.database or found.database,
        database_at=said.database_at or found.database_at,
        scanned_at=said.scanned_at or found.scanned_at,
    )


def _in_toto(predicate: Fields, form: str) -> UpstreamScan:
    """in-toto spec/predicates/vuln.md; an absent `result` says nothing, an empty one says that nothing was found."""
    said = _said(predicate, form)
    scanner = predicate.fields("scanner")
    check_spelling(scanner, frozenset({"result"}))
    if "result" not in scanner:
        return said
    spellings = Spelling(*_RESULT_KEYS, what=WHAT), Spelling("method", "score", what=WHAT)
    with collector_paused():
        return replace(said, counts=counted(_entry(item, *spellings) for item in array(scanner, "result") or []))


def _entry(item: Any, outside: Spelling, inside: Spelling) -> str:
    """The severity of one entry: the worst that any method gives."""
    if not isinstance(item, dict):
        raise _shape("scanner.result", item, "object")
    outside.check(item, "scanner.result")
    name, ratings = item.get("id"), item.get("severity")
    if not isinstance(name, str) or not name:
        raise _shape("scanner.result.id", name, "a name")
    if ratings is not None and not isinstance(ratings, list):
        raise _shape("scanner.result.severity", ratings, "array")
    return worst(_rating(rating, inside) for rating in ratings or [])


def _rating(rating: Any, spelling: Spelling) -> str:
    if not isinstance(rating, dict):
        raise _shape("scanner.result.severity", rating, "object")
    spelling.check(rating, "scanner.result.severity")
    score = rating.get("score")
    if isinstance(score, (int, float)) and not isinstance(score, bool):
        score = f"{score:.1f}"  # the specification says number, its protobuf string
    return rated(_word(rating.get("method")), _word(score))


def _word(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise _shape("scanner.result.severity", value, "str")
    return value or ""


def _said(predicate: Fields, form: str) -> UpstreamScan:
    """What both predicates say in the same places."""
    check_spelling(predicate, _PREDICATE_KEYS)
    scanner = predicate.fields("scanner")
    check_spelling(scanner, frozenset({"uri", "version", "db", "result"}))
    database, metadata = inner(scanner, "db"), inner(predicate, "metadata")
    data = (text(database, "uri"), text(database, "version"))
    return UpstreamScan(
        form=form,
        scanner=text(scanner, "uri"),
        version=text(scanner, "version"),
        database=" ".join(word for word in data if word),
        database_at=moment(database, "lastUpdate"),
        scanned_at=moment(metadata, "scanFinishedOn", "scanStartedOn"),
    )


def _bare(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _shape(where: str, value: Any, want: str) -> MalformedError:
    return MalformedError("field-type", WHAT, where, got=type(value).__name__, want=want)
