"""Checkpoints of logs that a bundle shows: in the proofs of its evidence, and as the exporter fetched them.

Rules of this module:
- A sighting is a checkpoint that was verified under a key of the site's own trusted material, in whatever evidence it
  came; whether the evidence met a demand does not matter, since the log signed it.
- The tree had that size by the time that is noted: when the exporter asked the log, as far as it says so, and never
  later than the bundle was made.
- A growth that the inventory lists must be signed by the log that it names; anything else refuses the bundle. One of a
  log that the site does not trust, or whose key no longer counted when it was asked, is left out and said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from bundler.archive.contents import LogGrowth
from bundler.errors import MalformedError, RejectedError
from bundler.transparency.checkpoint import VerifiedCheckpoint, open_checkpoint
from bundler.transparency.log import TransparencyLog, check_log_window
from bundler.value import dataclass, field
from bundler.verify.keyring import Keyring
from bundler.verify.logged import LogFact
from bundler.verify.opened import ImageEvidence


@dataclass(frozen=True, slots=True)
class Sighting:
    """A verified checkpoint, when its tree was there at the latest, and whether the exporter fetched it."""

    checkpoint: VerifiedCheckpoint
    seen_at: datetime
    fetched: bool


@dataclass(frozen=True, slots=True)
class OpenedGrowth:
    """A verified checkpoint that the exporter fetched, with the proofs (by size) that are still to be verified."""

    sighting: Sighting
    proofs: Mapping[int, tuple[bytes, ...]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SeenLogs:
    """What one image's evidence shows of logs: checkpoints, and ids of all logs that vouched for anything."""

    sightings: tuple[Sighting, ...] = ()
    log_ids: frozenset[bytes] = frozenset()


def seen_logs(evidence: ImageEvidence, created_at: datetime) -> SeenLogs:
    """Gather what the verified evidence of an image shows of logs.

    Args:
        evidence: judged.
        created_at: when the bundle was made.
    """
    facts = [fact for appraisal in evidence.appraisals if appraisal.held for fact in appraisal.held.logs]
    return SeenLogs(
        tuple(_sightings(facts, _fetch_times(evidence), created_at)), frozenset(fact.log_id for fact in facts)
    )


def _sightings(
    facts: Sequence[LogFact], fetched_at: Mapping[bytes, datetime], created_at: datetime
) -> Iterator[Sighting]:
    for fact in facts:
        if fact.checkpoint is not None:
            when = fetched_at.get(_signed_part(fact.checkpoint.note)) if fact.fetched else None
            yield Sighting(fact.checkpoint, min(when or created_at, created_at), when is not None)


def _fetch_times(evidence: ImageEvidence) -> dict[bytes, datetime]:
    """When each checkpoint was fetched, by what the log signed of it; the first time of several."""
    times: dict[bytes, datetime] = {}
    for item in evidence.entries:
        proof, when = item.entry.proof, item.evidence.fetched_at
        if proof is not None and proof.checkpoint is not None and when is not None:
            part = _signed_part(proof.checkpoint)
            times[part] = min(when, times.get(part, when))
    return times


def _signed_part(note: bytes) -> bytes:
    """A note without its signature lines, which strangers may add to; a checkpoint's text has no empty line."""
    return note.partition(b"\n\n")[0]


def open_growths(
    growths: Sequence[LogGrowth], keyring: Keyring
) -> tuple[tuple[OpenedGrowth, ...], tuple[tuple[str, str], ...]]:
    """Open the checkpoints that an inventory lists in `logs`.

    Returns:
        those of logs that the site trusts; and log ids with the reason for each that was left out.

    Raises:
        RejectedError: not signed by the log (``checkpoint-signature``, ``checkpoint-origin``); two of one tree, or an
            empty tree (``log-growth``).
        MalformedError: no checkpoint.
    """
    opened: list[OpenedGrowth] = []
    left: list[tuple[str, str]] = []
    trees: set[tuple[bytes, str]] = set()
    for growth in growths:
        log = find_in_keyring(keyring, bytes.fromhex(growth.log))
        if log is None:
            left.append((growth.log, "a log that no trusted root of this site names"))
            continue
        try:
            check_log_window(log, growth.fetched_at)
        except RejectedError as error:
            left.append((growth.log, str(error)))
            continue
        checkpoint = open_checkpoint(growth.checkpoint, log)
        tree = (log.log_id, checkpoint.origin)
        if tree in trees or checkpoint.tree_size < 1:
            raise RejectedError(
                "log-growth", "log", log.url, got=f"two of {checkpoint.origin[:160]}, or an empty tree",
                want="one checkpoint of each tree",
            )  # fmt: skip
        trees.add(tree)
        proofs = {proof.tree_size: proof.hashes for proof in growth.proofs}
        opened.append(OpenedGrowth(Sighting(checkpoint, growth.fetched_at, fetched=True), proofs))
    return tuple(opened), tuple(left)


def find_in_keyring(keyring: Keyring, log_id: bytes) -> TransparencyLog | None:
    """The log with this id in the first trusted root that names it; a root that cannot be read names none."""
    for name in keyring.root_names:
        try:
            logs = keyring.trusted_root(name).logs
        except MalformedError:
            continue
        found = next((log for log in logs if log.log_id == log_id), None)
        if found is not None:
            return found
    return None
