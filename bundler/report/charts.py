"""Open vulnerabilities by delivery as stacked bars, for inline SVG; and the same told in words.

Rules of this module:
- Places across are in per cent and places down in pixels, so that a chart fills any width and its text keeps its size.
- Not judged is no bar of height zero: it gets a mark of its own.
- What a chart shows is told in words too, oldest first. Colours follow severities; the words name them.
- A chart has the newest few deliveries only, and says how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bundler.value import dataclass
from bundler.vulnerability.history import SHOWN

MOST_BARS = 12
_TOP = 18  # for the number above a bar
_BOTTOM = 20  # for the sequence below it
_FILL = 0.66  # of its place, for a bar
_WIDEST = 9.0  # per cent, for charts of few bars
_GAP = 1  # between the pieces of a bar


@dataclass(frozen=True, slots=True)
class Piece:
    """One severity of one bar, from `y` down."""

    severity: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One delivery. `pieces` is None where nothing was judged."""

    x: float
    width: float
    middle: float
    label: str
    number: str
    number_y: float
    pieces: tuple[Piece, ...] | None


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing, the same told in words, and how many deliveries there are beside those that it shows."""

    height: int
    base: int
    bars: tuple[Bar, ...]
    told: str
    older: int

    @property
    def paths(self) -> tuple[tuple[str, str], ...]:
        """All pieces of one severity as one path, since charts are most of a large page: per cent across, pixels down.

        To be drawn in a box of 100 by `height` that is stretched across only; so it has no stroke.
        """
        drawn: dict[str, list[str]] = {}
        for bar in self.bars:
            for piece in bar.pieces or ():
                across, down = _short(bar.width), _short(piece.height)
                path = f"M{_short(bar.x)} {_short(piece.y)}h{across}v{down}h-{across}z"
                drawn.setdefault(piece.severity, []).append(path)
        return tuple((severity, "".join(drawn[severity])) for severity in SHOWN if severity in drawn)


def draw_chart(points: Sequence[Mapping[str, Any]], plot: int, *, labels: bool = True) -> Chart:
    """Lay out one chart.

    Args:
        points: oldest first, each with `sequence`, and `open` as a dashboard tells it (numbers by severity, `total`; or
            None).
        plot: height of the highest bar, in pixels.
        labels: whether there is room for numbers above and sequences below.
    """
    shown = points[-MOST_BARS:]
    top, bottom = (_TOP, _BOTTOM) if labels else (1, 1)
    highest = max([1, *(point["open"]["total"] for point in shown if point["open"])])
    place = 100 / max(1, len(shown))
    width = min(place * _FILL, _WIDEST) if labels else place * _FILL
    bars = []
    for position, point in enumerate(shown):
        middle = place * (position + 0.5)
        counts = point["open"]
        pieces = None if counts is None else _pieces(counts, plot / highest, top + plot, _GAP if labels else 0)
        number_y = min([piece.y for piece in pieces or ()], default=top + plot) - 5
        bars.append(
            Bar(
                round(middle - width / 2, 3), round(width, 3), round(middle, 3), str(point["sequence"]),
                "?" if counts is None else str(counts["total"]), round(number_y, 2), pieces,
            )
        )  # fmt: skip
    told = _told if labels else _told_shortly
    return Chart(top + plot + bottom, top + plot, tuple(bars), told(shown), len(points) - len(shown))


def _told(points: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"delivery {point['sequence']}: {told_counts(point['open'])}" for point in points)


def _told_shortly(points: Sequence[Mapping[str, Any]]) -> str:
    """`deliveries 7 to 9: 4, not judged, 0`. The larger chart of the same image says it by severity."""
    numbers = ["not judged" if point["open"] is None else str(point["open"]["total"]) for point in points]
    ends = dict.fromkeys((points[0]["sequence"], points[-1]["sequence"])) if points else ()
    return f"{'deliveries' if len(ends) > 1 else 'delivery'} {' to '.join(map(str, ends))}: {', '.join(numbers)}"


def told_counts(counts: Mapping[str, int] | None) -> str:
    """`12 open (2 critical, 10 low)`."""
    if counts is None:
        return "not judged"
    parts = ", ".join(f"{counts[severity]} {severity}" for severity in SHOWN if counts[severity])
    return f"{counts['total']} open ({parts})" if parts else "none open"


def _short(number: float) -> str:
    """`3`, not `3.0`; finer than what a screen can show is left out."""
    return f"{round(number, 1):g}"


def _pieces(counts: Mapping[str, int], unit: float, base: int, gap: int) -> tuple[Piece, ...]:
    """From the base up: the worst lies at the bottom, where lengths are best compared."""
    pieces, y = [], float(base)
    for severity in SHOWN:
        if counts[severity]:
            height = counts[severity] * unit
            y -= height
            pieces.append(Piece(severity, round(y, 2), round(max(height - gap, 0.75), 2)))
    return tuple(pieces)
