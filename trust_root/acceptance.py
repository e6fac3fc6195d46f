"""What a site makes of a bundle: its trust metadata and place in the stream, compared with what the site remembers.

Rules of this module (DESIGN §4, "Then the result is compared with the site's state"):
- Pure: the state, the bundle's facts, the time basis and the site's rules are arguments; site.py reads and writes.
- Roots never fork, targets of one version neither; a stream never has two inventories of one sequence, nor one that
  names another predecessor than the accepted one. These are alarms, raised whatever else holds.
- Root and targets versions go up per pin; stream versions and sequences per (pin, stream); timestamp and snapshot
  versions per key that signed them, since every exporter's online keys stand in one root.
- What the site's newest root and newest targets no longer accept is refused, even if its own chain of roots accepts it.
- An inventory is known by its digest. The newest known one passes again, an older one only when `historic` is typed.
- Below a pin that was given up nothing new passes; what was accepted then passes as historic, judged by the trusted
  material of the pin that stands in its place, once that has any.
- New deliveries reach the lowest sequence that the site's operator has set.
- The newest targets known to site or bundle are the trusted material that judges evidence.
- A typed time is an audit: nothing is refused for its age, nothing is recorded, and what today's verdict would be is
  told as a second fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from bundler.digest import sha256_of
from bundler.errors import TrustError
from bundler.moment import format_moment
from bundler.value import dataclass, replace
from trust_root.client import STREAM, TrustedTargets, open_stream, open_targets
from trust_root.delivery import (
    Delivery,
    SiteRules,
    TimeBasis,
    check_age,
    check_audience,
    check_created,
    check_identity,
    check_minimum,
)
from trust_root.newest import (
    HeldPin,
    Newest,
    OpenedTrust,
    check_not_lower,
    check_online_versions,
    check_targets_fork,
    find_newest,
    newest_material,
)
from trust_root.roles import SNAPSHOT, TARGETS, TIMESTAMP
from trust_root.state import Accepted, OnlineVersion, PinRecord, Retirement, StreamRecord

Status = Literal["first", "next", "gap", "already-accepted", "historic", "audit"]
ALARMS = frozenset({"root-fork", "targets-fork", "equivocation", "log-fork", "log-rollback"})


@dataclass(frozen=True, slots=True)
class _Case:
    """All that is compared."""

    pin: HeldPin
    opened: OpenedTrust
    delivery: Delivery
    rules: SiteRules
    newest: Newest

    @property
    def record(self) -> StreamRecord | None:
        return self.pin.record.streams.get(self.delivery.stream)


@dataclass(frozen=True, slots=True)
class Today:
    """The verdict on metadata and sequence as of today, beside an audit's: a status, or a reason code and its text."""

    accepted: bool
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a bundle stands with this site.

    Attributes:
        status: ``first``, ``next`` and ``gap`` are new; ``already-accepted`` is the newest one again; ``historic`` an
            older accepted one; ``audit`` was judged at a typed time.
        warnings: one line each, for the report.
        accepted_at: when this inventory was accepted before, or None.
        missing: first and last sequence number that never arrived, or None.
        targets: the newest trusted targets by path; evidence is judged by them.
        targets_version: their version.
        today: with an audit, what would be said today.
        basis: the time basis.
        historic: whether `--historic` was typed.
        recorded: whether the site has written this down.
    """

    status: Status
    warnings: tuple[str, ...]
    accepted_at: datetime | None
    missing: tuple[int, int] | None
    targets: Mapping[str, bytes]
    targets_version: int
    today: Today | None
    basis: TimeBasis
    historic: bool
    recorded: bool = False


def compare(
    pin: HeldPin,
    opened: OpenedTrust,
    delivery: Delivery,
    basis: TimeBasis,
    rules: SiteRules,
    *,
    historic: bool,
    judge: HeldPin | None = None,
) -> Standing:
    """Hold an opened bundle against what the site remembers below its pin.

    Args:
        pin: the pin that the bundle was opened from.
        opened, delivery, basis, rules: the bundle's facts, and by what they are judged.
        historic: `--historic` was typed.
        judge: the pin that stands in the place of `pin`, if that was given up.

    Raises:
        TrustError: ``inventory-digest``, ``stream-mismatch``, ``sequence-mismatch``; ``created-in-future``,
            ``audience``, ``too-old``; the alarms ``targets-fork`` and ``equivocation``; and unless the time was
            typed: ``superseded``, ``never-accepted``, ``no-longer-accepted``, ``rollback``, ``expired``,
            ``pin-retired``, ``below-minimum``.
    """
    check_identity(opened.trusted, delivery)
    case = _Case(pin, opened, delivery, rules, find_newest(pin, opened))
    check_targets_fork(case.newest, opened)
    _check_equivocation(case.record, opened.trusted, delivery)
    typed = basis.source == "typed"
    check_created(delivery, basis.at if typed else basis.clock)
    check_audience(delivery, rules)
    check_age(delivery, basis.at, rules)
    known = _known(case.record, delivery)
    status: Status = "audit" if typed else _status(case, basis.at, historic=historic)
    today = _today(case, basis) if typed else None
    version, targets, warnings = judging_material(pin, opened, case.newest, judge)
    missing = _missing(case.record, delivery) if status == "gap" else None
    if missing is not None:
        warnings = (_gap_warning(delivery.stream, *missing), *warnings)
    return Standing(
        status=status,
        warnings=(*_stale_warnings(opened.trusted, rules), *warnings),
        accepted_at=known.accepted_at if known else None,
        missing=missing,
        targets=MappingProxyType(dict(targets)),
        targets_version=version,
        today=today,
        basis=basis,
        historic=historic,
    )


def advance(pin: HeldPin, opened: OpenedTrust, delivery: Delivery, standing: Standing) -> PinRecord:
    """The record after a bundle was accepted: nothing ever goes down, the inventory becomes known.

    Historic bundles and audits change nothing.
    """
    record = pin.record
    if standing.status in ("historic", "audit"):
        return record
    trusted = opened.trusted
    roots = dict(record.roots) | {number: sha256_of(raw) for number, raw in enumerate(opened.roots.chain.roots, 1)}
    facts = trusted.roles[TARGETS]
    keep = _keeps_targets(find_newest(pin, opened), facts.version)
    online = {(item.role, item.key): item.version for item in record.online}
    for role in (SNAPSHOT, TIMESTAMP):
        for key in trusted.roles[role].signers:
            online[role, key] = max(trusted.roles[role].version, online.get((role, key), 0))
    return replace(
        record,
        roots=tuple(sorted(roots.items())),
        targets=record.targets if keep else (facts.version, facts.digest),
        online=tuple(OnlineVersion(role, key, online[role, key]) for role, key in sorted(online)),
        streams={**record.streams, delivery.stream: _advance_stream(record, trusted, delivery, standing)},
    )


def _keeps_targets(newest: Newest, version: int) -> bool:
    """Whether the site's targets stay when a bundle with this version of targets is recorded."""
    lowest = newest.lowest_targets_version
    return newest.site_targets is not None and (lowest > version or (lowest == version and newest.site_targets_hold))


