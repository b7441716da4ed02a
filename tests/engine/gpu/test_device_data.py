"""Data that is on the device already: read in place, converted exactly, released when done."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.errors import InvalidData, Overflow
from fastfeat.io.columns.types import known_type
from fastfeat.io.device.arrow import ArrowArray, import_arrow
from fastfeat.io.device.capsule import pointer_in
from fastfeat.ir.dtypes import UTF8
from fastfeat_tests.engine.gpu.device_numbers import FEATURES, N_ROWS, NUMBERS, PLAN, RANDOM
from fastfeat_tests.engine.gpu.device_producers import ArrowDeviceData, CudaArray, DlpackTensor, put
from fastfeat_tests.operators.operator_tables import bits_of

pytestmark = pytest.mark.emulator


def assert_same(one: Any, other: Any) -> None:
    assert one.schema == other.schema
    for name in one.column_names:
        assert bits_of(one[name]) == bits_of(other[name]), name


def fitted_and_features(runtime: EmulatedRuntime, data: Any, plan: ff.Plan = PLAN) -> Any:
    with emulated.use_runtime(runtime):
        fitted = plan.fit(data() if callable(data) else data, backend="emulated")
        rows = fitted.transform(data() if callable(data) else data, backend="emulated")
    return fitted, rows


def assert_bits_of_the_cpu(
    runtime: EmulatedRuntime, data: Any, host: Any, plan: ff.Plan = PLAN
) -> None:
    fitted, rows = fitted_and_features(runtime, data, plan)
    expected = plan.fit(host)
    assert fitted.learnt() == expected.learnt()
    assert_same(rows, expected.transform(host))


@pytest.mark.parametrize("wrap", [CudaArray, DlpackTensor])
def test_arrays_of_the_device_give_the_bits_of_the_cpu(wrap: Any) -> None:
    runtime = EmulatedRuntime()
    data = {name: wrap(put(runtime, values)) for name, values in NUMBERS.items()}
    assert_bits_of_the_cpu(runtime, data, NUMBERS)


def test_nothing_is_copied_to_the_device() -> None:
    class Counting(EmulatedRuntime):
        n_largest = 0

        def upload(self, array: Any, buffer: Any, offset: int = 0) -> None:
            self.n_largest = max(self.n_largest, array.nbytes)
            super().upload(array, buffer, offset)

    runtime, n = Counting(), 100_000
    data = {"x": put(runtime, np.arange(n, dtype=np.float64))}
    runtime.n_largest = 0
    plan = ff.Plan({"y": col("x").standard_scale()})
    with emulated.use_runtime(runtime):
        plan.fit(data, backend="emulated").transform(data, to="cupy", backend="emulated")
    assert 0 < runtime.n_largest < 10_000


def test_columns_of_the_host_may_stand_beside_those_of_the_device() -> None:
    runtime = EmulatedRuntime()
    host = NUMBERS | {"text": [*("ab" * 101), None]}
    data = host | {"f64": put(runtime, host["f64"]), "flag": put(runtime, host["flag"])}
    plan = ff.Plan(FEATURES | {"is_a": col("text") == "a"}, keep=["flag", "text", "i8"])
    assert_bits_of_the_cpu(runtime, data, host, plan)


def arrow_table() -> Any:
    """Return a column of each type that is read on a device, a third of it missing."""
    numbers = [k if k % 3 else None for k in range(-40, 60)]
    types = [
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64()),
        *(pa.timestamp("ms", "Europe/Berlin"), pa.timestamp("ns"), pa.duration("us")),
        *(pa.date32(), pa.time32("s"), pa.time64("ns")),
    ]
    columns = {str(kind): pa.array(numbers, pa.int64()).cast(_plain(kind)) for kind in types}
    columns = {name: array.view(t) for (name, array), t in zip(columns.items(), types, strict=True)}
    columns["bool"] = pa.array([None if k is None else k % 2 == 0 for k in numbers])
    columns["full"] = pa.array(range(len(numbers)), pa.uint32())
    return pa.record_batch(columns)


def _plain(kind: Any) -> Any:
    if pa.types.is_temporal(kind):
        return pa.int32() if kind.bit_width == 32 else pa.int64()
    return kind


def arrow_plan() -> ff.Plan:
    special = {
        "bool": ~col("bool"),
        "timestamp[ms, tz=Europe/Berlin]": col("timestamp[ms, tz=Europe/Berlin]").dt.hour(),
    }
    names = arrow_table().schema.names
    plain = {name: col(name).fill_null(col(name).max()) for name in names}
    return ff.Plan({name: special.get(name, plain[name]) for name in names})


@pytest.mark.parametrize("offset", [0, 1, 7, 8, 31, 33])
@pytest.mark.parametrize("unaligned", [0, 8])
def test_an_arrow_table_on_the_device_is_read_at_any_offset(offset: int, unaligned: int) -> None:
    runtime, host = EmulatedRuntime(), arrow_table().slice(offset)
    exported: list[ArrowDeviceData] = []

    def data() -> ArrowDeviceData:
        exported.append(ArrowDeviceData(runtime, host, unaligned=unaligned))
        return exported[-1]

    assert_bits_of_the_cpu(runtime, data, host, arrow_plan())
    gc.collect()
    assert [one.released for one in exported] == [1, 1]


def test_bitmaps_begin_at_any_byte() -> None:
    runtime, host = EmulatedRuntime(), pa.record_batch({"x": pa.array([True, None, False] * 30)})
    plan = ff.Plan({"x": ~col("x"), "n": col("x").is_null()})
    for unaligned in (1, 2, 3):
        data = ArrowDeviceData(runtime, host.slice(5), unaligned=unaligned)
        with emulated.use_runtime(runtime):
            rows = plan.fit(host).transform(data, backend="emulated")
        assert_same(rows, plan.fit(host).transform(host.slice(5)))


def test_an_arrow_array_may_be_one_of_many_columns() -> None:
    runtime, array = EmulatedRuntime(), pa.array([1.5, None, 2.5])
    data = {"x": ArrowDeviceData(runtime, array, event=1234), "y": put(runtime, np.arange(3))}
    plan = ff.Plan({"z": col("x") + col("y")})
    with emulated.use_runtime(runtime):
        rows = plan.fit({"x": array, "y": np.arange(3)}).transform(data, backend="emulated")
    assert rows["z"].to_pylist() == [1.5, None, 4.5]
    assert ("event", 1234) in runtime.waited_for


HOST_TYPES: dict[str, Any] = {
    "half": pa.float16(),
    "decimal": pa.decimal128(20, 3),
    "large decimal": pa.decimal256(50, 2),
    "whole decimal": getattr(pa, "decimal64", pa.decimal128)(18, -1),  # of 64 bits, as int64 is
    "number of a dictionary": pa.dictionary(pa.int8(), pa.int64()),
    "run ends": pa.run_end_encoded(pa.int32(), pa.float64()),
    "date": pa.date64(),
    "text": pa.string(),
    "large text": pa.large_string(),
    "view": pa.string_view(),
    "text of a dictionary": pa.dictionary(pa.int16(), pa.string()),
    "nothing": pa.null(),
}


def column_of_host(kind: Any) -> Any:
    value_type = getattr(kind, "value_type", kind)
    if pa.types.is_null(kind):
        return pa.nulls(70)
    if known_type(kind) == UTF8:
        values = pa.array([None if k % 5 == 0 else "abc"[k % 3] for k in range(70)], value_type)
    elif pa.types.is_date64(kind):
        values = pa.array([None if k % 5 == 0 else 86_400_000 * k for k in range(70)]).view(kind)
    else:
        numbers = [None if k % 5 == 0 else k // 2 for k in range(70)]
        values = pa.array(numbers, pa.int64()).cast(pa.float64()).cast(value_type)
    if pa.types.is_run_end_encoded(kind):
        ends = pa.array(range(1, 71), pa.int32())
        return pa.RunEndEncodedArray.from_arrays(ends, values)
    return values.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else values


@pytest.mark.parametrize("name", HOST_TYPES)
def test_every_type_of_the_host_is_read(name: str) -> None:
    kind = HOST_TYPES[name]
    x = col(name)
    if known_type(kind) == UTF8:
        features = {"is a": x == "a", "mapped": x.replace_strict({"b": 1, "c": 2}, default=0)}
    else:
        features = {"x": x, "least": x.min()} if name != "nothing" else {"x": x.fill_null(1.5)}
    plan = ff.Plan(features | {"missing": x.is_null()})
    rows = pa.table({name: pa.chunked_array([column_of_host(kind)] * 2)}).slice(3)
    assert_bits_of_the_cpu(EmulatedRuntime(), rows, rows, plan)


def test_an_arrow_table_of_the_host_is_uploaded() -> None:
    class Exporter:
        def __arrow_c_device_array__(self, requested_schema: object = None) -> Any:
            return arrow_table().__arrow_c_device_array__()

    host = arrow_table()
    for backend in ("cpu", "emulated"):
        fitted = arrow_plan().fit(Exporter(), backend=backend)
        expected = arrow_plan().fit(host).transform(host)
        assert_same(fitted.transform(Exporter(), backend=backend), expected)


def test_a_host_array_is_imported_in_place_and_released() -> None:
    class Exporter:
        def __arrow_c_device_array__(self) -> Any:
            self.capsules = array.__arrow_c_device_array__()
            return self.capsules

    array, exporter = pa.array([1, None, 3])[1:], Exporter()
    imported = import_arrow(exporter, "x")
    held = imported.held.array
    assert (imported.field.type, imported.device_type) == (pa.int64(), 1)
    assert (held.length, held.offset, held.buffers[1]) == (2, 1, array.buffers()[1].address)
    structure = ArrowArray.from_address(pointer_in(exporter.capsules[1], b"arrow_device_array"))
    assert structure.release
    del imported, held
    gc.collect()
    assert not structure.release


def test_a_tensor_is_deleted_once_and_waited_for() -> None:
    runtime = EmulatedRuntime()
    tensor = DlpackTensor(put(runtime, np.arange(5.0)))
    array = CudaArray(put(runtime, np.arange(5.0)), stream=77)
    plan = ff.Plan({"z": col("x") + col("y")})
    with emulated.use_runtime(runtime):
        plan.fit({"x": [0.0], "y": [0.0]}).transform({"x": tensor, "y": array}, backend="emulated")
    gc.collect()
    assert len(tensor.deleted) == 1
    assert tensor.streams == [1]
    assert set(runtime.waited_for) == {("stream", 1), ("stream", 77)}


OTHER_TYPES: dict[str, Any] = {
    "f64": NUMBERS["f32"],
    "f32": np.where(RANDOM.random(N_ROWS) < 0.2, np.nan, NUMBERS["i8"] / 4),
    "i64": np.where(RANDOM.random(N_ROWS) < 0.2, np.nan, NUMBERS["i64"].astype(np.float64)),
    "i8": NUMBERS["i8"].astype(np.int64),
    "u16": NUMBERS["flag"],
    "flag": NUMBERS["flag"].astype(np.uint64),
}


@pytest.mark.parametrize("n_bytes", [1 << 20, 15_000])
def test_columns_of_other_types_are_converted_where_each_value_is_exact(n_bytes: int) -> None:
    runtime, fitted = EmulatedRuntime(n_bytes=n_bytes), PLAN.fit(NUMBERS)
    data = {name: put(runtime, values) for name, values in OTHER_TYPES.items()}
    with emulated.use_runtime(runtime):
        rows = fitted.transform(data, backend="emulated")
        matrix = fitted.transform(data, to="numpy", backend="emulated")
    assert_same(rows, fitted.transform(OTHER_TYPES))
    assert matrix.tobytes() == fitted.transform(OTHER_TYPES, to="numpy").tobytes()


def test_times_of_another_unit_are_converted_with_what_is_missing() -> None:
    runtime, plan = EmulatedRuntime(), ff.Plan({"t": col("t"), "hour": col("t").dt.hour()})
    ticks = [10**9 * 1000, None, -3_600_000, 0] * 20
    host = {"t": pa.array(ticks, pa.timestamp("ms"))[3:]}
    fitted = plan.fit({"t": pa.array([0, 1], pa.timestamp("ns"))})
    with emulated.use_runtime(runtime):
        rows = fitted.transform({"t": ArrowDeviceData(runtime, host["t"])}, backend="emulated")
    assert_same(rows, fitted.transform(host))


def test_a_value_that_is_not_exactly_one_of_the_type_is_named_as_on_the_host() -> None:
    runtime, fitted = EmulatedRuntime(n_bytes=40_000), ff.Plan({"y": col("x") + 1}).fit({"x": [1]})
    host = {"x": np.where(np.arange(2000) == 1700, 0.5, np.arange(2000.0))}
    with pytest.raises(InvalidData) as expected:
        fitted.transform(host)
    assert 'col("x"): 0.5 in row 1700 is not exactly a value of type int64' in str(expected.value)
    with emulated.use_runtime(runtime):
        data = {"x": put(runtime, host["x"])}
        for to in ("arrow", "numpy", "cupy"):
            with pytest.raises(InvalidData) as caught:
                fitted.transform(data, to=to, backend="emulated")
            assert str(caught.value) == str(expected.value)
        del caught, expected


def test_no_rows_on_the_device_are_no_rows() -> None:
    runtime = EmulatedRuntime()
    data = {name: put(runtime, values[:0]) for name, values in NUMBERS.items()}
    fitted = PLAN.fit(NUMBERS)
    expected = fitted.transform({name: values[:0] for name, values in NUMBERS.items()})
    with emulated.use_runtime(runtime):
        assert_same(fitted.transform(data, backend="emulated"), expected)
        assert fitted.transform(data, to="cupy", backend="emulated").shape == (0, len(FEATURES))
        with pytest.raises(InvalidData, match="no rows to learn"):
            PLAN.fit(data, backend="emulated")


def test_a_plan_that_reads_no_column_counts_the_rows_of_the_device() -> None:
    runtime = EmulatedRuntime()
    fitted = ff.Plan({"one": ff.lit(1)}).fit({"x": [0.0]})
    data = {"x": put(runtime, np.arange(7.0))}
    with emulated.use_runtime(runtime):
        assert fitted.transform(data, backend="emulated")["one"].to_pylist() == [1] * 7
        assert fitted.transform(data, to="cupy", backend="emulated").get().tolist() == [[1.0]] * 7


def test_a_failure_names_row_and_values_of_the_device() -> None:
    values = np.arange(1000)
    values[[700, 900]] = 2**62
    runtime, plan = (
        EmulatedRuntime(),
        ff.Plan({"double": col("x") * 2, "total": (col("x") * 2).max()}),
    )
    fitted = plan.fit({"x": np.arange(3)})
    with emulated.use_runtime(runtime):
        data = {"x": put(runtime, values)}
        for run in (
            lambda: fitted.transform(data, backend="emulated"),
            lambda: fitted.transform(data, to="cupy", backend="emulated"),
            lambda: fitted.transform(data, to="numpy", backend="emulated"),
            lambda: plan.fit(data, backend="emulated"),
        ):
            with pytest.raises(Overflow, match=r"row 700 \(x=4611686018427387904\)"):
                run()
