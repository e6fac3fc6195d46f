"""Where the bytes come from: a file, a pipe, something else; and what happens when they change meanwhile.

A pipe gets the same report as a file, whole or damaged; a file that moves under the reader is damage; what is no file
is the environment; another format number is unsupported before anything else is read (THREATS I15, I21, I24, M3, M14).
"""

from __future__ import annotations

import io
import json
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bundler import limits
from bundler.report.as_json import report_document
from bundler.verify.pipeline import Request, verify_bundle
from bundler.verify.policy import parse_policy
from bundler.verify.result import Outcome, Report
from tests.simulators.bundles import walk_members
from tests.simulators.campaign import KEYED, KEYLESS, NOW, Campaign, join, make_part, split, verdict
from trust_root.delivery import time_basis
from trust_root.site import load_site

ACCEPTED = (0, "")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    return Campaign(tmp_path_factory.mktemp("pipe"), "main")


@pytest.fixture(scope="module")
def bundle(world: Campaign) -> Path:
    return world.deliver()


def request_of(world: Campaign, policy: str = KEYLESS, **knobs: Any) -> Request:
    site = load_site(world.state, read_only=True)
    return Request(time_basis(NOW, site.floor), site=site, policy=parse_policy(policy.encode()), **knobs)


def report_of(world: Campaign, source: Path | str | io.RawIOBase, policy: str = KEYLESS, **knobs: Any) -> Report:
    return verify_bundle(source, request_of(world, policy, **knobs)).report  # type: ignore[arg-type]


def document(report: Report) -> dict[str, Any]:
    """The JSON report without the file's name."""
    made = json.loads(json.dumps(report_document(report)))
    del made["file"]
    assert isinstance(made, dict)
    return made


