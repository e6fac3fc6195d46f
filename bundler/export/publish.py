"""Steps 2 to 4 of the commit protocol: pending, signature, the file, its name.

Rules of this module:
- The file gets its name by a hard link, which cannot replace anything; where the file system has none, by a rename
  after a last look.
- Whether the file has its name is asked of the disk, not remembered, so an interrupt at any moment finds the right way
  out: nothing published, everything undone; published, `pending` stays and counts.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bundler import limits
from bundler.archive.inventory import Inventory
from bundler.archive.reader import open_archive
from bundler.archive.writer import write_bundle
from bundler.digest import Digest, sha256_of
from bundler.errors import DamagedError, RejectedError, UsageError
from bundler.export.hooks import Hooks
from bundler.export.staging import Staged
from bundler.safe_file import disk_errors, remove, sync_file, sync_folder
from bundler.value import dataclass
from bundler.verify.completeness import check_no_strays, open_image
from bundler.verify.data import open_data
from trust_root.keys import Signer
from trust_root.repository import Publication, Repository

_BLOCK = 512
_HEAD_BYTES = 64 * 1024  # README, oci-layout, end, and the three files that are signed anew
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything a bundle will hold but its signature."""

    inventory: Inventory
    raw: bytes
    staged: Staged
    temporary: Path
    target: Path

    def most_bytes(self, trust_files: Mapping[str, bytes]) -> int:
        """An upper bound for the file's size.

        Args:
            trust_files: those of the present state, which those to come resemble.
        """
        sizes = [blob.stored_size_bytes for blob in self.inventory.blobs] + list(map(len, trust_files.values()))
        # index.json is a part of what the inventory says.
        return sum(size + 2 * _BLOCK for size in sizes) + 2 * len(self.raw) + _HEAD_BYTES


@dataclass(frozen=True, slots=True)
class Signing:
    """Who signs: the repository whose lock is held, the numbers of this export, the exporter's key."""

    repository: Repository
    publication: Publication
    signer: Signer


def publish(draft: Draft, signing: Signing, hooks: Hooks) -> int:
    """Sign the inventory, write the file, verify it, give it its name.

    Returns:
        the file's size in bytes. `commit` is the caller's next call.

    Raises:
        SealiftError, KeyboardInterrupt: nothing was published, and all is undone; or the file already had its name, and
            `pending` stays.
    """
    repository, publication = signing.repository, signing.publication
    naming = False
    try:
        repository.write_pending(publication, sha256_of(draft.raw), draft.temporary)
        trust_files = repository.sign(publication, draft.raw, signing.signer)
        size_bytes = _write(draft, trust_files, hooks)
        _read_back(draft, size_bytes, hooks)
        hooks.verify_file(draft.temporary)
        naming = True
        _give_name(draft.temporary, draft.target)
    except BaseException:
        if not (naming and _has_name(draft)):
            repository.abandon(publication)
        raise
    return size_bytes


def check_absent(target: Path) -> None:
    """Refuse a target that is there already, or has no folder.

    Raises:
        UsageError: ``target-exists`` or ``target-folder``.
    """
    if os.path.lexists(target):
        raise _exists(target)
    if not target.parent.is_dir():
        raise UsageError("target-folder", "output", str(target), got="no such folder", want="a folder that is there")


def _write(draft: Draft, trust_files: Mapping[str, bytes], hooks: Hooks) -> int:
    path = draft.temporary
    total = draft.most_bytes(trust_files)
    with disk_errors("output", draft.target), hooks.progress("writing bundle", total) as bar:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "wb", buffering=limits.READ_BUFFER_BYTES) as output:
            try:
                size_bytes = write_bundle(output, trust_files, draft.inventory, draft.staged.open_stored, bar.reach)
            except DamagedError as error:  # no bundle is damaged: there is none yet
                hints = ("it has changed since it was hashed", draft.staged.origin_of(error.which))
                raise RejectedError(
                    error.code, error.what, error.which, got=error.got, want=error.want, hints=hints
                ) from error
            sync_file(output)
    return size_bytes


def _read_back(draft: Draft, size_bytes: int, hooks: Hooks) -> None:
    """Read the finished file as a far side would: every byte, and every image's closure."""
    with open_archive(draft.temporary) as archive, hooks.progress("checking bundle", size_bytes) as bar:
        inventory = archive.read_inventory(len(draft.raw), sha256_of(draft.raw))
        archive.read_members(progress=bar.reach).require_whole()

        def read(digest: Digest) -> bytes:
            return archive.read_blob(digest, limits.MANIFEST_BYTES)

        data = [node for item in inventory.data for node in open_data(item, inventory, read).nodes]
        images = tuple(open_image(image, inventory, read) for image in inventory.images)
        check_no_strays(inventory, images, tuple(data))


def _give_name(temporary: Path, target: Path) -> None:
    with disk_errors("output", target), _as_existing(target):
        try:
            os.link(temporary, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(target):
                raise _exists(target) from error
            temporary.rename(target)
        sync_folder(target.parent)
    remove(temporary)


@contextmanager
def _as_existing(target: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise _exists(target) from error


def _has_name(draft: Draft) -> bool:
    """Whether the finished file stands under its final name, with or without its temporary name."""
    try:
        there = draft.target.stat(follow_symlinks=False)
        ours = draft.temporary.stat(follow_symlinks=False)
    except FileNotFoundError:
        return not draft.temporary.exists()  # nobody but us takes that name away, and only after the other is there
    except OSError:
        return True  # it cannot be told; a pending record that stays too long harms nothing
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _exists(target: Path) -> UsageError:
    return UsageError(
        "target-exists",
        "output",
        str(target),
        got="there already",
        want="a new name",
        hints=["bundles are never overwritten: choose another name, or move the old one away"],
    )
