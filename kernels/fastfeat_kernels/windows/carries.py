"""Initial states of slices for windows without a beginning: summaries of all earlier rows.

Each entity is divided where its slices begin. The counts, keys and exact sums of these parts are
combined, so the result does not depend on where the entity is divided.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.column import CallRunner, KernelRowCall
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.ordering import WindowOrder, order_table, sequences
from fastfeat_kernels.windows.requests import WantedStatistic
from fastfeat_kernels.windows.slices import WorkUnit, is_carried
from fastfeat_kernels.windows.statistics import STATISTICS

_LOW = (1 << layout.LIMB_BITS) - 1
_MOST = layout.CARRY_MAX_KEY, layout.CARRY_MIN_KEY
_COUNTED = layout.CARRY_COUNT, layout.CARRY_POSITIVE, layout.CARRY_NEGATIVE


class Carries(NamedTuple):
    """Summary of the rows that the first places of slices stand for.

    Args:
        words: Shape (slices, columns, N_CARRY_WORDS).
        places: Index of each slice in `words`.
        too_wide: Entities without a grid for their values; they stay whole.
    """

    words: Int64Array
    places: Mapping[WorkUnit, int]
    too_wide: frozenset[int]

    def address_of(self, unit: WorkUnit) -> int:
        """Return the address of the words of a slice."""
        return self.words.ctypes.data + self.words.strides[0] * self.places[unit]


class _Divided(NamedTuple):
    """An entity with slices.

    Args:
        entity: Its number.
        slices: Slices that begin with a carry.
        edges: Shape (slices + 2,): the entity's first place, the end of the rows before each slice,
            and the entity's end.
    """

    entity: int
    slices: Sequence[WorkUnit]
    edges: Int64Array


def summed_columns(wanted: Iterable[WantedStatistic], columns: Sequence[int]) -> list[int]:
    """Return the places of columns with sums over windows without a beginning."""
    summed = {
        one.column
        for one in wanted
        if layout.COLUMN_SUMS in STATISTICS[one.statistic].reads and is_carried(one)
    }
    return [place for place, column in enumerate(columns) if column in summed]


def carries_of(
    rows: WindowOrder,
    computed: Sequence[WorkUnit],
    columns: Int64Array,
    summed: Sequence[int],
    run: CallRunner,
    n_parts: int,
) -> Carries:
    """Return the states that the slices of a pass begin with.

    `summed` are the places of columns with sums over windows without a beginning. The result does
    not depend on `n_parts`, the number of row ranges for the work.
    """
    divided = _divided(rows, computed)
    n_pieces = sum(len(one.edges) - 1 for one in divided)
    words = np.zeros((n_pieces, len(columns), layout.N_CARRY_WORDS), np.int64)
    calls = _calls(rows, divided, columns, words, n_parts)
    run("survey", calls)
    too_wide = set[int]()
    for one, pieces in _with_pieces(divided, words):
        n_rows = int(one.edges[-1] - one.edges[0])
        for k in summed:
            grid = _grid(columns[k], pieces[:, k], n_rows)
            if grid is None:
                too_wide.add(one.entity)
            else:
                pieces[:, k, layout.CARRY_GRID], pieces[:, k, layout.CARRY_UNIT] = grid
    if summed:
        run("add", calls)
    before = [pieces[:-1] for _, pieces in _with_pieces(divided, words)]
    for pieces in before:
        _put_together(pieces, summed)
    slices = (unit for one in divided for unit in one.slices)
    places = {unit: place for place, unit in enumerate(slices)}
    return Carries(np.concatenate(before), places, frozenset(too_wide))


def _with_pieces(
    divided: Sequence[_Divided], words: Int64Array
) -> Iterator[tuple[_Divided, Int64Array]]:
    """Yield each entity with the words of its pieces: one before each slice, and the rest."""
    first = 0
    for one in divided:
        n_pieces = len(one.edges) - 1
        yield one, words[first : first + n_pieces]
        first += n_pieces


def _divided(rows: WindowOrder, computed: Sequence[WorkUnit]) -> list[_Divided]:
    carried = [(unit, unit.bounds) for unit in computed if unit.n_carried and unit.bounds]
    of_entity: dict[int, tuple[list[WorkUnit], list[int]]] = {}
    for unit, (base, _) in carried:
        entity = int(np.searchsorted(rows.starts, base, "right")) - 1
        slices, ends = of_entity.setdefault(entity, ([], []))
        slices.append(unit)
        ends.append(base + 1)
    return [
        _Divided(
            entity,
            slices,
            np.array([int(rows.starts[entity]), *ends, int(rows.starts[entity + 1])], np.int64),
        )
        for entity, (slices, ends) in of_entity.items()
    ]


def _calls(
    rows: WindowOrder,
    divided: Sequence[_Divided],
    columns: Int64Array,
    words: Int64Array,
    n_parts: int,
) -> list[list[KernelRowCall]]:
    """Return calls on the pieces of all entities."""
    common, calls = order_table(rows), list[KernelRowCall]()
    common[layout.TABLE_COLUMNS] = columns.ctypes.data
    common[layout.TABLE_N_COLUMNS] = len(columns)
    words_at, stride = words.ctypes.data, words.strides[0]
    for first, end in (pair for one in divided for pair in pairwise(one.edges.tolist())):
        table = common.copy()
        table[layout.TABLE_CARRY] = words_at + stride * len(calls)
        calls.append(KernelRowCall(table, first, end - first, (rows, columns, words)))
    sizes = np.array([call.n for call in calls], np.int64)
    return [[calls[k] for k in numbers] for numbers in sequences(sizes, n_parts)]


def _grid(column: Int64Array, pieces: Int64Array, n_rows: int) -> tuple[int, int] | None:
    """Return the grid for all sums of an entity's values, and its unit; None without one."""
    n_bits = n_rows.bit_length()
    has_squares = column[layout.COLUMN_SQUARES] != 0
    n_narrow = layout.FLOAT_BITS - 2 * n_bits >> 1 if has_squares else layout.FLOAT_BITS - n_bits
    n_narrow = min(n_narrow, layout.MAX_NARROW_BITS)
    narrow, limbs = layout.NARROW_GRID, layout.GRID_OF_LIMBS
    if column[layout.COLUMN_KIND] != layout.FLOAT:
        is_unsigned = column[layout.COLUMN_KIND] == layout.UNSIGNED
        offset, lowest = (1 << 63, 0) if is_unsigned else (0, -1)
        least = ~int(pieces[:, layout.CARRY_MIN_KEY].max()) + offset
        most = int(pieces[:, layout.CARRY_MAX_KEY].max()) + offset
        fits = not pieces[:, layout.CARRY_COUNT].any()
        fits |= n_narrow > 0 and lowest * (1 << n_narrow) <= least and most < 1 << n_narrow
        return (narrow if fits and n_narrow > 0 else limbs), 0
    greatest = int(pieces[:, layout.CARRY_GREATEST].max())
    lowest, exponent = int(pieces[:, layout.CARRY_LOWEST].min()), greatest >> 52
    if greatest == 0:
        return (narrow if n_narrow > 0 else limbs), 0
    if not layout.MIN_EXPONENT <= exponent <= layout.MAX_EXPONENT:
        return None
    n_limbs = layout.LIMB_BITS + min(layout.LIMB_BITS, 62 - n_bits)
    for grid, n_held in ((narrow, n_narrow), (limbs, n_limbs)):
        if n_held > 0 and lowest >= exponent - layout.BIAS - n_held:
            return grid, exponent - layout.BIAS - n_held
    return None


