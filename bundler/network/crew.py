"""Threads for work that may hang: whoever waits for them can leave without them.

Rules of this module:
- Python's own pools join their threads when the program ends, so one that waits for a connection would hold up Ctrl-C
  for as long as the connection may take. These threads do not hold up anybody.
- Whatever a piece of work raises is raised again where its result is asked for, bugs too.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from types import TracebackType
from typing import Self, TypeVar

_Result = TypeVar("_Result")


def start(work: Callable[[], _Result]) -> Future[_Result]:
    """Start a piece of work in a thread of its own."""
    outcome: Future[_Result] = Future()
    Thread(target=_run, args=(work, outcome), daemon=True).start()
    return outcome


def _run(work: Callable[[], _Result], outcome: Future[_Result]) -> None:
    with _Told(outcome):
        outcome.set_result(work())


class _Told:
    """Hands what its block raises to whoever waits for the outcome."""

    def __init__(self, outcome: Future[_Result]) -> None:
        self._outcome = outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self._outcome.set_exception(error)
        return True
