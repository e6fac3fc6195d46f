"""`sealift serve`: a read-only registry straight from bundle files, for as long as their trust holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.cli.judging import Judging, judging_options, print_report, size_of
from bundler.cli.options import clock
from bundler.errors import UsageError
from bundler.escaping import escape
from bundler.wording import counted

if TYPE_CHECKING:
    from bundler.deliver.serve import Place, Server
    from bundler.deliver.verified import Opened
    from bundler.verify.pipeline import Request

_SECONDS_A_MINUTE = 60
_EPILOG = """\b
Examples:
  sealift serve app.bundle.tar --policy policy.toml
  sealift serve monday.bundle.tar tuesday.bundle.tar --policy policy.toml --historic
  sealift serve app.bundle.tar --listen 10.0.0.5:443 --tls-cert site.crt --tls-key site.key
  skopeo copy --src-tls-verify=false docker://127.0.0.1:5000/team/app:1 oci:app
  docker pull 127.0.0.1:5000/registry.example.org/team/app:1

There is no --at: what is handed on must hold today. `sealift help serve` has the names, the limits, and how to point
Docker, podman and containerd here.

Exit codes: 0 stopped in order, 1 rejected, 2 usage, 3 damaged, 4 trust, 5 unsupported, 6 environment.
"""


@click.command(epilog=_EPILOG)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--listen", metavar="HOST:PORT", default="127.0.0.1:5000", show_default=True, help="Where; port 0 is any free one."
)
@click.option("--tls-cert", metavar="FILE", help="Certificate chain as PEM; with --tls-key, serve HTTPS.")
@click.option("--tls-key", metavar="FILE", help="Its key as PEM, without a password.")
@click.option(
    "--recheck", metavar="MINUTES", type=click.FloatRange(0.01, 1440), default=10, show_default=True,
    help="Judge trust and policy again every so often.",
)  # fmt: skip
@judging_options
@click.option("--json", "as_json", is_flag=True, help="Print what can be pulled as JSON, one object a line.")
@click.option("--quiet", is_flag=True, help="Show no progress and no request log.")
def serve(
    *,
    files: Sequence[str], listen: str, tls_cert: str | None, tls_key: str | None, recheck: float, as_json: bool,
    quiet: bool, **typed: Any,
) -> int:  # fmt: skip
    """Verify bundle FILEs and serve their images as a read-only OCI registry, without unpacking anything.

    Nothing is served unless every FILE passes this site's policy. Every byte is proved again before it is sent. It
    runs until it is stopped (Ctrl-C, SIGTERM), and answers 503 while trust or policy no longer hold.
    """
    from bundler.cli.stopping import stop_signals
    from bundler.deliver.serve import check_place, open_server, require_newest, watch

    judging, place = Judging(**typed), _place(listen, tls_cert, tls_key)
    _warn(place)
    check_place(place)
    with ExitStack() as stack:
        held = _open(files, judging, stack, as_json=as_json, quiet=quiet)
        bundles = [one.bundle for one in held if one.bundle is not None]
        if len(bundles) < len(files):
            return held[-1].run.report.exit_code
        require_newest(held)
        write = _silent if quiet else _log
        with open_server(bundles, place, write=write, clock=clock) as server, stop_signals() as stop:
            _tell_offers(server, as_json=as_json)
            watch(server, held, judging.again, stop.wait, recheck * _SECONDS_A_MINUTE)
    return 0


def _open(
    files: Sequence[str], judging: Judging, stack: ExitStack, *, as_json: bool, quiet: bool
) -> tuple[Opened, ...]:
    """The bundles, verified and open for as long as the stack. Of each is told how it stands, once the bar has gone."""
    from bundler.deliver.serve import open_bundles

    told: list[Opened] = []
    try:
        with _progress(files, quiet=quiet) as (end, reach):

            def judge() -> Request:
                return judging.request(judging.site(), reach)

            def opened(one: Opened) -> None:
                end(one.run.report.file)
                told.append(one)

            return stack.enter_context(open_bundles([Path(file) for file in files], judge, opened))
    finally:
        for one in told:
            _tell_opened(one, as_json=as_json)


def _place(listen: str, certificate: str | None, key: str | None) -> Place:
    from bundler.deliver.serve import Place
    from bundler.network.server.listener import parse_address

    if (certificate is None) != (key is None):
        raise UsageError("usage", "option", "--tls-cert", got="one of two", want="--tls-cert and --tls-key together")
    tls = (Path(certificate), Path(key)) if certificate is not None and key is not None else None
    return Place(parse_address(listen), tls)


def _warn(place: Place) -> None:
    if not place.address.is_loopback and place.tls is None:
        click.echo(
            f"sealift: warning: {place.address} can be reached from other machines, and nothing is encrypted there; "
            "--tls-cert and --tls-key serve HTTPS",
            err=True,
        )


@contextmanager
def _progress(files: Sequence[str], *, quiet: bool) -> Iterator[tuple[Callable[[str], None], Callable[[int], None]]]:
    """One bar over all files: a function for the end of each file, one for the bytes done in the file at hand."""
    from bundler.cli.console import progress

    sizes = [size_of(file) for file in files]
    before = 0
    with progress("verifying", None if None in sizes else sum(size or 0 for size in sizes), quiet=quiet) as bar:

        def end(file: str) -> None:
            nonlocal before
            before += size_of(file) or 0

        yield end, lambda reached: bar.reach(before + reached)


def _tell_opened(one: Opened, *, as_json: bool) -> None:
    """A refused bundle's whole report; of the others, that they passed."""
    report = one.run.report
    if one.bundle is None:
        print_report(report, as_json=as_json)
    elif not as_json:
        standing = report.trust.standing if report.trust else ""
        click.echo(f"VERIFIED {escape(report.file)}: {counted(len(report.images), 'image')}, {standing}")


def _tell_offers(server: Server, *, as_json: bool) -> None:
    for offer in server.offers:
        reference = f":{offer.tag}" if offer.tag else f"@{offer.digest}"
        pull = f"{server.address}/{offer.path}{reference}"
        if as_json:
            document = {
                "event": "image", "name": offer.name, "pull": pull, "path": offer.path, "full_path": offer.full_path,
                "tag": offer.tag, "digest": str(offer.digest), "file": offer.file,
            }  # fmt: skip
            _echo_json(document)
        else:
            click.echo(f"  {escape(pull)}  {offer.digest}  {escape(offer.full_path)}")
    if as_json:
        _echo_json({"event": "serving", "url": server.url})
    else:
        click.echo(f"serving {counted(len(server.offers), 'image')} on {server.url}")


def _echo_json(document: Mapping[str, object]) -> None:
    click.echo(json.dumps(document))


def _log(line: str) -> None:
    click.echo(line, err=True)


def _silent(_line: str) -> None:
    pass
