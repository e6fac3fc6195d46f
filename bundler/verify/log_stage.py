"""The last question of a verification: whether the logs that vouched for its evidence only grew (decision 0018).

Rules of this module:
- It is asked whatever became of the images: a checkpoint that contradicts another one is an alarm beside any verdict.
- `require_log_growth` speaks of new deliveries. One that was accepted before, or an audit at a typed time, can show no
  proof from a head that has moved on since; what they show is told all the same.
- What is written is weighed again under the state's lock; if another run has moved a head meanwhile so that required
  growth is no longer proved, nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

from bundler.archive.contents import Inventory
from bundler.digest import Digest
from bundler.errors import RejectedError, TrustError
from bundler.value import dataclass
from bundler.verify.keyring import Keyring
from bundler.verify.log_growth import LogReview, WeighedLogs, unproved_growth, weigh_logs
from bundler.verify.result import Check, LogGrowthFact, Outcome
from bundler.verify.sightings import OpenedGrowth, SeenLogs, open_growths
from trust_root.delivery import TimeBasis
from trust_root.logs import LogRecord
from trust_root.site import Site, weigh_with_site

_NEW = frozenset({"first", "next", "gap"})
_NAME = "log-growth"


@dataclass(frozen=True, slots=True)
class LogVerdict:
    """What a bundle showed of logs: for the report, and for the state (`weigh_again`)."""

    review: LogReview
    required: bool
    checks: tuple[Check, ...]
    facts: tuple[LogGrowthFact, ...]

    def weigh_again(self, records: tuple[LogRecord, ...]) -> tuple[LogRecord, ...]:
        """The records after this bundle, from those under the lock; raises as `weigh_logs`, or ``state-changed``."""
        weighed = weigh_logs(self.review, records)
        missing = unproved_growth(self.review, records, weighed) if self.required else ()
        if missing:
            raise TrustError(
                "state-changed", "state", got=f"{missing[0]}; another run has moved it meanwhile", want="proved growth",
                hints=["run the command again"],
            )  # fmt: skip
        return weighed.records


def judge_logs(
    inventory: Inventory,
    keyring: Keyring,
    seen: Sequence[SeenLogs],
    site: Site,
    basis: TimeBasis,
    *,
    pin: Digest,
    standing: str,
    required: bool,
) -> LogVerdict:
    """Hold what a bundle shows of logs against what the site remembers.

    Args:
        inventory: with the growth that it lists.
        keyring: the newest trusted material.
        seen: what each image's evidence shows.
        site, basis: whose memory, and when.
        pin: below which the bundle was opened.
        standing: how the delivery stands with the site.
        required: whether the policy asks for growth that is proved.

    Raises:
        TrustError: an alarm (``log-fork``, ``log-rollback``), or as `weigh_logs`.
    """
    growths: tuple[OpenedGrowth, ...] = ()
    checks: list[Check] = []
    try:
        growths, left = open_growths(inventory.logs, keyring)
        checks += [Check(_NAME, Outcome.NOTE, about=log_id, detail=f"left out: {reason}") for log_id, reason in left]
    except RejectedError as error:
        checks.append(Check(_NAME, Outcome.FAILED, error.code, detail=str(error)))
    review = LogReview(
        inventory.stream,
        inventory.sequence,
        tuple(sighting for item in seen for sighting in item.sightings),
        growths,
        frozenset().union(*(item.log_ids for item in seen)),
        pin,
    )
    before = site.loaded.state.logs
    found: list[WeighedLogs] = []

    def weigh(records: tuple[LogRecord, ...]) -> tuple[LogRecord, ...]:
        found.append(weigh_logs(review, records))
        return found[-1].records

    weigh_with_site(site, weigh, basis)
    binding = required and standing in _NEW
    if required:
        checks += _growth_checks(unproved_growth(review, before, found[-1]), binding=binding)
    return LogVerdict(review, binding, tuple(checks), found[-1].facts)


def _growth_checks(missing: Sequence[str], *, binding: bool) -> list[Check]:
    if not missing:
        return [Check(_NAME, Outcome.HELD, strength="proved", detail="every log relied on has only grown")]
    if not binding:
        return [Check(_NAME, Outcome.NOTE, detail=f"not a new delivery, so not refused: {each}") for each in missing]
    return [Check(_NAME, Outcome.MISSING, "log-growth-missing", detail=each) for each in missing]
