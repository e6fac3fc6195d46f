"""Reading what a site keeps, while others may verify: what they have just replaced is told as that, not as damage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

from bundler.digest import Digest
from bundler.errors import TrustError
from trust_root.keeping import open_kept, read_list
from trust_root.site import Site
from trust_root.state_folder import load_snapshot


def kept_list(site: Site) -> bytes | None:
    """The list of what a site keeps of deliveries, as its loaded generation names it; None where it keeps nothing.

    Raises:
        TrustError: it is not what was written (``state-damaged``), or another run has just replaced it
            (``state-changed``). EnvError: the disk.
    """
    digest = site.loaded.state.kept
    if digest is None:
        return None
    with _unless_replaced(site):
        return read_list(site.folder, digest)


@contextlib.contextmanager
def open_kept_content(site: Site, digest: Digest) -> Iterator[BinaryIO]:
    """A content that the list names, hashed, at its beginning.

    Raises:
        TrustError, EnvError: as `kept_list`.
    """
    with contextlib.ExitStack() as opened:
        with _unless_replaced(site):
            source = opened.enter_context(open_kept(site.folder, digest))
        yield source


@contextlib.contextmanager
def _unless_replaced(site: Site) -> Iterator[None]:
    try:
        yield
    except TrustError as error:
        if load_snapshot(site.folder).state.kept != site.loaded.state.kept:
            raise TrustError(
                "state-changed", "state", got="another run has replaced what was kept", want="what this run began with",
                hints=["run the command again"],
            ) from error  # fmt: skip
        raise
