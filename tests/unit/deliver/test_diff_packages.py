"""Packages compared: what a package is known by, versions side by side, licences; order and repetition mean nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.deliver.diff_packages import compare_packages, package_key
from bundler.evidence.sbom import Package

NOBODY = st.just("")
SOME = st.lists(
    st.builds(
        Package, st.sampled_from("abc"), st.sampled_from("123"), NOBODY, st.sampled_from(["", "MIT"]), *[NOBODY] * 4
    )
)


@pytest.mark.parametrize(
    ("purl", "key"),
    [
        ("pkg:deb/debian/openssl@3.0.1-1?arch=amd64&distro=debian-12", "pkg:deb/debian/openssl"),
        ("pkg:npm/%40scope/name@1.0.0", "pkg:npm/%40scope/name"),
        ("pkg:npm/@scope/name@1.0.0", "pkg:npm/@scope/name"),
        ("pkg:npm/@scope/name", "pkg:npm/@scope/name"),
        ("pkg:golang/github.com/a/b@v1.0.0#sub/path@x", "pkg:golang/github.com/a/b"),
        ("pkg:oci/app@sha256:00?repository_url=r.example/a@b", "pkg:oci/app"),
        ("pkg:generic/name", "pkg:generic/name"),
        ("pkg:@", "pkg:"),
        ("", "plain name"),
    ],
)
def test_what_a_package_is_known_by(purl: str, key: str) -> None:
    assert package_key(Package("plain name", "1", purl)) == key


def test_added_removed_changed() -> None:
    before = [
        Package("a", "1", licence="MIT"),
        Package("b", "1"),
        Package("c", "1"),
        Package("c", "2"),
        Package("e", "1"),
    ]
    after = [Package("a", "1", licence="GPL-2.0-only"), Package("c", "2"), Package("d", "7"), Package("e", "1")]
    found = compare_packages(before, after)
    assert [(item.name, item.versions_after) for item in found.added] == [("d", ("7",))]
    assert [(item.name, item.versions_before) for item in found.removed] == [("b", ("1",))]
    licence, versions = found.changed
    assert (licence.name, licence.licences_before, licence.licences_after) == ("a", ("MIT",), ("GPL-2.0-only",))
    assert (versions.name, versions.versions_before, versions.versions_after) == ("c", ("1", "2"), ("2",))
    assert found.same == 1
    assert found.any


@given(SOME, SOME)
@settings(derandomize=True, deadline=None, max_examples=150)
def test_a_comparison_is_the_mirror_of_its_reverse(before: list[Package], after: list[Package]) -> None:
    there, back = compare_packages(before, after), compare_packages(after, before)
    assert [item.name for item in there.added] == [item.name for item in back.removed]
    assert [item.name for item in there.changed] == [item.name for item in back.changed]
    assert there.same == back.same
    assert there.any == (set(before) != set(after))


@given(SOME)
@settings(derandomize=True, deadline=None, max_examples=50)
def test_order_and_repetition_mean_nothing(packages: list[Package]) -> None:
    assert not compare_packages(packages, list(reversed(packages)) * 2).any
