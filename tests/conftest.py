"""Fixtures that every test may use."""

from __future__ import annotations

import importlib
import pkgutil
import signal
import sys
from pathlib import Path

import pytest

import bundler
import trust_root

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """A shell starts background jobs deaf to Ctrl-C, and so would be all that they start; tests press it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Import all of ours: hypothesis also draws the numbers and texts that it finds in modules imported so far.

    Without this, what a test gets depends on the tests that ran before it in its process: on luck.
    """
    if "hypothesis" in sys.modules:
        for package in (bundler, trust_root):
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                importlib.import_module(module.name)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """`../shared`: real signed images and vectors of others, which are not part of this repository.

    Tests that need it are skipped where it is absent; each has a twin that works on simulated material.
    """
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("../shared is absent: real signed images are not part of this repository")
    return folder
