"""Sizes for people. A room of its own, so that `inspect` loads no more of the report than this."""

from __future__ import annotations


def readable_size(size_bytes: int) -> str:
    """`1.5 MB`, in powers of 1000 as media are sold."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
