"""Convert JSON rows to an Arrow table with the types seen in fit.

A value that does not convert exactly is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.apps.serve.json_text import as_list
from fastfeat.apps.serve.refusals import Refusal
from fastfeat.errors import counted, did_you_mean, shortened
from fastfeat.io.arrow import Array, Table, pa
from fastfeat.io.columns import json_values
from fastfeat.io.columns.types import UnsupportedType, arrow_type
from fastfeat.io.sources.frames import columns_table
from fastfeat.ir.dtypes import DType

ROWS = "rows must be a list of objects of column names and values"
_NO_TYPE = (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError, TypeError)
JsonRows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class RowReader:
    """Converts JSON rows to an Arrow table with the columns of a plan.

    Args:
        columns: Type of each column that the plan reads.
        late: Columns that a single row may lack even if other rows have them.
        passed: Columns of any type that are passed through, such as ids.
        most: Maximum number of rows per call.
    """

    columns: Mapping[str, DType]
    late: frozenset[str]
    passed: tuple[str, ...]
    most: int

    def table(self, rows: Any) -> Table:
        """Return a list of JSON objects, one per row, as a table; unknown keys are ignored.

        Raises:
            Refusal: It is not a list of objects, is too long, or a value does not fit its column's
                type.
        """
        check_rows(rows, self.most)
        if not rows:
            return self.empty
        arrays = {
            name: column_of(values, name, dtype)
            for name, dtype in self.columns.items()
            if (values := _values(rows, name, name in self.late)) is not None
        }
        if not arrays and self.columns:
            raise self.no_column_error(rows[0])
        for name in self.passed:
            if (values := _values(rows, name, False)) is not None:
                arrays[name] = _passed_array(values, name)
        return columns_table(arrays, len(rows))

    @property
    def empty(self) -> Table:
        """A table with the reader's columns and no rows."""
        known = {name: arrow_type(dtype) for name, dtype in self.columns.items()}
        others = dict.fromkeys(self.passed, pa.string())
        return pa.schema(list({**known, **others}.items())).empty_table()

    def of_columns(self, columns: Mapping[str, Sequence[Any]], n_rows: int) -> Table:
        """Return lists of values by column name as a table; unknown columns are ignored.

        Raises:
            Refusal: A value does not fit its column's type, or there are too many rows.
        """
        check_n_rows(n_rows, self.most)
        arrays = {
            name: column_of(columns[name], name, dtype)
            for name, dtype in self.columns.items()
            if name in columns
        }
        if not arrays and self.columns:
            raise self.no_column_error(columns)
        arrays |= {
            name: _passed_array(columns[name], name) for name in self.passed if name in columns
        }
        return columns_table(arrays, n_rows)

    def no_column_error(self, given: Iterable[str]) -> Refusal:
        """Return the error to raise for rows that have no column of the plan."""
        hints = ((name, did_you_mean(name, self.columns)) for name in given)
        near = next((f" They have {name[:60]!r}.{hint}" for name, hint in hints if hint), "")
        return Refusal(
            400,
            "UnknownColumn",
            f"the rows have none of the columns {shortened(self.columns)}, which the plan reads."
            + near,
        )


def row_reader(
    columns: Mapping[str, DType | UnsupportedType],
    late: Iterable[str],
    passed: Iterable[str],
    most: int,
) -> RowReader:
    """Return a reader of rows with these columns, except columns of unsupported types.

    `late`, `passed` and `most` are described in `RowReader`.
    """
    known = {name: dtype for name, dtype in columns.items() if isinstance(dtype, DType)}
    others = tuple(name for name in dict.fromkeys(passed) if name not in known)
    return RowReader(known, frozenset(late), others, most)


def check_n_rows(n_rows: int, most: int) -> None:
    """Raise Refusal if there are more rows than allowed."""
    if n_rows > most:
        raise Refusal(
            413, "TooManyRows", f"{counted(n_rows, 'row')}, but at most {most:,} are allowed"
        )


def check_rows(rows: Any, most: int) -> None:
    """Raise Refusal unless `rows` is a list of objects, and not too long."""
    found = as_list(rows, ROWS)
    check_n_rows(len(found), most)
    for k, row in enumerate(found):
        if type(row) is not dict:
            told = f"row {k} is not an object of column names and values"
            raise Refusal(400, "InvalidRequest", told, row=k, value=row)


def column_of(values: Sequence[Any], name: str, dtype: DType) -> Array:
    """Return JSON values, one per row, as an array of a column's type; see `json_values.RULES`.

    None is missing.

    Raises:
        Refusal: A value does not fit the type; the message names its row.
    """
    try:
        return json_values.column_of(values, name, dtype)
    except json_values.WrongValue as error:
        raise Refusal(
            400,
            "TypeMismatch",
            f"column {name!r}, row {error.row}: {error.told}",
            row=error.row,
            column=name,
            value=error.value,
        ) from None


def _values(rows: JsonRows, name: str, may_lack: bool) -> list[Any] | None:
    """Return a column's value in each row; None if no row has the column.

    Raises:
        Refusal: Some rows have the column and others do not.
    """
    try:
        return [row[name] for row in rows]
    except KeyError:
        has = [name in row for row in rows]
    if not any(has):
        return None
    if may_lack:
        return [row.get(name) for row in rows]
    k = has.index(False)
    raise Refusal(
        400,
        "UnknownColumn",
        f"row {k} lacks the column {name!r}, which other rows have. Write null where it is "
        "missing." + did_you_mean(name, rows[k]),
        row=k,
        column=name,
    )


def _passed_array(values: Sequence[Any], name: str) -> Array:
    """Return JSON values as an array of their common type; raise Refusal if there is none."""
    try:
        return pa.array(values)
    except _NO_TYPE:
        raise Refusal(
            400, "TypeMismatch", f"column {name!r}: its values have no common type", column=name
        ) from None
