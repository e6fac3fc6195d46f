"""Inclusion proofs from the API of Rekor 1 (rekor `openapi.yaml`, `/api/v1/log/entries`).

Rules of this module:
- The log's address and key come from the trusted root. What evidence says about a log picks one of those, no more.
- An answer counts only if body, log id, time and global index are those of the promise, which is verified first; its
  id is the hash of the body; the proof leads to a checkpoint that the log signed; and the tree id in the entry's id is
  that of the checkpoint, so that the places of a sharded log cannot be mixed up. What is returned has passed all that.
- An answer that is no answer is the environment's fault (``log-unreachable``, ``log-answer``); one that says something
  else than the log once promised is a rejection, each with its own code.
- Bytes come through a function `fetch`; log_client.py makes one over HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from bundler import limits
from bundler.encoding import decode_base64
from bundler.errors import EnvError, MalformedError, RejectedError
from bundler.fields import Fields
from bundler.strict_json import parse_foreign
from bundler.transparency.log import TransparencyLog
from bundler.transparency.log_entry import TransparencyLogEntry
from bundler.transparency.merkle import HASH_BYTES, PATH_MAX, leaf_hash
from bundler.transparency.promise import Promise, open_promise
from bundler.transparency.proof import InclusionProof, VerifiedInclusion, open_inclusion
from bundler.value import dataclass

Fetch = Callable[[str], bytes | None]
"""Gives the body of a URL, at most `limits.LOG_ANSWER_BYTES`; None when the log says that it has no such thing (404).

Raises EnvError (``log-unreachable``, ``log-answer``) for anything else.
"""

_WHAT = "log's answer"
_ENTRY_ID = re.compile(r"(?P<tree>[0-9a-f]{16})?(?P<leaf>[0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ProvedEntry:
    """A promise's entry, with a proof that was verified under the same log."""

    entry: TransparencyLogEntry
    inclusion: VerifiedInclusion


def fetch_proof(promise: Promise, log: TransparencyLog, fetch: Fetch) -> ProvedEntry:
    """Ask a log of Rekor 1 for the proof of what it promised.

    It is asked by global index, which it maps to the right shard; and if it has none there, by the entry's hash, which
    it looks for in all shards.

    Args:
        promise: not necessarily verified yet.
        log: of the trusted root.
        fetch: gives answers.

    Raises:
        RejectedError: the promise does not hold (see `open_promise`); the log has no such entry (``log-entry-absent``);
            its answer is about another entry (``proof-other-entry``); or the proof does not hold (``inclusion-proof``,
            ``checkpoint``, ``checkpoint-origin``, ``checkpoint-signature``).
        EnvError: ``log-unreachable``; ``log-answer``: an answer that has no one meaning.
    """
    open_promise(promise, [log])
    base = f"{log.url.rstrip('/')}/api/v1/log/entries"
    answer = fetch(f"{base}?logIndex={promise.log_index}")
    if answer is None:
        answer = fetch(f"{base}/{leaf_hash(promise.body).hex()}")
    if answer is None:
        raise RejectedError(
            "log-entry-absent", "log", log.url, got=f"no entry {promise.log_index}", want="the entry that it promised"
        )
    return _accept(_parse(answer, log), promise, log)


