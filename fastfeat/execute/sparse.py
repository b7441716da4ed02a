"""Features as a sparse matrix in compressed rows (CSR), written without a dense one of all columns.

Output columns are divided into runs of neighbours. Columns of categories and of hashed pieces of
text are blocks: their zeros are not stored, and time and memory grow with the entries, not with the
columns. Of all other columns every value is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Literal, NamedTuple, assert_never

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.backends import run_task
from fastfeat.engine.program import Constants, Program, interned
from fastfeat.errors import InvalidData
from fastfeat.execute import failures
from fastfeat.execute.batch import Batch, compute_matrix
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.inputs import column_in_host
from fastfeat.execute.values import compute_columns, key_values
from fastfeat.io.arrow import Schema, pa
from fastfeat.io.columns.bits import present_rows
from fastfeat.io.columns.decode import decode_column, plain
from fastfeat.io.columns.lists import lists_of
from fastfeat.io.columns.types import memory_type
from fastfeat.io.sinks import results as result_forms
from fastfeat.io.sinks import write
from fastfeat.ir.dtypes import COUNTS, INT32, DType
from fastfeat.ir.node import Call, Node
from fastfeat.ir.node import Literal as Constant
from fastfeat.plan.lower.outputs import matrix_program
from fastfeat.plan.lower.schedule import Purpose, Schedule
from fastfeat.plan.lower.scheduling import schedule_of
from fastfeat.plan.lower.typed import TypedPlan
from fastfeat.steps.step import Argument, StepFailed, StepTask

_N_TEXTS = 1 << 14
"""Rows of text that are counted at a time."""
_FLOAT32_EXACT = 1 << 24
RunKind = Literal["codes", "lists", "counts", "dense"]
_KINDS: dict[str, RunKind] = {
    "is_code": "codes",
    "list.has_code": "lists",
    "bucket_count": "counts",
}
"""The kind of a run, by the function of its columns."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Neighbouring columns of the matrix that are computed together.

    Args:
        kind: "codes" and "lists" for columns of categories, "counts" for hashed text, or "dense".
        first: Number of the first column.
        nodes: Expression of each column.
        source: The column that a block is computed from; None for dense columns.
        numbers: Code or bucket of each column of a block, shape (n_columns,); -1 for a missing
            list.
    """

    kind: RunKind
    first: int
    nodes: tuple[Node, ...]
    source: Call | None
    numbers: Int64Array


class Entries(NamedTuple):
    """Entries of a run in the order of rows, and in a row by column.

    Args:
        rows: Row of each entry, shape (n_entries,); None for one entry in every row.
        columns: Column of each entry in the matrix, shape (n_entries,).
        values: Value of each entry, shape (n_entries,); None if all are 1.
    """

    rows: NDArray[np.intp] | None
    columns: NDArray[Any]
    values: NDArray[Any] | None


def sparse_runs(typed: TypedPlan) -> tuple[Run, ...]:
    """Return the columns of a fitted plan as runs, in order; pass it to `TypedPlan.once`."""
    runs: list[Run] = []
    first = 0
    for (kind, source), members in groupby(typed.nodes.values(), _kind_and_source):
        for nodes in _without_repeats(members) if source is not None else [list(members)]:
            numbers = np.array([] if source is None else [*map(_number, nodes)], np.int64)
            runs.append(Run(kind, first, tuple(nodes), source, numbers))
            first += len(nodes)
    return tuple(runs)


def _kind_and_source(node: Node) -> tuple[RunKind, Call | None]:
    kind = _KINDS.get(node.function) if isinstance(node, Call) else None
    source = node.args[0] if node.args else None
    return (kind, source) if kind is not None and isinstance(source, Call) else ("dense", None)


def _without_repeats(nodes: Iterable[Node]) -> Iterator[list[Node]]:
    """Yield the nodes in lists; a repeated node, from two equal features, starts another list."""
    found: dict[Node, None] = {}
    for node in nodes:
        if node in found:
            yield list(found)
            found = {}
        found[node] = None
    yield list(found)


def _number(node: Node) -> int:
    """Return the code or bucket of a column; -1 for the indicator of a missing list."""
    match node:
        case Call("is_code", (_, Constant(code))):
            return code
        case Call(_, _, ((_, number),)):
            return -1 if number is None else number
        case _:
            raise AssertionError(node)


def _dense(typed: TypedPlan) -> dict[str, Node]:
    """Return the features outside blocks, by name: all their values are stored."""
    is_dense = [run.kind == "dense" for run in typed.once(sparse_runs) for _ in run.nodes]
    features = zip(typed.nodes.items(), is_dense, strict=True)
    return {name: node for (name, node), dense in features if dense}


def dense_program(typed: TypedPlan, *, training: bool = False) -> Program:
    """Return the program for the columns that are no block."""
    return interned(matrix_program(typed, _dense(typed), typed.types, training=training))


def _scheduled(typed: TypedPlan, purpose: Purpose) -> Schedule:
    sources = {run.source: run for run in typed.once(sparse_runs) if run.source is not None}
    read = [one.args[0] if run.kind == "counts" else one for one, run in sources.items()]
    roots = dict(enumerate([*_dense(typed).values(), *read]))
    return schedule_of({str(k): node for k, node in roots.items()}, typed.types, purpose)


apply_schedule = partial(_scheduled, purpose="apply")
training_schedule = partial(_scheduled, purpose="training")
_SCHEDULES = {False: apply_schedule, True: training_schedule}


def sparse_schedule(fitted: Fitted, *, training: bool = False) -> Schedule:
    """Return the schedule of the columns from which the matrix is written."""
    return fitted.typed.once(_SCHEDULES[training])


def stored_schema(fitted: Fitted) -> Schema:
    """Return a schema with about the bytes that a row of the matrix takes: a block counts once."""
    runs = fitted.typed.once(sparse_runs)
    n_entries = sum(len(run.nodes) if run.kind == "dense" else 1 for run in runs)
    return pa.schema([(str(k), pa.float64()) for k in range(n_entries)])


def sparse_matrix(fitted: Fitted, batch: Batch, program: Program, constants: Constants) -> Any:
    """Return the features as a SciPy matrix of compressed rows (CSR), shape (n_rows, n_features).

    `program` computes the dense columns. The steps of `sparse_schedule` must have been run.
    """
    dtype, n_rows = fitted.matrix_dtype, batch.n_rows
    runs = fitted.typed.once(sparse_runs)
    storage = memory_type(dtype)
    dense = write.empty_matrix((n_rows, len(program.outputs)), storage)
    if program.outputs:
        compute_matrix(batch, program, constants, dense)
    entries = [None if run.kind == "dense" else _entries(batch, run, dtype) for run in runs]
    lengths = sum(
        (
            np.full(n_rows, len(run.nodes)) if found is None else _lengths(found, n_rows)
            for run, found in zip(runs, entries, strict=True)
        ),
        np.zeros(n_rows, np.int64),
    )
    starts = np.zeros(n_rows + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    n_entries, n_columns = int(starts[-1]), len(fitted.nodes)
    index = np.dtype(np.int32 if max(n_entries, n_columns) < 1 << 31 else np.int64)
    columns = write.empty_bytes(n_entries * index.itemsize).view(index)
    values = write.empty_bytes(n_entries * storage.itemsize).view(storage)
    places, n_dense = starts[:-1].copy(), 0
    for run, found in zip(runs, entries, strict=True):
        if found is not None:
            _write(found, places, columns, values)
            continue
        for k in range(len(run.nodes)):
            columns[places] = run.first + k
            values[places] = dense[:, n_dense + k]
            places += 1
        n_dense += len(run.nodes)
    return result_forms.csr_matrix(values, columns, starts.astype(index), n_columns)


def _lengths(found: Entries, n_rows: int) -> Int64Array:
    """Return the number of entries of each row."""
    if found.rows is None:
        return np.ones(n_rows, np.int64)
    return np.bincount(found.rows, minlength=n_rows)


def _write(found: Entries, places: Int64Array, columns: NDArray[Any], values: NDArray[Any]) -> None:
    """Write the entries of a run from each row's place on, and move the places behind them."""
    if found.rows is None:
        at, lengths = places, 1
    else:
        lengths = _lengths(found, len(places))
        before = np.cumsum(lengths) - lengths
        at = (places - before)[found.rows] + np.arange(len(found.rows))
    columns[at] = found.columns
    values[at] = 1 if found.values is None else found.values
    places += lengths


