"""A stand-in for a Docker daemon's API on loopback, as far as skopeo uses it to write and read images.

    with DockerDaemon() as daemon:
        ...                            # DOCKER_HOST=daemon.url
        daemon.images["app:1"]         # the config's bytes
        daemon.log                     # what was asked

Not a Docker: it takes what `docker load` takes (docs.docker.com/reference/api/engine, "ImageLoad", "ImageGet"), keeps
the tar, and gives it back.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit


class DockerDaemon:
    """The server. `refuses`: nothing is loaded."""

    def __init__(self) -> None:
        self.images: dict[str, bytes] = {}
        self.archives: dict[str, bytes] = {}
        self.log: list[str] = []
        self.refuses = False

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.daemon_state = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def load(self, raw: bytes) -> None:
        """What `docker load` does with a tar."""
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:

            def read(name: str) -> bytes:
                member = archive.extractfile(name)
                assert member is not None
                return member.read()

            for entry in json.loads(read("manifest.json")):
                for layer in entry["Layers"]:
                    archive.getmember(layer)
                for name in entry["RepoTags"]:
                    self.images[name] = read(entry["Config"])
                    self.archives[name] = raw


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # a connection for each request: nothing stays open
    server: _Server

    def do_GET(self) -> None:
        state, path = self._note()
        if path == "/_ping":
            self._answer(200, b"OK", "text/plain")
        elif path == "/images/get" and (archive := state.archives.get(self._name())) is not None:
            self._answer(200, archive, "application/x-tar")
        else:
            self._answer(404, b'{"message":"no such image"}')

    def do_HEAD(self) -> None:
        self._note()
        self._answer(200, b"", "text/plain")

    def do_POST(self) -> None:
        state, path = self._note()
        raw = self._body()
        if path != "/images/load":
            self._answer(404, b'{"message":"page not found"}')
        elif state.refuses:
            self._answer(500, b'{"message":"no"}')
        else:
            state.load(raw)
            self._answer(200, b'{"stream":"Loaded"}')

    def log_message(self, *args: Any) -> None:
        """Nothing on the terminal."""

    def _note(self) -> tuple[DockerDaemon, str]:
        state = self.server.daemon_state
        path = re.sub(r"^/v[0-9.]+(?=/)", "", unquote(urlsplit(self.path).path))
        state.log.append(f"{self.command} {path}")
        return state, path

    def _name(self) -> str:
        return parse_qs(urlsplit(self.path).query).get("names", [""])[0]

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _answer(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Api-Version", "1.41")
        self.send_header("Docker-Experimental", "false")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    daemon_state: DockerDaemon

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave are part of the game."""
