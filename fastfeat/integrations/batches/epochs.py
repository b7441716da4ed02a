"""The order of an epoch: which rows come in which batch, to which rank and worker, and after what.

Rows stand in pieces: row groups of a file, batches of a reader, parts of a table. An epoch puts the
pieces in an order, and the rows of all pieces, one after another, are its *positions*. Ranks share
the positions in equal ranges, and the batches of a rank are shared by its workers. All of it is
arithmetic on the sizes of pieces, so that every process knows what the others give, and a resumed
one what was given before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Even = Literal["pad", "drop"] | None
"""Whether all ranks have as many rows: some twice, or some left out."""


class Segment(NamedTuple):
    """Neighbouring rows of a piece: from `start` to below `stop`."""

    piece: int
    start: int
    stop: int

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.stop - self.start


class Pool(NamedTuple):
    """Segments whose rows are shuffled together.

    Args:
        number: of the pool in its share.
        segments: in the order of positions.
        n_rows: of all segments.
        first: how many rows of the pool were given out before.
    """

    number: int
    segments: list[Segment]
    n_rows: int
    first: int


@dataclass(frozen=True, slots=True)
class Division:
    """The division of an epoch's rows into ranks and batches, whatever their order.

    Args:
        n_rows: of all pieces.
        batch_size: rows of a batch; the last one of a rank may have fewer.
        drop_last: whether a last batch of fewer rows is left out.
        rank: number of this process.
        world_size: how many such processes there are.
        even: "pad" gives each rank as many rows as the largest, by some of the next rank's; "drop"
            as many as the smallest; with None they may differ by a row.
    """

    n_rows: int
    batch_size: int
    drop_last: bool = False
    rank: int = 0
    world_size: int = 1
    even: Even = None

    @property
    def positions(self) -> range:
        """The positions of the rank: beyond `n_rows` they begin again at 0.

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
        """Return the positions of neighbouring batches of the rank.

        Args:
            numbers: from the first batch to below the last, step 1.
        """
        return self.positions[numbers.start * self.batch_size : numbers.stop * self.batch_size]


class Worker(NamedTuple):
    """One of the workers of a rank, which give batches in turn.

    Args:
        number: from 0.
        n_workers: how many there are; a process without workers is one.
    """

    number: int = 0
    n_workers: int = 1

    def after(self, n_given: int) -> Worker:
        """Return whose part a worker has that begins when so many batches were given before.

        The loader asks worker 0 first, whichever worker's turn it was.
        """
        return Worker((self.number + n_given) % self.n_workers, self.n_workers)

    def n_given(self, n_given: int) -> int:
        """Return the number of this worker's batches among those that a rank has given."""
        return (n_given - self.number + self.n_workers - 1) // self.n_workers

    def share(self, n_batches: int) -> range:
        """Return the range of numbers of a rank's batches that the worker has.

        Workers give them in turn. Shares differ by one at most, the first workers have the larger
        ones, and the worker whose turn is the last has the last batch, which may be short.

        Example:
            >>> [Worker(k, 3).share(8) for k in range(3)]
            [range(2, 5), range(5, 8), range(0, 2)]
        """
        size, n_larger = divmod(n_batches, self.n_workers)
        place = (self.number - n_larger) % self.n_workers
        first = place * size + max(0, place + n_larger - self.n_workers)
        return range(first, first + size + (self.number < n_larger))

    def turns(self, n_batches: int, n_given: int) -> range:
        """Return the numbers of batches that are this worker's turn, where batches keep an order.

        Args:
            n_batches: of the rank.
            n_given: how many the rank has given before.
        """
        first = self.number + self.n_given(n_given) * self.n_workers
        return range(first, max(first, n_batches), self.n_workers)


def permutation(n: int, *key: int) -> NDArray[np.int64]:
    """Return the numbers below `n` in an order that depends on the key alone.

    A generator's own `permutation` may change with the version of NumPy; the raw numbers of a bit
    generator do not, so that an epoch is resumed elsewhere in the same order.

    Args:
        n: how many, at most 2**31.
        key: whole numbers from 0.

    Example:
        >>> permutation(5, 0, 1).tolist(), permutation(5, 0, 2).tolist()
        ([4, 1, 2, 0, 3], [0, 4, 3, 1, 2])
    """
    n_bits = np.uint64(max(n - 1, 0).bit_length())
    drawn: NDArray[np.uint64] = np.random.PCG64(np.random.SeedSequence(key)).random_raw(n)
    # A number in the low bits of a random one: to sort these takes half the time of `argsort`.
    drawn >>= n_bits
    drawn <<= n_bits
    drawn |= np.arange(n, dtype=np.uint64)
    drawn.sort()
    drawn &= np.uint64((1 << int(n_bits)) - 1)
    return drawn.view(np.int64)


@dataclass(frozen=True, slots=True)
class Order:
    """The pieces of an epoch, one after another.

    Args:
        sizes: rows of each piece.
        pieces: number of the piece that comes first, second and so on.
        ends: the position behind the last row of each of these.
    """

    sizes: Sequence[int]
    pieces: NDArray[np.int64]
    ends: NDArray[np.int64]

    def segments(self, positions: range) -> list[Segment]:
        """Return the parts of pieces that hold some positions, in the order of these.

        Args:
            positions: beyond the end of the epoch they begin again at 0.

        Example:
            >>> order_of([3, 2], np.array([1, 0])).segments(range(1, 6))
            [Segment(piece=1, start=1, stop=2), Segment(piece=0, start=0, stop=3), \
Segment(piece=1, start=0, stop=1)]
        """
        n_left = len(positions)
        if n_left == 0:
            return []
        first = positions.start % int(self.ends[-1])
        k = int(np.searchsorted(self.ends, first, side="right"))
        start = first - int(self.ends[k - 1] if k else 0)
        found: list[Segment] = []
        while n_left:
            piece = int(self.pieces[k % len(self.pieces)])
            stop = min(self.sizes[piece], start + n_left)
            if stop > start:
                found.append(Segment(piece, start, stop))
            n_left -= stop - start
            start, k = 0, k + 1
        return found


def order_of(sizes: Sequence[int], pieces: NDArray[np.int64]) -> Order:
    """Return the order of an epoch.

    Args:
        sizes: rows of each piece.
        pieces: number of the piece that comes first, second and so on.
    """
    return Order(sizes, pieces, np.cumsum(np.asarray(sizes, np.int64)[pieces]))


def pools(parts: Sequence[Segment], mix: int, n_given: int) -> Iterator[Pool]:
    """Yield the pools of a share that are not given out whole: `mix` segments each.

    Args:
        parts: the segments of the share.
        mix: how many segments make a pool.
        n_given: rows of the share that were given out before.
    """
    before = 0
    for number, at in enumerate(range(0, len(parts), mix)):
        chosen = list(parts[at : at + mix])
        n_rows = sum(part.n_rows for part in chosen)
        if before + n_rows > n_given:
            yield Pool(number, chosen, n_rows, max(0, n_given - before))
        before += n_rows
