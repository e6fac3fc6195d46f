"""Checkpoints: signed by the log, under its name, with its key hash; witnesses told by name and time."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import MalformedError, RejectedError
from bundler.identity.keys import parse_spki
from bundler.moment import Window
from bundler.transparency.checkpoint import (
    Checkpoint,
    Cosignature,
    VerifiedCheckpoint,
    Witness,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
)
from bundler.transparency.log import TransparencyLog, note_key_id
from tests.simulators.log_tree import (
    checkpoint_text,
    cosignature_line,
    key_hash,
    leaf,
    signature_line,
    signed_checkpoint,
)
from tests.simulators.sigstore_keys import AT, START, PrivateKey, key_source

KEYS = key_source("checkpoint")
KEY, OTHER = KEYS(ec.SECP256R1()), KEYS(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WITNESS = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
RSA = rsa.generate_private_key(65537, 2048)

HOST = "rekor.example.org"
ORIGIN = f"{HOST} - 1193050959916656506"
ROOT = leaf(b"root")
TEXT = checkpoint_text(ORIGIN, 9, ROOT, "Timestamp: 1689177396617352539")


def spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def log(key: PrivateKey = KEY, url: str = f"https://{HOST}", log_id: bytes = bytes(32)) -> TransparencyLog:
    return TransparencyLog(url, log_id, parse_spki(spki(key)), Window(START))


def note(*lines: str, text: str = TEXT) -> bytes:
    return (text + "\n" + "".join(lines)).encode()


def opened(raw: bytes, by: PrivateKey = KEY, *witnesses: Witness) -> VerifiedCheckpoint:
    return open_checkpoint(raw, log(by), witnesses)


def refused(raw: bytes, code: str, by: PrivateKey = KEY, *witnesses: Witness) -> None:
    with pytest.raises(RejectedError) as error:
        opened(raw, by, *witnesses)
    assert error.value.code == code


OWN = signature_line(TEXT, KEY, HOST)
SEEN = cosignature_line(TEXT, WITNESS, "witness.example", AT)
KNOWN = Witness("witness.example", parse_spki(spki(WITNESS)))


def test_good_of_rekor_1() -> None:
    found = opened(note(OWN))
    assert (found.origin, found.tree_size, found.root_hash) == (ORIGIN, 9, ROOT)
    assert found.tree_id == 1193050959916656506
    assert found.witnesses == ()


def test_good_of_rekor_2() -> None:
    found = opened(signed_checkpoint(HOST, 9, ROOT, ED25519).encode(), ED25519)
    assert (found.origin, found.tree_id) == (HOST, None)


@pytest.mark.parametrize("key", [KEY, ED25519, RSA], ids=["ECDSA", "Ed25519", "RSA"])
@pytest.mark.parametrize("origin", [ORIGIN, HOST])
def test_every_kind_of_key(key: PrivateKey, origin: str) -> None:
    assert opened(signed_checkpoint(origin, 9, ROOT, key).encode(), key).tree_size == 9


@pytest.mark.parametrize("key", [ED25519, RSA], ids=["Ed25519", "RSA"])
def test_rekor_1_writes_the_hash_of_the_key_for_every_kind(key: PrivateKey) -> None:
    digest = parse_spki(spki(key)).fingerprint.hex
    assert opened(note(signature_line(TEXT, key, HOST, hint=bytes.fromhex(digest)[:4])), key).tree_size == 9


@pytest.mark.parametrize("key", [ED25519, RSA], ids=["Ed25519", "RSA"])
def test_an_id_of_name_and_key_tells_whether_the_port_belongs_to_the_name(key: PrivateKey) -> None:
    """C2SP signed-note: the key id holds the name, so that a log has one."""
    for name, other in (("localhost:8000", "localhost"), ("localhost", "localhost:8000")):
        log_id = note_key_id(name, parse_spki(spki(key)))
        for address, expected in (
            ("http://localhost:8000", name), ("http://localhost:8000/api", name), ("http://localhost", "localhost"),
            ("http://localhost:80", "localhost"), ("http://localhost:8000.example", "localhost:8000.example"),
        ):  # fmt: skip
            one = log(key, address, log_id)
            assert one.host == expected
            raw = {origin: signed_checkpoint(origin, 9, ROOT, key).encode() for origin in (expected, other)}
            assert open_checkpoint(raw[expected], one).tree_size == 9
            if expected != other:
                with pytest.raises(RejectedError) as error:
                    open_checkpoint(raw[other], one)
                assert error.value.code == "checkpoint-origin"


def test_an_id_of_the_key_alone_means_the_host_without_its_port() -> None:
    """ECDSA: as sigstore-go takes the origin from a log's address; with the port it would be a second name."""
    key = parse_spki(spki(KEY))
    one = log(url="https://rekor.example.org:3003", log_id=note_key_id("any", key))
    assert one.log_id == hashlib.sha256(key.spki).digest()
    assert open_checkpoint(signed_checkpoint(HOST, 9, ROOT, KEY).encode(), one).origin == HOST
    with pytest.raises(RejectedError) as error:
        open_checkpoint(signed_checkpoint(f"{HOST}:3003", 9, ROOT, KEY).encode(), one)
    assert error.value.code == "checkpoint-origin"


