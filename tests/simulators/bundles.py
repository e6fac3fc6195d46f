"""Small bundles for tests of the reader: real container bytes, trust files that nobody signed.

What the reader of bundler/archive sees needs no TUF: it takes names and sizes below `trust/` as they come and is told
length and digest of the inventory. `build_bundle` gives the bytes together with both. Everything is deterministic.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from bundler.archive.contents import Blob, Evidence, Image, Inventory, Omission, PlatformChild, Search
from bundler.archive.frames import compress_to, may_compress, pays
from bundler.archive.inventory import format_inventory
from bundler.archive.layout import BLOB_TYPES
from bundler.archive.reader import Integrity, open_archive
from bundler.archive.storage import blob_rank
from bundler.archive.writer import write_bundle
from bundler.digest import Digest, sha256_of
from bundler.errors import SealiftError
from bundler.evidence.kind import LOG_ENTRY
from bundler.oci.manifest import EMPTY_CONFIG, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST

OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DSSE = "application/vnd.dsse.envelope.v1+json"
TEXT = "text/plain"
CREATED_AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class BuiltBundle:
    """A bundle, and what the trust metadata would say of its inventory."""

    raw: bytes
    inventory: Inventory
    inventory_size_bytes: int
    inventory_digest: Digest
    contents: Mapping[Digest, bytes]

    @property
    def head_end(self) -> int:
        """Offset of the header of `oci-layout`: all before it is bound by the trust metadata."""
        return self.offset_of("oci-layout")

    def offset_of(self, member: str) -> int:
        """Offset of a member's header."""
        return dict(walk_members(self.raw))[member]


def build_bundle(
    inventory: Inventory | None = None,
    contents: Mapping[Digest, bytes] | None = None,
    trust_files: Mapping[str, bytes] | None = None,
    *,
    frames: Mapping[Digest, bytes] | None = None,
) -> BuiltBundle:
    """A whole bundle; by default a small two-platform image with an attestation.

    Args:
        inventory: what it lists; by default that of `sample_inventory`.
        contents: the content of each blob of `inventory`.
        trust_files: by default the fewest that the order allows.
        frames: stored bytes of some blobs, by content digest, instead of what our own encoder would write.
    """
    if inventory is None or contents is None:
        inventory, contents = sample_inventory()
    raw_inventory = format_inventory(inventory)
    target = io.BytesIO()
    known, given = contents, frames or {}

    def open_stored(blob: Blob) -> io.BytesIO:
        return io.BytesIO(given[blob.digest]) if blob.digest in given else stored(blob, known)

    write_bundle(target, sample_trust_files() if trust_files is None else trust_files, inventory, open_stored)
    return BuiltBundle(target.getvalue(), inventory, len(raw_inventory), sha256_of(raw_inventory), contents)


def sample_trust_files() -> dict[str, bytes]:
    """The fewest files below `trust/`: one root, the four other roles, one target. They sign nothing."""
    policy = b'{"policy":"for the record"}'
    return {
        "metadata/1.root.json": b'{"root":1}',
        "metadata/timestamp.json": b'{"timestamp":1}',
        "metadata/1.snapshot.json": b'{"snapshot":1}',
        "metadata/1.targets.json": b'{"targets":1}',
        "metadata/1.main.json": b'{"stream":1}',
        f"targets/{sha256_of(policy).hex}": policy,
    }


