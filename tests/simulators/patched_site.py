"""A patched image beside its original in one bundle, data about both, and a site: for whatever looks at the two.

    town = Town(tmp_path)                # bends of the scene go into `bend`
    town.bundle, town.state, town.osv    # the state is pinned; `accept` verifies the bundle there

The original has an SBOM on each platform and a signed OpenVEX document about `LEFT`; Copa's says that `GONE` is mended.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bundler.digest import sha256_of
from bundler.evidence.sigstore_bundle import format_bundle
from bundler.export.settings import DataRequest
from bundler.oci.manifest import EMPTY_CONFIG
from bundler.verify.pipeline import Verification
from tests.simulators.claims import IDENTITY, ROOT, Claims, demand
from tests.simulators.deliveries import Exporter, LayoutSource, make_site, verify
from tests.simulators.images import to_json
from tests.simulators.osv_records import osv_record, osv_zip
from tests.simulators.patched import (
    COPA,
    GONE,
    LEFT,
    NAME,
    PATCHED_NAME,
    PLATFORMS,
    Scene,
    copa_vex,
    patched_scene,
)
from tests.simulators.scannable import spdx
from tests.simulators.sigstore_bundles import V03_NEW, WholeSigstore, statement_bytes
from tests.simulators.tuf_repository import TufRepository
from tests.simulators.vex_documents import openvex, statement

OPENSSL = "pkg:deb/debian/openssl@1.1?arch=amd64&distro=debian-12"
OPENVEX = "https://openvex.dev/ns/v0.2.0"
AT = ("--at", "2026-12-20", "--reason", "test")
_STATED = "2025-12-20T00:00:00Z"

Bend = Callable[[Scene], object]


def vex_rule(*, signer: str = IDENTITY, author: str = COPA, at_most: str = "critical") -> str:
    """`vulnerabilities` of a rule: whose VEX counts."""
    signed = demand(identity=signer).replace("rule.signature", "rule.vulnerabilities.vex")
    unsigned = f'[[rule.vulnerabilities.vex]]\nunsigned_author = "{author}"'
    return "\n".join(["[rule.vulnerabilities]", f'at_most = "{at_most}"', unsigned, signed])


def site_policy(vex: str = "", *, derived_from: str = NAME) -> str:
    """One rule for the patched image, one for its original."""
    derived = [f'derived_from = ["{derived_from}"]'] if derived_from else []
    patched = ["[[rule]]", f'images = ["{PATCHED_NAME}"]', *derived, demand(), vex]
    return "\n".join(["format = 1", *patched, "[[rule]]", f'images = ["{NAME}"]', demand(), vex])


class Town:
    """Everything, built at once."""

    def __init__(
        self, folder: Path, bend: Bend = lambda scene: None, *, sign_patched: bool = False, vex_on_patched: bool = False
    ) -> None:
        self.folder = folder
        self.claims = Claims(folder)
        self.whole = WholeSigstore("town")
        if vex_on_patched:
            self.claims.sigstore, self.claims.release = self.whole, self.whole.keyless(IDENTITY)
            self.claims.targets = {ROOT: self.whole.trusted_root_json()}
        self.exporter = Exporter(TufRepository("main", targets=self.claims.targets), folder)
        self.state = make_site(folder / "state", self.exporter.repository.pin)
        self.scene = patched_scene()
        self.scene.papers = lambda child: [spdx(child, [OPENSSL])]
        for platform in PLATFORMS:
            self.scene.vex[platform] = to_json(_copa(platform))
        bend(self.scene)
        self.scene.build(signer=self.exporter.repository.streams["main"].key)
        self._sign(vex_on_patched=vex_on_patched)
        if sign_patched:
            self.claims.sign(self.scene.layout, self.scene.patched_top, self.claims.release)
        self.osv = folder / "osv.zip"
        self.osv.write_bytes(osv_zip([_record(number, name) for number, name in enumerate((GONE, LEFT), 1)]))
        self.bundle = self._deliver()

    def accept(self, policy: str) -> Verification:
        """Verify the bundle at the site, which then remembers it."""
        run = verify(self.bundle, self.state, policy)
        assert run.report.exit_code == 0, run.report.reason
        return run

    def words(self, policy: str = "") -> tuple[str | Path, ...]:
        """Options of every command that looks: the time, and a policy where one is named."""
        if not policy:
            return AT
        path = self.folder / f"{sha256_of(policy.encode()).hex}.toml"
        path.write_text(policy)
        return (*AT, "--policy", path)

    def _sign(self, *, vex_on_patched: bool) -> None:
        """The original is signed; the document is an attestation of it, or a Sigstore bundle about the patched one."""
        layout, top = self.scene.layout, self.scene.original_top
        self.claims.sign(layout, top, self.claims.release)
        said = statement(vulnerability={"name": LEFT}, products=[{"@id": "pkg:deb/debian/openssl"}])
        document = openvex(said, timestamp=_STATED)
        if not vex_on_patched:
            self.claims.attest(layout, top, self.claims.release, OPENVEX, predicate=document)
            return
        patched = self.scene.patched_top
        content = statement_bytes(patched.digest, OPENVEX, document)
        raw = format_bundle(self.whole.bundle(content, self.claims.release))
        stored = layout.blob(raw, V03_NEW)
        empty = layout.blob(b"{}", EMPTY_CONFIG)
        layout.name(layout.manifest(empty, [stored], artifact_type=V03_NEW, subject=patched))

    def _deliver(self) -> Path:
        path = self.scene.layout.write(self.folder / "layout")
        sources = [LayoutSource("oci", path, name, name) for name in (NAME, PATCHED_NAME)]
        return self.exporter.deliver(*sources, data=[DataRequest("osv", str(self.osv), "osv/Debian")])


def _copa(platform: str) -> dict[str, object]:
    said = {**copa_vex(platform, sha256_of(b"x"), (GONE, OPENSSL.replace("1.1", "1.2"))), "timestamp": _STATED}
    for item in said["statements"]:
        item["products"][0]["@id"] = "pkg:oci/app"
    return said


def _record(number: int, name: str) -> dict[str, object]:
    return osv_record(f"DSA-{number}", ecosystem="Debian:12", name="openssl", fixed="1.2", aliases=[name])
