"""One way to run another program, which may hang, flood, fork or lie.

Rules of this module:
- Argument lists only, a given environment only, standard input empty or a few bytes. The program gets a session of its
  own, so that Ctrl-C of the terminal reaches us and not it, and so that it can be ended with all its children.
- Its output is drained while it runs and only the last bytes are kept: a flood costs no memory.
- However the run ends (exit, watch, stop, time, any exception here), its process group is killed before we go on. The
  leader is reaped only after that, so its number cannot have been given to somebody else.
- A program that moves a child into another session escapes the kill. It finds its pipes closed and its folder removed.
- On our own SIGKILL nothing is run here any more (PR_SET_PDEATHSIG would need a door that is shut). The program may
  then go on for a while; what it writes lies in a folder that the next run removes.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Self

from bundler import limits
from bundler.value import dataclass

_TICK_SECONDS = 0.05
_READ_BYTES = 64 * limits.KIB

Watch = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended.

    Attributes:
        exit_code: as the system reports it; negative is a signal.
        cut_short: why we ended it (`time`, `stopped`, or what the watch said); empty when it ended by itself.
        output: the last bytes of its standard output.
        errors: the last bytes of its standard error.
    """

    exit_code: int
    cut_short: str
    output: bytes
    errors: bytes


def run_program(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    seconds: float,
    watch: Watch = str,
    stop: Event | None = None,
    standard_input: bytes = b"",
) -> Finished:
    """Run a program to its end, or to ours.

    Args:
        arguments: program and arguments.
        environment: all of the environment that it gets.
        folder: its working folder.
        seconds: the longest that it may take.
        watch: called a few times a second; returns why the program has to end, or nothing.
        stop: ends the program when set.
        standard_input: what it can read, at most what a pipe holds (4 KiB).

    Raises:
        OSError: the program cannot be started.
    """
    stop = stop or Event()
    with _given(standard_input) as source:
        process = subprocess.Popen(
            arguments,
            env=dict(environment),
            cwd=folder,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    with _Tails(process) as tails:
        try:
            cut_short = _attend(process, tails, time.monotonic() + seconds, watch, stop)
            if cut_short:
                _signal_group(process, signal.SIGTERM)
                _wait_a_little(process, tails)
        finally:
            _signal_group(process, signal.SIGKILL)
            process.wait()
        tails.drain()
        return Finished(process.returncode, cut_short, bytes(tails.output), bytes(tails.errors))


@contextlib.contextmanager
def _given(standard_input: bytes) -> Iterator[int]:
    """A pipe that holds a few bytes and then ends."""
    source, target = os.pipe()
    try:
        try:
            os.write(target, standard_input[: limits.KIB * 4])
        finally:
            os.close(target)
        yield source
    finally:
        os.close(source)


class _Tails:
    """The two pipes of a program, and the last bytes that came through each."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.output = bytearray()
        self.errors = bytearray()
        self._pipes = (process.stdout, process.stderr)
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        for pipe, tail in zip(self._pipes, (self.output, self.errors), strict=True):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, selectors.EVENT_READ, tail)
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for pipe in self._pipes:
            if pipe is not None:
                pipe.close()

    def read(self, seconds: float) -> bool:
        """Take in what is there within `seconds`; whether there was anything."""
        ready = self._selector.select(seconds)
        for key, _ in ready:
            piece = os.read(key.fd, _READ_BYTES)
            if not piece:
                self._selector.unregister(key.fileobj)
            key.data.extend(piece)
            del key.data[: -limits.PROGRAM_OUTPUT_BYTES]
        return bool(ready)

    def drain(self) -> None:
        """Take in what the pipes still hold, but do not wait for a child that escaped and goes on writing."""
        for _ in range(limits.PROGRAM_OUTPUT_BYTES // limits.KIB):
            if not self.read(0):
                return


def _attend(process: subprocess.Popen[bytes], tails: _Tails, deadline: float, watch: Watch, stop: Event) -> str:
    """Wait for the end; returns why the program has to be ended, or nothing when it ended by itself."""
    next_look = 0.0
    while not _has_ended(process):
        if stop.is_set():
            return "stopped"
        now = time.monotonic()
        if now >= deadline:
            return "time"
        if now >= next_look:
            if reason := watch():
                return reason
            next_look = time.monotonic() + limits.WATCH_SECONDS
        tails.read(_TICK_SECONDS)
    return ""


def _wait_a_little(process: subprocess.Popen[bytes], tails: _Tails) -> None:
    """Give a program that was asked to end the time to do so."""
    deadline = time.monotonic() + limits.PROGRAM_GRACE_SECONDS
    while not _has_ended(process) and time.monotonic() < deadline:
        tails.read(_TICK_SECONDS)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the program is gone, leaving it unreaped so that its number stays its own."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # somebody who ignores SIGCHLD has reaped it
        return True


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
