"""Shows that exports are reproducible: `python -m scripts.check_reproducible`.

    same      two copies of one trust repository, the same images at other paths, SOURCE_DATE_EPOCH, and everything else
              different (time zone, umask, hash seed, working folder): the bundles are equal, byte for byte
    later     the next export of one of the copies, at another time: the inventories are equal but for sequence,
              previous and created

The images are those of the demo. Exit code 1 and a line for each difference if it does not hold.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scripts.make_demo_images import APP, TOOL, make

SEALIFT = Path(sys.executable).parent / "sealift"
CHANGING = {"sequence", "previous", "created"}
# What must not matter: two machines that differ in all of it.
MACHINES: tuple[dict[str, str], ...] = (
    {"TZ": "UTC", "PYTHONHASHSEED": "1", "LC_ALL": "C", "UMASK": "022"},
    {"TZ": "Pacific/Auckland", "PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8", "UMASK": "077"},
)


def run(folder: Path, environment: dict[str, str], *words: str) -> None:
    """Run one sealift command in a folder; a failure ends the check."""
    umask = int(environment.get("UMASK", "022"), 8)
    done = subprocess.run(
        [SEALIFT, *words], cwd=folder, env=environment, umask=umask, check=False, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"check_reproducible: sealift {words[0]}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def export(folder: Path, environment: dict[str, str], epoch: int, target: str) -> Path:
    """One export of both images from what lies in `folder`."""
    words = ["export", f"oci:images/app:{APP}", "oci:images/tool", "--name", TOOL, "--proofs", "none", "-o", target]
    words += ["--repository", "repository", "--keys", "keys", "--stream", "demo", "--quiet"]
    run(folder, {**environment, "SOURCE_DATE_EPOCH": str(epoch)}, *words)
    return folder / target


def read_inventory(bundle: Path) -> dict[str, object]:
    """The inventory, read with stock tar."""
    raw = subprocess.run(["tar", "-xOf", bundle, "inventory.json"], check=True, capture_output=True).stdout
    inventory: dict[str, object] = json.loads(raw)
    return inventory


def prepare(folder: Path, environment: dict[str, str]) -> None:
    """Images, keys and a trust repository, before any export."""
    make(folder / "images", datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2))
    keys = ("repository", "--keys", "keys")
    run(folder, environment, "trust", "init", *keys, "--stream", "demo")
    run(folder, environment, "trust", "publish", *keys, "--trusted-root", "demo=images/trusted_root.json")


def differences(folder: Path) -> list[str]:
    """Do the three exports below `folder`; a line for each thing that should be equal and is not."""
    environment = {**os.environ, "SEALIFT_KEY_PASSPHRASE": secrets.token_hex(16)}
    first, second = folder / "here", folder / "there" / "elsewhere"
    first.mkdir()
    prepare(first, environment)
    shutil.copytree(first, second)
    epoch = int(time.time()) - 60
    bundles = [
        export(place, environment | machine, epoch, f"{number}.bundle.tar")
        for number, (place, machine) in enumerate(zip((first, second), MACHINES, strict=True))
    ]
    found = []
    if bundles[0].read_bytes() != bundles[1].read_bytes():
        found.append("same state, same sources, same SOURCE_DATE_EPOCH: the bundles differ")
    later = export(second, environment | MACHINES[1], epoch + 30, "later.bundle.tar")
    one, other = read_inventory(bundles[0]), read_inventory(later)
    keys = sorted(key for key in {*one, *other} - CHANGING if one.get(key) != other.get(key))
    found += [f"the next export: {key} differs" for key in keys]
    found += [f"the next export: {key} is the same" for key in sorted(CHANGING) if one[key] == other[key]]
    return found


def main() -> None:
    """Command line."""
    with tempfile.TemporaryDirectory() as folder:
        found = differences(Path(folder))
    for line in found:
        print(f"check_reproducible: {line}", file=sys.stderr)
    if found:
        sys.exit(1)
    print("two exports from copies of one state: equal, byte for byte")
    print("the next export: its inventory is equal but for sequence, previous and created")


if __name__ == "__main__":
    main()
