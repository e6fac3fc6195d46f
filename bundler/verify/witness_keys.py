"""Keys of witnesses, as these publish them: one line each (C2SP signed-note, "Verifier keys"; tlog-cosignature).

Rules of this module: `name+key hash+key`, the hash in 8 hex digits, the key in base64 behind its kind, which is 0x04
(timestamped Ed25519 cosignatures). The hash must be that of name and key; a last line end may be absent.
"""

from __future__ import annotations

import re

from bundler.encoding import decode_base64, encode_base64
from bundler.errors import MalformedError
from bundler.identity.keys import parse_spki
from bundler.transparency.checkpoint import Witness, cosigner_key_hash

_WHAT = "witness's key"
_LINE = re.compile(r"([^ +\s]{1,200})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44}=*)\n?")
_KIND = b"\x04"
_ED25519_SPKI = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: all but the key itself


def parse_witness(raw: bytes) -> Witness:
    """Read a witness's verifier key.

    Raises:
        MalformedError: anything else (code ``key`` or ``base64``).
    """
    try:
        match = _LINE.fullmatch(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _malformed("bytes that are not UTF-8") from error
    if match is None:
        raise _malformed("something else")
    name, said, text = match.groups()
    key = decode_base64(text, _WHAT)
    if key[:1] != _KIND or cosigner_key_hash(name, key[1:]).hex() != said:
        raise _malformed("another kind of key, or another hash")
    return Witness(name, parse_spki(_ED25519_SPKI + key[1:], _WHAT))


def format_witness(name: str, ed25519_bytes: bytes) -> bytes:
    """The verifier key of a witness, the inverse of `parse_witness`."""
    hashed = cosigner_key_hash(name, ed25519_bytes).hex()
    return f"{name}+{hashed}+{encode_base64(_KIND + ed25519_bytes)}\n".encode()


def _malformed(got: str) -> MalformedError:
    return MalformedError("key", _WHAT, got=got, want="name+hash+key of a cosigner")