def prove(promise: Promise, proof: InclusionProof, log: TransparencyLog) -> ProvedEntry:
    """Put a proof beside a promise, both verified anew.

    Raises:
        RejectedError: see `open_promise` and `open_inclusion`.
        MalformedError: a body that is no log entry.
    """
    open_promise(promise, [log])
    inclusion = open_inclusion(promise.body, proof, log)
    body = Fields(parse_foreign(promise.body, "log entry", max_bytes=limits.LOG_ENTRY_BYTES), "log entry")
    entry = TransparencyLogEntry(
        log_index=promise.log_index,
        log_id=promise.log_id,
        kind=body.text("kind"),
        version=body.text("apiVersion"),
        integrated_time=promise.integrated_time,
        signed_entry_timestamp=promise.signature,
        proof=proof,
        body=promise.body,
    )
    return ProvedEntry(entry, inclusion)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the log says; nothing of it is verified."""

    tree_id: int | None
    leaf: str
    body: bytes
    integrated_time: int
    log_id: str
    log_index: int
    proof: InclusionProof


def _accept(answer: _Answer, promise: Promise, log: TransparencyLog) -> ProvedEntry:
    said = (answer.log_id, answer.log_index, answer.integrated_time)
    promised = (promise.log_id.hex(), promise.log_index, promise.integrated_time)
    for name, one, other in zip(("log id", "index", "time"), said, promised, strict=True):
        if one != other:
            raise _other(f"{name} {one}"[:100], f"{name} {other}, as promised")
    if answer.body != promise.body:
        raise _other("another body", "the body that was promised")
    if answer.leaf != leaf_hash(promise.body).hex():
        raise _other("an id that is not the hash of the body", "its hash")
    proved = prove(promise, answer.proof, log)
    checkpoint = proved.inclusion.checkpoint
    if answer.tree_id is not None and answer.tree_id != checkpoint.tree_id:
        raise RejectedError(
            "checkpoint-origin", "checkpoint", checkpoint.origin[:160], got="of another tree",
            want=f"tree {answer.tree_id}, where the log says the entry is",
        )  # fmt: skip
    return proved


def _parse(raw: bytes, log: TransparencyLog) -> _Answer:
    try:
        return _parse_answer(raw)
    except MalformedError as error:
        raise EnvError(
            "log-answer", "log", log.url, got=f"{error.which} {error.got} ({error.code})".strip(),
            want="an entry of Rekor 1",
        ) from error  # fmt: skip


def _parse_answer(raw: bytes) -> _Answer:
    document = Fields(parse_foreign(raw, _WHAT, max_bytes=limits.LOG_ANSWER_BYTES), _WHAT)
    names = document.keys()
    match = _ENTRY_ID.fullmatch(names[0]) if len(names) == 1 else None
    if match is None:
        raise MalformedError("field-value", _WHAT, got=f"{len(names)} entries", want="one, under its id in hex")
    entry = document.fields(names[0])
    entry.only("attestation", "body", "integratedTime", "logID", "logIndex", "verification")
    verification = entry.fields("verification")
    verification.only("inclusionProof", "signedEntryTimestamp")
    return _Answer(
        tree_id=int(match["tree"], 16) if match["tree"] else None,
        leaf=match["leaf"],
        body=decode_base64(entry.text("body"), _WHAT, "body"),
        integrated_time=entry.integer("integratedTime"),
        log_id=entry.text("logID"),
        log_index=entry.integer("logIndex"),
        proof=_parse_proof(verification.fields("inclusionProof")),
    )


def _parse_proof(fields: Fields) -> InclusionProof:
    fields.exactly("checkpoint", "hashes", "logIndex", "rootHash", "treeSize")
    return InclusionProof(
        log_index=fields.integer("logIndex"),
        root_hash=_hash(fields.text("rootHash"), f"{fields.where}.rootHash"),
        tree_size=fields.integer("treeSize"),
        hashes=tuple(_hash(text, f"{fields.where}.hashes") for text in fields.texts("hashes", maximum=PATH_MAX)),
        checkpoint=fields.text("checkpoint").encode(),
    )


def _hash(text: str, where: str) -> bytes:
    if not re.fullmatch(rf"[0-9a-f]{{{2 * HASH_BYTES}}}", text, re.ASCII):
        raise MalformedError("field-value", _WHAT, where, got=repr(text[:80]), want="a hash in lower-case hex")
    return bytes.fromhex(text)


def _other(got: str, want: str) -> RejectedError:
    return RejectedError("proof-other-entry", _WHAT, got=got, want=want)
