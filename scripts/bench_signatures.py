"""What a signature costs: the part of `make bench` that needs no program.

    one signature       keyless `.att` with a promise; Sigstore bundles with promise and proof, and of Rekor 2 with a
                        timestamp; of each, many different ones, one after another in one process, on one core
    beside sigstore     the same Sigstore bundles by PyPI's `sigstore`, in the same rounds
    one bundle          verify of two images with 1 000 signatures, at a site, from opening the file to the report

Rules:
- Every signature has a certificate and key of its own, and what was remembered is forgotten before each round, so that
  nothing read before helps. The trusted root is read once, as it is by a run.
- Time is that of the processor, which one thread uses. Both sides take turns within a round. Of each signature the best
  round counts, since others on the machine only ever add; the figure is the mean over all signatures.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

from bundler.evidence.sigstore_bundle import format_bundle
from bundler.identity import chain
from bundler.identity.certificate import parse_certificate
from bundler.verify.blob import known_digest, verify_blob
from bundler.verify.material import parse_trusted_root
from bundler.verify.policy import KeylessSigner, TextRule
from bundler.verify.signatures import verify_item
from tests.simulators.deliveries import Exporter, LayoutSource, keyless_policy, make_site, verify
from tests.simulators.images import Layout
from tests.simulators.images import layer as image_layer
from tests.simulators.judging import IDENTITY, SUBJECT, item_of
from tests.simulators.log_tree import Tree
from tests.simulators.sigstore import Sigstore
from tests.simulators.sigstore_bundles import FILE, FILE_DIGEST, OLDER, WholeSigstore
from tests.simulators.sigstore_keys import GITHUB
from tests.simulators.tuf_repository import TufRepository

REPOSITORY = "registry.example.org/app"
SIGNER = KeylessSigner(TextRule(IDENTITY), TextRule(GITHUB), None)
Batch = Sequence[Callable[[], object]]


@dataclass(frozen=True)
class SignatureTimes:
    """Milliseconds a signature by kind, ours and theirs (none without the package); seconds for one large bundle."""

    ours: dict[str, float]
    theirs: dict[str, float]
    signatures: int
    bundle_seconds: float


def measure_signatures(count: int, rounds: int, many: int) -> SignatureTimes:
    """All figures.

    Args:
        count: how many different signatures of each kind.
        rounds: how often all are verified.
        many: how many signatures stand in the one large bundle.
    """
    sigstore = WholeSigstore("bench")
    root = sigstore.trusted_root_json()
    bundles = {name: _bundles(sigstore, log, count) for name, log in (("proof", "rekor-1"), ("rekor 2", "rekor-2"))}
    ours = {"promise": _attestations(sigstore, count)}
    material = parse_trusted_root(root)
    artifact = known_digest(FILE_DIGEST)
    for name, raws in bundles.items():
        ours[name] = [
            lambda raw=raw: verify_blob(raw, artifact, signer=SIGNER, material=material)  # type: ignore[misc]
            for raw in raws
        ]
    theirs = {name: _theirs(raws, root) for name, raws in bundles.items()} if find_spec("sigstore") else {}
    taken: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(rounds):
        for side, batches in (("ours", ours), ("theirs", theirs)):
            for name, batch in batches.items():
                forget()
                taken.setdefault((side, name), []).append([_milliseconds(work) for work in batch])
    best = {key: mean(map(min, zip(*times, strict=True))) for key, times in taken.items()}
    return SignatureTimes(
        {name: best["ours", name] for name in ours},
        {name: best["theirs", name] for name in theirs},
        many,
        _one_bundle(many),
    )


def forget() -> None:
    """Empty every cache of what was read and held."""
    parse_certificate.cache_clear()
    chain._check_issued.cache_clear()


def _milliseconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000


def _attestations(sigstore: WholeSigstore, count: int) -> Batch:
    material = parse_trusted_root(sigstore.trusted_root_json())
    items = [item_of(sigstore.attest(SUBJECT, sigstore.keyless(IDENTITY))) for _ in range(count)]
    return [lambda item=item: verify_item(item, SUBJECT, material=material) for item in items]  # type: ignore[misc]


def _bundles(sigstore: WholeSigstore, log: str, count: int) -> list[bytes]:
    """Each in a tree of some twenty entries: a proof of five hashes."""
    found = []
    for _ in range(count):
        sigstore.tree = Tree([OLDER] * 20)
        sigstore.rekor_2.tree = Tree([OLDER] * 20)
        found.append(format_bundle(sigstore.bundle(FILE, sigstore.keyless(IDENTITY), log=log)))
    return found


def _theirs(raws: Sequence[bytes], root: bytes) -> Batch:
    other = import_module("tests.simulators.second_opinion")
    digest = bytes.fromhex(FILE_DIGEST.hex)

    def check(raw: bytes) -> None:
        if (told := other.second_opinion(raw, digest, root, IDENTITY, GITHUB)) != other.HELD:
            sys.exit(f"bench: sigstore refuses what it should accept: {told}")

    return [lambda raw=raw: check(raw) for raw in raws]  # type: ignore[misc]


def _one_bundle(many: int) -> float:
    """Seconds to verify a bundle whose images have many signatures, all by the one who is asked for; best of three."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bundle, state = make_large(folder, many)
        return min(_verify_seconds(bundle, state) for _ in range(3))


def _verify_seconds(bundle: Path, state: Path) -> float:
    forget()
    start = time.process_time()
    run = verify(bundle, state, keyless_policy(REPOSITORY, IDENTITY, GITHUB), record=False)
    if run.report.exit_code:
        sys.exit(f"bench: verify: {run.report.reason}")
    return time.process_time() - start


def make_large(folder: Path, many: int) -> tuple[Path, Path]:
    """A bundle of two images with half of the signatures each (a manifest has 4 MiB at most), and a site's state."""
    sigstore, layout = Sigstore("large"), Layout()
    names = [f"{REPOSITORY}:{number}" for number in (1, 2)]
    for name in names:
        image = layout.image("linux/amd64", [image_layer(name.encode())])
        layout.name(image, name)
        signers = (sigstore.keyless(IDENTITY) for _ in range(many // 2))
        signed = [sigstore.sign(image.digest, signer, reference=REPOSITORY) for signer in signers]
        layout.tag_evidence(layout.cosign(signed), image, "sig", REPOSITORY)
    path = layout.write(folder / "layout")
    repository = TufRepository("main", targets={"trusted_root/demo.json": sigstore.trusted_root_json()})
    bundle = Exporter(repository, folder).deliver(*(LayoutSource("oci", path, name, name) for name in names))
    return bundle, make_site(folder / "state", repository.pin)
