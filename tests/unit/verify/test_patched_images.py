"""Patched images at the far side: every way in which a derivation can be untrue has a name (THREATS F18, lineage)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundler.digest import sha256_of
from bundler.errors import UsageError
from bundler.evidence.derivation import PREDICATE_TYPE, Derivation
from bundler.export.patch_statement import bind_layers
from bundler.oci.descriptor import parse_platform
from bundler.oci.manifest import ImageManifest, parse_manifest
from bundler.value import replace as replaced
from bundler.verify.derivation import Claim, FoundClaims
from bundler.verify.derived import Derived, with_claims
from bundler.verify.images import judge_image
from bundler.verify.policy import parse_policy
from bundler.verify.result import EvidenceFact, ImageResult, Outcome
from tests.simulators.claims import REPOSITORY, Claims, demand, only, told, verdict
from tests.simulators.images import layer, provenance_statement, sbom_statement
from tests.simulators.patched import GONE, NAME, PATCHED_NAME, Part, Scene, patched_scene
from trust_root.keys import generate_key
from trust_root.stream_signature import StreamKeys

AMD, ARM = "linux/amd64", "linux/arm64"


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(tmp_path)


def rule(*demands: str, derived: str = f'["{REPOSITORY}:1"]', **options: str) -> str:
    """A policy for the patched image."""
    more = {**({"derived_from": derived} if derived else {}), **options}
    lines = ["format = 1", "[[rule]]", f'images = ["{PATCHED_NAME}"]']
    return "\n".join([*lines, *(f"{key} = {value}" for key, value in more.items()), *(demands or (demand(),))])


def judge(
    claims: Claims,
    scene: Scene,
    policy: str | None = None,
    *,
    images: tuple[str, ...] = (NAME, PATCHED_NAME),
    sign: bool = True,
    platforms: tuple[str, ...] = (),
) -> ImageResult:
    """The patched image, judged beside its original, which is signed."""
    if sign:
        claims.sign(scene.layout, scene.original_top, claims.release)
    inventory = claims.inventory(*((scene.layout, name) for name in images), platforms=platforms)
    contents = {digest: scene.layout.read(digest) for digest in scene.layout.blobs}
    bench = claims.bench(inventory, rule() if policy is None else policy, contents)
    bench = replaced(bench, stream_keys=StreamKeys("main", (scene.key.public,)))
    return judge_image(next(image for image in inventory.images if image.name == PATCHED_NAME), bench).result


def built(bend: Callable[[Scene], Any] = lambda scene: None, **knobs: Any) -> Scene:
    scene = patched_scene()
    bend(scene)
    scene.build(**knobs)
    return scene


# -- what holds -------------------------------------------------------------------------------------------------------


def test_an_honest_patch_of_a_signed_original_is_verified(claims: Claims) -> None:
    result = judge(claims, built())
    assert verdict(result) == ("verified", "")
    assert told(result, "lineage") == [("held", "", AMD), ("held", "", ARM)]
    assert only(result, "derivation").strength == "asserted by stream main"
    assert only(result, "signature").detail.startswith("of the original: ")
    changes = [check for check in result.checks if check.name == "vulnerabilities"]
    assert [check.outcome for check in changes] == [Outcome.NOTE] * 2
    assert f"1 of 2 went, 1 are left, 0 came; gone: {GONE}" in changes[0].detail
    assert "label BaseImage is new" in result.checks[1].detail


def test_the_statement_is_told_as_the_streams_word(claims: Claims) -> None:
    (fact,) = [fact for fact in judge(claims, built()).evidence if fact.predicate_type == PREDICATE_TYPE]
    assert (fact.strength, fact.code) == ("asserted by stream main", "")


def test_facts_of_signatures_and_statements_keep_their_places() -> None:
    """Others find them by their places; only what nobody reads goes."""
    said: list[Derivation] = []

    def say(derivation: Derivation) -> Derivation:
        said.append(derivation)
        return derivation

    scene = built(lambda made: setattr(made, "say", say))
    raw, subject = scene.referrer.made[scene.referrer.descriptor.digest], scene.patched_top.digest
    manifest = parse_manifest(raw, scene.referrer.descriptor.media_type)
    assert isinstance(manifest, ImageManifest)
    claim = Claim(said[0], manifest, sha256_of(b"key"), "main")
    places = [("attestation", "key-unknown"), ("attestation", "key-unknown"), ("referrer", "unchecked")]
    facts = [EvidenceFact(kind, subject, claim.manifest.digest, "", "", code=code) for kind, code in places]
    after = EvidenceFact("statement", subject, sha256_of(b"other"), "", "unsigned")
    told = with_claims([*facts[:2], after, facts[2]], Derived(FoundClaims((claim,), ()), None, ()))
    assert [(fact.kind, fact.code) for fact in told] == [("attestation", ""), places[1], ("statement", "")]


def test_a_single_manifest_is_patched_too(claims: Claims) -> None:
    scene = patched_scene(AMD)
    scene.build(single=True)
    assert verdict(judge(claims, scene)) == ("verified", "")


def test_a_platform_with_nothing_to_patch_keeps_its_manifest(claims: Claims) -> None:
    scene = patched_scene()
    scene.patched[ARM] = scene.original[ARM]
    scene.build()
    result = judge(claims, scene)
    assert verdict(result) == ("verified", "")
    assert "nothing was patched" in [check for check in result.checks if check.name == "lineage"][1].detail


def test_without_derived_from_the_patched_image_fails_as_before(claims: Claims) -> None:
    result = judge(claims, built(), rule(derived=""))
    assert verdict(result) == ("rejected", "signature-missing")
    assert {check.outcome for check in result.checks if check.name in ("derivation", "lineage")} == {Outcome.NOTE}


def test_a_lineage_that_nobody_asks_for_does_not_verify_an_image(claims: Claims) -> None:
    assert verdict(judge(claims, built(), "format = 1\n[[rule]]\nimages = ['other.example.org/**']\n" + demand()))[
        0
    ] == ("rejected")


def test_a_patched_image_with_its_own_signature_needs_no_derivation(claims: Claims) -> None:
    scene = built(lambda scene: scene.patched[AMD].layers.reverse())
    claims.sign(scene.layout, scene.patched_top, claims.release)
    result = judge(claims, scene, rule(derived=""))
    assert verdict(result) == ("verified", "")
    assert only(result, "derivation").code == "lineage-layers"
    assert only(result, "derivation").outcome is Outcome.NOTE


# -- what the original has to show ------------------------------------------------------------------------------------


def test_an_unsigned_original_vouches_for_nothing(claims: Claims) -> None:
    result = judge(claims, built(), sign=False)
    assert verdict(result) == ("rejected", "signature-missing")


def test_a_signature_on_the_patched_image_is_not_one_on_the_original(claims: Claims) -> None:
    scene = built()
    claims.sign(scene.layout, scene.patched_top, claims.release)
    assert verdict(judge(claims, scene, sign=False)) == ("rejected", "signature-missing")


def test_an_original_signed_by_somebody_else_is_untrusted(claims: Claims) -> None:
    scene = built()
    claims.sign(scene.layout, scene.original_top, claims.other)
    assert verdict(judge(claims, scene, sign=False)) == ("rejected", "identity-mismatch")


def test_evidence_of_another_image_vouches_for_nothing(claims: Claims) -> None:
    scene = built()
    stolen = claims.sigstore.sign(sha256_of(b"another image"), claims.release)
    claims.beside(scene.layout, scene.original_top, "sig", stolen)
    assert verdict(judge(claims, scene, sign=False)) == ("rejected", "digest-mismatch")


def test_sbom_and_provenance_of_the_original_are_told_as_that(claims: Claims) -> None:
    scene = patched_scene(AMD)
    part = scene.original[AMD]
    child = part.add(scene.layout)
    papers = scene.layout.attestation(child, [sbom_statement(child), provenance_statement(child)])
    scene.build()
    top = scene.layout.index([child, papers])
    scene = bound_to(scene, top)
    result = judge(claims, scene, rule(require='["sbom", "provenance"]'))
    assert verdict(result) == ("verified", "")
    sbom = [check for check in result.checks if check.name == "sbom"]
    assert [(check.outcome, check.detail.split(":")[0]) for check in sbom] == [
        (Outcome.NOTE, "lost"), (Outcome.HELD, "of the original"),
    ]  # fmt: skip
    assert "lost" in next(check for check in result.checks if check.name == "provenance").detail


def bound_to(scene: Scene, top: Any) -> Scene:
    """The scene with another original: its index is `top`."""
    made = patched_scene(AMD)
    made.layout = scene.layout
    made.key = scene.key
    made.say = lambda derivation: replace_original(derivation, top.digest)
    made.layout.entries.clear()
    made.build()
    made.layout.entries[:] = [
        entry for entry in made.layout.entries if entry["digest"] != str(made.original_top.digest)
    ]
    made.layout.name(top, NAME)
    made.original_top = top
    return made


def replace_original(derivation: Derivation, digest: Any) -> Derivation:
    return replaced(derivation, original=replaced(derivation.original, digest=digest))


# -- what does not hold -----------------------------------------------------------------------------------------------


def swapped(scene: Scene) -> None:
    scene.patched[AMD].layers[1] = layer(b"evil", seed=99, size_bytes=64)


def inserted_below(scene: Scene) -> None:
    scene.patched[AMD].layers.insert(0, layer(b"evil", seed=99, size_bytes=64))


def inserted_between(scene: Scene) -> None:
    scene.patched[AMD].layers.insert(1, layer(b"evil", seed=99, size_bytes=64))


def reordered(scene: Scene) -> None:
    first, second, *rest = scene.patched[AMD].layers
    scene.patched[AMD].layers = [second, first, *rest]


def removed(scene: Scene) -> None:
    del scene.patched[AMD].layers[1:]


def nothing_on_top(scene: Scene) -> None:
    del scene.patched[AMD].layers[2:]


def other_diff_ids(scene: Scene) -> None:
    part = scene.patched[AMD]
    part.diff_ids = [str(sha256_of(b"another")), *part.config()["rootfs"]["diff_ids"][1:]]


def fewer_diff_ids(scene: Scene) -> None:
    part = scene.patched[AMD]
    part.diff_ids = part.config()["rootfs"]["diff_ids"][:-1]


def history_forged(scene: Scene) -> None:
    scene.patched[AMD].history[0]["created_by"] = "ADD something nicer"


def history_dropped(scene: Scene) -> None:
    scene.patched[AMD].history.clear()


def history_backdated(scene: Scene) -> None:
    scene.patched[AMD].history[2]["created"] = "2026-10-01T00:00:02.5Z"


def history_hides_a_layer(scene: Scene) -> None:
    scene.patched[AMD].history[-1]["empty_layer"] = True


def other_user(scene: Scene) -> None:
    scene.patched[AMD].runtime["User"] = "root"


def other_entry_point(scene: Scene) -> None:
    scene.patched[AMD].runtime["Entrypoint"] = ["/bin/sh"]


def more_environment(scene: Scene) -> None:
    scene.patched[AMD].runtime["Env"].append("LD_PRELOAD=/evil.so")


def folded_key(scene: Scene) -> None:
    scene.patched[AMD].runtime["user"] = "root"


def other_architecture(scene: Scene) -> None:
    scene.patched[AMD].top["architecture"] = "riscv64"


def config_of_another_image(scene: Scene) -> None:
    theirs: Part = patched_scene(ARM).patched[ARM]
    scene.patched[AMD].history = theirs.history
    scene.patched[AMD].diff_ids = [str(sha256_of(item.encode())) for item in "abc"]


LIES: Mapping[str, tuple[Callable[[Scene], None], str]] = {
    "layer swapped": (swapped, "lineage-layers"),
    "inserted below": (inserted_below, "lineage-layers"),
    "inserted between": (inserted_between, "lineage-layers"),
    "reordered": (reordered, "lineage-layers"),
    "layer removed": (removed, "lineage-layers"),
    "nothing on top": (nothing_on_top, "lineage-layers"),
    "another diff_id": (other_diff_ids, "lineage-diff-ids"),
    "too few diff_ids": (fewer_diff_ids, "lineage-diff-ids"),
    "history forged": (history_forged, "lineage-history"),
    "history dropped": (history_dropped, "lineage-history"),
    "history backdated": (history_backdated, "lineage-history"),
    "history hides a layer": (history_hides_a_layer, "lineage-history"),
    "another user": (other_user, "lineage-config"),
    "another entry point": (other_entry_point, "lineage-config"),
    "more environment": (more_environment, "lineage-config"),
    "a key that Go folds": (folded_key, "field-case"),
    "another architecture": (other_architecture, "lineage-platform"),
    "config of another image": (config_of_another_image, "lineage-diff-ids"),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_image_that_is_not_the_original_with_layers_on_top(claims: Claims, lie: str) -> None:
    bend, code = LIES[lie]
    result = judge(claims, built(bend))
    assert (verdict(result), only(result, "derivation").outcome) == (("rejected", code), Outcome.FAILED)


def test_a_platform_that_was_dropped_is_said_by_name(claims: Claims) -> None:
    scene = built(lambda scene: scene.patched.pop(ARM))
    result = judge(claims, scene)
    assert verdict(result) == ("rejected", "platform-lost")
    assert told(result, "platform") == [("omitted", "platform-lost", ARM)]
    allowed = judge(claims, scene, rule(allow_omitted="true"), sign=False)
    assert (verdict(allowed), told(allowed, "platform")) == (("verified", ""), [("note", "", ARM)])


def test_a_platform_of_the_original_that_was_left_out_of_the_bundle_is_lost_too(claims: Claims) -> None:
    scene = built(lambda scene: scene.patched.pop(ARM))
    result = judge(claims, scene, rule(allow_omitted="true"), platforms=(AMD,))
    assert (verdict(result), told(result, "platform")) == (("verified", ""), [("note", "", ARM)])


def say(**fields: Any) -> Callable[[Scene], None]:
    def bend(scene: Scene) -> None:
        scene.say = lambda derivation: replaced(derivation, **fields)

    return bend


def say_platforms(change: Callable[[Derivation], Any]) -> Callable[[Scene], None]:
    def bend(scene: Scene) -> None:
        scene.say = lambda derivation: replaced(derivation, platforms=tuple(change(derivation)))

    return bend


def crossed(derivation: Derivation) -> Any:
    """Each platform made from the other's original."""
    one, two = derivation.platforms
    return replaced(one, original=two.original), replaced(two, original=one.original)


