"""Two small images for trying Sealift out, signed by a Sigstore that exists only while this runs.

    python scripts/make_demo_images.py FOLDER

writes FOLDER/app (two platforms, BuildKit SBOM and provenance, a keyless signature and a keyless attestation),
FOLDER/tool (one platform, signed with a key, saved as `cosign save` does), FOLDER/trusted_root.json, FOLDER/team.pub
and FOLDER/policy.toml. Keys are made anew each time and forgotten.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bundler.oci.descriptor import Descriptor
from tests.simulators.images import Layout, layer, two_platforms
from tests.simulators.sigstore import SLSA, Sigstore

IDENTITY = "https://ci.example.org/team/app/.github/workflows/release.yml@refs/tags/v1"
ISSUER = "https://token.ci.example.org"
LAYER_FILE = b"file-1\0"  # how the file in the app's first layer begins; its content follows a header of 512 bytes
APP, TOOL = "registry.example.org/team/app:1", "registry.example.org/team/tool:7"

POLICY = f"""format = 1

[[rule]]
name = "the team's app"
images = ["registry.example.org/team/app"]
platforms = ["linux/amd64", "linux/arm64"]
require = ["sbom", "provenance"]

[[rule.signature]]
certificate_identity = "{IDENTITY}"
certificate_oidc_issuer = "{ISSUER}"

[[rule.attestation]]
predicate_type = "{SLSA}"
certificate_identity = "{IDENTITY}"
certificate_oidc_issuer = "{ISSUER}"

[[rule]]
name = "tools signed with the team's key"
images = ["registry.example.org/team/tool"]

[[rule.signature]]
key = "team"
"""


def make(folder: Path, at: datetime) -> None:
    """Write everything; `at` is when the images were signed."""
    folder.mkdir(parents=True, exist_ok=True)
    sigstore = Sigstore()
    _make_app(sigstore, at).write(folder / "app")
    layout, public = _make_tool(sigstore, at)
    layout.write(folder / "tool")
    (folder / "team.pub").write_text(public)
    (folder / "trusted_root.json").write_bytes(sigstore.trusted_root_json())
    (folder / "policy.toml").write_text(POLICY)


def _make_app(sigstore: Sigstore, at: datetime) -> Layout:
    layout, top, _ = two_platforms(APP)
    signer = sigstore.keyless(IDENTITY, issuer=ISSUER, at=at)
    repository = APP.partition(":")[0]
    signature = layout.cosign([sigstore.sign(top.digest, signer, at=at, reference=repository)])
    layout.tag_evidence(signature, top, "sig", repository)
    predicate = {
        "buildDefinition": {"buildType": "https://ci.example.org/build"},
        "runDetails": {"builder": {"id": ISSUER}},
    }
    attestation = layout.cosign([sigstore.attest(top.digest, signer, at=at, predicate_type=SLSA, predicate=predicate)])
    layout.tag_evidence(attestation, top, "att", repository)
    return layout


def _make_tool(sigstore: Sigstore, at: datetime) -> tuple[Layout, str]:
    layout = Layout()
    top: Descriptor = replace(layout.image("linux/amd64", [layer(b"tool " * 40_000)]), platform=None)
    signer = sigstore.key_signer()
    layout.save_as_cosign(top, signatures=layout.cosign([sigstore.sign(top.digest, signer, at=at)]))
    return layout, signer.public_pem


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_demo_images.py FOLDER")
    make(Path(sys.argv[1]), datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1))
    sys.stderr.write(f"made {APP} and {TOOL} in {sys.argv[1]}\n")
