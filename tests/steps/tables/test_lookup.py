"""Lookup tables: what a table has for the key of a row, as Polars joins it; and what is refused."""

from __future__ import annotations

import datetime
import gc
from collections.abc import Callable
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
    ArtifactError,
    InvalidData,
    InvalidPlan,
    TypeMismatch,
    UnknownColumn,
)
from fastfeat.execute import lookup_tables as kept_tables

RANDOM_FLOATS = pytest.mark.filterwarnings("ignore::fastfeat.errors.KeysRounded")
"""Floats beyond 2**53 are keys of these tests on purpose, or by chance."""
PLANES = pa.table(
    {
        "tailnum": ["a", "b", None, "c", "d", None],
        "seats": pa.array([100, 200, 5, None, 7, 6], pa.int16()),
        "weight": pa.array([1.5, float("nan"), 2, 3, None, 4], pa.float32()),
        "since": pa.array([1, 2, 3, None, 5, 6], pa.date32()),
        "built": pa.array([1, 2, 3, None, 5, 6], pa.timestamp("ns", "UTC")),
        "jet": [True, None, False, True, False, True],
        "maker": ["airbus", "boeing", None, None, "airbus", "z"],
    }
)
FLIGHTS = pa.table(
    {
        "tailnum": ["a", "b", "c", "z", None, "d", "a"],
        "maker": ["airbus", None, "x", "y", "z", "boeing", "x"],
        "delay": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
    }
)
planes = ff.lookup("planes", by="tailnum")


def transformed(
    expression: ff.Expr, data: Any = FLIGHTS, backend: str = "cpu", **tables: Any
) -> list[Any]:
    """Return one feature, learnt from the rows that it is computed for."""
    plan = ff.Plan({"x": expression})
    fitted = plan.fit(data, tables=tables, backend=backend)
    return fitted.transform(data, tables=tables, backend=backend)["x"].to_pylist()


def from_planes(expression: ff.Expr) -> list[Any]:
    return transformed(expression, planes=PLANES)


def test_a_column_keeps_its_type_and_is_missing_without_a_row() -> None:
    names = [name for name in PLANES.column_names if name not in ("tailnum", "maker")]
    plan = ff.Plan({name: planes.col(name) for name in names})
    found = plan.fit(FLIGHTS, tables={"planes": PLANES}).transform(
        FLIGHTS, tables={"planes": PLANES}
    )
    rows = [0, 1, 3, None, None, 4, 0]
    for name in names:
        assert found.schema.field(name).type == PLANES.schema.field(name).type
        values = [None if row is None else PLANES[name][row].as_py() for row in rows]
        known = [None if value != value else value for value in values]
        assert found[name].to_pylist() == known, name


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_what_is_found_can_be_used_as_any_column(backend: str) -> None:
    maker = planes.col("maker")

    def found(expression: ff.Expr) -> list[Any]:
        return transformed(expression, backend=backend, planes=PLANES)

    assert found(maker == "airbus") == [True, False, None, None, None, True, True]
    assert found(maker == col("maker")) == [True, None, None, None, None, False, False]
    assert found(maker.is_null()) == [False, False, True, True, True, False, False]
    assert found(maker.is_in(["z", "boeing"])) == [False, True, None, None, None, False, False]
    assert found(maker.ordinal_encode()) == [2, 3, 0, 0, 0, 2, 2]
    assert found(maker.replace_strict({"airbus": 1}, default=0)) == [1, 0, None, None, None, 1, 1]
    assert found(col("delay").sum(by=maker)) == [14.0, 2.0, None, None, None, 14.0, 14.0]
    assert found(planes.col("seats") - planes.col("seats").max()) == [
        -100, 0, None, None, None, -193, -100,
    ]  # fmt: skip
    assert found(planes.col("since").dt.day()) == [2, 3, None, None, None, 6, 2]
    assert found(ff.lookup("planes", by={"delay": "seats"}).col("jet"))[-3:] == [False, True, False]


