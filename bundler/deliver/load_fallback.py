"""Fallback tags: how referrers are found without a referrers API (OCI distribution-spec 1.1, "Referrers Tag Schema").

Rules of this module:
- The index under `sha256-<hex of the subject>` is kept as it is found, entries of others included, and gets ours added.
- Where all of ours are listed, the bytes stay the same, and nothing is pushed.
- What is no index is not replaced.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bundler import limits
from bundler.deliver.holdings import Document, HeldImage, referrer_descriptor
from bundler.digest import Digest, sha256_of
from bundler.errors import RejectedError
from bundler.network.manifest_answer import FetchedManifest
from bundler.network.push import Target
from bundler.oci.annotations import format_fallback_tag
from bundler.oci.manifest import OCI_INDEX, is_index
from bundler.strict_json import parse_foreign
from bundler.value import dataclass

_EMPTY_INDEX = b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % OCI_INDEX.encode()


@dataclass(frozen=True, slots=True)
class Fallback:
    """The index of referrers under a fallback tag as it shall be; `found` is what stands there now."""

    tag: str
    subject: Digest
    raw: bytes
    found: Digest | None

    @property
    def is_done(self) -> bool:
        """Whether it lists all of ours already."""
        return self.found == sha256_of(self.raw)


def fallbacks_of(held: HeldImage, client: Target) -> Iterator[Fallback]:
    """One index for each subject of a referrer, evidence about evidence included; asks for each as it comes.

    Raises:
        RejectedError: something else than an index stands there (``load-fallback``).
        EnvError: a question without a sound answer.
    """
    by_subject: dict[Digest, list[Document]] = {}
    for document in held.all_documents:
        if document.subject is not None:
            by_subject.setdefault(document.subject.digest, []).append(document)
    for subject, referrers in by_subject.items():
        tag = format_fallback_tag(subject)
        found = client.find_manifest(tag)
        yield Fallback(tag, subject, _added(_checked(tag, found), referrers), None if found is None else found.digest)


def _checked(tag: str, found: FetchedManifest | None) -> bytes:
    if found is None:
        return _EMPTY_INDEX
    if not is_index(found.media_type):
        raise RejectedError(
            "load-fallback", "tag", tag, got=found.media_type, want="an index of referrers, or nothing",
            hints=["the target has no referrers API, and something else stands under its fallback tag"],
        )  # fmt: skip
    return found.raw


def _added(raw: bytes, referrers: list[Document]) -> bytes:
    """The index with ours added; the same bytes when it lists them all."""
    value: dict[str, Any] = parse_foreign(raw, "index", max_bytes=limits.MANIFEST_BYTES)
    entries: list[Any] = list(value.get("manifests") or [])
    listed = {entry.get("digest") for entry in entries if isinstance(entry, dict)}
    ours = [dict(referrer_descriptor(document)) for document in referrers if str(document.digest) not in listed]
    if not ours:
        return raw
    return json.dumps(value | {"manifests": entries + ours}, separators=(",", ":"), ensure_ascii=False).encode()
