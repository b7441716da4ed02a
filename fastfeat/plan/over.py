"""Functions of the rows in windows: what a backend is asked for, of which columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastfeat.dtypes import INT64, DType
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import call as arrow_call
from fastfeat.io.arrow import pa
from fastfeat.io.decode import decoded
from fastfeat.ir.node import Call, Column, Node
from fastfeat.ir.scope import OVER, window_of
from fastfeat.ir.show import show
from fastfeat.plan.batch import Batch
from fastfeat.plan.border import column_in_host
from fastfeat.plan.values import key_values, values_of
from fastfeat.steps.windows import Asked, HistoryOverlaps, OverFailed, Past


def _past_of(batch: Batch, order: Node) -> Past:
    """Return the columns that order the rows of each entity."""
    assert isinstance(order, Call)
    params = dict(order.params)
    time, *others = order.args
    tie = others.pop() if params["has_tie"] else None
    dtype, times = values_of(batch, time)
    return Past(
        times,
        dtype,
        [key_values(batch, key, narrow=True) for key in others],
        [batch.types[key] for key in others],
        None if tie is None else key_values(batch, tie, narrow=False),
        None if tie is None else batch.types[tie],
    )


def _overlap(past: Batch, order: Node, row: int) -> InvalidData:
    """Return the error of a row of the history that is later than one of the data."""
    assert isinstance(order, Call)
    n_keys = dict(order.params)["n_keys"]
    values = [(show(node), _shown_value(past, node, row)) for node in order.args[: 1 + n_keys]]
    time, *keys = (f"{name} = {value!r}" for name, value in values)
    return InvalidData(
        f"history=, row {row}: {time} is later than a row of the data of its entity "
        f"({', '.join(keys) or 'all rows are one'}). Pass as history what came before the data"
    )


def _shown_value(batch: Batch, node: Node, row: int) -> object:
    column = batch.table.column(node.name) if isinstance(node, Column) else batch.made.get(node)
    here = column_in_host(column, batch.backend)
    return None if here is None else here[row].as_py()


def run_over(past: Batch, order: Node, calls: Sequence[Node], first_row: int) -> list[Any]:
    """Return the column of each of some functions over windows of one order of the rows.

    Columns of numbers may be in the memory of the device of the backend.

    Args:
        past: the rows that windows see; what the functions read of them is made.
        order: what orders them.
        calls: the functions.
        first_row: the first row that they are wanted for.

    Raises:
        InvalidData: a row before that is later than one from there on.
    """
    texts = {
        node: _text_codes(past, node)
        for node in dict.fromkeys(call.args[0] for call in calls if _reads_text(past, call))
    }
    numbers = {
        node: values_of(past, node)
        for node in dict.fromkeys(call.args[0] for call in calls if not _reads_text(past, call))
    }
    asked = [
        _asked_of(call, texts[call.args[0]].indices, INT64)
        if _reads_text(past, call)
        else _asked_of(call, *numbers[call.args[0]][::-1])
        for call in calls
    ]
    try:
        arrays = past.backend.over(_past_of(past, order), asked, first_row)
    except HistoryOverlaps as failure:
        raise _overlap(past, order, failure.args[0]) from None
    except OverFailed as failure:
        which, row, text, kind = failure.args
        raise kind(f"{show(calls[int(which)])}, row {row}: {text}") from None
    return [
        _text_of(past, array, texts[call.args[0]].dictionary)
        if past.types[call].holds_bytes
        else array
        for call, array in zip(calls, arrays, strict=True)
    ]


def _text_of(batch: Batch, codes: Any, texts: Any) -> Any:
    """Return text from which of some texts each row is."""
    here = column_in_host(codes, batch.backend)
    whole = here.combine_chunks() if isinstance(here, pa.ChunkedArray) else here
    return pa.DictionaryArray.from_arrays(whole, texts)


def _reads_text(batch: Batch, call: Node) -> bool:
    """Return whether a function reads text itself, not only where there is one."""
    assert isinstance(call, Call)
    counts = call.function in (f"{OVER}count", f"{OVER}null_count")
    return batch.types[call.args[0]].holds_bytes and not counts


def _text_codes(batch: Batch, node: Node) -> Any:
    """Return text as a dictionary of int64, whose entries stand in the order of their bytes."""
    coded = decoded(key_values(batch, node, narrow=False)).dictionary_encode().combine_chunks()
    order = arrow_call("sort_indices", coded.dictionary)
    places = np.empty(len(order), np.int64)
    places[order.to_numpy()] = np.arange(len(order))
    codes = pa.array(places).take(coded.indices)
    return pa.DictionaryArray.from_arrays(codes, coded.dictionary.take(order))


def _asked_of(call: Node, values: Any, dtype: DType) -> Asked:
    """Return what a backend is asked for of the rows in a window.

    Args:
        call: a function over a window.
        values: the column that it is of; the same one for all functions of it.
        dtype: the type of the column.
    """
    assert isinstance(call, Call)
    function, window = call.function.removeprefix(OVER), window_of(call)
    return Asked(function, dict(call.params), values, dtype, dict(window.params))
