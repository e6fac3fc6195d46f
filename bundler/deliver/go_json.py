r"""JSON as `docker buildx imagetools inspect --format "{{ json … }}"` prints it, that is Go's `json.MarshalIndent`.

buildx decodes a predicate into Go's untyped values and prints them again, so what scripts compare with is not the
predicate's own bytes. The rules are those of Go 1.22 and later (encoding/json):
- Keys of objects are sorted by their bytes; every value of an object or array stands on a line of its own, indented by
  two spaces; empty ones are `{}` and `[]`; no newline at the end.
- Numbers are float64: the shortest digits that give the same value back, without an exponent from 1e-6 up to below
  1e21; an exponent has a sign and no leading zero. So 9007199254740993 is printed as 9007199254740992, and -0 stays.
- In strings `"` and `\` are escaped, control characters (`\b \f \n \r \t`, others as `\u00XX`), `<`, `>`, `&`, U+2028
  and U+2029; nothing else, so DEL and all other characters stand as they are.

`GoStruct` stands for a Go struct: its fields keep their order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from bundler import limits
from bundler.errors import MalformedError
from bundler.strict_json import parse_foreign

_INDENT = "  "
_ESCAPED = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SMALLEST_PLAIN, _LARGEST_PLAIN = 1e-6, 1e21


class GoStruct(dict[str, Any]):
    """A Go struct: fields in their order, not sorted."""


def parse_for_go(raw: bytes, what: str) -> Any:
    """Read a document as Go's `json.Unmarshal` into `interface{}` does: every number becomes a float64.

    Raises:
        MalformedError: as `parse_foreign`.
    """
    parse_foreign(raw, what, max_bytes=limits.EVIDENCE_BLOB_BYTES)  # refuses what has no one meaning
    return json.loads(raw, parse_int=float)


def format_go(value: Any) -> str:
    """The text that Go prints for a value.

    Args:
        value: dict, `GoStruct`, list, str, float, int, bool and None.

    Raises:
        MalformedError: deeper than `limits.JSON_DEPTH` below the outermost (code ``json-depth``).
    """
    return "".join(_format(value, "\n", 0))


def _format(value: Any, line: str, depth: int) -> Iterator[str]:
    if isinstance(value, dict):
        keys = list(value) if isinstance(value, GoStruct) else sorted(value)
        yield from _lines(((f"{_string(key)}: ", value[key]) for key in keys), "{}", line, depth)
    elif isinstance(value, list):
        yield from _lines((("", item) for item in value), "[]", line, depth)
    elif isinstance(value, str):
        yield _string(value)
    elif isinstance(value, bool) or value is None:
        yield {True: "true", False: "false", None: "null"}[value]
    else:
        yield _number(float(value))


def _lines(items: Iterator[tuple[str, Any]], brackets: str, line: str, depth: int) -> Iterator[str]:
    if depth > limits.JSON_DEPTH + 4:
        raise MalformedError("json-depth", "JSON value", got="deeper", want=f"at most {limits.JSON_DEPTH} levels")
    inner = line + _INDENT
    mark = brackets[0]
    for key, item in items:
        yield f"{mark}{inner}{key}"
        yield from _format(item, inner, depth + 1)
        mark = ","
    yield brackets if mark == brackets[0] else f"{line}{brackets[1]}"


def _string(text: str) -> str:
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    found = match.group()
    return _SHORT.get(found) or f"\\u{ord(found):04x}"


def _number(value: float) -> str:
    """`strconv.AppendFloat` with the shortest digits, in the form that encoding/json chooses."""
    digits, exponent = _shortest(abs(value))
    sign = "-" if str(value).startswith("-") else ""
    if value != 0 and not _SMALLEST_PLAIN <= abs(value) < _LARGEST_PLAIN:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        mark = "+" if exponent > 0 else "-"
        return f"{sign}{digits[0]}{fraction}e{mark}{abs(exponent - 1)}"
    if exponent <= 0:
        return f"{sign}0.{'0' * -exponent}{digits}"
    whole, rest = digits[:exponent].ljust(exponent, "0"), digits[exponent:]
    return f"{sign}{whole}.{rest}" if rest else f"{sign}{whole}"


def _shortest(value: float) -> tuple[str, int]:
    """Shortest digits that give the value back, and where the point stands: 0.<digits> times ten to that power."""
    if value == 0:
        return "0", 1
    mantissa, _, power = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    point = len(whole) + int(power or 0)
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    return stripped.rstrip("0") or "0", point
