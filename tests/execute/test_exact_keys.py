"""Keys are never rounded: two ids that differ stay two, from every type and every reader."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, KeysRounded, TypeMismatch

NEAR_53 = [2**53 + k for k in range(-1, 12)]
NEAR_63 = [2**63 + k for k in range(-6, 6)]
"""Whole numbers around the first ones that float64, and that int64, lack."""


def _decimals(arrow: pa.DataType, values: list[int], factor: int = 1) -> pa.Array:
    return pa.array([Decimal(value * factor) for value in values], arrow)


def _decimal_types() -> list[Any]:
    narrow = [getattr(pa, name)(18, 0) for name in ("decimal64",) if hasattr(pa, name)]
    return [*narrow, pa.decimal128(20, 0), pa.decimal128(38, 0), pa.decimal256(60, 0)]


@pytest.mark.parametrize("arrow", _decimal_types(), ids=str)
def test_decimals_of_scale_0_are_integers(arrow: Any):
    table = pa.table({"x": _decimals(arrow, NEAR_53), "t": list(range(len(NEAR_53)))})
    plan = ff.Plan(
        {
            "count": col("x").count_encode(),
            "before": ff.count(over=ff.window(by="x", time="t")),
            "found": ff.lookup("d", by="x").col("t"),
            "hash": col("x").hash(),
            "is": col("x") == 2**53 + 1,
            "in": col("x").is_in([2**53 + 1]),
            "x": col("x"),
        }
    )
    tables = {"d": table}
    fitted = plan.fit(table, tables=tables)
    features = fitted.transform(table, tables=tables, history="batch")
    assert features["count"].to_pylist() == [1] * len(NEAR_53)
    assert features["before"].to_pylist() == [0] * len(NEAR_53)
    assert features["found"].to_pylist() == list(range(len(NEAR_53)))
    assert features["x"].type == pa.int64()
    assert features["x"].to_pylist() == NEAR_53
    assert features["is"].to_pylist() == features["in"].to_pylist()
    assert sum(features["is"].to_pylist()) == 1
    as_integers = table.set_column(0, "x", pa.array(NEAR_53))
    again = fitted.transform(as_integers, tables={"d": as_integers}, history="batch")
    assert again.equals(features)
    row = fitted.select(["count", "is"]).transform_row({"x": Decimal(2**53 + 1)})
    assert row.tolist() == [1.0, 1.0]


def test_a_negative_scale_is_a_whole_number_too():
    table = pa.table({"x": _decimals(pa.decimal128(20, -2), NEAR_53[:4], 100)})
    features = ff.Plan({"x": col("x"), "n": col("x").count_encode()}).fit_transform(table)[1]
    assert features["x"].to_pylist() == [value * 100 for value in NEAR_53[:4]]
    assert features["n"].to_pylist() == [1] * 4


@pytest.mark.parametrize("arrow", [pa.decimal128(38, 0), pa.decimal256(60, 0)], ids=str)
@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30, 2**64 + 1])
def test_a_decimal_beyond_int64_is_an_error_that_says_what_to_write(arrow: Any, value: int):
    table = pa.table({"x": _decimals(arrow, [1, -(2**63), 2**63 - 1, value])})
    wanted = (
        rf'col\("x"\): {value} in row 3 is not exactly a value of type int64.*ids with column\.cast'
    )
    with pytest.raises(InvalidData, match=wanted):
        ff.Plan({"n": col("x").count_encode()}).fit(table)


def test_a_decimal_of_a_large_negative_scale_is_int64_where_it_fits():
    for scale, most in ((-18, 9), (-19, 0)):
        column = _decimals(pa.decimal128(30, scale), [0, most, most + 1], 10**-scale)
        plan = ff.Plan({"n": col("x").count_encode()})
        with pytest.raises(InvalidData, match="row 2 is not exactly a value of type int64"):
            plan.fit(pa.table({"x": column}))
        assert plan.fit_transform({"x": column[:1]})[1]["n"].to_pylist() == [1]


D = col("d")
COMPARED: dict[str, ff.Expr] = {
    "count": D.count_encode(),
    "codes": D.ordinal_encode(),
    "columns": D.one_hot_encode(),
    "equal": D == 1.25,
    "unequal": D != 1.25,
    "is_in": D.is_in([1.25]),
    "replace": D.replace_strict({1.25: 1}),
    "hash": D.hash(),
    "cross": ff.cross("d", "k").ordinal_encode(),
    "hash of a cross": ff.cross("d", "k").hash(),
    "by": col("k").mean(by="d"),
    "window": ff.count(over=ff.window(by="d", time="k")),
    "window over a table": ff.count(over=ff.window(by="d", time="k", table="t")),
    "lookup": ff.lookup("t", by="d").col("k"),
    "as-of": ff.asof("t", by="d", time="k").col("k"),
    "of a table": ff.lookup("t", by="k").col("d").count_encode(),
    "target": D.target_encode("y"),
    "folds": col("k").target_encode("y", fold_by="d"),
    "list": col("l").list.contains(1.25),
    "element": col("l").list.get(0) == 1.25,
}
DATA = pa.table(
    {
        "d": pa.array([Decimal("1.25"), Decimal("2.5")], pa.decimal128(12, 2)),
        "l": pa.array([[Decimal("1.25")], []], pa.list_(pa.decimal128(12, 2))),
        "k": [1, 2],
        "y": [0, 1],
    }
)


@pytest.mark.parametrize("name", COMPARED)
def test_decimals_with_a_scale_are_no_keys(name: str):
    plan = ff.Plan({"x": COMPARED[name]}, label="y")
    calls: list[Callable[[], object]] = [
        lambda: plan.fit(DATA, tables={"t": DATA}),
        lambda: plan.compile(DATA.schema, tables={"t": DATA.schema}),
    ]
    if name != "columns":
        calls.append(lambda: plan.schema(DATA.schema, tables={"t": DATA.schema}))
    for call in calls:
        with pytest.raises(TypeMismatch, match=r'cannot be keys.*Or write .*\.cast\("float64"\)'):
            call()


def test_decimals_with_a_scale_are_numbers():
    numbers = {"more": D + 1, "above": D > 2, "rounded": D.cast("float64") == 1.25}
    features = ff.Plan(numbers).fit_transform(DATA)[1]
    assert features.to_pydict() == {
        "more": [2.25, 3.5],
        "above": [False, True],
        "rounded": [True, False],
    }


def test_a_label_that_compares_decimals_is_refused():
    plan = ff.Plan({"k": col("k").target_encode("late")}, label={"late": D == 1.25})
    with pytest.raises(TypeMismatch, match="cannot be keys"):
        plan.fit(DATA)


def test_a_plan_that_read_decimals_as_floats_reads_whole_ones_so(tmp_path: Any):
    """It was fitted on decimal(12, 2); the same column then comes as decimal(38, 0)."""
    plan = ff.Plan({"x": D + 0.5, "n": (D > 2**53).cast("int64")})
    plan.fit(DATA).save(tmp_path / "plan.fastfeat")
    fitted = ff.load(tmp_path / "plan.fastfeat")
    whole = pa.table({"d": _decimals(pa.decimal128(38, 0), [1, 2**53 + 1, 10**30])})
    features = fitted.transform(whole)
    assert features["x"].to_pylist() == [1.5, 2.0**53 + 0.5, 1e30]
    assert fitted.transform(whole, backend="reference").equals(features)


def _rows(values: list[int], numbers: list[float]) -> list[tuple[int, float]]:
    return [(value, number) for value in values for number in numbers]


FLOATS = [0.5, -(2.0**63), 2.0**53, 2.0**53 + 2, 2.0**63, 2.0**64, np.inf, -np.inf]
SIGNED = [*NEAR_53, -(2**53) - 1, 2**63 - 1, 2**63 - 513, -(2**63), 0, 1]
UNSIGNED = [*NEAR_53, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, 2**64 - 2048, 0]


@pytest.mark.parametrize(
    ("arrow", "values"), [(pa.int64(), SIGNED), (pa.uint64(), UNSIGNED)], ids=["int64", "uint64"]
)
def test_integers_and_floats_compare_by_their_true_values(arrow: Any, values: list[int]):
    rows = _rows(values, FLOATS)
    table = pa.table(
        {
            "i": pa.array([i for i, _ in rows], arrow),
            "f": pa.array([f for _, f in rows], pa.float64()),
        }
    )
    i, f = col("i"), col("f")
    features = {"eq": i == f, "ne": i != f, "lt": i < f, "le": i <= f, "gt": i > f, "ge": i >= f}
    features |= {
        "eq turned": f == i,
        "ne turned": f != i,
        "lt turned": f < i,
        "le turned": f <= i,
        "gt turned": f > i,
        "ge turned": f >= i,
    }
    wanted = {
        name: [_python(name[:2], *((y, x) if "turned" in name else (x, y))) for x, y in rows]
        for name in features
    }
    fitted = ff.Plan(features).fit(table)
    assert fitted.transform(table).to_pydict() == wanted
    assert fitted.transform(table, backend="reference").to_pydict() == wanted


def _python(name: str, left: float, right: float) -> bool:
    return {
        "eq": left == right,
        "ne": left != right,
        "lt": left < right,
        "le": left <= right,
        "gt": left > right,
        "ge": left >= right,
    }[name]


def test_constants_compare_by_their_true_values():
    table = pa.table({"i": [2**53, 2**53 + 1], "f": [2.0**53, 1.0]})
    features = ff.Plan(
        {
            "a": col("i") == 2.0**53,
            "b": col("f") == 2**53 + 1,
            "c": col("f").is_in([2**53 + 1]),
            "d": col("i").is_in([2.0**53]),
            "e": col("f") < 2**53 + 1,
        }
    ).fit_transform(table)[1]
    assert features.to_pydict() == {
        "a": [True, False],
        "b": [False, False],
        "c": [False, False],
        "d": [True, False],
        "e": [True, True],
    }


EXACT = {"int64": pa.int64(), "uint64": pa.uint64(), "decimal": pa.decimal128(38, 0)}


def _column(kind: str, values: list[int]) -> Any:
    arrow = EXACT[kind]
    return _decimals(arrow, values) if kind == "decimal" else pa.array(values, arrow)


def _two_files(
    folder: Any, table: pa.Table, write: Callable[[pa.Table, str], None], end: str
) -> Any:
    """Write the first rows and the last ones of a table: types are of both."""
    folder.mkdir()
    write(table.slice(0, 3), str(folder / f"a.{end}"))
    write(table.slice(3), str(folder / f"b.{end}"))
    return folder


def _write_csv(table: pa.Table, path: str) -> None:
    mark = "\t" if path.endswith("tsv") else ","
    rows = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
    lines = [table.column_names, *rows]
    with open(path, "w") as file:
        file.writelines(mark.join(map(str, line)) + "\n" for line in lines)


def _write_ipc(table: pa.Table, path: str) -> None:
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _write_stream(table: pa.Table, path: str) -> None:
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def _one_file(path: Any, table: pa.Table, write: Callable[[pa.Table, str], None]) -> Any:
    write(table, str(path))
    return path


def _polars(table: pa.Table) -> Any:
    return pytest.importorskip("polars").from_arrow(table)


def _pandas(table: pa.Table) -> Any:
    return pytest.importorskip("pandas") and table.to_pandas()


READERS: dict[str, Callable[[pa.Table, Any], Any]] = {
    "table": lambda table, _: table,
    "dictionary": lambda table, _: pa.table({"x": table["x"].dictionary_encode(), "y": table["y"]}),
    "pandas": lambda table, _: _pandas(table),
    "polars": lambda table, _: _polars(table),
    "columns": lambda table, _: table.to_pydict(),
    "rows": lambda table, _: table.to_pylist(),
    "function": lambda table, _: table.to_reader,
    "parquet": lambda table, at: _one_file(at / "f.parquet", table, pq.write_table),
    "parquets": lambda table, at: _two_files(at / "f", table, pq.write_table, "parquet"),
    "ipc": lambda table, at: _one_file(at / "f.arrow", table, _write_ipc),
    "stream": lambda table, at: _one_file(at / "f.arrows", table, _write_stream),
    "csv": lambda table, at: _one_file(at / "f.csv", table, _write_csv),
    "tsv": lambda table, at: _one_file(at / "f.tsv", table, _write_csv),
    "csvs": lambda table, at: _two_files(at / "f", table, _write_csv, "csv"),
}
NUMPY = {
    "int64": lambda values: np.array(values, np.int64),
    "uint64": lambda values: np.array(values, np.uint64),
}
FITS = {
    "int64": [NEAR_53, [2**63 - 1 - k for k in range(9)]],
    "uint64": [NEAR_53, NEAR_63],
    "decimal": [NEAR_53, [2**63 - 1 - k for k in range(9)], NEAR_63],
}
COUNT = ff.Plan({"n": col("x").count_encode(), "w": col("y").mean(by="x")})


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("reader", READERS)
def test_ids_that_differ_stay_apart(reader: str, kind: str, tmp_path: Any):
    for place, values in enumerate(FITS[kind]):
        at = tmp_path / str(place)
        at.mkdir()
        y = [float(k) for k in range(len(values))]
        data = READERS[reader](pa.table({"x": _column(kind, values), "y": y}), at)
        is_text = reader in ("csv", "tsv", "csvs")
        if kind == "decimal" and max(values) >= 2**63 and not is_text:
            with pytest.raises(
                InvalidData, match=f"{2**63} in row 6 is not exactly a value of type int64"
            ):
                COUNT.fit(data)
            continue
        fitted, features = COUNT.fit_transform(data)
        assert features["n"].to_pylist() == [1] * len(values)
        assert features["w"].to_pylist() == y
        assert fitted.transform(data).equals(features)
        if isinstance(data, type(tmp_path)):
            in_passes = COUNT.fit(data, memory="64GiB")
            assert in_passes.transform(data).equals(features)


@pytest.mark.parametrize("kind", NUMPY)
def test_ids_of_numpy_stay_apart(kind: str):
    for values in FITS[kind]:
        data = {"x": NUMPY[kind](values), "y": np.arange(len(values), dtype=float)}
        assert COUNT.fit_transform(data)[1]["n"].to_pylist() == [1] * len(values)


K = col("k")
OF_KEYS: dict[str, ff.Expr] = {
    "count": K.count_encode(),
    "by": col("v").mean(by="k"),
    "target": K.target_encode("y"),
    "cross": ff.cross("v", "k").ordinal_encode(),
    "both": col("v").mean(by="k") + ff.count(over=ff.window(by="k", time="t")),
    "window": ff.count(over=ff.window(by="k", time="t")),
    "lookup": ff.lookup("d", by={"k": "u"}).col("v"),
    "as-of": ff.asof("d", by={"k": "u"}, time="t").col("v"),
    "hash": K.hash(),
    "hash of a cross": ff.cross("v", "k").hash(),
}


def _of_floats(largest: float) -> pa.Table:
    return pa.table(
        {"k": [1.0, None, -largest], "v": [1, 2, 3], "y": [0, 1, 0], "t": [1, 2, 3], "u": [1, 2, 3]}
    )


@pytest.mark.filterwarnings("ignore::fastfeat.errors.FoldsLeak")  # of three rows
@pytest.mark.parametrize("name", OF_KEYS)
def test_keys_of_floats_beyond_2_53_are_told_once(name: str):
    plan = ff.Plan({"x": OF_KEYS[name]}, label="y")
    rounded, whole = _of_floats(float(2**53 + 1)), _of_floats(2.0**53 - 1)
    with pytest.warns(KeysRounded, match=r"col\('k'\): .* whole number -9007199254740992") as seen:
        plan.fit(rounded, tables={"d": rounded})
    assert [one.category for one in seen].count(KeysRounded) == 1
    plan.fit(whole, tables={"d": whole})  # warnings are errors here


OF_TABLES: dict[str, ff.Expr] = {
    "lookup": ff.lookup("d", by={"v": "k"}).col("y"),
    "as-of": ff.asof("d", by={"v": "k"}, time="t").col("y"),
    "window": ff.count(over=ff.window("2s", by={"v": "k"}, time="t", table="d")),
}


@pytest.mark.parametrize("memory", [None, "8GiB"])
@pytest.mark.parametrize("name", OF_TABLES)
def test_keys_of_tables_beyond_2_53_are_told(name: str, memory: str | None):
    data = _of_floats(1.0).set_column(3, "t", pa.array([1, 2, 3], pa.timestamp("s")))
    plan = ff.Plan({"x": OF_TABLES[name]})
    rounded, whole = (data.set_column(0, "k", pa.array([k, 1.0, None])) for k in (2.0**53, 7.0))
    with pytest.warns(KeysRounded, match=r"the table 'd': col\('k'\): .* number 9007199254740992"):
        plan.fit(data, tables={"d": rounded}, memory=memory)
    plan.fit(data, tables={"d": whole}, memory=memory)


@pytest.mark.parametrize("name", ["x", "window"])
def test_ids_of_floats_beyond_2_53_are_told(name: str):
    features = {"x": col("v") + 1, "window": OF_KEYS["window"].fill_null(0)}
    plan = ff.Plan({"f": features[name]}, row_id="id")
    data = _of_floats(2.0**53 - 1).append_column("id", pa.array([2.0**53 + 2, 1.0, 2.0]))
    with pytest.warns(KeysRounded, match=r"col\('id'\): .* whole number 9007199254740994"):
        plan.fit(data)


def test_keys_of_floats_are_told_in_passes_too():
    with pytest.warns(KeysRounded):
        ff.Plan({"x": K.count_encode()}).fit(
            lambda: _of_floats(2.0**60).to_reader(), memory="64GiB"
        )


def test_numbers_beyond_2_53_are_no_keys():
    ff.Plan({"x": K.standard_scale(), "s": K > 5}).fit(_of_floats(2.0**60))
