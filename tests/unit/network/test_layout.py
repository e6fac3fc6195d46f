"""Layouts as sources: selection, evidence, and everything that a folder or an archive may hide."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.digest import Digest
from bundler.errors import EnvError, MalformedError, RejectedError, SealiftError, UnsupportedError, UsageError
from bundler.network.layout import Layout as LayoutSource
from bundler.network.layout import open_layout
from bundler.network.source import Answer
from bundler.network.tar_index import index_tar
from bundler.oci.annotations import COSIGN_IMAGE, COSIGN_SIGNATURES, IMAGE_NAME, KIND, REF_NAME, format_evidence_tag
from bundler.oci.descriptor import Descriptor
from bundler.oci.graph import walk
from bundler.oci.manifest import EMPTY_CONFIG
from tests.simulators.images import OCI_LAYER, SIMPLE_SIGNING, Layout, layer, two_platforms

KINDS = ("oci", "oci-archive")
NAME = "registry.example.org/app:1"
EVERYWHERE = {"layout-referrers", "fallback-tag", "tag-sig", "tag-att", "tag-sbom"}


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., LayoutSource]]:
    """Writes a layout as a folder or as an archive, opens it, and closes it after the test."""
    with ExitStack() as sources:

        def opener(layout: Layout, reference: str | None = None) -> LayoutSource:
            if request.param == "oci":
                source = open_layout("oci", layout.write(tmp_path / "layout"), reference)
            else:
                source = open_layout("oci-archive", layout.write_archive(tmp_path / "layout.tar"), reference)
            sources.callback(source.close)
            return source

        yield opener


def signature(layout: Layout) -> Descriptor:
    return layout.cosign([(b"{}", SIMPLE_SIGNING, {})])


def answers(source: LayoutSource, subject: Digest) -> dict[str, Answer]:
    return {place.name: place.ask() for place in source.places(subject)}


def test_an_image_is_read_whole(opened: Callable[..., LayoutSource]) -> None:
    layout, top, _ = two_platforms(NAME)
    source = opened(layout)
    resolved = source.resolve()
    assert (resolved.descriptor.digest, resolved.suggested_name) == (top.digest, NAME)
    graph = walk(resolved.descriptor, source.read_document)
    assert {node.digest for node in graph.nodes} == set(layout.blobs)
    assert source.missing(graph.nodes) == ()
    for node in graph.nodes:
        with source.open_blob(node) as stream:
            assert stream.read() == layout.read(node.digest)


def test_streams_do_not_move_each_other_and_outlive_the_source(opened: Callable[..., LayoutSource]) -> None:
    layout = Layout()
    top = layout.image("linux/amd64", [layer(b"one", seed=1), layer(b"two", seed=2)])
    layout.name(top, NAME)
    source = opened(layout)
    first, second = (node for node in walk(top, source.read_document).nodes if node.media_type == OCI_LAYER)
    with source.open_blob(first) as one, source.open_blob(second) as two:
        head = one.read(10)
        assert two.read(3) == layout.read(second.digest)[:3]
        source.close()
        assert head + one.read() == layout.read(first.digest)


def test_what_is_missing_is_told(opened: Callable[..., LayoutSource]) -> None:
    layout = Layout()
    top = layout.image("linux/amd64", [layer(seed=1)])
    layout.name(top, NAME)
    gone = layout.blob(b"gone", OCI_LAYER)
    wrong = Descriptor(OCI_LAYER, top.digest, top.size_bytes + 1)
    del layout.blobs[gone.digest]
    source = opened(layout)
    assert source.missing([top, gone, wrong]) == (gone, wrong)
    for read in (source.open_blob, source.read_document):
        with pytest.raises(RejectedError) as error:
            read(gone)
        assert error.value.code == "incomplete-source"


def test_documents_are_read_with_a_bound(opened: Callable[..., LayoutSource]) -> None:
    layout = Layout()
    top = layout.image("linux/amd64", [])
    layout.name(top, NAME)
    source = opened(layout)
    assert len(source.read_document(Descriptor(top.media_type, top.digest, 10))) == 11


@pytest.mark.parametrize("reference", ["a.example.org/x:1", "b", "full.example.org/y:2", "digest"])
def test_an_image_is_selected_by_name_or_digest(opened: Callable[..., LayoutSource], reference: str) -> None:
    layout = Layout()
    one = layout.name(layout.image("linux/amd64", [layer(seed=1)]), "a.example.org/x:1")
    two = layout.name(layout.image("linux/amd64", [layer(seed=2)]), "b", **{IMAGE_NAME: "full.example.org/y:2"})
    source = opened(layout, str(two.digest) if reference == "digest" else reference)
    assert source.resolve().descriptor.digest == (one if reference.startswith("a.") else two).digest


@pytest.mark.parametrize("reference", [None, "c", "", "sha256:" + "0" * 64])
def test_without_one_image_the_names_are_listed(opened: Callable[..., LayoutSource], reference: str | None) -> None:
    layout = Layout()
    layout.name(layout.image("linux/amd64", [layer(seed=1)]), "a.example.org/x:1")
    layout.name(layout.image("linux/amd64", [layer(seed=2)]), "b")
    with pytest.raises(UsageError) as error:
        opened(layout, reference)
    assert error.value.code == "layout-reference"
    assert "in it: a.example.org/x:1" in error.value.hints
    assert "in it: b" in error.value.hints


def test_the_same_image_under_two_names_of_one_reference_is_one(opened: Callable[..., LayoutSource]) -> None:
    layout = Layout()
    top = layout.image("linux/amd64", [layer()])
    layout.name(top, "same")
    layout.name(top, "same")
    assert opened(layout, "same").resolve().descriptor.digest == top.digest


def test_evidence_is_no_image(opened: Callable[..., LayoutSource]) -> None:
    layout, top, _ = two_platforms(NAME)
    found = signature(layout)
    layout.tag_evidence(found, top, "sig", "registry.example.org/app")
    layout.name(layout.manifest(layout.blob(b"{}", "application/x"), [], artifact_type="application/y"))
    layout.entries[-1]["artifactType"] = "application/y"
    source = opened(layout)
    assert source.resolve().descriptor.digest == top.digest
    assert {name: [item.digest for item in answer.found] for name, answer in answers(source, top.digest).items()} == {
        name: [found.digest] if name == "tag-sig" else [] for name in EVERYWHERE
    }
    assert {answer.said for answer in answers(source, found.digest).values()} == {"absent"}


def referrer(layout: Layout, subject: Descriptor | None, note: bytes = b"a note") -> Descriptor:
    parts = layout.blob(b"{}", EMPTY_CONFIG), [layout.blob(note, "text/plain")]
    return layout.manifest(*parts, artifact_type="application/x-note", subject=subject)


def test_referrers_are_found_by_their_subject_and_are_no_images(opened: Callable[..., LayoutSource]) -> None:
    layout, top, (amd64, _) = two_platforms(NAME)
    about_top, about_amd64 = referrer(layout, top), referrer(layout, amd64)
    layout.name(about_top)
    layout.name(about_amd64, "registry.example.org/app:note")
    source = opened(layout)
    assert source.resolve().descriptor.digest == top.digest
    for subject, found in ((top, about_top), (amd64, about_amd64)):
        answer = answers(source, subject.digest)["layout-referrers"]
        assert ([item.digest for item in answer.found], answer.said) == ([found.digest], "found")
    assert answers(source, about_top.digest)["layout-referrers"].said == "absent"


def test_the_fallback_tag_lists_referrers(opened: Callable[..., LayoutSource]) -> None:
    layout, top, (amd64, _) = two_platforms(NAME)
    ours, other, none = referrer(layout, top), referrer(layout, amd64), referrer(layout, None)
    wrong_type = replace(ours, artifact_type="application/wrong")  # as some registries report it
    tagged = layout.index([wrong_type, other, none, top])
    layout.name(tagged, f"registry.example.org/app:sha256-{top.digest.hex}")
    layout.name(amd64, f"sha256-{amd64.digest.hex}")  # the subject itself in the index's place
    source = opened(layout)
    assert source.resolve().descriptor.digest == top.digest
    answer = answers(source, top.digest)["fallback-tag"]
    assert [item.digest for item in answer.found] == [ours.digest]
    assert answer.said == "found; 3 listed about something else"
    assert answers(source, amd64.digest)["fallback-tag"].said == "absent; the tag gives the subject itself"


def test_a_fallback_tag_that_is_no_list(opened: Callable[..., LayoutSource]) -> None:
    layout, top, (amd64, _) = two_platforms(NAME)
    layout.name(amd64, f"sha256-{top.digest.hex}")
    with pytest.raises(RejectedError) as error:
        answers(opened(layout), top.digest)
    assert error.value.code == "referrers"


def test_a_listed_referrer_that_is_not_there(opened: Callable[..., LayoutSource]) -> None:
    layout, top, _ = two_platforms(NAME)
    gone = referrer(layout, top)
    layout.name(layout.index([gone]), f"sha256-{top.digest.hex}")
    del layout.blobs[gone.digest]
    with pytest.raises(RejectedError) as error:
        answers(opened(layout), top.digest)
    assert error.value.code == "incomplete-source"


def test_an_unnamed_entry_that_cannot_be_read_could_be_evidence(opened: Callable[..., LayoutSource]) -> None:
    layout, top, _ = two_platforms(NAME)
    gone = referrer(layout, top)
    layout.name(gone)
    del layout.blobs[gone.digest]
    with pytest.raises(RejectedError) as error:
        opened(layout)
    assert error.value.code == "incomplete-source"


def test_a_cosign_saved_layout(opened: Callable[..., LayoutSource]) -> None:
    layout, top, (amd64, _) = two_platforms(None)
    layout.save_as_cosign(top, signatures=signature(layout))
    source = opened(layout)
    assert source.resolve().suggested_name is None
    places = {place.name: len(place.ask().found) for place in source.places(top.digest)}
    assert places["cosign-layout-sig"] == 1
    assert places["cosign-layout-att"] == 0
    assert {place.name for place in source.places(amd64.digest)} == EVERYWHERE


def test_cosign_evidence_beside_two_images_belongs_to_nobody(opened: Callable[..., LayoutSource]) -> None:
    layout, top, _ = two_platforms(None)
    layout.save_as_cosign(top, signatures=signature(layout))
    layout.name(layout.image("linux/amd64", [layer(seed=9)]), "other")
    source = opened(layout, str(top.digest))
    with pytest.raises(RejectedError) as error:
        answers(source, top.digest)
    assert error.value.code == "cosign-layout"


@pytest.mark.parametrize("key", [REF_NAME, IMAGE_NAME])
def test_cosign_evidence_that_bears_its_images_name(opened: Callable[..., LayoutSource], key: str) -> None:
    """As newer cosign writes it: the image is still found by that name, and the evidence is that image's alone."""
    layout, own = Layout(), dict[str, Descriptor]()
    for seed, name in enumerate(("a.example.org/x:1", "b.example.org/y:1")):
        top = layout.image("linux/amd64", [layer(seed=seed)])
        own[name] = layout.cosign([(str(seed).encode(), SIMPLE_SIGNING, {})])
        layout.name(top, **{KIND: COSIGN_IMAGE, key: name})
        layout.name(own[name], **{KIND: COSIGN_SIGNATURES, key: name})
    for name, signed in own.items():
        source = opened(layout, name)
        found = answers(source, source.resolve().descriptor.digest)
        assert [item.digest for item in found["cosign-layout-sig"].found] == [signed.digest]
    layout.name(signature(layout), **{KIND: COSIGN_SIGNATURES, key: "c.example.org/z:1"})
    source = opened(layout, "a.example.org/x:1")
    with pytest.raises(RejectedError) as error:
        answers(source, source.resolve().descriptor.digest)
    assert error.value.code == "cosign-layout"


