"""`sealift verify`: judge a bundle, print the report, remember what was accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from bundler.cli.judging import Judging, make_request, print_report, size_of
from bundler.cli.options import check_output, clock
from bundler.errors import MalformedError, UsageError
from bundler.value import dataclass, replace

if TYPE_CHECKING:
    from bundler.archive.reader import ArchiveReader
    from bundler.verify.pipeline import Request, Verification
    from trust_root.site import Site

_EPILOG = """\b
Examples:
  sealift verify app.bundle.tar --policy policy.toml
  sealift verify app.bundle.tar --policy policy.toml --json > report.json
  sealift verify app.bundle.tar --policy policy.toml --html report.html
  cat /dev/st0 | sealift verify - --policy policy.toml
  sealift verify app.bundle.tar --policy policy.toml --at 2027-03-01T00:00Z --reason "audit 12"
  sealift verify app.bundle.tar --integrity-only

Exit codes: 0 verified, 1 rejected, 2 usage, 3 damaged, 4 trust, 5 unsupported, 6 environment.
"""


@click.command(epilog=_EPILOG)
@click.argument("file", metavar="FILE")
@click.option("--policy", "policy_file", metavar="FILE", help="This site's demands (sealift help policy).")
@click.option(
    "--at", metavar="TIME", help="Judge as of TIME (UTC, 2027-03-01T00:00Z). Records nothing. Needs --reason."
)
@click.option("--reason", metavar="TEXT", help="Why --at was typed; stands in the report.")
@click.option("--historic", is_flag=True, help="Accept an older delivery that this site has accepted before.")
@click.option(
    "--min-sequence",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    help="Accept no new delivery below sequence N: for a site whose state was lost.",
)
@click.option("--read-only", is_flag=True, help="Write nothing to the state; rollback is checked, not recorded.")
@click.option(
    "--require-inclusion-proof", is_flag=True, help="Demand a log's proof behind every signature that the policy names."
)
@click.option(
    "--require-log-growth", is_flag=True, help="Demand proof that logs have only grown since this site saw them."
)
@click.option("--explain", is_flag=True, help="Say which rule decided about each image, and why.")
@click.option(
    "--integrity-only", is_flag=True, help="Check bytes against the file's own metadata; proves nothing else."
)
@click.option("--state", metavar="DIR", help="State folder [SEALIFT_STATE, or the XDG state folder].")
@click.option("--threads", type=click.IntRange(1, 64), help="Members read at once [as many as cores].")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON (sealift help report).")
@click.option(
    "--html", metavar="FILE", callback=check_output, help="Also write the report as one HTML page that stands alone."
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
def verify(file: str, as_json: bool, html: str | None, quiet: bool, **typed: Any) -> int:
    """Verify the bundle FILE (`-`: standard input), offline.

    The pinned root, the bundle's trust metadata, its inventory, every byte, and then each image's own signatures are
    checked against this site's policy. Nothing is unpacked.
    """
    from bundler.cli.console import progress
    from bundler.verify.pipeline import verify_bundle

    own = {name: typed.pop(name) for name in ("at", "reason", "read_only", "integrity_only", "explain")}
    options = _Options(Judging(**typed), **own)
    with ExitStack() as stack:
        page = None if html is None else stack.enter_context(_new_page(Path(html)))
        site = _load_site(options)
        with progress("verifying", size_of(file), quiet=quiet) as bar:
            request = replace(_request(options, site, bar.reach), exhibit=page is not None)
            finish = None if site is None else partial(_settle, site)
            run = verify_bundle(file, request, finish)
        if page is not None:
            _write_page(page, run)
    print_report(run.report, as_json=as_json)
    return run.report.exit_code


def _settle(site: Site, run: Verification, archive: ArchiveReader) -> None:
    from bundler.verify.settle import settle

    settle(run, site, archive)


@dataclass(frozen=True, slots=True)
class _Options:
    """What was typed, beside FILE."""

    judging: Judging
    at: str | None
    reason: str | None
    read_only: bool
    integrity_only: bool
    explain: bool


def _load_site(options: _Options) -> Site | None:
    """The site's state; None for `--integrity-only`, which needs no pin."""
    judging = options.judging
    if not options.integrity_only:
        return judging.site(read_only=options.read_only)
    demands = (judging.require_inclusion_proof, judging.require_log_growth)
    head = (options.at, judging.historic, judging.min_sequence > 1)
    if any((judging.policy_file, *head, *demands, options.explain)):
        raise UsageError(
            "usage", "option", "--integrity-only", got="with an option about claims", want="alone",
            hints=["--integrity-only proves nothing about claims; leave it out to verify"],
        )  # fmt: skip
    return None


def _request(options: _Options, site: Site | None, reach: Callable[[int], None]) -> Request:
    from bundler.moment import parse_typed_moment
    from trust_root.delivery import time_basis

    at = None
    if options.at is not None:
        try:
            at = parse_typed_moment(options.at)
        except MalformedError as error:
            raise UsageError("usage", "option", "--at", got=options.at, want="2027-03-01T00:00Z") from error
    basis = time_basis(clock(), site.floor if site else None, at, options.reason)
    request = make_request(options.judging, site, basis, reach)
    return replace(request, explain=options.explain, integrity_only=options.integrity_only)


@contextmanager
def _new_page(path: Path) -> Iterator[BinaryIO]:
    """The HTML file, begun before hours of work, so that a wrong path is known at once. It appears whole or never."""
    from bundler.report.html_page import require_renderer
    from bundler.safe_file import new_file

    require_renderer()
    with new_file(path, what="HTML report") as page:
        yield page


def _write_page(page: BinaryIO, run: Verification) -> None:
    """The HTML form, also of a refusal."""
    from bundler.report.as_html import format_html

    page.write(format_html(run.report, run.exhibits).encode())
