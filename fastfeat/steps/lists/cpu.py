"""Functions of lists on the CPU, from Arrow's two arrays: offsets of the rows, and all elements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import BoolArray
from fastfeat_kernels.lists import MAX
from fastfeat_kernels.lists.requests import Gives, ListRequestWords, Request
from fastfeat_kernels.lists.state import elements_of, extremes_of, integer_sums_of, sums_of
from numpy.typing import NDArray

from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.errors import InvalidData, Overflow
from fastfeat.io.arrow import Array, call, pa
from fastfeat.io.columns import conversions
from fastfeat.io.columns.bits import array_of_values, present_rows
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.columns.keys import comparable, key_column, keys_as
from fastfeat.io.columns.lists import Lists, list_array, lists_of, offsets_of
from fastfeat.io.columns.types import arrow_type, storage_type
from fastfeat.ir.dtypes import UTF8, DType
from fastfeat.ir.parameters import ParameterValues
from fastfeat.steps.keys.cpu_group_states import learn_groups
from fastfeat.steps.keys.cpu_vocabulary import encode
from fastfeat.steps.keys.tasks import GroupsTask
from fastfeat.steps.lists.cpu_calls import CALLS
from fastfeat.steps.lists.rows import (
    AGGREGATES_OF_LISTS,
    OUT_OF_BOUNDS,
    REQUESTED,
    element_type,
    params_of_aggregate,
)
from fastfeat.steps.registry import STEPS
from fastfeat.steps.step import Argument, StepFailed

_MAGNITUDE = np.int64(2**63 - 1)

_LOW = 2**32 - 1

_LARGEST_WHOLE = 2**53  # every integer up to here is exact as a float


class _ListAggregate(NamedTuple):
    """The values of an aggregate of each row's list; all arrays have shape (n_rows,).

    Args:
        values: float64 or integers.
        present: Whether each row has a value.
        left: Flags of rows left to the slower way, since the fast kernel cannot compute them; None
            if there are no such rows.
    """

    values: NDArray[Any]
    present: BoolArray
    left: BoolArray | None = None


class _Elements(NamedTuple):
    """The elements of all lists, without missing ones.

    Args:
        offsets: Position of each row's first element, and the end, shape (n_rows + 1,).
        values: The elements as a NumPy array.
    """

    offsets: NDArray[np.int64]
    values: NDArray[Any]


def aggregate(function: str) -> Callable[[Sequence[Argument], Mapping[str, Any], int], Array]:
    """Return a function that computes an aggregate over the elements of each row's list.

    `function` is one of `steps.lists.rows.AGGREGATES_OF_LISTS`.
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


def _by_groups(wanted: Any, lists: Lists, dtype: DType) -> _ListAggregate:
    """Return an aggregate of each list, computed per group: the elements of a list are a group."""
    n_rows = len(lists.offsets) - 1
    rows = np.repeat(np.arange(n_rows, dtype=np.int32), np.diff(lists.offsets))
    codes = pa.chunked_array([array_of_values(rows, None, pa.int32())])
    (found,) = learn_groups(GroupsTask([wanted], lists.values, dtype, codes, n_rows))
    values = found.values.view(np.uint64) if _is_unsigned(wanted[0], dtype) else found.values
    return _ListAggregate(values, found.present)


def _is_unsigned(function: str, dtype: DType) -> bool:
    return dtype.name == "uint64" and function in ("min", "max")


def _completed(
    found: _ListAggregate, left: BoolArray, wanted: Any, lists: Lists, dtype: DType
) -> _ListAggregate:
    """Return `found` with the rows in `left` filled in: they are computed by `_by_groups`."""
    rows = np.flatnonzero(left)
    lengths = np.diff(lists.offsets)[rows]
    offsets = offsets_of(lengths)
    shifts = np.repeat(lists.offsets[rows] - offsets[:-1], lengths)
    places: NDArray[np.int64] = shifts + np.arange(offsets[-1], dtype=np.int64)
    values = call("array_take", lists.values, array_of_values(places, None, pa.int64()))
    others = _by_groups(wanted, Lists(offsets, values, None), dtype)
    found.values[rows], found.present[rows] = others.values, others.present
    return _ListAggregate(found.values, found.present)


