"""OCI layouts as builders write them: images, platforms, BuildKit attestations, cosign-saved and Docker-typed ones.

Everything is a function of its arguments (layers come from seeds), so two runs write the same bytes.

    layout = Layout()
    amd64 = layout.image("linux/amd64", [layer(b"hello", seed=1)])
    arm64 = layout.image("linux/arm64", [layer(b"hello", seed=2)])
    top = layout.index([amd64, arm64, layout.attestation(amd64, [sbom_statement(amd64)])])
    layout.name(top, "registry.example.org/app:1")
    layout.write(folder)                     # or layout.write_archive(file)
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from bundler.digest import Digest, sha256_of
from bundler.oci import annotations as words
from bundler.oci.descriptor import Descriptor, Platform, parse_platform
from bundler.oci.manifest import DOCKER_LIST, DOCKER_MANIFEST, EMPTY_CONFIG, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST

OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
IN_TOTO = "application/vnd.in-toto+json"
SPDX = "https://spdx.dev/Document"
SLSA = "https://slsa.dev/provenance/v1"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
DSSE = "application/vnd.dsse.envelope.v1+json"
_ATTESTATION_ARTIFACT = "application/vnd.docker.attestation.manifest.v1+json"
_PIECE_BYTES = 1 << 20


class Content(Protocol):
    """A blob's content, which need not fit in memory."""

    def pieces(self) -> Iterator[bytes]:
        """The content, piece by piece; the same each time."""


@dataclass(frozen=True)
class Held:
    """Content in memory."""

    raw: bytes

    def pieces(self) -> Iterator[bytes]:
        yield self.raw


@dataclass(frozen=True)
class Seeded:
    """Pseudo-random content of any size, made while it is read."""

    size_bytes: int
    seed: int

    def pieces(self) -> Iterator[bytes]:
        block = random.Random(self.seed).randbytes(_PIECE_BYTES)
        for number in range(0, self.size_bytes, _PIECE_BYTES):
            piece = number.to_bytes(8, "big") + block[8:]
            yield piece[: self.size_bytes - number]


@dataclass(frozen=True)
class Layer:
    """A layer: its content, and how it is packed (`` plain tar, `gzip`)."""

    content: Content
    packed: str = ""


def layer(payload: bytes = b"", *, seed: int = 0, size_bytes: int = 0, packed: str = "") -> Layer:
    """A real tar with one file: `payload`, then `size_bytes` of bytes that do not compress.

    Args:
        payload: repeat a byte to get a layer that compresses.
        packed: `gzip` for a gzip layer, empty for a plain tar.
    """
    body = payload + random.Random(seed).randbytes(size_bytes)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo(f"file-{seed}")
        member.size = len(body)
        archive.addfile(member, io.BytesIO(body))
    raw = buffer.getvalue()
    return Layer(Held(gzip.compress(raw, mtime=0) if packed == "gzip" else raw), packed)


def big_layer(size_bytes: int, seed: int) -> Layer:
    """A layer of any size that does not compress and is never held in memory (its content is not a real tar)."""
    return Layer(Seeded(size_bytes, seed), "gzip")


def statement(subject: Digest, predicate_type: str, predicate: Mapping[str, Any] | str, *, name: str = "_") -> bytes:
    """An in-toto Statement v1, unsigned."""
    return to_json(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": name, "digest": {subject.algorithm: subject.hex}}],
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )


def sbom_statement(subject: Descriptor, package: str = "demo") -> bytes:
    """A small SPDX SBOM about `subject`."""
    predicate = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "sbom",
        "documentNamespace": f"https://example.org/sbom/{subject.digest.hex}",
        "creationInfo": {"creators": ["Tool: simulator"], "created": "2026-01-01T00:00:00Z"},
        "packages": [{"name": package, "SPDXID": f"SPDXRef-{package}", "downloadLocation": "NOASSERTION"}],
    }
    return statement(subject.digest, SPDX, predicate)


def provenance_statement(subject: Descriptor, builder: str = "https://example.org/builder") -> bytes:
    """A small SLSA provenance about `subject`."""
    predicate = {
        "buildDefinition": {"buildType": "https://example.org/build", "externalParameters": {}},
        "runDetails": {"builder": {"id": builder}},
    }
    return statement(subject.digest, SLSA, predicate)


