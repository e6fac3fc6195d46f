"""The derivation statement: what an exporter says of an image that it patched (vulnerability/PATCH.md).

An in-toto Statement v1 in a DSSE envelope, signed by the exporter's own key. It travels as a referrer of the patched
image, an OCI artifact whose first layer is the envelope; scan reports and Copa's VEX are the layers behind it.

Rules of this module:
- Canonical JSON: `format_derivation(parse_derivation(raw)) == raw`. Unknown fields are refused.
- It names the original by digest, and every platform of the patched image with the manifest that it was made from. All
  that is said beside digests (tools, times, what the original had) is the exporter's word, and is told as that.
- Its subjects are the patched image and each of its platform manifests, in that order, each once.
- Nothing is verified here: the signature is checked by trust_root/stream_signature.py, lineage in vulnerability/.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bundler import limits
from bundler.digest import Digest, parse_digest
from bundler.errors import MalformedError
from bundler.evidence.statement import STATEMENT_V1
from bundler.fields import Fields
from bundler.moment import format_moment, parse_moment
from bundler.strict_json import format_canonical, parse_canonical
from bundler.value import dataclass

PREDICATE_TYPE = "https://sealift.dev/derivation/v1"
ARTIFACT_TYPE = "application/vnd.sealift.derivation.v1+json"
REPORT_TYPE = "application/vnd.sealift.scan-report.v1+json"
VEX_TYPE = "application/vnd.sealift.openvex.v1+json"

_WHAT = "derivation statement"
_PREDICATE = ("original", "platforms", "lost", "had", "tools", "scanned", "patched")


@dataclass(frozen=True, slots=True)
class Original:
    """The image that was patched: its normalised reference, as the exporter lists it, and its top digest."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class PatchedPlatform:
    """One platform of the patched image.

    Attributes:
        platform: e.g. `linux/amd64`.
        original: the manifest that it was made from.
        patched: its manifest now; equal to `original` where there was nothing to patch.
        before, after: digests of the scan reports about the two.
        vex: digest of Copa's VEX document; None where nothing was patched.
    """

    platform: str
    original: Digest
    patched: Digest
    before: Digest
    after: Digest
    vex: Digest | None


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that took part, with its version as it says it."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Derivation:
    """What the exporter says.

    Attributes:
        image: digest of the patched image.
        name: its normalised reference.
        platforms: all its platforms, in its order.
        lost: platforms that the original has and the patched image has not, sorted.
        had: what the original had of evidence, in the words of the settings (`signature`, `sbom`, …), sorted.
        scanned_at, patched_at: when the first scan began and the last patch ended.
    """

    name: str
    image: Digest
    original: Original
    platforms: tuple[PatchedPlatform, ...]
    lost: tuple[str, ...]
    had: tuple[str, ...]
    tools: tuple[Tool, ...]
    scanned_at: datetime
    patched_at: datetime

    @property
    def documents(self) -> tuple[Digest, ...]:
        """Reports and VEX that it names, each once."""
        named = (digest for each in self.platforms for digest in (each.before, each.after, each.vex))
        return tuple(dict.fromkeys(digest for digest in named if digest is not None))


def parse_derivation(raw: bytes) -> Derivation:
    """Read a statement's bytes, the payload of an envelope.

    Raises:
        MalformedError: not canonical, another statement or predicate type (codes ``statement-type``,
            ``predicate-type``), subjects that are not those of its platforms (``derivation``), or another shape.
    """
    fields = Fields(parse_canonical(raw, _WHAT, max_bytes=limits.DERIVATION_BYTES), _WHAT)
    fields.exactly("_type", "subject", "predicateType", "predicate")
    if fields.text("_type") != STATEMENT_V1:
        raise MalformedError("statement-type", _WHAT, got=fields.text("_type")[:160], want=STATEMENT_V1)
    if fields.text("predicateType") != PREDICATE_TYPE:
        raise MalformedError("predicate-type", _WHAT, got=fields.text("predicateType")[:160], want=PREDICATE_TYPE)
    subjects = [_subject(item) for item in fields.each("subject", maximum=limits.STATEMENT_SUBJECTS)]
    if not subjects:
        raise _wrong("subject", "none", "the patched image")
    derivation = _predicate(fields.fields("predicate"), *subjects[0])
    if subjects != _subjects(derivation):
        raise _wrong("subject", "others", "the patched image and each of its platforms, in order")
    return derivation


