"""Logs only grow: what a bundle shows of them, weighed against what the site remembers (decision 0018).

Rules of this module:
- Pure. Trees are told apart by log id and origin. All checkpoints are verified before they come here; those that the
  site remembers are opened again, under the log's key, before they are believed.
- Two checkpoints of one tree and one size with different root hashes: alarm ``log-fork``, whoever brought them.
- A checkpoint that an exporter fetched later than a larger one was seen: alarm ``log-rollback``. One in evidence of
  others is as old as the signature that it came with, so a smaller one there says nothing.
- Later means that nothing honest explains it. What was asked for the delivery itself (the tip of `logs`) is later than
  all that earlier deliveries of its stream (below the same pin) brought: exports of one repository wait for each other.
  For all else only the times are left that exporters wrote down, and each may be a day from the truth: clocks are set
  right again, SOURCE_DATE_EPOCH stands in for them, and proofs are kept for later exports.
- Growth is proved from the site's own head, never from where a file says that it was. A proof that was carried and does
  not hold is the alarm ``log-fork`` too: the log signed both trees, and they are not one.
- The head moves to the newest fetched checkpoint when the proof from it holds. Everything else stays loose: remembered,
  compared, told as unproved, and asked about again at the next export with `--since`.
- When a site sees a tree for the first time there is nothing to hold it against; the largest checkpoint is its head.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bundler import limits
from bundler.digest import Digest
from bundler.errors import RejectedError, TrustError
from bundler.moment import format_moment
from bundler.strict_json import MAX_SAFE_INTEGER
from bundler.transparency.checkpoint import open_checkpoint
from bundler.transparency.log import TransparencyLog
from bundler.transparency.merkle import verify_consistency
from bundler.value import dataclass
from bundler.verify.result import GrowthStatus, LogGrowthFact
from bundler.verify.sightings import OpenedGrowth, Sighting
from trust_root.delivery import CLOCK_TOLERANCE
from trust_root.logs import LogCheckpoint, LogRecord
from trust_root.state_log import state_damaged

Tree = tuple[bytes, str]
_TIMES_DIFFER = 2 * CLOCK_TOLERANCE  # a day at either end
_WHAT_NOW = (
    "nothing was accepted; keep this bundle and the state folder: both hold checkpoints that the log has signed",
    "tell whoever runs the log, and those who export",
)


@dataclass(frozen=True, slots=True)
class LogReview:
    """What a bundle shows of logs, verified; made once, weighed again under the state's lock.

    Attributes:
        stream, sequence, pin: the bundle's.
        sightings: checkpoints in evidence.
        growths: checkpoints that the exporter fetched, with proofs.
        relied_on: ids of logs that vouched for evidence of this bundle.
    """

    stream: str
    sequence: int
    sightings: tuple[Sighting, ...]
    growths: tuple[OpenedGrowth, ...]
    relied_on: frozenset[bytes] = frozenset()
    pin: Digest | None = None


@dataclass(frozen=True, slots=True)
class WeighedLogs:
    """What the site shall remember from now on, and what is to be said, tree by tree."""

    records: tuple[LogRecord, ...]
    facts: tuple[LogGrowthFact, ...]


def weigh_logs(review: LogReview, records: Sequence[LogRecord]) -> WeighedLogs:
    """Hold a bundle's checkpoints against those that the site remembers.

    Raises:
        TrustError: the alarms ``log-fork`` and ``log-rollback``; ``state-damaged``: a remembered checkpoint is not what
            the log signed; ``log-trees``: more trees or leaves than a state can hold.
    """
    logs: dict[Tree, TransparencyLog] = {}
    seen: dict[Tree, list[LogCheckpoint]] = {}
    growths = {_tree(item.sighting): item for item in review.growths}
    for sighting in (*review.sightings, *(item.sighting for item in review.growths)):
        logs.setdefault(_tree(sighting), sighting.checkpoint.log)
        seen.setdefault(_tree(sighting), []).append(_remembered(sighting, review))
    known = {record.tree: record for record in records}
    facts = []
    for tree in sorted(seen):
        record = known.get(tree)
        if record is not None:
            _open_again(record, logs[tree])
        weighed = _weigh_tree(tree, logs[tree], record, seen[tree], growths.get(tree))
        known[tree] = weighed.record
        facts.append(weighed.fact)
    if len(known) > limits.LOG_TREES:
        raise TrustError("log-trees", "state", got=f"{len(known)} trees of logs", want=f"at most {limits.LOG_TREES}")
    return WeighedLogs(tuple(known[tree] for tree in sorted(known)), tuple(facts))


def unproved_growth(review: LogReview, before: Sequence[LogRecord], weighed: WeighedLogs) -> tuple[str, ...]:
    """What a policy with `require_log_growth` misses, one sentence each; empty when all is proved.

    Every tree that the site remembers of a log on which this bundle relies must have been proved to have only grown,
    and every checkpoint that the bundle shows of such a tree must lie on it.
    """
    facts = {(fact.log_id, fact.origin): fact for fact in weighed.facts}
    missing = []
    for record in before:
        fact = facts.get(record.tree)
        if record.log_id not in review.relied_on:
            continue
        if fact is None:
            missing.append(f"{record.origin}: the bundle does not show how it grew from {record.head.tree_size}")
        elif fact.status not in ("proved", "unchanged"):
            missing.append(f"{record.origin}: {fact.told}")
        elif fact.unproved:
            missing.append(f"{record.origin}: {fact.unproved} of its checkpoints here are not proved to lie on it")
    return tuple(missing)


@dataclass(frozen=True, slots=True)
class _WeighedTree:
    record: LogRecord
    fact: LogGrowthFact


def _weigh_tree(
    tree: Tree,
    log: TransparencyLog,
    known: LogRecord | None,
    seen: Sequence[LogCheckpoint],
    growth: OpenedGrowth | None,
) -> _WeighedTree:
    """One tree; `seen` holds the growth's own checkpoint too, last."""
    remembered = known.checkpoints if known else ()
    _check_fork(log, (*remembered, *seen))
    tip = seen[-1] if growth is not None else None
    _check_rollback(log, seen, (*remembered, *seen), tip)
    new = _by_size(seen)
    everything = _by_size((*remembered, *seen))
    line = frozenset() if growth is None or tip is None else _line(log, tip, everything, growth.proofs)
    head = _head(known, new, tip, line)
    joined = tip is not None and head.tree_size in line
    placed = {head.tree_size, *(line if joined else ())}
    loose = [item for item in everything if item.tree_size not in placed]
    kept = {item.tree_size for item in loose}
    fact = LogGrowthFact(
        log=log.url,
        log_id=tree[0],
        origin=tree[1],
        status=_status(known, head, tip, line),
        asked=tip is not None,
        from_size=known.head.tree_size if known else None,
        to_size=(tip or new[-1]).tree_size,
        unproved=len(kept & {item.tree_size for item in new}),
        fetched_at=tip.seen_at if tip else None,
    )
    return _WeighedTree(LogRecord(*tree, head, tuple(loose[-limits.LOG_LOOSE :])), fact)


