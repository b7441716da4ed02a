"""Everything that a user may call a table, read with real pandas, Polars and files."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pytest

from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.io.columns.types import schema_of
from fastfeat.io.sources.read import read_table
from fastfeat.ir import dtypes

TABLE = pa.table({"a": [1, 2, None], "b": [0.5, None, 2.5], "s": ["x", None, "z"]})


class ArrowStream:
    """An object that gives Arrow data by the C stream interface alone."""

    def __init__(self, data):
        self.data = data

    def __arrow_c_stream__(self, requested_schema=None):
        return self.data.__arrow_c_stream__(requested_schema)


class ArrowArray:
    """An object that gives Arrow data by the C array interface alone."""

    def __init__(self, data):
        self.data = data

    def __arrow_c_array__(self, requested_schema=None):
        return self.data.__arrow_c_array__(requested_schema)


KINDS = {
    "table": lambda: TABLE,
    "record_batch": lambda: TABLE.to_batches()[0],
    "list_of_batches": lambda: TABLE.to_batches(max_chunksize=2),
    "tuple_of_batches": lambda: tuple(TABLE.to_batches(max_chunksize=1)),
    "reader": lambda: TABLE.to_reader(max_chunksize=2),
    "dataset": lambda: pads.dataset(TABLE),
    "c_stream": lambda: ArrowStream(TABLE),
    "c_array": lambda: ArrowArray(TABLE.to_batches()[0]),
    "struct_array": lambda: TABLE.to_struct_array().chunk(0),
    "dict": lambda: {name: TABLE[name].to_pylist() for name in TABLE.column_names},
    "pandas": lambda: pd.DataFrame({n: TABLE[n].to_pylist() for n in TABLE.column_names}),
    "pandas_nullable": lambda: TABLE.to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda: pl.DataFrame(TABLE),
    "rows": lambda: TABLE.to_pylist(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_gives_the_same_rows(kind):
    table = read_table(KINDS[kind]())
    assert isinstance(table, pa.Table)
    assert table.column_names == ["a", "b", "s"]
    found = {n: [None if v != v else v for v in table[n].to_pylist()] for n in table.column_names}
    assert found == TABLE.to_pydict()


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_wanted_columns_come_in_their_order_and_absent_ones_are_left_out(kind):
    table = read_table(KINDS[kind](), ["s", "nowhere", "a"])
    assert table.column_names == ["s", "a"]
    assert table["s"].to_pylist() == ["x", None, "z"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_wanted_column_still_tells_the_number_of_rows(kind):
    table = read_table(KINDS[kind](), [])
    assert (table.num_columns, table.num_rows) == (0, 3)


def test_arrow_and_numpy_and_pandas_numbers_are_read_in_place():
    values = np.arange(10.0)
    frame = pd.DataFrame({"x": values, "y": values}, copy=True)
    assert read_table(TABLE) is TABLE
    for data in ({"x": values}, frame):
        column = read_table(data)["x"]
        expected = np.asarray(data["x"]).ctypes.data
        assert column.chunk(0).buffers()[1].address == expected


def test_a_strided_pandas_column_is_read():
    frame = pd.DataFrame(np.arange(12.0).reshape(3, 4), columns=list("wxyz"))
    assert read_table(frame, ["y"])["y"].to_pylist() == [2.0, 6.0, 10.0]


NUMPY = {
    "int8": (np.array([1, -2], np.int8), pa.int8(), [1, -2]),
    "uint64": (np.array([2**64 - 1], np.uint64), pa.uint64(), [2**64 - 1]),
    "float16": (np.array([0.5], np.float16), pa.float16(), [0.5]),
    "big_endian": (np.array([1, 2], ">i4"), pa.int32(), [1, 2]),
    "strided": (np.arange(6)[::2], pa.int64(), [0, 2, 4]),
    "bool": (np.array([True, False] * 5)[1:], pa.bool_(), ([True, False] * 5)[1:]),
    "masked": (np.ma.masked_array([1, 2], [False, True]), pa.int64(), [1, None]),
    "masked_bool": (np.ma.masked_array([True, True], [True, False]), pa.bool_(), [None, True]),
    "masked_text": (np.ma.masked_array(["a", "b"], [True, False]), pa.string(), [None, "b"]),
    "days": (
        np.array(["2020-01-02", "NaT"], "M8[D]"),
        pa.date32(),
        [dt.date(2020, 1, 2), None],
    ),
    "months": (np.array(["2020-02"], "M8[M]"), pa.date32(), [dt.date(2020, 2, 1)]),
    "hours": (
        np.array(["2020-01-02T05"], "M8[h]"),
        pa.timestamp("s"),
        [dt.datetime(2020, 1, 2, 5)],
    ),
    "micros": (
        np.array(["NaT", "2020-01-02T00:00:00.000001"], "M8[us]"),
        pa.timestamp("us"),
        [None, dt.datetime(2020, 1, 2, 0, 0, 0, 1)],
    ),
    "spans": (np.array([3, "NaT"], "m8[h]"), pa.duration("s"), [dt.timedelta(hours=3), None]),
    "masked_times": (
        np.ma.masked_array(np.array([0, 1], "M8[s]"), [False, True]),
        pa.timestamp("s"),
        [dt.datetime(1970, 1, 1), None],
    ),
    "unicode": (np.array(["a", "bcd"]), pa.string(), ["a", "bcd"]),
    "variable_text": (np.array(["a", "b"], np.dtypes.StringDType()), pa.string(), ["a", "b"]),
    "objects": (np.array([1, None, 3], object), pa.int64(), [1, None, 3]),
    "empty": (np.array([], np.float32), pa.float32(), []),
}


@pytest.mark.parametrize("kind", NUMPY)
def test_numpy_arrays_have_their_exact_arrow_type(kind):
    values, arrow_type, expected = NUMPY[kind]
    column = read_table({"x": values})["x"]
    column.validate(full=True)
    assert column.type == arrow_type
    assert column.to_pylist() == expected


TEXT = str(pa.array(pd.Series(["a"], dtype="string")).type)  # differs between versions of pandas
PANDAS = {
    "bool": (pd.Series([True, False]), "bool", [True, False]),
    "Int64": (pd.Series([2**60 + 1, None], dtype="Int64"), "int64", [2**60 + 1, None]),
    "Float32": (pd.Series([0.5, None], dtype="Float32"), "float", [0.5, None]),
    "boolean": (pd.Series([True, None], dtype="boolean"), "bool", [True, None]),
    "str": (pd.Series(["a", None], dtype="str"), TEXT, ["a", None]),
    "string": (pd.Series(["a", None], dtype="string"), TEXT, ["a", None]),
    "object": (pd.Series(["a", None, np.nan], dtype=object), "string", ["a", None, None]),
    "object_bool": (pd.Series([True, None], dtype=object), "bool", [True, None]),
    "object_int": (pd.Series([2**60 + 1, pd.NA], dtype=object), "int64", [2**60 + 1, None]),
    "object_uint64": (pd.Series([2**63, None], dtype=object), "uint64", [2**63, None]),
    "object_decimal": (
        pd.Series([Decimal("1.50"), None], dtype=object),
        "decimal128(3, 2)",
        [Decimal("1.50"), None],
    ),
    "sparse": (pd.Series(pd.arrays.SparseArray([1.0, 0.0])), "double", [1.0, 0.0]),
    "arrow": (pd.Series([1, None], dtype=pd.ArrowDtype(pa.int32())), "int32", [1, None]),
    "timedelta": (
        pd.Series(pd.to_timedelta([1, None], "s").as_unit("ms")),
        "duration[ms]",
        [dt.timedelta(seconds=1), None],
    ),
    "naive": (
        pd.Series(pd.to_datetime(["2020-01-01", None]).as_unit("s")),
        "timestamp[s]",
        [dt.datetime(2020, 1, 1), None],
    ),
}


@pytest.mark.parametrize("kind", PANDAS)
def test_pandas_columns_keep_type_and_values(kind):
    series, arrow_type, expected = PANDAS[kind]
    series.index = range(100, 100 + len(series))
    for data in (series.to_frame("x"), {"x": series}):
        column = read_table(data)["x"]
        column.validate(full=True)
        assert str(column.type) == arrow_type
        assert column.to_pylist() == expected


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "+02:00", dt.UTC])
def test_zoned_pandas_times_keep_their_zone_and_instants(unit, zone):
    times = pd.to_datetime(["2020-07-01 12:00", None, "2020-01-01 00:00"])
    zoned = dt.timezone(dt.timedelta(hours=2)) if zone == "+02:00" else zone
    series = pd.Series(times.tz_localize(zoned).as_unit(unit))
    for data in (pd.DataFrame({"t": series}), {"t": series}):
        column = read_table(data)["t"]
        assert column.type == pa.timestamp(unit, "UTC" if zone is dt.UTC else zone)
        instants = [None if t is pd.NaT else t.timestamp() for t in series]
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
        expected = [None if t is None else int(t) * per_second for t in instants]
        assert column.cast(pa.int64()).to_pylist() == expected


def test_pandas_categories_are_dictionaries():
    frame = pd.DataFrame({"c": pd.Series(["a", None, "b"], dtype="category")})
    column = read_table(frame)["c"]
    assert pa.types.is_dictionary(column.type)
    assert column.to_pylist() == ["a", None, "b"]
    assert schema_of(read_table(frame)) == {"c": dtypes.UTF8}


def test_nanoseconds_of_python_objects_are_kept():
    stamp = pd.Timestamp("2020-01-01T00:00:00.123456789", tz="Europe/Berlin")
    times = read_table({"t": [stamp, None]})["t"]
    assert times.type == pa.timestamp("ns", "Europe/Berlin")
    assert times.cast(pa.int64()).to_pylist() == [stamp.value, None]
    spans = read_table({"d": np.array([pd.Timedelta(5), None], object)})["d"]
    assert spans.type == pa.duration("ns")
    assert spans.cast(pa.int64()).to_pylist() == [5, None]


TOKYO = ZoneInfo("Asia/Tokyo")
NOON = dt.datetime(2024, 7, 1, 12, tzinfo=TOKYO)


@pytest.mark.parametrize(
    "values",
    [
        [NOON, None],
        [NOON, dt.datetime(2024, 1, 1, 23, 59, tzinfo=TOKYO)],
        [None, pd.Timestamp("2020-01-01T00:00:00.123456789", tz="Asia/Tokyo")],
        [[NOON, None], None, []],
        [dt.datetime(2024, 7, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=-3)))],
        [dt.datetime(2024, 7, 1, 12)],
        [dt.timedelta(hours=1), pd.Timedelta(5)],
    ],
)
@pytest.mark.parametrize("kind", [list, "objects", "series"])
def test_no_variable_of_the_environment_moves_a_time(values, kind, monkeypatch):
    """pandera and pyspark.pandas set this one as they are imported."""
    objects = np.empty(len(values), object)
    objects[:] = values
    column = {list: values, "objects": objects, "series": pd.Series(objects)}[kind]
    expected = read_table({"t": column})
    monkeypatch.setenv("PYARROW_IGNORE_TIMEZONE", "1")
    assert read_table({"t": column}).equals(expected)
    assert read_table({"t": column}).schema == expected.schema


MIXED = {
    "text and numbers": ["a", 1],
    "numbers beyond float64": [2**53 + 1, 0.5],
    "bool and int": [True, 1],
    "beyond uint64": [2**64],
    "uint64 and negative": [2**63, -1],
    "two zones": [
        pd.Timestamp("2020-01-01", tz="Europe/Berlin"),
        pd.Timestamp("2020-01-01", tz="Asia/Tokyo"),
    ],
    "zone and none": [pd.Timestamp("2020-01-01", tz="UTC"), pd.Timestamp("2020-01-01")],
    "date and time": [dt.date(2020, 1, 1), dt.datetime(2020, 1, 1, 5)],
    "zoned time of day": [dt.time(1, tzinfo=dt.UTC)],
    "complex": [1j],
}


@pytest.mark.parametrize("kind", MIXED)
def test_objects_without_a_common_type_are_refused_by_column(kind):
    objects = pd.DataFrame({"mix": pd.Series(MIXED[kind], dtype=object)})
    for data in ({"mix": MIXED[kind]}, objects):
        with pytest.raises(TypeMismatch, match=r'^col\("mix"\): '):
            read_table(data)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.zeros((2, 3)), r"one dimension, this array has shape \(2, 3\)"),
        (np.float64(3), r"one dimension, this array has shape \(\)"),
        (np.zeros(2, complex), "NumPy's complex128 has no exact Arrow type"),
        (np.zeros(2, np.longdouble), "has no exact Arrow type"),
        (np.array([1], "m8[M]"), "has no exact Arrow type"),
        (np.array([1], "M8[ps]"), "has no exact Arrow type"),
        (np.array([2**40], "M8[D]"), "does not fit in 32 bits"),
        (np.array([2**60], "M8[h]"), "outside the range"),
        (np.zeros(1, [("a", "i4")]), "has no exact Arrow type"),
        ("abc", "got str, which is not a column"),
        (7, "got int, which is not a column"),
        (
            pd.Timestamp("2024-02-01"),
            r"got Timestamp, which is not a column.*for one row \[value\]",
        ),
    ],
)
def test_what_is_not_a_column_is_refused(values, text):
    with pytest.raises(TypeMismatch, match=rf'^col\("x"\): .*{text}'):
        read_table({"x": values})


def test_the_only_thing_of_a_dict_is_named_when_no_column_is_wanted():
    with pytest.raises(TypeMismatch, match=r'^col\("z"\): got int, which is not a column'):
        read_table({"z": 7}, ["nowhere"])


def test_pandas_types_without_an_arrow_type_are_refused_only_if_wanted():
    frame = pd.DataFrame({"z": [1j, 2j], "x": [1.0, 2.0]})
    assert read_table(frame, ["x"]).column_names == ["x"]
    with pytest.raises(TypeMismatch, match=r'col\("z"\): .*complex128'):
        read_table(frame)


def test_a_period_column_is_read_as_a_type_that_no_expression_takes():
    frame = pd.DataFrame({"p": pd.period_range("2020-01", periods=2, freq="M")})
    assert "period" in str(schema_of(read_table(frame))["p"])


def test_polars_series_and_torch_like_objects_are_columns_of_a_dict():
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return np.array([1.0, 2.0], np.float32)

    table = read_table(
        {"p": pl.Series([1, None]), "t": Tensor(), "r": range(2), "a": pa.array([3, 4])}
    )
    assert table.to_pydict() == {"p": [1, None], "t": [1.0, 2.0], "r": [0, 1], "a": [3, 4]}


def test_a_lazy_frame_is_told_to_collect():
    with pytest.raises(TypeMismatch, match=r"LazyFrame: pass data\.collect\(\)"):
        read_table(pl.DataFrame({"a": [1]}).lazy())


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (None, "NoneType"),
        (5, "int"),
        (np.zeros(3), "numpy.ndarray"),
        ([1, 2], "list"),
        ([], "list"),
        (object(), "object"),
        (b"x.csv", "bytes"),
    ],
)
def test_what_is_not_a_table_is_named_with_what_is_accepted(data, named):
    with pytest.raises(TypeMismatch, match=rf"^got {named}, which is not a table\. Pass a pyarrow"):
        read_table(data)


@pytest.mark.parametrize(
    "data", [pl.Series([1.0]), pa.chunked_array([[1]]), pa.array([1]), pd.Series([1.0])]
)
def test_one_column_is_not_a_table(data):
    with pytest.raises(TypeMismatch, match="not a table"):
        read_table(data)


@pytest.mark.parametrize(
    "data",
    [{}, pd.DataFrame(index=[1, 2]), pl.DataFrame(), pa.table({}), pa.schema([]).empty_table()],
    ids=["dict", "pandas", "polars", "table", "empty"],
)
@pytest.mark.parametrize("columns", [None, ["a"]])
def test_data_without_columns_is_an_error(data, columns):
    told = "the dict of columns is empty" if isinstance(data, dict) else "no column"
    with pytest.raises(InvalidData, match=told):
        read_table(data, columns)


def test_unequal_lengths_name_both_columns():
    with pytest.raises(InvalidData, match=r'col\("a"\) has 2 rows, col\("b"\) has 3'):
        read_table({"a": [1, 2], "b": np.zeros(3)})
    assert read_table({"a": [1, 2], "b": np.zeros(3)}, ["a"]).num_rows == 2


DUPLICATES = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], ["a", "b", "a"])


@pytest.mark.parametrize(
    "data",
    [
        lambda: DUPLICATES,
        lambda: DUPLICATES.to_batches(),
        lambda: DUPLICATES.to_reader(),
        lambda: ArrowStream(DUPLICATES),
        lambda: pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]),
    ],
    ids=["table", "batches", "reader", "stream", "pandas"],
)
def test_a_name_that_occurs_twice_is_an_error_only_if_wanted(data):
    assert read_table(data(), ["b"]).to_pydict() == {"b": [2]}
    for columns in (None, ["a"]):
        with pytest.raises(InvalidData, match=r'2 columns named col\("a"\)'):
            read_table(data(), columns)


def test_a_dataset_with_a_name_that_occurs_twice_is_an_error():
    # pyarrow cannot scan such a dataset at all, whichever column is wanted.
    for columns in (None, ["a"], ["b"]):
        with pytest.raises(InvalidData, match=r"2 columns named|Multiple matches"):
            read_table(pads.dataset(DUPLICATES), columns)


def test_labels_that_are_not_text_are_an_error_only_if_all_columns_are_wanted():
    frame = pd.DataFrame({"a": [1], 0: [2]})
    assert read_table(frame, ["a"]).to_pydict() == {"a": [1]}
    for data in (frame, {"a": [1], 0: [2]}):
        with pytest.raises(TypeMismatch, match=r"column names are text, got 0 \(int\)"):
            read_table(data)


def test_a_reader_that_was_read_before_is_an_error():
    reader = TABLE.to_reader()
    assert read_table(reader).num_rows == 3
    with pytest.raises(InvalidData, match="can be read once"):
        read_table(reader)


def test_a_reader_that_fails_is_an_error_with_its_reason():
    def batches():
        yield TABLE.to_batches()[0]
        raise ValueError("the network is gone")

    reader = pa.RecordBatchReader.from_batches(TABLE.schema, batches())
    with pytest.raises(InvalidData, match=r"the reader failed: .*the network is gone"):
        read_table(reader)


def test_batches_that_differ_only_outside_the_wanted_columns_are_read():
    batches = [pa.record_batch({"a": [1], "b": [1]}), pa.record_batch({"a": [2], "b": ["x"]})]
    assert read_table(batches, ["a"]).to_pydict() == {"a": [1, 2]}
    with pytest.raises(InvalidData, match="record batches differ"):
        read_table(batches)


def test_zero_rows_are_read_with_their_types():
    for data in (TABLE.schema.empty_table(), pl.DataFrame(TABLE).clear(), TABLE[:0].to_reader()):
        table = read_table(data)
        assert table.num_rows == 0
        assert [str(d) for d in schema_of(table).values()] == ["int64", "float64", "utf8"]


def test_columns_of_any_name_are_read():
    names = ['"]; import os; ["', "größe", "日本", "", "a.b", " x\n"]
    data = {name: [at] for at, name in enumerate(names)}
    for table in (pa.table(data), data, pd.DataFrame(data), pl.DataFrame(data)):
        assert read_table(table, names).to_pydict() == data


PROGRAM = """
import sys
import numpy as np
import pyarrow as pa
from fastfeat.ir.dtypes import INT64
from fastfeat.io.columns.column import physical_chunks
from fastfeat.io.columns.conform import conform
from fastfeat.io.sources.read import read_table
from fastfeat.io.columns.strings import string_codes
from fastfeat.io.columns.types import schema_of
from fastfeat.io.columns.bits import validity_of
from fastfeat.io.arrow import cast
from fastfeat.io.columns.strings import text_array
data = {"x": np.arange(9.0), "b": np.ones(9, bool), "t": np.arange(9).astype("M8[us]")}
table = read_table(data)
for name, dtype in schema_of(table).items():
    physical_chunks(conform(table[name], name, dtype))
    validity_of(table[name])
conform(table["x"], "x", INT64)
read_table(table.to_reader(), ["x"])
string_codes(pa.chunked_array([cast(text_array(["a", "b"]), pa.string())]), "s", ("b",))
heavy = {"pandas", "polars", "numba", "cupy", "pyarrow.compute", "pyarrow.parquet"}
print(sorted(heavy & set(sys.modules)))
"""


def test_columns_are_read_without_importing_pandas_or_the_wrappers_of_compute():
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
