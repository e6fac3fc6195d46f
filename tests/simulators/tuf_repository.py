"""A TUF repository in memory: make it, change it, sign any role with any key, and take a bundle's trust files from it.

One `TufRepository` is one trust root with any number of streams, each with its exporter's key; `files(stream)` gives
what a bundle of that stream carries below `trust/`. Everything that the ceremonies of a real site can do, honest or
not, is a method or a plain assignment: rotate the root, revoke or re-key a stream, let metadata expire, fork the root
with retired keys. `altered` re-signs a changed file. Keys are made when tests run.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bundler.digest import Digest, sha256_of
from bundler.strict_json import format_canonical
from trust_root.authoring import (
    InventoryFacts,
    key_group,
    make_root,
    make_snapshot,
    make_stream,
    make_targets,
    make_timestamp,
    sign_metadata,
)
from trust_root.keys import SigningKey, generate_key
from trust_root.metadata import format_metadata

START = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)


@dataclass
class SimulatedStream:
    """An exporter's folder: its key, its versions, its inventories."""

    name: str
    key: SigningKey = field(default_factory=generate_key)
    version: int = 1
    snapshot_version: int = 1
    timestamp_version: int = 1
    inventory: InventoryFacts | None = None
    signed_at: datetime = START
    targets_raw: bytes | None = None  # an exporter's folder may still hold older targets


class TufRepository:
    """One trust root, its targets, and its exporters' streams.

    Args:
        streams: names of the streams.
        holders, threshold: the root's (and targets') keys.
        at: when everything is signed first.
        development: mark the root.
    """

    def __init__(
        self,
        *streams: str,
        holders: int = 3,
        threshold: int = 2,
        at: datetime = START,
        development: bool = False,
        targets: Mapping[str, bytes] | None = None,
    ) -> None:
        self.holders = [generate_key() for _ in range(holders)]
        self.threshold = threshold
        self.development = development
        self.streams = {name: SimulatedStream(name, signed_at=at) for name in streams or ("main",)}
        self.contents: dict[str, bytes] = dict(targets or {})
        self.roots: list[bytes] = []
        self.targets_version = 1
        self.targets_at = at
        self.add_root(at)

    # -- root ---------------------------------------------------------------------------------------------------------

    def add_root(
        self,
        at: datetime = START,
        *,
        holders: Sequence[SigningKey] | None = None,
        threshold: int | None = None,
        signers: Sequence[SigningKey] | None = None,
        online: Sequence[SigningKey] | None = None,
        lives: timedelta | None = None,
    ) -> bytes:
        """Append root N+1, signed by `signers` (default: a threshold of the old holders and of the new ones)."""
        old = self.holders[: self.threshold] if self.roots else []
        self.holders = list(holders if holders is not None else self.holders)
        self.threshold = threshold if threshold is not None else self.threshold
        keys = list(online) if online is not None else [stream.key for stream in self.streams.values()]
        group, online_group = key_group(self.holders, self.threshold), key_group(keys)
        root = make_root(
            len(self.roots) + 1,
            at,
            {"root": group, "targets": group, "snapshot": online_group, "timestamp": online_group},
            development=self.development,
            lives=lives,
        )
        chosen = signers if signers is not None else [*old, *self.holders[: self.threshold]]
        self.roots.append(sign_metadata(root, chosen))
        return self.roots[-1]

    def fork(self) -> TufRepository:
        """A copy that shares all keys and history, to go another way from here."""
        twin = copy.copy(self)
        twin.streams = {name: copy.copy(stream) for name, stream in self.streams.items()}
        twin.contents, twin.roots, twin.holders = dict(self.contents), list(self.roots), list(self.holders)
        return twin

    @property
    def pin(self) -> bytes:
        """Root 1."""
        return self.roots[0]

    # -- targets ------------------------------------------------------------------------------------------------------

    def publish(self, at: datetime | None = None, *, remove: Sequence[str] = (), **contents: bytes) -> None:
        """New targets: version + 1. Keyword names use `__` for `/` and `_dot_` for `.`."""
        for path in remove:
            del self.contents[path]
        self.contents |= {name.replace("__", "/").replace("_dot_", "."): raw for name, raw in contents.items()}
        self.targets_version += 1
        self.targets_at = at or self.targets_at

    def add_stream(self, name: str, at: datetime = START) -> SimulatedStream:
        """A second exporter: needs a new root (its online key) and new targets (its delegation)."""
        self.streams[name] = SimulatedStream(name, signed_at=at)
        self.add_root(at)
        self.publish(at)
        return self.streams[name]

    def rotate_stream(self, name: str, at: datetime = START) -> SigningKey:
        """Give a stream a new key and return the old one: new root, new targets, everything signed anew."""
        old = self.streams[name].key
        self.streams[name].key = generate_key()
        self.add_root(at)
        self.publish(at)
        for stream in self.streams.values():
            stream.snapshot_version += 1
            stream.timestamp_version += 1
        self.streams[name].version += 1
        return old

    def revoke_stream(self, name: str, at: datetime = START) -> SimulatedStream:
        """Take a stream's key out of root and targets; returns the stream as it was."""
        gone = self.streams.pop(name)
        self.add_root(at)
        self.publish(at)
        return gone

    def targets_raw(self) -> bytes:
        """The current targets' metadata."""
        groups = {name: key_group([stream.key]) for name, stream in self.streams.items()}
        made = make_targets(self.targets_version, self.targets_at, self.contents, groups)
        return sign_metadata(made, self.holders[: self.threshold])

    # -- streams ------------------------------------------------------------------------------------------------------

    def export(self, name: str, inventory: bytes, at: datetime = START, *, sequence: int | None = None) -> None:
        """Sign the next inventory of a stream (or any sequence)."""
        stream = self.streams[name]
        last = stream.inventory.sequence if stream.inventory else 0
        number = last + 1 if sequence is None else sequence
        stream.inventory = InventoryFacts(number, len(inventory), sha256_of(inventory))
        stream.version += 1
        stream.snapshot_version += 1
        stream.timestamp_version += 1
        stream.signed_at = at

    def files(self, name: str = "main") -> dict[str, bytes]:
        """What a bundle of this stream carries below `trust/`."""
        stream = self.streams[name]
        targets = stream.targets_raw or self.targets_raw()
        targets_version = int(json.loads(targets)["signed"]["version"])
        signers = [stream.key]
        stream_raw = sign_metadata(make_stream(name, stream.version, stream.signed_at, stream.inventory), signers)
        snapshot = sign_metadata(
            make_snapshot(
                stream.snapshot_version,
                stream.signed_at,
                (len(self.roots), self.roots[-1]),
                (targets_version, targets),
                (name, stream.version, stream_raw),
            ),
            signers,
        )
        timestamp = sign_metadata(
            make_timestamp(stream.timestamp_version, stream.signed_at, (stream.snapshot_version, snapshot)), signers
        )
        files = {f"metadata/{number}.root.json": raw for number, raw in enumerate(self.roots, 1)}
        files["metadata/timestamp.json"] = timestamp
        files[f"metadata/{stream.snapshot_version}.snapshot.json"] = snapshot
        files[f"metadata/{targets_version}.targets.json"] = targets
        files[f"metadata/{stream.version}.{name}.json"] = stream_raw
        listed = {target["hashes"]["sha256"] for target in json.loads(targets)["signed"]["targets"].values()}
        contents = {sha256_of(raw).hex: raw for raw in self.contents.values()}
        for hexadecimal in sorted(listed & set(contents)):
            files[f"targets/{hexadecimal}"] = contents[hexadecimal]
        return files

    def write(self, folder: Path, name: str = "main") -> None:
        """Write `files` below a folder, for the eye."""
        for path, raw in self.files(name).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(raw)


