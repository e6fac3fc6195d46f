"""A site and what arrives there: deliveries of a `TufRepository`, taken through the real state folder.

place = Place(tmp_path, repository)
first = place.make("main", b"one")               # signs the next inventory of the stream
place.take(first).status == "first"              # open, compare, record, as `verify` does
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bundler.digest import Digest, sha256_of
from tests.simulators.tuf_repository import START, TufRepository
from trust_root.acceptance import Standing
from trust_root.delivery import Delivery, time_basis
from trust_root.pin import pin_root
from trust_root.site import Site, compare_with_site, load_site, open_for_site


@dataclass(frozen=True)
class Parcel:
    """One bundle as far as trust is concerned."""

    files: Mapping[str, bytes]
    delivery: Delivery


@dataclass
class Place:
    """A state folder with the repository's first root pinned.

    Attributes:
        folder: where the site is; its state is below.
        repository: whose bundles come.
        name: the site's name.
        last: digest of each stream's newest inventory, for `previous`.
    """

    folder: Path
    repository: TufRepository
    name: str | None = "plant-7"
    last: dict[str, Digest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = self.folder / "state"
        pin_root(self.state, self.repository.pin, sha256_of(self.repository.pin), START, site_name=self.name)

    def make(
        self,
        stream: str,
        inventory: bytes,
        at: datetime = START,
        *,
        sequence: int | None = None,
        previous: Digest | None = None,
        audience: tuple[str, ...] = (),
        repository: TufRepository | None = None,
    ) -> Parcel:
        """Export the next inventory of a stream (or what is asked for)."""
        source = repository or self.repository
        source.export(stream, inventory, at, sequence=sequence)
        facts = source.streams[stream].inventory
        assert facts is not None
        before = previous if previous is not None else self.last.get(stream)
        if facts.sequence == 1:
            before = None
        elif before is None:
            before = sha256_of(b"one that never came here")
        self.last[stream] = facts.digest
        delivery = Delivery(stream, facts.sequence, before, facts.digest, at, audience)
        return Parcel(source.files(stream), delivery)

    def site(self, *, read_only: bool = False) -> Site:
        """The site, loaded from disk."""
        return load_site(self.state, read_only=read_only)

    def take(
        self,
        parcel: Parcel,
        at: datetime = START,
        *,
        historic: bool = False,
        typed: datetime | None = None,
        read_only: bool = False,
        evidence_times: Iterable[datetime] = (),
        min_sequence: int = 1,
    ) -> Standing:
        """Open, compare and record, as a verification that passes everything else."""
        site = load_site(self.state, read_only=read_only, min_sequence=min_sequence)
        basis = time_basis(at, site.floor, typed, "audit 12" if typed else None)
        opened = open_for_site(site, parcel.files, basis)
        standing = compare_with_site(site, opened, parcel.delivery, basis, historic=historic)
        return site.record(opened, parcel.delivery, standing, evidence_times)

    def bytes_of_state(self) -> dict[str, bytes]:
        """Every file of the state folder but the lock."""
        paths = (path for path in sorted(self.state.rglob("*")) if path.is_file() and path.name != "lock")
        return {str(path.relative_to(self.state)): path.read_bytes() for path in paths}


def but_for_the_log(files: Mapping[str, bytes]) -> dict[str, object]:
    """A state folder's files without the log and what counts its lines: what an alarm must not change."""
    document = json.loads(files["state.json"])
    rest = {key: value for key, value in document.items() if key not in ("generation", "log")}
    return {**{name: raw for name, raw in files.items() if name != "log.jsonl"}, "state.json": rest}
