"""Builder and source out of SLSA provenance: every place, every spelling, nothing ambiguous."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.digest import sha256_of
from bundler.errors import MalformedError
from bundler.evidence.envelope import parse_envelope
from bundler.evidence.provenance import Provenance, read_provenance
from bundler.evidence.statement import Statement, parse_statement
from tests.simulators.images import SLSA, SPDX, statement

SLSA_02 = "https://slsa.dev/provenance/v0.2"
HOST = "https://github.com/example/app"


def made(predicate: Any, kind: str = SLSA_02) -> Statement:
    return parse_statement(statement(sha256_of(b""), kind, predicate))


def source(uri: str) -> tuple[str | None, str | None]:
    found = read_provenance(made({"invocation": {"configSource": {"uri": uri}}}))
    return found.source, found.source_ref


def code(predicate: Any, kind: str = SLSA_02) -> str:
    with pytest.raises(MalformedError) as error:
        read_provenance(made(predicate, kind))
    return error.value.code


@pytest.mark.parametrize(
    ("uri", "address", "ref"),
    [
        (HOST, HOST, None),
        (f"git+{HOST}", HOST, None),
        (f"git+{HOST}@refs/tags/v1", HOST, "refs/tags/v1"),
        (f"git+{HOST}@refs/tags/@scope/package@1.0", HOST, "refs/tags/@scope/package@1.0"),
        (f"{HOST}.git#refs/heads/main", HOST, "refs/heads/main"),
        (f"{HOST}.git#refs/heads/main:folder", HOST, "refs/heads/main"),
        (f"{HOST}.git#:folder", HOST, None),
        (f"{HOST}@a#b", HOST, "a#b"),
        ("git+ssh://host.example/x@main", "ssh://host.example/x", "main"),
        # Not an address with a path: kept whole, so that no part of it is taken for the address.
        ("https://github.com@other.example/example/app", "https://github.com@other.example/example/app", None),
        ("https://user@github.com/example/app", "https://user@github.com/example/app", None),
        ("https://github.com#/example/app", "https://github.com#/example/app", None),
        ("pkg:docker/x@1", "pkg:docker/x@1", None),
        ("", None, None),
    ],
)
def test_addresses(uri: str, address: str | None, ref: str | None) -> None:
    assert source(uri) == (address, ref)


@pytest.mark.parametrize(
    ("parameters", "address", "ref"),
    [
        ({}, None, None),
        ({"workflow": {"repository": HOST, "ref": "refs/tags/v1", "path": "x"}}, HOST, "refs/tags/v1"),
        ({"workflow": {"repository": f"git+{HOST}"}}, HOST, None),
        ({"workflow": {"ref": "refs/tags/v1"}}, None, None),
        ({"source": {"uri": f"git+{HOST}@refs/tags/v1"}}, HOST, "refs/tags/v1"),
        ({"configSource": {"uri": f"{HOST}.git#main"}}, HOST, "main"),
        ({"configSource": {"uri": f"{HOST}.git#main"}, "source": {"uri": f"git+{HOST}@main"}}, HOST, "main"),
        ({"configSource": {"path": "Dockerfile"}}, None, None),
        ({"workflow": None}, None, None),
        ({"buildConfigSource": {"repository": HOST, "ref": "main"}}, HOST, "main"),
        ({"sourceToBuild": {"repository": HOST}}, HOST, None),
        ({"sourceToBuild": {"repository": HOST}, "buildConfigSource": {"repository": HOST, "ref": "a"}}, HOST, "a"),
        ({"workflow": {"repository": HOST, "ref": "a"}, "source": {"uri": HOST}}, HOST, "a"),
    ],
)
def test_version_1(parameters: dict[str, Any], address: str | None, ref: str | None) -> None:
    predicate = {"buildDefinition": {"externalParameters": parameters}, "runDetails": {"builder": {"id": "b"}}}
    found = read_provenance(made(predicate, SLSA))
    assert (found.builder, found.source, found.source_ref) == ("b", address, ref)


def refs(predicate: Any, kind: str = SLSA_02) -> tuple[str | None, str | None]:
    found = read_provenance(made(predicate, kind))
    return found.source_branch, found.source_tag


def at(ref: str, /, **environment: Any) -> dict[str, Any]:
    """Version 0.2, as GitHub's generator writes it."""
    words = {f"github_{name}": value for name, value in environment.items()}
    return {"invocation": {"configSource": {"uri": f"git+{HOST}@{ref}"}, "environment": words}}


SHA = "a" * 40
TAGGED = {"ref_type": "tag", "ref": "refs/tags/v1"}


