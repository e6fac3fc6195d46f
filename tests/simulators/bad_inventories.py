"""Inventories that break one rule each (bundler/archive/FORMAT.md, "Inventory"): (expected code, title, bytes).

They start from the inventory of `bundles.sample_inventory` as JSON; canonical unless the spelling is the point.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from bundler.archive.inventory import format_inventory
from bundler.encoding import encode_base64
from bundler.strict_json import format_canonical
from tests.simulators.bundles import sample_inventory

Change = Callable[[dict[str, Any]], object]

_HASH = "a" * 64
_OTHER = f"sha256:{_HASH}"
_SHA512 = "sha512:" + "a" * 128


def good_inventory() -> bytes:
    """The inventory that the others start from."""
    return format_inventory(sample_inventory()[0])


def bad_inventories() -> Iterator[tuple[str, str, bytes]]:
    """Every bad inventory."""
    good = json.loads(good_inventory())
    for code, title, change in _changes(good):
        document = copy.deepcopy(good)
        change(document)
        yield code, title, format_canonical(document)
    yield from _spellings(good_inventory())


def _put(*path: str | int, value: Any) -> Change:
    """Set one field."""

    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = value

    return change


def _drop(*path: str | int) -> Change:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        del document[path[-1]]

    return change


def _twice(*path: str | int) -> Change:
    """Repeat the first item of an array."""

    def change(document: Any) -> None:
        for step in path:
            document = document[step]
        document.append(copy.deepcopy(document[0]))

    return change


def _changes(good: dict[str, Any]) -> Iterator[tuple[str, str, Change]]:
    yield from _head_changes()
    yield from _image_changes()
    yield from _blob_changes(good)
    yield from _growth_changes()
    yield from _data_changes(good)
    for path in _objects(good):
        place = "-".join(str(step) for step in path) or "top"
        yield "field-unknown", f"unknown-field-{place}", _put(*path, "extra", value=1)
        value: Any = good
        for step in path:
            value = value[step]
        for key in sorted(value):
            if path or key != "format":
                missing = "field-missing"
                yield missing, f"missing-{place}-{key}".replace("_", "-"), _drop(*path, key)


def _objects(good: dict[str, Any]) -> list[tuple[str | int, ...]]:
    image: tuple[str | int, ...] = ("images", 0)
    inner = [(*image, key, 0) for key in ("platforms", "omitted", "evidence", "searches")]
    return [(), image, *inner, ("blobs", 0)]


def _head_changes() -> Iterator[tuple[str, str, Change]]:
    yield "format", "format-0", _put("format", value=0)
    yield "format", "format-2", _put("format", value=2)
    yield "field-type", "format-text", _put("format", value="1")
    yield "field-value", "format-true", _put("format", value=True)
    yield "field-missing", "format-missing", _drop("format")
    yield "critical", "critical-unknown", _put("critical", value=["volumes"])
    yield "order", "critical-unsorted", _put("critical", value=["b", "a"])
    yield "order", "critical-twice", _put("critical", value=["a", "a"])
    yield "field-type", "critical-number", _put("critical", value=[1])
    for title, name in {
        "empty": "",
        "upper": "Main",
        "dash-first": "-main",
        "slash": "a/b",
        "dots": "..",
        "long": "a" * 32,
        "root": "root",
        "targets": "targets",
        "snapshot": "snapshot",
        "timestamp": "timestamp",
        "newline-escaped": "main\\n",
    }.items():
        yield "name", f"stream-{title}", _put("stream", value=name)
    yield "field-value", "sequence-0", _put("sequence", value=0)
    yield "field-type", "sequence-text", _put("sequence", value="1")
    yield "previous", "sequence-2-without-previous", _put("sequence", value=2)
    yield "previous", "sequence-1-with-previous", _put("previous", value=_OTHER)
    yield "digest-algorithm", "previous-sha512", lambda document: document.update(sequence=2, previous=_SHA512)
    yield "digest", "previous-upper", _put("previous", value=_OTHER.upper())
    yield "field-type", "previous-number", _put("previous", value=1)
    yield "field-type", "audience-null", _put("audience", value=None)
    yield "order", "audience-unsorted", _put("audience", value=["b", "a"])
    yield "order", "audience-twice", _put("audience", value=["a", "a"])
    yield "name", "audience-space", _put("audience", value=["north site"])
    yield "name", "audience-empty-name", _put("audience", value=[""])
    for title, text in {
        "space": "2026-11-23 12:00:00Z",
        "offset": "2026-11-23T12:00:00+00:00",
        "fraction": "2026-11-23T12:00:00.5Z",
        "no-such-day": "2026-02-30T12:00:00Z",
        "leap-second": "2026-12-31T23:59:60Z",
        "five-digit-year": "12026-11-23T12:00:00Z",
    }.items():
        yield "time", f"created-{title}", _put("created", value=text)
    yield "text", "tool-empty", _put("tool", value="")
    yield "text", "tool-long", _put("tool", value="a" * 1025)


def _image_changes() -> Iterator[tuple[str, str, Change]]:
    image = ("images", 0)
    for title, name in {
        "short": "app",
        "no-tag": "registry.example/app",
        "upper": "registry.example/App:1",
        "space": "registry.example/app:1 ",
        "legacy-host": "index.docker.io/library/app:1",
        "of-another-digest": f"registry.example/app:1@{_OTHER}",
        "of-a-sha512-digest": f"registry.example/app:1@{_SHA512}",
    }.items():
        code = "reference" if title in ("upper", "space") else "name"
        yield code, f"image-name-{title}", _put(*image, "name", value=name)
    yield "order", "image-twice", _twice("images")
    yield "blob-absent", "image-absent", _put(*image, "digest", value=_OTHER)
    yield "digest-algorithm", "evidence-subject-sha512", _put(*image, "evidence", 0, "subject", value=_SHA512)
    yield "blob-mismatch", "image-size", _put(*image, "size", value=1)
    yield (
        "blob-mismatch",
        "image-media-type",
        _put(*image, "media_type", value="application/vnd.oci.image.manifest.v1+json"),
    )
    yield "text", "image-source-path", _put(*image, "source", value="oci:/home/someone/layout")
    yield "order", "platform-twice", _twice(*image, "platforms")
    yield "blob-absent", "platform-absent", _put(*image, "platforms", 0, "digest", value=_OTHER)
    yield "text", "platform-empty", _put(*image, "platforms", 0, "platform", value="")
    yield "blob-mismatch", "platform-is-a-config", _as_config("platforms", 0, keys=("digest",))
    yield "media-type", "image-is-a-config", _as_config(keys=("digest", "media_type", "size"))
    yield "digest-algorithm", "omission-sha512", _put(*image, "omitted", 0, "digest", value=_SHA512)
    yield "text", "omission-platform-empty", _put(*image, "omitted", 0, "platform", value="")
    yield "order", "omission-twice", _twice(*image, "omitted")
    yield "media-type", "omission-media-type", _put(*image, "omitted", 0, "media_type", value="none")
    yield "field-value", "omission-size-large", _put(*image, "omitted", 0, "size", value=2**51)
    yield "order", "evidence-twice", _twice(*image, "evidence")
    yield "blob-absent", "evidence-absent", _put(*image, "evidence", 0, "digest", value=_OTHER)
    yield "blob-mismatch", "evidence-size", _put(*image, "evidence", 0, "size", value=1)
    yield "evidence-kind", "evidence-kind-unknown", _put(*image, "evidence", 0, "kind", value="future-kind")
    yield "text", "evidence-kind-spelling", _put(*image, "evidence", 0, "kind", value="Cosign Signature")
    yield "text", "evidence-found-by-empty", _put(*image, "evidence", 0, "found_by", value="")
    yield from _own_evidence_changes((*image, "evidence"))
    yield "order", "search-twice", _twice(*image, "searches")
    yield "digest-algorithm", "search-subject-sha512", _put(*image, "searches", 0, "subject", value=_SHA512)
    yield "text", "search-place-empty", _put(*image, "searches", 0, "place", value="")
    yield "text", "search-answer-empty", _put(*image, "searches", 0, "answer", value="")
    yield "layout-name", "name-of-evidence-taken", _take_evidence_name


def _own_evidence_changes(evidence: tuple[str | int, ...]) -> Iterator[tuple[str, str, Change]]:
    """What is wrong with blobs of ours among the evidence: 2 is a containers-signature, 3 a log entry."""
    yield "text", "digest-origin", _put("images", 0, "digest_origin", value="guessed")
    yield "media-type", "signature-blob-as-manifest", _put(*evidence, 2, "kind", value="cosign-signature")
    yield "media-type", "manifest-as-signature-blob", _put(*evidence, 1, "kind", value="containers-signature")
    yield "augments", "log-entry-augments-absent", _put(*evidence, 3, "augments", value=_OTHER)
    yield "augments", "log-entry-augments-itself", _augment_itself
    yield "media-type", "index-as-cosign-attestation", _attest_by_index
    yield "digest-algorithm", "log-entry-augments-sha512", _put(*evidence, 3, "augments", value=_SHA512)
    yield "text", "log-entry-log-upper", _put(*evidence, 3, "log", value="AB" * 32)
    yield "time", "log-entry-fetched-at", _put(*evidence, 3, "fetched_at", value="2026-11-23")
    yield "field-missing", "log-entry-without-log", _drop(*evidence, 3, "log")
    yield "field-unknown", "augments-without-log-entry", _put(*evidence, 0, "augments", value=_OTHER)


def _as_config(*path: str | int, keys: tuple[str, ...]) -> Change:
    """The first image, or a part of it, as if it were its config."""

    def change(document: Any) -> None:
        config = next(blob for blob in document["blobs"] if ".config." in blob["media_type"])
        target = document["images"][0]
        for step in path:
            target = target[step]
        target.update({key: config[key] for key in keys})

    return change


def _augment_itself(document: Any) -> None:
    entry = document["images"][0]["evidence"][3]
    entry["augments"] = entry["digest"]


def _attest_by_index(document: Any) -> None:
    image = document["images"][0]
    image["evidence"][0].update({key: image[key] for key in ("digest", "media_type", "size")})


def _take_evidence_name(document: dict[str, Any]) -> None:
    """A second image under the name that the first one's attestation has in index.json."""
    first = document["images"][0]
    second = copy.deepcopy(first)
    second["name"] = f"registry.example/app:{first['digest'].replace(':', '-')}.att"
    second["evidence"] = []
    document["images"].append(second)


