"""Reference of the moments kernel: plain Python, same arguments, same table, same state."""

from __future__ import annotations

import math

from fastfeat_kernels.column import ELEMENTS, key_of
from fastfeat_kernels.memory import value_at, words_at
from fastfeat_kernels.moments import (
    COUNT,
    FIRST_INFINITE,
    FLOAT_SCALE,
    MAX_KEY,
    MIN_KEY,
    N_NEGATIVE_INFINITE,
    N_POSITIVE_INFINITE,
    N_ROWS,
    N_SQUARE_LIMBS,
    N_SUM_LIMBS,
    N_TABLE_WORDS,
    SCRATCH,
    SQUARES,
    SUM,
    TABLE_BIT_OFFSET,
    TABLE_ELEMENT,
    TABLE_FIRST_ROW,
    TABLE_LEVEL,
    TABLE_N_COLUMNS,
    TABLE_STATE,
    TABLE_VALIDITY,
    TABLE_VALUE_BIT_OFFSET,
    TABLE_VALUES,
    entry_of,
)


def add_rows(table: int, first: int, n: int) -> int:
    """Add rows [first, first + n) of each table's chunk to its state."""
    for k in range(words_at(table, N_TABLE_WORDS)[TABLE_N_COLUMNS]):
        _add_rows(table + 8 * N_TABLE_WORDS * k, first, n)
    return 0


def _add_rows(table: int, first: int, n: int) -> None:
    words = words_at(table, N_TABLE_WORDS)
    place: int = words[TABLE_ELEMENT]
    element = ELEMENTS[place]
    state = words_at(words[TABLE_STATE], SCRATCH)
    state[N_ROWS] += n
    for row in range(first, first + n):
        value = value_at(
            element,
            words[TABLE_VALUES],
            words[TABLE_VALUE_BIT_OFFSET],
            words[TABLE_VALIDITY],
            words[TABLE_BIT_OFFSET],
            row,
        )
        if value is not None:
            add_value(element, value, state, words[TABLE_LEVEL], words[TABLE_FIRST_ROW] + row)


def add_value(element: str, value: float, state: list[int], level: int, row: int) -> None:
    """Add a present value to a state."""
    key = key_of(element, value)
    state[COUNT] += 1
    state[MIN_KEY], state[MAX_KEY] = min(state[MIN_KEY], key), max(state[MAX_KEY], key)
    if isinstance(value, float) and math.isinf(value):
        state[N_POSITIVE_INFINITE if value > 0 else N_NEGATIVE_INFINITE] += 1
        state[FIRST_INFINITE] = min(state[FIRST_INFINITE], row)
        return
    exact = _scaled(value) if isinstance(value, float) else key
    if level > 0:
        _add_integer(state, SUM, N_SUM_LIMBS, exact)
    if level > 1:
        _add_integer(state, SQUARES, N_SQUARE_LIMBS, exact * exact)


def _scaled(value: float) -> int:
    """Return a finite float in units of 2**-FLOAT_SCALE, exactly."""
    numerator, denominator = value.as_integer_ratio()
    return (numerator << FLOAT_SCALE) // denominator


def _add_integer(state: list[int], first: int, n_limbs: int, value: int) -> None:
    total = value + sum(state[first + i] << (32 * i) for i in range(n_limbs))
    for i in range(n_limbs - 1):
        state[first + i] = total & 0xFFFFFFFF
        total >>= 32
    state[first + n_limbs - 1] = total


ENTRIES = {entry_of(element): add_rows for element in ELEMENTS}
