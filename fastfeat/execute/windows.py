"""Window functions over the rows of the data or of a lookup table, as requests to a backend.

An order is an expression that names a time column, entity keys and perhaps a tie-breaking column:
rows are grouped by the keys and sorted by the time. A function in `calls` reads its values in that
order, and a "kept" dict is the backends' cache for it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fastfeat.backends import Backend, run_task
from fastfeat.errors import InvalidData, Overflow, TypeMismatch
from fastfeat.execute import failures
from fastfeat.execute.batch import Batch, rows_at
from fastfeat.execute.inputs import column_in_host
from fastfeat.execute.values import key_values, values_of
from fastfeat.io.arrow import call as arrow_call
from fastfeat.io.arrow import pa
from fastfeat.io.columns.bits import array_of_values, values_in
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.columns.keys import comparable, key_column, keys_as
from fastfeat.io.columns.types import arrow_type
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import INT64, DType
from fastfeat.ir.node import Call, Column, Node, TableColumn
from fastfeat.ir.scope import OVER, query_of, table_columns_of, table_of, window_of
from fastfeat.ir.show import show
from fastfeat.plan.lower.lower import NodeTypes
from fastfeat.steps.windows import tasks
from fastfeat.steps.windows.rows import (
    HistoryOverlaps,
    OverFailed,
    RowOrder,
    WindowRequest,
    function_over,
    window_params,
)

if TYPE_CHECKING:
    from fastfeat.steps.tables.rows import TableValues


def past_of(
    batch: Batch, order: Node, *, is_mixed: bool = False, kept: dict[Any, Any] | None = None
) -> RowOrder:
    """Return the time, key and tie-breaking columns of the rows that windows see; see `RowOrder`.

    `is_mixed` is the field of `RowOrder`. Backends read and extend `kept`, their cache for this
    order.
    """
    assert isinstance(order, Call)
    params = dict(order.params)
    time, *others = order.args
    tie = others.pop() if params["has_tie"] else None
    dtype, times = values_of(batch, time)
    return RowOrder(
        times,
        dtype,
        [key_values(batch, key, narrow=True) for key in others],
        [batch.types[key] for key in others],
        None if tie is None else key_values(batch, tie, narrow=False),
        None if tie is None else batch.types[tie],
        cache=kept,
        is_mixed=is_mixed,
    )


def _overlap(past: Batch, order: Node, row: int) -> InvalidData:
    """Return the error for a history row with a later time than a data row of its entity."""
    assert isinstance(order, Call)
    values = [(show(node), _shown_value(past, node, row)) for node in query_of(order)]
    time, *keys = (
        f"{name} = {str(value) if isinstance(value, date) else repr(value)}"
        for name, value in values
    )
    return InvalidData(
        f"history=, row {row}: {time} is later than a data row of the same entity "
        f"({', '.join(keys) or 'all rows are one entity'}). Pass only rows from before the data as "
        "history, or name the column that identifies a row, Plan(row_id='id'): then the history "
        "may also have later rows"
    )


def _shown_value(batch: Batch, node: Node, row: int) -> object:
    column = batch.table.column(node.name) if isinstance(node, Column) else batch.made.get(node)
    here = column_in_host(column, batch.backend)
    return None if here is None else here[row].as_py()


def run_over(
    batch: Batch, order: Node, calls: Sequence[Node], kept: dict[Any, Any] | None = None
) -> list[Any]:
    """Return one column per window function; all functions share one order of the rows.

    Columns of numbers may be in the memory of the backend's device.
    """
    past = batch.seen
    ordering = past_of(past, order, is_mixed=batch.places is not None, kept=kept)

    def compute(asked: Sequence[WindowRequest]) -> list[Any]:
        arrays = _of_rows_asked(batch, ordering, asked)
        return [
            codes_in_host(array, past.backend) if past.types[call].holds_bytes else array
            for call, array in zip(calls, arrays, strict=True)
        ]

    asked, texts = window_requests(past, calls, [call.args[0] for call in calls])
    try:
        return arrays_of(calls, asked, texts, past.types, compute)
    except HistoryOverlaps as failure:
        raise _overlap(past, order, failure.args[0]) from None


def check_history(batch: Batch, order: Node, kept: dict[Any, Any]) -> None:
    """Raise InvalidData at the first history row that is later than a data row of its entity.

    The history is compared with all rows from which the batch was selected. `kept` is the backends'
    cache for this order.
    """
    try:
        past = past_of(batch.seen, order, kept=kept)
        run_task(batch.backend, tasks.WindowTask(past, [], batch.n_earlier))
    except HistoryOverlaps as failure:
        raise _overlap(batch.seen, order, failure.args[0]) from None


def _of_rows_asked(batch: Batch, ordering: RowOrder, asked: Sequence[WindowRequest]) -> list[Any]:
    """Return one column per window function, for the rows of the batch."""
    places, first_row = batch.places, batch.first_place
    if places is None:
        with naming_row_numbers(batch):
            return run_task(batch.backend, tasks.WindowTask(ordering, asked, first_row))
    left, found = dict(enumerate(asked)), dict[int, Any]()
    while len(found) < len(asked):
        names = list(left)
        try:
            task = tasks.WindowTask(ordering, list(left.values()), first_row)
            arrays = run_task(batch.backend, task)
        except OverFailed as failure:
            (which, row), (text, kind) = map(int, failure.args[:2]), failure.args[2:]
            asking = np.flatnonzero(places == first_row + row)
            if len(asking):
                asking_row = batch.number_of(int(asking[0]))
                raise OverFailed(names[which], asking_row, text, kind) from None
            # Backends compute every row from the first asking row on, and a row between failed. The
            # definition computes only the asking rows.
            failing = names[which]
            found[failing] = _by_definition(batch, ordering, left.pop(failing), failing)
        else:
            at = places - first_row
            found |= {k: rows_at(a, at, batch.backend) for k, a in zip(left, arrays, strict=True)}
    return [found[k] for k in range(len(asked))]


def _by_definition(batch: Batch, ordering: RowOrder, asked: WindowRequest, which: int) -> Any:
    """Return one window function for the batch's rows, by the slow reference implementation."""
    from fastfeat.steps.windows.tasks import over_at  # seldom needed

    assert batch.places is not None

    def here(column: Any) -> Any:
        return column_in_host(column, batch.backend)

    past = replace(
        ordering,
        times=here(ordering.times),
        keys=[here(key) for key in ordering.keys],
        tie=None if ordering.tie is None else here(ordering.tie),
    )
    return over_at(past, replace(asked, values=here(asked.values)), which, batch.places.tolist())


