"""A site's memory: loaded, asked, and written when a bundle has passed.

Rules of this module (DESIGN §4, "What is written when"):
- Newer roots that pass are written even if the bundle is refused for another reason. Everything else is one generation,
  and only `record` writes it, after everything else has passed. Refusals change nothing; alarms add a line to the log.
- Read-only, and audits (a typed time), write nothing at all.
- `record` compares again under the lock, so two verifications at once cannot lose each other's result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import TrustError
from bundler.escaping import escape
from bundler.moment import format_moment
from bundler.safe_file import locked, read_bounded, write_atomically
from trust_root.acceptance import ALARMS, Standing, advance, compare
from trust_root.delivery import CLOCK_TOLERANCE, Delivery, SiteRules, TimeBasis
from trust_root.newest import HeldPin, OpenedRoots, OpenedTrust, open_roots, open_under_roots
from trust_root.settings import SiteSettings, parse_settings
from trust_root.state import ALARM, PinRecord, format_log, format_log_line, format_state, next_state
from trust_root.state_folder import Snapshot, is_pinned, load_snapshot, pin_path, write_content


class Site:
    """A site's state, loaded and verified. `load_site` makes it.

    Attributes:
        folder: the state folder.
        settings: what `site.toml` says.
        read_only: nothing is ever written.
        loaded: the generation in hand.
    """

    def __init__(self, folder: Path, settings: SiteSettings, loaded: Snapshot, *, read_only: bool) -> None:
        self.folder = folder
        self.settings = settings
        self.loaded = loaded
        self.read_only = read_only

    @property
    def name(self) -> str | None:
        """The site's name, if it has one."""
        return self.settings.name

    @property
    def floor(self) -> datetime | None:
        """The latest time that an accepted bundle proved."""
        return self.loaded.state.floor

    @property
    def rules(self) -> SiteRules:
        """The settings that bear on acceptance."""
        return SiteRules(self.settings.name, self.settings.grace, self.settings.max_age)

    def held(self, pin: Digest) -> HeldPin:
        """A pin by its digest.

        Raises:
            TrustError: it is gone (``no-pin``).
        """
        for held in self.loaded.pins:
            if held.record.pin == pin:
                return held
        raise no_pin(self.folder)

    def persist_roots(self, roots: OpenedRoots, basis: TimeBasis) -> None:
        """Write a bundle's newer roots, so that a revocation lands even if the bundle is refused.

        Raises:
            TrustError: ``root-fork``, when another process wrote other roots meanwhile; EnvError: the disk.
        """
        if self._writes_nothing(basis) or not roots.new_roots:
            return
        with self._locked():
            files = {f"metadata/{number}.root.json": raw for number, raw in enumerate(roots.chain.roots, 1)}
            fresh = open_roots(self.loaded.pins, files)
            if not fresh.new_roots:
                return
            record = self.held(fresh.pin).record
            added = tuple((version, sha256_of(raw)) for version, raw in fresh.new_roots)
            line = {
                "kind": "roots",
                "pin": str(fresh.pin),
                "versions": [version for version, _ in added],
                "digests": [str(digest) for _, digest in added],
            }
            contents = [raw for _, raw in fresh.new_roots]
            self._write([replace(record, roots=record.roots + added)], self.floor, contents, line, basis.clock)

    def record(
        self, opened: OpenedTrust, delivery: Delivery, standing: Standing, evidence_times: Iterable[datetime] = ()
    ) -> Standing:
        """Write an accepted bundle down, as one generation; the last thing that a passed verification does.

        Args:
            opened, delivery, standing: what was compared.
            evidence_times: log and timestamp times that were verified; those beyond the clock plus a day are left out,
                so that no evidence can push the floor past the present.

        Returns:
            the standing under the lock, with `recorded` set unless nothing is written.

        Raises:
            TrustError: another process has recorded something meanwhile under which this bundle no longer passes, or
                newer trusted material than its evidence was judged by (``state-changed``).
        """
        if self._writes_nothing(standing.basis):
            return standing
        with self._locked():
            roots = open_roots(self.loaded.pins, opened.files)
            held = self.held(roots.pin)
            current = OpenedTrust(roots, opened.trusted, opened.files)
            final = compare(held, current, delivery, standing.basis, self.rules, historic=standing.historic)
            if final.targets != standing.targets:
                raise _changed_meanwhile()
            record = advance(held, current, delivery, final)
            floor = self._raised_floor(final, delivery, evidence_times)
            if record != held.record or floor != self.floor:
                line = _accepted_line(roots, opened, delivery, final, floor)
                self._write([record], floor, _contents(current), line, final.basis.clock)
            return replace(final, recorded=True)

    def set_floor(self, floor: datetime, reason: str, clock: datetime) -> None:
        """Set the time floor by hand, on record: the way out after a wrong clock."""
        with self._locked():
            before = None if self.floor is None else format_moment(self.floor)
            line = {"kind": "set-floor", "from": before, "to": format_moment(floor), "reason": escape(reason)}
            self._write([], floor, [], line, clock)

    def note_alarm(self, error: TrustError, clock: datetime) -> None:
        """Add an alarm to the log; nothing else changes."""
        with self._locked():
            at = format_moment(clock.replace(microsecond=0))
            line = {"kind": ALARM, "code": error.code, "text": escape(str(error)), "at": at}
            lines = (*self.loaded.log, format_log_line(self.loaded.log[-1], line))
            self._write_log(lines)
            self.loaded = replace(self.loaded, log=lines)

    def add_pin(self, root: bytes, record: PinRecord, clock: datetime) -> None:
        """Write another pinned root (pin.py decides whether it may be)."""
        with self._locked():
            write_atomically(pin_path(self.folder, record.pin), root, what="pin")
            line = {"kind": "pin", "pin": str(record.pin), "version": record.roots[0][0]}
            self._write([record], self.floor, [root], line, clock)

    def _writes_nothing(self, basis: TimeBasis) -> bool:
        return self.read_only or basis.source == "typed"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self.folder / "lock", what="state lock", wait=True):
            self.loaded = load_snapshot(self.folder)
            yield

    def _raised_floor(self, standing: Standing, delivery: Delivery, times: Iterable[datetime]) -> datetime | None:
        if standing.status == "historic":
            return self.floor
        latest = standing.basis.clock + CLOCK_TOLERANCE
        proved = [delivery.created_at, *(time for time in times if time <= latest)]
        return max([*proved, *([self.floor] if self.floor else [])]).replace(microsecond=0)

    def _write(
        self,
        records: Sequence[PinRecord],
        floor: datetime | None,
        contents: Iterable[bytes],
        line: Mapping[str, Any],
        clock: datetime,
    ) -> None:
        for raw in contents:
            write_content(self.folder, raw)
        before = self.loaded.state
        pins = {pin.pin: pin for pin in before.pins} | {record.pin: record for record in records}
        ordered = tuple(pins[digest] for digest in sorted(pins, key=str))
        dated = {**line, "at": format_moment(clock.replace(microsecond=0))}
        state = next_state(before.generation + 1, floor, ordered, self.loaded.log, dated)
        write_atomically(self.folder / "state.json", format_state(state), what="state")
        self._write_log((*self.loaded.log, state.log_line))
        self.loaded = load_snapshot(self.folder)

    def _write_log(self, lines: Sequence[str]) -> None:
        write_atomically(self.folder / "log.jsonl", format_log(lines), what="log")


