"""The derivation statement as it travels: an OCI artifact that refers to the patched image, made by the exporter.

    layer 0      the DSSE envelope around the statement, signed by the exporter's key
    layers 1 …   what the statement names: scan reports, then Copa's VEX documents

Rules of this module:
- Same statement, same key (Ed25519), same documents: same bytes.
- Registries take it as any referrer, so it goes with the image wherever that is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bundler.digest import Digest, sha256_of
from bundler.evidence.cosign import DSSE_ENVELOPE
from bundler.evidence.derivation import ARTIFACT_TYPE, REPORT_TYPE, VEX_TYPE, Derivation, format_derivation
from bundler.evidence.envelope import IN_TOTO, format_envelope, pre_authentication_encoding
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import EMPTY_CONFIG, OCI_MANIFEST
from bundler.strict_json import format_canonical
from bundler.value import dataclass, field
from trust_root.keys import Signer
from trust_root.stream_signature import sign_payload


@dataclass(frozen=True, slots=True)
class MadeReferrer:
    """The artifact's manifest and everything that it names, with all bytes.

    Attributes:
        descriptor: of the manifest.
        nodes: manifest, config and layers, each digest once.
        made: their bytes.
    """

    descriptor: Descriptor
    nodes: tuple[Descriptor, ...]
    made: Mapping[Digest, bytes] = field(repr=False, hash=False)

    @property
    def raw(self) -> bytes:
        """The manifest's bytes."""
        return self.made[self.descriptor.digest]


def make_referrer(
    derivation: Derivation, documents: Mapping[Digest, bytes], subject: Descriptor, signer: Signer
) -> MadeReferrer:
    """Sign a statement, and make the artifact that carries it.

    Args:
        derivation: what is said.
        documents: the bytes of all that it names.
        subject: the patched image.
        signer: the exporter's key.

    Raises:
        MalformedError: the statement holds what no statement may.
    """
    payload = format_derivation(derivation)
    signature = sign_payload(signer, pre_authentication_encoding(IN_TOTO, payload))
    layers = [(format_envelope(IN_TOTO, payload, signature), DSSE_ENVELOPE)]
    vex = {each.vex for each in derivation.platforms}
    reports = [digest for digest in derivation.documents if digest not in vex]
    layers += [(documents[digest], REPORT_TYPE) for digest in reports]
    layers += [(documents[digest], VEX_TYPE) for digest in derivation.documents if digest in vex]
    return bind_layers(layers, subject)


def bind_layers(layers: list[tuple[bytes, str]], subject: Descriptor) -> MadeReferrer:
    """An artifact of these layers that refers to `subject`."""
    blobs = [(b"{}", EMPTY_CONFIG), *layers]
    parts = [Descriptor(media_type, sha256_of(raw), len(raw)) for raw, media_type in blobs]
    raw = format_canonical(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": ARTIFACT_TYPE,
            "config": _fields(parts[0]),
            "layers": [_fields(part) for part in parts[1:]],
            "subject": _fields(subject),
        },
        "referrer",
    )
    manifest = Descriptor(OCI_MANIFEST, sha256_of(raw), len(raw))
    nodes = {part.digest: part for part in (manifest, *parts)}
    made = {manifest.digest: raw} | {part.digest: blob for part, (blob, _) in zip(parts, blobs, strict=True)}
    return MadeReferrer(manifest, tuple(nodes.values()), made)


def _fields(descriptor: Descriptor) -> dict[str, Any]:
    return {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size_bytes,
    }
