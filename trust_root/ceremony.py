"""Ceremonies on one machine: make a trust root, and publish targets under it.

Rules of this module:
- `create` makes keys and version 1 of every role, with an empty stream; both folders appear whole or not at all, and
  nothing is ever overwritten.
- `publish` makes targets version + 1, then snapshot and timestamp. What is published is parsed first: a trusted root as
  strict JSON, a publisher's key as a public key, a policy as TOML.
- Passphrases come from a function that is handed in; the time is an argument.
- A root for development says so in its signed metadata, for good.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, MalformedError, TrustError, UsageError
from bundler.safe_file import disk_errors, sync_folder, temporary_beside, write_atomically
from bundler.strict_json import parse_foreign
from bundler.value import dataclass
from trust_root.authoring import (
    KeyGroup,
    key_group,
    make_root,
    make_stream,
    make_targets,
    sign_metadata,
    sign_online,
)
from trust_root.key_files import (
    EXPORTER,
    Passphrase,
    check_folders_apart,
    fitting_keys,
    holder_name,
    load_key,
    write_key,
)
from trust_root.keys import SigningKey, generate_key
from trust_root.metadata import stream_authority
from trust_root.origins import parse_origin
from trust_root.repository import Repository, open_repository
from trust_root.repository_files import METADATA, PROPOSAL, TARGET_FILES
from trust_root.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, parse_stream, parse_target_path
from trust_root.roster import MAX_HOLDERS

_VERIFIER_KEY = re.compile(rb"[!-*,-~]{1,200}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{8,2000}={0,2}\n?", re.ASCII)
_CONTENTS = {
    "trusted_root": "Sigstore's trusted_root.json",
    "keys": "a PEM public key",
    "policies": "a TOML policy",
    "witnesses": "a verifier key on one line",
    "origins": "an origin, as add-sigstore writes it",
}
_TRUSTED_ROOT = "application/vnd.dev.sigstore.trustedroot"


@dataclass(frozen=True, slots=True)
class Created:
    """What a ceremony made: the root's fingerprint, and the names of the key files."""

    fingerprint: Digest
    holders: tuple[str, ...]
    threshold: int
    stream: str
    development: bool


@dataclass(frozen=True, slots=True)
class Published:
    """What was published: the new versions, and the target paths that now stand."""

    targets_version: int
    snapshot_version: int
    timestamp_version: int
    paths: tuple[str, ...]
    development: bool


def create(
    repository: Path,
    keys: Path,
    stream: str,
    passphrase: Passphrase,
    at: datetime,
    *,
    threshold: int,
    holders: int,
    development: bool = False,
) -> Created:
    """Make a trust repository and its keys.

    Args:
        repository: the folder to make; absent or empty.
        keys: the folder for private keys; absent or empty, and apart from the repository.
        stream: the first stream's name.
        passphrase: gives the passphrase of each key file.
        at: the time of signing, UTC.
        threshold, holders: how many of how many root keys must sign root and targets.
        development: mark the root, and allow empty passphrases.

    Raises:
        UsageError: names, numbers, passphrases, or folders that overlap.
        EnvError: a folder is not empty (``folder-exists``), or the disk.
    """
    _check_numbers(threshold, holders)
    name = checked_stream(stream)
    check_folders_apart(repository, keys)
    for folder in (repository, keys):
        check_empty(folder)
    root_keys = {holder_name(number): generate_key() for number in range(1, holders + 1)}
    exporter = generate_key()
    files = _first_versions(list(root_keys.values()), threshold, exporter, name, at, development=development)
    with staged_folder(repository) as staged, staged_folder(keys) as staged_keys:  # the keys take their place first
        for key_name, key in {**root_keys, EXPORTER: exporter}.items():
            write_key(staged_keys, key_name, key, passphrase, development=development)
        for folder_name in (METADATA, TARGET_FILES):
            (staged / folder_name).mkdir()
        for path, raw in files.items():
            write_atomically(staged / path, raw, what="trust repository")
        staged.chmod(0o755)
        sync_folder(staged)
    fingerprint = sha256_of(files[f"{METADATA}/1.root.json"])
    return Created(fingerprint, tuple(root_keys), threshold, name, development)


