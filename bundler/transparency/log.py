"""Transparency logs of the trusted root, and how one is found.

Rules of this module:
- A log is found by its id only. No other key is tried when the id is unknown or the signature does not hold.
- A log's key has a window; what it signed at a time outside it does not count. Both ends belong to the window.
- A log of Rekor 2 has one name: the host of its address. Where the address has a port, the log's id tells whether the
  name has it too, if it is made of name and key (C2SP signed-note). An id of the key alone tells nothing; then the name
  is without the port, as sigstore-go takes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Protocol

from bundler.errors import RejectedError
from bundler.moment import Window
from bundler.value import dataclass

_ED25519, _OTHER = b"\x01", b"\xff"  # kinds of note signatures (C2SP signed-note)
_RSA_KIND = b"PKIX-RSA-PKCS#1v1.5"
_PORT = re.compile(r":[0-9]*\Z", re.ASCII)


class Verifier(Protocol):
    """A public key that can check a signature (identity.keys.PublicKey is one)."""

    @property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""

    @property
    def algorithm(self) -> str:
        """For people, e.g. `ECDSA P-256`, `Ed25519` or `RSA 4096`."""

    @property
    def ed25519_bytes(self) -> bytes | None:
        """The 32 bytes of an Ed25519 key; None for other kinds."""

    def verify(self, signature: bytes, message: bytes) -> None:
        """Raise RejectedError (code ``signature``) unless `signature` is by this key over `message`."""


@dataclass(frozen=True, slots=True)
class TransparencyLog:
    """A log (Rekor): its address, its id, its key and the window in which that key counts.

    Attributes:
        url: its address; `log` and the id in hex where the trusted root gives none.
        operator: who runs it, in the trusted root's words; empty where it does not say.
    """

    url: str
    log_id: bytes
    key: Verifier
    window: Window
    operator: str = ""

    @property
    def host(self) -> str:
        """The name of a log of Rekor 2."""
        names = possible_names(self.url)
        return next((name for name in names if note_key_id(name, self.key) == self.log_id), names[0])


def possible_names(url: str) -> tuple[str, ...]:
    """The names that a log at this address may have: the host, and the host with the port that the address names."""
    host = url.rpartition("://")[2].partition("/")[0]
    return tuple(dict.fromkeys((_PORT.sub("", host), host)))


def note_key_id(name: str, key: Verifier) -> bytes:
    """The key id of C2SP signed-note, whole: 32 bytes, of which a signature line has the first 4.

    Ed25519: SHA-256 of name, 0x01 and raw key. RSA: of name, 0xff, the kind and the key. ECDSA: of the key alone.
    """
    if key.ed25519_bytes is not None:
        return sha256(name.encode() + b"\n" + _ED25519 + key.ed25519_bytes).digest()
    if key.algorithm.startswith("RSA "):
        return sha256(name.encode() + b"\n" + _OTHER + _RSA_KIND + key.spki).digest()
    return sha256(key.spki).digest()


def find_log(logs: Sequence[TransparencyLog], log_id: bytes) -> TransparencyLog:
    """The log with this id.

    Raises:
        RejectedError: none (code ``log-unknown``).
    """
    for log in logs:
        if log.log_id == log_id:
            return log
    raise RejectedError("log-unknown", "log", log_id.hex(), got="unknown", want="a log of the trusted root")


def check_log_window(log: TransparencyLog, at: datetime) -> None:
    """Check that the log's key counted at `at`.

    Raises:
        RejectedError: code ``log-window``.
    """
    if at not in log.window:
        raise RejectedError(
            "log-window", "log", log.url, got=f"its key did not count at {at.isoformat()}", want=str(log.window)
        )
