"""What is read from a source on its way into a bundle: counted, hashed, and never more than its descriptor says."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from bundler.digest import sha256_of
from bundler.errors import RejectedError
from bundler.export.plan import OwnBlobs, PlannedBlob
from bundler.export.staging import CheckedStream, Staged
from bundler.oci.descriptor import Descriptor

CONTENT = b"one layer" * 100


class Endless(io.RawIOBase):
    """A source that never ends; counts what was taken."""

    def __init__(self) -> None:
        self.taken = 0

    def read(self, size: int = -1, /) -> bytes:
        self.taken += size
        return bytes(size)


def stream_of(source: BinaryIO, size_bytes: int = len(CONTENT)) -> CheckedStream:
    return CheckedStream(source, Descriptor("application/x", sha256_of(CONTENT), size_bytes), lambda _: None)


def test_the_content_that_was_named() -> None:
    stream = stream_of(io.BytesIO(CONTENT))
    assert stream.read(100) == CONTENT[:100]
    stream.exhaust()
    stream.check()


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x", b""])
def test_another_length(content: bytes) -> None:
    with pytest.raises(RejectedError) as error:
        stream_of(io.BytesIO(content)).exhaust()
    assert error.value.code == "blob-size"


def test_a_source_without_end() -> None:
    source = Endless()
    stream = stream_of(cast("BinaryIO", source))
    stream.read(len(CONTENT) - 1)
    with pytest.raises(RejectedError) as error:
        stream.read(2)
    assert (error.value.code, source.taken) == ("blob-size", len(CONTENT) + 1)


def test_other_bytes_of_that_length() -> None:
    stream = stream_of(io.BytesIO(CONTENT[:-1] + b"x"))
    stream.exhaust()
    with pytest.raises(RejectedError) as error:
        stream.check()
    assert error.value.code == "blob-digest"


@pytest.mark.parametrize("compress", [False, True])
def test_other_bytes_are_noticed_before_anything_is_signed(tmp_path: Path, compress: bool) -> None:
    content = b"a line of text\n" * 10_000
    descriptor = Descriptor("application/vnd.oci.image.layer.v1.tar", sha256_of(content), len(content))
    planned = PlannedBlob(descriptor, OwnBlobs({descriptor.digest: content.replace(b"text", b"tixt", 1)}), "app:1")
    staged = Staged(tmp_path)
    with pytest.raises(RejectedError) as error:
        staged.add(planned, compress=compress, progress=lambda _: None)
    assert (error.value.code, staged.blobs) == ("blob-digest", [])
    assert any("image app:1" in hint for hint in error.value.hints)
