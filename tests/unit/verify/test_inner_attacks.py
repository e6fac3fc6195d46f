"""Wrong content inside a whole, validly signed bundle: every check behind the outer signature stands alone (F12, F15).

The matrix offers each image's evidence for each other one; bundles are re-signed with the exporter's own keys.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.archive.inventory import Evidence, Inventory
from bundler.digest import Digest
from bundler.evidence.kind import BUILDKIT_ATTESTATION
from bundler.oci import annotations as words
from bundler.oci.descriptor import Descriptor
from bundler.report.as_text import format_text
from bundler.verify.images import judge_image
from bundler.verify.result import ImageResult, Outcome, Report
from tests.simulators.bundles import walk_members
from tests.simulators.claims import IDENTITY, REPOSITORY, ROOT, TEAM, Claims, demand, on_image, policy, told
from tests.simulators.deliveries import Change, Exporter, LayoutSource, make_site, verify
from tests.simulators.images import (
    SLSA,
    SPDX,
    Layout,
    layer,
    provenance_statement,
    sbom_statement,
    two_platforms,
)
from tests.simulators.sigstore import SignedLayer
from tests.simulators.sigstore_keys import AT, GITHUB
from tests.simulators.tuf_repository import TufRepository

NAMES = tuple(f"{REPOSITORY}:{number}" for number in range(3))
KINDS = ("cosign-signature", "cosign-attestation")
TEXT = policy(demand(), demand("attestation", SLSA), demand("attestation", SPDX))
Images = list[tuple[Layout, Descriptor, tuple[Descriptor, ...]]]


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(tmp_path)


def images(claims: Claims) -> Images:
    """Two indexes and one plain image, each signed and attested; index 0 has its platforms signed and attested too."""
    made: Images = []
    for number, name in enumerate(NAMES):
        children: tuple[Descriptor, ...] = ()
        if number < 2:
            layout, top, children = two_platforms(name, seed=10 * number)
        else:
            layout = Layout()
            top = layout.name(layout.image("linux/amd64", [layer(b"plain", seed=99)]), name)
        for subject in (top, *(children if number == 0 else ())):
            claims.sign(layout, subject, claims.release)
            both = [
                claims.sigstore.attest(subject.digest, claims.release, predicate_type=kind) for kind in (SLSA, SPDX)
            ]
            claims.beside(layout, subject, "att", *both)
        made.append((layout, top, children))
    return made


def contents_of(made: Images) -> dict[Digest, bytes]:
    return {digest: layout.read(digest) for layout, _, _ in made for digest in layout.blobs}


def about(inventory: Inventory, image: int, kind: str, subject: Digest) -> Evidence:
    """The evidence of that kind about that subject."""
    return next(item for item in inventory.images[image].evidence if (item.kind, item.subject) == (kind, subject))


def offer(inventory: Inventory, image: int, *items: Evidence) -> Inventory:
    """An inventory in which `items` are all the evidence beside one image."""
    old = inventory.images[image]
    kept = tuple(item for item in old.evidence if item.kind == BUILDKIT_ATTESTATION)
    changed = replace(old, evidence=(*kept, *items))
    return replace(inventory, images=tuple(changed if item is old else item for item in inventory.images))


def test_everything_as_it_should_be(claims: Claims) -> None:
    made = images(claims)
    inventory = claims.inventory(*((layout, name) for (layout, _, _), name in zip(made, NAMES, strict=True)))
    bench = claims.bench(inventory, TEXT, contents_of(made))
    assert [judge_image(image, bench).result.verdict.value for image in inventory.images] == ["verified"] * 3


def test_wrong_image_matrix(claims: Claims) -> None:
    """Signature, provenance and SBOM of image i offered for image j."""
    made = images(claims)
    inventory = claims.inventory(*((layout, name) for (layout, _, _), name in zip(made, NAMES, strict=True)))
    contents = contents_of(made)
    tops = [top.digest for _, top, _ in made]
    for i, j in itertools.permutations(range(3), 2):
        stolen = [replace(about(inventory, i, kind, tops[i]), subject=tops[j]) for kind in KINDS]
        changed = offer(inventory, j, *stolen)
        result = judge_image(changed.images[j], claims.bench(changed, TEXT, contents)).result
        assert told(result) == [
            ("failed", "digest-mismatch", ""),
            ("failed", "subject-mismatch", ""),
            ("failed", "subject-mismatch", ""),
        ]
        beside = [fact for fact in result.evidence if fact.kind != "statement"]
        assert {fact.strength for fact in beside} == {"not verified"}
        # Offered under its own subject it is not even about this image.
        changed = offer(inventory, j, *(about(inventory, i, kind, tops[i]) for kind in KINDS))
        result = judge_image(changed.images[j], claims.bench(changed, TEXT, contents)).result
        assert told(result) == [("failed", "evidence-subject", "")]


def test_child_for_index_and_index_for_child(claims: Claims) -> None:
    made = images(claims)
    layout, top, children = made[0]
    inventory = claims.inventory((layout, NAMES[0]))
    contents = contents_of(made)
    subjects = [top.digest, *(child.digest for child in children)]
    for source, target in itertools.permutations(subjects, 2):
        stolen = [replace(about(inventory, 0, kind, source), subject=target) for kind in KINDS]
        rest = []
        if target != subjects[0]:  # the other platform keeps its own, so only the stolen one decides
            other = next(item for item in subjects[1:] if item != target)
            rest = [about(inventory, 0, kind, other) for kind in KINDS]
        changed = offer(inventory, 0, *stolen, *rest)
        result = judge_image(changed.images[0], claims.bench(changed, TEXT, contents)).result
        assert {check.outcome for check in result.checks} == {Outcome.FAILED}
        assert {check.code for check in result.checks} == {"digest-mismatch", "subject-mismatch"}


def test_kinds_swapped(claims: Claims) -> None:
    """A `.sig` offered as `.att` and the other way round, for the right image."""
    made = images(claims)
    layout, top, _ = made[2]
    inventory = claims.inventory((layout, NAMES[2]))
    signature, attestation = (about(inventory, 0, kind, top.digest) for kind in KINDS)
    changed = offer(inventory, 0, replace(signature, kind=KINDS[1]), replace(attestation, kind=KINDS[0]))
    result = judge_image(changed.images[0], claims.bench(changed, TEXT, contents_of(made))).result
    assert result.verdict.value == "rejected"
    assert all(check.refuses for check in result.checks)
    as_sbom = offer(inventory, 0, replace(signature, kind="cosign-sbom"), replace(attestation, kind="cosign-sbom"))
    result = judge_image(as_sbom.images[0], claims.bench(as_sbom, TEXT, contents_of(made))).result
    assert {check.outcome for check in result.checks} == {Outcome.MISSING}
    assert {(fact.kind, fact.strength, fact.code) for fact in result.evidence} == {
        ("sbom", "not verified", "unchecked")
    }


def test_predicates_swapped(claims: Claims) -> None:
    """An SBOM where provenance is demanded, and the other way round, even by the right signer."""
    layout = Layout()
    top = layout.name(layout.image("linux/amd64", [layer(b"x")]), NAMES[0])
    for wanted, there in ((SLSA, SPDX), (SPDX, SLSA)):
        layout = Layout()
        top = layout.name(layout.image("linux/amd64", [layer(b"x")]), f"{REPOSITORY}:1")
        claims.attest(layout, top, claims.release, there)
        assert claims.judge(layout, policy(demand("attestation", wanted))).reason == "attestation-missing"


def test_statements_of_another_index(claims: Claims) -> None:
    """SBOM and provenance of image i, tied into image j's signed index, one platform for the other too."""
    for i, j in itertools.permutations(range(2), 2):
        layout = Layout()
        children = [
            [layout.image(name, [layer(name.encode(), seed=10 * number + at)])
             for at, name in enumerate(("linux/amd64", "linux/arm64"))]
            for number in range(2)
        ]  # fmt: skip
        entries = []
        for mine, theirs in zip(children[j], children[i], strict=True):
            entry = layout.attestation(theirs, [sbom_statement(theirs), provenance_statement(theirs)])
            tie = {**entry.annotations, words.REFERENCE_DIGEST: str(mine.digest)}
            entries.append(replace(entry, annotations=tie))
        top = layout.name(layout.index([*children[j], *entries]), f"{REPOSITORY}:1")
        claims.sign(layout, top, claims.release)
        result = claims.judge(layout, policy(demand(), require='["sbom", "provenance"]'))
        assert [check[1] for check in told(result)] == ["", *["subject-mismatch"] * 4]
        assert {fact.strength for fact in result.evidence if fact.kind == "statement"} == {"not verified"}


