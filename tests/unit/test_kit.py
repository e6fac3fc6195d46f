"""The installation kit: whole for every Python, the same bytes each time, installed and used without a network."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.utils import parse_wheel_filename

from bundler.version import FORMAT_VERSION, VERSION
from scripts import make_kit
from scripts.make_kit import PYTHONS, KitError, Pin, Wheel, gaps, parse_lock
from tests.delivered import deliver

NAME = f"sealift-{VERSION}-kit"


@pytest.fixture(scope="module")
def kit(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kit, made here, once for all test processes; the downloaded wheels are kept for the next run."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "kit"
    (root / "build").mkdir(exist_ok=True)
    with (root / "build" / "kit.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return next(folder.iterdir())
        try:
            made = make_kit.make_kit(tmp_path_factory.mktemp("dist"))
        except make_kit.DownloadError as error:
            pytest.skip(f"the package client brought nothing: {error}")
        folder.mkdir()
        return made.rename(folder / made.name)


@pytest.fixture
def unpacked(kit: Path, tmp_path: Path) -> Path:
    """The kit's folder, as tar lays it out."""
    subprocess.run(["tar", "-xf", kit, "-C", tmp_path], check=True)
    return tmp_path / NAME


@pytest.fixture(scope="session")
def offline() -> list[str]:
    """The words before a command that take its network away."""
    for words in (["unshare", "-n"], ["unshare", "-rn"]):
        try:
            if subprocess.run([*words, "true"], check=False, capture_output=True).returncode == 0:
                return words
        except FileNotFoundError:
            break
    pytest.skip("unshare may not make a network namespace here")


@pytest.fixture(scope="module")
def installed(kit: Path, offline: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which install.sh put the kit, without a network and with a space in its name."""
    folder = tmp_path_factory.mktemp("far side")
    subprocess.run(["tar", "-xf", kit, "-C", folder], check=True)
    target = folder / "the tool"
    result = install(folder / NAME, target, before=offline)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == f"sealift {VERSION}"
    return target


def install(
    folder: Path, target: Path | str, *, before: list[str] | None = None, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Run install.sh from another folder, with hostile pip settings around it."""
    environment = {"PATH": os.environ["PATH"], "PYTHON": python, "PIP_NO_INDEX": "0", "PIP_REQUIRE_VIRTUALENV": "1"}
    command = [*(before or []), "sh", str(folder / "install.sh"), str(target)]
    return subprocess.run(command, cwd=folder.parent, env=environment, check=False, capture_output=True, text=True)


def members(kit: Path) -> dict[str, bytes]:
    with tarfile.open(kit) as archive:
        found = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name: source.read() for name, source in found.items() if source}


def wheels_of(kit: Path) -> list[Wheel]:
    return [Wheel(Path(name).name, raw) for name, raw in members(kit).items() if name.endswith(".whl")]


def test_the_kit_lists_each_of_its_files(kit: Path) -> None:
    files = members(kit)
    sums = files.pop(f"{NAME}/SHA256SUMS").decode()
    assert sums.splitlines() == [
        f"{hashlib.sha256(raw).hexdigest()}  {name.removeprefix(f'{NAME}/')}" for name, raw in sorted(files.items())
    ]


def test_the_kit_is_whole_for_every_python(root: Path, kit: Path) -> None:
    pins = parse_lock((root / "requirements" / "runtime.txt").read_text())
    own = parse_lock(members(kit)[f"{NAME}/requirements.txt"].decode())
    assert {pin.name for pin in own} == {pin.name for pin in pins} | {"sealift"}
    assert list(gaps(own, wheels_of(kit))) == []
    locked = {pin.name: pin for pin in pins}
    assert all(pin.name == "sealift" or pin.hashes < locked[pin.name].hashes for pin in own)


def test_every_wheel_serves_some_python(kit: Path) -> None:
    assert [wheel.filename for wheel in wheels_of(kit) if not any(wheel.fits(python) for python in PYTHONS)] == []


def test_a_missing_wheel_is_seen(kit: Path) -> None:
    pins = parse_lock(members(kit)[f"{NAME}/requirements.txt"].decode())
    wheels = wheels_of(kit)
    for wheel in wheels:
        others = [other for other in wheels if other is not wheel]
        assert any(wheel.name in line for line in gaps(pins, others)), wheel.filename


def test_a_missing_or_unfit_pin_is_seen(kit: Path) -> None:
    pins = parse_lock(members(kit)[f"{NAME}/requirements.txt"].decode())
    wheels = wheels_of(kit)
    without = [pin for pin in pins if pin.name != "cffi"]
    assert any("cryptography needs cffi" in line for line in gaps(without, wheels))
    older = [dataclasses.replace(pin, version="0.1") if pin.name == "urllib3" else pin for pin in pins]
    assert any("tuf needs urllib3" in line for line in gaps(older, wheels))


def test_the_kit_is_reproducible(kit: Path, tmp_path: Path) -> None:
    assert make_kit.make_kit(tmp_path).read_bytes() == kit.read_bytes()


