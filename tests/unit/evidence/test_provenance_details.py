"""Provenance in full: BuildKit, GitHub's generator, Google Cloud Build, and what is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from bundler import limits
from bundler.digest import sha256_of
from bundler.errors import MalformedError
from bundler.evidence.kind import provenance_version
from bundler.evidence.provenance import Provenance
from bundler.evidence.provenance_details import Material, ProvenanceDetails, read_details
from bundler.evidence.statement import Statement, parse_statement
from bundler.moment import parse_moment
from tests.simulators.images import SLSA, SPDX, statement

SLSA_01, SLSA_02 = "https://slsa.dev/provenance/v0.1", "https://slsa.dev/provenance/v0.2"
HOST = "https://github.com/example/app"
START, END = "2026-01-02T03:04:05Z", "2026-01-02T03:14:05Z"


def read(predicate: Any, kind: str = SLSA) -> ProvenanceDetails:
    return read_details(parse_statement(statement(sha256_of(b""), kind, predicate)))


def code(predicate: Any, kind: str = SLSA) -> str:
    with pytest.raises(MalformedError) as error:
        read(predicate, kind)
    return error.value.code


def version_1(parameters: dict[str, Any], dependencies: list[Any] | None = None) -> dict[str, Any]:
    return {
        "buildDefinition": {
            "buildType": "https://example.org/build/v1",
            "externalParameters": parameters,
            "resolvedDependencies": dependencies or [],
        },
        "runDetails": {
            "builder": {"id": "https://example.org/builder"},
            "metadata": {"invocationId": "7", "startedOn": START, "finishedOn": END},
        },
    }


def test_github_version_1() -> None:
    parameters = {"workflow": {"repository": HOST, "ref": "refs/tags/v1", "path": ".github/workflows/release.yml"}}
    dependency = {"uri": f"git+{HOST}@refs/tags/v1", "digest": {"gitCommit": "d37a"}}
    details = read(version_1(parameters, [{"uri": "pkg:docker/golang@1", "digest": {"sha256": "c5"}}, dependency]))
    assert details == ProvenanceDetails(
        version="v1",
        claims=Provenance("https://example.org/builder", HOST, "refs/tags/v1", None, "v1"),
        build_type="https://example.org/build/v1",
        source_digests={"gitCommit": "d37a"},
        entry_point=".github/workflows/release.yml",
        parameters=parameters,
        materials=(
            Material("pkg:docker/golang@1", {"sha256": "c5"}),
            Material(f"git+{HOST}@refs/tags/v1", {"gitCommit": "d37a"}),
        ),
        started_at=parse_moment(START),
        finished_at=parse_moment(END),
        invocation="7",
    )


def test_buildkit_version_1() -> None:
    source = {"uri": f"{HOST}.git#refs/heads/main", "digest": {"sha1": "d37a"}, "path": "Dockerfile"}
    details = read(version_1({"configSource": source, "request": {"frontend": "dockerfile.v0"}}))
    assert (details.claims.source, details.claims.source_ref) == (HOST, "refs/heads/main")
    assert (dict(details.source_digests), details.entry_point) == ({"sha1": "d37a"}, "Dockerfile")
    assert details.parameters["request"] == {"frontend": "dockerfile.v0"}


@pytest.mark.parametrize("key", ["invocationId", "invocationID"])
def test_invocations_as_the_specification_and_as_gos_library_spell_them(key: str) -> None:
    predicate = version_1({})
    predicate["runDetails"]["metadata"] = {key: "7"}
    assert read(predicate).invocation == "7"


def test_google_cloud_build_version_1() -> None:
    source = {"repository": f"git+{HOST}", "ref": "refs/heads/main", "path": "cloudbuild.yaml"}
    details = read(version_1({"buildConfigSource": source, "substitutions": {"_TAG": "1"}}))
    assert (details.claims.source, details.claims.source_ref) == (HOST, "refs/heads/main")
    assert details.entry_point == "cloudbuild.yaml"


def test_google_cloud_build_version_01() -> None:
    details = read(
        {
            "builder": {"id": "https://cloudbuild.googleapis.com/GoogleHostedWorker@v0.3"},
            "recipe": {
                "type": "https://cloudbuild.googleapis.com/CloudBuildYaml@v0.1",
                "entryPoint": "cloudbuild.yaml",
                "arguments": {"substitutions": {"_TAG": "1"}},
            },
            "materials": [{"uri": f"{HOST}/commit/d37a", "digest": {"sha1": "d37a"}}],
            "metadata": {"buildStartedOn": "2026-01-02T03:04:05.123456789Z", "buildInvocationId": "x"},
        },
        SLSA_01,
    )
    assert details.build_type == "https://cloudbuild.googleapis.com/CloudBuildYaml@v0.1"
    assert (details.entry_point, details.invocation) == ("cloudbuild.yaml", "x")
    assert details.parameters == {"substitutions": {"_TAG": "1"}}
    assert [material.uri for material in details.materials] == [f"{HOST}/commit/d37a"]
    assert details.started_at is not None
    assert details.finished_at is None


@pytest.mark.parametrize("kind", [SLSA_01, SLSA_02, SLSA])
def test_what_says_nothing(kind: str) -> None:
    details = read({}, kind)
    assert details.version == provenance_version(kind)
    assert details.claims == Provenance(None, None, None)
    assert not any((details.build_type, details.materials, details.parameters, details.invocation))


@pytest.mark.parametrize(
    ("predicate", "kind", "reason"),
    [
        ({}, SPDX, "provenance"),
        ({"materials": {}}, SLSA_02, "field-type"),
        ({"materials": ["x"]}, SLSA_02, "field-type"),
        ({"materials": [{"uri": 1}]}, SLSA_02, "field-type"),
        ({"materials": [{"uri": "x", "digest": {"sha256": 1}}]}, SLSA_02, "field-type"),
        ({"Materials": []}, SLSA_02, "field-case"),
        ({"buildType": 1}, SLSA_02, "field-type"),
        ({"metadata": {"buildStartedOn": "now"}}, SLSA_02, "time"),
        ({"metadata": {"buildInvocationID": "a", "buildInvocationId": "b"}}, SLSA_02, "provenance"),
        ({"invocation": {"parameters": []}}, SLSA_02, "field-type"),
        ({"invocation": {"configSource": {"digest": "d37a"}}}, SLSA_02, "field-type"),
        ({"buildDefinition": []}, SLSA, "field-type"),
        ({"buildDefinition": {"buildtype": "x"}}, SLSA, "field-case"),
        ({"buildDefinition": {"resolvedDependencies": [1]}}, SLSA, "field-type"),
        ({"runDetails": {"metadata": {"startedOn": 5}}}, SLSA, "field-type"),
    ],
)
def test_refused(predicate: Any, kind: str, reason: str) -> None:
    assert code(predicate, kind) == reason


def test_materials_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROVENANCE_MATERIALS", 1)
    assert code({"materials": [{"uri": "a"}, {"uri": "b"}]}, SLSA_02) == "limits"


# -- real ones --------------------------------------------------------------------------------------------------------


def real(folder: Path) -> list[Statement]:
    """Provenance in a layout: bare statements, and those inside envelopes."""
    found = []
    for path in sorted((folder / "blobs/sha256").iterdir()):
        raw = path.read_bytes() if path.stat().st_size < 1_000_000 else b""
        if raw.startswith(b'{"payloadType"'):
            raw = base64.b64decode(json.loads(raw)["payload"])
        if raw.startswith(b'{"_type"') and b"slsa.dev/provenance" in raw:
            found.append(parse_statement(raw))
    return found


@pytest.mark.parametrize(
    ("version", "ref", "commit", "invocation"),
    [
        ("v1.4.0", "refs/heads/main", "904e2c3e02725e314cf6cf141c4700081298dcbd", "3894877440-1"),
        ("v1.10.0", "refs/tags/v13.0.30", "d37a7f740ee7404914456f24dcd90e865a0509e8", "8373487125-1"),
    ],
)
def test_the_generators(shared: Path, version: str, ref: str, commit: str, invocation: str) -> None:
    found = [read_details(item) for item in real(shared / f"real/images/slsa-generator-{version}")]
    (details,) = [item for item in found if item.claims.builder]
    generator = "https://github.com/slsa-framework/slsa-github-generator"
    builder = f"{generator}/.github/workflows/generator_container_slsa3.yml@refs/tags/{version}"
    address, tag = "https://github.com/slsa-framework/example-package", ref.partition("refs/tags/")[2] or None
    assert details.claims == Provenance(builder, address, ref, "main", tag)
    assert details.build_type == f"{generator}/container@v1"
    assert dict(details.source_digests) == {"sha1": commit}
    assert details.entry_point == ".github/workflows/verifier-e2e.all.workflow_dispatch.main.all.slsa3.yml"
    assert (details.invocation, len(details.materials)) == (invocation, 1)


def test_buildkit_beside_a_generator(shared: Path) -> None:
    found = [read_details(item) for item in real(shared / "real/images/slsa-generator-v1.10.0")]
    (details,) = [item for item in found if not item.claims.builder]
    commit = "d37a7f740ee7404914456f24dcd90e865a0509e8"
    assert details.claims == Provenance(None, "https://github.com/slsa-framework/example-package", commit)
    assert details.build_type == "https://mobyproject.org/buildkit@v1"
    assert (dict(details.source_digests), details.entry_point) == ({"sha1": commit}, "Dockerfile")
    assert [item.uri.partition("?")[0] for item in details.materials][:2] == [
        "pkg:docker/golang@1.21",
        "pkg:docker/gcr.io/distroless/static",
    ]
    assert details.invocation == "ommxtc3qv65c8aogpjlg4dcxl"


def test_buildkit_two_platforms(shared: Path) -> None:
    found = [read_details(item) for item in real(shared / "real/images/buildkit-two-platforms")]
    assert len(found) > 1
    for details in found:
        assert (details.entry_point, len(details.materials)) == ("Dockerfile", 2)
        assert details.parameters["frontend"] == "dockerfile.v0"
        assert details.started_at is not None
        assert details.finished_at is not None
        assert details.started_at < details.finished_at
