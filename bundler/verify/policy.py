"""The receiver's policy: which images are demanded to show what, signed by whom (POLICY.md is its manual).

Rules of this module:
- The policy is the site's own file. Nothing in a bundle can change it; the exporter's policy is carried for the record.
- Unknown keys, empty rules and demands, unanchored patterns, half-named signers and rules that can never apply are
  errors, never defaults (CVE-2026-48815: a policy option that was silently dropped).
- The first rule that matches an image decides; an image without a rule is rejected.
- Pure: bytes in, frozen values out. Matching and evaluation of evidence are elsewhere (demands.py).
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from bundler import limits
from bundler.digest import Digest, parse_digest, sha256_of
from bundler.errors import MalformedError, UsageError
from bundler.fields import Fields
from bundler.value import dataclass, field, replace
from bundler.verify.patterns import ImagePattern, covers, covers_all, parse_image_pattern
from bundler.verify.policy_log import LogDemand, parse_log_demand
from bundler.verify.policy_provenance import ProvenanceRule, parse_provenance_rule
from bundler.verify.policy_signer import (
    SIGNER_KEYS,
    KeylessSigner,
    KeySigner,
    Signer,
    names_signer,
    parse_signer,
)
from bundler.verify.policy_text import TextRule, wrong
from trust_root.settings import parse_site_name

if TYPE_CHECKING:
    from bundler.verify.policy_vulnerabilities import VulnerabilityRule

__all__ = ["Demand", "KeySigner", "KeylessSigner", "Policy", "Rule", "RuleTrial", "Signer", "TextRule", "parse_policy"]

POLICY_FORMAT = 1
REQUIREMENTS = ("sbom", "spdx", "cyclonedx", "provenance")
_MAX_RULES = 1000
_MAX_DEMANDS = 32
_MAX_SIGNERS = 32
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Demand:
    """An image signature (`predicate_type` None) or a signed statement of that predicate type.

    Attributes:
        signers: of these, `threshold` different ones have signed.
        log: how well each of their signatures is logged; None where the policy does not ask.
    """

    signers: tuple[Signer, ...]
    predicate_type: str | None
    threshold: int = 1
    log: LogDemand | None = None

    @property
    def kind(self) -> str:
        """`signature` or `attestation`."""
        return "signature" if self.predicate_type is None else "attestation"

    @property
    def signer(self) -> Signer:
        """The signer of a demand that names one (see `alternatives`)."""
        return self.signers[0]

    @property
    def alternatives(self) -> tuple[Demand, ...]:
        """The same demand for each of its signers alone."""
        return tuple(replace(self, signers=(signer,), threshold=1) for signer in self.signers)

    def __str__(self) -> str:
        about = f" {self.predicate_type}" if self.predicate_type else ""
        signers = ", ".join(map(str, self.signers))
        if len(self.signers) > 1:
            signers = f"{self.threshold} of {len(self.signers)}: {signers}"
        return f"{self.kind}{about} by {signers}" + (f", {self.log}" if self.log else "")


@dataclass(frozen=True, slots=True)
class Rule:
    """What images of these names (or digests), of this stream, have to show.

    With `derived_from`, they have to be patched from an image of such a name, and that one has to show it. With `pin`,
    only what was delivered below that pinned root is spoken of.
    """

    label: str
    patterns: tuple[ImagePattern, ...]
    digests: frozenset[Digest]
    stream: str | None
    demands: tuple[Demand, ...]
    require: tuple[str, ...]
    provenance: ProvenanceRule | None
    platforms: tuple[str, ...]
    allow_omitted: bool
    allow_unsigned: bool
    derived_from: tuple[ImagePattern, ...] = ()
    vulnerabilities: VulnerabilityRule | None = None
    pin: str | None = None

    def applies(self, name: str, digest: Digest, stream: str, pin: str) -> bool:
        """Whether this rule speaks of the image."""
        if self.pin not in (None, pin) or self.stream not in (None, stream):
            return False
        return digest in self.digests or any(pattern.matches(name) for pattern in self.patterns)

    def try_on(self, name: str, digest: Digest, stream: str, pin: str) -> RuleTrial:
        """Whether it does, and why."""
        if self.pin not in (None, pin):
            return RuleTrial(self.label, False, f"it is about bundles below pin {self.pin}")
        if self.stream not in (None, stream):
            return RuleTrial(self.label, False, f"it is about stream {self.stream}, the bundle is of {stream}")
        if digest in self.digests:
            return RuleTrial(self.label, True, "it names the digest")
        pattern = next((pattern for pattern in self.patterns if pattern.matches(name)), None)
        if pattern is not None:
            return RuleTrial(self.label, True, f"{pattern.text} matches the name")
        count = len(self.patterns) + len(self.digests)
        return RuleTrial(self.label, False, f"none of its {count} names and digests is the image's")

    def covers(self, other: Rule) -> bool:
        """Whether this rule, standing first, leaves nothing to `other`."""
        if self.stream not in (None, other.stream) or self.pin not in (None, other.pin):
            return False
        everything = any(map(covers_all, self.patterns))
        if not everything and not other.digests <= self.digests:
            return False
        return all(any(covers(mine, theirs) for mine in self.patterns) for theirs in other.patterns)

    @property
    def demanded(self) -> tuple[str, ...]:
        """All that it demands, one phrase each."""
        phrases = [str(demand) for demand in self.demands]
        phrases += [f"{requirement} for every platform" for requirement in self.require]
        if self.provenance is not None:
            phrases.append(f"provenance with {self.provenance}")
        if self.vulnerabilities is not None:
            phrases.append(f"vulnerabilities {self.vulnerabilities}")
        if self.derived_from:
            names = " or ".join(pattern.text for pattern in self.derived_from)
            phrases = [f"derived from {names}", *(f"{phrase}, of the original" for phrase in phrases)]
        return (*phrases, *(f"platform {platform}" for platform in self.platforms))


@dataclass(frozen=True, slots=True)
class RuleTrial:
    """One rule held against one image: whether it applies, and why."""

    rule: str
    applies: bool
    because: str


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed policy and the digest of its bytes, which every report names (THREATS A7).

    Attributes:
        strengthened: options that demand more than the file does.
        site: the only site that may judge by this policy, or None for any.
        pin: digest of the pinned root that vouches for what is judged (of one that was given up, of that in its
            place), as text; empty while none does.
        require_log_growth: logs that vouch for evidence must be proved to have only grown since the site saw them.
    """

    rules: tuple[Rule, ...]
    digest: Digest
    raw: bytes = field(repr=False)
    strengthened: tuple[str, ...] = ()
    require_log_growth: bool = False
    site: str | None = None
    pin: str = ""

    def requiring_proofs(self) -> Policy:
        """This policy with an inclusion proof behind every signature that it demands; stronger demands stay."""
        proof = LogDemand("proof")
        rules = tuple(
            replace(rule, demands=tuple(_with_log(demand, proof) for demand in rule.demands)) for rule in self.rules
        )
        told = "--require-inclusion-proof: every demand needs a proof"
        return replace(self, rules=rules, strengthened=(*self.strengthened, told))

    def requiring_log_growth(self) -> Policy:
        """This policy with `require_log_growth`."""
        told = "--require-log-growth: logs must be proved to have only grown"
        return replace(self, require_log_growth=True, strengthened=(*self.strengthened, told))

    def explain(self, name: str, digest: Digest, stream: str) -> tuple[RuleTrial, ...]:
        """Every rule tried on an image, in order, up to the one that applies."""
        trials: list[RuleTrial] = []
        for rule in self.rules:
            trials.append(rule.try_on(name, digest, stream, self.pin))
            if trials[-1].applies:
                break
        return tuple(trials)

    def rule_for(self, name: str, digest: Digest, stream: str) -> Rule | None:
        """The first rule that applies, or None."""
        return next((rule for rule in self.rules if rule.applies(name, digest, stream, self.pin)), None)