def altered(raw: bytes, change: Callable[[dict[str, Any]], object], signers: Sequence[SigningKey]) -> bytes:
    """A metadata file whose `signed` was changed in place and then signed by `signers`."""
    signed = json.loads(raw)["signed"]
    change(signed)
    payload = format_canonical(signed)
    return format_metadata(signed, {signer.public.keyid: signer.sign(payload) for signer in signers})


def relinked(files: Mapping[str, bytes], key: SigningKey) -> dict[str, bytes]:
    """The same files with snapshot and timestamp listing what is there now, signed by the exporter's key."""
    result = dict(files)
    (snapshot_name,) = [name for name in result if name.endswith(".snapshot.json")]

    def refresh_snapshot(signed: dict[str, Any]) -> None:
        for listed, meta in signed["meta"].items():
            raw = result.get(f"metadata/{meta['version']}.{listed}")
            if raw is not None:
                meta.update(length=len(raw), hashes={"sha256": sha256_of(raw).hex})

    result[snapshot_name] = altered(result[snapshot_name], refresh_snapshot, [key])

    def refresh_timestamp(signed: dict[str, Any]) -> None:
        raw = result[snapshot_name]
        signed["meta"]["snapshot.json"].update(length=len(raw), hashes={"sha256": sha256_of(raw).hex})

    result["metadata/timestamp.json"] = altered(result["metadata/timestamp.json"], refresh_timestamp, [key])
    return result


def inventory_digest(raw: bytes) -> Digest:
    """Digest of an inventory, as a delivery names it."""
    return sha256_of(raw)
