"""Archives of docker save: selection, the manifest made for them, links, and everything that such a file may hide."""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, MalformedError, RejectedError, SealiftError, UnsupportedError, UsageError
from bundler.export.collect import collect
from bundler.network.docker_archive import KIND, NO_DIGEST, DockerArchive, open_docker_archive
from bundler.network.source import ANY_WORD
from bundler.oci.descriptor import Descriptor
from bundler.oci.graph import check_document, walk
from bundler.oci.manifest import OCI_CONFIG, OCI_MANIFEST, ImageManifest
from tests.simulators.further_sources import Link, docker_members, write_tar
from tests.simulators.images import OCI_LAYER, Layout, layer, to_json

NAME = "registry.example.org/app:1"
Members = dict[str, bytes | Link]


def two_layers() -> tuple[Layout, Descriptor]:
    layout = Layout()
    return layout, layout.image("linux/amd64", [layer(b"one", seed=1), layer(b"two", seed=2)])


def members(*tags: str) -> Members:
    layout, top = two_layers()
    return docker_members(layout, (top, tags or (NAME,)))


def opened(path: Path, reference: str | None = None) -> DockerArchive:
    return open_docker_archive(path, reference, allow_synthesised=True)


def everything(path: Path) -> tuple[Digest, dict[Digest, bytes]]:
    """What an export would carry, hashed as it would be."""
    source = opened(path)
    try:
        collected = collect(source, NAME)
        content = {}
        for node in collected.nodes:
            with source.open_blob(node) as stream:
                content[node.digest] = stream.read()
            check_document(node, content[node.digest])
        return collected.image.digest, content
    finally:
        source.close()


def with_config(found: Members, change: Callable[[dict[str, Any]], object]) -> Members:
    """The archive with a config that was changed, and named as what it became."""
    entry = json.loads(found["manifest.json"])[0]  # type: ignore[arg-type]
    config = json.loads(found.pop(entry["Config"]))  # type: ignore[arg-type]
    change(config)
    raw = to_json(config)
    entry["Config"] = f"{sha256_of(raw).hex}.json"
    return found | {entry["Config"]: raw, "manifest.json": to_json([entry])}


def with_entry(found: Members, **changes: object) -> Members:
    entry = json.loads(found["manifest.json"])[0]  # type: ignore[arg-type]
    return found | {"manifest.json": to_json([entry | changes])}


def layer_names(found: Members) -> list[str]:
    names: list[str] = json.loads(found["manifest.json"])[0]["Layers"]  # type: ignore[arg-type]
    return names


# -- the image


def test_the_manifest_is_made_of_config_and_diff_ids(tmp_path: Path) -> None:
    layout, top = two_layers()
    source = opened(write_tar(tmp_path / "x.tar", docker_members(layout, (top, [NAME]))))
    resolved = source.resolve()
    assert (source.kind, resolved.digest_origin, resolved.suggested_name) == (KIND, "synthesised", NAME)
    graph = walk(resolved.descriptor, source.read_document)
    made, original = graph.documents[resolved.descriptor.digest], json.loads(layout.read(top.digest))
    assert isinstance(made, ImageManifest)
    assert (made.media_type, made.config.media_type) == (OCI_MANIFEST, OCI_CONFIG)
    assert str(made.config.digest) == original["config"]["digest"]
    assert [(str(item.digest), item.size_bytes, item.media_type) for item in made.layers] == [
        (item["digest"], item["size"], OCI_LAYER) for item in original["layers"]
    ]
    assert source.missing(graph.nodes) == ()
    for node in graph.nodes:
        with source.open_blob(node) as stream:
            check_document(node, stream.read())
        assert not source.has_hashed(node.digest)
    source.close()


def test_the_digest_is_a_function_of_the_image_alone(tmp_path: Path) -> None:
    plain = members()
    renamed = dict(reversed(list(members("other:2").items()))) | {"repositories": b"{}", "x/VERSION": b"1.0"}
    assert everything(write_tar(tmp_path / "a.tar", plain)) == everything(write_tar(tmp_path / "b.tar", renamed))


