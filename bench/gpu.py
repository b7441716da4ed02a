"""`python -m bench.gpu`: the 12 row features on a card, beside a copy there, CuPy and torch.

It needs a card. Outputs are compared first: those of fastfeat bit for bit with the CPU backend.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import environment, features, frames, timing, units
from bench.compare import EXACT, Tolerance, require_equal
from bench.gpu_features import array_12_features, cupy_library, torch_library
from bench.workloads.row_features import SINGLE
from fastfeat.backends import DEVICE_NAMES, backend_named, device_of
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.errors import BackendUnavailable
from fastfeat.trust.selfcheck.bandwidth import copy_bytes_per_second

N_ROWS = 1 << 25
N_OUTPUTS = 12
BYTES_PER_ROW = 4 * 8 + 4 * 4 + 4 * N_OUTPUTS
"""Bytes read and written per row if NaN marks missing: there are no bitmaps on the device."""
_SECONDS_EACH = 20.0


@dataclass(frozen=True, slots=True)
class Side:
    """One way to compute the features.

    Args:
        name: Name in the report.
        call: Computes them, and returns when they are complete.
        result: Features of the last call, as an array of shape (n_rows, n_features).
        tolerance: Allowed difference from the CPU backend.
    """

    name: str
    call: Callable[[], Any]
    result: Callable[[], NDArray[np.float32]]
    tolerance: Tolerance


def fastfeat_sides(backend: str, table: Any) -> list[Side]:
    """Return fastfeat with input and output in device memory, and in host memory."""
    runtime, fitted = device_of(backend_named(backend)), features.fastfeat_plan(12).fit(table)
    inputs = {name: _on_device(runtime, x) for name, x in frames.to_arrays(table).items()}
    n_rows = table.num_rows
    held = runtime.allocate(4 * n_rows * N_OUTPUTS)
    resident = runtime.array(held, (n_rows, N_OUTPUTS), np.dtype(np.float32), (4, 4 * n_rows))
    on_host = np.full((N_OUTPUTS, n_rows), np.nan, np.float32).T

    def download() -> NDArray[np.float32]:
        matrix = np.empty((N_OUTPUTS, n_rows), np.float32)
        runtime.download(held, matrix)
        runtime.synchronize()
        return matrix.T

    return [
        Side(
            "fastfeat, on the device",
            lambda: fitted.transform(inputs, to="cupy", out=resident, backend=backend),
            download,
            EXACT,
        ),
        Side(
            "fastfeat, host to host",
            lambda: fitted.transform(table, to="numpy", out=on_host, backend=backend),
            lambda: on_host,
            EXACT,
        ),
    ]


def _on_device(runtime: Runtime, values: NDArray[Any]) -> Any:
    buffer = runtime.allocate(values.nbytes)
    runtime.upload(np.ascontiguousarray(values), buffer)
    runtime.synchronize()
    return runtime.array(buffer, values.shape, values.dtype, (values.itemsize,))


def cupy_side(table: Any) -> Side:
    """Return CuPy, operation by operation."""
    cupy: Any = import_module("cupy")
    inputs = {name: cupy.asarray(x) for name, x in frames.to_arrays(table).items()}
    return _array_side(
        "CuPy, op by op",
        lambda: array_12_features(cupy_library(cupy), inputs),
        cupy.cuda.Device().synchronize,
        cupy.asnumpy,
    )


def torch_side(table: Any) -> Side:
    """Return torch, operation by operation."""
    torch: Any = import_module("torch")
    arrays = frames.to_arrays(table)
    inputs = {name: torch.as_tensor(x, device="cuda") for name, x in arrays.items()}
    return _array_side(
        "torch, op by op",
        lambda: array_12_features(torch_library(torch), inputs),
        torch.cuda.synchronize,
        lambda x: x.cpu().numpy(),
    )


def _array_side(
    name: str,
    compute: Callable[[], list[Any]],
    wait: Callable[[], object],
    to_numpy: Callable[[Any], NDArray[np.float32]],
) -> Side:
    def call() -> None:
        compute()
        wait()

    return Side(name, call, lambda: np.column_stack([to_numpy(x) for x in compute()]), SINGLE)


def sides_of(backend: str, table: Any) -> list[Side]:
    """Return every side with an installed library; on the emulated backend only fastfeat."""
    sides = fastfeat_sides(backend, table)
    if backend == "gpu":
        sides.append(cupy_side(table))
        try:
            sides.append(torch_side(table))
        except ModuleNotFoundError:
            print("torch is not installed, and left out")
    return sides


def measure(backend: str, n_rows: int, repeats: int) -> dict[str, Any]:
    """Return the results of a run, as plain data.

    Raises:
        BackendUnavailable: There is no card.
        OutputsDiffer: A side computes another result.
    """
    runtime = device_of(backend_named(backend))
    table = features.table(n_rows)
    expected = features.fastfeat_plan(12).fit(table).transform(table, to="numpy")
    sides = sides_of(backend, table)
    for side in sides:
        side.call()
        require_equal(expected, side.result(), side.tolerance, f"CPU and {side.name}")
    taken = timing.interleave({s.name: s.call for s in sides}, repeats, _SECONDS_EACH)
    return {
        "device": runtime.name,
        "rows": n_rows,
        "bytes_per_row": BYTES_PER_ROW,
        "copy_bytes_per_second": copy_bytes_per_second(runtime, n_rows * BYTES_PER_ROW // 16),
        "environment": environment.describe(),
        "sides": {name: timing.summary(samples) for name, samples in taken.items()},
    }


def render(found: Mapping[str, Any]) -> str:
    """Return the lines for the console."""
    copied = found["copy_bytes_per_second"]
    lines = [
        f"{found['device']}: 12 row features of {found['rows']:,} rows, 5 % missing",
        f"{'a copy on the device':26} {copied / 1e9:10,.0f} GB/s",
    ]
    for name, side in found["sides"].items():
        speed = found["rows"] / side["median_seconds"]
        share = speed * found["bytes_per_row"] / copied
        lines.append(
            f"{name:26} {units.seconds(side['median_seconds']):>10} "
            f"{units.three_digits(speed / 1e9):>8} G rows/s {units.percent(share):>6} of a copy"
        )
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--rows", type=_at_least_one, default=N_ROWS, help=f"default {N_ROWS:,}")
    parser.add_argument(
        "--repeats", type=_at_least_one, default=9, help="samples of each (default 9)"
    )
    parser.add_argument("--out", type=Path, help="file of the results, JSON")
    parser.add_argument(
        "--backend", choices=DEVICE_NAMES, default="gpu", help="emulated: times mean nothing"
    )
    options = parser.parse_args(arguments)
    if options.out is not None and not options.out.parent.is_dir():
        parser.error(f"argument --out: there is no folder {options.out.parent}")
    return options


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 2 without a card."""
    options = parse(arguments)
    try:
        found = measure(options.backend, options.rows, options.repeats)
    except BackendUnavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(render(found))
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
