"""SBOMs as they come: SPDX 2.2, 2.3 and 3.0 in JSON, CycloneDX 1.2 to 1.7 in JSON.

    from                                     bound to its image by
    BuildKit's statement, attestation, …     the statement's subject, which the caller has had checked
    a bare `.sbom` of cosign                 its tag alone: whoever can write to the registry can swap it
    a bare file in a referrer                the `subject` of the referrer's manifest

Rules of this module:
- A document says by itself what it is; the predicate type that it travels under must say the same.
- cosign 1 put the document under `Data` of its own predicate, beside a `Timestamp`: there it is read as well. cosign's
  `--type spdx` writes the file as one text, whatever is in it: JSON is read, tag-value is not.
- No packages is no SBOM: an empty one vouches for nothing, and looks like an image without risks.
- Malformed, of an unknown version, or read differently by a parser that ignores case: refused, with a reason.
- What is told is what the document claims. Whoever shows it says how strong it is bound and signed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bundler import limits
from bundler.errors import MalformedError, RejectedError
from bundler.evidence.cyclonedx import is_cyclonedx, parse_cyclonedx
from bundler.evidence.kind import COSIGN_SBOM, REFERRER, SbomFormat, sbom_format
from bundler.evidence.sbom_parts import CYCLONEDX, SPDX, WHAT, Package, Sbom, as_object
from bundler.evidence.spdx2 import is_spdx2, parse_spdx2
from bundler.evidence.spdx3 import is_spdx3, parse_spdx3
from bundler.evidence.statement import Statement
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import ImageManifest
from bundler.strict_json import collector_paused, parse_foreign

__all__ = [
    "Package",
    "Sbom",
    "media_type_format",
    "parse_sbom",
    "parse_sbom_document",
    "read_sbom",
    "sbom_document",
    "sbom_layers",
]

# What `cosign attach sbom` gives its layer (cosign specs/SBOM_SPEC.md), and what others register with IANA.
_MEDIA_TYPES: dict[str, SbomFormat] = {
    "text/spdx+json": SPDX,
    "application/spdx+json": SPDX,
    "application/vnd.cyclonedx+json": CYCLONEDX,
}
_NOT_READ = (
    *("text/spdx", "text/spdx+xml", "application/spdx+xml", "application/spdx+yaml"),
    *("application/vnd.cyclonedx", "application/vnd.cyclonedx+xml", "application/vnd.syft+json"),
)


def read_sbom(statement: Statement) -> Sbom:
    """The SBOM in a statement whose subject the caller has had checked.

    Raises:
        RejectedError: no SBOM, one of another format than its predicate type says, or one that is not read here (code
            ``sbom-format``); another version (``sbom-version``); no packages (``sbom-empty``).
        MalformedError: as `parse_sbom`.
    """
    declared = sbom_format(statement.predicate_type)
    if declared is None:
        raise RejectedError("sbom-format", WHAT, got=statement.predicate_type[:160], want="SPDX or CycloneDX")
    document = parse_foreign(statement.raw, WHAT, max_bytes=limits.EVIDENCE_BLOB_BYTES)
    return parse_sbom_document(_predicate(document.get("predicate")), declared)


def sbom_document(held: Statement | bytes) -> bytes:
    """An SBOM that was read, as a document by itself, for programs that read documents.

    Raises:
        MalformedError: as `read_sbom`.
    """
    if isinstance(held, bytes):
        return held
    document = parse_foreign(held.raw, WHAT, max_bytes=limits.EVIDENCE_BLOB_BYTES)
    return json.dumps(_predicate(document.get("predicate"))).encode()


def _predicate(value: Any) -> Any:
    """The document of a statement (cosign specs/COSIGN_PREDICATE_SPEC.md for the older form)."""
    if isinstance(value, dict) and "Data" in value and value.keys() <= {"Data", "Timestamp"}:
        value = value["Data"]
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("{"):
        raise RejectedError("sbom-format", WHAT, got="a text that is no JSON", want="SPDX or CycloneDX in JSON")
    return parse_foreign(value.encode("utf-8", "surrogatepass"), WHAT, max_bytes=limits.EVIDENCE_BLOB_BYTES)


def parse_sbom(raw: bytes, declared: SbomFormat | None = None) -> Sbom:
    """Read an SBOM that stands alone.

    Args:
        raw: the document.
        declared: the format under which it travels, when something says so.

    Raises:
        RejectedError: ``sbom-format``, ``sbom-version``, ``sbom-empty``.
        MalformedError: not JSON with one meaning, too many packages (``limits``), a name twice (``sbom-identifier``),
            a time that is none (``time``), or another shape.
    """
    return parse_sbom_document(parse_foreign(raw, WHAT, max_bytes=limits.EVIDENCE_BLOB_BYTES), declared)


def parse_sbom_document(value: Any, declared: SbomFormat | None = None) -> Sbom:
    """Like `parse_sbom`, from JSON that was read already by `parse_foreign`."""
    document = as_object(value, "document")
    if is_spdx3(document):
        found, parse = SPDX, parse_spdx3
    elif is_cyclonedx(document):
        found, parse = CYCLONEDX, parse_cyclonedx
    elif is_spdx2(document):
        found, parse = SPDX, parse_spdx2
    else:
        raise RejectedError("sbom-format", WHAT, got="neither format's marks", want="SPDX or CycloneDX in JSON")
    if declared is not None and declared != found:
        raise RejectedError("sbom-format", WHAT, got=found, want=f"{declared}, as it is declared")
    with collector_paused():
        sbom = parse(document)
    if not sbom.packages:
        raise RejectedError("sbom-empty", WHAT, sbom.name[:160], got="no packages", want="at least one")
    return sbom


def sbom_layers(manifest: ImageManifest, kind: str) -> Iterator[tuple[Descriptor, str]]:
    """Layers that are SBOMs by themselves, not in a statement, each with the media type that says so.

    All layers under cosign's `.sbom` tag; in a referrer those whose own type, or whose artifact type, is one of SBOMs.
    """
    if kind == COSIGN_SBOM:
        yield from ((layer, layer.media_type) for layer in manifest.layers)
    elif kind == REFERRER:
        for layer in manifest.layers:
            declared = (layer.media_type, manifest.artifact_type or manifest.config.media_type)
            known = [media_type for media_type in declared if _bare(media_type) in (*_MEDIA_TYPES, *_NOT_READ)]
            yield from ((layer, media_type) for media_type in known[:1])


def _bare(media_type: str) -> str:
    return media_type.partition(";")[0].strip()


def media_type_format(media_type: str) -> SbomFormat:
    """The format that the layer of a bare `.sbom` declares.

    Raises:
        MalformedError: another type (code ``evidence-type``).
    """
    found = _MEDIA_TYPES.get(_bare(media_type))
    if found is None:
        raise MalformedError("evidence-type", WHAT, got=media_type[:160], want=" or ".join(_MEDIA_TYPES))
    return found
