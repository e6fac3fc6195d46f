"""An image, the same image patched, and all that an exporter says of the two: in one layout, as registries hold them.

    scene = patched_scene()                 # two platforms, signed original, honest patch
    scene.patched["linux/amd64"].layers.reverse(); …
    layout = scene.layout(key)              # builds everything from what stands in the scene

A scene is plain data until `layout` builds it, so a test can bend any part of it: layers, history, config, the
statement's fields (`say`), the reports, the signing key.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from bundler.digest import Digest, sha256_of
from bundler.evidence.derivation import Derivation, Original, PatchedPlatform, Tool
from bundler.export.patch_statement import MadeReferrer, make_referrer
from bundler.oci.descriptor import Descriptor, parse_platform
from bundler.oci.manifest import OCI_CONFIG
from tests.simulators.images import OCI_LAYER, Layer, Layout, layer, to_json
from trust_root.keys import SigningKey, generate_key

REPOSITORY = "registry.example.org/app"
NAME = f"{REPOSITORY}:1"
PATCHED_NAME = f"{REPOSITORY}:1-patched"
PLATFORMS = ("linux/amd64", "linux/arm64")
AT = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
COPA = "Project Copacetic"
GONE, LEFT = "CVE-2026-0001", "CVE-2026-0002"

Say = Callable[[Derivation], Derivation]


@dataclass
class Part:
    """One platform of one of the two images."""

    platform: str
    layers: list[Layer]
    history: list[dict[str, Any]]
    runtime: dict[str, Any]
    top: dict[str, Any] = field(default_factory=dict)
    diff_ids: list[str] | None = None

    def config(self) -> dict[str, Any]:
        """The image config."""
        target = parse_platform(self.platform)
        ids = [str(_digest(item)) for item in self.layers] if self.diff_ids is None else self.diff_ids
        base = {
            "architecture": target.architecture,
            "os": target.os,
            "config": self.runtime,
            "rootfs": {"type": "layers", "diff_ids": ids},
            "history": self.history,
        }
        return {**base, **self.top}

    def add(self, layout: Layout) -> Descriptor:
        """The manifest, in a layout."""
        stored = [layout.blob(item.content, OCI_LAYER) for item in self.layers]
        made = layout.manifest(layout.blob(to_json(self.config()), OCI_CONFIG), stored)
        return replace(made, platform=parse_platform(self.platform))

    def report(self, *ids: str) -> bytes:
        """What a scanner says of it."""
        return scan_report([str(_digest(item)) for item in self.layers], *ids)


@dataclass
class Scene:
    """Everything, not built yet."""

    original: dict[str, Part]
    patched: dict[str, Part]
    key: SigningKey = field(default_factory=generate_key)
    say: Say = lambda derivation: derivation
    before: dict[str, bytes] = field(default_factory=dict)
    after: dict[str, bytes] = field(default_factory=dict)
    vex: dict[str, bytes] = field(default_factory=dict)
    further: Callable[[Layout], list[Descriptor]] = lambda _layout: []  # entries of the patched image's index
    papers: Callable[[Descriptor], list[bytes]] | None = None  # statements about each platform of the original

    # What `build` made.
    layout: Layout = field(default_factory=Layout)
    original_top: Descriptor = field(init=False)
    patched_top: Descriptor = field(init=False)
    referrer: MadeReferrer = field(init=False)
    children: dict[str, Descriptor] = field(default_factory=dict)

    def build(self, *, signer: SigningKey | None = None, single: bool = False) -> Layout:
        """The layout with both images; `single`: without indexes, of the first platform alone."""
        layout = self.layout
        old = {name: part.add(layout) for name, part in self.original.items()}
        new = {name: part.add(layout) for name, part in self.patched.items()}
        self.children = old
        self.original_top = next(iter(old.values())) if single else layout.index(list(self._with_papers(old)))
        self.patched_top = next(iter(new.values())) if single else layout.index([*new.values(), *self.further(layout)])
        layout.name(self.original_top, NAME)
        layout.name(self.patched_top, PATCHED_NAME)
        documents = self._documents(new)
        derivation = self.say(self._derivation(old, new))
        subject = replace(self.patched_top, platform=None)
        self.referrer = make_referrer(derivation, documents, subject, signer or self.key)
        return self.carry(self.referrer)

    def _with_papers(self, children: dict[str, Descriptor]) -> Iterator[Descriptor]:
        for child in children.values():
            yield child
            if self.papers is not None:
                yield self.layout.attestation(child, self.papers(child))

    def carry(self, referrer: MadeReferrer) -> Layout:
        """Put a referrer into the layout."""
        for node in referrer.nodes:
            self.layout.blob(referrer.made[node.digest], node.media_type)
        self.layout.name(referrer.descriptor)
        return self.layout

    def _reports(self, platform: str) -> tuple[bytes, bytes]:
        before = self.before.get(platform) or self.original[platform].report(GONE, LEFT)
        after = self.after.get(platform) or self.patched[platform].report(LEFT)
        return before, before if self._untouched(platform) else after

    def _untouched(self, platform: str) -> bool:
        return self.original[platform].config() == self.patched[platform].config()

    def _documents(self, new: dict[str, Descriptor]) -> dict[Digest, bytes]:
        raws = [raw for platform in new if platform in self.original for raw in self._reports(platform)]
        raws += [self._vex(platform, new[platform].digest) for platform in new if platform in self.original]
        return {sha256_of(raw): raw for raw in raws}

    def _vex(self, platform: str, patched: Digest) -> bytes:
        return self.vex.get(platform) or to_json(copa_vex(platform, patched))

    def _derivation(self, old: dict[str, Descriptor], new: dict[str, Descriptor]) -> Derivation:
        platforms = []
        for platform, manifest in new.items():
            if platform not in old:
                continue
            before, after = map(sha256_of, self._reports(platform))
            vex = None if before == after else sha256_of(self._vex(platform, manifest.digest))
            platforms.append(PatchedPlatform(platform, old[platform].digest, manifest.digest, before, after, vex))
        return Derivation(
            name=PATCHED_NAME,
            image=self.patched_top.digest,
            original=Original(NAME, self.original_top.digest),
            platforms=tuple(platforms),
            lost=tuple(sorted(set(old) - set(new))),
            had=("signature",),
            tools=(Tool("trivy", "0.58.1"), Tool("copa", "0.11.0")),
            scanned_at=AT,
            patched_at=AT,
        )


def patched_scene(*platforms: str) -> Scene:
    """An honest scene: each platform has two layers, a history, and one patch layer on top."""
    names = platforms or PLATFORMS
    original = {name: _part(name, number) for number, name in enumerate(names)}
    return Scene(original, {name: _patch(part) for name, part in original.items()})


def copa_vex(name: str, patched: Digest, *mended: tuple[str, str]) -> dict[str, Any]:
    """What Copa 0.11 writes (pkg/vex/openvex.go); `mended`: ids and package URLs with the version that mends."""
    pairs = mended or ((GONE, "pkg:deb/debian/openssl@1.2?arch=amd64"),)
    return {
        "@context": "https://openvex.dev/ns",
        "@id": f"https://openvex.dev/docs/public/vex-{name}",
        "author": COPA,
        "timestamp": "2026-11-20T06:00:00.114768055Z",
        "version": 1,
        "tooling": COPA,
        "statements": [
            {
                "vulnerability": {"@id": name},
                "products": [{"@id": f"pkg:oci/app@{patched}", "subcomponents": [{"@id": purl}]}],
                "status": "fixed",
            }
            for name, purl in pairs
        ],
    }


def scan_report(diff_ids: list[str], *ids: str, fixed: str = "1.2") -> bytes:
    """A report as Trivy writes it; `LEFT` has no fix."""
    found = [
        {
            "VulnerabilityID": name,
            "PkgName": "openssl",
            "InstalledVersion": "1.1",
            **({} if name == LEFT else {"FixedVersion": fixed}),
            "Severity": "HIGH",
        }
        for name in ids
    ]
    results = [{"Target": "debian", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": found}]
    metadata = {"OS": {"Family": "debian", "Name": "12"}, "DiffIDs": diff_ids}
    return json.dumps(
        {"SchemaVersion": 2, "ArtifactName": "app", "ArtifactType": "container_image", "Metadata": metadata}
        | {"Results": results}
    ).encode()


def _part(platform: str, number: int) -> Part:
    layers = [layer(b"base", seed=10 * number + 1, size_bytes=64), layer(b"app", seed=10 * number + 2, size_bytes=64)]
    history: list[dict[str, Any]] = [
        {"created": "2026-10-01T00:00:00Z", "created_by": "ADD base"},
        {"created": "2026-10-01T00:00:01.120000000Z", "created_by": "ENV A=1", "empty_layer": True},
        {"created": "2026-10-01T00:00:02Z", "created_by": "COPY app", "comment": "buildkit"},
    ]
    runtime = {"User": "1000", "Env": ["A=1"], "Entrypoint": ["/app"], "Labels": {"version": "1"}}
    return Part(platform, layers, history, runtime)


def _patch(part: Part) -> Part:
    """As Copa 0.11 does it over BuildKit: a layer and a step on top, a label in `labels`, times spelled shorter."""
    patched = copy.deepcopy(part)
    patched.layers.append(layer(b"patch", seed=hash_of(part.platform), size_bytes=32))
    patched.history[1]["created"] = "2026-10-01T00:00:01.12Z"
    patched.history.append({"created": "2026-11-20T06:00:00Z", "created_by": "mount / from exec", "comment": "copa"})
    patched.runtime["labels"] = {"BaseImage": NAME}
    return patched


def hash_of(text: str) -> int:
    """A number from a text, the same in every run."""
    return int.from_bytes(text.encode()[-4:], "big")


def _digest(item: Layer) -> Digest:
    return sha256_of(b"".join(item.content.pieces()))
