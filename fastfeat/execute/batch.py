"""Rows on their way through a plan: the data, what fit has learnt, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates import keys as learnt_keys
from fastfeat.backends import Backend, run_task
from fastfeat.engine import learner
from fastfeat.engine.program import Constants, Output, Program, RowFailed, program_of
from fastfeat.engine.tasks import RowTask
from fastfeat.execute import failures
from fastfeat.execute.inputs import Columns, column_in_host, slot_columns
from fastfeat.io.arrow import Array, ChunkedArray, call, cast, pa
from fastfeat.io.columns.bits import Flags, array_of_values
from fastfeat.io.columns.decode import decoded, plain
from fastfeat.io.device import DeviceArray
from fastfeat.io.sources.frames import rows_only
from fastfeat.ir.dtypes import COUNTS
from fastfeat.ir.node import Aggregate, Call, Node, TableColumn
from fastfeat.ir.show import show
from fastfeat.plan.lower.constants import Learnt, bind, constant_roots, evaluate_constants
from fastfeat.plan.lower.lower import Types
from fastfeat.plan.lower.passes import KeyOf, key_of
from fastfeat.plan.lower.patterns import outputs_of
from fastfeat.scalars.value import Value

if TYPE_CHECKING:
    from fastfeat.aggregates.keys import KeyCounts, Vocabulary
    from fastfeat.engine.learner import Rows

Runs = tuple[tuple[int, int], ...]
"""The first row of each run, and how many rows it has."""


_FEW = 8

_LONG = 1 << 14
"""Rows of a run that is long enough for the pieces of a column to be read one by one."""


def runs_of(numbers: NDArray[np.int64]) -> Runs | None:
    """Return the runs of consecutive rows that rows are made of; None where they are many.

    Args:
        numbers: of the rows, in their order, shape (n_rows,).

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


def cut(column: ChunkedArray, runs: Runs) -> ChunkedArray:
    """Return the rows of some runs, in place.

    Example:
        >>> cut(pa.chunked_array([[5, 6, 7, 8]]), ((0, 1), (2, 2))).to_pylist()
        [5, 7, 8]
    """
    chunks = [chunk for first, n in runs for chunk in column.slice(first, n).chunks if len(chunk)]
    return pa.chunked_array(chunks, column.type)


Made = dict[Node, Any]
"""The column that each step has made, each expression that a step needed, columns of tables."""


MakeOutput = Callable[[str, Value], Output]
"""Makes the output of a program from a name and a value."""


Programs = dict[tuple[tuple[Node, ...], MakeOutput], tuple[Program, Constants]]
"""What computes expressions, and what it reads besides the rows."""


Orders = dict[Call, dict[Any, Any]]
"""By an order of rows, what backends keep of the rows in it."""


Result = TypeVar("Result")


