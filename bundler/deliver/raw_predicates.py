"""What `docker buildx imagetools inspect --format '{{ json .SBOM.SPDX }}'` (or `.Provenance.SLSA`) prints.

    image                 printed
    one platform          the bare predicate
    several, one named    the predicate of that platform
    several               {"linux/amd64": {"SPDX": …, "AdditionalSPDXs": […]}, …} or {"linux/amd64": {"SLSA": …}, …}

Rules of this module (buildx util/imagetools/loader.go and printers.go, for shapes and choices):
- Only BuildKit's attestation manifests in the index, as there: bare statements and signed envelopes in them. The first
  SPDX statement of a platform is `SPDX`, later ones are `AdditionalSPDXs`. Of several provenances the first of the last
  manifest that has one counts.
- Where buildx prints `null`, here is a failure that names what is absent; where it checks no subject, here each
  statement's subject was checked, and one that could not be read fails the whole.
- An image counts as one of several platforms by its index, whether or not all of them are in the bundle.
"""

from __future__ import annotations

from typing import Any

from bundler.deliver.go_json import GoStruct, format_go, parse_for_go
from bundler.deliver.readings import Judged, ReadingKind
from bundler.digest import Digest
from bundler.errors import RejectedError
from bundler.evidence.kind import BUILDKIT_ATTESTATION
from bundler.evidence.statement import Statement
from bundler.oci.manifest import ImageManifest
from bundler.verify.appraisal import Appraisal, claimed_statement
from bundler.verify.opened import FoundStatement

_SPDX = frozenset({"https://spdx.dev/Document"})
_SLSA = frozenset({"https://slsa.dev/provenance/v0.2", "https://slsa.dev/provenance/v1"})
_RUNS_NOWHERE = "unknown/unknown"
_WORD = {"sbom": "SBOM", "provenance": "provenance"}


def format_raw(kind: ReadingKind, judged: Judged, platform: str | None) -> str:
    """The text, without a newline at the end.

    Args:
        kind: which predicate.
        judged: the image.
        platform: one of its platforms, as the inventory names it; None for all.

    Raises:
        RejectedError: there is none (``sbom-missing``, ``provenance-missing``), or a statement that cannot be read
            (its own code).
    """
    complete = judged.complete
    wanted = [(name, digest) for name, digest in complete.platforms if platform in (None, name)]
    found = {name: _predicates(kind, judged, digest) for name, digest in wanted}
    absent = [name for name, predicates in found.items() if not predicates]
    if absent or not found:
        code = "sbom-missing" if kind == "sbom" else "provenance-missing"
        raise RejectedError(
            code, _WORD[kind], f"of {complete.image.name}",
            got=f"none from BuildKit about {', '.join(absent) or 'any platform'}", want="one in the image's index",
            hints=[f"other forms of it, and what there is instead: sealift inspect FILE IMAGE --{kind}"],
        )  # fmt: skip
    if platform is not None or not _has_several(judged):
        (predicates,) = found.values()
        return format_go(predicates[0])
    return format_go({name: _stub(kind, predicates) for name, predicates in found.items()})


def raw_strengths(kind: ReadingKind, judged: Judged) -> list[tuple[str, str]]:
    """How strong each statement is that `format_raw` may take its predicates from, with its platform."""
    types = _SPDX if kind == "sbom" else _SLSA
    found = [(fact, item.predicate_type) for fact, item in judged.stated if item.indexes]
    found += [(fact, item.claimed_type or "") for fact, item in judged.appraised if _is_in_index(item)]
    told = [
        (fact.platform, f"{fact.strength} [{fact.code}]" if fact.code else fact.strength)
        for fact, predicate_type in found
        if predicate_type in types
    ]
    return list(dict.fromkeys(told))


def _stub(kind: ReadingKind, predicates: list[Any]) -> GoStruct:
    """Go's structs, which leave out what is empty."""
    if kind == "provenance":
        return GoStruct(SLSA=predicates[0])
    more = {"AdditionalSPDXs": predicates[1:]} if predicates[1:] else {}
    return GoStruct(SPDX=predicates[0], **more)


def _predicates(kind: ReadingKind, judged: Judged, subject: Digest) -> list[Any]:
    """Those of one platform, as buildx picks them: all SPDX documents, the one provenance that counts."""
    types = _SPDX if kind == "sbom" else _SLSA
    manifests: dict[Digest, dict[int, Statement]] = {
        place.digest: {} for place in judged.complete.attestations if place.subject == subject
    }
    for found in judged.evidence.statements:
        if found.indexes and found.subject == subject:
            manifests[found.manifest][_position(judged, found)] = _statement(found)
    for _, item in judged.appraised:
        if _is_in_index(item) and item.subject == subject:
            manifests[item.evidence.digest][item.item.position] = _signed(item)
    chosen = [
        [statements[place] for place in sorted(statements) if statements[place].predicate_type in types]
        for statements in manifests.values()
    ]
    picked = [found for group in chosen for found in group]
    if kind == "provenance":
        picked = next((group[:1] for group in reversed(chosen) if group), [])
    return [_predicate(statement) for statement in picked]


def _is_in_index(item: Appraisal) -> bool:
    return item.evidence.kind == BUILDKIT_ATTESTATION


def _signed(item: Appraisal) -> Statement:
    """What an envelope holds. Its signature is told beside; its subject counts here."""
    statement = claimed_statement(item)
    statement.check_subject(item.subject)
    return statement


def _position(judged: Judged, found: FoundStatement) -> int:
    """The number of the statement's layer in its manifest."""
    manifest = judged.complete.graph.documents[found.manifest]
    if found.statement is None or not isinstance(manifest, ImageManifest):
        return -1
    return [layer.digest for layer in manifest.layers].index(found.statement.layer)


def _statement(found: FoundStatement) -> Statement:
    if found.statement is None:
        if found.failure is not None:
            raise found.failure
        raise RejectedError("statement", "statement", str(found.manifest), got="not read", want="a statement")
    return found.statement.statement


def _predicate(statement: Statement) -> Any:
    predicate = parse_for_go(statement.raw, "statement").get("predicate")
    if not isinstance(predicate, dict):
        raise RejectedError("statement", "predicate", statement.predicate_type, got="no object", want="an object")
    return predicate


def _has_several(judged: Judged) -> bool:
    image = judged.complete.image
    omitted = [omission for omission in image.omitted if omission.platform != _RUNS_NOWHERE]
    return len(image.platforms) + len(omitted) > 1
