"""Image patterns of a policy, matched against normalised references.

Rules: `*` stands for any characters within one path component, `**` for any characters at all; everything else is
literal. A pattern without a tag or digest speaks of every tag of the repository. A pattern without wildcards is
normalised as Docker does (`alpine` means docker.io/library/alpine); one with wildcards has to name its registry, so
that nobody believes that `team/*` meant something.
"""

from __future__ import annotations

import re

from bundler import limits
from bundler.errors import MalformedError
from bundler.oci.reference import parse_reference
from bundler.value import dataclass

_ALLOWED = re.compile(r"[A-Za-z0-9._:/@\[\]*-]+", re.ASCII)
_WILD = ("*", "**")
_ANOTHER = "\0"  # any character that no pattern names
_MOST_STATES, _MOST_WILDCARDS = 1000, 8  # beyond them, nothing is said to be covered
_REGISTRY = re.compile(r"(\*\*?|localhost|[^/]*[.:\]][^/]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ImagePattern:
    """A pattern as written, and the regular expression that it means."""

    text: str
    whole: re.Pattern[str]
    any_tag: bool

    @property
    def start(self) -> str:
        """What every name that it means begins with."""
        return self.text.partition("*")[0]

    def matches(self, name: str) -> bool:
        """Whether `name` (a normalised reference) is meant."""
        return self.whole.fullmatch(_repository(name) if self.any_tag else name) is not None


def parse_image_pattern(text: str) -> ImagePattern:
    """Parse one entry of a rule's `images`.

    Raises:
        MalformedError: empty, too long, or a wildcard pattern without a registry (code ``image-pattern``).
    """
    if len(text) > limits.REFERENCE_CHARACTERS or not _ALLOWED.fullmatch(text):
        raise MalformedError(
            "image-pattern", "image pattern", repr(text[:80]), got="not a pattern", want="a name with * or **"
        )
    any_tag = _repository(text) == text
    if "*" not in text:
        reference = parse_reference(text)
        text = reference.name if any_tag else str(reference)
    elif text.strip("*") and not _REGISTRY.fullmatch(text.partition("/")[0]):
        raise MalformedError(
            "image-pattern", "image pattern", text, got="no registry before the first /",
            want="for instance docker.io/" + text,
        )  # fmt: skip
    return ImagePattern(text, re.compile(_expression(text)), any_tag)


def _repository(name: str) -> str:
    """`name` without `@digest` and without `:tag` (a colon in the last path component)."""
    name = name.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def _expression(text: str) -> str:
    parts = re.split(r"(\*+)", text)
    return "".join({"": "", "*": "[^/]*"}.get(part, ".*") if set(part) <= {"*"} else re.escape(part) for part in parts)


def covers_all(pattern: ImagePattern) -> bool:
    """Whether every image has such a name."""
    return len(pattern.text) > 1 and set(pattern.text) == {"*"}


def covers(wide: ImagePattern, narrow: ImagePattern) -> bool:
    """Whether every name that `narrow` means is one that `wide` means.

    Exact for one pattern against one; names that only several patterns together cover are not looked for. Walks both
    at once: a place of `narrow` with all the places where `wide` can be after the same characters.
    """
    if not wide.any_tag and narrow.any_tag:
        return False
    inner = _repository(narrow.text) if wide.any_tag else narrow.text
    if wide.text.count("*") > _MOST_WILDCARDS:
        return wide.text == inner
    if not inner.startswith(wide.start):
        return False
    outside, inside = _tokens(wide.text), _tokens(inner)
    letters = {*outside, *inside, "/", _ANOTHER} - set(_WILD)
    start = (0, _skipping(outside, frozenset({0})))
    seen, waiting = {start}, [start]
    while waiting and len(seen) <= _MOST_STATES:
        place, others = waiting.pop()
        if len(inside) in _skipping(inside, frozenset({place})) and len(outside) not in others:
            return False
        for letter in letters:
            reached = _skipping(outside, _step(outside, others, letter))
            for step in _step(inside, _skipping(inside, frozenset({place})), letter):
                state = (step, reached)
                if state not in seen:
                    seen.add(state)
                    waiting.append(state)
    return not waiting


def _tokens(text: str) -> tuple[str, ...]:
    """One character each; `*`, and `**` for two or more."""
    return tuple(token if len(token) == 1 else "**" for token in re.findall(r"\*+|[^*]", text))


def _skipping(tokens: tuple[str, ...], places: frozenset[int]) -> frozenset[int]:
    """These places, and those behind wildcards that stand for nothing."""
    found = set(places)
    for start in places:
        ends = (place for place in range(start, len(tokens)) if tokens[place] not in _WILD)
        found.update(range(start, next(ends, len(tokens)) + 1))
    return frozenset(found)


def _step(tokens: tuple[str, ...], places: frozenset[int], letter: str) -> frozenset[int]:
    """Where one may be after one more character."""
    found = set()
    for place in places:
        here = tokens[place] if place < len(tokens) else ""
        if here == _WILD[1] or (here == _WILD[0] and letter != "/"):
            found.add(place)
        elif here == letter:
            found.add(place + 1)
    return frozenset(found)
