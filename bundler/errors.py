"""Every exception of Sealift, sorted by what the reader can do next.

    SealiftError
    ├── RejectedError      exit 1   a claim or a demand does not hold, or evidence is missing
    │   └── MalformedError exit 1   bytes that have no one meaning (a parser refused them)
    ├── UsageError         exit 2   the command line, a policy or a settings file is wrong
    ├── DamagedError       exit 3   the bundle's bytes are not what was signed
    ├── TrustError         exit 4   pin, TUF metadata, inventory digest, rollback, expiry, clock, audience
    ├── UnsupportedError   exit 5   a format, or something marked critical, that this version does not know
    └── EnvError           exit 6   skopeo, network, disk

Rules of this module:
- An error has a reason code (lower-case words joined by hyphens; scripts branch on it) and says what, which, got and
  expected; hints tell the way out. `str()` gives `<what> <which>: <got>, expected <want>`.
- Leaves raise. Three places turn errors into results: verify/pipeline.py, deliver/serve.py, cli/main.py. Elsewhere a
  named type may be caught to retry, or to add context by raising another one `from` it.
- Text is kept as it came; whoever prints it escapes it (bundler/escaping.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import ClassVar

EXIT_VERIFIED = 0
EXIT_BUG = 70


class SealiftError(Exception):
    """Base of all errors. Never raised itself.

    Args:
        code: reason code, stable across versions, e.g. ``subject-mismatch``.
        what: the kind of thing, e.g. ``blob``.
        which: the one meant, e.g. its digest.
        got: what was found.
        want: what was expected.
        hints: ways out, one line each.
    """

    exit_code: ClassVar[int] = EXIT_BUG

    def __init__(
        self, code: str, what: str, which: str = "", *, got: str = "", want: str = "", hints: Sequence[str] = ()
    ) -> None:
        super().__init__(code, what, which, got, want)
        self.code = code
        self.what = what
        self.which = which
        self.got = got
        self.want = want
        self.hints = tuple(hints)

    def __str__(self) -> str:
        subject = f"{self.what} {self.which}".strip()
        facts = ", ".join(part for part in (self.got, self.want and f"expected {self.want}") if part)
        return f"{subject}: {facts}" if facts else subject


class RejectedError(SealiftError):
    """A claim or a demand does not hold, or evidence is missing."""

    exit_code = 1


class MalformedError(RejectedError):
    """Bytes that have no one meaning: a parser refused them."""


class UsageError(SealiftError):
    """The command line, a policy or a settings file is wrong."""

    exit_code = 2


class DamagedError(SealiftError):
    """The bundle's bytes are not what was signed."""

    exit_code = 3


class TrustError(SealiftError):
    """Pin, TUF metadata, inventory digest, rollback, expiry, clock or audience."""

    exit_code = 4


class UnsupportedError(SealiftError):
    """A format, or something marked critical, that this version does not know."""

    exit_code = 5


class EnvError(SealiftError):
    """The world around us: skopeo, network, disk."""

    exit_code = 6


class TooLongError(EnvError):
    """More bytes than were asked for. Where a signed document says how many there are, that is no mishap."""


@contextlib.contextmanager
def hinting(hint: str) -> Iterator[None]:
    """Add `hint` to every error of ours from inside the block: for instance which of several files it is about."""
    try:
        yield
    except SealiftError as error:
        error.hints = (*error.hints, hint)
        raise
