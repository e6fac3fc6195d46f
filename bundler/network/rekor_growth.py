"""How a log of Rekor 1 grew, from its API (rekor `openapi.yaml`, `/api/v1/log` and `/api/v1/log/proof`).

Rules of this module:
- Only what the log has signed is used: of its answer about itself the signed tree heads, of the active tree and of the
  inactive shards; size and root hash beside them are nobody's word.
- Trees are told apart by origin. One that the log no longer shows is ``log-tree-gone``: it was there once.
- A proof is fetched here and verified by the caller, who knows both ends. What is no answer is ``log-answer``.
- Rekor 2 has no such API: it serves its tree as tiles (rekor_tiles.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bundler import limits
from bundler.errors import EnvError, MalformedError, RejectedError
from bundler.fields import Fields
from bundler.network.rekor import Fetch
from bundler.strict_json import parse_foreign
from bundler.transparency.checkpoint import VerifiedCheckpoint, open_checkpoint, parse_checkpoint
from bundler.transparency.log import TransparencyLog
from bundler.transparency.merkle import HASH_BYTES
from bundler.transparency.note import parse_note

_WHAT = "log's answer"
_HASH = re.compile(rf"[0-9a-f]{{{2 * HASH_BYTES}}}", re.ASCII)


def fetch_checkpoint(log: TransparencyLog, origin: str, fetch: Fetch) -> VerifiedCheckpoint:
    """The newest checkpoint of one of a log's trees.

    Args:
        log: of the trusted root.
        origin: the tree's, as its checkpoints name it.
        fetch: gives answers (log_client.py).

    Raises:
        RejectedError: the log shows no such tree (``log-tree-gone``), or has not signed what it shows
            (``checkpoint-signature``, ``checkpoint-origin``).
        EnvError: ``log-unreachable``, ``log-answer``.
    """
    answer = _ask(f"{_base(log)}", log, fetch)
    for head in _signed_heads(answer, log):
        if _origin(head, log) == origin:
            return open_checkpoint(head, log)
    raise RejectedError(
        "log-tree-gone", "log", log.url, got=f"no tree {origin[:160]}", want="a tree that it had before"
    )


def fetch_consistency(log: TransparencyLog, tree_id: int, first: int, last: int, fetch: Fetch) -> tuple[bytes, ...]:
    """The proof that a tree of `last` leaves continues the one of `first` leaves; not verified.

    Args:
        log: of the trusted root.
        tree_id: which of its trees; Rekor 1 counts the leaves of each by itself.
        first, last: sizes, 1 <= first < last.
        fetch: gives answers.

    Raises:
        EnvError: ``log-unreachable``, ``log-answer``.
    """
    answer = _ask(f"{_base(log)}/proof?firstSize={first}&lastSize={last}&treeID={tree_id}", log, fetch)
    try:
        return tuple(map(_hash, answer.texts("hashes", maximum=limits.LOG_PROOF_HASHES)))
    except MalformedError as error:
        raise _no_answer(log, error) from error


def _hash(text: str) -> bytes:
    if not _HASH.fullmatch(text):
        raise MalformedError("field-value", _WHAT, "hashes", got=repr(text[:80]), want="a hash in lower-case hex")
    return bytes.fromhex(text)


def _base(log: TransparencyLog) -> str:
    return f"{log.url.rstrip('/')}/api/v1/log"


def _ask(url: str, log: TransparencyLog, fetch: Fetch) -> Fields:
    raw = fetch(url)
    if raw is None:
        raise EnvError("log-answer", "log", log.url, got="HTTP 404", want="what Rekor 1 says of its trees")
    try:
        return Fields(parse_foreign(raw, _WHAT, max_bytes=limits.LOG_ANSWER_BYTES), _WHAT)
    except MalformedError as error:
        raise _no_answer(log, error) from error


def _signed_heads(answer: Fields, log: TransparencyLog) -> Iterator[bytes]:
    """The active tree's, then those of shards that take no more entries."""
    try:
        yield _head(answer)
        if answer.raw("inactiveShards") is not None:  # null where there are none
            for shard in answer.each("inactiveShards", maximum=limits.LOG_TREES):
                yield _head(shard)
    except MalformedError as error:
        raise _no_answer(log, error) from error


def _head(fields: Fields) -> bytes:
    return fields.text("signedTreeHead").encode("utf-8", "surrogatepass")


def _origin(head: bytes, log: TransparencyLog) -> str:
    try:
        return parse_checkpoint(parse_note(head).text).origin
    except MalformedError as error:
        raise _no_answer(log, error) from error


def _no_answer(log: TransparencyLog, error: MalformedError) -> EnvError:
    got = f"{error.which} {error.got} ({error.code})".strip()
    return EnvError("log-answer", "log", log.url, got=got, want="what Rekor 1 says of its trees")
