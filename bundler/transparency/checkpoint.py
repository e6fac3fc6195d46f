"""Checkpoints: a log's signed word on its size and root hash (C2SP tlog-checkpoint, tlog-cosignature).

Rules of this module:
- A checkpoint counts when the log's own key has signed it, under the name that the origin gives, with the key hash of
  that key. The line may stand anywhere among the others. A key hash alone, or the signature under another name, is
  nothing: names are not signed, so they are compared (THREATS F14).
- A line under the log's name and key hash that does not hold refuses the whole checkpoint; so does that of a witness.
- The origin of Rekor 1 is `host - tree id` and the signature bears the host; that of Rekor 2 is the host of the log's
  address in the trusted root (log.py).
- Lines by others are ignored and never counted. Cosignatures of known witnesses are verified, and told by name and
  time. What a witness signs does not hold its name, so one key under two names is one witness; the log's own is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

from bundler.encoding import decode_base64, encode_base64
from bundler.errors import MalformedError, RejectedError
from bundler.transparency.log import TransparencyLog, Verifier, note_key_id
from bundler.transparency.merkle import HASH_BYTES, SIZE_MAX
from bundler.transparency.note import KEY_HASH_BYTES, Note, NoteSignature, format_note, parse_note
from bundler.value import dataclass, field

_WHAT = "checkpoint"
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_REKOR_1 = re.compile(r"(?P<host>\S+) - (?P<tree>[1-9][0-9]{0,18})", re.ASCII)
_LATEST = 253_402_300_799  # 9999-12-31T23:59:59Z
_COSIGNATURE = b"\x04"  # a kind of note signature (C2SP signed-note)
_TIME_BYTES, _ED25519_SIGNATURE_BYTES = 8, 64


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The text of a checkpoint; nothing of it is verified.

    Attributes:
        origin: which log, in its own words.
        tree_size: leaves.
        root_hash: 32 bytes.
        extensions: further lines, e.g. Rekor 1's `Timestamp: …`; never used.
    """

    origin: str
    tree_size: int
    root_hash: bytes
    extensions: tuple[str, ...] = ()

    @property
    def rekor_1(self) -> tuple[str, int] | None:
        """Host and tree id of an origin of Rekor 1; None for any other."""
        match = _REKOR_1.fullmatch(self.origin)
        return (match["host"], int(match["tree"])) if match else None


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness whose cosignatures count: its name and its Ed25519 key."""

    name: str
    key: Verifier


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A witness saw the checkpoint at this time; verified."""

    witness: str
    at: datetime


@dataclass(frozen=True, slots=True)
class VerifiedCheckpoint:
    """The log said this. `tree_id` is that of Rekor 1, None otherwise; `witnesses` those that cosigned.

    `note` is what the log signed with its own signature; lines of others, which anybody may add, are left out.
    """

    log: TransparencyLog
    origin: str
    tree_size: int
    root_hash: bytes
    tree_id: int | None = None
    witnesses: tuple[Cosignature, ...] = field(default=())
    note: bytes = field(default=b"", repr=False)


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Read the text of a checkpoint, without its signatures.

    Raises:
        MalformedError: any other shape (code ``checkpoint`` or ``base64``).
    """
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start} is not UTF-8", "UTF-8") from error
    lines = decoded.split("\n")
    if lines.pop() or len(lines) < 3 or not all(lines):
        raise _malformed("missing or empty lines", "origin, tree size and root hash, each on a line")
    origin, size, root, *extensions = lines
    if not _DECIMAL.fullmatch(size) or int(size) > SIZE_MAX:
        raise _malformed(f"tree size {size[:40]!r}", "a decimal number without leading zeros")
    root_hash = decode_base64(root, _WHAT, "root hash")
    if len(root_hash) != HASH_BYTES:
        raise _malformed(f"a root hash of {len(root_hash)} bytes", f"{HASH_BYTES}")
    return Checkpoint(origin, int(size), root_hash, tuple(extensions))


def format_checkpoint(checkpoint: Checkpoint) -> bytes:
    """The text of a checkpoint, the inverse of `parse_checkpoint`."""
    head = (checkpoint.origin, str(checkpoint.tree_size), encode_base64(checkpoint.root_hash))
    return "".join(f"{line}\n" for line in (*head, *checkpoint.extensions)).encode()


def open_checkpoint(raw: bytes, log: TransparencyLog, witnesses: Sequence[Witness] = ()) -> VerifiedCheckpoint:
    """Check a signed checkpoint against the log that it must be by.

    Args:
        raw: the signed note.
        log: found in the trusted root by its id, never by what the checkpoint says.
        witnesses: those whose cosignatures are verified; all others are ignored.

    Raises:
        RejectedError: ``checkpoint-origin`` (of another log); ``checkpoint-signature`` (not signed by the log, or a
            signature of a known signer that does not hold).
        MalformedError: code ``checkpoint`` or ``base64``.
    """
    note = parse_note(raw)
    checkpoint = parse_checkpoint(note.text)
    rekor_1 = checkpoint.rekor_1
    if rekor_1 is None and checkpoint.origin != log.host:
        raise RejectedError(
            "checkpoint-origin", _WHAT, checkpoint.origin[:160], got="of another log", want=f"one by {log.host}"
        )
    own = _check_signed(note, rekor_1[0] if rekor_1 else log.host, log)
    return VerifiedCheckpoint(
        log=log,
        origin=checkpoint.origin,
        tree_size=checkpoint.tree_size,
        root_hash=checkpoint.root_hash,
        tree_id=rekor_1[1] if rekor_1 else None,
        witnesses=_seen_by(note, witnesses, log),
        note=format_note(Note(note.text, (own,))),
    )


def key_hashes(name: str, key: Verifier) -> frozenset[bytes]:
    """The 4-byte key hashes under which a log may sign as `name`.

    That of C2SP signed-note, and SHA-256 of the key, which Rekor 1 writes for every kind.
    """
    hashed = (sha256(key.spki).digest(), note_key_id(name, key))
    return frozenset(item[:KEY_HASH_BYTES] for item in hashed)


def cosigned_message(text: bytes, seconds: int) -> bytes:
    """What a witness signs: a header with the time, then the checkpoint's text (C2SP tlog-cosignature)."""
    return b"cosignature/v1\ntime %d\n%s" % (seconds, text)