def test_it_is_collected_with_its_look_ups_recorded(tmp_path: Path) -> None:
    source = opened(write_tar(tmp_path / "x.tar", members()))
    image = collect(source, NAME).image
    assert (image.source, image.digest_origin, image.evidence) == (KIND, "synthesised", ())
    assert [(item.subject, item.place, item.answer) for item in image.searches] == [(image.digest, KIND, NO_DIGEST)]
    assert [child.platform for child in image.platforms] == ["linux/amd64"]
    assert [place.words for place in source.places(image.digest)] == [ANY_WORD]
    source.close()


def test_without_consent_it_is_refused_and_told_why(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", members())
    with pytest.raises(UsageError) as error:
        open_docker_archive(path, allow_synthesised=False)
    assert error.value.code == "synthesised-digest"
    hints = "\n".join(error.value.hints)
    assert "signatures and attestations" in hints
    assert "--allow-synthesised-digest" in hints
    assert "oci-archive:" not in hints
    write_tar(path, members() | {"oci-layout": b"{}", "index.json": b"{}"})
    with pytest.raises(UsageError) as error:
        open_docker_archive(path, allow_synthesised=False)
    assert "oci-archive:FILE keeps the digest" in "\n".join(error.value.hints)


def test_an_image_without_layers(tmp_path: Path) -> None:
    layout = Layout()
    path = tmp_path / "x.tar"
    found = docker_members(layout, (layout.image("linux/amd64", []), [NAME]))
    assert len(everything(write_tar(path, found))[1]) == 2
    nulls = with_entry(with_config(found, lambda config: config["rootfs"].update(diff_ids=None)), Layers=None)
    assert len(everything(write_tar(path, nulls))[1]) == 2


def test_a_config_need_not_be_named_by_its_digest(tmp_path: Path) -> None:
    found = members()
    name = json.loads(found["manifest.json"])[0]["Config"]  # type: ignore[arg-type]
    expected = everything(write_tar(tmp_path / "a.tar", found))
    for other in ("config.json", "sha256:" + name.removesuffix(".json"), "blobs/sha256/" + name.removesuffix(".json")):
        moved = {(other if key == name else key): value for key, value in found.items()}
        assert everything(write_tar(tmp_path / "b.tar", with_entry(moved, Config=other))) == expected


# -- selection


@pytest.mark.parametrize(
    ("reference", "config", "name"),
    [
        ("app:1", 0, "app:1"),
        ("docker.io/library/app:1", 0, "docker.io/library/app:1"),
        ("app", 0, "app"),
        ("other.example.org/b:2", 1, "other.example.org/b:2"),
        ("@0", 0, None),
        ("@1", 1, "other.example.org/b:2"),
        ("@2", 2, None),
    ],
)
def test_an_image_is_selected(tmp_path: Path, reference: str, config: int, name: str | None) -> None:
    layout = Layout()
    images = [layout.image("linux/amd64", [layer(seed=seed)]) for seed in range(3)]
    tags = [["app:1", "app:latest"], ["other.example.org/b:2"], []]
    path = write_tar(tmp_path / "x.tar", docker_members(layout, *zip(images, tags, strict=True)))
    source = opened(path, reference)
    made = json.loads(source.read_document(source.resolve().descriptor))
    assert made["config"]["digest"] == json.loads(layout.read(images[config].digest))["config"]["digest"]
    assert source.resolve().suggested_name == name
    source.close()


@pytest.mark.parametrize("reference", [None, "", "none:1", "@3", "@-1", "@01", "@", "UPPER", "app@sha256:" + "0" * 64])
def test_without_one_image_the_names_are_listed(tmp_path: Path, reference: str | None) -> None:
    layout = Layout()
    images = [(layout.image("linux/amd64", [layer(seed=seed)]), [f"app:{seed}"]) for seed in range(2)]
    path = write_tar(tmp_path / "x.tar", docker_members(layout, *images))
    with pytest.raises(UsageError) as error:
        opened(path, reference)
    assert error.value.code == "archive-reference"
    assert error.value.hints == ("in it: @0, app:0", "in it: @1, app:1")


@pytest.mark.parametrize(
    ("tags", "suggested"),
    [
        (["app:1"], "docker.io/library/app:1"),
        (["app", "docker.io/library/app:latest"], "docker.io/library/app:latest"),
        (["app:1", "app:2"], None),
        (["<none>:<none>"], None),
    ],
)
def test_suggested_names(tmp_path: Path, tags: list[str], suggested: str | None) -> None:
    source = opened(write_tar(tmp_path / "x.tar", members(*tags)))
    assert source.resolve().suggested_name == suggested
    source.close()


# -- links


def linked(target: str, at: str = "b/layer.tar") -> Members:
    """An archive whose second layer is the first one again, through a link."""
    layout = Layout()
    one = layer(b"same", seed=1)
    found = docker_members(layout, (layout.image("linux/amd64", [one, one]), [NAME]))
    name = layer_names(found)[0]
    raw = found.pop(name)
    return with_entry(found | {"a/layer.tar": raw, at: Link(target)}, Layers=["a/layer.tar", at])


def test_layers_that_are_links_within_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    expected = everything(write_tar(path, linked("../a/layer.tar")))
    assert len(expected[1]) == 3
    chain = linked("../c/layer.tar") | {"c/layer.tar": Link("../d"), "d": Link("a/layer.tar")}
    assert everything(write_tar(path, chain)) == expected
    long = linked("../a/layer.tar", at="b" * 120 + "/layer.tar")
    assert everything(write_tar(path, long)) == expected
    far = linked("../" + "c" * 120 + "/layer.tar") | {"c" * 120 + "/layer.tar": Link("../a/layer.tar")}
    assert everything(write_tar(path, far)) == expected


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/etc/passwd", "docker-archive"),
        ("../../a/layer.tar", "docker-archive"),
        ("..", "incomplete-source"),
        ("../..", "docker-archive"),
        ("layer.tar", "docker-archive"),
        ("", "docker-archive"),
        ("../a", "incomplete-source"),
        ("../none", "incomplete-source"),
    ],
)
def test_links_that_lead_elsewhere(tmp_path: Path, target: str, code: str) -> None:
    with pytest.raises(RejectedError) as error:
        opened(write_tar(tmp_path / "x.tar", linked(target)))
    assert error.value.code == code


