"""`make peers`: optional, pinned, and out of the way of everything else."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NEEDED = ("sh", "dirname", "mkdir", "nice", "grep")
PINNED = re.compile(r"[a-z0-9./-]+@v\d+\.\d+\.\d+")
GO = """#!/bin/sh
case "$1" in
version) printf '%s: go1.26\\n\\tmod\\t%s\\t%s\\th1:x\\n' "$3" "$(cat "$3.module")" "$(cat "$3.version")" ;;
install)
    printf '%s\\n' "$GOFLAGS $2" >>"$LOG"
    case "$2" in */regctl@*) [ -z "${BROKEN:-}" ] || exit 1 ;; esac
    version=${2##*@} package=${2%@*}
    printf '%s' "$version" >"$GOBIN/${package##*/}.version"
    printf '%s' "${package%/cmd/*}" >"$GOBIN/${package##*/}.module"
    : >"$GOBIN/${package##*/}" && chmod +x "$GOBIN/${package##*/}" ;;
esac
"""


def run(root: Path, folder: Path, *, has_go: bool = True, **more: str) -> tuple[int, str, list[str]]:
    """Run the script in a tree of its own; its code, what it says, and what it asked Go to build."""
    tools, scripts, log = folder / "tools", folder / "scripts", folder / "log"
    if not tools.exists():
        tools.mkdir()
        scripts.mkdir()
        shutil.copy(root / "scripts" / "peers.sh", scripts)
        for name in (*NEEDED, "cat", "chmod"):
            (tools / name).symlink_to(shutil.which(name) or name)
        if has_go:
            (tools / "go").write_text(GO)
            (tools / "go").chmod(0o755)
    log.write_text("")
    environment = {"PATH": str(tools), "LOG": str(log), **more}
    command = ["sh", str(scripts / "peers.sh")]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    return done.returncode, done.stderr, log.read_text().splitlines()


def test_without_go_it_says_so_and_ends_well(root: Path, tmp_path: Path) -> None:
    code, said, _ = run(root, tmp_path, has_go=False)
    assert (code, "Go is not installed" in said, (tmp_path / ".peers").exists()) == (0, True, False)


def test_everything_is_pinned_and_built_once(root: Path, tmp_path: Path) -> None:
    code, _, asked = run(root, tmp_path)
    assert (code, len(asked)) == (0, 4)
    assert all(line.startswith("-p=1 ") and PINNED.fullmatch(line.split()[-1]) for line in asked)
    assert {path.name for path in (tmp_path / ".peers" / "bin").iterdir() if not path.suffix} == {
        "crane", "oras", "regctl", "cosign"
    }  # fmt: skip
    assert run(root, tmp_path)[::2] == (0, [])
    (tmp_path / ".peers/bin/oras.version").write_text("v1.0.0")
    assert ["/oras@" in line for line in run(root, tmp_path)[2]] == [True]


def test_some_of_them(root: Path, tmp_path: Path) -> None:
    assert ["/crane@" in line for line in run(root, tmp_path, PEERS="crane")[2]] == [True]


def test_one_that_cannot_be_built_is_named_and_the_others_are_built(root: Path, tmp_path: Path) -> None:
    code, said, asked = run(root, tmp_path, BROKEN="yes")
    assert (code, "not built: regctl" in said, len(asked)) == (6, True, 4)


@pytest.mark.parametrize("place", [".ci/run", "scripts/setup.sh"])
def test_nothing_else_builds_them(root: Path, place: str) -> None:
    assert "peers" not in (root / place).read_text()
    makefile = (root / "Makefile").read_text()
    assert re.findall(r"^([a-z-]+):.*\bpeers\b", makefile, re.MULTILINE) == []
