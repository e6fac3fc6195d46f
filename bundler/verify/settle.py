"""What a site remembers of a verification: written last, all at once, and only when everything passed.

Newer roots are written earlier, by `open_for_site`, because a revocation has to land even if the bundle is refused.
"""

from __future__ import annotations

from bundler.errors import SealiftError
from bundler.value import replace
from bundler.verify.head import trust_facts
from bundler.verify.pipeline import Verification
from trust_root.acceptance import Standing
from trust_root.site import Site

_RECORDED = "recorded at this site"
_CHECKED_ONLY = "rollback was checked, not recorded"
_HISTORIC = "historic: nothing was recorded"


def settle(run: Verification, site: Site) -> None:
    """Record an accepted bundle; an error (another run was faster, the disk is full) becomes the report's failure."""
    head, report = run.head, run.report
    if report.exit_code != 0 or head.opened is None or head.delivery is None or head.standing is None:
        return
    try:
        weigh = run.logs.weigh_again if run.logs is not None else None
        standing = site.record(head.opened, head.delivery, head.standing, run.times, weigh)
    except SealiftError as error:
        report.failure = error
        return
    state = site.loaded.digest if standing.recorded and standing.status != "historic" else None
    report.trust = replace(trust_facts(site, head.opened, standing), recorded=_recorded(standing), state=state)


def _recorded(standing: Standing) -> str:
    if not standing.recorded:
        return _CHECKED_ONLY
    return _HISTORIC if standing.status == "historic" else _RECORDED
