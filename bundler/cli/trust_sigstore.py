"""`sealift trust add-sigstore`: a Sigstore instance's own root under ours (CEREMONY.md, "Sigstore's root").

Rules of this module:
- A folder or an address is a TUF repository: it is walked from a root that was typed, never from one that it offers.
  What it leads to is published as `trusted_root/<name>.json` of REPO, beside `origins/<name>.json`, which says how.
- An expired chain is refused; `--accept-expired-sigstore-root` accepts it, and report and `trust show` say so for good.
- A walk has to continue the one that stands in REPO under the same name.
- A file is published as it is: nobody vouches for it but those who sign here, and the origin says that too.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import click

from bundler.cli.options import clock
from bundler.errors import MalformedError, RejectedError, TrustError, UnsupportedError, UsageError
from bundler.value import dataclass
from trust_root import cli_common

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trust_root.origins import Origin, Walked
    from trust_root.tuf_client.documents import Body, Document
    from trust_root.tuf_client.walk import FoundTarget, Walk

_LATE = "--accept-expired-sigstore-root"


@click.command(
    epilog="\b\nExamples:\n"
    "  sealift trust add-sigstore REPO --keys KEYS --from https://tuf-repo-cdn.sigstore.dev --root 12.root.json\n"
    "  sealift trust add-sigstore REPO --from /media/usb/sigstore-mirror --root 12.root.json    (holders sign later)\n"
    "  sealift trust add-sigstore REPO --keys KEYS --from https://tuf-repo.github.com --root root.json --name github\n"
    "  sealift trust add-sigstore REPO --keys KEYS --from trusted_root.json --name plant-sigstore\n"
)
@click.argument("repository", metavar="REPO")
@click.option("--keys", metavar="DIR", help="Folder with the private keys, to sign at once [the holders sign later].")
@click.option("--from", "source", required=True, metavar="DIR|URL|FILE", help="Sigstore's TUF repository, or a file.")
@click.option("--root", "root_file", metavar="FILE", help="The root to start from, from a place that you trust.")
@click.option("--name", default="public-good", show_default=True, metavar="NAME", help="What policies call it.")
@click.option("--target-name", default="trusted_root.json", show_default=True, metavar="PATH", help="Its name there.")
@click.option("--targets", "targets_place", metavar="DIR|URL", help="Where targets are [targets/ in the repository].")
@click.option(
    _LATE, "accept_expired", is_flag=True, help="Take it although metadata has expired. Said in every report."
)
@cli_common.AS_JSON
def add_sigstore(
    *,
    repository: str,
    keys: str | None,
    source: str,
    root_file: str | None,
    name: str,
    target_name: str,
    targets_place: str | None,
    accept_expired: bool,
    as_json: bool,
) -> None:
    """Publish a Sigstore instance's trusted root in REPO, and how it was come by.

    With --keys it is signed at once. Without, it waits for the holders (sealift trust sign). Sites get it with the next
    bundle. Several can stand there; the policy says which one an image uses (trusted_root = "NAME").
    """
    from bundler.digest import sha256_of
    from trust_root.ceremony import publish
    from trust_root.origins import Origin, format_origin, origin_path
    from trust_root.repository import read_repository

    opened = read_repository(Path(repository))
    at = cli_common.signing_time(development=opened.development)
    if not source.startswith(("http://", "https://")) and Path(source).is_file():
        _refuse_with_file(root_file, targets_place, accept_expired=accept_expired)
        raw, walked = cli_common.read_typed(source), None
    else:
        before = _walked_before(opened.contents, name)
        wish = _Wish(source, root_file, target_name, targets_place, accept_expired, clock())
        raw, walked = _walk(wish, before)
    _check(raw, name)
    origin = Origin(sha256_of(raw), at.replace(microsecond=0), walked)
    add = {f"trusted_root/{name}.json": raw, origin_path(name): format_origin(origin)}
    if origin.walked is not None and origin.walked.expired:
        cli_common.note("accepted although metadata has expired; every report will say so")
    if keys is None:
        _propose(repository, at, add, as_json=as_json)
        return
    done = publish(Path(repository), Path(keys), cli_common.ask_passphrase(confirm=False), at, add=add)
    cli_common.warn(development=done.development)
    _tell(origin, name, done.targets_version, as_json=as_json)


def _propose(repository: str, at: datetime, add: Mapping[str, bytes], *, as_json: bool) -> None:
    """New targets that wait for the holders, as `trust publish` without keys makes them."""
    from trust_root.proposing import propose_targets
    from trust_root.workplace import open_workplace

    with open_workplace(Path(repository)) as place:
        proposed = propose_targets(place, at, add=add, remove=())
    cli_common.warn(development=proposed.development)
    cli_common.print_proposal(proposed, as_json=as_json)


def _refuse_with_file(root_file: str | None, targets_place: str | None, *, accept_expired: bool) -> None:
    given = {"--root": root_file, "--targets": targets_place, _LATE: accept_expired or None}
    for option, value in given.items():
        if value is not None:
            raise UsageError(
                "usage", "option", option, got="with a file after --from", want="with a TUF repository after --from",
                hints=["a plain file has no chain to walk; it is published as it is"],
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Wish:
    """What was typed about another TUF repository, and when."""

    source: str
    root_file: str | None
    target_name: str
    targets_place: str | None
    accept_expired: bool
    at: datetime


def _walk(wish: _Wish, before: Walked | None) -> tuple[bytes, Walked]:
    """The target, and the walk to it."""
    from bundler.cli.trust_sources import open_source
    from trust_root.origins import check_continues
    from trust_root.tuf_client.walk import refresh
    from trust_root.tuf_client.workflow import open_first_root

    if wish.root_file is None:
        raise UsageError(
            "usage", "option", "--root", got="not given", want="a root of that repository, from a place that you trust",
            hints=["Sigstore's are in github.com/sigstore/root-signing, and in every Sigstore client"],
        )  # fmt: skip
    root = cli_common.read_typed(wish.root_file)
    try:
        version = open_first_root(root).body.version
    except (RejectedError, TrustError, UnsupportedError) as error:
        raise UsageError("root-file", "--root", wish.root_file, got=str(error)[:200], want="a TUF root") from error
    with open_source(wish.source, pinned_version=version, targets=wish.targets_place) as there:
        walk = refresh(root, there.metadata, wish.at, allow_expired=wish.accept_expired)
        found = walk.find_target(wish.target_name)
        raw = walk.download(found, there.targets)
    walked = _told(wish.source, walk, found)
    if before is not None:
        check_continues(before, walked, {item.body.version: item.digest for item in walk.chain})
    return raw, walked


def _told(source: str, walk: Walk, found: FoundTarget) -> Walked:
    from trust_root.origins import Walked, WalkedRole, WalkedRoot

    documents: list[Document[Body]] = [walk.root, walk.timestamp, walk.snapshot, walk.targets]
    roles = [WalkedRole(item.name, item.body.version, _second(item.body.expires_at)) for item in documents]
    if found.role not in {role.role for role in roles}:
        roles.append(WalkedRole(found.role, found.role_version, _second(found.role_expires_at)))
    first, newest = walk.chain[0], walk.root
    return Walked(
        place=place_of(source),
        target=found.facts.path,
        listed_by=found.role,
        first_root=WalkedRoot(first.body.version, first.digest),
        newest_root=WalkedRoot(newest.body.version, newest.digest),
        roles=tuple(roles),
        expired=tuple(WalkedRole(item.role, item.version, _second(item.expires_at)) for item in walk.expired),
    )


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def place_of(source: str) -> str:
    """How an origin tells of a repository: an address without user, password, query and fragment, or a folder."""
    from trust_root.origins import FOLDER

    if not source.startswith(("http://", "https://")):
        return FOLDER
    parts = urlsplit(source)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _walked_before(contents: Mapping[str, bytes], name: str) -> Walked | None:
    """How the trusted root that stands in REPO under this name was come by, as far as it was walked to."""
    from trust_root.origins import origins_of

    with cli_common.as_usage():
        origin = origins_of(contents).get(name)
    return origin.walked if origin is not None else None


def _check(raw: bytes, name: str) -> None:
    """What is published is a trusted root that this version can use."""
    from bundler.verify.material import parse_trusted_root

    try:
        parse_trusted_root(raw)
    except MalformedError as error:
        raise UsageError(
            "target-content", "target", f"trusted_root/{name}.json", got=str(error)[:300],
            want="one Sigstore trusted_root.json",
            hints=["a .jsonl file holds several, one a line: write each into a file of its own"],
        ) from error  # fmt: skip


def _tell(origin: Origin, name: str, version: int, *, as_json: bool) -> None:
    import json

    from trust_root.origins import format_origin

    document = {
        "target": f"trusted_root/{name}.json",
        "targets_version": version,
        "origin": json.loads(format_origin(origin)),
    }
    lines = [f"targets version {version} published", f"trusted_root/{name}.json: {origin.told}"]
    cli_common.print_result(document, lines, as_json=as_json)