def _entries(batch: Batch, run: Run, dtype: DType) -> Entries:
    """Return the entries of a block."""
    match run.kind:
        case "codes":
            return _of_codes(batch, run)
        case "lists":
            return _of_lists(batch, run)
        case "counts":
            return _of_counts(batch, run, dtype)
        case "dense":
            raise AssertionError(run)
        case _:
            assert_never(run.kind)


def _of_codes(batch: Batch, run: Run) -> Entries:
    """Return an entry for each row that has the code of a column."""
    assert run.source is not None
    column = column_in_host(batch.made[run.source], batch.backend)
    codes = np.concatenate([np.zeros(0, np.int32), *map(result_forms.matrix_values, column.chunks)])
    columns = _columns_of(codes, run)
    rows = np.flatnonzero(columns >= 0)
    return Entries(None if len(rows) == len(codes) else rows, columns[rows], None)


def _columns_of(codes: NDArray[Any], run: Run) -> NDArray[np.int32]:
    """Return the column of each code; -1 if it has none."""
    most = max(int(codes.max(initial=0)), int(run.numbers.max(initial=0)))
    columns = np.full(most + 2, -1, np.int32)  # the last is for the indicator of a missing list
    columns[run.numbers] = run.first + np.arange(len(run.numbers))
    columns[-1] = -1
    return columns[codes]