def blind(report: bytes) -> bytes:
    """Of a scanner that no longer knows the distribution."""
    return json.dumps(json.loads(report) | {"Results": []}).encode()


UNTRUTHS: Mapping[str, tuple[Callable[[Scene], Any], str]] = {
    "a platform that it hides": (lambda scene: (scene.patched.pop(ARM), say(lost=())(scene)), "derivation-platforms"),
    "a platform that it invents as lost": (say(lost=("linux/s390x",)), "derivation-platforms"),
    "platforms crossed": (say_platforms(crossed), "derivation-platforms"),
    "platforms in another order": (say_platforms(lambda said: reversed(said.platforms)), "derivation-platforms"),
    "half of the platforms": (say_platforms(lambda said: said.platforms[:1]), "derivation-platforms"),
    "an original that nobody carries": (
        lambda scene: setattr(scene, "say", lambda said: replace_original(said, sha256_of(b"nobody"))),
        "derivation-original",
    ),
    "itself as its original": (
        lambda scene: setattr(scene, "say", lambda said: replace_original(said, said.image)),
        "derivation-original",
    ),
    "a report about another image": (
        lambda scene: scene.before.update({AMD: patched_scene().original[ARM].report(GONE)}),
        "scan-report-subject",
    ),
    "a report of the patched image as that of the original": (
        lambda scene: scene.before.update({AMD: scene.patched[AMD].report(GONE)}),
        "scan-report-subject",
    ),
    "a report after which nothing is looked at": (
        lambda scene: scene.after.update({AMD: blind(scene.patched[AMD].report(GONE))}),
        "scan-report-blind",
    ),
    "a report that is none": (lambda scene: scene.after.update({AMD: b"{}"}), "field-missing"),
    "a report with a key twice": (lambda scene: scene.after.update({AMD: b'{"a":1,"a":2}'}), "json-duplicate-key"),
}


