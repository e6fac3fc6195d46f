"""Windows of the trusted root: how a compromise is told. Other clients miss some of these; we hold them all."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from bundler.encoding import encode_base64
from bundler.verify.material import parse_trusted_root
from tests.simulators.judging import HELD, IDENTITY, SUBJECT, code_of, judge
from tests.simulators.sigstore import SignedLayer, Sigstore
from tests.simulators.sigstore_keys import AT, START

SIGSTORE = Sigstore("windows")
SIGNER = SIGSTORE.keyless(IDENTITY)
LAYERS = [SIGSTORE.sign(SUBJECT, SIGNER), SIGSTORE.attest(SUBJECT, SIGNER)]
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ({}, HELD),
        ({"log_window": (START, AT)}, HELD),
        ({"log_window": (AT, None)}, HELD),
        ({"log_window": (START, AT - SECOND)}, "log-window"),
        ({"log_window": (AT + SECOND, None)}, "log-window"),
        ({"certificate_log_window": (START, AT)}, HELD),
        ({"certificate_log_window": (AT, None)}, HELD),
        ({"certificate_log_window": (START, AT - SECOND)}, "sct"),
        ({"certificate_log_window": (AT + SECOND, None)}, "sct"),
        ({"authority_window": (START, AT)}, HELD),
        ({"authority_window": (AT, None)}, HELD),
        ({"authority_window": (START, AT - SECOND)}, "ca-window"),
        ({"authority_window": (AT + SECOND, None)}, "ca-window"),
        ({"log_window": (None, None)}, "trust-root-malformed"),
        ({"certificate_log_window": (None, None)}, "trust-root-malformed"),
        ({"authority_window": (None, None)}, "trust-root-malformed"),
    ],
)
def test_closed_at_both_ends(layer: SignedLayer, windows: dict[str, Any], expected: str) -> None:
    raw = SIGSTORE.trusted_root_json(**windows)
    assert code_of(lambda: judge(layer, parse_trusted_root(raw))) == expected


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("logs", ["tlogs", "ctlogs"])
def test_the_log_id_must_be_the_keys(layer: SignedLayer, logs: str) -> None:
    """A trusted root with another id for the right key is refused, so no key is ever tried in its place."""
    value = json.loads(SIGSTORE.trusted_root_json())
    value[logs][0]["logId"]["keyId"] = encode_base64(bytes(32))
    assert judged(layer, value) == "trust-root-malformed"


@pytest.mark.parametrize("layer", LAYERS)
def test_another_logs_key_and_id(layer: SignedLayer) -> None:
    other = Sigstore("other windows")
    mine, theirs = (json.loads(each.trusted_root_json()) for each in (SIGSTORE, other))
    for logs, expected in (("tlogs", "log-unknown"), ("ctlogs", "sct")):
        assert judged(layer, {**mine, logs: theirs[logs]}) == expected
        assert judged(layer, {**mine, logs: theirs[logs] + mine[logs]}) == HELD


def judged(layer: SignedLayer, trusted_root: object) -> str:
    return code_of(lambda: judge(layer, parse_trusted_root(json.dumps(trusted_root).encode())))
