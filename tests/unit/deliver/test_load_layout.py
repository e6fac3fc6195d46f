"""Loading into an OCI layout: what is there counts only if it is right, others' entries stay, names move last."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.deliver.load_layout import Named, Written, load_layout, names_of
from bundler.deliver.verified import VerifiedBundle, open_verified
from bundler.digest import sha256_of
from bundler.errors import DamagedError, EnvError, MalformedError, RejectedError, UnsupportedError, UsageError
from bundler.network.layout import open_layout
from bundler.safe_file import locked_folder
from bundler.verify.pipeline import Request
from bundler.verify.policy import parse_policy
from tests.simulators.deliveries import NOW, Exporter, LayoutSource, make_site, verify
from tests.simulators.evidence_image import EvidenceImage, evidence_image
from tests.simulators.tuf_repository import TufRepository
from trust_root.delivery import time_basis
from trust_root.site import load_site

NAME = "registry.example.org/team/app:1"


@pytest.fixture(scope="module")
def image() -> EvidenceImage:
    return evidence_image()


@pytest.fixture(scope="module")
def repository(image: EvidenceImage) -> TufRepository:
    return TufRepository("main", targets={"trusted_root/demo.json": image.sigstore.trusted_root_json()})


@pytest.fixture(scope="module")
def delivered(image: EvidenceImage, repository: TufRepository, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("delivered")
    image.layout.write(folder / "layout")
    return Exporter(repository, folder).deliver(LayoutSource("oci", folder / "layout", NAME))


@pytest.fixture
def bundle(
    image: EvidenceImage, repository: TufRepository, delivered: Path, tmp_path: Path
) -> Iterator[VerifiedBundle]:
    (tmp_path / "b.tar").write_bytes(delivered.read_bytes())
    site = load_site(make_site(tmp_path / "state", repository.pin))
    request = Request(
        time_basis(NOW, site.floor, None, None), site=site, policy=parse_policy(image.policy().encode()), threads=1
    )
    with open_verified(tmp_path / "b.tar", request, site) as opened:
        assert opened.bundle is not None
        yield opened.bundle


def load(folder: Path, bundle: VerifiedBundle, *, overwrite: bool = False, dry_run: bool = False) -> Written:
    return load_layout(folder, bundle, names_of(bundle.images, str), overwrite=overwrite, dry_run=dry_run)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_arrives_and_can_be_exported_again(
    image: EvidenceImage, bundle: VerifiedBundle, repository: TufRepository, tmp_path: Path
) -> None:
    done = load(tmp_path / "out", bundle)
    assert done.written == len(image.carried)
    assert not done.present
    names = {path.name for path in (tmp_path / "out" / "blobs" / "sha256").iterdir()}
    assert names == {digest.hex for digest in image.carried}
    assert all(sha256_of((tmp_path / "out" / "blobs" / "sha256" / name).read_bytes()).hex == name for name in names)

    again = Exporter(repository, tmp_path / "second").deliver(LayoutSource("oci", tmp_path / "out", NAME, NAME))
    report = verify(again, make_site(tmp_path / "other", repository.pin), image.policy()).report
    assert report.exit_code == 0
    (found,) = report.images
    assert {fact.digest for fact in found.evidence} == {fact.digest for fact in bundle.report.images[0].evidence}


def test_a_second_load_writes_nothing(bundle: VerifiedBundle, tmp_path: Path) -> None:
    load(tmp_path / "out", bundle)
    before = files(tmp_path / "out")
    done = load(tmp_path / "out", bundle)
    assert (done.written, done.names_set) == (0, ())
    assert files(tmp_path / "out") == before


def test_dry_run_writes_nothing(bundle: VerifiedBundle, tmp_path: Path) -> None:
    done = load(tmp_path / "out", bundle, dry_run=True)
    assert done.written > 0
    assert not (tmp_path / "out").exists()


def test_a_blob_that_is_not_what_its_name_says_is_written_again(bundle: VerifiedBundle, tmp_path: Path) -> None:
    load(tmp_path / "out", bundle)
    good = files(tmp_path / "out")
    victims = sorted((tmp_path / "out" / "blobs" / "sha256").iterdir())[:4]
    victims[0].write_bytes(b"")
    victims[1].write_bytes(b"x" * victims[1].stat().st_size)
    victims[2].unlink()
    victims[3].unlink()
    victims[3].symlink_to(victims[1])
    assert load(tmp_path / "out", bundle).written == 4
    assert files(tmp_path / "out") == good
    assert not victims[3].is_symlink()


def test_entries_of_others_stay(bundle: VerifiedBundle, tmp_path: Path) -> None:
    load(tmp_path / "out", bundle)
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    other = {"mediaType": "x/y", "digest": f"sha256:{'0' * 64}", "size": 1, "annotations": {"a": "b"}}
    index["manifests"] = [other, *index["manifests"][1:]]
    (tmp_path / "out" / "index.json").write_text(json.dumps(index))
    assert load(tmp_path / "out", bundle).names_set == (NAME,)
    assert other in json.loads((tmp_path / "out" / "index.json").read_text())["manifests"]


def test_a_name_that_stands_for_something_else_is_a_conflict(bundle: VerifiedBundle, tmp_path: Path) -> None:
    load(tmp_path / "out", bundle)
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    index["manifests"][0]["digest"] = f"sha256:{'0' * 64}"
    (tmp_path / "out" / "index.json").write_text(json.dumps(index))
    before = files(tmp_path / "out")
    with pytest.raises(RejectedError) as caught:
        load(tmp_path / "out", bundle)
    assert caught.value.code == "tag-conflict"
    assert files(tmp_path / "out") == before
    assert load(tmp_path / "out", bundle, overwrite=True).names_set == (NAME,)
    names = json.loads((tmp_path / "out" / "index.json").read_text())["manifests"]
    assert [
        entry["digest"]
        for entry in names
        if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") == NAME
    ] == [str(bundle.images[0].image.digest)]


def test_an_interrupted_load_goes_on(bundle: VerifiedBundle, tmp_path: Path) -> None:
    load(tmp_path / "whole", bundle)
    wanted = files(tmp_path / "whole")
    names = sorted(name for name in wanted if name.startswith("blobs"))
    for count in (0, 1, len(names) // 2, len(names)):
        folder = tmp_path / f"cut{count}"
        (folder / "blobs" / "sha256").mkdir(parents=True)
        for name in names[:count]:
            (folder / name).write_bytes(wanted[name])
        assert load(folder, bundle).written == len(names) - count
        assert files(folder) == wanted


def test_a_file_that_changed_since_is_never_written(bundle: VerifiedBundle, tmp_path: Path) -> None:
    raw = bytearray((tmp_path / "b.tar").read_bytes())
    layer = max((blob for image in bundle.images for blob in image.blobs()), key=lambda blob: blob.size_bytes)
    at = raw.index(b"".join(bytes(piece) for piece in bundle.blob(layer.digest).read())[:64])
    raw[at] ^= 1
    with (tmp_path / "b.tar").open("r+b") as file:
        file.write(raw)
    with pytest.raises(DamagedError) as caught:
        load(tmp_path / "out", bundle)
    assert caught.value.code == "chunk"
    assert not (tmp_path / "out" / "index.json").exists()
    assert not (tmp_path / "out" / "blobs" / "sha256" / layer.digest.hex).exists()


def test_a_folder_with_other_things_is_left_alone(bundle: VerifiedBundle, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("dear")
    with pytest.raises(EnvError) as caught:
        load(tmp_path / "out", bundle)
    assert caught.value.code == "folder-exists"
    assert files(tmp_path / "out") == {"letter.txt": b"dear"}


def test_fields_of_others_stay(bundle: VerifiedBundle, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    index = {"schemaVersion": 2, "manifests": [], "annotations": {"made.by": "another"}}
    (tmp_path / "out" / "index.json").write_text(json.dumps(index))
    load(tmp_path / "out", bundle)
    after = json.loads((tmp_path / "out" / "index.json").read_text())
    assert {key: after[key] for key in ("schemaVersion", "annotations")} == {
        key: index[key] for key in ("schemaVersion", "annotations")
    }
    assert after["manifests"]


def test_what_another_load_lists_meanwhile_stays(bundle: VerifiedBundle, tmp_path: Path) -> None:
    out, other = tmp_path / "out", {"mediaType": "x/y", "digest": f"sha256:{'0' * 64}", "size": 1}

    def listed() -> Iterator[Named]:
        yield from names_of(bundle.images, str)
        out.mkdir()
        (out / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (out / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [other]}))

    load_layout(out, bundle, listed())
    entries = json.loads((out / "index.json").read_text())["manifests"]
    assert other in entries
    assert len(entries) > 1


def test_one_load_at_a_time(bundle: VerifiedBundle, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with locked_folder(out), pytest.raises(EnvError) as caught:
        load(out, bundle)
    assert caught.value.code == "locked"
    assert not (out / "index.json").exists()
    assert load(out, bundle).names_set


def test_what_killed_loads_left_half_written_is_removed(bundle: VerifiedBundle, tmp_path: Path) -> None:
    load(tmp_path / "whole", bundle)
    folder = tmp_path / "out"
    (folder / "blobs" / "sha256").mkdir(parents=True)
    (folder / ".sealift-0123456789abcdef.tmp").write_bytes(b"half a mark")
    (folder / "blobs" / "sha256" / ".sealift-0123456789abcdef.tmp").write_bytes(b"half a blob")
    load(folder, bundle)
    assert files(folder) == files(tmp_path / "whole")


@pytest.mark.parametrize("place", ["blobs", "blobs/sha256", "index.json", "oci-layout"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_nothing_goes_through_a_link_out_of_the_layout(
    bundle: VerifiedBundle, tmp_path: Path, place: str, dry_run: bool
) -> None:
    load(tmp_path / "other", bundle)
    (tmp_path / "out" / place).parent.mkdir(parents=True)
    (tmp_path / "out" / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (tmp_path / "out" / place).unlink(missing_ok=True)
    (tmp_path / "out" / place).symlink_to(tmp_path / "other" / place)
    before = files(tmp_path / "other")
    with pytest.raises(RejectedError) as caught:
        load(tmp_path / "out", bundle, dry_run=dry_run)
    assert caught.value.code == "layout-link"
    assert files(tmp_path / "other") == before
    assert not (tmp_path / "out" / "index.json").is_file() or place == "index.json"


def test_a_blob_that_is_a_link_out_of_the_layout_is_written_again(bundle: VerifiedBundle, tmp_path: Path) -> None:
    load(tmp_path / "out", bundle)
    blob = next(path for path in (tmp_path / "out" / "blobs" / "sha256").iterdir())
    blob.rename(tmp_path / "elsewhere")
    blob.symlink_to(tmp_path / "elsewhere")
    assert load(tmp_path / "out", bundle).written == 1
    assert not blob.is_symlink()
    blob.unlink()
    blob.symlink_to(blob.name)  # a loop
    assert load(tmp_path / "out", bundle).written == 1


def test_a_folder_that_is_a_link_is_what_it_leads_to(bundle: VerifiedBundle, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    load(tmp_path / "out", bundle)
    assert load(tmp_path / "real", bundle).written == 0


def test_one_name_for_two_digests(bundle: VerifiedBundle, tmp_path: Path) -> None:
    documents = bundle.images[0].documents
    with pytest.raises(UsageError) as caught:
        load_layout(tmp_path / "out", bundle, [Named("a:1", documents[0]), Named("a:1", documents[1])], overwrite=True)
    assert caught.value.code == "load-names"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mark", ['{"imageLayoutVersion":"2.0.0"}', "{}", ""])
def test_a_layout_of_another_version_is_left_alone(bundle: VerifiedBundle, tmp_path: Path, mark: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "oci-layout").write_text(mark)
    with pytest.raises((UnsupportedError, MalformedError)):
        load(tmp_path / "out", bundle)
    assert files(tmp_path / "out") == {"oci-layout": mark.encode()}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"manifests":[1]}', '{"manifests":{}}'])
def test_an_index_that_is_none_ends_the_load(bundle: VerifiedBundle, tmp_path: Path, text: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.json").write_text(text)
    with pytest.raises(MalformedError):
        load(tmp_path / "out", bundle)
    assert files(tmp_path / "out") == {"index.json": text.encode()}


def test_our_own_reader_finds_the_image(bundle: VerifiedBundle, tmp_path: Path) -> None:
    load(tmp_path / "out", bundle)
    source = open_layout("oci", tmp_path / "out", NAME, place="here")
    try:
        assert source.resolve().descriptor.digest == bundle.images[0].image.digest
    finally:
        source.close()
