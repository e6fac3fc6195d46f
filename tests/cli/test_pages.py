"""`verify --html` and `diff`, as people call them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bundler.report import html_page
from tests.cli.session import call, run
from tests.delivered import Delivered


def test_a_page_beside_the_report(delivered: Delivered, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    options = ("--policy", delivered.policy, "--state", delivered.state, "--read-only", "--json")
    with_page = call("verify", delivered.bundle, *options, "--html", page)
    assert (with_page.code, json.loads(with_page.out)["verdict"]) == (0, "verified")
    documents = [json.loads(out) for out in (with_page.out, call("verify", delivered.bundle, *options).out)]
    assert documents[0].pop("time").keys() == documents[1].pop("time").keys()
    assert documents[0] == documents[1]
    text = page.read_text(encoding="utf-8")
    assert "<span>Verified</span></h1>" in text
    for image in json.loads(with_page.out)["images"]:
        assert f">{image['name']}</h2>" in text
    assert text.count("Chain of trust. Pinned root") >= 2
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_refusal_has_its_page_too(delivered: Delivered, tmp_path: Path) -> None:
    page, damaged = tmp_path / "report.html", tmp_path / "damaged.bundle.tar"
    refused = call("verify", delivered.bundle, "--state", delivered.state, "--read-only", "--html", page)
    assert (refused.code, "<span>Rejected</span></h1>" in page.read_text()) == (1, True)
    raw = bytearray(delivered.bundle.read_bytes())
    raw[len(raw) // 2] ^= 1
    damaged.write_bytes(raw)
    options = ("--policy", delivered.policy, "--state", delivered.state, "--read-only", "--html", page)
    assert call("verify", damaged, *options).code == 3
    assert "<span>Damaged</span></h1>" in page.read_text()
    assert call("verify", tmp_path / "absent", *options).code == 6
    assert "<span>Not checked</span></h1>" in page.read_text()


def test_a_wrong_path_is_known_at_once(delivered: Delivered, tmp_path: Path) -> None:
    result = call("verify", delivered.bundle, "--state", delivered.state, "--html", tmp_path / "absent" / "report.html")
    assert (result.code, "[file-absent]" in result.err, result.out) == (6, True, "")


def test_an_old_page_stays_when_no_new_one_can_be_made(delivered: Delivered, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("old")
    assert call("verify", delivered.bundle, "--state", tmp_path / "none", "--html", page).code == 4
    assert page.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("command", ["verify", "diff"])
def test_without_jinja2(delivered: Delivered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    html_page._environment.cache_clear()
    files = [delivered.bundle] * (2 if command == "diff" else 1)
    result = call(command, *files, "--state", delivered.state, "--html", tmp_path / "page.html")
    html_page._environment.cache_clear()
    assert (result.code, "[html]" in result.err, "sealift[report]" in result.err) == (2, True, True)
    assert list(tmp_path.iterdir()) == []


def test_without_the_option_nothing_of_it_is_loaded(delivered: Delivered) -> None:
    arguments = ["verify", str(delivered.bundle), "--state", str(delivered.state), "--read-only"]
    code = (
        f"import sys; from bundler.cli.main import main; main({arguments!r}); "
        "print([name for name in ('jinja2', 'bundler.report.html_page') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.endswith("[]\n")


def test_diff_of_a_bundle_with_itself(delivered: Delivered, tmp_path: Path) -> None:
    page = tmp_path / "diff.html"
    result = run("diff", delivered.bundle, delivered.bundle, "--state", delivered.state, "--html", page)
    assert (result.code, "no difference in 2 images" in result.out) == (0, True)
    assert "<span>No difference</span></h1>" in page.read_text()


def test_diff_exit_codes(delivered: Delivered, tmp_path: Path) -> None:
    bundle, none = delivered.bundle, tmp_path / "none"
    untrusted = call("diff", bundle, bundle, "--state", none)
    assert (untrusted.code, untrusted.out.startswith("NOT VERIFIED: no-pin: A")) == (4, True)
    assert call("diff", bundle, bundle, "--state", none, "--untrusted").code == 0
    assert call("diff", "-", bundle, "--state", delivered.state).code == 2
    assert call("diff", bundle, tmp_path / "absent", "--state", delivered.state).code == 6
    cut = tmp_path / "cut.bundle.tar"
    shutil.copyfile(bundle, cut)
    with cut.open("r+b") as file:
        file.truncate(bundle.stat().st_size // 2)
    assert call("diff", bundle, cut, "--state", delivered.state).code == 3


def test_help_of_diff() -> None:
    assert "Example" in call("diff", "--help").out
    assert call("help", "diff").out.startswith("# Differences between two bundles")