def test_a_lookup_by_what_another_lookup_found() -> None:
    tables = {"planes": PLANES, "makers": {"name": ["boeing", "airbus"], "country": ["us", "eu"]}}
    makers = ff.lookup("makers", by={planes.col("maker"): "name"})
    by_cast = ff.lookup("planes", by={col("delay").cast("int64") + 1: "seats"})
    plan = ff.Plan({"x": makers.col("country") == "eu", "y": by_cast.col("jet")})
    fitted = plan.fit(FLIGHTS, tables=tables)
    found = fitted.transform(FLIGHTS, tables=tables)
    assert found["x"].to_pylist() == [True, False, None, None, None, True, True]
    assert found["y"].to_pylist() == [None, None, None, False, True, False, None]
    assert fitted.verify(FLIGHTS, tables=tables).ok
    assert repr(makers.col("country")) == (
        "ff.lookup('makers', by={ff.lookup('planes', by='tailnum').col('maker'): 'name'})"
        ".col('country')"
    )


KEYS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int64": (pa.int64(), st.integers(-4, 4) | st.just(2**63 - 1)),
    "int8": (pa.int8(), st.integers(-4, 4)),
    "uint64": (pa.uint64(), st.integers(0, 4) | st.just(2**64 - 1)),
    "float64": (pa.float64(), st.sampled_from([0.0, 0.5, -1.5, 1e300, float("inf")])),
    "bool": (pa.bool_(), st.booleans()),
    "text": (pa.string(), st.sampled_from(["", "a", "é", "ab"])),
    "date": (pa.date32(), st.dates(datetime.date(1969, 12, 28), datetime.date(1970, 1, 3))),
    "time": (
        pa.timestamp("us", "UTC"),
        st.integers(-2, 2).map(lambda s: datetime.datetime.fromtimestamp(s, datetime.UTC)),
    ),
}


@RANDOM_FLOATS
@given(data=st.data(), kinds=st.lists(st.sampled_from(list(KEYS)), min_size=1, max_size=3))
def test_lookups_are_left_joins(data: st.DataObject, kinds: list[str]) -> None:
    """By one key or several: Polars' left join, whose missing keys match nothing."""
    names = [f"k{k}" for k in range(len(kinds))]
    types = [KEYS[kind][0] for kind in kinds]
    row = st.tuples(*(st.none() | KEYS[kind][1] for kind in kinds))
    right = data.draw(st.lists(row, max_size=8, unique=True))
    known = [key for key in right if None not in key]
    left = data.draw(st.lists(row | st.sampled_from(known or [(None,) * len(kinds)]), max_size=8))
    columns = {n: pa.array([key[k] for key in right], types[k]) for k, n in enumerate(names)}
    table = pa.table({**columns, "value": pa.array(range(len(right)), pa.int64())})
    rows = pa.table({n: pa.array([key[k] for key in left], types[k]) for k, n in enumerate(names)})
    cut = data.draw(st.integers(0, len(left)))
    rows = pa.concat_tables([rows.slice(0, cut), rows.slice(cut)])
    plan = ff.Plan({"x": ff.lookup("t", by=names).col("value")})
    fitted = plan.fit(rows, tables={"t": table})
    joined: Any = pl.from_arrow(rows)
    expected = joined.join(pl.from_arrow(table), on=names, how="left", maintain_order="left")
    for backend in ("cpu", "reference"):
        found = fitted.transform(rows, tables={"t": table}, backend=backend)
        assert found["x"].to_pylist() == expected["value"].to_list()
    for k, one in enumerate(rows.to_pylist()):
        (value,) = fitted.transform_row(one, tables={"t": table})
        assert (None if value != value else value) == expected["value"][k]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (pa.array([1, 2, 3], pa.int8()), pa.array([2, 1], pa.int64()), [1, 0, None]),
        (pa.array([1.0, 2.5, None, 2.0**53]), pa.array([2**53 + 1, 2**53, 1]), [2, None, None, 1]),
        (pa.array([2**53 + 1, 1, 2]), pa.array([2.0**53, 0.5, 1.0]), [None, 2, None]),
        (pa.array([-1, 5], pa.int64()), pa.array([2**64 - 1, 5], pa.uint64()), [None, 1]),
        (pa.array([-0.0, float("nan")]), pa.array([0.0, float("nan")]), [0, None]),
        (
            pa.array([1000, 1500], pa.timestamp("ms")),
            pa.array([1, 2], pa.timestamp("s")),
            [0, None],
        ),
        (
            pa.array([1, 2], pa.timestamp("s")),
            pa.array([2001, 2000], pa.timestamp("ms")),
            [None, 1],
        ),
        (pa.array([True, False]), pa.array([0, 1]), [1, 0]),
        (pa.array(["a", "b"]).dictionary_encode(), pa.array(["b"]).dictionary_encode(), [None, 0]),
    ],
)
@RANDOM_FLOATS
def test_keys_of_two_types_match_where_they_are_equal(
    left: Any, right: Any, expected: list[Any]
) -> None:
    data, table = pa.table({"a": left}), pa.table({"b": right, "row": range(len(right))})
    plan = ff.Plan({"x": ff.lookup("t", by={"a": "b"}).col("row")})
    fitted = plan.fit(data, tables={"t": table})
    for backend in ("cpu", "reference"):
        found = fitted.transform(data, tables={"t": table}, backend=backend)
        assert found["x"].to_pylist() == expected
    assert fitted.verify(data, tables={"t": table}).ok


