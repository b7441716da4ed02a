"""One row by the plain definitions: one value and one operator at a time, in plain Python.

Rows that `prepared` cannot compute are computed here, and error messages are made here. Terms: a
step is a computation in Python or NumPy, such as an encoding or a lookup; a program is compiled
code for expressions over numbers; a slot is an input of a program. The stored form of a value is
the Python value as a column stores it: a time in ticks, text as str, missing as None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from fastfeat.backends import backend_named
from fastfeat.engine.cpu.row import RowProgram, row_program
from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.engine.program import program_of
from fastfeat.engine.reference.run import evaluate_row, leaf_reader
from fastfeat.errors import TypeMismatch, UnknownColumn, did_you_mean
from fastfeat.execute.batch import Batch
from fastfeat.execute.failures import failed_step, failed_values
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.results import row_type
from fastfeat.execute.steps import table_with
from fastfeat.execute.windows import naming_table, past_of_table, window_requests
from fastfeat.io.columns.row_values import (
    content_value,
    convert,
    list_value,
    stored_literal,
    text_of,
)
from fastfeat.ir.dtypes import BINARY, FLOAT64, TABLE, VOCABULARY, DType
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, TableColumn, postorder
from fastfeat.ir.scope import (
    OVER,
    is_over_table,
    order_of,
    query_of,
    row_args,
    row_order,
    table_of,
    window_of,
)
from fastfeat.ir.show import names_of, show
from fastfeat.plan.lower import codes as code_plans
from fastfeat.plan.lower.constants import bind, constant_roots, evaluate_constants
from fastfeat.plan.lower.lower import output_of
from fastfeat.plan.lower.patterns import outputs_of
from fastfeat.plan.lower.schedule import ROWS
from fastfeat.scalars.value import LARGE_ARGUMENT, InputSlot
from fastfeat.steps.registry import is_step, step_function
from fastfeat.steps.step import Argument, StepFailed
from fastfeat.steps.windows.rows import OverFailed, RowOrder, WindowRequest, function_over
from fastfeat.steps.windows.table_rows import TableRowsByKey, moments_of, over_table, rows_of_table
from fastfeat.steps.windows.tasks import ordering, with_python_values

RowValues = Mapping[Any, Any]
"""The values of one row: column name or step to value, and table column to the whole column."""
RowKernel = Callable[[Mapping[Any, Any]], NDArray[Any]]
"""Function of one row that returns its features; only the thread that requested it may call it."""
_MISSING = {"f64": float("nan"), "i64": 0, "b1": False}


def over_table_function(
    step: Call, fitted: Fitted, tables: Mapping[Any, Any]
) -> Callable[..., Any]:
    """Return a function of a row's time and keys, which computes a window function over a table."""
    order, types = order_of(step), fitted.types
    time, *keys = (types[node] for node in query_of(order))
    made = {node: tables[node] for node in postorder([step]) if isinstance(node, TableColumn)}
    batch = Batch(None, types, backend_named("cpu"), {}, {**made})
    past = past_of_table(batch, order)
    asked, texts = _request(batch, past, order, step)
    rows, is_text = _rows(past), types[step].holds_bytes

    def of_row(moment: Any, *parts: Any) -> Any:
        moments = moments_of([moment], time, [[part] for part in parts], keys)
        try:
            found: Any = over_table(rows, past.dtype, asked, 0, moments)[0]
        except OverFailed as failure:
            raise failed_step(step, None, *failure.args[2:]) from None
        return texts[found] if found is not None and is_text else found

    return of_row


def _rows(past: RowOrder) -> TableRowsByKey:
    """Return the rows of a lookup table by key, sorted by time within a key; cached in `past`."""
    assert past.cache is not None
    if "rows" not in past.cache:
        times, keys, tie = ordering(past)
        past.cache["rows"] = rows_of_table(times, past.dtype, keys, past.key_dtypes, tie)
    return past.cache["rows"]


