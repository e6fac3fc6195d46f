"""Inclusion proofs with their checkpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import RejectedError
from bundler.identity.keys import parse_spki
from bundler.moment import Window
from bundler.transparency.checkpoint import Witness
from bundler.transparency.log import TransparencyLog
from bundler.transparency.proof import InclusionProof, open_inclusion
from tests.simulators.log_tree import Tree, checkpoint_text, cosignature_line, signature_line, signed_checkpoint
from tests.simulators.sigstore_keys import AT, START, key_source

KEYS = key_source("proof")
KEY = KEYS(ec.SECP256R1())
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
LOG = TransparencyLog("https://rekor.example.org", bytes(32), parse_spki(SPKI), Window(START))
ORIGIN = "rekor.example.org - 5"
TREE = Tree([f"entry {number}".encode() for number in range(11)])
INDEX = 6
BODY = TREE.bodies[INDEX]
PROOF = InclusionProof(INDEX, TREE.root, 11, TREE.path(INDEX), signed_checkpoint(ORIGIN, 11, TREE.root, KEY).encode())


def refused(code: str, body: bytes = BODY, **changed: Any) -> None:
    with pytest.raises(RejectedError) as error:
        open_inclusion(body, replace(PROOF, **changed), LOG)
    assert error.value.code == code


def test_good() -> None:
    found = open_inclusion(BODY, PROOF, LOG)
    assert (found.body, found.log_index, found.tree_size, found.root_hash) == (BODY, INDEX, 11, TREE.root)
    assert (found.log, found.checkpoint.tree_id, found.checkpoint.origin) == (LOG, 5, ORIGIN)


def test_a_tree_of_one() -> None:
    tree = Tree([b"only"])
    proof = InclusionProof(0, tree.root, 1, (), signed_checkpoint(ORIGIN, 1, tree.root, KEY).encode())
    assert open_inclusion(b"only", proof, LOG).tree_size == 1


def test_witnesses_are_told() -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    text = checkpoint_text(ORIGIN, 11, TREE.root)
    raw = f"{text}\n{signature_line(text, KEY, 'rekor.example.org')}{cosignature_line(text, key, 'w', AT)}".encode()
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    found = open_inclusion(BODY, replace(PROOF, checkpoint=raw), LOG, [Witness("w", parse_spki(spki))])
    assert [(seen.witness, seen.at) for seen in found.checkpoint.witnesses] == [("w", AT)]


def test_no_checkpoint() -> None:
    refused("checkpoint", checkpoint=None)


def test_another_body() -> None:
    refused("inclusion-proof", BODY + b" ")
    refused("inclusion-proof", TREE.bodies[5])


@pytest.mark.parametrize("index", [0, 5, 7, 10, 11, 2**62])
def test_another_place(index: int) -> None:
    refused("inclusion-proof", log_index=index)


@pytest.mark.parametrize("size", [0, 1, 10, 12])
def test_a_size_that_the_checkpoint_does_not_have(size: int) -> None:
    refused("inclusion-proof", tree_size=size)


def test_a_root_hash_that_the_checkpoint_does_not_have() -> None:
    refused("inclusion-proof", root_hash=bytes(32))


def test_path_too_short_and_too_long() -> None:
    refused("inclusion-proof", hashes=PROOF.hashes[:-1])
    refused("inclusion-proof", hashes=(*PROOF.hashes, bytes(32)))
    refused("inclusion-proof", hashes=())


def test_an_older_checkpoint_with_a_newer_path() -> None:
    old = Tree(TREE.bodies[:10])
    checkpoint = signed_checkpoint(ORIGIN, 10, old.root, KEY).encode()
    refused("inclusion-proof", checkpoint=checkpoint)
    refused("inclusion-proof", checkpoint=checkpoint, tree_size=10, root_hash=old.root)


def test_a_whole_proof_of_another_log() -> None:
    """A tree of the attacker's own: everything fits, but for the signature."""
    other = KEYS(ec.SECP256R1())
    refused("checkpoint-signature", checkpoint=signed_checkpoint(ORIGIN, 11, TREE.root, other).encode())
    refused("checkpoint-origin", checkpoint=signed_checkpoint("log.example.com", 11, TREE.root, KEY).encode())


def test_a_malformed_checkpoint() -> None:
    refused("checkpoint", checkpoint=b"rekor")


@settings(derandomize=True, deadline=None)
@given(st.integers(0, len(PROOF.hashes) * 256 - 1))
def test_any_flipped_bit_of_the_path(bit: int) -> None:
    hashes = [bytearray(item) for item in PROOF.hashes]
    hashes[bit // 256][bit % 256 // 8] ^= 1 << bit % 8
    refused("inclusion-proof", hashes=tuple(map(bytes, hashes)))
