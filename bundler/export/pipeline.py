"""The export itself: from a request to a committed bundle (archive/FORMAT.md, "Commit protocol of an export").

    0  take the repository's lock; read sequence and versions; collect, check what is required, plan
    1  hash every blob; stage the frames of those that gain
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
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bundler.archive.inventory import Blob, Image, Inventory, format_inventory
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, UsageError
from bundler.export.collect import CollectedImage, collect, naming
from bundler.export.hooks import Hooks
from bundler.export.plan import Plan, make_plan
from bundler.export.publish import Draft, Signing, check_absent, publish
from bundler.export.required import check_required
from bundler.export.resolve import choose_name, open_source
from bundler.export.settings import ImageRequest
from bundler.export.space import check_space
from bundler.export.staging import Staged, stage
from bundler.export.workspace import workspace
from bundler.safe_file import disk_errors, temporary_beside
from bundler.version import TOOL
from trust_root.key_files import EXPORTER, check_folders_apart, load_key
from trust_root.repository import Publication, Repository, open_repository


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export, and how.

    Attributes:
        images: at least one.
        target: the bundle's final name; nothing may be there.
        repository: the trust repository's folder.
        keys: the folder with the exporter's key.
        stream: the stream's name, to be sure that it is the right repository; None: whatever it is.
        audience: names of the sites that the bundle is for; empty: any.
        created_at: when the bundle is made, UTC, whole seconds; expiries are judged at it.
        compress: store what gains as zstd frames.
        allow_expiring: export although root or targets end within 30 days.
    """

    images: tuple[ImageRequest, ...]
    target: Path
    repository: Path
    keys: Path
    stream: str | None
    audience: tuple[str, ...]
    created_at: datetime
    compress: bool = True
    allow_expiring: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle that stands under its final name and is committed."""

    path: Path
    size_bytes: int
    inventory: Inventory
    inventory_digest: Digest
    development: bool


def plan_images(images: Sequence[ImageRequest], opened: ExitStack) -> Plan:
    """Open, collect and check all images, and plan the bundle. Reads documents only, no layers; writes nothing.

    Args:
        images: what was asked for.
        opened: takes the sources; they stay open until it is closed.

    Raises:
        RejectedError: a source is incomplete, or required evidence is missing.
        UsageError, EnvError, UnsupportedError: see resolve.py, collect.py, required.py, plan.py.
    """
    collected = []
    for request in images:
        source = open_source(request)
        opened.callback(source.close)
        found = collect(source, choose_name(request, source.resolve()), request.platforms)
        with naming(found.image.name, source):
            check_required(found, request.require)
        collected.append(found)
    return make_plan(_keep_what_is_there(collected, images))


def _keep_what_is_there(collected: list[CollectedImage], images: Sequence[ImageRequest]) -> list[CollectedImage]:
    """Nothing is listed as omitted that another image of the bundle brings: such children are collected after all."""
    while True:
        present = frozenset(node.digest for item in collected for node in item.nodes)
        again = [any(omission.digest in present for omission in item.image.omitted) for item in collected]
        if not any(again):
            return collected
        collected = [
            collect(item.source, item.image.name, request.platforms, present=present) if needed else item
            for item, request, needed in zip(collected, images, again, strict=True)
        ]


def export_bundle(request: ExportRequest, hooks: Hooks) -> Exported:
    """Export, from step 0 to step 5.

    Args:
        request: what to export.
        hooks: passphrase, judgement of the finished file, progress.

    Raises:
        SealiftError: nothing was published, and nothing is left; or the disk failed after the file had its name, and
            the pending record stays and counts.
    """
    check_absent(request.target)
    check_folders_apart(request.repository, request.keys)
    with ExitStack() as opened:
        repository = opened.enter_context(open_repository(request.repository))
        _check_stream(repository, request.stream)
        signer = load_key(request.keys, EXPORTER, hooks.passphrase)
        if not request.allow_expiring:
            repository.check_lifetime(request.created_at)
        signing = Signing(repository, repository.next_publication(request.created_at), signer)
        _check_audience(request, signing.publication)
        plan = plan_images(request.images, opened)
        check_space(request.target.parent, plan.least_bytes(compress=request.compress))
        work = opened.enter_context(workspace(request.target.parent))
        with hooks.progress("reading images", plan.content_bytes) as bar:
            staged = stage(plan, work, compress=request.compress, progress=bar.advance)
        draft = _draft(request, signing.publication, plan, staged)
        check_space(request.target.parent, draft.most_bytes(repository.files()))
        size_bytes = publish(draft, signing, hooks)
        repository.commit(signing.publication)
        return Exported(
            request.target, size_bytes, draft.inventory, sha256_of(draft.raw), development=repository.development
        )


def _check_audience(request: ExportRequest, publication: Publication) -> None:
    """Refuse names that no inventory can hold, before any work is done."""
    try:
        format_inventory(_inventory(request, publication, (), ()))
    except MalformedError as error:
        raise UsageError(error.code, error.what, error.which, got=error.got, want=error.want) from error


def _inventory(
    request: ExportRequest, publication: Publication, images: tuple[Image, ...], blobs: tuple[Blob, ...]
) -> Inventory:
    return Inventory(
        stream=publication.stream,
        sequence=publication.sequence,
        previous=publication.previous,
        audience=tuple(sorted(set(request.audience))),
        created_at=publication.created_at,
        tool=TOOL,
        images=images,
        blobs=blobs,
    )


def _draft(request: ExportRequest, publication: Publication, plan: Plan, staged: Staged) -> Draft:
    inventory = _inventory(request, publication, plan.images, tuple(staged.blobs))
    with disk_errors("output", request.target):
        temporary = temporary_beside(request.target.parent.resolve(strict=True) / request.target.name)
    return Draft(inventory, format_inventory(inventory), staged, temporary, request.target)


def _check_stream(repository: Repository, stream: str | None) -> None:
    if stream is not None and stream != repository.stream:
        raise UsageError(
            "stream", "stream", stream, got=f"the repository's stream is {repository.stream}", want="the same"
        )
