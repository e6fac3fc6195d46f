"""A repository in memory that gives out blobs, drops connections, stalls, and knows Range or not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Self

from bundler.digest import Digest
from bundler.errors import EnvError, RejectedError
from bundler.oci.descriptor import Descriptor
from tests.simulators.images import OCI_LAYER


@dataclass(frozen=True)
class Patterned:
    """Content of any size of which every part can be made at once."""

    size_bytes: int
    seed: int = 0

    def part(self, offset: int, count: int) -> bytes:
        end = min(offset + count, self.size_bytes)
        block = hashlib.shake_128(self.seed.to_bytes(8, "big")).digest(1 << 16)
        start = offset % len(block)
        repeated = block * ((end - offset) // len(block) + 2)
        return repeated[start : start + end - offset] if end > offset else b""

    def descriptor(self) -> Descriptor:
        state = hashlib.sha256()
        for offset in range(0, self.size_bytes, 1 << 22):
            state.update(self.part(offset, 1 << 22))
        return Descriptor(OCI_LAYER, Digest("sha256", state.hexdigest()), self.size_bytes)


@dataclass(frozen=True)
class Whole:
    """Content in memory."""

    raw: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.raw)

    def part(self, offset: int, count: int) -> bytes:
        return self.raw[offset : offset + count]


@dataclass
class MemoryRepository:
    """Blobs by digest, and how the next requests go.

    Attributes:
        drops: after how many bytes each of the next connections for a blob breaks.
        ranges: whether an offset is understood.
        wrong: how many of the next requests send other bytes.
        hang: whether a reader waits until it is aborted.
        whole: whether it says that it has whatever it is asked for.
        requests: digest and offset of each request.
        before_read: called with the number of bytes given out so far.
    """

    name: str = "registry.example.org/app"
    blobs: dict[Digest, Patterned | Whole] = field(default_factory=dict)
    drops: dict[Digest, list[int]] = field(default_factory=dict)
    ranges: bool = True
    wrong: int = 0
    hang: bool = False
    whole: bool = True
    errors: list[EnvError] = field(default_factory=list)
    requests: list[tuple[Digest, int]] = field(default_factory=list)
    before_read: Callable[[int], None] = lambda _: None

    @property
    def skopeo_name(self) -> str:
        return self.name

    def add(self, content: Patterned | bytes) -> Descriptor:
        if isinstance(content, Patterned):
            descriptor = content.descriptor()
            self.blobs[descriptor.digest] = content
            return descriptor
        descriptor = Descriptor(OCI_LAYER, Digest("sha256", hashlib.sha256(content).hexdigest()), len(content))
        self.blobs[descriptor.digest] = Whole(content)
        return descriptor

    def has_blob(self, descriptor: Descriptor) -> bool:
        if self.errors:
            raise self.errors.pop(0)
        return self.whole or descriptor.digest in self.blobs

    def open_blob(self, descriptor: Descriptor, *, offset: int = 0) -> MemoryStream:
        self.requests.append((descriptor.digest, offset))
        if self.errors:
            raise self.errors.pop(0)
        if descriptor.digest not in self.blobs:
            raise RejectedError("incomplete-source", "blob", str(descriptor.digest), got="404", want="the blob")
        if offset and not self.ranges:
            raise EnvError("range-unsupported", "blob", str(descriptor.digest), got="200", want="206")
        wrong = self.wrong > 0
        self.wrong -= wrong
        drops = self.drops.get(descriptor.digest)
        return MemoryStream(self, self.blobs[descriptor.digest], offset, drops.pop(0) if drops else -1, wrong)


class MemoryStream:
    """One connection."""

    def __init__(
        self, repository: MemoryRepository, content: Patterned | Whole, offset: int, drop_after: int, wrong: bool
    ) -> None:
        self._repository = repository
        self._content = content
        self._offset = offset
        self._left = drop_after
        self._wrong = wrong
        self._aborted = Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, max_bytes: int, /) -> bytes:
        self._repository.before_read(self._offset)
        if self._repository.hang:
            assert self._aborted.wait(20), "nobody woke the reader"
            raise EnvError("connection-lost", "blob", got="aborted")
        if self._left == 0:
            raise EnvError("connection-lost", "blob", got="reset", want="the rest")
        count = max_bytes if self._left < 0 else min(max_bytes, self._left)
        piece = self._content.part(self._offset, count)
        self._offset += len(piece)
        if self._left > 0:
            self._left -= len(piece)
        return bytes(len(piece)) if self._wrong else piece

    def abort(self) -> None:
        self._aborted.set()
