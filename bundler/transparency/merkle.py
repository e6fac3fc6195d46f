"""Merkle trees of logs: inclusion and consistency (RFC 6962 section 2.1, in the words of RFC 9162 section 2.1).

Rules of this module:
- A proof has exactly the hashes that its place and size ask for, each of 32 bytes: not one fewer, not one more.
- Sizes and places are those of a tree that exists: 1 <= size < 2^63, place < size. From an empty tree nothing follows.
- Leaves and nodes are hashed under different prefixes, so that neither can stand for the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

from bundler.errors import RejectedError

HASH_BYTES = 32
SIZE_MAX = 2**63 - 1
PATH_MAX = 63  # hashes of an inclusion proof in the largest tree


def leaf_hash(body: bytes) -> bytes:
    """Hash of an entry as a leaf (RFC 9162 section 2.1.1)."""
    return sha256(b"\0" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node (RFC 9162 section 2.1.1)."""
    return sha256(b"\1" + left + right).digest()


def root_from_inclusion(leaf: bytes, index: int, tree_size: int, hashes: Sequence[bytes]) -> bytes:
    """The root hash that an inclusion proof leads to (RFC 9162 section 2.1.3.2).

    Args:
        leaf: the leaf's hash, 32 bytes.
        index: the leaf's place, from 0.
        tree_size: leaves of the tree.
        hashes: the path, from the leaf upwards.

    Raises:
        RejectedError: no proof has this shape (code ``inclusion-proof``).
    """
    if not 0 <= index < tree_size <= SIZE_MAX:
        raise _no_inclusion(f"place {index} in a tree of {tree_size}", "a place inside the tree")
    _check_hashes("inclusion-proof", "inclusion proof", [leaf, *hashes])
    reached = leaf
    for sibling, is_left in _climb(index, tree_size - 1, hashes, _no_inclusion):
        reached = node_hash(sibling, reached) if is_left else node_hash(reached, sibling)
    return reached


def verify_inclusion(leaf: bytes, index: int, tree_size: int, hashes: Sequence[bytes], root_hash: bytes) -> None:
    """Check that a leaf stands at `index` in the tree of `tree_size` leaves with this root hash.

    Raises:
        RejectedError: code ``inclusion-proof``.
    """
    reached = root_from_inclusion(leaf, index, tree_size, hashes)
    if reached != root_hash:
        raise _no_inclusion(f"a path to {reached.hex()}", f"root hash {root_hash.hex()}")


def verify_consistency(old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Check that the newer tree begins with all leaves of the older one (RFC 9162 section 2.1.4.2).

    Args:
        old_size: leaves of the older tree; at least 1, since the empty tree proves nothing.
        new_size: leaves of the newer tree.
        proof: empty exactly when the sizes are equal.
        old_root: root hash of the older tree.
        new_root: root hash of the newer tree.

    Raises:
        RejectedError: code ``consistency-proof``.
    """
    if not 1 <= old_size <= new_size <= SIZE_MAX:
        raise _no_consistency(f"trees of {old_size} and {new_size}", "a tree that is not empty, and one as large")
    if old_size == new_size:
        if proof or old_root != new_root:
            raise _no_consistency("two trees of one size", "one root hash and no proof")
        return
    _check_hashes("consistency-proof", "consistency proof", [old_root, new_root, *proof])
    path = list(proof)
    if old_size & (old_size - 1) == 0:  # the older tree is a whole subtree of the newer one
        path.insert(0, old_root)
    reached_old, reached_new = _walk_consistency(old_size - 1, new_size - 1, path)
    if reached_old != old_root or reached_new != new_root:
        raise _no_consistency("a path to other root hashes", f"{old_root.hex()} and {new_root.hex()}")


def _walk_consistency(place: int, last: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    while place & 1:
        place >>= 1
        last >>= 1
    if not path:
        raise _no_consistency("no hashes", "some")
    reached_old = reached_new = path[0]
    for sibling, is_left in _climb(place, last, path[1:], _no_consistency):
        if is_left:
            reached_old = node_hash(sibling, reached_old)
        reached_new = node_hash(sibling, reached_new) if is_left else node_hash(reached_new, sibling)
    return reached_old, reached_new


def _climb(
    place: int, last: int, path: Sequence[bytes], refuse: Callable[[str, str], RejectedError]
) -> Iterator[tuple[bytes, bool]]:
    """The way from a place to the root: each sibling, and whether it stands on the left (RFC 9162, 2.1.3.2, 2.1.4).

    Raises what `refuse` gives, when the path is longer or shorter than the way.
    """
    for sibling in path:
        if last == 0:
            raise refuse("too many hashes", "fewer")
        is_left = bool(place & 1) or place == last
        yield sibling, is_left
        while is_left and not place & 1 and place:
            place >>= 1
            last >>= 1
        place >>= 1
        last >>= 1
    if last:
        raise refuse("too few hashes", "more")


def _check_hashes(code: str, what: str, hashes: Sequence[bytes]) -> None:
    for item in hashes:
        if len(item) != HASH_BYTES:
            raise RejectedError(code, what, got=f"a hash of {len(item)} bytes", want=f"{HASH_BYTES} bytes")


def _no_inclusion(got: str, want: str) -> RejectedError:
    return RejectedError("inclusion-proof", "inclusion proof", got=got, want=want)


def _no_consistency(got: str, want: str) -> RejectedError:
    return RejectedError("consistency-proof", "consistency proof", got=got, want=want)
