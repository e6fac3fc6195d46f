"""`sealift patch` from registry to verified report, with stand-ins for trivy and copa (THREATS F18)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.oci.descriptor import Descriptor
from tests.cli.session import Result, call
from tests.simulators.copa_stub import CopaStub, serve_pushes
from tests.simulators.images import Layout, layer, provenance_statement, sbom_statement
from tests.simulators.patched import GONE, LEFT, Part, Scene, patched_scene
from tests.simulators.real_registry import find_program
from tests.simulators.registry import Registry, Store
from tests.simulators.sigstore import Signer, Sigstore
from tests.simulators.sigstore_keys import AT
from tests.simulators.station import Station
from tests.simulators.trivy_stub import TrivyStub

IDENTITY = "https://github.com/example/app/.github/workflows/release.yml@refs/tags/v1"
ISSUER = "https://token.actions.githubusercontent.com"
AMD, ARM = "linux/amd64", "linux/arm64"


@pytest.fixture(scope="module", autouse=True)
def skopeo() -> str:
    return find_program("skopeo")


class Stage:
    """A registry with a signed image, the two programs, and what they will make of it."""

    def __init__(self, folder: Path, registry: Registry, scene: Scene | None = None) -> None:
        self.folder, self.registry = folder, registry
        self.sigstore = Sigstore("patching")
        self.signer: Signer = self.sigstore.keyless(IDENTITY, at=AT, issuer=ISSUER)
        self.station = Station(folder, {"demo": self.sigstore.trusted_root_json()})
        self.scene = scene or patched_scene()
        self.store: Store = registry.repository("team/app")
        self.name = f"{registry.host}/team/app:1"
        self.reports: dict[str, bytes] = {}
        self.waiting: dict[str, str] = {}
        self.top = self.publish()
        serve_pushes(registry, self.store, self.waiting)
        self.bin = folder / "bin"
        self.tools()

    def publish(self) -> Descriptor:
        """Push and sign the original, and hold back what copa will push."""
        layout = Layout()
        children = []
        for platform, part in self.scene.original.items():
            child = part.add(layout)
            papers = layout.attestation(child, [sbom_statement(child), provenance_statement(child)])
            children += [child, papers]
            self.reports[child.digest.hex] = part.report(GONE, LEFT)
            self.expect(platform, self.scene.patched[platform])
        top = layout.name(layout.index(children), self.name)
        signed = layout.cosign([self.sigstore.sign(top.digest, self.signer)])
        layout.tag_evidence(signed, top, "sig", f"{self.registry.host}/team/app")
        self.store.load(layout, "1")
        return top

    def expect(self, platform: str, part: Part, *ids: str) -> Descriptor:
        """What copa will push for a platform, and what trivy will say of it."""
        layout = Layout()
        patched = layout.name(part.add(layout))
        self.store.load(layout)
        self.waiting[f"1-patched-{platform.removeprefix('linux/')}"] = patched.digest.hex
        self.reports[patched.digest.hex] = part.report(*(ids or (LEFT,)))
        return patched

    def tools(self, trivy: str = "honest()", copa: str = "honest()") -> tuple[TrivyStub, CopaStub]:
        """The two programs, with bodies as told."""
        return TrivyStub(self.bin, self.reports, trivy), CopaStub(self.bin, self.registry.host, copa)

    def patch(self, *words: str, output: bool = True) -> Result:
        """Run the command."""
        if output:
            self.station.exports += 1
        station = self.station
        ours: list[str | Path] = ["--repository", station.repository, "--keys", station.keys, "--cache", station.cache]
        more: list[str | Path] = ["-o", station.bundle] if output else []
        what = [] if "-f" in words else [self.name]
        return call(
            "patch", *what, *words, "--tls-verify=false", "--proofs", "none", "--retry-times", "0", *ours, *more
        )

    @property
    def policy(self) -> str:
        """The original by its signer, the patched image by its original."""
        signer = f'certificate_identity = "{IDENTITY}"\ncertificate_oidc_issuer = "{ISSUER}"\n'
        patched = self.name + "-patched"
        return (
            f'format = 1\n[[rule]]\nimages = ["{self.name}"]\n[[rule.signature]]\n{signer}'
            f'[[rule]]\nimages = ["{patched}"]\nderived_from = ["{self.name}"]\nrequire = ["sbom", "provenance"]\n'
            f"[[rule.signature]]\n{signer}"
        )


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry(referrers_api=True) as made:
        yield made


@pytest.fixture
def stage(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(tmp_path / "station", registry)
    monkeypatch.setenv("PATH", str(made.bin), prepend=":")
    return made


def test_patched_exported_and_verified_by_the_original(stage: Stage) -> None:
    done = stage.patch("--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert [item["gone"] for item in told["patched"][0]["platforms"]] == [1, 1]
    assert [image["name"] for image in told["exported"]["images"]] == [stage.name, f"{stage.name}-patched"]
    verified = stage.station.verify(stage.policy)
    assert verified.code == 0, json.dumps(verified.report, indent=1)
    patched = verified.report["images"][1]
    lineage = [check for check in patched["checks"] if check["check"] == "lineage"]
    assert [check["about"] for check in lineage] == [AMD, ARM]
    assert {check["outcome"] for check in lineage} == {"held"}
    notes = {check["check"]: check["detail"] for check in patched["checks"] if check["outcome"] == "note"}
    assert "lost" in notes["sbom"]
    assert "lost" in notes["provenance"]
    assert GONE in notes["vulnerabilities"]
    roles = [(scan["platform"], scan["role"], scan["scan"]["findings"]) for scan in patched["scans"]]
    assert roles == [
        (name, f"{word} the patch", count) for name in (AMD, ARM) for word, count in (("before", 2), ("after", 1))
    ]
    assert {scan["strength"] for scan in patched["scans"]} == {"asserted by stream main"}
    looked = call("inspect", stage.station.bundle, f"{stage.name}-patched", "--scans", "--state", stage.station.state)
    assert looked.out.count(": asserted by stream main") == 4, looked.err
    assert stage.station.litter() == []


def test_a_scan_says_whose_sbom_there_is(stage: Stage) -> None:
    assert stage.patch().code == 0
    data = stage.folder / "osv"
    data.mkdir()
    write_record(data, "1")
    words: list[str | Path] = ["--state", stage.station.state, "--data", str(data), "--untrusted", "--json"]
    done = call("scan", stage.station.bundle, f"{stage.name}-patched", *words)
    scanned = json.loads(done.out)
    told = [(one["image"], one["platform"], one["original"]["image"]) for one in scanned["images"]]
    assert told == [(f"{stage.name}-patched", platform, stage.name) for platform in (AMD, ARM)], done.err
    assert scanned["not_scanned"] == []


def test_what_the_two_share_travels_once(stage: Stage) -> None:
    assert stage.patch().code == 0
    inventory = stage.station.inventory()
    original, patched = inventory.images
    assert (original.digest, patched.digest_origin) == (stage.top.digest, "synthesised")
    digests = [blob.digest for blob in inventory.blobs]
    assert len(digests) == len(set(digests))
    assert [item.found_by for item in patched.evidence] == ["exporter"]


def test_the_tools_get_digests_and_quiet_flags(stage: Stage) -> None:
    trivy, copa = stage.tools()
    assert stage.patch("--buildkit", "tcp://buildkitd:1234").code == 0
    assert all("@sha256:" in words[-1] and "--quiet" in words for words in trivy.calls)
    assert [("--skip-db-update" in words) for words in trivy.calls] == [False, True, True, True]
    assert all(words[words.index("--addr") + 1] == "tcp://buildkitd:1234" for words in copa.calls)
    assert all("@sha256:" in words[words.index("--image") + 1] and "--push" in words for words in copa.calls)


def test_a_single_manifest(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path / "station", registry, patched_scene(AMD))
    monkeypatch.setenv("PATH", str(stage.bin), prepend=":")
    layout = Layout()
    layout.name(stage.scene.original[AMD].add(layout), stage.name)
    stage.store.load(layout, "1")
    done = stage.patch()
    assert done.code == 0, done.err
    _, patched = stage.station.inventory().images
    assert patched.digest_origin == "source"
    assert patched.digest.hex == stage.waiting["1-patched-amd64"]


def test_a_platform_with_nothing_to_mend_stays_as_it_is(stage: Stage) -> None:
    child = next(digest for digest in stage.reports if GONE.encode() in stage.reports[digest])
    stage.reports[child] = stage.scene.original[AMD].report(LEFT)
    _, copa = stage.tools()
    done = stage.patch()
    assert done.code == 0, done.err
    assert len(copa.calls) == 1
    verified = stage.station.verify(stage.policy)
    assert verified.code == 0, json.dumps(verified.report, indent=1)


def test_nothing_to_mend_at_all(stage: Stage) -> None:
    for digest, part in zip(list(stage.reports)[::2], stage.scene.original.values(), strict=True):
        stage.reports[digest] = part.report(LEFT)
    stage.tools()
    done = stage.patch()
    assert (done.code, "nothing to patch in" in done.out) == (0, True), done.err
    assert [image.name for image in stage.station.inventory().images] == [stage.name]


@pytest.mark.parametrize("allowed", [False, True])
def test_a_platform_that_copa_cannot_patch(stage: Stage, allowed: bool) -> None:
    """Copa fails for one platform: the run ends, or, where that was typed, the platform stays and is told."""
    stage.tools(copa="honest() if TAG.endswith('amd64') else sys.exit('unsupported distribution')")
    done = stage.patch("--json", *(["--allow-unpatched"] if allowed else []))
    if not allowed:
        assert (done.code, "[copa-failed]" in done.err, "--allow-unpatched" in done.err) == (6, True, True), done.err
        assert stage.station.left() == []
        return
    assert (done.code, "left unpatched" in done.err) == (0, True), done.err
    one, two = json.loads(done.out)["patched"][0]["platforms"]
    assert (one["refused"], "unsupported distribution" in two["refused"]) == (None, True)
    assert (one["mendable"], two["mendable"]) == ([], [f"{GONE} in openssl"])
    verified = stage.station.verify(stage.policy)
    assert verified.code == 0, json.dumps(verified.report, indent=1)
    notes = [check["detail"] for check in verified.report["images"][1]["checks"] if check["check"] == "vulnerabilities"]
    assert ["with a fix known" in note for note in notes] == [False, True]


def test_copa_on_a_machine_of_another_platform(stage: Stage) -> None:
    """Copa 0.11 writes the platform of its own machine into what it patched."""
    part = stage.scene.patched[ARM]
    part.top["architecture"] = "amd64"
    stage.expect(ARM, part)
    stage.tools()
    done = stage.patch()
    assert (done.code, "[lineage-platform]" in done.err, f"run it on one of {ARM}" in done.err) == (1, True, True)
    assert stage.patch("--allow-unpatched").code == 0
    assert stage.station.verify(stage.policy).code == 0


def test_what_copa_does_not_patch_is_not_given_to_it(stage: Stage) -> None:
    """Packages of languages are not copa's: it would fail for want of anything to do."""
    for digest, raw in stage.reports.items():
        stage.reports[digest] = raw.replace(b"os-pkgs", b"lang-pkgs")
    _, copa = stage.tools()
    file = str(settings(stage))
    done = stage.patch("-f", file, "--export-delta")
    assert (done.code, copa.calls) == (0, []), done.err
    assert "nothing to patch in" in done.out
    assert "NOT LOOKED AT" in done.out
    assert "trivy looked at no packages of a distribution" in done.err
    again = stage.patch("-f", file, "--export-delta")
    assert (again.code, "nothing has changed" in again.out) == (0, True), again.err


