"""What a request's target asks for: an allow-list on the path as it came (THREATS S3).

Rules of this module:
- Nothing of the path is ever decoded, joined or looked up on disk: it matches a pattern or names nothing. A `%`, an
  empty or dotted segment matches none.
- A tag that could not exist names nothing (404, as the OCI conformance suite asks); a digest or a repository path of
  another form is told as such (400).
- Known words of the query may stand once each; others are ignored. Their values are percent-decoded once; `+` stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from urllib.parse import unquote_to_bytes

from bundler import limits
from bundler.deliver.serving.names import is_path
from bundler.digest import Digest, parse_digest
from bundler.errors import MalformedError
from bundler.value import dataclass, field

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_KNOWN = ("n", "last", "artifactType", "ns")
_VALUE_CHARACTERS = 1024


class Kind(Enum):
    """What can be asked for."""

    HEALTH = "health"
    BASE = "base"
    CATALOG = "catalog"
    TAGS = "tags"
    MANIFEST = "manifests"
    BLOB = "blobs"
    REFERRERS = "referrers"


_PLAIN = {"/healthz": Kind.HEALTH, "/v2": Kind.BASE, "/v2/": Kind.BASE, "/v2/_catalog": Kind.CATALOG}


@dataclass(frozen=True, slots=True)
class Route:
    """A target that was understood.

    Attributes:
        kind: what is asked for.
        path: the repository's path; empty where there is none.
        reference: a digest, or a tag; None where there is none.
        query: the known words.
    """

    kind: Kind
    path: str = ""
    reference: Digest | str | None = None
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> Digest:
        """The reference of a blob or a subject, which `parse_target` gave."""
        if not isinstance(self.reference, Digest):
            raise TypeError("this kind of route has no digest")
        return self.reference

    def page_size(self) -> int:
        """How many entries are wanted; ours when the client has no wish, or a larger one.

        Raises:
            MalformedError: ``n`` is no number (``http-query``).
        """
        text = self.query.get("n")
        if text is None:
            return limits.SERVE_PAGE_ENTRIES
        if not _NUMBER.fullmatch(text):
            raise _odd_query("n")
        return min(int(text), limits.SERVE_PAGE_ENTRIES)


def parse_target(target: str) -> Route | None:
    """What a target asks for; None when it names nothing that could be here.

    Raises:
        MalformedError: a repository path (``repository-path``), a digest (``digest``) or a query (``http-query``) of
            another form.
    """
    path, _, query = target.partition("?")
    words = _parse_query(query)
    if path in _PLAIN:
        return Route(_PLAIN[path], query=words)
    if not path.startswith("/v2/"):
        return None
    name, _, rest = path.removeprefix("/v2/").rpartition("/")
    name, _, kind = name.rpartition("/")
    if kind == "tags" and rest == "list":
        return Route(Kind.TAGS, _checked(name), query=words)
    if kind in ("manifests", "blobs", "referrers"):
        return _parse_content(Kind(kind), _checked(name), rest, words)
    return None


def _parse_content(kind: Kind, name: str, reference: str, words: Mapping[str, str]) -> Route | None:
    if kind is Kind.MANIFEST and ":" not in reference:
        return Route(kind, name, reference, words) if _TAG.fullmatch(reference) else None
    if kind is Kind.BLOB and reference == "uploads":
        return None
    return Route(kind, name, parse_digest(reference), words)


def _checked(name: str) -> str:
    if not is_path(name):
        raise MalformedError("repository-path", "repository", repr(name[:160]), got="another form", want="team/app")
    return name


def _parse_query(query: str) -> Mapping[str, str]:
    words: dict[str, str] = {}
    for item in query.split("&"):
        name, _, value = item.partition("=")
        if name not in _KNOWN:
            continue
        if name in words:
            raise _odd_query(name)
        try:
            words[name] = unquote_to_bytes(value).decode("ascii")
        except UnicodeDecodeError as error:
            raise _odd_query(name) from error
        if len(words[name]) > _VALUE_CHARACTERS or not words[name].isprintable():
            raise _odd_query(name)
    return words


def _odd_query(name: str) -> MalformedError:
    return MalformedError("http-query", "query", name, got="repeated, or of another form", want="one plain value")
