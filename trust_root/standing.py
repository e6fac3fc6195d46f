"""How a delivery stands that a site has accepted before and still uses.

Rules of this module:
- Pure but for reading the site in hand; nothing is recorded, and no alarm is written.
- A newer delivery of the stream is no fault of this one: it is compared as if it were still the newest. Everything
  else that the site knows by now counts: newer roots and targets, rotated keys, expiry, the site's rules; and of a pin
  that was given up, the trusted material of the one in its place.
"""

from __future__ import annotations

from bundler.digest import Digest
from bundler.errors import TrustError
from bundler.value import replace
from trust_root.acceptance import Standing, compare
from trust_root.delivery import Delivery, TimeBasis
from trust_root.newest import HeldPin, OpenedTrust
from trust_root.site import Site


def vouching_pin(site: Site, pin: Digest) -> Digest:
    """The pin whose word it is that something came below `pin`: that pin, or of one that was given up, its successor.

    Raises:
        TrustError: the site has no such pin (``no-pin``).
    """
    return site.judge_of(site.held(pin)).record.pin


def stand_again(
    site: Site, opened: OpenedTrust, delivery: Delivery, basis: TimeBasis, *, historic: bool = False
) -> Standing:
    """Compare an accepted delivery with what the site knows by now.

    Args:
        site: loaded anew.
        opened: the bundle's trust metadata, opened for this site.
        delivery: what its inventory says.
        basis: the time basis, as of now.
        historic: `--historic` was typed: then rotated keys are no fault either.

    Raises:
        TrustError: as `acceptance.compare`, but for ``superseded``; ``never-accepted`` when the site does not know it.
    """
    pin = site.held(opened.roots.pin)
    if historic:
        return compare(pin, opened, delivery, basis, site.rules, historic=True, judge=site.judge_of(pin))
    return compare(_until(pin, delivery), opened, delivery, basis, site.rules, historic=False)


def _until(pin: HeldPin, delivery: Delivery) -> HeldPin:
    """The pin as if nothing had come after this delivery in its stream."""
    record = pin.record.streams.get(delivery.stream)
    accepted = record.accepted if record else ()
    if record is None or delivery.inventory not in [item.inventory for item in accepted]:
        raise TrustError(
            "never-accepted", "bundle", f"{delivery.stream}, sequence {delivery.sequence}",
            got="not among the deliveries that this site has accepted", want="one that it has",
            hints=["the state was put back or replaced; verify the bundle again"],
        )  # fmt: skip
    cut = tuple(item for item in accepted if item.sequence <= delivery.sequence)
    streams = {**pin.record.streams, delivery.stream: replace(record, accepted=cut)}
    return replace(pin, record=replace(pin.record, streams=streams))
