"""Logs only grow, from delivery to delivery: a site hands out its heads, an export asks, the site proves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.session import Result, call
from tests.simulators.images import two_platforms
from tests.simulators.rekor import Rekor
from tests.simulators.rekor_growth import GARBAGE
from tests.simulators.sigstore import Signer, Sigstore
from tests.simulators.sigstore_keys import AT
from tests.simulators.station import Station, Verified

REPOSITORY = "registry.example.org/team/app"
IDENTITY = "https://github.com/example/app/.github/workflows/release.yml@refs/tags/v1"
ISSUER = "https://token.actions.githubusercontent.com"
POLICY = f"""format = 1
[[rule]]
images = ["**"]
[[rule.signature]]
certificate_identity = "{IDENTITY}"
certificate_oidc_issuer = "{ISSUER}"
"""
STRICT = POLICY.replace("format = 1", "format = 1\nrequire_log_growth = true")


@dataclass
class Scene:
    """An exporter, a log, and a site that has accepted one delivery whose proof was fetched."""

    folder: Path
    rekor: Rekor
    station: Station
    sigstore: Sigstore
    signer: Signer
    images: int = 0
    days_ago: int = 0

    def image(self) -> str:
        """A new image, signed, its signature promised by the log."""
        self.images += 1
        name = f"{REPOSITORY}:{self.images}"
        layout, top, _ = two_platforms(name, attested=False)
        layout.tag_evidence(
            layout.cosign([self.sigstore.sign(top.digest, self.signer, reference=REPOSITORY)]), top, "sig", REPOSITORY
        )
        return f"oci:{layout.write(self.folder / f'layout-{self.images}')}:{name}"

    def deliver(self, *words: str | Path) -> Result:
        """Export a new image with fetched proofs; exports are a second apart."""
        return self.station.export(self.image(), *words, "--retry-times", "0", proofs=True)

    def take(self, policy: str = POLICY) -> Verified:
        return self.station.verify(policy)

    def heads(self) -> Path:
        """What the site hands out."""
        target = self.folder / f"heads-{self.images}.json"
        assert call("trust", "state", "--state", self.station.state, "--export", target).code == 0
        return target

    def fill(self, entries: int) -> None:
        for _ in range(entries):
            self.rekor.log.promise(b"{}", at=AT)

    def log(self, verified: Verified) -> dict[str, Any]:
        """What the report says of the only tree."""
        (found,) = verified.report["logs"]
        return dict(found)

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.station.state / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    clock = iter(range(1, 1000))
    now = int(datetime.now(UTC).timestamp()) - 600
    with Rekor() as rekor:
        rekor.log.promise(b"{}", at=AT)
        sigstore = Sigstore("log growth")
        sigstore.rekor = rekor.log
        made = Scene(
            tmp_path, rekor, Station(tmp_path / "station", {"demo": sigstore.trusted_root_json()}), sigstore,
            sigstore.keyless(IDENTITY, at=AT, issuer=ISSUER),
        )  # fmt: skip
        deliver = made.deliver

        def later(*words: str | Path) -> Result:
            monkeypatch.setenv("SOURCE_DATE_EPOCH", str(now + next(clock) - made.days_ago * 86400))
            return deliver(*words, "--development")

        monkeypatch.setattr(made, "deliver", later)
        assert made.deliver().code == 0
        first = made.take()
        assert (first.code, made.log(first)["growth"]) == (0, "first")
        yield made


def test_growth_is_proved_from_the_sites_own_head(scene: Scene) -> None:
    scene.fill(5)
    heads = scene.heads()
    assert scene.deliver("--since", heads).code == 0
    second = scene.take(STRICT)
    told = scene.log(second)
    assert (second.code, told["growth"], told["unproved"]) == (0, "proved", 0)
    assert (told["from"], told["to"]) == (2, 8)
    assert {check["check"]: check["outcome"] for check in second.report["checks"]} == {"log-growth": "held"}
    again = scene.take(STRICT)
    assert (again.code, scene.log(again)["growth"]) == (0, "unchanged")
    text = call(
        "verify", scene.station.bundle, "--policy", scene.station.folder / "policy.toml", "--state", scene.station.state
    )
    assert "unchanged at 8 entries" in text.out


def test_without_since_it_is_said_and_can_be_refused(scene: Scene) -> None:
    assert scene.deliver().code == 0
    strict = scene.take(STRICT)
    assert (strict.code, strict.report["reason"], scene.log(strict)["growth"]) == (1, "log-growth-missing", "unproved")
    typed = call(
        "verify", scene.station.bundle, "--policy", scene.folder / "station" / "policy.toml", "--state",
        scene.station.state, "--require-log-growth",
    )  # fmt: skip
    assert typed.code == 1
    plain = scene.take()
    assert (plain.code, scene.log(plain)["growth"]) == (0, "unproved")


def test_a_file_that_was_overtaken_by_a_delivery_still_proves(scene: Scene) -> None:
    """The site's head stays where it was proved; what was seen meanwhile is asked about at the next export."""
    old = scene.heads()
    assert scene.deliver().code == 0
    assert scene.take().code == 0
    scene.fill(3)
    assert scene.deliver("--since", old).code == 0
    third = scene.take(STRICT)
    assert (third.code, scene.log(third)["growth"]) == (0, "proved")
    state = json.loads((scene.station.state / "state.json").read_bytes())
    (tree,) = state["logs"]
    assert [item["size"] for item in tree["loose"]] == [3]  # the overtaking delivery's, which nobody asked about
    assert scene.deliver("--since", scene.heads()).code == 0
    assert scene.take(STRICT).code == 0
    (tree,) = json.loads((scene.station.state / "state.json").read_bytes())["logs"]
    assert tree["loose"] == []


