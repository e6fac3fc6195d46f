"""A site's life as a random walk: deliveries, replays, thefts, rotations and clocks, each verdict held against a model.

Seeded, so that a walk that fails can be walked again. After every step the site must remember exactly what the model
remembers: roots, targets, floor, sequences.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bundler.errors import TrustError
from bundler.moment import parse_moment
from tests.simulators.campaign import DAY, KEYLESS, NOW, Campaign, split, trust_of
from tests.simulators.deliveries import Exporter
from tests.simulators.site_model import Facts, SiteModel, Verdict, version_of
from trust_root.site import load_site

STREAMS = ("alpha", "beta")
STEPS = 60


class Walk:
    """One site, two exporters, thieves, and a model that watches."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.drawn = random.Random(seed)
        self.world = Campaign(folder, *STREAMS)
        self.model = SiteModel("plant", (self.world.repository.pin,))
        self.thieves: list[Exporter] = []
        self.bundles: list[tuple[Path, Facts]] = []
        self.clock = NOW
        self.trace: list[str] = []
        self.seen: Counter[str] = Counter()

    def step(self) -> None:
        """One thing happens; nine times of ten a bundle arrives."""
        events = [
            (8, self.deliver), (6, self.replay), (3, self.lose), (2, self.steal), (3, self.deliver_stolen),
            (2, self.tick), (1, self.rotate), (1, self.publish), (1, self.new_root), (1, self.wrong_clock),
            (1, self.other_site), (1, self.from_the_future), (1, self.fall_behind), (1, self.audit),
        ]  # fmt: skip
        weights, actions = zip(*events, strict=True)
        action = self.drawn.choices(actions, weights)[0]
        self.trace.append(action.__name__)
        action()

    # -- what exporters do

    def make(self, exporter: Exporter, *, at: datetime | None = None, audience: tuple[str, ...] = ()) -> None:
        when = at or self.clock - DAY / 2
        bundle = exporter.deliver(self.world.source(), at=when, audience=audience)
        repository, stream = exporter.repository, exporter.repository.streams[exporter.stream]
        files = trust_of(bundle.read_bytes())
        role = files[f"metadata/{stream.version}.{exporter.stream}.json"]
        targets = next(raw for name, raw in files.items() if name.endswith(".targets.json"))
        inventory = next(part for part in split(bundle.read_bytes()) if part.name == "inventory.json")
        raw = inventory.content[: inventory.size_bytes]
        assert exporter.previous is not None
        facts = Facts(
            stream=exporter.stream,
            sequence=exporter.sequence,
            inventory=str(exporter.previous),
            previous=json.loads(raw)["previous"],
            created=when,
            expires=first_expiry(files, len(repository.roots)),
            audience=audience,
            key=stream.key.public.keyid,
            role=(stream.version, role.hex()),
            online=(stream.snapshot_version, stream.timestamp_version),
            roots=tuple(repository.roots),
            targets=targets,
        )
        self.bundles.append((bundle, facts))

    def exporter(self) -> Exporter:
        return self.world.exporter(self.drawn.choice(STREAMS))

    def deliver(self) -> None:
        self.make(self.exporter())
        self.judge(-1)

    def lose(self) -> None:
        """A bundle is made and does not arrive (yet)."""
        self.make(self.exporter())

    def steal(self) -> None:
        """Somebody copies an exporter's folder, key and all."""
        thief = self.world.double(self.drawn.choice(STREAMS))
        thief.repository.streams[thief.stream].version += self.drawn.choice((0, 0, 5))
        self.thieves.append(thief)

    def deliver_stolen(self) -> None:
        if self.thieves:
            thief = self.drawn.choice(self.thieves)
            if thief.stream in thief.repository.streams:
                self.make(thief, at=self.clock - DAY / 3)
                self.judge(-1)

    def rotate(self) -> None:
        self.world.repository.rotate_stream(self.drawn.choice(STREAMS), self.clock)

    def publish(self) -> None:
        self.world.repository.publish(self.clock)

    def new_root(self) -> None:
        """Genuine, or by a thief of everything: then two histories of roots exist."""
        repository = self.world.repository
        if self.thieves and self.drawn.random() < 0.5:
            repository = self.drawn.choice(self.thieves).repository
        repository.add_root(self.clock)

    def fall_behind(self) -> None:
        """An exporter's folder goes back to older targets, or forward to the current ones."""
        stream = self.world.repository.streams[self.drawn.choice(STREAMS)]
        stream.targets_raw = None if stream.targets_raw else self.world.repository.targets_raw()

    def other_site(self) -> None:
        self.make(self.exporter(), audience=self.drawn.choice((("plant",), ("harbour",), ("harbour", "plant"))))
        self.judge(-1)

    def from_the_future(self) -> None:
        self.make(self.exporter(), at=self.clock + self.drawn.choice((DAY, DAY + timedelta(seconds=1), 40 * DAY)))
        self.judge(-1)

    # -- what the site does

    def replay(self) -> None:
        if self.bundles:
            self.judge(self.drawn.randrange(len(self.bundles)))

    def tick(self) -> None:
        self.clock += self.drawn.choice((DAY, 10 * DAY, 40 * DAY))

    def wrong_clock(self) -> None:
        if self.bundles:
            right = self.clock
            self.clock += self.drawn.choice((-400 * DAY, -DAY, -DAY / 2, 400 * DAY))
            self.judge(self.drawn.randrange(len(self.bundles)))
            self.clock = right

    def audit(self) -> None:
        """Read-only and typed times say what they say, and leave no trace."""
        if self.bundles:
            bundle, _ = self.drawn.choice(self.bundles)
            before = self.world.state_bytes()
            self.world.judge(bundle, clock=self.clock, at=self.clock)
            try:
                self.world.judge(bundle, clock=self.clock, read_only=True)
            except TrustError as error:
                assert error.code == "clock-behind"  # noqa: PT017
            assert self.world.state_bytes() == before

    def judge(self, number: int) -> None:
        bundle, facts = self.bundles[number]
        historic, rejected = self.drawn.random() < 0.2, self.drawn.random() < 0.15
        expected = self.model.judge(facts, self.clock, historic=historic, rejected=rejected)
        found = self.verdict(bundle, historic=historic, policy=None if rejected else KEYLESS)
        self.seen[expected[1] or expected[2]] += 1
        assert found == expected, self.trace
        self.compare_memory()

    def verdict(self, bundle: Path, *, historic: bool, policy: str | None) -> Verdict:
        try:
            report = self.world.report(bundle, policy, clock=self.clock, historic=historic)
        except TrustError as error:
            return 4, error.code, ""
        standing = report.trust.standing if report.trust else ""
        return report.exit_code, report.reason, standing if report.exit_code in (0, 1) else ""

    def compare_memory(self) -> None:
        site = load_site(self.world.state, read_only=True)
        (held,) = site.loaded.pins
        assert tuple(held.roots[number] for number in sorted(held.roots)) == self.model.roots
        ours = self.model.targets
        assert (held.record.targets or (None,))[0] == (None if ours is None else version_of(ours))
        assert site.floor == (self.model.floor.replace(microsecond=0) if self.model.floor else None)
        sequences = {name: [item.sequence for item in record.accepted] for name, record in held.record.streams.items()}
        assert sequences == {name: sorted(memory.accepted) for name, memory in self.model.streams.items()}


