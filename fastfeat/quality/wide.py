"""Profiles of many columns of few rows: their edges and counts, many columns at once.

One column takes about a millisecond of calls, whatever its number of rows. Here the sorted values
of many columns stand one after the other, so that each step is one call, and one call of the
kernel of moments gives all sums. The bytes are those that `layout` and `counting` give.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from fastfeat_kernels.moments import entry_of
from fastfeat_kernels.moments.many import ManyMoments, summarize_columns
from numpy.typing import NDArray

from fastfeat.engine.cpu.kernels import is_written_kernel_compiled, n_parts, runner
from fastfeat.io.arrow import ChunkedArray, pa
from fastfeat.io.columns.wide import columns_in_place
from fastfeat.quality.layout import N_BINS, SAMPLED
from fastfeat.quality.profile import POSITIONS, ColumnProfile, normal

MOST_ROWS: Final = SAMPLED
"""Rows of which all are the sample."""
MANY: Final = 32
"""Columns of one type from which on it pays to compile the kernel of moments."""
_AT_ONCE: Final = 1 << 17
"""Values of a matrix, 1 MiB of them: more would leave the cache."""
_LARGEST: Final = np.finfo(np.float64).max
_ELEMENTS: Final = {"double": "float64", "float": "float32"} | {
    f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
"""Elements of the kernel by the Arrow types that it reads."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


def laid_out_at_once(
    empty: Sequence[ColumnProfile], samples: Sequence[ChunkedArray]
) -> dict[int, ColumnProfile]:
    """Return the profiles of no rows of columns of numbers, by place; others are left out.

    Args:
        empty: name, type and kind of each column.
        samples: rows as they are stored (`io.columns.conform`), all of one length.
    """
    found: dict[int, ColumnProfile] = {}
    for places, bins in _binned(samples, range(len(samples))):
        for k, (a, b) in bins.spans():
            edges, is_atom = bins.edges[a:b], bins.is_atom[a : b + 1]
            zeros = np.zeros(b - a + 1, np.int64)
            found[places[k]] = replace(
                empty[places[k]], edges=edges, is_atom=is_atom, counts=zeros, offsets=zeros
            )
    return found


def counted_at_once(
    empty: Sequence[ColumnProfile], columns: Sequence[ChunkedArray]
) -> dict[int, ColumnProfile]:
    """Return the profiles of columns of numbers, by place; others are left out.

    Args:
        empty: name, type and kind of each column.
        columns: rows as they are stored (`io.columns.conform`), at most `MOST_ROWS`, all of one
            length.
    """
    found: dict[int, ColumnProfile] = {}
    if not columns or not 0 < len(columns[0]) <= MOST_ROWS:
        return found
    of_type: dict[str, list[int]] = {}
    for k, column in enumerate(columns):
        of_type.setdefault(str(column.type), []).append(k)
    for of, members in of_type.items():
        many = _moments(_ELEMENTS.get(of), [columns[k] for k in members])
        if many is None:
            continue
        row_of = {place: row for row, place in enumerate(members)}
        for places, bins in _binned(columns, members):
            for k, (a, b) in bins.spans():
                place, moments = places[k], many[row_of[places[k]]]
                one = empty[place]
                found[place] = ColumnProfile(
                    *(one.name, one.dtype, one.kind),
                    n_rows=moments.n_rows,
                    n_missing=moments.n_rows - moments.count,
                    edges=bins.edges[a:b],
                    is_atom=bins.is_atom[a : b + 1],
                    counts=bins.counts[a : b + 1],
                    offsets=bins.offsets[a : b + 1],
                    n_low=moments.n_negative_infinite,
                    n_high=moments.n_positive_infinite,
                    least=bins.least[k],
                    greatest=bins.greatest[k],
                    sum=normal(moments.sum, -moments.scale),
                    squares=normal(moments.sum_of_squares, -2 * moments.scale),
                )
    return found