def to_json(value: object) -> bytes:
    """JSON bytes, the same for the same value."""
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass
class Layout:
    """A layout being built. Methods give descriptors back; `name` puts them into index.json."""

    blobs: dict[Digest, Content] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)

    def blob(self, content: bytes | Content, media_type: str) -> Descriptor:
        """Add a blob."""
        held = Held(content) if isinstance(content, bytes) else content
        state, size_bytes = hashlib.sha256(), 0
        for piece in held.pieces():
            state.update(piece)
            size_bytes += len(piece)
        digest = Digest("sha256", state.hexdigest())
        self.blobs[digest] = held
        return Descriptor(media_type, digest, size_bytes)

    def image(self, platform: str, layers: Sequence[Layer], *, docker: bool = False) -> Descriptor:
        """Add an image manifest; its descriptor carries the platform."""
        target = parse_platform(platform)
        base = DOCKER_LAYER if docker else OCI_LAYER
        joint = "." if docker else "+"
        stored = [self.blob(item.content, base + (joint + item.packed if item.packed else "")) for item in layers]
        config = {
            "architecture": target.architecture,
            "os": target.os,
            **({"variant": target.variant} if target.variant else {}),
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [_diff_id(item) for item in layers]},
        }
        config_descriptor = self.blob(to_json(config), DOCKER_CONFIG if docker else OCI_CONFIG)
        media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
        return replace(self.manifest(config_descriptor, stored, media_type=media_type), platform=target)

    def manifest(
        self,
        config: Descriptor,
        layers: Sequence[Descriptor],
        *,
        media_type: str = OCI_MANIFEST,
        artifact_type: str | None = None,
        subject: Descriptor | None = None,
    ) -> Descriptor:
        """Add a manifest made of parts that are there already."""
        document: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_type}
        if artifact_type:
            document["artifactType"] = artifact_type
        document |= {"config": as_json(config), "layers": [as_json(item) for item in layers]}
        if subject:
            document["subject"] = as_json(replace(subject, platform=None, annotations={}))
        return self.blob(to_json(document), media_type)

    def index(self, children: Sequence[Descriptor], *, docker: bool = False) -> Descriptor:
        """Add an index over `children`."""
        media_type = DOCKER_LIST if docker else OCI_INDEX
        return self.blob(
            to_json({"schemaVersion": 2, "mediaType": media_type, "manifests": [as_json(item) for item in children]}),
            media_type,
        )

    def attestation(self, subject: Descriptor, statements: Sequence[bytes], *, artifact: bool = False) -> Descriptor:
        """Add a BuildKit attestation manifest about a child; `artifact` writes the newer, OCI artifact form."""
        layers = [
            replace(
                self.blob(raw, IN_TOTO), annotations={"in-toto.io/predicate-type": json.loads(raw)["predicateType"]}
            )
            for raw in statements
        ]
        if artifact:
            config = self.blob(b"{}", EMPTY_CONFIG)
            made = self.manifest(config, layers, artifact_type=_ATTESTATION_ARTIFACT, subject=subject)
        else:
            made = self.manifest(self._unknown_config(layers), layers)
        tie = {words.REFERENCE_TYPE: words.ATTESTATION_MANIFEST, words.REFERENCE_DIGEST: str(subject.digest)}
        return replace(made, platform=Platform("unknown", "unknown"), annotations=tie)

    def cosign(self, layers: Sequence[tuple[bytes, str, Mapping[str, str]]]) -> Descriptor:
        """Add a cosign `.sig`, `.att` or `.sbom` manifest: content, media type and annotations of each layer."""
        stored = [replace(self.blob(raw, kind), annotations=dict(tied)) for raw, kind, tied in layers]
        config = {
            "architecture": "",
            "created": "0001-01-01T00:00:00Z",
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": [str(item.digest) for item in stored]},
            "config": {},
        }
        return self.manifest(self.blob(to_json(config), OCI_CONFIG), stored)

    def name(self, descriptor: Descriptor, name: str | None = None, **more: str) -> Descriptor:
        """Put an entry into index.json: `name` as `ref.name`; `kind=…` as cosign save marks it; others as given."""
        notes = {**({words.REF_NAME: name} if name else {}), **more}
        self.entries.append(as_json(replace(descriptor, platform=None, annotations=notes)))
        return descriptor

    def tag_evidence(self, evidence: Descriptor, subject: Descriptor, suffix: str, repository: str) -> Descriptor:
        """Put evidence into index.json under cosign's tag for `subject`."""
        return self.name(evidence, f"{repository}:{words.format_evidence_tag(subject.digest, suffix)}")

    def save_as_cosign(
        self, top: Descriptor, *, signatures: Descriptor | None = None, attestations: Descriptor | None = None
    ) -> None:
        """Make index.json what `cosign save` writes: no names, `kind` annotations."""
        index = top.media_type in (OCI_INDEX, DOCKER_LIST)
        self.name(top, **{words.KIND: words.COSIGN_INDEX if index else words.COSIGN_IMAGE})
        if signatures:
            self.name(signatures, **{words.KIND: words.COSIGN_SIGNATURES})
        if attestations:
            self.name(attestations, **{words.KIND: words.COSIGN_ATTESTATIONS})

    def read(self, digest: Digest) -> bytes:
        """A blob's bytes."""
        return b"".join(self.blobs[digest].pieces())

    def write(self, folder: Path) -> Path:
        """Write the layout into a folder."""
        for digest, content in self.blobs.items():
            path = folder / "blobs" / digest.algorithm / digest.hex
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as target:
                target.writelines(content.pieces())
        folder.mkdir(parents=True, exist_ok=True)
        for name, raw in self._heads():
            (folder / name).write_bytes(raw)
        return folder

    def write_archive(self, path: Path) -> Path:
        """Write the layout as an oci-archive (blobs in memory)."""
        members = [*self._heads(), *((f"blobs/sha256/{item.hex}", self.read(item)) for item in self.blobs)]
        with tarfile.open(path, "w") as archive:
            for name, raw in members:
                member = tarfile.TarInfo(name)
                member.size = len(raw)
                archive.addfile(member, io.BytesIO(raw))
        return path

    def _heads(self) -> list[tuple[str, bytes]]:
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": self.entries}
        return [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", to_json(index))]

    def _unknown_config(self, layers: Sequence[Descriptor]) -> Descriptor:
        config = {
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [str(item.digest) for item in layers]},
        }
        return self.blob(to_json(config), OCI_CONFIG)


