"""How logs grew, as the inventory writes it (FORMAT.md, "images and logs"): parse beside format.

Rules: bytes are base64 in its one spelling; `parse_growth` and `format_growth` are inverse; what an entry must hold by
itself is in inventory_rules.py, and only verify/log_growth.py, which knows the logs' keys, proves anything.
"""

from __future__ import annotations

from typing import Any

from bundler import limits
from bundler.archive.contents import GrowthProof, LogGrowth
from bundler.encoding import decode_base64, encode_base64
from bundler.fields import Fields
from bundler.moment import format_moment, parse_moment
from bundler.strict_json import MAX_SAFE_INTEGER


def parse_growth(fields: Fields) -> LogGrowth:
    """Read one entry of `logs`.

    Raises:
        MalformedError: any other shape.
    """
    fields.exactly("log", "checkpoint", "fetched_at", "proofs")
    return LogGrowth(
        log=fields.text("log"),
        checkpoint=decode_base64(fields.text("checkpoint"), fields.what, f"{fields.where}.checkpoint"),
        fetched_at=parse_moment(fields.text("fetched_at")),
        proofs=tuple(_parse_proof(item) for item in fields.each("proofs", maximum=limits.LOG_PROOFS)),
    )


def format_growth(growth: LogGrowth) -> dict[str, Any]:
    """One entry of `logs` as values for canonical JSON."""
    return {
        "log": growth.log,
        "checkpoint": encode_base64(growth.checkpoint),
        "fetched_at": format_moment(growth.fetched_at),
        "proofs": [
            {"size": proof.tree_size, "hashes": [encode_base64(item) for item in proof.hashes]}
            for proof in growth.proofs
        ],
    }


def _parse_proof(fields: Fields) -> GrowthProof:
    fields.exactly("size", "hashes")
    hashes = fields.texts("hashes", maximum=limits.LOG_PROOF_HASHES)
    return GrowthProof(
        fields.integer("size", minimum=1, maximum=MAX_SAFE_INTEGER),
        tuple(decode_base64(text, fields.what, f"{fields.where}.hashes") for text in hashes),
    )
