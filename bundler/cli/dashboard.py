"""`sealift dashboard`: what is open in everything that was delivered, over time, as one page.

no FILE     what this site remembers of accepted deliveries
FILE…       bundles, each verified
--data      OSV records; else the newest of what this site keeps and these bundles bring
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.cli.options import check_output
from bundler.errors import DamagedError, TrustError, UsageError, hinting
from bundler.value import dataclass

if TYPE_CHECKING:
    from bundler.cli.console import Shown
    from bundler.vulnerability.findings import Note
    from bundler.vulnerability.history import Delivery
    from bundler.vulnerability.match import Matcher
    from bundler.vulnerability.shelf import ShelfDocument
    from trust_root.delivery import TimeBasis
    from trust_root.site import Site

_EPILOG = """\b
Examples:
  sealift dashboard --html dashboard.html
  sealift dashboard *.bundle.tar --data osv/Debian.zip --data osv/PyPI.zip --html dashboard.html
  sealift dashboard *.bundle.tar --data osv --policy policy.toml --json | jq .totals
  sealift dashboard *.bundle.tar --data osv --without-verifying --html dashboard.html

Exit codes: 0 told (whatever was found), 2 usage, 3 damaged, 4 the trust of a file or of this site does not hold,
5 unsupported, 6 environment. More: sealift help dashboard
"""
_HEADINGS = ("image", "verdict", "days", "critical", "high", "medium", "low", "unknown", "fixable", "vex", "change")
_SEVERITIES = _HEADINGS[3:8]


@click.command(epilog=_EPILOG)
@click.argument("files", metavar="[FILE...]", nargs=-1)
@click.option(
    "--data",
    metavar="PATH",
    multiple=True,
    help="OSV records: a zip of them, or a folder; repeatable [what this site keeps, and FILE brings].",
)
@click.option("--index", metavar="DIR", help="Where indexes of the data are kept [the cache folder].")
@click.option("--policy", metavar="FILE", help="This site's demands (sealift help policy) [the one of site.toml].")
@click.option(
    "--without-verifying", is_flag=True, help="Read no layers and judge no image; check the trust of each head only."
)
@click.option("--at", metavar="TIME", help="Tell as of TIME (UTC, 2027-03-01T00:00Z). Needs --reason.")
@click.option("--reason", metavar="TEXT", help="Why --at was typed.")
@click.option("--state", metavar="DIR", help="State folder [SEALIFT_STATE, or the XDG state folder].")
@click.option(
    "--html", metavar="OUT", callback=check_output, help="Write the dashboard as one HTML page that stands alone."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON (sealift help dashboard).")
def dashboard(files: tuple[str, ...], *, html: str | None, as_json: bool, **typed: Any) -> int:
    """Show what is open in all images, what each delivery fixed and brought, and how old the data is.

    Without FILE, of every delivery that this site remembers. Each FILE is verified against the pinned root and the
    policy. All SBOMs are compared with the same data. Nothing is recorded, and older deliveries that this site has
    accepted count as accepted. No network is used.
    """
    options = _Options(**typed)
    if "-" in files:
        raise UsageError("usage", "bundle", "-", got="standard input", want="files: they are read here and there")
    if html is not None:
        from bundler.report.html_page import require_renderer

        require_renderer()
    document = _gather(files, options)
    if html is not None:
        _write_page(Path(html), document)
    if as_json:
        import json

        click.echo(json.dumps(document, indent=2).replace("\x7f", "\\u007f"))
    elif html is None:
        from bundler.cli.console import show

        show(_lines(document))
    if not all(delivery["trusted"] for delivery in document["deliveries"]):
        return TrustError.exit_code
    return DamagedError.exit_code if any(one["verdict"] == "damaged" for one in document["deliveries"]) else 0


@dataclass(frozen=True, slots=True)
class _Options:
    """What was typed, beside FILE."""

    data: tuple[str, ...]
    index: str | None
    policy: str | None
    without_verifying: bool
    at: str | None
    reason: str | None
    state: str | None


def _gather(files: tuple[str, ...], options: _Options) -> dict[str, Any]:
    """The dashboard, as plain values."""
    from bundler.cli.judging import load_policy
    from bundler.cli.scan import site_and_time
    from bundler.deliver.deliveries import Desk, gather_delivery
    from bundler.deliver.remembered_deliveries import Memory
    from bundler.vulnerability.dashboard import dashboard_document
    from bundler.vulnerability.scan import data_notes

    site, basis = site_and_time(options.state, options.at, options.reason)
    if isinstance(site, TrustError):
        raise site
    policy = None if options.without_verifying else load_policy(options.policy, site)
    with _data(files, site, options, basis) as (matcher, documents, notes):
        if files:
            desk = Desk(site, basis, matcher, policy, documents)
            deliveries = []
            for file in files:
                with hinting(f"bundle {file}"):  # one of several
                    deliveries.append(gather_delivery(Path(file), desk))
            _tell_weak(deliveries, policy is not None)
        else:
            deliveries = list(Memory(site, matcher, documents, policy).deliveries())
            _require_some(deliveries)
        data = [database.described(basis.at) for database in matcher.databases]
        said = (*notes, *data_notes(matcher))
    return dashboard_document(deliveries, basis.at, site.name or "", data, said)


@contextmanager
def _data(
    files: tuple[str, ...], site: Site, options: _Options, basis: TimeBasis
) -> Iterator[tuple[Matcher, tuple[ShelfDocument, ...], tuple[Note, ...]]]:
    """What everything is compared with: what was named, else what the site keeps and trusted bundles bring; and VEX."""
    from bundler.cli.scan import open_matcher
    from bundler.deliver.brought_data import open_brought_data
    from bundler.vulnerability.data_contents import VEX_KINDS
    from bundler.vulnerability.database import default_index_folder, made_folder
    from bundler.vulnerability.recollection import kept_items
    from bundler.vulnerability.shelf import newest, read_vex
    from bundler.vulnerability.shelf import open_matcher as open_items

    folder = Path(options.index) if options.index else default_index_folder(os.environ)
    kinds = VEX_KINDS if options.data else (*VEX_KINDS, "osv")
    with ExitStack() as opened:
        items = list(kept_items(site))
        unread: list[Note] = []
        for file in dict.fromkeys(files):
            with hinting(f"bundle {file}"):
                brought, notes = opened.enter_context(
                    open_brought_data(file, site, basis, made_folder(folder), kinds, trusted_only=True)
                )
            items += brought
            unread += notes
        documents, unreadable = read_vex(newest(items))
        unread += unreadable
        if options.data:
            yield opened.enter_context(open_matcher(options.data, options.index, basis.at)), documents, tuple(unread)
            return
        matcher, more = opened.enter_context(open_items(newest(items), folder, basis.at))
        if not matcher.databases:
            raise _no_data((*unread, *more))
        yield matcher, documents, (*unread, *more)


def _no_data(notes: tuple[Note, ...]) -> UsageError:
    return UsageError(
        "no-vulnerability-data", "option", "--data", got="none; there is none that can be read in bundles or this site",
        want="a zip or a folder of OSV records",
        hints=["sealift dashboard --data osv/PyPI.zip --html dashboard.html",
               *(f"{note.subject}: {note.detail}" for note in notes)],
    )  # fmt: skip


def _require_some(deliveries: list[Delivery]) -> None:
    if not deliveries:
        raise UsageError(
            "usage", "argument", "FILE", got="none, and this site remembers no delivery", want="bundles",
            hints=["sealift verify FILE makes the site remember it; or sealift dashboard FILE… --data PATH"],
        )  # fmt: skip


def _tell_weak(deliveries: list[Delivery], verified: bool) -> None:
    from bundler.escaping import escape

    if not verified:
        click.echo("sealift: note: no image was verified: no policy, or --without-verifying", err=True)
    for delivery in deliveries:
        if not delivery.trusted:
            click.echo(f"sealift: note: not trusted: {escape(delivery.source)} [{delivery.reason}]", err=True)


def _write_page(path: Path, document: dict[str, Any]) -> None:
    from bundler.report.dashboard_html import format_dashboard
    from bundler.safe_file import write_atomically

    write_atomically(path, format_dashboard(document).encode(), what="HTML page")


def _lines(document: dict[str, Any]) -> Iterator[Shown]:
    from bundler.cli.console import Table
    from bundler.report.columns import broken
    from bundler.wording import counted

    totals, counts = document["totals"], document["totals"]["open"]
    images, deliveries = totals["images"], sum(delivery["trusted"] for delivery in document["deliveries"])
    yield (
        f"{counted(images, 'image')} from {deliveries} deliver{'y' if deliveries == 1 else 'ies'}, "
        f"as of {document['at']}"
    )
    for source in document["data"]:
        age = "of unknown age" if source["age_days"] is None else f"{source['age_days']} days old"
        yield from broken(
            "  data: ", f"{source['source']} ({source['kind']}), {counted(source['records'], 'record')}, {age}", 4
        )
    yield Table(_HEADINGS, [_row(image) for image in document["images"]])
    numbers = ", ".join(f"{counts[severity]} {severity}" for severity in _SEVERITIES)
    yield f"open: {counts['total']} ({numbers}); fixable: {counts['fixable']}; under VEX: {_under_vex(document)}"
    yield f"the last deliveries fixed {totals['fixed']} and brought {totals['brought']}"
    yield f"images verified: {totals['verified']} of {totals['images']}; not judged: {totals['unscanned']}"
    yield f"packages judged: {totals['judged']} of {totals['packages']}"
    for image in document["images"]:
        originals = {sbom["original"]["image"]: None for sbom in image["sboms"] if sbom["original"]}
        for original in originals:
            yield from broken("patched: ", f"{image['name']} is judged by the SBOM of its original, {original}", 2)


def _under_vex(document: dict[str, Any]) -> str:
    """How many are settled, and how many of those by words alone that their author did not sign."""
    settled = [finding for image in document["images"] for finding in image["findings"] if finding["excused"]]
    signed = ("signed", "covered")
    weak = sum(
        not any(said["accepted"] and said["strength"].startswith(signed) for said in finding["vex"])
        for finding in settled
    )
    return f"{len(settled)}, of them by unsigned words alone: {weak}" if weak else str(len(settled))


def _row(image: dict[str, Any]) -> tuple[str, ...]:
    counts, change = image["open"], image["change"]
    numbers = [str(counts[key]) if counts else "?" for key in (*_SEVERITIES, "fixable", "under_vex")]
    told = "" if change is None else f"-{len(change['fixed'])} +{len(change['brought'])}"
    return image["name"], image["verdict"], str(image["age_days"]), *numbers, told
