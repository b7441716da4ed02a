"""Features of rows that see a log, bit for bit equal to `transform(rows, history=)`.

An asking row is a row of the call; visible rows are the log rows in reach of its windows. Window
functions are computed one order at a time, from the visible rows followed by the asking rows. A
round is a group of functions of one order that are computed together; a function that others read
is in an earlier round. If their results define the order of rows, this is done in stages: each
stage finds the visible rows in its own orders. All other computation is shared with `transform`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.backends import run_task
from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.execute.batch import Batch
from fastfeat.execute.inputs import check_still_missing
from fastfeat.execute.lookup_tables import table_values
from fastfeat.execute.results import computed_form, convert_features
from fastfeat.execute.steps import run
from fastfeat.execute.transform import program_and_constants, read_out
from fastfeat.execute.values import compute_columns, key_values, values_of
from fastfeat.execute.windows import arrays_of, codes_in_host, naming_row_numbers, text_codes
from fastfeat.io.arrow import Array, Table, pa
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.sources.frames import rows_only
from fastfeat.ir.dtypes import INT64, DType
from fastfeat.ir.node import Column, Node, TableColumn
from fastfeat.live.lower.live_plan import LivePlan, LiveStage
from fastfeat.live.lower.row_orders import log_rows
from fastfeat.live.lower.row_tables import typed
from fastfeat.live.lower.schedules import WindowRound
from fastfeat.scalars.zones import use_zone_tables
from fastfeat.steps.windows.rows import RowOrder, WindowRequest
from fastfeat.steps.windows.tasks import WindowTask


@dataclass(frozen=True, slots=True)
class LogView:
    """The log rows that asking rows see in one order.

    Args:
        rows: Log columns and stored window results of the visible rows, in order of arrival.
        codes: Entity of each visible row, as a number from 0, shape (n_seen,); negative for no
            entity.
        asking: Entity of each asking row, with the same numbers, shape (n_rows,).
    """

    rows: Table
    codes: NDArray[np.int32]
    asking: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class AnsweredRows:
    """Asking rows with all columns that their features are computed from.

    Args:
        lowered: The live plan.
        batches: Plan name to the asking rows with all computed columns.
        kept: Results of the window functions that other windows read, one per row, by name in
            `LivePlan.kept`.
        log: Log columns of these rows, with the types seen in fit.
    """

    lowered: LivePlan
    batches: Mapping[str, Batch]
    kept: Mapping[str, Array]
    log: Table

    @with_ieee_arithmetic
    def features(
        self, plan: str, *, to: str = "arrow", out: Any = None, categories: bool = False
    ) -> Any:
        """Return the features of one plan in the form `to`; see `FittedPlan.transform`."""
        fitted, batch = self.lowered.plans[plan], self.batches[plan]
        form = computed_form(fitted, to)
        program, constants = program_and_constants(fitted, form)
        features = read_out(fitted, batch, program, constants, form, out)
        if out is not None:
            return out
        return convert_features(fitted, features, to, categories=categories)


Batches = Mapping[str, Batch]
"""A dict of plan name to the asking rows with the columns computed so far."""


@with_ieee_arithmetic
def answer(
    lowered: LivePlan,
    rows: Table,
    seen: Sequence[LogView],
    tables: Mapping[str, Any],
    backend: str = "cpu",
    *,
    first_number: int = 0,
    log: Table | None = None,
    begun: Batches | None = None,
) -> AnsweredRows:
    """Return asking rows with all columns that their features are computed from.

    Args:
        lowered: The live plan.
        rows: The asking rows, with the columns that the plans read; columns that are filled in
            after the answer (late columns) may be absent.
        seen: The visible log rows, one view per order of `lowered.orders`.
        tables: Lookup tables.
        backend: Name of the backend.
        first_number: Number of the first row in messages.
        log: Log columns of the asking rows; None to take them from `rows`.
        begun: The rows with all stages but the last computed, from `begin` and `make_stage`; None
            to compute all stages.

    Raises:
        Overflow, InvalidData: A row that cannot be computed, with its number.
    """
    log = log_rows(lowered, rows) if log is None else log
    stages, batches = lowered.stages[-1:], begun
    if batches is None:
        stages, batches = lowered.stages, begin(lowered, rows, tables, backend, first_number)
    for stage in stages:
        make_stage(lowered, stage, batches, log, seen)
    for name, prepared in lowered.prepared.items():
        with use_zone_tables(prepared.fitted.zones):
            run(batches[name], prepared.schedule)
    return AnsweredRows(lowered, batches, kept_arrays(lowered, batches, lowered.kept), log)


def begin(
    lowered: LivePlan,
    rows: Table,
    tables: Mapping[str, Any],
    backend: str = "cpu",
    first_number: int = 0,
) -> Batches:
    """Return a dict of plan name to a batch of the asking rows, with nothing computed yet.

    The arguments are those of `answer`.
    """
    batches: dict[str, Batch] = {}
    for name, prepared in lowered.prepared.items():
        if prepared.fitted.never_seen:
            check_still_missing(rows, prepared.fitted.never_seen)
        made: dict[Node, Any] = dict(table_values(prepared.fitted.table_columns, tables))
        batches[name] = prepared.batch(rows, made, backend, first_number)
    return batches


@with_ieee_arithmetic
def make_stage(
    lowered: LivePlan, stage: LiveStage, batches: Batches, log: Table, seen: Sequence[LogView]
) -> None:
    """Compute the window functions of one stage, and add their results to the batches.

    `log` has the log columns of the asking rows. `seen` has the visible log rows in the orders of
    this stage and of earlier ones.
    """
    for name, rounds in stage.rounds.items():
        with use_zone_tables(lowered.prepared[name].fitted.zones):
            for one in rounds:
                make_windows(one, batches[name], log, seen[one.order])


def kept_arrays(lowered: LivePlan, batches: Batches, names: Iterable[str]) -> dict[str, Array]:
    """Return results of window functions that other windows read, one per asking row, by name."""
    kept = {name: lowered.kept[name] for name in names}
    return {name: _plain(batches[one.plans[0]].made[one.call]) for name, one in kept.items()}


def make_windows(one: WindowRound, batch: Batch, log: Table, seen: LogView) -> None:
    """Compute the window functions of one round for the asking rows, and add them to the batch.

    `log` has the log columns of the asking rows, `seen` the visible rows.
    """
    wanted = request_windows(one, batch, log, seen)
    types, n_seen = batch.types, len(seen.codes)

    def compute(asked: Sequence[WindowRequest]) -> list[Any]:
        with naming_row_numbers(batch):
            arrays = run_task(batch.backend, WindowTask(wanted.past, asked, n_seen))
        return [
            codes_in_host(array, batch.backend) if types[statistic.call].holds_bytes else array
            for statistic, array in zip(one.statistics, arrays, strict=True)
        ]

    calls = [statistic.call for statistic in one.statistics]
    arrays = arrays_of(calls, wanted.asked, wanted.texts, types, compute)
    for call, array in zip(calls, arrays, strict=True):
        batch.made[call] = pa.chunked_array([array]) if isinstance(array, pa.Array) else array


class WindowRequests(NamedTuple):
    """Window functions to compute, with the columns that sort the rows.

    Args:
        past: Times, ties and entities of the visible rows, followed by the asking rows.
        asked: One request to the backend per function.
        texts: For each function, the texts that its codes stand for; None if it reads no text.
    """

    past: RowOrder
    asked: list[WindowRequest]
    texts: list[Any]


def request_windows(one: WindowRound, batch: Batch, log: Table, seen: LogView) -> WindowRequests:
    """Return the requests to a backend for the functions of one round.

    The arguments are those of `make_windows`.
    """
    past = _past(one, batch, log, seen)
    if one.schedule.tasks:
        run(past, one.schedule)
    if one.expressions:
        compute_columns(past, one.expressions)
    ordering = _ordering(past, one, seen)
    return WindowRequests(ordering, *_requests(past, one, ordering))


def _past(one: WindowRound, batch: Batch, log: Table, seen: LogView) -> Batch:
    """Return the visible rows followed by the asking rows, with the columns that a round reads."""
    types = batch.types
    columns = [
        _joined(seen.rows.column(name), log.column(name), name, types[Column(name)])
        for name in one.columns
    ]
    made: dict[Node, Any] = {n: v for n, v in batch.made.items() if isinstance(n, TableColumn)}
    for name, call in one.kept.items():
        own = typed(batch.made[call], name, types[call])
        made[call] = _joined(seen.rows.column(name), own, name, types[call])
    table = pa.Table.from_arrays(columns, list(one.columns))
    if not columns:
        table = rows_only(len(seen.codes) + len(seen.asking))
    return replace(batch, table=table, made=made, first_number=batch.first_number - len(seen.codes))


def _joined(before: Any, own: Any, name: str, dtype: DType) -> Any:
    """Return a column of the visible rows (`before`) followed by the asking rows (`own`)."""
    if before.type != own.type:
        before = typed(before, name, dtype)
    return pa.chunked_array([*before.chunks, *own.chunks], own.type)


def _ordering(past: Batch, one: WindowRound, seen: LogView) -> RowOrder:
    """Return the times, ties and entities by which a backend sorts the visible and asking rows."""
    dtype, times = values_of(past, one.time)
    codes = np.concatenate([seen.codes, seen.asking], dtype=np.int32)
    tie, reads_codes = one.tie, past.backend.reads_codes
    return RowOrder(
        times,
        dtype,
        [] if reads_codes else [pa.chunked_array([_numbers(codes)])],
        [INT64],
        None if tie is None else key_values(past, tie, narrow=False),
        None if tie is None else past.types[tie],
        is_mixed=True,
        codes=codes,
    )


def _numbers(codes: NDArray[np.int32]) -> Array:
    """Return entity numbers as an int64 key column; negative numbers become null."""
    wide = codes.astype(np.int64)
    return pa.array(wide, mask=wide < 0) if wide.min(initial=0) < 0 else pa.array(wide)


def _requests(
    past: Batch, wanted: WindowRound, ordering: RowOrder
) -> tuple[list[WindowRequest], list[Any]]:
    """Return one request per function, and for each function the texts that its codes stand for.

    The texts are None for functions that read no text.
    """
    known: dict[tuple[Node, bool], tuple[Any, DType, Any]] = {
        (wanted.time, False): (ordering.times, ordering.dtype, None)
    }
    asked: list[WindowRequest] = []
    texts: list[Any] = []
    for one in wanted.statistics:
        key = one.value, one.is_of_text
        if key not in known:
            known[key] = _values(past, *key)
        values, dtype, text = known[key]
        asked.append(WindowRequest(one.function, one.params, values, dtype, one.window, one.kept))
        texts.append(text)
    return asked, texts


def _values(past: Batch, value: Node, is_of_text: bool) -> tuple[Any, DType, Any]:
    """Return the values that a function aggregates, their type, and the text of each code.

    The values are codes if the function reads text; otherwise the texts are None.
    """
    if is_of_text:
        coded = text_codes(past, value)
        return coded.indices, INT64, coded.dictionary
    dtype, values = values_of(past, value)
    return values, dtype, None


def _plain(column: Any) -> Array:
    """Return a computed column as one Arrow array, without dictionary or chunks."""
    found = decode_column(column).combine_chunks()
    return pa.concat_arrays(found.chunks) if isinstance(found, pa.ChunkedArray) else found
