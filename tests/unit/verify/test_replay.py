"""Replay, gaps, equivocation, borrowed inventories: what a carrier or an exporter can do with bundles that are genuine.

Each case through the whole verification, with exit code and reason, and with what the site then remembers
(DESIGN section 4; THREATS M11, M12, M13, I1, I2, I20, F13, F16).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.campaign import (
    DAY,
    KEYED,
    NOW,
    START,
    TEAM_KEY,
    TRUSTED_ROOT,
    Campaign,
    Part,
    changed,
    split,
    trust_of,
    verdict,
    with_trust,
)
from tests.simulators.sigstore_keys import AT
from tests.simulators.sigstore_keys import START as SIGSTORE_START
from tests.simulators.tuf_repository import altered, relinked
from tests.simulators.tuf_site import but_for_the_log

ACCEPTED = (0, "")
MARCH = AT - DAY
UNLOGGED = KEYED + "insecure_ignore_tlog = true\n"  # so that a bundle can land while the log is closed


@pytest.fixture
def world(tmp_path: Path) -> Campaign:
    return Campaign(tmp_path, "alpha", "beta")


def last_log_line(world: Campaign) -> dict[str, Any]:
    line: dict[str, Any] = json.loads((world.state / "log.jsonl").read_text().splitlines()[-1])
    return line


# -- one stream -------------------------------------------------------------------------------------------------------


def test_first_next_and_the_same_again(world: Campaign) -> None:
    one, two = world.deliver("alpha"), world.deliver("alpha")
    said = []
    for bundle in (one, two, two):
        report = world.report(bundle)
        assert verdict(report) == ACCEPTED
        assert report.trust is not None
        said.append((report.trust.standing, report.trust.accepted_at, report.trust.recorded))
    assert said == [
        ("first", None, "recorded at this site"),
        ("next", None, "recorded at this site"),
        ("already-accepted", NOW, "recorded at this site"),
    ]


def test_the_same_again_a_week_later_tells_the_first_day_and_changes_nothing(world: Campaign) -> None:
    bundle = world.deliver("alpha")
    assert world.judge(bundle) == ACCEPTED
    before = world.state_bytes()
    report = world.report(bundle, clock=NOW + 7 * DAY)
    assert verdict(report) == ACCEPTED
    assert report.trust is not None
    assert report.trust.accepted_at == NOW
    assert world.state_bytes() == before


def test_every_older_bundle_after_every_newer_one(tmp_path: Path) -> None:
    """F16: accepted before → superseded; never accepted → refused as such."""
    world = Campaign(tmp_path, "alpha")
    bundles = [world.deliver("alpha") for _ in range(6)]
    newest = -1
    accepted: list[int] = []
    for number in (1, 2, 5):
        assert world.judge(bundles[number]) == ACCEPTED
        accepted.append(number)
        newest = number
        before = world.state_bytes()
        for older in range(newest):
            expected = "superseded" if older in accepted else "never-accepted"
            assert world.judge(bundles[older]) == (4, expected)
            assert world.state_bytes() == before


def test_an_older_accepted_one_passes_as_historic_and_nothing_is_recorded(world: Campaign) -> None:
    one, two = world.deliver("alpha"), world.deliver("alpha")
    assert world.judge(one) == ACCEPTED
    assert world.judge(two, clock=NOW + DAY) == ACCEPTED
    before = world.state_bytes()
    report = world.report(one, clock=NOW + 2 * DAY, historic=True)
    assert verdict(report) == ACCEPTED
    assert report.trust is not None
    assert (report.trust.standing, report.trust.accepted_at) == ("historic", NOW)
    assert report.trust.recorded == "historic: nothing was recorded"
    assert report.weakened == ("--historic: an older delivery of this stream may pass",)
    assert world.state_bytes() == before
    assert world.judge(one, clock=NOW + 2 * DAY) == (4, "superseded")


def test_historic_does_not_admit_what_was_never_accepted(world: Campaign) -> None:
    one, two = world.deliver("alpha"), world.deliver("alpha")
    assert world.judge(two) == ACCEPTED
    before = world.state_bytes()
    assert world.judge(one, historic=True) == (4, "never-accepted")
    assert world.state_bytes() == before


def test_historic_changes_nothing_for_new_bundles(world: Campaign) -> None:
    assert world.judge(world.deliver("alpha"), historic=True) == ACCEPTED
    report = world.report(world.deliver("alpha"), historic=True)
    assert report.trust is not None
    assert (report.trust.standing, report.trust.recorded) == ("next", "recorded at this site")


def test_a_historic_one_passes_though_its_key_was_rotated_since(world: Campaign) -> None:
    one = world.deliver("alpha")
    assert world.judge(one) == ACCEPTED
    world.repository.rotate_stream("alpha")
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    before = world.state_bytes()
    assert world.judge(one) == (4, "superseded")
    assert world.judge(one, historic=True) == ACCEPTED
    assert world.state_bytes() == before


def test_first_delivery_may_have_any_sequence(world: Campaign) -> None:
    for _ in range(4):
        latest = world.deliver("alpha")
    report = world.report(latest)
    assert verdict(report) == ACCEPTED
    assert report.trust is not None
    assert (report.trust.standing, report.trust.warnings) == ("first", ())


@pytest.mark.parametrize(
    ("skipped", "words"), [(1, "sequence 2 of stream alpha"), (3, "sequences 2 to 4 of stream alpha")]
)
def test_a_gap_is_a_warning_that_names_what_is_missing(world: Campaign, skipped: int, words: str) -> None:
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    lost = [world.deliver("alpha") for _ in range(skipped)]
    report = world.report(world.deliver("alpha"))
    assert verdict(report) == ACCEPTED
    assert report.trust is not None
    assert report.trust.warnings == (("gap", f"gap: {words} never arrived here"),)
    assert last_log_line(world)["warnings"] == [f"gap: {words} never arrived here"]
    for bundle in lost:
        assert world.judge(bundle) == (4, "never-accepted")


# -- equivocation -----------------------------------------------------------------------------------------------------


def test_same_sequence_with_another_inventory_is_an_alarm(world: Campaign) -> None:
    twin = world.double("alpha")
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    before = world.state_bytes()
    stolen = twin.deliver(world.source(), at=START + DAY / 2)
    assert world.judge(stolen) == (4, "equivocation")
    assert world.alarms() == ["equivocation"]
    after = world.state_bytes()
    assert but_for_the_log(after) == but_for_the_log(before)


def test_next_sequence_on_another_history_is_an_alarm(world: Campaign) -> None:
    twin = world.double("alpha")
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    twin.deliver(world.source(), at=START + DAY / 2)
    assert world.judge(twin.deliver(world.source())) == (4, "equivocation")
    assert world.alarms() == ["equivocation"]


def test_an_older_sequence_that_the_accepted_one_does_not_name_is_an_alarm(world: Campaign) -> None:
    twin = world.double("alpha")
    world.deliver("alpha")
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    assert world.judge(twin.deliver(world.source(), at=START + DAY / 2)) == (4, "equivocation")


def test_a_later_sequence_that_names_the_newest_as_previous_is_an_alarm(world: Campaign) -> None:
    """A number skipped on purpose: sequence 3 that follows sequence 1."""
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    exporter = world.exporter("alpha")
    exporter.sequence += 1
    assert world.judge(world.deliver("alpha")) == (4, "equivocation")


def test_one_stream_version_signed_twice_is_an_alarm(world: Campaign) -> None:
    """The second file of that version carries another sequence, but the key has signed two histories all the same."""
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    world.repository.streams["alpha"].version -= 1
    assert world.judge(world.deliver("alpha")) == (4, "equivocation")


def test_equivocation_is_an_alarm_under_a_typed_time_too_but_is_not_logged(world: Campaign) -> None:
    twin = world.double("alpha")
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    before = world.state_bytes()
    stolen = twin.deliver(world.source(), at=START + DAY / 2)
    assert world.judge(stolen, at=NOW) == (4, "equivocation")
    assert world.judge(stolen, read_only=True) == (4, "equivocation")
    assert world.state_bytes() == before


def test_one_history_offered_twice_to_two_sites_is_seen_by_neither(world: Campaign, tmp_path: Path) -> None:
    """What a site cannot know: the limit of a memory of one's own. The digest in the report is for comparing."""
    twin = world.double("alpha")
    one, other = world.deliver("alpha"), twin.deliver(world.source(), at=START + DAY / 2)
    assert world.judge(one) == ACCEPTED
    elsewhere = Campaign(tmp_path / "elsewhere", "alpha")
    assert elsewhere.judge(other) == (4, "pin-not-in-bundle")


