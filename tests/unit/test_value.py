"""Our data classes beside Python's own: whatever one does, the other does (bundler/value.py)."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from keyword import iskeyword
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import value

T = TypeVar("T")
OURS: Any = value  # what runs, not what type checkers are shown

# One class body for each shape that the tree has; `m` is the module whose decorator makes it.
Maker = Callable[[Any], type]


def plain(m: Any) -> type:
    @m.dataclass(frozen=True, slots=True)
    class Plain:
        """Two fields."""

        left: int
        right: str

    return Plain


def one(m: Any) -> type:
    @m.dataclass(frozen=True, slots=True)
    class One:
        """One field: still compared and hashed as a tuple."""

        only: object

    return One


def empty(m: Any) -> type:
    @m.dataclass(frozen=True, slots=True)
    class Empty:
        """No field."""

    return Empty


def defaults(m: Any) -> type:
    @m.dataclass(frozen=True, slots=True)
    class Defaults:
        """Every kind of default."""

        first: int
        second: int | None = None
        third: tuple[int, ...] = m.field(default=(1, 2), repr=False)
        fourth: Mapping[str, str] = m.field(default_factory=dict, hash=False)
        fifth: list[int] = m.field(compare=False, default_factory=list)

    return Defaults


def ordered(m: Any) -> type:
    @m.dataclass(frozen=True, slots=True, order=True)
    class Ordered:
        """An order, of which one field is no part."""

        major: int
        minor: int = 0
        note: str = m.field(default="", compare=False)

    return Ordered


def checked(m: Any) -> type:
    @m.dataclass(frozen=True, slots=True)
    class Checked:
        """Checks itself, and has a text of its own."""

        number: int
        limit: int = 9

        def __post_init__(self) -> None:
            if self.number > self.limit:
                raise ValueError(self.number)

        def __str__(self) -> str:
            return f"#{self.number}"

        @property
        def double(self) -> int:
            """Twice as much."""
            return 2 * self.number

        @classmethod
        def zero(cls) -> Any:
            """Another way to make one."""
            make: Any = cls
            return make(0)

    return Checked


def changing(m: Any) -> type:
    @m.dataclass(slots=True)
    class Changing:
        """May be changed, and has no hash."""

        left: int
        right: int = 2
        items: list[int] = m.field(default_factory=list)

    return Changing


def own_methods(m: Any) -> type:
    @m.dataclass(frozen=True, slots=True)
    class OwnMethods:
        """Methods of its own are left alone."""

        left: int

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

    return OwnMethods


def own_eq(m: Any) -> type:
    @m.dataclass(frozen=True, slots=True)
    class OwnEq:  # noqa: PLW1641
        """An equality of its own does not take the hash away."""

        left: int

        def __eq__(self, other: object) -> bool:
            return isinstance(other, type(self)) and self.left % 2 == other.left % 2

    return OwnEq


def generic(m: Any) -> type:
    @m.dataclass(frozen=True, slots=True)
    class Box(Generic[T]):
        """A box of something."""

        held: T

    return Box


MAKERS: tuple[Maker, ...] = (
    plain, one, empty, defaults, ordered, checked, changing, own_methods, own_eq, generic,
)  # fmt: skip
PAIRS = [pytest.param(maker(value), maker(dataclasses), id=maker.__name__) for maker in MAKERS]
VALUES = (0, 1, 2, "x")


def outcome(work: Callable[[], Any]) -> Any:
    """What happened, so that two can be compared: a value's text, or the error."""
    try:
        return repr(work())
    except Exception as error:  # noqa: BLE001
        text = str(error).replace(value.__name__, "dataclasses")
        return type(error), text


def calls() -> Iterator[tuple[tuple[object, ...], dict[str, object]]]:
    """Ways to call a class: too few, too many, by place and by name."""
    for count in range(7):
        yield tuple(VALUES[place % 4] for place in range(count)), {}
    names = ("left", "right", "only", "first", "second", "third", "fourth", "major", "note", "number", "limit", "held")
    for name, count in product(names, range(3)):
        yield tuple(range(count)), {name: 3}
    yield (), {"left": 1, "right": 2}
    yield (1,), {"fifth": [4], "fourth": {"a": "b"}, "third": ()}


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_calls_have_the_same_outcome(ours: Any, theirs: Any) -> None:
    for arguments, named in calls():
        for _ in range(2):  # the first call compiles
            assert outcome(lambda: ours(*arguments, **named)) == outcome(lambda: theirs(*arguments, **named))  # noqa: B023


