"""What an inventory must hold by itself, without a look at any blob (FORMAT.md, "Inventory", rules I1 to I16).

`check_rules` returns the inventory or raises. The codes: ``order`` (repeated or unsorted), ``name``, ``previous``,
``text``, ``time``, ``augments``, ``log-entry``, ``digest-algorithm``, ``blob-absent``, ``blob-mismatch``,
``omitted-present``, ``stored``, ``blob-order``, ``media-type``, ``log-proof``, ``data-kind``, ``limits``, and those of
layout.py.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping

from bundler import limits
from bundler.archive.contents import Blob, Data, Evidence, Image, Inventory, LogGrowth
from bundler.archive.layout import BLOB_TYPES, DATA_TYPES, layout_index
from bundler.archive.names import RESERVED_ROLES, STREAM_GRAMMAR
from bundler.archive.storage import blob_rank, may_compress, pays
from bundler.digest import Digest
from bundler.errors import MalformedError, UnsupportedError
from bundler.evidence.kind import LOG_ENTRY, REFERRER
from bundler.oci.descriptor import parse_media_type
from bundler.oci.manifest import is_document_type, is_index, is_manifest
from bundler.oci.reference import parse_reference

_WHAT = "inventory"
_STREAM = re.compile(STREAM_GRAMMAR, re.ASCII)
_SITE = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{limits.SITE_NAME_CHARACTERS - 1}}}", re.ASCII)
_LOG_ID = re.compile(r"[a-f0-9]{64}", re.ASCII)
DIGEST_ORIGINS = ("source", "synthesised")
_WORD = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)


def check_rules(inventory: Inventory) -> Inventory:
    """Return `inventory` if it is consistent in itself.

    Raises:
        MalformedError, UnsupportedError: it breaks a rule; see the module for the codes.
    """
    _check_head(inventory)
    blobs = _check_blobs(inventory.blobs)
    _each_once((image.name for image in inventory.images), "images")
    for image in inventory.images:
        _check_image(image, blobs)
    _check_logs(inventory)
    _check_data(inventory, blobs)
    layout_index(inventory)
    return inventory


def _check_head(inventory: Inventory) -> None:
    if not _STREAM.fullmatch(inventory.stream) or inventory.stream in RESERVED_ROLES:
        raise _refused("name", "stream", repr(inventory.stream[:80]), STREAM_GRAMMAR)
    if inventory.sequence < 1 or (inventory.sequence == 1) != (inventory.previous is None):
        raise _refused("previous", "previous", f"{inventory.previous} at {inventory.sequence}", "null exactly at 1")
    if inventory.previous is not None:
        _sha256(inventory.previous, "previous")
    for site in inventory.audience:
        if not _SITE.fullmatch(site):
            raise _refused("name", "audience", repr(site[:80]), _SITE.pattern)
    if list(inventory.audience) != sorted(set(inventory.audience)):
        raise _refused("order", "audience", "unsorted or repeated names", "sorted, each once")
    _text(inventory.tool, "tool")
    if inventory.created_at.tzinfo is None or inventory.created_at.microsecond:
        raise _refused("time", "created", str(inventory.created_at), "a time zone and whole seconds")


def _check_blobs(blobs: tuple[Blob, ...]) -> Mapping[Digest, Blob]:
    _each_once((blob.digest for blob in blobs), "blobs")
    highest = 0
    for blob in blobs:
        _check_blob(blob)
        rank = blob_rank(blob.media_type)
        if rank < highest:
            raise _refused("blob-order", str(blob.digest), blob.media_type, "no such blob after this point")
        highest = rank
    stored_bytes = sum(blob.stored_size_bytes for blob in blobs)
    if stored_bytes > limits.BUNDLE_BYTES:
        raise _refused("limits", "blobs", f"{stored_bytes} bytes", f"at most {limits.BUNDLE_BYTES}")
    return {blob.digest: blob for blob in blobs}


def _check_blob(blob: Blob) -> None:
    where = str(blob.digest)
    _sha256(blob.digest, where)
    _sha256(blob.stored_digest, where)
    _media_type(blob.media_type, where)
    _size(blob.size_bytes, where)
    manifest = is_document_type(blob.media_type)
    if manifest and blob.size_bytes > limits.MANIFEST_BYTES:
        raise _refused("limits", where, f"{blob.size_bytes} bytes", f"a manifest of {limits.MANIFEST_BYTES} at most")
    if blob.stored == "raw":
        if (blob.stored_size_bytes, blob.stored_digest) != (blob.size_bytes, blob.digest):
            raise _refused("stored", where, "raw with another size or digest", "the content's own")
    elif not may_compress(blob.media_type, blob.size_bytes):
        raise _refused("stored", where, f"zstd for {blob.media_type} of {blob.size_bytes} bytes", "raw")
    elif not pays(blob.size_bytes, blob.stored_size_bytes):
        raise _refused("stored", where, f"{blob.stored_size_bytes} of {blob.size_bytes} bytes", "a gain of a tenth")


def _check_image(image: Image, blobs: Mapping[Digest, Blob]) -> None:
    _reference(image.name, image.digest, "images")
    _word(image.source, f"{image.name} source")
    if image.digest_origin not in DIGEST_ORIGINS:
        raise _refused(
            "text", f"{image.name} digest_origin", repr(image.digest_origin[:80]), " or ".join(DIGEST_ORIGINS)
        )
    _check_present(image, blobs, image.name)
    if not is_index(image.media_type) and not is_manifest(image.media_type):
        raise _refused("media-type", image.name, image.media_type, "an index or a manifest")
    _check_children(image, blobs)
    _each_once(
        ((item.kind, item.subject, item.digest, item.augments) for item in image.evidence), f"{image.name} evidence"
    )
    known = {evidence.digest for evidence in image.evidence}
    for evidence in image.evidence:
        _check_evidence(evidence, blobs)
        if evidence.augments is not None and (evidence.augments not in known or evidence.augments == evidence.digest):
            raise _refused("augments", str(evidence.digest), str(evidence.augments), "evidence of the same image")
    _each_once(((search.subject, search.place) for search in image.searches), f"{image.name} searches")
    for search in image.searches:
        _sha256(search.subject, f"{image.name} searches")
        _text(search.place, f"{image.name} searches")
        _text(search.answer, f"{image.name} searches")


def _check_children(image: Image, blobs: Mapping[Digest, Blob]) -> None:
    _each_once(((child.platform, child.digest) for child in image.platforms), f"{image.name} platforms")
    for child in image.platforms:
        _text(child.platform, f"{image.name} platforms")
        blob = blobs.get(child.digest)
        if blob is None:
            raise _refused("blob-absent", str(child.digest), "not among the blobs", "present")
        if not is_manifest(blob.media_type):
            raise _refused("blob-mismatch", str(child.digest), blob.media_type, "a manifest")
    _each_once(((item.platform, item.digest) for item in image.omitted), f"{image.name} omitted")
    for omission in image.omitted:
        _sha256(omission.digest, f"{image.name} omitted")
        _text(omission.platform, f"{image.name} omitted")
        _media_type(omission.media_type, f"{image.name} omitted")
        _size(omission.size_bytes, f"{image.name} omitted")
        if omission.digest in blobs:
            raise _refused("omitted-present", str(omission.digest), "omitted and among the blobs", "one of the two")


def _check_evidence(evidence: Evidence, blobs: Mapping[Digest, Blob]) -> None:
    where = str(evidence.digest)
    _word(evidence.kind, where)
    _word(evidence.found_by, where)
    _sha256(evidence.subject, where)
    _check_present(evidence, blobs, where)
    _check_log_entry(evidence, where)
    blob_type = BLOB_TYPES.get(evidence.kind)
    if blob_type is not None:
        if evidence.media_type != blob_type:
            raise _refused("media-type", where, evidence.media_type, blob_type)
    elif not is_manifest(evidence.media_type) and not (evidence.kind == REFERRER and is_index(evidence.media_type)):
        raise _refused("media-type", where, evidence.media_type, "a manifest")


def _check_log_entry(evidence: Evidence, where: str) -> None:
    """The fields of a log entry are there for one, and for nothing else."""
    own = (evidence.augments is not None, bool(evidence.log), evidence.fetched_at is not None)
    if own != (evidence.kind == LOG_ENTRY,) * 3:
        raise _refused("log-entry", where, f"{evidence.kind} with {sum(own)} of them", "all, for a log entry only")
    if evidence.augments is None or evidence.fetched_at is None:
        return
    _sha256(evidence.augments, where)
    if not _LOG_ID.fullmatch(evidence.log):
        raise _refused("text", where, repr(evidence.log[:80]), _LOG_ID.pattern)
    if evidence.fetched_at.tzinfo is None or evidence.fetched_at.microsecond:
        raise _refused("time", where, str(evidence.fetched_at), "a time zone and whole seconds")


def _check_logs(inventory: Inventory) -> None:
    places = [(growth.log, growth.checkpoint) for growth in inventory.logs]
    if places != sorted(set(places)):
        raise _refused("order", "logs", "unsorted or repeated entries", "sorted by log and checkpoint, each once")
    for growth in inventory.logs:
        _check_growth(growth, inventory)


def _check_growth(growth: LogGrowth, inventory: Inventory) -> None:
    where = f"logs {growth.log[:80]}"
    if not _LOG_ID.fullmatch(growth.log):
        raise _refused("text", where, repr(growth.log[:80]), _LOG_ID.pattern)
    if not 0 < len(growth.checkpoint) <= limits.NOTE_BYTES:
        raise _refused("limits", where, f"a checkpoint of {len(growth.checkpoint)} bytes", f"1 to {limits.NOTE_BYTES}")
    if growth.fetched_at.tzinfo is None or growth.fetched_at.microsecond or growth.fetched_at > inventory.created_at:
        raise _refused("time", where, str(growth.fetched_at), "whole seconds, not after `created`")
    sizes = [proof.tree_size for proof in growth.proofs]
    if sizes != sorted(set(sizes)) or (sizes and sizes[0] < 1):
        raise _refused("order", where, "proofs out of order or twice", "one for each size from 1 on, ascending")
    for proof in growth.proofs:
        if not 0 < len(proof.hashes) <= limits.LOG_PROOF_HASHES or {len(item) for item in proof.hashes} != {32}:
            raise _refused("log-proof", where, f"a proof from {proof.tree_size}", "1 to 64 hashes of 32 bytes")


def _check_data(inventory: Inventory, blobs: Mapping[Digest, Blob]) -> None:
    places = [(data.kind, data.source) for data in inventory.data]
    if places != sorted(set(places)):
        raise _refused("order", "data", "unsorted or repeated entries", "sorted by kind and source, each once")
    for data in inventory.data:
        where = f"data {data.source[:160]}"
        _text(data.source, "data")
        if data.kind not in DATA_TYPES:
            raise UnsupportedError("data-kind", _WHAT, where, got=data.kind[:80], hints=["use a newer sealift"])
        _check_present(data, blobs, where)
        if is_manifest(data.media_type):
            _reference(data.source, data.digest, where)
        elif data.media_type not in DATA_TYPES[data.kind]:
            raise _refused("media-type", where, data.media_type, " or ".join(DATA_TYPES[data.kind]))
        changed = data.modified_at
        if changed and (changed.tzinfo is None or changed.microsecond or changed > inventory.created_at):
            raise _refused("time", where, str(changed), "whole seconds, not after `created`")


def _check_present(item: Image | Evidence | Data, blobs: Mapping[Digest, Blob], where: str) -> None:
    blob = blobs.get(item.digest)
    if blob is None:
        raise _refused("blob-absent", where, f"{item.digest} is not among the blobs", "present")
    if (blob.media_type, blob.size_bytes) != (item.media_type, item.size_bytes):
        raise _refused(
            "blob-mismatch",
            where,
            f"{item.media_type} of {item.size_bytes} bytes",
            f"{blob.media_type} of {blob.size_bytes} bytes, as the blob",
        )


def _each_once(keys: Iterable[Hashable], where: str) -> None:
    seen: set[Hashable] = set()
    for key in keys:
        if key in seen:
            shown = key if isinstance(key, str) else " ".join(map(str, key)) if isinstance(key, tuple) else str(key)
            raise _refused("order", where, f"{shown[:200]} twice", "each once")
        seen.add(key)


def _reference(name: str, digest: Digest, where: str) -> None:
    """A name is normalised, and one that holds a digest is that of this very manifest: policies match on names."""
    reference = parse_reference(name)
    if str(reference) != name:
        raise _refused("name", where, repr(name[:160]), "a reference, normalised")
    if reference.digest not in (None, digest):
        raise _refused("name", where, repr(name[:300]), f"none but {digest} in it")


def _sha256(digest: Digest, where: str) -> None:
    if digest.algorithm != "sha256":
        raise UnsupportedError("digest-algorithm", _WHAT, where, got=digest.algorithm, want="sha256, as format 1 holds")


def _media_type(text: str, where: str) -> None:
    if len(text) > limits.INVENTORY_TEXT_CHARACTERS:
        raise _refused("text", where, f"a media type of {len(text)} characters", "fewer")
    parse_media_type(text, _WHAT)


def _size(size_bytes: int, where: str) -> None:
    if not 0 <= size_bytes <= limits.BLOB_BYTES:
        raise _refused("limits", where, f"{size_bytes} bytes", f"0 to {limits.BLOB_BYTES}")


def _word(text: str, where: str) -> None:
    if not _WORD.fullmatch(text):
        raise _refused("text", where, repr(text[:80]), _WORD.pattern)


def _text(text: str, where: str) -> None:
    if not 0 < len(text) <= limits.INVENTORY_TEXT_CHARACTERS:
        raise _refused("text", where, f"{len(text)} characters", f"1 to {limits.INVENTORY_TEXT_CHARACTERS}")


def _refused(code: str, which: str, got: str, want: str) -> MalformedError:
    return MalformedError(code, _WHAT, which, got=got, want=want)
