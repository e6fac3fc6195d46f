"""How strong a verified signature is: the words of REPORT.md, and their order.

Rules: a check over several signatures is as strong as the weakest of them. A proof counts more than a promise, for the
log cannot take it back; a proof that the exporter fetched later counts less than one that the signer got; each known
witness adds to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bundler.verify.logged import LogFact
from bundler.verify.signatures import VerifiedSignature

NOT_LOGGED = "signed, not logged"
STAMPED = "signed, RFC 3161 time, not logged"
LOGGED = "signed, inclusion promise"
PROVED = "signed, inclusion proof"
FETCHED = "signed, inclusion proof, fetched at export"
# Of files without a statement (INSPECT.md).
BY_TAG = "unsigned, bound to the image by its tag only"
BY_TAG_SIGNED = "signed, bound to the image by its tag only"
AS_REFERRER_SIGNED = "signed, in a referrer of the image"


def strength_of(verified: VerifiedSignature) -> str:
    """How strong a verified signature is, in the words of REPORT.md."""
    return strength_of_logs(verified.logs, stamped=bool(verified.times))


def strength_of_logs(logs: Sequence[LogFact], *, stamped: bool) -> str:
    """Likewise, from its log entries, the strongest first, and whether anybody vouched for a time."""
    if not logs:
        return STAMPED if stamped else NOT_LOGGED
    log = logs[0]
    if not log.proved:
        return LOGGED
    if log.witnesses:
        return f"{PROVED}, {len(log.witnesses)} witness{'es' if len(log.witnesses) > 1 else ''}"
    return FETCHED if log.fetched else PROVED


def weakest(verified: Sequence[VerifiedSignature]) -> VerifiedSignature:
    """The weakest of some signatures, at least one."""
    return min(verified, key=_rank)


def _rank(verified: VerifiedSignature) -> tuple[int, int, bool]:
    log = verified.log
    if log is None:
        return int(bool(verified.times)), 0, False
    return 2 + log.proved, len(log.witnesses), not log.fetched
