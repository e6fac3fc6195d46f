"""Structured changes of Sigstore bundles: over twenty thousand of them, of which a sample runs each time.

No change is accepted unless it stands in ALLOWED with a reason, and what is told then is the same as before, but for
what the line says. No change ends in an exception that is not ours. In the exhaustive tier, each line is needed.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest

from bundler.digest import Content, Digest
from bundler.errors import RejectedError
from bundler.evidence.sigstore_bundle import SigstoreBundle, format_bundle
from bundler.identity.keys import PublicKey, parse_public_key
from bundler.verify.blob import VerifiedBlob, known_digest, verify_blob
from bundler.verify.material import TrustedMaterial, parse_trusted_root
from bundler.verify.policy import KeylessSigner, TextRule
from tests.simulators.bundle_mutations import bundle_mutants
from tests.simulators.good_bundles import FORMS, World
from tests.simulators.json_mutations import Mutant, dump, json_mutants
from tests.simulators.judging import IDENTITY
from tests.simulators.log_tree import Tree
from tests.simulators.sigstore_bundles import FILE_DIGEST, OLDER, V03
from tests.simulators.sigstore_keys import GITHUB

SAMPLE = 100
RELOGGED_SAMPLE = 20
WANTED = KeylessSigner(TextRule(IDENTITY), TextRule(GITHUB), None)
ARTIFACT = known_digest(FILE_DIGEST)
STAMP = r"\.signedTimestamp: element "
NOTE = r"\.envelope: "
GONE = r": (removed|replaced by (null|\[\]))$"  # null and an empty list are the same as absent (ProtoJSON)


class Allowed(NamedTuple):
    """A change that is accepted: where, which parts of the result may differ, and why."""

    where: str
    differs: frozenset[str]
    why: str


SAME: frozenset[str] = frozenset()
ALLOWED = tuple(
    Allowed(where, frozenset(differs.split()), why)
    for where, differs, why in (
        (r"^mediaType: of another bundle$", "", "version 0.3 has two names"),
        (r"keys in reverse$", "", "the order of an object's keys says nothing (RFC 8259)"),
        (r"^: white space$", "", "between tokens it says nothing"),
        (r"^: line end behind$", "", "likewise"),
        (r"^: letters as escapes$", "", "another spelling of the same text"),
        (r"(Index|treeSize|integratedTime): as a JSON number$", "", "protobuf JSON lets 64-bit numbers be numbers"),
        (r"timestampVerificationData: (replaced by (null|{})|removed)$", "times", "no timestamps, in other words"),
        (r"\.rfc3161Timestamps" + GONE, "times", "likewise"),
        (r"\.rfc3161Timestamps\.0: removed$", "times", "one of two times taken away: the other one holds"),
        (r"\.inclusionPromise" + GONE, "times logs", "a promise beside proof and timestamp: one time less is told"),
        (r"\.messageDigest" + GONE, "", "signed by nobody, never told; it must agree when it is there"),
        (r"\.keyid: ", "", "signed by nobody, never used (DSSE)"),
        (r"\.publicKey(\.hint)?: ", "", "signed by nobody, never used"),
        (r"\.tlogEntries(\.0)?" + GONE, "times logs strength", "with a key: unlogged, said so"),
        (r"(\.signedEntryTimestamp: | with )the other s$", "", "ECDSA: n - s is the key's word, too"),
        (NOTE + r"a stranger (behind|before)$", "", "lines by unknown keys do not count (C2SP signed-note)"),
        (NOTE + r"line [5-7] (removed|with another .*|with a byte behind)$", "", "cosigned by a witness not named"),
        (NOTE + r"line 4 with another name too$", "", "a line by an unknown name beside the log's"),
        (NOTE + r"junk with the log's name$", "", "a line with another key's hint beside the log's"),
        (STAMP + r"1/1/0/3(/0)? (removed|emptied)$", "", "certificates may be left out: the trusted root has them"),
        (STAMP + r"1/1/0/3(/\d+)* ", "", "certificates beside the token are never used"),
        (STAMP + r"1/1/0/1/0 twice$", "", "the list of digest algorithms is signed by nobody, and only looked through"),
        (STAMP + r"1/1/0/(1/0|4/0/2|4/0/4)/0 a NULL behind$", "", "algorithms with and without NULL are the same"),
    )
)  # fmt: skip


@dataclass(frozen=True)
class Base:
    """A Sigstore bundle that holds, and what it takes to verify it."""

    raw: bytes
    donor: bytes
    material: TrustedMaterial
    signer: KeylessSigner | PublicKey = WANTED
    artifact: Content = ARTIFACT

    def judge(self, raw: bytes) -> VerifiedBlob | None:
        """None when it is refused. Any exception but a rejection is a bug and passes through."""
        try:
            return verify_blob(raw, self.artifact, signer=self.signer, material=self.material)
        except RejectedError:
            return None

    def mutants(self) -> Iterator[Mutant]:
        return bundle_mutants(self.raw, self.donor)


@cache
def base(name: str) -> Base:
    """One of the simulated ones."""
    world = World(name if name in FORMS else FORMS[0])
    material = parse_trusted_root(world.sigstore.trusted_root_json())
    good, other = world.good, world.other
    if name == "all that there can be":
        good = replace(world.stamped(world.stamp()), entries=(world.sigstore.cosigned(world.entry),))
        third = world.sigstore.bundle(world.content + b"third", world.signer, stamped=True)
        return _base(good, third, material)
    if name == "by a key":
        signer = world.sigstore.key_signer()
        key = parse_public_key(signer.public_pem.encode())
        return replace(_base(world.make(signer), replace(other, media_type=V03), material), signer=key)
    return _base(good, other, material)


def _base(good: SigstoreBundle, other: SigstoreBundle, material: TrustedMaterial) -> Base:
    return Base(format_bundle(good), format_bundle(other), material)


SIMULATED = (*FORMS, "all that there can be", "by a key")


def difference(before: VerifiedBlob, after: VerifiedBlob) -> frozenset[str]:
    return frozenset(
        field.name for field in fields(before) if getattr(before, field.name) != getattr(after, field.name)
    )


def check(case: Base, mutants: Iterator[Mutant]) -> Counter[str]:
    """How often each line of ALLOWED was needed."""
    before, used, same = case.judge(case.raw), Counter[str](), dump(json.loads(case.raw))
    assert before is not None
    for mutant in mutants:
        raw = mutant.raw
        after = case.judge(raw) if raw != same else None
        if after is None:
            continue
        lines = [line for line in ALLOWED if re.search(line.where, mutant.name)]
        assert lines, f"accepted: {mutant.name}"
        assert difference(before, after) <= lines[0].differs, mutant.name
        assert set(after.times) <= set(before.times), mutant.name
        used[lines[0].where] += 1
    return used


@pytest.mark.parametrize("name", SIMULATED)
def test_a_sample(name: str) -> None:
    case = base(name)
    chance = random.Random(f"20261123 {name}")
    everything = list(case.mutants())
    check(case, iter(chance.sample(everything, SAMPLE)))


@pytest.mark.exhaustive
def test_all() -> None:
    used, count = Counter[str](), 0
    for name in SIMULATED:
        case = base(name)
        everything = list(case.mutants())
        count += len(everything)
        used += check(case, iter(everything))
    assert count >= 10_000
    assert {line.where for line in ALLOWED} == set(used)


# -- entries that the log really took ---------------------------------------------------------------------------------

ENTRY_KINDS = ("hashedrekord 0.0.1", "dsse 0.0.1", "intoto 0.0.1", "intoto 0.0.2", "hashedrekord 0.0.2", "dsse 0.0.2")
# Order and white space of JSON; a PEM block without its last line end; older intoto entries lack the payload's hash.
SAME_BODY = re.compile(
    r"keys in reverse$|^: (white space|line end behind)$"
    r"|\.publicKey\.content: last byte missing$|^spec\.content\.payloadHash: removed$"
)


def relogged(kind: str, every: int, first: int) -> tuple[Base, Iterator[tuple[Mutant, bytes]]]:
    """A Sigstore bundle, and the same with changed entries that the true log promised and proved."""
    is_v2 = kind in ("hashedrekord 0.0.2", "dsse 0.0.2")
    world = World(f"{'file' if kind.startswith('hashed') else 'statement'}, Rekor {2 if is_v2 else 1}")
    sigstore = world.sigstore
    good = world.make(world.signer, kind=kind)

    def entries() -> Iterator[tuple[Mutant, bytes]]:
        for mutant in islice(json_mutants(good.entries[0].body), first, None, every):
            body = mutant.raw
            if body and body != good.entries[0].body:
                sigstore.tree, sigstore.rekor_2.tree = Tree([OLDER]), Tree([OLDER])
                entry = sigstore.entry_2(body, kind) if is_v2 else sigstore.entry(body, kind)
                yield mutant, format_bundle(replace(good, entries=(entry,)))

    return _base(good, good, parse_trusted_root(sigstore.trusted_root_json())), entries()


def check_relogged(kind: str, every: int, first: int = 0) -> int:
    case, mutants = relogged(kind, every, first)
    assert case.judge(case.raw) is not None
    count = 0
    for mutant, raw in mutants:
        count += 1
        if case.judge(raw) is not None:
            assert SAME_BODY.search(mutant.name), f"accepted: {mutant.name}"
    return count


@pytest.mark.parametrize("kind", ENTRY_KINDS)
def test_a_sample_of_changed_entries(kind: str) -> None:
    assert check_relogged(kind, every=11, first=len(kind)) > RELOGGED_SAMPLE


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ENTRY_KINDS)
def test_every_changed_entry(kind: str) -> None:
    check_relogged(kind, every=1)


# -- real ones --------------------------------------------------------------------------------------------------------

REAL = ("happy-path-v0.3", "happy-path-intoto-in-dsse-v3", "rekor2-happy-path", "rekor2-dsse-happy-path")
BEACON = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/"
    "extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)


def real(name: str, shared: Path) -> Base:
    folder = shared / "real" / "sigstore-bundles"
    donor = REAL[REAL.index(name) ^ 1]
    own = folder / name / "trusted_root.json"
    root = own if own.exists() else shared / "real" / "trust" / "trusted_root.public-good.json"
    raw, given = ((folder / each / "bundle.sigstore.json").read_bytes() for each in (name, donor))
    artifact = Content((folder / "a.txt").read_bytes())
    signer = KeylessSigner(TextRule(BEACON), TextRule(GITHUB), None)
    return Base(raw, given, parse_trusted_root(root.read_bytes()), signer, artifact)


@pytest.mark.parametrize("name", REAL)
def test_a_sample_of_real_ones(name: str, shared: Path) -> None:
    case = real(name, shared)
    chance = random.Random(f"20261124 {name}")
    check(case, iter(chance.sample(list(case.mutants()), SAMPLE)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", REAL)
def test_all_of_real_ones(name: str, shared: Path) -> None:
    case = real(name, shared)
    check(case, case.mutants())


# -- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "count", "expected"),
    [("tlogEntries", 33, "limits"), ("tlogEntries", 32, "duplicate-evidence"), ("rfc3161Timestamps", 33, "limits")],
)
def test_how_many(path: str, count: int, expected: str) -> None:
    """More than 32 entries or timestamps are refused before anything in them is looked at."""
    case = base("all that there can be")
    value = json.loads(case.raw)
    material = value["verificationMaterial"]
    holder = material if path == "tlogEntries" else material["timestampVerificationData"]
    holder[path] = holder[path] * count
    with pytest.raises(RejectedError) as refused:
        verify_blob(json.dumps(value).encode(), case.artifact, signer=WANTED, material=case.material)
    assert refused.value.code == expected


@pytest.mark.parametrize(("count", "expected"), [(1024, ""), (1025, "limits")])
def test_how_many_subjects(count: int, expected: str) -> None:
    """A statement names at most 1 024 subjects."""
    world = World("statement, Rekor 1")
    value = json.loads(world.content)
    others = [{"name": str(number), "digest": {"sha256": f"{number:064x}"}} for number in range(count - 1)]
    statement = json.dumps({"_type": value.pop("_type"), **value, "subject": [*others, *value["subject"]]}).encode()
    case = _base(world.sigstore.bundle(statement, world.signer), world.good, base("statement, Rekor 1").material)
    assert Digest("sha256", FILE_DIGEST.hex) == FILE_DIGEST
    try:
        verify_blob(case.raw, case.artifact, signer=WANTED, material=case.material)
        code = ""
    except RejectedError as error:
        code = error.code
    assert code == expected
