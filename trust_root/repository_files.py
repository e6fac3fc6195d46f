"""The files of a trust repository: which there are, in which order they are written, which are no longer called for.

Rules of this module:
- What is read here is not verified yet: metadata only says which file to read next. The caller verifies it.
- New files are written under new names, then the roots, and `timestamp.json` is replaced last: the moment at which a
  change counts. Killed before it, the old state stands, perhaps with a newer root that nothing leads to yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bundler import limits
from bundler.errors import EnvError, UsageError
from bundler.safe_file import read_bounded, remove, remove_temporaries, write_atomically
from trust_root.metadata import parse_snapshot, parse_targets, parse_timestamp
from trust_root.roles import TIMESTAMP
from trust_root.root_chain import RootChain

METADATA, TARGET_FILES = "metadata", "targets"
PROPOSAL = "proposal.json"  # see proposal.py; no part of what is in place
TIMESTAMP_FILE = f"{METADATA}/{TIMESTAMP}.json"
_ROOT = re.compile(rf"{METADATA}/[1-9][0-9]*\.root\.json", re.ASCII)
_OURS = re.compile(r"[1-9][0-9]*\.[a-z0-9-]+\.json", re.ASCII)
_CONTENT = re.compile(r"[a-f0-9]{64}", re.ASCII)


def check_repository(folder: Path) -> None:
    """Refuse a folder that holds no repository, or one that is not founded yet.

    Raises:
        UsageError: code ``no-repository``.
    """
    if not (folder / TIMESTAMP_FILE).is_file():
        raise UsageError(
            "no-repository",
            "trust repository",
            str(folder),
            got="no metadata/timestamp.json",
            want="a trust repository",
            hints=[
                "sealift trust init REPO --keys DIR --stream NAME",
                "if its first version still waits for signatures: sealift trust sign REPO",
            ],
        )


def assemble(chain: RootChain, metadata: Mapping[str, bytes], targets: Mapping[str, bytes]) -> dict[str, bytes]:
    """Everything of a repository, by name, in the order of a bundle: roots, metadata, targets."""
    roots = {f"{METADATA}/{version}.root.json": raw for version, raw in enumerate(chain.roots, 1)}
    return {**roots, **metadata, **{name: targets[name] for name in sorted(targets)}}


def read_roots(folder: Path) -> Iterator[bytes]:
    """Roots from version 1 on, as long as there are some."""
    for version in range(1, limits.ROOTS + 2):
        path = folder / METADATA / f"{version}.root.json"
        if not path.exists():
            return
        yield read_bounded(path, limits.TRUST_METADATA_BYTES, "trust metadata")


def read_files(folder: Path, roots: Sequence[bytes]) -> tuple[dict[str, bytes], int]:
    """The files that `timestamp.json` leads to, and the version of the root that its snapshot names.

    Roots beyond that version are left out: they were put in place by a run that was killed before its end.
    """

    def read(name: str, max_bytes: int = limits.TRUST_METADATA_BYTES) -> bytes:
        return read_bounded(folder / name, max_bytes, "trust metadata")

    timestamp = read(TIMESTAMP_FILE)
    snapshot_name = f"{METADATA}/{parse_timestamp(timestamp).signed.snapshot_meta.version}.snapshot.json"
    snapshot = read(snapshot_name)
    meta = parse_snapshot(snapshot).signed.meta
    root_version = meta["root.json"].version
    files = {f"{METADATA}/{version}.root.json": raw for version, raw in enumerate(roots[:root_version], 1)}
    files |= {TIMESTAMP_FILE: timestamp, snapshot_name: snapshot}
    targets_name = f"{METADATA}/{meta['targets.json'].version}.targets.json"
    for name in sorted((name for name in meta if name != "root.json"), key=lambda name: name != "targets.json"):
        files[f"{METADATA}/{meta[name].version}.{name}"] = read(f"{METADATA}/{meta[name].version}.{name}")
    listed = {target.hashes["sha256"] for target in parse_targets(files[targets_name]).signed.targets.values()}
    for hexadecimal in sorted(listed):
        name = f"{TARGET_FILES}/{hexadecimal}"
        files[name] = read(name, limits.TRUST_TARGET_BYTES)
    return files, root_version


def install(folder: Path, standing: Mapping[str, bytes], files: Mapping[str, bytes]) -> None:
    """Write what is not standing already, in the order that never leaves half a state."""
    for name in (METADATA, TARGET_FILES):
        (folder / name).mkdir(exist_ok=True)
    plain = [name for name in files if name != TIMESTAMP_FILE and not _ROOT.fullmatch(name)]
    for name in (*plain, *filter(_ROOT.fullmatch, files), TIMESTAMP_FILE):
        if standing.get(name) != files[name]:
            write_atomically(folder / name, files[name], what="trust repository")


def clear_leftovers(folder: Path) -> None:
    """Remove what killed runs have left, before anything else is changed; the caller holds the repository's lock.

    Raises:
        EnvError: one of its folders is a link (``file-kind``), or the disk.
    """
    for path in (folder / METADATA, folder / TARGET_FILES):
        if path.is_symlink():
            raise EnvError("file-kind", "trust repository", str(path), got="a link", want="a folder of its own")
    for name in ("", METADATA, TARGET_FILES):
        remove_temporaries(folder / name)


def prune(folder: Path, files: Mapping[str, bytes]) -> None:
    """Remove what is no longer called for; roots stay, and so does whatever is not ours."""
    for part, grammar in ((METADATA, _OURS), (TARGET_FILES, _CONTENT)):
        for path in sorted((folder / part).iterdir()):
            name = f"{part}/{path.name}"
            if grammar.fullmatch(path.name) and name not in files and not _ROOT.fullmatch(name):
                remove(path)
