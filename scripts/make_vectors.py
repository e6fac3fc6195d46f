"""Make the good and bad inputs under tests/vectors again: `make vectors`. A test holds that nothing differs.

Rules:
- Deterministic, and small: what needs a key is built when tests run, so no vector holds or needs one.
- The name of a file tells what is wrong with it and, before `--`, the reason code with which it must be refused; `good`
  means that it must be accepted. A directory listing reads as a list of attacks.

    archive/headers/<title>.bin                        a tar header of 512 bytes, code `header`
    archive/inventories/<code>--<title>.json           an inventory
    archive/frames/<code>--<title>--<size>.zst         a zstd frame, and the content size that an inventory would sign
    osv/records, versions, matches, zips               tests/simulators/osv_vectors.py tells
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "vectors"
PARTS = {  # a part's module has `vectors() -> Iterator[(name, bytes)]`
    "archive": "tests.simulators.archive_vectors",
    "osv": "tests.simulators.osv_vectors",
}


def make_vectors() -> dict[str, bytes]:
    """All vectors: name below tests/vectors, and content."""
    made: dict[str, bytes] = {}
    for part, module in PARTS.items():
        for name, raw in importlib.import_module(module).vectors():
            if f"{part}/{name}" in made:
                raise ValueError(name)
            made[f"{part}/{name}"] = raw
    return made


def main() -> int:
    """Write all vectors, and remove files of our parts that are no longer made."""
    sys.path.insert(0, str(ROOT))
    made = make_vectors()
    for name, raw in made.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    for part in PARTS:
        for path in sorted((FOLDER / part).rglob("*")):
            if path.is_file() and str(path.relative_to(FOLDER)) not in made:
                path.unlink()
    print(f"{len(made)} files below {FOLDER.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
