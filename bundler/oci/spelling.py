"""Keys that another parser would read as a known one (THREATS E2: one meaning per digest).

Go's encoding/json, which registries and container engines use, matches keys without regard to case (and folds the
Kelvin sign to `k`, the long s to `s`). A document with `Layers` beside `manifests` would be an index for us and a
manifest for them, so any key that only folds to a known one is refused.
"""

from __future__ import annotations

from bundler.errors import MalformedError
from bundler.fields import Fields


def check_spelling(fields: Fields, known: frozenset[str]) -> None:
    """Refuse keys of `fields` that equal a known key only when case is ignored.

    Args:
        fields: the object.
        known: the keys of the specification, all of which differ in more than case.

    Raises:
        MalformedError: such a key (code ``field-case``).
    """
    folded = {name.casefold(): name for name in known}
    present = fields.keys()
    for key in present:
        meant = folded.get(key.casefold())
        if meant is not None and key != meant:
            raise MalformedError("field-case", fields.what, f"{fields.where}.{key}".lstrip("."), got=key, want=meant)


def inner(fields: Fields | None, key: str) -> Fields | None:
    """A nested object; None when it is absent or null.

    Raises:
        MalformedError: another type (code ``field-type``), or a key that only folds to it (``field-case``).
    """
    if fields is None:
        return None
    check_spelling(fields, frozenset({key}))
    return fields.fields(key) if fields.raw(key) is not None else None
