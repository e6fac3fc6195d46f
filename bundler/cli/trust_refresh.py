"""`sealift trust refresh`: newer roots and targets for this site, without a delivery.

Rules of this module: roots are kept as soon as they pass, and that is said, even if the rest is refused after that, or
the clock is: no time bears on roots, and a revocation has to land.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bundler.cli.options import clock, state_folder
from bundler.errors import UsageError
from bundler.safe_file import is_folder
from bundler.value import dataclass
from trust_root import cli_common

if TYPE_CHECKING:
    from trust_root.newest import OpenedRoots
    from trust_root.refresh import RefreshedTargets
    from trust_root.site import Site

_BEGINNING = 64  # bytes that tell JSON from a bundle


@dataclass(frozen=True, slots=True)
class _Source:
    """What was typed after `--from`: its files by their names in a bundle, and whether it has more than roots."""

    files: Mapping[str, bytes]
    only_roots: bool


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust refresh --from revocation.json          (after a theft: a few kB, roots only)\n"
    "  sealift trust refresh --from /media/usb/REPO\n"
    "  sealift trust refresh --from https://trust.example.org/plant/\n"
    "  sealift trust refresh --from app.bundle.tar\n"
)
@click.option(
    "--from",
    "source",
    required=True,
    metavar="SOURCE",
    help="A revocation file, a repository (folder or URL) or a bundle.",
)
@cli_common.STATE
@cli_common.AS_JSON
def refresh(source: str, state: str | None, *, as_json: bool) -> None:
    """Bring newer roots and targets to this site without accepting a delivery.

    Everything is checked as if it came with a bundle. Newer roots are kept even if the rest is refused, so that a
    revocation lands; after that, bundles signed with the old keys are refused.
    """
    from trust_root.delivery import TimeBasis, time_basis
    from trust_root.refresh import refresh_roots, refresh_targets
    from trust_root.site import load_site

    site = load_site(state_folder(state))
    now = clock()
    with _opened(source, site) as opened:
        roots = refresh_roots(site, opened.files, TimeBasis(now, "clock", None, now, now))
        if roots.new_roots:
            click.echo(f"kept: {_new_roots(roots)}", err=True)
        basis = time_basis(now, site.floor)
        targets = None if opened.only_roots else refresh_targets(site, roots, opened.files, basis)
    _print(site, roots, targets, as_json=as_json)


@contextlib.contextmanager
def _opened(source: str, site: Site) -> Iterator[_Source]:
    """Find out what the source is, and open it."""
    if source.startswith(("http://", "https://")) or is_folder(source):
        with _repository(source, site) as opened:
            yield opened
        return
    yield _revocation(Path(source)) if _is_revocation(Path(source)) else _bundle(source)


@contextlib.contextmanager
def _repository(source: str, site: Site) -> Iterator[_Source]:
    from bundler.cli.trust_sources import open_source
    from trust_root.refresh import FetchedFiles

    pinned = min(pin.version for pin in site.loaded.pins)
    with open_source(source, pinned_version=pinned) as repository:
        files = FetchedFiles(repository.metadata, repository.targets)
        files.fetch_roots()
        yield _Source(files, only_roots=False)


def _is_revocation(path: Path) -> bool:
    """Whether it is JSON: no bundle begins so, and a revocation file that was edited is told as one."""
    try:
        if path.exists() and not path.is_file():
            return False  # a pipe would hang us; the bundle's reader refuses it
        with path.open("rb") as file:
            return file.read(_BEGINNING).lstrip().startswith(b"{")
    except OSError as error:
        raise UsageError(
            "source", "--from", str(path), got=error.strerror or str(error),
            want="a revocation file, a repository's folder or address, or a bundle",
        ) from error  # fmt: skip


def _revocation(path: Path) -> _Source:
    from bundler import limits
    from bundler.safe_file import read_bounded
    from trust_root.refresh import root_files
    from trust_root.revocation import parse_revocation

    roots = parse_revocation(read_bounded(path, limits.REVOCATION_BYTES, "revocation file"))
    return _Source(root_files(roots), only_roots=True)


def _bundle(source: str) -> _Source:
    from bundler.archive.reader import open_archive

    with open_archive(source) as archive:
        return _Source(dict(archive.trust_files), only_roots=False)


def _print(site: Site, roots: OpenedRoots, targets: RefreshedTargets | None, *, as_json: bool) -> None:
    from trust_root.cli_site import digest_lines

    held = max(site.held(roots.pin).roots)
    document = {
        "pin": str(roots.pin),
        "root_version": held,
        "new_roots": [version for version, _ in roots.new_roots],
        "targets_version": None if targets is None else targets.version,
        "new_targets": targets is not None and targets.newer,
        "state_digest": str(site.loaded.digest),
    }
    lines = [f"pin {roots.pin}, newest root {held}: {_new_roots(roots) if roots.new_roots else 'no newer one'}"]
    if targets is not None:
        lines.append(f"targets {targets.version}: {'new here, and kept' if targets.newer else 'known here'}")
    cli_common.print_result(document, [*lines, *digest_lines(site.loaded.digest)], as_json=as_json)


def _new_roots(roots: OpenedRoots) -> str:
    versions = [version for version, _ in roots.new_roots]
    return f"root {versions[0]}" if len(versions) == 1 else f"roots {versions[0]} to {versions[-1]}"
