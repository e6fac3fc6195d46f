"""A Rekor 1 over loopback HTTP: shards with real Merkle trees, signed checkpoints, and a list of lies and faults.

    with Rekor() as rekor:
        sigstore.rekor = rekor.log                  # whatever is signed now stands in the log
        signature = sigstore.sign(subject, signer)
        rekor.shard(tree_id=2)                      # later entries go to a new tree; global indexes go on
        rekor.fault = "wrong-root"                  # see LIES, GARBAGE and STATUSES; of its growth, see rekor_growth.py

Its log's `promise` appends the entry. `asked` lists the paths that were asked.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from bundler.encoding import encode_base64
from bundler.identity.keys import parse_spki
from bundler.moment import Window
from bundler.transparency.log import TransparencyLog
from bundler.transparency.promise import Promise
from tests.simulators.log_tree import Tree, key_hash, leaf, root_of, signature_line, signed_checkpoint
from tests.simulators.rekor_growth import growth_answer
from tests.simulators.sigstore_keys import START
from tests.simulators.sigstore_log import Log

PATH = "/api/v1/log/entries"
JSON = "application/json"


@dataclass
class Shard:
    """One tree. `first` is the global index of its first entry."""

    tree_id: int
    first: int
    tree: Tree = field(default_factory=Tree)


@dataclass(frozen=True)
class Entry:
    """An entry and where it stands."""

    shard: Shard
    index: int
    promise: Promise

    @property
    def uuid(self) -> str:
        return f"{self.shard.tree_id:016x}{leaf(self.promise.body).hex()}"


@dataclass(frozen=True)
class RekorLog(Log):
    """The log's keys; what it promises, it appends."""

    server: Rekor

    def promise(self, body: bytes, *, at: datetime, index: int | None = None, log_id: bytes | None = None) -> Promise:
        place = self.server.count
        promise = super().promise(body, at=at, index=place if index is None else index, log_id=log_id)
        self.server.append(promise)
        return promise


class Rekor:
    """The server. Bound at once; serves within the `with` block."""

    def __init__(self, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self.entries: list[Entry] = []
        self.shards = [Shard(0x108E9186E8C5677A, 0)]
        self.fault = ""
        self.asked: list[str] = []
        self.over = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"rekor": self}))
        self._http.daemon_threads = True
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.log = RekorLog(f"http://{self.host}", self.key, self)

    @property
    def count(self) -> int:
        return len(self.entries)

    @property
    def trusted(self) -> TransparencyLog:
        """As a trusted root names it."""
        return TransparencyLog(self.log.url, self.log.log_id, parse_spki(self.log.spki), Window(START))

    def append(self, promise: Promise) -> None:
        shard = self.shards[-1]
        self.entries.append(Entry(shard, len(shard.tree.bodies), promise))
        shard.tree.bodies.append(promise.body)

    def shard(self, tree_id: int) -> None:
        """Close the current tree and begin another."""
        self.shards.append(Shard(tree_id, self.count))

    def find(self, path: str) -> Entry | None:
        parts = urlsplit(path)
        if parts.path == PATH:
            index = int(parse_qs(parts.query)["logIndex"][0])
            return self.entries[index] if index < self.count else None
        wanted = parts.path.removeprefix(f"{PATH}/")
        return next((entry for entry in self.entries if entry.uuid.endswith(wanted)), None)

    def value(self, entry: Entry) -> dict[str, Any]:
        """The honest answer, without its id."""
        tree, promise = entry.shard.tree, entry.promise
        return {
            "body": encode_base64(promise.body),
            "integratedTime": promise.integrated_time,
            "logID": promise.log_id.hex(),
            "logIndex": promise.log_index,
            "verification": {
                "inclusionProof": {
                    "checkpoint": self.checkpoint(entry, f"{self.host} - {entry.shard.tree_id}"),
                    "hashes": [item.hex() for item in tree.path(entry.index)],
                    "logIndex": entry.index,
                    "rootHash": tree.root.hex(),
                    "treeSize": len(tree.bodies),
                },
                "signedEntryTimestamp": encode_base64(promise.signature),
            },
        }

    def checkpoint(self, entry: Entry, origin: str) -> str:
        tree = entry.shard.tree
        return signed_checkpoint(origin, len(tree.bodies), tree.root, self.key)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


# Lies: the answer is well-formed, and says something else.


def _other_entry(rekor: Rekor, entry: Entry, answer: dict[str, Any]) -> None:
    other = rekor.entries[entry.promise.log_index - 1]
    answer.clear()
    answer[other.uuid] = rekor.value(other)


def _other_body(rekor: Rekor, entry: Entry, answer: dict[str, Any]) -> None:
    """The right place, with another entry's body and a proof that fits it."""
    other = rekor.entries[entry.promise.log_index - 1]
    value = rekor.value(other)
    honest = answer.pop(entry.uuid)
    answer[other.uuid] = {**value, **{name: honest[name] for name in ("integratedTime", "logID", "logIndex")}}


