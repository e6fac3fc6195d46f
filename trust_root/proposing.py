"""Ceremonies over several laptops: what is proposed, who signs it, and the same on one machine when the keys are there.

    begin              root 1 and targets 1 in a folder of their own
    propose_targets    other targets, or the same ones for another year
    propose_rotation   other holders, thresholds or exporter keys; or the same ones for three more years
    propose_delegation a further stream: its exporter's key, and a folder of its own
    propose_revocation a stream's key is gone, or replaced

Rules of this module:
- Whoever proposes needs no key. Nothing is in place before the exporter ends it.
- Public keys come in files, each with the name of who holds it.
- The time is an argument; expiries count from the proposal, so that all holders sign the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from bundler.errors import MalformedError, UsageError
from bundler.safe_file import sync_folder, write_atomically
from trust_root.ceremony import changed_contents, check_empty, checked_stream, staged_folder
from trust_root.key_files import Passphrase, check_folders_apart, fitting_keys, load_public_file
from trust_root.keys import Signer
from trust_root.proposal import OpenProposal, Proposal, format_proposal, open_proposal
from trust_root.repository_files import METADATA, PROPOSAL, TARGET_FILES
from trust_root.roles import parse_holder_name
from trust_root.roster import (
    Held,
    Roster,
    check_base,
    first_roster,
    propose_first,
    propose_next,
    roster_of,
    with_exporter,
    with_holders,
)
from trust_root.signing import sign_parts
from trust_root.workplace import Workplace, finish, save


def begin(
    folder: Path,
    stream: str,
    at: datetime,
    *,
    holders: Sequence[Held],
    threshold: int,
    exporter: Held,
    development: bool = False,
) -> Workplace:
    """Make a folder with the first version of a trust root, waiting for its holders.

    Raises:
        UsageError: names, numbers, keys that stand twice. EnvError: the folder is not empty, or the disk.
    """
    name = checked_stream(stream)
    roster = first_roster(holders, threshold, name, exporter, development=development)
    return _lay(folder, propose_first(roster, name, at))


def propose_targets(
    workplace: Workplace, at: datetime, *, add: Mapping[str, bytes], remove: Sequence[str] = ()
) -> Workplace:
    """Propose other targets; without changes, the same ones for another year.

    Raises:
        UsageError: contents or paths that make no sense. TrustError: something waits already (``proposal-pending``).
        EnvError: the disk.
    """
    base, roster = _start(workplace)
    contents = changed_contents(base.contents, add, remove)
    return save(workplace, propose_next(base, roster, roster, at, contents, root=False))


def propose_rotation(
    workplace: Workplace,
    at: datetime,
    *,
    add: Sequence[Held] = (),
    remove: Sequence[str] = (),
    threshold: int | None = None,
    exporter: Held | None = None,
) -> Workplace:
    """Propose the next root: other holders, another threshold, another exporter's key, or just three more years.

    Raises:
        UsageError: see `with_holders`. TrustError: something waits already (``proposal-pending``). EnvError: the disk.
    """
    base, before = _start(workplace)
    roster = with_holders(before, add=add, remove=remove, threshold=threshold)
    if exporter is not None:
        roster = with_exporter(roster, base.stream, exporter)
    return save(workplace, propose_next(base, before, roster, at, base.contents, root=True))


def propose_delegation(
    workplace: Workplace, at: datetime, stream: str, exporter: Held, into: Path
) -> tuple[Workplace, Workplace]:
    """Propose a further stream, and lay a folder of its own for its exporter.

    Returns:
        this folder and the new one, which take each other's signatures by `merge`.

    Raises:
        UsageError: the stream is there (``stream``), or see `with_exporter`. EnvError: the new folder is not empty.
        TrustError: something waits already (``proposal-pending``).
    """
    base, before = _start(workplace)
    name = checked_stream(stream)
    if name in before.exporters:
        raise UsageError("stream", "stream", name, got="there already", want="a new one; to replace its key: revoke")
    roster = with_exporter(before, name, exporter)
    proposal = propose_next(base, before, roster, at, base.contents, root=True)
    placed = workplace.standing.chain
    roots = (*(placed.roots if placed else ()), *proposal.roots)
    laid = _lay(into, Proposal(name, roots, proposal.targets, proposal.contents))
    return save(workplace, proposal), laid


def propose_revocation(workplace: Workplace, at: datetime, stream: str, exporter: Held | None = None) -> Workplace:
    """Propose to take a stream's key out of root and targets, or to put another one in its place.

    Raises:
        UsageError: there is no such stream (``stream``). TrustError: something waits already (``proposal-pending``).
    """
    base, before = _start(workplace)
    if stream not in before.exporters:
        known = ", ".join(sorted(before.exporters)) or "none"
        raise UsageError("stream", "stream", repr(stream)[:80], got="not delegated to", want=f"one of: {known}")
    roster = with_exporter(before, stream, exporter)
    return save(workplace, propose_next(base, before, roster, at, base.contents, root=True))


def sign_here(workplace: Workplace, signer: Signer, at: datetime) -> tuple[Workplace, tuple[str, ...]]:
    """Sign what waits for this key. The exporter's key, when no holder is missing, puts everything in place.

    Returns:
        the folder after it, and the names of the files that were signed; none if everything is now in place.

    Raises:
        UsageError: nothing waits for this key (``no-proposal``, ``key-not-asked``, ``signed-already``).
        TrustError: the exporter is too early (``threshold``), or the result does not verify. EnvError: the disk.
    """
    opened = workplace.base()
    if signer.public.keyid in exporter_key_ids(opened):
        repository = finish(workplace, signer, at)
        return Workplace(workplace.folder, repository, None), ()
    proposal, signed = sign_parts(opened, signer)
    return save(workplace, proposal), signed


def exporter_key_ids(opened: OpenProposal) -> tuple[str, ...]:
    """Ids of the keys that end this proposal: its stream's, as the newest targets say. A revoked stream has none."""
    delegations = opened.newest_targets.signed.delegations
    roles = dict(delegations.roles or {}) if delegations is not None else {}
    return tuple(roles[opened.stream].keyids) if opened.stream in roles else ()


