"""A stop is heard at once, whichever thread the signal comes to and however early."""

from __future__ import annotations

import subprocess
import sys

import pytest

# The signal goes to another thread, so that nothing interrupts what the main one waits for.
PROGRAM = """
import os, signal, sys, threading, time
from bundler.cli.stopping import stop_signals

def send():
    time.sleep(0.2)
    signal.pthread_kill(threading.get_ident(), getattr(signal, sys.argv[1]))
    time.sleep(60)

with stop_signals() as stop:
    assert not stop.wait(0)
    if sys.argv[2] == "early":
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    else:
        threading.Thread(target=send, daemon=True).start()
    assert stop.wait(50)
    assert stop.wait(50)
print("stopped", flush=True)
os.kill(os.getpid(), signal.SIGTERM)  # as before the block again
time.sleep(60)
"""


@pytest.mark.parametrize("when", ["early", "late"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_is_heard_at_once(name: str, when: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, name, when], capture_output=True, timeout=40, check=False)
    assert (done.stdout, done.returncode) == (b"stopped\n", -15), done.stderr


def test_the_second_signal_ends_the_process() -> None:
    program = """
import os, signal
from bundler.cli.stopping import stop_signals
with stop_signals() as stop:
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
        stop.wait(0)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=40).returncode == -15
