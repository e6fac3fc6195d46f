"""Who may sign a role, and whether enough of them did (TUF 1.0.31 sections 4.3 and 5.3.4).

Rules of this module:
- A threshold is met by that many distinct keys, not key ids.
- Signatures by others, bad ones, and ones of keys that we cannot read do not count and do not hurt: a repository in the
  middle of a rotation has them (Sigstore's roots carry empty ones for those who did not sign).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bundler.digest import Digest
from bundler.errors import TrustError
from bundler.value import dataclass, field
from trust_root.keys import InvalidKeySignatureError
from trust_root.tuf_client.keys import VerifyingKey


@dataclass(frozen=True, slots=True)
class Authority:
    """A role's keys, as its delegator says.

    Attributes:
        name: how errors name it.
        threshold: how many have to sign.
        keys: those that we can use, by key id.
        unusable: how many more key ids it lists, of unknown kinds or without a key.
    """

    name: str
    threshold: int
    keys: Mapping[str, VerifyingKey] = field(repr=False)
    unusable: int = 0

    @property
    def members(self) -> frozenset[Digest]:
        """Key material of all who may sign."""
        return frozenset(key.material for key in self.keys.values())

    def verify(self, which: str, payload: bytes, signatures: Iterable[tuple[str, str]]) -> frozenset[Digest]:
        """Verify that enough have signed.

        Args:
            which: the metadata, for messages.
            payload: what was signed.
            signatures: (key id, signature in hex).

        Returns:
            key material of those who did.

        Raises:
            TrustError: too few (code ``threshold``).
        """
        signers = frozenset(
            key.material
            for key_id, signature in signatures
            if (key := self.keys.get(key_id)) is not None and _holds(key, signature, payload)
        )
        if len(signers) < self.threshold:
            unread = f", {self.unusable} listed keys cannot be used" if self.unusable else ""
            raise TrustError(
                "threshold",
                "trust metadata",
                which,
                got=f"verified {len(signers)} by {self.name}{unread}",
                want=f"threshold {self.threshold}",
            )
        return signers


def _holds(key: VerifyingKey, signature: str, payload: bytes) -> bool:
    try:
        key.verify(signature, payload)
    except InvalidKeySignatureError:
        return False
    return True
