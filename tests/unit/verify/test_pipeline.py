"""The pipeline itself: what no caller can ask of it, and what it says of options that weaken."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bundler.verify.claims import _weakened
from bundler.verify.pipeline import Request, verify_bundle
from bundler.verify.policy import parse_policy
from tests.delivered import Delivered, deliver
from tests.simulators.deliveries import NOW, verify
from trust_root.delivery import time_basis


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    return deliver(tmp_path_factory.mktemp("delivered"))


def test_no_site_is_no_verification(delivered: Delivered) -> None:
    policy = parse_policy(delivered.policy.read_bytes())
    report = verify_bundle(delivered.bundle, Request(time_basis(NOW, None), policy=policy)).report
    assert (report.exit_code, report.reason) == (4, "no-pin")


@pytest.mark.parametrize(
    ("pattern", "warned"), [("^.*$", True), ("^.+$", True), (r"^https://token\.ci\.example\.org$", False)]
)
def test_a_pattern_for_anybody_is_said(delivered: Delivered, pattern: str, warned: bool) -> None:
    text = delivered.policy.read_text().replace(
        'certificate_oidc_issuer = "https://token.ci.example.org"', f"certificate_oidc_issuer_regexp = '{pattern}'"
    )
    clock = Path(delivered.bundle).stat().st_mtime

    report = verify(
        delivered.bundle, delivered.state, text, clock=datetime.fromtimestamp(int(clock), UTC), read_only=True
    ).report
    assert report.exit_code == 0
    assert any("matches any" in line for line in report.weakened) is warned


def test_what_weakens_is_told_rule_by_rule_and_nothing_else_is() -> None:
    signed = 'certificate_identity = "a@example.org"\ncertificate_oidc_issuer = "https://issuer.example"'
    anybody = 'certificate_identity_regexp = "^.*$"\ncertificate_oidc_issuer = "https://issuer.example"'
    told = {
        f"[[rule.signature]]\n{signed}": "",
        '[[rule.signature]]\nkey = "team"': "",
        '[[rule.signature]]\nkey = "team"\ninsecure_ignore_tlog = true': "insecure_ignore_tlog",
        f"[[rule.signature]]\n{signed}\n[[rule.signature]]\n{anybody}": "a pattern that matches any",
        f'stream = "main"\n[[rule.signature]]\n{signed}': "",  # no site: no pins to choose from
    }
    for text, word in told.items():
        policy = parse_policy(f'format = 1\n[[rule]]\nimages = ["**"]\n{text}'.encode())
        for historic in (False, True):
            request = Request(time_basis(NOW, None), policy=policy, historic=historic)
            lines = _weakened(policy.rules, request)
            assert ["--historic" in line for line in lines] == [True] * historic + [False] * bool(word), text
            assert word in "".join(lines)
