"""The reference backend: the slowest clear code, which the others must equal bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastfeat.aggregates import AGGREGATES
from fastfeat.backends.program import Constants, Program
from fastfeat.backends.reference.arrays import array_of
from fastfeat.backends.reference.run import run
from fastfeat.backends.reference.steps import (
    count_keys,
    learn_groups,
    learn_target,
    over,
    over_table,
    run_step,
)
from fastfeat.scalars.value import InputSlot

__all__ = [
    "compute",
    "count_keys",
    "learn",
    "learn_groups",
    "learn_target",
    "over",
    "over_table",
    "run_step",
]


def compute(
    program: Program, columns: Mapping[InputSlot, Any], n_rows: int, constants: Constants
) -> list[Any]:
    """Return an Arrow array for each output."""
    results = run(program, columns, n_rows, constants)
    return [
        array_of(values, output.dtype)
        for values, output in zip(results, program.outputs, strict=True)
    ]


def learn(
    program: Program,
    wanted: Any,
    columns: Mapping[InputSlot, Any],
    n_rows: int,
    constants: Constants,
) -> list[list[Any]]:
    """Return the value of each wanted aggregate of each output, from its definition."""
    results = run(program, columns, n_rows, constants)
    return [
        [AGGREGATES[name].reference(values, params, output.dtype) for name, params in functions]
        for output, values, functions in zip(program.outputs, results, wanted, strict=True)
    ]
