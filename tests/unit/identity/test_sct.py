"""Embedded certificate timestamps."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import MalformedError, RejectedError
from bundler.identity.certificate import Certificate, parse_certificate
from bundler.identity.der import OCTET_STRING, parse_der
from bundler.identity.keys import parse_spki
from bundler.identity.sct import (
    SCT_LIST,
    CertificateLog,
    VerifiedTimestamp,
    cut_sct_list,
    parse_sct_list,
    verify_embedded_scts,
)
from bundler.moment import Window
from tests.simulators.sigstore import Sigstore
from tests.simulators.sigstore_certificates import der
from tests.simulators.sigstore_keys import AT, START
from tests.simulators.sigstore_log import Log

SIGSTORE = Sigstore("sct")
TICK = timedelta(milliseconds=1)


def log(of: Log = SIGSTORE.certificate_log, window: Window | None = None) -> CertificateLog:
    return CertificateLog(of.url, of.log_id, parse_spki(of.spki), window or Window(START))


def certificates(**knobs: Any) -> tuple[Certificate, Certificate]:
    signer = SIGSTORE.keyless("https://example.org/app", **knobs)
    assert signer.certificate is not None
    return parse_certificate(der(signer.certificate)), parse_certificate(der(signer.chain[0]))


def verify(*logs: CertificateLog, **knobs: Any) -> tuple[VerifiedTimestamp, ...]:
    return verify_embedded_scts(*certificates(**knobs), logs or (log(),))


def refused(*logs: CertificateLog, **knobs: Any) -> None:
    with pytest.raises(RejectedError) as error:
        verify(*logs, **knobs)
    assert error.value.code == "sct"


def test_good() -> None:
    assert verify() == (VerifiedTimestamp(SIGSTORE.certificate_log.url, AT),)
    assert len(verify(scts=2)) == 2


def test_its_extensions_are_signed() -> None:
    verify(sct_extensions=b"\0\0\5\1\2\3")


@pytest.mark.parametrize("position", [0, 1, 3, None])
def test_the_cut_leaves_exactly_what_the_log_saw(position: int | None) -> None:
    signer = SIGSTORE.keyless("https://example.org/app", sct_position=position)
    verify_embedded_scts(*certificates(sct_position=position), (log(),))
    assert signer.certificate is not None
    assert cut_sct_list(signer.certificate.tbs_certificate_bytes) == signer.certificate.tbs_precertificate_bytes


@pytest.mark.parametrize("extensions", [{}, {9: "x" * 1000}, {9: "x" * 70_000}])
def test_the_cut_with_lengths_of_every_size(extensions: dict[int, str]) -> None:
    certificate = SIGSTORE.keyless("https://example.org/app", extensions=extensions).certificate
    assert certificate is not None
    assert cut_sct_list(certificate.tbs_certificate_bytes) == certificate.tbs_precertificate_bytes


def test_none() -> None:
    refused(scts=0)


def test_by_an_unknown_log() -> None:
    refused(sct_log=SIGSTORE.new_log("https://ctfe.example.org/other"))
    leaf, issuer = certificates()
    with pytest.raises(RejectedError) as error:
        verify_embedded_scts(leaf, issuer, ())
    assert error.value.code == "sct"


def test_the_key_is_found_by_log_id_only() -> None:
    other = SIGSTORE.new_log("https://ctfe.example.org/other")
    # The right key under another id, and another key under the right id.
    refused(replace(log(), log_id=other.log_id))
    refused(replace(log(other), log_id=SIGSTORE.certificate_log.log_id))


@pytest.mark.parametrize("window", [Window(START, AT), Window(AT)])
def test_both_ends_of_the_window_belong_to_it(window: Window) -> None:
    verify(log(window=window))


@pytest.mark.parametrize("window", [Window(START, AT - TICK), Window(AT + TICK)])
def test_outside_the_window(window: Window) -> None:
    refused(log(window=window))


def test_it_is_the_scts_time_that_counts() -> None:
    refused(log(window=Window(AT)), sct_at=AT - TICK)
    verify(log(window=Window(START, AT - TICK)), sct_at=AT - TICK)


def test_of_another_issuer() -> None:
    leaf, _ = certificates()
    another = parse_certificate(der(SIGSTORE.new_authority().intermediate))
    with pytest.raises(RejectedError) as error:
        verify_embedded_scts(leaf, another, (log(),))
    assert error.value.code == "sct"


def test_of_another_certificate() -> None:
    mine, issuer = certificates()
    other, _ = certificates(extensions={9: "another"})
    grafted = replace(mine, extensions={**mine.extensions, SCT_LIST: other.extensions[SCT_LIST]})
    with pytest.raises(RejectedError) as error:
        verify_embedded_scts(grafted, issuer, (log(),))
    assert error.value.code == "sct"


def test_every_byte_of_the_list_counts() -> None:
    leaf, issuer = certificates()
    value = leaf.extensions[SCT_LIST]
    for position in range(len(value)):
        broken = value[:position] + bytes([value[position] ^ 1]) + value[position + 1 :]
        for mutant in (broken, value[:position]):
            with pytest.raises(RejectedError) as error:
                verify_embedded_scts(replace(leaf, extensions={**leaf.extensions, SCT_LIST: mutant}), issuer, (log(),))
            assert error.value.code == "sct"


def test_bytes_left_over() -> None:
    leaf, _ = certificates()
    raw = parse_der(leaf.extensions[SCT_LIST], OCTET_STRING).content
    assert len(parse_sct_list(raw)) == 1
    inside = raw[4:] + b"\0"
    longer = len(inside).to_bytes(2, "big") + inside
    for broken in (raw + b"\0", len(longer).to_bytes(2, "big") + longer, raw[:4] + b"\1" + raw[5:]):
        with pytest.raises(MalformedError) as error:
            parse_sct_list(broken)
        assert error.value.code == "sct-list"


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_or_refused(raw: bytes) -> None:
    try:
        parse_sct_list(raw)
    except MalformedError as error:
        code = error.code
    else:
        code = "sct-list"
    assert code == "sct-list"


def test_no_extensions_to_cut() -> None:
    certificate = SIGSTORE.keyless("https://example.org/app", scts=0).certificate
    assert isinstance(certificate, x509.Certificate)
    for tbs in (certificate.tbs_certificate_bytes, b"\x30\x00"):
        with pytest.raises(MalformedError) as error:
            cut_sct_list(tbs)
        assert error.value.code == "der"
