"""Training: the plan is cut at its aggregates into scans, as many as they are nested deep.

All aggregates of one depth are learnt in one scan. An argument that is a column is read in place; any other is
computed by the row kernel, piece by piece.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastfeat.backends import Backend
from fastfeat.backends.failure import failure_of
from fastfeat.backends.program import Constants, Program, RowFailed, program_of
from fastfeat.backends.reference.run import leaf_reader
from fastfeat.dtypes import BOOL, UTF8
from fastfeat.errors import InvalidData
from fastfeat.ir.node import Aggregate, Node
from fastfeat.ir.show import show
from fastfeat.ir.walk import fold
from fastfeat.plan.border import shown_value, slot_columns
from fastfeat.plan.constants import Learnt, bind, constant_roots, evaluate_constants
from fastfeat.plan.lower import Constant, Types, constant_nodes, lower, output_of
from fastfeat.scalars.choice import presence_of_text
from fastfeat.scalars.table import LAYOUTS
from fastfeat.scalars.value import Value


def scans_of(roots: Sequence[Node]) -> list[list[Aggregate]]:
    """Return the aggregates of each scan, in the order in which they must be learnt."""

    def depth(node: Node, below: list[int]) -> int:
        deepest = max(below, default=0)
        return deepest + 1 if isinstance(node, Aggregate) else deepest

    depths = fold(roots, depth)
    scans: list[list[Aggregate]] = [[] for _ in range(max(depths.values(), default=0))]
    for node, level in depths.items():
        if isinstance(node, Aggregate):
            scans[level - 1].append(node)
    return scans


def arguments_of(scan: Sequence[Aggregate]) -> dict[Node, list[Aggregate]]:
    """Return the aggregates of a scan by their argument."""
    grouped: dict[Node, list[Aggregate]] = {}
    for aggregate in scan:
        grouped.setdefault(aggregate.args[0], []).append(aggregate)
    return grouped


def argument_program(arguments: Sequence[Node], types: Types) -> Program:
    """Return the program that computes the arguments of a scan, one output each, in their own type."""
    values = lower(arguments, types, constant_nodes(arguments))
    return program_of(
        [output_of(f"argument {k}", _counted(values[a]), None) for k, a in enumerate(arguments)]
    )


def _counted(value: Value) -> Value:
    """Return what an aggregate of text counts: a bool that is missing where the text is."""
    if value.dtype != UTF8:
        return value
    present = presence_of_text(value)
    return Value(BOOL, present, present)


def learn(roots: Sequence[Node], types: Types, backend: Backend, table: Any) -> Learnt:
    """Return the value of every aggregate below the roots.

    Args:
        roots: the features.
        types: type of every node.
        backend: computes and learns.
        table: the training rows, an Arrow table.

    Raises:
        InvalidData: there are no rows, or a value that is learnt is not finite.
    """
    learnt: Learnt = {}
    for scan in scans_of(roots):
        if table.num_rows == 0:
            raise InvalidData(
                f"fit has no rows to learn {show(scan[0])} from. Give it at least one training row"
            )
        grouped = arguments_of(scan)
        arguments = list(grouped)
        constants = evaluate_constants(constant_roots(arguments), types, learnt)
        program = argument_program(arguments, types)
        columns = slot_columns(program, table)
        bound = bind(program, constants)
        wanted = [[(a.function, a.params) for a in grouped[argument]] for argument in arguments]
        try:
            results = backend.learn(program, wanted, columns, table.num_rows, bound)
        except RowFailed as failure:
            raise failed_row(program, failure.args[0], columns, bound, table) from None
        for argument, values in zip(arguments, results, strict=True):
            learnt.update(zip(grouped[argument], values, strict=True))
        _check_finite(
            arguments,
            grouped,
            learnt,
            lambda: backend.compute(program, columns, table.num_rows, bound),
        )
    return learnt


def _check_finite(
    arguments: Sequence[Node],
    grouped: Mapping[Node, Sequence[Aggregate]],
    learnt: Learnt,
    compute: Callable[[], Sequence[Any]],
) -> None:
    """Raise where an infinite value of an argument reached what was learnt from it."""
    for k, argument in enumerate(arguments):
        for aggregate in grouped[argument]:
            if is_infinite(learnt[aggregate]):
                row, value = _first_infinite(compute()[k])
                found = (
                    f"its first infinite value is {value} in row {row}"
                    if row is not None
                    else "its values are too large"
                )
                raise InvalidData(
                    f"{show(aggregate)} is not finite: {found}. Replace such values before they are "
                    f"learnt from: {show(argument)}.fill_infinite(None), or clip them"
                )


def is_infinite(value: Constant) -> bool:
    """Return whether a learnt value, or an element of a learnt table, is infinite or undefined."""
    if isinstance(value, tuple):
        return any(isinstance(v, float) and not math.isfinite(v) for v in value)
    return isinstance(value, float) and not math.isfinite(value)


def _first_infinite(array: Any) -> tuple[int | None, float]:
    values = array.to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(np.isinf(values)) if values.dtype.kind == "f" else np.array([], int)
    return (int(rows[0]), float(values[rows[0]])) if len(rows) else (None, math.nan)


def failed_row(program: Program, row: int, columns: Any, bound: Constants, table: Any) -> Exception:
    """Return the error of a row that raised a status bit."""
    inputs = {slot: columns[slot].slice(row, 1).to_pylist()[0] for slot in program.inputs}
    tables = {key: LAYOUTS[key.layout](bound.tables[key], key.length) for key in program.tables}
    leaf = leaf_reader(inputs, bound.parameters, tables)
    return failure_of(program, row, leaf, lambda slot: shown_value(slot, table, row))
