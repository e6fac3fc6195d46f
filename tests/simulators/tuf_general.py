"""Repositories of others: metadata as python-tuf writes it, with any keys, names, graphs and faults.

`GeneralRepository` holds python-tuf's objects; tests change them, then `publish` signs and serves new files. It answers
as a `Fetch` and notes what was asked. `served` puts one behind a web server on the loopback interface.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from securesystemslib.signer import CryptoSigner, Signature, Signer, SSlibKey
from tuf.api.metadata import (
    TOP_LEVEL_ROLE_NAMES,
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from bundler.errors import SealiftError
from trust_root.fetch import below
from trust_root.tuf_client.store import MemoryStore, Store
from trust_root.tuf_client.walk import Walk, refresh

NOW = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=365)


def new_signer(kind: str = "ed25519", key_id: str | None = None) -> CryptoSigner:
    """A fresh key. RSA keys are slow to make, so that few are made."""
    if kind == "rsa":
        return _renamed(_rsa(), key_id)
    made = CryptoSigner.generate_ed25519() if kind == "ed25519" else CryptoSigner.generate_ecdsa()
    return _renamed(made, key_id)


def _renamed(signer: CryptoSigner, key_id: str | None) -> CryptoSigner:
    if key_id is None:
        return signer
    private: Any = signer._private_key
    key = signer.public_key
    assert isinstance(key, SSlibKey)
    return CryptoSigner(private, SSlibKey(key_id, key.keytype, key.scheme, dict(key.keyval)))


def alias(signer: CryptoSigner, key_id: str) -> CryptoSigner:
    """The same key under another id."""
    return _renamed(signer, key_id)


@cache
def _rsa() -> CryptoSigner:
    return CryptoSigner.generate_rsa(size=2048)


def private_of(signer: CryptoSigner) -> PrivateKeyTypes:
    """The private half."""
    private: PrivateKeyTypes = signer._private_key
    return private


class GeneralRepository:
    """One repository.

    Attributes:
        root, timestamp, snapshot, targets: python-tuf's objects, to be changed at will.
        delegates: metadata of delegated roles by name.
        signers: keys by role; all of them sign.
        files: what is served, by path: `3.root.json`, `timestamp.json`, `targets/…`.
        asked: paths that were asked for, in order.
        with_hashes: whether timestamp and snapshot list lengths and hashes.
    """

    def __init__(self, *, consistent: bool = True, kind: str = "ed25519", with_hashes: bool = False) -> None:
        self.root = Root(expires=LATER, consistent_snapshot=consistent)
        self.timestamp = Timestamp(expires=LATER)
        self.snapshot = Snapshot(expires=LATER)
        self.targets = Targets(expires=LATER)
        self.delegates: dict[str, Targets] = {}
        self.signers: dict[str, list[CryptoSigner]] = {}
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.with_hashes = with_hashes
        self.prefix_targets = consistent
        for role in sorted(TOP_LEVEL_ROLE_NAMES):
            self.add_key(role, new_signer(kind))
        self.publish_root()
        self.publish()

    # -- keys ---------------------------------------------------------------------------------------------------------

    def add_key(self, role: str, signer: CryptoSigner, *, signs: bool = True) -> CryptoSigner:
        """A further key of a top-level role."""
        self.root.add_key(signer.public_key, role)
        if signs:
            self.signers.setdefault(role, []).append(signer)
        return signer

    def rotate(self, role: str, *signers: CryptoSigner, threshold: int = 1) -> None:
        """Other keys for a top-level role; a root that is published next says so."""
        for key_id in list(self.root.roles[role].keyids):
            self.root.revoke_key(key_id, role)
        self.signers[role] = []
        for signer in signers or (new_signer(),):
            self.add_key(role, signer)
        self.root.roles[role].threshold = threshold

    # -- publishing ---------------------------------------------------------------------------------------------------

    def publish_root(self, *, signers: Sequence[Signer] | None = None, bump: bool = False) -> bytes:
        """Sign and serve the root."""
        if bump:
            self.root.version += 1
        raw = self.signed(self.root, signers if signers is not None else self.signers["root"])
        self.files[f"{self.root.version}.root.json"] = raw
        return raw

    def next_root(self, *old: Signer) -> bytes:
        """Root N+1, signed by `old` (default: whoever signs now) and the new keys."""
        return self.publish_root(signers=[*old, *self.signers["root"]], bump=True)

    def publish(self, *, bump: bool = False) -> None:
        """Sign and serve everything below the root; `bump` raises timestamp and snapshot by one."""
        if bump:
            self.snapshot.version += 1
            self.timestamp.version += 1
        for name, body in {**self.delegates, "targets": self.targets}.items():
            raw = self.signed(body, self.signers[name])
            self.serve(name, body.version, raw)
            self.snapshot.meta[f"{name}.json"] = self.meta(body.version, raw)
        self.publish_snapshot()

    def publish_snapshot(self) -> None:
        """Sign and serve snapshot and timestamp."""
        raw = self.signed(self.snapshot, self.signers["snapshot"])
        self.serve("snapshot", self.snapshot.version, raw)
        self.timestamp.snapshot_meta = self.meta(self.snapshot.version, raw)
        self.publish_timestamp()

    def publish_timestamp(self) -> None:
        """Sign and serve the timestamp alone."""
        self.files["timestamp.json"] = self.signed(self.timestamp, self.signers["timestamp"])

    def signed(self, body: Any, signers: Sequence[Signer]) -> bytes:
        """A metadata file, as python-tuf writes it: with indents, keys in its own order."""
        metadata = Metadata(copy.deepcopy(body))
        for signer in signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes(JSONSerializer(compact=False))

    def serve(self, role: str, version: int, raw: bytes) -> None:
        """Serve a role's file under its name."""
        name = f"{quote(role, safe='')}.json"
        self.files[f"{version}.{name}" if self.root.consistent_snapshot else name] = raw

    def meta(self, version: int, raw: bytes) -> MetaFile:
        """What timestamp or snapshot say of a file."""
        if not self.with_hashes:
            return MetaFile(version)
        return MetaFile(version, len(raw), {"sha256": hashlib.sha256(raw).hexdigest()})

    # -- targets ------------------------------------------------------------------------------------------------------

    def add_target(self, path: str, content: bytes, role: str = "targets") -> None:
        """List a target and serve it; `publish` makes it count."""
        target = TargetFile.from_data(path, content, ["sha256"])
        (self.targets if role == "targets" else self.delegates[role]).targets[path] = target
        folder, slash, name = path.rpartition("/")
        prefix = f"{target.hashes['sha256']}." if self.prefix_targets else ""
        self.files[f"targets/{folder}{slash}{prefix}{name}"] = content

    def delegate(
        self,
        delegator: str,
        name: str,
        paths: Sequence[str] | None = ("*",),
        *,
        terminating: bool = False,
        prefixes: Sequence[str] | None = None,
        signer: CryptoSigner | None = None,
        threshold: int = 1,
    ) -> CryptoSigner:
        """Delegate to a role, which is made if it is new; its key is `signer`, or its present one, or a new one."""
        body = self.targets if delegator == "targets" else self.delegates[delegator]
        if body.delegations is None:
            body.delegations = Delegations({}, roles={})
        assert body.delegations.roles is not None
        known = self.signers.get(name)
        chosen = signer or (known[0] if known else new_signer())
        listed = list(paths) if paths is not None and prefixes is None else None
        role = DelegatedRole(name, [], threshold, terminating, listed, list(prefixes) if prefixes is not None else None)
        body.delegations.roles[name] = role
        body.add_key(chosen.public_key, name)
        if name not in self.delegates:
            self.delegates[name] = Targets(expires=LATER)
            self.signers[name] = [chosen]
        return chosen

    def delegate_bins(self, bits: int, prefix: str) -> SuccinctRoles:
        """Delegate everything to hash bins in the short form."""
        signer = new_signer()
        bins = SuccinctRoles([], 1, bits, prefix)
        self.targets.delegations = Delegations({}, succinct_roles=bins)
        self.targets.add_key(signer.public_key)
        for name in bins.get_roles():
            self.delegates[name] = Targets(expires=LATER)
            self.signers[name] = [signer]
        return bins

    # -- answering ----------------------------------------------------------------------------------------------------

    def __call__(self, path: str, max_bytes: int) -> bytes | None:
        """As a `Fetch`."""
        self.asked.append(path)
        raw = self.files.get(path)
        assert raw is None or len(raw) <= max_bytes, f"{path}: more than {max_bytes} were not announced"
        return raw

    @property
    def pin(self) -> bytes:
        """Root 1."""
        return self.files["1.root.json"]

    def roles_asked(self) -> list[str]:
        """Names of delegated roles that were asked for, in order, and the list is emptied."""
        names = [name.removesuffix(".json") for name in self.asked if not name.startswith("targets/")]
        if self.root.consistent_snapshot:
            names = [name.partition(".")[2] for name in names]
        names = [unquote(name) for name in names]
        self.asked.clear()
        return [name for name in names if name in self.delegates]


