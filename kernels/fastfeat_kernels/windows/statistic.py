"""Types of the table of window statistics: a row, and the view that its definition receives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Final, Literal, NamedTuple, get_args

from fastfeat_kernels.column import key_of
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.windows.requests import WantedStatistic
from fastfeat_kernels.words import Interpolation, RankMethod

WindowValue = float | int | bool | None
Gives = Literal["count", "whole", "number", "same", "sum"]
"""The type of a result: "count" is a number of rows and always present, "whole" another int64,
"number" a float64, "same" the column's type, and "sum" the type of a sum of the column: float64 for
floats, else int64.
"""

INTERPOLATIONS: Final[tuple[str, ...]] = get_args(Interpolation)
RANK_METHODS: Final[tuple[str, ...]] = get_args(RankMethod)
WindowEntry = Literal["compute", "compute_ordered", "compute_any"]


@dataclass(frozen=True, slots=True)
class Family:
    """Statistics that one loop computes.

    Args:
        number: Number by which an output selects its loop.
        entry: Smallest entry with the loop; an entry with fewer loops compiles in less time.
        memory: Bytes of its memory as a function of the rows of a batch; None if it keeps none.
        is_carried: Whether a summary of all rows before a place is enough.
        on_device: Whether a device has a kernel for them.
    """

    number: int
    entry: WindowEntry
    memory: Callable[[int], int] | None = None
    is_carried: bool = False
    on_device: bool = False


class WindowView(NamedTuple):
    """The rows in the window of a row, for a statistic's definition.

    Args:
        values: Values in the window, in order; None or NaN for missing.
        times: Times of the same rows, in ticks.
        time: Time of the row itself.
        own: Value of the row itself, in the window or not.
        place: Place of the row itself in the window; None if it is not in it.
    """

    values: Sequence[WindowValue]
    times: Sequence[int]
    time: int
    own: WindowValue
    place: int | None

    @property
    def known(self) -> list[float]:
        """The values that are present, in order."""
        return [x for x in self.values if x is not None and x == x]

    def keys(self, element: str) -> list[int]:
        """Return the keys of the values that are present, in ascending order."""
        return sorted(key_of(element, x) for x in self.known)


def _no_words(wanted: WantedStatistic) -> Mapping[int, int]:
    return {}


@dataclass(frozen=True, slots=True)
class WindowStatistic:
    """A statistic.

    Args:
        name: Name in requests.
        number: Number that distinguishes it in a loop for several statistics.
        family: The loop that computes it.
        gives: Type of its result.
        definition: Function from a request, the column's type and a view to the value; None is
            missing.
        reads: Column words that it needs in memory; empty if it only reads values in order.
        is_zero_of_none: Whether a window without values gives 0 instead of missing.
        words: Function from a request to words of its output.
        of_integers: Whether its column must be of integers that fit int64.
        interpolations: Interpolations that it supports.
        of_all_past: Whether its window must hold all rows before its end.
        reads_own: Whether it reads the value of the asking row, in the window or not.
        picks: Whether it is the value of one of the latest rows: of the n-th, or of the latest with
            a value.
        reads_values: Whether it reads a column.
    """

    name: str
    number: int
    family: Family
    gives: Gives
    definition: Callable[[WantedStatistic, str, WindowView], WindowValue]
    reads: tuple[int, ...] = ()
    is_zero_of_none: bool = False
    words: Callable[[WantedStatistic], Mapping[int, int]] = _no_words
    of_integers: bool = False
    interpolations: tuple[str, ...] = INTERPOLATIONS
    of_all_past: bool = False
    reads_own: bool = False
    picks: Literal["n-th", "latest"] | None = None
    reads_values: bool = True

    @property
    def flags_itself(self) -> bool:
        """Whether its loop marks present results, because values of rows may be missing."""
        return self.picks == "n-th"


def float_of(exact: Fraction) -> float:
    """Return the nearest float; infinite beyond the largest."""
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def to_53_bits(exact: Fraction) -> Fraction:
    """Return the nearest number of 53 bits, however large or small."""
    if exact == 0:
        return exact
    unit = Fraction(2) ** (exact.numerator.bit_length() - exact.denominator.bit_length())
    return Fraction(float(exact / unit)) * unit


def root_of(exact: Fraction) -> float:
    """Return the square root of a number of 53 bits, rounded to as many, then to a float."""
    if exact == 0:
        return 0.0
    size = (exact.numerator.bit_length() - exact.denominator.bit_length()) // 2
    root = math.sqrt(exact / Fraction(4) ** size)
    return float_of(Fraction(root) * Fraction(2) ** size)
