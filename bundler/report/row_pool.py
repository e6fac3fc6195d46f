"""Rows of a page's tables, told once each: images that share a base share most of their packages and vulnerabilities.

    {"cells": ["CVE-2026-1", "high 7.5", …, 12, null], "rows": [[0, 1, …], …]}

A cell is told by its place among the cells, a row by its place among the rows, and a table is a list of such places. Of
200 images with 100 vulnerabilities each that is a fifth of what the rows themselves take.

Rules of this module:
- Nothing is lost and nothing is put in order: the rows that come back are those that were taken in.
- Cells are the same if value and type are: 1, "1" and null are three.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Cell = str | int | None


class RowPool:
    """Takes in the tables of one page."""

    def __init__(self) -> None:
        self._cells: dict[tuple[type, Cell], int] = {}
        self._rows: dict[tuple[int, ...], int] = {}

    def take(self, rows: Iterable[Sequence[Cell]]) -> list[int]:
        """One table as the places of its rows."""
        return [self._row(tuple(map(self._cell, row))) for row in rows]

    def document(self) -> dict[str, list[Cell] | list[list[int]]]:
        """All that was taken in, in order of its first use."""
        return {"cells": [cell for _, cell in self._cells], "rows": [list(row) for row in self._rows]}

    def _row(self, row: tuple[int, ...]) -> int:
        return self._rows.setdefault(row, len(self._rows))

    def _cell(self, cell: Cell) -> int:
        return self._cells.setdefault((type(cell), cell), len(self._cells))
