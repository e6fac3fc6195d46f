"""URLs that we may ask: our own, and those that a registry hands us (redirects, `Link`, token realms, mirrors).

Rules of this module:
- A URL from outside is data until it went through `parse_url`: http or https, a host, no user name, visible ASCII only,
  no fragment, bounded.
- Two URLs have the same origin when scheme, host and port are equal (RFC 6454, 4); a default port equals its number.
"""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from bundler import limits
from bundler.errors import MalformedError
from bundler.value import dataclass

_PORTS = {"http": 80, "https": 443}
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\.?|[0-9a-f:.]*:[0-9a-f:.]*", re.ASCII)
_UNWISE = re.compile(r'[\\^`{|}<>"]')


@dataclass(frozen=True, slots=True)
class Origin:
    """Who answers: scheme, host in lower case, port."""

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """`host` or `host:port`, as in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https URL without user name and fragment. Made by `parse_url` only."""

    origin: Origin
    path: str
    query: str | None

    @property
    def target(self) -> str:
        """Path and query, as the request line has them."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"


def parse_url(text: str, what: str, base: Url | None = None) -> Url:
    """Parse an absolute URL, or one relative to `base`.

    Raises:
        MalformedError: anything else (code ``url``); the text is not repeated, since it may hold a signature.
    """
    if not _VISIBLE.fullmatch(text) or len(text) > limits.URL_CHARACTERS or _UNWISE.search(text):
        raise _malformed(what, "characters that do not belong into a URL, or too many of them")
    try:
        parts = urlsplit(urljoin(str(base), text) if base else text)
        port = parts.port
    except ValueError as error:
        raise _malformed(what, "no URL") from error
    host = (parts.hostname or "").lower()
    if parts.scheme not in _PORTS or not _HOST.fullmatch(host):
        raise _malformed(what, "another scheme, or no host")
    if "@" in parts.netloc or "#" in text:
        raise _malformed(what, "a user name or a fragment")
    origin = Origin(parts.scheme, host, _PORTS[parts.scheme] if port is None else port)
    return Url(origin, parts.path or "/", parts.query if "?" in text else None)


def _malformed(what: str, got: str) -> MalformedError:
    return MalformedError("url", what, got=got, want="an http or https URL")
