"""One image with two platforms and every form of evidence at once, as a layout.

    image = evidence_image()                    # docker=True: a Docker manifest list over schema 2 manifests
    image.layout.write(folder)                  # or registry.repository("team/app").load(image.layout, "1"),
    push_layout(registry, image.layout, "team/app", "1")
    image.evidence                              # what an export has to list, as (kind, subject, digest)
    image.carried                               # every digest that has to travel, and no other

It holds: `.sig`, `.att` and `.sbom` tags on the index and on a child; a `.sig` about an `.sbom`; referrers of index
and child, with the fallback tags that list them; a referrer of a referrer; a Sigstore bundle as cosign 3 writes it; an
index within the index, with a signature; attestation manifests of BuildKit in both forms, one a referrer too.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.serialization import Encoding

from bundler.digest import Digest, sha256_of
from bundler.evidence.envelope import IN_TOTO, format_envelope, parse_envelope, pre_authentication_encoding
from bundler.evidence.sigstore_bundle import SigstoreBundle, format_bundle
from bundler.identity.certificate import parse_certificate
from bundler.oci.annotations import format_fallback_tag
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import EMPTY_CONFIG
from bundler.transparency.log_entry import TransparencyLogEntry
from bundler.transparency.proof import InclusionProof
from tests.simulators.images import (
    SLSA,
    SPDX,
    Layout,
    layer,
    provenance_statement,
    sbom_statement,
    statement,
    to_json,
)
from tests.simulators.log_tree import Tree, signed_checkpoint
from tests.simulators.sigstore import SignedLayer, Signer, Sigstore
from tests.simulators.sigstore_keys import AT
from tests.simulators.sigstore_log import Log, dsse_body

REPOSITORY = "registry.example.org/team/app"
IDENTITY = "https://github.com/example/app/.github/workflows/release.yml@refs/tags/v1"
ISSUER = "https://token.actions.githubusercontent.com"
COSIGN_SIGN = "https://sigstore.dev/cosign/sign/v1"
BUNDLE_V03 = "application/vnd.dev.sigstore.bundle.v0.3+json"
SPDX_TEXT = "text/spdx+json"

POLICY = f"""format = 1

[[rule]]
images = ["**"]
platforms = [{{platforms}}]
allow_omitted = {{omitted}}
require = ["provenance"]

[[rule.signature]]
certificate_identity = "{IDENTITY}"
certificate_oidc_issuer = "{ISSUER}"

[[rule.attestation]]
predicate_type = "{SLSA}"
certificate_identity = "{IDENTITY}"
certificate_oidc_issuer = "{ISSUER}"
"""


@dataclass
class EvidenceImage:
    """The image. `sigstore` is who signed it; its trusted root judges it."""

    sigstore: Sigstore
    signer: Signer
    layout: Layout = field(default_factory=Layout)
    evidence: list[tuple[str, Digest, Digest]] = field(default_factory=list)
    listed: dict[Digest, list[Descriptor]] = field(default_factory=dict)
    fallbacks: set[Digest] = field(default_factory=set)

    top: Descriptor = field(init=False)
    amd64: Descriptor = field(init=False)
    arm64: Descriptor = field(init=False)

    @property
    def carried(self) -> set[Digest]:
        """Everything but the indexes under fallback tags, which say nothing that manifests do not say themselves."""
        return set(self.layout.blobs) - self.fallbacks

    @property
    def by_kind(self) -> dict[str, list[Digest]]:
        """Digests of evidence, in the order in which they were added."""
        found: dict[str, list[Digest]] = {}
        for kind, _, digest in self.evidence:
            found.setdefault(kind, []).append(digest)
        return found

    def policy(self, *platforms: str) -> str:
        """A policy under which a bundle verifies that has these platforms, or all of them when none are given."""
        listed = ", ".join(f'"{name}"' for name in platforms or ("linux/amd64", "linux/arm64"))
        return POLICY.format(platforms=listed, omitted=str(bool(platforms)).lower())

    def tag(self, subject: Descriptor, suffix: str, *layers: SignedLayer) -> Descriptor:
        """Evidence under cosign's tag."""
        kind = {"sig": "cosign-signature", "att": "cosign-attestation", "sbom": "cosign-sbom"}[suffix]
        made = self.layout.tag_evidence(self.layout.cosign(layers), subject, suffix, REPOSITORY)
        self.evidence.append((kind, subject.digest, made.digest))
        return made

    def sign(self, subject: Descriptor) -> Descriptor:
        """A `.sig` tag."""
        return self.tag(subject, "sig", self.sigstore.sign(subject.digest, self.signer, reference=REPOSITORY))

    def attest(self, subject: Descriptor) -> Descriptor:
        """An `.att` tag."""
        predicate = {
            "buildDefinition": {"buildType": "https://example.org/build"},
            "runDetails": {"builder": {"id": "b"}},
        }
        return self.tag(
            subject, "att", self.sigstore.attest(subject.digest, self.signer, predicate_type=SLSA, predicate=predicate)
        )

    def refer(self, subject: Descriptor, raw: bytes, media_type: str) -> Descriptor:
        """A referrer with one layer."""
        config = self.layout.blob(b"{}", EMPTY_CONFIG)
        blob = self.layout.blob(raw, media_type)
        made = self.layout.manifest(config, [blob], artifact_type=media_type, subject=subject)
        self.evidence.append(("referrer", subject.digest, made.digest))
        return self.list(subject, self.layout.name(replace(made, artifact_type=media_type)))

    def list(self, subject: Descriptor, made: Descriptor) -> Descriptor:
        """Remember to list a referrer under its subject's fallback tag."""
        self.listed.setdefault(subject.digest, []).append(made)
        return made

    def bundle(self, subject: Descriptor) -> bytes:
        """A Sigstore bundle that signs `subject` as cosign 3 does, with an inclusion proof."""
        assert self.signer.certificate is not None
        payload = statement(subject.digest, COSIGN_SIGN, {})
        signature = self.signer.sign(pre_authentication_encoding(IN_TOTO, payload))
        raw = format_envelope(IN_TOTO, payload, signature)
        body = dsse_body(raw, payload, signature, self.signer.verifier_pem)
        return format_bundle(
            SigstoreBundle(
                b"", BUNDLE_V03, parse_certificate(self.signer.certificate.public_bytes(Encoding.DER)), (), None,
                (proved_entry(self.sigstore.rekor, body),), (), parse_envelope(raw),
            )
        )  # fmt: skip


