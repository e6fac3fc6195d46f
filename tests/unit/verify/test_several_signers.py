"""m of n signers, what certificates say besides, and how well a signature is logged (POLICY.md)."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.errors import RejectedError
from bundler.identity.keys import parse_public_key
from bundler.oci.descriptor import Descriptor
from bundler.verify.images import judge_image
from bundler.verify.logged import LogFact
from bundler.verify.policy import parse_policy
from bundler.verify.policy_log import LogDemand
from bundler.verify.signatures import VerifiedSignature, verify_item
from tests.simulators.claims import (
    IDENTITY,
    NAME,
    OTHER_IDENTITY,
    Claims,
    demand,
    only,
    policy,
    told,
    verdict,
)
from tests.simulators.images import SLSA, Layout, two_platforms
from tests.simulators.judging import item_of
from tests.simulators.sigstore import Signer
from tests.simulators.sigstore_keys import AT, GITHUB

KEYS = ("ann", "bob", "cid")
SOURCE = "https://github.com/example/app"


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(tmp_path, "several")


@pytest.fixture
def people(claims: Claims) -> dict[str, Signer]:
    """Three publishers with keys."""
    found = {name: claims.sigstore.key_signer() for name in KEYS}
    for name, signer in found.items():
        claims.targets[f"keys/{name}.pub"] = signer.public_pem.encode()
    return found


def signed(claims: Claims, *signers: Signer, kind: str = "signature") -> Layout:
    """An image whose index these have signed, or attested."""
    layout, top, _ = two_platforms(NAME, attested=False)
    sign(claims, layout, top, *signers, kind=kind)
    return layout


def sign(claims: Claims, layout: Layout, subject: Descriptor, *signers: Signer, kind: str = "signature") -> None:
    make = claims.sigstore.sign if kind == "signature" else claims.sigstore.attest
    layers = [make(subject.digest, signer) for signer in signers]
    if layers:
        claims.beside(layout, subject, "sig" if kind == "signature" else "att", *layers)


def several(threshold: int, *signers: str, kind: str = "signature") -> str:
    """A demand with `signers`, each as TOML."""
    head = f"[[rule.{kind}]]\nthreshold = {threshold}\n"
    if kind == "attestation":
        head += f'predicate_type = "{SLSA}"\n'
    return head + "".join(f"[[rule.{kind}.signer]]\n{signer}\n" for signer in signers)


def key(name: str) -> str:
    return f'key = "{name}"'


def keyless(identity: str = IDENTITY, how: str = "", **more: str) -> str:
    lines = [f"certificate_identity{how} = '{identity}'", f"certificate_oidc_issuer = '{GITHUB}'"]
    return "\n".join([*lines, *(f"{name} = '{value}'" for name, value in more.items())])


# -- m of n -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["signature", "attestation"])
@pytest.mark.parametrize("threshold", [1, 2, 3])
def test_every_set_of_signers(claims: Claims, people: dict[str, Signer], threshold: int, kind: str) -> None:
    text = policy(several(threshold, *map(key, KEYS), kind=kind))
    for count in range(4):
        for names in itertools.combinations(KEYS, count):
            layout = signed(claims, *(people[name] for name in names), kind=kind)
            result = claims.judge(layout, text)
            if count >= threshold:
                assert verdict(result) == ("verified", "")
                detail = only(result, kind).detail
                assert detail.count("key sha256:") == (count if threshold > 1 else 1)
            else:
                code = "too-few-signers" if count else f"{kind}-missing"
                assert told(result) == [("missing", code, "")]


def test_too_few_says_how_many(claims: Claims, people: dict[str, Signer]) -> None:
    result = claims.judge(signed(claims, people["ann"]), policy(several(2, *map(key, KEYS))))
    assert "1 of 3 signers, expected 2" in only(result, "signature").detail


def test_one_signer_twice_counts_once(claims: Claims, people: dict[str, Signer]) -> None:
    layout = signed(claims, people["ann"], people["ann"])
    assert told(claims.judge(layout, policy(several(2, *map(key, KEYS))))) == [("missing", "too-few-signers", "")]


def test_one_key_under_two_names_counts_once(claims: Claims, people: dict[str, Signer]) -> None:
    claims.targets["keys/twin.pub"] = people["ann"].public_pem.encode()
    layout = signed(claims, people["ann"], people["ann"])
    assert told(claims.judge(layout, policy(several(2, key("ann"), key("twin"))))) == [
        ("missing", "too-few-signers", "")
    ]
    pem = f"key = '''{people['ann'].public_pem}'''"
    assert told(claims.judge(layout, policy(several(2, key("ann"), pem)))) == [("missing", "too-few-signers", "")]


def test_one_identity_that_two_patterns_match_counts_once(claims: Claims) -> None:
    again = claims.sigstore.keyless(IDENTITY)  # another certificate, with another key
    patterns = keyless("^https://example\\.org/.*$", "_regexp"), keyless("^https://.*$", "_regexp")
    text = policy(several(2, *patterns))
    assert told(claims.judge(signed(claims, claims.release, again), text)) == [("missing", "too-few-signers", "")]
    assert verdict(claims.judge(signed(claims, claims.release, claims.other), text)) == ("verified", "")


@pytest.mark.parametrize("turned", [False, True])
def test_signers_are_given_to_whom_they_fit(claims: Claims, turned: bool) -> None:
    """The wide pattern must not take the one identity that the narrow signer needs."""
    signers = [keyless("^https://example\\.org/.*$", "_regexp"), keyless()]
    people = [claims.release, claims.other]
    for named, made in itertools.product((signers, signers[::-1]), (people, people[::-1])):
        assert verdict(claims.judge(signed(claims, *made), policy(several(2, *named)))) == ("verified", "")


def test_keys_and_certificates_together(claims: Claims, people: dict[str, Signer]) -> None:
    text = policy(several(2, keyless(), key("ann"), key("bob")))
    assert verdict(claims.judge(signed(claims, claims.release, people["bob"]), text)) == ("verified", "")
    assert told(claims.judge(signed(claims, claims.release), text)) == [("missing", "too-few-signers", "")]
    # Somebody else's is no help, and no fault either.
    assert told(claims.judge(signed(claims, claims.release, claims.other), text)) == [
        ("missing", "too-few-signers", "")
    ]


def test_too_few_beside_something_broken_is_a_failure(claims: Claims, people: dict[str, Signer]) -> None:
    layout, top, (amd64, _) = two_platforms(NAME, attested=False)
    good = claims.sigstore.sign(top.digest, people["ann"])
    about_another = claims.sigstore.sign(amd64.digest, people["bob"])
    claims.beside(layout, top, "sig", good, about_another)
    assert told(claims.judge(layout, policy(several(2, key("ann"), key("bob"))))) == [("failed", "too-few-signers", "")]


def test_every_platform_needs_as_many(claims: Claims, people: dict[str, Signer]) -> None:
    text = policy(several(2, *map(key, KEYS)))
    layout, _, (amd64, arm64) = two_platforms(NAME, attested=False)
    sign(claims, layout, amd64, people["ann"], people["bob"])
    sign(claims, layout, arm64, people["bob"], people["cid"])
    assert told(claims.judge(layout, text)) == [("held", "", "on every platform")]
    layout, top, (amd64, arm64) = two_platforms(NAME, attested=False)
    sign(claims, layout, amd64, people["ann"], people["bob"])
    sign(claims, layout, arm64, people["bob"])
    sign(claims, layout, top, people["cid"])
    assert told(claims.judge(layout, text)) == [("missing", "too-few-signers", "")]


def test_nobody_among_the_signers(claims: Claims, people: dict[str, Signer]) -> None:
    text = policy(several(2, keyless(), keyless(OTHER_IDENTITY)))
    stranger = claims.sigstore.keyless("https://example.org/stranger")
    assert told(claims.judge(signed(claims, stranger), text)) == [("untrusted", "identity-mismatch", "")]
    assert told(claims.judge(signed(claims, people["ann"]), text)) == [("failed", "key-material", "")]


# -- what certificates say --------------------------------------------------------------------------------------------

SAID = {2: "push", 5: "example/app", 6: "refs/tags/v1", 11: "github-hosted", 12: SOURCE, 14: "refs/tags/v1", 20: "push"}


@pytest.mark.parametrize(
    ("name", "value", "holds"),
    [
        ("certificate_source_repository_uri", SOURCE, True),
        ("certificate_source_repository_uri", SOURCE.upper(), False),
        ("certificate_source_repository_uri", f"{SOURCE}-fork", False),
        ("certificate_source_repository_ref_regexp", "^refs/tags/v[0-9.]+$", True),
        ("certificate_source_repository_ref_regexp", "^refs/heads/.*$", False),
        ("certificate_runner_environment", "github-hosted", True),
        ("certificate_runner_environment", "self-hosted", False),
        ("certificate_build_trigger", "push", True),
        ("certificate_build_trigger_regexp", "^(push|release)$", True),
        ("certificate_github_workflow_trigger", "push", True),
        ("certificate_github_workflow_repository", "example/app", True),
        ("certificate_github_workflow_ref", "refs/heads/main", False),
        # Not in the certificate at all, also where any value would do.
        ("certificate_source_repository_owner_uri", "https://github.com/example", False),
        ("certificate_source_repository_owner_uri_regexp", "^.*$", False),
    ],
)
def test_extensions(claims: Claims, name: str, value: str, holds: bool) -> None:
    signer = claims.sigstore.keyless(IDENTITY, extensions=SAID)
    text = policy(demand(**{name: f"'{value}'"}))
    result = claims.judge(signed(claims, signer), text)
    if holds:
        assert verdict(result) == ("verified", "")
    else:
        assert told(result) == [("untrusted", "extension-mismatch", "")]


def test_all_extensions_have_to_hold(claims: Claims) -> None:
    signer = claims.sigstore.keyless(IDENTITY, extensions=SAID)
    more = {"certificate_source_repository_uri": f"'{SOURCE}'", "certificate_runner_environment": "'self-hosted'"}
    result = claims.judge(signed(claims, signer), policy(demand(**more)))
    assert told(result) == [("untrusted", "extension-mismatch", "")]
    assert "runner-environment" in only(result, "signature").detail


def test_extensions_do_not_stand_for_identity(claims: Claims) -> None:
    signer = claims.sigstore.keyless(OTHER_IDENTITY, extensions=SAID)
    text = policy(demand(certificate_source_repository_uri=f"'{SOURCE}'"))
    assert told(claims.judge(signed(claims, signer), text)) == [("untrusted", "identity-mismatch", "")]


# -- how well it is logged --------------------------------------------------------------------------------------------


def fact(log: str, *, proved: bool = False, witnesses: int = 0, operator: str = "") -> LogFact:
    return LogFact(
        f"https://{log}", log.encode(), 1, AT, "hashedrekord 0.0.1", 7 if proved else None,
        tuple(f"witness-{number}" for number in range(witnesses)), operator=operator,
    )  # fmt: skip


def verified(claims: Claims, *logs: LogFact) -> VerifiedSignature:
    _, top, _ = two_platforms(NAME, attested=False)
    item = item_of(claims.sigstore.sign(top.digest, claims.team, at=None))
    found = verify_item(item, top.digest, key=parse_public_key(claims.team.public_pem.encode()))
    return replace(found, logs=logs)


PROMISE, PROOF, WITNESSED = fact("a"), fact("a", proved=True), fact("a", proved=True, witnesses=1)
CASES = [
    (("promise", 1), (), "log-strength"),
    (("promise", 1), (PROMISE,), ""),
    (("promise", 1), (PROOF,), ""),
    (("promise", 1), (WITNESSED,), ""),
    (("proof", 1), (PROMISE,), "log-strength"),
    (("proof", 1), (PROOF,), ""),
    (("proof", 1), (WITNESSED,), ""),
    (("witnessed", 1), (), "log-strength"),
    (("witnessed", 1), (PROMISE,), "log-strength"),
    (("witnessed", 1), (PROOF,), "log-strength"),
    (("witnessed", 1), (WITNESSED,), ""),
    (("promise", 2), (PROMISE,), "log-threshold"),
    (("promise", 2), (PROMISE, PROOF), "log-threshold"),  # two entries, one log
    (("promise", 2), (fact("a", operator="x.org"), fact("b", operator="x.org")), "log-threshold"),  # one operator
    (("promise", 2), (fact("a", operator="x.org"), fact("b", operator="y.org")), ""),
    (("promise", 2), (fact("a", operator="x.org"), fact("b")), ""),
    (("promise", 2), (PROMISE, fact("b")), ""),
    (("proof", 2), (PROOF, fact("b")), "log-threshold"),
    (("proof", 2), (PROOF, fact("b", proved=True)), ""),
    (("proof", 2), (PROMISE, fact("b")), "log-strength"),
    (("witnessed", 2), (WITNESSED, fact("b", proved=True, witnesses=2), fact("c")), ""),
    (("proof", 3), (PROOF, fact("b", proved=True), fact("b", proved=True, witnesses=1)), "log-threshold"),
]


@pytest.mark.parametrize(("wanted", "logs", "code"), CASES)
def test_strength(claims: Claims, wanted: tuple[str, int], logs: tuple[LogFact, ...], code: str) -> None:
    demanded = LogDemand(*wanted)
    found = verified(claims, *logs)
    if not code:
        demanded.check(found)
        return
    with pytest.raises(RejectedError) as error:
        demanded.check(found)
    assert error.value.code == code


def test_strength_is_demanded_of_the_signature_that_counts(claims: Claims) -> None:
    layout = signed(claims, claims.release)
    assert verdict(claims.judge(layout, policy(demand(log='"promise"')))) == ("verified", "")
    for more in ({"log": '"proof"'}, {"log": '"witnessed"'}):
        result = claims.judge(layout, policy(demand(**more)))
        assert told(result) == [("failed", "log-strength", "")]
        assert not any(fact.demanded for fact in result.evidence)
    assert told(claims.judge(layout, policy(demand(log_threshold="2")))) == [("failed", "log-threshold", "")]


def test_a_promise_can_be_demanded_of_a_key(claims: Claims) -> None:
    layout, top, _ = two_platforms(NAME, attested=False)
    claims.sign(layout, top, claims.team, at=None)
    assert verdict(claims.judge(layout, policy(demand(key="team")))) == ("verified", "")
    result = claims.judge(layout, policy(demand(key="team", log='"promise"')))
    assert told(result) == [("failed", "log-strength", "")]


def test_a_proof_required_of_every_demand(claims: Claims) -> None:
    layout = signed(claims, claims.release)
    text = policy(demand(), require='["sbom"]')
    raised = parse_policy(text.encode()).requiring_proofs()
    inventory = claims.inventory((layout, NAME))
    contents = {digest: layout.read(digest) for digest in layout.blobs}
    bench = replace(claims.bench(inventory, text, contents), policy=raised)
    assert told(judge_image(inventory.images[0], bench).result, "signature") == [("failed", "log-strength", "")]
