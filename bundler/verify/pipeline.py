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

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from bundler import limits
from bundler.archive.inventory import Inventory
from bundler.archive.reader import STANDARD_INPUT, ArchiveReader, open_archive
from bundler.digest import Digest
from bundler.errors import DamagedError, RejectedError, SealiftError, TrustError
from bundler.value import dataclass, field, replace
from bundler.verify.completeness import check_no_strays
from bundler.verify.data import JudgedData, Keepsakes, judge_data
from bundler.verify.documents import is_document
from bundler.verify.exhibits import Exhibits
from bundler.verify.head import Head, bundle_facts, open_unproved, trust_facts, unproved_facts
from bundler.verify.images import Bench, Judged, judge_image
from bundler.verify.keyring import Keyring
from bundler.verify.log_stage import LogVerdict, judge_logs
from bundler.verify.policy import KeylessSigner, KeySigner, Policy, Signer
from bundler.verify.result import Check, DamageFact, Outcome, Report, TimeFact
from bundler.verify.root_origins import origin_checks, origin_weaknesses
from bundler.version import TOOL
from trust_root.delivery import Delivery, TimeBasis
from trust_root.newest import OpenedTrust
from trust_root.site import Site, compare_with_site, open_for_site
from trust_root.standing import stand_again
from trust_root.stream_signature import stream_keys

if TYPE_CHECKING:
    from bundler.verify.vulnerabilities import VulnerabilityData

_ANYTHING = ("^.*$", "^.+$", "^(.*)$", "^(.+)$")


@dataclass(frozen=True, slots=True)
class Request:
    """What to judge a bundle by.

    Attributes:
        basis: the time basis.
        site: the site's pins and state; None only with `integrity_only`.
        policy: the site's policy, or None.
        historic: `--historic` was typed.
        explain: results say which rule decided, and why.
        exhibit: gather what can be shown of each image (chains, SBOMs, provenance).
        integrity_only: check bytes against the file's own metadata, prove nothing.
        threads: how many members are read at once; None: as many as cores.
        prove: make the archive able to hand out proved blobs afterwards (files only).
        workplace: where vulnerability data is indexed, if a rule asks for it; None: in a folder that is then gone.
        progress: told the bytes done so far.
    """

    basis: TimeBasis
    site: Site | None = None
    policy: Policy | None = None
    historic: bool = False
    explain: bool = False
    exhibit: bool = False
    integrity_only: bool = False
    threads: int | None = None
    prove: bool = False
    workplace: Path | None = None
    progress: Callable[[int], None] | None = None


@dataclass(slots=True)
class Verification:
    """A report, what the site may remember of the run (see settle.py), and what can be shown of each image judged."""

    report: Report
    head: Head = field(default_factory=Head)
    inventory: Inventory | None = None
    times: tuple[datetime, ...] = ()
    logs: LogVerdict | None = None
    exhibits: tuple[Exhibits | None, ...] = ()
    keepsakes: Keepsakes | None = None


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


def _check_policy_site(site: Site, policy: Policy) -> None:
    """A state folder that was copied to another site meets that site's policy (THREATS T10)."""
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
        _check_policy_site(request.site, request.policy)
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
    report, standing = run.report, run.head.standing
    targets = standing.targets if standing else {}
    reader = _reader(archive, inventory, damaged, report)
    data = judge_data(inventory, reader, damaged, request.basis.at)
    report.data = data.facts
    bench = Bench(
        inventory, request.policy, Keyring(targets), damaged, reader, request.basis.at, request.explain,
        request.exhibit, stream_keys(run.head.opened.trusted) if run.head.opened else None,
    )  # fmt: skip
    site, keeps = request.site, False
    if site is not None and not site.read_only and request.basis.source != "typed":
        keeps = site.settings.keep.sboms or site.settings.keep.data
    bench = replace(bench, keep=keeps)
    with _vulnerability_data(archive, inventory, data, request, run.head.opened) as found:
        bench = replace(bench, vulnerabilities=found)
        judged = [judge_image(image, bench) for image in inventory.images]
        then = _judge_then(bench, judged, request, run)
    run.exhibits = tuple(item.exhibits for item in judged)
    report.images = tuple(item.result for item in judged)
    if keeps:
        run.keepsakes = Keepsakes(tuple(item.papers for item in judged), data.complete)
    report.checks = _bundle_checks(inventory, judged, data, request)
    report.checks += origin_checks(targets)
    report.weakened = (*_weakened(inventory, request), *origin_weaknesses(targets))
    report.checks += then
    run.times = tuple(time for item in judged for time in item.times)
    _judge_logs(inventory, bench.keyring, judged, request, run)


@contextmanager
def _vulnerability_data(
    archive: ArchiveReader, inventory: Inventory, data: JudgedData, request: Request, opened: OpenedTrust | None
) -> Iterator[VulnerabilityData | None]:
    """What images are held against, if a rule that applies to any of them asks for it."""
    policy = request.policy
    rules = (
        [policy.rule_for(image.name, image.digest, inventory.stream) for image in inventory.images] if policy else []
    )
    if not any(rule is not None and rule.vulnerabilities is not None for rule in rules):
        yield None
        return
    from bundler.verify.vulnerability_stage import Carried, open_vulnerability_data  # noqa: PLC0415  few runs need it
    from bundler.vulnerability.recollection import kept_items, owner_of  # noqa: PLC0415

    if request.site is None or opened is None:
        raise RuntimeError("claims are judged at a site only")
    owner = owner_of(request.site, opened.roots.pin, inventory.stream)
    carried = Carried(archive, inventory, data.complete, owner)
    kept = kept_items(request.site)
    with open_vulnerability_data(carried, kept, request.workplace, request.basis) as found:
        yield found


