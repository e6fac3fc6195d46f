"""Vulnerability data that travels in a bundle: complete, and told with its age (archive/FORMAT.md, `data[]`).

Rules of this module:
- A blob of ours is one blob; an artifact is a manifest, and whatever it names is among the blobs.
- Whose word it is: the stream's alone. No signature of anybody else is looked for, and the report says so.
- Age is told from the latest change of anything in the data, which the format bounds by the bundle's own `created`.
- What is inside is not read here: that is the work of those who scan (bundler/vulnerability).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bundler.archive.inventory import Data, Inventory
from bundler.digest import Digest
from bundler.errors import DamagedError
from bundler.oci.descriptor import Descriptor
from bundler.oci.graph import walk
from bundler.oci.manifest import ImageManifest, is_manifest
from bundler.value import dataclass
from bundler.verify.appraisal import ITEM_FAILURES
from bundler.verify.completeness import require_blob
from bundler.verify.data_facts import DataFact
from bundler.verify.result import Check, Outcome

if TYPE_CHECKING:
    from bundler.vulnerability.remembered import Paper

STRENGTH = "as the exporter had it"


@dataclass(frozen=True, slots=True)
class CompleteData:
    """Data whose blobs are all there. `nodes` has its blob, or its manifest, config and layers."""

    data: Data
    nodes: tuple[Descriptor, ...]

    @property
    def payload(self) -> tuple[Descriptor, ...]:
        """Where the data itself lies: the blob, or an artifact's layers."""
        return self.nodes[2:] if is_manifest(self.data.media_type) else self.nodes


@dataclass(frozen=True, slots=True)
class JudgedData:
    """What became of all data of a bundle: facts and checks for the report, and what is complete."""

    facts: tuple[DataFact, ...]
    checks: tuple[Check, ...]
    complete: tuple[CompleteData, ...]


@dataclass(frozen=True, slots=True)
class Keepsakes:
    """What is worth keeping of one bundle that was judged: of each image its SBOMs and VEX, and all data."""

    papers: tuple[tuple[Paper, ...], ...]
    data: tuple[CompleteData, ...]


def open_data(data: Data, inventory: Inventory, read_blob: Callable[[Digest], bytes]) -> CompleteData:
    """Walk one entry of `data` and compare it with the blobs.

    Raises:
        RejectedError: a blob is missing, or of another size (``incomplete``).
        MalformedError: a manifest that has no one meaning, or a digest with two roles (``digest-role``).
        DamagedError: its manifest's bytes are damaged.
    """
    top = Descriptor(data.media_type, data.digest, data.size_bytes)
    if not is_manifest(data.media_type):
        return CompleteData(data, (top,))
    blobs = {blob.digest: blob for blob in inventory.blobs}
    graph = walk(top, lambda descriptor: read_blob(descriptor.digest))
    manifests = [document for document in graph.documents.values() if isinstance(document, ImageManifest)]
    nodes = (top, *(node for manifest in manifests for node in (manifest.config, *manifest.layers)))
    for node in nodes:
        require_blob(blobs, node, "data", data.source)
    return CompleteData(data, nodes)


def judge_data(
    inventory: Inventory, read_blob: Callable[[Digest], bytes], damaged: frozenset[Digest], at: datetime
) -> JudgedData:
    """Open all data of a bundle; what is wrong with it becomes checks.

    Args:
        inventory: the verified one.
        read_blob: gives a document's bytes.
        damaged: blobs whose bytes are not what was signed.
        at: the time that age is told for.
    """
    facts, checks, complete = [], [], []
    for data in inventory.data:
        try:
            opened = open_data(data, inventory, read_blob)
            broken = next((node.digest for node in opened.nodes if node.digest in damaged), None)
        except DamagedError as error:
            checks.append(Check("data", Outcome.DAMAGED, error.code, data.source, str(error)))
            continue
        except ITEM_FAILURES as error:
            checks.append(Check("data", Outcome.FAILED, error.code, data.source, str(error)))
            continue
        if broken is not None:
            told = f"{broken}: its bytes are not what was signed"
            checks.append(Check("data", Outcome.DAMAGED, "blob-digest", data.source, told))
            continue
        complete.append(opened)
        fact = _fact(opened, at)
        facts.append(fact)
        checks.append(Check("data", Outcome.HELD, about=data.source, detail=fact.told, strength=STRENGTH))
    return JudgedData(tuple(facts), tuple(checks), tuple(complete))


def age_days(modified_at: datetime | None, at: datetime) -> int | None:
    """Whole days since; none when nothing tells, 0 for what is from the future."""
    return None if modified_at is None else max(at - modified_at, timedelta(0)).days


def _fact(opened: CompleteData, at: datetime) -> DataFact:
    data = opened.data
    return DataFact(
        data.kind, data.source, data.modified_at, age_days(data.modified_at, at), data.records, data.digest,
        data.media_type, sum(node.size_bytes for node in opened.nodes),
    )  # fmt: skip
