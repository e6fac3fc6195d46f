"""Stock skopeo reads OCI-typed images out of a bundle as it would out of any oci-archive (FORMAT.md, "Shape")."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from bundler.digest import sha256_of
from tests.simulators.deliveries import Exporter, LayoutSource
from tests.simulators.images import layer, two_platforms
from tests.simulators.tuf_repository import TufRepository

NAME = "registry.example.org/team/app:1"


@pytest.fixture(autouse=True)
def skopeo() -> str:
    found = shutil.which("skopeo")
    if found is None:
        pytest.skip("skopeo is not installed (make setup installs it)")
    return found


def copy(bundle: Path, name: str, target: Path) -> Path:
    command = ["skopeo", "--insecure-policy", "copy", "--all", f"oci-archive:{bundle}:{name}", f"dir:{target}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return target


def test_every_platform_and_attestation_manifest_arrives(tmp_path: Path) -> None:
    layout, top, _ = two_platforms(NAME)
    other, _, _ = two_platforms("registry.example.org/team/other:2", seed=5)
    sources = [
        LayoutSource("oci", layout.write(tmp_path / "app"), NAME),
        LayoutSource("oci", other.write(tmp_path / "other"), "registry.example.org/team/other:2"),
    ]
    bundle = Exporter(TufRepository(), tmp_path).deliver(*sources, compress=False)
    out = copy(bundle, NAME, tmp_path / "out")
    manifest = (out / "manifest.json").read_bytes()
    assert sha256_of(manifest) == top.digest
    arrived = {path.name for path in out.iterdir()}
    for child in json.loads(manifest)["manifests"]:
        assert f"{child['digest'][7:]}.manifest.json" in arrived
    for path in out.iterdir():
        if len(path.name) == 64:
            assert sha256_of(path.read_bytes()).hex == path.name
    carried = {digest.hex for digest in layout.blobs}
    assert {name.split(".")[0] for name in arrived} - {"manifest", "version"} == carried - {top.digest.hex}


def test_a_real_image_arrives(shared: Path, tmp_path: Path) -> None:
    name = "docker.io/library/test-image:test"
    source = LayoutSource("oci", shared / "real/images/buildkit-two-platforms", name)
    bundle = Exporter(TufRepository(), tmp_path).deliver(source)
    manifest = copy(bundle, name, tmp_path / "out") / "manifest.json"
    assert sha256_of(manifest.read_bytes()).hex.startswith("db8f2a6e112e")


def test_evidence_is_found_under_its_tag(tmp_path: Path) -> None:
    layout, top, _ = two_platforms(NAME)
    evidence = layout.cosign([(b"payload", "application/vnd.dev.cosign.simplesigning.v1+json", {})])
    layout.tag_evidence(evidence, top, "sig", "registry.example.org/team/app")
    bundle = Exporter(TufRepository(), tmp_path).deliver(LayoutSource("oci", layout.write(tmp_path / "app"), NAME))
    out = copy(bundle, f"registry.example.org/team/app:sha256-{top.digest.hex}.sig", tmp_path / "out")
    assert sha256_of((out / "manifest.json").read_bytes()) == evidence.digest


def test_a_compressed_layer_needs_the_readme_steps(tmp_path: Path) -> None:
    """A frame is not the blob that the manifest names: skopeo says so instead of reading something else."""
    layout, _, _ = two_platforms(None)
    image = layout.image("linux/amd64", [layer(b"x" * 200_000)])
    layout.name(image, NAME)
    bundle = Exporter(TufRepository(), tmp_path).deliver(LayoutSource("oci", layout.write(tmp_path / "app"), NAME))
    command = ["skopeo", "--insecure-policy", "copy", f"oci-archive:{bundle}:{NAME}", f"dir:{tmp_path / 'out'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "no such file" in done.stderr
