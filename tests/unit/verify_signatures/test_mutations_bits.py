"""Every bit of three real Sigstore bundles, flipped one at a time: refused, and with no exception but ours.

The exhaustive tier flips them all, `make test` a sample. There is no allow-list: these hold nothing that is unsigned.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bundler.digest import Content
from bundler.errors import RejectedError
from bundler.evidence.envelope import Envelope
from bundler.evidence.sigstore_bundle import format_bundle, parse_bundle
from bundler.evidence.statement import parse_statement
from bundler.identity.fulcio import read_identity
from bundler.verify.blob import known_digest, verify_blob
from bundler.verify.material import parse_trusted_root
from bundler.verify.policy import KeylessSigner, TextRule
from tests.simulators.good_bundles import FORMS, World
from tests.simulators.judging import IDENTITY
from tests.simulators.sigstore_bundles import FILE_DIGEST
from tests.simulators.sigstore_keys import GITHUB

SAMPLES = 250
REAL = ("happy-path-v0.3", "rekor2-happy-path", "cosign-v3-image-signature")
Judge = Callable[[bytes], object]


def simulated(name: str) -> tuple[bytes, Judge]:
    """The twin for where there are no real ones."""
    world = World(name)
    material = parse_trusted_root(world.sigstore.trusted_root_json())
    wanted = KeylessSigner(TextRule(IDENTITY), TextRule(GITHUB), None)
    artifact = known_digest(FILE_DIGEST)
    return format_bundle(world.good), lambda raw: verify_blob(raw, artifact, signer=wanted, material=material)


def real(name: str, shared: Path) -> tuple[bytes, Judge]:
    """A Sigstore bundle, held against the identity that it names and what it was made for."""
    folder = shared / "real" / "sigstore-bundles"
    root = shared / "real" / "trust" / "trusted_root.public-good.json"
    if (folder / name / "trusted_root.json").exists():
        root = folder / name / "trusted_root.json"
    alone = folder / f"{name}.sigstore.json"
    raw = alone.read_bytes() if alone.exists() else (folder / name / "bundle.sigstore.json").read_bytes()
    bundle = parse_bundle(raw)
    assert bundle.certificate is not None
    signer = read_identity(bundle.certificate)
    wanted = KeylessSigner(TextRule(signer.san), TextRule(signer.issuer), None)
    artifact = Content((folder / "a.txt").read_bytes())
    if isinstance(bundle.content, Envelope):
        (subject,) = parse_statement(bundle.content.payload).subjects
        artifact = Content(hashes={name: bytes.fromhex(value) for name, value in subject.digests.items()})
    material = parse_trusted_root(root.read_bytes())
    return raw, lambda changed: verify_blob(changed, artifact, signer=wanted, material=material)


def check_refused(raw: bytes, judge: Judge, bits: list[int] | range) -> None:
    judge(raw)
    for bit in bits:
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            judge(bytes(changed))
        except RejectedError:
            continue
        pytest.fail(f"bit {bit} accepted, near {raw[max(0, bit // 8 - 20) : bit // 8 + 10]!r}")


def sample(raw: bytes) -> list[int]:
    return random.Random(f"bits {len(raw)}").sample(range(len(raw) * 8), SAMPLES)


@pytest.mark.parametrize("name", FORMS)
def test_sampled_bits(name: str) -> None:
    raw, judge = simulated(name)
    check_refused(raw, judge, sample(raw))


@pytest.mark.parametrize("name", REAL)
def test_sampled_bits_of_real_ones(name: str, shared: Path) -> None:
    raw, judge = real(name, shared)
    check_refused(raw, judge, sample(raw))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", REAL)
def test_every_bit_of_real_ones(name: str, shared: Path) -> None:
    raw, judge = real(name, shared)
    check_refused(raw, judge, range(len(raw) * 8))
