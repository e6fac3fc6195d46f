"""What a verification is asked, and what it hands back; between its stages (pipeline.py, claims.py) the same two."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bundler.value import dataclass, field
from bundler.verify.head import Head
from bundler.verify.result import Report
from trust_root.delivery import TimeBasis
from trust_root.site import Site

if TYPE_CHECKING:
    from bundler.archive.inventory import Inventory
    from bundler.verify.data import Keepsakes
    from bundler.verify.exhibits import Exhibits
    from bundler.verify.log_stage import LogVerdict
    from bundler.verify.policy import Policy


@dataclass(frozen=True, slots=True)
class Request:
    """What to judge a bundle by.

    Attributes:
        basis: the time basis.
        site: the site's pins and state; None only with `integrity_only`.
        policy: the site's policy, or None.
        historic: `--historic` was typed.
        explain: results say which rule decided, and why.
        exhibit: gather what can be shown of each image (chains, SBOMs, provenance).
        integrity_only: check bytes against the file's own metadata, prove nothing.
        threads: how many members are read at once; None: as many as cores.
        prove: make the archive able to hand out proved blobs afterwards (files only).
        workplace: where vulnerability data is indexed, if a rule asks for it; None: in a folder that is then gone.
        progress: told the bytes done so far.
    """

    basis: TimeBasis
    site: Site | None = None
    policy: Policy | None = None
    historic: bool = False
    explain: bool = False
    exhibit: bool = False
    integrity_only: bool = False
    threads: int | None = None
    prove: bool = False
    workplace: Path | None = None
    progress: Callable[[int], None] | None = None


@dataclass(slots=True)
class Verification:
    """A report, what the site may remember of the run (see settle.py), and what can be shown of each image judged."""

    report: Report
    head: Head = field(default_factory=Head)
    inventory: Inventory | None = None
    times: tuple[datetime, ...] = ()
    logs: LogVerdict | None = None
    exhibits: tuple[Exhibits | None, ...] = ()
    keepsakes: Keepsakes | None = None
