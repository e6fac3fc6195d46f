"""`sealift serve` with the clients that people use: skopeo for real, our own, and what others ask, replayed."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bundler.archive.inventory import Image
from bundler.digest import Digest, sha256_of
from bundler.network.access import Access
from bundler.network.registry import Registries
from bundler.oci.annotations import format_evidence_tag, format_fallback_tag
from bundler.oci.descriptor import Descriptor
from bundler.oci.reference import parse_reference
from tests.simulators.client_sequences import SEQUENCES, Sequence, Step
from tests.simulators.evidence_image import REPOSITORY, EvidenceImage, evidence_image
from tests.simulators.real_registry import find_program
from tests.simulators.served import ask
from tests.simulators.serving import Serving, serving
from tests.simulators.station import Station
from tests.simulators.tls import LoopbackAuthority

NAME = f"{REPOSITORY}:1"
PATH = "team/app"


@dataclass(frozen=True)
class Direct:
    """An image with all evidence, its bundle, and who judges it."""

    made: EvidenceImage
    station: Station
    image: Image
    bundle: Path
    words: tuple[str, ...]


def export(folder: Path, made: EvidenceImage) -> Direct:
    station = Station(folder, {"demo": made.sigstore.trusted_root_json()})
    image = station.exported(f"oci:{made.layout.write(folder / 'layout')}:{NAME}")
    policy = folder / "policy.toml"
    policy.write_text(made.policy())
    words = (str(station.bundle), "--policy", str(policy), "--state", str(station.state))
    return Direct(made, station, image, station.bundle, words)


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Direct:
    return export(tmp_path_factory.mktemp("station"), evidence_image())


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Direct:
    """Docker's form, without an index in the index: skopeo copies no such thing."""
    return export(tmp_path_factory.mktemp("flat"), evidence_image(docker=True, seed=10))


@pytest.fixture(scope="module")
def flat_served(flat: Direct) -> Iterator[Serving]:
    with serving(*flat.words) as running:
        yield running


@pytest.fixture(scope="module")
def served(direct: Direct) -> Iterator[Serving]:
    with serving(*direct.words) as running:
        yield running


