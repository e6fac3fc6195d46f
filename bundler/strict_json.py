r"""JSON with one meaning (RFC 8259), and the one canonical form of everything that we sign.

Rules of this module:
- Two readers. `parse_foreign` reads documents of others (manifests, statements, SBOMs): their bytes are kept and hashed
  as they are, but a document that two parsers could read differently is refused: duplicate keys, NaN and infinities,
  numbers that overflow or underflow, integers beyond 64 bits, lone surrogates, byte order marks, other encodings.
- `parse_canonical` reads documents that we sign (inventory, TUF metadata). Parse, then format, must give back the same
  bytes; so there is no second spelling of anything.
- Canonical form: UTF-8; keys ASCII, sorted by code point; separators `,` and `:`; only `"` and `\` escaped; no control
  characters; no floats; integers 0 to 2^53-1; no final newline. These are also the bytes that TUF signs.
- Everything is bounded before the parser runs (size, depth), so no input can exhaust the stack.
"""

from __future__ import annotations

import contextlib
import gc
import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from bundler import limits
from bundler.errors import MalformedError

MAX_SAFE_INTEGER = 2**53 - 1

_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1
_INTEGER_DIGITS = 20  # digits of 2^64
_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{]|[\]}]', re.DOTALL)
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_STRING_MARKS = re.compile(rb'"[^"]*"')
_NOT_PLAIN = re.compile(rb"[\x00-\x1f\x7f\\]")
_ODD_MARKS = re.compile(rb"[^\[\]{}:,0-9a-z]|[0-9][a-z]|[0-9]{16}")
_NO_MARKS = bytes(byte for byte in range(256) if byte not in b'"[]{}')
_ROUND = bytes.maketrans(b"[{]}", b"(())")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_foreign(raw: bytes, what: str = "JSON document", *, max_bytes: int = limits.JSON_DOCUMENT_BYTES) -> Any:
    """Parse a document of others into dict, list, str, int, float, bool and None.

    Args:
        raw: the document's bytes; the caller has hashed them already.
        what: how errors name the document.
        max_bytes: upper bound for its size.

    Raises:
        MalformedError: code ``json`` and the like; never any other exception.
    """
    if len(raw) > max_bytes:
        raise MalformedError("json-size", what, got=f"{len(raw)} bytes", want=f"at most {max_bytes}")
    _check_depth(raw, what)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError("json-encoding", what, got=f"byte {error.start} is not UTF-8", want="UTF-8") from error
    if text.startswith("\ufeff"):
        raise MalformedError("json-encoding", what, got="a byte order mark", want="none")
    value = _load(text, what)
    if _SURROGATE_ESCAPE.search(raw):
        _check_no_lone_surrogate(value, what)
    return value


def parse_canonical(raw: bytes, what: str = "signed document", *, max_bytes: int = limits.INVENTORY_BYTES) -> Any:
    """Parse a document in our canonical form; `format_canonical` of the result is `raw`.

    Raises:
        MalformedError: not JSON, or not the canonical spelling (code ``not-canonical``).
    """
    value = parse_foreign(raw, what, max_bytes=max_bytes)
    if not _is_plainly_canonical(value, raw) and format_canonical(value, what) != raw:
        raise MalformedError("not-canonical", what, got="another spelling", want="canonical JSON")
    return value


def _is_plainly_canonical(value: Any, raw: bytes) -> bool:
    """A quick yes for large documents: plain ASCII, and but for strings only brackets, words and integers below 10^15.

    There the standard encoder spells everything as we do. Anything else is left to `format_canonical`.
    """
    if not raw.isascii() or _NOT_PLAIN.search(raw) or _ODD_MARKS.search(_STRING_MARKS.sub(b"", raw)):
        return False
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() == raw


def format_canonical(value: Any, what: str = "signed document") -> bytes:
    """Bytes of `value` in canonical form, the inverse of `parse_canonical`.

    Raises:
        MalformedError: a float, a negative or large integer, a control character, a key that is not ASCII, or nesting
            that is too deep (code ``not-canonical``).
    """
    parts: list[str] = []
    _format(value, what, parts, 0)
    try:
        return "".join(parts).encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedError("not-canonical", what, got="a lone surrogate", want="Unicode text") from error


