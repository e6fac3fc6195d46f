"""Just enough DER to cut a certificate at exact byte positions (X.690 chapter 10).

Rules of this module: definite lengths in their shortest form, one-byte tags, nothing left over. Bytes are sliced and
never re-encoded, except the lengths around a cut; so what a log signed is compared as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from bundler.errors import MalformedError

SEQUENCE, OCTET_STRING, UTF8_STRING, OBJECT_IDENTIFIER = 0x30, 0x04, 0x0C, 0x06
EXPLICIT_3 = 0xA3

_LONG_TAG = 0x1F


@dataclass(frozen=True, slots=True)
class Element:
    """One tag-length-value: `raw` is all of it, `content` its value."""

    tag: int
    raw: bytes
    content: bytes


def parse_der(raw: bytes, tag: int) -> Element:
    """Read exactly one element with the given tag.

    Raises:
        MalformedError: not that, or bytes left over (code ``der``).
    """
    element, end = _read(raw, 0)
    if element.tag != tag or end != len(raw):
        raise _malformed(f"tag {element.tag:#04x}, {len(raw) - end} bytes left over", f"tag {tag:#04x}")
    return element


def parse_elements(content: bytes) -> tuple[Element, ...]:
    """Read all elements of a constructed value.

    Raises:
        MalformedError: code ``der``.
    """
    elements = []
    position = 0
    while position < len(content):
        element, position = _read(content, position)
        elements.append(element)
    return tuple(elements)


def parse_utf8_string(raw: bytes) -> str:
    """Read exactly one UTF8String.

    Raises:
        MalformedError: code ``der``.
    """
    try:
        return parse_der(raw, UTF8_STRING).content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed("bytes that are not UTF-8", "a UTF8String") from error


def format_der(tag: int, content: bytes) -> bytes:
    """One element, the inverse of `parse_der`."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _read(raw: bytes, start: int) -> tuple[Element, int]:
    if len(raw) - start < 2 or raw[start] & _LONG_TAG == _LONG_TAG:
        raise _malformed("a cut or long tag", "DER")
    first = raw[start + 1]
    body = start + 2
    size = first
    if first >= 0x80:
        count = first & 0x7F
        length = raw[body : body + count]
        size = int.from_bytes(length, "big")
        if not 1 <= count <= 4 or len(length) != count or length[0] == 0 or size < 0x80:
            raise _malformed("an indefinite or long-winded length", "the shortest definite length")
        body += count
    end = body + size
    if end > len(raw):
        raise _malformed("a value that is cut off", "DER")
    return Element(raw[start], raw[start:end], raw[body:end]), end


def _malformed(got: str, want: str) -> MalformedError:
    return MalformedError("der", "DER", got=got, want=want)
