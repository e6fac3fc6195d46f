"""Fallback tags: how referrers are found without a referrers API (OCI distribution-spec 1.1, "Referrers Tag Schema").

Rules of this module:
- The index under `sha256-<hex of the subject>` is kept as it is found, entries of others included, and gets ours added.
- Where all of ours are listed, the bytes stay the same, and nothing is pushed.
- Registries have no "only if it is still that one" for tags: of two who add at once, one can take the other's entries
  away. So what is sent is made from what stands there at that moment, after a wait too, and at the end everybody looks
  again and adds what of its own is gone (`settle`). What remains is one who asks before and sends after all that the
  other does, its last look included.
- What is no OCI index of the form that registries keep is not replaced: somebody else's tag has that name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bundler import limits
from bundler.deliver.holdings import Document, referrer_descriptor
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, MalformedError, RejectedError, UnsupportedError
from bundler.network.push import Target
from bundler.oci.annotations import format_fallback_tag
from bundler.oci.manifest import OCI_INDEX, parse_manifest
from bundler.strict_json import parse_foreign
from bundler.value import dataclass, field

_EMPTY_INDEX = b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % OCI_INDEX.encode()


@dataclass(frozen=True, slots=True)
class Fallback:
    """The index of referrers under a fallback tag as it shall be; `found` is what stands there now."""

    tag: str
    subject: Digest
    raw: bytes
    found: Digest | None
    referrers: tuple[Document, ...] = field(repr=False)

    def again(self, client: Target) -> Fallback:
        """As it shall be by what stands there now; raises as `fallbacks_of`."""
        return _look(self.tag, self.subject, self.referrers, client)

    def push(self, client: Target) -> None:
        """Put it there; whenever it has to be sent again, it is made anew.

        Raises:
            RejectedError, EnvError: as `fallbacks_of`, or the registry refuses.
        """
        first = [self]
        send_twice(
            client,
            lambda: client.push_tag(self.tag, OCI_INDEX, lambda: (first.pop() if first else self.again(client)).raw),
        )

    @property
    def is_done(self) -> bool:
        """Whether it lists all of ours already."""
        return self.found == sha256_of(self.raw)


def fallbacks_of(documents: Iterable[Document], client: Target) -> Iterator[Fallback]:
    """One index for each subject of a referrer, evidence about evidence included; asks for each as it comes.

    Raises:
        RejectedError: something else than an OCI index stands there, or it has no room for ours (``load-fallback``).
        EnvError: a question without a sound answer.
    """
    by_subject: dict[Digest, list[Document]] = {}
    for document in documents:
        if document.subject is not None:
            by_subject.setdefault(document.subject.digest, []).append(document)
    for subject, referrers in by_subject.items():
        yield _look(format_fallback_tag(subject), subject, tuple(referrers), client)


def settle(fallback: Fallback, client: Target) -> Iterator[Fallback]:
    """Look whether all of ours are still listed, and add what is gone; gives each index that was pushed for that.

    Raises:
        RejectedError: it goes on like that (``load-lost``), or as `fallbacks_of`.
        EnvError: as `fallbacks_of`, or the registry refuses.
    """
    for attempt in range(limits.FALLBACK_LOOKS):
        if attempt:  # whoever else adds here may do the same
            client.wait(attempt - 1)
        fallback = fallback.again(client)
        if fallback.is_done:
            return
        if attempt < limits.FALLBACK_LOOKS - 1:
            fallback.push(client)
            yield fallback
    raise RejectedError(
        "load-lost", "registry", f"{client.name} tag {fallback.tag}", got="without all of its entries when read back",
        want="what was pushed, more than once",
        hints=["somebody else writes here, or the registry does not keep what it is given; no image's tag was moved"],
    )  # fmt: skip


def send_twice(client: Target, send: Callable[[], object]) -> None:
    """Send a manifest; once more after a wait where the registry lacks a part that is there.

    docker-registry writes blobs and manifests anew when another load brings the same, and lacks them meanwhile.

    Raises:
        EnvError: what `send` raises, if it is something else, or again.
    """
    try:
        send()
    except EnvError as error:
        if error.code != "push-blob-unknown":
            raise
        client.wait(0)
        send()


def _look(tag: str, subject: Digest, referrers: tuple[Document, ...], client: Target) -> Fallback:
    found = client.find_manifest(tag)
    if found is not None and found.media_type != OCI_INDEX:
        raise _refused(tag, found.media_type)
    raw = _checked(tag, _added(_EMPTY_INDEX if found is None else _checked(tag, found.raw), referrers))
    return Fallback(tag, subject, raw, None if found is None else found.digest, referrers)


def _checked(tag: str, raw: bytes) -> bytes:
    """The same bytes, if they are an index within our bounds."""
    try:
        parse_manifest(raw, OCI_INDEX)
    except (MalformedError, UnsupportedError) as error:
        raise _refused(tag, f"an index with a fault ({error.code})") from error
    return raw


def _refused(tag: str, got: str) -> RejectedError:
    return RejectedError(
        "load-fallback", "tag", tag, got=got, want="an index of referrers, or nothing",
        hints=["the target has no referrers API, and something else stands under its fallback tag"],
    )  # fmt: skip


def _added(raw: bytes, referrers: Iterable[Document]) -> bytes:
    """The index with ours added; the same bytes when it lists them all."""
    value: dict[str, Any] = parse_foreign(raw, "index", max_bytes=limits.MANIFEST_BYTES)
    entries: list[dict[str, Any]] = value.get("manifests") or []
    listed = {entry["digest"] for entry in entries}
    ours = [dict(referrer_descriptor(document)) for document in referrers if str(document.digest) not in listed]
    if not ours:
        return raw
    return json.dumps(value | {"manifests": entries + ours}, separators=(",", ":"), ensure_ascii=False).encode()