def _of_lists(batch: Batch, run: Run) -> Entries:
    """Return an entry for each category in the list of a row, and for each missing list."""
    assert run.source is not None
    column = column_in_host(batch.made[run.source], batch.backend)
    codes = lists_of(pa.chunked_array([column.combine_chunks()]))
    elements = codes.values.to_numpy()[codes.offsets[0] : codes.offsets[-1]]
    rows = np.repeat(np.arange(len(column)), np.diff(codes.offsets))
    columns = _columns_of(elements, run)
    if (missing := np.flatnonzero(run.numbers == -1)).size and codes.present is not None:
        lacking = np.flatnonzero(~codes.present)
        rows = np.concatenate([rows, lacking])
        columns = np.concatenate([columns, np.full(len(lacking), run.first + missing[0], np.int32)])
    is_column, end = columns >= 0, run.first + len(run.nodes)
    found = np.unique(rows[is_column] * end + columns[is_column])
    return Entries(found // end, found % end, None)


def _of_counts(batch: Batch, run: Run, dtype: DType) -> Entries:
    """Return an entry for each bucket with pieces of a row's text, and for each missing text."""
    assert run.source is not None
    text = run.source.args[0]
    compute_columns(batch, [text])
    column = key_values(batch, text, narrow=True)
    parts = [Entries(np.zeros(0, np.intp), np.zeros(0, np.int32), np.zeros(0, np.float64))]
    for first in range(0, batch.n_rows, _N_TEXTS):
        counts = _in_columns(_counts(batch, run, column.slice(first, _N_TEXTS), first), run)
        parts.append(Entries(counts.rows + first, counts.columns, counts.values))
        if dtype.name == "float32" and np.nanmax(counts.values, initial=0) > _FLOAT32_EXACT:
            row = batch.number_of(first + int(counts.rows[np.nanargmax(counts.values)]))
            raise InvalidData(
                f"row {row}: a count above {_FLOAT32_EXACT:,}, which float32 cannot hold exactly. "
                "Use Plan(dtype='float64')"
            )
    return Entries(*(np.concatenate(part) for part in zip(*parts, strict=True)))


class _Counts(NamedTuple):
    """Counts of some rows, each with its row and its bucket, in this order.

    `columns` are buckets, or -1 for a column that the run does not have. `missing` are the rows
    without a text.
    """

    rows: NDArray[np.intp]
    columns: NDArray[Any]
    values: NDArray[Any]
    missing: NDArray[np.intp]


def _in_columns(counts: _Counts, run: Run) -> _Counts:
    """Return counts with columns of the matrix in place of buckets, and NaN for missing texts."""
    assert run.source is not None
    rows, buckets, values, missing = counts
    width, n_buckets = len(run.nodes), dict(run.source.params)["n_buckets"]
    is_whole = run.numbers.tolist() == [*range(n_buckets)]
    if is_whole and not len(missing):
        return counts._replace(columns=buckets + run.first)
    of_bucket = np.full(n_buckets, -1)
    of_bucket[run.numbers] = run.first + np.arange(width)
    rows = np.concatenate([rows, np.repeat(missing, width)])
    all_columns = np.tile(run.first + np.arange(width), len(missing))
    columns = np.concatenate([of_bucket[buckets], all_columns])
    values = np.concatenate([values, np.full(len(all_columns), np.nan)])
    order = np.lexsort((columns, rows))
    order = order[columns[order] >= 0]
    return _Counts(rows[order], columns[order], values[order], missing)


def _counts(batch: Batch, run: Run, texts: Any, first: int) -> _Counts:
    """Return the counts of some rows that are not zero; `first` is the number of the first row."""
    step = run.source
    assert step is not None
    given = Argument(plain(decode_column(texts)), batch.types[step.args[0]])
    try:
        if batch.backend.name == "cpu":
            return _of_pieces(step, given)
        task = StepTask(step, [given], COUNTS, len(texts))
        return _of_buckets(batch, run, run_task(batch.backend, task), len(texts))
    except StepFailed as failure:
        row, *why = failure.args
        number = None if row is None else batch.number_of(first + row)
        raise failures.failed_step(step, number, *why) from None


def _of_pieces(step: Call, texts: Argument) -> _Counts:
    """Return counts from the buckets of all pieces: the cost does not depend on their number."""
    from fastfeat.steps.text.cpu_pieces import buckets_by_row

    starts, buckets, present = buckets_by_row(step, texts)
    n_buckets = dict(step.params)["n_buckets"]
    pieces = np.repeat(np.arange(len(starts) - 1) * n_buckets, np.diff(starts)) + buckets
    pieces.sort()
    at = np.flatnonzero(np.diff(pieces, prepend=-1))
    rows, columns = np.divmod(pieces[at], n_buckets)
    missing = np.zeros(0, np.intp) if present is None else np.flatnonzero(~present)
    return _Counts(rows, columns, np.diff(at, append=len(pieces)), missing)


def _of_buckets(batch: Batch, run: Run, made: Any, n_rows: int) -> _Counts:
    """Return counts from the result of a step, which has a column for each bucket."""
    assert run.source is not None
    counted = Argument(pa.chunked_array([made]) if isinstance(made, pa.Array) else made, COUNTS)
    counts = np.zeros((n_rows, dict(run.source.params)["n_buckets"]), np.int32)
    missing = np.zeros(0, np.intp)
    for bucket, node in zip(run.numbers.tolist(), run.nodes, strict=True):
        assert isinstance(node, Call)
        task = StepTask(node, [counted], INT32, n_rows)
        column = column_in_host(run_task(batch.backend, task), batch.backend)
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        counts[:, bucket], present = result_forms.matrix_values(array), present_rows(array)
        missing = missing if present is None else np.flatnonzero(~present)
    counts[missing] = 0
    rows, columns = np.nonzero(counts)
    return _Counts(rows, columns, counts[rows, columns], missing)


def together(parts: Sequence[Any], places: Int64Array) -> Any:
    """Return the matrices of two sets of rows as one; `places` has each row's place in it."""
    order = np.empty_like(places)
    order[places] = np.arange(len(places))
    return result_forms.stacked_rows(parts)[order]
