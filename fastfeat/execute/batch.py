"""The rows of one call: their data, the learned values, and the columns computed so far.

A place is the position of a row among the rows that windows see: the history rows, then the rows of
the call. A run is a range of consecutive row numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from fastfeat_kernels.arrays import BoolArray, Int32Array
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.aggregates import is_vocabulary
from fastfeat.aggregates import keys as learnt_keys
from fastfeat.backends import Backend, run_task
from fastfeat.engine import learner
from fastfeat.engine.program import Constants, HistoryRow, Output, Program, RowFailed, program_of
from fastfeat.engine.tasks import MatrixTask, RowTask
from fastfeat.execute import failures
from fastfeat.execute.inputs import SlotColumns, column_in_host, slot_columns
from fastfeat.io.arrow import Array, ChunkedArray, call, cast, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.decode import decode_column, plain
from fastfeat.io.device import DeviceArray
from fastfeat.io.sinks import results as result_forms
from fastfeat.io.sources.frames import rows_only
from fastfeat.ir.dtypes import COUNTS
from fastfeat.ir.node import Aggregate, Call, Node, TableColumn
from fastfeat.ir.show import show
from fastfeat.plan.lower.constants import LearntValues, bind, constant_roots, evaluate_constants
from fastfeat.plan.lower.lower import NodeTypes
from fastfeat.plan.lower.passes import KeyOf, key_of
from fastfeat.plan.lower.patterns import outputs_of
from fastfeat.scalars.value import Value

if TYPE_CHECKING:
    from fastfeat.aggregates.keys import KeyCounts, Vocabulary
    from fastfeat.engine.learner import Rows

RowRuns = tuple[tuple[int, int], ...]
"""`(first_row, n_rows)` of each run of consecutive rows."""


_FEW = 8

_LONG = 1 << 14
"""Minimum average run length, in rows, at which more than `_FEW` runs are still cut one by one."""


def runs_of(numbers: NDArray[np.int64]) -> RowRuns | None:
    """Return row numbers as ranges `(first, n_rows)` of consecutive rows; None if ranges are many.

    Example:
        >>> runs_of(np.array([0, 1, 2, 7, 8])), runs_of(np.arange(0, 100, 2))
        (((0, 3), (7, 2)), None)
    """
    if not len(numbers):
        return ()
    begins = np.concatenate([[0], np.flatnonzero(np.diff(numbers) != 1) + 1])
    if len(begins) > _FEW and len(begins) * _LONG > len(numbers):
        return None
    lengths = np.diff(begins, append=len(numbers))
    return tuple(zip(numbers[begins].tolist(), lengths.tolist(), strict=True))


def cut(column: ChunkedArray, runs: RowRuns) -> ChunkedArray:
    """Return the rows of a column in the given ranges, as slices that share the column's memory.

    Example:
        >>> cut(pa.chunked_array([[5, 6, 7, 8]]), ((0, 1), (2, 2))).to_pylist()
        [5, 7, 8]
    """
    chunks = [chunk for first, n in runs for chunk in column.slice(first, n).chunks if len(chunk)]
    return pa.chunked_array(chunks, column.type)


ComputedColumns = dict[Node, Any]
"""Computed columns by expression: results of steps, of expressions over rows, table columns."""


MakeOutput = Callable[[str, Value], Output]
"""Function `(name, value) -> Output` that makes one output of a compiled program."""


Programs = dict[tuple[tuple[Node, ...], MakeOutput], tuple[Program, Constants]]
"""Compiled programs and their constants, by the expressions they compute and the output kind."""


Orders = dict[Call, dict[Any, Any]]
"""For each order (time column and entity keys), the data that backends cache, such as a sort."""


ProgramResultT = TypeVar("ProgramResultT")


class NumberedKeys(NamedTuple):
    """The distinct keys of all rows, and for each row the number of its key.

    Args:
        parts: One Arrow array per part of the key, shape (n_keys,), sorted by value.
        of_rows: Key number of each row, shape (n_rows,); n_keys if the row has no key.
            Pointer-sized integers, because NumPy counts and gathers by them without a conversion.
    """

    parts: tuple[Array, ...]
    of_rows: NDArray[np.intp]

    @property
    def n_keys(self) -> int:
        return len(self.parts[0])


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to compute features for, or to learn from.

    Args:
        table: The input columns.
        types: Type of every node of the plan.
        backend: Computes and learns.
        learnt: Values learned so far; learning adds to it.
        made: Columns computed so far; running steps adds to it.
        training: Whether these are the training rows.
        past: All rows that windows see: history rows and these; None if they see only these.
        places: Position of each row in `past`, shape (n_rows,). If None, these rows are the last
            ones of `past`, and the rows before them are history, which must not be later than a row
            of the same entity here.
        n_earlier: Number of history rows in `past` if `places` is set; they come first.
        source: The rows from which these were selected, or None.
        keys: Numbered keys, kept on rows from which others are selected.
        shared: Data shared by all selections from the same rows: programs, fold numbers, hashes.
        first_number: Number of the first row in messages to the user.
        numbers: Number of each row in the whole data, if these rows are a part of it; else None.
        history_places: Set on the `past` batch: which of its rows are history; else None.
        programs: Programs of expressions, reused by later batches with the same types and learned
            values; None if the batch runs only once.
        orders: Data that backends cache for each order (time column and entity keys) of the rows
            that windows see, for the next run of windows with the same order.
    """

    table: Any
    types: NodeTypes
    backend: Backend
    learnt: LearntValues
    made: ComputedColumns
    training: bool = False
    past: Batch | None = None
    places: NDArray[np.int64] | None = None
    n_earlier: int = 0
    source: SelectionSource | None = None
    keys: dict[KeyOf, NumberedKeys] = field(default_factory=dict[KeyOf, NumberedKeys])
    shared: dict[Any, Any] = field(default_factory=dict[Any, Any])
    first_number: int = 0
    numbers: Rows | None = None
    history_places: HistoryPlaces | None = None
    programs: Programs | None = None
    orders: Orders = field(default_factory=dict[Call, dict[Any, Any]])

    @property
    def n_rows(self) -> int:
        return self.table.num_rows

    @property
    def seen(self) -> Batch:
        """The rows that windows see: `past`, or the rows of this batch if `past` is None."""
        return self.past or self

    @property
    def first_place(self) -> int:
        """The lowest position of a row of this batch among the rows that windows see."""
        if self.places is None:
            return self.seen.n_rows - self.n_rows
        return int(self.places.min(initial=self.seen.n_rows))

    def number_of(self, row: int) -> int:
        """Return the number of a row for messages: in the user's data, or a `HistoryRow`."""
        if self.history_places is not None:
            place = (
                row if self.history_places.places is None else int(self.history_places.places[row])
            )
            if place < self.history_places.n_history:
                return HistoryRow(place)
            row = place - self.history_places.n_history
        if self.numbers is not None:
            return learner.number_of(self.numbers, row)
        return self.first_number + (row if self.source is None else int(self.source.numbers[row]))

    def numbers_in_data(self, rows: Iterable[int]) -> tuple[int, ...]:
        """Return the row numbers in the user's data for `rows`, leaving out rows of the history."""
        numbers = map(self.number_of, rows)
        return tuple(number for number in numbers if not isinstance(number, HistoryRow))


