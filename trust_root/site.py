"""A site's memory: loaded, asked, and written when a bundle has passed.

Rules of this module (DESIGN §4, "What is written when"):
- Newer roots that pass are written even if the bundle is refused for another reason. Everything else is one generation,
  and only `record` writes it, after everything else has passed. Refusals change nothing; alarms add a line to the log.
- Read-only, and audits (a typed time), write nothing at all.
- `record` compares again under the lock, so two verifications at once cannot lose each other's result.
- `site.toml` is believed as it was last accepted by hand: who can edit it can weaken this site.
- A pin that was given up learns nothing more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, TrustError
from bundler.moment import format_moment
from bundler.safe_file import locked, write_atomically
from bundler.value import replace
from trust_root import happenings
from trust_root.acceptance import ALARMS, Standing, advance, compare
from trust_root.delivery import CLOCK_TOLERANCE, Delivery, SiteRules, TimeBasis
from trust_root.keeping import Keep, keep_now, sweep_kept
from trust_root.logs import LogRecord
from trust_root.newest import (
    HeldPin,
    OpenedPublication,
    OpenedRoots,
    OpenedTrust,
    has_newer_targets,
    open_roots,
    open_under_roots,
)
from trust_root.settings import SiteSettings, parse_settings
from trust_root.site_errors import changed_meanwhile, no_pin
from trust_root.state import PinRecord, Retirement, SiteState, next_state
from trust_root.state_folder import (
    Snapshot,
    is_pinned,
    load_snapshot,
    pin_path,
    read_settings,
    sweep,
    write_content,
    write_generation,
)
from trust_root.state_log import repeats

_NOT_WRITABLE = "what is accepted is written to the state folder; sealift verify --read-only checks and writes nothing"

WeighLogs = Callable[[tuple[LogRecord, ...]], tuple[LogRecord, ...]]
"""Gives the records of logs after a bundle, from those before it; raises TrustError for what contradicts them."""


class Site:
    """A site's state, loaded and verified. `load_site` makes it.

    Attributes:
        folder: the state folder.
        settings: what `site.toml` says.
        read_only: nothing is ever written.
        min_sequence: what new deliveries have to reach in this run, whatever their stream.
        loaded: the generation in hand.
    """

    def __init__(
        self, folder: Path, settings: SiteSettings, loaded: Snapshot, *, read_only: bool, min_sequence: int = 1
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.loaded = loaded
        self.read_only = read_only
        self.min_sequence = min_sequence

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
        settings = self.settings
        return SiteRules(settings.name, settings.grace, settings.max_age, self.min_sequence, settings.min_sequences)

    def held(self, pin: Digest) -> HeldPin:
        """A pin by its digest.

        Raises:
            TrustError: it is gone (``no-pin``).
        """
        for held in self.loaded.pins:
            if held.record.pin == pin:
                return held
        raise no_pin(self.folder)

    def judge_of(self, held: HeldPin) -> HeldPin:
        """The pin whose trusted material judges: the pin itself, or the one that stands in its place."""
        while held.record.retired is not None:
            held = self.held(held.record.retired.successor)
        return held

    def persist_roots(self, roots: OpenedRoots, basis: TimeBasis) -> None:
        """Write a bundle's newer roots, so that a revocation lands even if the bundle is refused.

        Raises:
            TrustError: ``root-fork``, when another process wrote other roots meanwhile; EnvError: the disk.
        """
        if self._writes_nothing(basis) or not roots.new_roots or self.held(roots.pin).record.retired is not None:
            return
        with self._locked():
            files = {f"metadata/{number}.root.json": raw for number, raw in enumerate(roots.chain.roots, 1)}
            fresh = open_roots(self.loaded.pins, files)
            if not fresh.new_roots:
                return
            record = self.held(fresh.pin).record
            added = tuple((version, sha256_of(raw)) for version, raw in fresh.new_roots)
            line = happenings.new_roots(fresh.pin, added)
            contents = [raw for _, raw in fresh.new_roots]
            self._write(self._with([replace(record, roots=record.roots + added)]), contents, line, basis.clock)

    def record(
        self,
        opened: OpenedTrust,
        delivery: Delivery,
        standing: Standing,
        evidence_times: Iterable[datetime] = (),
        *,
        weigh: WeighLogs | None = None,
        keep: Keep | None = None,
    ) -> Standing:
        """Write an accepted bundle down, as one generation; the last thing that a passed verification does.

        Args:
            opened, delivery, standing: what was compared.
            evidence_times: log and timestamp times that were verified; those beyond the clock plus a day are left out,
                so that no evidence can push the floor past the present.
            weigh: holds the bundle's checkpoints of logs against those remembered; None: it shows none.
            keep: writes what is to be kept of the bundle; None: nothing more than before.

        Returns:
            the standing under the lock, with `recorded` set unless nothing is written.

        Raises:
            TrustError: another process has recorded something meanwhile under which this bundle no longer passes, or
                newer trusted material than its evidence was judged by (``state-changed``).
        """
        if self._writes_nothing(standing.basis):
            return standing
        with alarms(self, standing.basis), self._locked():
            roots = open_roots(self.loaded.pins, opened.files)
            held = self.held(roots.pin)
            current = OpenedTrust(roots, opened.trusted, opened.files)
            final = compare(
                held, current, delivery, standing.basis, self.rules, historic=standing.historic,
                judge=self.judge_of(held),
            )  # fmt: skip
            if final.targets != standing.targets:
                raise changed_meanwhile(
                    "newer trusted material, recorded", "the material that this bundle's evidence was judged by"
                )
            record = advance(held, current, delivery, final)
            floor = self._raised_floor(final, delivery, evidence_times)
            known = self.loaded.state.logs
            weighed = weigh(known) if weigh is not None else known
            logs = known if final.status == "historic" else weighed
            before = self.loaded.state.kept
            kept = None if final.status == "historic" else keep_now(keep, self.folder, before)
            digest = before if kept is None else sha256_of(kept.raw)
            if (record, floor, logs, digest) != (held.record, self.floor, known, before):
                line = happenings.accepted(current, delivery, final, floor)
                after = replace(self._with([record]), floor=floor, logs=logs, kept=digest)
                contents = _contents(current) if kept is None else [*_contents(current), kept.raw]
                self._write(after, contents, line, final.basis.clock)
            if kept is not None:
                sweep_kept(self.folder, kept.contents, before, digest)
            return replace(final, recorded=True)

    def record_targets(self, found: OpenedPublication, clock: datetime) -> bool:
        """Write down targets that came without a delivery, if they are newer under the lock too (refresh.py).

        Raises:
            TrustError: as `has_newer_targets`. EnvError: the disk.
        """
        with self._locked():
            held = self.held(found.roots.pin)
            if held.record.retired is not None or not has_newer_targets(held, found):
                return False
            version, digest = found.targets_version, found.targets_digest
            line = happenings.new_targets(held.record.pin, version, digest)
            after = self._with([replace(held.record, targets=(version, digest))])
            self._write(after, [found.targets_metadata, *found.targets.values()], line, clock)
            return True

    def set_floor(self, floor: datetime, reason: str, clock: datetime) -> None:
        """Set the time floor by hand, on record: the way out after a wrong clock."""
        with self._locked():
            line = happenings.new_floor(self.floor, floor, reason)
            self._write(replace(self.loaded.state, floor=floor), [], line, clock)

    def accept_settings(self, reason: str, clock: datetime, *, rename: bool = False) -> None:
        """Believe `site.toml` as it is now, on record.

        Args:
            reason: why it was edited.
            clock: the time for the log.
            rename: a site that has a name may get another one.

        Raises:
            UsageError: it makes no sense (``site-settings``). TrustError: another site's (``site-renamed``).
            EnvError: the disk.
        """
        with self._locked():
            raw, state = read_settings(self.folder), self.loaded.state
            settings, digest = parse_settings(raw), sha256_of(raw)
            if state.site not in (None, settings.name) and not rename:
                raise TrustError(
                    "site-renamed", "site", settings.name or "without a name",
                    got=f"state of site {state.site}", want="the same name",
                    hints=[
                        "a state is never copied from another site: pin anew there (sealift trust pin)",
                        "if this very site got a new name: --rename-site",
                    ],
                )  # fmt: skip
            line = happenings.new_settings(state.settings, digest, settings, reason)
            self._write(replace(state, site=settings.name, settings=digest), [], line, clock)
            self.settings = settings

    def note_alarm(self, error: TrustError, clock: datetime) -> None:
        """Add an alarm to the log, unless the last line tells of it already; nothing else changes."""
        with self._locked():
            line = happenings.alarm(error)
            if not repeats(self.loaded.log[-1], line):
                self._write(self.loaded.state, [], line, clock)

    def note_load(self, facts: Mapping[str, Any], clock: datetime) -> None:
        """Add to the log what was loaded where; nothing else changes.

        Raises:
            TrustError: the state is not what this run began with. EnvError: the disk.
        """
        if not self.read_only:
            with self._locked():
                self._write(self.loaded.state, [], happenings.loaded(facts), clock)

    def add_pin(self, root: bytes, record: PinRecord, clock: datetime) -> None:
        """Write another pinned root (pin.py decides whether it may be).

        Raises:
            TrustError: another run has pinned a root meanwhile (``state-changed``). EnvError: the disk.
        """
        with self._pins_unchanged():
            line = happenings.pinned(record)
            self._write_pins([record], root, line, clock)

    def replace_pin(self, root: bytes, record: PinRecord, retired: Digest, how: Retirement) -> None:
        """Write another pinned root in the place of one that is given up (reanchor.py decides whether it may be).

        Raises:
            TrustError: another run has pinned a root meanwhile (``state-changed``). EnvError: the disk.
        """
        with self._pins_unchanged():
            line = happenings.reanchored(record, retired, how)
            given_up = replace(self.held(retired).record, retired=how)
            self._write_pins([given_up, record], root, line, how.at)

    def _writes_nothing(self, basis: TimeBasis) -> bool:
        return self.read_only or basis.source == "typed"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self.folder / "lock", what="state lock", wait=True, hints=[_NOT_WRITABLE]):
            before = self.loaded.state.settings
            self.loaded = load_snapshot(self.folder)
            if self.loaded.state.settings != before:
                raise changed_meanwhile("other settings, accepted", "the settings that this run began with")
            sweep(self.folder)
            yield

    @contextlib.contextmanager
    def _pins_unchanged(self) -> Iterator[None]:
        """The lock, if the pins are those that a new one was weighed against: no record is ever made anew."""
        before = [(pin.record.pin, pin.record.retired) for pin in self.loaded.pins]
        with self._locked():
            if [(pin.record.pin, pin.record.retired) for pin in self.loaded.pins] != before:
                raise changed_meanwhile("other roots, pinned", "the pins that this one was weighed against")
            yield

    def _raised_floor(self, standing: Standing, delivery: Delivery, times: Iterable[datetime]) -> datetime | None:
        if standing.status == "historic":
            return self.floor
        proved = [delivery.created_at, *(time for time in times if time - standing.basis.clock <= CLOCK_TOLERANCE)]
        return max([*proved, *([self.floor] if self.floor else [])]).replace(microsecond=0)

    def _with(self, records: Sequence[PinRecord]) -> SiteState:
        """The generation in hand with some pins' records replaced or added."""
        before = self.loaded.state
        pins = {pin.pin: pin for pin in before.pins} | {record.pin: record for record in records}
        return replace(before, pins=tuple(pins[digest] for digest in sorted(pins, key=str)))

    def _write_pins(self, records: Sequence[PinRecord], root: bytes, line: Mapping[str, Any], clock: datetime) -> None:
        write_atomically(pin_path(self.folder, sha256_of(root)), root, what="pin")
        self._write(self._with(records), [root], line, clock)

    def _write(self, after: SiteState, contents: Iterable[bytes], line: Mapping[str, Any], clock: datetime) -> None:
        for raw in contents:
            write_content(self.folder, raw)
        dated = {**line, "at": format_moment(clock.replace(microsecond=0))}
        write_generation(self.folder, next_state(after, self.loaded.log, dated), self.loaded.log)
        self.loaded = load_snapshot(self.folder)