def test_our_wheel_holds_both_packages_and_their_documents(kit: Path, root: Path) -> None:
    (own,) = [wheel for wheel in wheels_of(kit) if wheel.name == "sealift"]
    with zipfile.ZipFile(io.BytesIO(own.raw)) as archive:
        names = set(archive.namelist())
    sources = [path for package in ("bundler", "trust_root") for path in (root / package).rglob("*")]
    wanted = {str(path.relative_to(root)) for path in sources if path.suffix in {".py", ".md", ".html", ".css", ".js"}}
    wanted = {name for name in wanted if "/decisions/" not in name}
    assert wanted - names == set()
    assert {name.partition("/")[0] for name in names} == {"bundler", "trust_root", f"sealift-{VERSION}.dist-info"}
    assert parse_wheel_filename(own.filename)[1].public == VERSION


def test_the_tool_runs_without_a_network(installed: Path, offline: list[str]) -> None:
    result = subprocess.run([*offline, installed / "bin" / "sealift", "--version"], check=True, capture_output=True)
    assert result.stdout.decode().splitlines() == [f"sealift {VERSION}", f"bundle format {FORMAT_VERSION}"]


def test_a_bundle_verifies_without_a_network(installed: Path, offline: list[str], tmp_path: Path) -> None:
    made = deliver(tmp_path)
    environment = {"PATH": "/usr/bin:/bin", "SEALIFT_STATE": str(made.state)}
    page = tmp_path / "report.html"
    command = [*offline, installed / "bin" / "sealift", "verify", made.bundle, "--policy", made.policy, "--html", page]
    result = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert (result.returncode, result.stdout.partition(":")[0]) == (0, "VERIFIED"), result.stdout + result.stderr
    assert "<span>Verified</span></h1>" in page.read_text(encoding="utf-8")
    raw = bytearray(made.bundle.read_bytes())
    raw[-5000] ^= 1
    made.bundle.write_bytes(raw)
    assert subprocess.run(command, env=environment, check=False, capture_output=True).returncode == 3


@pytest.mark.parametrize("victim", ["install.sh", "requirements.txt", "wheels/click", "wheels/sealift"])
def test_a_damaged_kit_is_refused(unpacked: Path, tmp_path: Path, victim: str) -> None:
    (path,) = unpacked.glob(f"{victim}*")
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    result = install(unpacked, tmp_path / "t")
    assert (result.returncode, "the kit is damaged" in result.stderr) == (3, True)
    assert not (tmp_path / "t").exists()


def test_a_kit_without_a_wheel_is_refused(unpacked: Path, tmp_path: Path) -> None:
    next(unpacked.glob("wheels/tuf*")).unlink()
    assert install(unpacked, tmp_path / "t").returncode == 3


def test_a_swapped_wheel_is_refused_by_its_hash_in_requirements(unpacked: Path, tmp_path: Path) -> None:
    (path,) = unpacked.glob("wheels/mdurl*")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("mdurl/extra.py", "")
    sums = (line for line in (unpacked / "SHA256SUMS").read_text().splitlines() if path.name not in line)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (unpacked / "SHA256SUMS").write_text("\n".join([*sums, f"{digest}  wheels/{path.name}", ""]))
    result = install(unpacked, tmp_path / "t")
    assert (result.returncode, "DO NOT MATCH THE HASHES" in result.stderr) == (6, True)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ('*"print(p.system"*) echo Linux aarch64 CPython;;', "this is Linux aarch64 CPython"),
        ('*version_info*) exit 1;; -V) echo Python 3.10.1;; *) echo "Linux x86_64 CPython";;', "is Python 3.10.1"),
        ('*libc_ver*) exit 1;; *) echo "Linux x86_64 CPython";;', "is not glibc"),
        ('*ensurepip*) exit 1;; *) echo "Linux x86_64 CPython";;', "no ensurepip"),
    ],
)
def test_a_machine_that_does_not_fit_is_named(unpacked: Path, tmp_path: Path, answers: str, message: str) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$2$1" in {answers.replace("print(p.system", "p.system")} esac\n')
    python.chmod(0o755)
    result = install(unpacked, tmp_path / "t", python=str(python))
    assert (result.returncode, message in result.stderr) == (6, True), result.stderr
    assert not (tmp_path / "t").exists()


def test_no_python_at_all_is_named(unpacked: Path, tmp_path: Path) -> None:
    result = install(unpacked, tmp_path / "t", python="python-that-is-not-there")
    assert (result.returncode, "no program python-that-is-not-there" in result.stderr) == (6, True)


def test_an_existing_folder_is_left_alone(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "mine").touch()
    result = install(unpacked, tmp_path / "t")
    assert (result.returncode, "exists" in result.stderr, (tmp_path / "t" / "mine").exists()) == (2, True, True)
    assert install(unpacked, "").returncode == 2


@pytest.mark.parametrize("line", ["click", "click==8", "click>=8 --hash=sha256:" + "0" * 64, "-r other.txt"])
def test_a_lock_file_holds_pins_only(line: str) -> None:
    with pytest.raises(KitError):
        parse_lock(f"# comment\n{line}\n")


def test_lock_files_name_no_place(root: Path) -> None:
    for path in sorted((root / "requirements").glob("*.txt")):
        text = path.read_text()
        assert "://" not in text
        assert "--index" not in text
        assert "--find-links" not in text
        assert all(isinstance(pin, Pin) and pin.hashes for pin in parse_lock(text))
