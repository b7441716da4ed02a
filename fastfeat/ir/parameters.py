"""Records that describe the parameters of functions: the single source of all facts about them.

The checks in operators and in loaded plans, the printing of calls, the table in the docs and the
JSON schema of plans all derive from these records. The parameters of a function are listed in the
function's registry entry. The records are named tuples, because their classes are created at
import, in an eighth of the time of a dataclass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, assert_never, cast

from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Call, Params

ParameterValues = Mapping[str, Any]
"""Values of parameters by name."""


class Whole(NamedTuple):
    """Whole numbers from `least` to `most`, both inclusive; None for no bound."""

    least: int | None = None
    most: int | None = None


class Real(NamedTuple):
    """Floats from `least` to `most`, without NaN.

    Args:
        least: Lower bound.
        most: Upper bound.
        above: Whether the lower bound is exclusive.
        below: Whether the upper bound is exclusive.
        other_than: A value within the bounds that is not allowed.
        or_whole: Whether an int is accepted too.
    """

    least: float = -math.inf
    most: float = math.inf
    above: bool = False
    below: bool = False
    other_than: float | None = None
    or_whole: bool = False


class TextChoice(NamedTuple):
    """One of several texts."""

    words: tuple[str, ...]


class BoolChoice(NamedTuple):
    """True or False, or only one of them."""

    values: tuple[bool, ...] = (True, False)


class FreeText(NamedTuple):
    """A text."""

    may_be_empty: bool = True


class TypeName(NamedTuple):
    """A type of values, such as int64."""


class ConstantValue(NamedTuple):
    """A literal number, bool, text, date or time; with `may_be_missing` also None or NaN."""

    may_be_missing: bool = False


class Several(NamedTuple):
    """A tuple of values of one type.

    Args:
        of: Type of each value.
        least: Minimum length.
        most: Maximum length; None for no limit.
        rising: Whether each value must be above the one before.
    """

    of: ParameterType
    least: int = 0
    most: int | None = None
    rising: bool = False


class ValuePair(NamedTuple):
    """A tuple of two values, each of its own type."""

    first: ParameterType
    second: ParameterType


class Either(NamedTuple):
    """A value of one of several types."""

    types: tuple[ParameterType, ...]


ParameterType = (
    Whole
    | Real
    | TextChoice
    | BoolChoice
    | FreeText
    | TypeName
    | ConstantValue
    | Several
    | ValuePair
    | Either
)

LITERAL = Either((ConstantValue(may_be_missing=True), Several(ConstantValue())))
"""A literal in a plan: a constant, possibly missing, or a tuple of constants."""


class Required:
    """Marks, in `Parameter.default`, a parameter that a call must give."""

    def __repr__(self) -> str:
        """Return "...", as signatures show it."""
        return "..."


REQUIRED = Required()


class Parameter(NamedTuple):
    """One parameter of a function.

    Args:
        name: Name in a plan.
        type: Type of its values.
        about: Description for the docs, a sentence without its period.
        default: Default value.
        or_none: Whether its value in a plan may be None.
        is_optional: Whether a call in a plan may omit it.
        hidden: Whether printed calls omit it if it has its default.
        user_name: Name that users write; empty if it is the same as in a plan. None if only
            operators set the parameter, never users.
    """

    name: str
    type: ParameterType
    about: str = ""
    default: Any = REQUIRED
    or_none: bool = False
    is_optional: bool = False
    hidden: bool = False
    user_name: str | None = ""

    @property
    def takes_none(self) -> bool:
        """Whether a user may pass None; the plan then stores None or omits the parameter."""
        return self.or_none or (self.is_optional and self.default is None)


Belongs = Callable[[Call], bool]
"""Whether the arguments of a call with valid parameters fit together as operators build them.

The check matters because kernels index tables by codes, without checking the codes. The function
may raise an InvalidPlan that says more.
"""


def always(call: Call) -> bool:
    """Return True, as `belongs` of functions that take any combination of arguments."""
    return True


def never(call: Call) -> bool:
    """Return False: `belongs` of functions that no saved plan contains.

    Their calls are added while a plan is built.
    """
    return False


Parameters = tuple[Parameter, ...]
"""The parameters of a function; a call must not have any other."""


UNIT = TextChoice(("time", "steps"))
"""The unit of windows and delays: nanoseconds, or steps of whole-number times."""
MISSING_PARTS = TextChoice(("key", "value"))
"""Meaning of a missing key part: the whole key is missing, or the part is a value (a cross)."""
WindowEnds = Literal["left", "right", "both", "neither"]
"""The ends that a window includes."""
FARTHEST = 1 << 62
FARTHEST_ELEMENT = 2**31 - 1
LONGEST = (1 << 63) - 1
"""The longest reach of windows and delays, in nanoseconds or steps."""
MAX_MEMORY = 1 << 32
"""Default limit, in bytes, for the keys of one encoder, or for text that grows."""


def are_valid(parameters: Parameters, given: Params) -> bool:
    """Return whether a call has exactly the parameters of its function, with valid values.

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
        elif not parameter.is_optional:
            return False
    return n_found == len(values)


def is_valid(parameter: Parameter, value: Any) -> bool:
    """Return whether a value is allowed for a parameter."""
    return parameter.or_none if value is None else is_of_type(parameter.type, value)


def is_of_type(kind: ParameterType, value: Any) -> bool:
    """Return whether a value is of a parameter type (such as `Whole`), and within its bounds."""
    match kind:
        case Whole():
            return type(value) is int and _is_within(kind, value)
        case Real():
            if type(value) is not float and not (kind.or_whole and type(value) is int):
                return False
            return _is_within_ends(kind, value) and value != kind.other_than
        case TextChoice(words):
            return isinstance(value, str) and value in words
        case BoolChoice(values):
            return type(value) is bool and value in values
        case FreeText(may_be_empty):
            return isinstance(value, str) and (may_be_empty or value != "")
        case TypeName():
            return isinstance(value, DType)
        case ConstantValue(may_miss):
            is_one = not isinstance(value, (tuple, DType))
            return is_one and (may_miss or (value is not None and value == value))
        case Several(of, least, most):
            if not isinstance(value, tuple):
                return False
            values = cast("tuple[Any, ...]", value)
            n_fits = least <= len(values) and (most is None or len(values) <= most)
            return n_fits and all(is_of_type(of, one) for one in values)
        case ValuePair(first, second):
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
