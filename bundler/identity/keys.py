"""Public keys and their signatures: ECDSA on P-256, P-384, P-521; Ed25519; RSA from 2048 bits.

Rules of this module:
- A key is its SubjectPublicKeyInfo in DER (RFC 5280 section 4.1.2.7). Two keys are equal when those bytes are; its
  fingerprint is their SHA-256. Only the canonical encoding is read, so one key has one fingerprint.
- `verify` returns nothing or raises. A key has a short list of schemes, first the one that fits its size. cosign 1 and
  2 sign with SHA-256 on every curve, so SHA-256 stands second for P-384 and P-521. A trusted root names one scheme.
- Ed25519ph is taken from keys that sign content only (`for_publishers`: publishers' keys and signing certificates):
  cosign and sigstore-go sign with it what they log. Everything else that Ed25519 keys sign (logs, witnesses,
  certificates, timestamps) is plain.
- Keys that are too weak (RSA below 2048 bits, other curves) or so large that checking them is an attack are refused.
"""

from __future__ import annotations

from enum import Enum
from hashlib import sha256, sha512

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from bundler import limits
from bundler.digest import Content, Digest
from bundler.encoding import ASCII_SPACE, parse_loose_pem
from bundler.errors import MalformedError, RejectedError
from bundler.value import dataclass, field

_Key = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

RSA_BITS_MIN = 2048


class Scheme(Enum):
    """How a message is signed: algorithm and hash."""

    ECDSA_SHA256 = "ECDSA SHA-256"
    ECDSA_SHA384 = "ECDSA SHA-384"
    ECDSA_SHA512 = "ECDSA SHA-512"
    ED25519 = "Ed25519"
    ED25519_PH = "Ed25519 prehashed"
    RSA_PKCS1_SHA256 = "RSA PKCS #1 v1.5 SHA-256"
    RSA_PKCS1_SHA384 = "RSA PKCS #1 v1.5 SHA-384"
    RSA_PKCS1_SHA512 = "RSA PKCS #1 v1.5 SHA-512"
    RSA_PSS_SHA256 = "RSA PSS SHA-256"

    @property
    def family(self) -> str:
        """The kind of key that it takes: `ECDSA`, `Ed25519` or `RSA`."""
        return self.value.partition(" ")[0]


