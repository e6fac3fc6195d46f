"""The commands that begin things: key, init, publish. Only click; the decisions are in other modules.

Rules of this module: heavy modules are imported inside the commands; every command has `--json` and examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from bundler.errors import UsageError
from trust_root import cli_common
from trust_root.roles import ROOT_HOLDERS, ROOT_THRESHOLD

_KEYS = click.option(
    "--keys", metavar="DIR", help="All private keys, for a ceremony on one machine; never inside the repository."
)


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust key alice --keys /media/alice\n"
    "  sealift trust key exporter --keys KEYS --algorithm ecdsa-p256\n"
    "  sealift trust key alice --keys /media/alice --pkcs11 'pkcs11:token=alice;object=root'\n"
)
@click.argument("name")
@click.option("--keys", required=True, metavar="DIR", help="Where NAME.pem and NAME.pub go; made if need be.")
@click.option(
    "--algorithm",
    type=click.Choice(["ed25519", "ecdsa-p256", "ecdsa-p384"]),
    default="ed25519",
    show_default=True,
    help="Only Ed25519 gives bundles that can be reproduced byte for byte.",
)
@click.option("--pkcs11", "uri", metavar="URI", help="No new key: the public half of a key on a token.")
@click.option("--development", is_flag=True, help="For trials: an empty passphrase is allowed.")
@cli_common.AS_JSON
def key(*, name: str, keys: str, algorithm: str, uri: str | None, development: bool, as_json: bool) -> None:
    """Make one key on its holder's laptop: NAME.pem stays there, encrypted; NAME.pub goes to the others.

    Compare the fingerprint with the others by another way than the file: on paper, or by telephone.
    """
    from trust_root.key_files import write_key_pair, write_public_file
    from trust_root.keys import KINDS, generate_key, key_material
    from trust_root.pin import format_fingerprint

    folder = Path(keys)
    if uri is not None:
        public = cli_common.open_signer(uri).public
        written = write_public_file(folder, name, public)
    else:
        made = generate_key(KINDS[algorithm])
        public = made.public
        written = write_key_pair(folder, name, made, cli_common.ask_passphrase(confirm=True), development=development)
    material = key_material(public)
    document = {"name": name, "fingerprint": str(material), "scheme": public.scheme, "public": str(written)}
    lines = [
        f"key {name}, {public.scheme}; for the others: {written}",
        "its fingerprint, for paper:",
        *(f"  {group}" for group in format_fingerprint(material).split("\n")),
    ]
    cli_common.print_result(document, lines, as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust init REPO --holder alice.pub --holder bob.pub --holder carol.pub \\\n"
    "      --exporter exporter.pub --stream plant\n"
    "  sealift trust init REPO --keys /media/keys --stream plant\n"
    "  SEALIFT_KEY_PASSPHRASE= sealift trust init REPO --keys KEYS --stream demo --development\n"
)
@click.argument("repository", metavar="REPO")
@click.option("--holder", multiple=True, metavar="[NAME=]FILE", help="A root holder's public key; once for each.")
@click.option("--exporter", metavar="[NAME=]FILE", help="The exporter's public key.")
@_KEYS
@click.option("--stream", required=True, metavar="NAME", help="Name of the exporter's stream: [a-z0-9][a-z0-9-]{0,30}.")
@click.option("--threshold", default=ROOT_THRESHOLD, show_default=True, metavar="N", help="Root keys that must sign.")
@click.option("--holders", default=ROOT_HOLDERS, show_default=True, metavar="M", help="With --keys: root keys to make.")
@click.option("--development", is_flag=True, help="A root for trials: says so for good; empty passphrases are allowed.")
@cli_common.AS_JSON
def init(
    *,
    repository: str,
    holder: tuple[str, ...],
    exporter: str | None,
    keys: str | None,
    stream: str,
    threshold: int,
    holders: int,
    development: bool,
    as_json: bool,
) -> None:
    """Make a trust repository REPO.

    With --holder and --exporter: its first version, which waits for the holders' signatures (sealift trust sign), each
    on an own laptop. With --keys: all keys and signatures on this machine.

    Root and targets are signed by the root holders, everything else by the exporter.
    """
    if keys is not None and not holder and exporter is None:
        _init_here(repository, keys, stream, threshold, holders, development=development, as_json=as_json)
        return
    if keys is not None or not holder or exporter is None:
        raise UsageError(
            "usage",
            "option",
            "--holder",
            got="not one way of the two",
            want="--holder … --exporter FILE, or --keys DIR",
        )
    from trust_root.proposing import begin, held

    at = cli_common.signing_time(development=development)
    helds = [held(typed) for typed in holder]
    place = begin(
        Path(repository), stream, at, holders=helds, threshold=threshold, exporter=held(exporter),
        development=development,
    )  # fmt: skip
    cli_common.warn(development=development)
    _note_threshold(threshold)
    cli_common.print_proposal(place, as_json=as_json)


def _init_here(
    repository: str, keys: str, stream: str, threshold: int, holders: int, *, development: bool, as_json: bool
) -> None:
    from trust_root.ceremony import create

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
    _note_threshold(threshold)
    root = f"{repository.rstrip('/')}/metadata/1.root.json"
    document = {
        "fingerprint": str(made.fingerprint),
        "root": root,
        "threshold": made.threshold,
        "keys": [*made.holders, "exporter"],
        "stream": made.stream,
        "development": development,
        "pin": cli_common.pin_command(made.fingerprint),
    }
    lines = [
        f"trust repository {repository}, stream {made.stream}, root keys {made.threshold} of {len(made.holders)}",
        *cli_common.fingerprint_lines(root, made.fingerprint),
    ]
    cli_common.print_result(document, lines, as_json=as_json)


def _note_threshold(threshold: int) -> None:
    if threshold == 1:
        cli_common.note("one root key alone can sign for this root; 2 of 3 is the default")


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust publish REPO --trusted-root public-good=trusted_root.json\n"
    "  sealift trust publish REPO --keys KEYS\n"
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
    keys: str | None,
    trusted_root: tuple[str, ...],
    publisher_key: tuple[str, ...],
    policy: tuple[str, ...],
    witness: tuple[str, ...],
    remove: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make new targets of REPO: what stands, with additions and removals; without options, for another year.

    With --keys they are signed at once. Without, they wait for the holders (sealift trust sign). They reach a site with
    the next bundle, and judge the evidence of older bundles there too.
    """
    add = dict(
        [
            *(_content(typed, "trusted_root/{}.json") for typed in trusted_root),
            *(_content(typed, "keys/{}.pub") for typed in publisher_key),
            *(_content(typed, "policies/{}.toml") for typed in policy),
            *(_content(typed, "witnesses/{}.vkey") for typed in witness),
        ]
    )
    if keys is None:
        from trust_root.proposing import propose_targets
        from trust_root.workplace import open_workplace

        with open_workplace(Path(repository)) as place:
            at = cli_common.signing_time(development=place.development)
            proposed = propose_targets(place, at, add=add, remove=remove)
        cli_common.warn(development=proposed.development)
        cli_common.print_proposal(proposed, as_json=as_json)
        return
    _publish_here(repository, keys, add, remove, as_json=as_json)


def _publish_here(
    repository: str, keys: str, add: Mapping[str, bytes], remove: Sequence[str], *, as_json: bool
) -> None:
    from trust_root.ceremony import publish as publish_targets
    from trust_root.repository import read_repository

    at = cli_common.signing_time(development=read_repository(Path(repository)).development)
    done = publish_targets(
        Path(repository), Path(keys), cli_common.ask_passphrase(confirm=False), at, add=add, remove=remove
    )
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
