"""What users of NumPy and pandas write of an expression: the same, or an error that helps."""

from __future__ import annotations

import math
import operator
import re
import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import fastfeat as ff
from fastfeat import col, lit
from fastfeat.errors import TypeMismatch
from fastfeat.operators import aggregates, hints
from fastfeat.operators.other_libraries import UFUNCS

X: Any = col("x")
VALUES = np.array([0.25, 0.5, 2.0, -1.5, np.nan, np.inf])
BINARY = {
    *("add", "subtract", "multiply", "divide", "floor_divide", "remainder", "power"),
    *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "fmax", "fmin"),
}
LOGIC = {"invert", "bitwise_and", "bitwise_or", "bitwise_xor"}


@pytest.mark.parametrize("name", sorted(set(UFUNCS) - LOGIC))
def test_a_ufunc_of_an_expression_is_that_of_its_values(name: str) -> None:
    ufunc: Any = getattr(np, name)
    args = (0.75,) if name in BINARY else ()
    feature = ufunc(X, *args)
    assert isinstance(feature, ff.Expr)
    found = ff.Plan({"y": feature}).fit({"x": VALUES}).transform({"x": VALUES}, to="numpy")[:, 0]
    with np.errstate(all="ignore"):
        expected = ufunc(VALUES, *args).astype(float)
    known = ~np.isnan(found) & ~np.isnan(VALUES)
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-15)
    assert np.isnan(expected[~np.isnan(VALUES)]).sum() <= np.isnan(found).sum()
    assert known.any()


@pytest.mark.parametrize("name", sorted(LOGIC))
def test_a_ufunc_of_logic_is_the_operator(name: str) -> None:
    ufunc: Any = getattr(np, name)
    p, q = X > 0, X > 1
    feature = ufunc(p) if name == "invert" else ufunc(p, q)
    found = ff.Plan({"y": feature}).fit({"x": VALUES}).transform({"x": [0.5]}, to="numpy")
    assert found[0, 0] == {"invert": 0, "bitwise_and": 0}.get(name, 1)


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        (np.float64(2.5), 2.5),
        (np.int64(3), 3),
        (np.array(3), 3),
        (np.bool_(True), True),
        (Decimal("2.5"), 2.5),
    ],
)
def test_a_scalar_on_either_side_is_a_literal(scalar: Any, value: object) -> None:
    assert repr(X * scalar) == f"(col('x') * {value!r})"
    assert repr(scalar - X) == f"({value!r} - col('x'))"
    assert repr(scalar < X) in (f"({value!r} < col('x'))", f"(col('x') > {value!r})")
    assert repr(lit(scalar)) == repr(value)


TIMES = [
    (np.datetime64("2024-01-02"), "datetime.date(2024, 1, 2)"),
    (np.datetime64("2024-01-02", "ns"), "datetime.datetime(2024, 1, 2, 0, 0)"),
    (np.timedelta64(1_000, "ns"), "datetime.timedelta(microseconds=1)"),
    (pd.Timestamp("2024-01-02"), "datetime.datetime(2024, 1, 2, 0, 0)"),
    (pd.Timedelta("1s"), "datetime.timedelta(seconds=1)"),
    (pd.NaT, "None"),
    (pd.NA, "None"),
    (np.datetime64("NaT", "s"), "None"),
]


@pytest.mark.parametrize(("scalar", "text"), TIMES)
def test_a_time_of_another_library_is_one_of_python(scalar: Any, text: str) -> None:
    assert repr(lit(scalar)) == text
    zoned: Any = pd.Timestamp("2024-01-02", tz="Europe/Berlin")
    assert type(lit(zoned).node.value).__module__ == "datetime"  # pyright: ignore


