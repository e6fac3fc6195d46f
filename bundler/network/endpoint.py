"""Asking one host about one repository: the right scheme, who we are there, redirects, repetition.

Rules of this module:
- Nothing is sent unasked: the first request goes without credentials; a 401 tells what the host wants. A 401 to an
  authorization means that it is used up: one new one is fetched, then 401 is final.
- An authorization belongs to one repository at one origin, and only challenges from that origin are answered. A URL of
  another origin is not asked at all: a listing that was redirected can name a next page there.
- What is written goes where it was sent: redirects are refused. An upload may lie at another origin that the registry
  named; nothing of who we are goes there.
- Without `tls_verify`, https is tried first, and plain http when no TLS connection comes about.
- What we sent as secrets is known here, so that no message of the registry can print it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from bundler.errors import EnvError, MalformedError
from bundler.limits import TOKEN_ANSWER_BYTES
from bundler.network.access import Access
from bundler.network.answers import Fault, failure, read_faults
from bundler.network.credentials import CredentialStore
from bundler.network.http import Answer, Http, Request, answer_error
from bundler.network.login import Login
from bundler.network.places import Place
from bundler.network.redirects import follow, refuse_redirect
from bundler.network.repetition import Patience
from bundler.network.tokens import Authorization, Challenge, Scopes, parse_challenges, parse_token, token_request
from bundler.network.urls import Origin, Url
from bundler.value import dataclass, replace

_NO_TLS = frozenset({"network", "registry-tls", "stalled", "connection-lost", "registry-answer"})
_NO_HEADERS: Mapping[str, str] = {}

_T = TypeVar("_T")


class Host:
    """What a run knows about one place. Thread-safe."""

    def __init__(self, place: Place, access: Access, http: Http, patience: Patience) -> None:
        self.place = place
        self.access = access
        self.http = http
        self.patience = patience
        self._origin = place.origins[0] if len(place.origins) == 1 else None
        self._lock = threading.Lock()

    def origin(self) -> Origin:
        """How it is reached; found out once."""
        with self._lock:
            if self._origin is None:
                self._origin = self._try_tls()
            return self._origin

    def _try_tls(self) -> Origin:
        first, second = self.place.origins
        probe = Request("GET", Url(first, "/v2/", None), f"{self.place.name} over https", certs_host=self.place.name)
        try:
            self.http.exchange(probe).close()
        except EnvError as error:
            if error.code not in _NO_TLS:
                raise
            return second
        return first


@dataclass(frozen=True, slots=True)
class _Unauthorized:
    """A 401 from the host itself."""

    challenges: str
    error: EnvError


class Endpoint:
    """One repository at one host. Thread-safe."""

    def __init__(self, host: Host, repository: str, credentials: CredentialStore, scopes: Scopes | None = None) -> None:
        self._host = host
        self._repository = repository
        self._credentials = credentials
        self._scopes = scopes or Scopes((f"repository:{repository}:pull",))
        self._authorization: Authorization | None = None
        self._challenge: Challenge | None = None
        self._login: Login | None = None
        self._lock = threading.Lock()

    @property
    def place(self) -> Place:
        """Who answers."""
        return self._host.place

    @property
    def patience(self) -> Patience:
        """How often and how long this run asks again."""
        return self._host.patience

    @property
    def may_weaken(self) -> bool:
        """Whether a step from https to plain http is allowed."""
        return not self._host.access.tls_verify

    def url(self, rest: str) -> Url:
        """The URL of `rest` below the repository: `manifests/latest`."""
        return Url(self._host.origin(), f"/v2/{self._repository}/{rest}", None)

    def ask(
        self,
        method: str,
        url: Url,
        which: str,
        use: Callable[[Answer], _T],
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        streams: bool = False,
    ) -> _T:
        """Ask, and hand the answer (any status but 401 of the host itself) to `use`, which closes it.

        `use` runs again when the answer breaks off in it and the repetition allows.

        Raises:
            EnvError: no answer; ``registry-auth``; a URL of another origin (``registry-answer``); or what `use` raises.
        """
        own = self._host.origin()
        if url.origin != own:
            raise answer_error(which, f"a page at {url.origin}", f"one at {own}")
        request = Request(method, url, which, headers, certs_host=self.place.name, streams=streams)
        return self._converse(request, self._send, use, repeats=True)

    def write(self, request: Request, use: Callable[[Answer], _T], *, repeats: bool = True) -> _T:
        """As `ask`, for what changes the registry.

        Args:
            request: without authorization; of another origin it is sent as it is.
            use: as for `ask`.
            repeats: whether the same request may be sent again after a fault that may pass.

        Raises:
            EnvError: as `ask`; a redirect (``registry-redirect``).
        """
        if request.url.origin == self._host.origin():
            request = replace(request, certs_host=self.place.name)
            return self._converse(request, self._put, use, repeats=repeats)
        return self._host.patience.ask(partial(self._put, request), use, repeats=repeats)

    def _converse(
        self, request: Request, send: Callable[[Request], Answer], use: Callable[[Answer], _T], *, repeats: bool
    ) -> _T:
        """Ask as whom the host knows us, and once more after it said that it does not."""
        judge = partial(self._judge, request.url.origin, use)
        for is_second in (False, True):
            authorization = self._current(request.which)
            headers = dict(request.headers) | ({"Authorization": authorization.header} if authorization else {})
            sent = replace(request, headers=headers)
            result = self._host.patience.ask(partial(send, sent), judge, repeats=repeats)
            if not isinstance(result, _Unauthorized):
                return result
            if is_second:
                raise result.error
            self._renew(result, authorization, request.which)
        raise AssertionError(request.which)  # the second round returns or raises

    def failure(self, answer: Answer) -> EnvError:
        """The error for an answer that is neither success nor a known absence; closes it."""
        return self.judge(answer, read_faults(answer))

    def judge(self, answer: Answer, faults: tuple[Fault, ...]) -> EnvError:
        """As `failure`, for an answer whose error body was read."""
        return failure(answer.status, faults, answer.which, self._secrets())

    def _send(self, request: Request) -> Answer:
        return follow(request, self._host.http.exchange, may_weaken=self.may_weaken)

    def _put(self, request: Request) -> Answer:
        answer = self._host.http.exchange(request)
        try:
            refuse_redirect(answer)
        except EnvError:
            answer.close()
            raise
        return answer

    def _judge(self, origin: Origin, use: Callable[[Answer], _T], answer: Answer) -> _T | _Unauthorized:
        if answer.status != 401 or answer.url.origin != origin:
            return use(answer)
        return _Unauthorized(answer.header("WWW-Authenticate"), self.failure(answer))

    def _secrets(self) -> tuple[str, ...]:
        return (
            *(self._authorization.secrets if self._authorization else ()),
            *(self._login.secrets if self._login else ()),
        )

    def _current(self, which: str) -> Authorization | None:
        with self._lock:
            if self._authorization is not None and self._challenge is not None and not self._authorization.is_fresh():
                self._authorization = self._fetch_token(self._challenge, which)
            return self._authorization

    def _renew(self, refusal: _Unauthorized, used: Authorization | None, which: str) -> None:
        """Get the authorization that a 401 asks for, unless another thread did so meanwhile."""
        with self._lock:
            if self._authorization is not used:
                return
            if self._login is None:
                self._login = self._credentials.find(self.place.name, self._repository)
            self._challenge = _choose(refusal)
            if self._challenge.scheme == "bearer":
                self._authorization = self._fetch_token(self._challenge, which)
            elif self._login is None or self._login.identity_token is not None or used is not None:
                raise refusal.error
            else:
                self._authorization = Authorization(self._login.basic, None, self._login.secrets)

    def _fetch_token(self, challenge: Challenge, which: str) -> Authorization:
        asked_at = time.monotonic()
        request = token_request(
            challenge, self._login, self._scopes, registry=self._host.origin(), which=f"{which}, for a token"
        )
        if request.url.origin == self._host.origin():
            request = replace(request, certs_host=self.place.name)
        raw = self._host.patience.ask(partial(self._host.http.exchange, request), self._read_token)
        try:
            return parse_token(raw, asked_at)
        except MalformedError as error:
            raise EnvError("registry-auth", "token for", which, got=error.code, want="a token") from error

    def _read_token(self, answer: Answer) -> bytes:
        if answer.status == 200:
            return answer.read_whole(TOKEN_ANSWER_BYTES)
        refuse_redirect(answer)
        error = self.failure(answer)
        if 400 <= answer.status < 500 and answer.status != 429:
            raise EnvError(
                "registry-auth", "token for", answer.which, got=error.got, want="a token", hints=error.hints
            ) from error
        raise error


def _choose(refusal: _Unauthorized) -> Challenge:
    """The challenge to answer: bearer before basic.

    Raises:
        EnvError: none that we can answer (code ``registry-auth``).
    """
    which = refusal.error.which
    try:
        challenges = parse_challenges(refusal.challenges)
    except MalformedError as error:
        raise EnvError(
            "registry-auth", "registry", which, got="a challenge that cannot be read", want="Bearer or Basic"
        ) from error
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.scheme == scheme:
                return challenge
    got = f"HTTP 401, {', '.join(challenge.scheme[:40] for challenge in challenges[:3]) or 'no challenge'}"
    raise EnvError("registry-auth", "registry", which, got=got, want="Bearer or Basic", hints=refusal.error.hints)