class Trickle(io.RawIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, raw: bytes, seed: int) -> None:
        self._raw = io.BytesIO(raw)
        self._random = random.Random(seed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._raw.readinto(memoryview(buffer)[: self._random.choice((1, 7, 512, 1000, 4096))])


@contextmanager
def through_a_pipe(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`-`, with a real pipe as standard input and a writer at its other end."""
    reading, writing = os.pipe()

    def feed() -> None:
        try:
            with os.fdopen(writing, "wb") as target:
                target.write(raw)
        except BrokenPipeError:
            pass  # the reader has seen enough

    writer = threading.Thread(target=feed)
    writer.start()
    with os.fdopen(reading, "rb") as source:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(source))
        yield "-"
        sys.stdin.detach()
    writer.join()


# -- a pipe says what a file says -------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [KEYLESS, KEYED])
def test_a_pipe_gets_the_same_report_as_a_file(
    world: Campaign, bundle: Path, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_file = report_of(world, bundle, policy)
    with through_a_pipe(bundle.read_bytes(), monkeypatch) as name:
        from_pipe = report_of(world, name, policy)
    assert from_pipe.file == "-"
    assert document(from_pipe) == document(from_file)
    assert verdict(from_file) == (ACCEPTED if policy == KEYLESS else (1, "key-material"))


def test_short_reads_change_nothing(world: Campaign, bundle: Path) -> None:
    whole = document(report_of(world, bundle))
    for seed in range(5):
        assert document(report_of(world, Trickle(bundle.read_bytes(), seed))) == whole


def test_a_damaged_bundle_gets_the_same_report_from_a_pipe(world: Campaign, bundle: Path, tmp_path: Path) -> None:
    """Every member hit once: the same damages, the same verdicts of what is not damaged."""
    raw = bundle.read_bytes()
    ends = [*(offset for _, offset in walk_members(raw)), len(raw)]
    for number, start in enumerate(ends[:-1]):
        for place in (start, start + 600, ends[number + 1] - 1):
            damaged = raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :]
            path = tmp_path / "damaged"
            path.write_bytes(damaged)
            from_file = report_of(world, path)
            assert from_file.exit_code in (3, 4)
            assert document(report_of(world, io.BytesIO(damaged))) == document(from_file), place


def test_a_damaged_manifest_in_a_pipe_is_damage(world: Campaign, bundle: Path) -> None:
    """Not an environment error because the pipe cannot be read a second time."""
    damaged = bundle.read_bytes().replace(b'"schemaVersion":2,"mediaType"', b'"schemaVersion":3,"mediaType"')
    report = report_of(world, io.BytesIO(damaged))
    assert verdict(report) == (3, "blob-digest")
    assert [image.verdict.value for image in report.images] == ["damaged"]


@pytest.mark.parametrize("part", ["README", "trust", "inventory.json", "index.json", "blobs"])
def test_a_truncated_pipe(world: Campaign, bundle: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = bundle.read_bytes()
    offset = next(offset for name, offset in walk_members(raw) if name.startswith(part))
    for length in (offset, offset + 100, offset + 512, offset + 530):
        with through_a_pipe(raw[:length], monkeypatch) as name:
            report = report_of(world, name)
        assert report.exit_code == 3, length
        assert report.reason in ("truncated", "not-a-bundle"), length


def test_a_pipe_with_more_behind_the_end(world: Campaign, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with through_a_pipe(bundle.read_bytes() * 2, monkeypatch) as name:
        assert verdict(report_of(world, name)) == (3, "trailing-data")


def test_a_pipe_that_breaks(world: Campaign, bundle: Path) -> None:
    class Broken(Trickle):
        def readinto(self, buffer: Any) -> int:
            if self._raw.tell() > 20_000:
                raise OSError(5, "Input/output error")
            return super().readinto(buffer)

    assert verdict(report_of(world, Broken(bundle.read_bytes(), 1))) == (3, "read-error")


def test_standard_input_that_was_closed(world: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert verdict(report_of(world, "-")) == (6, "file-absent")


def test_what_a_pipe_keeps_is_bounded(world: Campaign, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifests and evidence are kept while a pipe goes by; more than fits is refused at once, and a file is read."""
    monkeypatch.setattr(limits, "KEPT_IN_MEMORY_BYTES", 2000)
    report = report_of(world, io.BytesIO(bundle.read_bytes()))
    assert verdict(report) == (6, "pipe-memory")
    assert report.failure is not None
    assert report.failure.hints
    assert verdict(report_of(world, bundle)) == ACCEPTED


def test_layers_are_not_kept(world: Campaign, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inventory_blobs = [part for part in split(bundle.read_bytes()) if part.name.startswith("blobs/")]
    layers = sum(part.size_bytes for part in inventory_blobs if b"the only layer" in part.content)
    everything = sum(part.size_bytes for part in inventory_blobs)
    assert layers
    monkeypatch.setattr(limits, "KEPT_IN_MEMORY_BYTES", everything - layers)
    assert verdict(report_of(world, io.BytesIO(bundle.read_bytes()))) == ACCEPTED


# -- a file that changes under the reader -----------------------------------------------------------------------------


class Meddler:
    """Does something to the bundle's file once that many bytes were read."""

    def __init__(self, after: int, work: Callable[[], object]) -> None:
        self._after = after
        self._work = work
        self.done = False

    def __call__(self, bytes_done: int) -> None:
        if bytes_done >= self._after and not self.done:
            self.done = True
            self._work()


def copied(world: Campaign, bundle: Path) -> Path:
    return world.write(bundle.read_bytes(), "moving")


def flip(path: Path, offset: int, *, hide: bool = False) -> None:
    status = path.stat()
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))
    if hide:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("share", [0.5, 0.8, 1.0])
def test_a_byte_that_changes_while_it_is_read(world: Campaign, bundle: Path, share: float) -> None:
    """Whether it was read before the change or after it: the file did not keep still."""
    path = copied(world, bundle)
    meddler = Meddler(int(path.stat().st_size * share), lambda: flip(path, path.stat().st_size - 5000))
    report = report_of(world, path, progress=meddler, threads=1)
    assert meddler.done
    assert report.exit_code == 3
    assert "file-changed" in {damage.code for damage in report.damages}


def test_a_file_cut_while_it_is_read(world: Campaign, bundle: Path) -> None:
    path = copied(world, bundle)
    meddler = Meddler(30_000, lambda: os.truncate(path, 31_000))
    report = report_of(world, path, progress=meddler, threads=1)
    assert meddler.done
    assert report.exit_code == 3
    assert {damage.code for damage in report.damages} >= {"truncated", "file-changed"}


def test_a_file_that_grows_while_it_is_read(world: Campaign, bundle: Path) -> None:
    path = copied(world, bundle)

    def grow() -> None:
        with path.open("ab") as file:
            file.write(bytes(512))

    report = report_of(world, path, progress=Meddler(30_000, grow), threads=1)
    assert verdict(report) == (3, "file-changed")


def test_a_file_replaced_while_it_is_read_is_still_the_one_that_was_opened(world: Campaign, bundle: Path) -> None:
    path = copied(world, bundle)

    def swap() -> None:
        path.unlink()
        path.write_bytes(b"another file under the same name")

    assert verdict(report_of(world, path, progress=Meddler(30_000, swap), threads=1)) == ACCEPTED


@pytest.mark.parametrize("which", ["manifest", "signature"])
def test_a_document_that_changes_between_the_passes(
    world: Campaign, bundle: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """Read once for its bytes and, too large to be kept, again for its meaning; the time of change is put back."""
    monkeypatch.setattr(limits, "KEPT_IN_MEMORY_BYTES", 0)
    path = copied(world, bundle)
    raw = path.read_bytes()
    marks = {"manifest": b"image.layer.v1.tar", "signature": b"docker-manifest-digest"}
    place = raw.rindex(marks[which])
    meddler = Meddler(len(raw), lambda: flip(path, place, hide=True))
    report = report_of(world, path, progress=meddler, threads=1)
    assert meddler.done
    assert verdict(report) == (3, "blob-digest")
    assert all(check.outcome is not Outcome.HELD for image in report.images for check in image.checks)


# -- what is no bundle ------------------------------------------------------------------------------------------------


def test_no_such_file(world: Campaign, tmp_path: Path) -> None:
    assert verdict(report_of(world, tmp_path / "absent")) == (6, "file-absent")


def test_a_folder(world: Campaign, tmp_path: Path) -> None:
    assert verdict(report_of(world, tmp_path)) == (6, "file-kind")


def test_a_fifo_does_not_hang(world: Campaign, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    report = report_of(world, tmp_path / "fifo")
    assert verdict(report) == (6, "file-kind")
    assert report.failure is not None
    assert any("`-`" in hint for hint in report.failure.hints)


def test_a_device(world: Campaign) -> None:
    assert verdict(report_of(world, Path("/dev/zero"))) == (6, "file-kind")


def test_an_unreadable_file(world: Campaign, bundle: Path) -> None:
    path = copied(world, bundle)
    path.chmod(0)
    expected = ACCEPTED if os.geteuid() == 0 else (6, "disk")
    assert verdict(report_of(world, path)) == expected
    path.chmod(0o644)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        b"{}",
        bytes(512),
        bytes(1024),
        bytes(10240),
        b"\x1f\x8b\x08" + bytes(2000),
        b"\x28\xb5\x2f\xfd" + bytes(2000),
        b"PK\x03\x04" + bytes(2000),
        join([make_part("a-file", b"a tar that is no bundle")]),
        join([make_part("README", b"another project's readme\n" * 100)]),
        join([make_part("README", b"Sealift bundle, format \n" * 100)]),
        join([make_part("README", b"Sealift bundle, format 01\n" * 100)]),
        join([make_part("README", b"Sealift bundle, format 1 \n" * 100)]),
        join([make_part("README", b"sealift bundle, format 1\n" * 100)]),
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_what_is_no_bundle(world: Campaign, raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(raw)
    for source in (path, io.BytesIO(raw)):
        assert verdict(report_of(world, source)) == (3, "not-a-bundle")


# -- too new ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["2", "9", "10", "999999999"])
def test_another_format_number_is_unsupported_before_anything_else_is_read(world: Campaign, number: str) -> None:
    """Whatever follows the first line: it belongs to a format that this version cannot judge."""
    line = f"Sealift bundle, format {number}\n".encode()
    for rest in (b"", bytes(100_000), b"\xff" * 5000):
        raw = make_part("README", line.ljust(600, b".")).raw + rest
        assert verdict(report_of(world, io.BytesIO(raw))) == (5, "format")
    assert verdict(verify_bundle(io.BytesIO(raw), Request(time_basis(NOW, None), integrity_only=True)).report)[0] == 5


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b'"critical":[]', b'"critical":["a-later-rule"]', (5, "critical")),
        (b'"format":1', b'"format":2', (5, "format")),
        (b'"format":1', b'"format":0', (5, "format")),
    ],
)
def test_an_inventory_that_is_too_new(
    world: Campaign, bundle: Path, old: bytes, new: bytes, expected: tuple[int, str]
) -> None:
    """Signed by the stream, so it is no forgery: it is too new, and fails closed."""
    parts = split(bundle.read_bytes())
    place = next(number for number, part in enumerate(parts) if part.name == "inventory.json")
    raw = parts[place].content[: parts[place].size_bytes]
    assert old in raw
    changed_raw = raw.replace(old, new)
    fork = world.repository.fork()
    fork.export("main", changed_raw, sequence=1)
    trust = [make_part(f"trust/{name}", content) for name, content in fork.files("main").items()]
    order = {part.name: number for number, part in enumerate(trust)}
    roots = sorted((part for part in trust if part.name.startswith("trust/metadata/")), key=lambda p: order[p.name])
    targets = sorted((part for part in trust if part.name.startswith("trust/targets/")), key=lambda p: p.name)
    made = join([parts[0], *roots, *targets, make_part("inventory.json", changed_raw), *parts[place + 1 :]])
    before = world.state_bytes()
    assert verdict(report_of(world, io.BytesIO(made))) == expected
    unproved = Request(time_basis(NOW, None), integrity_only=True)
    assert verdict(verify_bundle(io.BytesIO(made), unproved).report) == expected
    assert world.state_bytes() == before
