"""A bundle's roots and targets beside those that a site holds: which pin, no forks, and which are the newest.

Rules of this module (DESIGN §4, "Roots never fork", "The newest trusted material judges"):
- Pure. The pin comes from the site. Of several in one bundle, which then belong to one trust root, the oldest: it is in
  every bundle of that trust root, so there is one memory for all of them, and no replay below another pin. One that was
  given up comes before those that stand.
- Every root of a version that the site holds has the same bytes, under any pin of the same trust root; so a bundle's
  newer roots chain on from the site's newest root. Newer roots that came below another of them count as new ones.
- The newest root known to site or bundle says whose signatures still count.
- The site's targets keep their say, as a lowest version and as revocations, while anybody who signed them still holds
  the role: one holder retired since must not let older targets come back. They lose it when all who signed are gone,
  which is the way out after a threshold of keys was stolen and the version driven up (THREATS T5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bundler.digest import Digest, sha256_of
from bundler.errors import TrustError
from bundler.value import dataclass
from trust_root.client import RoleFacts, TrustedTargets, check_expiry, open_target_files, open_targets, verify_metadata
from trust_root.delivery import TimeBasis
from trust_root.metadata import SignedFile, parse_root, parse_targets, root_authority, signers_left, verify_signatures
from trust_root.roles import ROOT, TARGETS
from trust_root.root_chain import RootChain, open_root_chain, verify_held
from trust_root.state import OnlineVersion, PinRecord
from trust_root.tuf_library import Root, Targets


@dataclass(frozen=True, slots=True)
class HeldPin:
    """A pin's record together with the bytes that it names.

    Attributes:
        record: digests and versions.
        version: the pinned root's version.
        root: the pinned root.
        roots: all roots held, by version.
        targets_metadata: the newest accepted targets' metadata, or None.
        targets: their contents by target path.
    """

    record: PinRecord
    version: int
    root: bytes
    roots: Mapping[int, bytes]
    targets_metadata: bytes | None
    targets: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class OpenedRoots:
    """A bundle's chain of roots, opened from a pin and free of forks.

    Attributes:
        pin: digest of the pin.
        chain: roots 1 to the bundle's newest.
        new_roots: (version, bytes) of those newer than the newest held below this pin: the bundle's, and those held
            below another pin of the same trust root.
    """

    pin: Digest
    chain: RootChain
    new_roots: tuple[tuple[int, bytes], ...]

    def later_roots(self, held: Mapping[int, bytes]) -> tuple[bytes, ...]:
        """Roots that the site has beyond the bundle's newest, those of other pins of this trust root included."""
        known = {**held, **dict(self.new_roots)}
        return tuple(known[version] for version in sorted(known) if version > len(self.chain.files))


@dataclass(frozen=True, slots=True)
class OpenedTrust:
    """A bundle's trust metadata, opened from a pin of this site by the bundle's own chain of roots."""

    roots: OpenedRoots
    trusted: TrustedTargets
    files: Mapping[str, bytes]

    @property
    def new_roots(self) -> tuple[tuple[int, bytes], ...]:
        """(version, bytes) of roots newer than the site's newest."""
        return self.roots.new_roots


@dataclass(frozen=True, slots=True)
class OpenedPublication:
    """A repository's trust metadata, opened from a pin of this site; what its stream delivers is not looked at."""

    roots: OpenedRoots
    roles: Mapping[str, RoleFacts]
    targets: Mapping[str, bytes]
    targets_metadata: bytes

    @property
    def targets_version(self) -> int:
        """Version of the targets' metadata."""
        return self.roles[TARGETS].version

    @property
    def targets_digest(self) -> Digest:
        """SHA-256 of the targets' metadata."""
        return self.roles[TARGETS].digest


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest root known to site or bundle, and what it makes of the site's targets.

    Attributes:
        chain: roots 1 to the newest one.
        site_targets: the site's targets; None if it has none, or if that root has retired all who signed them.
        site_targets_hold: they meet that root's threshold with no signature by others.
    """

    chain: RootChain
    site_targets: SignedFile[Targets] | None
    site_targets_hold: bool

    @property
    def lowest_targets_version(self) -> int:
        """What targets have to reach; 1 if the site remembers none that count."""
        return 1 if self.site_targets is None else self.site_targets.signed.version


def open_roots(pins: Sequence[HeldPin], files: Mapping[str, bytes]) -> OpenedRoots:
    """Select the pin, verify the bundle's roots from it, and hold them against every root that this site has.

    Raises:
        TrustError: ``pin-not-in-bundle``, ``root-fork`` (an alarm), or as `open_root_chain` does.
    """
    pin = _select_pin(pins, files)
    chain = open_root_chain(pin.root, files)
    in_bundle = dict(enumerate(chain.roots, 1))
    known = dict(in_bundle)
    for held in pins:
        if held is pin or _is_related(held, chain):
            _check_fork(held, known)
            known |= held.roots
    newest = max(pin.roots)
    new_roots = tuple((version, known[version]) for version in sorted(known) if version > newest)
    return OpenedRoots(pin.record.pin, chain, new_roots)


def open_under_roots(roots: OpenedRoots, files: Mapping[str, bytes], basis: TimeBasis, grace: timedelta) -> OpenedTrust:
    """Verify the rest of a bundle's trust metadata under its own newest root; raises as `open_trust` does."""
    return OpenedTrust(roots, open_targets(roots.pin, roots.chain, files, basis.at, grace=grace), files)


