"""How logs grew, in the inventory (FORMAT.md, I14): parse and format are inverse, and nothing else is taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.archive.contents import GrowthProof, LogGrowth
from bundler.archive.inventory import format_inventory, parse_inventory
from bundler.errors import MalformedError
from bundler.strict_json import format_canonical
from tests.simulators.bundles import CREATED_AT, sample_inventory

HASH = bytes(range(32))
PROOFS = (GrowthProof(1, (HASH,)), GrowthProof(7, (HASH, HASH)))
GROWTH = LogGrowth("ab" * 32, b"a note\n", CREATED_AT, PROOFS)
OTHER = replace(GROWTH, log="cd" * 32, proofs=())
GOOD = replace(sample_inventory()[0], logs=(GROWTH, OTHER))
hashes = st.binary(min_size=32, max_size=32)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    st.lists(
        st.builds(
            LogGrowth,
            log=st.sampled_from(["ab" * 32, "cd" * 32]),
            checkpoint=st.binary(min_size=1, max_size=50),
            fetched_at=st.integers(0, 10**6).map(lambda seconds: CREATED_AT - timedelta(seconds=seconds)),
            proofs=st.dictionaries(st.integers(1, 2**53 - 1), st.lists(hashes, min_size=1, max_size=5), max_size=4).map(
                lambda found: tuple(GrowthProof(size, tuple(found[size])) for size in sorted(found))
            ),
        ),
        max_size=4,
        unique_by=lambda growth: (growth.log, growth.checkpoint),
    )
)
def test_parse_and_format_are_inverse(found: list[LogGrowth]) -> None:
    logs = tuple(sorted(found, key=lambda growth: (growth.log, growth.checkpoint)))
    inventory = replace(GOOD, logs=logs)
    raw = format_inventory(inventory)
    assert parse_inventory(raw) == inventory
    assert format_inventory(parse_inventory(raw)) == raw
    assert ("logs" in json.loads(raw)) is bool(logs)


Change = Callable[[Any], object]
BAD: dict[str, tuple[Change, str]] = {
    "an empty list": (lambda logs: logs.clear(), "field-value"),
    "out of order": (lambda logs: logs.reverse(), "order"),
    "twice": (lambda logs: logs.append(logs[1]), "order"),
    "an unknown field": (lambda logs: logs[0].update(extra=1), "field-unknown"),
    "no checkpoint": (lambda logs: logs[0].pop("checkpoint"), "field-missing"),
    "an empty checkpoint": (lambda logs: logs[0].update(checkpoint=""), "limits"),
    "lax base64": (lambda logs: logs[0].update(checkpoint="YQ"), "base64"),
    "a log id in capitals": (lambda logs: logs[0].update(log="AB" * 32), "text"),
    "asked after the bundle was made": (lambda logs: logs[0].update(fetched_at="2026-11-23T12:00:01Z"), "time"),
    "another time": (lambda logs: logs[0].update(fetched_at="2026-11-23"), "time"),
    "proofs out of order": (lambda logs: logs[0]["proofs"].reverse(), "order"),
    "a proof twice": (lambda logs: logs[0]["proofs"].append(logs[0]["proofs"][1]), "order"),
    "a proof from nothing": (lambda logs: logs[0]["proofs"][0].update(size=0), "field-value"),
    "a proof without hashes": (lambda logs: logs[0]["proofs"][0].update(hashes=[]), "log-proof"),
    "a short hash": (lambda logs: logs[0]["proofs"][0].update(hashes=["AAAA"]), "log-proof"),
    "too many hashes": (lambda logs: logs[0]["proofs"][0]["hashes"].extend([""] * limits.LOG_PROOF_HASHES), "limits"),
    "too many proofs": (lambda logs: logs[0]["proofs"].extend([{}] * limits.LOG_PROOFS), "limits"),
    "too many": (lambda logs: logs.extend([{}] * limits.LOG_TREES), "limits"),
}


@pytest.mark.parametrize("case", BAD)
def test_nothing_else_is_taken(case: str) -> None:
    change, code = BAD[case]
    document = json.loads(format_inventory(GOOD))
    change(document["logs"])
    with pytest.raises(MalformedError) as error:
        parse_inventory(format_canonical(document))
    assert error.value.code == code


@pytest.mark.parametrize(
    ("growth", "code"),
    [
        (replace(GROWTH, log="x"), "text"),
        (replace(GROWTH, checkpoint=b""), "limits"),
        (replace(GROWTH, fetched_at=CREATED_AT + timedelta(seconds=1)), "time"),
        (replace(GROWTH, fetched_at=CREATED_AT.replace(tzinfo=None) - timedelta(days=1)), "time"),
        (replace(GROWTH, proofs=PROOFS[::-1]), "order"),
        (replace(GROWTH, proofs=(GrowthProof(0, (HASH,)),)), "order"),
        (replace(GROWTH, proofs=(GrowthProof(1, (b"short",)),)), "log-proof"),
    ],
)
def test_what_breaks_a_rule_is_not_written(growth: LogGrowth, code: str) -> None:
    with pytest.raises(MalformedError) as error:
        format_inventory(replace(GOOD, logs=(growth,)))
    assert error.value.code == code
