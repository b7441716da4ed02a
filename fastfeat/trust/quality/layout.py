"""Layouts of profiles: the edges and categories by which the rows of a column are counted.

A layout is a profile without counts. It comes from a sample of rows that does not depend on how the
rows are split into parts. So counting takes one pass, and profiles of parts can be merged.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, ChunkedArray, call, pa
from fastfeat.io.columns.decode import decode_column, has_value, is_binary
from fastfeat.io.columns.types import UnsupportedType
from fastfeat.ir.dtypes import BOOL, DType
from fastfeat.trust.quality.profile import Category, ColumnProfile, ProfileKind

N_BINS: Final = 64
"""A value with more than 1 / N_BINS of the sample gets its own bin; no other bin holds as much."""
MOST_CATEGORIES: Final = 256
SAMPLED: Final = 1 << 13
"""Largest sample: the share of a bin with 1 / N_BINS of the rows varies by .0014 in it."""
_LARGEST: Final = np.finfo(np.float64).max


def kind_of(dtype: DType | UnsupportedType, *, is_code: bool = False) -> ProfileKind:
    """Return the kind of a column, which says how its values are counted; see `ColumnProfile`.

    `is_code` marks integers that encode categories.
    """
    if isinstance(dtype, UnsupportedType) or dtype.is_list or dtype.name == "null":
        return "other"
    if is_code or dtype == BOOL or dtype.holds_bytes:
        return "category"
    if dtype.is_temporal:
        return "moment"
    return "number" if dtype.is_number else "other"


def layout_of(
    name: str,
    dtype: DType | UnsupportedType,
    kind: ProfileKind,
    sample: ChunkedArray,
    least_rows: int = 1,
) -> ColumnProfile:
    """Return the layout of a column: its profile with edges or categories from a sample, no counts.

    The sample has values as they are stored (`io.columns.conform`). Only values with at least
    `least_rows` rows in it become categories.
    """
    if kind == "category":
        categories = _categories(sample, least_rows)
        counts = np.zeros(len(categories), np.int64)
        return ColumnProfile(name, str(dtype), kind, categories=categories, counts=counts)
    if kind == "other":
        return ColumnProfile(name, str(dtype), kind)
    edges, is_atom = edges_of(floats_of(sample))
    zeros = np.zeros(len(edges) + 1, np.int64)
    return ColumnProfile(
        name, str(dtype), kind, edges=edges, is_atom=is_atom, counts=zeros, offsets=zeros
    )


def floats_of(column: ChunkedArray) -> NDArray[np.float64]:
    """Return the values of a column that are not missing, as floats, with -0.0 as 0.0."""
    present = has_value(column)
    pieces = [piece.to_numpy(zero_copy_only=False) for piece in column.chunks]
    values = np.concatenate([np.empty(0), *(_as_floats(piece) for piece in pieces)])
    return values[present] + 0.0


def _as_floats(values: NDArray[np.generic]) -> NDArray[np.float64]:
    return values.astype(np.float64)


def edges_of(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the ascending edges of bins for a sample, and whether each bin holds a single float.

    If there are at most N_BINS distinct values, each has its own bin. Otherwise each value with a
    share of rows above 1 / N_BINS has its own bin, and each other bin collects values up to that
    share. All sample values lie at or above the first edge and below the last. `values` has shape
    `(n_rows,)`, without NaN; infinities are left out.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.empty(0), np.zeros(1, np.bool_)
    most = len(finite) / N_BINS
    distinct, ends = _distinct(finite)
    is_each_once = len(distinct) == len(finite)
    if len(distinct) <= N_BINS:
        own = np.arange(len(distinct))
    else:
        own = (
            np.flatnonzero(np.diff(ends, prepend=0.0) > most) if not is_each_once else np.arange(0)
        )
    begins: list[int] = []  # starts of bins, as places among the distinct values
    begin = 0
    for stop in [*own.tolist(), len(distinct)]:
        while begin < stop:  # as many rare values as a bin takes
            begins.append(begin)
            if is_each_once:  # then ends[k] is k + 1
                begin = min(int(begin + most), stop)
            else:
                before = float(ends[begin - 1]) if begin else 0.0
                begin = min(int(ends.searchsorted(before + most, side="right")), stop)
        if stop < len(distinct):
            begins.append(stop)
            begin = stop + 1
    with np.errstate(over="ignore"):
        above: NDArray[np.float64] = np.nextafter(distinct[[*own.tolist(), -1]], np.inf)
    found = np.unique(np.concatenate([distinct[begins], above]))
    found = found[np.isfinite(found) & (found > -_LARGEST)]  # a float must lie below the first
    with np.errstate(over="ignore"):
        if np.isinf(np.diff(found)).any():  # wider than the largest float
            found = np.unique([*found, 0.0])
    is_atom = np.nextafter(found[:-1], np.inf) == found[1:]
    return found, np.array([False, *is_atom, False])


def _distinct(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ascending distinct values, and for each the number of values up to it.

    Needs at least one value.
    """
    ordered = np.sort(values)
    begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    return ordered[begins], np.append(begins[1:], len(ordered)).astype(np.float64)


def _categories(sample: ChunkedArray, least_rows: int) -> tuple[Category, ...]:
    """Return the most frequent values of a sample, by falling count, then by value.

    Values with fewer than `least_rows` rows are left out.
    """
    keys = plain_keys(sample)
    if pa.types.is_boolean(keys.type):
        n_true = sum(chunk.true_count for chunk in keys.chunks)
        n_of = {False: len(keys) - keys.null_count - n_true, True: n_true}
        by_count = sorted(n_of, key=lambda one: -n_of[one])
        return tuple(one for one in by_count if n_of[one] >= max(least_rows, 1))
    found = call("value_counts", keys.drop_null())
    values, counts = found.field(0), found.field(1).to_numpy(zero_copy_only=False)
    order = np.lexsort([_ranks(values), -counts])[:MOST_CATEGORIES]
    order = order[counts[order] >= least_rows]
    is_text = pa.types.is_large_binary(values.type) and not is_binary(sample.type)
    return tuple(_read(values[int(k)].as_py(), is_text=is_text) for k in order)


def plain_keys(column: ChunkedArray) -> ChunkedArray:
    """Return a column of categories as bytes, bools or int64, whatever its Arrow encoding."""
    column = decode_column(column)
    if pa.types.is_boolean(column.type):
        return column
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    return column.cast(pa.large_binary())


def _ranks(values: Array) -> NDArray[np.int64]:
    order = call("array_sort_indices", values).to_numpy()
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _read(value: bytes | bool | int, *, is_text: bool) -> Category:
    """Return a key as a category: for text columns, bytes are decoded if they are valid UTF-8."""
    if not is_text or not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