@pytest.mark.parametrize(
    "table",
    [
        PLANES.to_pandas(),
        pl.from_arrow(PLANES),
        PLANES.to_batches()[0],
        {name: PLANES[name].combine_chunks() for name in PLANES.column_names},
        pa.concat_tables([PLANES.slice(0, 2), PLANES.slice(2)]),
        PLANES.set_column(0, "tailnum", PLANES["tailnum"].dictionary_encode()),
    ],
    ids=["pandas", "polars", "batch", "dict", "chunks", "dictionary"],
)
def test_a_table_is_data_of_any_kind(table: Any) -> None:
    features = planes.col("maker") == "airbus"
    fitted = ff.Plan({"x": features}).fit(FLIGHTS, tables={"planes": PLANES})
    found = fitted.transform(FLIGHTS, tables={"planes": table})["x"].to_pylist()
    assert found == from_planes(features)


def test_a_reader_is_read_once_in_a_call() -> None:
    plan = ff.Plan({"a": planes.col("seats"), "b": planes.col("maker") == "z"})
    _, found = plan.fit_transform(FLIGHTS, tables={"planes": PLANES.to_reader()})
    expected = plan.fit(FLIGHTS, tables={"planes": PLANES})
    assert found.equals(expected.transform(FLIGHTS, tables={"planes": PLANES}))
    assert expected.verify(FLIGHTS, tables={"planes": PLANES.to_reader()}).ok


def test_a_path_is_a_table(tmp_path: Path) -> None:
    pd.DataFrame({"tailnum": ["a"], "seats": [3]}).to_parquet(tmp_path / "planes.parquet")
    found = transformed(planes.col("seats"), planes=tmp_path / "planes.parquet")
    assert found[:2] == [3, None]


def test_a_table_without_rows_finds_nothing() -> None:
    found = transformed(planes.col("seats"), planes=PLANES.slice(0, 0))
    assert found == [None] * 7
    fitted = ff.Plan({"x": planes.col("seats")}).fit(FLIGHTS, tables={"planes": PLANES})
    assert fitted.transform(FLIGHTS.slice(0, 0), tables={"planes": PLANES}).num_rows == 0


@pytest.mark.emulator
def test_every_path_gives_the_same_bits() -> None:
    plan = ff.Plan(
        {
            "seats": planes.col("seats").standard_scale(),
            "weight": planes.col("weight"),
            "jet": planes.col("jet"),
            "maker": planes.col("maker").one_hot_encode(),
            "by": col("delay").mean(by=[planes.col("maker")]),
            "since": planes.col("since"),
        }
    )
    fitted = plan.fit(FLIGHTS, tables={"planes": PLANES})
    backends = ("cpu", "reference", "emulated")
    report = fitted.verify(FLIGHTS, tables={"planes": PLANES}, backends=backends)
    assert report.ok, str(report)