def test_tags_swapped(claims: Claims) -> None:
    """Each image is judged under the name that the stream gives it; a swap of names swaps no evidence."""
    made = images(claims)
    inventory = claims.inventory(*((layout, name) for (layout, _, _), name in zip(made, NAMES, strict=True)))
    first, second, third = inventory.images
    swapped = replace(inventory, images=(replace(first, name=second.name), replace(second, name=first.name), third))
    by_digest = f'digests = ["{first.digest}"]'
    text = TEXT.replace(f'images = ["{REPOSITORY}"]', by_digest)
    results = [judge_image(image, claims.bench(swapped, text, contents_of(made))).result for image in swapped.images]
    assert [result.reason for result in results] == ["", "no-rule", "no-rule"]


# -- whole bundles, re-signed -----------------------------------------------------------------------------------------


class Bundles:
    """An exporter who signs what he is told, and a site."""

    def __init__(self, folder: Path) -> None:
        self.claims = Claims(folder)
        repository = TufRepository("main", holders=1, threshold=1, targets=self.claims.targets)
        self.exporter = Exporter(repository, folder)
        self.state = make_site(folder / "state", repository.pin)
        self.sources = []
        for number, (layout, _, _) in enumerate(images(self.claims)[1:]):
            path = layout.write(folder / f"image-{number}")
            self.sources.append(LayoutSource("oci", path, NAMES[number + 1], NAMES[number + 1]))

    def report(self, change: Change, text: str | None = TEXT) -> Report:
        return verify(self.exporter.deliver(*self.sources, change=change), self.state, text).report