def codes_in_host(codes: Any, backend: Backend) -> Any:
    """Return text codes, one per row, as an Arrow array in host memory."""
    here = column_in_host(codes, backend)
    return here.combine_chunks() if isinstance(here, pa.ChunkedArray) else here


def arrays_of(
    calls: Sequence[Node],
    asked: Sequence[WindowRequest],
    texts: Sequence[Any],
    types: NodeTypes,
    compute: Callable[[Sequence[WindowRequest]], list[Any]],
) -> list[Any]:
    """Return one column per window function, with text codes as a dictionary of their texts.

    `compute` returns a column per request; `asked` and `texts` come from `window_requests`.
    """
    with naming_functions(calls):
        arrays = compute(asked)
    return [
        pa.DictionaryArray.from_arrays(array, dictionary) if types[call].holds_bytes else array
        for call, dictionary, array in zip(calls, texts, arrays, strict=True)
    ]


@contextmanager
def naming_functions(calls: Sequence[Node]) -> Generator[None]:
    """Re-raise the error of a failing row with the name of the window function."""
    try:
        yield
    except OverFailed as failure:
        which, *where_and_why = failure.args
        raise failures.failed_step(calls[int(which)], *where_and_why) from None


@contextmanager
def naming_row_numbers(batch: Batch) -> Generator[None]:
    """Re-raise the error of a failing row with the row number that the caller knows."""
    try:
        yield
    except OverFailed as failure:
        which, row, text, kind = failure.args
        raise OverFailed(which, batch.number_of(row), text, kind) from None


def window_requests(
    rows: Batch, calls: Sequence[Node], values: Sequence[Node]
) -> tuple[list[WindowRequest], list[Any]]:
    """Return one request per function for a backend, and the texts behind its codes.

    Backends see text as integer codes. The texts are None for a function that reads no text.
    """
    of_text = [reads_text(rows.types, *pair) for pair in zip(calls, values, strict=True)]
    pairs = [*zip(values, of_text, strict=True)]
    texts = {x: text_codes(rows, x) for x, is_text in dict.fromkeys(pairs) if is_text}
    numbers = {x: values_of(rows, x) for x, is_text in dict.fromkeys(pairs) if not is_text}
    columns = [(INT64, texts[x].indices) if is_text else numbers[x] for x, is_text in pairs]
    known = _known_requests(tuple(calls), tuple([dtype for dtype, _ in columns]))
    asked = [
        WindowRequest(one.function, one.params, column, one.dtype, one.window, one.kept)
        for one, (_, column) in zip(known, columns, strict=True)
    ]
    return asked, [texts[x].dictionary if is_text else None for x, is_text in pairs]


def reads_text(types: NodeTypes, call: Node, value: Node) -> bool:
    """Return whether a function reads the text itself, rather than only whether it is missing."""
    assert isinstance(call, Call)
    return types[value].holds_bytes and not function_over(call).counts


def text_codes(batch: Batch, node: Node) -> Any:
    """Return text as a dictionary with int64 codes and entries sorted by their bytes."""
    coded = (
        decode_column(key_values(batch, node, narrow=False)).dictionary_encode().combine_chunks()
    )
    order = arrow_call("sort_indices", coded.dictionary)
    places = np.empty(len(order), np.int64)
    places[values_in(order)] = np.arange(len(order))
    codes = array_of_values(places, None, pa.int64()).take(coded.indices)
    return pa.DictionaryArray.from_arrays(codes, coded.dictionary.take(order))


