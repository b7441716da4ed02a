"""Aggregates of lists on the CPU: each by one pass over the elements, where that is exact.

The rows of which it is not (a sum that two floats, or 64 bits, do not hold), and the variances of
all rows, are aggregates per group of rows, in which the elements of a list are a group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.lists.layout import MAX
from fastfeat_kernels.lists.requests import Gives, Words
from fastfeat_kernels.lists.state import extremes_of, integer_sums_of, sums_of
from numpy.typing import NDArray

from fastfeat.backends.cpu.groups import learn_groups
from fastfeat.backends.cpu.kernels import n_parts, runner
from fastfeat.dtypes import DType
from fastfeat.errors import Overflow
from fastfeat.io.arrow import Array, call, pa
from fastfeat.io.bits import Flags, array_of_values, present_rows
from fastfeat.io.conversions import read_values
from fastfeat.io.lists import Lists, lists_of, offsets_of
from fastfeat.io.types import arrow_type, storage_type
from fastfeat.steps import STEPS, Argument
from fastfeat.steps.lists import REQUESTED, element_type, params_of_aggregate

_MAGNITUDE = np.int64(2**63 - 1)
_LOW = 2**32 - 1
_LARGEST_WHOLE = 2**53  # up to which each integer is a float


class _Found(NamedTuple):
    """An aggregate of each list, each array of shape (n_rows,).

    Args:
        values: float64 or integers.
        present: where there is a value.
        left: where it must be found by other means; None for nowhere.
    """

    values: NDArray[Any]
    present: Flags
    left: Flags | None = None


class _Elements(NamedTuple):
    """The elements that are not missing.

    Args:
        offsets: where those of each row begin and end, shape (n_rows + 1,).
        values: as NumPy sees them.
    """

    offsets: NDArray[np.int64]
    values: NDArray[Any]


def aggregate(function: str) -> Callable[[Sequence[Argument], Mapping[str, Any], int], Array]:
    """Return what computes an aggregate of the elements of each row.

    Args:
        function: one of `steps.lists.AGGREGATES_OF_LISTS`.
    """
    name = f"list.{function}"
    step, request = STEPS[name], REQUESTED.get(name)

    def kernel(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Array:
        lists, dtype = lists_of(args[0].values), element_type([args[0].dtype])
        given = function, params_of_aggregate(function, params)
        try:
            found = (
                _by_groups(given, lists, dtype)
                if request is None
                else _QUICK[request.gives](lists, dtype, request.words(params))
            )
            if found.left is not None and found.left.any():
                found = _completed(found, found.left, given, lists, dtype)
        except Overflow:  # the definition finds the row
            step.reference([Argument(args[0].values.to_pylist(), args[0].dtype)], params, n_rows)
            raise
        present = found.present if lists.present is None else found.present & lists.present
        return _stored(found.values, present, step.result([args[0].dtype], params))

    return kernel


def _by_groups(wanted: Any, lists: Lists, dtype: DType) -> _Found:
    """Return an aggregate of the elements of each list as that of a group of rows."""
    n_rows = len(lists.offsets) - 1
    rows = np.repeat(np.arange(n_rows, dtype=np.int32), np.diff(lists.offsets))
    codes = pa.chunked_array([array_of_values(rows, None, pa.int32())])
    (found,) = learn_groups([wanted], lists.values, dtype, codes, n_rows)
    values = found.values.view(np.uint64) if _is_unsigned(wanted[0], dtype) else found.values
    return _Found(values, found.present)


def _is_unsigned(function: str, dtype: DType) -> bool:
    return dtype.name == "uint64" and function in ("min", "max")


def _completed(found: _Found, left: Flags, wanted: Any, lists: Lists, dtype: DType) -> _Found:
    """Return an aggregate of all lists, of which those that were left are found in groups."""
    rows = np.flatnonzero(left)
    lengths = np.diff(lists.offsets)[rows]
    offsets = offsets_of(lengths)
    shifts = np.repeat(lists.offsets[rows] - offsets[:-1], lengths)
    places: NDArray[np.int64] = shifts + np.arange(offsets[-1], dtype=np.int64)
    values = call("array_take", lists.values, array_of_values(places, None, pa.int64()))
    others = _by_groups(wanted, Lists(offsets, values, None), dtype)
    found.values[rows], found.present[rows] = others.values, others.present
    return _Found(found.values, found.present)


def _present(lists: Lists, dtype: DType) -> _Elements:
    values = read_values(lists.values, dtype)
    known = present_rows(lists.values)
    if values.dtype.kind == "f":
        numbers = values == values
        known = numbers if known is None else known & numbers
    if known is None or known.all():
        return _Elements(lists.offsets, values)
    return _Elements(offsets_of(known.astype(np.int64))[lists.offsets], values[known])


def _sum(lists: Lists, dtype: DType, words: Words) -> _Found:
    if dtype.physical == "f64":
        sums, _, left = sums_of(lists.offsets, _floats(lists, dtype), *_run(lists))
        return _Found(sums, np.ones(len(sums), np.bool_), left)
    sums, left = _integer_sums(_present(lists, dtype), lists)
    return _Found(sums, np.ones(len(sums), np.bool_), left)


def _mean(lists: Lists, dtype: DType, words: Words) -> _Found:
    if dtype.physical == "f64":
        sums, counts, left = sums_of(lists.offsets, _floats(lists, dtype), *_run(lists))
        return _Found(sums / np.maximum(counts, 1), counts > 0, left)
    elements = _present(lists, dtype)
    sums, left = _integer_sums(elements, lists)
    counts = np.diff(elements.offsets)
    if dtype.name == "duration":  # without its fraction
        means = np.sign(sums) * (np.abs(sums) // np.maximum(counts, 1))
        return _Found(means, counts > 0, left | (sums == -_MAGNITUDE - 1))
    left |= (sums > _LARGEST_WHOLE) | (sums < -_LARGEST_WHOLE)
    return _Found(sums / np.maximum(counts, 1), counts > 0, left)


def _end(lists: Lists, dtype: DType, words: Words) -> _Found:
    """Return the least or greatest element; of floats in the total order."""
    if dtype.physical == "f64":
        offsets, values = lists.offsets, _floats(lists, dtype)
    else:
        offsets, values = _present(lists, dtype)
        values = values if values.dtype == np.uint64 else values.astype(np.int64, copy=False)
    greatest = words["FUNCTION"] == MAX
    found, counts = extremes_of(offsets, values, *_run(lists), greatest=greatest)
    return _Found(found, counts > 0)


def _floats(lists: Lists, dtype: DType) -> NDArray[np.float64]:
    """Return the elements as float64, NaN where missing."""
    values = np.ascontiguousarray(read_values(lists.values, dtype), np.float64)
    known = present_rows(lists.values)
    return values if known is None else np.where(known, values, np.nan)


def _run(lists: Lists) -> tuple[Any, int]:
    return runner("lists"), n_parts(len(lists.values))


def _integer_sums(elements: _Elements, lists: Lists) -> tuple[NDArray[np.int64], Flags]:
    """Return the exact sums of integers, and where they do not fit into int64.

    Of uint64 the halves of 32 bits are added up apart: 2**31 of them fit.
    """
    offsets, values = elements
    if values.dtype != np.uint64:
        return integer_sums_of(offsets, values.astype(np.int64, copy=False), *_run(lists))
    halves = values >> np.uint64(32), values & np.uint64(_LOW)
    sums = [integer_sums_of(offsets, half.astype(np.int64), *_run(lists))[0] for half in halves]
    top, low = sums[0] + (sums[1] >> 32), sums[1] & _LOW
    return (top << 32) | low, top >= 2**31


def _stored(values: NDArray[Any], present: Flags, dtype: DType) -> Array:
    """Return floats or integers as a column of a type that holds them."""
    if values.dtype.kind == "f":
        return array_of_values(np.ascontiguousarray(values, np.float64), present, pa.float64())
    if dtype.is_temporal:
        storage = storage_type(dtype)
        ticks = values.astype(storage.to_pandas_dtype())  # the type of NumPy
        return array_of_values(ticks, present, storage).view(arrow_type(dtype))
    wide, kind = (np.uint64, pa.uint64()) if dtype.name == "uint64" else (np.int64, pa.int64())
    return array_of_values(np.ascontiguousarray(values, wide), present, kind)


_QUICK: Mapping[Gives, Callable[[Lists, DType, Words], _Found]] = {
    "end": _end,
    "mean": _mean,
    "sum": _sum,
}
"""What finds an aggregate by a kernel of lists, by what it gives."""
