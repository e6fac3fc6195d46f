"""Runs `sealift` with every way out of the process nailed shut: `python -m tests.offline_guard verify FILE …`.

An audit hook cannot be removed and sees calls of every library, compiled ones that go through Python's API included.
Whatever is forbidden ends the process at once with exit code 99; no handler can swallow that.

    sockets, programs, forks             never
    files opened for writing, renames …  only below the folder in SEALIFT_GUARD_WRITABLE, and nowhere without it
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

EXIT_FORBIDDEN = 99
_WAYS_OUT = (
    "socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "pty.",
    "http.", "urllib.", "ftplib.", "smtplib.", "ctypes.", "webbrowser.", "pickle.", "marshal.load", "sqlite3.",
)  # fmt: skip
# Reading cached bytecode is how Python imports; nothing of ours unmarshals.
_HARMLESS = {"marshal.loads", "marshal.load"}
_WRITERS = {
    "os.rename": (0, 1), "os.link": (1,), "os.symlink": (1,), "os.mkdir": (0,), "os.remove": (0,), "os.rmdir": (0,),
    "os.truncate": (0,), "os.chmod": (0,), "os.utime": (0,), "shutil.rmtree": (0,), "tempfile.mkstemp": (0,),
    "tempfile.mkdtemp": (0,),
}  # fmt: skip
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def forbid(event: str, detail: object) -> None:
    """Say what was tried, and end the process."""
    os.write(2, f"forbidden: {event} {detail!r}\n".encode(errors="replace")[:2000])
    os._exit(EXIT_FORBIDDEN)


def guard(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook."""
    if event.startswith(_WAYS_OUT) and event not in _HARMLESS:
        forbid(event, arguments)
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, str | bytes) and (flags & _WRITE_FLAGS or set(mode or "") & set("wax+")):
            check_writable(event, path)
    for position in _WRITERS.get(event, ()):
        check_writable(event, arguments[position])


def check_writable(event: str, path: str | bytes | int) -> None:
    """Below the writable folder, or /dev/null."""
    folder = os.environ.get("SEALIFT_GUARD_WRITABLE")
    target = os.path.abspath(os.fsdecode(path)) if not isinstance(path, int) else ""
    if target != os.devnull and not (folder and (target == folder or target.startswith(f"{folder}/"))):
        forbid(event, path)


def main() -> int:
    """Install the hook, then run one command line, or the Python code after `--code`."""
    arguments = sys.argv[1:]
    sys.addaudithook(guard)
    if arguments[:1] == ["--code"]:
        exec(arguments[1], {})
        return 0
    code: int = import_module("bundler.cli.main").main(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
