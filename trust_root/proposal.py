"""A proposal: newer roots and targets of a trust repository that wait for signatures, in one file that travels.

    {"contents":{<sha256>:<base64>},"format":1,"kind":"sealift-proposal","roots":[…],"stream":"plant","targets":{…}}

Rules of this module:
- Nothing in the file is believed. Each time it is opened, the roots have to follow those in place, every signature has
  to be valid and by somebody who may give it, and the contents have to be those that the targets name.
- Only the last root and the targets may still be short of signatures. What has all it needs is never changed again:
  sites compare roots byte for byte, so a signature more would fork them.
- What is in place already is passed over if it is the same, and refused if it is not: an old proposal that is put back
  changes nothing.
- Who has signed is counted by key material, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.encoding import decode_base64, encode_base64
from bundler.errors import TrustError, UnsupportedError
from bundler.fields import Fields
from bundler.strict_json import format_canonical, parse_canonical
from bundler.value import dataclass, field
from trust_root.metadata import (
    Authority,
    SignedFile,
    as_trust_error,
    gather_signers,
    parse_root,
    parse_targets,
    root_authority,
)
from trust_root.roles import ROOT, TARGETS, parse_stream
from trust_root.root_chain import RootChain
from trust_root.tuf_library import Root, Targets

KIND = "sealift-proposal"
FORMAT = 1
_WHAT = "proposal"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the file says; nothing of it is verified.

    Attributes:
        stream: whose folder it is for: the stream whose exporter ends it.
        roots: metadata files, version by version.
        targets: a metadata file, or None where the targets stay.
        contents: everything that `targets` lists, by SHA-256 in hex.
    """

    stream: str
    roots: tuple[bytes, ...]
    targets: bytes | None
    contents: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is in place in a repository; before it is founded, nothing.

    Attributes:
        chain: its roots.
        targets: its targets' metadata.
        contents: its targets by target path.
        stream: its stream.
        unfinished: a root is in place that nothing leads to yet.
    """

    chain: RootChain | None = None
    targets: SignedFile[Targets] | None = None
    contents: Mapping[str, bytes] = field(default_factory=dict)
    stream: str | None = None
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Quorum:
    """One group that has to sign, and who of it has."""

    authority: Authority
    signers: frozenset[Digest]

    @property
    def missing(self) -> int:
        """Signatures that are still needed."""
        return max(0, self.authority.role.threshold - len(self.signers))


@dataclass(frozen=True, slots=True)
class Part:
    """A metadata file that was parsed, whose signatures are valid, but perhaps too few."""

    file: SignedFile[Any]
    quorums: tuple[Quorum, ...]

    @property
    def complete(self) -> bool:
        """Whether nobody's signature is missing."""
        return not any(quorum.missing for quorum in self.quorums)

    def wants(self, key_id: str) -> bool:
        """Whether a signature by this key would count, and is not there."""
        asked = any(key_id in quorum.authority.role.keyids for quorum in self.quorums)
        return asked and not self.complete and key_id not in dict(self.file.signatures)


@dataclass(frozen=True, slots=True)
class OpenProposal:
    """A proposal that was verified as far as it goes, and what it stands on.

    Attributes:
        stream: whose exporter ends it.
        standing: what is in place.
        roots: roots that follow those in place.
        targets: newer targets, if there are any.
        contents: the targets by target path, as they will be.
    """

    stream: str
    standing: Standing
    roots: tuple[Part, ...]
    targets: Part | None
    contents: Mapping[str, bytes]

    @property
    def parts(self) -> tuple[Part, ...]:
        """All files, in the order in which they count."""
        return (*self.roots, *((self.targets,) if self.targets else ()))

    @property
    def complete(self) -> bool:
        """Whether the holders have done their part, so that the exporter can end it."""
        return all(part.complete for part in self.parts)

    @property
    def newest_root(self) -> Root:
        """The root that will stand."""
        return self.root_files[-1].signed

    @property
    def root_files(self) -> tuple[SignedFile[Root], ...]:
        """All roots from version 1 on, those in place and those proposed."""
        chain = self.standing.chain
        return (*(chain.files if chain else ()), *(part.file for part in self.roots))

    @property
    def newest_targets(self) -> SignedFile[Targets]:
        """The targets that will stand."""
        file = self.targets.file if self.targets else self.standing.targets
        if file is None:
            raise TrustError("metadata-form", _WHAT, got="no targets", want="targets, in place or proposed")
        return file

    def complete_roots(self) -> tuple[bytes, ...]:
        """All complete roots from version 1 on: what a revocation file carries."""
        chain = self.standing.chain
        done = tuple(part.file.raw for part in self.roots if part.complete)
        return (*(chain.roots if chain else ()), *done)

    def proposal(self) -> Proposal:
        """The file again, without what is in place."""
        targets = self.targets.file.raw if self.targets else None
        contents = {sha256_of(raw).hex: raw for raw in self.contents.values()} if targets else {}
        return Proposal(self.stream, tuple(part.file.raw for part in self.roots), targets, contents)


