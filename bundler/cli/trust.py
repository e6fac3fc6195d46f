"""`sealift trust`: the commands of `trust_root`, and those that need a network or a bundle.

Rules of this module: commands are named, not imported. `trust_root` stands alone on a ceremony laptop, so what reaches
for other rooms is added here.
"""

from __future__ import annotations

import click

from trust_root.cli import COMMANDS, EPILOG
from trust_root.cli_group import CommandTable, LazyGroup

_WIDER: CommandTable = {
    "add-sigstore": (
        "bundler.cli.trust_sigstore",
        "add_sigstore",
        "Publish a Sigstore's trusted root, by its own TUF.",
    ),
    "get": ("bundler.cli.trust_get", "get", "Fetch one verified target of any TUF repository."),
    "refresh": ("bundler.cli.trust_refresh", "refresh", "Bring newer roots and targets to this site, no delivery."),
}
"""Commands of `bundler.cli`: name → module, attribute, one-line help."""


@click.group(cls=LazyGroup, table={**COMMANDS, **_WIDER}, epilog=EPILOG)
def trust() -> None:
    """Make, publish, pin and show trust roots (sealift help ceremony)."""
