"""SBOM kinds, builder and source of provenance, and `--explain`: read from what was vouched for, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundler.oci.descriptor import Descriptor
from bundler.report.as_json import report_document
from bundler.report.as_text import format_text
from bundler.verify.images import judge_image
from bundler.verify.result import ImageResult, Report
from tests.simulators.claims import NAME, Claims, demand, only, policy, told, verdict
from tests.simulators.images import SLSA, SPDX, Layout, layer, provenance_statement, statement, two_platforms

AMD64, ARM64 = "linux/amd64", "linux/arm64"
CYCLONEDX = "https://cyclonedx.org/bom"
SLSA_02 = "https://slsa.dev/provenance/v0.2"
BUILDER, SOURCE, REF = "https://example.org/builder", "https://github.com/example/app", "refs/tags/v1"
PREDICATES: dict[str, dict[str, Any]] = {
    SLSA_02: {"builder": {"id": BUILDER}, "invocation": {"configSource": {"uri": f"git+{SOURCE}@{REF}"}}},
    SLSA: {
        "runDetails": {"builder": {"id": BUILDER}},
        "buildDefinition": {"externalParameters": {"workflow": {"repository": SOURCE, "ref": REF}}},
    },
}


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(tmp_path, "require")


def one_platform(*statements: tuple[str, object]) -> tuple[Layout, Descriptor, Descriptor]:
    """An index with one platform, and BuildKit statements about it."""
    layout = Layout()
    child = layout.image(AMD64, [layer(b"a", seed=1)])
    made = [statement(child.digest, kind, predicate) for kind, predicate in statements]
    children = [child, layout.attestation(child, made)] if made else [child]
    return layout, layout.name(layout.index(children), NAME), child


def provenance_policy(demands: str, **rules: str) -> str:
    table = "\n".join(f"{name} = '{value}'" for name, value in rules.items())
    return f"{policy()}\n[rule.provenance]\n{table}\n{demands}"


# -- SBOM kinds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "there", "code"),
    [
        ("sbom", SPDX, ""),
        ("sbom", CYCLONEDX, ""),
        ("spdx", SPDX, ""),
        ("cyclonedx", CYCLONEDX, ""),
        ("spdx", CYCLONEDX, "sbom-missing"),
        ("cyclonedx", SPDX, "sbom-missing"),
        ("cyclonedx", "https://syft.dev/bom", "sbom-missing"),
        ("provenance", SPDX, "provenance-missing"),
    ],
)
@pytest.mark.parametrize("covered", [True, False])
def test_kinds(claims: Claims, wanted: str, there: str, code: str, covered: bool) -> None:
    require = f'["{wanted}"]'
    if covered:
        layout, top, _ = one_platform((there, {}))
        claims.sign(layout, top, claims.release)
        text = policy(demand(), require=require)
    else:
        layout, top, _ = one_platform()
        claims.attest(layout, top, claims.release, there)
        text = policy(demand("attestation", there), require=require)
    result = claims.judge(layout, text)
    assert told(result, wanted) == [("missing" if code else "held", code, AMD64)]


def test_each_kind_is_a_demand_of_its_own(claims: Claims) -> None:
    layout, top, _ = one_platform((SPDX, {}))
    claims.sign(layout, top, claims.release)
    result = claims.judge(layout, policy(demand(), require='["spdx", "cyclonedx"]'))
    assert told(result)[1:] == [("held", "", AMD64), ("missing", "sbom-missing", AMD64)]


def test_codes_of_a_kind_are_those_of_sboms(claims: Claims) -> None:
    layout, top, _ = one_platform((SPDX, {}))
    assert told(claims.judge(layout, policy(require='["spdx"]'))) == [("failed", "sbom-unsigned", AMD64)]
    layout, top, _ = one_platform()
    claims.attest(layout, top, claims.other, SPDX)
    result = claims.judge(layout, policy(demand("attestation", SPDX), require='["spdx"]'))
    assert told(result, "spdx") == [("untrusted", "sbom-untrusted", AMD64)]


# -- builder and source -----------------------------------------------------------------------------------------------

GOOD = [
    {"builder": BUILDER},
    {"source": SOURCE},
    {"source_ref": REF},
    {"builder": BUILDER, "source": SOURCE, "source_ref": REF},
    {"source": SOURCE.removeprefix("https://")},
    {"source_tag": "v1"},
    {"source_tag_regexp": "^v[0-9]+$", "source_versioned_tag": "v1"},
    {"builder_regexp": "^https://example.org/.*$", "source_regexp": "^https://github.com/example/.*$"},
]
BAD = [
    ({"builder": f"{BUILDER}2"}, "provenance-builder"),
    ({"builder_regexp": "^http:.*$"}, "provenance-builder"),
    ({"source": f"{SOURCE}2"}, "provenance-source"),
    ({"source": f"git+{SOURCE}"}, "provenance-source"),
    ({"builder": BUILDER, "source_ref": "refs/heads/main"}, "provenance-source"),
    ({"source": "github.com/example/ap"}, "provenance-source"),
    ({"source": "/example/app"}, "provenance-source"),
    ({"source_branch": "main"}, "provenance-source"),
    ({"source_branch_regexp": "^.*$"}, "provenance-source"),
    ({"source_tag": "v2"}, "provenance-source"),
    ({"source_versioned_tag": "v2"}, "provenance-source"),
    ({"source_versioned_tag": "v1.0"}, "provenance-source"),
]


def attested(claims: Claims, kind: str, predicate: object, how: str) -> tuple[Layout, str]:
    """Provenance, signed or covered, and the demand that it meets."""
    if how == "covered":
        layout, top, _ = one_platform((kind, predicate))
        claims.sign(layout, top, claims.release)
        return layout, demand()
    layout, top, child = one_platform()
    claims.attest(layout, top if how == "index" else child, claims.release, kind, predicate=predicate)
    return layout, demand("attestation", kind)


@pytest.mark.parametrize("kind", [SLSA_02, SLSA])
@pytest.mark.parametrize("how", ["covered", "index", "platform"])
def test_provenance_says(claims: Claims, kind: str, how: str) -> None:
    layout, demanded = attested(claims, kind, PREDICATES[kind], how)
    for rules in GOOD:
        result = claims.judge(layout, provenance_policy(demanded, **rules))
        assert verdict(result) == ("verified", "")
        check = only(result, "provenance")
        assert check.detail == f"{kind}, builder {BUILDER}, source {SOURCE}, ref {REF}"
        assert check.strength == ("covered by the image signature" if how == "covered" else "signed")
    for rules, code in BAD:
        result = claims.judge(layout, provenance_policy(demanded, **rules))
        assert told(result, "provenance") == [("failed", code, AMD64)]


@pytest.mark.parametrize("predicate", [{}, {"builder": {"id": ""}}, {"builder": {}}])
def test_what_is_not_said_does_not_hold(claims: Claims, predicate: object) -> None:
    layout, demanded = attested(claims, SLSA_02, predicate, "index")
    for rules, code in (({"builder_regexp": "^.*$"}, "provenance-builder"), ({"source": SOURCE}, "provenance-source")):
        result = claims.judge(layout, provenance_policy(demanded, **rules))
        assert told(result, "provenance") == [("failed", code, AMD64)]


def test_ambiguous_provenance_vouches_for_nothing(claims: Claims) -> None:
    predicate = json.loads(json.dumps(PREDICATES[SLSA]))
    predicate["buildDefinition"]["externalParameters"]["configSource"] = {"uri": "https://github.com/example/other"}
    layout, demanded = attested(claims, SLSA, predicate, "index")
    result = claims.judge(layout, provenance_policy(demanded, source=SOURCE))
    assert told(result, "provenance") == [("failed", "provenance", AMD64)]
    predicate["Builddefinition"] = {}
    layout, demanded = attested(claims, SLSA, predicate, "index")
    result = claims.judge(layout, provenance_policy(demanded, source=SOURCE))
    assert told(result, "provenance") == [("failed", "field-case", AMD64)]


def test_one_statement_has_to_say_all(claims: Claims) -> None:
    """The builder of one statement and the source of another are nobody's."""
    layout, top, child = one_platform()
    layers = [
        claims.sigstore.attest(top.digest, claims.release, predicate_type=SLSA_02, predicate=predicate)
        for predicate in (
            {"builder": {"id": BUILDER}},
            {"invocation": {"configSource": {"uri": SOURCE}}},
        )
    ]
    claims.beside(layout, top, "att", *layers)
    demanded = demand("attestation", SLSA_02)
    result = claims.judge(layout, provenance_policy(demanded, builder=BUILDER, source=SOURCE))
    assert [outcome for outcome, _, _ in told(result, "provenance")] == ["failed"]
    assert child


