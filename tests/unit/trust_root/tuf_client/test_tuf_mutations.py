"""Every flipped bit of every file, hostile JSON, real chains, and python-tuf's own client as the second opinion."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical
from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater

from bundler.errors import MalformedError, SealiftError, TrustError, UnsupportedError
from bundler.strict_json import parse_foreign
from tests.simulators.tuf_general import NOW, Client, GeneralRepository, new_signer
from trust_root.fetch import below, directory_fetch
from trust_root.tuf_client import documents, workflow
from trust_root.tuf_client.delegations import Bins, Delegate
from trust_root.tuf_client.signers import Authority
from trust_root.tuf_client.walk import refresh

FAR = datetime(2199, 1, 1, tzinfo=UTC)


def small(*, with_hashes: bool) -> GeneralRepository:
    """Three roots, a delegated role, a target."""
    repository = GeneralRepository(with_hashes=with_hashes)
    repository.next_root()
    before = list(repository.signers["root"])
    repository.rotate("root", new_signer(), new_signer(), threshold=2)
    repository.next_root(*before)
    repository.delegate("targets", "A")
    repository.add_target("tool", b"content", "A")
    repository.publish(bump=True)
    return repository


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("with_hashes", [True, False])
def test_every_byte_of_every_file_counts(with_hashes: bool, step: int) -> None:
    """One bit of each byte, or of every eleventh. What is accepted all the same says the same: what is signed is equal.

    Unsigned slack of the format: white space, the spelling of hex digits, and signatures that are not needed. With
    lengths and hashes even that is gone below the timestamp.
    """
    repository = small(with_hashes=with_hashes)
    walk = refresh(repository.pin, repository, NOW)
    found = walk.find_target("tool")
    walk.download(found, below(repository, "targets"))
    facts = (walk.root.body.version, found.facts)
    for name in [name for name in repository.asked if name in repository.files]:
        raw = repository.files[name]
        accepted = 0
        for position in range(0, len(raw), step):
            bad = bytearray(raw)
            bad[position] ^= 1 << (position % 8)
            repository.files[name] = bytes(bad)
            try:
                other = refresh(repository.pin, lambda path, _: repository.files.get(path), NOW)
                found = other.find_target("tool")
                content = other.download(found, below(lambda path, _: repository.files.get(path), "targets"))
            except SealiftError:
                continue
            accepted += 1
            assert content == b"content"
            assert (other.root.body.version, found.facts) == facts
            assert parse_foreign(bytes(bad))["signed"] == parse_foreign(raw)["signed"]
        repository.files[name] = raw
        hashed = with_hashes and not name.endswith("root.json") and name != "timestamp.json"
        assert accepted == 0 if hashed or name.startswith("targets/") else accepted < len(raw) / step / 3


@settings(derandomize=True, deadline=None, max_examples=150)
@given(data=st.data())
def test_hostile_metadata_raises_nothing_but_our_errors(data: st.DataObject) -> None:
    repository = HOSTILE
    name = data.draw(st.sampled_from(sorted(name for name in repository.files if "targets/" not in name)))
    document = json.loads(repository.files[name])
    places = list(_places(document))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(places))
        if (isinstance(holder, dict) and key in holder) or (isinstance(holder, list) and key < len(holder)):
            holder[key] = data.draw(_JSON)
    raw = json.dumps(document).encode()

    def fetch(path: str, _max_bytes: int) -> bytes | None:
        return raw if path == name else repository.files.get(path)

    pin = raw if name == "1.root.json" else repository.pin
    for at in (NOW, FAR):
        try:
            refresh(pin, fetch, at, allow_expired=at == FAR).find_target("tool")
        except (TrustError, UnsupportedError):
            continue


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6) | st.just("é\ud800"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
HOSTILE = small(with_hashes=False)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(pairs):
        yield value, key
        yield from _places(item)


@settings(derandomize=True, deadline=None, max_examples=80)
@given(raw=st.binary(max_size=200) | st.text(alphabet='{}[]":,signedroot0-1.e\\u', max_size=60).map(str.encode))
def test_bytes_are_parsed_or_malformed(raw: bytes) -> None:
    for parse in (documents.parse_root, documents.parse_timestamp, documents.parse_snapshot, documents.parse_targets):
        with pytest.raises(MalformedError):
            parse(raw)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(path=st.text(max_size=12), pattern=st.text(alphabet="ab/*?[!]-^\\.", max_size=10))
def test_any_pattern_meets_any_path(path: str, pattern: str) -> None:
    authority = Authority("x", 1, {})
    delegate = Delegate("x", authority, False, (pattern,))
    if "[![" not in pattern:
        assert delegate.covers(path) in (True, False)
        assert delegate.covers(f"{path}/more") is False or "/" in pattern
    assert Bins("p", 32, authority).bin_for(path).name.startswith("p-")


# -- real roots -----------------------------------------------------------------------


@pytest.mark.parametrize("first", [1, 5, 15])
def test_sigstores_roots(shared: Path, first: int) -> None:
    """Roots of the public-good instance: old key types, points in hex, empty signatures, time zones."""
    folder = directory_fetch(shared / "real" / "trust" / "root-signing-roots")
    raw = folder(f"{first}.root.json", 1 << 20)
    assert raw is not None
    chain = workflow_roots(raw, folder)
    assert chain[-1].body.version == 15
    assert chain[-1].body.expires_at == datetime(2026, 11, 20, 13, 58, 18, tzinfo=UTC)
    assert [len(root.body.roles["root"].members) for root in chain] == [5] * len(chain)
    with pytest.raises(SealiftError) as caught:
        refresh(raw, folder, datetime(2026, 11, 21, tzinfo=UTC))
    assert caught.value.code == "expired"
    with pytest.raises(SealiftError) as caught:
        refresh(raw, folder, datetime(2026, 11, 20, tzinfo=UTC))
    assert caught.value.code == "metadata-absent"  # only the roots are at hand


def workflow_roots(first: bytes, fetch: Any) -> list[documents.Document[documents.RootBody]]:
    chain = [workflow.open_first_root(first)]
    while (raw := fetch(f"{chain[-1].body.version + 1}.root.json", 1 << 20)) is not None:
        chain.append(workflow.open_next_root(chain[-1], raw))
    return chain


def test_a_chain_like_sigstores() -> None:
    """Its twin without real files: points in hex first, PEM under the old type later, empty signatures between."""
    signers = [new_signer("ecdsa") for _ in range(3)]
    repository = GeneralRepository(consistent=True)
    repository.rotate("root", *signers, threshold=2)
    repository.root.version = 1
    repository.publish_root()
    signed = json.loads(repository.pin)["signed"]
    old_ids = {}
    for key_id, key in list(signed["keys"].items()):
        if key["keytype"] == "ecdsa":
            old_ids[f"old-{key_id}"] = {**key, "keytype": key["scheme"], "keyid_hash_algorithms": ["sha256"]}
    signed["keys"] = {**signed["keys"], **old_ids}
    signed["roles"]["root"]["keyids"] = list(old_ids)
    signed["expires"] = "2026-12-18T13:28:12.990080101-06:00"
    payload = (encode_canonical(signed) or "").encode()
    signatures = [{"keyid": f"old-{each.public_key.keyid}", "sig": each.sign(payload).signature} for each in signers]
    signatures[0]["sig"] = ""
    first = json.dumps({"signed": signed, "signatures": signatures}).encode()
    root = workflow.open_first_root(first)
    assert len(root.body.roles["root"].members) == 3
    repository.root.version = 1
    following = repository.next_root()
    with pytest.raises(SealiftError):
        workflow.open_next_root(root, following)  # signed under other ids than the first root lists
    document = json.loads(following)
    document["signatures"] += [{**each, "keyid": f"old-{each['keyid']}"} for each in document["signatures"]]
    assert workflow.open_next_root(root, json.dumps(document).encode()).body.version == 2


# -- the second opinion ---------------------------------------------------------------


class Oracle(FetcherInterface):
    """Hands python-tuf's client the same files."""

    def __init__(self, repository: GeneralRepository) -> None:
        self._repository = repository

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = url.removeprefix("http://x/")
        raw = self._repository.files.get(path)
        if raw is None:
            raise DownloadHTTPError("absent", 404)
        return iter([raw])


