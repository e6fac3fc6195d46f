"""Roots: rotation, forks by retired keys, revocations that land although the bundle is refused, pins, two trust roots.

Each case through the whole verification, with exit code, reason, alarm, and what the site remembers
(DESIGN section 4, "Roots never fork", "What is written when"; THREATS I2, I3, I4, I5, T4, T5, T6, T10, F12, F13).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bundler.digest import sha256_of
from bundler.errors import TrustError
from bundler.strict_json import format_canonical
from bundler.vulnerability.recollection import recall
from tests.simulators.campaign import (
    DAY,
    KEYED,
    KEYLESS,
    NOW,
    START,
    TEAM_KEY,
    Campaign,
    tree_bytes,
    trust_of,
    verdict,
    with_trust,
)
from tests.simulators.deliveries import verify
from tests.simulators.tuf_repository import TufRepository, altered, relinked
from tests.simulators.tuf_site import but_for_the_log
from trust_root.kept import open_kept_content
from trust_root.keys import generate_key
from trust_root.metadata import format_metadata
from trust_root.pin import pin_root
from trust_root.reanchor import reanchor
from trust_root.site import load_site

ACCEPTED = (0, "")


@pytest.fixture
def world(tmp_path: Path) -> Campaign:
    return Campaign(tmp_path, "alpha", "beta")


def newest_root(world: Campaign) -> int:
    (pin,) = load_site(world.state).loaded.pins
    return max(pin.roots)


def rotate_holders(repository: TufRepository) -> None:
    """All three root holders get new keys: the new root has signatures of both sets; targets are signed anew."""
    repository.add_root(holders=[generate_key() for _ in range(3)])
    repository.publish()


# -- newer roots ------------------------------------------------------------------------------------------------------


def test_many_rotations_in_one_delivery(world: Campaign) -> None:
    """T6: a site that slept through forty rotations."""
    for _ in range(40):
        rotate_holders(world.repository)
    report = world.report(world.deliver("alpha"))
    assert verdict(report) == ACCEPTED
    assert report.trust is not None
    assert (report.trust.root_version, newest_root(world)) == (41, 41)


@pytest.mark.parametrize(
    "refusal", ["no policy", "damaged", "expired", "audience", "created in future", "rollback", "inventory"]
)
def test_newer_roots_land_even_if_the_bundle_is_refused(world: Campaign, refusal: str) -> None:
    """A revocation must land: whatever else is wrong with the bundle that carries it."""
    assert world.judge(world.deliver("beta")) == ACCEPTED
    before = load_site(world.state).loaded.pins[0].record
    clock, policy = NOW, "no rule"
    stale = world.repository.targets_raw()
    world.repository.add_root(START)
    if refusal == "rollback":
        world.repository.publish()
        assert world.judge(world.deliver("beta")) == ACCEPTED
        before = load_site(world.state).loaded.pins[0].record
        world.repository.add_root(START)
        world.repository.streams["alpha"].targets_raw = stale
    made_at = {"created in future": NOW + 2 * DAY}.get(refusal, START)
    bundle = world.deliver("alpha", at=made_at, audience=["harbour"] if refusal == "audience" else [])
    raw = bundle.read_bytes()
    expected = {
        "no policy": (1, "no-policy"),
        "damaged": (3, "blob-digest"),
        "expired": (4, "expired"),
        "audience": (4, "audience"),
        "created in future": (4, "created-in-future"),
        "rollback": (4, "rollback"),
        "inventory": (4, "inventory-digest"),
    }[refusal]
    if refusal == "damaged":
        raw = raw.replace(b"the only layer", b"the 0nly layer")
    if refusal == "inventory":
        raw = raw.replace(b'"tool":"sealift', b'"tool":"Sealift')
    if refusal == "expired":
        clock = START + 400 * DAY
    bundle = world.write(raw)
    report = verify(bundle, world.state, None, clock=clock).report if policy == "no rule" else world.report(bundle)
    assert verdict(report) == expected
    after = load_site(world.state).loaded.pins[0].record
    assert len(after.roots) == len(before.roots) + 1
    assert (after.targets, after.online, after.streams) == (before.targets, before.online, before.streams)
    assert world.alarms() == []


def test_a_refused_bundles_root_revokes_at_once(world: Campaign) -> None:
    """The second half of the rule: what has landed counts for the next bundle."""
    one = world.deliver("alpha")
    assert world.judge(one) == ACCEPTED
    stolen = world.double("alpha")
    world.repository.rotate_stream("alpha")
    assert world.judge(world.deliver("beta"), None) == (1, "no-policy")
    assert world.judge(stolen.deliver(world.source(), at=NOW)) == (4, "no-longer-accepted")
    assert world.judge(one) == (4, "no-longer-accepted")


def test_roots_of_a_bundle_whose_root_chain_is_broken_do_not_land(world: Campaign) -> None:
    world.repository.add_root()
    world.repository.add_root()
    bundle = world.deliver("alpha")
    files = trust_of(bundle.read_bytes())
    files["metadata/3.root.json"] = altered(files["metadata/3.root.json"], lambda _: None, world.repository.holders[:1])
    before = world.state_bytes()
    assert world.judge(world.write(with_trust(bundle.read_bytes(), files))) == (4, "threshold")
    assert world.state_bytes() == before


# -- root chains that do not hold -------------------------------------------------------------------------------------


def refused_root(world: Campaign, number: int, raw: bytes) -> tuple[int, str]:
    """The verdict on alpha's next bundle with another root `number`; nothing may be remembered of it."""
    bundle = world.deliver("alpha")
    files = {**trust_of(bundle.read_bytes()), f"metadata/{number}.root.json": raw}
    before = world.state_bytes()
    result = world.judge(world.write(with_trust(bundle.read_bytes(), files)))
    assert world.state_bytes() == before
    return result


