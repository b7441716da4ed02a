"""Dataclasses with methods on first use: the same as those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import re
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fastfeat_kernels import records

ROOT = Path(__file__).resolve().parents[2]
MAKERS = (records.dataclass, dataclasses.dataclass)
OPTIONS: list[dict[str, bool]] = [
    {},
    {"frozen": True},
    {"frozen": True, "slots": True},
    {"slots": True},
    {"frozen": True, "slots": True, "eq": False},
    {"frozen": True, "slots": True, "repr": False},
    {"frozen": True, "eq": False, "init": False},
    {"frozen": True, "slots": True, "eq": False, "weakref_slot": True},
    {"frozen": True, "slots": True, "kw_only": True},
]


def classes(dataclass: Any, options: dict[str, bool]) -> tuple[type[Any], type[Any]]:
    """Return a class and one derived from it."""

    @dataclass(**options)
    class One:
        a: int
        b: float = 1.5
        known: ClassVar[int] = 3
        c: list[int] = field(default_factory=list[int], compare=False)
        d: int = field(default=4, init=False, repr=False)

        def double(self) -> int:
            return 2 * self.a

    @dataclass(**options)
    class Two(One):
        e: str = "e"
        f: int = field(default=6, kw_only=True)

        def __post_init__(self) -> None:
            assert self.a is not None

    return One, Two


def outcome(act: Callable[[], Any]) -> Any:
    """Return the value of a call, or the kind and text of its error."""
    try:
        return act()
    except (TypeError, ValueError, AttributeError) as error:
        return type(error), re.sub(r"\bcls\b.*", "", str(error))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_classes_behave_as_those_of_the_standard_library(options: dict[str, bool]) -> None:
    ours, theirs = (classes(maker, options) for maker in MAKERS)
    acts: list[Callable[[type[Any]], Any]] = [
        lambda cls: repr(cls(1)) if options.get("repr", True) else "",
        lambda cls: cls(1) == cls(1, c=[2]),
        lambda cls: cls(1) == cls(2),
        lambda cls: isinstance(hash(cls(1)), int),
        lambda cls: hash(cls(1)) == hash(cls(1)),
        lambda cls: setattr(cls(1), "a", 2),
        lambda cls: delattr(cls(1), "a"),
        lambda cls: dataclasses.replace(cls(1), b=2.5).b,
        lambda cls: dataclasses.replace(cls(1), d=2.5),
        lambda cls: dataclasses.asdict(cls(1)),
        lambda cls: [
            (f.name, f.type, f.init, f.compare, f.kw_only) for f in dataclasses.fields(cls)
        ],
        lambda cls: str(inspect.signature(cls)),
        lambda cls: cls.__match_args__,
        lambda cls: cls.__dict__.get("__slots__"),
        lambda cls: [copy.deepcopy(cls(1)).a, copy.copy(cls(1, 2.0)).b],
        lambda cls: cls(1, 2, 3, 4, 5, 6, 7).a,
        lambda cls: cls().a,
        lambda cls: (cls(1).known, cls(1).double(), cls(1).d),
        lambda cls: isinstance(weakref.ref(cls(1)), weakref.ref),
        lambda cls: cls.b if "slots" not in options else None,
        lambda cls: (cls.__init__.__qualname__, cls.__qualname__, cls.__hash__ is None),
    ]
    for number, act in enumerate(acts):
        for mine, wanted in zip(ours, theirs, strict=True):
            assert outcome(lambda: act(mine)) == outcome(lambda: act(wanted)), number  # noqa: B023


@records.dataclass(frozen=True, slots=True)
class Kept:
    """A record that a pickle can name."""

    a: int
    b: tuple[int, ...] = ()


@records.dataclass(frozen=True, slots=True, eq=False)
class Wide(Mapping[str, int]):
    """A record that is a mapping."""

    values_of: dict[str, int]

    def __getitem__(self, name: str) -> int:
        return self.values_of[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_of)

    def __len__(self) -> int:
        return len(self.values_of)


def test_records_are_pickled_and_matched() -> None:
    record = Kept(1, (2, 3))
    assert pickle.loads(pickle.dumps(record)) == record
    match record:
        case Kept(a, (b, *_)):
            assert (a, b) == (1, 2)
        case _:
            pytest.fail("it does not match")


def test_records_may_be_mappings() -> None:
    assert Wide({"a": 1}) == {"a": 1}


def test_attributes_of_a_subclass_may_change() -> None:
    class More(records.dataclass(frozen=True)(type("Base", (), {"__annotations__": {"a": "int"}}))):  # type: ignore[misc]
        pass

    more: Any = More(1)
    more.other = 2
    assert more.other == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        more.a = 3


def test_threads_may_ask_for_methods_at_once() -> None:
    for _ in range(20):
        made = classes(records.dataclass, {"frozen": True, "slots": True})[1]
        found = list[Any]()
        wait = threading.Barrier(4)

        def run(made: Any = made, wait: Any = wait, found: Any = found) -> None:
            wait.wait()
            found.append((made(1) == made(1), repr(made(1)), hash(made(1)), made.__match_args__))

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 1
        assert len(found) == 4


def test_every_record_gets_its_methods() -> None:
    import fastfeat as ff

    assert ff.Plan is not None
    found = [
        value
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in ("fastfeat", "fastfeat_kernels")
        for value in list(vars(module).values())
        if isinstance(value, type) and "__dataclass_fields__" in vars(value)
    ]
    assert len(found) > 50
    for record in found:
        assert len(dataclasses.fields(record)) == len(record.__dataclass_fields__)
        assert callable(record.__init__)


def test_records_are_made_one_way() -> None:
    found = [
        str(path)
        for folder in ("fastfeat", "kernels/fastfeat_kernels")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"from dataclasses import .*\bdataclass\b", path.read_text("utf-8"))
    ]
    assert not found, "import dataclass from fastfeat_kernels.records"
