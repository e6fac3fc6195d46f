"""Charts: every bar is where it belongs, and the words say what the picture shows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.report.charts import MOST_BARS, draw_chart, told_counts
from bundler.vulnerability.history import SHOWN


def counts(*numbers: int) -> dict[str, int]:
    return {**dict(zip(SHOWN, numbers, strict=True)), "total": sum(numbers)}


def point(sequence: int, *numbers: int) -> dict[str, Any]:
    return {"sequence": sequence, "open": counts(*numbers) if numbers else None}


def test_bars_and_words() -> None:
    chart = draw_chart([point(7, 1, 0, 0, 3, 0), point(8), point(9, 0, 0, 0, 0, 0)], 100)
    assert chart.told == "delivery 7: 4 open (1 critical, 3 low); delivery 8: not judged; delivery 9: none open"
    assert [bar.number for bar in chart.bars] == ["4", "?", "0"]
    pieces = chart.bars[0].pieces
    assert pieces is not None
    assert [(piece.severity, piece.height) for piece in pieces] == [("critical", 24), ("low", 74)]
    assert pieces[0].y + pieces[0].height + 1 == chart.base
    assert (chart.bars[1].pieces, chart.bars[2].pieces) == (None, ())
    (critical, low) = chart.paths
    assert critical == ("critical", "M12.2 93h9v24h-9z")
    assert low == ("low", "M12.2 18h9v74h-9z")


def test_the_newest_are_shown_and_the_rest_is_counted() -> None:
    chart = draw_chart([point(number, 1, 1, 1, 1, 1) for number in range(30)], 50)
    assert [bar.label for bar in chart.bars] == [str(number) for number in range(30 - MOST_BARS, 30)]
    assert chart.older == 30 - MOST_BARS


@pytest.mark.parametrize("points", [[], [point(1)], [point(1, 0, 0, 0, 0, 0)]])
def test_empty_charts(points: list[dict[str, Any]]) -> None:
    chart = draw_chart(points, 50, labels=False)
    assert len(chart.bars) == len(points)
    assert chart.height == 52


@settings(derandomize=True, deadline=None)
@given(st.lists(st.none() | st.lists(st.integers(0, 10**6), min_size=5, max_size=5), max_size=20), st.booleans())
def test_nothing_leaves_the_picture(drawn: list[list[int] | None], labels: bool) -> None:
    chart = draw_chart([point(1, *(numbers or ())) for numbers in drawn], 84, labels=labels)
    for bar in chart.bars:
        assert bar.x >= 0
        assert bar.x + bar.width <= 100.01
        for piece in bar.pieces or ():
            assert piece.y >= (17.9 if labels else 0.9)
            assert piece.y + piece.height <= chart.base + 1
    assert all(one.x + one.width < two.x for one, two in zip(chart.bars, chart.bars[1:], strict=False))


def test_a_small_chart_is_told_shortly() -> None:
    points = [point(7, 1, 0, 0, 3, 0), point(8), point(9, 0, 0, 0, 0, 0)]
    assert draw_chart(points, 26, labels=False).told == "deliveries 7 to 9: 4, not judged, 0"
    assert draw_chart(points[:1], 26, labels=False).told == "delivery 7: 4"


def test_told_counts() -> None:
    assert told_counts(None) == "not judged"
    assert told_counts(counts(0, 0, 0, 0, 0)) == "none open"
    assert told_counts(counts(1, 2, 3, 4, 5)) == "15 open (1 critical, 2 high, 3 medium, 4 low, 5 unknown)"
