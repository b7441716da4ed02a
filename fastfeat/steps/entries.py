"""Run a function on the entries (distinct values) of a dictionary column, not on every row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastfeat.io.arrow import Array, ChunkedArray, call, cast, pa
from fastfeat.ir.dtypes import NULL
from fastfeat.steps.step import Argument, StepFailed

EntryFunction = Callable[[ChunkedArray], Any]


def content_column(argument: Argument) -> ChunkedArray:
    """Return the column of a step's argument as text or bytes.

    A column of type null becomes text.
    """
    if argument.dtype != NULL:
        return argument.values
    return pa.chunked_array([pa.nulls(len(argument.values), pa.large_string())])


def over_entries(column: ChunkedArray, work: EntryFunction) -> Any:
    """Return the result of `work` for each row of a column of text or bytes.

    For a dictionary column, `work` runs on its entries (the distinct texts), and the results are
    looked up for the rows. It runs on the rows instead if there are more entries than rows, or if
    one entry fails, since no row may refer to that entry. `work` gets a column without dictionary,
    as keys are stored. It returns an array, or text as a chunked array, or raises StepFailed.
    """
    if not pa.types.is_dictionary(column.type):
        return work(column)
    if sum(len(chunk.dictionary) for chunk in column.chunks) <= len(column):
        try:
            pieces = [_taken(work, chunk) for chunk in column.chunks]
        except StepFailed as failure:
            if failure.args[0] is None:
                raise
            pieces = []
        if pieces:
            return pa.chunked_array(pieces)
    return work(without_dictionary(column))


def without_dictionary(column: ChunkedArray) -> ChunkedArray:
    """Return a dictionary column as plain values; other columns unchanged."""
    if not pa.types.is_dictionary(column.type):
        return column
    pieces = [call("array_take", chunk.dictionary, chunk.indices) for chunk in column.chunks]
    return pa.chunked_array(pieces, column.type.value_type)


def _taken(work: EntryFunction, chunk: Array) -> Array:
    """Return `work`'s results for a dictionary chunk: computed per entry, looked up per row.

    Text results stay a dictionary.
    """
    entries = work(pa.chunked_array([chunk.dictionary]))
    if isinstance(entries, pa.ChunkedArray):
        entries = pa.concat_arrays(entries.chunks)
    if pa.types.is_string(entries.type):
        entries = cast(entries, pa.large_string())
    if is_content(entries.type):
        return pa.DictionaryArray.from_arrays(chunk.indices, entries)
    return call("array_take", entries, chunk.indices)


def is_content(kind: Any) -> bool:
    """Return whether an Arrow type is the type in which keys of text or bytes are stored."""
    return kind in (pa.large_string(), pa.large_binary())
