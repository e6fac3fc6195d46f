"""The inventory: one spelling, and consistent in itself."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.archive.contents import Blob, Inventory, Search
from bundler.archive.inventory import format_inventory, parse_inventory
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, SealiftError, UnsupportedError
from bundler.strict_json import format_canonical
from tests.simulators.bad_inventories import bad_inventories, good_inventory
from tests.simulators.bundles import OCI_LAYER, sample_head, sample_inventory

BAD = [pytest.param(code, raw, id=title) for code, title, raw in bad_inventories()]
UNSUPPORTED = {"format", "critical", "evidence-kind", "data-kind", "digest-algorithm"}


def test_round_trip() -> None:
    inventory, _ = sample_inventory()
    raw = format_inventory(inventory)
    assert parse_inventory(raw) == inventory
    assert format_inventory(parse_inventory(raw)) == raw


def test_the_keys_are_the_documented_ones() -> None:
    document = json.loads(good_inventory())
    assert sorted(document) == sorted(
        ["format", "critical", "stream", "sequence", "previous", "audience", "created", "tool", "images", "blobs"]
    )
    image = document["images"][0]
    assert sorted(image) == sorted(
        [
            "name",
            "digest",
            "digest_origin",
            "media_type",
            "size",
            "source",
            "platforms",
            "omitted",
            "evidence",
            "searches",
        ]
    )
    assert sorted(image["platforms"][0]) == ["digest", "platform"]
    assert sorted(image["omitted"][0]) == ["digest", "media_type", "platform", "size"]
    assert sorted(image["evidence"][0]) == ["digest", "found_by", "kind", "media_type", "size", "subject"]
    assert sorted(image["searches"][0]) == ["answer", "place", "subject"]
    assert sorted(document["blobs"][0]) == ["digest", "media_type", "size", "stored", "stored_digest", "stored_size"]


@pytest.mark.parametrize(("code", "raw"), BAD)
def test_bad_inventories_are_refused(code: str, raw: bytes) -> None:
    with pytest.raises(UnsupportedError if code in UNSUPPORTED else MalformedError) as error:
        parse_inventory(raw)
    assert error.value.code == code


def test_vectors(root: Path) -> None:
    paths = sorted((root / "tests/vectors/archive/inventories").iterdir())
    assert len(paths) > 150
    for path in paths:
        code, _, _ = path.name.partition("--")
        if code == "good":
            assert format_inventory(parse_inventory(path.read_bytes())) == path.read_bytes()
            continue
        with pytest.raises(SealiftError) as error:
            parse_inventory(path.read_bytes())
        assert error.value.code == code, path.name


def test_a_newer_format_is_told_before_its_fields() -> None:
    with pytest.raises(UnsupportedError) as error:
        parse_inventory(b'{"critical":["volumes"],"format":2,"volumes":[]}')
    assert error.value.code == "format"
    with pytest.raises(UnsupportedError) as error:
        parse_inventory(b'{"critical":["volumes"],"format":1,"volumes":[]}')
    assert error.value.code == "critical"


@pytest.mark.parametrize("value", [None, True, -1, 0, 1, 2**53, 1.5, "", "x", [], {}, [[]], [{}], [None], {"a": 1}])
def test_no_field_takes_a_value_of_another_type(value: Any) -> None:
    good = json.loads(good_inventory())
    for path in places(good):
        document = copy.deepcopy(good)
        parent: Any = document
        for step in path[:-1]:
            parent = parent[step]
        if parent[path[-1]] == value and type(parent[path[-1]]) is type(value):
            continue
        parent[path[-1]] = value
        try:
            parsed = parse_inventory(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())
        except SealiftError:
            continue
        assert reasonable(path, value), (path, value, parsed)


def reasonable(path: tuple[Any, ...], value: Any) -> bool:
    """Changes that leave a good inventory: free words, and lists that may be empty or shorter."""
    free = {"tool", "source", "place", "answer", "platform", "found_by"}
    if isinstance(value, str):
        return value != "" and path[-1] in free
    if isinstance(value, int):
        return path[-1] == "size" and "omitted" in path
    return value == [] and path[-1] in {"audience", "images", "platforms", "omitted", "evidence", "searches"}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def test_every_truncation_and_flipped_bit_is_refused_or_canonical() -> None:
    raw = good_inventory()
    for end in range(len(raw)):
        with pytest.raises(SealiftError):
            parse_inventory(raw[:end])
    for position in range(0, len(raw) * 8, 7):
        changed = bytearray(raw)
        changed[position // 8] ^= 1 << position % 8
        try:
            parsed = parse_inventory(bytes(changed))
        except SealiftError:
            continue
        assert format_inventory(parsed) == changed


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    stream=st.from_regex(r"[a-z0-9][a-z0-9-]{0,30}", fullmatch=True).filter(lambda name: name not in RESERVED),
    sequence=st.integers(2, 2**53 - 1),
    previous=st.binary(max_size=8).map(sha256_of),
    audience=st.sets(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True), max_size=5),
    created=st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)),  # noqa: DTZ001 - made aware below
    tool=TEXT,
    place=TEXT,
)
def test_round_trip_of_any_inventory(
    stream: str, sequence: int, previous: Digest, audience: set[str], created: datetime, tool: str, place: str
) -> None:
    sample, _ = sample_inventory()
    image = dataclasses.replace(sample.images[0], searches=(Search(previous, place, tool),))
    inventory = Inventory(
        stream=stream,
        sequence=sequence,
        previous=previous,
        audience=tuple(sorted(audience)),
        created_at=created.replace(microsecond=0, tzinfo=UTC),
        tool=tool,
        images=(image,),
        blobs=sample.blobs,
    )
    assert parse_inventory(format_inventory(inventory)) == inventory


RESERVED = {"root", "targets", "snapshot", "timestamp"}


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("name", {"stream": "Main"}),
        ("previous", {"sequence": 0}),
        ("previous", {"previous": sha256_of(b"")}),
        ("order", {"audience": ("b", "a")}),
        ("text", {"tool": ""}),
        ("time", {"created_at": datetime(2026, 1, 1)}),  # noqa: DTZ001 - the point
        ("time", {"created_at": datetime(2026, 1, 1, microsecond=1, tzinfo=UTC)}),
        ("not-canonical", {"tool": "a\x1b[2J"}),
        ("not-canonical", {"sequence": 2**53, "previous": sha256_of(b"")}),
    ],
)
def test_nothing_is_written_that_would_be_refused(code: str, change: dict[str, Any]) -> None:
    with pytest.raises(MalformedError) as error:
        format_inventory(dataclasses.replace(sample_head(), **change))
    assert error.value.code == code


def test_an_inventory_may_be_empty() -> None:
    assert parse_inventory(format_inventory(sample_head())).images == ()


@pytest.mark.parametrize(
    ("limit", "where"),
    [
        ("INVENTORY_BLOBS", "blobs"),
        ("INVENTORY_IMAGES", "images"),
        ("IMAGE_NODES", "platforms"),
        ("IMAGE_NODES", "omitted"),
        ("IMAGE_EVIDENCE", "evidence"),
        ("IMAGE_SEARCHES", "searches"),
        ("AUDIENCE_SITES", "audience"),
        ("CRITICAL_NAMES", "critical"),
        ("LOG_TREES", "logs"),
        ("LOG_PROOFS", "proofs"),
        ("NOTE_BYTES", "logs aa"),
        ("INVENTORY_DATA", "data"),
    ],
)
def test_counts_are_bounded(limit: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    document = json.loads(good_inventory())
    if where == "omitted":
        document["images"][0]["platforms"] = []
    document["audience"], document["critical"] = ["north"], ["volumes"] if where == "critical" else []
    proof = {"size": 1, "hashes": ["A" * 43 + "="]}
    document["logs"] = [{"log": "aa" * 32, "checkpoint": "YQ==", "fetched_at": document["created"], "proofs": [proof]}]
    document["data"] = [{}]
    monkeypatch.setattr(limits, limit, 0)
    if where.startswith("logs "):
        del document["data"]
    with pytest.raises(MalformedError) as error:
        parse_inventory(format_canonical(document))
    assert (error.value.code, where in error.value.which) == ("limits", True), error.value


def test_the_sum_of_all_blobs_is_bounded() -> None:
    """Each blob within its own limit, all of them beyond what offsets can say."""
    digests = [Digest("sha256", f"{number:064x}") for number in range(1025)]
    blobs = [Blob(digest, 2**50, OCI_LAYER, "raw", 2**50, digest) for digest in digests]
    assert format_inventory(sample_head(blobs=blobs[:1024]))
    with pytest.raises(MalformedError) as error:
        format_inventory(sample_head(blobs=blobs))
    assert error.value.code == "limits"


def test_the_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INVENTORY_BYTES", 100)
    with pytest.raises(MalformedError) as error:
        format_inventory(sample_inventory()[0])
    assert error.value.code == "limits"


def test_canonical_form_is_the_one_of_all_signed_documents() -> None:
    assert format_canonical(json.loads(good_inventory())) == good_inventory()
