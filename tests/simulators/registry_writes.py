"""The writing side of the simulated registry: uploads in sessions, mounts, manifests in a strict order.

    writes = Writes(takes_sparse=True)
    with Registry(writes=writes) as registry:
        ...
        writes.sessions                               # uploads that nobody ended
        registry.repository("team/app").blobs

Without `writes` the registry knows reading only. What a registry may do or refuse is an option here; lies in single
answers are in registry_lies.py, and `Registry.at` picks a request by its number.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bundler.digest import Digest, parse_digest, sha256_of
from tests.simulators.images import Content, Held
from tests.simulators.registry import Exchange, Registry, Reply, Store, fault

_UPLOADS = re.compile(r"/v2/(.+)/blobs/uploads/([^/]*)")
_MANIFESTS = re.compile(r"/v2/(.+)/manifests/([^/]+)")
_CONTENT_RANGE = re.compile(r"(\d+)-(\d+)")


@dataclass
class Session:
    """An upload."""

    name: str
    raw: bytearray = field(default_factory=bytearray)
    had_small_part: bool = False
    unnoticed: list[int] = field(default_factory=list)


@dataclass
class Writes:
    """What may be written, and how.

    Attributes:
        takes_sparse: an index may name children that are not there.
        takes_absent_parts: a manifest may name blobs that are not there.
        name_parts: how many parts a repository's name may have at most.
        is_read_only: nothing may be written (405, as a cache of another registry says).
        is_denied: nobody may write (403).
        quota_bytes: how much may be stored in all.
        mounts: blobs of other repositories can be mounted.
        min_part_bytes: for `OCI-Chunk-Min-Length`; smaller parts but the last are refused.
        forgets_broken: a part that broke off ends its upload, as docker-registry 2 has it.
        has_status: uploads can be asked how far they came.
        notices: what those who ask about an upload whose part broke off are told first, one after the other: shares of
            what came of the part. A registry behind a proxy hears late that a line broke.
        locations: what `Location` says, from the path; absolute ones are for other hosts.
        keeps_tags: a tag that is there stays what it is.
        drops_blobs: says that blobs are stored, and drops them.
        change: what becomes of a manifest's bytes.
        says_sent_digest: whether the digest of the bytes as they were sent is told, whatever became of them.
        lists_subjects: whether `OCI-Subject` is told (where there is a referrers API).
    """

    takes_sparse: bool = False
    takes_absent_parts: bool = False
    name_parts: int | None = None
    is_read_only: bool = False
    is_denied: bool = False
    quota_bytes: int | None = None
    mounts: bool = True
    min_part_bytes: int = 0
    forgets_broken: bool = False
    has_status: bool = True
    notices: tuple[float, ...] = ()
    locations: Callable[[str], str] = str
    keeps_tags: bool = False
    drops_blobs: bool = False
    change: Callable[[bytes], bytes] = bytes
    says_sent_digest: bool = False
    lists_subjects: bool = True
    sessions: dict[str, Session] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def answer(self, registry: Registry, exchange: Exchange) -> Reply | None:
        """The answer to a request that writes; None for any other."""
        upload, manifest = _UPLOADS.fullmatch(exchange.path), _MANIFESTS.fullmatch(exchange.path)
        if upload is None and (manifest is None or exchange.method != "PUT"):
            return None
        found = upload or manifest
        assert found is not None
        with self._lock:
            if (refusal := self._refuse(found[1])) is not None:
                return refusal
            if manifest is not None:
                return self._put_manifest(registry, exchange, *manifest.groups())
            answers = {
                "POST": self._open, "PATCH": self._patch, "PUT": self._put, "GET": self._tell, "DELETE": self._cancel
            }  # fmt: skip
            return answers[exchange.method](registry, exchange, *found.groups())

    def _refuse(self, name: str) -> Reply | None:
        if self.is_read_only:
            return fault(405, "UNSUPPORTED", "The operation is unsupported.")
        if self.is_denied:
            return fault(403, "DENIED", "requested access to the resource is denied")
        if self.name_parts is not None and name.count("/") >= self.name_parts:
            return fault(400, "NAME_INVALID", "invalid repository name")
        return None

    def _open(self, registry: Registry, exchange: Exchange, name: str, _: str) -> Reply:
        wanted, source = exchange.query.get("mount", [""])[0], exchange.query.get("from", [""])[0]
        if wanted and self.mounts and source in registry.repositories:
            content = registry.repositories[source].blobs.get(parse_digest(wanted))
            if content is not None:
                if not self.drops_blobs:
                    registry.repository(name).blobs[parse_digest(wanted)] = content
                return Reply(201, {"Location": f"/v2/{name}/blobs/{wanted}", "Docker-Content-Digest": wanted})
        identifier = secrets.token_hex(8)
        self.sessions[identifier] = Session(name)
        return self._where(202, name, identifier)

    def _patch(self, registry: Registry, exchange: Exchange, name: str, identifier: str) -> Reply:
        session = self.sessions.get(identifier)
        if session is None:
            return _unknown()
        start = _CONTENT_RANGE.fullmatch(exchange.headers.get("content-range", ""))
        if (start is not None and int(start[1]) != len(session.raw)) or session.had_small_part:
            return self._where(416, name, identifier)
        if session.unnoticed:  # the part before is still on its way
            return fault(500, "UNKNOWN")
        before, came = len(session.raw), len(exchange.body)
        session.raw += exchange.body
        session.had_small_part = came < self.min_part_bytes
        if came < int(exchange.headers["content-length"]):
            session.unnoticed = [before + int(came * share) for share in self.notices]
            if self.forgets_broken:
                del self.sessions[identifier]
        if self._is_over_quota(registry, len(session.raw)):
            return fault(403, "DENIED", "quota exceeded")
        return self._where(202, name, identifier)

    def _put(self, registry: Registry, exchange: Exchange, name: str, identifier: str) -> Reply:
        session = self.sessions.get(identifier)
        if session is None:
            return _unknown()
        if len(exchange.body) < int(exchange.headers["content-length"]):
            return fault(400, "SIZE_INVALID")
        raw = bytes(session.raw + exchange.body)
        digest = parse_digest(exchange.query["digest"][0])
        if sha256_of(raw) != digest:
            return fault(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        if self._is_over_quota(registry, len(raw)):
            return fault(403, "DENIED", "quota exceeded")
        del self.sessions[identifier]
        if not self.drops_blobs:
            registry.repository(name).blobs[digest] = Held(raw)
        return Reply(201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": str(digest)})

    def _tell(self, _: Registry, __: Exchange, name: str, identifier: str) -> Reply:
        if not self.has_status:
            return fault(405, "UNSUPPORTED")
        if identifier not in self.sessions:
            return _unknown()
        unnoticed = self.sessions[identifier].unnoticed
        return self._where(204, name, identifier, unnoticed.pop(0) if unnoticed else None)

    def _cancel(self, _: Registry, __: Exchange, ___: str, identifier: str) -> Reply:
        self.cancelled.append(identifier)
        return Reply(204) if self.sessions.pop(identifier, None) else _unknown()

    def _where(self, status: int, name: str, identifier: str, told: int | None = None) -> Reply:
        session = self.sessions.get(identifier, Session(name))
        last = max((len(session.raw) if told is None else told) - 1, 0)
        headers = {"Location": self.locations(f"/v2/{name}/blobs/uploads/{identifier}"), "Range": f"0-{last}"}
        if self.min_part_bytes:
            headers["OCI-Chunk-Min-Length"] = str(self.min_part_bytes)
        return Reply(status, headers)

    def _put_manifest(self, registry: Registry, exchange: Exchange, name: str, target: str) -> Reply:
        document = json.loads(exchange.body)
        store = registry.repositories.get(name, Store())
        for digest, kept, excused in _parts(document, store):
            if digest not in kept and not (self.takes_sparse if excused else self.takes_absent_parts):
                return fault(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")
        sent = sha256_of(exchange.body)
        if ":" in target and target != str(sent):
            return fault(400, "DIGEST_INVALID")
        if ":" not in target and self.keeps_tags and store.tags.get(target, sent) != sent:
            return fault(409, "TAG_INVALID", "the tag is immutable")
        stored = registry.repository(name).put_manifest(
            self.change(exchange.body), exchange.headers["content-type"], *([target] if ":" not in target else [])
        )
        said = sent if self.says_sent_digest else stored.digest
        headers = {"Location": f"/v2/{name}/manifests/{stored.digest}", "Docker-Content-Digest": str(said)}
        subject = document.get("subject", {}).get("digest")
        if subject and registry.referrers_api and self.lists_subjects:
            headers["OCI-Subject"] = subject
        return Reply(201, headers)

    def _is_over_quota(self, registry: Registry, more_bytes: int) -> bool:
        if self.quota_bytes is None:
            return False
        kept = (blob for store in registry.repositories.values() for blob in store.blobs.values())
        return sum(map(_size, kept)) + more_bytes > self.quota_bytes


def _parts(document: dict[str, Any], store: Store) -> Iterator[tuple[Digest, Any, bool]]:
    """What a document names, where it has to be, and whether it is a child of an index."""
    for child in document.get("manifests", ()):
        yield parse_digest(child["digest"]), store.manifests, True
    for blob in [document["config"], *document.get("layers", ())] if "config" in document else ():
        yield parse_digest(blob["digest"]), store.blobs, False


def _size(content: Content) -> int:
    return sum(len(piece) for piece in content.pieces())


def _unknown() -> Reply:
    return fault(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
