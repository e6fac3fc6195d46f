"""A sample of changed bundles through the command line: refused with a code and a reason, never with a traceback."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.session import call, run
from tests.delivered import Delivered

SAMPLES = 60
REFUSED = {1, 3, 4, 5}


def changed(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Named mutants: flips all over the file, cuts, additions, swaps."""
    choose = random.Random(20)
    for _ in range(SAMPLES):
        offset, bit = choose.randrange(len(raw)), choose.randrange(8)
        flipped = bytearray(raw)
        flipped[offset] ^= 1 << bit
        yield f"flip-{offset}-{bit}", bytes(flipped)
    for size in (0, 1, 511, 512, 513, 5000, len(raw) // 2, len(raw) - 512, len(raw) - 1):
        yield f"cut-{size}", raw[:size]
    for extra in (b"\0", b"x", b"\0" * 512, b"\0" * 4096, raw):
        yield f"extended-{len(extra)}", raw + extra
    for start in (0, 512, 1024, 8192):
        yield f"removed-block-{start}", raw[:start] + raw[start + 512 :]
        yield f"doubled-block-{start}", raw[: start + 512] + raw[start:]
    yield "prepended", b"\0" * 512 + raw
    yield "newer-format", raw.replace(b"Sealift bundle, format 1", b"Sealift bundle, format 2", 1)


def test_every_sample_is_refused(delivered: Delivered, policy: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed.bundle.tar"
    raw = delivered.bundle.read_bytes()
    seen = set()
    for name, mutant in changed(raw):
        path.write_bytes(mutant)
        result = call("verify", path, "--policy", policy, "--state", delivered.state, "--read-only", "--json")
        report = json.loads(result.out)
        assert result.code in REFUSED, (name, result)
        assert report["exit_code"] == result.code, name
        assert report["reason"], name
        assert "Traceback" not in result.err, name
        seen.add(result.code)
    assert seen >= {3, 4, 5}


@pytest.mark.parametrize("offset", [100, 700, 30_000, -5000])
def test_as_a_program(delivered: Delivered, policy: Path, tmp_path: Path, offset: int) -> None:
    raw = bytearray(delivered.bundle.read_bytes())
    raw[offset] ^= 4
    path = tmp_path / "changed.bundle.tar"
    path.write_bytes(raw)
    result = run("verify", path, "--policy", policy, "--state", delivered.state, "--read-only")
    assert result.code in REFUSED
    assert "Traceback" not in result.out + result.err
    assert not result.out.startswith("VERIFIED")


def test_the_unchanged_bundle_passes(delivered: Delivered, policy: Path) -> None:
    """So that the tests above refuse for the change and for nothing else."""
    result = call("verify", delivered.bundle, "--policy", policy, "--state", delivered.state, "--read-only")
    assert result.code == 0, result
    assert result.out.startswith("VERIFIED: ")