# -- two streams ------------------------------------------------------------------------------------------------------


def test_two_streams_interleaved_are_no_rollback(world: Campaign) -> None:
    """Beta's folder is far behind alpha's in timestamp and snapshot versions; each key has its own count."""
    alphas = [world.deliver("alpha") for _ in range(4)]
    betas = [world.deliver("beta") for _ in range(3)]
    for bundle in (alphas[0], alphas[1], betas[0], alphas[2], betas[1], betas[1], alphas[3], betas[2], alphas[3]):
        assert world.judge(bundle) == ACCEPTED
    assert world.judge(alphas[1]) == (4, "superseded")
    assert world.judge(betas[0]) == (4, "superseded")


def test_a_lower_version_of_targets_is_refused(world: Campaign) -> None:
    stale = world.repository.targets_raw()
    world.repository.publish()
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    world.repository.streams["beta"].targets_raw = stale
    before = world.state_bytes()
    assert world.judge(world.deliver("beta")) == (4, "rollback")
    assert world.state_bytes() == before
    world.repository.streams["beta"].targets_raw = None
    assert world.judge(world.deliver("beta")) == ACCEPTED


def test_a_lower_version_of_root_is_refused(world: Campaign) -> None:
    behind = world.repository.fork()
    world.repository.add_root()
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    before = world.state_bytes()
    assert world.judge(world.double("beta", repository=behind).deliver(world.source())) == (4, "rollback")
    assert world.state_bytes() == before
    assert world.judge(world.deliver("beta")) == ACCEPTED


