"""`sealift serve` where it does not come to serving, and what it prints."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bundler.cli.console import Bar
from tests.cli.session import Result, call
from tests.delivered import Delivered
from tests.simulators.serving import serving


def serve(delivered: Delivered, *words: str | Path, policy: bool = True, bundle: Path | None = None) -> Result:
    judged = ("--policy", delivered.policy) if policy else ()
    return call("serve", bundle or delivered.bundle, *judged, "--state", delivered.state, *words)


def test_without_a_policy_nothing_is_served(delivered: Delivered) -> None:
    done = serve(delivered, policy=False)
    assert (done.code, "no-policy" in done.out, "serving" in done.out) == (1, True, False)
    as_json = serve(delivered, "--json", policy=False)
    assert json.loads(as_json.out)["verdict"] == "rejected"


def test_a_damaged_bundle_is_not_served(delivered: Delivered, tmp_path: Path) -> None:
    raw = bytearray(delivered.bundle.read_bytes())
    raw[len(raw) // 2] ^= 1
    damaged = tmp_path / "damaged.bundle.tar"
    damaged.write_bytes(raw)
    done = serve(delivered, bundle=damaged)
    assert (done.code, "serving" in done.out) == (3, False)


def test_one_bad_bundle_of_two_stops_both(delivered: Delivered, tmp_path: Path) -> None:
    bad = tmp_path / "bad.bundle.tar"
    bad.write_bytes(b"no bundle")
    done = serve(delivered, bad)
    assert (done.code, "serving" in done.out) == (3, False)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--listen", "nowhere"), 2, "[listen]"),
        (("--listen", "127.0.0.1:99999"), 2, "[listen]"),
        (("--tls-cert", "absent.pem"), 2, "--tls-key"),
        (("--tls-key", "absent.pem"), 2, "--tls-cert"),
        (("--tls-cert", "absent.pem", "--tls-key", "absent.pem"), 6, "No such file or directory"),
        (("--at", "2027-01-01T00:00Z"), 2, "--at"),
        (("--recheck", "0"), 2, "--recheck"),
        (("-",), 6, "[pipe]"),
        (("absent.bundle.tar",), 6, "[file-absent]"),
        (("--state", "absent"), 4, "[no-pin]"),
    ],
)
def test_what_cannot_begin(delivered: Delivered, words: tuple[str, ...], code: int, told: str) -> None:
    done = serve(delivered, *words)
    assert (done.code, told in done.err) == (code, True), done.err
    assert "serving" not in done.out


def test_an_address_that_is_taken(delivered: Delivered) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = serve(delivered, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert (done.code, "[listen-failed]" in done.err) == (6, True)


def test_other_machines_without_tls_are_a_warning(delivered: Delivered) -> None:
    for address, warned in (("0.0.0.0:0", True), ("127.0.0.1:0", False), ("[::1]:0", False)):
        done = serve(delivered, "--listen", address, policy=False)
        assert ("nothing is encrypted" in done.err) is warned


def test_what_can_be_pulled_is_printed(delivered: Delivered) -> None:
    with serving(delivered.bundle, "--policy", delivered.policy, "--state", delivered.state) as running:
        assert [offer["name"].partition(":")[0] for offer in running.offers] == [
            "registry.example.org/team/app",
            "registry.example.org/team/tool",
        ]
        assert running.stop() == 0


def test_the_bar_of_the_verification_is_gone_before_anything_is_told(
    delivered: Delivered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it is drawn over the request log for as long as the server runs."""
    seen: list[str] = []

    @contextmanager
    def bar(*_: object, **__: object) -> Iterator[Bar]:
        seen.append("bar")
        yield Bar()
        seen.append("gone")

    monkeypatch.setattr("bundler.cli.console.progress", bar)
    monkeypatch.setattr("bundler.cli.serve._tell_opened", lambda *_, **__: seen.append("told"))
    monkeypatch.setattr("bundler.deliver.serve.watch", lambda *_: seen.append("serving"))
    assert serve(delivered, "--listen", "127.0.0.1:0").code == 0
    assert seen == ["bar", "gone", "told", "serving"]


def test_the_manual_page(delivered: Delivered) -> None:
    page = call("help", "serve")
    assert page.code == 0
    assert "hosts.toml" in page.out
