"""Text from anywhere on lines of 80 columns: made visible, cut when it is long, broken where it may be.

Rules of this module:
- Further lines are indented, so nothing from outside ever stands where a verdict stands (THREATS I22).
- A character that is not ASCII counts as two columns: no terminal shows it wider.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bundler.escaping import escape

COLUMNS = 80
MOST_CHARACTERS = 600  # of one fact; longer ones are whole in the JSON form
_SLASH = re.compile(r"(?<![:/])/(?!/)")


def broken(start: str, text: str, indent: int) -> Iterator[str]:
    """`start`, then text from anywhere, made visible and broken at 80 columns; further lines are indented."""
    line, rest = start, visible(text)
    while columns_of(rest) > (room := COLUMNS - len(line)):
        cut = _cut(rest, max(room, 2))
        yield f"{line}{rest[:cut]}".rstrip()
        line, rest = " " * indent, rest[cut:].lstrip(" ")
    yield f"{line}{rest}".rstrip()


def _cut(text: str, columns: int) -> int:
    """How many characters to put on a line of `columns`: up to a space, or in a long word a slash, or simply all."""
    fits = next(count for count in range(min(len(text), columns), 0, -1) if columns_of(text[:count]) <= columns)
    space = text.rfind(" ", 0, fits) + 1
    if space > fits // 3:
        return space
    slashes = [found.end() for found in _SLASH.finditer(text[:fits])]
    return slashes[-1] if slashes and slashes[-1] > fits // 3 else fits


def visible(text: str) -> str:
    """Escaped, cut, and without runs of spaces or odd ones, by which text could pretend to be a column of ours."""
    more = len(text) - MOST_CHARACTERS
    shown = escape(text[:MOST_CHARACTERS])
    shown = "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in shown)  # odd spaces and the like
    return re.sub(" {2,}", " ", shown) + (f"… ({more} more characters: --json)" if more > 0 else "")


def columns_of(text: str) -> int:
    """How wide a terminal shows it at most."""
    return sum(1 if char.isascii() else 2 for char in text)
