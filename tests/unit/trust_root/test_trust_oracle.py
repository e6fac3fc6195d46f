"""open_trust beside python-tuf's own client: the same verdict on honest repositories and on attacks.

Where we refuse more (slack that python-tuf allows), the test says so. The client reads our files from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.api.metadata import Metadata, Root
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from bundler.errors import TrustError
from tests.simulators.tuf_repository import START, TufRepository, altered, relinked
from trust_root.client import open_trust
from trust_root.keys import generate_key
from trust_root.metadata import parse_root

INVENTORY = b'{"an":"inventory"}'
Files = dict[str, bytes]


class MemoryFetcher(FetcherInterface):
    """Serves a bundle's files as a TUF repository over HTTP would."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = url.removeprefix("https://repository/")
        if path.startswith("targets/"):
            path = f"targets/{path.rsplit('/', 1)[1].split('.', 1)[0]}"
        if path not in self.files:
            raise DownloadHTTPError("absent", 404)
        yield self.files[path]


@pytest.fixture
def oracle(tmp_path: Path) -> Callable[..., bool]:
    """Whether python-tuf's client accepts the files at a time and finds the inventory and all targets."""
    count = iter(range(1000))

    def accepts(pin: bytes, files: Mapping[str, bytes], at: datetime = START, stream: str = "main") -> bool:
        folder = tmp_path / str(next(count))
        folder.mkdir()

        try:
            updater = Updater(
                str(folder),
                "https://repository/metadata/",
                str(folder),
                "https://repository/targets/",
                MemoryFetcher(files),
                UpdaterConfig(),
                bootstrap=pin,
            )
            updater._trusted_set.reference_time = at  # its clock cannot be handed in
            updater.refresh()
            found = updater.get_targetinfo(f"bundles/{stream}/1.json")
            for path in updater._trusted_set.targets.targets:
                info = updater.get_targetinfo(path)
                assert info is not None
                updater.download_target(info, str(folder / "target"))
        except (RepositoryError, DownloadHTTPError, ValueError):
            return False
        return found is not None and found.length == len(INVENTORY)

    return accepts


def ours(pin: bytes, files: Mapping[str, bytes], at: datetime = START) -> bool:
    try:
        open_trust(pin, files, at)
    except TrustError:
        return False
    return True


def repository() -> TufRepository:
    made = TufRepository("main", targets={"keys/vendor.pub": b"key", "trusted_root/pg.json": b"{}"})
    made.export("main", INVENTORY)
    made.add_root()
    made.add_root()
    return made


def find(files: Files, ending: str) -> str:
    return next(name for name in files if name.endswith(ending))


class TestAgree:
    def test_honest(self, oracle: Callable[..., bool]) -> None:
        made = repository()
        assert ours(made.pin, made.files())
        assert oracle(made.pin, made.files())

    def test_honest_with_all_keys_rotated(self, oracle: Callable[..., bool]) -> None:
        made = repository()
        made.add_root(holders=[generate_key() for _ in range(5)], threshold=3)
        made.rotate_stream("main")
        assert ours(made.pin, made.files())
        assert oracle(made.pin, made.files())

    def test_two_streams(self, oracle: Callable[..., bool]) -> None:
        made = TufRepository("main", "other")
        made.export("main", INVENTORY)
        made.export("other", INVENTORY)
        for stream in ("main", "other"):
            assert ours(made.pin, made.files(stream))
            assert oracle(made.pin, made.files(stream), stream=stream)

    def test_time(self, oracle: Callable[..., bool]) -> None:
        made = repository()
        for seconds in (-1, 0, 1):
            at = START + timedelta(days=365, seconds=seconds)
            assert ours(made.pin, made.files(), at) == oracle(made.pin, made.files(), at) == (seconds < 0)

    def attack_target_changed(made: TufRepository, files: Files) -> Files:  # noqa: N805
        return {name: b"kez" if raw == b"key" else raw for name, raw in files.items()}

    def attack_root_flipped(made: TufRepository, files: Files) -> Files:  # noqa: N805
        name = "metadata/2.root.json"
        return {**files, name: files[name].replace(b'"version":2', b'"version":3')}

    def attack_root_by_strangers(made: TufRepository, files: Files) -> Files:  # noqa: N805
        strangers = [generate_key() for _ in range(3)]
        twin = made.fork()
        return {**files, "metadata/4.root.json": twin.add_root(holders=strangers, signers=strangers)}

    def attack_root_skipped(made: TufRepository, files: Files) -> Files:  # noqa: N805
        return {**files, "metadata/2.root.json": files["metadata/3.root.json"]}

    def attack_timestamp_by_stranger(made: TufRepository, files: Files) -> Files:  # noqa: N805
        name = "metadata/timestamp.json"
        return {**files, name: altered(files[name], lambda signed: None, [generate_key()])}

    def attack_unsigned_snapshot(made: TufRepository, files: Files) -> Files:  # noqa: N805
        name = find(files, ".snapshot.json")
        stamp = "metadata/timestamp.json"
        bare = altered(files[name], lambda signed: None, [])

        def relist(signed: dict[str, Any]) -> None:
            signed["meta"]["snapshot.json"] = {"version": 2}

        key = made.streams["main"].key
        return {**files, name: bare, stamp: altered(files[stamp], relist, [key])}

    def attack_targets_below_threshold(made: TufRepository, files: Files) -> Files:  # noqa: N805
        name = find(files, ".targets.json")
        weak = {**files, name: altered(files[name], lambda signed: None, made.holders[:1])}
        return relinked(weak, made.streams["main"].key)

    def attack_stream_by_stranger(made: TufRepository, files: Files) -> Files:  # noqa: N805
        name = find(files, ".main.json")
        forged = {**files, name: altered(files[name], lambda signed: None, [generate_key()])}
        return relinked(forged, made.streams["main"].key)

    def attack_mixed_snapshot(made: TufRepository, files: Files) -> Files:  # noqa: N805
        other = repository().files()
        return {**files, find(files, ".snapshot.json"): other[find(other, ".snapshot.json")]}

    def attack_stream_version(made: TufRepository, files: Files) -> Files:  # noqa: N805
        name = find(files, ".main.json")
        key = made.streams["main"].key
        return relinked({**files, name: altered(files[name], lambda s: s.update(version=7), [key])}, key)

    def attack_targets_gone(made: TufRepository, files: Files) -> Files:  # noqa: N805
        return {name: raw for name, raw in files.items() if not name.endswith(".targets.json")}

    def attack_threshold_zero(made: TufRepository, files: Files) -> Files:  # noqa: N805
        def zero(signed: dict[str, Any]) -> None:
            signed["delegations"]["roles"][0]["threshold"] = 0

        name = find(files, ".targets.json")
        return relinked({**files, name: altered(files[name], zero, made.holders)}, made.streams["main"].key)

    ATTACKS = {name: value for name, value in locals().items() if name.startswith("attack_")}  # noqa: RUF012

    @pytest.mark.parametrize("name", sorted(ATTACKS))
    def test_attacks(self, oracle: Callable[..., bool], name: str) -> None:
        made = repository()
        files = self.ATTACKS[name](made, made.files())
        assert files != made.files()
        assert not oracle(made.pin, files)
        assert not ours(made.pin, files)


