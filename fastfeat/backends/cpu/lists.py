"""Functions of lists on the CPU: over the offsets of all rows and the elements of all rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.lists.requests import Gives, Request, Words
from fastfeat_kernels.lists.state import elements_of

from fastfeat.backends.cpu.kernels import n_parts, runner
from fastfeat.backends.cpu.list_aggregates import aggregate
from fastfeat.backends.cpu.vocabulary import encode
from fastfeat.dtypes import UTF8, DType
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import Array, call, pa
from fastfeat.io.bits import Flags, array_of_values, present_rows
from fastfeat.io.decode import decoded
from fastfeat.io.keys import comparable, key_column, keys_as
from fastfeat.io.lists import Lists, list_array, lists_of, offsets_of
from fastfeat.io.types import arrow_type, storage_type
from fastfeat.steps import Argument, StepFailed
from fastfeat.steps.lists import (
    AGGREGATES_OF_LISTS,
    OUT_OF_BOUNDS,
    REQUESTED,
    element_type,
)

_WORDS = (pa.float64(), pa.int64(), pa.uint64())
Params = Mapping[str, Any]
Kernel = Callable[[Sequence[Argument], Params, int], Any]


def _step(request: Request) -> Kernel:
    """Return the step of a function that has a row in the table of the kernels."""
    gives = _GIVES[request.gives]

    def step(args: Sequence[Argument], params: Params, n_rows: int) -> Array:
        return gives(args, params, request.words(params))

    return step


def _length(args: Sequence[Argument], params: Params, words: Words) -> Array:
    lists = lists_of(args[0].values)
    return array_of_values(np.diff(lists.offsets), lists.present, pa.int64())


def _element(args: Sequence[Argument], params: Params, words: Words) -> Array:
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


def _words_at(lists: Lists, index: int) -> tuple[Array, Flags]:
    """Return the elements at a place, of 8 bytes each, and where there is one."""
    values, kind = lists.values, lists.values.type
    words = np.frombuffer(values.buffers()[1], np.int64, len(values), values.offset * 8)
    where = runner("lists"), n_parts(len(lists.offsets) - 1)
    found, inside = elements_of(lists.offsets, words, index, *where)
    known = present_rows(values)
    if known is None:
        return array_of_values(found, inside, kind), inside
    flags, _ = elements_of(lists.offsets, known.astype(np.int64), index, *where)
    return array_of_values(found, flags != 0, kind), inside


def _taken(lists: Lists, index: int) -> tuple[Array, Flags]:
    """Return the same of elements of any type."""
    starts, ends = lists.offsets[:-1], lists.offsets[1:]
    places = starts + index if index >= 0 else ends + index
    inside = (places >= starts) & (places < ends)
    chosen = array_of_values(np.where(inside, places, 0), inside, pa.int64())
    return call("array_take", lists.values, chosen), inside


def _typed(stored: Array, dtype: DType) -> Array:
    """Return elements in the type of a column: times are stored as integers."""
    return stored.view(arrow_type(dtype)) if dtype.is_temporal else stored


def _slice(args: Sequence[Argument], params: Params, words: Words) -> Array:
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


def _contains(args: Sequence[Argument], params: Params, words: Words) -> Array:
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
    """What lists are searched for, of each row.

    Args:
        keys: as keys of the type of the elements, an Arrow array; null where it is none.
        known: whether there is an item.
    """

    keys: Array
    known: Flags


def items_of(argument: Argument, element: DType) -> Items:
    """Return the items of an argument of "list.contains", for elements of a type."""
    item, given = decoded(argument.values).combine_chunks(), comparable(argument.dtype)
    known = present_rows(item)
    keys = keys_as(_in_storage(item, given), given, element)
    return Items(keys, np.ones(len(item), np.bool_) if known is None else known)


def _in_storage(keys: Array, dtype: DType) -> Array:
    """Return keys as values of their type are stored, where conversions read them."""
    if dtype == UTF8:
        return keys
    storage = storage_type(dtype)
    values = keys.fill_null(0).to_numpy(zero_copy_only=False)
    return array_of_values(values.astype(storage.to_pandas_dtype()), present_rows(keys), storage)


def _explode(args: Sequence[Argument], params: Params, n_rows: int) -> Array:
    return _typed(lists_of(args[0].values).values, element_type([args[0].dtype]))


def _encode(args: Sequence[Argument], params: Params, n_rows: int) -> Array:
    lists, element = lists_of(args[0].values), element_type([args[0].dtype])
    elements = pa.chunked_array([_typed(lists.values, element)])
    column = key_column(elements, "an element", element, narrow=True)
    codes = encode(args[1].values, [column], [element], params["missing"], params["n_unseen"])
    return list_array(lists.offsets, codes, lists.present)


def _has_code(args: Sequence[Argument], params: Params, n_rows: int) -> Array:
    lists, code = lists_of(args[0].values), params["code"]
    found = np.zeros(n_rows, np.uint8)
    if code is not None:
        places = np.flatnonzero(lists.values.to_numpy() == code)
        found[np.searchsorted(lists.offsets, places, side="right") - 1] = 1
    elif lists.present is not None:
        found[~lists.present] = 1
    return array_of_values(found, None, pa.uint8())


_GIVES: Mapping[Gives, Callable[[Sequence[Argument], Params, Words], Array]] = {
    "element": _element,
    "flag": _contains,
    "length": _length,
    "slice": _slice,
}
"""What computes a function, by what it gives: of the arguments, parameters and words of a table."""
KERNELS: dict[str, Kernel] = {
    "list.encode": _encode,
    "list.explode": _explode,
    "list.has_code": _has_code,
    **{name: _step(row) for name, row in REQUESTED.items() if row.gives in _GIVES},
    **{f"list.{function}": aggregate(function) for function in AGGREGATES_OF_LISTS},
}
