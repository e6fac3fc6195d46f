"""TUF metadata with one meaning: canonical JSON, exactly the fields that we know, every signature valid.

python-tuf's classes hold the result, but nothing reaches them before it was checked here: they accept duplicate keys,
other spellings, unknown fields, signatures by strangers, and count key ids where we count keys.

Rules of this module (FORMAT, "Nothing in trust/ is slack"):
- A file is canonical JSON with exactly `signatures` and `signed`; parse, then format, gives the same bytes. The form of
  what is signed is in metadata_form.py.
- Signatures are sorted by key id, each once; each is by a key of the role and valid; a signature of no use is refused.
- Thresholds count distinct key material, and are at least 1.
- Nothing here reads a clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Generic, TypeVar

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import MalformedError, TrustError
from bundler.fields import Fields
from bundler.strict_json import format_canonical, parse_canonical
from bundler.value import dataclass
from trust_root.keys import InvalidKeySignatureError, key_material, verify_key_signature
from trust_root.metadata_form import (
    KEY_ID,
    check_root,
    check_snapshot,
    check_stream,
    check_targets,
    check_timestamp,
    malformed,
)
from trust_root.roles import DEVELOPMENT_MARK, HOLDER_NAMES
from trust_root.tuf_library import Key, RepositoryError, Role, Root, Snapshot, Targets, Timestamp

_T = TypeVar("_T", Root, Timestamp, Snapshot, Targets)
_SIGNATURE = re.compile(r"(?:[a-f0-9]{2}){8,110}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SignedFile(Generic[_T]):
    """One metadata file that was parsed strictly. Its signatures are not verified by its existence.

    Attributes:
        name: how errors name it, e.g. `3.root.json`.
        raw: the file's bytes.
        payload: the bytes that the signatures are over.
        signed: python-tuf's object.
        signatures: (key id, signature in hex), in the file's order.
    """

    name: str
    raw: bytes
    payload: bytes
    signed: _T
    signatures: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> Digest:
        """SHA-256 of the file."""
        return sha256_of(self.raw)


AnySignedFile = SignedFile[Root] | SignedFile[Timestamp] | SignedFile[Snapshot] | SignedFile[Targets]


@dataclass(frozen=True, slots=True)
class Authority:
    """Who may sign: a role and the keys that its delegator names for it."""

    name: str
    role: Role
    keys: Mapping[str, Key]


@contextmanager
def as_trust_error(name: str) -> Iterator[None]:
    """Turn MalformedError into TrustError (exit 4): trust metadata that has no one meaning is a matter of trust.

    Codes: ``metadata-canonical`` for another spelling, ``metadata-form`` for all else.
    """
    try:
        yield
    except MalformedError as error:
        code = "metadata-canonical" if error.code == "not-canonical" else "metadata-form"
        which = f"{name}: {error.what} {error.which}".rstrip()
        raise TrustError(code, "trust metadata", which, got=error.got, want=error.want) from error


def parse_root(raw: bytes, name: str = "root.json") -> SignedFile[Root]:
    """Parse a root's metadata.

    Raises:
        TrustError: codes ``metadata-canonical``, ``metadata-form``.
    """
    return _parse(raw, name, Root, check_root)


def parse_timestamp(raw: bytes, name: str = "timestamp.json") -> SignedFile[Timestamp]:
    """Parse a timestamp's metadata; raises as `parse_root` does."""
    return _parse(raw, name, Timestamp, check_timestamp)


def parse_snapshot(raw: bytes, name: str = "snapshot.json") -> SignedFile[Snapshot]:
    """Parse a snapshot's metadata; raises as `parse_root` does."""
    return _parse(raw, name, Snapshot, check_snapshot)


def parse_targets(raw: bytes, name: str = "targets.json") -> SignedFile[Targets]:
    """Parse the top-level targets' metadata; raises as `parse_root` does."""
    return _parse(raw, name, Targets, check_targets)


def parse_stream_metadata(raw: bytes, name: str = "stream.json") -> SignedFile[Targets]:
    """Parse a stream's metadata: at most one target, no delegations; raises as `parse_root` does."""
    return _parse(raw, name, Targets, check_stream)


def format_metadata(signed: Mapping[str, Any], signatures: Mapping[str, str]) -> bytes:
    """Bytes of a metadata file, the inverse of the parsers above.

    Args:
        signed: the signed part as JSON values.
        signatures: key id → signature in hex.
    """
    listed = [{"keyid": key_id, "sig": signatures[key_id]} for key_id in sorted(signatures)]
    return format_canonical({"signatures": listed, "signed": dict(signed)}, "trust metadata")


def verify_signatures(file: SignedFile[_T], *authorities: Authority) -> tuple[Digest, ...]:
    """Verify that every signature is valid and that each authority's threshold is met.

    A new root has two authorities: the root before it, and itself (TUF 1.0.31, section 5.3.4).

    Returns:
        the key material of all signers, sorted.

    Raises:
        TrustError: a signature that is invalid or by a stranger (``metadata-signature``), or too few (``threshold``).
    """
    verified = gather_signers(file, *authorities)
    for authority, signers in zip(authorities, verified, strict=True):
        check_threshold(file.name, authority, signers)
    return tuple(sorted(set().union(*verified)))