def _growth_changes() -> Iterator[tuple[str, str, Change]]:
    """`logs` is absent from the good inventory; here it stands, with one thing wrong."""
    proof: dict[str, Any] = {"size": 5, "hashes": [encode_base64(bytes(32))]}
    log = {
        "log": _HASH,
        "checkpoint": encode_base64(b"a note\n"),
        "fetched_at": "2026-11-23T12:00:00Z",
        "proofs": [proof],
    }
    wrong: dict[str, tuple[str, Any]] = {
        "empty": ("field-value", []),
        "twice": ("order", [log, log]),
        "unsorted": ("order", [{**log, "log": "b" * 64}, log]),
        "unknown-field": ("field-unknown", [{**log, "origin": "rekor"}]),
        "log-upper": ("text", [{**log, "log": _HASH.upper()}]),
        "later-than-created": ("time", [{**log, "fetched_at": "2026-11-23T12:00:01Z"}]),
        "no-checkpoint": ("limits", [{**log, "checkpoint": ""}]),
        "lax-base64": ("base64", [{**log, "checkpoint": "YQ"}]),
        "proof-from-0": ("field-value", [{**log, "proofs": [{**proof, "size": 0}]}]),
        "proofs-unsorted": ("order", [{**log, "proofs": [proof, {**proof, "size": 4}]}]),
        "proof-empty": ("log-proof", [{**log, "proofs": [{**proof, "hashes": []}]}]),
        "proof-too-long": ("limits", [{**log, "proofs": [{**proof, "hashes": proof["hashes"] * 65}]}]),
        "short-hash": ("log-proof", [{**log, "proofs": [{**proof, "hashes": ["AAAA"]}]}]),
    }
    for title, (code, value) in wrong.items():
        yield code, f"logs-{title}", _put("logs", value=value)


