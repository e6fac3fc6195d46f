"""What a new user meets: versions, help, usage errors, missing pins, pipes, closed pipes, interrupts, hostile names."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import BinaryIO

import pytest

from bundler.version import FORMAT_VERSION, VERSION
from tests.cli.session import SEALIFT, call, run
from tests.delivered import Delivered


def test_version_names_tool_and_format() -> None:
    assert call("--version").out == f"sealift {VERSION}\nbundle format {FORMAT_VERSION}\n"


@pytest.mark.parametrize(
    "command",
    [(), ("export",), ("verify",), ("inspect",), ("scan",), ("help",)]
    + [("trust", name) for name in ("init", "publish", "pin", "show", "state")],
)
def test_help_has_examples(command: tuple[str, ...]) -> None:
    result = call(*command, "--help")
    assert result.code == 0
    assert "Example" in result.out
    assert "sealift" in result.out.partition("Example")[2]


@pytest.mark.parametrize(
    "page", ["format", "policy", "export", "inspect", "scan", "report", "reasons", "ceremony", "site", "load", "serve"]
)
def test_manual_pages_travel_with_the_program(page: str) -> None:
    result = call("help", page)
    assert result.code == 0
    assert result.out.startswith("# ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("verfy",),
        ("verify",),
        ("verify", "x", "--polcy", "y"),
        ("verify", "x", "--threads", "0"),
        ("export",),
        ("trust", "pin", "x"),
        ("help", "nothing"),
    ],
)
def test_usage_errors_have_the_form(arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert result.code == 2
    assert result.err.startswith("sealift: command line: ")
    assert "[usage]" in result.err
    assert "\nhint: sealift" in result.err
    assert result.out == ""


@pytest.mark.parametrize("group", [(), ("trust",), ("data",), ("cache",)])
def test_a_group_alone_shows_its_help(group: tuple[str, ...]) -> None:
    result = call(*group)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(" ".join(("Usage: sealift", *group)))
    assert "Commands:\n" in result.err


def test_choices_stand_in_one_line() -> None:
    assert "Missing argument 'PAGE'. Choose from: format, policy," in call("help").err


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "oci:x", "-o", "-"),
        ("verify", "x", "--html", "-"),
        ("diff", "x", "y", "--html", ""),
        ("scan", "x", "--sarif", "-"),
        ("dashboard", "--html", "-"),
        ("data", "get", "x", "-o", "-"),
        ("trust", "state", "--export", "-"),
    ],
)
def test_no_file_is_named_like_standard_output(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = run(*arguments, cwd=tmp_path) if arguments[0] == "export" else call(*arguments)
    assert result.code == 2
    assert f"option {'--output' if '-o' in arguments else arguments[-2]}: " in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("verify",), ("inspect",), ("scan",), ("data", "show")])
def test_names_that_are_too_long(delivered: Delivered, command: tuple[str, ...]) -> None:
    result = call(*command, "x" * 5000, "--state", delivered.state)
    assert result.code == 6
    assert "sealift: bundle xxx" in result.err
    assert "File name too long" in result.err


def test_which_of_two_bundles_is_none(delivered: Delivered, tmp_path: Path) -> None:
    other = tmp_path / "other.tar"
    other.write_bytes(b"text")
    result = call("diff", delivered.bundle, other, "--state", delivered.state)
    assert (result.code, f"\nhint: bundle {other}\n" in result.err) == (3, True)


def test_a_folder_is_no_bundle(delivered: Delivered, tmp_path: Path) -> None:
    result = call("inspect", tmp_path, "--state", delivered.state)
    assert (result.code, result.err) == (
        6,
        f"sealift: bundle {tmp_path}: a folder, expected a regular file [file-kind]\n",
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--at", "yesterday", "--reason", "x"), "usage"),
        (("--at", "2027-03-01"), "at-reason"),
        (("--reason", "x"), "at-reason"),
        (("--policy", "absent.toml"), "file"),
        (("--integrity-only", "--historic"), "usage"),
        (("--integrity-only", "--min-sequence", "7"), "usage"),
    ],
)
def test_options_that_do_not_fit(delivered: Delivered, options: tuple[str, ...], reason: str) -> None:
    result = call("verify", delivered.bundle, "--state", delivered.state, *options)
    assert (result.code, f"[{reason}]" in result.err) == (2, True)


def test_without_a_pin(delivered: Delivered, policy: Path, tmp_path: Path) -> None:
    state = tmp_path / "none"
    result = call("verify", delivered.bundle, "--policy", policy, "--state", state)
    assert result.code == 4
    assert "[no-pin]" in result.err
    assert "hint: sealift trust pin" in result.err
    assert not state.exists()


def test_without_a_pin_as_json(delivered: Delivered, tmp_path: Path) -> None:
    result = call("verify", delivered.bundle, "--state", tmp_path / "none", "--json")
    error = json.loads(result.out)["error"]
    assert (result.code, error["reason"], error["exit_code"]) == (4, "no-pin", 4)


def test_inspect_without_a_pin_tells_the_same_facts(delivered: Delivered, tmp_path: Path) -> None:
    none, bundle = tmp_path / "none", delivered.bundle
    trusted = json.loads(call("inspect", bundle, "--state", delivered.state, "--json").out)
    result = call("inspect", bundle, "--state", none, "--json")
    untrusted = json.loads(result.out)
    assert (result.code, trusted["trusted"], untrusted["trusted"], untrusted["reason"]) == (4, True, False, "no-pin")
    for key in set(trusted) - {"trusted", "reason", "message", "pin"}:
        assert trusted[key] == untrusted[key], key
    text = call("inspect", bundle, "--state", none, "--untrusted")
    assert text.code == 0
    assert text.out.startswith("NOT VERIFIED: no-pin")


def test_integrity_only_needs_no_pin_and_says_what_it_is(delivered: Delivered) -> None:
    result = call("verify", delivered.bundle, "--integrity-only", "--state", "/nonexistent")
    assert result.code == 0
    assert result.out.startswith("INTACT, NOT VERIFIED: ")


def test_absent_bundle(delivered: Delivered) -> None:
    result = call("verify", "absent.bundle.tar", "--state", delivered.state)
    assert (result.code, "[file-absent]" in result.err) == (6, True)


def test_from_a_pipe(delivered: Delivered, policy: Path) -> None:
    options = ("--policy", policy, "--state", delivered.state, "--read-only", "--json")
    piped = run("verify", "-", *options, stdin=delivered.bundle.read_bytes())
    assert (piped.code, json.loads(piped.out)["verdict"]) == (0, "verified")


def test_a_reader_that_goes_away_is_no_error_message(delivered: Delivered) -> None:
    command = f"{SEALIFT} inspect {delivered.bundle} --state {delivered.state} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("", "")


def unread_bytes(pipe: BinaryIO) -> int:
    """What nobody has read so far."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_a_reader_that_went_away_early_is_no_rejection(delivered: Delivered) -> None:
    """Exit 1 would say that the bundle is rejected."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        done = subprocess.run(
            [SEALIFT, "inspect", delivered.bundle, "--state", delivered.state], stdout=out, stderr=subprocess.PIPE,
            check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_locale_without_our_characters(delivered: Delivered) -> None:
    done = run("inspect", delivered.bundle, "--state", delivered.state, env={"PYTHONIOENCODING": "latin-1"})
    assert (done.code, done.err) == (0, "")
    assert "\\u2026" in done.out


@pytest.mark.parametrize(("line", "wanted"), [("sealift verify d", "file,d"), ("sealift trust pi", "plain,pin")])
def test_completion_knows_files(line: str, wanted: str) -> None:
    asked = {"_SEALIFT_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    assert run(env=asked).out == f"{wanted}\n"


def test_interrupt_ends_quietly(delivered: Delivered, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = f"exec {SEALIFT} verify - --state {delivered.state} --read-only < {fifo}"
    program = subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with fifo.open("wb") as writer:  # opens when the program reads, so it is running now
        writer.write(delivered.bundle.read_bytes()[:1000])
        writer.flush()
        while unread_bytes(writer):  # then it has started, and waits for more
            assert program.poll() is None
            time.sleep(0.01)
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=60)
    assert program.returncode == 130
    assert "Traceback" not in out + err


def test_a_bug_is_exit_70(monkeypatch: pytest.MonkeyPatch, delivered: Delivered) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("\x1b[31mred")

    monkeypatch.setattr("bundler.deliver.inspection.inspect_bundle", broken)
    result = call("inspect", delivered.bundle, "--state", delivered.state)
    assert result.code == 70
    assert "sealift: bug: KeyError" in result.err
    assert "\x1b" not in result.err


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\u202eb", "a\x07", "a\nsealift: ok", "a\u2028b"])
def test_control_characters_are_escaped(name: str) -> None:
    for arguments in (("verify", name, "--integrity-only"), ("inspect", name), (name,), ("export", name)):
        result = call(*arguments)
        assert result.code != 0
        for text in (result.out, result.err):
            assert not set(text) & set("\x1b\x07\u202e\u2028"), arguments
            assert "\nsealift: ok" not in text, arguments


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_what_was_closed_is_nobody_and_no_bug(delivered: Delivered, closed: str) -> None:
    for words, code in ((f"inspect {delivered.bundle} --state {delivered.state}", 0), ("inspect absent", 6)):
        done = subprocess.run(["/bin/sh", "-c", f"{SEALIFT} {words} {closed}"], capture_output=True, check=False)
        assert (done.returncode, b"bug" in done.stderr) == (code, False), done
