"""Another pin in the place of one that is given up: the way out when a root's threshold of keys is lost or stolen.

Rules of this module (DESIGN §4; THREATS T8):
- As much faith as the first pin, and more care: the new root's fingerprint is typed from paper, two operators are
  named, and why. All of it goes to the log; nothing of it comes from a bundle.
- The new root belongs to another trust root than any that is pinned: what follows from a pin needs no new anchor.
- What was accepted below the old pin stays known: it passes with `--historic`, and says so. Nothing new passes there,
  whoever signs it, and no newer root of it is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from bundler import limits
from bundler.digest import Digest
from bundler.errors import TrustError, UsageError
from bundler.escaping import escape
from bundler.value import dataclass
from trust_root.metadata import SignedFile, is_development, parse_root, root_authority, verify_signatures
from trust_root.newest import HeldPin
from trust_root.pin import check_not_covered, open_pin
from trust_root.roles import ROOT
from trust_root.site import Site, load_site
from trust_root.state import PinRecord, Retirement
from trust_root.tuf_library import Root


@dataclass(frozen=True, slots=True)
class Reanchored:
    """What was done.

    Attributes:
        pin: the new pin.
        version: its root's version.
        expires_at: when that ends.
        development: it is for development only.
        replaces: the pin that was given up.
        state: digest of the state after it.
    """

    pin: Digest
    version: int
    expires_at: datetime
    development: bool
    replaces: Digest
    state: Digest


def reanchor(
    folder: Path,
    raw: bytes,
    fingerprint: Digest,
    clock: datetime,
    *,
    operators: tuple[str, ...],
    reason: str,
    replaces: Digest | None = None,
) -> Reanchored:
    """Pin a root in the place of one that is given up.

    Args:
        folder: the state folder.
        raw: the new root's file.
        fingerprint: its SHA-256, as a person typed it.
        clock: the time for the log, UTC.
        operators: who does it; two different names at least.
        reason: why.
        replaces: the pin to give up; needed if several stand.

    Raises:
        TrustError: as `open_pin` and `load_site`.
        UsageError: ``operators``, ``reason``, ``pin-choice``, ``pin-covered``.
        EnvError: the disk.
    """
    names, why = check_operators(operators), check_reason(reason)
    root = open_pin(raw, fingerprint)
    clock = clock.replace(microsecond=0)
    site = load_site(folder)
    old = _chosen(site, replaces)
    _check_fresh(site, fingerprint)
    check_not_covered(site.loaded.pins, root)
    _check_not_next(site.loaded.pins, root)
    record = PinRecord(fingerprint, clock, ((root.signed.version, fingerprint),), None, (), {})
    site.replace_pin(raw, record, old.record.pin, Retirement(clock, fingerprint, names, why))
    facts = root.signed.version, root.signed.expires, is_development(root.signed)
    return Reanchored(fingerprint, *facts, old.record.pin, site.loaded.digest)


def check_operators(typed: tuple[str, ...]) -> tuple[str, ...]:
    """Two names at least, of different people.

    Raises:
        UsageError: code ``operators``.
    """
    names = tuple(" ".join(name.split()) for name in typed)
    different = {name.casefold() for name in names}
    fitting = all(name.isprintable() and 0 < len(name) <= limits.OPERATOR_CHARACTERS for name in names)
    if not 2 <= len(names) <= limits.OPERATORS or len(different) < len(names) or not fitting:
        raise UsageError(
            "operators", "option", "--operator",
            got=escape(", ".join(names))[:200] or "none", want="the names of two different people, or more",
        )  # fmt: skip
    return names


def check_reason(typed: str) -> str:
    """A reason for the log, control characters escaped.

    Raises:
        UsageError: none, or too long (code ``reason``).
    """
    text = escape(typed.strip())
    if not 0 < len(text) <= limits.REASON_CHARACTERS:
        raise UsageError(
            "reason", "option", "--reason", got=f"{len(text)} characters", want=f"1 to {limits.REASON_CHARACTERS}"
        )
    return text


def _chosen(site: Site, typed: Digest | None) -> HeldPin:
    standing = [pin for pin in site.loaded.pins if pin.record.retired is None]
    chosen = [pin for pin in standing if typed in (None, pin.record.pin)]
    if len(chosen) != 1:
        listed = ", ".join(f"root {pin.version} {pin.record.pin}" for pin in standing)
        raise UsageError(
            "pin-choice", "option", "--replaces", got=str(typed or "none"), want=f"one of: {listed}",
        )  # fmt: skip
    return chosen[0]


def _check_fresh(site: Site, fingerprint: Digest) -> None:
    for pin in site.loaded.pins:
        if pin.record.pin == fingerprint:
            state = "given up" if pin.record.retired else "pinned already"
            raise TrustError("pin-exists", "pin", str(fingerprint), got=state, want="a root that is not pinned here")


def _check_not_next(pins: Sequence[HeldPin], root: SignedFile[Root]) -> None:
    """Raise UsageError (``pin-covered``) if a pin's newest root is followed by this one, which has not come here yet.

    Every bundle of that trust root holds the pin too, so that giving the pin up would stop this site for good.
    """
    for pin in pins:
        newest = parse_root(pin.roots[max(pin.roots)])
        if root.signed.version != newest.signed.version + 1:
            continue
        try:
            verify_signatures(root, root_authority(newest.signed, ROOT), root_authority(root.signed, ROOT))
        except TrustError:
            continue  # of another trust root
        raise UsageError(
            "pin-covered", "root", f"version {root.signed.version}", got=f"follows pin {pin.record.pin}", want="none",
            hints=["it comes with the next bundle by itself, or now: sealift trust refresh --from SOURCE"],
        )  # fmt: skip