def _judge_then(bench: Bench, judged: list[Judged], request: Request, run: Verification) -> tuple[Check, ...]:
    """With a typed time, what the bundle's own trusted material says, where it is not the newest."""
    opened, standing = run.head.opened, run.head.standing
    if request.basis.source != "typed" or opened is None or standing is None:
        return ()
    then = dict(opened.trusted.targets)
    return () if then == dict(standing.targets) else _as_it_was(bench, Keyring(then), judged)


def _judge_logs(
    inventory: Inventory, keyring: Keyring, judged: list[Judged], request: Request, run: Verification
) -> None:
    if request.site is None or run.head.standing is None:
        return
    required = request.policy is not None and request.policy.require_log_growth
    run.logs = judge_logs(
        inventory, keyring, [item.seen for item in judged], request.site, request.basis,
        standing=run.head.standing.status, required=required,
    )  # fmt: skip
    run.report.checks += run.logs.checks
    run.report.logs = run.logs.facts


def _reader(
    archive: ArchiveReader, inventory: Inventory, damaged: frozenset[Digest], report: Report
) -> Callable[[Digest], bytes]:
    """Reads documents for the claims. What was found damaged stays so, and a pipe is not asked again for it; what has
    become damaged since (a file that changes, a medium that fails) is damage like any other.
    """

    names = {blob.digest: blob.member_name for blob in inventory.blobs}

    def read(digest: Digest) -> bytes:
        if digest in damaged:
            raise DamagedError("blob-digest", "blob", str(digest), got="other bytes", want="what was signed")
        try:
            return archive.read_blob(digest, limits.EVIDENCE_BLOB_BYTES)
        except DamagedError as error:
            fact = DamageFact(names[digest], digest, error.code, f"read again: {error.got}")
            report.damages += () if fact in report.damages else (fact,)
            raise

    return read


def _bundle_checks(inventory: Inventory, judged: list[Judged], data: JudgedData, request: Request) -> tuple[Check, ...]:
    checks: list[Check] = list(data.checks)
    if not inventory.images and not inventory.data:
        checks.append(Check("images", Outcome.MISSING, "no-images", detail="the inventory lists no image"))
    if request.policy is None:
        detail = "nothing is verified without this site's own policy (--policy FILE; sealift help policy)"
        checks.append(Check("policy", Outcome.POLICY, "no-policy", detail=detail))
    else:
        checks += [Check("policy", Outcome.NOTE, detail=told) for told in request.policy.strengthened]
    complete = tuple(item.complete for item in judged if item.complete is not None)
    if len(complete) == len(judged) and len(data.complete) == len(inventory.data):
        nodes = tuple(node for item in data.complete for node in item.nodes)
        try:
            check_no_strays(inventory, complete, nodes)
        except RejectedError as error:
            checks.append(Check("completeness", Outcome.FAILED, error.code, detail=str(error)))
    return tuple(checks)


def _as_it_was(bench: Bench, then: Keyring, judged: list[Judged]) -> tuple[Check, ...]:
    """With a typed time, the second verdict: by the trusted material that the bundle itself carries."""
    older = replace(bench, keyring=then, explain=False, exhibit=False)
    checks = []
    for item, image in zip(judged, bench.inventory.images, strict=True):
        before = judge_image(image, older).result
        word = f"{before.verdict.value} ({before.reason})" if before.reason else before.verdict.value
        same = before.verdict is item.result.verdict
        detail = f"by the bundle's own trusted material: {word}{'' if same else '; the newest material decides'}"
        checks.append(Check("material-then", Outcome.NOTE, about=image.name, detail=detail))
    return tuple(checks)


def _is_open(signer: Signer) -> bool:
    return isinstance(signer, KeylessSigner) and not {str(signer.identity), str(signer.issuer)}.isdisjoint(_ANYTHING)


def _weakened(inventory: Inventory, request: Request) -> tuple[str, ...]:
    """Every option in force that lowers safety, so that no report hides one."""
    found = []
    if request.historic:
        found.append("--historic: an older delivery of this stream may pass")
    used = []
    if request.policy is not None:
        rules = [request.policy.rule_for(image.name, image.digest, inventory.stream) for image in inventory.images]
        used = list(dict.fromkeys(rule for rule in rules if rule is not None))
    for rule in used:
        if rule.allow_unsigned:
            found.append(f"rule {rule.label}: allow_unsigned, statements that nobody signed count")
        if rule.allow_omitted:
            found.append(f"rule {rule.label}: allow_omitted, platforms may be left out")
        signers = [signer for demand in rule.demands for signer in demand.signers]
        if any(isinstance(signer, KeySigner) and signer.ignore_tlog for signer in signers):
            found.append(f"rule {rule.label}: insecure_ignore_tlog, log entries of key signatures are not checked")
        if any(map(_is_open, signers)):
            found.append(f"rule {rule.label}: a pattern that matches any identity or any issuer")
    return tuple(found)