def _present(lists: Lists, dtype: DType) -> _Elements:
    values = conversions.read_values(lists.values, dtype)
    known = present_rows(lists.values)
    if values.dtype.kind == "f":
        numbers = values == values
        known = numbers if known is None else known & numbers
    if known is None or known.all():
        return _Elements(lists.offsets, values)
    return _Elements(offsets_of(known.astype(np.int64))[lists.offsets], values[known])


def _sum(lists: Lists, dtype: DType, words: ListRequestWords) -> _ListAggregate:
    if dtype.physical == "f64":
        sums, _, left = sums_of(lists.offsets, _floats(lists, dtype), *_run(lists))
        return _ListAggregate(sums, np.ones(len(sums), np.bool_), left)
    sums, left = _integer_sums(_present(lists, dtype), lists)
    return _ListAggregate(sums, np.ones(len(sums), np.bool_), left)


def _mean(lists: Lists, dtype: DType, words: ListRequestWords) -> _ListAggregate:
    if dtype.physical == "f64":
        sums, counts, left = sums_of(lists.offsets, _floats(lists, dtype), *_run(lists))
        return _ListAggregate(sums / np.maximum(counts, 1), counts > 0, left)
    elements = _present(lists, dtype)
    sums, left = _integer_sums(elements, lists)
    counts = np.diff(elements.offsets)
    if dtype.name == "duration":  # without its fraction
        means = np.sign(sums) * (np.abs(sums) // np.maximum(counts, 1))
        return _ListAggregate(means, counts > 0, left | (sums == -_MAGNITUDE - 1))
    left |= (sums > _LARGEST_WHOLE) | (sums < -_LARGEST_WHOLE)
    return _ListAggregate(sums / np.maximum(counts, 1), counts > 0, left)


def _end(lists: Lists, dtype: DType, words: ListRequestWords) -> _ListAggregate:
    """Return the least or greatest element of each list; floats in IEEE 754 total order."""
    if dtype.physical == "f64":
        offsets, values = lists.offsets, _floats(lists, dtype)
    else:
        offsets, values = _present(lists, dtype)
        values = values if values.dtype == np.uint64 else values.astype(np.int64, copy=False)
    greatest = words["FUNCTION"] == MAX
    found, counts = extremes_of(offsets, values, *_run(lists), greatest=greatest)
    return _ListAggregate(found, counts > 0)


def _floats(lists: Lists, dtype: DType) -> NDArray[np.float64]:
    """Return the elements of all lists as float64, NaN if missing."""
    values = np.ascontiguousarray(conversions.read_values(lists.values, dtype), np.float64)
    known = present_rows(lists.values)
    return values if known is None else np.where(known, values, np.nan)


def _run(lists: Lists) -> tuple[Any, int]:
    return runner("lists"), n_parts(len(lists.values))


def _integer_sums(elements: _Elements, lists: Lists) -> tuple[NDArray[np.int64], BoolArray]:
    """Return the exact sum of each list of integers, and flags of rows with sums beyond int64.

    For uint64, both 32-bit halves are added up separately; 2**31 of them fit.
    """
    offsets, values = elements
    if values.dtype != np.uint64:
        return integer_sums_of(offsets, values.astype(np.int64, copy=False), *_run(lists))
    halves = values >> np.uint64(32), values & np.uint64(_LOW)
    sums = [integer_sums_of(offsets, half.astype(np.int64), *_run(lists))[0] for half in halves]
    top, low = sums[0] + (sums[1] >> 32), sums[1] & _LOW
    return (top << 32) | low, top >= 2**31


def _stored(values: NDArray[Any], present: BoolArray, dtype: DType) -> Array:
    """Return floats or integers as a column of a type that holds them."""
    if values.dtype.kind == "f":
        return array_of_values(np.ascontiguousarray(values, np.float64), present, pa.float64())
    if dtype.is_temporal:
        storage = storage_type(dtype)
        ticks = values.astype(storage.to_pandas_dtype())  # the type of NumPy
        return array_of_values(ticks, present, storage).view(arrow_type(dtype))
    wide, kind = (np.uint64, pa.uint64()) if dtype.name == "uint64" else (np.int64, pa.int64())
    return array_of_values(np.ascontiguousarray(values, wide), present, kind)


_QUICK: Mapping[Gives, Callable[[Lists, DType, ListRequestWords], _ListAggregate]] = {
    "end": _end,
    "mean": _mean,
    "sum": _sum,
}
"""Functions that compute an aggregate by a kernel of lists, by the kind of its result."""


_WORDS = (pa.float64(), pa.int64(), pa.uint64())


ListKernel = Callable[[Sequence[Argument], ParameterValues, int], Any]


def _step(request: Request) -> ListKernel:
    """Return the function that computes a step, for a row of the kernels' table of requests."""
    gives = _GIVES[request.gives]

    def step(args: Sequence[Argument], params: ParameterValues, n_rows: int) -> Array:
        return gives(args, params, request.words(params))

    return step


def _length(args: Sequence[Argument], params: ParameterValues, words: ListRequestWords) -> Array:
    lists = lists_of(args[0].values)
    return array_of_values(np.diff(lists.offsets), lists.present, pa.int64())


def _element(args: Sequence[Argument], params: ParameterValues, words: ListRequestWords) -> Array:
    lists, index = lists_of(args[0].values), words["INDEX"]
    whole = len(lists.values) and lists.values.type in _WORDS
    stored, inside = (_words_at if whole else _taken)(lists, index)
    if not params.get("null_on_oob", True):
        outside = ~inside if lists.present is None else ~inside & lists.present
        if outside.any():
            raise StepFailed(
                int(np.argmax(outside)), OUT_OF_BOUNDS.format(index=params["index"]), InvalidData
            )
    return _typed(stored, element_type([args[0].dtype]))


def _words_at(lists: Lists, index: int) -> tuple[Array, BoolArray]:
    """Return each list's element at an index, and flags of rows that have one.

    Elements have 8 bytes each.
    """
    values, kind = lists.values, lists.values.type
    words = np.frombuffer(values.buffers()[1], np.int64, len(values), values.offset * 8)
    where = runner("lists"), n_parts(len(lists.offsets) - 1)
    found, inside = elements_of(lists.offsets, words, index, *where)
    known = present_rows(values)
    if known is None:
        return array_of_values(found, inside, kind), inside
    flags, _ = elements_of(lists.offsets, known.astype(np.int64), index, *where)
    return array_of_values(found, flags != 0, kind), inside


def _taken(lists: Lists, index: int) -> tuple[Array, BoolArray]:
    """Return each list's element at an index, for any type, and flags of rows that have one."""
    starts, ends = lists.offsets[:-1], lists.offsets[1:]
    places = starts + index if index >= 0 else ends + index
    inside = (places >= starts) & (places < ends)
    chosen = array_of_values(np.where(inside, places, 0), inside, pa.int64())
    return call("array_take", lists.values, chosen), inside


def _typed(stored: Array, dtype: DType) -> Array:
    """Return elements as a column of type `dtype`; times are stored as integers."""
    return stored.view(arrow_type(dtype)) if dtype.is_temporal else stored


def _slice(args: Sequence[Argument], params: ParameterValues, words: ListRequestWords) -> Array:
    lists, offset = lists_of(args[0].values), words["INDEX"]
    sizes = np.diff(lists.offsets)
    begins = np.full(len(sizes), offset, np.int64) if offset >= 0 else sizes + offset
    stops = begins + words["LENGTH"]
    begins, stops = np.clip(begins, 0, sizes), np.clip(stops, 0, sizes)
    lengths = np.maximum(stops - begins, 0)
    offsets = offsets_of(lengths)
    shifts = np.repeat(lists.offsets[:-1] + begins - offsets[:-1], lengths)
    places = shifts + np.arange(offsets[-1], dtype=np.int64)
    chosen = call("array_take", lists.values, array_of_values(places, None, pa.int64()))
    return list_array(offsets, chosen, lists.present)


def _contains(args: Sequence[Argument], params: ParameterValues, words: ListRequestWords) -> Array:
    lists, element = lists_of(args[0].values), element_type([args[0].dtype])
    n_rows = len(args[0].values)
    items = items_of(args[1], element)
    wanted = items.keys
    elements = keys_as(lists.values, element, element)
    if n_rows and call("equal", wanted, wanted[0]).true_count == n_rows:
        of_elements = wanted[0]  # one value for all rows, mostly a literal
    else:
        rows = np.repeat(np.arange(n_rows, dtype=np.int64), np.diff(lists.offsets))
        of_elements = call("array_take", wanted, array_of_values(rows, None, pa.int64()))
    same = call("equal", elements, of_elements).fill_null(False).to_numpy(zero_copy_only=False)
    n_same = offsets_of(same)[lists.offsets]
    present = items.known if lists.present is None else items.known & lists.present
    return array_of_values(n_same[1:] > n_same[:-1], present, pa.bool_())


class Items(NamedTuple):
    """The value of each row that "list.contains" searches for in the row's list.

    Args:
        keys: The values as keys of the elements' type, an Arrow array; null if the type cannot hold
            the value.
        known: Whether each row has a value to search for.
    """

    keys: Array
    known: BoolArray


def items_of(argument: Argument, element: DType) -> Items:
    """Return the values to search for, from the second argument of "list.contains".

    `element` is the type of the lists' elements.
    """
    item, given = decode_column(argument.values).combine_chunks(), comparable(argument.dtype)
    known = present_rows(item)
    keys = keys_as(_in_storage(item, given), given, element)
    return Items(keys, np.ones(len(item), np.bool_) if known is None else known)


def _in_storage(keys: Array, dtype: DType) -> Array:
    """Return keys in the storage type of `dtype`, from which they can be converted."""
    if dtype == UTF8:
        return keys
    storage = storage_type(dtype)
    values = keys.fill_null(0).to_numpy(zero_copy_only=False)
    return array_of_values(values.astype(storage.to_pandas_dtype()), present_rows(keys), storage)


def _explode(args: Sequence[Argument], params: ParameterValues, n_rows: int) -> Array:
    return _typed(lists_of(args[0].values).values, element_type([args[0].dtype]))


def _encode(args: Sequence[Argument], params: ParameterValues, n_rows: int) -> Array:
    lists, element = lists_of(args[0].values), element_type([args[0].dtype])
    elements = pa.chunked_array([_typed(lists.values, element)])
    column = key_column(elements, "an element", element, narrow=True)
    codes = encode(args[1].values, [column], [element], params["missing"], params["n_unseen"])
    return list_array(lists.offsets, codes, lists.present)


def _has_code(args: Sequence[Argument], params: ParameterValues, n_rows: int) -> Array:
    lists, code = lists_of(args[0].values), params["code"]
    found = np.zeros(n_rows, np.uint8)
    if code is not None:
        places = np.flatnonzero(lists.values.to_numpy() == code)
        found[np.searchsorted(lists.offsets, places, side="right") - 1] = 1
    elif lists.present is not None:
        found[~lists.present] = 1
    return array_of_values(found, None, pa.uint8())


_GIVES: Mapping[Gives, Callable[[Sequence[Argument], ParameterValues, ListRequestWords], Array]] = {
    "element": _element,
    "flag": _contains,
    "length": _length,
    "slice": _slice,
}
"""`(arguments, parameters, words of a table) -> array`, by the kind of result."""

KERNELS: dict[str, ListKernel] = {
    "list.encode": _encode,
    "list.explode": _explode,
    "list.has_code": _has_code,
    **{name: _step(row) for name, row in REQUESTED.items() if row.gives in _GIVES},
    **{f"list.{function}": aggregate(function) for function in AGGREGATES_OF_LISTS},
}

__all__ = ["CALLS", "KERNELS"]