def load_site(folder: Path, *, read_only: bool = False, min_sequence: int = 1, new_settings: bool = False) -> Site:
    """Load a site's state; creates nothing.

    Args:
        folder: the state folder.
        read_only: never write to it.
        min_sequence: what new deliveries have to reach in this run.
        new_settings: go on though `site.toml` was edited since it was accepted, to show or accept it.

    Raises:
        TrustError: nothing was ever pinned here (``no-pin``), the state is not what was written (``state-damaged``),
            or `site.toml` is not what was accepted (``settings-changed``).
        UsageError: `site.toml` (``site-settings``). EnvError: the disk.
    """
    if not is_pinned(folder):
        raise no_pin(folder)
    loaded, raw = load_snapshot(folder), read_settings(folder)
    if not new_settings and sha256_of(raw) != loaded.state.settings:
        raise TrustError(
            "settings-changed", "settings", "site.toml", got=str(sha256_of(raw)),
            want=f"{loaded.state.settings}, as they were accepted",
            hints=["if you changed them: sealift trust state --accept-settings --reason TEXT", "else find out who did"],
        )  # fmt: skip
    return Site(folder, parse_settings(raw), loaded, read_only=read_only, min_sequence=min_sequence)


def open_for_site(site: Site, files: Mapping[str, bytes], basis: TimeBasis) -> OpenedTrust:
    """Open a bundle's trust metadata from this site's pin.

    Roots come first: held against those that the site has, and the newer ones written (unless the site is read-only or
    the time was typed), before anything else can refuse the bundle.

    Raises:
        TrustError: as `open_roots` and `open_trust`; ``root-fork`` leaves an alarm in the log.
    """
    with alarms(site, basis):
        roots = open_roots(site.loaded.pins, files)
        site.persist_roots(roots, basis)
    return open_under_roots(roots, files, basis, site.rules.grace)


