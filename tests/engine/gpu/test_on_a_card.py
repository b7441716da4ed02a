"""On a real card, where there is one: the contract, the runtime, and CuPy on both sides."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.gpu.device.current import current_runtime
from fastfeat.errors import KernelFailed, OutOfDeviceMemory
from fastfeat.trust.selfcheck.check import check
from fastfeat_tests.engine.gpu.device_kernels import ARGUMENTS, KERNEL, run_kernel
from fastfeat_tests.operators.operator_features import families, plan_of
from fastfeat_tests.operators.operator_tables import (
    bits_of,
    empty_table,
    extreme_table,
    missing_table,
    small_table,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning"),
]

DOUBLED = f"""
{KERNEL} kernel{ARGUMENTS} {{
    const i64 step = (i64)gridDim.x * blockDim.x;
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        FF_GLOBAL(i64, table[1])[i] = 2 * FF_GLOBAL(const i64, table[0])[i];
}}"""


@pytest.fixture
def cupy() -> Any:
    return import_module("cupy")


def test_the_contract_holds() -> None:
    report = check("gpu", print, n_rows=1 << 24)
    assert report.ok, report.to_json()


@pytest.mark.parametrize("family", [*families(learnt=False), *families(learnt=True)])
def test_operators_have_the_bits_of_the_cpu_on_this_card(family: str) -> None:
    for train, rows in [
        (small_table(), extreme_table()),
        (missing_table(3), missing_table(70)),
        (small_table(), empty_table()),
    ]:
        expected = plan_of(family).fit(train).transform(rows)
        fitted = plan_of(family).fit(train, backend="gpu")
        result = fitted.transform(rows, backend="gpu")
        for name in expected.column_names:
            assert bits_of(result[name]) == bits_of(expected[name]), name


@pytest.mark.parametrize("n", [1, 1000, 5_000_000])
def test_arrays_larger_than_the_staging_memory_come_back(n: int) -> None:
    x = np.random.default_rng(0).integers(0, 1 << 40, n)
    arrays = [x, np.zeros_like(x)]
    result = run_kernel(current_runtime(), DOUBLED, arrays, grid=(512, 1), block=256, n=n)[1]
    assert (result == 2 * x).all()


def test_a_kernel_that_is_not_there_is_named() -> None:
    with pytest.raises(KernelFailed, match="'other'"):
        run_kernel(current_runtime(), DOUBLED, [np.zeros(1, np.int64)] * 2, kernel="other")


def test_more_memory_than_there_is_says_what_is_free() -> None:
    runtime = current_runtime()
    _, total = runtime.memory()
    with pytest.raises(OutOfDeviceMemory, match=f"no room for {2 * total:,} bytes on"):
        runtime.allocate(2 * total)
    assert runtime.allocate(1 << 20).address % 256 == 0


def test_arrays_of_cupy_go_in_and_come_out(cupy: Any) -> None:
    x = np.random.default_rng(0).normal(size=100_003)
    fitted = ff.Plan({"log": col("x").abs().log1p()}, dtype="float32").fit({"x": x})
    expected = fitted.transform({"x": x}, to="numpy")
    matrix = fitted.transform({"x": cupy.asarray(x)}, to="cupy", backend="gpu")
    assert isinstance(matrix, cupy.ndarray)
    assert cupy.asnumpy(matrix).tobytes("F") == expected.tobytes("F")
    del fitted
    assert float(matrix.sum()) == pytest.approx(float(expected.sum()))


def test_work_of_the_users_stream_comes_first(cupy: Any) -> None:
    n = 10_000_000
    fitted = ff.Plan({"next": col("x") + 1}).fit({"x": [1.0]})
    for _ in range(5):
        with cupy.cuda.Stream(non_blocking=True):
            x = cupy.zeros(n)
            for _ in range(20):
                x += 1
            result = fitted.transform({"x": x}, to="cupy", backend="gpu")
            assert cupy.asnumpy(result).min() == 21


def test_threads_at_once_get_the_bits_of_the_cpu() -> None:
    rows = {"x": np.random.default_rng(1).normal(size=300_000)}
    plan, wrong = ff.Plan({"y": col("x").exp().standard_scale()}), []
    expected = plan.fit(rows).transform(rows)

    def work(k: int) -> None:
        for _ in range(5):
            fitted = plan.fit(rows, backend="gpu")
            if not fitted.transform(rows, backend="gpu").equals(expected):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_many_keys_have_the_codes_of_the_cpu(cupy: Any) -> None:
    random, n = np.random.default_rng(2), 2_000_000
    rows: dict[str, Any] = {
        "few": random.integers(0, 20, n),
        "many": random.integers(0, 2**62, n),
        "number": random.choice([0.0, -0.0, np.nan, 1.5], n),
        "text": np.char.add("key ", random.integers(0, 300_000, n).astype("U6")),
        "x": random.normal(size=n),
    }
    pair = ff.cross(col("text"), col("few"))
    plan = ff.Plan(
        {
            **{name: col(name).ordinal_encode() for name in ("few", "many", "number", "text")},
            "pair": pair.ordinal_encode(max_categories=1000, n_unseen_buckets=9),
            "hash": pair.hash(1000),
            "mean": col("x").mean(by="text"),
        }
    )
    expected = plan.fit(rows).transform(rows)
    there = {name: cupy.asarray(v) if v.dtype.kind in "if" else v for name, v in rows.items()}
    for data in (rows, there):
        fitted = plan.fit(data, backend="gpu")
        assert fitted.transform(data, backend="gpu").equals(expected)
