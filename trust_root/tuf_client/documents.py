"""TUF metadata of others, read once into values of ours (TUF 1.0.31 section 4).

Rules of this module:
- Strict in meaning, lax in spelling: any JSON with one meaning is read (no duplicate keys, no NaN), whatever its white
  space and order. Fields that we do not know are left alone; they are signed all the same.
- Signatures are over the canonical form (OLPC) of what stands under `signed`, as it was parsed: nothing is dropped.
- Delegations, and lengths and hashes of metadata, may be null instead of absent: programs in Go write `"paths":null`.
- What the specification demands is demanded: the type asked for, version 1.x of the specification, versions from 1 on,
  thresholds from 1 on, key ids once in a role, signatures once for a key id, delegated roles once, none with the name
  of a top-level role.
- Nothing here is verified yet: workflow.py does that, and hands documents on only afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from securesystemslib.exceptions import FormatError
from securesystemslib.formats import encode_canonical

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, UnsupportedError
from bundler.fields import Fields
from bundler.moment import parse_foreign_moment
from bundler.strict_json import parse_foreign
from bundler.value import dataclass, field
from trust_root.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, TOP_LEVEL_ROLES
from trust_root.tuf_client.delegations import Bins, Delegate, Delegations, parse_pattern, parse_prefix
from trust_root.tuf_client.keys import VerifyingKey, parse_key
from trust_root.tuf_client.signers import Authority

_SPEC_VERSION = re.compile(r"([0-9]{1,6})(?:\.[0-9]{1,6}){1,2}", re.ASCII)


class Body(Protocol):
    """What every kind of metadata has."""

    @property
    def version(self) -> int:
        """Its version, from 1 on."""

    @property
    def expires_at(self) -> datetime:
        """The moment from which on it has expired, UTC."""


_B_co = TypeVar("_B_co", bound=Body, covariant=True)


@dataclass(frozen=True, slots=True)
class Document(Generic[_B_co]):
    """One metadata file that was parsed.

    Attributes:
        name: how errors name it: the role's name.
        raw: the file's bytes.
        payload: the bytes that signatures are over.
        signatures: (key id, signature in hex), as the file has them.
        body: what it says.
    """

    name: str
    raw: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    signatures: tuple[tuple[str, str], ...] = field(repr=False)
    body: _B_co

    @property
    def digest(self) -> Digest:
        """SHA-256 of the file."""
        return sha256_of(self.raw)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What timestamp or snapshot say of a metadata file, or targets of a target; length and hashes can be absent."""

    version: int
    length: int | None
    hashes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RootBody:
    """Section 4.3: who signs what."""

    version: int
    expires_at: datetime
    consistent_snapshot: bool
    roles: Mapping[str, Authority]


@dataclass(frozen=True, slots=True)
class TimestampBody:
    """Section 4.6: the newest snapshot."""

    version: int
    expires_at: datetime
    snapshot: FileFacts


@dataclass(frozen=True, slots=True)
class SnapshotBody:
    """Section 4.4: versions of all targets metadata, by file name."""

    version: int
    expires_at: datetime
    meta: Mapping[str, FileFacts]


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """Section 4.5: one target. `custom` is what its signers say about it, unread."""

    path: str
    length: int
    hashes: Mapping[str, str]
    custom: Any = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TargetsBody:
    """Section 4.5: targets and delegations."""

    version: int
    expires_at: datetime
    targets: Mapping[str, TargetFacts] = field(repr=False)
    delegations: Delegations | None


def parse_root(raw: bytes, name: str = ROOT) -> Document[RootBody]:
    """Parse a root's metadata.

    Raises:
        MalformedError: not such metadata.
        UnsupportedError: of another major version of the specification (code ``spec-version``).
    """
    return _parse(raw, name, ROOT, _root)


def parse_timestamp(raw: bytes) -> Document[TimestampBody]:
    """Parse a timestamp's metadata; raises as `parse_root` does."""
    return _parse(raw, TIMESTAMP, TIMESTAMP, _timestamp)


