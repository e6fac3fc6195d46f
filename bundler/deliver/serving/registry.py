"""Answers as the OCI distribution-spec 1.1 wants them, for what is on the shelf and nothing else.

Rules of this module:
- Read-only: whatever is not GET or HEAD is 405, after the target itself was found to have a form.
- A manifest goes out as it is, under the media type that the signed chain gives it, whatever the client accepts:
  nothing is ever converted. Blobs are octets and no page: a browser must not run them.
- What a client sees of an error is the specification's JSON, with its codes.
- HEAD gives the headers of GET.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import quote

from bundler import limits
from bundler.archive.chunks import CHUNK_BYTES
from bundler.deliver.serving.content import Content
from bundler.deliver.serving.names import Home
from bundler.deliver.serving.pool import ChunkPool
from bundler.deliver.serving.ranges import parse_range
from bundler.deliver.serving.routes import Kind, Route, parse_target
from bundler.deliver.serving.shelf import OCI_INDEX, Room, Served, Shelf, make_index
from bundler.digest import Digest
from bundler.errors import MalformedError
from bundler.network.server.answer import Answer, Part
from bundler.network.server.request import Request
from bundler.value import dataclass, replace

_JSON = "application/json"
_COMMON = (
    ("Docker-Distribution-Api-Version", "registry/2.0"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; sandbox"),
)
_METHODS = ("GET", "HEAD")
# What a refused request gets: status, and the code of the distribution-spec ("Error Codes").
_REFUSALS = {
    "http-target": (414, "UNSUPPORTED"),
    "http-head": (431, "UNSUPPORTED"),
    "http-version": (505, "UNSUPPORTED"),
    "digest": (400, "DIGEST_INVALID"),
    "repository-path": (400, "NAME_INVALID"),
}


class Registry:
    """Answers requests. Thread-safe: nothing in it changes."""

    def __init__(self, shelf: Shelf, pool: ChunkPool) -> None:
        self._shelf = shelf
        self._pool = pool

    def answer(self, request: Request, route: Route | None) -> Answer:
        """The answer to one request that was understood.

        Raises:
            MalformedError: a header or a query of another form.
        """
        if request.method not in _METHODS:
            return error_answer(405, "UNSUPPORTED", "this registry only gives", (("Allow", ", ".join(_METHODS)),))
        if request.has_body:
            return error_answer(400, "UNSUPPORTED", "a request for content has none itself")
        if route is None:
            return error_answer(404, "UNSUPPORTED", "nothing is here")
        return self._answer(request, route)

    def _answer(self, request: Request, route: Route) -> Answer:
        if route.kind is Kind.BASE:
            return _json({})
        if route.kind is Kind.CATALOG:
            return self._catalog(route)
        home = self._shelf.names.find(route.path, route.query.get("ns"))
        if home is None:
            return self._unknown_name(route)
        return self._in_room(request, route, self._shelf.rooms[home])

    def _in_room(self, request: Request, route: Route, room: Room) -> Answer:
        if route.kind is Kind.TAGS:
            tags, more = _page(room.listed_tags, route)
            return _json({"name": route.path, "tags": tags}, _link(more, route, f"/v2/{route.path}/tags/list", tags))
        if route.kind is Kind.REFERRERS:
            return _referrers(route, room)
        if route.kind is Kind.BLOB:
            content = room.blobs.get(route.digest)
            if content is None:
                return error_answer(404, "BLOB_UNKNOWN", "no such blob in this repository")
            return self._blob(request, content)
        served = None if route.reference is None else room.find(route.reference)
        if served is None:
            return error_answer(404, "MANIFEST_UNKNOWN", "no such manifest in this repository")
        return _manifest(request, served)

    def _blob(self, request: Request, content: Content) -> Answer:
        tag = f'"{content.digest}"'
        if _is_known(request, tag):
            return Answer(304, (*_COMMON, ("ETag", tag)))
        headers = (*_content_headers("application/octet-stream", content.digest), ("Accept-Ranges", "bytes"))
        size = content.size_bytes
        if request.method == "GET":
            wanted = parse_range(request.header("range"), size, request.header("if-range"), tag)
            if wanted is not None and wanted[0] == wanted[1]:
                refused = error_answer(416, "SIZE_INVALID", "nothing of that range is there")
                return replace(refused, headers=(*refused.headers, ("Content-Range", f"bytes */{size}")))
            if wanted is not None:
                start, end = wanted
                told = ("Content-Range", f"bytes {start}-{end - 1}/{size}")
                return Answer(206, (*headers, told), Part(_Pooled(self._pool, content), start, end))
        return Answer(200, headers, Part(_Pooled(self._pool, content), 0, size))

    def _catalog(self, route: Route) -> Answer:
        paths = self._shelf.paths
        namespace = route.query.get("ns")
        if namespace is not None:
            homes = [home for home in self._shelf.rooms if self._shelf.names.find(home.repository, namespace) == home]
            paths = tuple(sorted(home.repository for home in homes))
        listed, more = _page(paths, route)
        return _json({"repositories": listed}, _link(more, route, "/v2/_catalog", listed))

    def _unknown_name(self, route: Route) -> Answer:
        shared: Sequence[Home] = () if "ns" in route.query else self._shelf.names.shared.get(route.path, ())
        paths = ", ".join(home.full_path for home in shared[: limits.HINTS])
        told = f"several registries have it: {paths}" if paths else "no such repository here"
        return error_answer(404, "NAME_UNKNOWN", told)


@dataclass(frozen=True, slots=True)
class _Pooled:
    """A content whose chunks come from the pool."""

    pool: ChunkPool
    content: Content

    @contextmanager
    def lease(self, position: int) -> Iterator[memoryview]:
        """See `Chunks`."""
        number, skip = divmod(position, CHUNK_BYTES)
        with self.pool.lease(self.content, number) as chunk:
            yield chunk[skip:]

    def prepare(self, position: int, end: int) -> None:
        """See `Chunks`."""
        ahead = min(end, position + limits.SERVE_CHUNKS_AHEAD * CHUNK_BYTES)
        for start in range(position, ahead, CHUNK_BYTES):
            self.pool.prepare(self.content, start // CHUNK_BYTES)


def understand(request: Request) -> Route | None:
    """The route of a request; see `parse_target`."""
    return parse_target(request.target)


def refused_answer(error: MalformedError) -> Answer:
    """What a client gets whose request was refused."""
    status, code = _REFUSALS.get(error.code, (400, "UNSUPPORTED"))
    return error_answer(status, code, str(error))


def closed_answer(reason: str) -> Answer:
    """What every client gets while what is served is not trusted."""
    return error_answer(503, "DENIED", f"not served: {reason}", (("Retry-After", "60"),))


def health_answer(reason: str) -> Answer:
    """Whether anything is served; `reason` is the code why not."""
    document = {"status": "closed", "reason": reason} if reason else {"status": "serving"}
    return _json(document, (("Cache-Control", "no-store"),), 503 if reason else 200)


def error_answer(status: int, code: str, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """An error as the distribution-spec wants it ("Error Codes")."""
    return _json({"errors": [{"code": code, "message": message, "detail": None}]}, headers, status)


def _json(document: Mapping[str, object], headers: tuple[tuple[str, str], ...] = (), status: int = 200) -> Answer:
    raw = json.dumps(document).encode() + b"\n"
    return Answer(status, (*_COMMON, ("Content-Type", _JSON), *headers), raw)


def _manifest(request: Request, served: Served) -> Answer:
    if _is_known(request, f'"{served.digest}"'):
        return Answer(304, (*_COMMON, ("ETag", f'"{served.digest}"')))
    return Answer(200, _content_headers(served.media_type, served.digest), served.raw)


def _content_headers(media_type: str, digest: Digest) -> tuple[tuple[str, str], ...]:
    own = (("Content-Type", media_type), ("Docker-Content-Digest", str(digest)), ("ETag", f'"{digest}"'))
    return (*_COMMON, *own)


def _is_known(request: Request, entity_tag: str) -> bool:
    """Whether the client has the content already (RFC 9110, "If-None-Match")."""
    tags = [tag.strip() for value in request.headers.get("if-none-match", ()) for tag in value.split(",")]
    return entity_tag in [tag.removeprefix("W/") for tag in tags] or "*" in tags


def _page(entries: Sequence[str], route: Route) -> tuple[list[str], bool]:
    """The entries after `last`, as many as are wanted, and whether there are more."""
    count, last = route.page_size(), route.query.get("last", "")
    left = [entry for entry in entries if entry > last]
    return left[:count], 0 < count < len(left)


def _link(more: bool, route: Route, place: str, listed: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Where the next page is (distribution-spec, "Listing Tags"; RFC 8288)."""
    if not more:
        return ()
    namespace = f"&ns={quote(route.query['ns'], safe='')}" if "ns" in route.query else ""
    return (("Link", f'<{place}?n={route.page_size()}&last={quote(listed[-1], safe="")}{namespace}>; rel="next"'),)