def cosigner_key_hash(name: str, ed25519_bytes: bytes) -> bytes:
    """The 4-byte key hash of a witness (C2SP tlog-cosignature)."""
    return sha256(name.encode() + b"\n" + _COSIGNATURE + ed25519_bytes).digest()[:KEY_HASH_BYTES]


def _check_signed(note: Note, name: str, log: TransparencyLog) -> NoteSignature:
    """The log's own signature, verified; the first where it stands there twice."""
    hashes = key_hashes(name, log.key)
    own = [line for line in note.signatures if line.name == name and line.key_hash in hashes]
    if not own:
        raise _unsigned("no signature by the log's key under its name", f"one by {name}")
    for line in own:
        _verify(log.key, line.signature, note.text, name)
    return own[0]


def _seen_by(note: Note, witnesses: Sequence[Witness], log: TransparencyLog) -> tuple[Cosignature, ...]:
    """All lines of known witnesses, verified; each key counts once, the log's not at all."""
    seen: dict[bytes, Cosignature] = {}
    for witness in witnesses:
        for cosignature in _cosignatures(note, witness):
            seen.setdefault(witness.key.spki, cosignature)
    seen.pop(log.key.spki, None)
    return tuple(seen.values())


def _cosignatures(note: Note, witness: Witness) -> tuple[Cosignature, ...]:
    raw_key = witness.key.ed25519_bytes
    if raw_key is None:
        return ()
    expected = cosigner_key_hash(witness.name, raw_key)
    lines = [line for line in note.signatures if (line.name, line.key_hash) == (witness.name, expected)]
    return tuple(_open_cosignature(line, note.text, witness) for line in lines)


def _open_cosignature(line: NoteSignature, text: bytes, witness: Witness) -> Cosignature:
    if len(line.signature) != _TIME_BYTES + _ED25519_SIGNATURE_BYTES:
        raise _unsigned(f"a cosignature of {len(line.signature)} bytes", "time and Ed25519 signature")
    seconds = int.from_bytes(line.signature[:_TIME_BYTES], "big")
    if seconds > _LATEST:
        raise _unsigned(f"a cosignature at second {seconds}", "a time")
    _verify(witness.key, line.signature[_TIME_BYTES:], cosigned_message(text, seconds), witness.name)
    return Cosignature(witness.name, datetime.fromtimestamp(seconds, UTC))


def _verify(key: Verifier, signature: bytes, message: bytes, name: str) -> None:
    try:
        key.verify(signature, message)
    except RejectedError as error:
        raise _unsigned(f"a signature under the name {name} that does not hold", "a sound one") from error


def _unsigned(got: str, want: str) -> RejectedError:
    return RejectedError("checkpoint-signature", _WHAT, got=got, want=want)


def _malformed(got: str, want: str) -> MalformedError:
    return MalformedError("checkpoint", _WHAT, got=got, want=want)
