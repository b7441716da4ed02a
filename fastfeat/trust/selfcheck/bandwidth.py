"""Speed of a device: 12 features of a row, compared with a copy of equally many bytes.

A row plan is a plan in which each feature depends on its own row only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.api.plan import FittedPlan
from fastfeat.backends import backend_named, device_of
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.trust.selfcheck.plans import row_plan
from fastfeat.trust.selfcheck.tables import training_table

N_REPEATS = 7
SHARE_OF_MEMORY = 0.5
_PATTERN_ROWS = 1 << 16
_COPY = """
extern "C" __global__ void copy_words(const i64* table, i64 first, i64 n) {
    const i64* from = FF_GLOBAL(const i64, table[0]);
    i64* to = FF_GLOBAL(i64, table[1]);
    const i64 step = (i64)gridDim.x * blockDim.x;
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) to[i] = from[i];
}
"""


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """The speed of a row plan with rows and results in device memory.

    Args:
        n_rows: Number of rows.
        bytes_per_row: Bytes of the inputs and outputs of a row, which must be read and written.
        rows_per_second: Median speed of the plan.
        copy_bytes_per_second: Median bytes read and written per second by a copying kernel.
        difference: First feature and row with other bits than on the CPU, as text; None if all
            agree.
    """

    n_rows: int
    bytes_per_row: int
    rows_per_second: float
    copy_bytes_per_second: float
    difference: str | None

    @property
    def share_of_copy(self) -> float:
        """Bytes per second of the plan, divided by bytes per second of the copy."""
        return self.rows_per_second * self.bytes_per_row / self.copy_bytes_per_second


def measure_bandwidth(backend: str, n_rows: int, n_repeats: int = N_REPEATS) -> Bandwidth:
    """Return the speed of a row plan on a device with its own memory, and of a copy.

    `n_rows` is reduced to fit half of the free memory. Plan and copy run once without timing, and
    then `n_repeats` times.
    """
    runtime, fitted = device_of(backend_named(backend)), row_plan().fit(training_table())
    pattern = _pattern(fitted)
    n_outputs = len(fitted.feature_names)
    bytes_per_row = sum(values.itemsize for values in pattern.values()) + 4 * n_outputs
    free, _ = runtime.memory()
    fitting = min(n_rows, int(SHARE_OF_MEMORY * free / bytes_per_row))
    n_rows = max(1, fitting // _PATTERN_ROWS) * _PATTERN_ROWS
    seconds, difference = _time_plan(runtime, fitted, pattern, n_rows, (backend, n_repeats))
    copied = copy_bytes_per_second(runtime, n_rows * bytes_per_row // 16, n_repeats)
    return Bandwidth(n_rows, bytes_per_row, n_rows / seconds, copied, difference)


def _time_plan(
    runtime: Runtime,
    fitted: FittedPlan,
    pattern: Mapping[str, NDArray[Any]],
    n_rows: int,
    how: tuple[str, int],
) -> tuple[float, str | None]:
    """Return the median seconds of the plan, and the first difference from the CPU as text.

    The rows repeat `pattern`. `how` is the name of the backend and the number of timed runs.
    """
    backend, n_repeats = how
    n_outputs = len(fitted.feature_names)
    columns = {
        name: repeated_on_device(runtime, values, n_rows) for name, values in pattern.items()
    }
    held = runtime.allocate(4 * n_rows * n_outputs)
    out = runtime.array(held, (n_rows, n_outputs), np.dtype(np.float32), (4, 4 * n_rows))

    def transform() -> None:
        fitted.transform(columns, to="cupy", out=out, backend=backend)

    seconds = _median_seconds(transform, n_repeats)
    return seconds, _difference(runtime, fitted, pattern, held, n_rows)


def _pattern(fitted: FittedPlan) -> Mapping[str, NDArray[Any]]:
    """Return columns of rows to repeat, by name; missing floats are NaN."""
    table = training_table(_PATTERN_ROWS)  # its quotients fit float32
    return {name: table[name].to_numpy() for name in fitted.plan.columns}


def repeated_on_device(runtime: Runtime, values: NDArray[Any], n_rows: int) -> Any:
    """Return a device array of length `n_rows` that repeats `values`.

    `n_rows` must be a multiple of their number.
    """
    values = np.ascontiguousarray(values)
    buffer = runtime.allocate(n_rows * values.itemsize)
    for at in range(0, buffer.n_bytes, values.nbytes):
        runtime.upload(values, buffer, at)
    runtime.synchronize()
    return runtime.array(buffer, (n_rows,), values.dtype, (values.itemsize,))


def _median_seconds(call: Callable[[], None], n_repeats: int) -> float:
    call()  # compile, and touch the memory
    taken: list[float] = []
    for _ in range(n_repeats):
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    return median(taken)


def _difference(
    runtime: Runtime, fitted: FittedPlan, pattern: Mapping[str, Any], held: Buffer, n_rows: int
) -> str | None:
    """Return the first feature and row that differ from the CPU, as text; None if none does.

    Only the last rows of the result in `held` are compared.
    """
    expected = fitted.transform(dict(pattern), to="numpy").view(np.int32)
    found = np.empty(_PATTERN_ROWS, np.int32)
    for k, name in enumerate(fitted.feature_names):
        runtime.download(held, found, 4 * ((k + 1) * n_rows - _PATTERN_ROWS))
        runtime.synchronize()
        differ = np.flatnonzero(found != expected[:, k])
        if len(differ):
            return f"{name}, row {n_rows - _PATTERN_ROWS + int(differ[0])}"
    return None


def copy_bytes_per_second(runtime: Runtime, n_words: int, n_repeats: int = N_REPEATS) -> float:
    """Return the bytes read and written per second by a kernel that copies 8-byte words."""
    source, target = runtime.allocate(8 * n_words), runtime.allocate(8 * n_words)
    table, module = runtime.allocate(16), runtime.module(_COPY)
    runtime.upload(np.array([source.address, target.address]), table)
    grid = (runtime.geometry.grid_of_rows(n_words), 1)

    def copy() -> None:
        runtime.launch(module, "copy_words", grid, runtime.geometry.block, table, 0, n_words)
        runtime.synchronize()

    return 16 * n_words / _median_seconds(copy, n_repeats)
