"""A bundle that was verified and is still open: the only way to serve or load anything.

Rules of this module:
- The whole bundle is verified first (head, every byte, claims under the site's policy), and what the site remembers of
  it is written, before the first byte is handed on. A report that does not pass gives no bundle.
- What was verified is what is used: documents come from the bytes that were hashed, blobs in chunks that are proved
  again in the buffer that is sent (archive/chunks.py). The file's name is never opened a second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundler import limits
from bundler.archive.chunks import ProvedBlob
from bundler.archive.inventory import Inventory
from bundler.archive.reader import STANDARD_INPUT, ArchiveReader, open_archive
from bundler.deliver.holdings import HeldImage, held_images
from bundler.digest import Digest
from bundler.errors import EnvError
from bundler.value import dataclass, replace
from bundler.verify.pipeline import Request, Verification, verify_archive
from bundler.verify.result import Report
from bundler.verify.settle import settle
from trust_root.site import Site

Stream = tuple[Digest | None, str]


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """An open bundle whose report passed. Made by `open_verified` only."""

    inventory: Inventory
    report: Report
    images: tuple[HeldImage, ...]
    archive: ArchiveReader

    @property
    def stream(self) -> Stream:
        """The stream, below the pin by which it is known: two trust roots may use one name."""
        trust = self.report.trust
        return (trust.pin if trust else None, self.inventory.stream)

    def blob(self, digest: Digest) -> ProvedBlob:
        """A blob, proved chunk by chunk as it is read.

        Raises:
            RejectedError: not listed (``blob-absent``). DamagedError: found damaged (``blob-digest``).
        """
        return self.archive.proved_blob(digest)


@dataclass(frozen=True, slots=True)
class Opened:
    """The verification, and the bundle when it passed."""

    run: Verification
    bundle: VerifiedBundle | None


@contextmanager
def open_verified(path: Path, request: Request, site: Site) -> Iterator[Opened]:
    """Verify a bundle file, let the site remember it, and keep it open for the block.

    Args:
        path: a regular file; a pipe cannot be read twice.
        request: what to judge it by; `prove` is set here.
        site: the site whose state records the delivery.

    Raises:
        EnvError: standard input, or not a regular file (``pipe``, ``file-kind``), or absent.
        DamagedError, UnsupportedError: its head cannot be read. Whatever comes after the head is in the report.
    """
    if str(path) == STANDARD_INPUT:
        raise EnvError("pipe", "bundle", got="standard input", want="a file", hints=["write the stream to a file"])
    with open_archive(path) as archive:
        run = verify_archive(archive, str(path), replace(request, prove=True))
        settle(run, site, archive)
        yield Opened(run, _bundle(archive, run) if run.report.exit_code == 0 else None)


def _bundle(archive: ArchiveReader, run: Verification) -> VerifiedBundle:
    def read(digest: Digest) -> bytes:
        return archive.read_blob(digest, limits.MANIFEST_BYTES)

    inventory = run.inventory
    if inventory is None:
        raise RuntimeError("a report passes only after the inventory was read")
    return VerifiedBundle(inventory, run.report, held_images(inventory, read), archive)
