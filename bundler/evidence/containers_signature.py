r"""Signature files of containers/image (`signature-N` in `dir:` images; its `internal/signature`).

`\0sigstore-json\n`, then JSON: media type, payload in base64, annotations. It is what a layer of a `.sig` manifest
says, in one file; Sealift carries it as one blob, bytes untouched.

Rules of this module: that format only. Files of simple signing proper (OpenPGP, no mark before them) and of formats to
come are refused by name (code ``evidence-type``): they are carried and not checked.
"""

from __future__ import annotations

import json

from bundler import limits
from bundler.digest import sha256_of
from bundler.encoding import decode_base64, encode_base64
from bundler.errors import MalformedError
from bundler.evidence.cosign import CosignItem
from bundler.evidence.kind import CONTAINERS_SIGNATURE
from bundler.fields import Fields
from bundler.strict_json import parse_foreign

MEDIA_TYPE = "application/vnd.sealift.containers-signature"
MARK = b"\0sigstore-json\n"

_WHAT = "signature file"


def parse_containers_signature(raw: bytes) -> CosignItem:
    """Read a signature file, as an item of its own.

    Raises:
        MalformedError: another format (code ``evidence-type``), or another shape.
    """
    if not raw.startswith(MARK):
        raise MalformedError("evidence-type", _WHAT, got="another format", want="a sigstore-json file")
    fields = Fields(parse_foreign(raw[len(MARK) :], _WHAT, max_bytes=limits.EVIDENCE_BLOB_BYTES), _WHAT)
    fields.only("mimeType", "payload", "annotations")
    payload = decode_base64(fields.text("payload"), _WHAT, "payload")
    annotations = fields.text_map("annotations")
    return CosignItem(CONTAINERS_SIGNATURE, sha256_of(raw), 0, fields.text("mimeType"), payload, annotations)


def format_containers_signature(item: CosignItem) -> bytes:
    """The file that containers/image writes for this item."""
    value = {
        "mimeType": item.media_type,
        "payload": encode_base64(item.raw),
        "annotations": dict(sorted(item.annotations.items())),
    }
    return MARK + json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
