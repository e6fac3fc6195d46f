"""Shortcuts from what a signer made, or what really was signed, to an item, and from an item to its verdict."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

from bundler.digest import Digest, parse_digest, sha256_of
from bundler.errors import SealiftError
from bundler.evidence.cosign import DSSE_ENVELOPE, CosignItem, read_items
from bundler.evidence.kind import COSIGN_ATTESTATION, COSIGN_SIGNATURE
from bundler.identity.keys import PublicKey
from bundler.oci.manifest import ImageManifest, parse_manifest
from bundler.transparency.log_entry import TransparencyLogEntry
from bundler.verify.material import TrustedMaterial
from bundler.verify.signatures import VerifiedSignature, verify_item
from tests.simulators.sigstore import SignedLayer, store

SUBJECT = sha256_of(b"an image manifest")
IDENTITY = "https://example.org/app/.github/workflows/release.yml@refs/tags/v1"
HELD = "held"

_SIGNATURE_FILE = b"\0sigstore-json\n"


def item_of(layer: SignedLayer) -> CosignItem:
    """One layer as an item, by way of a manifest."""
    stored = store([layer])
    kind = COSIGN_ATTESTATION if layer.media_type == DSSE_ENVELOPE else COSIGN_SIGNATURE
    return read_items(stored.manifest, kind, stored.blobs.__getitem__)[0]


def judge(
    layer: SignedLayer,
    material: TrustedMaterial | None,
    *,
    subject: Digest = SUBJECT,
    key: PublicKey | None = None,
    ignore_log: bool = False,
    proofs: tuple[TransparencyLogEntry, ...] = (),
) -> VerifiedSignature:
    """Verify one layer."""
    item = item_of(layer)
    return verify_item(item, subject, material=material, key=key, ignore_log=ignore_log, proofs=proofs)


def code_of(work: Callable[[], object]) -> str:
    """The reason code that `work` ends with; `held` when it does not fail. Any other exception is a bug and passes."""
    try:
        work()
    except SealiftError as error:
        if error.exit_code != 1:
            raise
        return error.code
    return HELD


def read_saved_layout(folder: Path) -> tuple[Digest, tuple[CosignItem, ...]]:
    """Subject and attestations of a layout that `cosign save` wrote."""

    def read(digest: Digest) -> bytes:
        return (folder / "blobs" / digest.algorithm / digest.hex).read_bytes()

    entries = json.loads((folder / "index.json").read_bytes())["manifests"]
    kinds = {entry["annotations"]["kind"].rpartition("/")[2]: entry for entry in entries}
    top = kinds.get("imageIndex") or kinds["image"]
    attestations = kinds["atts"]
    manifest = parse_manifest(read(parse_digest(attestations["digest"])), attestations["mediaType"])
    assert isinstance(manifest, ImageManifest)
    return parse_digest(top["digest"]), read_items(manifest, COSIGN_ATTESTATION, read)


def read_signature_file(path: Path) -> CosignItem:
    """A `signature-N` file of a `dir:` image: a marker, then JSON (containers/image, internal/signature)."""
    raw = path.read_bytes()
    assert raw.startswith(_SIGNATURE_FILE)
    value = json.loads(raw[len(_SIGNATURE_FILE) :])
    payload = base64.b64decode(value["payload"])
    return CosignItem(COSIGN_SIGNATURE, sha256_of(raw), 0, value["mimeType"], payload, value["annotations"])
