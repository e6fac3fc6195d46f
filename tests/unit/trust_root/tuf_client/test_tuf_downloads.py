"""Targets: their bytes, their places, and the cache; the fetchers for folders and the web; the thin wrapper."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from bundler import limits
from bundler.cli.trust_sources import TrustSource, open_source
from bundler.errors import EnvError, SealiftError, TrustError, UsageError
from bundler.network.access import Access
from bundler.network.trust_files import TrustFiles
from tests.simulators.tuf_general import LATER, NOW, Client, GeneralRepository, served
from trust_root.fetch import below, directory_fetch, path_parts
from trust_root.tuf_client.walk import refresh

QUICK = Access(connect_seconds=5, stall_seconds=5, document_seconds=5, retries=1, backoff_seconds=0.01)
SCRIPT = Path(__file__).resolve().parents[4] / "scripts" / "tuf_conformance_client.py"


def with_target(path: str = "a/tool.txt", content: bytes = b"content", **settings: Any) -> GeneralRepository:
    repository = GeneralRepository(**settings)
    repository.add_target(path, content)
    repository.targets.version = 2
    repository.publish(bump=True)
    return repository


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize("path", ["tool", "a/b/c/tool.txt", "with space", "é.txt", "a%20b", "x?y#z", ".hidden"])
def test_targets_at_their_paths(path: str, consistent: bool) -> None:
    assert Client(with_target(path, consistent=consistent)).download(path) == b"content"


@pytest.mark.parametrize("content", [b"", b"contenT", b"conten"])
def test_other_bytes_are_refused(content: bytes) -> None:
    repository = with_target()
    (name,) = (name for name in repository.files if name.startswith("targets/"))
    repository.files[name] = content
    assert Client(repository).download("a/tool.txt") == "target-hash"


def test_a_listed_target_that_is_absent() -> None:
    repository = with_target()
    (name,) = (name for name in repository.files if name.startswith("targets/"))
    del repository.files[name]
    assert Client(repository).download("a/tool.txt") == "target-absent"
    assert Client(repository).download("a/other.txt") == "target-absent"


def test_a_target_may_stand_under_any_of_its_hashes() -> None:
    repository = with_target()
    target = repository.targets.targets["a/tool.txt"]
    target.hashes = {"sha512": "00" * 64, **target.hashes}
    repository.publish(bump=True)
    assert Client(repository).download("a/tool.txt") == "target-hash"
    target.hashes = {"sha256": target.hashes["sha256"], "sha384": "00" * 48}
    repository.publish(bump=True)
    assert Client(repository).download("a/tool.txt") == "target-hash"


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha-256", "SHA256", "unknown"])
def test_a_hash_that_we_do_not_know_is_no_proof(algorithm: str) -> None:
    repository = with_target()
    target = repository.targets.targets["a/tool.txt"]
    target.hashes = {**target.hashes, algorithm: "00"}
    repository.publish(bump=True)
    assert Client(repository).download("a/tool.txt") == "hash-algorithm"


def test_a_target_that_is_too_large_is_not_asked_for() -> None:
    repository = with_target()
    repository.targets.targets["a/tool.txt"].length = limits.TUF_TARGET_BYTES + 1
    repository.publish(bump=True)
    assert Client(repository).download("a/tool.txt") == "limits"
    assert not [asked for asked in repository.asked if asked.startswith("targets/")]


def test_a_target_path_that_leads_out_is_refused(tmp_path: Path) -> None:
    repository = with_target("../../secret", consistent=False)
    walk = refresh(repository.pin, repository, NOW)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"content")
    with pytest.raises(TrustError) as caught:
        walk.download(walk.find_target("../../secret"), directory_fetch(inner))
    assert caught.value.code == "fetch-path"


# -- folders --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\0b", "a\\..\\b"])
def test_paths_that_lead_elsewhere(path: str, tmp_path: Path) -> None:
    with pytest.raises(TrustError) as caught:
        path_parts(path)
    assert caught.value.code == "fetch-path"
    with pytest.raises(TrustError):
        directory_fetch(tmp_path)(path, 10)


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.json").write_bytes(b"12345")
    fetch = directory_fetch(tmp_path)
    assert fetch("a/x.json", 5) == b"12345"
    assert below(fetch, "a")("x.json", 5) == b"12345"
    assert fetch("a/y.json", 5) is None
    assert fetch("b/x.json", 5) is None
    with pytest.raises(EnvError) as caught:
        fetch("a/x.json", 4)
    assert caught.value.code == "file-size"
    with pytest.raises(EnvError) as caught:
        fetch("a", 4)
    assert caught.value.code == "file-kind"
    with pytest.raises(EnvError) as caught:
        fetch("a/x.json/z", 4)
    assert caught.value.code == "disk"
    with pytest.raises(EnvError) as caught:
        directory_fetch(tmp_path / "none")
    assert caught.value.code == "file-absent"


def write(repository: GeneralRepository, folder: Path, *, metadata: str = "metadata") -> None:
    for name, raw in repository.files.items():
        place = folder / name if name.startswith("targets/") else folder / metadata / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(raw)


@pytest.mark.parametrize("metadata", ["metadata", "."])
def test_a_copy_in_a_folder(tmp_path: Path, metadata: str) -> None:
    repository = with_target()
    write(repository, tmp_path, metadata=metadata)
    with open_source(str(tmp_path)) as source:
        walk = refresh(repository.pin, source.metadata, NOW)
        assert walk.download(walk.find_target("a/tool.txt"), source.targets) == b"content"


@pytest.mark.parametrize("web", [True, False])
@pytest.mark.parametrize(
    ("name", "code"),
    [("targets/*.tool.txt", "target-hash"), ("1.targets.json", "metadata-hash"), ("1.snapshot.json", "metadata-hash")],
)
def test_more_bytes_than_signed_are_no_mishap_of_the_network(name: str, code: str, web: bool, tmp_path: Path) -> None:
    """Exit 4 as for any other byte, not 6: somebody has changed the file."""
    repository = GeneralRepository(with_hashes=True)
    repository.add_target("tool.txt", b"content")
    repository.publish()
    (path,) = [path for path in repository.files if fnmatch(path, name)]
    repository.files[path] += b"  more"
    write(repository, tmp_path)
    with ExitStack() as stack:
        place = stack.enter_context(served(repository)) if web else str(tmp_path)
        source = stack.enter_context(open_source(place, access=QUICK))
        with pytest.raises(TrustError) as caught:
            fetched(repository.pin, source)
    assert caught.value.code == code


def fetched(pin: bytes, source: TrustSource) -> bytes:
    walk = refresh(pin, source.metadata, NOW)
    return walk.download(walk.find_target("tool.txt"), source.targets)


@pytest.mark.parametrize("decoded", [True, False])
@pytest.mark.parametrize("name", ["a b", "é", "a/b", "a%2fb", "a+b"])
def test_roles_in_a_folder_under_their_names_or_encoded(name: str, decoded: bool, tmp_path: Path) -> None:
    repository = with_target()
    repository.delegate("targets", name)
    repository.add_target("x y", b"x", name)
    repository.targets.version = 3
    repository.publish(bump=True)
    for path, raw in repository.files.items():
        place = tmp_path / (unquote(path) if decoded else path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(raw)
    with open_source(str(tmp_path)) as source:
        walk = refresh(repository.pin, source.metadata, NOW)
        assert walk.download(walk.find_target("x y"), source.targets) == b"x"


@pytest.mark.parametrize("path", ["..%2fsecret", "%2e%2e/secret", "%2fetc%2fpasswd", "a%5c..%5csecret", "%00"])
def test_what_is_decoded_leads_nowhere_else(path: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "inner").mkdir()
    assert directory_fetch(tmp_path / "inner")(path, 100) is None


def test_what_is_no_source(tmp_path: Path) -> None:
    for place in (str(tmp_path / "none"), "ftp://example.org/"):
        with pytest.raises(UsageError) as caught, open_source(place):
            pass
        assert caught.value.code == "source"


# -- the web --------------------------------------------------------------------------


@pytest.fixture
def files() -> Iterator[TrustFiles]:
    made = TrustFiles(QUICK, {})
    yield made
    made.close()


@pytest.mark.parametrize("path", ["a/tool.txt", "with space/é?.txt", "a%20b"])
def test_a_repository_on_the_web(path: str) -> None:
    repository = with_target(path)
    repository.delegate("targets", "../é?", ("no/*",))
    repository.targets.version = 3
    repository.publish(bump=True)
    with served(repository) as url, open_source(url, access=QUICK) as source:
        walk = refresh(repository.pin, source.metadata, NOW)
        assert walk.download(walk.find_target(path), source.targets) == b"content"
        with pytest.raises(TrustError) as caught:
            walk.find_target("no/such")
        assert caught.value.code == "target-absent"


def test_targets_in_another_place(tmp_path: Path) -> None:
    repository = with_target()
    write(repository, tmp_path)
    with served(repository) as url, open_source(str(tmp_path), targets=f"{url}/targets/", access=QUICK) as source:
        walk = refresh(repository.pin, source.metadata, NOW)
        assert walk.download(walk.find_target("a/tool.txt"), source.targets) == b"content"


@pytest.mark.parametrize("status", [403, 404])
def test_absent_on_the_web(status: int, files: TrustFiles) -> None:
    repository = GeneralRepository()
    with served(repository, {"2.root.json": status}) as url:
        assert files.fetch(f"{url}/metadata/2.root.json", 100) is None


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "trust-answer"),
        (401, "trust-answer"),
        (410, "trust-answer"),
        (204, "trust-answer"),
        (302, "trust-answer"),
        (429, "trust-unreachable"),
        (500, "trust-unreachable"),
        (503, "trust-unreachable"),
    ],
)
def test_an_outage_is_no_absence(status: int, code: str) -> None:
    """Else whoever breaks the line could keep a site from learning that a root was rotated."""
    repository = GeneralRepository()
    with (
        served(repository, {"2.root.json": status}) as url,
        open_source(url, access=QUICK) as source,
        pytest.raises(EnvError) as caught,
    ):
        refresh(repository.pin, source.metadata, NOW)
    assert caught.value.code == code


def test_nobody_there(files: TrustFiles) -> None:
    with served(GeneralRepository()) as url:
        pass
    with pytest.raises(EnvError) as caught:
        files.fetch(f"{url}/2.root.json", 100)
    assert caught.value.code == "trust-unreachable"


def test_more_bytes_than_allowed(files: TrustFiles) -> None:
    repository = GeneralRepository()
    with served(repository) as url:
        assert files.fetch(f"{url}/metadata/1.root.json", len(repository.pin)) == repository.pin
        with pytest.raises(EnvError) as caught:
            files.fetch(f"{url}/metadata/1.root.json", len(repository.pin) - 1)
    assert caught.value.code == "trust-answer"


@pytest.mark.parametrize("url", ["nonsense", "ftp://x/y", "http://user@host/x", "http://h/a b"])
def test_addresses_that_are_none(url: str, files: TrustFiles) -> None:
    with pytest.raises(SealiftError) as caught:
        files.fetch(url, 100)
    assert caught.value.code == "trust-answer"


# -- the thin wrapper -----------------------------------------------------------------


class Wrapper:
    """The script, run as the official suite runs it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.metadata, self.targets, self.url = folder / "metadata", folder / "targets", url

    def run(self, *arguments: str) -> int:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), "--metadata-dir", str(self.metadata), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == 0 or done.stderr.startswith("tuf_conformance_client: ")
        return done.returncode

    def init(self, repository: GeneralRepository) -> int:
        root = self.metadata.parent / "trusted.json"
        root.write_bytes(repository.pin)
        return self.run("init", str(root))

    def refresh(self) -> int:
        return self.run("--metadata-url", f"{self.url}/metadata/", "refresh")

    def download(self, *names: str) -> int:
        named = [part for name in names for part in ("--target-name", name)]
        places = ["--target-dir", str(self.targets), "--target-base-url", f"{self.url}/targets/"]
        return self.run("--metadata-url", f"{self.url}/metadata/", *named, *places, "download")

    def kept(self) -> set[str]:
        return {path.name for path in self.metadata.iterdir()}