def _set(name: str, change: Callable[[Any], Any]) -> Callable[[Rekor, Entry, dict[str, Any]], None]:
    def lie(rekor: Rekor, entry: Entry, answer: dict[str, Any]) -> None:
        value = answer[entry.uuid]
        place = value["verification"]["inclusionProof"] if name.startswith("proof.") else value
        key = name.removeprefix("proof.")
        place[key] = change(place[key])

    return lie


def _checkpoint(make: Callable[[Rekor, Entry], str]) -> Callable[[Rekor, Entry, dict[str, Any]], None]:
    def lie(rekor: Rekor, entry: Entry, answer: dict[str, Any]) -> None:
        answer[entry.uuid]["verification"]["inclusionProof"]["checkpoint"] = make(rekor, entry)

    return lie


def _forged(rekor: Rekor, entry: Entry) -> str:
    """Signed by another key, under the log's name and key hash."""
    text = rekor.checkpoint(entry, f"{rekor.host} - {entry.shard.tree_id}").partition("\n\n")[0] + "\n"
    other = ec.generate_private_key(ec.SECP256R1())
    return f"{text}\n{signature_line(text, other, rekor.host, hint=key_hash(rekor.key, rekor.host))}"


def _foreign(rekor: Rekor, entry: Entry) -> str:
    """A whole checkpoint of another log."""
    tree = entry.shard.tree
    other = ec.generate_private_key(ec.SECP256R1())
    return signed_checkpoint("rekor.example.com - 7", len(tree.bodies), tree.root, other)


def _older(rekor: Rekor, entry: Entry) -> str:
    """Of the same tree, before its last entry."""
    bodies = entry.shard.tree.bodies[:-1]
    root = root_of([leaf(body) for body in bodies])
    return signed_checkpoint(f"{rekor.host} - {entry.shard.tree_id}", len(bodies), root, rekor.key)


def _other_id(rekor: Rekor, entry: Entry, answer: dict[str, Any]) -> None:
    answer[f"{entry.uuid[:16]}{'0' * 64}"] = answer.pop(entry.uuid)


def _other_tree(rekor: Rekor, entry: Entry, answer: dict[str, Any]) -> None:
    answer[f"{1:016x}{entry.uuid[16:]}"] = answer.pop(entry.uuid)


def _short_id(rekor: Rekor, entry: Entry, answer: dict[str, Any]) -> None:
    answer[entry.uuid[16:]] = answer.pop(entry.uuid)


LIES: dict[str, Callable[[Rekor, Entry, dict[str, Any]], None]] = {
    "other-entry": _other_entry,
    "other-body": _other_body,
    "other-time": _set("integratedTime", lambda time: time + 1),
    "other-index": _set("logIndex", lambda index: index + 1),
    "other-log": _set("logID", lambda log_id: "00" * 32),
    "other-id": _other_id,
    "other-tree": _other_tree,
    "wrong-root": _set("proof.rootHash", lambda root: "00" * 32),
    "wrong-size": _set("proof.treeSize", lambda size: size + 1),
    "wrong-place": _set("proof.logIndex", lambda index: index - 1),
    "short-path": _set("proof.hashes", lambda hashes: hashes[:-1]),
    "long-path": _set("proof.hashes", lambda hashes: [*hashes, "00" * 32]),
    "other-path": _set("proof.hashes", lambda hashes: ["00" * 32, *hashes[1:]]),
    "older-checkpoint": _checkpoint(_older),
    "forged-checkpoint": _checkpoint(_forged),
    "foreign-checkpoint": _checkpoint(_foreign),
    "other-origin": _checkpoint(lambda rekor, entry: rekor.checkpoint(entry, "rekor.example.com")),
    "checkpoint-of-another-tree": _checkpoint(lambda rekor, entry: rekor.checkpoint(entry, f"{rekor.host} - 7")),
    "torn-checkpoint": _checkpoint(lambda rekor, entry: f"{rekor.host} - {entry.shard.tree_id}\n1\n"),
    "short-id": _short_id,  # honest: older servers name entries without their tree
    "attestation": lambda rekor, entry, answer: answer[entry.uuid].update(attestation={"data": "e30="}),  # honest too
}


def _reshaped(change: Callable[[dict[str, Any], str], Any]) -> Callable[[Rekor, Entry, dict[str, Any]], bytes]:
    def body(rekor: Rekor, entry: Entry, answer: dict[str, Any]) -> bytes:
        result = change(answer, entry.uuid)
        return json.dumps(answer if result is None else result).encode()

    return body


def _twice(rekor: Rekor, entry: Entry, answer: dict[str, Any]) -> bytes:
    """Both readers of a doubled key see a whole entry: an honest one and another."""
    name = json.dumps(entry.uuid)
    other = rekor.value(rekor.entries[entry.promise.log_index - 1])
    return f"{{{name}:{json.dumps(other)},{name}:{json.dumps(answer[entry.uuid])}}}".encode()


