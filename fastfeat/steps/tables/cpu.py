"""Lookups and as-of joins on the CPU: a table is indexed or sorted once, then searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.asof.state import MAX_ROWS, AsofOrder, find, in_order, rows_in_place
from fastfeat_kernels.gather.state import gather
from numpy.typing import NDArray

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import Array, ChunkedArray, DataType, call, pa
from fastfeat.io.columns.bits import array_of_values, values_in
from fastfeat.io.columns.column import Chunk, physical_chunks
from fastfeat.io.columns.keys import comparable, table_keys_as
from fastfeat.io.columns.times import ticks_column
from fastfeat.io.columns.types import arrow_type
from fastfeat.io.sinks import write
from fastfeat.ir.dtypes import DType
from fastfeat.steps.keys import cpu_learner
from fastfeat.steps.keys.cpu_vocabulary import encode
from fastfeat.steps.keys.tasks import KeysTask
from fastfeat.steps.step import Argument
from fastfeat.steps.tables.rows import TableValues, parts_of, rows_by_key, rule_of

_ANY_SIZE = 1 << 62


class _Index(NamedTuple):
    """An index of the keys of a table.

    Args:
        keys: Its distinct keys.
        rows: The table row of each code of a key (0 missing, 1 unknown, then the keys), shape (2 +
            n_keys,).
    """

    keys: Vocabulary
    rows: NDArray[np.int64]


def lookup_rows(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Array:
    """Return, for each row of the data, the number of the table row with its key, int64.

    It is null if there is none. `steps.tables.rows` has the definition.
    """
    half = len(args) // 2
    left, right = args[:half], args[half:]
    dtypes = [comparable(argument.dtype) for argument in left]
    index = _index(right, dtypes)
    encoded = encode(index.keys, [arg.values for arg in left], dtypes, "key", 1)
    codes = values_in(encoded)
    return array_of_values(index.rows[codes], codes > 1, pa.int64())


def lookup_values(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    """Return the table's value for each row of the data, by the table rows that were found.

    Floats of rows without a value are null, never NaN.
    """
    rows, column = args
    exact, array = arrow_type(comparable(column.dtype)), _without_nan(column.values)
    n_bytes = array.type.bit_width // 8 if _has_whole_bytes(array.type) else 0
    if n_bytes:
        return _gathered(rows.values, array, n_bytes).view(exact)
    found = [call("array_take", array, chunk) for chunk in rows.values.chunks]
    return pa.chunked_array(found, None if found else exact)


def _without_nan(column: TableValues) -> Array:
    """Return a column of a table with null for NaN; the result is cached."""
    array = column.array
    if not pa.types.is_floating(array.type):
        return array
    found: Array | None = column.cache.get("without NaN")
    if found is None:
        is_nan = call("is_nan", array)
        some = call("any", is_nan).as_py()
        found = call("if_else", is_nan, pa.scalar(None, array.type), array) if some else array
        column.cache["without NaN"] = found
    return found


def _has_whole_bytes(arrow_type: DataType) -> bool:
    return pa.types.is_primitive(arrow_type) and arrow_type != pa.bool_()


def _gathered(rows: ChunkedArray, column: Array, n_bytes: int) -> Array:
    """Return the value of a table column at each of the given table rows.

    Values have `n_bytes` bytes.
    """
    numbers, chunks = physical_chunks(rows), physical_chunks(pa.chunked_array([column]))
    empty = Chunk(0, 0, 0, 0, 0, column)
    values = chunks[0] if chunks else empty
    memory, parts = write.empty_bytes(n_bytes * len(rows)), n_parts(len(rows))
    found = gather(numbers, values, n_bytes, runner("gather"), parts, memory)
    bitmap = None if found.bitmap is None else pa.py_buffer(found.bitmap)
    buffers = [bitmap, pa.py_buffer(found.values)]
    return pa.Array.from_buffers(column.type, len(rows), buffers)


def _index(keys: Sequence[Argument], dtypes: Sequence[DType]) -> _Index:
    """Return an index of the keys of a table, converted to the key types of the data; cached."""
    columns: list[TableValues] = [key.values for key in keys]
    cache, name = columns[0].cache, (tuple(column.name for column in columns), tuple(dtypes))
    found: _Index | None = cache.get(name)
    if found is None:
        found = cache[name] = _indexed(keys, dtypes)
    return found


def _indexed(keys: Sequence[Argument], dtypes: Sequence[DType]) -> _Index:
    own = [comparable(key.dtype) for key in keys]
    parts = _parts(keys, own)
    counted = cpu_learner.count_keys(KeysTask(parts, own, "key", _ANY_SIZE))
    if len(counted.counts) and counted.counts[0] > 1:  # keys are ordered by their counts
        rows_by_key(keys)
        raise AssertionError("a key repeats, but the definition found no repeated key")
    if own != list(dtypes):  # keys that convert to both types stay distinct
        parts = _parts(keys, dtypes)
        counted = cpu_learner.count_keys(KeysTask(parts, dtypes, "key", _ANY_SIZE))
    distinct = Vocabulary(counted.parts, counted.counts, counted.n_missing)
    codes = values_in(encode(distinct, parts, dtypes, "key", 1))
    rows = np.zeros(2 + len(distinct), np.int64)
    rows[codes] = np.arange(len(codes), dtype=np.int64)
    return _Index(distinct, rows)


def _parts(keys: Sequence[Argument], dtypes: Sequence[DType]) -> list[Any]:
    """Return the parts of a table's keys converted to `dtypes`.

    A value that the type cannot hold becomes null.
    """
    return table_keys_as([key.values.array for key in keys], [key.dtype for key in keys], dtypes)


_RUN = "asof"

_FIRST_KEY = 2  # codes 0 and 1 are missing and unseen keys


class _TableOrder(NamedTuple):
    """The rows of a table, sorted by key and then time.

    Args:
        keys: The distinct keys; None if all rows share one.
        rows: The sorted rows.
    """

    keys: Vocabulary | None
    rows: AsofOrder


def asof_rows(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Array:
    """Return, for each row of the data, the number of the table row that was known at its moment.

    It is null if there is none. `steps.tables.rows` has the definition.
    """
    time, keys, right, right_keys = parts_of(args)
    dtypes = [comparable(key.dtype) for key in keys]
    table = _table_order(right, right_keys, dtypes)
    codes = None
    if table.keys is not None:
        encoded = encode(table.keys, [key.values for key in keys], dtypes, "key", 1)
        codes = values_in(encoded)
    times = physical_chunks(ticks_column(time.values, time.dtype))
    rule = rule_of(time.dtype, right.dtype, params)
    memory = write.empty_bytes(8 * n_rows).view(np.int64)
    run, parts = runner(_RUN), n_parts(n_rows)
    found = find(table.rows, codes, times, rule, run, parts, _FIRST_KEY, memory)
    buffers = [pa.py_buffer(found.bitmap), pa.py_buffer(found.rows)]
    return pa.Array.from_buffers(pa.int64(), n_rows, buffers)


def _table_order(right: Argument, keys: Sequence[Argument], dtypes: Sequence[DType]) -> _TableOrder:
    """Return the rows of a table, sorted by key and time; cached."""
    name = ("asof", tuple(key.values.name for key in keys), tuple(dtypes))
    found: _TableOrder | None = right.values.cache.get(name)
    if found is None:
        found = right.values.cache[name] = _in_order(right, keys, dtypes)
    return found


def _in_order(right: Argument, keys: Sequence[Argument], dtypes: Sequence[DType]) -> _TableOrder:
    times = ticks_column(right.values.array, right.dtype)
    n_rows, known = len(times), None
    if n_rows > MAX_ROWS:
        raise InvalidData(
            f"the table {right.values.table!r} has {n_rows:,} rows, but an as-of join takes at "
            f"most {MAX_ROWS:,}. Pass fewer rows, for example only those from the data's time range"
        )
    chunks, parts_of_rows = physical_chunks(times), n_parts(n_rows)
    codes, n_keys = np.zeros(n_rows, np.int32), 1
    if not keys:
        rows = rows_in_place(chunks, runner(_RUN), parts_of_rows)
        if rows is not None:
            return _TableOrder(None, rows)
    else:
        own = [key.dtype for key in keys]
        parts = table_keys_as([key.values.array for key in keys], own, dtypes)
        counted = cpu_learner.count_keys(KeysTask(parts, dtypes, "key", _ANY_SIZE, with_rows=True))
        known = Vocabulary(counted.parts, counted.counts, counted.n_missing)
        n_keys = len(known)
        assert counted.of_rows is not None, "count_keys was called with with_rows=True"
        codes = counted.of_rows(np.arange(n_keys, dtype=np.int32), -1)
    return _TableOrder(known, in_order(codes, chunks, n_keys, runner("windows"), parts_of_rows))


KERNELS = {"asof_row": asof_rows, "lookup_row": lookup_rows, "lookup_value": lookup_values}