def instances(cls: Any) -> list[Any]:
    """Whatever can be made of some values, by place."""
    made = []
    for count in range(6):
        for arguments in product((0, 1), repeat=min(count, 3)):
            try:
                made.append(cls(*arguments))
            except (TypeError, ValueError):
                continue
    return made


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_instances_compare_alike(ours: Any, theirs: Any) -> None:
    mine, others = instances(ours), instances(theirs)
    assert [repr(one) for one in mine] == [repr(one) for one in others] != []
    assert [str(one) for one in mine] == [str(one) for one in others]
    assert [outcome(lambda: hash(one)) for one in mine] == [outcome(lambda: hash(one)) for one in others]  # noqa: B023
    for left, right in product(range(len(mine)), repeat=2):
        for name in ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"):
            told = outcome(lambda: getattr(mine[left], name)(mine[right]))  # noqa: B023
            assert told == outcome(lambda: getattr(others[left], name)(others[right]))  # noqa: B023
        assert mine[left] != others[right] or ours.__name__ == "OwnMethods"  # another class is never equal


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_instances_are_as_hard_to_change(ours: Any, theirs: Any) -> None:
    mine, other = instances(ours)[-1], instances(theirs)[-1]
    for name in ours.__match_args__:
        assert outcome(lambda: setattr(mine, name, 5)) == outcome(lambda: setattr(other, name, 5))  # noqa: B023
        assert outcome(lambda: repr(mine)) == outcome(lambda: repr(other))
        assert outcome(lambda: delattr(mine, name)) == outcome(lambda: delattr(other, name))  # noqa: B023
    for work in (lambda: setattr(mine, "stranger", 5), lambda: delattr(mine, "stranger")):
        assert issubclass(outcome(work)[0], AttributeError)  # Python 3.11's own is a TypeError here, by mistake
    assert not hasattr(mine, "__dict__")
    assert outcome(lambda: mine.__weakref__)[0] is outcome(lambda: other.__weakref__)[0] is AttributeError


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_copies_are_alike(ours: Any, theirs: Any) -> None:
    for mine, other in zip(instances(ours), instances(theirs), strict=True):
        assert copy.copy(mine) == mine
        assert copy.deepcopy(mine) == mine
        assert repr(copy.deepcopy(mine)) == repr(copy.deepcopy(other))
        for change in ({}, {"left": 2}, {"major": 2}, {"number": 10}, {"held": None}, {"stranger": 1}):
            told = outcome(lambda: dataclasses.replace(other, **change))  # noqa: B023
            assert outcome(lambda: value.replace(mine, **change)) == told  # noqa: B023
            assert outcome(lambda: dataclasses.replace(mine, **change)) == told  # noqa: B023


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_classes_tell_the_same_of_themselves(ours: Any, theirs: Any) -> None:
    assert dataclasses.is_dataclass(ours)
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__match_args__", "__slots__", "__annotations__"):
        assert getattr(ours, name) == getattr(theirs, name), name
    facts = ("name", "type", "default", "default_factory", "init", "repr", "hash", "compare", "kw_only")
    for mine, other in zip(dataclasses.fields(ours), dataclasses.fields(theirs), strict=True):
        told = [getattr(mine, fact) for fact in facts if fact != "hash"]
        assert told == [getattr(other, fact) for fact in facts if fact != "hash"]
        assert mine.hash == (other.compare if other.hash is None else other.hash)
    for mine, other in zip(instances(ours), instances(theirs), strict=True):
        assert dataclasses.asdict(mine) == dataclasses.asdict(other)
        assert dataclasses.astuple(mine) == dataclasses.astuple(other)


def test_plain_subclasses_have_attributes_of_their_own() -> None:
    class Child(plain(OURS)):  # type: ignore[misc]
        """Not a data class itself."""

    child = Child(1, "a")
    child.more = 2
    assert (child.more, repr(child).rpartition(".")[2]) == (2, "Child(left=1, right='a')")
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'left'"):
        child.left = 3
    assert child != plain(OURS)(1, "a")


def test_names_of_fields_do_not_disturb() -> None:
    names = ("set0", "make0", "missing", "field1", "cls", "object")
    body = {"__annotations__": dict.fromkeys(names, "int"), "set0": 7}
    body |= {name: number for number, name in enumerate(names[2:])}
    for m in (OURS, dataclasses):
        made = m.dataclass(**FROZEN)(type("Odd", (), body | {"make0": m.field(default_factory=list)}))
        assert repr(made()).endswith("Odd(set0=7, make0=[], missing=0, field1=1, cls=2, object=3)")


def test_factories_make_a_new_value_each_time() -> None:
    first, second = changing(OURS)(1), changing(OURS)(1)
    first.items.append(1)
    assert second.items == []


def test_a_value_that_holds_itself_has_a_text() -> None:
    told = one(OURS)(items := [])
    items.append(told)
    assert repr(told).endswith("One(only=[...])")


def test_one_value_is_compared_as_in_a_tuple() -> None:
    nan = float("nan")
    assert (one(OURS)(nan) == one(OURS)(nan)) is False  # two classes
    cls = one(OURS)
    assert cls(nan) == cls(nan)
    assert hash(cls(3)) == hash((3,)) != hash(3)


