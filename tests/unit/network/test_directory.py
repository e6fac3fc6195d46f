"""Folders of containers/image: the image in them, signature files, and everything that such a folder may hide."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bundler import limits
from bundler.archive.layout import BLOB_TYPES
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, MalformedError, RejectedError, SealiftError, UnsupportedError
from bundler.evidence.containers_signature import format_containers_signature
from bundler.evidence.cosign import CosignItem
from bundler.export.collect import CollectedImage, collect
from bundler.export.required import check_required
from bundler.network.directory import SIGNATURE, SIGNATURE_TYPE, Directory, open_directory
from bundler.oci.annotations import attested_digest
from bundler.oci.descriptor import Descriptor, parse_platform
from bundler.oci.graph import check_document, walk
from bundler.oci.manifest import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.simulators.further_sources import write_directory
from tests.simulators.images import OCI_LAYER, Layout, layer, two_platforms
from tests.simulators.sigstore import Sigstore

NAME = "registry.example.org/app:1"
AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
OPENPGP = b"\x90\x0d\x03\x00\x08 not read here"

Opener = Callable[[Path], Directory]


@pytest.fixture
def opened() -> Iterator[Opener]:
    with ExitStack() as sources:

        def opener(folder: Path) -> Directory:
            source = open_directory(folder)
            sources.callback(source.close)
            return source

        yield opener


@pytest.fixture(scope="module")
def sigstore() -> Sigstore:
    return Sigstore()


def signature_file(sigstore: Sigstore, digest: Digest) -> bytes:
    raw, media_type, annotations = sigstore.sign(digest, sigstore.key_signer(), at=AT)
    return format_containers_signature(CosignItem("containers-signature", digest, 0, media_type, raw, annotations))


def found(source: Directory, subject: Digest) -> list[Descriptor]:
    return [item for place in source.places(subject) for item in place.ask().found]


def content(source: Directory, collected: CollectedImage) -> dict[Digest, bytes]:
    read = {}
    for node in collected.nodes:
        with source.open_blob(node) as stream:
            read[node.digest] = stream.read()
        check_document(node, read[node.digest])
    return read


# -- the image


@pytest.mark.parametrize("attested", [True, False])
def test_an_index_is_read_whole(tmp_path: Path, opened: Opener, attested: bool) -> None:
    layout, top, _ = two_platforms(NAME, attested=attested)
    source = opened(write_directory(layout, top, tmp_path / "d"))
    resolved = source.resolve()
    assert (resolved.descriptor.digest, resolved.descriptor.media_type) == (top.digest, OCI_INDEX)
    assert (resolved.suggested_name, resolved.digest_origin, source.kind) == (None, "source", "dir")
    collected = collect(source, NAME)
    assert content(source, collected) == {digest: layout.read(digest) for digest in layout.blobs}
    assert source.missing(collected.nodes) == ()
    assert not source.has_hashed(top.digest)


@pytest.mark.parametrize("docker", [True, False])
def test_a_single_manifest(tmp_path: Path, opened: Opener, docker: bool) -> None:
    layout = Layout()
    top = layout.image("linux/amd64", [layer(b"x", seed=1)], docker=docker)
    source = opened(write_directory(layout, top, tmp_path / "d"))
    assert source.resolve().descriptor.media_type == (DOCKER_MANIFEST if docker else OCI_MANIFEST)
    collected = collect(source, NAME)
    assert set(content(source, collected)) == set(layout.blobs)
    assert {(item.place, item.answer) for item in collected.image.searches} == {("signature-files", "absent")}


def test_a_docker_list(tmp_path: Path, opened: Opener) -> None:
    layout = Layout()
    top = layout.index([layout.image("linux/amd64", [layer(seed=1)], docker=True)], docker=True)
    source = opened(write_directory(layout, top, tmp_path / "d"))
    assert source.resolve().descriptor.media_type == DOCKER_LIST
    assert set(content(source, collect(source, NAME))) == set(layout.blobs)


@pytest.mark.parametrize("index", [True, False])
def test_oci_documents_that_name_no_type(tmp_path: Path, opened: Opener, index: bool) -> None:
    layout = Layout()
    image = layout.image("linux/amd64", [])
    top = layout.index([image]) if index else image
    folder = write_directory(layout, top, tmp_path / "d")
    raw = layout.read(top.digest).replace(b'"mediaType":"%s",' % top.media_type.encode(), b"", 1)
    (folder / "manifest.json").write_bytes(raw)
    descriptor = opened(folder).resolve().descriptor
    assert descriptor == Descriptor(OCI_INDEX if index else OCI_MANIFEST, sha256_of(raw), len(raw))


def test_a_platform_is_chosen_although_the_other_is_not_there(tmp_path: Path, opened: Opener) -> None:
    layout, top, (_, arm64) = two_platforms(NAME)
    folder = write_directory(layout, top, tmp_path / "d")
    (folder / f"{arm64.digest.hex}.manifest.json").unlink()
    source = opened(folder)
    collected = collect(source, NAME, (parse_platform("linux/amd64"),))
    assert arm64.digest in {item.digest for item in collected.image.omitted}
    with pytest.raises(RejectedError) as error:
        collect(source, NAME)
    assert error.value.code == "incomplete-source"


def test_what_is_missing_is_told(tmp_path: Path, opened: Opener) -> None:
    layout, top, _ = two_platforms(NAME)
    folder = write_directory(layout, top, tmp_path / "d")
    blobs = [node for node in walk(top, lambda item: layout.read(item.digest)).nodes if node.media_type == OCI_LAYER]
    (folder / blobs[0].digest.hex).write_bytes(b"short")
    source = opened(folder)
    assert source.missing(blobs) == (blobs[0],)
    with pytest.raises(RejectedError) as error:
        collect(source, NAME)
    assert error.value.code == "incomplete-source"
    assert f"missing: {blobs[0].digest}" in error.value.hints[0]


def test_streams_outlive_the_source(tmp_path: Path) -> None:
    layout, top, _ = two_platforms(NAME)
    source = open_directory(write_directory(layout, top, tmp_path / "d"))
    with source.open_blob(top) as stream:
        source.close()
        assert stream.read() == layout.read(top.digest)


def test_documents_are_read_with_a_bound(tmp_path: Path, opened: Opener) -> None:
    layout, top, _ = two_platforms(NAME)
    source = opened(write_directory(layout, top, tmp_path / "d"))
    assert len(source.read_document(Descriptor(top.media_type, top.digest, 10))) == 11


# -- signatures


def test_the_words_are_those_of_the_format() -> None:
    assert BLOB_TYPES[SIGNATURE] == SIGNATURE_TYPE


def test_signature_files_are_carried_untouched(tmp_path: Path, opened: Opener, sigstore: Sigstore) -> None:
    layout, top, (amd64, arm64) = two_platforms(NAME)
    attestation = next(
        node.digest
        for node in walk(top, lambda item: layout.read(item.digest)).children()
        if attested_digest(node) == amd64.digest
    )
    files = {
        top.digest: [signature_file(sigstore, top.digest), OPENPGP],
        amd64.digest: [b""],
        attestation: [b"\0sigstore-json\nnot read here"],
    }
    source = opened(write_directory(layout, top, tmp_path / "d", files))
    for subject in (top.digest, amd64.digest, arm64.digest, attestation):
        assert [item.digest for item in found(source, subject)] == list(map(sha256_of, files.get(subject, [])))
    collected = collect(source, NAME)
    carried = [item for item in collected.image.evidence if item.kind == SIGNATURE]
    assert {(item.subject, item.digest) for item in carried} == {
        (subject, sha256_of(raw)) for subject, contents in files.items() for raw in contents
    }
    assert {(item.media_type, item.found_by) for item in carried} == {(SIGNATURE_TYPE, "signature-files")}
    read = content(source, collected)
    assert all(read[sha256_of(raw)] == raw for contents in files.values() for raw in contents)
    answers = {item.subject: item.answer for item in collected.image.searches if item.place == "signature-files"}
    assert {subject for subject, answer in answers.items() if answer == "found"} == set(files)
    assert answers[arm64.digest] == "absent"


def test_a_file_that_names_the_top_itself_is_taken_too(tmp_path: Path, opened: Opener) -> None:
    layout, top, _ = two_platforms(NAME)
    folder = write_directory(layout, top, tmp_path / "d", {top.digest: [b"one"]})
    (folder / f"{top.digest.hex}.signature-1").write_bytes(b"two")
    assert [item.digest for item in found(opened(folder), top.digest)] == [sha256_of(b"one"), sha256_of(b"two")]


def test_ten_signatures_keep_their_order(tmp_path: Path, opened: Opener) -> None:
    layout, top, _ = two_platforms(NAME)
    files = [str(number).encode() for number in range(12)]
    source = opened(write_directory(layout, top, tmp_path / "d", {top.digest: files}))
    assert [item.digest for item in found(source, top.digest)] == list(map(sha256_of, files))


MISNUMBERED = [
    *("signature-2", "signature-0", "signature-01", "signature-", "signature-x", "signature-1.bak", "signature--1"),
    *("signature-1\n", "signature-9999999", "HEX.signature-2", "HEX.signature-0"),
]


@pytest.mark.parametrize("name", MISNUMBERED)
def test_a_gap_in_the_numbers_is_refused(tmp_path: Path, name: str) -> None:
    layout, top, (amd64, _) = two_platforms(NAME)
    folder = write_directory(layout, top, tmp_path / "d")
    (folder / name.replace("HEX", amd64.digest.hex)).write_bytes(b"x")
    with pytest.raises(RejectedError) as error:
        open_directory(folder)
    assert error.value.code == "signature-number"


def test_bounds_of_signature_files(tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, top, _ = two_platforms(NAME)
    folder = write_directory(layout, top, tmp_path / "d", {top.digest: [b"x" * 10, b"y"]})
    monkeypatch.setattr(limits, "SIGNATURE_FILE_BYTES", 10)
    assert len(found(opened(folder), top.digest)) == 2
    monkeypatch.setattr(limits, "SIGNATURE_FILE_BYTES", 9)
    with pytest.raises(MalformedError) as error:
        found(opened(folder), top.digest)
    assert error.value.code == "limits"
    monkeypatch.setattr(limits, "SIGNATURE_FILES", 1)
    with pytest.raises(MalformedError) as error:
        opened(folder)
    assert error.value.code == "limits"


def test_a_signature_that_vanishes_is_an_error(tmp_path: Path, opened: Opener) -> None:
    layout, top, _ = two_platforms(NAME)
    folder = write_directory(layout, top, tmp_path / "d", {top.digest: [b"x"]})
    source = opened(folder)
    (folder / "signature-1").unlink()
    with pytest.raises(EnvError) as error:
        found(source, top.digest)
    assert error.value.code == "file-absent"


def test_a_signature_that_is_a_blob_of_the_image_is_refused_by_the_inventory(tmp_path: Path, opened: Opener) -> None:
    layout, top, (amd64, _) = two_platforms(NAME)
    files = {top.digest: [layout.read(amd64.digest)]}
    source = opened(write_directory(layout, top, tmp_path / "d", files))
    collected = collect(source, NAME)
    types = {node.media_type for node in collected.nodes if node.digest == amd64.digest}
    assert types == {OCI_MANIFEST}  # so the evidence and the blob disagree: blob-mismatch, inventory_rules.py


def required(source: Directory) -> None:
    check_required(collect(source, NAME), frozenset({"signature"}))


def test_a_required_signature_is_met_by_its_payload(tmp_path: Path, opened: Opener, sigstore: Sigstore) -> None:
    layout, top, _ = two_platforms(NAME)
    good = signature_file(sigstore, top.digest)
    required(opened(write_directory(layout, top, tmp_path / "d", {top.digest: [OPENPGP, good]})))


def test_a_required_signature_of_every_platform(tmp_path: Path, opened: Opener, sigstore: Sigstore) -> None:
    layout, top, children = two_platforms(NAME)
    files = {child.digest: [signature_file(sigstore, child.digest)] for child in children}
    required(opened(write_directory(layout, top, tmp_path / "d", files)))
    with pytest.raises(RejectedError) as error:
        required(opened(write_directory(layout, top, tmp_path / "e", dict(list(files.items())[:1]))))
    assert error.value.got == "not there for every platform"


def other_type(payload: bytes) -> bytes:
    item = CosignItem("containers-signature", sha256_of(payload), 0, "application/json", payload, {})
    return format_containers_signature(item)


def test_signatures_that_do_not_count(tmp_path: Path, opened: Opener, sigstore: Sigstore) -> None:
    layout, top, (amd64, _) = two_platforms(NAME)
    payload = sigstore.sign(top.digest, sigstore.key_signer(), at=AT)[0]
    files = [OPENPGP, b"", b"\0sigstore-json\n{", signature_file(sigstore, amd64.digest), other_type(payload)]
    for number, raw in enumerate(files):
        source = opened(write_directory(layout, top, tmp_path / str(number), {top.digest: [raw]}))
        with pytest.raises(RejectedError) as error:
            required(source)
        assert error.value.code == "evidence-missing"
        assert "does not count" in error.value.hints[0]


# -- what is no such folder


BROKEN: dict[str, tuple[dict[str, bytes | None], type[SealiftError], str]] = {
    "no manifest": ({"manifest.json": None}, MalformedError, "directory"),
    "version 1.0": ({"version": b"Directory Transport Version: 1.0\n"}, UnsupportedError, "directory-version"),
    "an odd version": ({"version": b"Directory Transport Version: 1.1"}, UnsupportedError, "directory-version"),
    "a long version": ({"version": bytes(limits.LAYOUT_MARK_BYTES + 1)}, MalformedError, "limits"),
    "not JSON": ({"manifest.json": b"{"}, MalformedError, "json"),
    "a list": ({"manifest.json": b"[]"}, MalformedError, "field-type"),
    "duplicate keys": ({"manifest.json": b'{"config":{},"config":{}}'}, MalformedError, "json-duplicate-key"),
    "schema 1": (
        {"manifest.json": b'{"schemaVersion":1,"fsLayers":[],"history":[],"signatures":[]}'},
        UnsupportedError,
        "schema-1",
    ),
    "both kinds": (
        {"manifest.json": b'{"schemaVersion":2,"manifests":[],"config":{},"layers":[]}'},
        MalformedError,
        "manifest-ambiguous",
    ),
    "another type": ({"manifest.json": b'{"schemaVersion":2,"mediaType":"a/b"}'}, UnsupportedError, "manifest-type"),
    "a type that is a number": ({"manifest.json": b'{"schemaVersion":2,"mediaType":1}'}, MalformedError, "field-type"),
    "neither": ({"manifest.json": b'{"schemaVersion":2}'}, MalformedError, "field-missing"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_folders_are_refused(tmp_path: Path, case: str) -> None:
    changes, family, code = BROKEN[case]
    layout, top, _ = two_platforms(NAME)
    folder = write_directory(layout, top, tmp_path / "d")
    for name, raw in changes.items():
        (folder / name).unlink()
        if raw is not None:
            (folder / name).write_bytes(raw)
    with pytest.raises(family) as error:
        open_directory(folder)
    assert error.value.code == code


def test_a_large_manifest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, top, _ = two_platforms(NAME)
    folder = write_directory(layout, top, tmp_path / "d")
    monkeypatch.setattr(limits, "MANIFEST_BYTES", 10)
    with pytest.raises(MalformedError) as error:
        open_directory(folder)
    assert error.value.code == "limits"


def test_the_number_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, top, _ = two_platforms(NAME)
    folder = write_directory(layout, top, tmp_path / "d")
    monkeypatch.setattr(limits, "LAYOUT_MEMBERS", 3)
    with pytest.raises(MalformedError) as error:
        open_directory(folder)
    assert error.value.code == "limits"


def test_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for name, code in (("none", "file-absent"), ("file", "disk")):
        with pytest.raises(EnvError) as error:
            open_directory(tmp_path / name)
        assert error.value.code == code


@pytest.mark.parametrize("kind", ["manifest", "child", "blob", "signature"])
def test_links_and_pipes_are_not_read(tmp_path: Path, kind: str) -> None:
    layout, top, (amd64, _) = two_platforms(NAME)
    some_layer = next(
        node for node in walk(amd64, lambda item: layout.read(item.digest)).nodes if node.media_type == OCI_LAYER
    )
    names = {
        "manifest": "manifest.json",
        "child": f"{amd64.digest.hex}.manifest.json",
        "blob": some_layer.digest.hex,
        "signature": "signature-1",
    }

    def export(folder: Path) -> None:
        source = open_directory(folder)
        try:
            content(source, collect(source, NAME))
        finally:
            source.close()

    folder = write_directory(layout, top, tmp_path / "d", {top.digest: [b"x"]})
    export(folder)
    path = folder / names[kind]
    path.rename(tmp_path / "moved")
    for target in (tmp_path / "moved", Path("version"), tmp_path / "none"):
        path.symlink_to(target)
        with pytest.raises(RejectedError) as error:
            export(folder)
        assert error.value.code == "layout-link"
        path.unlink()
    os.mkfifo(path)
    with pytest.raises(EnvError) as refused:
        export(folder)
    assert refused.value.code == "file-kind"


def test_the_folder_itself_may_be_a_link(tmp_path: Path, opened: Opener) -> None:
    layout, top, _ = two_platforms(NAME)
    (tmp_path / "link").symlink_to(write_directory(layout, top, tmp_path / "d"))
    assert opened(tmp_path / "link").resolve().descriptor.digest == top.digest


# -- real ones


def test_a_folder_that_skopeo_wrote(tmp_path: Path, opened: Opener) -> None:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("skopeo is not installed (make setup installs it)")
    layout, top, _ = two_platforms(NAME)
    layout.write(tmp_path / "layout")
    source_name, target = f"oci:{tmp_path / 'layout'}:{NAME}", f"dir:{tmp_path / 'd'}"
    command = [skopeo, "--insecure-policy", "copy", "--all", source_name, target]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    source = opened(tmp_path / "d")
    assert source.resolve().descriptor == Descriptor(top.media_type, top.digest, top.size_bytes)
    collected = collect(source, NAME)
    assert set(content(source, collected)) == set(layout.blobs)
    assert len(collected.image.evidence) == 2
    theirs = {path.name: path.read_bytes() for path in (tmp_path / "d").iterdir()}
    ours = {path.name: path.read_bytes() for path in write_directory(layout, top, tmp_path / "e").iterdir()}
    assert ours == theirs


@pytest.mark.parametrize("name", ["key-signed", "key-signed-modified-manifest", "keyless-public-good"])
def test_real_signed_folders_without_blobs_are_incomplete(shared: Path, name: str, opened: Opener) -> None:
    source = opened(shared / "real/cosign-dir" / name)
    top = source.resolve().descriptor
    files = [(shared / "real/cosign-dir" / name / "signature-1").read_bytes()]
    assert [item.digest for item in found(source, top.digest)] == list(map(sha256_of, files))
    blobs = walk(top, source.read_document).nodes[1:]
    with pytest.raises(RejectedError) as error:
        collect(source, NAME)
    assert error.value.code == "incomplete-source"
    told = "\n".join(error.value.hints)
    assert all(str(blob.digest) in told for blob in blobs)
