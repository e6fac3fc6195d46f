"""Expiry, rollback, and the way back after somebody raised versions out of reach."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tuf.api.metadata import MetaFile

from bundler.errors import TrustError
from tests.simulators.tuf_general import LATER, NOW, Client, GeneralRepository, new_signer
from trust_root.tuf_client.walk import refresh

PAST = NOW - timedelta(days=5)


@pytest.fixture
def repository() -> GeneralRepository:
    return GeneralRepository()


@pytest.fixture
def client(repository: GeneralRepository) -> Client:
    made = Client(repository)
    assert made.refresh() == "ok"
    return made


# -- expiry ------------------------------------------------------------------


def test_an_expired_root_ends_the_refresh_but_is_kept(repository: GeneralRepository, client: Client) -> None:
    repository.root.expires = PAST
    repository.next_root()
    repository.timestamp.version = 2
    repository.publish_timestamp()
    assert client.refresh() == "expired"
    assert client.versions == (2, 1, 1, 1)
    repository.root.expires = LATER
    repository.next_root()
    assert client.refresh() == "ok"
    assert client.versions == (3, 2, 1, 1)


def test_roots_on_the_way_may_have_expired(repository: GeneralRepository, client: Client) -> None:
    for _ in range(3):
        repository.root.expires = PAST
        repository.next_root()
    repository.root.expires = LATER
    repository.next_root()
    assert client.refresh() == "ok"
    assert client.version("root") == 5


@pytest.mark.parametrize(
    ("role", "kept"), [("timestamp", (1, 1, 1, 1)), ("snapshot", (1, 2, 1, 1)), ("targets", (1, 2, 2, 1))]
)
def test_expired_metadata_is_refused_and_not_kept(
    repository: GeneralRepository, client: Client, role: str, kept: tuple[int, ...]
) -> None:
    body = {"timestamp": repository.timestamp, "snapshot": repository.snapshot, "targets": repository.targets}[role]
    body.expires = PAST
    repository.targets.version = 2
    repository.publish(bump=True)
    assert client.refresh() == "expired"
    assert client.versions == kept


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_kept_metadata_that_expires_later_is_refused_then(
    repository: GeneralRepository, client: Client, role: str
) -> None:
    end = NOW + timedelta(days=3)
    body = {"timestamp": repository.timestamp, "snapshot": repository.snapshot, "targets": repository.targets}[role]
    body.expires = end
    repository.targets.version = 2
    repository.publish(bump=True)
    assert client.refresh(end - timedelta(seconds=1)) == "ok"
    assert client.refresh(end) == "expired"
    body.expires = LATER
    repository.targets.version = 3
    repository.publish(bump=True)
    assert client.refresh(end) == "ok"
    assert client.versions == (1, 3, 3, 3)


def test_an_expired_timestamp_still_holds_versions_back(repository: GeneralRepository, client: Client) -> None:
    repository.timestamp.version = 5
    repository.timestamp.expires = NOW + timedelta(days=1)
    repository.publish_timestamp()
    assert client.refresh() == "ok"
    repository.timestamp.version = 4
    repository.timestamp.expires = LATER
    repository.publish_timestamp()
    assert client.refresh(NOW + timedelta(days=2)) == "rollback"


def test_an_expired_snapshot_still_holds_versions_back(repository: GeneralRepository, client: Client) -> None:
    repository.targets.version = 2
    repository.snapshot.expires = NOW + timedelta(days=1)
    repository.publish(bump=True)
    assert client.refresh() == "ok"
    repository.targets.version = 1
    repository.snapshot.expires = LATER
    repository.publish(bump=True)
    assert client.refresh(NOW + timedelta(days=2)) == "rollback"


def test_time_is_the_callers(repository: GeneralRepository) -> None:
    assert Client(repository).refresh(NOW + timedelta(days=400)) == "expired"
    with pytest.raises(TrustError) as caught:
        refresh(repository.pin, repository, LATER)
    assert caught.value.code == "expired"
    assert "2027-11-01T12:00:00Z" in str(caught.value)


def test_expired_metadata_can_be_allowed_and_is_told(repository: GeneralRepository) -> None:
    repository.targets.expires = PAST
    repository.delegate("targets", "team")
    repository.delegates["team"].expires = PAST
    repository.add_target("x", b"x", "team")
    repository.targets.version = 2
    repository.publish(bump=True)
    walk = refresh(repository.pin, repository, NOW, allow_expired=True)
    assert [(each.role, each.version) for each in walk.expired] == [("targets", 2)]
    walk.find_target("x")
    assert [each.role for each in walk.expired] == ["targets", "team"]
    everything = refresh(repository.pin, repository, LATER, allow_expired=True)
    assert [each.role for each in everything.expired] == ["root", "timestamp", "snapshot", "targets"]


# -- rollback ------------------------------------------------------------------


def test_root_versions_follow_one_another(repository: GeneralRepository, client: Client) -> None:
    repository.root.version = 3
    repository.files["2.root.json"] = repository.publish_root()
    del repository.files["3.root.json"]
    assert client.refresh() == "version-mismatch"
    repository.files["2.root.json"] = repository.pin
    assert client.refresh() == "version-mismatch"
    assert client.version("root") == 1


def test_timestamp_rollback(repository: GeneralRepository, client: Client) -> None:
    repository.timestamp.version = 3
    repository.publish_timestamp()
    assert client.refresh() == "ok"
    repository.timestamp.version = 2
    repository.publish_timestamp()
    assert client.refresh() == "rollback"
    assert client.version("timestamp") == 3


def test_snapshot_rollback_in_the_timestamp(repository: GeneralRepository, client: Client) -> None:
    repository.snapshot.version = 2
    repository.timestamp.version = 2
    repository.publish_snapshot()
    assert client.refresh() == "ok"
    repository.snapshot.version = 1
    repository.timestamp.version = 3
    repository.publish_snapshot()
    assert client.refresh() == "rollback"
    assert client.versions == (1, 2, 2, 1)


def test_targets_rollback_in_the_snapshot(repository: GeneralRepository, client: Client) -> None:
    repository.targets.version = 2
    repository.publish(bump=True)
    assert client.refresh() == "ok"
    repository.targets.version = 1
    repository.publish(bump=True)
    assert client.refresh() == "rollback"
    assert client.versions == (1, 3, 2, 2)


def test_delegated_role_rollback_in_the_snapshot(repository: GeneralRepository, client: Client) -> None:
    repository.delegate("targets", "team")
    repository.delegates["team"].version = 4
    repository.publish(bump=True)
    assert client.refresh() == "ok"
    repository.delegates["team"].version = 3
    repository.publish(bump=True)
    assert client.refresh() == "rollback"


def test_a_role_cannot_vanish_from_the_snapshot(repository: GeneralRepository, client: Client) -> None:
    repository.snapshot.meta["gone.json"] = MetaFile(1)
    repository.publish(bump=True)
    assert client.refresh() == "ok"
    del repository.snapshot.meta["gone.json"]
    repository.publish(bump=True)
    assert client.refresh() == "rollback"


def test_rollback_is_seen_also_when_the_kept_snapshot_is_not_the_listed_one() -> None:
    repository = GeneralRepository(with_hashes=True)
    client = Client(repository)
    repository.targets.version = 2
    repository.publish(bump=True)
    assert client.refresh() == "ok"
    repository.targets.version = 1
    repository.publish()  # snapshot of the same version, other bytes
    repository.timestamp.version += 1
    repository.publish_timestamp()
    assert client.refresh() == "rollback"


def test_a_snapshot_of_the_same_version_with_other_bytes_is_fetched() -> None:
    repository = GeneralRepository(with_hashes=True)
    client = Client(repository)
    assert client.refresh() == "ok"
    repository.snapshot.unrecognized_fields = {"x": 1}
    repository.timestamp.version += 1
    repository.publish_snapshot()
    assert client.refresh() == "ok"
    assert client.store.load("snapshot") == repository.files["1.snapshot.json"]


def test_a_newer_timestamp_with_an_older_snapshot(repository: GeneralRepository, client: Client) -> None:
    """The new timestamp is not kept: it would raise what the next run demands."""
    repository.timestamp.version = 9
    repository.timestamp.snapshot_meta.version = 3
    repository.publish_timestamp()
    assert client.refresh() == "metadata-absent"
    assert client.version("timestamp") == 9
    repository.timestamp.version = 10
    repository.timestamp.snapshot_meta.version = 2
    repository.publish_timestamp()
    assert client.refresh() == "rollback"
    assert client.version("timestamp") == 9


# -- the way back ------------------------------------------------------------------


def test_the_way_back_for_the_timestamp(repository: GeneralRepository, client: Client) -> None:
    repository.timestamp.version = 99_999
    repository.publish_timestamp()
    assert client.refresh() == "ok"
    repository.rotate("timestamp")
    repository.next_root()
    repository.timestamp.version = 2
    repository.publish_timestamp()
    assert client.refresh() == "ok"
    assert client.versions == (2, 2, 1, 1)


@pytest.mark.parametrize("rotated", [("snapshot",), ("snapshot", "timestamp"), ("timestamp",)])
def test_the_way_back_for_the_snapshot(repository: GeneralRepository, client: Client, rotated: tuple[str, ...]) -> None:
    repository.snapshot.version = 99_999
    repository.timestamp.version = 2
    repository.publish_snapshot()
    assert client.refresh() == "ok"
    for role in rotated:
        repository.rotate(role)
    repository.next_root()
    repository.snapshot.version = 2
    repository.timestamp.version = 3
    repository.publish_snapshot()
    assert client.refresh() == "ok"
    assert client.versions == (2, 3, 2, 1)


def test_the_way_back_for_targets(repository: GeneralRepository, client: Client) -> None:
    repository.targets.version = 99_999
    repository.publish(bump=True)
    assert client.refresh() == "ok"
    repository.rotate("snapshot")
    repository.next_root()
    repository.targets.version = 2
    repository.publish(bump=True)
    assert client.refresh() == "ok"
    assert client.versions == (2, 3, 3, 2)


def test_the_way_back_survives_an_interrupted_run(repository: GeneralRepository, client: Client) -> None:
    repository.snapshot.version = 99_999
    repository.timestamp.version = 2
    repository.publish_snapshot()
    assert client.refresh() == "ok"
    repository.rotate("snapshot")
    repository.next_root()
    timestamp = repository.files.pop("timestamp.json")
    assert client.refresh() == "metadata-absent"
    assert client.versions == (2, 2, 99_999, 1)
    repository.files["timestamp.json"] = timestamp
    repository.snapshot.version = 2
    repository.timestamp.version = 3
    repository.publish_snapshot()
    assert client.refresh() == "ok"
    assert client.versions == (2, 3, 2, 1)


def test_a_rotation_is_no_way_around_what_present_keys_vouch_for(repository: GeneralRepository, client: Client) -> None:
    first, second = repository.signers["timestamp"][0], new_signer()
    repository.add_key("timestamp", second)
    repository.next_root()
    repository.timestamp.version = 5
    repository.publish_timestamp()  # signed by both
    assert client.refresh() == "ok"
    repository.root.revoke_key(first.public_key.keyid, "timestamp")
    repository.next_root()
    repository.signers["timestamp"] = [second]
    repository.timestamp.version = 4
    repository.publish_timestamp()
    assert client.refresh() == "rollback"


def test_a_key_more_is_no_way_back(repository: GeneralRepository, client: Client) -> None:
    """A further exporter's key must not make sites forget what they have seen."""
    repository.timestamp.version = 5
    repository.publish_timestamp()
    assert client.refresh() == "ok"
    (first,) = repository.signers["timestamp"]
    repository.add_key("timestamp", repository.signers["root"][0])
    repository.next_root()
    repository.signers["timestamp"] = [first]
    repository.timestamp.version = 4
    repository.publish_timestamp()
    assert client.refresh() == "rollback"


def test_another_roles_rotation_is_no_way_back(repository: GeneralRepository, client: Client) -> None:
    repository.timestamp.version = 5
    repository.publish_timestamp()
    assert client.refresh() == "ok"
    repository.rotate("targets")
    repository.next_root()
    repository.targets.version = 2
    repository.timestamp.version = 3
    repository.publish(bump=True)
    assert client.refresh() == "rollback"
