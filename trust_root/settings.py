"""The site's own settings, `site.toml` in the state folder: typed by people, never read from a bundle.

    site = "plant-7"                # this site's name, for bundles with an audience

    [time]
    mode = "strict"                 # or "grace": metadata may have expired by up to grace_days
    grace_days = 30                 # only with mode = "grace"
    max_age_days = 400              # optional: refuse bundles older than this

    [policy]
    path = "policy.toml"            # default policy; relative to the state folder
    sha256 = "…64 hex digits…"      # optional: and only with this content

    [min_sequence]                  # optional, after this site's state was lost: by stream, the lowest
    plant = 120                     # sequence that a new delivery may have

    [keep]                          # of accepted deliveries, for `sealift scan` of what came long ago
    sboms = true                    # their SBOMs
    data = true                     # vulnerability data, of each name the newest
    deliveries = 100                # of each stream, the newest

Rule: unknown keys and values of another type are errors (exit 2); what is absent is the strictest choice.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import PurePosixPath

from bundler import limits
from bundler.digest import Digest
from bundler.errors import MalformedError, UsageError
from bundler.fields import Fields
from bundler.strict_json import MAX_SAFE_INTEGER
from bundler.value import dataclass, field
from trust_root.roles import parse_stream

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{limits.SITE_NAME_CHARACTERS - 1}}}", re.ASCII)
_MAX_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class KeepSettings:
    """What a site keeps of accepted deliveries, and of how many of each stream."""

    sboms: bool = True
    data: bool = True
    deliveries: int = 100


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """What `site.toml` says.

    Attributes:
        name: the site's name, or None.
        grace: how long after its expiry metadata is accepted; zero in strict mode.
        max_age: how old a bundle may be, or None.
        policy_path: the default policy, relative to the state folder, or None.
        policy_digest: the digest that it must have, or None.
        min_sequences: by stream, the lowest sequence that a new delivery may have.
        keep: what is kept of accepted deliveries.
    """

    name: str | None = None
    grace: timedelta = timedelta(0)
    max_age: timedelta | None = None
    policy_path: PurePosixPath | None = None
    policy_digest: Digest | None = None
    min_sequences: Mapping[str, int] = field(default_factory=dict)
    keep: KeepSettings = field(default_factory=KeepSettings)


def parse_site_name(name: object) -> str:
    """A site's name.

    Raises:
        MalformedError: not `[A-Za-z0-9][A-Za-z0-9._-]*` of at most 64 characters (code ``site-name``).
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        want = f"letters, digits, dots, hyphens, at most {limits.SITE_NAME_CHARACTERS}"
        raise MalformedError("site-name", "site name", repr(name)[:80], got="not a name", want=want)
    return name


def parse_settings(raw: bytes) -> SiteSettings:
    """Parse `site.toml`.

    Raises:
        UsageError: not TOML, an unknown key, or a value that makes no sense (code ``site-settings``).
    """
    try:
        fields = Fields(_load_toml(raw), "site.toml")
        fields.only("site", "time", "policy", "min_sequence", "keep")
        name = parse_site_name(fields.text("site")) if "site" in fields else None
        grace, max_age = _parse_time(fields.fields("time")) if "time" in fields else (timedelta(0), None)
        path, digest = _parse_policy(fields.fields("policy")) if "policy" in fields else (None, None)
        lowest = _parse_lowest(fields.fields("min_sequence")) if "min_sequence" in fields else {}
        keep = _parse_keep(fields.fields("keep")) if "keep" in fields else KeepSettings()
    except MalformedError as error:
        raise UsageError("site-settings", "settings", "site.toml", got=str(error), want="known keys only") from error
    return SiteSettings(name, grace, max_age, path, digest, lowest, keep)


def format_settings(settings: SiteSettings) -> bytes:
    """A fresh `site.toml`; `parse_settings` gives back the same settings."""
    lines = [
        "# Settings of this site, made by `sealift trust pin`. After an edit: sealift trust state --accept-settings",
        f'site = "{settings.name}"' if settings.name else '# site = "NAME"',
        "",
        "[time]",
        f'mode = "{"grace" if settings.grace else "strict"}"',
        f"grace_days = {settings.grace.days}" if settings.grace else '# grace_days = 30 (with mode = "grace")',
        f"max_age_days = {settings.max_age.days}" if settings.max_age else "# max_age_days = 400",
    ]
    if settings.policy_path is not None:
        lines += ["", "[policy]", f'path = "{settings.policy_path}"']
        lines += [f'sha256 = "{settings.policy_digest.hex}"'] if settings.policy_digest else []
    if settings.min_sequences:
        lines += ["", "[min_sequence]"]
        lines += [f"{stream} = {settings.min_sequences[stream]}" for stream in sorted(settings.min_sequences)]
    if settings.keep != KeepSettings():
        words = {"sboms": settings.keep.sboms, "data": settings.keep.data}
        lines += ["", "[keep]", *(f"{key} = {str(value).lower()}" for key, value in words.items())]
        lines += [f"deliveries = {settings.keep.deliveries}"]
    return ("\n".join(lines) + "\n").encode()


def _load_toml(raw: bytes) -> Mapping[str, object]:
    if len(raw) > limits.SETTINGS_BYTES:
        raise MalformedError("limits", "site.toml", got=f"{len(raw)} bytes", want=f"at most {limits.SETTINGS_BYTES}")
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise MalformedError("toml", "site.toml", got=str(error)[:160], want="TOML") from error


def _parse_time(time: Fields) -> tuple[timedelta, timedelta | None]:
    time.only("mode", "grace_days", "max_age_days")
    mode = time.text("mode") if "mode" in time else "strict"
    if mode not in {"strict", "grace"} or (mode == "grace") != ("grace_days" in time):
        raise MalformedError(
            "site-settings", "site.toml", "time.mode", got=mode[:40], want='"strict", or "grace" with grace_days'
        )
    grace = time.integer("grace_days", minimum=1, maximum=_MAX_DAYS) if mode == "grace" else 0
    max_age = time.integer("max_age_days", minimum=1, maximum=_MAX_DAYS) if "max_age_days" in time else None
    return timedelta(days=grace), None if max_age is None else timedelta(days=max_age)


def _parse_lowest(lowest: Fields) -> Mapping[str, int]:
    streams = lowest.keys()
    return {parse_stream(stream): lowest.integer(stream, minimum=1, maximum=MAX_SAFE_INTEGER) for stream in streams}


def _parse_keep(keep: Fields) -> KeepSettings:
    keep.only("sboms", "data", "deliveries")
    return KeepSettings(
        keep.boolean("sboms") if "sboms" in keep else True,
        keep.boolean("data") if "data" in keep else True,
        keep.integer("deliveries", minimum=1, maximum=limits.KEPT_DELIVERIES) if "deliveries" in keep else 100,
    )


def _parse_policy(policy: Fields) -> tuple[PurePosixPath, Digest | None]:
    policy.only("path", "sha256")
    path = policy.text("path")
    if not path or not path.isprintable():
        raise MalformedError("site-settings", "site.toml", "policy.path", got=repr(path)[:80], want="a path")
    return PurePosixPath(path), Digest("sha256", policy.text("sha256")) if "sha256" in policy else None