@pytest.mark.parametrize("key", [REF_NAME, IMAGE_NAME])
def test_cosign_evidence_that_bears_its_own_tag_belongs_to_that_subject(
    opened: Callable[..., LayoutSource], key: str
) -> None:
    layout, top, _ = two_platforms(NAME)
    layout.name(layout.image("linux/amd64", [layer(seed=9)]), "other.example.org/x:1")
    signed = signature(layout)
    layout.name(signed, **{KIND: COSIGN_SIGNATURES, key: f"other:{format_evidence_tag(top.digest, 'sig')}"})
    found = answers(opened(layout, NAME), top.digest)
    assert [item.digest for item in found["tag-sig"].found] == [signed.digest]
    assert found["cosign-layout-sig"].found == ()


def test_cosign_evidence_counts_beside_an_image_that_has_no_mark(opened: Callable[..., LayoutSource]) -> None:
    layout, top, _ = two_platforms(NAME)
    layout.name(signature(layout), **{KIND: COSIGN_SIGNATURES})
    found = answers(opened(layout), top.digest)
    assert [len(found[f"cosign-layout-{suffix}"].found) for suffix in ("sig", "att")] == [1, 0]


def test_a_kind_that_is_not_cosigns_hides_no_referrer(opened: Callable[..., LayoutSource]) -> None:
    layout, top, _ = two_platforms(NAME)
    made = referrer(layout, top)
    layout.name(made, **{KIND: "example.org/referrer"})
    for reference in (None, NAME):
        found = answers(opened(layout, reference), top.digest)
        assert [item.digest for item in found["layout-referrers"].found] == [made.digest]