def _data_changes(good: dict[str, Any]) -> Iterator[tuple[str, str, Change]]:
    """`data` is absent from the good inventory; here it stands, with one thing wrong."""
    blob = next(blob for blob in good["blobs"] if blob["media_type"] == "application/vnd.sealift.log-entry.v1+json")
    manifest = next(blob for blob in good["blobs"] if "manifest" in blob["media_type"])

    def entry(of: dict[str, Any], **more: Any) -> dict[str, Any]:
        own = {key: of[key] for key in ("digest", "media_type", "size")}
        return {"kind": "osv", "source": "osv/PyPI", "modified": None, "records": 7, **own, **more}

    artifact = entry(manifest, kind="trivy-db", source="registry.example/trivy-db:2")
    yield "field-value", "data-empty", _put("data", value=[])
    yield "order", "data-twice", _put("data", value=[entry(blob), entry(blob)])
    yield "order", "data-unsorted", _put("data", value=[artifact, entry(blob)])
    yield "field-unknown", "data-unknown-field", _put("data", value=[entry(blob, url="https://osv.dev")])
    yield "data-kind", "data-of-another-kind", _put("data", value=[entry(blob, kind="nvd")])
    yield "media-type", "data-of-another-media-type", _put("data", value=[entry(blob)])
    yield "text", "data-without-source", _put("data", value=[entry(blob, source="")])
    yield "name", "data-artifact-without-tag", _put("data", value=[{**artifact, "source": "registry.example/trivy-db"}])
    elsewhere = {**artifact, "source": f"registry.example/trivy-db@{_OTHER}"}
    yield "name", "data-artifact-of-another-digest", _put("data", value=[elsewhere])
    yield "time", "data-later-than-created", _put("data", value=[{**artifact, "modified": "2026-11-23T12:00:01Z"}])
    yield "field-value", "data-records-true", _put("data", value=[entry(blob, records=True)])
    yield "blob-absent", "data-without-blob", _put("data", value=[entry(blob, digest=_OTHER)])
    yield "blob-mismatch", "data-of-another-size", _put("data", value=[entry(blob, size=1)])
    named = {**artifact, "source": good["images"][0]["name"]}
    yield "layout-name", "data-under-an-image-s-name", _put("data", value=[named])