@pytest.mark.parametrize("untruth", UNTRUTHS)
def test_a_statement_that_says_something_else(claims: Claims, untruth: str) -> None:
    bend, code = UNTRUTHS[untruth]
    result = judge(claims, built(bend))
    assert only(result, "derivation").code == code
    assert verdict(result) == ("rejected", code)


def test_a_manifest_under_two_platforms_is_refused(claims: Claims) -> None:
    """The second would run what nobody patched for it, and stands in no list of platforms."""
    scene = patched_scene()
    scene.further = lambda layout: [replace(scene.patched[AMD].add(layout), platform=parse_platform("linux/s390x"))]
    scene.build()
    assert verdict(judge(claims, scene)) == ("rejected", "derivation-platforms")


def test_a_statement_about_another_image(claims: Claims) -> None:
    """A true statement, hung onto another image."""
    honest, other = built(), patched_scene()
    swapped(other)
    other.layout = honest.layout
    other.key = honest.key
    top = other.patched[AMD].add(honest.layout)
    layers = [(honest.referrer.made[node.digest], node.media_type) for node in honest.referrer.nodes[2:]]
    honest.layout.name(replace(top, platform=None), f"{REPOSITORY}:other")
    honest.carry(bind_layers(layers, replace(top, platform=None)))
    inventory = claims.inventory((honest.layout, NAME), (honest.layout, f"{REPOSITORY}:other"))
    contents = {digest: honest.layout.read(digest) for digest in honest.layout.blobs}
    policy = rule().replace(PATCHED_NAME, f"{REPOSITORY}:other")
    bench = claims.bench(inventory, policy, contents)
    bench = replaced(bench, stream_keys=StreamKeys("main", (honest.key.public,)))
    assert verdict(judge_image(inventory.images[1], bench).result) == ("rejected", "subject-mismatch")


