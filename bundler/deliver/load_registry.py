"""Carries out a planned load into a registry: blobs, manifests, evidence, and tags last (THREATS S5 to S7, F19).

Rules of this module:
- Order: for each image its missing blobs (in parallel), its documents (what is named before what names it), its
  evidence, the indexes under fallback tags. When all images are there and were read back, evidence tags, then the
  images' own tags. A load that ends in between has moved no image's tag, and the next one goes on from there.
- Everything is read back and compared: documents by digest, blobs by presence and size, or by digest too if the site
  typed `--compare-blobs`, tags and referrers by what they give. A registry that keeps something else than it was given
  ends the load (``load-lost``).
- What seems to be absent though it was brought is asked for, or sent, once more after a wait: docker-registry forgets a
  blob or manifest for a moment when another load brings the same one, and others know late what they were given.
- A tag that changed since the plan was made ends the load, unless tags may be overwritten.
- A registry that refuses a sparse index gets its children and a derived index (load_sparse.py), if the site allows it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from bundler.deliver.holdings import Document
from bundler.deliver.load_fallback import Fallback, fallbacks_of, send_twice, settle
from bundler.deliver.load_plan import Plan, PlannedImage, PlannedTag
from bundler.deliver.load_sparse import Derived, derive_indexes
from bundler.deliver.verified import VerifiedBundle
from bundler.digest import Digest
from bundler.errors import EnvError, RejectedError
from bundler.network.push import Target
from bundler.network.threads import in_threads
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import is_index
from bundler.value import dataclass, field

# Registries name the absent child, or call the index invalid.
REFUSED_SPARSE = frozenset({"push-blob-unknown", "push-refused"})

_READ_BYTES = 1024 * 1024

_T = TypeVar("_T")


@dataclass(slots=True)
class Loaded:
    """What became of one image: counts, the indexes under fallback tags, and what takes the place of sparse indexes.

    `is_listed`: the registry lists its referrers by itself.
    """

    planned: PlannedImage
    blobs_pushed: int = 0
    blobs_mounted: int = 0
    documents_pushed: int = 0
    bytes_pushed: int = 0
    tags_set: tuple[str, ...] = ()
    fallbacks_set: tuple[str, ...] = ()
    is_listed: bool = False
    fallbacks: tuple[Fallback, ...] = ()
    derived: Derived = field(default_factory=Derived)

    @property
    def digest(self) -> Digest:
        """What the image's tag stands for at the target."""
        own = self.planned.held.image.digest
        return self.derived.indexes[own].digest if own in self.derived.indexes else own

    @property
    def documents(self) -> tuple[Document, ...]:
        """What the target holds of the image and its evidence now."""
        every = self.planned.held.all_documents
        kept = (document for document in every if document.digest not in self.derived.dropped)
        return tuple(self.derived.indexes.get(document.digest, document) for document in kept)

    def count(self, document: Document) -> None:
        """One more document was pushed."""
        self.documents_pushed += 1
        self.bytes_pushed += len(document.raw)

    def count_fallback(self, fallback: Fallback) -> None:
        """One more index under a fallback tag was pushed, maybe not for the first time."""
        self.documents_pushed += 1
        self.bytes_pushed += len(fallback.raw)
        self.fallbacks_set = tuple(dict.fromkeys((*self.fallbacks_set, fallback.tag)))


