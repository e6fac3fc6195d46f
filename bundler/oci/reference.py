"""Image references, normalised exactly as Docker does (github.com/distribution/reference, normalize.go, regexp.go).

Rules of this module:
- One spelling per image: `nginx`, `docker.io/nginx` and `index.docker.io/library/nginx:latest` are the same reference,
  and `str()` of each is `docker.io/library/nginx:latest`.
- What looks like a registry is one: the part before the first slash, if it holds `.` or `:`, is `localhost`, or has an
  upper-case letter. Anything else is a path on docker.io, where one-word names live below `library/`.
- Stricter than Docker in two places: the whole name has at most 255 characters (Docker's older rule, which all
  registries accept), and a digest is sha256 or sha512 in lower case.
"""

from __future__ import annotations

import re

from bundler import limits
from bundler.digest import Digest, parse_digest
from bundler.errors import MalformedError
from bundler.value import dataclass

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"

_LEGACY_REGISTRY = "index.docker.io"
_OFFICIAL = "library/"
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_HOST_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY = re.compile(rf"(?:{_HOST_PART}(?:\.{_HOST_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?", re.ASCII)
_PATH_PART = r"[a-z0-9]+(?:(?:[_.]|__|[-]+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PATH_PART}(?:/{_PATH_PART})*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """A normalised reference. Made by `parse_reference` only.

    Without tag and digest there is none: the tag defaults to `latest`.
    """

    registry: str
    repository: str
    tag: str | None
    digest: Digest | None

    @property
    def name(self) -> str:
        """`registry/repository`, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse_reference(text: str) -> Reference:
    """Parse and normalise a reference as a person or a tool wrote it.

    Raises:
        MalformedError: not a reference (code ``reference``).
    """
    if not text or len(text) > limits.REFERENCE_CHARACTERS:
        raise _malformed(text, f"{len(text)} characters", f"1 to {limits.REFERENCE_CHARACTERS}")
    if _IDENTIFIER.fullmatch(text):
        raise _malformed(text, "64 hexadecimal digits, which read as an image id", "a name")
    registry, rest = _split_registry(text)
    rest, at, digest = rest.partition("@")
    repository, colon, tag = rest.partition(":")
    if not _REGISTRY.fullmatch(registry):
        raise _malformed(text, f"registry {registry!r}", "a host name, with or without a port")
    if repository != repository.lower():
        raise _malformed(text, "upper-case letters in the repository", "lower case")
    if not _REPOSITORY.fullmatch(repository):
        raise _malformed(text, f"repository {repository!r}", "lower-case letters, digits and . _ - between them")
    if colon and not _TAG.fullmatch(tag):
        raise _malformed(text, f"tag {tag!r}", "letters, digits, . _ - (at most 128)")
    if len(registry) + 1 + len(repository) > limits.REPOSITORY_NAME_CHARACTERS:
        raise _malformed(text, "a longer name", f"at most {limits.REPOSITORY_NAME_CHARACTERS} characters")
    return Reference(
        registry,
        repository,
        tag if colon else (None if at else DEFAULT_TAG),
        _parse_digest(text, digest) if at else None,
    )


def _split_registry(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    if not slash or not (first == "localhost" or "." in first or ":" in first or first != first.lower()):
        registry, rest = DEFAULT_REGISTRY, text
    else:
        registry = DEFAULT_REGISTRY if first == _LEGACY_REGISTRY else first
    if registry == DEFAULT_REGISTRY and "/" not in rest:
        rest = _OFFICIAL + rest
    return registry, rest


def _parse_digest(text: str, digest: str) -> Digest:
    try:
        return parse_digest(digest)
    except MalformedError as error:
        raise _malformed(text, f"digest {digest!r}", "sha256:<64 hex>") from error


def _malformed(text: str, got: str, want: str) -> MalformedError:
    return MalformedError("reference", "reference", repr(text[:160]), got=got[:160], want=want)
