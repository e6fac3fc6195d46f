"""Advisories about other tools that concern policies and images (EVIDENCE 2.8); each ends in its reject code here.

Those about single signatures are in tests/unit/verify_signatures.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundler.errors import MalformedError, RejectedError, UsageError
from bundler.oci.manifest import OCI_INDEX, OCI_MANIFEST, parse_manifest
from bundler.verify.keyring import Keyring
from bundler.verify.policy import parse_policy
from tests.simulators.claims import NAME, Claims, demand, policy, told
from tests.simulators.images import SLSA, two_platforms


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(tmp_path, "advisories")


@pytest.mark.parametrize(
    "line", ["certificate_identity_regex = '^x$'", "require_proof = true", "Threshold = 2", "log_treshold = 2"]
)
def test_cve_2026_48815_a_policy_option_that_nobody_knows(line: str) -> None:
    """It was dropped in silence."""
    with pytest.raises(UsageError) as caught:
        parse_policy(policy(f"{demand()}\n{line}").encode())
    assert caught.value.code == "policy"


def test_cve_2026_24137_target_names_are_no_paths(
    claims: Claims, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads out of its folder is a name like any other: what it names is the target, never a file."""
    (tmp_path / "trusted_root").mkdir()
    (tmp_path / "outside.json").write_bytes(claims.sigstore.trusted_root_json())
    monkeypatch.chdir(tmp_path)
    inside = str(tmp_path / "outside")
    keyring = Keyring({f"trusted_root/{inside}.json": b"{}", "trusted_root/../outside.json": b"{}"})
    for name, code in {
        inside: "trust-root-malformed",
        "../outside": "trust-root-malformed",
        "outside": "trusted-root-missing",
    }.items():
        with pytest.raises(RejectedError) as caught:
            keyring.trusted_root(name)
        assert caught.value.code == code
    with pytest.raises(UsageError) as refused:
        parse_policy(policy(demand(trusted_root='"../outside"')).encode())
    assert refused.value.code == "policy"


def test_ghsa_g2pf_6v5v_qcc8_a_stripped_signature(claims: Claims) -> None:
    """What has to be signed is said by the policy, never by what comes with the image."""
    layout, _, _ = two_platforms(NAME, attested=False)
    assert told(claims.judge(layout, policy(demand()))) == [("missing", "signature-missing", "")]
    assert told(claims.judge(layout, policy(demand("attestation", SLSA)))) == [("missing", "attestation-missing", "")]


def test_cve_2022_35929_no_attestation_of_the_type(claims: Claims) -> None:
    """An empty set of attestations is a failure."""
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.attest(layout, top, claims.release, "https://example.org/other")
    assert told(claims.judge(layout, policy(demand("attestation", SLSA)))) == [("missing", "attestation-missing", "")]


def test_cve_2021_41190_a_manifest_that_is_also_an_index() -> None:
    both = json.dumps({"schemaVersion": 2, "config": {}, "layers": [], "manifests": []}).encode()
    for media_type in (OCI_MANIFEST, OCI_INDEX):
        with pytest.raises(MalformedError) as caught:
            parse_manifest(both, media_type)
        assert caught.value.code == "manifest-ambiguous"
