"""Drills of a trust root's life, each with the exit code and reason that it was promised (DESIGN section 4; THREATS
I2, I18, T4, T6 to T10): rotation, theft, loss of a threshold, loss of the state, 300 rotations, five years of catch-up.

Commands are those that people type; signatures are real, only the clock is the drill's own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bundler.digest import sha256_of
from tests.cli.session import SEALIFT
from tests.simulators.deliveries import NOW, Exporter
from tests.simulators.drill import Drill
from tests.simulators.tuf_repository import START, TufRepository
from trust_root.keys import generate_key
from trust_root.state_export import parse_heads

ACCEPTED = (0, "")
DAY = timedelta(days=1)
YEAR = timedelta(days=365)


@pytest.fixture
def drill(tmp_path: Path) -> Drill:
    return Drill(tmp_path)


def rotate_holder(repository: TufRepository, number: int = 0) -> None:
    """One holder's key is replaced; the threshold of old and of new holders signs."""
    before = list(repository.holders)
    after = [*before]
    after[number] = generate_key()
    repository.add_root(holders=after, signers=[*before, *after])
    repository.publish()


def bump(repository: TufRepository, stream: str = "main") -> None:
    """The exporter signs snapshot and timestamp again."""
    repository.streams[stream].snapshot_version += 1
    repository.streams[stream].timestamp_version += 1


# -- rotation ---------------------------------------------------------------------------------------------------------


def test_a_holder_is_replaced(drill: Drill) -> None:
    one = drill.world.deliver()
    two = drill.world.deliver()
    assert drill.verify(one) == ACCEPTED
    rotate_holder(drill.repository)
    three = drill.world.deliver()
    assert drill.verify(three) == ACCEPTED
    assert drill.verify(two) == (4, "no-longer-accepted")
    assert drill.verify(one) == (4, "superseded")
    assert drill.verify(one, "--historic") == ACCEPTED
    assert [line["kind"] for line in drill.log()] == ["pin", "accepted", "roots", "accepted"]


def test_a_rotation_by_too_few(drill: Drill) -> None:
    before = list(drill.repository.holders)
    strangers = [generate_key() for _ in range(3)]
    drill.repository.add_root(holders=strangers, signers=[before[0], *strangers])
    assert drill.verify(drill.world.deliver()) == (4, "threshold")


def test_a_rotation_signed_by_the_new_holders_alone(drill: Drill) -> None:
    strangers = [generate_key() for _ in range(3)]
    drill.repository.add_root(holders=strangers, signers=strangers)
    assert drill.verify(drill.world.deliver())[0] == 4


# -- theft of an exporter's key ---------------------------------------------------------------------------------------


def test_an_exporters_key_is_stolen(drill: Drill) -> None:
    """The holders rotate the stream's keys; a few kB reach the site before any delivery does."""
    one = drill.world.deliver()
    assert drill.verify(one) == ACCEPTED
    thief = drill.world.double()
    drill.repository.rotate_stream("main")
    revocation = drill.write_revocation()
    assert revocation.stat().st_size < 8192
    code, done = drill.trust("refresh", "--from", revocation)
    assert (code, done["new_roots"], done["targets_version"]) == (0, [2], None)
    assert drill.verify(thief.deliver(drill.world.source())) == (4, "no-longer-accepted")
    assert drill.verify(one) == (4, "no-longer-accepted")
    assert drill.verify(one, "--historic") == ACCEPTED
    assert drill.verify(drill.world.deliver()) == ACCEPTED
    code, done = drill.trust("refresh", "--from", revocation)
    assert (code, done["new_roots"]) == (0, [])


