"""`TransparencyLogEntry` of Sigstore's protobuf JSON (protobuf-specs `sigstore_rekor.proto`): in Sigstore bundles, and
as a blob of its own (`application/vnd.sealift.log-entry.v1+json`) for proofs that were fetched at export.

Rules of this module:
- Numbers are 64-bit: decimal strings as protobuf JSON writes them, or JSON integers as it lets writers do. Fields that
  it leaves out at their default (0, empty list) may be absent. Null means absent (ProtoJSON; npm's registry writes it
  for a proof). Anything unknown is refused.
- A blob of ours has one spelling: RFC 8785 (sorted keys, no white space, shortest escapes), numbers as strings, time
  and promise left out when there are none. Checkpoints hold newlines, so it is not the canonical form of what we sign.
- Nothing is verified here: promise.py and proof.py do that, entry.py says what the body is about.
"""

from __future__ import annotations

import json
import re
from typing import Any

from bundler import limits
from bundler.encoding import decode_base64, encode_base64
from bundler.errors import MalformedError
from bundler.fields import Fields
from bundler.strict_json import parse_foreign
from bundler.transparency.merkle import HASH_BYTES, PATH_MAX
from bundler.transparency.promise import Promise
from bundler.transparency.proof import InclusionProof
from bundler.value import dataclass, field

_WHAT = "log entry"
_INT64_MAX = 2**63 - 1
_LATEST = 253_402_300_799  # 9999-12-31T23:59:59Z
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_LOG_ID_BYTES = 64


@dataclass(frozen=True, slots=True)
class TransparencyLogEntry:
    """An entry with what the log gave for it; not verified.

    Attributes:
        log_index: the entry's place in the whole log, over all its shards.
        log_id: names the log of the trusted root.
        kind: e.g. `hashedrekord`; a hint, the body says it.
        version: e.g. `0.0.1`; likewise.
        integrated_time: seconds since 1970; None when absent or 0 (Rekor 2 tells none).
        signed_entry_timestamp: the promise's signature; None when there is none.
        proof: None when there is none.
        body: canonical bytes of the entry.
    """

    log_index: int
    log_id: bytes
    kind: str
    version: str
    integrated_time: int | None
    signed_entry_timestamp: bytes | None = field(repr=False)
    proof: InclusionProof | None
    body: bytes = field(repr=False)

    @property
    def promise(self) -> Promise | None:
        """The inclusion promise, in the form that `open_promise` takes; None without a signature or a time."""
        if self.signed_entry_timestamp is None or self.integrated_time is None:
            return None
        return Promise(self.body, self.integrated_time, self.log_id, self.log_index, self.signed_entry_timestamp)


def parse_log_entry(fields: Fields) -> TransparencyLogEntry:
    """Read an entry out of a larger document.

    Raises:
        MalformedError: any other shape.
    """
    fields.only(
        "logIndex",
        "logId",
        "kindVersion",
        "integratedTime",
        "inclusionPromise",
        "inclusionProof",
        "canonicalizedBody",
    )
    log_id, kind = fields.fields("logId"), fields.fields("kindVersion")
    log_id.exactly("keyId")
    kind.exactly("kind", "version")
    return TransparencyLogEntry(
        log_index=_integer(fields, "logIndex"),
        log_id=_bytes(log_id, "keyId", maximum=_LOG_ID_BYTES),
        kind=_name(kind, "kind"),
        version=_name(kind, "version"),
        integrated_time=_integer(fields, "integratedTime", maximum=_LATEST) or None,
        signed_entry_timestamp=_parse_promise(fields),
        proof=_parse_proof(fields.fields("inclusionProof")) if fields.holds("inclusionProof") else None,
        body=_bytes(fields, "canonicalizedBody", maximum=limits.LOG_ENTRY_BYTES),
    )


def parse_log_entry_bytes(raw: bytes) -> TransparencyLogEntry:
    """Read a blob of ours; `format_log_entry` of the result is `raw`.

    Raises:
        MalformedError: any other shape, or another spelling (code ``not-canonical``).
    """
    entry = parse_log_entry(Fields(parse_foreign(raw, _WHAT, max_bytes=limits.LOG_ENTRY_BLOB_BYTES), _WHAT))
    if format_log_entry(entry) != raw:
        raise MalformedError("not-canonical", _WHAT, got="another spelling", want="the one spelling of a log entry")
    return entry


