"""`sealift scan`: SBOMs of a bundle, or those that a site keeps, against vulnerability data, offline."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.cli.options import check_output, clock, state_folder
from bundler.errors import MalformedError, TrustError, UsageError
from bundler.safe_file import is_folder
from bundler.value import dataclass, replace

if TYPE_CHECKING:
    from bundler.deliver.remembered_deliveries import Memory
    from bundler.deliver.scanning import BundleScan
    from bundler.verify.policy import Policy
    from bundler.vulnerability.findings import DataSource, Note, Severity
    from bundler.vulnerability.match import Matcher
    from bundler.vulnerability.shelf import ShelfDocument
    from bundler.vulnerability.vex import VexSource
    from trust_root.delivery import TimeBasis
    from trust_root.site import Site

_EPILOG = """\b
Examples:
  sealift scan app.bundle.tar --data osv/Debian.zip --data osv/PyPI.zip
  sealift scan app.bundle.tar registry.example.org/team/app:1 --data osv --fail-on high
  sealift scan app.bundle.tar --data osv --json | jq '.images[] | {image, platform, counts}'
  sealift scan app.bundle.tar --data osv --sarif scan.sarif --fail-on never
  sealift scan app.bundle.tar --data osv --html scan.html
  sealift scan /var/lib/sealift --vex vex.json
  sealift scan app.bundle.tar --with trivy --scanner-db /srv/trivy-cache

Exit codes: 0 nothing at or above --fail-on, 1 findings or an image that could not be scanned, 2 usage, 3 damaged,
4 trust, 5 unsupported, 6 environment. More: sealift help scan
"""
_ANY, _NEVER = "any", "never"


@click.command(epilog=_EPILOG)
@click.argument("file", metavar="FILE|STATE")
@click.argument("image", metavar="[IMAGE]", required=False)
@click.option(
    "--data",
    metavar="PATH",
    multiple=True,
    help="OSV records: a zip of them, or a folder; repeatable [what FILE brings, and what the site keeps].",
)
@click.option("--vex", metavar="PATH", multiple=True, help="OpenVEX or CSAF VEX whose word you take; repeatable.")
@click.option(
    "--policy", metavar="FILE", help="Whose VEX settles what is for this policy to say [the one of site.toml]."
)
@click.option("--index", metavar="DIR", help="Where indexes of the data are kept [the cache folder].")
@click.option(
    "--with", "scanner", type=click.Choice(["trivy", "grype"]), help="Let this scanner judge, by its own database."
)
@click.option("--scanner-db", "database", metavar="DIR", help="With --with: the folder of its database [its own].")
@click.option("--platform", metavar="P", help="Of this platform only, e.g. linux/arm64.")
@click.option(
    "--fail-on",
    type=click.Choice([_ANY, "low", "medium", "high", "critical", _NEVER]),
    default=_ANY,
    help="Exit 1 from this severity on; what has none counts as high [any].",
)
@click.option("--strict", is_flag=True, help="Exit 1 too when a package could not be judged.")
@click.option("--at", metavar="TIME", help="Judge as of TIME (UTC, 2027-03-01T00:00Z). Needs --reason.")
@click.option("--reason", metavar="TEXT", help="Why --at was typed.")
@click.option("--sarif", metavar="OUT", callback=check_output, help="Also write SARIF 2.1.0 to OUT.")
@click.option(
    "--html", metavar="OUT", callback=check_output, help="Also write the scan as one HTML page that stands alone."
)
@click.option("--all", "everything", is_flag=True, help="Cut no list short.")
@click.option("--untrusted", is_flag=True, help="Go on although the head is not trusted (no pin, expired, …).")
@click.option("--state", metavar="DIR", help="State folder [SEALIFT_STATE, or the XDG state folder].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (sealift help scan).")
def scan(file: str, image: str | None, **typed: Any) -> int:
    """Scan every verified SBOM of the bundle FILE, or of one IMAGE, against vulnerability data. Needs no network.

    Of a folder STATE, those of all images that this site has accepted, however long ago.

    Data can be much newer than the bundle; its age is told. Packages and versions that nobody here can judge are named:
    nothing found is not the same as nothing there. The head's trust is checked first, and each SBOM says how strong it
    is bound and signed. Layers are not read, and of a policy only whose VEX counts is heard; verify applies it all.
    """
    from bundler.cli.main import print_error

    options = _Options(**typed)
    options.check()
    if options.html is not None:
        from bundler.report.html_page import require_renderer

        require_renderer()
    site, basis = site_and_time(file if is_folder(file) else options.state, options.at, options.reason)
    found, data = _find(file, image, options, site, basis)
    if options.vex:
        from bundler.deliver.typed_vex import read_typed_vex

        found = _with_vex(found, read_typed_vex(map(Path, options.vex)), basis.at)
    document, failing = _documents(found, data, basis.at, options, file)
    _print(document, options)
    head_failure = found.head.failure if found.head is not None else None
    for failure in ([head_failure] if head_failure is not None else []) + list(found.failures):
        print_error(failure)
    if head_failure is not None and not options.untrusted:
        return head_failure.exit_code
    patched = any(result["original"] is not None for result in document["images"])  # what is on top is in no SBOM
    unjudged = options.strict and (patched or document["judged"] < document["packages"])
    return 1 if found.failures or failing or unjudged else 0


@dataclass(frozen=True, slots=True)
class _Options:
    """What was typed."""

    data: tuple[str, ...]
    vex: tuple[str, ...]
    policy: str | None
    index: str | None
    scanner: str | None
    database: str | None
    platform: str | None
    fail_on: str
    strict: bool
    at: str | None
    reason: str | None
    sarif: str | None
    html: str | None
    everything: bool
    untrusted: bool
    state: str | None
    as_json: bool

    def check(self) -> None:
        """Refuse options that do not fit together."""
        if self.scanner is not None and (self.data or self.index):
            raise UsageError(
                "usage", "option", "--with", got="--data or --index too", want=f"the database of {self.scanner} alone"
            )
        if self.scanner is None and self.database is not None:
            raise UsageError("usage", "option", "--scanner-db", got="no --with", want="--with trivy, or --with grype")


def _load_policy(options: _Options, site: Site | TrustError) -> Policy | None:
    """The policy that says whose VEX counts; none where there is no site, as nobody's word can count there."""
    from bundler.cli.judging import load_policy
    from bundler.verify.pipeline import check_policy_site

    if isinstance(site, TrustError):
        return load_policy(options.policy, None)
    policy = load_policy(options.policy, site)
    if policy is not None:
        check_policy_site(site, policy)
    return policy