def sign_all(workplace: Workplace, keys: Path, passphrase: Passphrase, at: datetime) -> Workplace:
    """The ceremony on one machine: sign with every key of a folder that is asked for, the exporter's last.

    Raises:
        as `sign_here`; UsageError (``keys``) if the folder has no exporter's key for this repository. A stream that
            was revoked has no exporter: then the holders' part is all there is.
    """
    check_folders_apart(workplace.folder, keys)
    online = exporter_key_ids(workplace.base())

    def wanted(key_id: str) -> bool:
        return key_id in online or any(part.wants(key_id) for part in workplace.base().parts)

    exporters: list[Signer] = []
    for signer in fitting_keys(keys, wanted, passphrase):
        if signer.public.keyid in online:
            exporters.append(signer)
        else:
            workplace, _ = sign_here(workplace, signer, at)
    if not online:
        return workplace
    if not exporters:
        raise UsageError(
            "keys", "keys folder", str(keys), got="no exporter's key", want=f"of {workplace.base().stream}"
        )
    return sign_here(workplace, exporters[0], at)[0]


def held(typed: str) -> Held:
    """`FILE.pub` or `NAME=FILE.pub`: a public key and who holds it; without a name, the file's name without `.pub`.

    Raises:
        UsageError: the name (``holder-name``) or the file (``file``, ``key``).
    """
    name, separator, file = typed.partition("=")
    path = Path(file if separator else typed)
    try:
        return Held(parse_holder_name(name if separator else path.stem), load_public_file(path))
    except MalformedError as error:
        raise UsageError(
            "holder-name", "holder", error.which, got=error.got, want=error.want, hints=["NAME=FILE.pub names it"]
        ) from error


def _start(workplace: Workplace) -> tuple[OpenProposal, Roster]:
    base = check_base(workplace.base())
    development = workplace.development
    return base, roster_of(base.newest_root, base.newest_targets.signed, development=development)


def _lay(folder: Path, proposal: Proposal) -> Workplace:
    check_empty(folder)
    place = Workplace(folder, None, None)
    opened = open_proposal(proposal, place.standing)
    with staged_folder(folder) as staged:
        for name in (METADATA, TARGET_FILES):
            (staged / name).mkdir()
        write_atomically(staged / PROPOSAL, format_proposal(proposal), what="proposal")
        staged.chmod(0o755)
        sync_folder(staged)
    return Workplace(folder, None, opened)