@pytest.mark.parametrize("role", ["version", "snapshot_version", "timestamp_version"])
def test_a_lower_version_by_the_same_key_is_refused(world: Campaign, role: str) -> None:
    for _ in range(3):
        bundle = world.deliver("alpha")
    assert world.judge(bundle) == ACCEPTED
    stream = world.repository.streams["alpha"]
    setattr(stream, role, getattr(stream, role) - 2)
    before = world.state_bytes()
    assert world.judge(world.deliver("alpha")) == (4, "rollback")
    assert world.state_bytes() == before


def test_the_same_again_after_another_stream_moved_targets_on(world: Campaign) -> None:
    one = world.deliver("alpha")
    assert world.judge(one) == ACCEPTED
    world.repository.publish(policies__old_dot_toml=b"format = 1")
    assert world.judge(world.deliver("beta")) == ACCEPTED
    before = world.state_bytes()
    report = world.report(one)
    assert verdict(report) == ACCEPTED
    assert report.trust is not None
    assert report.trust.standing == "already-accepted"
    assert world.state_bytes() == before


@pytest.mark.parametrize("where", ["root and targets", "targets only"])
def test_the_same_again_is_refused_when_its_stream_was_revoked(world: Campaign, where: str) -> None:
    one = world.deliver("alpha")
    assert world.judge(one) == ACCEPTED
    gone = world.repository.streams.pop("alpha")
    if where == "root and targets":
        world.repository.add_root()
    world.repository.publish()
    assert world.judge(world.deliver("beta")) == ACCEPTED
    before = world.state_bytes()
    assert world.judge(one) == (4, "no-longer-accepted")
    assert world.judge(one, historic=True) == ACCEPTED
    world.repository.streams["alpha"] = gone
    assert world.state_bytes() == before


def test_a_new_bundle_of_a_revoked_stream_is_refused(world: Campaign) -> None:
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    stolen = world.double("alpha")
    world.repository.revoke_stream("alpha")
    assert world.judge(world.deliver("beta")) == ACCEPTED
    before = world.state_bytes()
    assert world.judge(stolen.deliver(world.source())) == (4, "no-longer-accepted")
    assert world.judge(stolen.deliver(world.source()), historic=True) == (4, "no-longer-accepted")
    assert world.state_bytes() == before


def test_a_stolen_retired_key_signs_nothing_that_passes(world: Campaign) -> None:
    assert world.judge(world.deliver("alpha")) == ACCEPTED
    stolen = world.double("alpha")
    world.repository.rotate_stream("alpha")
    genuine = world.deliver("alpha")
    assert world.judge(genuine) == ACCEPTED
    before = world.state_bytes()
    assert world.judge(stolen.deliver(world.source(), at=START + DAY / 2)) == (4, "equivocation")
    stolen.sequence, stolen.previous = 2, world.exporter("alpha").previous
    stolen.repository.streams["alpha"].version += 10
    assert world.judge(stolen.deliver(world.source())) == (4, "no-longer-accepted")
    assert but_for_the_log(world.state_bytes()) == but_for_the_log(before)


