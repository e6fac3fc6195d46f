"""Text from outside, made safe to print (THREATS I22).

Rule: whatever a registry, a bundle or a file name supplied passes through `escape` before it reaches a terminal or a
log. Control characters, bidirectional overrides, line separators and lone surrogates become visible escapes; nothing
else changes.
"""

from __future__ import annotations

import re
from functools import cache

# C0 and C1 controls, DEL, Unicode line separators, bidirectional controls, zero-width characters, BOM, surrogates.
_UNSAFE = (
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def escape(text: str) -> str:
    r"""Return `text` with every unsafe character as `\xHH`, `\uHHHH` or `\UHHHHHHHH`."""
    if text.isprintable():  # none of the unsafe ones is; nearly all text ends here
        return text
    return _unsafe().sub(lambda match: _visible(ord(match.group())), text)


@cache
def _unsafe() -> re.Pattern[str]:
    """Compiled when it is needed: that takes a hundredth of the time of `sealift --help`."""
    return re.compile(_UNSAFE)


def _visible(point: int) -> str:
    if point <= 0xFF:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"
