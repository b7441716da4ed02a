"""Reference of the grouped kernel: plain Python with the same arguments, table and state."""

from __future__ import annotations

import ctypes
import math
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction

from fastfeat_kernels.column import BLOCK, ELEMENTS, key_of
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.layout import (
    COUNT,
    FIRST_CALL,
    LIMB_BITS,
    LINE_WORDS,
    LOOK_EVERY,
    N_EXPONENTS,
    N_INFINITE,
    N_LEFT,
    N_MISSING,
    N_SQUARE_LIMBS,
    N_STATE_WORDS,
    N_SUM_LIMBS,
    N_TABLE_WORDS,
    N_WIDE_WORDS,
    NO_MAX_KEY,
    NO_MIN_KEY,
    SQUARE_ROOM,
    SQUARES,
    SUM,
    SUM_ROOM,
    TABLE_BIT_OFFSET,
    TABLE_COUNTS,
    TABLE_CURSORS,
    TABLE_ELEMENT,
    TABLE_EXPONENT,
    TABLE_EXPONENTS,
    TABLE_EXTREMES,
    TABLE_FIRST_GROUP,
    TABLE_GROUPS,
    TABLE_HEADROOM,
    TABLE_KEYS,
    TABLE_LEFT_GROUPS,
    TABLE_LEFT_VALUES,
    TABLE_LEVEL,
    TABLE_LINES,
    TABLE_MARKED,
    TABLE_MISSING,
    TABLE_MODES,
    TABLE_N_COLUMNS,
    TABLE_N_GROUPS,
    TABLE_N_UNIQUE,
    TABLE_N_WANTED,
    TABLE_NEGATIVE_INFINITE,
    TABLE_OUT,
    TABLE_POSITIVE_INFINITE,
    TABLE_SHIFT,
    TABLE_SOURCES,
    TABLE_STAGE,
    TABLE_STARTS,
    TABLE_STATE,
    TABLE_STRIDE,
    TABLE_VALIDITY,
    TABLE_VALUE_BIT_OFFSET,
    TABLE_VALUES,
    TABLE_WANTED,
    units_of,
)
from fastfeat_kernels.memory import value_at, words_at
from fastfeat_kernels.moments.exact import deviation_of, mean_of, sum_of, variance_of
from fastfeat_kernels.moments.reference import add_value as add_moments
from fastfeat_kernels.moments.state import Moments

GroupedValue = float | int | bool
SCALE = 1300  # bits below the point: no unit is lower


def add_rows(table: int, first: int, n: int) -> int:
    """Add rows [first, first + n) of the chunk in the table to the lines of their groups."""
    words = words_at(table, N_TABLE_WORDS)
    state = words_at(words[TABLE_STATE], N_STATE_WORDS)
    groups = words_at(words[TABLE_GROUPS], first + n, bits=32)
    own = range(words[TABLE_FIRST_GROUP], words[TABLE_FIRST_GROUP] + words[TABLE_N_GROUPS])
    if words[TABLE_STAGE] & FIRST_CALL and words[TABLE_EXTREMES]:
        for group in own:
            extremes = words_at(words[TABLE_EXTREMES] + 16 * group, 2)
            extremes[0], extremes[1] = NO_MIN_KEY, NO_MAX_KEY
    for row in range(first, first + n):
        if groups[row] >= 0:
            _add(words, state, groups[row], _value_at(words, row))
        elif words[TABLE_MARKED]:
            _add(words, state, ~groups[row], None)
    return 0


def count(table: int, first: int, n: int) -> int:
    """Count the rows of each partition."""
    words = words_at(table, N_TABLE_WORDS)
    groups = words_at(words[TABLE_GROUPS], first + n, bits=32)
    for row in range(first, first + n):
        if groups[row] >= 0:
            _count(words[TABLE_CURSORS], groups[row] >> words[TABLE_SHIFT])
    return 0


def scatter(table: int, first: int, n: int) -> int:
    """Append value and group of rows to their partitions; uint64 unchanged."""
    words = words_at(table, N_TABLE_WORDS)
    place: int = words[TABLE_ELEMENT]
    element, groups = ELEMENTS[place], words_at(words[TABLE_GROUPS], first + n, bits=32)
    for row in range(first, first + n):
        if groups[row] < 0:
            continue
        cursors = words_at(words[TABLE_CURSORS], (groups[row] >> words[TABLE_SHIFT]) + 1)
        at, value = cursors[-1], _value_at(words, row)
        if element.startswith("float"):
            number = math.nan if value is None else value
            ctypes.c_double.from_address(words[TABLE_LEFT_VALUES] + 8 * at).value = number
        else:
            word = ctypes.c_uint64.from_address(words[TABLE_LEFT_VALUES] + 8 * at)
            word.value = 0 if value is None else int(value)
        marked = value is None and not element.startswith("float")
        numbers = words_at(words[TABLE_LEFT_GROUPS], at + 1, bits=32)
        numbers[at] = ~groups[row] if marked else groups[row]
        cursors[len(cursors) - 1] += 1
    return 0


