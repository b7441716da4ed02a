"""The order of an epoch: each row once, in whole batches, by any workers, ranks and restarts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.integrations.batches.blocks import Block
from fastfeat.integrations.batches.epochs import (
    Division,
    Even,
    PieceSegment,
    Worker,
    order_of,
    permutation,
)
from fastfeat.integrations.batches.streams import (
    ordered_batches,
    ready_batches,
    shuffled_batches,
)

ROW = ("row", "")
Batches = Callable[[Worker, int], Iterator[Block]]
SIZES = st.lists(st.integers(0, 9), max_size=8)
SMALL = st.integers(1, 5)
EVEN = st.sampled_from([None, "pad", "drop"])


def reader(sizes: Sequence[int]) -> Callable[[Sequence[PieceSegment]], Block]:
    """Return what gives the number that each row has among all."""
    starts = [0, *accumulate(sizes)]

    def read(parts: Sequence[PieceSegment]) -> Block:
        rows = [np.arange(starts[k] + a, starts[k] + b) for k, a, b in parts]
        assert all(0 <= part.start < part.stop <= sizes[part.piece] for part in parts)
        return {ROW: np.concatenate(rows)}

    return read


def stream(sizes: Sequence[int], division: Division, kind: str, mix: int) -> Batches:
    """Return the batches of a worker of an epoch of one kind."""
    chosen = permutation(len(sizes), 7) if kind == "shuffled" else np.arange(len(sizes))
    order, read = order_of(sizes, chosen), reader(sizes)

    def batches(worker: Worker, n_given: int) -> Iterator[Block]:
        match kind:
            case "shuffled":
                return shuffled_batches(read, order, division, worker, n_given, mix, (1, 2))
            case "ready":
                rows = permutation(sum(sizes), 3)
                block: Block = {ROW: np.arange(sum(sizes))}
                return ready_batches(block, rows, division, worker, n_given)
            case _:
                return ordered_batches(read, order, division, worker, n_given)

    return batches


def handed_out(batches: Batches, n_workers: int, n_given: int = 0) -> list[list[int]]:
    """Return the batches that a DataLoader hands out: of its workers in turn, while they last."""
    workers = [batches(Worker(k, n_workers).after(n_given), n_given) for k in range(n_workers)]
    found: list[list[int]] = []
    while workers:
        for worker in list(workers):
            batch = next(worker, None)
            if batch is None:
                workers.remove(worker)
            else:
                found.append(batch[ROW].tolist())
    return found


@given(st.data(), SIZES, SMALL, SMALL, SMALL, EVEN, st.booleans(), SMALL)
@pytest.mark.parametrize("kind", ["shuffled", "ordered", "ready"])
def test_rows_come_once_in_whole_batches_and_from_any_restart(
    kind: str,
    data: st.DataObject,
    sizes: list[int],
    batch_size: int,
    n_workers: int,
    world_size: int,
    even: Even,
    drop_last: bool,
    mix: int,
) -> None:
    n, seen, n_batches = sum(sizes), Counter[int](), set[int]()
    for rank in range(world_size):
        division = Division(n, batch_size, drop_last, rank, world_size, even)
        batches = stream(sizes, division, kind, mix)
        whole = handed_out(batches, n_workers)
        assert [len(batch) for batch in whole[:-1]] == [batch_size] * (len(whole) - 1)
        assert len(whole) == division.n_batches
        restart = data.draw(st.integers(0, len(whole)))
        assert handed_out(batches, n_workers, restart) == whole[restart:]
        rows = [row for batch in whole for row in batch]
        assert len(rows) == len(division.positions)
        if kind == "ordered":
            assert rows == [at % n for at in division.positions]
        seen.update(rows)
        n_batches.add(len(whole))
    n_left_out = n - len(seen)
    n_twice = sum(seen.values()) - len(seen)
    if even == "drop":
        assert n_twice == 0
    if drop_last:
        assert n_left_out < world_size * batch_size + (even == "drop") * world_size
    else:
        assert n_left_out < world_size if even == "drop" else n_left_out == 0
        assert n_twice < world_size if even == "pad" else n_twice == 0
    assert len(n_batches) == 1 or (even is None and max(n_batches) - min(n_batches) == 1)


@given(SIZES, SMALL, SMALL)
def test_ordered_batches_are_the_same_for_any_number_of_workers(
    sizes: list[int], batch_size: int, n_workers: int
) -> None:
    batches = stream(sizes, Division(sum(sizes), batch_size), "ordered", 1)
    assert handed_out(batches, n_workers) == handed_out(batches, 1)


@given(st.integers(0, 300), st.lists(st.integers(0, 2**40), min_size=1, max_size=4))
def test_permutation_has_each_number_once(n: int, key: list[int]) -> None:
    found = permutation(n, *key)
    assert sorted(found.tolist()) == list(range(n))
    assert found.tolist() == permutation(n, *key).tolist()


def test_permutation_is_the_same_in_any_version() -> None:
    """A state that was saved by another version of NumPy must find the same order."""
    assert permutation(8, 1, 2, 3).tolist() == [1, 3, 7, 5, 2, 0, 4, 6]
    assert permutation(1000, 4)[:6].tolist() == [965, 313, 955, 259, 460, 377]


def test_permutations_are_evenly_spread() -> None:
    """Each of the 24 orders of 4 comes about as often as another: chi squared of 23."""
    seen = Counter(tuple(permutation(4, 5, k).tolist()) for k in range(4800))
    assert len(seen) == 24
    assert sum((n - 200) ** 2 / 200 for n in seen.values()) < 60  # p = 4e-5


def test_a_batch_is_mixed_of_the_pieces_of_a_pool() -> None:
    sizes = [100] * 12
    batches = handed_out(stream(sizes, Division(1200, 100), "shuffled", 4), 1)
    pieces = [len({row // 100 for row in batch}) for batch in batches]
    assert pieces == [4] * 12
    assert batches[0] != sorted(batches[0])


def test_batches_cross_tiny_pieces() -> None:
    batches = handed_out(stream([3] * 100, Division(300, 64), "shuffled", 2), 2)
    assert sorted(map(len, batches)) == [44, 64, 64, 64, 64]
