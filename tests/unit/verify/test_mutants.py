"""Signed nonsense: every document of a bundle altered in its meaning and signed anew with the right keys.

The outer signatures hold, so what is tried is every parser and rule behind them: whatever comes, the answer is an exit
code with a reason, never another exception (THREATS I6, I24, F11, F13). Seeded.
"""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bundler.errors import MalformedError
from bundler.strict_json import format_canonical
from bundler.verify.pipeline import Request, verify_bundle
from bundler.verify.policy import parse_policy
from tests.simulators.campaign import KEYLESS, NOW, Campaign, Part, join, make_part, split, trust_of, verdict
from tests.simulators.tuf_repository import altered, relinked
from trust_root.delivery import time_basis
from trust_root.keys import SigningKey
from trust_root.site import load_site

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 2**31, 2**53 - 1, 2**53, 10**30, 1.5, "", " ", "0", "null", "a" * 5000, "\u202e",
    "../../etc/passwd", "sha256:" + "0" * 64, "SHA256:" + "0" * 64, "sha512:" + "0" * 128, "0" * 64, "root",
    "9999-99-99", "2027-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00",
    [], [[]], {}, [None], {"": None}, ["a", "a"], {"keyid": "0" * 64}, "zstd", "raw", "linux/amd64", "text/plain",
    "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
)  # fmt: skip


