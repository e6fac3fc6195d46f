"""`sealift.toml`: what to export, written once and kept under version control.

    stream = "plant"
    repository = "trust"                 # the trust repository; paths are relative to this file
    keys = "../keys"                     # the folder with exporter.pem; or key = "exporter.pem", or "pkcs11:…"
    audience = ["plant-7"]               # site names; empty or absent: any site
    compression = "zstd"                 # or "none"
    require = ["signature", "sbom"]      # evidence that every image must have

    [[image]]
    source = "oci:build/app"             # oci:FOLDER[:REF], oci-archive:FILE[:REF], or a name in a registry
    name = "registry.example.org/app:1"  # defaults to the full name that the source records
    platforms = ["linux/amd64"]          # absent: all
    require = ["provenance"]             # more, for this image
    may_lack = ["sbom"]                  # less, for this image
    allow_synthesised_digest = true      # for docker-archive: only, which has no registry's digest

    [[vulnerability-data]]
    kind = "osv"                         # osv, openvex, csaf, trivy-db or grype-db
    source = "osv/PyPI.zip"              # a file or a folder; or, as for images, an artifact: docker://NAME, oci:…
    name = "osv/PyPI"                    # defaults to the file's own name, or the artifact's reference

Rules of this module:
- Unknown keys, values of another type and empty names are errors: a misspelt `platfroms` must not widen an export.
- A file of images, of data alone, or of both; of nothing it is an error.
- `may_lack` takes back what the file requires, and lets a place that could only have held such evidence be without an
  answer. What an image itself requires it may not lack.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from bundler import limits
from bundler.archive.layout import DATA_TYPES
from bundler.errors import MalformedError, UsageError
from bundler.fields import Fields
from bundler.oci.descriptor import Platform, parse_platform
from bundler.safe_file import read_bounded
from bundler.value import dataclass
from trust_root.roles import KEY_SCHEMES

EVIDENCE_WORDS = ("signature", "attestation", "sbom", "provenance")
COMPRESSIONS = ("zstd", "none")
_WHAT = "settings"
_TOP = ("stream", "repository", "keys", "key", "audience", "compression", "require", "image", "vulnerability-data")
_IMAGE = ("source", "name", "platforms", "require", "may_lack", "allow_synthesised_digest")
_DATA = ("kind", "source", "name")


@dataclass(frozen=True, slots=True)
class DataRequest:
    """Vulnerability data to export.

    Attributes:
        kind: one of `DATA_TYPES` (archive/layout.py).
        source: as typed: a path, or with a scheme an artifact.
        name: what to call it in the bundle; None for the default.
        base: folder that relative paths of `source` start from.
    """

    kind: str
    source: str
    name: str | None = None
    base: Path = Path()


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One image to export.

    Attributes:
        source: as typed, e.g. `oci:./image:v1`.
        name: the reference to record, as typed; None to take the one that the source records.
        platforms: which platforms to carry; empty for all.
        require: evidence without which the export fails, in the words of `EVIDENCE_WORDS`.
        base: folder that relative paths of `source` start from.
        may_lack: evidence that may be missing, even because a registry did not answer.
        allow_synthesised_digest: consent to a source that has no registry's digest (`docker-archive:`).
    """

    source: str
    name: str | None = None
    platforms: tuple[Platform, ...] = ()
    require: frozenset[str] = frozenset()
    base: Path = Path()
    may_lack: frozenset[str] = frozenset()
    allow_synthesised_digest: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """A settings file, or what the command line gave in its place. None: not given."""

    stream: str | None = None
    repository: Path | None = None
    keys: Path | None = None
    key: str | None = None
    audience: tuple[str, ...] = ()
    compression: str = "zstd"
    images: tuple[ImageRequest, ...] = ()
    data: tuple[DataRequest, ...] = ()


def load_settings(path: Path) -> Settings:
    """Read a settings file.

    Raises:
        EnvError: it cannot be read.
        UsageError: it is not TOML, or says something that it must not (codes ``settings`` and those of `Fields`).
    """
    raw = read_bounded(path, limits.SETTINGS_BYTES, "settings file")
    try:
        return parse_settings(raw, path.parent)
    except MalformedError as error:
        raise UsageError(error.code, f"{path} {error.what}", error.which, got=error.got, want=error.want) from error


