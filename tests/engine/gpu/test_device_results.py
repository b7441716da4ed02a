"""Results that stay on the device: a matrix, arrays by name, memory that is used again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.errors import InvalidData, InvalidPlan, OutOfDeviceMemory, Overflow, TypeMismatch
from fastfeat_tests.engine.gpu.device_producers import CudaArray, put

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.filterwarnings("ignore::fastfeat.errors.EncodedInFold"),
]

N_ROWS = 150
HOST = {
    "x": np.array([1.0, np.nan, 3.0] * 50),
    "k": np.arange(N_ROWS, dtype=np.int32),
    "flag": np.arange(N_ROWS) % 3 == 0,
    "none": [None, *range(1, N_ROWS)],
}
FEATURES = {"log": col("x").log1p(), "next": col("k") + 1, "small": col("k"), "flag": col("flag")}
SHAPE = (N_ROWS, len(FEATURES))


def matrix_of(plan: ff.Plan, data: Any, runtime: EmulatedRuntime, out: Any = None) -> Any:
    with emulated.use_runtime(runtime):
        return plan.fit(HOST).transform(data, to="cupy", out=out, backend="emulated")


@pytest.mark.parametrize("dtype", ["float32", "float64", None])
@pytest.mark.parametrize("is_resident", [False, True])
def test_a_matrix_has_the_layout_and_bits_of_the_cpu(dtype: str | None, is_resident: bool) -> None:
    runtime = EmulatedRuntime()
    plan = ff.Plan(FEATURES, dtype=dtype)
    names = ("x", "k", "flag") if is_resident else ()
    data = HOST | {name: put(runtime, HOST[name]) for name in names}
    expected = plan.fit(HOST).transform(HOST, to="numpy")
    matrix = matrix_of(plan, data, runtime)
    assert (matrix.shape, matrix.dtype, matrix.strides) == (SHAPE, expected.dtype, expected.strides)
    assert matrix.get().tobytes("F") == expected.tobytes("F")
    with emulated.use_runtime(runtime):
        on_host = np.full(SHAPE, -1, expected.dtype)
        fitted, again = plan.fit_transform(data, to="cupy", backend="emulated")
        plan.fit(HOST).transform(data, to="numpy", out=on_host, backend="emulated")
    assert on_host.tobytes("F") == again.get().tobytes("F") == expected.tobytes("F")
    assert fitted.feature_names == list(FEATURES)


@pytest.mark.parametrize("to", ["cupy", "cupy_columns"])
def test_training_rows_have_features_out_of_fold_on_the_device_too(to: str) -> None:
    runtime = EmulatedRuntime()
    encoded = col("k").cast("int64").target_encode("flag", folds=3, smooth=1)
    plan = ff.Plan({"of_k": (encoded + col("k") % 7), "k": col("k") % 5}, label="flag")
    _, expected = plan.fit_transform(HOST, to="numpy")
    with emulated.use_runtime(runtime):
        fitted, found = plan.fit_transform(HOST, to=to, backend="emulated")
    columns = found.get().T if to == "cupy" else [array.get() for array in found.values()]
    for column, wanted in zip(columns, expected.T, strict=True):
        assert column.astype(np.float64).tobytes() == np.ascontiguousarray(wanted).tobytes()
    assert expected[0, 0] != fitted.transform(HOST, to="numpy")[0, 0]


def test_a_matrix_is_read_again_without_a_copy() -> None:
    runtime = EmulatedRuntime()
    matrix = matrix_of(ff.Plan(FEATURES), HOST, runtime)
    shared = np.from_dlpack(matrix)
    assert shared.ctypes.data == matrix.buffer.address
    column = CudaArray(matrix, shape=(N_ROWS,))
    second = ff.Plan({"twice": col("log") * 2})
    with emulated.use_runtime(runtime):
        fitted = second.fit({"log": shared[:, 0]})
        twice = fitted.transform({"log": column}, backend="emulated")["twice"]
    assert twice.equals(fitted.transform({"log": shared[:, 0].copy()})["twice"])


def test_a_matrix_becomes_one_of_the_host_only_when_asked() -> None:
    matrix = matrix_of(ff.Plan(FEATURES), HOST, EmulatedRuntime())
    with pytest.raises(TypeError, match=r"Copy it: \.get\(\)"):
        np.asarray(matrix)


def test_a_result_outlives_its_runtime_and_is_freed_with_its_last_reader() -> None:
    runtime = EmulatedRuntime()
    matrix = matrix_of(ff.Plan(FEATURES), HOST, runtime)
    runtime.synchronize()
    held = runtime.memory()[1] - runtime.memory()[0]
    assert held == matrix.buffer.n_bytes == N_ROWS * len(FEATURES) * 8
    view = matrix.view()
    del matrix
    runtime.synchronize()
    assert runtime.memory()[0] == runtime.memory()[1] - held
    assert view[2, 2] == 2.0
    del view
    runtime.synchronize()
    assert runtime.memory()[0] == runtime.memory()[1]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("gap", [0, 3])
def test_out_takes_any_strides_and_leaves_the_rest_alone(order: Any, gap: int) -> None:
    runtime, plan = EmulatedRuntime(), ff.Plan(FEATURES)
    whole = np.full((SHAPE[0] + gap, SHAPE[1] + gap), -7.0, order=order)
    held = put(runtime, whole.ravel(order))
    out = CudaArray(held, shape=SHAPE, strides=whole.strides)
    assert matrix_of(plan, HOST, runtime, out) is out
    written = held.get().reshape(whole.shape, order=order)
    expected = plan.fit(HOST).transform(HOST, to="numpy")
    assert written[: SHAPE[0], : SHAPE[1]].tobytes() == np.ascontiguousarray(expected).tobytes()
    assert (written[SHAPE[0] :] == -7).all()
    assert (written[:, SHAPE[1] :] == -7).all()


def test_out_that_cannot_take_the_matrix_is_refused() -> None:
    runtime, plan = EmulatedRuntime(), ff.Plan({"y": col("x") + 1, "z": col("k")})
    shape = (N_ROWS, 2)
    memory = put(runtime, np.zeros(4 * N_ROWS))
    base = memory.buffer.address
    x = CudaArray(memory, shape=(N_ROWS,), data=(base, True))
    data = HOST | {"x": x}
    for out, kind, message in [
        (np.zeros(shape), TypeMismatch, r"on the device, got ndarray.*cupy\.empty\(\(150, 2\)"),
        (CudaArray(memory, shape=(2, N_ROWS)), InvalidData, r"shape \(150, 2\).* got \(2, 150\)"),
        (CudaArray(memory, shape=shape, typestr="<f4"), InvalidData, "float64, got .* float32"),
        (CudaArray(memory, shape=shape, data=(base, True)), InvalidData, "writeable"),
        (CudaArray(memory, shape=shape, data=(base + 4, False)), InvalidData, "aligned"),
        (CudaArray(memory, shape=shape, strides=(12, 8)), InvalidData, "aligned"),
        (CudaArray(memory, shape=shape, strides=(0, 8)), InvalidData, "overlap itself"),
        (CudaArray(memory, shape=shape), InvalidData, "overlaps .* column 'x'"),
        (
            CudaArray(memory, shape=shape, strides=(16, 8), data=(base + 8 * (N_ROWS - 1), False)),
            InvalidData,
            "overlaps .* column 'x'",
        ),
        (
            CudaArray(memory, shape=shape, strides=(64, 8), data=(base + 8 * N_ROWS, False)),
            InvalidData,
            "not in the memory of this",
        ),
        (put(EmulatedRuntime(), np.zeros(shape)), InvalidData, "out=: .*not in the memory of this"),
    ]:
        with pytest.raises(kind, match=message):
            matrix_of(plan, data, runtime, out)
    beside = CudaArray(memory, shape=shape, strides=(16, 8), data=(base + 8 * N_ROWS, False))
    assert matrix_of(plan, data, runtime, beside) is beside
    assert memory.get()[N_ROWS : N_ROWS + 2].tolist() == [1.0, 0.0]


def test_arrays_by_name_keep_the_types_of_the_features() -> None:
    runtime, plan = EmulatedRuntime(), ff.Plan(FEATURES)
    expected = plan.fit(HOST).transform(HOST)
    with emulated.use_runtime(runtime):
        arrays = plan.fit(HOST).transform(HOST, to="cupy_columns", backend="emulated")
    assert {name: array.dtype.name for name, array in arrays.items()} == {
        "log": "float64",
        "next": "int64",
        "small": "int32",
        "flag": "bool",
    }
    for name, array in arrays.items():
        column = expected[name].to_numpy()
        assert array.get().tobytes() == column.tobytes(), name
    rounded = ff.Plan(FEATURES, dtype="float32").fit(HOST)
    with emulated.use_runtime(runtime):
        arrays = rounded.transform(HOST, to="cupy_columns", backend="emulated")
    assert arrays["log"].dtype == np.float32
    assert arrays["small"].dtype == np.int32


@pytest.mark.parametrize(
    ("feature", "filled", "where"),
    [
        (col("none") + 1, (col("none") + 1).fill_null(0), "row 0 (none=None)"),
        (col("none") > 100, (col("none") > 100).fill_null(False), "row 0 (none=None)"),
        (col("x") > 2, (col("x") > 2).cast("float64"), "row 1 (x=nan)"),
    ],
)
def test_an_integer_or_bool_that_is_missing_is_an_error_in_an_array(
    feature: ff.Expr, filled: ff.Expr, where: str
) -> None:
    fitted = ff.Plan({"first": col("x"), "bad": feature}).fit(HOST)
    with pytest.raises(InvalidData, match="is missing, but an array of integers") as caught:
        fitted.transform(HOST, to="cupy_columns", backend="emulated")
    assert f"feature 'bad', {where}" in str(caught.value)
    assert ".fill_null" in str(caught.value)
    good = (
        ff.Plan({"good": filled}).fit(HOST).transform(HOST, to="cupy_columns", backend="emulated")
    )
    assert good["good"].shape == (N_ROWS,)


def test_what_a_matrix_cannot_hold_is_an_error_on_the_device_too() -> None:
    large = {"x": np.array([0, 2**24 + 1, 5])}
    plan = ff.Plan({"x": col("x")}, dtype="float32")
    with pytest.raises(Overflow, match=r"feature 'x', row 1 .*2\*\*24"):
        plan.fit(large).transform(large, to="cupy", backend="emulated")
    times = {"t": np.array([0], "M8[s]")}
    for to, place in (("cupy", "a matrix"), ("cupy_columns", "a device array")):
        with pytest.raises(TypeMismatch, match=f"which {place} cannot hold"):
            ff.Plan({"t": col("t")}).fit(times).transform(times, to=to, backend="emulated")


def test_a_result_on_the_device_needs_a_backend_with_a_device() -> None:
    fitted = ff.Plan(FEATURES).fit(HOST)
    for to in ("cupy", "cupy_columns"):
        for backend in ("cpu", "reference"):
            with pytest.raises(InvalidPlan, match=f"to='{to}' .* backend='{backend}'"):
                fitted.transform(HOST, to=to, backend=backend)
    with pytest.raises(InvalidPlan, match="'cupy_columns', got 'jax'"):
        fitted.transform(HOST, to="jax")
    with pytest.raises(InvalidPlan, match="out= is for"):
        fitted.transform(HOST, to="cupy_columns", out=np.zeros(3), backend="emulated")


def test_a_matrix_without_room_says_what_it_needs_and_gives_back() -> None:
    class Small(EmulatedRuntime):
        n_given_back = 0

        def give_back(self) -> None:
            self.n_given_back += 1

    runtime = Small(n_bytes=2000)
    with pytest.raises(
        OutOfDeviceMemory, match=r"a matrix of shape \(150, 4\) needs 4,800 bytes .* 2,000 are free"
    ):
        matrix_of(ff.Plan(FEATURES), HOST, runtime)
    assert runtime.n_given_back == 1
    runtime.synchronize()
    assert runtime.memory() == (2000, 2000)


def test_a_matrix_is_filled_in_pieces_where_the_data_does_not_fit() -> None:
    n = 5000
    data = {"x": np.random.default_rng(0).normal(size=n), "k": np.arange(n)}
    plan = ff.Plan({"y": col("x").exp(), "z": col("k") * 2})
    expected = plan.fit(data).transform(data, to="numpy")
    runtime = EmulatedRuntime(n_bytes=16 * n + 9000)
    with emulated.use_runtime(runtime):
        matrix = plan.fit(data).transform(data, to="cupy", backend="emulated")
    assert matrix.get().tobytes("F") == expected.tobytes("F")
