"""One image's evidence as plain values, for `sealift inspect … --json` and for its text (INSPECT.md).

Rules: every key is always there, empty where there is nothing to say; strengths are those of REPORT.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bundler.deliver.image_inspection import ImageInspection
from bundler.deliver.inspection import head_document
from bundler.deliver.readings import Reading, ReadingKind, missing_platforms, read_all
from bundler.errors import RejectedError, SealiftError
from bundler.evidence.provenance_details import ProvenanceDetails
from bundler.evidence.sbom import Sbom
from bundler.moment import format_moment
from bundler.verify.completeness import CompleteImage
from bundler.verify.result import evidence_document
from bundler.verify.scan_facts import CarriedScan, carried_document

_WORDS = {"sbom": "SBOM", "provenance": "provenance"}
_SIGNATURES = frozenset({"signature", "attestation"})


def readings_document(inspection: ImageInspection, kind: ReadingKind) -> tuple[dict[str, Any], SealiftError | None]:
    """SBOMs or provenance, and why the command fails, if it does: absent for a platform, or unreadable."""
    complete = inspection.judged.complete
    readings = read_all(kind, inspection.judged, inspection.read_blob)
    missing = missing_platforms(readings, complete)
    failure = next((reading.failure for reading in readings if reading.failure is not None), None)
    if not readings or missing:
        code = "sbom-missing" if kind == "sbom" else "provenance-missing"
        failure = RejectedError(
            code, _WORDS[kind], f"of {inspection.image.name}",
            got=f"none about {', '.join(missing) or inspection.platform or 'it'}", want="one",
            hints=_searched(inspection),
        )  # fmt: skip
    document = _head(inspection)
    document["missing"] = list(missing)
    document[kind] = [_reading(reading) for reading in readings]
    return document, failure


def signatures_document(inspection: ImageInspection) -> tuple[dict[str, Any], SealiftError | None]:
    """Signatures and attestations, and the failure when there is none."""
    facts = [fact for fact in inspection.judged.facts if fact.kind in _SIGNATURES]
    failure = None
    if not facts:
        failure = RejectedError(
            "signature-missing", "signature", f"of {inspection.image.name}", got="none", want="one",
            hints=_searched(inspection),
        )  # fmt: skip
    document = _head(inspection)
    document["signatures"] = [evidence_document(fact) for fact in facts]
    return document, failure


def scans_document(inspection: ImageInspection) -> tuple[dict[str, Any], SealiftError | None]:
    """Scan reports, and why the command fails, if it does: absent for a platform, or unreadable."""
    scans = inspection.scans()
    missing = _unscanned(scans, inspection.judged.complete)
    failure = next((scan.failure for scan in scans if scan.failure is not None), None)
    if not scans or missing:
        failure = RejectedError(
            "scan-missing", "scan report", f"of {inspection.image.name}",
            got=f"none about {', '.join(missing) or inspection.platform or 'it'}", want="one",
            hints=_searched(inspection),
        )  # fmt: skip
    document = _head(inspection)
    document["at"] = _time(inspection.at)
    document["missing"] = list(missing)
    document["scans"] = [carried_document(scan, inspection.at) for scan in scans]
    return document, failure


def _unscanned(scans: Sequence[CarriedScan], complete: CompleteImage) -> tuple[str, ...]:
    """Platforms that no scan report is about, neither by themselves nor by an index over them."""
    return tuple(
        platform
        for platform, digest in complete.platforms
        if not any(
            scan.subject == digest
            or (scan.subject in complete.indexes_over[digest] and (not scan.covers or platform in scan.covers))
            for scan in scans
        )
    )


def tree_document(inspection: ImageInspection) -> dict[str, Any]:
    """The image, its platforms and what is omitted, each with the evidence about it, and evidence about evidence."""
    image, facts = inspection.image, inspection.judged.facts
    document = _head(inspection)
    platforms = inspection.judged.complete.platforms
    known = {image.digest, *(digest for _, digest in platforms)}
    document |= {
        "about_image": [evidence_document(fact) for fact in facts if fact.subject == image.digest],
        "platforms": [
            {
                "platform": platform,
                "digest": str(digest),
                "evidence": [
                    evidence_document(fact) for fact in facts if fact.subject == digest and digest != image.digest
                ],
            }
            for platform, digest in platforms
        ],
        "about_evidence": [evidence_document(fact) for fact in facts if fact.subject not in known],
        "omitted": [{"platform": item.platform, "digest": str(item.digest)} for item in image.omitted],
        "searches": [
            {"subject": str(search.subject), "place": search.place, "answer": search.answer}
            for search in image.searches
        ],
    }
    return document


def _head(inspection: ImageInspection) -> dict[str, Any]:
    head, image = inspection.head, inspection.image
    return {
        **head_document(head),
        "image": image.name,
        "digest": str(image.digest),
        "digest_origin": image.digest_origin,
        "platform": inspection.platform,
    }


def _reading(reading: Reading) -> dict[str, Any]:
    document: dict[str, Any] = {
        "subject": str(reading.subject),
        "platform": reading.platform,
        "form": reading.form,
        "manifest": str(reading.manifest),
        "predicate_type": reading.predicate_type,
        "strength": reading.strength,
        "signers": list(reading.signers),
        "reason": reading.failure.code if reading.failure else reading.code,
        "message": str(reading.failure) if reading.failure else "",
    }
    if reading.kind == "sbom":
        document["sbom"] = _sbom(reading.sbom) if reading.sbom else None
    else:
        document["provenance"] = _provenance(reading.provenance) if reading.provenance else None
    return document


def _sbom(sbom: Sbom) -> dict[str, Any]:
    return {
        "format": sbom.format,
        "version": sbom.version,
        "name": sbom.name,
        "identity": sbom.identity,
        "created": _time(sbom.created_at),
        "tools": list(sbom.tools),
        "relationships": sbom.relationships,
        "files": sbom.files,
        "packages": [package._asdict() for package in sbom.packages],
    }


def _provenance(details: ProvenanceDetails) -> dict[str, Any]:
    return {
        "version": details.version,
        "builder": details.claims.builder,
        "build_type": details.build_type,
        "source": details.claims.source,
        "source_ref": details.claims.source_ref,
        "source_branch": details.claims.source_branch,
        "source_tag": details.claims.source_tag,
        "source_digests": dict(details.source_digests),
        "entry_point": details.entry_point,
        "parameters": dict(details.parameters),
        "materials": [{"uri": item.uri, "digests": dict(item.digests)} for item in details.materials],
        "started": _time(details.started_at),
        "finished": _time(details.finished_at),
        "invocation": details.invocation,
    }


def _searched(inspection: ImageInspection) -> list[str]:
    """Where the exporter looked, and what answered: so that a mirroring gap is not taken for tampering."""
    answers = {f"{search.place}: {search.answer}" for search in inspection.image.searches}
    return [f"the exporter looked here: {', '.join(sorted(answers))}"] if answers else []


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_moment(moment.replace(microsecond=0))
