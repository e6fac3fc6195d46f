"""Debian's docker-registry on loopback: plain, with a password, or with TLS; and pushing layouts into it.

    with real_registry(tmp_path, login=("user", "secret")) as registry:
        pushed = push_layout(registry, layout, "team/app", "1.0")

It takes a free port itself and says which: one that we had found free could be somebody else's by then.

The password file needs a bcrypt line. Python has no bcrypt (`crypt` left with 3.13); perl's `crypt` calls the system's
library, which knows it on every current Linux.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3

from bundler.digest import sha256_of
from bundler.oci.descriptor import Descriptor
from tests.simulators.images import Layout
from tests.simulators.layout_walk import walk_layout
from tests.simulators.tls import LoopbackAuthority

PROGRAM = "docker-registry"
_START_SECONDS = 60
_CONFIG = """\
version: 0.1
log:
  level: info
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: {storage}
  delete:
    enabled: true
http:
  addr: 127.0.0.1:0
  secret: made-for-one-test
{more}"""
_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class RealRegistry:
    """A registry that runs."""

    port: int
    scheme: str
    login: tuple[str, str] | None
    authority: LoopbackAuthority | None
    storage: Path

    @property
    def host(self) -> str:
        """What references begin with."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"


@contextlib.contextmanager
def real_registry(
    folder: Path, *, login: tuple[str, str] | None = None, authority: LoopbackAuthority | None = None
) -> Iterator[RealRegistry]:
    """Start a registry that keeps its content below `folder`, and stop it by its process id."""
    program = find_program(PROGRAM)
    folder.mkdir(parents=True, exist_ok=True)
    storage, config = folder / "storage", folder / "config.yml"
    config.write_text(_CONFIG.format(storage=storage, more=_options(folder, login, authority)))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", config],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ.get("PATH", ""), "OTEL_TRACES_EXPORTER": "none"},
        )
        try:
            port = _port_of(process, folder / "log")
            yield RealRegistry(port, "https" if authority else "http", login, authority, storage)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def push_layout(registry: RealRegistry, layout: Path | Layout, repository: str, *tags: str) -> Descriptor:
    """Push a whole layout; `tags` name its first entry. Names in index.json become tags too."""
    walked = walk_layout(layout)
    with _client(registry) as client:
        for digest, content in walked.blobs.items():
            place = _call(client, registry, "POST", f"/v2/{repository}/blobs/uploads/", (202,))
            parts = urlsplit(place.headers["Location"])
            target = f"{parts.path}?{parts.query}&digest={digest}"
            raw = b"".join(content.pieces())
            _call(client, registry, "PUT", target, (201,), raw, "application/octet-stream")
        for descriptor, raw in walked.manifests:
            place_of = f"/v2/{repository}/manifests/{descriptor.digest}"
            _call(client, registry, "PUT", place_of, (201,), raw, descriptor.media_type)
        raws = {descriptor.digest: (raw, descriptor.media_type) for descriptor, raw in walked.manifests}
        names = walked.tags | dict.fromkeys(tags, walked.first.digest)
        for tag, digest in names.items():
            raw, media_type = raws[digest]
            _call(client, registry, "PUT", f"/v2/{repository}/manifests/{tag}", (201,), raw, media_type)
    return walked.first


def push_manifest(registry: RealRegistry, repository: str, tag: str, raw: bytes, media_type: str) -> Descriptor:
    """Push one manifest whose parts are there."""
    with _client(registry) as client:
        _call(client, registry, "PUT", f"/v2/{repository}/manifests/{tag}", (201,), raw, media_type)
    return Descriptor(media_type, sha256_of(raw), len(raw))


def find_program(name: str) -> str:
    """Its path; without it the test is skipped, or fails where everything has to be there (CI)."""
    if path := shutil.which(name):
        return path
    if os.environ.get("CI"):
        pytest.fail(f"{name} is absent; `make setup` installs it")
    pytest.skip(f"{name} is not installed")


def bcrypt_line(user_name: str, password: str) -> str:
    """A line of a htpasswd file. The password goes through standard input."""
    salt = re.sub("[^A-Za-z0-9]", ".", os.urandom(32).hex())[:21] + "."  # 22 of bcrypt's base64, spare bits zero
    script = f"my $p = <STDIN>; print crypt($p, '$2y$05${salt}')"
    done = subprocess.run(
        [find_program("perl"), "-e", script], input=password.encode(), capture_output=True, check=True
    )
    line = done.stdout.decode()
    assert line.startswith("$2y$05$"), "this system's crypt knows no bcrypt"
    return f"{user_name}:{line}\n"


def _options(folder: Path, login: tuple[str, str] | None, authority: LoopbackAuthority | None) -> str:
    lines = []
    if authority:
        pair = authority.issue("registry")
        lines += ["  tls:", f"    certificate: {pair.certificate}", f"    key: {pair.key}"]
    if login:
        (folder / "htpasswd").write_text(bcrypt_line(*login))
        lines += ["auth:", "  htpasswd:", "    realm: loopback", f"    path: {folder / 'htpasswd'}"]
    return "\n".join([*lines, ""])


def _port_of(process: subprocess.Popen[bytes], log: Path) -> int:
    """Where it listens; it says so when it does."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if match := _LISTENING.search(log.read_text(errors="replace")):
            return int(match[1])
        time.sleep(0.02)
    pytest.fail(f"docker-registry does not listen: {log.read_text(errors='replace')[-2000:]}")


@contextlib.contextmanager
def _client(registry: RealRegistry) -> Iterator[urllib3.PoolManager]:
    context = ssl.create_default_context(cafile=registry.authority.certificate) if registry.authority else None
    with urllib3.PoolManager(ssl_context=context) as client:
        yield client


def _call(
    client: urllib3.PoolManager,
    registry: RealRegistry,
    method: str,
    target: str,
    good: tuple[int, ...],
    body: bytes = b"",
    media_type: str | None = None,
) -> urllib3.BaseHTTPResponse:
    headers = urllib3.make_headers(basic_auth=":".join(registry.login)) if registry.login else {}
    if media_type:
        headers["Content-Type"] = media_type
    answer = client.request(method, registry.url + target, body=body, headers=headers, retries=False)
    assert answer.status in good, f"{method} {target}: {answer.status} {answer.data[:500]!r}"
    return answer