@lru_cache(maxsize=128)
def _known_requests(calls: tuple[Node, ...], dtypes: tuple[DType, ...]) -> list[WindowRequest]:
    """Return requests for window functions, with input types but without input columns; cached."""
    return [_window_request(call, dtype) for call, dtype in zip(calls, dtypes, strict=True)]


def _window_request(call: Node, dtype: DType) -> WindowRequest:
    assert isinstance(call, Call)
    function, window = call.function.removeprefix(OVER), window_params(window_of(call))
    return WindowRequest(function, dict(call.params), None, dtype, window, {})


def table_rows(batch: Batch, columns: Iterable[TableColumn], types: NodeTypes) -> Batch:
    """Return the rows of a table as a batch of the given columns.

    `batch` holds the rows of the data and the columns of the table.
    """
    read = {c.name: _column(batch.made[c], types[Column(c.name)]) for c in columns}
    return Batch(pa.table(read), types, batch.backend, {}, {})


def _column(values: TableValues, dtype: DType) -> Any:
    """Return a lookup table column in the Arrow type that data columns have."""
    array, wanted = values.array, arrow_type(dtype)
    return array.view(wanted) if dtype.is_temporal else array


def run_over_table(
    batch: Batch, order: Call, calls: Sequence[Node], table: Batch, values: Sequence[Node]
) -> list[Any]:
    """Return one column per window function over a lookup table; all functions share one order."""
    past, query = past_of_table(batch, order), query_columns(batch, order)

    def compute(asked: Sequence[WindowRequest]) -> list[Any]:
        with naming_row_numbers(batch):
            return run_task(batch.backend, tasks.TableWindowTask(past, asked, query))

    with naming_table(table_of(order)):
        asked, texts = window_requests(table, calls, values)
    return arrays_of(calls, asked, texts, batch.types, compute)


def run_ahead(batch: Batch, order: Call, calls: Sequence[Node]) -> list[Any]:
    """Return one column per function over later rows of the data; all functions share one order."""
    seen, query = batch.seen, query_columns(batch, order)
    past = past_of(seen, order)
    keys = [_key_of_table(seen, *pair) for pair in zip(past.keys, past.key_dtypes, strict=True)]
    times = column_in_host(past.times, seen.backend)
    tie = None if past.tie is None else column_in_host(past.tie, seen.backend)
    past = replace(past, times=times, keys=keys, tie=tie)

    def compute(asked: Sequence[WindowRequest]) -> list[Any]:
        with naming_row_numbers(batch):
            return run_task(batch.backend, tasks.TableWindowTask(past, asked, query))

    asked, texts = window_requests(seen, calls, [call.args[0] for call in calls])
    return arrays_of(calls, asked, texts, batch.types, compute)


def _key_of_table(seen: Batch, values: Any, dtype: DType) -> Any:
    """Return one key column of the data as one chunk, without codes, like the keys of a table."""
    here = column_in_host(values, seen.backend)
    if dtype.holds_bytes or isinstance(values, DeviceArray):
        here = key_column(here, "key", dtype)
    return decode_column(here).combine_chunks()


def query_columns(batch: Batch, order: Call) -> RowOrder:
    """Return the time and key columns by which each data row looks up other rows."""
    time, *keys = query_of(order)
    dtype, times = values_of(batch, time)
    parts = [key_values(batch, key, narrow=True) for key in keys]
    return RowOrder(times, dtype, parts, [batch.types[key] for key in keys])


def past_of_table(batch: Batch, order: Call) -> RowOrder:
    """Return the time, key and tie-breaking columns that sort the rows of a lookup table."""
    params, (time, *others) = dict(order.params), table_columns_of(order)
    tie = others.pop() if params["has_tie"] else None
    names = tuple((column.name, batch.types[column]) for column in table_columns_of(order)[1:])
    times: TableValues = batch.made[time]
    cache: dict[Any, Any] = times.cache.setdefault(("order", params["n_keys"], names), {})
    tie_dtype = None if tie is None else comparable(batch.types[tie])
    return RowOrder(
        times.array,
        batch.types[time],
        [batch.made[key].array for key in others],
        [batch.types[key] for key in others],
        None if tie is None else _tie(batch.made[tie], tie_dtype),
        tie_dtype,
        cache,
    )


def _tie(values: TableValues, dtype: Any) -> Any:
    """Return the column that orders table rows of equal time, in the storage type of keys."""
    return pa.chunked_array([keys_as(values.array, dtype, dtype)])


@contextmanager
def naming_table(name: str) -> Generator[None]:
    """Prefix errors about the rows of a table with the table's name."""
    try:
        yield
    except (InvalidData, Overflow, TypeMismatch) as error:
        raise type(error)(f"the table {name!r}: {error}") from None