def sample_inventory(layer_bytes: int = 2000) -> tuple[Inventory, dict[Digest, bytes]]:
    """One index with two platforms (one of them omitted), an attestation about it, a compressed layer."""
    contents: dict[Digest, bytes] = {}

    def add(raw: bytes) -> Digest:
        contents[sha256_of(raw)] = raw
        return sha256_of(raw)

    config = add(b'{"os":"linux","architecture":"amd64"}')
    raw_layer = add(Random(7).randbytes(layer_bytes))
    text_layer = add(b"a line of text that repeats itself\n" * 2000)
    child = add(manifest(config, contents, [(OCI_LAYER, raw_layer), (OCI_LAYER, text_layer)]))
    absent = sha256_of(b"the arm64 child, left at home")
    index = add(index_of(contents, [child], absent))
    envelope = add(b'{"payloadType":"application/vnd.in-toto+json","payload":"","signatures":[]}')
    attestation = add(manifest(config, contents, [(DSSE, envelope)]))
    empty = add(b"{}")
    referrer = add(manifest(empty, contents, [(TEXT, add(b"a note about the index"))], config_type=EMPTY_CONFIG))
    signature = add(b"\0sigstore-json\n{}")
    log_entry = add(b'{"logIndex":"1"}')
    types = {
        config: OCI_CONFIG,
        raw_layer: OCI_LAYER,
        text_layer: OCI_LAYER,
        child: OCI_MANIFEST,
        index: OCI_INDEX,
        envelope: DSSE,
        attestation: OCI_MANIFEST,
        referrer: OCI_MANIFEST,
        empty: EMPTY_CONFIG,
        sha256_of(b"a note about the index"): TEXT,
        signature: BLOB_TYPES["containers-signature"],
        log_entry: BLOB_TYPES[LOG_ENTRY],
    }

    def evidence(kind: str, digest: Digest, **more: Any) -> Evidence:
        return Evidence(kind, index, digest, types[digest], len(contents[digest]), "tag", **more)

    blobs = [blob_of(contents[digest], media_type) for digest, media_type in types.items()]
    image = Image(
        name="registry.example/app:1",
        digest=index,
        media_type=OCI_INDEX,
        size_bytes=len(contents[index]),
        source="oci",
        platforms=(PlatformChild("linux/amd64", child),),
        omitted=(Omission(absent, OCI_MANIFEST, 29, "linux/arm64"),),
        evidence=(
            evidence("cosign-attestation", attestation),
            evidence("referrer", referrer),
            evidence("containers-signature", signature),
            evidence(LOG_ENTRY, log_entry, augments=attestation, log="ab" * 32, fetched_at=CREATED_AT),
        ),
        searches=(Search(index, "sha256-….sig", "absent"), Search(child, "index", "found")),
    )
    return sample_head(
        images=(image,), blobs=tuple(sorted(blobs, key=lambda blob: blob_rank(blob.media_type)))
    ), contents


def sample_head(*, images: Sequence[Image] = (), blobs: Sequence[Blob] = ()) -> Inventory:
    """An inventory with everything but the images and blobs chosen."""
    return Inventory(
        stream="main",
        sequence=1,
        previous=None,
        audience=("harbour", "north-site"),
        created_at=CREATED_AT,
        tool="sealift test",
        images=tuple(images),
        blobs=tuple(blobs),
    )


def layers_only(contents: Sequence[bytes], media_type: str = OCI_LAYER) -> tuple[Inventory, dict[Digest, bytes]]:
    """An inventory without images, for tests that care for bytes only."""
    blobs = tuple(blob_of(content, media_type) for content in contents)
    return sample_head(blobs=blobs), {sha256_of(content): content for content in contents}


def blob_of(content: bytes, media_type: str) -> Blob:
    """A blob, stored as the rules would store it."""
    digest = sha256_of(content)
    if may_compress(media_type, len(content)):
        frame = compress_to(io.BytesIO(content), io.BytesIO(), len(content))
        if pays(len(content), frame.size_bytes):
            return Blob(digest, len(content), media_type, "zstd", frame.size_bytes, frame.digest)
    return Blob(digest, len(content), media_type, "raw", len(content), digest)


def stored(blob: Blob, contents: Mapping[Digest, bytes]) -> io.BytesIO:
    """The stored bytes of a blob, for `write_bundle`."""
    content = contents[blob.digest]
    if blob.stored == "raw":
        return io.BytesIO(content)
    target = io.BytesIO()
    compress_to(io.BytesIO(content), target, len(content))
    target.seek(0)
    return target


def blob_with_frame(content: bytes, frame: bytes, media_type: str = OCI_LAYER) -> Blob:
    """A blob whose stored bytes are `frame`, truthfully hashed, whatever `frame` is."""
    return Blob(sha256_of(content), len(content), media_type, "zstd", len(frame), sha256_of(frame))


