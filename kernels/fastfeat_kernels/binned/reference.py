"""References of the kernels of bins: plain Python, same arguments, same tables."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from fastfeat_kernels.binned import (
    ENTRY,
    N_TABLE_WORDS,
    OFFSET_BITS,
    SPREAD,
    TABLE_BIT_OFFSET,
    TABLE_COUNTS,
    TABLE_EDGES,
    TABLE_ELEMENT,
    TABLE_FLAGS,
    TABLE_MOMENTS,
    TABLE_N_COLUMNS,
    TABLE_N_EDGES,
    TABLE_N_OUTSIDE,
    TABLE_OFFSETS,
    TABLE_OUTSIDE,
    TABLE_ROOM,
    TABLE_SCALES,
    TABLE_VALIDITY,
    TABLE_VALUES,
)
from fastfeat_kernels.binned.ordered import (
    N_ORDERED_WORDS,
    ORDERED,
    ORDERED_COUNTS,
    ORDERED_EDGES,
    ORDERED_ENDS,
    ORDERED_IS_ATOM,
    ORDERED_N_BINS,
    ORDERED_OFFSETS,
    ORDERED_SIZES,
    ORDERED_VALUES,
    ORDERED_WIDTH,
    most_edges,
)
from fastfeat_kernels.column import BLOCK, ELEMENTS
from fastfeat_kernels.memory import doubles_at, value_at, words_at
from fastfeat_kernels.moments import entry_of
from fastfeat_kernels.moments.reference import ENTRIES as MOMENTS


def add_rows(table: int, first: int, n: int) -> int:
    """Add rows [first, first + n) of the table's chunk to its bins."""
    words = words_at(table, N_TABLE_WORDS)
    place: int = words[TABLE_ELEMENT]
    element, n_edges = ELEMENTS[place], words[TABLE_N_EDGES]
    edges: list[float] = list(doubles_at(words[TABLE_EDGES] + 8, n_edges))
    scales = doubles_at(words[TABLE_SCALES], n_edges + 1)
    counts = words_at(words[TABLE_COUNTS], n_edges + 1)
    offsets = words_at(words[TABLE_OFFSETS], n_edges + 1)
    flags = words_at(words[TABLE_FLAGS], -(-n // BLOCK), signed=False, bits=8)
    outside: dict[int, list[float]] = {}
    of_rows = words[TABLE_VALUES], 0, words[TABLE_VALIDITY], words[TABLE_BIT_OFFSET]
    for row in range(first, first + n):
        value = value_at(element, *of_rows, row)
        if value is None:
            counts[0] += 1
            continue
        x = float(value)
        j = bisect_right(edges, x)
        counts[j] += 1
        if 0 < j < n_edges:
            offsets[j] += math.floor((x - edges[j - 1]) * scales[j])
        else:
            outside.setdefault((row - first) // BLOCK, []).append(x)
    written = doubles_at(words[TABLE_OUTSIDE], words[TABLE_ROOM])
    for block, values in outside.items():
        n_written = words[TABLE_N_OUTSIDE]
        if n_written + len(values) > words[TABLE_ROOM]:
            flags[block] = 1
            continue
        written[n_written : n_written + len(values)] = values
        words[TABLE_N_OUTSIDE] += len(values)
    return MOMENTS[entry_of(element)](words[TABLE_MOMENTS], first, n)


def add_columns(table: int, first: int, n: int) -> int:
    """Add the edges of columns [first, first + n), and the rows in their bins."""
    words = words_at(table, N_ORDERED_WORDS)
    sizes, ends = (
        words_at(words[ORDERED_SIZES], first + n),
        words_at(words[ORDERED_ENDS], first + n),
    )
    for column in range(first, first + n):
        begin = ends[column - 1] if column else 0
        values = words[ORDERED_VALUES] + 8 * column * words[ORDERED_WIDTH]
        listed: list[float] = list(doubles_at(values, sizes[column]))
        edges = edges_of_ordered(listed, words[ORDERED_N_BINS])
        ends[column] = begin + len(edges)
        if edges:
            _write_bins(words, begin, listed, edges)
    return 0


def edges_of_ordered(values: list[float], n_bins: int) -> list[float]:
    """Return the edges of a column, ascending; empty if it has none.

    The values must be finite and ascending. A bin has at most the n_bins-th part of them.
    """
    n_of: dict[float, int] = {}
    for value in values:
        n_of[value] = n_of.get(value, 0) + 1
    most, found, room, last_is_own = len(values) / n_bins, set[float](), 0, True
    for value, count in n_of.items():
        at = bisect_left(values, value)
        if len(n_of) <= n_bins or count > most:
            found |= {value, math.nextafter(value, math.inf)}
            last_is_own = True
        elif last_is_own or at + count > room:
            room, last_is_own = int(at + most), False
            found.add(value)
    if values:
        found.add(math.nextafter(values[-1], math.inf))
    edges = sorted(found)
    is_wide = any(math.isinf(b - a) for a, b in pairwise(edges))
    if not values or is_wide or math.isinf(edges[-1]) or math.isinf(_below(edges[0])):
        return []
    return edges


def _below(value: float) -> float:
    return math.nextafter(value, -math.inf)


def _write_bins(words: Sequence[int], begin: int, values: list[float], edges: list[float]) -> None:
    """Write the bins of a column; its edges go to place `begin` and behind."""
    n = len(edges)
    assert n <= most_edges(words[ORDERED_N_BINS])
    written = doubles_at(words[ORDERED_EDGES] + 8 * begin, n)
    is_atom = words_at(words[ORDERED_IS_ATOM] + begin, n + 1, signed=False, bits=8)
    counts = words_at(words[ORDERED_COUNTS] + 8 * begin, n + 1)
    offsets = words_at(words[ORDERED_OFFSETS] + 8 * begin, n + 1)
    is_atom[0] = is_atom[n] = counts[0] = counts[n] = offsets[0] = offsets[n] = 0
    for j, edge in enumerate(edges):
        written[j] = edge
    for j, (low, high) in enumerate(pairwise(edges), 1):
        inside = values[bisect_left(values, low) : bisect_left(values, high)]
        is_atom[j], counts[j] = math.nextafter(low, math.inf) == high, len(inside)
        try:
            scale = 0.0 if is_atom[j] else float(1 << OFFSET_BITS) / (high - low)
        except OverflowError:
            scale = math.inf
        offsets[j] = sum(math.floor((x - low) * scale) for x in inside) if scale < math.inf else 0


def spread(table: int, first: int, n: int) -> int:
    """Write the finite values of columns in rows [first, first + n), then +inf."""
    for k in range(words_at(table, N_TABLE_WORDS)[TABLE_N_COLUMNS]):
        words = words_at(table + 8 * N_TABLE_WORDS * k, N_TABLE_WORDS)
        place: int = words[TABLE_ELEMENT]
        of_rows = words[TABLE_VALUES], 0, words[TABLE_VALIDITY], words[TABLE_BIT_OFFSET]
        found = (value_at(ELEMENTS[place], *of_rows, row) for row in range(first, first + n))
        finite = [float(x) + 0.0 for x in found if x is not None and math.isfinite(x)]
        n_finite, room = len(finite), words[TABLE_ROOM]
        doubles_at(words[TABLE_OUTSIDE], room)[:] = finite + [math.inf] * (room - n_finite)
        words[TABLE_N_OUTSIDE] = n_finite
    return 0


ENTRIES = {ENTRY: add_rows, SPREAD: spread, ORDERED: add_columns}
