"""The blobs of images in registries, brought before they are hashed and written: from the cache, by skopeo, by us.

Rules of this module:
- Manifests of platforms go to skopeo with their blobs; evidence and the rest come by our own client (network/fetching).
- There must be room for what is still to come, in the cache and, where that is the same disk, for the bundle too.
- With an evidence repository, what the image's own repository lacks of the evidence comes from there. Who served a
  manifest tells nothing (it may have been cached), so the repository is asked for each blob.
- What the exporter made itself, and documents that are in memory, are not fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bundler import limits
from bundler.digest import Digest
from bundler.export.collect import CollectedImage, naming
from bundler.export.hooks import Hooks
from bundler.export.space import check_space
from bundler.network.connection import Connection
from bundler.network.fetching import ImageWork, ManifestWork
from bundler.network.registry_source import RegistrySource
from bundler.network.threads import in_threads
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import ImageManifest, is_document_type
from bundler.safe_file import disk_errors


def fetch_work(collected: Sequence[CollectedImage], connection: Connection) -> list[ImageWork]:
    """What has to be brought for these images; nothing for those that are no registry's.

    Raises:
        EnvError: a registry does not say which parts of evidence it has.
    """
    return [
        work
        for item in collected
        if isinstance(item.source, RegistrySource)
        for work in _works(item, item.source, connection)
    ]


def fetch_blobs(
    collected: Sequence[CollectedImage], connection: Connection, hooks: Hooks, target: Path, bundle_bytes: int
) -> tuple[str, ...]:
    """Bring every blob of images in registries into this run's staging folder, hashed.

    Args:
        collected: the images.
        connection: with cache and fetcher.
        hooks: progress, for each image.
        target: the folder that the bundle goes to.
        bundle_bytes: what the bundle needs at least.

    Returns:
        a sentence for each blob of the cache that was not what its name said; it was fetched again.

    Raises:
        EnvError: skopeo, network or disk.
        RejectedError: a registry lacks a blob, or gives other bytes.
    """
    works = fetch_work(collected, connection)
    if not works:
        return ()
    _check_room(works, connection, target, bundle_bytes)
    totals: dict[str, int] = {}
    for work in works:
        totals[work.name] = totals.get(work.name, 0) + work.size_bytes
    with hooks.progress_each("fetching", totals) as bars:
        connection.fetcher.fetch(works, bars.reach, bars.finish)
    return tuple(f"cache: {digest} was not what its name says; fetched again" for digest in connection.cache.evicted)


def _check_room(works: Sequence[ImageWork], connection: Connection, target: Path, bundle_bytes: int) -> None:
    coming = connection.fetcher.missing_bytes(works)
    cache = connection.cache.root
    with disk_errors("folder", target):
        shared = cache.stat().st_dev == target.stat().st_dev
    check_space(cache, coming + (bundle_bytes if shared else 0))


def _works(item: CollectedImage, source: RegistrySource, connection: Connection) -> Iterator[ImageWork]:
    manifests = [_manifest_work(manifest, item) for manifest in item.platform_manifests]
    brought = {blob.digest for manifest in manifests for blob in manifest.blobs} | set(item.made)
    others = [node for node in item.nodes if node.digest not in brought and not is_document_type(node.media_type)]
    elsewhere = source.evidence_repository
    with naming(item.image.name, source):
        apart = _parts_elsewhere(others, source, connection) if elsewhere is not None else frozenset()
    own = tuple(node for node in others if node.digest not in apart)
    yield ImageWork(item.image.name, source.repository, tuple(manifests), own)
    if elsewhere is not None:
        rest = tuple(node for node in others if node.digest in apart)
        yield ImageWork(f"{item.image.name} (evidence)", elsewhere, (), rest)


def _manifest_work(manifest: ImageManifest, item: CollectedImage) -> ManifestWork:
    entry = next(node for node in item.nodes if node.digest == manifest.digest)
    return ManifestWork(entry, manifest.raw, _plain((manifest.config, *manifest.layers)))


def _plain(blobs: tuple[Descriptor, ...]) -> tuple[Descriptor, ...]:
    """Each blob once."""
    return tuple({blob.digest: blob for blob in blobs}.values())


def _parts_elsewhere(parts: Sequence[Descriptor], source: RegistrySource, connection: Connection) -> frozenset[Digest]:
    """Config and layers of evidence that are neither cached nor in the image's own repository."""
    asked = [part for part in parts if not connection.cache.holds(part)]
    here = in_threads(source.repository.has_blob, asked, limits.LOOKUP_THREADS)
    return frozenset(part.digest for part, is_here in zip(asked, here, strict=True) if not is_here)
