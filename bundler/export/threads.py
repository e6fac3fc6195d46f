"""Many things at once, results in their order.

Rules of this module:
- The first failure in that order is the one raised, whoever failed first, so that messages are the same every time.
- After a failure, or Ctrl-C, what has not begun is not begun; what runs is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_threads(call: Callable[[_Item], _Result], items: Iterable[_Item], workers: int) -> list[_Result]:
    """`call` for each of `items`, at most `workers` at once.

    Raises:
        whatever `call` raises.
    """
    pool = ThreadPoolExecutor(workers)
    try:
        return [future.result() for future in [pool.submit(call, item) for item in items]]
    finally:
        pool.shutdown(cancel_futures=True)
