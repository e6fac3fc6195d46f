"""`sealift trust`: init, publish, pin, show, state. Only click; the decisions are in the other modules.

Rules of this module:
- The clock is read here and nowhere else in this package. `init` and `publish` take SOURCE_DATE_EPOCH in its place, so
  that trials repeat; more than a day off the clock it needs a root for development.
- Heavy modules are imported inside the commands. Results go to stdout, all else to stderr; every command has `--json`.
- A passphrase comes from SEALIFT_KEY_PASSPHRASE (the same for all key files) or from a prompt (one for each).
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

_DAY = timedelta(days=1)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_STATE = click.option("--state", metavar="DIR", help="State folder [SEALIFT_STATE, or the XDG state folder].")
_KEYS = click.option(
    "--keys", required=True, metavar="DIR", help="Folder with the private keys; never inside the repository."
)


@click.group(
    epilog="\b\nExamples:\n"
    "  sealift trust init REPO --keys KEYS --stream plant\n"
    "  sealift trust publish REPO --keys KEYS --trusted-root public-good=trusted_root.json\n"
    "  sealift trust pin 1.root.json --sha256 FINGERPRINT --site plant-7\n"
)
def trust() -> None:
    """Make, publish, pin and show trust roots (sealift help ceremony)."""


@trust.command(
    epilog="\b\nExamples:\n"
    "  sealift trust init REPO --keys /media/keys --stream plant\n"
    "  SEALIFT_KEY_PASSPHRASE= sealift trust init REPO --keys KEYS --stream demo --development\n"
)
@click.argument("repository", metavar="REPO")
@_KEYS
@click.option("--stream", required=True, metavar="NAME", help="Name of the exporter's stream: [a-z0-9][a-z0-9-]{0,30}.")
@click.option("--threshold", default=2, show_default=True, metavar="N", help="Root keys that must sign.")
@click.option("--holders", default=3, show_default=True, metavar="M", help="Root keys in all.")
@click.option("--development", is_flag=True, help="A root for trials: says so for good; empty passphrases are allowed.")
@_JSON
def init(
    repository: str, keys: str, stream: str, threshold: int, holders: int, *, development: bool, as_json: bool
) -> None:
    """Make a trust repository REPO and its keys.

    Root and targets are signed by the root holders' keys (root-1.pem …), everything else by the exporter's
    (exporter.pem). Prints the root's fingerprint: write it on paper, and carry it to the site by another way than REPO.
    """
    from trust_root.ceremony import create
    from trust_root.pin import format_fingerprint

    at = _signing_time(development=development)
    made = create(
        Path(repository),
        Path(keys),
        stream,
        ask_passphrase(confirm=True),
        at,
        threshold=threshold,
        holders=holders,
        development=development,
    )
    _warn(development=development)
    if threshold == 1:
        _note("one root key alone can sign for this root; 2 of 3 is the default")
    root = f"{repository.rstrip('/')}/metadata/1.root.json"
    pin = f"sealift trust pin 1.root.json --sha256 {made.fingerprint.hex} --site NAME"
    document = {
        "fingerprint": str(made.fingerprint),
        "root": root,
        "threshold": made.threshold,
        "keys": [*made.holders, "exporter"],
        "stream": made.stream,
        "development": development,
        "pin": pin,
    }
    groups = format_fingerprint(made.fingerprint).split("\n")
    lines = [
        f"trust repository {repository}, stream {made.stream}, root keys {made.threshold} of {len(made.holders)}",
        f"SHA-256 of {root}, for paper:",
        *(f"  {group}" for group in groups),
        "at the site:",
        f"  {pin}",
    ]
    _print(document, lines, as_json=as_json)


@trust.command(
    epilog="\b\nExamples:\n"
    "  sealift trust publish REPO --keys KEYS --trusted-root public-good=trusted_root.json\n"
    "  sealift trust publish REPO --keys KEYS --publisher-key vendor=cosign.pub --remove keys/old.pub\n"
)
@click.argument("repository", metavar="REPO")
@_KEYS
@click.option("--trusted-root", multiple=True, metavar="NAME=FILE", help="A Sigstore trusted_root.json.")
@click.option("--publisher-key", multiple=True, metavar="NAME=FILE", help="A publisher's public key, PEM.")
@click.option("--policy", multiple=True, metavar="NAME=FILE", help="The exporter's policy, for the record.")
@click.option("--witness", multiple=True, metavar="NAME=FILE", help="A log witness's verifier key (one line).")
@click.option("--remove", multiple=True, metavar="PATH", help="A target to revoke, e.g. keys/vendor.pub.")
@_JSON
def publish(
    *,
    repository: str,
    keys: str,
    trusted_root: tuple[str, ...],
    publisher_key: tuple[str, ...],
    policy: tuple[str, ...],
    witness: tuple[str, ...],
    remove: tuple[str, ...],
    as_json: bool,
) -> None:
    """Sign new targets of REPO: what stands, with additions and removals; without options, for another year.

    They reach a site with the next bundle, and judge the evidence of older bundles there too.
    """
    from trust_root.ceremony import publish as publish_targets
    from trust_root.repository import read_repository

    add = dict(
        [
            *(_content(typed, "trusted_root/{}.json") for typed in trusted_root),
            *(_content(typed, "keys/{}.pub") for typed in publisher_key),
            *(_content(typed, "policies/{}.toml") for typed in policy),
            *(_content(typed, "witnesses/{}.vkey") for typed in witness),
        ]
    )
    at = _signing_time(development=read_repository(Path(repository)).development)
    passphrase = ask_passphrase(confirm=False)
    done = publish_targets(Path(repository), Path(keys), passphrase, at, add=add, remove=remove)
    _warn(development=done.development)
    document = {
        "targets_version": done.targets_version,
        "snapshot_version": done.snapshot_version,
        "timestamp_version": done.timestamp_version,
        "targets": list(done.paths),
        "development": done.development,
    }
    lines = [f"targets version {done.targets_version} published", *(f"target {path}" for path in done.paths)]
    _print(document, lines, as_json=as_json)


@trust.command(
    epilog="\b\nExamples:\n"
    "  sealift trust pin 1.root.json --sha256 9f86d081…0f00a08 --site plant-7\n"
    '  sealift trust pin 1.root.json --sha256 "9f86 d081 … 0f00 a08b" --site plant-7\n'
)
@click.argument("root", metavar="ROOT")
@click.option("--sha256", "fingerprint", required=True, metavar="HEX", help="The root's SHA-256, typed from paper.")
@click.option("--site", "site_name", metavar="NAME", help="This site's name, for bundles with an audience.")
@click.option("--add", is_flag=True, help="Pin a second trust root beside the one that is pinned.")
@_STATE
@_JSON
def pin(root: str, fingerprint: str, site_name: str | None, state: str | None, *, add: bool, as_json: bool) -> None:
    """Pin the root in file ROOT at this site: bundles are trusted from it on.

    Type the fingerprint from the ceremony's paper, not from where the file came.
    """
    from trust_root.pin import parse_fingerprint, pin_root

    raw = _read(root)
    folder = state_folder(state)
    with _as_usage():
        done = pin_root(folder, raw, parse_fingerprint(fingerprint), clock(), site_name=site_name, add=add)
    _warn(development=done.development)
    if done.expires_at <= clock():
        _note("this root has expired; bundles need a newer one that follows it")
    document = {
        "pin": str(done.digest),
        "version": done.version,
        "state": str(folder),
        "already": done.already,
        "development": done.development,
    }
    word = "pinned already" if done.already else "pinned"
    _print(document, [f"root {done.version} {word}: {done.digest}", f"state folder {folder}"], as_json=as_json)


@trust.command(
    epilog="\b\nExamples:\n"
    "  sealift trust show REPO\n"
    "  sealift trust show REPO/metadata/1.root.json\n"
    "  sealift trust show            (what is pinned here)\n"
)
@click.argument("what", required=False, metavar="[REPO|FILE.root.json]")
@_STATE
@_JSON
def show(what: str | None, state: str | None, *, as_json: bool) -> None:
    """Show who holds which keys and what ends when: of a repository, a root's file, or this site's pins."""
    from trust_root import inspection
    from trust_root.metadata import parse_root, verify_alone
    from trust_root.repository import read_repository
    from trust_root.site import load_site

    if what is None:
        document = inspection.describe_site(load_site(state_folder(state), read_only=True))
        _print(document, inspection.site_lines(document, clock()), as_json=as_json)
    elif Path(what).is_dir():
        document = inspection.describe_repository(read_repository(Path(what)))
        _print(document, inspection.repository_lines(document, clock()), as_json=as_json)
    else:
        root = parse_root(_read(what), what)
        verify_alone(root)
        document = inspection.describe_root(root)
        _print(document, inspection.root_lines(document, clock()), as_json=as_json)


@trust.command(
    epilog="\b\nExamples:\n"
    "  sealift trust state --json\n"
    '  sealift trust state --set-floor 2026-11-01T00:00Z --reason "clock stood in 2031 when bundle 12 came"\n'
)
@click.option("--set-floor", metavar="TIME", help="Set the time floor by hand; goes to the log.")
@click.option("--reason", metavar="TEXT", help="Why; needed with --set-floor.")
@_STATE
@_JSON
def state(set_floor: str | None, reason: str | None, state: str | None, *, as_json: bool) -> None:
    """Show what this site remembers: pins, versions, accepted bundles, time floor, digest of it all."""
    from trust_root import inspection
    from trust_root.site import load_site

    site = load_site(state_folder(state), read_only=set_floor is None)
    if set_floor is not None or reason is not None:
        site.set_floor(_floor(set_floor, reason), reason or "", clock())
    document = inspection.describe_site(site)
    _print(document, inspection.site_lines(document, clock()), as_json=as_json)


def _floor(typed: str | None, reason: str | None) -> datetime:
    from bundler.moment import format_moment, parse_typed_moment

    if typed is None or reason is None or not reason.strip():
        raise UsageError("set-floor", "option", "--set-floor", got="alone", want="--set-floor TIME --reason TEXT")
    with _as_usage():
        floor = parse_typed_moment(typed)
    if floor > clock() + _DAY:
        raise UsageError(
            "set-floor",
            "option",
            "--set-floor",
            got=format_moment(floor),
            want="at most a day after the clock: a floor in the future would stop this site",
        )
    return floor


def clock() -> datetime:
    """Now, in UTC, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def _signing_time(*, development: bool) -> datetime:
    """The clock, or SOURCE_DATE_EPOCH."""
    text, now = os.environ.get("SOURCE_DATE_EPOCH"), clock()
    if not text:
        return now
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        raise UsageError("source-date-epoch", "SOURCE_DATE_EPOCH", got=repr(text)[:40], want="seconds since 1970")
    at = datetime.fromtimestamp(int(text), UTC)
    if abs(at - now) > _DAY and not development:
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
        if not _has_terminal():
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