def _blob_changes(good: dict[str, Any]) -> Iterator[tuple[str, str, Change]]:
    blobs = good["blobs"]
    framed = next(position for position, blob in enumerate(blobs) if blob["stored"] == "zstd")
    raw_layer = next(
        position for position, blob in enumerate(blobs) if blob["stored"] == "raw" and "layer" in blob["media_type"]
    )
    blob = ("blobs", framed)
    omitted = good["images"][0]["omitted"][0]["digest"]
    yield "order", "blob-twice", _twice("blobs")
    yield "blob-order", "blobs-reversed", lambda document: document["blobs"].reverse()
    yield "digest", "blob-digest-short", _put(*blob, "digest", value="sha256:abc")
    yield "digest", "blob-digest-path", _put(*blob, "digest", value="sha256:../../etc/passwd")
    yield "digest-algorithm", "blob-sha512", _put(*blob, "digest", value=_SHA512)
    yield "digest-algorithm", "stored-sha512", _put(*blob, "stored_digest", value=_SHA512)
    yield (
        "omitted-present",
        "omitted-and-present",
        _put("blobs", raw_layer, value={**blobs[raw_layer], **_same(omitted)}),
    )
    yield "field-value", "blob-size-large", _put(*blob, "size", value=2**51)
    yield "field-type", "blob-size-text", _put(*blob, "size", value="1")
    yield "media-type", "blob-media-type", _put(*blob, "media_type", value="../..")
    yield "media-type", "media-type-quoted", _put(*blob, "media_type", value='application/x;a="b"')
    yield "media-type", "media-type-spaces", _put(*blob, "media_type", value="application/x ; a=b")
    yield "text", "media-type-long", _put(*blob, "media_type", value="application/x" + ";k=v" * 300)
    yield "stored", "stored-gzip", _put(*blob, "stored", value="gzip")
    yield "stored", "raw-with-other-size", _put("blobs", raw_layer, "stored_size", value=1)
    yield "stored", "raw-with-other-digest", _put("blobs", raw_layer, "stored_digest", value=_OTHER)
    yield "stored", "zstd-of-manifest", _put("blobs", 0, "stored", value="zstd")
    yield "stored", "zstd-below-64-kib", _put("blobs", raw_layer, "stored", value="zstd")
    yield "stored", "zstd-of-gzip", _put(*blob, "media_type", value="application/vnd.oci.image.layer.v1.tar+gzip")
    yield "stored", "zstd-without-gain", _put(*blob, "stored_size", value=blobs[framed]["size"])
    yield "limits", "manifest-too-large", _put("blobs", 0, "size", value=4 * 2**20 + 1)


