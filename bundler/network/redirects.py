"""Redirects, followed by hand (THREATS E4).

Rules of this module:
- At most `limits.REDIRECTS` hops, for GET and HEAD only.
- Credentials stay with their origin: another scheme, host or port gets no Authorization header and no client
  certificate (from `--cert-dir`), and later hops do not get them back. A challenge from there is not answered.
- Never from https to plain http, unless `tls_verify` is off.
"""

from __future__ import annotations

from collections.abc import Callable

from bundler import limits
from bundler.errors import EnvError, MalformedError
from bundler.network.http import Answer, Request
from bundler.network.urls import Url, parse_url
from bundler.value import replace

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def follow(request: Request, exchange: Callable[[Request], Answer], *, may_weaken: bool) -> Answer:
    """Ask, and go where the answers lead.

    Args:
        request: GET or HEAD.
        exchange: sends one request (`Http.exchange`).
        may_weaken: whether a step from https to plain http is allowed.

    Raises:
        EnvError: a redirect that must not be followed (code ``registry-redirect``), or no answer.
    """
    for _ in range(limits.REDIRECTS + 1):
        answer = exchange(request)
        if answer.status not in _REDIRECTS:
            return answer
        answer.close()
        target = _find_target(answer)
        if target.origin.scheme == "http" and request.url.origin.scheme == "https" and not may_weaken:
            raise _refused(request.which, f"a redirect to plain {target.origin}", "https")
        request = _sent_on(request, target)
    raise _refused(request.which, "another redirect", f"at most {limits.REDIRECTS}")


def refuse_redirect(answer: Answer) -> None:
    """For answers that must come from the host that was asked.

    Raises:
        EnvError: a redirect (code ``registry-redirect``).
    """
    if answer.status in _REDIRECTS:
        raise _refused(answer.which, f"HTTP {answer.status}, a redirect", "an answer")


def _sent_on(request: Request, target: Url) -> Request:
    if target.origin == request.url.origin:
        return replace(request, url=target)
    headers = {name: value for name, value in request.headers.items() if name != "Authorization"}
    return replace(request, url=target, headers=headers, certs_host=None)


def _find_target(answer: Answer) -> Url:
    location = answer.header("Location")
    try:
        return parse_url(location, "redirect", answer.url)
    except MalformedError as error:
        raise _refused(answer.which, f"HTTP {answer.status} without a usable Location", "a URL") from error


def _refused(which: str, got: str, want: str) -> EnvError:
    return EnvError("registry-redirect", "registry", which, got=got, want=want)
