"""Profiles of many columns with few rows: edges and counts for many columns at once.

A single column takes about a millisecond of calls, whatever its number of rows. Here one call sorts
the values of many columns, one kernel finds all edges, and another all sums. The results equal the
profiles of `layout` and `counting`, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from fastfeat_kernels.binned import SPREAD
from fastfeat_kernels.binned.ordered import ORDERED, OrderedBins, bins_of_ordered, finite_values
from fastfeat_kernels.column import EqualChunks, columns_at
from fastfeat_kernels.moments import entry_of
from fastfeat_kernels.moments.many import summarize_columns, totals_of
from numpy.typing import NDArray

from fastfeat.engine.cpu import threads
from fastfeat.engine.cpu.kernels import is_written_kernel_compiled, n_parts, runner
from fastfeat.io.arrow import ChunkedArray, pa
from fastfeat.io.columns.column_addresses import columns_in_place
from fastfeat.trust.quality.layout import N_BINS, SAMPLED
from fastfeat.trust.quality.profile import ColumnProfile, ProfileKind, normal

MOST_ROWS: Final = SAMPLED
"""Up to this many rows, all rows are the sample."""
MANY: Final = 32
"""From this many columns on, compiling kernels pays: 1 s for edges, 1.3 s for moments."""
_AT_ONCE: Final = 1 << 17
"""Values in a matrix, 1 MiB of them: more would leave the cache."""
_ELEMENTS: Final = {"double": "float64", "float": "float32"} | {
    f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
"""Elements of the kernel by Arrow type."""

KERNELS: Final = (("binned", SPREAD), ("binned", ORDERED))
"""Folder and entry of the kernels that find edges."""
_SAMPLE_OF_MANY: Final = SAMPLED // 2
"""A sample of at least this size comes from many rows, for which kernels are compiled anyway."""


class BinnedColumnHead(NamedTuple):
    """Name, type as text, and kind of a column."""

    name: str
    dtype: str
    kind: ProfileKind


def layouts_of_columns(
    heads: Sequence[BinnedColumnHead], samples: Sequence[ChunkedArray]
) -> dict[int, ColumnProfile]:
    """Return the layouts of numeric columns, which are profiles without counts, by index.

    Other columns are left out. The samples hold values as they are stored (`io.columns.conform`),
    all of one length.
    """
    found: dict[int, ColumnProfile] = {}
    if not samples or (len(samples[0]) < _SAMPLE_OF_MANY and not _pays(KERNELS, len(samples))):
        return found
    for element, members in _of_elements(samples):
        lying = _in_place([samples[k] for k in members])
        if lying is None:
            continue
        for k, one in _binned(element, lying):
            zeros = np.zeros(len(one.counts), np.int64)
            found[members[k]] = ColumnProfile(
                *heads[members[k]],
                edges=one.edges,
                is_atom=one.is_atom,
                counts=zeros,
                offsets=zeros,
            )
    return found


def count_binned_columns(
    heads: Sequence[BinnedColumnHead], columns: Sequence[ChunkedArray]
) -> dict[int, ColumnProfile]:
    """Return the profiles of numeric columns by their index; other columns are left out.

    The columns hold values as they are stored (`io.columns.conform`), all of one length, at most
    `MOST_ROWS`.
    """
    found: dict[int, ColumnProfile] = {}
    if not columns or len(columns[0]) > MOST_ROWS:
        return found
    for element, members in _of_elements(columns):
        kernels = (*KERNELS, ("moments", entry_of(element)))
        lying = _in_place([columns[k] for k in members]) if _pays(kernels, len(members)) else None
        if lying is None:
            continue
        parts = n_parts(len(members) * lying.n_rows)
        totals = totals_of(summarize_columns(element, lying, 2, runner("moments"), parts))
        for k, bins in _binned(element, lying):
            known = totals[k]
            found[members[k]] = ColumnProfile(
                *heads[members[k]],
                n_rows=lying.n_rows,
                n_missing=known.n_missing,
                edges=bins.edges,
                is_atom=bins.is_atom,
                counts=bins.counts,
                offsets=bins.offsets,
                n_low=known.n_low,
                n_high=known.n_high,
                least=bins.least,
                greatest=bins.greatest,
                sum=normal(known.sum, -known.scale),
                squares=normal(known.sum_of_squares, -2 * known.scale),
            )
    return found


def _pays(kernels: Sequence[tuple[str, str]], n_columns: int) -> bool:
    """Return whether kernels are worth running: if they are compiled, or if columns are many."""
    return n_columns >= MANY or all(is_written_kernel_compiled(*one) for one in kernels)


def _of_elements(columns: Sequence[ChunkedArray]) -> list[tuple[str, list[int]]]:
    """Return the types that kernels can read, each with the indices of the columns of that type."""
    found: dict[str, list[int]] = {}
    for k, column in enumerate(columns):
        found.setdefault(str(column.type), []).append(k)
    return [(_ELEMENTS[of], members) for of, members in found.items() if of in _ELEMENTS]


def _in_place(columns: Sequence[ChunkedArray]) -> EqualChunks | None:
    """Return the memory addresses of columns of one type; None if kernels cannot read them."""
    if not len(columns[0]):
        return None
    arrays = [  # `combine_chunks` would copy a single piece
        column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in columns
    ]
    batch = pa.RecordBatch.from_arrays(arrays, [""] * len(arrays))
    bits = np.full(len(arrays), columns[0].type.bit_width)
    return columns_in_place(batch, np.arange(len(arrays)), bits)


class _Bins(NamedTuple):
    """The bins of a column, the counts of rows in them, and its least and greatest value."""

    edges: NDArray[np.float64]
    is_atom: NDArray[np.bool_]
    counts: NDArray[np.int64]
    offsets: NDArray[np.int64]
    least: float
    greatest: float


class _Part(NamedTuple):
    """The bins of some columns, and the least and greatest value of each."""

    bins: OrderedBins
    least: list[float]
    greatest: list[float]


def _binned(element: str, columns: EqualChunks) -> Iterator[tuple[int, _Bins]]:
    """Yield the index and the bins of each column.

    Columns without finite values are left out, and also columns with a range beyond the largest
    float.
    """
    places = np.arange(len(columns.values))
    groups = np.array_split(places, -(-len(places) * columns.n_rows // _AT_ONCE))
    parts: dict[int, _Part] = {}

    def bin_group(k: int) -> None:
        parts[k] = _part_of(element, columns_at(columns, groups[k]))

    threads.run_tasks([partial(bin_group, k) for k in range(len(groups))])
    for k, group in enumerate(groups):
        (ends, edges, is_atom, counts, offsets), least, greatest = parts[k]
        a = 0
        for place, b, low, high in zip(group.tolist(), ends.tolist(), least, greatest, strict=True):
            if b > a:
                c = b + 1
                yield place, _Bins(edges[a:b], is_atom[a:c], counts[a:c], offsets[a:c], low, high)
            a = b


def _part_of(element: str, columns: EqualChunks) -> _Part:
    """Return the bins of a group of columns that is small enough for the processor's cache."""
    run = runner("binned")
    values, sizes = finite_values(element, columns, run)
    values.sort(axis=1)
    bins = bins_of_ordered(values, sizes, N_BINS, run)
    greatest = values[np.arange(len(sizes)), sizes - 1]
    return _Part(bins, values[:, 0].tolist(), greatest.tolist())
