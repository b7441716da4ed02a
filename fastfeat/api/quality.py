"""`ff.quality`: functions of a fitted plan that judge its rows, features and machine.

The commands, and the members `check`, `drift`, `report` and `verify` of a fitted plan, judge too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastfeat.api.plan import FittedPlan
from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.errors import TypeMismatch
from fastfeat.execute.call_rows import checked_call_rows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.lookup_tables import Tables
from fastfeat.io.arrow import Table

if TYPE_CHECKING:
    from fastfeat.trust.quality.profile import Profile
    from fastfeat.trust.quality.rounding import Rounding

__all__ = ["check_golden", "feature_map", "profile", "rounding"]
_PREFIX = "ff.quality."


@with_argument_errors_as(_PREFIX, {})
def profile(
    fitted: FittedPlan,
    data: Any = None,
    *,
    history: Any = None,
    tables: Tables = None,
    backend: str = "cpu",
    memory: str | int | None = None,
) -> Profile:
    """Return the profile of a plan's training rows, or of other rows in its bins and categories.

    A profile counts the values of inputs and features. Profiles of parts of the rows merge into the
    profile of all rows, byte for byte. A selection of features keeps their profiles.

    Args:
        fitted: A fitted plan. It has a profile if `fit` was called with `profile=`.
        data: None for the training rows. Or other rows, in any form that `fit` takes: a pyarrow
            Table or any Arrow producer, a pandas or Polars DataFrame, a dict of NumPy arrays, a
            list of dicts, files, or a function that opens a reader. Late columns (label and
            outcomes) are not needed and further columns are ignored. If `data` lacks the late
            columns, windows use late values from `history` only, so features differ from those
            computed with labels present.
        history: Earlier rows of the same entities, which windows see, with late columns if
            windows read them. "batch" declares that `data` contains its own past. Without
            either, a plan with windows warns; a plan without windows ignores it. If the plan
            has a `row_id`, a row with the same id in both counts once; otherwise it counts
            twice.
        tables: Lookup tables by name, in any form that `data` may have. Tables and columns that
            the plan does not read are ignored. The prepared lookup of a pyarrow Table is cached
            as long as that Table lives.
        backend: "cpu", "gpu", "reference" (slow, pure Python) or "emulated" (CUDA kernels
            compiled by g++). All give the same bits.
        memory: The most memory that this process may use, such as "600MiB", or a number of
            bytes: files are then read in passes. None reads the data whole.

    Raises:
        InvalidPlan: The plan has no profile.
        FastfeatError: Any error of `transform`, and with `memory=` of `transform_to`.

    Example:
        >>> fitted = ff.Plan({"x": col("x") * 2}).fit({"x": [1.0, 2.0, 2.5]}, profile=True)
        >>> later = ff.quality.profile(fitted, {"x": [2.0, 9.0, None]}).features["x"]
        >>> later.n_missing, later.greatest, later.counts.tolist()
        (1, 18.0, [0, 0, 0, 1, 0, 0, 1])
    """
    from fastfeat.trust.quality.later_rows import profile_of, profile_to_compare
    from fastfeat.trust.quality.profiling import profile_face

    record = _record(fitted, "profile")
    if data is None:
        return profile_face(record) or profile_to_compare(record)  # which says how to make one
    return profile_of(record, checked_call_rows(data, None, history, tables, backend, memory))


@with_argument_errors_as(_PREFIX, {})
def rounding(
    fitted: FittedPlan,
    data: Any,
    *,
    dtypes: Sequence[str] = ("float32", "float16", "bfloat16"),
    history: Any = None,
    tables: Tables = None,
    backend: str = "cpu",
) -> dict[str, dict[str, Rounding]]:
    """Return the rounding error of float features in smaller float types, by feature and type.

    Each feature is computed in float64, whatever the `dtype` of the plan, and rounded once to
    each type.

    Args:
        fitted: A fitted plan.
        data: The rows, in any form that `fit` takes: a pyarrow Table or any Arrow producer, a
            pandas or Polars DataFrame, a dict of NumPy arrays, a list of dicts, files, or a
            function that opens a reader. Late columns (label and outcomes) are not needed and
            further columns are ignored. If `data` lacks the late columns, windows use late
            values from `history` only, so features differ from those computed with labels
            present.
        dtypes: The float types to compare.
        history: Earlier rows of the same entities, which windows see, with late columns if
            windows read them. "batch" declares that `data` contains its own past. Without
            either, a plan with windows warns; a plan without windows ignores it. If the plan
            has a `row_id`, a row with the same id in both counts once; otherwise it counts
            twice.
        tables: Lookup tables by name, in any form that `data` may have. Tables and columns that
            the plan does not read are ignored. The prepared lookup of a pyarrow Table is cached
            as long as that Table lives.
        backend: "cpu", "gpu", "reference" (slow, pure Python) or "emulated" (CUDA kernels
            compiled by g++). All give the same bits.

    Raises:
        InvalidPlan: A type other than "float16", "bfloat16", "float32" and "float64".

    Example:
        >>> fitted = ff.Plan({"x": col("x")}).fit({"x": [0.1, 1e-9, 70_000.0]})
        >>> found = ff.quality.rounding(fitted, {"x": [0.1, 1e-9, 70_000.0]})["x"]
        >>> found["float16"].n_beyond, found["float16"].n_vanished
        (1, 1)
        >>> found["bfloat16"].fits, round(found["bfloat16"].largest_relative, 4)
        (True, 0.0032)
    """
    from fastfeat.trust.quality.rounding import roundings

    given = checked_call_rows(data, None, history, tables, backend)
    return roundings(_record(fitted, "rounding"), given, dtypes=dtypes)


@with_argument_errors_as(_PREFIX, {})
def feature_map(fitted: FittedPlan) -> Table:
    """Return the feature and the sources of each output column, to group importances by.

    Args:
        fitted: A fitted plan.

    Returns:
        A table with the columns "column", "feature" and "sources". Sources are the data columns
        that the feature is computed from; columns of tables are named "table.column". The
        columns that an encoder learns from, such as the label, are not included.

    Example:
        >>> plan = ff.Plan({"hour": col("t").cyclical(24), "x": col("x") + col("z").mean()})
        >>> fitted = plan.fit({"t": [1], "x": [2], "z": [3]})
        >>> ff.quality.feature_map(fitted).to_pylist()[1:]
        [{'column': 'hour_cos', 'feature': 'hour', 'sources': ['t']}, \
{'column': 'x', 'feature': 'x', 'sources': ['x', 'z']}]
    """
    from fastfeat.tell.fitted_tables import feature_map

    return feature_map(_record(fitted, "feature_map"))


@with_argument_errors_as(_PREFIX, {})
def check_golden(fitted: FittedPlan, *, backend: str = "cpu") -> int:
    """Compute the golden rows again, compare all bits, and return the number of rows.

    Args:
        fitted: A fitted plan that was loaded from a file.
        backend: "cpu", "gpu" or "reference".

    Raises:
        ArtifactError: A feature differs on this machine; the message names the feature, the row
            and both values. Or there are no golden rows: the plan was not loaded from a file,
            or was saved without them.
        BackendUnavailable: The backend cannot run here.

    Example:
        >>> import tempfile, os
        >>> fitted = ff.Plan({"y": col("x").standard_scale()}).fit({"x": [1.0, 2.0, 4.0]})
        >>> path = os.path.join(tempfile.mkdtemp(), "y.fastfeat")
        >>> fitted.save(path)
        >>> ff.quality.check_golden(ff.load(path, check="golden"))
        64
    """
    from fastfeat.trust.quality.golden.golden_rows import check_golden

    return check_golden(_record(fitted, "check_golden"), backend)


def _record(fitted: Any, function: str) -> Fitted:
    if isinstance(fitted, FittedPlan):
        return fitted.record
    raise TypeMismatch(
        f"{_PREFIX}{function} takes a fitted plan, got a {type(fitted).__name__}. Write "
        f"{_PREFIX}{function}(plan.fit(data))"
    )
