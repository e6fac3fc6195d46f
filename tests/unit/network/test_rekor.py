"""Proofs from a Rekor 1: honest, sharded, lying, slow, endless, gone; and the store that keeps them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from bundler.errors import EnvError, MalformedError, RejectedError, SealiftError
from bundler.fields import Fields
from bundler.moment import Window
from bundler.network.access import Access
from bundler.network.log_client import LogClient
from bundler.network.proof_cache import ProofStore, format_kept, parse_kept
from bundler.network.rekor import ProvedEntry, fetch_proof
from bundler.transparency.log import find_log
from bundler.transparency.log_entry import format_log_entry, parse_log_entry, parse_log_entry_bytes
from bundler.transparency.merkle import leaf_hash
from bundler.transparency.promise import Promise, signed_message
from bundler.verify.material import parse_trusted_root
from tests.simulators.rekor import GARBAGE, LIES, PATH, Rekor
from tests.simulators.sigstore_keys import AT, START

FETCHED = datetime(2026, 4, 1, 10, 20, 30, tzinfo=UTC)
LATER = datetime(2026, 5, 1, tzinfo=UTC)
PATIENT = Access(connect_seconds=20, stall_seconds=20, document_seconds=30, retries=1, backoff_seconds=0.01)
HASTY = replace(PATIENT, stall_seconds=0.3, document_seconds=1.0)  # for logs that let us wait


def body(number: int) -> bytes:
    return json.dumps({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {"n": number}}).encode()


@pytest.fixture
def rekor() -> Iterator[Rekor]:
    """Two closed shards of 5 and 3 entries, and the active one with 6."""
    with Rekor() as server:
        for number in range(14):
            if number in {5, 8}:
                server.shard(tree_id=number)
            server.log.promise(body(number), at=AT)
        yield server


@pytest.fixture
def client() -> Iterator[LogClient]:
    made = LogClient(PATIENT, {})
    yield made
    made.close()


@pytest.fixture
def hasty() -> Iterator[LogClient]:
    made = LogClient(HASTY, {})
    yield made
    made.close()


def promise_of(rekor: Rekor, index: int = 10) -> Promise:
    return rekor.entries[index].promise


def fetched(rekor: Rekor, client: LogClient, index: int = 10) -> ProvedEntry:
    return fetch_proof(promise_of(rekor, index), rekor.trusted, client.fetch)


@pytest.mark.parametrize(
    ("index", "place", "size"), [(0, 0, 5), (4, 4, 5), (5, 0, 3), (7, 2, 3), (8, 0, 6), (13, 5, 6)]
)
def test_every_shard(rekor: Rekor, client: LogClient, index: int, place: int, size: int) -> None:
    proved = fetched(rekor, client, index)
    assert (proved.entry.log_index, proved.inclusion.log_index, proved.inclusion.tree_size) == (index, place, size)
    assert proved.inclusion.checkpoint.tree_id == rekor.entries[index].shard.tree_id
    assert (proved.entry.kind, proved.entry.version) == ("hashedrekord", "0.0.1")
    assert proved.entry.promise == promise_of(rekor, index)
    assert rekor.asked == [f"{PATH}?logIndex={index}"]
    assert parse_log_entry_bytes(format_log_entry(proved.entry)) == proved.entry


@pytest.mark.parametrize("honest", ["short-id", "attestation", "busy-once"])
def test_other_honest_answers(rekor: Rekor, client: LogClient, honest: str) -> None:
    rekor.fault = honest
    assert fetched(rekor, client).inclusion.tree_size == 6


def test_a_log_that_does_not_know_the_index_is_asked_by_hash(rekor: Rekor, client: LogClient) -> None:
    rekor.fault = "index-unknown"
    assert fetched(rekor, client, 6).inclusion.log_index == 1
    assert rekor.asked == [f"{PATH}?logIndex=6", f"{PATH}/{rekor.entries[6].uuid[16:]}"]


CODES = {
    "other-entry": "proof-other-entry",
    "other-body": "proof-other-entry",
    "other-time": "proof-other-entry",
    "other-index": "proof-other-entry",
    "other-log": "proof-other-entry",
    "other-id": "proof-other-entry",
    "other-tree": "checkpoint-origin",
    "wrong-root": "inclusion-proof",
    "wrong-size": "inclusion-proof",
    "wrong-place": "inclusion-proof",
    "short-path": "inclusion-proof",
    "long-path": "inclusion-proof",
    "other-path": "inclusion-proof",
    "older-checkpoint": "inclusion-proof",
    "forged-checkpoint": "checkpoint-signature",
    "foreign-checkpoint": "checkpoint-signature",
    "other-origin": "checkpoint-origin",
    "checkpoint-of-another-tree": "checkpoint-origin",
    "torn-checkpoint": "checkpoint",
}


def test_every_lie_has_a_code() -> None:
    assert set(CODES) == set(LIES) - {"short-id", "attestation"}


@pytest.mark.parametrize("lie", CODES)
def test_lies(rekor: Rekor, client: LogClient, lie: str) -> None:
    rekor.fault = lie
    with pytest.raises(RejectedError) as error:
        fetched(rekor, client)
    assert error.value.code == CODES[lie]


@pytest.mark.parametrize("fault", [*GARBAGE, "400", "403", "204", "redirect", "text", "endless"])
def test_no_answer_that_has_a_meaning(rekor: Rekor, client: LogClient, fault: str) -> None:
    rekor.fault = fault
    with pytest.raises(EnvError) as error:
        fetched(rekor, client)
    assert error.value.code == "log-answer"
    assert rekor.log.url in error.value.which
    assert len(rekor.asked) == 1


@pytest.mark.parametrize("fault", ["slow", "silent", "closed", "half", "429", "500", "503"])
def test_no_answer_at_all(rekor: Rekor, client: LogClient, hasty: LogClient, fault: str) -> None:
    rekor.fault = fault
    with pytest.raises(EnvError) as error:
        fetched(rekor, hasty if fault in {"slow", "silent"} else client)
    assert error.value.code == "log-unreachable"
    for _ in range(2000):  # who is hasty may be gone before the log has read what was asked
        if len(rekor.asked) == 2:
            break
        rekor.over.wait(0.01)
    assert len(rekor.asked) == 2  # asked again once


def test_a_log_that_is_gone(client: LogClient) -> None:
    with Rekor() as server:
        server.log.promise(body(0), at=AT)
    with pytest.raises(EnvError) as error:
        fetch_proof(promise_of(server, 0), server.trusted, client.fetch)
    assert error.value.code == "log-unreachable"


def test_a_log_that_does_not_keep_its_promise(rekor: Rekor, client: LogClient) -> None:
    rekor.fault = "404"
    with pytest.raises(RejectedError) as error:
        fetched(rekor, client)
    assert error.value.code == "log-entry-absent"
    assert len(rekor.asked) == 2  # by index and by hash


def test_a_redirect_is_not_followed(rekor: Rekor, client: LogClient) -> None:
    rekor.fault = "redirect"
    with pytest.raises(EnvError):
        fetched(rekor, client)
    assert "/elsewhere" not in rekor.asked


@pytest.mark.parametrize("url", ["ftp://log.example.org", "https://user@log.example.org", "log.example.org", ""])
def test_an_address_that_nobody_can_ask(rekor: Rekor, client: LogClient, url: str) -> None:
    with pytest.raises(EnvError) as error:
        fetch_proof(promise_of(rekor), replace(rekor.trusted, url=url), client.fetch)
    assert error.value.code == "log-answer"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"signature": b"x"}, "set"),
        ({"log_index": 9}, "set"),
        ({"body": b"x"}, "set"),
        ({"log_id": bytes(32)}, "log-unknown"),
    ],
)
def test_a_promise_that_does_not_hold_is_not_asked_about(
    rekor: Rekor, client: LogClient, changed: dict[str, object], code: str
) -> None:
    with pytest.raises(RejectedError) as error:
        fetch_proof(replace(promise_of(rekor), **changed), rekor.trusted, client.fetch)  # type: ignore[arg-type]
    assert error.value.code == code
    assert rekor.asked == []


def test_a_promise_from_outside_the_window(rekor: Rekor, client: LogClient) -> None:
    closed = replace(rekor.trusted, window=Window(START, START))
    with pytest.raises(RejectedError) as error:
        fetch_proof(promise_of(rekor), closed, client.fetch)
    assert error.value.code == "log-window"


def test_the_address_may_end_in_a_slash(rekor: Rekor, client: LogClient) -> None:
    assert fetch_proof(promise_of(rekor), replace(rekor.trusted, url=f"{rekor.log.url}/"), client.fetch)


# The store.


def store(client: LogClient, folder: Path | None, at: datetime = FETCHED) -> ProofStore:
    return ProofStore(client.fetch, at, folder)


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_kept_proof_repeats(rekor: Rekor, client: LogClient, tmp_path: Path) -> None:
    first = store(client, tmp_path).proof_of(promise_of(rekor), rekor.trusted)
    assert kept(tmp_path) == [f"{rekor.log.log_id.hex()}-10.json"]
    rekor.log.promise(b"another one", at=AT)  # the tree has grown: fetched now, the proof would be another one
    again = store(client, tmp_path, LATER).proof_of(promise_of(rekor), rekor.trusted)
    assert (again.raw, again.fetched_at) == (first.raw, FETCHED)
    assert len(rekor.asked) == 1
    fresh = store(client, None, LATER).proof_of(promise_of(rekor), rekor.trusted)
    assert fresh.raw != first.raw
    assert fresh.fetched_at == LATER


def test_a_kept_proof_needs_no_network(rekor: Rekor, client: LogClient, tmp_path: Path) -> None:
    store(client, tmp_path).proof_of(promise_of(rekor), rekor.trusted)
    rekor.fault = "500"
    assert store(client, tmp_path).proof_of(promise_of(rekor), rekor.trusted).fetched_at == FETCHED
    with pytest.raises(EnvError):
        store(client, tmp_path).proof_of(promise_of(rekor, 9), rekor.trusted)
    assert len(kept(tmp_path)) == 1


def test_what_is_kept_has_one_form(rekor: Rekor, client: LogClient, tmp_path: Path) -> None:
    proof = store(client, tmp_path).proof_of(promise_of(rekor), rekor.trusted)
    raw = (tmp_path / kept(tmp_path)[0]).read_bytes()
    assert raw == format_kept(proof)
    assert parse_kept(raw) == (proof.proved.entry, FETCHED)


def damaged(raw: bytes, kind: str, other: bytes) -> bytes:
    value = json.loads(raw)
    entry = json.loads(base64.b64decode(value["entry"]))
    if kind == "proof":
        entry["inclusionProof"]["rootHash"] = base64.b64encode(bytes(32)).decode()
    elif kind == "no-proof":
        del entry["inclusionProof"]
    elif kind == "body":
        entry["canonicalizedBody"] = base64.b64encode(b"{}").decode()
    elif kind == "time":
        entry["integratedTime"] = "1"
    elif kind == "spelling":
        return raw + b"\n"
    elif kind == "cut":
        return raw[: len(raw) // 2]
    elif kind == "empty":
        return b""
    elif kind == "other":
        return other
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    value["entry"] = base64.b64encode(text.encode()).decode()
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize("kind", ["proof", "no-proof", "body", "time", "spelling", "cut", "empty", "other", "log"])
def test_a_kept_proof_that_no_longer_holds_is_fetched_once_more(
    rekor: Rekor, client: LogClient, tmp_path: Path, kind: str
) -> None:
    store(client, tmp_path).proof_of(promise_of(rekor), rekor.trusted)
    other = format_kept(store(client, None).proof_of(promise_of(rekor, 9), rekor.trusted))
    path = tmp_path / kept(tmp_path)[0]
    good = path.read_bytes()
    if kind == "log":  # a poisoned cache: a whole proof of a log of the attacker's own
        with Rekor() as evil:
            for number in range(14):
                evil.log.promise(body(number), at=AT)
            entry = store(client, None).proof_of(promise_of(evil), evil.trusted)
            path.write_bytes(format_kept(entry))
    else:
        path.write_bytes(damaged(good, kind, other))
    asked = len(rekor.asked)
    again = store(client, tmp_path, LATER).proof_of(promise_of(rekor), rekor.trusted)
    assert again.fetched_at == LATER
    assert len(rekor.asked) == asked + 1
    assert path.read_bytes() == format_kept(again)


def test_a_damaged_proof_and_no_network(rekor: Rekor, client: LogClient, tmp_path: Path) -> None:
    store(client, tmp_path).proof_of(promise_of(rekor), rekor.trusted)
    (tmp_path / kept(tmp_path)[0]).write_bytes(b"{}")
    rekor.fault = "wrong-root"
    with pytest.raises(RejectedError) as error:
        store(client, tmp_path).proof_of(promise_of(rekor), rekor.trusted)
    assert error.value.code == "inclusion-proof"
    assert kept(tmp_path) == []


def test_a_bad_promise_does_not_evict(rekor: Rekor, client: LogClient, tmp_path: Path) -> None:
    store(client, tmp_path).proof_of(promise_of(rekor), rekor.trusted)
    with pytest.raises(RejectedError):
        store(client, tmp_path).proof_of(replace(promise_of(rekor), signature=b"x"), rekor.trusted)
    assert len(kept(tmp_path)) == 1


def test_a_promise_signed_anew_has_the_same_kept_proof(rekor: Rekor, client: LogClient, tmp_path: Path) -> None:
    """A log may sign its promise again; the entry then carries the promise in hand."""
    first = store(client, tmp_path).proof_of(promise_of(rekor), rekor.trusted)
    signature = rekor.key.sign(signed_message(promise_of(rekor)), ec.ECDSA(hashes.SHA256()))
    again = store(client, tmp_path).proof_of(replace(promise_of(rekor), signature=signature), rekor.trusted)
    assert again.proved.entry.signed_entry_timestamp == signature
    assert again.proved.entry.proof == first.proved.entry.proof
    assert len(rekor.asked) == 1


def test_a_silent_log_is_asked_no_more(rekor: Rekor, client: LogClient, tmp_path: Path) -> None:
    rekor.fault = "500"
    proofs = store(client, tmp_path)
    for index in (1, 2, 3):
        with pytest.raises(EnvError) as error:
            proofs.proof_of(promise_of(rekor, index), rekor.trusted)
        assert error.value.code == "log-unreachable"
    assert len(rekor.asked) == 2
    assert kept(tmp_path) == []


def test_a_folder_that_cannot_be_used(rekor: Rekor, client: LogClient, tmp_path: Path) -> None:
    (tmp_path / f"{rekor.log.log_id.hex()}-10.json").mkdir()
    with pytest.raises(SealiftError) as error:
        store(client, tmp_path).proof_of(promise_of(rekor), rekor.trusted)
    assert error.value.exit_code == 6


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"entry":"","fetched_at":"2026-04-01T10:20:30Z"}', b"\xff"])
def test_malformed_files(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_kept(raw)


REAL = {
    "happy-path-v0.1": "24296fb24b8ad77a",
    "happy-path-v0.3": "24296fb24b8ad77a",
    "happy-path-intoto-in-dsse-v3": "108e9186e8c5677a",
    "managed-key-happy-path": "108e9186e8c5677a",
}


@pytest.mark.parametrize("name", REAL)
def test_real_entries_as_the_public_log_gives_them(shared: Path, name: str) -> None:
    """Entries of both shards of rekor.sigstore.dev, put back into the form of its API."""
    folder = shared / "real" / "sigstore-bundles" / name
    (value,) = json.loads((folder / "bundle.sigstore.json").read_bytes())["verificationMaterial"]["tlogEntries"]
    entry = parse_log_entry(Fields(value, "entry"))
    assert entry.promise is not None
    assert entry.proof is not None
    assert entry.proof.checkpoint is not None
    proof = {
        "checkpoint": entry.proof.checkpoint.decode(),
        "hashes": [item.hex() for item in entry.proof.hashes],
        "logIndex": entry.proof.log_index,
        "rootHash": entry.proof.root_hash.hex(),
        "treeSize": entry.proof.tree_size,
    }
    answer = {
        "body": base64.b64encode(entry.body).decode(),
        "integratedTime": entry.integrated_time,
        "logID": entry.log_id.hex(),
        "logIndex": entry.log_index,
        "verification": {"inclusionProof": proof, "signedEntryTimestamp": "AAAA"},
    }
    root = parse_trusted_root((shared / "real" / "trust" / "trusted_root.public-good.json").read_bytes())
    log = find_log(root.logs, entry.log_id)
    asked = []

    def fetch(url: str, tree: str = REAL[name]) -> bytes:
        asked.append(url)
        return json.dumps({f"{tree}{leaf_hash(entry.body).hex()}": answer}).encode()

    proved = fetch_proof(entry.promise, log, fetch)
    assert proved.entry == entry
    assert asked == [f"https://rekor.sigstore.dev/api/v1/log/entries?logIndex={entry.log_index}"]
    with pytest.raises(RejectedError) as error:
        fetch_proof(entry.promise, log, lambda url: fetch(url, "0" * 15 + "1"))
    assert error.value.code == "checkpoint-origin"
