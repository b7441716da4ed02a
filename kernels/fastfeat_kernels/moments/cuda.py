"""The moments kernels on a device: their text, and the interpretation of their state.

The words of table and state are those of the package, but limbs are not carried: each is an int64
that the blocks have added to.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from fastfeat_kernels import moments as layout
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.cuda import column_text, definitions
from fastfeat_kernels.moments.state import (
    NO_MAX_KEY,
    NO_MIN_KEY,
    NO_ROW,
    Level,
    Moments,
    moments_of,
)

BLOCK: Final = 256
PER_THREAD: Final = 8


@cache
def text(block: int = BLOCK) -> str:
    """Return the CUDA text of the kernels, without the prelude, for blocks of `block` threads."""
    words = {name: value for name, value in vars(layout).items() if isinstance(value, int)}
    words |= {"BLOCK": block, "PER_THREAD": PER_THREAD}
    own = Path(__file__).with_name("moments.cu").read_text()
    return "\n".join([definitions(words), column_text(), own])


def kernel_of(element: str) -> str:
    """Return the kernel for a type of column."""
    return "moments_floats" if element.startswith("float") else "moments_integers"


def new_state() -> Int64Array:
    """Return the state of no rows."""
    words = np.zeros(layout.SCRATCH, np.int64)
    words[layout.FIRST_INFINITE] = NO_ROW
    words[layout.MIN_KEY], words[layout.MAX_KEY] = NO_MIN_KEY, NO_MAX_KEY
    return words


def table_words(
    element: str, column: tuple[int, int, int, int], state: int, level: Level, first_row: int
) -> list[int]:
    """Return the words of one column.

    Args:
        element: Type of the values, of `column.ELEMENTS`.
        column: Address of the values, their first bit, address of the validity, its first bit.
        state: Address of the state.
        level: 0 leaves out both sums, 1 the sum of squares.
        first_row: Number of the first row in the whole column.
    """
    no_scratch, n_columns = 0, 1
    return [*column, state, level, first_row, ELEMENTS.index(element), no_scratch, n_columns]


def read_state(element: str, state: Int64Array, level: Level) -> Moments:
    """Return the moments of a state, at the level of its table."""
    total = _integer(state[layout.SUM : layout.SQUARES].tolist())
    squares = _integer(state[layout.SQUARES : layout.SCRATCH].tolist())
    return moments_of(element, state, total, squares, level)


def _integer(limbs: Sequence[int]) -> int:
    return sum(limb << (32 * k) for k, limb in enumerate(limbs))