@pytest.mark.parametrize(
    ("predicate", "branch", "tag"),
    [
        ({}, None, None),
        (at("refs/heads/main"), "main", None),
        (at("refs/heads/release/1"), "release/1", None),
        (at("refs/tags/v1"), None, "v1"),
        (at("main"), None, None),
        (at("refs/heads/"), None, None),
        (at("refs/pull/7/merge", ref_type="branch", ref="refs/pull/7/merge"), None, None),
        (at("refs/heads/main", ref_type="branch", ref="refs/heads/main"), "main", None),
        (at("refs/tags/v1", **TAGGED), None, "v1"),
        (at("refs/tags/v1", **TAGGED, event_payload={"base_ref": "refs/heads/main"}), "main", "v1"),
        (at("refs/tags/v1", **TAGGED, event_payload={"base_ref": None}), None, "v1"),
        (at("refs/tags/v1", **TAGGED, event_payload={"base_ref": "refs/tags/v1"}), None, "v1"),
        (
            at("refs/tags/v1", **TAGGED, event_name="release", event_payload={"release": {"target_commitish": "main"}}),
            "main",
            "v1",
        ),
        (
            at(
                "refs/tags/v1",
                **TAGGED,
                event_name="release",
                event_payload={"release": {"target_commitish": SHA}},
            ),
            None,
            "v1",
        ),
        (
            at("refs/tags/v1", **TAGGED, event_name="push", event_payload={"release": {"target_commitish": "main"}}),
            None,
            "v1",
        ),
        # Without a ref type a payload says nothing: BuildKit's environment, too, is another thing.
        (at("x", event_payload={"base_ref": "refs/heads/main"}), None, None),
        ({"invocation": {"environment": {"platform": "linux/amd64"}}}, None, None),
    ],
)
def test_branch_and_tag(predicate: Any, branch: str | None, tag: str | None) -> None:
    assert refs(predicate) == (branch, tag)


def test_branch_and_tag_in_version_1() -> None:
    def build(external: Any, internal: Any) -> dict[str, Any]:
        return {"buildDefinition": {"externalParameters": external, "internalParameters": internal}}

    workflow = {"workflow": {"repository": HOST, "ref": "refs/tags/v1"}}
    event = {"GITHUB_REF_TYPE": "tag", "GITHUB_REF": "refs/tags/v1"}
    payload = {"GITHUB_EVENT_PAYLOAD": {"base_ref": "refs/heads/main"}}
    assert refs(build(workflow, {}), SLSA) == (None, "v1")
    assert refs(build(workflow, event | payload), SLSA) == ("main", "v1")
    config = {"buildConfigSource": {"repository": HOST, "ref": "refs/heads/main"}}
    cloud = {"systemSubstitutions": {"BRANCH_NAME": "main", "TAG_NAME": "v1"}}
    assert refs(build(config, cloud), SLSA) == ("main", "v1")
    older = {"recipe": {"arguments": {"substitutions": {"TAG_NAME": "v1", "_MINE": "x"}}}}
    assert refs(older, "https://slsa.dev/provenance/v0.1") == (None, "v1")


@pytest.mark.parametrize(
    ("predicate", "reason"),
    [
        (at("refs/heads/main", ref_type="branch", ref="refs/heads/other"), "provenance"),
        (at("refs/tags/v1", ref_type="tag", ref="refs/tags/v2"), "provenance"),
        (at("refs/tags/v1", ref_type="tag", REF="refs/tags/v1"), "field-case"),
        (at("refs/tags/v1", ref_type=["tag"]), "field-type"),
        (at("refs/tags/v1", **TAGGED, event_payload="x"), "field-type"),
    ],
)
def test_refs_that_are_ambiguous_or_malformed(predicate: Any, reason: str) -> None:
    assert code(predicate) == reason


def test_older_versions() -> None:
    predicate = {"builder": {"id": "b"}}
    assert read_provenance(made(predicate)) == Provenance("b", None, None)
    assert read_provenance(made(predicate, "https://slsa.dev/provenance/v0.1")) == Provenance("b", None, None)
    assert read_provenance(made({})) == Provenance(None, None, None)
    assert read_provenance(made({"builder": {"id": ""}})).builder is None


def by_number(place: object) -> dict[str, Any]:
    return {"recipe": {"definedInMaterial": place}, "materials": [{"uri": "pkg:a/b"}, {"uri": f"git+{HOST}@v1"}]}


SLSA_01 = "https://slsa.dev/provenance/v0.1"


@pytest.mark.parametrize(
    ("place", "source"), [(1, HOST), ("1", HOST), (0, "pkg:a/b"), (-1, None), ("-1", None), (None, None)]
)
def test_the_material_that_a_recipe_stands_in(place: object, source: str | None) -> None:
    assert read_provenance(made(by_number(place), SLSA_01)).source == source


