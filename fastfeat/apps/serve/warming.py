"""Warm a plan before it is served: compute some rows, so that no caller waits for a compiler.

The rows are made up: the golden rows of the artifact (which are stored with their features), or new
ones. If none of them can be computed, the plan is served all the same, and the server says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from fastfeat.api.example_rows import make_example_rows
from fastfeat.api.online import online
from fastfeat.api.plan import FittedPlan, as_fitted_plan
from fastfeat.errors import FastfeatWarning, InvalidData, WarningHistory
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.guard import row_inputs, warm_guard
from fastfeat.io.arrow import Table, pa
from fastfeat.trust.quality.golden.generated_rows import GeneratedRows
from fastfeat.trust.quality.golden.golden_rows import GoldenRows, golden_rows

_ALONE = ""
_N_ROWS = 20


def warm(fitted: FittedPlan, tables: Mapping[str, Table]) -> str:
    """Compute features of made-up rows, so that the plan's kernels are compiled or loaded.

    `tables` are the lookup tables of the state. Returns "" if some rows could be computed,
    otherwise a note with the first reason.
    """
    reason = ""
    for make in _sources(fitted.record, tables):
        try:
            _compute(fitted.record, make(), tables)
        except Exception as error:  # callers' rows may differ, so no error is fatal here
            reason = reason or f"{type(error).__name__}: {error}".partition("\n")[0]
        else:
            return ""
    return (
        "the first answers may wait for the compiler: computing made-up rows to compile the "
        f"kernels failed ({reason})"
    )


def _sources(fitted: Fitted, tables: Mapping[str, Table]) -> Iterator[Callable[[], GeneratedRows]]:
    """Yield functions that make rows to compute. The first makes rows most like real ones."""
    golden = fitted.golden
    if golden is not None:
        yield lambda: GoldenRows.from_bytes(golden).made_up
    else:
        yield lambda: _make_golden_rows(fitted)
    yield lambda: _make_typed_rows(fitted, tables)


def _make_golden_rows(fitted: Fitted) -> GeneratedRows:
    """Return new rows made like golden rows; raise InvalidData if no row has all features."""
    found = golden_rows(fitted, _N_ROWS, "cpu")
    if found is None:
        raise InvalidData("the plan's features could not be computed for any made-up row")
    return found.made_up


def _make_typed_rows(fitted: Fitted, tables: Mapping[str, Table]) -> GeneratedRows:
    """Return rows that only have the right column types, with the lookup tables of the state."""
    ids = fitted.declaration.row_ids
    rows = make_example_rows(row_inputs(fitted), _N_ROWS, distinct=[*ids])
    for name in ids:
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.array(range(rows.num_rows)))
    return GeneratedRows(rows, None, dict(tables))


def _compute(fitted: Fitted, made: GeneratedRows, tables: Mapping[str, Table]) -> None:
    """Check rows against the contract, and compute their features with a new state in memory.

    `tables` are the tables of the state; the contract may read some that `made` lacks.

    Raises:
        FastfeatError: The rows cannot be computed.
    """
    bare = replace(fitted, contract=None, told=WarningHistory())  # made-up rows may break rules
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        warm_guard(fitted, made.rows, {**tables, **made.tables})
        plans = {_ALONE: as_fitted_plan(bare)}
        live = online(plans, made.history, tables=made.tables, late="insert", keep="everything")
        try:
            live.process(made.rows)
            live.features(made.rows.slice(made.rows.num_rows - 1))
        finally:
            live.close()
