"""One signature in the shape that all forms share, so that one place judges them all (verify/signed.py).

cosign's items, Sigstore bundles, containers/image files and envelopes in referrers are taken apart into this. Nothing
in it is verified.
"""

from __future__ import annotations

from bundler.digest import Content
from bundler.evidence.envelope import Envelope
from bundler.identity.certificate import Certificate
from bundler.transparency.log_entry import TransparencyLogEntry
from bundler.value import dataclass, field


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature, taken apart.

    Attributes:
        signature: the raw signature.
        content: what it must be over: a payload, an artifact, or an envelope's PAE.
        envelope: for DSSE. Its `raw` is empty when its bytes are not known.
        certificate: the signer's; None when it was made with a key.
        entries: log entries, with promise or proof or both.
        timestamps: RFC 3161 responses, in DER.
        stamped: what these are over.
    """

    signature: bytes
    content: Content = field(repr=False)
    envelope: Envelope | None
    certificate: Certificate | None
    entries: tuple[TransparencyLogEntry, ...]
    timestamps: tuple[bytes, ...] = field(repr=False)
    stamped: bytes = field(repr=False)
