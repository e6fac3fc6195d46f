"""Witnesses' keys: as published, in the keyring, and in what is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bundler.encoding import encode_base64
from bundler.errors import MalformedError
from bundler.evidence.sigstore_bundle import format_bundle
from bundler.verify.keyring import Keyring
from bundler.verify.witness_keys import format_witness, parse_witness
from tests.simulators.claims import IDENTITY, NAME, ROOT, Claims, demand, policy, verdict
from tests.simulators.images import two_platforms
from tests.simulators.sigstore_bundles import V03_NEW, WITNESS, WholeSigstore, statement_bytes

SIGSTORE = WholeSigstore("witness keys")
RAW_KEY = SIGSTORE.witness_key.public_key().public_bytes_raw()
LINE = format_witness(WITNESS, RAW_KEY)


def test_round_trip() -> None:
    assert parse_witness(LINE) == SIGSTORE.witness
    assert parse_witness(LINE.rstrip(b"\n")) == SIGSTORE.witness
    assert LINE.startswith(WITNESS.encode() + b"+")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        LINE + b"\n",
        b" " + LINE,
        LINE.replace(b"+", b" ", 1),
        LINE.replace(b"one", b"two"),
        LINE.replace(LINE.split(b"+")[1], b"00000000"),
        LINE.replace(LINE.split(b"+", 2)[2], encode_base64(b"\x01" + RAW_KEY).encode()),
        LINE.replace(LINE.split(b"+", 2)[2], encode_base64(b"\x04" + RAW_KEY[:-1]).encode()),
    ],
)
def test_anything_else(raw: bytes) -> None:
    with pytest.raises(MalformedError) as error:
        parse_witness(raw)
    assert error.value.code in {"key", "base64"}


def test_in_a_keyring() -> None:
    assert Keyring({}).witnesses == ()
    assert Keyring({"witnesses/one.vkey": LINE, "keys/one.vkey": LINE}).witnesses == (SIGSTORE.witness,)
    with pytest.raises(MalformedError):
        _ = Keyring({"witnesses/one.vkey": b"x"}).witnesses


def test_told_and_demanded(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    signer = SIGSTORE.keyless(IDENTITY)
    layout, top, _ = two_platforms(NAME, attested=False)
    made = SIGSTORE.bundle(statement_bytes(top.digest), signer)
    made = replace(made, entries=(SIGSTORE.cosigned(made.entries[0]),))
    config = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
    layer = layout.blob(format_bundle(made), V03_NEW)
    layout.name(layout.manifest(config, [layer], artifact_type=V03_NEW, subject=top))
    witnessed = policy(demand("signature", log='"witnessed"'))
    claims.targets = {ROOT: SIGSTORE.trusted_root_json()}
    assert verdict(claims.judge(layout, witnessed)) == ("rejected", "log-strength")
    claims.targets["witnesses/one.vkey"] = LINE
    result = claims.judge(layout, witnessed)
    assert verdict(result) == ("verified", "")
    assert result.evidence[0].strength == "signed, inclusion proof, 1 witness"
