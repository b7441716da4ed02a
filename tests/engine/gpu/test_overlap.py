"""Copies beside kernels: what is asked of a card in which order, and what a missing wait shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated
from fastfeat.engine.gpu.columns.inputs import Fill
from fastfeat.engine.gpu.device.card_runtime import CardRuntime
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.pieces import pipeline
from fastfeat.engine.gpu.pieces import run as device_matrix
from fastfeat.engine.gpu.pieces import run as device_run
from fastfeat.engine.gpu.pieces.pieces import SHARE_OF_MEMORY, pieces_of
from fastfeat.engine.gpu.programs.program import device_program
from fastfeat.engine.gpu.programs.table import Launch
from fastfeat.engine.gpu.runtime import Mark, Runtime
from fastfeat.errors import FastfeatError, OutOfDeviceMemory, Overflow
from fastfeat_tests.engine.gpu.device_producers import CudaArray, put
from fastfeat_tests.engine.gpu.simulated_card import Request, SimulatedCard

pytestmark = pytest.mark.emulator

N_ROWS = 1500
RANDOM = np.random.default_rng(0)
DATA: dict[str, Any] = {
    "x": np.where(RANDOM.random(N_ROWS) < 0.1, np.nan, RANDOM.normal(size=N_ROWS)),
    "y": RANDOM.normal(size=N_ROWS).astype(np.float32),
    "k": RANDOM.integers(-1000, 1000, N_ROWS),
    "flag": pa.array(RANDOM.random(N_ROWS) < 0.5, mask=RANDOM.random(N_ROWS) < 0.2),
}
PLAN = ff.Plan({"x": col("x") * 3, "y": col("y") + 1, "k": col("k") > 0, "flag": ~col("flag")})
WIDE = {f"c{k}": RANDOM.normal(size=N_ROWS) for k in range(40)}
WIDE_PLAN = ff.Plan({name: col(name) * 2 + k for k, name in enumerate(WIDE)})
BIG_SLOT = 1 << 20  # no copy waits for a slot
PIECE_BYTES = 8_000


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pieces be small, though there is memory for all rows."""
    for module in (device_run, device_matrix):
        monkeypatch.setattr(module, "PIECE_BYTES", PIECE_BYTES)


def places(requests: list[Request], kind: str, n_bytes: int | None = None) -> list[int]:
    """Return where in the order of requests those of a kind are."""
    return [
        at
        for at, request in enumerate(requests)
        if request.kind == kind and n_bytes in (None, request.n_bytes)
    ]


def requests_of(plan: ff.Plan, data: Any, to: Any = None) -> tuple[Any, list[Request]]:
    """Return the features of rows, computed on a card, and what was asked of it."""
    card, fitted = SimulatedCard(0), plan.fit(data)
    runtime = CardRuntime(card, slot_bytes=BIG_SLOT)
    with emulated.use_runtime(runtime):
        found = fitted.transform(data, to=to or "arrow", backend="emulated")
        if to == "cupy":
            found = found.copy()  # its memory ends with the runtime
    return found, card.requests


def test_a_kernel_is_launched_before_the_columns_of_later_ones_are_copied() -> None:
    found, requests = requests_of(WIDE_PLAN, WIDE)
    assert found.equals(WIDE_PLAN.fit(WIDE).transform(WIDE))
    launches, columns = places(requests, "launch"), places(requests, "upload", 8 * N_ROWS)
    assert len(columns) == len(WIDE)
    assert len(launches) > 1
    parts = [sum(at < launch for at in columns) for launch in launches]
    assert parts == sorted(set(parts)), "each launch waits for columns of its own"
    assert 0 < parts[0] <= len(columns) // 2
    assert parts[-1] == len(columns)