@pytest.fixture
def alive() -> GeneralRepository:
    """A repository that lives by the real clock."""
    repository = GeneralRepository()
    for body in (repository.root, repository.timestamp, repository.snapshot, repository.targets):
        body.expires = LATER.replace(year=2199)
    repository.publish_root()
    repository.delegate("targets", "../é", ("a/*",))
    repository.delegates["../é"].expires = LATER.replace(year=2199)
    repository.add_target("a/x", b"delegated", "../é")
    repository.add_target("top", b"top")
    repository.publish()
    return repository


def test_the_wrapper_from_start_to_end(alive: GeneralRepository, tmp_path: Path) -> None:
    with served(alive) as url:
        wrapper = Wrapper(tmp_path, url)
        assert wrapper.init(alive) == 0
        assert wrapper.kept() == {"root.json"}
        assert alive.asked == []
        assert wrapper.refresh() == 0
        assert alive.asked == ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
        assert wrapper.kept() == {"root.json", "timestamp.json", "snapshot.json", "targets.json"}
        assert wrapper.download("a/x", "top") == 0
        assert wrapper.kept() >= {"..%2F%C3%A9.json"}
        assert {path.name: path.read_bytes() for path in wrapper.targets.iterdir()} == {
            "a%2Fx": b"delegated",
            "top": b"top",
        }
        alive.asked.clear()
        (wrapper.targets / "top").write_bytes(b"pot")
        assert wrapper.download("a/x", "top") == 0
        assert (wrapper.targets / "top").read_bytes() == b"top"
        assert [name for name in alive.asked if "targets/" in name] == [
            name for name in alive.files if name.startswith("targets/") and name.endswith(".top")
        ]


