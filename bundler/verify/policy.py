"""The receiver's policy: which images are demanded to show what, signed by whom (POLICY.md is its manual).

Rules of this module:
- The policy is the site's own file. Nothing in a bundle can change it; the exporter's policy is carried for the record.
- Unknown keys, empty rules, unanchored patterns and half-named signers are errors, never defaults (CVE-2026-48815: a
  policy option that was silently dropped).
- The first rule that matches an image decides; an image without a rule is rejected.
- Pure: bytes in, frozen values out. Matching and evaluation of evidence are elsewhere (demands.py).
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field

from bundler import limits
from bundler.digest import Digest, parse_digest, sha256_of
from bundler.errors import MalformedError, UsageError
from bundler.fields import Fields
from bundler.verify.patterns import ImagePattern, parse_image_pattern

POLICY_FORMAT = 1
REQUIREMENTS = ("sbom", "provenance")
_MAX_RULES = 1000
_MAX_DEMANDS = 32
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_PEM_START = "-----BEGIN PUBLIC KEY-----"


@dataclass(frozen=True, slots=True)
class TextRule:
    """One value of a certificate: exactly `exact`, or in full matched by `pattern`."""

    exact: str | None = None
    pattern: re.Pattern[str] | None = None

    def holds(self, value: str) -> bool:
        """Whether `value` is the one demanded. The whole value must match, also for patterns."""
        if self.pattern is not None:
            return self.pattern.fullmatch(value) is not None
        return value == self.exact

    def __str__(self) -> str:
        return self.pattern.pattern if self.pattern is not None else str(self.exact)


@dataclass(frozen=True, slots=True)
class KeylessSigner:
    """A certificate identity at an issuer. Both are always named (THREATS I10)."""

    identity: TextRule
    issuer: TextRule
    trusted_root: str | None

    def __str__(self) -> str:
        return f"{self.identity} (issuer {self.issuer})"


@dataclass(frozen=True, slots=True)
class KeySigner:
    """A publisher's key: the name of a published target, or a PEM in the policy itself."""

    name: str | None
    pem: bytes | None
    trusted_root: str | None
    ignore_tlog: bool

    def __str__(self) -> str:
        return f"key {self.name}" if self.name else "key in the policy"


Signer = KeylessSigner | KeySigner


@dataclass(frozen=True, slots=True)
class Demand:
    """An image signature (`predicate_type` None) or a signed statement of that predicate type, by `signer`."""

    signer: Signer
    predicate_type: str | None

    @property
    def kind(self) -> str:
        """`signature` or `attestation`."""
        return "signature" if self.predicate_type is None else "attestation"

    def __str__(self) -> str:
        about = f" {self.predicate_type}" if self.predicate_type else ""
        return f"{self.kind}{about} by {self.signer}"


