"""Scan reports of one image as they came, for `sealift inspect FILE IMAGE --scans --raw`.

    reports    printed
    one        the document, byte for byte: a scanner's file, or the statement
    several    {"sha256:…": the document, …}, each byte for byte, by its digest, in the order of --scans

Rules of this module:
- What is printed has the digest that `--scans` tells; nothing is read into other words.
- One that cannot be read fails the whole, and so does none.
"""

from __future__ import annotations

import json

from bundler.deliver.image_inspection import ImageInspection
from bundler.errors import RejectedError


def raw_scans(inspection: ImageInspection) -> tuple[bytes, tuple[str, ...]]:
    """The bytes, and how strong each report is.

    Raises:
        RejectedError: there is none (``scan-missing``), or one cannot be read (its own code).
    """
    scans = inspection.scans(hold=True)
    for scan in scans:
        if scan.failure is not None:
            raise scan.failure
    documents = {str(scan.document): scan.held for scan in scans if scan.held is not None}
    if not documents:
        raise RejectedError(
            "scan-missing", "scan report", f"of {inspection.image.name}",
            got=f"none about {inspection.platform or 'it'}", want="one",
        )  # fmt: skip
    told = tuple(
        f"{scan.platform or 'whole image'}: {scan.document}: {scan.strength}{f' [{scan.code}]' if scan.code else ''}"
        for scan in scans
    )
    if len(documents) == 1:
        return next(iter(documents.values())), told
    named = (json.dumps(name).encode() + b": " + raw for name, raw in documents.items())
    return b"{" + b",\n".join(named) + b"}", told