_HASHES: dict[Scheme, hashes.HashAlgorithm] = {
    Scheme.ED25519_PH: hashes.SHA512(),
    Scheme.ECDSA_SHA256: hashes.SHA256(),
    Scheme.ECDSA_SHA384: hashes.SHA384(),
    Scheme.ECDSA_SHA512: hashes.SHA512(),
    Scheme.RSA_PKCS1_SHA256: hashes.SHA256(),
    Scheme.RSA_PKCS1_SHA384: hashes.SHA384(),
    Scheme.RSA_PKCS1_SHA512: hashes.SHA512(),
    Scheme.RSA_PSS_SHA256: hashes.SHA256(),
}
_CURVES: dict[str, tuple[str, tuple[Scheme, ...]]] = {
    "secp256r1": ("ECDSA P-256", (Scheme.ECDSA_SHA256,)),
    "secp384r1": ("ECDSA P-384", (Scheme.ECDSA_SHA384, Scheme.ECDSA_SHA256)),
    "secp521r1": ("ECDSA P-521", (Scheme.ECDSA_SHA512, Scheme.ECDSA_SHA256)),
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that was checked. Equality is that of `spki`.

    Attributes:
        spki: SubjectPublicKeyInfo, DER.
        algorithm: for people, e.g. `ECDSA P-256` or `RSA 4096`.
        schemes: the signatures it accepts, in the order they are tried.
    """

    spki: bytes
    algorithm: str = field(compare=False)
    schemes: tuple[Scheme, ...] = field(compare=False)
    _key: _Key = field(compare=False, repr=False)

    @property
    def fingerprint(self) -> Digest:
        """SHA-256 of `spki`."""
        return Digest("sha256", sha256(self.spki).hexdigest())

    @property
    def ed25519_bytes(self) -> bytes | None:
        """The 32 bytes of an Ed25519 key (RFC 8032); None for other kinds."""
        return self._key.public_bytes_raw() if isinstance(self._key, ed25519.Ed25519PublicKey) else None

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a signature over `message`.

        Raises:
            RejectedError: not by this key over these bytes (code ``signature``).
        """
        if not any(_signed(self._key, scheme, signature, message) for scheme in self.schemes):
            raise RejectedError(
                "signature", "signature", got="not by this key over these bytes", want=f"one by {self.fingerprint}"
            )

    def verify_content(self, signature: bytes, content: Content) -> None:
        """Check a signature over content that may be known by its hashes only.

        Raises:
            RejectedError: code ``signature``; or ``artifact-needed``: this key signs the bytes themselves, or a hash
                of them that is not known.
        """
        if content.raw is not None:
            self.verify(signature, content.raw)
            return
        known = {scheme: content.hash(_HASHES[scheme].name) for scheme in self.schemes if scheme in _HASHES}
        usable = {scheme: value for scheme, value in known.items() if value is not None}
        if any(_signed(self._key, scheme, signature, value, hashed=True) for scheme, value in usable.items()):
            return
        if len(usable) < len(self.schemes):
            raise RejectedError(
                "artifact-needed", "signature", got=f"{self.algorithm}, and only hashes of what was signed",
                want="the file itself",
            )  # fmt: skip
        raise RejectedError(
            "signature", "signature", got="not by this key over these bytes", want=f"one by {self.fingerprint}"
        )

    def restricted_to(self, scheme: Scheme) -> PublicKey:
        """The same key, accepting one scheme only.

        Raises:
            MalformedError: this kind of key does not know that scheme (code ``key``).
        """
        if scheme not in self.schemes:
            raise _malformed("public key", f"{self.algorithm} for {scheme.value}", "a scheme of this key")
        return PublicKey(self.spki, self.algorithm, (scheme,), self._key)

    def for_publishers(self) -> PublicKey:
        """The same key, as those use theirs who sign content: an Ed25519 key may have signed Ed25519ph too."""
        if self.schemes != (Scheme.ED25519,):
            return self
        return PublicKey(self.spki, self.algorithm, (Scheme.ED25519, Scheme.ED25519_PH), self._key)

    def accepting(self, scheme: Scheme) -> PublicKey:
        """The same key for a protocol that names its scheme itself (CMS): that one and no other.

        Raises:
            MalformedError: no scheme of this kind of key (code ``key``).
        """
        if scheme.family != self.schemes[0].family:
            raise _malformed("public key", f"{self.algorithm} for {scheme.value}", "a scheme of this kind of key")
        return PublicKey(self.spki, self.algorithm, (scheme,), self._key)


@dataclass(frozen=True, slots=True)
class KeyIdentity:
    """A signer known by key alone."""

    fingerprint: Digest

    def __str__(self) -> str:
        return f"key {self.fingerprint}"


def parse_public_key(raw: bytes, what: str = "public key") -> PublicKey:
    """Read a key file: one PEM block `PUBLIC KEY`, or DER.

    White space around the block is allowed, and lines of any length: npm's registry publishes its key on one line.

    Raises:
        MalformedError: anything else, or a key that is too weak (code ``key``, ``pem`` or ``base64``).
    """
    if len(raw) > limits.KEY_FILE_BYTES:
        raise _malformed(what, f"{len(raw)} bytes", f"at most {limits.KEY_FILE_BYTES}")
    if not raw.lstrip().startswith(b"-----"):
        return parse_spki(raw, what)
    try:
        text = raw.decode("ascii").strip(ASCII_SPACE)
    except UnicodeDecodeError as error:
        raise _malformed(what, "bytes that are not ASCII", "PEM or DER") from error
    label, der = parse_loose_pem(text, what)
    if label != "PUBLIC KEY":
        raise _malformed(what, f"PEM {label}", "PEM PUBLIC KEY")
    return parse_spki(der, what)


def parse_spki(der: bytes, what: str = "public key") -> PublicKey:
    """Read a SubjectPublicKeyInfo in canonical DER.

    Raises:
        MalformedError: code ``key``.
    """
    key = wrap_public_key(_load(der, what), what)
    if key.spki != der:
        raise _malformed(what, "another encoding of a key", "its canonical DER")
    return key


def parse_pkcs1(der: bytes, what: str = "public key") -> PublicKey:
    """Read an RSAPublicKey (RFC 8017 A.1.1), the old form that some trusted roots hold.

    Raises:
        MalformedError: code ``key``.
    """
    key = _load(der, what)
    if not isinstance(key, rsa.RSAPublicKey) or key.public_bytes(Encoding.DER, PublicFormat.PKCS1) != der:
        raise _malformed(what, "something else", "an RSAPublicKey")
    return wrap_public_key(key, what)


def wrap_public_key(key: object, what: str = "public key") -> PublicKey:
    """Take over a key of `cryptography`, e.g. that of a certificate.

    Raises:
        MalformedError: a kind, curve or size that is not accepted (code ``key``).
    """
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        algorithm, schemes = _CURVES[key.curve.name]
        return PublicKey(_spki(key), algorithm, schemes, key)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return PublicKey(_spki(key), "Ed25519", (Scheme.ED25519,), key)
    if isinstance(key, rsa.RSAPublicKey) and RSA_BITS_MIN <= key.key_size <= limits.RSA_KEY_BITS:
        schemes = (Scheme.RSA_PKCS1_SHA256, Scheme.RSA_PSS_SHA256)
        return PublicKey(_spki(key), f"RSA {key.key_size}", schemes, key)
    raise _malformed(
        what,
        type(key).__name__,
        f"P-256, P-384, P-521, Ed25519 or RSA with {RSA_BITS_MIN} to {limits.RSA_KEY_BITS} bits",
    )


def _signed(key: _Key, scheme: Scheme, signature: bytes, message: bytes, *, hashed: bool = False) -> bool:
    """Whether one scheme holds; `hashed` says that `message` is a hash. Private: what leaves this module raises."""
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            if scheme is Scheme.ED25519_PH:
                _verify_prehashed(key, signature, message if hashed else sha512(message).digest())
            else:
                key.verify(signature, message)
            return True
        algorithm = _HASHES[scheme]
        how = Prehashed(algorithm) if hashed else algorithm
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(how))
        elif scheme is Scheme.RSA_PSS_SHA256:
            key.verify(signature, message, padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO), how)
        else:
            key.verify(signature, message, padding.PKCS1v15(), how)
    except (InvalidSignature, RejectedError):
        return False
    return True


def _verify_prehashed(key: ed25519.Ed25519PublicKey, signature: bytes, prehash: bytes) -> None:
    from bundler.identity.ed25519ph import verify_prehashed  # noqa: PLC0415  few signatures are of this kind

    verify_prehashed(key.public_bytes_raw(), signature, prehash)


def _load(der: bytes, what: str) -> object:
    try:
        return load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _malformed(what, "not a public key", "SubjectPublicKeyInfo") from error


def _spki(key: _Key) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _malformed(what: str, got: str, want: str) -> MalformedError:
    return MalformedError("key", what, got=got, want=want)
