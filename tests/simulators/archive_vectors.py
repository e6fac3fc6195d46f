"""The inputs below tests/vectors/archive, for `make vectors` and for the tests that read them."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulators.bad_frames import frame_cases
from tests.simulators.bad_inventories import bad_inventories, good_inventory
from tests.simulators.tar_dialects import dialects, hostile_headers


def vectors() -> Iterator[tuple[str, bytes]]:
    """Names below tests/vectors/archive, and contents."""
    for title, header in (*dialects("blobs/sha256/" + "a" * 64, 1000), *hostile_headers(1000)):
        yield f"headers/{title}.bin", header
    yield "inventories/good--sample.json", good_inventory()
    for code, title, raw in bad_inventories():
        yield f"inventories/{code}--{title}.json", raw
    for case in frame_cases():
        yield f"frames/{case.code}--{case.title}--{case.content_bytes}.zst", case.frame