def _find(
    file: str, image: str | None, options: _Options, site: Site | TrustError, basis: TimeBasis
) -> tuple[BundleScan, list[DataSource]]:
    """What was found, and by which data; none is named where a scanner used its own."""
    from bundler.deliver.scanning import scan_bundle, scan_bundle_with
    from bundler.deliver.vex_beside import Hearing
    from bundler.network.sbom_scanner import SbomScanner
    from bundler.vulnerability.scan import require_packages

    wanted, platform, is_state = image, options.platform, is_folder(file)
    policy = _load_policy(options, site)
    if is_state and options.scanner is not None:
        raise UsageError("usage", "option", "--with", got="a site's state", want="a bundle")
    if options.scanner is not None:
        require_packages()
        database = Path(options.database) if options.database else None
        scanner = SbomScanner("trivy" if options.scanner == "trivy" else "grype", database=database)
        hearing = Hearing(site, policy)
        found = scan_bundle_with(file, site, basis, scanner, hearing=hearing, wanted=wanted, platform=platform)
        return _by_policy(found, policy), []
    with _open_data(options, site, basis, "" if is_state else file) as (matcher, unread, documents):
        if is_state:
            found = _find_at_site(_memory(site, matcher, documents, policy), wanted, platform)
        else:
            hearing = Hearing(site, policy, documents)
            found = scan_bundle(file, site, basis, matcher, hearing=hearing, wanted=wanted, platform=platform)
        found = replace(found, notes=(*unread, *found.notes))
        return _by_policy(found, policy), [database.described(matcher.at) for database in matcher.databases]


