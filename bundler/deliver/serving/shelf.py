"""Everything that is served, put together from verified bundles once, before the first request.

Rules of this module:
- Of one stream the newest delivery says what a tag means; manifests that only older ones have can be had by digest.
- An image's tag never has two meanings: two streams (or two images of one delivery) that give one name different
  digests are refused by name. So is an image under the tag of another stream's evidence.
- Evidence tags of the same subject in two streams are no such conflict: the stream with the newest delivery wins, and
  the other's evidence can be had by digest.
- The index of referrers is also there under the fallback tag, for clients that know no referrers API, unless a delivery
  has that tag; it is made here and says no more than its manifests do. It stands in no list of tags.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bundler.deliver.holdings import Document, HeldImage, Repository, referrer_descriptor
from bundler.deliver.serving.content import Content, Frames
from bundler.deliver.serving.names import Home, Names, make_names
from bundler.deliver.verified import Stream, VerifiedBundle
from bundler.digest import Digest, sha256_of
from bundler.errors import UsageError
from bundler.oci.annotations import format_fallback_tag
from bundler.oci.reference import Reference
from bundler.value import dataclass, field
from bundler.wording import counted

OCI_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True, slots=True)
class Served:
    """A manifest's bytes with the media type that the signed chain gives them."""

    media_type: str
    digest: Digest
    raw: bytes


@dataclass(frozen=True, slots=True)
class Room:
    """One repository as it is served."""

    home: Home
    manifests: Mapping[Digest, Served]
    tags: Mapping[str, Digest]
    listed_tags: tuple[str, ...]
    referrers: Mapping[Digest, tuple[Mapping[str, object], ...]]
    blobs: Mapping[Digest, Content]

    def find(self, reference: str | Digest) -> Served | None:
        """A manifest by tag or digest."""
        digest = self.tags.get(reference) if isinstance(reference, str) else reference
        return None if digest is None else self.manifests.get(digest)


