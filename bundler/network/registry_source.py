"""Images in registries as sources: `docker://REGISTRY/REPOSITORY[:TAG][@DIGEST]`, and bare names.

Rules of this module:
- A tag is resolved once. Everything later goes by digest, so a tag that moves meanwhile changes nothing (THREATS E1).
- Documents and evidence come by our own client and are kept in the cache; layers are brought by the fetcher before they
  are asked for here.
- Evidence is asked for in the image's repository: the referrers API, the fallback tag, cosign's tags. With an evidence
  repository, cosign's tags are asked for there instead, as cosign does, and referrers in both.
- Only what the registry clearly says is absent is absent (registry.py); that the referrers API is, is recorded.
- Manifests stay in memory, up to `limits.IMAGE_DOCUMENTS_BYTES` for one image: a registry can list what it likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from io import BytesIO
from threading import Lock
from typing import BinaryIO

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, RejectedError
from bundler.network.connection import Connection
from bundler.network.referrers import REFERRER, TAG_KINDS, keep_referrers, read_fallback
from bundler.network.registry import FetchedManifest, Repository
from bundler.network.source import ABSENT, ANY_WORD, TAG_WORDS, Answer, Place, ResolvedImage
from bundler.oci.annotations import format_evidence_tag, format_fallback_tag
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import is_document_type
from bundler.oci.reference import Reference

NO_REFERRERS_API = f"{ABSENT}; no referrers API"


class RegistrySource:
    """A source: one image in a registry."""

    kind = "docker"

    def __init__(self, connection: Connection, reference: Reference, place: str) -> None:
        """Nothing is asked yet.

        Args:
            connection: how registries are reached.
            reference: which image.
            place: the source as typed, for messages.
        """
        self.place = place
        self._connection = connection
        self._reference = reference
        self._resolved: ResolvedImage | None = None
        self._documents: dict[Digest, bytes] = {}
        self._documents_bytes = 0
        self._lock = Lock()
        self.repository = connection.repository(reference)
        elsewhere = connection.evidence_repository
        self.evidence_repository = None if elsewhere is self.repository else elsewhere

    def resolve(self) -> ResolvedImage:
        """What tag or digest stand for; the registry is asked once.

        Raises:
            RejectedError: there is no such image (``image-absent``).
            EnvError: the registry did not answer that.
        """
        if self._resolved is None:
            wanted = self._reference
            fetched = self.repository.get_manifest(str(wanted.digest or wanted.tag))
            self._resolved = ResolvedImage(self._remember(fetched), str(wanted))
        return self._resolved

    def read_document(self, descriptor: Descriptor) -> bytes:
        """Bytes of a manifest, config or evidence: known already, from the cache, or from the registry.

        Raises:
            RejectedError: no repository of this source holds it (``incomplete-source``), or the registry calls it
                something else than the descriptor does (``manifest-type``).
        """
        known = self._documents.get(descriptor.digest)
        if known is None:
            known = self._connection.fetcher.cached(descriptor.digest)
        if known is None:
            known = self._fetch(descriptor)
            if sha256_of(known) == descriptor.digest:
                self._connection.fetcher.keep(descriptor.digest, known)
        if is_document_type(descriptor.media_type):
            self._hold(descriptor.digest, known)
        return known[: descriptor.size_bytes + 1]

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of a blob: fetched already, or small enough to be read now.

        Raises:
            RejectedError: it is neither, or the registry lacks it (``incomplete-source``).
        """
        if self.has_hashed(descriptor.digest):
            return self._connection.fetcher.open(descriptor)
        if descriptor.size_bytes > limits.EVIDENCE_BLOB_BYTES:
            raise _absent(descriptor, f"not fetched from {self.place}")
        return BytesIO(self.read_document(descriptor))

    def missing(self, descriptors: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
        """Nothing is known to be: the fetcher finds out."""
        del descriptors
        return ()

    def has_hashed(self, digest: Digest) -> bool:
        """Whether the fetcher brought and hashed it in this run."""
        return digest in self._connection.fetcher.checked

    def places(self, subject: Digest) -> tuple[Place, ...]:
        """Referrers API, fallback tag, cosign's tags, in each repository that is asked."""
        tagged = self.evidence_repository or self.repository
        found = self._referrer_places(subject, self.repository)
        if self.evidence_repository is not None:
            found += self._referrer_places(subject, self.evidence_repository)
        found += [
            Place(
                f"tag-{suffix}{self._elsewhere(tagged)}",
                TAG_KINDS[suffix],
                words,
                partial(self._ask_tag, tagged, format_evidence_tag(subject, suffix)),
            )
            for suffix, words in TAG_WORDS.items()
        ]
        return tuple(found)

    def close(self) -> None:
        """Nothing is held; the connection is closed by its maker."""

    def _referrer_places(self, subject: Digest, repository: Repository) -> list[Place]:
        asks = {"referrers": self._ask_referrers, "fallback-tag": self._ask_fallback}
        return [
            Place(f"{name}{self._elsewhere(repository)}", REFERRER, ANY_WORD, partial(ask, repository, subject))
            for name, ask in asks.items()
        ]

    def _elsewhere(self, repository: Repository) -> str:
        """Named only when it is not the image's own, or a mirror answers for it."""
        if repository is not self.repository:
            return f" in {repository.name}"
        return f" via {repository.endpoint}" if repository.is_mirror else ""

    def _ask_referrers(self, repository: Repository, subject: Digest) -> Answer:
        listed = repository.referrers(subject)
        if listed is None:
            return Answer((), NO_REFERRERS_API)
        return keep_referrers(listed, subject, self.read_document)

    def _ask_fallback(self, repository: Repository, subject: Digest) -> Answer:
        fetched = repository.find_manifest(format_fallback_tag(subject), served=repository is self.repository)
        if fetched is None:
            return Answer.of(())
        return read_fallback(self._remember(fetched), fetched.raw, subject, self.read_document)

    def _ask_tag(self, repository: Repository, tag: str) -> Answer:
        fetched = repository.find_manifest(tag, served=repository is self.repository)
        return Answer.of(() if fetched is None else (self._remember(fetched),))

    def _remember(self, fetched: FetchedManifest) -> Descriptor:
        self._hold(fetched.digest, fetched.raw)
        return Descriptor(fetched.media_type, fetched.digest, len(fetched.raw))

    def _hold(self, digest: Digest, raw: bytes) -> None:
        with self._lock:
            if digest in self._documents:
                return
            self._documents_bytes += len(raw)
            if self._documents_bytes > limits.IMAGE_DOCUMENTS_BYTES:
                raise MalformedError(
                    "limits", "image", self.place, got=f"over {limits.IMAGE_DOCUMENTS_BYTES} bytes of manifests",
                    want="fewer",
                )  # fmt: skip
            self._documents[digest] = raw

    def _fetch(self, descriptor: Descriptor) -> bytes:
        """From the first repository that has it."""
        repositories = [self.repository, *([self.evidence_repository] if self.evidence_repository else [])]
        for repository in repositories[:-1]:
            raw = self._fetch_from(repository, descriptor)
            if raw is not None:
                return raw
        raw = self._fetch_from(repositories[-1], descriptor)
        if raw is None:
            raise _absent(descriptor, f"not in {repositories[-1].name}")
        return raw

    def _fetch_from(self, repository: Repository, descriptor: Descriptor) -> bytes | None:
        if is_document_type(descriptor.media_type):
            fetched = repository.find_manifest(str(descriptor.digest), served=repository is self.repository)
            if fetched is not None and fetched.media_type != descriptor.media_type:
                raise RejectedError(
                    "manifest-type", "manifest", str(descriptor.digest),
                    got=f"{fetched.media_type} from {repository.name}",
                    want=f"{descriptor.media_type}, as its descriptor says",
                )  # fmt: skip
            return None if fetched is None else fetched.raw
        try:
            return repository.read_blob(descriptor, limits.EVIDENCE_BLOB_BYTES)
        except RejectedError as error:
            if error.code != "incomplete-source":
                raise
            return None


def _absent(descriptor: Descriptor, got: str) -> RejectedError:
    return RejectedError("incomplete-source", "blob", str(descriptor.digest), got=got, want="a whole image")