def test_a_root_signed_only_by_its_own_new_keys(world: Campaign) -> None:
    holders = [generate_key() for _ in range(3)]
    raw = world.repository.add_root(holders=holders, signers=holders)
    assert refused_root(world, 2, raw) == (4, "threshold")


def test_a_root_signed_only_by_the_old_keys(world: Campaign) -> None:
    old = world.repository.holders
    raw = world.repository.add_root(holders=[generate_key() for _ in range(3)], signers=old)
    assert refused_root(world, 2, raw) == (4, "threshold")


def test_a_root_below_the_threshold(world: Campaign) -> None:
    raw = world.repository.add_root(signers=world.repository.holders[:1])
    assert refused_root(world, 2, raw) == (4, "threshold")


def test_a_root_with_a_strangers_signature_beside_enough_good_ones(world: Campaign) -> None:
    raw = world.repository.add_root(signers=[*world.repository.holders, generate_key()])
    assert refused_root(world, 2, raw) == (4, "metadata-signature")


def test_one_key_under_two_ids_counts_once(world: Campaign) -> None:
    """Thresholds count key material: python-tuf counts ids, and 2 of 2 would be met by one key there."""
    one = world.repository.holders[0]
    alias = "f" * 64

    def double(signed: dict[str, dict[str, dict[str, list[str]]]]) -> None:
        signed["keys"][alias] = signed["keys"][one.public.keyid]
        signed["roles"]["root"]["keyids"] = sorted([alias, one.public.keyid])

    raw = world.repository.add_root()
    signed = json.loads(raw)["signed"]
    double(signed)
    payload = format_canonical(signed)
    signatures = {key.public.keyid: key.sign(payload) for key in world.repository.holders[:2]}
    signatures[alias] = one.sign(payload)
    assert refused_root(world, 2, format_metadata(signed, signatures)) == (4, "threshold")


def test_a_root_with_another_version_than_its_name(world: Campaign) -> None:
    raw = world.repository.add_root()
    skipped = altered(raw, lambda signed: signed.update(version=3), world.repository.holders[:2])
    assert refused_root(world, 2, skipped) == (4, "version-mismatch")


def test_another_first_root_is_no_pin(world: Campaign) -> None:
    """The pin never comes from the bundle."""
    raw = altered(world.repository.pin, lambda _: None, world.repository.holders)
    assert raw != world.repository.pin
    assert refused_root(world, 1, raw) == (4, "pin-not-in-bundle")


def test_a_whole_trust_root_of_the_attackers_own(world: Campaign, tmp_path: Path) -> None:
    other = Campaign(tmp_path / "other", "alpha")
    for historic in (False, True):
        assert world.judge(other.deliver("alpha"), historic=historic) == (4, "pin-not-in-bundle")
    assert world.judge(other.deliver("alpha"), at=NOW) == (4, "pin-not-in-bundle")


# -- forks ------------------------------------------------------------------------------------------------------------