def tampered(raw: bytes) -> bytes:
    """A file whose first signature is broken."""
    metadata = Metadata[Any].from_bytes(raw)
    key_id = next(iter(metadata.signatures))
    metadata.signatures[key_id] = Signature(key_id, "00" * 64)
    return metadata.to_bytes()


@contextlib.contextmanager
def served(repository: GeneralRepository, status_of: dict[str, int] | None = None) -> Iterator[str]:
    """A web server on the loopback interface: metadata below `/metadata/`, targets below `/targets/`; gives its URL."""
    statuses = status_of or {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.removeprefix("/metadata/").lstrip("/")
            repository.asked.append(path)
            raw = repository.files.get(path) or repository.files.get(unquote(path))
            status = statuses.get(path, 200 if raw is not None else 404)
            body = raw if raw is not None and status == 200 else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Client:
    """A client of one repository, started anew for each refresh, with its folder kept between.

    Attributes:
        store: what it keeps.
        walk: its last refresh that succeeded.
    """

    def __init__(self, repository: GeneralRepository, store: Store | None = None) -> None:
        self.repository = repository
        self.store = store if store is not None else MemoryStore()
        self.store.save("root", repository.pin)
        self.walk: Walk | None = None

    def refresh(self, at: datetime = NOW) -> str:
        """Refresh; gives `ok`, or the reason code of the refusal."""
        root = self.store.load("root")
        assert root is not None
        self.repository.asked.clear()
        try:
            self.walk = refresh(root, self.repository, at, self.store)
        except SealiftError as error:
            return error.code
        return "ok"

    def search(self, path: str, at: datetime = NOW) -> str:
        """Refresh, then search a target; gives the role that lists it, or the reason code."""
        code = self.refresh(at)
        if code != "ok" or self.walk is None:
            return code
        try:
            return self.walk.find_target(path).role
        except SealiftError as error:
            return error.code

    def download(self, path: str, at: datetime = NOW) -> bytes | str:
        """Refresh, search and fetch a target; gives its bytes, or the reason code."""
        code = self.refresh(at)
        if code != "ok" or self.walk is None:
            return code
        try:
            return self.walk.download(self.walk.find_target(path), below(self.repository, "targets"))
        except SealiftError as error:
            return error.code

    def version(self, role: str) -> int | None:
        """Version of what is kept of a role."""
        raw = self.store.load(role)
        return None if raw is None else int(json.loads(raw)["signed"]["version"])

    @property
    def versions(self) -> tuple[int | None, ...]:
        """Versions kept of root, timestamp, snapshot and targets."""
        return tuple(map(self.version, ("root", "timestamp", "snapshot", "targets")))
