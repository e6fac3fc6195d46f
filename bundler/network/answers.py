"""What an answer means, by HTTP status AND error code (distribution-spec, "Error Codes").

Rules of this module:
- Absent is status 404 with the right code, and only that. The same code under 400, 401, 403 or 5xx is a failure.
- An error body is `{"errors":[{"code","message","detail"}]}`. A body that is not that, strictly, only means "no code".
- A registry's own words are cut short, and every secret that we sent is taken out of them: a registry can echo headers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bundler import limits
from bundler.errors import EnvError, MalformedError
from bundler.fields import Fields
from bundler.network.http import Answer, answer_error
from bundler.strict_json import parse_foreign
from bundler.value import dataclass, field

MANIFEST_UNKNOWN = "MANIFEST_UNKNOWN"
NAME_UNKNOWN = "NAME_UNKNOWN"
BLOB_UNKNOWN = "BLOB_UNKNOWN"
NOT_FOUND = "NOT_FOUND"
"""Harbor's own word for all three. It decides what is pushed, never that evidence is absent."""

_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}", re.ASCII)
_HINTS = {
    "registry-auth": ("log in with `skopeo login`, or name the file with credentials: --authfile FILE",),
    "registry-denied": (
        "ask for access to this repository (`load` writes, all else reads), or check which account the auth file holds",
    ),
    "registry-busy": ("wait and try again; a logged-in account often has a higher limit",),
    "registry-server": ("the registry is in trouble; try again later",),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One error of an error body. `repr` hides the message, which can echo what we sent."""

    name: str
    message: str = field(repr=False)


def parse_faults(raw: bytes) -> tuple[Fault, ...]:
    """The errors in a body; empty when it is not an error body of the specification."""
    try:
        document = Fields(parse_foreign(raw, "error body", max_bytes=limits.ERROR_BODY_BYTES), "error body")
        return tuple(map(_parse_fault, document.each("errors", maximum=limits.ERRORS_IN_BODY)))
    except MalformedError:
        return ()


def read_faults(answer: Answer) -> tuple[Fault, ...]:
    """The errors of an answer that is not a success; closes it.

    Raises:
        EnvError: the body stalls or breaks off.
    """
    with answer:
        raw = bytearray()
        while len(raw) <= limits.ERROR_BODY_BYTES and (piece := answer.read(limits.ERROR_BODY_BYTES + 1 - len(raw))):
            raw += piece
        plain = answer.header("Content-Encoding").lower() in ("", "identity")
        return parse_faults(bytes(raw)) if plain else ()


def says_absent(status: int, faults: tuple[Fault, ...], codes: Iterable[str]) -> bool:
    """Whether an answer means "not there": status 404, at least one code, and no code but these."""
    return status == 404 and bool(faults) and {fault.name for fault in faults} <= set(codes)


def failure(status: int, faults: tuple[Fault, ...], which: str, secrets: Iterable[str] = ()) -> EnvError:
    """The error for an answer that is neither success nor a known absence."""
    got = " ".join([f"HTTP {status}", *(fault.name for fault in faults[:2])])
    if faults and faults[0].message:
        got += f": {shorten(faults[0].message, secrets)!r}"
    if status == 401:
        return EnvError("registry-auth", "registry", which, got=got, want="access", hints=_HINTS["registry-auth"])
    if status == 403:
        return EnvError("registry-denied", "registry", which, got=got, want="access", hints=_HINTS["registry-denied"])
    if status == 429:
        return EnvError("registry-busy", "registry", which, got=got, want="an answer", hints=_HINTS["registry-busy"])
    if status >= 500:
        return EnvError(
            "registry-server", "registry", which, got=got, want="an answer", hints=_HINTS["registry-server"]
        )
    return answer_error(which, got, "success, or an absence that says so")


def shorten(message: str, secrets: Iterable[str] = ()) -> str:
    """A registry's own words, without our secrets, cut short."""
    for secret in secrets:
        if secret:
            message = message.replace(secret, "***")
    message = " ".join(message.split())
    bound = limits.REGISTRY_MESSAGE_CHARACTERS
    return message if len(message) <= bound else f"{message[:bound]}…"


def _parse_fault(fields: Fields) -> Fault:
    code = fields.text("code")
    if not _CODE.fullmatch(code):
        raise MalformedError("field-value", "error body", "code", got=repr(code[:40]), want="an error code")
    message = fields.raw("message")  # optional, for people only: it decides nothing
    return Fault(code, message if isinstance(message, str) else "")
