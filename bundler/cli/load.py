"""`sealift load`: bring a verified bundle's images, with their evidence, into a registry, a layout or a storage."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.cli.connected import access_options, take_access
from bundler.cli.judging import Judging, judging_options, print_report, size_of
from bundler.cli.options import clock
from bundler.errors import MalformedError, UsageError
from bundler.value import dataclass

if TYPE_CHECKING:
    from bundler.deliver.load_names import LayoutTarget, Naming, RegistryTarget, SkopeoTarget, Target
    from bundler.deliver.verified import Opened, VerifiedBundle
    from bundler.network.access import Access
    from bundler.oci.descriptor import Platform
    from trust_root.site import Site

_EPILOG = """\b
Examples:
  sealift load app.bundle.tar --to registry.plant.example:5000 --policy policy.toml --dry-run
  sealift load app.bundle.tar --to registry.plant.example:5000/mirror --keep-registry
  sealift load app.bundle.tar --to harbor.example/line3 --rewrite registry.example.org/team=tools
  sealift load app.bundle.tar --to oci:/srv/images
  sealift load app.bundle.tar --to containers-storage: --platform linux/amd64

There is no --at: what is loaded must hold today. Exit codes: 0 loaded, 1 rejected, 2 usage, 3 damaged, 4 trust,
5 unsupported, 6 environment.
"""

_GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "armv6l": "arm/v6", "i686": "386"}


@click.command(epilog=_EPILOG)
@click.argument("file", metavar="FILE")
@click.option("--to", "to", required=True, metavar="TARGET", help="REGISTRY[/PREFIX], oci:DIR, containers-storage: …")
@click.option("--rewrite", multiple=True, metavar="FROM=TO", help="Load names at or below FROM as TO; repeatable.")
@click.option("--strip", type=click.IntRange(0, 20), default=0, help="Drop so many leading parts of each name [0].")
@click.option("--keep-registry", is_flag=True, help="Make the image's registry the first part of its path.")
@click.option("--overwrite-tags", is_flag=True, help="Move tags that stand for something else.")
@click.option(
    "--derive-index", is_flag=True, help="If a sparse index is refused, load one without its absent children."
)
@click.option("--compare-blobs", is_flag=True, help="Read every blob back from the registry too, and compare it.")
@click.option("--platform", metavar="OS/ARCH", help="The platform for a storage [this machine's].")
@click.option("--allow-digest-change", is_flag=True, help="For docker-daemon:, which cannot keep digests.")
@click.option("--jobs", type=click.IntRange(1, 32), default=4, help="Blobs at once [4].")
@click.option("--dry-run", is_flag=True, help="Verify, ask the target, print the plan; change nothing.")
@judging_options
@access_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON (sealift help load).")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def load(file: str, as_json: bool, quiet: bool, **typed: Any) -> int:
    """Verify the bundle FILE, then load its images and all their evidence into TARGET.

    Nothing is pushed before trust, every byte and the policy have passed. Tags come last; what is there already is not
    pushed again; everything is read back and compared by digest.
    """
    access = take_access(typed)
    judging = Judging(**{name: typed.pop(name) for name in Judging.__slots__})
    task = _Task(access=access, as_json=as_json, quiet=quiet, **typed)
    target, naming = task.target(), task.naming()
    site = judging.site(read_only=task.dry_run)
    with ExitStack() as stack:
        opened = stack.enter_context(_verified(file, judging, site, quiet=quiet))
        if opened.bundle is None:
            print_report(opened.run.report, as_json=as_json)
            return opened.run.report.exit_code
        return _load(opened.bundle, target, naming, task, site)


@dataclass(frozen=True, slots=True)
class _Task:
    """What was typed, beside FILE and what it is judged by."""

    to: str
    rewrite: tuple[str, ...]
    strip: int
    keep_registry: bool
    overwrite_tags: bool
    derive_index: bool
    compare_blobs: bool
    platform: str | None
    allow_digest_change: bool
    jobs: int
    dry_run: bool
    access: Access
    as_json: bool
    quiet: bool

    def target(self) -> Target:
        """Where to, and that nothing was typed which means nothing there.

        Raises:
            UsageError: no target (``load-target``), an option for another (``usage``), a Docker daemon without
                ``--allow-digest-change`` (``digest-change``), no platform.
        """
        from bundler.deliver.load_names import LayoutTarget, RegistryTarget, SkopeoTarget, parse_target

        target = parse_target(self.to)
        is_daemon = isinstance(target, SkopeoTarget) and target.transport == "docker-daemon"
        fits = {
            "--strip": isinstance(target, RegistryTarget) or not self.strip,
            "--keep-registry": isinstance(target, RegistryTarget) or not self.keep_registry,
            "--derive-index": isinstance(target, RegistryTarget) or not self.derive_index,
            "--compare-blobs": isinstance(target, RegistryTarget) or not self.compare_blobs,
            "--platform": isinstance(target, SkopeoTarget) or self.platform is None,
            "--allow-digest-change": is_daemon or not self.allow_digest_change,
        }
        for option in (name for name, does_fit in fits.items() if not does_fit):
            kind = "a layout" if isinstance(target, LayoutTarget) else self.to
            raise UsageError("usage", "option", option, got=f"given for {kind}", want="a target that it bears on")
        if is_daemon and not self.allow_digest_change:
            raise UsageError(
                "digest-change", "target", "docker-daemon:", got="a storage that keeps no digests",
                want="--allow-digest-change",
                hints=["what runs from it cannot be compared with what was verified; containers-storage: keeps it"],
            )  # fmt: skip
        if isinstance(target, SkopeoTarget):
            self.chosen_platform()
        return target

    def chosen_platform(self) -> Platform:
        from bundler.oci.descriptor import parse_platform

        try:
            return parse_platform(self.platform or _this_machine())
        except MalformedError as error:
            raise UsageError(error.code, "option", "--platform", got=error.which, want=error.want) from error

    def naming(self) -> Naming:
        from bundler.deliver.load_names import Naming, parse_rewrite

        return Naming(self.strip, self.keep_registry, tuple(map(parse_rewrite, self.rewrite)))


@contextmanager
def _verified(file: str, judging: Judging, site: Site, *, quiet: bool) -> Iterator[Opened]:
    """The verified bundle, kept open; the bar ends when the verification does."""
    from bundler.cli.console import progress
    from bundler.deliver.verified import open_verified

    with ExitStack() as stack:
        with progress("verifying", size_of(file), quiet=quiet) as bar:
            opened = stack.enter_context(open_verified(Path(file), judging.request(site, bar.reach), site))
        yield opened


def _load(bundle: VerifiedBundle, target: Target, naming: Naming, task: _Task, site: Site) -> int:
    from bundler.deliver.load_document import head_document
    from bundler.deliver.load_names import LayoutTarget, RegistryTarget

    document = head_document(bundle, task.to, dry_run=task.dry_run)
    if not bundle.images:  # vulnerability data alone: the target is not even asked
        _print(document, as_json=task.as_json)
        return 0
    if isinstance(target, RegistryTarget):
        code = _into_registry(bundle, target, naming, task, document)
    elif isinstance(target, LayoutTarget):
        code = _into_layout(bundle, target, naming, task, document)
    else:
        code = _into_storage(bundle, target, naming, task, document)
    try:
        if not task.dry_run:
            site.note_load(_log_line(document), clock())
    finally:  # what was done is told, also when it cannot be written down
        _print(document, as_json=task.as_json)
    return code


def _into_registry(
    bundle: VerifiedBundle, target: RegistryTarget, naming: Naming, task: _Task, document: dict[str, Any]
) -> int:
    from bundler.cli.console import progress
    from bundler.deliver.load_document import loaded_document, plan_document
    from bundler.deliver.load_names import place
    from bundler.deliver.load_plan import plan_load
    from bundler.deliver.load_registry import Terms, load_registry
    from bundler.network.push import Targets
    from bundler.network.registry import Registries

    placed = place(bundle.images, target, naming)
    with Registries(task.access) as registries:
        targets = Targets(registries)
        plan = plan_load(placed, lambda item: targets.repository(item.name), task.jobs)
        if task.dry_run:
            document["images"] = plan_document(plan, overwrite=task.overwrite_tags)
            return 1 if any(image.get("conflict") for image in document["images"]) else 0
        total = sum(image.missing_bytes for image in plan.images)
        with progress("pushing", total, quiet=task.quiet) as bar:
            terms = Terms(
                overwrite_tags=task.overwrite_tags,
                derive_sparse=task.derive_index,
                compare_blobs=task.compare_blobs,
                jobs=task.jobs,
                watch=_one_at_a_time(bar.advance),
            )
            loaded = load_registry(plan, bundle, lambda image: targets.repository(image.placed.name), terms)
        document["images"] = loaded_document(loaded)
    return 0


def _into_layout(
    bundle: VerifiedBundle, target: LayoutTarget, naming: Naming, task: _Task, document: dict[str, Any]
) -> int:
    from bundler.cli.console import progress
    from bundler.deliver.load_document import layout_document
    from bundler.deliver.load_layout import load_layout, names_of
    from bundler.deliver.load_names import renamed

    listed = list(names_of(bundle.images, lambda name: renamed(name, naming)))
    total = sum(blob.size_bytes for image in bundle.images for blob in image.blobs())
    with progress("writing", total, quiet=task.quiet) as bar:
        written = load_layout(
            target.folder, bundle, listed, overwrite=task.overwrite_tags, dry_run=task.dry_run, watch=bar.advance
        )
    document["layout"] = layout_document(written, listed)
    return 0


def _into_storage(
    bundle: VerifiedBundle, target: SkopeoTarget, naming: Naming, task: _Task, document: dict[str, Any]
) -> int:
    from tempfile import TemporaryDirectory

    from bundler.deliver.load_document import storage_document
    from bundler.deliver.load_storage import check_storage, load_storage, plan_storage
    from bundler.deliver.serve import Place, open_server
    from bundler.network.server.listener import Address
    from bundler.network.skopeo import Skopeo

    planned = plan_storage(bundle.images, task.chosen_platform(), naming)
    skopeo = Skopeo(task.access)
    with TemporaryDirectory() as folder:
        missing = check_storage(planned, target, skopeo, Path(folder), overwrite=task.overwrite_tags)
        document["images"] = storage_document(planned, target, missing)
        if task.dry_run or not missing:
            return 0
        place = Place(Address("127.0.0.1", 0))
        with open_server([bundle], place, write=lambda _: None, clock=clock) as server:
            paths = {offer.name: offer.full_path for offer in server.offers}
            load_storage(
                missing, target, skopeo, Path(folder), lambda held: f"{server.address}/{paths[held.image.name]}"
            )
    return 0


def _this_machine() -> str:
    """This machine's platform, in Go's words for architectures."""
    machine = os.uname().machine
    return f"linux/{_GO_NAMES.get(machine, machine)}"


def _one_at_a_time(call: Callable[[int], None]) -> Callable[[int], None]:
    """For several threads: never two in `call` at once."""
    lock = threading.Lock()

    def locked_call(count: int) -> None:
        with lock:
            call(count)

    return locked_call


def _log_line(document: dict[str, Any]) -> dict[str, Any]:
    """What the site's log keeps of a load: what went where, by digest."""
    kept = {key: document[key] for key in ("target", "pin", "stream", "sequence", "inventory")}
    images = [{key: image[key] for key in ("name", "to", "digest")} for image in document.get("images", ())]
    names = document.get("layout", {}).get("digests")
    return kept | ({"images": images} if images else {}) | ({"names": names} if names else {})


def _print(document: dict[str, Any], *, as_json: bool) -> None:
    from bundler.deliver.load_document import load_lines
    from bundler.escaping import escape

    if as_json:
        import json

        click.echo(json.dumps(document, indent=2))
        return
    for line in load_lines(document):
        click.echo(escape(line))
