"""Tables in memory as Arrow tables: dicts of arrays, lists of dicts, pandas and Polars frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastfeat.errors import InvalidData, TypeMismatch, counted
from fastfeat.io.arrow import Table, pa
from fastfeat.io.columns.types import column_text
from fastfeat.io.sources.arrays import column_array, is_polars_object, no_arrow_type, pandas_array
from fastfeat.io.sources.strided import RunTasks, contiguous_columns, run_in_turn


def mapping_table(
    data: Mapping[Any, Any], columns: Sequence[str] | None, run: RunTasks = run_in_turn
) -> Table:
    """Return a dict of columns as a table, without a copy if NumPy and Arrow share a layout.

    `columns` selects columns; names that are missing are left out, and None takes all. `run` copies
    strided columns.
    """
    if not data:
        raise InvalidData("the dict of columns is empty: pass at least one column")
    if columns is None:
        names = [text_name(name) for name in data]
    else:
        names = [name for name in columns if name in data]
    if not names:
        name, values = next(iter(data.items()))
        return rows_only(len(column_array(values, str(name))))
    columns = contiguous_columns([data[name] for name in names], run)
    return table_of([column_array(c, n) for c, n in zip(columns, names, strict=True)], names)


def rows_table(rows: Sequence[Any], columns: Sequence[str] | None) -> Table:
    """Return a list of dicts, one per row, as a table; None is missing.

    A column is built like one from the list of its values. `columns` selects columns; names that no
    row has are left out, and None takes all.
    """
    for at, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise TypeMismatch(f"expected a list of dicts, one per row, but row {at} is {row!r}")
    there = dict.fromkeys(name for row in rows for name in row)
    names = [text_name(name) for name in (there if columns is None else columns) if name in there]
    for name in names:
        lacking = next((at for at, row in enumerate(rows) if name not in row), None)
        if lacking is not None:
            raise InvalidData(
                f"{column_text(name)}: row {lacking} does not have it, but other rows do. Write "
                "None where it is missing"
            )
    if not names:
        return rows_only(len(rows))
    return table_of([column_array([row[name] for row in rows], name) for name in names], names)


def polars_table(frame: Any, columns: Sequence[str] | None) -> Table:
    """Return an eager Polars frame as a table, through its Arrow stream.

    `columns` selects columns; names that are missing are left out, and None takes all.
    """
    names: list[str] = frame.columns
    if not names:
        raise InvalidData("the Polars DataFrame has no columns")
    if columns is not None:
        there = set(names)
        wanted = [name for name in columns if name in there]
        if not wanted:  # a stream without columns loses the number of rows
            return rows_only(len(frame))
        frame = frame if wanted == names else frame[wanted]
    for name, dtype in polars_objects(frame).items():
        raise no_arrow_type(name, dtype)
    try:
        return pa.RecordBatchReader.from_stream(frame).read_all()
    except Exception as error:
        for name, dtype in polars_unreadable(frame).items():
            raise no_arrow_type(name, dtype) from error
        raise TypeMismatch(f"the Polars DataFrame cannot be read: {error}") from error


def polars_objects(frame: Any) -> dict[str, Any]:
    """Return the columns of Python objects in a Polars frame, and their types.

    Polars would export their addresses to Arrow, as bytes.
    """
    return {n: t for n, t in zip(frame.columns, frame.dtypes, strict=True) if is_polars_object(t)}


def polars_unreadable(frame: Any) -> dict[str, Any]:
    """Return the columns of a Polars frame without an Arrow type, and their Polars types."""
    unread = polars_objects(frame)
    none = frame[:0]
    for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
        try:
            pa.RecordBatchReader.from_stream(none[[name]])
        except Exception:  # whatever the error, Arrow does not take the column
            unread[name] = dtype
    return unread


def class_names(data: object) -> set[str]:
    """Return the classes of an object as "package.Name", without importing the package."""
    return {f"{cls.__module__.partition('.')[0]}.{cls.__name__}" for cls in type(data).__mro__}


def pandas_table(frame: Any, columns: Sequence[str] | None, run: RunTasks = run_in_turn) -> Table:
    """Return a pandas frame as a table, NumPy columns without a copy; the index is ignored.

    `columns` selects columns; names that are missing are left out, and None takes all. `run` copies
    strided columns.
    """
    labels: list[Any] = frame.columns.tolist()
    if not labels:
        raise InvalidData("the pandas DataFrame has no columns")
    names = [text_name(label) for label in labels] if columns is None else list(columns)
    check_unique(labels, names)
    place = {label: at for at, label in enumerate(labels)}
    names = [name for name in names if name in place]
    if not names:
        return rows_only(len(frame))
    column = _pandas_column(frame)
    columns = contiguous_columns([column(place[name]) for name in names], run)
    return table_of([pandas_array(c, n) for c, n in zip(columns, names, strict=True)], names)


def table_of(arrays: list[Any], names: list[str]) -> Table:
    """Return arrays and their names as a table; unequal lengths raise InvalidData."""
    n_rows = len(arrays[0])
    for name, array in zip(names, arrays, strict=True):
        if len(array) != n_rows:
            raise InvalidData(
                f"columns of unequal lengths: {column_text(names[0])} has "
                f"{counted(n_rows, 'row')}, {column_text(name)} has {len(array)}"
            )
    return pa.Table.from_arrays(arrays, names)


def rows_only(n_rows: int) -> Table:
    """Return an Arrow table with a number of rows and no columns."""
    return pa.Table.from_arrays([pa.nulls(n_rows)], ["none"]).select([])


def columns_table(columns: Mapping[str, Any], n_rows: int) -> Table:
    """Return columns as a table that keeps its number of rows even if there are no columns.

    Without columns it has a column of nulls: otherwise Arrow loses the rows when they are taken,
    joined, or sliced to the end.
    """
    return pa.table(dict(columns) or {"": pa.nulls(n_rows)})


def check_unique(labels: Sequence[Any], wanted: Sequence[str]) -> None:
    """Raise if one of the wanted names occurs twice among the labels."""
    if len(set(labels)) == len(labels):
        return
    for name in wanted:
        if labels.count(name) > 1:
            raise InvalidData(
                f"the data has {labels.count(name)} columns named {column_text(name)}: "
                "rename all but one"
            )


def text_name(label: object) -> str:
    """Return a column label; raises TypeMismatch unless it is text, such as for a column number."""
    if isinstance(label, str):
        return label
    raise TypeMismatch(f"column names are text, got {label!r} ({type(label).__name__}): rename it")


def _pandas_column(frame: Any) -> Callable[[int], Any]:
    """Return a function from the position of a column to its array.

    `_get_column_array` is not public, but takes 0.6 us; `frame.iloc[:, i]` takes 19 us, and wide
    frames have 10,000 columns.
    """
    quick = getattr(frame, "_get_column_array", None)
    return quick if quick is not None else lambda at: frame.iloc[:, at].array


def frame_index(data: Any) -> Any:
    """Return the index of a pandas frame; None for any other data."""
    return data.index if "pandas.DataFrame" in class_names(data) else None
