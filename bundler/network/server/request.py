"""One request's head, read strictly (RFC 9112, sections 2 to 6): one meaning, or refused.

Rules of this module:
- Lines end in CRLF and nothing else; no folded lines, no control characters, no space before a colon. What two servers
  could read in two ways is the stuff of request smuggling.
- `Transfer-Encoding` beside `Content-Length`, a repeated or odd `Content-Length`, or more than one `Host` are refused.
- Nobody sends us content: whether a request has a body is told (`has_body`), and the body is never read as a request.
- The target is kept as it came. Nothing is decoded here, so nothing can be decoded twice.
- A target in absolute form, as proxies get it, is refused: this is no proxy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bundler import limits
from bundler.errors import MalformedError
from bundler.value import dataclass, field

HEAD_END = b"\r\n\r\n"

_LINE = re.compile(r"([A-Z]{1,20}) ([!-~]+) HTTP/(\d)\.(\d)", re.ASCII)
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=-]*(?::\d*)?|\[[0-9A-Fa-f:.]+\](?::\d*)?", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head.

    Attributes:
        method: upper-case letters.
        target: path and query as they came; begins with `/`.
        headers: values by lower-case name, in their order.
        has_body: content follows, or may follow.
        keeps_open: the client wants to ask again on the same connection.
    """

    method: str
    target: str
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    has_body: bool = False
    keeps_open: bool = False

    def header(self, name: str) -> str | None:
        """A header that stands at most once; None when it is absent.

        Raises:
            MalformedError: it is repeated (``http-request``).
        """
        values = self.headers.get(name, ())
        if len(values) > 1:
            raise refusal(f"{len(values)} headers {name}", "one")
        return values[0] if values else None


def parse_request(raw: bytes) -> Request:
    """Parse a request's head, with or without the empty line that ends it.

    Raises:
        MalformedError: ``http-request`` (any other form), ``http-target`` (too long), ``http-head`` (too many or too
            long headers), ``http-version``.
    """
    if len(raw) > limits.REQUEST_HEAD_BYTES:
        raise head_too_long()
    first, *lines = raw.removesuffix(HEAD_END).decode("latin-1").split("\r\n")
    method, target, minor = _parse_line(first)
    if len(lines) > limits.REQUEST_HEADERS:
        raise head_too_long()
    headers: dict[str, tuple[str, ...]] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise refusal("a header of another form", "Name: value")
        name = match[1].lower()
        headers[name] = (*headers.get(name, ()), match[2].rstrip(" \t"))
    _check_host(headers, minor)
    return Request(method, target, headers, _has_body(headers, minor), _keeps_open(headers, minor))


def refusal(got: str, want: str) -> MalformedError:
    """A request that has no one meaning."""
    return MalformedError("http-request", "request", got=got, want=want)


def head_too_long() -> MalformedError:
    """A head that is larger than any client's."""
    return MalformedError("http-head", "request", got="a larger head", want=f"at most {limits.REQUEST_HEAD_BYTES} B")


def _parse_line(line: str) -> tuple[str, str, int]:
    match = _LINE.fullmatch(line)
    if match is None:
        if len(line) > limits.REQUEST_TARGET_CHARACTERS:
            raise _target_too_long()
        raise refusal("a request line of another form", "METHOD /path HTTP/1.1")
    method, target, major, minor = match.groups()
    if major != "1":
        raise MalformedError("http-version", "request", got=f"HTTP/{major}.{minor}", want="HTTP/1.1")
    if len(target) > limits.REQUEST_TARGET_CHARACTERS:
        raise _target_too_long()
    if not target.startswith("/"):
        raise refusal("a target of another form", "a path")
    return method, target, int(minor)


def _target_too_long() -> MalformedError:
    want = f"at most {limits.REQUEST_TARGET_CHARACTERS} characters"
    return MalformedError("http-target", "request", got="a longer target", want=want)


def _check_host(headers: Mapping[str, tuple[str, ...]], minor: int) -> None:
    hosts = headers.get("host", ())
    if len(hosts) > 1 or (not hosts and minor > 0) or not all(map(_HOST.fullmatch, hosts)):
        raise refusal(f"{len(hosts)} headers Host" if len(hosts) != 1 else "a Host of another form", "one Host")


def _has_body(headers: Mapping[str, tuple[str, ...]], minor: int) -> bool:
    lengths, codings = headers.get("content-length", ()), headers.get("transfer-encoding", ())
    if codings:
        if lengths or minor == 0 or [coding.lower() for coding in codings] != ["chunked"]:
            raise refusal("Transfer-Encoding that two readers could take in two ways", "no body")
        return True
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise refusal("a Content-Length of another form", "one number")
    return bool(lengths) and int(lengths[0]) > 0


def _keeps_open(headers: Mapping[str, tuple[str, ...]], minor: int) -> bool:
    words = {word.strip().lower() for value in headers.get("connection", ()) for word in value.split(",")}
    return "close" not in words and (minor > 0 or "keep-alive" in words)
