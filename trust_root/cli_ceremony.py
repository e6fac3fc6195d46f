"""The commands of those who keep a trust repository: init, publish. Only click; the decisions are in other modules.

Rules of this module: heavy modules are imported inside the commands; every command has `--json` and examples.
"""

from __future__ import annotations

from pathlib import Path

import click

from bundler.errors import UsageError
from trust_root import cli_common

_KEYS = click.option(
    "--keys", required=True, metavar="DIR", help="Folder with the private keys; never inside the repository."
)


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust init REPO --keys /media/keys --stream plant\n"
    "  SEALIFT_KEY_PASSPHRASE= sealift trust init REPO --keys KEYS --stream demo --development\n"
)
@click.argument("repository", metavar="REPO")
@_KEYS
@click.option("--stream", required=True, metavar="NAME", help="Name of the exporter's stream: [a-z0-9][a-z0-9-]{0,30}.")
@click.option("--threshold", default=2, show_default=True, metavar="N", help="Root keys that must sign.")
@click.option("--holders", default=3, show_default=True, metavar="M", help="Root keys in all.")
@click.option("--development", is_flag=True, help="A root for trials: says so for good; empty passphrases are allowed.")
@cli_common.AS_JSON
def init(
    repository: str, keys: str, stream: str, threshold: int, holders: int, *, development: bool, as_json: bool
) -> None:
    """Make a trust repository REPO and its keys.

    Root and targets are signed by the root holders' keys (root-1.pem …), everything else by the exporter's
    (exporter.pem). Prints the root's fingerprint: write it on paper, and carry it to the site by another way than REPO.
    """
    from trust_root.ceremony import create
    from trust_root.pin import format_fingerprint

    at = cli_common.signing_time(development=development)
    made = create(
        Path(repository),
        Path(keys),
        stream,
        cli_common.ask_passphrase(confirm=True),
        at,
        threshold=threshold,
        holders=holders,
        development=development,
    )
    cli_common.warn(development=development)
    if threshold == 1:
        cli_common.note("one root key alone can sign for this root; 2 of 3 is the default")
    root = f"{repository.rstrip('/')}/metadata/1.root.json"
    pin = f"sealift trust pin 1.root.json --sha256 {made.fingerprint.hex} --site NAME"
    document = {
        "fingerprint": str(made.fingerprint),
        "root": root,
        "threshold": made.threshold,
        "keys": [*made.holders, "exporter"],
        "stream": made.stream,
        "development": development,
        "pin": pin,
    }
    groups = format_fingerprint(made.fingerprint).split("\n")
    lines = [
        f"trust repository {repository}, stream {made.stream}, root keys {made.threshold} of {len(made.holders)}",
        f"SHA-256 of {root}, for paper:",
        *(f"  {group}" for group in groups),
        "at the site:",
        f"  {pin}",
    ]
    cli_common.print_result(document, lines, as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust publish REPO --keys KEYS --trusted-root public-good=trusted_root.json\n"
    "  sealift trust publish REPO --keys KEYS --publisher-key vendor=cosign.pub --remove keys/old.pub\n"
)
@click.argument("repository", metavar="REPO")
@_KEYS
@click.option("--trusted-root", multiple=True, metavar="NAME=FILE", help="A Sigstore trusted_root.json.")
@click.option("--publisher-key", multiple=True, metavar="NAME=FILE", help="A publisher's public key, PEM.")
@click.option("--policy", multiple=True, metavar="NAME=FILE", help="The exporter's policy, for the record.")
@click.option("--witness", multiple=True, metavar="NAME=FILE", help="A log witness's verifier key (one line).")
@click.option("--remove", multiple=True, metavar="PATH", help="A target to revoke, e.g. keys/vendor.pub.")
@cli_common.AS_JSON
def publish(
    *,
    repository: str,
    keys: str,
    trusted_root: tuple[str, ...],
    publisher_key: tuple[str, ...],
    policy: tuple[str, ...],
    witness: tuple[str, ...],
    remove: tuple[str, ...],
    as_json: bool,
) -> None:
    """Sign new targets of REPO: what stands, with additions and removals; without options, for another year.

    They reach a site with the next bundle, and judge the evidence of older bundles there too.
    """
    from trust_root.ceremony import publish as publish_targets
    from trust_root.repository import read_repository

    add = dict(
        [
            *(_content(typed, "trusted_root/{}.json") for typed in trusted_root),
            *(_content(typed, "keys/{}.pub") for typed in publisher_key),
            *(_content(typed, "policies/{}.toml") for typed in policy),
            *(_content(typed, "witnesses/{}.vkey") for typed in witness),
        ]
    )
    at = cli_common.signing_time(development=read_repository(Path(repository)).development)
    passphrase = cli_common.ask_passphrase(confirm=False)
    done = publish_targets(Path(repository), Path(keys), passphrase, at, add=add, remove=remove)
    cli_common.warn(development=done.development)
    document = {
        "targets_version": done.targets_version,
        "snapshot_version": done.snapshot_version,
        "timestamp_version": done.timestamp_version,
        "targets": list(done.paths),
        "development": done.development,
    }
    lines = [f"targets version {done.targets_version} published", *(f"target {path}" for path in done.paths)]
    cli_common.print_result(document, lines, as_json=as_json)


def _content(typed: str, pattern: str) -> tuple[str, bytes]:
    name, separator, file = typed.partition("=")
    if not separator or not name or not file:
        raise UsageError("target-path", "option", got=typed, want="NAME=FILE")
    return pattern.format(name), cli_common.read_typed(file)
