"""VEX that travelled as data, beside the findings of a scan: whose word is taken is for the policy of today.

Rules of this module:
- An author's word is taken where the rule for that image names the author, and the image's own stream carried it: as
  `verify` does. Every other statement is shown and settles nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bundler.digest import Digest
from bundler.value import replace
from bundler.verify.policy import Policy
from bundler.vulnerability.findings import Note, ScanResult
from bundler.vulnerability.shelf import Owner, ShelfDocument
from bundler.vulnerability.vex import Subject, VexBook, VexSource


def authors_for(policy: Policy | None, name: str, digest: Digest, stream: str) -> tuple[str, ...]:
    """Authors of unsigned VEX whose word the policy takes for this image."""
    rule = None if policy is None else policy.rule_for(name, digest, stream)
    return () if rule is None or rule.vulnerabilities is None else rule.vulnerabilities.vex_authors


def carried_vex(documents: Iterable[ShelfDocument], owner: Owner, authors: tuple[str, ...]) -> Iterator[VexSource]:
    """Documents as sources for an image of this stream."""
    for item in documents:
        accepted = item.owner == owner and item.document.author in authors
        yield VexSource(item.document, item.place, f"unsigned, as stream {item.owner.stream} had it", accepted)


def apply_vex(
    scans: Iterable[ScanResult], book: VexBook, name: str, digest: Digest
) -> tuple[tuple[ScanResult, ...], frozenset[Note]]:
    """Scans of one image with statements beside their findings, and what is to be said of the statements.

    Raises:
        EnvError: packageurl is not installed (``extra-absent``).
    """
    done: list[ScanResult] = []
    notes = set(book.notes)
    for scan in scans:
        applied = book.apply(scan.findings, Subject(name, frozenset({digest, scan.digest})))
        done.append(replace(scan, findings=applied.findings))
        notes |= set(applied.notes)
    return tuple(done), frozenset(notes)
