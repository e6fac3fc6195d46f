"""Who holds what, and what ends when: facts of a root, a repository or a site, as JSON values and as text.

Rules of this module: nothing is decided here; a root for development is marked wherever it is named; times are told
with the days that are left at a time that is handed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from bundler.digest import Digest
from bundler.escaping import escape
from bundler.moment import format_moment
from trust_root.keys import key_material
from trust_root.metadata import SignedFile, holder_names, is_development, parse_root
from trust_root.newest import HeldPin
from trust_root.origins import origins_of
from trust_root.pin import format_fingerprint
from trust_root.repository import Repository
from trust_root.roles import TOP_LEVEL_ROLES
from trust_root.site import Site
from trust_root.state import Retirement, StreamRecord
from trust_root.tuf_library import Role, Root

DEVELOPMENT_WARNING = "FOR DEVELOPMENT ONLY: this root says so itself; never rely on it"

Document = dict[str, Any]


def describe_root(root: SignedFile[Root]) -> Document:
    """A root: fingerprint, end, and for each role its keys and threshold."""
    signed = root.signed
    return {
        "fingerprint": str(root.digest),
        "version": signed.version,
        "expires": format_moment(signed.expires),
        "development": is_development(signed),
        "roles": [
            _describe_role(name, signed.roles[name], signed.keys, holder_names(signed)) for name in TOP_LEVEL_ROLES
        ],
    }


def describe_repository(repository: Repository) -> Document:
    """A repository: its roots, roles, targets, stream and pending record."""
    metadata, pending = repository.metadata, repository.pending
    targets = metadata.targets.signed
    delegations = targets.delegations
    streams = dict(delegations.roles) if delegations is not None and delegations.roles is not None else {}
    keys = delegations.keys if delegations is not None else {}
    listed = next(iter(metadata.stream.signed.targets.items()), None)
    names = holder_names(repository.chain.newest.signed)
    return {
        "fingerprint": str(repository.chain.files[0].digest),
        "development": repository.development,
        "root": describe_root(repository.chain.newest),
        "metadata": [
            {"role": name, "version": facts.version, "expires": format_moment(facts.expires_at)}
            for name, facts in metadata.roles.items()
        ],
        "streams": [_describe_role(name, streams[name], keys, names) for name in sorted(streams)],
        "stream": repository.stream,
        "inventory": None if listed is None else {"path": listed[0], "digest": f"sha256:{listed[1].hashes['sha256']}"},
        "pending": None if pending is None else {"sequence": pending.sequence, "digest": str(pending.inventory)},
        "targets": [
            {"path": path, "size": target.length, "digest": f"sha256:{target.hashes['sha256']}"}
            for path, target in sorted(targets.targets.items())
        ],
        "origins": _describe_origins(repository.contents),
    }


def describe_site(site: Site) -> Document:
    """A site: settings, floor, digest of its state, and what it knows below each pin."""
    settings, loaded = site.settings, site.loaded
    return {
        "site": settings.name,
        "state": str(loaded.digest),
        "generation": loaded.state.generation,
        "floor": None if site.floor is None else format_moment(site.floor),
        "time_mode": f"grace {settings.grace.days} days" if settings.grace else "strict",
        "max_age_days": None if settings.max_age is None else settings.max_age.days,
        "policy": None if settings.policy_path is None else str(settings.policy_path),
        "log_lines": len(loaded.log),
        "pins": [_describe_pin(pin) for pin in loaded.pins],
        "logs": [
            {
                "log": record.log_id.hex(),
                "origin": record.origin,
                "size": record.head.tree_size,
                "root_hash": record.head.root_hash.hex(),
                "seen_at": format_moment(record.head.seen_at),
                "unproved": [item.tree_size for item in record.loose],
            }
            for record in loaded.state.logs
        ],
    }


def root_lines(document: Mapping[str, Any], at: datetime) -> Iterator[str]:
    """A root as text."""
    yield f"root {document['version']}, sha256 {_grouped(document['fingerprint'])}"
    if document["development"]:
        yield DEVELOPMENT_WARNING
    yield f"expires {_until(document['expires'], at)}"
    for role in document["roles"]:
        yield _role_line(role)


def repository_lines(document: Mapping[str, Any], at: datetime) -> Iterator[str]:
    """A repository as text."""
    yield f"trust root, sha256 of root 1 {_grouped(document['fingerprint'])}"
    if document["development"]:
        yield DEVELOPMENT_WARNING
    for role in document["metadata"]:
        yield f"{role['role']:<10} version {role['version']:<5} expires {_until(role['expires'], at)}"
    for role in (*document["root"]["roles"], *document["streams"]):
        yield _role_line(role)
    inventory = document["inventory"]
    yield f"stream {document['stream']}: {inventory['path'] if inventory else 'nothing exported yet'}"
    if document["pending"]:
        yield f"pending: sequence {document['pending']['sequence']} may have left, and counts as published"
    for target in document["targets"]:
        yield f"target {target['path']}, {target['size']} bytes, {target['digest']}"
    for origin in document["origins"]:
        yield f"trusted root {origin['trusted_root']}: {origin['told']}"


def site_lines(document: Mapping[str, Any], at: datetime) -> Iterator[str]:
    """A site as text."""
    yield f"site {document['site'] or 'without a name'}, state {document['state']}, generation {document['generation']}"
    yield f"time floor {document['floor'] or 'none yet'}, mode {document['time_mode']}"
    for pin in document["pins"]:
        yield f"pin root {pin['version']}, sha256 {_grouped(pin['pin'])}, pinned {pin['pinned']}"
        if pin["development"]:
            yield DEVELOPMENT_WARNING
        if pin["retired"]:
            by = " and ".join(pin["retired"]["operators"])
            yield f"  GIVEN UP on {pin['retired']['at']} by {by}: {pin['retired']['reason']}"
            yield f"  in its place: pin {pin['retired']['successor']}"
        newest = pin["newest_root"]
        yield f"  newest root {newest['version']}, expires {_until(newest['expires'], at)}"
        yield f"  targets version {pin['targets_version'] or 'none yet'}"
        for target in pin["targets"]:
            yield f"  target {target}"
        for origin in pin["origins"]:
            yield f"  trusted root {origin['trusted_root']}: {origin['told']}"
        for stream in pin["streams"]:
            yield (
                f"  stream {stream['stream']}: newest sequence {stream['sequence']}, accepted {stream['accepted_at']}, "
                f"{stream['accepted']} accepted in all, {stream['inventory']}"
            )
    for log in document["logs"]:
        beside = f", {len(log['unproved'])} checkpoints beside it not proved" if log["unproved"] else ""
        yield f"log {log['origin']}: {log['size']} entries, root {log['root_hash']}, seen {log['seen_at']}{beside}"


def _describe_origins(contents: Mapping[str, bytes]) -> list[Document]:
    """Where trusted roots came from, as those say who signed them."""
    return [{"trusted_root": name, "told": origin.told} for name, origin in origins_of(contents).items()]


def _describe_role(name: str, role: Role, keys: Mapping[str, Any], names: Mapping[str, str]) -> Document:
    return {
        "role": name,
        "threshold": role.threshold,
        "keys": [
            {"id": key_id, "name": names.get(key_id), "fingerprint": str(key_material(keys[key_id]))}
            for key_id in role.keyids
        ],
    }


def _describe_pin(pin: HeldPin) -> Document:
    newest = parse_root(pin.roots[max(pin.roots)])
    return {
        "pin": str(pin.record.pin),
        "version": pin.version,
        "pinned": format_moment(pin.record.pinned_at),
        "development": any(is_development(parse_root(raw).signed) for raw in pin.roots.values()),
        "newest_root": describe_root(newest),
        "targets_version": None if pin.record.targets is None else pin.record.targets[0],
        "targets": sorted(pin.targets),
        "origins": _describe_origins(pin.targets),
        "streams": [_describe_stream(name, pin.record.streams[name]) for name in sorted(pin.record.streams)],
        "retired": None if pin.record.retired is None else _describe_retirement(pin.record.retired),
    }


def _describe_retirement(retired: Retirement) -> Document:
    return {
        "at": format_moment(retired.at),
        "successor": str(retired.successor),
        "operators": list(retired.operators),
        "reason": retired.reason,
    }


def _describe_stream(name: str, record: StreamRecord) -> Document:
    return {
        "stream": name,
        "version": record.version,
        "sequence": record.newest.sequence,
        "inventory": str(record.newest.inventory),
        "accepted_at": format_moment(record.newest.accepted_at),
        "accepted": len(record.accepted),
    }


def _role_line(role: Mapping[str, Any]) -> str:
    digits = ((key["name"], key["fingerprint"].removeprefix("sha256:")[:16]) for key in role["keys"])
    keys = ", ".join(f"{name} {short}" if name else short for name, short in digits)
    return escape(f"{role['role']:<10} {role['threshold']} of {len(role['keys'])} keys: {keys}")


def _grouped(digest: str) -> str:
    return format_fingerprint(Digest("sha256", digest.removeprefix("sha256:"))).replace("\n", " ")


def _until(expires: str, at: datetime) -> str:
    left = datetime.fromisoformat(expires) - at
    return f"{expires} ({'EXPIRED' if left <= timedelta(0) else f'{left.days} days left'})"