class TestStricter:
    """What python-tuf accepts and we do not: each is slack that a carrier could use."""

    def refused(self, oracle: Callable[..., bool], made: TufRepository, files: Files) -> str:
        assert oracle(made.pin, files)
        with pytest.raises(TrustError) as error:
            open_trust(made.pin, files, START)
        return error.value.code

    def test_upper_case_signature(self, oracle: Callable[..., bool]) -> None:
        made, files = repository(), {}
        files = made.files()
        raw = files["metadata/2.root.json"]
        signature = raw.split(b'"sig":"')[1][:128]
        files["metadata/2.root.json"] = raw.replace(signature, signature.upper())
        assert self.refused(oracle, made, files) == "metadata-form"

    def test_one_key_under_two_ids(self, oracle: Callable[..., bool]) -> None:
        made = TufRepository("main")
        made.export("main", INVENTORY)
        first, pin = made.holders[0], made.pin

        def twice(signed: dict[str, Any]) -> None:
            signed["keys"]["f" * 64] = signed["keys"][first.public.keyid]
            signed["roles"]["root"]["keyids"].append("f" * 64)

        twin = type(first)(first.private, type(first.public).from_dict("f" * 64, first.public.to_dict()))
        made.roots[0] = altered(pin, twice, [first, twin])
        assert self.refused(oracle, made, made.files()) == "threshold"

    def test_a_duplicate_key_in_json(self, oracle: Callable[..., bool]) -> None:
        made = repository()
        files = made.files()
        name = "metadata/timestamp.json"
        files[name] = files[name].replace(b'{"signatures":', b'{"signatures":[],"signatures":', 1)
        assert self.refused(oracle, made, files) == "metadata-form"

    def test_members_that_nobody_called_for(self, oracle: Callable[..., bool]) -> None:
        made = repository()
        assert self.refused(oracle, made, {**made.files(), "metadata/9.other.json": b"x"}) == "extra-trust-member"

    def test_the_newest_root_left_out(self, oracle: Callable[..., bool]) -> None:
        made = repository()
        files = made.files()
        del files["metadata/3.root.json"]
        assert self.refused(oracle, made, files) == "missing-trust-member"

    def test_a_stray_signature(self, oracle: Callable[..., bool]) -> None:
        made = repository()
        files = made.files()
        name = "metadata/timestamp.json"
        files[name] = altered(files[name], lambda signed: None, [made.streams["main"].key, generate_key()])
        assert self.refused(oracle, made, files) == "metadata-signature"

    def test_more_rotations_than_it_follows(self, oracle: Callable[..., bool]) -> None:
        """Its client stops silently after 256 rotations and calls that success; we follow, or say so."""
        made = TufRepository("main", holders=1, threshold=1)
        made.export("main", INVENTORY)
        for _ in range(260):
            made.add_root()
        assert oracle(made.pin, made.files())
        assert open_trust(made.pin, made.files(), START).root_version == 261


def test_signed_bytes_are_the_same() -> None:
    made = repository()
    for raw in made.roots:
        assert Metadata[Root].from_bytes(raw).signed_bytes == parse_root(raw).payload