@pytest.mark.parametrize("maker", [plain, defaults, generic])
def test_pickles_come_back(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("made_here")
    monkeypatch.setitem(sys.modules, "made_here", module)
    cls: Any = maker(OURS)
    cls.__module__, cls.__qualname__ = "made_here", cls.__name__
    setattr(module, cls.__name__, cls)
    made = instances(cls)[-1]
    assert pickle.loads(pickle.dumps(made)) == made


NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True), unique=True, max_size=7)
PLANS = st.fixed_dictionaries({"repr": st.booleans(), "compare": st.booleans(), "hash": st.none() | st.booleans()})
CONTENTS = st.none() | st.integers(-2, 2) | st.sampled_from(["", "a"])


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.data())
def test_any_shape_is_alike(data: st.DataObject) -> None:
    names = [name for name in data.draw(NAMES) if not iskeyword(name)]
    required = data.draw(st.integers(0, len(names)))
    plans = [data.draw(PLANS) for _ in names]
    given_defaults = [data.draw(CONTENTS) for _ in names]
    factories = [data.draw(st.booleans()) for _ in names]
    frozen, order = data.draw(st.booleans()), data.draw(st.booleans())

    def make(m: Any) -> Any:
        body: dict[str, Any] = {"__annotations__": dict.fromkeys(names, "object"), "__doc__": "Made."}
        for place, (name, plan) in enumerate(zip(names, plans, strict=True)):
            default = given_defaults[place]
            key = {"default_factory": lambda default=default: default} if factories[place] else {"default": default}
            body[name] = m.field(**plan, **(key if place >= required else {}))
        return m.dataclass(frozen=frozen, slots=True, order=order)(type("Shape", (), body))

    ours, theirs = make(OURS), make(dataclasses)
    made = []
    for _ in range(3):
        contents = data.draw(st.lists(CONTENTS, min_size=required, max_size=len(names)))
        by_name = dict(zip(names[len(contents) // 2 :], contents[len(contents) // 2 :], strict=False))
        pair = [cls(*contents[: len(contents) // 2], **by_name) for cls in (ours, theirs)]
        assert repr(pair[0]) == repr(pair[1])
        assert outcome(lambda: hash(pair[0])) == outcome(lambda: hash(pair[1]))  # noqa: B023
        assert dataclasses.astuple(pair[0]) == dataclasses.astuple(pair[1])
        made.append(pair)
    for left, right in product(made, repeat=2):
        for name in ("__eq__", "__lt__", "__ge__"):
            told = outcome(lambda: getattr(left[0], name)(right[0]))  # noqa: B023
            assert told == outcome(lambda: getattr(left[1], name)(right[1]))  # noqa: B023


def refused(flags: dict[str, Any], annotations: dict[str, Any], body: dict[str, Any], base: type = object) -> None:
    OURS.dataclass(**flags)(type("Bad", (base,), {"__annotations__": annotations, **body}))


FROZEN = {"frozen": True, "slots": True}


@pytest.mark.parametrize(
    ("flags", "annotations", "body"),
    [
        ({"frozen": True}, {}, {}),
        ({"slots": False}, {}, {}),
        ({**FROZEN, "kw_only": True}, {}, {}),
        ({**FROZEN, "eq": False}, {}, {}),
        ({**FROZEN, "unsafe_hash": True}, {}, {}),
        (FROZEN, {"a": "ClassVar[int]"}, {"a": 1}),
        (FROZEN, {"a": ClassVar[int]}, {"a": 1}),
        (FROZEN, {"a": "InitVar[int]"}, {}),
        (FROZEN, {"_": "KW_ONLY", "a": "int"}, {}),
        (FROZEN, {"self": "int"}, {}),
        (FROZEN, {"a": "int", "b": "int"}, {"a": 1}),
        (FROZEN, {}, {"a": OURS.field()}),
        (FROZEN, {}, {"__slots__": ()}),
        (FROZEN, {}, {"__init__": lambda self: None}),
        (FROZEN, {}, {"__setattr__": lambda self, name, value: None}),
        (FROZEN, {}, {"__getstate__": lambda self: None}),
        ({**FROZEN, "order": True}, {}, {"__lt__": lambda self, other: True}),
    ],
)
def test_what_is_not_carried_out_is_refused(flags: Any, annotations: Any, body: Any) -> None:
    with pytest.raises(TypeError):
        refused(flags, annotations, body)


def test_inherited_fields_are_refused() -> None:
    with pytest.raises(TypeError, match="inherited"):
        refused(FROZEN, {"c": "int"}, {}, plain(OURS))


@pytest.mark.parametrize("default", [[], {}, set()])
def test_a_default_that_can_change_is_refused(default: object) -> None:
    with pytest.raises(ValueError, match="mutable"):
        refused(FROZEN, {"a": "object"}, {"a": default})


def test_fields_take_one_kind_of_default() -> None:
    with pytest.raises(ValueError, match="default_factory"):
        OURS.field(default=1, default_factory=list)
    with pytest.raises(TypeError):
        OURS.field(init=False)
