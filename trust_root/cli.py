"""`sealift trust` as it is on a ceremony laptop, where this package stands alone: the table of commands and the group.

Rules of this module: commands are named, not imported (cli_group.py). `bundler/cli/trust.py` makes the group of the
whole tool from this table and the commands that need a network or a bundle.
"""

from __future__ import annotations

import click

from trust_root.cli_group import LazyGroup

COMMANDS = {
    "key": ("trust_root.cli_ceremony", "key", "Make one holder's or exporter's key."),
    "init": ("trust_root.cli_ceremony", "init", "Make a trust repository."),
    "sign": ("trust_root.cli_signing", "sign", "Sign what waits in a repository, or see who still has to."),
    "publish": ("trust_root.cli_ceremony", "publish", "Make new targets of a repository, or renew them."),
    "rotate": ("trust_root.cli_signing", "rotate", "Make the next root: other keys, or three more years."),
    "delegate": ("trust_root.cli_signing", "delegate", "Give a further exporter a stream and a folder of its own."),
    "revoke": ("trust_root.cli_signing", "revoke", "Take a stream's key out of the root, or replace it."),
    "pin": ("trust_root.cli_site", "pin", "Pin a root at this site: bundles are trusted from it on."),
    "show": ("trust_root.cli_site", "show", "Show who holds which keys and what ends when."),
    "state": ("trust_root.cli_site", "state", "Show or export what this site remembers; accept edited settings."),
    "reanchor": ("trust_root.cli_site", "reanchor", "Pin a root in the place of one whose keys are lost."),
}
EPILOG = """\b
Examples:
  sealift trust key alice --keys /media/alice
  sealift trust init REPO --holder alice.pub --holder bob.pub --holder carol.pub --exporter exporter.pub --stream plant
  sealift trust sign REPO --key /media/alice/alice.pem
  sealift trust publish REPO --trusted-root public-good=trusted_root.json
  sealift trust pin 1.root.json --sha256 FINGERPRINT --site plant-7
"""


@click.group(cls=LazyGroup, table=COMMANDS, epilog=EPILOG)
def trust() -> None:
    """Make, sign, publish, pin and show trust roots (sealift help ceremony)."""