def evidence_image(sigstore: Sigstore | None = None, *, docker: bool = False, seed: int = 0) -> EvidenceImage:
    """Make the image. Another seed makes other layers, and so other digests."""
    sigstore = sigstore or Sigstore("evidence image")
    made = EvidenceImage(sigstore, sigstore.keyless(IDENTITY, at=AT, issuer=ISSUER))
    layout = made.layout
    made.amd64 = layout.image("linux/amd64", [layer(b"amd64", seed=seed + 1, size_bytes=400)], docker=docker)
    made.arm64 = layout.image("linux/arm64", [layer(b"arm64", seed=seed + 2, packed="gzip")], docker=docker)
    if docker:
        made.top = layout.index([made.amd64, made.arm64], docker=True)
        inner = None
    else:
        legacy = layout.attestation(made.amd64, [sbom_statement(made.amd64), provenance_statement(made.amd64)])
        artifact = layout.attestation(made.arm64, [sbom_statement(made.arm64)], artifact=True)
        made.evidence += [
            ("buildkit-attestation", made.amd64.digest, legacy.digest),
            ("buildkit-attestation", made.arm64.digest, artifact.digest),
        ]
        made.list(made.arm64, artifact)
        inner = layout.index([made.arm64, artifact])
        made.top = layout.index([made.amd64, legacy, inner])
    layout.name(made.top, f"{REPOSITORY}:1")
    _add_evidence(made, inner)
    for digest, referrers in made.listed.items():
        plain = [replace(item, platform=None, annotations={}) for item in referrers]
        index = layout.name(layout.index(plain), f"{REPOSITORY}:{format_fallback_tag(digest)}")
        made.fallbacks.add(index.digest)
    return made


def _add_evidence(made: EvidenceImage, inner: Descriptor | None) -> None:
    for subject in (made.top, made.arm64):
        made.sign(subject)
        made.attest(subject)
        sbom = made.tag(subject, "sbom", SignedLayer(to_json({"spdxVersion": "SPDX-2.3"}), SPDX_TEXT, {}))
        if subject is made.top:
            made.sign(sbom)
    if inner is not None:
        made.sign(inner)
    made.refer(made.top, made.bundle(made.top), BUNDLE_V03)
    referrer = made.refer(made.top, sbom_statement(made.top), IN_TOTO)
    made.refer(made.amd64, statement(made.amd64.digest, SPDX, {}), IN_TOTO)
    made.refer(referrer, b"about a referrer", "application/vnd.example.note")


def proved_entry(log: Log, body: bytes) -> TransparencyLogEntry:
    """An entry as Rekor 1 gives it, with promise and proof; its log has one entry before it."""
    tree = Tree([b"before", body])
    host = log.url.removeprefix("https://")
    tree_id = int(sha256_of(body).hex[:12], 16) + 1  # a tree of its own: two of one size would be a fork
    checkpoint = signed_checkpoint(f"{host} - {tree_id}", 2, tree.root, log.key)
    promise = log.promise(body, at=AT, index=1)
    proof = InclusionProof(1, tree.root, 2, tree.path(1), checkpoint.encode())
    return TransparencyLogEntry(
        1, promise.log_id, "dsse", "0.0.1", promise.integrated_time, promise.signature, proof, body
    )
