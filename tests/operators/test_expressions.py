"""The rows of the table of scalar functions that are written with Python's operators, and `when`.

Together with the registry of operators they cover the whole table.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col, lit
from fastfeat.aggregates import AGGREGATES
from fastfeat.ir.node import TRAINING, Aggregate, Call, Column, postorder
from fastfeat.ir.show import CALLS, COLUMNS, show
from fastfeat.scalars import SCALARS
from fastfeat.steps.registry import STEPS
from fastfeat_tests.operators.operator_tables import (
    as_stored,
    bits_of,
    chunked,
    ulps_apart,
    values_of,
)
from fastfeat_tests.operators.test_operators import examples, families, features_of

Definition = Callable[..., Any]

TYPES = {
    "x": pa.float64(),
    "y": pa.float64(),
    "h": pa.float32(),
    "i": pa.int64(),
    "j": pa.int32(),
    "wide": pa.int64(),
    "other": pa.int64(),
    "byte": pa.uint8(),
    "big": pa.uint64(),
    "p": pa.bool_(),
    "q": pa.bool_(),
    "s": pa.string(),
    "t": pa.string(),
}
_FLOATS = st.floats() | st.integers(-4, 4).map(float) | st.floats(-100, 100)
_WIDE = st.integers(-(2**62), 2**62 - 1) | st.integers(-4, 4)
_SMALL = st.integers(-(2**31), 2**31 - 1) | st.integers(-4, 4)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "x": _FLOATS,
    "y": _FLOATS,
    "h": st.floats(width=32) | st.integers(-4, 4).map(float),
    "i": _SMALL,
    "j": _SMALL,
    "wide": _WIDE,
    "other": _WIDE,
    "byte": st.integers(0, 255),
    "big": st.integers(0, 2**64 - 1) | st.integers(0, 4),
    "p": st.booleans(),
    "q": st.booleans(),
    "s": st.sampled_from(["a", "b", ""]),
    "t": st.sampled_from(["a", "b", ""]),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Return a table with a column of each of TYPES, a third of it missing, in two chunks."""
    n_rows = draw(st.integers(0, 10))
    columns = {
        name: draw(st.lists(values | st.none(), min_size=n_rows, max_size=n_rows))
        for name, values in VALUES.items()
    }
    return chunked(_table_of(columns), draw(st.integers(0, n_rows)), draw(st.integers(0, 3)))


def _table_of(columns: dict[str, list[Any]]) -> pa.Table:
    return pa.table(
        {name: pa.array(values, TYPES[name], from_pandas=False) for name, values in columns.items()}
    )


def _grid() -> pa.Table:
    """Return every pair of special floats and of special integers."""
    floats = [0.0, -0.0, 1.0, -1.0, 0.1, 2.5, -7.0, 1e300, 5e-324, math.inf, -math.inf, None]
    whole = [0, 1, -1, 7, -7, 2**31 - 1, -(2**31), None]
    huge = [0, 1, -1, 2**62 - 1, -(2**62), 2**53 + 1, 10, None]
    x, y = ([a for a in floats for _ in floats], floats * len(floats))
    n_rows = len(x)
    i, j = ([a for a in whole for _ in whole] * 3, whole * 30)
    wide, other = ([a for a in huge for _ in huge] * 3, huge * 30)
    three = [True, False, None]
    columns = {
        "x": x, "y": y, "h": y, "i": i, "j": j, "wide": wide, "other": other,
        "byte": [0, 255, None] * n_rows, "big": [2**64 - 1, 2**63, 0, 5, None] * n_rows,
        "p": [a for a in three for _ in three] * n_rows, "q": three * n_rows,
        "s": ["a", None, ""] * n_rows, "t": ["a", "b", "", None] * n_rows,
    }  # fmt: skip
    return _table_of({name: values[:n_rows] for name, values in columns.items()})


def _present(definition: Definition) -> Definition:
    """Return a definition that is missing where an argument is."""
    return lambda *args: None if any(a is None for a in args) else definition(*args)


