"""News for a site without a delivery: newer roots and targets, from a repository, a bundle or a revocation file.

    files = fetched_files(site, metadata, targets)       # a repository: asked for what the verification wants to see
    roots = refresh_roots(site, files, basis)            # newer roots are kept from here on, whatever comes after
    done = refresh_targets(site, roots, files, basis)

Rules of this module (DESIGN §4, "Roots never fork", "What is written when"; THREATS T4, T6, T7):
- The same checks as for a bundle: roots chain on from the site's and never fork; targets are signed as the newest root
  says, alive at the time basis, and not older than what the site has; timestamp and snapshot neither.
- Nothing is accepted: no inventory, no sequence, no time floor. Versions of timestamp and snapshot are compared and not
  recorded, so that deliveries which are still on their way are not taken for replays.
- A file of a repository is asked for when it is known who must have signed it, or which hash it must have.
- A pin that was given up learns nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bundler import limits
from bundler.errors import TrustError
from bundler.moment import format_moment
from bundler.value import dataclass
from trust_root.delivery import TimeBasis
from trust_root.fetch import Fetch
from trust_root.newest import OpenedRoots, has_newer_targets, open_publication, open_roots
from trust_root.roles import TARGETS
from trust_root.site import Site, alarms

_METADATA, _TARGETS = "metadata/", "targets/"


@dataclass(frozen=True, slots=True)
class RefreshedTargets:
    """What became of a source's targets.

    Attributes:
        version: their version.
        newer: they are newer than those that the site had, and are kept.
    """

    version: int
    newer: bool


class FetchedFiles(Mapping[str, bytes]):
    """A repository's files by their names in a bundle's `trust/`; each is fetched when it is first asked for."""

    def __init__(self, metadata: Fetch, targets: Fetch) -> None:
        self._metadata, self._targets = metadata, targets
        self._held: dict[str, bytes] = {}
        self._bytes = 0

    def __getitem__(self, name: str) -> bytes:
        if name not in self._held:
            raw = self._fetch(name)
            if raw is None:
                raise KeyError(name)
            self._count(raw)
            self._held[name] = raw
        return self._held[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        """Names of what was fetched so far."""
        return iter(tuple(self._held))

    def __len__(self) -> int:
        return len(self._held)

    def fetch_roots(self) -> None:
        """Fetch every root, 1 to the newest, until the repository says that there is no more.

        Raises:
            EnvError: an answer is missing or unclear. TrustError: too many (``limits``).
        """
        for version in range(1, limits.ROOTS + 2):
            if f"{_METADATA}{version}.root.json" not in self:
                return
        raise TrustError("limits", "trust metadata", "roots", got="more", want=f"at most {limits.ROOTS}")

    def _fetch(self, name: str) -> bytes | None:
        if name.startswith(_METADATA):
            return self._metadata(name.removeprefix(_METADATA), limits.TRUST_METADATA_BYTES)
        if name.startswith(_TARGETS):
            return self._targets(name.removeprefix(_TARGETS), limits.TRUST_TARGET_BYTES)
        return None

    def _count(self, raw: bytes) -> None:
        self._bytes += len(raw)
        if self._bytes > limits.TRUST_TOTAL_BYTES:
            raise TrustError("limits", "trust metadata", got="more bytes", want=f"at most {limits.TRUST_TOTAL_BYTES}")


def root_files(roots: tuple[bytes, ...]) -> dict[str, bytes]:
    """Roots 1 to N (a revocation file's) under their names."""
    return {f"{_METADATA}{version}.root.json": raw for version, raw in enumerate(roots, 1)}


def refresh_roots(site: Site, files: Mapping[str, bytes], basis: TimeBasis) -> OpenedRoots:
    """Keep a source's newer roots.

    Args:
        site: whose state is refreshed.
        files: the source's files; of a repository, with its roots fetched.
        basis: the time basis; its clock dates the log's line.

    Returns:
        the source's roots; `new_roots` are those that the site did not have.

    Raises:
        TrustError: ``pin-not-in-bundle``, ``pin-retired``, ``root-fork`` (an alarm), or as `open_root_chain`.
        EnvError: the disk.
    """
    with alarms(site, basis):
        roots = open_roots(site.loaded.pins, files)
        retired = site.held(roots.pin).record.retired
        if retired is not None:
            raise TrustError(
                "pin-retired", "trust root", str(roots.pin),
                got=f"given up on {format_moment(retired.at)}", want=f"pin {retired.successor}",
            )  # fmt: skip
        site.persist_roots(roots, basis)
    return roots


def refresh_targets(site: Site, roots: OpenedRoots, files: Mapping[str, bytes], basis: TimeBasis) -> RefreshedTargets:
    """Keep a source's targets if they are newer; `refresh_roots` came first.

    Raises:
        TrustError: ``rollback``, ``targets-fork`` (an alarm), ``expired``, or as `open_trust`.
        EnvError: the disk, or the source.
    """
    found = open_publication(roots, files, basis, site.rules.grace)
    with alarms(site, basis):
        newer = has_newer_targets(site.held(roots.pin), found)
    if newer and not site.read_only:
        newer = site.record_targets(found, basis.clock)
    return RefreshedTargets(found.roles[TARGETS].version, newer)