def _by_policy(found: BundleScan, policy: Policy | None) -> BundleScan:
    """The scan with the policy that was heard; none is where the head is not trusted."""
    trusted = found.head is None or found.head.failure is None
    return replace(found, policy=policy.digest if policy is not None and trusted else None)


def _memory(
    site: Site | TrustError, matcher: Matcher, documents: tuple[ShelfDocument, ...], policy: Policy | None
) -> Memory:
    from bundler.deliver.remembered_deliveries import Memory

    if isinstance(site, TrustError):
        raise site
    return Memory(site, matcher, documents, policy)


def _find_at_site(memory: Memory, wanted: str | None, platform: str | None) -> BundleScan:
    from bundler.deliver.scan_site import scan_site

    return scan_site(memory, wanted=wanted, platform=platform)


@contextmanager
def _open_data(
    options: _Options, site: Site | TrustError, basis: TimeBasis, bundle: str
) -> Iterator[tuple[Matcher, tuple[Note, ...], tuple[ShelfDocument, ...]]]:
    """OSV data that was typed, else what the bundle brings and this site keeps; and the VEX of those two."""
    from bundler.deliver.brought_data import open_brought_data
    from bundler.vulnerability.data_contents import VEX_KINDS
    from bundler.vulnerability.database import default_index_folder, made_folder
    from bundler.vulnerability.recollection import kept_items
    from bundler.vulnerability.scan import require_packages
    from bundler.vulnerability.shelf import newest, read_vex
    from bundler.vulnerability.shelf import open_matcher as open_items

    require_packages()
    folder = Path(options.index) if options.index else default_index_folder(os.environ)
    kinds = VEX_KINDS if options.data else (*VEX_KINDS, "osv")
    with ExitStack() as opened:
        unread: tuple[Note, ...] = ()
        items = [] if isinstance(site, TrustError) else list(kept_items(site))
        if bundle:
            brought, unread = opened.enter_context(open_brought_data(bundle, site, basis, made_folder(folder), kinds))
            items += brought
        documents, unreadable = read_vex(newest(items))
        unread = (*unread, *unreadable)
        if options.data:
            yield opened.enter_context(open_matcher(options.data, options.index, basis.at)), unread, documents
            return
        matcher, notes = opened.enter_context(open_items(newest(items), folder, basis.at))
        unread = (*unread, *notes)
        if not matcher.databases:
            raise _no_data(unread)
        yield matcher, unread, documents


def _no_data(notes: tuple[Note, ...]) -> UsageError:
    return UsageError(
        "no-vulnerability-data", "option", "--data", got="none; there is none in the bundle or at this site",
        want="a zip or a folder of OSV records",
        hints=["sealift scan FILE --data osv/PyPI.zip", *(f"{note.subject}: {note.detail}" for note in notes)],
    )  # fmt: skip


def site_and_time(state: str | None, typed: str | None, reason: str | None) -> tuple[Site | TrustError, TimeBasis]:
    """The site, or why there is none, and the time of the verdict; nothing is written.

    Args:
        state: `--state`.
        typed: `--at`.
        reason: `--reason`.

    Raises:
        UsageError: no time, or none that goes with its reason.
    """
    from bundler.moment import parse_typed_moment
    from trust_root.delivery import time_basis
    from trust_root.site import load_site

    at: datetime | None = None
    if typed is not None:
        try:
            at = parse_typed_moment(typed)
        except MalformedError as error:
            raise UsageError("usage", "option", "--at", got=typed, want="2027-03-01T00:00Z") from error
    try:
        site = load_site(state_folder(state), read_only=True)
    except TrustError as error:
        return error, time_basis(clock(), None, at, reason)
    try:
        return site, time_basis(clock(), site.floor, at, reason)
    except TrustError as error:  # the clock is behind what this site has seen
        return error, time_basis(clock(), None, at, reason)