class NumberedKeys(NamedTuple):
    """The distinct keys of all rows.

    Args:
        parts: an Arrow array a part of the key, shape (n_keys,), in the order of values.
        of_rows: the number of the key of each row, n_keys where it has none, shape (n_rows,).
            As wide as an address: NumPy counts and gathers by these at once, others it converts.
    """

    parts: tuple[Array, ...]
    of_rows: NDArray[np.intp]

    @property
    def n_keys(self) -> int:
        """The number of keys."""
        return len(self.parts[0])


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that features are computed of, or that fit learns from.

    Args:
        table: the rows.
        types: type of every node of the plan.
        backend: computes and learns.
        learnt: what fit has learnt so far; learning adds to it.
        made: what is made of the rows already; running steps adds to it.
        training: whether the rows are those that are learnt from.
        past: the rows that windows see, these among them; None where they see these rows alone.
        places: where these rows stand in `past`, shape (n_rows,); None where they are its last
            ones, and those before are history, which may not be later than rows of its entity here.
        n_earlier: how many of `past` are history, where places are given; there they are the first.
        source: what these rows were chosen of; None where they were not.
        keys: of rows that others are chosen of, the keys that are numbered.
        shared: what is the same for all rows that are chosen of them: programs, folds by number,
            what tells rows again.
        first_number: the number that a user knows the first row by.
        numbers: the number of each row, where they are a part of larger data; else None.
        stands: of rows that windows see, which of them are those of a history; None where none is.
        programs: of expressions over such rows, kept from one batch to the next: of the same types
            and with the same learnt; None where they are run once.
        orders: of rows that windows see, what backends keep of them in an order: the next run that
            has windows of the order takes it.
    """

    table: Any
    types: Types
    backend: Backend
    learnt: Learnt
    made: Made
    training: bool = False
    past: Batch | None = None
    places: NDArray[np.int64] | None = None
    n_earlier: int = 0
    source: Source | None = None
    keys: dict[KeyOf, NumberedKeys] = field(default_factory=dict[KeyOf, NumberedKeys])
    shared: dict[Any, Any] = field(default_factory=dict[Any, Any])
    first_number: int = 0
    numbers: Rows | None = None
    stands: Stands | None = None
    programs: Programs | None = None
    orders: Orders = field(default_factory=dict[Call, dict[Any, Any]])

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.table.num_rows

    @property
    def seen(self) -> Batch:
        """The rows that windows see: the past, or where there is none these rows."""
        return self.past or self

    @property
    def first_place(self) -> int:
        """The first place that one of these rows has among those that windows see."""
        if self.places is None:
            return self.seen.n_rows - self.n_rows
        return int(self.places.min(initial=self.seen.n_rows))

    def number_of(self, row: int) -> int:
        """Return the number that a user knows a row by: that in the data, or in the history."""
        if self.stands is not None:
            place = row if self.stands.places is None else int(self.stands.places[row])
            if place < self.stands.n_history:
                return HistoryRow(place)
            row = place - self.stands.n_history
        if self.numbers is not None:
            return learner.number_of(self.numbers, row)
        return self.first_number + (row if self.source is None else int(self.source.numbers[row]))

    def numbers_in_data(self, rows: Iterable[int]) -> tuple[int, ...]:
        """Return the numbers that a user knows rows by, without those of the history."""
        numbers = map(self.number_of, rows)
        return tuple(number for number in numbers if not isinstance(number, HistoryRow))


class HistoryRow(int):
    """The number of a row in the history, as messages tell it."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return the number, and where it is one."""
        return f"{int(self)} of history="

    def __format__(self, form: str) -> str:
        """Return the number, and where it is one."""
        return str(self)


class Stands(NamedTuple):
    """The places of rows that windows see, in the history and the data behind it.

    Args:
        n_history: rows of the history.
        places: of each row, shape (n_rows,); None where they are all rows in order.
    """

    n_history: int
    places: NDArray[np.int64] | None


class Source(NamedTuple):
    """The rows that some were chosen of: columns made there are taken, not made again.

    Args:
        rows: all rows.
        numbers: of the chosen ones among them, shape (n_chosen,).
        runs: that these are made of; None where they are many.
    """

    rows: Batch
    numbers: NDArray[np.int64]
    runs: Runs | None = None


class TrainingRows(NamedTuple):
    """The rows that were given to fit.

    Args:
        rows: all rows of the data, among which they stand.
        learnt_from: those of them that were learnt from, as fit has left them.
        wanted: the numbers of the rows given to fit among all, in their order, shape (n_rows,);
            None where they are all.
        is_learnt: whether each was learnt from, shape (n_rows,); None where all were.
        n_rows: how many were given to fit.
        index: of all rows, where the data is a pandas frame; else None.
    """

    rows: Batch
    learnt_from: Batch
    wanted: NDArray[np.int64] | None
    is_learnt: Flags | None
    n_rows: int
    index: Any = None


def rows_at(
    column: Any, places: NDArray[np.int64], backend: Backend, runs: Runs | None = None
) -> Any:
    """Return some rows of a column; one of a device is brought to the host.

    Args:
        column: an Arrow array or column, or one of a device.
        places: of the rows, in the order wanted, shape (n_rows,).
        backend: of the device.
        runs: that the rows are made of, where they are few.
    """
    here = column_in_host(column, backend)
    if runs is not None and isinstance(here, pa.ChunkedArray):
        return cut(here, runs)
    return here.take(pa.array(places))


