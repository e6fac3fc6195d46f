"""From what a person typed to a source and a name: `oci:./app:v1` → an open layout, `registry.example.org/app:1`.

Rules of this module:
- A source begins with its scheme; a bare name is an image in a registry, as everywhere. What begins with the scheme of
  another tool is refused, never taken for a name. New kinds of sources are one line in `_SCHEMES`.
- A name is recorded normalised. It comes from the request, else from the source's own record, else the export ends.
- A name with a digest must mean the image that the source has.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from bundler.errors import MalformedError, UsageError
from bundler.export.settings import ImageRequest
from bundler.network.connection import Connection
from bundler.network.directory import open_directory
from bundler.network.docker_archive import open_docker_archive
from bundler.network.layout import open_layout
from bundler.network.registry_source import RegistrySource
from bundler.network.source import ResolvedImage, Source
from bundler.oci.reference import parse_reference


def open_source(request: ImageRequest, connection: Connection) -> Source:
    """Open the place that `request.source` names; the caller closes it.

    Args:
        request: what was asked for.
        connection: for images in registries.

    Raises:
        UsageError: no such kind of source, or no image name (``source``).
        EnvError, RejectedError, UnsupportedError: from the source.
    """
    for scheme, opener in _SCHEMES.items():
        if request.source.startswith(scheme):
            return opener(request.source.removeprefix(scheme), request)
    return _open_registry(request, connection)


def _open_registry(request: ImageRequest, connection: Connection) -> Source:
    """`docker://NAME`, or a bare name."""
    text = _PASSWORD.sub(r"\1***@", request.source)
    schemes = " ".join([_REGISTRY, *_SCHEMES])
    hints = [f"an image in a registry: [docker://]NAME; elsewhere, by scheme: {schemes}"]
    if (request.base / text.partition(":")[0]).is_dir():
        hints.append(f"a folder has that name; did you mean oci:{text}?")
    if not text.startswith(_REGISTRY) and text.partition(":")[0] in _FOREIGN_SCHEMES:
        raise UsageError(
            "source", "source", text, got="a scheme that this tool does not read", want=schemes, hints=hints
        )
    try:
        reference = parse_reference(text.removeprefix(_REGISTRY))
    except MalformedError as error:
        raise UsageError("source", "source", text, got=error.got, want="an image name", hints=hints) from error
    return RegistrySource(connection, reference, text)


def choose_name(request: ImageRequest, resolved: ResolvedImage) -> str:
    """The normalised reference under which the image is listed.

    Raises:
        UsageError: there is none (``name-missing``), it is no reference (``reference``), or its digest is another
            image's (``name-digest``).
    """
    text = request.name if request.name is not None else resolved.suggested_name
    if text is None:
        raise UsageError(
            "name-missing",
            "source",
            request.source,
            got="no image name recorded in it",
            want="a name",
            hints=[f"say which: sealift export {request.source} --name REGISTRY/REPOSITORY:TAG"],
        )
    try:
        reference = parse_reference(text)
    except MalformedError as error:
        raise UsageError(error.code, "name", text[:160], got=error.got, want=error.want) from error
    if reference.digest is not None and reference.digest != resolved.descriptor.digest:
        raise UsageError(
            "name-digest", "name", text[:300], got=f"the source has {resolved.descriptor.digest}", want="that digest"
        )
    return str(reference)


def _layout(kind: str) -> Callable[[str, ImageRequest], Source]:
    def opener(location: str, request: ImageRequest) -> Source:
        path, colon, reference = location.partition(":")
        if not path:
            raise UsageError("source", "source", f"{kind}:{location}", got="no path", want=f"{kind}:PATH[:REF]")
        return open_layout(kind, request.base / path, reference if colon else None, place=f"{kind}:{location}")

    return opener


def _docker_archive(location: str, request: ImageRequest) -> Source:
    path, colon, reference = location.partition(":")
    if not path:
        raise UsageError("source", "source", request.source, got="no path", want="docker-archive:FILE[:REF]")
    return open_docker_archive(
        request.base / path,
        reference if colon else None,
        allow_synthesised=request.allow_synthesised_digest,
        place=request.source,
    )


def _directory(location: str, request: ImageRequest) -> Source:
    if not location:
        raise UsageError("source", "source", request.source, got="no path", want="dir:FOLDER")
    return open_directory(request.base / location, place=request.source)


_REGISTRY = "docker://"
_PASSWORD = re.compile(r"^((?:[a-z]+://)?)[^/@]*:[^/@]*@(?!sha256:)")  # no name has one; a slip that no message repeats
_SCHEMES: dict[str, Callable[[str, ImageRequest], Source]] = {
    "oci:": _layout("oci"),
    "oci-archive:": _layout("oci-archive"),
    "docker-archive:": _docker_archive,
    "dir:": _directory,
}
# Transports of containers/image that we do not read (containers-transports(5)); as bare names they would be read wrong.
_FOREIGN_SCHEMES = frozenset({"containers-storage", "docker-daemon", "docker", "ostree", "sif", "tarball", "atomic"})
