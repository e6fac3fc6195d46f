"""What a stream's own key signs beside TUF metadata: DSSE envelopes about what its exporter made itself.

Rules of this module:
- Only keys count that signed the metadata of the very bundle that is judged: they were verified from the pin on, under
  the targets' delegation to this stream. No other trust is needed, and none is made: it is the exporter's word.
- The two kinds of signatures cannot stand for each other: TUF's are over JSON objects, DSSE's over bytes that begin
  with `DSSEv1 `.
- Signatures have the one spelling of keys.py; an envelope holds the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

from bundler.digest import Digest
from bundler.errors import RejectedError
from bundler.value import dataclass, field
from trust_root.client import STREAM, TrustedTargets
from trust_root.keys import InvalidKeySignatureError, Signer, key_material, verify_key_signature
from trust_root.metadata import parse_targets, stream_authority
from trust_root.tuf_library import Key


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """The keys that signed a bundle's stream. Made by `stream_keys` only.

    Attributes:
        stream: the stream's name.
    """

    stream: str
    keys: tuple[Key, ...] = field(repr=False)

    def verify(self, signature: bytes, payload: bytes) -> Digest:
        """Verify a signature over `payload`.

        Returns:
            the key material of who signed.

        Raises:
            RejectedError: by none of these keys, or over other bytes (code ``stream-signature``).
        """
        for key in self.keys:
            try:
                verify_key_signature(key, signature.hex(), payload)
            except InvalidKeySignatureError:
                continue
            return key_material(key)
        raise RejectedError(
            "stream-signature", "signature", got="not by the key that signed this bundle, over these bytes",
            want=f"by the exporter's key of stream {self.stream}",
        )  # fmt: skip


def stream_keys(trusted: TrustedTargets) -> StreamKeys:
    """The keys of the stream that signed its metadata in this bundle.

    Args:
        trusted: the bundle's own metadata, verified.

    Raises:
        TrustError: the targets do not delegate to the stream; `open_trust` has refused that before.
    """
    authority = stream_authority(parse_targets(trusted.targets_metadata).signed, trusted.stream)
    signed = frozenset(trusted.roles[STREAM].signers)
    named: Sequence[Key] = [authority.keys[key_id] for key_id in sorted(authority.role.keyids)]
    return StreamKeys(trusted.stream, tuple(key for key in named if key_material(key) in signed))


def sign_payload(signer: Signer, payload: bytes) -> bytes:
    """The exporter's signature over `payload`, for an envelope; `StreamKeys.verify` takes it."""
    return bytes.fromhex(signer.sign(payload))
