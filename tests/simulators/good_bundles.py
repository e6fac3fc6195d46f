"""Good Sigstore bundles of four forms, and handles to turn one part of them at a time.

    world = World("file, Rekor 1")
    world.good                                           # a Sigstore bundle that holds
    world.proving(log_index=0)                           # the same with another proof

Everything comes from a seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from bundler.digest import Digest
from bundler.evidence.sigstore_bundle import SigstoreBundle
from bundler.transparency.log_entry import TransparencyLogEntry
from bundler.transparency.proof import InclusionProof
from tests.simulators.judging import IDENTITY
from tests.simulators.log_tree import checkpoint_text, signature_line
from tests.simulators.sigstore import Signer
from tests.simulators.sigstore_bundles import (
    FILE,
    FILE_DIGEST,
    TREE_ID,
    WholeSigstore,
    statement_bytes,
)
from tests.simulators.sigstore_keys import GITHUB, to_json
from tests.simulators.sigstore_tsa import TimestampAuthority

SECOND = timedelta(seconds=1)
FORMS = ("file, Rekor 1", "file, Rekor 2", "statement, Rekor 1", "statement, Rekor 2")
PREDICATE = "https://example.org/predicate"


@dataclass(frozen=True)
class Case:
    """One question for two verifiers."""

    name: str
    bundle: bytes
    trusted_root: bytes
    artifact_sha256: bytes = bytes.fromhex(FILE_DIGEST.hex)
    identity: str = IDENTITY
    issuer: str = GITHUB


class World:
    """One form: an instance, a signer and a good Sigstore bundle."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.sigstore = WholeSigstore(f"near misses {form}")
        self.is_v2 = form.endswith("2")
        self.log = "rekor-2" if self.is_v2 else "rekor-1"
        self.content = FILE if form.startswith("file") else statement(FILE_DIGEST)
        self.signer = self.sigstore.keyless(IDENTITY)
        self.good = self.make(self.signer)
        self.other = self.sigstore.bundle(self.content + b" ", self.signer, log=self.log)
        self.root = self.sigstore.trusted_root_value()

    def make(self, signer: Signer, **how: Any) -> SigstoreBundle:
        """Another good one by a signer that need not be."""
        return self.sigstore.bundle(self.content, signer, log=self.log, **how)

    def by(self, identity: str = IDENTITY, **knobs: Any) -> SigstoreBundle:
        """One by a new certificate; `knobs` are those of the simulated authority."""
        return self.make(self.sigstore.keyless(identity, **knobs))

    @property
    def entry(self) -> TransparencyLogEntry:
        return self.good.entries[0]

    @property
    def proof(self) -> InclusionProof:
        assert self.entry.proof is not None
        return self.entry.proof

    def having(self, **change: Any) -> SigstoreBundle:
        """The good one with another log entry."""
        return replace(self.good, entries=(replace(self.entry, **change),))

    def proving(self, **change: Any) -> SigstoreBundle:
        """The good one with another proof."""
        return self.having(proof=replace(self.proof, **change))

    def noting(self, change: Callable[[str], str]) -> SigstoreBundle:
        """The good one with another checkpoint."""
        assert self.proof.checkpoint is not None
        return self.proving(checkpoint=change(self.proof.checkpoint.decode()).encode())

    def stamped(self, *stamps: bytes) -> SigstoreBundle:
        """The good one with other timestamps."""
        return replace(self.good, timestamps=stamps)

    def stamp(self, tsa: TimestampAuthority | None = None, **knobs: Any) -> bytes:
        """A timestamp over its signature."""
        return (tsa or self.sigstore.tsa).stamp(self.good.content.signature, **knobs)

    def signing(self, signature: bytes) -> SigstoreBundle:
        """The good one with another signature."""
        return replace(self.good, content=replace(self.good.content, signature=signature))

    def note(self, **how: Any) -> SigstoreBundle:
        """The good one with a checkpoint made anew."""
        key = how.get("key", self.sigstore.rekor_2.key if self.is_v2 else self.sigstore.rekor.key)
        name = self.sigstore.rekor_2.host if self.is_v2 else "rekor.example.org"
        origin = how.get("origin", name if self.is_v2 else f"{name} - {TREE_ID}")
        text = checkpoint_text(
            origin, how.get("size", self.proof.tree_size), how.get("root", self.proof.root_hash), *how.get("more", ())
        )
        return self.proving(checkpoint=f"{text}\n{signature_line(text, key, how.get('name', name))}".encode())


Change = Callable[[World], SigstoreBundle]


def statement(subject: Digest) -> bytes:
    """A statement as attesters of files write it: its subject has a name, too."""
    value = json.loads(statement_bytes(subject, PREDICATE))
    value["subject"][0]["name"] = "file"
    return to_json(value)


def flip(raw: bytes, place: int = -1) -> bytes:
    """One bit changed."""
    changed = bytearray(raw)
    changed[place] ^= 1
    return bytes(changed)
