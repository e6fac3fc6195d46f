"""Where a loaded image goes: the target as typed, and the name that an image gets there.

    registry.plant.example:5000/mirror      a registry, and a path below which everything goes
    oci:FOLDER                              an OCI layout
    containers-storage:                     podman's and CRI-O's storage
    docker-daemon:                          a Docker daemon

Rules of this module:
- The name comes from the inventory, through rules that the site typed; from nothing else (THREATS S5).
- Order: the first `--rewrite FROM=TO` whose FROM is the image's name or a path above it; otherwise the name without its
  registry (with it under `--keep-registry`), less the first `--strip N` parts. Then the target's path in front.
- Two images, or two pieces of evidence, that would get one name with different digests are refused before anything is
  done.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from bundler.deliver.holdings import HeldImage
from bundler.digest import Digest
from bundler.errors import MalformedError, UsageError
from bundler.oci.reference import Reference, parse_reference
from bundler.value import dataclass

Transport = Literal["containers-storage", "docker-daemon"]
_TRANSPORTS: tuple[Transport, ...] = ("containers-storage", "docker-daemon")
_HOST = re.compile(r"localhost(?::[0-9]+)?|[^/]*[.:][^/]*")


@dataclass(frozen=True, slots=True)
class RegistryTarget:
    """A registry (`host[:port]`), and the path below which everything goes, which may be empty."""

    registry: str
    prefix: str


@dataclass(frozen=True, slots=True)
class LayoutTarget:
    """An OCI layout's folder, new or one that is there."""

    folder: Path


@dataclass(frozen=True, slots=True)
class SkopeoTarget:
    """A storage that skopeo writes, one platform of each image."""

    transport: Transport


Target = RegistryTarget | LayoutTarget | SkopeoTarget


@dataclass(frozen=True, slots=True)
class Naming:
    """What the site typed about names.

    Attributes:
        strip: how many leading parts of the path are dropped.
        keep_registry: the image's registry becomes the first part of the path.
        rewrites: pairs of a name, or a path above it, with its registry, and what stands in its place.
    """

    strip: int = 0
    keep_registry: bool = False
    rewrites: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Placed:
    """An image, and the name that it gets at the target; `name` bears the image's tag, or its digest without one."""

    held: HeldImage
    name: Reference

    @property
    def tags(self) -> Mapping[str, Digest]:
        """Evidence tags first; the image's own, if it has one, last."""
        own = self.held.reference.tag
        tags = {tag: digest for tag, digest in self.held.tags.items() if tag != own}
        return tags | ({self.name.tag: self.held.image.digest} if self.name.tag else {})


def parse_target(text: str) -> Target:
    """The target of `load --to`.

    Raises:
        UsageError: not one of the four forms (code ``load-target``).
    """
    for transport in _TRANSPORTS:
        if text.startswith(f"{transport}:"):
            if text != f"{transport}:":
                raise _bad_target(text, f"{transport}: alone; names come from the bundle and --rewrite")
            return SkopeoTarget(transport)
    if text.startswith("oci:"):
        folder = text.removeprefix("oci:")
        if not folder or ":" in folder:  # elsewhere a name follows, which would become part of the folder's name here
            raise _bad_target(text, "oci:FOLDER; names come from the bundle")
        return LayoutTarget(Path(folder))
    registry, _, prefix = text.removeprefix("docker://").rstrip("/").partition("/")
    if not _HOST.fullmatch(registry):
        raise _bad_target(text, "REGISTRY[/PREFIX], with a dot or a port in REGISTRY, or localhost")
    try:
        name = parse_reference(f"{registry}/{prefix}/x" if prefix else f"{registry}/x/x")
    except MalformedError as error:
        raise _bad_target(text, error.want) from error
    if name.registry != registry or name.tag != "latest":
        raise _bad_target(text, "REGISTRY[/PREFIX]")
    return RegistryTarget(registry, prefix)