def second_opinion(repository: GeneralRepository, path: str, pin: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            updater = Updater(folder, "http://x/", folder, "http://x/targets/", Oracle(repository), bootstrap=pin)
            found = updater.get_targetinfo(path)
        except (RepositoryError, DownloadHTTPError):
            return "refused"
        return "absent" if found is None else found.hashes["sha256"]


FAULTS = ("none", "none", "unsigned", "expired", "missing", "version", "stranger", "threshold")


@settings(derandomize=True, deadline=None, max_examples=60)
@given(data=st.data())
def test_python_tufs_client_agrees_on_graphs_and_faults(data: st.DataObject) -> None:
    repository = GeneralRepository(consistent=data.draw(st.booleans()), with_hashes=data.draw(st.booleans()))
    for body in (repository.root, repository.timestamp, repository.snapshot, repository.targets):
        body.expires = FAR
    repository.publish_root()
    names = ["targets", *"ABCD"[: data.draw(st.integers(0, 4))]]
    for name in names[1:]:
        repository.delegate(
            data.draw(st.sampled_from(["targets", *repository.delegates])),
            name,
            data.draw(st.sampled_from([("*",), ("a/*",), ("b/*",), ("a/*", "b/?")])),
            terminating=data.draw(st.booleans()),
        )
        repository.delegates[name].expires = FAR
    for delegator, name in data.draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=4)):
        if name != "targets":
            repository.delegate(delegator, name, ("*/*",), terminating=data.draw(st.booleans()))
    for name in names:
        if data.draw(st.booleans()):
            repository.add_target("a/x", name.encode(), name)
    repository.publish()
    _spoil(repository, data.draw(st.sampled_from(FAULTS)), data.draw(st.sampled_from(names)))
    client = Client(repository)
    found = client.search("a/x", datetime.now(UTC))
    theirs = second_opinion(repository, "a/x", repository.pin)
    if found in names:
        assert client.walk is not None
        assert client.walk.find_target("a/x").facts.hashes["sha256"] == theirs
    else:
        assert theirs == ("absent" if found == "target-absent" else "refused")


def _spoil(repository: GeneralRepository, fault: str, role: str) -> None:
    body = repository.targets if role == "targets" else repository.delegates[role]
    if fault == "unsigned":
        repository.signers[role] = []
    elif fault == "stranger":
        repository.signers[role] = [new_signer()]
    elif fault == "expired":
        body.expires = datetime(2020, 1, 1, tzinfo=UTC)
    elif fault == "version":
        body.version = 3
    elif fault == "threshold" and role == "targets":
        repository.root.roles["targets"].threshold = 2
        repository.publish_root()
    if fault != "version":
        repository.publish()
    if fault == "version":
        raw = repository.signed(body, repository.signers[role])
        repository.serve(role, 1, raw)
    if fault == "missing":
        repository.files = {name: raw for name, raw in repository.files.items() if not name.endswith(f"{role}.json")}
