"""The way from the pinned root to one signature, as boxes and lines for an inline SVG.

Rules of this module:
- Only what was verified gets a box. A log that only promised is drawn with a broken line.
- Places and sizes are computed here, text stays text: the template escapes it.
- Narrow enough for a telephone: 340 units wide, and no text below 11 units. Long text is cut in the picture; the facts
  beside it have it whole.
"""

from __future__ import annotations

from collections.abc import Iterator

from bundler.digest import Digest
from bundler.escaping import escape
from bundler.report.html_page import short
from bundler.value import dataclass
from bundler.verify.exhibits import Chain
from bundler.verify.head_facts import TrustFacts
from bundler.verify.result import ImageResult

WIDTH = 340
_HALF = 164
_LINE = 15  # units a line of text takes
_HEAD = 24  # label and space above the first line
_FOOT = 10
_GAP = 32  # between rows, for the arrow and its word
_UNITS_PER_COLUMN = 6.65  # of a fixed-width font of 11 units
_MOST_LINES = 3


@dataclass(frozen=True, slots=True)
class Box:
    """One box: what it is, and up to a few lines about it."""

    kind: str
    label: str
    lines: tuple[str, ...]
    x: int
    y: int
    width: int
    height: int
    weak: bool


@dataclass(frozen=True, slots=True)
class Link:
    """A line from box to box, its arrow's tip, and a word beside it. `weak`: drawn broken."""

    path: str
    tip_x: int
    tip_y: int
    word: str
    x: int
    y: int
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing, and the same told in words."""

    height: int
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    told: str


@dataclass(frozen=True, slots=True)
class _Part:
    kind: str
    label: str
    texts: tuple[str, ...]
    word: str = ""  # on the line that leads to it
    weak: bool = False


def draw_chain(chain: Chain, image: ImageResult, trust: TrustFacts | None) -> Picture:
    """Lay out one chain, from the pin at the top to the image at the bottom."""
    rows = list(_rows(chain, image, trust))
    boxes: list[list[Box]] = []
    y = 1
    for row in rows:
        width = WIDTH - 2 if len(row) == 1 else _HALF
        texts = [tuple(line for text in part.texts for line in _wrapped(text, width)) for part in row]
        height = _HEAD + _LINE * max(map(len, texts)) + _FOOT
        boxes.append(
            [
                Box(part.kind, part.label, lines, 1 + column * (WIDTH - 2 - _HALF), y, width, height, part.weak)
                for column, (part, lines) in enumerate(zip(row, texts, strict=True))
            ]
        )
        y += height + _GAP
    links = [link for upper, lower, parts in zip(boxes, boxes[1:], rows[1:], strict=False)
             for link in _links(upper, lower, parts)]  # fmt: skip
    told = "; then ".join(f"{part.label}: {', '.join(part.texts)}" for row in rows for part in row)
    return Picture(y - _GAP + 1, tuple(box for row in boxes for box in row), tuple(links), told)


def _rows(chain: Chain, image: ImageResult, trust: TrustFacts | None) -> Iterator[tuple[_Part, ...]]:
    fact = chain.fact
    yield (_pin(trust),)
    if trust is not None:
        versions = ", ".join(f"{role.role} {role.version}" for role in trust.roles if role.role in ("root", "targets"))
        yield (_Part("trust", "Trust metadata", (versions or f"root {trust.root_version}",), "threshold signatures"),)
    yield (_Part("trust", "Trusted material", (chain.target or "a key in the site's policy",), "lists"),)
    log = chain.logs[0] if chain.logs else None
    middle = []
    if chain.authority:
        middle.append(_Part("who", "Certificate authority", (chain.authority,), "holds"))
    if log is not None:
        place = "" if log.log_index is None else f"entry {log.log_index}"
        proof = f"proved in {log.tree_size} entries" if log.proved else "inclusion promised"
        texts = tuple(text for text in (log.log_url, place, proof) if text)
        middle.append(_Part("log", "Transparency log", texts, "holds", weak=not log.proved))
    if middle:
        yield tuple(middle)
    who = (fact.signer, fact.issuer) if fact.issuer else (fact.signer,)
    yield (_Part("who", "Signer", who, "vouched for" if chain.authority else "key of"),)
    when = (f"at {fact.signed_at:%Y-%m-%d %H:%M} UTC",) if fact.signed_at else ()
    yield (_Part("proof", fact.kind.capitalize(), (fact.predicate_type or "of the image", *when), "signed"),)
    about = fact.platform or ("whole image" if fact.subject == image.digest else "a part of it")
    yield (_Part("image", "Image", (image.name, f"{about}, {short(fact.subject)}"), "about"),)


def _pin(trust: TrustFacts | None) -> _Part:
    if trust is None or trust.pin is None:
        return _Part("none", "No pinned root", ("the file's own metadata proves nothing",))
    site = (f"site {trust.site}",) if trust.site else ()
    return _Part("trust", "Pinned root", (_first_digits(trust.pin), *site))


def _first_digits(digest: Digest) -> str:
    return f"{digest.algorithm}:{digest.hex[:32]}…"


def _links(upper: list[Box], lower: list[Box], parts: tuple[_Part, ...]) -> Iterator[Link]:
    """Lines between two rows: straight, or out from one box to two, or together again. The word stands at the stem."""
    forks = len(lower) > len(upper)
    for start in upper:
        for end, part in zip(lower, parts, strict=True):
            top, bottom = start.y + start.height, end.y - 1
            out, into = start.x + start.width // 2, end.x + end.width // 2
            across = bottom - 10 if forks else top + 8
            path = f"M{out} {top}V{bottom}" if out == into else f"M{out} {top}V{across}H{into}V{bottom}"
            told = start is upper[0] and end is lower[0]
            middle = (top + across) // 2 if forks else ((across if len(upper) > 1 else top) + bottom) // 2
            yield Link(
                path, into, bottom, part.word if told else "", WIDTH // 2 + 8, middle + 4, start.weak or end.weak
            )


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Lines of at most `width` units, the last one cut."""
    columns = int((width - 24) / _UNITS_PER_COLUMN)
    rest = escape(text)
    for number in range(_MOST_LINES):
        fits = _fitting(rest, columns)
        if fits == len(rest) or number == _MOST_LINES - 1:
            yield rest if fits == len(rest) else f"{rest[: max(fits - 1, 1)]}…"
            return
        joint = max(rest.rfind(mark, 0, fits) for mark in "/@. ") + 1
        fits = joint if joint > fits * 2 // 3 else fits
        yield rest[:fits]
        rest = rest[fits:]


def _fitting(text: str, columns: int) -> int:
    """How many characters fit, wide ones counting twice."""
    used = 0
    for position, char in enumerate(text):
        used += 1 if char.isascii() else 2
        if used > columns:
            return position
    return len(text)
