"""How logs grew since sites saw them, asked while there is a network (decision 0018).

Rules of this module:
- What a site handed out (`trust state --export`) is a hint. Its checkpoints count only as far as the log has signed
  them; one that it has not refuses the file (``since-file``). The site compares with its own memory again.
- For each tree that a site knows, or that evidence of this bundle speaks of, the log is asked for its newest checkpoint
  and for a proof from every size that is known. Each proof is verified here.
- A log that contradicts what a site has seen ends the export: ``log-fork``, ``log-rollback``. One that gives no answer,
  is a warning that names it: the site will say that there is no proof.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from bundler import limits
from bundler.archive.inventory import GrowthProof, LogGrowth
from bundler.errors import EnvError, RejectedError, TrustError, UsageError
from bundler.export.collect import CollectedImage
from bundler.export.proofs import proved_entries
from bundler.network.connection import Connection
from bundler.network.log_client import LogClient
from bundler.network.rekor_growth import fetch_checkpoint, fetch_consistency
from bundler.network.rekor_tiles import TileReader, fetch_tiled_checkpoint
from bundler.strict_json import MAX_SAFE_INTEGER
from bundler.transparency.checkpoint import VerifiedCheckpoint, open_checkpoint
from bundler.transparency.log import TransparencyLog
from bundler.transparency.merkle import verify_consistency
from bundler.value import dataclass, field
from bundler.verify.keyring import Keyring
from bundler.verify.sightings import find_in_keyring
from trust_root.state_export import SiteHeads

_Tree = tuple[bytes, str]


@dataclass(frozen=True, slots=True)
class Grown:
    """What the inventory lists, and what could not be had."""

    logs: tuple[LogGrowth, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Trees:
    """Checkpoints by tree; `owed` are those that sites hold."""

    logs: dict[_Tree, TransparencyLog] = field(default_factory=dict)
    points: dict[_Tree, dict[int, VerifiedCheckpoint]] = field(default_factory=dict)
    owed: dict[_Tree, set[int]] = field(default_factory=dict)

    def add(self, point: VerifiedCheckpoint, *, owed: bool) -> None:
        tree = (point.log.log_id, point.origin)
        if not 1 <= point.tree_size <= MAX_SAFE_INTEGER:
            return
        self.logs.setdefault(tree, point.log)
        known = self.points.setdefault(tree, {}).setdefault(point.tree_size, point)
        if known.root_hash != point.root_hash:
            raise _fork(point.log, point, known)
        if owed:
            self.owed.setdefault(tree, set()).add(point.tree_size)


def fetch_growth(
    since: Sequence[SiteHeads],
    collected: Sequence[CollectedImage],
    targets: Mapping[str, bytes],
    connection: Connection,
    created_at: datetime,
) -> Grown:
    """Ask logs how they grew since sites saw them.

    Args:
        since: what sites handed out; none: nothing is asked.
        collected: the images, with the proofs that were fetched.
        targets: the trust repository's targets, by path.
        connection: how the network is reached.
        created_at: the moment of this export.

    Raises:
        TrustError: a log contradicts what a site has seen (``log-fork``, ``log-rollback``).
        UsageError: a site's file holds what its log has not signed (``since-file``).
    """
    if not since:
        return Grown()
    warnings: list[str] = []
    trees = _gather(since, collected, Keyring(targets), warnings)
    client = LogClient(connection.access, os.environ)
    grown = []
    try:
        for tree in sorted(trees.points):
            try:
                grown.append(_ask(tree, trees, client, created_at))
            except (RejectedError, EnvError) as error:
                warnings.append(f"how {trees.logs[tree].url} grew ({tree[1]}) is not known: {error} ({error.code})")
    finally:
        client.close()
    return Grown(tuple(sorted(grown, key=lambda item: (item.log, item.checkpoint))), tuple(warnings))


def _gather(
    since: Sequence[SiteHeads], collected: Sequence[CollectedImage], keyring: Keyring, warnings: list[str]
) -> _Trees:
    trees = _Trees()
    for site in since:
        for record in site.logs:
            log = find_in_keyring(keyring, record.log_id)
            if log is None:
                warnings.append(f"a site remembers log {record.log_id.hex()}, which no trusted root here names")
                continue
            for item in record.checkpoints:
                trees.add(_of_site(item.note, log, record.origin), owed=True)
    for image in collected:
        for entry in proved_entries(image):
            log = find_in_keyring(keyring, entry.log_id)
            if log is None or entry.proof is None or entry.proof.checkpoint is None:
                continue
            try:
                trees.add(open_checkpoint(entry.proof.checkpoint, log), owed=False)
            except RejectedError:
                continue  # the far side judges evidence; what holds for nobody needs no proof
    return trees


def _of_site(note: bytes, log: TransparencyLog, origin: str) -> VerifiedCheckpoint:
    try:
        point = open_checkpoint(note, log)
    except RejectedError as error:
        raise _wrong_file(log, str(error)) from error
    if point.origin != origin:
        raise _wrong_file(log, f"a checkpoint of {point.origin[:160]} under {origin[:160]}")
    return point


def _ask(tree: _Tree, trees: _Trees, client: LogClient, created_at: datetime) -> LogGrowth:
    log, points, owed = trees.logs[tree], trees.points[tree], trees.owed.get(tree, set())
    tip, prove = _newest(next(iter(points.values())), client)
    known = points.get(tip.tree_size, tip)
    if known.root_hash != tip.root_hash:
        raise _fork(log, tip, known)
    lost = max((size for size in owed if size > tip.tree_size), default=0)
    if lost:
        raise TrustError(
            "log-rollback", "log", log.url, got=f"{tip.tree_size} leaves",
            want=f"at least {lost}, which a site has seen",
            hints=["the log has lost entries, or shows different trees to different askers; nothing was exported"],
        )  # fmt: skip
    if not 1 <= tip.tree_size <= MAX_SAFE_INTEGER:
        raise EnvError("log-answer", "log", log.url, got=f"a tree of {tip.tree_size} leaves", want="1 to 2^53-1")
    sizes = [size for size in sorted(points, key=lambda size: (size not in owed, -size)) if size < tip.tree_size]
    proofs = []
    for size in sorted(sizes[: limits.LOG_PROOFS]):
        hashes = prove(size)
        _verify(log, points[size], tip, hashes)
        proofs.append(GrowthProof(size, hashes))
    return LogGrowth(log.log_id.hex(), tip.note, created_at, tuple(proofs))


def _newest(
    known: VerifiedCheckpoint, client: LogClient
) -> tuple[VerifiedCheckpoint, Callable[[int], tuple[bytes, ...]]]:
    """A tree's newest checkpoint, and what gives the proof from a smaller size to it; the latter is not verified.

    A checkpoint of Rekor 1 names its tree in its origin, one of Rekor 2 only its log.
    """
    log, origin = known.log, known.origin
    if known.tree_id is None:
        tip = fetch_tiled_checkpoint(log, origin, client.fetch_raw)
        return tip, TileReader(log, tip.tree_size, client.fetch_raw).consistency
    tip = fetch_checkpoint(log, origin, client.fetch)
    tree_id = known.tree_id
    return tip, lambda size: fetch_consistency(log, tree_id, size, tip.tree_size, client.fetch)


def _verify(
    log: TransparencyLog, point: VerifiedCheckpoint, tip: VerifiedCheckpoint, hashes: tuple[bytes, ...]
) -> None:
    try:
        verify_consistency(point.tree_size, tip.tree_size, hashes, point.root_hash, tip.root_hash)
    except RejectedError as error:
        raise _fork(log, tip, point) from error


def _fork(log: TransparencyLog, point: VerifiedCheckpoint, known: VerifiedCheckpoint) -> TrustError:
    return TrustError(
        "log-fork", "log", log.url,
        got=f"{point.tree_size} leaves with root {point.root_hash.hex()}, and no proof that holds",
        want=f"a tree that continues {known.tree_size} leaves with root {known.root_hash.hex()}",
        hints=["the log has signed two trees that are not one; nothing was exported", "tell whoever runs the log"],
    )  # fmt: skip


def _wrong_file(log: TransparencyLog, got: str) -> UsageError:
    return UsageError(
        "since-file", "--since", log.url, got=got, want="checkpoints that the log has signed",
        hints=["ask the site to write it again: sealift trust state --export FILE"],
    )  # fmt: skip
