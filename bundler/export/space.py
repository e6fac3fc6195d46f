"""Is there room? Asked before the work, so that a disk does not fill up after an hour.

Two questions are asked: before staging, for what is needed in any case; after it, when the frames are there and the
bundle's size is known, for the bundle. What gains little or nothing from compression may fill the disk between them;
then the export ends with `disk-full`, and leaves nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from bundler.errors import EnvError
from bundler.safe_file import disk_errors


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write into `folder`."""
    with disk_errors("folder", folder):
        facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize


def check_space(folder: Path, needed_bytes: int) -> None:
    """Refuse to start what cannot fit.

    Raises:
        EnvError: code ``disk-full``.
    """
    free = free_bytes(folder)
    if free < needed_bytes:
        raise EnvError("disk-full", "folder", str(folder), got=f"{free} bytes free", want=f"{needed_bytes} bytes")