class HistoryPlaces(NamedTuple):
    """Original positions of the rows that windows see, counted over the history and then the data.

    Args:
        n_history: Number of history rows.
        places: Position of each row, shape (n_rows,); None if they are all rows in order.
    """

    n_history: int
    places: NDArray[np.int64] | None


class SelectionSource(NamedTuple):
    """The rows from which a batch was selected. Columns computed there are reused, not recomputed.

    Args:
        rows: All rows.
        numbers: Positions of the selected rows in `rows`, shape (n_chosen,).
        runs: The same positions as ranges of consecutive rows; None if there are too many.
    """

    rows: Batch
    numbers: NDArray[np.int64]
    runs: RowRuns | None = None


class TrainingRows(NamedTuple):
    """The training rows of one fit, with the columns computed for them.

    Args:
        rows: All rows of the data, also those that were not passed to `fit`.
        learnt_from: The rows that were learned from, in their state after fit.
        wanted: Numbers of the rows passed to `fit` within all rows, in order, shape (n_rows,); None
            if they are all rows.
        is_learnt: Whether each row was learned from, shape (n_rows,); None if all were.
        n_rows: Number of rows passed to `fit`.
        index: Index of all rows if the data is a pandas frame; else None.
    """

    rows: Batch
    learnt_from: Batch
    wanted: NDArray[np.int64] | None
    is_learnt: BoolArray | None
    n_rows: int
    index: Any = None


