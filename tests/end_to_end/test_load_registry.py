"""Loading into a real registry (Debian's docker-registry, no referrers API): everything arrives and is found again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bundler.deliver.load_names import Naming, RegistryTarget, place
from bundler.deliver.load_plan import Plan, plan_load
from bundler.deliver.load_registry import Loaded, Terms, load_registry
from bundler.deliver.load_sparse import DERIVED_FROM
from bundler.deliver.verified import VerifiedBundle, open_verified
from bundler.errors import RejectedError
from bundler.network.access import Access
from bundler.network.push import Target, Targets
from bundler.network.registry import Registries
from bundler.oci.descriptor import Platform
from bundler.oci.manifest import ImageIndex, parse_manifest
from bundler.verify.pipeline import Request
from bundler.verify.policy import parse_policy
from tests.simulators.deliveries import NOW, Exporter, LayoutSource, make_site
from tests.simulators.evidence_image import EvidenceImage, evidence_image
from tests.simulators.real_registry import RealRegistry, push_manifest, real_registry
from tests.simulators.station import Station
from tests.simulators.tuf_repository import TufRepository
from trust_root.delivery import time_basis
from trust_root.site import load_site

NAME = "registry.example.org/team/app:1"
AMD64 = Platform("linux", "amd64")


@pytest.fixture(scope="module")
def image() -> EvidenceImage:
    return evidence_image()


@pytest.fixture(scope="module")
def repository(image: EvidenceImage) -> TufRepository:
    return TufRepository("main", targets={"trusted_root/demo.json": image.sigstore.trusted_root_json()})


@pytest.fixture(scope="module")
def whole(image: EvidenceImage, repository: TufRepository, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deliver(image, repository, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def sparse(image: EvidenceImage, repository: TufRepository, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deliver(image, repository, tmp_path_factory.mktemp("sparse"), AMD64)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with real_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def deliver(image: EvidenceImage, repository: TufRepository, folder: Path, *platforms: Platform) -> Path:
    image.layout.write(folder / "layout")
    (folder / "policy.toml").write_text(image.policy(*map(str, platforms)))
    return Exporter(repository, folder).deliver(LayoutSource("oci", folder / "layout", NAME, platforms=platforms))


@contextmanager
def opened(bundle: Path, repository: TufRepository, state: Path) -> Iterator[VerifiedBundle]:
    site = load_site(make_site(state, repository.pin))
    policy = parse_policy((bundle.parent / "policy.toml").read_bytes())
    request = Request(time_basis(NOW, site.floor, None, None), site=site, policy=policy, threads=1)
    with open_verified(bundle, request, site) as found:
        assert found.bundle is not None, found.run.report
        yield found.bundle


class Load:
    """Loads of one bundle below one path of a registry; each its own run, as the command makes it."""

    def __init__(self, registry: RealRegistry, bundle: VerifiedBundle, prefix: str) -> None:
        self.bundle = bundle
        self.place = RegistryTarget(registry.host, prefix)
        self.access = Access(tls_verify=False, retries=0)

    def plan(self) -> Plan:
        with Registries(self.access) as registries:
            targets = Targets(registries)
            return plan_load(self._placed(), lambda item: targets.repository(item.name), 4)

    def run(self, terms: Terms = Terms()) -> Loaded:  # noqa: B008  a frozen value
        with Registries(self.access) as registries:
            targets = Targets(registries)
            plan = plan_load(self._placed(), lambda item: targets.repository(item.name), 4)
            (loaded,) = load_registry(plan, self.bundle, lambda image: targets.repository(image.placed.name), terms)
            return loaded

    def target(self) -> Target:
        (placed,) = self._placed()
        return Targets(Registries(self.access)).repository(placed.name)

    def _placed(self) -> tuple:  # type: ignore[type-arg]
        return place(self.bundle.images, self.place, Naming())


def test_all_forms_arrive_and_are_exported_and_verified_again(
    image: EvidenceImage, whole: Path, repository: TufRepository, registry: RealRegistry, tmp_path: Path
) -> None:
    with opened(whole, repository, tmp_path / "state") as bundle:
        loaded = Load(registry, bundle, "line3").run()
    assert loaded.tags_set[-1] == "1"
    assert loaded.fallbacks
    assert not loaded.is_listed

    station = Station(tmp_path / "station", {"demo": image.sigstore.trusted_root_json()})
    exported = station.exported(f"{registry.host}/line3/team/app:1", "--tls-verify=false", "--compression", "none")
    assert {(item.kind, item.subject, item.digest) for item in exported.evidence} == set(image.evidence)
    assert set(station.blobs()) == image.carried
    verified = station.verify(image.policy())
    assert verified.code == 0, verified.err


def test_a_second_load_pushes_nothing(
    whole: Path, repository: TufRepository, registry: RealRegistry, tmp_path: Path
) -> None:
    with opened(whole, repository, tmp_path / "state") as bundle:
        load = Load(registry, bundle, "twice")
        first, plan, second = load.run(), load.plan(), load.run()
    assert first.blobs_pushed
    assert first.bytes_pushed
    assert (second.blobs_pushed, second.documents_pushed, second.bytes_pushed, second.tags_set) == (0, 0, 0, ())
    (planned,) = plan.images
    assert (planned.missing_bytes, {tag.state for tag in planned.tags}) == (0, {"same"})


def test_a_plan_changes_nothing(whole: Path, repository: TufRepository, registry: RealRegistry, tmp_path: Path) -> None:
    with opened(whole, repository, tmp_path / "state") as bundle:
        load = Load(registry, bundle, "planned")
        (planned,) = load.plan().images
        assert {tag.state for tag in planned.tags} == {"new"}
        assert planned.missing_bytes == sum(blob.size_bytes for blob in bundle.images[0].blobs()) + sum(
            len(document.raw) for document in bundle.images[0].all_documents
        )
        assert load.target().find_manifest("1") is None


def test_blobs_of_another_repository_are_mounted(
    whole: Path, repository: TufRepository, registry: RealRegistry, tmp_path: Path
) -> None:
    """Two names for one image at one registry: the second is not sent again."""
    with opened(whole, repository, tmp_path / "state") as bundle, Registries(Access(tls_verify=False)) as registries:
        targets = Targets(registries)
        placed = [
            *place(bundle.images, RegistryTarget(registry.host, "mount-a"), Naming()),
            *place(bundle.images, RegistryTarget(registry.host, "mount-b"), Naming()),
        ]
        plan = plan_load(placed, lambda item: targets.repository(item.name), 4)
        first, second = load_registry(plan, bundle, lambda item: targets.repository(item.placed.name), Terms())
    assert first.blobs_pushed == second.blobs_mounted > 0
    assert second.blobs_pushed == 0


def test_a_tag_that_stands_for_something_else_is_not_moved(
    image: EvidenceImage, whole: Path, repository: TufRepository, registry: RealRegistry, tmp_path: Path
) -> None:
    with opened(whole, repository, tmp_path / "state") as bundle:
        load = Load(registry, bundle, "conflict")
        load.run()
        document = next(item for item in bundle.images[0].documents if item.digest == image.amd64.digest)
        push_manifest(registry, "conflict/team/app", "1", document.raw, document.media_type)
        with pytest.raises(RejectedError) as caught:
            load.run()
        assert caught.value.code == "tag-conflict"
        found = load.target().find_manifest("1")
        assert found is not None
        assert found.digest == document.digest
        assert load.run(Terms(overwrite_tags=True)).tags_set == ("1",)
        moved = load.target().find_manifest("1")
        assert moved is not None
        assert moved.digest == bundle.images[0].image.digest


def test_a_sparse_index_is_refused_by_name(
    sparse: Path, repository: TufRepository, registry: RealRegistry, tmp_path: Path
) -> None:
    with opened(sparse, repository, tmp_path / "state") as bundle:
        load = Load(registry, bundle, "sparse-no")
        with pytest.raises(RejectedError) as caught:
            load.run()
        assert caught.value.code == "load-sparse"
        assert load.target().find_manifest("1") is None


def test_a_derived_index_takes_the_place_of_a_sparse_one(
    image: EvidenceImage, sparse: Path, repository: TufRepository, registry: RealRegistry, tmp_path: Path
) -> None:
    with opened(sparse, repository, tmp_path / "state") as bundle:
        load = Load(registry, bundle, "sparse-yes")
        loaded = load.run(Terms(derive_sparse=True))
        again = load.run(Terms(derive_sparse=True))
        original = bundle.images[0].image.digest
        found = load.target().find_manifest("1")
        assert found is not None
        derived = parse_manifest(found.raw, found.media_type)
        assert isinstance(derived, ImageIndex)
        assert derived.annotations[DERIVED_FROM] == str(original)
        assert (loaded.digest, again.digest) == (derived.digest, derived.digest)
        here = {child.digest for child in derived.manifests}
        assert image.amd64.digest in here
        assert here.isdisjoint(bundle.images[0].omitted | loaded.derived.dropped)
        assert loaded.derived.dropped
        assert (again.blobs_pushed, again.documents_pushed, again.tags_set) == (0, 0, ())
        assert load.target().find_manifest(image.amd64.digest) is not None
