"""Credential helpers: programs `docker-credential-NAME` that keep secrets (docker/docker-credential-helpers).

Rules of this module:
- NAME is letters, digits, `.`, `_` and `-`: it can never name another path or add an argument.
- The registry's name goes to standard input; the answer is bounded in size and time. What the program prints is never
  repeated, also not its complaints: they can hold the secret.
- "Not found" is what helpers say for a registry that they do not know: then there is no login. Any other failure is an
  error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bundler import limits
from bundler.errors import EnvError, MalformedError
from bundler.fields import Fields
from bundler.network.login import Login
from bundler.network.process import Finished, run_program
from bundler.strict_json import parse_foreign

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_IDENTITY = "<token>"  # the user name that says: the secret is an identity token
_UNKNOWN = b"credentials not found in native keychain"


def ask_helper(name: str, server: str, environ: Mapping[str, str]) -> Login | None:
    """What a helper holds for a server; None when it says that it holds nothing.

    Raises:
        EnvError: a name that is none, a program that is absent, fails, hangs or answers something else (code
            ``credentials``).
    """
    if not _NAME.fullmatch(name):
        raise _failed(name, "another name", "letters, digits and . _ -")
    program = f"docker-credential-{name}"
    try:
        done = run_program(
            [program, "get"],
            environment=environ,
            folder=Path("/"),
            seconds=limits.CREDENTIAL_HELPER_SECONDS,
            standard_input=server.encode(),
        )
    except (OSError, ValueError) as error:
        raise _failed(program, "a program that cannot be started", "a program on the PATH") from error
    if done.exit_code != 0 and not done.cut_short and _UNKNOWN in done.output:
        return None
    return _parse_login(program, done)


def _parse_login(program: str, done: Finished) -> Login | None:
    if done.cut_short or done.exit_code:
        got = "no answer in time" if done.cut_short else f"exit code {done.exit_code}"
        raise _failed(program, got, "credentials")
    try:
        fields = Fields(parse_foreign(done.output, "helper's answer"), "helper's answer")
        user_name, secret = fields.text("Username"), fields.text("Secret")
        if user_name == _IDENTITY:
            return Login(identity_token=secret)
        return Login(user_name, secret) if user_name or secret else None
    except MalformedError:
        # `from None`: the cause could repeat the secret.
        raise _failed(program, "something else", "Username and Secret in JSON") from None


def _failed(name: str, got: str, want: str) -> EnvError:
    return EnvError("credentials", "credential helper", name[:100], got=got, want=want)