def compare_with_site(
    site: Site, opened: OpenedTrust, delivery: Delivery, basis: TimeBasis, *, historic: bool = False
) -> Standing:
    """How an opened bundle stands with this site; raises as `acceptance.compare`, alarms go to the log too."""
    with alarms(site, basis):
        held = site.held(opened.roots.pin)
        return compare(held, opened, delivery, basis, site.rules, historic=historic, judge=site.judge_of(held))


def weigh_with_site(site: Site, weigh: WeighLogs, basis: TimeBasis) -> tuple[LogRecord, ...]:
    """Hold a bundle's checkpoints of logs against those that this site remembers; alarms go to the log too."""
    with alarms(site, basis):
        return weigh(site.loaded.state.logs)


@contextlib.contextmanager
def alarms(site: Site, basis: TimeBasis) -> Iterator[None]:
    """Where a TrustError that is an alarm leaves a line in the log, unless nothing is written at all.

    A log that cannot be written hides no alarm: it is told with it.
    """
    try:
        yield
    except TrustError as error:
        if error.code in ALARMS and not site.read_only and basis.source != "typed":
            try:
                site.note_alarm(error, basis.clock)
            except (EnvError, TrustError) as unwritten:
                error.hints = (*error.hints, f"this alarm could not be written into the site's log: {unwritten}")
        raise


def _contents(opened: OpenedTrust) -> list[bytes]:
    trusted = opened.trusted
    return [*opened.roots.chain.roots, trusted.targets_metadata, *trusted.targets.values()]
