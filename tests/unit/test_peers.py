"""`make peers`: optional, pinned, and out of the way of everything else."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NEEDED = ("sh", "dirname", "mkdir", "nice", "grep", "ln", "cat", "chmod")
IN_GO = {"crane", "oras", "regctl", "cosign", "grype", "trivy"}
PINNED = re.compile(r"[a-z0-9./-]+@v\d+\.\d+\.\d+")
GO = """#!/bin/sh
for last; do :; done
case "$1" in
version) printf '%s: go1.26\\n\\tmod\\t%s\\t%s\\th1:x\\n' "$3" "$(cat "$3.module")" "$(cat "$3.version")" ;;
build) exit 1 ;;
install)
    printf '%s\\n' "$GOFLAGS $last" >>"$LOG"
    case "$last" in */regctl@*) [ -z "${BROKEN:-}" ] || exit 1 ;; esac
    version=${last##*@} package=${last%@*}
    printf '%s' "$version" >"$GOBIN/${package##*/}.version"
    printf '%s' "${package%/cmd/*}" >"$GOBIN/${package##*/}.module"
    : >"$GOBIN/${package##*/}" && chmod +x "$GOBIN/${package##*/}" ;;
esac
"""

PYTHON = """#!/bin/sh
mkdir -p "$3/bin"
cat >"$3/bin/pip" <<PIP
#!/bin/sh
printf '#!/bin/sh\\\\necho %s\\\\n' "'pip-audit 2.10.1'" >$3/bin/pip-audit
printf 'pip %s\\\\n' "\\$*" >>"$LOG"
chmod +x $3/bin/pip-audit
PIP
chmod +x "$3/bin/pip"
"""


def run(root: Path, folder: Path, *, has_go: bool = True, **more: str) -> tuple[int, str, list[str]]:
    """Run the script in a tree of its own; its code, what it says, and what it asked Go to build."""
    tools, scripts, log = folder / "tools", folder / "scripts", folder / "log"
    if not tools.exists():
        tools.mkdir()
        scripts.mkdir()
        shutil.copy(root / "scripts" / "peers.sh", scripts)
        for name in NEEDED:
            (tools / name).symlink_to(shutil.which(name) or name)
        (tools / "python3").write_text(PYTHON)
        (tools / "python3").chmod(0o755)
        if has_go:
            (tools / "go").write_text(GO)
            (tools / "go").chmod(0o755)
    log.write_text("")
    environment = {"PATH": str(tools), "LOG": str(log), **more}
    command = ["sh", str(scripts / "peers.sh")]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    return done.returncode, done.stderr, log.read_text().splitlines()


def built(folder: Path) -> set[str]:
    """What is there after a run."""
    return {path.name for path in (folder / ".peers" / "bin").iterdir() if not path.suffix}


def test_without_go_it_says_so_and_ends_well(root: Path, tmp_path: Path) -> None:
    code, said, asked = run(root, tmp_path, has_go=False)
    assert (code, "Go is not installed" in said) == (0, True)
    assert (built(tmp_path), asked) == ({"pip-audit"}, ["pip install --quiet pip-audit==2.10.1"])


def test_everything_is_pinned_and_built_once(root: Path, tmp_path: Path) -> None:
    code, _, asked = run(root, tmp_path)
    assert (code, len(asked)) == (0, 1 + len(IN_GO))
    assert asked[0].startswith("pip install --quiet pip-audit==")
    assert all(line.startswith("-p=1 ") and PINNED.fullmatch(line.split()[-1]) for line in asked[1:])
    assert built(tmp_path) == {"pip-audit"} | IN_GO
    assert run(root, tmp_path)[::2] == (0, [])
    (tmp_path / ".peers/bin/oras.version").write_text("v1.0.0")
    assert ["/oras@" in line for line in run(root, tmp_path)[2]] == [True]


def test_some_of_them(root: Path, tmp_path: Path) -> None:
    assert ["/crane@" in line for line in run(root, tmp_path, PEERS="crane")[2]] == [True]
    assert [line[:4] for line in run(root, tmp_path, PEERS="pip-audit")[2]] == ["pip "]


def test_one_that_cannot_be_built_is_named_and_the_others_are_built(root: Path, tmp_path: Path) -> None:
    code, said, _ = run(root, tmp_path, BROKEN="yes")
    assert (code, "not built: regctl" in said) == (6, True)
    assert built(tmp_path) == {"pip-audit"} | IN_GO - {"regctl"}


@pytest.mark.parametrize("place", [".ci/run", "scripts/setup.sh"])
def test_nothing_else_builds_them(root: Path, place: str) -> None:
    assert "peers" not in (root / place).read_text()
    makefile = (root / "Makefile").read_text()
    assert re.findall(r"^([a-z-]+):.*\bpeers\b", makefile, re.MULTILINE) == []