def open_publication(
    roots: OpenedRoots, files: Mapping[str, bytes], basis: TimeBasis, grace: timedelta
) -> OpenedPublication:
    """Verify a repository's trust metadata under its own newest root; its stream may be empty.

    Raises:
        TrustError: as `open_trust`.
    """
    verified = verify_metadata(roots.chain, files)
    targets = open_target_files(verified, files)
    check_expiry(verified.roles, basis.at, grace)
    return OpenedPublication(roots, verified.roles, targets, verified.targets.raw)


def has_newer_targets(pin: HeldPin, found: OpenedPublication) -> bool:
    """Whether a repository's targets are newer than the site's; false if they are the same.

    Raises:
        TrustError: root, targets, snapshot or timestamp are older than what the site has seen (``rollback``), or its
            targets of this version are others (``targets-fork``, an alarm).
    """
    check_not_lower("root", len(found.roots.chain.files), len(find_newest_chain(pin, found.roots).files))
    check_online_versions(pin.record.online, found.roles)
    newest = _weigh_site_targets(pin, found.roots.chain)
    check_not_lower(TARGETS, found.targets_version, newest.lowest_targets_version)
    _check_targets_fork(newest, found.targets_version, found.targets_metadata)
    return pin.targets_metadata != found.targets_metadata


def check_online_versions(seen: Sequence[OnlineVersion], roles: Mapping[str, RoleFacts]) -> None:
    """Raise TrustError (``rollback``) if timestamp or snapshot are older than what the same key had signed before."""
    for item in seen:
        if item.key in roles[item.role].signers:
            check_not_lower(item.role, roles[item.role].version, item.version)


def check_not_lower(what: str, got: int, seen: int) -> None:
    """Raise TrustError (``rollback``) if a version is lower than the one that was seen."""
    if got < seen:
        raise TrustError(
            "rollback",
            "trust metadata",
            what,
            got=f"version {got}",
            want=f"at least {seen}, which this site has accepted",
            hints=["it is older than what this site has seen, or its exporter's repository is not up to date"],
        )


def find_newest(pin: HeldPin, opened: OpenedTrust) -> Newest:
    """The newest root of site and bundle, and whether it still accepts the site's targets.

    Raises:
        TrustError: the site's later roots do not follow the bundle's (they were held against each other before).
    """
    return _weigh_site_targets(pin, find_newest_chain(pin, opened.roots))


def find_newest_chain(pin: HeldPin, roots: OpenedRoots) -> RootChain:
    """Roots 1 to the newest one known to site or bundle; raises as `find_newest`."""
    return roots.chain.extended(roots.later_roots(pin.roots))


def _weigh_site_targets(pin: HeldPin, chain: RootChain) -> Newest:
    root = chain.newest.signed
    targets = None if pin.targets_metadata is None else parse_targets(pin.targets_metadata)
    if targets is None or not signers_left(targets, root_authority(root, TARGETS)):
        return Newest(chain, None, site_targets_hold=False)
    return Newest(chain, targets, _accepts_targets(root, targets))


def _accepts_targets(root: Root, targets: SignedFile[Targets]) -> bool:
    try:
        verify_signatures(targets, root_authority(root, TARGETS))
    except TrustError:
        return False  # signed by keys that this root has retired
    return True


