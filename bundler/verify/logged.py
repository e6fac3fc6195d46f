"""The log entries of one signature: promise, proof, checkpoint, window, and what the entry is about.

Rules of this module:
- A log is found by id. A promise must be its log's; its time must lie in the window of the log's key.
- A proof needs its checkpoint. One that came without (Sigstore bundles 0.1 may) must at least be no lie about its own
  root hash, and counts for nothing.
- A proof that was fetched at export belongs to the entry whose log, index, time and body are its own, and must hold.
- Without a promise the log's window is judged at the RFC 3161 times; without one of these either, not at all: refused.
- Rekor 2 gives no promise. Its entries need proof, checkpoint and timestamp; its index is that of the proof, its origin
  the log's address.
- What nobody signed is not told: no index of an entry that only an older log's proof holds, no time of one unpromised.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bundler.errors import RejectedError
from bundler.evidence.envelope import Envelope, format_envelope
from bundler.evidence.signed import Signed
from bundler.identity.keys import PublicKey
from bundler.transparency.binding import Claim, EnvelopeParts, check_binds
from bundler.transparency.checkpoint import VerifiedCheckpoint, Witness
from bundler.transparency.entry import LogEntry, LoggedVerifier, parse_entry
from bundler.transparency.entry_v2 import LoggedContent, LoggedEnvelope
from bundler.transparency.log import TransparencyLog, check_log_window, find_log
from bundler.transparency.log_entry import TransparencyLogEntry
from bundler.transparency.merkle import leaf_hash, verify_inclusion
from bundler.transparency.promise import VerifiedPromise, open_promise
from bundler.transparency.proof import InclusionProof, VerifiedInclusion, open_inclusion
from bundler.value import dataclass, field

_WHAT = "log entry"


@dataclass(frozen=True, slots=True)
class LogFact:
    """What one log says about a signature, verified.

    Attributes:
        log_index: the entry's place, if the log vouches for it; None otherwise.
        integrated_at: when the log took it, if it promised so; None otherwise.
        tree_size: of the tree that was proved to hold the entry; None with a promise only.
        witnesses: known witnesses that cosigned the checkpoint.
        fetched: whether the proof was fetched at export.
        checkpoint: the log's word on that tree; None with a promise only.
        operator: who runs the log, as the trusted root says; empty where it does not.
    """

    log_url: str
    log_id: bytes
    log_index: int | None
    integrated_at: datetime | None
    entry_kind: str
    tree_size: int | None = None
    witnesses: tuple[str, ...] = ()
    fetched: bool = False
    checkpoint: VerifiedCheckpoint | None = field(default=None, repr=False)
    operator: str = ""

    @property
    def voice(self) -> str:
        """What it counts as: all logs of one operator are one (protobuf-specs `sigstore_trustroot.proto`)."""
        return self.operator or self.log_id.hex()

    @property
    def proved(self) -> bool:
        """Whether an inclusion proof holds."""
        return self.tree_size is not None

    @property
    def rank(self) -> tuple[bool, int, bool]:
        """Orders facts from weak to strong."""
        return self.proved, len(self.witnesses), not self.fetched


@dataclass(frozen=True, slots=True)
class PromisedEntry:
    """An entry whose log is known and whose promise, if it has one, holds. Its proof is still to be opened."""

    entry: TransparencyLogEntry
    log: TransparencyLog
    promise: VerifiedPromise | None
    fetched: InclusionProof | None


def open_promises(
    entries: Sequence[TransparencyLogEntry], proofs: Sequence[TransparencyLogEntry], logs: Sequence[TransparencyLog]
) -> tuple[PromisedEntry, ...]:
    """Find the log of each entry, and open its promise.

    Args:
        entries: as they came.
        proofs: entries with proofs, fetched at export.
        logs: those of the trusted root.

    Raises:
        RejectedError: ``log-unknown``, ``set``, ``log-window``; ``log-entry``: neither promise nor proof.
    """
    return tuple(_open(entry, proofs, logs) for entry in entries)


def _open(
    entry: TransparencyLogEntry, proofs: Sequence[TransparencyLogEntry], logs: Sequence[TransparencyLog]
) -> PromisedEntry:
    log = find_log(logs, entry.log_id)
    if entry.signed_entry_timestamp is not None and entry.promise is None:
        raise RejectedError("set", _WHAT, got="a promise without its time", want="the time that the log signed")
    promise = open_promise(entry.promise, logs) if entry.promise is not None else None
    if promise is None and entry.proof is None:
        raise RejectedError("log-entry", _WHAT, got="neither promise nor proof", want="one of them")
    has_proof = entry.proof is not None and entry.proof.checkpoint is not None
    return PromisedEntry(entry, log, promise, None if has_proof else _fetched(entry, proofs, logs))


def _fetched(
    entry: TransparencyLogEntry, proofs: Sequence[TransparencyLogEntry], logs: Sequence[TransparencyLog]
) -> InclusionProof | None:
    """The proof that was fetched for this very entry."""
    for proof in proofs:
        same = (proof.log_id, proof.log_index, proof.integrated_time, proof.body) == (
            entry.log_id, entry.log_index, entry.integrated_time, entry.body,
        )  # fmt: skip
        if same and proof.proof is not None:
            if proof.promise is not None:
                open_promise(proof.promise, logs)
            return proof.proof
    return None


def verify_entry(
    promised: PromisedEntry, signed: Signed, key: PublicKey, *, times: Sequence[datetime], witnesses: Sequence[Witness]
) -> LogFact:
    """Check that an entry is in its log and about this signature.

    Args:
        promised: the entry.
        signed: the signature.
        key: the key that made it.
        times: verified RFC 3161 times, at which a log without a promise is judged.
        witnesses: whose cosignatures count.

    Raises:
        RejectedError: ``log-window``, ``no-signed-time``, ``inclusion-proof``, ``checkpoint…``, ``tlog-kind``,
            ``tlog-binding``, or another code of the parsers.
    """
    entry, log = promised.entry, promised.log
    _check_window(promised, times)
    inclusion = _open_proof(promised, witnesses)
    body = parse_entry(entry.body)
    if entry.kind and f"{entry.kind} {entry.version}" != body.kind:
        raise RejectedError("tlog-kind", _WHAT, got=f"called {entry.kind} {entry.version}"[:120], want=body.kind)
    is_v2 = isinstance(body, (LoggedContent, LoggedEnvelope))
    if is_v2:
        _check_rekor_2(promised, inclusion, times)
    check_binds(body, entry.body, _claim(signed, key, body))
    return LogFact(
        log_url=log.url,
        log_id=log.log_id,
        log_index=entry.log_index if is_v2 or promised.promise else None,
        integrated_at=promised.promise.integrated_at if promised.promise else None,
        entry_kind=body.kind,
        tree_size=inclusion.tree_size if inclusion else None,
        witnesses=tuple(dict.fromkeys(seen.witness for seen in inclusion.checkpoint.witnesses)) if inclusion else (),
        fetched=promised.fetched is not None,
        checkpoint=inclusion.checkpoint if inclusion else None,
        operator=log.operator,
    )


def _check_window(promised: PromisedEntry, times: Sequence[datetime]) -> None:
    """A promise's own time was judged when it was opened."""
    if promised.promise is not None:
        return
    if not times:
        raise RejectedError(
            "no-signed-time", _WHAT, got="a proof, and nobody who vouches for a time", want="a promise or a timestamp"
        )
    for at in times:
        check_log_window(promised.log, at)


