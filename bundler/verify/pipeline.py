"""From a file to a report: the stages of a verification, in their order, each ending the run or feeding the next.

    head        README, trust metadata from the pin on, inventory, standing with this site         exit 4 or 5
    bytes       every member's header and content, each byte once                                  exit 3
    claims      each image: complete, its own signatures, the policy's demands                     exit 1

Rules of this module:
- Offline: nothing imported here can open a socket or start a process. The time and the site's state are arguments.
- Nothing later is believed before what is earlier holds. A damaged blob does not stop the claims of other images.
- This is one of the three places where errors become results: the report's `failure` is the error that ended the run.
- Nothing is written here but a bundle's newer roots, by `open_for_site`, because a revocation has to land. What else a
  site may remember is handed back (`Verification`); settle.py writes it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from bundler.archive.reader import STANDARD_INPUT, ArchiveReader, open_archive
from bundler.errors import SealiftError, TrustError
from bundler.verify.documents import is_document
from bundler.verify.head import bundle_facts, open_unproved, trust_facts, unproved_facts
from bundler.verify.result import DamageFact, Report, TimeFact
from bundler.verify.run import Request, Verification
from bundler.version import TOOL
from trust_root.delivery import Delivery
from trust_root.site import Site, compare_with_site, open_for_site
from trust_root.standing import stand_again

if TYPE_CHECKING:
    from bundler.archive.inventory import Inventory
    from bundler.digest import Digest
    from bundler.verify.policy import Policy

__all__ = ["Request", "Verification", "check_policy_site", "verify_again", "verify_archive", "verify_bundle"]


def verify_bundle(
    source: Path | str | BinaryIO, request: Request, finish: Callable[[Verification, ArchiveReader], None] | None = None
) -> Verification:
    """Verify one bundle.

    Args:
        source: a path, `-` for standard input, or a binary stream that stands at the bundle's first byte.
        request: what to judge it by.
        finish: what to do with the result while the bundle is still open (settle.py).

    Returns:
        a report in every case; errors that are not ours (bugs) pass through.
    """
    run = _begin(str(source) if isinstance(source, (str, Path)) else STANDARD_INPUT, request)
    try:
        with open_archive(source) as archive:
            _go_through(archive, request, run)
            if finish is not None:
                finish(run, archive)
    except SealiftError as error:
        run.report.failure = error
    return run


def verify_archive(archive: ArchiveReader, name: str, request: Request) -> Verification:
    """Verify a bundle that is open already and stays so: for whoever then uses what was verified (`prove`).

    Args:
        archive: just opened, nothing read but its head.
        name: what the report calls it.
        request: as for `verify_bundle`.
    """
    run = _begin(name, request)
    try:
        _go_through(archive, request, run)
    except SealiftError as error:
        run.report.failure = error
    return run


def verify_again(archive: ArchiveReader, before: Verification, request: Request) -> Verification:
    """Judge a bundle again that passed and is still open: its head and its claims, by what the site knows by now.

    No blob is hashed again but manifests and evidence; whoever hands out others proves them as they go out (`prove`).
    Nothing is recorded. A delivery that the site has accepted does not become worse because a newer one came after it:
    keys that no longer count, metadata that has expired and a policy that no longer holds do.

    Args:
        archive: the open bundle.
        before: the verification that passed.
        request: as for `verify_bundle`, as of now.
    """
    run = _begin(before.report.file, request)
    try:
        _go_through_again(archive, before, request, run)
    except SealiftError as error:
        run.report.failure = error
    return run


def _go_through_again(archive: ArchiveReader, before: Verification, request: Request, run: Verification) -> None:
    site, inventory, delivery, stood = request.site, before.inventory, before.head.delivery, before.head.standing
    if site is None or inventory is None or delivery is None or stood is None:
        raise RuntimeError("only a bundle that passed at a site is judged again")
    if request.policy is not None:
        check_policy_site(site, request.policy)
    run.inventory, run.head.delivery = inventory, delivery
    opened = run.head.opened = open_for_site(site, archive.trust_files, request.basis)
    # `--historic` was typed for those that were historic then; it shields no other from keys that were rotated since.
    historic = request.historic and stood.status == "historic"
    run.head.standing = stand_again(site, opened, delivery, request.basis, historic=historic)
    run.report.trust = trust_facts(site, opened, run.head.standing)
    run.report.bundle = bundle_facts(inventory, opened.trusted.inventory_digest)
    _judge_claims(archive, inventory, frozenset(), request, run)


def _begin(name: str, request: Request) -> Verification:
    report = Report(file=name, tool=TOOL, integrity_only=request.integrity_only)
    basis = request.basis
    report.time = TimeFact(basis.at, basis.source, basis.reason or "")
    report.policy_digest = request.policy.digest if request.policy else None
    return Verification(report)


def _go_through(archive: ArchiveReader, request: Request, run: Verification) -> None:
    inventory = run.inventory = _open_head(archive, request, run)
    damaged = _read_bytes(archive, inventory, request, run.report)
    if not request.integrity_only:
        _judge_claims(archive, inventory, damaged, request, run)


def check_policy_site(site: Site, policy: Policy) -> None:
    """Refuse a state folder that was copied to another site, where it meets that site's policy (THREATS T10).

    Raises:
        TrustError: code ``policy-site``.
    """
    if policy.site not in (None, site.name):
        raise TrustError(
            "policy-site", "policy", got=f"for site {policy.site}", want=f"for {site.name or 'a site without a name'}",
            hints=["the policy or the state folder belongs to another site; a state is never copied, pin anew there"],
        )  # fmt: skip


def _open_head(archive: ArchiveReader, request: Request, run: Verification) -> Inventory:
    """Trust first, then the inventory that it names, then how the delivery stands with this site."""
    head, report = run.head, run.report
    if request.site is None and not request.integrity_only:
        raise TrustError("no-pin", "verification", got="no site", want="a site with a pinned root")
    if request.site is not None and request.policy is not None:
        check_policy_site(request.site, request.policy)
    if request.site is None:
        trusted = open_unproved(archive.trust_files, request.basis.at)
        report.trust = unproved_facts(trusted)
    else:
        head.opened = open_for_site(request.site, archive.trust_files, request.basis)
        trusted = head.opened.trusted
        report.trust = trust_facts(request.site, head.opened)
    inventory = archive.read_inventory(trusted.inventory_size_bytes, trusted.inventory_digest)
    report.bundle = bundle_facts(inventory, trusted.inventory_digest)
    head.delivery = Delivery(
        inventory.stream,
        inventory.sequence,
        inventory.previous,
        trusted.inventory_digest,
        inventory.created_at,
        inventory.audience,
    )
    if request.site is not None and head.opened is not None:
        head.standing = compare_with_site(
            request.site, head.opened, head.delivery, request.basis, historic=request.historic
        )
        report.trust = trust_facts(request.site, head.opened, head.standing)
    return inventory


def _read_bytes(archive: ArchiveReader, inventory: Inventory, request: Request, report: Report) -> frozenset[Digest]:
    integrity = archive.read_members(
        threads=request.threads,
        keep=is_document,
        prove=request.prove or bool(inventory.data),
        progress=request.progress,
    )
    report.bytes_read = integrity.bytes_read
    report.members = len(inventory.blobs) + len(archive.trust_files) + 4  # README, inventory, oci-layout, index.json
    report.damages = tuple(DamageFact(item.member, item.digest, item.code, item.detail) for item in integrity.damages)
    return integrity.damaged


def _judge_claims(
    archive: ArchiveReader, inventory: Inventory, damaged: frozenset[Digest], request: Request, run: Verification
) -> None:
    # What reads evidence is half of this tree. A bundle without trust is refused, and bytes are read, without it.
    from bundler.verify.claims import judge_claims  # noqa: PLC0415

    judge_claims(archive, inventory, damaged, request, run)