def parse_policy(raw: bytes) -> Policy:
    """Parse a policy file (TOML, POLICY.md).

    Raises:
        UsageError: code ``policy``, naming the place.
    """
    try:
        if len(raw) > limits.SETTINGS_BYTES:
            raise MalformedError("limits", "policy", got=f"{len(raw)} bytes", want=f"at most {limits.SETTINGS_BYTES}")
        document = Fields(tomllib.loads(raw.decode("utf-8")), "policy", first=1)
        document.only("format", "site", "rule", "require_log_growth")
        document.integer("format", minimum=POLICY_FORMAT, maximum=POLICY_FORMAT)
        require_log_growth = _flag(document, "require_log_growth")
        site = parse_site_name(document.text("site")) if "site" in document else None
        rules = tuple(_parse_rule(fields, n) for n, fields in enumerate(document.each("rule", maximum=_MAX_RULES), 1))
    except (MalformedError, ValueError, RecursionError) as error:
        raise UsageError("policy", "policy", got=str(error)[:400], hints=["sealift help policy"]) from error
    if not rules:
        raise wrong("rule", "none", "at least one [[rule]]")
    _check_reachable(rules)
    return Policy(rules, sha256_of(raw), raw, require_log_growth=require_log_growth, site=site)


def _parse_rule(fields: Fields, number: int) -> Rule:
    fields.only(
        "name", "images", "digests", "stream", "signature", "attestation", "provenance",
        "require", "platforms", "allow_omitted", "allow_unsigned", "derived_from",
        "vulnerabilities", "pin",
    )  # fmt: skip
    where = f"rule[{number}]"
    patterns = tuple(parse_image_pattern(text) for text in _texts(fields, "images"))
    digests = frozenset(parse_digest(text) for text in _texts(fields, "digests"))
    if not patterns and not digests:
        raise wrong(where, "no images and no digests", "`images` or `digests`")
    require = _chosen(fields, "require", REQUIREMENTS)
    provenance = parse_provenance_rule(fields.fields("provenance")) if "provenance" in fields else None
    if provenance is not None and "provenance" not in require:
        require = (*require, "provenance")
    pin = str(parse_digest(fields.text("pin"))) if "pin" in fields else None
    vulnerabilities = _vulnerabilities(fields)
    if vulnerabilities is not None and not set(require) & {"sbom", "spdx", "cyclonedx"}:
        require = (*require, "sbom")
    rule = Rule(
        label=fields.optional_text("name") or where,
        patterns=patterns,
        digests=digests,
        stream=fields.optional_text("stream"),
        demands=(*_demands(fields, "signature"), *_demands(fields, "attestation")),
        require=require,
        provenance=provenance,
        platforms=_platforms(fields),
        allow_omitted=_flag(fields, "allow_omitted"),
        allow_unsigned=_flag(fields, "allow_unsigned"),
        derived_from=tuple(parse_image_pattern(text) for text in _texts(fields, "derived_from")),
        vulnerabilities=vulnerabilities,
        pin=pin,
    )
    if not rule.demands and not rule.require:
        raise wrong(where, "it demands nothing", "a signature, an attestation or `require`")
    if rule.allow_unsigned and not rule.require:
        raise wrong(f"{where}.allow_unsigned", "true without `require`", '`require = ["sbom"]` or provenance')
    return rule


