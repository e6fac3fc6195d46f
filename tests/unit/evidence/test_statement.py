"""in-toto statements."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.statement import STATEMENT_V01, STATEMENT_V1, parse_statement

SUBJECT = sha256_of(b"manifest")
GOOD: dict[str, Any] = {
    "_type": STATEMENT_V1,
    "predicateType": "https://slsa.dev/provenance/v1",
    "subject": [{"name": "app", "digest": {"sha256": SUBJECT.hex}}],
    "predicate": {"float": 1.5},
}


def raw(**change: Any) -> bytes:
    return json.dumps({**GOOD, **change}).encode()


@pytest.mark.parametrize("kind", [STATEMENT_V01, STATEMENT_V1])
def test_both_versions(kind: str) -> None:
    statement = parse_statement(raw(_type=kind))
    statement.check_subject(SUBJECT)
    assert statement.raw == raw(_type=kind)
    assert (statement.statement_type, statement.predicate_type) == (kind, GOOD["predicateType"])
    assert statement.subjects[0].name == "app"


def test_optional_parts() -> None:
    value = {key: value for key, value in GOOD.items() if key != "predicate"}
    value |= {"subject": [{"digest": {"sha256": SUBJECT.hex, "gitCommit": "x"}}], "more": 1}
    parse_statement(json.dumps(value).encode()).check_subject(SUBJECT)


def test_one_of_several_subjects() -> None:
    other = {"name": "other", "digest": {"sha1": "00"}}
    parse_statement(raw(subject=[other, *GOOD["subject"]])).check_subject(SUBJECT)


@pytest.mark.parametrize(
    "subject",
    [
        [{"name": "app", "digest": {"sha256": "00" * 32}}],
        [{"name": "app", "digest": {"sha512": SUBJECT.hex}}],
        [{"name": "app", "digest": {"SHA256": SUBJECT.hex}}],
        [{"name": "app", "digest": {"sha256": SUBJECT.hex.upper()}}],
        [{"name": "app", "digest": {"sha256": f"sha256:{SUBJECT.hex}"}}],
        [{"name": "app", "digest": {"sha256": SUBJECT.hex[:-1]}}],
        [{"name": str(SUBJECT), "digest": {"sha256": ""}}],
    ],
)
def test_about_something_else(subject: Any) -> None:
    with pytest.raises(RejectedError) as error:
        parse_statement(raw(subject=subject)).check_subject(SUBJECT)
    assert error.value.code == "subject-mismatch"


def test_a_digest_of_another_algorithm_is_compared_under_its_name() -> None:
    long = Digest("sha512", "ab" * 64)
    parse_statement(raw(subject=[{"digest": {"sha512": long.hex}}])).check_subject(long)
    with pytest.raises(RejectedError):
        parse_statement(raw(subject=[{"digest": {"sha256": long.hex}}])).check_subject(long)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"_type": "https://in-toto.io/Statement/v2"}, "statement-type"),
        ({"_type": None}, "field-type"),
        ({"predicateType": ""}, "statement"),
        ({"predicateType": 1}, "field-type"),
        ({"subject": []}, "statement"),
        ({"subject": {}}, "field-type"),
        ({"subject": GOOD["subject"] * 1025}, "limits"),
        ({"subject": [{"digest": {}}]}, "limits"),
        ({"subject": [{"digest": {str(number): "00" for number in range(33)}}]}, "limits"),
        ({"subject": [{"digest": {"sha256": 1}}]}, "field-type"),
        ({"subject": [{"name": 1, "digest": {"sha256": "00"}}]}, "field-type"),
        ({"subject": ["app"]}, "field-type"),
        ({"PredicateType": "x"}, "field-case"),
        ({"subject": [{"digest": {"sha256": "00"}, "Digest": {}}]}, "field-case"),
    ],
)
def test_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_statement(raw(**change))
    assert error.value.code == code


def test_a_field_twice() -> None:
    twice = raw().replace(b'"predicateType":', b'"predicateType": "evil", "predicateType":')
    with pytest.raises(MalformedError) as error:
        parse_statement(twice)
    assert error.value.code == "json-duplicate-key"
