"""The reference of the kernel of bins: plain Python, same arguments, same table, by bisection."""

from __future__ import annotations

import math
from bisect import bisect_right

from fastfeat_kernels.binned import (
    ENTRY,
    N_TABLE_WORDS,
    TABLE_BIT_OFFSET,
    TABLE_COUNTS,
    TABLE_EDGES,
    TABLE_ELEMENT,
    TABLE_FLAGS,
    TABLE_MOMENTS,
    TABLE_N_EDGES,
    TABLE_N_OUTSIDE,
    TABLE_OFFSETS,
    TABLE_OUTSIDE,
    TABLE_ROOM,
    TABLE_SCALES,
    TABLE_VALIDITY,
    TABLE_VALUES,
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


ENTRIES = {ENTRY: add_rows}
