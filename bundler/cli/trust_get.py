"""`sealift trust get`: one verified target of any TUF repository.

Rules of this module:
- Trust starts at the site's newest root, or at the root typed after `--root`; never at one that the repository offers.
- Which pin the repository belongs to is seen by its roots: it shows a newest root of the site's, byte for byte.
- Time is the site's: max(clock, floor). With `--root`, which asks no site, it is the clock.
- Nothing is recorded. `--from` is asked for what is needed, and no version that a site has seen is checked but the
  root's; `trust refresh` is for the site's own trust.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bundler.cli.options import check_output, clock, state_folder
from bundler.errors import TrustError, UnsupportedError, UsageError
from trust_root import cli_common

if TYPE_CHECKING:
    from trust_root.fetch import Fetch
    from trust_root.tuf_client.walk import FoundTarget, Walk


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust get trusted_root/public-good.json --from /media/usb/REPO -o trusted_root.json\n"
    "  sealift trust get trusted_root.json --from https://tuf.example.org/ --root 1.root.json -o out.json\n"
    "  sealift trust get trusted_root.json --from MIRROR --root 1.root.json --json   (verify only)\n"
)
@click.argument("target", metavar="TARGET")
@click.option("--from", "source", required=True, metavar="DIR|URL", help="The repository.")
@click.option("--root", "roots", metavar="FILE", multiple=True, help="Root to start from; repeatable [this site's].")
@click.option("--targets", "targets_place", metavar="DIR|URL", help="Where targets are [targets/ in the repository].")
@click.option(
    "-o", "--output", metavar="FILE", callback=check_output, help="Write the target here [stdout; with --json nowhere]."
)
@cli_common.STATE
@cli_common.AS_JSON
def get(
    *,
    target: str,
    source: str,
    roots: tuple[str, ...],
    targets_place: str | None,
    output: str | None,
    state: str | None,
    as_json: bool,
) -> None:
    """Fetch TARGET from a TUF repository and verify it from a root that is trusted here.

    The repository may be anybody's that keeps the specification of TUF: roots are followed one by one, then timestamp,
    snapshot, targets and delegated roles are verified, and judged by the clock (and by what this site knows of time).
    """
    from bundler.cli.trust_sources import open_source
    from trust_root.tuf_client.walk import refresh

    starts, at = (_typed_roots(roots), clock()) if roots else _site_roots(state)
    with open_source(source, pinned_version=min(starts), targets=targets_place) as repository:
        start = _start(starts, repository.metadata, source, typed=len(roots) == 1)
        walk = refresh(start, repository.metadata, at)
        found = walk.find_target(target)
        raw = walk.download(found, _by_hash_too(repository.targets, found))
    _hand_over(walk, found, raw, output, as_json=as_json)


def _typed_roots(paths: tuple[str, ...]) -> dict[int, set[bytes]]:
    from trust_root.tuf_client.workflow import open_first_root

    found: dict[int, set[bytes]] = {}
    for path in paths:
        raw = cli_common.read_typed(path)
        try:
            version = open_first_root(raw).body.version
        except (TrustError, UnsupportedError) as error:
            raise UsageError("root-file", "--root", path, got=str(error)[:200], want="a TUF root") from error
        found.setdefault(version, set()).add(raw)
    return found


def _site_roots(state: str | None) -> tuple[dict[int, set[bytes]], datetime]:
    """The newest root of each pin, and the time."""
    from trust_root.delivery import time_basis
    from trust_root.site import load_site

    site = load_site(state_folder(state), read_only=True)
    found: dict[int, set[bytes]] = {}
    for pin in site.loaded.pins:
        if pin.record.retired is None:
            newest = max(pin.roots)
            found.setdefault(newest, set()).add(pin.roots[newest])
    return found, time_basis(clock(), site.floor).at


def _start(starts: dict[int, set[bytes]], metadata: Fetch, place: str, *, typed: bool) -> bytes:
    """The trusted root that the repository shows too; one that was typed alone need not be shown."""
    from bundler import limits

    for version in sorted(starts, reverse=True):
        if (shown := metadata(f"{version}.root.json", limits.TUF_METADATA_BYTES)) in starts[version]:
            return shown
    if typed:
        (only,) = next(iter(starts.values()))
        return only
    raise TrustError(
        "root-unknown",
        "trust repository",
        place,
        got="none of the roots that are trusted here",
        want=f"one of versions {', '.join(map(str, sorted(starts)))}, byte for byte",
        hints=["name the root to start from: --root FILE", "or pin it: sealift trust pin"],
    )


def _by_hash_too(fetch: Fetch, found: FoundTarget) -> Fetch:
    """Our own repositories keep targets under their SHA-256 alone."""
    own = found.facts.hashes.get("sha256", "")

    def fetch_either(path: str, max_bytes: int) -> bytes | None:
        raw = fetch(path, max_bytes)
        return fetch(own, max_bytes) if raw is None and len(own) == 64 and own.isalnum() else raw

    return fetch_either


def _hand_over(walk: Walk, found: FoundTarget, raw: bytes, output: str | None, *, as_json: bool) -> None:
    from bundler.digest import sha256_of
    from bundler.moment import format_moment
    from bundler.safe_file import write_atomically

    if output is not None:
        write_atomically(Path(output), raw)
    elif not as_json:
        sys.stdout.buffer.write(raw)
        sys.stdout.buffer.flush()
    first, newest = walk.chain[0], walk.root
    document = {
        "target": found.facts.path,
        "role": found.role,
        "role_version": found.role_version,
        "size_bytes": len(raw),
        "sha256": sha256_of(raw).hex,
        "first_root": {"version": first.body.version, "sha256": first.digest.hex},
        "newest_root": {"version": newest.body.version, "sha256": newest.digest.hex},
        "newest_root_expires_at": format_moment(newest.body.expires_at.replace(microsecond=0)),
        "output": output,
    }
    if as_json or output is not None:
        versions = f"root {first.body.version}" + ("" if first is newest else f" to {newest.body.version}")
        line = f"{found.facts.path}: {len(raw)} bytes, {sha256_of(raw)}, by {found.role} under {versions}"
        cli_common.print_result(document, [line, f"written to {output}"], as_json=as_json)