@pytest.mark.parametrize("turned", [False, True])
def test_one_attestation_hides_no_other(claims: Claims, turned: bool) -> None:
    """Of two by one signer, the one that says so counts, wherever it stands."""
    layout, top, _ = one_platform()
    predicates = [{"builder": {"id": "https://example.org/laptop"}}, PREDICATES[SLSA_02]]
    layers = [
        claims.sigstore.attest(top.digest, claims.release, predicate_type=SLSA_02, predicate=predicate)
        for predicate in (reversed(predicates) if turned else predicates)
    ]
    claims.beside(layout, top, "att", *layers)
    result = claims.judge(layout, provenance_policy(demand("attestation", SLSA_02), builder=BUILDER, source=SOURCE))
    assert told(result, "provenance") == [("held", "", AMD64)]


@pytest.mark.parametrize(
    ("saying", "others", "held"),
    [
        (["ann", "ben"], [], True),
        (["ann", "ben"], ["cid"], True),
        (["ann", "ben", "ann"], ["cid", "ann"], True),
        (["ann"], ["ben"], False),
        (["ann", "ann"], ["ben", "cid"], False),
        (["ann"], ["ann", "ben"], False),
    ],
)
def test_as_many_signers_say_so_as_the_demand_wants(
    claims: Claims, saying: list[str], others: list[str], held: bool
) -> None:
    """Two of three have signed provenance each; that one of them names the builder is that one's word alone."""
    people = {name: claims.sigstore.key_signer() for name in ("ann", "ben", "cid")}
    claims.targets |= {f"keys/{name}.pub": signer.public_pem.encode() for name, signer in people.items()}
    layout, top, _ = one_platform()
    layers = [
        claims.sigstore.attest(top.digest, people[name], predicate_type=SLSA_02, predicate={"builder": {"id": builder}})
        for names, builder in ((others, "https://example.org/laptop"), (saying, BUILDER))
        for name in names
    ]
    claims.beside(layout, top, "att", *layers)
    signers = "".join(f'[[rule.attestation.signer]]\nkey = "{name}"\n' for name in people)
    demanded = f'[[rule.attestation]]\npredicate_type = "{SLSA_02}"\nthreshold = 2\n{signers}'
    result = claims.judge(layout, provenance_policy(demanded, builder=BUILDER))
    assert told(result, "attestation") == [("held", "", "")]
    expected = ("held", "") if held else ("failed", "provenance-builder")
    assert told(result, "provenance") == [(*expected, AMD64)]