def _is_float(*args: Any) -> bool:
    return any(isinstance(value, float) for value in args)


def _numbers(whole: Definition, real: Definition) -> Definition:
    """Return a definition for integers and bools, and another once a float is there."""

    def defined(*args: Any) -> Any:
        if _is_float(*args):
            return real(*(float(value) for value in args))
        return whole(*(int(value) for value in args))

    return _present(defined)


def _divide(x: float, y: float) -> float:
    if y != 0:
        return x / y
    return math.nan if x == 0 else math.copysign(math.inf, x) * math.copysign(1, y)


def _whole_quotient(x: int, y: int) -> float | None:
    return None if y == 0 else float(x) / float(y)


def _floor_quotient(x: float, y: float) -> float:
    return _divide(x, y) if y == 0 else x // y


def _modulo(x: float, y: float) -> float:
    return math.nan if y == 0 else x % y


def _power(x: float, y: float) -> float:
    try:
        return math.pow(x, y)
    except OverflowError:
        return -math.inf if x < 0 and y % 2 == 1 else math.inf
    except ValueError:
        return math.nan if x != 0 else _at_zero(x, y)


def _at_zero(x: float, y: float) -> float:
    return math.copysign(math.inf, x) if y % 2 == 1 else math.inf


def _kleene(decisive: bool) -> Definition:
    """Return `and` (decided by False) or `or` (decided by True) of three values."""

    def defined(p: bool | None, q: bool | None) -> bool | None:
        if decisive in (p, q):
            return decisive
        return None if p is None or q is None else not decisive

    return defined


def _when(condition: bool | None, yes: Any, no: Any) -> Any:
    return yes if condition else no


