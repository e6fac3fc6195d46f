"""What is fuzzed: readers of hostile bytes, each with good inputs to start from and a rule for what is accepted.

The rule is never "does not crash" alone: whatever a verifier accepts must tell the same as the good input that was
changed, and whatever a reader accepts must read the same another way. An exception that is not a rejection of ours is
a bug and passes through.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bundler.errors import RejectedError, UsageError
from bundler.evidence.sigstore_bundle import SigstoreBundle, format_bundle, parse_bundle
from bundler.fields import Fields
from bundler.identity.certificate import parse_certificate
from bundler.identity.keys import parse_public_key
from bundler.identity.timestamp import open_timestamp
from bundler.strict_json import format_canonical, parse_canonical, parse_foreign
from bundler.transparency.checkpoint import open_checkpoint
from bundler.transparency.entry import parse_entry
from bundler.transparency.log_entry import format_log_entry, parse_log_entry, parse_log_entry_bytes
from bundler.transparency.note import format_note, parse_note
from bundler.transparency.promise import format_promise, parse_promise
from bundler.verify.blob import known_digest, verify_blob
from bundler.verify.material import TrustedMaterial, parse_trusted_root
from bundler.verify.policy import KeylessSigner, Signer, TextRule, parse_policy
from tests.simulators.fuzz_vulnerability import readings
from tests.simulators.good_bundles import FORMS, World
from tests.simulators.judging import IDENTITY
from tests.simulators.sigstore_bundles import FILE_DIGEST, V01
from tests.simulators.sigstore_keys import GITHUB

POLICY = f"""format = 1
[[rule]]
images = ["registry.example.org/team/*", "registry.example.org/app"]
platforms = ["linux/amd64"]
require = ["sbom", "provenance"]
[[rule.signature]]
certificate_identity_regexp = "^https://example\\\\.org/[a-z]+$"
certificate_oidc_issuer = "{GITHUB}"
[[rule.attestation]]
predicate_type = "https://slsa.dev/provenance/v1"
key = "team"
"""
Check = Callable[[bytes, bytes], bool]


@dataclass(frozen=True)
class Target:
    """One reader or verifier.

    Attributes:
        seeds: good inputs.
        check: takes the good input and the changed one; tells whether that was accepted; AssertionError: a finding.
        words: pieces that mean something to it.
    """

    seeds: tuple[bytes, ...]
    check: Check
    words: tuple[bytes, ...] = ()


def reader(read: Callable[[bytes], object], agree: Callable[[bytes, object], None]) -> Check:
    """A check that reads, and looks at what was read in another way."""

    def check(_good: bytes, raw: bytes) -> bool:
        try:
            value = read(raw)
        except (RejectedError, UsageError):
            return False
        agree(raw, value)
        return True

    return check


def verifier(verify: Callable[[bytes], object]) -> Check:
    """A check that what is accepted tells what the good input tells."""

    def check(good: bytes, raw: bytes) -> bool:
        try:
            told = verify(raw)
        except RejectedError:
            return False
        assert told == verify(good), f"accepted and different: {told}"
        return True

    return check


def bundle_target(name: str) -> Target:
    """Parse and verify Sigstore bundles of one form, some of them with a timestamp beside, or by a key."""
    world = World(name)
    material = parse_trusted_root(world.sigstore.trusted_root_json())
    wanted = KeylessSigner(TextRule(IDENTITY), TextRule(GITHUB), None)
    bundles = [world.good, world.stamped(world.stamp())]
    if not world.is_v2:
        bundles.append(replace(world.good, media_type=V01))
    check = verifier(lambda raw: _told(raw, material, wanted))
    return Target(tuple(map(format_bundle, bundles)), check, (b'"tlogEntries"', b"null", b'"publicKey":{"hint":"x"}'))


def keyed_target() -> Target:
    """Sigstore bundles by a key."""
    world = World(FORMS[0])
    material = parse_trusted_root(world.sigstore.trusted_root_json())
    signer = world.sigstore.key_signer()
    key = parse_public_key(signer.public_pem.encode())
    bundles: list[SigstoreBundle] = [world.make(signer), replace(world.make(signer), entries=())]

    def told(raw: bytes) -> object:
        verified = verify_blob(raw, known_digest(FILE_DIGEST), signer=key, material=material)
        return verified.digest, verified.signer

    return Target(tuple(map(format_bundle, bundles)), verifier(told), (b'"certificate":', b'"hint"'))


def _told(raw: bytes, material: TrustedMaterial, wanted: Signer) -> object:
    """What may never change. Version 0.1 needs no proof: one taken away is told as a lower strength."""
    assert isinstance(wanted, KeylessSigner)
    verified = verify_blob(raw, known_digest(FILE_DIGEST), signer=wanted, material=material)
    assert verified.logs
    assert len({time.at for time in verified.times}) == 1
    assert verified.strength == "proof" or parse_bundle(raw).version == "0.1"
    entries = {(fact.log_url, fact.entry_kind) for fact in verified.logs}
    return verified.digest, verified.signer, verified.statement, entries, verified.times[0].at


def targets() -> Mapping[str, Target]:
    """All of them by name. Made anew from seeds: no file is read."""
    worlds = {form: World(form) for form in FORMS}
    first, second = worlds["statement, Rekor 1"], worlds["file, Rekor 2"]
    roots = {world: parse_trusted_root(world.sigstore.trusted_root_json()) for world in (first, second)}
    notes = tuple(world.proof.checkpoint or b"" for world in (first, second))
    logs = dict(zip(notes, (roots[first].logs[0], roots[second].logs[1]), strict=True))
    entries = tuple(format_log_entry(world.entry) for world in worlds.values())
    bodies = tuple(world.entry.body for world in worlds.values())
    stamps = (second.stamp(), second.stamp(embed=False), second.stamp(by_key_identifier=True))
    message = second.good.content.signature
    certificate = first.good.certificate
    assert certificate is not None
    promise = first.entry.promise
    assert promise is not None
    return {
        **{f"Sigstore bundle, {form}": bundle_target(form) for form in FORMS},
        "Sigstore bundle, by a key": keyed_target(),
        "trusted root": Target((roots[first].raw,), reader(parse_trusted_root, lambda raw, value: None)),
        "note": Target(notes, reader(parse_note, _note_agrees), ("\u2014 ".encode(), b"\n\n", b"\r")),
        "checkpoint": Target(
            notes, lambda good, raw: _checkpoint(logs[good])(good, raw), ("\u2014 ".encode(), b"\n\n")
        ),
        "timestamp": Target(
            stamps,
            verifier(lambda raw: open_timestamp(raw, message, roots[second].timestamp_authorities)),
            (b"\x05\x00", b"\x30\x80", b"\x80"),
        ),
        "certificate": Target((certificate.der,), reader(parse_certificate, _certificate_agrees), (b"\x05\x00",)),
        "log entry": Target(entries, reader(parse_log_entry_bytes, _entry_agrees)),
        "log entry, foreign": Target(entries, reader(_foreign_entry, lambda raw, value: None)),
        "body of an entry": Target(bodies, reader(parse_entry, lambda raw, value: None), (b'"dsse"', b'"0.0.2"')),
        "promise": Target((format_promise(promise),), reader(parse_promise, lambda raw, value: None)),
        "policy": Target(
            (POLICY.encode(),), reader(parse_policy, lambda raw, value: None), (b"[[rule]]", b"= true", b"^")
        ),
        "foreign JSON": Target(entries, reader(parse_foreign, _json_agrees), (b"\\ud800", b"1e999", b"-0", b"NaN")),
        **{name: Target(seeds, reader(read, agree), words) for name, (seeds, read, agree, words) in readings().items()},
        "canonical JSON": Target((b'{"a":[1,"b",null],"c":{}}',), reader(parse_canonical, _canonical_agrees)),
    }


def _checkpoint(log: object) -> Check:
    def told(raw: bytes) -> object:
        checkpoint = open_checkpoint(raw, log)  # type: ignore[arg-type]
        return checkpoint.origin, checkpoint.tree_size, checkpoint.root_hash

    return verifier(told)


def _foreign_entry(raw: bytes) -> object:
    return parse_log_entry(Fields(parse_foreign(raw), "entry"))


def _note_agrees(raw: bytes, value: object) -> None:
    assert format_note(value) == raw  # type: ignore[arg-type]


def _certificate_agrees(raw: bytes, value: object) -> None:
    assert value.der == raw  # type: ignore[attr-defined]


def _entry_agrees(raw: bytes, value: object) -> None:
    assert format_log_entry(value) == raw  # type: ignore[arg-type]


def _json_agrees(raw: bytes, value: object) -> None:
    assert json.loads(raw) == value


def _canonical_agrees(raw: bytes, value: object) -> None:
    assert format_canonical(value) == raw
