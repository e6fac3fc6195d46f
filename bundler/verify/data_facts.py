"""What is told of vulnerability data: values, and their one phrase for people."""

from __future__ import annotations

from datetime import datetime

from bundler.digest import Digest
from bundler.value import dataclass


@dataclass(frozen=True, slots=True)
class DataFact:
    """One entry of a bundle's `data`, or of what a site keeps.

    Attributes:
        age_days: whole days from the latest change to the time of the verdict; None where nothing tells.
        records: None where they are not counted.
        size_bytes: of all of its blobs in a report, of the data itself in a listing.
    """

    kind: str
    source: str
    modified_at: datetime | None
    age_days: int | None
    records: int | None
    digest: Digest
    media_type: str
    size_bytes: int

    @property
    def told(self) -> str:
        """One phrase for people: kind, records, age."""
        records = "" if self.records is None else f", {self.records} record{'' if self.records == 1 else 's'}"
        return f"{self.kind}{records}, {self.age}"

    @property
    def age(self) -> str:
        """How old, for people."""
        if self.modified_at is None or self.age_days is None:
            return "age unknown"
        days = "today's" if self.age_days == 0 else f"{self.age_days} day{'' if self.age_days == 1 else 's'} old"
        return f"{days} (changed {self.modified_at.date()})"