@pytest.mark.parametrize(("fault", "code"), [("forked", "log-fork"), ("shrunk", "log-rollback"),
                                             ("false-proof", "log-fork"), ("short-proof", "log-fork"),
                                             ("long-proof", "log-fork")])  # fmt: skip
def test_a_log_that_contradicts_itself_ends_the_export(scene: Scene, fault: str, code: str) -> None:
    scene.fill(3)
    heads = scene.heads()
    image = scene.image()
    scene.rekor.fault = fault
    done = scene.station.export(image, "--since", heads, "--retry-times", "0")  # asks only how the log grew
    assert done.code == 4
    assert code in done.err
    assert scene.station.left() == []


@pytest.mark.parametrize(
    "fault",
    [*GARBAGE, "proof-odd-hash", "proof-upper-case", "proof-many", "proof-no-list", "no-tree", "foreign-key", "500"],
)
def test_no_answer_is_a_warning_that_names_the_log(scene: Scene, fault: str) -> None:
    heads = scene.heads()
    image = scene.image()
    scene.rekor.fault = fault
    done = scene.station.export(image, "--since", heads, "--retry-times", "0")
    assert done.code == 0, done.err
    assert f"how {scene.rekor.log.url} grew" in done.err
    scene.rekor.fault = ""
    assert scene.station.inventory().logs == ()
    strict = scene.take(STRICT)
    assert (strict.code, strict.report["reason"]) == (1, "log-growth-missing")


def test_a_forked_log_is_an_alarm_at_the_site_and_nothing_is_accepted(scene: Scene) -> None:
    """The exporter was not asked to compare, and the log showed it another tree."""
    before = json.loads((scene.station.state / "state.json").read_bytes())
    tree = scene.rekor.shards[-1].tree
    tree.bodies[0] = b"another entry"
    tree.bodies.pop()
    scene.rekor.entries.pop()
    scene.station.cache = scene.folder / "another cache"
    assert scene.deliver().code == 0
    second = scene.take()
    assert (second.code, second.report["reason"], second.report["verdict"]) == (4, "log-fork", "untrusted")
    after = json.loads((scene.station.state / "state.json").read_bytes())
    assert after["pins"] == before["pins"]
    assert after["logs"] == before["logs"]
    assert scene.log_lines()[-1]["kind"] == "alarm"
    assert scene.log_lines()[-1]["code"] == "log-fork"


def test_a_log_that_lost_entries_is_an_alarm_at_the_site(scene: Scene) -> None:
    scene.fill(5)
    scene.days_ago = 3
    assert scene.deliver().code == 0
    scene.days_ago = 0
    assert scene.take().code == 0
    tree = scene.rekor.shards[-1].tree
    del tree.bodies[3:]
    del scene.rekor.entries[3:]
    assert scene.deliver().code == 0
    third = scene.take()
    assert (third.code, third.report["reason"]) == (4, "log-rollback")
    assert scene.log_lines()[-1]["code"] == "log-rollback"


def test_shards_are_trees_of_their_own(scene: Scene) -> None:
    """The old shard takes no more entries; the new one is smaller, which is no rollback."""
    scene.rekor.shard(77)
    assert scene.deliver("--since", scene.heads()).code == 0
    second = scene.take(STRICT)
    assert second.code == 0, second.err
    growths = {item["origin"]: item["growth"] for item in second.report["logs"]}
    first, new = (f"{scene.rekor.host} - {shard.tree_id}" for shard in scene.rekor.shards)
    assert growths == {first: "unchanged", new: "first"}


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["logs"][0]["head"].update(note="AAAA"),
        lambda value: value["logs"][0].update(origin="another - 1"),
        lambda value: value.update(kind="else"),
        lambda value: value.update(extra=1),
    ],
)
def test_a_file_that_no_site_wrote_is_refused(scene: Scene, change: Any) -> None:
    heads = scene.heads()
    value = json.loads(heads.read_bytes())
    change(value)
    heads.write_text(json.dumps(value, sort_keys=True, separators=(",", ":")))
    done = scene.deliver("--since", heads)
    assert (done.code, "since-file" in done.err) == (2, True), done.err


def test_a_file_of_a_log_that_nobody_here_trusts_is_a_warning(scene: Scene) -> None:
    heads = scene.heads()
    value = json.loads(heads.read_bytes())
    value["logs"][0]["log"] = "ff" * 32
    heads.write_text(json.dumps(value, sort_keys=True, separators=(",", ":")))
    done = scene.deliver("--since", heads)
    assert done.code == 0
    assert "which no trusted root here names" in done.err
