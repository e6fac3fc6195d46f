"""A registry over verified bundles: opened, answered from, judged again every some minutes, stopped in order.

Rules of this module:
- Nothing is served before every bundle has passed, each by the whole verification and the site's policy; and after all
  are open each is judged once more, since one may have superseded another (THREATS S10).
- While a bundle's trust does not hold, nothing is served: every request but `/healthz` and `/v2/` gets 503, and so does
  `/healthz`. When it holds again (a clock put right, a policy repaired), serving goes on.
- This is one of the three places where errors become results: a client's failure ends its connection, never the
  server; what nobody foresaw is told in the log and ends that connection. No error's text names a path of this machine
  to a client.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from bundler import limits
from bundler.deliver.serving.pool import ChunkPool
from bundler.deliver.serving.registry import (
    Registry,
    closed_answer,
    error_answer,
    health_answer,
    refused_answer,
    understand,
)
from bundler.deliver.serving.request_log import Line, RequestLog
from bundler.deliver.serving.routes import Kind, Route
from bundler.deliver.serving.shelf import Offer, Shelf, make_shelf
from bundler.deliver.verified import Opened, Stream, VerifiedBundle, open_verified
from bundler.errors import DamagedError, EnvError, MalformedError, SealiftError, TrustError, hinting
from bundler.network.server.answer import Answer
from bundler.network.server.connection import Connection
from bundler.network.server.listener import Address, Listener, check_address, server_context
from bundler.network.server.request import Request
from bundler.value import dataclass
from bundler.verify.pipeline import Request as Judgement
from bundler.verify.pipeline import verify_again
from bundler.verify.result import Report

_GATED = frozenset({Kind.CATALOG, Kind.TAGS, Kind.MANIFEST, Kind.BLOB, Kind.REFERRERS})

Judge = Callable[[], Judgement]  # what to judge by, as of now, at a site


@dataclass(frozen=True, slots=True)
class Place:
    """Where to serve: an address, and certificate and key for TLS."""

    address: Address
    tls: tuple[Path, Path] | None = None

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return "https" if self.tls else "http"


class Server:
    """A running registry. Made by `open_server`."""

    def __init__(self, bundles: Sequence[VerifiedBundle], place: Place, log: RequestLog) -> None:
        self.shelf: Shelf = make_shelf(bundles)
        self.pool = ChunkPool(threads=min(os.cpu_count() or 1, limits.VERIFY_THREADS))
        self._log = log
        self._registry = Registry(self.shelf, self.pool)
        self._refusal: Report | None = None
        context = server_context(*place.tls) if place.tls else None
        self._listener = Listener(place.address, self._converse, context)
        self.url = f"{place.scheme}://{self._listener.address}"
        self.address = self._listener.address

    @property
    def offers(self) -> tuple[Offer, ...]:
        """What can be pulled."""
        return self.shelf.offers

    def start(self) -> None:
        """Answer from now on."""
        self._listener.start()

    def stop(self, grace_seconds: float = limits.SERVE_STOP_SECONDS) -> None:
        """Take no more requests, let answers under way end, cut those that take longer."""
        self._listener.stop(grace_seconds)
        self.pool.close()

    def judged(self, refusal: Report | None) -> None:
        """The result of judging again: the report that refuses, or None while everything holds."""
        before = self._refusal
        self._refusal = refusal
        if refusal is not None and (before is None or before.reason != refusal.reason):
            self._log.note(f"not serving any more: {refusal.file}: {refusal.failure or refusal.reason}")
        if refusal is None and before is not None:
            self._log.note("serving again")

    def _converse(self, connection: Connection) -> None:
        """All requests of one connection. Nothing that is raised leaves this."""
        try:
            connection.open()
            while self._exchange(connection):
                pass
        except EnvError as error:
            connection.abort()
            if error.code != "client-gone":
                self._log.tell(Line(connection.client, "", "", 0, 0, error.code))
        except Exception as error:  # noqa: BLE001  a bug must not look like an answer, nor end the server
            self._log.note(f"{connection.client} bug: {type(error).__name__}: {error}")
            connection.abort()

    def _exchange(self, connection: Connection) -> bool:
        """One request and its answer; False when the connection ends."""
        request: Request | None = None
        try:
            request = connection.read_request()
            if request is None:
                return False
            answer = self._answer(request)
        except MalformedError as error:
            answer = refused_answer(error)
        keeps_open = request is not None and request.keeps_open and not request.has_body
        if not self._send(connection, request, answer, keeps_open=keeps_open):
            return False
        if not keeps_open:
            connection.drain()
        return keeps_open and connection.stays_open

    def _answer(self, request: Request) -> Answer:
        route = understand(request)
        if route is not None and route.kind is Kind.HEALTH and request.method in ("GET", "HEAD"):
            return health_answer(self._refusal.reason if self._refusal else "")
        if self._is_closed(route):
            return closed_answer(self._refusal.reason if self._refusal else "")
        return self._registry.answer(request, route)

    def _is_closed(self, route: Route | None) -> bool:
        return self._refusal is not None and route is not None and route.kind in _GATED

    def _send(self, connection: Connection, request: Request | None, answer: Answer, *, keeps_open: bool) -> bool:
        """Send an answer; False when it broke off. A chunk that cannot be proved ends the connection."""
        note = ""
        is_head = request is not None and request.method == "HEAD"
        try:
            connection.send(answer, with_body=not is_head, keeps_open=keeps_open)
        except SealiftError as error:
            note = error.code
            if isinstance(error, DamagedError):
                self._log.note(f"damaged: {error}")
            if not connection.has_answered:
                self._apologise(connection, error)
            connection.abort()
        method, target = (request.method, request.target) if request else ("", "")
        size = 0 if is_head else answer.size_bytes
        self._log.tell(Line(connection.client, method, target, answer.status, size, note))
        return not note

    def _apologise(self, connection: Connection, error: SealiftError) -> None:
        """Nothing was sent yet: say that something is wrong with the server, not with the request."""
        busy = error_answer(503, "TOOMANYREQUESTS", "too many clients", (("Retry-After", "5"),))
        told = busy if error.code == "serve-busy" else error_answer(500, "UNKNOWN", f"not sent: {error.code}")
        try:
            connection.send(told)
            connection.drain()
        except EnvError:
            return


def check_place(place: Place) -> None:
    """Find out before bundles are verified whether a place can be had; nobody is answered yet.

    Raises:
        EnvError: ``listen-failed``, ``server-tls``.
    """
    if place.tls:
        server_context(*place.tls)
    check_address(place.address)


@contextmanager
def open_bundles(files: Sequence[Path], judge: Judge, opened: Callable[[Opened], None]) -> Iterator[tuple[Opened, ...]]:
    """Verify bundles one after the other and keep them open for the block.

    Args:
        files: paths, in the order in which the site gets to know them.
        judge: gives what to judge by, as of now, at a site.
        opened: told of each, also of the one that did not pass, which is the last.

    Raises:
        EnvError, DamagedError, UnsupportedError: as `open_verified`. Whatever comes after the head is in the report.
    """
    with ExitStack() as stack:
        held: list[Opened] = []
        for file in files:
            request = judge()
            if request.site is None:
                raise RuntimeError("nothing is served without a site")
            with hinting(f"bundle {file}"):  # one of several
                one = stack.enter_context(open_verified(file, request, request.site))
            held.append(one)
            opened(one)
            if one.bundle is None:
                break
        yield tuple(held)


def require_newest(held: Sequence[Opened]) -> None:
    """Older deliveries of a stream are served beside its newest one only if that was typed.

    Raises:
        TrustError: code ``superseded``.
    """
    newest: dict[Stream, int] = {}
    bundles = [(one, one.bundle) for one in held if one.bundle is not None]
    for _, bundle in bundles:
        newest[bundle.stream] = max(bundle.inventory.sequence, newest.get(bundle.stream, 0))
    for one, bundle in bundles:
        standing, number = one.run.head.standing, bundle.inventory.sequence
        if number < newest[bundle.stream] and not (standing is not None and standing.historic):
            raise TrustError(
                "superseded", "bundle", f"{bundle.inventory.stream}, sequence {number}",
                got=f"{bundle.report.file} is older than sequence {newest[bundle.stream]}, given beside it",
                want="the newest delivery of each stream",
                hints=["to serve it all the same, as what it is: --historic"],
            )  # fmt: skip


def judge_again(held: Sequence[Opened], judge: Judge) -> Report | None:
    """The first report by which one of the bundles no longer passes, as of now; None while all do.

    What cannot even be asked (a policy that cannot be read, a state that is damaged) is a refusal too.
    """
    for one in held:
        if one.bundle is None:
            return one.run.report
        try:
            report = verify_again(one.bundle.archive, one.run, judge()).report
        except SealiftError as error:
            report = Report(one.run.report.file, one.run.report.tool, failure=error)
        if report.exit_code:
            return report
    return None


@contextmanager
def open_server(
    bundles: Sequence[VerifiedBundle], place: Place, *, write: Callable[[str], None], clock: Callable[[], datetime]
) -> Iterator[Server]:
    """Serve bundles for the block.

    Args:
        bundles: verified, and open for longer than the block.
        place: where.
        write: takes the lines of the request log.
        clock: the time for the log.

    Raises:
        UsageError: one tag with two meanings (``tag-ambiguous``). EnvError: ``listen-failed``, ``server-tls``.
    """
    server = Server(bundles, place, RequestLog(write, clock))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def watch(
    server: Server, held: Sequence[Opened], judge: Judge, is_over: Callable[[float], bool], seconds: float
) -> None:
    """Judge everything again every some seconds, until `is_over`, which waits so long at most, says that it is."""
    while not is_over(seconds):
        server.judged(judge_again(held, judge))
