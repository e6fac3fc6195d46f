"""The state folder on disk: how a generation is loaded, verified and first made.

    site.toml            settings, typed by people (settings.py); the state holds the digest of what was accepted
    pins/<sha256>.json   the pinned roots: they come from people, never from a bundle
    content/<sha256>     roots, targets' metadata and targets, by content
    kept/<sha256>        what is kept of accepted deliveries (keeping.py)
    state.json           one generation of everything else (state.py), replaced as a whole
    log.jsonl            append-only, hash-chained; every change and every alarm (state_log.py)
    lock                 held while anything is compared and written

Rules of this module:
- Everything is verified again when it is loaded, as if it were hostile: hashes, log chain, roots from the pin on.
- Order of writing: contents, then `state.json` (which holds its own log line), then the log. A log that lacks just that
  line is completed; anything else that does not fit is TrustError ``state-damaged``, and nothing is rebuilt.
- A log that is ahead of the state means that the state was put back from an older copy.
- What killed runs have left is removed before the next generation is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, TrustError
from bundler.moment import format_moment
from bundler.safe_file import disk_errors, read_bounded, remove_temporaries, write_atomically
from bundler.value import dataclass
from trust_root.metadata import parse_root, parse_targets
from trust_root.newest import HeldPin
from trust_root.root_chain import verify_held
from trust_root.settings import parse_settings
from trust_root.state import PinRecord, SiteState, format_state, next_state, parse_state
from trust_root.state_log import damaged, format_log, parse_log, state_damaged

_FOLDERS = ("pins", "content")
_MOST_READINGS = 100  # one generation between two readings is rare; a hundred in a row do not happen


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One generation as it was loaded: the document, the pins with their bytes, and the log."""

    state: SiteState
    digest: Digest
    pins: tuple[HeldPin, ...]
    log: tuple[str, ...]


def is_pinned(folder: Path) -> bool:
    """Whether this folder holds a site's state; false also for a folder that an interrupted first pin has left.

    Raises:
        TrustError: there is a log, or more than a first pin leaves, without a state (``state-damaged``).
    """
    if (folder / "state.json").exists():
        return True
    contents = folder / "content"
    more = contents.is_dir() and len([path for path in contents.iterdir() if path.suffix != ".tmp"]) > 1
    if more or (folder / "log.jsonl").exists():
        raise state_damaged("state.json", "absent")
    return False


def pin_path(folder: Path, pin: Digest) -> Path:
    """Where a pinned root lies."""
    return folder / "pins" / f"{pin.hex}.json"


def write_content(folder: Path, raw: bytes) -> None:
    """Write bytes under their hash, unless they are there."""
    path = folder / "content" / sha256_of(raw).hex
    if not path.exists():
        write_atomically(path, raw, what="state content")


def load_snapshot(folder: Path) -> Snapshot:
    """Load and verify one generation. The caller need not hold the lock.

    Raises:
        TrustError: code ``state-damaged``. EnvError: others write without a pause (``state-busy``).
    """
    raw, log_raw = _read_together(folder)
    state = parse_state(raw)
    log = _complete_log(state, parse_log(log_raw))
    try:
        pins = tuple(_load_pin(folder, record) for record in state.pins)
    except TrustError as error:
        if error.code == "state-damaged":
            raise
        raise state_damaged("pins", str(error)) from error
    return Snapshot(state, sha256_of(raw), pins, log)


def create_site(folder: Path, settings: bytes, root: bytes, record: PinRecord, clock: datetime) -> None:
    """Write the first generation of a fresh state folder, whose lock the caller holds.

    `site.toml` is kept if it is there. `state.json` comes before the log, so a folder without it was never pinned.
    """
    for name in _FOLDERS:
        with disk_errors("state", folder / name):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
    sweep(folder)
    if not (folder / "site.toml").exists():
        write_atomically(folder / "site.toml", settings, what="settings")
    write_atomically(pin_path(folder, record.pin), root, what="pin")
    write_content(folder, root)
    line = {
        "kind": "pin",
        "pin": str(record.pin),
        "version": record.roots[0][0],
        "at": format_moment(clock),
    }
    raw = read_settings(folder)
    state = SiteState(0, None, parse_settings(raw).name, sha256_of(raw), (record,))
    write_generation(folder, next_state(state, (), line), ())


