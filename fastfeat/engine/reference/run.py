"""The reference: one operation after the other, each over a few rows, in plain Python.

Its results become Arrow arrays with the same bytes that a kernel writes. For a leaf, see `program`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from fastfeat.aggregates import AGGREGATES
from fastfeat.engine.program import (
    Constants,
    Leaf,
    Program,
    RowFailed,
    leaf_of,
    leaves_below,
    with_own_operations,
)
from fastfeat.engine.tasks import LearnTask, RowTask
from fastfeat.io.columns import keys as column_keys
from fastfeat.io.columns.types import memory_type
from fastfeat.io.sinks import write
from fastfeat.ir.dtypes import BFLOAT16, FLOAT_FORMATS, DType
from fastfeat.progress import is_progress_shown, report_progress
from fastfeat.scalars import LAYOUTS
from fastfeat.scalars.interpret import evaluate, run_steps_over, steps_of
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import LARGE_ARGUMENT, InputSlot, TableKey

NAN = float("nan")
BLOCK = 64
"""Number of rows that an operation computes before the next operation."""
MOST_VALUES = 1 << 20
"""Values held at once: with many operations, a block has fewer rows."""
PythonValues = list[float | int | bool | None]


def compute(task: RowTask) -> list[Any]:
    """Return an Arrow array for each output."""
    results = run(task.program, task.columns, task.n_rows, task.constants)
    return [
        array_of(values, output.dtype)
        for values, output in zip(results, task.program.outputs, strict=True)
    ]


def learn(task: LearnTask) -> list[list[Any]]:
    """Return the value of each wanted aggregate of each output, by its definition."""
    outputs = task.program.outputs
    results = run(task.program, task.columns, task.n_rows, task.constants)
    return [
        [AGGREGATES[name].reference(values, params, output.dtype) for name, params in functions]
        for output, values, functions in zip(outputs, results, task.wanted, strict=True)
    ]


def run(
    program: Program, columns: Mapping[InputSlot, Any], n_rows: int, constants: Constants
) -> list[PythonValues]:
    """Return the values of every output, one list per output, None if missing.

    `columns` has a chunked array of `n_rows` rows for each input slot. Raises RowFailed with the
    first row that has an error, such as an overflow, and later ones in its block.
    """
    lists = {slot: columns[slot].to_pylist() for slot in program.inputs}
    tables = tables_of(program, constants)
    outputs = [with_own_operations(output) for output in program.outputs]
    steps = steps_of([part for o in outputs for part in (o.op, o.ok, o.status)])
    results: list[PythonValues] = [[] for _ in program.outputs]
    block = max(1, min(BLOCK, MOST_VALUES // (1 + len(steps.steps))))
    for first in range(0, n_rows, block):
        if is_progress_shown():
            report_progress(f"{first:,} of {n_rows:,} rows done")
        rows = {slot: values[first : first + block] for slot, values in lists.items()}
        n = min(block, n_rows - first)
        leaves = [_leaf_over(op, rows, n, constants.parameters, tables) for op in steps.leaves]
        evaluated = _in_threes(run_steps_over(steps, leaves, n))
        failed = {
            row
            for _, _, statuses in evaluated
            for row, status in enumerate(statuses, first)
            if status & ~LARGE_ARGUMENT
        }
        if failed:
            raise RowFailed(*sorted(failed))
        for result, (values, present, _) in zip(results, evaluated, strict=True):
            result += [
                value if ok and value == value else None
                for value, ok in zip(values, present, strict=True)
            ]
    return results


def evaluate_row(program: Program, leaf: Callable[[Op], Any]) -> list[tuple[Any, Any, Any]]:
    """Return value, presence and status of each output, in one row.

    `leaf` returns the value of a leaf operation: an input, parameter or table.
    """
    outputs = [with_own_operations(output) for output in program.outputs]
    return _in_threes(evaluate([part for o in outputs for part in (o.op, o.ok, o.status)], leaf))


def evaluate_constants(program: Program, constants: Constants) -> list[tuple[Any, Any, Any]]:
    """Return value, presence and status of each output of a program that reads no row.

    Outputs that share operations are computed together, one operation for all of them at a time.
    """
    tables = tables_of(program, constants)
    leaf, outputs = _reader({}, constants.parameters, tables), program.outputs
    plain = [k for k, output in enumerate(outputs) if not output.leaves]
    ops = [part for k in plain for part in (outputs[k].op, outputs[k].ok, outputs[k].status)]
    rows = dict(zip(plain, _in_threes(evaluate(ops, leaf)), strict=True))
    alike: dict[tuple[Op, Op, Op], list[int]] = {}
    for k, output in enumerate(outputs):
        if output.leaves:
            alike.setdefault((output.op, output.ok, output.status), []).append(k)
    for parts, members in alike.items():
        steps, below = steps_of(parts), leaves_below(*parts)
        read = [below.index(leaf_of(op)) for op in steps.leaves]
        columns = [
            [_constant(outputs[k].leaves[at], constants, tables) for k in members] for at in read
        ]
        values, present, statuses = run_steps_over(steps, columns, len(members))
        rows.update(zip(members, zip(values, present, statuses, strict=True), strict=True))
    return [rows[k] for k in range(len(outputs))]


def _in_threes(values: list[Any]) -> list[tuple[Any, Any, Any]]:
    """Return the values as a list of triples: (values[0], values[1], values[2]), and so on."""
    return list(zip(values[::3], values[1::3], values[2::3], strict=True))


def _constant(leaf: Leaf, constants: Constants, tables: Mapping[TableKey, list[Any]]) -> Any:
    """Return the value of a leaf that is a parameter or a table."""
    kind, value = leaf
    return constants.parameters[value[0]] if kind == "parameter" else tables[value]


def leaf_reader(
    program: Program, inputs: Mapping[InputSlot, Any], constants: Constants
) -> Callable[[Op], Any]:
    """Return a function that gives the value of a leaf operation in one row; None if missing."""
    return _reader(inputs, constants.parameters, tables_of(program, constants))


def tables_of(program: Program, constants: Constants) -> dict[TableKey, list[Any]]:
    """Return the searched tables of a program as lists, in the layout of kernels."""
    laid_out: dict[TableKey, Any] = {
        key: LAYOUTS[key.layout](constants.tables[key], key.length) for key in program.tables
    }
    return {
        key: elements.tolist() if isinstance(elements, np.ndarray) else elements
        for key, elements in laid_out.items()
    }


def _reader(
    inputs: Mapping[InputSlot, Any],
    parameters: Mapping[Any, Any],
    tables: Mapping[TableKey, list[Any]],
) -> Callable[[Op], Any]:
    def leaf(node: Op) -> Any:
        match node.name:
            case "input":
                return _input(inputs[node.value], node)
            case "input_ok":
                return inputs[node.value] is not None
            case "parameter":
                return parameters[node.value]
            case _:
                return tables[node.value]

    return leaf


def _leaf_over(
    node: Op,
    rows: Mapping[InputSlot, list[Any]],
    n_rows: int,
    parameters: Mapping[Any, Any],
    tables: Mapping[TableKey, list[Any]],
) -> list[Any]:
    """Return the value of a leaf operation in each of some rows."""
    match node.name:
        case "input":
            return [_input(value, node) for value in rows[node.value]]
        case "input_ok":
            return [value is not None for value in rows[node.value]]
        case "parameter":
            return [parameters[node.value]] * n_rows
        case _:
            return [tables[node.value]] * n_rows


def _input(value: Any, node: Op) -> Any:
    match node.physical:
        case "f64":
            return NAN if value is None else value
        case "i64":
            return 0 if value is None else (value + (1 << 63)) % (1 << 64) - (1 << 63)
        case _:
            return bool(value)


def array_of(values: list[Any], dtype: DType) -> Any:
    """Return an Arrow array of a type; a missing float is a NaN under a null, other types a 0.

    For bfloat16, which Arrow lacks, the array has its bits.
    """
    storage = memory_type(dtype)
    if dtype == BFLOAT16:
        bits = [0x7FC0 if value is None else _bfloat16_bits(float(value)) for value in values]
        return write.array_from_buffers(dtype, np.array(bits, np.uint16), None, 0, len(bits))
    is_float = storage.kind == "f"
    filler: Any = float("nan") if is_float else 0
    present = np.array([value is not None for value in values], dtype=bool)
    filled = [filler if value is None else value for value in values]
    null_count = len(values) - int(present.sum())
    validity = np.packbits(present, bitorder="little")
    if dtype.name == "bool":
        bits = np.packbits(np.array(filled, dtype=bool), bitorder="little")
        return write.array_from_buffers(dtype, bits, validity, null_count, len(values))
    if is_float:
        with np.errstate(over="ignore"):
            array = np.array(filled, dtype=np.float64).astype(storage)
    else:
        wide = [value % (1 << 64) for value in filled]
        array = np.array(wide, dtype=np.uint64).view(np.int64).astype(storage)
    return write.array_from_buffers(dtype, array, validity, null_count, len(values))


def _bfloat16_bits(x: float) -> int:
    """Return the bits of the nearest bfloat16, ties to even."""
    if x in (0.0, math.inf, -math.inf):
        return struct.unpack("<I", struct.pack("<f", x))[0] >> 16
    kind = FLOAT_FORMATS["bfloat16"]
    exponent = max(math.frexp(x)[1] - kind.n_bits, math.frexp(kind.least)[1] - 1)
    n_units = round(Fraction(x) / Fraction(2) ** exponent)
    nearest = Fraction(abs(n_units)) * Fraction(2) ** exponent
    size = math.inf if nearest > Fraction(kind.largest) else float(nearest)
    return struct.unpack("<I", struct.pack("<f", math.copysign(size, x)))[0] >> 16


def column_of_values(values: list[Any], dtype: DType) -> Any:
    if dtype.is_temporal:
        return column_keys.stored_array(values, dtype)
    return column_keys.key_array(values, dtype) if dtype.holds_bytes else array_of(values, dtype)


def stored_values(values: Any, dtype: DType) -> list[Any]:
    """Return the values of an Arrow array as a list in storage form: times as integers."""
    from fastfeat.io.columns.types import storage_type

    if not dtype.is_temporal:
        return values.to_pylist()
    plain = storage_type(dtype)
    chunks = values.chunks if hasattr(values, "chunks") else [values]
    return [value for chunk in chunks for value in chunk.view(plain).to_pylist()]
