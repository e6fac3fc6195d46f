"""From layouts over a bundle into a registry, and out of it again: every digest and all evidence is found there.

The command line at both ends, with the images that real tools made and the one that has every form of evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bundler.archive.inventory import Image
from tests.cli.session import call
from tests.simulators.deliveries import keyless_policy
from tests.simulators.evidence_image import evidence_image
from tests.simulators.real_registry import real_registry
from tests.simulators.registry import Registry
from tests.simulators.registry_writes import Writes
from tests.simulators.station import Station

ISSUER = "https://token.actions.githubusercontent.com"
WORKFLOW = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml"
UNSIGNED = """format = 1
[[rule]]
images = ["**"]
require = ["provenance"]
allow_unsigned = true
"""
PLAIN = ("--tls-verify=false", "--compression", "none")


@contextmanager
def started(kind: str, folder: Path) -> Iterator[str]:
    """A registry of one kind; its host."""
    if kind == "docker-registry":
        with real_registry(folder / "registry") as real:
            yield real.host
    else:
        with Registry(writes=Writes(), referrers_api=kind == "referrers-api") as simulated:
            yield simulated.host


def carry(station: Station, host: str, source: str, name: str, policy: str) -> None:
    """Export, load, export what was loaded, compare, verify."""
    before = station.exported(source, "--name", name, "--compression", "none")
    blobs, policy_file = station.blobs(), station.folder / "load-policy.toml"
    policy_file.write_text(policy)
    loaded = call(
        "load", station.bundle, "--to", f"{host}/plant", "--policy", policy_file, "--state", station.state,
        "--tls-verify=false", "--quiet",
    )  # fmt: skip
    assert loaded.code == 0, loaded
    path = name.partition("/")[2]
    after = station.exported(f"{host}/plant/{path}", "--name", name, *PLAIN)
    assert after.digest == before.digest
    assert station.blobs() == blobs
    assert evidence(after) == evidence(before)
    assert after.platforms == before.platforms
    verified = station.verify(policy)
    assert verified.code == 0, verified.report


def evidence(image: Image) -> set[tuple[str, str, str]]:
    return {(item.kind, str(item.subject), str(item.digest)) for item in image.evidence}


@pytest.mark.parametrize("kind", ["docker-registry", "referrers-api", "fallback-tags"])
def test_every_form_of_evidence(kind: str, tmp_path: Path) -> None:
    image = evidence_image(seed=7)
    station = Station(tmp_path / "station", {"demo": image.sigstore.trusted_root_json()})
    layout = image.layout.write(tmp_path / "layout")
    name = "registry.example.org/team/app:1"
    with started(kind, tmp_path) as host:
        carry(station, host, f"oci:{layout}:{name}", name, image.policy())


@pytest.mark.parametrize("kind", ["docker-registry", "referrers-api"])
@pytest.mark.parametrize("version", ["v1.4.0", "v1.10.0"])
def test_real_signed_images(kind: str, version: str, shared: Path, tmp_path: Path) -> None:
    trusted_root = (shared / "real/trust/trusted_root.public-good.json").read_bytes()
    station = Station(tmp_path / "station", {"public-good": trusted_root})
    name = f"ghcr.io/slsa-framework/example-package:{version}"
    identity = f"{WORKFLOW}@refs/tags/{version}"
    policy = keyless_policy(name, identity, ISSUER, predicate_type="https://slsa.dev/provenance/v0.2")
    with started(kind, tmp_path) as host:
        carry(station, host, f"oci:{shared / 'real/images'}/slsa-generator-{version}", name, policy)


@pytest.mark.parametrize("kind", ["docker-registry", "referrers-api"])
def test_what_buildkit_made(kind: str, shared: Path, tmp_path: Path) -> None:
    station = Station(tmp_path / "station", {})
    name = "docker.io/library/test-image:test"
    with started(kind, tmp_path) as host:
        carry(station, host, f"oci:{shared / 'real/images/buildkit-two-platforms'}", name, UNSIGNED)