def manifest(
    config: Digest,
    contents: Mapping[Digest, bytes],
    layers: Sequence[tuple[str, Digest]],
    config_type: str = OCI_CONFIG,
) -> bytes:
    """An OCI image manifest."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": config_type, "digest": str(config), "size": len(contents[config])},
        "layers": [
            {"mediaType": media_type, "digest": str(digest), "size": len(contents[digest])}
            for media_type, digest in layers
        ],
    }
    return json.dumps(document).encode()


def index_of(contents: Mapping[Digest, bytes], children: Sequence[Digest], absent: Digest) -> bytes:
    """An OCI index over `children` for amd64, and one child for arm64 that is not at hand."""
    entries = [(digest, len(contents[digest]), "amd64") for digest in children] + [(absent, 29, "arm64")]
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {
                "mediaType": OCI_MANIFEST,
                "digest": str(digest),
                "size": size_bytes,
                "platform": {"os": "linux", "architecture": architecture},
            }
            for digest, size_bytes, architecture in entries
        ],
    }
    return json.dumps(document).encode()


def walk_members(raw: bytes) -> Iterator[tuple[str, int]]:
    """Names and header offsets of a well-formed bundle; a test's own little tar reader."""
    offset = 0
    while raw[offset : offset + 512] != bytes(512):
        size_bytes = int(raw[offset + 124 : offset + 135], 8)
        yield raw[offset : offset + 100].rstrip(b"\0").decode(), offset
        offset += 512 + size_bytes + -size_bytes % 512


Judge = Callable[[bytes], str]


def judge_by_reader(built: BuiltBundle) -> Judge:
    """What the reader alone says of changed bytes: the code of the first fault, or `OK`.

    The trust metadata is taken as verified: the inventory must still have the length and digest of `built`, and the
    trust files must be the same bytes (a stand-in for TUF, which is not in play here). Where the head is the same as in
    `built`, one reader that has read it goes on from there; that is much faster, and the same.
    """
    stream = io.BytesIO(built.raw)
    archive = open_archive(stream)
    archive.read_inventory(built.inventory_size_bytes, built.inventory_digest)
    head = built.raw[: stream.tell()]

    def judge(raw: bytes) -> str:
        if not raw.startswith(head):
            return judge_from_start(raw)
        stream.seek(0)
        stream.write(raw)
        stream.truncate()
        stream.seek(len(head))
        return verdict_of(archive.read_members())

    def judge_from_start(raw: bytes) -> str:
        try:
            with open_archive(io.BytesIO(raw)) as changed:
                if dict(changed.trust_files) != dict(archive.trust_files):
                    return "trust"
                changed.read_inventory(built.inventory_size_bytes, built.inventory_digest)
                return verdict_of(changed.read_members())
        except SealiftError as error:
            return error.code

    return judge


def verdict_of(integrity: Integrity) -> str:
    """The code of the first fault, or `OK`."""
    return integrity.damages[0].code if integrity.damages else "OK"


def flip_bit(raw: bytes, position: int) -> bytes:
    """`raw` with the bit `position` (8 to a byte, lowest first) inverted."""
    changed = bytearray(raw)
    changed[position // 8] ^= 1 << position % 8
    return bytes(changed)


def seeded_flips(raw: bytes, count: int, seed: int) -> Iterator[tuple[int, bytes]]:
    """`count` single-bit flips at positions chosen by `seed`: (position, changed bytes)."""
    positions = Random(seed).choices(range(len(raw) * 8), k=count)
    for position in positions:
        yield position, flip_bit(raw, position)


def refuse_flips(judge: Judge, flips: Iterator[tuple[int, bytes]]) -> dict[str, int]:
    """Count the codes with which flips are refused.

    Raises:
        AssertionError: a flip was accepted.
    """
    counts: dict[str, int] = {}
    for position, changed in flips:
        code = judge(changed)
        assert code != "OK", f"bit {position} flipped, and nobody noticed"
        counts[code] = counts.get(code, 0) + 1
    return counts