def forked(world: Campaign, *, publish: bool = True) -> TufRepository:
    """What the holders of root 1's keys can make after these keys were retired by the genuine root 2."""
    thief = world.repository.fork()
    rotate_holders(world.repository)
    rotate_holders(thief)
    if not publish:
        thief.targets_version -= 1
    return thief


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_fork_by_retired_keys_is_an_alarm_and_nothing_persists(world: Campaign, length: int) -> None:
    thief = forked(world)
    for _ in range(length - 1):
        rotate_holders(thief)
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    before = world.state_bytes()
    stolen = world.double("beta", repository=thief).deliver(world.source())
    assert world.judge(stolen) == (4, "root-fork")
    assert world.alarms() == ["root-fork"]
    after = world.state_bytes()
    assert but_for_the_log(after) == but_for_the_log(before)
    assert newest_root(world) == 2
    assert world.judge(world.deliver("beta")) == ACCEPTED


def test_a_fork_is_seen_even_if_the_genuine_root_came_with_a_refused_bundle(world: Campaign) -> None:
    thief = forked(world)
    assert world.judge(world.deliver("alpha"), None) == (1, "no-policy")
    stolen = world.double("beta", repository=thief).deliver(world.source())
    assert world.judge(stolen) == (4, "root-fork")


def test_a_fork_in_front_of_the_genuine_roots_is_seen_when_these_come(world: Campaign) -> None:
    """The thief was faster: then the genuine bundle raises the alarm, and the site stays where it is."""
    thief = forked(world)
    assert world.judge(world.double("beta", repository=thief).deliver(world.source())) == ACCEPTED
    assert world.judge(world.deliver("alpha")) == (4, "root-fork")
    assert world.alarms() == ["root-fork"]


@pytest.mark.parametrize("knobs", [{"read_only": True}, {"at": NOW}, {"historic": True}], ids=str)
def test_a_fork_is_refused_in_every_mode(world: Campaign, knobs: dict[str, object]) -> None:
    thief = forked(world)
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    before = world.state_bytes()
    stolen = world.double("beta", repository=thief).deliver(world.source())
    assert world.judge(stolen, **knobs) == (4, "root-fork")
    assert (world.state_bytes() == before) == ("historic" not in knobs)


def test_a_fork_leaves_no_trace_of_its_roots_even_if_the_rest_is_broken(world: Campaign) -> None:
    thief = forked(world)
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    contents = tree_bytes(world.state / "content")
    stolen = world.double("beta", repository=thief).deliver(world.source())
    assert world.judge(world.write(stolen.read_bytes()[:-4096])) == (4, "root-fork")
    assert tree_bytes(world.state / "content") == contents


def test_targets_of_one_version_published_twice_are_an_alarm(world: Campaign) -> None:
    twin = world.repository.fork()
    world.repository.publish(policies__one_dot_toml=b"format = 1")
    twin.publish(policies__two_dot_toml=b"format = 1")
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    assert world.judge(world.double("beta", repository=twin).deliver(world.source())) == (4, "targets-fork")
    assert world.alarms() == ["targets-fork"]


# -- targets across a rotation ----------------------------------------------------------------------------------------


def test_one_retired_holder_does_not_let_older_targets_come_back(world: Campaign) -> None:
    """Targets 2 revoke a key and are signed by holders a and c; root 2 retires c, so their signatures no longer hold.

    Targets 1, signed by a and b, still do: without a memory of the version, one exporter could bring the key back.
    """
    a, b, c = world.repository.holders
    older = world.repository.targets_raw()
    world.repository.holders = [a, c, b]
    world.repository.publish(remove=[TEAM_KEY])
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    world.repository.holders = [a, b, c]
    world.repository.add_root(holders=[a, b, generate_key()], signers=[a, b])
    back = world.repository.fork()
    back.contents[TEAM_KEY] = world.team.public_pem.encode()
    back.streams["beta"].targets_raw = older
    before = load_site(world.state).loaded.pins[0].record
    bundle = world.double("beta", repository=back).deliver(world.source())
    assert world.judge(bundle) == (4, "rollback")
    assert load_site(world.state).loaded.pins[0].record.targets == before.targets
    world.repository.publish()
    assert world.judge(world.deliver("beta")) == ACCEPTED


def test_a_carrier_cannot_bring_a_revoked_key_back_with_an_accepted_bundle(world: Campaign) -> None:
    """The same, without any exporter's help: the root lands with a refused bundle, then an accepted one is replayed."""
    a, b, c = world.repository.holders
    beta = world.deliver("beta", keyed=True)
    assert world.judge(beta, KEYED) == ACCEPTED
    world.repository.holders = [a, c, b]
    world.repository.publish(remove=[TEAM_KEY])
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    assert world.judge(beta, KEYED) == (1, "key-unknown")
    world.repository.holders = [a, b, c]
    world.repository.add_root(holders=[a, b, generate_key()], signers=[a, b])
    world.repository.publish()
    assert world.judge(world.deliver("alpha"), None) == (1, "no-policy")
    assert newest_root(world) == 2
    assert world.judge(beta, KEYED) == (1, "key-unknown")
    (held,) = load_site(world.state).loaded.pins
    assert held.record.targets is not None
    assert held.record.targets[0] == 2


