"""Every aggregate of every type in every scope: the bits of the reference, or its refusal.

What there is to try comes from the tables of aggregates, of functions over windows and of types; a
row that is new there is tried here too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pytest
from fastfeat_kernels.words import Interpolation, RankMethod

import fastfeat as ff
from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.function import result_per_key
from fastfeat.errors import TypeMismatch
from fastfeat.expr import Expr, aggregate, call, col, group_aggregate, lit
from fastfeat.io.columns.types import _OUTPUT as NAMES
from fastfeat.io.columns.types import arrow_type
from fastfeat.ir import dtypes
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import GROUPS_AND_MISSING, Params, params_of
from fastfeat.ir.parameters import MAX_MEMORY, Parameters, are_valid
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.operators.aggregates import OPERATORS
from fastfeat.operators.keys import encode_keys, group_by_keys
from fastfeat.operators.windows import over_window
from fastfeat.plan.lower.lower import stored_type
from fastfeat.steps.registry import STEPS
from fastfeat.steps.windows.rows import OVER_FUNCTIONS
from fastfeat.trust.verify.comparison import first_difference

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")

POOL: dict[str, Sequence[Any]] = {
    "alpha": [0.5],
    "bias": [True, False],
    "ddof": [0, 1],
    "fisher": [True],
    "half_life": [2],
    "interpolation": get_args(Interpolation),
    "max_categories": [None],
    "max_memory": [MAX_MEMORY],
    "method": get_args(RankMethod),
    "min_frequency": [None],
    "missing": ["key"],
    "n": [1, 2],
    "n_folds": [2],
    "n_points": [3],
    "n_quantiles": [3],
    "ordered": [False],
    "pct": [False],
    "probabilities": [(0.25, 0.5)],
    "q": [0.3],
    "regularization": [1.0],
    "smooth": [2.0],
}
"""Values of every parameter; which of them a function has, it says itself."""

COARSE_AND_FINE = dtypes.UNITS[0], dtypes.UNITS[-1]  # of 32 and of 64 bits; beyond 2**53 or not
TYPES: list[DType] = [
    *map(DType, sorted(NAMES.keys() - {"bfloat16"})),  # of matrices alone
    *(make(unit) for unit in COARSE_AND_FINE for make in (dtypes.time, dtypes.duration)),
    *(dtypes.timestamp(*one) for one in zip(COARSE_AND_FINE, ("Europe/Berlin", None), strict=True)),
]
DAYS = -719_162, 2_932_896  # the first and the last day that Python's datetime knows
COLUMNS = {str(dtype): dtype for dtype in TYPES}
KEYS = [None, 1, 2, 1, 2, 1, 3, 1, 2, 1, None, 2, 1, 4, 2, 1]  # 3 and 4 have one row each
TIMES = [0, 3, 3, 1, None, 9, 8, 7, 2, 5, 5, 0, 6, 6, 4, 9]
N_ROWS = len(KEYS)
PLACES = [0, 1, 2, 3, None, 4, 2, None, 5, 1, 0, 3, 2, 5, 4, 1]


def values_of(dtype: DType) -> list[Any]:
    """Return values of a type as they are stored, beyond 2**53 where it reaches there."""
    if dtype.name == "bool":
        return [True, False, True, True, False, False]
    if dtype.is_float:
        return [0.5, -3.25, 1000.0, 0.0, -0.0, 7.0]
    if dtype.holds_bytes:
        return ["a", "", "bc", "é", "z", "a"]
    if dtype.name == "time":
        assert dtype.unit is not None
        day = 86_400 * dtypes.PER_SECOND[dtype.unit]
        us = max(dtypes.PER_SECOND[dtype.unit] // 10**6, 1)  # what Python's times are of
        return [day - us, 0, day // 3, day // 2 + us, 5 * us, 5 * us]
    least, largest = dtypes.INTEGER_RANGE.get(dtype.name, DAYS)
    if dtype.unit is not None:
        ticks = 86_400 * dtypes.PER_SECOND[dtype.unit]
        least, largest = max(ticks * DAYS[0], -(2**61)), min(ticks * DAYS[1], 2**61)
    wide = [2**53 + 1, 2**60 + 1, -(2**60) - 5, 3, 2**53 + 3, -7]  # their sums fit int64
    narrow = [largest, least, largest // 3, 1, 0, largest - 2]
    listed = [min(max(x, least), largest) for x in (wide if largest >= 2**60 else narrow)]
    return [86_400_000 * day for day in listed] if dtype.name == "date64" else listed


def column_of(dtype: DType) -> pa.Array:
    """Return the column of a type, some values missing."""
    if dtype.name == "null":
        return pa.nulls(N_ROWS)
    listed = values_of(dtype)
    values = [None if place is None else listed[place] for place in PLACES]
    given = arrow_type(dtype)
    if dtype.name == "decimal":
        return pa.array(values, given).cast(pa.decimal128(9, 2))
    if not dtype.is_temporal:
        return pa.array(values, given)
    width = pa.int32() if given.bit_width == 32 else pa.int64()
    return pa.array(values, width).view(given)


@cache
def rows() -> pa.Table:
    """Return rows with keys, times and a column of each type."""
    columns = {name: column_of(dtype) for name, dtype in COLUMNS.items()}
    return pa.table({"k": KEYS, "t": TIMES, "list": [[1]] * N_ROWS, **columns})


@cache
def with_params(parameters: Parameters) -> list[Params]:
    """Return all parameters of POOL that a function takes."""
    names = next(
        (
            names
            for n in range(6)
            for names in itertools.combinations(POOL, n)
            if any(are_valid(parameters, given) for given in product_of(names))
        ),
        None,
    )
    assert names is not None, "POOL lacks a value of a parameter"
    return [params for params in product_of(names) if are_valid(parameters, params)]


def product_of(names: Sequence[str]) -> Iterator[Params]:
    for values in itertools.product(*(POOL[name] for name in names)):
        yield params_of(**dict(zip(names, values, strict=True)))


Made = tuple[Expr, Callable[[DType], DType]]
"""A feature, and its type rule: from the type of the column, or TypeMismatch."""
Scope = Callable[[Expr], dict[str, Made]]


def in_training(x: Expr) -> dict[str, Made]:
    """Return what is learnt of all rows; of a table and of a vocabulary, what reads them."""
    found: dict[str, Made] = {}
    for name, function in AGGREGATES.items():
        if "target" in function.primitives:
            continue
        for params in with_params(function.parameters):
            values = x.abs() + 1 if name == "box_cox_lambda" else x  # which takes values above 0
            learnt = aggregate(name, values, **dict(params))
            if name == "vocabulary":
                learnt = call("encode", x, learnt, missing="key", n_unseen=1)
            elif name in ("quantiles", "even_quantiles", "evenly_spaced"):
                learnt = call("bin", lit(0.5), learnt)
            of = rule(function.result, params)
            found[f"{name} {dict(params)}"] = learnt, no_decimal(of) if name == "vocabulary" else of
    return found


def no_decimal(of: Callable[[DType], DType]) -> Callable[[DType], DType]:
    """Return a type rule of keys, which decimals with digits after the point are none of."""

    def of_key(dtype: DType) -> DType:
        if dtype.name == "decimal":
            raise TypeMismatch("no key")
        return of(dtype)

    return of_key


def rule(result: Callable[..., DType], params: Params) -> Callable[[DType], DType]:
    def of(dtype: DType) -> DType:
        found = result(dtype, params)
        return {dtypes.TABLE: dtypes.INT32, dtypes.VOCABULARY: dtypes.INT32}.get(found, found)

    return of


def by_key(x: Expr, *, alone: bool = False) -> dict[str, Made]:
    """Return what is learnt of the rows of each key, by the aggregates that take `by=`.

    Args:
        x: what is aggregated.
        alone: whether each has a key of its own, so that it is learnt by itself.
    """
    found: dict[str, Made] = {}
    for name in (name for name in AGGREGATES if name in OPERATORS):
        function = AGGREGATES[name]
        for params in with_params(function.parameters):
            key = col("k") + len(found) if alone else col("k")
            made = group_aggregate(name, x, group_by_keys([key]), **dict(params))
            of = partial(result_per_key, function, params=params)
            found[f"{name} {dict(params)}"] = made, of
    return found


def of_target(x: Expr) -> dict[str, Made]:
    """Return what is learnt of a target in each category, but the odds of two classes."""
    codes, folds = encode_keys(col("k"), "", n_unseen=1), call("fold", n_folds=2)
    return {
        f"{name} {dict(params)}": (
            group_aggregate(name, x, codes, GROUPS_AND_MISSING, folds, **dict(params)),
            rule(function.result, params),
        )
        for name, function in AGGREGATES.items()
        if "target" in function.primitives and name != "target_odds"
        for params in with_params(function.parameters)
    }


def over(key: str | None, table: str | None) -> Scope:
    """Return the functions over a window of the data or of a table, of an entity or of all rows."""
    of_some = ff.window(4, time="t", by=key, closed="both", table=table)
    of_all_past = ff.window(time="t", by=key, offset=1, closed="both", table=table)

    def scope(x: Expr) -> dict[str, Made]:
        found: dict[str, Made] = {}
        for name, function in OVER_FUNCTIONS.items():
            # what reads the row's own value reads none of a table; a time stands for itself
            if (table and function.reads_own) or name.startswith("time_since"):
                continue
            window = of_all_past if function.of_all_past else of_some
            for params in with_params(function.parameters):
                result = STEPS[f"over.{name}"].result

                def of(dtype: DType, result: Any = result, params: Params = params) -> DType:
                    return result([dtype, dtypes.WINDOW], dict(params))

                made = over_window(name, x, window, **dict(params))
                found[f"{name} {dict(params)}"] = made, of
        return found

    return scope


SCOPES: dict[str, Scope] = {
    "training": in_training,
    "by": by_key,
    "by alone": partial(by_key, alone=True),
    "target": of_target,
    "over": over(None, None),
    "over by": over("k", None),
    "over table": over(None, "payments"),
    "over table by": over("k", "payments"),
}


def as_number(feature: Expr, dtype: DType) -> Expr:
    """Return a feature as one that a matrix and a row may have too, which hold no large integer."""
    return feature if dtype.is_float or dtype.name in ("bool", "null") else feature.hash(1 << 24)


@cache
def accepted(scope: str) -> dict[str, tuple[Expr, DType]]:
    """Return the features of a scope that the rules of types allow, with their types."""
    found: dict[str, tuple[Expr, DType]] = {}
    for name, dtype in COLUMNS.items():
        for told, (feature, of) in SCOPES[scope](col(name)).items():
            try:
                found[f"{told} of {name}"] = feature, of(dtype)
            except TypeMismatch:
                continue
    return found


def given_to(scope: str) -> dict[str, Any]:
    """Return what stands beside the rows."""
    return {"tables": {"payments": rows()}} if "table" in scope else {}


def plan_of(scope: str, features: Mapping[str, Expr]) -> ff.Plan:
    return ff.Plan(features, outcomes=[*COLUMNS, "list"] if scope == "target" else [])


@pytest.mark.parametrize("scope", SCOPES)
def test_the_rule_of_types_says_what_binds(scope: str) -> None:
    schema = rows().schema
    beside = {"tables": {"payments": schema}} if "table" in scope else {}
    features, types = {}, {}
    for name, (feature, dtype) in accepted(scope).items():
        features[name] = feature.hash() if dtype.holds_bytes else feature
        given_out = dtypes.UINT64 if dtype.holds_bytes else stored_type(dtype, None)
        types[name] = arrow_type(given_out)
    found = plan_of(scope, features).schema(schema, **beside)
    assert dict(zip(found.names, found.types, strict=True)) == types
    for name in [*COLUMNS, "list"]:
        for told, (feature, _) in SCOPES[scope](col(name)).items():
            if f"{told} of {name}" not in accepted(scope):
                with pytest.raises(
                    TypeMismatch,
                    match=r"got|cannot interpolate between|cannot compute|cannot be keys",
                ):
                    plan_of(scope, {"f": feature}).schema(schema, **beside)


@cache
def fitted_by(scope: str, backend: str) -> ff.FittedPlan:
    features = {name: as_number(*made) for name, made in accepted(scope).items()}
    profile = True if scope == "training" else "inputs"  # has features of every type
    return plan_of(scope, features).fit(rows(), backend=backend, profile=profile, **given_to(scope))


@cache
def by_reference(scope: str) -> pa.Table:
    fitted = fitted_by(scope, "reference")
    return fitted.transform(rows(), backend="reference", **given_to(scope))


def assert_same(found: pa.Table, expected: pa.Table) -> None:
    assert found.schema == expected.schema
    for name in found.column_names:
        columns = found[name].combine_chunks(), expected[name].combine_chunks()
        assert first_difference(*columns) is None, name


BACKENDS = ["cpu", pytest.param("emulated", marks=pytest.mark.emulator)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scope", SCOPES)
def test_every_backend_has_the_bits_of_the_reference(scope: str, backend: str) -> None:
    fitted = fitted_by(scope, backend)
    assert artifact_bytes(fitted.record) == artifact_bytes(fitted_by(scope, "reference").record)
    found = fitted.transform(rows(), backend=backend, **given_to(scope))
    assert_same(found, by_reference(scope))


@pytest.mark.parametrize("scope", SCOPES)
def test_what_is_saved_and_loaded_gives_the_same_bits_by_every_path(
    scope: str, tmp_path: Path
) -> None:
    fitted_by(scope, "cpu").save(tmp_path / "saved.fastfeat")
    loaded = ff.load(tmp_path / "saved.fastfeat")
    assert_same(loaded.transform(rows(), **given_to(scope)), by_reference(scope))
    report = loaded.verify(rows(), **given_to(scope))
    assert report.ok, report
    assert not [check for check in report.checks if check.skipped and "table" in scope], report
