"""`sealift trust`: what is printed where, what is asked, what is refused; the whole walk from init to state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bundler.digest import sha256_of
from bundler.errors import SealiftError
from tests.simulators.tuf_repository import TufRepository
from trust_root import cli_common
from trust_root.cli import trust
from trust_root.inspection import DEVELOPMENT_WARNING
from trust_root.keys import generate_key

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
TRUSTED_ROOT = '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_common, "clock", lambda: NOW)
    runner = CliRunner()

    def invoke(*arguments: str, env: Mapping[str, str | None] | None = None, text: str = "") -> Result:
        given = {"SEALIFT_KEY_PASSPHRASE": "horse", "SEALIFT_STATE": "state", "SOURCE_DATE_EPOCH": None, **(env or {})}
        return runner.invoke(trust, arguments, env=given, input=text)

    return invoke


def good(result: Result) -> Result:
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def code_of(result: Result) -> str:
    assert isinstance(result.exception, SealiftError), (result.output, result.exception)
    return result.exception.code


INIT = ("init", "repo", "--keys", "keys", "--stream", "plant")
DEVELOPMENT = (*INIT, "--development", "--holders", "1", "--threshold", "1")
NO_PASSPHRASE = {"SEALIFT_KEY_PASSPHRASE": ""}


class TestInit:
    def test_the_fingerprint_for_paper_and_the_line_to_type(self, run: Any) -> None:
        result = good(run(*INIT))
        digest = sha256_of(Path("repo/metadata/1.root.json").read_bytes()).hex
        assert " ".join(digest[n : n + 4] for n in range(0, 32, 4)) in result.stdout
        assert f"sealift trust pin 1.root.json --sha256 {digest} --site NAME" in result.stdout
        assert "root keys 2 of 3" in result.stdout
        assert result.stderr == ""
        assert b"ENCRYPTED" in Path("keys/exporter.pem").read_bytes()

    def test_json(self, run: Any) -> None:
        document = json.loads(good(run(*DEVELOPMENT, "--json", env=NO_PASSPHRASE)).stdout)
        assert document["development"] is True
        assert document["keys"] == ["root-1", "exporter"]
        assert document["pin"].startswith("sealift trust pin 1.root.json --sha256 ")

    def test_development_is_loud(self, run: Any) -> None:
        result = good(run(*DEVELOPMENT, env=NO_PASSPHRASE))
        assert DEVELOPMENT_WARNING in result.stderr
        assert "one root key alone" in result.stderr
        assert DEVELOPMENT_WARNING in good(run("show", "repo")).stdout
        digest = sha256_of(Path("repo/metadata/1.root.json").read_bytes()).hex
        assert DEVELOPMENT_WARNING in good(run("pin", "repo/metadata/1.root.json", "--sha256", digest)).stderr
        assert DEVELOPMENT_WARNING in good(run("show")).stdout
        assert DEVELOPMENT_WARNING in good(run("publish", "repo", "--keys", "keys", env=NO_PASSPHRASE)).stderr

    def test_without_a_terminal_nothing_is_asked(self, run: Any) -> None:
        result = run(*INIT, env={"SEALIFT_KEY_PASSPHRASE": None}, text="one\none\n")
        assert code_of(result) == "passphrase"
        assert not Path("repo").exists()

    def test_prompts_one_passphrase_for_each_key_and_hides_it(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cli_common, "has_terminal", lambda: True)
        arguments = (*INIT, "--holders", "2", "--threshold", "2")
        text = "one\none\ntwo\ntwo\nthree\nthree\n"
        result = good(run(*arguments, env={"SEALIFT_KEY_PASSPHRASE": None}, text=text))
        assert "passphrase of root-2" in result.stderr
        assert "three" not in result.output
        result = good(
            run("publish", "repo", "--keys", "keys", env={"SEALIFT_KEY_PASSPHRASE": None}, text="one\ntwo\nthree\n")
        )
        assert "targets version 2 published" in result.stdout

    def test_an_empty_passphrase(self, run: Any) -> None:
        assert code_of(run(*INIT, env=NO_PASSPHRASE)) == "passphrase"
        assert not Path("repo").exists()

    def test_keys_in_the_repository(self, run: Any) -> None:
        assert code_of(run("init", "repo", "--keys", "repo/keys", "--stream", "plant")) == "keys-in-repository"

    def test_twice(self, run: Any) -> None:
        good(run(*DEVELOPMENT, env=NO_PASSPHRASE))
        assert code_of(run(*DEVELOPMENT, env=NO_PASSPHRASE)) == "folder-exists"

    def test_source_date_epoch(self, run: Any) -> None:
        epoch = str(int((NOW - timedelta(days=40)).timestamp()))
        assert code_of(run(*INIT, env={"SOURCE_DATE_EPOCH": epoch})) == "source-date-epoch"
        assert code_of(run(*INIT, env={"SOURCE_DATE_EPOCH": "soon"})) == "source-date-epoch"
        good(run(*DEVELOPMENT, env={"SOURCE_DATE_EPOCH": epoch, **NO_PASSPHRASE}))
        assert "2029-10-13T09:00:00Z" in good(run("show", "repo")).stdout

    def test_publish_takes_it_for_development_roots_only(self, run: Any) -> None:
        epoch = {"SOURCE_DATE_EPOCH": str(int((NOW - timedelta(days=2)).timestamp()))}
        good(run(*INIT, "--holders", "1", "--threshold", "1"))
        assert code_of(run("publish", "repo", "--keys", "keys", env=epoch)) == "source-date-epoch"


class TestPublish:
    def test_all_kinds(self, run: Any) -> None:
        good(run(*DEVELOPMENT, env=NO_PASSPHRASE))
        Path("root.json").write_text(TRUSTED_ROOT)
        public = generate_key().private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        Path("vendor.pub").write_bytes(public)
        Path("policy.toml").write_text("a = 1\n")
        options = ("--trusted-root", "pg=root.json", "--publisher-key", "v=vendor.pub", "--policy", "p=policy.toml")
        result = good(run("publish", "repo", "--keys", "keys", *options, "--json", env=NO_PASSPHRASE))
        document = json.loads(result.stdout)
        assert document["targets"] == ["keys/v.pub", "policies/p.toml", "trusted_root/pg.json"]
        result = good(run("publish", "repo", "--keys", "keys", "--remove", "keys/v.pub", env=NO_PASSPHRASE))
        assert "target keys/v.pub" not in result.stdout
        assert "targets version 3 published" in result.stdout

    @pytest.mark.parametrize("typed", ["x", "=x", "x=", "x=absent"])
    def test_typed_wrongly(self, run: Any, typed: str) -> None:
        good(run(*DEVELOPMENT, env=NO_PASSPHRASE))
        result = run("publish", "repo", "--keys", "keys", "--policy", typed, env=NO_PASSPHRASE)
        assert code_of(result) in {"target-path", "file"}

    def test_no_repository(self, run: Any) -> None:
        assert code_of(run("publish", "nowhere", "--keys", "keys")) == "no-repository"

    def test_wrong_passphrase(self, run: Any) -> None:
        good(run(*INIT, "--holders", "1", "--threshold", "1"))
        result = run("publish", "repo", "--keys", "keys", env={"SEALIFT_KEY_PASSPHRASE": "x"})
        assert code_of(result) == "passphrase"


class TestSite:
    def pin(self, run: Any, *more: str) -> Result:
        repository = TufRepository("main")
        Path("1.root.json").write_bytes(repository.pin)
        result: Result = run("pin", "1.root.json", "--sha256", sha256_of(repository.pin).hex, *more)
        return result

    def test_pin(self, run: Any) -> None:
        assert "root 1 pinned: sha256:" in good(self.pin(run, "--site", "plant-7")).stdout
        shown = json.loads(good(run("show", "--json")).stdout)
        assert (shown["site"], shown["pins"][0]["version"]) == ("plant-7", 1)

    def test_pin_json_and_again(self, run: Any) -> None:
        document = json.loads(good(self.pin(run, "--json")).stdout)
        assert (document["already"], document["version"]) == (False, 1)
        digest = document["pin"].removeprefix("sha256:")
        assert "pinned already" in good(run("pin", "1.root.json", "--sha256", digest)).stdout

    def test_pin_from_paper(self, run: Any) -> None:
        repository = TufRepository("main")
        Path("1.root.json").write_bytes(repository.pin)
        digits = sha256_of(repository.pin).hex.upper()
        typed = " ".join(digits[n : n + 4] for n in range(0, 64, 4))
        good(run("pin", "1.root.json", "--sha256", typed))

    def test_pin_refused(self, run: Any) -> None:
        assert code_of(run("pin", "absent", "--sha256", "0" * 64)) == "file"
        good(self.pin(run))
        assert code_of(self.pin(run)) == "pin-exists"
        good(self.pin(run, "--add"))
        assert code_of(run("pin", "1.root.json", "--sha256", "12")) == "fingerprint"
        assert code_of(run("pin", "1.root.json", "--sha256", "0" * 64)) == "fingerprint-mismatch"
        assert code_of(self.pin(run, "--site", "a b")) == "site-name"

    def test_an_expired_root_is_pinned_with_a_warning(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cli_common, "clock", lambda: NOW + timedelta(days=4000))
        assert "has expired" in good(self.pin(run)).stderr
        assert "EXPIRED" in good(run("show")).stdout

    def test_show_a_roots_file(self, run: Any) -> None:
        good(self.pin(run))
        shown = good(run("show", "1.root.json"))
        assert "2 of 3 keys" in shown.stdout
        assert "1073 days left" in shown.stdout
        document = json.loads(good(run("show", "1.root.json", "--json")).stdout)
        assert [role["role"] for role in document["roles"]] == ["root", "targets", "snapshot", "timestamp"]

    def test_show_refuses_what_does_not_verify(self, run: Any) -> None:
        Path("1.root.json").write_bytes(b"{}")
        assert code_of(run("show", "1.root.json")) == "metadata-form"
        assert code_of(run("show", "absent")) == "file"
        assert code_of(run("show")) == "no-pin"
        assert not Path("state").exists()

    def test_state_and_floor(self, run: Any) -> None:
        good(self.pin(run))
        before = json.loads(good(run("state", "--json")).stdout)
        good(run("state", "--set-floor", "2026-11-01T00:00Z", "--reason", "clock was wrong"))
        after = json.loads(good(run("state", "--json")).stdout)
        assert (before["floor"], after["floor"]) == (None, "2026-11-01T00:00:00Z")
        assert before["state"] != after["state"]
        assert '"reason":"clock was wrong"' in Path("state/log.jsonl").read_text()

    @pytest.mark.parametrize(
        "options",
        [
            ("--set-floor", "2026-11-01"),
            ("--set-floor", "2026-11-01", "--reason", " "),
            ("--reason", "x"),
            ("--set-floor", "yesterday", "--reason", "x"),
            ("--set-floor", "2026-11-25", "--reason", "a floor in the future"),
        ],
    )
    def test_floor_typed_wrongly(self, run: Any, options: tuple[str, ...]) -> None:
        good(self.pin(run))
        before = Path("state/state.json").read_bytes()
        assert code_of(run("state", *options)) in {"set-floor", "time", "reason", "state-change"}
        assert Path("state/state.json").read_bytes() == before

    def test_where_the_state_is(self, run: Any, tmp_path: Path) -> None:
        nothing = {"SEALIFT_STATE": None, "XDG_STATE_HOME": str(tmp_path / "xdg")}
        repository = TufRepository("main")
        Path("1.root.json").write_bytes(repository.pin)
        arguments = ("pin", "1.root.json", "--sha256", sha256_of(repository.pin).hex)
        good(run(*arguments, env=nothing))
        assert (tmp_path / "xdg/sealift/state.json").exists()
        good(run(*arguments, env={"SEALIFT_STATE": None, "XDG_STATE_HOME": None, "HOME": str(tmp_path / "home")}))
        assert (tmp_path / "home/.local/state/sealift/state.json").exists()
        good(run(*arguments, "--state", str(tmp_path / "typed"), env=nothing))
        assert (tmp_path / "typed/state.json").exists()


@pytest.mark.parametrize("command", [[], ["init"], ["publish"], ["pin"], ["show"], ["state"]])
def test_help_has_examples(run: Any, command: list[str]) -> None:
    assert "Example" in good(run(*command, "--help")).output


def test_a_repository_between_exports_is_shown(run: Any) -> None:
    good(run(*DEVELOPMENT, env=NO_PASSPHRASE))
    shown = good(run("show", "repo")).stdout
    assert "stream plant: nothing exported yet" in shown
    document = json.loads(good(run("show", "repo", "--json")).stdout)
    assert (document["stream"], document["inventory"], document["pending"]) == ("plant", None, None)
