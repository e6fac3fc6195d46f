"""What several tests of loads begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bundler.deliver.verified import VerifiedBundle
from tests.simulators.load_scene import Delivery, small_image


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifiedBundle]:
    """A small image, delivered, verified and open."""
    folder = tmp_path_factory.mktemp("small")
    with Delivery.make(folder / "made", image=small_image()).opened(folder / "state") as bundle:
        yield bundle
