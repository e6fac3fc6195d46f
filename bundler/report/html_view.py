"""What the HTML report shows, prepared so that its templates only print.

Rules of this module:
- Every word is derived from the report and its exhibits; nothing is judged again.
- What is missing, left out, unsigned or not checked has a place of its own in each image: silence means nothing.
- An SBOM that several platforms share is shown once, with all their names.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from bundler.evidence.sbom import Sbom
from bundler.report.as_text import STANDINGS
from bundler.report.chain_picture import Picture, draw_chain
from bundler.report.html_page import short
from bundler.value import dataclass, field
from bundler.verify.exhibits import Chain, Exhibits, Paper
from bundler.verify.result import Check, EvidenceFact, ImageResult, Outcome, Report, Verdict
from bundler.verify.scan_facts import carried_document
from bundler.wording import counted

HEADLINES = {
    Verdict.VERIFIED: ("good", "Verified"),
    Verdict.REJECTED: ("bad", "Rejected"),
    Verdict.DAMAGED: ("bad", "Damaged"),
    Verdict.UNTRUSTED: ("bad", "Not trusted"),
    Verdict.UNSUPPORTED: ("bad", "Not supported"),
    Verdict.FAILED: ("bad", "Not checked"),
    Verdict.INTACT: ("warn", "Intact, not verified"),
}
_SENTENCES = {
    Verdict.DAMAGED: "Bytes of the file are not what was signed. Nothing in it should be used.",
    Verdict.UNTRUSTED: "The file does not lead back to the root that this site pinned, or not any more.",
    Verdict.UNSUPPORTED: "The file needs a newer version of this program.",
    Verdict.FAILED: "The verification could not be carried out.",
    Verdict.INTACT: "The bytes match the file's own metadata. Who made it, and if it may be used, was not checked.",
}
_GAPS = (Outcome.MISSING, Outcome.OMITTED, Outcome.UNCHECKED)
_DIGITS = re.compile("([0-9]+)")
_FEW, _MOST_OPEN = 3, 10
# What people ask of a workflow first, and where newer and older certificates say it.
_WORKFLOW = (
    ("Source", ("source-repository-uri", "github-workflow-repository")),
    ("Ref", ("source-repository-ref", "github-workflow-ref")),
    ("Commit", ("source-repository-digest", "github-workflow-sha")),
    ("Workflow", ("build-config-uri", "github-workflow-name")),
    ("Trigger", ("build-trigger", "github-workflow-trigger")),
    ("Run", ("run-invocation-uri",)),
)


@dataclass(frozen=True, slots=True)
class ChainView:
    """One verified signature, its picture, and what people ask of its workflow first."""

    chain: Chain
    picture: Picture
    workflow: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SbomView:
    """One SBOM, and the platforms that carry it."""

    number: int
    sbom: Sbom
    platforms: tuple[str, ...]
    strengths: tuple[str, ...]
    rows: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """Something missing, left out, unsigned or not checked."""

    word: str
    what: str


@dataclass(frozen=True, slots=True)
class ImageView:
    """One image as the page shows it."""

    number: int
    image: ImageResult
    tone: str
    headline: str
    chains: tuple[ChainView, ...]
    sboms: tuple[SbomView, ...]
    papers: tuple[Paper, ...]
    gaps: tuple[Gap, ...]
    failures: tuple[EvidenceFact, ...]
    commands: tuple[tuple[str, str], ...]
    scans: tuple[dict[str, Any], ...]
    signers: tuple[str, ...] = field(default=())

    @property
    def unread_sboms(self) -> bool:
        """Whether there are SBOMs that could not be read."""
        return any(paper.kind == "sbom" for paper in self.papers)

    @property
    def packages(self) -> int:
        """Packages in all its SBOMs."""
        return sum(len(view.sbom.packages) for view in self.sboms)


def report_view(report: Report, exhibits: tuple[Exhibits | None, ...]) -> dict[str, Any]:
    """Everything that `report.html` prints.

    Args:
        report: the verdicts.
        exhibits: one for each image, or none at all.
    """
    shown = [item or Exhibits() for item in exhibits] or [Exhibits()] * len(report.images)
    images: list[ImageView] = []
    for image, exhibit in zip(report.images, shown, strict=True):
        first = sum(len(view.sboms) for view in images) + 1
        images.append(_image(image, exhibit, report, len(images) + 1, first))
    tone, headline = HEADLINES[report.verdict]
    return {
        "report": report,
        "tone": tone,
        "headline": headline,
        "sentence": _sentence(report),
        "standing": STANDINGS[report.trust.standing] if report.trust and report.trust.standing else "",
        "images": images,
        "opened": _opened(images),
        "verified": sum(image.verdict is Verdict.VERIFIED for image in report.images),
        "packages": sum(view.packages for view in images),
        "signatures": sum(len(view.chains) for view in images),
        "why": list(_why(report, images)),
        "commands": _bundle_commands(report),
        "index": _search_index(images),
    }


def _why(report: Report, images: list[ImageView]) -> Iterator[tuple[str, str, str]]:
    """What did not hold, and its code: of the whole file first, as in the report's reason, then of the first images."""
    for check in [check for check in report.checks if check.refuses][:_FEW]:
        yield "The whole file", _without_code(check), check.code
    for view in [view for view in images if view.tone == "bad"][:_FEW]:
        refused = next((check for check in view.image.checks if check.code and check.code == view.image.reason), None)
        yield view.image.name, _without_code(refused) if refused else "", view.image.reason


