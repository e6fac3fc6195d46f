"""What `export --since` asks and refuses, for a log of Rekor 2; Rekor 1 is in tests/end_to_end/test_log_growth.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bundler.archive.inventory import LogGrowth
from bundler.digest import sha256_of
from bundler.encoding import encode_base64
from bundler.errors import SealiftError
from bundler.export.log_growth import Grown, fetch_growth
from bundler.network.access import Access
from bundler.network.connection import Connection
from bundler.transparency.checkpoint import open_checkpoint
from bundler.transparency.merkle import verify_consistency
from tests.simulators.log_tree import leaf, root_of
from tests.simulators.sigstore import Sigstore
from tests.simulators.sigstore_keys import START
from tests.simulators.tiles import TiledRekor
from trust_root.logs import LogCheckpoint, LogRecord
from trust_root.state_export import SiteHeads

LEAVES = [leaf(b"%d" % number) for number in range(700)]
AT = START + timedelta(days=30)
ONCE = Access(connect_seconds=20, stall_seconds=20, document_seconds=30, retries=0)


class Scene:
    """A log of Rekor 2, a trusted root that names it, and sites that have seen it."""

    def __init__(self, rekor: TiledRekor, cache: Path) -> None:
        self.rekor, self.cache = rekor, cache
        spki = rekor.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.log_id = rekor.trusted.log_id
        document = json.loads(Sigstore("tiles").trusted_root_json())
        document["tlogs"].append(
            {
                "baseUrl": f"http://{rekor.host}",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": encode_base64(spki),
                    "keyDetails": "PKIX_ED25519",
                    "validFor": {"start": "2020-01-01T00:00:00Z"},
                },
                "logId": {"keyId": encode_base64(self.log_id)},
            }
        )
        self.targets = {"trusted_root/one.json": json.dumps(document).encode()}

    def site(self, *sizes: int, note: bytes | None = None, origin: str | None = None) -> SiteHeads:
        points = [
            LogCheckpoint(
                size, root_of(self.rekor.leaves[:size]), note or self.rekor.checkpoint(size), AT, True, "main", 1
            )
            for size in sizes
        ]
        head, *loose = points
        record = LogRecord(self.log_id, origin or self.rekor.host, head, tuple(loose))
        return SiteHeads("plant", 3, sha256_of(b"state"), None, (), (record,))

    def ask(self, *since: SiteHeads) -> Grown:
        with Connection(ONCE, lambda: self.cache) as connection:
            return fetch_growth(since, (), self.targets, connection, AT)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with TiledRekor() as rekor:
        rekor.leaves = LEAVES[:600]
        yield Scene(rekor, tmp_path)


def proved(scene: Scene, growth: LogGrowth) -> list[int]:
    """Sizes whose proofs hold."""
    tip = open_checkpoint(growth.checkpoint, scene.rekor.trusted)
    for proof in growth.proofs:
        verify_consistency(
            proof.tree_size, tip.tree_size, proof.hashes, root_of(LEAVES[: proof.tree_size]), tip.root_hash
        )
    return [proof.tree_size for proof in growth.proofs]


def code(scene: Scene, *since: SiteHeads) -> tuple[str, int]:
    with pytest.raises(SealiftError) as error:
        scene.ask(*since)
    return error.value.code, error.value.exit_code


def test_nothing_is_asked_without_a_site(scene: Scene) -> None:
    assert scene.ask() == Grown()
    assert scene.rekor.asked == []


def test_every_size_that_a_site_holds_is_proved(scene: Scene) -> None:
    one, two = scene.site(100, 200), scene.site(100, 300)
    scene.rekor.leaves = LEAVES[:700]
    grown = scene.ask(one, two)
    (growth,) = grown.logs
    assert (growth.log, growth.fetched_at, grown.warnings) == (scene.log_id.hex(), AT, ())
    assert proved(scene, growth) == [100, 200, 300]


def test_a_tree_that_did_not_grow_needs_no_proof(scene: Scene) -> None:
    (growth,) = scene.ask(scene.site(600)).logs
    assert growth.proofs == ()


def test_a_log_that_contradicts_a_site(scene: Scene) -> None:
    site = scene.site(500)
    scene.rekor.leaves = [leaf(b"another"), *LEAVES[1:]]
    assert code(scene, site) == ("log-fork", 4)
    scene.rekor.leaves = [leaf(b"another"), *LEAVES[1:500]]
    assert code(scene, site) == ("log-fork", 4)
    scene.rekor.leaves = LEAVES[:499]
    assert code(scene, site) == ("log-rollback", 4)


def test_sites_that_contradict_each_other(scene: Scene) -> None:
    one = scene.site(500)
    scene.rekor.leaves = [leaf(b"another"), *LEAVES[1:600]]
    assert code(scene, one, scene.site(500)) == ("log-fork", 4)


def test_files_that_no_log_has_signed(scene: Scene) -> None:
    assert code(scene, scene.site(5, note=b"a note\n")) == ("since-file", 2)
    assert code(scene, scene.site(5, origin="another")) == ("since-file", 2)


@pytest.mark.parametrize("fault", ["no-tiles", "short-tiles", "another-tree"])
def test_no_answer_is_a_warning(scene: Scene, fault: str) -> None:
    site = scene.site(300)
    scene.rekor.faults.add(fault)
    grown = scene.ask(site)
    assert grown.logs == ()
    assert [f"how http://{scene.rekor.host} grew" in text for text in grown.warnings] == [True]


def test_a_log_without_entries_is_no_answer(scene: Scene) -> None:
    site = scene.site(1)
    scene.rekor.leaves = []
    assert code(scene, site) == ("log-rollback", 4)
