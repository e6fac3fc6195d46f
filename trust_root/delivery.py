"""What a bundle says of itself, the time at which it is judged, and the site's rules for both.

Rules of this module (DESIGN §4, "Time basis", "Site settings"):
- Pure. The time basis is max(clock, floor), or what was typed with a reason; the floor is what accepted bundles proved,
  never the clock.
- An inventory from more than a day in the future is refused; so is one for other sites, or older than the site allows.
- With a typed time, that time stands in the clock's place.
- Times are subtracted, never added to: the calendar ends in 9999, and began in 1, and signed times may lie there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from bundler.digest import Digest
from bundler.errors import TrustError, UsageError
from bundler.moment import format_moment
from bundler.value import dataclass, field
from trust_root.client import TrustedTargets

CLOCK_TOLERANCE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TimeBasis:
    """The time at which a bundle is judged, and where it comes from.

    Attributes:
        at: the time itself, UTC.
        source: ``clock``, ``floor`` (the clock is behind what the site has seen) or ``typed`` (an audit).
        reason: what was typed with it.
        clock: what the clock says.
        today: max(clock, floor), whatever was typed.
    """

    at: datetime
    source: Literal["clock", "floor", "typed"]
    reason: str | None
    clock: datetime
    today: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """What an inventory says of itself; its digest was checked against the trust metadata."""

    stream: str
    sequence: int
    previous: Digest | None
    inventory: Digest
    created_at: datetime
    audience: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SiteRules:
    """The site's settings that bear on acceptance.

    Attributes:
        name, grace, max_age: as in `SiteSettings`.
        min_sequence: what every new delivery has to reach, typed for one run.
        min_sequences: what new deliveries of a stream have to reach, by stream.
    """

    name: str | None = None
    grace: timedelta = timedelta(0)
    max_age: timedelta | None = None
    min_sequence: int = 1
    min_sequences: Mapping[str, int] = field(default_factory=dict)

    def lowest_sequence(self, stream: str) -> int:
        """The lowest sequence that a new delivery of a stream may have."""
        return max(self.min_sequence, self.min_sequences.get(stream, 1))


def time_basis(
    clock: datetime, floor: datetime | None, at: datetime | None = None, reason: str | None = None
) -> TimeBasis:
    """The time at which to judge: max(clock, floor), or what was typed.

    Raises:
        UsageError: a typed time without a reason, or a reason without a time (``at-reason``).
        TrustError: the clock is more than a day behind the floor (``clock-behind``), and no time was typed.
    """
    today = clock if floor is None else max(clock, floor)
    if at is not None:
        if not reason or not reason.strip():
            raise UsageError("at-reason", "option", "--at", got="no reason", want="--reason TEXT beside it")
        return TimeBasis(at, "typed", reason, clock, today)
    if reason is not None:
        raise UsageError("at-reason", "option", "--reason", got="no time", want="--at TIME beside it")
    if floor is not None and floor - clock > CLOCK_TOLERANCE:
        raise TrustError(
            "clock-behind",
            "clock",
            got=format_moment(clock.replace(microsecond=0)),
            want=f"not before {format_moment(floor)}, which an accepted bundle proved, less a day",
            hints=[
                "set the clock right; or, if the floor is wrong: sealift trust state --set-floor TIME --reason TEXT",
                "to judge this bundle as of a time you know: --at TIME --reason TEXT (nothing is recorded)",
            ],
        )
    return TimeBasis(today, "clock" if today == clock else "floor", None, clock, today)


def check_identity(trusted: TrustedTargets, delivery: Delivery) -> None:
    """The inventory is the one that the trust metadata names, stream and sequence included.

    Raises:
        TrustError: ``inventory-digest``, ``stream-mismatch`` (another exporter's inventory), ``sequence-mismatch``.
    """
    if delivery.inventory != trusted.inventory_digest:
        raise TrustError(
            "inventory-digest", "inventory", got=str(delivery.inventory), want=str(trusted.inventory_digest)
        )
    if delivery.stream != trusted.stream:
        raise TrustError("stream-mismatch", "inventory", got=f"stream {delivery.stream}", want=trusted.stream)
    if delivery.sequence != trusted.sequence or (delivery.previous is None) != (delivery.sequence == 1):
        raise TrustError(
            "sequence-mismatch",
            "inventory",
            got=f"sequence {delivery.sequence}, previous {delivery.previous}",
            want=f"sequence {trusted.sequence}, and a previous one unless it is 1",
        )


def check_created(delivery: Delivery, clock: datetime) -> None:
    """Raise TrustError (``created-in-future``) if it was made more than a day after `clock`."""
    if delivery.created_at - clock > CLOCK_TOLERANCE:
        raise TrustError(
            "created-in-future",
            "inventory",
            got=f"created {format_moment(delivery.created_at)}",
            want=f"at most a day after {format_moment(clock.replace(microsecond=0))}",
            hints=["check the clocks of this machine and of the exporter's"],
        )


def check_audience(delivery: Delivery, rules: SiteRules) -> None:
    """Raise TrustError (``audience``) unless it is for every site, or names this one."""
    if delivery.audience and rules.name not in delivery.audience:
        raise TrustError(
            "audience",
            "bundle",
            got=f"made for {', '.join(delivery.audience)}",
            want=rules.name or "no audience, since this site has no name",
            hints=[] if rules.name else ['name the site: site = "NAME" in site.toml'],
        )


def check_age(delivery: Delivery, at: datetime, rules: SiteRules) -> None:
    """Raise TrustError (``too-old``) if it is older at `at` than the site allows."""
    if rules.max_age is not None and at - delivery.created_at > rules.max_age:
        raise TrustError(
            "too-old",
            "bundle",
            got=f"created {format_moment(delivery.created_at)}",
            want=f"at most {rules.max_age.days} days old",
            hints=["max_age_days in site.toml; to judge it as of another time: --at TIME --reason TEXT"],
        )


def check_minimum(delivery: Delivery, rules: SiteRules) -> None:
    """Raise TrustError (``below-minimum``) if its sequence is lower than the site's operator allows."""
    lowest = rules.lowest_sequence(delivery.stream)
    if delivery.sequence < lowest:
        raise TrustError(
            "below-minimum",
            "bundle",
            f"{delivery.stream}, sequence {delivery.sequence}",
            got="older than this site accepts",
            want=f"sequence {lowest} or later (--min-sequence, or [min_sequence] in site.toml)",
            hints=["this site had seen newer ones before its state was lost; get the newest bundle"],
        )