def test_a_statement_signed_by_another_key(claims: Claims) -> None:
    result = judge(claims, built(signer=generate_key()))
    assert verdict(result) == ("rejected", "stream-signature")
    assert {fact.code for fact in result.evidence if fact.kind == "attestation"} == {"stream-signature"}


def test_a_report_exchanged_behind_the_statement(claims: Claims) -> None:
    scene = patched_scene()
    scene.build()
    layers = [(scene.referrer.made[node.digest], node.media_type) for node in scene.referrer.nodes[2:]]
    layers[1] = (scene.original[AMD].report(), layers[1][1])
    scene.layout.entries.pop()
    scene.carry(bind_layers(layers, replace(scene.patched_top, platform=None)))
    assert verdict(judge(claims, scene)) == ("rejected", "derivation-documents")


def test_no_statement_at_all(claims: Claims) -> None:
    scene = built()
    scene.layout.entries.pop()
    assert verdict(judge(claims, scene)) == ("rejected", "derivation-missing")


def test_a_false_statement_does_not_hide_a_true_one(claims: Claims) -> None:
    scene = built()
    forged = patched_scene()
    forged.layout, forged.key = scene.layout, generate_key()
    forged.say = lambda derivation: replaced(derivation, had=())
    forged.layout.entries.clear()
    forged.build()
    scene.carry(scene.referrer)
    assert verdict(judge(claims, scene)) == ("verified", "")


