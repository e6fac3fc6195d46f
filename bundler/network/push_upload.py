"""One blob on its way into a registry: a session, its parts, and the end (OCI distribution-spec 1.1, "Pushing blobs").

Rules of this module:
- The registry is told that a blob is whole only after the hash of all bytes that were sent was the blob's. Otherwise
  the session is given up (DELETE).
- By default a blob is one part, as most registries want it; small ones go with the last request. `OCI-Chunk-Min-Length`
  is kept where parts were asked for.
- A part is never sent twice blindly. After a drop, a busy registry or a part that it took in half, the session is asked
  how far it came (GET), and the rest is sent. A registry that has forgotten the session gets a new one.
- A registry that has not noticed yet that a line broke knows nothing of the part, or still takes it in. So after a line
  that broke, or a fault of its own, the session is asked until it says the same twice, and has some of the part. Going
  on too early would add bytes to those that still come; starting over sends a layer of 10 GB once more.
- After a lost answer to the last request, the registry is asked for the blob itself.
- Each step back that brought the registry some bytes earns a further one, up to `limits.PUSH_DROPS`; those that brought
  none are counted by `Access.retries`, as new sessions are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from bundler import limits
from bundler.errors import EnvError, SealiftError
from bundler.network.endpoint import Endpoint
from bundler.network.http import Answer, Body, Request, answer_error
from bundler.network.push_answers import check_said_digest, read_location, read_stored, refusal
from bundler.network.push_outflow import Content, Outflow
from bundler.network.repetition import PASSING, PASSING_STATUSES, retry_after_seconds
from bundler.network.urls import Url
from bundler.oci.descriptor import Descriptor
from bundler.value import dataclass, replace

_OCTETS = {"Content-Type": "application/octet-stream"}
_LOST_STATUSES = frozenset({400, 404, 409, 410, 416})  # of a part: the session is elsewhere, or is no more
_UNKNOWN_STATUSES = _LOST_STATUSES | {405, 501}  # of the question how far it came
_SHOWN_BYTES = 1 * limits.MIB


@dataclass(frozen=True, slots=True)
class Session:
    """An upload that the registry has opened.

    Attributes:
        url: where its next part goes; each answer may move it.
        min_part_bytes: the smallest part that it takes, but for the last.
    """

    url: Url
    min_part_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Setback:
    """A part, or the end, that did not come through.

    Attributes:
        error: raised when patience ends.
        wished_seconds: the pause that the registry wishes.
        is_settled: false while the registry may still have to do with what it was sent.
    """

    error: EnvError
    wished_seconds: float | None = None
    is_settled: bool = True


class Upload:
    """Sends one blob. Used once, by one thread."""

    def __init__(
        self,
        endpoint: Endpoint,
        descriptor: Descriptor,
        content: Content,
        is_there: Callable[[], bool],
        *,
        which: str,
        part_bytes: int | None,
        watch: Callable[[int], None],
    ) -> None:
        """Nothing is sent yet.

        Args:
            endpoint: the repository.
            descriptor: the blob.
            content: its bytes from an offset.
            is_there: asks whether the repository holds the blob.
            which: for messages.
            part_bytes: parts of at least this size; None for one part.
            watch: told how many more bytes were sent; fewer than none after a step back.
        """
        self._endpoint = endpoint
        self._descriptor = descriptor
        self._content = content
        self._is_there = is_there
        self._which = which
        self._part_bytes = part_bytes
        self._watch = watch
        self._session: Session | None = None
        self._confirmed_bytes = 0
        self._sent_bytes = 0
        self._shown_bytes = 0
        self._failures = 0
        self._drops = 0
        self._best_bytes = 0

    def run(self, session: Session | None = None) -> None:
        """Send the blob.

        Args:
            session: one that the registry opened already, as it does instead of mounting.

        Raises:
            EnvError: the registry or the network fails, or it refuses the blob.
            DamagedError: the content is not what the descriptor says.
        """
        self._session = session
        try:
            if self._descriptor.size_bytes <= limits.PUSH_WHOLE_BYTES:
                self._send_whole()
            else:
                self._send_parts()
        except SealiftError as error:
            if error.code not in PASSING:  # else nobody hears it
                self._give_up()
            raise

    def _send_whole(self) -> None:
        outflow = Outflow(self._descriptor, self._content)
        raw = b"".join(outflow.take(self._descriptor.size_bytes))
        outflow.finish()
        while (setback := self._end(self._open(), raw)) is not None:
            self._take(setback)
            if self._is_there():
                break
            self._forget()
        self._confirm(len(raw))

    def _send_parts(self) -> None:
        outflow = Outflow(self._descriptor, self._content)
        size_bytes = self._descriptor.size_bytes
        while True:
            session = self._open()
            outflow.seek(self._confirmed_bytes)
            if self._confirmed_bytes < size_bytes:
                setback = self._send_part(session, outflow)
            else:
                outflow.finish()
                setback = self._end(session, None)
                if setback is None:
                    return
            if setback is not None:
                self._take(setback)
                if self._confirmed_bytes == size_bytes and self._is_there():
                    return
                self._look_again(setback)

    def _open(self) -> Session:
        """The session; a new one when there is none."""
        if self._session is None:
            self._session = open_session(self._endpoint, self._which)
        return self._session

    def _send_part(self, session: Session, outflow: Outflow) -> _Setback | None:
        start = self._confirmed_bytes
        left_bytes = self._descriptor.size_bytes - start
        size_bytes = min(left_bytes, max(self._part_bytes or left_bytes, session.min_part_bytes))

        def pieces() -> Iterator[memoryview]:
            outflow.seek(start)
            for piece in outflow.take(size_bytes):
                self._sent_bytes = max(self._sent_bytes, outflow.position)
                yield piece
                if outflow.position - self._shown_bytes >= _SHOWN_BYTES:
                    self._show(outflow.position)

        def use(answer: Answer) -> _Setback | None:
            if answer.status != 202:
                return self._setback(answer)
            self._session = _moved(session, answer, self._endpoint)
            stored_bytes = read_stored(answer, self._sent_bytes, start)
            answer.discard()
            if stored_bytes is None and outflow.position < start + size_bytes:
                return _Setback(_too_early(answer))
            self._confirm(start + size_bytes if stored_bytes is None else stored_bytes)
            return None if self._confirmed_bytes == start + size_bytes else _Setback(_too_early(answer))

        headers = {**_OCTETS, "Content-Range": f"{start}-{start + size_bytes - 1}"}
        return self._write("PATCH", session.url, use, headers=headers, body=Body(size_bytes, pieces))

    def _end(self, session: Session, raw: bytes | None) -> _Setback | None:
        """Tell the registry that the blob is whole; `raw` goes with it where nothing was sent before."""

        def use(answer: Answer) -> _Setback | None:
            if answer.status != 201:
                return self._setback(answer)
            check_said_digest(answer, self._descriptor.digest)
            answer.discard()
            return None

        query = "&".join(part for part in (session.url.query, f"digest={self._descriptor.digest}") if part)
        url = Url(session.url.origin, session.url.path, query)
        quiet_seconds = self._descriptor.size_bytes / limits.REGISTRY_HASHING_BYTES_PER_SECOND
        return self._write("PUT", url, use, headers=_OCTETS, body=raw or b"", quiet_seconds=quiet_seconds)

    def _look_again(self, setback: _Setback) -> None:
        """Ask the session how far it came; forget it when the registry does."""
        session = self._open()
        stored_bytes = self._ask_session(session) if setback.is_settled else self._ask_until_settled(session)
        if not stored_bytes:  # 0-0 may mean one byte: a new session has one meaning
            self._give_up()
            self._forget()
        else:
            self._confirm(stored_bytes)

    def _ask_until_settled(self, session: Session) -> int | None:
        """What the session says once it says the same again, and has some of the part; at last whatever it says."""
        stored_bytes = self._ask_session(session)
        for look in range(limits.PUSH_LOOKS - 1):
            if stored_bytes is None or stored_bytes == self._sent_bytes:
                break
            self._endpoint.patience.pause(look)
            before_bytes, stored_bytes = stored_bytes, self._ask_session(self._session or session)
            if stored_bytes == before_bytes and stored_bytes > self._confirmed_bytes:
                break
        return stored_bytes

    def _ask_session(self, session: Session) -> int | None:
        """How many bytes it has; None when the registry does not know it, or does not say."""

        def use(answer: Answer) -> int | None:
            if answer.status in _UNKNOWN_STATUSES:
                answer.discard()
                return None
            if answer.status not in (202, 204):
                raise refusal(self._endpoint, answer)
            if answer.header("Location"):
                self._session = _moved(session, answer, self._endpoint)
            stored_bytes = read_stored(answer, self._sent_bytes, 0)
            answer.discard()
            return stored_bytes

        return self._endpoint.write(Request("GET", session.url, self._which), use)

    def _take(self, setback: _Setback) -> None:
        """Count a setback, and wait.

        Raises:
            EnvError: the setback's, when there were too many.
        """
        has_progressed = self._confirmed_bytes > self._best_bytes
        self._best_bytes = max(self._best_bytes, self._confirmed_bytes)
        self._failures = 0 if has_progressed else self._failures + 1
        self._drops += 1
        patience = self._endpoint.patience
        if self._failures > patience.retries or self._drops > limits.PUSH_DROPS:
            raise setback.error
        patience.pause(max(self._failures - 1, 0), setback.wished_seconds)

    def _setback(self, answer: Answer) -> _Setback:
        """What an answer without success means for the upload.

        Raises:
            EnvError: that there is no point in trying again.
        """
        error = refusal(self._endpoint, answer)
        names_fault = error.code in ("push-changed", "push-name")
        if answer.status in PASSING_STATUSES or (answer.status in _LOST_STATUSES and not names_fault):
            return _Setback(error, retry_after_seconds(answer), is_settled=answer.status < 500)
        raise error

    def _write(
        self,
        method: str,
        url: Url,
        use: Callable[[Answer], _Setback | None],
        *,
        headers: Mapping[str, str],
        body: bytes | Body,
        quiet_seconds: float = 0.0,
    ) -> _Setback | None:
        request = Request(method, url, self._which, headers, body, streams=True, quiet_seconds=quiet_seconds)
        try:
            return self._endpoint.write(request, use, repeats=False)
        except EnvError as error:
            if error.code not in PASSING:
                raise
            return _Setback(error, is_settled=False)

    def _confirm(self, bytes_there: int) -> None:
        self._confirmed_bytes = bytes_there
        self._show(bytes_there)

    def _show(self, bytes_there: int) -> None:
        if bytes_there != self._shown_bytes:
            self._watch(bytes_there - self._shown_bytes)
            self._shown_bytes = bytes_there

    def _forget(self) -> None:
        self._session = None
        self._sent_bytes = 0
        self._confirm(0)

    def _give_up(self) -> None:
        """Tell the registry that nothing more will come."""
        if self._session is not None:
            cancel_session(self._endpoint, self._session, self._which)
            self._session = None


def open_session(endpoint: Endpoint, which: str) -> Session:
    """Ask for an upload.

    Raises:
        EnvError: the registry refuses, or says nothing that can be used.
    """
    request = Request("POST", endpoint.url("blobs/uploads/"), which)
    return endpoint.write(request, lambda answer: read_session(endpoint, answer))


def read_session(endpoint: Endpoint, answer: Answer) -> Session:
    """The session that an answer opens; closes the answer.

    Raises:
        EnvError: it opens none.
    """
    if answer.status != 202:
        raise refusal(endpoint, answer)
    url = read_location(answer, may_weaken=endpoint.may_weaken)
    text = answer.header("OCI-Chunk-Min-Length")
    answer.discard()
    return Session(url, int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0)


def cancel_session(endpoint: Endpoint, session: Session, which: str) -> None:
    """Tell the registry to drop an upload; a registry that does not listen drops it in time by itself."""
    with contextlib.suppress(EnvError):
        endpoint.write(Request("DELETE", session.url, which), Answer.discard, repeats=False)


def _moved(session: Session, answer: Answer, endpoint: Endpoint) -> Session:
    return replace(session, url=read_location(answer, may_weaken=endpoint.may_weaken))


def _too_early(answer: Answer) -> EnvError:
    return answer_error(answer.which, "success for less than was sent", "all of it")