def publish(
    repository: Path,
    keys: Path,
    passphrase: Passphrase,
    at: datetime,
    *,
    add: Mapping[str, bytes],
    remove: Sequence[str] = (),
) -> Published:
    """Sign and put in place new targets: those that stand, less `remove`, plus `add` (by target path).

    Raises:
        UsageError: a path or content that makes no sense, a path to remove that is not there, too few keys.
        TrustError: the repository, or what was made of it, does not verify. EnvError: the lock, the disk.
    """
    check_folders_apart(repository, keys)
    with open_repository(repository) as opened:
        check_no_proposal(repository)
        contents = changed_contents(opened.contents, add, remove)
        version = opened.metadata.targets.signed.version + 1
        signers = _load_holders(opened, keys, passphrase)
        targets = make_targets(version, at.replace(microsecond=0), contents, _delegations(opened))
        exporter = _load_exporter(opened, keys, passphrase)
        opened.adopt(opened.chain, sign_metadata(targets, signers), contents, exporter, at)
        roles = opened.metadata.roles
        return Published(
            version, roles[SNAPSHOT].version, roles[TIMESTAMP].version, tuple(sorted(contents)), opened.development
        )


def check_no_proposal(repository: Path) -> None:
    """Refuse to pass over what waits for signatures; raises TrustError (``proposal-pending``)."""
    if (repository / PROPOSAL).exists():
        raise TrustError(
            "proposal-pending",
            "proposal",
            str(repository / PROPOSAL),
            got="waits",
            want="none that waits",
            hints=["sealift trust sign REPO shows what it waits for; --discard drops it"],
        )


def checked_stream(name: str) -> str:
    """A stream's name as typed.

    Raises:
        UsageError: code ``stream``.
    """
    try:
        return parse_stream(name)
    except MalformedError as error:
        raise UsageError("stream", "stream name", repr(name), got="not a name", want=error.want) from error


def check_content(path: str, raw: bytes) -> None:
    """Refuse to publish what is not what its path says.

    Raises:
        UsageError: codes ``target-path``, ``target-content``.
    """
    try:
        parse_target_path(path)
    except MalformedError as error:
        raise UsageError("target-path", "target path", repr(path), got="not a path", want=error.want) from error
    kind = path.partition("/")[0]
    try:
        if kind == "trusted_root":
            _check_trusted_root(raw)
        elif kind == "keys":
            load_pem_public_key(raw)
        elif kind == "witnesses":
            _check_witness(raw)
        elif kind == "origins":
            parse_origin(raw)
        else:
            tomllib.loads(raw.decode("utf-8"))
    except (MalformedError, ValueError, UnsupportedAlgorithm, RecursionError) as error:
        want = _CONTENTS[kind]
        raise UsageError("target-content", "target", path, got=str(error)[:160], want=want) from error


def _check_trusted_root(raw: bytes) -> None:
    value = parse_foreign(raw, "trusted root", max_bytes=limits.TRUSTED_ROOT_BYTES)
    media_type = value.get("mediaType") if isinstance(value, dict) else None
    if not isinstance(media_type, str) or not media_type.startswith(_TRUSTED_ROOT):
        raise MalformedError("trusted-root", "trusted root", got=f"mediaType {media_type!r}"[:80], want=_TRUSTED_ROOT)


def _check_witness(raw: bytes) -> None:
    if not _VERIFIER_KEY.fullmatch(raw):
        raise MalformedError("witness-key", "witness key", got="another form", want="<name>+<8 hex digits>+<base64>")


def _check_numbers(threshold: int, holders: int) -> None:
    if not 1 <= threshold <= holders <= MAX_HOLDERS:
        raise UsageError(
            "threshold",
            "threshold",
            got=f"{threshold} of {holders}",
            want=f"at least 1, at most the holders, who are at most {MAX_HOLDERS}",
        )


