"""A trust repository's folder on somebody's desk: what is in place, what is proposed, how the one becomes the other.

    proposal.json     newer roots and targets that wait for signatures (proposal.py); absent when nothing waits
    lock              held while anything here changes

Rules of this module:
- Every step leaves the old state or the new one: the proposal is one file that is replaced; what it says is put in
  place with `timestamp.json` last, and only then is it removed. Killed in between, the step can be taken again.
- A folder may hold nothing but a proposal: then the trust root is not founded yet.
- Holders only add signatures. The exporter, who signs snapshot and timestamp, puts everything in place at once, after
  the same checks that a site makes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, TrustError, UnsupportedError, UsageError
from bundler.safe_file import locked, read_bounded, remove, write_atomically
from bundler.value import dataclass
from trust_root.authoring import make_stream, sign_metadata, sign_online
from trust_root.client import check_expiry, verify_metadata
from trust_root.keys import Signer
from trust_root.metadata import is_development
from trust_root.proposal import (
    OpenProposal,
    Proposal,
    Standing,
    format_proposal,
    open_proposal,
    parse_proposal,
)
from trust_root.repository import Repository, check_exporter
from trust_root.repository_files import (
    PROPOSAL,
    TARGET_FILES,
    TIMESTAMP_FILE,
    assemble,
    check_repository,
    clear_leftovers,
    install,
)
from trust_root.revocation import format_revocation
from trust_root.roles import ROOT
from trust_root.root_chain import RootChain, verify_chain
from trust_root.signing import Offer, merge_offer


@dataclass(frozen=True, slots=True)
class Workplace:
    """What a folder holds.

    Attributes:
        folder: where it is.
        repository: what is in place, or None before it is founded.
        opened: what is proposed, verified as far as it goes, or None.
    """

    folder: Path
    repository: Repository | None
    opened: OpenProposal | None

    @property
    def standing(self) -> Standing:
        """What is in place."""
        return _standing(self.repository)

    @property
    def development(self) -> bool:
        """Whether the root, in place or proposed, is for development."""
        placed = self.repository is not None and self.repository.development
        return placed or (self.opened is not None and _marked(self.opened))

    def base(self) -> OpenProposal:
        """What a further proposal stands on: what is proposed already, or what is in place.

        Raises:
            UsageError: neither is there (``no-repository``).
        """
        if self.opened is not None:
            return self.opened
        if self.repository is None:
            check_repository(self.folder)
            raise EnvError("file-absent", "trust repository", str(self.folder), got="gone", want="a repository")
        repository = self.repository
        return OpenProposal(repository.stream, self.standing, (), None, repository.contents)


def read_workplace(folder: Path) -> Workplace:
    """Read a folder without its lock, to look at it only.

    Raises:
        UsageError: there is neither a repository nor a proposal (``no-repository``). EnvError: the disk.
        TrustError, UnsupportedError: something in it does not verify.
    """
    repository = _read_placed(folder)
    return Workplace(folder, repository, _read_proposal(folder, repository))


@contextlib.contextmanager
def open_workplace(folder: Path) -> Iterator[Workplace]:
    """Read a folder and hold its lock until the block ends; raises as `read_workplace`, or EnvError (``locked``)."""
    if not folder.is_dir():
        check_repository(folder)
    with locked(folder / "lock", what="trust repository"):
        clear_leftovers(folder)
        yield read_workplace(folder)


def save(workplace: Workplace, proposal: Proposal) -> Workplace:
    """Verify a proposal and write it; nothing is in place yet.

    Raises:
        TrustError: it does not verify. EnvError: the disk.
    """
    opened = open_proposal(proposal, workplace.standing)
    if opened is None:
        remove(workplace.folder / PROPOSAL)
    else:
        write_atomically(workplace.folder / PROPOSAL, format_proposal(opened.proposal()), what="proposal")
    return Workplace(workplace.folder, workplace.repository, opened)


def discard(folder: Path) -> tuple[str, ...]:
    """Drop what still waits for holders. What has all its signatures stays: copies of it may be in place elsewhere.

    Returns:
        the names of the files that were dropped; also when the proposal cannot be opened at all.

    Raises:
        UsageError: nothing is proposed (``no-proposal``). EnvError: the disk.
    """
    path = folder / PROPOSAL
    if not path.exists():
        raise no_proposal(folder)
    with locked(folder / "lock", what="trust repository"):
        repository = _read_placed(folder)
        try:
            opened = _read_proposal(folder, repository)
        except (TrustError, UnsupportedError):
            opened = None
        if opened is None:
            remove(path)
            return (PROPOSAL,)
        if opened.complete:
            return ()
        kept = tuple(part.file.raw for part in opened.roots if part.complete)
        if kept:
            save(Workplace(folder, repository, opened), Proposal(opened.stream, kept, None, {}))
        else:
            remove(path)
        return tuple(part.file.name for part in opened.parts if part.file.raw not in kept)


def merge(workplace: Workplace, other: Path) -> Workplace:
    """Take over what another folder, or a proposal's file, has: signatures, proposals, newer roots and targets.

    Raises:
        TrustError: it went another way, see `merge_offer`, or does not verify. EnvError, UsageError: the files.
    """
    mine = workplace.opened.proposal() if workplace.opened else None
    stream = mine.stream if mine else workplace.base().stream
    return save(workplace, merge_offer(workplace.standing, stream, mine, _offer(other)))


def finish(workplace: Workplace, signer: Signer, at: datetime) -> Repository:
    """The exporter's part: sign snapshot and timestamp, and put everything in place.

    Raises:
        TrustError: holders' signatures are missing (``threshold``), or the result does not verify.
        UsageError: another key than the exporter's (``exporter-key``), nothing proposed (``no-proposal``).
        EnvError: the disk.
    """
    opened = workplace.opened
    if opened is None:
        raise no_proposal(workplace.folder)
    for part in opened.parts:
        for quorum in part.quorums:
            if quorum.missing:
                raise TrustError(
                    "threshold",
                    "proposal",
                    part.file.name,
                    got=f"{len(quorum.signers)} signatures by {quorum.authority.name}",
                    want=f"{quorum.authority.role.threshold}, before the exporter ends it",
                )
    newer = tuple(part.file.raw for part in opened.roots)
    standing = workplace.standing.chain
    chain = verify_chain(newer) if standing is None else standing.extended(newer)
    if workplace.repository is None:
        _found(workplace.folder, opened, chain, signer, at.replace(microsecond=0))
        repository = Repository(workplace.folder)
    else:
        repository = workplace.repository
        repository.adopt(chain, opened.newest_targets.raw, opened.contents, signer, at)
    remove(workplace.folder / PROPOSAL)
    return repository


def revocation(workplace: Workplace) -> bytes:
    """The revocation file: all roots that have their signatures, those that wait for the exporter included."""
    return format_revocation(workplace.base().complete_roots())


def fingerprint(workplace: Workplace) -> Digest | None:
    """SHA-256 of root 1, once it can no longer change."""
    roots = workplace.base().complete_roots()
    return sha256_of(roots[0]) if roots else None


def no_proposal(folder: Path) -> UsageError:
    """The error that nothing waits."""
    return UsageError("no-proposal", "trust repository", str(folder), got="nothing waits", want="a proposal")


def _found(folder: Path, opened: OpenProposal, chain: RootChain, signer: Signer, at: datetime) -> None:
    targets, stream = opened.newest_targets, opened.stream
    check_exporter(chain, targets.signed, stream, signer)
    changed = sign_online(
        root=(chain.newest.signed.version, chain.newest.raw),
        targets=(targets.signed.version, targets.raw),
        stream=(stream, 1, sign_metadata(make_stream(stream, 1, at, None), [signer])),
        versions=(1, 1),
        at=at,
        signer=signer,
    )
    contents = {f"{TARGET_FILES}/{sha256_of(raw).hex}": raw for raw in opened.contents.values()}
    files = assemble(chain, changed, contents)
    check_expiry(verify_metadata(chain, files).roles, at, timedelta(0))
    install(folder, {}, files)


def _read_placed(folder: Path) -> Repository | None:
    if (folder / TIMESTAMP_FILE).is_file():
        return Repository(folder)
    if not (folder / PROPOSAL).is_file():
        check_repository(folder)
    return None


def _read_proposal(folder: Path, repository: Repository | None) -> OpenProposal | None:
    path, standing = folder / PROPOSAL, _standing(repository)
    if path.exists():
        return open_proposal(parse_proposal(read_bounded(path, limits.PROPOSAL_BYTES, "proposal")), standing)
    if repository is not None and standing.unfinished:
        return open_proposal(Proposal(repository.stream, (), None, {}), standing)
    return None


def _standing(repository: Repository | None) -> Standing:
    if repository is None:
        return Standing()
    targets = repository.metadata.targets
    unfinished = repository.metadata.roles[ROOT].version < repository.chain.newest.signed.version
    return Standing(repository.chain, targets, repository.contents, repository.stream, unfinished)


def _marked(opened: OpenProposal) -> bool:
    return any(is_development(file.signed) for file in opened.root_files)


def _offer(other: Path) -> Offer:
    """What a folder, or a proposal's file alone, has to offer."""
    if other.is_file():
        return Offer(parse_proposal(read_bounded(other, limits.PROPOSAL_BYTES, "proposal")))
    theirs = read_workplace(other)
    base, placed = theirs.base(), theirs.standing.chain
    contents = {sha256_of(raw).hex: raw for raw in base.contents.values()}
    roots = tuple(file.raw for file in base.root_files)
    proposal = Proposal(base.stream, roots, base.newest_targets.raw, contents)
    return Offer(proposal, len(placed.files) if placed else 0, targets_placed=base.targets is None)
