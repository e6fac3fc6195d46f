"""What `verify`, `load` and `serve` judge a bundle by: the site, its policy, the time.

Whatever is handed on must hold today, so `load` and `serve` have no `--at`: a typed time is an audit, and an audit
hands nothing on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bundler.cli.options import clock, read_settings_file, state_folder
from bundler.errors import TrustError
from bundler.value import dataclass

if TYPE_CHECKING:
    from bundler.verify.pipeline import Request
    from bundler.verify.policy import Policy
    from bundler.verify.result import Report
    from trust_root.delivery import TimeBasis
    from trust_root.site import Site

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--policy", "policy_file", metavar="FILE", help="This site's demands (sealift help policy)."),
    click.option("--historic", is_flag=True, help="Accept an older delivery that this site has accepted before."),
    click.option(
        "--require-inclusion-proof",
        is_flag=True,
        help="Demand a log's proof behind every signature that the policy names.",
    ),
    click.option(
        "--require-log-growth", is_flag=True, help="Demand proof that logs have only grown since this site saw them."
    ),
    click.option(
        "--min-sequence",
        type=click.IntRange(1),
        default=1,
        metavar="N",
        help="Refuse new deliveries below N: for a site whose state was lost.",
    ),
    click.option("--state", metavar="DIR", help="State folder [SEALIFT_STATE, or the XDG state folder]."),
    click.option("--threads", type=click.IntRange(1, 64), help="Members read at once [as many as cores]."),
)


def judging_options(command: _Command) -> _Command:
    """The options of `Judging`, for a command that hands on what it verified."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Judging:
    """What was typed about judging; a command that hands on makes it from the values of `judging_options`."""

    policy_file: str | None
    historic: bool
    require_inclusion_proof: bool
    require_log_growth: bool
    min_sequence: int
    state: str | None
    threads: int | None

    def site(self, *, read_only: bool = False) -> Site:
        """The site's state as it is now.

        Raises:
            TrustError: nothing is pinned (``no-pin``), or the state is not what was written.
        """
        from trust_root.site import load_site

        return load_site(state_folder(self.state), read_only=read_only, min_sequence=self.min_sequence)

    def request(self, site: Site, reach: Callable[[int], None] | None = None) -> Request:
        """What to judge by, as of now; the policy is read again each time.

        Raises:
            UsageError: the policy. TrustError: it is not the one that site.toml names (``policy-digest``), or the clock
                is behind (``clock-behind``).
        """
        from trust_root.delivery import time_basis

        return make_request(self, site, time_basis(clock(), site.floor), reach)

    def again(self) -> Request:
        """What to judge by now, at the site as it is now; nothing is written."""
        return self.request(self.site(read_only=True))


def make_request(
    typed: Judging, site: Site | None, basis: TimeBasis, reach: Callable[[int], None] | None = None
) -> Request:
    """What to judge by at this time. Indexes of vulnerability data are kept at the site, if anything is written there.

    Raises:
        UsageError, TrustError: as `load_policy`.
    """
    from bundler.verify.pipeline import Request

    policy = load_policy(
        typed.policy_file, site,
        require_proofs=typed.require_inclusion_proof, require_growth=typed.require_log_growth,
    )  # fmt: skip
    writes = site is not None and not site.read_only and basis.source != "typed"
    return Request(
        basis=basis,
        site=site,
        policy=policy,
        historic=typed.historic,
        threads=typed.threads,
        workplace=site.folder / "vulnerabilities" if site is not None and writes else None,
        progress=reach,
    )


def load_policy(
    policy_file: str | None, site: Site | None, *, require_proofs: bool = False, require_growth: bool = False
) -> Policy | None:
    """`--policy`, else the one that site.toml names, with the digest that it names.

    Raises:
        UsageError: the policy. TrustError: it has another digest (``policy-digest``).
    """
    policy = _read_policy(policy_file, site)
    if policy is not None and require_proofs:
        policy = policy.requiring_proofs()
    if policy is not None and require_growth:
        policy = policy.requiring_log_growth()
    return policy


def print_report(report: Report, *, as_json: bool) -> None:
    """A report on stdout, and the error that ended the run on stderr."""
    from bundler.cli.main import print_error
    from bundler.report.as_json import format_report
    from bundler.report.as_text import format_text

    click.echo(format_report(report) if as_json else format_text(report), nl=False)
    if report.failure is not None:
        print_error(report.failure)


def size_of(file: str) -> int | None:
    """Size of a file for a progress bar; None when it is not known."""
    try:
        return None if file == "-" else Path(file).stat().st_size
    except OSError:
        return None  # the archive reader says what is wrong with it


def _read_policy(policy_file: str | None, site: Site | None) -> Policy | None:
    from bundler.verify.policy import parse_policy

    if policy_file is not None:
        return parse_policy(read_settings_file(Path(policy_file), "policy"))
    if site is None or site.settings.policy_path is None:
        return None
    path = site.folder / site.settings.policy_path
    policy = parse_policy(read_settings_file(path, "policy"))
    if site.settings.policy_digest not in (None, policy.digest):
        raise TrustError(
            "policy-digest", "policy", str(path), got=str(policy.digest), want=f"{site.settings.policy_digest}",
            hints=["the policy changed since it was written into site.toml; --policy FILE names another one"],
        )  # fmt: skip
    return policy
