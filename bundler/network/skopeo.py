"""skopeo moves the blobs of images; this is the only module that starts it.

Rules of this module:
- One child manifest by digest in each call, byte for byte (`--preserve-digests`), into a fresh `oci:` folder over a
  shared blob folder: one `oci:` folder holds one image, and lists of Docker's cannot be copied whole.
- Success is never believed. The caller hashes each blob that must have arrived; nothing else that skopeo wrote is
  looked at.
- Exit code 1 says nothing about the cause, so it is tried again; judgement of what is absent is network/registry's.
- A call ends by time, by standstill (neither its folder nor its blobs change), or when it writes more than there is to
  fetch. Its whole process group is killed.
- The environment is a short list of names, and messages are those of the C locale. What skopeo prints is shown
  in part, with everything that could be a secret replaced.
- skopeo takes its own trust policy from files that may be absent (`--insecure-policy`), and looks for signatures of its
  own kind (`--remove-signatures`): verification is ours, and evidence comes another way.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from threading import Event, Lock

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError
from bundler.escaping import escape
from bundler.network.access import Access
from bundler.network.process import Finished, run_program
from bundler.oci.descriptor import Descriptor
from bundler.safe_file import disk_errors

# `--preserve-digests` is younger than 1.5, and nothing older than this was tried.
OLDEST = (1, 8)

_VERSION = re.compile(r"skopeo version v?(\d{1,4})\.(\d{1,4})(?:\.\d{1,4})?(?:[-+ ][^\n]*)?\n?", re.ASCII)
_KEPT_NAMES = frozenset(
    {
        *("HOME", "PATH", "USER", "LOGNAME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("DBUS_SESSION_BUS_ADDRESS", "GNUPGHOME", "PASSWORD_STORE_DIR"),  # credential helpers
        *("CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER", "STORAGE_OPTS", "XDG_DATA_HOME"),  # where storages lie
    }
)
_PATH_NAMES = frozenset({"REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "SSL_CERT_FILE", "CONTAINERS_STORAGE_CONF"})
_KEPT_BEGINNINGS = ("AWS_", "AZURE_", "CLOUDSDK_", "GOOGLE_")  # what credential helpers of clouds read
_INSTALL = "install skopeo 1.8 or later, e.g. `apt install skopeo` or `dnf install skopeo`"
_FULL_DISK = re.compile(rb"no space left on device|disk quota exceeded", re.IGNORECASE)
_SECRETS = (
    (re.compile(r"(://)[^/@\s]+@"), r"\1…@"),  # user and password in a URL
    (re.compile(r"\?[^\s\"']+"), "?…"),  # signed URLs of storage behind a registry
    (re.compile(r"(?i)(authorization|auth|bearer|basic|password|passwd|secret|[a-z_]*token)([\"']?\s*[:= ]\s*[\"']?)"
                r"(?:(?:bearer|basic)\s+)?[^\s\"',}]+"), r"\1\2…"),
    (re.compile(r"(?<![\w:])(?![0-9a-f]{64}(?!\w))[A-Za-z0-9+=_~-]{32,}"), "…"),  # anything long that is no digest
)  # fmt: skip

Progress = Callable[[int], None]


class Skopeo:
    """The skopeo program of this machine. Safe to use from several threads."""

    def __init__(
        self,
        access: Access,
        program: str = "skopeo",
        *,
        environ: Mapping[str, str] | None = None,
        call_seconds: float = limits.SKOPEO_CALL_SECONDS,
    ) -> None:
        """Nothing is started yet.

        Args:
            access: credentials, certificates, how long to wait and how often to try.
            program: name or path of the program.
            environ: the environment to choose from; by default our own.
            call_seconds: the longest that one call may take.
        """
        self._access = access
        self._program = program
        self._environ = os.environ if environ is None else environ
        self._call_seconds = call_seconds
        self._version: str | None = None
        self._version_lock = Lock()

    def check(self) -> str:
        """The program's version, asked for once.

        Raises:
            EnvError: absent (``skopeo-absent``), does not run (``skopeo-failed``), or too old or not skopeo
                (``skopeo-version``).
        """
        with self._version_lock:
            if self._version is None:
                self._version = self._ask_version()
            return self._version

    def copy_manifest(
        self,
        repository_name: str,
        digest: Digest,
        folder: Path,
        shared_blobs: Path,
        *,
        blobs: Sequence[Descriptor] = (),
        watch: Progress = lambda _: None,
        stop: Event | None = None,
    ) -> None:
        """Let skopeo bring the blobs of one manifest into `shared_blobs`. What it wrote is for the caller to hash.

        Args:
            repository_name: the repository, as skopeo has to be told.
            digest: the manifest.
            folder: a folder for this call, which must not exist; gone afterwards.
            shared_blobs: holds `sha256/<hex>`; on the file system of `folder`.
            blobs: what is missing there; bounds what may be written, and shows that the call moves.
            watch: gets the bytes of unfinished blobs, a few times a second, in this thread.
            stop: ends the call when set (``stopped``).

        Raises:
            EnvError: as `check`; failed after all tries (``skopeo-failed``), stood still (``skopeo-stalled``), wrote
                more than there is (``skopeo-lied``), or the disk is full (``disk-full``).
        """
        self.check()
        stop = stop or Event()
        which = f"{repository_name}@{digest}"
        for attempt in range(self._access.retries + 1):
            watcher = _Watcher(folder, shared_blobs, blobs, self._access.stall_seconds, watch)
            finished = self._copy_once(which, folder, shared_blobs, watcher, stop)
            if finished.exit_code == 0 and not finished.cut_short:
                return
            error = _failure(which, finished)
            if error.code in ("skopeo-lied", "disk-full", "stopped") or attempt == self._access.retries:
                raise error
            stop.wait(min(self._access.backoff_seconds * 2**attempt, limits.RETRY_PAUSE_SECONDS))

    def copy_into_storage(self, source: str, destination: str, folder: Path, *, stop: Event | None = None) -> None:
        """Let skopeo bring one manifest from a registry on loopback into a storage of this machine.

        Args:
            source: what follows `docker://`, by digest; reached without TLS.
            destination: `containers-storage:NAME` or `docker-daemon:NAME`.
            folder: a folder for this call, which must not exist; gone afterwards.
            stop: ends the call when set (``stopped``).

        Raises:
            EnvError: as `check`; ``skopeo-failed``, ``skopeo-stalled``, ``disk-full``.
        """
        is_daemon = destination.startswith("docker-daemon:")
        flags = self._daemon_flags("dest-") if is_daemon else ["--preserve-digests"]
        words = ["copy", "--quiet", "--remove-signatures", "--src-tls-verify=false", *flags]
        self._call(source, [*words, f"docker://{source}", destination], folder, stop)

    def stored_digest(self, place: str, folder: Path) -> Digest:
        """The digest of the manifest that a storage has for a name, over the bytes that it gives; arguments as above.

        Raises:
            EnvError: as for `copy_into_storage`.
        """
        flags = self._daemon_flags("") if place.startswith("docker-daemon:") else []
        return sha256_of(self._call(place, ["inspect", "--raw", *flags, place], folder, None).output)

    def _daemon_flags(self, side: str) -> list[str]:
        """Where the Docker daemon is: skopeo does not look at what Docker's own client takes from the environment."""
        host, certificates = self._environ.get("DOCKER_HOST", ""), self._environ.get("DOCKER_CERT_PATH", "")
        if not host:
            return []
        if not self._environ.get("DOCKER_TLS_VERIFY"):
            return [f"--{side}daemon-host={re.sub('^tcp://', 'http://', host)}"]
        places = [f"--{side}cert-dir={Path(certificates).absolute()}"] if certificates else []
        return [f"--{side}daemon-host={host}", *places]

    def _call(self, which: str, words: Sequence[str], folder: Path, stop: Event | None) -> Finished:
        self.check()
        common = ("--insecure-policy", f"--command-timeout={int(self._call_seconds) + 1}s", f"--tmpdir={folder}")
        with disk_errors("staging folder", folder):
            folder.mkdir(mode=0o700)
        try:
            finished = self._run([*common, *words], folder, seconds=self._call_seconds, stop=stop)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if finished.exit_code != 0 or finished.cut_short:
            raise _failure(which, finished)
        return finished

    def _copy_once(self, which: str, folder: Path, shared_blobs: Path, watcher: _Watcher, stop: Event) -> Finished:
        command = [
            *("--insecure-policy", f"--command-timeout={int(self._call_seconds) + 1}s", f"--tmpdir={folder}"),
            *("copy", "--quiet", "--preserve-digests", "--remove-signatures"),
            *self._access_flags(),
            f"--dest-shared-blob-dir={shared_blobs}",
            # Relative to the working folder: a colon in a path would end it.
            *(f"docker://{which}", "oci:image:x"),
        ]
        with disk_errors("staging folder", folder):
            folder.mkdir(mode=0o700)
        try:
            return self._run(command, folder, seconds=self._call_seconds, watch=watcher.look, stop=stop)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _access_flags(self) -> list[str]:
        flags = []
        if self._access.authfile is not None:
            flags.append(f"--authfile={self._access.authfile.absolute()}")
        if self._access.cert_dir is not None:
            flags.append(f"--src-cert-dir={self._access.cert_dir.absolute()}")
        if not self._access.tls_verify:
            flags.append("--src-tls-verify=false")
        return flags

    def _ask_version(self) -> str:
        seconds = limits.SKOPEO_VERSION_SECONDS
        finished = self._run(["--version"], Path("/"), seconds=min(seconds, self._call_seconds))
        if finished.exit_code != 0 or finished.cut_short:
            raise _failure("--version", finished)
        text = finished.output.decode("utf-8", "replace")
        match = _VERSION.fullmatch(text)
        if match is None or (int(match[1]), int(match[2])) < OLDEST:
            raise EnvError(
                "skopeo-version", "skopeo", self._program, got=readable_tail(finished.output) or "no answer",
                want=f"skopeo version {OLDEST[0]}.{OLDEST[1]} or later", hints=[_INSTALL],
            )  # fmt: skip
        return text.removeprefix("skopeo version ").strip()

    def _run(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        seconds: float,
        watch: Callable[[], str] = str,
        stop: Event | None = None,
    ) -> Finished:
        environment = self._environment(folder)
        program = shutil.which(self._program, path=environment.get("PATH", os.defpath))
        if program is None:
            raise EnvError("skopeo-absent", "skopeo", self._program, got="not found", want="in PATH", hints=[_INSTALL])
        command = [str(Path(program).absolute()), *arguments]
        try:
            return run_program(command, environment=environment, folder=folder, seconds=seconds, watch=watch, stop=stop)
        except OSError as error:
            raise EnvError(
                "skopeo-failed", "skopeo", program, got=f"cannot be started: {error.strerror}", want="a program",
                hints=[_INSTALL],
            ) from error  # fmt: skip

    def _environment(self, folder: Path) -> dict[str, str]:
        kept = {
            # It runs in another folder than we do, where a relative path would mean another file.
            name: str(Path(value).absolute()) if value and name in _PATH_NAMES else value
            for name, value in self._environ.items()
            if name in _KEPT_NAMES or name.startswith(_KEPT_BEGINNINGS)
        }
        return kept | {"LC_ALL": "C.UTF-8", "TMPDIR": str(folder)}


