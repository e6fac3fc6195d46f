"""What patched images are called: the original's tag with a suffix, and for each platform a tag in the registry."""

from __future__ import annotations

import re

from bundler.errors import MalformedError, UsageError
from bundler.oci.reference import parse_reference

_SHORT = 12
_NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9_.-]", re.ASCII)


def patched_name(name: str, suffix: str) -> str:
    """The reference of the patched image: `app:1` gives `app:1-patched`.

    Raises:
        UsageError: the suffix gives no tag (code ``patch-tag``).
    """
    reference = parse_reference(name)
    return _checked(f"{reference.name}:{_base(name)}{suffix}", suffix)


def platform_tag(name: str, suffix: str, platform: str) -> str:
    """The tag under which one platform is pushed: `1-patched-arm64-v8`.

    Raises:
        UsageError: as `patched_name`.
    """
    tag = f"{_base(name)}{suffix}-{_NOT_IN_TAGS.sub('-', platform.removeprefix('linux/'))}"
    _checked(f"{parse_reference(name).name}:{tag}", suffix)
    return tag


def _base(name: str) -> str:
    """The original's tag; of one without a tag, the first digits of its digest."""
    reference = parse_reference(name)
    if reference.tag is not None or reference.digest is None:
        return reference.tag or ""
    return reference.digest.hex[:_SHORT]


def _checked(name: str, suffix: str) -> str:
    try:
        return str(parse_reference(name))
    except MalformedError as error:
        raise UsageError("patch-tag", "option", f"--suffix {suffix[:80]}", got=error.got, want=error.want) from error