def _advance_stream(record: PinRecord, trusted: TrustedTargets, delivery: Delivery, standing: Standing) -> StreamRecord:
    before = record.streams.get(delivery.stream)
    facts = trusted.roles[STREAM]
    accepted = before.accepted if before else ()
    if _known(before, delivery) is None:
        when = standing.basis.clock.replace(microsecond=0)
        new = Accepted(delivery.sequence, delivery.inventory, delivery.previous, delivery.created_at, when)
        accepted = (*accepted, new)
    if before is not None and before.version > facts.version:
        return replace(before, accepted=accepted)
    return StreamRecord(facts.version, facts.digest, accepted)


def _check_equivocation(record: StreamRecord | None, trusted: TrustedTargets, delivery: Delivery) -> None:
    if record is None or _known(record, delivery) is not None:
        return
    accepted = {item.sequence: item for item in record.accepted}
    same, before = accepted.get(delivery.sequence), accepted.get(delivery.sequence - 1)
    after = accepted.get(delivery.sequence + 1)
    facts = trusted.roles[STREAM]
    elsewhere = [item for item in record.accepted if item.inventory == delivery.previous]
    if same is not None:
        raise _equivocation(delivery, f"inventory {delivery.inventory}", f"{same.inventory}")
    if before is not None and before.inventory != delivery.previous:
        raise _equivocation(delivery, f"previous {delivery.previous}", f"{before.inventory}")
    if after is not None and after.previous != delivery.inventory:
        raise _equivocation(delivery, f"inventory {delivery.inventory}", f"{after.previous}")
    if elsewhere and elsewhere[0].sequence != delivery.sequence - 1:
        raise _equivocation(
            delivery, f"previous {delivery.previous}", f"not the inventory of sequence {elsewhere[0].sequence}"
        )
    if facts.version == record.version and facts.digest != record.metadata:
        raise _equivocation(delivery, f"stream version {facts.version}, {facts.digest}", f"{record.metadata}")


