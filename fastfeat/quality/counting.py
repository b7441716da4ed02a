"""Counting: the rows of a column added to a layout, in whole numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import ChunkedArray, call, options_of, pa
from fastfeat.quality.layout import floats_of, plain_keys
from fastfeat.quality.profile import POSITIONS, Category, ColumnProfile, Exact, added, normal


def counted(layout: ColumnProfile, column: ChunkedArray) -> ColumnProfile:
    """Return the profile of the rows of a column.

    Args:
        layout: its edges and categories, with whatever counts.
        column: the rows, as they are stored (`io.columns.conform`).
    """
    if layout.kind == "category":
        return _of_categories(layout, column)
    if layout.kind == "other":
        of_column = replace(layout, n_rows=len(column), n_missing=column.null_count)
        return of_column
    return _of_numbers(layout, column)


def _of_categories(layout: ColumnProfile, column: ChunkedArray) -> ColumnProfile:
    keys = plain_keys(column)
    n_missing = keys.null_count
    known = pa.array([_as_key(one) for one in layout.categories], keys.type)
    of_known = options_of("SetLookupOptions", value_set=known)
    places = call("index_in", keys, options=of_known).drop_null()
    counts = np.bincount(places.to_numpy(), minlength=len(known)).astype(np.int64)
    n_other = len(keys) - n_missing - int(counts.sum())
    return replace(layout, n_rows=len(keys), n_missing=n_missing, counts=counts, n_other=n_other)


def _as_key(category: Category) -> bytes | bool | int:
    return category.encode() if isinstance(category, str) else category


def _of_numbers(layout: ColumnProfile, column: ChunkedArray) -> ColumnProfile:
    values = floats_of(column)
    finite = values[np.isfinite(values)]
    edges, scales = layout.edges, scales_of(layout.edges, layout.is_atom)
    places = np.searchsorted(edges, finite, side="right")
    counts = np.bincount(places, minlength=len(edges) + 1).astype(np.int64)
    lows = np.concatenate([[0.0], edges])
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.where(scales[places] > 0, (finite - lows[places]) * scales[places], 0.0)
    offsets = np.bincount(places, np.floor(steps), len(edges) + 1)  # whole numbers below 2**53
    tails = finite[places == 0], finite[places == len(edges)] if len(edges) else finite[:0]
    whole = _integers(column)
    sums = _sums(finite) if whole is None else _sums_of_integers(whole)
    return replace(
        layout,
        n_rows=len(column),
        n_missing=len(column) - len(values),
        counts=counts,
        offsets=offsets.astype(np.int64),
        n_low=int((values == -np.inf).sum()),
        n_high=int((values == np.inf).sum()),
        least=float(finite.min()) if len(finite) else np.nan,
        greatest=float(finite.max()) if len(finite) else np.nan,
        sum=sums[0],
        squares=sums[1],
        tails=(_sums(tails[0])[0], _sums(tails[1])[0]),
    )


def scales_of(edges: NDArray[np.float64], is_atom: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the factor of a distance from the low edge of each bin, shape (n_edges + 1,).

    It is 0 where places are not counted: outside of all edges, of one float, of the least widths.
    """
    with np.errstate(over="ignore"):
        inside = POSITIONS / np.diff(edges)
    scales = np.concatenate([[0.0], inside, [0.0]])[: len(edges) + 1]
    return np.where(is_atom | ~np.isfinite(scales), 0.0, scales)


def _integers(column: ChunkedArray) -> list[int] | None:
    """Return the values of a column of integers, None of floats."""
    if not pa.types.is_integer(column.type):
        return None
    return column.drop_null().to_pylist()


def _sums_of_integers(values: list[int]) -> tuple[Exact, Exact]:
    return normal(sum(values), 0), normal(sum(x * x for x in values), 0)


def _sums(values: NDArray[np.float64]) -> tuple[Exact, Exact]:
    """Return the exact sums of finite floats, and of their squares."""
    total, squares = (0, 0), (0, 0)
    fractions, exponents = np.frexp(values)
    mantissas = np.ldexp(fractions, 53).astype(np.int64)
    order = np.argsort(exponents, kind="stable")
    mantissas, exponents = mantissas[order], exponents[order]
    begins = np.flatnonzero(np.diff(exponents, prepend=exponents[:1] - 1))
    for begin, stop in pairwise([*begins.tolist(), len(values)]):
        some = [int(m) for m in mantissas[begin:stop].tolist()]
        exponent = int(exponents[begin]) - 53
        total = added(total, normal(sum(some), exponent))
        squares = added(squares, normal(sum(m * m for m in some), 2 * exponent))
    return total, squares
