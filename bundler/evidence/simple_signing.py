"""The payload of a cosign image signature: "simple signing" (containers/image, docs/atomic-signature.md).

Rules of this module:
- Type and manifest digest are checked. `docker-reference` is a claim, often a mirror's name: shown, never verified.
- Fields of `critical` that we do not know are refused, as the specification demands; so is any other spelling of a key
  that Go would fold to a known one.
"""

from __future__ import annotations

from bundler import limits
from bundler.digest import Digest, parse_digest
from bundler.errors import MalformedError, RejectedError
from bundler.fields import Fields
from bundler.strict_json import parse_foreign
from bundler.value import dataclass, field

COSIGN_TYPE = "cosign container image signature"

_WHAT = "signature payload"


@dataclass(frozen=True, slots=True)
class SimpleSigning:
    """A payload that was read."""

    raw: bytes = field(repr=False)
    manifest: Digest
    claimed_reference: str

    def check_manifest(self, digest: Digest) -> None:
        """Check that the payload is about the manifest with this digest.

        Raises:
            RejectedError: code ``digest-mismatch``.
        """
        if self.manifest != digest:
            raise RejectedError("digest-mismatch", _WHAT, got=f"about {self.manifest}", want=str(digest))


def parse_simple_signing(raw: bytes) -> SimpleSigning:
    """Read a payload.

    Raises:
        MalformedError: another type (code ``payload-type``) or shape.
    """
    fields = Fields(parse_foreign(raw, _WHAT, max_bytes=limits.SIGNATURE_PAYLOAD_BYTES), _WHAT)
    fields.only("critical", "optional")
    critical = fields.fields("critical")
    critical.exactly("identity", "image", "type")
    identity, image = critical.fields("identity"), critical.fields("image")
    identity.exactly("docker-reference")
    image.exactly("docker-manifest-digest")
    if critical.text("type") != COSIGN_TYPE:
        raise MalformedError("payload-type", _WHAT, got=critical.text("type")[:160], want=COSIGN_TYPE)
    if fields.raw("optional") is not None:
        fields.fields("optional")
    return SimpleSigning(raw, parse_digest(image.text("docker-manifest-digest")), identity.text("docker-reference"))
