"""The features of rows with what they see of a log: the bits of `transform(rows, history=)`.

The functions over windows are computed order by order, of the rows in reach of those that ask, and
in rounds: those that others read first. All else is computed as `transform` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends import backend_named
from fastfeat.dtypes import INT64
from fastfeat.io.arrow import Array, Table, pa
from fastfeat.io.decode import decoded
from fastfeat.ir.node import Call, Node
from fastfeat.online.lowering import LivePlan, Order, Round
from fastfeat.online.placing import log_rows
from fastfeat.plan.batch import Batch
from fastfeat.plan.environment import in_ieee
from fastfeat.plan.history import as_type
from fastfeat.plan.made import make
from fastfeat.plan.over import arrays_of, asked_of
from fastfeat.plan.result_forms import computed_form, given_out
from fastfeat.plan.tables import table_values
from fastfeat.plan.transform import bound, computed
from fastfeat.plan.values import compute_columns, key_values, values_of
from fastfeat.scalars.zones import using
from fastfeat.steps.windows import Asked, OverFailed, Past


@dataclass(frozen=True, slots=True)
class Seen:
    """The rows of a log that rows that ask see in one order.

    Args:
        rows: columns of the log and kept functions, in order of arrival.
        codes: the number of the entity of each, from 0, shape (n_seen,); negative for none.
        asking: the same of those that ask, shape (n_rows,).
    """

    rows: Table
    codes: NDArray[np.int32]
    asking: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Answered:
    """Rows of which all is made but the features themselves.

    Args:
        lowered: what was asked.
        batches: the rows of each plan.
        kept: what functions that windows read gave for each row, by their name in
            `LivePlan.kept`.
        log: the columns of the log of the rows, of the types that fit saw.
    """

    lowered: LivePlan
    batches: Mapping[str, Batch]
    kept: Mapping[str, Array]
    log: Table

    @in_ieee
    def features(
        self, plan: str, *, to: str = "arrow", out: Any = None, categories: bool = False
    ) -> Any:
        """Return the features of a plan in a form.

        Args:
            plan: its name.
            to: as of `FittedPlan.transform`, as the following are.
            out: the array to write to.
            categories: whether codes become categories.
        """
        fitted, batch = self.lowered.plans[plan], self.batches[plan]
        form = computed_form(fitted, to)
        program, constants = bound(fitted, form)
        features = computed(fitted, batch, program, constants, form, out)
        if out is not None:
            return out
        return given_out(fitted, features, to, categories=categories)


@in_ieee
def answer(
    lowered: LivePlan,
    rows: Table,
    seen: Sequence[Seen],
    tables: Mapping[str, Any],
    backend: str = "cpu",
    first_number: int = 0,
) -> Answered:
    """Return rows with all that their features are computed of.

    Args:
        lowered: what is asked.
        rows: the rows that ask, with the columns that the plans read; late ones may lack.
        seen: what they see, by order.
        tables: the lookup tables.
        backend: its name.
        first_number: the number that the caller knows the first row by, for messages.
    """
    log = log_rows(lowered, rows)
    batches: dict[str, Batch] = {}
    kept: dict[str, Array] = {}
    for name, fitted in lowered.plans.items():
        made: dict[Node, Any] = dict(table_values(fitted.table_columns, tables))
        engine = backend_named(backend)
        batch = Batch(
            rows, fitted.types, engine, dict(fitted.constants), made, first_number=first_number
        )
        with using(fitted.zones):
            for one in lowered.rounds[name]:
                past = _past(lowered, name, batch, log, seen[one.order])
                _make_windows(lowered.orders[one.order], batch, past, one, seen[one.order])
            if fitted.has_steps:
                make(batch, list(fitted.nodes.values()))
        batches[name] = batch
        for text, function in lowered.kept.items():
            if function.plans[0] == name:
                kept[text] = _plain(batch.made[function.call])
    return Answered(lowered, batches, kept, log)


def _make_windows(order: Order, batch: Batch, past: Batch, one: Round, seen: Seen) -> None:
    """Compute functions over windows of one order of the rows for the rows that ask.

    Args:
        order: what orders the rows.
        batch: the rows that ask; takes the columns.
        past: the rows that they see, and after them themselves.
        one: the functions.
        seen: what they see.
    """
    calls = [function.call for function in one.functions]
    values = [call.args[0] for call in calls]
    read = [order.time, *([] if order.tie is None else [order.tie])]
    make(past, [*read, *values])
    compute_columns(past, read)
    dtype, times = values_of(past, order.time)
    ordering = Past(
        times,
        dtype,
        [_codes(seen)],
        [INT64],
        None if order.tie is None else key_values(past, order.tie, narrow=False),
        None if order.tie is None else past.types[order.tie],
        is_mixed=True,
    )

    def compute(asked: Sequence[Asked]) -> list[Any]:
        try:
            return batch.backend.over(ordering, asked, len(seen.codes))
        except OverFailed as failure:
            which, row, text, kind = failure.args
            raise OverFailed(which, batch.number_of(row), text, kind) from None

    asked, texts = asked_of(past, calls, values)
    arrays = arrays_of(calls, asked, texts, past.types, compute)
    batch.made.update(zip(calls, map(_column, arrays), strict=True))


def _past(lowered: LivePlan, plan: str, batch: Batch, log: Table, seen: Seen) -> Batch:
    """Return the rows that are seen, and after them those that ask, as windows read them.

    Args:
        lowered: what is asked.
        plan: the name of the plan.
        batch: the rows that ask.
        log: the columns of the log of these.
        seen: the rows that they see.
    """
    columns = {
        name: _joined(seen.rows.column(name), log.column(name), name, dtype)
        for name, dtype in lowered.columns.items()
    }
    made = {n: column for n, column in batch.made.items() if not isinstance(n, Call)}
    for name, function in lowered.kept.items():
        own = batch.made.get(function.call)
        if own is not None and plan in function.plans:
            before = seen.rows.column(name)
            made[function.call] = _joined(before, own, name, function.dtype)
    before = batch.first_number - seen.rows.num_rows
    return replace(batch, table=pa.table(columns), made=made, first_number=before)


def _joined(before: Any, own: Any, name: str, dtype: Any) -> Any:
    """Return a column of the rows that are seen, and after them of those that ask."""
    before, own = as_type(before, name, dtype), as_type(own, name, dtype)
    return pa.chunked_array([*before.chunks, *own.chunks], before.type)


def _codes(seen: Seen) -> Any:
    codes = np.concatenate([seen.codes, seen.asking]).astype(np.int64)
    return pa.chunked_array([pa.array(codes, mask=codes < 0)])


def _column(made: Any) -> Any:
    return pa.chunked_array([made]) if isinstance(made, pa.Array) else made


def _plain(column: Any) -> Array:
    """Return a column that was made as an array of plain values."""
    found = decoded(column).combine_chunks()
    return pa.concat_arrays(found.chunks) if isinstance(found, pa.ChunkedArray) else found