@dataclass(frozen=True, slots=True)
class Rule:
    """What images of these names (or digests), of this stream, have to show."""

    label: str
    patterns: tuple[ImagePattern, ...]
    digests: frozenset[Digest]
    stream: str | None
    demands: tuple[Demand, ...]
    require: tuple[str, ...]
    platforms: tuple[str, ...]
    allow_omitted: bool
    allow_unsigned: bool

    def applies(self, name: str, digest: Digest, stream: str) -> bool:
        """Whether this rule speaks of the image."""
        if self.stream is not None and self.stream != stream:
            return False
        return digest in self.digests or any(pattern.matches(name) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed policy and the digest of its bytes, which every report names (THREATS A7)."""

    rules: tuple[Rule, ...]
    digest: Digest
    raw: bytes = field(repr=False)

    def rule_for(self, name: str, digest: Digest, stream: str) -> Rule | None:
        """The first rule that applies, or None."""
        return next((rule for rule in self.rules if rule.applies(name, digest, stream)), None)


def parse_policy(raw: bytes) -> Policy:
    """Parse a policy file (TOML, POLICY.md).

    Raises:
        UsageError: code ``policy``, naming the place.
    """
    try:
        if len(raw) > limits.SETTINGS_BYTES:
            raise MalformedError("limits", "policy", got=f"{len(raw)} bytes", want=f"at most {limits.SETTINGS_BYTES}")
        document = Fields(tomllib.loads(raw.decode("utf-8")), "policy")
        document.only("format", "rule")
        document.integer("format", minimum=POLICY_FORMAT, maximum=POLICY_FORMAT)
        rules = tuple(_parse_rule(fields, n) for n, fields in enumerate(document.each("rule", maximum=_MAX_RULES), 1))
    except (MalformedError, ValueError, RecursionError) as error:
        raise UsageError("policy", "policy", got=str(error)[:400], hints=["sealift help policy"]) from error
    if not rules:
        raise _wrong("rule", "none", "at least one [[rule]]")
    return Policy(rules, sha256_of(raw), raw)


def _parse_rule(fields: Fields, number: int) -> Rule:
    fields.only(
        "name", "images", "digests", "stream", "signature", "attestation",
        "require", "platforms", "allow_omitted", "allow_unsigned",
    )  # fmt: skip
    where = f"rule[{number}]"
    patterns = tuple(parse_image_pattern(text) for text in _texts(fields, "images"))
    digests = frozenset(parse_digest(text) for text in _texts(fields, "digests"))
    if not patterns and not digests:
        raise _wrong(where, "no images and no digests", "`images` or `digests`")
    rule = Rule(
        label=fields.optional_text("name") or where,
        patterns=patterns,
        digests=digests,
        stream=fields.optional_text("stream"),
        demands=(*_demands(fields, "signature"), *_demands(fields, "attestation")),
        require=_chosen(fields, "require", REQUIREMENTS),
        platforms=_platforms(fields),
        allow_omitted=_flag(fields, "allow_omitted"),
        allow_unsigned=_flag(fields, "allow_unsigned"),
    )
    if not rule.demands and not rule.require:
        raise _wrong(where, "it demands nothing", "a signature, an attestation or `require`")
    if rule.allow_unsigned and not rule.require:
        raise _wrong(f"{where}.allow_unsigned", "true without `require`", '`require = ["sbom"]` or provenance')
    return rule


def _demands(fields: Fields, kind: str) -> tuple[Demand, ...]:
    if kind not in fields:
        return ()
    return tuple(_parse_demand(item, kind) for item in fields.each(kind, maximum=_MAX_DEMANDS))


def _parse_demand(fields: Fields, kind: str) -> Demand:
    extra = ("predicate_type",) if kind == "attestation" else ()
    fields.only(
        "certificate_identity", "certificate_identity_regexp", "certificate_oidc_issuer",
        "certificate_oidc_issuer_regexp", "key", "trusted_root", "insecure_ignore_tlog", *extra,
    )  # fmt: skip
    predicate_type = fields.text("predicate_type") if extra else None
    if predicate_type == "":
        raise _wrong(f"{fields.where}.predicate_type", "empty", "a predicate type")
    return Demand(_parse_signer(fields), predicate_type)


def _parse_signer(fields: Fields) -> Signer:
    trusted_root = fields.optional_text("trusted_root")
    if trusted_root is not None and not _NAME.fullmatch(trusted_root):
        raise _wrong(f"{fields.where}.trusted_root", repr(trusted_root), "the name of a published trusted root")
    names = fields.keys()
    keyless = any(name.startswith("certificate_") for name in names)
    if keyless == ("key" in fields):
        raise _wrong(fields.where, "no signer, or two kinds", "an identity with its issuer, or a key")
    if not keyless:
        return _parse_key_signer(fields, trusted_root)
    if "insecure_ignore_tlog" in fields:
        raise _wrong(f"{fields.where}.insecure_ignore_tlog", "with a certificate", "only with a key")
    identity = _text_rule(fields, "certificate_identity")
    return KeylessSigner(identity, _text_rule(fields, "certificate_oidc_issuer"), trusted_root)


def _parse_key_signer(fields: Fields, trusted_root: str | None) -> KeySigner:
    key = fields.text("key")
    ignore = _flag(fields, "insecure_ignore_tlog")
    if key.strip().startswith(_PEM_START):
        return KeySigner(None, key.strip().encode() + b"\n", trusted_root, ignore)
    if not _NAME.fullmatch(key):
        raise _wrong(f"{fields.where}.key", repr(key[:80]), "the name of a published key, or a PEM public key")
    return KeySigner(key, None, trusted_root, ignore)


def _text_rule(fields: Fields, key: str) -> TextRule:
    exact, regexp = fields.optional_text(key), fields.optional_text(f"{key}_regexp")
    where = f"{fields.where}.{key}"
    if (exact is None) == (regexp is None):
        raise _wrong(where, "none, or both forms", f"`{key}` or `{key}_regexp`")
    if regexp is None:
        if not exact:
            raise _wrong(where, "empty", "a value")
        return TextRule(exact=exact)
    if not (regexp.startswith("^") and regexp.endswith("$") and not regexp.endswith(r"\$")):
        raise UsageError(
            "policy", "policy", f"{where}_regexp", got="not anchored", want="^…$",
            hints=[f"the whole value has to match: write ^{regexp.removeprefix('^').removesuffix('$')}$"],
        )  # fmt: skip
    try:
        return TextRule(pattern=re.compile(regexp))
    except (re.error, OverflowError, RecursionError) as error:
        raise _wrong(f"{where}_regexp", str(error), "a regular expression") from error


def _texts(fields: Fields, key: str) -> tuple[str, ...]:
    return fields.texts(key, maximum=_MAX_RULES) if key in fields else ()


def _flag(fields: Fields, key: str) -> bool:
    return fields.boolean(key) if key in fields else False


def _chosen(fields: Fields, key: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    values = _texts(fields, key)
    for value in values:
        if value not in allowed:
            raise _wrong(f"{fields.where}.{key}", repr(value[:80]), " or ".join(allowed))
    return tuple(dict.fromkeys(values))


def _platforms(fields: Fields) -> tuple[str, ...]:
    values = _texts(fields, "platforms")
    for value in values:
        if not _PLATFORM.fullmatch(value):
            raise _wrong(f"{fields.where}.platforms", repr(value[:80]), "os/architecture[/variant]")
    if "platforms" in fields and not values:
        raise _wrong(f"{fields.where}.platforms", "empty", "at least one platform")
    return tuple(dict.fromkeys(values))


def _wrong(where: str, got: str, want: str) -> UsageError:
    return UsageError("policy", "policy", where, got=got, want=want, hints=["sealift help policy"])
