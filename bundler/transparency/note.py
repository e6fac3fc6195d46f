"""Signed notes (C2SP signed-note): a text, a blank line, signature lines.

Rules of this module:
- The text ends with a newline and holds no control character but newlines. A note has one to 100 signature lines
  `— name base64(key hash, signature)`; names are not empty and hold neither white space nor `+`.
- Parse, then format, gives back the same bytes: base64 has one spelling, and each line its newline.
- Two signatures under one name and key hash are refused: which of them counts would be the reader's choice.
- Nothing is verified here. Key hashes are hints; checkpoint.py knows the keys.
"""

from __future__ import annotations

import re

from bundler import limits
from bundler.encoding import decode_base64, encode_base64
from bundler.errors import MalformedError
from bundler.value import dataclass, field

KEY_HASH_BYTES = 4

_WHAT = "checkpoint"
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_SIGNATURE = re.compile("\u2014 ([^ +]+) ([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line; not verified. `key_hash` has 4 bytes and is a hint only."""

    name: str
    key_hash: bytes
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Note:
    """A note as it stands. `text` is what is signed, its last newline included."""

    text: bytes
    signatures: tuple[NoteSignature, ...]


def parse_note(raw: bytes) -> Note:
    """Read a signed note.

    Raises:
        MalformedError: anything else than C2SP signed-note describes (code ``checkpoint`` or ``base64``).
    """
    if len(raw) > limits.NOTE_BYTES:
        raise _malformed(f"{len(raw)} bytes", f"at most {limits.NOTE_BYTES}")
    try:
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start} is not UTF-8", "UTF-8") from error
    if _CONTROL.search(decoded):
        raise _malformed("a control character", "none but newlines")
    text, blank, tail = decoded.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise _malformed("no signatures after a blank line", "text, blank line, signatures, newline")
    lines = tail[:-1].split("\n")
    if len(lines) > limits.NOTE_SIGNATURES:
        raise _malformed(f"{len(lines)} signatures", f"at most {limits.NOTE_SIGNATURES}")
    signatures = tuple(map(_parse_signature, lines))
    if len({(signature.name, signature.key_hash) for signature in signatures}) != len(signatures):
        raise _malformed("two signatures under one name and key hash", "each signer once")
    return Note(f"{text}\n".encode(), signatures)


def format_note(note: Note) -> bytes:
    """The bytes of a note, the inverse of `parse_note`."""
    lines = [
        f"\u2014 {signature.name} {encode_base64(signature.key_hash + signature.signature)}\n".encode()
        for signature in note.signatures
    ]
    return note.text + b"\n" + b"".join(lines)


def _parse_signature(line: str) -> NoteSignature:
    match = _SIGNATURE.fullmatch(line)
    if match is None or any(character.isspace() for character in match[1]):
        raise _malformed(f"the line {line[:80]!r}", "`\u2014 name base64`")
    raw = decode_base64(match[2], _WHAT, "signature")
    if len(raw) <= KEY_HASH_BYTES:
        raise _malformed("an empty signature", "key hash and signature")
    return NoteSignature(match[1], raw[:KEY_HASH_BYTES], raw[KEY_HASH_BYTES:])


def _malformed(got: str, want: str) -> MalformedError:
    return MalformedError("checkpoint", _WHAT, got=got, want=want)
