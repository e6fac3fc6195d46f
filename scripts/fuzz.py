"""Fuzz what reads hostile bytes: `make fuzz`, for as long as FUZZ_SECONDS says (60).

Rules:
- Inputs come from hypothesis, which changes good ones in their structure and in their bytes, and makes a finding small.
- Targets take turns in short rounds, so that each gets its share whatever the time.
- The seed is told; with it, and the target, a finding comes again: `python -m scripts.fuzz --target NAME --seed N`.
- With a bound on rounds as well (FUZZ_ROUNDS), a quicker machine goes no further than the one on which it was tried.
"""

from __future__ import annotations

import argparse
import base64
import secrets
import sys
import time
from collections import Counter

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.simulators.fuzz_strategies import changed
from tests.simulators.fuzz_targets import Target, targets

EXAMPLES = 50
CHECKS = tuple(HealthCheck)


class FindingError(Exception):
    """A bug: what was wrong, and the input that shows it."""

    def __init__(self, raw: bytes, cause: Exception) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.raw = raw


def play(target: Target, number: int, told: Counter[str], *, examples: int = EXAMPLES) -> None:
    """One round. Raises FindingError."""

    @seed(number)
    @settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=CHECKS,
        phases=(Phase.generate, Phase.shrink),
    )  # fmt: skip
    @given(changed(target.seeds, target.words))
    def one(inputs: tuple[bytes, bytes]) -> None:
        good, raw = inputs
        told["inputs"] += 1
        try:
            told["accepted"] += target.check(good, raw) and raw != good
        except Exception as error:
            raise FindingError(raw, error) from error

    one()


def main() -> None:
    """Fuzz until the time is over; 1 at a finding."""
    parser = argparse.ArgumentParser(description="Fuzz what reads hostile bytes.")
    parser.add_argument("--seconds", type=float, default=60, help="how long [60]")
    parser.add_argument("--rounds", type=int, help="how many rounds at most [any number]")
    parser.add_argument("--seed", type=int, help="where to start [a random number, told]")
    parser.add_argument("--target", action="append", help="only this one; may be given several times")
    options = parser.parse_args()
    start = secrets.randbits(32) if options.seed is None else options.seed
    everything = targets()
    if unknown := sorted(set(options.target or ()) - set(everything)):
        sys.exit(f"fuzz: no target {unknown}; there are {sorted(everything)}")
    chosen = {name: everything[name] for name in options.target or everything}
    print(f"fuzz: {len(chosen)} targets, {options.seconds:.0f} s, seed {start}", flush=True)
    told = {name: Counter[str]() for name in chosen}
    end, number = time.monotonic() + options.seconds, start
    while time.monotonic() < end and (options.rounds is None or number < start + options.rounds):
        for name, target in chosen.items():
            if time.monotonic() >= end:
                break
            try:
                play(target, number, told[name])
            except FindingError as finding:
                report(name, number, finding)
        number += 1
    for name, counts in told.items():
        print(f"  {name:<40} {counts['inputs']:>8} inputs {counts['accepted']:>6} accepted, and telling the same")
    print(f"fuzz: {sum(counts['inputs'] for counts in told.values())} inputs, no finding", flush=True)


def report(name: str, number: int, finding: FindingError) -> None:
    """Say how to see it again, and end."""
    print(f"fuzz: FINDING in {name}: {finding}", file=sys.stderr)
    print(f"input, base64: {base64.b64encode(finding.raw).decode()}", file=sys.stderr)
    print(f"hint: python -m scripts.fuzz --seconds 1 --seed {number} --target {name!r}", file=sys.stderr)
    raise finding


if __name__ == "__main__":
    main()
