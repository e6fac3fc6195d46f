"""VEX that travelled as data, beside the findings of a scan: whose word is taken is for the policy of today.

Rules of this module:
- An author's word is taken where the rule for that image names the author, and the image's own stream carried it: as
  `verify` does. Every other statement is shown and settles nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bundler.deliver.readings import Judged
from bundler.digest import Digest
from bundler.errors import RejectedError, UnsupportedError
from bundler.value import replace
from bundler.verify.keepsakes import gather_papers
from bundler.verify.policy import Policy
from bundler.vulnerability.findings import Note, ScanResult
from bundler.vulnerability.recollection import read_paper_vex
from bundler.vulnerability.remembered import VEX
from bundler.vulnerability.shelf import Owner, ShelfDocument
from bundler.vulnerability.vex import Subject, VexBook, VexSource


def authors_for(policy: Policy | None, name: str, digest: Digest, owner: Owner) -> tuple[str, ...]:
    """Authors of unsigned VEX whose word the policy takes for this image of `owner`."""
    rule = None if policy is None else replace(policy, pin=owner.pin).rule_for(name, digest, owner.stream)
    return () if rule is None or rule.vulnerabilities is None else rule.vulnerabilities.vex_authors


def carried_vex(documents: Iterable[ShelfDocument], owner: Owner, authors: tuple[str, ...]) -> Iterator[VexSource]:
    """Documents as sources for an image of this stream."""
    for item in documents:
        accepted = item.owner == owner and item.document.author in authors
        yield VexSource(item.document, item.place, f"unsigned, as stream {item.owner.stream} had it", accepted)


def attached_vex(judged: Judged, read_blob: Callable[[Digest], bytes]) -> Iterator[VexSource | Note]:
    """VEX of an image itself, to be shown: none of it settles anything here. What cannot be read is a note.

    Args:
        judged: the image's evidence.
        read_blob: reads a document of the bundle, hashed.
    """
    for paper in gather_papers(judged.complete, judged.evidence, judged.facts):
        if paper.kind != VEX:
            continue
        about = f"VEX about {paper.platform or 'the whole image'}"
        try:
            document = read_paper_vex(read_blob(paper.content), paper)
        except (RejectedError, UnsupportedError) as error:
            yield Note("vex-unread", about, f"[{error.code}] {error}")
            continue
        yield VexSource(
            document, f"of {judged.complete.image.name}", paper.strength, accepted=False, signer=paper.signer
        )


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
