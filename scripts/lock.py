"""Pin the newest dependencies again: `make lock` writes requirements/runtime.txt and requirements/dev.txt.

Rules:
- Each package has one version and the hashes of every file of that version, so that one lock serves CPython 3.11 to
  3.14. It is resolved on the oldest of them; `make kit` proves that the set is whole on the others.
- A lock file names no package index and no folder of this machine.
"""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "build" / "lock-venv"
OLDEST = (3, 11)
HEADER = "# Made by `make lock`; do not edit. One version and all its hashes for each package.\n"
EXTRAS = ("--extra", "report", "--extra", "pkcs11", "--extra", "scan")  # not kms: nobody here can test it
OPTIONS = (
    "--quiet",
    "--upgrade",
    "--generate-hashes",
    "--strip-extras",
    "--allow-unsafe",
    "--no-header",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-trusted-host",
    "--no-emit-options",
)


def main() -> None:
    """Write both lock files, the development one as a superset of the other."""
    if sys.version_info[:2] != OLDEST:
        sys.exit(f"lock.py: Python {sys.version_info.major}.{sys.version_info.minor}, expected 3.11 (the oldest one)")
    if not TOOLS.exists():
        venv.create(TOOLS, with_pip=True)
        run(TOOLS / "bin" / "pip", "install", "--quiet", "pip-tools")
    # With the extras that are tested: a site without a network, or a ceremony laptop, gets everything in its kit.
    compile_lock("requirements/runtime.txt", *EXTRAS, "pyproject.toml")
    compile_lock(
        "requirements/dev.txt",
        "-c",
        "requirements/runtime.txt",
        *EXTRAS,
        "pyproject.toml",
        "requirements/dev.in",
    )


def compile_lock(target: str, *sources: str) -> None:
    """Run pip-compile from the root, so that comments hold relative paths only."""
    run(TOOLS / "bin" / "pip-compile", *OPTIONS, "--output-file", target, *sources)
    path = ROOT / target
    text = HEADER + re.sub(r"\n# The following packages.*\n", "\n", path.read_text())
    if re.search(r"://|--index|--find-links|--extra-index", text) or str(ROOT) in text:
        sys.exit(f"lock.py: {target} names a place, expected packages and hashes only")
    path.write_text(text)


def run(program: Path, *arguments: str) -> None:
    """Run one tool in the root folder; a failure ends the script."""
    subprocess.run([program, *arguments], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
