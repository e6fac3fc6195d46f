"""`sealift verify --explain` and `--require-inclusion-proof`, from the command line to the reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.session import Result, call
from tests.delivered import Delivered


def verify(delivered: Delivered, policy: Path, *options: str) -> Result:
    return call("verify", delivered.bundle, "--policy", policy, "--state", delivered.state, "--read-only", *options)


def test_explain_says_which_rule_and_why(delivered: Delivered, policy: Path) -> None:
    result = verify(delivered, policy, "--explain")
    assert result.code == 0
    assert result.out.count("  why:\n") == 2
    assert result.out.count(": applies, ") == 2
    assert "    demands signature by " in result.out
    images = json.loads(verify(delivered, policy, "--explain", "--json").out)["images"]
    for image in images:
        *tried, decided = image["explanation"]["rules"]
        assert decided["applies"]
        assert decided["rule"] == image["rule"]
        assert decided["because"]
        assert not any(rule["applies"] for rule in tried)
        assert image["explanation"]["demands"]


def test_nobody_asked(delivered: Delivered, policy: Path) -> None:
    assert "why:" not in verify(delivered, policy).out
    images = json.loads(verify(delivered, policy, "--json").out)["images"]
    assert [image["explanation"] for image in images] == [None, None]


def test_no_rule_is_explained(delivered: Delivered, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('format = 1\n[[rule]]\nimages = ["elsewhere.example.org/**"]\nrequire = ["sbom"]\n')
    result = verify(delivered, policy, "--explain")
    assert result.code == 1
    assert result.out.count("    no rule applies\n") == 2


def test_a_proof_can_be_required_of_all(delivered: Delivered, policy: Path) -> None:
    """The demo's signatures have promises only."""
    result = verify(delivered, policy, "--require-inclusion-proof", "--json")
    assert result.code == 1
    report = json.loads(result.out)
    assert report["reason"] == "log-strength"
    assert any("--require-inclusion-proof" in check["detail"] for check in report["checks"])
    assert "[log-strength]" in verify(delivered, policy, "--require-inclusion-proof").out
    assert verify(delivered, policy).code == 0


@pytest.mark.parametrize("option", ["--explain", "--require-inclusion-proof"])
def test_claims_are_not_asked_of_bytes(delivered: Delivered, option: str) -> None:
    result = call("verify", delivered.bundle, "--integrity-only", option)
    assert (result.code, "[usage]" in result.err) == (2, True)
