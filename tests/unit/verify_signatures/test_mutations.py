"""Nothing in an item can be changed unnoticed.

For a logged item, every flipped bit of the content and of the annotations that are used is refused. What is accepted
after bytes were inserted, deleted or replaced means exactly the same as before: same signature, same signed bytes, same
certificate, same promise (white space between the tokens of the annotation's JSON, the last line end of a PEM block).

The allow-list, all of it: annotations that are never used (`chain`, `predicateType`), and in attestations by key that
no log knows, the parts of an envelope that DSSE does not sign (`keyid`, unknown fields, white space).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bundler.digest import Digest
from bundler.errors import RejectedError
from bundler.evidence.cosign import BUNDLE, CERTIFICATE, CHAIN, SIGNATURE, CosignItem, parse_item
from bundler.identity.keys import PublicKey, parse_public_key
from bundler.verify.material import TrustedMaterial, parse_trusted_root
from bundler.verify.signatures import verify_item
from tests.simulators.judging import IDENTITY, SUBJECT, item_of, read_saved_layout, read_signature_file
from tests.simulators.sigstore import Sigstore

SAMPLES = 400
USED = (SIGNATURE, CERTIFICATE, BUNDLE)
REAL = ("keyless-public-good", "slsa-generator-v1.4.0", "slsa-generator-v1.10.0")
SIMULATED = ("signature", "dsse", "intoto", "keyed signature", "keyed dsse", "keyed intoto")


@dataclass(frozen=True)
class Case:
    """An item that holds, and what it takes to verify it."""

    item: CosignItem
    subject: Digest
    material: TrustedMaterial
    key: PublicKey | None = None

    def holds(self, item: CosignItem) -> bool:
        """Whether `item` is accepted. Any exception but a rejection is a bug and passes through."""
        try:
            verify_item(item, self.subject, material=self.material, key=self.key)
        except RejectedError:
            return False
        return True


def simulated(name: str) -> Case:
    sigstore = Sigstore(f"mutations {name}")
    keyed = name.startswith("keyed")
    signer = sigstore.key_signer() if keyed else sigstore.keyless(IDENTITY)
    kind = name.rpartition(" ")[2]
    layer = sigstore.sign(SUBJECT, signer) if kind == "signature" else sigstore.attest(SUBJECT, signer, kind=kind)
    key = parse_public_key(signer.public_pem.encode()) if keyed else None
    return Case(item_of(layer), SUBJECT, parse_trusted_root(sigstore.trusted_root_json()), key)


def real(name: str, shared: Path) -> Case:
    material = parse_trusted_root((shared / "real/trust/trusted_root.public-good.json").read_bytes())
    if name.startswith("slsa"):
        subject, items = read_saved_layout(shared / "real/images" / name)
        return Case(items[0], subject, material)
    item = read_signature_file(shared / "real/cosign-dir" / name / "signature-1")
    return Case(item, parse_item_digest(item), material)


def parse_item_digest(item: CosignItem) -> Digest:
    text = item.raw.partition(b"sha256:")[2][:64].decode()
    return Digest("sha256", text)


@pytest.fixture(params=[*SIMULATED, *REAL])
def case(request: pytest.FixtureRequest) -> Case:
    name = request.param
    found = real(name, request.getfixturevalue("shared")) if name in REAL else simulated(name)
    assert found.holds(found.item)
    return found


def places(case: Case) -> Iterator[tuple[str, int]]:
    """Every byte that is used: of the layer (no name), and of the annotations."""
    yield from (("", position) for position in range(len(case.item.raw)))
    for name in USED:
        yield from ((name, position) for position in range(len(case.item.annotations.get(name, ""))))


def content(item: CosignItem, name: str) -> bytes:
    return item.annotations[name].encode() if name else item.raw


def with_content(item: CosignItem, name: str, value: bytes) -> CosignItem:
    if not name:
        return replace(item, raw=value)
    return replace(item, annotations={**item.annotations, name: value.decode("latin-1")})


def flips(case: Case) -> Iterator[CosignItem]:
    for name, position in places(case):
        for bit in range(8):
            yield flipped(case.item, name, position, bit)


def flipped(item: CosignItem, name: str, position: int, bit: int) -> CosignItem:
    value = bytearray(content(item, name))
    value[position] ^= 1 << bit
    return with_content(item, name, bytes(value))


def test_sampled_bits(case: Case) -> None:
    chance = random.Random(20261123)
    everywhere = list(places(case))
    annotations = [place for place in everywhere if place[0]]
    sample = [chance.choice(everywhere) for _ in range(SAMPLES)]
    sample += [chance.choice(annotations) for _ in range(SAMPLES)]
    for name, position in sample:
        bit = chance.randrange(8)
        assert not case.holds(flipped(case.item, name, position, bit)), (name, position, bit)


@pytest.mark.exhaustive
def test_every_bit(case: Case) -> None:
    for number, mutant in enumerate(flips(case)):
        assert not case.holds(mutant), number


def mutated(item: CosignItem, chance: random.Random, place: tuple[str, int]) -> CosignItem:
    name, position = place
    value = content(item, name)
    new = chance.choice(
        [b"", b" ", b"\n", b"0", b"A", b'"', bytes([chance.randrange(128)]), value[position : position + 5]]
    )
    cut = chance.choice([0, 1, 1, 4])
    return with_content(item, name, value[:position] + new + value[position + cut :])


def test_what_is_accepted_means_the_same(case: Case) -> None:
    chance = random.Random(20261124)
    everywhere = list(places(case))
    original = parse_item(case.item)
    for _ in range(2 * SAMPLES):
        mutant = mutated(case.item, chance, chance.choice(everywhere))
        if case.holds(mutant):
            parts = parse_item(mutant)
            assert replace(parts, envelope=None) == replace(original, envelope=None)
            assert mutant.raw == case.item.raw


def test_removed_or_swapped_annotations(case: Case) -> None:
    for name in USED:
        if not case.item.annotations.get(name):
            continue
        kept = {key: value for key, value in case.item.annotations.items() if key != name}
        # A key-made item without its promise is what an item never logged looks like: accepted, and said (`none`).
        downgraded = case.key is not None and name == BUNDLE
        assert case.holds(replace(case.item, annotations=kept)) == downgraded


def test_truncations(case: Case) -> None:
    for name in ("", *(name for name in USED if case.item.annotations.get(name))):
        value = content(case.item, name)
        for length in range(1, len(value), max(1, len(value) // 60)):
            mutant = with_content(case.item, name, value[:length])
            assert not case.holds(mutant), (name, length)


def test_the_allow_list() -> None:
    case = simulated("dsse")
    for name in (CHAIN, "predicateType", "unknown"):
        assert case.holds(replace(case.item, annotations={**case.item.annotations, name: "junk"}))


def test_the_allow_list_without_a_log() -> None:
    sigstore = Sigstore("mutations unlogged")
    signer = sigstore.key_signer()
    item = item_of(sigstore.attest(SUBJECT, signer, at=None))
    material = parse_trusted_root(sigstore.trusted_root_json())
    case = Case(item, SUBJECT, material, parse_public_key(signer.public_pem.encode()))
    allowed = [
        item.raw.replace(b'"keyid":""', b'"keyid":"anything"'),
        item.raw.replace(b'"keyid":"",', b""),
        item.raw.replace(b"{", b"{ ", 1),
        item.raw.replace(b"{", b'{"more":1,', 1),
    ]
    assert all(case.holds(replace(item, raw=raw)) for raw in allowed)
    refused = [
        item.raw.replace(b"vnd.in-toto", b"vnd.in-totO"),
        item.raw.replace(b'"payload":"', b'"payload":" '),
        item.raw.replace(b'"sig":"', b'"sig":"A'),
    ]
    assert not any(case.holds(replace(item, raw=raw)) for raw in refused)