def rows_at(
    column: Any, places: NDArray[np.int64], backend: Backend, runs: RowRuns | None = None
) -> Any:
    """Return the rows of `column` at the positions `places`, in that order, in host memory."""
    here = column_in_host(column, backend)
    if runs is not None and isinstance(here, pa.ChunkedArray):
        return cut(here, runs)
    return here.take(pa.array(places))


def takeable(column: ChunkedArray) -> ChunkedArray:
    """Return a column from which rows can be taken: with one dictionary, or with plain values.

    Chunks with different dictionaries get a common one, or plain values if Arrow cannot merge them.
    """
    if pa.types.is_dictionary(column.type):
        # Arrow cannot unify dictionaries with null or nested entries, or too many for their codes
        with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return column.unify_dictionaries()
    return plain(decode_column(column))


def take_rows(
    column: ChunkedArray, rows: NDArray[np.int64], runs: RowRuns | None = None
) -> ChunkedArray:
    """Return the given rows of a column, as plain values or with one dictionary for all chunks."""
    column = takeable(column)
    if runs is not None:
        return cut(column, runs)
    return column.take(array_of_values(rows, None, pa.int64()))  # pa.array imports pandas


def take_rows_of_type(column: ChunkedArray, rows: NDArray[np.int64]) -> ChunkedArray:
    """Return the given rows of a column, with exactly the column's type."""
    found = take_rows(column, rows)
    if found.type == column.type:
        return found
    if pa.types.is_dictionary(column.type):
        return _take_rows_by_piece(column, rows)
    if pa.types.is_run_end_encoded(column.type):
        found = call("run_end_encode", found)
    return cast(found, column.type)


def _take_rows_by_piece(column: ChunkedArray, rows: NDArray[np.int64]) -> ChunkedArray:
    """Return the given rows of a column, by chunk because its dictionaries cannot be merged."""
    n_before = np.cumsum([0, *map(len, column.chunks)])
    of_row = np.searchsorted(n_before, rows, side="right") - 1
    ends = np.flatnonzero(np.diff(of_row)) + 1
    found = [
        column.chunk(int(piece[0])).take(pa.array(part - n_before[piece[0]]))
        for part, piece in zip(np.split(rows, ends), np.split(of_row, ends), strict=True)
        if len(part)
    ]
    return pa.chunked_array(found, column.type)


def select_rows(
    batch: Batch, rows: NDArray[np.int64], columns: Sequence[str] | None = None
) -> Batch:
    """Return selected rows of a batch. Their windows see the same rows as before the selection.

    `batch` is in host memory, and its computed columns are reused where needed. `rows` holds row
    numbers in the wanted order, shape (n_chosen,). Only `columns` are read, or all if None.
    """
    names, runs = batch.table.column_names if columns is None else columns, runs_of(rows)
    table = pa.table({name: take_rows(batch.table.column(name), rows, runs) for name in names})
    return replace(
        batch,
        table=table if names else rows_only(len(rows)),
        made={node: made for node, made in batch.made.items() if isinstance(node, TableColumn)},
        past=batch.seen,
        places=rows + batch.first_place if batch.places is None else batch.places[rows],
        n_earlier=batch.first_place if batch.places is None else batch.n_earlier,
        source=SelectionSource(batch, rows, runs),
    )


