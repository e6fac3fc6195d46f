"""Image patterns of a policy, matched against normalised references.

Rules: `*` stands for any characters within one path component, `**` for any characters at all; everything else is
literal. A pattern without a tag or digest speaks of every tag of the repository. A pattern without wildcards is
normalised as Docker does (`alpine` means docker.io/library/alpine); one with wildcards has to name its registry, so
that nobody believes that `team/*` meant something.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bundler import limits
from bundler.errors import MalformedError
from bundler.oci.reference import parse_reference

_ALLOWED = re.compile(r"[A-Za-z0-9._:/@\[\]*-]+", re.ASCII)
_REGISTRY = re.compile(r"(\*\*?|localhost|[^/]*[.:\]][^/]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ImagePattern:
    """A pattern as written, and the regular expression that it means."""

    text: str
    whole: re.Pattern[str]
    any_tag: bool

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