def gather_signers(file: SignedFile[_T], *authorities: Authority) -> tuple[set[Digest], ...]:
    """The key material of those who have signed, for each authority; they may still be too few.

    Raises:
        TrustError: a signature that is invalid or by a stranger (``metadata-signature``).
    """
    verified: tuple[set[Digest], ...] = tuple(set() for _ in authorities)
    for key_id, signature in file.signatures:
        pairs = zip(authorities, verified, strict=True)
        if sum(_signed(file, key_id, signature, *pair) for pair in pairs) == 0:  # all are asked: no short cut
            raise TrustError(
                "metadata-signature",
                "trust metadata",
                file.name,
                got=f"a signature under key id {key_id[:16]}… that is invalid or not by a key of the role",
                want="only valid signatures by keys of the role",
            )
    return verified


def verify_alone(file: SignedFile[Root]) -> tuple[Digest, ...]:
    """Verify a root by its own keys only, when the root before it is not at hand.

    Signatures by keys that it does not name (those of the root before it) are left aside; the caller knows the file's
    hash from elsewhere.

    Raises:
        TrustError: a signature under one of its own key ids is invalid, or its threshold is not met.
    """
    own = root_authority(file.signed, "root")
    signers: set[Digest] = set()
    for key_id, signature in file.signatures:
        if key_id in own.role.keyids and not _signed(file, key_id, signature, own, signers):
            raise TrustError(
                "metadata-signature", "trust metadata", file.name, got=f"a bad signature by {key_id[:16]}…"
            )
    check_threshold(file.name, own, signers)
    return tuple(sorted(signers))


def signers_left(file: SignedFile[_T], authority: Authority) -> frozenset[Digest]:
    """Key material of those who have signed and whom this authority (a later one, say) still names."""
    signers: set[Digest] = set()
    for key_id, signature in file.signatures:
        _signed(file, key_id, signature, authority, signers)
    return frozenset(signers)


def check_threshold(name: str, authority: Authority, signers: set[Digest]) -> None:
    """Raise TrustError (``threshold``) unless enough distinct keys have signed."""
    if len(signers) < authority.role.threshold:
        raise TrustError(
            "threshold",
            "trust metadata",
            name,
            got=f"verified {len(signers)} by {authority.name}",
            want=f"threshold {authority.role.threshold}",
        )


def root_authority(root: Root, role: str) -> Authority:
    """Who may sign `role`, as a root says."""
    return Authority(f"role {role} of root {root.version}", root.roles[role], root.keys)


def stream_authority(targets: Targets, stream: str) -> Authority:
    """Who may sign for a stream, as the targets say.

    Raises:
        TrustError: they do not delegate to it (``delegation``).
    """
    delegations = targets.delegations
    role = delegations.roles.get(stream) if delegations is not None and delegations.roles is not None else None
    if delegations is None or role is None:
        raise TrustError(
            "delegation", "targets", f"version {targets.version}", got=f"no delegation to {stream}", want="one"
        )
    return Authority(f"role {stream} of targets {targets.version}", role, delegations.keys)


def is_development(root: Root) -> bool:
    """Whether a root says of itself that it is for development only."""
    return DEVELOPMENT_MARK in root.unrecognized_fields


def holder_names(root: Root) -> Mapping[str, str]:
    """Names of those who hold keys, by key id, as the root says; a key need not have one."""
    names: Mapping[str, str] = root.unrecognized_fields.get(HOLDER_NAMES, {})
    return names


def _signed(file: SignedFile[_T], key_id: str, signature: str, authority: Authority, signers: set[Digest]) -> bool:
    if key_id not in authority.role.keyids:
        return False
    key = authority.keys[key_id]
    try:
        verify_key_signature(key, signature, file.payload)
    except InvalidKeySignatureError:
        return False
    signers.add(key_material(key))
    return True


def _parse(raw: bytes, name: str, kind: type[_T], check: Any) -> SignedFile[_T]:
    with as_trust_error(name):
        value = parse_canonical(raw, name, max_bytes=limits.TRUST_METADATA_BYTES)
        fields = Fields(value, name)
        fields.exactly("signatures", "signed")
        signatures = tuple(_signatures(fields))
        signed = fields.fields("signed")
        check(signed)
        payload = format_canonical(value["signed"], name)
        try:
            model = kind.from_dict(deepcopy(value["signed"]))
            same = model.to_dict() == value["signed"]
        except (ValueError, KeyError, TypeError, AttributeError, RepositoryError) as error:
            raise MalformedError("metadata-form", name, got=str(error)[:160], want="TUF metadata") from error
        if not same:
            raise MalformedError("metadata-form", name, got="read differently by python-tuf", want="one meaning")
    return SignedFile(name, raw, payload, model, signatures)


def _signatures(fields: Fields) -> Iterator[tuple[str, str]]:
    before = ""
    for signature in fields.each("signatures", maximum=2 * limits.ROLE_KEYS):
        signature.exactly("keyid", "sig")
        key_id, text = signature.text("keyid"), signature.text("sig")
        if not KEY_ID.fullmatch(key_id) or not _SIGNATURE.fullmatch(text):
            raise malformed(signature, "not lower-case hex of the right length", "hex")
        if key_id <= before:
            raise malformed(signature, "out of order or twice", "each key id once, sorted")
        before = key_id
        yield key_id, text
