"""Inclusion proofs: this entry stands in that log, by the log's own signed checkpoint (EVIDENCE: transparency log).

Rules of this module:
- The leaf is the hash of the entry's exact bytes. The path leads to the root hash of a checkpoint that the log signed;
  place and size fit, and size and root hash written in the proof are those of the checkpoint.
- A proof without a checkpoint proves nothing: its root hash would be anybody's.
- A proof tells no time. When the log integrated the entry is told by a promise (promise.py) or a timestamp.
"""

from __future__ import annotations

from collections.abc import Sequence

from bundler.errors import RejectedError
from bundler.transparency.checkpoint import VerifiedCheckpoint, Witness, open_checkpoint
from bundler.transparency.log import TransparencyLog
from bundler.transparency.merkle import leaf_hash, verify_inclusion
from bundler.value import dataclass, field

_WHAT = "inclusion proof"


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """A proof as it stands in a log entry; not verified yet.

    Attributes:
        log_index: the leaf's place in its tree; of a sharded log, in its shard.
        root_hash: of the tree, as the proof says.
        tree_size: leaves of the tree.
        hashes: the path, from the leaf upwards.
        checkpoint: the signed note; None when there is none.
    """

    log_index: int
    root_hash: bytes
    tree_size: int
    hashes: tuple[bytes, ...] = field(repr=False)
    checkpoint: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifiedInclusion:
    """`body` is the entry at `log_index` of the tree that `checkpoint` describes."""

    log: TransparencyLog
    body: bytes = field(repr=False)
    log_index: int
    tree_size: int
    root_hash: bytes
    checkpoint: VerifiedCheckpoint


def open_inclusion(
    body: bytes, proof: InclusionProof, log: TransparencyLog, witnesses: Sequence[Witness] = ()
) -> VerifiedInclusion:
    """Check that the log contains `body`.

    Args:
        body: the entry's canonical bytes.
        proof: as it came.
        log: found in the trusted root by the entry's log id.
        witnesses: whose cosignatures are verified and told.

    Raises:
        RejectedError: ``inclusion-proof`` (the path does not lead there, or the proof and its checkpoint differ);
            ``checkpoint`` (none); and those of `open_checkpoint`.
        MalformedError: a checkpoint that is malformed.
    """
    if proof.checkpoint is None:
        raise RejectedError("checkpoint", _WHAT, got="no checkpoint", want="one signed by the log")
    checkpoint = open_checkpoint(proof.checkpoint, log, witnesses)
    if proof.tree_size != checkpoint.tree_size:
        raise _rejected(f"tree size {proof.tree_size}", f"{checkpoint.tree_size}, as the checkpoint says")
    if proof.root_hash != checkpoint.root_hash:
        raise _rejected(f"root hash {proof.root_hash.hex()}", f"{checkpoint.root_hash.hex()}, as the checkpoint says")
    verify_inclusion(leaf_hash(body), proof.log_index, proof.tree_size, proof.hashes, checkpoint.root_hash)
    return VerifiedInclusion(log, body, proof.log_index, proof.tree_size, checkpoint.root_hash, checkpoint)


def _rejected(got: str, want: str) -> RejectedError:
    return RejectedError("inclusion-proof", _WHAT, got=got, want=want)
