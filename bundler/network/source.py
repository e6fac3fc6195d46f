"""What every place that images come from gives the exporter: layouts here, registries in their own modules.

Rules of this module:
- A source is asked by descriptor. A tag or name is resolved once; everything later goes by digest (THREATS E1).
- A source does not judge: it hands out bytes, bounded by the size that was asked for, and the exporter hashes them.
- "Absent" is said only when the source knows it. What cannot be answered raises an error and never counts as absent.
- Sources are used by several threads at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO, Protocol

from bundler.digest import Digest
from bundler.oci.descriptor import Descriptor
from bundler.value import dataclass

FOUND = "found"
ABSENT = "absent"
# In which words of the settings (`require`, `may_lack`) evidence found under cosign's tags can count.
TAG_WORDS = {
    "sig": frozenset({"signature"}),
    "att": frozenset({"attestation", "sbom", "provenance"}),
    "sbom": frozenset({"sbom"}),
}
ANY_WORD = frozenset({"signature", "attestation", "sbom", "provenance"})


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """What a source's name stands for, once and for all.

    `digest_origin` is `synthesised` when the source has no manifest and this one was made from what it has.
    """

    descriptor: Descriptor
    suggested_name: str | None
    """A full reference that the source itself records for the image, as written there; None when there is none."""
    digest_origin: str = "source"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a place said. The descriptors are what it holds; empty when it has nothing."""

    found: tuple[Descriptor, ...]
    said: str

    @classmethod
    def of(cls, found: tuple[Descriptor, ...]) -> Answer:
        """The plain answers: found, or absent."""
        return cls(found, FOUND if found else ABSENT)


@dataclass(frozen=True, slots=True)
class Place:
    """One place where evidence about one subject may lie.

    Attributes:
        name: as the inventory records it, e.g. `referrers` or `tag-sig`.
        kind: the kind of evidence that lies there, as the inventory names it.
        words: which words of the settings this evidence could meet.
        ask: look there; raises EnvError when the place cannot answer, RejectedError when the answer has no one meaning.
    """

    name: str
    kind: str
    words: frozenset[str]
    ask: Callable[[], Answer]


class BlobPlace(Protocol):
    """Where the bytes of blobs come from: a source of images, or what the exporter made itself."""

    @property
    def place(self) -> str:
        """As the user wrote it, for messages only."""

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of the blob's bytes, not yet checked; the caller closes it.

        Raises:
            RejectedError: it is not there (``incomplete-source``).
        """

    def has_hashed(self, digest: Digest) -> bool:
        """Whether this run has hashed the very bytes that `open_blob` gives, so that they need not be read twice."""


class Source(BlobPlace, Protocol):
    """One image somewhere. Its methods raise EnvError when the place cannot be read."""

    @property
    def kind(self) -> str:
        """The kind of place: `oci`, `oci-archive`, `docker`. Goes into the inventory; never a path."""

    def resolve(self) -> ResolvedImage:
        """The image's descriptor. The same answer every time."""

    def read_document(self, descriptor: Descriptor) -> bytes:
        """Bytes of an index, a manifest, a small config or evidence, not yet checked; at most one byte over its size.

        Raises:
            RejectedError: the source lacks it (``incomplete-source``).
        """

    def missing(self, descriptors: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
        """Those of `descriptors` that the source is known not to hold, or holds in another size; none is read."""

    def places(self, subject: Digest) -> tuple[Place, ...]:
        """Every place where this source may have evidence about `subject`."""

    def close(self) -> None:
        """Release files. Streams that are still open stay usable."""