def takeable(column: ChunkedArray) -> ChunkedArray:
    """Return a column with one dictionary for all pieces; of other encodings the plain values."""
    if pa.types.is_dictionary(column.type):
        # Arrow unifies none with null or nested entries, or more than their codes can number
        with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return column.unify_dictionaries()
    return plain(decoded(column))


def take_rows(
    column: ChunkedArray, rows: NDArray[np.int64], runs: Runs | None = None
) -> ChunkedArray:
    """Return some rows of a column, in the encoding of `takeable`."""
    column = takeable(column)
    if runs is not None:
        return cut(column, runs)
    return column.take(array_of_values(rows, None, pa.int64()))  # pa.array imports pandas


def take_rows_of_type(column: ChunkedArray, rows: NDArray[np.int64]) -> ChunkedArray:
    """Return some rows of a column, of the very type of the column."""
    found = take_rows(column, rows)
    if found.type == column.type:
        return found
    if pa.types.is_dictionary(column.type):
        return _take_rows_by_piece(column, rows)
    if pa.types.is_run_end_encoded(column.type):
        found = call("run_end_encode", found)
    return cast(found, column.type)


def _take_rows_by_piece(column: ChunkedArray, rows: NDArray[np.int64]) -> ChunkedArray:
    """Return some rows of a column whose pieces have dictionaries that do not go together."""
    n_before = np.cumsum([0, *map(len, column.chunks)])
    of_row = np.searchsorted(n_before, rows, side="right") - 1
    ends = np.flatnonzero(np.diff(of_row)) + 1
    found = [
        column.chunk(int(piece[0])).take(pa.array(part - n_before[piece[0]]))
        for part, piece in zip(np.split(rows, ends), np.split(of_row, ends), strict=True)
        if len(part)
    ]
    return pa.chunked_array(found, column.type)


def chosen_rows(
    batch: Batch, rows: NDArray[np.int64], columns: Sequence[str] | None = None
) -> Batch:
    """Return some rows of a batch; their windows see what those of all its rows see.

    Args:
        batch: rows in the host's memory. What is made of them already is taken where it is needed.
        rows: their numbers in it, in the order wanted, shape (n_chosen,).
        columns: the columns that are read of the rows themselves; None for all.
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
        source=Source(batch, rows, runs),
    )


def as_unlearnt(batch: Batch) -> Batch:
    """Return rows as another fit begins with them: with all that is made of them, nothing learnt.

    Args:
        batch: rows of which nothing is learnt; what is made of those returned is not added to it.
    """
    learnt: Learnt = {}
    orders = dict(batch.seen.orders)
    batch.seen.orders.clear()  # orders by what a fit learns are its own: the next learns others
    past = batch.past and replace(
        batch.past, made=dict(batch.past.made), learnt=learnt, orders=orders
    )
    return replace(batch, made=dict(batch.made), learnt=learnt, past=past, orders=orders)


def take_columns_of_source(batch: Batch, nodes: Iterable[Node]) -> None:
    """Take what is made of the rows that some rows were chosen of, as far as they lack it.

    Args:
        batch: the chosen rows; takes the columns.
        nodes: expressions and steps.
    """
    if batch.source is None:
        return
    source, numbers, runs = batch.source
    for node in nodes:
        if is_made_of_source(batch, node) and node not in batch.made:
            batch.made[node] = rows_at(source.made[node], numbers, batch.backend, runs)


def is_made_of_source(batch: Batch, node: Node) -> bool:
    """Return whether a column is made of the rows that some rows were chosen of, for all of them.

    Counts in buckets are no column.
    """
    source = batch.source
    return source is not None and node in source.rows.made and batch.types[node] != COUNTS


def run_program(
    batch: Batch, program: Program, constants: Constants, run: Callable[[Columns], Result]
) -> Result:
    """Return the result of a program over the rows.

    Args:
        batch: the rows.
        program: what is run.
        constants: what it reads besides them.
        run: runs it, given the column of each of its input slots.

    Raises:
        Overflow, InvalidData: a row that the program cannot compute, with its values.
    """
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
    """Return an Arrow array for each output of a program; see `run_program`."""

    def run(columns: Columns) -> list[Any]:
        return run_task(batch.backend, RowTask(program, columns, batch.n_rows, constants))

    return run_program(batch, program, constants, run)


def compute_nodes(
    batch: Batch, nodes: Sequence[Node], output: MakeOutput, name: str | None = None
) -> tuple[Sequence[Output], list[Any]]:
    """Return the outputs of expressions over the rows, and an Arrow array for each.

    Args:
        batch: the rows; the steps that the expressions read are made.
        nodes: the expressions.
        output: makes the output of an expression.
        name: of all of them in messages; None for their texts.
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
    """Return the program that computes expressions over the rows, and its constants."""
    program = program_of(
        outputs_of(named, batch.types, output, hoist=True, training=batch.training)
    )
    return program, bind(program, known_constants(batch, [node for _, node in named]))


