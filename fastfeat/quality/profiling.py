"""Profiles of plans: of training rows as fit leaves them, and of later rows on the same layout."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.dtypes import DType
from fastfeat.engine.float_environment import in_ieee
from fastfeat.errors import FastfeatError, FastfeatWarning, InvalidPlan
from fastfeat.io.arrow import ChunkedArray, Table, pa
from fastfeat.io.columns.conform import conform
from fastfeat.io.columns.types import UnsupportedType, known_type
from fastfeat.ir.node import Call, Node
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.fit.fit import features_given, fit_on
from fastfeat.plan.fit.row_sample import numbers_of_sample
from fastfeat.plan.fit.training_data import prepare
from fastfeat.plan.run.fitted import Fitted, Packed
from fastfeat.plan.run.inputs import read_columns
from fastfeat.plan.run.lookup_tables import Tables
from fastfeat.plan.run.row_selection import rows_to_learn_from
from fastfeat.plan.run.transform import transform
from fastfeat.quality.counting import counted
from fastfeat.quality.layout import kind_of, layout_of
from fastfeat.quality.profile import ColumnProfile, Profile, profile_of_columns

_OF_CODES = ("encode", "is_code", "list.has_code")
"""Functions of features whose integers are numbers of categories."""


def profile_of_tables(
    fitted: Fitted, inputs: Table, features: Table | None, no_features: str = ""
) -> Profile:
    """Return the profile of rows on edges and categories of their own.

    Args:
        fitted: what they are the rows of.
        inputs: the columns that it reads, as they were given.
        features: its features; None where there are none.
        no_features: why.
    """
    numbers = numbers_of_sample(inputs.num_rows)
    sampled = inputs.take(pa.array(numbers))
    of_features = None if features is None else features.take(pa.array(numbers))
    layout = layout_of_tables(fitted, sampled, of_features, no_features)
    return counted_tables(layout, fitted, inputs, features)


def layout_of_tables(
    fitted: Fitted, inputs: Table, features: Table | None, no_features: str = ""
) -> Profile:
    """Return the profile of no rows, whose edges and categories are those of a sample.

    Args:
        fitted: what the rows are of.
        inputs: the sample of the columns that it reads, as they were given.
        features: the sample of its features, as `profile_of_tables`.
        no_features: why there are none.
    """
    of_inputs = {
        name: layout_of(name, dtype, kind_of(dtype), column)
        for name, dtype, column in _stored_inputs(fitted, inputs)
    }
    of_features: dict[str, ColumnProfile] = {}
    for name, dtype, column in () if features is None else _stored_features(fitted, features):
        kind = kind_of(dtype, is_code=_is_code(fitted.nodes[name]))
        of_features[name] = layout_of(name, dtype, kind, column)
    return profile_of_columns(of_inputs, of_features, 0, no_features)


def counted_tables(
    layout: Profile, fitted: Fitted, inputs: Table, features: Table | None
) -> Profile:
    """Return the profile of rows on the edges and categories of another.

    Args:
        layout: that other one.
        fitted: what the rows are of.
        inputs: the columns that it reads, as they were given; late ones need not be there.
        features: its features; None where they are not counted.
    """
    of_inputs = {
        name: counted(layout.inputs[name], column)
        for name, _, column in _stored_inputs(fitted, inputs)
        if name in layout.inputs
    }
    of_features: dict[str, ColumnProfile] = {}
    for name, _, column in () if features is None else _stored_features(fitted, features):
        if name in layout.features:
            of_features[name] = counted(layout.features[name], column)
    return profile_of_columns(of_inputs, of_features, inputs.num_rows, layout.no_features)


@in_ieee
def profile_of(
    fitted: Fitted,
    layout: Profile | None,
    data: Any,
    *,
    history: Any = None,
    tables: Tables = None,
    backend: str = "cpu",
) -> Profile:
    """Return the profile of other rows; arguments and errors as of `FittedPlan.profile_of`."""
    if layout is None:
        raise InvalidPlan(
            "the plan has no profile: it was fitted with profile=False, or by an earlier version. "
            "Fit it again"
        )
    late = set(fitted.declaration.late)
    wanted = [name for name in layout.inputs if name not in late]
    table = read_columns(data, wanted, [name for name in layout.inputs if name in late])
    features = None
    if layout.features:
        options: Any = {"history": history, "tables": tables, "backend": backend}
        features = transform(fitted, data, **options)
    return counted_tables(layout, fitted, table, features)


@in_ieee
def fit_profiled(
    plan: Declaration,
    data: Any,
    *,
    profile: bool | str,
    rows: Any = None,
    history: Any = None,
    tables: Tables = None,
    backend: str = "cpu",
) -> Fitted:
    """Return a plan with what it has learnt, and the profile of its training rows.

    Args:
        plan: what is fitted.
        data: as of `Plan.fit`, as the following are.
        profile: True, or "inputs", for the profile has no features then.
        rows: which rows.
        history: earlier rows.
        tables: lookup tables.
        backend: its name.
    """
    with_features = profile is True
    prepared = prepare(plan, data, history=history, tables=tables, backend=backend)
    wanted = rows_to_learn_from(rows, prepared.table)
    fitted, training = fit_on(prepared, wanted, transforms=with_features)

    def make() -> Table:
        told = set(fitted.told.kinds)
        features = features_given(fitted, prepared, training, "arrow")
        fitted.told.kinds.intersection_update(told)  # what nobody has heard comes again
        return features

    made = trained(fitted, prepared.table, wanted, make if with_features else None)
    return replace(fitted, profile=made)


def profile_face(fitted: Fitted) -> Profile | None:
    """Return the profile of the training rows: of the features that there are, and their inputs."""
    kept = fitted.profile
    if kept is None:
        return None
    profile = kept if isinstance(kept, Profile) else Profile.from_bytes(bytes_of(kept))
    inputs = {name: one for name, one in profile.inputs.items() if name in fitted.inputs}
    features = {name: one for name, one in profile.features.items() if name in fitted.nodes}
    if len(inputs) + len(features) == len(profile.inputs) + len(profile.features):
        return profile
    return profile_of_columns(inputs, features, profile.n_rows, profile.no_features)


def bytes_of(kept: Packed | bytes) -> bytes:
    """Return a profile as bytes."""
    return kept if isinstance(kept, bytes) else kept.to_bytes()


def trained(
    fitted: Fitted,
    inputs: Any,
    wanted: NDArray[np.int64] | None,
    make_features: Callable[[], Table] | None,
) -> Profile:
    """Return the profile of training rows.

    Args:
        fitted: the plan, fitted on them.
        inputs: a table of all rows of the data.
        wanted: the numbers of the rows that were given to fit, in their order; None for all.
        make_features: gives the features of these as an Arrow table; None where none are wanted.
    """
    own = inputs.select([name for name in fitted.inputs if name in inputs.column_names])
    rows = own if wanted is None else own.take(pa.array(wanted))
    if make_features is None:
        return profile_of_tables(fitted, rows, None, "profile='inputs' left them out")
    try:
        with warnings.catch_warnings():  # fit has warned already
            warnings.simplefilter("ignore", FastfeatWarning)
            features = make_features()
    except FastfeatError as error:  # fit does not fail by it: it has learnt what it could
        reason = str(error).partition("\n")[0]
        return profile_of_tables(fitted, rows, None, f"of training rows they fail: {reason}")
    return profile_of_tables(fitted, rows, features)


def _stored_inputs(
    fitted: Fitted, table: Table
) -> list[tuple[str, DType | UnsupportedType, ChunkedArray]]:
    """Return name, type and column of each input that is there, in the storage of its type."""
    types: Mapping[str, DType | UnsupportedType] = fitted.inputs
    return [
        (name, dtype, _stored(table.column(name), name, dtype))
        for name, dtype in types.items()
        if name in table.column_names
    ]


def _stored_features(
    fitted: Fitted, table: Table
) -> list[tuple[str, DType | UnsupportedType, ChunkedArray]]:
    """Return name, type and column of each feature, in the storage of its type."""
    found: list[tuple[str, DType | UnsupportedType, ChunkedArray]] = []
    for name in fitted.nodes:
        column = table.column(name)
        dtype = known_type(column.type) or UnsupportedType(str(column.type))
        found.append((name, dtype, _stored(column, name, dtype)))
    return found


def _stored(column: ChunkedArray, name: str, dtype: DType | UnsupportedType) -> ChunkedArray:
    if isinstance(dtype, UnsupportedType) or dtype.is_list or dtype.holds_bytes:
        return column
    return conform(column, name, dtype)


def _is_code(node: Node) -> bool:
    """Return whether a feature's integers are numbers of categories."""
    return isinstance(node, Call) and node.function in _OF_CODES
