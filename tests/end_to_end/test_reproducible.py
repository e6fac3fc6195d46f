"""Exports are reproducible, as FORMAT.md promises; the check is the script that a reader can run."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import check_reproducible


def test_exports_of_one_state_are_equal(tmp_path: Path) -> None:
    assert check_reproducible.differences(tmp_path) == []


def test_the_check_sees_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0, 1, 30])
    export = check_reproducible.export
    monkeypatch.setattr(
        check_reproducible,
        "export",
        lambda folder, environment, epoch, target: export(folder, environment, epoch - 30 + next(times), target),
    )
    (line,) = check_reproducible.differences(tmp_path)
    assert "the bundles differ" in line
