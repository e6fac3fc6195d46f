"""`sealift export`: images with their evidence into one signed bundle file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.cli.connected import Reach, connect, registry_options, take_reach
from bundler.cli.exporting import (
    Exporting,
    export_hooks,
    export_request,
    exporting_options,
    take_exporting,
    tell_warnings,
    typed_platforms,
)
from bundler.cli.options import check_output, clock
from bundler.errors import UsageError
from bundler.value import dataclass

if TYPE_CHECKING:
    from bundler.export.settings import ImageRequest, Settings

_NAMES = "bundler.cli.export.names"
_HELP = "sealift export --help"
_EPILOG = """\b
Examples:
  sealift export registry.example.org/app:1 nginx:1.27 -o week-12.bundle.tar --repository REPO --keys KEYS
  sealift export oci:./image --name registry.example.org/app:1 \\
      -o app.bundle.tar --repository REPO --keys KEYS --stream plant
  sealift export oci-archive:app.tar oci:tools:v2 --platform linux/amd64 -o two.bundle.tar --repository REPO --keys KEYS
  sealift export -f sealift.toml -o week-12.bundle.tar --policy policy.toml
  sealift export -f sealift.toml -o week-13.bundle.tar --since plant-7.json
  sealift export -f sealift.toml -o week-14.bundle.tar --key 'pkcs11:token=exporter;object=online'
  sealift export -f sealift.toml --dry-run --json

\b
IMAGE is a name in a registry, with or without docker://; or oci:FOLDER[:REF] or oci-archive:FILE[:REF], also as written
by cosign save; or dir:FOLDER with its signature files; or docker-archive:FILE[:REF], which has no registry's digest and
needs --allow-synthesised-digest. --name belongs to the IMAGE before it, and is needed where the layout records no full
name. Blobs from registries are kept in a cache (sealift cache show). For evidence with an inclusion promise only, the
log is asked for the inclusion proof (--proofs none: it is not). With --since FILE, written at a site by sealift trust
state --export FILE, logs are asked for the proof that they have only grown since. SEALIFT_KEY_PASSPHRASE holds the
key's passphrase; without it you are asked. SOURCE_DATE_EPOCH sets the time of the bundle.

Exit codes: 0 exported, 1 rejected (incomplete source, missing evidence, policy), 2 usage, 4 trust, 6 environment.
"""


class _ExportCommand(click.Command):
    """Remembers which IMAGE each --name followed; click keeps no such order."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Pair names with images, then parse as usual."""
        ctx.meta[_NAMES] = tuple(pair_names(args, _options_with_value(self)))
        return super().parse_args(ctx, args)


@click.command(cls=_ExportCommand, epilog=_EPILOG)
@click.argument("images", metavar="[IMAGE]...", nargs=-1)
@click.option(
    "-f", "--file", "settings_file", metavar="FILE", help="Read images and settings from FILE (sealift.toml)."
)
@click.option("-o", "--output", metavar="FILE", callback=check_output, help="The bundle to write; never overwritten.")
@click.option("--name", "names", metavar="REF", multiple=True, help="Name of the IMAGE before it.")
@click.option("--platform", "platforms", metavar="P", multiple=True, help="Carry only this platform; repeatable.")
@click.option("--dry-run", is_flag=True, help="Print images, sizes and the space needed; write nothing but the cache.")
@exporting_options
@registry_options
@click.option(
    "--allow-synthesised-digest",
    is_flag=True,
    help="Take images that have no registry's digest (docker-archive:), and so no evidence.",
)
def export(**typed: Any) -> int:
    """Export images with their evidence into one signed bundle file."""
    reach, exporting = take_reach(typed), take_exporting(typed)
    options = _Options(**typed)
    settings = exporting.over(_settings(options, click.get_current_context().meta[_NAMES]))
    if options.dry_run:
        _dry_run(settings, options, exporting, reach)
        return 0
    _export(settings, options, exporting, reach)
    return 0


