"""Data on a device that is not read: refused with a reason and what to do, and released."""

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
from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat_tests.engine.gpu.device_numbers import N_ROWS, NUMBERS, PLAN
from fastfeat_tests.engine.gpu.device_producers import ArrowDeviceData, CudaArray, DlpackTensor, put

pytestmark = pytest.mark.emulator


def refused(data: Any, kind: type[Exception], *parts: str, plan: ff.Plan = PLAN) -> None:
    with pytest.raises(kind) as caught:
        plan.fit(NUMBERS).transform(data, backend="emulated")
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_backend_of_the_host_refuses_memory_of_a_device(backend: str) -> None:
    data = {name: put(EmulatedRuntime(), values) for name, values in NUMBERS.items()}
    for run in (PLAN.fit, PLAN.fit(NUMBERS).transform):
        with pytest.raises(InvalidData, match=r'col\("f64"\) is in device memory') as told:
            run(data, backend=backend)
        assert backend in str(told.value)
        assert "backend='gpu'" in str(told.value)
    with pytest.raises(InvalidData, match="in device memory"):
        PLAN.fit(NUMBERS).verify(data)


def test_arrays_that_are_no_columns_are_refused_with_what_to_do() -> None:
    runtime = EmulatedRuntime()
    with emulated.use_runtime(runtime):
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
            (ArrowDeviceData(runtime, pa.array(["a"])), TypeMismatch, ("string", "host memory")),
            (ArrowDeviceData(runtime, pa.array([1.0]), device=8), TypeMismatch, ("type 8",)),
        ]:
            refused(good | {"f64": column}, kind, 'col("f64")', *parts)
        alone = ff.Plan({"y": col("f64")})
        refused({"f64": shifted}, InvalidData, "not a multiple of 8 bytes", "x.copy()", plan=alone)
        text = ff.Plan({"is_a": col("text") == "a"}).fit({"text": ["a"]})
        with pytest.raises(TypeMismatch, match="fit saw text, got float64 in device memory"):
            text.transform({"text": good["f64"]}, backend="emulated")
        with pytest.raises(TypeMismatch, match="is not a table"):
            alone.fit(ArrowDeviceData(runtime, pa.array([1.0])), backend="emulated")
        never = ff.Plan({"y": col("x").is_null()}).fit({"x": [None]})
        with pytest.raises(TypeMismatch, match="only missing values"):
            never.transform({"x": good["f64"]}, backend="emulated")


def _durations(runtime: EmulatedRuntime) -> ArrowDeviceData:
    return ArrowDeviceData(runtime, pa.array(range(N_ROWS), pa.duration("s")))


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
    with emulated.use_runtime(runtime):
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
    with emulated.use_runtime(runtime):
        assert alone.transform({"x": tensor}, backend="emulated")["y"].to_pylist() == [0, 1, 2, 3]
        for given in (tensor.capsule, None):
            tensor.capsule = given
            with pytest.raises(TypeMismatch, match=r'col\("x"\): cannot be shared through DLPack'):
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
    with pytest.raises(InvalidData, match="already released"):
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