def first_expiry(files: dict[str, bytes], newest_root: int) -> datetime:
    """When the first of a bundle's roles ends; older roots do not count."""
    counted = [
        raw
        for name, raw in files.items()
        if name == f"metadata/{newest_root}.root.json" or (not name.endswith((".root.json",)) and "metadata" in name)
    ]
    return min(parse_moment(json.loads(raw)["signed"]["expires"]) for raw in counted)


def walk(folder: Path, seed: int) -> Counter[str]:
    life = Walk(folder, seed)
    for _ in range(STEPS):
        life.step()
    return life.seen


@pytest.mark.parametrize("seed", range(6))
def test_a_random_walk_agrees_with_the_model(tmp_path: Path, seed: int) -> None:
    assert sum(walk(tmp_path, seed).values()) > STEPS / 3


@pytest.mark.exhaustive
def test_sixty_more_walks_meet_every_verdict(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(1000, 1060):
        seen += walk(tmp_path / str(seed), seed)
    assert set(seen) == {
        "first", "next", "gap", "already-accepted", "historic", "no-policy", "clock-behind", "root-fork", "expired",
        "equivocation", "created-in-future", "audience", "superseded", "no-longer-accepted", "never-accepted",
        "rollback", "metadata-signature",
    }  # fmt: skip
