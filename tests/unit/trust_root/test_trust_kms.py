"""Keys in cloud services: only our side of it, with a service that is simulated by a key in memory."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, Signature

from bundler.errors import SealiftError
from trust_root import cli_common
from trust_root.keys import ECDSA_P256, format_public_key, generate_key, verify_key_signature
from trust_root.kms import open_service_key

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEY = generate_key(ECDSA_P256)


class Service:
    """Signs as services do: with whatever s comes out, here always the high one."""

    answer: bytes | None = None

    def __init__(self, public: Any) -> None:
        self.public = public

    @classmethod
    def from_priv_key_uri(cls, uri: str, public: Any, _secrets: Any) -> Service:
        if uri != "awskms:alias/root":
            raise ValueError(uri)
        return cls(public)

    def sign(self, payload: bytes) -> Signature:
        assert isinstance(KEY.private, ec.EllipticCurvePrivateKey)
        r, s = decode_dss_signature(KEY.private.sign(payload, ec.ECDSA(hashes.SHA256())))
        raw = encode_dss_signature(r, max(s, ORDER - s)) if self.answer is None else self.answer
        return Signature(self.public.keyid, raw.hex())


@pytest.fixture(autouse=True)
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "awskms", Service)
    monkeypatch.chdir(tmp_path)
    Path("dave.pub").write_bytes(format_public_key(KEY.public))
    Path("ed.pub").write_bytes(format_public_key(generate_key().public))


def test_signatures_have_the_one_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    key = cli_common.open_signer("awskms:alias/root#dave.pub")
    verify_key_signature(KEY.public, key.sign(b"x"), b"x")
    assert key.material == KEY.material
    assert "untested" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [b"", b"junk", encode_dss_signature(1, 1)])
def test_another_answer(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    monkeypatch.setattr(Service, "answer", answer)
    with pytest.raises(SealiftError) as error:
        open_service_key("awskms:alias/root#dave.pub").sign(b"x")
    assert error.value.code == "token"


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("awskms:alias/root", "file"),
        ("awskms:alias/root#absent.pub", "file"),
        ("awskms:alias/root#ed.pub", "key"),
        ("awskms:other#dave.pub", "key"),
        ("gcpkms:x#dave.pub", "extra-missing"),
    ],
)
def test_typed_wrongly(typed: str, code: str) -> None:
    with pytest.raises(SealiftError) as error:
        open_service_key(typed)
    assert error.value.code == code


LIBRARY = """
class BotoCoreError(Exception): ...
class ClientError(Exception): ...
def client(service): return service
"""


def test_a_service_finds_its_library_although_nobody_else_imports_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without it the service is refused by name; with it, it works in a process that did without it before."""
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "awskms", sys.modules["securesystemslib.signer._aws_signer"].AWSSigner)
    with pytest.raises(SealiftError) as error:
        open_service_key("awskms:alias/root#dave.pub")
    assert error.value.code == "extra-missing"
    (tmp_path / "boto3.py").write_text(LIBRARY)
    (tmp_path / "botocore").mkdir()
    (tmp_path / "botocore" / "exceptions.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("boto3", "botocore", "botocore.exceptions"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))  # so that they are forgotten afterwards
        del sys.modules[name]
    assert open_service_key("awskms:alias/root#dave.pub").public == KEY.public
