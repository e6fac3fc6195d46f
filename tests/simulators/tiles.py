"""A Rekor 2 as far as its readers see it: a signed checkpoint and tiles (C2SP tlog-tiles), over loopback HTTP.

with TiledRekor() as rekor:
    rekor.leaves.append(leaf(b"an entry"))
    rekor.faults.add("no-partial")     # partial tiles are gone, whole ones stay
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bundler.identity.keys import parse_spki
from bundler.moment import Window
from bundler.transparency.log import TransparencyLog, note_key_id
from tests.simulators.log_tree import root_of, signed_checkpoint
from tests.simulators.sigstore_keys import START


def tile(leaves: Sequence[bytes], level: int, number: int, width: int) -> bytes | None:
    """The hashes of a tile, as the specification defines them; None where the tree has no such tile."""
    span = 256**level
    firsts = [(number * 256 + place) * span for place in range(width)]
    if not firsts or firsts[-1] + span > len(leaves):
        return None
    return b"".join(root_of(leaves[first : first + span]) for first in firsts)


def answer(leaves: Sequence[bytes], path: str) -> bytes | None:
    """What stands at `tile/<L>/<N>[.p/<W>]`."""
    words = path.split("/")
    width = 256
    if words[-2].endswith(".p"):
        width = int(words.pop())
        words[-1] = words[-1].removesuffix(".p")
        if not 1 <= width < 256:
            return None
    number = int("".join(word.removeprefix("x") for word in words[2:]))
    return tile(leaves, int(words[1]), number, width)


def whole(path: str) -> str:
    """The path of the full tile that a partial one becomes."""
    return path.removeprefix("/api/v2/").partition(".p/")[0]


class TiledRekor:
    """The server; its key is Ed25519, as Rekor 2's are."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.faults: set[str] = set()
        self.asked: list[str] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"rekor": self}))
        self._http.daemon_threads = True
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.key = ed25519.Ed25519PrivateKey.generate()

    @property
    def trusted(self) -> TransparencyLog:
        """As a trusted root names it."""
        spki = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        key = parse_spki(spki)
        return TransparencyLog(f"http://{self.host}", note_key_id(self.host, key), key, Window(START))

    def checkpoint(self, size: int | None = None, *, origin: str | None = None) -> bytes:
        shown = self.leaves[:size] if size is not None else self.leaves
        return signed_checkpoint(origin or self.host, len(shown), root_of(shown), self.key, name=self.host).encode()

    def find(self, path: str) -> bytes | None:
        self.asked.append(path)
        if path == "/api/v2/checkpoint":
            return self.checkpoint(origin="another.example.org" if "another-tree" in self.faults else None)
        found = answer(self.leaves, path.removeprefix("/api/v2/"))
        if ".p/" in path and "no-partial" in self.faults and answer(self.leaves, whole(path)):
            return None
        if found and "wrong-tiles" in self.faults:
            return bytes(len(found))
        if found and "short-tiles" in self.faults:
            return found[:-1]
        return None if "no-tiles" in self.faults else found

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rekor: TiledRekor

    def do_GET(self) -> None:
        body = self.rekor.find(self.path)
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass
