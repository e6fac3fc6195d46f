"""Credentials, found where Docker, Podman and skopeo keep them (containers-auth.json(5), docker-login(1)).

Rules of this module:
- `--authfile`, else $REGISTRY_AUTH_FILE, is the only place when given. Otherwise, in this order, the first file that
  has something for the repository: $XDG_RUNTIME_DIR/containers/auth.json (/run/containers/UID/auth.json),
  ~/.config/containers/auth.json, $DOCKER_CONFIG/config.json or ~/.docker/config.json.
- In a file: the registry's own helper (`credHelpers`), then `auths` from the most specific name to the registry
  (`host/team/app`, `host/team`, `host`), then keys in the form of a URL, then the helper for all (`credsStore`).
- docker.io is also found as `https://index.docker.io/v1/`, the key that Docker writes.
- Secrets are in no `repr`, no error and no argument list.
- A file that cannot be read or understood is an error: going on without it would ask as somebody else.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from bundler import limits
from bundler.encoding import decode_base64
from bundler.errors import EnvError, MalformedError
from bundler.fields import Fields
from bundler.network.access import Access
from bundler.network.credential_helper import ask_helper
from bundler.network.login import Login
from bundler.oci.reference import DEFAULT_REGISTRY
from bundler.safe_file import read_bounded
from bundler.strict_json import parse_foreign
from bundler.value import dataclass, field

_DOCKER_KEY = "https://index.docker.io/v1/"
_DOCKER_NAMES = frozenset({DEFAULT_REGISTRY, "index.docker.io", "registry-1.docker.io"})


@dataclass(frozen=True, slots=True)
class _AuthFile:
    """What one file says, logins not yet decoded."""

    path: Path
    logins: Mapping[str, Fields] = field(repr=False)
    helpers: Mapping[str, str]
    store: str | None


class CredentialStore:
    """The files and helpers of one run; each file is read once. Thread-safe."""

    def __init__(self, access: Access, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._paths, self._must_exist = _list_paths(access, environ)
        self._files: list[_AuthFile] | None = None
        self._found: dict[tuple[str, str], Login | None] = {}
        self._lock = threading.Lock()

    def find(self, registry: str, repository: str) -> Login | None:
        """The login for a repository; None when there is none anywhere.

        Args:
            registry: as the user named it: `docker.io`, `registry.example.org:5000`.
            repository: its path there.

        Raises:
            EnvError: a file or helper that cannot be used (code ``credentials``).
        """
        with self._lock:
            if self._files is None:
                self._files = [file for path in self._paths if (file := self._load(path)) is not None]
            key = (registry, repository)
            if key not in self._found:
                logins = (self._find_in(file, registry, repository) for file in self._files)
                self._found[key] = next((login for login in logins if login is not None), None)
            return self._found[key]

    def _load(self, path: Path) -> _AuthFile | None:
        try:
            raw = read_bounded(path, limits.AUTH_FILE_BYTES, "auth file")
        except EnvError as error:
            if error.code == "file-absent" and not self._must_exist:
                return None
            raise _unusable(path, error.got) from error
        try:
            return _parse_file(path, raw)
        except MalformedError as error:
            raise _unusable(path, error.code) from None

    def _find_in(self, file: _AuthFile, registry: str, repository: str) -> Login | None:
        for name in _server_names(registry):
            if name in file.helpers:
                return ask_helper(file.helpers[name], name, self._environ)
        for key in _auth_keys(registry, repository, file.logins):
            try:
                login = _parse_login(file.logins[key])
            except MalformedError as error:
                raise _unusable(file.path, f"entry {key[:100]!r}: {error.code}") from None
            if login is not None:
                return login
        return ask_helper(file.store, _server_names(registry)[-1], self._environ) if file.store else None


def _list_paths(access: Access, environ: Mapping[str, str]) -> tuple[tuple[Path, ...], bool]:
    """The files to look into, and whether the (only) one has to be there."""
    if access.authfile is not None:
        return (access.authfile,), True
    if environ.get("REGISTRY_AUTH_FILE"):
        return (Path(environ["REGISTRY_AUTH_FILE"]),), True
    home = environ.get("HOME")
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
    configuration = environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else None)
    docker = environ.get("DOCKER_CONFIG") or (f"{home}/.docker" if home else None)
    if environ.get("XDG_RUNTIME_DIR"):
        runtime = f"{runtime}/containers"
    paths = [Path(runtime) / "auth.json"]
    if configuration:
        paths.append(Path(configuration) / "containers" / "auth.json")
    if docker:
        paths.append(Path(docker) / "config.json")
    return tuple(paths), False


def _parse_file(path: Path, raw: bytes) -> _AuthFile:
    fields = Fields(parse_foreign(raw, "auth file"), "auth file")
    logins: dict[str, Fields] = {}
    if fields.raw("auths") is not None:
        entries = fields.fields("auths")
        names = entries.keys()
        logins = {name: entries.fields(name) for name in names}
    helpers = fields.text_map("credHelpers") if fields.raw("credHelpers") is not None else {}
    return _AuthFile(path, logins, helpers, fields.optional_text("credsStore") or None)


def _parse_login(entry: Fields) -> Login | None:
    """The login of one entry; None when it is empty, as Docker leaves it beside a helper."""
    token = entry.optional_text("identitytoken") or None
    packed = entry.optional_text("auth") or ""
    if not packed:
        user_name, password = entry.optional_text("username") or "", entry.optional_text("password") or ""
        return Login(user_name, password, token) if user_name or token else None
    try:
        text = decode_base64(packed, "auth file").decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError("base64", "auth file", got="not UTF-8", want="user:password") from error
    user_name, colon, password = text.partition(":")
    if not colon:
        raise MalformedError("login", "auth file", got="no colon", want="user:password")
    return Login(user_name, password.rstrip("\x00"), token)  # old Docker pads with NUL


def _auth_keys(registry: str, repository: str, logins: Mapping[str, Fields]) -> Iterator[str]:
    """The keys that stand for a repository, the most specific first."""
    parts = [registry, *repository.split("/")]
    names = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
    yield from (name for name in names if name in logins)
    wanted = _DOCKER_NAMES if registry == DEFAULT_REGISTRY else {registry}
    yield from (key for key in sorted(logins) if key != registry and _host_of(key) in wanted)


def _host_of(key: str) -> str | None:
    """The host of a key that is a URL, or that is a bare host; None for keys with a path of their own."""
    for scheme in ("https://", "http://"):
        if key.startswith(scheme):
            return key.removeprefix(scheme).partition("/")[0]
    return key if "/" not in key else None


def _server_names(registry: str) -> tuple[str, ...]:
    """What helpers know a registry by; the last one is what Docker asks."""
    return (DEFAULT_REGISTRY, _DOCKER_KEY) if registry == DEFAULT_REGISTRY else (registry,)


def _unusable(path: Path, got: str) -> EnvError:
    return EnvError("credentials", "auth file", str(path), got=got, want="an auth file of Docker or Podman")
