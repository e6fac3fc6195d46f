"""Inclusion proofs for evidence that brings a promise only, fetched while there is a network (EVIDENCE 1.3, 2.5).

Rules of this module:
- The evidence itself is never touched. A proof travels beside it, as a blob of its own that says what it completes.
- Only logs of the given trusted roots are asked. A promise that does not hold gets no proof.
- What cannot be proved is a warning that names image, evidence, log and reason; or, where proofs are required, the
  error itself. Evidence without a promise needs no proof; where proofs are required it is named too.
- The order is that of the evidence, its layers and its entries. What a proof completes is one piece of evidence; a
  proof that several pieces share is listed for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bundler.archive.inventory import Evidence
from bundler.archive.layout import BLOB_TYPES
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, RejectedError
from bundler.evidence.containers_signature import parse_containers_signature
from bundler.evidence.cosign import BUNDLE, SIMPLE_SIGNING, is_envelope, read_layer
from bundler.evidence.kind import CONTAINERS_SIGNATURE, COSIGN_ATTESTATION, COSIGN_SIGNATURE, LOG_ENTRY, REFERRER
from bundler.evidence.sigstore_bundle import VERSIONS, parse_bundle
from bundler.export.collect import CollectedImage
from bundler.network.proof_cache import FetchedProof, ProofStore
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import ImageManifest
from bundler.transparency.log import TransparencyLog
from bundler.transparency.log_entry import TransparencyLogEntry, parse_log_entry_bytes
from bundler.transparency.promise import Promise, open_promise, parse_promise
from bundler.value import dataclass, field
from bundler.verify.material import TrustedMaterial

FOUND_BY = "rekor"


@dataclass(frozen=True, slots=True)
class Proofs:
    """What was found for one image.

    Attributes:
        found: entries for the inventory, each with the bytes of its blob.
        warnings: one sentence each.
    """

    found: tuple[tuple[Evidence, bytes], ...] = field(repr=False)
    warnings: tuple[str, ...]


def find_proofs(
    collected: CollectedImage, materials: Sequence[TrustedMaterial], store: ProofStore, *, required: bool = False
) -> Proofs:
    """Find the proof of every promise in an image's evidence.

    Args:
        collected: the image with its evidence.
        materials: trusted roots, in the order in which a log is looked for.
        store: asks the logs, or knows the answer.
        required: whether a promise without a proof ends the export.

    Raises:
        RejectedError, EnvError: a proof is required and cannot be had; or the source cannot be read.
    """
    found: dict[tuple[Digest, Digest, Digest], tuple[Evidence, bytes]] = {}
    warnings = []
    for evidence in collected.image.evidence:
        for part in _parts(collected, evidence):
            where = f"{collected.image.name}, {evidence.kind} {evidence.digest}{part.where}"
            try:
                promises = _promises(collected, part)
                if promises is None and required:
                    warnings.append(f"{where}: not logged, so there is no inclusion proof to fetch")
            except RejectedError as error:
                warnings.append(_judge(error, where, "its log entry cannot be read", required=required))
                continue
            for promise in promises or ():
                try:
                    log = _choose_log(promise, materials)
                    proof = store.proof_of(promise, log)
                except (RejectedError, EnvError) as error:
                    reason = f"no inclusion proof of entry {promise.log_index} from {_log_name(promise, materials)}"
                    warnings.append(_judge(error, where, reason, required=required))
                else:
                    entry = _describe(proof, promise, evidence)
                    found.setdefault((entry.digest, evidence.digest, entry.subject), (entry, proof.raw))
    return Proofs(tuple(found.values()), tuple(warnings))


def proved_entries(collected: CollectedImage) -> Iterator[TransparencyLogEntry]:
    """Entries of an image's evidence that come with a proof: in Sigstore bundles, and fetched. Nothing is verified."""
    for evidence in collected.image.evidence:
        if evidence.kind == LOG_ENTRY and evidence.digest in collected.made:
            yield parse_log_entry_bytes(collected.made[evidence.digest])
        for part in _parts(collected, evidence):
            if part.descriptor.media_type in VERSIONS and not part.is_file:
                try:
                    bundle = parse_bundle(_read(collected, part.descriptor))
                except RejectedError:
                    continue  # the far side tells why
                yield from (entry for entry in bundle.entries if not _needs_proof(entry))


