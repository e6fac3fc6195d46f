"""Content on its way out: handed out piece by piece, hashed as it is, and able to go back.

Rules of this module:
- Exactly the descriptor's bytes leave. Content that ends early or goes on after its end is refused before the registry
  is told that the blob is whole.
- The hash covers every byte up to `position`. After a drop the registry may have less than was sent: then the hash goes
  back too, to a copy of its state, and the bytes up to the registry's place are read and hashed again.
- Content is asked for from the start of a state, and asked again only after a step back: content that is stored as a
  frame is unpacked from its start each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Protocol

from bundler import limits
from bundler.digest import Digest
from bundler.errors import DamagedError
from bundler.oci.descriptor import Descriptor

Content = Callable[[int], Iterator[memoryview]]
"""Gives the bytes from an offset on, in pieces of any length, or raises an error of ours."""


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...
    def copy(self) -> _Hash: ...


class Outflow:
    """One blob's content. Used by one thread."""

    def __init__(self, descriptor: Descriptor, content: Content) -> None:
        self._descriptor = descriptor
        self._content = content
        self._hash: _Hash = hashlib.new(descriptor.digest.algorithm)
        self._states: list[_Hash] = [self._hash.copy()]
        self._pieces = content(0)
        self._rest = memoryview(b"")
        self.position = 0
        """Bytes that were handed out and hashed."""

    def seek(self, offset: int) -> None:
        """Go on from `offset`; what lies before it is hashed, again if need be.

        Raises:
            DamagedError: the content no longer has these bytes.
        """
        if offset < self.position:
            number = offset // limits.PUSH_STATE_BYTES
            self._hash = self._states[number].copy()
            del self._states[number + 1 :]
            self.position = number * limits.PUSH_STATE_BYTES
            self._pieces, self._rest = self._content(self.position), memoryview(b"")
        for _ in self.take(offset - self.position):
            pass

    def take(self, size_bytes: int) -> Iterator[memoryview]:
        """The next so many bytes, each piece hashed before it is handed out.

        Raises:
            DamagedError: the content ends before them (code ``blob-size``), or what the content raises.
        """
        end = self.position + size_bytes
        while self.position < end:
            step = limits.PUSH_STATE_BYTES - self.position % limits.PUSH_STATE_BYTES
            piece = self._next_piece(min(end - self.position, step, limits.SENT_BYTES))
            self._hash.update(piece)
            self.position += len(piece)
            if self.position % limits.PUSH_STATE_BYTES == 0:
                self._states.append(self._hash.copy())
            yield piece

    def finish(self) -> None:
        """Require that what was handed out is the blob.

        Raises:
            DamagedError: other bytes (code ``blob-digest``), or more of them (``blob-size``).
        """
        if self._rest or any(len(piece) for piece in self._pieces):
            raise self._wrong("blob-size", f"more than {self.position} bytes", f"{self._descriptor.size_bytes}")
        found = Digest(self._descriptor.digest.algorithm, self._hash.hexdigest())
        if found != self._descriptor.digest or self.position != self._descriptor.size_bytes:
            raise self._wrong("blob-digest", f"{self.position} bytes with {found}", "those that the digest names")

    def _next_piece(self, size_bytes: int) -> memoryview:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                raise self._wrong("blob-size", f"{self.position} bytes", f"{self._descriptor.size_bytes}")
            self._rest = piece
        piece, self._rest = self._rest[:size_bytes], self._rest[size_bytes:]
        return piece

    def _wrong(self, code: str, got: str, want: str) -> DamagedError:
        return DamagedError(code, "blob", str(self._descriptor.digest), got=got, want=want)
