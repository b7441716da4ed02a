"""Parameters of functions, as records: all that is said of one, from which everything else derives.

What operators refuse, what a plan that is read from a text may hold, how a call is printed, the
table in the docs and the JSON schema of plans come from these records; which function has which
parameters stands in its row. The records are named tuples, whose classes are made in an eighth of
the time that a dataclass takes: they are made whenever the library is imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, assert_never, cast

from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Call, Params


class Whole(NamedTuple):
    """Whole numbers from `least` to `most`, both of them allowed; None for any."""

    least: int | None = None
    most: int | None = None


class Real(NamedTuple):
    """Floats from `least` to `most`; NaN is none.

    Args:
        least: the smallest that is allowed.
        most: the largest.
        above: whether `least` itself is not allowed.
        below: whether `most` itself is not allowed.
        other_than: one within the bounds that is not allowed.
        or_whole: whether a whole number may stand in its place.
    """

    least: float = -math.inf
    most: float = math.inf
    above: bool = False
    below: bool = False
    other_than: float | None = None
    or_whole: bool = False


class Words(NamedTuple):
    """One of some texts."""

    words: tuple[str, ...]


class Flag(NamedTuple):
    """True or False, or the one of them that is allowed."""

    values: tuple[bool, ...] = (True, False)


class Text(NamedTuple):
    """A text."""

    may_be_empty: bool = True


class TypeName(NamedTuple):
    """A type of values, such as int64."""


class Constant(NamedTuple):
    """A number, bool, text, date or time that a user wrote down; None, or NaN, if it may miss."""

    may_miss: bool = False


class Several(NamedTuple):
    """A tuple of values of one type.

    Args:
        of: the type of each.
        least: how many there are at least.
        most: how many at most; None for any number.
        rising: whether each is above the one before.
    """

    of: Type
    least: int = 0
    most: int | None = None
    rising: bool = False


class Pair(NamedTuple):
    """A tuple of two values, each of its own type."""

    first: Type
    second: Type


class Either(NamedTuple):
    """A value of one of some types."""

    types: tuple[Type, ...]


Type = Whole | Real | Words | Flag | Text | TypeName | Constant | Several | Pair | Either

LITERAL = Either((Constant(may_miss=True), Several(Constant())))
"""What stands in a plan as a literal: a constant, which may miss, or a table of some."""


class Required:
    """The default of a parameter that has none."""

    def __repr__(self) -> str:
        """Return the dots that stand in a signature."""
        return "..."


REQUIRED = Required()


class Parameter(NamedTuple):
    """One parameter of a function.

    Args:
        name: in a plan.
        type: of its values.
        about: a sentence without its end, for the docs.
        default: what a user who leaves it out gets.
        or_none: whether it may be None.
        may_lack: whether a call may lack it.
        hidden: whether it is not printed where it has its default.
        written_as: the name that users write, where it is another than that in a plan; empty
            where it is the same. None of a parameter that users do not write.
    """

    name: str
    type: Type
    about: str = ""
    default: Any = REQUIRED
    or_none: bool = False
    may_lack: bool = False
    hidden: bool = False
    written_as: str | None = ""

    @property
    def takes_none(self) -> bool:
        """Whether a user may give None: it stands in a plan, or the call lacks the parameter."""
        return self.or_none or (self.may_lack and self.default is None)


Belongs = Callable[[Call], bool]
"""Whether the arguments of a call, whose parameters are valid, belong together as an operator gives
them: kernels read tables by codes that they do not check. May raise an InvalidPlan that says more.
"""


def always(call: Call) -> bool:
    """Return True: any arguments belong together."""
    return True


def never(call: Call) -> bool:
    """Return False: no plan is written with the call, which a plan is built of."""
    return False


Parameters = tuple[Parameter, ...]
"""The parameters of a function: one that is not there is none of it."""


UNIT = Words(("time", "steps"))
"""The unit of windows and delays: nanoseconds, or steps of whole-number times."""
MISSING_PARTS = Words(("key", "value"))
"""A missing part of a key: the whole key is missing, or the part is a value, as in a cross."""
Closed = Literal["left", "right", "both", "neither"]
"""The ends that belong to a window."""
FARTHEST = 1 << 62
FARTHEST_ELEMENT = 2**31 - 1
LONGEST = (1 << 63) - 1
"""The longest reach of windows and delays, in nanoseconds or steps."""
MAX_MEMORY = 1 << 32
"""Bytes that the keys of one encoder, or text that grows, may take, unless the user says so."""


def are_valid(parameters: Parameters, given: Params) -> bool:
    """Return whether a call has the parameters of its function, each with such a value.

    Args:
        parameters: those of the function.
        given: those of the call.

    Example:
        >>> least = (Parameter("n", Whole(0, 9)),)
        >>> are_valid(least, (("n", 3),)), are_valid(least, (("n", 10),)), are_valid(least, ())
        (True, False, False)
    """
    values, n_found = dict(given), 0
    for parameter in parameters:
        if parameter.name in values:
            n_found += 1
            if not is_valid(parameter, values[parameter.name]):
                return False
        elif not parameter.may_lack:
            return False
    return n_found == len(values)


def is_valid(parameter: Parameter, value: Any) -> bool:
    """Return whether a parameter may have a value."""
    return parameter.or_none if value is None else is_of_type(parameter.type, value)


def is_of_type(kind: Type, value: Any) -> bool:
    """Return whether a value is of a type, and within its bounds."""
    match kind:
        case Whole():
            return type(value) is int and _is_within(kind, value)
        case Real():
            if type(value) is not float and not (kind.or_whole and type(value) is int):
                return False
            return _is_within_ends(kind, value) and value != kind.other_than
        case Words(words):
            return isinstance(value, str) and value in words
        case Flag(values):
            return type(value) is bool and value in values
        case Text(may_be_empty):
            return isinstance(value, str) and (may_be_empty or value != "")
        case TypeName():
            return isinstance(value, DType)
        case Constant(may_miss):
            is_one = not isinstance(value, (tuple, DType))
            return is_one and (may_miss or (value is not None and value == value))
        case Several(of, least, most):
            if not isinstance(value, tuple):
                return False
            values = cast("tuple[Any, ...]", value)
            n_fits = least <= len(values) and (most is None or len(values) <= most)
            return n_fits and all(is_of_type(of, one) for one in values)
        case Pair(first, second):
            match value:
                case (one, other):
                    return is_of_type(first, one) and is_of_type(second, other)
                case _:
                    return False
        case Either(types):
            return any(is_of_type(one, value) for one in types)
        case _:
            assert_never(kind)


def _is_within(kind: Whole, value: int) -> bool:
    return (kind.least is None or kind.least <= value) and (kind.most is None or value <= kind.most)


def _is_within_ends(kind: Real, value: float) -> bool:
    is_above = kind.least < value if kind.above else kind.least <= value
    return is_above and (value < kind.most if kind.below else value <= kind.most)
