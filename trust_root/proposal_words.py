"""A proposal in words: what would change, who has signed, who still has to; as JSON values and as text.

Rules of this module:
- Nothing is decided here. What is shown is what would be signed, read from the metadata itself, and all of it that our
  own commands do not always make alike: keys that only timestamps have, thresholds of exporters.
- Every file is named with the SHA-256 of its signed bytes, so that holders can compare what lies on their desks.
- A signature is over a file, not over what it stands on: in a folder that somebody exchanged, what is wrong may look as
  if it had been there before. So the fingerprint of root 1 comes first, and what stays is listed like what changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from bundler.digest import Digest, sha256_of
from bundler.moment import format_moment
from trust_root.keys import key_material
from trust_root.metadata import holder_names, is_development
from trust_root.pin import format_fingerprint
from trust_root.proposal import OpenProposal, Part, Quorum
from trust_root.proposing import exporter_key_ids
from trust_root.roles import ONLINE_THRESHOLD, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, TOP_LEVEL_ROLES
from trust_root.tuf_library import Key, Root, Targets

Document = dict[str, Any]


def describe_proposal(opened: OpenProposal) -> Document:
    """A proposal: for each file what it changes, and the state of its signatures."""
    names = _all_names(opened)
    files = []
    first = len(opened.root_files) - len(opened.roots)
    for number, part in enumerate(opened.roots, first):
        before = opened.root_files[number - 1].signed if number else None
        files.append(_describe_part(part, list(_root_changes(before, part.file.signed, names)), names))
    if opened.targets is not None:
        standing = opened.standing.targets
        changes = _targets_changes(standing.signed if standing else None, opened.targets.file.signed, names)
        files.append(_describe_part(opened.targets, list(changes), names))
    return {
        "trust_root": None if opened.standing.chain is None else str(opened.standing.chain.files[0].digest),
        "stream": opened.stream,
        "complete": opened.complete,
        "files": files,
        "next": _next_step(opened),
    }


def proposal_lines(document: Mapping[str, Any], at: datetime) -> Iterator[str]:
    """A proposal as text."""
    if document["trust_root"] is not None:
        digits = format_fingerprint(Digest("sha256", document["trust_root"].removeprefix("sha256:")))
        yield f"in the trust root whose root 1 has sha256 {digits}".replace("\n", " ")
    for file in document["files"]:
        left = (datetime.fromisoformat(file["expires"]) - at).days
        yield f"proposed: {file['file']}, expires {file['expires']} ({left} days left)"
        yield f"  what is signed has {file['digest']}"
        for change in file["changes"]:
            yield f"  {change}"
        yield from (f"  {line}" for line in file["signatures"])
    yield f"next: {document['next']}"


def signature_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Only the state of the signatures, after somebody has signed."""
    for file in document["files"]:
        yield from (f"{file['file']}: {line}" for line in file["signatures"])
    yield f"next: {document['next']}"


def _describe_part(part: Part, changes: list[str], names: Mapping[str, str]) -> Document:
    return {
        "file": part.file.name,
        "version": part.file.signed.version,
        "expires": format_moment(part.file.signed.expires),
        "digest": str(sha256_of(part.file.payload)),
        "changes": changes,
        "complete": part.complete,
        "quorums": [_describe_quorum(quorum, names) for quorum in part.quorums],
        "signatures": [_quorum_line(quorum, names) for quorum in part.quorums],
    }


def _describe_quorum(quorum: Quorum, names: Mapping[str, str]) -> Document:
    signed, still = _sides(quorum, names)
    return {
        "of": quorum.authority.name,
        "needed": quorum.authority.role.threshold,
        "missing": quorum.missing,
        "signed": signed,
        "open": still,
    }


def _quorum_line(quorum: Quorum, names: Mapping[str, str]) -> str:
    signed, still = _sides(quorum, names)
    text = f"{len(signed)} of {quorum.authority.role.threshold} signatures of {quorum.authority.name}"
    text += f" ({', '.join(signed)})" if signed else ""
    if not quorum.missing:
        return text
    return f"{text}; still needed: {quorum.missing} of {', '.join(still)}"


def _sides(quorum: Quorum, names: Mapping[str, str]) -> tuple[list[str], list[str]]:
    signed: set[str] = set()
    still: set[str] = set()
    for key_id in quorum.authority.role.keyids:
        key = quorum.authority.keys[key_id]
        (signed if key_material(key) in quorum.signers else still).add(_name(key, names))
    return sorted(signed), sorted(still)