def read_settings(folder: Path) -> bytes:
    """Bytes of `site.toml`; none if it is gone, which is then noticed by its digest.

    Raises:
        EnvError: it cannot be read.
    """
    path = folder / "site.toml"
    return read_bounded(path, limits.SETTINGS_BYTES, "settings") if path.exists() else b""


def write_generation(folder: Path, state: SiteState, log: Sequence[str]) -> None:
    """Write a generation whose contents are there, after `log`; the caller holds the lock.

    Raises:
        EnvError: the disk; or it would be too large to be read again (``file-size``), and nothing is written.
    """
    files = {"state.json": format_state(state), "log.jsonl": format_log((*log, state.log_line))}
    for name, raw in files.items():
        if len(raw) > limits.STATE_FILE_BYTES:
            want = f"at most {limits.STATE_FILE_BYTES}"
            raise EnvError("file-size", "state", name, got=f"{len(raw)} bytes", want=want)
    for name, raw in files.items():
        write_atomically(folder / name, raw, what="state")


def sweep(folder: Path) -> None:
    """Remove the temporary files of runs that were killed; the caller holds the lock, so nobody is writing."""
    for place in (folder, *(folder / name for name in _FOLDERS)):
        remove_temporaries(place)


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        return read_bounded(path, max_bytes, "state")
    except EnvError as error:
        if error.code in {"file-absent", "file-size", "file-kind"}:
            raise state_damaged(path.name, error.got) from error
        raise


def _read_together(folder: Path) -> tuple[bytes, bytes]:
    """`state.json` and the log of one moment: another process may write a generation between the two readings."""
    path = folder / "state.json"
    before = _read(path, limits.STATE_FILE_BYTES)
    for _ in range(_MOST_READINGS):
        log = _read_log(folder)
        after = _read(path, limits.STATE_FILE_BYTES)
        if after == before:
            return before, log
        before = after
    raise EnvError("state-busy", "state", str(folder), got="written again and again", want="a moment without writers")


def _read_log(folder: Path) -> bytes:
    path = folder / "log.jsonl"
    return _read(path, limits.STATE_FILE_BYTES) if path.exists() else b""


def _content(path: Path, digest: Digest) -> bytes:
    raw = _read(path, max(limits.TRUST_METADATA_BYTES, limits.TRUST_TARGET_BYTES))
    if sha256_of(raw) != digest:
        raise state_damaged(f"{path.parent.name}/{path.name}", "other bytes")
    return raw


def _complete_log(state: SiteState, lines: tuple[str, ...]) -> tuple[str, ...]:
    count = state.log_lines
    if len(lines) == count - 1:
        with damaged("log.jsonl"):
            return parse_log(format_log((*lines, state.log_line)))
    if len(lines) < count or lines[count - 1] != state.log_line:
        raise state_damaged("log.jsonl", "cut, or not the log of this state")
    if len(lines) > count:
        raise state_damaged("state.json", "older than the log: it was put back from a copy")
    return lines


def _load_pin(folder: Path, record: PinRecord) -> HeldPin:
    root = _content(pin_path(folder, record.pin), record.pin)
    version = parse_root(root).signed.version
    roots = {number: _content(folder / "content" / digest.hex, digest) for number, digest in record.roots}
    if roots.get(version) != root:
        raise state_damaged("state.json", f"no root {version} that equals the pin")
    _verify_roots(roots, version)
    if record.targets is None:
        return HeldPin(record, version, root, roots, None, {})
    metadata = _content(folder / "content" / record.targets[1].hex, record.targets[1])
    signed = parse_targets(metadata).signed
    if signed.version != record.targets[0]:
        raise state_damaged("state.json", f"targets {record.targets[0]} are version {signed.version}")
    digests = {path: Digest("sha256", target.hashes["sha256"]) for path, target in signed.targets.items()}
    targets = {path: _content(folder / "content" / digest.hex, digest) for path, digest in digests.items()}
    return HeldPin(record, version, root, roots, metadata, targets)


def _verify_roots(roots: Mapping[int, bytes], pinned: int) -> None:
    if min(roots) not in (1, pinned):
        raise state_damaged("state.json", "roots before the pin, but not from root 1")
    verify_held(roots)
