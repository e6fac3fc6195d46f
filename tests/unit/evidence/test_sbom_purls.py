"""Package URLs of one package in an SBOM: each thing that they name, once."""

from __future__ import annotations

import pytest

from bundler.evidence.sbom_parts import without_twins

GENERIC, ONE, TWIN, OTHER = "pkg:generic/a@1", "pkg:rpm/a@1?repo=x", "pkg:rpm/a@1?repo=y", "pkg:rpm/b@1"


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ([], [""]),
        ([ONE], [ONE]),
        ([GENERIC], [GENERIC]),
        ([ONE, TWIN], [ONE]),
        ([GENERIC, ONE, TWIN, OTHER], [ONE, OTHER]),
        ([GENERIC, GENERIC], [GENERIC]),
    ],
)
def test_each_thing_once_and_a_generic_name_only_alone(given: list[str], left: list[str]) -> None:
    assert without_twins(iter(given)) == left
