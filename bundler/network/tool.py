"""Programs of others that scan and patch images: found, asked for their version, run in a folder of their own.

Rules of this module:
- What a program says of success is not believed: its caller reads the files that must have come, and judges them.
- Only the files that were asked for are read, from a fresh folder that is gone afterwards; a link or a device in the
  place of a file is a lie, and so is an exit code of 0 without the file.
- The environment is a short list of names, and messages are those of the C locale. What is shown of output has every
  secret replaced (skopeo.py).
- Time is bounded, and ends the whole process group (process.py).
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event

from bundler import limits
from bundler.errors import EnvError
from bundler.network.process import Finished, run_program
from bundler.network.skopeo import readable_tail
from bundler.safe_file import disk_errors, read_bounded
from bundler.value import dataclass

_KEPT_NAMES = frozenset(
    {
        *("HOME", "PATH", "USER", "LOGNAME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("DOCKER_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR", "DBUS_SESSION_BUS_ADDRESS"),
    }
)
_KEPT_BEGINNINGS = ("AWS_", "AZURE_", "CLOUDSDK_", "GOOGLE_")  # what credential helpers of clouds read
_PATH_NAMES = frozenset({"DOCKER_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"})


@dataclass(frozen=True, slots=True)
class Tool:
    """One kind of program.

    Attributes:
        name: `trivy` or `copa`; reason codes begin with it.
        version: finds the version in what it prints, as major and minor number and the whole.
        oldest: the oldest that was thought of.
        environment: names that it gets beside those that every program gets: exact ones, or beginnings with `*`.
        install: what to do where it is absent.
    """

    name: str
    version: re.Pattern[str]
    oldest: tuple[int, int]
    environment: tuple[str, ...]
    install: str


class Program:
    """A tool on this machine."""

    def __init__(self, tool: Tool, program: str = "", environ: Mapping[str, str] | None = None) -> None:
        """Nothing is started yet.

        Args:
            tool: which kind.
            program: its name or path; by default the tool's own name.
            environ: the environment to choose from; by default our own.
        """
        self.tool = tool
        self._program = program or tool.name
        self._environ = os.environ if environ is None else environ

    def ask(self, arguments: Sequence[str], settings: Mapping[str, str] | None = None) -> str:
        """What it prints in a short run.

        Raises:
            EnvError: absent (``trivy-absent``, ``copa-absent``), or does not run (``…-failed``, ``…-stalled``).
        """
        finished = self._run(arguments, Path("/"), settings or {}, limits.TOOL_VERSION_SECONDS, None)
        self.check_ended(finished, " ".join(arguments))
        return finished.output.decode("utf-8", "replace")

    def ask_version(self, arguments: Sequence[str]) -> str:
        """What it says of its version.

        Raises:
            EnvError: as `ask`, or too old, or another program (``…-version``).
        """
        tool = self.tool
        output = self.ask(arguments)
        match = tool.version.search(output)
        if match is None or (int(match[2]), int(match[3])) < tool.oldest:
            raise EnvError(
                f"{tool.name}-version", tool.name, self._program, got=readable_tail(output.encode()) or "no answer",
                want=f"{tool.name} {tool.oldest[0]}.{tool.oldest[1]} or later", hints=[tool.install],
            )  # fmt: skip
        return match[1]

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        which: str,
        *,
        seconds: float,
        settings: Mapping[str, str] | None = None,
        stop: Event | None = None,
    ) -> None:
        """Run it to its end.

        Args:
            arguments: those of one call.
            folder: its working folder, of this call alone.
            which: what it works on, for messages.
            seconds: the longest that it may take.
            settings: further environment.
            stop: ends it when set.

        Raises:
            EnvError: as `ask_version`; it took too long (``…-stalled``), or was stopped (``stopped``).
        """
        self.check_ended(self._run(arguments, folder, settings or {}, seconds, stop), which)

    def read_output(self, path: Path, max_bytes: int, which: str) -> bytes:
        """A file that it must have written.

        Raises:
            EnvError: there is none, no file, an empty or a larger one (``…-lied``).
        """
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self.lied(which, f"no {path.name}, and no error") from error
        if not stat.S_ISREG(status.st_mode):
            raise self.lied(which, f"{path.name} is not a file")
        if not 0 < status.st_size <= max_bytes:
            raise self.lied(which, f"{path.name} has {status.st_size} bytes")
        return read_bounded(path, max_bytes, f"{self.tool.name}'s output")

    def lied(self, which: str, got: str) -> EnvError:
        """The error for a run that succeeded by its own word, and did not."""
        tool = self.tool
        return EnvError(f"{tool.name}-lied", tool.name, which, got=got, want="what it was asked for")

    def check_ended(self, finished: Finished, which: str) -> None:
        """Refuse a run that did not end by itself with exit code 0."""
        tool, said = self.tool, readable_tail(finished.errors)
        if finished.cut_short == "stopped":
            raise EnvError("stopped", tool.name, which, got="stopped")
        if finished.cut_short:
            hints = [f"{tool.name} said: {said}"] if said else []
            raise EnvError(
                f"{tool.name}-stalled", tool.name, which, got="not finished in time", want="an end", hints=hints
            )
        if finished.exit_code != 0:
            code = finished.exit_code
            ended = f"exit code {code}" if code >= 0 else f"signal {-code}"
            raise EnvError(
                f"{tool.name}-failed", tool.name, which, got=f"{ended}, {said or 'no message'}", want="success"
            )

    def _run(
        self,
        arguments: Sequence[str],
        folder: Path,
        settings: Mapping[str, str],
        seconds: float,
        stop: Event | None,
    ) -> Finished:
        tool = self.tool
        environment = {**self._environment(), "TMPDIR": str(folder), **settings}
        program = shutil.which(self._program, path=environment.get("PATH", os.defpath))
        if program is None:
            raise EnvError(
                f"{tool.name}-absent", tool.name, self._program, got="not found", want="in PATH", hints=[tool.install]
            )
        command = [str(Path(program).absolute()), *arguments]
        try:
            return run_program(command, environment=environment, folder=folder, seconds=seconds, stop=stop)
        except OSError as error:
            raise EnvError(
                f"{tool.name}-failed", tool.name, program, got=f"cannot be started: {error.strerror}",
                want="a program", hints=[tool.install],
            ) from error  # fmt: skip

    def _environment(self) -> dict[str, str]:
        beginnings = (*_KEPT_BEGINNINGS, *(name[:-1] for name in self.tool.environment if name.endswith("*")))
        kept = {
            # It runs in another folder than we do, where a relative path would mean another file.
            name: str(Path(value).absolute()) if value and name in _PATH_NAMES else value
            for name, value in self._environ.items()
            if name in _KEPT_NAMES or name in self.tool.environment or name.startswith(beginnings)
        }
        return kept | {"LC_ALL": "C.UTF-8"}


def make_folder(path: Path) -> Path:
    """A fresh folder for one call.

    Raises:
        EnvError: the disk.
    """
    with disk_errors("working folder", path):
        path.mkdir(mode=0o700)
    return path
