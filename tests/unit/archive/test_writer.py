"""The writer: the same inputs give the same bytes, and nothing that the inventory does not say."""

from __future__ import annotations

import dataclasses
import io
import locale
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from bundler.archive.contents import Blob, Inventory
from bundler.archive.head import readme_text
from bundler.archive.inventory import format_inventory
from bundler.archive.layout import OCI_LAYOUT, layout_index
from bundler.archive.writer import write_bundle
from bundler.digest import Digest
from bundler.errors import DamagedError, MalformedError, SealiftError
from tests.simulators.bundles import (
    OCI_LAYER,
    build_bundle,
    layers_only,
    sample_inventory,
    sample_trust_files,
    stored,
    walk_members,
)


def write(
    inventory: Inventory,
    contents: dict[Digest, bytes],
    *,
    open_stored: Callable[[Blob], io.BytesIO] | None = None,
    target: io.BytesIO | None = None,
) -> bytes:
    target = target or io.BytesIO()
    size_bytes = write_bundle(
        target, sample_trust_files(), inventory, open_stored or (lambda blob: stored(blob, contents))
    )
    assert size_bytes == len(target.getvalue())
    return target.getvalue()


def test_members_in_order() -> None:
    built = build_bundle()
    names = [name for name, _ in walk_members(built.raw)]
    trust = [f"trust/{name}" for name in sample_trust_files()]
    blobs = [blob.member_name for blob in built.inventory.blobs]
    assert names == ["README", *trust, "inventory.json", "oci-layout", "index.json", *blobs]
    assert any(name.endswith(".zst") for name in blobs)


def test_python_reads_every_member() -> None:
    built = build_bundle()
    with tarfile.open(fileobj=io.BytesIO(built.raw)) as archive:
        contents = {info.name: archive.extractfile(info).read() for info in archive if info.isreg()}  # type: ignore[union-attr]
        assert not archive.pax_headers
    expected = {
        "README": readme_text(),
        "inventory.json": format_inventory(built.inventory),
        "oci-layout": OCI_LAYOUT,
        "index.json": layout_index(built.inventory),
        **{f"trust/{name}": raw for name, raw in sample_trust_files().items()},
        **{blob.member_name: stored(blob, built.contents).read() for blob in built.inventory.blobs},
    }
    assert contents == expected


def test_the_size_is_a_multiple_of_4096_and_the_end_is_zero() -> None:
    for count in range(9):
        inventory, contents = layers_only([bytes([number]) * 400 for number in range(count)])
        raw = write(inventory, contents)
        last = max(offset for _, offset in walk_members(raw))
        assert len(raw) % 4096 == 0
        assert 1024 <= len(raw) - len(raw.rstrip(b"\0")) < 1024 + 4096 + 512 + 400
        assert not any(raw[last + 1024 :])


def test_nothing_ambient_gets_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    inventory, contents = sample_inventory()
    first = write(inventory, contents)
    old, spoken = os.umask(0o077), locale.setlocale(locale.LC_ALL)
    try:
        monkeypatch.setenv("TZ", "Pacific/Kiritimati")
        monkeypatch.setenv("USER", "canary-user")
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
        monkeypatch.chdir(tmp_path)
        locale.setlocale(locale.LC_ALL, "C")
        again = write(inventory, dict(reversed(contents.items())))
    finally:
        os.umask(old)
        locale.setlocale(locale.LC_ALL, spoken)
    assert again == first
    assert b"canary-user" not in again
    assert str(tmp_path).encode() not in again


def test_trust_files_may_come_in_any_order() -> None:
    inventory, contents = sample_inventory()
    files = sample_trust_files()
    shuffled = {name: files[name] for name in Random(5).sample(sorted(files), len(files))}
    target = io.BytesIO()
    write_bundle(target, shuffled, inventory, lambda blob: stored(blob, contents))
    assert target.getvalue() == write(inventory, contents)


def test_trust_files_must_be_whole() -> None:
    inventory, contents = sample_inventory()
    files = sample_trust_files()
    del files["metadata/1.targets.json"]
    with pytest.raises(DamagedError) as error:
        write_bundle(io.BytesIO(), files, inventory, lambda blob: stored(blob, contents))
    assert error.value.code == "trust-order"


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("blob-size", lambda raw: raw + b"!"),
        ("blob-size", lambda raw: raw + raw),
        ("blob-size", lambda raw: raw[:-1]),
        ("blob-size", lambda raw: b""),
        ("blob-digest", lambda raw: bytes(len(raw))),
        ("blob-digest", lambda raw: bytes([raw[0] ^ 1]) + raw[1:]),
    ],
)
@pytest.mark.parametrize("storage", ["raw", "zstd"])
def test_a_source_that_changed_ends_the_export(code: str, change: Callable[[bytes], bytes], storage: str) -> None:
    inventory, contents = sample_inventory()
    victim = next(blob for blob in reversed(inventory.blobs) if blob.stored == storage)

    def open_stored(blob: Blob) -> io.BytesIO:
        raw = stored(blob, contents).read()
        return io.BytesIO(change(raw) if blob == victim else raw)

    with pytest.raises(DamagedError) as error:
        write(inventory, contents, open_stored=open_stored)
    assert error.value.code == code


def test_every_opened_source_is_closed() -> None:
    inventory, contents = sample_inventory()
    opened: list[io.BytesIO] = []

    def open_stored(blob: Blob) -> io.BytesIO:
        assert all(source.closed for source in opened)
        opened.append(stored(blob, contents))
        return opened[-1]

    write(inventory, contents, open_stored=open_stored)
    assert len(opened) == len(inventory.blobs)
    assert all(source.closed for source in opened)


def test_a_raw_file_that_takes_little_at_a_time_gets_all() -> None:
    class Narrow(io.BytesIO):
        def write(self, raw: bytes | memoryview) -> int:  # type: ignore[override]
            return super().write(raw[:777])

    inventory, contents = sample_inventory()
    assert write(inventory, contents, target=Narrow()) == write(inventory, contents)


def test_progress_ends_at_the_size() -> None:
    inventory, contents = sample_inventory()
    told: list[int] = []
    size_bytes = write_bundle(
        io.BytesIO(), sample_trust_files(), inventory, lambda blob: stored(blob, contents), told.append
    )
    assert told == sorted(told)
    assert told[-1] == size_bytes


def test_an_inventory_that_breaks_a_rule_is_not_written() -> None:
    inventory, contents = sample_inventory()
    with pytest.raises(MalformedError):
        write(dataclasses.replace(inventory, sequence=2), contents)


def test_disk_errors_pass_to_the_caller() -> None:
    class Full(io.BytesIO):
        def write(self, raw: bytes | memoryview) -> int:  # type: ignore[override]
            raise OSError(28, "No space left on device")

    inventory, contents = layers_only([b"x"], OCI_LAYER)
    with pytest.raises(OSError, match="No space") as error:
        write(inventory, contents, target=Full())
    assert not isinstance(error.value, SealiftError)
