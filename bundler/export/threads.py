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
    try:
        for item in items:
            if len(running) >= workers:
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                if any(outcome.exception() for outcome in ended):
                    break
            begun.append(start(partial(call, item)))
            running.add(begun[-1])
        return [outcome.result() for outcome in begun]
    except BaseException:
        wait(running, timeout=limits.HALT_SECONDS)
        raise
