"""Sources that lie about what decides an export, or never end (THREATS E6, E8)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bundler import limits
from bundler.digest import Digest
from bundler.errors import EnvError, MalformedError, RejectedError, SealiftError
from bundler.export.collect import collect
from bundler.export.findings import Findings
from bundler.export.settings import ImageRequest
from bundler.network.layout import open_layout
from bundler.network.referrers import REFERRER
from bundler.network.source import ANY_WORD, Answer, Place
from bundler.oci.descriptor import Descriptor, parse_platform
from bundler.oci.graph import walk
from tests.simulators.images import Layout, layer, sbom_statement, two_platforms
from tests.unit.export.conftest import NAME
from tests.unit.export.conftest import Place as Exporter

ABOUT = "registry.example.org/app"


def test_a_config_that_was_exchanged_decides_nothing(tmp_path: Path) -> None:
    """The child has no platform in its index; a false config could have it left out, and then nobody would hash it."""
    layout = Layout()
    amd64 = layout.image("linux/amd64", [layer(seed=1)])
    arm64 = layout.image("linux/arm64", [layer(seed=2)])
    top = layout.index([replace(amd64, platform=None), arm64])
    layout.name(top, NAME)
    folder = layout.write(tmp_path)
    graph = walk(amd64, lambda descriptor: layout.read(descriptor.digest))
    config = next(node for node in graph.nodes if "config" in node.media_type)
    path = folder / "blobs" / "sha256" / config.digest.hex
    path.write_bytes(path.read_bytes().replace(b"amd64", b"arm46"))
    for platforms in ((), (parse_platform("linux/arm64"),)):
        with pytest.raises(RejectedError) as error:
            collect(open_layout("oci", folder, NAME), NAME, platforms)
        assert error.value.code == "blob-digest"
        assert error.value.which == str(config.digest)


def test_a_tag_that_gives_a_manifest_of_the_image_itself(tmp_path: Path) -> None:
    layout, top, (amd64, _) = two_platforms(NAME)
    layout.tag_evidence(replace(amd64, platform=None), top, "sig", ABOUT)
    with pytest.raises(MalformedError) as error:
        collect(open_layout("oci", layout.write(tmp_path), NAME), NAME)
    assert error.value.code == "digest-role"
    assert f"looking for evidence about {top.digest}, place tag-sig" in error.value.hints


class Searched:
    """One image whose only place of evidence answers as a test wishes."""

    def __init__(self) -> None:
        self.layout, self.top, children = two_platforms(NAME)
        graph = walk(self.top, self.read)
        self.findings = Findings(graph, [child.digest for child in children])
        self.answer: Answer | SealiftError = Answer.of(())

    def read(self, descriptor: Descriptor) -> bytes:
        return self.layout.read(descriptor.digest)

    def places(self, _subject: Digest) -> tuple[Place, ...]:
        return (Place("referrers", REFERRER, ANY_WORD, self.ask),)

    def ask(self) -> Answer:
        if isinstance(self.answer, SealiftError):
            raise self.answer
        return self.answer

    def search(self, *may_lack: str) -> None:
        self.findings.search_places(self.places, self.read, frozenset(may_lack))


@pytest.mark.parametrize("limit", ["IMAGE_EVIDENCE", "IMAGE_SEARCHES"])
def test_evidence_without_end_is_told_as_it_comes(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    it = Searched()
    it.answer = Answer.of(tuple(it.layout.image("linux/amd64", [layer(seed=40 + number)]) for number in range(4)))
    monkeypatch.setattr(limits, limit, 3)
    with pytest.raises(MalformedError) as error:
        it.search()
    assert error.value.code == "limits"
    assert any("place referrers" in hint for hint in error.value.hints)


@pytest.mark.parametrize("code", ["disk-full", "credentials", "cert-dir", "locked", "proxy"])
def test_a_fault_of_this_machine_is_no_answer_that_evidence_may_lack(code: str) -> None:
    it = Searched()
    it.answer = EnvError(code, "something here", got="broken")
    with pytest.raises(EnvError):
        it.search(*ANY_WORD)
    for passing in ("registry-denied", "network", "stalled"):
        other = Searched()
        other.answer = EnvError(passing, "registry", got="no")
        other.search(*ANY_WORD)
        assert {search.answer for search in other.findings.searches} == {"no answer: no"}


def test_what_is_required_is_required_of_platforms_that_another_image_brings(place: Exporter) -> None:
    """The first image keeps the platform that has an SBOM; the second brings the other one, which has none."""
    layout = Layout()
    amd64 = layout.image("linux/amd64", [layer(seed=1)])
    arm64 = layout.image("linux/arm64", [layer(seed=2)])
    layout.name(layout.index([amd64, arm64, layout.attestation(amd64, [sbom_statement(amd64)])]), NAME)
    layout.name(replace(arm64, platform=None), "registry.example.org/arm:1")
    folder = layout.write(place.folder / "both")
    wanted = ImageRequest(f"oci:{folder}:{NAME}", None, (parse_platform("linux/amd64"),), frozenset({"sbom"}))
    other = ImageRequest(f"oci:{folder}:registry.example.org/arm:1")
    place.export(images=(wanted,))
    with pytest.raises(RejectedError) as error:
        place.export(images=(wanted, other))
    assert error.value.code == "evidence-missing"
    assert error.value.got == "not there for every platform"
    assert place.litter() == []


@pytest.mark.parametrize("way", ["missing", "damaged"])
def test_named_entries_that_cannot_be_read_are_told_in_the_answer(tmp_path: Path, way: str) -> None:
    """They may be other images, which is no reason to stop; or referrers, and then `absent` alone would be wrong."""
    layout, top, _ = two_platforms(NAME)
    other = layout.name(layout.image("linux/amd64", [layer(seed=9)]), "registry.example.org/other:1")
    folder = layout.write(tmp_path)
    path = folder / "blobs" / "sha256" / other.digest.hex
    if way == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b" ")
    found = collect(open_layout("oci", folder, NAME), NAME)
    answers = {search.answer for search in found.image.searches if search.place == "layout-referrers"}
    assert answers == {"absent; 1 named entries are missing or damaged"}
    assert found.image.digest == top.digest
