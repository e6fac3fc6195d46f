"""Under which repository paths images are served.

    registry.example.org/team/app        full path, always; what a mirror configuration with a prefix asks for
    team/app                             short path, while no other registry of the served images has that path
    team/app?ns=registry.example.org     as containerd asks its mirrors

Rules of this module:
- Paths follow the repository grammar of the OCI distribution-spec ("Pulling manifests"). A registry's port follows `_`
  (`127.0.0.1_5000/app`), which no host name has; an IPv6 address is spelled `ip6-2001-0db8-…`.
- A path never means two things: a short path that two registries share, or that is another image's full path, is not
  served; whoever asks is told the full ones.
- With `ns` only that registry's images are there, whatever else has the same path.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from bundler import limits
from bundler.value import dataclass

_PART = r"[a-z0-9]+(?:(?:[_.]|__|[-]+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
_LEGACY = "index.docker.io"
_DEFAULT = "docker.io"
_SPELLING_CHARACTERS = 64  # what the spelling of an IPv6 address adds to a name


@dataclass(frozen=True, slots=True, order=True)
class Home:
    """Where images of one repository come from: a registry (in lower case), and a repository there."""

    registry: str
    repository: str

    @property
    def full_path(self) -> str:
        """The path that is always served."""
        return f"{_spell(self.registry)}/{self.repository}"


@dataclass(frozen=True, slots=True)
class Names:
    """Paths of a set of homes: full ones, short ones, and short ones that are not served because they are shared."""

    full: Mapping[str, Home]
    short: Mapping[str, Home]
    shared: Mapping[str, tuple[Home, ...]]

    def find(self, path: str, namespace: str | None) -> Home | None:
        """The home that a request means; None when there is none, or more than one."""
        if namespace is None:
            return self.full.get(path) or self.short.get(path)
        registry = _DEFAULT if namespace.lower() == _LEGACY else namespace.lower()
        home = self.full.get(Home(registry, path).full_path) or self.full.get(path)
        return home if home is not None and home.registry == registry else None

    def best_path(self, home: Home) -> str:
        """The short path where it is served, else the full one."""
        return home.repository if self.short.get(home.repository) == home else home.full_path


def make_names(homes: Iterable[Home]) -> Names:
    """The paths of these homes."""
    full = {home.full_path: home for home in sorted(set(homes))}
    by_path: dict[str, list[Home]] = defaultdict(list)
    for home in full.values():
        by_path[home.repository].append(home)
    short = {path: found[0] for path, found in by_path.items() if len(found) == 1 and path not in full}
    return Names(full, short, {path: tuple(found) for path, found in by_path.items() if path not in short})


def is_path(text: str) -> bool:
    """Whether a text has the grammar of a repository's path."""
    return len(text) <= limits.REPOSITORY_NAME_CHARACTERS + _SPELLING_CHARACTERS and bool(_PATH.fullmatch(text))


def _spell(registry: str) -> str:
    host, colon, port = registry.rpartition(":")
    if not colon or not port.isdigit():
        host, port = registry, ""
    if host.startswith("["):
        host = _spell_address(host.strip("[]"))
    return f"{host}_{port}" if port else host


def _spell_address(text: str) -> str:
    try:
        exploded = ipaddress.IPv6Address(text).exploded
    except ValueError:  # the reference grammar takes what is no address
        exploded = text.encode().hex()
    return "ip6-" + exploded.replace(":", "-")