def parse_settings(raw: bytes, base: Path) -> Settings:
    """Parse a settings file's bytes.

    Args:
        raw: TOML.
        base: folder that relative paths start from.

    Raises:
        MalformedError: not TOML (``settings``), or a field that must not be (codes of `Fields`).
    """
    try:
        values = tomllib.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise MalformedError("settings", _WHAT, got=str(error)[:160], want="TOML in UTF-8") from error
    fields = Fields(values, _WHAT, first=1)
    fields.only(*_TOP)
    require = _words(fields, "require")
    tables = fields.each("image", maximum=limits.INVENTORY_IMAGES) if "image" in fields else ()
    images = tuple(_parse_image(item, require, base) for item in tables)
    listed = fields.each("vulnerability-data", maximum=limits.INVENTORY_DATA) if "vulnerability-data" in fields else ()
    data = tuple(_parse_data(item, base) for item in listed)
    if not images and not data:
        want = "at least one [[image]] or [[vulnerability-data]]"
        raise MalformedError("settings", _WHAT, "image", got="none", want=want)
    return Settings(
        stream=fields.optional_text("stream"),
        repository=_path(fields, "repository", base),
        keys=_path(fields, "keys", base),
        key=_key(fields, base),
        audience=fields.texts("audience", maximum=limits.AUDIENCE_SITES) if "audience" in fields else (),
        compression=_one_of(fields, "compression", COMPRESSIONS) if "compression" in fields else "zstd",
        images=images,
        data=data,
    )


def _key(fields: Fields, base: Path) -> str | None:
    """A key file, relative to the settings file; or a key elsewhere, which has a scheme."""
    typed = fields.optional_text("key")
    return typed if typed is None or typed.startswith(KEY_SCHEMES) else str(base / typed)


def _parse_image(fields: Fields, require: frozenset[str], base: Path) -> ImageRequest:
    fields.only(*_IMAGE)
    own, may_lack = _words(fields, "require"), _words(fields, "may_lack")
    for word in sorted(may_lack):
        if word in own:
            raise MalformedError(
                "settings", _WHAT, f"{fields.where}.may_lack", got=word, want="nothing that the image requires"
            )
    platforms = fields.texts("platforms", maximum=limits.INDEX_CHILDREN) if "platforms" in fields else None
    if platforms == ():
        raise MalformedError("settings", _WHAT, f"{fields.where}.platforms", got="none", want="at least one, or no key")
    return ImageRequest(
        source=_filled(fields, "source"),
        name=_filled(fields, "name") if "name" in fields else None,
        platforms=tuple(map(parse_platform, platforms or ())),
        require=(require - may_lack) | own,
        base=base,
        may_lack=may_lack,
        allow_synthesised_digest="allow_synthesised_digest" in fields and fields.boolean("allow_synthesised_digest"),
    )


def _parse_data(fields: Fields, base: Path) -> DataRequest:
    fields.only(*_DATA)
    kind = _known(fields.text("kind"), tuple(DATA_TYPES), f"{fields.where}.kind")
    return DataRequest(kind, _filled(fields, "source"), _filled(fields, "name") if "name" in fields else None, base)


def _words(fields: Fields, key: str) -> frozenset[str]:
    if key not in fields:
        return frozenset()
    words = fields.texts(key, maximum=len(EVIDENCE_WORDS))
    return frozenset(_known(word, EVIDENCE_WORDS, f"{fields.where}.{key}".lstrip(".")) for word in words)


def _one_of(fields: Fields, key: str, allowed: Sequence[str]) -> str:
    return _known(fields.text(key), allowed, key)


def _known(word: str, allowed: Sequence[str], where: str) -> str:
    if word not in allowed:
        raise MalformedError("settings", _WHAT, where, got=repr(word[:40]), want=", ".join(allowed))
    return word


def _path(fields: Fields, key: str, base: Path) -> Path | None:
    return base / _filled(fields, key) if key in fields else None


def _filled(fields: Fields, key: str) -> str:
    text = fields.text(key)
    if not text or "\0" in text:
        raise MalformedError("settings", _WHAT, f"{fields.where}.{key}".lstrip("."), got=repr(text[:40]), want="a text")
    return text
