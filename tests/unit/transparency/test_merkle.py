"""Merkle proofs: every size of a tree of our own, the vectors of others, and every flipped bit."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import RejectedError
from bundler.transparency.merkle import SIZE_MAX, leaf_hash, root_from_inclusion, verify_consistency, verify_inclusion
from tests.simulators.log_tree import consistency_path, inclusion_path, leaf, root_of

LEAVES = [leaf(f"entry {number}".encode()) for number in range(33)]
INCLUSION, CONSISTENCY = "inclusion-proof", "consistency-proof"


def refused(code: str, call: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(RejectedError) as error:
        call(*arguments)
    assert error.value.code == code


def flipped(raw: bytes, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("size", range(1, 34))
def test_every_leaf_of_every_tree(size: int) -> None:
    leaves = LEAVES[:size]
    root = root_of(leaves)
    for index in range(size):
        path = inclusion_path(index, leaves)
        verify_inclusion(leaf_hash(f"entry {index}".encode()), index, size, path, root)
        assert root_from_inclusion(leaves[index], index, size, path) == root
        for other in range(size + 2):
            if other != index:
                refused(INCLUSION, verify_inclusion, leaves[index], other, size, path, root)


@pytest.mark.parametrize("size", range(1, 34))
def test_every_older_tree(size: int) -> None:
    leaves = LEAVES[:size]
    for old in range(1, size + 1):
        proof = consistency_path(old, leaves)
        verify_consistency(old, size, proof, root_of(leaves[:old]), root_of(leaves))
        refused(CONSISTENCY, verify_consistency, old, size, [*proof, leaves[0]], root_of(leaves[:old]), root_of(leaves))
        if proof:
            short = proof[:-1]
            refused(CONSISTENCY, verify_consistency, old, size, short, root_of(leaves[:old]), root_of(leaves))


def test_a_node_is_no_leaf() -> None:
    """The hash of an inner node does not pass as an entry (second preimage)."""
    pair = LEAVES[0] + LEAVES[1]
    assert leaf_hash(pair) != root_of(LEAVES[:2])


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (0, -1), (0, SIZE_MAX + 1), (SIZE_MAX, SIZE_MAX)])
def test_no_such_place(index: int, size: int) -> None:
    refused(INCLUSION, verify_inclusion, LEAVES[0], index, size, [], LEAVES[0])


def test_a_huge_tree_needs_a_whole_path() -> None:
    refused(INCLUSION, verify_inclusion, LEAVES[0], 0, SIZE_MAX, LEAVES[:1], LEAVES[0])
    refused(INCLUSION, verify_inclusion, LEAVES[0], 0, 2, LEAVES * 100, LEAVES[0])


@pytest.mark.parametrize("position", [0, 1, 2])
def test_hashes_have_32_bytes(position: int) -> None:
    path = inclusion_path(4, LEAVES[:8])
    path[position] += b"\0"
    refused(INCLUSION, verify_inclusion, LEAVES[4], 4, 8, path, root_of(LEAVES[:8]))
    proof = consistency_path(3, LEAVES[:8])
    proof[position] = proof[position][:-1]
    refused(CONSISTENCY, verify_consistency, 3, 8, proof, root_of(LEAVES[:3]), root_of(LEAVES[:8]))


@pytest.mark.parametrize(("old", "new"), [(0, 1), (0, 0), (3, 2), (-1, 2), (1, SIZE_MAX + 1)])
def test_no_such_history(old: int, new: int) -> None:
    refused(CONSISTENCY, verify_consistency, old, new, [], LEAVES[0], LEAVES[0])


def test_a_tree_is_consistent_with_itself_only() -> None:
    verify_consistency(5, 5, [], LEAVES[0], LEAVES[0])
    refused(CONSISTENCY, verify_consistency, 5, 5, [], LEAVES[0], LEAVES[1])
    refused(CONSISTENCY, verify_consistency, 5, 5, [LEAVES[0]], LEAVES[0], LEAVES[0])


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.data())
def test_any_flipped_bit_breaks_inclusion(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 33))
    index = data.draw(st.integers(0, size - 1))
    leaves, path = LEAVES[:size], inclusion_path(index, LEAVES[:size])
    values = [leaves[index], root_of(leaves), *path]
    bit = data.draw(st.integers(0, len(values) * 256 - 1))
    values[bit // 256] = flipped(values[bit // 256], bit % 256)
    refused(INCLUSION, verify_inclusion, values[0], index, size, values[2:], values[1])
    place = index ^ 1 << data.draw(st.integers(0, 62))
    refused(INCLUSION, verify_inclusion, leaves[index], place, size, path, root_of(leaves))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.data())
def test_any_flipped_bit_breaks_consistency(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 33))
    old = data.draw(st.integers(1, size - 1))
    leaves = LEAVES[:size]
    values = [root_of(leaves[:old]), root_of(leaves), *consistency_path(old, leaves)]
    bit = data.draw(st.integers(0, len(values) * 256 - 1))
    values[bit // 256] = flipped(values[bit // 256], bit % 256)
    refused(CONSISTENCY, verify_consistency, old, size, values[2:], values[0], values[1])


def decoded(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def test_vectors_of_others(shared: Path) -> None:
    """transparency-dev/merkle: 196 cases."""
    files = sorted((shared / "vectors" / "merkle").rglob("*.json"))
    assert len(files) == 196
    for file in files:
        case = json.loads(file.read_bytes())
        proof = [decoded(item) for item in case["proof"] or []]
        if "leafIdx" in case:
            code, call = INCLUSION, verify_inclusion
            place = (decoded(case["leafHash"]), case["leafIdx"], case["treeSize"], proof, decoded(case["root"]))
        else:
            code, call = CONSISTENCY, verify_consistency  # type: ignore[assignment]
            roots = (decoded(case["root1"]), decoded(case["root2"]))
            place = (case["size1"], case["size2"], proof, *roots)  # type: ignore[assignment]
        if case["wantErr"]:
            refused(code, call, *place)
        else:
            call(*place)
