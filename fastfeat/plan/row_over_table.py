"""What a function of the rows of a table in a window is for one row, by the definition.

The rows of the table are put in order, and what is asked of them computed, once as long as the
table is kept; of a row only those in its window are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastfeat.backends import backend_named
from fastfeat.backends.reference.steps import listed, ordering
from fastfeat.ir.node import Call, Node, TableColumn
from fastfeat.ir.scope import OVER, order_of, query_of, window_of
from fastfeat.ir.show import show
from fastfeat.ir.walk import postorder
from fastfeat.plan.batch import Batch
from fastfeat.plan.made import table_with
from fastfeat.plan.over import asked_of
from fastfeat.plan.over_table import naming_table, past_of_table
from fastfeat.steps.table_windows import Rows, moments_of, over_table, rows_of_table
from fastfeat.steps.windows import OverFailed, RowOrder, WindowRequest, function_over

if TYPE_CHECKING:
    from fastfeat.plan.fitted import FittedPlan

Row = Mapping[Any, Any]


def over_table_maker(
    step: Call, fitted: FittedPlan, query: Sequence[Callable[[Row], Any]]
) -> Callable[[Row], Any]:
    """Return what computes a function over a window of a table for a row.

    Args:
        step: the function.
        fitted: the plan.
        query: get the time and the keys of a row, each as a column of one value.
    """
    order, types = order_of(step), fitted.types
    time, *keys = (types[node] for node in query_of(order))
    read: list[Node] = [node for node in postorder([step]) if isinstance(node, TableColumn)]

    def make(row: Row) -> Any:
        made = {column: row[column] for column in read}
        batch = Batch(None, types, backend_named("cpu"), {}, made)
        past = past_of_table(batch, order)
        asked, texts = _asked(batch, past, order, step)
        moment, *parts = (get(row) for get in query)
        moments = moments_of(moment, time, parts, keys)
        try:
            found: Any = over_table(_rows(past), past.dtype, asked, 0, moments)[0]
        except OverFailed as failure:
            _, _, text, kind = failure.args
            raise kind(f"{show(step)}: {text}") from None
        return texts[found] if found is not None and types[step].holds_bytes else found

    return make


def _rows(past: RowOrder) -> Rows:
    """Return the rows of each key of a table in order; made on first use."""
    assert past.cache is not None
    if "rows" not in past.cache:
        times, keys, tie = ordering(past)
        past.cache["rows"] = rows_of_table(times, past.dtype, keys, past.key_dtypes, tie)
    return past.cache["rows"]


def _asked(
    batch: Batch, past: RowOrder, order: Call, step: Call
) -> tuple[WindowRequest, list[Any]]:
    """Return what is asked, of a column as a list, and its texts; made on first use.

    The functions of one column share the list.
    """
    assert past.cache is not None
    function = step.function.removeprefix(OVER)
    dtypes = tuple(batch.types[column] for column in batch.made)
    name = (step.args[0], dtypes, function_over(step).counts)
    if name not in past.cache:
        table, values = table_with(batch, order, [step])
        with naming_table(order):
            (asked,), (texts,) = asked_of(table, [step], values)
        past.cache[name] = listed(asked), [] if texts is None else texts.to_pylist()
    known, texts = past.cache[name]
    window = dict(window_of(step).params)
    return replace(known, function=function, params=dict(step.params), window=window), texts
