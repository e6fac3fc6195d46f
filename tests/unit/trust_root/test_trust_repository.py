"""The exporter's side on disk: the commit protocol, the pending record, publishing, and stopping anywhere."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.digest import sha256_of
from bundler.errors import EnvError, SealiftError, TrustError
from tests.simulators.killed import is_killed
from tests.simulators.tuf_repository import START
from trust_root.ceremony import check_content, create, publish
from trust_root.client import open_trust
from trust_root.key_files import load_key, write_key
from trust_root.keys import SigningKey, generate_key
from trust_root.pending import Pending, PendingFile, format_pending, parse_pending
from trust_root.repository import Publication, open_repository, read_repository

TRUSTED_ROOT = b'{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'


def no_passphrase(_name: str) -> bytes:
    return b""


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(SealiftError) as error:
        act()
    return error.value.code


def make(
    repository: Path, keys: Path, stream: str = "m", *, threshold: int = 1, holders: int = 1, development: bool = True
) -> object:
    return create(
        repository, keys, stream, no_passphrase, START, threshold=threshold, holders=holders, development=development
    )


class House:
    """A repository, its keys, and a folder to export to."""

    def __init__(self, folder: Path) -> None:
        self.repository, self.keys, self.out = folder / "repo", folder / "keys", folder / "out"
        self.out.mkdir()
        self.made = create(
            self.repository, self.keys, "main", no_passphrase, START, threshold=2, holders=3, development=True
        )

    @property
    def signer(self) -> SigningKey:
        return load_key(self.keys, "exporter", no_passphrase)

    def temporary(self) -> Path:
        path = self.out / ".sealift-0123456789abcdef.tmp"
        path.write_bytes(b"half a bundle")
        return path

    def export(self, inventory: bytes, end: str = "commit") -> Publication:
        """One export: `commit`, `abandon`, or `dark` (killed after signing)."""
        with open_repository(self.repository) as opened:
            publication = opened.next_publication(START)
            temporary = self.temporary()
            opened.write_pending(publication, sha256_of(inventory), temporary)
            files = opened.sign(publication, inventory, self.signer)
            assert open_trust(opened.pin, files, START).sequence == publication.sequence
            if end == "commit":
                temporary.unlink()
                opened.commit(publication)
            elif end == "abandon":
                opened.abandon(publication)
        return publication

    def next(self) -> Publication:
        return read_repository(self.repository).next_publication(START)

    def publish(self, **content: bytes) -> None:
        add = {path.replace("__", "/").replace("_dot_", "."): raw for path, raw in content.items()}
        publish(self.repository, self.keys, no_passphrase, START, add=add)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("house"))


@pytest.fixture
def house(built: House, tmp_path: Path) -> House:
    copy = House.__new__(House)
    copy.made = built.made
    for name in ("repository", "keys", "out"):
        target = tmp_path / getattr(built, name).name
        shutil.copytree(getattr(built, name), target)
        setattr(copy, name, target)
    return copy


class TestCreate:
    def test_what_it_makes(self, house: House) -> None:
        repository = read_repository(house.repository)
        assert house.made.fingerprint == sha256_of((house.repository / "metadata/1.root.json").read_bytes())
        assert repository.development
        assert {name: facts.version for name, facts in repository.metadata.roles.items()} == dict.fromkeys(
            ("root", "timestamp", "snapshot", "targets", "stream"), 1
        )
        assert len(repository.metadata.roles["root"].signers) == 3
        assert house.next().sequence == 1
        assert house.next().previous is None
        lives = {name: facts.expires_at - START for name, facts in repository.metadata.roles.items()}
        assert lives["root"] == timedelta(days=3 * 365)
        assert {lives[name] for name in ("targets", "snapshot", "timestamp", "stream")} == {timedelta(days=365)}

    def test_modes(self, house: House) -> None:
        built = stat.S_IMODE(house.keys.stat().st_mode)
        assert built == 0o700
        for path in house.keys.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_no_private_key_in_the_repository(self, house: House) -> None:
        for path in house.repository.rglob("*"):
            assert path.is_dir() or b"PRIVATE" not in path.read_bytes()

    def test_nothing_is_overwritten(self, house: House, tmp_path: Path) -> None:
        before = {path: path.read_bytes() for path in house.repository.rglob("*") if path.is_file()}
        assert code_of(lambda: make(house.repository, tmp_path / "k2")) == "folder-exists"
        assert code_of(lambda: make(tmp_path / "r2", house.keys)) == "folder-exists"
        assert not (tmp_path / "k2").exists()
        assert not (tmp_path / "r2").exists()
        assert before == {path: path.read_bytes() for path in house.repository.rglob("*") if path.is_file()}

    def test_an_empty_passphrase(self, tmp_path: Path) -> None:
        assert code_of(lambda: make(tmp_path / "r", tmp_path / "k", development=False)) == "passphrase"
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(("threshold", "holders"), [(0, 3), (4, 3), (1, 0), (1, 17), (-1, 1)])
    def test_numbers(self, tmp_path: Path, threshold: int, holders: int) -> None:
        folders = tmp_path / "r", tmp_path / "k"
        assert code_of(lambda: make(*folders, threshold=threshold, holders=holders)) == "threshold"

    @pytest.mark.parametrize("name", ["", "Main", "-x", "a" * 32, "root", "targets", "snapshot", "timestamp", "a/b"])
    def test_stream_names(self, tmp_path: Path, name: str) -> None:
        assert code_of(lambda: make(tmp_path / "r", tmp_path / "k", name)) == "stream"

    def test_folders_apart_whatever_links_say(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        for repository, keys in (
            ("r", "r/keys"),
            ("r/inner", "r"),
            ("r", "r"),
            ("real", "link/keys"),
            ("link/a/../b", "real/b"),
        ):
            folders = tmp_path / repository, tmp_path / keys
            assert code_of(lambda folders=folders: make(*folders)) == "keys-in-repository"


class TestExport:
    def test_first_and_next(self, house: House) -> None:
        first = house.export(b"one")
        assert (first.sequence, first.previous, first.stream_version) == (1, None, 2)
        second = house.export(b"two")
        assert (second.sequence, second.previous) == (2, sha256_of(b"one"))
        names = {path.name for path in (house.repository / "metadata").iterdir()}
        assert names == {"1.root.json", "timestamp.json", "3.snapshot.json", "1.targets.json", "3.main.json"}
        assert not (house.repository / "pending").exists()

    def test_the_same_state_and_time_give_the_same_bytes(self, house: House, tmp_path: Path) -> None:
        house.publish(keys__a_dot_pub=public_key())
        shutil.copytree(house.repository, tmp_path / "twin")
        results = []
        for folder in (house.repository, tmp_path / "twin"):
            with open_repository(folder) as opened:
                publication = opened.next_publication(START)
                opened.write_pending(publication, sha256_of(b"x"), house.out / "t")
                results.append(dict(opened.sign(publication, b"x", house.signer)))
        assert results[0] == results[1]
        assert list(results[0]) == list(results[1])

    def test_order_of_the_files(self, house: House) -> None:
        house.publish(keys__a_dot_pub=public_key(), keys__b_dot_pub=public_key())
        house.export(b"one")
        names = list(read_repository(house.repository).files())
        assert [name for name in names if name.startswith("metadata/")] == [
            "metadata/1.root.json",
            "metadata/timestamp.json",
            "metadata/3.snapshot.json",
            "metadata/2.targets.json",
            "metadata/2.main.json",
        ]
        assert names[5:] == sorted(names[5:])

    def test_abandoned_numbers_are_free_again(self, house: House) -> None:
        first = house.export(b"one", "abandon")
        assert not (house.repository / "pending").exists()
        assert list(house.out.iterdir()) == []
        assert house.export(b"other").sequence == first.sequence

    def test_an_export_that_ended_in_the_dark_counts(self, house: House) -> None:
        dark = house.export(b"one", "dark")
        assert list(house.out.iterdir()) != []
        after = house.export(b"two")
        assert (after.sequence, after.previous) == (2, sha256_of(b"one"))
        assert after.stream_version == dark.stream_version + 1
        assert after.snapshot_version == dark.snapshot_version + 1
        assert after.timestamp_version == dark.timestamp_version + 1
        assert list(house.out.iterdir()) == []
        assert not (house.repository / "pending").exists()

    def test_it_still_counts_after_a_later_one_was_abandoned(self, house: House) -> None:
        house.export(b"one", "dark")
        house.export(b"two", "abandon")
        third = house.export(b"three")
        assert (third.sequence, third.previous) == (2, sha256_of(b"one"))

    def test_twice_in_the_dark(self, house: House) -> None:
        house.export(b"one", "dark")
        house.export(b"two", "dark")
        third = house.export(b"three")
        assert (third.sequence, third.previous) == (3, sha256_of(b"two"))

    def test_it_counts_for_publish_too(self, house: House) -> None:
        dark = house.export(b"one", "dark")
        house.publish(keys__a_dot_pub=public_key())
        versions = read_repository(house.repository).metadata.roles
        assert versions["snapshot"].version == dark.snapshot_version + 1
        assert versions["timestamp"].version == dark.timestamp_version + 1
        assert house.next().sequence == 2

    def test_only_our_temporary_files_are_removed(self, house: House) -> None:
        precious = house.out / "precious.tar"
        precious.write_bytes(b"x")
        with open_repository(house.repository) as opened:
            opened.write_pending(opened.next_publication(START), sha256_of(b"one"), precious)
        house.export(b"two")
        assert precious.exists()

    def test_the_lock(self, house: House) -> None:
        with open_repository(house.repository):
            assert code_of(lambda: house.export(b"one")) == "locked"
            assert code_of(house.publish) == "locked"

    def test_another_key_than_the_exporters(self, house: House) -> None:
        with open_repository(house.repository) as opened:
            publication = opened.next_publication(START)
            opened.write_pending(publication, sha256_of(b"x"), house.out / "t")
            assert code_of(lambda: opened.sign(publication, b"x", generate_key())) == "exporter-key"

    def test_signing_needs_its_pending_record(self, house: House) -> None:
        with open_repository(house.repository) as opened:
            publication = opened.next_publication(START)
            assert code_of(lambda: opened.sign(publication, b"x", house.signer)) == "pending"
            opened.write_pending(publication, sha256_of(b"y"), house.out / "t")
            assert code_of(lambda: opened.sign(publication, b"x", house.signer)) == "pending"
            assert code_of(lambda: opened.commit(publication)) == "pending"

    def test_expired_targets_are_not_exported(self, house: House) -> None:
        late = START + timedelta(days=366)
        with open_repository(house.repository) as opened:
            publication = opened.next_publication(late)
            opened.write_pending(publication, sha256_of(b"x"), house.out / "t")
            assert code_of(lambda: opened.sign(publication, b"x", house.signer)) == "expired"

    @pytest.mark.parametrize(("days", "passes"), [(334, True), (335, False), (400, False)])
    def test_lifetime(self, house: House, days: int, passes: bool) -> None:
        repository = read_repository(house.repository)
        at = START + timedelta(days=days)
        if passes:
            repository.check_lifetime(at)
            return
        with pytest.raises(TrustError) as error:
            repository.check_lifetime(at)
        assert (error.value.code, "targets on 2027-11-01" in error.value.got) == ("expires-soon", True)
        repository.check_lifetime(START + timedelta(days=334), days=30)

    def test_abandoning_something_else_changes_nothing(self, house: House) -> None:
        dark = house.export(b"one", "dark")
        before = (house.repository / "pending").read_bytes()
        with open_repository(house.repository) as opened:
            opened.abandon(replace(dark, sequence=9))
        assert (house.repository / "pending").read_bytes() == before


class TestDamage:
    def test_no_repository(self, tmp_path: Path) -> None:
        def enter() -> None:
            with open_repository(tmp_path):
                pass

        assert code_of(enter) == "no-repository"

    @pytest.mark.parametrize(
        "name", ["timestamp.json", "1.snapshot.json", "1.targets.json", "1.main.json", "1.root.json"]
    )
    def test_metadata_flipped(self, house: House, name: str) -> None:
        path = house.repository / "metadata" / name
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)
        with pytest.raises(SealiftError):
            read_repository(house.repository)

    @pytest.mark.parametrize(
        "raw", [b"", b"{}", b'{"pending":null,"settled":{}}', b"\xff", b'{"pending":1,"settled":null}']
    )
    def test_pending_record(self, house: House, raw: bytes) -> None:
        (house.repository / "pending").write_bytes(raw)
        with pytest.raises(SealiftError) as error:
            read_repository(house.repository)
        assert error.value.code == "pending-damaged"


pendings = st.builds(
    Pending,
    st.integers(1, 2**53 - 1),
    st.binary(max_size=3).map(sha256_of),
    st.integers(1, 99),
    st.integers(1, 99),
    st.integers(1, 99),
    st.text(max_size=20).filter(lambda text: "\x00" not in text and not any(0xD800 <= ord(c) < 0xE000 for c in text)),
)


@given(st.none() | pendings, st.none() | pendings)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_pending_round_trip(settled: Pending | None, pending: Pending | None) -> None:
    record = PendingFile(settled, pending)
    assert parse_pending(format_pending(record)) == record


def test_a_file_name_that_is_not_text() -> None:
    record = PendingFile(None, Pending(1, sha256_of(b""), 1, 1, 1, "/a/\udcff\n.tmp"))
    assert parse_pending(format_pending(record)) == record


def public_key() -> bytes:
    return (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )


class TestPublish:
    def test_adds_keeps_and_removes(self, house: House) -> None:
        key = public_key()
        house.publish(keys__a_dot_pub=key, trusted_root__pg_dot_json=TRUSTED_ROOT)
        done = publish(
            house.repository, house.keys, no_passphrase, START, add={"policies/p.toml": b"a = 1"}, remove=["keys/a.pub"]
        )
        assert (done.targets_version, done.snapshot_version, done.timestamp_version) == (3, 3, 3)
        assert done.paths == ("policies/p.toml", "trusted_root/pg.json")
        assert {path.name for path in (house.repository / "targets").iterdir()} == {
            sha256_of(TRUSTED_ROOT).hex,
            sha256_of(b"a = 1").hex,
        }
        assert len(read_repository(house.repository).metadata.roles["targets"].signers) == 2

    def test_without_changes_it_renews(self, house: House) -> None:
        publish(house.repository, house.keys, no_passphrase, START + timedelta(days=300), add={})
        roles = read_repository(house.repository).metadata.roles
        assert roles["targets"].expires_at == START + timedelta(days=665)
        assert roles["targets"].version == 2

    def test_exports_go_on(self, house: House) -> None:
        house.export(b"one")
        house.publish(keys__a_dot_pub=public_key())
        assert house.export(b"two").previous == sha256_of(b"one")

    @pytest.mark.parametrize(
        ("path", "raw", "code"),
        [
            ("trusted_root/a.json", b"{}", "target-content"),
            ("trusted_root/a.json", TRUSTED_ROOT[:-1] + b',"mediaType":"x"}', "target-content"),
            ("trusted_root/a.json", b"[1]", "target-content"),
            ("trusted_root/a.json", b"[" * 100_000, "target-content"),
            ("keys/a.pub", b"not a key", "target-content"),
            ("policies/a.toml", b"= 1", "target-content"),
            ("policies/a.toml", b"\xff", "target-content"),
            ("keys/../a.pub", b"", "target-path"),
            ("keys/A.pub", b"", "target-path"),
            ("other/a", b"", "target-path"),
        ],
    )
    def test_what_makes_no_sense(self, path: str, raw: bytes, code: str) -> None:
        assert code_of(lambda: check_content(path, raw)) == code

    def test_a_private_key_is_never_published(self) -> None:
        private = generate_key().private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        assert code_of(lambda: check_content("keys/a.pub", private)) == "target-content"

    def test_removing_what_is_not_there(self, house: House) -> None:
        def act() -> object:
            return publish(house.repository, house.keys, no_passphrase, START, add={}, remove=["keys/x.pub"])

        assert code_of(act) == "target-path"

    def test_too_few_holders(self, house: House) -> None:
        for number in (1, 3):
            (house.keys / f"root-{number}.pem").unlink()
        assert code_of(house.publish) == "keys"

    def test_any_two_holders_will_do(self, house: House) -> None:
        (house.keys / "root-1.pem").unlink()
        house.publish()
        assert read_repository(house.repository).metadata.roles["targets"].version == 2

    def test_a_strangers_key_file_is_passed_over(self, house: House) -> None:
        (house.keys / "root-1.pem").unlink()
        write_key(house.keys, "root-1", generate_key(), no_passphrase, development=True)
        house.publish()


class TestKilled:
    """Stopped before any rename, the repository is old or new, and the next run goes on."""

    @pytest.mark.parametrize("count", range(6))
    def test_export(self, house: House, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        house.export(b"one")
        is_killed(monkeypatch, count, lambda: house.export(b"two"))
        after = house.export(b"three")
        signed = count > 0  # from then on the pending record stands, and "two" may have left
        assert (after.sequence, after.previous) == ((3, sha256_of(b"two")) if signed else (2, sha256_of(b"one")))

    @pytest.mark.parametrize("count", range(6))
    def test_publish(self, house: House, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        key = public_key()
        is_killed(monkeypatch, count, lambda: house.publish(keys__a_dot_pub=key))
        contents = read_repository(house.repository).contents
        assert contents in ({}, {"keys/a.pub": key})
        house.publish(keys__b_dot_pub=key)
        assert "keys/b.pub" in read_repository(house.repository).contents

    @pytest.mark.parametrize("count", range(11))
    def test_create(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        repository, keys = tmp_path / "r", tmp_path / "k"
        is_killed(monkeypatch, count, lambda: make(repository, keys))
        if repository.exists():
            assert read_repository(repository).stream == "m"
            assert keys.exists()
        if keys.exists():
            assert {path.name for path in keys.iterdir()} == {"root-1.pem", "exporter.pem"}


class TestKeyFiles:
    def test_encrypted_and_openssl_reads_it(self, tmp_path: Path) -> None:
        key = generate_key()
        write_key(tmp_path, "k", key, lambda name: b"correct horse")
        raw = (tmp_path / "k.pem").read_bytes()
        assert raw.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
        assert load_key(tmp_path, "k", lambda name: b"correct horse").material == key.material
        command = ["openssl", "pkey", "-in", str(tmp_path / "k.pem"), "-passin", "pass:correct horse", "-pubout"]
        public = subprocess.run(command, capture_output=True, check=True).stdout
        assert public == key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def test_wrong_passphrase(self, tmp_path: Path) -> None:
        write_key(tmp_path, "k", generate_key(), lambda name: b"right")
        for wrong in (b"wrong", b""):
            assert code_of(lambda wrong=wrong: load_key(tmp_path, "k", lambda name: wrong)) == "passphrase"

    def test_never_overwritten(self, tmp_path: Path) -> None:
        write_key(tmp_path, "k", generate_key(), no_passphrase, development=True)
        with pytest.raises(EnvError):
            write_key(tmp_path, "k", generate_key(), no_passphrase, development=True)

    def test_other_files(self, tmp_path: Path) -> None:
        ecdsa = ec.generate_private_key(ec.SECP521R1())
        pem = ecdsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        for raw in (b"", b"junk", pem, pem.replace(b"M", b"N")):
            (tmp_path / "k.pem").write_bytes(raw)
            assert code_of(lambda: load_key(tmp_path, "k", no_passphrase)) == "key"
        assert code_of(lambda: load_key(tmp_path, "absent", no_passphrase)) == "file-absent"


def test_metadata_is_plain_json_that_others_read(house: House) -> None:
    document = json.loads((house.repository / "metadata/1.root.json").read_bytes())
    assert document["signed"]["x-sealift-development"] is True
    assert set(document["signed"]["roles"]) == {"root", "targets", "snapshot", "timestamp"}
