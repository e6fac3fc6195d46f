"""Whose word settles findings when a bundle, or what a site remembers, is looked at: the policy of today says.

Rules of this module:
- The decision is that of `verify` (verify/vex_word.py), for whoever scans. Without a policy nobody's word is taken.
- Of a file whose head leads back to no pin nobody's word is taken either: nothing proves whose stream it is.
"""

from __future__ import annotations

from bundler.deliver.inspection import InspectedHead
from bundler.digest import Digest
from bundler.errors import TrustError
from bundler.value import dataclass, replace
from bundler.verify.policy import Policy, Rule
from bundler.vulnerability.recollection import owner_of
from bundler.vulnerability.shelf import Owner, ShelfDocument
from trust_root.site import Site


@dataclass(frozen=True, slots=True)
class Hearing:
    """What is heard beside findings, and who decides about it.

    Attributes:
        site: the site's state, or the error that says why there is none.
        policy: the site's policy of today; None: nobody's word is taken.
        documents: VEX that travelled as data.
    """

    site: Site | TrustError
    policy: Policy | None = None
    documents: tuple[ShelfDocument, ...] = ()

    def owner(self, head: InspectedHead) -> Owner:
        """Whose bundle it is; nobody's where the head leads back to no pin."""
        return owner_of_head(head, self.site)

    def rule(self, head: InspectedHead, name: str, digest: Digest) -> Rule | None:
        """The rule for an image of a bundle; none where its head is not trusted."""
        return None if head.failure is not None else rule_for(self.policy, name, digest, self.owner(head))


def owner_of_head(head: InspectedHead, site: Site | TrustError) -> Owner:
    """Whose word it is; nobody's where the head leads back to no pin."""
    stream, pin = head.inventory.stream, head.trust.pin
    return Owner(stream, "") if isinstance(site, TrustError) or pin is None else owner_of(site, pin, stream)


def rule_for(policy: Policy | None, name: str, digest: Digest, owner: Owner) -> Rule | None:
    """The policy's rule for an image that `owner` carried."""
    return None if policy is None else replace(policy, pin=owner.pin).rule_for(name, digest, owner.stream)