def _vulnerabilities(fields: Fields) -> VulnerabilityRule | None:
    if "vulnerabilities" not in fields:
        return None
    from bundler.verify.policy_vulnerabilities import parse_vulnerability_rule  # noqa: PLC0415  few rules need it

    return parse_vulnerability_rule(fields.fields("vulnerabilities"))


def _check_reachable(rules: tuple[Rule, ...]) -> None:
    """A rule that no image can reach is a demand that somebody believes in."""
    starts: dict[str, list[Rule]] = {}  # by what one of its patterns begins with, or by digest
    for rule in rules:
        # What covers the rule covers its first pattern (or digest), so it begins with a part of it.
        first = rule.patterns[0].text if rule.patterns else str(min(rule.digests))
        likely = (starts.get(first[:length], ()) for length in range(len(first) + 1))
        above = next((earlier for found in likely for earlier in found if earlier.covers(rule)), None)
        if above is not None:
            raise UsageError(
                "policy", "policy", f"rule {rule.label}", got=f"never applies: {above.label} names all its images",
                want="rules that can apply", hints=["move the narrower rule up, or remove one of the two"],
            )  # fmt: skip
        for start in {*(pattern.start for pattern in rule.patterns), *map(str, rule.digests)}:
            starts.setdefault(start, []).append(rule)


