"""What reports say of evidence: verified only what was verified, with who, when and how strong; everything else too."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundler.verify.facts import signed_times
from bundler.verify.result import EvidenceFact, ImageResult
from tests.simulators.claims import (
    IDENTITY,
    NAME,
    OTHER_IDENTITY,
    REPOSITORY,
    ROOT,
    TEAM,
    Claims,
    demand,
    policy,
    verdict,
)
from tests.simulators.images import SLSA, SPDX, Layout, layer, two_platforms
from tests.simulators.sigstore import Sigstore
from tests.simulators.sigstore_keys import AT, GITHUB

LOGGED, NOT_LOGGED, NOTHING = "signed, inclusion promise", "signed, not logged", "not verified"
SIGNED = policy(demand())


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(tmp_path)


def single(result: ImageResult, kind: str) -> EvidenceFact:
    (fact,) = [fact for fact in result.evidence if fact.kind == kind]
    return fact


def test_a_keyless_signature_tells_all(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    made = claims.sign(layout, top, claims.release, reference="mirror.example.org/app")
    fact = single(claims.judge(layout, SIGNED), "signature")
    assert (fact.subject, fact.digest, fact.platform) == (top.digest, made.digest, "")
    assert (fact.strength, fact.signer, fact.issuer) == (LOGGED, IDENTITY, GITHUB)
    assert (fact.log, fact.signed_at) == ("https://rekor.example.org", AT)
    assert fact.log_index is not None
    assert (fact.claimed_reference, fact.predicate_type) == ("mirror.example.org/app", "")
    assert (fact.code, fact.demanded) == ("", True)


def test_an_attestation_tells_its_type_and_platform(claims: Claims) -> None:
    layout, _, (amd64, _) = two_platforms(NAME, attested=False)
    claims.attest(layout, amd64, claims.release, SPDX)
    fact = single(claims.judge(layout, SIGNED), "attestation")
    assert (fact.platform, fact.predicate_type, fact.claimed_reference) == ("linux/amd64", SPDX, "")
    assert (fact.strength, fact.demanded) == (LOGGED, False)


def test_a_key_is_named_by_its_fingerprint(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.sign(layout, top, claims.team, at=None)
    fact = single(claims.judge(layout, policy(demand(key="team"))), "signature")
    assert (fact.strength, fact.issuer, fact.log, fact.log_index, fact.signed_at) == (NOT_LOGGED, "", "", None, None)
    assert fact.signer.startswith("key ")


def test_what_nobody_demanded_is_judged_and_does_not_count(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.beside(layout, top, "sig", *(claims.sigstore.sign(top.digest, s) for s in (claims.other, claims.team)))
    for text in (None, SIGNED):
        result = claims.judge(layout, text)
        assert result.verdict.value == "rejected"
        assert [(fact.strength, fact.demanded) for fact in result.evidence] == [(LOGGED, False)] * 2
        assert result.evidence[0].signer == OTHER_IDENTITY


@pytest.mark.parametrize(
    ("remove", "signer", "code"),
    [(ROOT, "other", "trusted-root-missing"), (TEAM, "team", "key-unknown")],
)
def test_without_material_nothing_is_called_verified(claims: Claims, remove: str, signer: str, code: str) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.sign(layout, top, getattr(claims, signer))
    del claims.targets[remove]
    fact = single(claims.judge(layout, SIGNED), "signature")
    assert (fact.strength, fact.code) == (NOTHING, code)
    assert (fact.signer, fact.issuer, fact.log, fact.claimed_reference) == ("", "", "", "")


def test_a_key_that_is_published_beside_a_broken_one(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.sign(layout, top, claims.team)
    claims.targets |= {"keys/a.pub": b"junk", "keys/z.pub": claims.sigstore.key_signer().public_pem.encode()}
    assert single(claims.judge(layout, SIGNED), "signature").strength == LOGGED


def test_broken_evidence_says_why_and_nothing_else(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    good = claims.sigstore.sign(top.digest, claims.release)
    claims.beside(
        layout, top, "sig", good.having(bundle=None), good.having(signature="AAAA"), good._replace(raw=b"{}"), good
    )
    facts = claims.judge(layout, SIGNED).evidence
    assert [(fact.strength, fact.code) for fact in facts] == [
        (NOTHING, "no-signed-time"), (NOTHING, "signature"), (NOTHING, "signature"), (LOGGED, ""),
    ]  # fmt: skip
    assert [bool(fact.signer) for fact in facts] == [False, False, False, True]
    assert all(fact.detail for fact in facts[:3])


def test_kinds_that_are_only_listed_say_so(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.sign(layout, top, claims.release)
    manifest = layout.cosign([(b"SPDXVersion: SPDX-2.3", "text/spdx", {})])
    layout.tag_evidence(manifest, top, "sbom", REPOSITORY)
    fact = single(claims.judge(layout, SIGNED), "sbom")
    assert (fact.strength, fact.code, fact.digest) == (NOTHING, "unchecked", manifest.digest)


def test_an_empty_signature_manifest_is_listed(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.beside(layout, top, "sig")
    result = claims.judge(layout, SIGNED)
    assert verdict(result) == ("rejected", "signature-missing")
    assert [(fact.kind, fact.strength) for fact in result.evidence] == [("signature", NOTHING)]


def test_malleable_parts_are_named_as_not_verified(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    made = claims.sigstore.attest(top.digest, claims.release)
    claims.beside(layout, top, "att", made)
    detail = single(claims.judge(layout, SIGNED), "attestation").detail
    assert "annotation predicateType: not used" in detail
    assert "annotation chain: not used" in detail


def test_only_demanded_evidence_tells_the_time(claims: Claims) -> None:
    """The site's time floor learns from what met a demand; anybody may add a signature with any time."""
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.beside(layout, top, "sig", *(claims.sigstore.sign(top.digest, s) for s in (claims.release, claims.other)))
    assert claims.judged(layout, SIGNED).times == (AT,)
    assert claims.judged(layout, policy(demand(identity="https://example.org/nobody"))).times == ()
    assert claims.judged(layout, None).times == ()
    ignoring = policy(demand(key="team", insecure_ignore_tlog="true"))
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.sign(layout, top, claims.team)
    assert claims.judged(layout, ignoring).times == ()
    assert claims.judged(layout, policy(demand(key="team"))).times == (AT,)
    assert signed_times.__doc__


def test_several_roots_and_no_demand(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.sign(layout, top, claims.release)
    claims.targets["trusted_root/two.json"] = Sigstore("two").trusted_root_json()
    fact = single(claims.judge(layout, None), "signature")
    assert (fact.strength, fact.code) == (NOTHING, "trusted-root-ambiguous")


def test_facts_stand_in_the_order_of_the_inventory(claims: Claims) -> None:
    layout = Layout()
    top = layout.name(layout.image("linux/amd64", [layer(b"x")]), NAME)
    kinds = [SLSA, SPDX, "https://example.org/a"]
    claims.beside(
        layout, top, "att",
        *(claims.sigstore.attest(top.digest, claims.release, predicate_type=kind) for kind in kinds),
    )  # fmt: skip
    claims.sign(layout, top, claims.release)
    facts = claims.judge(layout, SIGNED).evidence
    assert [fact.predicate_type for fact in facts] == ["", *kinds]
    assert claims.judge(layout, SIGNED) == claims.judge(layout, SIGNED)