def test_the_wrapper_fails_with_one_and_keeps_what_held(alive: GeneralRepository, tmp_path: Path) -> None:
    with served(alive) as url:
        wrapper = Wrapper(tmp_path, url)
        assert wrapper.refresh() == 1  # before init
        assert wrapper.init(alive) == 0
        assert wrapper.download("none") == 1
        assert wrapper.kept() == {
            "root.json",
            "timestamp.json",
            "snapshot.json",
            "targets.json",
            "..%2F%C3%A9.json",
        } - {"..%2F%C3%A9.json"}
        alive.targets.version = 2
        alive.signers["targets"] = alive.signers["root"]
        alive.publish(bump=True)
        assert wrapper.refresh() == 1
        assert (wrapper.metadata / "snapshot.json").read_bytes() == alive.files["2.snapshot.json"]
        assert (wrapper.metadata / "targets.json").read_bytes() == alive.files["1.targets.json"]
    assert wrapper.refresh() == 1  # nobody there
    assert wrapper.run("init", str(tmp_path / "absent.json")) == 1
    assert wrapper.run("no-such-command") == 1
    assert wrapper.run() == 1


@pytest.mark.parametrize(("shift", "result"), [("+0", 0), ("+180y", 1)])
def test_the_wrapper_goes_by_the_processs_clock(
    alive: GeneralRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: str, result: int
) -> None:
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not libraries:
        pytest.skip("libfaketime is absent")
    with served(alive) as url:
        wrapper = Wrapper(tmp_path, url)
        wrapper.init(alive)
        monkeypatch.setenv("LD_PRELOAD", str(libraries[0]))
        monkeypatch.setenv("FAKETIME", shift)
        monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        assert wrapper.refresh() == result