def _without_code(check: Check) -> str:
    return _told(check).removesuffix(f" [{check.code}]")


def _opened(images: list[ImageView]) -> frozenset[int]:
    """Which images stand open at first: all of a few, else the first of those that need somebody's attention."""
    if len(images) <= _FEW:
        return frozenset(view.number for view in images)
    return frozenset([view.number for view in images if view.tone != "good"][:_MOST_OPEN])


def _sentence(report: Report) -> str:
    all_images = len(report.images)
    if report.verdict is Verdict.VERIFIED and not all_images:
        return "Every byte is what was signed. The file holds vulnerability data and no image."
    if report.verdict is Verdict.VERIFIED:
        which = "the image meets" if all_images == 1 else f"all {all_images} images meet"
        return f"Every byte is what was signed, and {which} this site's policy."
    if report.verdict is Verdict.REJECTED:
        bad = sum(image.verdict is not Verdict.VERIFIED for image in report.images)
        if bad:
            return (
                f"{bad} of {counted(all_images, 'image')} {'does' if bad == 1 else 'do'} not meet this site's policy."
            )
        if not report.images and not report.data:
            return "The file holds no image that could be checked."
        return "Something that this site asks of the file as a whole does not hold."
    return _SENTENCES[report.verdict]


def _image(image: ImageResult, exhibits: Exhibits, report: Report, number: int, first_sbom: int) -> ImageView:
    tone, headline = HEADLINES[image.verdict]
    sboms = tuple(_sboms(exhibits, first_sbom))
    shown = {id(chain.fact) for chain in exhibits.chains}
    return ImageView(
        number=number,
        image=image,
        tone=tone,
        headline=headline,
        chains=tuple(_chain(chain, image, report) for chain in exhibits.chains),
        sboms=sboms,
        papers=tuple(paper for paper in exhibits.papers if paper.sbom is None),
        gaps=tuple(_gaps(image)),
        failures=tuple(fact for fact in image.evidence if fact.code or id(fact) not in shown),
        commands=tuple(_image_commands(report, image)),
        scans=tuple(carried_document(scan, report.time.at if report.time else None) for scan in image.scans),
        signers=tuple(dict.fromkeys(chain.fact.signer for chain in exhibits.chains if chain.fact.demanded)),
    )