def _put_together(pieces: Int64Array, summed: Sequence[int]) -> None:
    """Accumulate summaries in place: each piece then includes all earlier pieces."""
    for k in range(pieces.shape[1]):
        _carry_ends(pieces[:, k])
    for word in _COUNTED:
        np.cumsum(pieces[:, :, word], axis=0, out=pieces[:, :, word])
    for word in _MOST:
        np.maximum.accumulate(pieces[:, :, word], axis=0, out=pieces[:, :, word])
    for k in summed:
        _carry_sums(pieces[:, k], layout.CARRY_SUM, 2)
        _carry_sums(pieces[:, k], layout.CARRY_SQUARES, 4)


def _carry_ends(known: Int64Array) -> None:
    """Carry the first and the last value of a column forward."""
    counted = np.flatnonzero(known[:, layout.CARRY_COUNT])
    if len(counted):
        known[counted[0] :, layout.CARRY_FIRST] = known[counted[0], layout.CARRY_FIRST]
        places = np.arange(counted[0], len(known), dtype=np.int64)
        latest = counted[np.searchsorted(counted, places, "right") - 1]
        known[counted[0] :, layout.CARRY_LAST] = known[latest, layout.CARRY_LAST]


def _carry_sums(known: Int64Array, at: int, n_limbs: int) -> None:
    """Carry the sums of a column forward, written on their grid."""
    total, bits = 0, layout.LIMB_BITS
    for piece in known:
        limbs: list[int] = piece[at : at + n_limbs].tolist()
        total += sum(limb << bits * k for k, limb in enumerate(reversed(limbs)))
        if piece[layout.CARRY_GRID] == layout.NARROW_GRID:
            (piece[at],) = struct.unpack("<q", struct.pack("<d", total))
        else:
            rest = [total >> bits * k & _LOW for k in range(n_limbs - 1)]
            piece[at : at + n_limbs] = [total >> bits * (n_limbs - 1), *reversed(rest)]
