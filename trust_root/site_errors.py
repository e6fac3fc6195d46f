"""Errors of a site's state that say what to do next."""

from __future__ import annotations

from pathlib import Path

from bundler.errors import TrustError


def changed_meanwhile(got: str, want: str) -> TrustError:
    """The error of a state that another run has changed between this run's reading and its writing."""
    return TrustError(
        "state-changed",
        "state",
        got=f"{got} by another run meanwhile",
        want=want,
        hints=["run the command again"],
    )


def no_pin(folder: Path) -> TrustError:
    """The error of a site without a pinned root."""
    return TrustError(
        "no-pin",
        "state",
        str(folder),
        got="no pinned root",
        want="a root pinned by hand",
        hints=["sealift trust pin 1.root.json --sha256 FINGERPRINT --site NAME"],
    )
