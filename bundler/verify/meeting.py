"""One demand against one subject: which of its signers have signed.

Rules of this module:
- Every piece of evidence about the subject is held against every signer that the demand names.
- A threshold counts different signers that are different people: each signer of the demand stands for one identity or
  key, and each identity or key for one signer of the demand. One key published under two names, or one workflow that
  two patterns match, counts once.
- Of attestations all that meet the demand are kept: several by one signer may say different things, and what is asked
  of their content has to be said by as many signers as the demand wants (requirements.py).
- Evidence that met one signer is no failure for not being another's.
"""

from __future__ import annotations

from collections.abc import Sequence

from bundler.digest import Digest
from bundler.errors import RejectedError, SealiftError
from bundler.identity.keys import KeyIdentity
from bundler.value import dataclass
from bundler.verify.appraisal import ITEM_FAILURES, Appraisal
from bundler.verify.opened import ImageEvidence
from bundler.verify.policy import Demand
from bundler.verify.signatures import VerifiedSignature
from bundler.verify.signed import Signer as VerifiedSigner

Failure = tuple[Appraisal | None, SealiftError]
_Who = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Meeting:
    """What came of it.

    Attributes:
        verified: the signatures that together meet the demand; none when it is not met.
        failures: what failed.
        signed: of a demand for attestations that is met: all that meet it, for each of its signers.
    """

    verified: tuple[VerifiedSignature, ...]
    failures: tuple[Failure, ...]
    signed: tuple[tuple[VerifiedSignature, ...], ...] = ()


def meet_demand(demand: Demand, subject: Digest, evidence: ImageEvidence) -> Meeting:
    """Hold all evidence about `subject` against `demand`."""
    about = [each for each in evidence.appraisals if each.subject == subject and each.claims(demand.predicate_type)]
    failures: list[Failure] = []
    met: list[int] = []
    signed: list[list[VerifiedSignature]] = []
    for alone in demand.alternatives:
        signed.append([])
        for appraisal in about:
            try:
                verified = appraisal.meet(alone)
            except ITEM_FAILURES as error:
                failures.append((appraisal, error))
                continue
            if demand.threshold == 1 and demand.predicate_type is None:
                return Meeting((verified,), ())
            met.append(id(appraisal))
            signed[-1].append(verified)
    chosen = different(signed)
    if len(chosen) >= demand.threshold:
        shown = chosen if demand.threshold > 1 else [next(each for by_one in signed for each in by_one)]
        return Meeting(tuple(shown), (), tuple(map(tuple, signed)))
    failures = [failure for failure in failures if id(failure[0]) not in met]
    if chosen:
        failures.insert(0, (None, _too_few(demand, len(chosen))))
    return Meeting((), tuple(failures))


def different(signed: Sequence[Sequence[VerifiedSignature]]) -> list[VerifiedSignature]:
    """As many signers of the demand as possible, each with an identity of its own (a maximum bipartite matching).

    Args:
        signed: what each signer of the demand has signed.
    """
    people = [{_who(each.signer): each for each in reversed(by_one)} for by_one in signed]
    taken: dict[_Who, int] = {}

    def place(number: int, tried: set[_Who]) -> bool:
        for who in people[number]:
            if who in tried:
                continue
            tried.add(who)
            if who not in taken or place(taken[who], tried):
                taken[who] = number
                return True
        return False

    for number in range(len(people)):
        place(number, set())
    return [people[number][who] for who, number in sorted(taken.items(), key=lambda item: item[1])]


def _who(signer: VerifiedSigner) -> _Who:
    if isinstance(signer, KeyIdentity):
        return "", str(signer.fingerprint)
    return signer.issuer, signer.san


def _too_few(demand: Demand, found: int) -> RejectedError:
    return RejectedError(
        "too-few-signers", demand.kind, got=f"{found} of {len(demand.signers)} signers", want=f"{demand.threshold}"
    )
