"""The installation kit for a site without a network: `make kit` writes dist/sealift-<version>-kit.tar.

Rules:
- Everything that a machine with CPython 3.11 to 3.14 on Linux x86-64 (glibc) needs: our own wheel and the wheels of all
  locked runtime dependencies. Whether the set is whole is computed for each Python, from the wheels' own metadata.
- A dependency's wheel gets in only if the lock file has its hash.
- The same source and lock give the same bytes: members sorted, times and owners fixed.
- Downloads are the package client's work; what it brought is kept under build/kit/, one folder for each lock.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import BytesParser
from pathlib import Path

from packaging import tags
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "runtime.txt"
PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
# What any glibc of the last years can load; glibc 2.28 is from 2018.
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64")
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "bundler", "trust_root")
EPOCH = 315532800  # 1980-01-01: the oldest time that a zip file can hold
EXIT_ENVIRONMENT = 6


class KitError(Exception):
    """The kit cannot be made as it should be."""


class DownloadError(KitError):
    """The package client brought nothing: no network, most likely."""


@dataclass(frozen=True)
class Pin:
    """One locked package: its normalised name, version and the hashes that are accepted."""

    name: str
    version: str
    hashes: frozenset[str]


@dataclass(frozen=True)
class Wheel:
    """One wheel file."""

    filename: str
    raw: bytes

    @property
    def sha256(self) -> str:
        """Hash of the file, hexadecimal."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def name(self) -> str:
        """Normalised project name."""
        return parse_wheel_filename(self.filename)[0]

    @property
    def version(self) -> str:
        """Version as text."""
        return str(parse_wheel_filename(self.filename)[1])

    def requirements(self) -> list[Requirement]:
        """What the wheel itself says that it needs."""
        with zipfile.ZipFile(io.BytesIO(self.raw)) as archive:
            member = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
            metadata = BytesParser().parsebytes(archive.read(member))
        return [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]

    def fits(self, python: tuple[int, int]) -> bool:
        """Whether this Python on our platform can install the wheel."""
        return not parse_wheel_filename(self.filename)[3].isdisjoint(accepted_tags(python))


def accepted_tags(python: tuple[int, int]) -> set[tags.Tag]:
    """Wheel tags that CPython on Linux x86-64 with glibc 2.28 installs."""
    platforms = [*PLATFORMS, "linux_x86_64"]
    return {*tags.cpython_tags(python, platforms=platforms), *tags.compatible_tags(python, platforms=platforms)}


def parse_lock(text: str) -> list[Pin]:
    """The pins of a lock file; anything that is neither a pin nor a comment is refused."""
    pins = []
    for entry in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        line = entry.partition("#")[0].strip()
        if not line:
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;]+)((?: --hash=sha256:[0-9a-f]{64})+)", line)
        if match is None:
            raise KitError(f"lock file: {line[:80]!r}, expected a pin with hashes")
        pins.append(Pin(canonicalize_name(match[1]), match[2], frozenset(re.findall(r"[0-9a-f]{64}", match[3]))))
    return pins


def gaps(pins: list[Pin], wheels: list[Wheel]) -> Iterator[str]:
    """What keeps the set from being whole on one of the Pythons, a line each."""
    locked = {pin.name: pin for pin in pins}
    for python in PYTHONS:
        label = f"CPython {python[0]}.{python[1]}"
        installable = {wheel.name: wheel for wheel in wheels if wheel.fits(python)}
        for pin in pins:
            if pin.name not in installable:
                yield f"{label}: no wheel for {pin.name} {pin.version}"
        for wheel in installable.values():
            for need in wheel.requirements():
                pin = locked.get(canonicalize_name(need.name))
                if not applies(need, python):
                    continue
                if pin is None or not need.specifier.contains(pin.version, prereleases=True):
                    yield f"{label}: {wheel.name} needs {need}, the lock has {pin.version if pin else 'none'}"


def applies(need: Requirement, python: tuple[int, int]) -> bool:
    """Whether a requirement counts on this Python, without extras."""
    version = f"{python[0]}.{python[1]}"
    environment = {"python_version": version, "python_full_version": f"{version}.0", "extra": ""}
    return need.marker is None or need.marker.evaluate(environment)


def dependency_wheels(pins: list[Pin], store: Path) -> list[Wheel]:
    """The locked wheels, from the store if it is whole, else downloaded into it."""
    wheels = stored_wheels(pins, store)
    if next(gaps(pins, wheels), None) is not None:
        store.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store.parent) as folder:
            for python in PYTHONS:
                download(python, Path(folder))
            store.mkdir(exist_ok=True)
            for path in Path(folder).iterdir():
                path.replace(store / path.name)
        wheels = stored_wheels(pins, store)
    return wheels


