"""The state of the moments kernel: creation, merging, reading as exact integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np

from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.column import (
    ELEMENTS,
    ArrowChunk,
    CallRunner,
    ChunkRows,
    KernelRowCall,
    split_rows,
)
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
    N_STATE_WORDS,
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
    TABLE_SCRATCH,
    TABLE_STATE,
    TABLE_VALIDITY,
    TABLE_VALUE_BIT_OFFSET,
    TABLE_VALUES,
    entry_of,
)
from fastfeat_kernels.records import dataclass

Level = Literal[0, 1, 2]  # count, minimum and maximum; with the sum; with the sum of squares

NO_ROW: Final = 2**63 - 1
NO_MIN_KEY: Final = 2**63 - 1
NO_MAX_KEY: Final = -(2**63)


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of the rows seen so far, in exact integers; equal for any split of them.

    Args:
        n_rows: Number of rows, with or without a value.
        count: Number of rows with a value, infinities included.
        n_positive_infinite: Number of +inf values.
        n_negative_infinite: Number of -inf values.
        first_infinite: Number of the first row with an infinity; `NO_ROW` if there is none.
        min_key: `column.key_of` the minimum; `NO_MIN_KEY` without values.
        max_key: `column.key_of` the maximum; `NO_MAX_KEY` without values.
        sum: Sum of the finite values, in units of 2**-scale.
        sum_of_squares: Sum of squares of the finite values, in units of 2**(-2 * scale).
        scale: `layout.FLOAT_SCALE` for floats, 0 for integers and bools.
    """

    n_rows: int
    count: int
    n_positive_infinite: int
    n_negative_infinite: int
    first_infinite: int
    min_key: int
    max_key: int
    sum: int
    sum_of_squares: int
    scale: int


def scale_of(element: str) -> int:
    """Return the scale of the sums of a type of column."""
    return FLOAT_SCALE if element.startswith("float") else 0


def no_moments(element: str) -> Moments:
    """Return the moments of no rows: the neutral element of `merge`."""
    return Moments(0, 0, 0, 0, NO_ROW, NO_MIN_KEY, NO_MAX_KEY, 0, 0, scale_of(element))


def moments_of_count(element: str, n_rows: int, count: int) -> Moments:
    """Return moments with only the numbers of rows and of values."""
    return replace(no_moments(element), n_rows=n_rows, count=count)


def merge(a: Moments, b: Moments) -> Moments:
    """Return the moments of the rows of both.

    >>> merge(no_moments("int8"), no_moments("int8")) == no_moments("int8")
    True
    """
    if a.scale != b.scale:
        raise ValueError("cannot merge moments of floats with moments of integers")
    return Moments(
        a.n_rows + b.n_rows,
        a.count + b.count,
        a.n_positive_infinite + b.n_positive_infinite,
        a.n_negative_infinite + b.n_negative_infinite,
        min(a.first_infinite, b.first_infinite),
        min(a.min_key, b.min_key),
        max(a.max_key, b.max_key),
        a.sum + b.sum,
        a.sum_of_squares + b.sum_of_squares,
        a.scale,
    )


def new_state() -> Int64Array:
    """Return the state of no rows, with scratch memory of the kernel: 26 kB, one per thread."""
    words = np.empty(N_STATE_WORDS, np.int64)
    begin(words)
    return words


def begin(words: Int64Array) -> None:
    """Initialise states of no rows; the last axis has the words of one."""
    words[..., :SCRATCH] = 0
    words[..., FIRST_INFINITE] = NO_ROW
    words[..., MIN_KEY], words[..., MAX_KEY] = NO_MIN_KEY, NO_MAX_KEY


def make_table(
    element: str, chunk: ArrowChunk, state: Int64Array, level: Level, first_row: int
) -> Int64Array:
    """Return the table of an entry; state and chunk must outlive it."""
    table = np.zeros(N_TABLE_WORDS, np.int64)
    table[TABLE_VALUES] = chunk.values
    table[TABLE_VALUE_BIT_OFFSET] = chunk.value_bit_offset
    table[TABLE_VALIDITY] = chunk.validity
    table[TABLE_BIT_OFFSET] = chunk.bit_offset
    table[TABLE_STATE] = state.ctypes.data
    table[TABLE_LEVEL] = level
    table[TABLE_FIRST_ROW] = first_row
    table[TABLE_ELEMENT] = ELEMENTS.index(element)
    table[TABLE_SCRATCH] = state.ctypes.data + 8 * SCRATCH
    table[TABLE_N_COLUMNS] = 1
    return table


def read_state(element: str, state: Int64Array, level: Level) -> Moments:
    """Return the moments of a state, at the level of its tables."""
    total = integer_of(state, SUM, N_SUM_LIMBS)
    return moments_of(element, state, total, integer_of(state, SQUARES, N_SQUARE_LIMBS), level)


def moments_of(element: str, state: Int64Array, total: int, squares: int, level: Level) -> Moments:
    """Return the moments of a state from its sums; for uint64 the kernel saw x - 2**63."""
    count = int(state[COUNT])
    if element == "uint64":
        squares += (total << 64) + (count << 126) if level > 1 else 0
        total += count << 63 if level > 0 else 0
    return Moments(
        int(state[N_ROWS]),
        count,
        int(state[N_POSITIVE_INFINITE]),
        int(state[N_NEGATIVE_INFINITE]),
        int(state[FIRST_INFINITE]),
        int(state[MIN_KEY]),
        int(state[MAX_KEY]),
        total,
        squares,
        scale_of(element),
    )


def summarize(
    element: str, chunks: Sequence[ArrowChunk], level: Level, run: CallRunner, n_parts: int = 1
) -> Moments:
    """Return the moments of a column."""
    parts = split_rows(chunks, n_parts)
    states = [new_state() for _ in parts]
    calls = [
        [_call(element, rows, state, level) for rows in part]
        for part, state in zip(parts, states, strict=True)
    ]
    run(entry_of(element), calls)
    moments = no_moments(element)
    for state in states:
        moments = merge(moments, read_state(element, state, level))
    return moments


def _call(
    element: str, rows: ChunkRows[ArrowChunk], state: Int64Array, level: Level
) -> KernelRowCall:
    table = make_table(element, rows.chunk, state, level, rows.chunk_start)
    return KernelRowCall(table, rows.first, rows.n, (rows.chunk, state))


def integer_of(state: Int64Array, first: int, n_limbs: int) -> int:
    """Return the integer from 32-bit limbs: carried, the last one with the sign."""
    limbs = state[first : first + n_limbs].astype("<u4")
    return int.from_bytes(limbs.tobytes(), "little", signed=True)