def parse_snapshot(raw: bytes) -> Document[SnapshotBody]:
    """Parse a snapshot's metadata; raises as `parse_root` does."""
    return _parse(raw, SNAPSHOT, SNAPSHOT, _snapshot)


def parse_targets(raw: bytes, name: str = TARGETS) -> Document[TargetsBody]:
    """Parse the metadata of targets or of the delegated role `name`; raises as `parse_root` does."""
    return _parse(raw, name, TARGETS, _targets)


def _parse(raw: bytes, name: str, kind: str, read: Callable[[Fields, int, datetime], _B_co]) -> Document[_B_co]:
    what = f"{name[:80]}.json"
    fields = Fields(parse_foreign(raw, what, max_bytes=limits.TUF_METADATA_BYTES), what)
    signed = fields.fields("signed")
    if signed.text("_type") != kind:
        raise MalformedError("metadata-form", what, "_type", got=repr(signed.text("_type"))[:40], want=kind)
    _check_spec_version(signed)
    version = signed.integer("version", minimum=1)
    body = read(signed, version, parse_foreign_moment(signed.raw("expires")))
    return Document(name, raw, _payload(fields, what), tuple(_signatures(fields)), body)


def _payload(fields: Fields, what: str) -> bytes:
    try:
        text = encode_canonical(fields.raw("signed"))
    except FormatError as error:
        raise MalformedError("metadata-form", what, "signed", got="a fraction", want="whole numbers") from error
    return (text or "").encode()


def _check_spec_version(signed: Fields) -> None:
    text = signed.text("spec_version")
    match = _SPEC_VERSION.fullmatch(text)
    if match is None:
        raise _malformed(signed, "spec_version", text, "1.0.31")
    if match[1] != "1":
        raise UnsupportedError("spec-version", signed.what, "spec_version", got=text, want="1.x")


def _signatures(fields: Fields) -> Iterator[tuple[str, str]]:
    seen = set[str]()
    for signature in fields.each("signatures", maximum=limits.TUF_SIGNATURES):
        key_id = signature.text("keyid")
        if key_id in seen:
            raise _malformed(signature, "keyid", f"{key_id[:80]!r} twice", "each key id once")
        seen.add(key_id)
        yield key_id, signature.text("sig")


def _root(signed: Fields, version: int, expires_at: datetime) -> RootBody:
    keys = _keys(signed.fields("keys"))
    roles = signed.fields("roles")
    authorities = {
        name: _authority(roles.fields(name), keys, f"role {name} of root {version}") for name in TOP_LEVEL_ROLES
    }
    # Section 4.3: optional, and absent means false.
    consistent = "consistent_snapshot" in signed and signed.boolean("consistent_snapshot")
    return RootBody(version, expires_at, consistent, authorities)


def _timestamp(signed: Fields, version: int, expires_at: datetime) -> TimestampBody:
    return TimestampBody(version, expires_at, _file_facts(signed.fields("meta").fields("snapshot.json")))


def _snapshot(signed: Fields, version: int, expires_at: datetime) -> SnapshotBody:
    meta = signed.fields("meta")
    names = meta.keys()
    return SnapshotBody(version, expires_at, {name: _file_facts(meta.fields(name)) for name in names})


def _targets(signed: Fields, version: int, expires_at: datetime) -> TargetsBody:
    targets = signed.fields("targets")
    paths = targets.keys()
    listed = {path: _target(path, targets.fields(path)) for path in paths}
    delegations = _delegations(signed.fields("delegations"), version) if signed.holds("delegations") else None
    return TargetsBody(version, expires_at, listed, delegations)


def _file_facts(fields: Fields) -> FileFacts:
    length = fields.integer("length") if fields.holds("length") else None
    hashes = _hashes(fields) if fields.holds("hashes") else {}
    return FileFacts(fields.integer("version", minimum=1), length, hashes)


