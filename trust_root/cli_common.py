"""What the commands of `sealift trust` share: options, the clock, passphrases, typed files, printing.

Rules of this module:
- The clock is read here and nowhere else in this package. What signs takes SOURCE_DATE_EPOCH in its place, so that
  trials repeat; more than a day off the clock it needs a root for development.
- A passphrase comes from SEALIFT_KEY_PASSPHRASE (the same for all key files) or from a prompt (one for each).
- Results go to stdout, all else to stderr. Commands call `cli_common.clock()` by that name: there is one clock.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from bundler.errors import EnvError, MalformedError, UsageError
from bundler.escaping import escape

DAY = timedelta(days=1)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
STATE = click.option("--state", metavar="DIR", help="State folder [SEALIFT_STATE, or the XDG state folder].")


def clock() -> datetime:
    """Now, in UTC, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def signing_time(*, development: bool) -> datetime:
    """The clock, or SOURCE_DATE_EPOCH."""
    text, now = os.environ.get("SOURCE_DATE_EPOCH"), clock()
    if not text:
        return now
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        raise UsageError("source-date-epoch", "SOURCE_DATE_EPOCH", got=repr(text)[:40], want="seconds since 1970")
    at = datetime.fromtimestamp(int(text), UTC)
    if abs(at - now) > DAY and not development:
        raise UsageError(
            "source-date-epoch",
            "SOURCE_DATE_EPOCH",
            got=at.isoformat(),
            want="within a day of the clock",
            hints=["for trials only: a root made with --development"],
        )
    return at


def ask_passphrase(*, confirm: bool = False) -> Callable[[str], bytes]:
    """A function that gives the passphrase of a key file: from the environment, else from the terminal.

    Args:
        confirm: ask twice, for a key that is being made.

    Returns:
        the function; it raises UsageError (``passphrase``) where there is neither.
    """
    given = os.environ.get("SEALIFT_KEY_PASSPHRASE")

    def ask(name: str) -> bytes:
        if given is not None:
            return given.encode("utf-8", errors="surrogateescape")
        if not has_terminal():
            raise UsageError(
                "passphrase",
                "passphrase",
                f"of {name}",
                got="no terminal to ask at",
                want="a passphrase",
                hints=["set SEALIFT_KEY_PASSPHRASE"],
            )
        shown = f"passphrase of {escape(name)}"
        text = click.prompt(
            shown, default="", show_default=False, hide_input=True, confirmation_prompt=confirm, err=True
        )
        return str(text).encode()

    return ask


def has_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def state_folder(typed: str | None) -> Path:
    """`--state`, else SEALIFT_STATE, else the XDG state folder."""
    chosen = typed or os.environ.get("SEALIFT_STATE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "sealift"


def read_typed(path: str) -> bytes:
    """A file named on the command line, of the size of a target at most; UsageError (``file``) if it cannot be read."""
    from bundler import limits
    from bundler.safe_file import read_bounded

    try:
        return read_bounded(Path(path), limits.TRUST_TARGET_BYTES)
    except EnvError as error:
        raise UsageError("file", "file", path, got=error.got, want="a readable file") from error


@contextlib.contextmanager
def as_usage() -> Iterator[None]:
    """Turn MalformedError about something typed into UsageError."""
    try:
        yield
    except MalformedError as error:
        raise UsageError(error.code, error.what, error.which, got=error.got, want=error.want) from error


def warn(*, development: bool) -> None:
    """Say loudly, on stderr, that a root is for development."""
    if development:
        from trust_root.inspection import DEVELOPMENT_WARNING

        click.secho(f"warning: {DEVELOPMENT_WARNING}", fg="red", bold=True, err=True)


def note(text: str) -> None:
    """A warning on stderr."""
    click.echo(f"warning: {text}", err=True)


def print_result(document: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """A result on stdout: the document as JSON, or the lines for people, escaped."""
    if as_json:
        import json

        click.echo(json.dumps(document, indent=2))
        return
    for line in lines:
        click.echo(escape(line))
