"""`sealift trust get`: whose root it starts from, what it hands over, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bundler.cli.trust import trust
from bundler.digest import sha256_of
from bundler.errors import SealiftError
from tests.simulators.tuf_general import NOW, GeneralRepository, served
from tests.simulators.tuf_repository import START, TufRepository

Get = Callable[..., Result]


@pytest.fixture
def get(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Get:
    monkeypatch.setattr("bundler.cli.trust_get.clock", lambda: NOW)
    monkeypatch.setattr("trust_root.cli_common.clock", lambda: NOW)
    monkeypatch.setenv("SEALIFT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(trust, ["get", *arguments], catch_exceptions=True)

    return run


def code_of(result: Result) -> str:
    assert isinstance(result.exception, SealiftError), result.exception
    return result.exception.code


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    repository = GeneralRepository()
    repository.delegate("targets", "team", ("a/*",))
    repository.add_target("a/tool", b"content\0", "team")
    repository.next_root()
    repository.publish(bump=True)
    folder = tmp_path / "mirror"
    for name, raw in repository.files.items():
        place = folder / (name if name.startswith("targets/") else f"metadata/{name}")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(raw)
    (tmp_path / "1.root.json").write_bytes(repository.pin)
    return folder


def test_from_a_typed_root_to_a_file(get: Get, mirror: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = get("a/tool", "--from", str(mirror), "--root", str(tmp_path / "1.root.json"), "-o", str(out))
    assert done.exit_code == 0
    assert out.read_bytes() == b"content\0"
    assert "by team under root 1 to 2" in done.stdout


def test_to_stdout_as_it_is(get: Get, mirror: Path, tmp_path: Path) -> None:
    done = get("a/tool", "--from", str(mirror), "--root", str(tmp_path / "1.root.json"))
    assert done.stdout_bytes == b"content\0"


def test_facts_as_json(get: Get, mirror: Path, tmp_path: Path) -> None:
    done = get("a/tool", "--from", str(mirror), "--root", str(tmp_path / "1.root.json"), "--json")
    document = json.loads(done.stdout)
    assert document["role"] == "team"
    assert document["sha256"] == sha256_of(b"content\0").hex
    assert document["first_root"]["version"] == 1
    assert document["newest_root"]["version"] == 2
    assert document["output"] is None


def test_from_the_web(get: Get, tmp_path: Path) -> None:
    repository = GeneralRepository()
    repository.add_target("tool", b"content")
    repository.publish(bump=True)
    (tmp_path / "1.root.json").write_bytes(repository.pin)
    with served(repository) as url:
        done = get("tool", "--from", f"{url}/", "--root", str(tmp_path / "1.root.json"))
    assert done.stdout_bytes == b"content"


def test_our_own_repository_from_the_sites_pin(get: Get, tmp_path: Path) -> None:
    repository = TufRepository(targets={"keys/app.pub": b"a key"})
    repository.export("main", b"{}")
    folder = tmp_path / "repo"
    repository.write(folder)
    assert code_of(get("keys/app.pub", "--from", str(folder))) == "no-pin"
    (tmp_path / "root.json").write_bytes(repository.pin)
    typed = ["pin", str(tmp_path / "root.json"), "--sha256", sha256_of(repository.pin).hex, "--site", "plant"]
    assert CliRunner().invoke(trust, typed).exit_code == 0
    assert get("keys/app.pub", "--from", str(folder)).stdout_bytes == b"a key"
    assert code_of(get("keys/none.pub", "--from", str(folder))) == "target-absent"


def test_the_sites_time_floor_holds(get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that was set back revives nothing that this site has seen the end of."""
    repository = TufRepository(targets={"keys/app.pub": b"a key"})
    repository.export("main", b"{}")
    repository.write(tmp_path / "repo")
    (tmp_path / "root.json").write_bytes(repository.pin)
    for typed in (
        ["pin", str(tmp_path / "root.json"), "--sha256", sha256_of(repository.pin).hex, "--site", "plant"],
        ["state", "--set-floor", "2026-11-01", "--reason", "a test"],
    ):
        assert CliRunner().invoke(trust, typed).exit_code == 0
    monkeypatch.setattr("bundler.cli.trust_get.clock", lambda: NOW - timedelta(days=2))
    assert code_of(get("keys/app.pub", "--from", str(tmp_path / "repo"))) == "clock-behind"
    own = ["--root", str(tmp_path / "root.json")]
    assert get("keys/app.pub", "--from", str(tmp_path / "repo"), *own).stdout_bytes == b"a key"


def test_a_strangers_repository_is_not_opened_from_the_sites_pin(get: Get, mirror: Path, tmp_path: Path) -> None:
    own = TufRepository(at=START)
    (tmp_path / "own.json").write_bytes(own.pin)
    typed = ["pin", str(tmp_path / "own.json"), "--sha256", sha256_of(own.pin).hex, "--site", "plant"]
    assert CliRunner().invoke(trust, typed).exit_code == 0
    assert code_of(get("a/tool", "--from", str(mirror))) == "root-unknown"
    two = [part for name in ("own.json", "1.root.json") for part in ("--root", str(tmp_path / name))]
    assert get("a/tool", "--from", str(mirror), *two).stdout_bytes == b"content\0"


def test_nothing_is_written_when_it_is_refused(get: Get, mirror: Path, tmp_path: Path) -> None:
    (target,) = (mirror / "targets" / "a").iterdir()
    target.write_bytes(b"Content\0")
    out = tmp_path / "out"
    done = get("a/tool", "--from", str(mirror), "--root", str(tmp_path / "1.root.json"), "-o", str(out))
    assert code_of(done) == "target-hash"
    assert not out.exists()
    assert done.stdout == ""


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"])
def test_what_is_no_root(get: Get, mirror: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    assert code_of(get("a/tool", "--from", str(mirror), "--root", str(tmp_path / "bad.json"))) == "root-file"
    assert code_of(get("a/tool", "--from", str(mirror), "--root", str(tmp_path / "absent.json"))) == "file"


def test_what_is_no_source(get: Get, tmp_path: Path, mirror: Path) -> None:
    typed = ["--root", str(tmp_path / "1.root.json")]
    assert code_of(get("a/tool", "--from", str(tmp_path / "none"), *typed)) == "source"