def _target(path: str, fields: Fields) -> TargetFacts:
    return TargetFacts(path, fields.integer("length"), _hashes(fields), fields.raw("custom"))


def _hashes(fields: Fields) -> Mapping[str, str]:
    hashes = fields.fields("hashes")
    algorithms = hashes.keys()
    if not algorithms:
        raise _malformed(fields, "hashes", "none", "at least one")
    return {algorithm: hashes.text(algorithm) for algorithm in algorithms}


def _keys(keys: Fields) -> Mapping[str, VerifyingKey | None]:
    key_ids = keys.keys()
    if len(key_ids) > limits.TRUST_KEYS:
        raise MalformedError("limits", keys.what, keys.where, got=f"{len(key_ids)}", want=f"{limits.TRUST_KEYS} keys")
    return {key_id: parse_key(keys.fields(key_id)) for key_id in key_ids}


def _authority(role: Fields, keys: Mapping[str, VerifyingKey | None], name: str) -> Authority:
    key_ids = role.texts("keyids", maximum=limits.TRUST_KEYS)
    if len(set(key_ids)) != len(key_ids):
        raise _malformed(role, "keyids", "a key id twice", "each once")
    usable = {key_id: key for key_id in key_ids if (key := keys.get(key_id)) is not None}
    return Authority(name, role.integer("threshold", minimum=1), usable, len(key_ids) - len(usable))


def _delegations(fields: Fields, version: int) -> Delegations:
    keys = _keys(fields.fields("keys"))
    if fields.holds("roles") == fields.holds("succinct_roles"):
        raise _malformed(fields, "roles", "both or none", "either roles or succinct_roles")
    if fields.holds("succinct_roles"):
        return Delegations((), _bins(fields.fields("succinct_roles"), keys, version))
    roles = tuple(_delegate(role, keys, version) for role in fields.each("roles", maximum=limits.TUF_DELEGATED_ROLES))
    if len({role.name for role in roles}) != len(roles):
        raise _malformed(fields, "roles", "a role twice", "each once")
    return Delegations(roles, None)


def _delegate(role: Fields, keys: Mapping[str, VerifyingKey | None], version: int) -> Delegate:
    name = _role_name(role, "name")
    if role.holds("paths") == role.holds("path_hash_prefixes"):
        raise _malformed(role, "paths", "both or none", "either paths or path_hash_prefixes")
    texts = limits.TUF_DELEGATED_ROLES
    paths = tuple(map(parse_pattern, role.texts("paths", maximum=texts))) if role.holds("paths") else ()
    hashed = role.texts("path_hash_prefixes", maximum=texts) if role.holds("path_hash_prefixes") else ()
    authority = _authority(role, keys, f"delegated role {name[:80]}, as version {version} of its delegator says")
    return Delegate(name, authority, role.boolean("terminating"), paths, tuple(map(parse_prefix, hashed)))


def _bins(fields: Fields, keys: Mapping[str, VerifyingKey | None], version: int) -> Bins:
    prefix = fields.text("name_prefix")  # no role by itself: a bin is `targets-0`, say
    if len(prefix) > limits.TUF_ROLE_CHARACTERS:
        raise _malformed(fields, "name_prefix", repr(prefix[:40]), f"at most {limits.TUF_ROLE_CHARACTERS} characters")
    authority = _authority(fields, keys, f"bins of {prefix[:80]}, as version {version} of their delegator says")
    return Bins(prefix, fields.integer("bit_length", minimum=1, maximum=32), authority)


def _role_name(fields: Fields, key: str) -> str:
    name = fields.text(key)
    if not name or name in TOP_LEVEL_ROLES or len(name) > limits.TUF_ROLE_CHARACTERS:
        raise _malformed(fields, key, repr(name[:40]), "a name, not of a top-level role")
    return name


def _malformed(fields: Fields, key: str, got: str, want: str) -> MalformedError:
    which = f"{fields.where}.{key}" if fields.where else key
    return MalformedError("metadata-form", fields.what, which, got=got, want=want)
