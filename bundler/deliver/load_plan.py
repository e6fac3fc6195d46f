"""What a load into a registry will do, found out by asking the registry, before anything is changed there.

Rules of this module:
- Only questions are asked. The plan says for each image what is there already, what is missing, and what happens to
  each tag: `new`, `same`, or `moves` from another digest: a conflict unless the site typed `--overwrite-tags`.
- A document that is there by digest is there with its bytes: registries are addressed by content, and what was found is
  read back and compared after the load all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from bundler.deliver.holdings import Document, HeldImage
from bundler.deliver.load_fallback import fallbacks_of
from bundler.deliver.load_names import Placed
from bundler.deliver.load_sparse import derive_indexes
from bundler.digest import Digest
from bundler.errors import RejectedError
from bundler.network.manifest_answer import FetchedManifest
from bundler.network.push import Target
from bundler.network.threads import in_threads
from bundler.oci.descriptor import Descriptor
from bundler.value import dataclass

TagState = Literal["new", "same", "moves"]


@dataclass(frozen=True, slots=True)
class PlannedTag:
    """A tag, what it shall stand for, and what it stands for now (None: it is not there).

    `derived` is what it stands for after an earlier load that had to derive an index (load_sparse.py).
    """

    tag: str
    digest: Digest
    found: Digest | None
    derived: Digest | None = None

    @property
    def state(self) -> TagState:
        """What will happen to it."""
        if self.found is None:
            return "new"
        return "same" if self.found in (self.digest, self.derived) else "moves"


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """What one image needs at its repository.

    Attributes:
        placed: the image and its name there.
        tags: the image's own tag last, cosign's before it.
        documents: those that are missing, in the order of pushing.
        blobs: those that are missing.
    """

    placed: Placed
    tags: tuple[PlannedTag, ...]
    documents: tuple[Document, ...]
    blobs: tuple[Descriptor, ...]

    @property
    def held(self) -> HeldImage:
        """The image in the bundle."""
        return self.placed.held

    @property
    def missing_bytes(self) -> int:
        """How much has to be pushed."""
        return sum(blob.size_bytes for blob in self.blobs) + sum(len(document.raw) for document in self.documents)

    @property
    def conflicts(self) -> tuple[PlannedTag, ...]:
        """Tags that stand for something else."""
        return tuple(tag for tag in self.tags if tag.state == "moves")


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole load. `lists_referrers` says of each repository whether its registry has a referrers API; None when the
    registry tells only once the repository is there.
    """

    images: tuple[PlannedImage, ...]
    lists_referrers: Mapping[str, bool | None]

    def check_tags(self, *, overwrite: bool) -> None:
        """Refuse to move tags that nobody allowed to move.

        Raises:
            RejectedError: code ``tag-conflict``.
        """
        for image in self.images:
            for tag in () if overwrite else image.conflicts:
                raise RejectedError(
                    "tag-conflict", "tag", f"{image.placed.name.name}:{tag.tag}", got=f"there, for {tag.found}",
                    want=f"absent, or {tag.digest}",
                    hints=["--overwrite-tags moves it; --rewrite FROM=TO loads under another name"],
                )  # fmt: skip


def plan_load(placed: Iterable[Placed], repository: Callable[[Placed], Target], jobs: int) -> Plan:
    """Ask the target what it holds.

    Args:
        placed: images with their names there.
        repository: gives the client of an image's repository.
        jobs: questions at once.

    Raises:
        EnvError: a question without a sound answer.
        RejectedError: what stands under a fallback tag is no index (``load-fallback``).
    """
    images: list[PlannedImage] = []
    lists: dict[str, bool | None] = {}
    for item in placed:
        client = repository(item)
        if client.name not in lists:
            abilities = client.abilities()
            lists[client.name] = abilities.referrers_api if abilities.is_certain else None
        if lists[client.name] is False:
            for _ in fallbacks_of(item.held.all_documents, client):  # what stands there now must be indexes
                pass
        images.append(_plan_image(item, client, images, jobs=jobs))
    return Plan(tuple(images), lists)


def _plan_image(item: Placed, client: Target, before: Iterable[PlannedImage], *, jobs: int) -> PlannedImage:
    """One image; what an image before it brings to the same repository is not listed twice."""
    beside = [planned for planned in before if planned.placed.name.name == item.name.name]
    brought = {document.digest for planned in beside for document in planned.held.all_documents}
    brought |= {blob.digest for planned in beside for blob in planned.held.blobs()}
    documents = [document for document in item.held.all_documents if document.digest not in brought]
    blobs = [blob for blob in item.held.blobs() if blob.digest not in brought]
    has_document = in_threads(lambda document: _has_document(client, document), documents, jobs)
    has_blob = in_threads(client.has_blob, blobs, jobs)
    tags = item.tags
    derived = {digest: index.digest for digest, index in derive_indexes(item.held).indexes.items()}
    found = in_threads(lambda tag: client.find_manifest(tag, served=False), list(tags), jobs)
    return PlannedImage(
        item,
        tuple(
            PlannedTag(tag, tags[tag], _digest(there), derived.get(tags[tag]))
            for tag, there in zip(tags, found, strict=True)
        ),
        tuple(document for document, there in zip(documents, has_document, strict=True) if not there),
        tuple(blob for blob, there in zip(blobs, has_blob, strict=True) if not there),
    )


def _has_document(client: Target, document: Document) -> bool:
    found = client.find_manifest(document.digest, served=False)
    return found is not None and found.media_type == document.media_type


def _digest(found: FetchedManifest | None) -> Digest | None:
    return None if found is None else found.digest
