"""The shape of a launch: how many threads, and how many blocks for how many rows."""

from __future__ import annotations

from dataclasses import dataclass

MOST_BLOCKS = (1 << 31) - 1
"""Blocks along x that CUDA takes; CuPy truncates more without a word."""
GRID_STRIDE_BLOCKS = 1 << 16
"""Enough blocks to fill every card many times over; beyond, each block takes several turns."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a runtime shapes its launches; the bits of a result depend on none of this.

    Args:
        block: threads a block, a multiple of 32, at most the 256 that kernels are compiled for.
        most_blocks: cap on the blocks along x.
        rows_per_thread: how many rows a thread of a kernel that adds up takes, where there are very
            many: fewer blocks to add to the result.
    """

    block: int = 256
    most_blocks: int = GRID_STRIDE_BLOCKS
    rows_per_thread: int = 64

    def grid_of_rows(self, n_rows: int) -> int:
        """Return the number of blocks for a kernel that takes a row a thread."""
        return grid_of(n_rows, self.block, self.most_blocks)

    def grid_of_sums(self, n_rows: int) -> int:
        """Return the number of blocks for a kernel that adds up."""
        return grid_of(-(-n_rows // self.rows_per_thread), self.block, self.most_blocks)


def grid_of(n_rows: int, block: int, most: int = GRID_STRIDE_BLOCKS) -> int:
    """Return the number of blocks for a kernel whose blocks step through all rows.

    Args:
        n_rows: number of rows; an empty range still takes a block, because a grid cannot be empty.
        block: threads a block.
        most: cap on the result, at most `MOST_BLOCKS`.

    Raises:
        ValueError: a count that makes no sense.

    Example:
        >>> grid_of(1000, 256), grid_of(0, 256), grid_of(1 << 40, 256)
        (4, 1, 65536)
    """
    if n_rows < 0 or block < 1 or not 1 <= most <= MOST_BLOCKS:
        raise ValueError(f"no grid for {n_rows} rows in blocks of {block}, at most {most}")
    return max(1, min(-(-n_rows // block), most))
