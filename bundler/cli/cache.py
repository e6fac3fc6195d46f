"""`sealift cache`: what was fetched before, and making room."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.cli.options import clock
from bundler.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from bundler.network.cache_keeping import CacheContents, Pile, Pruned

_AGE = re.compile(r"([0-9]{1,5})([hdw])", re.ASCII)
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}
_EPILOG = """\b
Examples:
  sealift cache show
  sealift cache prune --unused-for 30d
  sealift cache prune --max-size 50G --dry-run
  sealift cache prune --all --cache /data/sealift

\b
An export keeps what it fetches, so that the next one need not fetch it again. Nothing in the cache is trusted: every
blob used is hashed in every export. All of it can be removed at any time while no export runs.
"""
_CACHE = click.option("--cache", "folder", metavar="DIR", help="The cache [$XDG_CACHE_HOME/sealift].")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(epilog=_EPILOG)
def cache() -> None:
    """Show or prune what exports have fetched from registries."""


@cache.command(epilog="\b\nExamples:\n  sealift cache show\n  sealift cache show --json --cache /data/sealift")
@_CACHE
@_JSON
def show(folder: str | None, as_json: bool) -> int:
    """Show how much lies in the cache, and when it was used."""
    from bundler.network.cache_keeping import show_cache

    contents = show_cache(_folder(folder))
    if as_json:
        _print_json(_contents_document(contents))
    else:
        _print_contents(contents)
    return 0


@cache.command(epilog=_EPILOG)
@_CACHE
@click.option("--max-size", metavar="SIZE", help="Keep at most SIZE, e.g. 50G; least recently used goes first.")
@click.option(
    "--unused-for", metavar="AGE", help="Remove what was not used for AGE: hours, days, weeks (12h, 30d, 8w)."
)
@click.option("--all", "everything", is_flag=True, help="Remove everything, kept log proofs too.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@_JSON
def prune(
    *,
    folder: str | None,
    max_size: str | None,
    unused_for: str | None,
    everything: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Remove what was not used lately. Refused while an export runs."""
    from bundler.cli.connected import parse_size
    from bundler.network.cache_keeping import prune_cache

    if not everything and max_size is None and unused_for is None:
        raise UsageError(
            "usage", "command line", got="nothing to go by", want="--max-size, --unused-for or --all",
            hints=["sealift cache prune --help"],
        )  # fmt: skip
    pruned = prune_cache(
        _folder(folder),
        now=clock(),
        max_bytes=parse_size(max_size, "--max-size") if max_size is not None else None,
        unused_for=parse_age(unused_for) if unused_for is not None else None,
        everything=everything,
        dry_run=dry_run,
    )
    if as_json:
        _print_json(_pruned_document(pruned, dry_run=dry_run))
    else:
        verb = "would remove" if dry_run else "removed"
        click.echo(f"{verb} {_readable(pruned.removed)}; {_readable(pruned.kept)} left")
    return 0


def parse_age(text: str) -> timedelta:
    """A span of time as people type it: `12h`, `30d`, `8w`.

    Raises:
        UsageError: none (code ``age``).
    """
    from datetime import timedelta

    match = _AGE.fullmatch(text)
    if match is None:
        raise UsageError("age", "option", "--unused-for", got=repr(text[:40]), want="e.g. 12h, 30d or 8w")
    return timedelta(hours=int(match[1]) * _HOURS[match[2]])


def _folder(typed: str | None) -> Path:
    from bundler.network.blob_cache import default_cache_folder

    return Path(typed) if typed else default_cache_folder(os.environ)


def _print_contents(contents: CacheContents) -> None:
    from bundler.escaping import escape

    lines = [
        ("cache", escape(str(contents.folder))),
        ("blobs", _readable(contents.blobs)),
        ("begun", _readable(contents.partials)),
        ("proofs", _readable(contents.proofs)),
    ]
    if contents.oldest_use and contents.newest_use:
        lines.append(("used", f"{_moment(contents.oldest_use)} to {_moment(contents.newest_use)}"))
    for title, value in lines:
        click.echo(f"{title + ':':<8}{value}")


def _contents_document(contents: CacheContents) -> dict[str, Any]:
    return {
        "folder": str(contents.folder),
        "blobs": _pile_document(contents.blobs),
        "partials": _pile_document(contents.partials),
        "proofs": _pile_document(contents.proofs),
        "oldest_use": _moment(contents.oldest_use) if contents.oldest_use else None,
        "newest_use": _moment(contents.newest_use) if contents.newest_use else None,
    }


def _pruned_document(pruned: Pruned, *, dry_run: bool) -> dict[str, Any]:
    return {"dry_run": dry_run, "removed": _pile_document(pruned.removed), "kept": _pile_document(pruned.kept)}


def _pile_document(pile: Pile) -> dict[str, int]:
    return {"count": pile.count, "size": pile.size_bytes}


def _readable(pile: Pile) -> str:
    from bundler.report.sizes import readable_size

    return f"{pile.count} {'file' if pile.count == 1 else 'files'}, {readable_size(pile.size_bytes)}"


def _moment(moment: datetime) -> str:
    from bundler.moment import format_moment

    return format_moment(moment.replace(microsecond=0))


def _print_json(document: dict[str, Any]) -> None:
    import json

    click.echo(json.dumps(document, indent=2))