@pytest.fixture
def bundles(tmp_path: Path) -> Bundles:
    return Bundles(tmp_path)


def swap_evidence(inventory: Inventory) -> Inventory:
    """Each image with the evidence of the other one, tied to it."""
    beside = [[item for item in image.evidence if item.kind in KINDS] for image in inventory.images]
    for number, stolen in enumerate(reversed(beside)):
        mine = inventory.images[number].digest
        inventory = offer(inventory, number, *(replace(item, subject=mine) for item in stolen))
    return inventory


def swap_kinds(inventory: Inventory) -> Inventory:
    """The first image's signature as attestation and the other way round."""
    top = inventory.images[0].digest
    signature, attestation = (about(inventory, 0, kind, top) for kind in KINDS)
    return offer(inventory, 0, replace(signature, kind=KINDS[1]), replace(attestation, kind=KINDS[0]))


def first_of(kind: str) -> Callable[[Inventory], Evidence]:
    return lambda inventory: next(item for item in inventory.images[0].evidence if item.kind == kind)


def edited(kind: str, /, **fields: object) -> Change:
    def change(inventory: Inventory) -> Inventory:
        target = first_of(kind)(inventory)
        items = tuple(
            replace(item, **fields) if item is target else item  # type: ignore[arg-type]
            for item in inventory.images[0].evidence
        )
        return on_image(evidence=items)(inventory)

    return change


RESIGNED: dict[str, tuple[Change, str]] = {
    "nothing changed": (lambda inventory: inventory, ""),
    "no image": (lambda inventory: replace(inventory, images=()), "no-images"),
    "one image forgotten, its blobs kept": (
        lambda inventory: replace(inventory, images=inventory.images[:1]), "unreferenced-blob"),
    "evidence of the other image": (swap_evidence, "digest-mismatch"),
    "signature forgotten, its blobs kept": (
        lambda inventory: on_image(evidence=tuple(item for item in inventory.images[0].evidence
                                                  if item.kind != KINDS[0]))(inventory), "unreferenced-blob"),
    "signature as attestation": (swap_kinds, "evidence-type"),
    "signature about a platform": (
        lambda inventory: edited(KINDS[0], subject=inventory.images[0].platforms[0].digest)(inventory),
        "digest-mismatch"),
    "statement hidden": (
        lambda inventory: on_image(evidence=inventory.images[0].evidence[1:])(inventory), "evidence-mismatch"),
    "platform hidden": (
        lambda inventory: on_image(platforms=inventory.images[0].platforms[:1])(inventory), "platforms-mismatch"),
    "another name": (on_image(name="registry.example.org/another:1"), "no-rule"),
}  # fmt: skip


@pytest.mark.parametrize("attack", RESIGNED)
def test_a_bundle_signed_by_a_lying_exporter(bundles: Bundles, attack: str) -> None:
    change, reason = RESIGNED[attack]
    report = bundles.report(change)
    assert (report.exit_code, report.reason) == (1 if reason else 0, reason)
    assert report.failure is None
    assert format_text(report).startswith("REJECTED (" if reason else "VERIFIED: ")
    if len(report.images) > 1 and change is not swap_evidence:
        assert report.images[1].verdict.value == "verified"


def test_without_a_policy_nothing_is_verified(bundles: Bundles) -> None:
    report = bundles.report(lambda inventory: inventory, None)
    assert (report.exit_code, report.reason) == (1, "no-policy")
    assert {image.verdict.value for image in report.images} == {"rejected"}
    assert report.policy_digest is None


def test_every_weakening_in_force_is_told(bundles: Bundles) -> None:
    text = policy(
        demand(), demand("signature", key="team", insecure_ignore_tlog="true"),
        require='["sbom"]', allow_unsigned="true", allow_omitted="true",
    )  # fmt: skip
    report = bundles.report(lambda inventory: inventory, text)
    assert [line.split(": ")[1].split(",")[0] for line in report.weakened] == [
        "allow_unsigned", "allow_omitted", "insecure_ignore_tlog",
    ]  # fmt: skip
    assert format_text(report).count("!! weakened:") == 3


