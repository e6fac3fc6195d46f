"""`TransparencyLogEntry`: as others write it, and as our blob."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.errors import MalformedError, SealiftError
from bundler.fields import Fields
from bundler.transparency.log import find_log
from bundler.transparency.log_entry import (
    TransparencyLogEntry,
    format_log_entry,
    parse_log_entry,
    parse_log_entry_bytes,
)
from bundler.transparency.promise import Promise, open_promise
from bundler.transparency.proof import InclusionProof, open_inclusion
from bundler.verify.material import parse_trusted_root

HASH = bytes(range(32))
ENTRY = TransparencyLogEntry(
    log_index=123,
    log_id=HASH,
    kind="hashedrekord",
    version="0.0.1",
    integrated_time=1_700_000_000,
    signed_entry_timestamp=b"promise",
    proof=InclusionProof(100, HASH, 200, (HASH, HASH[::-1]), "log - 1\n200\nroot\n\n\u2014 log abcdefgh\n".encode()),
    body=b'{"kind":"hashedrekord"}',
)
RAW = format_log_entry(ENTRY)
VALUE = json.loads(RAW)


def parsed(value: Any) -> TransparencyLogEntry:
    return parse_log_entry(Fields(value, "entry"))


def having(path: str, value: Any) -> Any:
    """VALUE with one field replaced; `...` removes it."""
    changed = copy.deepcopy(VALUE)
    *parents, last = path.split(".")
    place = changed
    for name in parents:
        place = place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return changed


def test_one_spelling() -> None:
    assert json.dumps(VALUE, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == RAW
    assert parse_log_entry_bytes(RAW) == parsed(VALUE) == ENTRY
    assert VALUE["logIndex"] == "123"
    assert VALUE["inclusionProof"]["treeSize"] == "200"


SIGNED_64 = st.integers(0, 2**63 - 1)
HASHES = st.binary(min_size=32, max_size=32)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PROOFS = st.builds(
    InclusionProof,
    SIGNED_64,
    HASHES,
    SIGNED_64,
    st.lists(HASHES, max_size=4).map(tuple),
    st.none() | TEXT.map(str.encode),
)
ENTRIES = st.builds(
    TransparencyLogEntry,
    log_index=SIGNED_64,
    log_id=st.binary(min_size=1, max_size=64),
    kind=TEXT.filter(bool),
    version=TEXT.filter(bool),
    integrated_time=st.none() | st.integers(1, 253_402_300_799),
    signed_entry_timestamp=st.none() | st.binary(min_size=1, max_size=80),
    proof=st.none() | PROOFS,
    body=st.binary(min_size=1, max_size=80),
)


@settings(derandomize=True, deadline=None)
@given(ENTRIES)
def test_round_trip(entry: TransparencyLogEntry) -> None:
    assert parse_log_entry_bytes(format_log_entry(entry)) == entry


def test_the_promise_of_an_entry() -> None:
    assert ENTRY.promise == Promise(ENTRY.body, 1_700_000_000, HASH, 123, b"promise")
    assert parsed(having("inclusionPromise", ...)).promise is None
    assert parsed(having("integratedTime", ...)).promise is None
    assert parsed(having("integratedTime", "0")).promise is None


@pytest.mark.parametrize("path", ["logIndex", "inclusionProof.logIndex", "inclusionProof.treeSize", "integratedTime"])
def test_numbers_as_others_write_them(path: str) -> None:
    """Protobuf JSON: strings; JSON integers are allowed; zero may be left out."""
    assert parsed(having(path, "17")) == parsed(having(path, 17))
    assert parsed(having(path, "0")) == parsed(having(path, 0)) == parsed(having(path, ...))
    assert parsed(having(path, None)) == parsed(having(path, ...))


@pytest.mark.parametrize("path", ["logIndex", "inclusionProof.logIndex", "inclusionProof.treeSize", "integratedTime"])
@pytest.mark.parametrize(
    "value",
    [
        *("", "01", "+1", "-1", " 1", "1 ", "1.0", "1e3", "0x1", "\u0661", "9223372036854775808", "9" * 4999),
        *(-1, 2**63, True, 1.0, [], {}),
    ],
)
def test_numbers_of_no_one_meaning(path: str, value: Any) -> None:
    with pytest.raises(MalformedError):
        parsed(having(path, value))


def test_a_time_beyond_the_calendar() -> None:
    assert parsed(having("integratedTime", "253402300799")).integrated_time == 253_402_300_799
    with pytest.raises(MalformedError):
        parsed(having("integratedTime", "253402300800"))


def test_what_protobuf_leaves_out() -> None:
    assert parsed(having("inclusionProof.hashes", ...)) == parsed(having("inclusionProof.hashes", []))
    proof = parsed(having("inclusionProof.checkpoint", ...)).proof
    assert proof is not None
    assert proof.checkpoint is None
    assert parsed(having("inclusionProof", ...)).proof is None


@pytest.mark.parametrize(
    "path", ["inclusionProof", "inclusionPromise", "inclusionProof.checkpoint", "inclusionProof.hashes"]
)
def test_null_is_absent(path: str) -> None:
    """As npm's registry writes entries without a proof."""
    assert parsed(having(path, None)) == parsed(having(path, ...))


