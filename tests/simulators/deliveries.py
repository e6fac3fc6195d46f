"""An exporter and a site in memory: bundles made by the production rooms, signed by a simulated trust repository.

    repository = TufRepository("main", targets={"trusted_root/demo.json": raw})
    exporter = Exporter(repository, tmp_path)
    bundle = exporter.deliver(LayoutSource("oci", folder, "registry.example.org/app:1"))
    site = make_site(tmp_path / "state", repository.pin, name="plant")
    run = verify(bundle, site, policy=POLICY)

`change` alters the inventory before it is signed: inner attacks, re-signed with valid keys, must be caught by the
checks behind the signature.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from bundler.archive.inventory import Inventory, format_inventory
from bundler.archive.writer import write_bundle
from bundler.digest import Digest, sha256_of
from bundler.export.collect import collect
from bundler.export.data import collect_data
from bundler.export.plan import make_plan
from bundler.export.settings import DataRequest
from bundler.export.staging import stage
from bundler.network.access import Access
from bundler.network.connection import Connection
from bundler.network.layout import open_layout
from bundler.oci.descriptor import Platform
from bundler.verify.pipeline import Request, Verification, verify_bundle
from bundler.verify.policy import parse_policy
from bundler.verify.settle import settle
from bundler.version import TOOL
from tests.simulators.tuf_repository import START, TufRepository
from trust_root.delivery import time_basis
from trust_root.pin import pin_root
from trust_root.site import Site, load_site

Change = Callable[[Inventory], Inventory]
NOW = START + timedelta(days=1)
_OFFLINE = Connection(Access(), lambda: Path("/nonexistent"))  # local data needs none


@dataclass(frozen=True)
class LayoutSource:
    """One image to deliver: a layout's kind and path, its name, the platforms to keep."""

    kind: str
    path: Path
    name: str
    reference: str | None = None
    platforms: tuple[Platform, ...] = ()


@dataclass
class Exporter:
    """One stream's exporter; each delivery is the next in its stream."""

    repository: TufRepository
    folder: Path
    stream: str = "main"
    sequence: int = 0
    previous: Digest | None = None
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def deliver(
        self,
        *sources: LayoutSource,
        at: datetime = START,
        audience: Sequence[str] = (),
        compress: bool = True,
        change: Change = lambda inventory: inventory,
        data: Sequence[DataRequest] = (),
    ) -> Path:
        """Make the next bundle of the stream and give its path."""
        number = next(self._numbers)
        staging = self.folder / f"staging-{self.stream}-{number}"
        staging.mkdir(parents=True)
        with ExitStack() as stack:
            collected = []
            for item in sources:
                source = open_layout(item.kind, item.path, item.reference, place=f"{item.kind}:{item.path}")
                stack.callback(source.close)
                collected.append(collect(source, item.name, item.platforms))
            plan = make_plan(collected, collect_data(data, _OFFLINE, stack, at))
            staged = stage(plan, staging, compress=compress, progress=lambda _: None)
            inventory = change(
                Inventory(
                    stream=self.stream,
                    sequence=self.sequence + 1,
                    previous=self.previous,
                    audience=tuple(sorted(audience)),
                    created_at=at,
                    tool=TOOL,
                    images=plan.images,
                    blobs=tuple(staged.blobs),
                    data=plan.data,
                )
            )
            raw = format_inventory(inventory)
            self.repository.export(self.stream, raw, at, sequence=inventory.sequence)
            self.sequence, self.previous = inventory.sequence, sha256_of(raw)
            target = io.BytesIO()
            write_bundle(target, self.repository.files(self.stream), inventory, staged.open_stored)
        path = self.folder / f"{self.stream}-{number}.bundle.tar"
        path.write_bytes(target.getvalue())
        return path


def make_site(folder: Path, root: bytes, *, name: str | None = "plant", clock: datetime = NOW) -> Path:
    """Pin a root in a fresh state folder; gives the folder."""
    pin_root(folder, root, sha256_of(root), clock, site_name=name)
    return folder


def change_settings(folder: Path, text: str, clock: datetime = NOW) -> None:
    """Edit a site's `site.toml`, and accept it as its operator does."""
    (folder / "site.toml").write_text(text)
    load_site(folder, new_settings=True).accept_settings("a test", clock)


def verify(
    bundle: Path | str,
    state: Path,
    policy: str | None = None,
    *,
    clock: datetime = NOW,
    at: datetime | None = None,
    historic: bool = False,
    read_only: bool = False,
    record: bool = True,
) -> Verification:
    """What `sealift verify` does, with the clock as an argument."""
    site: Site = load_site(state, read_only=read_only)
    basis = time_basis(clock, site.floor, at, "test" if at else None)
    request = Request(
        basis, site=site, policy=parse_policy(policy.encode()) if policy else None, historic=historic, threads=1
    )
    return verify_bundle(bundle, request, (lambda run, archive: settle(run, site, archive)) if record else None)


def keyless_policy(
    images: str,
    identity: str,
    issuer: str,
    *,
    predicate_type: str | None = None,
    extra: Mapping[str, str] | None = None,
) -> str:
    """A policy with one rule and one demand: an attestation if a predicate type is given, else a signature."""
    kind = "attestation" if predicate_type else "signature"
    lines = ["format = 1", "[[rule]]", f'images = ["{images}"]']
    lines += [f"{key} = {value}" for key, value in (extra or {}).items()]
    lines += [f"[[rule.{kind}]]", f'certificate_identity = "{identity}"', f'certificate_oidc_issuer = "{issuer}"']
    if predicate_type:
        lines.append(f'predicate_type = "{predicate_type}"')
    return "\n".join(lines)
