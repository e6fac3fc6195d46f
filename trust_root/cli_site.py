"""The commands of a site: pin, reanchor, show, state. Only click; the decisions are in other modules.

Rules of this module: heavy modules are imported inside the commands; every command has `--json` and examples.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bundler.errors import UsageError
from bundler.safe_file import is_folder
from trust_root import cli_common

if TYPE_CHECKING:
    from bundler.digest import Digest
    from trust_root.site import Site


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust pin 1.root.json --sha256 9f86d081…0f00a08 --site plant-7\n"
    '  sealift trust pin 1.root.json --sha256 "9f86 d081 … 0f00 a08b" --site plant-7\n'
)
@click.argument("root", metavar="ROOT")
@click.option("--sha256", "fingerprint", required=True, metavar="HEX", help="The root's SHA-256, typed from paper.")
@click.option("--site", "site_name", metavar="NAME", help="This site's name, for bundles with an audience.")
@click.option("--add", is_flag=True, help="Pin a second trust root beside the one that is pinned.")
@cli_common.STATE
@cli_common.AS_JSON
def pin(root: str, fingerprint: str, site_name: str | None, state: str | None, *, add: bool, as_json: bool) -> None:
    """Pin the root in file ROOT at this site: bundles are trusted from it on.

    Type the fingerprint from the ceremony's paper, not from where the file came.
    """
    from trust_root.pin import parse_fingerprint, pin_root

    raw = cli_common.read_typed(root)
    folder = cli_common.state_folder(state)
    with cli_common.as_usage():
        done = pin_root(folder, raw, parse_fingerprint(fingerprint), cli_common.clock(), site_name=site_name, add=add)
    cli_common.warn(development=done.development)
    if done.expires_at <= cli_common.clock():
        cli_common.note("this root has expired; bundles need a newer one that follows it")
    document = {
        "pin": str(done.digest),
        "version": done.version,
        "state": str(folder),
        "already": done.already,
        "development": done.development,
    }
    word = "pinned already" if done.already else "pinned"
    cli_common.print_result(
        document, [f"root {done.version} {word}: {done.digest}", f"state folder {folder}"], as_json=as_json
    )


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust show REPO\n"
    "  sealift trust show REPO/metadata/1.root.json\n"
    "  sealift trust show            (what is pinned here)\n"
)
@click.argument("what", required=False, metavar="[REPO|FILE.root.json]")
@cli_common.STATE
@cli_common.AS_JSON
def show(what: str | None, state: str | None, *, as_json: bool) -> None:
    """Show who holds which keys and what ends when: of a repository, a root's file, or this site's pins."""
    from trust_root import inspection
    from trust_root.metadata import parse_root, verify_alone
    from trust_root.site import load_site

    if what is None:
        document = inspection.describe_site(load_site(cli_common.state_folder(state), read_only=True))
        cli_common.print_result(document, inspection.site_lines(document, cli_common.clock()), as_json=as_json)
    elif is_folder(what):
        _show_folder(Path(what), as_json=as_json)
    else:
        root = parse_root(cli_common.read_typed(what), what)
        verify_alone(root)
        document = inspection.describe_root(root)
        cli_common.print_result(document, inspection.root_lines(document, cli_common.clock()), as_json=as_json)


def _show_folder(folder: Path, *, as_json: bool) -> None:
    """A repository, and what is proposed in it."""
    from trust_root.inspection import describe_repository, repository_lines
    from trust_root.proposal_words import describe_proposal, proposal_lines
    from trust_root.workplace import read_workplace

    place, at = read_workplace(folder), cli_common.clock()
    document = {} if place.repository is None else describe_repository(place.repository)
    lines = [] if place.repository is None else list(repository_lines(document, at))
    document["proposal"] = None if place.opened is None else describe_proposal(place.opened)
    if place.opened is not None:
        lines += proposal_lines(document["proposal"], at)
    cli_common.print_result(document, lines, as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust reanchor 1.root.json --sha256 9f86d081…0f00a08 --operator 'A. Adams' --operator 'B. Brown' \\\n"
    '      --reason "two of three root keys burnt, minutes of 2029-05-02"\n'
)
@click.argument("root", metavar="ROOT")
@click.option("--sha256", "fingerprint", required=True, metavar="HEX", help="The root's SHA-256, typed from paper.")
@click.option("--operator", "operators", multiple=True, metavar="NAME", help="Who does this; twice, two people.")
@click.option("--reason", required=True, metavar="TEXT", help="Why the pinned trust root is given up; for the log.")
@click.option("--replaces", metavar="DIGEST", help="Which pin is given up, if several stand.")
@cli_common.STATE
@cli_common.AS_JSON
def reanchor(
    *,
    root: str,
    fingerprint: str,
    operators: tuple[str, ...],
    reason: str,
    replaces: str | None,
    state: str | None,
    as_json: bool,
) -> None:
    """Pin the root in file ROOT in the place of one whose keys are lost.

    For the day on which too few holders are left to sign a next root. What was accepted below the old pin stays known,
    and passes with --historic only; nothing new passes there.
    """
    from trust_root import reanchor as room
    from trust_root.pin import parse_fingerprint

    folder = cli_common.state_folder(state)
    done = room.reanchor(
        folder,
        cli_common.read_typed(root),
        parse_fingerprint(fingerprint),
        cli_common.clock(),
        operators=operators,
        reason=reason,
        replaces=None if replaces is None else parse_fingerprint(replaces),
    )
    cli_common.warn(development=done.development)
    document = {
        "pin": str(done.pin),
        "version": done.version,
        "replaces": str(done.replaces),
        "state_digest": str(done.state),
        "state": str(folder),
        "development": done.development,
    }
    lines = [
        f"root {done.version} pinned: {done.pin}",
        f"given up: {done.replaces}; what was accepted below it passes with --historic only",
        *digest_lines(done.state),
    ]
    cli_common.print_result(document, lines, as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust state --json\n"
    "  sealift trust state --export plant-7.json\n"
    '  sealift trust state --accept-settings --reason "max_age_days set, ticket 4711"\n'
    '  sealift trust state --set-floor 2026-11-01T00:00Z --reason "clock stood in 2031 when bundle 12 came"\n'
)
@click.option("--set-floor", metavar="TIME", help="Set the time floor by hand; goes to the log.")
@click.option("--accept-settings", is_flag=True, help="Believe site.toml as it is now, after an edit; goes to the log.")
@click.option("--rename-site", "rename", is_flag=True, help="With --accept-settings: this very site has a new name.")
@click.option("--reason", metavar="TEXT", help="Why; needed with --set-floor and --accept-settings.")
@click.option(
    "--export",
    "target",
    metavar="FILE",
    callback=cli_common.check_output,
    help="Write how far this site has come, for its exporters.",
)
@cli_common.STATE
@cli_common.AS_JSON
def state(
    set_floor: str | None,
    reason: str | None,
    target: str | None,
    state: str | None,
    *,
    accept_settings: bool,
    rename: bool,
    as_json: bool,
) -> None:
    """Show what this site remembers: pins, versions, accepted bundles, time floor, digest of it all.

    The digest is for the paper log book: a state that is put back from a backup has an older one.
    """
    from trust_root import inspection
    from trust_root.site import load_site

    changes = accept_settings or rename or set_floor is not None or reason is not None
    site = load_site(cli_common.state_folder(state), read_only=not changes, new_settings=accept_settings)
    if changes:
        _change(site, set_floor, reason, accept_settings=accept_settings, rename=rename)
    if target is not None:
        _export(site, Path(target))
    document = inspection.describe_site(site)
    cli_common.print_result(document, inspection.site_lines(document, cli_common.clock()), as_json=as_json)


def digest_lines(digest: Digest) -> list[str]:
    """The state's digest in groups, as it is written into the log book."""
    from trust_root.pin import format_fingerprint

    return ["state digest, for the log book:", *(f"  {group}" for group in format_fingerprint(digest).split("\n"))]


def _change(site: Site, set_floor: str | None, reason: str | None, *, accept_settings: bool, rename: bool) -> None:
    from trust_root.reanchor import check_reason

    if accept_settings == (set_floor is not None):
        raise UsageError(
            "state-change", "option", got="none or both", want="--set-floor TIME or --accept-settings, with --reason"
        )
    why = check_reason(reason or "")
    if accept_settings:
        site.accept_settings(why, cli_common.clock(), rename=rename)
    else:
        site.set_floor(_floor(set_floor or ""), why, cli_common.clock())


def _export(site: Site, target: Path) -> None:
    from bundler.safe_file import write_atomically
    from trust_root.state_export import format_heads, heads_of

    write_atomically(target, format_heads(heads_of(site.name, site.loaded)), what="site state")


def _floor(typed: str) -> datetime:
    from bundler.moment import format_moment, parse_typed_moment

    with cli_common.as_usage():
        floor = parse_typed_moment(typed)
    if floor - cli_common.clock() > cli_common.DAY:
        raise UsageError(
            "set-floor",
            "option",
            "--set-floor",
            got=format_moment(floor),
            want="at most a day after the clock: a floor in the future would stop this site",
        )
    return floor
