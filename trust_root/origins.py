"""Where a trusted root came from: a target of our own, `origins/<name>.json`, beside `trusted_root/<name>.json`.

    {"format":1,"kind":"sealift-origin","trusted_root":"sha256:…","fetched_at":…,"walk":{…} or null}

Rules of this module:
- Canonical JSON, parse beside format. It is signed with the trusted root, by the same holders, and names its digest: an
  origin beside other bytes says nothing, and is not shown.
- A walk is told by what was verified: the root that it started from and the newest, versions, expiries, and whatever
  had expired and was accepted all the same. Without a walk there was a file, and nobody vouched for it.
- An address is told without user and password, a folder as "folder": paths of somebody's disk are nobody's business.
- A later walk has to continue an earlier one (`check_continues`): the same roots, no lower versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bundler import limits
from bundler.digest import Digest, parse_digest, sha256_of
from bundler.errors import MalformedError, TrustError
from bundler.fields import Fields
from bundler.moment import format_moment, parse_moment
from bundler.strict_json import MAX_SAFE_INTEGER, format_canonical, parse_canonical
from bundler.value import dataclass

KIND = "sealift-origin"
FORMAT = 1
FOLDER = "folder"
_WHAT = "origin"
_TEXT = 2048  # an address, a target's path, a role's name
_EXPIRED = 64


@dataclass(frozen=True, slots=True)
class WalkedRole:
    """A role of the other repository: its version, and until when it is valid."""

    role: str
    version: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class WalkedRoot:
    """A root of the other repository."""

    version: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Walked:
    """A walk through another TUF repository.

    Attributes:
        place: its address, or `FOLDER`.
        target: the target's path there.
        listed_by: the role that lists it.
        first_root: the root that was trusted beforehand.
        newest_root: the last one that it led to.
        roles: the newest root, timestamp, snapshot, targets, and `listed_by` if it is none of them.
        expired: those that had expired and were accepted all the same.
    """

    place: str
    target: str
    listed_by: str
    first_root: WalkedRoot
    newest_root: WalkedRoot
    roles: tuple[WalkedRole, ...]
    expired: tuple[WalkedRole, ...]

    def version_of(self, role: str) -> int | None:
        """Version of a role, if it was walked."""
        return next((item.version for item in self.roles if item.role == role), None)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a trusted root came from; `walked` is None for a plain file."""

    trusted_root: Digest
    fetched_at: datetime
    walked: Walked | None

    @property
    def told(self) -> str:
        """One sentence for people."""
        day = format_moment(self.fetched_at)[:10]
        if self.walked is None:
            return f"from a file on {day}, {self.trusted_root}; no chain of signatures led to it"
        walked = self.walked
        first, newest = walked.first_root, walked.newest_root
        ends = min(role.expires_at for role in walked.roles)
        late = ", ".join(
            f"{role.role} {role.version} of {format_moment(role.expires_at)[:10]}" for role in walked.expired
        )
        return (
            f"{walked.target} of {walked.place}, listed by {walked.listed_by} {walked.version_of(walked.listed_by)}, "
            f"through roots {first.version} ({first.digest}) to {newest.version}, on {day}, valid until "
            f"{format_moment(ends)[:10]}" + (f"; EXPIRED and accepted all the same: {late}" if late else "")
        )


def origin_path(name: str) -> str:
    """Target path of the origin of `trusted_root/<name>.json`."""
    return f"origins/{name}.json"


def parse_origin(raw: bytes) -> Origin:
    """Read an origin, the inverse of `format_origin`.

    Raises:
        MalformedError: any other form.
    """
    fields = Fields(parse_canonical(raw, _WHAT, max_bytes=limits.TRUST_TARGET_BYTES), _WHAT)
    fields.exactly("format", "kind", "trusted_root", "fetched_at", "walk")
    if fields.integer("format") != FORMAT or fields.text("kind") != KIND:
        raise MalformedError("field-value", _WHAT, "format", got="another form", want=f"{KIND}, format {FORMAT}")
    walked = None if fields.raw("walk") is None else _parse_walk(fields.fields("walk"))
    return Origin(parse_digest(fields.text("trusted_root")), parse_moment(fields.text("fetched_at")), walked)


