"""The `dataclass` of the standard library, but methods are made on first use.

The decorator of the standard library writes and compiles up to seven methods a class: .4 ms. A
fresh process imports a hundred classes, makes instances of half of them, and compares, hashes or
prints five. Here a class costs .03 ms, and its `__init__` .05 ms at the first instance. All other
methods come from the standard library, when one of them is first asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, FrozenInstanceError, field
from typing import Any, TypeVar, cast, dataclass_transform

T = TypeVar("T")

_DESCRIPTIONS = ("__dataclass_fields__", "__dataclass_params__", "__match_args__")
_OF_ONE_CLASS = ("__dict__", "__weakref__")
"""Attributes of a class that a copy of it makes for itself."""


@dataclass_transform(field_specifiers=(field,))
def dataclass(
    *,
    init: bool = True,
    repr: bool = True,
    eq: bool = True,
    frozen: bool = False,
    slots: bool = False,
    weakref_slot: bool = False,
    kw_only: bool = False,
) -> Callable[[type[T]], type[T]]:
    """Return a decorator with the meaning of `dataclasses.dataclass`."""

    def decorate(cls: type[T]) -> type[T]:
        own = {name: value for name, value in _attributes(cls).items() if name not in _OF_ONE_CLASS}
        methods = _Methods(cls, own, {"repr": repr, "eq": eq, "frozen": frozen, "kw_only": kw_only})
        on_first_use = ["__init__"] * init + ["__repr__"] * repr + ["__eq__"] * eq
        if eq and frozen and (own.get("__hash__") is None and "__eq__" not in own):
            on_first_use.append("__hash__")
        added: dict[str, Any] = {
            name: _OnFirstUse(name, methods) for name in (*on_first_use, *_DESCRIPTIONS)
        }
        if frozen:
            added |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
            if slots:
                added |= {"__getstate__": _state, "__setstate__": _set_state}
        elif eq:
            added["__hash__"] = None
        added = {name: value for name, value in added.items() if own.get(name) is None}
        if slots:
            return methods.slotted(added, ("__weakref__",) * weakref_slot)
        return methods.with_defaults(added)

    return decorate


class _Methods:
    """The maker of the methods of one class.

    It keeps nothing that it changes: threads that make the same method at once make it twice.
    """

    __slots__ = ("cls", "fields", "options", "own")

    def __init__(self, cls: Any, own: dict[str, Any], options: dict[str, bool]) -> None:
        self.cls: Any = cls
        self.own = own
        """The attributes of the class as it was written."""
        self.options = options
        self.fields: dict[str, Any] = {}
        """By name, the default or the `Field`, of base classes first."""
        for base in cls.__mro__[-1:0:-1]:
            known = _attributes(base).get("__dataclass_fields__")
            if known is not None:
                self.fields |= known.methods.fields if isinstance(known, _OnFirstUse) else known
        for name, kind in own.get("__annotations__", {}).items():
            if not str(kind).startswith("ClassVar"):
                self.fields[name] = own.get(name, MISSING)
                if options["kw_only"]:
                    self.fields[name] = _by_name(self.fields[name])

    def slotted(self, added: dict[str, Any], more_slots: tuple[str, ...]) -> Any:
        """Return the class anew, with slots instead of a dictionary."""
        old = self.cls
        taken = {name for base in old.__mro__[1:-1] for name in _slots(base)}
        kept = {name: value for name, value in self.own.items() if name not in self.fields}
        slots = tuple(name for name in (*self.fields, *more_slots) if name not in taken)
        self.cls = type(old)(old.__name__, old.__bases__, {**kept, **added, "__slots__": slots})
        self.cls.__qualname__ = old.__qualname__
        return self.cls

    def with_defaults(self, added: dict[str, Any]) -> Any:
        """Return the class itself, with plain defaults instead of each `Field`."""
        for name, value in self.own.items():
            default = cast(Any, value).default if isinstance(value, Field) else value
            if default is MISSING:
                delattr(self.cls, name)
            elif default is not value:
                added[name] = default
        for name, value in added.items():
            setattr(self.cls, name, value)
        return self.cls

    def make(self, name: str) -> Any:
        """Put the real attribute in its place, and return it."""
        if name == "__init__":
            self.cls.__init__ = found = self._init()
            return found
        copy: Any = type(self.cls)(self.cls.__name__, self.cls.__bases__, dict(self.own))
        copy.__qualname__ = self.cls.__qualname__
        copy = dataclasses.dataclass(init=False, **self.options)(copy)
        for other, value in _attributes(self.cls).items():
            if isinstance(value, _OnFirstUse) and other != "__init__":
                setattr(self.cls, other, _attributes(copy)[other])
        return _attributes(self.cls)[name]

    def _init(self) -> Callable[..., None]:
        """Return `__init__`, compiled from its text."""
        names: dict[str, Any] = {"_ABSENT": _ABSENT, "_put": object.__setattr__}
        by_place, by_name, lines = ["self"], list[str](), list[str]()
        text = "_put(self, {0!r}, {1})" if self.options["frozen"] else "self.{0} = {1}"
        for name, default in self.fields.items():
            one = cast(Any, default if isinstance(default, Field) else field(default=default))
            asked, value = _argument(one, name, names)
            if one.init:
                (by_name if one.kw_only is True else by_place).append(asked)
            if one.init or value != name:
                lines.append(text.format(name, value))
        if hasattr(self.cls, "__post_init__"):
            lines.append("self.__post_init__()")
        asked = ", ".join([*by_place, *(["*", *by_name] if by_name else [])])
        exec(f"def __init__({asked}):\n " + "\n ".join(lines or ["pass"]), names)
        return self._with_names(names["__init__"])

    def _with_names(self, init: Any) -> Callable[..., None]:
        """Return `__init__` with the names and types that `help` shows."""
        init.__qualname__ = f"{self.cls.__qualname__}.__init__"
        init.__module__ = self.cls.__module__
        kinds = dict[str, Any]()
        for base in self.cls.__mro__[::-1]:
            kinds |= _attributes(base).get("__annotations__", {})
        asked = [name for name in init.__code__.co_varnames if name in kinds]
        init.__annotations__ = {**{name: kinds[name] for name in asked}, "return": None}
        return init


def _argument(one: Any, name: str, names: dict[str, Any]) -> tuple[str, str]:
    """Return the texts of an argument and of the value of its field; add their names to `names`."""
    if one.default_factory is not MISSING:
        names[f"_new_{name}"] = one.default_factory
        new = f"_new_{name}()"
        return f"{name}=_ABSENT", f"{new} if {name} is _ABSENT else {name}" if one.init else new
    if one.default is MISSING:
        return name, name
    names[f"_default_{name}"] = one.default
    return f"{name}=_default_{name}", name if one.init else f"_default_{name}"


def _by_name(default: Any) -> Any:
    """Return the `Field` of an argument that is given by name alone, unless it says otherwise."""
    one = cast(Any, default if isinstance(default, Field) else field(default=default))
    if one.kw_only is MISSING:
        one.kw_only = True
    return one


class _Absent:
    """The default of an argument for a field that a factory makes."""

    def __repr__(self) -> str:
        """Return the text that `dataclasses` shows."""
        return "<factory>"


_ABSENT = _Absent()


class _OnFirstUse:
    """The place of an attribute that is not made yet."""

    __slots__ = ("methods", "name")

    def __init__(self, name: str, methods: _Methods) -> None:
        self.name = name
        self.methods = methods

    def __get__(self, instance: object, owner: type[Any]) -> Any:
        """Return the attribute; a method of an instance is bound to it."""
        found = self.methods.make(self.name)
        return found.__get__(instance, owner) if callable(found) else found


def _attributes(cls: Any) -> dict[str, Any]:
    return {**cls.__dict__}


def _slots(cls: Any) -> Iterable[str]:
    """Return the names of the attributes for which instances of a class have room."""
    slots = _attributes(cls).get("__slots__")
    if slots is None:
        return [name for name in _OF_ONE_CLASS if hasattr(cls, name)]
    return (slots,) if isinstance(slots, str) else slots


def _is_frozen(record: Any, name: str) -> bool:
    """Whether an attribute may not change: all but those that a subclass adds."""
    cls = cast(Any, type(record))
    return "__dataclass_fields__" in _attributes(cls) or name in cls.__dataclass_fields__


def _refuse_to_set(self: Any, name: str, value: Any) -> None:
    if _is_frozen(self, name):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _refuse_to_delete(self: Any, name: str) -> None:
    if _is_frozen(self, name):
        raise FrozenInstanceError(f"cannot delete field {name!r}")
    object.__delattr__(self, name)


def _state(self: Any) -> list[Any]:
    return [getattr(self, one.name) for one in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for one, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, one.name, value)
