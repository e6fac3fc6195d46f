"""Parts of `sealift patch` that need no registry: names, the record, the index, the signed referrer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.digest import sha256_of
from bundler.encoding import decode_base64
from bundler.errors import MalformedError, RejectedError, UsageError
from bundler.evidence.derivation import ARTIFACT_TYPE, parse_derivation
from bundler.evidence.envelope import parse_envelope
from bundler.export.patch_names import patched_name, platform_tag
from bundler.export.patch_record import (
    Delivered,
    DeliveredData,
    DeliveredPlatform,
    Record,
    format_record,
    load_record,
    parse_record,
    save_record,
)
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_MANIFEST, ImageManifest, parse_manifest
from bundler.strict_json import format_canonical
from tests.simulators.patched import patched_scene
from trust_root.keys import KINDS, generate_key, key_material
from trust_root.stream_signature import StreamKeys, sign_payload

ONE, TWO = sha256_of(b"1"), sha256_of(b"2")
DELIVERED = Delivered(
    "registry.example.org/app:1", ONE, "main", 3, "registry.example.org/app",
    (DeliveredPlatform("linux/amd64", ONE, Descriptor(OCI_MANIFEST, TWO, 12), ("CVE-1 in x",)),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "patched", "tag"),
    [
        ("registry.example.org/app:1", "registry.example.org/app:1-patched", "1-patched-amd64"),
        ("nginx", "docker.io/library/nginx:latest-patched", "latest-patched-amd64"),
        (f"x.org/a@{ONE}", f"x.org/a:{ONE.hex[:12]}-patched", f"{ONE.hex[:12]}-patched-amd64"),
        (f"x.org/a:2@{ONE}", "x.org/a:2-patched", "2-patched-amd64"),
    ],
)
def test_names_of_patched_images(name: str, patched: str, tag: str) -> None:
    assert (patched_name(name, "-patched"), platform_tag(name, "-patched", "linux/amd64")) == (patched, tag)


def test_tags_of_platforms() -> None:
    assert platform_tag("a.org/a:1", "-p", "linux/arm64/v8") == "1-p-arm64-v8"
    assert platform_tag("a.org/a:1", "-p", "windows/amd64") == "1-p-windows-amd64"


@pytest.mark.parametrize("suffix", [" x", "/x", ":x", "x" * 200, "\x1b[0m"])
def test_a_suffix_that_gives_no_tag(suffix: str) -> None:
    with pytest.raises(UsageError) as caught:
        patched_name("a.org/a:1", suffix)
    assert caught.value.code == "patch-tag"


# -- record -----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 2**53 - 1), st.sampled_from(["linux/amd64", "linux/arm64/v8"]), st.integers(0, 4096))
@settings(derandomize=True, deadline=None, max_examples=30)
def test_parse_and_format_of_records_are_inverse(sequence: int, platform: str, size: int) -> None:
    each = DeliveredPlatform(platform, ONE, Descriptor(OCI_MANIFEST, TWO, size))
    data = (DeliveredData(ONE, "main", sequence),)
    record = Record((Delivered("a.org/a:1", ONE, "main", sequence, "a.org/a", (each,)), DELIVERED), data)
    assert parse_record(format_record(record)) == record
    assert format_record(parse_record(format_record(record))) == format_record(record)


def test_a_record_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert load_record(path) == Record()
    save_record(path, Record((DELIVERED,)))
    assert load_record(path) == Record((DELIVERED,))
    for raw in (b"", b"{}", b"[]", path.read_bytes() + b"\n", b'{"format":1,"images":[]}'):
        path.write_bytes(raw)
        with pytest.raises(UsageError) as caught:
            load_record(path)
        assert caught.value.code == "patch-record"


@pytest.mark.parametrize("what", ["images", "data"])
def test_one_thing_twice_in_a_record_is_refused(what: str) -> None:
    document: dict[str, Any] = json.loads(format_record(Record((DELIVERED,), (DeliveredData(ONE, "main", 3),))))
    document[what] *= 2
    with pytest.raises(MalformedError) as caught:
        parse_record(format_canonical(document))
    assert caught.value.code == "order"


def test_data_counts_as_delivered_by_the_same_stream_only() -> None:
    record = Record((), (DeliveredData(ONE, "main", 3), DeliveredData(TWO, "other", 1)))
    assert record.data_of("main", 3) == {ONE}
    assert record.data_of("main", 2) == frozenset()  # another repository


# -- statement --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_referrer_holds_a_signed_statement_and_what_it_names(kind: str) -> None:
    scene = patched_scene()
    scene.key = generate_key(KINDS[kind])
    scene.build()
    manifest = parse_manifest(scene.referrer.raw, OCI_MANIFEST)
    assert isinstance(manifest, ImageManifest)
    assert (manifest.artifact_type, manifest.subject and manifest.subject.digest) == (
        ARTIFACT_TYPE, scene.patched_top.digest,
    )  # fmt: skip
    envelope = parse_envelope(scene.referrer.made[manifest.layers[0].digest])
    keys = StreamKeys("main", (generate_key().public, scene.key.public))
    assert keys.verify(envelope.signature, envelope.signed_bytes) == key_material(scene.key.public)
    assert {layer.digest for layer in manifest.layers[1:]} == set(parse_derivation(envelope.payload).documents)


def test_the_same_statement_gives_the_same_bytes() -> None:
    key = generate_key()
    raws = set()
    for _ in range(2):
        scene = patched_scene()
        scene.key = key
        scene.build()
        raws.add(scene.referrer.raw)
    assert len(raws) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_another_key_other_bytes_and_other_spellings_are_refused(kind: str) -> None:
    key = generate_key(KINDS[kind])
    signature = sign_payload(key, b"DSSEv1 ")
    keys = StreamKeys("main", (key.public,))
    keys.verify(signature, b"DSSEv1 ")
    bad = [(signature, b"DSSEv1  "), (signature + b"\0", b"DSSEv1 "), (b"", b"DSSEv1 "), (signature[:-1], b"DSSEv1 ")]
    bad += [(sign_payload(generate_key(KINDS[kind]), b"DSSEv1 "), b"DSSEv1 ")]
    for wrong, payload in bad:
        with pytest.raises(RejectedError) as caught:
            keys.verify(wrong, payload)
        assert caught.value.code == "stream-signature"


def test_without_keys_nothing_is_signed() -> None:
    with pytest.raises(RejectedError):
        StreamKeys("main", ()).verify(decode_base64("AAAA", "x"), b"")
