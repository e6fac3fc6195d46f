"""The path from a leaf to an authority of the trusted root, at given times."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from bundler.errors import RejectedError
from bundler.identity.certificate import parse_certificate
from bundler.identity.chain import CertificateAuthority, CertificatePath, verify_chain
from bundler.moment import Window
from tests.simulators.sigstore import Signer, Sigstore
from tests.simulators.sigstore_certificates import Authority, der
from tests.simulators.sigstore_keys import AT, END, LEAF_LIFETIME, START

SIGSTORE = Sigstore("chain")
GOOD = SIGSTORE.keyless("https://example.org/app")
TICK = timedelta(seconds=1)


def trusted(authority: Authority, window: Window | None = None) -> CertificateAuthority:
    chain = tuple(parse_certificate(der(item)) for item in authority.chain)
    return CertificateAuthority(authority.uri, chain, window or Window(START))


def verify(
    signer: Signer = GOOD, *authorities: CertificateAuthority, times: tuple[datetime, ...] = (AT,)
) -> CertificatePath:
    assert signer.certificate is not None
    return verify_chain(
        parse_certificate(der(signer.certificate)), authorities or (trusted(SIGSTORE.authority),), times
    )


def code(signer: Signer = GOOD, *authorities: CertificateAuthority, times: tuple[datetime, ...] = (AT,)) -> str:
    with pytest.raises(RejectedError) as error:
        verify(signer, *authorities, times=times)
    return error.value.code


def test_good() -> None:
    path = verify()
    assert GOOD.certificate is not None
    assert path.leaf == parse_certificate(der(GOOD.certificate))
    assert path.issuer == path.authority.chain[0]


@pytest.mark.parametrize("at", [AT, AT + LEAF_LIFETIME])
def test_both_ends_of_the_leafs_validity_belong_to_it(at: datetime) -> None:
    verify(times=(at,))


@pytest.mark.parametrize("times", [(AT - TICK,), (AT + LEAF_LIFETIME + TICK,), (AT, AT + LEAF_LIFETIME + TICK)])
def test_leaf_not_valid_at_every_time(times: tuple[datetime, ...]) -> None:
    assert code(times=times) == "cert-expired"


def test_no_time() -> None:
    assert code(times=()) == "no-signed-time"


@pytest.mark.parametrize(
    "knobs",
    [
        {"intermediate_validity": (START, AT - TICK)},
        {"intermediate_validity": (AT + TICK, END)},
        {"root_validity": (START, AT - TICK)},
        {"root_validity": (AT + TICK, END)},
    ],
)
def test_cve_2026_24122_an_expired_certificate_above_the_leaf(knobs: dict[str, Any]) -> None:
    assert code(GOOD, trusted(replace(SIGSTORE.authority, **knobs))) == "cert-expired"


@pytest.mark.parametrize("window", [Window(START, AT), Window(AT), Window(AT, AT)])
def test_both_ends_of_the_authoritys_window_belong_to_it(window: Window) -> None:
    verify(GOOD, trusted(SIGSTORE.authority, window))


@pytest.mark.parametrize("window", [Window(START, AT - TICK / 1000), Window(AT + TICK / 1000)])
def test_outside_the_authoritys_window(window: Window) -> None:
    assert code(GOOD, trusted(SIGSTORE.authority, window)) == "ca-window"


def test_the_same_authority_with_two_windows() -> None:
    old = trusted(SIGSTORE.authority, Window(START, AT - TICK))
    verify(GOOD, old, trusted(SIGSTORE.authority, Window(AT)))
    assert code(GOOD, old, old) == "ca-window"


def test_a_namesake_does_not_hide_the_reason() -> None:
    namesake = trusted(SIGSTORE.new_authority())
    closed = trusted(SIGSTORE.authority, Window(START, AT - TICK))
    assert code(GOOD, namesake, closed) == "ca-window"
    assert code(GOOD, closed, namesake) == "ca-window"
    verify(GOOD, namesake, trusted(SIGSTORE.authority))


@pytest.mark.parametrize(
    "authority",
    [
        SIGSTORE.new_authority(),
        SIGSTORE.new_authority(organization="another.example.org"),
        replace(SIGSTORE.authority, intermediate_ca=False),
        replace(SIGSTORE.authority, intermediate_usage=False),
        replace(SIGSTORE.authority, intermediate_purposes=("1.3.6.1.5.5.7.3.8",)),
        replace(SIGSTORE.authority, path_length=0),
    ],
    ids=["another key", "another name", "not a CA", "no keyCertSign", "not for code signing", "path length"],
)
def test_no_path(authority: Authority) -> None:
    assert code(GOOD, trusted(authority)) == "cert-chain"


@pytest.mark.parametrize(
    "authority",
    [
        replace(SIGSTORE.authority, intermediate_purposes=()),
        replace(SIGSTORE.authority, intermediate_purposes=("2.5.29.37.0",)),
        replace(SIGSTORE.authority, path_length=1),
    ],
    ids=["no purposes", "any purpose", "path length 1"],
)
def test_paths_that_rfc_5280_allows(authority: Authority) -> None:
    verify(GOOD, trusted(authority))


def test_no_authority_at_all() -> None:
    assert GOOD.certificate is not None
    with pytest.raises(RejectedError) as error:
        verify_chain(parse_certificate(der(GOOD.certificate)), (), (AT,))
    assert error.value.code == "cert-chain"


def test_chain_in_the_wrong_order_or_cut() -> None:
    whole = trusted(SIGSTORE.authority)
    assert code(GOOD, replace(whole, chain=whole.chain[::-1])) == "cert-chain"
    assert code(GOOD, replace(whole, chain=whole.chain[1:])) == "cert-chain"
    verify(GOOD, replace(whole, chain=whole.chain[:1]))  # the intermediate itself may be the anchor


def test_root_that_issues_leaves_itself() -> None:
    """Fulcio's first authority had no intermediate: then the chain is the anchor alone."""
    direct = SIGSTORE.new_authority()
    intermediate = parse_certificate(der(direct.intermediate))
    signer = SIGSTORE.keyless("https://example.org/app", issued_by=direct)
    verify(signer, CertificateAuthority("", (intermediate,), Window(START)))


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        ({"content_usage": False}, "cert-usage"),
        ({"content_usage": None}, "cert-usage"),
        ({"purposes": ()}, "cert-usage"),
        ({"purposes": ("1.3.6.1.5.5.7.3.8",)}, "cert-usage"),
        ({"purposes": ("2.5.29.37.0",)}, "cert-usage"),
        ({"ca": True}, "cert-chain"),
    ],
)
def test_leaf_not_made_for_signing_code(knobs: dict[str, Any], expected: str) -> None:
    assert code(SIGSTORE.keyless("https://example.org/app", **knobs)) == expected


def test_leaf_that_says_it_is_no_authority() -> None:
    verify(SIGSTORE.keyless("https://example.org/app", ca=False))


def test_certificates_are_compared_as_bytes() -> None:
    assert isinstance(GOOD.certificate, x509.Certificate)
    again = SIGSTORE.keyless("https://example.org/app").certificate
    assert again is not None
    assert parse_certificate(der(again)) != parse_certificate(der(GOOD.certificate))
