"""Whom the trust root vouches for: trusted roots and publishers' keys among the TUF targets.

Rules of this module:
- The targets come from `compare_with_site`: the newest set that the site or the bundle knows (DESIGN section 4, "the
  newest trusted material judges"). A key that is gone from it is revoked; nothing here remembers older ones.
- Target names are looked up, never used as paths (CVE-2026-24137).
- Each target is parsed once, when first asked for; one that cannot be parsed rejects what needs it.
"""

from __future__ import annotations

from collections.abc import Mapping

from bundler.digest import Digest
from bundler.errors import RejectedError
from bundler.identity.keys import PublicKey, parse_public_key
from bundler.transparency.checkpoint import Witness
from bundler.verify.material import TrustedMaterial, parse_trusted_root
from bundler.verify.policy import KeySigner
from bundler.verify.witness_keys import parse_witness

_ROOTS, _ROOT_END = "trusted_root/", ".json"
_KEYS, _KEY_END = "keys/", ".pub"
_WITNESSES, _WITNESS_END = "witnesses/", ".vkey"


class Keyring:
    """Trusted roots and publishers' keys by name."""

    def __init__(self, targets: Mapping[str, bytes]) -> None:
        self._roots = _named(targets, _ROOTS, _ROOT_END)
        self._keys = _named(targets, _KEYS, _KEY_END)
        self._witnesses = _named(targets, _WITNESSES, _WITNESS_END)
        self._parsed_witnesses: tuple[Witness, ...] | None = None
        self._parsed_roots: dict[str, TrustedMaterial] = {}
        self._parsed_keys: dict[bytes, PublicKey] = {}

    @property
    def key_names(self) -> tuple[str, ...]:
        """Names of all published keys."""
        return tuple(sorted(self._keys))

    @property
    def witnesses(self) -> tuple[Witness, ...]:
        """Witnesses of logs whose keys are published; their cosignatures on checkpoints are verified and told."""
        if self._parsed_witnesses is None:
            self._parsed_witnesses = tuple(parse_witness(self._witnesses[name]) for name in sorted(self._witnesses))
        return self._parsed_witnesses

    @property
    def root_names(self) -> tuple[str, ...]:
        """Names of all published trusted roots."""
        return tuple(sorted(self._roots))

    def trusted_root(self, name: str | None) -> TrustedMaterial:
        """The trusted root called `name`; without a name, the only one that there is.

        Raises:
            RejectedError: ``trusted-root-missing``, or ``trusted-root-ambiguous`` when several could be meant.
        """
        if name is None:
            if len(self._roots) > 1:
                raise RejectedError(
                    "trusted-root-ambiguous", "trusted root", got=f"several: {', '.join(self.root_names)}",
                    want="one named by the policy", hints=['add trusted_root = "NAME" to the demand'],
                )  # fmt: skip
            name = next(iter(self._roots), None)
        if name is None or name not in self._roots:
            raise RejectedError(
                "trusted-root-missing", "trusted root", name or "", got="not among the accepted targets",
                want="published by the trust repository", hints=["sealift trust publish REPO --trusted-root NAME=FILE"],
            )  # fmt: skip
        if name not in self._parsed_roots:
            self._parsed_roots[name] = parse_trusted_root(self._roots[name])
        return self._parsed_roots[name]

    def any_trusted_root(self, name: str | None) -> TrustedMaterial | None:
        """Like `trusted_root`, but None where none is published and none was named: keys do not need one."""
        return None if name is None and not self._roots else self.trusted_root(name)

    def publisher_key(self, signer: KeySigner) -> PublicKey:
        """The key that a demand means.

        Raises:
            RejectedError: ``key-unknown``: never published, or revoked since.
            MalformedError: what is published under the name is not a public key.
        """
        raw = signer.pem
        if raw is None:
            raw = self._keys.get(signer.name or "")
        if raw is None:
            raise RejectedError(
                "key-unknown", "publisher's key", signer.name or "", got="not among the newest accepted targets",
                want="published, and not revoked since",
            )  # fmt: skip
        return self._parse_key(raw)

    def published_key(self, name: str) -> PublicKey:
        """The key published under `name`, which is one of `key_names`."""
        return self._parse_key(self._keys[name])

    def holds(self, name: str, fingerprint: Digest) -> bool:
        """Whether the key published under `name`, as far as it was needed, is the one with this fingerprint."""
        known = self._parsed_keys.get(self._keys[name])
        return known is not None and known.fingerprint == fingerprint

    def _parse_key(self, raw: bytes) -> PublicKey:
        if raw not in self._parsed_keys:
            self._parsed_keys[raw] = parse_public_key(raw, "publisher's key")
        return self._parsed_keys[raw]


def _named(targets: Mapping[str, bytes], start: str, end: str) -> dict[str, bytes]:
    return {
        path[len(start) : -len(end)]: raw
        for path, raw in targets.items()
        if path.startswith(start) and path.endswith(end)
    }
