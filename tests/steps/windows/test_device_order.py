"""What windows on a device stand on: sums before each place, and rows in order."""

from __future__ import annotations

import random
from itertools import accumulate

import numpy as np
import pyarrow as pa
import pytest
from fastfeat_kernels.windows import cuda

from fastfeat.engine.gpu.columns.kernels import download_array
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.runtime import Buffer, Geometry
from fastfeat.ir.dtypes import INT64
from fastfeat.steps.windows.gpu.kernels import room, scan
from fastfeat.steps.windows.gpu.order import order_of
from fastfeat.steps.windows.rows import RowOrder

pytestmark = pytest.mark.emulator
BLOCK = 32
TILE = cuda.tile_of(BLOCK)


def runtime_of(order: str) -> EmulatedRuntime:
    shape = Geometry(block=BLOCK, most_blocks=3, rows_per_thread=1)
    return EmulatedRuntime(order, geometry=shape)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("order", ["forward", "random"])
@pytest.mark.parametrize("width", cuda.WIDTHS)
@pytest.mark.parametrize("n", [0, 1, TILE - 1, TILE, TILE + 1, 5 * TILE + 3])
def test_a_scan_is_the_sum_of_what_stands_before(n: int, width: int, order: str) -> None:
    runtime, rng, wrap = runtime_of(order), random.Random(n), 1 << (64 * width)
    values = [rng.choice([rng.randrange(wrap), wrap - 1, 1, 0]) for _ in range(n)]
    memory = room(runtime, n + 1, 8 * width)
    content = b"".join(x.to_bytes(8 * width, "little") for x in values)
    if n:
        runtime.upload(np.frombuffer(content, np.uint8), memory)
    scan(runtime, memory, n, width)
    found = download_array(runtime, memory, np.uint8, 8 * width * (n + 1)).tobytes()
    words = [found[k : k + 8 * width] for k in range(0, len(found), 8 * width)]
    expected = [total % wrap for total in accumulate(values, initial=0)]
    assert [int.from_bytes(word, "little") for word in words] == expected


def test_a_scan_of_many_tiles_goes_through_three_levels() -> None:
    runtime, n = runtime_of("forward"), TILE * TILE + 5
    memory = room(runtime, n + 1, 8)
    runtime.upload(np.ones(n, np.int64), memory)
    scan(runtime, memory, n)
    assert np.array_equal(download_array(runtime, memory, np.int64, n + 1), np.arange(n + 1))


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
@pytest.mark.parametrize("n", [1, TILE, 2 * TILE + 7])
def test_rows_stand_by_entity_time_tie_and_as_they_come_in(n: int, order: str) -> None:
    rng = random.Random(n)
    keys = [rng.choice([None, 7, -1, 2**40]) for _ in range(n)]
    times = [rng.choice([None, -(2**63), 2**63 - 1, -1, 0, rng.randrange(300)]) for _ in range(n)]
    ties = [rng.choice([None, 0.0, -0.0, -5.0, float("inf")]) for _ in range(n)]
    past = RowOrder(
        pa.chunked_array([pa.array(times, pa.int64())]),
        INT64,
        [pa.chunked_array([pa.array(keys, pa.int64())])],
        [INT64],
        pa.chunked_array([pa.array(ties, pa.float64())]),
    )
    runtime = runtime_of(order)
    found = order_of(runtime, past, 0)
    placed = [row for row in range(n) if keys[row] is not None and times[row] is not None]
    assert found.n_placed == len(placed)

    def made(name: str, dtype: type[np.generic], length: int) -> list[int]:
        held = Buffer(found.words[name], length * np.dtype(dtype).itemsize, found.owners)
        return download_array(runtime, held, dtype, length).tolist()

    rows, entities = (made(name, np.int32, len(placed)) for name in ("ROWS", "ENTITIES"))
    number = {keys[row]: entity for row, entity in zip(rows, entities, strict=True)}

    def place(row: int) -> tuple[object, ...]:
        tie = ties[row]
        return number[keys[row]], times[row], (tie is not None, tie or 0.0), row

    assert rows == sorted(placed, key=place)
    assert made("TIMES", np.int64, len(placed)) == [times[row] for row in rows]
    starts = made("STARTS", np.int64, found.n_entities + 1)
    assert starts == [sum(e < k for e in entities) for k in range(found.n_entities + 1)]