def _moments(element: str | None, columns: Sequence[ChunkedArray]) -> ManyMoments | None:
    """Return the moments of columns of one type; None where the kernel cannot, or need not."""
    if element is None:
        return None
    if len(columns) < MANY and not is_written_kernel_compiled("moments", entry_of(element)):
        return None
    arrays = [column.combine_chunks() for column in columns]
    batch = pa.RecordBatch.from_arrays(arrays, [str(k) for k in range(len(arrays))])
    bits = np.full(len(arrays), columns[0].type.bit_width)
    lying = columns_in_place(batch, np.arange(len(arrays)), bits)
    if lying is None:
        return None
    parts = n_parts(len(arrays) * batch.num_rows)
    return summarize_columns(element, lying, 2, runner("moments"), parts)


class _Bins(NamedTuple):
    """The bins of columns, one column after the other, and the rows that are in them.

    Args:
        suits: whether each column is told; others are wider than floats are, or have no value.
        ends: where the edges of each column end, shape (n_columns,).
        edges: of all, shape (n_edges,).
        is_atom: of a column [a : b + 1], where its edges are [a:b], shape (n_edges + 1,).
        counts: alike.
        offsets: alike.
        least: the least value of each column.
        greatest: the greatest one.
    """

    suits: list[bool]
    ends: list[int]
    edges: Floats
    is_atom: Flags
    counts: Integers
    offsets: Integers
    least: list[float]
    greatest: list[float]

    def spans(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """Return the columns that are told, and where the edges of each begin and end."""
        begins = [0, *self.ends]
        spans = enumerate(zip(begins, self.ends, strict=False))
        return (one for one, suits in zip(spans, self.suits, strict=True) if suits)


def _binned(
    columns: Sequence[ChunkedArray], wanted: Iterable[int]
) -> Iterator[tuple[list[int], _Bins]]:
    """Return the bins of columns of numbers, some at once, with their places.

    Args:
        columns: all of one length.
        wanted: the places of those to take; types that are no numbers are left out.
    """
    suited = [k for k in wanted if str(columns[k].type) in _ELEMENTS]
    n_rows = len(columns[0]) if columns else 0
    if not n_rows:
        return
    n_at_once = max(1, _AT_ONCE // n_rows)
    for begin in range(0, len(suited), n_at_once):
        places = suited[begin : begin + n_at_once]
        matrix = np.empty((len(places), n_rows))
        for row, place in enumerate(places):
            matrix[row] = columns[place].to_numpy()  # NaN where a row is missing
        matrix += 0.0  # 0.0 has no sign
        is_finite = np.isfinite(matrix)
        sizes = is_finite.sum(axis=1)
        if (is_all := bool((sizes == n_rows).all())) is False:
            matrix[~is_finite] = np.nan
        matrix.sort(axis=1)  # NaN is last
        kept = matrix.ravel() if is_all else matrix[np.arange(n_rows) < sizes[:, None]]
        chosen = np.flatnonzero(sizes)
        if len(chosen):
            yield [places[k] for k in chosen.tolist()], _bins_of(kept, sizes[chosen])


def _bins_of(flat: Floats, sizes: Integers) -> _Bins:
    """Return the bins of columns, and the rows in them.

    An edge stands at a value where a bin begins, and one float above each value that has a bin of
    its own, and above the greatest value. All values are between edges, so that a bin holds the
    values from where one edge stands among them to where the next one does.

    Args:
        flat: the values of each column, ascending, one column after the other.
        sizes: the number of values of each, at least one, shape (n_columns,).
    """
    ends = np.cumsum(sizes)
    firsts = ends - sizes
    at, is_own, n_begins = _begins_of(flat, firsts, sizes)
    last = np.cumsum(n_begins) - 1  # bin of each column
    of_column = np.repeat(np.arange(len(sizes)), n_begins)
    values = flat[at]
    below = values.copy()
    below[last] = flat[ends - 1]
    has_above = is_own.copy()
    has_above[last] = True
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        above = np.nextafter(below, np.inf)
        is_next = np.append(above[:-1] == values[1:], False)
        is_next[last] = False  # the value after it is another column's
        kept = np.column_stack([np.ones(len(at), np.bool_), has_above & ~is_next]).ravel()
        after = np.append(at[1:], 0)
        after[last] = ends
        edges = np.column_stack([values, above]).ravel()[kept]
        places = np.column_stack([at, after]).ravel()[kept]
        n_edges = np.bincount(np.repeat(of_column, 2)[kept], minlength=len(sizes))
        edge_ends = np.cumsum(n_edges)
        widths, counts = np.diff(edges), np.diff(places)  # none from one column to the next
        is_atom = np.nextafter(edges[:-1], np.inf) == edges[1:]
        scales = POSITIONS / widths
        between = edge_ends[:-1] - 1
        widths[between], is_atom[between] = 0.0, False
        scales[is_atom | ~np.isfinite(scales)] = 0.0
        steps = flat - np.repeat(edges[:-1], counts)
        steps *= np.repeat(scales, counts)
    np.floor(steps, out=steps)
    has_rows = counts > 0
    offsets = np.zeros(len(counts), np.int64)
    offsets[has_rows] = np.add.reduceat(steps, places[:-1][has_rows])  # whole, below 2**53
    suits = (flat[firsts] > -_LARGEST) & (flat[ends - 1] < _LARGEST)
    suits[np.searchsorted(edge_ends, np.flatnonzero(np.isinf(widths)), side="right")] = False
    return _Bins(
        suits.tolist(),
        edge_ends.tolist(),
        edges,
        np.concatenate([[False], is_atom, [False]]),
        np.concatenate([[0], counts, [0]]),
        np.concatenate([[0], offsets, [0]]),
        flat[firsts].tolist(),
        flat[ends - 1].tolist(),
    )


def _begins_of(flat: Floats, firsts: Integers, sizes: Integers) -> tuple[Integers, Flags, Integers]:
    """Return the places in `flat` at which bins begin, and the number of bins of each column.

    Args:
        flat: as of `_bins_of`.
        firsts: the place of the first value of each column.
        sizes: the number of values of each.

    Returns:
        Places, whether the bin is one value's own, and the number of bins of each column.
    """
    is_first = np.append(True, flat[1:] != flat[:-1])  # of equal values
    is_first[firsts] = True
    n_distinct = np.add.reduceat(is_first, firsts, dtype=np.int64)
    found: list[tuple[Integers, Flags]] = []
    for first, n, n_runs in zip(firsts.tolist(), sizes.tolist(), n_distinct.tolist(), strict=True):
        if n == n_runs:
            begins, is_own = _begins_of_distinct(n)
        else:
            runs = np.flatnonzero(is_first[first : first + n])
            begins, is_own = _begins_of_runs(runs, n)
        found.append((begins + first, is_own))
    begins, is_own = (np.concatenate(one) for one in zip(*found, strict=True))
    return begins, is_own, np.array([len(one) for one, _ in found])


@lru_cache(maxsize=1024)
def _begins_of_distinct(n: int) -> tuple[Integers, Flags]:
    """Return the first places of the bins of n values that all differ; see `_begins_of_runs`."""
    if n <= N_BINS:
        return np.arange(n), np.ones(n, np.bool_)
    most, begin, begins = n / N_BINS, 0, list[int]()
    while begin < n:
        begins.append(begin)
        begin = int(begin + most)
    return np.array(begins), np.zeros(len(begins), np.bool_)


def _begins_of_runs(runs: Integers, n: int) -> tuple[Integers, Flags]:
    """Return the first places of the bins of sorted values, and whether a bin has one value.

    They are those of `layout.edges_of`, told by places instead of values.

    Args:
        runs: the places where equal values begin, ascending, the first 0.
        n: how many values there are.
    """
    most = n / N_BINS
    run_ends = np.append(runs[1:], n)
    own = np.flatnonzero(run_ends - runs > most) if len(runs) > N_BINS else np.arange(len(runs))
    if len(own) == len(runs):
        return runs, np.ones(len(runs), np.bool_)
    listed: list[int] = runs.tolist()
    begins, owned, begin = list[int](), list[int](), 0
    for k in [*own.tolist(), len(listed)]:
        stop = listed[k] if k < len(listed) else n
        while begin < stop:  # as many light values as a bin takes
            begins.append(begin)
            after = int(begin + most)
            begin = stop if after >= stop else listed[bisect_right(listed, after) - 1]
        if stop < n:
            owned.append(len(begins))
            begins.append(stop)
            begin = int(run_ends[k])
    is_own = np.zeros(len(begins), np.bool_)
    is_own[owned] = True
    return np.array(begins), is_own
