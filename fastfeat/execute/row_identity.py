"""Rows with the same id: rows that stand in both history and data, and repeated ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int64Array

from fastfeat.backends import Backend, run_task
from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.execute.inputs import column_in_host
from fastfeat.io.arrow import ChunkedArray, call, pa
from fastfeat.io.columns.decode import decode_column, has_value, plain, plain_table
from fastfeat.io.columns.keys import key_column
from fastfeat.io.columns.types import UnsupportedType, column_text, schema_of
from fastfeat.io.device import DeviceArray, DeviceTable
from fastfeat.ir.dtypes import BOOL, INT64, NULL, UINT64, DType
from fastfeat.steps.keys.tasks import DistinctTask


class DistinctRows(NamedTuple):
    """The distinct rows of a history and of data, history rows first.

    Args:
        rows: Position of each row in the history followed by the data. If a row is in both, its
            position in the data.
        of_history: The same for columns that the data lacks: if a row is in both, its position in
            the history.
        places: Position of each data row among the distinct rows, shape (n_rows,).
    """

    rows: Int64Array
    of_history: Int64Array
    places: Int64Array

    def column(self, joined: ChunkedArray, *, is_in_data: bool) -> ChunkedArray:
        """Return one column of the distinct rows.

        `joined` has the history's values, then the data's.

        `is_in_data` tells whether the data has the column.
        """
        rows = self.rows if is_in_data else self.of_history
        stand = len(rows) == len(joined) and bool((rows == np.arange(len(rows))).all())
        return joined if stand else plain(decode_column(joined)).take(pa.array(rows))


def match_rows_by_id(name: str, history: Any, data: Any) -> DistinctRows:
    """Return the distinct rows of history and data: two rows with the same id are one row.

    Raises:
        InvalidData: A row without an id, an id repeated in the data, or history rows with the same
            id but different values.
        TypeMismatch: The ids cannot be compared.
    """
    n_history, n_data = history.num_rows, data.num_rows
    dtype = _id_type(name, history, data)
    ids = [
        _ids(name, table, dtype, told) for table, told in ((history, "history="), (data, "data"))
    ]
    if _all_differ(*ids):
        every: Int64Array = np.arange(int(n_history + n_data))
        return DistinctRows(every, every, every[n_history:])
    codes = _codes(pa.concat_arrays(ids))
    before, of_data = codes[:n_history], codes[n_history:]
    _check_distinct(name, ids[1], of_data)
    rows = _firsts(before)
    n_kept = len(rows)
    if n_kept < n_history:
        _check_alike(name, ids[0], history, before, rows)
    # Codes number ids by first occurrence: first the distinct history rows, then new ids.
    n_rows = max(n_kept, int(of_data.max(initial=-1)) + 1)
    own = np.empty(n_rows, np.int64)
    own[:n_kept] = rows
    own[of_data] = n_history + np.arange(n_data)
    return DistinctRows(own, np.append(rows, own[n_kept:]), of_data)


def check_ids(name: str, data: Any, backend: Backend | None = None) -> None:
    """Raise if two rows of the data have the same id, since windows would count the row twice.

    If `data` is on a device, the ids stay there unless two are equal; `backend` computes there.

    Raises:
        InvalidData: A row without an id, or two rows with the same id.
        TypeMismatch: A column type that cannot be an id.
    """
    if isinstance(data, DeviceTable):
        assert backend is not None
        if _n_again_on_device(name, data, backend) == 0:
            return
        data = _in_host(data, [name], backend)
    ids = _ids(name, data, _id_type(name, data, data), "data")
    if not _all_differ(ids[:0], ids):
        _check_distinct(name, ids, _codes(ids))


def check_alike(
    name: str,
    data: Any,
    columns: Sequence[str],
    numbers: Int64Array | None = None,
    backend: Backend | None = None,
) -> tuple[int, int | None]:
    """Return the number of rows that repeat an earlier id, and the first such row.

    If `data` is on a device, rows stay there unless two with the same id differ.

    Args:
        name: The id column.
        data: A table with the id column.
        columns: Columns in which rows with the same id must be equal.
        numbers: Row numbers within larger data, shape (n_rows,); None to count from 0.
        backend: Computes on the device; None if the data is in host memory.

    Returns:
        Two zeros if all ids differ. The first row is None if the rows were counted on a device.

    Raises:
        InvalidData: A row without an id, or two rows with the same id but different values.
        TypeMismatch: A column type that cannot be an id.
    """
    if isinstance(data, DeviceTable):
        assert backend is not None
        others = [column for column in columns if column != name]
        n_again = _n_again_on_device(name, data, backend)
        if n_again == 0:
            return 0, 0
        if n_again is not None and _are_alike_on_device(name, data, others, n_again, backend):
            return n_again, None
        data = _in_host(data, [name, *others], backend)
    ids = _ids(name, data, _id_type(name, data, data), "data")
    codes = _codes_if_repeated(ids)
    if codes is None:
        return 0, 0
    firsts = _firsts(codes)
    numbers = np.arange(len(codes)) if numbers is None else numbers
    _check_alike(name, ids, data.select(columns), codes, firsts, "data", numbers)
    is_again = np.ones(len(codes), np.bool_)
    is_again[firsts] = False
    return len(codes) - len(firsts), int(numbers[np.argmax(is_again)])


def _n_again_on_device(name: str, data: DeviceTable, backend: Backend) -> int | None:
    """Return the number of rows that repeat an earlier id; None if the host must check the rows.

    The host checks rows if one has no id, or if the column type cannot be an id, to report the row.
    """
    n_ids = _n_distinct(data, [name], "key", backend)
    if n_ids == data.num_rows:
        return 0
    if n_ids is None or n_ids != _n_distinct(data, [name], "value", backend):
        return None
    return data.num_rows - n_ids


def _are_alike_on_device(
    name: str, data: DeviceTable, columns: Sequence[str], n_again: int, backend: Backend
) -> bool:
    """Return whether rows with the same id are equal in other columns.

    They are if each of these columns has as many distinct pairs of id and value as there are ids.
    """
    n_ids = data.num_rows - n_again
    return all(_n_distinct(data, [name, one], "value", backend) == n_ids for one in columns)


def _n_distinct(
    data: DeviceTable, columns: Sequence[str], missing: str, backend: Backend
) -> int | None:
    """Return the number of distinct rows in some columns; None if a column type cannot be a key."""
    keys: list[Any] = []
    dtypes: list[DType] = []
    for name in columns:
        column = data.column(name)
        dtype = schema_of(data)[name]
        if isinstance(dtype, UnsupportedType) or dtype.is_list or dtype == NULL:
            return None
        is_there = isinstance(column, DeviceArray)
        keys.append(replace(column, name=name) if is_there else key_column(column, name, dtype))
        dtypes.append(dtype)
    return run_task(backend, DistinctTask(keys, dtypes, missing))


def _in_host(data: DeviceTable, columns: Sequence[str], backend: Backend) -> Any:
    """Return columns of a table in host memory, so that errors about their rows can be reported."""
    return pa.table({name: column_in_host(data.column(name), backend) for name in columns})


def repeated_ids(name: str, data: Any) -> Int64Array | None:
    """Return an integer per row, equal for rows with the same id; None if all ids differ.

    Raises:
        InvalidData: A row without an id.
        TypeMismatch: A column type that cannot be an id.
    """
    return _codes_if_repeated(_ids(name, data, _id_type(name, data, data), "data"))


def check_present(name: str, data: Any, first_row: int) -> None:
    """Raise InvalidData if a row has no id; messages count rows from `first_row`."""
    present = has_value(data.column(name))
    if not present.all():
        raise _lacking(name, "data", first_row + int(np.argmin(present)))


def one_table(name: str, history: Any, data: Any) -> tuple[Any, Int64Array]:
    """Return one table of the distinct rows of history and data, and the position of each data row.

    Columns that the data lacks are filled from the history.
    """
    found, there = match_rows_by_id(name, history, data), set(data.column_names)
    filled = plain_table(data)
    for column in history.column_names:
        if column not in there:
            filled = filled.append_column(column, pa.nulls(data.num_rows))
    joined = pa.concat_tables(
        [history, filled.select(history.column_names)], promote_options="permissive"
    )
    columns = {
        column: found.column(joined.column(column), is_in_data=column in there)
        for column in joined.column_names
    }
    return pa.table(columns), found.places


def _id_type(name: str, history: Any, data: Any) -> DType:
    """Return the type for comparing ids: that of the data, or a number type that holds both."""
    given = [type_of_id(name, schema_of(table)) for table in (data, history)]
    known = [dtype for dtype in given if dtype != NULL]
    if not known:
        return INT64
    if not all(dtype.is_number for dtype in known):
        return known[0]
    if UINT64 in known:
        return UINT64
    is_whole = any(dtype.is_integer or dtype in (BOOL,) for dtype in known)
    return INT64 if is_whole or known[0].name == "decimal" else known[0]


def type_of_id(name: str, types: Mapping[str, DType | UnsupportedType]) -> DType:
    """Return the type of an id column; raise TypeMismatch if it cannot be an id."""
    dtype = types[name]
    if isinstance(dtype, UnsupportedType) or dtype.is_list:
        raise TypeMismatch(
            f"row_id={name!r}: ids must be text, bytes, numbers, dates or times, got {dtype}. "
            "Cast the column first"
        )
    return dtype


def _ids(name: str, table: Any, dtype: DType, told: str) -> Any:
    """Return the ids as an array of keys; raise InvalidData if a row has no id."""
    shown, column = f"row_id={name!r}", table.column(name)
    try:
        stored = decode_column(key_column(column, name, dtype)).combine_chunks()
    except (InvalidData, TypeMismatch) as error:
        raise type(error)(f"{told}, {shown}: {error}") from error
    if stored.null_count:
        row = int(np.argmin(call("is_valid", stored).to_numpy(zero_copy_only=False)))
        raise _lacking(name, told, row)
    return stored


def _lacking(name: str, told: str, row: int) -> InvalidData:
    return InvalidData(
        f"{told}, row {row}: {column_text(name)} is missing, but row_id= needs an id in every row. "
        "Give each row an id, or leave out the rows without one"
    )


def _all_differ(before: Any, now: Any) -> bool:
    """Return whether all ids of both arrays are distinct; False also for ids of text or bytes.

    Sorting takes 8 ms (CPU) for 1M random integers; numbering them takes 53 ms.
    """
    if not pa.types.is_primitive(before.type):
        return False
    known, asked = np.sort(before.to_numpy()), np.sort(now.to_numpy())
    at = np.searchsorted(known, asked)
    is_new = np.append(known, known[-1:])[at] != asked if len(known) else True
    return bool(
        np.all(known[1:] != known[:-1]) and np.all(asked[1:] != asked[:-1]) and np.all(is_new)
    )


def _codes(ids: Any) -> Int64Array:
    """Return an integer per row that numbers its id, from 0 in order of first occurrence."""
    return call("dictionary_encode", ids).indices.to_numpy().astype(np.int64)


def _codes_if_repeated(ids: Any) -> Int64Array | None:
    """Return an integer per row that numbers its id; None if no two ids are equal."""
    if _all_differ(ids[:0], ids):
        return None
    codes = _codes(ids)
    return None if int(codes.max(initial=-1)) + 1 == len(codes) else codes


def _firsts(codes: Int64Array) -> Int64Array:
    """Return the position of the first row of each id, indexed by the number of the id."""
    return np.flatnonzero(codes > np.maximum.accumulate(np.append(-1, codes))[:-1])


def _check_distinct(name: str, ids: Any, codes: Int64Array) -> None:
    """Raise InvalidData if two rows of the data have the same id."""
    order = np.argsort(codes, kind="stable")
    again = np.flatnonzero(np.diff(codes[order]) == 0)
    if len(again):
        row = int(order[again + 1].min())
        first = int(np.argmax(codes == codes[row]))
        raise InvalidData(
            f"data, row {row}: {column_text(name)} = {_value(ids, row)} is also the id of row "
            f"{first}, but a row_id= must be unique. Leave out one of the two rows"
        )


def _check_alike(
    name: str,
    ids: Any,
    table: Any,
    codes: Int64Array,
    rows: Int64Array,
    told: str = "history=",
    numbers: Int64Array | None = None,
) -> None:
    """Raise InvalidData if rows with the same id differ.

    Args:
        name: The id column.
        ids: Id of each row.
        table: The rows.
        codes: Number of the id of each row.
        rows: The first row of each id.
        told: Name of the argument that holds the rows, for the message.
        numbers: Row numbers for the message; None for positions in the table.
    """
    is_first = np.zeros(len(codes), np.bool_)
    is_first[rows] = True
    again = np.flatnonzero(~is_first)
    firsts = rows[codes[again]]
    differing: dict[int, str] = {}
    for column in table.column_names:
        if column == name:
            continue
        k = first_unlike(table.column(column), again, firsts)
        if k is not None:
            differing.setdefault(k, column)
    if differing:
        k = min(differing)
        row, first, column = int(again[k]), int(firsts[k]), differing[k]
        values = table.column(column)
        named = [row, first] if numbers is None else numbers[[row, first]].tolist()
        raise InvalidData(
            f"{told}, row {named[0]}: {column_text(name)} = {_value(ids, row)} is also the id of "
            f"row {named[1]}, but {column_text(column)} is {_value(values, row)} here and "
            f"{_value(values, first)} there. A row_id= must be unique: leave out one of these rows"
        )


def first_unlike(column: ChunkedArray, left: Int64Array, right: Int64Array) -> int | None:
    """Return the first k for which rows `left[k]` and `right[k]` differ, or None.

    Missing values equal each other. Both arrays have shape (n_pairs,).
    """
    values = plain(decode_column(column))
    if pa.types.is_floating(values.type):  # NaN is missing, and does not equal itself
        values = call("if_else", call("is_nan", values), pa.scalar(None, values.type), values)
    here, there = (values.take(pa.array(rows)).combine_chunks() for rows in (left, right))
    if here.equals(there):
        return None
    for k, pair in enumerate(zip(here.to_pylist(), there.to_pylist(), strict=True)):
        one, other = (None if value != value else value for value in pair)
        if one != other:
            return k
    return None


def _value(values: Any, row: int) -> str:
    return repr(values[row].as_py())