def load_site(folder: Path, *, read_only: bool = False) -> Site:
    """Load a site's state; creates nothing.

    Raises:
        TrustError: nothing was ever pinned here (``no-pin``), or the state is not what was written (``state-damaged``).
        UsageError: `site.toml` (``site-settings``). EnvError: the disk.
    """
    if not is_pinned(folder):
        raise no_pin(folder)
    settings_path = folder / "site.toml"
    raw = read_bounded(settings_path, limits.SETTINGS_BYTES, "settings") if settings_path.exists() else b""
    return Site(folder, parse_settings(raw), load_snapshot(folder), read_only=read_only)


def open_for_site(site: Site, files: Mapping[str, bytes], basis: TimeBasis) -> OpenedTrust:
    """Open a bundle's trust metadata from this site's pin.

    Roots come first: held against those that the site has, and the newer ones written (unless the site is read-only or
    the time was typed), before anything else can refuse the bundle.

    Raises:
        TrustError: as `open_roots` and `open_trust`; ``root-fork`` leaves an alarm in the log.
    """
    with _alarms(site, basis):
        roots = open_roots(site.loaded.pins, files)
        site.persist_roots(roots, basis)
    return open_under_roots(roots, files, basis, site.rules.grace)


def compare_with_site(
    site: Site, opened: OpenedTrust, delivery: Delivery, basis: TimeBasis, *, historic: bool = False
) -> Standing:
    """How an opened bundle stands with this site; raises as `acceptance.compare`, alarms go to the log too."""
    with _alarms(site, basis):
        return compare(site.held(opened.roots.pin), opened, delivery, basis, site.rules, historic=historic)


def _changed_meanwhile() -> TrustError:
    return TrustError(
        "state-changed",
        "state",
        got="newer trusted material, recorded by another run meanwhile",
        want="the material that this bundle's evidence was judged by",
        hints=["verify the bundle again"],
    )


def no_pin(folder: Path) -> TrustError:
    """The error of a site without a pinned root."""
    return TrustError(
        "no-pin",
        "state",
        str(folder),
        got="no pinned root",
        want="a root pinned by hand",
        hints=["sealift trust pin 1.root.json --sha256 FINGERPRINT --site NAME"],
    )


@contextlib.contextmanager
def _alarms(site: Site, basis: TimeBasis) -> Iterator[None]:
    try:
        yield
    except TrustError as error:
        if error.code in ALARMS and not site.read_only and basis.source != "typed":
            site.note_alarm(error, basis.clock)
        raise


def _accepted_line(
    roots: OpenedRoots, opened: OpenedTrust, delivery: Delivery, standing: Standing, floor: datetime | None
) -> dict[str, Any]:
    return {
        "kind": "accepted" if standing.accepted_at is None else "accepted-again",
        "status": standing.status,
        "pin": str(roots.pin),
        "stream": delivery.stream,
        "sequence": delivery.sequence,
        "inventory": str(delivery.inventory),
        "created": format_moment(delivery.created_at),
        "versions": {name: facts.version for name, facts in opened.trusted.roles.items()},
        "floor": None if floor is None else format_moment(floor),
        "judged_at": format_moment(standing.basis.at.replace(microsecond=0)),
        "time_source": standing.basis.source,
        "warnings": [escape(warning) for warning in standing.warnings],
    }


def _contents(opened: OpenedTrust) -> list[bytes]:
    trusted = opened.trusted
    return [*opened.roots.chain.roots, trusted.targets_metadata, *trusted.targets.values()]
