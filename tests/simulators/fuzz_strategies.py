"""Changed inputs as hypothesis draws them: a few steps, each in the structure of the input or in its bytes.

A step is drawn as one number, from which all its choices follow: that is quick, and hypothesis makes a finding small by
leaving steps out.
"""

from __future__ import annotations

import base64
import json
from itertools import islice
from random import Random

from hypothesis import strategies as st

from tests.simulators.bundle_mutations import DER_KEYS, note_mutants
from tests.simulators.der_mutations import CHANGES, changed_at, read_all, walk
from tests.simulators.json_mutations import KEYS, Path, dump, encoded, places, put, rekeyed, value_changes

STEPS = 4
_INTERESTING = (b"\0", b"\xff", b"\x7f", b"\x80", b" ", b"\n", b"\r", b"\t", b'"', b"\\", b"{", b"}", b"[", b"]", b"=")
_SIGNED = "\n\n\u2014 ".encode()
_KEYS, _DER = sorted(KEYS), sorted(CHANGES)
Words = tuple[bytes, ...]


def changed(seeds: Words, words: Words) -> st.SearchStrategy[tuple[bytes, bytes]]:
    """A good input, and the same after one to four changes."""
    steps = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=STEPS)
    return st.builds(lambda good, numbers: (good, _play(good, numbers, words)), st.sampled_from(seeds), steps)


def _play(raw: bytes, numbers: list[int], words: Words) -> bytes:
    for number in numbers:
        chance = Random(number)
        raw = chance.choice((_json_step, _json_step, _der_step, _byte_step))(chance, raw, words)
    return raw


def _json_step(chance: Random, raw: bytes, words: Words) -> bytes:
    """One value or key of a JSON document; a line of a note; bytes of what is neither."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return _note_step(chance, raw, words)
    everywhere = list(islice(places(document), 2000))
    path, value = chance.choice(everywhere)
    if path and isinstance(path[-1], str) and chance.random() < 0.3:
        return dump(put(document, path[:-1], rekeyed(path[-1], KEYS[chance.choice(_KEYS)])))
    if chance.random() < 0.2:
        new = chance.choice([other for _, other in everywhere if type(other) is type(value)])
    else:
        new = _new_value(chance, path, value, words)
    return dump(put(document, path, lambda _: new))


def _new_value(chance: Random, path: Path, value: object, words: Words) -> object:
    """Another value in place of one: changed inside, or in one of the ways of json_mutations.py."""
    key = path[-1] if path else ""
    step = _json_step if key == "canonicalizedBody" else _der_step if key in DER_KEYS else None
    if step is not None and isinstance(value, str) and chance.random() < 0.7:
        try:
            return encoded(step(chance, base64.b64decode(value, validate=True), words))
        except ValueError:
            pass
    changes = note_mutants(value) if key == "envelope" and isinstance(value, str) else value_changes(path, value)
    return chance.choice([new for _, new in changes])


def _note_step(chance: Random, raw: bytes, words: Words) -> bytes:
    """One line of a signed note; bytes of what is none."""
    if _SIGNED not in raw:
        return _byte_step(chance, raw, words)
    changes = [new for _, new in note_mutants(raw.decode("utf-8", "replace"))]
    return chance.choice(changes).encode("utf-8", "replace")


def _der_step(chance: Random, raw: bytes, words: Words) -> bytes:
    """One element of a DER value; bytes of what is none."""
    try:
        (top,) = read_all(raw)
    except (ValueError, RecursionError):
        return _byte_step(chance, raw, words)
    path, node = chance.choice(list(walk(top)))
    return changed_at(top, path, node, chance.choice(_DER))


def _byte_step(chance: Random, raw: bytes, words: Words) -> bytes:
    """Bits, words, pieces taken out, doubled or moved."""
    start = chance.randint(0, len(raw))
    end = min(len(raw), start + chance.choice((0, 1, 1, 2, 4, 16, 64)))
    piece, other = raw[start:end], chance.randint(0, len(raw))
    new = chance.choice(
        (
            bytes([piece[0] ^ 1 << chance.randrange(8)]) + piece[1:] if piece else b"",
            chance.choice((*words, *_INTERESTING)),
            b"",
            piece * 2,
            raw[other : other + chance.randint(1, 64)],
            chance.randbytes(chance.randint(1, 8)),
        )
    )
    return raw[:start] + new + raw[end:]
