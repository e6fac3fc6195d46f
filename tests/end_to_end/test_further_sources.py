"""`dir:` and `docker-archive:` from the command line of the exporter to the report of the site."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bundler.digest import sha256_of
from bundler.evidence.containers_signature import format_containers_signature
from bundler.evidence.cosign import CosignItem
from bundler.oci.descriptor import Descriptor
from tests.cli.session import call
from tests.simulators.deliveries import keyless_policy
from tests.simulators.further_sources import docker_members, write_directory, write_tar
from tests.simulators.images import Layout, layer, two_platforms
from tests.simulators.sigstore import Signer, Sigstore
from tests.simulators.sigstore_keys import GITHUB
from tests.simulators.station import Station

NAME = "registry.example.org/app:1"
IDENTITY = "https://github.com/example/app/.github/workflows/release.yml@refs/tags/v1"
SIGNED = keyless_policy("registry.example.org/*", IDENTITY, GITHUB)
SIGNED_AT = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
OPENPGP = b"\x90\x0d\x03\x00\x08 simple signing in OpenPGP is carried, not read"


@pytest.fixture(scope="module")
def sigstore() -> Sigstore:
    return Sigstore()


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, sigstore: Sigstore) -> Station:
    return Station(tmp_path_factory.mktemp("station"), {"demo": sigstore.trusted_root_json()})


@pytest.fixture(scope="module")
def signer(sigstore: Sigstore) -> Signer:
    return sigstore.keyless(IDENTITY, at=SIGNED_AT)


def signature_file(sigstore: Sigstore, signer: Signer, subject: Descriptor) -> bytes:
    raw, media_type, annotations = sigstore.sign(subject.digest, signer, at=SIGNED_AT)
    item = CosignItem("containers-signature", subject.digest, 0, media_type, raw, annotations)
    return format_containers_signature(item)


# -- dir:


def test_a_signed_folder_travels_whole(tmp_path: Path, station: Station, sigstore: Sigstore, signer: Signer) -> None:
    layout, top, (amd64, _) = two_platforms(NAME)
    files = {
        top.digest: [OPENPGP, signature_file(sigstore, signer, top)],
        amd64.digest: [signature_file(sigstore, signer, amd64)],
    }
    folder = write_directory(layout, top, tmp_path / "image", files)
    image = station.exported(
        *station.settings(f"dir:{folder}", name=f'"{NAME}"', require='["signature", "sbom"]'), "--compression", "none"
    )
    assert (image.digest, image.source, image.digest_origin) == (top.digest, "dir", "source")
    expected = {digest: layout.read(digest) for digest in layout.blobs}
    expected |= {sha256_of(raw): raw for contents in files.values() for raw in contents}
    assert station.blobs() == expected
    verified = station.verify(SIGNED)
    assert verified.code == 0, verified.report
    listed = {(item["subject"], item["digest"]): item for item in verified.image["evidence"]}
    for subject, contents in files.items():
        for raw in contents:
            item = listed[str(subject), str(sha256_of(raw))]
            assert item["kind"] == "signature"
            assert item["strength"] == "not verified" if raw == OPENPGP else item["signer"] == IDENTITY
    told = call("inspect", station.bundle, "--state", station.state)  # signature files are blobs, and no manifests
    assert (told.code, told.out.count("containers-signature about the index")) == (0, 2), told


def test_a_signature_about_another_image_meets_nothing(
    tmp_path: Path, station: Station, sigstore: Sigstore, signer: Signer
) -> None:
    layout, top, (amd64, _) = two_platforms(NAME)
    files = {top.digest: [signature_file(sigstore, signer, amd64), OPENPGP]}
    folder = write_directory(layout, top, tmp_path / "image", files)
    done = station.export(*station.settings(f"dir:{folder}", name=f'"{NAME}"', require='["signature"]'))
    assert (done.code, station.left()) == (1, [])
    assert "[evidence-missing]" in done.err
    station.exported(f"dir:{folder}", "--name", NAME)
    verified = station.verify(SIGNED)
    assert verified.code == 1
    listed = {item["digest"]: item["strength"] for item in verified.image["evidence"] if item["kind"] == "signature"}
    assert listed == {str(sha256_of(raw)): "not verified" for raw in files[top.digest]}


def test_a_folder_without_blobs_names_them(shared: Path, station: Station) -> None:
    done = station.export(f"dir:{shared / 'real/cosign-dir/key-signed'}", "--name", NAME)
    assert (done.code, station.left()) == (1, [])
    assert "[incomplete-source]" in done.err
    for start in ("9617696764", "9d16cba9fb"):
        assert f"missing: sha256:{start}" in done.err


def test_a_folder_names_no_image(tmp_path: Path, station: Station) -> None:
    layout, top, _ = two_platforms(NAME)
    done = station.export(f"dir:{write_directory(layout, top, tmp_path / 'image')}")
    assert (done.code, station.left()) == (2, [])
    assert "[name-missing]" in done.err


# -- docker-archive:


def saved(folder: Path) -> tuple[Layout, Descriptor, Path]:
    layout = Layout()
    top = layout.image("linux/amd64", [layer(b"a" * 100_000, seed=1), layer(b"two", seed=2)])
    return layout, top, write_tar(folder / "saved.tar", docker_members(layout, (top, [NAME])))


def test_without_consent_nothing_is_written(tmp_path: Path, station: Station) -> None:
    done = station.export(f"docker-archive:{saved(tmp_path)[2]}")
    assert (done.code, station.left()) == (2, [])
    assert "[synthesised-digest]" in done.err
    assert "--allow-synthesised-digest" in done.err
    assert "registry's digest" in done.err


def test_with_consent_it_travels_and_no_evidence_is_claimed(tmp_path: Path, station: Station) -> None:
    layout, top, path = saved(tmp_path)
    image = station.exported(f"docker-archive:{path}:{NAME}", "--allow-synthesised-digest", "--compression", "none")
    assert (image.name, image.source, image.digest_origin) == (NAME, "docker-archive", "synthesised")
    assert image.digest != top.digest
    held = station.blobs()
    assert set(held) - set(layout.blobs) == {image.digest}
    assert set(layout.blobs) - set(held) == {top.digest}
    verified = station.verify(SIGNED)
    assert verified.code == 1
    assert "no registry digest" in str(verified.image)
    assert verified.image["digest_origin"] == "synthesised"
    again = station.exported(*station.settings(f"docker-archive:{path}", allow_synthesised_digest="true"))
    assert again.digest == image.digest


def test_required_evidence_is_missing_by_construction(tmp_path: Path, station: Station) -> None:
    settings = station.settings(
        f"docker-archive:{saved(tmp_path)[2]}", allow_synthesised_digest="true", require='["signature"]'
    )
    done = station.export(*settings)
    assert (done.code, station.left()) == (1, [])
    assert "[evidence-missing]" in done.err
    assert "no registry digest" in done.err


def test_consent_for_a_settings_file_stands_in_it(tmp_path: Path, station: Station) -> None:
    settings = station.settings(f"docker-archive:{saved(tmp_path)[2]}")
    done = station.export(*settings, "--allow-synthesised-digest")
    assert (done.code, station.left()) == (2, [])
    assert "[usage]" in done.err


def test_what_skopeo_made_of_an_image(tmp_path: Path, station: Station) -> None:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("skopeo is not installed (make setup installs it)")
    layout, top, _ = two_platforms(NAME)
    place = f"oci:{layout.write(tmp_path / 'layout')}:{NAME}"

    def copy(*words: str) -> None:
        subprocess.run([skopeo, "--insecure-policy", "copy", *words], check=True, capture_output=True, timeout=60)

    copy("--all", place, f"dir:{tmp_path / 'folder'}")
    copy("--override-arch", "amd64", place, f"docker-archive:{tmp_path / 'saved.tar'}:{NAME}")
    assert station.exported(f"dir:{tmp_path / 'folder'}", "--name", NAME).digest == top.digest
    done = station.export(
        f"dir:{tmp_path / 'folder'}", "--name", NAME,
        f"docker-archive:{tmp_path / 'saved.tar'}", "--name", "registry.example.org/saved:1",
        "--allow-synthesised-digest",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "synthesised: no registry has this digest" in done.out
    verified = station.verify(SIGNED)
    assert len(verified.report["images"]) == 2
