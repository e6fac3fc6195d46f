"""A login at a registry: who we are there, and the secret that proves it.

Rules of this module: no `repr` shows a secret; what cannot be sent (control characters, a colon in the user name of
basic authentication, RFC 7617) is refused when the login is made. Passwords may have lines against that RFC: at
Google's registries a service account's key file, JSON of many lines, is the password of `_json_key`.
"""

from __future__ import annotations

import base64
import re

from bundler import limits
from bundler.errors import MalformedError
from bundler.value import dataclass, field

_CONTROL = re.compile("[\x00-\x1f\x7f]")
_LINES = str.maketrans("", "", "\t\n\r")


@dataclass(frozen=True, slots=True)
class Login:
    """User name with password, or an identity token (an OAuth 2 refresh token)."""

    user_name: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for text in (self.user_name, self.password.translate(_LINES), self.identity_token or ""):
            if _CONTROL.search(text) or len(text) > limits.TOKEN_CHARACTERS:
                raise MalformedError("login", "credentials", got="control characters, or too long", want="plain text")
        if ":" in self.user_name:
            raise MalformedError("login", "credentials", got="a colon in the user name", want="none")

    @property
    def basic(self) -> str:
        """The value of an Authorization header for basic authentication (RFC 7617, UTF-8)."""
        return "Basic " + base64.b64encode(f"{self.user_name}:{self.password}".encode()).decode("ascii")

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be printed."""
        packed = self.basic.removeprefix("Basic ") if self.password else ""
        return tuple(text for text in (self.password, self.identity_token, packed) if text)