def _has_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def state_folder(typed: str | None) -> Path:
    """`--state`, else SEALIFT_STATE, else the XDG state folder."""
    chosen = typed or os.environ.get("SEALIFT_STATE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "sealift"


def _content(typed: str, pattern: str) -> tuple[str, bytes]:
    name, separator, file = typed.partition("=")
    if not separator or not name or not file:
        raise UsageError("target-path", "option", got=typed, want="NAME=FILE")
    return pattern.format(name), _read(file)


def _read(path: str) -> bytes:
    from bundler import limits
    from bundler.safe_file import read_bounded

    try:
        return read_bounded(Path(path), limits.TRUST_TARGET_BYTES)
    except EnvError as error:
        raise UsageError("file", "file", path, got=error.got, want="a readable file") from error


@contextlib.contextmanager
def _as_usage() -> Iterator[None]:
    """Turn MalformedError about something typed into UsageError."""
    try:
        yield
    except MalformedError as error:
        raise UsageError(error.code, error.what, error.which, got=error.got, want=error.want) from error


def _warn(*, development: bool) -> None:
    if development:
        from trust_root.inspection import DEVELOPMENT_WARNING

        click.secho(f"warning: {DEVELOPMENT_WARNING}", fg="red", bold=True, err=True)


def _note(text: str) -> None:
    click.echo(f"warning: {text}", err=True)


def _print(document: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps(document, indent=2))
        return
    for line in lines:
        click.echo(escape(line))
