"""The reference backend: the slowest clear code, which the others must equal bit for bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.keys import Groups, KeyCounts, groups_of
from fastfeat.aggregates.target import FoldedGroups, Statistics, smoothed
from fastfeat.dtypes import COUNTS, FLOAT64, DType
from fastfeat.engine.program import Constants, Program
from fastfeat.engine.reference.arrays import array_of, column_of_values, stored_values
from fastfeat.engine.reference.run import run
from fastfeat.io.columns.keys import key_array
from fastfeat.io.columns.lists import list_array_of
from fastfeat.io.columns.strings import content_of, contents_of
from fastfeat.ir.node import Call, Params, params_of
from fastfeat.scalars.value import InputSlot
from fastfeat.steps.keys.rows import rows_of_keys
from fastfeat.steps.registry import step_function
from fastfeat.steps.step import Argument
from fastfeat.steps.windows.reference import over, over_table


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


def run_step(call: Call, args: Sequence[Argument], dtype: DType, n_rows: int) -> Any:
    """Return the column that a step makes.

    Args:
        call: of the step.
        args: columns, as keys or as data has them, and what fit has learnt.
        dtype: the type of the result.
        n_rows: number of rows.
    """
    step, params = step_function(call), dict(call.params)
    if step.host is not None:
        return step.host(args, params, n_rows)
    lists = [Argument(_values(argument), argument.dtype) for argument in args]
    values = step.reference(lists, params, n_rows)
    if dtype == COUNTS:
        return values
    if dtype.of is not None:
        return list_array_of(values, dtype)
    return column_of_values(values, dtype)


def _values(argument: Argument) -> Any:
    """Return a column as a list, and what is no column as it is."""
    is_column = hasattr(argument.values, "to_pylist")
    return contents_of(argument.values) if is_column else argument.values


def count_keys(
    columns: Sequence[Any],
    dtypes: Sequence[DType],
    missing: str,
    max_memory: int,
    with_rows: bool = False,
) -> KeyCounts:
    """Return the distinct keys of some rows in order.

    Args:
        columns: the parts of the key, as `io.columns.keys` stores them.
        dtypes: their types.
        missing: as of `rows_of_keys`.
        max_memory: not looked at: the reference is for few rows.
        with_rows: not looked at: rows are looked up again.
    """
    counts = Counter(rows_of_keys([contents_of(column) for column in columns], missing))
    n_missing = counts.pop(None, 0)
    found = [(key, n) for key, n in counts.items() if key is not None]
    found.sort(key=lambda pair: (-pair[1], *map(_order, pair[0])))
    parts = tuple(key_array([key[k] for key, _ in found], dtype) for k, dtype in enumerate(dtypes))
    return KeyCounts(parts, np.array([n for _, n in found], dtype=np.int64), n_missing)


def _order(part: Any) -> tuple[bool, Any]:
    """Return what orders the parts of keys: a missing one first, text by its bytes."""
    return part is not None, content_of(part) if isinstance(part, str | bytes) else part or 0


def learn_groups(
    wanted: Sequence[tuple[str, Params]],
    values: Any,
    dtype: DType,
    codes: Any,
    n_groups: int,
    n_left_out: int = 0,
) -> list[Groups]:
    """Return each wanted aggregate of each group.

    Args:
        wanted: aggregates, by name and parameters.
        values: an Arrow array of the argument, shape (n_rows,).
        dtype: its type.
        codes: the group of each row, an Arrow array of int32.
        n_groups: how many groups there are.
        n_left_out: of how many groups, the first, nothing is wanted.
    """
    members: list[list[Any]] = [[] for _ in range(n_groups)]
    for value, code in zip(stored_values(values, dtype), codes.to_pylist(), strict=True):
        if code >= n_left_out:
            members[code].append(value)
    return [
        groups_of(
            [AGGREGATES[name].reference(group, params, dtype) for group in members],
            AGGREGATES[name].result(dtype, params),
        )
        for name, params in wanted
    ]


def learn_target(
    function: str,
    params: Params,
    values: Any,
    dtype: DType,
    codes: Any,
    folds: Any,
    n_codes: int,
    n_folds: int,
) -> FoldedGroups:
    """Return a statistic of the target per category, of all rows and outside of each fold.

    Args:
        function: one of `aggregates.target.TARGET_FUNCTIONS`.
        params: its parameters.
        values: an Arrow array of the target, shape (n_rows,).
        dtype: its type.
        codes: the category of each row, an Arrow array of int32.
        folds: the fold of each row, likewise.
        n_codes: how many categories there are.
        n_folds: how many folds.
    """
    given, columns = (
        dict(params),
        (stored_values(values, dtype), codes.to_pylist(), folds.to_pylist()),
    )
    rows = list(zip(*columns, strict=True))

    def of(seen: list[Any]) -> Any:
        statistics = _statistics(function, given, seen, dtype, n_codes)
        return smoothed(function, statistics, params)

    whole = of(rows)
    outside = [
        of([row for row in rows if (row[2] < fold if given["ordered"] else row[2] != fold)])
        for fold in range(n_folds)
    ]
    return FoldedGroups(whole, whole == whole, np.concatenate(outside))


def _statistics(
    function: str, given: Mapping[str, Any], rows: list[Any], dtype: DType, n_codes: int
) -> Statistics:
    """Return what is known of some rows, by the definitions of the aggregates."""
    members: list[list[Any]] = [[] for _ in range(n_codes)]
    for value, code, _ in rows:
        members[code].append(value)
    everything = [value for value, _, _ in rows]
    found = [_of_values(function, given, group, dtype) for group in [*members, everything]]
    count, total, statistic, variance = np.array(found[:-1], dtype=np.float64).T
    return Statistics(count, total, statistic, variance, *found[-1])


def _of_values(
    function: str, given: Mapping[str, Any], values: list[Any], dtype: DType
) -> tuple[float, float, float, float]:
    """Return count, sum, statistic and variance of some values; NaN of none."""
    named = {"target_var": "var", "target_quantile": "quantile"}.get(function, "mean")
    params = {
        "var": params_of(ddof=1),
        "quantile": params_of(q=given.get("q", 0.5), interpolation="linear"),
        "mean": (),
    }[named]
    count = AGGREGATES["count"].reference(values, (), dtype)
    total = AGGREGATES["sum"].reference(values, (), dtype if dtype.is_float else FLOAT64)
    statistic = AGGREGATES[named].reference(values, params, dtype)
    variance = AGGREGATES["var"].reference(values, params_of(ddof=0), dtype)
    found: tuple[Any, ...] = (count, total, statistic, variance)
    numbers = [float("nan") if value is None else float(value) for value in found]
    return numbers[0], numbers[1], numbers[2], numbers[3]


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