@contextmanager
def open_matcher(data: tuple[str, ...], index: str | None, at: datetime) -> Iterator[Matcher]:
    """The data, indexed; what is wrong with a file that was named here is the command line's fault.

    Args:
        data: what `--data` named.
        index: `--index`.
        at: as of when.

    Raises:
        UsageError: data that is none.
        EnvError: the extra `scan` is not installed (``extra-absent``).
    """
    from bundler.vulnerability.database import default_index_folder, open_database
    from bundler.vulnerability.match import Matcher
    from bundler.vulnerability.scan import require_packages

    require_packages()
    folder = Path(index) if index else default_index_folder(os.environ)
    with ExitStack() as opened:
        databases = []
        for path in dict.fromkeys(data):
            try:
                database = opened.enter_context(open_database(Path(path), folder))
            except MalformedError as error:
                which = error.which or path
                hints = () if which == path else (f"vulnerability data {path}",)  # one of several
                raise UsageError(error.code, error.what, which, got=error.got, want=error.want, hints=hints) from error
            if database.built:
                click.echo(f"sealift: note: {path}: made its index in {folder}", err=True)
            databases.append(database)
        yield Matcher(databases, at)


def _with_vex(found: BundleScan, sources: Iterable[VexSource], at: datetime) -> BundleScan:
    """Statements beside the findings that they are about."""
    from bundler.vulnerability.vex import Subject, VexBook

    book = VexBook(sources, at)
    notes = set(book.notes)
    results = []
    for result in found.results:
        digests = {result.digest, *(digest for name, digest in found.images if name == result.image)}
        digests |= set() if result.original is None else {result.original.digest, result.original.subject}
        applied = book.apply(result.findings, Subject(result.image, frozenset(digests)))
        results.append(replace(result, findings=applied.findings))
        notes |= set(applied.notes)
    return replace(found, results=tuple(results), notes=(*found.notes, *sorted(notes)))


def _documents(
    found: BundleScan, data: list[DataSource], at: datetime, options: _Options, file: str
) -> tuple[dict[str, Any], int]:
    from bundler.deliver.inspection import head_document, state_document
    from bundler.verify.scan_facts import carried_document
    from bundler.vulnerability.document import failing, scan_document

    upstream = [{"image": name, **carried_document(carried, at)} for name, carried in found.upstream]
    document = {
        **(state_document(file) if found.head is None else head_document(found.head)),
        **scan_document(found.results, data, found.notes, found.failures, at, upstream=upstream),
        "scanner": options.scanner or "",
        "policy": None if found.policy is None else str(found.policy),
    }
    least = _least(options.fail_on)
    count = failing(found.results, least) if least else 0
    document |= {"fail_on": options.fail_on, "failing": count}
    if options.sarif is not None:
        _write_sarif(Path(options.sarif), found)
    if options.html is not None:
        _write_page(Path(options.html), document, found)
    return document, count


def _least(fail_on: str) -> Severity | None:
    from bundler.vulnerability.findings import SEVERITIES

    if fail_on == _NEVER:
        return None
    return next((severity for severity in SEVERITIES if severity == fail_on), "none")


def _write_sarif(path: Path, found: BundleScan) -> None:
    import json

    from bundler.safe_file import write_atomically
    from bundler.vulnerability.sarif import format_sarif

    document = format_sarif(found.results, found.notes, found.failures)
    write_atomically(path, json.dumps(document, indent=2).encode(), what="SARIF file")


def _write_page(path: Path, document: dict[str, Any], found: BundleScan) -> None:
    from bundler.report.scan_html import format_scan_html
    from bundler.safe_file import write_atomically

    write_atomically(path, format_scan_html(document, found.results).encode(), what="HTML page")


def _print(document: dict[str, Any], options: _Options) -> None:
    if options.as_json:
        import json

        click.echo(json.dumps(document, indent=2).replace("\x7f", "\\u007f"))
        return
    from bundler.cli.console import show
    from bundler.cli.scan_text import MOST_ROWS, scan_lines

    show(scan_lines(document, None if options.everything else MOST_ROWS))
