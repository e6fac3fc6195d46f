"""What `export` and `patch` have in common: options about the bundle and its exporter, and what they ask of an export.

Rules of this module:
- What was typed wins over the settings file.
- What weakens is said on stderr, whichever command it was typed to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bundler.cli.options import ask_passphrase, clock, open_signer, read_settings_file
from bundler.errors import RejectedError, UsageError
from bundler.escaping import escape
from bundler.value import dataclass, replace

if TYPE_CHECKING:
    from datetime import datetime

    from bundler.export.hooks import Hooks
    from bundler.export.pipeline import Exported, ExportRequest, ProofWish
    from bundler.export.settings import Settings
    from bundler.oci.descriptor import Platform
    from trust_root.keys import Signer
    from trust_root.state_export import SiteHeads

_Command = TypeVar("_Command", bound=Callable[..., Any])
_WHOSE = (
    click.option("--repository", metavar="DIR", help="The trust repository."),
    click.option("--keys", metavar="DIR", help="The folder with the exporter's key, exporter.pem."),
    click.option("--key", metavar="FILE|pkcs11:URI", help="The exporter's key itself, in a file or on a token."),
    click.option("--stream", metavar="NAME", help="The stream; refused unless it is the repository's."),
    click.option("--audience", metavar="SITE", multiple=True, help="Only for this site; repeatable [any site]."),
)
_HOW = (
    click.option("--compression", type=click.Choice(["zstd", "none"]), help="Store what gains as zstd frames [zstd]."),
    click.option(
        "--policy", "policy_file", metavar="FILE", help="Verify the bundle with this policy before it is published."
    ),
    click.option(
        "--proofs", type=click.Choice(["fetch", "none"]), default="fetch", help="Ask logs for proofs [fetch]."
    ),
    click.option(
        "--require-inclusion-proof", is_flag=True, help="Fail where evidence is left without an inclusion proof."
    ),
    click.option(
        "--since", metavar="FILE", multiple=True, help="Ask logs how they grew since a site wrote FILE; repeatable."
    ),
    click.option("--allow-expiring", is_flag=True, help="Export although trust metadata ends within 30 days."),
    click.option("--development", is_flag=True, help="Take any SOURCE_DATE_EPOCH. For trials only."),
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
    click.option("--quiet", is_flag=True, help="Show no progress."),
)


@dataclass(frozen=True, slots=True)
class Exporting:
    """What was typed about the bundle."""

    repository: str | None
    keys: str | None
    key: str | None
    stream: str | None
    audience: tuple[str, ...]
    compression: str | None
    policy_file: str | None
    proofs: str
    require_inclusion_proof: bool
    since: tuple[str, ...]
    allow_expiring: bool
    development: bool
    as_json: bool
    quiet: bool

    def over(self, settings: Settings) -> Settings:
        """Settings, with what was typed in the place of what they say."""
        return replace(
            settings,
            stream=self.stream or settings.stream,
            repository=Path(self.repository) if self.repository else settings.repository,
            keys=Path(self.keys) if self.keys else settings.keys,
            key=self.key if self.keys or self.key else settings.key,
            audience=self.audience or settings.audience,
            compression=self.compression or settings.compression,
        )


def exporting_options(command: _Command) -> _Command:
    """Give a command the options of `Exporting`."""
    for option in reversed((*_WHOSE, *_HOW)):
        command = option(command)
    return command


def take_exporting(typed: dict[str, Any]) -> Exporting:
    """Take the options of `Exporting` out of all that was typed."""
    return Exporting(**{name: typed.pop(name) for name in Exporting.__slots__})


def typed_platforms(platforms: Sequence[str]) -> tuple[Platform, ...]:
    """What `--platform` says.

    Raises:
        UsageError: no platform (code ``platform``).
    """
    from bundler.errors import MalformedError
    from bundler.oci.descriptor import parse_platform

    try:
        return tuple(map(parse_platform, platforms))
    except MalformedError as error:
        raise UsageError(error.code, "option", "--platform", got=error.which, want=error.want) from error


def export_request(settings: Settings, exporting: Exporting, output: str | None, command: str) -> ExportRequest:
    """The export that was asked for, of all that the settings name.

    Raises:
        UsageError: no output, repository or key is named (``usage``), or an option that cannot be.
    """
    from bundler.export.pipeline import ExportRequest

    needed = {"--output": output, "--repository": settings.repository, "--keys": settings.keys or settings.key}
    missing = [name for name, value in needed.items() if value is None]
    if missing or output is None or settings.repository is None:
        hints = [f"sealift {command} --help"]
        raise UsageError("usage", "option", missing[0], got="not given", want="a path", hints=hints)
    if exporting.allow_expiring:
        say("warning: --allow-expiring: trust metadata may end before this bundle is verified")
    if exporting.development:
        say("warning: --development: any SOURCE_DATE_EPOCH is taken")
    return ExportRequest(
        images=settings.images,
        data=settings.data,
        target=Path(output),
        repository=settings.repository,
        keys=None if settings.key else settings.keys,
        stream=settings.stream,
        audience=settings.audience,
        created_at=export_moment(exporting),
        compress=settings.compression == "zstd",
        allow_expiring=exporting.allow_expiring,
        proofs=_proof_wish(exporting),
        since=tuple(map(_read_heads, exporting.since)),
    )


def export_moment(exporting: Exporting) -> datetime:
    """When the bundle is made."""
    from bundler.export.created import choose_created

    return choose_created(clock(), os.environ.get("SOURCE_DATE_EPOCH"), development=exporting.development)


def export_hooks(settings: Settings, exporting: Exporting, request: ExportRequest) -> Hooks:
    """The caller's part in an export: passphrase or key, policy, progress."""
    from bundler.cli.console import progress, progress_each
    from bundler.export.hooks import Hooks, accept

    return Hooks(
        passphrase=ask_passphrase(),
        signer=_signer(settings),
        verify_file=_judge(exporting.policy_file, request) if exporting.policy_file else accept,
        progress=lambda title, total: progress(title, total, quiet=exporting.quiet),
        progress_each=lambda title, totals: progress_each(title, totals, quiet=exporting.quiet),
    )


def tell_warnings(done: Exported) -> None:
    """What an export has to say beside its result."""
    for warning in done.warnings:
        say(f"warning: {warning}")
    if done.development:
        say("warning: the trust root is for development only; no site should pin it")


def say(text: str) -> None:
    """One line to stderr."""
    click.echo(f"sealift: {escape(text)}", err=True)


def _signer(settings: Settings) -> Callable[[], Signer] | None:
    typed, repository = settings.key, settings.repository
    return None if typed is None else lambda: open_signer(typed, apart_from=repository)


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


def _proof_wish(exporting: Exporting) -> ProofWish:
    if exporting.require_inclusion_proof:
        if exporting.proofs == "none":
            raise UsageError("usage", "option", "--proofs", got="none", want="fetch, with --require-inclusion-proof")
        return "require"
    return "fetch" if exporting.proofs == "fetch" else "none"


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
