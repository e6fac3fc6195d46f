"""When a bundle is made: the clock, or SOURCE_DATE_EPOCH for reproducible exports (reproducible-builds.org)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from bundler.errors import UsageError
from bundler.moment import format_moment

TOLERANCE = timedelta(days=1)  # as far as a site lets `created` run ahead of its clock
_EPOCH = re.compile(r"0|[1-9][0-9]{0,11}", re.ASCII)


def choose_created(clock: datetime, epoch: str | None, *, development: bool) -> datetime:
    """The bundle's `created`, whole seconds.

    Args:
        clock: now, UTC.
        epoch: SOURCE_DATE_EPOCH, or None.
        development: `--development` was typed: any time goes.

    Raises:
        UsageError: not a number of seconds, or more than a day from the clock (``source-date-epoch``).
    """
    if not epoch:
        return clock.replace(microsecond=0)
    if not _EPOCH.fullmatch(epoch) or int(epoch) > datetime(9999, 1, 1, tzinfo=UTC).timestamp():
        raise UsageError("source-date-epoch", "SOURCE_DATE_EPOCH", repr(epoch[:40]), got="no time", want="seconds")
    created = datetime.fromtimestamp(int(epoch), UTC)
    if abs(created - clock) > TOLERANCE and not development:
        raise UsageError(
            "source-date-epoch",
            "SOURCE_DATE_EPOCH",
            epoch,
            got=f"{format_moment(created)}, more than a day from the clock",
            want=f"about {format_moment(clock.replace(microsecond=0))}",
            hints=["for tests of reproducibility: --development; sites judge a bundle's age by this time"],
        )
    return created