@pytest.mark.parametrize("lines", [(SEEN, OWN), (OWN, SEEN), (signature_line(TEXT, OTHER, HOST), OWN)])
def test_the_logs_line_stands_anywhere_among_others(lines: tuple[str, ...]) -> None:
    """Also beside another key's line under the same name (a log that rotates its key)."""
    assert opened(note(*lines)).witnesses == ()


def test_only_lines_of_others() -> None:
    refused(note(SEEN), "checkpoint-signature")
    refused(note(SEEN), "checkpoint-signature", KEY, KNOWN)
    refused(note(signature_line(TEXT, OTHER, HOST)), "checkpoint-signature")


def test_a_key_hash_is_only_a_hint() -> None:
    refused(note(signature_line(TEXT, OTHER, HOST, hint=key_hash(KEY, HOST))), "checkpoint-signature")


def test_a_sound_signature_under_another_key_hash() -> None:
    refused(note(signature_line(TEXT, KEY, HOST, hint=b"\0\0\0\0")), "checkpoint-signature")


@pytest.mark.parametrize("name", ["rekor.example.com", "Rekor.example.org", "rekor.example.org.", HOST + "\u200b", "x"])
def test_the_name_of_a_signature_is_compared(name: str) -> None:
    """Names are not signed: a verifier that skips them accepts any (THREATS F14)."""
    refused(note(signature_line(TEXT, KEY, name, hint=key_hash(KEY, HOST))), "checkpoint-signature")


def test_a_bad_line_of_the_log_beside_a_good_one() -> None:
    key = ED25519
    bad = signature_line(TEXT + "x\n", key, HOST, hint=bytes.fromhex(parse_spki(spki(key)).fingerprint.hex)[:4])
    refused(note(signature_line(TEXT, key, HOST), bad), "checkpoint-signature", key)


def test_two_lines_of_one_signer() -> None:
    refused(note(OWN, OWN), "checkpoint")


@pytest.mark.parametrize(
    "origin",
    [
        "log.example.com",
        f"{HOST} ",
        f"{HOST} - ",
        f"{HOST} - x",
        f"{HOST} - 0",
        f"{HOST} - 01",
        f"{HOST} - -1",
        f"{HOST} - 11930509599166565061",
        f"{HOST}- 1",
        f"{HOST} - 1 - 2",
        f"a {HOST} - 1",
    ],
)
def test_other_origins(origin: str) -> None:
    text = checkpoint_text(origin, 9, ROOT)
    refused(note(signature_line(text, KEY, HOST), text=text), "checkpoint-origin")


def test_of_another_shard_is_still_of_the_log() -> None:
    assert opened(signed_checkpoint(f"{HOST} - 7", 9, ROOT, KEY).encode()).tree_id == 7


@settings(derandomize=True, deadline=None)
@given(st.data())
def test_any_flipped_bit(data: st.DataObject) -> None:
    raw = bytearray(note(OWN))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RejectedError):
        opened(bytes(raw))


def test_witnesses_are_told() -> None:
    second = cosignature_line(TEXT, ED25519, "second.example/w", datetime(2026, 5, 1, tzinfo=UTC))
    raw = note(SEEN, OWN, second)
    known = Witness("second.example/w", parse_spki(spki(ED25519)))
    assert opened(raw, KEY, KNOWN).witnesses == (Cosignature("witness.example", AT),)
    assert [seen.witness for seen in opened(raw, KEY, KNOWN, known).witnesses] == [KNOWN.name, known.name]


