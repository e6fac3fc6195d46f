"""Changes of JSON documents, in structure and in spelling: every place of a document, every change that fits there.

    for mutant in json_mutants(raw):
        mutant.path, mutant.change, mutant.raw           # ("tlogEntries", 0, "logIndex"), "removed", b"{…"

A document is changed in one point; everything else stays as it is. What may mean the same as before (white space,
order) is in the list too: whoever judges says which of these are allowed.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]
BASE64_KEYS = frozenset(
    {
        "rawBytes", "keyId", "signedEntryTimestamp", "rootHash", "hashes", "canonicalizedBody", "signedTimestamp",
        "digest", "signature", "payload", "sig", "content",
    }
)  # fmt: skip
OTHERS: tuple[object, ...] = (None, True, 0, -1, 1.5, "", "0", [], {}, [None], {"": ""})
FLIPS = 12


@dataclass(frozen=True)
class Mutant:
    """A changed document, made when it is asked for."""

    path: Path
    change: str
    make: Callable[[], bytes] = field(repr=False)

    @property
    def raw(self) -> bytes:
        """The document."""
        return self.make()

    @property
    def name(self) -> str:
        """For a table: `tlogEntries.0.logIndex: removed`."""
        return f"{'.'.join(map(str, self.path))}: {self.change}"


class Pairs(list[tuple[str, Any]]):
    """An object as pairs: keys may stand twice."""


def dump(value: object) -> bytes:
    """Compact JSON; objects may be `Pairs`."""
    if isinstance(value, Pairs):
        return b"{" + b",".join(json.dumps(key).encode() + b":" + dump(item) for key, item in value) + b"}"
    if isinstance(value, dict):
        return dump(Pairs(value.items()))
    if isinstance(value, list):
        return b"[" + b",".join(map(dump, value)) + b"]"
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def places(value: object, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value of a document with its path, from outside to inside."""
    yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*path, key))


def put(document: Any, path: Path, change: Callable[[Any], object]) -> Any:
    """A copy with the value at `path` replaced by `change` of it."""
    if not path:
        return change(document)
    if isinstance(document, dict):
        return {key: put(item, path[1:], change) if key == path[0] else item for key, item in document.items()}
    return [put(item, path[1:], change) if place == path[0] else item for place, item in enumerate(document)]


def json_mutants(raw: bytes) -> Iterator[Mutant]:
    """All mutants of a document in compact JSON."""
    document = json.loads(raw)
    for path, value in places(document):
        for change, new in value_changes(path, value):
            yield replaced(document, path, change, new)
        if path and isinstance(path[-1], str):
            for change, renew in KEYS.items():
                yield _changed(document, path, change, rekeyed(path[-1], renew))
        elif path:
            yield _changed(document, path, "removed", _without(path[-1]))
    yield from _spellings(raw)


def replaced(document: Any, path: Path, change: str, new: object) -> Mutant:
    """The document with another value at one place."""
    return Mutant(path, change, lambda: dump(put(document, path, lambda _: new)))


def _changed(document: Any, path: Path, change: str, how: Callable[[Any], object]) -> Mutant:
    """The document with the object or list around one place changed."""
    return Mutant(path, change, lambda: dump(put(document, path[:-1], how)))


Rekey = Callable[[str, Any], list[tuple[str, Any]]]
KEYS: dict[str, Rekey] = {
    "removed": lambda _key, _value: [],
    "key twice": lambda key, value: [(key, value), (key, value)],
    "key twice, null first": lambda key, value: [(key, None), (key, value)],
    "key twice, null last": lambda key, value: [(key, value), (key, None)],
    "key in capitals": lambda key, value: [(key.upper(), value)],
    "key with another first letter": lambda key, value: [(key[:1].swapcase() + key[1:], value)],
    "key with its other case too": lambda key, value: [(key, value), (key[:1].swapcase() + key[1:], value)],
    "key in snake_case": lambda key, value: [(re.sub(r"([A-Z])", r"_\1", key).lower() + "_", value)],
    "key with a space": lambda key, value: [(f"{key} ", value)],
    "key with a NUL": lambda key, value: [(f"{key}\0", value)],
    "unknown key beside it": lambda key, value: [(key, value), ("x", value)],
}


def rekeyed(key: str, renew: Rekey) -> Callable[[dict[str, Any]], Pairs]:
    def change(fields: dict[str, Any]) -> Pairs:
        renewed = (renew(old, item) if old == key else [(old, item)] for old, item in fields.items())
        return Pairs(pair for pairs in renewed for pair in pairs)

    return change


def _without(place: int | str) -> Callable[[list[Any]], list[Any]]:
    return lambda items: [item for position, item in enumerate(items) if position != place]