def summarize_partition(table: int, first: int, n: int) -> int:
    """Write the requested statistics of the groups of a partition; its lines are zeroed here."""
    words = words_at(table, N_TABLE_WORDS)
    own, n_own = words[TABLE_FIRST_GROUP], words[TABLE_N_GROUPS]
    for group in range(own, own + n_own):
        line = _line_of(words, group)
        for at in range(len(line)):
            line[at] = 0
    add_rows(table, first, n)
    return finalize(table, own, n_own)


def look(table: int, first: int, n: int) -> int:
    """Count for each float the lowest and the highest exponent of a window that holds it.

    Only one block of every LOOK_EVERY is read.
    """
    words = words_at(table, N_TABLE_WORDS)
    counters = words_at(words[TABLE_EXPONENTS], 2 * N_EXPONENTS)
    room = SQUARE_ROOM if words[TABLE_LEVEL] > 1 else SUM_ROOM
    for start in range(first, first + n, LOOK_EVERY * BLOCK):
        for row in range(start, min(start + BLOCK, first + n)):
            value = _value_at(words, row)
            if value and math.isfinite(value):
                (bits,) = struct.unpack("<q", struct.pack("<d", abs(value)))
                exponent, mantissa = bits >> 52, bits & ((1 << 52) - 1)
                if exponent:
                    mantissa |= 1 << 52
                n_zeros = (mantissa & -mantissa).bit_length() - 1
                counters[min(exponent + words[TABLE_HEADROOM], N_EXPONENTS - 1)] += 1
                last = max(exponent, 1) + n_zeros + room
                counters[N_EXPONENTS + min(last, N_EXPONENTS - 1)] += 1
    return 0


def sort_groups(table: int, first: int, n: int) -> int:
    """Write the keys of rows [first, first + n) of a partition by group, sorted within each."""
    words = words_at(table, N_TABLE_WORDS)
    place: int = words[TABLE_ELEMENT]
    element, end = ELEMENTS[place], first + n
    groups = words_at(words[TABLE_GROUPS], end, bits=32)
    own = range(words[TABLE_FIRST_GROUP], words[TABLE_FIRST_GROUP] + words[TABLE_N_GROUPS])
    found: dict[int, list[int]] = {group: [] for group in own}
    for row in range(first, end):
        value = value_at(element, words[TABLE_VALUES], 0, 0, 0, row)
        if value is not None and groups[row] >= 0:
            found[groups[row]].append(key_of(element, value))
    starts = words_at(words[TABLE_STARTS], own.stop)
    counts = words_at(words[TABLE_COUNTS], own.stop)
    keys, at = words_at(words[TABLE_KEYS], end), first
    for group in own:
        starts[group], counts[group] = at, len(found[group])
        keys[at : at + counts[group]] = sorted(found[group])
        at += counts[group]
    return 0


def find_runs(table: int, first: int, n: int) -> int:
    """Count the distinct values of each of n groups, and find the mode; -0.0 equals 0.0."""
    words = words_at(table, N_TABLE_WORDS)
    place: int = words[TABLE_ELEMENT]
    negative_zero = -1 if ELEMENTS[place].startswith("float") else None
    for group in range(first, first + n):
        start: int = words_at(words[TABLE_STARTS], group + 1)[group]
        end: int = start + words_at(words[TABLE_COUNTS], group + 1)[group]
        keys = words_at(words[TABLE_KEYS], end)[start:end]
        times = Counter[int](0 if key == negative_zero else key for key in keys)
        words_at(words[TABLE_N_UNIQUE], group + 1)[group] = len(times)
        mode = min(times, key=lambda key: (-times[key], key), default=0)
        words_at(words[TABLE_MODES], group + 1)[group] = mode
    return 0


def finalize(table: int, first: int, n: int) -> int:
    """Write the requested statistics of n groups from group `first` on; none is hard here."""
    words = words_at(table, N_TABLE_WORDS)
    place: int = words[TABLE_ELEMENT]
    units = units_of(ELEMENTS[place], words[TABLE_EXPONENT])
    wanted = words_at(words[TABLE_WANTED], 3 * words[TABLE_N_WANTED])
    for group in range(first, first + n):
        line, sums = _line_of(words, group), [0, 0]
        for power, (start, n_limbs) in enumerate(_sums(words[TABLE_LEVEL])):
            total = _integer(line, start, n_limbs) << (power + 1) * SCALE
            sums[power] = total << units[power] if units[power] > 0 else total >> -units[power]
        moments = Moments(line[COUNT], line[COUNT], 0, 0, 0, 0, 0, sums[0], sums[1], SCALE)
        for k in range(0, len(wanted), 3):
            statistic, ddof, out = wanted[k : k + 3]
            value = _statistic(moments, statistic, ddof)
            found = ctypes.c_double.from_address(out + 8 * group)
            found.value = math.nan if value is None else value
    return 0


def interleave(table: int, first: int, n: int) -> int:
    """Write the values of each group one after the other, from one column per value."""
    words = words_at(table, N_TABLE_WORDS)
    for k, source in enumerate(words_at(words[TABLE_SOURCES], words[TABLE_N_COLUMNS])):
        values = words_at(source, first + n)
        for group in range(first, first + n):
            at = words[TABLE_OUT] + 8 * (words[TABLE_STRIDE] * group + k)
            ctypes.c_int64.from_address(at).value = values[group]
    return 0


