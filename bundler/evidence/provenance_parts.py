"""How the fields of SLSA provenance are taken, for all readers of it.

Rules of this module:
- A place that is absent or null says nothing; one that holds another type is refused.
- A key that another parser would fold to the one that is read is refused (oci/spelling.py).
"""

from __future__ import annotations

from bundler.errors import MalformedError
from bundler.fields import Fields
from bundler.oci.spelling import check_spelling

WHAT = "provenance"


def text(fields: Fields | None, key: str) -> str | None:
    """A text; None when absent, null or empty.

    Raises:
        MalformedError: as `inner`.
    """
    return first_text(fields, (key,))


def first_text(fields: Fields | None, keys: tuple[str, ...]) -> str | None:
    """The one text that stands under any of these keys, which are spellings of one name.

    Raises:
        MalformedError: as `inner`; they say different things (code ``provenance``).
    """
    if fields is None:
        return None
    if len(keys) == 1:
        check_spelling(fields, frozenset(keys))
    said = {fields.text(key) for key in keys if fields.raw(key) is not None} - {""}
    return one_of(said, f"{fields.where}.{keys[0]}")


def one_of(said: set[str], where: str) -> str | None:
    """The one thing that several places say; None when none says anything.

    Raises:
        MalformedError: they say different things (code ``provenance``).
    """
    if len(said) > 1:
        raise MalformedError("provenance", WHAT, where, got=f"{len(said)} different ones", want="one")
    return next(iter(said), None)
