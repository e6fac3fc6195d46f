"""Proofs put together from tiles, beside the definition of RFC 9162; a server that serves others is noticed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import EnvError, RejectedError
from bundler.network.access import Access
from bundler.network.log_client import LogClient
from bundler.network.rekor_tiles import TileReader, consistency_ranges, fetch_tiled_checkpoint
from bundler.transparency.log import TransparencyLog
from bundler.transparency.merkle import verify_consistency
from tests.simulators.log_tree import consistency_path, leaf, root_of
from tests.simulators.tiles import TiledRekor, answer

LEAVES = [leaf(b"%d" % number) for number in range(1400)]


@pytest.fixture(scope="module")
def rekor() -> Iterator[TiledRekor]:
    with TiledRekor() as server:
        server.leaves = LEAVES[:700]
        yield server


@pytest.fixture
def client(rekor: TiledRekor) -> Iterator[LogClient]:
    rekor.faults.clear()
    rekor.asked.clear()
    made = LogClient(Access(connect_seconds=20, stall_seconds=20, document_seconds=30, retries=0), {})
    yield made
    made.close()


def reader(log: TransparencyLog, size: int) -> TileReader:
    return TileReader(log, size, lambda url: answer(LEAVES[:size], url.partition("/api/v2/")[2]))


@settings(derandomize=True, deadline=None, max_examples=80)
@given(st.data())
def test_a_proof_is_that_of_the_definition(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, len(LEAVES)))
    first = data.draw(st.integers(1, size - 1))
    log = TransparencyLog("https://rekor.example.org", b"", None, None)  # type: ignore[arg-type]
    assert list(reader(log, size).consistency(first)) == consistency_path(first, LEAVES[:size])


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(2, 2**53 - 1), st.data())
def test_ranges_of_large_trees_cover_what_they_should(size: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, size - 1))
    ranges = list(consistency_ranges(first, size))
    assert len(ranges) <= 64
    assert all(0 <= start < end <= size for start, end in ranges)
    assert sum(end - start for start, end in ranges if start >= first) == size - first


def test_over_http(rekor: TiledRekor, client: LogClient) -> None:
    tip = fetch_tiled_checkpoint(rekor.trusted, rekor.host, client.fetch_raw)
    assert (tip.tree_size, tip.root_hash) == (700, root_of(LEAVES[:700]))
    tiles = TileReader(rekor.trusted, 700, client.fetch_raw)
    for first in (1, 255, 256, 257, 512, 699):
        verify_consistency(first, 700, tiles.consistency(first), root_of(LEAVES[:first]), tip.root_hash)
    assert len(rekor.asked) == len(set(rekor.asked))
    assert "/api/v2/tile/0/002.p/188" in rekor.asked


def test_a_partial_tile_that_is_gone_is_read_from_the_full_one(rekor: TiledRekor, client: LogClient) -> None:
    rekor.faults.add("no-partial")
    proof = TileReader(rekor.trusted, 500, client.fetch_raw).consistency(300)
    verify_consistency(300, 500, proof, root_of(LEAVES[:300]), root_of(LEAVES[:500]))
    assert "/api/v2/tile/0/001.p/244" in rekor.asked


def test_wrong_tiles_give_a_proof_that_does_not_hold(rekor: TiledRekor, client: LogClient) -> None:
    rekor.faults.add("wrong-tiles")
    proof = TileReader(rekor.trusted, 700, client.fetch_raw).consistency(300)
    with pytest.raises(RejectedError) as error:
        verify_consistency(300, 700, proof, root_of(LEAVES[:300]), root_of(LEAVES[:700]))
    assert error.value.code == "consistency-proof"


@pytest.mark.parametrize("fault", ["short-tiles", "no-tiles"])
def test_what_is_no_tile_is_no_answer(rekor: TiledRekor, client: LogClient, fault: str) -> None:
    rekor.faults.add(fault)
    with pytest.raises(EnvError) as error:
        TileReader(rekor.trusted, 700, client.fetch_raw).consistency(300)
    assert error.value.code == "log-answer"


def test_another_tree_under_the_logs_address(rekor: TiledRekor, client: LogClient) -> None:
    with pytest.raises(RejectedError) as error:
        fetch_tiled_checkpoint(rekor.trusted, "rekor.example.org", client.fetch_raw)
    assert error.value.code == "log-tree-gone"
    rekor.faults.add("another-tree")
    with pytest.raises(RejectedError) as error:
        fetch_tiled_checkpoint(rekor.trusted, rekor.host, client.fetch_raw)
    assert error.value.code == "checkpoint-origin"


def test_large_numbers_are_spelled_in_parts() -> None:
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return bytes(32 * (256 if ".p/" not in url else int(url.rpartition("/")[2])))

    log = TransparencyLog("https://rekor.example.org/", b"", None, None)  # type: ignore[arg-type]
    TileReader(log, 1234067 * 256 + 100, fetch).consistency(1234067 * 256 + 50)
    assert "https://rekor.example.org/api/v2/tile/0/x001/x234/067.p/100" in asked