def test_the_thief_was_faster(drill: Drill) -> None:
    """What the thief delivered before the revocation came was accepted; the genuine next one raises the alarm."""
    assert drill.verify(drill.world.deliver()) == ACCEPTED
    thief = drill.world.double()
    assert drill.verify(thief.deliver(drill.world.source(), at=START + DAY / 2)) == ACCEPTED
    drill.repository.rotate_stream("main")
    assert drill.trust("refresh", "--from", drill.write_revocation())[0] == 0
    assert drill.verify(drill.world.deliver()) == (4, "equivocation")
    assert drill.log()[-1]["code"] == "equivocation"
    assert drill.verify(drill.world.deliver()) == (4, "equivocation")


def test_a_revocation_lands_though_the_clock_is_wrong(drill: Drill) -> None:
    """No time bears on roots. The clock is told all the same, and everything else waits for it."""
    assert drill.verify(drill.world.deliver()) == ACCEPTED
    thief = drill.world.double()
    drill.repository.rotate_stream("main")
    drill.now -= 40 * DAY
    code, error = drill.trust("refresh", "--from", drill.write_revocation())
    assert (code, error["reason"]) == (4, "clock-behind")
    assert [line["kind"] for line in drill.log()][-1] == "roots"
    drill.now += 40 * DAY
    assert drill.verify(thief.deliver(drill.world.source())) == (4, "no-longer-accepted")


def test_an_alarm_that_cannot_be_written_is_told_all_the_same(drill: Drill) -> None:
    assert drill.verify(drill.world.deliver()) == ACCEPTED
    double = drill.world.double()
    assert drill.verify(drill.world.deliver()) == ACCEPTED
    lock = drill.world.state / "lock"
    lock.unlink()
    lock.mkdir()
    report = drill.run(
        "verify", double.deliver(drill.world.source(), at=START + DAY / 2), "--policy", drill.policy, "--quiet"
    )
    assert report.code == 4
    assert "[equivocation]" in report.err
    assert "could not be written" in report.err


def test_a_forged_revocation(drill: Drill) -> None:
    forged = drill.repository.fork()
    strangers = [generate_key() for _ in range(3)]
    forged.add_root(holders=strangers, signers=strangers)
    drill.world.repository = forged
    code, error = drill.trust("refresh", "--from", drill.write_revocation())
    assert (code, error["reason"]) == (4, "threshold")


def test_a_revocation_that_was_edited_or_cut(drill: Drill) -> None:
    rotate_holder(drill.repository)
    path = drill.write_revocation()
    raw = path.read_bytes()
    for changed, reason in {
        json.dumps(json.loads(raw), indent=1).encode(): "metadata-canonical",
        raw[:-1]: "metadata-form",
        raw + b"\n": "metadata-canonical",
        b'{"kind":"sealift-proposal"}': "metadata-form",
        b'{"format":1,' + b"[" * 1_000_000: "metadata-form",
    }.items():
        path.write_bytes(changed)
        code, error = drill.trust("refresh", "--from", path)
        assert (code, error["reason"]) == (4, reason)
    assert [line["kind"] for line in drill.log()] == ["pin"]


def test_a_revocation_of_another_trust_root(drill: Drill) -> None:
    drill.world.repository = TufRepository("main")
    code, error = drill.trust("refresh", "--from", drill.write_revocation())
    assert (code, error["reason"]) == (4, "pin-not-in-bundle")


# -- refresh from a repository and from a bundle ----------------------------------------------------------------------


def test_refresh_from_a_folder_and_from_a_bundle(drill: Drill) -> None:
    rotate_holder(drill.repository)
    folder = drill.write_repository()
    code, done = drill.trust("refresh", "--from", folder)
    assert (code, done["new_roots"], done["targets_version"], done["new_targets"]) == (0, [2], 2, True)
    bundle = drill.world.deliver()
    code, done = drill.trust("refresh", "--from", bundle)
    assert (code, done["new_roots"], done["new_targets"]) == (0, [], False)
    assert drill.verify(bundle) == ACCEPTED
    code, error = drill.trust("refresh", "--from", folder)
    assert (code, error["reason"]) == (4, "rollback")