class _Watcher:
    """Sees whether a call moves, and whether it writes more than there is to fetch."""

    def __init__(
        self, folder: Path, shared_blobs: Path, blobs: Sequence[Descriptor], stall_seconds: float, progress: Progress
    ) -> None:
        self._folder = folder
        self._blobs = [shared_blobs / blob.digest.algorithm / blob.digest.hex for blob in blobs]
        self._most_bytes = sum(blob.size_bytes for blob in blobs) + limits.SKOPEO_SPARE_BYTES
        self._bounded = bool(blobs)
        self._stall_seconds = stall_seconds
        self._progress = progress
        self._seen = (-1, -1)
        self._moved_at = time.monotonic()

    def look(self) -> str:
        """Why the call has to end, or nothing."""
        unfinished = _bytes_below(self._folder)
        self._progress(unfinished)
        if self._bounded and unfinished > self._most_bytes:
            return "too much"
        seen = (unfinished, sum(map(_size_of, self._blobs)))
        if seen != self._seen:
            self._seen, self._moved_at = seen, time.monotonic()
        return "stalled" if time.monotonic() - self._moved_at > self._stall_seconds else ""


def _bytes_below(folder: Path) -> int:
    """Bytes of the files in a call's folder and its `oci:` folder; links are not followed."""
    total = 0
    for place in (folder, folder / "image"):
        try:
            with os.scandir(place) as entries:
                for entry in islice(entries, limits.STAGED_FILES):
                    total += entry.stat(follow_symlinks=False).st_size if entry.is_file(follow_symlinks=False) else 0
        except (FileNotFoundError, NotADirectoryError):
            continue  # not there yet, or moved to its final name this moment
    return total


