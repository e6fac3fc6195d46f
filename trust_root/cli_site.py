"""The commands of a site: pin, show, state. Only click; the decisions are in other modules.

Rules of this module: heavy modules are imported inside the commands; every command has `--json` and examples.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from bundler.errors import UsageError
from trust_root import cli_common


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
    from trust_root.repository import read_repository
    from trust_root.site import load_site

    if what is None:
        document = inspection.describe_site(load_site(cli_common.state_folder(state), read_only=True))
        cli_common.print_result(document, inspection.site_lines(document, cli_common.clock()), as_json=as_json)
    elif Path(what).is_dir():
        document = inspection.describe_repository(read_repository(Path(what)))
        cli_common.print_result(document, inspection.repository_lines(document, cli_common.clock()), as_json=as_json)
    else:
        root = parse_root(cli_common.read_typed(what), what)
        verify_alone(root)
        document = inspection.describe_root(root)
        cli_common.print_result(document, inspection.root_lines(document, cli_common.clock()), as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust state --json\n"
    '  sealift trust state --set-floor 2026-11-01T00:00Z --reason "clock stood in 2031 when bundle 12 came"\n'
)
@click.option("--set-floor", metavar="TIME", help="Set the time floor by hand; goes to the log.")
@click.option("--reason", metavar="TEXT", help="Why; needed with --set-floor.")
@cli_common.STATE
@cli_common.AS_JSON
def state(set_floor: str | None, reason: str | None, state: str | None, *, as_json: bool) -> None:
    """Show what this site remembers: pins, versions, accepted bundles, time floor, digest of it all."""
    from trust_root import inspection
    from trust_root.site import load_site

    site = load_site(cli_common.state_folder(state), read_only=set_floor is None)
    if set_floor is not None or reason is not None:
        site.set_floor(_floor(set_floor, reason), reason or "", cli_common.clock())
    document = inspection.describe_site(site)
    cli_common.print_result(document, inspection.site_lines(document, cli_common.clock()), as_json=as_json)


def _floor(typed: str | None, reason: str | None) -> datetime:
    from bundler.moment import format_moment, parse_typed_moment

    if typed is None or reason is None or not reason.strip():
        raise UsageError("set-floor", "option", "--set-floor", got="alone", want="--set-floor TIME --reason TEXT")
    with cli_common.as_usage():
        floor = parse_typed_moment(typed)
    if floor > cli_common.clock() + cli_common.DAY:
        raise UsageError(
            "set-floor",
            "option",
            "--set-floor",
            got=format_moment(floor),
            want="at most a day after the clock: a floor in the future would stop this site",
        )
    return floor
