"""`sealift export`: images with their evidence into one signed bundle file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.cli.connected import Reach, connect, registry_options, take_reach
from bundler.cli.options import ask_passphrase, clock, open_signer, read_settings_file
from bundler.errors import RejectedError, UsageError
from bundler.escaping import escape
from bundler.value import dataclass, replace

if TYPE_CHECKING:
    from datetime import datetime

    from bundler.export.pipeline import ExportRequest, ProofWish
    from bundler.export.settings import ImageRequest, Settings
    from trust_root.keys import Signer
    from trust_root.state_export import SiteHeads

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
@click.option("-o", "--output", metavar="FILE", help="The bundle to write; never overwritten.")
@click.option("--repository", metavar="DIR", help="The trust repository.")
@click.option("--keys", metavar="DIR", help="The folder with the exporter's key, exporter.pem.")
@click.option("--key", metavar="FILE|pkcs11:URI", help="The exporter's key itself, in a file or on a token.")
@click.option("--stream", metavar="NAME", help="The stream; refused unless it is the repository's.")
@click.option("--name", "names", metavar="REF", multiple=True, help="Name of the IMAGE before it.")
@click.option("--platform", "platforms", metavar="P", multiple=True, help="Carry only this platform; repeatable.")
@click.option("--audience", metavar="SITE", multiple=True, help="Only for this site; repeatable [any site].")
@click.option("--compression", type=click.Choice(["zstd", "none"]), help="Store what gains as zstd frames [zstd].")
@click.option(
    "--policy", "policy_file", metavar="FILE", help="Verify the bundle with this policy before it is published."
)
@click.option("--dry-run", is_flag=True, help="Print images, sizes and the space needed; write nothing but the cache.")
@click.option("--proofs", type=click.Choice(["fetch", "none"]), default="fetch", help="Ask logs for proofs [fetch].")
@click.option("--require-inclusion-proof", is_flag=True, help="Fail where evidence is left without an inclusion proof.")
@click.option(
    "--since", metavar="FILE", multiple=True, help="Ask logs how they grew since a site wrote FILE; repeatable."
)
@registry_options
@click.option(
    "--allow-synthesised-digest",
    is_flag=True,
    help="Take images that have no registry's digest (docker-archive:), and so no evidence.",
)
@click.option("--allow-expiring", is_flag=True, help="Export although trust metadata ends within 30 days.")
@click.option("--development", is_flag=True, help="Take any SOURCE_DATE_EPOCH. For trials only.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def export(**typed: Any) -> int:
    """Export images with their evidence into one signed bundle file."""
    reach = take_reach(typed)
    options = _Options(**typed)
    settings = _settings(options, click.get_current_context().meta[_NAMES])
    if options.dry_run:
        _dry_run(settings, options, reach)
        return 0
    _export(settings, options, reach)
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
    names: tuple[str, ...]
    platforms: tuple[str, ...]
    audience: tuple[str, ...]
    compression: str | None
    policy_file: str | None
    dry_run: bool
    proofs: str
    require_inclusion_proof: bool
    allow_synthesised_digest: bool
    allow_expiring: bool
    development: bool
    as_json: bool
    quiet: bool
    since: tuple[str, ...]


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
    """The settings file, or what was typed; what was typed wins."""
    from bundler.export.settings import Settings, load_settings

    if options.settings_file is not None:
        if options.images or options.names or options.platforms or options.allow_synthesised_digest:
            raise UsageError(
                "usage", "option", "--file", got="with IMAGE, --name, --platform or --allow-synthesised-digest",
                want="one or the other", hints=["what is said about images stands in the settings file"],
            )  # fmt: skip
        settings = load_settings(Path(options.settings_file))
    else:
        settings = Settings(images=tuple(_images(options, named)))
    return replace(
        settings,
        stream=options.stream or settings.stream,
        repository=Path(options.repository) if options.repository else settings.repository,
        keys=Path(options.keys) if options.keys else settings.keys,
        key=options.key if options.keys or options.key else settings.key,
        audience=options.audience or settings.audience,
        compression=options.compression or settings.compression,
    )


def _images(options: _Options, named: Sequence[tuple[int, str]]) -> Iterator[ImageRequest]:
    from bundler.errors import MalformedError
    from bundler.export.settings import ImageRequest
    from bundler.oci.descriptor import parse_platform

    if not options.images:
        raise UsageError("usage", "command line", got="no IMAGE and no --file", want="one", hints=[_HELP])
    try:
        platforms = tuple(map(parse_platform, options.platforms))
    except MalformedError as error:
        raise UsageError(error.code, "option", "--platform", got=error.which, want=error.want) from error
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


def _dry_run(settings: Settings, options: _Options, reach: Reach) -> None:
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
    show = plan_json if options.as_json else plan_text
    click.echo(show(plan, compress=compress, free_bytes=free), nl=False)


def _export(settings: Settings, options: _Options, reach: Reach) -> None:
    from bundler.cli.console import progress, progress_each
    from bundler.export.hooks import Hooks, accept
    from bundler.export.pipeline import export_bundle
    from bundler.export.show import exported_json, exported_text

    request = _request(settings, options)
    hooks = Hooks(
        passphrase=ask_passphrase(),
        signer=_signer(settings),
        verify_file=_judge(options.policy_file, request) if options.policy_file else accept,
        progress=lambda title, total: progress(title, total, quiet=options.quiet),
        progress_each=lambda title, totals: progress_each(title, totals, quiet=options.quiet),
    )
    with connect(reach) as connection:
        done = export_bundle(request, hooks, connection)
    for warning in done.warnings:
        _warn(escape(warning))
    if done.development:
        _warn("the trust root is for development only; no site should pin it")
    show = exported_json if options.as_json else exported_text
    click.echo(show(done), nl=False)


def _signer(settings: Settings) -> Callable[[], Signer] | None:
    typed, repository = settings.key, settings.repository
    return None if typed is None else lambda: open_signer(typed, apart_from=repository)


def _request(settings: Settings, options: _Options) -> ExportRequest:
    from bundler.export.created import choose_created
    from bundler.export.pipeline import ExportRequest

    needed = {"--output": options.output, "--repository": settings.repository, "--keys": settings.keys or settings.key}
    missing = [name for name, value in needed.items() if value is None]
    if missing or options.output is None or settings.repository is None:
        raise UsageError("usage", "option", missing[0], got="not given", want="a path", hints=[_HELP])
    if options.allow_expiring:
        _warn("--allow-expiring: trust metadata may end before this bundle is verified")
    if options.development:
        _warn("--development: any SOURCE_DATE_EPOCH is taken")
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return ExportRequest(
        images=settings.images,
        data=settings.data,
        target=Path(options.output),
        repository=settings.repository,
        keys=None if settings.key else settings.keys,
        stream=settings.stream,
        audience=settings.audience,
        created_at=choose_created(clock(), epoch, development=options.development),
        compress=settings.compression == "zstd",
        allow_expiring=options.allow_expiring,
        proofs=_proof_wish(options),
        since=tuple(map(_read_heads, options.since)),
    )


def _read_heads(file: str) -> SiteHeads:
    """What a site handed out."""
    from bundler import limits
    from bundler.errors import MalformedError
    from bundler.safe_file import read_bounded
    from trust_root.state_export import parse_heads

    try:
        return parse_heads(read_bounded(Path(file), limits.STATE_FILE_BYTES, "site's file"))
    except MalformedError as error:
        raise UsageError(
            "since-file", "--since", file, got=str(error), want="what sealift trust state --export wrote"
        ) from error


def _proof_wish(options: _Options) -> ProofWish:
    if options.require_inclusion_proof:
        if options.proofs == "none":
            raise UsageError("usage", "option", "--proofs", got="none", want="fetch, with --require-inclusion-proof")
        return "require"
    return "fetch" if options.proofs == "fetch" else "none"


def _judge(policy_file: str, request: ExportRequest) -> Callable[[Path], None]:
    """The far side's verification of the finished file."""
    from bundler import limits
    from bundler.export.rehearsal import rehearse
    from bundler.report.as_text import format_text
    from bundler.safe_file import read_bounded
    from bundler.verify.policy import parse_policy

    policy = parse_policy(read_settings_file(Path(policy_file), "policy"))
    created_at: datetime = request.created_at

    def judge(path: Path) -> None:
        root = read_bounded(request.repository / "metadata" / "1.root.json", limits.TRUST_METADATA_BYTES, "root")
        report = rehearse(path, root, policy, created_at, request.audience[0] if request.audience else None)
        if report.exit_code != 0:
            click.echo(format_text(report), err=True, nl=False)
            raise RejectedError(
                report.reason or "policy", "bundle", str(request.target), got="rejected by the policy",
                want="a bundle that it accepts", hints=["nothing was published"],
            )  # fmt: skip

    return judge


def _warn(text: str) -> None:
    click.echo(f"sealift: warning: {text}", err=True)
