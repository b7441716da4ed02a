"""Profiles of the inputs and the features of a plan, each given as a table.

A layout is a profile without counts: the edges and categories by which rows are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates.keys import least_rows
from fastfeat.errors import ArtifactError
from fastfeat.execute.batch import takeable
from fastfeat.execute.fitted import Fitted
from fastfeat.io.arrow import ChunkedArray, DataType, Table, call, options_of, pa
from fastfeat.io.columns import conform
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.types import UnsupportedType, known_type
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Aggregate, Call, Node, postorder
from fastfeat.learn.row_sample import numbers_of_sample
from fastfeat.plan.declare.source_columns import columns_of
from fastfeat.scalars import SCALARS
from fastfeat.steps.registry import STEPS
from fastfeat.trust.quality.counting import KERNEL, count_column, count_columns
from fastfeat.trust.quality.layout import SAMPLED, kind_of, layout_of
from fastfeat.trust.quality.many_columns import (
    KERNELS,
    BinnedColumnHead,
    count_binned_columns,
    layouts_of_columns,
)
from fastfeat.trust.quality.profile import ColumnProfile, Profile, ProfileKind, profile_of_columns

StoredColumns = list[tuple[str, DType | UnsupportedType, ChunkedArray]]
"""Name, type and values of columns, in the storage of their types."""
_TypeAndKind = tuple[DType | UnsupportedType, ProfileKind]


class _LayoutInput(NamedTuple):
    """A column with the arguments of `layout_of` for it."""

    name: str
    dtype: DType | UnsupportedType
    kind: ProfileKind
    column: ChunkedArray
    least_rows: int


def profile_of_tables(
    fitted: Fitted, inputs: Table, features: Table | None, no_features: str = ""
) -> Profile:
    """Return the profile of rows, with edges and categories from a sample of these rows.

    If `features` is None, `no_features` says why.
    """
    n_rows = _n_rows(inputs, features)
    if n_rows <= SAMPLED:
        return _of_few_rows(fitted, inputs, features, no_features)
    numbers = numbers_of_sample(n_rows, SAMPLED)
    of_features = None if features is None else take_places(features, numbers)
    layout = layout_of_tables(fitted, take_places(inputs, numbers), of_features, no_features)
    return counted_tables(layout, fitted, inputs, features)


def _of_few_rows(
    fitted: Fitted, inputs: Table, features: Table | None, no_features: str
) -> Profile:
    """Return the profile of rows that are so few that all of them are the sample."""
    of_inputs, of_features = map(_profiles_of_own_rows, _to_lay_out(fitted, inputs, features))
    n_rows = _n_rows(inputs, features)
    return profile_of_columns(of_inputs, of_features, n_rows, no_features)


def _profiles_of_own_rows(given: Sequence[_LayoutInput]) -> dict[str, ColumnProfile]:
    """Return the profile of each column by name, with edges and categories from its own rows."""
    known = _profiles_together(given, count_binned_columns)
    return {
        one.name: known[k] if k in known else count_column(layout_of(*one), one.column)
        for k, one in enumerate(given)
    }


def _layouts(given: Sequence[_LayoutInput]) -> dict[str, ColumnProfile]:
    """Return the layout of each column by name, from a sample of its rows."""
    known = _profiles_together(given, layouts_of_columns)
    return {one.name: known[k] if k in known else layout_of(*one) for k, one in enumerate(given)}


def _profiles_together(
    given: Sequence[_LayoutInput],
    profiles_of: Callable[
        [Sequence[BinnedColumnHead], Sequence[ChunkedArray]], dict[int, ColumnProfile]
    ],
) -> dict[int, ColumnProfile]:
    """Return the profiles that `profiles_of` computes for many columns together.

    They are numbered by index in `given`; other columns are left out.
    """
    binned = [k for k, one in enumerate(given) if one.kind in ("number", "moment")]
    heads = [BinnedColumnHead(given[k].name, str(given[k].dtype), given[k].kind) for k in binned]
    found = profiles_of(heads, [given[k].column for k in binned])
    return {binned[k]: profile for k, profile in found.items()}


def check_profile_of_plan(profile: Profile, fitted: Fitted) -> None:
    """Raise ArtifactError if a profile has other columns or types than the plan of its file."""
    inputs, features = _input_kinds(fitted), _feature_kinds(fitted)
    for of, told in ((profile.inputs, inputs), (profile.features, features)):
        for name, column in of.items():
            if name not in told:
                continue  # of a feature that the plan no longer has
            dtype, kind = told[name]
            if (column.dtype, column.kind) != (str(dtype), kind):
                differs = f"{name!r} is {column.dtype} in the profile, but {dtype} in the plan"
                raise ArtifactError(
                    f"the profile belongs to another plan: {differs}. Fit the plan again"
                )
    lacking = [] if profile.no_features else [of for of in features if of not in profile.features]
    if lacking:
        raise ArtifactError(
            f"the profile belongs to another plan: it lacks the feature {lacking[0]!r}. Fit the "
            "plan again"
        )


def kernels_of_profiles(fitted: Fitted) -> list[tuple[str, str]]:
    """Return the kernels that a profile of many rows runs, each as its folder and its function."""
    told = [*_input_kinds(fitted).values(), *_feature_kinds(fitted).values()]
    return [KERNEL, *KERNELS] if any(kind in ("number", "moment") for _, kind in told) else []


def _input_kinds(fitted: Fitted) -> dict[str, _TypeAndKind]:
    return {name: (dtype, kind_of(dtype)) for name, dtype in fitted.inputs.items()}


def _feature_kinds(fitted: Fitted) -> dict[str, _TypeAndKind]:
    return {
        field.name: _type_and_kind(field.type, fitted.nodes[field.name]) for field in fitted.schema
    }


def _type_and_kind(arrow: DataType, node: Node) -> _TypeAndKind:
    """Return the type and the kind of a feature's column; see `kind_of`."""
    dtype = _known(arrow)
    return dtype, kind_of(dtype, is_code=_is_code(node))


