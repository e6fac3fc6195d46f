"""The revocation file: a root chain and nothing else, a few kB, for a site that must learn of a theft at once.

    {"format":1,"kind":"sealift-revocation","roots":[<root 1>,<root 2>, …]}

Rules of this module:
- Canonical JSON. The roots stand in it as objects; the canonical form of each is the file `<n>.root.json`.
- All roots from 1 to the newest are there, in order, so that every site can follow from whatever it has pinned.
- It proves nothing by itself: the site chains the roots on from its own, as it does those of a bundle (`RootChain`).
- It needs no signature of its own, and cannot say too much: each root in it is signed by the holders.
"""

from __future__ import annotations

from collections.abc import Sequence

from bundler import limits
from bundler.errors import TrustError, UnsupportedError
from bundler.fields import Fields
from bundler.strict_json import format_canonical, parse_canonical
from trust_root.metadata import as_trust_error, parse_root

KIND = "sealift-revocation"
FORMAT = 1
_WHAT = "revocation file"


def format_revocation(roots: Sequence[bytes]) -> bytes:
    """The file's bytes, the inverse of `parse_revocation`.

    Args:
        roots: every root's bytes, version 1 first.

    Raises:
        TrustError: they are not roots 1 to N in our form (``metadata-form``, ``metadata-canonical``, ``root-chain``).
    """
    with as_trust_error(_WHAT):
        values = [parse_canonical(raw, _WHAT, max_bytes=limits.TRUST_METADATA_BYTES) for raw in roots]
        made = format_canonical({"format": FORMAT, "kind": KIND, "roots": values}, _WHAT)
    parse_revocation(made)
    return made


def parse_revocation(raw: bytes) -> tuple[bytes, ...]:
    """The roots' bytes, version 1 first. Their form and order are checked; their signatures are not.

    Raises:
        TrustError: another form (``metadata-form``, ``metadata-canonical``), or not every root from 1 on
            (``root-chain``).
        UnsupportedError: a later format (``format``).
    """
    with as_trust_error(_WHAT):
        fields = Fields(parse_canonical(raw, _WHAT, max_bytes=limits.REVOCATION_BYTES), _WHAT)
        if fields.text("kind") != KIND:
            raise TrustError("metadata-form", _WHAT, got=f"kind {fields.text('kind')[:40]}", want=KIND)
        number = fields.integer("format", minimum=1)
        if number != FORMAT:
            raise UnsupportedError("format", _WHAT, got=f"format {number}", want=f"format {FORMAT}")
        fields.exactly("format", "kind", "roots")
        roots = tuple(format_canonical(value, _WHAT) for value in fields.items("roots", maximum=limits.ROOTS))
    for position, root in enumerate(roots, 1):
        version = parse_root(root, f"{position}.root.json").signed.version
        if version != position:
            raise TrustError(
                "root-chain", _WHAT, got=f"root {version} in place {position}", want="every root, in order"
            )
    if not roots:
        raise TrustError("root-chain", _WHAT, got="no root", want="every root, from 1 on")
    return roots
