"""Changes of DER values, element by element, with all lengths around them put right again.

Reads on its own: nothing of bundler/identity/der.py is used, so that an error there cannot hide here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

ORDERS = {
    256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    384: 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
}
_WRAPPERS = (0x04,)  # an OCTET STRING often holds DER


@dataclass(frozen=True)
class Node:
    """An element: its tag, and its content or its parts."""

    tag: int
    content: bytes = b""
    parts: tuple[Node, ...] = ()
    spelled: Callable[[int, bytes], bytes] | None = None

    @property
    def inner(self) -> bytes:
        return b"".join(part.raw for part in self.parts) if self.parts else self.content

    @property
    def raw(self) -> bytes:
        inner = self.inner
        return self.spelled(self.tag, inner) if self.spelled else bytes([self.tag]) + length(len(inner)) + inner


def length(count: int) -> bytes:
    if count < 0x80:
        return bytes([count])
    digits = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(digits)]) + digits


def read_all(raw: bytes) -> tuple[Node, ...]:
    """The elements that stand one after another; ValueError if it is anything else."""
    nodes = []
    while raw:
        node, raw = _read(raw)
        nodes.append(node)
    return tuple(nodes)


def _read(raw: bytes) -> tuple[Node, bytes]:
    if len(raw) < 2 or raw[0] & 0x1F == 0x1F:
        raise ValueError
    size, start = raw[1], 2
    if size >= 0x80:
        start = 2 + (size & 0x7F)
        size = int.from_bytes(raw[2:start], "big")
        if size < 0x80:
            raise ValueError
    content = raw[start : start + size]
    if len(content) != size:
        raise ValueError
    return _node(raw[0], content), raw[start + size :]


def _node(tag: int, content: bytes) -> Node:
    if tag & 0x20 or (tag in _WRAPPERS and content):
        try:
            return Node(tag, parts=read_all(content))
        except ValueError:
            if tag & 0x20:
                raise
    return Node(tag, content)


def walk(node: Node, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Node]]:
    yield path, node
    for number, part in enumerate(node.parts):
        yield from walk(part, (*path, number))


def _put(node: Node, path: tuple[int, ...], new: tuple[Node, ...]) -> tuple[Node, ...]:
    if not path:
        return new
    before, after = node.parts[: path[0]], node.parts[path[0] + 1 :]
    parts = (*before, *_put(node.parts[path[0]], path[1:], new), *after)
    return (replace(node, parts=parts) if parts else replace(node, parts=(), content=b""),)


def _leaf(node: Node, content: bytes) -> tuple[Node, ...]:
    return (replace(node, parts=(), content=content),)


CHANGES: dict[str, Callable[[Node], tuple[Node, ...]]] = {
    "removed": lambda node: (),
    "twice": lambda node: (node, node),
    "emptied": lambda node: _leaf(node, b""),
    "another tag": lambda node: (replace(node, tag=node.tag ^ 1),),
    "context tag": lambda node: (replace(node, tag=node.tag & 0x20 | 0x80),),
    "first bit": lambda node: _leaf(node, bytes([node.inner[0] ^ 0x80]) + node.inner[1:]) if node.inner else (),
    "last bit": lambda node: _leaf(node, node.inner[:-1] + bytes([node.inner[-1] ^ 1])) if node.inner else (),
    "a zero before": lambda node: _leaf(node, b"\0" + node.inner),
    "a zero behind": lambda node: _leaf(node, node.inner + b"\0"),
    "a NULL behind": lambda node: (node, Node(0x05)),
    "longer length": lambda node: (replace(node, spelled=_long_length),),
    "no length": lambda node: (replace(node, spelled=_no_length),),
    "parts turned": lambda node: (replace(node, parts=node.parts[::-1]),) if len(node.parts) > 1 else (),
}


def changed_at(top: Node, path: tuple[int, ...], node: Node, change: str) -> bytes:
    """The whole value with one of CHANGES made at one element."""
    return b"".join(each.raw for each in _put(top, path, CHANGES[change](node)))


def _long_length(tag: int, inner: bytes) -> bytes:
    return bytes([tag, 0x84]) + len(inner).to_bytes(4, "big") + inner


def _no_length(tag: int, inner: bytes) -> bytes:
    return bytes([tag, 0x80]) + inner + b"\0\0"


def der_mutants(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """What was changed where, and the whole value; a value that is no DER gives none."""
    try:
        (top,) = read_all(raw)
    except ValueError:
        return
    for path, node in walk(top):
        for change in CHANGES:
            new = changed_at(top, path, node, change)
            if new != raw:
                yield f"element {'/'.join(map(str, path)) or 'top'} {change}", new
    if (other := other_signature(raw)) is not None:
        yield "the other s", other


def other_signature(raw: bytes) -> bytes | None:
    """ECDSA's second signature for the same message and key: n - s in place of s. None if it is no signature."""
    try:
        r, s = decode_dss_signature(raw)
    except ValueError:
        return None
    bits = 256 if max(r, s).bit_length() <= 256 else 384
    return encode_dss_signature(r, ORDERS[bits] - s) if 0 < s < ORDERS[bits] else None
