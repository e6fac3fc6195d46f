"""`sealift triangulate`: where evidence about an image would lie in its registry; whether it does, export finds out.

Rules: a digest needs no registry, a tag is resolved by it once; with `--type` one line is printed, as cosign prints it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bundler.cli.connected import connect, registry_options, take_reach
from bundler.errors import MalformedError, UsageError

if TYPE_CHECKING:
    from bundler.cli.connected import Reach
    from bundler.digest import Digest
    from bundler.oci.reference import Reference

_TYPES = ("signature", "attestation", "sbom", "digest", "referrers")
_SUFFIXES = {"signature": "sig", "attestation": "att", "sbom": "sbom"}
_EPILOG = """\b
Examples:
  sealift triangulate registry.example.org/team/app:1
  sealift triangulate registry.example.org/team/app@sha256:HEX --type attestation
  sealift triangulate registry.example.org/team/app:1 --json
"""


@click.command(epilog=_EPILOG)
@click.argument("image", metavar="IMAGE")
@click.option("--type", "kind", type=click.Choice(_TYPES), help="Print this place only, as cosign does.")
@registry_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def triangulate(image: str, kind: str | None, as_json: bool, **typed: Any) -> None:
    """Print where evidence about IMAGE would lie: cosign's tags, the referrers API, and its fallback tag.

    Only a tag is asked for at the registry; with NAME@DIGEST nothing is asked. $COSIGN_REPOSITORY counts for cosign's
    tags.
    """
    import json

    from bundler.oci.reference import parse_reference

    try:
        reference = parse_reference(image)
    except MalformedError as error:
        raise UsageError(error.code, "image", image[:160], got=error.got, want=error.want) from error
    places = _places(reference, take_reach(typed))
    if as_json:
        click.echo(json.dumps(places if kind is None else {kind: places[kind]}, indent=2))
    elif kind is not None:
        click.echo(places[kind])
    else:
        click.echo("\n".join(f"{name:<12} {place}" for name, place in places.items()))


def _places(reference: Reference, reach: Reach) -> dict[str, str]:
    from bundler.oci.annotations import format_evidence_tag, format_fallback_tag

    with connect(reach) as connection:
        digest = reference.digest or connection.repository(reference).get_manifest(str(reference.tag)).digest
        elsewhere = connection.evidence_repository
    tagged = elsewhere.name if elsewhere is not None else reference.name
    found = {kind: f"{tagged}:{format_evidence_tag(digest, suffix)}" for kind, suffix in _SUFFIXES.items()}
    return {
        "digest": f"{reference.name}@{digest}",
        **found,
        "referrers": _referrers(reference, digest),
        "fallback-tag": f"{reference.name}:{format_fallback_tag(digest)}",
    }


def _referrers(reference: Reference, digest: Digest) -> str:
    """The path of the referrers API (distribution-spec "Listing Referrers"), with the host that answers for it."""
    host = "registry-1.docker.io" if reference.registry == "docker.io" else reference.registry
    return f"{host}/v2/{reference.repository}/referrers/{digest}"