def parse_rewrite(text: str) -> tuple[str, str]:
    """One `--rewrite FROM=TO`.

    Raises:
        UsageError: not such a pair (code ``load-names``).
    """
    before, equals, after = text.partition("=")
    if not equals or not before.strip("/") or not after.strip("/"):
        raise UsageError("load-names", "option", "--rewrite", got=repr(text)[:160], want="FROM=TO")
    return before.strip("/"), after.strip("/")


def place(images: Iterable[HeldImage], target: RegistryTarget, naming: Naming) -> tuple[Placed, ...]:
    """The name of each image at a registry, or in a layout or storage (there the registry is part of the name).

    Raises:
        UsageError: a name that no registry accepts, or one name for two images (code ``load-names``).
    """
    placed = tuple(Placed(image, _name(image.reference, target, naming)) for image in images)
    require_one_meaning(
        (f"{item.name.name}:{tag}", digest) for item in placed for tag, digest in item.tags.items()
    )  # fmt: skip
    return placed


def renamed(name: str, naming: Naming) -> str:
    """A repository's name with its registry, as a layout or a storage gets it: only rewrites apply there.

    Raises:
        UsageError: a rewrite makes something else of it than a name (code ``load-names``).
    """
    for before, after in naming.rewrites:
        if name == before or name.startswith(f"{before}/"):
            made = after + name[len(before) :]
            if _parsed(f"{made}:x").tag != "x":
                raise UsageError("load-names", "name", made[:300], got="a tag or digest in it", want="a name alone")
            return made
    return name


def require_one_meaning(names: Iterable[tuple[str, Digest]]) -> None:
    """Require that no name stands for two digests.

    Raises:
        UsageError: one does (code ``load-names``).
    """
    known: dict[str, Digest] = {}
    for name, digest in names:
        if known.setdefault(name, digest) != digest:
            raise UsageError(
                "load-names", "name", name[:300], got="two digests of the bundle", want="one",
                hints=["tell them apart with --rewrite FROM=TO, or --keep-registry at a registry"],
            )  # fmt: skip


def path_of_registry(registry: str) -> str:
    """A registry as part of a path: lower case, each run of characters that no path may hold as one `_`."""
    return re.sub(r"[^a-z0-9.-]+", "_", registry.lower()).strip("._-")


def _name(reference: Reference, target: RegistryTarget, naming: Naming) -> Reference:
    path = "/".join(part for part in (target.prefix, _path(reference, naming)) if part)
    tail = f":{reference.tag}" if reference.tag else ""
    digest = f"@{reference.digest}" if reference.digest else ""
    name = _parsed(f"{target.registry}/{path}{tail}{digest}")
    if name.tag != reference.tag:  # a rewrite to `tools:x` would tag what has no tag
        raise UsageError("load-names", "name", str(name)[:300], got="a tag in it", want="a name alone")
    return name


def _parsed(text: str) -> Reference:
    try:
        return parse_reference(text)
    except MalformedError as error:
        raise UsageError(
            "load-names", "name", text[:300], got=error.got, want=error.want, hints=["see --rewrite and --strip"]
        ) from error


def _path(reference: Reference, naming: Naming) -> str:
    for before, after in naming.rewrites:
        if reference.name == before or reference.name.startswith(f"{before}/"):
            return after + reference.name[len(before) :]
    parts = _parts(reference, keep_registry=naming.keep_registry)
    if naming.strip >= len(parts):
        raise UsageError(
            "load-names", "option", f"--strip {naming.strip}", got=f"nothing left of {reference.name}",
            want=f"at most {len(parts) - 1} for this image",
        )  # fmt: skip
    return "/".join(parts[naming.strip :])


def _parts(reference: Reference, *, keep_registry: bool) -> Sequence[str]:
    head = [path_of_registry(reference.registry)] if keep_registry else []
    return [*head, *reference.repository.split("/")]


def _bad_target(text: str, want: str) -> UsageError:
    return UsageError(
        "load-target", "target", repr(text)[:200], got="not a target", want=want,
        hints=["REGISTRY[/PREFIX], oci:FOLDER, containers-storage: or docker-daemon:"],
    )  # fmt: skip
