"""What a load into a registry will do, found out by asking the registry, before anything is changed there.

Rules of this module:
- Only questions are asked. The plan says for each image what is there already, what is missing, and what happens to
  each tag: `new`, `same`, or `moves` from another digest: a conflict unless the site typed `--overwrite-tags`.
- A registry that lists referrers needs no more than the manifests. For one that does not, the index under the fallback
  tag is kept as it is found and gets our entries added (OCI distribution-spec 1.1, "Referrers Tag Schema").
- A document that is there by digest is there with its bytes: registries are addressed by content, and what was found is
  read back and compared after the load all the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bundler import limits
from bundler.deliver.holdings import Document, HeldImage, referrer_descriptor
from bundler.deliver.load_names import Placed
from bundler.deliver.load_sparse import derive_indexes
from bundler.digest import Digest, sha256_of
from bundler.errors import RejectedError
from bundler.network.manifest_answer import FetchedManifest
from bundler.network.registry import Repository
from bundler.network.threads import in_threads
from bundler.oci.annotations import format_fallback_tag
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_INDEX, is_index
from bundler.strict_json import parse_foreign

_EMPTY_INDEX = b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % OCI_INDEX.encode()

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
class Fallback:
    """The index of referrers under a fallback tag as it shall be; `found` is what stands there now."""

    tag: str
    subject: Digest
    raw: bytes
    found: Digest | None

    @property
    def is_done(self) -> bool:
        """Whether it lists all of ours already."""
        return self.found == sha256_of(self.raw)


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """What one image needs at its repository.

    Attributes:
        placed: the image and its name there.
        tags: the image's own tag last, cosign's before it.
        documents: those that are missing, in the order of pushing.
        blobs: those that are missing.
        fallbacks: indexes of referrers, only for a registry without a referrers API.
    """

    placed: Placed
    tags: tuple[PlannedTag, ...]
    documents: tuple[Document, ...]
    blobs: tuple[Descriptor, ...]
    fallbacks: tuple[Fallback, ...]

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
    """The whole load. `lists_referrers` says of each repository whether its registry has a referrers API."""

    images: tuple[PlannedImage, ...]
    lists_referrers: Mapping[str, bool]

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


def plan_load(placed: Iterable[Placed], repository: Callable[[Placed], Repository], jobs: int) -> Plan:
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
    lists: dict[str, bool] = {}
    for item in placed:
        client = repository(item)
        if client.name not in lists:
            lists[client.name] = client.abilities().referrers_api
        images.append(_plan_image(item, client, images, lists_referrers=lists[client.name], jobs=jobs))
    return Plan(tuple(images), lists)


def _plan_image(
    item: Placed, client: Repository, before: Iterable[PlannedImage], *, lists_referrers: bool, jobs: int
) -> PlannedImage:
    """One image; what an image before it brings to the same repository is not listed twice."""
    beside = [planned for planned in before if planned.placed.name.name == item.name.name]
    brought = {document.digest for planned in beside for document in planned.held.all_documents}
    brought |= {blob.digest for planned in beside for blob in planned.held.blobs()}
    documents = [document for document in item.held.all_documents if document.digest not in brought]
    blobs = [blob for blob in item.held.blobs() if blob.digest not in brought]
    has_document = in_threads(lambda document: _has_document(client, document), documents, jobs)
    has_blob = in_threads(client.has_blob, blobs, jobs)
    tags = _tags(item)
    derived = {digest: index.digest for digest, index in derive_indexes(item.held).items()}
    found = in_threads(lambda tag: client.find_manifest(tag, served=False), list(tags), jobs)
    return PlannedImage(
        item,
        tuple(
            PlannedTag(tag, tags[tag], _digest(there), derived.get(tags[tag]))
            for tag, there in zip(tags, found, strict=True)
        ),
        tuple(document for document, there in zip(documents, has_document, strict=True) if not there),
        tuple(blob for blob, there in zip(blobs, has_blob, strict=True) if not there),
        () if lists_referrers else tuple(_fallbacks(item.held, client, beside)),
    )


def _tags(item: Placed) -> dict[str, Digest]:
    """Evidence tags first, the image's own, under the name that it gets, last."""
    own = item.held.reference.tag
    tags = {tag: digest for tag, digest in item.held.tags.items() if tag != own}
    return tags | ({item.name.tag: item.held.image.digest} if item.name.tag else {})


def _has_document(client: Repository, document: Document) -> bool:
    found = client.find_manifest(document.digest, served=False)
    return found is not None and found.media_type == document.media_type


def _fallbacks(held: HeldImage, client: Repository, beside: Iterable[PlannedImage]) -> Iterator[Fallback]:
    """One index for each subject of a referrer, evidence about evidence included."""
    planned = {fallback.tag: fallback for image in beside for fallback in image.fallbacks}
    by_subject: dict[Digest, list[Document]] = {}
    for document in held.all_documents:
        if document.subject is not None:
            by_subject.setdefault(document.subject.digest, []).append(document)
    for subject, referrers in by_subject.items():
        tag = format_fallback_tag(subject)
        if tag in planned:
            yield Fallback(tag, subject, _added(planned[tag].raw, referrers), planned[tag].found)
        else:
            found = client.find_manifest(tag, served=False)
            yield Fallback(tag, subject, _added(_checked(tag, found), referrers), _digest(found))


def _digest(found: FetchedManifest | None) -> Digest | None:
    return None if found is None else found.digest


def _checked(tag: str, found: FetchedManifest | None) -> bytes:
    if found is None:
        return _EMPTY_INDEX
    if not is_index(found.media_type):
        raise RejectedError(
            "load-fallback", "tag", tag, got=found.media_type, want="an index of referrers, or nothing",
            hints=["the target has no referrers API, and something else stands under its fallback tag"],
        )  # fmt: skip
    return found.raw


def _added(raw: bytes, referrers: list[Document]) -> bytes:
    """The index with ours added; the same bytes when it lists them all."""
    value: dict[str, Any] = parse_foreign(raw, "index", max_bytes=limits.MANIFEST_BYTES)
    entries: list[Any] = list(value.get("manifests") or [])
    listed = {entry.get("digest") for entry in entries if isinstance(entry, dict)}
    ours = [dict(referrer_descriptor(document)) for document in referrers if str(document.digest) not in listed]
    if not ours:
        return raw
    return json.dumps(value | {"manifests": entries + ours}, separators=(",", ":"), ensure_ascii=False).encode()
