"""Fetched proofs join the images whose evidence they complete (proofs.py finds them).

Rules of this module:
- Logs are found in the trusted roots that the trust repository publishes: the far side judges by the same ones.
- Proofs come from the cache where they were kept, and are verified again; `fetched_at` is the moment of the export that
  fetched them, so that exports with the same cache repeat byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from bundler.archive.inventory import Evidence
from bundler.digest import Digest
from bundler.errors import EnvError, UsageError
from bundler.evidence.kind import CONTAINERS_SIGNATURE, COSIGN_ATTESTATION, COSIGN_SIGNATURE, REFERRER
from bundler.export.collect import CollectedImage, naming
from bundler.export.proofs import find_proofs
from bundler.network.blob_cache import PROOFS
from bundler.network.connection import Connection
from bundler.network.log_client import LogClient
from bundler.network.proof_cache import ProofStore
from bundler.oci.descriptor import Descriptor
from bundler.value import dataclass, replace
from bundler.verify.keyring import Keyring

_MAY_PROMISE = frozenset({COSIGN_SIGNATURE, COSIGN_ATTESTATION, CONTAINERS_SIGNATURE, REFERRER})


@dataclass(frozen=True, slots=True)
class Proved:
    """The images with what was fetched for them, and what could not be had."""

    collected: tuple[CollectedImage, ...]
    warnings: tuple[str, ...]


def add_proofs(
    collected: Sequence[CollectedImage],
    targets: Mapping[str, bytes],
    connection: Connection,
    created_at: datetime,
    *,
    required: bool,
) -> Proved:
    """Fetch an inclusion proof for every promise without one.

    Args:
        collected: the images.
        targets: the trust repository's targets, by path.
        connection: how the network is reached, and the cache.
        created_at: the moment of this export.
        required: whether what cannot be had ends the export.

    Raises:
        RejectedError, EnvError: a proof is required and cannot be had.
    """
    if not any(evidence.kind in _MAY_PROMISE for item in collected for evidence in item.image.evidence):
        return Proved(tuple(collected), ())
    keyring = Keyring(targets)
    materials = [keyring.trusted_root(name) for name in keyring.root_names]
    client = LogClient(connection.access, os.environ)
    warnings: list[str] = []
    store = ProofStore(client.fetch, created_at, _folder(connection, warnings))
    try:
        done: list[CollectedImage] = []
        for item in collected:
            with naming(item.image.name, item.source):
                proofs = find_proofs(item, materials, store, required=required)
            warnings += proofs.warnings
            done.append(_join(item, {evidence.digest: raw for evidence, raw in proofs.found}, proofs.found))
        return Proved(tuple(done), tuple(warnings))
    finally:
        client.close()


def _folder(connection: Connection, warnings: list[str]) -> Path | None:
    """Where proofs are kept; without such a place they are fetched all the same, and that is said."""
    try:
        return connection.cache.folder(PROOFS)
    except (EnvError, UsageError) as error:
        warnings.append(f"inclusion proofs are not kept for the next export: {error} ({error.code})")
        return None


def _join(
    item: CollectedImage, made: Mapping[Digest, bytes], found: Sequence[tuple[Evidence, bytes]]
) -> CollectedImage:
    """The image with its proofs listed after its other evidence."""
    entries = [evidence for evidence, _ in found]
    known = {node.digest for node in item.nodes}
    nodes = {
        evidence.digest: Descriptor(evidence.media_type, evidence.digest, evidence.size_bytes) for evidence in entries
    }
    image = replace(item.image, evidence=(*item.image.evidence, *entries))
    added = tuple(node for digest, node in nodes.items() if digest not in known)
    return replace(item, image=image, nodes=(*item.nodes, *added), made={**item.made, **made})
