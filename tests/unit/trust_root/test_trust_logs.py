"""What a site writes down of logs: parse and format are inverse, and nothing else is taken."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.digest import sha256_of
from bundler.errors import MalformedError
from bundler.fields import Fields
from bundler.strict_json import format_canonical, parse_canonical
from trust_root.logs import LogCheckpoint, LogRecord, format_logs, parse_logs

AT = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
POINTS = st.builds(
    LogCheckpoint,
    tree_size=st.integers(1, 2**53 - 1),
    root_hash=st.binary(min_size=32, max_size=32),
    note=st.binary(min_size=1, max_size=200),
    seen_at=st.integers(0, 10**9).map(lambda seconds: AT + timedelta(seconds=seconds)),
    fetched=st.booleans(),
    stream=st.sampled_from(["main", "plant-7"]),
    sequence=st.integers(1, 2**53 - 1),
    pin=st.sampled_from([None, sha256_of(b"a pin")]),
)


@st.composite
def records(draw: st.DrawFn) -> LogRecord:
    points = draw(st.lists(POINTS, min_size=1, max_size=5, unique_by=lambda point: point.tree_size))
    head, *loose = points
    ordered = tuple(sorted(loose, key=lambda point: point.tree_size))
    return LogRecord(
        draw(st.binary(min_size=32, max_size=32)), draw(st.sampled_from(["log - 1", "log - 2"])), head, ordered
    )


def parsed(raw: bytes) -> tuple[LogRecord, ...]:
    return parse_logs(Fields(parse_canonical(raw, "state"), "state"), "logs")


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(records(), max_size=4, unique_by=lambda record: record.tree))
def test_parse_and_format_are_inverse(found: list[LogRecord]) -> None:
    raw = format_canonical({"logs": format_logs(found)})
    assert parsed(raw) == tuple(sorted(found, key=lambda record: record.tree))
    assert format_canonical({"logs": format_logs(parsed(raw))}) == raw


def point(size: int) -> LogCheckpoint:
    return LogCheckpoint(size, bytes(32), b"a note", AT, True, "main", 1)


GOOD = format_logs([LogRecord(b"\1" * 32, "log - 1", point(5), (point(2), point(9))),
                    LogRecord(b"\1" * 32, "log - 2", point(5))])  # fmt: skip
Change = Callable[[Any], object]
BAD: dict[str, tuple[Change, str]] = {
    "trees out of order": (lambda logs: logs.reverse(), "order"),
    "a tree twice": (lambda logs: logs.append(logs[1]), "order"),
    "loose out of order": (lambda logs: logs[0]["loose"].reverse(), "order"),
    "a loose one twice": (lambda logs: logs[0]["loose"].append(logs[0]["loose"][1]), "order"),
    "a loose one that is the head": (lambda logs: logs[0]["loose"][0].update(size=5), "order"),
    "an unknown field": (lambda logs: logs[0].update(extra=1), "field-unknown"),
    "no head": (lambda logs: logs[0].pop("head"), "field-missing"),
    "an unknown field of a checkpoint": (lambda logs: logs[0]["head"].update(extra=1), "field-unknown"),
    "an empty tree": (lambda logs: logs[0]["head"].update(size=0), "field-value"),
    "a short root": (lambda logs: logs[0]["head"].update(root="00"), "field-value"),
    "a root in capitals": (lambda logs: logs[0]["head"].update(root="AA" * 32), "field-value"),
    "a log id that is no hex": (lambda logs: logs[0].update(log="x"), "field-value"),
    "lax base64": (lambda logs: logs[0]["head"].update(note="YQ"), "base64"),
    "an empty note": (lambda logs: logs[0]["head"].update(note=""), "limits"),
    "a time that is none": (lambda logs: logs[0]["head"].update(seen="today"), "time"),
    "fetched as a number": (lambda logs: logs[0]["head"].update(fetched=1), "field-type"),
    "sequence 0": (lambda logs: logs[0]["head"].update(sequence=0), "field-value"),
    "a pin that is none": (lambda logs: logs[0]["head"].update(pin="x"), "digest"),
    "null for a pin": (lambda logs: logs[0]["head"].update(pin=None), "field-type"),
    "too many loose": (lambda logs: logs[0]["loose"].extend([{}] * limits.LOG_LOOSE), "limits"),
    "too many trees": (lambda logs: logs.extend([{}] * limits.LOG_TREES), "limits"),
}


@pytest.mark.parametrize("case", BAD)
def test_nothing_else_is_taken(case: str) -> None:
    change, code = BAD[case]
    document = parse_canonical(format_canonical(GOOD))
    change(document)
    with pytest.raises(MalformedError) as error:
        parsed(format_canonical({"logs": document}))
    assert error.value.code == code
