"""Images judged without a file around them: layout → inventory → judge_image. For attacks on what is behind the head.

    claims = Claims(tmp_path)
    layout, top, (amd64, arm64) = two_platforms(NAME)
    claims.sign(layout, top, claims.release)                           # .sig of the index
    result = claims.judge(layout, policy(demand("signature")))         # an ImageResult

What a test alters, it alters in the inventory (`change`) or in the layout; both are what an exporter signs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bundler.archive.inventory import Blob, Image, Inventory
from bundler.digest import Digest, sha256_of
from bundler.errors import DamagedError
from bundler.export.collect import collect
from bundler.export.plan import make_plan
from bundler.network.layout import open_layout
from bundler.oci.descriptor import Descriptor, parse_platform
from bundler.verify.images import Bench, Judged, judge_image
from bundler.verify.keyring import Keyring
from bundler.verify.policy import parse_policy
from bundler.verify.result import Check, ImageResult, Outcome
from tests.simulators.deliveries import Change
from tests.simulators.images import SLSA, Layout
from tests.simulators.sigstore import SignedLayer, Signer, Sigstore
from tests.simulators.sigstore_keys import GITHUB
from tests.simulators.tuf_repository import START

REPOSITORY = "registry.example.org/app"
NAME = f"{REPOSITORY}:1"
IDENTITY = "https://example.org/app/.github/workflows/release.yml@refs/tags/v1"
OTHER_IDENTITY = "https://example.org/fork/.github/workflows/release.yml@refs/tags/v1"
OTHER_ISSUER = "https://gitlab.example.org"
ROOT = "trusted_root/demo.json"
TEAM = "keys/team.pub"


def unchanged(inventory: Inventory) -> Inventory:
    """No attack."""
    return inventory


@functools.cache
def _signers(seed: str) -> tuple[Sigstore, Signer, Signer, Signer]:
    sigstore = Sigstore(seed)
    return sigstore, sigstore.keyless(IDENTITY), sigstore.keyless(OTHER_IDENTITY), sigstore.key_signer()


class Claims:
    """A Sigstore, its signers, a keyring, and the judging of images."""

    def __init__(self, folder: Path, seed: str = "claims") -> None:
        self.folder = folder
        self.sigstore, self.release, self.other, self.team = _signers(seed)
        self.targets: dict[str, bytes] = {
            ROOT: self.sigstore.trusted_root_json(),
            TEAM: self.team.public_pem.encode(),
        }
        self._written = 0

    # -- evidence -----------------------------------------------------------------------------------------------------

    def beside(self, layout: Layout, subject: Descriptor, suffix: str, *layers: SignedLayer) -> Descriptor:
        """A `.sig` or `.att` of these layers, under the tag of `subject`."""
        return layout.tag_evidence(layout.cosign(layers), subject, suffix, REPOSITORY)

    def sign(self, layout: Layout, subject: Descriptor, signer: Signer, **knobs: Any) -> Descriptor:
        """A `.sig` with one signature."""
        return self.beside(layout, subject, "sig", self.sigstore.sign(subject.digest, signer, **knobs))

    def attest(
        self, layout: Layout, subject: Descriptor, signer: Signer, predicate_type: str = SLSA, **knobs: Any
    ) -> Descriptor:
        """An `.att` with one attestation."""
        made = self.sigstore.attest(subject.digest, signer, predicate_type=predicate_type, **knobs)
        return self.beside(layout, subject, "att", made)

    # -- judging ------------------------------------------------------------------------------------------------------

    def inventory(self, *layouts: tuple[Layout, str], platforms: Sequence[str] = ()) -> Inventory:
        """What an exporter would list, everything stored raw."""
        collected = []
        for layout, name in layouts:
            self._written += 1
            source = open_layout("oci", layout.write(self.folder / f"layout-{self._written}"), name)
            collected.append(collect(source, name, [parse_platform(text) for text in platforms]))
        plan = make_plan(collected)
        blobs = [
            Blob(item.digest, item.size_bytes, item.media_type, "raw", item.size_bytes, item.digest)
            for item in (planned.descriptor for planned in plan.blobs)
        ]
        return Inventory("main", 1, None, (), START, "test", plan.images, tuple(blobs))

    def bench(
        self, inventory: Inventory, policy: str | None, contents: Mapping[Digest, bytes], damaged: Sequence[Digest] = ()
    ) -> Bench:
        """What images are judged with."""

        def read(digest: Digest) -> bytes:
            if digest in damaged:
                raise DamagedError("blob-digest", "blob", str(digest), got="other bytes", want="its bytes")
            return contents[digest]

        parsed = parse_policy(policy.encode()) if policy else None
        return Bench(inventory, parsed, Keyring(self.targets), frozenset(damaged), read)

    def judged(
        self,
        layout: Layout,
        policy: str | None,
        *,
        change: Change = unchanged,
        platforms: Sequence[str] = (),
        damaged: Sequence[Digest] = (),
    ) -> Judged:
        """The layout's one image, judged."""
        inventory = change(self.inventory((layout, NAME), platforms=platforms))
        contents = {digest: layout.read(digest) for digest in layout.blobs}
        return judge_image(inventory.images[0], self.bench(inventory, policy, contents, damaged))

    def judge(self, layout: Layout, policy: str | None, **knobs: Any) -> ImageResult:
        """Its result."""
        return self.judged(layout, policy, **knobs).result


