"""Rekor's inclusion promise, the signed entry timestamp (SET), in the form of cosign's `bundle` annotation.

Rules of this module:
- The log signs the canonical JSON (RFC 8785) of body, integratedTime, logID and logIndex. `integratedTime` is a time
  only under a promise that was verified (CVE-2024-55655, CVE-2026-48816).
- The log is found by id; the time must lie in the window of its key.
- `open_promise` gives the only value that says so. It says nothing of what the entry is about: entry.py binds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from bundler import limits
from bundler.encoding import decode_base64, encode_base64
from bundler.errors import MalformedError, RejectedError
from bundler.fields import Fields
from bundler.strict_json import MAX_SAFE_INTEGER, format_canonical, parse_foreign
from bundler.transparency.log import TransparencyLog, check_log_window, find_log
from bundler.value import dataclass, field

_WHAT = "inclusion promise"
_LOG_ID_BYTES = 32
_LATEST = 253_402_300_799  # 9999-12-31T23:59:59Z


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise as it stands in an annotation; not verified yet.

    Attributes:
        body: the entry's canonical bytes.
        integrated_time: seconds since 1970.
        signature: DER ECDSA by the log.
    """

    body: bytes = field(repr=False)
    integrated_time: int
    log_id: bytes
    log_index: int
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifiedPromise:
    """The log promised to include `body`, at this time and place."""

    log: TransparencyLog
    body: bytes = field(repr=False)
    log_index: int
    integrated_at: datetime


def parse_promise(raw: bytes) -> Promise:
    """Read cosign's `dev.sigstore.cosign/bundle` annotation (cosign specs/BUNDLE_SPEC.md).

    Raises:
        MalformedError: any other shape.
    """
    fields = Fields(parse_foreign(raw, _WHAT, max_bytes=limits.LOG_ENTRY_BYTES), _WHAT)
    fields.exactly("SignedEntryTimestamp", "Payload")
    payload = fields.fields("Payload")
    payload.exactly("body", "integratedTime", "logIndex", "logID")
    return Promise(
        body=decode_base64(payload.text("body"), _WHAT, "body"),
        integrated_time=payload.integer("integratedTime", minimum=1, maximum=_LATEST),
        log_id=parse_log_id(payload.text("logID")),
        log_index=payload.integer("logIndex", maximum=MAX_SAFE_INTEGER),
        signature=decode_base64(fields.text("SignedEntryTimestamp"), _WHAT, "SignedEntryTimestamp"),
    )


def format_promise(promise: Promise) -> bytes:
    """The annotation as cosign writes it, the inverse of `parse_promise`."""
    return b'{"SignedEntryTimestamp":"%s","Payload":{"body":"%s","integratedTime":%d,"logIndex":%d,"logID":"%s"}}' % (
        encode_base64(promise.signature).encode(),
        encode_base64(promise.body).encode(),
        promise.integrated_time,
        promise.log_index,
        promise.log_id.hex().encode(),
    )


def parse_log_id(text: str) -> bytes:
    """Read a log id: SHA-256 in lower-case hex.

    Raises:
        MalformedError: code ``log-id``.
    """
    try:
        log_id = bytes.fromhex(text)
    except ValueError:
        log_id = b""
    if len(log_id) != _LOG_ID_BYTES or log_id.hex() != text:
        raise MalformedError("log-id", _WHAT, "logID", got=repr(text[:80]), want="64 lower-case hex digits")
    return log_id


def signed_message(promise: Promise) -> bytes:
    """What the log signs: canonical JSON of the four fields."""
    return format_canonical(
        {
            "body": encode_base64(promise.body),
            "integratedTime": promise.integrated_time,
            "logID": promise.log_id.hex(),
            "logIndex": promise.log_index,
        },
        _WHAT,
    )


def open_promise(promise: Promise, logs: Sequence[TransparencyLog]) -> VerifiedPromise:
    """Check a promise against the logs of the trusted root.

    Raises:
        RejectedError: ``log-unknown``; ``set`` (not signed by that log); ``log-window``.
    """
    log = find_log(logs, promise.log_id)
    try:
        log.key.verify(promise.signature, signed_message(promise))
    except RejectedError as error:
        raise RejectedError("set", _WHAT, got="not signed by the log it names", want=f"one by {log.url}") from error
    at = datetime.fromtimestamp(promise.integrated_time, UTC)
    check_log_window(log, at)
    return VerifiedPromise(log, promise.body, promise.log_index, at)
