"""A folder beside the target where an export works: staged frames, and the bundle until it is whole.

Rules of this module:
- It lies in the target's folder, so that the final rename stays on one file system; its name says whose it is.
- Whoever works in it holds a lock on it (flock on the folder; it vanishes with the process). A folder of that name
  whose lock is free is litter of a run that was killed, and the next export into the same place removes it.
- It is removed when the block ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bundler.errors import EnvError
from bundler.safe_file import TEMPORARY_PREFIX, disk_errors, locked_folder, sync_folder

_SUFFIX = ".export"


@contextlib.contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """A fresh working folder in `folder`, private to this process.

    Raises:
        EnvError: it cannot be made.
    """
    with disk_errors("folder", folder):
        folder = folder.resolve(strict=True)
    path = folder / f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}{_SUFFIX}"
    with contextlib.ExitStack() as held:
        # The target's folder is locked for this moment, so that nobody takes a folder just made for litter.
        with locked_folder(folder, wait=True):
            remove_litter(folder)
            with disk_errors("working folder", path):
                path.mkdir(mode=0o700)
            held.enter_context(locked_folder(path, what="working folder"))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            with disk_errors("folder", folder):
                sync_folder(folder)


def remove_litter(folder: Path) -> None:
    """Remove working folders in `folder` whose owner is gone. The caller holds the lock of `folder`."""
    with disk_errors("folder", folder):
        litter = sorted(folder.glob(f"{TEMPORARY_PREFIX}*{_SUFFIX}"))
    for path in litter:
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(EnvError), locked_folder(path, what="working folder"):
                shutil.rmtree(path, ignore_errors=True)
