"""Trusted roots: read strictly, with windows, ids and kinds of keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bundler.digest import sha256_of
from bundler.encoding import encode_base64
from bundler.errors import MalformedError, RejectedError
from bundler.verify.material import parse_trusted_root
from tests.simulators.sigstore import Sigstore

RAW = Sigstore("material").trusted_root_json()
SPKI = PublicFormat.SubjectPublicKeyInfo


def changed(change: Callable[[Any], object]) -> bytes:
    value = json.loads(RAW)
    change(value)
    return json.dumps(value).encode()


def refused(raw: bytes) -> None:
    with pytest.raises(MalformedError) as error:
        parse_trusted_root(raw)
    assert error.value.code == "trust-root-malformed"


def test_good() -> None:
    material = parse_trusted_root(RAW)
    assert material.digest == sha256_of(RAW)
    assert [log.url for log in material.logs] == ["https://rekor.example.org"]
    assert [len(authority.chain) for authority in material.authorities] == [2]
    assert len(material.certificate_logs) == 1
    assert material.timestamp_authorities == ()


@pytest.mark.parametrize(("name", "counts"), [("public-good", (2, 2, 2, 1)), ("staging", (4, 1, 4, 1))])
def test_real_ones(shared: Path, name: str, counts: tuple[int, ...]) -> None:
    material = parse_trusted_root((shared / "real" / "trust" / f"trusted_root.{name}.json").read_bytes())
    found = (material.logs, material.authorities, material.certificate_logs, material.timestamp_authorities)
    assert tuple(map(len, found)) == counts


def test_real_windows(shared: Path) -> None:
    material = parse_trusted_root((shared / "real" / "trust" / "trusted_root.public-good.json").read_bytes())
    assert material.logs[0].log_id.hex().startswith("c0d23d6a")
    assert material.logs[0].window.end is None
    assert material.authorities[0].window.end == datetime(2022, 12, 31, 23, 59, 59, 999_000, UTC)


def test_all_conformance_ones(shared: Path) -> None:
    found = sorted((shared / "real" / "sigstore-bundles").glob("*/trusted_root.json"))
    assert found
    for path in found:
        parse_trusted_root(path.read_bytes())


@pytest.mark.parametrize("media_type", [".v0.1+json", ".v0.2+json", "+json;version=0.1"])
def test_media_types(media_type: str) -> None:
    name = f"application/vnd.dev.sigstore.trustedroot{media_type}"
    parse_trusted_root(changed(lambda root: root.update(mediaType=name)))


def test_fields_of_newer_instances() -> None:
    def add(root: Any) -> None:
        root["tlogs"][0] |= {"operator": "example.org", "checkpointKeyId": {"keyId": "AAAAAA=="}}
        root["certificateAuthorities"][0]["operator"] = "example.org"

    parse_trusted_root(changed(add))


def test_lists_may_be_absent() -> None:
    material = parse_trusted_root(b'{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
    assert (material.logs, material.authorities, material.certificate_logs) == ((), (), ())


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.999Z", "2026-01-01T01:00:00+01:00"])
def test_times(text: str) -> None:
    parse_trusted_root(changed(lambda root: root["tlogs"][0]["publicKey"]["validFor"].update(start=text)))


def log(root: Any) -> Any:
    return root["tlogs"][0]


def key(root: Any) -> Any:
    return root["tlogs"][0]["publicKey"]


def authority(root: Any) -> Any:
    return root["certificateAuthorities"][0]


@pytest.mark.parametrize(
    "change",
    [
        lambda root: root.update(mediaType="application/vnd.dev.sigstore.trustedroot+json;version=0.9"),
        lambda root: root.update(mediaType=""),
        lambda root: root.pop("mediaType"),
        lambda root: root.update(more=[]),
        lambda root: root.update(tlogs=None),
        lambda root: root.update(tlogs=[1]),
        lambda root: root.update(tlogs=root["tlogs"] * 2),
        lambda root: root.update(ctlogs=root["ctlogs"] * 2),
        lambda root: root.update(tlogs=root["tlogs"] * 1000),
        lambda root: log(root).pop("logId"),
        lambda root: log(root).update(logId={}),
        lambda root: log(root).update(logId={"keyId": ""}),
        lambda root: log(root).update(logId={"keyId": encode_base64(bytes(32))}),
        lambda root: log(root).update(logId=root["ctlogs"][0]["logId"]),
        lambda root: log(root).update(baseUrl=None),
        lambda root: log(root).update(operator=1),
        lambda root: log(root).update(hashAlgorithm="SHA2_512"),
        lambda root: log(root).update(base_url="x"),
        lambda root: key(root).pop("validFor"),
        lambda root: key(root).update(validFor={}),
        lambda root: key(root).update(validFor={"end": "2030-01-01T00:00:00Z"}),
        lambda root: key(root).update(validFor={"start": None}),
        lambda root: key(root).update(validFor={"start": ""}),
        lambda root: key(root).update(validFor={"start": "2020-01-01"}),
        lambda root: key(root).update(validFor={"start": "2020-13-01T00:00:00Z"}),
        lambda root: key(root).update(validFor={"start": "2020-01-01T00:00:00Z", "end": "2019-01-01T00:00:00Z"}),
        lambda root: key(root).update(validFor={"start": "2020-01-01T00:00:00Z", "End": "2021-01-01T00:00:00Z"}),
        lambda root: key(root).update(keyDetails="PKIX_ED25519_PH"),
        lambda root: key(root).update(keyDetails="PKIX_ECDSA_P384_SHA_384"),
        lambda root: key(root).update(keyDetails="PKIX_ED25519"),
        lambda root: key(root).update(keyDetails="PKCS1_RSA_PKCS1V5"),
        lambda root: key(root).update(rawBytes="AAAA"),
        lambda root: key(root).update(rawBytes=key(root)["rawBytes"] + "\n"),
        lambda root: authority(root).pop("validFor"),
        lambda root: authority(root).update(validFor={"end": "2030-01-01T00:00:00Z"}),
        lambda root: authority(root).pop("certChain"),
        lambda root: authority(root).update(certChain={"certificates": []}),
        lambda root: authority(root).update(certChain={"certificates": [{"rawBytes": "AAAA"}]}),
        lambda root: authority(root)["certChain"]["certificates"].extend([{}] * 10),
        lambda root: authority(root)["certChain"].update(more=1),
        lambda root: authority(root).update(more=1),
        lambda root: authority(root)["certChain"]["certificates"][0].update(more=1),
        lambda root: key(root).update(more=1),
        lambda root: log(root)["logId"].update(more=1),
    ],
)
def test_refused(change: Callable[[Any], object]) -> None:
    refused(changed(change))


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"\xff", b'{"mediaType":"a","mediaType":"b"}', RAW + b"x"])
def test_not_even_a_document(raw: bytes) -> None:
    refused(raw)


def test_windows_without_a_start_say_where() -> None:
    with pytest.raises(MalformedError) as error:
        parse_trusted_root(changed(lambda root: key(root).update(validFor={})))
    assert "tlogs[0].publicKey.validFor.start" in str(error.value)


def with_key(details: str, raw: bytes, log_id: bytes, url: str = "https://log.example.org") -> bytes:
    def change(root: Any) -> None:
        key(root).update(keyDetails=details, rawBytes=encode_base64(raw))
        log(root).update(logId={"keyId": encode_base64(log_id)}, baseUrl=url)

    return changed(change)


@pytest.mark.parametrize(
    ("curve", "details"),
    [
        (ec.SECP256R1(), "PKIX_ECDSA_P256_SHA_256"),
        (ec.SECP384R1(), "PKIX_ECDSA_P384_SHA_384"),
        (ec.SECP521R1(), "PKIX_ECDSA_P521_SHA_512"),
    ],
)
def test_ecdsa_keys_accept_one_scheme(curve: ec.EllipticCurve, details: str) -> None:
    raw = ec.generate_private_key(curve).public_key().public_bytes(Encoding.DER, SPKI)
    found = parse_trusted_root(with_key(details, raw, sha256(raw).digest())).logs[0].key
    assert getattr(found, "schemes", ())[1:] == ()


def test_rsa_keys_in_both_forms() -> None:
    public = rsa.generate_private_key(65537, 2048).public_key()
    spki = public.public_bytes(Encoding.DER, SPKI)
    pkcs1 = public.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    log_id = sha256(spki).digest()
    for details, raw in (
        ("PKCS1_RSA_PKCS1V5", pkcs1),
        ("PKIX_RSA_PKCS1V15_2048_SHA256", spki),
        ("PKIX_RSA_PSS_2048_SHA256", spki),
        ("PKIX_RSA_PKCS1V5", spki),
    ):
        assert parse_trusted_root(with_key(details, raw, log_id)).logs[0].log_id == log_id
    refused(with_key("PKIX_RSA_PKCS1V15_4096_SHA256", spki, log_id))
    refused(with_key("PKCS1_RSA_PKCS1V5", pkcs1, sha256(pkcs1).digest()))


def test_ed25519_logs_have_the_note_key_id() -> None:
    """Rekor 2: SHA-256 of the log's name and its key (C2SP signed-note)."""
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    raw = public.public_bytes(Encoding.DER, SPKI)
    note = sha256(b"log.example.org\n\x01" + public.public_bytes_raw()).digest()
    parse_trusted_root(with_key("PKIX_ED25519", raw, note))
    parse_trusted_root(with_key("PKIX_ED25519", raw, note, "https://log.example.org/"))
    refused(with_key("PKIX_ED25519", raw, note, "https://other.example.org"))
    refused(with_key("PKIX_ED25519", raw, note[:4]))
    for url in ("https://log.example.org:3003", "https://log.example.org:3003/rekor"):  # its name may lack the port
        assert parse_trusted_root(with_key("PKIX_ED25519", raw, note, url)).logs[0].host == "log.example.org"
    ported = sha256(b"log.example.org:3003\n\x01" + public.public_bytes_raw()).digest()
    assert parse_trusted_root(with_key("PKIX_ED25519", raw, ported, url)).logs[0].host == "log.example.org:3003"
    refused(with_key("PKIX_ED25519", raw, ported))
    refused(with_key("PKIX_ED25519", raw, sha256(b"\n\x01" + public.public_bytes_raw()).digest(), ""))