_ARITHMETIC: dict[str, tuple[Callable[..., Any], Definition]] = {
    "add": (operator.add, _numbers(operator.add, operator.add)),
    "sub": (operator.sub, _numbers(operator.sub, operator.sub)),
    "mul": (operator.mul, _numbers(operator.mul, operator.mul)),
    "div": (operator.truediv, _numbers(_whole_quotient, _divide)),
    "floordiv": (
        operator.floordiv,
        _numbers(lambda x, y: None if y == 0 else x // y, _floor_quotient),
    ),
    "mod": (operator.mod, _numbers(lambda x, y: None if y == 0 else x % y, _modulo)),
}
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_PAIRS = [("x", "y"), ("i", "j"), ("x", "i"), ("byte", "h"), ("p", "q"), ("p", "j"), ("j", "p")]
_WIDE_PAIRS = [("wide", "other"), ("wide", "x"), ("x", "wide")]


@cache
def expressions() -> dict[str, tuple[ff.Expr, Definition, tuple[str, ...], int]]:
    """Return by name: expression, definition, the columns it is given, and the ulp allowed."""
    found: dict[str, tuple[ff.Expr, Definition, tuple[str, ...], int]] = {}

    def put(name: str, build: Any, definition: Definition, *names: str, ulp: int = 0) -> None:
        found[f"{name} {' '.join(names)}"] = (build(*map(col, names)), definition, names, ulp)

    for name, (build, definition) in _ARITHMETIC.items():
        wide = [] if name == "mul" else _WIDE_PAIRS
        for pair in [*_PAIRS, *wide]:
            put(name, build, definition, *pair)
    for name in _COMPARISONS:
        build = getattr(operator, name)
        for pair in [*_PAIRS, *_WIDE_PAIRS, ("big", "wide"), ("wide", "big"), ("big", "big")]:
            put(name, build, _numbers(build, build), *pair)
    for name in ("eq", "ne"):
        put(name, getattr(operator, name), _present(getattr(operator, name)), "s", "t")
        put(f"{name} a", lambda s, n=name: getattr(operator, n)(s, "a"),
            _present(lambda s, n=name: getattr(operator, n)(s, "a")), "s")  # fmt: skip
    put("and", operator.and_, _kleene(False), "p", "q")
    put("or", operator.or_, _kleene(True), "p", "q")
    put("xor", operator.xor, _present(operator.xor), "p", "q")
    put("not", operator.invert, _present(operator.not_), "p")
    put("and missing", lambda p: p & None, lambda p: _kleene(False)(p, None), "p")
    put("or missing", lambda p: p | ff.lit(None), lambda p: _kleene(True)(p, None), "p")
    for name in ("and_", "or_", "xor"):
        build = getattr(operator, name)
        for pair in [("wide", "other"), ("i", "byte"), ("p", "j")]:
            put(name, build, _present(build), *pair)
    put("invert", operator.invert, _present(operator.invert), "wide")
    put("neg", operator.neg, _present(operator.neg), "wide")
    put("neg", operator.neg, _present(operator.neg), "x")
    put("neg", operator.neg, _present(operator.neg), "p")
    put("pow", operator.pow, _present(_power), "x", "y", ulp=2)
    put("pow", operator.pow, _present(lambda x, y: _power(float(x), y)), "j", "y", ulp=2)
    put("square", lambda x: x**2, _present(lambda x: x * x), "x")
    put("cube", lambda x: x**3.0, _present(lambda x: _power(x, 3.0)), "x", ulp=2)
    put("whole power", lambda x, y: (x % 7) ** (y % 20),
        _present(lambda x, y: (x % 7) ** (y % 20)), "j", "i")  # fmt: skip
    for yes, no in [("x", "i"), ("i", "j"), ("q", "p"), ("h", "h")]:
        put("when", lambda c, a, b: ff.when(c).then(a).otherwise(b), _when, "p", yes, no)
    put("when missing", lambda c, a: ff.when(c).then(a).otherwise(None),
        lambda c, a: _when(c, a, None), "p", "i")  # fmt: skip
    put("when chain", lambda p, q, i: ff.when(p).then(1).when(q).then(i).otherwise(2.5),
        lambda p, q, i: 1 if p else i if q else 2.5, "p", "q", "i")  # fmt: skip
    return found


@cache
def _plan() -> ff.Plan:
    return ff.Plan({name: expression for name, (expression, *_) in expressions().items()})


@examples
@given(rows=tables())
@example(rows=_grid())
@example(rows=_grid().slice(0, 0))
def test_expressions_agree(rows: Any) -> None:
    fitted = _plan().fit(_grid())
    on_cpu = fitted.transform(rows, backend="cpu")
    by_reference = fitted.transform(rows, backend="reference")
    for name, (_, definition, names, ulp) in expressions().items():
        column = on_cpu[name]
        assert bits_of(column) == bits_of(by_reference[name]), name
        args = list(zip(*(values_of(rows[given]) for given in names), strict=True))
        stored = as_stored([definition(*row) for row in args], column.type)
        for row, one, other in zip(args, column.to_pylist(), stored, strict=True):
            assert _close(one, other, column.type, ulp), f"{name} of {row}: {one}, not {other}"


def _close(result: Any, expected: Any, kind: Any, ulp: int) -> bool:
    if result is None or expected is None or not isinstance(result, float):
        return result == expected
    return ulps_apart(result, expected, single=pa.types.is_float32(kind), size=0.0) <= ulp


def test_the_whole_table_of_scalar_functions_is_covered() -> None:
    roots = [expression.node for expression, *_ in expressions().values()]
    for family in [*families(learnt=False), *families(learnt=True)]:
        roots += [
            node for feature in features_of(family).values() for node in feature.expression.nodes
        ]
    called = {node.function for node in postorder(roots) if isinstance(node, Call)}
    dates = {name for name in SCALARS if name.startswith("dt.")}  # tested with calendars
    of_encoders = {"cross", "is_code"}  # a key of theirs; a column that is made after fit
    assert set(SCALARS) - called == dates | of_encoders


def test_impute_takes_an_expression() -> None:
    train = {"x": [1.0, 2.0, 6.0, None], "y": [7.0, 8.0, 9.0, 10.0]}
    plan = ff.Plan(
        {
            "learnt": col("x").impute(col("x").quantile(0.0)),
            "other": col("x").impute(col("y")),
            "literal": col("x").impute(lit(3)),
        }
    )
    for backend in ("cpu", "reference"):
        row = plan.fit(train).transform(train, backend=backend).to_pylist()[3]
        assert row == {"learnt": 1.0, "other": 10.0, "literal": 3.0}


X, Y = col("x"), col("y")
SHOWN = {
    "(-col('x'))": -X,
    "(~(col('x') > 0))": ~(X > 0),
    "((-2) ** col('x'))": (-2) ** X,
    "ff.when(col('x') > 0).then(-col('y')).otherwise(1)": ff.when(X > 0).then(-Y).otherwise(1),
    "(col('x') + 1).clip(col('y') * 2, None)": (X + 1).clip(Y * 2),
    "ff.coalesce(col('x'), col('y'), 0)": ff.coalesce(X, Y, 0),
    "ff.max_horizontal(1000, col('x'))": ff.max_horizontal(1000, X),
    "lit(-1).abs()": ff.lit(-1).abs(),
    "col('x').cut([-1, 2.5])": X.cut([-1, 2.5]),
    "col('x').qcut(2)": X.qcut(2),
    "col('s').replace_strict(default=0, mapping={'a': 1})": col("s").replace_strict(
        {"a": 1}, default=0
    ),
}


@pytest.mark.parametrize("text", SHOWN)
def test_an_expression_reads_as_it_is_written(text: str) -> None:
    assert repr(SHOWN[text]) == text


@pytest.mark.parametrize(
    "make",
    [
        lambda listed: X.is_in(listed),
        lambda listed: X.ordinal_encode(vocabulary=listed),
        lambda listed: X.target_encode("y", classes=listed),
        lambda listed: X.mean(by=listed),
        lambda listed: ff.coalesce(listed),
    ],
)
def test_the_order_of_a_set_is_that_of_its_values(make: Any) -> None:
    """A set of texts has another order in each process: plans would differ."""
    names = [f"name {k}" for k in range(10, 40)]
    assert make(set(names)).nodes == make(frozenset(names)).nodes == make(names).nodes


def test_a_scaler_of_what_is_in_parentheses_keeps_them_as_an_argument() -> None:
    scaled = (X + 1).standard_scale()
    assert repr(ff.coalesce(scaled, X)) == "ff.coalesce((col('x') + 1).standard_scale(), col('x'))"
    assert repr(ff.coalesce(X + 1, X)) == "ff.coalesce(col('x') + 1, col('x'))"


def test_a_call_of_no_operator_is_shown_with_all_that_it_holds() -> None:
    codes = Call("encode", (Column("x"), Column("y")), (("missing", "key"), ("n_unseen", 1)))
    assert show(codes) == "encode(col('x'), col('y'), missing='key', n_unseen=1)"
    window = Call("window", (Column("t"),), (("closed", "left"), ("last", 7)))
    assert show(window) == "col('t').window(closed='left', last=7)"


def test_operators_tell_how_they_are_written_by_functions_that_there_are() -> None:
    assert {*CALLS, *COLUMNS} <= {*SCALARS, *STEPS, *AGGREGATES}


def test_what_is_shown_as_a_method_is_one() -> None:
    dt = {f"dt.{name}" for name in dir(X.dt) if not name.startswith("_")}
    methods = {name for name in dir(ff.Expr) if not name.startswith("_")} | dt
    columns = Column("x"), Column("y"), Column("z")
    for name in SCALARS:  # signs and when() take a certain number of arguments
        texts = [show(Call(name, columns[:n], ())) for n in (1, 2, 3)]
        assert any(_exists(text, methods) for text in texts), texts
    for name in [name for name in AGGREGATES if not name.startswith("target_")]:  # encoders
        text = show(Aggregate(name, columns[:1], (), TRAINING))
        assert _exists(text, methods), text


def _exists(text: str, methods: set[str]) -> bool:
    method = re.match(r"col\('x'\)\.([a-z_0-9.]+)\(", text)
    public = re.match(r"ff\.([a-z_]+)\(", text)
    return (method is None or method[1] in methods) and (public is None or hasattr(ff, public[1]))
