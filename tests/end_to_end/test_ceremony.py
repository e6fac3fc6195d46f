"""Ceremonies over several laptops, as people hold them: every step a command, every step in its own folder."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from bundler.digest import sha256_of
from bundler.errors import TrustError
from tests.simulators.laptops import HOLDERS, START, Desk
from tests.simulators.rotations import rotate_often
from trust_root.authoring import InventoryFacts, make_stream, sign_metadata, sign_online
from trust_root.client import open_trust
from trust_root.key_files import load_key_file
from trust_root.keys import ECDSA_P256, SigningKey
from trust_root.repository import Repository, open_repository, read_repository
from trust_root.revocation import parse_revocation
from trust_root.root_chain import verify_chain


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    return Desk(tmp_path, monkeypatch)


def key_of(desk: Desk, name: str) -> SigningKey:
    return load_key_file(desk.folder / name / f"{name}.pem", lambda _name: b"")


def export(desk: Desk, folder: str, signer: SigningKey, inventory: bytes = b"inventory") -> dict[str, bytes]:
    """What a bundle carries below `trust/`, verified from root 1 as a site does."""
    with open_repository(Path(folder)) as repository:
        publication = repository.next_publication(desk.now)
        repository.write_pending(publication, sha256_of(inventory), Path("out.tar"))
        files = dict(repository.sign(publication, inventory, signer))
        repository.commit(publication)
    open_trust(repository.pin, files, desk.now)
    return files


def test_two_of_three_across_three_folders(desk: Desk) -> None:
    fingerprints = {}
    for name in (*HOLDERS, "exporter"):
        said = desk.json("key", name, "--keys", name, env={"SEALIFT_KEY_PASSPHRASE": f"horse {name}"})
        fingerprints[name] = said["fingerprint"]
        assert b"ENCRYPTED" in Path(name, f"{name}.pem").read_bytes()
    holders = [word for name in HOLDERS for word in ("--holder", f"{name}/{name}.pub")]
    said = desk.ok("init", "carried", *holders, "--exporter", "exporter/exporter.pub", "--stream", "plant")
    assert "root signatures needed: 2 of 3" in said
    for name, fingerprint in fingerprints.items():
        assert f"{name} ({fingerprint})" in said
    assert not Path("carried/metadata/1.root.json").exists()
    assert desk.refused("pin", "carried/metadata/1.root.json", "--sha256", "0" * 64) == "file"

    first = desk.carry("carried", "alice/carried")
    said = desk.ok("sign", first, "--key", "alice/alice.pem", "--yes", env={"SEALIFT_KEY_PASSPHRASE": "horse alice"})
    assert "1.root.json: 1 of 2 signatures of role root of root 1 (alice); still needed: 1 of bob, carol" in said
    exporter = {"SEALIFT_KEY_PASSPHRASE": "horse exporter"}
    assert desk.refused("sign", first, "--key", "exporter/exporter.pem", "--yes", env=exporter) == "threshold"

    second = desk.carry("alice/carried", "carol/carried")
    said = desk.ok("sign", second, "--key", "carol/carol.pem", "--yes", env={"SEALIFT_KEY_PASSPHRASE": "horse carol"})
    assert "next: the exporter of stream plant puts it in place" in said

    third = desk.carry("carol/carried", "exporter/carried")
    said = desk.ok("sign", third, "--key", "exporter/exporter.pem", "--yes", env=exporter)
    root = Path(third, "metadata/1.root.json").read_bytes()
    assert sha256_of(root).hex in said
    assert not Path(third, "proposal.json").exists()
    assert "nothing waits" in desk.ok("sign", third)

    shown = desk.json("show", third)
    assert {key["name"] for key in shown["root"]["roles"][0]["keys"]} == set(HOLDERS)
    assert [len(facts.signers) for facts in read_repository(Path(third)).metadata.roles.values()] == [2, 1, 1, 2, 1]
    desk.ok("pin", f"{third}/metadata/1.root.json", "--sha256", sha256_of(root).hex, "--site", "plant-7")
    export(desk, third, load_key_file(Path("exporter/exporter.pem"), lambda _name: b"horse exporter"))


def test_signatures_on_copies_are_merged(desk: Desk) -> None:
    for name in (*HOLDERS, "exporter"):
        desk.key(name)
    holders = [word for name in HOLDERS for word in ("--holder", f"{name}/{name}.pub")]
    desk.ok("init", "carried", *holders, "--exporter", "exporter/exporter.pub", "--stream", "plant", "--threshold", "3")
    for name in HOLDERS:
        desk.sign(desk.carry("carried", f"{name}/carried"), name)
    state = desk.json("sign", "carried", "--merge", "alice/carried", "--merge", "bob/carried/proposal.json")
    assert [quorum["signed"] for quorum in state["proposal"]["files"][0]["quorums"]] == [["alice", "bob"]]
    assert not state["proposal"]["complete"]
    desk.sign("carried", "exporter", "--merge", "carol/carried")
    assert len(read_repository(Path("carried")).metadata.roles["root"].signers) == 3


def test_what_is_shown_before_it_is_asked(desk: Desk) -> None:
    desk.found()
    desk.ok("rotate", "carried", "--remove-holder", "carol")
    result = desk.run("sign", "carried", "--key", "alice/alice.pem")
    assert result.exception.code == "not-confirmed"  # type: ignore[union-attr]
    assert "- root holder carol" in result.stderr
    assert "= root holder alice" in result.stderr  # what stays is shown too: the folder may have been exchanged
    digest = sha256_of(Path("carried/metadata/1.root.json").read_bytes()).hex
    assert " ".join(digest[n : n + 4] for n in range(0, 32, 4)) in result.stderr
    assert "root signatures needed: 2 of 2, was 2 of 3" in result.stderr
    payload = json.loads(Path("carried/proposal.json").read_bytes())
    assert payload["roots"][0]["signatures"] == []


class TestThreshold:
    def test_the_same_holder_twice(self, desk: Desk) -> None:
        for name in (*HOLDERS, "exporter"):
            desk.key(name)
        holders = [word for name in HOLDERS for word in ("--holder", f"{name}/{name}.pub")]
        desk.ok("init", "carried", *holders, "--exporter", "exporter/exporter.pub", "--stream", "plant")
        desk.sign("carried", "alice")
        assert desk.refused("sign", "carried", "--key", "alice/alice.pem", "--yes") == "signed-already"
        assert desk.refused("sign", "carried", "--key", "exporter/exporter.pem", "--yes") == "threshold"
        assert not Path("carried/metadata/timestamp.json").exists()

    def test_one_key_under_two_names(self, desk: Desk) -> None:
        for name in ("alice", "bob", "exporter"):
            desk.key(name)
        base = ("init", "carried", "--stream", "plant", "--holder", "alice/alice.pub", "--holder", "bob/bob.pub")
        exporter = ("--exporter", "exporter/exporter.pub")
        assert desk.refused(*base, "--holder", "eve=bob/bob.pub", *exporter) == "key-twice"
        assert desk.refused(*base, "--exporter", "eve=bob/bob.pub") == "key-twice"
        assert desk.refused(*base, "--exporter", "bob=exporter/exporter.pub") == "holder-name"
        assert desk.refused(*base, *exporter, "--threshold", "3") == "threshold"
        assert not Path("carried").exists()

    def test_a_stranger(self, desk: Desk) -> None:
        desk.found()
        desk.key("eve")
        desk.ok("rotate", "carried")
        assert desk.refused("sign", "carried", "--key", "eve/eve.pem", "--yes") == "key-not-asked"

    def test_a_root_that_only_the_new_keys_have_signed(self, desk: Desk) -> None:
        desk.found()
        for name in ("dave", "erin"):
            desk.key(name)
        desk.ok(
            "rotate", "carried", "--add-holder", "dave/dave.pub", "--add-holder", "erin/erin.pub",
            "--remove-holder", "alice", "--remove-holder", "bob", "--remove-holder", "carol",
        )  # fmt: skip
        for name in ("dave", "erin"):
            state = desk.sign("carried", name)
        old, new = state["proposal"]["files"][0]["quorums"]
        assert (old["signed"], old["missing"], new["missing"]) == ([], 2, 0)
        assert desk.refused("sign", "carried", "--key", "exporter/exporter.pem", "--yes") == "threshold"
        for name in ("alice", "carol"):
            desk.sign("carried", name)
        assert desk.sign("carried", "exporter")["root_version"] == 2
        export(desk, "carried", key_of(desk, "exporter"))


class TestAltered:
    @pytest.fixture
    def waiting(self, desk: Desk) -> Desk:
        desk.found()
        desk.ok("rotate", "carried", "--remove-holder", "carol")
        desk.sign("carried", "alice")
        return desk

    def change(self, folder: str, old: bytes, new: bytes) -> None:
        path = Path(folder, "proposal.json")
        raw = path.read_bytes()
        assert old in raw
        path.write_bytes(raw.replace(old, new, 1))

    def test_what_somebody_has_signed(self, waiting: Desk) -> None:
        self.change("carried", b'"threshold":2', b'"threshold":1')
        for words in (("sign", "carried"), ("sign", "carried", "--key", "bob/bob.pem", "--yes"), ("show", "carried")):
            assert waiting.refused(*words) == "metadata-signature"
        assert waiting.ok("sign", "carried", "--discard") == "dropped: proposal.json\n"
        assert waiting.json("show", "carried")["root"]["version"] == 1

    def test_altered_and_without_the_signatures(self, waiting: Desk) -> None:
        waiting.carry("carried", "mallory")
        value = json.loads(Path("mallory/proposal.json").read_bytes())
        value["roots"][0]["signatures"] = []
        raw = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
        Path("mallory/proposal.json").write_bytes(raw)
        self.change("mallory", b'"threshold":2', b'"threshold":1')
        waiting.sign("mallory", "bob")  # who did not compare what was shown
        assert waiting.refused("sign", "carried", "--merge", "mallory") == "proposal-differs"
        assert waiting.refused("sign", "mallory", "--key", "exporter/exporter.pem", "--yes") == "threshold"

    def test_an_older_proposal_put_back(self, waiting: Desk) -> None:
        old = Path("carried/proposal.json").read_bytes()
        waiting.sign("carried", "bob")
        done = Path("carried/proposal.json").read_bytes()
        waiting.sign("carried", "exporter")
        Path("carried/proposal.json").write_bytes(done)  # the very one that is in place
        assert "nothing waits" in waiting.ok("sign", "carried")
        Path("carried/proposal.json").write_bytes(old)
        assert waiting.refused("sign", "carried", "--key", "bob/bob.pem", "--yes") == "proposal-stale"
        waiting.ok("sign", "carried", "--discard")
        assert waiting.json("show", "carried")["root"]["version"] == 2

    def test_another_folders_proposal(self, waiting: Desk) -> None:
        (waiting.folder / "other").mkdir()
        other = Desk.__new__(Desk)
        other.__dict__.update(waiting.__dict__)
        for name in ("zoe", "yan", "out2"):
            other.key(name)
        other.ok(
            "init", "second", "--holder", "zoe/zoe.pub", "--holder", "yan/yan.pub", "--exporter", "out2/out2.pub",
            "--stream", "plant",
        )  # fmt: skip
        assert waiting.refused("sign", "carried", "--merge", "second") == "root-fork"
        shutil.copy("second/proposal.json", "carried/proposal.json")
        assert waiting.refused("sign", "carried") == "proposal-stale"

    @pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b'{"kind":"sealift-proposal"}', b"[" * 100_000])
    def test_another_form(self, waiting: Desk, raw: bytes) -> None:
        Path("carried/proposal.json").write_bytes(raw)
        assert waiting.refused("sign", "carried") == "metadata-form"


class TestRotate:
    def test_from_ed25519_to_ecdsa(self, desk: Desk) -> None:
        desk.found()
        before = export(desk, "carried", key_of(desk, "exporter"))
        new = [f"{name}2" for name in (*HOLDERS, "exporter")]
        for name in new:
            desk.key(name, ECDSA_P256)
        swaps = [word for name in HOLDERS for word in ("--remove-holder", name, "--add-holder", f"{name}2/{name}2.pub")]
        desk.now = START + timedelta(days=100)
        desk.ok("rotate", "carried", *swaps, "--exporter", "exporter2/exporter2.pub")
        for name in ("alice", "bob", "carol2", "alice2"):
            desk.sign("carried", name)
        assert desk.refused("sign", "carried", "--key", "exporter/exporter.pem", "--yes") == "key-not-asked"
        desk.sign("carried", "exporter2")
        repository = read_repository(Path("carried"))
        assert {key.scheme for key in repository.chain.newest.signed.keys.values()} == {"ecdsa-sha2-nistp256"}
        assert repository.next_publication(desk.now).previous == sha256_of(b"inventory")
        after = export(desk, "carried", key_of(desk, "exporter2"), b"next")
        with pytest.raises(TrustError) as error:  # what the old key has signed is refused under the new root
            open_trust(repository.pin, before, desk.now, later_roots=repository.chain.roots[1:])
        assert error.value.code in {"metadata-signature", "version-mismatch"}
        assert open_trust(repository.pin, after, desk.now).root_version == 2

    def test_renewal_needs_no_new_targets(self, desk: Desk) -> None:
        desk.found()
        desk.now = START + timedelta(days=300)
        state = desk.json("rotate", "carried")
        assert [file["file"] for file in state["proposal"]["files"]] == ["2.root.json"]
        for name in ("bob", "carol", "exporter"):
            desk.sign("carried", name)
        shown = desk.json("show", "carried")
        assert shown["root"]["expires"] == "2030-09-18T09:00:00Z"

    def test_names(self, desk: Desk) -> None:
        desk.found()
        desk.key("dave")
        assert desk.refused("rotate", "carried", "--remove-holder", "eve") == "holder"
        assert desk.refused("rotate", "carried", "--add-holder", "alice=dave/dave.pub") == "holder-name"
        assert desk.refused("rotate", "carried", "--add-holder", "a\n=dave/dave.pub") == "holder-name"
        assert desk.refused("rotate", "carried", "--add-holder", "absent.pub") == "file"
        assert desk.refused("rotate", "carried", "--threshold", "4") == "threshold"
        digits = key_of(desk, "carol").material.hex[:12]
        desk.ok("rotate", "carried", "--remove-holder", digits)
        assert desk.refused("rotate", "carried") == "proposal-pending"
        desk.ok("sign", "carried", "--discard")
        assert desk.refused("sign", "carried", "--discard") == "no-proposal"

    def test_on_one_machine(self, desk: Desk) -> None:
        desk.ok("init", "repo", "--keys", "keys", "--stream", "plant", "--development")
        desk.ok("key", "dave", "--keys", "keys", "--development")
        desk.ok("key", "exporter-2", "--keys", "keys", "--development")
        first = read_repository(Path("repo")).chain.newest.signed
        gone = load_key_file(Path("keys/root-3.pem"), lambda _name: b"").material.hex
        done = desk.json(
            "rotate", "repo", "--keys", "keys", "--remove-holder", gone, "--add-holder", "keys/dave.pub",
            "--exporter", "keys/exporter-2.pub",
        )  # fmt: skip
        assert (done["root_version"], done["targets_version"], done["development"]) == (2, 2, True)
        repository = read_repository(Path("repo"))
        assert set(repository.chain.newest.signed.keys) != set(first.keys)
        assert repository.development
        export(desk, "repo", load_key_file(Path("keys/exporter-2.pem"), lambda _name: b""))
        assert desk.json("publish", "repo", "--keys", "keys")["targets_version"] == 3

    def test_many(self, desk: Desk) -> None:
        """The quick way: one repository that stays open."""
        desk.ok(
            "init", "repo", "--keys", "keys", "--stream", "m", "--development", "--holders", "1", "--threshold", "1"
        )
        holder, exporter = (
            load_key_file(Path(f"keys/{name}.pem"), lambda _name: b"") for name in ("root-1", "exporter")
        )
        repository = rotate_often(Path("repo"), 40, [holder], exporter, desk.now)
        assert repository.chain.newest.signed.version == 41
        assert verify_chain(Repository(Path("repo")).chain.roots).newest.signed.version == 41


class TestPublish:
    def test_two_of_three_sign_the_targets(self, desk: Desk) -> None:
        desk.found()
        Path("policy.toml").write_text("a = 1\n")
        state = desk.json("publish", "carried", "--policy", "p=policy.toml")
        assert state["proposal"]["files"][0]["changes"][0].startswith("+ target policies/p.toml, sha256:")
        assert desk.refused("publish", "carried") == "proposal-pending"
        assert read_repository(Path("carried")).contents == {}
        for name in ("carol", "bob", "exporter"):
            desk.sign("carried", name)
        assert read_repository(Path("carried")).contents == {"policies/p.toml": b"a = 1\n"}
        assert desk.json("show", "carried")["proposal"] is None

    def test_exports_go_on_while_it_waits(self, desk: Desk) -> None:
        desk.found()
        desk.ok("publish", "carried")
        export(desk, "carried", key_of(desk, "exporter"))
        for name in ("alice", "bob", "exporter"):
            desk.sign("carried", name)
        assert read_repository(Path("carried")).next_publication(desk.now).sequence == 2

    def test_what_waited_too_long_is_not_put_in_place(self, desk: Desk) -> None:
        desk.found()
        desk.ok("publish", "carried")
        for name in ("alice", "bob"):
            desk.sign("carried", name)
        desk.now = START + timedelta(days=366)
        assert desk.refused("sign", "carried", "--key", "exporter/exporter.pem", "--yes") == "expired"

    def test_a_second_change_follows_one_that_waits_for_the_exporter_only(self, desk: Desk) -> None:
        desk.found()
        desk.ok("publish", "carried")
        for name in ("alice", "bob"):
            desk.sign("carried", name)
        desk.ok("rotate", "carried", "--remove-holder", "carol")
        assert desk.ok("sign", "carried", "--discard") == "dropped: 2.root.json\ndropped: 3.targets.json\n"


class TestStreams:
    @pytest.fixture
    def two(self, desk: Desk) -> Desk:
        desk.found()
        desk.key("lab")
        desk.ok("delegate", "carried", "--stream", "lab", "--exporter", "lab/lab.pub", "--into", "lab/repo")
        assert desk.refused("sign", "lab/repo", "--key", "lab/lab.pem", "--yes") == "threshold"
        for name in ("alice", "carol"):
            desk.sign("carried", name)
        desk.sign("lab/repo", "lab", "--merge", "carried")
        desk.sign("carried", "exporter")
        return desk

    def test_two_exporters_under_one_root(self, two: Desk) -> None:
        files = {
            "plant": export(two, "carried", key_of(two, "exporter")),
            "lab": export(two, "lab/repo", key_of(two, "lab")),
        }
        pin = files["plant"]["metadata/1.root.json"]
        assert files["lab"]["metadata/1.root.json"] == pin
        assert files["lab"]["metadata/2.root.json"] == files["plant"]["metadata/2.root.json"]
        assert files["lab"]["metadata/2.targets.json"] == files["plant"]["metadata/2.targets.json"]
        for stream, own in files.items():
            assert open_trust(pin, own, two.now).stream == stream

    def test_neither_can_speak_for_the_other(self, two: Desk) -> None:
        lab, exporter = key_of(two, "lab"), key_of(two, "exporter")
        with open_repository(Path("carried")) as plant:
            publication = plant.next_publication(two.now)
            plant.write_pending(publication, sha256_of(b"x"), Path("out.tar"))
            with pytest.raises(Exception, match="exporter") as error:
                plant.sign(publication, b"x", lab)
            assert error.value.code == "exporter-key"  # type: ignore[attr-defined]
            plant.abandon(publication)
        mine = export(two, "lab/repo", lab)
        theirs = export(two, "carried", exporter)
        root, targets = (
            read_repository(Path("carried")).chain.newest,
            read_repository(Path("carried")).metadata.targets,
        )
        forged = sign_metadata(make_stream("plant", 9, two.now, InventoryFacts(9, 1, sha256_of(b"x"))), [lab])
        online = sign_online(
            root=(2, root.raw), targets=(2, targets.raw), stream=("plant", 9, forged), versions=(9, 9), at=two.now,
            signer=lab,
        )  # fmt: skip
        roots = {name: raw for name, raw in theirs.items() if name.endswith("root.json")}
        with pytest.raises(TrustError) as refused:  # a snapshot by the lab may say so, but the plant's stream did not
            open_trust(roots["metadata/1.root.json"], {**roots, **online}, two.now)
        assert refused.value.code == "metadata-signature"
        # The lab's timestamp and snapshot are by a key of the root, but its stream is not the plant's.
        mixed = {**theirs, **{name: raw for name, raw in mine.items() if "timestamp" in name or "snapshot" in name}}
        with pytest.raises(TrustError):
            open_trust(theirs["metadata/1.root.json"], mixed, two.now)

    def test_one_exporters_key_is_stolen(self, two: Desk) -> None:
        before = export(two, "carried", key_of(two, "exporter"))
        kept = export(two, "lab/repo", key_of(two, "lab"))
        two.key("exporter2")
        two.ok("revoke", "carried", "--stream", "plant", "--exporter", "exporter2/exporter2.pub")
        two.sign("carried", "alice")
        two.ok("sign", "carried", "--revocation-file", "early.json")
        assert not Path("early.json").exists()
        two.sign("carried", "bob", "--revocation-file", "revocation.json")
        raw = Path("revocation.json").read_bytes()
        assert len(raw) < 16 * 1024
        roots = parse_revocation(raw)
        chain = verify_chain(roots)
        assert chain.newest.signed.version == 3
        with pytest.raises(TrustError) as error:
            open_trust(roots[0], before, two.now, later_roots=roots[2:])
        assert error.value.code == "metadata-signature"
        with pytest.raises(TrustError):  # nor by the metadata of the other exporter, whose snapshot names an older root
            open_trust(roots[0], {**before, **kept}, two.now, later_roots=roots[2:])
        two.sign("carried", "exporter2")
        export(two, "carried", key_of(two, "exporter2"), b"new")
        two.sign("lab/repo", "lab", "--merge", "carried")
        export(two, "lab/repo", key_of(two, "lab"), b"new")
        assert two.refused("sign", "carried", "--revocation-file", "revocation.json") == "file-exists"

    def test_a_stream_ends(self, two: Desk) -> None:
        two.ok("revoke", "carried", "--stream", "lab")
        for name in ("alice", "bob", "exporter"):
            two.sign("carried", name)
        export(two, "carried", key_of(two, "exporter"))
        state = two.json("sign", "lab/repo", "--merge", "carried")
        assert state["proposal"]["complete"]
        assert "no exporter" in state["proposal"]["next"]
        assert two.refused("sign", "lab/repo", "--key", "lab/lab.pem", "--yes") == "key-not-asked"

    def test_what_makes_no_sense(self, two: Desk) -> None:
        two.key("other")
        into = ("--exporter", "other/other.pub", "--into", "third")
        assert two.refused("delegate", "carried", "--stream", "lab", *into) == "stream"
        assert two.refused("delegate", "carried", "--stream", "root", *into) == "stream"
        assert two.refused("delegate", "carried", "--stream", "x", *into[:2], "--into", "lab") == "folder-exists"
        twice = ("--exporter", "zed=lab/lab.pub", "--into", "third")
        assert two.refused("delegate", "carried", "--stream", "x", *twice) == "key-twice"
        assert two.refused("revoke", "carried", "--stream", "nobody") == "stream"
        assert two.refused("revoke", "carried", "--stream", "lab", "--revocation-file", "r.json") == "usage"
        assert not Path("third").exists()
        assert not Path("carried/proposal.json").exists()


def test_development_is_for_good(desk: Desk) -> None:
    for name in (*HOLDERS, "exporter"):
        desk.key(name)
    holders = [word for name in HOLDERS for word in ("--holder", f"{name}/{name}.pub")]
    exporter = ("--exporter", "exporter/exporter.pub", "--stream", "plant")
    result = desk.run("init", "carried", *holders, *exporter, "--development")
    assert "FOR DEVELOPMENT ONLY, for good" in result.stdout
    assert "FOR DEVELOPMENT ONLY" in result.stderr
    for name in ("alice", "bob", "exporter"):
        desk.sign("carried", name)
    desk.ok("rotate", "carried")
    for name in ("alice", "bob", "exporter"):
        desk.sign("carried", name)
    roots = read_repository(Path("carried")).chain.files
    assert [root.signed.unrecognized_fields["x-sealift-development"] for root in roots] == [True, True]
