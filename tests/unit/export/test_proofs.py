"""Proofs for evidence with a promise only: what is found, what is warned about, what ends the export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bundler.archive.inventory import Blob, Evidence, Inventory, format_inventory, parse_inventory
from bundler.archive.storage import blob_rank
from bundler.digest import sha256_of
from bundler.errors import EnvError, RejectedError
from bundler.evidence.containers_signature import MEDIA_TYPE, format_containers_signature
from bundler.evidence.cosign import CosignItem
from bundler.evidence.kind import CONTAINERS_SIGNATURE
from bundler.evidence.sigstore_bundle import MessageSignature, SigstoreBundle, format_bundle
from bundler.export.collect import CollectedImage, collect
from bundler.export.proofs import Proofs, find_proofs
from bundler.network.access import Access
from bundler.network.layout import open_layout
from bundler.network.log_client import LogClient
from bundler.network.proof_cache import ProofStore
from bundler.oci.descriptor import Descriptor
from bundler.transparency.log_entry import TransparencyLogEntry, parse_log_entry_bytes
from bundler.transparency.promise import Promise
from bundler.transparency.proof import InclusionProof, open_inclusion
from bundler.verify.material import TrustedMaterial, parse_trusted_root
from tests.simulators.images import two_platforms
from tests.simulators.rekor import Rekor
from tests.simulators.sigstore import SignedLayer, Sigstore
from tests.simulators.sigstore_keys import AT
from tests.unit.export.conftest import NAME

REPOSITORY = "registry.example.org/app"
FETCHED = datetime(2026, 11, 1, 12, tzinfo=UTC)
PATIENT = Access(connect_seconds=20, stall_seconds=20, document_seconds=30, retries=0, backoff_seconds=0.01)
HASTY = replace(PATIENT, stall_seconds=0.3, document_seconds=1.0)  # for logs that let us wait
BUNDLE_V01 = "application/vnd.dev.sigstore.bundle+json;version=0.1"


class Scene:
    """A two-platform image, a Sigstore whose log is served, and an exporter that asks it."""

    def __init__(self, rekor: Rekor, folder: Path) -> None:
        self.rekor = rekor
        self.sigstore = Sigstore("proofs")
        self.sigstore.rekor = rekor.log
        self.signer = self.sigstore.keyless("https://example.org/w", at=AT)
        self.layout, self.top, (self.amd64, _) = two_platforms(NAME)
        self.folder = folder
        self.client, self.hasty = LogClient(PATIENT, {}), LogClient(HASTY, {})

    @property
    def material(self) -> TrustedMaterial:
        return parse_trusted_root(self.sigstore.trusted_root_json())

    def tag(self, layers: list[SignedLayer], suffix: str, subject: Descriptor | None = None) -> Descriptor:
        made = self.layout.cosign(layers)
        return self.layout.tag_evidence(made, subject or self.top, suffix, REPOSITORY)

    def refer(self, raw: bytes, media_type: str) -> Descriptor:
        """A referrer of the index with one layer."""
        config = self.layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
        blob = self.layout.blob(raw, media_type)
        manifest = self.layout.manifest(config, [blob], artifact_type=media_type, subject=self.top)
        return self.layout.name(manifest)

    def collect(self) -> CollectedImage:
        return collect(open_layout("oci", self.layout.write(self.folder / "layout"), NAME), NAME)

    def find(
        self,
        collected: CollectedImage | None = None,
        materials: list[TrustedMaterial] | None = None,
        *,
        required: bool = False,
        cache: Path | None = None,
    ) -> Proofs:
        client = self.hasty if self.rekor.fault in {"slow", "silent"} else self.client
        store = ProofStore(client.fetch, FETCHED, cache)
        materials = [self.material] if materials is None else materials
        return find_proofs(collected or self.collect(), materials, store, required=required)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Rekor() as rekor:
        rekor.log.promise(b"{}", at=AT)  # so that there is another entry
        made = Scene(rekor, tmp_path)
        yield made
        made.client.close()
        made.hasty.close()


def test_signatures_and_attestations(scene: Scene) -> None:
    top, amd64 = scene.top.digest, scene.amd64.digest
    first, second = (scene.sigstore.sign(top, scene.signer, at=AT) for _ in range(2))
    signed = scene.tag([first, second], "sig")
    attested = scene.tag([scene.sigstore.attest(amd64, scene.signer, at=AT)], "att", scene.amd64)
    found = scene.find()
    assert found.warnings == ()
    facts = [(item.subject, item.augments) for item, _ in found.found]
    assert facts == [(top, signed.digest), (top, signed.digest), (amd64, attested.digest)]
    log = scene.material.logs[0]
    for (evidence, raw), index in zip(found.found, (1, 2, 3), strict=True):
        assert (evidence.kind, evidence.found_by, evidence.fetched_at) == ("log-entry", "rekor", FETCHED)
        assert (evidence.digest, evidence.size_bytes) == (sha256_of(raw), len(raw))
        assert evidence.media_type == "application/vnd.sealift.log-entry.v1+json"
        assert evidence.log == scene.rekor.log.log_id.hex()
        entry = parse_log_entry_bytes(raw)
        assert entry.log_index == index
        assert entry.proof is not None
        assert open_inclusion(entry.body, entry.proof, log).tree_size == 4


def test_what_is_found_fits_into_an_inventory(scene: Scene) -> None:
    scene.tag([scene.sigstore.sign(scene.top.digest, scene.signer, at=AT)], "sig")
    collected = scene.collect()
    ((evidence, raw),) = scene.find(collected).found
    image = replace(collected.image, evidence=(*collected.image.evidence, evidence))
    node = Descriptor(evidence.media_type, evidence.digest, len(raw))
    items = sorted((*collected.nodes, node), key=lambda item: blob_rank(item.media_type))
    blobs = tuple(
        Blob(item.digest, item.size_bytes, item.media_type, "raw", item.size_bytes, item.digest) for item in items
    )
    inventory = Inventory("main", 1, None, (), FETCHED, "test", (image,), blobs)
    assert parse_inventory(format_inventory(inventory)) == inventory


def test_evidence_is_never_touched(scene: Scene) -> None:
    scene.tag([scene.sigstore.sign(scene.top.digest, scene.signer, at=AT)], "sig")
    collected = scene.collect()
    before = (collected.image, collected.nodes, dict(collected.evidence_manifests))
    scene.find(collected)
    assert (collected.image, collected.nodes, dict(collected.evidence_manifests)) == before


def test_exports_repeat(scene: Scene, tmp_path: Path) -> None:
    scene.tag([scene.sigstore.sign(scene.top.digest, scene.signer, at=AT)], "sig")
    cache = tmp_path / "proofs"
    cache.mkdir()
    first = scene.find(cache=cache)
    scene.rekor.log.promise(b"later", at=AT)
    scene.rekor.fault = "500"
    assert scene.find(cache=cache).found == first.found


def test_the_same_proof_about_one_subject_is_listed_once(scene: Scene) -> None:
    """A copy of a signature in two layers of one manifest."""
    layer = scene.sigstore.sign(scene.top.digest, scene.signer, at=AT)
    scene.tag([layer, layer], "sig")
    assert len(scene.find().found) == 1


def test_two_pieces_of_evidence_with_one_promise(scene: Scene) -> None:
    promise = scene.rekor.log.promise(BODY, at=AT)
    first = scene.refer(bundle(promise), BUNDLE_V01)
    second = scene.refer(bundle(promise, hint="other"), BUNDLE_V01)
    found = scene.find()
    assert [entry.augments for entry, _ in found.found] == [first.digest, second.digest]
    assert len({entry.digest for entry, _ in found.found}) == 1
    assert found.warnings == ()


def bundle(promise: Promise, proof: InclusionProof | None = None, hint: str = "hint") -> bytes:
    entry = TransparencyLogEntry(
        promise.log_index, promise.log_id, "hashedrekord", "0.0.1", promise.integrated_time, promise.signature, proof,
        promise.body,
    )  # fmt: skip
    return format_bundle(SigstoreBundle(b"", BUNDLE_V01, None, (), hint, (entry,), (), MessageSignature(b"signature")))


BODY = b'{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{}}'


def test_sigstore_bundles_with_a_promise_only(scene: Scene) -> None:
    promise = scene.rekor.log.promise(BODY, at=AT)
    made = scene.refer(bundle(promise), BUNDLE_V01)
    found = scene.find()
    assert found.warnings == ()
    assert [(item.augments, item.subject) for item, _ in found.found] == [(made.digest, scene.top.digest)]


def test_sigstore_bundles_whose_proof_lacks_its_checkpoint(scene: Scene) -> None:
    promise = scene.rekor.log.promise(BODY, at=AT)
    entry = scene.rekor.entries[-1]
    tree = entry.shard.tree
    proof = InclusionProof(entry.index, tree.root, len(tree.bodies), tree.path(entry.index), None)
    scene.refer(bundle(promise, proof), BUNDLE_V01)
    assert len(scene.find().found) == 1


def test_sigstore_bundles_with_a_proof_need_none(scene: Scene) -> None:
    promise = scene.rekor.log.promise(BODY, at=AT)
    entry = scene.rekor.entries[-1]
    tree = entry.shard.tree
    checkpoint = scene.rekor.checkpoint(entry, f"{scene.rekor.host} - 1").encode()
    proof = InclusionProof(entry.index, tree.root, len(tree.bodies), tree.path(entry.index), checkpoint)
    scene.refer(bundle(promise, proof), BUNDLE_V01)
    assert scene.find(required=True) == Proofs((), ())
    assert scene.rekor.asked == []


def test_signature_files_of_containers_image(scene: Scene) -> None:
    layer = scene.sigstore.sign(scene.top.digest, scene.signer, at=AT)
    item = CosignItem(CONTAINERS_SIGNATURE, sha256_of(b""), 0, layer.media_type, layer.raw, layer.annotations)
    blob = scene.layout.blob(format_containers_signature(item), MEDIA_TYPE)
    collected = scene.collect()
    evidence = Evidence(CONTAINERS_SIGNATURE, scene.top.digest, blob.digest, MEDIA_TYPE, blob.size_bytes, "dir")
    found = scene.find(replace(collected, image=replace(collected.image, evidence=(evidence,))))
    assert [(item.augments, item.subject) for item, _ in found.found] == [(blob.digest, scene.top.digest)]


def test_nothing_to_prove(scene: Scene) -> None:
    assert scene.find(required=True) == Proofs((), ())


def test_evidence_without_a_promise(scene: Scene) -> None:
    made = scene.tag([scene.sigstore.sign(scene.top.digest, scene.sigstore.key_signer(), at=None)], "sig")
    assert scene.find() == Proofs((), ())
    found = scene.find(required=True)
    assert found.found == ()
    (warning,) = found.warnings
    assert NAME in warning
    assert str(made.digest) in warning
    assert "not logged" in warning


FAULTS = {
    "500": "log-unreachable",
    "silent": "log-unreachable",
    "slow": "log-unreachable",
    "endless": "log-answer",
    "no-json": "log-answer",
    "twice": "log-answer",
    "redirect": "log-answer",
    "404": "log-entry-absent",
    "other-entry": "proof-other-entry",
    "other-time": "proof-other-entry",
    "wrong-root": "inclusion-proof",
    "wrong-size": "inclusion-proof",
    "forged-checkpoint": "checkpoint-signature",
    "other-origin": "checkpoint-origin",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_log_that_fails_or_lies(scene: Scene, fault: str) -> None:
    made = scene.tag([scene.sigstore.sign(scene.top.digest, scene.signer, at=AT)], "sig")
    scene.rekor.fault = fault
    found = scene.find()
    assert found.found == ()
    (warning,) = found.warnings
    for part in (NAME, str(made.digest), scene.rekor.log.url, f"({FAULTS[fault]})"):
        assert part in warning
    assert "\n" not in warning
    with pytest.raises((RejectedError, EnvError)) as error:
        scene.find(required=True)
    assert error.value.code == FAULTS[fault]
    assert error.value.exit_code == (6 if FAULTS[fault] in {"log-unreachable", "log-answer"} else 1)
    assert any(NAME in hint and str(made.digest) in hint for hint in error.value.hints)


def test_one_failure_does_not_hide_the_others(scene: Scene) -> None:
    good = scene.sigstore.sign(scene.top.digest, scene.signer, at=AT)
    promise = scene.rekor.log.promise(b"not JSON", at=AT)
    odd = good.having(bundle='{"SignedEntryTimestamp":1}')
    lost = Sigstore("elsewhere").sign(scene.top.digest, scene.signer, at=AT)
    scene.tag([odd, lost, good], "sig")
    found = scene.find()
    assert len(found.found) == 1
    assert [warning.rpartition("(")[2] for warning in found.warnings] == ["field-missing)", "log-unknown)"]
    assert promise.log_index == 2


@pytest.mark.parametrize(
    ("bundle_text", "code"), [('{"SignedEntryTimestamp":1}', "field-missing"), ("[]", "field-type"), ("{", "json")]
)
def test_a_promise_that_cannot_be_read(scene: Scene, bundle_text: str, code: str) -> None:
    layer = scene.sigstore.sign(scene.top.digest, scene.signer, at=AT)
    scene.tag([layer.having(bundle=bundle_text)], "sig")
    collected = scene.collect()
    assert [f"({code})" in warning for warning in scene.find(collected).warnings] == [True]
    with pytest.raises(RejectedError) as error:
        scene.find(collected, required=True)
    assert error.value.code == code


def test_a_promise_that_does_not_hold(scene: Scene) -> None:
    layer = scene.sigstore.sign(scene.top.digest, scene.signer, at=AT)
    other = scene.rekor.log.promise(b"x", at=AT)
    text = layer.annotations["dev.sigstore.cosign/bundle"].replace('"logIndex":1,', f'"logIndex":{other.log_index},')
    scene.tag([layer.having(bundle=text)], "sig")
    assert "(set)" in scene.find().warnings[0]
    assert scene.rekor.asked == []


def test_a_body_that_is_no_entry(scene: Scene) -> None:
    promise = scene.rekor.log.promise(b"not JSON", at=AT)
    scene.refer(bundle(promise), BUNDLE_V01)
    assert "(json)" in scene.find().warnings[0]


def test_trusted_roots(scene: Scene) -> None:
    """Any of them may know the log; the first under which the promise holds is asked."""
    scene.tag([scene.sigstore.sign(scene.top.digest, scene.signer, at=AT)], "sig")
    other = parse_trusted_root(Sigstore("elsewhere").trusted_root_json())
    early = datetime(2021, 1, 1, tzinfo=UTC)
    closed = parse_trusted_root(scene.sigstore.trusted_root_json(log_window=(datetime(2020, 1, 1, tzinfo=UTC), early)))
    assert len(scene.find(materials=[other, closed, scene.material]).found) == 1
    assert "(log-unknown)" in scene.find(materials=[]).warnings[0]
    assert "(log-unknown)" in scene.find(materials=[other]).warnings[0]
    assert "(log-window)" in scene.find(materials=[closed, other]).warnings[0]
    assert len(scene.rekor.asked) == 1


def test_the_evidence_does_not_say_where_to_ask(scene: Scene) -> None:
    """Another log with the id of a trusted one in its promise: never asked, for the promise does not hold."""
    with Rekor() as evil:
        promise = evil.log.promise(BODY, at=AT, index=1, log_id=scene.rekor.log.log_id)
        scene.refer(bundle(promise), BUNDLE_V01)
        assert "(set)" in scene.find().warnings[0]
        assert evil.asked == []
    assert scene.rekor.asked == []