def test_plans_with_lookups_survive_json_and_artifact(tmp_path: Path) -> None:
    pair = ff.lookup("pairs", by={"tailnum": "t", "maker": "m"})
    plan = ff.Plan({"a": planes.col("seats"), "b": pair.col("n").mean(), "c": pair.col("n")})
    tables = {"planes": PLANES, "pairs": {"t": ["a", "c"], "m": ["airbus", "x"], "n": [1, 3]}}
    assert ff.Plan.from_json(plan.to_json()).to_json() == plan.to_json()
    fitted = plan.fit(FLIGHTS, tables=tables)
    fitted.save(tmp_path / "plan.fastfeat")
    loaded = ff.load(tmp_path / "plan.fastfeat")
    assert loaded.record.tables == fitted.record.tables
    expected = fitted.transform(FLIGHTS, tables=tables)
    assert loaded.transform(FLIGHTS, tables=tables).equals(expected)
    only = {"planes": PLANES}
    assert loaded.select("a").transform(FLIGHTS, tables=only)["a"].equals(expected["a"])
    assert list(loaded.select("a").record.tables) == ["planes"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('{"column":"seats","table":"planes"}', '{"column":"seats"}'),
        ('{"column":"tailnum","table":"planes"}', '{"column":"tailnum"}'),
        ('{"column":"tailnum"}', '{"column":"tailnum","table":"planes"}'),
    ],
)
def test_altered_lookups_are_refused(old: str, new: str) -> None:
    text = ff.Plan({"a": planes.col("seats")}).to_json()
    assert old in text
    with pytest.raises(ArtifactError, match=r"column|argument|lookup"):
        ff.Plan.from_json(text.replace(old, new, 1))


def test_lookups_are_shown_as_they_are_written() -> None:
    pair = ff.lookup("pairs", by={"tailnum": "t", "maker": "m"})
    assert repr(planes) == "ff.lookup('planes', by='tailnum')"
    assert repr(planes.col("seats")) == "ff.lookup('planes', by='tailnum').col('seats')"
    assert repr(pair.col("n")) == "ff.lookup('pairs', by={'tailnum': 't', 'maker': 'm'}).col('n')"
    assert repr(ff.lookup("p", by=["a", "b"]).col("n")) == "ff.lookup('p', by=['a', 'b']).col('n')"


def test_explain_lists_the_tables() -> None:
    plan = ff.Plan({"seats": planes.col("seats")}, outcomes=["delay"])
    told = plan.explain("leakage")
    assert "lookup tables: planes['tailnum'], planes['seats']" in told
    assert "which is not checked:\n  planes: tailnum, seats" in told
    assert "own row: tailnum" in told
    bound = plan.explain("bound", schema=FLIGHTS.schema, tables={"planes": PLANES.schema})
    assert "planes['seats']  int16" in bound
    assert plan.schema(FLIGHTS, tables={"planes": PLANES}).field("seats").type == pa.int16()


def test_a_late_column_is_no_key() -> None:
    with pytest.raises(ff.errors.Leakage, match="'tailnum'"):
        ff.Plan({"seats": planes.col("seats")}, outcomes=["tailnum"])


def test_rows_are_looked_up_one_by_one() -> None:
    plan = ff.Plan({"seats": planes.col("seats"), "maker": planes.col("maker") == "airbus"})
    fitted = plan.fit(FLIGHTS, tables={"planes": PLANES})
    tables = {"planes": PLANES}
    assert fitted.transform_row({"tailnum": "a"}, tables=tables).tolist() == [100, 1]
    assert np.isnan(fitted.transform_row({"tailnum": "q"}, tables=tables)).all()
    assert np.isnan(fitted.transform_row({"tailnum": None}, tables=tables)).all()
    with pytest.raises(UnknownColumn, match="'planes'"):
        fitted.transform_row({"tailnum": "a"})
    with pytest.raises(UnknownColumn, match="'tailnum'"):
        fitted.transform_row({}, tables=tables)
    row: Any = 3
    with pytest.raises(TypeMismatch, match="a row is a dict"):
        fitted.transform_row(row, tables=tables)


