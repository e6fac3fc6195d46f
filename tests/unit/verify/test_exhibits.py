"""Exhibits: chains only of what was verified, with what verified it; SBOMs and provenance with their own strength."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bundler.digest import Digest
from bundler.errors import EnvError
from bundler.oci.manifest import EMPTY_CONFIG
from bundler.report.chain_picture import WIDTH, draw_chain
from bundler.verify.exhibits import Exhibits
from bundler.verify.images import Judged, judge_image
from bundler.verify.result import ImageResult
from tests.simulators.claims import IDENTITY, NAME, Claims, demand, policy
from tests.simulators.evidence_image import REPOSITORY, evidence_image
from tests.simulators.images import Layout, sbom_statement, to_json, two_platforms
from tests.simulators.reports import DIGEST, full_report
from tests.simulators.sboms import cyclonedx
from tests.simulators.sigstore_keys import GITHUB


def judged(claims: Claims, layout: Layout, text: str | None, *, exhibit: bool = True, name: str = NAME) -> Judged:
    inventory = claims.inventory((layout, name))
    bench = claims.bench(inventory, text, {digest: layout.read(digest) for digest in layout.blobs})
    return judge_image(inventory.images[0], replace(bench, exhibit=exhibit))


def exhibits(claims: Claims, layout: Layout, text: str | None, name: str = NAME) -> tuple[ImageResult, Exhibits]:
    found = judged(claims, layout, text, name=name)
    assert found.exhibits is not None
    return found.result, found.exhibits


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(tmp_path)


def test_nothing_is_gathered_unasked_and_the_verdict_is_the_same(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME)
    claims.sign(layout, top, claims.release)
    text = policy(demand("signature"))
    plain, shown = judged(claims, layout, text, exhibit=False), judged(claims, layout, text)
    assert (plain.exhibits, plain.result) == (None, shown.result)


def test_a_keyless_chain_names_what_verified_it(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME)
    claims.sign(layout, top, claims.release)
    result, found = exhibits(claims, layout, policy(demand("signature")))
    (chain,) = found.chains
    assert chain.fact in result.evidence
    assert (chain.fact.signer, chain.fact.issuer, chain.fact.demanded) == (IDENTITY, GITHUB, True)
    assert chain.target == "trusted_root/demo.json"
    assert chain.authority.startswith("https://")
    assert [time.source for time in chain.times] == [log.log_url for log in chain.logs]


def test_a_keyed_chain_names_its_published_key(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME)
    claims.sign(layout, top, claims.team)
    _, found = exhibits(claims, layout, None)
    (chain,) = found.chains
    assert (chain.target, chain.authority, chain.extensions) == ("keys/team.pub", "", ())


def test_what_was_not_verified_has_no_chain(claims: Claims, tmp_path: Path) -> None:
    layout, top, _ = two_platforms(NAME)
    somebody = Claims(tmp_path / "other", seed="somebody else")
    pair = (somebody.sigstore.sign(top.digest, somebody.release), claims.sigstore.sign(top.digest, claims.release))
    claims.beside(layout, top, "sig", *pair)
    somebody.attest(layout, top, somebody.release)
    result, found = exhibits(claims, layout, None)
    verified = [fact for fact in result.evidence if fact.signer]
    assert [chain.fact for chain in found.chains] == verified
    assert {paper.signer for paper in found.papers} == {""}


def test_papers_of_each_platform_with_their_strength(claims: Claims) -> None:
    layout, top, (amd64, arm64) = two_platforms(NAME)
    claims.sign(layout, top, claims.release)
    _, found = exhibits(claims, layout, policy(demand("signature")))
    assert [(paper.kind, paper.platform, paper.subject) for paper in found.papers] == [
        ("sbom", "linux/amd64", amd64.digest), ("provenance", "linux/amd64", amd64.digest),
        ("sbom", "linux/arm64", arm64.digest), ("provenance", "linux/arm64", arm64.digest),
    ]  # fmt: skip
    assert {paper.strength for paper in found.papers} == {"covered by the image signature"}
    sbom, provenance = found.papers[0].sbom, found.papers[1].provenance
    assert sbom is not None
    assert [package.name for package in sbom.packages] == ["demo"]
    assert provenance is not None
    assert provenance.claims.builder == "https://example.org/builder"


def test_every_form_of_evidence_is_told_as_what_it_is(tmp_path: Path) -> None:
    made = evidence_image()
    claims = Claims(tmp_path)
    claims.sigstore = made.sigstore
    claims.targets = {"trusted_root/demo.json": made.sigstore.trusted_root_json()}
    result, found = exhibits(claims, made.layout, None, f"{REPOSITORY}:1")
    assert all(chain.fact in result.evidence and chain.fact.signer for chain in found.chains)
    by_digest = {(fact.digest, fact.predicate_type) for fact in result.evidence if not fact.code}
    for paper in found.papers:
        bare = paper.predicate_type.startswith("text/spdx")
        assert bare or (paper.manifest, paper.predicate_type) in by_digest
        assert (paper.failure is None) == (paper.sbom is not None or paper.provenance is not None)
    assert any(paper.signer for paper in found.papers)
    assert any(paper.predicate_type == "text/spdx+json" and paper.failure is not None for paper in found.papers)


def test_a_broken_sbom_is_shown_with_its_reason(claims: Claims) -> None:
    layout = Layout()
    child = layout.image("linux/amd64", [])
    raw = sbom_statement(child).replace(b'"packages":[', b'"packages_":[')
    layout.name(layout.index([child, layout.attestation(child, [raw])]), NAME)
    _, found = exhibits(claims, layout, None)
    (paper,) = found.papers
    assert (paper.kind, paper.sbom) == ("sbom", None)
    assert paper.failure is not None
    assert paper.failure.code == "sbom-empty"


def test_a_file_in_a_referrer_is_shown_as_what_nobody_signed(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME)
    kind = "application/vnd.cyclonedx+json"
    config, held = layout.blob(b"{}", EMPTY_CONFIG), layout.blob(to_json(cyclonedx()), kind)
    made = layout.manifest(config, [held], artifact_type=kind, subject=top)
    layout.name(replace(made, artifact_type=kind))
    _, found = exhibits(claims, layout, None)
    (paper,) = [paper for paper in found.papers if paper.manifest == made.digest]
    assert (paper.kind, paper.platform, paper.strength) == ("sbom", "", "unsigned, no covering signature")
    assert paper.sbom is not None
    assert paper.sbom.format == "CycloneDX"


def test_the_picture_holds_together(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME)
    signers = (claims.release, claims.team)
    claims.beside(layout, top, "sig", *(claims.sigstore.sign(top.digest, signer) for signer in signers))
    result, found = exhibits(claims, layout, None)
    report = full_report()
    for chain in found.chains:
        picture = draw_chain(chain, result, report.trust)
        assert picture.boxes[0].label == "Pinned root"
        assert picture.boxes[-1].label == "Image"
        for box in picture.boxes:
            assert box.x >= 0
            assert box.x + box.width <= WIDTH
            assert box.y + box.height <= picture.height
        tops = {box.y for box in picture.boxes}
        assert {link.tip_y + 1 for link in picture.links} == tops - {1}
        assert str(DIGEST)[:39] in picture.boxes[0].lines[0]
        weak = [box.label for box in picture.boxes if box.weak]
        assert weak == [box.label for box in picture.boxes if box.label == "Transparency log"]
    unproved = draw_chain(found.chains[0], result, None)
    assert unproved.boxes[0].label == "No pinned root"


def test_an_sbom_that_went_by_in_a_pipe_is_shown_with_its_reason(claims: Claims) -> None:
    """`oras attach` gives a file the media type of an image layer, and such blobs are not kept of a pipe."""
    layout, top, _ = two_platforms(NAME)
    blob = layout.blob(to_json(cyclonedx()), "application/vnd.oci.image.layer.v1.tar")
    config = layout.blob(b"{}", EMPTY_CONFIG)
    layout.name(layout.manifest(config, [blob], artifact_type="application/vnd.cyclonedx+json", subject=top))
    inventory = claims.inventory((layout, NAME))
    bench = claims.bench(inventory, None, {digest: layout.read(digest) for digest in layout.blobs})

    def read(digest: Digest, code: str) -> bytes:
        if digest == blob.digest:
            raise EnvError(code, "blob", str(digest), got="a pipe that is read only once", want="a file")
        return bench.read_blob(digest)

    piped = replace(bench, exhibit=True, read_blob=lambda digest: read(digest, "pipe"))
    found = judge_image(inventory.images[0], piped).exhibits
    assert found is not None
    (paper,) = (paper for paper in found.papers if paper.predicate_type == "application/vnd.cyclonedx+json")
    assert paper.failure is not None
    assert paper.failure.code == "pipe"
    with pytest.raises(EnvError):
        judge_image(inventory.images[0], replace(piped, read_blob=lambda digest: read(digest, "disk")))
