"""Steps of one row: the definitions, one value at a time, by the rules of the border."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastfeat.backends import backend_named
from fastfeat.dtypes import BINARY, FLOAT64, TABLE, VOCABULARY, DType
from fastfeat.engine.failure import failure_of
from fastfeat.engine.program import program_of
from fastfeat.engine.reference.run import evaluate_row, leaf_reader
from fastfeat.io.columns.row_values import (
    content_value,
    convert,
    list_value,
    stored_literal,
    text_of,
)
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, TableColumn, postorder
from fastfeat.ir.scope import (
    OVER,
    is_over_table,
    order_of,
    query_of,
    row_args,
    table_of,
    window_of,
)
from fastfeat.ir.show import names_of, show
from fastfeat.plan.lower.codes import given_vocabulary
from fastfeat.plan.lower.constants import bind, constant_roots, evaluate_constants
from fastfeat.plan.lower.lower import output_of
from fastfeat.plan.lower.patterns import outputs_of
from fastfeat.plan.lower.schedule import ROWS
from fastfeat.plan.run.batch import Batch
from fastfeat.plan.run.fitted import Fitted
from fastfeat.plan.run.steps import table_with
from fastfeat.plan.run.windows import naming_table, past_of_table, window_requests
from fastfeat.scalars.value import LARGE_ARGUMENT, InputSlot
from fastfeat.steps.registry import is_step, step_function
from fastfeat.steps.step import Argument, StepFailed
from fastfeat.steps.windows.rows import OverFailed, RowOrder, WindowRequest, function_over
from fastfeat.steps.windows.table_rows import Rows, moments_of, over_table, rows_of_table
from fastfeat.steps.windows.tasks import listed, ordering

Row = Mapping[Any, Any]
"""Values by column, those that steps have made by their call, columns of lookup tables."""


def over_table_maker(
    step: Call, fitted: Fitted, query: Sequence[Callable[[Row], Any]]
) -> Callable[[Row], Any]:
    """Return a function that computes, for a row, a function over a window of a table.

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
        asked, texts = _request(batch, past, order, step)
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


def _request(
    batch: Batch, past: RowOrder, order: Call, step: Call
) -> tuple[WindowRequest, list[Any]]:
    """Return the request for a function, its column as a list, and its texts; made on first use.

    The functions of one column share the list.
    """
    assert past.cache is not None
    function = step.function.removeprefix(OVER)
    dtypes = tuple(batch.types[column] for column in batch.made)
    name = (step.args[0], dtypes, function_over(step).counts)
    if name not in past.cache:
        table, values = table_with(batch, order, [step])
        with naming_table(table_of(order)):
            (asked,), (texts,) = window_requests(table, [step], values)
        past.cache[name] = listed(asked), [] if texts is None else texts.to_pylist()
    known, texts = past.cache[name]
    window = dict(window_of(step).params)
    return replace(known, function=function, params=dict(step.params), window=window), texts


Getter = Callable[[Row], Any]

_OF_A_ROW = ("step", "windows over a table", "ahead")
"""The kinds of task whose columns are made of a row alone, and of tables."""


def row_maker(fitted: Fitted) -> Callable[[Row], Row]:
    """Return a function that adds to a row all that the steps of a fitted plan make of it."""
    makers = [(step, _maker(step, fitted)) for step in _row_steps(fitted)]

    def make(row: Row) -> Row:
        made = dict(row)
        for step, maker in makers:
            made[step] = maker(made)
        return made

    return make


def has_row_steps(fitted: Fitted) -> bool:
    """Return whether steps make something of a row itself."""
    return len(_row_steps(fitted)) > 0


def _row_steps(fitted: Fitted) -> list[Node]:
    """Return the steps of a row, in order, but functions of its past."""
    tasks = [task for task in fitted.schedule.tasks if task.kind in _OF_A_ROW]
    columns = fitted.schedule.columns
    made = [columns[place] for task in tasks for place in task.gives]
    return [column.origin for column in made if column.space == ROWS]