@pytest.mark.parametrize(
    "path",
    [
        *("logId", "logId.keyId", "kindVersion", "kindVersion.kind", "kindVersion.version", "canonicalizedBody"),
        *("inclusionPromise.signedEntryTimestamp", "inclusionProof.rootHash", "inclusionProof.checkpoint.envelope"),
    ],
)
@pytest.mark.parametrize("value", [..., None, 1, []])
def test_what_must_be_there(path: str, value: Any) -> None:
    with pytest.raises(MalformedError) as error:
        parsed(having(path, value))
    assert error.value.code in {"field-missing", "field-type"}


@pytest.mark.parametrize(
    "path",
    ["x", "logId.x", "kindVersion.x", "inclusionPromise.x", "inclusionProof.x", "inclusionProof.checkpoint.x"],
)
def test_unknown_fields(path: str) -> None:
    with pytest.raises(MalformedError) as error:
        parsed(having(path, "1"))
    assert error.value.code == "field-unknown"


@pytest.mark.parametrize(
    "path",
    ["logId.keyId", "canonicalizedBody", "inclusionPromise.signedEntryTimestamp", "inclusionProof.rootHash"],
)
@pytest.mark.parametrize("text", ["", "YQ", "YR==", "Y Q==", "YQ==\n", "_-8=", "YQ==YQ==", "\u00e4"])
def test_base64_has_one_spelling(path: str, text: str) -> None:
    with pytest.raises(MalformedError) as error:
        parsed(having(path, text))
    assert error.value.code in {"base64", "field-value"}


def test_hashes_have_32_bytes_and_a_bound() -> None:
    good = VALUE["inclusionProof"]["hashes"][0]
    for bad in (["YQ=="], [good, "YQ=="], [good, None], [good] * 64):
        with pytest.raises(MalformedError):
            parsed(having("inclusionProof.hashes", bad))
    with pytest.raises(MalformedError):
        parsed(having("inclusionProof.rootHash", "YQ=="))


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (RAW + b"\n", "not-canonical"),
        (RAW.replace(b":", b": ", 1), "not-canonical"),
        (RAW.replace(b'"123"', b"123"), "not-canonical"),
        (RAW.replace(b'"1700000000"', b'"0"'), "not-canonical"),
        (RAW.replace("\u2014".encode(), b"\\u2014"), "not-canonical"),
        (RAW.replace(b'"kind"', b'"\\u006bind"'), "not-canonical"),
        (RAW[:-1] + b',"logIndex":"123"}', "json-duplicate-key"),
        (RAW[:-1], "json"),
        (b"[]", "field-type"),
        (b"\xff", "json-encoding"),
        (b" " * (limits.LOG_ENTRY_BLOB_BYTES + 1), "json-size"),
    ],
)
def test_a_blob_in_another_spelling(raw: bytes, code: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_log_entry_bytes(raw)
    assert error.value.code == code


def test_zeros_are_written_where_they_mean_something() -> None:
    raw = format_log_entry(parsed(having("inclusionProof.logIndex", 0)))
    assert b'"logIndex":"0"' in raw
    with pytest.raises(MalformedError):
        parse_log_entry_bytes(raw.replace(b'"logIndex":"0",', b""))


PROVED = {
    "happy-path-v0.1": 23083062,
    "happy-path-v0.3": 75408393,
    "happy-path-intoto-in-dsse-v3": 33786589,
    "managed-key-happy-path": 649584076,
    "intoto-with-custom-trust-root": 1,
    "rekor2-happy-path": 736,
    "rekor2-dsse-happy-path": 4026479,
    "rekor2-checkpoint-cosigned": 736,
    "rekor2-checkpoint-two-sigs-from-origin": 736,
    "trust-root-tsa-validity-end-inclusive": 736,
}
REFUSED = {
    "checkpoint-bad-keyhint_fail": "checkpoint-signature",
    "invalid-inclusion-proof_fail": "checkpoint",
    "rekor2-checkpoint-missing-root-hash_fail": "checkpoint",
    "rekor2-checkpoint-no-matching-signature_fail": "checkpoint-origin",
}


def real_inclusion(shared: Path, name: str) -> int:
    """Opens everything that the one entry of a real bundle has; returns the size of its tree."""
    folder = shared / "real" / "sigstore-bundles" / name
    trusted = folder / "trusted_root.json"
    if not trusted.exists():
        trusted = shared / "real" / "trust" / "trusted_root.public-good.json"
    (value,) = json.loads((folder / "bundle.sigstore.json").read_bytes())["verificationMaterial"]["tlogEntries"]
    entry = parsed(value)
    assert parse_log_entry_bytes(format_log_entry(entry)) == entry
    log = find_log(parse_trusted_root(trusted.read_bytes()).logs, entry.log_id)
    if entry.promise is not None:
        open_promise(entry.promise, [log])
    assert entry.proof is not None
    return open_inclusion(entry.body, entry.proof, log).tree_size


@pytest.mark.parametrize("name", PROVED)
def test_real_entries(shared: Path, name: str) -> None:
    assert real_inclusion(shared, name) == PROVED[name]


@pytest.mark.parametrize("name", REFUSED)
def test_real_entries_that_are_refused(shared: Path, name: str) -> None:
    with pytest.raises(SealiftError) as error:
        real_inclusion(shared, name)
    assert error.value.code == REFUSED[name]
