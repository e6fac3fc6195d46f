"""The chain of roots from version 1 on: each root signed by a threshold of the one before it and of itself.

Rules of this module (TUF 1.0.31, 5.3):
- Pure. The pinned root is among the roots, byte for byte; all of them are there from 1. Root 1 is signed by itself.
- Expiry is not judged here: only the newest root's counts, and client.py judges it with all else.
- A run meets the same chain several times (bundle, state, state under the lock). What a pair of files proves depends on
  their bytes alone and is found out once; refusals are never kept.
- Reaching the limit of roots is an error, never silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import TrustError
from bundler.value import dataclass
from trust_root.metadata import SignedFile, is_development, parse_root, root_authority, verify_alone, verify_signatures
from trust_root.roles import ROOT
from trust_root.tuf_library import Root

_ROOT_NAME = re.compile(r"metadata/([1-9][0-9]{0,8})\.root\.json", re.ASCII)


@dataclass(frozen=True, slots=True)
class RootChain:
    """Roots 1 to N, each verified by the one before it and by itself."""

    files: tuple[SignedFile[Root], ...]
    signers: tuple[tuple[Digest, ...], ...]

    @property
    def newest(self) -> SignedFile[Root]:
        """Root N."""
        return self.files[-1]

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The files' bytes, version 1 first."""
        return tuple(file.raw for file in self.files)

    @property
    def development(self) -> bool:
        """Whether any root says that it is for development only: the mark cannot be rotated away."""
        return any(is_development(file.signed) for file in self.files)

    def extended(self, later: Sequence[bytes]) -> RootChain:
        """This chain with roots N+1 onward, each verified; raises as `open_root_chain` does."""
        files, signers = list(self.files), list(self.signers)
        for raw in later:
            file, who = _next_root(files[-1], raw)
            files.append(file)
            signers.append(who)
        _check_root_count(len(files))
        return RootChain(tuple(files), tuple(signers))


def open_root_chain(pinned_root: bytes, files: Mapping[str, bytes]) -> RootChain:
    """Verify the roots of a bundle: 1 to the newest, the pin among them.

    Raises:
        TrustError: ``pin-not-in-bundle``, ``root-chain`` (a version missing), ``version-mismatch``, ``threshold``,
            ``metadata-signature``, ``metadata-canonical``, ``metadata-form``, ``limits``.
    """
    pin = parse_root(pinned_root, "the pinned root")
    raws = listed_roots(files)
    version = pin.signed.version
    if version > len(raws) or raws[version - 1] != pinned_root:
        raise TrustError(
            "pin-not-in-bundle",
            "bundle",
            got=f"no root {version} that equals the pin" if version <= len(raws) else f"roots 1 to {len(raws)}",
            want=f"root {version} with {sha256_of(pinned_root)}",
            hints=["this bundle belongs to another trust root than the one pinned here, or it was altered"],
        )
    return verify_chain(raws)


def verify_chain(raws: Sequence[bytes]) -> RootChain:
    """Verify roots from version 1 on; raises as `open_root_chain` does."""
    _check_root_count(len(raws))
    first = _parse_version(raws[0], 1)
    signers = verify_signatures(first, root_authority(first.signed, ROOT))
    return RootChain((first,), (signers,)).extended(raws[1:])


def verify_held(roots: Mapping[int, bytes]) -> RootChain:
    """Verify the roots that a site holds by version: from 1 on, or from the pinned one on before a bundle came.

    Raises:
        TrustError: as `open_root_chain`.
    """
    ordered = [roots[version] for version in sorted(roots)]
    if min(roots) == 1:
        return verify_chain(ordered)
    first = _parse_version(ordered[0], min(roots))
    return RootChain((first,), (verify_alone(first),)).extended(ordered[1:])


def listed_roots(files: Mapping[str, bytes]) -> tuple[bytes, ...]:
    """The roots among a bundle's files, 1 to the newest; raises TrustError (``root-chain``) where one is missing."""
    versions = sorted(int(match[1]) for match in map(_ROOT_NAME.fullmatch, files) if match)
    _check_root_count(len(versions))
    if versions != list(range(1, len(versions) + 1)):
        missing = next(number for number, version in enumerate(versions, 1) if number != version)
        raise TrustError("root-chain", "trust metadata", f"{missing}.root.json", got="absent", want="every root")
    return tuple(files[f"metadata/{version}.root.json"] for version in versions)


def _check_root_count(count: int) -> None:
    if not count:
        raise TrustError("root-chain", "trust metadata", "1.root.json", got="absent", want="every root")
    if count > limits.ROOTS:
        raise TrustError("limits", "trust metadata", "roots", got=str(count), want=f"at most {limits.ROOTS}")


def _next_root(before: SignedFile[Root], raw: bytes) -> tuple[SignedFile[Root], tuple[Digest, ...]]:
    version = before.signed.version + 1
    return _parse_version(raw, version), _signers_of_next(before.raw, raw, version)


@lru_cache(maxsize=limits.ROOTS)
def _signers_of_next(before: bytes, raw: bytes, version: int) -> tuple[Digest, ...]:
    older, newer = _parse_version(before, version - 1).signed, _parse_version(raw, version)
    return verify_signatures(newer, root_authority(older, ROOT), root_authority(newer.signed, ROOT))


@lru_cache(maxsize=limits.ROOTS)
def _parse_version(raw: bytes, version: int) -> SignedFile[Root]:
    name = f"{version}.root.json"
    file = parse_root(raw, name)
    check_version(name, file.signed.version, version)
    return file


def check_version(name: str, got: int, want: int) -> None:
    """Raise TrustError (``version-mismatch``) unless a file has the version that its name or its describer says."""
    if got != want:
        raise TrustError("version-mismatch", "trust metadata", name, got=f"version {got}", want=str(want))