def test_an_original_of_another_name_is_refused(claims: Claims) -> None:
    assert verdict(judge(claims, built(), rule(derived='["registry.example.org/other"]'))) == (
        "rejected", "derivation-name",
    )  # fmt: skip


def test_the_original_has_to_travel_with_it(claims: Claims) -> None:
    assert verdict(judge(claims, built(), images=(PATCHED_NAME,))) == ("rejected", "derivation-original")


def test_platforms_are_demanded_of_the_patched_image(claims: Claims) -> None:
    result = judge(claims, built(lambda scene: scene.patched.pop(ARM)), rule(platforms=f'["{ARM}"]'))
    assert ("missing", "platform-missing", ARM) in told(result, "platform")


@pytest.mark.parametrize("derived", ["[]", '""', '["team/*"]', "true", "[1]"])
def test_a_policy_with_another_derived_from_is_refused(derived: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_policy(rule(derived=derived).encode())
    assert caught.value.code == "policy"


def test_derived_from_alone_demands_nothing() -> None:
    text = f'format = 1\n[[rule]]\nimages = ["{PATCHED_NAME}"]\nderived_from = ["{NAME}"]\n'
    with pytest.raises(UsageError, match="it demands nothing"):
        parse_policy(text.encode())


def test_what_the_rule_demands_is_told() -> None:
    (only_rule,) = parse_policy(rule(platforms=f'["{AMD}"]').encode()).rules
    first, second, third = only_rule.demanded
    assert first == f"derived from {NAME}"
    assert second.endswith(", of the original")
    assert third == f"platform {AMD}"
