"""Values that a policy compares: exactly, or in full by a pattern.

Rules of this module:
- A key `x` has a twin `x_regexp`; exactly one of them is typed. An empty value is an error, never a default.
- A pattern is written with `^` and `$`, and matches the whole value in any case. One without them is an error with the
  anchored form as a hint: where patterns match parts, `github.com/team` also means `github.com/team-of-somebody-else`.
"""

from __future__ import annotations

import re
import warnings

from bundler.errors import UsageError
from bundler.fields import Fields
from bundler.value import dataclass

REGEXP = "_regexp"
_NUMBER, _BEHIND = "(?:0|[1-9][0-9]*)", r"(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_VERSION = re.compile(rf"v{_NUMBER}(?:\.{_NUMBER}(?:\.{_NUMBER}{_BEHIND})?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TextRule:
    """One value: exactly `exact`, or in full matched by `pattern`."""

    exact: str | None = None
    pattern: re.Pattern[str] | None = None

    def holds(self, value: str) -> bool:
        """Whether `value` is the one demanded. The whole value must match, also for patterns."""
        if self.pattern is not None:
            return self.pattern.fullmatch(value) is not None
        return value == self.exact

    def __str__(self) -> str:
        return self.pattern.pattern if self.pattern is not None else str(self.exact)


@dataclass(frozen=True, slots=True)
class VersionRule:
    """A semantic version as far as it is written: `v1` holds for `v1.2.3`, `v1.2.3` only for itself.

    This is what slsa-verifier's `--source-versioned-tag` does; the last part keeps what stands behind its number.
    """

    version: str

    def holds(self, value: str) -> bool:
        """Whether `value` is a semantic version that begins with all the parts demanded."""
        demanded = self.version.split(".", 2)
        return bool(_VERSION.fullmatch(value)) and value.split(".", 2)[: len(demanded)] == demanded

    def __str__(self) -> str:
        return f"{self.version}, as far as it goes"


def parse_version_rule(fields: Fields, key: str) -> VersionRule | None:
    """Read a semantic version; None where the key is not typed.

    Raises:
        UsageError: no semantic version with a `v` before it (code ``policy``).
    """
    version = fields.optional_text(key)
    if version is None:
        return None
    if not _VERSION.fullmatch(version):
        raise wrong(f"{fields.where}.{key}", version[:80], "a semantic version: v1, v1.2, or v1.2.3")
    return VersionRule(version)


def has_text_rule(fields: Fields, key: str) -> bool:
    """Whether `key` or its twin is typed."""
    return key in fields or f"{key}{REGEXP}" in fields


def parse_text_rule(fields: Fields, key: str) -> TextRule:
    """Read `key` or its twin.

    Raises:
        UsageError: none, both, empty, or a pattern that is not anchored or not one (code ``policy``).
    """
    exact, regexp = fields.optional_text(key), fields.optional_text(f"{key}{REGEXP}")
    where = f"{fields.where}.{key}"
    if (exact is None) == (regexp is None):
        raise wrong(where, "none, or both forms", f"`{key}` or `{key}{REGEXP}`")
    if regexp is None:
        if not exact:
            raise wrong(where, "empty", "a value")
        return TextRule(exact=exact)
    if not _is_anchored(regexp):
        anchored = f"^{regexp.removeprefix('^').removesuffix('$')}$"
        raise UsageError(
            "policy", "policy", f"{where}{REGEXP}", got="not anchored", want="^…$",
            hints=[f"the whole value has to match: write {anchored}"],
        )  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what a later Python will read otherwise has no one meaning
            return TextRule(pattern=re.compile(regexp))
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise wrong(f"{where}{REGEXP}", str(error), "a regular expression") from error


def wrong(where: str, got: str, want: str) -> UsageError:
    """The error for a policy that says something else than it may."""
    return UsageError("policy", "policy", where, got=got, want=want, hints=["sealift help policy"])


def _is_anchored(regexp: str) -> bool:
    body = regexp[:-1]
    escapes = len(body) - len(body.rstrip("\\"))
    return regexp.startswith("^") and regexp.endswith("$") and escapes % 2 == 0