def _request(
    batch: Batch, past: RowOrder, order: Call, step: Call
) -> tuple[WindowRequest, list[Any]]:
    """Return the request for a window function over a table, and the text behind each text code.

    In the request, the column that the function reads is a Python list, which is cached and shared
    by all functions of this column. The texts are empty if the column holds no text.
    """
    assert past.cache is not None
    function = step.function.removeprefix(OVER)
    dtypes = tuple(batch.types[column] for column in batch.made)
    name = (step.args[0], dtypes, function_over(step).counts)
    if name not in past.cache:
        table, values = table_with(batch, order, [step])
        with naming_table(table_of(order)):
            (asked,), (texts,) = window_requests(table, [step], values)
        past.cache[name] = with_python_values(asked), [] if texts is None else texts.to_pylist()
    known, texts = past.cache[name]
    window = dict(window_of(step).params)
    return replace(known, function=function, params=dict(step.params), window=window), texts


Getter = Callable[[RowValues], Any]

_OF_A_ROW = ("step", "windows over a table", "ahead")
"""Kinds of scheduled tasks that depend only on the row itself and on tables."""


def defined_row(fitted: Fitted) -> RowKernel:
    """Return a function that computes the features of one row by the plain definitions.

    Only one thread may call it. It raises UnknownColumn, TypeMismatch, InvalidData or Overflow for
    an invalid row.
    """
    dtype = row_type(fitted)
    ready = row_program(fitted.matrix_program, fitted.matrix_constants, dtype)
    if not row_steps(fitted):
        return lambda row: _convert_and_run(fitted, ready, row)
    make = row_maker(fitted)
    nodes = row_order([*fitted.nodes.values(), *fitted.declaration.nodes.values()])
    columns = tuple(dict.fromkeys(node.name for node in nodes if isinstance(node, Column)))

    def compute(row: RowValues) -> NDArray[Any]:
        read_row_values(row, columns)
        return _convert_and_run(fitted, ready, make(row))

    return compute


def row_maker(fitted: Fitted) -> Callable[[RowValues], RowValues]:
    """Return a function from a row to the same row with the results of the plan's steps added."""
    makers = [(step, _maker(step, fitted)) for step in row_steps(fitted)]

    def make(row: RowValues) -> RowValues:
        made = dict(row)
        for step, maker in makers:
            made[step] = maker(made)
        return made

    return make


def row_steps(fitted: Fitted) -> list[Node]:
    """Return the steps that a row needs, in order of computation; window functions are left out."""
    tasks = [task for task in fitted.schedule.tasks if task.kind in _OF_A_ROW]
    columns = fitted.schedule.columns
    made = [columns[place] for task in tasks for place in task.gives]
    return [column.origin for column in made if column.space == ROWS]


def _maker(step: Node, fitted: Fitted) -> Getter:
    """Return a function from a row to the stored form of a step's result; None if missing."""
    if isinstance(step, Aggregate):
        return lambda row: fitted.constants[step]
    assert isinstance(step, Call)
    if is_over_table(step):
        query = [_getter(arg, step, fitted) for arg in row_args(step)]
        return lambda row: over_table_function(step, fitted, row)(*(get(row)[0] for get in query))
    types = fitted.types
    params, reference = dict(step.params), step_function(step).reference
    getters = [(types[arg], _getter(arg, step, fitted)) for arg in step.args]

    def maker(row: RowValues) -> Any:
        args = [Argument(get(row), dtype) for dtype, get in getters]
        try:
            return reference(args, params, 1)[0]
        except StepFailed as failure:
            raise failed_step(step, None, *failure.args[1:]) from None

    return maker


