"""What must not be missing: evidence that the settings require, looked for before anything is written (THREATS E6, E7).

Rules of this module:
- Evidence counts only for the subject that it names in its own content (statement, or signature payload); tags and
  annotations count for nothing. Whether it is *trusted* is not asked here: `--policy` and the far side judge that.
- A word holds if there is such evidence about the image's top (index or only manifest), or about every platform.
- What could not be read does not count, and the reason is told with the failure.
"""

from __future__ import annotations

from collections.abc import Callable

from bundler import limits
from bundler.archive.inventory import Evidence
from bundler.digest import Digest
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.buildkit import read_envelopes, read_statements
from bundler.evidence.containers_signature import parse_containers_signature
from bundler.evidence.cosign import SIMPLE_SIGNING, CosignItem, is_envelope, read_items, read_layer
from bundler.evidence.envelope import parse_envelope
from bundler.evidence.kind import (
    BUILDKIT_ATTESTATION,
    CONTAINERS_SIGNATURE,
    COSIGN_ATTESTATION,
    COSIGN_SBOM,
    COSIGN_SIGNATURE,
    REFERRER,
    provenance_version,
    sbom_format,
)
from bundler.evidence.referrer import BundleItem, read_referrer
from bundler.evidence.sigstore_bundle import HASHES, MessageSignature
from bundler.evidence.simple_signing import parse_simple_signing
from bundler.evidence.statement import Statement, parse_statement
from bundler.export.collect import CollectedImage
from bundler.oci.descriptor import Descriptor
from bundler.oci.graph import check_document
from bundler.oci.manifest import ImageManifest
from bundler.value import replace


def check_required(collected: CollectedImage, require: frozenset[str]) -> None:
    """Refuse an image that lacks required evidence.

    Args:
        collected: the image.
        require: words of `settings.EVIDENCE_WORDS`.

    Raises:
        RejectedError: code ``evidence-missing``, with where was looked and what was found but does not count.
    """
    if not require:
        return
    problems: list[str] = []
    present = {
        (word, evidence.subject)
        for evidence in collected.image.evidence
        for word in _words(collected, evidence, problems)
    }
    image = collected.image
    children = {child.digest for child in image.platforms}
    for word in sorted(require):
        about = {subject for known, subject in present if known == word}
        if image.digest not in about and not (children and children <= about):
            places = sorted({f"{search.place}: {search.answer}" for search in image.searches})
            raise RejectedError(
                "evidence-missing",
                word,
                f"of {image.name}",
                got="not there" if not about else "not there for every platform",
                want="as the settings require",
                hints=[*problems[: limits.HINTS], f"looked in {', '.join(places)}"],
            )


def words_of(collected: CollectedImage) -> frozenset[str]:
    """In which words of `settings.EVIDENCE_WORDS` an image has evidence, about whatever part of it."""
    found = (_words(collected, evidence, []) for evidence in collected.image.evidence)
    return frozenset(word for words in found for word in words)


def _words(collected: CollectedImage, evidence: Evidence, problems: list[str]) -> set[str]:
    """Words that one piece of evidence meets for its subject; what does not count is told in `problems`."""
    if evidence.kind == CONTAINERS_SIGNATURE:
        return _file_words(collected, evidence, problems)
    manifest = collected.evidence_manifests.get(evidence.digest)
    return set() if manifest is None else _manifest_words(collected, evidence, manifest, problems)


def _manifest_words(
    collected: CollectedImage, evidence: Evidence, manifest: ImageManifest, problems: list[str]
) -> set[str]:
    layers = {layer.digest: layer for layer in manifest.layers}
    words: set[str] = set()

    def read(digest: Digest) -> bytes:
        return collected.source.read_document(layers[digest])

    try:
        if evidence.kind == BUILDKIT_ATTESTATION:
            words |= _buildkit_words(manifest, evidence, read, problems)
        elif evidence.kind in (COSIGN_SIGNATURE, COSIGN_ATTESTATION):
            kind = COSIGN_SIGNATURE if evidence.kind == COSIGN_SIGNATURE else COSIGN_ATTESTATION
            for item in read_items(manifest, kind, read):
                words |= _item_words(item, evidence, problems)
        elif evidence.kind == REFERRER:
            words |= _referrer_words(manifest, evidence, read, problems)
        elif evidence.kind == COSIGN_SBOM and manifest.layers:
            words.add("sbom")
    except RejectedError as error:
        problems.append(_problem(evidence, error))
    return words


