"""`sealift load` as people type it: what it does, what it says, what it refuses, and what the site remembers of it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError
from bundler.export.settings import DataRequest
from bundler.oci.manifest import OCI_INDEX
from scripts.make_demo_images import APP, TOOL, make
from tests.cli.session import SEALIFT, Result, call, undocumented
from tests.delivered import Delivered
from tests.simulators.deliveries import Exporter, LayoutSource, make_site
from tests.simulators.images import Content
from tests.simulators.load_scene import found
from tests.simulators.registry import Exchange, Registry
from tests.simulators.registry_lies import status
from tests.simulators.registry_writes import Writes
from tests.simulators.tuf_repository import TufRepository
from tests.simulators.vulnerability_data import write_zip


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry(writes=Writes()) as running:
        yield running


@pytest.fixture
def state(delivered: Delivered, tmp_path: Path) -> Path:
    """A site of this test's own."""
    return Path(shutil.copytree(delivered.state, tmp_path / "state"))


class Site:
    """Loads at one site."""

    def __init__(self, bundle: Path, policy: Path, state: Path) -> None:
        self.bundle, self.policy, self.state = bundle, policy, state

    def words(self, to: str, *more: str | Path, bundle: Path | str | None = None) -> list[str]:
        options = ["--to", to, "--policy", self.policy, "--state", self.state, "--quiet"]
        return ["load", *map(str, [bundle or self.bundle, *options, *more])]

    def load(self, to: str, *more: str | Path, bundle: Path | str | None = None) -> Result:
        return call(*self.words(to, "--tls-verify=false", *more, bundle=bundle))

    def loaded(self, to: str, *more: str | Path) -> dict[str, Any]:
        done = self.load(to, "--json", *more)
        assert done.code == 0, done
        document = dict(json.loads(done.out))
        assert undocumented(document, call("help", "load").out) == set()
        return document

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.state / "log.jsonl").read_text().splitlines()]

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.state.rglob("*") if path.is_file() and path.name != "lock")
        return {str(path): path.read_bytes() for path in found}


@pytest.fixture
def site(delivered: Delivered, policy: Path, state: Path) -> Site:
    return Site(delivered.bundle, policy, state)


def blobs_of(registry: Registry) -> list[tuple[Digest, Content]]:
    return [item for store in registry.repositories.values() for item in store.blobs.items()]


def writes_of(registry: Registry) -> list[str]:
    return [f"{item.method} {item.target}" for item in registry.log if item.method not in ("GET", "HEAD")]


def test_help_says_why_there_is_no_time_to_type() -> None:
    result = call("load", "--help")
    assert result.code == 0
    assert "There is no --at" in result.out
    assert "sealift load app.bundle.tar --to oci:/srv/images" in result.out
    assert call("load", "x", "--to", "localhost", "--at", "2027-03-01T00:00Z").code == 2


def test_load_then_load_again(site: Site, registry: Registry) -> None:
    first = site.load(f"{registry.host}/mirror")
    assert first.code == 0, first
    assert first.out.startswith(f"loaded {site.bundle} into {registry.host}/mirror\n")
    assert f"to {registry.host}/mirror/team/app:1" in first.out
    store = registry.repositories["mirror/team/app"]
    assert {"1"} <= store.tags.keys()
    assert "7" in registry.repositories["mirror/team/tool"].tags
    before = {name: found(store) for name, store in registry.repositories.items()}
    registry.reform()
    again = site.loaded(f"{registry.host}/mirror")
    assert not writes_of(registry)
    assert {name: found(store) for name, store in registry.repositories.items()} == before
    for image in again["images"]:
        assert (image["blobs_pushed"], image["documents_pushed"], image["tags_set"]) == (0, 0, [])


