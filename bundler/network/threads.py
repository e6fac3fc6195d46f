"""Many things at once, results in their order.

Rules of this module:
- The first failure in that order is the one raised, whoever failed first, so that messages are the same every time.
- After a failure, or Ctrl-C, what has not begun is not begun. What runs gets a moment to end; who waits for a
  connection then is left behind (network/crew.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import TypeVar

from bundler import limits
from bundler.network.crew import start

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_threads(call: Callable[[_Item], _Result], items: Iterable[_Item], workers: int) -> list[_Result]:
    """`call` for each of `items`, at most `workers` at once.

    Raises:
        whatever `call` raises.
    """
    begun: list[Future[_Result]] = []
    running: set[Future[_Result]] = set()
    results: list[_Result] = []
    has_failed = False
    try:
        for item in items:
            while len(running) >= workers and not has_failed:
                running, has_failed = _wait(running)
            if has_failed:
                break
            begun.append(start(partial(call, item)))
            running.add(begun[-1])
        for outcome in begun:
            while outcome in running:
                running, _ = _wait(running)
            results.append(outcome.result())
    except BaseException:
        wait(running, timeout=limits.HALT_SECONDS)
        raise
    return results


def _wait(running: set[Future[_Result]]) -> tuple[set[Future[_Result]], bool]:
    """Wait a while for one to end; gives those that still run, and whether one has failed.

    Not for ever: a signal that comes just before a wait without end does not end it.
    """
    ended, left = wait(running, timeout=limits.WATCH_SECONDS, return_when=FIRST_COMPLETED)
    return left, any(outcome.exception() for outcome in ended)
