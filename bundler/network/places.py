"""Which hosts can answer for a repository: the registry itself, docker.io's real host, its mirrors.

Rules of this module:
- docker.io is a name, not a host: `registry-1.docker.io` answers for it. Credentials and certificate folders go by the
  name, as in containers/image.
- Mirrors are docker.io's only, as dockerd's `registry-mirrors`: a host or a URL without a path, asked in order, before
  docker.io itself. A mirror is a registry of its own: it gets its own credentials, never docker.io's.
- A mirror over plain http needs `tls_verify` to be off.
"""

from __future__ import annotations

from bundler.errors import MalformedError, UsageError
from bundler.network.access import Access
from bundler.network.urls import Origin, parse_url
from bundler.oci.reference import DEFAULT_REGISTRY, Reference
from bundler.value import dataclass

_DOCKER_HOST = "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class Place:
    """One host that may answer."""

    name: str
    """What credentials, certificate folders and skopeo know it by: `docker.io`, `mirror.example.org:5000`."""
    origins: tuple[Origin, ...]
    """How to reach it, in the order of trying; several only without `tls_verify`."""
    is_mirror: bool = False

    @property
    def host(self) -> str:
        """`host` or `host:port` of the one that answers."""
        return self.origins[0].netloc


def list_places(reference: Reference, access: Access) -> tuple[Place, ...]:
    """The hosts to ask for a repository, in order.

    Raises:
        UsageError: a mirror that is none (code ``mirror``), or a registry's name that is no host's (``reference``).
    """
    if reference.registry != DEFAULT_REGISTRY:
        return (_make_place(reference.registry, reference.registry, access),)
    mirrors = tuple(_make_mirror(text, access) for text in access.mirrors)
    return (*mirrors, _make_place(DEFAULT_REGISTRY, _DOCKER_HOST, access))


def _make_place(name: str, host: str, access: Access) -> Place:
    schemes = ("https",) if access.tls_verify else ("https", "http")
    try:
        return Place(name, tuple(parse_url(f"{scheme}://{host}/", "registry").origin for scheme in schemes))
    except MalformedError as error:  # a port above 65535, brackets without an address: Docker's grammar lets them pass
        raise UsageError(
            "reference", "registry", name, got="no host and port", want="a host that can be asked"
        ) from error


def _make_mirror(text: str, access: Access) -> Place:
    hints = ("name a mirror as https://HOST or HOST[:PORT]; for plain http also give --tls-verify=false",)
    try:
        url = parse_url(text if "://" in text else f"https://{text}", "mirror")
    except MalformedError as error:
        raise UsageError("mirror", "mirror", text[:160], got="no URL", want="a host or URL", hints=hints) from error
    if url.target != "/" or (url.origin.scheme == "http" and access.tls_verify):
        raise UsageError("mirror", "mirror", text[:160], got="a path, or plain http", want="https://HOST", hints=hints)
    if "://" in text:
        return Place(url.origin.netloc, (url.origin,), is_mirror=True)
    made = _make_place(text, text.rstrip("/"), access)
    return Place(url.origin.netloc, made.origins, is_mirror=True)
