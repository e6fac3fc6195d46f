"""One delivered bundle for all tests of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.delivered import Delivered, deliver


@pytest.fixture(scope="session")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    return deliver(tmp_path_factory.mktemp("delivered"))


@pytest.fixture
def policy(delivered: Delivered) -> Path:
    return delivered.policy
