"""TLS contexts, with the certificate folders that skopeo reads (containers-certs.d(5)).

Rules of this module:
- `--cert-dir` rules alone. Without it, the first folder that exists of ~/.config/containers/certs.d/HOST[:PORT],
  /etc/containers/certs.d/HOST[:PORT] and /etc/docker/certs.d/HOST[:PORT] counts, as in containers/image.
- `*.crt` are authorities beside the system's; `*.cert` with `*.key` of the same name is the client certificate. One
  half without the other, or two pairs, is an error.
- A client certificate is a credential: the one from `--cert-dir` is shown to the registry itself only, never to a host
  that a registry names (redirects, token servers). A host's own folder serves that host, whoever named it.
- TLS 1.2 or later. Without `tls_verify` nothing is checked, and that is said in the option's name.
"""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path

from bundler import limits
from bundler.errors import EnvError
from bundler.network.access import Access
from bundler.safe_file import disk_errors, read_bounded

_SYSTEM_FOLDERS = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))
_HOST = re.compile(r"[A-Za-z0-9.:_\[\]-]+", re.ASCII)


class TlsContexts:
    """Contexts by host, made once. Thread-safe."""

    def __init__(self, access: Access, environ: Mapping[str, str]) -> None:
        self._access = access
        home = environ.get("HOME")
        own = (Path(home) / ".config" / "containers" / "certs.d",) if home else ()
        self._folders = own + _SYSTEM_FOLDERS
        self._made: dict[tuple[Path | None, bool], ssl.SSLContext] = {}
        self._lock = threading.Lock()

    def context(self, host: str, *, is_registry: bool) -> ssl.SSLContext:
        """The context for a host.

        Args:
            host: `host` or `host:port` as folders are named, e.g. `docker.io`.
            is_registry: whether the user named this host; False for hosts that a registry names.

        Raises:
            EnvError: a folder that cannot be used (code ``cert-dir``).
        """
        folder = self._access.cert_dir or self._find(host)
        with_client = is_registry or self._access.cert_dir is None
        with self._lock:
            key = (folder, with_client)
            if key not in self._made:
                self._made[key] = _make(folder, with_client=with_client, verify=self._access.tls_verify)
            return self._made[key]

    def _find(self, host: str) -> Path | None:
        if not _HOST.fullmatch(host) or host.startswith("."):
            return None
        return next((folder / host for folder in self._folders if (folder / host).is_dir()), None)


def _make(folder: Path | None, *, with_client: bool, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if folder is None:
        return context
    files = _list(folder)
    for path in files:
        if path.suffix == ".crt":
            _trust(context, path)
    pairs = [path for path in files if path.suffix == ".cert"]
    for path in files:
        other = {".cert": ".key", ".key": ".cert"}.get(path.suffix)
        if other and path.with_suffix(other) not in files:
            raise _unusable(path, f"no {path.with_suffix(other).name} beside it", "certificate and key")
    if len(pairs) > 1:
        raise _unusable(folder, f"{len(pairs)} client certificates", "at most one")
    if pairs and with_client:
        _show(context, pairs[0])
    return context


def _list(folder: Path) -> list[Path]:
    with disk_errors("certificate folder", folder):
        files = sorted(folder.iterdir())
    if len(files) > limits.CERT_DIR_FILES:
        raise _unusable(folder, f"{len(files)} files", f"at most {limits.CERT_DIR_FILES}")
    return files


def _trust(context: ssl.SSLContext, path: Path) -> None:
    raw = read_bounded(path, limits.CERT_FILE_BYTES, "certificate file")
    try:
        # Between certificates stands text for people, in any language and encoding (RFC 7468, 2).
        context.load_verify_locations(cadata=raw.decode("latin-1").encode("ascii", "replace").decode("ascii"))
    except (ValueError, ssl.SSLError) as error:
        raise _unusable(path, "no certificates", "PEM certificates of authorities") from error


def _show(context: ssl.SSLContext, path: Path) -> None:
    try:
        # An empty password: a key that needs one is refused instead of asked for on the terminal.
        context.load_cert_chain(path, path.with_suffix(".key"), password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise _unusable(path, "certificate and key that cannot be used", "PEM, a pair, no password") from error


def _unusable(path: Path, got: str, want: str) -> EnvError:
    return EnvError("cert-dir", "certificate folder", str(path), got=got, want=want)