def test_a_stolen_retired_key_under_the_new_root_is_a_signature_by_a_stranger(world: Campaign) -> None:
    """The thief has the new root and targets too, and signs the rest with the old key."""
    old = world.repository.rotate_stream("alpha")
    thief = world.repository.fork()
    thief.streams["alpha"].key = old
    genuine = trust_of(world.deliver("alpha").read_bytes())
    bundle = world.double("alpha", repository=thief).deliver(world.source())
    files = trust_of(bundle.read_bytes())
    targets = next(name for name in files if name.endswith("targets.json"))
    files[targets] = genuine[targets]
    altered_bundle = world.write(with_trust(bundle.read_bytes(), relinked(files, old)))
    assert world.judge(altered_bundle) == (4, "metadata-signature")


# -- another exporter's inventory -------------------------------------------------------------------------------------


def test_an_inventory_that_names_another_stream_is_refused(world: Campaign) -> None:
    assert world.judge(world.deliver("alpha", change=changed(stream="beta"))) == (4, "stream-mismatch")


def test_another_exporters_inventory_copied_byte_for_byte_is_refused(world: Campaign) -> None:
    """Beta signs alpha's inventory as its own next one."""
    genuine = world.deliver("alpha")
    raw = next(part for part in _parts(genuine) if part.name == "inventory.json")
    inventory = raw.content[: raw.size_bytes]
    world.repository.export("beta", inventory, sequence=1)
    stolen = with_trust(genuine.read_bytes(), world.repository.files("beta"))
    before = world.state_bytes()
    assert world.judge(world.write(stolen)) == (4, "stream-mismatch")
    assert world.state_bytes() == before
    assert world.judge(genuine) == ACCEPTED


def test_a_path_of_another_stream_is_refused(world: Campaign) -> None:
    bundle = world.deliver("alpha")

    def repath(signed: dict[str, Any]) -> None:
        (target,) = signed["targets"].values()
        signed["targets"] = {"bundles/beta/1.json": target}

    assert judge_resigned(world, bundle, "alpha", repath) == (4, "delegation")


def test_a_sequence_in_the_path_that_the_inventory_does_not_have_is_refused(world: Campaign) -> None:
    bundle = world.deliver("alpha")

    def repath(signed: dict[str, Any]) -> None:
        (target,) = signed["targets"].values()
        signed["targets"] = {"bundles/alpha/7.json": target}

    assert judge_resigned(world, bundle, "alpha", repath) == (4, "sequence-mismatch")


def test_another_inventorys_digest_in_the_metadata_is_refused(world: Campaign) -> None:
    bundle = world.deliver("alpha")

    def redigest(signed: dict[str, Any]) -> None:
        (target,) = signed["targets"].values()
        target["hashes"]["sha256"] = "0" * 64

    assert judge_resigned(world, bundle, "alpha", redigest) == (4, "inventory-digest")


def test_another_inventorys_length_in_the_metadata_is_refused(world: Campaign) -> None:
    """The header of inventory.json is derived from the signed length, so this is seen before its content is read."""
    bundle = world.deliver("alpha")

    def relength(signed: dict[str, Any]) -> None:
        (target,) = signed["targets"].values()
        target["length"] += 1

    assert judge_resigned(world, bundle, "alpha", relength) == (3, "header")


def test_a_stream_role_signed_by_another_exporter_is_refused(world: Campaign) -> None:
    """Beta's online key may sign timestamp and snapshot, but alpha's role has alpha's key."""
    bundle = world.deliver("alpha")
    files = trust_of(bundle.read_bytes())
    beta = world.repository.streams["beta"].key
    name = next(name for name in files if name.endswith(".alpha.json"))
    files[name] = altered(files[name], lambda _: None, [beta])
    changed_bundle = world.write(with_trust(bundle.read_bytes(), relinked(files, beta)))
    assert world.judge(changed_bundle) == (4, "metadata-signature")


