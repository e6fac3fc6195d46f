"""Exactly the fields that we know: the form of each kind of TUF metadata, before python-tuf sees it.

Rules of this module (FORMAT, "Nothing in trust/ is slack"):
- Unknown and missing fields are refused alike; what TUF leaves open has one form here.
- Lengths and hashes are there wherever TUF allows them, and the hash is SHA-256.
- `expires` is whole seconds in UTC; keys are of kinds that we know, under ids of 64 hex digits.
- Two fields are ours: the mark of a root for development, and the names of those who hold the keys.
"""

from __future__ import annotations

import re
from copy import deepcopy

from bundler import limits
from bundler.digest import Digest
from bundler.errors import MalformedError
from bundler.fields import Fields
from bundler.moment import parse_moment
from bundler.strict_json import MAX_SAFE_INTEGER
from trust_root.keys import load_public_key
from trust_root.roles import (
    DEVELOPMENT_MARK,
    HOLDER_NAMES,
    TOP_LEVEL_ROLES,
    delegated_paths,
    parse_holder_name,
    parse_inventory_path,
    parse_stream,
    parse_target_path,
)
from trust_root.tuf_library import Key

SNAPSHOT_FILES = ("root.json", "targets.json")  # in every snapshot, beside the stream
KEY_ID = re.compile(r"[a-f0-9]{64}", re.ASCII)
_SPEC_VERSION = re.compile(r"1(?:\.(?:0|[1-9][0-9]{0,3})){2}", re.ASCII)
_COMMON = ("_type", "version", "spec_version", "expires")


def _check_common(signed: Fields, kind: str, *others: str) -> None:
    signed.exactly(*_COMMON, *others)
    if signed.text("_type") != kind:
        raise malformed(signed, signed.text("_type")[:40], kind)
    signed.integer("version", minimum=1, maximum=MAX_SAFE_INTEGER)
    parse_moment(signed.text("expires"))
    if not _SPEC_VERSION.fullmatch(signed.text("spec_version")):
        raise malformed(signed, f"spec_version {signed.text('spec_version')[:40]}", "1.x.y")


def check_root(signed: Fields) -> None:
    """A root, with or without our two fields."""
    ours = [field for field in (DEVELOPMENT_MARK, HOLDER_NAMES) if field in signed]
    _check_common(signed, "root", "consistent_snapshot", "keys", "roles", *ours)
    marked = DEVELOPMENT_MARK in ours
    if signed.boolean("consistent_snapshot") is not True or (marked and signed.raw(DEVELOPMENT_MARK) is not True):
        raise malformed(signed, "false", "true")
    keys = _check_keys(signed.fields("keys"))
    roles = signed.fields("roles")
    roles.exactly(*TOP_LEVEL_ROLES)
    for name in TOP_LEVEL_ROLES:
        role = roles.fields(name)
        role.exactly("keyids", "threshold")
        _check_role(role, keys)
    if HOLDER_NAMES in ours:
        _check_names(signed.fields(HOLDER_NAMES), keys)


def _check_names(names: Fields, keys: frozenset[str]) -> None:
    """Names of those who hold keys, by key id: each of a key that stands in this root, and no name twice."""
    key_ids = names.keys()
    named = [parse_holder_name(names.text(key_id)) for key_id in key_ids]
    if not named or not set(key_ids) <= keys or len(set(named)) != len(named):
        raise malformed(names, "names twice, of no key, or none", "one name for a key of this root")


def _check_keys(keys: Fields) -> frozenset[str]:
    key_ids = keys.keys()
    if len(key_ids) > limits.TRUST_KEYS:
        raise malformed(keys, f"{len(key_ids)} keys", f"at most {limits.TRUST_KEYS}")
    for key_id in key_ids:
        key = keys.fields(key_id)
        key.exactly("keytype", "keyval", "scheme")
        key.fields("keyval").exactly("public")
        if not KEY_ID.fullmatch(key_id):
            raise malformed(keys, f"key id {key_id[:80]!r}", "64 hex digits")
        try:
            load_public_key(Key.from_dict(key_id, deepcopy(keys.raw(key_id))))
        except (ValueError, KeyError, TypeError) as error:
            raise malformed(key, str(error)[:120], "a key that we know") from error
    return frozenset(key_ids)


