"""Random histories at one site, beside a model of thirty lines: same verdicts, and a memory that only grows."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from bundler.errors import TrustError
from tests.simulators.tuf_repository import TufRepository
from tests.simulators.tuf_site import Parcel, Place

STREAMS = ("main", "other")


class Deliveries(RuleBasedStateMachine):
    """Two honest exporters, whose bundles come in any order, twice, late or never; targets move on meanwhile."""

    parcels: Bundle[tuple[Parcel, int]] = Bundle("parcels")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.repository = TufRepository(*STREAMS, holders=1, threshold=1)
        self.place = Place(self.folder, self.repository)
        self.accepted: dict[str, list[int]] = {name: [] for name in STREAMS}
        self.targets = 1
        self.generation = 1
        self.count = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(target=parcels, stream=st.sampled_from(STREAMS))
    def export(self, stream: str) -> tuple[Parcel, int]:
        self.count += 1
        return self.place.make(stream, f"inventory {self.count}".encode()), self.repository.targets_version

    @rule()
    def publish(self) -> None:
        self.repository.publish(keys__a_dot_pub=f"key {self.count}".encode())

    @rule(given=parcels, historic=st.booleans())
    def deliver(self, given: tuple[Parcel, int], historic: bool) -> None:
        parcel, targets = given
        wanted = self.model(parcel, targets, historic=historic)
        try:
            got: str = self.place.take(parcel, historic=historic).status
        except TrustError as error:
            got = error.code
        assert got == wanted
        if got in {"first", "next", "gap"}:
            self.accepted[parcel.delivery.stream].append(parcel.delivery.sequence)
            self.targets = max(self.targets, targets)

    @rule(given=consumes(parcels))
    def lose(self, given: tuple[Parcel, int]) -> None:
        """It never arrives, or not again."""

    def model(self, parcel: Parcel, targets: int, *, historic: bool) -> str:
        sequence, accepted = parcel.delivery.sequence, self.accepted[parcel.delivery.stream]
        newest = max(accepted, default=0)
        if sequence in accepted:
            if sequence == newest:
                return "already-accepted"
            return "historic" if historic else "superseded"
        if sequence < newest:
            return "never-accepted"
        if targets < self.targets:
            return "rollback"
        return "first" if not accepted else "next" if sequence == newest + 1 else "gap"

    @invariant()
    def memory_only_grows(self) -> None:
        site = self.place.site()
        (pin,) = site.loaded.state.pins
        assert site.loaded.state.generation >= self.generation
        self.generation = site.loaded.state.generation
        for name, sequences in self.accepted.items():
            held = [item.sequence for item in pin.streams[name].accepted] if name in pin.streams else []
            assert held == sorted(sequences)
        assert (pin.targets[0] if pin.targets else 1) == self.targets


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(derandomize=True, deadline=None, max_examples=15, stateful_step_count=20)
