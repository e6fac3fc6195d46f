"""Loading into a real registry (Debian's docker-registry, no referrers API): everything arrives and is found again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.deliver.load_names import Naming, RegistryTarget, place
from bundler.deliver.load_plan import plan_load
from bundler.deliver.load_registry import Terms, load_registry
from bundler.deliver.load_sparse import DERIVED_FROM
from bundler.errors import RejectedError
from bundler.network.access import Access
from bundler.network.push import Targets
from bundler.network.registry import Registries
from bundler.oci.descriptor import Platform
from bundler.oci.manifest import ImageIndex, parse_manifest
from tests.simulators.load_scene import Delivery, Load
from tests.simulators.real_registry import RealRegistry, push_manifest, real_registry
from tests.simulators.station import Station

AMD64 = Platform("linux", "amd64")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    return Delivery.make(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def sparse(whole: Delivery, tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    return Delivery.make(tmp_path_factory.mktemp("sparse"), AMD64, image=whole.image)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with real_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def test_all_forms_arrive_and_are_exported_and_verified_again(
    whole: Delivery, registry: RealRegistry, tmp_path: Path
) -> None:
    with whole.opened(tmp_path / "state") as bundle:
        loaded = Load(registry.host, bundle, "line3").run()
    assert loaded.tags_set[-1] == "1"
    assert loaded.fallbacks
    assert not loaded.is_listed

    image = whole.image
    station = Station(tmp_path / "station", {"demo": image.sigstore.trusted_root_json()})
    exported = station.exported(f"{registry.host}/line3/team/app:1", "--tls-verify=false", "--compression", "none")
    assert {(item.kind, item.subject, item.digest) for item in exported.evidence} == set(image.evidence)
    assert set(station.blobs()) == image.carried
    verified = station.verify(image.policy())
    assert verified.code == 0, verified.err


def test_a_second_load_pushes_nothing(whole: Delivery, registry: RealRegistry, tmp_path: Path) -> None:
    with whole.opened(tmp_path / "state") as bundle:
        load = Load(registry.host, bundle, "twice")
        first, plan, second = load.run(), load.plan(), load.run()
    assert first.blobs_pushed
    assert first.bytes_pushed
    assert (second.blobs_pushed, second.documents_pushed, second.bytes_pushed, second.tags_set) == (0, 0, 0, ())
    (planned,) = plan.images
    assert (planned.missing_bytes, {tag.state for tag in planned.tags}) == (0, {"same"})


def test_a_plan_changes_nothing(whole: Delivery, registry: RealRegistry, tmp_path: Path) -> None:
    with whole.opened(tmp_path / "state") as bundle:
        load = Load(registry.host, bundle, "planned")
        (planned,) = load.plan().images
        assert {tag.state for tag in planned.tags} == {"new"}
        assert planned.missing_bytes == sum(blob.size_bytes for blob in bundle.images[0].blobs()) + sum(
            len(document.raw) for document in bundle.images[0].all_documents
        )
        assert load.target().find_manifest("1") is None


def test_blobs_of_another_repository_are_mounted(whole: Delivery, registry: RealRegistry, tmp_path: Path) -> None:
    """Two names for one image at one registry: the second is not sent again."""
    with whole.opened(tmp_path / "state") as bundle, Registries(Access(tls_verify=False)) as registries:
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
    whole: Delivery, registry: RealRegistry, tmp_path: Path
) -> None:
    with whole.opened(tmp_path / "state") as bundle:
        load = Load(registry.host, bundle, "conflict")
        load.run()
        document = next(item for item in bundle.images[0].documents if item.digest == whole.image.amd64.digest)
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


def test_a_sparse_index_is_refused_by_name(sparse: Delivery, registry: RealRegistry, tmp_path: Path) -> None:
    with sparse.opened(tmp_path / "state") as bundle:
        load = Load(registry.host, bundle, "sparse-no")
        with pytest.raises(RejectedError) as caught:
            load.run()
        assert caught.value.code == "load-sparse"
        assert load.target().find_manifest("1") is None


def test_a_derived_index_takes_the_place_of_a_sparse_one(
    sparse: Delivery, registry: RealRegistry, tmp_path: Path
) -> None:
    with sparse.opened(tmp_path / "state") as bundle:
        load = Load(registry.host, bundle, "sparse-yes")
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
        assert sparse.image.amd64.digest in here
        assert here.isdisjoint(bundle.images[0].omitted | loaded.derived.dropped)
        assert loaded.derived.dropped
        assert (again.blobs_pushed, again.documents_pushed, again.tags_set) == (0, 0, ())
        assert load.target().find_manifest(sparse.image.amd64.digest) is not None