# Answers with status 200 that have no one meaning.
GARBAGE: dict[str, Callable[[Rekor, Entry, dict[str, Any]], bytes]] = {
    "no-json": lambda *_: b"<html>please log in</html>",
    "empty": lambda *_: b"",
    "binary": lambda *_: b"\xff\xfe\x00",
    "list": _reshaped(lambda answer, uuid: [answer]),
    "no-entry": _reshaped(lambda answer, uuid: {}),
    "two-entries": _reshaped(lambda answer, uuid: {**answer, "1" * 80: answer[uuid]}),
    "twice": _twice,
    "no-id": _reshaped(lambda answer, uuid: {"entry": answer[uuid]}),
    "upper-id": _reshaped(lambda answer, uuid: {uuid.upper(): answer[uuid]}),
    "unknown-field": _reshaped(lambda answer, uuid: answer[uuid].update(x=1)),
    "no-body": _reshaped(lambda answer, uuid: answer[uuid].pop("body") and None),
    "lax-base64": _reshaped(lambda answer, uuid: answer[uuid].update(body=answer[uuid]["body"] + "\n")),
    "text-index": _reshaped(lambda answer, uuid: answer[uuid].update(logIndex=str(answer[uuid]["logIndex"]))),
    "negative-time": _reshaped(lambda answer, uuid: answer[uuid].update(integratedTime=-1)),
    "no-proof": _reshaped(lambda answer, uuid: answer[uuid]["verification"].pop("inclusionProof") and None),
    "no-checkpoint": _reshaped(
        lambda answer, uuid: answer[uuid]["verification"]["inclusionProof"].pop("checkpoint") and None
    ),
    "null-checkpoint": _reshaped(
        lambda answer, uuid: answer[uuid]["verification"]["inclusionProof"].update(checkpoint=None)
    ),
    "odd-hash": _reshaped(lambda answer, uuid: answer[uuid]["verification"]["inclusionProof"].update(hashes=["0"])),
    "many-hashes": _reshaped(
        lambda answer, uuid: answer[uuid]["verification"]["inclusionProof"].update(hashes=["00" * 32] * 64)
    ),
    "deep": lambda *_: b'{"' + b"1" * 80 + b'":' + b"[" * 100_000,
}
STATUSES = {"400": 400, "403": 403, "404": 404, "429": 429, "500": 500, "503": 503, "204": 204}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rekor: Rekor

    def handle(self) -> None:
        with contextlib.suppress(ConnectionResetError):  # clients may leave at any moment
            super().handle()

    def do_GET(self) -> None:
        self.rekor.asked.append(self.path)
        fault = self.rekor.fault
        try:
            if fault in STATUSES:
                self._send(b'{"code":1,"message":"no"}', status=STATUSES[fault])
            elif fault == "busy-once":
                self.rekor.fault = ""
                self._send(b"{}", status=429, retry_after="0")
            elif fault == "redirect":
                self._send(b"", status=302, location=f"http://{self.rekor.host}/elsewhere")
            elif fault in {"slow", "endless", "silent", "closed", "half"}:
                self._misbehave(fault)
            else:
                self._answer(fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _answer(self, fault: str) -> None:
        if not self.path.startswith(PATH):
            body = growth_answer(self.rekor, self.path, fault)
            self._send(body or b"{}", status=200 if body else 404)
            return
        entry = self.rekor.find(self.path)
        if entry is None or (fault == "index-unknown" and "?" in self.path):
            self._send(b'{"code":404,"message":"no such entry"}', status=404)
        elif fault == "text":
            self._send(_body(self.rekor, entry, ""), content_type="text/html")
        else:
            self._send(_body(self.rekor, entry, fault))

    def _misbehave(self, fault: str) -> None:
        self.close_connection = True
        if fault == "silent":
            self.rekor.over.wait(30)
        if fault in {"silent", "closed"}:
            return
        self.send_response(200)
        self.send_header("Content-Type", JSON)
        if fault == "half":
            self.send_header("Content-Length", "1000")
        self.end_headers()
        if fault == "half":
            self.wfile.write(b'{"')
            return
        piece = b" " if fault == "slow" else b" " * 65536
        while not self.rekor.over.wait(0.02 if fault == "slow" else 0):
            self.wfile.write(piece)

    def _send(self, body: bytes, *, status: int = 200, content_type: str = JSON, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _body(rekor: Rekor, entry: Entry, fault: str) -> bytes:
    answer: dict[str, Any] = {entry.uuid: rekor.value(entry)}
    if fault in GARBAGE:
        return GARBAGE[fault](rekor, entry, answer)
    if fault in LIES:
        LIES[fault](rekor, entry, answer)
    elif fault not in {"", "index-unknown"}:
        raise KeyError(fault)
    return json.dumps(answer).encode()
