"""Into storages that other programs write, podman's and Docker's: skopeo pulls from a loopback serve of the bundle.

Rules of this module:
- One platform of each image: a storage holds no index. The platform's manifest is asked for by its digest.
- skopeo's success is not believed: `containers-storage:` is asked for the manifest afterwards, and has to give the one
  that was verified. `docker-daemon:` stores images in its own form, under digests of its own; that cannot be compared,
  which is why the site has to type `--allow-digest-change`.
- A name that stands for something else is a conflict, unless the site typed `--overwrite-tags`; every name is asked
  for before the first image goes in. What a name stands for in `docker-daemon:` cannot be compared, so any is one.
- The server is ours, on loopback, and ends with the load.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bundler.deliver.holdings import HeldImage
from bundler.deliver.load_names import Naming, SkopeoTarget, renamed, require_one_meaning
from bundler.digest import Digest
from bundler.errors import EnvError, RejectedError, UsageError
from bundler.network.skopeo import Skopeo
from bundler.oci.descriptor import Platform, parse_platform
from bundler.value import dataclass


@dataclass(frozen=True, slots=True)
class Stored:
    """One image in a storage: its name there, the platform, and the manifest that was handed over."""

    held: HeldImage
    name: str
    platform: str
    digest: Digest


def plan_storage(images: Sequence[HeldImage], platform: Platform, naming: Naming) -> tuple[Stored, ...]:
    """What goes into a storage, and under which name.

    Raises:
        UsageError: an image has not exactly one manifest for the platform (``load-platform``), or no tag and so no name
            (``load-names``).
    """
    planned = tuple(_choose(image, platform, naming) for image in images)
    require_one_meaning((item.name, item.digest) for item in planned)
    return planned


def check_storage(
    planned: Sequence[Stored], target: SkopeoTarget, skopeo: Skopeo, folder: Path, *, overwrite: bool
) -> tuple[Stored, ...]:
    """What a storage lacks of the plan; it is only asked.

    Args:
        planned: made by `plan_storage`.
        target: which storage.
        skopeo: this machine's.
        folder: where its calls may put what they need for a while.
        overwrite: names may be moved.

    Raises:
        RejectedError: a name stands for something else (``tag-conflict``). EnvError: skopeo is absent.
    """
    missing = []
    for item in planned:
        found = _find(f"{target.transport}:{item.name}", skopeo, folder)
        if target.transport == "containers-storage" and found == item.digest:
            continue
        if found is not None and not overwrite:
            raise RejectedError(
                "tag-conflict", "name", f"{target.transport}:{item.name}", got=f"there, for {found}",
                want=f"absent, or {item.digest}", hints=["--overwrite-tags moves it"],
            )  # fmt: skip
        missing.append(item)
    return tuple(missing)


def load_storage(
    planned: Sequence[Stored],
    target: SkopeoTarget,
    skopeo: Skopeo,
    folder: Path,
    source: Callable[[HeldImage], str],
) -> None:
    """Let skopeo bring the planned images in, one after the other.

    Args:
        planned: given by `check_storage`.
        target: which storage.
        skopeo: this machine's.
        folder: where its calls may put what they need for a while.
        source: where an image is served, `127.0.0.1:port/path`.

    Raises:
        RejectedError: the storage gives another manifest (``load-lost``). EnvError: skopeo is absent, or fails.
    """
    for item in planned:
        destination = f"{target.transport}:{item.name}"
        skopeo.copy_into_storage(f"{source(item.held)}@{item.digest}", destination, folder / "copy")
        if target.transport == "containers-storage":
            found = skopeo.stored_digest(destination, folder / "inspect")
            if found != item.digest:
                raise RejectedError(
                    "load-lost", "storage", destination, got=f"manifest {found}", want=f"{item.digest}, as verified"
                )


def _find(place: str, skopeo: Skopeo, folder: Path) -> Digest | None:
    """What a name stands for. skopeo does not tell an absent one from other failures; a copy will fail in those too."""
    try:
        return skopeo.stored_digest(place, folder / "inspect")
    except EnvError as error:
        if error.code != "skopeo-failed":
            raise
        return None


def _choose(image: HeldImage, platform: Platform, naming: Naming) -> Stored:
    if image.reference.tag is None:
        raise UsageError(
            "load-names", "image", image.image.name, got="no tag, so no name in a storage", want="an image with a tag"
        )
    name = f"{renamed(image.reference.name, naming)}:{image.reference.tag}"
    fitting = [child for child in image.image.platforms if platform.covers(parse_platform(child.platform))]
    if len(fitting) != 1:
        there = ", ".join(child.platform for child in image.image.platforms) or "none"
        raise UsageError(
            "load-platform", "image", image.image.name, got=f"{len(fitting)} manifests for {platform} ({there})",
            want="exactly one", hints=["choose with --platform OS/ARCH[/VARIANT]"],
        )  # fmt: skip
    return Stored(image, name, fitting[0].platform, fitting[0].digest)
