"""Data classes that are quick to make: the part of Python's `dataclasses` that this tree uses.

Python's own decorator writes six methods of each class as text and compiles them while the module is imported: half of
the time of a short command (decision 0019). Here the methods are closures; `__init__` alone is compiled, and only when
the first instance is made.

Rules of this module:
- Only the cost differs. Type checkers are shown Python's own decorator, so that they check every use as ever;
  instances, errors, repr, equality, order, hash, copies, and what `dataclasses.fields` and `replace` make of them, are
  the same (tests/unit/test_value.py compares the two).
- What is not carried out is refused when the class is made: class variables, init-only fields, inherited fields, other
  flags. Fields are always slots.
- The text that is compiled holds numbers and no name from elsewhere. Classes of one shape share it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter, ge, gt, le, lt
from reprlib import recursive_repr
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, TypeVar, cast

_T = TypeVar("_T")
_Values = Callable[[Any], Any]
_MISSING: Any = object()
_NOT_FIELDS = ("ClassVar", "InitVar", "KW_ONLY")
_ORDERS = {"__lt__": lt, "__le__": le, "__gt__": gt, "__ge__": ge}


class _Spec:
    """What a class says of one of its fields."""

    __slots__ = ("compare", "default", "factory", "hash", "repr")

    def __init__(self, default: Any, factory: Any, *, repr: bool, hash: bool, compare: bool) -> None:  # noqa: A002
        self.default, self.factory = default, factory
        self.repr, self.hash, self.compare = repr, hash, compare

    @property
    def optional(self) -> bool:
        """Whether an instance can be made without it."""
        return self.default is not _MISSING or self.factory is not _MISSING


class _Fields:
    """`__dataclass_fields__` for whoever asks: made then, by Python's own module."""

    __slots__ = ("_specs", "_types")

    def __init__(self, specs: Mapping[str, _Spec], types: Mapping[str, Any]) -> None:
        self._specs, self._types = specs, types

    def __get__(self, _instance: object, owner: type) -> Mapping[str, Any]:
        import dataclasses  # noqa: PLC0415  not needed by a run

        twin = []
        for name, spec in self._specs.items():
            defaults = {"default": spec.default, "default_factory": spec.factory}
            given = {key: value for key, value in defaults.items() if value is not _MISSING}
            told = dataclasses.field(repr=spec.repr, hash=spec.hash, compare=spec.compare, **given)
            twin.append((name, self._types[name], told))
        made: Any = dataclasses.make_dataclass(owner.__name__, twin)
        fields: Mapping[str, Any] = made.__dataclass_fields__
        return fields


def _field(
    *, default: Any = _MISSING, default_factory: Any = _MISSING, repr: bool = True, hash: bool | None = None,  # noqa: A002
    compare: bool = True,
) -> Any:  # fmt: skip
    """As `dataclasses.field`."""
    if default is not _MISSING and default_factory is not _MISSING:
        raise ValueError("cannot specify both default and default_factory")
    return _Spec(default, default_factory, repr=repr, hash=compare if hash is None else hash, compare=compare)


def _dataclass(*, slots: bool, frozen: bool = False, order: bool = False) -> Callable[[type[_T]], type[_T]]:
    """As `dataclasses.dataclass`.

    Raises (when the class is made):
        TypeError: what is not carried out here, or is refused by Python's own too.
        ValueError: a default that all instances would share and could change.
    """
    if not slots:
        raise TypeError("slots=True is always meant")
    return lambda cls: _make(cls, frozen=frozen, order=order)


def _replace(instance: _T, /, **changes: Any) -> _T:
    """As `dataclasses.replace`."""
    names: tuple[str, ...] = type(instance).__match_args__  # type: ignore[attr-defined]
    return type(instance)(**{name: getattr(instance, name) for name in names if name not in changes} | changes)


def _make(cls: type[_T], *, frozen: bool, order: bool) -> type[_T]:
    specs = _specs(cls)
    names = tuple(specs)
    body = {name: value for name, value in cls.__dict__.items() if name not in (*names, "__dict__", "__weakref__")}
    _refuse(cls, body, frozen=frozen, order=order)
    compared = _values([name for name in names if specs[name].compare])
    has_hash = "__hash__" in body and not (body["__hash__"] is None and "__eq__" in body)
    body.update(__slots__=names, __match_args__=names, __dataclass_fields__=_Fields(specs, cls.__annotations__))
    body.setdefault("__repr__", _repr_method([name for name in names if specs[name].repr]))
    body.setdefault("__eq__", _eq_method(compared))
    if not has_hash:
        body["__hash__"] = _hash_method(_values([name for name in names if specs[name].hash])) if frozen else None
    if order:
        body |= {name: _order_method(compared, compare) for name, compare in _ORDERS.items()}
    if frozen:
        body |= {"__getstate__": _get_state, "__setstate__": _set_state}
    metaclass: Any = type(cls)
    made = metaclass(cls.__name__, cls.__bases__, body)  # again, since slots cannot be added to a class
    made.__qualname__ = cls.__qualname__
    made.__init__ = _first_init(made, specs)
    if frozen:
        made.__setattr__, made.__delattr__ = _frozen_methods(made, names)
    return cast("type[_T]", made)


