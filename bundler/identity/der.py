"""Just enough DER to cut certificates and read timestamps at exact byte positions (X.690 chapters 8, 10 and 11).

Rules of this module: definite lengths in their shortest form, one-byte tags, nothing left over; one spelling of each
value. Bytes are sliced and never re-encoded, except the lengths around a cut; so what was signed is compared as it was.
Values of one kind have a parser and its formatter side by side.
"""

from __future__ import annotations

from typing import NamedTuple, NoReturn

from bundler.errors import MalformedError

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OBJECT_IDENTIFIER = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTF8_STRING, GENERALIZED_TIME, SEQUENCE, SET = 0x0C, 0x18, 0x30, 0x31
EXPLICIT_0, EXPLICIT_1, EXPLICIT_3, EXPLICIT_4 = 0xA0, 0xA1, 0xA3, 0xA4
IMPLICIT_0, IMPLICIT_1 = 0x80, 0x81

_LONG_TAG = 0x1F
_OID_BYTES = 64  # real ones have some ten; long ones would only cost time
_TRUE = b"\xff"


class Element(NamedTuple):
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


def parse_integer(content: bytes) -> int:
    """Value of an INTEGER's content (X.690 section 8.3): two's complement in the fewest bytes.

    Raises:
        MalformedError: code ``der``.
    """
    value = int.from_bytes(content, "big", signed=True)
    if not content or format_integer(value) != content:
        raise _malformed("an integer with spare bytes, or none", "the shortest form")
    return value


def format_integer(value: int) -> bytes:
    """An INTEGER's content, the inverse of `parse_integer`."""
    bits = (value if value >= 0 else ~value).bit_length() + 1
    return value.to_bytes((bits + 7) // 8, "big", signed=True)


def parse_oid(content: bytes) -> str:
    """Dotted text of an OBJECT IDENTIFIER's content (X.690 section 8.19).

    Raises:
        MalformedError: cut off, padded, or longer than any in use (code ``der``).
    """
    if not content or len(content) > _OID_BYTES or content[-1] >= 0x80:
        raise _malformed("an object identifier that is cut off or too long", "a whole one")
    arcs: list[int] = []
    value = 0
    for position, byte in enumerate(content):
        starts = position == 0 or content[position - 1] < 0x80
        if starts and byte == 0x80:
            raise _malformed("an object identifier with padding", "the shortest form")
        value = (0 if starts else value << 7) | (byte & 0x7F)
        if byte < 0x80:
            arcs.append(value)
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def format_oid(text: str) -> bytes:
    """An OBJECT IDENTIFIER's content, the inverse of `parse_oid`."""
    first, second, *rest = (int(arc) for arc in text.split("."))
    content = bytearray()
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | (arc & 0x7F))
        content += bytes(reversed(groups))
    return bytes(content)


def format_der(tag: int, content: bytes) -> bytes:
    """One element, the inverse of `parse_der`."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


class DerReader:
    """The elements of one constructed value, taken from the front; what is optional may be absent, nothing is skipped.

    Raises:
        MalformedError: every method, when what it names is not there (code ``der``).
    """

    __slots__ = ("_elements", "_next", "_what")

    def __init__(self, content: bytes, what: str) -> None:
        self._elements = parse_elements(content)
        self._next = 0
        self._what = what

    def take(self, tag: int) -> Element:
        """The next element, which has this tag."""
        element = self.maybe(tag)
        if element is None:
            self._refuse(f"tag {tag:#04x}")
        return element

    def maybe(self, tag: int) -> Element | None:
        """The next element if it has this tag."""
        if self._next == len(self._elements) or self._elements[self._next].tag != tag:
            return None
        self._next += 1
        return self._elements[self._next - 1]

    def inside(self, tag: int, what: str) -> DerReader:
        """A reader of the next element's content."""
        return DerReader(self.take(tag).content, what)

    def wrapped(self, tag: int, inner: int) -> Element:
        """The one element that an explicit tag stands around (X.690 section 8.14)."""
        return parse_der(self.take(tag).content, inner)

    def integer(self) -> int:
        """An INTEGER."""
        return parse_integer(self.take(INTEGER).content)

    def oid(self) -> str:
        """An OBJECT IDENTIFIER as dotted text."""
        return parse_oid(self.take(OBJECT_IDENTIFIER).content)

    def default_false(self) -> bool:
        """A BOOLEAN DEFAULT FALSE, which DER leaves out when it is false (X.690 section 11.5)."""
        element = self.maybe(BOOLEAN)
        if element is not None and element.content != _TRUE:
            self._refuse("TRUE, or nothing")
        return element is not None

    def all(self, tag: int) -> tuple[Element, ...]:
        """All that is left, every element with this tag."""
        rest = self._elements[self._next :]
        for _ in rest:
            self.take(tag)
        return rest

    def any(self) -> tuple[Element, ...]:
        """All that is left, whatever it is."""
        rest = self._elements[self._next :]
        self._next = len(self._elements)
        return rest

    def end(self) -> None:
        """Nothing is left."""
        if self._next != len(self._elements):
            self._refuse("nothing more")

    def _refuse(self, want: str) -> NoReturn:
        left = self._elements[self._next :]
        got = f"tag {left[0].tag:#04x}" if left else "its end"
        raise _malformed(f"{self._what}: {got}", want)


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
