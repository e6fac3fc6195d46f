"""Images as `docker save` and `skopeo copy … dir:` write them, made from the layouts of images.py."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.digest import Digest
from bundler.oci.descriptor import Descriptor
from tests.simulators.images import Layout, to_json

DIR_VERSION = b"Directory Transport Version: 1.1\n"


@dataclass(frozen=True)
class Link:
    """A member that is a symbolic link."""

    target: str


def write_directory(
    layout: Layout, top: Descriptor, folder: Path, signatures: Mapping[Digest, Sequence[bytes]] | None = None
) -> Path:
    """Write the image below `top` as containers/image writes `dir:`, and signatures beside manifests."""
    folder.mkdir(parents=True)
    (folder / "version").write_bytes(DIR_VERSION)
    for digest in layout.blobs:
        raw = layout.read(digest)
        is_document = raw.startswith(b'{"schemaVersion"')
        name = f"{digest.hex}.manifest.json" if is_document else digest.hex
        (folder / ("manifest.json" if digest == top.digest else name)).write_bytes(raw)
    for about, files in (signatures or {}).items():
        start = "" if about == top.digest else f"{about.hex}."
        for number, raw in enumerate(files, 1):
            (folder / f"{start}signature-{number}").write_bytes(raw)
    return folder


def docker_members(layout: Layout, *images: tuple[Descriptor, Sequence[str]]) -> dict[str, bytes | Link]:
    """The members of an archive with these images (manifests of plain layers) and their names."""
    members: dict[str, bytes | Link] = {}
    entries = []
    for image, tags in images:
        manifest = json.loads(layout.read(image.digest))
        config = Digest("sha256", manifest["config"]["digest"][7:])
        members[f"{config.hex}.json"] = layout.read(config)
        names = []
        for layer in manifest["layers"]:
            digest = Digest("sha256", layer["digest"][7:])
            names.append(f"{digest.hex}.tar")
            members[names[-1]] = layout.read(digest)
        entries.append({"Config": f"{config.hex}.json", "RepoTags": list(tags) or None, "Layers": names})
    members["manifest.json"] = to_json(entries)
    return members


def write_tar(path: Path, members: Mapping[str, bytes | Link]) -> Path:
    """Write an archive of files and links."""
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, Link):
                info.type, info.linkname = tarfile.SYMTYPE, content.target
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path
