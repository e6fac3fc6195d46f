"""Sigstore bundles that others made: the public conformance cases, and an image signature of cosign 3.

Each case is judged twice, by the file's bytes and by its digest alone, with the same verdict. A folder whose name ends
in `_fail` is refused, with the code that stands here; every other one holds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bundler.digest import Digest, sha256_of
from bundler.evidence.referrer import BundleItem
from bundler.evidence.sigstore_bundle import format_bundle, parse_bundle
from bundler.identity.fulcio import CertificateIdentity
from bundler.identity.keys import PublicKey, parse_public_key
from bundler.verify.blob import hash_artifact, known_digest, verify_blob
from bundler.verify.material import TrustedMaterial, parse_trusted_root
from bundler.verify.policy import KeylessSigner, TextRule
from bundler.verify.signatures import verify_item
from bundler.verify.strength import PROVED, strength_of
from scripts.sigstore_conformance_client import run
from tests.simulators.judging import HELD, code_of

BEACON = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/"
    ".github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
GITHUB = "https://token.actions.githubusercontent.com"
FAILURES = {
    "bundle-invalid-base64-signature_fail": "base64",
    "bundle-unknown-version_fail": "bundle-version",
    "checkpoint-bad-keyhint_fail": "checkpoint-signature",
    "dsse-mismatch-envelope_fail": "tlog-binding",
    "integrated-time-in-future_fail": "cert-expired",
    "intoto-missing-inclusion-proof_fail": "bundle-version",
    "invalid-inclusion-proof_fail": "bundle-version",
    "managed-key-no-key_fail": "key-material",
    "rekor2-checkpoint-missing-root-hash_fail": "checkpoint",
    "rekor2-checkpoint-no-matching-signature_fail": "checkpoint-origin",
    "rekor2-dsse-mismatch-envelope_fail": "tlog-binding",
    "rekor2-no-inclusion-proof_fail": "bundle-version",
    "rekor2-timestamp-outside-tsa-cert-validity_fail": "tsa-expired",
    "rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail": "timestamp-untrusted",
    "rekor2-timestamp-with-incorrect-time_fail": "base64",  # its timestamp's base64 has line ends
    "signature-mismatch_fail": "signature",
    "wrong-hashedrekord-entry_fail": "tlog-binding",
}
GOOD = (
    *("happy-path-intoto-in-dsse-v3", "happy-path-v0.1", "happy-path-v0.3", "intoto-with-custom-trust-root"),
    *("managed-key-happy-path", "rekor2-checkpoint-cosigned", "rekor2-checkpoint-two-sigs-from-origin"),
    *("rekor2-dsse-happy-path", "rekor2-happy-path", "trust-root-tsa-validity-end-inclusive"),
)
IMAGE = Digest("sha256", "c811d58de79c92f03214e63aa339484e488d694ae8a6283b5f3f17a9faf50172")


@dataclass(frozen=True)
class Case:
    """One folder."""

    raw: bytes
    artifact: Path
    trusted_root: Path
    key: Path | None
    identity: str
    issuer: str

    @property
    def signer(self) -> KeylessSigner | PublicKey:
        if self.key is not None:
            return parse_public_key(self.key.read_bytes())
        return KeylessSigner(TextRule(self.identity), TextRule(self.issuer), None)

    @property
    def material(self) -> TrustedMaterial:
        return parse_trusted_root(self.trusted_root.read_bytes())

    def judge(self, raw: bytes | None = None) -> tuple[str, str]:
        """The codes by path and by digest."""
        content = self.raw if raw is None else raw
        with self.artifact.open("rb") as stream:
            whole = hash_artifact(stream)
        digest = known_digest(sha256_of(self.artifact.read_bytes()))
        signer, material = self.signer, self.material
        first = code_of(lambda: verify_blob(content, whole, signer=signer, material=material))
        return first, code_of(lambda: verify_blob(content, digest, signer=signer, material=material))


def load(shared: Path, name: str) -> Case:
    folder = shared / "real/sigstore-bundles" / name

    def text(file: str, default: str) -> str:
        path = folder / file
        return path.read_text().strip() if path.exists() else default

    def path(file: str, default: Path) -> Path:
        return folder / file if (folder / file).exists() else default

    return Case(
        raw=(folder / "bundle.sigstore.json").read_bytes(),
        artifact=path("artifact", folder.parent / "a.txt"),
        trusted_root=path("trusted_root.json", shared / "real/trust/trusted_root.public-good.json"),
        key=folder / "key.pub" if (folder / "key.pub").exists() else None,
        identity=text("identity", BEACON),
        issuer=text("issuer", GITHUB),
    )


def test_no_case_is_forgotten(shared: Path) -> None:
    folders = {path.name for path in (shared / "real/sigstore-bundles").iterdir() if path.is_dir()}
    assert folders == {*FAILURES, *GOOD}


@pytest.mark.parametrize("name", FAILURES)
def test_refused(shared: Path, name: str) -> None:
    assert load(shared, name).judge() == (FAILURES[name],) * 2


@pytest.mark.parametrize("name", GOOD)
def test_accepted(shared: Path, name: str) -> None:
    case = load(shared, name)
    assert case.judge() == (HELD, HELD)
    bundle = parse_bundle(case.raw)
    assert parse_bundle(format_bundle(bundle)) == bundle
    assert case.judge(format_bundle(bundle)) == (HELD, HELD)


def test_rekor_2_timestamp_with_incorrect_time(shared: Path) -> None:
    """The same case with its base64 on one line: then the time itself is what refuses it."""
    case = load(shared, "rekor2-timestamp-with-incorrect-time_fail")
    value = json.loads(case.raw)
    stamp = value["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"][0]
    stamp["signedTimestamp"] = "".join(stamp["signedTimestamp"].split())
    assert case.judge(json.dumps(value).encode()) == ("cert-expired",) * 2


@pytest.mark.parametrize("name", [*GOOD, *FAILURES])
def test_the_suites_client(shared: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    case = load(shared, name)
    bundle = shared / "real/sigstore-bundles" / name / "bundle.sigstore.json"
    who = ["--certificate-identity", case.identity, "--certificate-oidc-issuer", case.issuer]
    words = ["verify-bundle", "--bundle", str(bundle), *(["--key", str(case.key)] if case.key else who)]
    words += ["--trusted-root", str(case.trusted_root)]
    digest = str(sha256_of(case.artifact.read_bytes()))
    for artifact in (str(case.artifact), digest):
        assert (run([*words, artifact]) == 0) == (name in GOOD)
    assert ("bug" in capsys.readouterr().err) is False


def test_another_identity_issuer_and_file(shared: Path) -> None:
    case = load(shared, "happy-path-v0.3")
    digest = known_digest(sha256_of(case.artifact.read_bytes()))
    for identity, issuer, expected in (
        (BEACON + "x", GITHUB, "identity-mismatch"),
        (BEACON, GITHUB + "x", "issuer-mismatch"),
    ):
        signer = KeylessSigner(TextRule(identity), TextRule(issuer), None)
        found = code_of(lambda: verify_blob(case.raw, digest, signer=signer, material=case.material))  # noqa: B023
        assert found == expected
    other = known_digest(IMAGE)
    assert (
        code_of(lambda: verify_blob(case.raw, other, signer=case.signer, material=case.material)) == "digest-mismatch"
    )


# -- cosign 3 ----------------------------------------------------------------------------------------------------------


def cosign_3(shared: Path) -> tuple[BundleItem, TrustedMaterial]:
    raw = (shared / "real/sigstore-bundles/cosign-v3-image-signature.sigstore.json").read_bytes()
    material = parse_trusted_root((shared / "real/trust/trusted_root.public-good.json").read_bytes())
    return BundleItem(sha256_of(raw), 0, parse_bundle(raw)), material


def test_an_image_signature_of_cosign_3(shared: Path) -> None:
    item, material = cosign_3(shared)
    found = verify_item(item, IMAGE, material=material, at=datetime(2026, 11, 23, tzinfo=UTC))
    assert isinstance(found.signer, CertificateIdentity)
    assert found.signer.san.startswith("https://github.com/kubewarden/")
    assert (found.signer.issuer, found.role, found.predicate_type) == (GITHUB, "signature", None)
    assert strength_of(found) == PROVED
    assert [time.source.partition("//")[2].partition("/")[0] for time in found.times] == [
        "rekor.sigstore.dev",
        "timestamp.sigstore.dev",
    ]
    assert code_of(lambda: verify_item(item, sha256_of(b"x"), material=material)) == "subject-mismatch"
    too_early = found.times[0].at - timedelta(days=2)
    assert code_of(lambda: verify_item(item, IMAGE, material=material, at=too_early)) == "time-in-future"
