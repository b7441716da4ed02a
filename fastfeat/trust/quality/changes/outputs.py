"""Changes of outputs: the features of the same rows, computed by two fitted plans."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import FastfeatError, FastfeatWarning
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.transform import transform
from fastfeat.io.arrow import Array, Table, call, pa
from fastfeat.trust.quality.changes.record import Change
from fastfeat.trust.quality.golden.golden_rows import GoldenRows

ComputeFeatures = Callable[[Fitted], Table]
"""Computes the features of a sample by a fitted plan."""


def changes_of_outputs(a: Fitted, b: Fitted, compute: ComputeFeatures) -> tuple[list[Change], int]:
    """Return a change for each output column that differs on a sample, and the number of rows.

    `compute` returns the features of the sample by a plan. Errors of plan `a` are raised. A sample
    that plan `b` rejects is reported as a change, with 0 rows.
    """
    before = compute(a)
    try:
        after = compute(b)
    except FastfeatError as error:
        told = f"{type(error).__name__}: {error}"
        return [Change("sample refused", "the sample", before.num_rows, None, told)], 0
    return list(_output_changes(before, after, "rows", a.n_codes)), before.num_rows


def changes_of_golden(a: Fitted, b: Fitted) -> tuple[list[Change], int]:
    """Return a change for each output column that differs on the golden rows of plan `a`.

    Also return the number of golden rows: 0 if plan `a` has none, or if plan `b` reads other
    columns, which is reported as a change of inputs. Golden rows hold extreme values. So the number
    of rows that differ means little, but no difference means much.
    """
    if a.golden is None:
        return [], 0
    kept = GoldenRows.from_bytes(a.golden)
    made, before = kept.made_up, kept.features
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FastfeatWarning)
            after = transform(b, CallRows(made.rows, None, made.history, made.tables, "reference"))
    except FastfeatError:
        return [], 0
    return list(_output_changes(before, after, "golden rows", a.n_codes)), len(kept)


def on_rows(rows: CallRows) -> ComputeFeatures:
    """Return a function that computes the features of `rows` by a plan, like `transform`."""

    def compute(fitted: Fitted) -> Table:
        for_nobody = replace(fitted, encoded=None)  # no model trains on these rows
        return transform(for_nobody, rows)

    return compute


def _output_changes(
    before: Table, after: Table, rows: str, codes: Collection[str]
) -> Iterator[Change]:
    """Yield a change for each column with the same type in both tables, and with other values.

    `rows` is the word for rows in messages, and `codes` names columns that have no distances.
    """
    for name in before.column_names:
        if name not in after.column_names or before[name].type != after[name].type:
            continue
        x, y = (_one(table[name]) for table in (before, after))
        if not x.equals(y):
            is_number = _is_number(x.type) and name not in codes  # codes have no distance
            change = _of_column(name, x, y, rows, is_number=is_number)
            if change is not None:
                yield change


def _one(column: Any) -> Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _of_column(name: str, x: Array, y: Array, rows: str, *, is_number: bool) -> Change | None:
    """Return the change from `x` to `y`; None if at most the sign of zeros differs."""
    missing = [_flags(one.is_null()) for one in (x, y)]
    same = call("equal", x, y)
    differ = (missing[0] != missing[1]) | (_flags(call("invert", same).fill_null(False)))
    if not differ.any():
        return None
    told = f"{int(differ.sum()):,} of {len(x):,} {rows} ({differ.mean():.1%})"
    if is_number:
        told += _distance(x, y)
    shares = [float(one.mean()) for one in missing]
    if shares[0] != shares[1]:
        told += f", missing {shares[0]:.2%} -> {shares[1]:.2%}"
    return Change("outputs changed", name, 0.0, float(differ.mean()), told)


def _flags(found: Array) -> NDArray[np.bool_]:
    return found.to_numpy(zero_copy_only=False).astype(bool)


def _is_number(dtype: Any) -> bool:
    return pa.types.is_integer(dtype) or pa.types.is_floating(dtype)


def _distance(x: Array, y: Array) -> str:
    """Return the largest change of a numeric column in words, also in standard deviations."""
    before, after = (
        one.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
        for one in (x, y)
    )
    with np.errstate(invalid="ignore", over="ignore"):
        moved = np.abs(after - before)
        finite = before[np.isfinite(before)]
        spread = float(finite.std()) if len(finite) else 0.0
    moved = moved[np.isfinite(moved)]
    if not len(moved):
        return ""
    largest = float(moved.max())
    of_spread = f" ({largest / spread:.2g} standard deviations)" if spread else ""
    return f", by at most {largest:.4g}{of_spread}"