def demand(
    kind: str = "signature",
    predicate_type: str | None = None,
    *,
    identity: str = IDENTITY,
    issuer: str = GITHUB,
    key: str | None = None,
    **more: str,
) -> str:
    """One demand of a policy. `more` are further keys, as TOML."""
    lines = [f"[[rule.{kind}]]"]
    if predicate_type is not None:
        lines.append(f'predicate_type = "{predicate_type}"')
    if key is not None:
        lines.append(f"key = '''{key}'''")
    else:
        lines += [f"certificate_identity = '{identity}'", f"certificate_oidc_issuer = '{issuer}'"]
    return "\n".join([*lines, *(f"{name} = {value}" for name, value in more.items())])


def regexp_demand(identity: str, issuer: str = "^.*$") -> str:
    """A signature demand with patterns."""
    return (
        f"[[rule.signature]]\ncertificate_identity_regexp = '{identity}'\ncertificate_oidc_issuer_regexp = '{issuer}'"
    )


def policy(*demands: str, **options: str) -> str:
    """A policy with one rule. `options` are keys of the rule, as TOML."""
    head = ["format = 1", "[[rule]]", 'name = "the rule"', f'images = ["{REPOSITORY}"]']
    return "\n".join([*head, *(f"{name} = {value}" for name, value in options.items()), *demands])


def told(result: ImageResult, name: str | None = None) -> list[tuple[str, str, str]]:
    """Outcome, code and place of each check (of one name)."""
    checks = [check for check in result.checks if name in (None, check.name)]
    return [(check.outcome.value, check.code, check.about) for check in checks]


def only(result: ImageResult, name: str) -> Check:
    """The one check of that name."""
    (check,) = [check for check in result.checks if check.name == name]
    return check


def verdict(result: ImageResult) -> tuple[str, str]:
    """Verdict and reason."""
    return result.verdict.value, result.reason


def on_image(**fields: Any) -> Change:
    """A change of the first image of an inventory."""

    def change(inventory: Inventory) -> Inventory:
        first: Image = replace(inventory.images[0], **fields)
        return replace(inventory, images=(first, *inventory.images[1:]))

    return change


def add_blob(inventory: Inventory, raw: bytes, media_type: str) -> tuple[Inventory, Digest]:
    """An inventory that lists one more blob, at its end."""
    digest = sha256_of(raw)
    blob = Blob(digest, len(raw), media_type, "raw", len(raw), digest)
    return replace(inventory, blobs=(*inventory.blobs, blob)), digest


HELD = Outcome.HELD.value