def test_what_is_kept_of_a_table_goes_with_it() -> None:
    fitted = ff.Plan({"x": planes.col("seats")}).fit(FLIGHTS, tables={"planes": PLANES})
    gc.collect()  # tables of other tests
    before = len(kept_tables._KEPT)  # pyright: ignore[reportPrivateUsage]  # the memory of a table
    table = PLANES
    for seats in range(50):
        table = pa.table({"tailnum": ["a"], "seats": [seats]})
        assert fitted.transform_row({"tailnum": "a"}, tables={"planes": table})[0] == seats
        assert fitted.transform(FLIGHTS, tables={"planes": table})["x"][0].as_py() == seats
    del table
    gc.collect()
    assert len(kept_tables._KEPT) == before  # pyright: ignore[reportPrivateUsage]


def test_a_table_that_may_change_is_read_at_each_call() -> None:
    fitted = ff.Plan({"x": planes.col("seats")}).fit(FLIGHTS, tables={"planes": PLANES})
    frame = pd.DataFrame({"tailnum": ["a"], "seats": [1]})
    for seats in (1, 2):
        frame["seats"] = seats
        assert fitted.transform_row({"tailnum": "a"}, tables={"planes": frame})[0] == seats
        assert fitted.transform(FLIGHTS, tables={"planes": frame})["x"][0].as_py() == seats


def test_one_table_serves_plans_of_other_types() -> None:
    table = pa.table({"k": [1, 2], "v": [10, 20]})
    for keys, values in (
        (pa.int64(), pa.int64()),
        (pa.float64(), pa.float32()),
        (pa.int8(), pa.int8()),
    ):
        data = pa.table({"k": pa.array([2, 1], keys)})
        seen = pa.table({"k": [1], "v": pa.array([10], values)})
        fitted = ff.Plan({"x": ff.lookup("t", by="k").col("v")}).fit(data, tables={"t": seen})
        found = fitted.transform(data, tables={"t": table})
        assert found["x"].type == values
        assert found["x"].to_pylist() == [20, 10]


BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: ff.lookup("planes", by=[]), InvalidPlan, "names no key"),
    (lambda: ff.lookup("planes", by={}), InvalidPlan, "names no key"),
    (lambda: ff.lookup("planes", by=3), TypeMismatch, "takes the name of a column, a list"),  # type: ignore[arg-type]
    (lambda: ff.lookup("planes", by=["a", 3]), TypeMismatch, "3 is not a column name"),  # type: ignore[list-item]
    (lambda: ff.lookup(3, by="a"), TypeMismatch, "the name of a table"),  # type: ignore[arg-type]
    (lambda: planes.col(3), TypeMismatch, "the name of a column"),  # type: ignore[arg-type]
    (lambda: transformed(planes.col("seats")), UnknownColumn, "the table 'planes', which is not"),
    (lambda: transformed(planes.col("seats"), plane=PLANES), UnknownColumn, "Did you mean 'plane'"),
    (lambda: from_planes(planes.col("seat")), UnknownColumn, "has no column 'seat'. Did you mean"),
    (lambda: transformed(planes.col("seats"), planes=3), TypeMismatch, "'planes': got int"),
    (
        lambda: ff.Plan({"x": planes.col("seats")}).fit(FLIGHTS, tables=PLANES),
        TypeMismatch,
        "tables= must be a dict of tables by name, got a Table",
    ),
    (
        lambda: ff.Plan({"x": planes.col("seats")}).schema(FLIGHTS, tables=PLANES),
        TypeMismatch,
        "tables= must be a dict of tables by name, got a Table",
    ),
    (
        lambda: transformed(ff.lookup("planes", by={"tailnum": "seats"}).col("jet"), planes=PLANES),
        TypeMismatch,
        "cannot compare the key of the data, utf8, with the key of the table, int16",
    ),
    (
        lambda: transformed(planes.col("x"), planes={"tailnum": ["a"], "x": [[1]]}),
        TypeMismatch,
        "cannot look up lists",
    ),
    (
        lambda: transformed(planes.col("x"), planes={"tailnum": ["a"], "x": [{"y": 1}]}),
        TypeMismatch,
        "the table 'planes'",
    ),
    (
        lambda: ff.Plan({"x": col("delay")}, label={"y": planes.col("seats")}),
        InvalidPlan,
        "the label 'y' looks rows up",
    ),
    (lambda: from_planes(planes.col("maker")), TypeMismatch, "is text"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "told"), BAD)
