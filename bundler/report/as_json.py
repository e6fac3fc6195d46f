"""A report as JSON: documented in REPORT.md, versioned, deterministic.

Rules: the same report gives the same bytes (keys in a fixed order, no clock); every key is always there, empty where
there is nothing to say; text from outside is escaped, all of it ASCII and DEL too, so nothing reaches a terminal raw.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from bundler.digest import Digest
from bundler.moment import format_moment
from bundler.verify.data_facts import DataFact
from bundler.verify.head_facts import TrustFacts
from bundler.verify.result import Check, Explanation, ImageResult, LogGrowthFact, Report, evidence_document
from bundler.verify.scan_facts import carried_document

REPORT_VERSION = 1


def format_report(report: Report) -> str:
    """The report as indented JSON with a final newline."""
    text = json.dumps(report_document(report), indent=2, ensure_ascii=True)
    return text.replace("\x7f", "\\u007f") + "\n"  # the one control character that JSON leaves raw; only in strings


def report_document(report: Report) -> dict[str, Any]:
    """The report as plain values, in the order of REPORT.md."""
    failure = report.failure
    return {
        "report": REPORT_VERSION,
        "tool": report.tool,
        "file": report.file,
        "verdict": report.verdict.value,
        "exit_code": report.exit_code,
        "reason": report.reason,
        "message": str(failure) if failure else "",
        "hints": list(failure.hints) if failure else [],
        "time": None
        if report.time is None
        else {"at": _time(report.time.at), "source": report.time.source, "reason": report.time.reason},
        "policy": _text(report.policy_digest),
        "weakened": list(report.weakened),
        "trust": None if report.trust is None else _trust(report.trust),
        "bundle": _bundle(report),
        "integrity": {
            "members": report.members,
            "bytes_read": report.bytes_read,
            "damages": [
                {
                    "member": damage.member,
                    "digest": _text(damage.digest),
                    "reason": damage.code,
                    "detail": damage.detail,
                }
                for damage in report.damages
            ],
        },
        "checks": [_check(check) for check in report.checks],
        "logs": [_growth(fact) for fact in report.logs],
        "data": [data_document(fact) for fact in report.data],
        "images": [_image(image, report.time.at if report.time is not None else None) for image in report.images],
    }


def _trust(trust: TrustFacts) -> dict[str, Any]:
    return {
        "pin": _text(trust.pin),
        "site": trust.site,
        "root_version": trust.root_version,
        "development": trust.development,
        "standing": trust.standing,
        "accepted_at": _time(trust.accepted_at),
        "recorded": trust.recorded,
        "state": _text(trust.state),
        "today": trust.today,
        "warnings": [{"reason": code, "detail": detail} for code, detail in trust.warnings],
        "roles": [
            {"role": role.role, "version": role.version, "expires": _time(role.expires_at), "stale": role.stale}
            for role in trust.roles
        ],
    }


def _bundle(report: Report) -> dict[str, Any] | None:
    bundle = report.bundle
    if bundle is None:
        return None
    return {
        "stream": bundle.stream,
        "sequence": bundle.sequence,
        "previous": _text(bundle.previous),
        "inventory": str(bundle.inventory),
        "created": _time(bundle.created_at),
        "audience": list(bundle.audience),
        "tool": bundle.tool,
        "images": bundle.images,
        "blobs": bundle.blobs,
        "size": bundle.size_bytes,
    }


def _growth(fact: LogGrowthFact) -> dict[str, Any]:
    return {
        "log": fact.log,
        "log_id": fact.log_id.hex(),
        "origin": fact.origin,
        "growth": fact.status,
        "from": fact.from_size,
        "to": fact.to_size,
        "unproved": fact.unproved,
        "fetched_at": _time(fact.fetched_at),
        "detail": fact.told,
    }


def data_document(fact: DataFact) -> dict[str, Any]:
    """Vulnerability data as plain values."""
    return {
        "kind": fact.kind,
        "source": fact.source,
        "modified": _time(fact.modified_at),
        "age_days": fact.age_days,
        "records": fact.records,
        "digest": str(fact.digest),
        "media_type": fact.media_type,
        "size": fact.size_bytes,
    }


def _image(image: ImageResult, at: datetime | None) -> dict[str, Any]:
    return {
        "name": image.name,
        "digest": str(image.digest),
        "digest_origin": image.digest_origin,
        "media_type": image.media_type,
        "size": image.size_bytes,
        "verdict": image.verdict.value,
        "reason": image.reason,
        "rule": image.rule,
        "explanation": None if image.explanation is None else _explanation(image.explanation),
        "platforms": [{"platform": platform, "digest": str(digest)} for platform, digest in image.platforms],
        "omitted": [{"platform": platform, "digest": str(digest)} for platform, digest in image.omitted],
        "checks": [_check(check) for check in image.checks],
        "evidence": [evidence_document(fact) for fact in image.evidence],
        "scans": [carried_document(scan, at) for scan in image.scans],
        "searches": [
            {"subject": str(subject), "place": place, "answer": answer} for subject, place, answer in image.searches
        ],
    }


def _explanation(explanation: Explanation) -> dict[str, Any]:
    return {
        "rules": [
            {"rule": trial.rule, "applies": trial.applies, "because": trial.because} for trial in explanation.trials
        ],
        "demands": list(explanation.demands),
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "check": check.name,
        "outcome": check.outcome.value,
        "reason": check.code,
        "about": check.about,
        "strength": check.strength,
        "detail": check.detail,
    }


def _text(digest: Digest | None) -> str | None:
    return None if digest is None else str(digest)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_moment(moment.replace(microsecond=0))
