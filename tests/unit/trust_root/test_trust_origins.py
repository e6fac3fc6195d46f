"""Origins of trusted roots: parse and format are inverse, other bytes have none, a walk continues the one before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bundler.digest import sha256_of
from bundler.errors import MalformedError, TrustError
from bundler.strict_json import format_canonical, parse_canonical
from trust_root.origins import (
    Origin,
    Walked,
    WalkedRole,
    WalkedRoot,
    check_continues,
    format_origin,
    origin_path,
    origins_of,
    parse_origin,
)

AT = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
ROOT = b'{"a":"trusted root"}'
ROLES = tuple(
    WalkedRole(name, version, AT + timedelta(days=version))
    for name, version in (("root", 15), ("timestamp", 300), ("snapshot", 120), ("targets", 12))
)
WALKED = Walked(
    "https://tuf.example.org/", "trusted_root.json", "targets", WalkedRoot(5, sha256_of(b"5")),
    WalkedRoot(15, sha256_of(b"15")), ROLES, (),
)  # fmt: skip
ORIGIN = Origin(sha256_of(ROOT), AT, WALKED)
LATE = replace(ORIGIN, walked=replace(WALKED, expired=ROLES[:1]))


@pytest.mark.parametrize("origin", [ORIGIN, LATE, replace(ORIGIN, walked=None)])
def test_parse_and_format_are_inverse(origin: Origin) -> None:
    assert parse_origin(format_origin(origin)) == origin
    assert format_origin(parse_origin(format_origin(origin))) == format_origin(origin)


def test_what_is_told() -> None:
    assert "through roots 5 (sha256:" in ORIGIN.told
    assert "valid until 2026-11-13" in ORIGIN.told  # the first end of all
    assert "EXPIRED" not in ORIGIN.told
    assert "EXPIRED and accepted all the same: root 15 of 2026-11-16" in LATE.told
    assert "no chain of signatures" in replace(ORIGIN, walked=None).told


Change = Callable[[Any], object]
BAD: dict[str, tuple[Change, str]] = {
    "another kind": (lambda value: value.update(kind="else"), "field-value"),
    "another format": (lambda value: value.update(format=2), "field-value"),
    "an unknown field": (lambda value: value.update(extra=1), "field-unknown"),
    "no walk": (lambda value: value.pop("walk"), "field-missing"),
    "an unknown field of the walk": (lambda value: value["walk"].update(extra=1), "field-unknown"),
    "a role that was not walked": (lambda value: value["walk"].update(listed_by="npm"), "field-value"),
    "an empty place": (lambda value: value["walk"].update(place=""), "field-value"),
    "a long place": (lambda value: value["walk"].update(place="x" * 3000), "field-value"),
    "version 0": (lambda value: value["walk"]["first_root"].update(version=0), "field-value"),
    "no digest": (lambda value: value.update(trusted_root="sha256:x"), "digest"),
    "no time": (lambda value: value.update(fetched_at="now"), "time"),
}


@pytest.mark.parametrize("case", BAD)
def test_nothing_else_is_taken(case: str) -> None:
    change, code = BAD[case]
    value = parse_canonical(format_origin(ORIGIN))
    change(value)
    with pytest.raises(MalformedError) as error:
        parse_origin(format_canonical(value))
    assert error.value.code == code


def test_an_origin_speaks_of_the_bytes_beside_it_only() -> None:
    targets = {"trusted_root/one.json": ROOT, origin_path("one"): format_origin(ORIGIN), "keys/one.pub": b""}
    assert origins_of(targets) == {"one": ORIGIN}
    assert origins_of({**targets, "trusted_root/one.json": b"other bytes"}) == {}
    assert origins_of({origin_path("one"): format_origin(ORIGIN)}) == {}
    with pytest.raises(MalformedError):
        origins_of({**targets, origin_path("one"): b"{}"})


def version(role: str, number: int) -> Walked:
    roles = tuple(replace(item, version=number) if item.role == role else item for item in ROLES)
    return replace(WALKED, roles=roles)


def test_a_later_walk_continues() -> None:
    roots = {number: sha256_of(b"%d" % number) for number in range(5, 17)}
    newer = replace(WALKED, newest_root=WalkedRoot(16, roots[16]))
    for now in (WALKED, newer, version("timestamp", 301)):
        check_continues(WALKED, now, roots)
    check_continues(WALKED, newer, {16: roots[16]})  # it began later: nothing to hold against each other


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a_role_that_went_back_is_refused(role: str) -> None:
    with pytest.raises(TrustError) as error:
        check_continues(WALKED, version(role, 1), {})
    assert error.value.code == "rollback"


def test_other_roots_are_refused() -> None:
    with pytest.raises(TrustError) as error:
        check_continues(WALKED, WALKED, {15: sha256_of(b"another 15")})
    assert error.value.code == "root-fork"
    with pytest.raises(TrustError) as error:
        check_continues(WALKED, replace(WALKED, newest_root=WalkedRoot(14, sha256_of(b"14"))), {})
    assert error.value.code == "rollback"
