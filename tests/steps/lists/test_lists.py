"""Columns of lists: what `.list` computes, beside Polars; and every form of Arrow."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import (
    InvalidData,
    Overflow,
)

X: Any = col("x").list
DAYS = [datetime.date(2020, 1, 1), datetime.date(1969, 12, 31), datetime.date(2021, 3, 4)]
BACKENDS = ("cpu", "reference")


def computed(
    expression: ff.Expr, lists: Any, kind: Any = None, backend: str = "cpu", **columns: Any
) -> Any:
    """Return one feature of a column of lists, a list of Python values."""
    column = lists if kind is None else pa.array(lists, kind)
    data = pa.table({"x": column, **columns})
    fitted = ff.Plan({"f": expression}).fit(data, backend=backend)
    return fitted.transform(data, backend=backend)["f"].to_pylist()


ELEMENTS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "float64": (pa.float64(), st.integers(-8, 8).map(lambda n: n / 4)),
    "float32": (pa.float32(), st.integers(-8, 8).map(lambda n: n / 4)),
    "int64": (pa.int64(), st.integers(-9, 9)),
    "uint8": (pa.uint8(), st.integers(0, 9)),
    "date": (pa.date32(), st.sampled_from(DAYS)),
    "time": (
        pa.timestamp("ms", "UTC"),
        st.integers(-2, 2).map(lambda s: datetime.datetime.fromtimestamp(s, datetime.UTC)),
    ),
    "text": (pa.string(), st.sampled_from(["a", "é", "", "zz"])),
    "bool": (pa.bool_(), st.booleans()),
}
NUMBERS = ("float64", "float32", "int64", "uint8")


@given(
    kind=st.sampled_from(list(ELEMENTS)),
    data=st.data(),
    index=st.integers(-4, 4),
    length=st.none() | st.integers(0, 4),
)
def test_functions_of_lists_are_those_of_polars(
    kind: str, data: st.DataObject, index: int, length: int | None
) -> None:
    arrow, values = ELEMENTS[kind]
    lists = data.draw(st.lists(st.none() | st.lists(st.none() | values, max_size=5), max_size=6))
    column = pa.array(lists, pa.large_list(arrow))
    functions: dict[str, tuple[Any, Any]] = {
        "len": (X.len(), pl.col("x").list.len()),
        "slice": (
            X.slice(index, length).list.len(),
            pl.col("x").list.slice(index, length).list.len(),
        ),
    }
    if kind in NUMBERS:
        for name in ("sum", "mean", "min", "max"):
            functions[name] = getattr(X, name)(), getattr(pl.col("x").list, name)()
        functions["std"] = X.std(ddof=0), pl.col("x").list.std(ddof=0)
    element = (lambda e: e) if kind != "text" else (lambda e: e == "a")
    functions["get"] = element(X.get(index)), element(pl.col("x").list.get(index, null_on_oob=True))
    functions["first"] = element(X.first()), element(pl.col("x").list.first())
    functions["last"] = element(X.last()), element(pl.col("x").list.last())
    of_slice = col("x").list.slice(index, length).list.first()
    functions["sliced"] = (
        element(of_slice),
        element(pl.col("x").list.slice(index, length).list.first()),
    )
    plan = ff.Plan({name: ours for name, (ours, _) in functions.items()})
    table = pa.table({"x": column})
    frame: Any = pl.from_arrow(table)
    expected = frame.select(**{name: theirs for name, (_, theirs) in functions.items()})
    fitted = plan.fit(table)
    for backend in BACKENDS:
        features = fitted.transform(table, backend=backend)
        for name in functions:
            _check_equal(features[name].to_pylist(), expected[name].to_list(), name)
    found = fitted.transform(table)
    for k, one in enumerate(table.to_pylist()):
        numbers = [n for n in found.column_names if not pa.types.is_temporal(found[n].type)]
        row = fitted.select(numbers).transform_row(one).tolist()
        got = [None if value != value else value for value in row]
        assert got == [found[name][k].as_py() for name in numbers]


def _check_equal(found: Sequence[Any], expected: Sequence[Any], name: str) -> None:
    """Compare, floats to the digits of float32, in which Polars computes those of float32."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        if isinstance(one, float) and other is not None:
            assert math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-6), name
        else:
            assert one == other, name