def test_the_launch_that_needs_the_fewest_new_columns_comes_first() -> None:
    wide = sum((col(f"c{k}") for k in range(1, 14)), start=col("c0"))
    features = {"sum": wide.exp(), "one": col("c20").sin(), "next": (col("c20") + col("c21")).log()}
    program = ff.Plan({**features, "own": col("c30") > 0}).fit(WIDE).record.arrow_program
    launches = device_program(program).table.launches
    seen: set[int] = set()
    new: list[int] = []
    for launch in launches:
        new.append(len({*launch.inputs} - seen))
        seen |= {*launch.inputs}
    assert new[0] == min(new)
    assert seen == {*range(len(program.inputs))}


def test_many_alike_columns_are_launched_in_parts() -> None:
    data = {f"c{k}": np.zeros(1) for k in range(1000)}
    plan = ff.Plan({name: col(name) * 2 for name in data})
    table = device_program(plan.fit(data).record.arrow_program).table
    assert len(table.launches) == 4
    read = [column for launch in table.launches for column in launch.inputs]
    assert sorted(read) == list(range(1000))


@pytest.mark.usefixtures("in_pieces")
def test_a_piece_is_copied_before_the_status_of_the_former_one_is_read() -> None:
    found, requests = requests_of(PLAN, DATA)
    assert found.equals(PLAN.fit(DATA).transform(DATA))
    assert_overlapped(requests)


@pytest.mark.usefixtures("in_pieces")
def test_the_pieces_of_a_matrix_overlap() -> None:
    plan = ff.Plan({"x": col("x") * 3, "k": col("k") / 2, "y": col("y").exp()})
    found, requests = requests_of(plan, DATA, to="cupy")
    assert found.tobytes() == plan.fit(DATA).transform(DATA, to="numpy").tobytes()
    assert_overlapped(requests)


def assert_overlapped(requests: list[Request]) -> None:
    launches, statuses = places(requests, "launch"), places(requests, "download", 8)
    uploads = places(requests, "upload")
    assert len(launches) == len(statuses) > 3
    for k, status in enumerate(statuses[:-1]):
        assert any(launches[k] < at < status for at in uploads)
        assert launches[k + 1] < status
        assert not any(launches[k + 1] < at < status for at in uploads), "only two at a time"


@pytest.mark.usefixtures("in_pieces")
def test_what_a_piece_gives_is_copied_back_between_the_columns_of_the_next() -> None:
    _, requests = requests_of(PLAN, DATA)
    launches = places(requests, "launch")
    for one, following in pairwise(launches[1:]):
        kinds = [request.kind for request in requests[one:following]]
        after_former = kinds[kinds.index("wait") :]
        assert "upload" in after_former[after_former.index("download") :]


def test_pieces_of_fit_overlap() -> None:
    card, plan = SimulatedCard(0, n_bytes=20_000), ff.Plan({"k": col("k").median()})
    with emulated.use_runtime(CardRuntime(card, slot_bytes=BIG_SLOT)):
        fitted = plan.fit(DATA, backend="emulated")
    assert fitted.learnt() == plan.fit(DATA).learnt()
    launches, waits = places(card.requests, "launch"), places(card.requests, "wait")
    n_pieces = len(launches) // 9  # one round for the moments, eight for digits
    assert n_pieces > 2
    for k in range(n_pieces):
        assert sum(at < launches[k] for at in waits) == max(0, k - 1)


# Waits that are taken out, one at a time.


def with_late_columns(fills: dict[int, Fill], others: Iterator[None]) -> Callable[[Launch], None]:
    """Return what fills the inputs of a launch before the next launch only."""
    late: list[Launch] = []
    fill = filling(fills, others)

    def fill_late(launch: Launch) -> None:
        late.append(launch)
        if len(late) > 1:
            fill(late[-2])

    return fill_late


filling, memories_of = pipeline.fill_once, pipeline.memories_of


def with_one_memory(*arguments: Any) -> Any:
    """Return the same memory for both pieces that are on a device at a time."""
    return memories_of(*arguments)[:1] * 2


class EarlyMark(EmulatedRuntime):
    """A device whose marks come before the last launch."""

    def mark(self) -> Mark:
        return Mark(max(0, super().mark().number - 1), None)