def _root_changes(before: Root | None, root: Root, names: Mapping[str, str]) -> Iterator[str]:
    if before is None:
        yield "the first root of a new trust root"
    if is_development(root):
        yield "FOR DEVELOPMENT ONLY, for good"
    groups = (
        (ROOT, "root holder", ROOT),
        (TARGETS, "targets holder", ROOT),
        (SNAPSHOT, "exporter", SNAPSHOT),
        (TIMESTAMP, "timestamp signer", SNAPSHOT),
    )
    for role, word, usual in groups:
        if role != usual and all(_alike(each, role, usual) for each in (before, root) if each is not None):
            continue  # the same people, shown already
        old = _keys(before, role) if before is not None else {}
        new = _keys(root, role)
        for key_id in sorted(set(old) | set(new)):
            yield f"{_sign(key_id, old, new)} {word} {_name((new | old)[key_id], names, full=True)}"
    for role in TOP_LEVEL_ROLES:
        if role in (SNAPSHOT, TIMESTAMP) and all(_is_online(each, role) for each in (before, root) if each is not None):
            continue  # any one exporter, each for its own stream
        now = f"{root.roles[role].threshold} of {len(root.roles[role].keyids)}"
        was = None if before is None else f"{before.roles[role].threshold} of {len(before.roles[role].keyids)}"
        yield f"{role} signatures needed: {now}" + (f", was {was}" if was not in (None, now) else "")
    yield f"expires {format_moment(root.expires)}"


def _sign(name: str, old: Mapping[str, object], new: Mapping[str, object]) -> str:
    """`+` new, `-` gone, `*` another one, `=` as it was."""
    if name not in old or name not in new:
        return "-" if name in old else "+"
    return "=" if old[name] == new[name] else "*"


def _alike(root: Root, role: str, other: str) -> bool:
    return set(root.roles[role].keyids) == set(root.roles[other].keyids)


def _is_online(root: Root, role: str) -> bool:
    return root.roles[role].threshold == ONLINE_THRESHOLD


def _targets_changes(before: Targets | None, targets: Targets, names: Mapping[str, str]) -> Iterator[str]:
    old = {path: target.hashes["sha256"] for path, target in before.targets.items()} if before is not None else {}
    new = {path: target.hashes["sha256"] for path, target in targets.targets.items()}
    for path in sorted(set(old) | set(new)):
        yield f"{_sign(path, old, new)} target {path}, sha256:{(old | new)[path]}"
    was, now = _streams(before, names), _streams(targets, names)
    for stream in sorted(set(was) | set(now)):
        yield f"{_sign(stream, was, now)} stream {stream}, exporter {(was | now)[stream]}"
    yield f"{len(targets.targets)} targets and {len(now)} streams in all"


def _keys(root: Root, role: str) -> dict[str, Key]:
    return {key_id: root.keys[key_id] for key_id in root.roles[role].keyids}


def _streams(targets: Targets | None, names: Mapping[str, str]) -> dict[str, str]:
    delegations = targets.delegations if targets is not None else None
    if delegations is None:
        return {}
    return {
        name: ", ".join(_name(delegations.keys[key_id], names, full=True) for key_id in role.keyids)
        + ("" if role.threshold == ONLINE_THRESHOLD else f"; signatures needed: {role.threshold}")
        for name, role in dict(delegations.roles or {}).items()
    }


def _all_names(opened: OpenProposal) -> dict[str, str]:
    names: dict[str, str] = {}
    for file in opened.root_files:
        names |= holder_names(file.signed)
    return names


def _name(key: Key, names: Mapping[str, str], *, full: bool = False) -> str:
    digits = key_material(key).hex
    name = names.get(key.keyid)
    if name is None:
        return digits if full else digits[:16]
    return f"{name} (sha256:{digits})" if full else name


def _next_step(opened: OpenProposal) -> str:
    if not opened.complete:
        return "the next holder: sealift trust sign REPO --key KEY"
    if not exporter_key_ids(opened):
        return "nothing: this stream has no exporter; carry a revocation file to the sites"
    return f"the exporter of stream {opened.stream} puts it in place: sealift trust sign REPO --key EXPORTER-KEY"
