"""A registry that takes what it is sent, our pushing client in front of it, and things to push."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bundler.digest import sha256_of
from bundler.network.access import Access
from bundler.network.push import Target, Targets
from bundler.network.registry import Registries
from bundler.oci.descriptor import Descriptor
from bundler.oci.reference import parse_reference
from tests.simulators.registry import Registry, Store
from tests.simulators.registry_scene import NAME, QUICK
from tests.simulators.registry_writes import Writes

MIB = 1024 * 1024


@dataclass
class Thing:
    """Bytes to push; `offsets` are those that they were asked for from."""

    raw: bytes
    piece_bytes: int = 300_000
    offsets: list[int] = field(default_factory=list)

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor("application/octet-stream", sha256_of(self.raw), len(self.raw))

    def content(self, offset: int) -> Iterator[memoryview]:
        self.offsets.append(offset)
        for start in range(offset, len(self.raw), self.piece_bytes):
            yield memoryview(self.raw)[start : start + self.piece_bytes]


def thing(size_bytes: int, seed: int = 0) -> Thing:
    """Bytes of that size, the same for the same seed."""
    return Thing(random.Random(seed).randbytes(size_bytes))


@dataclass(frozen=True)
class PushScene:
    """What a test needs."""

    registry: Registry
    writes: Writes
    targets: Targets
    target: Target

    @property
    def store(self) -> Store:
        return self.registry.repository(NAME)

    def other(self, name: str) -> Target:
        """Another repository of the registry."""
        return self.targets.repository(parse_reference(f"{self.registry.host}/{name}"))

    def holds(self, item: Thing, name: str = NAME) -> bool:
        """Whether the registry has these bytes."""
        content = self.registry.repository(name).blobs.get(item.descriptor.digest)
        return content is not None and b"".join(content.pieces()) == item.raw

    def asked(self) -> list[str]:
        """Methods and places of what was asked, without what differs from run to run."""
        found = []
        for item in self.registry.log:
            path = item.target.partition("?")[0]
            place = path.removeprefix("/v2/").partition("/blobs/uploads/")
            found.append(f"{item.method} {'uploads' if place[1] else place[0].split('/')[-2]}")
        return found


@contextlib.contextmanager
def push_scene(
    access: Access = QUICK,
    environ: Mapping[str, str] | None = None,
    *,
    writes: Writes | None = None,
    port: int | None = None,
    **options: Any,
) -> Iterator[PushScene]:
    """A registry and a client of its repository.

    Args:
        access: how it is reached.
        environ: the client's environment.
        writes: what the registry takes.
        port: where the client thinks that it is (a wire in between).
        options: of the registry.
    """
    writes = writes or Writes()
    with Registry(writes=writes, **options) as registry, Registries(access, environ or {}) as registries:
        targets = Targets(registries)
        host = f"127.0.0.1:{port}" if port else registry.host
        target = targets.repository(parse_reference(f"{host}/{NAME}:1"))
        yield PushScene(registry, writes, targets, target)
