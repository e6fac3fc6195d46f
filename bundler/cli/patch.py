"""`sealift patch`: scan images, patch them with Copa, and export both with a signed statement about the two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.cli.connected import Reach, connect, registry_options, take_reach
from bundler.cli.exporting import (
    Exporting,
    export_hooks,
    export_moment,
    export_request,
    exporting_options,
    say,
    take_exporting,
    tell_warnings,
    typed_platforms,
)
from bundler.cli.options import check_output, clock
from bundler.errors import UsageError
from bundler.value import dataclass, replace

if TYPE_CHECKING:
    from bundler.export.patch import PatchedImage
    from bundler.export.patch_platform import Workshop
    from bundler.export.patch_record import Record
    from bundler.export.pipeline import Exported, ExportRequest
    from bundler.export.settings import ImageRequest, Settings
    from bundler.network.connection import Connection
    from trust_root.repository import Repository

_HELP = "sealift patch --help"
_RECORD = ".patched.json"
_EPILOG = """\b
Examples:
  sealift patch registry.example.org/app:1 -o app.bundle.tar --repository REPO --keys KEYS
  sealift patch nginx:1.27 --to registry.example.org/patched -o nginx.bundle.tar --repository REPO --keys KEYS
  sealift patch -f sealift.toml --export-delta
  sealift patch -f sealift.toml --dry-run
  sealift patch -f sealift.toml -o week-12.bundle.tar --buildkit tcp://buildkitd:1234 --platform linux/amd64

\b
Each IMAGE is a name in a registry. Per platform, trivy scans it, copa patches it by the report and pushes the result
(tag 1-patched-amd64 beside tag 1, or below --to PLACE), and trivy scans that. The bundle carries the original with
its evidence, the patched image (1-patched), both reports, Copa's VEX, and a statement about all of it, signed by the
exporter's key; verify proves from it that the patched image is the original with layers on top (sealift help patch).
trivy and copa take credentials from Docker's configuration. copa patches for the machine that it runs on; a platform
that it cannot patch ends the run, or with --allow-unpatched stays as it is. With --export-delta only images are
exported that have changed since they were delivered: a new original, or something that can be mended by now; without
any, a bundle only if there is newer vulnerability data.
SEALIFT_KEY_PASSPHRASE holds the key's passphrase; without it you are asked.