def accepted_targets(pin: HeldPin, at: datetime, grace: timedelta) -> Mapping[str, bytes]:
    """What a site may use of its newest accepted targets without a bundle at hand; empty before the first bundle.

    Raises:
        TrustError: root or targets have expired (``expired``), or the newest root has retired those who signed the
            targets (``targets-retired``).
    """
    if pin.targets_metadata is None:
        return {}
    newest = _weigh_site_targets(pin, verify_held(pin.roots))
    if newest.site_targets is None or not newest.site_targets_hold:
        raise TrustError(
            "targets-retired", "targets", got="signed by keys that the newest root has retired", want="newer ones",
            hints=["verify a newer bundle of this repository"],
        )  # fmt: skip
    for role, expires in (
        ("root", newest.chain.newest.signed.expires),
        ("targets", newest.site_targets.signed.expires),
    ):
        if at - expires >= grace and at >= expires:
            raise TrustError(
                "expired", "trust metadata", role, got=f"expired: {expires.isoformat()}", want="newer metadata",
                hints=["verify a newer bundle of this repository"],
            )  # fmt: skip
    return pin.targets


def check_targets_fork(newest: Newest, opened: OpenedTrust) -> None:
    """Raise TrustError (``targets-fork``, an alarm) if two targets of one version hold under the newest root."""
    _check_targets_fork(newest, opened.trusted.roles[TARGETS].version, opened.trusted.targets_metadata)


def _check_targets_fork(newest: Newest, version: int, raw: bytes) -> None:
    site = newest.site_targets
    if site is None or not newest.site_targets_hold or site.raw == raw or site.signed.version != version:
        return
    if _accepts_targets(newest.chain.newest.signed, parse_targets(raw)):
        raise TrustError(
            "targets-fork",
            "targets",
            f"version {version}",
            got=str(sha256_of(raw)),
            want=f"{site.digest}, which this site holds",
            hints=["targets were published twice under one version; publish in one place and copy the repository"],
        )


def newest_material(
    pin: HeldPin, opened: OpenedTrust, newest: Newest
) -> tuple[int, Mapping[str, bytes], tuple[str, ...]]:
    """The newest targets of site and bundle; those that the newest root accepts come before any that it does not.

    A bundle's targets below the lowest version that still counts are as good as not accepted. Where none are accepted,
    the site's own judge: their signers were trusted when they came, while a bundle's may be signed with keys that were
    stolen and retired since, under whatever version.
    """
    trusted, root = opened.trusted, newest.chain.newest.signed
    bundle_version = trusted.roles[TARGETS].version
    accepted = _accepts_targets(root, parse_targets(trusted.targets_metadata))
    bundle = (accepted and bundle_version >= newest.lowest_targets_version, bundle_version)
    if pin.record.targets is None:
        return bundle[1], trusted.targets, ()
    site = (newest.site_targets_hold, pin.record.targets[0])
    by_bundle = bundle[0] and bundle >= site
    version, targets = (bundle[1], trusted.targets) if by_bundle else (site[1], pin.targets)
    warnings = []
    if not site[0]:
        warnings.append(f"targets {site[1]}, accepted earlier, no longer hold under root {root.version}")
    if not max(bundle, site)[0]:
        warnings.append(f"no targets known here hold under root {root.version}; targets {version} judge the evidence")
    return version, targets, tuple(warnings)


def _select_pin(pins: Sequence[HeldPin], files: Mapping[str, bytes]) -> HeldPin:
    matching = [pin for pin in pins if files.get(f"metadata/{pin.version}.root.json") == pin.root]
    if matching:
        return min(matching, key=lambda pin: (pin.record.retired is None, pin.version))
    listed = ", ".join(f"root {pin.version} {pin.record.pin}" for pin in pins)
    raise TrustError(
        "pin-not-in-bundle",
        "bundle",
        got="none of the roots pinned here",
        want=listed,
        hints=["this bundle belongs to another trust root than the ones pinned here, or it was altered"],
    )


def _is_related(held: HeldPin, chain: RootChain) -> bool:
    """Whether another pin is of the same trust root: it holds a root of this chain, or one that follows such a root."""
    if any(held.roots.get(version) == raw for version, raw in enumerate(chain.roots, 1)):
        return True
    first = min(held.roots)
    if not 1 < first <= len(chain.files) + 1:
        return False
    try:
        file = parse_root(held.roots[first])
        verify_signatures(file, root_authority(chain.files[first - 2].signed, ROOT), root_authority(file.signed, ROOT))
    except TrustError:
        return False  # a root of somebody else
    return True


def _check_fork(held: HeldPin, in_bundle: Mapping[int, bytes]) -> None:
    for version, raw in sorted(held.roots.items()):
        if version in in_bundle and in_bundle[version] != raw:
            raise TrustError(
                "root-fork",
                "root",
                f"version {version}",
                got=str(sha256_of(in_bundle[version])),
                want=f"{sha256_of(raw)}, which this site holds",
                hints=[
                    "two different roots of one version were signed: keys are in wrong hands; call the root holders"
                ],
            )