@dataclass(frozen=True, slots=True)
class _Options:
    """What was typed."""

    images: tuple[str, ...]
    settings_file: str | None
    output: str | None
    names: tuple[str, ...]
    platforms: tuple[str, ...]
    dry_run: bool
    allow_synthesised_digest: bool


def pair_names(args: Sequence[str], with_value: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Each `--name` with the number of the IMAGE that it followed (-1: none).

    Args:
        args: the command line after `export`.
        with_value: the options that take the next word as their value.
    """
    position, words = -1, iter(args)
    for word in words:
        option, equals, value = word.partition("=")
        if word == "--":
            return
        if option in with_value:
            value = value if equals else next(words, "")
            if option == "--name":
                yield position, value
        elif not word.startswith("-") or word == "-":
            position += 1


def _options_with_value(command: click.Command) -> frozenset[str]:
    return frozenset(
        name
        for option in command.params
        if isinstance(option, click.Option) and not option.is_flag
        for name in option.opts
    )


def _settings(options: _Options, named: Sequence[tuple[int, str]]) -> Settings:
    """The settings file, or the images that were typed."""
    from bundler.export.settings import Settings, load_settings

    if options.settings_file is None:
        return Settings(images=tuple(_images(options, named)))
    if options.images or options.names or options.platforms or options.allow_synthesised_digest:
        raise UsageError(
            "usage", "option", "--file", got="with IMAGE, --name, --platform or --allow-synthesised-digest",
            want="one or the other", hints=["what is said about images stands in the settings file"],
        )  # fmt: skip
    return load_settings(Path(options.settings_file))


def _images(options: _Options, named: Sequence[tuple[int, str]]) -> Iterator[ImageRequest]:
    from bundler.export.settings import ImageRequest

    if not options.images:
        raise UsageError("usage", "command line", got="no IMAGE and no --file", want="one", hints=[_HELP])
    platforms = typed_platforms(options.platforms)
    names = _names_by_image(len(options.images), named)
    for number, image in enumerate(options.images):
        yield ImageRequest(
            image, names.get(number), platforms, allow_synthesised_digest=options.allow_synthesised_digest
        )


def _names_by_image(images: int, named: Sequence[tuple[int, str]]) -> dict[int, str]:
    """Each name belongs to the image before it; or, one for each, to the images in their order."""
    names = dict(named)
    if len(names) == len(named) and -1 not in names:
        return names
    if len(named) == images:
        return dict(enumerate(name for _, name in named))
    raise UsageError(
        "usage", "option", "--name", got="not one for an IMAGE", want="IMAGE --name REF, or as many names as images"
    )


def _dry_run(settings: Settings, options: _Options, exporting: Exporting, reach: Reach) -> None:
    from bundler.export.data import collect_data
    from bundler.export.pipeline import collect_images
    from bundler.export.plan import make_plan
    from bundler.export.show import plan_json, plan_text
    from bundler.export.space import free_bytes

    compress = settings.compression == "zstd"
    with connect(reach) as connection, ExitStack() as opened:
        images = collect_images(settings.images, connection, opened)
        plan = make_plan(images, collect_data(settings.data, connection, opened, clock()))
    free = free_bytes(Path(options.output).parent) if options.output else None
    show = plan_json if exporting.as_json else plan_text
    click.echo(show(plan, compress=compress, free_bytes=free), nl=False)


def _export(settings: Settings, options: _Options, exporting: Exporting, reach: Reach) -> None:
    from bundler.export.pipeline import export_bundle
    from bundler.export.show import exported_json, exported_text

    request = export_request(settings, exporting, options.output, "export")
    hooks = export_hooks(settings, exporting, request)
    with connect(reach) as connection:
        done = export_bundle(request, hooks, connection)
    tell_warnings(done)
    show = exported_json if exporting.as_json else exported_text
    click.echo(show(done), nl=False)
