"""An exporter's place: trust repository, keys, images, and a folder for bundles."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bundler.export.hooks import Hooks, accept
from bundler.export.pipeline import Exported, ExportRequest, export_bundle
from bundler.export.settings import ImageRequest
from bundler.network.access import Access
from bundler.network.connection import Connection
from bundler.progress import Bar, silent
from tests.simulators.images import layer, two_platforms
from trust_root.ceremony import create

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
NAME = "registry.example.org/app:1"


def no_passphrase(_name: str) -> bytes:
    return b""


@pytest.fixture(scope="session")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A development repository and its keys, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("ceremony")
    create(folder / "repository", folder / "keys", "main", no_passphrase, AT, threshold=1, holders=1, development=True)
    return folder


@dataclass
class Place:
    """Where an exporter works."""

    folder: Path
    exports: int = 0
    titles: list[str] = field(default_factory=list)

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def request(self, **changes: Any) -> ExportRequest:
        self.exports += 1
        base = ExportRequest(
            images=(ImageRequest(f"oci:{self.folder / 'app'}"),),
            target=self.out / f"{self.exports}.bundle.tar",
            repository=self.repository,
            keys=self.folder / "keys",
            stream="main",
            audience=(),
            created_at=AT,
        )
        return replace(base, **changes)

    def export(
        self, request: ExportRequest | None = None, verify_file: Callable[[Path], None] = accept, **changes: Any
    ) -> Exported:
        return export_bundle(request or self.request(**changes), self.hooks(verify_file), self.connection())

    def connection(self) -> Connection:
        return Connection(Access(), lambda: self.folder / "cache")

    def hooks(self, verify_file: Callable[[Path], None] = accept) -> Hooks:
        @contextmanager
        def progress(title: str, total_bytes: int) -> Iterator[Bar]:
            self.titles.append(title)
            with silent(title, total_bytes) as bar:
                yield bar

        return Hooks(no_passphrase, verify_file=verify_file, progress=progress)

    def litter(self) -> list[str]:
        """What lies in the output folder beside bundles, and a pending record."""
        found = [path.name for path in self.out.iterdir() if not path.name.endswith(".bundle.tar")]
        return found + (["pending"] if (self.repository / "pending").exists() else [])


@pytest.fixture
def place(ceremony: Path, tmp_path: Path) -> Place:
    shutil.copytree(ceremony, tmp_path, dirs_exist_ok=True)
    (tmp_path / "out").mkdir()
    layout, top, _ = two_platforms(NAME)
    plain = layout.image("linux/amd64", [layer(b"zero" * 40_000, seed=7)])
    layout.name(plain, "registry.example.org/plain:2")
    layout.name(top, "registry.example.org/again:3")
    layout.entries = layout.entries[:1]
    layout.write(tmp_path / "app")
    layout.entries.clear()
    layout.name(plain, "registry.example.org/plain:2")
    layout.write(tmp_path / "plain")
    return Place(tmp_path)
