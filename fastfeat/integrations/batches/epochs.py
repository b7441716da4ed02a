"""The order of rows in an epoch: the rows of each batch, for each rank and worker.

Data is in *pieces*: row groups of a file, batches of a reader, or parts of a table. An epoch puts
the pieces in some order; the rows of all pieces, one after another, have the *positions* 0, 1, 2
and so on. *Ranks* (processes that train one model together) divide the positions into equal ranges,
and the *workers* of a rank, which read the data, divide its batches. Batches are *given* once the
training loop has received them.

Everything is computed from the sizes of pieces. So each process knows the batches of the others,
and an epoch can be resumed after any number of batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

Even = Literal["pad", "drop"] | None
"""Whether all ranks get equally many rows: some rows twice ("pad") or never ("drop")."""


class PieceSegment(NamedTuple):
    """Consecutive rows of one piece: from `start` to before `stop`."""

    piece: int
    start: int
    stop: int

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.stop - self.start


class ShufflePool(NamedTuple):
    """A few segments of a worker's rows, which are shuffled together.

    Args:
        number: The number of the worker's pool, counted from 0.
        segments: The segments, in the order of positions.
        n_rows: The number of rows in all segments.
        first: The number of rows of the pool that the training loop received before.
    """

    number: int
    segments: list[PieceSegment]
    n_rows: int
    first: int


@dataclass(frozen=True, slots=True)
class Division:
    """The division of an epoch's positions into ranks and batches.

    Args:
        n_rows: The number of rows in all pieces.
        batch_size: The number of rows per batch; the last batch of a rank may have fewer.
        drop_last: Whether a last batch with fewer rows is dropped.
        rank: The number of this process, from 0.
        world_size: The number of ranks.
        even: "pad" gives each rank as many rows as the largest, by repeating rows of the next rank;
            "drop" as many as the smallest; with None they may differ by one row.
    """

    n_rows: int
    batch_size: int
    drop_last: bool = False
    rank: int = 0
    world_size: int = 1
    even: Even = None

    @property
    def positions(self) -> range:
        """The range of positions of the rank; a position p >= `n_rows` means p - `n_rows`.

        Example:
            >>> [Division(10, 4, rank=k, world_size=3, even="pad").positions for k in range(3)]
            [range(0, 4), range(3, 7), range(6, 10)]
        """
        first = self.n_rows * self.rank // self.world_size
        match self.even:
            case "pad":
                n = -(-self.n_rows // self.world_size)
            case "drop":
                n = self.n_rows // self.world_size
            case None:
                n = self.n_rows * (self.rank + 1) // self.world_size - first
        return range(first, first + (n - n % self.batch_size if self.drop_last else n))

    @property
    def n_batches(self) -> int:
        """The number of batches of the rank."""
        return -(-len(self.positions) // self.batch_size)

    def batches(self, numbers: range) -> range:
        """Return the range of positions of some consecutive batches of the rank.

        `numbers` are the numbers of the batches, a range of step 1.
        """
        return self.positions[numbers.start * self.batch_size : numbers.stop * self.batch_size]


class Worker(NamedTuple):
    """A worker of a rank. The workers of a rank take turns, with one batch each.

    Args:
        number: The number of the worker, from 0.
        n_workers: The number of workers; a process without workers counts as one.
    """

    number: int = 0
    n_workers: int = 1

    def after(self, n_given: int) -> Worker:
        """Return the former worker that this one replaces after a resume at `n_given` batches.

        A resumed loader asks its worker 0 first, so worker 0 replaces the worker that was next.
        """
        return Worker((self.number + n_given) % self.n_workers, self.n_workers)

    def n_given(self, n_given: int) -> int:
        """Return the number of batches that this worker gave if its rank gave `n_given`."""
        return (n_given - self.number + self.n_workers - 1) // self.n_workers

    def share(self, n_batches: int) -> range:
        """Return the numbers of this worker's batches, out of the `n_batches` of its rank.

        This is for rows that are shuffled piece by piece: a worker computes consecutive batches,
        and workers give batches in turn. The numbers of batches differ by at most one between
        workers. The first workers have more, and the worker with the last turn has the last batch,
        which may be short.

        Example:
            >>> [Worker(k, 3).share(8) for k in range(3)]
            [range(2, 5), range(5, 8), range(0, 2)]
        """
        size, n_larger = divmod(n_batches, self.n_workers)
        place = (self.number - n_larger) % self.n_workers
        first = place * size + max(0, place + n_larger - self.n_workers)
        return range(first, first + size + (self.number < n_larger))

    def turns(self, n_batches: int, n_given: int) -> range:
        """Return the numbers of this worker's remaining batches: every `n_workers`-th batch.

        The rank has `n_batches` batches in all, and has given `n_given` of them before.
        """
        first = self.number + self.n_given(n_given) * self.n_workers
        return range(first, max(first, n_batches), self.n_workers)


def permutation(n: int, *key: int) -> NDArray[np.int64]:
    """Return the numbers 0 to n - 1 in random order, shape (n,); the same key gives the same order.

    NumPy may change the `permutation` of a generator between versions, but not the raw numbers of a
    bit generator. An epoch therefore resumes in the same order on another machine. `n` is at most
    2**31; the key consists of whole numbers from 0.

    Example:
        >>> permutation(5, 0, 1).tolist(), permutation(5, 0, 2).tolist()
        ([4, 1, 2, 0, 3], [0, 4, 3, 1, 2])
    """
    n_bits = np.uint64(max(n - 1, 0).bit_length())
    drawn: NDArray[np.uint64] = np.random.PCG64(np.random.SeedSequence(key)).random_raw(n)
    # The number is in the low bits of a random one: sorting these takes half the time of `argsort`.
    drawn >>= n_bits
    drawn <<= n_bits
    drawn |= np.arange(n, dtype=np.uint64)
    drawn.sort()
    drawn &= np.uint64((1 << int(n_bits)) - 1)
    return drawn.view(np.int64)


@dataclass(frozen=True, slots=True)
class PieceOrder:
    """The pieces of an epoch in their order. It finds the rows at a position.

    Args:
        sizes: The number of rows of each piece.
        pieces: The numbers of the pieces, in order.
        ends: The position after the last row of each of these pieces.
    """

    sizes: Sequence[int]
    pieces: NDArray[np.int64]
    ends: NDArray[np.int64]

    def segments(self, positions: range) -> list[PieceSegment]:
        """Return the rows at some positions, as segments of pieces, in the order of the positions.

        Positions beyond the end of the epoch start again at 0.

        Example:
            >>> order_of([3, 2], np.array([1, 0])).segments(range(1, 6))
            [PieceSegment(piece=1, start=1, stop=2), PieceSegment(piece=0, start=0, stop=3), \
PieceSegment(piece=1, start=0, stop=1)]
        """
        n_left = len(positions)
        if n_left == 0:
            return []
        first = positions.start % int(self.ends[-1])
        k = int(np.searchsorted(self.ends, first, side="right"))
        start = first - int(self.ends[k - 1] if k else 0)
        found: list[PieceSegment] = []
        while n_left:
            piece = int(self.pieces[k % len(self.pieces)])
            stop = min(self.sizes[piece], start + n_left)
            if stop > start:
                found.append(PieceSegment(piece, start, stop))
            n_left -= stop - start
            start, k = 0, k + 1
        return found


def order_of(sizes: Sequence[int], pieces: NDArray[np.int64]) -> PieceOrder:
    """Return the order of an epoch, given the sizes of all pieces and their numbers in order."""
    return PieceOrder(sizes, pieces, np.cumsum(np.asarray(sizes, np.int64)[pieces]))


def pools(parts: Sequence[PieceSegment], mix: int, n_given: int) -> Iterator[ShufflePool]:
    """Yield the pools of a worker's rows, `mix` segments each, except those given before.

    `parts` are the segments of the worker's rows; `n_given` is the number of its rows given before.
    """
    before = 0
    for number, at in enumerate(range(0, len(parts), mix)):
        chosen = list(parts[at : at + mix])
        n_rows = sum(part.n_rows for part in chosen)
        if before + n_rows > n_given:
            yield ShufflePool(number, chosen, n_rows, max(0, n_given - before))
        before += n_rows