@pytest.mark.parametrize("backend", BACKENDS)
def test_sums_are_exact_and_means_rounded_once(backend: str) -> None:
    lists = [[1e300, 1.0, -1e300], [0.1] * 10, [1e308, 1e308, -1e308], [-0.0], [math.inf, 1.0]]
    lists += [[math.inf, -math.inf], [2.0**53, 1.0, 1.0], [math.nan, 2.0]]
    kind = pa.list_(pa.float64())
    exact = [float(sum(map(Fraction, x))) for x in (*lists[:4], lists[6])]
    sums = computed(X.sum(), lists, kind, backend)
    assert [*sums[:4], sums[6]] == exact
    assert sums[4:6] == [math.inf, None]
    assert sums[7] == 2.0
    means = computed(X.mean(), lists, kind, backend)
    assert [*means[:4], means[6]] == [
        total / len(x) for total, x in zip(exact, (*lists[:4], lists[6]), strict=True)
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_sums_of_integers_are_judged_on_the_result(backend: str) -> None:
    largest, kind = 2**63 - 1, pa.list_(pa.int64())
    assert computed(X.sum(), [[largest, 1, -2], [-largest, -1]], kind, backend) == [
        largest - 1,
        -largest - 1,
    ]
    for lists in ([[1], None, [largest, 1]], [[1], [], [-largest, -2]]):
        with pytest.raises(Overflow, match=r"list\.sum\(\), row 2: .* does not fit into int64"):
            computed(X.sum(), lists, kind, backend)
    assert computed(X.sum(), [[2**62, 2**62 - 1]], pa.list_(pa.uint64()), backend) == [largest]
    with pytest.raises(Overflow, match="row 0"):
        computed(X.sum(), [[2**63, 1]], pa.list_(pa.uint64()), backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_missing_and_missing_inside(backend: str) -> None:
    lists: list[Any] = [[], None, [None], [math.nan, 2.0], [3.0, None]]
    kind = pa.list_(pa.float64())

    def found(expression: ff.Expr) -> list[Any]:
        return computed(expression, lists, kind, backend)

    assert found(X.len()) == [0, None, 1, 2, 2]
    assert found(X.sum()) == [0, None, 0, 2, 3]
    assert found(X.mean()) == [None, None, None, 2, 3]
    assert found(X.min()) == found(X.max()) == [None, None, None, 2, 3]
    assert found(X.first()) == [None, None, None, None, 3]
    assert found(X.last()) == [None, None, None, 2, None]
    assert found(X.contains(3)) == [False, None, False, False, True]
    assert found(X.var()) == [None] * 5
    assert found(X.std(ddof=0)) == [None, None, None, 0, 0]


def test_least_and_greatest_have_the_total_order_and_the_type() -> None:
    floats = pa.array([[0.0, -0.0], [-0.0]], pa.list_(pa.float32()))
    table = pa.table({"x": floats})
    found = ff.Plan({"low": X.min(), "high": X.max()}).fit(table).transform(table)
    assert found["low"].type == pa.float32()
    signs = [math.copysign(1, value) for value in found["low"].to_pylist()]
    assert signs == [-1, -1]
    assert [math.copysign(1, value) for value in found["high"].to_pylist()] == [1, -1]
    assert computed(X.min(), [[True, False], [True]], pa.list_(pa.bool_())) == [False, True]
    assert computed(X.max(), [[2**64 - 1, 5]], pa.list_(pa.uint64())) == [2**64 - 1]
    days = pa.list_(pa.date32())
    assert computed(X.max(), [DAYS, []], days) == [DAYS[2], None]
    seconds = [datetime.timedelta(seconds=s) for s in (1, 2)]
    assert computed(X.mean(), [seconds], pa.list_(pa.duration("ms"))) == [
        datetime.timedelta(seconds=1.5)
    ]


FORMS: dict[str, Callable[[list[Any]], Any]] = {
    "list": lambda lists: pa.array(lists, pa.list_(pa.int16())),
    "large_list": lambda lists: pa.array(lists, pa.large_list(pa.int16())),
    "sliced": lambda lists: pa.array([[9] * 3, None, *lists, [8]], pa.list_(pa.int16())).slice(
        2, 4
    ),
    "chunks": lambda lists: pa.chunked_array(
        [
            pa.array([[7], *lists[:1]], pa.list_(pa.int16())).slice(1),
            pa.array([], pa.list_(pa.int16())),
            pa.array(lists[1:], pa.list_(pa.int16())),
        ]
    ),
    "offset elements": lambda lists: pa.ListArray.from_arrays(
        pa.array([1, None, 3, 5, 5], pa.int32()),
        pa.array([9, 1, 2, 3, None, 9], pa.int16()).slice(0),
    ),
    "dictionary": lambda lists: pa.array(lists, pa.list_(pa.int16())).cast(
        pa.large_list(pa.int16())
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_lists_is_read(form: str) -> None:
    lists: list[Any] = [[1, 2], None, [3, None], []]
    column = FORMS[form](lists)
    assert computed(X.sum(), column) == [3, None, 3, 0]
    assert computed(X.len(), column) == [2, None, 2, 0]
    assert computed(X.last(), column) == [2, None, None, None]
    table = pa.table({"x": column})
    plan = ff.Plan({"pad": X.pad(3, value=-1), "code": X.ordinal_encode(width=2)})
    report = plan.fit(table).verify(table)
    assert report.ok, str(report)


def test_lists_of_one_length_are_read() -> None:
    kind = pa.list_(pa.int32(), 2)
    column = pa.array([[8, 8], [1, 2], None, [3, None], [4, 5]], kind).slice(1, 3)
    assert computed(X.sum(), column) == [3, None, 3]
    assert computed(X.len(), column) == [2, None, 2]
    assert computed(X.get(1), column) == [2, None, None]
    assert computed(X.sum(), pa.chunked_array([column, column.slice(1)])) == [3, None, 3, None, 3]


def test_elements_under_missing_lists_are_not_read() -> None:
    validity = pa.py_buffer(bytes([0b101]))
    offsets = pa.py_buffer(np.array([0, 1, 3, 4], np.int32))
    values = pa.array([1, 100, 100, 2], pa.int64())
    column = pa.Array.from_buffers(pa.list_(pa.int64()), 3, [validity, offsets], children=[values])
    assert computed(X.sum(), column) == [1, None, 2]
    codes = ff.Plan({"c": X.ordinal_encode(width=1)}).fit({"x": column})
    assert codes.transform({"x": pa.array([[100], [1]])})["c_0"].to_pylist() == [1, 2]


@pytest.mark.parametrize(
    "data",
    [
        {"x": [[1, 2], None, []]},
        {"x": [np.array([1, 2]), None, np.array([], int)]},
        pd.DataFrame({"x": [[1, 2], None, []]}),
        pl.DataFrame({"x": [[1, 2], None, []]}),
        {"x": pa.array([["1.0"], ["2"]]).cast(pa.list_(pa.string())).slice(0, 0)},
    ],
    ids=["lists", "arrays", "pandas", "polars", "no rows"],
)
def test_lists_come_from_any_library(data: Any) -> None:
    fitted = ff.Plan({"f": X.sum()}).fit({"x": pa.array([[1.0]])})
    expected = [3, None, 0] if len(data["x"]) else []
    if expected:
        assert fitted.transform(data)["f"].to_pylist() == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_contains_compares_exactly(backend: str) -> None:
    integers = [[2**53 + 1], [2**53], [], None]
    assert computed(X.contains(2.0**53), integers, pa.list_(pa.int64()), backend) == [
        False,
        True,
        False,
        None,
    ]
    assert computed(X.contains(1), [[1.0], [1.5]], pa.list_(pa.float32()), backend) == [True, False]
    texts: list[Any] = [["a", None], ["b"], None]
    assert computed(X.contains("a"), texts, pa.list_(pa.string()), backend) == [True, False, None]
    days = pa.list_(pa.date32())
    assert computed(X.contains(DAYS[0]), [DAYS, []], days, backend) == [True, False]
    times = pa.list_(pa.timestamp("ns"))
    noon = datetime.datetime(2020, 1, 1, 12)
    assert computed(X.contains(noon), [[noon], [None]], times, backend) == [True, False]


@pytest.mark.parametrize("backend", BACKENDS)
def test_contains_takes_the_value_of_each_row(backend: str) -> None:
    texts = [["a", "b"], ["a"], [], None, ["a"]]
    item = pa.array(["b", "b", "b", "b", None])
    found = computed(X.contains(col("i")), texts, pa.list_(pa.string()), backend, i=item)
    assert found == [True, False, False, None, None]
    numbers = pa.array([1.5, 2.0, float("nan"), 1.0, 300.0])
    lists = [[1], [2], [1], None, [44]]
    found = computed(X.contains(col("i")), lists, pa.list_(pa.int8()), backend, i=numbers)
    assert found == [False, True, None, None, False]
    found = computed(X.contains(col("i") + 1), lists, pa.list_(pa.int8()), backend, i=numbers)
    assert found == [False, False, None, None, False]


def test_pad_gives_columns() -> None:
    table = pa.table({"x": pa.array([[1, 2, 3], [4], [], None, [None, 5]], pa.list_(pa.int8()))})
    plan = ff.Plan({"a": X.pad(2), "b": X.pad(2, value=0)})
    found = plan.fit(table).transform(table)
    assert found.to_pydict() == {
        "a_0": [1, 4, None, None, None],
        "a_1": [2, None, None, None, 5],
        "b_0": [1, 4, 0, None, None],
        "b_1": [2, 0, 0, None, 5],
    }
    assert found["a_0"].type == pa.int8()


def test_features_of_lists_are_features_as_any() -> None:
    table = pa.table({"x": pa.array([[1.0, 2.0], [3.0], None, [4.0]]), "k": ["a", "a", "b", None]})
    plan = ff.Plan(
        {
            "scaled": X.mean().standard_scale(),
            "by": X.sum().mean(by="k"),
            "key": col("x").list.len().ordinal_encode(),
            "year": X.len() + 1,
        }
    )
    fitted = plan.fit(table)
    assert fitted.transform(table)["by"].to_pylist() == [3.0, 3.0, None, None]
    assert fitted.verify(table).ok


@pytest.mark.emulator
def test_lists_have_the_same_bits_on_every_path(tmp_path: Path) -> None:
    table = pa.table(
        {
            "x": pa.array([[0.1, None], [], None, [1e300, -1e300, 1.0]] * 3),
            "t": pa.array([["a"], None, [], ["b", "a"]] * 3),
            "d": pa.array([DAYS, None, [], [None]] * 3, pa.list_(pa.date32())),
        }
    )
    plan = ff.Plan(
        {
            "sum": X.sum(),
            "std": X.std(),
            "codes": col("t").list.ordinal_encode(width=2),
            "hashed": col("t").list.hash_encode(width=2, n_buckets=9),
            "hot": col("t").list.multi_hot_encode(missing="column"),
            "days": col("d").list.multi_hot_encode(),
            "has": col("t").list.contains("a"),
            "day": col("d").list.max().dt.ordinal_day(),
            "pad": X.pad(2, value=0.5),
        }
    )
    fitted = plan.fit(table)
    report = fitted.verify(table, backends=("cpu", "reference", "emulated"))
    assert report.ok, str(report)
    fitted.save(tmp_path / "plan.fastfeat")
    loaded = ff.load(tmp_path / "plan.fastfeat")
    assert loaded.inputs == fitted.inputs
    assert loaded.transform(table).equals(fitted.transform(table))
    assert ff.Plan.from_json(plan.to_json()).to_json() == plan.to_json()
    assert plan.fit(table, backend="emulated").learnt().keys() == fitted.learnt().keys()


def test_types_of_lists_are_written_and_kept() -> None:
    plan = ff.Plan({"f": X.max()})
    schema = plan.schema({"x": "list[timestamp[us, Europe/Berlin]]"})
    assert schema.field("f").type == pa.timestamp("us", "Europe/Berlin")
    assert plan.schema(pa.schema({"x": pa.list_(pa.int8())})).field("f").type == pa.int8()
    assert "x  list[int8]" in plan.explain("bound", schema={"x": "list[int8]"})
    table = pa.table({"x": [[1]], "y": [1]})
    kept = ff.Plan({"y": col("y")}, keep=["x"]).fit(table).transform(table)
    assert kept["x"].to_pylist() == [[1]]


def test_elements_are_converted_where_each_is_exact() -> None:
    fitted = ff.Plan({"f": X.sum()}).fit({"x": pa.array([[1, 2]], pa.list_(pa.int8()))})
    assert fitted.transform({"x": [[1.0, float("nan")], [3.0]]})["f"].to_pylist() == [1, 3]
    assert fitted.transform({"x": [None, None]})["f"].to_pylist() == [None, None]
    assert fitted.transform({"x": [[], [None]]})["f"].to_pylist() == [0, 0]
    assert fitted.transform_row({"x": np.array([1.0, 2.0])}).tolist() == [3]
    assert fitted.transform_row({"x": (1, None)}).tolist() == [1]
    assert np.isnan(fitted.transform_row({"x": None})).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_place_beyond_the_end_may_be_an_error(backend: str) -> None:
    lists: list[Any] = [[1, 2], None, [1], [3]]
    strict = X.get(1, null_on_oob=False)
    with pytest.raises(InvalidData, match=r"row 2: the list has no element 1\. With null_on_oob"):
        computed(strict, lists, pa.list_(pa.int8()), backend)
    assert computed(strict, lists[:2], pa.list_(pa.int8()), backend) == [2, None]
