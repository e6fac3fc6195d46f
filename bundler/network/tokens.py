"""Challenges and tokens (RFC 9110 section 11, distribution "Token Authentication Specification", RFC 6749 section 6).

Rules of this module:
- A challenge is parsed strictly; one that cannot be read is an error, not a reason to try without.
- A realm is https; plain http is accepted only where the registry itself is plain http.
- A registry's credentials go to the realm that this registry named, also on another host, and nowhere else. The
  registry could have asked for them directly (Basic), so this gives it nothing new. Only challenges from the registry's
  own origin count: never one from a host that we were redirected to. A redirect of the realm is refused.
- Without credentials an anonymous token is asked for, as public registries want it.
- Who reads asks for the challenge's scopes, or else for pulling from this repository; never more than one challenge
  asks for. Who writes asks for its own scopes too: some registries' challenges name pulling whatever was asked.
- Several scopes are several parameters of a query (distribution "Token Authentication Specification"), and one text
  with spaces in a form (RFC 6749, 3.3).
- A token is used for `expires_in` seconds (60 when absent), less a tenth, by the monotonic clock; at most a day.
"""

from __future__ import annotations

import re
import time
from urllib.parse import urlencode

from bundler import limits
from bundler.errors import EnvError, MalformedError
from bundler.fields import Fields
from bundler.network.http import Request
from bundler.network.login import Login
from bundler.network.urls import Origin, Url, parse_url
from bundler.strict_json import parse_foreign
from bundler.value import dataclass, field

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 "token"
_PARAMETER = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:({_WORD})|"((?:[^"\\]|\\.)*)")', re.ASCII)
_SCHEME = re.compile(rf"({_WORD})(?:[ ]+|(?=,|$))", re.ASCII)
_BLOB68 = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)", re.ASCII)
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)  # RFC 6750, 2.1
_LIST_SEPARATOR = re.compile(r"[ \t]*(?:,[ \t]*)+|[ \t]*$")
_PLAIN = re.compile(r"[\t -~\x80-\xff]*")  # RFC 9110 "quoted-string"; a realm for people may be in their language
_DEFAULT_SECONDS = 60
_CLIENT = "sealift"


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a WWW-Authenticate header; names in lower case."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Authorization:
    """What goes into the Authorization header, and how long it holds."""

    header: str = field(repr=False)
    expires_at: float | None = None
    """On the monotonic clock; None when it does not expire."""
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def is_fresh(self) -> bool:
        """Whether it can still be sent."""
        return self.expires_at is None or time.monotonic() < self.expires_at


def parse_challenges(text: str) -> tuple[Challenge, ...]:
    """The challenges of a WWW-Authenticate header, several headers joined by commas.

    Raises:
        MalformedError: not a list of challenges, or a parameter twice (code ``challenge``).
    """
    if len(text) > limits.CHALLENGE_CHARACTERS:
        raise _unreadable("too long")
    found: list[Challenge] = []
    position = _skip(text, 0)
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match and found:
            _add(found[-1], match)
            position = _separated(text, match.end())
            continue
        scheme = _SCHEME.match(text, position)
        if scheme is None:
            raise _unreadable("no scheme")
        found.append(Challenge(scheme[1].lower()))
        position = scheme.end()
        if not _PARAMETER.match(text, position):
            blob = _BLOB68.match(text, position)
            position = _separated(text, blob.end() if blob else position)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Scopes:
    """What an authorization is for: `repository:NAME:pull`.

    Attributes:
        own: what we need.
        insists: whether that is asked for beside what a challenge names, or only where it names nothing.
    """

    own: tuple[str, ...]
    insists: bool = False

    def asked(self, challenge: Challenge) -> list[str]:
        """What to ask the realm for, each once; a challenge's scope within one of ours is dropped."""
        said = challenge.parameters.get("scope", "").split()
        if said and not self.insists:
            return list(dict.fromkeys(said))
        return [
            *self.own,
            *(scope for scope in dict.fromkeys(said) if not any(_within(scope, own) for own in self.own)),
        ]


def _within(scope: str, other: str) -> bool:
    name, _, actions = scope.rpartition(":")
    other_name, _, other_actions = other.rpartition(":")
    return name == other_name and set(actions.split(",")) <= set(other_actions.split(","))


def token_request(
    challenge: Challenge, login: Login | None, scopes: Scopes, *, registry: Origin, which: str
) -> Request:
    """What to ask the realm.

    Raises:
        EnvError: a realm that is no URL, or not https (code ``registry-auth``).
    """
    realm = _parse_realm(challenge, registry, which)
    service = challenge.parameters.get("service", "")
    asked = [("service", service)] if service else []
    wanted = scopes.asked(challenge)
    if login is not None and login.identity_token is not None:
        form = {"grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": login.identity_token}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        parts = [*form.items(), *asked, ("scope", " ".join(wanted))]
        return Request("POST", realm, which, headers, urlencode(parts).encode("ascii"))
    parts = [*asked, *(("scope", scope) for scope in wanted)]
    query = "&".join(part for part in (realm.query, urlencode(parts)) if part)
    headers = {} if login is None else {"Authorization": login.basic}
    return Request("GET", Url(realm.origin, realm.path, query or None), which, headers)


def parse_token(raw: bytes, asked_at: float) -> Authorization:
    """The token in a realm's answer.

    Args:
        raw: the answer's body.
        asked_at: when it was asked for, on the monotonic clock.

    Raises:
        MalformedError: not such an answer, or a token that cannot be sent; never repeats it.
    """
    fields = Fields(parse_foreign(raw, "token answer", max_bytes=limits.TOKEN_ANSWER_BYTES), "token answer")
    token = fields.text("token" if fields.raw("token") not in (None, "") else "access_token")
    if not _BEARER.fullmatch(token) or len(token) > limits.TOKEN_CHARACTERS:
        raise MalformedError("field-value", "token answer", "token", got="another form", want="a bearer token")
    seconds = fields.integer("expires_in") if fields.raw("expires_in") is not None else 0
    life = min(seconds or _DEFAULT_SECONDS, limits.TOKEN_SECONDS) * 0.9
    return Authorization(f"Bearer {token}", asked_at + life, (token,))


def _parse_realm(challenge: Challenge, registry: Origin, which: str) -> Url:
    try:
        realm = parse_url(challenge.parameters.get("realm", ""), "token realm")
    except MalformedError as error:
        raise EnvError("registry-auth", "token realm for", which, got="no URL", want="an https URL") from error
    if realm.origin.scheme != "https" and registry.scheme == "https":
        raise EnvError("registry-auth", "token realm for", which, got=str(realm.origin), want="https")
    return realm


def _add(challenge: Challenge, match: re.Match[str]) -> None:
    name = match[1].lower()
    value = match[2] if match[2] is not None else re.sub(r"\\(.)", r"\1", match[3])
    if name in challenge.parameters or not _PLAIN.fullmatch(value):
        raise _unreadable(f"parameter {name[:40]!r} twice, or not plain text")
    challenge.parameters[name] = value


def _skip(text: str, position: int) -> int:
    match = _LIST_SEPARATOR.match(text, position)
    return match.end() if match else position


def _separated(text: str, position: int) -> int:
    match = _LIST_SEPARATOR.match(text, position)
    if match is None:
        raise _unreadable("parts without a comma between them")
    return match.end()


def _unreadable(got: str) -> MalformedError:
    return MalformedError("challenge", "WWW-Authenticate", got=got, want="a list of challenges")
