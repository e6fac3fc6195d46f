"""A log's Merkle tree, written as RFC 9162 section 2.1 defines it (by recursion), and its signed checkpoints.

Nothing here shares code with bundler/transparency: hashes, paths and notes are made anew, so that an error there
cannot hide here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.simulators.sigstore_keys import PrivateKey, sign


def leaf(body: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + body).digest()


def _split(count: int) -> int:
    """Largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def root_of(leaves: Sequence[bytes]) -> bytes:
    """MTH (section 2.1.1) over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = _split(len(leaves))
    return hashlib.sha256(b"\x01" + root_of(leaves[:middle]) + root_of(leaves[middle:])).digest()


def inclusion_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH (section 2.1.3.1)."""
    if len(leaves) == 1:
        return []
    middle = _split(len(leaves))
    if index < middle:
        return [*inclusion_path(index, leaves[:middle]), root_of(leaves[middle:])]
    return [*inclusion_path(index - middle, leaves[middle:]), root_of(leaves[:middle])]


def consistency_path(size: int, leaves: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """PROOF and SUBPROOF (section 2.1.4.1)."""
    if size == len(leaves):
        return [] if whole else [root_of(leaves)]
    middle = _split(len(leaves))
    if size <= middle:
        return [*consistency_path(size, leaves[:middle], whole=whole), root_of(leaves[middle:])]
    return [*consistency_path(size - middle, leaves[middle:], whole=False), root_of(leaves[:middle])]


@dataclass
class Tree:
    """Entries in their order."""

    bodies: list[bytes] = field(default_factory=list)

    @property
    def leaves(self) -> list[bytes]:
        return [leaf(body) for body in self.bodies]

    @property
    def root(self) -> bytes:
        return root_of(self.leaves)

    def path(self, index: int) -> tuple[bytes, ...]:
        return tuple(inclusion_path(index, self.leaves))


def raw_key(key: ed25519.Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def key_hash(key: PrivateKey, name: str) -> bytes:
    """As C2SP signed-note and Rekor say: ECDSA by the key alone, Ed25519 and RSA by name and kind."""
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return hashlib.sha256(spki).digest()[:4]
    if isinstance(key, rsa.RSAPrivateKey):
        return hashlib.sha256(name.encode() + b"\n\xffPKIX-RSA-PKCS#1v1.5" + spki).digest()[:4]
    return hashlib.sha256(name.encode() + b"\n\x01" + raw_key(key)).digest()[:4]


def checkpoint_text(origin: str, size: int, root: bytes, *extensions: str) -> str:
    lines = [origin, str(size), base64.b64encode(root).decode(), *extensions]
    return "".join(f"{line}\n" for line in lines)


def signature_line(text: str, key: PrivateKey, name: str, *, hint: bytes | None = None) -> str:
    raw = (key_hash(key, name) if hint is None else hint) + sign(key, text.encode())
    return f"\u2014 {name} {base64.b64encode(raw).decode()}\n"


def cosignature_line(text: str, key: ed25519.Ed25519PrivateKey, name: str, at: datetime) -> str:
    """A witness's line (C2SP tlog-cosignature)."""
    seconds = int(at.timestamp())
    signature = key.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
    hint = hashlib.sha256(name.encode() + b"\n\x04" + raw_key(key)).digest()[:4]
    return f"\u2014 {name} {base64.b64encode(hint + seconds.to_bytes(8, 'big') + signature).decode()}\n"


def signed_checkpoint(origin: str, size: int, root: bytes, key: PrivateKey, *, name: str | None = None) -> str:
    """A checkpoint as a log writes it; the name is the origin's host unless said otherwise."""
    text = checkpoint_text(origin, size, root)
    return f"{text}\n{signature_line(text, key, name or origin.partition(' - ')[0])}"
