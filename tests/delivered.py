"""A bundle of two signed images at a site that pinned its root: what most whole-run tests start from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scripts.make_demo_images import APP, TOOL, make
from tests.simulators.deliveries import Exporter, LayoutSource, make_site
from tests.simulators.tuf_repository import TufRepository


@dataclass(frozen=True)
class Delivered:
    """The bundle, the site's state folder, and a policy under which the bundle verifies."""

    bundle: Path
    state: Path
    policy: Path


def deliver(folder: Path) -> Delivered:
    """Make everything below `folder`, signed within the last two hours."""
    now = datetime.now(UTC).replace(microsecond=0)
    images = folder / "images"
    make(images, now - timedelta(hours=2))
    targets = {
        "trusted_root/demo.json": (images / "trusted_root.json").read_bytes(),
        "keys/team.pub": (images / "team.pub").read_bytes(),
    }
    repository = TufRepository("main", at=now - timedelta(hours=1), targets=targets)
    bundle = Exporter(repository, folder).deliver(
        LayoutSource("oci", images / "app", APP), LayoutSource("oci", images / "tool", TOOL), at=now
    )
    return Delivered(bundle, make_site(folder / "state", repository.pin, clock=now), images / "policy.toml")
