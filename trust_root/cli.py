"""`sealift trust` as it is on a ceremony laptop, where this package stands alone: the table of commands and the group.

Rules of this module: commands are named, not imported (cli_group.py). `bundler/cli/trust.py` makes the group of the
whole tool from this table and the commands that need a network or a bundle.
"""

from __future__ import annotations

import click

from trust_root.cli_group import LazyGroup

COMMANDS = {
    "init": ("trust_root.cli_ceremony", "init", "Make a trust repository and its keys."),
    "publish": ("trust_root.cli_ceremony", "publish", "Sign new targets of a repository, or renew them."),
    "pin": ("trust_root.cli_site", "pin", "Pin a root at this site: bundles are trusted from it on."),
    "show": ("trust_root.cli_site", "show", "Show who holds which keys and what ends when."),
    "state": ("trust_root.cli_site", "state", "Show or export what this site remembers; accept edited settings."),
    "reanchor": ("trust_root.cli_site", "reanchor", "Pin a root in the place of one whose keys are lost."),
}
EPILOG = """\b
Examples:
  sealift trust init REPO --keys KEYS --stream plant
  sealift trust publish REPO --keys KEYS --trusted-root public-good=trusted_root.json
  sealift trust pin 1.root.json --sha256 FINGERPRINT --site plant-7
"""


@click.group(cls=LazyGroup, table=COMMANDS, epilog=EPILOG)
def trust() -> None:
    """Make, publish, pin and show trust roots (sealift help ceremony)."""
