"""`sealift diff`: what differs between two bundles, offline, without reading their layers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bundler.cli.options import check_output, clock, state_folder
from bundler.errors import TrustError, UsageError
from bundler.wording import counted

_EPILOG = """\b
Examples:
  sealift diff monday.bundle.tar friday.bundle.tar
  sealift diff monday.bundle.tar friday.bundle.tar --html diff.html
  sealift diff A B --json | jq -r '.images[] | select(.change == "added") | .name'

Exit codes: 0 no difference, 1 differences, 2 usage, 3 damaged, 4 trust, 5 unsupported, 6 environment.
"""
_MARKS = {"added": "+", "removed": "-", "moved": "~", "replaced": "~", "evidence": "~", "changed": "~"}
_WORDS = {
    "added": "added",
    "removed": "removed",
    "moved": "moved to another digest",
    "replaced": "replaced by another tag",
    "evidence": "same image, other evidence",
}
_FACTS = (
    ("platforms", "platform"),
    ("omitted", "left out"),
    ("signers", "signed"),
    ("log_strength", "strength"),
    ("not_verified", "not verified"),
    ("builders", "builder of"),
    ("sources", "source of"),
)
_MOST_PACKAGES = 20


@click.command(epilog=_EPILOG)
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("--untrusted", is_flag=True, help="Compare although a head is not trusted (no pin, expired, …).")
@click.option("--state", metavar="DIR", help="State folder [SEALIFT_STATE, or the XDG state folder].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (sealift help diff).")
@click.option(
    "--html",
    metavar="FILE",
    callback=check_output,
    help="Also write the differences as one HTML page that stands alone.",
)
def diff(before: str, after: str, *, untrusted: bool, state: str | None, as_json: bool, html: str | None) -> int:
    """Show what differs between the bundles A and B: images, packages, signers, builders, log strength, data, bytes.

    Layers are not read and no policy is asked; that is what verify does. Both heads' trust is checked first: where one
    does not hold, the same facts stand under NOT VERIFIED and the exit code is 4.
    """
    from bundler.cli.main import print_error
    from bundler.deliver.diff import compare_bundles
    from bundler.deliver.diff_document import diff_document

    if "-" in (before, after):
        raise UsageError("usage", "bundle", "-", got="standard input", want="two files: they are read here and there")
    if html is not None:
        from bundler.report.html_page import require_renderer

        require_renderer()
    found = compare_bundles(before, after, *_site(state))
    document = diff_document(found)
    if as_json:
        import json

        click.echo(json.dumps(document, indent=2).replace("\x7f", "\\u007f"))
    else:
        click.echo("\n".join(_lines(document)))
    if html is not None:
        _write_page(Path(html), document)
    if found.failure is not None:
        print_error(found.failure)
        if not untrusted:
            return found.failure.exit_code
    return 1 if document["different"] else 0


def _site(state: str | None) -> tuple[Any, Any]:
    """The site, or why there is none; and the time basis."""
    from trust_root.delivery import time_basis
    from trust_root.site import load_site

    try:
        site = load_site(state_folder(state), read_only=True)
        return site, time_basis(clock(), site.floor)
    except TrustError as error:
        return error, time_basis(clock(), None)


def _write_page(path: Path, document: dict[str, Any]) -> None:
    from bundler.report.diff_html import format_diff_html
    from bundler.safe_file import write_atomically

    write_atomically(path, format_diff_html(document).encode(), what="HTML page")


def _lines(document: dict[str, Any]) -> Iterator[str]:
    from bundler.report.columns import broken
    from bundler.report.sizes import readable_size

    for mark, side in (("A", document["before"]), ("B", document["after"])):
        verdict = "" if side["trusted"] else f"NOT VERIFIED: {side['reason']}: "
        yield from broken(f"{verdict}{mark}  ", side["file"], 3)
        size = readable_size(side["stored_size"])
        yield f"   stream {side['stream']}, sequence {side['sequence']}, created {side['created']}, {size}"
        if side["pin"]:  # two roots may each have a stream of one name
            yield f"   trusted through pin {side['pin'][:19]}…"
    shared, gone, new = (readable_size(document["bytes"][key]) for key in ("shared", "gone", "new"))
    yield f"   {shared} in both, {gone} only in A, {new} only in B"
    if not document["different"]:
        yield f"no difference in {counted(document['same'], 'image')}"
        return
    for image in document["images"]:
        yield ""
        for start, text in _image(image):
            yield from broken(start, text, 8)
    for data in document["data"]:
        yield ""
        yield from broken(f"{_MARKS[data['change']]} ", f"vulnerability data {data['source']}: {data['change']}", 8)
        for mark, side in (("-", data["before"]), ("+", data["after"])):
            if side is not None:
                yield from broken(f"    {mark} ", _data(side), 8)
    yield ""
    yield f"{counted(len(document['images']), 'image')} with differences, {document['same']} without"


def _image(image: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What differs in one image: how each line starts, and the text from outside that follows."""
    from bundler.report.sizes import readable_size

    yield f"{_MARKS[image['change']]} ", f"{image['name']}: {_WORDS[image['change']]}"
    for mark, side in (("-", image["before"]), ("+", image["after"])):
        if side is not None and image["change"] != "evidence":
            if image["change"] == "replaced":
                yield f"    {mark} ", side["name"]
            yield f"    {mark} ", side["digest"]
            yield f"    {mark} ", readable_size(side["size"])
    for key, word in _FACTS:
        for mark, side in (("-", "removed"), ("+", "added")):
            for item in image[key][side]:
                yield f"    {mark} {word} ", item
    for platform in image["packages"]:
        yield from _packages(platform)


def _data(side: dict[str, Any]) -> str:
    records = "" if side["records"] is None else f", {counted(side['records'], 'record')}"
    changed = f", changed {side['modified']}" if side["modified"] else ""
    return f"{side['kind']}{records}{changed}, {side['digest']}"


def _packages(platform: dict[str, Any]) -> Iterator[tuple[str, str]]:
    about, sboms = platform["platform"] or "whole image", platform["sboms"]
    if sboms["before"] != sboms["after"]:
        before, after = (", ".join(sboms[side]) or "none" for side in ("before", "after"))
        yield "    ~ SBOM of ", f"{about}: {before} -> {after}"
    counts = [f"{len(platform[key])} {key}" for key in ("added", "removed", "changed") if platform[key]]
    if counts:
        yield "    ~ packages of ", f"{about}: {', '.join(counts)}, {platform['same']} the same"
    marks = (("added", "+"), ("removed", "-"), ("changed", "~"))
    changes = [(mark, item) for key, mark in marks for item in platform[key]]
    for mark, item in changes[:_MOST_PACKAGES]:
        yield f"      {mark} ", f"{item['package']} {_versions(item)}"
    if len(changes) > _MOST_PACKAGES:
        yield "      … ", f"{len(changes) - _MOST_PACKAGES} more (--json and --html have all)"


def _versions(item: dict[str, Any]) -> str:
    """`1.0 -> 1.1`, or the licences where the versions are the same."""
    for key, start in (("versions", ""), ("licences", "licence ")):
        before, after = (", ".join(text for text in item[key][side] if text) for side in ("before", "after"))
        if not before or not after:
            if before or after:
                return start + (before or after)
        elif before != after:
            return f"{start}{before} -> {after}"
    return ""
