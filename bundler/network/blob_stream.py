"""A blob on its way: bounded by its descriptor, from any offset. Whoever reads it hashes it.

Rules of this module:
- Never more bytes than the descriptor has after the offset; what a registry sends beyond that is not read.
- A wrong length that the registry announces is refused before the first byte; fewer bytes are ``connection-lost``: the
  reader may resume from where it stands.
- From an offset only 206 with exactly the range asked for counts (RFC 9110, 14.4); anything else is
  ``range-unsupported``.
"""

from __future__ import annotations

import re
from typing import Self

from bundler.errors import EnvError
from bundler.network.http import Answer, answer_error
from bundler.oci.descriptor import Descriptor

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.ASCII)


class BlobStream:
    """Bytes of one blob, unchecked. A context manager; used by one thread."""

    def __init__(self, answer: Answer | None, left_bytes: int) -> None:
        self._answer = answer
        self._left_bytes = left_bytes

    def read(self, size_bytes: int, /) -> bytes:
        """Up to that many bytes; empty when all were handed out.

        Raises:
            EnvError: ``stalled``, or ``connection-lost`` when the body ends too early.
        """
        wanted = min(size_bytes, self._left_bytes)
        if self._answer is None or wanted <= 0:
            return b""
        piece = self._answer.read(wanted)
        if not piece:
            raise EnvError(
                "connection-lost",
                "registry",
                self._answer.which,
                got=f"an answer that ends {self._left_bytes} bytes too early",
                want="all of it",
            )
        self._left_bytes -= len(piece)
        return piece

    def abort(self) -> None:
        """Wake up a thread that waits in `read`; it fails there."""
        if self._answer is not None:
            self._answer.abort()

    def close(self) -> None:
        """Give the connection back."""
        if self._answer is not None:
            self._answer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_stream(answer: Answer, descriptor: Descriptor, offset: int) -> BlobStream:
    """The stream of a successful answer (200, or 206 for an offset).

    Raises:
        EnvError: another length than the descriptor's, an encoding (``registry-answer``); no such range
            (``range-unsupported``). The answer is closed then.
    """
    left_bytes = descriptor.size_bytes - offset
    try:
        answer.check_encoding()
        if offset:
            _check_range(answer, descriptor, offset)
        if answer.length_bytes not in (None, left_bytes):
            raise answer_error(answer.which, f"Content-Length {answer.length_bytes}", f"{left_bytes} bytes")
    except EnvError:
        answer.close()
        raise
    return BlobStream(answer, left_bytes)


def _check_range(answer: Answer, descriptor: Descriptor, offset: int) -> None:
    said = _CONTENT_RANGE.fullmatch(answer.header("Content-Range"))
    size = str(descriptor.size_bytes)
    wanted = (str(offset), str(descriptor.size_bytes - 1))
    if answer.status != 206 or said is None or (said[1], said[2]) != wanted or said[3] not in (size, "*"):
        raise EnvError(
            "range-unsupported",
            "registry",
            answer.which,
            got=f"HTTP {answer.status}, Content-Range {answer.header('Content-Range')[:60]!r}",
            want=f"HTTP 206, bytes {offset}-{descriptor.size_bytes - 1}",
        )
