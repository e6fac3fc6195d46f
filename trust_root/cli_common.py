"""What the commands of `sealift trust` share: options, the clock, passphrases, typed files, printing.

Rules of this module:
- The clock is read here and nowhere else in this package. What signs takes SOURCE_DATE_EPOCH in its place, so that
  trials repeat; more than a day off the clock it needs a root for development.
- A passphrase comes from SEALIFT_KEY_PASSPHRASE (the same for all key files) or from a prompt (one for each), a token's
  PIN from SEALIFT_PKCS11_PIN or a prompt. Neither ever stands on the command line.
- Results go to stdout, all else to stderr. Commands call `cli_common.clock()` by that name: there is one clock.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.errors import EnvError, MalformedError, UsageError
from bundler.escaping import escape
from trust_root.roles import KEY_SCHEMES

if TYPE_CHECKING:
    from bundler.digest import Digest
    from trust_root.keys import Signer
    from trust_root.workplace import Workplace

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


def check_output(_ctx: click.Context, option: click.Parameter, typed: str | None) -> str | None:
    """Callback of options that name a file to be written: `-` would be a file of that name.

    Raises:
        UsageError: `-`, or nothing.
    """
    if typed in ("", "-"):
        hints = ["./- is a file of that name"] if typed else []
        raise UsageError("usage", "option", option.opts[-1], got=repr(typed), want="a file's name", hints=hints)
    return typed


def ask_passphrase(*, confirm: bool = False) -> Callable[[str], bytes]:
    """A function that gives the passphrase of a key file: from the environment, else from the terminal.

    Args:
        confirm: ask twice, for a key that is being made.

    Returns:
        the function; it raises UsageError (``passphrase``) where there is neither.
    """
    return _ask("SEALIFT_KEY_PASSPHRASE", "passphrase", confirm=confirm)


def ask_pin() -> Callable[[str], bytes]:
    """A function that gives the PIN of a token; as `ask_passphrase`."""
    return _ask("SEALIFT_PKCS11_PIN", "PIN", confirm=False)


def _ask(variable: str, word: str, *, confirm: bool) -> Callable[[str], bytes]:
    given = os.environ.get(variable)

    def ask(name: str) -> bytes:
        if given is not None:
            return given.encode("utf-8", errors="surrogateescape")
        if not has_terminal():
            raise UsageError(
                "passphrase",
                word,
                f"of {name}",
                got="no terminal to ask at",
                want=f"a {word}",
                hints=[f"set {variable}"],
            )
        shown = f"{word} of {escape(name)}"
        text = click.prompt(
            shown, default="", show_default=False, hide_input=True, confirmation_prompt=confirm, err=True
        )
        return str(text).encode()

    return ask


def open_signer(typed: str, *, apart_from: Path | None = None) -> Signer:
    """The key that `--key` names: a key file, or a key on a token (`pkcs11:…`) or in a service (`awskms:…` and others).

    Args:
        typed: what was typed.
        apart_from: a folder that a key file must not lie in: the repository is what travels.

    Raises:
        UsageError: no such key, the wrong passphrase or PIN, or what is needed for it is not installed.
        EnvError: the file, the token or the service.
    """
    if typed.startswith("pkcs11:"):
        try:
            from trust_root.tokens import open_token_key
        except ImportError as error:
            raise UsageError(
                "extra-missing", "key", "pkcs11:", got="no PKCS#11 library", want="one",
                hints=["pip install 'sealift[pkcs11]'"],
            ) from error  # fmt: skip
        return open_token_key(typed, ask_pin(), os.environ.get("SEALIFT_PKCS11_MODULE"))
    if typed.startswith(KEY_SCHEMES):
        from trust_root.kms import open_service_key

        note("keys in cloud services are untested")
        return open_service_key(typed)
    from trust_root.key_files import check_key_apart, load_key_file

    if apart_from is not None:
        check_key_apart(apart_from, Path(typed))
    return load_key_file(Path(typed), ask_passphrase())


def confirm(question: str, *, yes: bool) -> None:
    """Ask at the terminal whether to go on; only the whole word will do.

    Raises:
        UsageError: the answer is another (``not-confirmed``), or there is no terminal to ask at.
    """
    if yes:
        return
    typed = "no terminal to ask at"
    if has_terminal():
        typed = click.prompt(f'{question} Type "yes"', default="", show_default=False, err=True)
    if typed != "yes":
        raise UsageError("not-confirmed", "signing", got=repr(typed)[:40], want="yes", hints=["for scripts: --yes"])


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


def print_proposal(place: Workplace, *, as_json: bool, quiet_changes: bool = False) -> None:
    """What waits in a repository's folder, on stdout.

    Args:
        place: the folder.
        as_json: as JSON.
        quiet_changes: as text, only the state of the signatures.
    """
    from trust_root.proposal_words import describe_proposal, proposal_lines, signature_lines

    if place.opened is None:
        print_result({"proposal": None}, ["nothing waits: all that was proposed is in place"], as_json=as_json)
        return
    document = describe_proposal(place.opened)
    lines = signature_lines(document) if quiet_changes else proposal_lines(document, clock())
    print_result({"proposal": document}, lines, as_json=as_json)


def fingerprint_lines(root: str, fingerprint: Digest) -> list[str]:
    """The fingerprint of root 1 for paper, and what to type at the site."""
    from trust_root.pin import format_fingerprint

    groups = format_fingerprint(fingerprint).split("\n")
    shown = (f"  {group}" for group in groups)
    return [f"SHA-256 of {root}, for paper:", *shown, "at the site:", f"  {pin_command(fingerprint)}"]


def pin_command(fingerprint: Digest) -> str:
    """What to type at the site."""
    return f"sealift trust pin 1.root.json --sha256 {fingerprint.hex} --site NAME"
