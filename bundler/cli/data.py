"""`sealift data`: which vulnerability data is there, how old it is, and one source of it as a file again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bundler.cli.options import check_output, clock, state_folder
from bundler.errors import TrustError
from bundler.safe_file import is_folder

if TYPE_CHECKING:
    from bundler.deliver.data_listing import ListedData, Listing
    from trust_root.site import Site

_EPILOG = """\b
Examples:
  sealift data show
  sealift data show week-12.bundle.tar
  sealift data show /var/lib/sealift --json | jq -r '.data[] | "\\(.source) \\(.age_days)"'
  sealift data get grype.tar.zst -o grype.tar.zst && grype db import grype.tar.zst

\b
Vulnerability data travels in bundles ([[vulnerability-data]] in sealift.toml). A site keeps the newest of each name
when it accepts a bundle, and the SBOMs of the images; [keep] in site.toml changes that.
"""


@click.group(epilog=_EPILOG)
def data() -> None:
    """Show which vulnerability data is there and how old it is, or take it out."""


@data.command(epilog=_EPILOG)
@click.argument("place", metavar="[FILE|STATE]", required=False)
@click.option("--untrusted", is_flag=True, help="Go on although a bundle's head is not trusted (no pin, expired, …).")
@click.option("--state", metavar="DIR", help="State folder [SEALIFT_STATE, or the XDG state folder].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (sealift help data).")
def show(place: str | None, untrusted: bool, state: str | None, as_json: bool) -> int:
    """Show the data that a bundle brings, or that this site keeps: name, age, records, digest.

    What a site keeps is hashed; of a bundle only the head is read.
    """
    from bundler.cli.main import print_error
    from bundler.deliver.data_listing import listing_document

    listing = _list(place, state)
    if as_json:
        import json

        click.echo(json.dumps(listing_document(listing), indent=2).replace("\x7f", "\\u007f"))
    else:
        click.echo("\n".join(_lines(listing)))
    failures = [listing.failure] if listing.failure is not None and not untrusted else []
    broken = [item.failure for item in listing.data if item.failure is not None]
    for error in [*failures, *broken]:
        print_error(error)
    return 4 if failures or broken else 0


@data.command(epilog=_EPILOG)
@click.argument("source", metavar="NAME")
@click.option("-o", "--output", "out", metavar="FILE", callback=check_output, required=True, help="The file to write.")
@click.option("--kind", metavar="KIND", help="Of this kind only, e.g. trivy-db.")
@click.option("--stream", metavar="NAME", help="Of this stream only.")
@click.option(
    "--pin", metavar="DIGEST", help="Of what came below this pinned root only: streams of two may share a name."
)
@click.option("--state", metavar="DIR", help="State folder [SEALIFT_STATE, or the XDG state folder].")
def get(source: str, *, out: str, **typed: str | None) -> int:
    """Write data that this site keeps under NAME to FILE, as the bundle brought it.

    It is hashed first. A scanner's database can be given to that scanner: `grype db import FILE`, or for trivy
    `tar -xzf FILE -C CACHE/db`; then `sealift scan BUNDLE --with trivy --scanner-db CACHE`.
    """
    from bundler.deliver.data_taking import take_data
    from bundler.escaping import escape
    from trust_root.site import load_site

    site = load_site(state_folder(typed["state"]), read_only=True)
    item = take_data(site, source, Path(out), kind=typed["kind"], stream=typed["stream"], pin=typed["pin"])
    told = f"{item.kind} {item.source} of stream {item.stream} {item.sequence}, {item.contents[0][0]}"
    click.echo(escape(told), err=True)
    return 0


def _list(place: str | None, state: str | None) -> Listing:
    from bundler.deliver.data_listing import list_bundle, list_site
    from trust_root.delivery import time_basis
    from trust_root.site import load_site

    if place is None or is_folder(place):
        return list_site(load_site(state_folder(place or state), read_only=True), clock())
    site: Site | TrustError
    floor = None
    try:
        site = load_site(state_folder(state), read_only=True)
        floor = site.floor
    except TrustError as error:
        site = error
    try:
        basis = time_basis(clock(), floor, None, None)
    except TrustError as error:  # the clock is behind what this site has seen
        site, basis = error, time_basis(clock(), None, None, None)
    return list_bundle(Path(place), site, basis)


def _lines(listing: Listing) -> Iterator[str]:
    from bundler.report.columns import broken
    from bundler.wording import counted

    if listing.failure is None:
        yield from broken("", listing.place, 2)
    else:
        yield from broken(f"NOT VERIFIED: {listing.failure.code}: ", listing.place, 2)
    if not listing.data:
        yield "  no vulnerability data"
    several = len({item.pin for item in listing.data}) > 1  # two roots may each have a stream of one name
    for item in listing.data:
        yield from _data_lines(item, several_pins=several)
    if listing.deliveries is not None:
        deliveries = "1 delivery" if listing.deliveries == 1 else f"{listing.deliveries} deliveries"
        sboms, images = counted(listing.sboms or 0, "SBOM"), counted(listing.images or 0, "image")
        yield f"  kept of {deliveries}: {sboms} of {images}"


def _data_lines(item: ListedData, *, several_pins: bool) -> Iterator[str]:
    from bundler.report.columns import broken
    from bundler.report.sizes import readable_size

    fact = item.fact
    mark = "DAMAGED  " if item.failure is not None else ""
    yield from broken(f"  {mark}", f"{fact.source}: {fact.told}", 4)
    below = f" below pin {item.pin}" if several_pins else ""
    yield from broken("    ", f"from {item.stream} {item.sequence}{below}, {readable_size(fact.size_bytes)}", 6)
    yield f"    {fact.digest}"
