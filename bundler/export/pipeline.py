"""The export itself: from a request to a committed bundle (archive/FORMAT.md, "Commit protocol of an export").

    0  take the repository's lock; read sequence and versions; collect, check what is required, fetch proofs, plan
    1  bring the blobs of images in registries; hash every blob; stage the frames of those that gain
    2  write and fsync `pending` in the trust repository
    3  sign
    4  write a temporary file beside the target, fsync, verify it, give it its name, fsync the folder
    5  commit the metadata, remove `pending`

Rules of this module:
- A failure before the file has its name (policy, disk, Ctrl-C) leaves nothing behind: temporary file gone, then
  `pending` gone, numbers free again. Once it has its name, `pending` stays until the commit is through, whatever ends
  the run: what may have left the house keeps its numbers.
- An existing target is never overwritten, not even when it appears while the export runs.
- The finished file is read back with our own reader, and each image is walked in it, before it gets its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Literal

from bundler import limits
from bundler.archive.inventory import Blob, Inventory, LogGrowth, format_inventory
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, SealiftError, UsageError
from bundler.export.add_proofs import Proved, add_proofs
from bundler.export.behind import check_not_behind
from bundler.export.collect import CollectedImage, collect, naming
from bundler.export.data import CollectedData, collect_data
from bundler.export.fetch import fetch_blobs
from bundler.export.hooks import Hooks
from bundler.export.log_growth import fetch_growth
from bundler.export.plan import Plan, make_plan
from bundler.export.publish import Draft, Signing, check_absent, publish
from bundler.export.required import check_required
from bundler.export.resolve import choose_name, open_source
from bundler.export.settings import DataRequest, ImageRequest
from bundler.export.space import check_space
from bundler.export.staging import Staged, stage
from bundler.export.workspace import workspace
from bundler.network.connection import Connection
from bundler.network.source import Source
from bundler.network.threads import in_threads
from bundler.safe_file import disk_errors, temporary_beside
from bundler.value import dataclass, replace
from bundler.version import TOOL
from trust_root.key_files import EXPORTER, check_folders_apart, load_key
from trust_root.keys import Signer
from trust_root.repository import Publication, Repository, open_repository
from trust_root.state_export import SiteHeads

ProofWish = Literal["fetch", "require", "none"]


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export, and how.

    Attributes:
        images: at least one, unless there is data.
        target: the bundle's final name; nothing may be there.
        repository: the trust repository's folder.
        keys: the folder with the exporter's key; None: the caller opens it (`Hooks.signer`).
        stream: the stream's name, to be sure that it is the right repository; None: whatever it is.
        audience: names of the sites that the bundle is for; empty: any.
        created_at: when the bundle is made, UTC, whole seconds; expiries are judged at it.
        compress: store what gains as zstd frames.
        allow_expiring: export although root or targets end within 30 days.
        proofs: what to do about evidence with an inclusion promise only: `fetch` the proof and warn where there is
            none, `require` it, or leave it (`none`).
        since: what sites have seen of logs; logs are asked how they grew since then.
        data: vulnerability data.
    """

    images: tuple[ImageRequest, ...]
    target: Path
    repository: Path
    keys: Path | None
    stream: str | None
    audience: tuple[str, ...]
    created_at: datetime
    compress: bool = True
    allow_expiring: bool = False
    proofs: ProofWish = "none"
    since: tuple[SiteHeads, ...] = ()
    data: tuple[DataRequest, ...] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle that stands under its final name and is committed."""

    path: Path
    size_bytes: int
    inventory: Inventory
    inventory_digest: Digest
    development: bool
    warnings: tuple[str, ...] = ()


def collect_images(
    images: Sequence[ImageRequest], connection: Connection, opened: ExitStack
) -> tuple[CollectedImage, ...]:
    """Open, collect and check all images. Reads documents and evidence only, no layers; writes nothing but the cache.

    Args:
        images: what was asked for.
        connection: for images in registries.
        opened: takes the sources; they stay open until it is closed.

    Raises:
        RejectedError: a source is incomplete, or required evidence is missing.
        UsageError, EnvError, UnsupportedError: see resolve.py, collect.py, required.py.
    """
    sources = []
    for request in images:
        source = open_source(request, connection)
        opened.callback(source.close)
        sources.append((source, request))
    collected = in_threads(_collect_one, sources, limits.IMAGES_AT_ONCE)
    return tuple(_keep_what_is_there(collected, images))


def _collect_one(asked: tuple[Source, ImageRequest]) -> CollectedImage:
    source, request = asked
    try:
        name = choose_name(request, source.resolve())
    except SealiftError as error:
        folder = request.source.partition(":")[0]
        if (request.base / folder).is_dir() and source.kind == "docker":
            error.hints = (*error.hints, f"a folder has that name; did you mean oci:{request.source}?")
        error.hints = (*error.hints, f"image {request.name or request.source}, from {source.place}")
        raise
    return _collect(source, name, request)


def _collect(
    source: Source, name: str, request: ImageRequest, present: frozenset[Digest] = frozenset()
) -> CollectedImage:
    """Collect an image; what is required is required of every platform that it will carry."""
    found = collect(source, name, request.platforms, present=present, may_lack=request.may_lack)
    with naming(found.image.name, source):
        check_required(found, request.require)
    return found


def _keep_what_is_there(collected: list[CollectedImage], images: Sequence[ImageRequest]) -> list[CollectedImage]:
    """Nothing is listed as omitted that another image of the bundle brings: such children are collected after all."""
    while True:
        present = frozenset(node.digest for item in collected for node in item.nodes)
        again = [any(omission.digest in present for omission in item.image.omitted) for item in collected]
        if not any(again):
            return collected
        collected = [
            _collect(item.source, item.image.name, request, present) if needed else item
            for item, request, needed in zip(collected, images, again, strict=True)
        ]


def export_bundle(request: ExportRequest, hooks: Hooks, connection: Connection) -> Exported:
    """Export, from step 0 to step 5.

    Args:
        request: what to export.
        hooks: passphrase, judgement of the finished file, progress.
        connection: how registries and logs are reached.

    Raises:
        SealiftError: nothing was published, and nothing is left; or the disk failed after the file had its name, and
            the pending record stays and counts.
    """
    check_absent(request.target)
    if request.keys is not None:
        check_folders_apart(request.repository, request.keys)
    with ExitStack() as opened:
        repository = opened.enter_context(open_repository(request.repository))
        _check_stream(repository, request.stream)
        signer = _open_signer(request, hooks)
        if not request.allow_expiring:
            repository.check_lifetime(request.created_at)
        signing = Signing(repository, repository.next_publication(request.created_at), signer)
        check_not_behind(request.since, repository.chain.roots, signing.publication)
        _check_audience(request, signing.publication)
        proved = _prove(request, collect_images(request.images, connection, opened), repository, connection)
        proved = replace(proved, collected=(*proved.collected, *hooks.further(proved.collected, signer)))
        grown = fetch_growth(
            request.since, proved.collected, repository.contents, connection, signing.publication.created_at
        )
        data = collect_data(request.data, connection, opened, signing.publication.created_at)
        plan = make_plan(proved.collected, data)
        least_bytes = plan.least_bytes(compress=request.compress)
        check_space(request.target.parent, least_bytes)
        evicted = fetch_blobs(
            _with_artifacts(proved.collected, data), connection, hooks, request.target.parent, least_bytes
        )
        work = opened.enter_context(workspace(request.target.parent))
        with hooks.progress("reading images", plan.content_bytes) as bar:
            staged = stage(plan, work, compress=request.compress, progress=bar.advance)
        draft = _draft(request, signing.publication, plan, staged, grown.logs)
        check_space(request.target.parent, draft.most_bytes(repository.files()))
        size_bytes = publish(draft, signing, hooks)
        repository.commit(signing.publication)
        return Exported(
            request.target,
            size_bytes,
            draft.inventory,
            sha256_of(draft.raw),
            development=repository.development,
            warnings=(*proved.warnings, *grown.warnings, *(told for item in data for told in item.warnings), *evicted),
        )


def _with_artifacts(collected: Sequence[CollectedImage], data: Sequence[CollectedData]) -> tuple[CollectedImage, ...]:
    """Whatever blobs are fetched for."""
    return (*collected, *(item.artifact for item in data if item.artifact is not None))


def _open_signer(request: ExportRequest, hooks: Hooks) -> Signer:
    if hooks.signer is not None:
        return hooks.signer()
    if request.keys is None:
        raise UsageError("keys", "keys folder", got="none", want="a folder with exporter.pem, or a key")
    return load_key(request.keys, EXPORTER, hooks.passphrase)


def _prove(
    request: ExportRequest, collected: tuple[CollectedImage, ...], repository: Repository, connection: Connection
) -> Proved:
    if request.proofs == "none":
        return Proved(collected, ())
    required = request.proofs == "require"
    return add_proofs(collected, repository.contents, connection, request.created_at, required=required)


def _check_audience(request: ExportRequest, publication: Publication) -> None:
    """Refuse names that no inventory can hold, before any work is done."""
    try:
        format_inventory(_inventory(request, publication, Plan((), ()), ()))
    except MalformedError as error:
        raise UsageError(error.code, error.what, error.which, got=error.got, want=error.want) from error


def _inventory(
    request: ExportRequest,
    publication: Publication,
    plan: Plan,
    blobs: tuple[Blob, ...],
    logs: tuple[LogGrowth, ...] = (),
) -> Inventory:
    return Inventory(
        stream=publication.stream,
        sequence=publication.sequence,
        previous=publication.previous,
        audience=tuple(sorted(set(request.audience))),
        created_at=publication.created_at,
        tool=TOOL,
        images=plan.images,
        blobs=blobs,
        logs=logs,
        data=plan.data,
    )


def _draft(
    request: ExportRequest, publication: Publication, plan: Plan, staged: Staged, logs: tuple[LogGrowth, ...]
) -> Draft:
    inventory = _inventory(request, publication, plan, tuple(staged.blobs), logs)
    with disk_errors("output", request.target):
        temporary = temporary_beside(request.target.parent.resolve(strict=True) / request.target.name)
    return Draft(inventory, format_inventory(inventory), staged, temporary, request.target)


def _check_stream(repository: Repository, stream: str | None) -> None:
    if stream is not None and stream != repository.stream:
        raise UsageError(
            "stream", "stream", stream, got=f"the repository's stream is {repository.stream}", want="the same"
        )
