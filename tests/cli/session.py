"""Runs `sealift` as people do: in process for speed, as a program where the process matters."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundler.cli.main import main

SEALIFT = Path(sys.executable).parent / "sealift"


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


def call(*arguments: str | Path) -> Result:
    """Run one command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Result(code, out.getvalue(), err.getvalue())


def undocumented(document: Any, page: str) -> set[str]:
    """Keys of a JSON document that the manual page does not name; keys that are data (digests, names) do not count."""
    return {key for key in _keys(document) if key.isidentifier() and f"`{key}`" not in page}


def _keys(document: Any) -> Iterator[str]:
    for value in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from _keys(value)
    if isinstance(document, dict):
        yield from document


def run(
    *arguments: str | Path,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Result:
    """Run the installed program."""
    done = subprocess.run(
        [SEALIFT, *map(str, arguments)],
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        timeout=120,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())
