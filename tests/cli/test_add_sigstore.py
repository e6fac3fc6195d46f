"""`sealift trust add-sigstore`: another TUF chain under ours, honest, expired, forked, rolled back; plain files."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bundler.cli.trust_sigstore import place_of
from tests.cli.session import Result, call
from tests.simulators.sigstore import Sigstore
from tests.simulators.station import no_passphrase
from tests.simulators.tuf_general import NOW, GeneralRepository, served
from trust_root.ceremony import create

RAW = Sigstore("add sigstore").trusted_root_json()
OTHER = Sigstore("another sigstore").trusted_root_json()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The time, in a list of one, to be changed."""
    times = [NOW]
    monkeypatch.setattr("bundler.cli.trust_sigstore.clock", lambda: times[0])
    monkeypatch.setattr("trust_root.cli_common.clock", lambda: times[0])
    return times


@pytest.fixture
def ours(tmp_path: Path, clock: list[datetime]) -> Path:
    """Our own trust repository; its keys are in `keys` beside it."""
    create(
        tmp_path / "repo", tmp_path / "keys", "main", no_passphrase, NOW - timedelta(hours=1), threshold=1, holders=1,
        development=True,
    )  # fmt: skip
    return tmp_path / "repo"


@pytest.fixture
def theirs() -> GeneralRepository:
    """A Sigstore's: three roots, a target at the top, one below a delegation."""
    repository = GeneralRepository()
    repository.add_target("trusted_root.json", RAW)
    repository.add_target("signing_config.v0.2.json", b"{}")
    repository.delegate("targets", "registry.npmjs.org", ["registry.npmjs.org/*"])
    repository.add_target("registry.npmjs.org/trusted_root.json", OTHER, role="registry.npmjs.org")
    repository.publish()
    repository.publish_root(bump=True)
    repository.publish_root(bump=True)
    return repository


def add(ours: Path, source: str | Path, *words: str | Path) -> Result:
    return call("trust", "add-sigstore", ours, "--keys", ours.parent / "keys", "--from", source, *words)


def write(folder: Path, repository: GeneralRepository, *, below: str = "") -> Path:
    """The repository as a mirror on a stick; metadata at the top, or below a folder."""
    for path, raw in repository.files.items():
        place = folder / path if path.startswith("targets/") else folder / below / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(raw)
    return folder


def root_of(tmp_path: Path, repository: GeneralRepository, version: int = 1) -> Path:
    path = tmp_path / f"{version}.root.json"
    path.write_bytes(repository.files[f"{version}.root.json"])
    return path


def told(ours: Path, name: str = "public-good") -> dict[str, Any]:
    """The origin that stands in our repository."""
    targets = json.loads(call("trust", "show", ours, "--json").out)
    paths = {item["path"]: item["digest"].removeprefix("sha256:") for item in targets["targets"]}
    assert set(paths) >= {f"trusted_root/{name}.json", f"origins/{name}.json"}
    value = json.loads((ours / "targets" / paths[f"origins/{name}.json"]).read_bytes())
    assert value["trusted_root"] == f"sha256:{paths[f'trusted_root/{name}.json']}"
    return dict(value)


