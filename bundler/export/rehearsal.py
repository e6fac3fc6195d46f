"""The far side's verification, run by the exporter on the finished file (`--policy`), with the same code.

Rules of this module:
- The exporter's own pin is root 1 of its trust repository, held in a throwaway state folder: nothing is recorded.
- The time is the bundle's `created`; a site that reads the bundle later judges by its own clock.
"""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

from bundler.digest import sha256_of
from bundler.verify.pipeline import Request, verify_bundle
from bundler.verify.policy import Policy
from bundler.verify.result import Report
from trust_root.delivery import time_basis
from trust_root.pin import pin_root
from trust_root.site import load_site


def rehearse(path: Path, root: bytes, policy: Policy, created_at: datetime, site_name: str | None) -> Report:
    """Verify a bundle as a fresh site would that pinned `root`.

    Args:
        path: the bundle.
        root: root 1 of the exporter's repository.
        policy: the site's policy, or the exporter's idea of it.
        created_at: the bundle's `created`.
        site_name: a name from the bundle's audience; None when it has none.
    """
    with tempfile.TemporaryDirectory(prefix="sealift-") as scratch:
        folder = Path(scratch) / "state"
        pin_root(folder, root, sha256_of(root), created_at, site_name=site_name)
        site = load_site(folder, read_only=True)
        return verify_bundle(path, Request(time_basis(created_at, None), site=site, policy=policy)).report
