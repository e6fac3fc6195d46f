r"""Base64 and PEM with one spelling (RFC 4648 section 3.5; RFC 7468).

Rules of this module:
- Decode, then encode, gives back the same text: no white space, no missing padding, no stray trailing bits.
- One PEM block at a time: a label, lines of 64 characters, one kind of line end. Only the last line end may be absent.
- Some PEM comes from where nobody minds its lines (key files of publishers; what clients gave a log): `parse_loose_pem`
  takes lines of any length. What it gives is DER, which has one spelling again.
- Text that came over a path known to add white space is stripped by the caller, who says why.
"""

from __future__ import annotations

import base64
import binascii
import re

from bundler.errors import MalformedError

ASCII_SPACE = " \t\r\n\v\f"

_PEM = re.compile(
    r"-----BEGIN ([A-Z0-9]+(?: [A-Z0-9]+)*)-----(\r?\n)((?:[A-Za-z0-9+/=]{1,64}\2)+)-----END \1-----(?:\2)?", re.ASCII
)
_LOOSE_PEM = re.compile(
    r"-----BEGIN ([A-Z0-9]+(?: [A-Z0-9]+)*)-----\r?\n([A-Za-z0-9+/=\r\n]+)\r?\n-----END \1-----[\r\n]*", re.ASCII
)
_PEM_COLUMNS = 64


def encode_base64(raw: bytes) -> str:
    """Standard alphabet, padded, on one line; the inverse of `decode_base64`."""
    return base64.b64encode(raw).decode("ascii")


def decode_base64(text: str, what: str, which: str = "") -> bytes:
    """Decode the one spelling that `encode_base64` writes.

    Raises:
        MalformedError: any other spelling (code ``base64``).
    """
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError) as error:
        raise MalformedError("base64", what, which, got="not base64", want="standard base64") from error
    if encode_base64(raw) != text:
        raise MalformedError("base64", what, which, got="another spelling", want="padded base64, no spare bits")
    return raw


def format_pem(label: str, der: bytes) -> str:
    """One PEM block with `\\n` line ends, the inverse of `parse_pem`."""
    text = encode_base64(der)
    lines = [text[start : start + _PEM_COLUMNS] for start in range(0, len(text), _PEM_COLUMNS)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def parse_pem(text: str, what: str) -> tuple[str, bytes]:
    """Label and content of a text that is exactly one PEM block.

    Raises:
        MalformedError: none, several, something around it, or another spelling (code ``pem`` or ``base64``).
    """
    match = _PEM.fullmatch(text)
    if match is None:
        raise MalformedError("pem", what, got="something else", want="exactly one PEM block")
    label, line_end, body = match.groups()
    der = decode_base64(body.replace(line_end, ""), what)
    if format_pem(label, der).rstrip("\n") != text.replace(line_end, "\n").rstrip("\n"):
        raise MalformedError("pem", what, got="another spelling", want="lines of 64 characters")
    return label, der


def parse_loose_pem(text: str, what: str) -> tuple[str, bytes]:
    """Like `parse_pem`, with lines of any length; base64 itself stays strict.

    Raises:
        MalformedError: none, several, something around it (code ``pem``), or another spelling (``base64``).
    """
    match = _LOOSE_PEM.fullmatch(text)
    if match is None:
        raise MalformedError("pem", what, got="something else", want="exactly one PEM block")
    label, body = match.groups()
    return label, decode_base64(body.replace("\r", "").replace("\n", ""), what)
