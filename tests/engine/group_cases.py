"""Cases for learners of groups and of targets: values, and the group of each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from fastfeat.engine.storage import storage
from fastfeat.io.columns.types import dtype_of, storage_type
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Params, params_of
from fastfeat.steps.keys.cpu_group_states import CODES, VALUES, GroupsSpec
from fastfeat.steps.targets import cpu_states, cpu_time_folds
from fastfeat_tests.engine.learner_cases import TYPES, Case, columns, exactly

NUMBERS = ("float64", "tame", "far", "float32", "bool", "int8", "int64", "uint64")
KINDS = (*NUMBERS, "date32", "timestamp", "duration")
FAR = [1e-30, 1.0, 1e30, -3e-30, 0.1, 7e29, None, float("nan"), float("inf")]


@st.composite
def values(draw: st.DrawFn, kind: str, n_rows: int) -> tuple[pa.ChunkedArray, DType]:
    """Return a column of some kind, "far" among them: floats of which no window holds all."""
    if kind == "far":
        seed = draw(st.integers(0, 2**32))
        places = np.random.default_rng(seed).integers(0, len(FAR), n_rows)
        return pa.chunked_array([pa.array([FAR[k] for k in places], pa.float64())]), _type(kind)
    return draw(columns(kind, n_rows)), _type(kind)


def _type(kind: str) -> DType:
    return dtype_of(TYPES.get(kind, pa.float64()))


@st.composite
def codes(draw: st.DrawFn, n_codes: int, n_rows: int) -> pa.ChunkedArray:
    """Return the group of each row; few have most of the rows."""
    seed = draw(st.integers(0, 2**32))
    share = np.random.default_rng(seed).random(n_rows)
    found = (share ** draw(st.sampled_from([1, 3])) * n_codes).astype(np.int32)
    return pa.chunked_array([pa.array(found, pa.int32())])


def aggregates(kind: str) -> list[tuple[str, Params]]:
    """Return aggregates of a kind of column."""
    found: list[tuple[str, Params]] = [("count", ()), ("null_count", ()), ("min", ()), ("max", ())]
    found += [("mode", ()), ("n_unique", ())]
    for q, interpolation in ((0.5, "linear"), (0.1, "nearest"), (0.9, "lower")):
        found.append(("quantile", params_of(q=q, interpolation=interpolation)))
    if kind == "duration":
        return [*found, ("mean", ())]
    if kind in ("date32", "timestamp"):
        return found
    found += [("sum", ()), ("mean", ()), ("var", params_of(ddof=0)), ("std", params_of(ddof=1))]
    return [*found, ("skew", params_of(bias=True)), ("kurtosis", params_of(bias=True, fisher=True))]


@st.composite
def groups(draw: st.DrawFn) -> Case:
    """Return some aggregates of the groups of a column."""
    kind, n_rows = draw(st.sampled_from(KINDS)), draw(st.sampled_from([0, 1, 2, 7, 30, 200]))
    n_groups = draw(st.sampled_from([1, 3, 20, 300]))
    some = draw(st.lists(st.sampled_from(aggregates(kind)), min_size=1, max_size=4, unique=True))
    column, dtype = draw(values(kind, n_rows))
    spec = GroupsSpec(some, dtype, n_groups, draw(st.sampled_from([0, 1])))
    return Case(spec, {VALUES: column, CODES: draw(codes(n_groups, n_rows))}, n_rows)


def shown(learnt: Any) -> Any:
    """Return the values of groups to the bit, but those left out."""
    return [exactly((one.values.tolist(), one.present.tolist())) for one in learnt]


ENCODERS: dict[str, list[dict[str, Any]]] = {
    "target_mean": [{"smooth": "auto"}, {"smooth": 2.0}, {"smooth": "auto", "min_rows": 3}],
    "target_var": [{"smooth": 1.0}],
    "target_quantile": [{"smooth": 1.0, "q": 0.5}, {"smooth": 0.0, "q": 0.9}],
    "target_odds": [{"regularization": 1.0}],
}


@st.composite
def targets(draw: st.DrawFn) -> Case:
    """Return a statistic of a target per category, with folds by number of row or as a column."""
    kind, n_rows = draw(st.sampled_from(NUMBERS)), draw(st.sampled_from([0, 1, 2, 7, 30, 200]))
    n_codes, n_folds = draw(st.sampled_from([2, 3, 20, 300])), draw(st.integers(2, 5))
    function = draw(st.sampled_from(list(ENCODERS)))
    given, ordered = draw(st.sampled_from(ENCODERS[function])), draw(st.booleans())
    params = params_of(**given, n_folds=n_folds, ordered=ordered)
    column, dtype = draw(values(kind, n_rows))
    read = {VALUES: column, CODES: draw(codes(n_codes, n_rows))}
    if draw(st.booleans()):
        read[cpu_states.FOLDS] = draw(codes(n_folds, n_rows))
    return Case(cpu_states.TargetSpec(function, params, dtype, n_codes, n_folds), read, n_rows)


def shown_target(learnt: Any) -> Any:
    """Return what is learnt of a target to the bit."""
    (one,) = learnt
    return exactly((one.values.tolist(), one.present.tolist(), one.of_folds.tolist()))


@st.composite
def times(draw: st.DrawFn) -> Case:
    """Return folds by time; NaN is missing, as steps have it."""
    kind = draw(st.sampled_from(["tame", "int8", "int64", "uint64", "date32", "timestamp"]))
    n_rows, n_folds = draw(st.sampled_from([0, 1, 2, 7, 30, 200])), draw(st.integers(2, 9))
    column, dtype = draw(values(kind, n_rows))
    plain = pa.chunked_array([one.view(storage_type(dtype)) for one in column.chunks])
    spec = cpu_time_folds.TimeFoldsSpec(storage(dtype), n_folds, draw(st.booleans()))
    return Case(spec, {cpu_time_folds.TIMES: plain}, n_rows)


def shown_folds(learnt: Any) -> Any:
    """Return what is learnt of folds by time; 0.0 is -0.0."""
    (one,) = learnt
    arrays = one.ends + 0, one.used, one.begins + 0
    return [*(exactly(array.tolist()) for array in arrays), one.n_folds, one.last]
