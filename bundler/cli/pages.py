"""`sealift help PAGE`: manual pages that travel with the program, for sites that have nothing else to look at."""

from __future__ import annotations

from importlib.resources import files

import click

_PAGES = {
    "format": ("bundler.archive", "FORMAT.md"),
    "policy": ("bundler.verify", "POLICY.md"),
    "export": ("bundler.export", "EXPORT.md"),
    "patch": ("bundler.vulnerability", "PATCH.md"),
    "inspect": ("bundler.deliver", "INSPECT.md"),
    "report": ("bundler.report", "REPORT.md"),
    "scan": ("bundler.vulnerability", "SCAN.md"),
    "data": ("bundler.vulnerability", "DATA.md"),
    "dashboard": ("bundler.vulnerability", "DASHBOARD.md"),
    "diff": ("bundler.deliver", "DIFF.md"),
    "load": ("bundler.deliver", "LOAD.md"),
    "serve": ("bundler.deliver", "SERVE.md"),
    "reasons": ("bundler", "REASONS.md"),
    "ceremony": ("trust_root", "CEREMONY.md"),
    "site": ("trust_root", "SITE.md"),
}


@click.command(name="help", epilog=f"\b\nExample:\n  sealift help policy | less\n\nPages: {', '.join(_PAGES)}.")
@click.argument("page", metavar="PAGE", type=click.Choice(list(_PAGES)))
def pages(page: str) -> None:
    """Print the manual page PAGE."""
    package, name = _PAGES[page]
    click.echo(files(package).joinpath(name).read_text(encoding="utf-8"), nl=False)