def _referrers(route: Route, room: Room) -> Answer:
    """The index of referrers; in pages only when it grows beyond what clients read."""
    entries = list(room.referrers.get(route.digest, ()))
    wanted = route.query.get("artifactType")
    headers: tuple[tuple[str, str], ...] = ()
    if wanted:
        entries = [entry for entry in entries if entry.get("artifactType") == wanted]
        headers = (("OCI-Filters-Applied", "artifactType"),)
    last = route.query.get("last", "")
    entries = [entry for entry in entries if str(entry["digest"]) > last]
    count = _fitting(entries)
    if count < len(entries):
        words = {key: route.query[key] for key in ("artifactType", "ns") if key in route.query}
        words["last"] = str(entries[count - 1]["digest"])
        query = "&".join(f"{key}={quote(value, safe='')}" for key, value in words.items())
        headers = (*headers, ("Link", f'</v2/{route.path}/referrers/{route.digest}?{query}>; rel="next"'))
    return Answer(200, (*_COMMON, ("Content-Type", OCI_INDEX), *headers), make_index(entries[:count]))


def _fitting(entries: Sequence[Mapping[str, object]]) -> int:
    """How many entries fit into one answer; at least one."""
    left_bytes = limits.SERVE_REFERRERS_BYTES
    for count, entry in enumerate(entries):
        left_bytes -= len(json.dumps(entry)) + 1
        if left_bytes < 0 and count:
            return count
    return len(entries)
