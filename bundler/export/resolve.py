"""From what a person typed to a source and a name: `oci:./app:v1` → an open layout, `registry.example.org/app:1`.

Rules of this module:
- A source begins with its scheme; there is no guessing. New kinds of sources are one line in `_SCHEMES`.
- A name is recorded normalised. It comes from the request, else from the source's own record, else the export ends.
- A name with a digest must mean the image that the source has.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bundler.errors import MalformedError, UsageError
from bundler.export.settings import ImageRequest
from bundler.network.layout import open_layout
from bundler.network.source import ResolvedImage, Source
from bundler.oci.reference import parse_reference


def open_source(request: ImageRequest) -> Source:
    """Open the place that `request.source` names; the caller closes it.

    Raises:
        UsageError: no such kind of source (``source``), or one that this version has not yet.
        EnvError, RejectedError, UnsupportedError: from the source.
    """
    for scheme, opener in _SCHEMES.items():
        if request.source.startswith(scheme):
            return opener(request.source.removeprefix(scheme), request.base)
    hints = ["an OCI layout in a folder: oci:FOLDER[:REF]; in a tar archive: oci-archive:FILE[:REF]"]
    if (request.base / request.source.partition(":")[0]).is_dir():
        hints.append(f"did you mean oci:{request.source}?")
    raise UsageError("source", "source", request.source, got="no known scheme", want=" or ".join(_SCHEMES), hints=hints)


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


def _layout(kind: str) -> Callable[[str, Path], Source]:
    def opener(location: str, base: Path) -> Source:
        path, colon, reference = location.partition(":")
        if not path:
            raise UsageError("source", "source", f"{kind}:{location}", got="no path", want=f"{kind}:PATH[:REF]")
        return open_layout(kind, base / path, reference if colon else None, place=f"{kind}:{location}")

    return opener


def _registry(location: str, _base: Path) -> Source:
    raise UsageError(
        "source-not-yet",
        "source",
        f"docker://{location}",
        got="registries cannot be read yet",
        want="an OCI layout",
        hints=[f"skopeo copy --all --preserve-digests docker://{location} oci:FOLDER, then export oci:FOLDER"],
    )


_SCHEMES: dict[str, Callable[[str, Path], Source]] = {
    "oci:": _layout("oci"),
    "oci-archive:": _layout("oci-archive"),
    "docker://": _registry,
}