def without_learnt_values(batch: Batch) -> Batch:
    """Return a copy of the batch for another fit, with its computed columns but no learned values.

    `batch` must have nothing learned from it. Columns added to the copy are not added to `batch`.
    """
    learnt: LearntValues = {}
    orders = dict(batch.seen.orders)
    batch.seen.orders.clear()  # orders may depend on learned values, which the next fit replaces
    past = batch.past and replace(
        batch.past, made=dict(batch.past.made), learnt=learnt, orders=orders
    )
    return replace(batch, made=dict(batch.made), learnt=learnt, past=past, orders=orders)


def take_columns_of_source(batch: Batch, nodes: Iterable[Node]) -> None:
    """Copy columns computed on the source rows into the selected rows that lack them."""
    if batch.source is None:
        return
    source, numbers, runs = batch.source
    for node in nodes:
        if is_computed_at_source(batch, node) and node not in batch.made:
            batch.made[node] = rows_at(source.made[node], numbers, batch.backend, runs)


def is_computed_at_source(batch: Batch, node: Node) -> bool:
    """Return whether `node` was computed for all source rows, to be reused for selected rows.

    Bucket counts are not a column, so they never qualify.
    """
    source = batch.source
    return source is not None and node in source.rows.made and batch.types[node] != COUNTS


def run_program(
    batch: Batch,
    program: Program,
    constants: Constants,
    run: Callable[[SlotColumns], ProgramResultT],
) -> ProgramResultT:
    """Return the result of running a program over the batch; `run` gets a column per input slot."""
    given = batch.table, batch.made, batch.first_number
    columns = slot_columns(program, *given, batch.backend.literal_codes)
    try:
        return run(columns)
    except RowFailed as failure:
        row = failure.args[0]
        error = failures.failed_row(
            *(program, row, columns, constants, batch.table, batch.backend),
            batch.number_of(row),
        )
        error.rows = batch.numbers_in_data(failure.args)
        raise error from None


def compute(batch: Batch, program: Program, constants: Constants) -> list[Any]:
    """Return one Arrow array per output of a program; see `run_program`."""

    def run(columns: SlotColumns) -> list[Any]:
        return run_task(batch.backend, RowTask(program, columns, batch.n_rows, constants))

    return run_program(batch, program, constants, run)


def compute_matrix(
    batch: Batch, program: Program, constants: Constants, out: NDArray[Any]
) -> NDArray[Any]:
    """Write the outputs of a program to the columns of a matrix, and return it."""
    if MatrixTask not in batch.backend.functions:
        for k, array in enumerate(compute(batch, program, constants)):
            out[:, k] = result_forms.matrix_values(array)
        return out

    def run(columns: SlotColumns) -> None:
        run_task(batch.backend, MatrixTask(program, columns, batch.n_rows, constants, out))

    run_program(batch, program, constants, run)
    return out


def compute_nodes(
    batch: Batch, nodes: Sequence[Node], output: MakeOutput, name: str | None = None
) -> tuple[Sequence[Output], list[Any]]:
    """Return the program outputs for the expressions `nodes`, and an Arrow array for each.

    The steps that the expressions read must have been run. `name` stands for all expressions in
    messages; if None, each is shown by its text.
    """
    key = (tuple(nodes), output)
    ready = None if batch.programs is None else batch.programs.get(key)
    if ready is None:
        ready = _program_of_nodes(batch, [(name or show(node), node) for node in nodes], output)
        if batch.programs is not None:
            batch.programs[key] = ready
    program, constants = ready
    return program.outputs, compute(batch, program, constants)


def _program_of_nodes(
    batch: Batch, named: Sequence[tuple[str, Node]], output: MakeOutput
) -> tuple[Program, Constants]:
    """Return the program for the given expressions, and its constants."""
    program = program_of(
        outputs_of(named, batch.types, output, hoist=True, training=batch.training)
    )
    return program, bind(program, known_constants(batch, [node for _, node in named]))


