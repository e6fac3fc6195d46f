"""`make setup` on machines that lack something: it is named, with the way out, and nothing is half done."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PROGRAMS = (
    *(
        "skopeo",
        "jq",
        "zstd",
        "openssl",
        "strace",
        "faketime",
        "unshare",
        "docker-registry",
        "softhsm2-util",
        "chromium",
    ),
    "perl",
)
NEEDED = ("sh", "dirname", "id", "cat", "cksum")


def run_setup(root: Path, folder: Path, python: str, *, lacks: str = "", ci: bool = False) -> tuple[int, str]:
    """Run the script with a PATH of its own: no apt-get, a stub python, and all programs but one."""
    tools = folder / "bin"
    tools.mkdir()
    for name in NEEDED:
        (tools / name).symlink_to(shutil.which(name) or name)
    for name in PROGRAMS:
        if name != lacks:
            (tools / name).symlink_to("/bin/true")
    (tools / "python3").write_text(f"#!/bin/sh\n{python}\n")
    (tools / "python3").chmod(0o755)
    environment = {"PATH": str(tools), "VENV": str(folder / "venv"), **({"CI": "true"} if ci else {})}
    command = ["sh", str(root / "scripts" / "setup.sh")]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert not (folder / "venv").exists()
    return done.returncode, done.stderr


def test_an_old_python_is_named(root: Path, tmp_path: Path) -> None:
    old = 'case "$2$1" in *version_info*) exit 1;; *-V*) echo Python 3.9.2;; esac'
    code, said = run_setup(root, tmp_path, old)
    assert (code, "is Python 3.9.2, expected Python 3.11 or later" in said, "hint: " in said) == (6, True, True)


def test_a_python_without_ensurepip_is_named_with_its_package(root: Path, tmp_path: Path) -> None:
    code, said = run_setup(root, tmp_path, 'case "$2" in *ensurepip*) exit 1;; *print*) echo 3.12;; esac')
    assert (code, "no ensurepip" in said, "apt-get install python3.12-venv" in said) == (6, True, True)


@pytest.mark.parametrize(("lacks", "package"), [("skopeo", "skopeo"), ("unshare", "util-linux")])
def test_missing_programs_are_named_and_do_not_stop_the_setup(
    root: Path, tmp_path: Path, lacks: str, package: str
) -> None:
    code, said = run_setup(root, tmp_path, "exit 1", lacks=lacks)
    assert (code, f"missing programs: {package} (Debian names)" in said) == (6, True)
    assert "expected Python 3.11" in said, "the setup went on to the next step"


def test_in_continuous_integration_missing_programs_do_stop_it(root: Path, tmp_path: Path) -> None:
    code, said = run_setup(root, tmp_path, "exit 1", lacks="jq", ci=True)
    assert (code, "missing programs: jq" in said, "expected Python" in said) == (6, True, False)
