"""What the PyPI package `sigstore` says about a Sigstore bundle, offline: a second opinion to compare ours with.

It is asked the way its own command line asks: a certificate's identity and issuer, exactly; an envelope's statement
must name the file's digest. No network: the trusted root is given, and nothing else of it reaches out.
"""

from __future__ import annotations

import hashlib
import tempfile
from functools import lru_cache
from pathlib import Path

import pytest

HELD = "held"

sigstore = pytest.importorskip("sigstore", reason="the development dependency sigstore is not installed")

from sigstore.dsse import Statement  # noqa: E402 -- after importorskip
from sigstore.hashes import Hashed  # noqa: E402
from sigstore.models import Bundle, TrustedRoot  # noqa: E402
from sigstore.verify import Verifier  # noqa: E402
from sigstore.verify.policy import Identity  # noqa: E402
from sigstore_models.common.v1 import HashAlgorithm  # noqa: E402


@lru_cache(maxsize=32)
def verifier_for(trusted_root: bytes) -> Verifier:
    """A verifier that trusts this root; its constructor reads files only."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(trusted_root)
        file.flush()
        return Verifier(trusted_root=TrustedRoot.from_file(str(Path(file.name))))


def second_opinion(bundle: bytes, artifact_sha256: bytes, trusted_root: bytes, identity: str, issuer: str) -> str:
    """`held`, or the class of what it raised. Whatever it raises is a refusal: some of its crashes are of others."""
    try:
        _verify(
            bundle, Hashed(algorithm=HashAlgorithm.SHA2_256, digest=artifact_sha256), trusted_root, identity, issuer
        )
    except Exception as error:  # noqa: BLE001 -- another's program: every way to fail is a refusal
        return f"{type(error).__name__}: {error}"
    return HELD


def _verify(raw: bytes, artifact: Hashed, trusted_root: bytes, identity: str, issuer: str) -> None:
    verifier, bundle = verifier_for(trusted_root), Bundle.from_json(raw)
    wanted = Identity(identity=identity, issuer=issuer)
    if bundle._dsse_envelope is None:
        verifier.verify_artifact(artifact, bundle, wanted)
        return
    _, payload = verifier.verify_dsse(bundle, wanted)
    if not Statement(payload)._matches_digest(artifact):
        raise LookupError("the statement is about something else")


def sha256(raw: bytes) -> bytes:
    """The digest of a file."""
    return hashlib.sha256(raw).digest()
