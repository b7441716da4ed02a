"""Errors about single rows, written for users: the feature, the row, its value, the remedy.

Here, and nowhere else, a failure inside a backend becomes an error for the user. A kernel or a step
knows the first row that failed; the reference then computes that row alone, once, to tell which
feature failed and why. It is imported after a failure, not before. A slot is an input of a compiled
program: one column in a given type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastfeat.backends import Backend
from fastfeat.engine import failure
from fastfeat.engine.program import Constants, HistoryRow, Program
from fastfeat.engine.reference import run as reference
from fastfeat.errors import FastfeatError, InvalidData
from fastfeat.execute.inputs import (
    SlotColumns,
    column_in_host,
    rows_on_host,
    shown_value,
    slot_columns,
)
from fastfeat.io.device import DeviceTable
from fastfeat.ir.node import Aggregate, Column, Node, postorder
from fastfeat.ir.show import show
from fastfeat.scalars.value import InputSlot


def failed_row(
    program: Program,
    row: int,
    columns: SlotColumns,
    constants: Constants,
    table: Any,
    backend: Backend | None = None,
    number: int | None = None,
) -> FastfeatError:
    """Return the error for a row in which a compiled program has reported a failure.

    Args:
        program: The program that ran; its outputs have the names of features.
        row: Number of the row.
        columns: The column of each slot.
        constants: Constants that the program read.
        table: The data as it was passed, for the values in the message.
        backend: The backend of the device that holds the table, if any.
        number: Number of the row in the message; None for `row`.
    """
    number = row if number is None else number
    try:
        return _failure_in_row(program, row, columns, constants, table, backend, number)
    except FastfeatError:  # an error of the row itself, from the conversion
        raise
    except Exception as fault:
        return failure.search_failed(
            [o.name for o in failure.outputs_that_may_fail(program)], number, fault
        )


def _failure_in_row(
    program: Program,
    row: int,
    columns: SlotColumns,
    constants: Constants,
    table: Any,
    backend: Backend | None,
    number: int,
) -> FastfeatError:
    one = {slot: _of_row(slot, columns[slot], row, backend) for slot in program.inputs}
    given, at = table, row
    if isinstance(table, DeviceTable):
        assert backend is not None
        given, at = rows_on_host(table, row, 1, backend), 0
        parts = {slot.sources[0]: part for slot, part in one.items()}
        made: dict[Node, Any] = {s: part for s, part in parts.items() if not isinstance(s, Column)}
        one = slot_columns(program, given, made, row)  # raises the errors of conversion in the host
    inputs = {slot: one[slot].to_pylist()[0] for slot in program.inputs}

    def shown(slot: InputSlot) -> object:
        """Return the value of a slot, from the data or from a step."""
        of_data = isinstance(slot.sources[0], Column)
        return shown_value(slot, given, at) if of_data else inputs[slot]

    return failed_values(program, inputs, constants, shown, number)


def failed_values(
    program: Program,
    inputs: Mapping[InputSlot, Any],
    constants: Constants,
    shown: Callable[[InputSlot], object],
    number: int = 0,
) -> FastfeatError:
    """Return the error for the input values of one row, in which a program has failed.

    `shown` returns the value of a slot as the message shows it; `number` is the row in the message.
    """
    leaf = reference.leaf_reader(program, inputs, constants)
    return failure.failure_of(program, number, leaf, shown)


def failed_step(
    step: Node, number: int | None, text: str, kind: type[FastfeatError]
) -> FastfeatError:
    """Return the error of a step or window function that failed in a row.

    `number` is the row in the message; None if the call has one row, or all rows failed together.
    """
    where = "" if number is None else f", row {number}"
    error = kind(f"{show(step)}{where}: {text}")
    error.rows = () if number is None or isinstance(number, HistoryRow) else (int(number),)
    return error


def _of_row(slot: InputSlot, column: Any, row: int, backend: Backend | None) -> Any:
    """Return one row of an input column; a column computed by a step is copied to host memory."""
    one = column.slice(row, 1)
    return one if isinstance(slot.sources[0], Column) else column_in_host(one, backend)


def first_readers(features: Mapping[str, Node]) -> dict[Node, str]:
    """Return for each expression the name of the first feature that is computed from it."""
    order = iter(postorder(list(features.values())))
    readers: dict[Node, str] = {}
    for name, root in features.items():
        while root not in readers:
            readers[next(order)] = name
    return readers


def infinite_value(aggregate: Aggregate, value: float | None, row: int | None) -> FastfeatError:
    """Return the error for an aggregate with a value that is infinite or NaN.

    `value` is the first infinite input value, or None if it was not searched for. `row` is the
    number of its row in the message, or None if there is none.
    """
    found = "its values are too large" if value is not None else "a value is infinite or too large"
    if row is not None:
        found = f"its first infinite value is {value} in row {row}"
    return InvalidData(
        f"{show(aggregate)} is not finite: {found}. Replace such values before fit learns from "
        f"them: {show(aggregate.args[0])}.fill_infinite(None), or clip them"
    )