def _buildkit_words(
    manifest: ImageManifest, evidence: Evidence, read: Callable[[Digest], bytes], problems: list[str]
) -> set[str]:
    """What an attestation manifest holds: bare statements, and signed envelopes."""
    words: set[str] = set()
    for item in read_envelopes(manifest, read):
        words |= _item_words(item, evidence, problems)
    for layer in manifest.layers:
        if is_envelope(layer.media_type):
            continue
        try:
            for found in read_statements(replace(manifest, layers=(layer,)), evidence.subject, read):
                words |= _predicate_words(found.statement)
        except RejectedError as error:
            problems.append(_problem(evidence, error))
    return words


def _file_words(collected: CollectedImage, evidence: Evidence, problems: list[str]) -> set[str]:
    """A signature file's words: files of other formats than sigstore-json are carried, and count for nothing here."""
    descriptor = Descriptor(evidence.media_type, evidence.digest, evidence.size_bytes)
    raw = collected.source.read_document(descriptor)
    try:
        check_document(descriptor, raw)
        item = parse_containers_signature(raw)
        if item.media_type != SIMPLE_SIGNING:
            raise MalformedError("evidence-type", "signature file", got=item.media_type[:160], want=SIMPLE_SIGNING)
    except RejectedError as error:
        problems.append(_problem(evidence, error))
        return set()
    return _item_words(item, evidence, problems)


def _referrer_words(
    manifest: ImageManifest, evidence: Evidence, read: Callable[[Digest], bytes], problems: list[str]
) -> set[str]:
    """What a referrer holds; one bad part does not hide a good one."""
    referrer = read_referrer(manifest, read)
    problems += [_problem(evidence, error) for error in referrer.failures]
    words: set[str] = set()
    for item in referrer.items:
        words |= _item_words(item, evidence, problems)
    for layer in referrer.statements:
        try:
            statement = parse_statement(read_layer(layer, read))
            statement.check_subject(evidence.subject)
            words |= _predicate_words(statement)
        except RejectedError as error:
            problems.append(_problem(evidence, error))
    return words


def _item_words(item: CosignItem | BundleItem, evidence: Evidence, problems: list[str]) -> set[str]:
    try:
        if isinstance(item, CosignItem) and _is_simple(item):
            parse_simple_signing(item.raw).check_manifest(evidence.subject)
            return {"signature"}
        envelope = item.bundle.content if isinstance(item, BundleItem) else parse_envelope(item.raw)
        if isinstance(envelope, MessageSignature):
            _check_plain(envelope, evidence.subject)
            return {"signature"}
        statement = parse_statement(envelope.payload)
        statement.check_subject(evidence.subject)
        if isinstance(item, BundleItem) and item.role == "signature":
            return {"signature"}
    except RejectedError as error:
        problems.append(_problem(evidence, error))
        return set()
    return {"attestation"} | _predicate_words(statement)


def _check_plain(signed: MessageSignature, subject: Digest) -> None:
    """A plain signature names nothing; a digest beside it, if it can be compared, must be that of the image."""
    if signed.hash_algorithm is None or HASHES[signed.hash_algorithm] != subject.algorithm:
        return
    if signed.hash_value.hex() != subject.hex:
        got = f"about {signed.hash_value.hex()}"[:160]
        raise RejectedError("digest-mismatch", "Sigstore bundle", got=got, want=str(subject))


def _is_simple(item: CosignItem) -> bool:
    if item.kind in (REFERRER, BUILDKIT_ATTESTATION):
        return item.media_type == SIMPLE_SIGNING
    return item.kind != COSIGN_ATTESTATION


def _predicate_words(statement: Statement) -> set[str]:
    words = set()
    if sbom_format(statement.predicate_type):
        words.add("sbom")
    if provenance_version(statement.predicate_type):
        words.add("provenance")
    return words


def _problem(evidence: Evidence, error: RejectedError) -> str:
    return f"{evidence.kind} {evidence.digest} does not count: {error} [{error.code}]"
