"""Shapes by their definition, with fractions; and the entries in plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial

from fastfeat_kernels import powers as layout
from fastfeat_kernels.column import ELEMENTS, value_of_key
from fastfeat_kernels.memory import doubles_at, value_at, words_at


def skew_of(values: Sequence[float], bias: bool) -> float | None:
    """Return the skewness of values; None if the spec says missing, NaN for infinities.

    `values` are the present ones. `bias` gives the skewness of the values, not of a population that
    they are a sample of.
    """
    n = len(values)
    if any(map(math.isinf, values)):
        return math.nan
    if n < (1 if bias else 3):
        return None
    spread = to_53_bits(_central(values, 2))
    if spread == 0:
        return None
    top, bottom = to_53_bits(_central(values, 3)), to_53_bits(spread * _root_of(spread))
    if not bias:
        top = to_53_bits(top * Fraction(math.sqrt(float(n * (n - 1)))))
        bottom = to_53_bits(bottom * (n - 2))
    return float_of(top / bottom)


def kurtosis_of(values: Sequence[float], bias: bool, fisher: bool) -> float | None:
    """Return the kurtosis of values; None if the spec says missing, NaN for infinities.

    `values` are the present ones. `bias` gives the kurtosis of the values, not of a population that
    they are a sample of. With `fisher` a normal distribution has 0, not 3.
    """
    n = len(values)
    if any(map(math.isinf, values)):
        return math.nan
    if n < (1 if bias else 4):
        return None
    square = _central(values, 2) ** 2
    if square == 0:
        return None
    top, bottom = _central(values, 4), to_53_bits(square)
    if bias:
        top -= 3 * square * fisher
    else:
        top = (n**2 - 1) * top - 3 * ((n - 1) ** 2 if fisher else 3 * n - 5) * square
        bottom = to_53_bits(bottom * Fraction(float((n - 2) * (n - 3))))
    return float_of(to_53_bits(top) / bottom)


def _central(values: Sequence[float], power: int) -> Fraction:
    """Return an exact central moment, times the number of values to the same power."""
    n = len(values)
    mean = sum(map(Fraction, values), Fraction(0)) / n
    total = sum(((Fraction(value) - mean) ** power for value in values), Fraction(0))
    return total * n ** (power - 1)


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


def _root_of(exact: Fraction) -> Fraction:
    """Return the square root of a number of 53 bits, rounded to as many."""
    size = (exact.numerator.bit_length() - exact.denominator.bit_length()) // 2
    return Fraction(math.sqrt(exact / Fraction(4) ** size)) * Fraction(2) ** size


def add_rows(table: int, first: int, n: int) -> int:
    """Add rows [first, first + n) of the chunk in the table to its state."""
    words = words_at(table, layout.N_TABLE_WORDS)
    place: int = words[layout.TABLE_ELEMENT]
    element = ELEMENTS[place]
    state = words_at(words[layout.TABLE_STATE], layout.SCRATCH)
    for row in range(first, first + n):
        value = value_at(
            element,
            words[layout.TABLE_VALUES],
            words[layout.TABLE_VALUE_BIT_OFFSET],
            words[layout.TABLE_VALIDITY],
            words[layout.TABLE_BIT_OFFSET],
            row,
        )
        if value is None:
            continue
        state[layout.COUNT] += 1
        if math.isinf(value):
            state[layout.N_INFINITE] += 1
            continue
        exact = int(Fraction(value) * (1 << 1074 if element.startswith("float") else 1))
        for power, (start, n_limbs) in enumerate(
            zip(layout.SUMS, layout.N_LIMBS, strict=True), start=1
        ):
            _add_integer(state, layout.STATE_SUMS + start, n_limbs, exact**power)
    return 0


def _add_integer(state: list[int], first: int, n_limbs: int, value: int) -> None:
    total = value + sum(state[first + i] << (32 * i) for i in range(n_limbs))
    for i in range(n_limbs - 1):
        state[first + i] = total & 0xFFFFFFFF
        total >>= 32
    state[first + n_limbs - 1] = total


def find_shapes(table: int, first: int, n: int) -> int:
    """Write the shape of each of n groups, from keys by group."""
    words = words_at(table, layout.N_TABLE_WORDS)
    place: int = words[layout.TABLE_ELEMENT]
    element, bias = ELEMENTS[place], bool(words[layout.TABLE_OPTIONS] & layout.IS_BIASED)
    fisher = bool(words[layout.TABLE_OPTIONS] & layout.IS_EXCESS)
    shape: Callable[[Sequence[float]], float | None] = partial(skew_of, bias=bias)
    if words[layout.TABLE_SHAPE] == layout.KURTOSIS:
        shape = partial(kurtosis_of, bias=bias, fisher=fisher)
    starts = words_at(words[layout.TABLE_STARTS], first + n)
    counts = words_at(words[layout.TABLE_COUNTS], first + n)
    out = doubles_at(words[layout.TABLE_OUT], first + n)
    for group in range(first, first + n):
        start, count = starts[group], counts[group]
        keys = words_at(words[layout.TABLE_KEYS], start + count)[start : start + count]
        found = shape([value_of_key(element, key) for key in keys])
        out[group] = math.nan if found is None else found
    return 0


ENTRIES = {"rows": add_rows, "groups": find_shapes}