def _chain(chain: Chain, image: ImageResult, report: Report) -> ChainView:
    said = dict(chain.extensions)
    workflow = [(label, next((said[name] for name in names if name in said), "")) for label, names in _WORKFLOW]
    return ChainView(chain, draw_chain(chain, image, report.trust), tuple(item for item in workflow if item[1]))


def _sboms(exhibits: Exhibits, first: int) -> Iterator[SbomView]:
    papers: dict[Sbom, list[Paper]] = {}
    for paper in exhibits.papers:
        if paper.sbom is not None:
            papers.setdefault(paper.sbom, []).append(paper)
    for number, (sbom, shared) in enumerate(papers.items(), first):
        rows = sorted(((item.name, item.version, item.licence, item.purl) for item in sbom.packages), key=_by_name)
        platforms = dict.fromkeys(paper.platform or "whole image" for paper in shared)
        strengths = dict.fromkeys(paper.strength for paper in shared)
        yield SbomView(number, sbom, tuple(platforms), tuple(strengths), tuple(rows))


def _by_name(row: tuple[str, str, str, str]) -> tuple[list[str | tuple[int, str]], tuple[str, str, str, str]]:
    """As people count: `lib2` before `lib12`. Nearly as the page's script orders; it has the last word."""
    parts: list[str | tuple[int, str]] = []
    for position, part in enumerate(_DIGITS.split(row[0].casefold())):
        digits = part.lstrip("0")
        parts.append((len(digits), digits) if position % 2 else part)
    return parts, row


def _gaps(image: ImageResult) -> Iterator[Gap]:
    for check in image.checks:
        if check.outcome in _GAPS:
            yield Gap(check.outcome.value, _told(check))
    if image.digest_origin != "source":
        yield Gap("made here", "the exporter made this manifest: no registry has its digest, nobody outside signed it")
    for platform, digest in image.omitted:
        yield Gap("left out", f"platform {platform}, {digest}: listed by the exporter, not in this file")
    for fact in image.evidence:
        if fact.strength.startswith("unsigned") and not fact.code:
            yield Gap("unsigned", f"{fact.kind} {fact.predicate_type} about {fact.platform or short(fact.subject)}")
        elif fact.code:
            about = fact.platform or short(fact.subject)
            yield Gap("not verified", f"{fact.kind} about {about}: {fact.detail or fact.code} [{fact.code}]")


def _told(check: Check) -> str:
    head = " ".join(part for part in (check.name, check.about) if part)
    return f"{head}: {check.detail}" if check.detail else f"{head} [{check.code}]"


def _bundle_commands(report: Report) -> tuple[tuple[str, str], ...]:
    file = _quoted(report.file)
    return (
        ("Check the whole file without Sealift, by the recipe that travels in it (compare the recipe first)",
         f"tar -xOf {file} README | sed -n 's/^| \\{{0,1\\}}//p' > check.sh\nbash check.sh {file} PIN FOLDER"),
        ("See what the file holds", f"sealift inspect {file}"),
        ("Verify again, with every rule that was tried", f"sealift verify {file} --policy POLICY --explain"),
        ("The same facts for programs", f"sealift verify {file} --policy POLICY --json"),
    )  # fmt: skip


def _image_commands(report: Report, image: ImageResult) -> Iterator[tuple[str, str]]:
    file, name = _quoted(report.file), shlex.quote(image.name)
    for what, option in (
        ("Signatures", "signatures"), ("SBOM", "sbom"), ("Provenance", "provenance"),
        ("Scan reports", "scans"), ("Everything, as a tree", "tree"),
    ):  # fmt: skip
        yield what, f"sealift inspect {file} {name} --{option}"


def _quoted(file: str) -> str:
    return "FILE" if file == "-" else shlex.quote(file)


def _search_index(images: list[ImageView]) -> list[dict[str, Any]]:
    """Which blocks of packages belong to which image, for the search over all of them."""
    return [
        {"image": view.number, "name": view.image.name, "block": sbom.number, "platforms": ", ".join(sbom.platforms)}
        for view in images
        for sbom in view.sboms
    ]
