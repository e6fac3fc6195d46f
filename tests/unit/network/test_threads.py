"""Many things at once: results in order, the first failure in order, nothing begun after it, nobody waited for long."""

from __future__ import annotations

import threading
import time

import pytest

from bundler import limits
from bundler.network.threads import in_threads
from tests.simulators.ctrl_c import pressed_when


def test_results_come_in_order_and_so_many_at_once() -> None:
    running, most = [0], [0]
    lock = threading.Lock()

    def work(number: int) -> int:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.001 * (number % 3))
        with lock:
            running[0] -= 1
        return number * number

    assert in_threads(work, range(50), 4) == [number * number for number in range(50)]
    assert 1 <= most[0] <= 4
    assert in_threads(work, [], 4) == []


def test_the_first_failure_in_order_is_raised_and_nothing_more_begun() -> None:
    begun = []
    later_failed = threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        if number == 0:
            assert later_failed.wait(10)
            raise ValueError(number)
        if number == 1:
            later_failed.set()
            raise KeyError(number)

    with pytest.raises(ValueError, match="0"):
        in_threads(work, range(1000), 2)
    assert len(begun) < 10


def test_who_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HALT_SECONDS", 0.1)
    over, begun, ended = threading.Event(), list[int](), list[int]()

    def work(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise ValueError(number)
        over.wait(30)
        ended.append(number)

    with pytest.raises(ValueError, match="0"):
        in_threads(work, range(3), 3)
    begun.clear()
    with pressed_when(lambda: len(begun) == 3):
        in_threads(work, range(1, 9), 3)
    assert not ended
    over.set()
