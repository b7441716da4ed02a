"""A row of the table of statistics of windows: what stands in it, and what its definition sees."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, NamedTuple, get_args

from fastfeat_kernels.column import key_of
from fastfeat_kernels.windows.requests import Wanted
from fastfeat_kernels.words import Interpolation, RankMethod

Value = float | int | bool | None
Gives = Literal["count", "whole", "number", "same", "sum"]
"""The type of a result: a number of rows that is always there, another int64, a float64, the type
of the column, or that of a sum of it: float64 of floats, else int64."""

INTERPOLATIONS: Final[tuple[str, ...]] = get_args(Interpolation)
RANK_METHODS: Final[tuple[str, ...]] = get_args(RankMethod)
Entry = Literal["compute", "compute_ordered", "compute_any"]


@dataclass(frozen=True, slots=True)
class Family:
    """Statistics that one loop computes.

    Args:
        number: by which an output says which loop writes it.
        entry: the smallest entry that has the loop; one with fewer of them compiles in less time.
        memory: how many bytes it keeps, from the rows of a batch; None of one that keeps nothing.
        is_carried: whether what is known of all rows before a place says all of them there.
        on_device: whether a device has a kernel for them.
    """

    number: int
    entry: Entry
    memory: Callable[[int], int] | None = None
    is_carried: bool = False
    on_device: bool = False


class WindowView(NamedTuple):
    """The rows in the window of a row, as a statistic sees them.

    Args:
        values: of the rows in it, in order; None, or NaN, where missing.
        times: of the same rows, in ticks.
        time: that of the row itself.
        own: the value of the row itself, which is in the window or not.
        place: the place of the row itself in the window; None where it is not in it.
    """

    values: Sequence[Value]
    times: Sequence[int]
    time: int
    own: Value
    place: int | None

    @property
    def known(self) -> list[float]:
        """The values that are there, in order."""
        return [x for x in self.values if x is not None and x == x]

    def keys(self, element: str) -> list[int]:
        """Return the keys of the values that are there, the least first."""
        return sorted(key_of(element, x) for x in self.known)


def _no_words(wanted: Wanted) -> Mapping[int, int]:
    return {}


@dataclass(frozen=True, slots=True)
class Statistic:
    """A statistic.

    Args:
        name: by which it is asked for.
        number: by which loops of several tell it apart.
        family: the loop that computes it.
        gives: the type of its result.
        definition: the value, of what a row sees, by a request and the type of the column; None is
            missing.
        reads: words of the column that it needs, whose memory the program takes; none where it
            reads values in order alone.
        is_zero_of_none: whether it is 0 where a window has no value, not missing.
        words: what of a request words of its output are.
        of_integers: whether its column must be of integers that int64 holds.
        interpolations: those that it has.
        of_all_past: whether its window must hold all rows before its end.
        reads_own: whether it reads the value of the row that asks, in the window or not.
        picks: whether it is the value of one of the latest rows alone: of the n-th, or of the
            latest that has one.
        reads_values: whether it reads a column.
    """

    name: str
    number: int
    family: Family
    gives: Gives
    definition: Callable[[Wanted, str, WindowView], Value]
    reads: tuple[int, ...] = ()
    is_zero_of_none: bool = False
    words: Callable[[Wanted], Mapping[int, int]] = _no_words
    of_integers: bool = False
    interpolations: tuple[str, ...] = INTERPOLATIONS
    of_all_past: bool = False
    reads_own: bool = False
    picks: Literal["n-th", "latest"] | None = None
    reads_values: bool = True

    @property
    def flags_itself(self) -> bool:
        """Whether its loop says what is there: of values of rows, which may be missing."""
        return self.picks == "n-th"


def float_of(exact: Fraction) -> float:
    """Return the nearest float, infinite beyond the largest."""
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
