"""Private keys on disk: encrypted PKCS#8 PEM, one file a key, in a folder apart from the repository.

    keys/root-1.pem … root-3.pem   the root holders' keys: they sign root and targets
    keys/exporter.pem              the exporter's: it signs snapshot, timestamp and its stream
    keys/alice.pem  alice.pub      a key made by itself on its holder's laptop; the public half is what others get

Rules of this module:
- Files are mode 0600 in a folder of mode 0700, and are never overwritten.
- The folder never lies in the repository, nor the repository in it, whatever links say: the repository is what travels.
- PBES2 with scrypt and AES-256-CBC (RFC 8018, RFC 7914), which `openssl pkey` reads. cryptography's own writer would
  use PBKDF2 with 2048 rounds, too few for a stick that is found on the floor.
- An empty passphrase means an unencrypted file, and is refused unless the keys are for development.
"""

from __future__ import annotations

import base64
import os
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from bundler import limits
from bundler.errors import EnvError, MalformedError, UsageError
from bundler.safe_file import disk_errors, read_bounded, write_atomically
from trust_root.keys import PrivateKey, SigningKey, format_public_key, parse_public_key, signing_key
from trust_root.roles import parse_holder_name
from trust_root.tuf_library import Key

Passphrase = Callable[[str], bytes]
"""Gives the passphrase for a key file of this name; empty for none."""

EXPORTER = "exporter"
_HOLDER_FILE = re.compile(r"root-([1-9][0-9]?)\.pem", re.ASCII)

# 16 MiB and some tenths of a second; `openssl pkey` opens at most 32 MiB by default.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 1 << 14, 8, 5
_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_SCRYPT = bytes.fromhex("06092b06010401da47040b")
_AES256_CBC = bytes.fromhex("060960864801650304012a")


def holder_name(number: int) -> str:
    """Name of a root holder's key, counting from 1."""
    return f"root-{number}"


def check_folders_apart(repository: Path, keys: Path) -> None:
    """Refuse a keys folder inside the repository, or around it, links resolved.

    Raises:
        UsageError: code ``keys-in-repository``.
    """
    with disk_errors("folder", keys):
        inside, outside = keys.resolve(), repository.resolve()
    if inside == outside or outside in inside.parents or inside in outside.parents:
        raise UsageError(
            "keys-in-repository",
            "keys folder",
            str(keys),
            got="inside the repository, or around it",
            want="a folder of its own, best on a medium of its own",
        )


def check_key_apart(repository: Path, key: Path) -> None:
    """Refuse a key file inside the repository, links resolved.

    Raises:
        UsageError: code ``keys-in-repository``.
    """
    with disk_errors("key", key):
        inside = repository.resolve() in key.resolve().parents
    if inside:
        raise UsageError("keys-in-repository", "key", str(key), got="inside the repository", want="a place of its own")


def write_key(folder: Path, name: str, key: SigningKey, passphrase: Passphrase, *, development: bool = False) -> None:
    """Write a private key to `<name>.pem`.

    Raises:
        UsageError: an empty passphrase, unless `development` (``passphrase``). EnvError: the file is there
            (``file-exists``), or the disk.
    """
    path = folder / f"{name}.pem"
    check_absent(path)
    secret = passphrase(name)
    if not secret and not development:
        raise UsageError(
            "passphrase", "key", name, got="an empty passphrase", want="one", hints=["for trials only: --development"]
        )
    write_atomically(path, _format_private_key(key.private, secret), mode=0o600, what="key")


def write_key_pair(
    folder: Path, name: str, key: SigningKey, passphrase: Passphrase, *, development: bool = False
) -> Path:
    """Write `<name>.pem` and `<name>.pub` into a folder of mode 0700 that is made if need be.

    Returns:
        the public half's file.

    Raises:
        UsageError: the name (``holder-name``), or an empty passphrase (``passphrase``).
        EnvError: one of the files is there (``file-exists``), or the disk.
    """
    public = _public_path(folder, name)
    write_key(folder, name, key, passphrase, development=development)
    write_atomically(public, format_public_key(key.public), what="public key")
    return public


def write_public_file(folder: Path, name: str, key: Key) -> Path:
    """Write only `<name>.pub`, for a key that stays on a token; as `write_key_pair`."""
    public = _public_path(folder, name)
    write_atomically(public, format_public_key(key), what="public key")
    return public


