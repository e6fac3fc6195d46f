"""What several commands share: the state folder, the clock, the passphrase, files typed by people.

The clock of verification is read by the command line and nowhere below: everything else takes the time as an argument.
`trust_root` stands alone on a ceremony laptop, so what both need is defined there.
"""

from __future__ import annotations

from pathlib import Path

from bundler import limits
from bundler.errors import EnvError, UsageError
from bundler.safe_file import read_bounded
from trust_root.cli_common import ask_passphrase, check_output, clock, open_signer, state_folder

__all__ = ["ask_passphrase", "check_output", "clock", "open_signer", "read_settings_file", "state_folder"]


def read_settings_file(path: Path, what: str) -> bytes:
    """A file that somebody named on the command line.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return read_bounded(path, limits.SETTINGS_BYTES, what)
    except EnvError as error:
        raise UsageError("file", what, str(path), got=error.got, want="a readable file") from error
