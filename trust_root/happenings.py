"""What a site's log tells of each change: the lines of `log.jsonl` as values, before time and chain are added.

Rules of this module: facts only, in words that do not change; what came from outside or was typed is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bundler.digest import Digest
from bundler.errors import TrustError
from bundler.escaping import escape
from bundler.moment import format_moment
from trust_root.acceptance import Standing
from trust_root.delivery import Delivery
from trust_root.newest import OpenedTrust
from trust_root.settings import SiteSettings
from trust_root.state import PinRecord, Retirement
from trust_root.state_log import ALARM

Line = Mapping[str, Any]


def pinned(record: PinRecord) -> Line:
    """A root was pinned."""
    return {"kind": "pin", "pin": str(record.pin), "version": record.roots[0][0]}


def reanchored(record: PinRecord, retired: Digest, how: Retirement) -> Line:
    """A root was pinned in the place of another one."""
    return {
        **pinned(record),
        "kind": "reanchor",
        "replaces": str(retired),
        "operators": list(how.operators),
        "reason": how.reason,
    }


def new_roots(pin: Digest, added: Sequence[tuple[int, Digest]]) -> Line:
    """Newer roots were kept."""
    return {
        "kind": "roots",
        "pin": str(pin),
        "versions": [version for version, _ in added],
        "digests": [str(digest) for _, digest in added],
    }


def new_targets(pin: Digest, version: int, digest: Digest) -> Line:
    """Newer targets were kept without a delivery."""
    return {"kind": "targets", "pin": str(pin), "version": version, "digest": str(digest)}


def new_floor(before: datetime | None, after: datetime, reason: str) -> Line:
    """The time floor was set by hand."""
    return {"kind": "set-floor", "from": _moment(before), "to": _moment(after), "reason": escape(reason)}


def new_settings(before: Digest, after: Digest, settings: SiteSettings, reason: str) -> Line:
    """An edited `site.toml` was accepted by hand."""
    return {
        "kind": "settings",
        "from": str(before),
        "to": str(after),
        "site": settings.name,
        "reason": escape(reason),
    }


def alarm(error: TrustError) -> Line:
    """A bundle showed that keys are in wrong hands."""
    return {"kind": ALARM, "code": error.code, "text": escape(str(error))}


def accepted(opened: OpenedTrust, delivery: Delivery, standing: Standing, floor: datetime | None) -> Line:
    """A bundle was accepted."""
    return {
        "kind": "accepted" if standing.accepted_at is None else "accepted-again",
        "status": standing.status,
        "pin": str(opened.roots.pin),
        "stream": delivery.stream,
        "sequence": delivery.sequence,
        "inventory": str(delivery.inventory),
        "created": _moment(delivery.created_at),
        "versions": {name: facts.version for name, facts in opened.trusted.roles.items()},
        "floor": _moment(floor),
        "judged_at": _moment(standing.basis.at.replace(microsecond=0)),
        "time_source": standing.basis.source,
        "warnings": [escape(warning) for warning in standing.warnings],
    }


def loaded(facts: Line) -> Line:
    """Images of a bundle were handed to a registry, a layout or a storage."""
    return {**facts, "kind": "load"}


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else format_moment(moment)
