"""What a site remembers of a verification: written last, all at once, and only when everything passed.

Newer roots are written earlier, by `open_for_site`, because a revocation has to land even if the bundle is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bundler.archive.reader import ArchiveReader
from bundler.errors import SealiftError
from bundler.value import replace
from bundler.verify.head import trust_facts
from bundler.verify.pipeline import Verification
from bundler.verify.result import Check, Outcome
from trust_root.acceptance import Standing
from trust_root.site import Site

if TYPE_CHECKING:
    from bundler.verify.keepsakes import Keeper
    from trust_root.keeping import Keep

_RECORDED = "recorded at this site"
_CHECKED_ONLY = "rollback was checked, not recorded"
_HISTORIC = "historic: nothing was recorded"


def settle(run: Verification, site: Site, archive: ArchiveReader | None = None) -> None:
    """Record an accepted bundle; an error (another run was faster, the disk is full) becomes the report's failure.

    Args:
        run: the verification.
        site: the site that judged.
        archive: the bundle, still open, for what the site keeps of it; None: nothing is kept.
    """
    head, report = run.head, run.report
    if report.exit_code != 0 or head.opened is None or head.delivery is None or head.standing is None:
        return
    try:
        weigh = run.logs.weigh_again if run.logs is not None else None
        keeper = _keeper(run, site, archive)
        keep = keeper.keep if keeper is not None else _drop_all(site)
        standing = site.record(head.opened, head.delivery, head.standing, run.times, weigh=weigh, keep=keep)
        if keeper is not None and standing.recorded and standing.status == "historic":
            from trust_root.kept import kept_list  # noqa: PLC0415  seldom

            keeper.mend(site.folder, kept_list(site))
    except SealiftError as error:
        report.failure = error
        return
    if keeper is not None and standing.recorded and standing.status != "historic":
        notes = keeper.left_out()
        report.checks += tuple(Check("kept", Outcome.NOTE, note.code, note.subject, note.detail) for note in notes)
    state = site.loaded.digest if standing.recorded and standing.status != "historic" else None
    report.trust = replace(trust_facts(site, head.opened, standing), recorded=_recorded(standing), state=state)


def _keeper(run: Verification, site: Site, archive: ArchiveReader | None) -> Keeper | None:
    """What will write down what is kept, if anything is."""
    head, settings, keepsakes = run.head, site.settings.keep, run.keepsakes
    if archive is None or keepsakes is None or run.inventory is None or not (settings.sboms or settings.data):
        return None
    if head.opened is None or head.delivery is None or head.standing is None:
        return None
    from bundler.verify.keepsakes import Keeper  # noqa: PLC0415  a run that records nothing does not need it

    return Keeper(
        archive, run.inventory, head.delivery, head.opened.roots.pin, run.report.images, keepsakes, settings,
        head.standing.basis,
    )  # fmt: skip


def _drop_all(site: Site) -> Keep | None:
    """For a site that shall keep nothing any more: what it kept so far goes; None where there is nothing."""
    keep = site.settings.keep
    if keep.sboms or keep.data or site.loaded.state.kept is None:
        return None
    from bundler.verify.keepsakes import keep_nothing  # noqa: PLC0415  as above

    return keep_nothing


def _recorded(standing: Standing) -> str:
    if not standing.recorded:
        return _CHECKED_ONLY
    return _HISTORIC if standing.status == "historic" else _RECORDED
