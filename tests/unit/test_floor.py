"""The floor: errors, fields, times, escaping, and files that are whole or absent."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import errors, limits
from bundler.errors import EnvError, MalformedError, SealiftError
from bundler.escaping import _UNSAFE, escape
from bundler.fields import Fields
from bundler.moment import format_moment, parse_foreign_moment, parse_moment, parse_typed_moment
from bundler.safe_file import (
    TEMPORARY_PREFIX,
    disk_errors,
    is_folder,
    locked,
    new_file,
    read_bounded,
    remove,
    write_atomically,
)

# errors


def test_an_error_says_what_which_got_and_expected() -> None:
    error = MalformedError("code", "blob", "sha256:x", got="3 bytes", want="4", hints=["read it again"])
    assert str(error) == "blob sha256:x: 3 bytes, expected 4"
    assert (error.code, error.hints) == ("code", ("read it again",))
    assert str(MalformedError("code", "blob")) == "blob"


def test_families_follow_the_exit_codes() -> None:
    codes = {
        "RejectedError": 1, "MalformedError": 1, "UsageError": 2, "DamagedError": 3, "TrustError": 4,
        "UnsupportedError": 5, "EnvError": 6,
    }  # fmt: skip
    for name, code in codes.items():
        family = getattr(errors, name)
        assert issubclass(family, SealiftError)
        assert family.exit_code == code
    assert SealiftError.exit_code == errors.EXIT_BUG == 70


# fields


def fields(**values: object) -> Fields:
    return Fields(values, "document")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: Fields([], "document"), "field-type"),
        (lambda: fields(a=1).only("b"), "field-unknown"),
        (lambda: fields(a=1).exactly("a", "b"), "field-missing"),
        (lambda: fields().text("a"), "field-missing"),
        (lambda: fields(a=1).text("a"), "field-type"),
        (lambda: fields(a=None).text("a"), "field-type"),
        (lambda: fields(a=None).optional_text("a"), "field-type"),
        (lambda: fields(a="1").integer("a"), "field-type"),
        (lambda: fields(a=True).integer("a"), "field-value"),
        (lambda: fields(a=-1).integer("a"), "field-value"),
        (lambda: fields(a=9).integer("a", maximum=8), "field-value"),
        (lambda: fields(a=1).boolean("a"), "field-type"),
        (lambda: fields(a=[]).fields("a"), "field-type"),
        (lambda: fields(a={}).items("a", maximum=1), "field-type"),
        (lambda: fields(a=[1, 2]).items("a", maximum=1), "limits"),
        (lambda: list(fields(a=[1]).each("a", maximum=1)), "field-type"),
        (lambda: fields(a=["x", 1]).texts("a", maximum=9), "field-type"),
        (lambda: fields(a=["x"]).text_map("a"), "field-type"),
        (lambda: fields(a={"x": 1}).text_map("a"), "field-type"),
    ],
)
def test_fields_refuse(call: object, code: str) -> None:
    with pytest.raises(MalformedError) as error:
        call()  # type: ignore[operator]
    assert error.value.code == code


def test_fields_give_what_they_name() -> None:
    given_fields = fields(t="x", i=3, b=False, o={"k": "v"}, l=["a"])
    given_fields.exactly("t", "i", "b", "o", "l")
    assert (given_fields.text("t"), given_fields.integer("i"), given_fields.boolean("b")) == ("x", 3, False)
    assert given_fields.fields("o").text("k") == "v"
    assert given_fields.texts("l", maximum=1) == ("a",)
    assert (given_fields.text_map("o"), given_fields.text_map("none")) == ({"k": "v"}, {})
    assert (given_fields.optional_text("none"), given_fields.raw("none"), "t" in given_fields) == (None, None, True)


# moments


@pytest.mark.parametrize(
    "text", ["1970-01-01T00:00:00Z", "2038-01-19T03:14:08Z", "2100-02-28T23:59:59Z", "9999-12-31T23:59:59Z"]
)
def test_edge_dates_round_trip(text: str) -> None:
    assert format_moment(parse_moment(text)) == text


def test_years_below_1000_keep_four_digits() -> None:
    assert format_moment(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00Z"


@settings(derandomize=True, deadline=None)
@given(st.datetimes(timezones=st.just(UTC)))
def test_moments_round_trip(moment: datetime) -> None:
    whole = moment.replace(microsecond=0)
    assert parse_moment(format_moment(whole)) == whole


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00.0Z",
        "2026-02-29T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z", "2026-01-01t00:00:00z",
        "\uff12026-01-01T00:00:00Z", " 2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z\n", 1, None,
    ],
)  # fmt: skip
def test_signed_times_have_one_form(text: object) -> None:
    with pytest.raises(MalformedError) as error:
        parse_moment(text)
    assert error.value.code == "time"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-01T01:00:00+01:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00:00.123456789Z", datetime(2026, 1, 1, microsecond=123456, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_of_others(text: str, moment: datetime) -> None:
    assert parse_foreign_moment(text) == moment


@pytest.mark.parametrize("text", ["2026-01-01", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", None, "x"])
def test_times_of_others_that_are_none(text: object) -> None:
    with pytest.raises(MalformedError) as error:
        parse_foreign_moment(text)
    assert error.value.code == "time"


@pytest.mark.parametrize("text", ["2027-03-01", "2027-03-01T00:00Z", "2027-03-01T00:00:00Z"])
def test_typed_times(text: str) -> None:
    assert parse_typed_moment(text) == datetime(2027, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "tomorrow", "2027-3-1", "2027-03-01T00:00", "2027-13-01", "2027-03-01T25:00Z"])
def test_typed_times_that_are_none(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_typed_moment(text)


def test_naive_and_broken_moments_are_our_bug() -> None:
    with pytest.raises(ValueError, match="2026"):
        format_moment(datetime(2026, 1, 1))  # noqa: DTZ001 - a naive one is what is refused
    with pytest.raises(ValueError, match="2026"):
        format_moment(datetime(2026, 1, 1, microsecond=1, tzinfo=UTC))
    assert format_moment(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == "2025-12-31T23:00:00Z"


# escaping


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 漢", "plain ä 漢"),
        ("\x1b[2Jx", "\\x1b[2Jx"),
        ("a\nb\r\tc\x00", "a\\x0ab\\x0d\\x09c\\x00"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp", "\\u202egnp"),
        ("\u2066\u2069\u200b\u2028\ufeff", "\\u2066\\u2069\\u200b\\u2028\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_text_that_is_taken_for_safe_holds_no_unsafe_character() -> None:
    unsafe = re.findall(_UNSAFE, "".join(map(chr, range(0x110000))))
    assert len(unsafe) > 2000
    assert [hex(ord(character)) for character in unsafe if character.isprintable()] == []


@settings(derandomize=True, deadline=None)
@given(st.text())
def test_escaped_text_is_quiet(text: str) -> None:
    shown = escape(text)
    assert escape(shown) == shown
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in shown)


# files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["file"]


def interrupt_after(_written: int) -> None:
    raise KeyboardInterrupt


def test_a_failed_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(KeyboardInterrupt), new_file(path) as target:
        interrupt_after(target.write(b"half"))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_failing_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if call == "fsync" else Path, call, fail)
    with pytest.raises(EnvError) as error:
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert error.value.code == "disk-full"
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_really_full_disk_is_told() -> None:
    with pytest.raises(EnvError) as error, disk_errors("file", "/dev/full"):
        Path("/dev/full").write_bytes(b"x")
    assert error.value.code == "disk-full"


def test_no_folder_no_file(tmp_path: Path) -> None:
    with pytest.raises(EnvError) as error:
        write_atomically(tmp_path / "none" / "file", b"")
    assert (error.value.code, error.value.what, error.value.which) == ("file-absent", "folder", str(tmp_path / "none"))
    assert TEMPORARY_PREFIX not in str(error.value)


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a device", "link to a standard stream"])
def test_only_a_file_is_replaced(tmp_path: Path, kind: str) -> None:
    """A page for `/dev/stdout`, written by root, once took the place of that link, for every program on the machine."""
    path = tmp_path / "out"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to a device":
        path.symlink_to("/dev/full")
    else:
        path.symlink_to("/proc/self/fd/1")
    before = path.lstat()
    with pytest.raises(EnvError) as error:
        write_atomically(path, b"page")
    assert error.value.code == "file-kind"
    assert (path.lstat().st_ino, names(tmp_path)) == (before.st_ino, ["out"])


def test_a_link_to_a_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    write_atomically(tmp_path / "link", b"new")
    assert ((tmp_path / "file").read_bytes(), (tmp_path / "link").read_bytes()) == (b"old", b"new")


def test_no_folder_has_a_name_that_nothing_can_have(tmp_path: Path) -> None:
    assert is_folder(tmp_path)
    assert not is_folder(tmp_path / "absent")
    assert not is_folder("x" * 5000)


def test_killed_while_writing(tmp_path: Path) -> None:
    """SIGKILL leaves the old file and litter under our prefix, nothing else."""
    path = tmp_path / "file"
    write_atomically(path, b"old")
    script = """
        import os, signal, sys
        from pathlib import Path
        from bundler.safe_file import new_file
        with new_file(Path(sys.argv[1])) as target:
            target.write(b"half")
            target.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert [name for name in names(tmp_path) if not name.startswith(TEMPORARY_PREFIX)] == ["file"]


def test_read_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"1234")
    assert read_bounded(path, 4) == b"1234"
    with pytest.raises(EnvError) as error:
        read_bounded(path, 3)
    assert error.value.code == "file-size"
    with pytest.raises(EnvError) as error:
        read_bounded(tmp_path / "none", 3)
    assert error.value.code == "file-absent"


def test_read_bounded_refuses_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        with pytest.raises(EnvError) as error:
            read_bounded(path, 3)
        assert error.value.code == "file-kind"


def test_remove_is_content_with_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    remove(tmp_path / "file")
    remove(tmp_path / "file")
    remove(tmp_path / "none" / "file")
    assert names(tmp_path) == []


def test_a_lock_is_exclusive_and_ends_with_its_block(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path), pytest.raises(EnvError) as error, locked(path):
        pass
    assert error.value.code == "locked"
    with locked(path):
        pass


def test_a_lock_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EnvError), locked(tmp_path / "lock"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_limits_are_positive_numbers() -> None:
    values = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert len(values) > 30
    assert all(isinstance(value, (int, float)) and value > 0 for value in values.values())
