"""Nothing in a Sigstore bundle can be changed so that something else is told about it.

A mutant is refused with a reason of ours, or it tells exactly what the original tells: same signer, times, logs,
strength, subject, statement. What of a bundle is free then is what nobody signs and nobody is told: `messageDigest`,
the key's hint, `keyid`, lines of a checkpoint by unknown signers, unsigned parts of a timestamp response, the spelling
of JSON and its media type.

The allow-list, all of it: a promise or a timestamp may be taken away while the other one still gives the time. Then a
time fewer is told, and no more; the strength stays. And what a key made may have lost its log entries: then it tells of
no log, which is what it looks like (`signed, not logged`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bundler.digest import Digest, sha256_of
from bundler.errors import RejectedError
from bundler.evidence.referrer import BundleItem
from bundler.evidence.sigstore_bundle import format_bundle, parse_bundle
from bundler.identity.keys import PublicKey, parse_public_key
from bundler.verify.material import TrustedMaterial, parse_trusted_root
from bundler.verify.signatures import VerifiedSignature, verify_item
from tests.simulators.judging import IDENTITY, SUBJECT
from tests.simulators.sigstore_bundles import FILE, FILE_DIGEST, WholeSigstore, statement_bytes

IMAGE = Digest("sha256", "c811d58de79c92f03214e63aa339484e488d694ae8a6283b5f3f17a9faf50172")
SAMPLES = 250
MANY = 10_000
REAL = ("happy-path-v0.3", "cosign-v3-image-signature")
SIMULATED = ("rekor-1", "rekor-2", "both times", "message", "keyed")


@dataclass(frozen=True)
class Case:
    """A Sigstore bundle that holds, and what it takes to verify it."""

    raw: bytes
    subject: Digest
    material: TrustedMaterial
    key: PublicKey | None = None

    def told(self, raw: bytes) -> VerifiedSignature | None:
        """What is told of a mutant; None when it is refused. Any other exception is a bug and passes through."""
        try:
            item = BundleItem(sha256_of(b"a referrer"), 0, parse_bundle(raw))
            found = verify_item(item, self.subject, material=self.material, key=self.key)
        except RejectedError:
            return None
        return replace(found, not_verified=())


def simulated(name: str) -> Case:
    sigstore = WholeSigstore(f"mutations {name}")
    signer = sigstore.key_signer() if name == "keyed" else sigstore.keyless(IDENTITY)
    key = parse_public_key(signer.public_pem.encode()) if name == "keyed" else None
    material = parse_trusted_root(sigstore.trusted_root_json())
    if name == "message":
        return Case(format_bundle(sigstore.bundle(FILE, signer)), FILE_DIGEST, material)
    log, stamped = ("rekor-2", True) if name == "rekor-2" else ("rekor-1", name == "both times")
    made = sigstore.bundle(statement_bytes(SUBJECT), signer, log=log, stamped=stamped)
    return Case(format_bundle(made), SUBJECT, material, key)


def real(name: str, shared: Path) -> Case:
    folder = shared / "real/sigstore-bundles"
    material = parse_trusted_root((shared / "real/trust/trusted_root.public-good.json").read_bytes())
    if name.startswith("cosign"):
        return Case((folder / f"{name}.sigstore.json").read_bytes(), IMAGE, material)
    raw = (folder / name / "bundle.sigstore.json").read_bytes()
    return Case(raw, sha256_of((folder / "a.txt").read_bytes()), material)


@pytest.fixture(params=[*SIMULATED, *REAL])
def case(request: pytest.FixtureRequest) -> Case:
    name = request.param
    return real(name, request.getfixturevalue("shared")) if name in REAL else simulated(name)


def flipped(raw: bytes, place: int, bit: int) -> bytes:
    value = bytearray(raw)
    value[place] ^= 1 << bit
    return bytes(value)


def check(case: Case, original: VerifiedSignature, mutant: bytes, what: object) -> None:
    found = case.told(mutant)
    if found is None or found == original:
        return
    # The allow-list.
    if case.key is not None and not found.logs:
        assert found.strength in ("none", "time"), what
        return
    assert set(found.times) < set(original.times), what
    bare = [replace(fact, log_index=None, integrated_at=None) for fact in original.logs]
    assert [replace(fact, log_index=None, integrated_at=None) for fact in found.logs] == bare, what
    assert replace(found, times=(), logs=()) == replace(original, times=(), logs=()), what
    promises = len([fact for fact in found.logs if fact.integrated_at is None])
    assert promises or len(found.times) < len(original.times), what


def original_of(case: Case) -> VerifiedSignature:
    found = case.told(case.raw)
    assert found is not None
    return found


def test_sampled_bits(case: Case) -> None:
    chance, original = random.Random(20261123), original_of(case)
    for _ in range(SAMPLES):
        place, bit = chance.randrange(len(case.raw)), chance.randrange(8)
        found = case.told(flipped(case.raw, place, bit))
        assert found is None or found == original, (place, bit)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", REAL)
def test_every_bit(shared: Path, name: str) -> None:
    case = real(name, shared)
    original = original_of(case)
    for place in range(len(case.raw)):
        for bit in range(8):
            found = case.told(flipped(case.raw, place, bit))
            assert found is None or found == original, (place, bit)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from paths(item, (*path, key))


def mutated(value: Any, other: Any, chance: random.Random) -> tuple[Any, object]:
    """A copy with one thing changed: removed, repeated, replaced by another part of this or of another bundle."""
    copy = json.loads(json.dumps(value))
    path = chance.choice(list(paths(copy)))
    parent = copy
    for key in path[:-1]:
        parent = parent[key]
    last, way = path[-1], chance.choice(("remove", "replace", "graft", "edit", "repeat"))
    if way == "remove":
        del parent[last]
    elif way == "repeat" and isinstance(parent, list):
        parent.append(parent[last])
    elif way == "edit" and isinstance(parent[last], str):
        parent[last] = edited(parent[last], chance)
    else:
        source = other if way == "graft" else copy
        found: Any = json.loads(json.dumps(source))
        for key in chance.choice(list(paths(found))):
            found = found[key]
        parent[last] = found
    return copy, (way, path)


def edited(text: str, chance: random.Random) -> str:
    if text.isdecimal():
        return str(int(text) + chance.choice((-1, 1, 2**32)))
    place = chance.randrange(len(text) + 1)
    return text[:place] + chance.choice(("", "A", "=", "\n", "é", "0")) + text[place + chance.choice((0, 1)) :]


def mutate(case: Case, count: int) -> None:
    chance, original = random.Random(20261124), original_of(case)
    value = json.loads(case.raw)
    others = [json.loads(simulated(name).raw) for name in ("rekor-1", "rekor-2")]
    for _ in range(count):
        mutant, what = mutated(value, chance.choice(others), chance)
        if chance.random() < 0.3:
            mutant, more = mutated(mutant, chance.choice(others), chance)
            what = (what, more)
        check(case, original, json.dumps(mutant).encode(), what)


def test_structured_mutations(case: Case) -> None:
    mutate(case, SAMPLES)


@pytest.mark.exhaustive
def test_many_structured_mutations(case: Case) -> None:
    mutate(case, MANY)


def test_truncations(case: Case) -> None:
    for length in range(0, len(case.raw), max(1, len(case.raw) // 50)):
        assert case.told(case.raw[:length]) is None
    assert case.told(case.raw + b" ") == original_of(case)
    assert case.told(case.raw + b"x") is None


def test_the_allow_list() -> None:
    case = simulated("both times")
    original, value = original_of(case), json.loads(case.raw)
    material = value["verificationMaterial"]
    without_promise = json.loads(case.raw)
    del without_promise["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"]
    without_stamp = {**value, "verificationMaterial": {**material, "timestampVerificationData": {}}}
    for mutant in (without_promise, without_stamp):
        found = case.told(json.dumps(mutant).encode())
        assert found is not None
        assert found != original
        assert (found.strength, len(found.times)) == (original.strength, 1)
        check(case, original, json.dumps(mutant).encode(), "allowed")
