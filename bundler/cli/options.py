"""Options that several commands share: the state folder, the clock, files typed by people.

The clock of verification is read here and nowhere below: everything else takes the time as an argument.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from bundler import limits
from bundler.errors import EnvError, UsageError
from bundler.safe_file import read_bounded


def state_folder(typed: str | None) -> Path:
    """`--state`, else SEALIFT_STATE, else the XDG state folder."""
    chosen = typed or os.environ.get("SEALIFT_STATE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "sealift"


def clock() -> datetime:
    """Now, in UTC, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def read_settings_file(path: Path, what: str) -> bytes:
    """A file that somebody named on the command line.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return read_bounded(path, limits.SETTINGS_BYTES, what)
    except EnvError as error:
        raise UsageError("file", what, str(path), got=error.got, want="a readable file") from error