def _equivocation(delivery: Delivery, got: str, want: str) -> TrustError:
    return TrustError(
        "equivocation",
        "stream",
        f"{delivery.stream}, sequence {delivery.sequence}",
        got=got,
        want=want,
        hints=["the stream's key has signed two histories: it may be stolen, or its repository was put back or copied"],
    )


def _known(record: StreamRecord | None, delivery: Delivery) -> Accepted | None:
    accepted = record.accepted if record else ()
    return next((item for item in accepted if item.inventory == delivery.inventory), None)


def _today(case: _Case, basis: TimeBasis) -> Today:
    try:
        check_created(case.delivery, basis.clock)
        check_age(case.delivery, basis.today, case.rules)
        status = _status(case, basis.today, historic=False)
    except TrustError as error:
        return Today(accepted=False, code=error.code, reason=str(error))
    return Today(accepted=True, code=status, reason="")


def _status(case: _Case, at: datetime, *, historic: bool) -> Status:
    known = _known(case.record, case.delivery)
    retired = case.pin.record.retired
    if retired is not None:
        if known is None or not historic:
            which = f"{case.delivery.stream}, sequence {case.delivery.sequence}"
            raise _given_up(case.pin, retired, which, known=known is not None)
        return "historic"
    if case.record is not None and known is not None and known is not case.record.newest:
        if historic:
            return "historic"
        raise _superseded(case.delivery, known, case.record.newest)
    try:
        _check_still_accepted(case, at)
    except TrustError as error:
        if known is not None and historic and error.code == "no-longer-accepted":
            return "historic"
        raise
    if known is not None:
        return "already-accepted"
    status = _order(case.record, case.delivery)
    check_minimum(case.delivery, case.rules)
    _check_versions(case)
    return status


def judging_material(
    pin: HeldPin, opened: OpenedTrust, newest: Newest, judge: HeldPin | None
) -> tuple[int, Mapping[str, bytes], tuple[str, ...]]:
    """The trusted material that judges: of the bundle's own pin, or of the one in its place; with warnings."""
    retired = pin.record.retired
    if retired is None:
        return newest_material(pin, opened, newest)
    given_up = f"its trust root was given up on {format_moment(retired.at)}: {retired.reason}"
    if judge is not None and judge.record.targets is not None:
        version = judge.record.targets[0]
        return version, judge.targets, (given_up, f"targets {version} of pin {judge.record.pin} judge the evidence")
    if pin.record.targets is not None:  # nothing that is signed below a pin after it was given up may judge
        version = pin.record.targets[0]
        return version, pin.targets, (given_up, f"targets {version}, accepted before that, judge the evidence")
    version, targets, warnings = newest_material(pin, opened, newest)
    return version, targets, (given_up, *warnings)