def _head(
    known: LogRecord | None, new: Sequence[LogCheckpoint], tip: LogCheckpoint | None, line: frozenset[int]
) -> LogCheckpoint:
    """Where the next proof has to start."""
    if known is None:
        return tip or new[-1]
    if tip is not None and known.head.tree_size in line and tip.tree_size > known.head.tree_size:
        return tip
    return known.head


def _status(
    known: LogRecord | None, head: LogCheckpoint, tip: LogCheckpoint | None, line: frozenset[int]
) -> GrowthStatus:
    if known is None:
        return "first"
    if tip is None or (tip.tree_size > known.head.tree_size and known.head.tree_size not in line):
        return "unproved"
    if tip.tree_size < known.head.tree_size:
        return "older"
    return "proved" if head is tip else "unchanged"


def _line(
    log: TransparencyLog,
    tip: LogCheckpoint,
    points: Iterable[LogCheckpoint],
    proofs: Mapping[int, tuple[bytes, ...]],
) -> frozenset[int]:
    """Sizes of the checkpoints that are proved to lie on the line that ends at `tip`, its own included."""
    proved = {tip.tree_size}
    for point in points:
        if point.tree_size >= tip.tree_size or point.tree_size not in proofs:
            continue
        try:
            verify_consistency(point.tree_size, tip.tree_size, proofs[point.tree_size], point.root_hash, tip.root_hash)
        except RejectedError as error:
            got = f"{_told(tip)}, and a proof that does not lead to it ({error})"
            raise _fork(log, got, f"a tree that continues {_told(point)}") from error
        proved.add(point.tree_size)
    return frozenset(proved)


