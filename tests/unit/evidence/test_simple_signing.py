"""The payload of a cosign image signature."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bundler.digest import sha256_of
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.simple_signing import parse_simple_signing
from tests.simulators.sigstore import simple_signing

SUBJECT = sha256_of(b"manifest")
RAW = simple_signing(SUBJECT, "mirror.example.org/app")


def test_good() -> None:
    payload = parse_simple_signing(RAW)
    payload.check_manifest(SUBJECT)
    assert (payload.raw, payload.claimed_reference) == (RAW, "mirror.example.org/app")


@pytest.mark.parametrize("optional", [None, {}, {"creator": "me", "timestamp": 1.5}])
def test_optional_may_hold_anything(optional: Any) -> None:
    parse_simple_signing(json.dumps({**json.loads(RAW), "optional": optional}).encode())
    parse_simple_signing(json.dumps({"critical": json.loads(RAW)["critical"]}).encode())


def test_about_something_else() -> None:
    with pytest.raises(RejectedError) as error:
        parse_simple_signing(RAW).check_manifest(sha256_of(b"another"))
    assert error.value.code == "digest-mismatch"


def changed(**critical: Any) -> dict[str, Any]:
    return {"critical": {**json.loads(RAW)["critical"], **critical}}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (changed(type="atomic container signature"), "payload-type"),
        (changed(type=""), "payload-type"),
        (changed(type=None), "field-type"),
        (changed(more=1), "field-unknown"),
        (changed(image={}), "field-missing"),
        (changed(image={"docker-manifest-digest": "sha256:0"}), "digest"),
        (changed(image={"docker-manifest-digest": str(SUBJECT).upper()}), "digest"),
        (changed(image={"docker-manifest-digest": str(SUBJECT), "Docker-manifest-digest": "x"}), "field-unknown"),
        (changed(identity={}), "field-missing"),
        (changed(identity={"docker-reference": "x", "more": 1}), "field-unknown"),
        (changed(identity={"docker-reference": None}), "field-type"),
        ({**changed(), "Critical": {}}, "field-unknown"),
        ({**changed(), "optional": []}, "field-type"),
        ({"optional": None}, "field-missing"),
        ([], "field-type"),
    ],
)
def test_refused(value: Any, code: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_simple_signing(json.dumps(value).encode())
    assert error.value.code == code


def test_a_large_payload() -> None:
    with pytest.raises(MalformedError) as error:
        parse_simple_signing(RAW + b" " * (1 << 20))
    assert error.value.code == "json-size"