def stored_wheels(pins: list[Pin], store: Path) -> list[Wheel]:
    """Wheels in the store whose hash the lock file has; others do not count."""
    accepted = {digest for pin in pins for digest in pin.hashes}
    found = [Wheel(path.name, path.read_bytes()) for path in sorted(store.glob("*.whl"))]
    return [wheel for wheel in found if wheel.sha256 in accepted]


def download(python: tuple[int, int], folder: Path) -> None:
    """Let pip fetch the wheels for one Python, with the hashes of the lock."""
    command = [sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check", "download"]
    command += ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", str(LOCK)]
    command += ["--implementation", "cp", "--python-version", f"{python[0]}.{python[1]}", "--dest", str(folder)]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
        raise DownloadError(f"pip could not download the wheels for Python {python[0]}.{python[1]}")


def build_own_wheel() -> Wheel:
    """Our own wheel, built from a clean copy with fixed modes and times, so that it is the same everywhere."""
    with tempfile.TemporaryDirectory() as folder:
        copy, out = Path(folder) / "source", Path(folder) / "out"
        copy.mkdir()
        out.mkdir()
        for name in SOURCES:
            copy_source(ROOT / name, copy / name)
        for path in copy.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        code = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), "PYTHONHASHSEED": "0"}
        built = subprocess.run(
            [sys.executable, "-c", f"import os; os.umask(0o022); {code}", str(out)],
            cwd=copy,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if built.returncode:
            raise KitError(f"our own wheel could not be built:\n{built.stderr[-2000:]}")
        (path,) = out.glob("*.whl")
        return Wheel(path.name, path.read_bytes())


def copy_source(source: Path, target: Path) -> None:
    """Copy a file, or a folder without what running it left behind."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))
    else:
        shutil.copyfile(source, target)


def format_requirements(wheels: list[Wheel]) -> str:
    """A requirements file that pins exactly these wheels."""
    pins: dict[str, list[str]] = {}
    for wheel in sorted(wheels, key=lambda wheel: (wheel.name, wheel.sha256)):
        pins.setdefault(f"{wheel.name}=={wheel.version}", []).append(f"--hash=sha256:{wheel.sha256}")
    return "".join(" \\\n    ".join([pin, *hashes]) + "\n" for pin, hashes in pins.items())


def kit_files(wheels: list[Wheel]) -> dict[str, bytes]:
    """Every file of the kit below its top folder, SHA256SUMS last."""
    files = {f"wheels/{wheel.filename}": wheel.raw for wheel in wheels}
    files["requirements.txt"] = format_requirements(wheels).encode()
    files["install.sh"] = (ROOT / "scripts" / "kit" / "install.sh").read_bytes()
    files["README.txt"] = (ROOT / "scripts" / "kit" / "README.txt").read_bytes()
    files["LICENSE"] = (ROOT / "LICENSE").read_bytes()
    sums = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return {**dict(sorted(files.items())), "SHA256SUMS": "".join(sums).encode()}


def write_kit(target: Path, folder: str, files: dict[str, bytes]) -> None:
    """One tar file that depends on nothing but the files: ustar, with pax headers for names of over 100 characters."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.tmp")
    with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, raw in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mtime = len(raw), EPOCH
            member.mode = 0o755 if name.endswith(".sh") else 0o644
            archive.addfile(member, io.BytesIO(raw))
    temporary.replace(target)


def make_kit(folder: Path) -> Path:
    """Make the kit in `folder` and return its path.

    Raises:
        DownloadError: the package client failed.
        KitError: the set of wheels is not whole, or our own wheel could not be built.
    """
    lock = LOCK.read_text(encoding="utf-8")
    pins = parse_lock(lock)
    own = build_own_wheel()
    store = ROOT / "build" / "kit" / hashlib.sha256(lock.encode()).hexdigest()[:16]
    wheels = [own, *dependency_wheels(pins, store)]
    missing = list(gaps([*pins, Pin(own.name, own.version, frozenset([own.sha256]))], wheels))
    if missing:
        raise KitError("\n".join(missing))
    name = f"sealift-{own.version}-kit"
    target = folder / f"{name}.tar"
    write_kit(target, name, kit_files(wheels))
    return target


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Make the installation kit.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder for the kit (default: dist)")
    try:
        target = make_kit(parser.parse_args().output)
    except KitError as error:
        print(f"make_kit: {error}", file=sys.stderr)
        sys.exit(EXIT_ENVIRONMENT)
    print(f"{hashlib.sha256(target.read_bytes()).hexdigest()}  {target}")


if __name__ == "__main__":
    main()