def test_targets_can_recover_from_a_fast_forward_by_retired_keys(world: Campaign) -> None:
    """T5: thieves of a whole threshold signed the last version that there is; the holders that follow start anew."""
    world.repository.targets_version = 2**53 - 1
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    world.repository.targets_version = 1
    rotate_holders(world.repository)
    assert world.judge(world.deliver("beta")) == ACCEPTED
    assert load_site(world.state).loaded.pins[0].record.targets is not None


# -- several pins -----------------------------------------------------------------------------------------------------


def test_two_trust_roots_beside_each_other(world: Campaign, tmp_path: Path) -> None:
    other = Campaign(tmp_path / "other", "alpha")
    foreign = other.deliver("alpha")
    assert world.judge(foreign) == (4, "pin-not-in-bundle")
    pin_root(world.state, other.repository.pin, sha256_of(other.repository.pin), NOW, add=True)
    assert world.judge(foreign) == ACCEPTED
    assert world.judge(world.deliver("alpha")) == ACCEPTED  # the same stream name below another pin: another stream
    assert world.judge(other.deliver("alpha")) == ACCEPTED
    assert world.judge(foreign) == (4, "superseded")


def test_one_trust_roots_material_does_not_judge_anothers_evidence(world: Campaign, tmp_path: Path) -> None:
    other = Campaign(tmp_path / "other", "alpha")
    pin_root(world.state, other.repository.pin, sha256_of(other.repository.pin), NOW, add=True)
    other.repository.publish(remove=[TEAM_KEY])
    assert world.judge(other.deliver("alpha")) == ACCEPTED
    keyed = world.deliver("alpha", keyed=True)
    report = world.report(
        keyed, 'format = 1\n[[rule]]\nimages = ["registry.example.org/app"]\n[[rule.signature]]\nkey = "team"'
    )
    assert verdict(report) == ACCEPTED


def test_a_rule_may_name_the_pin_beside_the_stream(world: Campaign, tmp_path: Path) -> None:
    """A stream is a name, which anybody may take who holds another root that this site has pinned."""
    other = Campaign(tmp_path / "other", "alpha")
    pins = [sha256_of(each.repository.pin) for each in (world, other)]
    pin_root(world.state, other.repository.pin, pins[1], NOW, add=True)
    bundles = world.deliver("alpha"), other.deliver("alpha")

    def judged(*keys: str) -> list[tuple[tuple[int, str], bool]]:
        policy = "\n".join(["format = 1", "[[rule]]", 'stream = "alpha"', *keys, KEYLESS.partition("[[rule]]")[2]])
        reports = [world.report(bundle, policy) for bundle in bundles]
        return [(verdict(each), any("names no pin" in line for line in each.weakened)) for each in reports]

    held, refused = (ACCEPTED, False), ((1, "no-rule"), False)
    assert judged() == [(ACCEPTED, True)] * 2
    assert judged(f'pin = "{pins[0]}"') == [held, refused]
    assert judged(f'pin = "{pins[1]}"') == [refused, held]
    assert judged(f'pin = "{sha256_of(b"nobody")}"') == [refused] * 2


def test_a_pin_in_a_rule_that_was_given_up_is_its_successors(world: Campaign, tmp_path: Path) -> None:
    """What was accepted below it is judged by the one in its place, which the rule has to name."""
    other = Campaign(tmp_path / "other", "alpha")
    old, new = (sha256_of(each.repository.pin) for each in (world, other))
    bundle = world.deliver("alpha")
    policy = KEYLESS.replace("[[rule]]", f'[[rule]]\npin = "{old}"')
    assert world.judge(bundle, policy) == ACCEPTED
    reanchor(world.state, other.repository.pin, new, NOW, operators=("A", "B"), reason="lost")
    assert world.judge(bundle, policy, historic=True) == (1, "no-rule")
    assert world.judge(bundle, policy.replace(str(old), str(new)), historic=True) == ACCEPTED


def test_two_pins_of_one_trust_root_share_one_memory(world: Campaign) -> None:
    """A later root pinned beside the first one: no older bundle is new again below the other pin."""
    older = [world.deliver("alpha"), world.deliver("alpha")]
    assert world.judge(older[0]) == ACCEPTED
    world.repository.rotate_stream("alpha")
    newest = world.deliver("alpha")
    root = world.repository.roots[1]
    pin_root(world.state, root, sha256_of(root), NOW, add=True)
    assert world.judge(newest) == ACCEPTED
    assert world.judge(older[1]) == (4, "no-longer-accepted")
    assert world.judge(older[0]) == (4, "superseded")
    report = world.report(newest)
    assert report.trust is not None
    assert report.trust.standing == "already-accepted"