def _maker(step: Node, fitted: Fitted) -> Getter:
    """Return a function that makes the value of a step, as it is stored, None where missing."""
    if isinstance(step, Aggregate):
        return lambda row: fitted.constants[step]
    assert isinstance(step, Call)
    if is_over_table(step):
        return over_table_maker(
            step, fitted, [_getter(arg, step, fitted) for arg in row_args(step)]
        )
    types = fitted.types
    params, reference = dict(step.params), step_function(step).reference
    getters = [(types[arg], _getter(arg, step, fitted)) for arg in step.args]

    def maker(row: Row) -> Any:
        args = [Argument(get(row), dtype) for dtype, get in getters]
        try:
            return reference(args, params, 1)[0]
        except StepFailed as failure:
            _, text, kind = failure.args
            raise kind(f"{show(step)}: {text}") from None

    return maker


def _getter(node: Node, step: Call, fitted: Fitted) -> Getter:
    """Return a getter of an argument of a step: a learnt value, or a column of one value."""
    dtype = fitted.types[node]
    if dtype == VOCABULARY:
        learnt = fitted.constants[node]
        return lambda row: learnt
    match node:
        case TableColumn():
            return lambda row: row[node]
        case Literal() if dtype == TABLE:
            listed = given_vocabulary(node, fitted.types[step.args[0]])
            return lambda row: listed
        case Literal(value):
            stored = stored_literal(value, dtype)
            return lambda row: [stored]
        case Column(name):
            return lambda row: [_key(row[name], dtype, name)]
        case _ if is_step(node, fitted.types):
            return lambda row: [row[node]]
        case _:
            return _computed(node, dtype, fitted)


def _key(value: Any, dtype: DType, name: str) -> Any:
    """Return a value of a column as a key is stored."""
    if dtype.of is not None:
        return list_value(value, dtype.of, name)
    if dtype.holds_bytes:
        return content_value(value, dtype, name)
    stored = convert(value, dtype, name)
    return stored + 0.0 if isinstance(stored, float) else stored  # 0.0 for -0.0


def _computed(node: Node, dtype: DType, fitted: Fitted) -> Getter:
    """Return a getter that evaluates an expression over the row."""
    known = evaluate_constants(constant_roots([node]), fitted.types, dict(fitted.constants))
    named = [(show(node), node)]
    outputs = outputs_of(named, fitted.types, lambda n, v: output_of(n, v, FLOAT64), hoist=True)
    program = program_of(outputs)
    constants = bind(program, known)

    def get(row: Row) -> list[Any]:
        inputs = {slot: slot_value(slot, row) for slot in program.inputs}
        leaf = leaf_reader(program, inputs, constants)
        value, ok, status = evaluate_row(program, leaf)[0]
        if status & ~LARGE_ARGUMENT:
            raise failure_of(program, 0, leaf, lambda slot: inputs[slot])
        if not ok or value != value:
            return [None]
        return [value + 0.0 if isinstance(value, float) else value]

    return get


def slot_value(slot: InputSlot, row: Row) -> Any:
    """Return the value of a slot as it is stored, None where missing."""
    given = [row[row_key(source)] for source in slot.sources]
    value = given[0]
    match slot.kind:
        case "column" if isinstance(slot.sources[0], Column):
            return convert(value, slot.dtype, names_of(slot.sources)[0])
        case "column":
            return value
        case "valid":
            return _text(value, slot, 0) is not None
        case "valid_bytes":
            return _bytes(value, slot, 0) is not None
        case "codes":
            text = _text(value, slot, 0)
            return None if text is None else _position(text, slot.literals)
        case _:
            read = _text if slot.kind == "same" else _bytes
            left, right = (read(v, slot, k) for k, v in enumerate(given))
            return None if left is None or right is None else left == right


def row_key(source: Node) -> Any:
    """Return the key of the value of a column, or of a step, in a row."""
    return source.name if isinstance(source, Column) else source


def _text(value: Any, slot: InputSlot, k: int) -> str | None:
    return text_of(value, names_of(slot.sources)[k])


def _bytes(value: Any, slot: InputSlot, k: int) -> str | bytes | None:
    return content_value(value, BINARY, names_of(slot.sources)[k])


def _position(text: str, literals: tuple[str, ...]) -> int:
    return literals.index(text) if text in literals else -1
