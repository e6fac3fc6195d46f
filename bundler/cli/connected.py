"""Options of commands that reach registries: the same names as skopeo's where the meaning is the same.

Rules of this module:
- One set of options serves skopeo and our own client; `Access` is made from it once.
- What weakens is typed in full (`--tls-verify=false`), and said on stderr.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bundler.errors import MalformedError, UsageError
from bundler.value import dataclass

if TYPE_CHECKING:
    from bundler.network.access import Access
    from bundler.network.connection import Connection

COSIGN_REPOSITORY = "COSIGN_REPOSITORY"
_Command = TypeVar("_Command", bound=Callable[..., Any])
_ACCESS = (
    click.option("--authfile", metavar="FILE", help="Credentials for registries [as skopeo finds them]."),
    click.option("--cert-dir", metavar="DIR", help="Certificates: *.crt are authorities, *.cert and *.key ours."),
    click.option("--tls-verify", type=bool, default=True, metavar="BOOL", help="false: accept any, or no, TLS [true]."),
    click.option("--retry-times", type=click.IntRange(0, 20), default=4, help="How often a request is repeated [4]."),
)
_OPTIONS = (
    *_ACCESS[:3],
    click.option(
        "--registry-mirror",
        "mirrors",
        metavar="URL",
        multiple=True,
        help="Mirror of docker.io, asked first; repeatable.",
    ),
    *_ACCESS[3:],
    click.option("--cache", "cache_folder", metavar="DIR", help="Blobs fetched before [$XDG_CACHE_HOME/sealift]."),
    click.option(
        "--evidence-repository",
        metavar="REPO",
        help=f"Where cosign's tags lie [beside the image; ${COSIGN_REPOSITORY}].",
    ),
    click.option(
        "--large-blobs", "large", metavar="SIZE", help="Fetch blobs from this size on resumably, e.g. 500M [1G]."
    ),
)


@dataclass(frozen=True, slots=True)
class Reach:
    """What was typed about registries."""

    authfile: str | None
    cert_dir: str | None
    tls_verify: bool
    mirrors: tuple[str, ...]
    retry_times: int
    cache_folder: str | None
    evidence_repository: str | None
    large: str | None


def registry_options(command: _Command) -> _Command:
    """Give a command the options of `Reach`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def access_options(command: _Command) -> _Command:
    """Give a command the options by which a registry is reached, and no more."""
    for option in reversed(_ACCESS):
        command = option(command)
    return command


def take_access(typed: dict[str, Any]) -> Access:
    """Take the options of `access_options` out of all that was typed."""
    names = ("authfile", "cert_dir", "tls_verify", "retry_times")
    return _access(**{name: typed.pop(name) for name in names})


def take_reach(typed: dict[str, Any]) -> Reach:
    """Take the options of `Reach` out of all that was typed."""
    return Reach(**{name: typed.pop(name) for name in Reach.__slots__})


def connect(reach: Reach, environ: Mapping[str, str] = os.environ) -> Connection:
    """The connection that was asked for; nothing is opened yet.

    Raises:
        UsageError: an option that cannot be.
    """
    from bundler import limits
    from bundler.network.blob_cache import default_cache_folder
    from bundler.network.connection import Connection
    from bundler.oci.reference import parse_reference

    repository = reach.evidence_repository or environ.get(COSIGN_REPOSITORY) or None
    try:
        evidence = parse_reference(repository) if repository else None
    except MalformedError as error:
        raise UsageError(
            error.code, "evidence repository", str(repository)[:160], got=error.got, want=error.want
        ) from error
    access = _access(reach.authfile, reach.cert_dir, reach.tls_verify, reach.retry_times, reach.mirrors)
    typed = reach.cache_folder
    return Connection(
        access,
        lambda: Path(typed) if typed else default_cache_folder(environ),
        evidence_repository=evidence,
        large_bytes=parse_size(reach.large, "--large-blobs") if reach.large else limits.LARGE_BLOB_BYTES,
    )


def _access(
    authfile: str | None, cert_dir: str | None, tls_verify: bool, retry_times: int, mirrors: tuple[str, ...] = ()
) -> Access:
    from bundler.network.access import Access

    if not tls_verify:
        click.echo(
            "sealift: warning: --tls-verify=false: nobody knows who answers; digests are checked all the same", err=True
        )
    return Access(
        authfile=Path(authfile) if authfile else None,
        cert_dir=Path(cert_dir) if cert_dir else None,
        tls_verify=tls_verify,
        mirrors=mirrors,
        retries=retry_times,
    )


def parse_size(text: str, option: str) -> int:
    """Bytes of a size as people type it: `500M`, `1G`, `1048576`; powers of two.

    Raises:
        UsageError: no size (code ``size``).
    """
    number, unit = text[:-1], text[-1:].upper()
    shift = {"K": 10, "M": 20, "G": 30, "T": 40}.get(unit)
    digits = text if shift is None else number
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 15:
        raise UsageError("size", "option", option, got=repr(text[:40]), want="a number, or one with K, M, G or T")
    return int(digits) << (shift or 0)