def duration_without_unit() -> Any:
    """Return what NumPy 2.5 warns of when it is made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.timedelta64(1)


@pytest.mark.parametrize(
    "time",
    [
        np.datetime64(1, "ns"),
        np.timedelta64(1, "ns"),
        np.timedelta64(1, "Y"),
        duration_without_unit(),
        pd.Timestamp(1),
        pd.Timestamp(1, tz="UTC"),
        pd.Timedelta(1),
    ],
)
def test_a_time_that_python_does_not_have_is_refused(time: Any) -> None:
    """As an integer, which NumPy gives, it would be another value."""
    with pytest.raises(TypeMismatch, match="these have whole microseconds"):
        lit(time)


COLUMNS = {
    "array": np.array([1.0, 2.0]),
    "array of one": np.array([1.0]),
    "integers": np.array([1, 2]),
    "objects": np.array(["a", None], object),
    "pandas": pd.Series([1, 2]),
    "polars": pl.Series([1, 2]),
    "list": [1, 2],
}
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "mul": lambda x, y: x * y,
    "lt": lambda x, y: x < y,
    "eq": lambda x, y: x == y,
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", COLUMNS)
def test_values_beside_an_expression_are_refused(kind: str, operation: str) -> None:
    apply, values = OPERATIONS[operation], COLUMNS[kind]
    with pytest.raises(TypeError):
        apply(X, values)
    with pytest.raises(TypeError):
        apply(values, X)


@pytest.mark.parametrize(
    ("use", "hint"),
    [
        (lambda: np.median(X), "Write col('x').median(), which is learnt in fit"),
        (lambda: np.nanmean(X), "Write col('x').mean()"),
        (lambda: np.quantile(X, 0.5), "Write col('x').quantile(q)"),
        (lambda: np.std(X), "Write col('x').std(ddof=0)"),
        (lambda: np.max(X), "Write col('x').max()"),
        (lambda: np.sum(X), "Write col('x').sum()"),
        (lambda: np.nan_to_num(X), "Write col('x').fill_null(0)"),
        (lambda: np.round(X, 2), "Write col('x').round(...)"),
        (lambda: np.clip(X, 0, 1), "Write col('x').clip(...)"),
        (lambda: np.where(X > 0, 1, 0), "Write fastfeat.when("),
        (lambda: np.isnan(X), "Write col('x').is_null()"),
        (lambda: np.maximum(X, 0), "Write fastfeat.max_horizontal("),
        (lambda: np.logical_and(X > 0, X < 1), "Write x & y"),
        (lambda: np.arctan2(X, 1), "Expressions have methods instead"),
        (lambda: np.add(X, 1, out=np.zeros(1)), "np.add of an expression does not support out"),
        (lambda: np.add.reduce(X), "np.add of an expression does not support reduce"),
        (lambda: np.asarray(X), "has no values, so it cannot become an array"),
        (lambda: np.array([X, X]), "has no values, so it cannot become an array"),
    ],
)
def test_a_function_of_arrays_says_what_to_write(use: Callable[[], Any], hint: str) -> None:
    with pytest.raises(TypeMismatch) as caught:
        use()
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("use", "hint"),
    [
        (lambda: X.fillna(0), "an expression has no 'fillna'. Write .fill_null(...)"),
        (lambda: X.astype("float"), "Write .cast(...)"),
        (lambda: X.isna(), "Write .is_null()"),
        (lambda: X.mena(), "Did you mean 'mean'?"),
        (lambda: X.standart_scale(), "Did you mean 'standard_scale'?"),
        (lambda: X.zzzz(), "an expression has no 'zzzz'."),
        (lambda: X.square(), "Write x ** 2"),
        (lambda: X.mod(2), "Write x % y"),
        (lambda: X.add(1), "Write x + y"),
        (lambda: X.and_(True), "Write x & y"),
        (lambda: X.cumsum(), "Write .sum(over=fastfeat.window(...))"),
        (lambda: X.rolling_mean(3), "Write .mean(over=fastfeat.window(...))"),
        (lambda: X.ffill(), "earlier rows through a window"),
        (lambda: X.rolling_rank(3), "Write .rank(over=fastfeat.window(...), method=...)"),
        (lambda: X.ewm(alpha=0.5), "Write .ewm_mean(alpha=..., over=fastfeat.window(...))"),
        (lambda: X.percent_rank(), "Write .rank(over=fastfeat.window(...), pct=True)"),
        (lambda: X.over("k"), "x.mean(by='key')"),
        (lambda: X.mad(), "This version does not have this statistic"),
        (lambda: X.kurt(), "Write .kurtosis(bias=False)"),
        (lambda: X.nunique(), "Write .n_unique()"),
        (lambda: X.encode(), "Write .ordinal_encode()"),
        (lambda: X.leave_one_out("y"), "Write .target_encode(target), which encodes "),
        (lambda: X.hash_encode(8), "Write .hash(n_buckets)"),
        (lambda: ff.max("x", "y"), "Write fastfeat.max_horizontal(x, y) across columns"),
        (lambda: ff.concat_str("x", "y"), "fastfeat.cross(x, y)"),
        (lambda: ff.all(), "fastfeat.columns(data, 'numeric')"),
        (lambda: X.cat, "Write .ordinal_encode()"),
        (lambda: X.len_chars(), "Write .str.len_chars()"),
        (lambda: X.lower(), "Write .str.to_lowercase()"),
        (lambda: X.struct, "does not read structs or lists of lists"),
        (lambda: X.str.lower(), ".str has no 'lower'. Write .str.to_lowercase()"),
        (lambda: X.str.head(2), "Write .str.slice(0, n)"),
        (lambda: X.str.split(","), "A feature cannot be a list"),
        (lambda: X.str.len(), "Choose characters or bytes: .str.len_chars()"),
        (lambda: X.str.zzz(), "There are: contains,"),
        (lambda: X.apply(len), "A plan cannot run a Python function"),
        (lambda: X.nanmean(), "Write .mean()"),
        (lambda: X.hour(), "Write .dt.hour()"),
        (lambda: X.minute, "Write .dt.minute()"),
        (lambda: X.dayofweek, "Write .dt.weekday()"),
        (lambda: X.coalesce(0), "Write fastfeat.coalesce(...)"),
        (lambda: X.dt.dayofweek, ".dt has no 'dayofweek'. Write .dt.weekday(), Monday 1"),
        (lambda: X.dt.dayofyear, "Write .dt.ordinal_day()"),
        (lambda: X.dt.isocalendar(), "Write .dt.week()"),
        (lambda: X.dt.floor("h"), "Write .dt.truncate('1h')"),
        (lambda: X.dt.normalize(), "Write .dt.truncate('1d')"),
        (lambda: X.dt.tz_convert("UTC"), "Pass the zone to the method: .dt.hour(tz="),
        (lambda: X.dt.tz_localize("UTC"), "Write .dt.replace_time_zone('Europe/Berlin')"),
        (lambda: X.dt.strftime("%Y"), "A date or time cannot become text"),
        (lambda: X.dt.huor(), "Did you mean 'hour'?"),
        (lambda: X.dt.zzz(), "There are: date, day,"),
    ],
)
def test_an_unknown_method_proposes_one(use: Callable[[], Any], hint: str) -> None:
    with pytest.raises(AttributeError) as caught:
        use()
    assert hint in str(caught.value)


@pytest.mark.parametrize("name", ["node_", "nodes_", "names", "suffix_es", "mod3", "sq", "strr"])
def test_what_is_no_method_is_not_proposed(name: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(X, name)
    assert not set(str(caught.value).split("'")) & {"node", "nodes", "name", "suffixes", "fill_nan"}
    assert "sqrt" not in str(caught.value)


def test_what_is_proposed_exists() -> None:
    tables = hints.read_hints()
    for proposed in [
        text for place in ("expression", "dt", "str") for text in tables[place].values()
    ]:
        if not proposed.startswith(("fastfeat.", "Plan(")):
            assert all(hasattr(ff, name) for name in re.findall(r"fastfeat\.(\w+)", proposed))
            of_x = re.sub(r"fastfeat\.\w+", "", proposed)
            for path in re.findall(r"((?:\.[a-z_]\w*)+)\(", of_x):
                assert callable(operator.attrgetter(path[1:])(X)), proposed
    known = {name for name in dir(ff.Expr) if not name.startswith("_")}
    shadowed = (set(tables["expression"]) | set(tables["none expression"])) & known - {"name"}
    assert not shadowed


def test_functions_of_fastfeat_are_proposed() -> None:
    functions = {name: getattr(ff, name) for name in ff.__all__ if not hasattr(ff.Expr, name)}
    for name, function in functions.items():
        of_operators = getattr(function, "__module__", "").startswith("fastfeat.operators.")
        if of_operators and function.__annotations__["return"] == "Expr":
            with pytest.raises(AttributeError, match=rf"Write fastfeat\.{name}\(\.\.\.\)"):
                getattr(X, name)


def test_a_missing_statistic_is_told_all_that_there_are() -> None:
    with pytest.raises(AttributeError, match="fit learns") as told:
        X.entropy()
    words = set(re.findall(r"\w+", str(told.value).partition("fit learns")[2]))
    assert words - {"and"} == set(aggregates.OPERATORS)


def test_functions_of_python_are_methods() -> None:
    assert repr(round(X, 2)) == repr(X.round(2))
    assert repr(round(X)) == repr(X.round())
    assert repr(math.floor(X)) == repr(X.floor())
    assert repr(math.ceil(X)) == repr(X.ceil())
    assert repr(abs(X)) == repr(X.abs())
    assert not hasattr(X, "__iter__")
