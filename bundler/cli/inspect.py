"""`sealift inspect`: what a bundle holds, in a moment, whatever its size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from bundler.cli.options import clock, state_folder
from bundler.errors import TrustError

_EPILOG = """\b
Examples:
  sealift inspect app.bundle.tar
  sealift inspect app.bundle.tar --json | jq -r '.images[].name'
  sealift inspect app.bundle.tar --untrusted
"""


@click.command(epilog=_EPILOG)
@click.argument("file", metavar="FILE")
@click.option("--untrusted", is_flag=True, help="Exit 0 although the head is not trusted (no pin, expired, …).")
@click.option("--state", metavar="DIR", help="State folder [SEALIFT_STATE, or the XDG state folder].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(file: str, untrusted: bool, state: str | None, as_json: bool) -> int:
    """Show what the bundle FILE holds: images, platforms, evidence, sizes, trust.

    Layers are not read and no claim is judged; that is what verify does. The head's trust is checked first: without a
    pin, or when it does not hold, the same facts stand under NOT VERIFIED and the exit code is 4.
    """
    from bundler.cli.main import print_error
    from bundler.deliver.inspection import inspect_bundle, inspection_document
    from trust_root.delivery import time_basis
    from trust_root.site import Site, load_site

    site: Site | TrustError
    try:
        site = load_site(state_folder(state), read_only=True)
        basis = time_basis(clock(), site.floor)
    except TrustError as error:
        site, basis = error, time_basis(clock(), None)
    found = inspect_bundle(file, site, basis)
    document = inspection_document(found)
    if as_json:
        import json

        click.echo(json.dumps(document, indent=2))
    else:
        click.echo("\n".join(_lines(document)))
    if found.failure is None:
        return 0
    print_error(found.failure)
    return 0 if untrusted else found.failure.exit_code


def _lines(document: dict[str, Any]) -> Iterator[str]:
    from bundler.escaping import escape
    from bundler.report.sizes import readable_size

    if document["trusted"]:
        yield f"{escape(document['file'])}: head trusted through pin {document['pin']}; claims not judged (verify does)"
    else:
        yield f"NOT VERIFIED: {document['reason']}: {escape(document['file'])}"
    if document["development"]:
        yield "  !! DEVELOPMENT TRUST ROOT: its keys were made for trying things out; this proves nothing to anybody"
    yield (
        f"  stream {document['stream']}, sequence {document['sequence']}, created {document['created']}, "
        f"by {escape(document['tool'])}"
    )
    for_whom = ", ".join(document["audience"]) or "any site"
    sizes = f"{readable_size(document['size'])}, stored as {readable_size(document['stored_size'])}"
    yield f"  for {for_whom}; {len(document['images'])} images, {document['blobs']} blobs, {sizes}"
    roles = ", ".join(f"{role['role']} {role['version']} until {role['expires'][:10]}" for role in document["roles"])
    yield f"  trust: {roles}"
    for target in document["targets"]:
        yield f"  target: {escape(target['path'])}, {readable_size(target['size'])}"
    for image in document["images"]:
        yield from _image(image)


def _image(image: dict[str, Any]) -> Iterator[str]:
    from bundler.escaping import escape

    yield ""
    yield f"{escape(image['name'])}"
    yield f"  {image['digest']}  {escape(image['media_type'])}"
    for child in image["platforms"]:
        yield f"  platform {escape(child['platform'])}: {child['digest']}"
    for child in image["omitted"]:
        yield f"  omitted {escape(child['platform'])}: {child['digest']}"
    for item in image["evidence"]:
        claims = f" claims {', '.join(item['claims'])}" if item["claims"] else ""
        about = item["platform"] or item["subject"]
        yield escape(f"  {item['kind']} about {about}, found by {item['found_by']}:{claims} (not judged here)")
    absent = sum(search["answer"] == "absent" for search in image["searches"])
    yield f"  searched {len(image['searches'])} places for evidence; {absent} answered that there is none"
