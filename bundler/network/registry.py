"""Registries as we ask them ourselves (OCI distribution-spec 1.1): manifests, referrers, small and large blobs, tags.

Rules of this module:
- Absent is HTTP 404 with code MANIFEST_UNKNOWN, and only that. NAME_UNKNOWN counts too where this repository has not
  served anything yet. 404 of any body on the referrers path means that there is no such API. Whatever else comes is an
  error that names the question and the answer (answers.py).
- Nothing but a checked tag or `Digest` becomes part of a URL (CVE-2024-3727).
- A repository that says NAME_UNKNOWN to one question and serves another has no one meaning, whichever came first.
- The host that serves the first manifest serves the repository to the end: a run never mixes mirrors (THREATS E1).
- Blobs are handed out unchecked; whoever reads them hashes them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Self, TypeVar

from bundler import limits
from bundler.digest import Digest, parse_digest
from bundler.errors import EnvError, MalformedError, RejectedError
from bundler.network.access import Access
from bundler.network.answers import BLOB_UNKNOWN, MANIFEST_UNKNOWN, NAME_UNKNOWN, read_faults, says_absent
from bundler.network.blob_stream import BlobStream, open_stream
from bundler.network.credentials import CredentialStore
from bundler.network.endpoint import Endpoint, Host
from bundler.network.http import Answer, Http, answer_error
from bundler.network.listings import TAG, read_referrers, read_tags
from bundler.network.manifest_answer import ACCEPT, FetchedManifest, read_manifest
from bundler.network.pages import PageTurner
from bundler.network.places import Place, list_places
from bundler.network.repetition import Patience
from bundler.network.tokens import Scopes
from bundler.network.urls import Url
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_INDEX
from bundler.oci.reference import Reference

__all__ = ["Access", "BlobStream", "FetchedManifest", "Registries", "Repository"]

_T = TypeVar("_T")

_OTHER_WORDS = (
    f"absent is 404 with {MANIFEST_UNKNOWN} only; for a registry that always says it in other words (Harbor: NOT_FOUND)"
    " the image's may_lack says what evidence may be missing"
)


class Registries:
    """Every registry of one run: connections, credentials, tokens. Thread-safe; a context manager."""

    def __init__(self, access: Access, environ: Mapping[str, str] | None = None) -> None:
        self._access = access
        self._environ = dict(os.environ if environ is None else environ)
        self._http = Http(access, self._environ)
        self._patience = Patience(access)
        self._credentials = CredentialStore(access, self._environ)
        self._hosts: dict[Place, Host] = {}
        self._repositories: dict[str, Repository] = {}
        self._lock = threading.Lock()

    def repository(self, reference: Reference) -> Repository:
        """The repository of a reference; the same object for the same name.

        Raises:
            UsageError: a mirror that is none (code ``mirror``).
        """
        places = list_places(reference, self._access)
        with self._lock:
            if reference.name not in self._repositories:
                endpoints = [Endpoint(self._host(place), reference.repository, self._credentials) for place in places]
                self._repositories[reference.name] = Repository(reference, endpoints)
            return self._repositories[reference.name]

    def writing_endpoint(self, reference: Reference, *sources: str) -> Endpoint:
        """Where a repository is written: at the registry itself, never at a mirror (push.py).

        Args:
            reference: the repository.
            sources: other repositories of the registry that blobs are taken from; of checked names.
        """
        place = list_places(reference, self._access)[-1]
        pulls = (f"repository:{name}:pull" for name in sources)
        scopes = Scopes((f"repository:{reference.repository}:pull,push", *pulls), insists=True)
        with self._lock:
            return Endpoint(self._host(place), reference.repository, self._credentials, scopes)

    def close(self) -> None:
        """End waits and close connections; answers that are still read end by themselves."""
        self._patience.end()
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _host(self, place: Place) -> Host:
        return self._hosts.setdefault(place, Host(place, self._access, self._http, self._patience))


class Repository:
    """One repository. Made by `Registries.repository`; thread-safe."""

    def __init__(self, reference: Reference, endpoints: list[Endpoint]) -> None:
        self.name = reference.name
        self._repository = reference.repository
        self._endpoints = endpoints
        self._serving: Endpoint | None = None
        self._unknowing: set[Endpoint] = set()
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        """`host[:port]` that answers, or that is asked first as long as nothing was asked."""
        return (self._serving or self._endpoints[0]).place.host

    @property
    def is_mirror(self) -> bool:
        """Whether a mirror answers, not the registry that the name says."""
        return self._serving is not None and self._serving.place.is_mirror

    @property
    def skopeo_name(self) -> str:
        """What follows `docker://`, without tag and digest."""
        return f"{(self._serving or self._endpoints[-1]).place.name}/{self._repository}"

    def get_manifest(self, tag_or_digest: str | Digest) -> FetchedManifest:
        """A manifest that has to be there.

        Raises:
            RejectedError: absent (code ``image-absent``).
            UnsupportedError: Docker schema 1.
            EnvError: anything else.
        """
        found = self.find_manifest(tag_or_digest, served=self._serving is not None)
        if found is None:
            raise RejectedError(
                "image-absent",
                "manifest",
                f"{self.name} {tag_or_digest}",
                got=f"absent, says {self.endpoint}",
                want="present",
            )
        return found

    def find_manifest(self, tag_or_digest: str | Digest, *, served: bool = True) -> FetchedManifest | None:
        """A manifest that may be absent: then None.

        Args:
            tag_or_digest: checked here.
            served: whether this repository has served something in this run; then NAME_UNKNOWN is an error.

        Raises:
            MalformedError: neither tag nor digest.
            UnsupportedError: Docker schema 1.
            EnvError: anything but a manifest or a sound absence.
        """
        wanted, part = check_target(str(tag_or_digest))
        codes = {MANIFEST_UNKNOWN} if served or self._serving is not None else {MANIFEST_UNKNOWN, NAME_UNKNOWN}

        def use(answer: Answer) -> FetchedManifest | None:
            if answer.status == 200:
                return read_manifest(answer, wanted)
            self._check_absence(answer, codes, endpoint)
            return None

        which = f"{self.name} manifest {part}"
        for endpoint in self._candidates():
            try:
                found = endpoint.ask("GET", endpoint.url(f"manifests/{part}"), which, use, headers={"Accept": ACCEPT})
            except EnvError:
                if not endpoint.place.is_mirror or self._serving is not None:
                    raise
                continue
            if found is not None:
                if self._settle(endpoint, which):
                    return found
                return self.find_manifest(tag_or_digest, served=served)  # of the host that another thread has found
        return None

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """What the referrers API lists for a digest; None when the registry has no such API.

        Raises:
            EnvError: anything but pages of an OCI index, or 404 to the first one.
        """
        endpoint = self._main()
        found: list[Descriptor] = []
        pages = PageTurner()
        url: Url | None = endpoint.url(f"referrers/{subject}")
        is_first = True

        def use(answer: Answer) -> tuple[Url | None, tuple[Descriptor, ...]] | None:
            if answer.status == 404 and is_first:
                answer.close()
                return None
            if answer.status != 200:
                raise endpoint.failure(answer)
            return pages.turn(answer), read_referrers(answer)

        which = f"{self.name} referrers of {subject}"
        while url is not None:
            page = endpoint.ask("GET", url, which, use, headers={"Accept": OCI_INDEX})
            if page is None:
                return None
            url, listed = page
            is_first = False
            found.extend(listed)
            _check_count(len(found), limits.REFERRERS, which)
        if found:
            self._settle(endpoint, which)
        return tuple(found)

    def tags(self) -> tuple[str, ...]:
        """All tags, in the registry's order.

        Raises:
            RejectedError: the repository is absent (code ``image-absent``).
            EnvError: anything but pages of tags.
        """
        endpoint = self._main()
        found: list[str] = []
        pages = PageTurner()
        url: Url | None = endpoint.url("tags/list")
        codes = set() if self._serving is not None else {NAME_UNKNOWN}

        def use(answer: Answer) -> tuple[Url | None, tuple[str, ...]] | None:
            if answer.status != 200:
                self._check_absence(answer, codes, endpoint)
                return None
            return pages.turn(answer), read_tags(answer)

        which = f"{self.name} tags"
        while url is not None:
            page = endpoint.ask("GET", url, which, use)
            if page is None:
                raise RejectedError("image-absent", "repository", self.name, got="absent", want="present")
            url, listed = page
            found.extend(listed)
            _check_count(len(found), limits.TAGS, which)
        return tuple(found)

    def open_blob(self, descriptor: Descriptor, *, offset: int = 0) -> BlobStream:
        """A blob's bytes from an offset (0 to its size), unchecked; the caller closes the stream.

        Raises:
            RejectedError: absent (code ``incomplete-source``).
            EnvError: ``range-unsupported`` for an offset that the registry does not serve; anything else.
        """
        if offset and offset >= descriptor.size_bytes:
            return BlobStream(None, 0)
        headers = {"Range": f"bytes={offset}-"} if offset else {}

        def use(answer: Answer) -> BlobStream:
            if answer.status in ((200, 206, 416) if offset else (200,)):
                return open_stream(answer, descriptor, offset)
            raise self._blob_failure(answer, descriptor)

        return self._ask_blob("GET", descriptor, use, headers=headers, streams=True)

    def read_blob(self, descriptor: Descriptor, max_bytes: int) -> bytes:
        """A small blob as a whole, of the size that its descriptor says, unchecked otherwise.

        Raises:
            RejectedError: absent (``incomplete-source``), or its descriptor says more than `max_bytes` (``limits``).
            EnvError: anything else.
        """
        if descriptor.size_bytes > max_bytes:
            got = f"{descriptor.size_bytes} bytes"
            raise RejectedError("limits", "blob", str(descriptor.digest), got=got, want=f"at most {max_bytes}")

        def use(answer: Answer) -> bytes:
            if answer.status != 200:
                raise self._blob_failure(answer, descriptor)
            raw = answer.read_whole(descriptor.size_bytes)
            if len(raw) != descriptor.size_bytes:
                raise answer_error(answer.which, f"{len(raw)} bytes", f"{descriptor.size_bytes}")
            return raw

        return self._ask_blob("GET", descriptor, use)

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether the repository holds the blob in this size; a question about presence only, never about evidence.

        Raises:
            EnvError: neither 200 nor 404.
        """

        def use(answer: Answer) -> bool:
            if answer.status == 404:
                answer.discard()
                return False
            if answer.status != 200:
                raise self._main().failure(answer)
            answer.discard()
            return answer.length_bytes in (None, descriptor.size_bytes)

        return self._ask_blob("HEAD", descriptor, use)

    def _ask_blob(
        self,
        method: str,
        descriptor: Descriptor,
        use: Callable[[Answer], _T],
        *,
        headers: Mapping[str, str] | None = None,
        streams: bool = False,
    ) -> _T:
        endpoint = self._main()
        url = endpoint.url(f"blobs/{descriptor.digest}")
        which = f"{self.name} blob {descriptor.digest}"
        return endpoint.ask(method, url, which, use, headers=headers or {}, streams=streams)

    def _blob_failure(self, answer: Answer, descriptor: Descriptor) -> RejectedError | EnvError:
        faults = read_faults(answer)
        if says_absent(answer.status, faults, {BLOB_UNKNOWN}):
            return RejectedError(
                "incomplete-source",
                "blob",
                str(descriptor.digest),
                got=f"absent in {self.name}",
                want="present",
            )
        return self._main().judge(answer, faults)

    def _candidates(self) -> list[Endpoint]:
        return self._endpoints if self._serving is None else [self._serving]

    def _main(self) -> Endpoint:
        return self._serving or self._endpoints[-1]

    def _settle(self, endpoint: Endpoint, which: str) -> bool:
        """Remember who serves; false when that is another one already.

        Raises:
            EnvError: it said before that it knows no such repository (code ``registry-answer``).
        """
        with self._lock:
            self._serving = self._serving or endpoint
            if endpoint in self._unknowing:
                raise answer_error(which, f"content, and {NAME_UNKNOWN} to another question", "one of the two")
            return self._serving is endpoint

    def _check_absence(self, answer: Answer, codes: set[str], endpoint: Endpoint) -> None:
        """Close an answer that means a sound absence.

        Raises:
            EnvError: any other answer, or it knows no such repository and has served something from it.
        """
        faults = read_faults(answer)
        unknowing = NAME_UNKNOWN in {fault.name for fault in faults}
        with self._lock:
            contradicts = unknowing and self._serving is endpoint
            if contradicts or not says_absent(answer.status, faults, codes):
                error = endpoint.judge(answer, faults)
                if answer.status == 404 and not contradicts:
                    error.hints = (*error.hints, _OTHER_WORDS)
                raise error
            if unknowing:
                self._unknowing.add(endpoint)


def check_target(text: str) -> tuple[Digest | None, str]:
    """The digest that was asked for, if it is one, and what becomes part of a URL.

    Raises:
        MalformedError: neither tag nor digest (codes ``tag``, ``digest``).
    """
    if ":" in text:
        digest = parse_digest(text)
        return digest, str(digest)
    if not TAG.fullmatch(text):
        raise MalformedError("tag", "tag", repr(text[:160]), got="not a tag", want="letters, digits and . _ -")
    return None, text


def _check_count(count: int, maximum: int, which: str) -> None:
    if count > maximum:
        raise answer_error(which, f"more than {maximum} entries", f"at most {maximum}")
