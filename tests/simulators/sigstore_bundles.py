"""The rest of a simulated Sigstore: Rekor 1 with proofs, Rekor 2, a timestamp authority, a witness, Sigstore bundles.

    sigstore = WholeSigstore("seed")
    signer = sigstore.keyless(IDENTITY)
    signed = sigstore.bundle(statement_bytes(SUBJECT), signer)                 # DSSE, Rekor 1, promise and proof
    signed = sigstore.bundle(b"a file", signer, log="rekor-2")                 # message signature, Rekor 2, timestamp
    format_bundle(replace(signed, timestamps=()))                              # a near miss is a replaced part

Trees grow with every entry; a proof is over the tree as it is when the entry is made.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bundler.digest import Digest, sha256_of
from bundler.encoding import encode_base64
from bundler.evidence.envelope import IN_TOTO, Envelope, format_envelope, pre_authentication_encoding
from bundler.evidence.referrer import COSIGN_SIGN
from bundler.evidence.sigstore_bundle import MessageSignature, SigstoreBundle
from bundler.evidence.statement import STATEMENT_V1
from bundler.identity.certificate import parse_certificate
from bundler.identity.keys import parse_spki
from bundler.transparency.checkpoint import Witness
from bundler.transparency.log_entry import TransparencyLogEntry
from bundler.transparency.proof import InclusionProof
from tests.simulators.log_tree import Tree, checkpoint_text, cosignature_line, signature_line
from tests.simulators.sigstore import Signer, Sigstore
from tests.simulators.sigstore_certificates import der
from tests.simulators.sigstore_keys import AT, START, PrivateKey, Window, as_window, to_json
from tests.simulators.sigstore_log import (
    Log,
    dsse_body,
    dsse_v2_body,
    hashedrekord_body,
    hashedrekord_v2_body,
    intoto_body,
    intoto_v2_body,
)
from tests.simulators.sigstore_tsa import TimestampAuthority

TREE_ID = 1193050959916656506
V01, V02, V03 = (f"application/vnd.dev.sigstore.bundle+json;version=0.{minor}" for minor in (1, 2, 3))
V03_NEW = "application/vnd.dev.sigstore.bundle.v0.3+json"
WITNESS = "witness.example.org/one"
OLDER = b'{"an":"older entry"}'


@dataclass
class TiledLog:
    """A Rekor 2: an Ed25519 key, a tree, no promises."""

    url: str
    key: ed25519.Ed25519PrivateKey
    tree: Tree = field(default_factory=lambda: Tree([OLDER]))

    @property
    def host(self) -> str:
        return self.url.partition("://")[2]

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def log_id(self) -> bytes:
        """The note key id, whole (C2SP signed-note)."""
        return hashlib.sha256(f"{self.host}\n\x01".encode() + self.key.public_key().public_bytes_raw()).digest()

    def trusted(self, window: Window) -> dict[str, Any]:
        key = {"rawBytes": encode_base64(self.spki), "keyDetails": "PKIX_ED25519", "validFor": as_window(window)}
        log_id = {"keyId": encode_base64(self.log_id)}
        return {"baseUrl": self.url, "hashAlgorithm": "SHA2_256", "publicKey": key, "logId": log_id}


class WholeSigstore(Sigstore):
    """A Sigstore with everything that an instance can have."""

    def __init__(self, seed: str = "whole", *, host: str = "example.org") -> None:
        super().__init__(seed, host=host)
        self.tree = Tree([OLDER])
        self.rekor_2 = TiledLog(f"https://log2026-1.rekor.{host}", ed25519_key(f"{seed} rekor-2"))
        self.tsa = TimestampAuthority(f"{seed} tsa", host=host)
        self.witness_key = ed25519_key(f"{seed} witness")

    @property
    def witness(self) -> Witness:
        """As a site knows it."""
        spki = self.witness_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return Witness(WITNESS, parse_spki(spki))

    def trusted_root_value(
        self, *, rekor_2_window: Window = (START, None), timestamp_window: Window = (START, None), **windows: Window
    ) -> dict[str, Any]:
        """The trusted root, before it is JSON."""
        certificate_log = windows.get("certificate_log_window", (START, None))
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [
                self.rekor.trusted(windows.get("log_window", (START, None))),
                self.rekor_2.trusted(rekor_2_window),
            ],
            "certificateAuthorities": [self.authority.trusted(windows.get("authority_window", (START, None)))],
            "ctlogs": [self.certificate_log.trusted(certificate_log)],
            "timestampAuthorities": [self.tsa.trusted(timestamp_window)],
        }

    def trusted_root_json(self, **windows: Window) -> bytes:
        """The trusted root of the whole instance."""
        return to_json(self.trusted_root_value(**windows))

    # -- log entries --------------------------------------------------------------------------------------------------

    def entry(
        self,
        body: bytes,
        kind: str,
        *,
        at: datetime = AT,
        promise: bool = True,
        proof: bool = True,
        log: Log | None = None,
    ) -> TransparencyLogEntry:
        """An entry of Rekor 1. Its global index is not that of its tree."""
        rekor, tree = log or self.rekor, self.tree
        tree.bodies.append(body)
        index = len(tree.bodies) - 1
        promised = rekor.promise(body, at=at, index=5000 + index)
        origin = f"{rekor.url.partition('://')[2]} - {TREE_ID}"
        return TransparencyLogEntry(
            log_index=5000 + index,
            log_id=rekor.log_id,
            kind=kind.partition(" ")[0],
            version=kind.partition(" ")[2],
            integrated_time=promised.integrated_time,
            signed_entry_timestamp=promised.signature if promise else None,
            proof=self.proof(tree, index, origin, rekor.key) if proof else None,
            body=body,
        )

    def entry_2(self, body: bytes, kind: str) -> TransparencyLogEntry:
        """An entry of Rekor 2."""
        tree = self.rekor_2.tree
        tree.bodies.append(body)
        index = len(tree.bodies) - 1
        proof = self.proof(tree, index, self.rekor_2.host, self.rekor_2.key)
        name, _, version = kind.partition(" ")
        return TransparencyLogEntry(index, self.rekor_2.log_id, name, version, None, None, proof, body)

    def proof(
        self, tree: Tree, index: int, origin: str, key: PrivateKey, *, cosigned: bool = False, size: int | None = None
    ) -> InclusionProof:
        """A proof with its checkpoint; `cosigned` by the witness too."""
        text = checkpoint_text(origin, size or len(tree.bodies), tree.root)
        note = f"{text}\n{signature_line(text, key, origin.partition(' - ')[0])}"
        if cosigned:
            note += cosignature_line(text, self.witness_key, WITNESS, AT)
        return InclusionProof(index, tree.root, size or len(tree.bodies), tree.path(index), note.encode())

    def cosigned(self, entry: TransparencyLogEntry) -> TransparencyLogEntry:
        """The same entry, its proof made anew with the witness's line."""
        is_v2 = entry.log_id == self.rekor_2.log_id
        tree = self.rekor_2.tree if is_v2 else self.tree
        origin = self.rekor_2.host if is_v2 else f"{self.rekor.url.partition('://')[2]} - {TREE_ID}"
        key: PrivateKey = self.rekor_2.key if is_v2 else self.rekor.key
        index = tree.bodies.index(entry.body)
        return replace(entry, proof=self.proof(tree, index, origin, key, cosigned=True))

    # -- Sigstore bundles ---------------------------------------------------------------------------------------------

    def bundle(
        self,
        content: bytes,
        signer: Signer,
        *,
        envelope: bool | None = None,
        kind: str | None = None,
        log: str = "rekor-1",
        at: datetime = AT,
        stamped: bool | None = None,
        media_type: str = V03_NEW,
    ) -> SigstoreBundle:
        """A Sigstore bundle over a statement (DSSE) or over a file.

        Args:
            content: a statement, or the file.
            envelope: whether content is a statement; None: if it looks like one.
            kind: of the entry, e.g. `intoto 0.0.2`; the usual one when None.
            log: `rekor-1`, `rekor-2` or `none`.
            stamped: with a timestamp; None: where Rekor 1 gives no time.
        """
        in_envelope = content.startswith(b'{"_type"') if envelope is None else envelope
        message = pre_authentication_encoding(IN_TOTO, content) if in_envelope else content
        signature = signer.sign(message)
        entries = {
            "rekor-1": lambda: (self._entry_1(content, message, signature, signer, in_envelope, kind, at),),
            "rekor-2": lambda: (self._entry_2(content, message, signature, signer, kind),),
            "none": tuple,
        }[log]()
        stamp = log != "rekor-1" if stamped is None else stamped
        digest = hashlib.sha256(content).digest()
        return SigstoreBundle(
            raw=b"",
            media_type=media_type,
            certificate=parse_certificate(der(signer.certificate)) if signer.certificate else None,
            chain=(),
            key_hint=None if signer.certificate else "hint",
            entries=entries,
            timestamps=(self.tsa.stamp(signature, at=at),) if stamp else (),
            content=Envelope(b"", IN_TOTO, content, signature)
            if in_envelope
            else MessageSignature(signature, "SHA2_256", digest),
        )

    def _entry_1(
        self, content: bytes, message: bytes, signature: bytes, signer: Signer, in_envelope: bool, kind: str | None,
        at: datetime,
    ) -> TransparencyLogEntry:  # fmt: skip
        name = kind or ("dsse 0.0.1" if in_envelope else "hashedrekord 0.0.1")
        envelope = format_envelope(IN_TOTO, content, signature)
        pem = signer.verifier_pem
        body = {
            "hashedrekord 0.0.1": lambda: hashedrekord_body(message, signature, pem),
            "dsse 0.0.1": lambda: dsse_body(envelope, content, signature, pem),
            "intoto 0.0.1": lambda: intoto_body(envelope, content, pem),
            "intoto 0.0.2": lambda: intoto_v2_body(envelope, content, signature, pem),
        }[name]()
        return self.entry(body, name, at=at)

    def _entry_2(
        self, content: bytes, message: bytes, signature: bytes, signer: Signer, kind: str | None
    ) -> TransparencyLogEntry:
        name = kind or "hashedrekord 0.0.2"
        spki = signer.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        verifier, knobs = (der(signer.certificate), {}) if signer.certificate else (spki, {"certificate": False})
        if name == "dsse 0.0.2":
            body = dsse_v2_body(content, signature, verifier, **knobs)
        else:
            body = hashedrekord_v2_body(message, signature, verifier, **knobs)
        return self.entry_2(body, name)


def ed25519_key(seed: str) -> ed25519.Ed25519PrivateKey:
    """A key that is a function of its seed."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())


def statement_bytes(subject: Digest, predicate_type: str = COSIGN_SIGN, predicate: object = None) -> bytes:
    """A statement as cosign 3 writes it; by default that of an image signature."""
    return to_json(
        {
            "_type": STATEMENT_V1,
            "subject": [{"digest": {subject.algorithm: subject.hex}, "annotations": {}}],
            "predicateType": predicate_type,
            "predicate": {} if predicate is None else predicate,
        }
    )


FILE = b"a file that was signed\n"
FILE_DIGEST = sha256_of(FILE)
