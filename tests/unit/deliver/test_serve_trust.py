"""What is served stays what was verified: files that change under the server, trust that ends while it runs."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from bundler.archive.chunks import CHUNK_BYTES
from bundler.deliver.serve import Place, Server, judge_again, open_bundles, open_server, require_newest, watch
from bundler.deliver.verified import Opened
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, SealiftError, TrustError, UsageError
from bundler.oci.annotations import format_evidence_tag
from tests.simulators.deliveries import START, make_site
from tests.simulators.evidence_image import evidence_image
from tests.simulators.images import Layout, big_layer, layer
from tests.simulators.served import OPEN_POLICY, Scene, ask, with_sbom

NAME = "registry.example.org/team/app:1"
TEXT = b"compresses well. " * 400_000


def image(folder: Path, seed: int = 1, name: str = NAME, *, large: bool = False) -> tuple[Path, str]:
    """A layout with one image; a large one has a layer that is stored raw and one that is stored as a frame."""
    layout = Layout()
    layers = [big_layer(3 * CHUNK_BYTES + 5, seed), layer(TEXT, seed=seed)] if large else [layer(b"x", seed=seed)]
    with_sbom(layout, layout.image("linux/amd64", layers), name)
    return layout.write(folder / f"layout-{seed}"), name


def blobs_over(held: tuple[Opened, ...], size_bytes: int) -> dict[str, tuple[Digest, int]]:
    """Large blobs by the way in which they are stored, with the offset of their stored bytes."""
    bundle = held[0].bundle
    assert bundle is not None
    found = [blob for blob in bundle.inventory.blobs if blob.size_bytes > size_bytes]
    return {blob.stored: (blob.digest, bundle.archive.proved_blob(blob.digest)._offset) for blob in found}


# -- bytes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", ["raw", "zstd"])
@pytest.mark.parametrize("place", ["first", "middle"])
def test_a_flipped_byte_never_makes_a_good_answer(tmp_path: Path, stored: str, place: str) -> None:
    scene = Scene(tmp_path)
    scene.add(image(tmp_path, large=True))
    with scene.open() as held, scene.run(held) as server:
        digest, offset = blobs_over(held, 1_000_000)[stored]
        at = offset + (200 if place == "first" or stored == "zstd" else CHUNK_BYTES + 200)
        flip(scene.files[0], at)
        for _ in range(2):  # a failure is not remembered as anything else
            reply = ask(server.address.port, f"/v2/team/app/blobs/{digest}")
            assert reply.status == 500 or not reply.is_whole
            if stored == "raw" and place == "middle":
                assert (reply.status, reply.is_whole) == (200, False)
                assert len(reply.body) <= CHUNK_BYTES  # nothing of the bad chunk
        assert any("damaged" in line for line in scene.lines)
        if stored == "raw" and place == "middle":
            good = ask(server.address.port, f"/v2/team/app/blobs/{digest}", Range=f"bytes=0-{CHUNK_BYTES - 1}")
            assert (good.status, len(good.body), good.is_whole) == (206, CHUNK_BYTES, True)
        flip(scene.files[0], at)
        assert sha256_of(ask(server.address.port, f"/v2/team/app/blobs/{digest}").body) == digest


def test_every_byte_of_a_chunk_counts(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.add(image(tmp_path, large=True))
    with scene.open() as held, scene.run(held) as server:
        digest, offset = blobs_over(held, CHUNK_BYTES)["raw"]
        for at in (0, 1, CHUNK_BYTES // 2, CHUNK_BYTES - 1):
            flip(scene.files[0], offset + at)
            reply = ask(server.address.port, f"/v2/team/app/blobs/{digest}", Range="bytes=100-200")
            assert reply.status == 500, at
            flip(scene.files[0], offset + at)


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.add(image(tmp_path, large=True))
    with scene.open() as held, scene.run(held) as server:
        digest, offset = blobs_over(held, CHUNK_BYTES)["raw"]
        os.truncate(scene.files[0], offset + CHUNK_BYTES + 10)
        reply = ask(server.address.port, f"/v2/team/app/blobs/{digest}")
        assert (reply.status, reply.is_whole) == (200, False)
        assert len(reply.body) <= CHUNK_BYTES


def test_a_file_that_is_replaced_changes_nothing(tmp_path: Path) -> None:
    """The name is never opened again: what was verified is still what is open."""
    scene = Scene(tmp_path)
    scene.add(image(tmp_path, large=True))
    with scene.open() as held, scene.run(held) as server:
        other = tmp_path / "other"
        other.write_bytes(bytes(scene.files[0].stat().st_size))
        os.replace(other, scene.files[0])
        for digest, _ in blobs_over(held, 1_000_000).values():
            assert sha256_of(ask(server.address.port, f"/v2/team/app/blobs/{digest}").body) == digest


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


# -- trust ------------------------------------------------------------------------------------------------------------


def status(server: Server, target: str = "/v2/team/app/manifests/1") -> int:
    return ask(server.address.port, target).status


def again(scene: Scene, held: tuple[Opened, ...], *, historic: bool = False) -> str:
    """The reason why the bundles no longer pass; empty while they do."""
    report = judge_again(held, lambda: scene.judge(historic=historic, read_only=True))
    return report.reason if report else ""


def test_it_goes_on_while_everything_holds(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.add(image(tmp_path))
    with scene.open() as held:
        before = (scene.state / "state.json").read_bytes()
        scene.clock += timedelta(days=30)
        assert again(scene, held) == ""
        assert (scene.state / "state.json").read_bytes() == before


def test_no_layer_is_read_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.add(image(tmp_path, large=True))
    with scene.open() as held:
        _, offset = blobs_over(held, CHUNK_BYTES)["raw"]
        flip(scene.files[0], offset)
        assert again(scene, held) == ""


def test_a_closed_server_says_so_and_opens_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.add(image(tmp_path))
    with scene.open() as held, scene.run(held) as server:
        assert status(server) == 200
        scene.clock += timedelta(days=3000)  # metadata has expired
        server.judged(judge_again(held, lambda: scene.judge(read_only=True)))
        for target in ("/v2/team/app/manifests/1", "/v2/_catalog", "/v2/team/app/tags/list"):
            reply = ask(server.address.port, target)
            assert (reply.status, reply.code) == (503, "DENIED")
        health = ask(server.address.port, "/healthz")
        assert (health.status, health.json()) == (503, {"status": "closed", "reason": "expired"})
        assert status(server, "/v2/") == 200
        scene.clock -= timedelta(days=3000)
        server.judged(judge_again(held, lambda: scene.judge(read_only=True)))
        assert status(server) == 200
        assert [line for line in scene.lines if "not serving any more" in line]
        assert [line for line in scene.lines if "serving again" in line]


def expires(scene: Scene) -> None:
    scene.clock += timedelta(days=3000)


def policy_changes(scene: Scene) -> None:
    scene.policy = OPEN_POLICY.replace("allow_unsigned = true", "")


def policy_breaks(scene: Scene) -> None:
    scene.policy = "format = 2"


def policy_names_others(scene: Scene) -> None:
    scene.policy = OPEN_POLICY.replace('"**"', '"ghcr.io/**"')


def policy_is_of_another_site(scene: Scene) -> None:
    scene.policy = f'site = "plant-8"\n{OPEN_POLICY}'


def clock_goes_back(scene: Scene) -> None:
    scene.clock = START - timedelta(days=30)


def state_is_damaged(scene: Scene) -> None:
    path = scene.state / "state.json"
    path.write_bytes(path.read_bytes()[:-2] + b" }")


def state_is_gone(scene: Scene) -> None:
    for path in scene.state.iterdir():
        if path.is_file():
            path.unlink()


def state_is_new(scene: Scene) -> None:
    shutil.rmtree(scene.state)
    make_site(scene.state, scene.repository.pin)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (state_is_new, "never-accepted"),
        (expires, "expired"),
        (policy_breaks, "policy"),
        (policy_names_others, "no-rule"),
        (policy_changes, "sbom-unsigned"),
        (policy_is_of_another_site, "policy-site"),
        (clock_goes_back, "clock-behind"),
        (state_is_damaged, "state-damaged"),
        (state_is_gone, "state-damaged"),
    ],
)
def test_what_ends_trust(tmp_path: Path, change: Callable[[Scene], None], reason: str) -> None:
    scene = Scene(tmp_path)
    scene.add(image(tmp_path))
    with scene.open() as held:
        change(scene)
        assert again(scene, held)
        assert again(scene, held) == reason


def test_a_stream_whose_key_was_revoked_meanwhile(tmp_path: Path) -> None:
    """Another delivery brings the news; what is being served was signed with the key that no longer counts."""
    scene = Scene(tmp_path)
    scene.add(image(tmp_path))
    with scene.open(scene.files[0]) as held:
        assert again(scene, held) == ""
        scene.repository.rotate_stream("main")
        scene.add(image(tmp_path, 2))
        with scene.open(scene.files[1]) as newer:
            assert newer[0].bundle is not None
        assert again(scene, held) == "no-longer-accepted"


def test_historic_shields_only_what_was_historic(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.add(image(tmp_path))
    scene.add(image(tmp_path, 2))
    with scene.open():
        pass
    with scene.open(*scene.files, historic=True) as held:
        scene.repository.rotate_stream("main")
        scene.add(image(tmp_path, 3))
        with scene.open(scene.files[2]) as newest:
            assert newest[0].bundle is not None
        assert again(scene, held[:1], historic=True) == ""
        assert again(scene, held[1:], historic=True) == "no-longer-accepted"


def test_a_newer_delivery_does_not_stop_the_older_one(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.add(image(tmp_path))
    scene.add(image(tmp_path, 2))
    with scene.open(scene.files[0]) as held, scene.open(scene.files[1]) as newer:
        assert newer[0].bundle is not None
        assert again(scene, held) == ""
    with scene.open(scene.files[0]) as refused:  # but nobody starts to serve it now
        assert refused[0].bundle is None
        assert refused[0].run.report.reason == "superseded"


def test_older_deliveries_beside_the_newest_are_typed(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.add(image(tmp_path))
    scene.add(image(tmp_path, 2))
    with scene.open() as held:
        with pytest.raises(TrustError) as caught:
            require_newest(held)
        assert caught.value.code == "superseded"
    with scene.open(historic=True) as held:
        require_newest(held)
        assert again(scene, held, historic=True) == ""


def test_the_first_bundle_that_does_not_pass_ends_the_start(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.add(image(tmp_path))
    scene.add(image(tmp_path, 2))
    told: list[Opened] = []
    missing = [scene.files[0], tmp_path / "absent"]
    with pytest.raises(EnvError), open_bundles(missing, scene.judge, told.append):
        pass
    flip(scene.files[1], scene.files[1].stat().st_size // 2)
    with open_bundles([scene.files[1], scene.files[0]], scene.judge, told.append) as held:
        assert [one.bundle for one in held] == [None]
        assert held[0].run.report.exit_code == 4
        assert judge_again(held, scene.judge) is held[0].run.report


@pytest.mark.parametrize("streams", [("main", "second"), ("main", "main")])
def test_one_tag_with_two_meanings(tmp_path: Path, streams: tuple[str, str]) -> None:
    scene = Scene(tmp_path)
    one, two = image(tmp_path), image(tmp_path, 2)
    if streams[0] == streams[1]:
        scene.add(one, (two[0], "Registry.example.org/team/app:1"))
    else:
        scene.add(one, stream=streams[0])
        scene.add(two, stream=streams[1])
    with scene.open() as held:
        with pytest.raises(UsageError) as caught, scene.run(held):
            pass
        assert caught.value.code == "tag-ambiguous"
        assert "registry.example.org/team/app:1" in str(caught.value)


def test_an_image_under_the_tag_of_anothers_evidence(tmp_path: Path) -> None:
    """One inventory cannot say that (FORMAT.md), but two streams can."""
    signed = evidence_image()
    signed.layout.write(tmp_path / "signed")
    _, subject, signature = next(found for found in signed.evidence if found[0] == "cosign-signature")
    name = f"{NAME.removesuffix(':1')}:{format_evidence_tag(subject, 'sig')}"
    scene = Scene(tmp_path, trusted_root=signed.sigstore.trusted_root_json())
    scene.add((tmp_path / "signed", NAME))
    scene.add((image(tmp_path, 2)[0], name), stream="second")
    with scene.open() as held:
        with pytest.raises(UsageError) as caught, scene.run(held):
            pass
        assert caught.value.code == "tag-ambiguous"
        assert name in str(caught.value)
        assert str(signature) in str(caught.value.hints)


def test_two_streams_that_agree(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    made = image(tmp_path)
    scene.add(made)
    scene.add(made, image(tmp_path, 2, "registry.example.org/other:1"), stream="second")
    with scene.serve() as server:
        assert (status(server), status(server, "/v2/other/manifests/1")) == (200, 200)


def test_watching_ends_when_it_is_told_to(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.add(image(tmp_path))
    with scene.open() as held, scene.run(held) as server:
        scene.clock += timedelta(days=3000)
        stop, waits, judged = threading.Event(), list[float](), threading.Event()

        def is_over(seconds: float) -> bool:
            waits.append(seconds)
            if len(waits) > 1:
                judged.set()
            return stop.wait(seconds)

        knobs = (server, held, lambda: scene.judge(read_only=True), is_over, 0.01)
        watching = threading.Thread(target=watch, args=knobs)
        watching.start()
        assert judged.wait(60)
        assert status(server, "/healthz") == 503
        stop.set()
        watching.join()


def test_a_bug_in_the_server_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path)
    scene.add(image(tmp_path))

    def fail(*_: object) -> None:
        raise KeyError("unforeseen")

    with scene.serve() as server:
        with monkeypatch.context() as patched:
            patched.setattr(server._registry, "answer", fail)
            with pytest.raises(AssertionError):  # no answer at all
                ask(server.address.port, "/v2/")
        assert status(server) == 200
        assert any("bug: KeyError" in line for line in scene.lines)


def test_an_address_that_is_taken(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.add(image(tmp_path))
    with scene.open() as held, scene.run(held) as server:
        place = Place(server.address)
        bundles = [one.bundle for one in held if one.bundle is not None]
        with (
            pytest.raises(SealiftError) as caught,
            open_server(bundles, place, write=scene.lines.append, clock=lambda: scene.clock),
        ):
            pass
        assert caught.value.code == "listen-failed"