def _demands(fields: Fields, kind: str) -> tuple[Demand, ...]:
    if kind not in fields:
        return ()
    demands = tuple(_parse_demand(item, kind) for item in fields.each(kind, maximum=_MAX_DEMANDS))
    if not demands:
        raise wrong(f"{fields.where}.{kind}", "empty", "at least one, or no such key")
    return demands


def _parse_demand(fields: Fields, kind: str) -> Demand:
    extra = ("predicate_type",) if kind == "attestation" else ()
    fields.only(*SIGNER_KEYS, "signer", "threshold", "log", "log_threshold", *extra)
    predicate_type = fields.text("predicate_type") if extra else None
    if predicate_type == "":
        raise wrong(f"{fields.where}.predicate_type", "empty", "a predicate type")
    signers, threshold = _parse_signers(fields)
    log = parse_log_demand(fields)
    if log is not None and any(isinstance(signer, KeySigner) and signer.ignore_tlog for signer in signers):
        raise wrong(f"{fields.where}.log", "beside insecure_ignore_tlog", "one of the two")
    return Demand(signers, predicate_type, threshold, log)


def _parse_signers(fields: Fields) -> tuple[tuple[Signer, ...], int]:
    """The one signer that stands in the demand itself, or those of its tables `signer`, and how many of them."""
    if "signer" not in fields:
        if "threshold" in fields:
            raise wrong(f"{fields.where}.threshold", "without `signer` tables", "[[…signer]], one for each")
        return (parse_signer(fields),), 1
    if names_signer(fields):
        raise wrong(fields.where, "a signer beside `signer` tables", "one of the two")
    signers = []
    for item in fields.each("signer", maximum=_MAX_SIGNERS):
        item.only(*SIGNER_KEYS)
        signers.append(parse_signer(item))
    if not signers:
        raise wrong(f"{fields.where}.signer", "empty", "at least one")
    if len(signers) > 1 and "threshold" not in fields:
        raise wrong(
            f"{fields.where}.threshold", f"absent beside {len(signers)} signers", "how many of them have to sign"
        )
    threshold = fields.integer("threshold", minimum=1, maximum=len(signers)) if "threshold" in fields else 1
    if len(set(signers)) != len(signers):
        raise wrong(f"{fields.where}.signer", "one signer twice", "each once")
    return tuple(signers), threshold


def _with_log(demand: Demand, log: LogDemand) -> Demand:
    signers = tuple(
        replace(signer, ignore_tlog=False) if isinstance(signer, KeySigner) else signer for signer in demand.signers
    )
    return replace(demand, signers=signers, log=demand.log.at_least(log.strength) if demand.log else log)


def _texts(fields: Fields, key: str) -> tuple[str, ...]:
    if key not in fields:
        return ()
    values = fields.texts(key, maximum=_MAX_RULES)
    if not values:
        raise wrong(f"{fields.where}.{key}", "empty", "at least one, or no such key")
    return values


def _flag(fields: Fields, key: str) -> bool:
    return fields.boolean(key) if key in fields else False


def _chosen(fields: Fields, key: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    values = _texts(fields, key)
    for value in values:
        if value not in allowed:
            raise wrong(f"{fields.where}.{key}", repr(value[:80]), " or ".join(allowed))
    return tuple(dict.fromkeys(values))


def _platforms(fields: Fields) -> tuple[str, ...]:
    values = _texts(fields, "platforms")
    for value in values:
        if not _PLATFORM.fullmatch(value):
            raise wrong(f"{fields.where}.platforms", repr(value[:80]), "os/architecture[/variant]")
    return tuple(dict.fromkeys(values))
