"""Inclusion proofs fetched at export, from the log to the far side's report: honest, lying, slow and silent logs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bundler.archive.inventory import Evidence
from bundler.errors import EnvError
from bundler.export.hooks import Hooks, accept
from bundler.export.pipeline import Exported, ExportRequest, ProofWish, export_bundle
from bundler.export.settings import ImageRequest
from bundler.network.access import Access
from bundler.network.connection import Connection
from bundler.progress import silent
from tests.cli.session import call
from tests.simulators.images import Layout, two_platforms
from tests.simulators.real_registry import find_program
from tests.simulators.registry import Registry
from tests.simulators.rekor import Rekor
from tests.simulators.sigstore import Sigstore
from tests.simulators.sigstore_keys import AT
from tests.simulators.station import Station, no_passphrase

NAME = "registry.example.org/team/app:1"
IDENTITY = "https://github.com/example/app/.github/workflows/release.yml@refs/tags/v1"
ISSUER = "https://token.actions.githubusercontent.com"
POLICY = f"""format = 1
[[rule]]
images = ["**"]
[[rule.signature]]
certificate_identity = "{IDENTITY}"
certificate_oidc_issuer = "{ISSUER}"
"""
PROMISED = "signed, inclusion promise"
FETCHED = "signed, inclusion proof, fetched at export"
REQUIRED = "--require-inclusion-proof"
HASTY = Access(connect_seconds=2, stall_seconds=0.3, document_seconds=1, retries=0, backoff_seconds=0.01)


@dataclass
class Scene:
    """A signed and attested image whose evidence has promises only, and the log that gave them."""

    rekor: Rekor
    station: Station
    layout: Layout
    source: str

    def words(self) -> tuple[str, ...]:
        return (self.source, "--retry-times", "0")

    def proofs(self) -> list[Evidence]:
        """The proofs in the last bundle."""
        (image,) = self.station.inventory().images
        return [item for item in image.evidence if item.kind == "log-entry"]

    def strengths(self) -> set[str]:
        """What the far side says about signature and attestation."""
        verified = self.station.verify(POLICY)
        assert (verified.code, verified.report["reason"]) == (0, "")
        facts = [fact for fact in verified.image["evidence"] if fact["kind"] in {"signature", "attestation"}]
        assert len(facts) == 2
        return {fact["strength"] for fact in facts}

    def hasty(self, proofs: ProofWish) -> Exported:
        """An export by somebody who does not wait long."""
        self.station.exports += 1
        station = self.station
        request = ExportRequest(
            images=(ImageRequest(self.source),), target=station.bundle, repository=station.repository,
            keys=station.keys, stream=None, audience=(), created_at=datetime.now(UTC).replace(microsecond=0),
            proofs=proofs,
        )  # fmt: skip
        with Connection(HASTY, lambda: station.cache) as connection:
            return export_bundle(request, Hooks(no_passphrase, accept, silent), connection)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("proofs")
    with Rekor() as rekor:
        rekor.log.promise(b"{}", at=AT)  # so that there is another entry
        sigstore = Sigstore("proofs end to end")
        sigstore.rekor = rekor.log
        signer = sigstore.keyless(IDENTITY, at=AT, issuer=ISSUER)
        layout, top, (amd64, _) = two_platforms(NAME, attested=False)
        repository = NAME.partition(":")[0]
        signature = layout.cosign([sigstore.sign(top.digest, signer, reference=repository)])
        layout.tag_evidence(signature, top, "sig", repository)
        attestation = layout.cosign([sigstore.attest(amd64.digest, signer)])
        layout.tag_evidence(attestation, amd64, "att", repository)
        station = Station(folder / "station", {"demo": sigstore.trusted_root_json()})
        yield Scene(rekor, station, layout, f"oci:{layout.write(folder / 'layout')}:{NAME}")


@pytest.fixture
def scene(made: Scene, tmp_path: Path) -> Iterator[Scene]:
    """With a cache of its own, and an honest log to begin with."""
    made.station.cache = tmp_path / "cache"
    made.rekor.fault = ""
    made.rekor.asked.clear()
    yield made
    made.rekor.fault = ""


def test_promises_leave_with_proofs(scene: Scene) -> None:
    done = scene.station.export(*scene.words(), proofs=True)
    assert done.code == 0
    assert "proof" not in done.err
    (image,) = scene.station.inventory().images
    evidence = {item.digest for item in image.evidence if item.kind.startswith("cosign-")}
    assert {item.augments for item in scene.proofs()} == evidence
    assert {(item.found_by, item.log) for item in scene.proofs()} == {("rekor", scene.rekor.log.log_id.hex())}
    assert scene.strengths() == {FETCHED}
    told = call("inspect", scene.station.bundle, "--state", scene.station.state)
    assert (told.code, told.out.count("  log-entry about ")) == (0, 2), told
    assert scene.station.verify(POLICY.replace("[[rule.signature]]", '[[rule.signature]]\nlog = "proof"')).code == 0


def test_nobody_is_asked_unless_wanted(scene: Scene) -> None:
    scene.station.exported(*scene.words())
    assert (scene.rekor.asked, scene.proofs()) == ([], [])
    assert scene.strengths() == {PROMISED}
    strict = scene.station.verify(POLICY.replace("[[rule.signature]]", '[[rule.signature]]\nlog = "proof"'))
    assert strict.code == 1


ANSWERS = {
    "other-entry": (1, "proof-other-entry"),
    "other-body": (1, "proof-other-entry"),
    "wrong-root": (1, "inclusion-proof"),
    "short-path": (1, "inclusion-proof"),
    "older-checkpoint": (1, "inclusion-proof"),
    "forged-checkpoint": (1, "checkpoint-signature"),
    "foreign-checkpoint": (1, "checkpoint-signature"),
    "checkpoint-of-another-tree": (1, "checkpoint-origin"),
    "torn-checkpoint": (1, "checkpoint"),
    "404": (1, "log-entry-absent"),
    "403": (6, "log-answer"),
    "500": (6, "log-unreachable"),
    "redirect": (6, "log-answer"),
    "no-json": (6, "log-answer"),
    "endless": (6, "log-answer"),
    "closed": (6, "log-unreachable"),
}


@pytest.mark.parametrize("fault", ANSWERS)
def test_what_is_no_proof_is_a_warning_or_the_end(scene: Scene, fault: str) -> None:
    code, reason = ANSWERS[fault]
    scene.rekor.fault = fault
    done = scene.station.export(*scene.words(), proofs=True)
    assert done.code == 0, done.err
    warnings = [line for line in done.err.splitlines() if "no inclusion proof" in line]
    assert len(warnings) == 2
    for line in warnings:
        assert line.startswith("sealift: warning: ")
        assert NAME in line
        assert line.endswith(f"({reason})")
    assert scene.proofs() == []
    assert scene.strengths() == {PROMISED}
    done = scene.station.export(*scene.words(), REQUIRED, proofs=True)
    assert (done.code, f"[{reason}]" in done.err) == (code, True), done.err
    assert NAME in done.err
    assert scene.station.left() == []
    scene.rekor.fault = ""  # and nothing of it was kept
    scene.station.exported(*scene.words(), REQUIRED, proofs=True)
    assert len(scene.proofs()) == 2


@pytest.mark.parametrize("fault", ["slow", "silent"])
def test_a_log_that_takes_forever(scene: Scene, fault: str) -> None:
    scene.rekor.fault = fault
    start = time.monotonic()
    done = scene.hasty("fetch")
    assert time.monotonic() - start < 28  # it takes a second or two; a silent log takes 30
    assert [("log-unreachable" in warning) for warning in done.warnings] == [True, True]
    assert scene.proofs() == []
    with pytest.raises(EnvError) as caught:
        scene.hasty("require")
    assert caught.value.code == "log-unreachable"
    assert scene.station.left() == []


def test_a_log_that_nobody_can_reach(made: Scene, tmp_path: Path) -> None:
    """The trusted root names an address where nobody listens, as behind a firewall."""
    sigstore = Sigstore("unreachable", host="example.invalid")
    with Rekor() as gone:
        sigstore.rekor = gone.log
        layout, top, _ = two_platforms(NAME, attested=False)
        repository = NAME.partition(":")[0]
        signature = layout.cosign([sigstore.sign(top.digest, sigstore.keyless(IDENTITY, at=AT, issuer=ISSUER))])
        layout.tag_evidence(signature, top, "sig", repository)
    station = Station(tmp_path / "station", {"demo": sigstore.trusted_root_json()})
    words = (f"oci:{layout.write(tmp_path / 'layout')}:{NAME}", "--retry-times", "0")
    done = station.export(*words, proofs=True)
    assert done.code == 0
    assert "(log-unreachable)" in done.err
    done = station.export(*words, REQUIRED, proofs=True)
    assert (done.code, "[log-unreachable]" in done.err) == (6, True)
    assert station.left() == []


def test_exports_with_the_same_cache_repeat(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a registry, with a log that grew meanwhile and then fails: kept proofs make the same file, byte for byte."""
    find_program("skopeo")
    station = scene.station
    repository = station.repository
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(time.time()) - 60))
    bundles = []
    with Registry() as registry:
        registry.repository("team/app").load(scene.layout)
        words = (f"{registry.host}/team/app:1", "--name", NAME, "--tls-verify=false", "--retry-times", "0", REQUIRED)
        try:
            for number in range(3):
                station.repository = tmp_path / f"repository-{number}"
                shutil.copytree(repository, station.repository)
                station.exported(*words, proofs=True)
                bundles.append(station.bundle)
                assert len(scene.proofs()) == 2
                assert len(scene.rekor.asked) == 2
                scene.rekor.log.promise(b'{"more":%d}' % number, at=AT)
                scene.rekor.fault = "500"
        finally:
            station.repository = repository
    assert bundles[0].read_bytes() == bundles[1].read_bytes() == bundles[2].read_bytes()