def add_wide(table: int, first: int, n: int) -> int:
    """Add left-over rows to moments of their groups, with limbs that hold any float."""
    words = words_at(table, N_TABLE_WORDS)
    groups = words_at(words[TABLE_GROUPS], first + n, bits=32)
    for row in range(first, first + n):
        state = words_at(words[TABLE_LINES] + 8 * N_WIDE_WORDS * groups[row], N_WIDE_WORDS)
        value = ctypes.c_double.from_address(words[TABLE_VALUES] + 8 * row).value
        add_moments("float64", value, state, words[TABLE_LEVEL], 0)
    return 0


def _statistic(moments: Moments, statistic: int, ddof: int) -> float | None:
    match statistic:
        case layout.TOTAL:
            return sum_of(moments)
        case layout.MEAN:
            return mean_of(moments)
        case layout.VARIANCE:
            return variance_of(moments, ddof)
        case _:
            return deviation_of(moments, ddof)


def _value_at(words: Sequence[int], row: int) -> GroupedValue | None:
    return value_at(
        ELEMENTS[words[TABLE_ELEMENT]],
        words[TABLE_VALUES],
        words[TABLE_VALUE_BIT_OFFSET],
        words[TABLE_VALIDITY],
        words[TABLE_BIT_OFFSET],
        row,
    )


def _sums(level: int) -> Iterator[tuple[int, int]]:
    if level > 0:
        yield SUM, N_SUM_LIMBS
    if level > 1:
        yield SQUARES, N_SQUARE_LIMBS


def _line_of(words: Sequence[int], group: int) -> list[int]:
    n = LINE_WORDS[words[TABLE_LEVEL]]
    return words_at(words[TABLE_LINES] + 8 * n * group, n)


def _add(words: Sequence[int], state: list[int], group: int, value: GroupedValue | None) -> None:
    if value is None:
        state[N_MISSING] += 1
        _count(words[TABLE_MISSING], group)
        return
    element = ELEMENTS[words[TABLE_ELEMENT]]
    line = _line_of(words, group)
    line[COUNT] += 1
    if words[TABLE_EXTREMES]:
        key = key_of(element, value)
        extremes = words_at(words[TABLE_EXTREMES] + 16 * group, 2)
        extremes[0], extremes[1] = min(extremes[0], key), max(extremes[1], key)
    if math.isinf(value):
        state[N_INFINITE] += 1
        _count(words[TABLE_POSITIVE_INFINITE if value > 0 else TABLE_NEGATIVE_INFINITE], group)
    elif not _fits(words, element, value):
        (bits,) = struct.unpack("<q", struct.pack("<d", value))
        _leave_over(words, state, group, bits)
    else:
        units = units_of(element, words[TABLE_EXPONENT])
        for power, (start, n_limbs) in enumerate(_sums(words[TABLE_LEVEL]), 1):
            scaled = Fraction(value) ** power / Fraction(2) ** units[power - 1]
            _add_integer(line, start, n_limbs, int(scaled))


def _count(address: int, group: int) -> None:
    words_at(address, group + 1)[group] += 1


def _fits(words: Sequence[int], element: str, value: GroupedValue) -> bool:
    """Return whether the window of floats holds a value, and its square if requested."""
    if not element.startswith("float") or words[TABLE_LEVEL] == 0:
        return True
    exact, exponent, two = Fraction(value), words[TABLE_EXPONENT], Fraction(2)
    units = units_of(element, exponent)
    if abs(exact) >= two ** (exponent - words[TABLE_HEADROOM]):
        return False
    powers = range(1, words[TABLE_LEVEL] + 1)
    return all((exact**power / two ** units[power - 1]).denominator == 1 for power in powers)


def _leave_over(words: Sequence[int], state: list[int], group: int, word: int) -> None:
    at = state[N_LEFT]
    words_at(words[TABLE_LEFT_VALUES], at + 1)[at] = word
    words_at(words[TABLE_LEFT_GROUPS], at + 1, bits=32)[at] = group
    state[N_LEFT] += 1


def _add_integer(line: list[int], start: int, n_limbs: int, value: int) -> None:
    """Add a value to a sum, highest limb first, and carry."""
    total = value + _integer(line, start, n_limbs)
    for at in range(start + n_limbs - 1, start, -1):
        line[at] = total & ((1 << LIMB_BITS) - 1)
        total >>= LIMB_BITS
    line[start] = total


def _integer(line: Sequence[int], start: int, n_limbs: int) -> int:
    limbs = line[start : start + n_limbs]
    return sum(limb << (LIMB_BITS * k) for k, limb in enumerate(reversed(limbs)))


ENTRIES = {
    "rows": add_rows,
    "partition": summarize_partition,
    "look": look,
    "finalize": finalize,
    "interleave": interleave,
    "count": count,
    "scatter": scatter,
    "wide": add_wide,
    "sort": sort_groups,
    "runs": find_runs,
}
