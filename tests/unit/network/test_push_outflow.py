"""Content on its way out: every byte hashed once more after a step back, whatever the steps are."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.digest import Digest
from bundler.errors import DamagedError
from bundler.network.push_outflow import Outflow
from bundler.oci.descriptor import Descriptor
from tests.simulators.push_scene import Thing, thing


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    size_bytes=st.integers(0, 4000),
    piece_bytes=st.integers(1, 1500),
    steps=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 4000)), max_size=6),
)
def test_steps_forth_and_back(size_bytes: int, piece_bytes: int, steps: list[tuple[int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bundler.limits.PUSH_STATE_BYTES", 256)
        patch.setattr("bundler.limits.SENT_BYTES", 100)
        item = thing(size_bytes)
        item.piece_bytes = piece_bytes
        outflow = Outflow(item.descriptor, item.content)
        for where, count in steps:
            offset = min(where, size_bytes)
            outflow.seek(offset)
            taken = b"".join(outflow.take(min(count, size_bytes - offset)))
            assert taken == item.raw[offset : offset + count]
            assert outflow.position == offset + len(taken)
        outflow.seek(min(outflow.position, size_bytes))
        b"".join(outflow.take(size_bytes - outflow.position))
        outflow.finish()
        outflow.finish()
        assert all(offset % 256 == 0 for offset in item.offsets)


def test_pieces_are_small_and_come_in_time() -> None:
    item = thing(1_000_000)
    outflow = Outflow(item.descriptor, lambda _: iter([memoryview(b""), memoryview(item.raw), memoryview(b"")]))
    assert max(len(piece) for piece in outflow.take(1_000_000)) == 64 * 1024
    outflow.finish()


def test_a_blob_by_sha512() -> None:
    item = thing(1000)
    digest = Digest("sha512", hashlib.sha512(item.raw).hexdigest())
    outflow = Outflow(Descriptor("a/b", digest, 1000), item.content)
    b"".join(outflow.take(1000))
    outflow.finish()


@pytest.mark.parametrize("raw", [b"", b"x" * 999, b"x" * 1000, b"x" * 1001, b"x" * 2000])
def test_other_content_is_refused(raw: bytes) -> None:
    outflow = Outflow(thing(1000).descriptor, Thing(raw).content)

    def send() -> None:
        b"".join(outflow.take(1000))
        outflow.finish()

    with pytest.raises(DamagedError) as caught:
        send()
    assert caught.value.code == ("blob-digest" if len(raw) == 1000 else "blob-size")


def test_less_than_all_is_refused() -> None:
    item = thing(1000)
    outflow = Outflow(item.descriptor, item.content)
    b"".join(outflow.take(999))
    with pytest.raises(DamagedError):
        outflow.finish()


def test_content_that_changes_between_two_readings() -> None:
    item, other = thing(1000), thing(1000, seed=1)
    readings = iter([item, other])
    outflow = Outflow(item.descriptor, lambda offset: next(readings).content(offset))
    b"".join(outflow.take(1000))
    outflow.seek(500)
    b"".join(outflow.take(500))
    with pytest.raises(DamagedError) as caught:
        outflow.finish()
    assert caught.value.code == "blob-digest"
