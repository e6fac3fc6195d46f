"""Targets and names of a load: what was typed, and nothing else, decides where an image goes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.deliver.holdings import HeldImage
from bundler.deliver.load_names import (
    LayoutTarget,
    Naming,
    RegistryTarget,
    SkopeoTarget,
    parse_rewrite,
    parse_target,
    path_of_registry,
    place,
    renamed,
)
from bundler.digest import sha256_of
from bundler.errors import UsageError
from bundler.oci.reference import parse_reference

HERE = RegistryTarget("registry.plant.example:5000", "mirror")


def named(name: str, content: bytes = b"image", **evidence: bytes) -> HeldImage:
    reference = parse_reference(name)
    tags = {f"sha256-{sha256_of(content).hex}.{suffix}": sha256_of(raw) for suffix, raw in evidence.items()}
    image = SimpleNamespace(digest=sha256_of(content))
    return cast("HeldImage", SimpleNamespace(reference=reference, image=image, tags=tags))


def placed(name: str, naming: Naming, target: RegistryTarget = HERE) -> str:
    (item,) = place([named(name)], target, naming)
    return str(item.name)


@pytest.mark.parametrize(
    ("typed", "target"),
    [
        ("registry.plant.example", RegistryTarget("registry.plant.example", "")),
        ("registry.plant.example:5000/mirror/a", RegistryTarget("registry.plant.example:5000", "mirror/a")),
        ("docker://localhost:5000/", RegistryTarget("localhost:5000", "")),
        ("localhost/a", RegistryTarget("localhost", "a")),
        ("[::1]:5000", RegistryTarget("[::1]:5000", "")),
        ("oci:/srv/layout", LayoutTarget(Path("/srv/layout"))),
        ("containers-storage:", SkopeoTarget("containers-storage")),
        ("docker-daemon:", SkopeoTarget("docker-daemon")),
    ],
)
def test_targets(typed: str, target: object) -> None:
    assert parse_target(typed) == target


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "plain",
        "plain/path",
        "oci:",
        "oci:/srv/images:1",
        "dir:/srv/images",
        "docker-archive:/srv/images.tar",
        "containers-storage:app",
        "docker-daemon:app:1",
        "registry.example/UPPER",
        "registry.example/a:1",
        "registry.example/a@sha256:00",
        "registry.example/../x",
        "registry.example//x",
        "https://registry.example",
        "user:password@registry.example",
        "registry.example/a b",
        "registry.example/\n",
    ],
)
def test_what_is_no_target(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target(typed)
    assert caught.value.code == "load-target"


@pytest.mark.parametrize(
    ("naming", "wanted"),
    [
        (Naming(), "mirror/team/app:1"),
        (Naming(strip=1), "mirror/app:1"),
        (Naming(keep_registry=True), "mirror/registry.example.org_5000/team/app:1"),
        (Naming(keep_registry=True, strip=2), "mirror/app:1"),
        (Naming(rewrites=(("registry.example.org:5000/team", "line/3"),)), "mirror/line/3/app:1"),
        (Naming(rewrites=(("registry.example.org:5000/team/app", "other"),)), "mirror/other:1"),
        (Naming(rewrites=(("registry.example.org:5000/te", "never"),)), "mirror/team/app:1"),
        (
            Naming(rewrites=(("registry.example.org:5000/team/app", "first"), ("registry.example.org:5000", "second"))),
            "mirror/first:1",
        ),
    ],
)
def test_names(naming: Naming, wanted: str) -> None:
    assert placed("registry.example.org:5000/team/app:1", naming) == f"registry.plant.example:5000/{wanted}"


def test_official_images_keep_library() -> None:
    assert placed("nginx", Naming(), RegistryTarget("r.example", "")) == "r.example/library/nginx:latest"


def test_a_name_without_tag_keeps_its_digest() -> None:
    digest = sha256_of(b"image")
    assert placed(f"r.example/app@{digest}", Naming()) == f"registry.plant.example:5000/mirror/app@{digest}"
    with pytest.raises(UsageError) as caught:  # and gets no tag by a rewrite
        placed(f"r.example/app@{digest}", Naming(rewrites=(("r.example/app", "app:x"),)))
    assert caught.value.code == "load-names"


@pytest.mark.parametrize("naming", [Naming(strip=2), Naming(strip=9), Naming(rewrites=(("r.example/team", "UPPER"),))])
def test_names_that_no_registry_takes(naming: Naming) -> None:
    with pytest.raises(UsageError) as caught:
        placed("r.example/team/app:1", naming)
    assert caught.value.code == "load-names"


def test_two_images_cannot_get_one_name() -> None:
    both = [named("a.example/app:1"), named("b.example/app:1", b"another")]
    with pytest.raises(UsageError) as caught:
        place(both, HERE, Naming())
    assert caught.value.code == "load-names"
    assert len({str(item.name) for item in place(both, HERE, Naming(keep_registry=True))}) == 2


def test_evidence_of_two_names_cannot_get_one_tag() -> None:
    """One image, signed by one team in its repository, by another in theirs: one repository cannot hold both."""
    both = [named("r.example/a/app:1", sig=b"ours"), named("r.example/b/app:2", sig=b"theirs")]
    with pytest.raises(UsageError) as caught:
        place(both, HERE, Naming(strip=1))
    assert (caught.value.code, caught.value.which.endswith(".sig")) == ("load-names", True)
    assert len(place(both, HERE, Naming())) == 2
    same = [named("r.example/a/app:1", sig=b"ours"), named("r.example/b/app:2", sig=b"ours")]
    assert len(place(same, HERE, Naming(strip=1))) == 2


def test_evidence_tags_come_before_the_images_own() -> None:
    (item,) = place([named("r.example/a/app:1", sig=b"s", att=b"a")], HERE, Naming())
    assert list(item.tags)[-1] == "1"
    assert len(item.tags) == 3


@pytest.mark.parametrize("to", ["app:1", "r.example/app:1", "r.example/UPPER", "[vfs@/srv]app", "app\nx", "a@sha256:0"])
def test_a_name_for_layouts_and_storages_is_a_name(to: str) -> None:
    with pytest.raises(UsageError) as caught:
        renamed("r.example/team/app", Naming(rewrites=(("r.example/team/app", to),)))
    assert caught.value.code == "load-names"


def test_names_for_layouts_and_storages() -> None:
    naming = Naming(rewrites=(("r.example/team", "tools"),))
    assert renamed("r.example/team/app", naming) == "tools/app"
    assert renamed("r.example/teams/app", naming) == "r.example/teams/app"


def test_one_image_may_come_under_one_name_twice() -> None:
    assert len(place([named("a.example/app:1"), named("b.example/app:1")], HERE, Naming())) == 2


@pytest.mark.parametrize("typed", ["", "=", "a=", "=b", "a", "/=/"])
def test_what_is_no_rewrite(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_rewrite(typed)
    assert caught.value.code == "load-names"


def test_rewrites() -> None:
    assert parse_rewrite("r.example/team/=line/3/") == ("r.example/team", "line/3")


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){1,3}(:[0-9]{1,5})?", fullmatch=True),
    st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}", fullmatch=True),
)
def test_a_kept_registry_is_always_a_path(registry: str, repository: str) -> None:
    path = f"{path_of_registry(registry)}/{parse_reference(f'{registry}/{repository}').repository}"
    name = placed(f"{registry}/{repository}:1", Naming(keep_registry=True))
    assert name == f"registry.plant.example:5000/mirror/{path}:1"