def _check_role(role: Fields, keys: frozenset[str]) -> None:
    key_ids = role.texts("keyids", maximum=limits.ROLE_KEYS)
    if len(set(key_ids)) != len(key_ids) or not set(key_ids) <= keys:
        raise malformed(role, "key ids twice or without a key", "each once, with its key")
    role.integer("threshold", minimum=1, maximum=limits.ROLE_KEYS)


def _check_meta(meta: Fields) -> None:
    meta.exactly("version", "length", "hashes")
    meta.integer("version", minimum=1, maximum=MAX_SAFE_INTEGER)
    meta.integer("length", maximum=limits.TRUST_METADATA_BYTES)
    _check_hashes(meta)


def _check_hashes(holder: Fields) -> None:
    hashes = holder.fields("hashes")
    hashes.exactly("sha256")
    Digest("sha256", hashes.text("sha256"))


def check_timestamp(signed: Fields) -> None:
    """A timestamp: the snapshot and nothing else."""
    _check_common(signed, "timestamp", "meta")
    meta = signed.fields("meta")
    meta.exactly("snapshot.json")
    _check_meta(meta.fields("snapshot.json"))


def check_snapshot(signed: Fields) -> None:
    """A snapshot: root, targets and one stream."""
    _check_common(signed, "snapshot", "meta")
    meta = signed.fields("meta")
    names = meta.keys()
    streams = [name.removesuffix(".json") for name in names if name not in SNAPSHOT_FILES]
    if len(streams) != 1:
        raise malformed(meta, f"{len(names)} files", "root.json, targets.json and one stream")
    parse_stream(streams[0])
    meta.exactly(*SNAPSHOT_FILES, f"{streams[0]}.json")
    for name in names:
        _check_meta(meta.fields(name))


def check_targets(signed: Fields) -> None:
    """Top-level targets: contents, and delegations to streams."""
    _check_common(signed, "targets", "targets", "delegations")
    targets = signed.fields("targets")
    paths = targets.keys()
    if len(paths) > limits.TRUST_TARGETS:
        raise malformed(targets, f"{len(paths)} targets", f"at most {limits.TRUST_TARGETS}")
    for path in paths:
        parse_target_path(path)
        _check_target(targets.fields(path), limits.TRUST_TARGET_BYTES)
    delegations = signed.fields("delegations")
    delegations.exactly("keys", "roles")
    keys = _check_keys(delegations.fields("keys"))
    names = [_check_delegation(role, keys) for role in delegations.each("roles", maximum=limits.TRUST_STREAMS)]
    if len(set(names)) != len(names):
        raise malformed(delegations, "a stream twice", "each once")


def _check_delegation(role: Fields, keys: frozenset[str]) -> str:
    role.exactly("name", "keyids", "threshold", "terminating", "paths")
    name = parse_stream(role.text("name"))
    _check_role(role, keys)
    if role.boolean("terminating") is not True or role.texts("paths", maximum=1) != (delegated_paths(name),):
        raise malformed(role, "another delegation", f"terminating, {delegated_paths(name)}")
    return name


def check_stream(signed: Fields) -> None:
    """A stream: at most one inventory, no delegations."""
    _check_common(signed, "targets", "targets")
    targets = signed.fields("targets")
    paths = targets.keys()
    if len(paths) > 1:
        raise malformed(targets, f"{len(paths)} targets", "only the current inventory")
    for path in paths:
        parse_inventory_path(path)
        _check_target(targets.fields(path), limits.INVENTORY_BYTES)


def _check_target(target: Fields, max_bytes: int) -> None:
    target.exactly("length", "hashes")
    target.integer("length", maximum=max_bytes)
    _check_hashes(target)


def malformed(fields: Fields, got: str, want: str) -> MalformedError:
    """The error of another form, at the place of these fields."""
    return MalformedError("metadata-form", fields.what, fields.where, got=got, want=want)