def check_empty(folder: Path) -> None:
    """Refuse to make something where there is something; raises EnvError (``folder-exists``)."""
    with disk_errors("folder", folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise EnvError(
                "folder-exists", "folder", str(folder), got="not empty", want="absent or empty: nothing is overwritten"
            )


@contextlib.contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """A folder of mode 0700 beside `folder` that takes its place when the block ends well."""
    with disk_errors("folder", folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        staged = temporary_beside(folder)
        staged.mkdir(mode=0o700)
        try:
            yield staged
            sync_folder(staged)
            staged.rename(folder)
            sync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise


def _first_versions(
    root_keys: Sequence[SigningKey],
    threshold: int,
    exporter: SigningKey,
    stream: str,
    at: datetime,
    *,
    development: bool,
) -> dict[str, bytes]:
    at = at.replace(microsecond=0)
    holders, online = key_group(root_keys, threshold), key_group([exporter])
    groups = {ROOT: holders, TARGETS: holders, SNAPSHOT: online, TIMESTAMP: online}
    root = sign_metadata(make_root(1, at, groups, development=development), root_keys)
    targets = sign_metadata(make_targets(1, at, {}, {stream: online}), root_keys)
    stream_raw = sign_metadata(make_stream(stream, 1, at, None), [exporter])
    online_files = sign_online(
        root=(1, root), targets=(1, targets), stream=(stream, 1, stream_raw), versions=(1, 1), at=at, signer=exporter
    )
    return {f"{METADATA}/1.root.json": root, **online_files}


def changed_contents(
    contents: Mapping[str, bytes], add: Mapping[str, bytes], remove: Sequence[str]
) -> dict[str, bytes]:
    """The targets that stand, less `remove`, plus `add`, by target path.

    Raises:
        UsageError: a path to remove that is not there, a path or content that makes no sense (``target-path``,
            ``target-content``).
    """
    for path, raw in add.items():
        check_content(path, raw)
    for path in remove:
        if path not in contents:
            standing = ", ".join(sorted(contents)) or "none"
            raise UsageError("target-path", "target", path, got="not published", want=f"one of: {standing}")
    kept = {path: raw for path, raw in contents.items() if path not in remove}
    return kept | dict(add)


def _delegations(repository: Repository) -> dict[str, KeyGroup]:
    """The delegations that stand, unchanged."""
    delegations = repository.metadata.targets.signed.delegations
    if delegations is None or delegations.roles is None:
        return {}
    return {
        name: KeyGroup(tuple(delegations.keys[key_id] for key_id in role.keyids), role.threshold)
        for name, role in delegations.roles.items()
    }


def _load_exporter(repository: Repository, keys: Path, passphrase: Passphrase) -> SigningKey:
    """The exporter's key: `exporter.pem`, or after a rotation another file that fits."""
    role = stream_authority(repository.metadata.targets.signed, repository.stream).role
    usual = load_key(keys, EXPORTER, passphrase) if (keys / f"{EXPORTER}.pem").exists() else None
    if usual is not None and usual.public.keyid in role.keyids:
        return usual
    found = next(fitting_keys(keys, role.keyids.__contains__, passphrase), None)
    return found or usual or load_key(keys, EXPORTER, passphrase)


def _load_holders(repository: Repository, keys: Path, passphrase: Passphrase) -> list[SigningKey]:
    """As many root holders' keys as the targets need."""
    role = repository.chain.newest.signed.roles[TARGETS]
    signers: dict[Digest, SigningKey] = {}
    for key in fitting_keys(keys, role.keyids.__contains__, passphrase):
        signers[key.material] = key
        if len(signers) == role.threshold:
            break
    if len(signers) < role.threshold:
        raise UsageError(
            "keys", "keys folder", str(keys), got=f"{len(signers)} keys of role targets", want=f"{role.threshold}"
        )
    return list(signers.values())