def value_changes(path: Path, value: Any) -> Iterator[tuple[str, object]]:
    for other in OTHERS:
        if other != value or type(other) is not type(value):
            yield f"replaced by {json.dumps(other)}", other
    yield "in a list", [value]
    yield "in an object", {"value": value}
    if isinstance(value, list):
        yield from _lists(value)
    elif isinstance(value, dict):
        yield "keys in reverse", dict(reversed(value.items()))
    elif isinstance(value, str):
        yield from _texts(path, value)


def _lists(items: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    yield "with null", [*items, None]
    yield "100 times", items * 100
    if items:
        yield "twice", items * 2
        yield "first item again", [*items, items[0]]
    if len(items) > 1:
        yield "in reverse", items[::-1]


def _texts(path: Path, text: str) -> Iterator[tuple[str, object]]:
    yield "with a space behind", f"{text} "
    yield "with a space before", f" {text}"
    yield "with a NUL behind", f"{text}\0"
    yield "without its last character", text[:-1]
    yield "upper and lower case swapped", text.swapcase()
    yield "a letter that looks alike", text.replace("a", "\u0430", 1) if "a" in text else f"{text}\u200b"
    if re.fullmatch("[0-9]+", text, re.ASCII):
        yield from _numbers(int(text))
    elif next((key for key in reversed(path) if isinstance(key, str)), "") in BASE64_KEYS:
        yield from _base64s(text)


def _numbers(number: int) -> Iterator[tuple[str, object]]:
    for new in (number + 1, number - 1, 0, 2 * number, number + 2**32, number + 2**64, 2**63 - 1, 2**63, 10**30):
        yield f"number {new}", str(new)
    yield from {
        "leading zero": f"0{number}", "plus": f"+{number}", "hexadecimal": hex(number), "exponent": f"{number}e0",
        "fraction": f"{number}.0", "Arabic digits": str(number).translate({48 + n: 0x660 + n for n in range(10)}),
        "underscore": f"{str(number)[:1]}_{str(number)[1:]}",
    }.items()  # fmt: skip
    yield "as a JSON number", number
    yield "as a JSON number with a fraction", float(number)


def _base64s(text: str) -> Iterator[tuple[str, str]]:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return
    if not raw:
        return
    yield "base64 with a line end", f"{text[:4]}\n{text[4:]}"
    yield "base64 without padding", text.rstrip("=") + ("" if text.endswith("=") else "A")
    yield "base64 with more padding", f"{text}===="
    yield "base64 for URLs", text.translate({43: 45, 47: 95}) if set(text) & set("+/") else f"-{text[1:]}"
    yield "base64 twice", encoded(text.encode())
    if text.endswith("="):
        spare = text.rstrip("=")
        yield "base64 with spare bits", f"{spare[:-1]}{chr(ord(spare[-1]) + 1)}{'=' * (len(text) - len(spare))}"
    for change, new in byte_changes(raw).items():
        yield change, encoded(new)


def byte_changes(raw: bytes) -> dict[str, bytes]:
    """Changes of bytes that know nothing of what they mean."""
    found = {
        "a zero behind": raw + b"\0", "a zero before": b"\0" + raw, "doubled": raw * 2, "reversed": raw[::-1],
        "all zeros": bytes(len(raw)), "first byte missing": raw[1:], "last byte missing": raw[:-1],
        "first half": raw[: len(raw) // 2], "many bytes": bytes(100_000),
    }  # fmt: skip
    for place in sorted({len(raw) * part // FLIPS for part in range(FLIPS)} | {len(raw) - 1}):
        found[f"bit of byte {place}"] = raw[:place] + bytes([raw[place] ^ 1 << place % 8]) + raw[place + 1 :]
    return {change: new for change, new in found.items() if new != raw}


def encoded(raw: bytes) -> str:
    """Base64."""
    return base64.b64encode(raw).decode()


def _spellings(raw: bytes) -> Iterator[Mutant]:
    """Changes of the text as a whole; the first three mean the same as before."""
    yield Mutant((), "white space", lambda: json.dumps(json.loads(raw), indent=1).encode())
    yield Mutant((), "line end behind", lambda: raw + b"\n")
    yield Mutant((), "letters as escapes", lambda: raw.replace(b'"mediaType"', b'"\\u006dediaType"'))
    for change, new in {
        "a second document": raw + raw, "a comma behind": raw[:-1] + b",}", "a byte order mark": b"\xef\xbb\xbf" + raw,
        "UTF-16": raw.decode().encode("utf-16"), "a comment": b"/* */" + raw, "a NUL behind": raw + b"\0",
        "a bad byte": raw.replace(b":", b':"\xff",', 1), "a lone surrogate": raw.replace(b'":"', b'":"\\ud800', 1),
        "nothing": b"", "a brace missing": raw[:-1], "deep": b"[" * 100_000 + raw,
        "single quotes": raw.replace(b'"', b"'"), "NaN": raw.replace(b"{", b'{"x":NaN,', 1),
    }.items():  # fmt: skip
        yield Mutant((), change, lambda new=new: new)  # type: ignore[misc]
