"""Ways in which a registry can misbehave, for `Registry.on` (THREATS E1 to E5, F19)."""

from __future__ import annotations

import json
from collections.abc import Callable

from bundler.digest import sha256_of
from tests.simulators.registry import Behaviour, Exchange, Reply, fault


def status(number: int, code: str = "", message: str = "", **headers: str) -> Behaviour:
    """Answer with a status, and an error body if a code is given."""

    def behave(exchange: Exchange) -> None:
        reply = fault(number, code, message) if code else Reply(number, {}, b"")
        reply.headers |= {name.replace("_", "-"): value for name, value in headers.items()}
        exchange.send(reply)

    return behave


def answer(number: int, body: bytes, content_type: str = "application/json", **headers: str) -> Behaviour:
    """Answer with these bytes."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda exchange: exchange.send(Reply(number, {"Content-Type": content_type, **more}, body))


def altered(change: Callable[[Reply], None]) -> Behaviour:
    """Answer honestly, except for one change."""

    def behave(exchange: Exchange) -> None:
        reply = exchange.normal()
        if not isinstance(reply.body, bytes):
            reply.body = b"".join(reply.body.pieces())
        change(reply)
        exchange.send(reply)

    return behave


def header(name: str, value: str | None) -> Behaviour:
    """Answer honestly, with another header, or without it."""

    def change(reply: Reply) -> None:
        if value is None:
            reply.headers.pop(name, None)
        else:
            reply.headers[name] = value

    return altered(change)


def absent_in_other_words(exchange: Exchange) -> None:
    """As Harbor says of anything that is not there."""
    reply = exchange.normal()
    exchange.send(fault(404, "NOT_FOUND", "artifact not found") if reply.status == 404 else reply)


def other_bytes(exchange: Exchange) -> None:
    """One bit of the body is flipped, and the digest header told to fit."""

    def change(reply: Reply) -> None:
        assert isinstance(reply.body, bytes)
        reply.body = reply.body[:-2] + bytes([reply.body[-2] ^ 1]) + reply.body[-1:]
        reply.headers["Docker-Content-Digest"] = str(sha256_of(reply.body))

    altered(change)(exchange)


def other_spelling(exchange: Exchange) -> None:
    """The same document with a space behind it, and the digest header told to fit."""

    def change(reply: Reply) -> None:
        assert isinstance(reply.body, bytes)
        reply.body += b" "
        reply.headers["Docker-Content-Digest"] = str(sha256_of(reply.body))

    altered(change)(exchange)


def truncated_document(exchange: Exchange) -> None:
    """Half of the document, with a length and digest that fit."""

    def change(reply: Reply) -> None:
        assert isinstance(reply.body, bytes)
        reply.body = reply.body[: len(reply.body) // 2]
        reply.headers["Docker-Content-Digest"] = str(sha256_of(reply.body))

    altered(change)(exchange)


def reset_after(count: int) -> Behaviour:
    """The right length is promised; after `count` bytes of the body the connection ends."""

    def behave(exchange: Exchange) -> None:
        reply = exchange.normal()
        body = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body.pieces())
        exchange.write(head(reply, len(body)) + body[:count])
        exchange.drop()

    return behave


def drop_unasked(exchange: Exchange) -> None:
    """The connection ends without an answer."""
    exchange.drop()


def drop_when_done(exchange: Exchange) -> None:
    """What was asked is done, but the connection ends without an answer."""
    exchange.normal()
    exchange.drop()


def stall(exchange: Exchange) -> None:
    """No answer at all."""
    exchange.wait(30)
    exchange.drop()


def stall_after(count: int) -> Behaviour:
    """Silence after `count` bytes of the body."""

    def behave(exchange: Exchange) -> None:
        reply = exchange.normal()
        body = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body.pieces())
        exchange.write(head(reply, len(body)) + body[:count])
        exchange.wait(30)
        exchange.drop()

    return behave


def drip(seconds: float) -> Behaviour:
    """The body, one byte at a time."""

    def behave(exchange: Exchange) -> None:
        reply = exchange.normal()
        body = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body.pieces())
        exchange.write(head(reply, len(body)))
        for number in range(len(body)):
            exchange.write(body[number : number + 1])
            if exchange.wait(seconds):
                break
        exchange.drop()

    return behave


def drip_head(seconds: float) -> Behaviour:
    """Headers without end, one byte at a time."""

    def behave(exchange: Exchange) -> None:
        exchange.write(b"HTTP/1.1 200 OK\r\n")
        while not exchange.wait(seconds):
            exchange.write(b"x")

    return behave


def endless_headers(exchange: Exchange) -> None:
    """Headers without end, as fast as they go."""
    exchange.write(b"HTTP/1.1 200 OK\r\n")
    while not exchange.wait(0):
        exchange.write(b"X-More: again\r\n" * 1000)


def endless_body(exchange: Exchange) -> None:
    """A body without length and end, as fast as it goes."""
    reply = exchange.normal()
    exchange.write(head(reply, None) + b"Connection: close\r\n\r\n")
    while not exchange.wait(0):
        exchange.write(b" " * (1 << 16))


def endless_chunks(exchange: Exchange) -> None:
    """A chunked body whose trailer never ends."""
    reply = exchange.normal()
    body = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body.pieces())
    exchange.write(head(reply, None) + b"Transfer-Encoding: chunked\r\n\r\n")
    exchange.write(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n")
    while not exchange.wait(0):
        exchange.write(b"X-More: again\r\n" * 1000)


def gibberish(exchange: Exchange) -> None:
    """Something that is not HTTP."""
    exchange.write(b"220 mail.example.org ESMTP\r\n\r\n")
    exchange.drop()


def redirect(target: str, number: int = 307) -> Behaviour:
    """To a place; `{target}` stands for what was asked."""
    return lambda exchange: exchange.send(Reply(number, {"Location": target.replace("{target}", exchange.path)}))


def endless_pages(exchange: Exchange) -> None:
    """Each page has a next one."""
    number = int(exchange.query.get("last", ["0"])[0])
    reply = exchange.normal()
    reply.headers["Link"] = f'<{exchange.path}?last={number + 1}>; rel="next"'
    exchange.send(reply)


def alternating(first: Behaviour, then: Behaviour, times: int = 1) -> Behaviour:
    """One behaviour for the first requests, another for those that follow."""
    left = [times]

    def behave(exchange: Exchange) -> None:
        left[0] -= 1
        (first if left[0] >= 0 else then)(exchange)

    return behave


def honest(exchange: Exchange) -> None:
    """As the specification says."""
    exchange.send(exchange.normal())


def crossed(media_type: str, said: str, *marks: str) -> tuple[bytes, str]:
    """A document with the marks of several kinds: bytes, and the type that it is served as."""
    document: dict[str, object] = {"schemaVersion": 2, "mediaType": said}
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": "sha256:" + "0" * 64, "size": 2}
    parts: dict[str, object] = {"manifests": [], "layers": [], "config": empty}
    document |= {mark: parts[mark] for mark in marks}
    return json.dumps(document).encode(), media_type


def head(reply: Reply, length: int | None) -> bytes:
    """Status line and headers; without a length the last empty line is left to the caller."""
    lines = [f"HTTP/1.1 {reply.status} X", *(f"{name}: {value}" for name, value in reply.headers.items())]
    if length is not None:
        lines += [f"Content-Length: {length}", "", ""]
        return "\r\n".join(lines).encode()
    return ("\r\n".join(lines) + "\r\n").encode()