def test_another_exporter_can_pass_on_a_genuine_inventory_only_as_what_it_is(world: Campaign) -> None:
    """Beta may sign a snapshot that lists alpha's own role: that is a replay of alpha's words, judged as alpha's."""
    one, two = world.deliver("alpha"), world.deliver("alpha")
    beta = world.repository.streams["beta"].key
    wrapped = [
        world.write(with_trust(bundle.read_bytes(), relinked(trust_of(bundle.read_bytes()), beta)), name)
        for bundle, name in ((one, "wrapped-1"), (two, "wrapped-2"))
    ]
    assert world.judge(two) == ACCEPTED
    report = world.report(wrapped[1])
    assert verdict(report) == ACCEPTED
    assert report.trust is not None
    assert report.trust.standing == "already-accepted"
    assert world.judge(wrapped[0]) == (4, "never-accepted")


def test_a_role_signed_by_both_the_right_key_and_a_stranger_is_refused(world: Campaign) -> None:
    bundle = world.deliver("alpha")
    files = trust_of(bundle.read_bytes())
    alpha, beta = (world.repository.streams[name].key for name in ("alpha", "beta"))
    name = next(name for name in files if name.endswith(".alpha.json"))
    files[name] = altered(files[name], lambda _: None, [alpha, beta])
    assert world.judge(world.write(with_trust(bundle.read_bytes(), relinked(files, alpha)))) == (
        4,
        "metadata-signature",
    )


def test_a_role_whose_signature_was_stripped_is_refused(world: Campaign) -> None:
    bundle = world.deliver("alpha")
    alpha = world.repository.streams["alpha"].key
    files = trust_of(bundle.read_bytes())
    for name in [name for name in files if not name.startswith("targets/")]:
        stripped = {**files, name: altered(files[name], lambda _: None, [])}
        if not name.endswith(("timestamp.json", "root.json")):
            stripped = relinked(stripped, alpha) if "snapshot" not in name else stripped
        expected = {"metadata/1.root.json": "pin-not-in-bundle"}.get(name, "threshold")
        expected = "metadata-hash" if name.endswith("snapshot.json") else expected
        assert world.judge(world.write(with_trust(bundle.read_bytes(), stripped))) == (4, expected), name


def test_one_role_taken_from_an_older_bundle_is_refused(world: Campaign) -> None:
    """F13: each role of trust/ rolled back alone; nobody signs anything anew."""
    one = world.deliver("alpha")
    world.repository.publish(policies__new_dot_toml=b"format = 1")
    two = world.deliver("alpha")
    old, new = trust_of(one.read_bytes()), trust_of(two.read_bytes())
    for role, reason in {
        "timestamp": "missing-trust-member",
        "snapshot": "missing-trust-member",
        "targets": "missing-trust-member",
        "alpha": "missing-trust-member",
    }.items():
        files = {name: raw for name, raw in new.items() if not name.endswith(f"{role}.json")}
        files |= {name: raw for name, raw in old.items() if name.endswith(f"{role}.json")}
        assert world.judge(world.write(with_trust(two.read_bytes(), files))) == (4, reason), role
    assert world.judge(world.write(with_trust(two.read_bytes(), old))) == (3, "header")
    assert world.judge(world.write(with_trust(one.read_bytes(), new))) == (3, "header")


# -- what the newest trusted material says ----------------------------------------------------------------------------


def test_a_revoked_publishers_key_counts_for_older_bundles_too(world: Campaign) -> None:
    one = world.deliver("alpha", keyed=True)
    assert world.judge(one, KEYED) == ACCEPTED
    world.repository.publish(remove=[TEAM_KEY])
    assert world.judge(world.deliver("beta")) == ACCEPTED
    before = world.state_bytes()
    assert world.judge(one, KEYED) == (1, "key-unknown")
    assert world.state_bytes() == before


def test_a_revocation_in_the_bundle_itself_counts_at_once(world: Campaign) -> None:
    assert world.judge(world.deliver("alpha", keyed=True), KEYED) == ACCEPTED
    world.repository.publish(remove=[TEAM_KEY])
    assert world.judge(world.deliver("alpha", keyed=True), KEYED) == (1, "key-unknown")


def test_a_refused_bundle_does_not_revoke(world: Campaign) -> None:
    """Targets are remembered with an accepted bundle only (roots are the exception): refusals leave no trace."""
    one = world.deliver("alpha", keyed=True)
    assert world.judge(one, KEYED) == ACCEPTED
    world.repository.publish(remove=[TEAM_KEY])
    assert world.judge(world.deliver("beta"), None) == (1, "no-policy")
    assert world.judge(one, KEYED) == ACCEPTED


