"""Answers: a status, headers, and a body in hand or one that comes in proved chunks.

Rules of this module:
- Every answer says its length before its body, so that one that breaks off can never look whole.
- Headers are ours or were checked: a control character in one is a bug, and no answer is sent.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import Protocol

from bundler.value import dataclass

_VALUE = re.compile(r"[ -~]*", re.ASCII)


class Chunks(Protocol):
    """Content that is proved in the buffer that is handed out."""

    def lease(self, position: int) -> AbstractContextManager[memoryview]:
        """The content from `position` to the end of its chunk, for as long as the block lasts.

        Raises:
            SealiftError: it cannot be proved, or there is no room for it.
        """
        ...

    def prepare(self, position: int, end: int) -> None:
        """What stands from `position` on, and before `end`, will be wanted next; nothing is promised."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """A body that comes in chunks: content from `start` to `end` (bytes, half open)."""

    chunks: Chunks
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to one request.

    Attributes:
        status: HTTP status.
        headers: name and value; `Content-Length` and `Connection` are added when it is sent.
        body: bytes in hand, or a part of a content.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Part = b""

    @property
    def size_bytes(self) -> int:
        """Length of the body."""
        return self.body.end - self.body.start if isinstance(self.body, Part) else len(self.body)


def format_head(answer: Answer, *, keeps_open: bool) -> bytes:
    """The bytes before the body."""
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    headers = list(answer.headers)
    if answer.status != HTTPStatus.NOT_MODIFIED:
        headers.append(("Content-Length", str(answer.size_bytes)))
    if not keeps_open:
        headers.append(("Connection", "close"))
    for name, value in headers:
        if not _VALUE.fullmatch(value):
            raise RuntimeError(f"header {name} has characters that no header may have")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")
