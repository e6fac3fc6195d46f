"""The refresh: what is asked in which order, what is kept after each failure, what is read and what refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tuf.api.metadata import Metadata, MetaFile

from bundler import limits
from bundler.errors import TrustError, UnsupportedError
from tests.simulators.tuf_general import NOW, Client, GeneralRepository, tampered
from trust_root.tuf_client.store import FolderStore, MemoryStore
from trust_root.tuf_client.walk import refresh

Change = Callable[[GeneralRepository], None]


@pytest.fixture
def repository() -> GeneralRepository:
    return GeneralRepository()


@pytest.fixture
def client(repository: GeneralRepository) -> Client:
    return Client(repository)


def test_the_first_refresh_asks_for_what_is_needed_and_keeps_it(repository: GeneralRepository, client: Client) -> None:
    assert client.refresh() == "ok"
    assert repository.asked == ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    assert client.versions == (1, 1, 1, 1)


def test_without_consistent_snapshots_names_have_no_version() -> None:
    repository = GeneralRepository(consistent=False)
    assert Client(repository).refresh() == "ok"
    assert repository.asked == ["2.root.json", "timestamp.json", "snapshot.json", "targets.json"]


def test_nothing_new_is_only_looked_up(repository: GeneralRepository, client: Client) -> None:
    client.refresh()
    assert client.refresh() == "ok"
    assert repository.asked == ["2.root.json", "timestamp.json"]


def test_a_new_timestamp_alone(repository: GeneralRepository, client: Client) -> None:
    client.refresh()
    repository.timestamp.version = 2
    repository.publish_timestamp()
    assert client.refresh() == "ok"
    assert client.versions == (1, 2, 1, 1)
    assert repository.asked == ["2.root.json", "timestamp.json"]


def test_the_bytes_that_came_are_the_bytes_that_are_kept(repository: GeneralRepository, tmp_path: Any) -> None:
    client = Client(repository, FolderStore(tmp_path))
    assert client.refresh() == "ok"
    assert {path.name for path in tmp_path.iterdir()} == {
        "root.json",
        "timestamp.json",
        "snapshot.json",
        "targets.json",
    }
    assert (tmp_path / "timestamp.json").read_bytes() == repository.files["timestamp.json"]
    assert (tmp_path / "snapshot.json").read_bytes() == repository.files["1.snapshot.json"]


def test_other_content_under_the_same_timestamp_version_is_no_change(
    repository: GeneralRepository, client: Client
) -> None:
    client.refresh()
    kept = client.store.load("timestamp")
    repository.timestamp.expires -= timedelta(days=1)
    repository.publish_timestamp()
    assert client.refresh() == "ok"
    assert client.store.load("timestamp") == kept


@pytest.mark.parametrize(
    ("role", "asked"),
    [
        ("timestamp.json", ["2.root.json", "timestamp.json"]),
        ("1.snapshot.json", ["2.root.json", "timestamp.json", "1.snapshot.json"]),
        ("1.targets.json", ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]),
    ],
)
def test_what_is_absent(repository: GeneralRepository, client: Client, role: str, asked: list[str]) -> None:
    del repository.files[role]
    assert client.refresh() == "metadata-absent"
    assert repository.asked == asked


@pytest.mark.parametrize(
    ("role", "versions"),
    [
        ("timestamp", (1, None, None, None)),
        ("snapshot", (1, 1, None, None)),
        ("targets", (1, 1, 1, None)),
    ],
)
@pytest.mark.parametrize("way", ["broken", "none"])
def test_unsigned_metadata_is_refused_and_earlier_files_stay(
    repository: GeneralRepository, client: Client, role: str, versions: tuple[int | None, ...], way: str
) -> None:
    name = "timestamp.json" if role == "timestamp" else f"1.{role}.json"
    if way == "none":
        metadata = Metadata[Any].from_bytes(repository.files[name])
        metadata.signatures.clear()
        repository.files[name] = metadata.to_bytes()
    else:
        repository.files[name] = tampered(repository.files[name])
    assert client.refresh() == "threshold"
    assert client.versions == versions


def test_a_root_that_does_not_hold_ends_the_refresh(repository: GeneralRepository, client: Client) -> None:
    repository.publish_root(bump=True)
    repository.files["2.root.json"] = tampered(repository.files["2.root.json"])
    assert client.refresh() == "threshold"
    assert repository.asked == ["2.root.json"]
    assert client.versions == (1, None, None, None)


def test_an_initial_root_is_signed_by_itself(repository: GeneralRepository) -> None:
    with pytest.raises(TrustError) as caught:
        refresh(tampered(repository.pin), repository, NOW)
    assert caught.value.code == "threshold"
    assert repository.asked == []


def test_wrong_types_are_refused(repository: GeneralRepository, client: Client) -> None:
    repository.files["1.targets.json"] = repository.files["1.snapshot.json"]
    assert client.refresh() == "metadata-form"


@pytest.mark.parametrize("version", ["2.0.0", "0.9.1"])
def test_another_specification_is_not_supported(version: str) -> None:
    repository = GeneralRepository()
    repository.targets.spec_version = version
    repository.publish()
    assert Client(repository).refresh() == "spec-version"
    with pytest.raises(UnsupportedError):
        refresh(repository.pin, repository, NOW)


@pytest.mark.parametrize("version", ["1.0", "1.99.7", "1.0.31"])
def test_the_same_major_version_is_read(version: str) -> None:
    repository = GeneralRepository()
    repository.targets.spec_version = version
    repository.publish()
    assert Client(repository).refresh() == "ok"


def test_unknown_fields_are_signed_and_left_alone(repository: GeneralRepository, client: Client) -> None:
    for body in (repository.root, repository.timestamp, repository.snapshot, repository.targets):
        body.unrecognized_fields = {"x-own": {'é\n"': [1, -2, True, None]}}
    repository.root.keys[next(iter(repository.root.keys))].unrecognized_fields = {
        "keyid_hash_algorithms": ["sha256", "sha512"]
    }
    repository.next_root()
    repository.targets.version = 2
    repository.publish(bump=True)
    assert client.refresh() == "ok"
    assert client.versions == (2, 2, 2, 2)
    assert client.walk is not None
    assert b"x-own" in client.walk.targets.raw
    repository.files["timestamp.json"] = repository.files["timestamp.json"].replace(b"x-own", b"x-0wn")
    assert Client(repository).refresh() == "threshold"


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def edit(raw: bytes) -> bytes:
        document = json.loads(raw)
        change(document)
        return json.dumps(document).encode()

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        lambda raw: b"",
        lambda raw: b"[]",
        lambda raw: raw[:-20],
        lambda raw: raw + b"{}",
        lambda raw: b"\xff" + raw,
        lambda raw: raw.replace(b'"version": 1', b'"version": 1, "version": 1', 1),
        lambda raw: raw.replace(b'"version": 1', b'"version": 1.0'),
        lambda raw: raw.replace(b'"version": 1', b'"version": true'),
        lambda raw: raw.replace(b'"version": 1', b'"version": 0'),
        lambda raw: raw.replace(b'"version": 1', b'"version": -1'),
        lambda raw: raw.replace(b'"version": 1', b'"version": "1"'),
        lambda raw: b"[" * 100_000 + b"]" * 100_000,
        edited(lambda d: d.pop("signed")),
        edited(lambda d: d.pop("signatures")),
        edited(lambda d: d.update(signatures=[{}])),
        edited(lambda d: d.update(signatures=[*d["signatures"], d["signatures"][0]])),
        edited(lambda d: d["signatures"].extend({"keyid": str(n), "sig": ""} for n in range(limits.TUF_SIGNATURES))),
        *(edited(lambda d, key=key: d["signed"].pop(key)) for key in ("_type", "expires", "version", "spec_version")),
        edited(lambda d: d["signed"].update(expires="2027-02-30T00:00:00Z")),
        edited(lambda d: d["signed"].update(expires=1)),
        edited(lambda d: d["signed"].update(spec_version="1")),
        edited(lambda d: d["signed"].update(extra=1.5)),
    ],
)
@pytest.mark.parametrize("name", ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"])
def test_malformed_metadata_is_refused_by_form(name: str, edit: Callable[[bytes], bytes]) -> None:
    repository = GeneralRepository()
    repository.files["2.root.json"] = repository.pin
    if name != "2.root.json":
        del repository.files["2.root.json"]
    repository.files[name] = edit(repository.files[name])
    assert Client(repository).refresh() == "metadata-form"


def test_a_file_larger_than_signed_is_not_asked_for_more() -> None:
    repository = GeneralRepository(with_hashes=True)
    asked: dict[str, int] = {}

    def fetch(path: str, max_bytes: int) -> bytes | None:
        asked[path] = max_bytes
        return repository.files.get(path)

    refresh(repository.pin, fetch, NOW)
    assert asked["1.snapshot.json"] == len(repository.files["1.snapshot.json"])
    assert asked["1.targets.json"] == len(repository.files["1.targets.json"])
    assert asked["timestamp.json"] == limits.TUF_METADATA_BYTES


@pytest.mark.parametrize("role", ["snapshot", "targets"])
@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("length", 7, "metadata-hash"),
        ("hashes", {"sha256": "00" * 32}, "metadata-hash"),
        ("hashes", {"md5": "00" * 16}, "hash-algorithm"),
        ("version", 2, "version-mismatch"),
    ],
)
def test_other_content_than_listed(role: str, field: str, value: Any, code: str) -> None:
    repository = GeneralRepository(with_hashes=True)
    meta = repository.timestamp.snapshot_meta if role == "snapshot" else repository.snapshot.meta["targets.json"]
    setattr(meta, field, value)
    if field == "version":
        repository.files[f"2.{role}.json"] = repository.files[f"1.{role}.json"]
    if role == "targets":
        repository.publish_snapshot()
    else:
        repository.publish_timestamp()

    def fetch(path: str, _max_bytes: int) -> bytes | None:
        return repository.files.get(path)

    with pytest.raises(TrustError) as caught:
        refresh(repository.pin, fetch, NOW)
    assert caught.value.code == code


def test_targets_must_stand_in_the_snapshot(repository: GeneralRepository, client: Client) -> None:
    repository.snapshot.meta = {"other.json": MetaFile(1)}
    repository.publish_snapshot()
    assert client.refresh() == "delegation"


def test_a_kept_file_that_was_changed_is_fetched_again(repository: GeneralRepository, client: Client) -> None:
    client.refresh()
    for role in ("timestamp", "snapshot", "targets"):
        good = client.store.load(role)
        assert good is not None
        for bad in (tampered(good), good[:-3], b"", good.replace(b'"1.0.31"', b'"9.0.31"')):
            client.store.save(role, bad)
            assert client.refresh() == "ok"
            assert client.store.load(role) == good


def test_a_store_with_a_newer_root_than_the_repository_shows(repository: GeneralRepository) -> None:
    store = MemoryStore()
    newer = repository.next_root()
    store.save("root", newer)
    del repository.files["2.root.json"]
    with pytest.raises(TrustError) as caught:
        refresh(repository.pin, repository, NOW, store)
    assert caught.value.code == "rollback"
    assert store.load("root") == newer


def test_a_store_with_another_root_of_a_version(repository: GeneralRepository) -> None:
    store = MemoryStore()
    store.save("root", repository.next_root())
    repository.root.expires += timedelta(days=1)
    repository.publish_root()
    with pytest.raises(TrustError) as caught:
        refresh(repository.pin, repository, NOW, store)
    assert caught.value.code == "root-fork"


def test_a_pinned_root_older_than_the_kept_one_keeps_rollback_protection(repository: GeneralRepository) -> None:
    store = MemoryStore()
    repository.rotate("timestamp")
    repository.next_root()
    repository.timestamp.version = 7
    repository.publish_timestamp()
    refresh(repository.pin, repository, NOW, store)
    repository.timestamp.version = 6
    repository.publish_timestamp()
    with pytest.raises(TrustError) as caught:
        refresh(repository.pin, repository, NOW, store)
    assert caught.value.code == "rollback"


def test_three_hundred_roots(repository: GeneralRepository, client: Client) -> None:
    for _ in range(300):
        repository.next_root()
    assert client.refresh() == "ok"
    assert client.version("root") == 301
    assert client.walk is not None
    assert len(client.walk.roots) == 301


def test_the_limit_of_roots_is_an_error(
    repository: GeneralRepository, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ROOTS", 4)
    for _ in range(4):
        repository.next_root()
    assert client.refresh() == "ok"
    for _ in range(5):
        repository.next_root()
    assert client.refresh() == "limits"
    assert client.version("root") == 9
