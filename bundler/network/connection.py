"""What all registry images of one export share: clients, cache, fetcher, and how they are reached.

Rules of this module:
- Nothing is made before something needs it: an export of layouts opens no cache, reads no auth file, starts no program.
- Used by several threads at once; closed once, in the reverse order of making.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Self

from bundler import limits
from bundler.network.access import Access
from bundler.network.blob_cache import BlobCache, open_cache
from bundler.network.fetching import Fetcher
from bundler.network.registry import Registries, Repository
from bundler.oci.reference import Reference


class Connection:
    """The connected world, for one export."""

    def __init__(
        self,
        access: Access,
        cache_folder: Callable[[], Path],
        *,
        evidence_repository: Reference | None = None,
        large_bytes: int = limits.LARGE_BLOB_BYTES,
        jobs: int = limits.DOWNLOADS,
    ) -> None:
        """Nothing is opened yet.

        Args:
            access: how registries are reached.
            cache_folder: gives the cache's folder, when it is needed.
            evidence_repository: where cosign's tags lie if not beside the image (cosign's COSIGN_REPOSITORY).
            large_bytes: blobs of this size or more are fetched resumably.
            jobs: downloads at once.
        """
        self.access = access
        self._cache_folder = cache_folder
        self._evidence_repository = evidence_repository
        self._large_bytes = large_bytes
        self._jobs = jobs
        self._opened = ExitStack()
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def repository(self, reference: Reference) -> Repository:
        """A repository of a registry."""
        with self._lock:
            return self._registries.repository(reference)

    @property
    def evidence_repository(self) -> Repository | None:
        """The other repository that cosign's tags are looked for in; None: beside the image."""
        return None if self._evidence_repository is None else self.repository(self._evidence_repository)

    @property
    def cache(self) -> BlobCache:
        """The cache, with this run's staging folder."""
        with self._lock:
            return self._cache

    @property
    def fetcher(self) -> Fetcher:
        """What brings blobs."""
        with self._lock:
            return self._fetcher

    @cached_property
    def _registries(self) -> Registries:
        registries = Registries(self.access)
        self._opened.callback(registries.close)
        return registries

    @cached_property
    def _cache(self) -> BlobCache:
        return self._opened.enter_context(open_cache(self._cache_folder()))

    @cached_property
    def _fetcher(self) -> Fetcher:
        return Fetcher(self._cache, None, self.access, large_bytes=self._large_bytes, jobs=self._jobs)