def test_a_later_root_as_pin(tmp_path: Path) -> None:
    world = Campaign(tmp_path, "alpha", "beta")
    rotate_holders(world.repository)
    rotate_holders(world.repository)
    state = tmp_path / "late"
    pin_root(state, world.repository.roots[1], sha256_of(world.repository.roots[1]), NOW, site_name="plant")
    world.state = state
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    old = world.repository.fork()
    old.roots = old.roots[:1]
    old.targets_version = 1
    assert world.judge(world.deliver("beta")) == ACCEPTED


def test_a_bundle_without_the_pinned_version(tmp_path: Path) -> None:
    world = Campaign(tmp_path, "alpha", "beta")
    behind = world.deliver("alpha")
    rotate_holders(world.repository)
    state = tmp_path / "late"
    pin_root(state, world.repository.roots[1], sha256_of(world.repository.roots[1]), NOW, site_name="plant")
    world.state = state
    assert world.judge(behind) == (4, "pin-not-in-bundle")


# -- hostile state ----------------------------------------------------------------------------------------------------


def judge_and_recall(world: Campaign, bundle: Path) -> None:
    """All that reads the state: a verification, and what looks into the contents that are kept for later scans."""
    world.judge(bundle)
    site = load_site(world.state)
    for delivery in recall(site).deliveries:
        for paper in (paper for image in delivery.images for paper in image.papers):
            with open_kept_content(site, paper.content) as stream:
                stream.read()


def test_every_edited_state_file_is_noticed(world: Campaign) -> None:
    """I5: nothing of the state is believed because it lies there."""
    rotate_holders(world.repository)
    bundle = world.deliver("alpha")
    assert world.judge(bundle) == ACCEPTED
    for path in sorted(path for path in world.state.rglob("*") if path.is_file()):
        raw = path.read_bytes()
        if path.name in ("lock", "site.toml"):
            continue
        for position in (0, len(raw) // 2, len(raw) - 1):
            path.write_bytes(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :])
            with pytest.raises(TrustError) as error:
                judge_and_recall(world, bundle)
            assert error.value.code == "state-damaged", path.name
        path.unlink()
        with pytest.raises(TrustError) as error:
            judge_and_recall(world, bundle)
        assert error.value.code in ("state-damaged", "no-pin"), path.name
        path.write_bytes(raw)
    assert world.judge(bundle) == ACCEPTED


def test_a_state_put_back_from_an_old_copy_is_noticed(world: Campaign, tmp_path: Path) -> None:
    one, two = world.deliver("alpha"), world.deliver("alpha")
    assert world.judge(one) == ACCEPTED
    old = (world.state / "state.json").read_bytes()
    assert world.judge(two) == ACCEPTED
    (world.state / "state.json").write_bytes(old)
    with pytest.raises(TrustError) as error:
        world.judge(one)
    assert error.value.code == "state-damaged"


def test_a_state_copied_to_another_site_keeps_its_name(world: Campaign, tmp_path: Path) -> None:
    """T10: the name travels with the folder, so what is meant for one site is not silently accepted at two names."""
    copy = tmp_path / "copied"
    shutil.copytree(world.state, copy)
    bundle = world.deliver("alpha", audience=["harbour"])
    assert verdict(verify(bundle, copy, None).report) == (4, "audience")
    own, bundle = load_site(copy).name, world.deliver("alpha")
    assert verdict(verify(bundle, copy, f'site = "{own}-2"\n{KEYLESS}').report) == (4, "policy-site")
    assert verdict(verify(bundle, copy, f'site = "{own}"\n{KEYLESS}').report) == (0, "")


def test_relinked_metadata_by_the_exporter_alone_cannot_change_targets(world: Campaign) -> None:
    """The exporter's key signs snapshot and timestamp; targets have the holders' threshold."""
    bundle = world.deliver("alpha")
    key = world.repository.streams["alpha"].key
    files = trust_of(bundle.read_bytes())
    name = next(name for name in files if name.endswith("targets.json"))
    for signers in ([key], world.repository.holders[:1], [key, *world.repository.holders[:2]]):
        files[name] = altered(files[name], lambda _: None, signers)
        code, reason = world.judge(world.write(with_trust(bundle.read_bytes(), relinked(files, key))))
        assert (code, reason) in ((4, "metadata-signature"), (4, "threshold"))
