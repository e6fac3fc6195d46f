"""`sealift inspect`: what a bundle holds, or one image in it, in a moment, whatever its size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bundler.cli.options import clock, state_folder
from bundler.errors import SealiftError, TrustError, UsageError
from bundler.escaping import escape
from bundler.value import dataclass

if TYPE_CHECKING:
    from bundler.deliver.image_inspection import ImageInspection
    from bundler.deliver.readings import ReadingKind
    from trust_root.delivery import TimeBasis
    from trust_root.site import Site

_EPILOG = """\b
Examples:
  sealift inspect app.bundle.tar
  sealift inspect app.bundle.tar --json | jq -r '.images[].name'
  sealift inspect app.bundle.tar registry.example.org/team/app:1 --sbom --platform linux/arm64
  sealift inspect app.bundle.tar registry.example.org/team/app:1 --provenance --raw > provenance.json
  sealift inspect app.bundle.tar --untrusted

More: sealift help inspect
"""


@click.command(epilog=_EPILOG)
@click.argument("file", metavar="FILE")
@click.argument("image", metavar="[IMAGE]", required=False)
@click.option("--sbom", "view", flag_value="sbom", help="Show SBOMs: identity, tools, packages, licences.")
@click.option("--provenance", "view", flag_value="provenance", help="Show provenance: builder, source, materials.")
@click.option(
    "--scans", "view", flag_value="scans", help="Show scan reports that came with it: scanner, dates, counts."
)
@click.option("--signatures", "view", flag_value="signatures", help="Show signatures and attestations.")
@click.option("--tree", "view", flag_value="tree", help="Show the image with all evidence about it [with IMAGE].")
@click.option("--platform", metavar="P", help="Of this platform only, e.g. linux/arm64.")
@click.option("--all", "everything", is_flag=True, help="Cut no list short.")
@click.option("--raw", is_flag=True, help="With --sbom or --provenance: buildx's JSON. With --scans: the document.")
@click.option("--untrusted", is_flag=True, help="Exit 0 although the head is not trusted (no pin, expired, …).")
@click.option("--state", metavar="DIR", help="State folder [SEALIFT_STATE, or the XDG state folder].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(file: str, image: str | None, state: str | None, untrusted: bool, **typed: Any) -> int:
    """Show what the bundle FILE holds: images, platforms, evidence, sizes, trust; or look into one IMAGE.

    IMAGE is a name or a digest, and may be left out when there is only one. Layers are not read and no policy is
    applied; that is what verify does. The head's trust is checked first: without a pin, or when it does not hold, the
    same facts stand under NOT VERIFIED and the exit code is 4. What is asked for and absent is named, with exit code 1.
    """
    from bundler.cli.main import print_error
    from trust_root.delivery import time_basis
    from trust_root.site import load_site

    options = _Options(**typed)
    options.check(image)
    site: Site | TrustError
    try:
        site = load_site(state_folder(state), read_only=True)
        basis = time_basis(clock(), site.floor)
    except TrustError as error:
        site, basis = error, time_basis(clock(), None)
    if image is None and options.view is None:
        failures = _show_bundle(file, site, basis, as_json=options.as_json)
    else:
        failures = _show_image(file, site, basis, image, options, untrusted=untrusted)
    told = [failure for failure in failures if failure is not None]
    for failure in told:
        print_error(failure)
    return next((failure.exit_code for failure in told if not (untrusted and isinstance(failure, TrustError))), 0)


@dataclass(frozen=True, slots=True)
class _Options:
    """What was typed about one image."""

    view: str | None
    platform: str | None
    everything: bool
    raw: bool
    as_json: bool

    def check(self, image: str | None) -> None:
        """Refuse options that do not fit together."""
        if self.raw and (self.as_json or self.view not in ("sbom", "provenance", "scans")):
            raise UsageError(
                "usage", "option", "--raw", got="not with one of --sbom, --provenance and --scans alone",
                want="--sbom --raw, --provenance --raw, or --scans --raw",
            )  # fmt: skip
        if self.platform is not None and image is None and self.view is None:
            raise UsageError("usage", "option", "--platform", got="no IMAGE", want="sealift inspect FILE IMAGE")


def _show_bundle(file: str, site: Site | TrustError, basis: TimeBasis, *, as_json: bool) -> list[SealiftError | None]:
    from bundler.deliver.inspection import inspect_bundle, inspection_document

    found = inspect_bundle(file, site, basis)
    document = inspection_document(found)
    if as_json:
        _print_json(document)
    else:
        from bundler.cli.console import show
        from bundler.cli.inspect_text import bundle_lines

        show(bundle_lines(document))
    return [found.failure]


def _show_image(
    file: str, site: Site | TrustError, basis: TimeBasis, image: str | None, options: _Options, *, untrusted: bool
) -> list[SealiftError | None]:
    from bundler.deliver.image_inspection import open_image_inspection

    with open_image_inspection(file, site, basis, image, options.platform) as inspection:
        head_failure = inspection.head.failure
        if options.raw:
            if head_failure is not None and not untrusted:
                raise head_failure
            _print_raw(inspection, options.view)
            return [head_failure]
        document, failure = _look(inspection, options.view or "tree")
    if options.as_json:
        _print_json(document)
    else:
        _print_image(document, options)
    return [head_failure, failure]


def _look(inspection: ImageInspection, view: str) -> tuple[dict[str, Any], SealiftError | None]:
    from bundler.deliver import image_document

    if view == "sbom":
        return image_document.readings_document(inspection, "sbom")
    if view == "provenance":
        return image_document.readings_document(inspection, "provenance")
    if view == "scans":
        return image_document.scans_document(inspection)
    if view == "signatures":
        return image_document.signatures_document(inspection)
    return image_document.tree_document(inspection), None


def _print_image(document: dict[str, Any], options: _Options) -> None:
    from bundler.cli import inspect_text
    from bundler.cli.console import show

    most = None if options.everything else inspect_text.MOST_ROWS
    show(inspect_text.head_lines(document))
    if options.view == "sbom":
        show(inspect_text.sbom_lines(document, most))
    elif options.view == "provenance":
        show(inspect_text.provenance_lines(document, most))
    elif options.view == "scans":
        show(inspect_text.scan_lines(document))
    elif options.view == "signatures":
        show(inspect_text.signature_lines(document))
    else:
        show(inspect_text.tree_lines(document))


def _print_raw(inspection: ImageInspection, view: str | None) -> None:
    """The JSON on stdout, without a newline at its end, as buildx prints it; how strong it is on stderr."""
    if view == "scans":
        from bundler.deliver.raw_scans import raw_scans

        raw, told = raw_scans(inspection)
        for line in told:
            click.echo(f"sealift: note: {escape(line)}", err=True)
        click.echo(raw, nl=False)
        return
    from bundler.deliver.raw_predicates import format_raw, raw_strengths

    kind: ReadingKind = "sbom" if view == "sbom" else "provenance"
    text = format_raw(kind, inspection.judged, inspection.platform)
    for platform, strength in raw_strengths(kind, inspection.judged):
        click.echo(f"sealift: note: {escape(platform)}: {escape(strength)}", err=True)
    click.echo(text, nl=False)


def _print_json(document: dict[str, Any]) -> None:
    import json

    click.echo(json.dumps(document, indent=2).replace("\x7f", "\\u007f"))
