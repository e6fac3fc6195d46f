"""Names and order of the members below `trust/` (FORMAT.md, "Members").

Order: `metadata/1.root.json` to `<n>.root.json` without a gap; `metadata/timestamp.json`; `<n>.snapshot.json`;
`<n>.targets.json`; `<n>.<stream>.json`; then `targets/<sha256>` in ascending order. Every name is written without its
`trust/` here, as in `ArchiveReader.trust_files`. `TrustOrder` accepts exactly that order, one name at a time;
`ordered_trust_names` produces it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bundler import limits
from bundler.errors import DamagedError

TRUST_PREFIX = "trust/"
INVENTORY_NAME = "inventory.json"
LAYOUT_NAME = "oci-layout"
INDEX_NAME = "index.json"
RESERVED_ROLES = frozenset({"root", "targets", "snapshot", "timestamp"})
STREAM_GRAMMAR = r"[a-z0-9][a-z0-9-]{0,30}"

_TIMESTAMP = "metadata/timestamp.json"
_VERSIONED = re.compile(rf"metadata/([1-9][0-9]{{0,15}})\.({STREAM_GRAMMAR})\.json", re.ASCII)
_TARGET = re.compile(r"targets/[a-f0-9]{64}", re.ASCII)
_ROOT, _AFTER_TIMESTAMP, _AFTER_SNAPSHOT, _AFTER_TARGETS, _TARGET_FILES = range(5)


class TrustOrder:
    """Says of each name, in the order of the file, whether it may stand there."""

    def __init__(self) -> None:
        self._step = _ROOT
        self._roots = 0
        self._targets = 0
        self._last_target = ""

    def accept(self, name: str) -> int:
        """Take the next name (without `trust/`).

        Returns:
            the largest size in bytes that this member may have.

        Raises:
            DamagedError: the name cannot stand here (code ``trust-order``), or there are too many (``limits``).
        """
        if _TARGET.fullmatch(name):
            self._accept_target(name)
            return limits.TRUST_TARGET_BYTES
        self._accept_metadata(name)
        return limits.TRUST_METADATA_BYTES

    def finish(self) -> None:
        """After the last name.

        Raises:
            DamagedError: a role's metadata is missing (code ``trust-order``).
        """
        if self._step != _TARGET_FILES:
            raise DamagedError("trust-order", "bundle", "trust/metadata", got="an end", want=self._wanted())

    def _accept_metadata(self, name: str) -> None:
        versioned = _VERSIONED.fullmatch(name)
        role = versioned[2] if versioned else ""
        if self._step == _ROOT and name == f"metadata/{self._roots + 1}.root.json":
            self._roots += 1
            if self._roots > limits.ROOTS:
                raise DamagedError("limits", "bundle", "trust/metadata", got="more roots", want=str(limits.ROOTS))
            return
        allowed = (
            (self._step == _ROOT and self._roots > 0 and name == _TIMESTAMP)
            or (self._step == _AFTER_TIMESTAMP and role == "snapshot")
            or (self._step == _AFTER_SNAPSHOT and role == "targets")
            or (self._step == _AFTER_TARGETS and role != "" and role not in RESERVED_ROLES)
        )
        if not allowed:
            raise self._refused(name)
        self._step += 1

    def _accept_target(self, name: str) -> None:
        if self._step != _TARGET_FILES or name <= self._last_target:
            raise self._refused(name)
        self._last_target = name
        self._targets += 1
        if self._targets > limits.TRUST_TARGETS:
            raise DamagedError("limits", "bundle", "trust/targets", got="more files", want=str(limits.TRUST_TARGETS))

    def _refused(self, name: str) -> DamagedError:
        return DamagedError(
            "trust-order", "bundle member", f"{TRUST_PREFIX}{name}", got="not here", want=self._wanted()
        )

    def _wanted(self) -> str:
        return (
            f"{self._roots + 1}.root.json or timestamp.json" if self._roots else "1.root.json",
            "<n>.snapshot.json",
            "<n>.targets.json",
            "<n>.<stream>.json",
            "targets/<sha256> in ascending order, or inventory.json",
        )[self._step]


def ordered_trust_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names below `trust/` in the order of the file.

    Raises:
        DamagedError: they are not one whole set (codes of `TrustOrder`).
    """
    ordered = tuple(sorted(names, key=_rank))
    order = TrustOrder()
    for name in ordered:
        order.accept(name)
    order.finish()
    return ordered


def _rank(name: str) -> tuple[int, int, str]:
    if name == _TIMESTAMP:
        return (1, 0, name)
    versioned = _VERSIONED.fullmatch(name)
    if versioned is None:
        return (5, 0, name)
    place = {"root": 0, "snapshot": 2, "targets": 3}.get(versioned[2], 4)
    return (place, int(versioned[1]), name)
