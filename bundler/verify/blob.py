"""One Sigstore bundle for one file: `sealift verify-blob`, and whoever else has a file and a Sigstore bundle.

Rules of this module:
- The file is known by its bytes or by its SHA-256 alone; both ways give the same verdict, except for keys that sign the
  bytes themselves (Ed25519) or a longer hash: these need the file (code ``artifact-needed``).
- An envelope must hold a statement about the file. What its predicate says is not judged here.
- The signer is named in full: identity and issuer, or a key. There is no default.
- A root certificate inside, which old Sigstore bundles hold against the specification, is refused unless the caller
  allows it by name; then it is told among what is weaker (EVIDENCE: parse). It is never used.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import BinaryIO

from bundler import limits
from bundler.digest import Content, Digest
from bundler.errors import RejectedError
from bundler.evidence.envelope import Envelope
from bundler.evidence.sigstore_bundle import SigstoreBundle, parse_bundle, take_bundle_apart
from bundler.evidence.statement import Statement, Subject, parse_statement
from bundler.identity.keys import PublicKey
from bundler.value import dataclass, field
from bundler.verify.logged import LogFact
from bundler.verify.material import TrustedMaterial
from bundler.verify.policy import KeylessSigner
from bundler.verify.signed import Signer, Strength, Trust, VerifiedTime, verify_signed
from bundler.verify.signers import check_signer

_ALGORITHMS = ("sha256", "sha384", "sha512")
_ROOT_INSIDE = "a root certificate is inside, which must not be; allowed, not used (--allow-root-certificate)"


@dataclass(frozen=True, slots=True)
class VerifiedBlob:
    """A file that somebody named has signed.

    Attributes:
        digest: SHA-256 of the file.
        statement: what was said about it, when it was said in an envelope.
        weakened: what was allowed that is refused otherwise, one phrase each.
    """

    digest: Digest
    signer: Signer
    times: tuple[VerifiedTime, ...]
    logs: tuple[LogFact, ...]
    strength: Strength
    statement: Statement | None = field(repr=False)
    weakened: tuple[str, ...] = ()


def hash_artifact(stream: BinaryIO) -> Content:
    """Read a file to its end: all hashes at once, and the bytes too while they are few.

    Raises:
        OSError: whatever the stream raises.
    """
    hashes = [hashlib.new(algorithm) for algorithm in _ALGORITHMS]
    kept: bytearray | None = bytearray()
    while piece := stream.read(limits.READ_BUFFER_BYTES):
        for each in hashes:
            each.update(piece)
        if kept is not None:
            kept = kept + piece if len(kept) + len(piece) <= limits.KEPT_IN_MEMORY_BYTES else None
    if kept is not None:
        return Content(bytes(kept))
    return Content(hashes={each.name: each.digest() for each in hashes})


def known_digest(digest: Digest) -> Content:
    """A file of which only the digest is known."""
    return Content(hashes={digest.algorithm: bytes.fromhex(digest.hex)})


def verify_blob(
    bundle_raw: bytes,
    artifact: Content,
    *,
    signer: KeylessSigner | PublicKey,
    material: TrustedMaterial | None,
    at: datetime | None = None,
    allow_root_certificate: bool = False,
) -> VerifiedBlob:
    """Verify one Sigstore bundle for one file.

    Args:
        bundle_raw: the Sigstore bundle.
        artifact: from `hash_artifact` or `known_digest`.
        signer: who must have signed: identity and issuer, or the key.
        material: the trusted root.
        at: the time of the verification, beyond which no verified time may lie.
        allow_root_certificate: take a Sigstore bundle that carries a root certificate.

    Raises:
        RejectedError: the first check that does not hold; the code names it.
    """
    bundle = parse_bundle(bundle_raw, allow_root=allow_root_certificate)
    key = signer if isinstance(signer, PublicKey) else None
    signed = take_bundle_apart(bundle, artifact)
    statement, vouched = verify_signed(signed, Trust(material, key, at=at), lambda: _read(bundle, artifact))
    if isinstance(signer, KeylessSigner):
        check_signer(vouched.signer, signer)
    return VerifiedBlob(
        Digest("sha256", (artifact.hash("sha256") or b"").hex()),
        vouched.signer,
        vouched.times,
        vouched.logs,
        vouched.strength,
        statement,
        (_ROOT_INSIDE,) if bundle.holds_root else (),
    )


def _read(bundle: SigstoreBundle, artifact: Content) -> Statement | None:
    """What an envelope says; one of its subjects must be the file."""
    if not isinstance(bundle.content, Envelope):
        return None
    statement = parse_statement(bundle.content.payload)
    if any(_names(subject, artifact) for subject in statement.subjects):
        return statement
    known = {algorithm for algorithm in _ALGORITHMS if artifact.hash(algorithm) is not None}
    unknown = set(_ALGORITHMS) - known
    for subject in statement.subjects:
        if subject.digests.keys() & unknown and not subject.digests.keys() & known:
            named = ", ".join(sorted(subject.digests.keys() & unknown))
            raise RejectedError("artifact-needed", "statement", got=f"about a {named}", want="the file itself")
    raise RejectedError("subject-mismatch", "statement", got="about something else", want=_told(artifact))


def _names(subject: Subject, artifact: Content) -> bool:
    """Whether a subject is the file: by one digest at least (npm has SHA-512), and by all that can be compared."""
    computed = ((subject.digests.get(name), artifact.hash(name)) for name in _ALGORITHMS)
    compared = [said == value.hex() for said, value in computed if said is not None and value is not None]
    return bool(compared) and all(compared)


def _told(artifact: Content) -> str:
    value = artifact.hash("sha256")
    return f"sha256:{value.hex()}" if value is not None else "this file"