def test_documents_are_never_links(tmp_path: Path) -> None:
    found = members()
    name = json.loads(found["manifest.json"])[0]["Config"]  # type: ignore[arg-type]
    for linked_name in ("manifest.json", name):
        odd = found | {"elsewhere": found[linked_name], linked_name: Link("elsewhere")}
        with pytest.raises(MalformedError) as error:
            opened(write_tar(tmp_path / "x.tar", odd))
        assert error.value.code == "docker-archive"


# -- hostile archives


def _lie(found: Members) -> Members:
    return with_config(found, lambda config: config["rootfs"]["diff_ids"].pop())


HOSTILE: dict[str, tuple[Callable[[Members], Mapping[str, bytes | Link]], str]] = {
    "no manifest.json": (lambda found: {k: v for k, v in found.items() if k != "manifest.json"}, "docker-archive"),
    "a manifest that is no list": (lambda found: found | {"manifest.json": b"{}"}, "field-type"),
    "a list of texts": (lambda found: found | {"manifest.json": b'["x"]'}, "field-type"),
    "duplicate keys": (lambda found: found | {"manifest.json": b'[{"Config":"a","Config":"b"}]'}, "json-duplicate-key"),
    "another spelling": (lambda found: with_entry(found, layers=[]), "field-case"),
    "no config": (lambda found: found | {"manifest.json": b'[{"Layers":[]}]'}, "field-missing"),
    "an absolute config": (lambda found: with_entry(found, Config="/etc/passwd"), "docker-archive"),
    "a config outside": (lambda found: with_entry(found, Config="../x"), "docker-archive"),
    "a config that is not there": (lambda found: with_entry(found, Config="x"), "docker-archive"),
    "an odd spelling": (lambda found: with_entry(found, Config="./x"), "docker-archive"),
    "an empty name": (lambda found: with_entry(found, Config=""), "docker-archive"),
    "a layer outside": (lambda found: with_entry(found, Layers=["../x", "y"]), "docker-archive"),
    "a layer that is not there": (lambda found: with_entry(found, Layers=["x", "y"]), "incomplete-source"),
    "a layer that is a number": (lambda found: with_entry(found, Layers=[1]), "field-type"),
    "fewer layers": (lambda found: with_entry(found, Layers=layer_names(found)[:1]), "docker-archive"),
    "fewer diff_ids": (_lie, "docker-archive"),
    "a config of another digest": (
        lambda found: with_entry(found | {"0" * 64 + ".json": b"{}"}, Config="0" * 64 + ".json"),
        "blob-digest",
    ),
    "a config without rootfs": (lambda found: with_config(found, lambda config: config.pop("rootfs")), "field-missing"),
    "a rootfs of another type": (
        lambda found: with_config(found, lambda config: config["rootfs"].update(type="base")),
        "docker-archive",
    ),
    "another spelling in rootfs": (
        lambda found: with_config(found, lambda config: config["rootfs"].update(Diff_ids=[])),
        "field-case",
    ),
    "another spelling of rootfs": (
        lambda found: with_config(found, lambda config: config.update(RootFS={})),
        "field-case",
    ),
    "diff_ids that are none": (
        lambda found: with_config(found, lambda config: config["rootfs"].update(diff_ids=["sha256:../../x", "y"])),
        "digest",
    ),
    "an absolute member": (lambda found: found | {"/etc/passwd": b"x"}, "docker-archive"),
    "a member outside": (lambda found: found | {"../x": b"x"}, "docker-archive"),
    "a member inside and out": (lambda found: found | {"a/../../x": b"x"}, "docker-archive"),
    "an absolute link": (lambda found: found | {"/x": Link("manifest.json")}, "docker-archive"),
    "a second spelling": (lambda found: found | {"a//manifest.json": b"[]"}, "docker-archive"),
    "the same name twice": (lambda found: found | {"./manifest.json": b"[]"}, "tar"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused(tmp_path: Path, case: str) -> None:
    change, code = HOSTILE[case]
    with pytest.raises(RejectedError) as error:
        everything(write_tar(tmp_path / "x.tar", change(members())))
    assert error.value.code == code


def test_layers_that_the_config_does_not_name_are_refused_when_read(tmp_path: Path) -> None:
    found = members()
    names = layer_names(found)
    path = write_tar(tmp_path / "x.tar", with_entry(found, Layers=names[::-1]))
    with pytest.raises(RejectedError) as error:
        everything(path)
    assert error.value.code == "blob-digest"


def test_all_absent_layers_are_named(tmp_path: Path) -> None:
    found = members()
    names = layer_names(found)
    with pytest.raises(RejectedError) as error:
        opened(write_tar(tmp_path / "x.tar", {key: raw for key, raw in found.items() if key not in names}))
    assert error.value.hints == tuple(f"missing: {name}" for name in names)


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_only_files_are_layers(tmp_path: Path, kind: bytes) -> None:
    found = members()
    name = layer_names(found)[0]
    path = tmp_path / "x.tar"
    write_tar(path, {key: raw for key, raw in found.items() if key != name})
    with tarfile.open(path, "a") as archive:
        odd = tarfile.TarInfo(name)
        odd.type, odd.linkname = kind, layer_names(found)[1]
        archive.addfile(odd)
    with pytest.raises(RejectedError) as error:
        opened(path)
    assert error.value.code == "incomplete-source"


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    raw = write_tar(tmp_path / "x.tar", members()).read_bytes()
    path = tmp_path / "cut.tar"
    for size in (0, 100, 512, 1000, 5000, raw.index(b"manifest.json") + 600):
        path.write_bytes(raw[:size])
        with pytest.raises(MalformedError):
            opened(path)


@pytest.mark.parametrize(
    ("begin", "form"), [(gzip.compress(b"x", mtime=0), "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh9", "bzip2")]
)
def test_compressed_files_and_layers_are_refused_with_a_way_out(tmp_path: Path, begin: bytes, form: str) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(begin + bytes(600))
    with pytest.raises(UnsupportedError) as error:
        opened(path)
    assert (error.value.code, error.value.got) == ("compressed-archive", form)
    assert "gzip -dc FILE > FILE.tar" in error.value.hints[0]
    found = members()
    with pytest.raises(UnsupportedError) as error:
        opened(write_tar(path, found | {layer_names(found)[1]: begin}))
    assert (error.value.code, error.value.what) == ("compressed-archive", "layer")


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path / "x.tar", members("a:1", "b:1"))
    for name in ("LAYOUT_INDEX_BYTES", "MANIFEST_BYTES", "DOCKER_ARCHIVE_IMAGES", "IMAGE_TAGS", "MANIFEST_LAYERS"):
        with monkeypatch.context() as patch:
            patch.setattr(limits, name, 0 if name == "DOCKER_ARCHIVE_IMAGES" else 1)
            with pytest.raises(MalformedError) as error:
                opened(path)
            assert error.value.code == "limits"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(EnvError) as error:
        opened(tmp_path / "none")
    assert error.value.code == "file-absent"
    with pytest.raises(EnvError) as error:
        opened(tmp_path)
    assert error.value.code == "file-kind"


def test_what_the_archive_lacks_is_told(tmp_path: Path) -> None:
    source = opened(write_tar(tmp_path / "x.tar", members()))
    gone = Descriptor(OCI_LAYER, Digest("sha256", "0" * 64), 1)
    top = source.resolve().descriptor
    longer = Descriptor(top.media_type, top.digest, top.size_bytes + 1)
    assert source.missing([top, gone, longer]) == (gone, longer)
    with pytest.raises(RejectedError) as error:
        source.open_blob(gone)
    assert error.value.code == "incomplete-source"
    source.close()


def test_every_flipped_bit_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", members())
    raw, expected = path.read_bytes(), everything(path)
    used = len(raw.rstrip(b"\0")) + 1024
    dice = random.Random(3)
    refused = 0
    for position in sorted(dice.sample(range(used * 8), 700)):
        changed = bytearray(raw)
        changed[position // 8] ^= 1 << position % 8
        path.write_bytes(changed)
        try:
            assert everything(path) == expected, position
        except SealiftError:
            refused += 1
    assert refused > 100


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(["manifest.json", "config"]), st.integers(0, 400), st.integers(0, 255))))
def test_no_document_gets_another_exception(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int, int]]
) -> None:
    found = members()
    name = json.loads(found["manifest.json"])[0]["Config"]  # type: ignore[arg-type]
    found = with_entry({("config" if key == name else key): raw for key, raw in found.items()}, Config="config")
    documents = {key: bytearray(found[key]) for key in ("manifest.json", "config")}  # type: ignore[arg-type]
    for key, position, value in changes:
        documents[key][position % len(documents[key])] = value
    path = write_tar(tmp_path_factory.getbasetemp() / "fuzz.tar", found | {k: bytes(v) for k, v in documents.items()})
    try:
        everything(path)
    except SealiftError:
        return


# -- real programs


def test_an_archive_that_skopeo_wrote(tmp_path: Path) -> None:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("skopeo is not installed (make setup installs it)")
    layout, top = two_layers()
    layout.name(top, NAME)
    layout.write(tmp_path / "layout")
    target = f"docker-archive:{tmp_path / 'x.tar'}:{NAME}"
    command = [skopeo, "--insecure-policy", "copy", f"oci:{tmp_path / 'layout'}:{NAME}", target]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    digest, content = everything(tmp_path / "x.tar")
    layers = [item["digest"] for item in json.loads(layout.read(top.digest))["layers"]]
    assert [item["digest"] for item in json.loads(content[digest])["layers"]] == layers
    again = io.BytesIO((tmp_path / "x.tar").read_bytes())
    with tarfile.open(fileobj=again) as archive:
        assert any(item.issym() for item in archive)
    source = opened(tmp_path / "x.tar", NAME)
    assert source.resolve().suggested_name == NAME
    source.close()