def test_pushed_elsewhere(stage: Stage) -> None:
    other = stage.registry.repository("patched/team/app")
    other.manifests, other.blobs = stage.store.manifests, stage.store.blobs
    serve_pushes(stage.registry, other, stage.waiting)
    _, copa = stage.tools()
    target = f"{stage.registry.host}/patched/team/app"
    done = stage.patch("--to", f"{stage.registry.host}/patched")
    assert done.code == 0, done.err
    assert [words[words.index("--tag") + 1] for words in copa.calls] == [
        f"{target}:1-patched-amd64", f"{target}:1-patched-arm64",
    ]  # fmt: skip
    assert stage.station.verify(stage.policy).code == 0


# -- lies -------------------------------------------------------------------------------------------------------------

LIES = {
    "trivy writes nothing": ("pass", "honest()", "trivy-lied"),
    "trivy fails with a report": ("honest(); sys.exit(1)", "honest()", "trivy-failed"),
    "trivy is killed": ("os.kill(os.getpid(), signal.SIGKILL)", "honest()", "trivy-failed"),
    "trivy writes an empty file": ("write(OUTPUT, b'')", "honest()", "trivy-lied"),
    "trivy writes no JSON": ("write(OUTPUT, b'all is well')", "honest()", "trivy-lied"),
    "trivy writes a link": ("os.symlink('/etc/passwd', OUTPUT)", "honest()", "trivy-lied"),
    "trivy writes a folder": ("os.mkdir(OUTPUT)", "honest()", "trivy-lied"),
    "trivy writes a pipe": ("os.mkfifo(OUTPUT)", "honest()", "trivy-lied"),
    "trivy reports on another image": (
        "write(OUTPUT, [raw for name, raw in REPORTS.items() if name != HEX][-1])", "honest()", "trivy-lied",
    ),
    "copa pushes nothing": ("honest()", "write_vex()", "copa-lied"),
    "copa writes nothing": ("honest()", "push()", "copa-lied"),
    "copa does nothing": ("honest()", "pass", "copa-lied"),
    "copa fails with everything": ("honest()", "honest(); sys.exit(1)", "copa-failed"),
    "copa writes a link": ("honest()", "push(); os.symlink(told('--report'), VEX)", "copa-lied"),
    "copa writes another document": ("honest()", "push(); write(VEX, b'{\"@context\":\"x\"}')", "copa-lied"),
    "copa's VEX is about another image": (
        "honest()", "push(); write_vex(product='pkg:oci/app@sha256:' + '1' * 64)", "copa-lied",
    ),
    "copa's VEX is of another version": (
        "honest()", "push(); write(VEX, b'{\"@context\":\"https://openvex.dev/ns/v9\"}')", "copa-lied",
    ),
    "copa floods": (
        "honest()", "sys.stderr.write('password=hunter2 ' * 3_000_000); sys.exit(3)", "copa-failed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_tool_that_lies(stage: Stage, lie: str) -> None:
    trivy, copa, code = LIES[lie]
    stage.tools(trivy, copa)
    done = stage.patch()
    assert (done.code, f"[{code}]" in done.err) == (6, True), done.err
    assert stage.station.left() == []
    assert "hunter2" not in done.err
    assert len(done.err) < 6000


def test_a_tool_that_writes_more_than_it_should(stage: Stage) -> None:
    stage.tools("honest(); write('extra.json', b'x' * 100)", "honest(); write('../../extra.json', b'x')")
    assert stage.patch().code == 0


@pytest.mark.parametrize(
    ("bend", "code"),
    [
        (lambda part: part.layers.reverse(), "lineage-layers"),
        (lambda part: part.layers.insert(0, layer(b"evil", seed=7)), "lineage-layers"),
        (lambda part: part.runtime.update(User="root"), "lineage-config"),
        (lambda part: part.history.clear(), "lineage-history"),
    ],
)
def test_copa_pushes_something_else(stage: Stage, bend: object, code: str) -> None:
    part = stage.scene.patched[AMD]
    assert callable(bend)
    bend(part)
    stage.expect(AMD, part)
    stage.tools()
    done = stage.patch()
    assert (done.code, f"[{code}]" in done.err) == (1, True), done.err
    assert stage.station.left() == []


def test_a_patch_after_which_trivy_knows_the_distribution_no_more(stage: Stage) -> None:
    """Then nothing is found any more, and nothing is mended."""
    for digest, raw in stage.reports.items():
        report = json.loads(raw)
        if GONE not in raw.decode():
            stage.reports[digest] = json.dumps(report | {"Results": []}).encode()
    stage.tools()
    done = stage.patch()
    assert (done.code, "[copa-lied]" in done.err, "about no packages of a distribution" in done.err) == (6, True, True)
    assert stage.station.left() == []


def test_a_patch_that_mends_nothing(stage: Stage) -> None:
    stage.expect(AMD, stage.scene.patched[AMD], GONE, LEFT)
    stage.tools()
    done = stage.patch()
    assert (done.code, "[copa-lied]" in done.err) == (6, True), done.err


@pytest.mark.parametrize("tool", ["trivy", "copa"])
def test_a_tool_that_is_absent(stage: Stage, tool: str) -> None:
    (stage.bin / tool).unlink()
    done = stage.patch()
    assert (done.code, f"[{tool}-absent]" in done.err, "hint: install" in done.err) == (6, True, True), done.err


@pytest.mark.parametrize(
    ("tool", "says"), [("trivy", "Version: 0.20.1"), ("trivy", "hello"), ("copa", "copa version 0.6")]
)
def test_a_tool_of_another_version(stage: Stage, tool: str, says: str) -> None:
    (stage.bin / tool).write_text(f"#!/bin/sh\necho '{says}'\n")
    done = stage.patch()
    assert (done.code, f"[{tool}-version]" in done.err) == (6, True), done.err


def test_a_tool_that_hangs(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    trivy, _ = stage.tools("time.sleep(600)")
    monkeypatch.setattr("bundler.network.scanner.Scanner.__init__.__kwdefaults__", {"environ": None, "seconds": 1.0})
    start = time.monotonic()
    done = stage.patch()
    assert (done.code, "[trivy-stalled]" in done.err) == (6, True), done.err
    assert time.monotonic() - start < 60
    assert not any(Path(f"/proc/{pid}").exists() for pid in trivy.pids)


def test_images_that_are_in_no_registry(stage: Stage) -> None:
    layout = Layout()
    layout.name(stage.scene.original[AMD].add(layout), "app:1")
    folder = layout.write(stage.folder / "layout")
    done = stage.patch("-f", str(settings(stage, f"oci:{folder}")))
    assert (done.code, "[patch-source]" in done.err) == (2, True), done.err


# -- weekly -----------------------------------------------------------------------------------------------------------


def settings(stage: Stage, source: str | None = None) -> Path:
    path = stage.folder / "sealift.toml"
    path.write_text(f'[[image]]\nsource = "{source or stage.name}"\n')
    return path


def test_a_weekly_run_carries_what_has_changed(stage: Stage) -> None:
    file = str(settings(stage))
    _, copa = stage.tools()
    first = stage.patch("-f", file, "--export-delta")
    assert first.code == 0, first.err
    again = stage.patch("-f", file, "--export-delta")
    assert (again.code, "nothing has changed" in again.out) == (0, True), again.err
    assert not stage.station.bundle.exists()
    assert len(copa.calls) == 2

    # Today's database knows more about what was patched last week.
    stage.reports[stage.waiting["1-patched-amd64"]] = stage.scene.patched[AMD].report("CVE-2026-0003", LEFT)
    part = stage.scene.patched[AMD]
    part.layers[-1] = layer(b"newer patch", seed=3)
    part.history[-1]["created"] = "2026-11-27T06:00:00Z"
    stage.expect(AMD, part)
    stage.tools()
    third = stage.patch("-f", file, "--export-delta")
    assert third.code == 0, third.err
    assert stage.station.inventory().sequence == 2
    assert stage.station.verify(stage.policy).code in (0, 4)  # the site has not seen the first


def test_vulnerability_data_of_the_settings_travels_too(stage: Stage) -> None:
    """With the images, and alone when only it has changed; unchanged it is no reason for a bundle."""
    file = settings(stage)
    osv = stage.folder / "osv"
    osv.mkdir()
    write_record(osv, "1")
    file.write_text(file.read_text() + '[[vulnerability-data]]\nkind = "osv"\nsource = "osv"\n')
    first = stage.patch("-f", str(file), "--export-delta")
    assert first.code == 0, first.err
    assert [each.source for each in stage.station.inventory().data] == ["osv"]
    again = stage.patch("-f", str(file), "--export-delta")
    assert (again.code, "nothing has changed" in again.out) == (0, True), again.err
    write_record(osv, "2")
    third = stage.patch("-f", str(file), "--export-delta")
    assert third.code == 0, third.err
    inventory = stage.station.inventory()
    assert (inventory.sequence, inventory.images, len(inventory.data)) == (2, (), 1)


def write_record(folder: Path, number: str) -> None:
    affected = [{"package": {"ecosystem": "PyPI", "name": "x"}, "versions": [number]}]
    record = {"id": f"PYSEC-{number}", "modified": "2026-11-20T00:00:00Z", "affected": affected}
    (folder / f"PYSEC-{number}.json").write_text(json.dumps(record))


def test_a_dry_run_scans_and_does_nothing_else(stage: Stage) -> None:
    _, copa = stage.tools()
    (stage.bin / "copa").unlink()
    done = stage.patch("--dry-run", "--json", "--to", "registry.example.org/p")
    assert done.code == 0, done.err
    (image,) = json.loads(done.out)["planned"]
    assert [(each["platform"], each["mendable"]) for each in image["platforms"]] == [
        (AMD, [f"{GONE} in openssl"]), (ARM, [f"{GONE} in openssl"]),
    ]  # fmt: skip
    assert (stage.station.left(), copa.calls, "1-patched-amd64" in stage.store.tags) == ([], [], False)
    assert f"would patch {stage.name}" in stage.patch("--dry-run").out


def test_what_is_required_is_asked_before_anything_is_patched(stage: Stage) -> None:
    _, copa = stage.tools()
    file = settings(stage)
    file.write_text('require = ["attestation"]\n' + file.read_text())
    done = stage.patch("-f", str(file))
    assert (done.code, "[evidence-missing]" in done.err, copa.calls) == (1, True, []), done.err


def test_a_policy_judges_the_bundle_before_it_is_published(stage: Stage) -> None:
    policy = stage.folder / "policy.toml"
    policy.write_text(f'format = 1\n[[rule]]\nimages = ["{stage.name}"]\nrequire = ["sbom"]\n')
    done = stage.patch("--policy", str(policy))
    assert (done.code, "no-rule" in done.err, stage.station.left()) == (1, True, []), done.err


def test_a_record_that_is_none(stage: Stage) -> None:
    file = settings(stage)
    file.with_suffix(".patched.json").write_text("{}")
    done = stage.patch("-f", str(file), "--export-delta")
    assert (done.code, "[patch-record]" in done.err) == (2, True), done.err
