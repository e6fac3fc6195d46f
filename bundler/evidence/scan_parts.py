"""What every upstream scan report says, whatever its format, and how its fields are taken.

A scan report is what a scanner found in an image before it was exported. What it says is the word of whoever made it:
scanner, dates and counts are told as that, and never merged with what `sealift scan` finds.

Rules of this module:
- A place that is absent, null or empty says nothing; one that holds another type is refused. So is a key that another
  parser would fold to the one that is read (oci/spelling.py).
- Go's zero time (year 1) says nothing: Go writes it where no time was set.
- Severities are six words. A score counts as one only where its method is CVSS; what is not understood is `unknown`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from bundler import limits
from bundler.errors import MalformedError
from bundler.fields import Fields
from bundler.moment import parse_foreign_moment
from bundler.oci.spelling import check_spelling
from bundler.value import dataclass, field

WHAT = "scan report"
SEVERITIES = ("critical", "high", "medium", "low", "negligible", "unknown")
_WORDS = {
    **{word: word for word in SEVERITIES},
    "moderate": "medium",
    "important": "high",
    "none": "negligible",
}
_SCORE = re.compile(r"(?:10(?:\.0)?|[0-9](?:\.[0-9]{1,2})?)", re.ASCII)
_RATINGS = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.1, "low"), (0.0, "negligible"))  # CVSS 3.1, section 5
_CVSS_METHODS = ("nvd",)


@dataclass(frozen=True, slots=True)
class UpstreamScan:
    """A scan report that was read. Everything in it is a claim of whoever made it.

    Attributes:
        form: what it is: `Trivy`, `Grype`, `SARIF`, `cosign vuln v1`, `in-toto vulns v0.1`, …
        result: the form of the scanner's own document inside a predicate; empty where there is none.
        scanner, version: who scanned, as it names itself or as its address.
        database: address and version of its vulnerability data; empty where nothing is said.
        database_at: of when that data was; None where nothing is said.
        scanned_at: when the scan ended, or else began; None where nothing is said.
        counts: entries by severity, in the order of `SEVERITIES`; None where they are not counted here.
        suppressed: entries that the scanner itself set aside, by its own VEX or its settings.
        targets: how many parts of the image it looked at; None where it does not say.
        target: the name that it gives to what it scanned.
        digests: what it names by digest: image, manifest or config.
        layers: the uncompressed layers that it names, in order.
    """

    form: str
    result: str = ""
    scanner: str = ""
    version: str = ""
    database: str = ""
    database_at: datetime | None = None
    scanned_at: datetime | None = None
    counts: Mapping[str, int] | None = field(default=None, hash=False)
    suppressed: int = 0
    targets: int | None = None
    target: str = ""
    digests: frozenset[str] = frozenset()
    layers: tuple[str, ...] = ()

    @property
    def findings(self) -> int | None:
        """Entries of all severities; None where they are not counted here."""
        return None if self.counts is None else sum(self.counts.values())


def text(fields: Fields | None, key: str) -> str:
    """A text; empty when it is absent or null.

    Raises:
        MalformedError: as `inner`, or longer than any real one (``limits``).
    """
    if fields is None:
        return ""
    check_spelling(fields, frozenset({key}))
    found = fields.text(key) if fields.raw(key) is not None else ""
    if len(found) > limits.SCAN_TEXT_CHARACTERS:
        where = f"{fields.where}.{key}".lstrip(".")
        raise MalformedError(
            "limits", WHAT, where, got=f"{len(found)} characters", want=f"at most {limits.SCAN_TEXT_CHARACTERS}"
        )
    return found


def texts(fields: Fields | None, key: str, *, maximum: int) -> tuple[str, ...]:
    """Texts of an array; none when it is absent or null.

    Raises:
        MalformedError: as `inner`, or too many (``limits``).
    """
    if fields is None:
        return ()
    check_spelling(fields, frozenset({key}))
    return fields.texts(key, maximum=maximum) if fields.raw(key) is not None else ()


def array(fields: Fields | None, key: str) -> list[Any] | None:
    """Whatever stands in an array; None when it is absent or null.

    Raises:
        MalformedError: as `inner`, or too many (``limits``).
    """
    if fields is None:
        return None
    check_spelling(fields, frozenset({key}))
    return fields.items(key, maximum=limits.SCAN_FINDINGS) if fields.raw(key) is not None else None


def moment(fields: Fields | None, *keys: str) -> datetime | None:
    """The first time that stands under any of these keys; None when nothing is said.

    Raises:
        MalformedError: as `text`, or not a time (``time``).
    """
    found = [parse_foreign_moment(said) for said in (text(fields, key) for key in keys) if said]
    return next((each for each in found if each.year > 1), None)


def severity_of(word: str) -> str:
    """One of `SEVERITIES`, for a scanner's word."""
    return _WORDS.get(word.strip().lower(), "unknown")


def rated(method: str, score: str) -> str:
    """One of `SEVERITIES`, for a score by some method: a word, or a number where the method is CVSS."""
    method = method.lower()
    if (method in _CVSS_METHODS or "cvss" in method) and _SCORE.fullmatch(score.strip()):
        return next(word for least, word in _RATINGS if float(score) >= least)
    return severity_of(score)


def worst(severities: Iterable[str]) -> str:
    """The highest of them; `unknown` only where none is known."""
    return min(severities, key=SEVERITIES.index, default="unknown")


def counted(severities: Iterable[str]) -> dict[str, int]:
    """How many of each.

    Raises:
        MalformedError: too many (code ``limits``).
    """
    counts = dict.fromkeys(SEVERITIES, 0)
    for number, severity in enumerate(severities, 1):
        if number > limits.SCAN_FINDINGS:
            raise MalformedError("limits", WHAT, got="more findings", want=f"at most {limits.SCAN_FINDINGS}")
        counts[severity] += 1
    return counts
