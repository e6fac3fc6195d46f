"""Signature and attestation demands: who counts, about what, and what is said when nobody does (POLICY.md)."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from bundler.digest import sha256_of
from bundler.errors import RejectedError
from bundler.oci.descriptor import Descriptor
from bundler.verify.completeness import open_image
from bundler.verify.opened import open_evidence
from bundler.verify.result import Outcome
from tests.simulators.claims import (
    IDENTITY,
    NAME,
    OTHER_IDENTITY,
    OTHER_ISSUER,
    ROOT,
    TEAM,
    Claims,
    demand,
    only,
    policy,
    regexp_demand,
    told,
    verdict,
)
from tests.simulators.images import SLSA, SPDX, Layout, layer, two_platforms
from tests.simulators.sigstore import SignedLayer, Sigstore
from tests.simulators.sigstore_keys import GITHUB

LOGGED, NOT_LOGGED = "signed, inclusion promise", "signed, not logged"
SIGNED = policy(demand("signature"))
KEYED = policy(demand("signature", key="team"))


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(tmp_path)


def plain() -> tuple[Layout, Descriptor, tuple[Descriptor, Descriptor]]:
    return two_platforms(NAME, attested=False)


# -- signature and attestation ----------------------------------------------------------------------------------------


def test_signature_on_the_index_holds(claims: Claims) -> None:
    layout, top, _ = plain()
    claims.sign(layout, top, claims.release)
    result = claims.judge(layout, SIGNED)
    assert verdict(result) == ("verified", "")
    check = only(result, "signature")
    assert (check.outcome, check.about, check.strength) == (Outcome.HELD, "", LOGGED)
    assert IDENTITY in check.detail
    assert GITHUB in check.detail


def test_an_image_without_an_index_is_its_own_top(claims: Claims) -> None:
    layout = Layout()
    top = layout.name(layout.image("linux/amd64", [layer(b"x")]), NAME)
    assert verdict(claims.judge(layout, SIGNED)) == ("rejected", "signature-missing")
    claims.sign(layout, top, claims.release)
    assert verdict(claims.judge(layout, SIGNED)) == ("verified", "")


@pytest.mark.parametrize("wanted", ["signature", "attestation"])
def test_what_was_verified_decides_not_what_was_claimed(claims: Claims, wanted: str) -> None:
    """Candidates are chosen by what they claim; the verified statement is held against the demand once more."""
    layout, top, _ = plain()
    claims.beside(layout, top, "att", claims.sigstore.attest(top.digest, claims.release, predicate_type=SLSA))
    text = policy(demand("attestation", SLSA), demand("attestation", SPDX), demand("signature"))
    contents = {digest: layout.read(digest) for digest in layout.blobs}
    bench = claims.bench(claims.inventory((layout, NAME)), text, contents)
    complete = open_image(bench.inventory.images[0], bench.inventory, bench.read_blob)
    (appraisal,) = open_evidence(complete, bench.keyring, bench.read_blob).appraisals
    assert bench.policy is not None
    signature, slsa, spdx = bench.policy.rules[0].demands
    assert appraisal.meet(slsa).predicate_type == SLSA
    with pytest.raises(RejectedError) as error:
        appraisal.meet(signature if wanted == "signature" else spdx)
    assert error.value.code == "predicate-mismatch"


@pytest.mark.parametrize("predicate_type", [SLSA, "https://sigstore.dev/cosign/sign/v1"])
def test_attestation_never_meets_a_signature_demand(claims: Claims, predicate_type: str) -> None:
    """Not even the one by which cosign 3 says "signed": filed as `.att` it is a statement like any other."""
    layout, top, _ = plain()
    claims.attest(layout, top, claims.release, predicate_type)
    result = claims.judge(layout, SIGNED)
    assert told(result) == [("missing", "signature-missing", "")]
    assert "found instead" in only(result, "signature").detail


@pytest.mark.parametrize("predicate_type", [SLSA, "https://sigstore.dev/cosign/sign/v1"])
def test_signature_never_meets_an_attestation_demand(claims: Claims, predicate_type: str) -> None:
    layout, top, _ = plain()
    claims.sign(layout, top, claims.release)
    text = policy(demand("attestation", predicate_type))
    assert verdict(claims.judge(layout, text)) == ("rejected", "attestation-missing")


def test_envelope_filed_as_signature_and_the_other_way_round(claims: Claims) -> None:
    layout, top, _ = plain()
    claims.beside(layout, top, "sig", claims.sigstore.attest(top.digest, claims.release))
    claims.beside(layout, top, "att", claims.sigstore.sign(top.digest, claims.release))
    text = policy(demand("signature"), demand("attestation", SLSA))
    assert told(claims.judge(layout, text)) == [("failed", "evidence-type", ""), ("failed", "evidence-type", "")]


@pytest.mark.parametrize("disguise", ["signature as envelope", "envelope as signature"])
def test_a_layer_with_the_other_kinds_media_type_is_refused(claims: Claims, disguise: str) -> None:
    layout, top, _ = plain()
    signature = claims.sigstore.sign(top.digest, claims.release)
    attestation = claims.sigstore.attest(top.digest, claims.release)
    if disguise == "signature as envelope":
        claims.beside(layout, top, "att", signature._replace(media_type=attestation.media_type))
        text = policy(demand("attestation", SLSA))
    else:
        claims.beside(layout, top, "sig", attestation._replace(media_type=signature.media_type))
        text = SIGNED
    result = claims.judge(layout, text)
    assert result.verdict.value == "rejected"
    assert result.checks[0].outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "wanted",
    [
        "https://slsa.dev/provenance/v1/", "https://slsa.dev/provenance/v1.0", "https://slsa.dev/provenance/v",
        "https://SLSA.dev/provenance/v1", "https://slsa.dev/provenance/v1 ", "http://slsa.dev/provenance/v1", SPDX,
    ],
)  # fmt: skip
def test_predicate_type_is_compared_whole(claims: Claims, wanted: str) -> None:
    layout, top, _ = plain()
    claims.attest(layout, top, claims.release, SLSA)
    result = claims.judge(layout, policy(demand("attestation", wanted)))
    assert told(result) == [("missing", "attestation-missing", "")]
    assert SLSA in only(result, "attestation").detail
    assert verdict(claims.judge(layout, policy(demand("attestation", SLSA)))) == ("verified", "")


def test_the_annotation_does_not_decide_the_predicate_type(claims: Claims) -> None:
    layout, top, _ = plain()
    made = claims.sigstore.attest(top.digest, claims.release, predicate_type=SPDX).having(predicate_type=SLSA)
    claims.beside(layout, top, "att", made)
    assert verdict(claims.judge(layout, policy(demand("attestation", SLSA)))) == ("rejected", "attestation-missing")
    assert verdict(claims.judge(layout, policy(demand("attestation", SPDX)))) == ("verified", "")


# -- the index, or every platform -------------------------------------------------------------------------------------


def test_every_platform_signed_holds(claims: Claims) -> None:
    layout, _, children = plain()
    for child in children:
        claims.sign(layout, child, claims.release)
    assert told(claims.judge(layout, SIGNED)) == [("held", "", "on every platform")]


def test_one_platform_missing_is_missing(claims: Claims) -> None:
    layout, _, (amd64, _) = plain()
    claims.sign(layout, amd64, claims.release)
    result = claims.judge(layout, SIGNED)
    assert told(result) == [("missing", "signature-missing", "")]
    assert "1 of 2 platforms" in only(result, "signature").detail


def test_one_platform_by_another_is_untrusted(claims: Claims) -> None:
    layout, _, (amd64, arm64) = plain()
    claims.sign(layout, amd64, claims.release)
    claims.sign(layout, arm64, claims.other)
    assert told(claims.judge(layout, SIGNED)) == [("untrusted", "identity-mismatch", "")]


def test_one_platform_with_the_others_signature_fails(claims: Claims) -> None:
    layout, _, (amd64, arm64) = plain()
    signature = claims.sigstore.sign(amd64.digest, claims.release)
    claims.beside(layout, amd64, "sig", signature)
    claims.beside(layout, arm64, "sig", signature)
    assert told(claims.judge(layout, SIGNED)) == [("failed", "digest-mismatch", "")]


def test_platforms_may_hold_where_the_index_does_not(claims: Claims) -> None:
    layout, top, children = plain()
    claims.sign(layout, top, claims.other)
    for child in children:
        claims.sign(layout, child, claims.release)
    assert verdict(claims.judge(layout, SIGNED)) == ("verified", "")


def test_an_image_without_platforms_needs_the_index_signed(claims: Claims) -> None:
    layout = Layout()
    top = layout.name(layout.index([]), NAME)
    assert verdict(claims.judge(layout, SIGNED)) == ("rejected", "signature-missing")
    claims.sign(layout, top, claims.release)
    assert verdict(claims.judge(layout, SIGNED)) == ("verified", "")


def test_a_nested_index_is_not_the_image(claims: Claims) -> None:
    layout = Layout()
    inner = layout.index([layout.image("linux/amd64", [layer(b"a", seed=1)])])
    layout.name(layout.index([inner, layout.image("linux/arm64", [layer(b"b", seed=2)])]), NAME)
    claims.sign(layout, inner, claims.release)
    assert verdict(claims.judge(layout, SIGNED)) == ("rejected", "signature-missing")


def test_what_holds_is_as_strong_as_its_weakest_part(claims: Claims) -> None:
    layout, _, (amd64, arm64) = plain()
    claims.sign(layout, amd64, claims.team)
    claims.sign(layout, arm64, claims.team, at=None)
    check = only(claims.judge(layout, KEYED), "signature")
    assert (check.outcome, check.strength) == (Outcome.HELD, NOT_LOGGED)


def test_every_signer_of_a_pattern_is_named(claims: Claims) -> None:
    layout, _, (amd64, arm64) = plain()
    claims.sign(layout, amd64, claims.release)
    claims.sign(layout, arm64, claims.other)
    detail = only(claims.judge(layout, policy(regexp_demand("^https://example.org/.*$"))), "signature").detail
    assert IDENTITY in detail
    assert OTHER_IDENTITY in detail


# -- who --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "holds"),
    [
        (f"^{IDENTITY}$", True),
        (r"^https://example\.org/app/.*$", True),
        (r"^https://example\.org/(app|fork)/.+@refs/tags/v[0-9]+$", True),
        (f"^{OTHER_IDENTITY}|{IDENTITY}$", True),
        (r"^https://example\.org/app$", False),
        (r"^example\.org/app/.*$", False),
        (r"^.*@refs/tags/v$", False),
        (rf"^{IDENTITY}0$", False),
        (r"^$", False),
        (rf"^x|{OTHER_IDENTITY}$", False),
    ],
)
def test_patterns_match_the_whole_identity(claims: Claims, pattern: str, holds: bool) -> None:
    layout, top, _ = plain()
    claims.sign(layout, top, claims.release)
    expected = [("held", "", "")] if holds else [("untrusted", "identity-mismatch", "")]
    assert told(claims.judge(layout, policy(regexp_demand(pattern)))) == expected


@pytest.mark.parametrize("extra", ["\n", " ", "0", "/../x", "\x00", "\n" + OTHER_IDENTITY])
def test_exact_identity_is_exact(claims: Claims, extra: str) -> None:
    layout, top, _ = plain()
    claims.sign(layout, top, claims.sigstore.keyless(IDENTITY + extra))
    for text in (SIGNED, policy(regexp_demand(f"^{IDENTITY}$"))):
        result = claims.judge(layout, text)
        assert result.verdict.value == "rejected"
        assert result.reason in ("identity-mismatch", "cert-identity")


def test_identity_and_issuer_are_one_pair(claims: Claims) -> None:
    """THREATS I10: the same name vouched for by another issuer is somebody else."""
    pairs = list(itertools.product((IDENTITY, OTHER_IDENTITY), (GITHUB, OTHER_ISSUER)))
    for signed in pairs:
        layout, top, _ = plain()
        claims.sign(layout, top, claims.sigstore.keyless(signed[0], issuer=signed[1]))
        for wanted in pairs:
            result = claims.judge(layout, policy(demand(identity=wanted[0], issuer=wanted[1])))
            code = "issuer-mismatch" if signed[1] != wanted[1] else "identity-mismatch"
            assert told(result) == ([("held", "", "")] if signed == wanted else [("untrusted", code, "")])


def test_a_good_signature_by_another_does_not_count(claims: Claims) -> None:
    layout, top, _ = plain()
    claims.sign(layout, top, claims.other)
    check = only(claims.judge(layout, SIGNED), "signature")
    assert (check.outcome, check.code) == (Outcome.UNTRUSTED, "identity-mismatch")
    assert OTHER_IDENTITY in check.detail
    assert IDENTITY in check.detail


def test_published_key_and_key_in_the_policy(claims: Claims) -> None:
    layout, top, _ = plain()
    claims.sign(layout, top, claims.team)
    assert verdict(claims.judge(layout, KEYED)) == ("verified", "")
    inline = policy(demand("signature", key="\n" + claims.team.public_pem))
    del claims.targets[TEAM]
    assert verdict(claims.judge(layout, inline)) == ("verified", "")


def test_revoked_or_unknown_key_is_no_key(claims: Claims) -> None:
    layout, top, _ = plain()
    claims.sign(layout, top, claims.team)
    assert told(claims.judge(layout, policy(demand("signature", key="nobody")))) == [("policy", "key-unknown", "")]
    del claims.targets[TEAM]
    assert told(claims.judge(layout, KEYED)) == [("policy", "key-unknown", "")]


@pytest.mark.parametrize("path", ["keys/team", "keys/team.pub.pub", "team.pub", "keys/x/team.pub", "keys/TEAM.pub"])
def test_only_the_keys_own_path_names_it(claims: Claims, path: str) -> None:
    layout, top, _ = plain()
    claims.sign(layout, top, claims.team)
    claims.targets[path] = claims.targets.pop(TEAM)
    assert verdict(claims.judge(layout, KEYED)) == ("rejected", "key-unknown")


def test_another_key_under_the_name(claims: Claims) -> None:
    layout, top, _ = plain()
    claims.sign(layout, top, claims.team)
    claims.targets[TEAM] = claims.sigstore.key_signer().public_pem.encode()
    assert told(claims.judge(layout, KEYED)) == [("failed", "signature", "")]


def test_a_published_key_that_is_none(claims: Claims) -> None:
    layout, top, _ = plain()
    claims.sign(layout, top, claims.team)
    claims.targets[TEAM] = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
    result = claims.judge(layout, KEYED)
    assert (result.verdict.value, result.checks[0].outcome) == ("rejected", Outcome.FAILED)


def test_keys_and_certificates_do_not_stand_for_each_other(claims: Claims) -> None:
    """GHSA-fx35-mq7g-6g98: the kind of signer is the policy's choice, not the evidence's."""
    layout, top, _ = plain()
    claims.sign(layout, top, claims.team)
    assert told(claims.judge(layout, SIGNED)) == [("failed", "key-material", "")]
    layout, top, _ = plain()
    claims.sign(layout, top, claims.release)
    assert told(claims.judge(layout, KEYED)) == [("failed", "key-material", "")]
    its_key = policy(demand("signature", key="\n" + claims.release.public_pem))
    assert told(claims.judge(layout, its_key)) == [("failed", "key-material", "")]


# -- trusted roots ----------------------------------------------------------------------------------------------------


def test_several_trusted_roots_have_to_be_named(claims: Claims) -> None:
    layout, top, _ = plain()
    claims.sign(layout, top, claims.release)
    claims.targets["trusted_root/staging.json"] = Sigstore("staging").trusted_root_json()
    assert told(claims.judge(layout, SIGNED)) == [("policy", "trusted-root-ambiguous", "")]
    named = policy(demand("signature", trusted_root='"demo"'))
    assert verdict(claims.judge(layout, named)) == ("verified", "")
    wrong = policy(demand("signature", trusted_root='"staging"'))
    assert told(claims.judge(layout, wrong)) == [("failed", "log-unknown", "")]


@pytest.mark.parametrize("root", [None, '"demo"', '"other"'])
def test_no_trusted_root(claims: Claims, root: str | None) -> None:
    layout, top, _ = plain()
    claims.sign(layout, top, claims.release)
    del claims.targets[ROOT]
    text = policy(demand("signature", **({"trusted_root": root} if root else {})))
    assert told(claims.judge(layout, text)) == [("policy", "trusted-root-missing", "")]


def test_a_trusted_root_that_is_none(claims: Claims) -> None:
    layout, top, _ = plain()
    claims.sign(layout, top, claims.release)
    claims.targets[ROOT] = b"{}"
    assert told(claims.judge(layout, SIGNED)) == [("failed", "trust-root-malformed", "")]


def test_a_key_needs_no_trusted_root_but_its_promise_does(claims: Claims) -> None:
    layout, top, _ = plain()
    claims.sign(layout, top, claims.team, at=None)
    del claims.targets[ROOT]
    check = only(claims.judge(layout, KEYED), "signature")
    assert (check.outcome, check.strength) == (Outcome.HELD, NOT_LOGGED)
    layout, top, _ = plain()
    claims.sign(layout, top, claims.team)
    assert told(claims.judge(layout, KEYED)) == [("failed", "log-unknown", "")]


def test_ignored_log_is_weaker_and_says_so(claims: Claims) -> None:
    layout, top, _ = plain()
    broken = claims.sigstore.sign(top.digest, claims.team, log=claims.sigstore.new_log("https://evil.example.org"))
    claims.beside(layout, top, "sig", broken)
    assert told(claims.judge(layout, KEYED)) == [("failed", "log-unknown", "")]
    check = only(
        claims.judge(layout, policy(demand("signature", key="team", insecure_ignore_tlog="true"))), "signature"
    )
    assert (check.outcome, check.strength) == (Outcome.HELD, NOT_LOGGED)
    assert "insecure_ignore_tlog" in check.detail


# -- several demands, several layers ----------------------------------------------------------------------------------


def test_all_demands_have_to_hold(claims: Claims) -> None:
    text = policy(demand(), demand(identity=OTHER_IDENTITY), demand("attestation", SLSA), demand(key="team"))
    layout, top, _ = plain()
    both = [claims.sigstore.sign(top.digest, signer) for signer in (claims.release, claims.other, claims.team)]
    claims.beside(layout, top, "sig", *both)
    assert told(claims.judge(layout, text)) == [*[("held", "", "")] * 3, ("missing", "attestation-missing", "")]
    claims.attest(layout, top, claims.release)
    assert verdict(claims.judge(layout, text)) == ("verified", "")


@pytest.mark.parametrize("absent", range(3))
def test_one_of_three_signers_missing(claims: Claims, absent: int) -> None:
    text = policy(demand(), demand(identity=OTHER_IDENTITY), demand(key="team"))
    layout, top, _ = plain()
    signers = [claims.release, claims.other, claims.team]
    del signers[absent]
    claims.beside(layout, top, "sig", *(claims.sigstore.sign(top.digest, signer) for signer in signers))
    result = claims.judge(layout, text)
    assert result.verdict.value == "rejected"
    assert [check.outcome is Outcome.HELD for check in result.checks] == [number != absent for number in range(3)]


def junk(claims: Claims, top: Descriptor) -> list[SignedLayer]:
    good = claims.sigstore.sign(top.digest, claims.release)
    return [
        good.having(signature="!!!!"),
        good.having(signature="AAAA"),
        good.having(bundle="{}"),
        good.having(bundle="[[[["),
        good.having(certificate="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        good.having(certificate=claims.release.public_pem),
        good._replace(raw=b"\xff"),
        good._replace(raw=b"[" * 100_000),
        good._replace(media_type="text/plain"),
        claims.sigstore.sign(top.digest, claims.other),
        claims.sigstore.sign(sha256_of(b"another image"), claims.release),
    ]


@pytest.mark.parametrize("first", [True, False])
def test_junk_hides_no_good_signature(claims: Claims, first: bool) -> None:
    layout, top, _ = plain()
    good = claims.sigstore.sign(top.digest, claims.release)
    layers = junk(claims, top)
    claims.beside(layout, top, "sig", *([*layers, good] if first else [good, *layers]))
    result = claims.judge(layout, SIGNED)
    assert verdict(result) == ("verified", "")
    held = [fact for fact in result.evidence if fact.demanded]
    assert [fact.strength for fact in held] == [LOGGED]


def test_junk_alone_is_not_missing(claims: Claims) -> None:
    layout, top, _ = plain()
    layers = [made for made in junk(claims, top) if made != claims.sigstore.sign(top.digest, claims.other)]
    claims.beside(layout, top, "sig", *layers)
    (check,) = claims.judge(layout, SIGNED).checks
    assert check.outcome in (Outcome.FAILED, Outcome.UNTRUSTED)
    assert f"and {len(layers) - 1} more" in check.detail


def test_an_unreadable_envelope_counts_as_found_and_wrong(claims: Claims) -> None:
    layout, top, _ = plain()
    made = claims.sigstore.attest(top.digest, claims.release)
    claims.beside(layout, top, "att", made._replace(raw=b"{"))
    assert only(claims.judge(layout, policy(demand("attestation", SLSA))), "attestation").outcome is Outcome.FAILED


def test_two_signatures_in_one_envelope_are_refused(claims: Claims) -> None:
    """THREATS I13."""
    layout, top, _ = plain()
    made = claims.sigstore.attest(top.digest, claims.release)
    twice = made.raw.replace(b'"signatures":[', b'"signatures":[{"keyid":"","sig":"AAAA"},')
    claims.beside(layout, top, "att", made._replace(raw=twice))
    assert told(claims.judge(layout, policy(demand("attestation", SLSA)))) == [("failed", "dsse", "")]


def test_a_statement_about_a_platform_is_not_about_the_index(claims: Claims) -> None:
    layout, top, (amd64, _) = plain()
    claims.beside(layout, top, "att", claims.sigstore.attest(amd64.digest, claims.release))
    assert told(claims.judge(layout, policy(demand("attestation", SLSA)))) == [("failed", "subject-mismatch", "")]


def test_no_rule_and_no_policy(claims: Claims) -> None:
    layout, top, _ = plain()
    claims.sign(layout, top, claims.release)
    assert told(claims.judge(layout, None)) == [("policy", "no-policy", "")]
    elsewhere = SIGNED.replace("registry.example.org/app", "registry.example.org/application")
    assert told(claims.judge(layout, elsewhere)) == [("policy", "no-rule", "")]
    other_stream = policy(demand(), stream='"plant"')
    assert told(claims.judge(layout, other_stream)) == [("policy", "no-rule", "")]
