"""`sealift patch`: scan images, patch them with Copa, and export both with a signed statement about the two."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.cli.connected import Reach, connect, registry_options, take_reach
from bundler.cli.options import ask_passphrase, clock, open_signer
from bundler.errors import UsageError
from bundler.escaping import escape
from bundler.value import dataclass, replace

if TYPE_CHECKING:
    from bundler.export.hooks import Hooks
    from bundler.export.patch import PatchedImage
    from bundler.export.patch_platform import PatchWish, Workshop
    from bundler.export.patch_record import Record
    from bundler.export.pipeline import Exported, ExportRequest
    from bundler.export.settings import ImageRequest, Settings
    from bundler.network.connection import Connection
    from trust_root.keys import Signer

_HELP = "sealift patch --help"
_RECORD = ".patched.json"
_EPILOG = """\b
Examples:
  sealift patch registry.example.org/app:1 -o app.bundle.tar --repository REPO --keys KEYS
  sealift patch nginx:1.27 --to registry.example.org/patched -o nginx.bundle.tar --repository REPO --keys KEYS
  sealift patch -f sealift.toml --export-delta
  sealift patch -f sealift.toml -o week-12.bundle.tar --buildkit tcp://buildkitd:1234 --platform linux/amd64

\b
Each IMAGE is a name in a registry. Per platform, trivy scans it, copa patches it by the report and pushes the result
(tag 1-patched-amd64 beside tag 1, or below --to PLACE), and trivy scans that. The bundle carries the original with
its evidence, the patched image (1-patched), both reports, Copa's VEX, and a statement about all of it, signed by the
exporter's key; verify proves from it that the patched image is the original with layers on top (sealift help patch).
trivy and copa take credentials from Docker's configuration. With --export-delta only images are exported that have
changed since they were delivered: a new original, or something that can be mended by now; nothing changed, no bundle.
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
    "-o", "--output", metavar="FILE", help="The bundle to write [patched-TIME.bundle.tar]; never overwritten."
)
@click.option("--repository", metavar="DIR", help="The trust repository.")
@click.option("--keys", metavar="DIR", help="The folder with the exporter's key, exporter.pem.")
@click.option("--key", metavar="FILE|pkcs11:URI", help="The exporter's key itself, in a file or on a token.")
@click.option("--stream", metavar="NAME", help="The stream; refused unless it is the repository's.")
@click.option("--platform", "platforms", metavar="P", multiple=True, help="Patch and carry only this; repeatable.")
@click.option("--audience", metavar="SITE", multiple=True, help="Only for this site; repeatable [any site].")
@click.option("--suffix", default="-patched", metavar="TEXT", help="What tags of patched images end in [-patched].")
@click.option("--to", "target", metavar="PLACE", help="Push below this registry and path [beside the original].")
@click.option("--buildkit", default="", metavar="ADDRESS", help="Address of buildkitd [as copa finds it].")
@click.option(
    "--allow-unpatched", is_flag=True, help="Carry a platform as it is where copa cannot patch it, and say so."
)
@click.option("--skip-db-update", is_flag=True, help="Scan with the database that trivy has.")
@click.option("--proofs", type=click.Choice(["fetch", "none"]), default="fetch", help="Ask logs for proofs [fetch].")
@click.option("--export-delta", is_flag=True, help="Export only images that have changed since they were delivered.")
@click.option("--record", metavar="FILE", help=f"What was delivered [the settings file's name with {_RECORD}].")
@registry_options
@click.option("--allow-expiring", is_flag=True, help="Export although trust metadata ends within 30 days.")
@click.option("--development", is_flag=True, help="Take any SOURCE_DATE_EPOCH. For trials only.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def patch(**typed: Any) -> int:
    """Scan and patch images, and export both with proof of what became of them."""
    reach = take_reach(typed)
    options = _Options(**typed)
    settings = _settings(options)
    _check(settings, options)
    with connect(reach) as connection:
        _patch(settings, options, reach, connection)
    return 0


@dataclass(frozen=True, slots=True)
class _Options:
    """What was typed."""

    images: tuple[str, ...]
    settings_file: str | None
    output: str | None
    repository: str | None
    keys: str | None
    key: str | None
    stream: str | None
    platforms: tuple[str, ...]
    audience: tuple[str, ...]
    suffix: str
    target: str | None
    buildkit: str
    allow_unpatched: bool
    skip_db_update: bool
    proofs: str
    export_delta: bool
    record: str | None
    allow_expiring: bool
    development: bool
    as_json: bool
    quiet: bool

    @property
    def record_path(self) -> Path | None:
        """Where it is noted what was delivered; None: nowhere."""
        if self.record is not None:
            return Path(self.record)
        return Path(self.settings_file).with_suffix(_RECORD) if self.settings_file is not None else None


def _settings(options: _Options) -> Settings:
    """The settings file, or what was typed; what was typed wins."""
    from bundler.export.settings import Settings, load_settings

    if options.settings_file is not None and options.images:
        raise UsageError("usage", "option", "--file", got="with IMAGE", want="one or the other", hints=[_HELP])
    if options.settings_file is not None:
        settings = load_settings(Path(options.settings_file))
    else:
        settings = Settings(images=tuple(_image_requests(options.images)))
    return replace(
        settings,
        stream=options.stream or settings.stream,
        repository=Path(options.repository) if options.repository else settings.repository,
        keys=Path(options.keys) if options.keys else settings.keys,
        key=options.key if options.keys or options.key else settings.key,
        audience=options.audience or settings.audience,
        images=_with_platforms(settings.images, options.platforms),
    )


def _image_requests(images: Sequence[str]) -> list[ImageRequest]:
    from bundler.export.settings import ImageRequest

    return [ImageRequest(image) for image in images]


def _with_platforms(images: tuple[ImageRequest, ...], platforms: Sequence[str]) -> tuple[ImageRequest, ...]:
    from bundler.errors import MalformedError
    from bundler.oci.descriptor import parse_platform

    try:
        wanted = tuple(map(parse_platform, platforms))
    except MalformedError as error:
        raise UsageError(error.code, "option", "--platform", got=error.which, want=error.want) from error
    return tuple(replace(image, platforms=wanted) for image in images) if wanted else images


def _check(settings: Settings, options: _Options) -> None:
    """What has to be there before anything is scanned."""
    if not settings.images:
        raise UsageError("usage", "command line", got="no IMAGE and no --file", want="one", hints=[_HELP])
    needed = {"--repository": settings.repository, "--keys": settings.keys or settings.key}
    missing = [name for name, value in needed.items() if value is None]
    if options.export_delta and options.record_path is None:
        missing.append("--record")
    if missing:
        raise UsageError("usage", "option", missing[0], got="not given", want="a path", hints=[_HELP])


def _patch(settings: Settings, options: _Options, reach: Reach, connection: Connection) -> None:
    from bundler.export.patch import patch_image
    from bundler.export.patch_record import after, changed_only, load_record, save_record
    from bundler.export.publish import check_absent
    from bundler.export.workspace import workspace
    from trust_root.repository import read_repository

    target = _target(options)
    check_absent(target)
    record: Record = load_record(options.record_path) if options.record_path is not None else ()
    with workspace(target.parent) as folder:
        shop = _workshop(options, reach, connection, folder)
        requests = settings.images
        if options.export_delta and settings.repository is not None:
            held = read_repository(settings.repository)
            last = held.next_publication(clock()).sequence - 1
            requests = changed_only(requests, record, shop, held.stream, last)
        patched = [patch_image(request, shop) for request in requests]
    if not patched:
        _tell(None, (), options)
        return
    done = _export(settings, options, connection, patched, target)
    if options.record_path is not None:
        inventory = done.inventory
        save_record(options.record_path, after(record, patched, inventory.stream, inventory.sequence))
    _tell(done, patched, options)


def _target(options: _Options) -> Path:
    return Path(options.output or f"patched-{clock():%Y%m%dT%H%M%SZ}.bundle.tar")


def _workshop(options: _Options, reach: Reach, connection: Connection, folder: Path) -> Workshop:
    from bundler.export.patch_platform import PatchWish, Workshop
    from bundler.network.patcher import Patcher
    from bundler.network.scanner import Scanner

    if reach.authfile:
        _say("--authfile is ours alone: trivy and copa look into Docker's configuration")
    wish: PatchWish = PatchWish(
        options.suffix,
        options.target,
        update=not options.skip_db_update,
        allow_unpatched=options.allow_unpatched,
    )
    say: Callable[[str], None] = (lambda _text: None) if options.quiet else _say
    scanner, patcher = Scanner(connection.access), Patcher(buildkit=options.buildkit)
    return Workshop(connection, scanner, patcher, folder, wish, clock, say)


def _export(
    settings: Settings, options: _Options, connection: Connection, patched: Sequence[PatchedImage], target: Path
) -> Exported:
    from bundler.export.pipeline import export_bundle

    return export_bundle(
        _request(settings, options, patched, target), _hooks(settings, options, connection, patched), connection
    )


def _request(settings: Settings, options: _Options, patched: Sequence[PatchedImage], target: Path) -> ExportRequest:
    from bundler.export.created import choose_created
    from bundler.export.pipeline import ExportRequest

    if settings.repository is None:
        raise UsageError("usage", "option", "--repository", got="not given", want="a path", hints=[_HELP])
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return ExportRequest(
        images=tuple(each.request for each in patched),
        target=target,
        repository=settings.repository,
        keys=None if settings.key else settings.keys,
        stream=settings.stream,
        audience=settings.audience,
        created_at=choose_created(clock(), epoch, development=options.development),
        compress=settings.compression == "zstd",
        allow_expiring=options.allow_expiring,
        proofs="fetch" if options.proofs == "fetch" else "none",
    )


def _hooks(settings: Settings, options: _Options, connection: Connection, patched: Sequence[PatchedImage]) -> Hooks:
    from bundler.cli.console import progress, progress_each
    from bundler.export.hooks import Hooks
    from bundler.export.patch_collect import join

    return Hooks(
        passphrase=ask_passphrase(),
        signer=_signer(settings),
        progress=lambda title, total: progress(title, total, quiet=options.quiet),
        progress_each=lambda title, totals: progress_each(title, totals, quiet=options.quiet),
        further=join(patched, connection),
    )


def _signer(settings: Settings) -> Callable[[], Signer] | None:
    typed, repository = settings.key, settings.repository
    return None if typed is None else lambda: open_signer(typed, apart_from=repository)


def _tell(done: Exported | None, patched: Sequence[PatchedImage], options: _Options) -> None:
    from bundler.export.patch_show import patched_json, patched_text

    for warning in done.warnings if done is not None else ():
        _say(f"warning: {warning}")
    if done is not None and done.development:
        _say("warning: the trust root is for development only; no site should pin it")
    show = patched_json if options.as_json else patched_text
    click.echo(show(done, patched), nl=False)


def _say(text: str) -> None:
    click.echo(f"sealift: {escape(text)}", err=True)
