"""Typed access to parsed JSON: each getter returns the type it names, or refuses.

Rules: a missing key, a null and a value of another type are refused unless the getter says `optional`; a bool is not
an int; errors name the document and the path of the field.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from bundler.errors import MalformedError

_T = TypeVar("_T")


class Fields:
    """One JSON object, its place in its document, and the strict getters.

    Args:
        values: the object.
        what: the document, for errors.
        where: the object's path in it; empty for the document itself.
        first: the number of an array's first item in errors: 0, as programs count; 1 in files that people type.
    """

    __slots__ = ("_values", "first", "what", "where")

    def __init__(self, values: Any, what: str, where: str = "", *, first: int = 0) -> None:
        if not isinstance(values, dict):
            raise MalformedError("field-type", what, where, got=type(values).__name__, want="object")
        self._values: dict[str, Any] = values
        self.what = what
        self.where = where
        self.first = first

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def holds(self, key: str) -> bool:
        """Whether something stands there: neither absent nor null, which are one in protobuf's JSON."""
        return self._values.get(key) is not None

    def only(self, *allowed: str) -> None:
        """Refuse any key that is not named."""
        unknown = sorted(set(self._values) - set(allowed))
        if unknown:
            raise MalformedError(
                "field-unknown", self.what, self._path(unknown[0]), got="unknown", want="no such field"
            )

    def exactly(self, *names: str) -> None:
        """Refuse unknown keys and missing keys alike."""
        self.only(*names)
        for name in names:
            if name not in self._values:
                raise MalformedError("field-missing", self.what, self._path(name), got="absent", want="present")

    def text(self, key: str) -> str:
        """A string."""
        return self._typed(key, str)

    def optional_text(self, key: str) -> str | None:
        """A string, or None when the key is absent."""
        return self._typed(key, str) if key in self._values else None

    def integer(self, key: str, *, minimum: int = 0, maximum: int = 2**63 - 1) -> int:
        """An integer within bounds; a bool is refused."""
        value = self._typed(key, int)
        if isinstance(value, bool) or not minimum <= value <= maximum:
            raise MalformedError(
                "field-value", self.what, self._path(key), got=repr(value)[:40], want=f"{minimum} to {maximum}"
            )
        return value

    def boolean(self, key: str) -> bool:
        """True or false."""
        return self._typed(key, bool)

    def fields(self, key: str) -> Fields:
        """A nested object."""
        return Fields(self._get(key), self.what, self._path(key), first=self.first)

    def items(self, key: str, *, maximum: int) -> list[Any]:
        """An array of at most `maximum` items."""
        value: list[Any] = self._typed(key, list)
        if len(value) > maximum:
            raise MalformedError(
                "limits", self.what, self._path(key), got=f"{len(value)} items", want=f"at most {maximum}"
            )
        return value

    def each(self, key: str, *, maximum: int) -> Iterator[Fields]:
        """The objects of an array of at most `maximum` items."""
        for position, value in enumerate(self.items(key, maximum=maximum), self.first):
            yield Fields(value, self.what, f"{self._path(key)}[{position}]", first=self.first)

    def texts(self, key: str, *, maximum: int) -> tuple[str, ...]:
        """An array of strings."""
        values = self.items(key, maximum=maximum)
        for position, value in enumerate(values, self.first):
            if not isinstance(value, str):
                raise MalformedError(
                    "field-type", self.what, f"{self._path(key)}[{position}]", got=type(value).__name__, want="str"
                )
        return tuple(values)

    def text_map(self, key: str) -> dict[str, str]:
        """An object whose values are strings; empty when absent."""
        if key not in self._values:
            return {}
        values: dict[str, Any] = self._typed(key, dict)
        for name, value in values.items():
            if not isinstance(value, str):
                raise MalformedError(
                    "field-type", self.what, f"{self._path(key)}.{name}", got=type(value).__name__, want="str"
                )
        return dict(values)

    def raw(self, key: str) -> Any:
        """Whatever stands there, or None when the key is absent."""
        return self._values.get(key)

    def keys(self) -> tuple[str, ...]:
        """The keys, in the document's order."""
        return tuple(self._values)

    def _get(self, key: str) -> Any:
        if key not in self._values:
            raise MalformedError("field-missing", self.what, self._path(key), got="absent", want="present")
        return self._values[key]

    def _typed(self, key: str, wanted: type[_T]) -> _T:
        value = self._get(key)
        if not isinstance(value, wanted):
            raise MalformedError(
                "field-type", self.what, self._path(key), got=type(value).__name__, want=wanted.__name__
            )
        return value

    def _path(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key