def _open_proof(promised: PromisedEntry, witnesses: Sequence[Witness]) -> VerifiedInclusion | None:
    body, proof = promised.entry.body, promised.entry.proof
    if proof is not None and proof.checkpoint is None and promised.promise is not None:
        verify_inclusion(leaf_hash(body), proof.log_index, proof.tree_size, proof.hashes, proof.root_hash)
        proof = None
    proof = promised.fetched or proof
    return open_inclusion(body, proof, promised.log, witnesses) if proof is not None else None


def _check_rekor_2(promised: PromisedEntry, inclusion: VerifiedInclusion | None, times: Sequence[datetime]) -> None:
    if promised.promise is not None:
        raise RejectedError("set", _WHAT, got="a promise in an entry of Rekor 2", want="none, it gives none")
    if inclusion is None or inclusion.log_index != promised.entry.log_index:
        raise RejectedError(
            "inclusion-proof", _WHAT, got=f"log index {promised.entry.log_index}", want="a proof for that very place"
        )
    if inclusion.checkpoint.origin != promised.log.host:
        raise RejectedError(
            "checkpoint-origin", "checkpoint", inclusion.checkpoint.origin[:160], got="of another log",
            want=f"one by {promised.log.host}",
        )  # fmt: skip
    if not times:
        raise RejectedError("no-signed-time", _WHAT, got="an entry of Rekor 2 alone", want="an RFC 3161 timestamp")


def _claim(signed: Signed, key: PublicKey, body: LogEntry) -> Claim:
    if signed.certificate is not None:
        verifier = LoggedVerifier("certificate", signed.certificate.der)
    else:
        verifier = LoggedVerifier("key", key.spki)
    envelope = _envelope_parts(signed.envelope, body) if signed.envelope is not None else None
    return Claim(signed.content, signed.signature, verifier, key.algorithm, envelope)


def _envelope_parts(envelope: Envelope, body: LogEntry) -> EnvelopeParts:
    """Its bytes, if they are known; else, for entries that hold nothing but their hash, as cosign writes them."""
    spellings: tuple[bytes, ...] = (envelope.raw,) if envelope.raw else ()
    if not envelope.raw and body.kind == "intoto 0.0.1":
        spellings = (format_envelope(envelope.payload_type, envelope.payload, envelope.signature),)
    return EnvelopeParts(envelope.payload_type, envelope.payload, spellings, exact=bool(envelope.raw))
