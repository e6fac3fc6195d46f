"""Changes of Sigstore bundles: as JSON, and inside of what they carry in base64 or as text.

    for mutant in bundle_mutants(raw, donor):
        mutant.path, mutant.change, mutant.raw

- every change of the JSON (json_mutations.py);
- every DER element of certificates, timestamps and signatures, with lengths put right (der_mutations.py);
- every line of checkpoints; every change of the JSON inside a log entry's body;
- every value in turn replaced by that of another genuine bundle.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from tests.simulators.der_mutations import der_mutants, other_signature
from tests.simulators.json_mutations import Mutant, Path, dump, encoded, json_mutants, places, replaced

DER_KEYS = frozenset({"rawBytes", "signedTimestamp", "signature", "sig", "signedEntryTimestamp"})
DASH = "\u2014"


def bundle_mutants(raw: bytes, donor: bytes | None = None) -> Iterator[Mutant]:
    """All mutants of a Sigstore bundle; with a donor, its parts too. Some change nothing (zeros reversed)."""
    document = json.loads(raw)
    yield from json_mutants(dump(document))
    for path, value in places(document):
        for change, new in _inside(path, value):
            yield replaced(document, path, change, new)
    if donor is not None:
        given = dict(places(json.loads(donor)))
        common = [path for path, _ in places(document) if path and path in given]
        yield from (replaced(document, path, "of another bundle", given[path]) for path in common)


def _inside(path: Path, value: Any) -> Iterator[tuple[str, str]]:
    key = path[-1] if path else ""
    if key in DER_KEYS:
        yield from ((change, encoded(new)) for change, new in der_mutants(base64.b64decode(value)))
    elif key == "canonicalizedBody":
        for mutant in json_mutants(base64.b64decode(value)):
            yield f"body {mutant.name}", encoded(mutant.raw)
    elif key == "envelope":
        yield from note_mutants(value)


def note_mutants(note: str) -> Iterator[tuple[str, str]]:
    """What was changed, and the changed note."""
    lines = note.split("\n")
    for number, line in enumerate(lines[:-1]):
        before, after = lines[:number], lines[number + 1 :]
        for change, new in _line_changes(line, lines):
            yield f"line {number} {change}", "\n".join([*before, *new, *after])
    text, _, signatures = note.partition("\n\n")
    yield "without its last line end", note[:-1]
    yield "line ends of Windows", note.replace("\n", "\r\n")
    yield "signatures only", f"\n{signatures}"
    yield "text only", f"{text}\n\n"
    yield "twice", note + note
    yield "40 times the signatures", f"{text}\n\n" + signatures * 40
    yield "200 strangers", note + f"{DASH} stranger {encoded(bytes(68))}\n" * 200
    yield "a stranger behind", note + f"{DASH} stranger {encoded(bytes(68))}\n"
    yield "a stranger before", f"{text}\n\n{DASH} stranger {encoded(bytes(68))}\n{signatures}"
    yield "a line of text behind", note + "more\n"
    yield "a line of text more", f"{text}\nmore\n\n{signatures}"
    yield "junk with the log's name", note + signatures.partition("\n")[0].rpartition(" ")[0] + " AAAAAAAA\n"
    yield "long", note + "x" * 100_000


def _line_changes(line: str, lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    yield "removed", []
    yield "twice", [line, line]
    yield "emptied", [""]
    yield "with a space behind", [f"{line} "]
    yield "with a space before", [f" {line}"]
    yield "with a tab", [line.replace(" ", "\t", 1) + "\t" * (" " not in line)]
    yield "with a return", [f"{line}\r"]
    yield "with a NUL", [f"{line}\0"]
    yield "without its last character", [line[:-1]]
    yield "with another letter", [chr(ord(line[0]) ^ 1) + line[1:]] if line else ["x"]
    for number, other in enumerate(lines[:3]):
        if other != line:
            yield f"replaced by line {number}", [other]
    if line.isdecimal():
        yield from ((f"number {new}", [new]) for new in (f"0{line}", f"+{line}", str(int(line) + 1), f"{line}.0", "-1"))
    if line.startswith(DASH) and line.count(" ") == 2:
        yield from _signature_changes(*line.split(" "))


def _signature_changes(dash: str, name: str, value: str) -> Iterator[tuple[str, list[str]]]:
    try:
        raw = base64.b64decode(value, validate=True)
    except ValueError:
        return
    if not raw:
        return
    yield "with a hyphen", [f"- {name} {value}"]
    yield "with another name", [f"{dash} {name}x {value}"]
    yield "with another name too", [f"{dash} {name} {value}", f"{dash} {name}x {value}"]
    yield "with another key hint", [f"{dash} {name} {encoded(bytes([raw[0] ^ 1]) + raw[1:])}"]
    yield "with another signature", [f"{dash} {name} {encoded(raw[:-1] + bytes([raw[-1] ^ 1]))}"]
    yield "with a byte behind", [f"{dash} {name} {encoded(raw + bytes(1))}"]
    yield "with the key hint alone", [f"{dash} {name} {encoded(raw[:4])}"]
    if (other := other_signature(raw[4:])) is not None:
        yield "with the other s", [f"{dash} {name} {encoded(raw[:4] + other)}"]