@pytest.mark.parametrize(
    ("name", "image_name", "suggested"),
    [
        ("latest", None, None),
        ("v1", None, None),
        ("app:1", None, "app:1"),
        ("docker.io/library/app:1", None, "docker.io/library/app:1"),
        ("latest", "docker.io/library/app:1", "docker.io/library/app:1"),
        ("Not/A/Name", None, None),
        ("app:1", "NOT A NAME/", "app:1"),
    ],
)
def test_suggested_names(tmp_path: Path, name: str, image_name: str | None, suggested: str | None) -> None:
    layout = Layout()
    layout.name(layout.image("linux/amd64", []), name, **({IMAGE_NAME: image_name} if image_name else {}))
    assert open_layout("oci", layout.write(tmp_path)).resolve().suggested_name == suggested


# -- what is no layout


BROKEN: dict[str, tuple[dict[str, bytes | None], type[SealiftError], str]] = {
    "no mark": ({"oci-layout": None}, MalformedError, "layout"),
    "no index": ({"index.json": None}, MalformedError, "layout"),
    "another version": ({"oci-layout": b'{"imageLayoutVersion":"2.0.0"}'}, UnsupportedError, "layout-version"),
    "no version": ({"oci-layout": b"{}"}, MalformedError, "field-missing"),
    "a long mark": ({"oci-layout": b"{}".ljust(limits.LAYOUT_MARK_BYTES + 1)}, MalformedError, "json-size"),
    "not JSON": ({"index.json": b"{"}, MalformedError, "json"),
    "duplicate keys": ({"index.json": b'{"schemaVersion":2,"schemaVersion":2}'}, MalformedError, "json-duplicate-key"),
    "schema 1": ({"index.json": b'{"schemaVersion":1,"manifests":[]}'}, MalformedError, "field-value"),
    "no manifests": ({"index.json": b'{"schemaVersion":2}'}, MalformedError, "field-missing"),
    "Manifests": ({"index.json": b'{"schemaVersion":2,"Manifests":[],"manifests":[]}'}, MalformedError, "field-case"),
    "a manifest": (
        {"index.json": b'{"schemaVersion":2,"manifests":[],"layers":[]}'},
        MalformedError,
        "manifest-ambiguous",
    ),
    "another type": (
        {"index.json": b'{"schemaVersion":2,"manifests":[],"mediaType":"application/x"}'},
        MalformedError,
        "manifest-ambiguous",
    ),
    "a hostile digest": (
        {"index.json": b'{"schemaVersion":2,"manifests":[{"mediaType":"a/b","size":1,"digest":"sha256:../../x"}]}'},
        MalformedError,
        "digest",
    ),
    "no images": ({"index.json": b'{"schemaVersion":2,"manifests":[]}'}, UsageError, "layout-reference"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("kind", KINDS)
def test_broken_layouts_are_refused(tmp_path: Path, case: str, kind: str) -> None:
    changes, family, code = BROKEN[case]
    folder = two_platforms(NAME)[0].write(tmp_path / "layout")
    for name, raw in changes.items():
        (folder / name).unlink()
        if raw is not None:
            (folder / name).write_bytes(raw)
    path = folder
    if kind == "oci-archive":
        path = tmp_path / "layout.tar"
        with tarfile.open(path, "w") as archive:
            archive.add(folder, ".")
    with pytest.raises(family) as error:
        open_layout(kind, path)
    assert error.value.code == code


def test_no_folder_and_no_file(tmp_path: Path) -> None:
    for kind in KINDS:
        with pytest.raises(EnvError) as error:
            open_layout(kind, tmp_path / "none")
        assert error.value.code == "file-absent"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvError) as error:
        open_layout("oci", tmp_path / "file")
    assert error.value.code == "file-kind"
    with pytest.raises(EnvError) as error:
        open_layout("oci-archive", tmp_path)
    assert error.value.code == "file-kind"


# -- links and odd files in a folder


def test_links_within_the_layout_are_fine(tmp_path: Path) -> None:
    layout, top, _ = two_platforms(NAME)
    folder = layout.write(tmp_path / "layout")
    (folder / "blobs").rename(folder / "elsewhere")
    (folder / "blobs").symlink_to("elsewhere")
    source = open_layout("oci", folder)
    assert source.missing(walk(top, source.read_document).nodes) == ()


@pytest.mark.parametrize("target", ["../outside", "/etc/passwd", "loop"])
def test_links_out_of_the_layout_are_refused(tmp_path: Path, target: str) -> None:
    layout, top, _ = two_platforms(NAME)
    folder = layout.write(tmp_path / "layout")
    blob = folder / "blobs" / "sha256" / top.digest.hex
    (tmp_path / "outside").write_bytes(blob.read_bytes())
    blob.unlink()
    blob.symlink_to({"../outside": tmp_path / "outside", "loop": blob}.get(target, Path(target)))
    with pytest.raises(SealiftError) as error:
        open_layout("oci", folder)
    assert error.value.code in ("layout-link", "disk")


def test_a_blob_folder_outside_is_refused(tmp_path: Path) -> None:
    layout, _, _ = two_platforms(NAME)
    folder = layout.write(tmp_path / "layout")
    (folder / "blobs").rename(tmp_path / "shared")
    (folder / "blobs").symlink_to(tmp_path / "shared")
    with pytest.raises(RejectedError) as error:
        open_layout("oci", folder)
    assert error.value.code == "layout-link"


def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    layout, top, _ = two_platforms(NAME)
    folder = layout.write(tmp_path / "layout")
    blob = folder / "blobs" / "sha256" / top.digest.hex
    blob.unlink()
    os.mkfifo(blob)
    with pytest.raises(EnvError) as error:
        open_layout("oci", folder).read_document(top)
    assert error.value.code == "file-kind"


# -- archives


def write_tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for info, raw in members:
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return path


def indexed(path: Path) -> dict[str, bytes]:
    with path.open("rb") as source:
        members = index_tar(source, path.stat().st_size, "test").members
        found = {}
        for name, member in members.items():
            source.seek(member.offset)
            found[name] = source.read(member.size_bytes)
        return found


LONG = "a/" * 100 + "name"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_found_in_every_dialect(tmp_path: Path, form: int) -> None:
    folder = tarfile.TarInfo("./blobs/")
    folder.type = tarfile.DIRTYPE
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    long = tarfile.TarInfo(LONG if form != tarfile.USTAR_FORMAT else "d" * 90 + "/" + "n" * 90)
    members = [(folder, b""), (link, b""), (tarfile.TarInfo("./blobs/x"), b"x" * 513), (long, b"long")]
    path = write_tar(tmp_path / "x.tar", *members, form=form)
    assert indexed(path) == {"blobs/x": b"x" * 513, long.name: b"long"}


def test_a_pax_size_counts(tmp_path: Path) -> None:
    info = tarfile.TarInfo("big")
    info.pax_headers = {"mtime": "1.5", "comment": "ключ"}
    assert indexed(write_tar(tmp_path / "x.tar", (info, b"123"))) == {"big": b"123"}
    body = b"12 size=700\n"
    raw = header("x", len(body), b"x") + body.ljust(512, b"\0") + header("f", 3) + b"y" * 1024 + bytes(1024)
    (tmp_path / "y.tar").write_bytes(raw)
    assert indexed(tmp_path / "y.tar") == {"f": b"y" * 700}


def header(name: str, size: int, kind: bytes = b"0", *, base256: bool = False, linked: bytes = b"") -> bytes:
    size_field = b"\x80" + size.to_bytes(11, "big") if base256 else b"%011o\0" % size
    raw = bytearray(name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size_field + b"00000000000\0")
    raw += b" " * 8 + kind + linked.ljust(100, b"\0") + b"ustar\x0000"
    raw = raw.ljust(512, b"\0")
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def huge_record() -> bytes:
    """A sound pax record (and, read as a long name, a sound one too), one byte over the limit, padded."""
    size = limits.TAR_EXTENSION_BYTES + 1
    start = b"%d comment=" % size
    return (start + b"x" * (size - len(start) - 1) + b"\n").ljust(-(-size // 512) * 512, b"\0")


def test_base_256_sizes_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(header("f", 3, base256=True) + b"abc".ljust(512, b"\0") + bytes(1024))
    assert indexed(tmp_path / "x.tar") == {"f": b"abc"}


HOSTILE_TARS = {
    "a wrong checksum": header("f", 0)[:-1] + b"x",
    "half a header": header("f", 0) + header("g", 0)[:100],
    "a cut content": header("f", 513) + bytes(512),
    "the same name twice": header("f", 0) + header("f", 0),
    "the same name with ./": header("f", 0) + header("./f", 0),
    "a link with a file's name": header("f", 0) + header("f", 0, b"2", linked=b"x"),
    "a link with content": header("f", 512, b"2") + bytes(512),
    "a folder with content": header("f", 512, b"5") + bytes(512),
    "a sparse file": header("f", 0, b"S"),
    "an unknown type": header("f", 0, b"Z"),
    "a huge base-256 size": header("f", 1 << 80, base256=True),
    "a negative base-256 size": header("f", 0).replace(b"00000000000\0", b"\xff" * 12, 1),
    "letters for a size": header("f", 0).replace(b"00000000000\0", b"0000000000z\0", 1),
    "a huge pax header": header("x", limits.TAR_EXTENSION_BYTES + 1, b"x") + huge_record() + header("f", 0),
    "a huge long name": header("x", limits.TAR_EXTENSION_BYTES + 1, b"L") + huge_record() + header("f", 0),
    "a broken pax record": header("x", 4, b"x") + b"9 a=".ljust(512, b"\0") + header("f", 0),
    "a pax record without key": header("x", 4, b"x") + b"4 =\n".ljust(512, b"\0") + header("f", 0),
    "a pax size of letters": header("x", 11, b"x") + b"11 size=xy\n".ljust(512, b"\0") + header("f", 0),
    "a pax size out of bounds": header("x", 27, b"x") + b"27 size=99999999999999999\n".ljust(512, b"\0"),
    "a global size": header("x", 10, b"g") + b"10 size=0\n".ljust(512, b"\0") + header("f", 0),
    "a pax sparse file": header("x", 22, b"x") + b"22 GNU.sparse.major=1\n".ljust(512, b"\0") + header("f", 0),
    "a pax header for nothing": header("x", 10, b"x") + b"10 path=a\n".ljust(512, b"\0"),
}


def test_a_compressed_archive_is_refused_with_a_way_out(tmp_path: Path) -> None:
    path = two_platforms(NAME)[0].write_archive(tmp_path / "layout.tar")
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(UnsupportedError) as error:
        open_layout("oci-archive", path)
    assert (error.value.code, error.value.got) == ("compressed-archive", "gzip")
    assert "gzip -dc" in error.value.hints[0]


@pytest.mark.parametrize("case", HOSTILE_TARS)
def test_hostile_archives_are_refused(tmp_path: Path, case: str) -> None:
    raw = HOSTILE_TARS[case]
    if case != "half a header":
        raw += bytes(1024)
    if case == "a cut content":
        raw = raw[:1024]
    if "base-256" in case or "letters" in case:
        fixed = bytearray(raw)
        fixed[148:156] = b" " * 8
        fixed[148:156] = b"%06o\0 " % sum(fixed[:512])
        raw = bytes(fixed)
    (tmp_path / "x.tar").write_bytes(raw)
    with pytest.raises(MalformedError) as error:
        open_layout("oci-archive", tmp_path / "x.tar")
    assert error.value.code == "tar"


def test_the_number_of_members_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path / "x.tar", *[(tarfile.TarInfo(str(number)), b"") for number in range(5)])
    monkeypatch.setattr(limits, "LAYOUT_MEMBERS", 5)
    assert len(indexed(path)) == 5
    monkeypatch.setattr(limits, "LAYOUT_MEMBERS", 4)
    with pytest.raises(MalformedError):
        indexed(path)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 3071), st.integers(0, 255)), max_size=4))
