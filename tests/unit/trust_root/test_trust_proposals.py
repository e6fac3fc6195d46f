"""Proposals as values and as files: one meaning, signatures that only grow, steps that are whole or not at all."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.digest import sha256_of
from bundler.errors import EnvError, SealiftError, TrustError, UnsupportedError
from bundler.strict_json import format_canonical
from tests.simulators.killed import is_killed
from tests.simulators.tuf_repository import START
from trust_root.ceremony import check_content, publish
from trust_root.client import open_trust
from trust_root.key_files import load_public_file, write_key_pair
from trust_root.keys import ECDSA_P256, ECDSA_P384, SigningKey, generate_key, parse_public_key
from trust_root.proposal import OpenProposal, Proposal, Standing, format_proposal, open_proposal, parse_proposal
from trust_root.proposal_words import describe_proposal, proposal_lines
from trust_root.proposing import (
    begin,
    held,
    propose_delegation,
    propose_rotation,
    propose_targets,
    sign_all,
    sign_here,
)
from trust_root.repository import open_repository, read_repository
from trust_root.roster import Held
from trust_root.signing import Offer, merge_offer, sign_parts
from trust_root.workplace import Workplace, discard, merge, open_workplace, read_workplace, save

KEYS = {name: generate_key() for name in ("alice", "bob", "carol", "exporter", "eve")}


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(SealiftError) as error:
        act()
    return error.value.code


def lay(folder: Path, threshold: int = 2) -> Workplace:
    helds = [Held(name, KEYS[name].public) for name in ("alice", "bob", "carol")]
    exporter = Held("exporter", KEYS["exporter"].public)
    return begin(folder, "main", START, holders=helds, threshold=threshold, exporter=exporter)


def sign(folder: Path, *names: str, at: object = START) -> None:
    for name in names:
        with open_workplace(folder) as place:
            sign_here(place, KEYS[name], at)  # type: ignore[arg-type]


def founded(folder: Path) -> Path:
    lay(folder)
    sign(folder, "alice", "bob", "exporter")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return founded(tmp_path_factory.mktemp("built") / "repo")


@pytest.fixture
def house(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "house")
    return tmp_path / "house"


def proposal_of(folder: Path) -> Proposal:
    return parse_proposal((folder / "proposal.json").read_bytes())


def opened_of(folder: Path) -> OpenProposal:
    opened = read_workplace(folder).opened
    assert opened is not None
    return opened


class TestFile:
    def test_round_trip(self, house: Path) -> None:
        with open_workplace(house) as place:
            propose_targets(place, START, add={"policies/p.toml": b"a = 1", "policies/q.toml": b"a = 1"})
        raw = (house / "proposal.json").read_bytes()
        proposal = parse_proposal(raw)
        assert format_proposal(proposal) == raw
        assert list(proposal.contents.values()) == [b"a = 1"]

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(data=st.data())
    def test_no_flipped_bit_passes_for_the_same(self, built: Path, data: st.DataObject) -> None:
        place = read_workplace(built)
        proposal = Proposal("main", place.standing.chain.roots, place.standing.targets.raw, {})  # type: ignore[union-attr]
        raw = bytearray(format_proposal(proposal))
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        with contextlib.suppress(SealiftError):
            changed = open_proposal(parse_proposal(bytes(raw)), Standing())
            assert changed is not None
            assert changed.stream != "main"  # nobody signs for whose folder it is; the delegation does

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"kind": "sealift-revocation"}, "metadata-form"),
            ({"stream": "Main"}, "metadata-form"),
            ({"stream": "other"}, "delegation"),
            ({"roots": []}, None),
            ({"contents": {"00": "!"}}, "metadata-form"),
            ({"contents": {sha256_of(b"x").hex: "eQ=="}}, "target-hash"),
            ({"more": 1}, "metadata-form"),
            ({"targets": []}, "metadata-form"),
        ],
    )
    def test_another_form(self, house: Path, change: dict[str, object], code: str | None) -> None:
        with open_workplace(house) as place:
            propose_rotation(place, START)
        value = json.loads((house / "proposal.json").read_bytes()) | change
        (house / "proposal.json").write_bytes(format_canonical(value))
        if code is None:
            assert read_workplace(house).opened is None
        else:
            assert code_of(lambda: read_workplace(house)) == code

    def test_a_later_format(self) -> None:
        with pytest.raises(UnsupportedError):
            parse_proposal(format_canonical({"kind": "sealift-proposal", "format": 2}))

    def test_gaps_and_contents(self, house: Path) -> None:
        with open_workplace(house) as place:
            proposal = proposal_of_saved(propose_rotation(place, START))
            standing = place.standing
            targets = propose_targets(
                Workplace(house, place.repository, None), START, add={"policies/p.toml": b"a = 1"}
            )
        assert code_of(lambda: open_proposal(proposal, Standing())) == "root-chain"
        twice = replace_roots(proposal, proposal.roots * 2)
        assert code_of(lambda: open_proposal(twice, standing)) == "root-chain"
        assert code_of(lambda: open_proposal(Proposal("main", (), None, {}), Standing())) == "root-chain"
        bare = Proposal("main", (), proposal_of_saved(targets).targets, {})
        assert code_of(lambda: open_proposal(bare, standing)) == "target-hash"

    def test_a_root_on_one_that_lacks_signatures(self, house: Path) -> None:
        with open_workplace(house) as place:
            first = propose_rotation(place, START)
            opened = first.opened
            assert opened is not None
            assert code_of(lambda: propose_rotation(first, START)) == "proposal-pending"
            second = json.loads(opened.roots[0].file.raw)
            second["signed"]["version"] = 3
            both = replace_roots(opened.proposal(), (opened.roots[0].file.raw, format_canonical(second)))
            assert code_of(lambda: open_proposal(both, place.standing)) == "threshold"


def proposal_of_saved(place: Workplace) -> Proposal:
    assert place.opened is not None
    return place.opened.proposal()


def replace_roots(proposal: Proposal, roots: tuple[bytes, ...]) -> Proposal:
    return Proposal(proposal.stream, roots, proposal.targets, proposal.contents)


class TestWords:
    """What a holder is shown is what would be signed, also of a proposal that was altered on its way."""

    def altered(self, house: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> str:
        with open_workplace(house) as place:
            opened = propose_rotation(place, START, exporter=Held("new", KEYS["eve"].public)).opened
            assert opened is not None
            before = opened.proposal()
            assert before.targets is not None
            root, targets = json.loads(before.roots[0]), json.loads(before.targets)
            change(root["signed"], targets["signed"])
            save(place, replace(before, roots=(format_canonical(root),), targets=format_canonical(targets)))
        return "\n".join(proposal_lines(describe_proposal(opened_of(house)), START))

    def test_as_our_own_commands_make_it(self, house: Path) -> None:
        told = self.altered(house, lambda root, targets: None)
        assert "+ exporter new" in told
        assert "- exporter exporter" in told
        assert "timestamp" not in told
        assert told.count("signatures needed") == 2

    def test_another_key_for_timestamps(self, house: Path) -> None:
        key_id = KEYS["alice"].public.keyid

        def change(root: dict[str, Any], targets: dict[str, Any]) -> None:
            root["roles"]["timestamp"]["keyids"] = [key_id]

        told = self.altered(house, change)
        assert "+ timestamp signer alice" in told
        assert "- timestamp signer exporter" in told

    @pytest.mark.parametrize("role", ["snapshot", "timestamp"])
    def test_more_signatures_than_there_are_exporters(self, house: Path, role: str) -> None:
        def change(root: dict[str, Any], targets: dict[str, Any]) -> None:
            root["roles"][role]["threshold"] = 2

        assert f"{role} signatures needed: 2 of 1, was 1 of 1" in self.altered(house, change)

    def test_a_stream_that_nobody_could_sign_for(self, house: Path) -> None:
        def change(root: dict[str, Any], targets: dict[str, Any]) -> None:
            targets["delegations"]["roles"][0]["threshold"] = 2

        assert "; signatures needed: 2" in self.altered(house, change)


class TestSigning:
    def test_what_is_complete_is_never_changed(self, house: Path) -> None:
        with open_workplace(house) as place:
            propose_rotation(place, START)
        sign(house, "alice", "bob")
        before = (house / "proposal.json").read_bytes()
        assert code_of(lambda: sign(house, "carol")) == "key-not-asked"
        assert (house / "proposal.json").read_bytes() == before

    def test_a_signature_by_a_stranger_in_the_file(self, house: Path) -> None:
        with open_workplace(house) as place:
            opened = propose_rotation(place, START).opened
            assert opened is not None
            value = json.loads(opened.roots[0].file.raw)
            eve = KEYS["eve"]
            value["signatures"] = [{"keyid": eve.public.keyid, "sig": eve.sign(opened.roots[0].file.payload)}]
            bad = replace_roots(opened.proposal(), (format_canonical(value),))
            assert code_of(lambda: save(place, bad)) == "metadata-signature"

    def test_merging_is_the_same_in_any_order(self, house: Path) -> None:
        with open_workplace(house) as place:
            opened = propose_rotation(place, START, threshold=3).opened
            assert opened is not None
            signed = [sign_parts(opened, KEYS[name])[0] for name in ("alice", "bob", "carol")]
            results = set()
            for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
                merged = opened.proposal()
                for number in order:
                    merged = merge_offer(place.standing, "main", merged, Offer(signed[number]))
                results.add(format_proposal(merged))
            # Two of the old three are enough for the old root, three of the new are needed: all came in.
            assert len(results) == 1
            final = open_proposal(merged, place.standing)
            assert final is not None
            assert final.complete

    def test_what_is_in_place_elsewhere_wins_and_a_fork_is_seen(self, house: Path, tmp_path: Path) -> None:
        with open_workplace(house) as place:
            propose_rotation(place, START)
        other = tmp_path / "other"
        shutil.copytree(house, other)
        sign(house, "alice", "bob")
        sign(other, "bob", "carol", "exporter")
        with open_workplace(house) as place:
            merged = merge(place, other)
            assert merged.opened is not None
            assert merged.opened.roots[0].file.raw == (other / "metadata/2.root.json").read_bytes()
        shutil.rmtree(house)
        shutil.copytree(other, house)
        with open_workplace(house) as place:
            propose_rotation(place, START)
            propose_rotation(Workplace(other, read_repository(other), None), START + timedelta(days=1))
        sign(house, "alice", "bob", "exporter")
        sign(other, "alice", "bob", "exporter")
        with open_workplace(house) as place:
            assert code_of(lambda: merge(place, other)) == "root-fork"

    def test_two_folders_completed_by_different_holders_do_not_fork(self, house: Path, tmp_path: Path) -> None:
        """One root and targets of each version: sites compare them byte for byte."""
        lab = tmp_path / "lab"
        with open_workplace(house) as place:
            propose_delegation(place, START, "lab", Held("lab", KEYS["eve"].public), lab)
        sign(house, "alice", "bob")
        sign(lab, "alice", "carol")
        with open_workplace(lab) as place:
            assert code_of(lambda: merge(place, house)) == "proposal-differs"
        sign(house, "exporter")
        with open_workplace(lab) as place:
            sign_here(merge(place, house), KEYS["eve"], START)
        one, two = read_repository(house).metadata, read_repository(lab).metadata
        assert one.targets.raw == two.targets.raw
        assert one.chain.roots == two.chain.roots

    def test_targets_that_went_another_way(self, house: Path, tmp_path: Path) -> None:
        other = tmp_path / "other"
        shutil.copytree(house, other)
        for folder, content in ((house, b"a = 1"), (other, b"a = 2")):
            with open_workplace(folder) as place:
                propose_targets(place, START, add={"policies/p.toml": content})
            sign(folder, "alice", "bob", "exporter")
        with open_workplace(house) as place:
            assert code_of(lambda: merge(place, other)) == "targets-fork"

    def test_discarding_keeps_what_is_complete(self, house: Path) -> None:
        with open_workplace(house) as place:
            propose_rotation(place, START)
        sign(house, "alice", "bob")
        assert discard(house) == ()
        with open_workplace(house) as place:
            propose_rotation(place, START)
        assert discard(house) == ("3.root.json",)
        assert [part.file.name for part in opened_of(house).parts] == ["2.root.json"]
        sign(house, "exporter")
        assert read_repository(house).chain.newest.signed.version == 2

    def test_discarding_beside_a_damaged_repository(self, house: Path) -> None:
        with open_workplace(house) as place:
            propose_rotation(place, START)
        (house / "metadata/timestamp.json").write_bytes(b"{}")
        assert code_of(lambda: discard(house)) == "metadata-form"
        assert (house / "proposal.json").exists()

    def test_publishing_on_one_machine_does_not_pass_over_a_proposal(self, house: Path, tmp_path: Path) -> None:
        with open_workplace(house) as place:
            propose_targets(place, START, add={})
        assert code_of(lambda: publish(house, tmp_path / "keys", lambda _n: b"", START, add={})) == "proposal-pending"


class TestFolder:
    def test_nothing_there(self, tmp_path: Path) -> None:
        for folder in (tmp_path, tmp_path / "absent"):
            assert code_of(lambda folder=folder: read_workplace(folder)) == "no-repository"
            assert code_of(lambda folder=folder: open_workplace(folder).__enter__()) == "no-repository"

    def test_it_is_locked(self, house: Path) -> None:
        with open_workplace(house):
            assert code_of(lambda: sign(house, "alice")) == "locked"
            assert code_of(lambda: open_repository(house).__enter__()) == "locked"

    @pytest.mark.parametrize("name", ["metadata", "targets"])
    def test_nothing_is_touched_through_a_link(self, house: Path, tmp_path: Path, name: str) -> None:
        """On the carried stick: a link to where the signer keeps something."""
        elsewhere = tmp_path / "elsewhere"
        (house / name).rename(elsewhere)
        precious = [elsewhere / ".sealift-0123456789abcdef.tmp", elsewhere / ("0" * 64)]
        for path in precious:
            path.write_bytes(b"x")
        (house / name).symlink_to(elsewhere)
        assert code_of(lambda: sign(house, "exporter")) == "file-kind"
        with pytest.raises(EnvError), open_repository(house):
            pass
        assert all(path.exists() for path in precious)
        assert read_workplace(house).repository is not None  # looking does no harm

    def test_nothing_is_overwritten(self, house: Path) -> None:
        assert code_of(lambda: lay(house)) == "folder-exists"

    def test_an_unfounded_folder_is_no_repository(self, tmp_path: Path) -> None:
        lay(tmp_path / "r")
        assert code_of(lambda: read_repository(tmp_path / "r")) == "no-repository"
        assert opened_of(tmp_path / "r").stream == "main"

    def test_expired_roots_are_not_put_in_place(self, tmp_path: Path) -> None:
        lay(tmp_path / "r")
        sign(tmp_path / "r", "alice", "bob")
        late = START + timedelta(days=366)
        assert code_of(lambda: sign(tmp_path / "r", "exporter", at=late)) == "expired"

    def test_on_one_machine_with_too_few_keys(self, house: Path, tmp_path: Path) -> None:
        keys = tmp_path / "keys"
        for name in ("alice", "exporter"):
            write_key_pair(keys, name, KEYS[name], lambda _name: b"", development=True)
        with open_workplace(house) as place:
            changed = propose_rotation(place, START)
            assert code_of(lambda: sign_all(changed, keys, lambda _name: b"", START)) == "threshold"
        (keys / "exporter.pem").unlink()
        with open_workplace(house) as place:
            assert code_of(lambda: sign_all(place, keys, lambda _name: b"", START)) == "keys"
            assert code_of(lambda: sign_all(place, house / "keys", lambda _name: b"", START)) == "keys-in-repository"


class TestKilled:
    """Stopped before any rename or removal: the old state or the new one, and the same step can be taken again."""

    def stopped(self, monkeypatch: pytest.MonkeyPatch, count: int, act: Callable[[], object]) -> bool:
        return is_killed(monkeypatch, count, act, ("rename", "unlink"))

    @pytest.mark.parametrize("count", range(12))
    def test_founding(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        folder = tmp_path / "r"
        lay(folder)
        sign(folder, "alice", "bob")
        self.stopped(monkeypatch, count, lambda: sign(folder, "exporter"))
        place = read_workplace(folder)
        if place.opened is not None or place.repository is None:
            sign(folder, "exporter")
        repository = read_repository(folder)
        assert repository.next_publication(START).sequence == 1
        assert read_workplace(folder).opened is None
        open_for_export(folder, KEYS["exporter"])

    @pytest.mark.parametrize("count", range(14))
    def test_rotating_everything(self, house: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        with open_workplace(house) as place:
            eve = Held("eve", KEYS["eve"].public)
            propose_rotation(place, START, remove=["carol"], exporter=eve)
        sign(house, "alice", "bob")
        old = read_repository(house)
        stopped = self.stopped(monkeypatch, count, lambda: sign(house, "eve"))
        place = read_workplace(house)
        assert place.repository is not None
        targets = place.repository.metadata.roles["targets"].version
        assert targets in (1, 2)
        if targets == 1:  # all that counts is as it was, whatever files lie beside it
            assert place.repository.metadata.targets.raw == old.metadata.targets.raw
            assert place.opened is not None
            sign(house, "eve")
        assert stopped or targets == 2
        assert read_repository(house).metadata.roles["root"].version == 2
        assert read_workplace(house).opened is None
        open_for_export(house, KEYS["eve"])

    @pytest.mark.parametrize("count", range(3))
    def test_signing_and_proposing(self, house: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        def propose() -> None:
            with open_workplace(house) as place:
                propose_rotation(place, START)

        if self.stopped(monkeypatch, count, propose):
            assert read_workplace(house).opened is None
            propose()
        if self.stopped(monkeypatch, count, lambda: sign(house, "alice")):
            assert opened_of(house).roots[0].file.signatures == ()
            sign(house, "alice")
        assert len(opened_of(house).roots[0].file.signatures) == 1


def open_for_export(folder: Path, key: SigningKey) -> None:
    with open_repository(folder) as repository:
        publication = repository.next_publication(START)
        repository.write_pending(publication, sha256_of(b"x"), folder / "t")
        open_trust(repository.pin, repository.sign(publication, b"x", key), START)
        repository.abandon(publication)


class TestKeyFiles:
    @pytest.mark.parametrize("kind", [None, ECDSA_P256, ECDSA_P384])
    def test_public_halves(self, tmp_path: Path, kind: tuple[str, str] | None) -> None:
        key = generate_key(*([kind] if kind else []))
        path = write_key_pair(tmp_path / "keys", "alice", key, lambda _name: b"horse")
        assert load_public_file(path).keyid == key.public.keyid
        assert held(str(path)).name == "alice"
        assert held(f"Al B.={path}").name == "Al B."
        assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
        assert code_of(lambda: write_key_pair(tmp_path / "keys", "alice", key, lambda _name: b"horse")) == "file-exists"

    @pytest.mark.parametrize("name", ["", ".", "a/b", "..", "é", "a\n", " a", "a" * 65, "-a"])
    def test_names(self, tmp_path: Path, name: str) -> None:
        key = generate_key()
        assert code_of(lambda: write_key_pair(tmp_path, name, key, lambda _name: b"x")) == "holder-name"
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_passphrase(self, tmp_path: Path) -> None:
        assert code_of(lambda: write_key_pair(tmp_path, "a", generate_key(), lambda _name: b"")) == "passphrase"
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "raw", [b"", b"junk", b"\xff", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
    )
    def test_no_public_key(self, tmp_path: Path, raw: bytes) -> None:
        (tmp_path / "a.pub").write_bytes(raw)
        assert code_of(lambda: load_public_file(tmp_path / "a.pub")) == "key"
        with pytest.raises(SealiftError):
            parse_public_key(raw, "a")


def test_witness_keys_are_checked() -> None:
    check_content("witnesses/a.vkey", b"w.example+0a1b2c3d+AXl5eXl5eXk=\n")
    for raw in (b"", b"a = 1", b"w+0a1b2c3d", b"w+0a1b2c3d+AAAAAAAA\nmore", b"\xff+0a1b2c3d+AAAAAAAAAAAA"):
        assert code_of(lambda raw=raw: check_content("witnesses/a.vkey", raw)) == "target-content"


def test_errors_of_trust_are_trust_errors(house: Path) -> None:
    (house / "proposal.json").write_bytes(b"{}")
    with pytest.raises(TrustError):
        read_workplace(house)
    assert replace(Standing(), stream="x").stream == "x"