def check_pin_stands(pin: HeldPin, trusted: TrustedTargets) -> None:
    """Refuse what lies below a pin that was given up, but for what was accepted there (to look at it only).

    Raises:
        TrustError: code ``pin-retired``.
    """
    record = pin.record.streams.get(trusted.stream)
    known = record is not None and any(item.inventory == trusted.inventory_digest for item in record.accepted)
    if pin.record.retired is not None and not known:
        raise _given_up(pin, pin.record.retired, f"{trusted.stream}, sequence {trusted.sequence}", known=False)


def _given_up(pin: HeldPin, retired: Retirement, which: str, *, known: bool) -> TrustError:
    return TrustError(
        "pin-retired",
        "bundle",
        which,
        got=f"below pin {pin.record.pin}, given up on {format_moment(retired.at)}",
        want=f"a bundle below pin {retired.successor}",
        hints=["it was accepted before: to use it all the same, as what it is: --historic"] if known else [],
    )


def _superseded(delivery: Delivery, known: Accepted, newest: Accepted) -> TrustError:
    return TrustError(
        "superseded",
        "bundle",
        f"{delivery.stream}, sequence {delivery.sequence}",
        got=f"accepted on {format_moment(known.accepted_at)}, since then sequence {newest.sequence}",
        want=f"sequence {newest.sequence} or later",
        hints=["to use it all the same, as what it is: --historic"],
    )


def _check_still_accepted(case: _Case, at: datetime) -> None:
    """Judge the bundle's metadata by the newest root and the newest targets that the site knows."""
    opened, newest = case.opened, case.newest
    site, trusted = newest.site_targets, opened.trusted
    try:
        open_targets(opened.roots.pin, newest.chain, opened.files, at, grace=case.rules.grace)
        if site is not None and site.signed.version > trusted.roles[TARGETS].version:
            name = f"{trusted.roles[STREAM].version}.{trusted.stream}.json"
            open_stream(site.signed, trusted.stream, opened.files[f"metadata/{name}"], name)
    except TrustError as error:
        if error.code == "expired":
            raise
        raise TrustError(
            "no-longer-accepted",
            "bundle",
            f"under root {newest.chain.newest.signed.version} and the newest targets of this site",
            got=str(error),
            want="signatures by keys that are still trusted",
            hints=["keys were rotated or revoked since it was signed; ask for a bundle signed with the new ones"],
        ) from error


def _order(record: StreamRecord | None, delivery: Delivery) -> Status:
    if record is None:
        return "first"
    last = record.newest.sequence
    if delivery.sequence < last:
        raise TrustError(
            "never-accepted",
            "bundle",
            f"{delivery.stream}, sequence {delivery.sequence}",
            got="older than the newest accepted one, and never accepted here",
            want=f"a sequence after {last}",
            hints=["to look at it as of its time: --at TIME --reason TEXT (nothing is recorded)"],
        )
    return "next" if delivery.sequence == last + 1 else "gap"


def _check_versions(case: _Case) -> None:
    trusted, record = case.opened.trusted, case.record
    check_not_lower("root", trusted.root_version, case.newest.chain.newest.signed.version)
    check_not_lower(TARGETS, trusted.roles[TARGETS].version, case.newest.lowest_targets_version)
    if record is not None:
        check_not_lower(f"stream {case.delivery.stream}", trusted.roles[STREAM].version, record.version)
    check_online_versions(case.pin.record.online, trusted.roles)


def _missing(record: StreamRecord | None, delivery: Delivery) -> tuple[int, int] | None:
    return None if record is None else (record.newest.sequence + 1, delivery.sequence - 1)


def _gap_warning(stream: str, first: int, last: int) -> str:
    numbers = f"sequence {first}" if first == last else f"sequences {first} to {last}"
    return f"gap: {numbers} of stream {stream} never arrived here"


def _stale_warnings(trusted: TrustedTargets, rules: SiteRules) -> tuple[str, ...]:
    return tuple(
        f"{role} expired on {format_moment(trusted.roles[role].expires_at)}, within the site's grace of "
        f"{rules.grace.days} days"
        for role in trusted.stale
    )
