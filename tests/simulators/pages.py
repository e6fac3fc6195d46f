"""Reports with exhibits made by hand: one with any text in every place, and as large a one as is promised."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from bundler.digest import sha256_of
from bundler.errors import MalformedError
from bundler.evidence.provenance import Provenance
from bundler.evidence.provenance_details import Material, ProvenanceDetails
from bundler.evidence.sbom import Package, Sbom
from bundler.verify.exhibits import Chain, Exhibits, Paper
from bundler.verify.logged import LogFact
from bundler.verify.result import Check, EvidenceFact, ImageResult, Outcome, Report
from bundler.verify.signatures import VerifiedTime
from tests.simulators.reports import AT, DIGEST, full_report

SPDX = "https://spdx.dev/Document"
SLSA = "https://slsa.dev/provenance/v1"
IDENTITY = "https://github.com/example/app/.github/workflows/release.yml@refs/tags/v1"
ISSUER = "https://token.actions.githubusercontent.com"


def sbom(packages: tuple[Package, ...], text: str = "app") -> Sbom:
    """An SBOM with these packages."""
    return Sbom("SPDX", "2.3", text, text, AT, (text,), packages, 3, 0)


def full_exhibits(text: str, fact: EvidenceFact) -> Exhibits:
    """Something of every kind, with `text` wherever text comes from outside."""
    logs = (
        LogFact(text, b"log", 7, AT, "dsse", 1000, (text,), fetched=True),
        LogFact(text, b"other", None, None, "dsse"),
    )
    chain = Chain(fact, text, text, ((text, text), ("source-repository-uri", text)), (VerifiedTime(AT, text),), logs)
    keyed = replace(chain, authority="", extensions=(), logs=logs[1:], times=())
    details = ProvenanceDetails(
        "v1", Provenance(text, text, text), text, {text: text}, text, {text: [text, {text: 1}], "plain": text},
        (Material(text, {text: text}), Material(text, {})), AT, AT, text,
    )  # fmt: skip
    packages = tuple(Package(text, text, text, text) for _ in range(12))
    paper = Paper("sbom", DIGEST, text, DIGEST, text, text, text, sbom=sbom(packages, text))
    failed = replace(paper, sbom=None, failure=MalformedError("some-code", text, text, got=text, want=text))
    return Exhibits((chain, keyed), (paper, failed, replace(paper, kind="provenance", sbom=None, provenance=details)))


def hostile_page(text: str) -> tuple[Report, tuple[Exhibits | None, ...]]:
    """A report and exhibits with `text` in every place that takes text from outside."""
    report = full_report(text)
    return report, tuple(full_exhibits(text, image.evidence[0]) for image in report.images)


def package(number: int) -> Package:
    """One of many packages; number 42 is the only one under its licence."""
    name = f"lib{'abcdefghij'[number % 10]}{number}"
    licence = "LicenseRef-Rare" if number == 42 else "MIT" if number % 3 else "GPL-2.0-or-later AND Apache-2.0"
    return Package(name, f"1.{number % 17}.{number}", f"pkg:deb/debian/{name}@1.{number}?arch=amd64", licence)


def large_page(images: int = 200, packages: int = 5000) -> tuple[Report, tuple[Exhibits | None, ...]]:
    """A verified delivery of many images; the packages are spread evenly, each image's own."""
    share = packages // images
    made, exhibits = [], []
    for number in range(images):
        digest = sha256_of(f"image {number}".encode())
        fact = EvidenceFact(
            "signature", digest, DIGEST, "linux/amd64", "signed, inclusion proof", "", IDENTITY, ISSUER,
            "https://rekor.example.org", number, datetime(2026, 10, 1, 12, tzinfo=UTC), demanded=True,
        )  # fmt: skip
        refused = number % 50 == 7
        outcome = Outcome.MISSING if refused else Outcome.HELD
        check = Check("sbom", outcome, "sbom-missing" if refused else "", "linux/amd64", SPDX, "signed")
        made.append(
            ImageResult(
                f"registry.example.org/team/app-{number}:1.{number}", digest, "application/vnd.oci.image.index.v1+json",
                (("linux/amd64", digest),), (), "rule[1]", (check,), (fact,),
                ((digest, "referrers", "absent"), (digest, "tag sha256-….sig", "found")), 1_000_000,
            )
        )  # fmt: skip
        log = LogFact(fact.log, b"log", number, AT, "hashedrekord", 10_000)
        chain = Chain(fact, "trusted_root/demo.json", "https://fulcio.example.org", (), (VerifiedTime(AT, fact.log),),
                      (log,))  # fmt: skip
        held = tuple(package(number * share + position) for position in range(share))
        paper = Paper("sbom", digest, "linux/amd64", DIGEST, SPDX, "covered by the image signature", sbom=sbom(held))
        exhibits.append(Exhibits((chain,), (paper,)))
    report = replace(full_report(), damages=(), failure=None, images=tuple(made), checks=(), weakened=())
    return report, tuple(exhibits)