def test_rsa_logs_may_have_the_note_key_id() -> None:
    """Rekor 2 with an RSA key: name, 0xff, the kind and the key (C2SP signed-note)."""
    raw = rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.DER, SPKI)
    note = sha256(b"log.example.org\n\xffPKIX-RSA-PKCS#1v1.5" + raw).digest()
    assert parse_trusted_root(with_key("PKIX_RSA_PKCS1V15_2048_SHA256", raw, note)).logs[0].log_id == note
    refused(with_key("PKIX_RSA_PKCS1V15_2048_SHA256", raw, note, "https://other.example.org"))


def test_one_key_under_two_ids() -> None:
    """An Ed25519 log has two possible ids (RFC 6962, signed-note); with both it would count as two logs."""
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    raw = public.public_bytes(Encoding.DER, SPKI)
    ids = (sha256(raw).digest(), sha256(b"log.example.org\n\x01" + public.public_bytes_raw()).digest())
    first, second = (json.loads(with_key("PKIX_ED25519", raw, log_id)) for log_id in ids)
    refused(json.dumps({**first, "tlogs": first["tlogs"] + second["tlogs"]}).encode())


def test_errors_are_rejections() -> None:
    """A bad trusted root rejects what needs it; it does not crash the report."""
    with pytest.raises(RejectedError):
        parse_trusted_root(b"{}")
