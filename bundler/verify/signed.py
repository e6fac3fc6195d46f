"""The verification core: one signature, whatever form it came in, held against the trusted root or a key.

Every form (cosign's items, Sigstore bundles, containers/image files, envelopes in referrers) is taken apart into one
`Signed`, and this module alone judges it.

Rules of this module, in the order in which they are carried out:
- Content: the signature holds over the bytes in hand, and these are about the subject asked for.
- Times: RFC 3161 timestamps, and log times under verified promises only (CVE-2024-55655, CVE-2026-48816). None may lie
  in the future, that is more than a day after `at`.
- Identity: at every one of these times the whole chain and the authority's window; and the certificate's SCTs. A
  certificate without a verified time is refused.
- Log: every entry that is there must hold: its proof and checkpoint, its log's window, and it must be about this very
  content, signature and signer. A broken entry beside a good one refuses both.
- A certificate or a key, never both, never neither: a signature is verified the way the caller demanded.
- A keyless signature must be logged, unless the trusted root holds no log at all (an instance that stamps times only);
  otherwise taking the log entry away would go unseen. One made with a key may be unlogged, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from bundler.errors import RejectedError
from bundler.evidence.signed import Signed
from bundler.identity.certificate import Certificate
from bundler.identity.chain import verify_chain
from bundler.identity.fulcio import CertificateIdentity, read_identity
from bundler.identity.keys import KeyIdentity, PublicKey
from bundler.identity.sct import VerifiedTimestamp as VerifiedSct
from bundler.identity.sct import verify_embedded_scts
from bundler.identity.timestamp import open_timestamp
from bundler.transparency.checkpoint import Witness
from bundler.transparency.log_entry import TransparencyLogEntry
from bundler.value import dataclass
from bundler.verify.logged import LogFact, PromisedEntry, open_promises, verify_entry
from bundler.verify.material import TrustedMaterial

Signer = CertificateIdentity | KeyIdentity
Strength = Literal["proof", "promise", "time", "none"]
FUTURE_ALLOWED = timedelta(days=1)  # as for a bundle's own `created`: clocks across the gap differ
_Meaning = TypeVar("_Meaning")


@dataclass(frozen=True, slots=True)
class Trust:
    """What a signature is held against.

    Attributes:
        material: the trusted root; None where none is accepted.
        key: the publisher's key; None demands a certificate.
        ignore_log: for keys: log entries are not looked at. Without effect on certificates.
        proofs: entries with proofs that were fetched at export, for promises that came without.
        witnesses: whose cosignatures on checkpoints are verified and told.
        at: the time of the verification; None: no time is called future.
    """

    material: TrustedMaterial | None = None
    key: PublicKey | None = None
    ignore_log: bool = False
    proofs: tuple[TransparencyLogEntry, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VerifiedTime:
    """A time that somebody trusted vouched for: a log or a timestamp authority."""

    at: datetime
    source: str


@dataclass(frozen=True, slots=True)
class Vouched:
    """What was established about a signature whose content held.

    Attributes:
        signer: who signed, as a trusted authority or the key says.
        times: verified times; empty for a key without a log or timestamp.
        logs: the entries, the strongest first.
        scts: the certificate's promises by certificate logs.
    """

    signer: Signer
    times: tuple[VerifiedTime, ...]
    logs: tuple[LogFact, ...]
    scts: tuple[VerifiedSct, ...]

    @property
    def strength(self) -> Strength:
        """How well it was logged, or at least stamped."""
        if self.logs:
            return "proof" if self.logs[0].proved else "promise"
        return "time" if self.times else "none"

    @property
    def log_count(self) -> int:
        """How many different logs hold it: entries in one log count once (CVE-2026-49834), and logs of one operator."""
        return len({fact.voice for fact in self.logs})


def verify_signed(signed: Signed, trust: Trust, read: Callable[[], _Meaning]) -> tuple[_Meaning, Vouched]:
    """Verify one signature.

    Args:
        signed: taken apart.
        trust: what to hold it against.
        read: reads what the signed bytes say and checks what they are about; called once the signature holds.

    Raises:
        RejectedError: the first check that does not hold; the code names it.
    """
    key = _signing_key(signed, trust)
    key.verify_content(signed.signature, signed.content)
    meaning = read()
    return meaning, _vouch(signed, key, trust)


def _signing_key(signed: Signed, trust: Trust) -> PublicKey:
    """The key of the certificate, or the one given: whichever the caller demanded."""
    if signed.certificate is None and trust.key is not None:
        return trust.key.for_publishers()
    if signed.certificate is not None and trust.key is None:
        return signed.certificate.key.for_publishers()
    got, want = (
        ("no certificate", "a keyless signature, or a key to check with")
        if signed.certificate is None
        else ("a certificate", "a signature by the key given")
    )
    raise RejectedError("key-material", "signature", got=got, want=want)


def _vouch(signed: Signed, key: PublicKey, trust: Trust) -> Vouched:
    material = trust.material
    stamped = _open_timestamps(signed, material)
    ignored = trust.ignore_log and trust.key is not None
    promised = open_promises(() if ignored else signed.entries, trust.proofs, material.logs if material else ())
    times = (*_promised_times(promised), *stamped)
    _check_not_future(times, trust.at)
    signer: Signer = KeyIdentity(key.fingerprint)
    scts: tuple[VerifiedSct, ...] = ()
    if signed.certificate is not None:
        signer, scts = _verify_certificate(signed.certificate, times, material)
    facts = [
        verify_entry(entry, signed, key, times=[time.at for time in stamped], witnesses=trust.witnesses)
        for entry in promised
    ]
    if signed.certificate is not None and not facts and material is not None and material.logs:
        raise RejectedError("not-logged", "signature", got="no log entry", want="one, as the trusted root has logs")
    return Vouched(signer, times, tuple(sorted(facts, key=lambda fact: fact.rank, reverse=True)), scts)


def _open_timestamps(signed: Signed, material: TrustedMaterial | None) -> tuple[VerifiedTime, ...]:
    authorities = material.timestamp_authorities if material else ()
    opened = (open_timestamp(raw, signed.stamped, authorities) for raw in signed.timestamps)
    return tuple(VerifiedTime(stamp.at, stamp.authority) for stamp in opened)


def _promised_times(promised: Sequence[PromisedEntry]) -> tuple[VerifiedTime, ...]:
    return tuple(
        VerifiedTime(entry.promise.integrated_at, entry.log.url) for entry in promised if entry.promise is not None
    )


def _check_not_future(times: Sequence[VerifiedTime], at: datetime | None) -> None:
    for time in times:
        if at is not None and time.at - at > FUTURE_ALLOWED:
            raise RejectedError(
                "time-in-future", "signature", got=f"{time.at.isoformat()} by {time.source}",
                want=f"at most a day after {at.isoformat()}",
            )  # fmt: skip


def _verify_certificate(
    certificate: Certificate, times: Sequence[VerifiedTime], material: TrustedMaterial | None
) -> tuple[CertificateIdentity, tuple[VerifiedSct, ...]]:
    """Chain at every time, then the promises of the certificate logs, then the name."""
    path = verify_chain(certificate, material.authorities if material else (), [time.at for time in times])
    scts: tuple[VerifiedSct, ...] = ()
    if material is not None and (material.certificate_logs or material.logs):
        scts = verify_embedded_scts(certificate, path.issuer, material.certificate_logs)
    return read_identity(certificate), scts