class Bench:
    """A bundle whose documents can be exchanged and signed anew."""

    def __init__(self, folder: Path) -> None:
        self.world = Campaign(folder, "main")
        self.raw = self.world.deliver().read_bytes()
        self.parts = split(self.raw)
        self.key = self.world.repository.streams["main"].key
        site = load_site(self.world.state)
        policy = parse_policy(KEYLESS.encode())
        self.request = Request(time_basis(NOW, site.floor), site=site, policy=policy, threads=1)
        self.before = self.world.state_bytes()

    def judge(self, raw: bytes) -> tuple[int, str]:
        path = self.world.write(raw, "mutant")
        return verdict(verify_bundle(path, self.request).report)

    def with_inventory(self, inventory: bytes) -> bytes:
        """The bundle with another inventory, which the stream signs."""
        files = trust_of(self.raw)
        fork = self.world.repository.fork()
        stream = fork.streams["main"]
        stream.version, stream.snapshot_version, stream.timestamp_version = 1, 1, 1
        fork.export("main", inventory, sequence=1)
        files = fork.files("main")
        place = next(number for number, part in enumerate(self.parts) if part.name == "inventory.json")
        trust = [make_part(part.name, files[part.name.removeprefix("trust/")]) for part in self._trust()]
        return join([self.parts[0], *trust, make_part("inventory.json", inventory), *self.parts[place + 1 :]])

    def with_metadata(self, name: str, change: Callable[[dict[str, Any]], object]) -> bytes:
        """The bundle with another metadata file, signed by whoever may, and listed by snapshot and timestamp."""
        files = trust_of(self.raw)
        files[name] = altered(files[name], change, self._signers(name))
        if not name.endswith((".snapshot.json", "timestamp.json", ".root.json")):
            files = relinked(files, self.key)
        trust = [make_part(part.name, files[part.name.removeprefix("trust/")]) for part in self._trust()]
        rest = [part for part in self.parts[1:] if not part.name.startswith("trust/")]
        return join([self.parts[0], *trust, *rest])

    def _signers(self, name: str) -> list[SigningKey]:
        offline = name.endswith((".root.json", ".targets.json"))
        return self.world.repository.holders[:2] if offline else [self.key]

    def _trust(self) -> list[Part]:
        return [part for part in self.parts if part.name.startswith("trust/")]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("mutants"))


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a document."""
    if way:
        yield way
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*way, key))


def mutate(document: Any, drawn: random.Random) -> None:
    """One change in place: another value, a key gone, doubled, renamed, added; an item twice, gone, moved."""
    way = drawn.choice(list(places(document)))
    holder = document
    for step in way[:-1]:
        holder = holder[step]
    last = way[-1]
    kind = drawn.choice(("replace", "replace", "replace", "remove", "rename", "add", "copy", "nudge"))
    value = holder[last]
    if kind == "remove":
        del holder[last]
    elif kind == "rename" and isinstance(holder, dict):
        holder[drawn.choice((str(last).upper(), f"{last} ", "", "x", str(last)[:-1]))] = holder.pop(last)
    elif kind == "add" and isinstance(holder, dict):
        holder[drawn.choice(("x", "critical", "_type", "version", "zz"))] = copy.deepcopy(drawn.choice(ODD))
    elif kind == "copy":
        other = document
        for step in drawn.choice(list(places(document))):
            other = other[step]
        holder[last] = copy.deepcopy(other)
    elif kind == "nudge" and isinstance(value, int) and not isinstance(value, bool):
        holder[last] = value + drawn.choice((-1, 1, 2**32))
    elif kind == "nudge" and isinstance(value, str) and value:
        at = drawn.randrange(len(value))
        holder[last] = value[:at] + drawn.choice(("", "0", "a", "Z", "/", "\u00e9")) + value[at + 1 :]
    elif kind == "nudge" and isinstance(value, list) and value:
        value.append(copy.deepcopy(drawn.choice(value)))
    else:
        holder[last] = copy.deepcopy(drawn.choice(ODD))


def lax_json(value: Any) -> bytes:
    """Canonical where that is possible; else what a careless writer would sign."""
    try:
        return format_canonical(value)
    except (MalformedError, ValueError, TypeError):
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def inventory_mutants(bench: Bench, count: int, seed: int) -> Counter[tuple[int, str]]:
    (part,) = [part for part in bench.parts if part.name == "inventory.json"]
    genuine = json.loads(part.content[: part.size_bytes])
    counts: Counter[tuple[int, str]] = Counter()
    for number in range(count):
        document = copy.deepcopy(genuine)
        drawn = random.Random(f"{seed} {number}")
        for _ in range(drawn.choice((1, 1, 1, 2, 4))):
            mutate(document, drawn)
        raw = lax_json(document)
        found = bench.judge(bench.with_inventory(raw))
        counts[found] += 1
        assert found[0] in (0, 1, 3, 4, 5), (number, found)
        assert bool(found[0]) == bool(found[1]), (number, found)
        assert found[0] or harmless(genuine, document), (number, raw)
    assert bench.world.state_bytes() == bench.before
    return counts


def harmless(genuine: dict[str, Any], document: dict[str, Any]) -> bool:
    """What the exporter may say as it likes: when, with what, and where it looked; all else is bound to content."""
    free = {"created", "tool", "audience"}
    same = {key: value for key, value in genuine.items() if key not in free}
    for mine, theirs in zip(genuine["images"], document["images"], strict=False):
        theirs.update(searches=mine["searches"], source=mine["source"])
        for ours, other in zip(mine["evidence"], theirs["evidence"], strict=False):
            other.update(found_by=ours["found_by"])
    return same == {key: value for key, value in document.items() if key not in free}


def metadata_mutants(bench: Bench, count: int, seed: int) -> Counter[tuple[int, str]]:
    names = [name for name in trust_of(bench.raw) if name.startswith("metadata/")]
    counts: Counter[tuple[int, str]] = Counter()
    for number in range(count):
        drawn = random.Random(f"{seed} {number}")
        name = drawn.choice(names)
        try:
            raw = bench.with_metadata(name, lambda signed, drawn=drawn: mutate(signed, drawn))  # type: ignore[misc]
        except (MalformedError, ValueError, TypeError, KeyError, AttributeError):
            continue  # not even the simulator can sign or list that
        found = bench.judge(raw)
        counts[found] += 1
        assert found[0] in (0, 3, 4), (number, name, found)
        assert bool(found[0]) == bool(found[1]), (number, name, found)
    assert bench.world.alarms() == []
    return counts


def test_mutants_of_the_inventory(bench: Bench) -> None:
    counts = inventory_mutants(bench, 300, 1)
    assert len({reason for _, reason in counts}) > 10


def test_mutants_of_trust_metadata(bench: Bench) -> None:
    counts = metadata_mutants(bench, 300, 2)
    assert len({reason for _, reason in counts}) > 4


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(100, 104))
def test_many_more_mutants(bench: Bench, seed: int) -> None:
    inventory_mutants(bench, 2500, seed)
    metadata_mutants(bench, 2500, seed)
