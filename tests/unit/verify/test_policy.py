"""The policy parser: what it reads, and everything that it refuses to guess."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.digest import sha256_of
from bundler.errors import MalformedError, UsageError
from bundler.identity.fulcio_names import EXTENSION_NAMES
from bundler.verify.patterns import ImagePattern, covers, parse_image_pattern
from bundler.verify.policy import KeylessSigner, KeySigner, parse_policy

KEYLESS = 'certificate_identity = "https://example.org/w"\ncertificate_oidc_issuer = "https://issuer.example.org"\n'
PATTERN = 'certificate_identity_regexp = "^a$"\ncertificate_oidc_issuer_regexp = "^b$"\n'
SIGNER = "[[rule.signature.signer]]\n"
GOOD = f"""
format = 1
[[rule]]
name = "apps"
images = ["registry.example.org/team/*"]
platforms = ["linux/amd64", "linux/arm64/v8"]
require = ["sbom"]
allow_unsigned = true
allow_omitted = true
stream = "plant"
[[rule.signature]]
{KEYLESS}
trusted_root = "public-good"
[[rule.attestation]]
predicate_type = "https://slsa.dev/provenance/v1"
key = "acme"
insecure_ignore_tlog = true
"""


def test_reads_every_key() -> None:
    policy = parse_policy(GOOD.encode())
    (rule,) = policy.rules
    signature, attestation = rule.demands
    assert isinstance(signature.signer, KeylessSigner)
    assert signature.signer.identity.exact == "https://example.org/w"
    assert signature.signer.trusted_root == "public-good"
    assert signature.kind == "signature"
    assert isinstance(attestation.signer, KeySigner)
    assert (attestation.signer.name, attestation.signer.ignore_tlog) == ("acme", True)
    assert attestation.predicate_type == "https://slsa.dev/provenance/v1"
    assert (rule.label, rule.stream, rule.require) == ("apps", "plant", ("sbom",))
    assert rule.platforms == ("linux/amd64", "linux/arm64/v8")
    assert rule.allow_omitted
    assert rule.allow_unsigned
    assert policy.digest == sha256_of(GOOD.encode())


def rule(body: str, *, images: str = 'images = ["docker.io/library/a"]') -> str:
    return f"format = 1\n[[rule]]\n{images}\n{body}"


BAD = {
    "not-toml": "format = ",
    "not-utf8": "format = 1 # \udcff",
    "no-format": '[[rule]]\nimages=["a"]\nrequire=["sbom"]',
    "other-format": rule('require=["sbom"]').replace("format = 1", "format = 2"),
    "no-rules": "format = 1",
    "unknown-key": "format = 1\nrules = 1",
    "unknown-rule-key": rule('require=["sbom"]\nallow_everything = true'),
    "unknown-demand-key": rule(f"[[rule.signature]]\n{KEYLESS}\nthreshold = 2"),
    "demands-nothing": rule(""),
    "no-images": rule('require=["sbom"]', images=""),
    "unknown-requirement": rule('require=["vex"]'),
    "allow-unsigned-alone": rule(f"allow_unsigned = true\n[[rule.signature]]\n{KEYLESS}"),
    "flag-is-text": rule('require=["sbom"]\nallow_omitted = "yes"'),
    "no-issuer": rule('[[rule.signature]]\ncertificate_identity = "a"'),
    "no-identity": rule('[[rule.signature]]\ncertificate_oidc_issuer = "a"'),
    "empty-identity": rule('[[rule.signature]]\ncertificate_identity = ""\ncertificate_oidc_issuer = "a"'),
    "identity-twice": rule(f'[[rule.signature]]\n{KEYLESS}certificate_identity_regexp = "^a$"'),
    "unanchored": rule('[[rule.signature]]\ncertificate_identity_regexp = "a"\ncertificate_oidc_issuer = "b"'),
    "half-anchored": rule('[[rule.signature]]\ncertificate_identity_regexp = "^a"\ncertificate_oidc_issuer = "b"'),
    "escaped-anchor": rule("[[rule.signature]]\ncertificate_identity_regexp = '^a\\$'\ncertificate_oidc_issuer = 'b'"),
    "two-meanings-regexp": rule(
        '[[rule.signature]]\ncertificate_identity_regexp = "^[[a]$"\ncertificate_oidc_issuer = "b"'
    ),
    "broken-regexp": rule('[[rule.signature]]\ncertificate_identity_regexp = "^($"\ncertificate_oidc_issuer = "b"'),
    "key-and-identity": rule(f'[[rule.signature]]\n{KEYLESS}key = "acme"'),
    "key-path": rule('[[rule.signature]]\nkey = "../acme"'),
    "ignore-tlog-keyless": rule(f"[[rule.signature]]\n{KEYLESS}insecure_ignore_tlog = true"),
    "predicate-on-signature": rule(f'[[rule.signature]]\n{KEYLESS}predicate_type = "x"'),
    "no-predicate": rule(f"[[rule.attestation]]\n{KEYLESS}"),
    "empty-predicate": rule(f'[[rule.attestation]]\n{KEYLESS}predicate_type = ""'),
    "platform-grammar": rule('require=["sbom"]\nplatforms = ["amd64"]'),
    "no-platforms": rule('require=["sbom"]\nplatforms = []'),
    "wildcard-without-registry": rule('require=["sbom"]', images='images = ["team/*"]'),
    "bad-pin": rule('require=["sbom"]\npin = "main"'),
    "bad-digest": rule('require=["sbom"]', images='digests = ["sha256:ab"]'),
    "no-signatures": rule('require=["sbom"]\nsignature = []'),
    "no-requirements": rule(f"require = []\n[[rule.signature]]\n{KEYLESS}"),
    "empty-images": rule('require=["sbom"]', images='images = []\ndigests = ["sha256:' + "0" * 64 + '"]'),
    "threshold-alone": rule(f"[[rule.signature]]\n{KEYLESS}threshold = 1"),
    "threshold-0": rule(f"[[rule.signature]]\nthreshold = 0\n[[rule.signature.signer]]\n{KEYLESS}"),
    "threshold-high": rule(f"[[rule.signature]]\nthreshold = 2\n[[rule.signature.signer]]\n{KEYLESS}"),
    "threshold-true": rule(f"[[rule.signature]]\nthreshold = true\n[[rule.signature.signer]]\n{KEYLESS}"),
    "threshold-absent": rule(f'[[rule.signature]]\n{SIGNER}{KEYLESS}{SIGNER}key = "a"'),
    "signer-twice": rule(f'[[rule.signature]]\nthreshold = 2\n{SIGNER}key = "a"\n{SIGNER}key = "a"'),
    "pattern-twice": rule(f"[[rule.signature]]\nthreshold = 2\n{SIGNER}{PATTERN}{SIGNER}{PATTERN}"),
    "signer-and-signers": rule(f"[[rule.signature]]\n{KEYLESS}\n{SIGNER}{KEYLESS}"),
    "no-signers": rule("[[rule.signature]]\nsigner = []"),
    "nobody": rule("[[rule.signature]]"),
    "signer-key": rule(f"[[rule.signature]]\n{SIGNER}{KEYLESS}name = 'a'"),
    "signer-log": rule(f"[[rule.signature]]\n{SIGNER}{KEYLESS}log = 'proof'"),
    "log-word": rule(f'[[rule.signature]]\n{KEYLESS}log = "none"'),
    "log-empty": rule(f'[[rule.signature]]\n{KEYLESS}log = ""'),
    "log-true": rule(f"[[rule.signature]]\n{KEYLESS}log = true"),
    "log-threshold-0": rule(f"[[rule.signature]]\n{KEYLESS}log_threshold = 0"),
    "log-ignored": rule('[[rule.signature]]\nkey = "a"\ninsecure_ignore_tlog = true\nlog = "promise"'),
    "extension-empty": rule(f'[[rule.signature]]\n{KEYLESS}certificate_build_trigger = ""'),
    "extension-unknown": rule(f'[[rule.signature]]\n{KEYLESS}certificate_build_triggers = "push"'),
    "extension-twice": rule(
        f'[[rule.signature]]\n{KEYLESS}certificate_build_trigger = "a"\ncertificate_build_trigger_regexp = "^a$"'
    ),
    "extension-unanchored": rule(f'[[rule.signature]]\n{KEYLESS}certificate_build_trigger_regexp = "push"'),
    "extension-on-key": rule('[[rule.signature]]\nkey = "a"\ncertificate_build_trigger = "push"'),
    "extension-alone": rule('[[rule.signature]]\ncertificate_build_trigger = "push"'),
    "provenance-empty": rule("[rule.provenance]"),
    "provenance-unknown": rule('[rule.provenance]\nbuilder = "a"\nbuilders = "b"'),
    "provenance-unanchored": rule('[rule.provenance]\nsource_regexp = "a"'),
    "provenance-empty-text": rule('[rule.provenance]\nbuilder = ""'),
    "provenance-branch-ref": rule('[rule.provenance]\nsource_branch = "refs/heads/main"'),
    "provenance-tag-ref": rule('[rule.provenance]\nsource_tag = "refs/tags/v1"'),
    "provenance-version": rule('[rule.provenance]\nsource_versioned_tag = "1.2"'),
    "provenance-version-long": rule('[rule.provenance]\nsource_versioned_tag = "v1.2.3.4"'),
    "provenance-version-zero": rule('[rule.provenance]\nsource_versioned_tag = "v01"'),
    "provenance-version-regexp": rule('[rule.provenance]\nsource_versioned_tag_regexp = "^v1$"'),
    "provenance-array": rule('[[rule.provenance]]\nbuilder = "a"'),
    "rule-is-table": 'format = 1\n[rule]\nimages=["a"]',
}


@pytest.mark.parametrize("name", BAD)
def test_refuses(name: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_policy(BAD[name].encode("utf-8", "surrogateescape"))
    assert error.value.code == "policy"
    assert error.value.hints


def test_unanchored_pattern_hints_at_the_anchored_form() -> None:
    with pytest.raises(UsageError) as error:
        parse_policy(BAD["unanchored"].encode())
    assert "^a$" in " ".join(error.value.hints)


@pytest.mark.parametrize(
    ("identity", "held"),
    [
        ("https://example.org/w", True),
        ("https://example.org/w\n", False),
        ("xhttps://example.org/w", False),
        ("https://example.org/wx", False),
        ("https://exampleXorg/w", False),
    ],
)
def test_regexp_matches_the_whole_value_only(identity: str, held: bool) -> None:
    text = rule(
        "[[rule.signature]]\ncertificate_identity_regexp = '^https://example\\.org/w$'\ncertificate_oidc_issuer = 'b'"
    )
    signer = parse_policy(text.encode()).rules[0].demands[0].signer
    assert isinstance(signer, KeylessSigner)
    assert signer.identity.holds(identity) is held


@pytest.mark.parametrize(
    ("pattern", "name", "held"),
    [
        ("alpine", "docker.io/library/alpine:3.20", True),
        ("alpine", "docker.io/library/alpine@sha256:" + "0" * 64, True),
        ("alpine:3.20", "docker.io/library/alpine:3.20", True),
        ("alpine:3.20", "docker.io/library/alpine:3.21", False),
        ("alpine", "ghcr.io/library/alpine:3.20", False),
        ("ghcr.io/team/*", "ghcr.io/team/app:1", True),
        ("ghcr.io/team/*", "ghcr.io/team/sub/app:1", False),
        ("ghcr.io/team/**", "ghcr.io/team/sub/app:1", True),
        ("ghcr.io/team/*", "ghcr.io/teamx/app:1", False),
        ("ghcr.io/team/*", "evil.example/ghcr.io/team/app:1", False),
        ("ghcr.io/team/app:*", "ghcr.io/team/app:1", True),
        ("ghcr.io/team/app:v*", "ghcr.io/team/app:1", False),
        ("**", "localhost:5000/x:1", True),
        ("localhost:5000/*", "localhost:5000/x:1", True),
        ("g.cr/a.b", "g.cr/axb:1", False),
    ],
)
def test_image_patterns(pattern: str, name: str, held: bool) -> None:
    assert parse_image_pattern(pattern).matches(name) is held


def test_a_policy_of_one_site() -> None:
    text = rule("[[rule.signature]]\nkey = 'team'")
    assert parse_policy(text.encode()).site is None
    assert parse_policy(f"site = 'plant-7'\n{text}".encode()).site == "plant-7"
    for bad in ("''", "7", "'a b'"):
        with pytest.raises(UsageError):
            parse_policy(f"site = {bad}\n{text}".encode())


@pytest.mark.parametrize("text", ["", "team/*", "*x/y z", "a\nb", "x" * 5000, "é/*"])
def test_refuses_image_patterns(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_image_pattern(text)


def test_first_matching_rule_decides_and_stream_narrows() -> None:
    text = (
        'format = 1\n[[rule]]\nname = "other"\nstream = "other"\nimages = ["a"]\nrequire = ["sbom"]\n'
        '[[rule]]\nname = "first"\nimages = ["a"]\nrequire = ["sbom"]\n'
        f'[[rule]]\nname = "digest"\ndigests = ["{sha256_of(b"x")}"]\nrequire = ["sbom"]\n'
        '[[rule]]\nname = "second"\nimages = ["**"]\nrequire = ["sbom"]\n'
    )
    policy = parse_policy(text.encode())
    found = policy.rule_for("docker.io/library/a:1", sha256_of(b""), "main")
    assert found is not None
    assert found.label == "first"
    second = policy.rule_for("docker.io/library/b:1", sha256_of(b""), "main")
    assert second is not None
    assert second.label == "second"
    named = policy.rule_for("docker.io/library/b:1", sha256_of(b"x"), "main")
    assert named is not None
    assert named.label == "digest"
    only_first = parse_policy(text.partition('[[rule]]\nname = "digest"')[0].encode())
    assert only_first.rule_for("docker.io/library/b:1", sha256_of(b"x"), "main") is None


def test_a_pattern_that_ends_with_an_escaped_backslash_is_anchored() -> None:
    text = rule("[[rule.signature]]\ncertificate_identity_regexp = '^a\\\\$'\ncertificate_oidc_issuer = 'b'")
    signer = parse_policy(text.encode()).rules[0].demands[0].signer
    assert isinstance(signer, KeylessSigner)
    assert signer.identity.holds("a\\")


FULL = f"""
format = 1
[[rule]]
images = ["a"]
require = ["spdx", "cyclonedx"]
[rule.provenance]
builder_regexp = "^https://example.org/builder$"
source = "https://example.org/repository"
source_ref = "refs/tags/v1"
source_branch = "main"
source_tag_regexp = "^v1.*$"
source_versioned_tag = "v1.2"
[[rule.signature]]
threshold = 2
log = "witnessed"
log_threshold = 2
[[rule.signature.signer]]
{KEYLESS}
certificate_source_repository_uri = "https://example.org/repository"
certificate_github_workflow_ref_regexp = "^refs/tags/.*$"
[[rule.signature.signer]]
key = "acme"
[[rule.attestation]]
predicate_type = "https://spdx.dev/Document"
key = "sbom"
log_threshold = 1
"""


def test_reads_every_newer_key() -> None:
    (rule,) = parse_policy(FULL.encode()).rules
    signature, attestation = rule.demands
    keyless, key = signature.signers
    assert (signature.threshold, str(signature.log)) == (2, "log witnessed by 2 logs")
    assert isinstance(keyless, KeylessSigner)
    assert [(each.name, str(each.value)) for each in keyless.extensions] == [
        ("github-workflow-ref", "^refs/tags/.*$"),
        ("source-repository-uri", "https://example.org/repository"),
    ]
    assert isinstance(key, KeySigner)
    assert [each.signers for each in signature.alternatives] == [(keyless,), (key,)]
    assert str(attestation.log) == "log promise"
    # A demand for what provenance says is a demand for provenance.
    assert rule.require == ("spdx", "cyclonedx", "provenance")
    assert str(rule.provenance) == (
        "builder ^https://example.org/builder$, source https://example.org/repository, source_ref refs/tags/v1, "
        "source_branch main, source_tag ^v1.*$, source_versioned_tag v1.2, as far as it goes"
    )
    assert rule.demanded[0].startswith(
        "signature by 2 of 2: https://example.org/w (issuer https://issuer.example.org, "
    )


def test_every_demand_can_be_raised_to_a_proof() -> None:
    text = (
        FULL + '[[rule.attestation]]\npredicate_type = "b"\nkey = "c"\ninsecure_ignore_tlog = true\n'
        f'[[rule.attestation]]\npredicate_type = "d"\n{KEYLESS}log = "promise"\nlog_threshold = 3'
    )
    policy = parse_policy(text.encode())
    raised = policy.requiring_proofs()
    assert [str(demand.log) for demand in raised.rules[0].demands] == [
        "log witnessed by 2 logs", "log proof", "log proof", "log proof by 3 logs",
    ]  # fmt: skip
    assert not any(
        isinstance(signer, KeySigner) and signer.ignore_tlog
        for demand in raised.rules[0].demands
        for signer in demand.signers
    )
    assert raised.digest == policy.digest
    assert raised.strengthened
    assert not policy.strengthened


# Rules that can never apply.


def rules(*parts: str) -> str:
    return "format = 1\n" + "".join(f'[[rule]]\nrequire = ["sbom"]\n{part}\n' for part in parts)


DIGEST = f'digests = ["{sha256_of(b"x")}"]'
UNREACHABLE = {
    "same": ('images = ["a"]', 'images = ["a"]'),
    "everything": ('images = ["**"]', 'images = ["a"]'),
    "everything-digests": ('images = ["**"]', DIGEST),
    "digest": (DIGEST, DIGEST),
    "narrower": ('images = ["ghcr.io/team/**"]', 'images = ["ghcr.io/team/sub/*"]'),
    "tag": ('images = ["ghcr.io/team/app"]', 'images = ["ghcr.io/team/app:1"]'),
    "spelling": ('images = ["alpine"]', 'images = ["docker.io/library/alpine:3"]'),
    "stream": ('images = ["a"]', 'images = ["a"]\nstream = "plant"'),
    "same-stream": ('images = ["a"]\nstream = "plant"', 'images = ["a"]\nstream = "plant"'),
    "one-of-several": ('images = ["b", "ghcr.io/*", "a"]', 'images = ["a", "b", "ghcr.io/x"]'),
    "third": ('images = ["b"]', 'images = ["a"]', 'images = ["a:1"]'),
}
PIN = f"sha256:{'1' * 64}"
REACHABLE = {
    "wider": ('images = ["a"]', 'images = ["a", "b"]'),
    "wider-pattern": ('images = ["ghcr.io/team/*"]', 'images = ["ghcr.io/team/**"]'),
    "all-tags": ('images = ["ghcr.io/team/app:1"]', 'images = ["ghcr.io/team/app"]'),
    "tags-by-pattern": ('images = ["ghcr.io/team/app:*"]', 'images = ["ghcr.io/team/app"]'),
    "another-stream": ('images = ["a"]\nstream = "plant"', 'images = ["a"]\nstream = "main"'),
    "any-stream": ('images = ["a"]\nstream = "plant"', 'images = ["a"]'),
    "another-pin": (f'images = ["a"]\npin = "{PIN}"', f'images = ["a"]\npin = "{PIN.replace("1", "2")}"'),
    "any-pin": (f'images = ["a"]\npin = "{PIN}"', 'images = ["a"]'),
    "digest-and-name": ('images = ["a"]', f'images = ["a"]\n{DIGEST}'),
    "digest-first": (DIGEST, 'images = ["a"]'),
    "neighbour": ('images = ["ghcr.io/team/*"]', 'images = ["ghcr.io/team-b/*"]'),
    "deeper": ('images = ["ghcr.io/*/app"]', 'images = ["ghcr.io/**/app"]'),
}


@pytest.mark.parametrize("name", UNREACHABLE)
def test_a_rule_that_can_never_apply(name: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_policy(rules(*UNREACHABLE[name]).encode())
    assert error.value.code == "policy"
    assert "never applies" in str(error.value)
    assert error.value.hints


@pytest.mark.parametrize("name", REACHABLE)
def test_a_rule_that_can_apply(name: str) -> None:
    assert len(parse_policy(rules(*REACHABLE[name]).encode()).rules) == len(REACHABLE[name])


def pattern(text: str) -> ImagePattern:
    return ImagePattern(text, re.compile(re.escape(text).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")), True)


NAMES = ["".join(name) for length in range(7) for name in itertools.product("ab/", repeat=length)]
SMALL = st.lists(st.sampled_from(["a", "b", "/", "*", "**"]), min_size=1, max_size=4).filter(
    lambda tokens: "***" not in "".join(tokens)
)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(SMALL, SMALL)
def test_covering_is_what_the_names_say(wide: list[str], narrow: list[str]) -> None:
    first, second = pattern("".join(wide)), pattern("".join(narrow))
    seen = all(first.whole.fullmatch(name) for name in NAMES if second.whole.fullmatch(name))
    assert covers(first, second) == seen


def test_a_rule_says_why_it_applies() -> None:
    text = rules('images = ["b"]', 'stream = "plant"\nimages = ["a"]', 'name = "x"\nimages = ["a"]', 'images = ["**"]')
    policy = parse_policy(text.encode())
    trials = policy.explain("docker.io/library/a:1", sha256_of(b""), "main")
    assert [(trial.rule, trial.applies) for trial in trials] == [("rule[1]", False), ("rule[2]", False), ("x", True)]
    assert trials[1].because == "it is about stream plant, the bundle is of main"
    assert trials[2].because == "docker.io/library/a matches the name"
    (trial,) = parse_policy(rules(DIGEST).encode()).explain("docker.io/library/a:1", sha256_of(b"x"), "main")
    assert (trial.applies, trial.because) == (True, "it names the digest")


def test_the_manuals_examples_are_policies(root: Path) -> None:
    page = (root / "bundler" / "verify" / "POLICY.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 6
    head = 'format = 1\n[[rule]]\nimages = ["example.org/**"]\n'
    for example in examples:
        start = "" if example.startswith("format") else "format = 1\n" if example.startswith("[[rule]]") else head
        assert parse_policy((start + example).encode()).rules


def test_the_manual_names_every_extension(root: Path) -> None:
    page = (root / "bundler" / "verify" / "POLICY.md").read_text(encoding="utf-8")
    keys = {f"certificate_{name.replace('-', '_')}" for name in EXTENSION_NAMES.values()}
    assert {key for key in keys if f"`{key}`" not in page} == set()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('images=["a"]\nbogus=1', "rule[1].bogus"),
        ('images=["a"]\n[[rule.signature]]\nkey="x"\n[[rule.signature]]\nbogus=1', "rule[1].signature[2].bogus"),
        ('images=["a", 1]', "rule[1].images[2]"),
        ('images=["a"]', "rule[1]: it demands nothing"),
    ],
)
def test_places_are_counted_from_one(text: str, place: str) -> None:
    """Once the first rule was rule[0] in some errors, and rule[1] in others and in reports."""
    with pytest.raises(UsageError) as error:
        parse_policy(f"format = 1\n[[rule]]\n{text}\n".encode())
    assert place in str(error.value)