class NoWaitForColumns(CardRuntime):
    """A card whose kernels wait for their words, and not for columns."""

    def upload(self, array: Any, buffer: Any, offset: int = 0) -> None:
        super().upload(array, buffer, offset)
        lane = self._lane()
        if array.dtype != np.uint8:
            self._join(lane)
        lane.is_uploading = False


def is_right(runtime: Runtime) -> bool:
    fitted = PLAN.fit(DATA)
    with emulated.use_runtime(runtime):
        return fitted.transform(DATA, backend="emulated").equals(fitted.transform(DATA))


@pytest.mark.usefixtures("in_pieces")
def test_without_a_wait_for_the_last_launch_its_outputs_are_poison() -> None:
    assert is_right(EmulatedRuntime(deferred=True))
    assert not is_right(EarlyMark(deferred=True))


@pytest.mark.usefixtures("in_pieces")
def test_without_a_wait_for_the_former_piece_its_columns_are_overwritten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_run, "memories_of", with_one_memory)
    assert not is_right(EmulatedRuntime(deferred=True))


def test_a_launch_before_its_columns_reads_poison(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_right(EmulatedRuntime())
    monkeypatch.setattr(pipeline, "fill_once", with_late_columns)
    assert not is_right(EmulatedRuntime())


@pytest.mark.usefixtures("in_pieces")
def test_without_a_wait_for_columns_some_order_of_the_streams_is_wrong() -> None:
    seeds = range(6)
    assert all(is_right(CardRuntime(SimulatedCard(seed), slot_bytes=4096)) for seed in seeds)
    assert not all(is_right(NoWaitForColumns(SimulatedCard(seed), BIG_SLOT)) for seed in seeds)


# What must stay as it is with one piece after the other.


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("rows", [(700, 720), (10, 1499), (640, 639), (1499, 1499)])
def test_the_first_row_that_fails_is_told(rows: tuple[int, int], deferred: bool) -> None:
    data = {name: np.ones(N_ROWS, np.int64) for name in ("a", "b")}
    plan = ff.Plan({"a": col("a") * 4, "b": col("b") * 4})
    fitted = plan.fit(data)
    data["a"][rows[0]] = data["b"][rows[1]] = 2**62
    told: list[str] = []
    for backend in ("cpu", "emulated"):
        with (
            emulated.use_runtime(EmulatedRuntime(deferred=deferred)),
            pytest.raises(Overflow) as caught,
        ):
            fitted.transform(data, backend=backend)
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert f"row {min(rows)}" in told[0]


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize(("wrong", "too_large", "told"), [(200, 100, 100), (300, 900, 300)])
def test_a_row_of_the_former_piece_comes_before_one_that_cannot_be_converted(
    wrong: int, too_large: int, told: int, deferred: bool
) -> None:
    """Rows of the next piece are converted before the former piece has been waited for."""
    fitted = ff.Plan({"a": col("a") * 4, "b": col("b") * 1}).fit({"a": [1], "b": [1]})
    host = {"a": np.ones(N_ROWS, np.int64), "b": np.ones(N_ROWS)}
    host["a"][too_large], host["b"][wrong] = 2**62, 0.5
    runtime = EmulatedRuntime(deferred=deferred)
    data = {"a": host["a"], "b": CudaArray(put(runtime, host["b"]))}
    with emulated.use_runtime(runtime), pytest.raises(FastfeatError, match=rf"row {told}\b"):
        fitted.transform(data, backend="emulated")


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("make", [lambda: EmulatedRuntime(deferred=True), lambda: on_card(3)])
def test_a_piece_with_large_arguments_is_computed_again(make: Callable[[], Runtime]) -> None:
    x = RANDOM.normal(size=N_ROWS)
    x[[5, 900, 901, 1499]] = 1e300, -1e22, 3e18, 1e17
    plan = ff.Plan({"sin": col("x").sin(), "cos": col("y").cos() + (col("x").tan()).max()})
    data = {"x": x, "y": x[::-1].copy()}
    expected = plan.fit(data)
    with emulated.use_runtime(make()):
        fitted, found = plan.fit_transform(data, backend="emulated")
    assert fitted.learnt() == expected.learnt()
    assert found.equals(expected.transform(data))


def on_card(seed: int) -> CardRuntime:
    return CardRuntime(SimulatedCard(seed), slot_bytes=1024)


def test_large_arguments_are_learnt_from_in_pieces() -> None:
    x = RANDOM.normal(size=N_ROWS)
    x[[5, 900]] = 1e300, -1e22
    plan = ff.Plan({"sin": col("x").sin().median() + col("x").cos().mean()})
    for deferred in (False, True):
        with emulated.use_runtime(EmulatedRuntime(deferred=deferred, n_bytes=16_000)):
            fitted = plan.fit({"x": x}, backend="emulated")
        assert fitted.learnt() == plan.fit({"x": x}).learnt()


@pytest.mark.usefixtures("in_pieces")
def test_chunks_of_any_length_are_joined_on_the_way() -> None:
    table = pa.table(DATA)
    cuts = [0, 0, 3, 64, 700, 701, 701, 1111, N_ROWS, N_ROWS]
    parts = [table.slice(a, b - a) for a, b in pairwise(cuts)]
    chunked = pa.concat_tables(parts).slice(2)
    expected = PLAN.fit(DATA).transform(table.slice(2))
    with emulated.use_runtime(EmulatedRuntime()):
        found = PLAN.fit(DATA).transform(chunked, backend="emulated")
    assert found.to_pylist() == expected.to_pylist()


def test_two_pieces_share_the_memory_and_one_takes_all_where_two_do_not_fit() -> None:
    runtime = EmulatedRuntime(n_bytes=100_000)
    room = SHARE_OF_MEMORY * 100_000
    assert pieces_of(runtime, 8, int(room / 8)).spans == ((0, int(room / 8)),)
    halves = pieces_of(runtime, 8, int(room / 8) + 1, reserved=80)
    assert halves.at_once == 2
    assert room / 2 - 80 - 64 * 8 < 8 * halves.n_rows <= room / 2 - 80
    alone = pieces_of(runtime, 800, 1000)
    assert (alone.at_once, alone.n_rows) == (1, 64)
    assert pieces_of(runtime, 8, 1000, most_bytes=100).n_rows == 64
    assert [b for _, b in pieces_of(runtime, 8, 200, most_bytes=600).spans] == [64, 128, 192, 200]
    with pytest.raises(
        OutOfDeviceMemory, match=r"64 rows need 128,000 bytes .* 100,000 bytes are free"
    ):
        pieces_of(runtime, 2000, 1000)


@pytest.mark.parametrize("deferred", [False, True])
def test_pieces_keep_to_the_memory_that_they_were_given(deferred: bool) -> None:
    fitted = PLAN.fit(DATA)
    for n_bytes in (6_000, 9_000, 20_000, 40_000, 200_000):
        runtime = EmulatedRuntime(n_bytes=n_bytes, deferred=deferred)
        with emulated.use_runtime(runtime):
            found = fitted.transform(DATA, backend="emulated")
        assert found.equals(fitted.transform(DATA))
        assert runtime.memory() == (n_bytes, n_bytes)


def test_one_piece_at_a_time_where_the_second_finds_no_memory() -> None:
    class Fragmented(EmulatedRuntime):
        """A device that has no memory for a second column of inputs as large as the first."""

        n_large = 0

        def allocate(self, n_bytes: int) -> Any:
            self.n_large += n_bytes > 3000
            if self.n_large > 1 and n_bytes > 3000:
                raise OutOfDeviceMemory("fragmented")
            return super().allocate(n_bytes)

    plan = ff.Plan({"x": col("x") > 0})
    runtime = Fragmented(n_bytes=10_000, deferred=True)
    with emulated.use_runtime(runtime):
        found = plan.fit(DATA).transform(DATA, backend="emulated")
    assert found.equals(plan.fit(DATA).transform(DATA))
    assert runtime.n_large == 2