Exit codes: 0 exported, or nothing to do; 1 rejected (what copa pushed is not the original with layers on top, …),
2 usage, 4 trust, 6 environment (trivy, copa, network, disk).
"""


@click.command(epilog=_EPILOG)
@click.argument("images", metavar="[IMAGE]...", nargs=-1)
@click.option(
    "-f", "--file", "settings_file", metavar="FILE", help="Read images and settings from FILE (sealift.toml)."
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    callback=check_output,
    help="The bundle to write [patched-TIME.bundle.tar]; never overwritten.",
)
@click.option("--platform", "platforms", metavar="P", multiple=True, help="Patch and carry only this; repeatable.")
@click.option("--suffix", default="-patched", metavar="TEXT", help="What tags of patched images end in [-patched].")
@click.option("--to", "target", metavar="PLACE", help="Push below this registry and path [beside the original].")
@click.option("--buildkit", default="", metavar="ADDRESS", help="Address of buildkitd [as copa finds it].")
@click.option(
    "--allow-unpatched", is_flag=True, help="Carry a platform as it is where copa cannot patch it, and say so."
)
@click.option("--skip-db-update", is_flag=True, help="Scan with the database that trivy has.")
@click.option("--export-delta", is_flag=True, help="Export only images that have changed since they were delivered.")
@click.option("--record", metavar="FILE", help=f"What was delivered [the settings file's name with {_RECORD}].")
@click.option("--dry-run", is_flag=True, help="Scan, and print what would be patched; patch and write nothing.")
@exporting_options
@registry_options
def patch(**typed: Any) -> int:
    """Scan and patch images, and export both with proof of what became of them."""
    reach, exporting = take_reach(typed), take_exporting(typed)
    options = _Options(**typed)
    settings = exporting.over(_settings(options))
    _check(settings, options)
    with connect(reach) as connection:
        if options.dry_run:
            _dry_run(settings, options, exporting, reach, connection)
        else:
            _patch(settings, options, exporting, reach, connection)
    return 0


@dataclass(frozen=True, slots=True)
class _Options:
    """What was typed."""

    images: tuple[str, ...]
    settings_file: str | None
    output: str | None
    platforms: tuple[str, ...]
    suffix: str
    target: str | None
    buildkit: str
    allow_unpatched: bool
    skip_db_update: bool
    export_delta: bool
    record: str | None
    dry_run: bool

    @property
    def record_path(self) -> Path | None:
        """Where it is noted what was delivered; None: nowhere."""
        if self.record is not None:
            return Path(self.record)
        return Path(self.settings_file).with_suffix(_RECORD) if self.settings_file is not None else None

    @property
    def place(self) -> str:
        """The bundle to write."""
        return self.output or f"patched-{clock():%Y%m%dT%H%M%SZ}.bundle.tar"


def _settings(options: _Options) -> Settings:
    """The settings file, or the images that were typed."""
    from bundler.export.settings import ImageRequest, Settings, load_settings

    if options.settings_file is None:
        settings = Settings(images=tuple(map(ImageRequest, options.images)))
    elif options.images:
        raise UsageError("usage", "option", "--file", got="with IMAGE", want="one or the other", hints=[_HELP])
    else:
        settings = load_settings(Path(options.settings_file))
    wanted = typed_platforms(options.platforms)
    return replace(
        settings, images=tuple(replace(image, platforms=wanted or image.platforms) for image in settings.images)
    )


def _check(settings: Settings, options: _Options) -> None:
    """What has to be there before anything is scanned."""
    if not settings.images:
        raise UsageError("usage", "command line", got="no IMAGE and no --file", want="one", hints=[_HELP])
    if options.export_delta and options.record_path is None:
        raise UsageError("usage", "option", "--record", got="not given", want="a path", hints=[_HELP])


def _dry_run(settings: Settings, options: _Options, exporting: Exporting, reach: Reach, connection: Connection) -> None:
    from bundler.export.patch import plan_image
    from bundler.export.patch_show import planned_json, planned_text
    from bundler.export.workspace import workspace
    from trust_root.repository import read_repository

    with workspace(Path(options.place).parent) as folder:
        shop = _workshop(options, exporting, reach, connection, folder)
        held = read_repository(settings.repository) if settings.repository is not None else None
        planned = [plan_image(request, shop) for request in _changed(settings, options, shop, held)]
    click.echo((planned_json if exporting.as_json else planned_text)(planned), nl=False)


def _patch(settings: Settings, options: _Options, exporting: Exporting, reach: Reach, connection: Connection) -> None:
    from bundler.export.patch import patch_image
    from bundler.export.publish import check_absent
    from bundler.export.workspace import workspace
    from trust_root.repository import read_repository

    request = export_request(settings, exporting, options.place, "patch")
    export_hooks(settings, exporting, request)  # a policy that is none is told before hours of work
    check_absent(request.target)
    held = read_repository(request.repository)
    if not exporting.allow_expiring:
        held.check_lifetime(request.created_at)
    with workspace(request.target.parent) as folder:
        shop = _workshop(options, exporting, reach, connection, folder)
        patched = [patch_image(image, shop) for image in _changed(settings, options, shop, held)]
    if not patched and not _brings_data(settings, options, connection, held):
        _tell(None, (), exporting)
        return
    images = tuple(each.request for each in patched)
    done = _export(settings, exporting, replace(request, images=images), connection, patched)
    _note(options, done, patched)
    _tell(done, patched, exporting)


def _changed(
    settings: Settings, options: _Options, shop: Workshop, held: Repository | None
) -> tuple[ImageRequest, ...]:
    """The images to patch."""
    from bundler.export.patch_record import changed_only

    if not options.export_delta or held is None:
        return settings.images
    last = held.next_publication(clock()).sequence - 1
    return changed_only(settings.images, _record(options), shop, held.stream, last)


def _brings_data(settings: Settings, options: _Options, connection: Connection, held: Repository) -> bool:
    """Whether there is vulnerability data that was not delivered yet."""
    from bundler.export.data import collect_data

    if not settings.data:
        return False
    last = held.next_publication(clock()).sequence - 1
    with ExitStack() as opened:
        found = {each.data.digest for each in collect_data(settings.data, connection, opened, clock())}
    return not found <= _record(options).data_of(held.stream, last)


def _record(options: _Options) -> Record:
    from bundler.export.patch_record import Record, load_record

    return load_record(options.record_path) if options.record_path is not None else Record()


def _note(options: _Options, done: Exported, patched: Sequence[PatchedImage]) -> None:
    """Remember what was delivered."""
    from bundler.export.patch_record import after, save_record

    if options.record_path is not None:
        save_record(options.record_path, after(_record(options), patched, done.inventory))


def _workshop(options: _Options, exporting: Exporting, reach: Reach, connection: Connection, folder: Path) -> Workshop:
    from bundler.export.patch_platform import PatchWish, Workshop
    from bundler.network.patcher import Patcher
    from bundler.network.scanner import Scanner

    if reach.authfile:
        say("--authfile is ours alone: trivy and copa look into Docker's configuration")
    wish = PatchWish(
        options.suffix,
        options.target,
        update=not options.skip_db_update,
        allow_unpatched=options.allow_unpatched,
    )
    tell: Callable[[str], None] = (lambda _text: None) if exporting.quiet else say
    scanner, patcher = Scanner(connection.access), Patcher(buildkit=options.buildkit)
    return Workshop(connection, scanner, patcher, folder, wish, clock, tell, warn=say)


def _export(
    settings: Settings,
    exporting: Exporting,
    request: ExportRequest,
    connection: Connection,
    patched: Sequence[PatchedImage],
) -> Exported:
    from bundler.export.patch_collect import join
    from bundler.export.pipeline import export_bundle

    made = replace(request, created_at=export_moment(exporting))  # the time after patching, not before
    hooks = replace(export_hooks(settings, exporting, made), further=join(patched, connection))
    return export_bundle(made, hooks, connection)


def _tell(done: Exported | None, patched: Sequence[PatchedImage], exporting: Exporting) -> None:
    from bundler.export.patch_show import patched_json, patched_text

    if done is not None:
        tell_warnings(done)
    click.echo((patched_json if exporting.as_json else patched_text)(done, patched), nl=False)
