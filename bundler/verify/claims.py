"""The third stage of a verification: each image complete, its own signatures, the policy's demands (pipeline.py).

Rules of this module:
- Only what the trusted inventory lists is looked at, and only documents are read; a damaged blob stays damaged and does
  not stop the claims of other images.
- What a site may remember of the run is handed back in it (run.py); nothing is written here.
- Every option in force that lowers safety is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bundler import limits
from bundler.archive.inventory import Inventory
from bundler.archive.reader import ArchiveReader
from bundler.digest import Digest
from bundler.errors import DamagedError, RejectedError
from bundler.value import replace
from bundler.verify.completeness import check_no_strays
from bundler.verify.data import JudgedData, Keepsakes, judge_data
from bundler.verify.images import Bench, Judged, judge_image
from bundler.verify.keyring import Keyring
from bundler.verify.log_stage import judge_logs
from bundler.verify.policy import KeylessSigner, KeySigner, Policy, Rule, Signer
from bundler.verify.result import Check, DamageFact, Outcome, Report
from bundler.verify.root_origins import origin_checks, origin_weaknesses
from bundler.verify.run import Request, Verification
from trust_root.newest import OpenedTrust
from trust_root.standing import vouching_pin
from trust_root.stream_signature import stream_keys

if TYPE_CHECKING:
    from bundler.verify.vulnerabilities import VulnerabilityData

_ANYTHING = ("^.*$", "^.+$", "^(.*)$", "^(.+)$")


def judge_claims(
    archive: ArchiveReader, inventory: Inventory, damaged: frozenset[Digest], request: Request, run: Verification
) -> None:
    """Judge every image, the data and the logs of a bundle whose head is trusted; what is found goes into `run`.

    Args:
        archive: the open bundle.
        inventory: its trusted inventory.
        damaged: blobs whose bytes are not what was signed.
        request: what to judge by.
        run: the report so far; the head's facts are in it.

    Raises:
        SealiftError: what ends the run.
    """
    if request.policy is not None:
        request = replace(request, policy=replace(request.policy, pin=_vouching_pin(request, run.head.opened)))
    rules = tuple(_rules(inventory, request.policy))
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
    with _vulnerability_data(archive, inventory, data, request, rules) as found:
        bench = replace(bench, vulnerabilities=found)
        judged = [judge_image(image, bench) for image in inventory.images]
        then = _judge_then(bench, judged, request, run)
    run.exhibits = tuple(item.exhibits for item in judged)
    report.images = tuple(item.result for item in judged)
    if keeps:
        run.keepsakes = Keepsakes(tuple(item.papers for item in judged), data.complete)
    report.checks = _bundle_checks(inventory, judged, data, request)
    report.checks += origin_checks(targets)
    report.weakened = (*_weakened(rules, request), *origin_weaknesses(targets))
    report.checks += then
    run.times = tuple(time for item in judged for time in item.times)
    _judge_logs(inventory, bench.keyring, judged, request, run)


@contextmanager
def _vulnerability_data(
    archive: ArchiveReader, inventory: Inventory, data: JudgedData, request: Request, rules: tuple[Rule, ...]
) -> Iterator[VulnerabilityData | None]:
    """What images are held against, if a rule that applies to any of them asks for it."""
    if all(rule.vulnerabilities is None for rule in rules):
        yield None
        return
    from bundler.verify.vulnerability_stage import Carried, open_vulnerability_data  # noqa: PLC0415  few runs need it
    from bundler.vulnerability.recollection import kept_items  # noqa: PLC0415
    from bundler.vulnerability.shelf import Owner  # noqa: PLC0415

    if request.site is None or request.policy is None or not request.policy.pin:
        raise RuntimeError("claims are judged at a site only")
    carried = Carried(archive, inventory, data.complete, Owner(inventory.stream, request.policy.pin))
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
    opened, standing = run.head.opened, run.head.standing
    if request.site is None or opened is None or standing is None:
        return
    required = request.policy is not None and request.policy.require_log_growth
    run.logs = judge_logs(
        inventory, keyring, [item.seen for item in judged], request.site, request.basis,
        pin=opened.roots.pin, standing=standing.status, required=required,
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


def _vouching_pin(request: Request, opened: OpenedTrust | None) -> str:
    """The pin that vouches for the bundle, or the one in its place; empty where none does."""
    return "" if request.site is None or opened is None else str(vouching_pin(request.site, opened.roots.pin))


def _rules(inventory: Inventory, policy: Policy | None) -> Iterator[Rule]:
    """The rules that speak of this bundle's images, each once."""
    found = (
        [policy.rule_for(image.name, image.digest, inventory.stream) for image in inventory.images] if policy else []
    )
    yield from (rule for rule in dict.fromkeys(found) if rule is not None)


def _is_open(signer: Signer) -> bool:
    return isinstance(signer, KeylessSigner) and not {str(signer.identity), str(signer.issuer)}.isdisjoint(_ANYTHING)


def _weakened(rules: tuple[Rule, ...], request: Request) -> tuple[str, ...]:
    """Every option in force that lowers safety, so that no report hides one."""
    found = []
    if request.historic:
        found.append("--historic: an older delivery of this stream may pass")
    pins = 0 if request.site is None else sum(pin.record.retired is None for pin in request.site.loaded.pins)
    for rule in rules:
        if rule.allow_unsigned:
            found.append(f"rule {rule.label}: allow_unsigned, statements that nobody signed count")
        if rule.allow_omitted:
            found.append(f"rule {rule.label}: allow_omitted, platforms may be left out")
        signers = [signer for demand in rule.demands for signer in demand.signers]
        if any(isinstance(signer, KeySigner) and signer.ignore_tlog for signer in signers):
            found.append(f"rule {rule.label}: insecure_ignore_tlog, log entries of key signatures are not checked")
        if any(map(_is_open, signers)):
            found.append(f"rule {rule.label}: a pattern that matches any identity or any issuer")
        if rule.stream is not None and rule.pin is None and pins > 1:
            found.append(f"rule {rule.label}: stream {rule.stream} of any of {pins} pinned roots, for it names no pin")
    return tuple(found)
