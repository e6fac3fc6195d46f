"""Keys in cloud services (AWS KMS, Azure Key Vault, Google Cloud KMS), through securesystemslib. Needs the extra `kms`.

    awskms:alias/root#alice.pub     the service's name of the key, then the file with its public half

UNTESTED against any of these services: only that what a service answers is brought into our form and checked.

Rules of this module:
- ECDSA on P-256 and P-384. Of the two values of s the lower one is taken, as everywhere (keys.py).
- Each signature is checked with the public half before it leaves this module; so a wrong service can only fail.
- The public half comes from a file, not from the service: it is what the holders have compared.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from securesystemslib.exceptions import UnsupportedLibraryError

from bundler.digest import Digest
from bundler.errors import EnvError, UsageError
from trust_root.key_files import load_public_file
from trust_root.keys import ED25519, InvalidKeySignatureError, format_ecdsa, key_material, verify_key_signature
from trust_root.tuf_library import Key, Signer, open_service_signer


class ServiceKey:
    """A signer whose private key is in a service."""

    def __init__(self, signer: Signer, public: Key, uri: str) -> None:
        self._signer, self._public, self._uri = signer, public, uri

    @property
    def public(self) -> Key:
        """The public half as TUF knows it."""
        return self._public

    @property
    def material(self) -> Digest:
        """What this signer counts as."""
        return key_material(self._public)

    def sign(self, payload: bytes) -> str:
        """Signature over `payload`, in hex.

        Raises:
            EnvError: the service's answer is no signature by this key (``token``).
        """
        try:
            raw = bytes.fromhex(self._signer.sign(payload).signature)
            signature = format_ecdsa(self._public, *decode_dss_signature(raw))
            verify_key_signature(self._public, signature, payload)
        except (ValueError, OSError, InvalidKeySignatureError) as error:
            got = str(error)[:160] or "a signature that does not verify"
            raise EnvError("token", "service", self._uri, got=got, want="a signature by this key") from error
        return signature


def open_service_key(typed: str) -> ServiceKey:
    """A key in a service.

    Args:
        typed: `<scheme>:<name>#<file with the public half>`.

    Raises:
        UsageError: no file is named (``file``), it is no ECDSA key (``key``), the name makes no sense (``key``), or the
            service's library is not installed (``extra-missing``).
    """
    uri, _, file = typed.partition("#")
    if not file:
        raise UsageError("file", "key", typed, got="no public half", want=f"{uri}#FILE.pub")
    public = load_public_file(Path(file))
    if (public.keytype, public.scheme) == ED25519:
        raise UsageError("key", "public key", file, got="Ed25519", want="ECDSA on P-256 or P-384")
    try:
        return ServiceKey(open_service_signer(uri, public), public, uri)
    except UnsupportedLibraryError as error:
        raise UsageError(
            "extra-missing", "key", uri, got=str(error)[:160], want="it", hints=["pip install 'sealift[kms]'"]
        ) from error
    except ValueError as error:
        raise UsageError("key", "key", uri, got=str(error)[:160], want="a key of this service") from error
