"""`verify`: the promise, checked on a user's own rows: every path must give the same bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends import backend_named
from fastfeat.backends.cpu.threads import using_threads
from fastfeat.dtypes import ONE_HOT, UINT8, DType
from fastfeat.errors import InvalidData, InvalidPlan, Overflow, counted
from fastfeat.io.arrow import pa
from fastfeat.io.decode import plain_table
from fastfeat.ir.node import Node
from fastfeat.plan.border import check_place, read_columns
from fastfeat.plan.history import BATCH, history_table, id_columns
from fastfeat.plan.outputs import matrix_dtype
from fastfeat.plan.row_identity import one_table
from fastfeat.plan.tables import Tables, read_tables
from fastfeat.plan.verify_past import (
    PastColumns,
    as_history,
    by_entity,
    entities,
    halves_in_time,
    of_entities,
    past_of_plan,
    together,
)

if TYPE_CHECKING:
    from fastfeat.plan.fitted import FittedPlan

ROWS_ONE_BY_ONE = 100
MOST_ROWS = 1 << 20


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: two ways to the same features.

    Args:
        name: what was compared.
        n_rows: on how many rows.
        difference: the first feature and row that differ; None where all bits agree.
        skipped: why nothing was compared, or "".
    """

    name: str
    n_rows: int
    difference: str | None
    skipped: str = ""

    def __str__(self) -> str:
        """Return one line."""
        if self.skipped:
            return f"skip {self.name}: {self.skipped}"
        if self.difference is None:
            return f"ok   {self.name} ({counted(self.n_rows, 'row')})"
        return f"FAIL {self.name} ({counted(self.n_rows, 'row')}): {self.difference}"


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` found; prints as one line a check."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all bits agreed."""
        return all(check.difference is None for check in self.checks)

    def __str__(self) -> str:
        """Return one line a check."""
        return "\n".join(map(str, self.checks))


class Beside(NamedTuple):
    """What is passed to `transform` beside the rows, at each call."""

    tables: Tables
    history: Any

    def to(self, fitted: FittedPlan, rows: Any, **options: Any) -> Any:
        """Return the features of rows."""
        return fitted.transform(rows, tables=self.tables, history=self.history, **options)


def verify(
    fitted: FittedPlan,
    data: Any,
    history: Any,
    tables: Tables,
    n_rows: int,
    backends: Sequence[str],
) -> Report:
    """Return a report: of the reference on a sample of the rows, of all else on many.

    Args:
        fitted: what is verified.
        data: as in `transform`.
        history: as in `transform`.
        tables: as in `transform`.
        n_rows: size of the sample.
        backends: which are compared.
    """
    from fastfeat.plan.select import selected  # imports Plan, which imports fitted plans

    fitted = replace(fitted, encoded=None)  # nothing is trained on these features
    first, *others = _checked_names(backends)
    if isinstance(n_rows, bool) or n_rows < 1:
        raise InvalidPlan(f"n_rows must be at least 1, got {n_rows!r}: there is nothing to verify")
    columns = fitted.plan.past_columns
    ids = id_columns(fitted.plan.row_id, history, columns)
    table = read_columns(data, [*fitted.plan.row_columns, *ids], columns)
    check_place(table, "cpu")
    if table.num_rows == 0:
        raise InvalidData("the data has no rows, so there is nothing to verify")
    earlier = history_table(history, columns, "cpu", fitted.plan.row_id)
    read = read_tables(tables, fitted.plan.row_table_columns)
    beside = of_sample = Beside(read, BATCH if earlier is None else earlier)
    past = past_of_plan(fitted)
    sample = _sample(table, n_rows) if past is None else entities(table, past, n_rows)
    if past is not None and earlier is not None:  # the reference is slow
        of_sample = Beside(read, of_entities(earlier, sample, past))
    expected = selected(fitted, list(fitted.plan.expressions), keeps_ids=bool(ids))
    many = table.slice(0, MOST_ROWS)  # in larger pieces than a sample, which would be joined
    features = beside.to(expected, many)
    in_chunks = beside.to(expected, _rechunked(many))
    checks = [
        *(
            _compare_backends(expected, sample, of_sample, first, other)
            if "reference" in (first, other)
            else _compare_backends(expected, many, beside, first, other)
            for other in others
        ),
        _compare("one chunk = many chunks", features, in_chunks),
    ]
    threads = _compare("all threads = 1 thread", features, _with_one_thread(expected, many, beside))
    if past is not None:
        return Report((*checks, threads, *_check_past(expected, past, many, beside)))
    halves = _in_halves(expected, many, beside)
    return Report(
        (
            *checks,
            _compare("all rows = first half + second half", features, halves),
            threads,
            _check_rows(expected, sample.slice(0, ROWS_ONE_BY_ONE), beside),
        )
    )


def _check_past(
    fitted: FittedPlan, past: PastColumns, rows: Any, beside: Beside
) -> tuple[Check, ...]:
    """Return the checks of windows: entities in another order, a batch after its past."""
    rows = plain_table(rows)
    entities_moved = _entities_moved(fitted, past, rows, beside)
    name = "all rows = earlier half + later half, after it"
    if past.time is None:
        return entities_moved, Check(name, 0, None, "windows are over several times")
    earlier, later = halves_in_time(rows, past.time)
    histories = _histories_of_halves(fitted, earlier, later, beside.history)
    parts = [
        Beside(beside.tables, history).to(fitted, half)
        for half, history in zip((earlier, later), histories, strict=True)
    ]
    in_time = beside.to(fitted, pa.concat_tables([earlier, later]))
    return entities_moved, _compare(name, in_time, pa.concat_tables(parts))


def _histories_of_halves(
    fitted: FittedPlan, earlier: Any, later: Any, known: Any
) -> tuple[Any, Any]:
    """Return what comes before each half of some rows: nothing of the later half before the other.

    Args:
        fitted: what is verified.
        earlier: the earlier half.
        later: the later one.
        known: what comes before both: a table, or "batch" where nothing does.
    """
    columns, row_id = fitted.plan.past_columns, fitted.plan.row_id
    if isinstance(known, str):
        return known, as_history(earlier, columns)
    if row_id is None:
        return known, together(known, as_history(earlier, columns))
    known, _ = one_table(row_id, plain_table(known), earlier)
    known, places = one_table(row_id, known, later)
    before: NDArray[np.int64] = np.setdiff1d(np.arange(int(known.num_rows)), places)
    return known.take(pa.array(before)), known


def _entities_moved(fitted: FittedPlan, past: PastColumns, rows: Any, beside: Beside) -> Check:
    """Return the comparison of rows in their order with the rows entity by entity."""
    name = "entities in another order"
    if not past.one_entity:
        return Check(name, 0, None, "windows are over several kinds of entity")
    if not past.keys:
        return Check(name, 0, None, "windows are over all rows, or of a key that is computed")
    order = by_entity(rows, past)
    moved = beside.to(fitted, rows.take(order))
    return _compare(name, beside.to(fitted, rows).take(order), moved)


def _checked_names(backends: Sequence[str]) -> list[str]:
    """Return the names of backends that there are, each once, at least two."""
    if isinstance(backends, str) or len(set(backends)) < 2:
        raise InvalidPlan(
            f"backends= names at least two to compare, such as ('cpu', 'reference'), got "
            f"{backends!r}"
        )
    for name in backends:
        backend_named(name)
    return list(dict.fromkeys(backends))


def _compare_backends(
    fitted: FittedPlan, rows: Any, beside: Beside, first: str, other: str
) -> Check:
    """Return the comparison of two backends."""
    left, right = (beside.to(fitted, rows, backend=backend) for backend in (first, other))
    return _compare(f"{first} = {other}", left, right)


def _check_rows(fitted: FittedPlan, rows: Any, beside: Beside) -> Check:
    """Return the comparison of a batch with its rows one at a time."""
    name = "batch = one row at a time"
    held = _features_of_a_matrix(fitted, rows, beside)
    by_name = _python_rows(rows)
    if not held:
        return Check(name, 0, None, "no feature is a number that a matrix holds")
    if by_name is None:
        return Check(name, 0, None, "the rows hold times that Python's datetime cannot")
    return _row_check(name, fitted.select(held), rows, by_name, beside)


def _python_rows(table: Any) -> list[dict[str, Any]] | None:
    """Return rows as `transform_row` takes them; None where Python has no value for a time."""
    try:
        rows = table.to_pylist()
    except (ValueError, OverflowError):
        return None
    kinds = {type(value).__name__ for row in rows for value in row.values()}
    if "NaTType" in kinds or any(map(_loses_nanoseconds, table.columns)):
        return None  # pandas has NaT for the first instant of int64
    return rows


def _loses_nanoseconds(column: Any) -> bool:
    """Return whether a column has times of day between two microseconds, which Python cuts off."""
    if not column.type.equals(pa.time64("ns")):
        return False
    ticks = column.cast(pa.int64()).combine_chunks().drop_null().to_numpy(zero_copy_only=False)
    return bool((ticks % 1000 != 0).any())


def _features_of_a_matrix(fitted: FittedPlan, rows: Any, beside: Beside) -> list[str]:
    """Return the features that a matrix of these rows holds: numbers, no integer beyond floats."""
    numbers = _features_of(fitted, lambda dtype: dtype.is_number)
    try:
        if numbers:
            beside.to(fitted.select(numbers), rows, to="numpy")
    except Overflow:
        return _features_of(fitted, lambda dtype: dtype.is_float or dtype.name == "bool")
    return numbers


def _features_of(fitted: FittedPlan, holds: Callable[[DType], bool]) -> list[str]:
    nodes = fitted.plan.nodes
    return [
        name
        for name, expression in fitted.plan.expressions.items()
        if all(holds(_column_type(fitted, nodes[name + s])) for s in expression.suffixes)
    ]


def _column_type(fitted: FittedPlan, node: Node) -> DType:
    """Return the type of the columns of a feature."""
    return UINT8 if fitted.types[node] == ONE_HOT else fitted.types[node]


def _sample(table: Any, n_rows: int) -> Any:
    if table.num_rows <= n_rows:
        return table
    last: int = table.num_rows - 1
    return plain_table(table).take(np.unique(np.linspace(0, last, n_rows).astype(np.int64)))


def _rechunked(table: Any) -> Any:
    step = max(1, table.num_rows // 7)
    starts = range(0, table.num_rows, step)
    return pa.concat_tables([table.slice(s, step) for s in starts]) if len(starts) else table


def _in_halves(fitted: FittedPlan, table: Any, beside: Beside) -> Any:
    half = table.num_rows // 2
    parts = table.slice(0, half), table.slice(half)
    return pa.concat_tables([beside.to(fitted, part) for part in parts])


def _with_one_thread(fitted: FittedPlan, table: Any, beside: Beside) -> Any:
    with using_threads(1):
        return beside.to(fitted, table)


def _compare(name: str, left: Any, right: Any) -> Check:
    for feature, one, other in zip(left.column_names, left.columns, right.columns, strict=True):
        row = first_difference(one.combine_chunks(), other.combine_chunks())
        if row is not None:
            found = (
                f"feature {feature!r}, row {row}: {one[row].as_py()!r} and {other[row].as_py()!r}"
            )
            return Check(name, left.num_rows, found)
    return Check(name, left.num_rows, None)


def first_difference(one: Any, other: Any) -> int | None:
    """Return the first row whose bits differ between two Arrow arrays of one type; None without."""
    missing = [np.asarray(a.is_null().to_numpy(zero_copy_only=False)) for a in (one, other)]
    differ = missing[0] != missing[1]
    values = [_bits(a) for a in (one, other)]
    differ |= (values[0] != values[1]) & ~missing[0]
    rows = np.flatnonzero(differ)
    return int(rows[0]) if len(rows) else None


def _bits(array: Any) -> Any:
    """Return the values of an array as integers; where missing, anything."""
    if pa.types.is_boolean(array.type):
        return array.fill_null(False).to_numpy(zero_copy_only=False)
    width = array.type.bit_width // 8
    buffer = array.buffers()[1]
    if buffer is None:
        return np.zeros(len(array), dtype=np.int64)
    values = np.frombuffer(buffer, dtype=f"i{width}", count=array.offset + len(array))
    return values[array.offset :]


def _row_check(
    name: str, fitted: FittedPlan, table: Any, rows: list[dict[str, Any]], beside: Beside
) -> Check:
    matrix = np.ascontiguousarray(beside.to(fitted, table, to="numpy"))
    integer = f"i{np.dtype(matrix_dtype(fitted.plan).name).itemsize}"
    for k, row in enumerate(rows):
        differ = fitted.transform_row(row, tables=beside.tables).view(integer) != matrix[k].view(
            integer
        )
        if differ.any():
            feature = fitted.feature_names[int(np.flatnonzero(differ)[0])]
            return Check(name, len(rows), f"feature {feature!r}, row {k}")
    return Check(name, len(rows), None)
