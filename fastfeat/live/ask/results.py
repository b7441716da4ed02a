"""The form of features from a live state: matrix or table, checked memory, and the user's form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import InvalidPlan
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.results import check_memory, computed_form, convert_features, output_memory
from fastfeat.execute.transform import program_and_constants, read_out
from fastfeat.io.arrow import Table, pa
from fastfeat.io.columns.types import memory_type
from fastfeat.io.sources.frames import frame_index
from fastfeat.live.ask.features import AnsweredRows
from fastfeat.live.ask.one_row import AnsweredRow
from fastfeat.plan.lower.outputs import check_result

ALONE = ""
"""The plan name of a state with one plan, made by `FittedPlan.online`."""
FittedByName = Mapping[str, Fitted]
Results = Mapping[str, Any]
"""A dict of plan name to features as they are computed: an Arrow table, or a matrix."""


@with_ieee_arithmetic
def results_of(answered: AnsweredRows, to: str) -> Results:
    """Return a dict of plan name to the features of asking rows: tables or matrices.

    The form `to`, as the user named it, decides between tables and matrices.
    """
    found: dict[str, Any] = {}
    for name, batch in answered.batches.items():
        fitted = answered.lowered.plans[name]
        form = computed_form(fitted, to)
        program, constants = program_and_constants(fitted, form)
        found[name] = read_out(fitted, batch, program, constants, form)
    return found


def results_of_row(answered: AnsweredRow) -> Results:
    """Return a dict of plan name to one row's features, as a matrix of shape (1, n_features)."""
    return {name: features[np.newaxis] for name, features in answered.features.items()}


def joined(pieces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return tables, arrays or matrices by name, each concatenated from consecutive pieces."""
    if not pieces:
        return {}
    return {name: _joined([piece[name] for piece in pieces]) for name in pieces[0]}


def _joined(pieces: Sequence[Any]) -> Any:
    if len(pieces) == 1:
        return pieces[0]
    if isinstance(pieces[0], pa.Table):
        return pa.concat_tables(pieces).combine_chunks()
    if isinstance(pieces[0], pa.Array):
        return pa.concat_arrays(pieces)
    return np.concatenate(pieces)


def check_form(plans: FittedByName, to: str, out: Any, *, categories: bool) -> None:
    """Raise `InvalidPlan` if the form `to` is unknown or does not fit the other options.

    It is called before the state changes. `out` is the user's memory, for several plans a dict by
    name, or None.
    """
    is_alone = out is None or ALONE in plans
    if not is_alone and not _has_names(out, plans):
        names = ", ".join(map(repr, plans))
        raise InvalidPlan(f"out= must be a dict with an entry for each plan: {names}")
    for memory in [None] if out is None else _memories(plans, out).values():
        check_result(to, memory, "cpu", categories=categories)
    if computed_form(next(iter(plans.values())), to) in ("cupy", "cupy_columns"):
        raise InvalidPlan(f"to={to!r}: a live state computes on the CPU. Use to='numpy'")
    if to == "scipy":
        raise InvalidPlan("to='scipy': a live state gives no sparse matrix. Use to='numpy'")


def check_out(plans: FittedByName, rows: Table, to: str, out: Any) -> None:
    """Raise an error if the user's memory `out` cannot take the features of the rows."""
    if out is None:
        return
    for name, memory in _memories(plans, out).items():
        fitted = plans[name]
        shape = (rows.num_rows, len(fitted.feature_names))
        array = output_memory(fitted, to, memory)
        check_memory(array, shape, memory_type(fitted.matrix_dtype), rows)


def convert_results(
    plans: FittedByName, results: Results, rows: Any, to: str, out: Any, *, categories: bool
) -> Any:
    """Return features as the user asked for them; for several plans, a dict by name.

    `rows` are the rows as they were passed, since a frame has an index. `out` receives the features
    if it is given.
    """
    if out is not None:
        for name, memory in _memories(plans, out).items():
            array = output_memory(plans[name], to, memory)
            array[...] = results[name]
        return out
    index = frame_index(rows) if to == "pandas" else None
    found = {
        name: convert_features(plans[name], features, to, categories=categories, index=index)
        for name, features in results.items()
    }
    return found.get(ALONE, found)


def unwrap_row(results: Results) -> Any:
    """Return the features of one row as an array; with several plans, a dict by plan name."""
    found = {name: features[0] for name, features in results.items()}
    return found.get(ALONE, found)


def restore_passed_columns(plans: FittedByName, results: Results, given: Any) -> Results:
    """Return features with the columns that plans pass through, in their original types.

    The columns are taken from the rows as the user passed them.
    """
    return {
        name: _with_columns(features, given, plans[name].declaration.keep)
        for name, features in results.items()
    }


def _with_columns(features: Any, given: Any, names: Sequence[str]) -> Any:
    """Return features with the columns `names` as in the user's rows; matrices are unchanged."""
    if not names or not isinstance(features, pa.Table):
        return features
    for name in names:
        column, place = given.column(name), features.column_names.index(name)
        features = features.set_column(place, given.schema.field(name), column)
    return features


def _memories(plans: FittedByName, out: Any) -> Mapping[str, Any]:
    return {ALONE: out} if ALONE in plans else out


def _has_names(given: Any, names: Iterable[str]) -> bool:
    return isinstance(given, Mapping) and set(cast("Mapping[Any, Any]", given)) == set(names)