def test_the_site_remembers_what_went_where(site: Site, registry: Registry) -> None:
    document = site.loaded(f"{registry.host}/mirror")
    line = site.log()[-1]
    assert line["kind"] == "load"
    images = {image["name"]: (image["to"], image["digest"]) for image in line["images"]}
    assert set(images) == {APP, TOOL}
    assert images[APP] == (f"{registry.host}/mirror/team/app:1", document["images"][0]["digest"])
    assert (line["target"], line["stream"], line["sequence"]) == (f"{registry.host}/mirror", "main", 1)
    assert (line["inventory"], line["pin"]) == (document["inventory"], document["pin"])
    assert document["pin"].startswith("sha256:")  # two roots may each have a stream of one name
    shown = call("trust", "state", "--state", site.state, "--json")
    assert shown.code == 0, shown
    lines = (site.state / "log.jsonl").read_text()
    (site.state / "log.jsonl").write_text(lines.replace("mirror/team/app", "mirror/team/abb"))
    assert call("trust", "state", "--state", site.state).code == 4


def test_what_was_done_is_told_also_when_it_cannot_be_written_down(
    site: Site, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise EnvError("disk", "state", got="no space left", want="room")

    monkeypatch.setattr("trust_root.site.Site.note_load", refuse)
    result = site.load(f"{registry.host}/mirror")
    assert (result.code, "[disk]" in result.err) == (6, True)
    assert f"to {registry.host}/mirror/team/app:1" in result.out
    assert "7" in registry.repositories["mirror/team/tool"].tags


def test_dry_run_changes_nothing_anywhere(site: Site, registry: Registry) -> None:
    before = site.files()
    document = site.loaded(f"{registry.host}/mirror", "--dry-run")
    assert site.files() == before
    assert registry.log
    assert not writes_of(registry)
    assert not registry.repositories
    assert document["dry_run"]
    assert {tag["state"] for image in document["images"] for tag in image["tags"]} == {"new"}
    assert all(image["bytes_missing"] for image in document["images"])
    text = site.load(f"{registry.host}/mirror", "--dry-run")
    assert (text.code, text.out.startswith("would load ")) == (0, True)
    assert "tag 1: new" in text.out


def test_a_tag_that_stands_for_something_else(site: Site, registry: Registry) -> None:
    there = registry.repository("team/app").put_manifest(b'{"schemaVersion":2,"manifests":[]}', OCI_INDEX, "1")
    planned = site.load(registry.host, "--dry-run", "--json")
    (app, _) = json.loads(planned.out)["images"]
    assert (planned.code, app["conflict"]) == (1, True)
    assert app["tags"][-1] == {
        "tag": "1", "state": "moves", "digest": app["digest"], "found": str(there.digest)
    }  # fmt: skip
    refused = site.load(registry.host, "--json")
    error = json.loads(refused.out)["error"]
    assert (refused.code, error["reason"], error["exit_code"]) == (1, "tag-conflict", 1)
    assert "hint: --overwrite-tags" in refused.err
    assert not writes_of(registry)
    assert site.log()[-1]["kind"] != "load"
    assert site.load(registry.host, "--overwrite-tags").code == 0
    assert str(registry.repository("team/app").tags["1"]) == app["digest"]


def test_blobs_are_mounted_from_one_repository_to_the_next(site: Site, registry: Registry) -> None:
    """What two images share is sent once: the empty config, at least."""
    loaded = site.loaded(registry.host, "--jobs", "1")
    counts = [(image["blobs_pushed"], image["blobs_mounted"]) for image in loaded["images"]]
    shared = registry.repositories["team/app"].blobs.keys() & registry.repositories["team/tool"].blobs.keys()
    assert counts[1][1] == len(shared)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--strip", "1"), {"app", "tool"}),
        (("--keep-registry",), {"registry.example.org/team/app", "registry.example.org/team/tool"}),
        (("--rewrite", "registry.example.org/team/app=line/3"), {"line/3", "team/tool"}),
    ],
)
def test_names(site: Site, registry: Registry, options: tuple[str, ...], names: set[str]) -> None:
    site.loaded(registry.host, *options)
    assert set(registry.repositories) == names


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("plain",), "load-target"),
        (("ftp://x/y",), "load-target"),
        (("oci:",), "load-target"),
        (("oci:/srv/x:1",), "load-target"),
        (("containers-storage:app",), "load-target"),
        (("HOST", "--rewrite", "x"), "load-names"),
        (("HOST", "--platform", "linux/amd64"), "usage"),
        (("HOST", "--allow-digest-change"), "usage"),
        (("oci:/srv/x", "--strip", "1"), "usage"),
        (("oci:/srv/x", "--keep-registry"), "usage"),
        (("oci:/srv/x", "--derive-index"), "usage"),
        (("oci:/srv/x", "--compare-blobs"), "usage"),
        (("containers-storage:", "--allow-digest-change"), "usage"),
        (("containers-storage:", "--platform", "nonsense"), "platform"),
        (("docker-daemon:",), "digest-change"),
    ],
)
def test_what_is_typed_wrongly_is_told_before_anything_is_read(
    site: Site, registry: Registry, options: tuple[str, ...], reason: str
) -> None:
    before = site.files()
    to, *more = (word.replace("HOST", registry.host) for word in options)
    result = site.load(to, *more, bundle="absent.bundle.tar")
    assert (result.code, f"[{reason}]" in result.err) == (2, True), result.err
    assert site.files() == before
    assert not registry.log