def format_derivation(derivation: Derivation) -> bytes:
    """The statement's bytes; the inverse of `parse_derivation`.

    Raises:
        MalformedError: it holds what no statement may.
    """
    raw = format_canonical(
        {
            "_type": STATEMENT_V1,
            "subject": [{"name": name, "digest": {"sha256": digest.hex}} for name, digest in _subjects(derivation)],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "original": {"name": derivation.original.name, "digest": str(derivation.original.digest)},
                "platforms": [_platform_fields(each) for each in derivation.platforms],
                "lost": derivation.lost,
                "had": derivation.had,
                "tools": [{"name": tool.name, "version": tool.version} for tool in derivation.tools],
                "scanned": format_moment(derivation.scanned_at),
                "patched": format_moment(derivation.patched_at),
            },
        },
        _WHAT,
    )
    parse_derivation(raw)  # nothing that a reader would refuse gets signed
    return raw


def _subjects(derivation: Derivation) -> list[tuple[str, Digest]]:
    """The patched image and its platforms, each digest once; every subject bears the image's name."""
    digests = dict.fromkeys((derivation.image, *(each.patched for each in derivation.platforms)))
    return [(derivation.name, digest) for digest in digests]


def _subject(fields: Fields) -> tuple[str, Digest]:
    fields.exactly("name", "digest")
    digest = fields.fields("digest")
    digest.exactly("sha256")
    return _filled(fields, "name"), parse_digest(f"sha256:{digest.text('sha256')}")


def _predicate(fields: Fields, name: str, image: Digest) -> Derivation:
    fields.exactly(*_PREDICATE)
    original = fields.fields("original")
    original.exactly("name", "digest")
    platforms = tuple(map(_platform, fields.each("platforms", maximum=limits.INDEX_CHILDREN)))
    made_from = [each.original for each in platforms]  # not by name: Windows has one platform in several versions
    if not made_from or len(set(made_from)) != len(made_from):
        raise _wrong("predicate.platforms", f"{len(made_from)}, or one original twice", "at least one, each once")
    return Derivation(
        name=name,
        image=image,
        original=Original(_filled(original, "name"), _sha256(original, "digest")),
        platforms=platforms,
        lost=_sorted_texts(fields, "lost"),
        had=_sorted_texts(fields, "had"),
        tools=tuple(map(_tool, fields.each("tools", maximum=limits.PATCH_TOOLS))),
        scanned_at=parse_moment(fields.text("scanned")),
        patched_at=parse_moment(fields.text("patched")),
    )


def _platform(fields: Fields) -> PatchedPlatform:
    fields.exactly("platform", "original", "patched", "before", "after", "vex")
    found = PatchedPlatform(
        platform=_filled(fields, "platform"),
        original=_sha256(fields, "original"),
        patched=_sha256(fields, "patched"),
        before=_sha256(fields, "before"),
        after=_sha256(fields, "after"),
        vex=None if fields.raw("vex") is None else _sha256(fields, "vex"),
    )
    if (found.original == found.patched) != (found.before == found.after):
        raise _wrong(f"{fields.where}.after", "the same report twice, or two", "one report for each manifest")
    return found


def _platform_fields(each: PatchedPlatform) -> dict[str, Any]:
    return {
        "platform": each.platform,
        "original": str(each.original),
        "patched": str(each.patched),
        "before": str(each.before),
        "after": str(each.after),
        "vex": None if each.vex is None else str(each.vex),
    }


def _tool(fields: Fields) -> Tool:
    fields.exactly("name", "version")
    return Tool(_filled(fields, "name"), _filled(fields, "version"))


def _sorted_texts(fields: Fields, key: str) -> tuple[str, ...]:
    values = fields.texts(key, maximum=limits.INDEX_CHILDREN)
    if list(values) != sorted(set(values)) or not all(values):
        raise _wrong(f"predicate.{key}", "unsorted, repeated or empty", "sorted, each once")
    return values


def _sha256(fields: Fields, key: str) -> Digest:
    digest = parse_digest(fields.text(key))
    if digest.algorithm != "sha256":
        raise _wrong(f"{fields.where}.{key}", digest.algorithm, "sha256")
    return digest


def _filled(fields: Fields, key: str) -> str:
    text = fields.text(key)
    if not 0 < len(text) <= limits.INVENTORY_TEXT_CHARACTERS:
        raise _wrong(f"{fields.where}.{key}", f"{len(text)} characters", f"1 to {limits.INVENTORY_TEXT_CHARACTERS}")
    return text


def _wrong(which: str, got: str, want: str) -> MalformedError:
    return MalformedError("derivation", _WHAT, which, got=got, want=want)
