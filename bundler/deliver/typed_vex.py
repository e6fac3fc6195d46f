"""VEX documents that somebody named on the command line: whoever types a file takes its author's word.

Rules of this module:
- A file, or a folder of `*.json`; OpenVEX and CSAF are told apart by what the document says of itself.
- One that cannot be read ends the command: it was named on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from bundler import limits
from bundler.errors import MalformedError, SealiftError, UnsupportedError, UsageError
from bundler.safe_file import read_bounded
from bundler.strict_json import parse_foreign
from bundler.vulnerability.csaf import parse_csaf
from bundler.vulnerability.openvex import parse_openvex
from bundler.vulnerability.vex import VexDocument, VexSource

STRENGTH = "unsigned, named on the command line"


def read_typed_vex(paths: Iterable[Path]) -> tuple[VexSource, ...]:
    """All documents, in the order of their files.

    Raises:
        UsageError: a document that cannot be read, with its own reason code; a folder without any (``vex-empty``).
        EnvError: the disk.
    """
    return tuple(VexSource(_read(file), str(file), STRENGTH, accepted=True) for path in paths for file in _files(path))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = sorted(file for file in path.rglob("*.json") if file.is_file())
    if not found or len(found) > limits.VEX_DOCUMENTS:
        raise UsageError(
            "vex-empty", "option", "--vex", got=f"{len(found)} documents in {path}",
            want=f"1 to {limits.VEX_DOCUMENTS} files *.json",
        )  # fmt: skip
    yield from found


def _read(file: Path) -> VexDocument:
    raw = read_bounded(file, limits.VEX_DOCUMENT_BYTES, "VEX document")
    try:
        value = parse_foreign(raw, "VEX document", max_bytes=limits.VEX_DOCUMENT_BYTES)
        return parse_csaf(raw) if isinstance(value, dict) and "document" in value else parse_openvex(raw)
    except (MalformedError, UnsupportedError) as error:
        raise _refused(file, error) from error


def _refused(file: Path, error: SealiftError) -> UsageError:
    return UsageError(error.code, f"{file}: {error.what}", error.which, got=error.got, want=error.want)
