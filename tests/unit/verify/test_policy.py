"""The policy parser: what it reads, and everything that it refuses to guess."""

from __future__ import annotations

import pytest

from bundler.digest import sha256_of
from bundler.errors import MalformedError, UsageError
from bundler.verify.patterns import parse_image_pattern
from bundler.verify.policy import KeylessSigner, KeySigner, parse_policy

KEYLESS = 'certificate_identity = "https://example.org/w"\ncertificate_oidc_issuer = "https://issuer.example.org"\n'
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
    "bad-digest": rule('require=["sbom"]', images='digests = ["sha256:ab"]'),
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


@pytest.mark.parametrize("text", ["", "team/*", "*x/y z", "a\nb", "x" * 5000, "é/*"])
def test_refuses_image_patterns(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_image_pattern(text)


def test_first_matching_rule_decides_and_stream_narrows() -> None:
    text = (
        'format = 1\n[[rule]]\nname = "other"\nstream = "other"\nimages = ["a"]\nrequire = ["sbom"]\n'
        '[[rule]]\nname = "first"\nimages = ["a"]\nrequire = ["sbom"]\n'
        '[[rule]]\nname = "second"\nimages = ["**"]\nrequire = ["sbom"]\n'
        f'[[rule]]\nname = "digest"\ndigests = ["{sha256_of(b"x")}"]\nrequire = ["sbom"]\n'
    )
    policy = parse_policy(text.encode())
    found = policy.rule_for("docker.io/library/a:1", sha256_of(b""), "main")
    assert found is not None
    assert found.label == "first"
    second = policy.rule_for("docker.io/library/b:1", sha256_of(b""), "main")
    assert second is not None
    assert second.label == "second"
    only_first = parse_policy(text.partition('[[rule]]\nname = "second"')[0].encode())
    assert only_first.rule_for("docker.io/library/b:1", sha256_of(b"x"), "main") is None