@pytest.mark.parametrize("options", [("--strip", "2"), ("--rewrite", "registry.example.org=UPPER")])
def test_names_that_no_registry_takes(site: Site, registry: Registry, options: tuple[str, ...]) -> None:
    result = site.load(registry.host, *options)
    assert (result.code, "[load-names]" in result.err) == (2, True)
    assert not registry.log


def test_a_refused_bundle_reaches_nobody(site: Site, registry: Registry, tmp_path: Path) -> None:
    """The exit code and the report are those of `verify`."""
    demanding = tmp_path / "demanding.toml"
    demanding.write_text(site.policy.read_text().replace('certificate_identity = "', 'certificate_identity = "x'))
    other = Site(site.bundle, demanding, site.state)
    before = site.files()
    for more in ((), ("--dry-run",)):
        refused = other.load(registry.host, *more)
        verified = call("verify", site.bundle, "--policy", demanding, "--state", site.state, "--quiet")
        assert (refused.code, verified.code) == (1, 1)
        assert without_clock(refused.out) == without_clock(verified.out)
        assert "loaded" not in refused.out
    assert site.files() == before
    assert not registry.log


def without_clock(text: str) -> list[str]:
    return [line for line in text.splitlines() if "(clock)" not in line]


def test_without_a_policy(site: Site, registry: Registry) -> None:
    result = call("load", site.bundle, "--to", registry.host, "--state", site.state, "--quiet")
    assert result.code == 1
    assert "no-policy" in result.out + result.err
    assert not registry.log


def test_without_a_pin(site: Site, registry: Registry, tmp_path: Path) -> None:
    result = Site(site.bundle, site.policy, tmp_path / "none").load(registry.host)
    assert (result.code, "[no-pin]" in result.err) == (4, True)
    assert not (tmp_path / "none").exists()
    assert not registry.log


def test_standard_input_and_absent_files(site: Site, registry: Registry) -> None:
    piped, absent = site.load(registry.host, bundle="-"), site.load(registry.host, bundle="absent.bundle.tar")
    assert (piped.code, "[pipe]" in piped.err, "hint: " in piped.err) == (6, True, True)
    assert (absent.code, "[file-absent]" in absent.err) == (6, True)
    assert not registry.log


