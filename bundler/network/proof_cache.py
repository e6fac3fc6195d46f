"""Proofs of log entries, kept so that exports repeat byte for byte.

Rules of this module:
- A proof is kept by its entry (log id and global index), with the moment when it was fetched. Nothing kept is believed:
  promise and proof are verified each time. What no longer holds, or is about another entry, is removed and fetched
  once more.
- Without a folder nothing is kept.
- A log that could not be reached is not asked again in the same run: one time-out is enough.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from bundler import limits
from bundler.encoding import decode_base64, encode_base64
from bundler.errors import EnvError, MalformedError, RejectedError
from bundler.fields import Fields
from bundler.moment import format_moment, parse_moment
from bundler.network.rekor import Fetch, ProvedEntry, fetch_proof, prove
from bundler.safe_file import read_bounded, remove, write_atomically
from bundler.strict_json import format_canonical, parse_canonical
from bundler.transparency.log import TransparencyLog
from bundler.transparency.log_entry import TransparencyLogEntry, format_log_entry, parse_log_entry_bytes
from bundler.transparency.promise import Promise, open_promise
from bundler.value import dataclass, field

_WHAT = "kept proof"


@dataclass(frozen=True, slots=True)
class FetchedProof:
    """A promise's entry with its verified proof, and when it came from the log.

    Attributes:
        proved: the entry and what was verified.
        raw: the entry as it travels: `format_log_entry` of it.
        fetched_at: whole seconds, UTC.
    """

    proved: ProvedEntry
    raw: bytes = field(repr=False)
    fetched_at: datetime


class ProofStore:
    """Gives proofs, from the folder or from the log.

    Args:
        fetch: asks a log (log_client.py).
        fetched_at: what is noted for proofs that are fetched now; whole seconds, UTC.
        folder: where proofs are kept; None: nowhere.
    """

    def __init__(self, fetch: Fetch, fetched_at: datetime, folder: Path | None = None) -> None:
        self._fetch = fetch
        self._fetched_at = fetched_at
        self._folder = folder
        self._silent: dict[str, EnvError] = {}

    def proof_of(self, promise: Promise, log: TransparencyLog) -> FetchedProof:
        """The proof of what `log` promised.

        Raises:
            RejectedError, EnvError: see `fetch_proof`; the folder cannot be read or written (EnvError).
        """
        open_promise(promise, [log])
        path = self._folder and self._folder / f"{promise.log_id.hex()}-{promise.log_index}.json"
        if path is not None and (kept := _take(path, promise, log)) is not None:
            return kept
        fetched = _fetched(self._ask(promise, log), self._fetched_at)
        if path is not None:
            write_atomically(path, format_kept(fetched), what=_WHAT)
        return fetched

    def _ask(self, promise: Promise, log: TransparencyLog) -> ProvedEntry:
        if log.url in self._silent:
            before = self._silent[log.url]
            raise EnvError(before.code, before.what, before.which, got=before.got, want=before.want, hints=before.hints)
        try:
            return fetch_proof(promise, log, self._fetch)
        except EnvError as error:
            if error.code == "log-unreachable":
                self._silent[log.url] = error
            raise


def parse_kept(raw: bytes) -> tuple[TransparencyLogEntry, datetime]:
    """Read a kept proof: the entry, and when it was fetched. Nothing is verified.

    Raises:
        MalformedError: anything that `format_kept` does not write.
    """
    fields = Fields(parse_canonical(raw, _WHAT, max_bytes=limits.PROOF_FILE_BYTES), _WHAT)
    fields.exactly("entry", "fetched_at")
    entry = parse_log_entry_bytes(decode_base64(fields.text("entry"), _WHAT, "entry"))
    return entry, parse_moment(fields.text("fetched_at"))


def format_kept(proof: FetchedProof) -> bytes:
    """What is kept of a proof, the inverse of `parse_kept`."""
    value = {"entry": encode_base64(proof.raw), "fetched_at": format_moment(proof.fetched_at)}
    return format_canonical(value, _WHAT)


def _take(path: Path, promise: Promise, log: TransparencyLog) -> FetchedProof | None:
    """A kept proof that still holds; None, and no file any more, when there is none."""
    try:
        entry, fetched_at = parse_kept(read_bounded(path, limits.PROOF_FILE_BYTES, _WHAT))
        return _fetched(_prove_again(entry, promise, log), fetched_at)
    except RejectedError:
        remove(path)
    except EnvError as error:
        if error.code == "file-size":
            remove(path)
        elif error.code != "file-absent":
            raise
    return None


def _prove_again(entry: TransparencyLogEntry, promise: Promise, log: TransparencyLog) -> ProvedEntry:
    kept = (entry.log_id, entry.log_index, entry.integrated_time, entry.body)
    if kept != (promise.log_id, promise.log_index, promise.integrated_time, promise.body):
        raise MalformedError("proof-other-entry", _WHAT, got="another entry", want="the one that was promised")
    if entry.proof is None:
        raise MalformedError("inclusion-proof", _WHAT, got="no proof", want="one")
    return prove(promise, entry.proof, log)


def _fetched(proved: ProvedEntry, fetched_at: datetime) -> FetchedProof:
    return FetchedProof(proved, format_log_entry(proved.entry), fetched_at)
