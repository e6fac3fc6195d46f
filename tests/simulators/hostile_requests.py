"""Sixty and more requests that no honest client sends (THREATS S3, F20): each by name, and what has to come of it.

`{digest}` stands for a manifest's digest, `{blob}` for a blob's. An outcome is the statuses that are allowed, with
`ENDS` where the connection has to end after the answer (or without one, which is status 0).
"""

from __future__ import annotations

from dataclasses import dataclass

HOST = b"Host: localhost\r\n"
NAME = b"/v2/team/app"


@dataclass(frozen=True)
class Hostile:
    """One request."""

    name: str
    raw: bytes
    statuses: tuple[int, ...]
    ends: bool = True


def get(target: bytes, more: bytes = b"", method: bytes = b"GET") -> bytes:
    """A request that is well-formed but for what is put in."""
    return method + b" " + target + b" HTTP/1.1\r\n" + HOST + more + b"\r\n"


def _targets() -> list[Hostile]:
    """Path tricks: none of these names a file, and none is normalised."""
    tricks = {
        "dot-dot": b"/v2/../etc/passwd",
        "dot-dot-deep": b"/v2/team/app/manifests/../../../../etc/passwd",
        "dot-dot-in-name": b"/v2/team/../app/manifests/1",
        "dot-segment": b"/v2/./team/app/manifests/1",
        "encoded-dots": b"/v2/%2e%2e/%2e%2e/etc/passwd",
        "encoded-slash": b"/v2/team%2fapp/manifests/1",
        "encoded-slash-upper": b"/v2/team%2Fapp/manifests/1",
        "double-encoded": b"/v2/team%252fapp/manifests/1",
        "encoded-tag": b"/v2/team/app/manifests/%31",
        "encoded-nul": b"/v2/team/app/manifests/1%00",
        "overlong-slash": b"/v2/team%c0%afapp/manifests/1",
        "backslash": b"/v2/team\\app/manifests/1",
        "double-slash": b"/v2//team/app/manifests/1",
        "double-slash-in-name": b"/v2/team//app/manifests/1",
        "leading-slashes": b"//v2/team/app/manifests/1",
        "trailing-slash": b"/v2/team/app/manifests/1/",
        "semicolon": b"/v2/team/app;x=1/manifests/1",
        "fragment": b"/v2/team/app/manifests/1#x",
        "file-url": b"/v2/file:///etc/passwd/manifests/1",
        "digest-as-path": b"/v2/team/app/blobs/sha256:../../../../etc/passwd",
        "digest-upper": b"/v2/team/app/blobs/SHA256:" + b"a" * 64,
        "digest-long": b"/v2/team/app/blobs/sha256:" + b"a" * 65,
        "digest-of-nothing": b"/v2/team/app/blobs/sha256:",
        "tag-long": b"/v2/team/app/manifests/" + b"a" * 1000,
        "name-long": b"/v2/" + b"a/" * 300 + b"manifests/1",
        "name-of-separators": b"/v2/" + b"a" + b"-_" * 100 + b"/manifests/1",
        "home-folder": b"/v2/~root/manifests/1",
        "query-twice": b"/v2/_catalog?n=1&n=2",
        "query-number": b"/v2/_catalog?n=-1",
        "query-number-huge": b"/v2/_catalog?n=99999999999999999999",
        "query-bytes": b"/v2/team/app/tags/list?last=%ff%fe",
        "query-lines": b"/v2/team/app/tags/list?last=%0d%0aX-Evil:%201",
        "namespace-lines": b"/v2/team/app/manifests/1?ns=%0d%0aa",
    }
    return [Hostile(name, get(target), (400, 404), ends=False) for name, target in tricks.items()]