def _known(arrow: DataType) -> DType | UnsupportedType:
    return known_type(arrow) or UnsupportedType(str(arrow))


def take_places(table: Table, places: NDArray[np.int64]) -> Table:
    """Return the rows of a table at the indices `places`, copied to new memory.

    `places` has shape `(n_rows,)` and must lie within the table, unless it has no columns. Columns
    in an Arrow encoding without `take` are decoded.
    """
    if table.num_columns and len(places):
        assert 0 <= places.min() <= places.max() < table.num_rows
    index = array_of_values(places, None, pa.int64())
    in_bounds = options_of("TakeOptions", boundscheck=False)  # checked above: a quarter of the time
    columns = [call("take", takeable(one), index, options=in_bounds) for one in table.columns]
    return pa.table(columns, names=table.column_names)


def layout_of_tables(
    fitted: Fitted, inputs: Table, features: Table | None, no_features: str = ""
) -> Profile:
    """Return a profile without counts, with edges and categories from the given sample of rows.

    If `features` is None, `no_features` says why.
    """
    of_inputs, of_features = map(_layouts, _to_lay_out(fitted, inputs, features))
    return profile_of_columns(of_inputs, of_features, 0, no_features)


def _to_lay_out(
    fitted: Fitted, inputs: Table, features: Table | None
) -> tuple[list[_LayoutInput], list[_LayoutInput]]:
    """Return the inputs, then the features of a plan, as arguments of `layout_of`."""
    least = _least_rows(fitted)
    of_inputs = [
        _LayoutInput(name, dtype, kind_of(dtype), column, least.get(name, 1))
        for name, dtype, column in stored_inputs(fitted, inputs)
    ]
    of_features = list[_LayoutInput]()
    for name, dtype, column in [] if features is None else stored_features(fitted, features):
        node = fitted.nodes[name]
        rows = max((least.get(read, 1) for read in columns_of([node])), default=1) if least else 1
        kind = kind_of(dtype, is_code=_is_code(node))
        of_features.append(_LayoutInput(name, dtype, kind, column, rows))
    return of_inputs, of_features


def counted_tables(
    layout: Profile, fitted: Fitted, inputs: Table, features: Table | None
) -> Profile:
    """Return the profile of rows, counted by the edges and categories of `layout`.

    Columns that are not yet known at the time of a row, such as the label, may be absent from
    `inputs`. With `features=None`, features are not counted.
    """
    of_inputs = _counted(layout.inputs, stored_inputs(fitted, inputs))
    of_features = (
        {} if features is None else _counted(layout.features, stored_features(fitted, features))
    )
    return profile_of_columns(of_inputs, of_features, _n_rows(inputs, features), layout.no_features)


def _counted(
    layouts: Mapping[str, ColumnProfile], given: StoredColumns
) -> dict[str, ColumnProfile]:
    """Return the profiles of those columns that have a layout, by name."""
    columns = [(layouts[name], column) for name, _, column in given if name in layouts]
    return {one.name: one for one in count_columns(columns)}


def _n_rows(inputs: Table, features: Table | None) -> int:
    """Return the number of rows, from the features if given.

    A plan of constants reads no inputs, so only its features have the number of rows.
    """
    return inputs.num_rows if features is None else features.num_rows


def stored_inputs(fitted: Fitted, table: Table) -> StoredColumns:
    """Return the inputs of a plan that a table has: name, type and stored values of each."""
    types: Mapping[str, DType | UnsupportedType] = fitted.inputs
    there = set(table.column_names)
    return [
        (name, dtype, _stored(table.column(name), name, dtype))
        for name, dtype in types.items()
        if name in there
    ]


def stored_features(fitted: Fitted, table: Table) -> StoredColumns:
    """Return the features of a plan in a table: name, type and stored values of each."""
    found: StoredColumns = []
    for name in fitted.nodes:
        column = table.column(name)
        dtype = _known(column.type)
        found.append((name, dtype, _stored(column, name, dtype)))
    return found


def _stored(column: ChunkedArray, name: str, dtype: DType | UnsupportedType) -> ChunkedArray:
    if isinstance(dtype, UnsupportedType) or dtype.is_list or dtype.holds_bytes:
        return column
    return conform.conform(column, name, dtype)


def _least_rows(fitted: Fitted) -> dict[str, int]:
    """Return the least number of rows that a category needs to be listed in a profile, by column.

    These are the limits `min_rows=` or `min_frequency=` of the plan, which keeps no rarer keys
    either. Columns without such a limit are left out.
    """
    found: dict[str, int] = {}
    for node in postorder(fitted.declaration.nodes.values()):
        if isinstance(node, Aggregate) and node.function == "vocabulary":
            for name in columns_of([node]):
                found[name] = max(found.get(name, 1), least_rows(node.params))
    return found


def _is_code(node: Node) -> bool:
    """Return whether a feature's integers are codes of categories."""
    if not isinstance(node, Call):
        return False
    row = SCALARS.get(node.function) or STEPS.get(node.function)
    return row is not None and row.names_categories
