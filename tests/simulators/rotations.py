"""Many rotations in a short time: the proposals of the real ceremony, in one repository that stays open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from trust_root.keys import SigningKey
from trust_root.proposing import propose_rotation, sign_here
from trust_root.repository import Repository
from trust_root.workplace import Workplace, open_workplace


def rotate_often(
    folder: Path, times: int, holders: Sequence[SigningKey], exporter: SigningKey, at: datetime
) -> Repository:
    """Renew the root `times` times; each is signed by `holders` and put in place by `exporter`."""
    with open_workplace(folder) as place:
        for _ in range(times):
            assert place.repository is not None
            place = propose_rotation(Workplace(folder, place.repository, None), at)  # noqa: PLW2901
            for holder in holders:
                place, _ = sign_here(place, holder, at)  # noqa: PLW2901
            place, _ = sign_here(place, exporter, at)  # noqa: PLW2901
        assert place.repository is not None
        return place.repository
