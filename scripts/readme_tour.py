"""The README's tour, run: `python scripts/readme_tour.py` writes real output under its commands, `--check` compares.

What differs from run to run (digests, times, sizes that depend on fresh keys) is compared by its form only. The blocks
are those marked `console`; their lines beginning with `$ ` are the commands.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shlex
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.make_demo_images import LAYER_FILE, make

README = Path(__file__).resolve().parent.parent / "README.md"
SEALIFT = Path(sys.executable).parent / "sealift"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
CHANGING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "<time>"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "<date>"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "<hex>"),
    (re.compile(r"\b[0-9a-f]{4}( [0-9a-f]{4}){7}\b"), "<hex>"),
    (re.compile(r"[0-9.]+ (bytes|kB)"), "<size>"),
    (re.compile(r"\(\d+ days left\)"), "(<days> left)"),
    (re.compile(r"state folder \S+"), "state folder <folder>"),
)


def run_tour(text: str) -> str:
    """The README with the output of its commands written anew."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make(folder / "images", datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1))
        environment = {
            **os.environ,
            "SEALIFT_KEY_PASSPHRASE": secrets.token_hex(16),
            "SEALIFT_STATE": "state",
            "COLUMNS": "80",
        }
        return BLOCK.sub(lambda block: _run_block(block[1], folder, environment), text)


def _run_block(block: str, folder: Path, environment: dict[str, str]) -> str:
    parts = [_run(line.removeprefix("$ "), folder, environment) for line in block.splitlines() if line.startswith("$ ")]
    return f"```console\n{''.join(parts)}```"


def _run(command: str, folder: Path, environment: dict[str, str]) -> str:
    root, bundle = folder / "repository/metadata/1.root.json", folder / "delivery.bundle.tar"
    known = command
    if root.exists():
        known = command.replace("$FINGERPRINT", hashlib.sha256(root.read_bytes()).hexdigest())
    if "flipped.bundle.tar" in command:
        raw = bytearray(bundle.read_bytes())
        raw[raw.index(LAYER_FILE) + 600] ^= 1
        (folder / "flipped.bundle.tar").write_bytes(raw)
    program, *arguments = shlex.split(known)
    if program != "sealift":
        raise SystemExit(f"not a command of the tour: {command}")
    done = subprocess.run(
        [SEALIFT, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    code = f"(exit code {done.returncode})\n" if done.returncode else ""
    return f"$ {command}\n{done.stdout}{done.stderr}{code}"


def plain(text: str) -> str:
    """The text with everything that changes from run to run replaced by its form."""
    for pattern, form in CHANGING:
        text = pattern.sub(form, text)
    return text


if __name__ == "__main__":
    before = README.read_text(encoding="utf-8")
    after = run_tour(before)
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if plain(before) == plain(after) else "README.md is not what its commands print")
    README.write_text(after, encoding="utf-8")
