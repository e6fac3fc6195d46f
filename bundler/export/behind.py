"""Whether this repository is behind what a site has accepted from it: put back from an old copy, or not the only one.

Rules of this module:
- A sequence that a site knows is never signed twice: the site would see an attack (``equivocation``), and rightly so.
- What a site handed out is a hint. A forged file can stop an export and do nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bundler.digest import Digest, sha256_of
from bundler.errors import TrustError
from trust_root.repository import Publication
from trust_root.state_export import SiteHeads, StreamHead


def check_not_behind(since: Iterable[SiteHeads], roots: Sequence[bytes], publication: Publication) -> None:
    """Refuse to sign a sequence that a site has accepted already, or to follow another inventory than the site's last.

    Args:
        since: what sites handed out.
        roots: the repository's roots; what stands under pins of other trust roots says nothing here.
        publication: the numbers of this export.

    Raises:
        TrustError: code ``repository-behind``.
    """
    own = {sha256_of(raw) for raw in roots}
    for site in since:
        for head in _heads(site, own, publication.stream):
            last = head.sequence == publication.sequence - 1
            if head.sequence >= publication.sequence or (last and head.inventory != publication.previous):
                raise _behind(site, head, publication)


def _heads(site: SiteHeads, own: set[Digest], stream: str) -> Iterable[StreamHead]:
    return (head for pin in site.pins if pin.pin in own for head in pin.streams if head.stream == stream)


def _behind(site: SiteHeads, head: StreamHead, publication: Publication) -> TrustError:
    return TrustError(
        "repository-behind",
        "trust repository",
        f"stream {publication.stream}",
        got=f"sequence {publication.sequence} is next, after {publication.previous or 'nothing'}",
        want=f"to follow sequence {head.sequence}, {head.inventory}, accepted at {site.site or 'a site'}",
        hints=[
            "was this repository put back from an old copy? Take the trust files out of the last bundle",
            "if it was not, somebody else signs for this stream: call the root holders (sealift help ceremony)",
        ],
    )
