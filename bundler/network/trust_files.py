"""Asking a trust repository over HTTP for one file: what trust_root takes as `fetch`, wired in cli/trust_sources.py.

Rules of this module:
- Trust repositories get no credentials, and the options for registries (`--cert-dir`, `--tls-verify=false`) do not
  touch them. Plain http is allowed: what comes is signed. Redirects are followed, never from https to http.
- 200 is an answer. 404 says that there is no such file, and so does 403: object stores answer 403 for absent files to
  those who may not list them, and many repositories lie there. An attacker on the way gains nothing by it that 404
  would not give; a file that must be there and is not is an error of the caller's. All else is ``trust-answer``.
- No connection, silence, dripping and what breaks off is ``trust-unreachable``, after some repetitions; so are 429 and
  5xx that stay. An outage is never an absence: it would look like "no newer root".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from bundler.errors import EnvError, MalformedError, TooLongError
from bundler.network.access import Access
from bundler.network.http import Answer, Http, Request
from bundler.network.redirects import follow
from bundler.network.repetition import PASSING, PASSING_STATUSES, Patience
from bundler.network.urls import Url, parse_url

_ABSENT = frozenset({403, 404})
_WHAT = "trust repository"


class TrustFiles:
    """Asks trust repositories. Made once per run.

    Args:
        access: how patient to be; nothing else of it is used.
        environ: proxies stand there.
    """

    def __init__(self, access: Access, environ: Mapping[str, str]) -> None:
        own = access.patience()
        self._http = Http(own, environ)
        self._patience = Patience(own)

    def fetch(self, url: str, max_bytes: int) -> bytes | None:
        """The bytes of a file, unverified; None when the repository says that it has no such file.

        Raises:
            EnvError: ``trust-unreachable``, ``trust-answer``. TooLongError: more than `max_bytes` (``trust-answer``).
        """
        try:
            place = parse_url(url, "address in a trust repository")
            return self._patience.ask(partial(self._send, place), lambda answer: _read(answer, url, max_bytes))
        except MalformedError as error:
            raise _no_answer(url, error.got, error.want) from error
        except TooLongError as error:
            raise TooLongError("trust-answer", _WHAT, url, got=error.got, want=error.want) from error
        except EnvError as error:
            if error.code in PASSING or error.code == "registry-tls":
                raise _unreachable(url, error.got, error.want) from error
            if error.code in ("registry-answer", "registry-redirect"):
                raise _no_answer(url, error.got, error.want) from error
            raise

    def close(self) -> None:
        """Close connections; nobody asks again."""
        self._patience.end()
        self._http.close()

    def _send(self, place: Url) -> Answer:
        return follow(Request("GET", place, f"{_WHAT} {place}"), self._http.exchange, may_weaken=False)


def _read(answer: Answer, url: str, max_bytes: int) -> bytes | None:
    with answer:
        if answer.status in _ABSENT:
            return None
        if answer.status in PASSING_STATUSES:
            raise _unreachable(url, f"HTTP {answer.status}", "an answer")
        if answer.status != 200:
            raise _no_answer(url, f"HTTP {answer.status}", "HTTP 200 or 404")
        return answer.read_whole(max_bytes)


def _unreachable(url: str, got: str, want: str) -> EnvError:
    return EnvError("trust-unreachable", _WHAT, url, got=got, want=want)


def _no_answer(url: str, got: str, want: str) -> EnvError:
    return EnvError("trust-answer", _WHAT, url, got=got, want=want)
