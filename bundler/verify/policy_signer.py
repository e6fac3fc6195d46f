"""Whom a policy names: a certificate identity at an issuer, or a publisher's key.

Rules of this module:
- Identity and issuer are always both named (THREATS I10). What else a certificate says of its signer (repository,
  workflow, runner, …) can be demanded on top, by the names that `identity/fulcio.py` gives to Fulcio's extensions; a
  demanded extension that the certificate lacks does not hold.
- A key is the name of a published one, or a PEM in the policy itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bundler.errors import RejectedError
from bundler.fields import Fields
from bundler.identity.fulcio_names import EXTENSION_NAMES
from bundler.value import dataclass
from bundler.verify.policy_text import REGEXP, TextRule, has_text_rule, parse_text_rule, wrong

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_PEM_START = "-----BEGIN PUBLIC KEY-----"
_PREFIX = "certificate_"
_IDENTITY, _ISSUER = "certificate_identity", "certificate_oidc_issuer"
# `source-repository-uri` of the certificate is `certificate_source_repository_uri` of the policy.
_EXTENSIONS = {f"{_PREFIX}{name.replace('-', '_')}": name for name in EXTENSION_NAMES.values()}
_TEXT_KEYS = (_IDENTITY, _ISSUER, *_EXTENSIONS)
SIGNER_KEYS = (
    *_TEXT_KEYS, *(f"{key}{REGEXP}" for key in _TEXT_KEYS), "key", "trusted_root", "insecure_ignore_tlog",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExtensionRule:
    """What one extension of the certificate has to say."""

    name: str
    value: TextRule

    def __str__(self) -> str:
        return f"{self.name} {self.value}"


@dataclass(frozen=True, slots=True)
class KeylessSigner:
    """A certificate identity at an issuer, and what else the certificate has to say."""

    identity: TextRule
    issuer: TextRule
    trusted_root: str | None
    extensions: tuple[ExtensionRule, ...] = ()

    def check_extensions(self, found: Mapping[str, str]) -> None:
        """Check what a verified certificate says, by the names of `identity/fulcio.py`.

        Raises:
            RejectedError: another value, or none (code ``extension-mismatch``).
        """
        for rule in self.extensions:
            value = found.get(rule.name)
            if value is None or not rule.value.holds(value):
                got = "not in the certificate" if value is None else value[:300]
                raise RejectedError("extension-mismatch", "certificate's", rule.name, got=got, want=str(rule.value))

    def __str__(self) -> str:
        more = "".join(f", {rule}" for rule in self.extensions)
        return f"{self.identity} (issuer {self.issuer}{more})"


@dataclass(frozen=True, slots=True)
class KeySigner:
    """A publisher's key: the name of a published target, or a PEM in the policy itself."""

    name: str | None
    pem: bytes | None
    trusted_root: str | None
    ignore_tlog: bool

    def __str__(self) -> str:
        return f"key {self.name}" if self.name else "key in the policy"


Signer = KeylessSigner | KeySigner


def names_signer(fields: Fields) -> bool:
    """Whether any key of a signer is typed."""
    return any(key in fields for key in SIGNER_KEYS)


def parse_signer(fields: Fields) -> Signer:
    """Read one signer; the caller has refused unknown keys.

    Raises:
        UsageError: none, two kinds, or half a one (code ``policy``).
    """
    trusted_root = fields.optional_text("trusted_root")
    if trusted_root is not None and not NAME.fullmatch(trusted_root):
        raise wrong(f"{fields.where}.trusted_root", repr(trusted_root), "the name of a published trusted root")
    names = fields.keys()
    keyless = any(name.startswith(_PREFIX) for name in names)
    if keyless == ("key" in fields):
        raise wrong(fields.where, "no signer, or two kinds", "an identity with its issuer, or a key")
    if not keyless:
        return _parse_key_signer(fields, trusted_root)
    if "insecure_ignore_tlog" in fields:
        raise wrong(f"{fields.where}.insecure_ignore_tlog", "with a certificate", "only with a key")
    extensions = tuple(
        ExtensionRule(name, parse_text_rule(fields, key))
        for key, name in _EXTENSIONS.items()
        if has_text_rule(fields, key)
    )
    identity, issuer = parse_text_rule(fields, _IDENTITY), parse_text_rule(fields, _ISSUER)
    return KeylessSigner(identity, issuer, trusted_root, extensions)


def _parse_key_signer(fields: Fields, trusted_root: str | None) -> KeySigner:
    key = fields.text("key")
    ignore = fields.boolean("insecure_ignore_tlog") if "insecure_ignore_tlog" in fields else False
    if key.strip().startswith(_PEM_START):
        return KeySigner(None, key.strip().encode() + b"\n", trusted_root, ignore)
    if not NAME.fullmatch(key):
        raise wrong(f"{fields.where}.key", repr(key[:80]), "the name of a published key, or a PEM public key")
    return KeySigner(key, None, trusted_root, ignore)
