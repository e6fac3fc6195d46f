"""Referrers: what says by its own `subject` what it is about (OCI distribution-spec, "Listing Referrers").

Rules of this module:
- Lists of referrers are hints, wherever they come from: an entry counts only if the manifest that it names, fetched and
  hashed, has the subject asked for. Some registries answer the fallback tag with the subject itself, some report wrong
  artifact types (EVIDENCE 1.2). Entries about something else are dropped, and the answer says how many.
- A listed manifest that is not there is a failure, never a shorter list.
- They are put in order of their digests: a registry may list them in another order each time, and two exports of the
  same state are the same bundle.
- The fallback tag is an index. The subject itself in its place means that there is none; anything else is a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bundler.digest import Digest, sha256_of
from bundler.errors import RejectedError
from bundler.network.source import ABSENT, FOUND, Answer
from bundler.oci.descriptor import Descriptor
from bundler.oci.graph import check_document
from bundler.oci.manifest import ImageIndex, is_document_type, is_index, parse_manifest

REFERRER = "referrer"
TAG_KINDS = {"sig": "cosign-signature", "att": "cosign-attestation", "sbom": "cosign-sbom"}

Read = Callable[[Descriptor], bytes]


def keep_referrers(listed: Iterable[Descriptor], subject: Digest, read: Read) -> Answer:
    """Those of `listed` whose own subject is the one asked for.

    Args:
        listed: entries of a list of referrers.
        subject: what they should be about.
        read: gives a manifest's bytes.

    Raises:
        RejectedError: a listed manifest is not there (``incomplete-source``), or its bytes are not what the list says.
        MalformedError, UnsupportedError: a listed manifest that is none.
    """
    kept: dict[Digest, Descriptor] = {}
    dropped = 0
    for entry in listed:
        plain = Descriptor(entry.media_type, entry.digest, entry.size_bytes)
        if plain.digest == subject or not _is_about(plain, subject, read):
            dropped += 1
            continue
        kept.setdefault(plain.digest, plain)
    said = FOUND if kept else ABSENT
    if dropped:
        said += f"; {dropped} listed about something else"
    return Answer(tuple(kept[digest] for digest in sorted(kept)), said)


def read_fallback(tagged: Descriptor, raw: bytes, subject: Digest, read: Read) -> Answer:
    """What the index under the fallback tag lists.

    Args:
        tagged: what the tag stands for.
        raw: its bytes, not yet checked.
        subject: what its entries should be about.
        read: gives a manifest's bytes.

    Raises:
        RejectedError: no index (``referrers``), or as `keep_referrers`.
    """
    if sha256_of(raw) == subject:
        return Answer((), f"{ABSENT}; the tag gives the subject itself")
    check_document(Descriptor(tagged.media_type, tagged.digest, tagged.size_bytes), raw)
    document = parse_manifest(raw, tagged.media_type) if is_index(tagged.media_type) else None
    if not isinstance(document, ImageIndex):
        raise RejectedError(
            "referrers", "fallback tag", f"of {subject}", got=tagged.media_type[:160], want="an index of referrers"
        )
    return keep_referrers(document.manifests, subject, read)


def _is_about(entry: Descriptor, subject: Digest, read: Read) -> bool:
    if not is_document_type(entry.media_type):
        raise RejectedError(
            "referrers", "referrer", str(entry.digest), got=entry.media_type[:160], want="a manifest or an index"
        )
    raw = read(entry)
    check_document(entry, raw)
    own = parse_manifest(raw, entry.media_type).subject
    return own is not None and own.digest == subject
