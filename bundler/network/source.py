"""What every place that images come from gives the exporter: layouts here, registries in their own modules.

Rules of this module:
- A source is asked by descriptor. A tag or name is resolved once; everything later goes by digest (THREATS E1).
- A source does not judge: it hands out bytes, bounded by the size that was asked for, and the exporter hashes them.
- "Absent" is said only when the source knows it. What cannot be answered raises an error and never counts as absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from bundler.digest import Digest
from bundler.oci.descriptor import Descriptor


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """What a source's name stands for, once and for all."""

    descriptor: Descriptor
    suggested_name: str | None
    """A full reference that the source itself records for the image, as written there; None when there is none."""


@dataclass(frozen=True, slots=True)
class EvidenceAnswer:
    """One place asked about one subject, and what it said."""

    subject: Digest
    suffix: str
    """Which evidence was asked for, in cosign's words: `sig`, `att` or `sbom`."""
    place: str
    """Where: `tag` (a name that ends in cosign's tag) or `cosign-layout` (`kind` annotations of cosign save)."""
    found: tuple[Descriptor, ...]
    """The evidence manifests found; empty when the place answered that there are none."""


class Source(Protocol):
    """One image somewhere. Its methods raise EnvError when the place cannot be read."""

    @property
    def kind(self) -> str:
        """The kind of place: `oci`, `oci-archive`, later `docker`. Goes into the inventory; never a path."""

    @property
    def place(self) -> str:
        """The source as the user wrote it, for messages only."""

    def resolve(self) -> ResolvedImage:
        """The image's descriptor. The same answer every time."""

    def read_document(self, descriptor: Descriptor) -> bytes:
        """Bytes of an index, a manifest or a small config, not yet checked; at most one byte over its size.

        Raises:
            RejectedError: the source lacks it (``incomplete-source``).
        """

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of the blob's bytes, not yet checked; the caller closes it.

        Raises:
            RejectedError: the source lacks it (``incomplete-source``).
        """

    def missing(self, descriptors: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
        """Those of `descriptors` that the source does not hold, or holds in another size; contents are not read."""

    def find_evidence(self, subject: Digest) -> tuple[EvidenceAnswer, ...]:
        """Ask every place that this source has about one subject, for each suffix."""

    def close(self) -> None:
        """Release files. Streams that are still open stay usable."""
