"""Who a Fulcio certificate says signed."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509

from bundler.errors import RejectedError
from bundler.identity.certificate import parse_certificate
from bundler.identity.der import UTF8_STRING, format_der
from bundler.identity.fulcio import CertificateIdentity, read_identity
from bundler.identity.fulcio_names import ARC
from tests.simulators.sigstore import Sigstore
from tests.simulators.sigstore_certificates import der
from tests.simulators.sigstore_keys import GITHUB

SIGSTORE = Sigstore("fulcio")
URI = "https://example.org/app"


def identity(san: str = URI, **knobs: Any) -> CertificateIdentity:
    certificate = SIGSTORE.keyless(san, **knobs).certificate
    assert certificate is not None
    return read_identity(parse_certificate(der(certificate)))


@pytest.mark.parametrize(
    ("san", "kind"), [(URI, "uri"), ("dev@example.org", "email"), ("user!sub.example.org", "other-name")]
)
def test_three_kinds_of_identity(san: str, kind: str) -> None:
    found = identity(san)
    assert (found.san, found.san_kind, found.issuer) == (san, kind, GITHUB)
    assert str(found) == f"{san} (issuer {GITHUB})"


@pytest.mark.parametrize("knobs", [{"issuer_raw": None}, {"issuer_der": None}, {}])
def test_issuer_in_either_extension(knobs: dict[str, Any]) -> None:
    assert identity(**knobs).issuer == GITHUB


def test_extensions_by_name() -> None:
    numbered = {1 + 1: "push", 9: "builder", 11: "self-hosted", 22: "public", 23: "release", 99: "newer"}
    found = identity(extensions=numbered)
    assert dict(found.extensions) == {
        "github-workflow-trigger": "push",
        "build-signer-uri": "builder",
        "runner-environment": "self-hosted",
        "source-repository-visibility-at-signing": "public",
        "deployment-environment": "release",
        f"{ARC}.99": "newer",
    }


def other(oid: str, value: bytes) -> x509.OtherName:
    return x509.OtherName(x509.ObjectIdentifier(oid), value)


@pytest.mark.parametrize(
    "knobs",
    [
        {"issuer_raw": "https://one.example.org", "issuer_der": "https://two.example.org"},
        {"issuer_raw": None, "issuer_der": None},
        {"issuer_raw": "", "issuer_der": None},
        {"issuer_raw": None, "issuer_der": ""},
        {"issuer_raw": "https://one.example.org", "issuer_der": ""},
        {"names": []},
        {"names": [x509.UniformResourceIdentifier(URI), x509.UniformResourceIdentifier(URI)]},
        {"names": [x509.UniformResourceIdentifier(URI), x509.RFC822Name("dev@example.org")]},
        {"names": [x509.DNSName("example.org")]},
        {"names": [x509.UniformResourceIdentifier("")]},
        {"names": [other(f"{ARC}.7", b"\x0c\x00")]},
        {"names": [other(f"{ARC}.7", b"\x13\x01a")]},
        {"names": [other("1.3.6.1.4.1.311.20.2.3", format_der(UTF8_STRING, b"user"))]},
    ],
)
def test_no_one_identity(knobs: dict[str, Any]) -> None:
    with pytest.raises(RejectedError) as error:
        identity(**knobs)
    assert error.value.code == "cert-identity"
