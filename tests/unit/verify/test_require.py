"""`require = ["sbom", "provenance"]` and `platforms`: what vouches for a statement, and what may be left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.digest import Digest
from bundler.oci import annotations as words
from bundler.oci.descriptor import Descriptor
from bundler.verify.result import Outcome
from tests.simulators.claims import NAME, OTHER_IDENTITY, Claims, demand, only, policy, told, verdict
from tests.simulators.images import (
    SLSA,
    SPDX,
    Layout,
    layer,
    provenance_statement,
    sbom_statement,
    statement,
    two_platforms,
)

AMD64, ARM64 = "linux/amd64", "linux/arm64"
BOTH = '["sbom", "provenance"]'
SBOM = '["sbom"]'
COVERED, UNSIGNED = "covered by the image signature", "unsigned, no covering signature"
Built = tuple[Layout, Descriptor, tuple[Descriptor, Descriptor]]


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(tmp_path)


def each(outcome: str, code: str) -> list[tuple[str, str, str]]:
    """The same for both requirements on both platforms."""
    return [
        (outcome, code and f"{requirement}-{code}", platform)
        for requirement in ("sbom", "provenance")
        for platform in (AMD64, ARM64)
    ]


# -- covered by an image signature ------------------------------------------------------------------------------------


@pytest.mark.parametrize("artifact", [False, True])
def test_signature_on_the_index_covers_its_statements(claims: Claims, artifact: bool) -> None:
    layout, top, _ = two_platforms(NAME, artifact=artifact)
    claims.sign(layout, top, claims.release)
    result = claims.judge(layout, policy(demand(), require=BOTH))
    assert told(result) == [("held", "", ""), *each("held", "")]
    assert {check.strength for check in result.checks[1:]} == {COVERED}
    assert {fact.strength for fact in result.evidence if fact.kind == "statement"} == {COVERED}


@pytest.mark.parametrize("artifact", [False, True])
def test_unsigned_statements_do_not_count(claims: Claims, artifact: bool) -> None:
    layout, _, _ = two_platforms(NAME, artifact=artifact)
    result = claims.judge(layout, policy(require=BOTH))
    assert told(result) == each("failed", "unsigned")
    assert {fact.strength for fact in result.evidence} == {UNSIGNED}


def test_allow_unsigned_counts_and_shows(claims: Claims) -> None:
    layout, _, _ = two_platforms(NAME)
    result = claims.judge(layout, policy(require=BOTH, allow_unsigned="true"))
    assert verdict(result) == ("verified", "")
    assert {check.strength for check in result.checks} == {UNSIGNED}
    assert not any(fact.demanded for fact in result.evidence)


def test_allow_unsigned_does_not_invent_statements(claims: Claims) -> None:
    layout, _, _ = two_platforms(NAME, attested=False)
    assert told(claims.judge(layout, policy(require=BOTH, allow_unsigned="true"))) == each("missing", "missing")


def test_attestation_on_the_index_does_not_cover_its_statements(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME)
    claims.attest(layout, top, claims.release, "https://example.org/review/v1")
    text = policy(demand("attestation", "https://example.org/review/v1"), require=SBOM)
    assert told(claims.judge(layout, text), "sbom") == [
        ("failed", "sbom-unsigned", AMD64),
        ("failed", "sbom-unsigned", ARM64),
    ]


def test_signatures_on_platforms_do_not_cover_statements_about_them(claims: Claims) -> None:
    layout, _, children = two_platforms(NAME)
    for child in children:
        claims.sign(layout, child, claims.release)
    result = claims.judge(layout, policy(demand(), require=BOTH))
    assert told(result) == [("held", "", "on every platform"), *each("failed", "unsigned")]


def test_signature_that_no_demand_asked_for_covers_nothing(claims: Claims) -> None:
    layout, top, children = two_platforms(NAME)
    claims.sign(layout, top, claims.other)
    for child in children:
        claims.sign(layout, child, claims.release)
    assert told(claims.judge(layout, policy(demand(), require=BOTH)))[1:] == each("failed", "unsigned")
    layout, top, _ = two_platforms(NAME)
    claims.sign(layout, top, claims.release)
    claims.attest(layout, top, claims.release, "https://example.org/review/v1")
    text = policy(demand("attestation", "https://example.org/review/v1"), require=BOTH)
    assert told(claims.judge(layout, text))[1:] == each("failed", "unsigned")


def test_signature_by_another_covers_nothing(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME)
    claims.sign(layout, top, claims.other)
    result = claims.judge(layout, policy(demand(), require=BOTH))
    assert told(result) == [("untrusted", "identity-mismatch", ""), *each("failed", "unsigned")]


def test_signature_on_a_nested_index_only_covers_nothing(claims: Claims) -> None:
    layout = Layout()
    child = layout.image(AMD64, [layer(b"a", seed=1)])
    inner = layout.index([child, layout.attestation(child, [sbom_statement(child)])])
    layout.name(layout.index([inner]), NAME)
    claims.sign(layout, inner, claims.release)
    claims.sign(layout, child, claims.release)
    assert told(claims.judge(layout, policy(demand(), require=SBOM)), "sbom") == [("failed", "sbom-unsigned", AMD64)]


def test_signature_on_the_top_covers_what_nests_below(claims: Claims) -> None:
    layout = Layout()
    child = layout.image(AMD64, [layer(b"a", seed=1)])
    inner = layout.index([child, layout.attestation(child, [sbom_statement(child)])])
    top = layout.name(layout.index([inner]), NAME)
    claims.sign(layout, top, claims.release)
    check = only(claims.judge(layout, policy(demand(), require=SBOM)), "sbom")
    assert (check.outcome, check.strength) == (Outcome.HELD, COVERED)


# -- signed attestations ----------------------------------------------------------------------------------------------


def test_demanded_attestation_about_the_index_counts_for_every_platform(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.attest(layout, top, claims.release, SPDX)
    result = claims.judge(layout, policy(demand("attestation", SPDX), require=SBOM))
    assert told(result, "sbom") == [("held", "", AMD64), ("held", "", ARM64)]
    assert {check.strength for check in result.checks[1:]} == {"signed"}


def test_demanded_attestation_about_each_platform(claims: Claims) -> None:
    layout, _, (amd64, arm64) = two_platforms(NAME, attested=False)
    claims.attest(layout, amd64, claims.release, SPDX)
    text = policy(demand("attestation", SPDX), require=SBOM)
    assert [check[:2] for check in told(claims.judge(layout, text))] == [
        ("missing", "attestation-missing"),
        ("untrusted", "sbom-untrusted"),
        ("untrusted", "sbom-untrusted"),
    ]
    claims.attest(layout, arm64, claims.release, SPDX)
    assert verdict(claims.judge(layout, text)) == ("verified", "")


def test_attestation_that_no_demand_asked_for_does_not_count(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.sign(layout, top, claims.release)
    claims.attest(layout, top, claims.release, SPDX)
    result = claims.judge(layout, policy(demand(), require=SBOM))
    assert told(result, "sbom") == [("untrusted", "sbom-untrusted", AMD64), ("untrusted", "sbom-untrusted", ARM64)]


def test_attestation_of_another_kind_or_by_another_does_not_count(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.beside(
        layout, top, "att",
        claims.sigstore.attest(top.digest, claims.release, predicate_type=SLSA),
        claims.sigstore.attest(top.digest, claims.other, predicate_type=SPDX),
    )  # fmt: skip
    text = policy(demand("attestation", SLSA), demand("attestation", SPDX), require=BOTH)
    assert told(claims.judge(layout, text)) == [
        ("held", "", ""), ("untrusted", "identity-mismatch", ""),
        ("untrusted", "sbom-untrusted", AMD64), ("untrusted", "sbom-untrusted", ARM64),
        ("held", "", AMD64), ("held", "", ARM64),
    ]  # fmt: skip
    both = text.replace(f"{SPDX}\"\ncertificate_identity = '", f"{SPDX}\"\ncertificate_identity = '{OTHER_IDENTITY}' #")
    assert verdict(claims.judge(layout, both)) == ("verified", "")


# -- statements in the index ------------------------------------------------------------------------------------------


def rebuilt(claims: Claims, *attestations: list[bytes], lie: str = "", artifact: bool = False) -> Built:
    """A signed index over two platforms, each with these statements; `lie` is annotated as their predicate type."""
    layout = Layout()
    children = tuple(
        layout.image(platform, [layer(platform.encode(), seed=seed)]) for seed, platform in enumerate((AMD64, ARM64))
    )
    made = []
    for child, raws in zip(children, attestations, strict=False):
        entry = layout.attestation(child, raws, artifact=artifact)
        if lie:
            document = json.loads(layout.read(entry.digest))
            for item in document["layers"]:
                item["annotations"]["in-toto.io/predicate-type"] = lie
            entry = moved(entry, layout.blob(json.dumps(document).encode(), entry.media_type))
        made.append(entry)
    top = layout.name(layout.index([*children, *made]), NAME)
    claims.sign(layout, top, claims.release)
    return layout, top, (children[0], children[1])


def moved(entry: Descriptor, to: Descriptor) -> Descriptor:
    return replace(entry, digest=to.digest, size_bytes=to.size_bytes)


def digest_of(platform: str, seed: int) -> Descriptor:
    return Layout().image(platform, [layer(platform.encode(), seed=seed)])


SIGNED = policy(demand(), require=SBOM)
ONE, TWO = digest_of(AMD64, 0), digest_of(ARM64, 1)


def test_one_platform_without_a_statement(claims: Claims) -> None:
    layout, _, _ = rebuilt(claims, [sbom_statement(ONE)], [provenance_statement(TWO)])
    assert told(claims.judge(layout, SIGNED), "sbom") == [("held", "", AMD64), ("missing", "sbom-missing", ARM64)]


@pytest.mark.parametrize("artifact", [False, True])
def test_a_statement_about_the_other_platform(claims: Claims, artifact: bool) -> None:
    layout, _, _ = rebuilt(claims, [sbom_statement(TWO)], [sbom_statement(ONE)], artifact=artifact)
    assert told(claims.judge(layout, SIGNED), "sbom") == [
        ("failed", "subject-mismatch", AMD64),
        ("failed", "subject-mismatch", ARM64),
    ]


def test_an_annotation_that_lies_about_the_predicate_type(claims: Claims) -> None:
    layout, _, _ = rebuilt(claims, [provenance_statement(ONE)], [provenance_statement(TWO)], lie=SPDX)
    assert told(claims.judge(layout, SIGNED), "sbom") == [
        ("failed", "predicate-type", AMD64),
        ("failed", "predicate-type", ARM64),
    ]


@pytest.mark.parametrize(
    "predicate_type", [f"{SPDX}s", f"{SPDX}/", f"x{SPDX}", "https://spdx.dev/document", "SPDX", f"{SPDX}\n"]
)
def test_predicate_types_are_recognised_whole(claims: Claims, predicate_type: str) -> None:
    layout, _, _ = rebuilt(claims, *([statement(child.digest, predicate_type, {})] for child in (ONE, TWO)))
    assert {code for _, code, _ in told(claims.judge(layout, SIGNED), "sbom")} == {"sbom-missing"}


def test_one_bad_statement_hides_no_good_one(claims: Claims) -> None:
    bad = statement(Digest("sha256", "0" * 64), SPDX, {})
    layout, _, _ = rebuilt(claims, [bad, sbom_statement(ONE)], [sbom_statement(TWO), bad])
    result = claims.judge(layout, SIGNED)
    assert verdict(result) == ("verified", "")
    assert [fact.code for fact in result.evidence if fact.kind == "statement"] == [
        "subject-mismatch", "", "", "subject-mismatch",
    ]  # fmt: skip


def test_an_artifact_whose_subject_is_another(claims: Claims) -> None:
    layout = Layout()
    one = layout.image(AMD64, [layer(AMD64.encode(), seed=0)])
    stranger = layout.image(ARM64, [layer(b"stranger", seed=9)])
    entry = layout.attestation(stranger, [sbom_statement(one)], artifact=True)
    tied = replace(entry, annotations={**entry.annotations, words.REFERENCE_DIGEST: str(one.digest)})
    top = layout.name(layout.index([one, tied]), NAME)
    claims.sign(layout, top, claims.release)
    assert told(claims.judge(layout, SIGNED), "sbom") == [("failed", "subject-mismatch", AMD64)]


def test_a_statement_that_is_no_statement(claims: Claims) -> None:
    raw = json.dumps({"predicateType": SPDX, "_type": "https://in-toto.io/Statement/v2"}).encode()
    layout, _, _ = rebuilt(claims, [raw], [raw])
    assert {check[0] for check in told(claims.judge(layout, SIGNED), "sbom")} == {"failed"}


def test_an_image_without_platforms_meets_no_requirement(claims: Claims) -> None:
    layout = Layout()
    top = layout.name(layout.index([]), NAME)
    claims.sign(layout, top, claims.release)
    assert told(claims.judge(layout, SIGNED), "sbom") == [("missing", "sbom-missing", "")]


# -- platforms and omissions ------------------------------------------------------------------------------------------


def demanding(*platforms: str, **options: str) -> str:
    return policy(demand(), platforms=json.dumps(platforms), **options)


def signed_index(claims: Claims) -> Layout:
    layout, top, _ = two_platforms(NAME)
    claims.sign(layout, top, claims.release)
    return layout


def test_demanded_platforms_are_there(claims: Claims) -> None:
    assert verdict(claims.judge(signed_index(claims), demanding(AMD64, ARM64))) == ("verified", "")


@pytest.mark.parametrize("wanted", ["linux/s390x", "linux/amd", "linux/amd64/v3", "windows/amd64"])
def test_demanded_platform_that_the_image_has_not(claims: Claims, wanted: str) -> None:
    result = claims.judge(signed_index(claims), demanding(wanted, AMD64))
    assert told(result, "platform") == [("missing", "platform-missing", wanted), ("held", "", AMD64)]


def test_omission_is_listed_and_rejected(claims: Claims) -> None:
    result = claims.judge(signed_index(claims), policy(demand()), platforms=[AMD64])
    assert told(result) == [("held", "", ""), ("omitted", "platform-omitted", "linux/arm64, unknown/unknown")]
    assert [platform for platform, _ in result.omitted] == [ARM64, "unknown/unknown"]


def test_allowed_omission_leaves_the_index_signed_and_covering(claims: Claims) -> None:
    text = demanding(AMD64, allow_omitted="true", require=BOTH)
    result = claims.judge(signed_index(claims), text, platforms=[AMD64])
    assert verdict(result) == ("verified", "")
    assert told(result)[-1][0] == "note"
    assert [check.strength for check in result.checks if check.name == "sbom"] == [COVERED]


def test_allowed_omission_does_not_excuse_a_demanded_platform(claims: Claims) -> None:
    result = claims.judge(signed_index(claims), demanding(ARM64, allow_omitted="true"), platforms=[AMD64])
    assert told(result, "platform") == [("omitted", "platform-omitted", ARM64)]
    assert verdict(result) == ("rejected", "platform-omitted")


def test_every_platform_means_every_one_present(claims: Claims) -> None:
    layout, _, (amd64, arm64) = two_platforms(NAME, attested=False)
    claims.sign(layout, amd64, claims.release)
    text = policy(demand(), allow_omitted="true")
    assert verdict(claims.judge(layout, text, platforms=[ARM64])) == ("rejected", "signature-missing")
    assert verdict(claims.judge(layout, text, platforms=[AMD64])) == ("verified", "")
    assert arm64.digest != amd64.digest


@pytest.mark.parametrize(
    ("there", "wanted", "holds"),
    [
        ("linux/arm/v7", "linux/arm", True), ("linux/arm/v7", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v6", False), ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm64", "linux/arm64/v8", True), ("linux/arm64/v8", "linux/arm64/v8", True),
        ("linux/arm64/v9", "linux/arm64/v8", False), ("linux/arm64", "linux/arm", False),
        ("linux/arm", "linux/arm/v7", False),
    ],
)  # fmt: skip
def test_variants(claims: Claims, there: str, wanted: str, holds: bool) -> None:
    layout = Layout()
    top = layout.name(layout.index([layout.image(there, [layer(b"x")])]), NAME)
    claims.sign(layout, top, claims.release)
    assert (claims.judge(layout, demanding(wanted)).verdict.value == "verified") == holds
