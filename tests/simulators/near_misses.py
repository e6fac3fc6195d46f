"""Good Sigstore bundles of four forms, and some eighty ways in which each can be wrong in one point.

    for case in cases():
        case.name            # "file, Rekor 1: promise removed"
        case.bundle, case.trusted_root, case.artifact_sha256, case.identity, case.issuer

Everything comes from a seed; a change that makes no sense for a form (a promise in Rekor 2) is left out there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from bundler.encoding import encode_base64
from bundler.evidence.envelope import Envelope
from bundler.evidence.sigstore_bundle import MessageSignature, SigstoreBundle, format_bundle
from tests.simulators.good_bundles import FORMS, PREDICATE, SECOND, Case, World, flip, statement
from tests.simulators.judging import IDENTITY
from tests.simulators.sigstore_bundles import (
    FILE,
    FILE_DIGEST,
    V01,
    V02,
    V03,
    WITNESS,
    WholeSigstore,
    ed25519_key,
    statement_bytes,
)
from tests.simulators.sigstore_keys import AT, GITHUB, LEAF_LIFETIME, START, Window, to_json
from tests.simulators.sigstore_tsa import TimestampAuthority

Change = Callable[[World], SigstoreBundle]

GOOD: dict[str, Change] = {
    "good": lambda w: w.good,
    "version 0.3, old media type": lambda w: replace(w.good, media_type=V03),
    "version 0.2": lambda w: replace(w.good, media_type=V02),
    "with promise, proof and timestamp": lambda w: w.stamped(w.stamp()),
    "cosigned by a witness": lambda w: replace(w.good, entries=(w.sigstore.cosigned(w.entry),)),
    "extension line in the checkpoint": lambda w: w.note(more=("Timestamp: 1700000000",)),
    "SCT with extensions": lambda w: w.by(sct_extensions=b"ext"),
}
CONTENT: dict[str, Change] = {
    "signature flipped": lambda w: w.signing(flip(w.good.content.signature)),
    "signature of something else": lambda w: w.signing(w.other.content.signature),
    "signature with a byte behind": lambda w: w.signing(w.good.content.signature + b"\0"),
    "content of another": lambda w: replace(w.good, content=w.other.content),
}
SIGNER: dict[str, Change] = {
    "certificate of another key": lambda w: replace(w.good, certificate=w.by().certificate),
    "another identity": lambda w: w.by("https://example.org/app/.github/workflows/release.yml@refs/tags/v2"),
    "another issuer": lambda w: w.by(issuer="https://accounts.example.org"),
    "issuer extensions that differ": lambda w: w.by(issuer_raw="https://accounts.example.org"),
    "no issuer at all": lambda w: w.by(issuer_raw=None, issuer_der=None),
    "newer issuer extension only": lambda w: w.by(issuer_raw=None),
    "older issuer extension only": lambda w: w.by(issuer_der=None),
    "no SCT": lambda w: w.by(scts=0),
    "two equal SCTs": lambda w: w.by(scts=2),
    "SCT of an unknown log": lambda w: w.by(sct_log=w.sigstore.new_log("https://ctfe.example.com")),
    "certificate expired before": lambda w: w.by(at=AT - LEAF_LIFETIME - SECOND),
    "certificate valid only later": lambda w: w.by(at=AT + SECOND),
    "certificate's last second": lambda w: w.by(at=AT - LEAF_LIFETIME),
    "certificate's first second": lambda w: w.by(at=AT),
    "not for signing code": lambda w: w.by(purposes=("1.3.6.1.5.5.7.3.1",)),
    "no purpose": lambda w: w.by(purposes=()),
    "no digitalSignature": lambda w: w.by(content_usage=False),
    "no KeyUsage": lambda w: w.by(content_usage=None),
    "certificate of an authority": lambda w: w.by(ca=True),
    "another authority": lambda w: w.by(issued_by=w.sigstore.new_authority()),
    "another authority, same names": lambda w: w.by(
        issued_by=replace(w.sigstore.authority, key=w.sigstore.new_authority().key)
    ),
    "a key in place of the certificate": lambda w: replace(w.good, certificate=None, key_hint=""),
}
ENTRY: dict[str, Change] = {
    "no entry": lambda w: replace(w.good, entries=()),
    "entry twice": lambda w: replace(w.good, entries=w.good.entries * 2),
    "entry of another": lambda w: replace(w.good, entries=w.other.entries),
    "body changed": lambda w: w.having(body=w.entry.body.replace(b'"spec"', b'"spec" ')),
    "another log id": lambda w: w.having(log_id=bytes(32)),
    "log id of the other log": lambda w: w.having(log_id=(w.sigstore.rekor if w.is_v2 else w.sigstore.rekor_2).log_id),
    "another kind claimed": lambda w: w.having(kind="dsse" if w.entry.kind == "hashedrekord" else "hashedrekord"),
    "another version claimed": lambda w: w.having(version="0.0.1" if w.is_v2 else "0.0.2"),
    "no proof": lambda w: w.having(proof=None),
    "index + 1": lambda w: w.having(log_index=w.entry.log_index + 1),
}
PROMISE: dict[str, Change] = {
    "no promise": lambda w: w.having(signed_entry_timestamp=None),
    "no promise, with a timestamp": lambda w: replace(w.having(signed_entry_timestamp=None), timestamps=(w.stamp(),)),
    "no promise and no time, with a timestamp": lambda w: replace(
        w.having(signed_entry_timestamp=None, integrated_time=None), timestamps=(w.stamp(),)
    ),
    "promise flipped": lambda w: w.having(signed_entry_timestamp=flip(w.entry.signed_entry_timestamp or b"")),
    "promise flipped, with a timestamp": lambda w: replace(
        w.having(signed_entry_timestamp=flip(w.entry.signed_entry_timestamp or b"")), timestamps=(w.stamp(),)
    ),
    "promise of another": lambda w: w.having(signed_entry_timestamp=w.other.entries[0].signed_entry_timestamp),
    "time + 1": lambda w: w.having(integrated_time=(w.entry.integrated_time or 0) + 1),
    "promise without its time": lambda w: w.having(integrated_time=None),
}
PROOF: dict[str, Change] = {
    "proof index + 1": lambda w: w.proving(log_index=w.proof.log_index + 1),
    "proof index 0": lambda w: w.proving(log_index=0),
    "tree size + 1": lambda w: w.proving(tree_size=w.proof.tree_size + 1),
    "root flipped": lambda w: w.proving(root_hash=flip(w.proof.root_hash)),
    "a hash flipped": lambda w: w.proving(hashes=(flip(w.proof.hashes[0]), *w.proof.hashes[1:])),
    "a hash missing": lambda w: w.proving(hashes=w.proof.hashes[1:]),
    "a hash too many": lambda w: w.proving(hashes=(*w.proof.hashes, bytes(32))),
    "no checkpoint": lambda w: w.proving(checkpoint=None),
    "checkpoint by another key": lambda w: w.note(key=ed25519_key("stranger")),
    "checkpoint by the other log": lambda w: w.note(key=w.sigstore.rekor.key if w.is_v2 else w.sigstore.rekor_2.key),
    "checkpoint of another size": lambda w: w.note(size=w.proof.tree_size + 1),
    "checkpoint of another root": lambda w: w.note(root=bytes(32)),
    "checkpoint of another origin": lambda w: w.note(origin="log.example.com", name="log.example.com"),
    "checkpoint of another origin, by the log": lambda w: w.note(origin="log.example.com"),
    "checkpoint's signature flipped": lambda w: w.noting(lambda text: text[:-6] + text[-6:].swapcase()),
    "checkpoint with CRLF": lambda w: w.noting(lambda text: text.replace("\n", "\r\n")),
    "checkpoint without its last line end": lambda w: w.noting(lambda text: text[:-1]),
    "checkpoint of spaces and numbers": lambda w: w.noting(lambda text: text.replace("\n", "\n ", 1)),
    "checkpoint with junk lines before its signature": lambda w: w.noting(
        lambda text: text.replace("\n\n", "\n\njunk\n", 1)
    ),
    "checkpoint with a stranger's line first": lambda w: w.noting(
        lambda text: text.replace("\n\n", f"\n\n\u2014 {WITNESS} {encode_base64(bytes(76))}\n", 1)
    ),
    "checkpoint empty": lambda w: w.proving(checkpoint=b""),
}
TIMESTAMPS: dict[str, Change] = {
    "timestamp over something else": lambda w: w.stamped(w.sigstore.tsa.stamp(b"something else")),
    "timestamp by a stranger": lambda w: w.stamped(w.stamp(TimestampAuthority("stranger"))),
    "timestamp with status rejection": lambda w: w.stamped(w.stamp(status=2)),
    "timestamp after the certificate": lambda w: w.stamped(w.stamp(at=AT + LEAF_LIFETIME + SECOND)),
    "timestamp before the certificate": lambda w: w.stamped(w.stamp(at=AT - SECOND)),
    "timestamp of a flipped signature": lambda w: w.stamped(flip(w.stamp())),
    "timestamp with a byte behind": lambda w: w.stamped(w.stamp() + b"\0"),
    "timestamp that is none": lambda w: w.stamped(b"\x30\0"),
    "timestamp twice": lambda w: w.stamped(*[w.stamp()] * 2),
    "a good and a late timestamp": lambda w: w.stamped(w.stamp(), w.stamp(at=AT + 2 * LEAF_LIFETIME)),
    "a good and a stranger's timestamp": lambda w: w.stamped(w.stamp(), w.stamp(TimestampAuthority("stranger"))),
    "33 timestamps": lambda w: w.stamped(*[w.stamp(serial=bytes([n + 1])) for n in range(33)]),
    "timestamp without its certificate": lambda w: w.stamped(w.stamp(embed=False)),
    "timestamp with SHA-512": lambda w: w.stamped(
        w.stamp(imprint_digest="sha512", digest="sha512", ess_digest="sha512")
    ),
    "timestamp over a SHA-1": lambda w: w.stamped(w.stamp(imprint_digest="sha1")),
    "timestamp naming another certificate": lambda w: w.stamped(w.stamp(ess_for=w.sigstore.tsa.chain[1])),
    "timestamp with fractions of a second": lambda w: w.stamped(w.stamp(gen_time=b"20260301120000.5Z")),
}
Edit = Callable[[dict[str, Any]], object]


def _material(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = value["verificationMaterial"]
    return found


def _entry(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = _material(value)["tlogEntries"][0]
    return found


EDITS: dict[str, Edit] = {
    "unknown field": lambda v: v.update(comment="hello"),
    "unknown field in the material": lambda v: _material(v).update(comment="hello"),
    "unknown media type": lambda v: v.update(mediaType="application/vnd.dev.sigstore.bundle.v0.4+json"),
    "version 0.2 with a single certificate": lambda v: v.update(mediaType=V02),
    "no media type": lambda v: v.pop("mediaType"),
    "numbers instead of strings": lambda v: _entry(v).update(logIndex=int(_entry(v)["logIndex"])),
    "number with a leading zero": lambda v: _entry(v).update(logIndex="0" + _entry(v)["logIndex"]),
    "number below zero": lambda v: _entry(v).update(logIndex="-1"),
    "number beyond 64 bits": lambda v: _entry(v).update(logIndex=str(2**64)),
    "null in place of a list": lambda v: _material(v).update(tlogEntries=None),
    "a certificate and a key": lambda v: _material(v).update(publicKey={"hint": "x"}),
    "a certificate and a chain": lambda v: _material(v).update(
        x509CertificateChain={"certificates": [_material(v).get("certificate")]}
    ),
    "body with spaces in its base64": lambda v: _entry(v).update(
        canonicalizedBody=_entry(v)["canonicalizedBody"] + " "
    ),
    "names in snake_case": lambda v: v.update(media_type=v.pop("mediaType")),
}
TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "media type twice": lambda raw: raw.replace(b"{", b'{"mediaType":"x",', 1),
    "white space": lambda raw: raw.replace(b",", b" ,\n "),
    "a byte order mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "a byte behind": lambda raw: raw + b"x",
    "cut short": lambda raw: raw[:-1],
}
WINDOWS: dict[str, dict[str, Window]] = {
    f"{name} window {what}": {knob: window}
    for name, knob in (
        ("log", "log_window"), ("Rekor 2", "rekor_2_window"), ("certificate log", "certificate_log_window"),
        ("authority", "authority_window"), ("timestamp authority", "timestamp_window"),
    )
    for what, window in (
        ("starts just then", (AT, None)), ("starts a second later", (AT + SECOND, None)),
        ("ends just then", (START, AT)), ("ended a second before", (START, AT - SECOND)),
    )
}  # fmt: skip


def _roots(world: World) -> Iterator[tuple[str, bytes]]:
    for name, windows in WINDOWS.items():
        yield name, world.sigstore.trusted_root_json(**windows)
    for name, change in (
        ("trusted root without logs", {"tlogs": []}),
        ("trusted root without certificate logs", {"ctlogs": []}),
        ("trusted root without authorities", {"certificateAuthorities": []}),
        ("trusted root without timestamp authorities", {"timestampAuthorities": []}),
        ("trusted root of another instance", json.loads(WholeSigstore("another").trusted_root_json())),
        ("trusted root with another id for the log's key", {"tlogs": _renamed(world.root["tlogs"])}),
    ):
        yield name, to_json({**world.root, **change})


def _renamed(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**log, "logId": {"keyId": encode_base64(hashlib.sha256(log["baseUrl"].encode()).digest())}} for log in logs
    ]


def _bundles(world: World) -> Iterator[tuple[str, bytes]]:
    groups = [GOOD, CONTENT, SIGNER, ENTRY, PROOF, TIMESTAMPS]
    for group in groups if world.is_v2 else [*groups, PROMISE]:
        for name, change in group.items():
            yield name, format_bundle(change(world))
    good = format_bundle(world.good)
    for name, edit in EDITS.items():
        value = json.loads(good)
        edit(value)
        yield name, to_json(value)
    for name, text in TEXTS.items():
        yield name, text(good)
    yield from _own(world)


def _own(world: World) -> Iterator[tuple[str, bytes]]:
    """What only one form has."""
    content = world.good.content
    if isinstance(content, MessageSignature):
        yield "no messageDigest", format_bundle(replace(world.good, content=replace(content, hash_algorithm=None)))
        wrong = replace(content, hash_value=flip(content.hash_value))
        yield "another messageDigest", format_bundle(replace(world.good, content=wrong))
        named = replace(content, hash_algorithm="SHA2_512")
        yield "another algorithm for messageDigest", format_bundle(replace(world.good, content=named))
    else:
        assert isinstance(content, Envelope)
        yield "key id", format_bundle(replace(world.good, content=replace(content, keyid="anything")))
        typed = replace(content, payload_type="application/json")
        yield "another payload type", format_bundle(replace(world.good, content=typed))
        value = json.loads(format_bundle(world.good))
        value["dsseEnvelope"]["signatures"] *= 2
        yield "signed twice", to_json(value)
        unnamed = statement_bytes(FILE_DIGEST, PREDICATE)
        yield "subject without a name", format_bundle(world.sigstore.bundle(unnamed, world.signer, log=world.log))
    if not world.is_v2:
        yield "version 0.1", format_bundle(replace(world.good, media_type=V01))
        bare = world.proving(checkpoint=None)
        yield "version 0.1, no checkpoint", format_bundle(replace(bare, media_type=V01))
        yield "version 0.1, no proof", format_bundle(replace(world.having(proof=None), media_type=V01))


def unusual() -> Iterator[Case]:
    """Good ones of further forms."""
    sigstore = WholeSigstore("unusual")
    signer = sigstore.keyless(IDENTITY)
    about, root = statement(FILE_DIGEST), sigstore.trusted_root_json()
    for kind in ("intoto 0.0.1", "intoto 0.0.2"):
        yield Case(f"entry of kind {kind}", format_bundle(sigstore.bundle(about, signer, kind=kind)), root)
    second = sigstore.bundle(about, signer, log="rekor-2", kind="dsse 0.0.2")
    yield Case("entry of kind dsse 0.0.2", format_bundle(second), root)
    first = sigstore.bundle(about, signer)
    both = replace(first, entries=(*first.entries, *second.entries), timestamps=second.timestamps)
    yield Case("entries in two logs", format_bundle(both), root)
    private = to_json({**sigstore.trusted_root_value(), "tlogs": [], "ctlogs": []})
    stamped = sigstore.bundle(about, signer, log="none")
    yield Case("a timestamp only, by an instance without logs", format_bundle(stamped), private)
    other_name = sigstore.keyless("someone", issuer=GITHUB)
    yield Case(
        "an identity that is neither URI nor e-mail", format_bundle(sigstore.bundle(FILE, other_name)), root,
        identity="someone",
    )  # fmt: skip
    mail = sigstore.keyless("someone@example.org")
    yield Case(
        "an e-mail address", format_bundle(sigstore.bundle(FILE, mail)), root, identity="someone@example.org"
    )  # fmt: skip


@cache
def cases() -> tuple[Case, ...]:
    """All of them."""
    found = []
    for form in FORMS:
        world = World(form)
        root = world.sigstore.trusted_root_json()
        found += [Case(f"{form}: {name}", raw, root) for name, raw in _bundles(world)]
        good = format_bundle(world.good)
        stamped = format_bundle(world.stamped(world.stamp()))
        found += [Case(f"{form}: {name}", stamped if "timestamp" in name else good, raw) for name, raw in _roots(world)]
        found.append(Case(f"{form}: another file", good, root, bytes(32)))
        found.append(Case(f"{form}: another identity asked for", good, root, identity=IDENTITY[:-1]))
        found.append(Case(f"{form}: identity in capitals", good, root, identity=IDENTITY.upper()))
        found.append(Case(f"{form}: another issuer asked for", good, root, issuer=GITHUB + "/"))
    return tuple(found)
