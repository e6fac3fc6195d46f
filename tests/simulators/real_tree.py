"""What syft says of a real tree: this machine's dpkg database and this interpreter's site-packages, as Debian 12."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest


def syft_documents(folder: Path, formats: Sequence[str]) -> dict[str, dict[str, Any]]:
    """SBOMs of one tree, by the names that syft gives to formats; the test is skipped where that cannot be."""
    syft = Path(sys.executable).parent / "syft"
    if not syft.exists():
        pytest.skip("syft is absent: it comes with requirements/dev.txt")
    status = Path("/var/lib/dpkg/status")
    if not status.exists():
        pytest.skip("no dpkg database on this machine")
    tree = folder / "tree"
    (tree / "var/lib/dpkg").mkdir(parents=True)
    (tree / "var/lib/dpkg/status").write_bytes(status.read_bytes())
    (tree / "etc").mkdir()
    (tree / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    packages = tree / "usr/lib/python3/dist-packages"
    packages.mkdir(parents=True)
    for found in Path(sysconfig.get_path("purelib")).glob("*.dist-info"):
        shutil.copytree(found, packages / found.name)
    outputs = [word for name in formats for word in ("-o", f"{name}={folder / name}")]
    environment = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false", "HOME": str(folder)}
    subprocess.run([syft, "scan", "-q", f"dir:{tree}", *outputs], env=environment, check=True, capture_output=True)
    return {name: json.loads((folder / name).read_bytes()) for name in formats}