def test_refresh_from_an_address(drill: Drill) -> None:
    rotate_holder(drill.repository)
    handler = partial(QuietHandler, directory=str(drill.write_repository()))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        address = f"http://127.0.0.1:{server.server_port}"
        code, done = drill.trust("refresh", "--from", address)
        assert (code, done["new_roots"], done["new_targets"]) == (0, [2], True)
        code, error = drill.trust("refresh", "--from", f"{address}/elsewhere")
        assert (code, error["exit_code"]) == (4, 4)  # no root there: not this site's trust root
        server.shutdown()
        serving.join()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that http.server gives it
        pass


def test_roots_are_kept_and_told_though_the_rest_is_refused(drill: Drill) -> None:
    rotate_holder(drill.repository)
    folder = drill.write_repository()
    drill.now = NOW + 2 * YEAR
    done = drill.run("trust", "refresh", "--from", folder)
    assert (done.code, "[expired]" in done.err, "kept: root 2" in done.err) == (4, True, True)
    assert drill.log()[-1]["kind"] == "roots"


@pytest.mark.parametrize("source", ["nothing-here", "ftp://example.org/trust"])
def test_refresh_from_nothing(drill: Drill, source: str) -> None:
    code, error = drill.trust("refresh", "--from", source)
    assert (code, error["reason"]) == (2, "source")


def test_refresh_from_a_pipe(drill: Drill) -> None:
    """One that lies on a stick must not hang anybody."""
    os.mkfifo(drill.folder / "pipe")
    code, error = drill.trust("refresh", "--from", drill.folder / "pipe")
    assert (code, error["reason"]) == (6, "file-kind")


def test_refresh_from_something_else(drill: Drill) -> None:
    code, error = drill.trust("refresh", "--from", drill.policy)
    assert code in (3, 5)
    assert error["reason"]


# -- the root's threshold is lost -------------------------------------------------------------------------------------


def test_two_of_three_root_keys_burn(drill: Drill) -> None:
    one = drill.world.deliver()
    assert drill.verify(one) == ACCEPTED
    lost = drill.world.deliver()
    successor = TufRepository("main", targets=drill.repository.contents)
    drill.world.repository = successor
    drill.world.exporters["main"] = Exporter(successor, drill.folder / "after the fire")
    new_root = drill.folder / "new-1.root.json"
    new_root.write_bytes(successor.pin)
    fingerprint = sha256_of(successor.pin).hex
    first = drill.world.deliver()
    assert drill.verify(first) == (4, "pin-not-in-bundle")

    words = ("reanchor", new_root, "--sha256", fingerprint, "--reason", "fire in the vault, minutes of 2026-11-02")
    code, error = drill.trust(*words, "--operator", "A. Adams")
    assert (code, error["reason"]) == (2, "operators")
    code, error = drill.trust(*words, "--operator", "A. Adams", "--operator", "a. adams")
    assert (code, error["reason"]) == (2, "operators")
    code, done = drill.trust(*words, "--operator", "A. Adams", "--operator", "B. Brown")
    assert (code, done["pin"]) == (0, f"sha256:{fingerprint}")
    assert drill.log()[-1]["operators"] == ["A. Adams", "B. Brown"]

    assert drill.verify(first) == ACCEPTED
    assert drill.verify(one) == (4, "pin-retired")
    assert drill.verify(lost, "--historic") == (4, "pin-retired")
    report = drill.report(one, "--historic")
    assert (report["exit_code"], report["trust"]["standing"], report["weakened"]) == (
        0, "historic", ["--historic: an older delivery of this stream may pass"],
    )  # fmt: skip
    assert "fire in the vault" in report["trust"]["warnings"][0]["detail"]
    assert drill.verify(one, "--at", "2026-11-02", "--reason", "audit") == ACCEPTED
    assert drill.run("inspect", one).code == 0
    assert drill.run("inspect", lost).code == 4
    code, told = drill.trust("state")
    assert [pin["retired"] is not None for pin in told["pins"]].count(True) == 1
    code, error = drill.trust("refresh", "--from", one)
    assert (code, error["reason"]) == (4, "pin-retired")


