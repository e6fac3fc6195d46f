"""Lists of referrers are hints: what counts, and in which order."""

from __future__ import annotations

from itertools import permutations

from bundler.network.referrers import keep_referrers
from bundler.oci.manifest import EMPTY_CONFIG
from tests.simulators.images import Layout, layer


def test_the_order_of_a_list_does_not_matter() -> None:
    """A registry lists them as it likes, twice too; two exports of one state are the same bundle all the same."""
    layout = Layout()
    subject, other = (layout.image("linux/amd64", [layer(seed=seed)]) for seed in range(2))
    config = layout.blob(b"{}", EMPTY_CONFIG)
    made = [
        layout.manifest(config, [layout.blob(bytes([number]), "text/plain")], subject=subject) for number in range(3)
    ]
    stray = layout.manifest(config, [], subject=other)
    answers = {
        keep_referrers(listed, subject.digest, lambda entry: layout.read(entry.digest))
        for listed in permutations([*made, made[0], stray])
    }
    (answer,) = answers
    assert [item.digest for item in answer.found] == sorted(item.digest for item in made)
    assert answer.said == "found; 1 listed about something else"