def known_constants(batch: Batch, roots: Iterable[Node]) -> LearntValues:
    """Return the learned values, and the values of constant expressions that `roots` read."""
    return evaluate_constants(constant_roots(list(roots)), batch.types, batch.learnt)


_CODES = "codes of numbered keys"


class ChosenKeys(NamedTuple):
    """The distinct keys of selected rows, with their counts.

    Args:
        counts: Key counts of these rows, as a backend returns them.
        order: Number of each key among the keys of all rows, most frequent key first, shape
            (n_keys,).
    """

    counts: KeyCounts
    order: NDArray[np.int64]


def number_distinct_keys(found: KeyCounts, by_value: KeyCounts) -> NumberedKeys | None:
    """Return the distinct keys of all rows, and the number of each row's key.

    None if a backend has the keys of the rows in device memory only.
    """
    if found.of_rows is None or by_value.of_rows is None:
        return None
    n_keys = len(found.counts)
    numbers = by_value.of_rows(np.arange(n_keys, dtype=np.int32), 0)
    if isinstance(numbers, DeviceArray):
        return None
    of_rows = found.of_rows(numbers, n_keys)
    if isinstance(of_rows, DeviceArray):
        return None
    return NumberedKeys(by_value.parts, of_rows.astype(np.intp))


def order_selected_keys(keys: NumberedKeys, source: SelectionSource) -> ChosenKeys:
    """Return the keys of the selected rows in the order of their codes: by count, then by value."""
    n_keys, of_rows = keys.n_keys, _at(keys.of_rows, source)
    counts = np.bincount(of_rows, minlength=n_keys + 1)
    there = np.flatnonzero(counts[:n_keys])
    order = there[np.argsort(-counts[there], kind="stable")]
    places = pa.array(order)
    parts = tuple(call("array_take", part, places) for part in keys.parts)

    def numbers_of(codes: Int32Array, missing: int) -> Int32Array:
        by_key = np.full(n_keys + 1, missing, np.int32)
        by_key[order] = codes
        return by_key[of_rows]

    return ChosenKeys(
        learnt_keys.KeyCounts(parts, counts[order], int(counts[n_keys]), numbers_of), order
    )


def _at(of_rows: NDArray[np.intp], source: SelectionSource) -> NDArray[np.intp]:
    """Return the key numbers of the selected rows."""
    if source.runs is None:
        return of_rows[source.numbers]
    return np.concatenate([of_rows[a : a + n] for a, n in source.runs] or [of_rows[:0]])


def keep_codes(vocabulary: Vocabulary, keys: NumberedKeys, chosen: ChosenKeys) -> None:
    """Store in the vocabulary's cache a code for each key of the source rows.

    Codes are 0 for a missing key, 1 for a key outside the vocabulary, and from 2 on for its keys.
    """
    codes = np.ones(keys.n_keys + 1, np.int32)
    codes[chosen.order[: len(vocabulary)]] = np.arange(2, 2 + len(vocabulary), dtype=np.int32)
    codes[keys.n_keys] = 0
    vocabulary.cache[_CODES] = codes


def encode_selected(batch: Batch, step: Call) -> Any:
    """Return the codes of selected rows for an "encode" step, without looking up each row's key.

    Works if the vocabulary was learned from other rows of the same source. None if keys must be
    looked up: they are not numbered, or rare keys share several codes.
    """
    if batch.source is None or step.function != "encode":
        return None
    *parts, aggregate = step.args
    params, vocabulary = dict(step.params), batch.learnt.get(aggregate)
    if not isinstance(aggregate, Aggregate) or not is_vocabulary(vocabulary):
        return None
    key = key_of(aggregate)
    keys, codes = batch.source.rows.keys.get(key), vocabulary.cache.get(_CODES)
    is_alike = key[:2] == (tuple(parts), params["missing"]) and params["n_unseen"] == 1
    if keys is None or codes is None or not is_alike:
        return None
    return array_of_values(codes[_at(keys.of_rows, batch.source)], None, pa.int32())
