"""What `verify`, `load` and `serve` ask of a verification: one request, whatever was typed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bundler.cli.judging import Judging, make_request
from bundler.errors import TrustError
from bundler.value import replace
from tests.simulators.deliveries import change_settings, make_site
from tests.simulators.tuf_repository import TufRepository
from trust_root.delivery import time_basis

POLICY = 'format = 1\n[[rule]]\nimages = ["**"]\nrequire = ["sbom"]\nallow_unsigned = true\n'
LATER = datetime(2027, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def pin() -> bytes:
    return TufRepository("main").pin


@pytest.fixture
def typed(tmp_path: Path, pin: bytes) -> Judging:
    state = make_site(tmp_path / "state", pin)
    return Judging(None, False, False, False, 3, str(state), 2)


def reached(_: int) -> None:
    pass


def test_a_run_that_writes_keeps_its_indexes_at_the_site(typed: Judging) -> None:
    request = typed.request(typed.site(), reached)
    assert request.site is not None
    assert (request.site.read_only, request.site.rules.min_sequence) == (False, 3)
    assert request.workplace == Path(str(typed.state)) / "vulnerabilities"
    assert (request.threads, request.progress, request.historic, request.policy) == (2, reached, False, None)
    assert (request.explain, request.integrity_only, request.exhibit, request.prove) == (False, False, False, False)
    assert request.basis.source == "clock"


def test_a_run_that_writes_nothing_leaves_no_indexes(typed: Judging) -> None:
    """`--read-only`, `load --dry-run`, and serve as it judges again."""
    for request in (typed.again(), typed.request(typed.site(read_only=True))):
        assert request.site is not None
        assert (request.site.read_only, request.site.rules.min_sequence) == (True, 3)
        assert request.workplace is None


def test_an_audit_leaves_no_indexes_either(typed: Judging) -> None:
    site = typed.site()
    clock = datetime.now(UTC)
    assert make_request(typed, site, time_basis(clock, None)).workplace == site.folder / "vulnerabilities"
    assert make_request(typed, site, time_basis(clock, clock + timedelta(hours=1))).workplace is not None  # the floor
    request = make_request(typed, site, time_basis(clock, None, LATER, "audit 12"))
    assert (request.workplace, request.basis.at) == (None, LATER)


def test_bytes_alone_are_judged_without_a_site(typed: Judging) -> None:
    request = make_request(typed, None, time_basis(datetime.now(UTC), None))
    assert (request.site, request.policy, request.workplace) == (None, None, None)


def test_an_older_delivery_is_accepted_only_when_that_was_typed(typed: Judging) -> None:
    assert replace(typed, historic=True).again().historic


@pytest.mark.parametrize("proofs", [True, False])
@pytest.mark.parametrize("growth", [True, False])
def test_demands_that_were_typed_stand_in_the_policy(
    typed: Judging, tmp_path: Path, *, proofs: bool, growth: bool
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    typed = replace(typed, policy_file=str(path), require_inclusion_proof=proofs, require_log_growth=growth)
    policy = typed.again().policy
    assert policy is not None
    assert policy.require_log_growth is growth
    assert len(policy.strengthened) == proofs + growth


def test_the_policy_of_the_site_is_read_again_and_has_the_digest_that_it_names(typed: Judging, tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "policy.toml").write_text(POLICY)
    digest = _policy(replace(typed, policy_file=str(state / "policy.toml"))).digest
    change_settings(state, f'site = "plant"\n[policy]\npath = "policy.toml"\nsha256 = "{digest.hex}"\n')
    assert _policy(typed).digest == digest
    (state / "policy.toml").write_text(POLICY + "# another\n")
    with pytest.raises(TrustError) as caught:
        typed.again()
    assert caught.value.code == "policy-digest"
    assert _policy(replace(typed, policy_file=str(state / "policy.toml"))).digest != digest  # what is typed goes first


def _policy(typed: Judging) -> Any:
    return typed.again().policy