def parse_proposal(raw: bytes) -> Proposal:
    """Parse the file, the inverse of `format_proposal`. Only its own form is checked.

    Raises:
        TrustError: ``metadata-form``, ``metadata-canonical``. UnsupportedError: a later format (``format``).
    """
    with as_trust_error(_WHAT):
        fields = Fields(parse_canonical(raw, _WHAT, max_bytes=limits.PROPOSAL_BYTES), _WHAT)
        if fields.text("kind") != KIND:
            raise TrustError("metadata-form", _WHAT, got=f"kind {fields.text('kind')[:40]}", want=KIND)
        if (number := fields.integer("format", minimum=1)) != FORMAT:
            raise UnsupportedError("format", _WHAT, got=f"format {number}", want=f"format {FORMAT}")
        fields.exactly("contents", "format", "kind", "roots", "stream", "targets")
        roots = tuple(format_canonical(value, _WHAT) for value in fields.items("roots", maximum=limits.ROOTS))
        targets = None if fields.raw("targets") is None else format_canonical(fields.raw("targets"), _WHAT)
        contents = dict(_contents(fields.text_map("contents")))
        return Proposal(parse_stream(fields.text("stream")), roots, targets, contents)


def format_proposal(proposal: Proposal) -> bytes:
    """Bytes of the file, the inverse of `parse_proposal`.

    Raises:
        TrustError: ``metadata-form``, ``metadata-canonical``.
    """
    with as_trust_error(_WHAT):
        targets = proposal.targets
        return format_canonical(
            {
                "contents": {digest: encode_base64(raw) for digest, raw in proposal.contents.items()},
                "format": FORMAT,
                "kind": KIND,
                "roots": [parse_canonical(raw, _WHAT) for raw in proposal.roots],
                "stream": proposal.stream,
                "targets": None if targets is None else parse_canonical(targets, _WHAT),
            },
            _WHAT,
        )


def open_proposal(proposal: Proposal, standing: Standing) -> OpenProposal | None:
    """Verify a proposal on top of what is in place; None if there is nothing left to do.

    Raises:
        TrustError: roots or targets that are not the ones in place (``proposal-stale``), a gap (``root-chain``), a root
            that follows one short of signatures (``threshold``), a bad signature (``metadata-signature``), another
            folder's stream (``delegation``), contents that are not the listed ones (``target-hash``), or another form.
    """
    if standing.stream is not None and proposal.stream != standing.stream:
        raise TrustError("delegation", _WHAT, got=f"for stream {proposal.stream}", want=f"stream {standing.stream}")
    roots = tuple(_open_roots(proposal.roots, standing))
    bare = OpenProposal(proposal.stream, standing, roots, None, standing.contents)
    if not bare.root_files:
        raise TrustError("root-chain", _WHAT, got="no root", want="root 1")
    targets = _open_targets(proposal.targets, bare)
    opened = bare
    if targets is not None:
        opened = OpenProposal(proposal.stream, standing, roots, targets, _named_contents(targets, proposal.contents))
    _ = opened.newest_targets
    return opened if opened.parts or standing.unfinished else None


def root_part(file: SignedFile[Root], before: Root | None) -> Part:
    """A root and who has signed it: for the root before it, and for itself."""
    asked = [] if before is None else [root_authority(before, ROOT)]
    return _part(file, *asked, root_authority(file.signed, ROOT))


def targets_part(file: SignedFile[Targets], root: Root) -> Part:
    """Targets and who has signed them, under a root."""
    return _part(file, root_authority(root, TARGETS))


def _part(file: SignedFile[Any], *authorities: Authority) -> Part:
    signers = gather_signers(file, *authorities)
    pairs = zip(authorities, signers, strict=True)
    return Part(file, tuple(Quorum(authority, frozenset(who)) for authority, who in pairs))


def _open_roots(raws: tuple[bytes, ...], standing: Standing) -> Iterator[Part]:
    known = standing.chain.files if standing.chain else ()
    before, last = known[-1].signed if known else None, None
    for raw in raws:
        version = parse_root(raw, "proposed root").signed.version
        file = parse_root(raw, f"{version}.root.json")
        if version <= len(known):
            if known[version - 1].raw != raw:
                raise _stale(file.name)
            continue
        if version != (before.version + 1 if before else 1):
            raise TrustError("root-chain", _WHAT, got=f"root {version}", want="the root that follows the newest")
        if last is not None and not last.complete:
            raise TrustError("threshold", _WHAT, last.file.name, got="too few signatures", want="all, before the next")
        last = root_part(file, before)
        before = file.signed
        yield last


def _open_targets(raw: bytes | None, bare: OpenProposal) -> Part | None:
    if raw is None:
        return None
    file = parse_targets(raw, "proposed targets")
    standing = bare.standing.targets
    if standing is not None and file.signed.version <= standing.signed.version:
        if raw != standing.raw:
            raise _stale(f"{file.signed.version}.targets.json")
        return None
    file = parse_targets(raw, f"{file.signed.version}.targets.json")
    return targets_part(file, bare.newest_root)


def _named_contents(targets: Part, contents: Mapping[str, bytes]) -> Mapping[str, bytes]:
    named = {}
    for path, target in targets.file.signed.targets.items():
        raw = contents.get(target.hashes["sha256"])
        if raw is None or len(raw) != target.length:
            raise TrustError("target-hash", "target", path, got="not in the proposal", want="its content")
        named[path] = raw
    return MappingProxyType(named)


def _contents(encoded: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    for digest, text in encoded.items():
        raw = decode_base64(text, _WHAT, digest[:64])
        if sha256_of(raw).hex != digest:
            raise TrustError("target-hash", _WHAT, digest[:64], got="other bytes", want="those of this hash")
        yield digest, raw


def _stale(name: str) -> TrustError:
    return TrustError(
        "proposal-stale",
        _WHAT,
        name,
        got="not the one in place",
        want="one that follows what is in place",
        hints=["this proposal is older than the repository; sealift trust sign REPO --discard removes it"],
    )