@pytest.mark.parametrize("part", ["image.manifest", "image.index", "image.layer", "simplesigning", "image.config"])
def test_damage_to_one_image_leaves_the_other_judged(bundles: Bundles, part: str) -> None:
    """A flipped bit in a blob of image 0: exit 3, that image DAMAGED, the other one verified (THREATS A4)."""
    seen: list[Inventory] = []

    def note(inventory: Inventory) -> Inventory:
        seen.append(inventory)
        return inventory

    bundle = bundles.exporter.deliver(*bundles.sources, change=note)
    target = next(blob for blob in seen[0].blobs if part in blob.media_type)  # in image order: the first image's
    raw = bytearray(bundle.read_bytes())
    raw[dict(walk_members(bytes(raw)))[target.member_name] + 512] ^= 1
    bundle.write_bytes(raw)
    report = verify(bundle, bundles.state, TEXT).report
    assert (report.exit_code, report.reason) == (3, "blob-digest")
    assert [image.verdict.value for image in report.images] == ["damaged", "verified"]
    text = format_text(report)
    assert text.startswith("DAMAGED (blob-digest)")
    assert f"\nVERIFIED  {NAMES[2]}" in text


# -- any change at all ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Claims:
    return Claims(tmp_path_factory.mktemp("fuzz"))


def judged_layers(claims: Claims, signature: SignedLayer, attestation: SignedLayer) -> ImageResult:
    layout = Layout()
    top = layout.image("linux/amd64", [layer(b"x")])
    layout.name(top, NAMES[1])
    claims.beside(layout, top, "sig", signature)
    claims.beside(layout, top, "att", attestation)
    return claims.judge(layout, policy(demand(), demand("attestation", SLSA)))


def good_layers(claims: Claims) -> tuple[SignedLayer, SignedLayer]:
    top = Layout().image("linux/amd64", [layer(b"x")])
    return claims.sigstore.sign(top.digest, claims.release), claims.sigstore.attest(top.digest, claims.release)


@given(st.data())
@settings(derandomize=True, deadline=None, max_examples=40)
def test_any_changed_byte_of_what_is_signed_is_rejected(fuzzed: Claims, data: st.DataObject) -> None:
    pair = list(good_layers(fuzzed))
    which = data.draw(st.integers(0, 1))
    raw = bytearray(pair[which].raw)
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    pair[which] = pair[which]._replace(raw=bytes(raw))
    result = judged_layers(fuzzed, *pair)
    assert result.checks[1 - which].outcome is Outcome.HELD
    if result.checks[which].outcome is Outcome.HELD:
        # The envelope's shell is not signed; `keyid` is the one part of it that means nothing (EVIDENCE 2.6).
        start = good_layers(fuzzed)[which].raw.index(b'"keyid":""')
        assert which == 1
        assert start <= place < start + 10


@given(st.data())
@settings(derandomize=True, deadline=None, max_examples=40)
def test_changed_annotations_never_crash_and_never_change_the_facts(fuzzed: Claims, data: st.DataObject) -> None:
    pair = list(good_layers(fuzzed))
    which = data.draw(st.integers(0, 1))
    notes = dict(pair[which].annotations)
    name = data.draw(st.sampled_from(sorted(notes)))
    text = notes[name]
    start = data.draw(st.integers(0, len(text)))
    end = min(len(text), start + data.draw(st.integers(0, 40)))
    notes[name] = text[:start] + data.draw(st.text(max_size=8).filter(_plain_text)) + text[end:]
    pair[which] = pair[which]._replace(annotations=notes)
    result = judged_layers(fuzzed, *pair)
    if result.checks[which].outcome is Outcome.HELD:
        fact = result.evidence[which]
        assert (fact.signer, fact.issuer, fact.signed_at) == (IDENTITY, GITHUB, AT)
        assert fact.strength == "signed, inclusion promise"
    else:
        assert result.verdict.value == "rejected"


def _plain_text(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


@given(st.binary(max_size=60), st.sampled_from([ROOT, TEAM]))
@settings(derandomize=True, deadline=None, max_examples=40)
def test_any_published_target_is_survived(fuzzed: Claims, raw: bytes, path: str) -> None:
    kept = dict(fuzzed.targets)
    try:
        fuzzed.targets[path] = raw
        layout = Layout()
        top = layout.name(layout.image("linux/amd64", [layer(b"x")]), NAMES[1])
        fuzzed.sign(layout, top, fuzzed.team if path == TEAM else fuzzed.release)
        text = policy(demand(key="team") if path == TEAM else demand())
        assert fuzzed.judge(layout, text).verdict.value == "rejected"
    finally:
        fuzzed.targets = kept