# -- the state is lost ------------------------------------------------------------------------------------------------


def test_the_state_is_lost(drill: Drill) -> None:
    """The paper log book names the last sequence; the site refuses what is older, whoever carries it."""
    bundles = [drill.world.deliver() for _ in range(3)]
    reports = [drill.report(bundle) for bundle in bundles]
    digests = [report["trust"]["state"] for report in reports]
    assert len(set(digests)) == 3
    assert drill.trust("state")[1]["state"] == digests[-1]

    shutil.rmtree(drill.world.state)
    assert drill.verify(bundles[2]) == (4, "no-pin")
    root = drill.folder / "1.root.json"
    root.write_bytes(drill.repository.pin)
    code, _ = drill.trust("pin", root, "--sha256", sha256_of(root.read_bytes()).hex, "--site", "plant")
    assert code == 0
    assert drill.verify(bundles[1], "--min-sequence", "3") == (4, "below-minimum")
    assert drill.verify(bundles[2], "--min-sequence", "3") == ACCEPTED


def test_the_state_comes_back_from_an_old_backup(drill: Drill) -> None:
    """A whole old copy is consistent in itself: the digest in the log book tells, and a lowest sequence helps."""
    one, two = drill.world.deliver(), drill.world.deliver()
    assert drill.verify(one) == ACCEPTED
    backup = drill.folder / "backup"
    shutil.copytree(drill.world.state, backup)
    in_book = drill.report(two)["trust"]["state"]
    shutil.rmtree(drill.world.state)
    shutil.move(backup, drill.world.state)
    assert drill.trust("state")[1]["state"] != in_book
    assert drill.verify(one, "--min-sequence", "2") == ACCEPTED  # known here: nothing new comes in by it
    (drill.world.state / "site.toml").write_text('site = "plant"\n[min_sequence]\nmain = 3\n')
    assert drill.verify(two) == (4, "settings-changed")
    assert drill.trust("state", "--accept-settings", "--reason", "restored from backup, ticket 12")[0] == 0
    assert drill.verify(two) == (4, "below-minimum")
    assert drill.verify(drill.world.deliver()) == ACCEPTED


def test_a_state_is_copied_to_another_site(drill: Drill) -> None:
    (drill.world.state / "site.toml").write_text('site = "plant-8"\n')
    bundle = drill.world.deliver()
    assert drill.verify(bundle) == (4, "settings-changed")
    code, error = drill.trust("state", "--accept-settings", "--reason", "copied")
    assert (code, error["reason"]) == (4, "site-renamed")


def test_a_state_with_its_settings_is_copied_to_another_site(drill: Drill) -> None:
    """Then the folder is consistent in itself; the other site's policy tells."""
    bundle = drill.world.deliver()
    drill.policy.write_text(f'site = "plant-8"\n{drill.policy.read_text()}')
    assert drill.verify(bundle) == (4, "policy-site")
    drill.policy.write_text(drill.policy.read_text().replace("plant-8", "plant"))
    assert drill.verify(bundle) == ACCEPTED


def test_what_the_site_hands_out(drill: Drill) -> None:
    assert drill.verify(drill.world.deliver()) == ACCEPTED
    target = drill.folder / "plant.json"
    code, told = drill.trust("state", "--export", target)
    heads = parse_heads(target.read_bytes())
    assert (code, heads.site, str(heads.state)) == (0, "plant", told["state"])
    assert [stream.sequence for pin in heads.pins for stream in pin.streams] == [1]


# -- years ------------------------------------------------------------------------------------------------------------