@pytest.mark.parametrize("below", ["", "metadata"])
def test_a_mirror_is_walked_from_the_root_that_was_typed(
    tmp_path: Path, ours: Path, theirs: GeneralRepository, below: str
) -> None:
    mirror = write(tmp_path / "mirror", theirs, below=below)
    done = add(ours, mirror, "--root", root_of(tmp_path, theirs), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["origin"] == told(ours)
    walk = told(ours)["walk"]
    assert (walk["place"], walk["target"], walk["listed_by"]) == ("folder", "trusted_root.json", "targets")
    assert (walk["first_root"]["version"], walk["newest_root"]["version"], walk["expired"]) == (1, 3, [])
    assert {role["role"] for role in walk["roles"]} == {"root", "timestamp", "snapshot", "targets"}
    assert str(tmp_path) not in json.dumps(told(ours))
    shown = call("trust", "show", ours).out
    assert "trusted root public-good: trusted_root.json of folder, listed by targets 1, through roots 1 " in shown


def test_an_address_is_told_without_what_is_secret_in_it(tmp_path: Path, ours: Path, theirs: GeneralRepository) -> None:
    with served(theirs) as url:
        done = add(ours, f"{url}/", "--root", root_of(tmp_path, theirs, 2), "--name", "private")
    assert done.code == 0, done.err
    assert told(ours, "private")["walk"]["place"] == f"{url}/"
    assert told(ours, "private")["walk"]["first_root"]["version"] == 2
    assert place_of("https://somebody:secret@tuf.example.org:8443/a?token=1#x") == "https://tuf.example.org:8443/a"
    assert place_of("/media/usb/mirror") == "folder"


def test_a_target_below_a_delegation(tmp_path: Path, ours: Path, theirs: GeneralRepository) -> None:
    mirror = write(tmp_path / "mirror", theirs)
    path = "registry.npmjs.org/trusted_root.json"
    done = add(ours, mirror, "--root", root_of(tmp_path, theirs), "--target-name", path, "--name", "npm")
    assert done.code == 0, done.err
    walk = told(ours, "npm")["walk"]
    assert (walk["target"], walk["listed_by"], len(walk["roles"])) == (path, "registry.npmjs.org", 5)


def test_an_expired_chain_is_refused_or_accepted_loudly(
    tmp_path: Path, ours: Path, theirs: GeneralRepository, clock: list[datetime]
) -> None:
    for role in (theirs.root, theirs.timestamp, theirs.snapshot, theirs.targets):
        role.expires = NOW + timedelta(days=1)
    theirs.publish_root(bump=True)
    theirs.publish(bump=True)
    mirror, root = write(tmp_path / "mirror", theirs), root_of(tmp_path, theirs)
    clock[0] = NOW + timedelta(days=1)
    refused = add(ours, mirror, "--root", root)
    assert (refused.code, "expired" in refused.err) == (4, True)
    assert "origins/" not in call("trust", "show", ours).out
    done = add(ours, mirror, "--root", root, "--accept-expired-sigstore-root")
    assert (done.code, "every report will say so" in done.err) == (0, True), done.err
    assert {role["role"] for role in told(ours)["walk"]["expired"]} == {"root", "timestamp", "snapshot", "targets"}
    assert "EXPIRED and accepted all the same: root 4 of 2026-11-02" in call("trust", "show", ours).out


def test_a_walk_has_to_continue_the_one_before(tmp_path: Path, ours: Path, theirs: GeneralRepository) -> None:
    root = root_of(tmp_path, theirs)
    assert add(ours, write(tmp_path / "one", theirs), "--root", root).code == 0
    theirs.targets.version += 1
    theirs.publish(bump=True)
    assert add(ours, write(tmp_path / "two", theirs), "--root", root).code == 0
    back = add(ours, tmp_path / "one", "--root", root)
    assert (back.code, "rollback" in back.err) == (4, True), back.err
    other = GeneralRepository()
    other.add_target("trusted_root.json", RAW)
    other.targets.version = 9
    other.publish(bump=True)
    other.publish_root(bump=True)
    other.publish_root(bump=True)
    fork = add(ours, write(tmp_path / "three", other), "--root", root_of(tmp_path, other))
    assert (fork.code, "root-fork" in fork.err) == (4, True), fork.err
    other_name = add(ours, tmp_path / "three", "--root", root_of(tmp_path, other), "--name", "other")
    assert other_name.code == 0, other_name.err
    taken_out = call("trust", "publish", ours, "--keys", ours.parent / "keys", "--remove", "origins/public-good.json")
    assert taken_out.code == 0
    assert add(ours, tmp_path / "one", "--root", root_of(tmp_path, theirs)).code == 0


def test_a_plain_file_is_published_and_said_to_be_one(tmp_path: Path, ours: Path) -> None:
    path = tmp_path / "trusted_root.json"
    path.write_bytes(RAW)
    done = add(ours, path, "--name", "plant")
    assert (done.code, "no chain of signatures led to it" in done.out) == (0, True)
    assert told(ours, "plant")["walk"] is None
    path.write_bytes(OTHER)
    assert call("trust", "publish", ours, "--keys", ours.parent / "keys", "--trusted-root", f"plant={path}").code == 0
    assert "trusted root plant:" not in call("trust", "show", ours).out  # the origin is about other bytes


def test_what_cannot_be_added(tmp_path: Path, ours: Path, theirs: GeneralRepository) -> None:
    mirror, root = write(tmp_path / "mirror", theirs), root_of(tmp_path, theirs)
    several = tmp_path / "trusted_root.jsonl"
    several.write_bytes(RAW + b"\n" + OTHER)
    stranger = root_of(tmp_path / "mirror", GeneralRepository(), 1)
    cases: list[tuple[tuple[str | Path, ...], int, str]] = [
        ((mirror,), 2, "--root"),
        ((mirror, "--root", several), 2, "root-file"),
        ((several,), 2, "target-content"),
        ((several, "--root", root), 2, "usage"),
        ((several, "--accept-expired-sigstore-root"), 2, "usage"),
        ((mirror, "--root", root, "--target-name", "signing_config.v0.2.json"), 2, "target-content"),
        ((mirror, "--root", root, "--target-name", "absent.json"), 4, "target-absent"),
        ((mirror, "--root", root, "--name", "Not A Name"), 2, "target-path"),
        ((tmp_path / "nowhere", "--root", root), 2, "source"),
    ]
    for words, code, reason in cases:
        done = add(ours, *words)
        assert (done.code, reason in done.err) == (code, True), (words, done.err)
    assert stranger.exists()
    assert "origins/" not in call("trust", "show", ours).out


def test_a_root_by_somebody_else_leads_nowhere(tmp_path: Path, ours: Path, theirs: GeneralRepository) -> None:
    mirror = write(tmp_path / "mirror", theirs)
    typed = tmp_path / "typed.root.json"
    typed.write_bytes(GeneralRepository().pin)
    done = add(ours, mirror, "--root", typed)
    assert (done.code, "threshold" in done.err) == (4, True), done.err


def test_other_bytes_than_the_target_are_refused(tmp_path: Path, ours: Path, theirs: GeneralRepository) -> None:
    mirror = write(tmp_path / "mirror", theirs)
    (target,) = (mirror / "targets").glob("*.trusted_root.json")
    target.write_bytes(OTHER)
    done = add(ours, mirror, "--root", root_of(tmp_path, theirs))
    assert done.code == 4, done.err


@pytest.mark.parametrize(("at", "reason"), [("2026-11-19", "metadata-absent"), ("2026-11-21", "expired")])
def test_sigstores_real_roots(shared: Path, ours: Path, clock: list[datetime], at: str, reason: str) -> None:
    """From 5 to 15, whose last day is 2026-11-20; the rest of that repository is not here."""
    roots = shared / "real" / "trust" / "root-signing-roots"
    clock[0] = datetime.fromisoformat(at).replace(tzinfo=UTC)
    done = add(ours, roots, "--root", roots / "5.root.json")
    assert (done.code, reason in done.err) == (4, True), done.err


def test_without_keys_it_waits_for_the_holders(tmp_path: Path, ours: Path, theirs: GeneralRepository) -> None:
    mirror = write(tmp_path / "mirror", theirs)
    pending = call(
        "trust", "add-sigstore", ours, "--from", mirror, "--root", root_of(tmp_path, theirs), "--name", "second"
    )
    assert pending.code == 0, pending.err
    shown = json.loads(call("trust", "show", ours, "--json").out)
    assert [item["trusted_root"] for item in shown["origins"]] == []
    for key in ("root-1.pem", "exporter.pem"):
        signed = call("trust", "sign", ours, "--key", ours.parent / "keys" / key, "--yes")
        assert signed.code == 0, signed.err
    assert told(ours, "second")["walk"]["newest_root"]["version"] == 3