def test_a_witness_that_is_not_there_or_not_known() -> None:
    assert opened(note(OWN), KEY, KNOWN).witnesses == ()
    assert opened(note(OWN, SEEN), KEY, Witness("witness.example", parse_spki(spki(ED25519)))).witnesses == ()
    assert opened(note(OWN, SEEN), KEY, Witness("other.example", KNOWN.key)).witnesses == ()
    assert opened(note(OWN, SEEN), KEY, Witness("witness.example", parse_spki(spki(KEY)))).witnesses == ()


def test_one_witness_under_two_names_is_one() -> None:
    """The name is not signed: anybody can write the same cosignature down again under the other one."""
    again = cosignature_line(TEXT, WITNESS, "alias.example", AT)
    alias = Witness("alias.example", KNOWN.key)
    assert len(opened(note(OWN, SEEN, again), KEY, KNOWN, alias).witnesses) == 1
    assert opened(note(OWN, again), KEY, KNOWN, alias).witnesses == (Cosignature("alias.example", AT),)


def test_a_log_is_no_witness_of_itself() -> None:
    text = checkpoint_text(HOST, 9, ROOT)
    raw = note(signature_line(text, ED25519, HOST), cosignature_line(text, ED25519, HOST, AT), text=text)
    assert opened(raw, ED25519, Witness(HOST, parse_spki(spki(ED25519)))).witnesses == ()


def cosignature(raw: bytes) -> str:
    return f"\u2014 witness.example {base64.b64encode(raw).decode()}\n"


def test_a_cosignature_that_does_not_hold() -> None:
    """Ignored while the witness is unknown; a refusal once it is known."""
    raw = base64.b64decode(SEEN.split()[-1])
    later = raw[:4] + (int.from_bytes(raw[4:12], "big") + 1).to_bytes(8, "big") + raw[12:]
    for bad in (later, raw[:-1], raw + b"x", raw[:4] + b"\xff" * 8 + raw[12:], raw[:-1] + bytes([raw[-1] ^ 1])):
        assert opened(note(OWN, cosignature(bad))).witnesses == ()
        refused(note(OWN, cosignature(bad)), "checkpoint-signature", KEY, KNOWN)


def test_a_plain_signature_of_a_witness_is_no_cosignature() -> None:
    assert opened(note(OWN, signature_line(TEXT, WITNESS, "witness.example")), KEY, KNOWN).witnesses == ()


GOOD = checkpoint_text(HOST, 9, ROOT).encode()
B64 = base64.b64encode(ROOT)

LINES = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=20)


@settings(derandomize=True, deadline=None)
@given(LINES, st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32), st.lists(LINES, max_size=3))
def test_round_trip(origin: str, size: int, root: bytes, extensions: list[str]) -> None:
    checkpoint = Checkpoint(origin, size, root, tuple(extensions))
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        GOOD[:-1],
        GOOD.partition(B64)[0],
        b"\n" + GOOD,
        GOOD + b"\n",
        GOOD + b"\nx\n",
        GOOD.replace(b"\n9\n", b"\n09\n"),
        GOOD.replace(b"\n9\n", b"\n+9\n"),
        GOOD.replace(b"\n9\n", b"\n-9\n"),
        GOOD.replace(b"\n9\n", b"\n 9\n"),
        GOOD.replace(b"\n9\n", b"\n9.0\n"),
        GOOD.replace(b"\n9\n", "\n\u0669\n".encode()),
        GOOD.replace(b"\n9\n", b"\n9223372036854775808\n"),
        GOOD.replace(b"\n9\n", b"\n" + b"9" * 5000 + b"\n"),
        GOOD.replace(B64, base64.b64encode(ROOT[:-1])),
        GOOD.replace(B64, base64.b64encode(ROOT + b"x")),
        GOOD.replace(HOST.encode(), b"\xff"),
    ],
)
def test_other_texts(text: bytes) -> None:
    with pytest.raises(MalformedError) as error:
        parse_checkpoint(text)
    assert error.value.code == "checkpoint"


@pytest.mark.parametrize("root", [B64[:-1], B64 + b" ", B64.replace(b"=", b""), b"*" * 44])
def test_base64_has_one_spelling(root: bytes) -> None:
    with pytest.raises(MalformedError) as error:
        parse_checkpoint(GOOD.replace(B64, root))
    assert error.value.code == "base64"
