"""Facts of a bundle's head for reports: what trust metadata and inventory said, in the report's own types."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from bundler.archive.inventory import Inventory
from bundler.digest import Digest
from bundler.value import dataclass
from bundler.verify.head_facts import BundleFacts, RoleFact, TrustFacts
from trust_root.acceptance import Standing
from trust_root.client import TrustedTargets, open_trust
from trust_root.delivery import Delivery
from trust_root.newest import OpenedTrust
from trust_root.site import Site

_AGES = timedelta(days=365 * 1000)  # without a pin nothing is proved, so nothing expires either
_FIRST_ROOT = "metadata/1.root.json"


@dataclass(slots=True)
class Head:
    """What is known of the head so far; filled in this order."""

    opened: OpenedTrust | None = None
    delivery: Delivery | None = None
    standing: Standing | None = None


def open_unproved(trust_files: Mapping[str, bytes], at: datetime) -> TrustedTargets:
    """The file's own trust metadata, consistent in itself and proving nothing: its own first root is the pin.

    Raises:
        TrustError: it is not even consistent.
    """
    return open_trust(trust_files[_FIRST_ROOT], trust_files, at, grace=_AGES)


def bundle_facts(inventory: Inventory, digest: Digest) -> BundleFacts:
    """What the inventory says of the delivery."""
    return BundleFacts(
        stream=inventory.stream,
        sequence=inventory.sequence,
        previous=inventory.previous,
        created_at=inventory.created_at,
        audience=inventory.audience,
        tool=inventory.tool,
        inventory=digest,
        images=len(inventory.images),
        blobs=len(inventory.blobs),
        size_bytes=sum(blob.stored_size_bytes for blob in inventory.blobs),
    )


def unproved_facts(trusted: TrustedTargets) -> TrustFacts:
    """The file's own metadata, which proves nothing."""
    return TrustFacts(None, trusted.root_version, trusted.development, _roles(trusted), standing="")


def trust_facts(site: Site, opened: OpenedTrust, standing: Standing | None = None) -> TrustFacts:
    """What was proved from this site's pin."""
    trusted = opened.trusted
    today = standing.today if standing else None
    said = (
        "" if today is None else ("would be accepted" if today.accepted else f"refused ({today.code}): {today.reason}")
    )
    return TrustFacts(
        pin=trusted.pin_digest,
        root_version=trusted.root_version,
        development=trusted.development,
        roles=_roles(trusted),
        standing=standing.status if standing else "",
        site=site.settings.name or "",
        accepted_at=standing.accepted_at if standing else None,
        warnings=tuple((_warning_code(line), line) for line in standing.warnings) if standing else (),
        today=said,
    )


def _warning_code(line: str) -> str:
    return "gap" if line.startswith("gap:") else "trust"


def _roles(trusted: TrustedTargets) -> tuple[RoleFact, ...]:
    return tuple(
        RoleFact(role, facts.version, facts.expires_at, role in trusted.stale) for role, facts in trusted.roles.items()
    )
