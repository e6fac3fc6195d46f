"""Who signs what, and for how long: the one table of roles, thresholds, expiries and names (DESIGN §4).

    role        signs                                         keys held by      threshold   lives
    root        the keys and thresholds of all four roles     the root holders  2 of 3      3 years
    targets     trusted material; the streams' delegations    the root holders  2 of 3      1 year
    snapshot    versions and hashes of targets and stream     the exporter      1           1 year
    timestamp   version and hash of the snapshot              the exporter      1           1 year
    <stream>    the stream's current inventory                the exporter      1           1 year

Rules of this module:
- A stream is a delegated role; its name is the stream's name and never one of the four.
- A target path says what the target is for: Sigstore's trusted material and where it came from (origins.py), a
  publisher's key, a witness of logs, a policy for the record.
- Names are data: they are checked here before they become part of a path.
"""

from __future__ import annotations

import re
from datetime import timedelta

from bundler.errors import MalformedError

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = "root", "targets", "snapshot", "timestamp"
TOP_LEVEL_ROLES = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
SPEC_VERSION = "1.0.31"  # what we write; a constant, so that another python-tuf writes the same bytes
DEVELOPMENT_MARK = "x-sealift-development"
HOLDER_NAMES = "x-sealift-names"  # in a root: key id → who holds it

KEY_SCHEMES = ("pkcs11:", "awskms:", "azurekms:", "gcpkms:")  # of keys that are not in a file

ROOT_THRESHOLD = 2
ROOT_HOLDERS = 3
ONLINE_THRESHOLD = 1

_YEAR = timedelta(days=365)
_LIFETIMES = {ROOT: 3 * _YEAR}

_HOLDER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._@-]{0,62}[A-Za-z0-9._@-])?", re.ASCII)
_STREAM = re.compile(r"[a-z0-9][a-z0-9-]{0,30}", re.ASCII)
_TARGET_NAME = r"[a-z0-9][a-z0-9._-]{0,62}"
_TARGET_PATH = re.compile(
    rf"trusted_root/{_TARGET_NAME}\.json|keys/{_TARGET_NAME}\.pub|policies/{_TARGET_NAME}\.toml"
    rf"|witnesses/{_TARGET_NAME}\.vkey|origins/{_TARGET_NAME}\.json",
    re.ASCII,
)
_INVENTORY_PATH = re.compile(r"bundles/([a-z0-9][a-z0-9-]{0,30})/([1-9][0-9]{0,15})\.json", re.ASCII)


def lifetime(role: str) -> timedelta:
    """How long newly signed metadata of a role lives: three years for root, one for all others, streams too."""
    return _LIFETIMES.get(role, _YEAR)


def parse_stream(name: object) -> str:
    """A stream's name, which is also its role's name.

    Raises:
        MalformedError: not the grammar `[a-z0-9][a-z0-9-]{0,30}`, or one of the four roles (code ``stream``).
    """
    if not isinstance(name, str) or not _STREAM.fullmatch(name) or name in TOP_LEVEL_ROLES:
        raise MalformedError(
            "stream", "stream name", repr(name)[:80], got="not a name", want="[a-z0-9][a-z0-9-]{0,30}, not a TUF role"
        )
    return name


def parse_holder_name(name: object) -> str:
    """Name of somebody who holds a key. ASCII only: two names that look alike shall be alike.

    Raises:
        MalformedError: anything else (code ``holder-name``).
    """
    if not isinstance(name, str) or not _HOLDER.fullmatch(name):
        raise MalformedError(
            "holder-name",
            "holder",
            repr(name)[:80],
            got="not a name",
            want="1 to 64 of letters, digits, space . _ @ -",
        )
    return name


def parse_target_path(path: object) -> str:
    """Path of a top-level target: `trusted_root/<name>.json`, `keys/<name>.pub`, `policies/<name>.toml`,
    `witnesses/<name>.vkey` or `origins/<name>.json`.

    Raises:
        MalformedError: anything else (code ``target-path``).
    """
    if not isinstance(path, str) or not _TARGET_PATH.fullmatch(path):
        raise MalformedError(
            "target-path",
            "target path",
            repr(path)[:160],
            got="not a path",
            want="trusted_root/, origins/<name>.json, keys/<name>.pub, policies/<name>.toml or witnesses/<name>.vkey",
        )
    return path


def delegated_paths(stream: str) -> str:
    """The one pattern that is delegated to a stream."""
    return f"bundles/{stream}/*"


def format_inventory_path(stream: str, sequence: int) -> str:
    """Target path of an inventory, the inverse of `parse_inventory_path`."""
    return f"bundles/{stream}/{sequence}.json"


def parse_inventory_path(path: object) -> tuple[str, int]:
    """Stream and sequence of an inventory's target path.

    Raises:
        MalformedError: not `bundles/<stream>/<sequence>.json` with a sequence of 1 to 2^53-1 (code ``inventory-path``).
    """
    match = _INVENTORY_PATH.fullmatch(path) if isinstance(path, str) else None
    if match is None or int(match[2]) >= 2**53:
        raise MalformedError(
            "inventory-path", "target path", repr(path)[:160], got="not a path", want="bundles/<stream>/<sequence>.json"
        )
    return parse_stream(match[1]), int(match[2])