def test_three_hundred_rotations(drill: Drill) -> None:
    """T6: the site is behind by 300 roots and follows, from a bundle, a folder and a revocation file alike."""
    one = drill.world.deliver()
    assert drill.verify(one) == ACCEPTED
    for number in range(300):
        before = list(drill.repository.holders)
        after = [*before]
        after[number % 3] = generate_key()
        drill.repository.add_root(holders=after, signers=[*before[:2], *after[:2]])
    drill.repository.publish()
    aside = drill.folder / "aside"
    shutil.copytree(drill.world.state, aside)
    code, done = drill.trust("refresh", "--from", drill.write_revocation())
    assert (code, done["root_version"], len(done["new_roots"])) == (0, 301, 300)
    assert drill.verify(drill.world.deliver()) == ACCEPTED
    drill.world.state = aside
    code, done = drill.trust("refresh", "--from", drill.write_repository())
    assert (code, done["root_version"], done["new_targets"]) == (0, 301, True)


def test_five_years_of_silence(drill: Drill) -> None:
    """Every key changed meanwhile, each root but the last has expired, and forty deliveries never came."""
    assert drill.verify(drill.world.deliver()) == ACCEPTED
    repository = drill.repository
    for year in range(1, 6):
        at = START + year * YEAR
        for number in range(3):
            before = list(repository.holders)
            after = [*before]
            after[number] = generate_key()
            repository.add_root(at, holders=after, signers=[*before, *after])
        repository.rotate_stream("main", at)
    exporter = drill.world.exporter("main")
    exporter.sequence, exporter.previous = 41, sha256_of(b"the forty-first")
    at = START + 5 * YEAR
    bundle = drill.world.deliver(at=at)
    assert drill.verify(bundle) == (4, "created-in-future")  # this site's clock stood still
    drill.now = at + DAY
    report = drill.report(bundle)
    assert (report["exit_code"], report["trust"]["standing"]) == (0, "gap")
    assert "sequences 2 to 41" in report["trust"]["warnings"][0]["detail"]
    assert report["trust"]["root_version"] == 21
    drill.now = NOW
    assert drill.verify(bundle) == (4, "clock-behind")


def test_nothing_new_for_long(drill: Drill) -> None:
    """T3, freeze: the newest bundle passes until its metadata ends, and no longer; grace is said aloud."""
    bundle = drill.world.deliver()
    assert drill.verify(bundle) == ACCEPTED
    ends = START + YEAR
    for left, wanted in ((timedelta(seconds=1), ACCEPTED), (timedelta(0), (4, "expired")), (-DAY, (4, "expired"))):
        drill.now = ends - left
        assert drill.verify(bundle) == wanted
    (drill.world.state / "site.toml").write_text('site = "plant"\n[time]\nmode = "grace"\ngrace_days = 30\n')
    assert drill.trust("state", "--accept-settings", "--reason", "ship is late")[0] == 0
    report = drill.report(bundle)
    assert report["exit_code"] == 0
    assert any("grace of 30 days" in warning["detail"] for warning in report["trust"]["warnings"])
    drill.now = ends + 30 * DAY
    assert drill.verify(bundle) == (4, "expired")


# -- many at once -----------------------------------------------------------------------------------------------------


def test_eight_verifications_at_once(tmp_path: Path) -> None:
    """I18: eight processes, eight streams, one state; nothing is lost and nothing looks like tampering."""
    names = [f"s{number}" for number in range(8)]
    drill = Drill(tmp_path, *names)
    words = ["--policy", drill.policy, "--state", drill.world.state, "--quiet"]
    bundles = [drill.world.deliver(name) for name in names]
    running = [
        subprocess.Popen([SEALIFT, "verify", bundle, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for bundle in bundles
    ]
    ends = [(process.communicate(timeout=120), process.returncode) for process in running]
    assert [code for _, code in ends] == [0] * 8, ends
    lines = drill.log()
    assert sorted(line["stream"] for line in lines if line["kind"] == "accepted") == names
    assert json.loads((drill.world.state / "state.json").read_bytes())["generation"] == 9
