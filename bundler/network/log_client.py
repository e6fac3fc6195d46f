"""Asking a transparency log over HTTP: what rekor.py, rekor_growth.py and rekor_tiles.py take as `fetch`.

Rules of this module:
- Logs get no credentials, and the options for registries (`--cert-dir`, `--tls-verify=false`) do not touch them.
- 200 is an answer, 404 says that the log has no such thing. Anything else, redirects too, is no answer: ``log-answer``.
- No connection, silence, dripping and what breaks off is ``log-unreachable``, after some repetitions. So are 429 and
  5xx that stay: the log is there, but not for us.
"""

from __future__ import annotations

from collections.abc import Mapping

from bundler import limits
from bundler.errors import EnvError, MalformedError
from bundler.network.access import Access
from bundler.network.http import Answer, Http, Request
from bundler.network.repetition import PASSING, PASSING_STATUSES, Patience
from bundler.network.urls import parse_url

_JSON = "application/json"


class LogClient:
    """Asks logs. Made once per run; an instance's `fetch` is what `fetch_proof` takes.

    Args:
        access: how patient to be; nothing else of it is used.
        environ: proxies stand there.
    """

    def __init__(self, access: Access, environ: Mapping[str, str]) -> None:
        own = access.patience(most_retries=limits.LOG_RETRIES)
        self._http = Http(own, environ)
        self._patience = Patience(own)

    def fetch(self, url: str) -> bytes | None:
        """The JSON that a log gives for `url`; None for 404.

        Raises:
            EnvError: ``log-unreachable`` or ``log-answer``.
        """
        return self._ask(url, _JSON)

    def fetch_raw(self, url: str) -> bytes | None:
        """The body that a log gives for `url`, of any media type; None for 404. Raises as `fetch`."""
        return self._ask(url, "")

    def _ask(self, url: str, media_type: str) -> bytes | None:
        try:
            accepted = {"Accept": media_type or "*/*"}
            request = Request("GET", parse_url(url, "log's address"), f"log {url}", accepted)
            return self._patience.ask(
                lambda: self._http.exchange(request), lambda answer: _read(answer, url, media_type)
            )
        except MalformedError as error:
            raise _no_answer(url, error.got, error.want) from error
        except EnvError as error:
            if error.code in PASSING or error.code == "registry-tls":
                raise _unreachable(url, error.got, error.want) from error
            if error.code == "registry-answer":
                raise _no_answer(url, error.got, error.want) from error
            raise

    def close(self) -> None:
        """Close connections; nobody asks again."""
        self._patience.end()
        self._http.close()


def _read(answer: Answer, url: str, wanted: str) -> bytes | None:
    with answer:
        if answer.status == 404:
            return None
        if answer.status in PASSING_STATUSES:
            raise _unreachable(url, f"HTTP {answer.status}", "an answer")
        media_type = answer.header("Content-Type").partition(";")[0].strip().lower()
        if answer.status != 200 or wanted not in ("", media_type):
            raise _no_answer(url, f"HTTP {answer.status} {media_type[:80]}".strip(), f"HTTP 200 {wanted}".strip())
        return answer.read_whole(limits.LOG_ANSWER_BYTES)


def _unreachable(url: str, got: str, want: str) -> EnvError:
    return EnvError("log-unreachable", "log", url, got=got, want=want)


def _no_answer(url: str, got: str, want: str) -> EnvError:
    return EnvError("log-answer", "log", url, got=got, want=want)