def test_provenance_by_nobody_says_nothing(claims: Claims) -> None:
    layout, _, _ = one_platform((SLSA_02, PREDICATES[SLSA_02]))
    text = provenance_policy("", builder=BUILDER)
    assert told(claims.judge(layout, text)) == [("failed", "provenance-unsigned", AMD64)]
    allowed = text.replace("[rule.provenance]", "allow_unsigned = true\n[rule.provenance]").replace(
        "allow_unsigned", 'require = ["provenance"]\nallow_unsigned', 1
    )
    assert told(claims.judge(layout, allowed)) == [("held", "", AMD64)]
    assert told(claims.judge(layout, allowed.replace(BUILDER, f"{BUILDER}2"))) == [
        ("failed", "provenance-builder", AMD64)
    ]


def test_every_platform_needs_it(claims: Claims) -> None:
    layout, _, (amd64, arm64) = two_platforms(NAME, attested=False)
    claims.attest(layout, amd64, claims.release, SLSA_02, predicate=PREDICATES[SLSA_02])
    claims.attest(layout, arm64, claims.release, SLSA_02, predicate={"builder": {"id": "https://example.org/laptop"}})
    result = claims.judge(layout, provenance_policy(demand("attestation", SLSA_02), builder=BUILDER))
    assert told(result, "provenance") == [("held", "", AMD64), ("failed", "provenance-builder", ARM64)]


def test_simulated_provenance_names_its_builder(claims: Claims) -> None:
    layout = Layout()
    child = layout.image(AMD64, [layer(b"a", seed=1)])
    top = layout.name(layout.index([child, layout.attestation(child, [provenance_statement(child)])]), NAME)
    claims.sign(layout, top, claims.release)
    assert verdict(claims.judge(layout, provenance_policy(demand(), builder=BUILDER))) == ("verified", "")


# -- --explain --------------------------------------------------------------------------------------------------------


def explained(claims: Claims, text: str | None) -> ImageResult:
    layout, top, _ = one_platform()
    claims.sign(layout, top, claims.release)
    inventory = claims.inventory((layout, NAME))
    contents = {digest: layout.read(digest) for digest in layout.blobs}
    bench = replace(claims.bench(inventory, text, contents), explain=True)
    return judge_image(inventory.images[0], bench).result


def test_explanation_names_every_rule_tried(claims: Claims) -> None:
    first = 'format = 1\n[[rule]]\nname = "others"\nimages = ["other.example.org/**"]\nrequire = ["sbom"]\n'
    text = first + policy(demand(), require='["spdx"]').removeprefix("format = 1\n")
    result = explained(claims, text)
    report = Report(file="f", tool="t", images=(result,))
    (image,) = report_document(report)["images"]
    assert [(rule["rule"], rule["applies"]) for rule in image["explanation"]["rules"]] == [
        ("others", False),
        ("the rule", True),
    ]
    assert len(image["explanation"]["demands"]) == 2
    lines = format_text(report)
    assert "    others: no, none of its 1 names and digests is the image's" in lines
    assert "    the rule: applies, registry.example.org/app matches the name" in lines
    assert "    demands signature by https://example.org/" in lines
    assert "    demands spdx for every platform" in lines


def test_explanation_without_a_rule_or_a_policy(claims: Claims) -> None:
    text = 'format = 1\n[[rule]]\nimages = ["other.example.org/**"]\nrequire = ["sbom"]\n'
    result = explained(claims, text)
    assert result.reason == "no-rule"
    assert "    no rule applies\n" in format_text(Report(file="f", tool="t", images=(result,)))
    result = explained(claims, None)
    assert "    there is no policy\n" in format_text(Report(file="f", tool="t", images=(result,)))


def test_nobody_asked_why(claims: Claims) -> None:
    layout, _, _ = one_platform()
    result = claims.judge(layout, policy(demand()))
    assert result.explanation is None
    report = Report(file="f", tool="t", images=(result,))
    assert report_document(report)["images"][0]["explanation"] is None
    assert "why:" not in format_text(report)
