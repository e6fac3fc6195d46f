"""Two bundles compared: every kind of difference, and none where there is none; only what is needed is read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bundler.archive.reader import ArchiveReader
from bundler.cli.diff import _lines
from bundler.deliver.diff import compare_bundles
from bundler.deliver.diff_document import diff_document
from bundler.digest import Digest
from bundler.errors import DamagedError, TrustError
from bundler.export.settings import DataRequest
from bundler.oci.descriptor import Descriptor, Platform
from bundler.report.columns import COLUMNS
from bundler.report.diff_html import format_diff_html
from tests.simulators.claims import IDENTITY, NAME, OTHER_IDENTITY, REPOSITORY, Claims
from tests.simulators.deliveries import NOW, Exporter, LayoutSource, make_site
from tests.simulators.images import SPDX, Layout, layer, statement, two_platforms
from tests.simulators.patched import PATCHED_NAME, patched_scene
from tests.simulators.tuf_repository import TufRepository
from tests.simulators.vulnerability_data import write_zip
from trust_root.delivery import time_basis
from trust_root.site import Site, load_site

Packages = list[tuple[str, str]]


def sbom(subject: Descriptor, packages: Packages) -> bytes:
    """An SPDX SBOM with these packages and versions."""
    listed = [
        {"name": name, "SPDXID": f"SPDXRef-{name}-{version}", "versionInfo": version, "downloadLocation": "NOASSERTION"}
        for name, version in packages
    ]
    predicate = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "sbom",
        "documentNamespace": "https://example.org/sbom", "packages": listed,
        "creationInfo": {"creators": ["Tool: simulator"], "created": "2026-01-01T00:00:00Z"},
    }  # fmt: skip
    return statement(subject.digest, SPDX, predicate)


@dataclass
class World:
    """An exporter and a site, and images to deliver."""

    folder: Path
    claims: Claims = field(init=False)
    exporter: Exporter = field(init=False)
    site: Site = field(init=False)
    _made: int = 0

    def __post_init__(self) -> None:
        self.claims = Claims(self.folder)
        repository = TufRepository("main", targets=self.claims.targets)
        self.exporter = Exporter(repository, self.folder)
        self.site = load_site(make_site(self.folder / "state", repository.pin), read_only=True)

    def source(self, layout: Layout, name: str = NAME, platforms: tuple[Platform, ...] = ()) -> LayoutSource:
        self._made += 1
        return LayoutSource("oci", layout.write(self.folder / f"layout-{self._made}"), name, platforms=platforms)

    def image(self, packages: Packages | None = None, *, seed: int = 0, name: str = NAME) -> tuple[Layout, Descriptor]:
        layout = Layout()
        child = layout.image("linux/amd64", [layer(b"amd64", seed=seed, size_bytes=400)])
        children = [child]
        if packages:
            children.append(layout.attestation(child, [sbom(child, packages)]))
        top = layout.index(children)
        layout.name(top, name)
        return layout, top

    def deliver(self, *layouts: Layout) -> Path:
        return self.exporter.deliver(*(self.source(layout) for layout in layouts))

    def compare(self, before: Path, after: Path, site: Site | TrustError | None = None) -> dict[str, Any]:
        found = diff_document(compare_bundles(before, after, site or self.site, time_basis(NOW, None)))
        assert json.loads(json.dumps(found)) == found
        format_diff_html(found)
        lines = list(_lines(found))
        assert max(map(len, lines)) <= COLUMNS
        assert all(line.isprintable() for line in lines)
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_bundle_does_not_differ_from_itself_or_its_successor(world: World) -> None:
    layout, _, _ = two_platforms(NAME)
    first, second = world.deliver(layout), world.deliver(layout)
    for after in (first, second):
        found = world.compare(first, after)
        assert (found["different"], found["images"], found["same"], found["trusted"]) == (False, [], 1, True)
    assert found["bytes"]["gone"] == found["bytes"]["new"] == 0
    assert (found["before"]["sequence"], found["after"]["sequence"]) == (1, 2)
    assert found["before"]["pin"] == found["after"]["pin"] == str(world.site.loaded.pins[0].record.pin)


def test_images_added_and_removed(world: World) -> None:
    layout, _ = world.image()
    other, _ = world.image(seed=5, name="registry.example.org/other:1")
    alone = world.exporter.deliver(world.source(layout))
    both = world.exporter.deliver(world.source(layout), world.source(other, "registry.example.org/other:1"))
    (added,) = world.compare(alone, both)["images"]
    assert (added["name"], added["change"], added["before"]) == ("registry.example.org/other:1", "added", None)
    assert added["after"]["size"] > 400
    (removed,) = world.compare(both, alone)["images"]
    assert (removed["name"], removed["change"], removed["after"]) == ("registry.example.org/other:1", "removed", None)


def test_an_image_that_moved_with_its_packages(world: World) -> None:
    before, _ = world.image([("kept", "1"), ("old", "1"), ("openssl", "3.0.1")])
    after, _ = world.image([("kept", "1"), ("new", "2"), ("openssl", "3.0.2")], seed=9)
    found = world.compare(world.deliver(before), world.deliver(after))
    (image,) = found["images"]
    assert (image["change"], image["name"]) == ("moved", NAME)
    (platform,) = image["packages"]
    assert (platform["platform"], platform["same"]) == ("linux/amd64", 1)
    assert [item["package"] for item in platform["added"]] == ["new"]
    assert [item["package"] for item in platform["removed"]] == ["old"]
    assert platform["changed"][0]["versions"] == {"before": ["3.0.1"], "after": ["3.0.2"]}
    text = "\n".join(_lines(found))
    assert f"~ {NAME}: moved to another digest" in text
    assert "~ openssl 3.0.1 -> 3.0.2" in text


def test_an_sbom_that_is_gone_is_said_and_not_told_as_packages(world: World) -> None:
    before, _ = world.image([("a", "1")])
    after, _ = world.image()
    (image,) = world.compare(world.deliver(before), world.deliver(after))["images"]
    (platform,) = image["packages"]
    assert platform["sboms"] == {"before": ["SPDX"], "after": []}
    assert platform["removed"] == []


def test_another_tag_of_the_same_repository(world: World) -> None:
    before, _ = world.image(name=f"{REPOSITORY}:1.0")
    after, _ = world.image(seed=3, name=f"{REPOSITORY}:1.1")
    first = world.exporter.deliver(world.source(before, f"{REPOSITORY}:1.0"))
    second = world.exporter.deliver(world.source(after, f"{REPOSITORY}:1.1"))
    (image,) = world.compare(first, second)["images"]
    assert (image["change"], image["before"]["name"], image["after"]["name"]) == (
        "replaced", f"{REPOSITORY}:1.0", f"{REPOSITORY}:1.1",
    )  # fmt: skip


def test_of_several_tags_nobody_guesses(world: World) -> None:
    before, _ = world.image(name=f"{REPOSITORY}:1.0")
    after, _ = world.image(seed=3, name=f"{REPOSITORY}:1.1")
    first = world.exporter.deliver(world.source(before, f"{REPOSITORY}:1.0"))
    names = (f"{REPOSITORY}:1.1", f"{REPOSITORY}:1.2")
    third, _ = world.image(seed=4, name=names[1])
    second = world.exporter.deliver(world.source(after, names[0]), world.source(third, names[1]))
    changes = {image["name"]: image["change"] for image in world.compare(first, second)["images"]}
    assert changes == {names[0]: "added", names[1]: "added", f"{REPOSITORY}:1.0": "removed"}


def test_other_signer_same_image(world: World) -> None:
    bundles = []
    for signer in (world.claims.release, world.claims.other):
        layout, top = world.image()
        world.claims.sign(layout, top, signer)
        bundles.append(world.deliver(layout))
    (image,) = world.compare(bundles[0], bundles[1])["images"]
    assert image["change"] == "evidence"
    assert IDENTITY in image["signers"]["removed"][0]
    assert OTHER_IDENTITY in image["signers"]["added"][0]
    assert image["log_strength"] == {"removed": [], "added": []}


def test_a_signature_that_came_and_one_that_does_not_hold(world: World) -> None:
    plain, _ = world.image()
    signed, top = world.image()
    world.claims.sign(signed, top, world.claims.team)
    foreign = Claims(world.folder, seed="somebody else")
    broken, top = world.image()
    foreign.sign(broken, top, foreign.release)
    first, second, third = (world.deliver(layout) for layout in (plain, signed, broken))
    (image,) = world.compare(first, second)["images"]
    assert len(image["signers"]["added"]) == 1
    assert "strength" in "\n".join(_lines(world.compare(first, second)))
    (image,) = world.compare(second, third)["images"]
    assert len(image["not_verified"]["added"]) == 1
    assert len(image["signers"]["removed"]) == 1


def test_a_signature_makes_the_statements_under_it_stronger(world: World) -> None:
    layout, top = world.image([("musl", "1.2")])
    before = world.deliver(layout)
    world.claims.sign(layout, top, world.claims.release)
    (image,) = world.compare(before, world.deliver(layout))["images"]
    about = f"statement {SPDX} about linux/amd64"
    assert image["change"] == "evidence"
    assert f"{about}: unsigned, no covering signature" in image["log_strength"]["removed"]
    assert f"{about}: covered by the image signature" in image["log_strength"]["added"]
    assert any(item.startswith("signature about whole image: signed") for item in image["log_strength"]["added"])


def test_builders_and_left_out_platforms(world: World) -> None:
    layout, _, _ = two_platforms(NAME)
    whole = world.exporter.deliver(world.source(layout))
    part = world.exporter.deliver(world.source(layout, platforms=(Platform("linux", "amd64"),)))
    (image,) = world.compare(whole, part)["images"]
    assert image["change"] == "evidence"
    assert image["platforms"] == {"removed": ["linux/arm64"], "added": []}
    assert "linux/arm64" in image["omitted"]["added"]
    assert image["builders"]["removed"] == ["linux/arm64: https://example.org/builder"]


def test_without_a_pin_the_same_is_told_as_not_verified(world: World) -> None:
    layout, _ = world.image([("a", "1")])
    bundle = world.deliver(layout)
    found = world.compare(bundle, bundle, TrustError("no-pin", "site", got="none", want="a pin"))
    assert (found["trusted"], found["before"]["reason"], found["different"]) == (False, "no-pin", False)
    assert next(iter(_lines(found))).startswith("NOT VERIFIED: no-pin: A")


def test_damage_ends_it(world: World) -> None:
    first, _ = world.image([("a", "1")])
    second, _ = world.image([("a", "2")])
    before, after = world.deliver(first), world.deliver(second)
    raw = bytearray(after.read_bytes())
    place = raw.rindex(b"SPDXRef-a-2")
    raw[place] ^= 1
    after.write_bytes(raw)
    with pytest.raises(DamagedError):
        world.compare(before, after)


def test_a_derivation_is_told_as_inspect_tells_it(world: World) -> None:
    """As the word of the stream whose key signed it, not as a signature by nobody that is known."""
    bundles = []
    for name in ("without", "with"):
        patched = patched_scene("linux/amd64")
        patched.key = world.exporter.repository.streams["main"].key
        layout = patched.build()
        if name == "without":
            layout.entries.pop()  # the statement comes last
        folder = layout.write(world.folder / name)
        bundles.append(world.exporter.deliver(LayoutSource("oci", folder, PATCHED_NAME, PATCHED_NAME)))
    (image,) = world.compare(bundles[0], bundles[1])["images"]
    assert image["not_verified"] == {"removed": [], "added": []}
    assert [told.rpartition(": ")[2] for told in image["log_strength"]["added"]] == ["asserted by stream main"]


def test_vulnerability_data_differs_too(world: World) -> None:
    layout, _ = world.image()
    bundles = []
    for number, names in enumerate((("debian", "npm"), ("npm", "pypi"), ("npm", "pypi"))):
        data = []
        for name in names:
            modified = f"2026-10-0{1 + (number > 0)}T00:00:00Z" if name == "npm" else "2026-10-01T00:00:00Z"
            path = write_zip(world.folder / f"{name}-{number}.zip", [{"id": "X-1", "modified": modified}])
            data.append(DataRequest("osv", str(path), name))
        bundles.append(world.exporter.deliver(world.source(layout), data=data))
    found = world.compare(bundles[0], bundles[1])
    assert (found["different"], found["images"], found["same"]) == (True, [], 1)
    changes = [(item["source"], item["change"]) for item in found["data"]]
    assert changes == [("npm", "changed"), ("pypi", "added"), ("debian", "removed")]
    assert [item["before"] is None for item in found["data"]] == [False, True, False]
    text = "\n".join(_lines(found))
    assert "~ vulnerability data npm: changed\n    - osv, 1 record, changed 2026-10-01T00:00:00Z" in text
    assert "no difference" not in text
    assert "Other vulnerability data" in format_diff_html(found)
    again = world.compare(bundles[1], bundles[2])
    assert (again["different"], again["data"]) == (False, [])


def test_layers_and_images_that_are_the_same_are_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    same, _ = world.image([("a", "1")], seed=1, name="registry.example.org/same:1")
    before, _ = world.image([("a", "1")])
    after, top = world.image([("a", "2")], seed=2)
    name = "registry.example.org/same:1"
    first = world.exporter.deliver(world.source(same, name), world.source(before))
    second = world.exporter.deliver(world.source(same, name), world.source(after))
    read: list[Digest] = []
    actual = ArchiveReader.read_blob

    def watched(reader: ArchiveReader, digest: Digest, max_bytes: int) -> bytes:
        read.append(digest)
        return actual(reader, digest, max_bytes)

    monkeypatch.setattr(ArchiveReader, "read_blob", watched)
    assert [image["name"] for image in world.compare(first, second)["images"]] == [NAME]
    assert not set(read) & set(same.blobs)
    assert top.digest in read
    assert not set(read) & _layers(after)


def _layers(layout: Layout) -> set[Digest]:
    """Digests of blobs that are no documents."""
    found = {digest for digest in layout.blobs if not layout.read(digest).startswith(b"{")}
    assert found
    return found