def test_lookups_that_are_refused(
    call: Callable[[], Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert told in str(caught.value)


@pytest.mark.parametrize("backend", ["cpu", "reference", "row"])
def test_a_key_that_two_rows_have_is_an_error(backend: str) -> None:
    plan = ff.Plan({"x": ff.lookup("t", by=["a", "b"]).col("n")})
    data = {"a": ["x"], "b": [datetime.date(2020, 1, 1)]}
    day = datetime.date(2020, 1, 1)
    good = pa.table({"a": ["x", "y", None, None], "b": [day] * 4, "n": [1, 2, 3, 4]})
    bad = pa.table({"a": ["x", "y", "z", "y"], "b": [day] * 4, "n": [1, 2, 3, 4]})
    fitted = plan.fit(data, tables={"t": good})

    def run() -> None:
        if backend == "row":
            fitted.transform_row({"a": "x", "b": day}, tables={"t": bad})
        else:
            fitted.transform(data, tables={"t": bad}, backend=backend)

    with pytest.raises(InvalidData) as caught:
        run()
    told = str(caught.value)
    assert told.startswith("the table 't' has the key a='y', b=datetime.date(2020, 1, 1)")
    assert "in the rows 1 and 3" in told


def test_keys_that_match_nothing_must_be_distinct_too() -> None:
    table = pa.table({"a": [0.5, 0.5, 1.0], "n": [1, 2, 3]})
    plan = ff.Plan({"x": ff.lookup("t", by="a").col("n")})
    for backend in ("cpu", "reference"):
        with pytest.raises(InvalidData, match=r"a=0\.5 in the rows 0 and 1"):
            plan.fit({"a": [1]}, tables={"t": table}).transform(
                {"a": [1]}, tables={"t": table}, backend=backend
            )


def test_columns_of_a_table_are_of_the_types_that_fit_saw() -> None:
    fitted = ff.Plan({"x": planes.col("seats")}).fit(FLIGHTS, tables={"planes": PLANES})
    wide = {"tailnum": ["a", "b"], "seats": [1, 2]}
    assert fitted.transform(FLIGHTS, tables={"planes": wide})["x"].to_pylist()[:2] == [1, 2]
    with pytest.raises(InvalidData, match=r"the table 'planes': col\(\"seats\"\): 1\.5 in row 1"):
        fitted.transform(FLIGHTS, tables={"planes": {"tailnum": ["a", "b"], "seats": [1, 1.5]}})
    with pytest.raises(TypeMismatch, match=r"the table 'planes': .* fit saw int16, got utf8"):
        fitted.transform(FLIGHTS, tables={"planes": {"tailnum": ["a"], "seats": ["b"]}})
    with pytest.raises(TypeMismatch, match=r"the table 'planes': .* fit saw utf8, got int64"):
        fitted.transform(FLIGHTS, tables={"planes": {"tailnum": [1], "seats": [1]}})
    missing = {"tailnum": ["a"], "seats": [None]}
    assert fitted.transform(FLIGHTS, tables={"planes": missing})["x"].null_count == 7
