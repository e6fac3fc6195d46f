"""Packages of two SBOMs compared: what came, what went, what has another version or licence.

Rules of this module:
- A package is known by its purl without version, qualifiers and subpath (purl-spec), else by its name: SBOMs of
  different tools agree on that. Its version is the one that the SBOM states.
- A package can be there in several versions at once; then the set of versions is compared.
- Order and repetitions mean nothing. Everything is a claim of whoever made the SBOM.
"""

from __future__ import annotations

from collections.abc import Iterable

from bundler.evidence.sbom import Package
from bundler.value import dataclass

_Held = dict[str, set[tuple[str, str]]]


@dataclass(frozen=True, slots=True, order=True)
class PackageChange:
    """One package that differs: versions and licences, sorted; empty on the side where it is not."""

    name: str
    versions_before: tuple[str, ...]
    versions_after: tuple[str, ...]
    licences_before: tuple[str, ...]
    licences_after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackageChanges:
    """All packages that differ, each list sorted by name."""

    added: tuple[PackageChange, ...]
    removed: tuple[PackageChange, ...]
    changed: tuple[PackageChange, ...]
    same: int

    @property
    def any(self) -> bool:
        """Whether there is a difference."""
        return bool(self.added or self.removed or self.changed)


def compare_packages(before: Iterable[Package], after: Iterable[Package]) -> PackageChanges:
    """Compare the packages of one platform."""
    old, new = _held(before), _held(after)
    differing = [key for key in old.keys() | new.keys() if old.get(key) != new.get(key)]
    changes = {key: _change(key, old.get(key, set()), new.get(key, set())) for key in differing}
    return PackageChanges(
        added=tuple(sorted(changes[key] for key in differing if key not in old)),
        removed=tuple(sorted(changes[key] for key in differing if key not in new)),
        changed=tuple(sorted(changes[key] for key in differing if key in old and key in new)),
        same=len(old.keys() & new.keys()) - sum(key in old and key in new for key in differing),
    )


def _held(packages: Iterable[Package]) -> _Held:
    held: _Held = {}
    for package in packages:
        held.setdefault(package_key(package), set()).add((package.version, package.licence))
    return held


def _change(key: str, old: set[tuple[str, str]], new: set[tuple[str, str]]) -> PackageChange:
    return PackageChange(
        key,
        *(tuple(sorted({version for version, _ in side})) for side in (old, new)),
        *(tuple(sorted({licence for _, licence in side if licence})) for side in (old, new)),
    )


def package_key(package: Package) -> str:
    """What a package is known by: `pkg:TYPE/NAMESPACE/NAME`, or its name."""
    if not package.purl:
        return package.name
    bare = package.purl.partition("#")[0].partition("?")[0]
    parent, slash, name = bare.rpartition("/")
    at = name.find("@", 1)  # an unescaped `@` may begin an npm scope, never a version
    return f"{parent}{slash}{name if at < 0 else name[:at]}"