def _same(digest: str) -> dict[str, str]:
    return {"digest": digest, "stored_digest": digest}


def _spellings(good: bytes) -> Iterator[tuple[str, str, bytes]]:
    canonical = "not-canonical"
    document = json.loads(good)
    yield "json", "empty", b""
    yield "field-type", "array", b"[]"
    yield "field-type", "null", b"null"
    yield canonical, "final-newline", good + b"\n"
    yield canonical, "leading-space", b" " + good
    yield canonical, "indented", json.dumps(document, indent=1, sort_keys=True).encode()
    reversed_keys = dict(reversed(list(document.items())))
    yield canonical, "unsorted-keys", json.dumps(reversed_keys, separators=(",", ":")).encode()
    yield canonical, "escaped-slash", good.replace(b"registry.example/app", b"registry.example\\/app", 1)
    yield canonical, "escaped-letter", good.replace(b'"main"', b'"\\u006dain"', 1)
    yield canonical, "escaped-control", good.replace(b"sealift test", b"sealift\\ttest", 1)
    yield canonical, "exponent", good.replace(b'"sequence":1', b'"sequence":1e0', 1)
    yield canonical, "fraction", good.replace(b'"sequence":1', b'"sequence":1.0', 1)
    yield canonical, "negative-zero", good.replace(b'"sequence":1', b'"sequence":-0', 1)
    yield canonical, "beyond-2-53", good.replace(b'"sequence":1', b'"sequence":9007199254740992', 1)
    yield "json", "leading-zero", good.replace(b'"sequence":1', b'"sequence":01', 1)
    yield "json", "plus", good.replace(b'"sequence":1', b'"sequence":+1', 1)
    yield "json-number", "nan", good.replace(b'"sequence":1', b'"sequence":NaN', 1)
    yield "json", "trailing-comma", good[:-1] + b",}"
    yield "json", "trailing-garbage", good + b"{}"
    yield "json-encoding", "byte-order-mark", b"\xef\xbb\xbf" + good
    yield "json-encoding", "utf-16", good.decode().encode("utf-16")
    yield "json-encoding", "invalid-utf-8", good.replace(b"sealift test", b"sealift \xff", 1)
    yield "json-surrogate", "lone-surrogate", good.replace(b"sealift test", b"sealift \\ud800", 1)
    yield "json-depth", "deep", good[:-1] + b',"x":' + b"[" * 100 + b"]" * 100 + b"}"
    for key in sorted(document):
        first = b'"%s":' % key.encode()
        yield "json-duplicate-key", f"twice-{key}", good[:-1] + b"," + first + b"null}"