def format_origin(origin: Origin) -> bytes:
    """The target's bytes, the inverse of `parse_origin`."""
    document = {
        "format": FORMAT,
        "kind": KIND,
        "trusted_root": str(origin.trusted_root),
        "fetched_at": format_moment(origin.fetched_at),
        "walk": None if origin.walked is None else _format_walk(origin.walked),
    }
    return format_canonical(document, _WHAT)


def origins_of(targets: Mapping[str, bytes]) -> dict[str, Origin]:
    """Origins by the name of the trusted root; those that are about other bytes than stand beside them are left out.

    Raises:
        MalformedError: an origin that is none.
    """
    found = {}
    for path, raw in sorted(targets.items()):
        kind, _, name = path.partition("/")
        root = targets.get(f"trusted_root/{name}")
        if kind == "origins" and root is not None:
            origin = parse_origin(raw)
            if origin.trusted_root == sha256_of(root):
                found[name.removesuffix(".json")] = origin
    return found


def check_continues(before: Walked, now: Walked, roots: Mapping[int, Digest]) -> None:
    """Check that a walk continues an earlier one to the same trusted root.

    Args:
        before: the earlier walk.
        now: the later one.
        roots: digests of the roots that the later one walked, by version.

    Raises:
        TrustError: other roots (``root-fork``), or a role went back (``rollback``).
    """
    known = before.newest_root
    if now.newest_root.version < known.version:
        raise _back("root", now.newest_root.version, known.version)
    if known.version in roots and roots[known.version] != known.digest:
        raise TrustError(
            "root-fork", "root", f"version {known.version}", got=str(roots[known.version]),
            want=f"{known.digest}, which was walked before",
            hints=["two different roots of one version were signed, or this is another repository: use another --name"],
        )  # fmt: skip
    for role in now.roles:
        seen = before.version_of(role.role)
        if seen is not None and role.version < seen:
            raise _back(role.role, role.version, seen)


def _back(role: str, got: int, seen: int) -> TrustError:
    return TrustError(
        "rollback", "trust metadata", role, got=f"version {got}", want=f"at least {seen}, which was walked before",
        hints=["if it was set back on purpose: take its origin out first (trust publish --remove origins/NAME.json)"],
    )  # fmt: skip


def _parse_walk(fields: Fields) -> Walked:
    fields.exactly("place", "target", "listed_by", "first_root", "newest_root", "roles", "expired")
    walked = Walked(
        _text(fields, "place"),
        _text(fields, "target"),
        _text(fields, "listed_by"),
        _parse_root(fields.fields("first_root")),
        _parse_root(fields.fields("newest_root")),
        tuple(map(_parse_role, fields.each("roles", maximum=_EXPIRED))),
        tuple(map(_parse_role, fields.each("expired", maximum=_EXPIRED))),
    )
    if walked.version_of(walked.listed_by) is None:
        raise MalformedError(
            "field-value", _WHAT, "roles", got=f"no {walked.listed_by[:80]}", want="all that was walked"
        )
    return walked


def _format_walk(walked: Walked) -> dict[str, Any]:
    return {
        "place": walked.place,
        "target": walked.target,
        "listed_by": walked.listed_by,
        "first_root": {"version": walked.first_root.version, "digest": str(walked.first_root.digest)},
        "newest_root": {"version": walked.newest_root.version, "digest": str(walked.newest_root.digest)},
        "roles": [_format_role(role) for role in walked.roles],
        "expired": [_format_role(role) for role in walked.expired],
    }


def _parse_root(fields: Fields) -> WalkedRoot:
    fields.exactly("version", "digest")
    return WalkedRoot(
        fields.integer("version", minimum=1, maximum=MAX_SAFE_INTEGER), parse_digest(fields.text("digest"))
    )


def _parse_role(fields: Fields) -> WalkedRole:
    fields.exactly("role", "version", "expires")
    return WalkedRole(
        _text(fields, "role"),
        fields.integer("version", minimum=1, maximum=MAX_SAFE_INTEGER),
        parse_moment(fields.text("expires")),
    )


def _format_role(role: WalkedRole) -> dict[str, Any]:
    return {"role": role.role, "version": role.version, "expires": format_moment(role.expires_at)}


def _text(fields: Fields, key: str) -> str:
    text = fields.text(key)
    if not 0 < len(text) <= _TEXT:
        path = f"{fields.where}.{key}"
        raise MalformedError("field-value", _WHAT, path, got=f"{len(text)} characters", want=f"1 to {_TEXT}")
    return text