def _size_of(path: Path) -> int:
    try:
        return path.lstat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _failure(which: str, finished: Finished) -> EnvError:
    """What a call that did not succeed means."""
    said = readable_tail(finished.errors)
    if finished.cut_short == "stopped":
        return EnvError("stopped", "skopeo", which, got="stopped")
    if finished.cut_short == "too much":
        return EnvError("skopeo-lied", "skopeo", which, got="more bytes than the manifest lists", want="its blobs")
    if finished.cut_short:
        got = "no byte moved" if finished.cut_short == "stalled" else "not finished in time"
        hints = ["the registry or the network hangs; try again", *([f"skopeo said: {said}"] if said else [])]
        return EnvError("skopeo-stalled", "skopeo", which, got=got, want="progress", hints=hints)
    if _FULL_DISK.search(finished.errors):
        return EnvError("disk-full", "skopeo", which, got=said, want="space for the image's blobs")
    ended = f"exit code {finished.exit_code}" if finished.exit_code >= 0 else f"signal {-finished.exit_code}"
    return EnvError("skopeo-failed", "skopeo", which, got=f"{ended}, {said or 'no message'}", want="success")


def readable_tail(raw: bytes) -> str:
    """The last lines of what a program printed: no secrets, no control characters, not long."""
    lines = [line.strip() for line in raw.decode("utf-8", "replace").splitlines() if line.strip()]
    text = " / ".join(lines[-limits.PROGRAM_LINES_SHOWN :])
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return escape(text)[-limits.PROGRAM_CHARACTERS_SHOWN :]