def test_no_archive_gets_another_exception(changes: list[tuple[int, int]]) -> None:
    body = b"12 size=700\n"
    raw = bytearray(header("x", len(body), b"x") + body.ljust(512, b"\0") + header("f", 3) + bytes(2048))
    for position, value in changes:
        raw[position % len(raw)] = value
    try:
        index_tar(io.BytesIO(raw), len(raw), "test")
    except SealiftError:
        return


# -- real ones


REAL = [
    ("slsa-generator-v1.4.0", None, 4, {"cosign-layout-att"}, 0),
    ("slsa-generator-v1.10.0", None, 16, {"cosign-layout-att"}, 0),
    ("buildkit-two-platforms", "docker.io/library/test-image:test", 14, set(), 21),
]


@pytest.mark.parametrize(("name", "suggested", "nodes", "places", "unreachable"), REAL)
def test_real_layouts(
    shared: Path, name: str, suggested: str | None, nodes: int, places: set[str], unreachable: int
) -> None:
    folder = shared / "real" / "images" / name
    source = open_layout("oci", folder)
    resolved = source.resolve()
    assert resolved.suggested_name == suggested
    graph = walk(resolved.descriptor, source.read_document)
    assert (len(graph.nodes), source.missing(graph.nodes)) == (nodes, ())
    found_at = answers(source, resolved.descriptor.digest)
    assert {name for name, answer in found_at.items() if answer.found} == places
    reached = {node.digest for node in graph.nodes}
    for answer in found_at.values():
        for found in answer.found:
            reached |= {node.digest for node in walk(found, source.read_document).nodes}
    assert len(list((folder / "blobs" / "sha256").iterdir())) - len(reached) == unreachable


def test_index_json_is_what_buildx_writes(tmp_path: Path) -> None:
    """buildx puts the tag into ref.name and the whole name into io.containerd.image.name."""
    layout, top, _ = two_platforms("1", seed=3)
    layout.entries[0]["annotations"][IMAGE_NAME] = NAME
    folder = layout.write(tmp_path)
    assert json.loads((folder / "index.json").read_bytes())["manifests"][0]["digest"] == str(top.digest)
    assert open_layout("oci", folder, "1").resolve().suggested_name == NAME
