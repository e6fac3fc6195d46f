"""Listings that come in pages, joined by `Link` headers (distribution-spec "Listing Tags", RFC 8288).

Rules of this module (oras-go GHSA-h7vf: a registry sent clients, with their credentials, to another host):
- The next page lies at the registry's own origin, below `/v2/`. Anything else is refused, never followed.
- A page is asked once: a next page that was seen before is refused. So is more than `limits.LIST_PAGES`.
- A `Link` header that cannot be read, or that does not say what it links to (RFC 8288, 3.3), is refused: taking it
  for the last page would shorten the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bundler import limits
from bundler.errors import MalformedError
from bundler.network.http import Answer, answer_error
from bundler.network.urls import Url, parse_url

_WORD = r"[!#$%&'*+.^_`|~A-Za-z0-9/:-]+"  # RFC 9110 "token", and what addresses hold
_PARAMETER = rf'\s*;\s*({_WORD})(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD})))?'
_LINK = re.compile(rf"\s*<([^<>]*)>((?:{_PARAMETER})*)\s*", re.ASCII)
_EACH_PARAMETER = re.compile(_PARAMETER, re.ASCII)


def find_next_page(answer: Answer) -> Url | None:
    """Where the next page lies; None on the last one.

    Raises:
        EnvError: elsewhere, or not readable (code ``registry-answer``).
    """
    links = list(_parse_links(answer))
    targets = [target for target, relation in links if "next" in relation.lower().split()]
    if not targets:
        return None
    try:
        url = parse_url(targets[0], "next page", answer.url)
    except MalformedError as error:
        raise answer_error(answer.which, "a next page that is no URL", "a URL") from error
    if url.origin != answer.url.origin:
        raise answer_error(answer.which, f"a next page at {url.origin}", f"one at {answer.url.origin}")
    if len(targets) > 1 or not url.path.startswith("/v2/"):
        raise answer_error(answer.which, "a next page outside the registry's API, or several", "one below /v2/")
    return url


class PageTurner:
    """Counts the pages of one listing."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def turn(self, answer: Answer) -> Url | None:
        """As `find_next_page`, but each page once and not without end.

        Raises:
            EnvError: a circle, or too many pages (code ``registry-answer``).
        """
        self._seen.add(str(answer.url))
        url = find_next_page(answer)
        if url is not None and (str(url) in self._seen or len(self._seen) >= limits.LIST_PAGES):
            raise answer_error(answer.which, "pages without end", f"at most {limits.LIST_PAGES} different pages")
        return url


def _parse_links(answer: Answer) -> Iterator[tuple[str, str]]:
    text = answer.header("Link")
    if len(text) > limits.URL_CHARACTERS:
        raise answer_error(answer.which, "a longer Link header", f"at most {limits.URL_CHARACTERS} characters")
    position = 0
    while position < len(text):
        match = _LINK.match(text, position)
        if match is None or text[match.end() : match.end() + 1] not in ("", ","):
            raise answer_error(answer.which, "a Link header that cannot be read", '<URL>; rel="next"')
        relations = [part[2] or part[3] for part in _EACH_PARAMETER.finditer(match[2]) if part[1].lower() == "rel"]
        if not relations or not relations[0]:
            raise answer_error(answer.which, "a Link without a relation", '<URL>; rel="next"')
        yield match[1], relations[0]
        position = match.end() + 1