@dataclass(frozen=True, slots=True)
class _Part:
    """A layer of an evidence manifest, or a whole blob of evidence."""

    descriptor: Descriptor
    is_file: bool
    where: str


def _parts(collected: CollectedImage, evidence: Evidence) -> Iterator[_Part]:
    """Everything that may hold a signature, in its order."""
    if evidence.kind == CONTAINERS_SIGNATURE:
        yield _Part(Descriptor(evidence.media_type, evidence.digest, evidence.size_bytes), is_file=True, where="")
    manifest = collected.evidence_manifests.get(evidence.digest)
    if evidence.kind in {COSIGN_SIGNATURE, COSIGN_ATTESTATION, REFERRER} and isinstance(manifest, ImageManifest):
        for position, layer in enumerate(manifest.layers):
            if layer.media_type == SIMPLE_SIGNING or is_envelope(layer.media_type) or layer.media_type in VERSIONS:
                yield _Part(layer, is_file=False, where=f" layer {position}")


def _promises(collected: CollectedImage, part: _Part) -> tuple[Promise, ...] | None:
    """The promises that need a proof; none when the part brings its own; None when it names no log.

    Raises:
        RejectedError: the part cannot be read.
    """
    if part.descriptor.media_type in VERSIONS and not part.is_file:
        entries = parse_bundle(_read(collected, part.descriptor)).entries
        return tuple(entry.promise for entry in entries if _needs_proof(entry) and entry.promise) if entries else None
    annotations = part.descriptor.annotations
    if part.is_file:
        annotations = parse_containers_signature(_read(collected, part.descriptor)).annotations
    promise = annotations.get(BUNDLE, "")
    return (parse_promise(promise.encode("utf-8", "surrogatepass")),) if promise else None


def _needs_proof(entry: TransparencyLogEntry) -> bool:
    return entry.proof is None or entry.proof.checkpoint is None


def _read(collected: CollectedImage, descriptor: Descriptor) -> bytes:
    return read_layer(descriptor, lambda _: collected.source.read_document(descriptor))


def _choose_log(promise: Promise, materials: Sequence[TrustedMaterial]) -> TransparencyLog:
    """The first log of the trusted roots under which the promise holds.

    Raises:
        RejectedError: none: what the last one that knows the log says, or ``log-unknown``.
    """
    refusal: RejectedError | None = None
    for material in materials:
        try:
            return open_promise(promise, material.logs).log
        except RejectedError as error:
            if refusal is None or error.code != "log-unknown":
                refusal = error
    if refusal is None:
        raise RejectedError("log-unknown", "log", promise.log_id.hex(), got="no trusted root", want="one that names it")
    raise refusal


def _log_name(promise: Promise, materials: Sequence[TrustedMaterial]) -> str:
    urls = [log.url for material in materials for log in material.logs if log.log_id == promise.log_id]
    return urls[0] if urls else f"log {promise.log_id.hex()}"


def _describe(proof: FetchedProof, promise: Promise, evidence: Evidence) -> Evidence:
    return Evidence(
        kind=LOG_ENTRY,
        subject=evidence.subject,
        digest=sha256_of(proof.raw),
        media_type=BLOB_TYPES[LOG_ENTRY],
        size_bytes=len(proof.raw),
        found_by=FOUND_BY,
        augments=evidence.digest,
        log=promise.log_id.hex(),
        fetched_at=proof.fetched_at,
    )


def _judge(error: RejectedError | EnvError, where: str, what: str, *, required: bool) -> str:
    """The warning; or, when proofs are required, the error with its place."""
    if required:
        error.hints = (*error.hints, f"{where}: {what}")
        raise error
    return f"{where}: {what}: {error} ({error.code})"