def _check_fork(log: TransparencyLog, points: Iterable[LogCheckpoint]) -> None:
    by_size: dict[int, LogCheckpoint] = {}
    for point in points:
        if point.tree_size > MAX_SAFE_INTEGER:
            raise TrustError("log-trees", "log", log.url, got=f"{point.tree_size} leaves", want="at most 2^53-1")
        first = by_size.setdefault(point.tree_size, point)
        if first.root_hash != point.root_hash:
            raise _fork(log, _told(point), _told(first))


def _check_rollback(
    log: TransparencyLog, seen: Iterable[LogCheckpoint], points: Sequence[LogCheckpoint], tip: LogCheckpoint | None
) -> None:
    for point in seen:
        for other in points if point.fetched else ():
            if point.tree_size < other.tree_size and _is_later(point, other, asked_now=point is tip):
                raise TrustError(
                    "log-rollback", "log", log.url, got=f"later, {_told(point)}", want=f"at least {_told(other)}",
                    hints=["the log has lost entries, or shows different trees to different askers", *_WHAT_NOW],
                )  # fmt: skip


def _is_later(point: LogCheckpoint, other: LogCheckpoint, *, asked_now: bool) -> bool:
    if asked_now and (point.pin, point.stream) == (other.pin, other.stream):
        return point.sequence > other.sequence and point.seen_at > other.seen_at
    return point.seen_at - other.seen_at > _TIMES_DIFFER


def _fork(log: TransparencyLog, got: str, want: str) -> TrustError:
    hints = ["the log has signed two trees that are not one: it shows different histories", *_WHAT_NOW]
    return TrustError("log-fork", "log", log.url, got=got, want=want, hints=hints)


def _told(point: LogCheckpoint) -> str:
    when = format_moment(point.seen_at)
    return f"{point.tree_size} leaves with root {point.root_hash.hex()} ({point.stream} {point.sequence}, {when})"


def _by_size(points: Iterable[LogCheckpoint]) -> list[LogCheckpoint]:
    """One of each size, ascending; of several, the one that was seen first."""
    found: dict[int, LogCheckpoint] = {}
    for point in points:
        before = found.get(point.tree_size)
        if before is None or point.seen_at < before.seen_at:
            found[point.tree_size] = point
    return [found[size] for size in sorted(found)]


def _tree(sighting: Sighting) -> Tree:
    return sighting.checkpoint.log.log_id, sighting.checkpoint.origin


def _remembered(sighting: Sighting, review: LogReview) -> LogCheckpoint:
    found = sighting.checkpoint
    return LogCheckpoint(
        found.tree_size, found.root_hash, found.note, sighting.seen_at, sighting.fetched, review.stream,
        review.sequence, review.pin,
    )  # fmt: skip


def _open_again(record: LogRecord, log: TransparencyLog) -> None:
    """The state is as hostile as anything on a disk: each remembered checkpoint is one that the log signed."""
    for point in record.checkpoints:
        try:
            opened = open_checkpoint(point.note, log)
        except RejectedError as error:
            raise state_damaged("logs", str(error)) from error
        said = (opened.origin, opened.tree_size, opened.root_hash)
        if said != (record.origin, point.tree_size, point.root_hash):
            raise state_damaged("logs", f"{record.origin}: another checkpoint than its note says")
