"""The files below tests/vectors/archive are what `make vectors` makes."""

from __future__ import annotations

from pathlib import Path

from tests.simulators.archive_vectors import vectors


def test_nothing_differs(root: Path) -> None:
    folder = root / "tests" / "vectors" / "archive"
    made = dict(vectors())
    assert len(made) == len(list(vectors()))
    present = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert sorted(present) == sorted(made)
    for name, raw in made.items():
        assert present[name].read_bytes() == raw, name
