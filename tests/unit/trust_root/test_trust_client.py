"""open_trust: every rule of the workflow kept and broken, each by its code; and no flipped bit passes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bundler import limits
from bundler.digest import sha256_of
from bundler.errors import SealiftError, TrustError
from tests.simulators.tuf_ecdsa import EcdsaSigner, high_s
from tests.simulators.tuf_repository import START, TufRepository, altered, relinked
from trust_root.authoring import InventoryFacts, make_stream, sign_metadata
from trust_root.client import open_trust
from trust_root.keys import SigningKey, generate_key, tuf_key

INVENTORY = b'{"an":"inventory"}'
CONTENTS = {"trusted_root/public-good.json": b'{"a":1}', "keys/vendor.pub": b"a key"}


def standing(*streams: str, **options: Any) -> TufRepository:
    repository = TufRepository(*(streams or ("main",)), targets=CONTENTS, **options)
    repository.export(next(iter(repository.streams)), INVENTORY)
    return repository


@pytest.fixture(scope="module")
def repository() -> TufRepository:
    made = standing()
    made.add_root()
    made.add_root()
    return made


@pytest.fixture
def files(repository: TufRepository) -> dict[str, bytes]:
    return repository.files()


def refused(repository: TufRepository, files: Mapping[str, bytes], **options: Any) -> TrustError:
    with pytest.raises(TrustError) as error:
        open_trust(repository.pin, files, START, **options)
    return error.value


def key(repository: TufRepository) -> SigningKey:
    return repository.streams["main"].key


def changed(
    repository: TufRepository, name: str, change: Callable[[dict[str, Any]], object], *signers: SigningKey
) -> dict[str, bytes]:
    """The files with one of them changed, signed again, and listed again by snapshot and timestamp."""
    files = repository.files()
    files[name] = altered(files[name], change, signers or [key(repository)])
    return relinked(files, key(repository))


def named(files: Mapping[str, bytes], ending: str) -> str:
    (name,) = [name for name in files if name.endswith(ending)]
    return name


class TestAccepts:
    def test_tells_what_was_proved(self, repository: TufRepository, files: dict[str, bytes]) -> None:
        trusted = open_trust(repository.pin, files, START)
        assert trusted.pin_digest == sha256_of(repository.pin)
        assert trusted.roots == tuple(repository.roots)
        assert trusted.root_version == 3
        assert (trusted.stream, trusted.sequence) == ("main", 1)
        assert trusted.inventory_path == "bundles/main/1.json"
        assert trusted.inventory_size_bytes == len(INVENTORY)
        assert trusted.inventory_digest == sha256_of(INVENTORY)
        assert dict(trusted.targets) == CONTENTS
        assert trusted.stale == ()
        assert not trusted.development
        assert set(trusted.roles) == {"root", "timestamp", "snapshot", "targets", "stream"}
        assert len(trusted.roles["targets"].signers) == trusted.roles["targets"].threshold == 2
        assert trusted.roles["stream"].signers == (key(repository).material,)

    def test_a_pin_in_the_middle_of_the_chain(self, repository: TufRepository, files: dict[str, bytes]) -> None:
        assert open_trust(repository.roots[1], files, START).root_version == 3

    def test_only_the_newest_roots_expiry_counts(self) -> None:
        repository = standing()
        repository.add_root(START + timedelta(days=1200))
        repository.export("main", INVENTORY, START + timedelta(days=1200))
        repository.publish(START + timedelta(days=1200))
        at = START + timedelta(days=1201)
        assert open_trust(repository.pin, repository.files(), at).root_version == 2

    def test_a_development_mark_cannot_be_rotated_away(self) -> None:
        repository = standing(development=True)
        repository.development = False
        repository.add_root()
        assert open_trust(repository.pin, repository.files(), START).development

    def test_a_root_may_change_all_its_holders(self) -> None:
        repository = standing()
        repository.add_root(holders=[generate_key() for _ in range(4)], threshold=3)
        assert open_trust(repository.pin, repository.files(), START).root_version == 2

    def test_other_streams_may_be_delegated(self) -> None:
        repository = standing("main", "other")
        assert open_trust(repository.pin, repository.files(), START).stream == "main"

    def test_two_paths_may_share_content(self) -> None:
        repository = TufRepository("main", targets={"keys/a.pub": b"same", "keys/b.pub": b"same"})
        repository.export("main", INVENTORY)
        assert len(open_trust(repository.pin, repository.files(), START).targets) == 2

    def test_later_roots_judge(self, repository: TufRepository) -> None:
        twin = repository.fork()
        files = twin.files()
        later = twin.add_root()
        assert open_trust(twin.pin, files, START, later_roots=[later]).root_version == 4
        twin.streams["main"].key = generate_key()
        revoking = twin.add_root()
        with pytest.raises(TrustError) as error:
            open_trust(twin.pin, files, START, later_roots=[later, revoking])
        assert error.value.code == "metadata-signature"


class TestRoots:
    def test_the_pin_must_be_there_byte_for_byte(self, repository: TufRepository, files: dict[str, bytes]) -> None:
        stranger = TufRepository("main")
        assert refused(stranger, files).code == "pin-not-in-bundle"
        with pytest.raises(TrustError) as error:
            open_trust(repository.roots[2], {k: v for k, v in files.items() if "3.root" not in k}, START)
        assert error.value.code == "pin-not-in-bundle"

    @pytest.mark.parametrize("version", [1, 2])
    def test_no_root_may_be_left_out(self, repository: TufRepository, files: dict[str, bytes], version: int) -> None:
        del files[f"metadata/{version}.root.json"]
        assert refused(repository, files).code == "root-chain"

    def test_no_root_at_all(self, repository: TufRepository, files: dict[str, bytes]) -> None:
        assert refused(repository, {k: v for k, v in files.items() if "root" not in k}).code == "root-chain"

    def test_the_newest_root_may_not_be_dropped_when_it_rotated_keys(self, repository: TufRepository) -> None:
        twin = repository.fork()
        twin.streams["main"].key = generate_key()
        twin.add_root()
        files = twin.files()
        del files["metadata/4.root.json"]
        assert refused(twin, files).code == "metadata-signature"

    def test_a_version_that_its_name_denies(self, repository: TufRepository, files: dict[str, bytes]) -> None:
        files["metadata/3.root.json"] = files["metadata/2.root.json"]
        assert refused(repository, files).code == "version-mismatch"

    def test_root_one_must_meet_its_own_threshold(self) -> None:
        repository = standing()
        raw = altered(repository.pin, lambda signed: None, repository.holders[:1])
        repository.roots[0] = raw
        error = refused(repository, repository.files())
        assert (error.code, error.got[:10], error.want) == ("threshold", "verified 1", "threshold 2")

    def test_signed_only_by_the_new_holders(self) -> None:
        repository = standing()
        strangers = [generate_key() for _ in range(3)]
        repository.add_root(holders=strangers, signers=strangers)
        assert refused(repository, repository.files()).code == "threshold"

    def test_signed_only_by_the_old_holders(self) -> None:
        repository = standing()
        old = list(repository.holders)
        repository.add_root(holders=[generate_key() for _ in range(3)], signers=old)
        assert refused(repository, repository.files()).code == "threshold"

    def test_a_signature_of_no_use(self) -> None:
        repository = standing()
        repository.add_root(signers=[*repository.holders, generate_key()])
        assert refused(repository, repository.files()).code == "metadata-signature"

    def test_one_key_under_two_ids_counts_once(self) -> None:
        repository = standing()
        first, pin = repository.holders[0], repository.pin

        def under_two_ids(signed: dict[str, Any]) -> None:
            role = signed["roles"]["root"]["keyids"]
            role.append("f" * 64)
            signed["keys"]["f" * 64] = signed["keys"][first.public.keyid]

        twin = SigningKey(first.private, tuf_key(first.private.public_key()))
        twin.public.keyid = "f" * 64
        repository.roots[0] = altered(pin, under_two_ids, [first, twin])
        error = refused(repository, repository.files())
        assert (error.code, error.got[:10]) == ("threshold", "verified 1")
        repository.roots[0] = altered(pin, under_two_ids, [first, twin, repository.holders[1]])
        assert open_trust(repository.pin, repository.files(), START)

    def test_too_many_roots_are_an_error_never_silence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        repository = standing()
        repository.add_root()
        monkeypatch.setattr(limits, "ROOTS", 1)
        assert refused(repository, repository.files()).code == "limits"

    def test_three_hundred_rotations(self) -> None:
        repository = standing(holders=1, threshold=1)
        for _ in range(300):
            repository.add_root(holders=[generate_key()])
        assert open_trust(repository.pin, repository.files(), START).root_version == 301


class TestForm:
    """Every field of every file, of another type, unknown, missing or with a value that makes no sense."""

    @pytest.mark.parametrize(
        "change",
        [
            lambda signed: signed.update(extra=1),
            lambda signed: signed.pop("consistent_snapshot"),
            lambda signed: signed.update(consistent_snapshot=False),
            lambda signed: signed.update(version=0),
            lambda signed: signed.update(version="1"),
            lambda signed: signed.update(version=True),
            lambda signed: signed.update(_type="targets"),
            lambda signed: signed.update(spec_version="2.0.0"),
            lambda signed: signed.update(spec_version="1.0"),
            lambda signed: signed.update(expires="2029-10-31T12:00:00.5Z"),
            lambda signed: signed.update(expires="2029-13-31T12:00:00Z"),
            lambda signed: signed.update(keys=[]),
            lambda signed: signed["roles"].pop("snapshot"),
            lambda signed: signed["roles"].update(mirrors=signed["roles"]["snapshot"]),
            lambda signed: signed["roles"]["targets"].update(threshold=0),
            lambda signed: signed["roles"]["targets"].update(threshold="2"),
            lambda signed: signed["roles"]["targets"].update(more=1),
            lambda signed: signed["roles"]["targets"]["keyids"].append("a" * 64),
            lambda signed: signed["roles"]["targets"]["keyids"].append(signed["roles"]["targets"]["keyids"][0]),
            lambda signed: next(iter(signed["keys"].values())).update(scheme="rsassa-pss-sha256"),
            lambda signed: next(iter(signed["keys"].values())).update(x=1),
            lambda signed: next(iter(signed["keys"].values()))["keyval"].update(private="x"),
            lambda signed: next(iter(signed["keys"].values()))["keyval"].update(public="00"),
            lambda signed: next(iter(signed["keys"].values()))["keyval"].update(public="A" * 64),
            lambda signed: signed["keys"].update({"b" * 63: next(iter(signed["keys"].values()))}),
            lambda signed: signed.update({"x-sealift-development": False}),
            lambda signed: signed.update({"x-sealift-development": 1}),
        ],
    )
    def test_root(self, change: Callable[[dict[str, Any]], object]) -> None:
        repository = standing()
        repository.roots[0] = altered(repository.pin, change, repository.holders)
        assert refused(repository, repository.files()).code == "metadata-form"

    @pytest.mark.parametrize(
        "change",
        [
            lambda signed: signed["meta"].update(other=signed["meta"]["snapshot.json"]),
            lambda signed: signed["meta"]["snapshot.json"].pop("length"),
            lambda signed: signed["meta"]["snapshot.json"].pop("hashes"),
            lambda signed: signed["meta"]["snapshot.json"]["hashes"].update(sha512="00"),
            lambda signed: signed["meta"]["snapshot.json"].update(hashes={"sha512": "0" * 128}),
            lambda signed: signed["meta"]["snapshot.json"].update(version=0),
            lambda signed: signed["meta"]["snapshot.json"].update(length=limits.TRUST_METADATA_BYTES + 1),
            lambda signed: signed.update(meta={}),
            lambda signed: signed.update({"x-sealift-development": True}),
        ],
    )
    def test_timestamp(self, repository: TufRepository, change: Callable[[dict[str, Any]], object]) -> None:
        files = repository.files()
        name = "metadata/timestamp.json"
        files[name] = altered(files[name], change, [key(repository)])
        assert refused(repository, files).code == "metadata-form"

    @pytest.mark.parametrize(
        "change",
        [
            lambda signed: signed["meta"].pop("main.json"),
            lambda signed: signed["meta"].pop("targets.json"),
            lambda signed: signed["meta"].update({"other.json": signed["meta"]["main.json"]}),
            lambda signed: signed["meta"].update({"Main.json": signed["meta"].pop("main.json")}),
            lambda signed: signed["meta"].update({"root.json": signed["meta"].pop("main.json")}),
            lambda signed: signed["meta"].update({"main": signed["meta"].pop("main.json")}),
            lambda signed: signed["meta"]["main.json"].pop("hashes"),
            lambda signed: signed["meta"]["targets.json"].pop("length"),
        ],
    )
    def test_snapshot(self, repository: TufRepository, change: Callable[[dict[str, Any]], object]) -> None:
        files = repository.files()
        name = named(files, ".snapshot.json")
        files[name] = altered(files[name], change, [key(repository)])

        def list_again(signed: dict[str, Any]) -> None:
            meta = {"length": len(files[name]), "hashes": {"sha256": sha256_of(files[name]).hex}}
            signed["meta"]["snapshot.json"].update(meta)

        files["metadata/timestamp.json"] = altered(files["metadata/timestamp.json"], list_again, [key(repository)])
        assert refused(repository, files).code == "metadata-form"

    @pytest.mark.parametrize(
        "change",
        [
            lambda signed: signed.pop("delegations"),
            lambda signed: signed["delegations"].update(succinct_roles={}),
            lambda signed: signed["delegations"]["roles"][0].update(terminating=False),
            lambda signed: signed["delegations"]["roles"][0].update(paths=["bundles/*"]),
            lambda signed: signed["delegations"]["roles"][0].update(paths=["bundles/main/*", "x/*"]),
            lambda signed: signed["delegations"]["roles"][0].update(paths=[]),
            lambda signed: signed["delegations"]["roles"][0].update(path_hash_prefixes=["0"]),
            lambda signed: signed["delegations"]["roles"][0].update(threshold=0),
            lambda signed: signed["delegations"]["roles"][0].update(name="root", paths=["bundles/root/*"]),
            lambda signed: signed["delegations"]["roles"].append(signed["delegations"]["roles"][0]),
            lambda signed: signed["targets"].update({"elsewhere.json": {"length": 0, "hashes": {"sha256": "0" * 64}}}),
            lambda signed: signed["targets"].update({"keys/../x.pub": {"length": 0, "hashes": {"sha256": "0" * 64}}}),
            lambda signed: signed["targets"]["keys/vendor.pub"].update(custom={}),
            lambda signed: signed["targets"]["keys/vendor.pub"].update(length=2**53 - 1),
            lambda signed: signed["targets"]["keys/vendor.pub"]["hashes"].update(sha256="0" * 63),
        ],
    )
    def test_targets(self, repository: TufRepository, change: Callable[[dict[str, Any]], object]) -> None:
        name = named(repository.files(), ".targets.json")
        files = changed(repository, name, change, *repository.holders[:2])
        assert refused(repository, files).code == "metadata-form"

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            (lambda signed: signed.update(delegations={"keys": {}, "roles": []}), "metadata-form"),
            (lambda signed: signed.update(targets={"keys/x.pub": signed["targets"].popitem()[1]}), "metadata-form"),
            (
                lambda signed: signed["targets"].update(
                    {"bundles/main/2.json": next(iter(signed["targets"].values()))}
                ),
                "metadata-form",
            ),
            (lambda signed: signed.update(targets={"bundles/main/01.json": {}}), "metadata-form"),
            (lambda signed: signed.update(targets={}), "delegation"),
            (
                lambda signed: signed.update(targets={"bundles/other/1.json": signed["targets"].popitem()[1]}),
                "delegation",
            ),
        ],
    )
    def test_stream(self, repository: TufRepository, change: Callable[[dict[str, Any]], object], code: str) -> None:
        name = named(repository.files(), ".main.json")
        assert refused(repository, changed(repository, name, change)).code == code

    @pytest.mark.parametrize(
        "spelling",
        [
            lambda raw: raw + b"\n",
            lambda raw: b" " + raw,
            lambda raw: raw.replace(b'"sig":"', b'"sig": "', 1),
            lambda raw: raw.replace(b'"_type"', b'"\\u005ftype"', 1),
            lambda raw: raw.replace(b'"version":2', b'"version":2.0', 1),
            lambda raw: raw.replace(b'"version":2', b'"version":02', 1),
            lambda raw: raw.replace(b'"signed":{', b'"signed":{"version":1,', 1),
            lambda raw: raw[:-1] + b',"more":1}',
            lambda raw: raw[: len(raw) // 2],
            lambda raw: b"",
            lambda raw: b"[]",
            lambda raw: b"null",
            lambda raw: b"\xff\xfe",
            lambda raw: b"[" * 100_000,
            lambda raw: b'{"signatures":[],"signed":{}}',
            lambda raw: b'{"signatures":[{}],"signed":{}}',
        ],
    )
    @pytest.mark.parametrize("name", ["metadata/2.root.json", "metadata/timestamp.json"])
    def test_another_spelling(
        self, repository: TufRepository, files: dict[str, bytes], name: str, spelling: Callable[[bytes], bytes]
    ) -> None:
        files[name] = spelling(files[name])
        assert refused(repository, files).code in {"metadata-canonical", "metadata-form", "metadata-signature"}

    def test_upper_case_hex_in_a_signature(self, repository: TufRepository, files: dict[str, bytes]) -> None:
        name = "metadata/timestamp.json"
        signature = files[name].split(b'"sig":"')[1][:128]
        files[name] = files[name].replace(signature, signature.upper())
        assert refused(repository, files).code == "metadata-form"

    def test_signatures_out_of_order(self) -> None:
        repository = standing()
        head, _, tail = repository.pin.partition(b"],")
        first, second = head.removeprefix(b'{"signatures":[').split(b"},{")
        swapped = b'{"signatures":[{' + second.removesuffix(b"}") + b"}," + first + b"}]," + tail
        repository.roots[0] = swapped
        assert refused(repository, repository.files()).code == "metadata-form"


class TestSignaturesAndLinks:
    def test_unsigned(self, repository: TufRepository, files: dict[str, bytes]) -> None:
        name = "metadata/timestamp.json"
        files[name] = altered(files[name], lambda signed: None, [])
        assert refused(repository, files).code == "threshold"

    @pytest.mark.parametrize("name", ["metadata/timestamp.json", ".snapshot.json", ".main.json"])
    def test_by_a_stranger(self, repository: TufRepository, files: dict[str, bytes], name: str) -> None:
        name = named(files, name)
        files[name] = altered(files[name], lambda signed: None, [generate_key()])
        if name != "metadata/timestamp.json":
            files = relinked(files, key(repository)) if ".main" in name else files
        assert refused(repository, files).code in {"metadata-signature", "metadata-hash"}

    def test_targets_below_their_threshold(self, repository: TufRepository) -> None:
        name = named(repository.files(), ".targets.json")
        files = changed(repository, name, lambda signed: None, repository.holders[0])
        assert refused(repository, files).code == "threshold"

    def test_targets_by_the_exporter(self, repository: TufRepository) -> None:
        name = named(repository.files(), ".targets.json")
        assert refused(repository, changed(repository, name, lambda signed: None)).code == "metadata-signature"

    def test_a_role_signed_by_the_root_holders_instead(self, repository: TufRepository) -> None:
        name = named(repository.files(), ".main.json")
        files = changed(repository, name, lambda signed: None, *repository.holders)
        assert refused(repository, files).code == "metadata-signature"

    @pytest.mark.parametrize("ending", [".snapshot.json", ".targets.json", ".main.json"])
    def test_other_bytes_than_listed(self, repository: TufRepository, files: dict[str, bytes], ending: str) -> None:
        files[named(files, ending)] += b" "
        assert refused(repository, files).code == "metadata-hash"

    @pytest.mark.parametrize("by", [-1, 1])
    @pytest.mark.parametrize("listed", ["snapshot.json", "root.json", "targets.json", "main.json"])
    def test_the_right_hash_with_another_length(self, repository: TufRepository, listed: str, by: int) -> None:
        files = repository.files()
        lister = "metadata/timestamp.json" if listed == "snapshot.json" else named(files, ".snapshot.json")

        def lie(signed: dict[str, Any]) -> None:
            signed["meta"][listed]["length"] += by

        files[lister] = altered(files[lister], lie, [key(repository)])
        if listed != "snapshot.json":  # the timestamp lists the snapshot with its lie truthfully
            meta = {"length": len(files[lister]), "hashes": {"sha256": sha256_of(files[lister]).hex}}
            stamp = "metadata/timestamp.json"
            files[stamp] = altered(files[stamp], lambda s: s["meta"]["snapshot.json"].update(meta), [key(repository)])
        assert refused(repository, files).code == "metadata-hash"

    @pytest.mark.parametrize("by", [-1, 1])
    def test_a_target_of_another_length(self, repository: TufRepository, by: int) -> None:
        def lie(signed: dict[str, Any]) -> None:
            signed["targets"]["keys/vendor.pub"]["length"] += by

        files = changed(repository, named(repository.files(), ".targets.json"), lie, *repository.holders[:2])
        assert refused(repository, files).code == "target-hash"

    @pytest.mark.parametrize("ending", [".snapshot.json", ".targets.json", ".main.json"])
    def test_version_inside_and_outside(self, repository: TufRepository, ending: str) -> None:
        files = repository.files()
        name = named(files, ending)
        signers = repository.holders[:2] if ending == ".targets.json" else [key(repository)]
        files[name] = altered(files[name], lambda signed: signed.update(version=9), signers)
        if ending == ".snapshot.json":
            meta = {"length": len(files[name]), "hashes": {"sha256": sha256_of(files[name]).hex}}
            stamp = "metadata/timestamp.json"
            files[stamp] = altered(files[stamp], lambda s: s["meta"]["snapshot.json"].update(meta), [key(repository)])
        else:
            files = relinked(files, key(repository))
        assert refused(repository, files).code == "version-mismatch"

    def test_a_stream_without_a_delegation(self, repository: TufRepository) -> None:
        twin = repository.fork()
        files = twin.files()
        targets = named(files, ".targets.json")
        without = {"keys": {}, "roles": []}
        files[targets] = altered(files[targets], lambda s: s.update(delegations=without), twin.holders[:2])
        assert refused(twin, relinked(files, key(twin))).code == "delegation"

    def test_a_stream_of_another_exporters_key(self) -> None:
        repository = standing("main", "other")
        files = repository.files("main")
        name = named(files, ".main.json")
        other = repository.streams["other"].key
        files[name] = altered(files[name], lambda signed: None, [other])
        assert refused(repository, relinked(files, other)).code == "metadata-signature"

    def test_another_exporter_may_not_speak_for_a_stream(self) -> None:
        """Its online key is in the root, so it can list what it wants; what a stream says is bound by its own role."""
        repository = standing("main", "other")
        other = repository.streams["other"].key
        files = repository.files("main")
        name = named(files, ".main.json")
        forged = make_stream("main", 2, START, InventoryFacts(1, 3, sha256_of(b"bad")))
        files[name] = sign_metadata(forged, [other])
        assert refused(repository, relinked(files, other)).code == "metadata-signature"


class TestMembers:
    def test_every_member_is_needed(self, repository: TufRepository, files: dict[str, bytes]) -> None:
        for name in files:
            error = refused(repository, {key: raw for key, raw in files.items() if key != name})
            assert error.code in {"root-chain", "pin-not-in-bundle", "missing-trust-member"}

    def test_the_newest_root_cannot_be_left_out(self, repository: TufRepository, files: dict[str, bytes]) -> None:
        del files["metadata/3.root.json"]
        assert refused(repository, files).code == "missing-trust-member"

    def test_a_newer_root_cannot_be_added(self, repository: TufRepository, files: dict[str, bytes]) -> None:
        twin = repository.fork()
        files["metadata/4.root.json"] = twin.add_root()
        assert refused(twin, files).code == "version-mismatch"

    @pytest.mark.parametrize(
        "name",
        [
            "metadata/9.snapshot.json",
            "metadata/9.targets.json",
            "metadata/1.main.json",
            "metadata/1.other.json",
            "metadata/snapshot.json",
            "metadata/1234567890.root.json",
            "targets/" + "0" * 64,
            "targets/README",
            "notes.txt",
        ],
    )
    def test_nothing_else_is_there(self, repository: TufRepository, files: dict[str, bytes], name: str) -> None:
        files[name] = b"more"
        assert refused(repository, files).code == "extra-trust-member"

    def test_contents_of_targets(self, repository: TufRepository, files: dict[str, bytes]) -> None:
        name = f"targets/{sha256_of(CONTENTS['keys/vendor.pub']).hex}"
        files[name] = b"a kez"
        assert refused(repository, files).code == "target-hash"

    def test_two_members_swapped(self, repository: TufRepository, files: dict[str, bytes]) -> None:
        names = list(files)
        for first in names:
            for second in names[names.index(first) + 1 :]:
                swapped = {**files, first: files[second], second: files[first]}
                assert isinstance(refused(repository, swapped), TrustError)


class TestExpiry:
    @pytest.mark.parametrize(("after", "passes"), [(-1, True), (0, False), (1, False)])
    def test_the_moment_itself_is_too_late(self, repository: TufRepository, after: int, passes: bool) -> None:
        at = START + timedelta(days=365, seconds=after)
        if passes:
            assert open_trust(repository.pin, repository.files(), at)
            return
        with pytest.raises(TrustError) as error:
            open_trust(repository.pin, repository.files(), at)
        assert error.value.code == "expired"
        assert "timestamp on 2027-11-01T12:00:00Z" in error.value.got
        assert any("--at" in hint for hint in error.value.hints)

    def test_grace(self, repository: TufRepository) -> None:
        at = START + timedelta(days=370)
        trusted = open_trust(repository.pin, repository.files(), at, grace=timedelta(days=6))
        assert trusted.stale == ("timestamp", "snapshot", "targets", "stream")
        with pytest.raises(TrustError) as error:
            open_trust(repository.pin, repository.files(), at, grace=timedelta(days=5))
        assert error.value.code == "expired"

    @pytest.mark.parametrize("role", ["root", "targets", "stream"])
    def test_each_role_by_itself(self, role: str) -> None:
        repository = standing()
        late = START + timedelta(days=300)
        if role != "root":
            repository.add_root(late)
        else:
            repository.add_root(START, lives=timedelta(days=10))
        if role != "targets":
            repository.publish(late)
        if role != "stream":
            repository.export("main", INVENTORY, late)
        at = START + timedelta(days=400 if role != "root" else 20)
        with pytest.raises(TrustError) as error:
            open_trust(repository.pin, repository.files(), at)
        assert (error.value.code, role in error.value.got) == ("expired", True)


class TestOtherKeys:
    @pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
    def test_ecdsa_signs_too_and_has_one_spelling(self, curve: ec.EllipticCurve) -> None:
        signer = EcdsaSigner(curve)
        repository = standing()
        repository.streams["main"].key = signer  # type: ignore[assignment]
        repository.roots.clear()
        repository.add_root()
        files = repository.files()
        assert open_trust(repository.pin, files, START).roles["stream"].signers == (signer.material,)
        name = "metadata/timestamp.json"
        signature = files[name].split(b'"sig":"')[1].split(b'"')[0]
        files[name] = files[name].replace(signature, high_s(signature, curve))
        assert refused(repository, files).code == "metadata-signature"

    def test_a_root_with_other_curves_is_refused(self) -> None:
        with pytest.raises(SealiftError) as error:
            tuf_key(ec.generate_private_key(ec.SECP521R1()).public_key())
        assert error.value.code == "key"


def flips(files: Mapping[str, bytes]) -> list[tuple[str, int]]:
    return [(name, bit) for name, raw in files.items() for bit in range(len(raw) * 8)]


def check_flips(repository: TufRepository, cases: list[tuple[str, int]]) -> None:
    files = repository.files()
    for name, bit in cases:
        raw = bytearray(files[name])
        raw[bit // 8] ^= 1 << (bit % 8)
        try:
            open_trust(repository.pin, {**files, name: bytes(raw)}, START)
        except TrustError:
            continue
        pytest.fail(f"bit {bit} of {name} may be flipped")


def test_flipped_bits_are_refused(repository: TufRepository) -> None:
    cases = flips(repository.files())
    check_flips(repository, random.Random(20261123).sample(cases, 1000))


@pytest.mark.exhaustive
def test_every_flipped_bit_is_refused(repository: TufRepository) -> None:
    check_flips(repository, flips(repository.files()))


def test_every_truncation_is_refused(repository: TufRepository) -> None:
    files = repository.files()
    for name, raw in files.items():
        for length in range(0, len(raw), 17):
            refused(repository, {**files, name: raw[:length]})


def test_the_pin_itself_is_parsed_strictly(repository: TufRepository, files: dict[str, bytes]) -> None:
    for raw in (b"", b"{}", repository.pin + b" ", b"\xff"):
        with pytest.raises(TrustError):
            open_trust(raw, files, START)


def test_roots_made_with_a_threshold_that_nobody_meets() -> None:
    repository = standing()
    repository.add_root(threshold=4, signers=repository.holders)
    assert refused(repository, repository.files()).code == "threshold"