@dataclass(frozen=True, slots=True)
class Offer:
    """An image that can be pulled.

    Attributes:
        name: its name in the inventory.
        path: the shortest repository path that is served.
        full_path: the path that is always served.
        tag: None for an image that was exported by digest alone.
        file: the bundle that it comes from.
    """

    name: str
    path: str
    full_path: str
    tag: str | None
    digest: Digest
    file: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """All repositories, and the paths under which they are found."""

    names: Names
    rooms: Mapping[Home, Room]
    offers: tuple[Offer, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Each repository once, under its best path, in the order of the catalog."""
        return tuple(sorted(self.names.best_path(home) for home in self.rooms))


@dataclass(slots=True)
class _Making:
    repository: Repository = field(default_factory=Repository)
    contents: dict[Digest, Content] = field(default_factory=dict)


def make_shelf(bundles: Sequence[VerifiedBundle]) -> Shelf:
    """Put the bundles' images together.

    Raises:
        UsageError: one tag with two meanings (``tag-ambiguous``).
    """
    ordered = _by_age(bundles)
    _refuse_conflicts(ordered)
    making: dict[Home, _Making] = defaultdict(_Making)
    contents: dict[Digest, Content] = {}
    frames = Frames()
    for bundle in ordered:
        for image in bundle.images:
            made = making[home_of(image.reference)]
            made.repository.add(image)
            for blob in image.blobs():
                if blob.digest not in contents:
                    contents[blob.digest] = Content(bundle.blob(blob.digest), frames)
                made.contents[blob.digest] = contents[blob.digest]
    names = make_names(making)
    rooms = {home: _make_room(home, made) for home, made in making.items()}
    return Shelf(names, rooms, _offers(ordered, names, rooms))


def home_of(reference: Reference) -> Home:
    """Where an image of this name is at home."""
    return Home(reference.registry.lower(), reference.repository)


def make_index(entries: Iterable[Mapping[str, object]]) -> bytes:
    """An OCI image index of these descriptors."""
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}
    return json.dumps(document, separators=(",", ":")).encode()


def _by_age(bundles: Sequence[VerifiedBundle]) -> list[VerifiedBundle]:
    """Deliveries of one stream together, oldest first; the stream with the newest delivery comes last."""
    streams: dict[Stream, list[VerifiedBundle]] = defaultdict(list)
    for bundle in bundles:
        streams[bundle.stream].append(bundle)
    for deliveries in streams.values():
        deliveries.sort(key=lambda bundle: bundle.inventory.sequence)
    return [bundle for group in sorted(streams.values(), key=_newest) for bundle in group]


def _newest(deliveries: list[VerifiedBundle]) -> tuple[float, str]:
    newest = max(bundle.inventory.created_at for bundle in deliveries)
    return newest.timestamp(), str(deliveries[0].stream)


def _refuse_conflicts(ordered: Sequence[VerifiedBundle]) -> None:
    images = [(bundle, image) for bundle in ordered for image in bundle.images]
    own = {(home_of(image.reference), image.reference.tag) for _, image in images}
    meanings: dict[tuple[Home, str], dict[Stream, dict[int, set[Digest]]]] = {}
    for bundle, image in images:
        home = home_of(image.reference)
        for tag, digest in _claims(image):
            if (home, tag) in own:
                deliveries = meanings.setdefault((home, tag), {}).setdefault(bundle.stream, {})
                deliveries.setdefault(bundle.inventory.sequence, set()).add(digest)
    for (home, tag), of_tag in meanings.items():
        current = {digest for deliveries in of_tag.values() for digest in deliveries[max(deliveries)]}
        if len(current) > 1:
            raise UsageError(
                "tag-ambiguous", "image", f"{home.registry}/{home.repository}:{tag}",
                got=f"{len(current)} digests in {counted(len(of_tag), 'stream')}", want="one meaning",
                hints=["serve these bundles at two addresses", *sorted(map(str, current))],
            )  # fmt: skip


def _claims(image: HeldImage) -> Iterator[tuple[str, Digest]]:
    """Each tag that an image or its evidence wants, also where one hides another."""
    if image.reference.tag:
        yield image.reference.tag, image.image.digest
    yield from ((held.tag, held.evidence.digest) for held in image.evidence if held.tag is not None)


def _make_room(home: Home, made: _Making) -> Room:
    repository = made.repository
    manifests = {digest: _served(document) for digest, document in repository.manifests.items()}
    referrers = {
        subject: tuple(referrer_descriptor(found[digest]) for digest in sorted(found))
        for subject, found in repository.referrers.items()
    }
    tags = dict(repository.tags)
    for subject, entries in referrers.items():
        tag, raw = format_fallback_tag(subject), make_index(entries)
        if tag not in tags:
            index = Served(OCI_INDEX, sha256_of(raw), raw)
            tags[tag] = index.digest
            manifests.setdefault(index.digest, index)
    return Room(home, manifests, tags, tuple(sorted(repository.tags)), referrers, made.contents)


def _served(document: Document) -> Served:
    return Served(document.media_type, document.digest, document.raw)


def _offers(ordered: Sequence[VerifiedBundle], names: Names, rooms: Mapping[Home, Room]) -> tuple[Offer, ...]:
    """One for each image name and digest that can still be had under that name."""
    found: dict[tuple[str, Digest], Offer] = {}
    for bundle in ordered:
        for image in bundle.images:
            offer = _offer(image, bundle, names)
            if offer.tag is None or rooms[home_of(image.reference)].tags[offer.tag] == offer.digest:
                found[offer.name, offer.digest] = offer
    return tuple(sorted(found.values(), key=lambda offer: (offer.path, offer.tag or "", offer.digest)))


def _offer(image: HeldImage, bundle: VerifiedBundle, names: Names) -> Offer:
    home = home_of(image.reference)
    tag, digest = image.reference.tag, image.image.digest
    return Offer(image.image.name, names.best_path(home), home.full_path, tag, digest, bundle.report.file)
