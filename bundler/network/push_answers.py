"""What a registry answers when it is written to (OCI distribution-spec 1.1, "Push", "Error Codes").

Rules of this module:
- A refusal is told apart by its error code, under a status from 400 to 499 only; 401, 403, 408 and 429 and what begins
  with 5 mean what they mean to a reader (answers.py).
- Where an upload lies is the registry's to say (`Location`): any path of its own, or another host, to which nothing of
  who we are goes. Never from https to plain http, unless `tls_verify` is off.
- What a registry says about what it stored (`Docker-Content-Digest`, `Range`, `OCI-Subject`) is compared with what it
  was sent. Nothing that it says is taken for proof; whoever loads reads it back.
"""

from __future__ import annotations

import re

from bundler.digest import Digest, parse_digest
from bundler.errors import EnvError, MalformedError
from bundler.network.answers import Fault, read_faults, shorten
from bundler.network.endpoint import Endpoint
from bundler.network.http import Answer, answer_error
from bundler.network.urls import Url, parse_url

_LACKS = frozenset({"MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNVERIFIED", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN"})
_NAMES = frozenset({"NAME_INVALID", "NAME_UNKNOWN"})
_DIFFERS = frozenset({"DIGEST_INVALID", "SIZE_INVALID"})
_WANTS = {
    "push-blob-unknown": "a manifest whose parts are there, or a registry that takes it without them",
    "push-name": "a repository name that it takes",
    "push-changed": "the bytes that were sent",
    "push-refused": "that it takes what it is sent",
}
_HINTS = {
    "push-name": ("the project may have to be made there first, or the registry takes no names of so many parts",),
    "push-refused": ("the registry may be read-only, full, or keep its tags as they are; ask its operator",),
}
_READER_STATUSES = frozenset({401, 403, 408, 429})
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})", re.ASCII)


def refusal(endpoint: Endpoint, answer: Answer) -> EnvError:
    """The error for an answer that is not the success that was hoped for; closes it."""
    faults = read_faults(answer)
    error = endpoint.judge(answer, faults)
    if not 400 <= answer.status < 500 or answer.status in _READER_STATUSES:
        return error
    code = _code(faults)
    return EnvError(code, "registry", answer.which, got=error.got, want=_WANTS[code], hints=_HINTS.get(code, ()))


def read_location(answer: Answer, *, may_weaken: bool) -> Url:
    """Where an upload goes on.

    Raises:
        EnvError: no URL (code ``registry-answer``), or plain http where https was asked (``registry-redirect``).
    """
    try:
        url = parse_url(answer.header("Location"), "upload", answer.url)
    except MalformedError as error:
        raise answer_error(answer.which, f"HTTP {answer.status} without a usable Location", "a URL") from error
    if url.origin.scheme == "http" and answer.url.origin.scheme == "https" and not may_weaken:
        raise EnvError(
            "registry-redirect", "registry", answer.which, got=f"an upload at plain {url.origin}", want="https",
            hints=["the registry does not know that it is reached over https; its operator has to tell it"],
        )  # fmt: skip
    return url


def read_stored(answer: Answer, sent_bytes: int, confirmed_bytes: int) -> int | None:
    """How many bytes of an upload the registry says it has (`Range`).

    `0-0` stands for one byte and for none, since registries write it for both: it is read as one only where at most
    one byte was sent.

    Args:
        answer: to a part of an upload, or to the question about one.
        sent_bytes: how many it can have.
        confirmed_bytes: how many it said that it had.

    Returns:
        The count; None when it does not say.

    Raises:
        EnvError: more than were sent, fewer than it had, or another form (code ``registry-answer``).
    """
    text = answer.header("Range")
    if not text:
        return None
    match = _RANGE.fullmatch(text)
    stored_bytes = int(match[1]) + 1 if match else -1
    if stored_bytes == 1 and sent_bytes != 1:
        stored_bytes = 0
    if not confirmed_bytes <= stored_bytes <= sent_bytes:
        raise answer_error(
            answer.which, f"Range {text[:60]!r}", f"0 to a byte from {confirmed_bytes} to {sent_bytes} of the upload"
        )
    return stored_bytes


def check_said_digest(answer: Answer, digest: Digest) -> None:
    """Compare `Docker-Content-Digest`, where a registry says it, with what it was sent.

    Raises:
        EnvError: another one (code ``push-changed``).
    """
    said = answer.header("Docker-Content-Digest")
    if said and said != str(digest):
        raise EnvError(
            "push-changed", "registry", answer.which, got=f"stored as {shorten(said)!r}", want=str(digest),
            hints=["the registry changes what it is given; no signature holds for what it keeps"],
        )  # fmt: skip


def read_subject(answer: Answer) -> Digest | None:
    """What `OCI-Subject` says; None when the registry did not look at the subject.

    Raises:
        EnvError: no digest (code ``registry-answer``).
    """
    text = answer.header("OCI-Subject")
    if not text:
        return None
    try:
        return parse_digest(text)
    except MalformedError as error:
        raise answer_error(answer.which, f"OCI-Subject {shorten(text)!r}", "a digest") from error


def _code(faults: tuple[Fault, ...]) -> str:
    names = {fault.name for fault in faults}
    if names & _LACKS:
        return "push-blob-unknown"
    if names & _NAMES:
        return "push-name"
    return "push-changed" if names & _DIFFERS else "push-refused"
