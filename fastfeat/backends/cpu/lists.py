"""Functions of lists on the CPU: over the offsets of all rows and the elements of all rows.

Aggregates are those of groups of rows, where the elements of a row are a group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends.cpu.groups import learn_groups
from fastfeat.dtypes import UTF8, DType
from fastfeat.errors import InvalidData, Overflow
from fastfeat.io.arrow import Array, call, pa
from fastfeat.io.bits import Flags, array_of_values, present_rows
from fastfeat.io.decode import decoded
from fastfeat.io.keys import comparable, keys_as
from fastfeat.io.lists import list_array, lists_of, offsets_of
from fastfeat.io.types import arrow_type, storage_type
from fastfeat.steps import STEPS, Argument, StepFailed
from fastfeat.steps.lists import (
    AGGREGATES_OF_LISTS,
    OUT_OF_BOUNDS,
    element_type,
    params_of_aggregate,
)

Kernel = Callable[[Sequence[Argument], Mapping[str, Any], int], Any]
Integers = NDArray[np.int64]


def _aggregate(function: str) -> Kernel:
    """Return what computes an aggregate of the elements of each row."""

    def kernel(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Array:
        lists, dtype = lists_of(args[0].values), element_type([args[0].dtype])
        given = params_of_aggregate(function, params)
        rows = np.repeat(np.arange(n_rows, dtype=np.int32), np.diff(lists.offsets))
        codes = pa.chunked_array([array_of_values(rows, None, pa.int32())])
        try:
            found = learn_groups([(function, given)], lists.values, dtype, codes, n_rows)[0]
        except Overflow:  # the definition finds the row
            values = [Argument(args[0].values.to_pylist(), args[0].dtype)]
            STEPS[f"list.{function}"].reference(values, params, n_rows)
            raise
        result = STEPS[f"list.{function}"].result([args[0].dtype], params)
        return _stored(found.values, _both(found.present, lists.present), result)

    return kernel


def _both(one: Flags, other: Flags | None) -> Flags:
    return one if other is None else one & other


def _stored(values: NDArray[Any], present: Flags, dtype: DType) -> Array:
    """Return floats or integers as a column of a type that holds them."""
    if values.dtype.kind == "f":
        return array_of_values(np.ascontiguousarray(values), present, pa.float64())
    if dtype.is_temporal:
        storage = storage_type(dtype)
        ticks = values.astype(storage.to_pandas_dtype())  # the type of NumPy
        return array_of_values(ticks, present, storage).view(arrow_type(dtype))
    if dtype.name == "uint64":
        return array_of_values(values.view(np.uint64), present, pa.uint64())
    return array_of_values(np.ascontiguousarray(values), present, pa.int64())


def _len(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Array:
    lists = lists_of(args[0].values)
    return array_of_values(np.diff(lists.offsets), lists.present, pa.int64())


def _get(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Array:
    lists, index = lists_of(args[0].values), params["index"]
    starts, ends = lists.offsets[:-1], lists.offsets[1:]
    places = starts + index if index >= 0 else ends + index
    inside = (places >= starts) & (places < ends)
    if not params.get("null_on_oob", True):
        outside = ~inside if lists.present is None else ~inside & lists.present
        if outside.any():
            raise StepFailed(
                int(np.argmax(outside)), OUT_OF_BOUNDS.format(index=index), InvalidData
            )
    chosen = array_of_values(np.where(inside, places, 0), inside, pa.int64())
    return _typed(call("array_take", lists.values, chosen), element_type([args[0].dtype]))


def _typed(stored: Array, dtype: DType) -> Array:
    """Return elements in the type of a column: times are stored as integers."""
    return stored.view(arrow_type(dtype)) if dtype.is_temporal else stored


def _slice(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Array:
    lists, offset, length = lists_of(args[0].values), params["offset"], params.get("length")
    sizes = np.diff(lists.offsets)
    begins = np.full(n_rows, offset, np.int64) if offset >= 0 else sizes + offset
    stops = sizes if length is None else begins + length
    begins, stops = np.clip(begins, 0, sizes), np.clip(stops, 0, sizes)
    lengths = np.maximum(stops - begins, 0)
    offsets = offsets_of(lengths)
    shifts = np.repeat(lists.offsets[:-1] + begins - offsets[:-1], lengths)
    places = shifts + np.arange(offsets[-1], dtype=np.int64)
    chosen = call("array_take", lists.values, array_of_values(places, None, pa.int64()))
    return list_array(offsets, chosen, lists.present)


def _contains(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Array:
    lists, element = lists_of(args[0].values), element_type([args[0].dtype])
    item = decoded(args[1].values).combine_chunks()
    given = comparable(args[1].dtype)
    wanted = keys_as(_in_storage(item, given), given, element)
    elements = keys_as(lists.values, element, element)
    rows = np.repeat(np.arange(n_rows, dtype=np.int64), np.diff(lists.offsets))
    of_rows = call("array_take", wanted, array_of_values(rows, None, pa.int64()))
    same = call("equal", elements, of_rows).fill_null(False).to_numpy(zero_copy_only=False)
    n_same = np.bincount(rows[same], minlength=n_rows)
    known = present_rows(item)
    present = _both(np.ones(n_rows, np.bool_) if known is None else known, lists.present)
    return array_of_values(n_same > 0, present, pa.bool_())


def _in_storage(keys: Array, dtype: DType) -> Array:
    """Return keys as values of their type are stored, where conversions read them."""
    if dtype == UTF8:
        return keys
    storage = storage_type(dtype)
    values = keys.fill_null(0).to_numpy(zero_copy_only=False)
    return array_of_values(values.astype(storage.to_pandas_dtype()), present_rows(keys), storage)


def _explode(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Array:
    return _typed(lists_of(args[0].values).values, element_type([args[0].dtype]))


KERNELS: dict[str, Kernel] = {
    **{f"list.{function}": _aggregate(function) for function in AGGREGATES_OF_LISTS},
    "list.contains": _contains,
    "list.explode": _explode,
    "list.get": _get,
    "list.len": _len,
    "list.slice": _slice,
}
