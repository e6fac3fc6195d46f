"""Whether the one who signed is the one whom somebody demanded.

Rules: identity and issuer are compared as a whole, exactly or by a pattern that matches all of it. A key needs no
comparison: the signature was verified with the very key that was named.
"""

from __future__ import annotations

from bundler.errors import RejectedError
from bundler.identity.keys import KeyIdentity
from bundler.verify.policy import KeylessSigner, Signer
from bundler.verify.signed import Signer as VerifiedSigner


def check_signer(who: VerifiedSigner, signer: Signer) -> None:
    """Compare who signed with whom the policy names.

    Raises:
        RejectedError: ``key-material``, ``issuer-mismatch``, ``identity-mismatch`` or
            ``extension-mismatch``.
    """
    if not isinstance(signer, KeylessSigner):
        return
    if isinstance(who, KeyIdentity):
        raise RejectedError("key-material", "signature", got="made with a key", want=f"a certificate of {signer}")
    if not signer.issuer.holds(who.issuer):
        raise RejectedError("issuer-mismatch", "signer", who.san, got=f"issuer {who.issuer}", want=str(signer.issuer))
    if not signer.identity.holds(who.san):
        raise RejectedError("identity-mismatch", "signer", who.san, got="another identity", want=str(signer.identity))
    signer.check_extensions(who.extensions)
