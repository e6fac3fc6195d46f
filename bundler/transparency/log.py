"""Transparency logs of the trusted root, and how one is found.

Rules of this module:
- A log is found by its id only. No other key is tried when the id is unknown or the signature does not hold.
- A log's key has a window; what it signed at a time outside it does not count. Both ends belong to the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bundler.errors import RejectedError
from bundler.moment import Window
from bundler.value import dataclass


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
    """A log (Rekor): its address, its id, its key and the window in which that key counts."""

    url: str
    log_id: bytes
    key: Verifier
    window: Window

    @property
    def host(self) -> str:
        """Host of the address, with its port if it names one: the name of a log of Rekor 2."""
        return self.url.rpartition("://")[2].partition("/")[0]


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