@dataclass(slots=True)
class _Known:
    """What one run has learnt: repositories that hold a blob, and those whose registry refuses sparse indexes."""

    holders: dict[Digest, list[str]] = field(default_factory=dict)
    refuses_sparse: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the site typed.

    Attributes:
        overwrite_tags: tags may be moved from other digests.
        derive_sparse: a registry that refuses a sparse index gets a derived one.
        compare_blobs: blobs are read back as a whole.
        jobs: blobs at once.
        watch: told the bytes pushed, from several threads, never from two at once.
    """

    overwrite_tags: bool = False
    derive_sparse: bool = False
    compare_blobs: bool = False
    jobs: int = 4
    watch: Callable[[int], None] = lambda _: None


def load_registry(
    plan: Plan, bundle: VerifiedBundle, repository: Callable[[PlannedImage], Target], terms: Terms
) -> tuple[Loaded, ...]:
    """Carry out a plan.

    Args:
        plan: made by `plan_load` just before.
        bundle: verified and open.
        repository: gives the client of an image's repository.
        terms: what the site typed.

    Raises:
        RejectedError: ``tag-conflict``, ``load-lost``, ``load-sparse``.
        DamagedError: the file changed since it was verified (``chunk``).
        EnvError: the registry refuses or fails.
    """
    plan.check_tags(overwrite=terms.overwrite_tags)
    known = _Known()
    done = tuple(_push_image(image, bundle, repository(image), known, terms) for image in plan.images)
    for loaded in done:
        _read_back(loaded, repository(loaded.planned), terms)
    for is_own in (False, True):
        for loaded in done:
            _set_tags(loaded, repository(loaded.planned), terms, own=is_own)
    return done


def _push_image(image: PlannedImage, bundle: VerifiedBundle, client: Target, known: _Known, terms: Terms) -> Loaded:
    loaded = Loaded(image)
    _push_blobs(loaded, bundle, client, known, terms)
    if client.name in known.refuses_sparse:  # an image before it shares indexes with this one, maybe
        loaded.derived = derive_indexes(image.held)
    missing = {document.digest for document in image.documents}
    for document in image.held.all_documents:
        if document.digest in missing or loaded.derived.replaces(document.digest):
            _push_document(document, loaded, client, terms)
    if loaded.derived.indexes:
        known.refuses_sparse.add(client.name)
    if any(document.subject is not None for document in loaded.documents):
        loaded.is_listed = client.abilities().referrers_api
        if not loaded.is_listed:
            loaded.fallbacks = tuple(_push_fallbacks(loaded, client))
    return loaded


def _push_blobs(loaded: Loaded, bundle: VerifiedBundle, client: Target, known: _Known, terms: Terms) -> None:
    image = loaded.planned

    def push(blob: Descriptor) -> str:
        def content(offset: int) -> Iterator[memoryview]:
            return bundle.blob(blob.digest).read(offset)

        others = [name for name in known.holders.get(blob.digest, ()) if name != client.name]
        return client.push_blob(blob, content, mount_from=others, watch=terms.watch)

    outcomes = in_threads(push, image.blobs, terms.jobs)
    for blob, outcome in zip(image.blobs, outcomes, strict=True):
        loaded.blobs_pushed += outcome == "pushed"
        loaded.blobs_mounted += outcome == "mounted"
        loaded.bytes_pushed += blob.size_bytes if outcome == "pushed" else 0
    for blob in image.held.blobs():
        known.holders.setdefault(blob.digest, []).append(client.name)


def _push_document(document: Document, loaded: Loaded, client: Target, terms: Terms) -> None:
    if not loaded.derived.replaces(document.digest):
        try:
            _push(document, loaded, client)
        except EnvError as error:
            derived = derive_indexes(loaded.planned.held)
            if error.code not in REFUSED_SPARSE or not derived.replaces(document.digest):
                raise
            if not terms.derive_sparse:
                raise _no_sparse(loaded, error) from error
            loaded.derived = derived
        else:
            return
    made = loaded.derived.indexes.get(document.digest)
    if made is not None and client.find_manifest(made.digest) is None:
        _push(made, loaded, client)


def _push(document: Document, loaded: Loaded, client: Target) -> None:
    def send() -> None:
        client.push_manifest(document.raw, document.media_type, document.digest)

    if is_index(document.media_type):
        send()  # lacking parts are an answer: it may be sparse
    else:
        send_twice(client, send)
    loaded.count(document)


def _no_sparse(loaded: Loaded, error: EnvError) -> RejectedError:
    held = loaded.planned.held
    return RejectedError(
        "load-sparse", "index", f"{loaded.planned.placed.name}",
        got=f"refused by the registry ({error.got}); the bundle leaves out {len(held.omitted)} of its children",
        want="a registry that takes sparse indexes",
        hints=[
            "--derive-index loads an index without them: another digest, not covered by the image's signatures",
            "or export the image with all platforms",
        ],
    )  # fmt: skip


def _push_fallbacks(loaded: Loaded, client: Target) -> Iterator[Fallback]:
    for fallback in fallbacks_of(loaded.documents, client):
        if not fallback.is_done:
            fallback.push(client)
            loaded.count_fallback(fallback)
        yield fallback


def _read_back(loaded: Loaded, client: Target, terms: Terms) -> None:
    """Everything of an image that the registry should hold now, whoever brought it."""
    held = loaded.planned.held

    def check(document: Document) -> None:
        found = _asked_twice(client, lambda: client.find_manifest(document.digest))
        if found is None or found.media_type != document.media_type:
            raise _lost(client, f"manifest {document.digest}", "absent" if found is None else found.media_type)

    def check_blob(blob: Descriptor) -> None:
        if not _asked_twice(client, lambda: client.has_blob(blob)):
            raise _lost(client, f"blob {blob.digest}", "absent, or of another size")
        if terms.compare_blobs and (got := _read_whole(client, blob)) != blob.digest:
            raise _lost(client, f"blob {blob.digest}", f"{got}")

    in_threads(check, loaded.documents, terms.jobs)
    in_threads(check_blob, list(held.blobs()), terms.jobs)
    for fallback in loaded.fallbacks:
        for pushed in settle(fallback, client):
            loaded.count_fallback(pushed)
    if loaded.is_listed:
        _check_listed(loaded.documents, client)


def _read_whole(client: Target, blob: Descriptor) -> Digest:
    hasher = hashlib.new(blob.digest.algorithm)
    with client.open_blob(blob) as stream:
        while piece := stream.read(_READ_BYTES):
            hasher.update(piece)
    return Digest(blob.digest.algorithm, hasher.hexdigest())


def _check_listed(documents: tuple[Document, ...], client: Target) -> None:
    wanted: dict[Digest, set[Digest]] = {}
    for document in documents:
        if document.subject is not None:
            wanted.setdefault(document.subject.digest, set()).add(document.digest)
    for subject, digests in wanted.items():
        if missing := _missing(client, subject, digests):
            client.wait(0)
            missing = _missing(client, subject, digests)
        for digest in missing:
            raise _lost(client, f"referrer {digest} of {subject}", "not listed")


def _missing(client: Target, subject: Digest, digests: set[Digest]) -> list[Digest]:
    return sorted(digests - {entry.digest for entry in client.referrers(subject) or ()}, key=str)


def _asked_twice(client: Target, ask: Callable[[], _T]) -> _T:
    """What is there; where it seems to be absent, what a second question says after a wait."""
    if found := ask():
        return found
    client.wait(0)
    return ask()


def _set_tags(loaded: Loaded, client: Target, terms: Terms, *, own: bool) -> None:
    held = loaded.planned.held
    documents = {document.digest: document for document in held.all_documents} | dict(loaded.derived.indexes)
    for tag in loaded.planned.tags:
        if (tag.digest == held.image.digest) is own:
            wanted = documents[tag.digest]
            _set_tag(tag, wanted, loaded, client, terms)


def _set_tag(tag: PlannedTag, document: Document, loaded: Loaded, client: Target, terms: Terms) -> None:
    found = client.find_manifest(tag.tag)
    if found is not None and found.digest == document.digest:
        return
    now = None if found is None else found.digest
    if now != tag.found and not terms.overwrite_tags:
        raise RejectedError(
            "tag-conflict", "tag", f"{client.name}:{tag.tag}", got=f"{now or 'absent'} now",
            want=f"{tag.found or 'absent'}, as when the load began", hints=["somebody else writes here; run it again"],
        )  # fmt: skip
    client.push_manifest(document.raw, document.media_type, tag.tag)
    after = client.find_manifest(tag.tag)
    if after is None or after.digest != document.digest:
        raise _lost(client, f"tag {tag.tag}", "absent" if after is None else f"{after.digest}", is_tag=True)
    loaded.tags_set += (tag.tag,)


def _lost(client: Target, which: str, got: str, *, is_tag: bool = False) -> RejectedError:
    moved = "somebody else moves it, or the registry does not keep what it is given"
    kept = "the registry does not keep what it is given; no image's tag was moved"
    return RejectedError(
        "load-lost", "registry", f"{client.name} {which}", got=f"{got} when read back", want="what was pushed",
        hints=[moved if is_tag else kept],
    )  # fmt: skip
