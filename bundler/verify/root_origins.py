"""Where the trusted roots of this site came from, for the report (trust_root/origins.py; `sealift trust add-sigstore`).

Rules of this module:
- An origin decides nothing: it is told, signed by those who vouch for the trusted root. One that cannot be read is told
  as that.
- A trusted root that was taken over although its own chain had expired weakens every report that rests on it.
"""

from __future__ import annotations

from collections.abc import Mapping

from bundler.errors import MalformedError
from bundler.verify.result import Check, Outcome
from trust_root.origins import Origin, origins_of

_NAME = "trusted-root"


def origin_checks(targets: Mapping[str, bytes]) -> tuple[Check, ...]:
    """A note for each trusted root with an origin.

    Args:
        targets: the newest trusted material, by target path.
    """
    try:
        origins = origins_of(targets)
    except MalformedError as error:
        return (Check(_NAME, Outcome.NOTE, error.code, detail=f"an origin that cannot be read: {error}"),)
    return tuple(Check(_NAME, Outcome.NOTE, about=name, detail=origin.told) for name, origin in origins.items())


def origin_weaknesses(targets: Mapping[str, bytes]) -> tuple[str, ...]:
    """A sentence for each trusted root whose chain had expired when it was taken over."""
    try:
        origins = origins_of(targets)
    except MalformedError:
        return ()
    return tuple(
        f"trusted root {name}: taken over with --accept-expired-sigstore-root, {_late(origin)} had expired"
        for name, origin in origins.items()
        if origin.walked is not None and origin.walked.expired
    )


def _late(origin: Origin) -> str:
    return ", ".join(f"{role.role} {role.version}" for role in origin.walked.expired) if origin.walked else ""