def _lines() -> list[Hostile]:
    """Request lines and headers that can be read in two ways, or in none."""
    bad = {
        "target-huge": b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        "header-huge": get(b"/v2/", b"X: " + b"a" * 60_000 + b"\r\n"),
        "headers-many": get(b"/v2/", b"X: y\r\n" * 500),
        "head-endless": b"GET /v2/ HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
        "absolute-form": get(b"http://localhost/v2/"),
        "asterisk": get(b"*", method=b"OPTIONS"),
        "connect": get(b"localhost:22", method=b"CONNECT"),
        "lower-case-method": get(b"/v2/", method=b"get"),
        "no-host": b"GET /v2/ HTTP/1.1\r\n\r\n",
        "two-hosts": get(b"/v2/", HOST),
        "host-with-path": b"GET /v2/ HTTP/1.1\r\nHost: a/../b\r\n\r\n",
        "version-2": b"GET /v2/ HTTP/2.0\r\n" + HOST + b"\r\n",
        "version-0.9": b"GET /v2/\r\n\r\n",
        "http-2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "bare-line-feeds": b"GET /v2/ HTTP/1.1\nHost: a\n\n\r\n\r\n",
        "bare-carriage-return": get(b"/v2/", b"X: a\rY: b\r\n"),
        "nul-in-header": get(b"/v2/", b"X: \x00\r\n"),
        "space-before-colon": get(b"/v2/", b"X : a\r\n"),
        "folded-header": get(b"/v2/", b"X: a\r\n b\r\n"),
        "header-without-name": get(b"/v2/", b": a\r\n"),
        "blank-first": b"\r\n" + get(b"/v2/"),
        "tls-hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        "binary": bytes(range(256)) * 8,
        "ssh": b"SSH-2.0-OpenSSH_9.6\r\n\r\n\r\n",
        "proxy-protocol": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get(b"/v2/"),
    }
    return [Hostile(name, raw, (400, 414, 431, 505)) for name, raw in bad.items()]


def _bodies() -> list[Hostile]:
    """Request smuggling: what a proxy before us could take for the end of a request, or its middle."""
    inner = get(b"/v2/team/app/tags/list")
    length = b"Content-Length: %d\r\n"
    bad = {
        "both-lengths": get(b"/v2/", length % 4 + b"Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n" + inner,
        "length-twice": get(b"/v2/", length % 0 + length % len(inner)) + inner,
        "length-list": get(b"/v2/", b"Content-Length: 0, 5\r\n") + inner,
        "length-signed": get(b"/v2/", b"Content-Length: +5\r\n") + inner,
        "length-negative": get(b"/v2/", b"Content-Length: -1\r\n") + inner,
        "length-hex": get(b"/v2/", b"Content-Length: 0x10\r\n") + inner,
        "length-huge": get(b"/v2/", b"Content-Length: " + b"9" * 40 + b"\r\n") + inner,
        "coding-odd": get(b"/v2/", b"Transfer-Encoding: \x0bchunked\r\n") + inner,
        "coding-list": get(b"/v2/", b"Transfer-Encoding: identity, chunked\r\n") + inner,
        "coding-twice": get(b"/v2/", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n") + inner,
        "coding-in-1.0": b"GET /v2/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
        "body-on-get": get(b"/v2/", length % len(inner)) + inner,
        "chunks-on-get": get(b"/v2/", b"Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n" + inner,
    }
    return [Hostile(name, raw, (400,)) for name, raw in bad.items()]


def _pushes() -> list[Hostile]:
    body = b"Content-Length: 5\r\n"
    return [
        Hostile("put-manifest", get(NAME + b"/manifests/1", body, b"PUT") + b"hello", (405,)),
        Hostile("post-upload", get(NAME + b"/blobs/uploads/", body, b"POST") + b"hello", (405,)),
        Hostile("delete", get(NAME + b"/manifests/1", method=b"DELETE"), (405,), ends=False),
        Hostile("trace", get(NAME + b"/manifests/1", method=b"TRACE"), (405,), ends=False),
        Hostile("push-of-gigabytes", get(NAME + b"/manifests/1", b"Content-Length: 999999999999\r\n", b"PUT"), (405,)),
        Hostile("expect-continue", get(NAME + b"/manifests/1", body + b"Expect: 100-continue\r\n", b"PUT"), (405,)),
    ]


HOSTILE = (*_targets(), *_lines(), *_bodies(), *_pushes())
