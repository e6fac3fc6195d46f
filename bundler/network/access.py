"""How registries are reached: one set of options for skopeo and for our own client.

Rules of this module:
- Whoever reaches a registry gets an `Access`; nobody reads these options from elsewhere.
- It holds places and switches, never a password: credentials are read when a registry asks for them (credentials.py).
"""

from __future__ import annotations

from pathlib import Path

from bundler.value import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """What the user said about reaching registries, and how patient we are.

    Times are seconds. A test makes them tiny; nobody else changes them.
    """

    authfile: Path | None = None
    """`--authfile`: the only file that credentials come from."""
    cert_dir: Path | None = None
    """`--cert-dir`: `*.crt` are authorities, `*.cert` with `*.key` a client certificate."""
    tls_verify: bool = True
    """False (`--tls-verify=false`): https without checks, then plain http, as skopeo does it."""
    mirrors: tuple[str, ...] = ()
    """Mirrors of docker.io, asked first, in order (dockerd's `registry-mirrors`): URL or host."""
    connect_seconds: float = 30.0
    stall_seconds: float = 60.0
    """Longest wait for a byte, and the window in which a slow answer must show progress (pace.py)."""
    document_seconds: float = 300.0
    """Longest time for a manifest, a listing or a token as a whole."""
    retries: int = 4
    """How often one request is repeated after a fault that may pass."""
    backoff_seconds: float = 0.5
    """First wait before a repetition; each further one is twice as long."""

    def patience(self, *, most_retries: int | None = None) -> Access:
        """How patient it is, and nothing else of it: for places that are no registries and get no credentials."""
        return Access(
            connect_seconds=self.connect_seconds,
            stall_seconds=self.stall_seconds,
            document_seconds=self.document_seconds,
            retries=self.retries if most_retries is None else min(self.retries, most_retries),
            backoff_seconds=self.backoff_seconds,
        )