@pytest.mark.parametrize("place", [2, "2", "x", "", True, 1.0, [1]])
def test_a_recipe_in_no_material(place: object) -> None:
    assert code(by_number(place), SLSA_01) == "provenance"


def test_a_recipe_whose_material_another_parser_would_find_elsewhere() -> None:
    assert code({**by_number(0), "Materials": []}, SLSA_01) == "field-case"
    assert code({"recipe": {"definedinmaterial": 1}, "materials": []}, SLSA_01) == "field-case"
    assert code({"recipe": {"definedInMaterial": 0}}, SLSA_01) == "field-missing"


@pytest.mark.parametrize(
    ("predicate", "kind", "expected"),
    [
        ({}, SPDX, "provenance"),
        ({}, "https://slsa.dev/provenance/v2", "provenance"),
        ([], SLSA_02, "field-type"),
        ({"builder": []}, SLSA_02, "field-type"),
        ({"builder": {"id": 1}}, SLSA_02, "field-type"),
        ({"builder": {"id": "a"}, "Builder": {"id": "b"}}, SLSA_02, "field-case"),
        ({"builder": {"id": "a", "ID": "b"}}, SLSA_02, "field-case"),
        ({"invocation": {"configSource": {"uri": []}}}, SLSA_02, "field-type"),
        ({"invocation": {"configsource": {}}}, SLSA_02, "field-case"),
        ({"buildDefinition": {"externalParameters": {"workflow": "x"}}}, SLSA, "field-type"),
        (
            {"buildDefinition": {"externalParameters": {"source": {"uri": HOST}, "configSource": {"uri": "a"}}}},
            SLSA,
            "provenance",
        ),
        (
            {
                "buildDefinition": {
                    "externalParameters": {
                        "workflow": {"repository": HOST, "ref": "a"},
                        "source": {"uri": f"{HOST}@b"},
                    }
                }
            },
            SLSA,
            "provenance",
        ),
    ],
)
def test_ambiguous_or_malformed(predicate: Any, kind: str, expected: str) -> None:
    assert code(predicate, kind) == expected


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["builder", "id", "invocation", "configSource", "uri", "buildDefinition", "runDetails",
                         "externalParameters", "workflow", "repository", "ref", "source", "BUILDER", "environment",
                         "github_ref_type", "github_ref", "github_event_payload", "base_ref", "internalParameters",
                         "recipe", "definedInMaterial", "materials"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(derandomize=True, deadline=None)
@given(_JSON, st.sampled_from([SLSA, SLSA_02]))
def test_any_predicate_is_read_or_refused(predicate: Any, kind: str) -> None:
    try:
        found = read_provenance(made(predicate, kind))
    except MalformedError:
        return
    assert found.source is None or found.source


@pytest.mark.parametrize(
    ("version", "ref", "tag"), [("v1.4.0", "refs/heads/main", None), ("v1.10.0", "refs/tags/v13.0.30", "v13.0.30")]
)
def test_real_provenance(shared: Path, version: str, ref: str, tag: str | None) -> None:
    """Both were built from `main`; the newer one at a tag on it, which its event tells."""
    blobs = (shared / "real" / "images" / f"slsa-generator-{version}" / "blobs" / "sha256").iterdir()
    small = [path.read_bytes() for path in blobs if path.stat().st_size < 1_000_000]
    envelopes = [raw for raw in small if raw.startswith(b'{"payloadType"')]
    (raw,) = envelopes
    found = read_provenance(parse_statement(parse_envelope(raw).payload))
    name = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml"
    address = "https://github.com/slsa-framework/example-package"
    assert found == Provenance(f"{name}@refs/tags/{version}", address, ref, "main", tag)


@pytest.mark.parametrize("folder", ["slsa-generator-v1.10.0", "buildkit-two-platforms"])
def test_real_buildkit_provenance(shared: Path, folder: str) -> None:
    """BuildKit on a laptop names no builder; where it had a repository, it names that."""
    found = []
    for path in (shared / "real" / "images" / folder / "blobs" / "sha256").iterdir():
        if path.stat().st_size < 1_000_000 and b"https://slsa.dev/provenance/v" in (raw := path.read_bytes()):
            document = json.loads(raw)
            if "predicateType" in document:
                found.append(read_provenance(parse_statement(raw)))
    assert found
    assert {each.builder for each in found} == {None}
    sources = {each.source for each in found}
    expected = "https://github.com/slsa-framework/example-package" if folder.startswith("slsa") else None
    assert sources == {expected}
