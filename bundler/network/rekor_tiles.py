"""How a log of Rekor 2 grew: its tree is served as tiles (C2SP tlog-tiles), so the proof is put together here.

Rules of this module:
- The checkpoint is what the log has signed; it is opened before anything else is asked.
- Tiles are nobody's word. A proof made of them is verified by the caller against two signed checkpoints; a wrong tile
  gives a proof that does not hold.
- A tile has 256 hashes, the last one of a level as many as the tree's size says. A partial tile that is gone was
  completed since, so the full one is asked for; of it the first hashes are the same.
- Each tile is asked for once (`TileReader` lives as long as one tree is looked at).
"""

from __future__ import annotations

from collections.abc import Iterator

from bundler.errors import EnvError, RejectedError
from bundler.network.rekor import Fetch
from bundler.transparency.checkpoint import VerifiedCheckpoint, open_checkpoint
from bundler.transparency.log import TransparencyLog
from bundler.transparency.merkle import HASH_BYTES, node_hash

_HEIGHT = 8
_WIDTH = 1 << _HEIGHT
_Range = tuple[int, int]


def fetch_tiled_checkpoint(log: TransparencyLog, origin: str, fetch: Fetch) -> VerifiedCheckpoint:
    """The newest checkpoint of a log of Rekor 2.

    Args:
        log: of the trusted root.
        origin: of the checkpoints that are known of it.
        fetch: gives answers of any media type (log_client.py).

    Raises:
        RejectedError: not signed by the log (``checkpoint-signature``, ``checkpoint-origin``, ``checkpoint``), or of
            another tree (``log-tree-gone``).
        EnvError: ``log-unreachable``, ``log-answer``.
    """
    raw = fetch(f"{_base(log)}/checkpoint")
    if raw is None:
        raise _no_answer(log, "HTTP 404", "its checkpoint")
    found = open_checkpoint(raw, log)
    if found.origin != origin:
        raise RejectedError("log-tree-gone", "log", log.url, got=f"tree {found.origin[:160]}", want=origin[:160])
    return found


class TileReader:
    """Reads one tree's tiles.

    Args:
        log: of the trusted root.
        tree_size: leaves of the tree whose tiles are asked for.
        fetch: gives answers of any media type.
    """

    def __init__(self, log: TransparencyLog, tree_size: int, fetch: Fetch) -> None:
        self._log = log
        self._size = tree_size
        self._fetch = fetch
        self._tiles: dict[tuple[int, int], bytes] = {}

    def consistency(self, first: int) -> tuple[bytes, ...]:
        """The proof that the tree continues its own first `first` leaves (RFC 9162 section 2.1.4.1); not verified.

        Args:
            first: 1 to the tree's size less 1.

        Raises:
            EnvError: ``log-unreachable``, ``log-answer``.
        """
        return tuple(self._hash(part) for part in consistency_ranges(first, self._size))

    def _hash(self, part: _Range) -> bytes:
        start, end = part
        count = end - start
        if count & (count - 1) == 0:
            return self._node(count.bit_length() - 1, start)
        middle = start + _split(count)
        return node_hash(self._hash((start, middle)), self._hash((middle, end)))

    def _node(self, height: int, start: int) -> bytes:
        """The root of the 2^height leaves from `start` on, out of the tile that holds it."""
        level, above = divmod(height, _HEIGHT)
        place = start >> (_HEIGHT * level)
        tile = self._tile(level, place // _WIDTH)
        at = place % _WIDTH
        hashes = [tile[HASH_BYTES * n : HASH_BYTES * (n + 1)] for n in range(at, at + (1 << above))]
        while len(hashes) > 1:
            hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
        return hashes[0]

    def _tile(self, level: int, number: int) -> bytes:
        if (level, number) not in self._tiles:
            width = min(_WIDTH, (self._size >> (_HEIGHT * level)) - _WIDTH * number)
            self._tiles[level, number] = self._ask(level, number, width)
        return self._tiles[level, number]

    def _ask(self, level: int, number: int, width: int) -> bytes:
        url = f"{_base(self._log)}/tile/{level}/{_spelled(number)}"
        raw = self._fetch(url if width == _WIDTH else f"{url}.p/{width}")
        if raw is None and width < _WIDTH:
            raw, width = self._fetch(url), _WIDTH
        if raw is None or len(raw) != HASH_BYTES * width:
            got = "HTTP 404" if raw is None else f"{len(raw)} bytes"
            raise _no_answer(self._log, f"tile {level}/{number}: {got}", f"{width} hashes")
        return raw


def consistency_ranges(first: int, size: int) -> Iterator[_Range]:
    """The subtrees whose hashes are the proof, in its order: leaves from, and up to."""
    start, end, whole = 0, size, True
    stack: list[_Range] = []
    while first != end - start:
        middle = start + _split(end - start)
        if first <= middle - start:
            stack.append((middle, end))
            end = middle
        else:
            stack.append((start, middle))
            first -= middle - start
            start, whole = middle, False
    if not whole:
        yield start, end
    yield from reversed(stack)


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def _spelled(number: int) -> str:
    """`1234067` as `x001/x234/067` (C2SP tlog-tiles)."""
    parts = [f"{number % 1000:03}"]
    while number >= 1000:
        number //= 1000
        parts.insert(0, f"x{number % 1000:03}")
    return "/".join(parts)


def _base(log: TransparencyLog) -> str:
    return f"{log.url.rstrip('/')}/api/v2"


def _no_answer(log: TransparencyLog, got: str, want: str) -> EnvError:
    return EnvError("log-answer", "log", log.url, got=got, want=f"{want}, as Rekor 2 serves them")
