"""What the simulated Rekor says of its trees (`/api/v1/log`) and their growth (`/api/v1/log/proof`), honest or not.

Faults: `shrunk` and `forked` show another tree, signed with the log's own key; `false-proof` and those of GARBAGE are
other answers; `no-tree` has forgotten the tree.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from tests.simulators.log_tree import consistency_path, leaf, root_of, signed_checkpoint

if TYPE_CHECKING:
    from tests.simulators.rekor import Rekor, Shard

PATH = "/api/v1/log"


def shown_bodies(shard: Shard, fault: str) -> list[bytes]:
    """The entries of a tree as the log shows them."""
    bodies = shard.tree.bodies
    if fault == "shrunk":
        return bodies[:1]
    return [b"another entry", *bodies[1:]] if fault == "forked" else bodies


def shard_answer(rekor: Rekor, shard: Shard, fault: str) -> dict[str, Any]:
    leaves = [leaf(body) for body in shown_bodies(shard, fault)]
    key = ec.generate_private_key(ec.SECP256R1()) if fault == "foreign-key" else rekor.key
    tree_id = shard.tree_id + 1 if fault == "no-tree" else shard.tree_id
    head = signed_checkpoint(f"{rekor.host} - {tree_id}", len(leaves), root_of(leaves), key)
    return {
        "rootHash": root_of(leaves).hex(),
        "signedTreeHead": head,
        "treeID": str(tree_id),
        "treeSize": len(leaves),
    }


def growth_answer(rekor: Rekor, path: str, fault: str) -> bytes | None:
    """The body of an answer; None where there is none."""
    parts = urlsplit(path)
    if parts.path == PATH:
        *inactive, active = [shard_answer(rekor, shard, fault) for shard in rekor.shards]
        answer = {**active, "inactiveShards": inactive or None}
        return GARBAGE[fault](answer) if fault in GARBAGE else json.dumps(answer).encode()
    if parts.path == f"{PATH}/proof":
        query = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
        shard = next(shard for shard in rekor.shards if shard.tree_id == query["treeID"])
        leaves = [leaf(body) for body in shown_bodies(shard, fault)][: query["lastSize"]]
        hashes = [item.hex() for item in consistency_path(query["firstSize"], leaves)]
        if fault in PROOFS:
            hashes = PROOFS[fault](hashes)
        return json.dumps({"hashes": hashes, "rootHash": root_of(leaves).hex()}).encode()
    return None


PROOFS: dict[str, Callable[[list[str]], Any]] = {
    "false-proof": lambda hashes: ["00" * 32 for _ in hashes],
    "short-proof": lambda hashes: hashes[:-1],
    "long-proof": lambda hashes: [*hashes, "00" * 32],
    "proof-odd-hash": lambda hashes: ["0"],
    "proof-upper-case": lambda hashes: [item.upper() for item in hashes] + ["AA" * 32],
    "proof-many": lambda hashes: ["00" * 32] * 65,
    "proof-no-list": lambda hashes: "hashes",
}


def _without(name: str) -> Callable[[dict[str, Any]], bytes]:
    return lambda answer: json.dumps({key: value for key, value in answer.items() if key != name}).encode()


GARBAGE: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "head-no-json": lambda answer: b"<html>please log in</html>",
    "head-list": lambda answer: json.dumps([answer]).encode(),
    "head-absent": _without("signedTreeHead"),
    "head-no-note": lambda answer: json.dumps({**answer, "signedTreeHead": "a\n1\n"}).encode(),
    "head-surrogate": lambda answer: json.dumps({**answer, "signedTreeHead": "\ud800"}).encode(),
    "head-shards": lambda answer: json.dumps({**answer, "inactiveShards": [1], "signedTreeHead": "x - 1\n"}).encode(),
}
