"""Loads of a delivered image with all its evidence, as `sealift load` makes them, into a registry on loopback.

delivery = Delivery.make(folder)                          # whole; with platforms, sparse
with delivery.opened(tmp_path / "state") as bundle:
    load = Load(registry.host, bundle, "line3")
    load.run()
    load.run(Terms(overwrite_tags=True))
found(store)                                              # what a simulated repository holds, to compare
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from bundler.deliver.load_names import Naming, Placed, RegistryTarget, place
from bundler.deliver.load_plan import Plan, plan_load
from bundler.deliver.load_registry import Loaded, Terms, load_registry
from bundler.deliver.verified import VerifiedBundle, open_verified
from bundler.evidence.envelope import IN_TOTO
from bundler.network.access import Access
from bundler.network.push import Target, Targets
from bundler.network.registry import Registries
from bundler.oci.descriptor import Platform
from bundler.verify.pipeline import Request
from bundler.verify.policy import parse_policy
from tests.simulators.deliveries import NOW, Exporter, LayoutSource, make_site
from tests.simulators.evidence_image import IDENTITY, ISSUER, REPOSITORY, EvidenceImage, evidence_image
from tests.simulators.images import layer, sbom_statement, to_json
from tests.simulators.registry import Store
from tests.simulators.sigstore import Sigstore
from tests.simulators.sigstore_keys import AT
from tests.simulators.tuf_repository import TufRepository
from trust_root.delivery import time_basis
from trust_root.site import load_site

NAME = "registry.example.org/team/app:1"
QUICK = Access(tls_verify=False, retries=0, stall_seconds=5, backoff_seconds=0.01)
TERMS = Terms()


@dataclass
class Delivery:
    """A bundle with one image, or the same one under several names, and the policy under which it verifies."""

    image: EvidenceImage
    repository: TufRepository
    bundle: Path
    policy: str

    @classmethod
    def make(
        cls, folder: Path, *platforms: Platform, names: tuple[str, ...] = (NAME,), image: EvidenceImage | None = None
    ) -> Delivery:
        """Deliver the evidence image, or another; with some of its platforms only, its index is sparse."""
        image = image or evidence_image()
        folder.mkdir(exist_ok=True)
        repository = TufRepository("main", targets={"trusted_root/demo.json": image.sigstore.trusted_root_json()})
        image.layout.write(folder / "layout")
        sources = [LayoutSource("oci", folder / "layout", name, NAME, platforms) for name in names]
        bundle = Exporter(repository, folder).deliver(*sources)
        only = () if image.top.digest != image.amd64.digest else ("linux/amd64",)
        return cls(image, repository, bundle, image.policy(*(only or map(str, platforms))))

    @contextmanager
    def opened(self, state: Path, bundle: Path | None = None) -> Iterator[VerifiedBundle]:
        """The verified bundle, at a fresh site."""
        site = load_site(make_site(state, self.repository.pin))
        policy = parse_policy(self.policy.encode())
        request = Request(time_basis(NOW, site.floor, None, None), site=site, policy=policy, threads=1)
        with open_verified(bundle or self.bundle, request, site) as found:
            assert found.bundle is not None, found.run.report
            yield found.bundle


@dataclass
class Load:
    """Loads of one bundle below one path of a registry; each its own run, as the command makes it."""

    host: str
    bundle: VerifiedBundle
    prefix: str = ""
    access: Access = QUICK
    naming: Naming = field(default_factory=Naming)
    connections: Registries | None = None  # to be used by many runs, for speed

    def plan(self) -> Plan:
        """Ask only."""
        with self._registries() as registries:
            return self._plan(Targets(registries))

    def run(self, terms: Terms = TERMS) -> Loaded:
        """Load the only image."""
        (loaded,) = self.run_all(terms)
        return loaded

    def run_all(self, terms: Terms = TERMS) -> tuple[Loaded, ...]:
        """Load."""
        with self._registries() as registries:
            targets = Targets(registries)
            plan = self._plan(targets)
            return load_registry(plan, self.bundle, lambda image: targets.repository(image.placed.name), terms)

    def target(self) -> Target:
        """The first image's repository, to look at it."""
        return Targets(Registries(self.access)).repository(self.placed[0].name)

    @property
    def placed(self) -> tuple[Placed, ...]:
        """The images with their names there."""
        return place(self.bundle.images, RegistryTarget(self.host, self.prefix), self.naming)

    def _registries(self) -> AbstractContextManager[Registries]:
        return Registries(self.access) if self.connections is None else nullcontext(self.connections)

    def _plan(self, targets: Targets) -> Plan:
        return plan_load(self.placed, lambda item: targets.repository(item.name), 4)


def small_image() -> EvidenceImage:
    """One platform, no index; signature and attestation under tags, a referrer, and a referrer of that."""
    sigstore = Sigstore("small image")
    made = EvidenceImage(sigstore, sigstore.keyless(IDENTITY, at=AT, issuer=ISSUER))
    made.top = made.amd64 = made.layout.image("linux/amd64", [layer(b"amd64", seed=1, size_bytes=400)])
    made.layout.name(made.top, f"{REPOSITORY}:1")
    made.sign(made.top)
    made.attest(made.top)
    referrer = made.refer(made.top, sbom_statement(made.top), IN_TOTO)
    made.refer(referrer, b"about a referrer", "application/vnd.example.note")
    return made


def untyped_image() -> EvidenceImage:
    """A manifest that does not say what it is, as OCI allows; older builders write such. Signed."""
    sigstore = Sigstore("untyped image")
    made = EvidenceImage(sigstore, sigstore.keyless(IDENTITY, at=AT, issuer=ISSUER))
    typed = made.layout.image("linux/amd64", [layer(b"amd64", seed=1, size_bytes=400)])
    document = json.loads(made.layout.read(typed.digest))
    del document["mediaType"], made.layout.blobs[typed.digest]
    made.top = made.amd64 = made.layout.blob(to_json(document), typed.media_type)
    made.layout.name(made.top, f"{REPOSITORY}:1")
    made.sign(made.top)
    made.attest(made.top)
    return made


def found(store: Store) -> tuple[dict[str, str], set[str], set[str]]:
    """Tags, manifests and blobs of a simulated repository, as text."""
    tags = {tag: str(digest) for tag, digest in store.tags.items()}
    return tags, set(map(str, store.manifests)), set(map(str, store.blobs))
