"""The runtime of a card, on a card whose streams run in any order that events allow."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated
from fastfeat.engine.cpu.threads import using_threads
from fastfeat.engine.gpu.device.card_runtime import CardRuntime
from fastfeat.engine.gpu.device.staging import copy_bytes
from fastfeat.engine.gpu.runtime import Buffer
from fastfeat.errors import BackendUnavailable, KernelFailed, OutOfDeviceMemory
from fastfeat_tests.engine.gpu.device_kernels import ARGUMENTS, KERNEL
from fastfeat_tests.engine.gpu.simulated_card import Fault, SimulatedCard
from fastfeat_tests.operators.operator_features import families, plan_of
from fastfeat_tests.operators.operator_tables import bits_of, extreme_table, small_table

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning"),
]

ADD_ONE = f"""
{KERNEL} add_one{ARGUMENTS} {{
    // Where a wait is missing there are no addresses yet, or those of another launch.
    if (table[2] != (table[0] ^ table[1] ^ n)) return;
    const i64* x = FF_GLOBAL(const i64, table[0]);
    i64* y = FF_GLOBAL(i64, table[1]);
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) y[i] = x[i] + 1;
}}
{KERNEL} fail{ARGUMENTS} {{
    if (threadIdx.x == 0) __syncthreads();
}}"""
SLOT = 256
SEEDS = range(12)


def added(runtime: CardRuntime, x: Any) -> tuple[Buffer, Buffer]:
    """Return a buffer of the elements, and one of each plus one, both outstanding."""
    source, target = runtime.allocate(x.nbytes), runtime.allocate(x.nbytes)
    table = runtime.allocate(24)
    check = source.address ^ target.address ^ len(x)
    runtime.upload(np.array([source.address, target.address, check]), table)
    runtime.upload(x, source)
    runtime.launch(runtime.module(ADD_ONE), "add_one", (1, 1), 32, table, 0, len(x))
    return source, target


def right_results(seed: int, fault: Fault | None) -> bool:
    """Return whether arrays of all sizes come back from the card plus one, piece after piece."""
    runtime = CardRuntime(SimulatedCard(seed, fault=fault), slot_bytes=SLOT)
    chance = np.random.default_rng(seed)
    wanted: list[Any] = []
    found: list[Any] = []
    for turn in range(12):
        x = chance.integers(0, 1 << 40, chance.choice([1, 7, 20, 100]))
        held = x.copy()
        _, target = added(runtime, held)
        held[:] = -1  # the caller may change it
        result = np.zeros_like(x)
        runtime.download(target, result)
        wanted.append(x + 1)
        found.append(result)
        del target  # dropped while its kernel and its download are outstanding
        if turn % 5 == 4:
            runtime.synchronize()
            if any(a.tolist() != b.tolist() for a, b in zip(wanted, found, strict=True)):
                return False
    runtime.synchronize()
    return all(a.tolist() == b.tolist() for a, b in zip(wanted, found, strict=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_results_do_not_depend_on_which_stream_runs_first(seed: int) -> None:
    assert right_results(seed, None)


@pytest.mark.parametrize("fault", ["no wait", "freed too early", "slot used again too early"])
def test_a_wait_that_is_missing_shows_in_some_order(fault: Fault) -> None:
    assert not all(right_results(seed, fault) for seed in SEEDS)


@pytest.mark.parametrize("family", ["scaling", "elementary", "binning", "membership"])
def test_operators_have_the_bits_of_the_cpu_on_a_card(family: str) -> None:
    assert family in {*families(learnt=False), *families(learnt=True)}
    on_cpu = plan_of(family).fit(small_table())
    expected = on_cpu.transform(extreme_table())
    for seed in range(2):
        with emulated.use_runtime(CardRuntime(SimulatedCard(seed), slot_bytes=4096)):
            on_card = plan_of(family).fit(small_table(), backend="emulated")
            result = on_card.transform(extreme_table(), backend="emulated")
        assert on_card.record.constants == on_cpu.record.constants
        for name in expected.column_names:
            assert bits_of(result[name]) == bits_of(expected[name]), name


@pytest.mark.parametrize("seed", range(4))
def test_a_plan_runs_in_pieces_on_a_small_card(seed: int) -> None:
    n_rows = 700
    rows = {"x": np.linspace(-3, 3, n_rows), "k": np.arange(n_rows)}
    plan = ff.Plan(
        {
            "exp": col("x").exp() + col("x").mean(),
            "median": col("k") - (col("k") * 3).median(),
            "is_large": col("x") > 1,
        }
    )
    card = SimulatedCard(seed, n_bytes=20_000)
    expected = plan.fit(rows).transform(rows)
    with emulated.use_runtime(CardRuntime(card, slot_bytes=SLOT)):
        fitted, features = plan.fit_transform(rows, backend="emulated")
        assert features.equals(expected)
        assert fitted.learnt() == plan.fit(rows).learnt()
        matrix = fitted.transform(rows, to="cupy", backend="emulated")
        assert matrix.tobytes() == fitted.transform(rows, to="numpy").tobytes()
    assert sum(request.kind == "launch" for request in card.requests) > 10


def test_an_upload_reaches_its_place_in_a_buffer_and_zeros_stay_elsewhere() -> None:
    runtime = CardRuntime(SimulatedCard(0), slot_bytes=SLOT)
    buffer, seen = runtime.allocate(800), np.full(100, 9)
    runtime.zero(buffer)
    runtime.synchronize()
    runtime.upload(np.arange(50), buffer, 400)
    runtime.download(buffer, seen)
    runtime.synchronize()
    assert seen.tolist() == [0] * 50 + list(range(50))
    runtime.download(buffer, seen[:10], 400)
    runtime.synchronize()
    assert seen[:10].tolist() == list(range(10))


def test_a_result_on_the_card_keeps_its_memory() -> None:
    runtime = CardRuntime(SimulatedCard(2), slot_bytes=SLOT)
    _, target = added(runtime, np.arange(30))
    array = runtime.array(target, (3, 10), np.int64, (80, 8))
    del target
    for _ in range(5):
        added(runtime, np.arange(30))
    runtime.synchronize()
    assert array.ravel().tolist() == list(range(1, 31))


def test_memory_of_others_is_read_in_place_after_their_work() -> None:
    card = SimulatedCard(0)
    runtime, theirs = CardRuntime(card, slot_bytes=SLOT), np.arange(9)
    buffer = runtime.adopt(theirs.ctypes.data, theirs.nbytes, theirs)
    assert buffer.owner is theirs
    runtime.wait_for("stream", 2)
    assert card.waited_for == [("stream", 2)]
    seen = np.zeros(9, np.int64)
    runtime.download(buffer, seen)
    runtime.synchronize()
    assert seen.tolist() == list(range(9))


def test_memory_that_is_dropped_is_used_again_after_a_wait() -> None:
    card = SimulatedCard(0, n_bytes=10_000)
    runtime = CardRuntime(card, slot_bytes=SLOT)
    addresses = {runtime.allocate(6000).address}
    runtime.synchronize()
    addresses.add(runtime.allocate(6000).address)
    assert len(addresses) == 1
    runtime.synchronize()
    assert runtime.memory() == (10_000, 10_000)
    runtime.allocate(7000)  # the block of 6000 goes back to the device first
    assert card.n_bytes_given_back == 6000


def test_memory_that_is_not_there_names_what_is_needed_and_free() -> None:
    runtime = CardRuntime(SimulatedCard(0, n_bytes=10_000), slot_bytes=SLOT)
    held = runtime.allocate(4000)
    match = r"no room for 6,001 bytes on simulated.*: 6,000 of 10,000 are free"
    with pytest.raises(OutOfDeviceMemory, match=match):
        runtime.allocate(6001)
    assert runtime.allocate(6000).n_bytes == 6000
    assert held.n_bytes == 4000


@pytest.mark.parametrize("seed", range(5))
def test_a_failure_names_the_kernels_and_gives_no_results(seed: int) -> None:
    runtime, seen = CardRuntime(SimulatedCard(seed), slot_bytes=SLOT), np.zeros(10, np.int64)
    source, target = added(runtime, np.arange(10))

    def go_on() -> None:
        runtime.launch(runtime.module(ADD_ONE), "fail", (1, 1), 32, source, 0, 0)
        runtime.download(target, seen)
        runtime.synchronize()

    with pytest.raises(KernelFailed, match=r"cudaErrorIllegalAddress.*'add_one', 'fail'") as caught:
        go_on()  # whichever request it is that meets the failure
    assert caught.value.kernels == ("add_one", "fail")
    assert "CUDA_LAUNCH_BLOCKING=1 to see which" in str(caught.value)
    assert seen.tolist() == [0] * 10
    runtime.synchronize()  # the simulated card goes on, and nothing comes late
    assert seen.tolist() == [0] * 10


@pytest.mark.parametrize("seed", range(5))
def test_a_failure_does_not_name_kernels_that_were_waited_for(seed: int) -> None:
    runtime = CardRuntime(SimulatedCard(seed), slot_bytes=SLOT)
    source, _ = added(runtime, np.arange(10))
    runtime.finish(runtime.mark())

    def go_on() -> None:
        runtime.launch(runtime.module(ADD_ONE), "fail", (1, 1), 32, source, 0, 0)
        runtime.synchronize()

    with pytest.raises(KernelFailed) as caught:
        go_on()
    assert caught.value.kernels == ("fail",)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_comes_before_a_mark_is_there_while_later_work_is_outstanding(seed: int) -> None:
    runtime, x = CardRuntime(SimulatedCard(seed), slot_bytes=1 << 16), np.arange(50)
    seen = [np.zeros_like(x) for _ in range(4)]
    _, target = added(runtime, x)
    mark = runtime.mark()
    for k, result in enumerate(seen):
        _, following = added(runtime, x + k + 1)
        following_mark = runtime.mark()
        runtime.download(target, result, after=mark)
        runtime.finish(mark)
        assert result.tolist() == (x + k + 1).tolist()
        target, mark = following, following_mark


def test_a_launch_that_a_card_refuses_is_refused_here() -> None:
    runtime = CardRuntime(SimulatedCard(0), slot_bytes=SLOT)
    with pytest.raises(KernelFailed, match="grid of 0 x 1"):
        runtime.launch(runtime.module(ADD_ONE), "add_one", (0, 1), 32, 0, 0, 0)


def test_another_current_stream_waits_for_the_work_of_the_first() -> None:
    card = SimulatedCard(3)
    runtime = CardRuntime(card, slot_bytes=SLOT)
    _, target = added(runtime, np.arange(100))
    card.stream = card.new_stream()
    seen = np.zeros(100, np.int64)
    runtime.download(target, seen)
    runtime.synchronize()
    assert seen.tolist() == list(range(1, 101))


def test_much_is_copied_by_several_threads() -> None:
    source = np.random.default_rng(0).integers(0, 256, (5 << 20) + 3, np.uint8)
    target = np.zeros_like(source)
    with using_threads(3):
        copy_bytes(target, source)
    assert (target == source).all()


def test_threads_share_a_card() -> None:
    runtime, wrong = CardRuntime(SimulatedCard(5), slot_bytes=SLOT), []

    def work(number: int) -> None:
        for turn in range(10):
            x = np.arange(number, number + 50 + turn)
            seen = np.zeros_like(x)
            _, target = added(runtime, x)
            runtime.download(target, seen)
            runtime.synchronize()
            if seen.tolist() != (x + 1).tolist():
                wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_thread_on_another_card_is_told_so() -> None:
    card = SimulatedCard(0)
    runtime = CardRuntime(card)
    card.is_the_current_one = False
    with pytest.raises(BackendUnavailable, match="simulated is not the current device"):
        runtime.allocate(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_told_to_be_spawned() -> None:
    runtime = CardRuntime(SimulatedCard(0))
    buffer = runtime.allocate(8)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            runtime.zero(buffer)
        except BackendUnavailable as error:
            status = 0 if "spawn" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
