"""Pinning a root: the one act of faith at a site, done by a person who types the fingerprint from paper.

Rules of this module:
- The root comes from a file, its SHA-256 from somewhere else; both must agree, and the root meets its own threshold.
- A pin is never replaced. Another one beside it needs `add`, and must belong to another trust root: of one trust root,
  one pin is enough, since newer roots follow by themselves.
- The first pin makes the state folder, with `site.toml`; a later one never changes the site's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from bundler.digest import Digest, sha256_of
from bundler.errors import TrustError, UsageError
from bundler.safe_file import disk_errors, locked
from bundler.value import dataclass
from trust_root.metadata import SignedFile, is_development, parse_root, verify_alone
from trust_root.newest import HeldPin
from trust_root.settings import SiteSettings, format_settings, parse_site_name
from trust_root.site import Site, load_site
from trust_root.state import PinRecord
from trust_root.state_folder import create_site, is_pinned
from trust_root.tuf_library import Root

_FINGERPRINT = re.compile(r"[a-f0-9]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pinned:
    """What was pinned.

    Attributes:
        digest: SHA-256 of the root's file.
        version: the root's version.
        expires_at: when it ends.
        development: it is for development only.
        already: it was pinned before; nothing changed.
    """

    digest: Digest
    version: int
    expires_at: datetime
    development: bool
    already: bool


def parse_fingerprint(text: str) -> Digest:
    """A SHA-256 as people type it from paper: spaces, colons and hyphens between the digits do not matter.

    Raises:
        UsageError: not 64 hex digits (code ``fingerprint``).
    """
    digits = re.sub(r"[\s:-]", "", text.strip().lower().removeprefix("sha256:"))
    if not _FINGERPRINT.fullmatch(digits):
        raise UsageError("fingerprint", "option", "--sha256", got=f"{len(digits)} characters", want="64 hex digits")
    return Digest("sha256", digits)


def format_fingerprint(digest: Digest) -> str:
    """A SHA-256 in groups of four for paper, two lines; `parse_fingerprint` of it is the digest."""
    groups = [digest.hex[start : start + 4] for start in range(0, 64, 4)]
    return f"{' '.join(groups[:8])}\n{' '.join(groups[8:])}"


def open_pin(raw: bytes, fingerprint: Digest) -> SignedFile[Root]:
    """The root, if it has the fingerprint and meets its own threshold.

    Raises:
        TrustError: another hash (``fingerprint-mismatch``), or the codes of metadata and signatures.
    """
    if sha256_of(raw) != fingerprint:
        raise TrustError(
            "fingerprint-mismatch",
            "root",
            got=f"the file has {sha256_of(raw)}",
            want=f"{fingerprint}, as typed",
            hints=["do not take the fingerprint from where the file came; read it from the ceremony's paper"],
        )
    root = parse_root(raw, "the root to pin")
    verify_alone(root)
    return root


def pin_root(
    folder: Path, raw: bytes, fingerprint: Digest, clock: datetime, *, site_name: str | None = None, add: bool = False
) -> Pinned:
    """Pin a root in a state folder, which is made if need be.

    Args:
        folder: the state folder.
        raw: the root's file.
        fingerprint: its SHA-256, as a person typed it.
        clock: the time for the log, UTC.
        site_name: this site's name; with a later pin, None or the same name.
        add: there is a pin already, and this is a second trust root beside it.

    Raises:
        TrustError: as `open_pin`, or ``state-damaged``.
        UsageError: there is a pin already (``pin-exists``), the root belongs to a pinned trust root
            (``pin-covered``), or the site has another name (``site-name``).
        EnvError: the disk.
    """
    root = open_pin(raw, fingerprint)
    clock = clock.replace(microsecond=0)
    record = PinRecord(fingerprint, clock, ((root.signed.version, fingerprint),), None, (), {})
    name = None if site_name is None else parse_site_name(site_name)
    with disk_errors("state", folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder / "lock", what="state lock", wait=True):
        first = not is_pinned(folder)
        if first:
            create_site(folder, format_settings(SiteSettings(name=name)), raw, record, clock)
    site = load_site(folder)
    if name is not None and site.name != name:
        raise UsageError("site-name", "site", name, got=f"site.toml says {site.name}", want="the same name")
    already = not first and _check_second(site, root, add=add)
    if not first and not already:
        site.add_pin(raw, record, clock)
    return Pinned(fingerprint, root.signed.version, root.signed.expires, is_development(root.signed), already)


def _check_second(site: Site, root: SignedFile[Root], *, add: bool) -> bool:
    """True if it is pinned already; raises unless it may be added."""
    pins = site.loaded.pins
    for pin in pins:
        if pin.record.pin == root.digest and pin.record.retired is None:
            return True
        if pin.record.pin == root.digest:
            raise UsageError("pin-retired", "pin", str(root.digest), got="given up for good", want="another root")
    if not add:
        listed = ", ".join(f"root {pin.version} {pin.record.pin}" for pin in pins)
        raise UsageError(
            "pin-exists",
            "state",
            str(site.folder),
            got=f"pinned: {listed}",
            want="no pin",
            hints=[
                "newer roots of a pinned trust root follow by themselves",
                "for another trust root beside it: --add",
            ],
        )
    check_not_covered(pins, root)
    return False


def check_not_covered(pins: Sequence[HeldPin], root: SignedFile[Root]) -> None:
    """Raise UsageError (``pin-covered``) if a root follows from a pin: then it needs none of its own."""
    for pin in pins:
        if root.raw in pin.roots.values():
            raise UsageError(
                "pin-covered",
                "root",
                f"version {root.signed.version}",
                got=f"follows pin {pin.record.pin}",
                want="none",
            )