def skopeo(*words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([find_program("skopeo"), *words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done


# -- skopeo, for real -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PATH, f"registry.example.org/{PATH}"])
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_skopeo_copies_everything(flat: Direct, flat_served: Serving, tmp_path: Path, path: str, by: str) -> None:
    top = flat.made.amd64.digest if by == "digest" else flat.made.top.digest
    reference = f"{path}@{top}" if by == "digest" else f"{path}:1"
    skopeo("copy", "--all", "--preserve-digests", "--src-tls-verify=false", f"docker://{flat_served.address}/{reference}",
           f"dir:{tmp_path / 'copy'}")  # fmt: skip
    assert sha256_of((tmp_path / "copy" / "manifest.json").read_bytes()) == top
    for path_of in (tmp_path / "copy").iterdir():
        if len(path_of.name) == 64:
            assert sha256_of(path_of.read_bytes()).hex == path_of.name


def test_skopeo_copies_evidence_by_its_tag(direct: Direct, served: Serving, tmp_path: Path) -> None:
    for suffix in ("sig", "att", "sbom"):
        tag = format_evidence_tag(direct.made.top.digest, suffix)
        target = tmp_path / suffix
        skopeo("copy", "--src-tls-verify=false", f"docker://{served.address}/{PATH}:{tag}", f"dir:{target}")
        assert sha256_of((target / "manifest.json").read_bytes()) in direct.made.carried


def test_skopeo_inspects_and_lists(direct: Direct, served: Serving) -> None:
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{served.address}/{PATH}:1").stdout
    assert sha256_of(raw.encode()) == direct.made.top.digest
    listed = json.loads(skopeo("list-tags", "--tls-verify=false", f"docker://{served.address}/{PATH}").stdout)
    assert set(listed["Tags"]) >= {"1", format_evidence_tag(direct.made.top.digest, "sig")}


def test_skopeo_over_tls(flat: Direct, tmp_path: Path) -> None:
    authority = LoopbackAuthority(tmp_path / "ca")
    pair = authority.issue("server")
    certificates = authority.cert_dir(tmp_path / "certs.d")
    with serving(*flat.words, "--tls-cert", pair.certificate, "--tls-key", pair.key) as served:
        assert served.url.startswith("https://")
        source = f"docker://{served.address}/{PATH}:1"
        skopeo("copy", "--all", "--src-cert-dir", str(certificates), source, f"dir:{tmp_path / 'copy'}")
        assert served.stop() == 0


# -- our own client ---------------------------------------------------------------------------------------------------


def test_our_client_reads_everything(direct: Direct, served: Serving) -> None:
    made = direct.made
    access = Access(tls_verify=False, retries=1, backoff_seconds=0.01)
    with Registries(access, {}) as registries:
        repository = registries.repository(parse_reference(f"{served.address}/{PATH}"))
        assert repository.get_manifest("1").digest == made.top.digest
        for digest in made.carried:
            raw = made.layout.read(digest)
            if b'"schemaVersion"' in raw[:200]:
                assert repository.get_manifest(digest).raw == raw
            else:
                descriptor = Descriptor("application/octet-stream", digest, len(raw))
                assert repository.read_blob(descriptor, 1 << 24) == raw
                with repository.open_blob(descriptor, offset=len(raw) // 2) as stream:
                    assert stream.read(1 << 24) == raw[len(raw) // 2 :]
        found = repository.referrers(made.top.digest)
        assert found is not None
        assert {item.digest for item in found} == {
            digest for kind, subject, digest in made.evidence if kind == "referrer" and subject == made.top.digest
        }


def test_what_is_served_can_be_exported_again(direct: Direct, served: Serving, tmp_path: Path) -> None:
    """A fresh export from the server finds every digest and all evidence, and verifies."""
    again = Station(tmp_path, {"demo": direct.made.sigstore.trusted_root_json()})
    image = again.exported(
        f"docker://{served.address}/{PATH}:1", "--name", NAME, "--compression", "none", "--tls-verify=false"
    )
    assert set(again.blobs()) == direct.made.carried
    assert image.digest == direct.image.digest

    def listed(of: Image) -> list[tuple[str, str, str]]:
        return sorted((item.kind, item.subject.hex, item.digest.hex) for item in of.evidence)

    assert listed(image) == listed(direct.image)
    verified = again.verify(direct.made.policy())
    assert (verified.code, verified.report["reason"]) == (0, "")


# -- other clients, replayed ------------------------------------------------------------------------------------------


def contents(direct: Direct) -> dict[str, str]:
    made = direct.made
    manifest = json.loads(made.layout.read(made.amd64.digest))
    (referrer, *_) = [
        item for kind, subject, item in made.evidence if kind == "referrer" and subject == made.top.digest
    ]
    return {
        "name": PATH,
        "tag": "1",
        "index": str(made.top.digest),
        "manifest": str(made.amd64.digest),
        "config": manifest["config"]["digest"],
        "layer": manifest["layers"][0]["digest"],
        "referrer": str(referrer),
        "signature": format_evidence_tag(made.top.digest, "sig"),
        "fallback": format_fallback_tag(made.top.digest),
        "absent": str(Digest("sha256", "0" * 64)),
    }


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda item: item.client)
def test_other_clients_get_what_they_count_on(direct: Direct, served: Serving, sequence: Sequence) -> None:
    known = contents(direct)
    for step in sequence.steps:
        check_step(step, known, served.port)


def check_step(step: Step, known: dict[str, str], port: int) -> None:
    target = step.target.format(**known)
    headers = {name.replace("-", "_"): value for name, value in step.headers.items()}
    reply = ask(port, target, step.method, **headers)
    assert reply.status == step.status, (target, reply)
    assert all(name in reply.headers for name in step.needs), (target, reply.headers)
    assert reply.is_whole or step.method == "HEAD"
    if step.content:
        assert str(sha256_of(reply.body)) == known[step.content]
        assert reply.headers["docker-content-digest"] == known[step.content]
        if step.content in ("index", "manifest", "referrer"):
            assert reply.headers["content-type"] == json.loads(reply.body)["mediaType"]


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order(direct: Direct, number: int) -> None:
    with serving(*direct.words) as running:
        (offer,) = running.offers
        assert (offer["name"], offer["digest"]) == (NAME, str(direct.made.top.digest))
        assert offer["pull"] == f"{running.address}/{PATH}:1"
        assert offer["full_path"] == f"registry.example.org/{PATH}"
        assert ask(running.port, "/healthz").status == 200
        assert running.stop(number) == 0
        assert "GET /healthz 200" in running.err


def test_trust_that_ends_is_noticed(direct: Direct, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(direct.made.policy())
    words = (direct.bundle, "--policy", policy, "--state", direct.station.state, "--recheck", "0.01")
    with serving(*words) as running:
        assert ask(running.port, f"/v2/{PATH}/manifests/1").status == 200
        policy.write_text(direct.made.policy().replace("https://github.com/", "https://gitlab.com/"))
        for _ in range(3000):
            if ask(running.port, "/healthz").status == 503:
                break
            signal.sigtimedwait([], 0.02)
        assert ask(running.port, f"/v2/{PATH}/manifests/1").status == 503
        assert running.stop() == 0
        assert "not serving any more" in running.err