def known_constants(batch: Batch, roots: Iterable[Node]) -> Learnt:
    """Return the constants learnt so far, and those that expressions make of them."""
    return evaluate_constants(constant_roots(list(roots)), batch.types, batch.learnt)


Codes = NDArray[np.int32]

_CODES = "codes of numbered keys"


class ChosenKeys(NamedTuple):
    """The keys of some of the rows.

    Args:
        counts: of these rows, as a backend counts them.
        order: the number among all keys of each of theirs, in the order of codes, shape (n_keys,).
    """

    counts: KeyCounts
    order: NDArray[np.int64]


def numbered(found: KeyCounts, by_value: KeyCounts) -> NumberedKeys | None:
    """Return the keys of all rows, numbered; None where a backend does not number them in the host.

    Args:
        found: the keys of all rows, counted with rows.
        by_value: the same of those keys themselves, each of which is there once: in their order.
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


def among(keys: NumberedKeys, source: Source) -> ChosenKeys:
    """Return the keys of some rows, in the order of codes: by count, then by value."""
    n_keys, of_rows = keys.n_keys, _at(keys.of_rows, source)
    counts = np.bincount(of_rows, minlength=n_keys + 1)
    there = np.flatnonzero(counts[:n_keys])
    order = there[np.argsort(-counts[there], kind="stable")]
    places = pa.array(order)
    parts = tuple(call("array_take", part, places) for part in keys.parts)

    def numbers_of(codes: Codes, missing: int) -> Codes:
        by_key = np.full(n_keys + 1, missing, np.int32)
        by_key[order] = codes
        return by_key[of_rows]

    return ChosenKeys(
        learnt_keys.KeyCounts(parts, counts[order], int(counts[n_keys]), numbers_of), order
    )


def _at(of_rows: NDArray[np.intp], source: Source) -> NDArray[np.intp]:
    """Return the numbers of chosen rows."""
    if source.runs is None:
        return of_rows[source.numbers]
    return np.concatenate([of_rows[a : a + n] for a, n in source.runs] or [of_rows[:0]])


def keep_codes(vocabulary: Vocabulary, keys: NumberedKeys, chosen: ChosenKeys) -> None:
    """Keep beside a vocabulary which code each key of all rows has by it, were it unseen code 1."""
    codes = np.ones(keys.n_keys + 1, np.int32)
    codes[chosen.order[: len(vocabulary)]] = np.arange(2, 2 + len(vocabulary), dtype=np.int32)
    codes[keys.n_keys] = 0
    vocabulary.cache[_CODES] = codes


def encoded(batch: Batch, step: Call) -> Any:
    """Return the codes of chosen rows by a vocabulary of other rows of the same source.

    None where they are to be looked up: keys are not numbered, or rare ones share several codes.
    """
    if batch.source is None or step.function != "encode":
        return None
    *parts, aggregate = step.args
    params, vocabulary = dict(step.params), batch.learnt.get(aggregate)
    if not isinstance(aggregate, Aggregate) or not isinstance(vocabulary, learnt_keys.Vocabulary):
        return None
    key = key_of(aggregate)
    keys, codes = batch.source.rows.keys.get(key), vocabulary.cache.get(_CODES)
    is_alike = key[:2] == (tuple(parts), params["missing"]) and params["n_unseen"] == 1
    if keys is None or codes is None or not is_alike:
        return None
    return array_of_values(codes[_at(keys.of_rows, batch.source)], None, pa.int32())
