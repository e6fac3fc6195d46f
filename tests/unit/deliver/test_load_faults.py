"""A load that is cut at any request: no tag moved that should not, and the next run brings only what was missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bundler.deliver.load_registry import Terms
from bundler.deliver.verified import VerifiedBundle
from bundler.errors import EnvError
from bundler.network.registry import Registries
from tests.simulators.load_scene import QUICK, Delivery, Load, found
from tests.simulators.registry import Behaviour, Registry
from tests.simulators.registry_lies import drop_unasked, drop_when_done, status
from tests.simulators.registry_writes import Writes

ONE_BY_ONE = Terms(jobs=1)
REPOSITORY = "team/app"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifiedBundle]:
    folder = tmp_path_factory.mktemp("full")
    with Delivery.make(folder / "made").opened(folder / "state") as bundle:
        yield bundle


class Cuts:
    """Loads into fresh registries, each cut at one request, and what has to hold after each."""

    def __init__(self, bundle: VerifiedBundle, connections: Registries, *, referrers_api: bool) -> None:
        self.bundle = bundle
        self.connections = connections
        self.referrers_api = referrers_api
        with self._registry() as registry:
            Load(registry.host, bundle, connections=connections).run(ONE_BY_ONE)
            self.requests = len(registry.log)
            self.tags, self.manifests, self.blobs = found(registry.repository(REPOSITORY))
        self.own = bundle.images[0].reference.tag or ""
        self.evidence_tags = {tag for tag in bundle.images[0].tags if tag != self.own}

    def cut(self, number: int, behaviour: Behaviour) -> bool:
        """Load with a fault at one request, then without; whether the first one failed."""
        with self._registry() as registry:
            registry.at(number, behaviour)
            load = Load(registry.host, self.bundle, connections=self.connections)
            try:
                load.run(ONE_BY_ONE)
            except EnvError:
                has_failed = True
            else:
                has_failed = False
            store = registry.repository(REPOSITORY)
            tags, manifests, blobs = found(store)
            self._check(tags, manifests, blobs)
            assert has_failed or (tags, manifests, blobs) == (self.tags, self.manifests, self.blobs), number

            registry.reform()
            again = load.run(ONE_BY_ONE)
            assert found(store) == (self.tags, self.manifests | manifests, self.blobs), number
            assert again.blobs_pushed == len(self.blobs - blobs), number
            assert len(registry.asked("POST", "/blobs/uploads/")) == len(self.blobs - blobs), number
            sent = {item.target.rpartition("/")[2] for item in registry.asked("PUT", "/manifests/")}
            assert sent == {name for name in sent if name not in manifests and name not in tags} | {
                tag for tag in sent if tag.startswith("sha256-") and tags.get(tag) not in (None, self.tags[tag])
            }, number
            return has_failed

    def _check(self, tags: dict[str, str], manifests: set[str], blobs: set[str]) -> None:
        assert tags.keys() <= self.tags.keys()
        if tags.keys() & {self.own, *self.evidence_tags}:
            assert blobs == self.blobs
            assert manifests >= self.manifests
        for tag in tags.keys() & {self.own, *self.evidence_tags}:
            assert tags[tag] == self.tags[tag]
        if self.own in tags:
            assert tags.keys() == self.tags.keys()

    def _registry(self) -> Registry:
        return Registry(writes=Writes(), referrers_api=self.referrers_api)


@pytest.fixture(scope="module")
def connections() -> Iterator[Registries]:
    with Registries(QUICK) as opened:
        yield opened


DROPS = {
    "not-done-fallback": (drop_unasked, False),
    "done-api": (drop_when_done, True),
    "not-done-api": (drop_unasked, True),
    "done-fallback": (drop_when_done, False),
}


def drop(
    small: VerifiedBundle, connections: Registries, behaviour: Behaviour, step: int, *, referrers_api: bool
) -> None:
    cuts = Cuts(small, connections, referrers_api=referrers_api)
    failed = [cuts.cut(number, behaviour) for number in range(1, cuts.requests + 1, step)]
    assert sum(failed) > len(failed) / 2


@pytest.mark.parametrize(("kind", "step"), [*zip(DROPS, (3, 5, 7, 7), strict=True)])
def test_a_drop_at_many_requests(small: VerifiedBundle, connections: Registries, kind: str, step: int) -> None:
    behaviour, referrers_api = DROPS[kind]
    drop(small, connections, behaviour, step, referrers_api=referrers_api)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", DROPS)
def test_a_drop_at_every_request(small: VerifiedBundle, connections: Registries, kind: str) -> None:
    behaviour, referrers_api = DROPS[kind]
    drop(small, connections, behaviour, 1, referrers_api=referrers_api)


@pytest.mark.parametrize("referrers_api", [True, False], ids=["api", "fallback"])
def test_an_error_at_requests_of_a_load_with_all_evidence(
    full: VerifiedBundle, connections: Registries, *, referrers_api: bool
) -> None:
    cuts = Cuts(full, connections, referrers_api=referrers_api)
    for number in range(1, cuts.requests + 1, 43):
        assert cuts.cut(number, status(500)), number
