"""Keys that never leave a token: PKCS#11, named by a URI (RFC 7512). Needs the extra `pkcs11`.

    pkcs11:token=alice;object=root?module-path=/usr/lib/softhsm/libsofthsm2.so

Rules of this module:
- Path attributes `token`, `serial`, `object`, `id` (percent-encoded bytes) and `type=private`, each at most once; they
  must leave exactly one key. `module-path` names the driver, else the caller's choice does.
- A PIN never stands in a URI: `pin-value` and `pin-source` are refused. It is asked for by the token's label.
- ECDSA on P-256 and P-384. The token signs the hash; of the two values of s the lower one is taken (keys.py). Each
  signature is checked with the public key before it leaves this module: a token can be wrong.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pkcs11
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11.exceptions import (
    MultipleTokensReturned,
    NoSuchToken,
    PinIncorrect,
    PinLenRange,
    PinLocked,
    PKCS11Error,
)
from pkcs11.util.ec import encode_ec_public_key

from bundler.digest import Digest
from bundler.errors import EnvError, MalformedError, UsageError
from bundler.value import dataclass
from trust_root.keys import (
    InvalidKeySignatureError,
    ecdsa_digest,
    format_ecdsa,
    key_material,
    tuf_key,
    verify_key_signature,
)
from trust_root.tuf_library import Key

Pin = Callable[[str], bytes]
"""Gives the PIN of the token with this label."""

_ATTRIBUTES = ("token", "serial", "object", "id", "type")
_PLAIN = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=/&]|%[0-9A-Fa-f]{2})*", re.ASCII)
_SAFE = "-._~:[]@!$'()*+,"


@dataclass(frozen=True, slots=True)
class TokenAddress:
    """What a `pkcs11:` URI says. At least a token or a serial number, and an object or an id."""

    token: str | None
    serial: str | None
    label: str | None
    key_id: bytes | None
    module_path: str | None


def parse_address(uri: str) -> TokenAddress:
    """Parse a `pkcs11:` URI, the inverse of `format_address`, in whatever order its attributes stand.

    Raises:
        MalformedError: not such a URI, an attribute that we do not know or that stands twice, or a PIN in it (code
            ``pkcs11-uri``).
    """
    scheme, _, rest = uri.partition(":")
    path, _, query = rest.partition("?")
    if scheme != "pkcs11":
        raise _bad_uri("another scheme", "pkcs11:…")
    found = _attributes(path, ";")
    asked = _attributes(query, "&")
    if {"pin-value", "pin-source"} & set(asked):
        raise _bad_uri("a PIN", "none: it is asked for, or stands in SEALIFT_PKCS11_PIN")
    unknown = [*(set(found) - set(_ATTRIBUTES)), *(set(asked) - {"module-path"})]
    if unknown or found.get("type", b"private") != b"private":
        raise _bad_uri(f"attribute {min(unknown) if unknown else 'type'}"[:60], "token, serial, object, id")
    if not ({"token", "serial"} & set(found)) or not ({"object", "id"} & set(found)):
        raise _bad_uri("no token or no key", "token=… or serial=…, and object=… or id=…")
    return TokenAddress(
        _text(found.get("token")),
        _text(found.get("serial")),
        _text(found.get("object")),
        found.get("id"),
        _text(asked.get("module-path")),
    )


def format_address(address: TokenAddress) -> str:
    """The URI, the inverse of `parse_address`."""
    named = {"token": address.token, "serial": address.serial, "object": address.label}
    parts = [f"{name}={_quote(text.encode())}" for name, text in named.items() if text is not None]
    if address.key_id is not None:
        parts.append("id=" + "".join(f"%{byte:02X}" for byte in address.key_id))
    query = "" if address.module_path is None else f"?module-path={_quote(address.module_path.encode(), '/')}"
    return f"pkcs11:{';'.join(parts)}{query}"


class TokenKey:
    """A signer whose private key is on a token; it logs in for each signature and out again."""

    def __init__(self, address: TokenAddress, module_path: str, pin: Pin) -> None:
        self._address, self._module_path, self._pin = address, module_path, pin
        with self._session() as session:
            self._public = _read_public(session, address)
        self._secret: bytes | None = None

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
            UsageError: the PIN (``pin``), or no such key (``token-key``). EnvError: the token (``token``).
        """
        if self._secret is None:
            self._secret = self._pin(self._address.token or f"serial {self._address.serial}")
        with self._session(self._secret) as session:
            private = _find(session, self._address, pkcs11.ObjectClass.PRIVATE_KEY)
            if not isinstance(private, pkcs11.SignMixin):
                raise UsageError(
                    "token-key", "key", f"on {self._which()}", got="one that may not sign", want="one that may"
                )
            raw = bytes(private.sign(ecdsa_digest(self._public, payload), mechanism=pkcs11.Mechanism.ECDSA))
        half = len(raw) // 2
        signature = format_ecdsa(self._public, int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
        try:
            verify_key_signature(self._public, signature, payload)
        except InvalidKeySignatureError as error:
            raise EnvError("token", "token", self._which(), got="a signature that does not verify") from error
        return signature

    def _which(self) -> str:
        return self._address.token or self._address.serial or ""

    @contextlib.contextmanager
    def _session(self, secret: bytes | None = None) -> Iterator[pkcs11.Session]:
        with _token_errors(self._which()):
            library = pkcs11.lib(self._module_path)
            wanted = {"token_label": self._address.token, "token_serial": _encoded(self._address.serial)}
            token = library.get_token(**{name: value for name, value in wanted.items() if value is not None})
            with token.open(user_pin=_pin_text(secret, self._which())) as session:
                yield session


def open_token_key(uri: str, pin: Pin, module_path: str | None) -> TokenKey:
    """Find a key on a token and read its public half; nobody is asked for a PIN before something is signed.

    Args:
        uri: `pkcs11:…`.
        pin: gives the PIN.
        module_path: the driver, where the URI names none.

    Raises:
        UsageError: the URI (``pkcs11-uri``), no driver named (``pkcs11-module``), not exactly one such token
            and key, or a key of another kind (``token-key``). EnvError: the driver or the token (``token``).
    """
    try:
        address = parse_address(uri)
    except MalformedError as error:
        raise UsageError("pkcs11-uri", "key", uri.partition("?")[0], got=error.got, want=error.want) from error
    chosen = address.module_path or module_path
    if not chosen:
        raise UsageError(
            "pkcs11-module",
            "key",
            uri,
            got="no driver named",
            want="…?module-path=FILE, or SEALIFT_PKCS11_MODULE",
            hints=["the token's maker names it, e.g. /usr/lib/softhsm/libsofthsm2.so"],
        )
    return TokenKey(address, chosen, pin)


def _read_public(session: pkcs11.Session, address: TokenAddress) -> Key:
    found = _find(session, address, pkcs11.ObjectClass.PUBLIC_KEY)
    try:
        public = load_der_public_key(encode_ec_public_key(found)) if isinstance(found, pkcs11.PublicKey) else None
        if isinstance(public, ec.EllipticCurvePublicKey):
            return tuf_key(public)
    except (ValueError, UnsupportedAlgorithm, MalformedError) as error:
        raise UsageError("token-key", "key", address.label or "", got="another kind", want="P-256 or P-384") from error
    raise UsageError("token-key", "key", address.label or "", got="another kind", want="P-256 or P-384")


def _find(session: pkcs11.Session, address: TokenAddress, kind: pkcs11.ObjectClass) -> pkcs11.Object:
    """The one object that fits. All are listed: a search that is left open outlives its session."""
    wanted: dict[pkcs11.Attribute, Any] = {
        pkcs11.Attribute.CLASS: kind,
        pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.EC,
        pkcs11.Attribute.LABEL: address.label,
        pkcs11.Attribute.ID: address.key_id,
    }
    found = list(session.get_objects({name: value for name, value in wanted.items() if value is not None}))
    if len(found) != 1:
        raise UsageError(
            "token-key",
            "key",
            format_address(address).partition("?")[0],
            got=f"{len(found)} of them",
            want="exactly one EC key, both halves",
        )
    return found[0]


@contextlib.contextmanager
def _token_errors(which: str) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except (PinIncorrect, PinLenRange, PinLocked) as error:
        locked = isinstance(error, PinLocked)
        raise UsageError("pin", "PIN", f"of {which}", got="locked" if locked else "wrong", want="its PIN") from error
    except (NoSuchToken, MultipleTokensReturned) as error:
        got = "several" if isinstance(error, MultipleTokensReturned) else "none"
        raise UsageError("token-key", "token", which, got=got, want="exactly one token") from error
    except (PKCS11Error, OSError) as error:
        got = str(error)[:160] or type(error).__name__
        raise EnvError("token", "token", which, got=got, want="a token that answers") from error


def _attributes(text: str, separator: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(separator) if text else []:
        name, equals, value = part.partition("=")
        if not equals or not value or name in found or not _PLAIN.fullmatch(value):
            raise _bad_uri(f"attribute {name}"[:60], "name=value, each once")
        found[name] = unquote_to_bytes(value)
    return found


def _text(raw: bytes | None) -> str | None:
    try:
        return None if raw is None else raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad_uri("an attribute that is not UTF-8", "UTF-8") from error


def _pin_text(secret: bytes | None, which: str) -> str | None:
    try:
        return None if secret is None else secret.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError("pin", "PIN", f"of {which}", got="not UTF-8", want="its PIN") from error


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _quote(raw: bytes, more: str = "") -> str:
    return quote_from_bytes(raw, safe=_SAFE + more)


def _bad_uri(got: str, want: str) -> MalformedError:
    return MalformedError("pkcs11-uri", "key", "pkcs11:", got=got, want=want)
