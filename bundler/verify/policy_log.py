"""How well a signature has to be logged.

Rules of this module:
- `promise` < `proof` < `witnessed`. A promise is the log's word; a proof shows the entry in a tree whose head the log
  signed; witnessed means that a known witness cosigned that head, so the log cannot show another one to somebody else.
- A threshold counts different logs, never entries (CVE-2026-49834), and only those that are strong enough. Logs of one
  operator, where the trusted root names operators, count as one.
- Without a demand, what `verify/signed.py` accepts is accepted, and its strength is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bundler.errors import RejectedError
from bundler.fields import Fields
from bundler.value import dataclass
from bundler.verify.policy_text import wrong

if TYPE_CHECKING:
    from bundler.verify.logged import LogFact
    from bundler.verify.signatures import VerifiedSignature

STRENGTHS = ("promise", "proof", "witnessed")
_MAX_LOGS = 32


@dataclass(frozen=True, slots=True)
class LogDemand:
    """`count` different logs, of different operators, each at least as strong as `strength`."""

    strength: str
    count: int = 1

    def at_least(self, strength: str) -> LogDemand:
        """The same demand, or the stronger one."""
        return LogDemand(max(self.strength, strength, key=STRENGTHS.index), self.count)

    def check(self, verified: VerifiedSignature) -> None:
        """Check how well a verified signature was logged.

        Raises:
            RejectedError: no log entry is strong enough (code ``log-strength``), or too few logs hold one
                (``log-threshold``).
        """
        wanted = STRENGTHS.index(self.strength)
        strong = {fact.voice for fact in verified.logs if strength_of_log(fact) >= wanted}
        if not strong:
            best = max((strength_of_log(fact) for fact in verified.logs), default=-1)
            got = f"at most: {STRENGTHS[best]}" if best >= 0 else "no log entry"
            raise RejectedError("log-strength", "log entry", got=got, want=self.strength)
        if len(strong) < self.count:
            raise RejectedError(
                "log-threshold", "log entry", got=f"{self.strength} by {len(strong)} log(s)", want=f"{self.count} logs"
            )

    def __str__(self) -> str:
        return f"log {self.strength}" + (f" by {self.count} logs" if self.count > 1 else "")


def strength_of_log(fact: LogFact) -> int:
    """Position in `STRENGTHS` of what one log showed."""
    if not fact.proved:
        return STRENGTHS.index("promise")
    return STRENGTHS.index("witnessed" if fact.witnesses else "proof")


def parse_log_demand(fields: Fields) -> LogDemand | None:
    """Read `log` and `log_threshold` of a demand; None when neither is typed.

    Raises:
        UsageError: another word (code ``policy``).
    """
    if "log" not in fields and "log_threshold" not in fields:
        return None
    strength = fields.text("log") if "log" in fields else STRENGTHS[0]
    if strength not in STRENGTHS:
        raise wrong(f"{fields.where}.log", repr(strength[:80]), " or ".join(STRENGTHS))
    count = fields.integer("log_threshold", minimum=1, maximum=_MAX_LOGS) if "log_threshold" in fields else 1
    return LogDemand(strength, count)
