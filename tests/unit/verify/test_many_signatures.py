"""Many signatures in one bundle: the trusted root is read once, and nobody counts more than there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundler.verify import keyring
from bundler.verify.material import TrustedMaterial
from scripts.bench_signatures import REPOSITORY, make_large
from tests.simulators.deliveries import keyless_policy, verify
from tests.simulators.judging import IDENTITY
from tests.simulators.sigstore_keys import GITHUB


def test_the_trusted_root_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, calls = keyring.parse_trusted_root, []

    def counted(raw: bytes) -> TrustedMaterial:
        calls.append(raw)
        return read(raw)

    monkeypatch.setattr(keyring, "parse_trusted_root", counted)
    bundle, state = make_large(tmp_path, 40)
    report = verify(bundle, state, keyless_policy(REPOSITORY, IDENTITY, GITHUB)).report
    assert (report.exit_code, report.reason) == (0, "")
    assert len(report.images) == 2
    assert len(calls) == 1