def _getter(node: Node, step: Call, fitted: Fitted) -> Getter:
    """Return a function that reads one argument of a step from a row.

    It returns a learnt value or a table column as it is, and any other argument as a list of one
    value, since steps take columns.
    """
    dtype = fitted.types[node]
    if dtype == VOCABULARY:
        learnt = fitted.constants[node]
        return lambda row: learnt
    match node:
        case TableColumn():
            return lambda row: row[node]
        case Literal() if dtype == TABLE:
            listed = code_plans.listed_vocabulary(node, fitted.types[step.args[0]])
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
    """Return a value in the form that lookups compare: times in ticks, and 0.0 for -0.0."""
    if dtype.of is not None:
        return list_value(value, dtype.of, name)
    if dtype.holds_bytes:
        return content_value(value, dtype, name)
    stored = convert(value, dtype, name)
    return stored + 0.0 if isinstance(stored, float) else stored  # 0.0 for -0.0


def _computed(node: Node, dtype: DType, fitted: Fitted) -> Getter:
    """Return a function from a row to a list with one value: the result of an expression."""
    known = evaluate_constants(constant_roots([node]), fitted.types, dict(fitted.constants))
    named = [(show(node), node)]
    outputs = outputs_of(named, fitted.types, lambda n, v: output_of(n, v, FLOAT64), hoist=True)
    program = program_of(outputs)
    constants = bind(program, known)

    def get(row: RowValues) -> list[Any]:
        inputs = {slot: slot_value(slot, row) for slot in program.inputs}
        value, ok, status = evaluate_row(program, leaf_reader(program, inputs, constants))[0]
        if status & ~LARGE_ARGUMENT:
            raise failed_values(program, inputs, constants, lambda slot: inputs[slot])
        if not ok or value != value:
            return [None]
        return [value + 0.0 if isinstance(value, float) else value]

    return get


@with_ieee_arithmetic
def _convert_and_run(fitted: Fitted, ready: RowProgram, row: Mapping[str, Any]) -> NDArray[Any]:
    """Return the features of a row, after converting each value and marking missing ones."""
    slots = fitted.matrix_program.inputs
    sources = [source for slot in slots for source in slot.sources]
    read_row_values(row, tuple(source.name for source in sources if isinstance(source, Column)))
    values = [slot_value(slot, row) for slot in slots]
    ready.pack(*[_stored(slot, value) for slot, value in zip(slots, values, strict=True)])
    for k, value in enumerate(values):
        ready.present[k] = value is not None
    status = ready.run()
    ready.present[:] = bytes([1] * len(ready.present))
    return ready.result() if not status else _fail(fitted, row, values)


def _stored(slot: InputSlot, value: Any) -> Any:
    return _MISSING[slot.dtype.physical] if value is None else value


def read_row_values(row: Mapping[str, Any], names: tuple[str, ...]) -> list[Any]:
    """Return a row's values in some columns; raise `UnknownColumn` if the row lacks one of them."""
    try:
        return [row[name] for name in names]
    except KeyError as error:
        lacking = error.args[0]
        raise UnknownColumn(
            f"the row lacks the column {lacking!r}, which the plan reads."
            + did_you_mean(str(lacking), map(str, row))
        ) from None
    except TypeError:
        raise wrong_row_error(row) from None


def wrong_row_error(given: object) -> TypeMismatch:
    return TypeMismatch(f"a row is a dict of values by column, got {given!r}")


def _fail(fitted: Fitted, row: Mapping[str, Any], values: Any) -> NDArray[Any]:
    program, constants = fitted.matrix_program, fitted.matrix_constants
    inputs = dict(zip(program.inputs, values, strict=True))
    raise failed_values(program, inputs, constants, lambda slot: row[row_key(slot.sources[0])])


def slot_value(slot: InputSlot, row: RowValues) -> Any:
    """Return the value of a program's input for a row, in stored form; None if missing."""
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
    """Return the key under which a row holds a value: a column's name; else the value's node."""
    return source.name if isinstance(source, Column) else source


def _text(value: Any, slot: InputSlot, k: int) -> str | None:
    return text_of(value, names_of(slot.sources)[k])


def _bytes(value: Any, slot: InputSlot, k: int) -> str | bytes | None:
    return content_value(value, BINARY, names_of(slot.sources)[k])


def _position(text: str, literals: tuple[str, ...]) -> int:
    return literals.index(text) if text in literals else -1
