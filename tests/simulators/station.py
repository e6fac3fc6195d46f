"""The whole way on the command line: an exporter with its trust repository, keys and cache, and a site that pinned it.

    station = Station(folder, {"demo": image.sigstore.trusted_root_json()})
    done = station.export(f"{registry.host}/team/app:1", "--tls-verify=false")
    done.code, done.out, done.err
    report = station.verify(station.bundle, policy_text)

Commands run in this process unless `program` is used. Nothing but loopback is asked: logs are, only with `proofs=True`.
"""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bundler.archive.inventory import Image, Inventory, parse_inventory
from bundler.digest import Digest, sha256_of
from tests.cli.session import SEALIFT, Result, call
from tests.simulators.deliveries import make_site
from trust_root.ceremony import create, publish


@dataclass(frozen=True)
class Verified:
    """What `sealift verify --json` said."""

    code: int
    report: dict[str, Any]
    err: str

    @property
    def image(self) -> dict[str, Any]:
        """The only image."""
        (image,) = self.report["images"]
        return dict(image)


class Station:
    """One exporter and one site."""

    def __init__(self, folder: Path, trusted_roots: Mapping[str, bytes]) -> None:
        self.folder = folder
        self.repository = folder / "repository"
        self.keys = folder / "keys"
        self.cache = folder / "cache"
        self.out = folder / "out"
        self.out.mkdir(parents=True)
        self.exports = 0
        at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        create(self.repository, self.keys, "main", no_passphrase, at, threshold=1, holders=1, development=True)
        targets = {f"trusted_root/{name}.json": raw for name, raw in trusted_roots.items()}
        if targets:
            publish(self.repository, self.keys, no_passphrase, at, add=targets)
        root = (self.repository / "metadata" / "1.root.json").read_bytes()
        self.state = make_site(folder / "state", root, clock=at)

    @property
    def bundle(self) -> Path:
        """Of the last export."""
        return self.out / f"{self.exports}.bundle.tar"

    def words(self, *words: str | Path, proofs: bool = False) -> list[str]:
        """The command line of the next export."""
        self.exports += 1
        ours = ["-o", self.bundle, "--repository", self.repository, "--keys", self.keys, "--quiet"]
        cache = [] if "--cache" in words else ["--cache", self.cache]
        logs = [] if proofs else ["--proofs", "none"]
        return ["export", *map(str, [*words, *ours, *cache, *logs])]

    def export(self, *words: str | Path, proofs: bool = False) -> Result:
        """Export; the bundle is `self.bundle`."""
        return call(*self.words(*words, proofs=proofs))

    def exported(self, *words: str | Path, proofs: bool = False) -> Image:
        """Export one image; the image as the inventory lists it."""
        done = self.export(*words, proofs=proofs)
        assert done.code == 0, done.err
        (image,) = self.inventory().images
        return image

    def program(
        self, *words: str | Path, proofs: bool = False, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start an export as a program of its own."""
        return subprocess.Popen(
            [SEALIFT, *self.words(*words, proofs=proofs)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            **options,
        )

    def settings(self, image: str, **more: str) -> tuple[str, Path]:
        """A settings file with one image; values are TOML."""
        path = self.folder / f"{self.exports}.toml"
        lines = ["[[image]]", f'source = "{image}"', *(f"{key} = {value}" for key, value in more.items())]
        path.write_text("\n".join(lines))
        return "-f", path

    def inventory(self, bundle: Path | None = None) -> Inventory:
        """The inventory, taken out of a bundle by tar."""
        with tarfile.open(bundle or self.bundle) as archive:
            member = archive.extractfile("inventory.json")
            assert member is not None
            return parse_inventory(member.read())

    def blobs(self, bundle: Path | None = None) -> dict[Digest, bytes]:
        """Every blob of a bundle that was made with `--compression none`, taken out by tar, and hashed."""
        found = {}
        with tarfile.open(bundle or self.bundle) as archive:
            for member in archive.getmembers():
                if member.name.startswith("blobs/sha256/"):
                    stream = archive.extractfile(member)
                    assert stream is not None
                    raw = stream.read()
                    assert sha256_of(raw).hex == member.name.rpartition("/")[2]
                    found[sha256_of(raw)] = raw
        return found

    def verify(self, policy: str, bundle: Path | None = None) -> Verified:
        """Verify as the site does."""
        path = self.folder / "policy.toml"
        path.write_text(policy)
        done = call("verify", bundle or self.bundle, "--policy", path, "--state", self.state, "--json", "--quiet")
        return Verified(done.code, json.loads(done.out), done.err)

    def litter(self) -> list[str]:
        """What a failed export must not leave: anything beside bundles, a pending record, staging folders."""
        found = [path.name for path in self.out.iterdir() if not path.name.endswith(".bundle.tar")]
        found += ["pending"] if (self.repository / "pending").exists() else []
        runs = self.cache / "runs"
        return found + [path.name for path in runs.iterdir()] if runs.exists() else found

    def left(self) -> list[str]:
        """After an export that failed: the bundle too must not be there."""
        return [*self.litter(), *([self.bundle.name] if self.bundle.exists() else [])]


def no_passphrase(_name: str) -> bytes:
    """Development keys have none."""
    return b""