@pytest.mark.parametrize(("place", "code"), [(0.5, 3), (0.97, 3)])
def test_a_damaged_bundle(site: Site, registry: Registry, tmp_path: Path, place: float, code: int) -> None:
    raw = bytearray(site.bundle.read_bytes())
    raw[int(len(raw) * place)] ^= 1
    damaged = tmp_path / "damaged.bundle.tar"
    damaged.write_bytes(raw)
    cut = tmp_path / "cut.bundle.tar"
    cut.write_bytes(site.bundle.read_bytes()[: len(raw) // 2])
    assert site.load(registry.host, bundle=damaged).code == code
    assert site.load(registry.host, bundle=cut).code == 3
    assert not registry.log


def series(folder: Path, at: datetime, count: int = 2) -> tuple[TufRepository, list[Path], Path]:
    """Deliveries of one stream: repository, bundles, policy. Every image is accepted."""
    make(folder / "images", at - timedelta(hours=2))
    targets = {
        "trusted_root/demo.json": (folder / "images" / "trusted_root.json").read_bytes(),
        "keys/team.pub": (folder / "images" / "team.pub").read_bytes(),
    }
    repository = TufRepository("main", at=at - timedelta(hours=1), targets=targets)
    exporter = Exporter(repository, folder)
    source = LayoutSource("oci", folder / "images" / "app", APP)
    return repository, [exporter.deliver(source, at=at) for _ in range(count)], folder / "images" / "policy.toml"


def test_what_is_not_loaded_is_said(registry: Registry, tmp_path: Path) -> None:
    """Vulnerability data is for no registry; of data alone nothing is loaded, and that does not look like a load."""
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    repository, _, policy = series(tmp_path, at, 0)
    data = DataRequest(
        "osv", str(write_zip(tmp_path / "d.zip", [{"id": "X-1", "modified": "2026-01-01T00:00:00Z"}])), "debian"
    )
    source = LayoutSource("oci", tmp_path / "images" / "app", APP)
    state = make_site(tmp_path / "state", repository.pin, clock=at)
    exporter = Exporter(repository, tmp_path)
    alone, both = exporter.deliver(at=at, data=[data]), exporter.deliver(source, at=at, data=[data])
    for bundle, begins in ((alone, "nothing to load into "), (both, "loaded ")):
        done = Site(bundle, policy, state).load(f"{registry.host}/mirror")
        assert (done.code, done.out.startswith(begins)) == (0, True), done
        assert "  1 source of vulnerability data not loaded" in done.out
        assert bool(registry.log) is (bundle == both)


def test_expired_metadata(registry: Registry, tmp_path: Path) -> None:
    then = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1500)
    repository, (bundle,), policy = series(tmp_path, then, 1)
    site = Site(bundle, policy, make_site(tmp_path / "state", repository.pin, clock=then))
    result = site.load(registry.host, "--json")
    assert (result.code, json.loads(result.out)["reason"]) == (4, "expired")
    assert not registry.log


def test_an_older_delivery_needs_to_be_asked_for(registry: Registry, tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    repository, (first, second), policy = series(tmp_path, now)
    site = Site(first, policy, make_site(tmp_path / "state", repository.pin, clock=now))
    assert site.load(registry.host).code == 0
    assert site.load(registry.host, bundle=second).code == 0
    registry.reform()
    refused = site.load(registry.host, "--json")
    assert (refused.code, json.loads(refused.out)["reason"]) == (4, "superseded")
    assert not registry.log
    assert site.load(registry.host, "--historic").code == 0
    assert [line["sequence"] for line in site.log() if line["kind"] == "load"] == [1, 2, 1]


def test_a_file_that_changes_while_it_is_loaded(site: Site, registry: Registry, tmp_path: Path) -> None:
    """After the verification, before it is sent: nobody gets a byte that was not verified, and no tag moves."""
    changing = tmp_path / "changing.bundle.tar"
    raw = site.bundle.read_bytes()
    for change in ("truncated", "flipped"):
        changing.write_bytes(raw)

        def damage(exchange: Exchange, change: str = change, raw: bytes = raw) -> None:
            with changing.open("r+b") as file:
                if change == "truncated":
                    file.truncate(20_000)
                else:
                    file.write(bytes(byte ^ 1 for byte in raw))
            exchange.send(exchange.normal())

        registry.on("/blobs/uploads/", damage, method="POST", times=1)
        result = site.load(registry.host, "--json", bundle=changing)
        assert (result.code, json.loads(result.out)["error"]["exit_code"]) == (3, 3), result
        assert not any(store.tags for store in registry.repositories.values())
        assert all(sha256_of(b"".join(raw.pieces())) == digest for digest, raw in blobs_of(registry))
        assert site.log()[-1]["kind"] != "load"


def test_two_loads_at_once(site: Site, registry: Registry) -> None:
    results: list[int] = []
    words = site.words(registry.host, "--tls-verify=false")
    programs = [subprocess.Popen([SEALIFT, *words], stdout=subprocess.DEVNULL) for _ in range(2)]
    results += [program.wait(60) for program in programs]
    assert results == [0, 0]
    assert [line["kind"] for line in site.log()].count("load") == 2
    assert call("trust", "state", "--state", site.state).code == 0
    assert all(image["documents_pushed"] == 0 for image in site.loaded(registry.host)["images"])


class Hold:
    """Holds the registry's answer to one request that writes, until it is let go; that request is never done."""

    def __init__(self, number: int) -> None:
        self.reached, self._go_on = threading.Event(), threading.Event()
        self._left = number

    def __call__(self, exchange: Exchange) -> None:
        self._left -= exchange.method not in ("GET", "HEAD")
        if self._left == 0 and not self.reached.is_set():
            self.reached.set()
            self._go_on.wait(60)
            exchange.drop()
        else:
            exchange.send(exchange.normal())

    def let_go(self) -> None:
        self._go_on.set()


def stop_at(number: int, site: Site, registry: Registry, how: signal.Signals) -> int:
    """Start a load as a program, and stop it while it waits for the answer to a request; its exit code."""
    hold = Hold(number)
    registry.on("", hold)
    words = site.words(registry.host, "--tls-verify=false", "--jobs", "1")
    program = subprocess.Popen([SEALIFT, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert hold.reached.wait(60)
        program.send_signal(how)
        out, err = program.communicate(timeout=60)
    finally:
        program.kill()
        hold.let_go()
    assert "Traceback" not in out + err
    return program.returncode


def inventory_of(registry: Registry) -> dict[str, tuple[dict[str, str], set[str], set[str]]]:
    return {name: found(store) for name, store in registry.repositories.items()}


@pytest.mark.parametrize(
    ("how", "code", "samples"), [(signal.SIGINT, 130, 2), (signal.SIGKILL, -signal.SIGKILL, 6)], ids=["int", "kill"]
)
def test_a_load_that_is_stopped_goes_on_the_next_time(
    site: Site, registry: Registry, how: signal.Signals, code: int, samples: int
) -> None:
    site.loaded(registry.host)
    whole, total = inventory_of(registry), len(writes_of(registry))
    for number in range(3, total + 1, max(total // samples, 1)):
        registry.repositories.clear()
        registry.reform()
        assert stop_at(number, site, registry, how) == code
        registry.reform()
        left = inventory_of(registry)
        for name, (tags, manifests, blobs) in left.items():
            assert not tags or (manifests, blobs) == whole[name][1:]
            assert tags.items() <= whole[name][0].items()
        again = site.loaded(registry.host)
        assert inventory_of(registry) == whole
        moved = sum(image["blobs_pushed"] + image["blobs_mounted"] for image in again["images"])
        assert moved == sum(len(blobs - left.get(name, ({}, set(), set()))[2]) for name, (_, _, blobs) in whole.items())


def test_a_registry_that_fails(site: Site, registry: Registry) -> None:
    registry.on("/manifests/1$", status(403, "DENIED"), method="PUT")
    result = site.load(registry.host, "--json")
    assert (result.code, json.loads(result.out)["error"]["reason"]) == (6, "registry-denied")
    assert "1" not in registry.repository("team/app").tags
    assert site.log()[-1]["kind"] != "load"


def test_into_a_layout(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "out"
    planned = site.load(f"oci:{out}", "--dry-run")
    assert (planned.code, out.exists()) == (0, False)
    assert "blobs to write" in planned.out
    assert site.log()[-1]["kind"] != "load"
    document = site.loaded(f"oci:{out}")
    assert {APP, TOOL} <= set(document["layout"]["names_set"])
    logged = site.log()[-1]["names"]
    assert set(logged) == set(document["layout"]["names_set"])
    index = json.loads((out / "index.json").read_text())["manifests"]
    assert logged[APP] == next(entry["digest"] for entry in index if APP in entry.get("annotations", {}).values())
    again = site.loaded(f"oci:{out}")
    assert site.log()[-1]["names"] == logged
    assert (again["layout"]["blobs_written"], again["layout"]["names_set"]) == (0, [])
    renamed = site.loaded(f"oci:{out}", "--rewrite", "registry.example.org/team=tools")
    assert {"tools/app:1", "tools/tool:7"} <= set(renamed["layout"]["names_set"])


def test_a_storage_without_skopeo(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for more in ((), ("--dry-run",)):
        result = site.load("containers-storage:", "--platform", "linux/amd64", *more)
        assert (result.code, "[skopeo-absent]" in result.err) == (6, True), result


def test_a_platform_that_an_image_has_not(site: Site) -> None:
    result = site.load("containers-storage:", "--platform", "linux/s390x")
    assert (result.code, "[load-platform]" in result.err) == (2, True)