def format_log_entry(entry: TransparencyLogEntry) -> bytes:
    """The one spelling of an entry, in protobuf JSON: the inverse of `parse_log_entry_bytes`."""
    value: dict[str, Any] = {
        "logIndex": str(entry.log_index),
        "logId": {"keyId": encode_base64(entry.log_id)},
        "kindVersion": {"kind": entry.kind, "version": entry.version},
        "canonicalizedBody": encode_base64(entry.body),
    }
    if entry.integrated_time is not None:
        value["integratedTime"] = str(entry.integrated_time)
    if entry.signed_entry_timestamp is not None:
        value["inclusionPromise"] = {"signedEntryTimestamp": encode_base64(entry.signed_entry_timestamp)}
    if entry.proof is not None:
        value["inclusionProof"] = _proof_value(entry.proof)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _proof_value(proof: InclusionProof) -> dict[str, Any]:
    value: dict[str, Any] = {
        "logIndex": str(proof.log_index),
        "rootHash": encode_base64(proof.root_hash),
        "treeSize": str(proof.tree_size),
        "hashes": [encode_base64(item) for item in proof.hashes],
    }
    if proof.checkpoint is not None:
        value["checkpoint"] = {"envelope": proof.checkpoint.decode()}
    return value


def _parse_promise(fields: Fields) -> bytes | None:
    if not fields.holds("inclusionPromise"):
        return None
    promise = fields.fields("inclusionPromise")
    promise.exactly("signedEntryTimestamp")
    return _bytes(promise, "signedEntryTimestamp", maximum=limits.LOG_ENTRY_BYTES)


def _parse_proof(fields: Fields) -> InclusionProof:
    fields.only("logIndex", "rootHash", "treeSize", "hashes", "checkpoint")
    hashes = fields.texts("hashes", maximum=PATH_MAX) if fields.holds("hashes") else ()
    return InclusionProof(
        log_index=_integer(fields, "logIndex"),
        root_hash=_hash(fields.text("rootHash"), f"{fields.where}.rootHash"),
        tree_size=_integer(fields, "treeSize"),
        hashes=tuple(_hash(text, f"{fields.where}.hashes") for text in hashes),
        checkpoint=_parse_envelope(fields.fields("checkpoint")) if fields.holds("checkpoint") else None,
    )


def _parse_envelope(fields: Fields) -> bytes:
    fields.exactly("envelope")
    return fields.text("envelope").encode()


def _integer(fields: Fields, key: str, *, maximum: int = _INT64_MAX) -> int:
    """A 64-bit number of protobuf JSON; 0 when absent."""
    if not fields.holds(key):
        return 0
    value = fields.raw(key)
    if isinstance(value, int):
        return fields.integer(key, maximum=maximum)
    text = fields.text(key)
    if not _DECIMAL.fullmatch(text) or int(text) > maximum:
        raise MalformedError("field-value", _WHAT, _path(fields, key), got=repr(text[:40]), want=f"0 to {maximum}")
    return int(text)


def _name(fields: Fields, key: str) -> str:
    """A text that is not empty: an empty kind would claim nothing, and so contradict nothing."""
    text = fields.text(key)
    if not text:
        raise MalformedError("field-value", _WHAT, _path(fields, key), got="an empty text", want="a name")
    return text


def _bytes(fields: Fields, key: str, *, maximum: int) -> bytes:
    """Base64, not empty."""
    raw = decode_base64(fields.text(key), _WHAT, _path(fields, key))
    if not 0 < len(raw) <= maximum:
        raise MalformedError(
            "field-value", _WHAT, _path(fields, key), got=f"{len(raw)} bytes", want=f"1 to {maximum} bytes"
        )
    return raw


def _hash(text: str, where: str) -> bytes:
    raw = decode_base64(text, _WHAT, where)
    if len(raw) != HASH_BYTES:
        raise MalformedError("field-value", _WHAT, where, got=f"{len(raw)} bytes", want=f"{HASH_BYTES} bytes")
    return raw


def _path(fields: Fields, key: str) -> str:
    return f"{fields.where}.{key}" if fields.where else key
