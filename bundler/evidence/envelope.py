"""DSSE envelopes (secure-systems-lab/dsse, protocol.md and envelope.md).

Rules of this module:
- Exactly one signature: with several, whoever checks one of them may show another one's signer.
- What is signed is the pre-authentication encoding (PAE) over bytes, never the payload alone (GHSA-r2xv-vpr2-42m9).
- Base64 is canonical. Unknown fields are ignored (envelope.md), those that Go would fold to a known one are refused;
  `keyid` is read, and means nothing; null is as good as none.
"""

from __future__ import annotations

from bundler import limits
from bundler.encoding import decode_base64, encode_base64
from bundler.errors import MalformedError
from bundler.fields import Fields
from bundler.oci.spelling import check_spelling
from bundler.strict_json import parse_foreign
from bundler.value import dataclass, field

IN_TOTO = "application/vnd.in-toto+json"

_WHAT = "DSSE envelope"
_KEYS = frozenset({"payloadType", "payload", "signatures"})
_SIGNATURE_KEYS = frozenset({"keyid", "sig"})


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope with one signature, not verified yet.

    Attributes:
        raw: the whole document; empty when its bytes are not known (it stands inside a Sigstore bundle).
        keyid: means nothing, and is never shown.
    """

    raw: bytes = field(repr=False)
    payload_type: str
    payload: bytes = field(repr=False)
    signature: bytes
    keyid: str = field(default="", compare=False, repr=False)

    @property
    def signed_bytes(self) -> bytes:
        """The bytes under the signature."""
        return pre_authentication_encoding(self.payload_type, self.payload)


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """`DSSEv1 <length> <type> <length> <payload>`, lengths in bytes (protocol.md "PAE")."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def parse_envelope(raw: bytes) -> Envelope:
    """Read an envelope around an in-toto statement.

    Raises:
        MalformedError: no or several signatures (code ``dsse``), another payload type (``dsse-payload-type``), or
            another shape.
    """
    fields = Fields(parse_foreign(raw, _WHAT, max_bytes=limits.EVIDENCE_BLOB_BYTES), _WHAT)
    return read_envelope(fields, raw)


def read_envelope(fields: Fields, raw: bytes) -> Envelope:
    """Read an envelope that stands inside a larger document.

    Args:
        fields: the envelope.
        raw: its bytes; empty when they are not known, as inside a Sigstore bundle.

    Raises:
        MalformedError: as `parse_envelope`.
    """
    check_spelling(fields, _KEYS)
    signatures = list(fields.each("signatures", maximum=limits.LOG_ENTRIES))
    if len(signatures) != 1:
        raise MalformedError("dsse", _WHAT, got=f"{len(signatures)} signatures", want="exactly one")
    check_spelling(signatures[0], _SIGNATURE_KEYS)
    keyid = signatures[0].text("keyid") if signatures[0].holds("keyid") else ""
    payload_type = fields.text("payloadType")
    if payload_type != IN_TOTO:
        raise MalformedError("dsse-payload-type", _WHAT, got=payload_type[:160], want=IN_TOTO)
    signature = decode_base64(signatures[0].text("sig"), _WHAT, "sig")
    return Envelope(raw, payload_type, decode_base64(fields.text("payload"), _WHAT, "payload"), signature, keyid)


def format_envelope(payload_type: str, payload: bytes, signature: bytes, keyid: str = "") -> bytes:
    """An envelope with one signature, spelled as cosign spells it."""
    return b'{"payloadType":"%s","payload":"%s","signatures":[{"keyid":"%s","sig":"%s"}]}' % tuple(
        text.encode() for text in (payload_type, encode_base64(payload), keyid, encode_base64(signature))
    )