def _specs(cls: type) -> dict[str, _Spec]:
    """The fields, by name, in order."""
    specs: dict[str, _Spec] = {}
    optional = False
    for name, annotation in cls.__annotations__.items():
        if name == "self" or any(word in str(annotation) for word in _NOT_FIELDS):
            raise TypeError(f"{cls.__name__}.{name}: not carried out")
        given = cls.__dict__.get(name, _MISSING)
        spec = given if isinstance(given, _Spec) else _field(default=given)
        if spec.default is not _MISSING and type(spec.default).__hash__ is None:
            raise ValueError(f"{cls.__name__}.{name}: mutable default, use default_factory")
        if optional and not spec.optional:
            raise TypeError(f"{cls.__name__}.{name}: non-default argument follows default argument")
        optional = spec.optional
        specs[name] = spec
    return specs


def _refuse(cls: type, body: Mapping[str, Any], *, frozen: bool, order: bool) -> None:
    if any("__dataclass_fields__" in base.__dict__ for base in cls.__mro__):
        raise TypeError(f"{cls.__name__}: inherited fields are not carried out")
    stray = [name for name, value in body.items() if isinstance(value, _Spec)]
    taken = {"__slots__", "__init__"} | (set(_ORDERS) if order else set())
    taken |= {"__setattr__", "__delattr__", "__getstate__", "__setstate__"} if frozen else set()
    if stray or taken & set(body):
        raise TypeError(f"{cls.__name__}: {', '.join([*stray, *sorted(taken & set(body))])}: not carried out")


def _values(names: list[str]) -> _Values:
    """A function that gives an instance's values as a tuple."""
    if not names:
        return lambda _instance: ()
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda instance: (get(instance),)


def _repr_method(names: list[str]) -> Callable[[Any], str]:
    @recursive_repr()
    def __repr__(self: Any) -> str:  # noqa: N807
        shown = ", ".join([f"{name}={getattr(self, name)!r}" for name in names])
        return f"{type(self).__qualname__}({shown})"

    return __repr__


def _eq_method(values: _Values) -> Callable[[Any, object], bool]:
    def __eq__(self: Any, other: object) -> bool:  # noqa: N807
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _hash_method(values: _Values) -> Callable[[Any], int]:
    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(values(self))

    return __hash__


def _order_method(values: _Values, compare: Callable[[Any, Any], bool]) -> Callable[[Any, object], bool]:
    def method(self: Any, other: object) -> bool:
        return compare(values(self), values(other)) if other.__class__ is self.__class__ else NotImplemented

    return method


def _get_state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__match_args__]


def _set_state(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__match_args__, state, strict=True):
        object.__setattr__(self, name, value)


def _frozen_methods(cls: type, names: tuple[str, ...]) -> tuple[Callable[..., None], Callable[..., None]]:
    def refuse(self: object, verb: str, name: str) -> None:
        if type(self) is cls or name in names:
            from dataclasses import FrozenInstanceError  # noqa: PLC0415  not needed by a run

            raise FrozenInstanceError(f"cannot {verb} field {name!r}")

    def __setattr__(self: object, name: str, value: object) -> None:  # noqa: N807
        refuse(self, "assign to", name)
        object.__setattr__(self, name, value)

    def __delattr__(self: object, name: str) -> None:  # noqa: N807
        refuse(self, "delete", name)
        object.__delattr__(self, name)

    return __setattr__, __delattr__


def _first_init(cls: type, specs: Mapping[str, _Spec]) -> Callable[..., None]:
    """An `__init__` that puts the real one in its place when it is first called."""

    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        real = _real_init(cls, specs)
        cls.__init__ = real  # type: ignore[misc]
        real(self, *args, **kwargs)

    return __init__


def _real_init(cls: type, specs: Mapping[str, _Spec]) -> Callable[..., None]:
    scope: dict[str, Any] = {"missing": _MISSING}
    optional = []
    for number, (name, spec) in enumerate(specs.items()):
        scope[f"set{number}"] = cls.__dict__[name].__set__  # takes half the time of object.__setattr__
        scope[f"make{number}"] = spec.factory
        if spec.optional:
            optional.append(spec.default)  # that is "missing" too where there is a factory
    made = tuple(number for number, spec in enumerate(specs.values()) if spec.factory is not _MISSING)
    code = _template(len(specs), made, checks=hasattr(cls, "__post_init__"))
    named = code.replace(co_varnames=("self", *specs), co_qualname=f"{cls.__qualname__}.__init__")
    return FunctionType(named, scope, "__init__", tuple(optional))


@cache
def _template(count: int, made: tuple[int, ...], *, checks: bool) -> CodeType:
    """Code of an `__init__` with so many fields, some of them with factories. Its classes differ in names only."""
    lines = ["def __init__(" + ", ".join(["self", *[f"field{number}" for number in range(count)]]) + "):"]
    for number in range(count):
        given = f"field{number}"
        value = f"make{number}() if {given} is missing else {given}" if number in made else given
        lines.append(f" set{number}(self, {value})")
    lines.append(" self.__post_init__()" if checks else " return")
    scope: dict[str, Any] = {}
    exec("\n".join(lines), scope)  # noqa: S102  see the rules
    code: CodeType = scope["__init__"].__code__
    return code


if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace
else:
    dataclass, field, replace = _dataclass, _field, _replace

__all__ = ["dataclass", "field", "replace"]
