"""Signing a proposal, and bringing together what several people signed on copies of it.

Rules of this module:
- Pure: proposals in, proposals out. What comes out is opened (verified) again by whoever keeps it.
- A signer signs every part that asks for the key and is short of signatures, and nothing else.
- Copies are brought together only if they say the same; a copy with all its signatures is taken as it is. Of two that
  have them all, but not by the same people, the one that is in place counts; if neither is, somebody has to choose:
  two files of one version would be a fork at every site.
"""

from __future__ import annotations

from collections.abc import Mapping

from bundler.errors import TrustError, UsageError
from bundler.strict_json import parse_canonical
from bundler.value import dataclass
from trust_root.keys import Signer
from trust_root.metadata import SignedFile, format_metadata, parse_root, parse_targets
from trust_root.proposal import OpenProposal, Part, Proposal, Standing, root_part, targets_part
from trust_root.tuf_library import Root


@dataclass(frozen=True, slots=True)
class Offer:
    """What another folder has: all its roots and its newest targets, in place or proposed.

    Attributes:
        proposal: them all.
        placed: how many roots of it are in place there.
        targets_placed: whether its targets are.
    """

    proposal: Proposal
    placed: int = 0
    targets_placed: bool = False


def sign_parts(opened: OpenProposal, signer: Signer) -> tuple[Proposal, tuple[str, ...]]:
    """Sign all parts that ask for this key.

    Returns:
        the proposal, and the names of the files that were signed.

    Raises:
        UsageError: no part asks for this key (``key-not-asked``), or it has signed them (``signed-already``).
    """
    key_id = signer.public.keyid
    wanted = [part for part in opened.parts if part.wants(key_id)]
    if not wanted:
        raise _not_wanted(opened, key_id)
    signed = {part.file.name: _with_signature(part, key_id, signer.sign(part.file.payload)) for part in wanted}
    before = opened.proposal()
    roots = tuple(signed.get(part.file.name, part.file.raw) for part in opened.roots)
    targets = before.targets if opened.targets is None else signed.get(opened.targets.file.name, before.targets)
    return Proposal(before.stream, roots, targets, before.contents), tuple(signed)


def merge_offer(standing: Standing, stream: str, mine: Proposal | None, offer: Offer) -> Proposal:
    """What a folder has proposed, with what another one offers.

    Raises:
        TrustError: the other folder went another way (``root-fork``, ``targets-fork``), or its proposal says something
            else (``proposal-differs``).
    """
    theirs = offer.proposal
    roots = _merge_roots(standing, mine.roots if mine else (), offer)
    newest = roots[max(roots)] if roots else None
    root = newest or (standing.chain.newest if standing.chain else None)
    if root is None:
        raise TrustError("root-chain", "proposal", got="no root", want="root 1")
    targets, contents = mine.targets if mine else None, dict(mine.contents) if mine else {}
    if theirs.targets is not None:
        merged = _merge_targets(standing, targets, theirs.targets, root.signed, placed=offer.targets_placed)
        if merged is not None and merged != targets:
            targets, contents = merged, contents | dict(theirs.contents)
    return Proposal(stream, tuple(roots[version].raw for version in sorted(roots)), targets, _listed(targets, contents))


def _merge_roots(standing: Standing, mine: tuple[bytes, ...], offer: Offer) -> dict[int, SignedFile[Root]]:
    known = standing.chain.files if standing.chain else ()
    roots = {file.signed.version: file for file in (parse_root(raw) for raw in mine)}
    for raw in offer.proposal.roots:
        file = parse_root(raw)
        version = file.signed.version
        placed = version <= offer.placed
        if version <= len(known):
            same = known[version - 1].raw == raw if placed else known[version - 1].payload == file.payload
            if not same:
                raise TrustError(
                    "root-fork", "root", str(version), got="another one there", want="the one in place here"
                )
            continue
        before = roots.get(version - 1) or (known[version - 2] if 2 <= version <= len(known) + 1 else None)
        present = roots.get(version)
        if present is None or (placed and present.payload == file.payload):
            roots[version] = file
        else:
            old = before.signed if before else None
            roots[version] = parse_root(_joined(root_part(present, old), root_part(file, old)), file.name)
    return roots


def _merge_targets(standing: Standing, mine: bytes | None, theirs: bytes, root: Root, *, placed: bool) -> bytes | None:
    """The newer of both; joined if they are one version; None if what is in place is as new."""
    file, present = parse_targets(theirs), parse_targets(mine) if mine is not None else None
    here = standing.targets
    if here is not None and file.signed.version <= here.signed.version:
        if file.signed.version == here.signed.version and file.payload != here.payload:
            raise TrustError("targets-fork", "targets", str(file.signed.version), got="others there", want="the same")
        return mine
    if present is None or file.signed.version > present.signed.version:
        return theirs
    if file.signed.version < present.signed.version:
        return mine
    if placed and file.payload == present.payload:
        return theirs
    return _joined(targets_part(present, root), targets_part(file, root))


def _joined(mine: Part, theirs: Part) -> bytes:
    if mine.file.payload != theirs.file.payload:
        raise TrustError(
            "proposal-differs",
            "proposal",
            mine.file.name,
            got="another one there",
            want="the same here and there",
            hints=["compare the SHA-256 that sealift trust sign shows; one of the two was changed, or made anew"],
        )
    if mine.complete and theirs.complete and mine.file.raw != theirs.file.raw:
        raise TrustError(
            "proposal-differs",
            "proposal",
            mine.file.name,
            got="complete there by other people's signatures",
            want="one of the two",
            hints=["let the exporter end it in one folder; what is in place there is then taken over from it"],
        )
    if mine.complete or theirs.complete:
        return (mine if mine.complete else theirs).file.raw
    return _with_signatures(mine.file, {**dict(theirs.file.signatures), **dict(mine.file.signatures)})


def _with_signature(part: Part, key_id: str, signature: str) -> bytes:
    return _with_signatures(part.file, {**dict(part.file.signatures), key_id: signature})


def _with_signatures(file: SignedFile[Root], signatures: Mapping[str, str]) -> bytes:
    return format_metadata(parse_canonical(file.payload), signatures)


def _listed(targets: bytes | None, contents: Mapping[str, bytes]) -> dict[str, bytes]:
    if targets is None:
        return {}
    listed = {target.hashes["sha256"] for target in parse_targets(targets).signed.targets.values()}
    return {digest: raw for digest, raw in contents.items() if digest in listed}


def _not_wanted(opened: OpenProposal, key_id: str) -> UsageError:
    if any(key_id in dict(part.file.signatures) for part in opened.parts):
        return UsageError(
            "signed-already", "key", key_id[:16], got="has signed this proposal", want="another holder's key"
        )
    return UsageError(
        "key-not-asked",
        "key",
        key_id[:16],
        got="complete without it" if opened.complete else "a key that this proposal does not ask for",
        want="the exporter's key" if opened.complete else "a holder's key",
        hints=["sealift trust show REPO tells whose signatures are needed"],
    )