def _public_path(folder: Path, name: str) -> Path:
    if "/" in name or name.startswith("."):
        raise UsageError("holder-name", "key", repr(name)[:80], got="not a name", want="a name without /")
    try:
        parse_holder_name(name)
    except MalformedError as error:
        raise UsageError("holder-name", "key", error.which, got=error.got, want=error.want) from error
    with disk_errors("keys folder", folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    public = folder / f"{name}.pub"
    check_absent(public)
    return public


def check_absent(path: Path) -> None:
    """Refuse to overwrite a key.

    Raises:
        EnvError: code ``file-exists``.
    """
    if path.exists() or path.is_symlink():
        raise EnvError("file-exists", "key", str(path), got="there already", want="no file")


def fitting_keys(folder: Path, wanted: Callable[[str], bool], passphrase: Passphrase) -> Iterator[SigningKey]:
    """Load the keys of a folder one after the other: `root-1.pem` and so on, then the others, `exporter.pem` last.

    Args:
        folder: with `<name>.pem` files.
        wanted: whether a key of this id is of use. Where `<name>.pub` says that it is not, nobody is asked for the
            passphrase.
        passphrase: gives passphrases.

    Raises:
        as `load_key_file`, for the next key.
    """
    with disk_errors("keys folder", folder):
        paths = sorted((path for path in folder.iterdir() if path.suffix == ".pem"), key=_place)
    for path in paths:
        hint = path.with_suffix(".pub")
        if hint.exists() and not wanted(load_public_file(hint).keyid):
            continue
        key = load_key_file(path, passphrase)
        if wanted(key.public.keyid):
            yield key


def _place(path: Path) -> tuple[int, int, str]:
    match = _HOLDER_FILE.fullmatch(path.name)
    if match:
        return (0, int(match[1]), "")
    return (2 if path.stem == EXPORTER else 1, 0, path.name)


def load_key(folder: Path, name: str, passphrase: Passphrase) -> SigningKey:
    """Load the private key in `<name>.pem`; raises as `load_key_file`."""
    return load_key_file(folder / f"{name}.pem", passphrase)


def load_key_file(path: Path, passphrase: Passphrase) -> SigningKey:
    """Load a private key; the passphrase is asked for (by the file's stem) only if it is encrypted.

    Raises:
        UsageError: not a key that we know (``key``), or the wrong passphrase (``passphrase``). EnvError: the file.
    """
    raw = read_bounded(path, limits.KEY_FILE_BYTES, "key")
    encrypted = b"BEGIN ENCRYPTED PRIVATE KEY" in raw
    secret = passphrase(path.stem) if encrypted else None
    try:
        private = load_pem_private_key(raw, secret or (b"" if encrypted else None))
        if isinstance(private, PrivateKey):
            return signing_key(private)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        code, want = ("passphrase", "its passphrase") if encrypted else ("key", "a PKCS#8 private key")
        raise UsageError(code, "key", str(path), got="cannot be opened", want=want) from error
    except MalformedError as error:
        raise UsageError("key", "key", str(path), got=error.got, want=error.want) from error
    raise UsageError("key", "key", str(path), got="another kind of key", want="Ed25519, or ECDSA on P-256 or P-384")


def load_public_file(path: Path) -> Key:
    """A public key file (`.pub`).

    Raises:
        UsageError: it cannot be read (``file``), or is no key that we know (``key``).
    """
    try:
        return parse_public_key(read_bounded(path, limits.KEY_FILE_BYTES, "public key"), path.name)
    except EnvError as error:
        raise UsageError("file", "public key", str(path), got=error.got, want="a readable file") from error
    except MalformedError as error:
        raise UsageError("key", "public key", str(path), got=error.got, want=error.want) from error


def _format_private_key(private: PrivateKey, secret: bytes) -> bytes:
    if not secret:
        return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    plain = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, vector = os.urandom(16), os.urandom(16)
    key = Scrypt(salt, 32, _SCRYPT_N, _SCRYPT_R, _SCRYPT_P).derive(secret)
    padder = PKCS7(128).padder()
    padded = padder.update(plain) + padder.finalize()
    encryptor = Cipher(AES256(key), CBC(vector)).encryptor()
    sealed = encryptor.update(padded) + encryptor.finalize()
    costs = b"".join(_integer(number) for number in (_SCRYPT_N, _SCRYPT_R, _SCRYPT_P))
    derivation = _sequence(_SCRYPT, _sequence(_octets(salt), costs))
    scheme = _sequence(_PBES2, _sequence(derivation, _sequence(_AES256_CBC, _octets(vector))))
    body = base64.b64encode(_sequence(scheme, _octets(sealed))).decode("ascii")
    lines = "\n".join(textwrap.wrap(body, 64))
    return f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{lines}\n-----END ENCRYPTED PRIVATE KEY-----\n".encode()


def _der(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _sequence(*parts: bytes) -> bytes:
    return _der(0x30, b"".join(parts))


def _octets(content: bytes) -> bytes:
    return _der(0x04, content)


def _integer(number: int) -> bytes:
    return _der(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))
