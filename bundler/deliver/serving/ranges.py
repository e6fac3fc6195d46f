"""The one range of a blob that a request asks for (RFC 9110, section 14).

Rules of this module:
- One range in bytes is honoured. Several, other units and what cannot be read are ignored, as the RFC allows: the
  answer is the whole content.
- `If-Range` holds only with the content's own entity tag; with anything else the whole content is sent. A blob never
  changes under its digest, so both answers are right.
"""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*", re.ASCII | re.IGNORECASE)


def parse_range(text: str | None, size_bytes: int, if_range: str | None, entity_tag: str) -> tuple[int, int] | None:
    """First byte and end (half open) of what is wanted.

    Args:
        text: the header `Range`.
        size_bytes: size of the content.
        if_range: the header `If-Range`.
        entity_tag: the content's own.

    Returns:
        None for the whole content; an empty range (first = end) when none of the wanted bytes is there.
    """
    match = _RANGE.fullmatch(text or "")
    if match is None or (if_range is not None and if_range != entity_tag):
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return max(size_bytes - int(suffix), 0), size_bytes
    start = int(first)
    if last and int(last) < start:
        return None
    end = min(int(last) + 1, size_bytes) if last else size_bytes
    return (start, end) if start < size_bytes else (size_bytes, size_bytes)