def _format(value: Any, what: str, parts: list[str], depth: int) -> None:
    if depth > limits.JSON_DEPTH:
        raise MalformedError("not-canonical", what, got="too deep", want=f"at most {limits.JSON_DEPTH} levels")
    if isinstance(value, str):
        parts.append(_format_string(value, what))
    elif value is None or isinstance(value, bool):
        parts.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, int):
        if not 0 <= value <= MAX_SAFE_INTEGER:
            raise MalformedError("not-canonical", what, got=f"integer {value}"[:60], want="0 to 2^53-1")
        parts.append(str(value))
    elif isinstance(value, dict):
        _format_object(value, what, parts, depth)
    elif isinstance(value, (list, tuple)):
        parts.append("[")
        for position, item in enumerate(value):
            if position:
                parts.append(",")
            _format(item, what, parts, depth + 1)
        parts.append("]")
    else:
        raise MalformedError("not-canonical", what, got=type(value).__name__, want="no such type")


def _format_object(value: dict[Any, Any], what: str, parts: list[str], depth: int) -> None:
    if not all(isinstance(key, str) and key.isascii() for key in value):
        raise MalformedError("not-canonical", what, got="a key that is not ASCII", want="ASCII keys")
    parts.append("{")
    for position, key in enumerate(sorted(value)):
        if position:
            parts.append(",")
        parts.append(_format_string(key, what))
        parts.append(":")
        _format(value[key], what, parts, depth + 1)
    parts.append("}")


def _format_string(text: str, what: str) -> str:
    if _CONTROL.search(text):
        raise MalformedError("not-canonical", what, got="a control character", want="none")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _check_depth(raw: bytes, what: str) -> None:
    if raw.count(b"[") + raw.count(b"{") <= limits.JSON_DEPTH or _is_shallow(raw):
        return
    depth = 0
    for match in _BRACKETS.finditer(raw):
        first = raw[match.start()]
        if first in b"[{":
            depth += 1
            if depth > limits.JSON_DEPTH:
                raise MalformedError("json-depth", what, got="deeper", want=f"at most {limits.JSON_DEPTH} levels")
        elif first in b"]}":
            depth -= 1


def _is_shallow(raw: bytes) -> bool:
    """Whether brackets close within the limit: a quick yes for large documents; anything odd is left to the loop.

    Escapes go first, then everything but quotes and brackets, then strings; each further round takes off one level.
    """
    plain = _ESCAPE.sub(b"", raw) if b"\\" in raw else raw
    marks = plain.translate(None, _NO_MARKS).replace(b'""', b"")
    brackets = _STRING_MARKS.sub(b"", marks).translate(_ROUND)
    for _ in range(limits.JSON_DEPTH):
        if not brackets:
            break
        brackets = brackets.replace(b"()", b"")
    return not brackets


def _load(text: str, what: str) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) != len(items):
            keys = [key for key, _ in items]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise MalformedError("json-duplicate-key", what, got=f"key {twice[:80]!r} twice", want="each key once")
        return result

    def constant(name: str) -> NoReturn:
        raise MalformedError("json-number", what, got=name, want="a finite number")

    def integer(digits: str) -> int:
        value = int(digits) if len(digits) <= _INTEGER_DIGITS + 1 else _UINT64_MAX + 1
        if not _INT64_MIN <= value <= _UINT64_MAX:
            raise MalformedError("json-number", what, got="an integer beyond 64 bits", want="64 bits")
        return value

    def real(digits: str) -> float:
        value = float(digits)
        mantissa = digits.lower().partition("e")[0]
        if value in (float("inf"), float("-inf")) or (value == 0 and mantissa.strip("-0.")):
            raise MalformedError("json-number", what, got=digits[:40], want="a number that a double can hold")
        return value

    try:
        with collector_paused():
            return json.loads(
                text, object_pairs_hook=pairs, parse_constant=constant, parse_int=integer, parse_float=real, strict=True
            )
    except (ValueError, RecursionError) as error:
        raise MalformedError("json", what, got=str(error)[:120], want="JSON") from error


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the search for reference cycles while documents are read: they have none, each search walks them all."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def _check_no_lone_surrogate(value: Any, what: str) -> None:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if any("\ud800" <= character <= "\udfff" for character in item):
                raise MalformedError("json-surrogate", what, got="a lone surrogate", want="Unicode text")
        elif isinstance(item, dict):
            pending.extend(item)
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