WINDOWS: dict[str, tuple[dict[str, Any], str]] = {
    "log": ({"log_window": (SIGSTORE_START, MARCH)}, "log-window"),
    "authority": ({"authority_window": (SIGSTORE_START, MARCH)}, "ca-window"),
    "certificate log": ({"certificate_log_window": (SIGSTORE_START, MARCH)}, "sct"),
}


@pytest.mark.parametrize("which", WINDOWS)
def test_a_window_closed_later_is_closed_for_older_bundles_too(world: Campaign, which: str) -> None:
    windows, reason = WINDOWS[which]
    one = world.deliver("alpha")
    assert world.judge(one) == ACCEPTED
    close(world, windows)
    assert world.judge(world.deliver("beta", keyed=True), UNLOGGED) == ACCEPTED
    before = world.state_bytes()
    assert world.judge(one) == (1, reason)
    assert world.state_bytes() == before


def close(world: Campaign, windows: dict[str, Any]) -> None:
    world.repository.contents[TRUSTED_ROOT] = world.sigstore.trusted_root_json(**windows)
    world.repository.publish()


@pytest.mark.parametrize("which", WINDOWS)
def test_an_audit_shows_both_verdicts(world: Campaign, which: str) -> None:
    windows, reason = WINDOWS[which]
    one = world.deliver("alpha")
    close(world, windows)
    assert world.judge(world.deliver("beta", keyed=True), UNLOGGED) == ACCEPTED
    before = world.state_bytes()
    report = world.report(one, at=NOW)
    assert verdict(report) == (1, reason)
    then = [check for check in report.checks if check.name == "material-then"]
    assert [check.detail for check in then] == [
        "by the bundle's own trusted material: verified; the newest material decides"
    ]
    assert world.state_bytes() == before


# -- audience ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("site", "audience", "expected"),
    [
        ("plant", (), ACCEPTED),
        ("plant", ("plant",), ACCEPTED),
        ("plant", ("harbour", "plant"), ACCEPTED),
        ("plant", ("harbour",), (4, "audience")),
        ("plant", ("plan", "plant2", "plant-b"), (4, "audience")),
        (None, (), ACCEPTED),
        (None, ("plant",), (4, "audience")),
    ],
)
def test_audience(tmp_path: Path, site: str | None, audience: tuple[str, ...], expected: tuple[int, str]) -> None:
    world = Campaign(tmp_path, "alpha", site=site)
    bundle = world.deliver("alpha", audience=audience)
    before = world.state_bytes()
    assert world.judge(bundle) == expected
    assert world.judge(bundle, at=NOW) == expected
    assert (world.state_bytes() == before) == (expected != ACCEPTED)


# -- another trust root -----------------------------------------------------------------------------------------------


def test_a_bundle_of_another_trust_root(world: Campaign, tmp_path: Path) -> None:
    other = Campaign(tmp_path / "other", "alpha")
    before = world.state_bytes()
    assert world.judge(other.deliver("alpha")) == (4, "pin-not-in-bundle")
    assert world.state_bytes() == before


def test_the_trust_files_of_one_bundle_around_another(world: Campaign, tmp_path: Path) -> None:
    """M13: a foreign bundle's content under this site's own metadata."""
    other = Campaign(tmp_path / "other", "alpha")
    own, foreign = world.deliver("alpha").read_bytes(), other.deliver("alpha", at=NOW).read_bytes()
    assert len(own) == len(foreign)
    mixed = with_trust(foreign, trust_of(own))
    assert world.judge(world.write(mixed)) == (4, "inventory-digest")


# -- helpers ----------------------------------------------------------------------------------------------------------


def _parts(bundle: Path) -> list[Part]:
    return split(bundle.read_bytes())


def judge_resigned(
    world: Campaign, bundle: Path, stream: str, change: Callable[[dict[str, Any]], object]
) -> tuple[int, str]:
    """The verdict on a bundle whose stream role was changed and signed anew by its own key."""
    key = world.repository.streams[stream].key
    files = trust_of(bundle.read_bytes())
    name = next(name for name in files if name.endswith(f".{stream}.json"))
    files[name] = altered(files[name], change, [key])
    before = world.state_bytes()
    result = world.judge(world.write(with_trust(bundle.read_bytes(), relinked(files, key))))
    assert world.state_bytes() == before
    return result
