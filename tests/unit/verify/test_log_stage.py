"""Growth that an inventory carries, through the whole verification: whose word counts, what is written, and when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bundler.archive.contents import GrowthProof, Inventory, LogGrowth
from bundler.verify.pipeline import Request, Verification, verify_bundle
from bundler.verify.policy import parse_policy
from bundler.verify.settle import settle
from tests.simulators.claims import IDENTITY, NAME, demand, policy
from tests.simulators.deliveries import NOW, Change, Exporter, LayoutSource, make_site, verify
from tests.simulators.images import two_platforms
from tests.simulators.log_tree import consistency_path, leaf, root_of, signed_checkpoint
from tests.simulators.sigstore import Sigstore
from tests.simulators.tuf_repository import START, TufRepository
from trust_root.delivery import time_basis
from trust_root.site import load_site

SIGSTORE = Sigstore("log stage")
HOST = SIGSTORE.rekor.url.partition("://")[2]
ORIGIN = f"{HOST} - 7"
LEAVES = [leaf(b"%d" % number) for number in range(200)]
FORK = [leaf(b"another"), *LEAVES[1:]]
ROOT = "trusted_root/one.json"
STRICT = policy(demand()).replace("format = 1", "format = 1\nrequire_log_growth = true", 1)


class World:
    """An exporter that carries what growth it is told to, and a site."""

    def __init__(self, folder: Path, trusted_root: bytes | None = None) -> None:
        layout, top, _ = two_platforms(NAME, attested=False)
        repository = NAME.partition(":")[0]
        signature = SIGSTORE.sign(top.digest, SIGSTORE.keyless(IDENTITY), reference=repository)
        layout.tag_evidence(layout.cosign([signature]), top, "sig", repository)
        trust = TufRepository("main", targets={ROOT: trusted_root or SIGSTORE.trusted_root_json()})
        self.exporter = Exporter(trust, folder)
        self.source = LayoutSource("oci", layout.write(folder / "layout"), NAME)
        self.state = make_site(folder / "state", trust.pin)

    def bundle(self, *logs: LogGrowth) -> Path:
        return self.exporter.deliver(self.source, change=carrying(*logs))

    def take(self, *logs: LogGrowth, rules: str | None = None) -> Verification:
        return verify(self.bundle(*logs), self.state, rules or policy(demand()))

    @property
    def head(self) -> int:
        (record,) = load_site(self.state).loaded.state.logs
        return record.head.tree_size


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def growth(
    size: int, *froms: int, leaves: Sequence[bytes] = LEAVES, key: ec.EllipticCurvePrivateKey | None = None,
    origin: str = ORIGIN, log: bytes = SIGSTORE.rekor.log_id, at: datetime = START,
) -> LogGrowth:  # fmt: skip
    note = signed_checkpoint(origin, size, root_of(leaves[:size]), key or SIGSTORE.rekor.key)
    proofs = [GrowthProof(first, tuple(consistency_path(first, leaves[:size]))) for first in sorted(froms)]
    return LogGrowth(log.hex(), note.encode(), at, tuple(proofs))


def carrying(*logs: LogGrowth) -> Change:
    def change(inventory: Inventory) -> Inventory:
        return replace(inventory, logs=tuple(sorted(logs, key=lambda item: (item.log, item.checkpoint))))

    return change


def result(run: Verification) -> tuple[int, str]:
    return run.report.exit_code, run.report.reason


def growths(run: Verification) -> list[str]:
    return [fact.status for fact in run.report.logs]


def told(run: Verification) -> list[tuple[str, str]]:
    return [(check.outcome.value, check.code) for check in run.report.checks if check.name == "log-growth"]


def test_growth_step_by_step(world: World) -> None:
    assert growths(world.take(growth(10))) == ["first"]
    grown = world.take(growth(25, 10), rules=STRICT)
    assert (result(grown), growths(grown), told(grown), world.head) == ((0, ""), ["proved"], [("held", "")], 25)
    bare = world.take(rules=STRICT)
    assert (result(bare), told(bare), world.head) == (
        (1, "log-growth-missing"), [("missing", "log-growth-missing")], 25,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("carried", "code"),
    [
        ((growth(10, key=ec.generate_private_key(ec.SECP256R1())),), "checkpoint-signature"),
        ((growth(10, origin="rekor.example.com"),), "checkpoint-origin"),
        ((replace(growth(10), checkpoint=b"no note"),), "checkpoint"),
        ((growth(10), growth(11)), "log-growth"),
        ((growth(0),), "log-growth"),
    ],
)
def test_what_the_log_did_not_say_refuses_the_bundle(world: World, carried: tuple[LogGrowth, ...], code: str) -> None:
    run = world.take(*carried)
    assert (result(run), told(run), growths(run)) == ((1, code), [("failed", code)], [])
    assert load_site(world.state).loaded.state.logs == ()


def test_a_log_that_nobody_here_trusts_is_left_out_and_said(world: World) -> None:
    run = world.take(growth(10, log=b"\1" * 32))
    assert (result(run), told(run), growths(run)) == ((0, ""), [("note", "")], [])


def test_a_log_whose_window_has_ended_proves_nothing(tmp_path: Path) -> None:
    document = json.loads(SIGSTORE.trusted_root_json())
    end = (datetime(2026, 10, 1, tzinfo=UTC)).isoformat().replace("+00:00", "Z")
    document["tlogs"][0]["publicKey"]["validFor"]["end"] = end
    world = World(tmp_path, json.dumps(document).encode())
    run = world.take(growth(10, at=START))
    (check,) = [check for check in run.report.checks if check.name == "log-growth"]
    assert (check.outcome.value, growths(run)) == ("note", [])
    assert "did not count at" in check.detail


def test_a_fork_is_an_alarm_beside_any_verdict(world: World) -> None:
    world.take(growth(10))
    run = world.take(growth(25, 10, leaves=FORK), rules=policy(demand(identity="https://example.org/nobody")))
    assert result(run) == (4, "log-fork")
    assert json.loads(load_site(world.state).loaded.log[-1])["code"] == "log-fork"
    assert world.head == 10
    again = world.take(growth(25, 10))  # sequence 3: the refused one never counted
    assert (result(again)[0], world.head) == (0, 25)


def test_audits_and_readers_write_nothing(world: World) -> None:
    world.take(growth(10))
    before = (world.state / "state.json").read_bytes()
    for bundle in (world.bundle(growth(25, 10)), world.bundle(growth(25, 10, leaves=FORK))):
        for audit in (verify(bundle, world.state, STRICT, read_only=True), verify(bundle, world.state, STRICT, at=NOW)):
            assert audit.report.exit_code in (0, 4)
            assert (world.state / "state.json").read_bytes() == before


def test_an_older_delivery_is_not_refused_for_growth_that_it_cannot_show(world: World) -> None:
    first, second = world.bundle(growth(10)), world.bundle(growth(25, 10))
    for bundle in (first, second):
        assert result(verify(bundle, world.state, STRICT)) == (0, "")
    again = verify(second, world.state, STRICT)
    assert (result(again), growths(again)) == ((0, ""), ["unchanged"])
    historic = verify(first, world.state, STRICT, historic=True)
    assert (result(historic), growths(historic), told(historic)) == ((0, ""), ["older"], [("note", "")])
    assert world.head == 25


def judged(world: World, bundle: Path, rules: str) -> tuple[Verification, object]:
    """Verified, and not yet settled: another run may come between."""
    site = load_site(world.state)
    request = Request(time_basis(NOW, site.floor), site=site, policy=parse_policy(rules.encode()), threads=1)
    run = verify_bundle(bundle, request)
    assert run.report.exit_code == 0
    return run, site


def test_two_runs_at_once(world: World) -> None:
    """What is written is weighed again under the lock."""
    world.take(growth(10))
    slow = world.bundle(growth(25, 10))
    run, site = judged(world, slow, STRICT)
    assert result(verify(slow, world.state, STRICT)) == (0, "")
    settle(run, site)  # type: ignore[arg-type]
    assert (result(run), world.head) == ((0, ""), 25)


def test_a_head_that_moved_meanwhile(world: World) -> None:
    """Another stream's delivery moved the head: what was proved from the old one is not proved any more."""
    world.take(growth(10))
    run, site = judged(world, world.bundle(growth(25, 10)), STRICT)
    loaded = load_site(world.state)
    state = loaded.loaded.state
    (record,) = state.logs
    moved = replace(record.head, tree_size=20, root_hash=root_of(LEAVES[:20]), note=growth(20).checkpoint)
    with loaded._locked():
        after = replace(loaded.loaded.state, logs=(replace(record, head=moved),))
        loaded._write(after, [], {"kind": "test"}, NOW)
    settle(run, site)  # type: ignore[arg-type]
    assert (result(run), world.head) == ((4, "state-changed"), 20)


def test_a_fork_that_another_run_brought_is_an_alarm_under_the_lock(world: World) -> None:
    run, site = judged(world, world.bundle(growth(10)), policy(demand()))
    loaded = load_site(world.state)
    other = make_site(world.state.parent / "other", world.exporter.repository.pin)
    assert verify(world.bundle(growth(10, leaves=FORK)), other, policy(demand())).report.exit_code == 0
    with loaded._locked():
        after = replace(loaded.loaded.state, logs=load_site(other).loaded.state.logs)
        loaded._write(after, [], {"kind": "test"}, NOW)
    settle(run, site)  # type: ignore[arg-type]
    assert result(run) == (4, "log-fork")
    assert json.loads(load_site(world.state).loaded.log[-1])["code"] == "log-fork"


def test_times_in_the_state_are_the_exporters(world: World) -> None:
    world.take(growth(10, at=START - timedelta(days=3)))
    (record,) = load_site(world.state).loaded.state.logs
    assert record.head.seen_at == START - timedelta(days=3)
