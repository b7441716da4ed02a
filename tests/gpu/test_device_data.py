"""Data that is on the device already: read in place, released when done, refused with a reason."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from device_producers import ArrowDeviceData, CudaArray, DlpackTensor, put
from operator_tables import bits_of

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated
from fastfeat.backends.gpu.emulated import EmulatedRuntime
from fastfeat.dtypes import UTF8
from fastfeat.errors import InvalidData, Overflow, TypeMismatch
from fastfeat.io.device.arrow import ArrowArray, import_arrow
from fastfeat.io.device.capsule import pointer_in
from fastfeat.io.types import known_type

pytestmark = pytest.mark.emulator

N_ROWS = 203
RANDOM = np.random.default_rng(0)
NUMBERS: dict[str, Any] = {
    "f64": np.where(RANDOM.random(N_ROWS) < 0.2, np.nan, RANDOM.normal(size=N_ROWS)),
    "f32": RANDOM.normal(size=N_ROWS).astype(np.float32),
    "i64": RANDOM.integers(-(2**50), 2**50, N_ROWS),
    "i8": RANDOM.integers(-100, 100, N_ROWS).astype(np.int8),
    "u16": RANDOM.integers(0, 60000, N_ROWS).astype(np.uint16),
    "flag": RANDOM.random(N_ROWS) < 0.5,
}
FEATURES = {
    "log": col("f64").log1p(),
    "scaled": col("f32").standard_scale(),
    "sum": col("i64") + col("i8"),
    "small": col("u16") // 7,
    "not": ~col("flag"),
    "median": col("i8") - col("i8").median(),
    "computed": col("f64") - (col("f64") * 2).quantile(0.3),
    "positive": (col("f64") > 0),
}
PLAN = ff.Plan(FEATURES)


def assert_same(one: Any, other: Any) -> None:
    assert one.schema == other.schema
    for name in one.column_names:
        assert bits_of(one[name]) == bits_of(other[name]), name


def fitted_and_features(runtime: EmulatedRuntime, data: Any, plan: ff.Plan = PLAN) -> Any:
    with emulated.running_on(runtime):
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


def refused(data: Any, kind: type[Exception], *parts: str, plan: ff.Plan = PLAN) -> None:
    with pytest.raises(kind) as caught:
        plan.fit(NUMBERS).transform(data, backend="emulated")
    for part in parts:
        assert part in str(caught.value)


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
    with emulated.running_on(runtime):
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
        with emulated.running_on(runtime):
            rows = plan.fit(host).transform(data, backend="emulated")
        assert_same(rows, plan.fit(host).transform(host.slice(5)))


def test_an_arrow_array_may_be_one_of_many_columns() -> None:
    runtime, array = EmulatedRuntime(), pa.array([1.5, None, 2.5])
    data = {"x": ArrowDeviceData(runtime, array, event=1234), "y": put(runtime, np.arange(3))}
    plan = ff.Plan({"z": col("x") + col("y")})
    with emulated.running_on(runtime):
        rows = plan.fit({"x": array, "y": np.arange(3)}).transform(data, backend="emulated")
    assert rows["z"].to_pylist() == [1.5, None, 4.5]
    assert ("event", 1234) in runtime.waited_for


HOST_TYPES: dict[str, Any] = {
    "half": pa.float16(),
    "decimal": pa.decimal128(20, 3),
    "large decimal": pa.decimal256(50, 2),
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
    with emulated.running_on(runtime):
        plan.fit({"x": [0.0], "y": [0.0]}).transform({"x": tensor, "y": array}, backend="emulated")
    gc.collect()
    assert len(tensor.deleted) == 1
    assert tensor.streams == [1]
    assert set(runtime.waited_for) == {("stream", 1), ("stream", 77)}


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_backend_of_the_host_refuses_memory_of_a_device(backend: str) -> None:
    data = {name: put(EmulatedRuntime(), values) for name, values in NUMBERS.items()}
    for run in (PLAN.fit, PLAN.fit(NUMBERS).transform):
        with pytest.raises(InvalidData, match=r'col\("f64"\) is in the memory of a device') as told:
            run(data, backend=backend)
        assert backend in str(told.value)
        assert "backend='gpu'" in str(told.value)
    with pytest.raises(InvalidData, match="memory of a device"):
        PLAN.fit(NUMBERS).verify(data)


def test_arrays_that_are_no_columns_are_refused_with_what_to_do() -> None:
    runtime = EmulatedRuntime()
    with emulated.running_on(runtime):
        good = {name: put(runtime, values) for name, values in NUMBERS.items()}
        other = put(EmulatedRuntime(), NUMBERS["f64"])
        matrix = put(runtime, np.zeros((N_ROWS, 2)))
        half = put(runtime, np.zeros(N_ROWS, np.float16))
        shifted = CudaArray(good["f64"], data=(good["f64"].buffer.address + 4, False), shape=(9,))
        for column, kind, parts in [
            (other, InvalidData, ("not in the memory of this", "0x")),
            (matrix, TypeMismatch, ("one dimension", f"({N_ROWS}, 2)")),
            (half, TypeMismatch, ("float16", "astype")),
            (CudaArray(good["f64"], strides=(16,)), InvalidData, ("16 bytes apart", "contiguous")),
            (CudaArray(good["f64"], strides=(-8,)), InvalidData, ("-8 bytes apart",)),
            (CudaArray(good["f64"], mask=good["flag"]), InvalidData, ("mask", "NaN")),
            (CudaArray(good["f64"], typestr=">f8"), TypeMismatch, ("float64",)),
            (put(runtime, NUMBERS["f64"][1:]), InvalidData, ("unequal lengths", "202", "203")),
            (DlpackTensor(good["f64"], strides=(2,)), InvalidData, ("16 bytes apart",)),
            (DlpackTensor(good["f64"], code=4), TypeMismatch, ("bfloat64",)),
            (DlpackTensor(good["f64"], device=10), TypeMismatch, ("type 10",)),
            (_durations(runtime), TypeMismatch, ("fit saw float64, got duration[s]", "astype")),
            (ArrowDeviceData(runtime, pa.array(["a"])), TypeMismatch, ("string", "host's memory")),
            (ArrowDeviceData(runtime, pa.array([1.0]), device=8), TypeMismatch, ("type 8",)),
        ]:
            refused(good | {"f64": column}, kind, 'col("f64")', *parts)
        alone = ff.Plan({"y": col("f64")})
        refused({"f64": shifted}, InvalidData, "no multiple of 8 bytes", "x.copy()", plan=alone)
        text = ff.Plan({"is_a": col("text") == "a"}).fit({"text": ["a"]})
        with pytest.raises(TypeMismatch, match="fit saw text, got float64 in the memory"):
            text.transform({"text": good["f64"]}, backend="emulated")
        with pytest.raises(TypeMismatch, match="is no table"):
            alone.fit(ArrowDeviceData(runtime, pa.array([1.0])), backend="emulated")
        never = ff.Plan({"y": col("x").is_null()}).fit({"x": [None]})
        with pytest.raises(TypeMismatch, match="only missing values"):
            never.transform({"x": good["f64"]}, backend="emulated")


def _durations(runtime: EmulatedRuntime) -> ArrowDeviceData:
    return ArrowDeviceData(runtime, pa.array(range(N_ROWS), pa.duration("s")))


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
    with emulated.running_on(runtime):
        rows = fitted.transform(data, backend="emulated")
        matrix = fitted.transform(data, to="numpy", backend="emulated")
    assert_same(rows, fitted.transform(OTHER_TYPES))
    assert matrix.tobytes() == fitted.transform(OTHER_TYPES, to="numpy").tobytes()


def test_times_of_another_unit_are_converted_with_what_is_missing() -> None:
    runtime, plan = EmulatedRuntime(), ff.Plan({"t": col("t"), "hour": col("t").dt.hour()})
    ticks = [10**9 * 1000, None, -3_600_000, 0] * 20
    host = {"t": pa.array(ticks, pa.timestamp("ms"))[3:]}
    fitted = plan.fit({"t": pa.array([0, 1], pa.timestamp("ns"))})
    with emulated.running_on(runtime):
        rows = fitted.transform({"t": ArrowDeviceData(runtime, host["t"])}, backend="emulated")
    assert_same(rows, fitted.transform(host))


def test_a_value_that_is_not_exactly_one_of_the_type_is_named_as_on_the_host() -> None:
    runtime, fitted = EmulatedRuntime(n_bytes=40_000), ff.Plan({"y": col("x") + 1}).fit({"x": [1]})
    host = {"x": np.where(np.arange(2000) == 1700, 0.5, np.arange(2000.0))}
    with pytest.raises(InvalidData) as expected:
        fitted.transform(host)
    assert 'col("x"): 0.5 in row 1700 is not exactly a value of type int64' in str(expected.value)
    with emulated.running_on(runtime):
        data = {"x": put(runtime, host["x"])}
        for to in ("arrow", "numpy", "cupy"):
            with pytest.raises(InvalidData) as caught:
                fitted.transform(data, to=to, backend="emulated")
            assert str(caught.value) == str(expected.value)
        del caught, expected


MALFORMED: dict[str, list[Any]] = {
    "typestr": [None, 5, "zzz", np.dtype("f8")],
    "shape": [None, 3, (-1,), (1.5,), ("3",), (2**62, 2), (2**70,)],
    "data": [None, (), 8, ("a", False), (-8, False), (2**64, False)],
    "strides": [(), (8, 8), 8, ("a",)],
    "stream": ["a", -1, 2**70],
}


def test_an_interface_that_makes_no_sense_is_refused() -> None:
    runtime = EmulatedRuntime()
    array, alone = put(runtime, np.arange(4.0)), ff.Plan({"y": col("x")})
    whole = array.__cuda_array_interface__
    says: list[Any] = [5, "x", [1], {}]
    says += [{k: v for k, v in whole.items() if k != left} for left in ("shape", "typestr", "data")]
    says += [whole | {key: value} for key, values in MALFORMED.items() for value in values]
    malformed = "its __cuda_array_interface__ is malformed"
    fitted = alone.fit({"x": [0.5]})
    column: Any = CudaArray(array)
    with emulated.running_on(runtime):
        for said in says:
            column.__cuda_array_interface__ = said
            with pytest.raises(InvalidData, match=rf'col\("x"\): {malformed}'):
                fitted.transform({"x": column}, backend="emulated")
            with pytest.raises(InvalidData, match=f"out=: {malformed}"):
                fitted.transform({"x": array}, to="cupy", out=column, backend="emulated")
        column.__cuda_array_interface__ = whole | {"shape": (2**60,)}
        with pytest.raises(InvalidData, match="not in the memory of this"):
            fitted.transform({"x": column}, backend="emulated")


@pytest.mark.parametrize("error", [RuntimeError, TypeError, ValueError, NotImplementedError])
@pytest.mark.parametrize(
    "protocol",
    ["__cuda_array_interface__", "__arrow_c_device_array__", "__dlpack__", "__dlpack_device__"],
)
def test_a_library_that_cannot_share_its_array_is_heard(protocol: str, error: Any) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error("it records gradients")

    method = property(fail) if protocol == "__cuda_array_interface__" else fail
    both = {"__dlpack_device__": lambda _: (2, 0)} if protocol == "__dlpack__" else {}
    array = type("Array", (), {**both, protocol: method})()
    with pytest.raises(TypeMismatch, match="it records gradients"):
        ff.Plan({"y": col("x")}).fit({"x": array}, backend="emulated")


def test_a_tensor_is_taken_once_and_of_types_that_are_read() -> None:
    runtime, alone = EmulatedRuntime(), ff.Plan({"y": col("x")}).fit({"x": [0.5]})

    class Given(DlpackTensor):
        capsule: Any

        def __dlpack__(self, *, stream: int) -> Any:
            return self.capsule

    tensor = Given(put(runtime, np.arange(4.0)))
    tensor.capsule = DlpackTensor.__dlpack__(tensor, stream=1)
    with emulated.running_on(runtime):
        assert alone.transform({"x": tensor}, backend="emulated")["y"].to_pylist() == [0, 1, 2, 3]
        for given in (tensor.capsule, None):
            tensor.capsule = given
            with pytest.raises(TypeMismatch, match=r'col\("x"\): cannot be shared by DLPack'):
                alone.transform({"x": tensor}, backend="emulated")
        for code, bits, text in [(2, 4, "float4"), (6, 1, "bool1"), (0, 0, "int0"), (9, 8, "unkn")]:
            odd = DlpackTensor(put(runtime, np.arange(4.0)), code=code, bits=bits)
            with pytest.raises(TypeMismatch, match=rf'col\("x"\): tensors of {text}'):
                alone.transform({"x": odd}, backend="emulated")
            gc.collect()
            assert len(odd.deleted) == 1


@pytest.mark.parametrize("is_table", [False, True])
def test_an_arrow_array_that_was_released_is_refused(is_table: bool) -> None:
    runtime, array = EmulatedRuntime(), pa.array([1.5, 2.5])
    exported = ArrowDeviceData(runtime, pa.record_batch({"x": array}) if is_table else array)

    class Again:
        def __arrow_c_device_array__(self, requested_schema: object = None) -> Any:
            return pa.field("", array.type).__arrow_c_schema__(), capsule

    capsule, data = exported.__arrow_c_device_array__()[1], Again() if is_table else {"x": Again()}
    exported.release()
    with pytest.raises(InvalidData, match="released before"):
        ff.Plan({"y": col("x")}).fit(data, backend="emulated")
    assert exported.released == 1


@pytest.mark.parametrize(
    "wrong",
    [
        *({"length": n} for n in (-1, 9)),
        *({"offset": n} for n in (-1, 5)),
        *({"n_buffers": n} for n in (-1, 0, 3)),
        *({"n_children": n} for n in (-1, 0, 2)),
        {"buffers": None},
        {"children": None},
    ],
)
def test_an_arrow_table_that_is_malformed_is_refused_and_released(wrong: dict[str, Any]) -> None:
    exported = ArrowDeviceData(EmulatedRuntime(), pa.record_batch({"x": pa.array([1.5, 2.5])}))
    exported.pretend(**wrong)
    with pytest.raises(InvalidData, match="malformed"):
        ff.Plan({"y": col("x")}).fit(exported, backend="emulated")
    gc.collect()
    assert exported.released == 1


@pytest.mark.parametrize(
    "wrong", [{"length": 1}, {"length": -1}, {"offset": -1}, {"n_buffers": 0}, {"buffers": None}]
)
def test_a_column_of_an_arrow_table_that_is_malformed_is_refused(wrong: dict[str, Any]) -> None:
    exported = ArrowDeviceData(EmulatedRuntime(), pa.record_batch({"x": pa.array([1.5, 2.5])}))
    exported.pretend(0, **wrong)
    with pytest.raises(InvalidData, match=r'col\("x"\): the Arrow device array is malformed'):
        ff.Plan({"y": col("x")}).fit(exported, backend="emulated")


def test_no_rows_on_the_device_are_no_rows() -> None:
    runtime = EmulatedRuntime()
    data = {name: put(runtime, values[:0]) for name, values in NUMBERS.items()}
    fitted = PLAN.fit(NUMBERS)
    expected = fitted.transform({name: values[:0] for name, values in NUMBERS.items()})
    with emulated.running_on(runtime):
        assert_same(fitted.transform(data, backend="emulated"), expected)
        assert fitted.transform(data, to="cupy", backend="emulated").shape == (0, len(FEATURES))
        with pytest.raises(InvalidData, match="no rows to learn"):
            PLAN.fit(data, backend="emulated")


def test_a_plan_that_reads_no_column_counts_the_rows_of_the_device() -> None:
    runtime = EmulatedRuntime()
    fitted = ff.Plan({"one": ff.lit(1)}).fit({"x": [0.0]})
    data = {"x": put(runtime, np.arange(7.0))}
    with emulated.running_on(runtime):
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
    with emulated.running_on(runtime):
        data = {"x": put(runtime, values)}
        for run in (
            lambda: fitted.transform(data, backend="emulated"),
            lambda: fitted.transform(data, to="cupy", backend="emulated"),
            lambda: fitted.transform(data, to="numpy", backend="emulated"),
            lambda: plan.fit(data, backend="emulated"),
        ):
            with pytest.raises(Overflow, match=r"row 700 \(x=4611686018427387904\)"):
                run()