def two_platforms(
    name: str | None = "registry.example.org/app:1", *, seed: int = 0, attested: bool = True, artifact: bool = False
) -> tuple[Layout, Descriptor, tuple[Descriptor, Descriptor]]:
    """A layout with one index over linux/amd64 and linux/arm64, each with SBOM and provenance as BuildKit adds them.

    Returns:
        the layout, the index, and the two platform manifests.
    """
    layout = Layout()
    amd64 = layout.image("linux/amd64", [layer(b"amd64", seed=seed + 1, size_bytes=400)])
    arm64 = layout.image("linux/arm64", [layer(b"arm64", seed=seed + 2, size_bytes=400, packed="gzip")])
    children = [amd64, arm64]
    if attested:
        children += [
            layout.attestation(item, [sbom_statement(item), provenance_statement(item)], artifact=artifact)
            for item in (amd64, arm64)
        ]
    top = layout.index(children)
    if name:
        layout.name(top, name)
    return layout, top, (amd64, arm64)


def as_json(descriptor: Descriptor) -> dict[str, Any]:
    """A descriptor as JSON."""
    value: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size_bytes,
    }
    if descriptor.artifact_type:
        value["artifactType"] = descriptor.artifact_type
    if descriptor.annotations:
        value["annotations"] = dict(descriptor.annotations)
    if descriptor.urls:
        value["urls"] = list(descriptor.urls)
    if descriptor.platform:
        platform = descriptor.platform
        value["platform"] = {"architecture": platform.architecture, "os": platform.os}
        if platform.variant:
            value["platform"]["variant"] = platform.variant
    return value


def _diff_id(item: Layer) -> str:
    if isinstance(item.content, Held):
        raw = item.content.raw
        return str(sha256_of(gzip.decompress(raw) if item.packed == "gzip" else raw))
    return str(Digest("sha256", "0" * 64))
