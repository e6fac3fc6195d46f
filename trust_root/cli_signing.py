"""The commands of ceremonies over several laptops: sign, rotate, delegate, revoke. Only click; see proposing.py.

Rules of this module:
- What would be signed is shown in words before the key is opened, and before anything is asked.
- Heavy modules are imported inside the commands; every command has `--json` and examples.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.errors import EnvError, UsageError
from trust_root import cli_common

if TYPE_CHECKING:
    from trust_root.workplace import Workplace

_KEYS = click.option("--keys", metavar="DIR", help="Sign at once with the keys in DIR: a ceremony on one machine.")
_REVOCATION = click.option(
    "--revocation-file",
    "out",
    callback=cli_common.check_output,
    metavar="OUT",
    help="Write the root chain, for sites to refresh from, once it is signed.",
)


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust sign REPO                                     (who still has to sign?)\n"
    "  sealift trust sign REPO --key /media/alice/alice.pem\n"
    "  sealift trust sign REPO --key 'pkcs11:token=bob;object=root?module-path=/usr/lib/softhsm/libsofthsm2.so'\n"
    "  sealift trust sign REPO --key awskms:alias/root#dave.pub    (cloud services: untested)\n"
    "  sealift trust sign REPO --merge /media/bob/REPO --merge /media/carol/REPO\n"
    "  sealift trust sign REPO --key exporter.pem                  (puts it in place)\n"
)
@click.argument("repository", metavar="REPO")
@click.option(
    "--key", metavar="FILE|pkcs11:URI", help="The key to sign with: a holder's, or at the end the exporter's."
)
@click.option("--merge", "others", multiple=True, metavar="OTHER", help="Take over from a copy of REPO, or its file.")
@click.option("--discard", is_flag=True, help="Drop what waits for holders.")
@click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
@_REVOCATION
@cli_common.AS_JSON
def sign(
    *,
    repository: str,
    key: str | None,
    others: tuple[str, ...],
    discard: bool,
    yes: bool,
    out: str | None,
    as_json: bool,
) -> None:
    """Sign what waits in the carried folder REPO; without a key, show who still has to sign.

    Root holders sign root and targets, each on an own laptop, one after the other or on copies that are merged. The
    exporter comes last, and puts everything in place.
    """
    from trust_root.workplace import merge, open_workplace

    folder = Path(repository)
    _check_out(out)
    if discard:
        _discard(folder, key, others, as_json=as_json)
        return
    with open_workplace(folder) as found:
        founded = found.repository is not None
        place = reduce(merge, map(Path, others), found)
        cli_common.warn(development=place.development)
        if key is not None:
            place = _sign(place, key, yes=yes)
        _write_revocation(place, out)
    _print_signed(place, founded=founded, signed=key is not None, as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust rotate REPO                                   (the same keys, three more years)\n"
    "  sealift trust rotate REPO --remove-holder carol --add-holder dave.pub\n"
    "  sealift trust rotate REPO --threshold 3 --exporter new-exporter.pub\n"
    "  sealift trust rotate REPO --keys KEYS\n"
)
@click.argument("repository", metavar="REPO")
@click.option("--add-holder", multiple=True, metavar="[NAME=]FILE", help="A further root holder's public key.")
@click.option("--remove-holder", multiple=True, metavar="NAME", help="A name, or the first digits of a fingerprint.")
@click.option("--threshold", type=int, metavar="N", help="Root keys that must sign from now on.")
@click.option("--exporter", metavar="[NAME=]FILE", help="Another public key for this repository's exporter.")
@_KEYS
@_REVOCATION
@cli_common.AS_JSON
def rotate(
    *,
    repository: str,
    add_holder: tuple[str, ...],
    remove_holder: tuple[str, ...],
    threshold: int | None,
    exporter: str | None,
    keys: str | None,
    out: str | None,
    as_json: bool,
) -> None:
    """Make the next root of REPO: other holders, another threshold, another exporter's key, or just three more years.

    It is signed by a threshold of the holders so far, and by one of the new holders.
    """
    from trust_root.proposing import held, propose_rotation

    added = [held(typed) for typed in add_holder]
    replaced = None if exporter is None else held(exporter)

    def propose(place: Workplace, at: Any) -> Workplace:
        return propose_rotation(place, at, add=added, remove=remove_holder, threshold=threshold, exporter=replaced)

    _propose(repository, propose, keys=keys, out=out, as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust delegate REPO --stream lab --exporter lab.pub --into LAB-REPO\n"
    "  sealift trust sign LAB-REPO --merge REPO --key lab.pem      (when the holders have signed)\n"
)
@click.argument("repository", metavar="REPO")
@click.option("--stream", required=True, metavar="NAME", help="The new stream.")
@click.option("--exporter", required=True, metavar="[NAME=]FILE", help="Its exporter's public key.")
@click.option("--into", required=True, metavar="DIR", help="The new exporter's repository; absent or empty.")
@_KEYS
@cli_common.AS_JSON
def delegate(*, repository: str, stream: str, exporter: str, into: str, keys: str | None, as_json: bool) -> None:
    """Give a further exporter a stream, under the same root and targets, and a folder of its own.

    One stream is one exporter is one folder: exporters share holders, trusted material and the pin, and nothing else.
    """
    from trust_root.proposing import held, propose_delegation

    added = held(exporter)

    def propose(place: Workplace, at: Any) -> Workplace:
        return propose_delegation(place, at, stream, added, Path(into))[0]

    _propose(repository, propose, keys=keys, out=None, as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust revoke REPO --stream plant --exporter new-exporter.pub\n"
    "  sealift trust revoke REPO --stream lab --keys KEYS --revocation-file revocation.json\n"
    "  sealift trust refresh --from revocation.json                (at the site)\n"
)
@click.argument("repository", metavar="REPO")
@click.option("--stream", required=True, metavar="NAME", help="The stream whose key is lost or stolen.")
@click.option("--exporter", metavar="[NAME=]FILE", help="Its new public key; without one, the stream ends.")
@_KEYS
@_REVOCATION
@cli_common.AS_JSON
def revoke(
    *, repository: str, stream: str, exporter: str | None, keys: str | None, out: str | None, as_json: bool
) -> None:
    """Take a stream's key out of root and targets of REPO, or put another one in its place.

    From the moment a site knows the new root, bundles signed with the old key are refused there. The revocation file
    carries just the roots: a few kB, for any way that is quicker than the next delivery.
    """
    from trust_root.proposing import held, propose_revocation

    replaced = None if exporter is None else held(exporter)

    def propose(place: Workplace, at: Any) -> Workplace:
        return propose_revocation(place, at, stream, replaced)

    _propose(repository, propose, keys=keys, out=out, as_json=as_json)


def _propose(
    repository: str, propose: Callable[[Workplace, Any], Workplace], *, keys: str | None, out: str | None, as_json: bool
) -> None:
    from trust_root.proposing import sign_all
    from trust_root.workplace import open_workplace

    if out is not None and keys is None:
        raise UsageError(
            "usage", "option", "--revocation-file", got="without --keys", want="signatures first",
            hints=["sealift trust sign REPO --revocation-file OUT, when the holders have signed"],
        )  # fmt: skip
    _check_out(out)
    with open_workplace(Path(repository)) as place:
        at = cli_common.signing_time(development=place.development)
        changed = propose(place, at)
        cli_common.warn(development=changed.development)
        if keys is None:
            cli_common.print_proposal(changed, as_json=as_json)
            return
        done = sign_all(changed, Path(keys), cli_common.ask_passphrase(), at)
        _write_revocation(done, out)
    _print_signed(done, founded=True, signed=True, as_json=as_json)


def _sign(place: Workplace, key: str, *, yes: bool) -> Workplace:
    """Show, ask, open the key, sign."""
    from bundler.escaping import escape
    from trust_root.proposal_words import describe_proposal, proposal_lines
    from trust_root.proposing import sign_here
    from trust_root.workplace import no_proposal

    if place.opened is None:
        raise no_proposal(place.folder)
    for line in proposal_lines(describe_proposal(place.opened), cli_common.clock()):
        click.echo(escape(line), err=True)
    cli_common.confirm("Sign this?", yes=yes)
    at = cli_common.signing_time(development=place.development)
    return sign_here(place, cli_common.open_signer(key, apart_from=place.folder), at)[0]


def _discard(folder: Path, key: str | None, others: tuple[str, ...], *, as_json: bool) -> None:
    from trust_root.workplace import discard

    if key is not None or others:
        raise UsageError("usage", "option", "--discard", got="with --key or --merge", want="alone")
    dropped = discard(folder)
    lines = [f"dropped: {name}" for name in dropped] or ["nothing dropped: it has all its signatures"]
    cli_common.print_result({"dropped": list(dropped)}, lines, as_json=as_json)


def _check_out(out: str | None) -> None:
    if out is not None and Path(out).exists():
        raise EnvError("file-exists", "file", out, got="there already", want="no file")


def _write_revocation(place: Workplace, out: str | None) -> None:
    from bundler.safe_file import write_atomically
    from trust_root.workplace import revocation

    if out is None:
        return
    waiting = [part.file.name for part in (place.opened.roots if place.opened else ()) if not part.complete]
    if waiting:
        cli_common.note(f"{out} not written: {waiting[0]} still waits for signatures")
        return
    write_atomically(Path(out), revocation(place), what="revocation file")


def _print_signed(place: Workplace, *, founded: bool, signed: bool, as_json: bool) -> None:
    from trust_root.workplace import fingerprint

    if place.opened is not None or place.repository is None or not signed:
        cli_common.print_proposal(place, as_json=as_json, quiet_changes=signed)
        return
    repository, digest = place.repository, fingerprint(place)
    roles = repository.metadata.roles
    document = {
        "proposal": None,
        "root_version": repository.chain.newest.signed.version,
        "targets_version": roles["targets"].version,
        "fingerprint": str(digest),
        "stream": repository.stream,
        "development": repository.development,
    }
    lines = [f"in place: root {document['root_version']}, targets {document['targets_version']}"]
    if not founded and digest is not None:
        lines += cli_common.fingerprint_lines(f"{place.folder}/metadata/1.root.json", digest)
    cli_common.print_result(document, lines, as_json=as_json)
