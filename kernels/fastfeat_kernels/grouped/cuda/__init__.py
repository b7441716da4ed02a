"""The grouped kernels on a device: their text, their memory, and conversion of their results.

`steps.keys` imports it.

The lines are those of `layout`. A kernel of its own lists the values that the window does not hold;
it is launched only if the state says that there are any.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.column import BLOCK as LOOK_ROWS
from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.cuda import column_text, definitions
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.state import NO_EXTREMES, NONE, GroupedMoments
from fastfeat_kernels.grouped.wide import Left
from fastfeat_kernels.moments.state import Level

BLOCK: Final = 256
CARRY_EVERY: Final = 1 << 16
"""Values of a line between two carries; each adds less than 2**42 to a limb."""
MOST_COPIES: Final = 32
SHARED_BYTES: Final = 48 << 10
FEW_BYTES: Final = 16 << 10
"""Shared memory for the first groups, if not all groups have room there."""

ENOUGH_HELD: Final = 15 / 16
"""A window is kept if it holds this share of the floats that the best window holds."""

SEEN: Final = 0
N_LEFT: Final = 1
N_STATE_WORDS: Final = 2
SEEN_MISSING: Final = 1
SEEN_INFINITE: Final = 2
SEEN_LEFT: Final = 4

_WORDS: Final = (
    *("TABLE_VALUES", "TABLE_VALUE_BIT_OFFSET", "TABLE_VALIDITY", "TABLE_BIT_OFFSET"),
    *("TABLE_ELEMENT", "TABLE_CODES", "TABLE_FOLDS", "TABLE_N_CODES"),
    *("TABLE_LEVEL", "TABLE_EXPONENT", "TABLE_HEADROOM", "TABLE_N_SHARED", "TABLE_N_COPIES"),
    *("TABLE_LINES", "TABLE_EXTREMES", "TABLE_MISSING"),
    *("TABLE_POSITIVE_INFINITE", "TABLE_NEGATIVE_INFINITE"),
    *("TABLE_STATE", "TABLE_EXPONENTS", "TABLE_LEFT_VALUES", "TABLE_LEFT_GROUPS"),
)
_LAYOUT: Final = (
    *("COUNT", "SUM", "N_SUM_LIMBS", "SQUARES", "N_SQUARE_LIMBS", "LIMB_BITS"),
    *("SUM_BITS", "SQUARE_BITS", "SUM_ROOM", "SQUARE_ROOM", "LOOK_EVERY", "N_EXPONENTS"),
)


@cache
def text(block: int = BLOCK, carry_every: int = CARRY_EVERY) -> str:
    """Return the CUDA text of the kernels, without the prelude.

    `carry_every` is the number of values of a line between two carries, a power of 2.
    """
    words = {name: k for k, name in enumerate(_WORDS)}
    words |= {name: getattr(layout, name) for name in _LAYOUT}
    words |= {"N_TABLE_WORDS": len(_WORDS), "BLOCK": block, "CARRY_EVERY": carry_every}
    words |= {"LOOK_ROWS": LOOK_ROWS, "UINT64": ELEMENTS.index("uint64")}
    words |= {"SEEN": SEEN, "N_LEFT": N_LEFT, "SEEN_MISSING": SEEN_MISSING}
    words |= {"SEEN_INFINITE": SEEN_INFINITE, "SEEN_LEFT": SEEN_LEFT}
    own = Path(__file__).with_name("grouped.cu").read_text()
    return "\n".join([definitions(words), column_text(), own])


def kernel_of(element: str) -> str:
    """Return the kernel for a type of column."""
    return "grouped_floats" if element.startswith("float") else "grouped_integers"


class DeviceMomentsRequest(NamedTuple):
    """A request for the moments of groups.

    Args:
        element: Type of the values, of `column.ELEMENTS`.
        n_groups: Number of groups.
        level: 0 computes neither sum, 1 no sum of squares, 2 everything.
        extremes: Whether to find the minimum and maximum.
        n_rows: Largest total number of rows, over all pieces.
    """

    element: str
    n_groups: int
    level: Level
    extremes: bool
    n_rows: int

    @property
    def needs_window(self) -> bool:
        """Whether limbs lie in a window that must be chosen."""
        return self.element.startswith("float") and self.level > 0

    @property
    def headroom(self) -> int:
        """Number of bits of the window to keep free, so that the highest limb holds all rows."""
        return layout.headroom_of(self.n_rows)


class TargetOffsets(NamedTuple):
    """Byte offsets of the arrays in the target memory.

    Args:
        lines: Shape (n_groups, `layout.LINE_WORDS[level]`).
        extremes: Shape (n_groups, 2), or (0, 2).
        missing: Shape (n_groups,): missing values.
        positive: Shape (n_groups,): +inf values.
        negative: Shape (n_groups,): -inf values.
        n_bytes: Total size.
    """

    lines: int
    extremes: int
    missing: int
    positive: int
    negative: int
    n_bytes: int


def places_of(task: DeviceMomentsRequest) -> TargetOffsets:
    """Return the offsets of the arrays of a task; zeros are the state without rows."""
    n_words = layout.LINE_WORDS[task.level], 2 * task.extremes, 1, 1, 1
    ends = np.cumsum([8 * n * task.n_groups for n in n_words]).tolist()
    return TargetOffsets(0, *ends)


class Shared(NamedTuple):
    """The shared memory of a block, for the first groups.

    Args:
        n_groups: Number of groups with shared memory.
        n_copies: Number of copies per group, each for some lanes: a power of 2.
        n_bytes: Total size.
    """

    n_groups: int
    n_copies: int
    n_bytes: int


def shared_of(n_groups: int, n_bytes: int, limit: int = SHARED_BYTES) -> Shared:
    """Return the division of shared memory among groups of `n_bytes` each.

    >>> shared_of(4, 72), shared_of(10**6, 72)
    (Shared(n_groups=4, n_copies=32, n_bytes=9216), Shared(n_groups=227, n_copies=1, n_bytes=16344))
    """
    if n_groups * n_bytes > limit:
        n_shared = min(FEW_BYTES, limit) // n_bytes
        return Shared(n_shared, 1, n_shared * n_bytes)
    most = min(MOST_COPIES, limit // (n_bytes * max(n_groups, 1)))
    n_copies = 1 << (most.bit_length() - 1)
    return Shared(n_groups, n_copies, n_groups * n_copies * n_bytes)


def line_bytes(task: DeviceMomentsRequest) -> int:
    """Return the bytes of a line in shared memory, including missing rows and extremes."""
    return 8 * (layout.LINE_WORDS[task.level] + (3 if task.extremes else 1))


NOTHING_SHARED: Final = Shared(0, 1, 0)


class TargetAddresses(NamedTuple):
    """Addresses on the device.

    Args:
        groups: The arrays of `places_of`.
        state: N_STATE_WORDS zeros.
        exponents: For a survey, two times `layout.N_EXPONENTS` zeros; else 0.
        left_values: float64 values, one for each listed row; else 0.
        left_groups: int32 groups of these values; else 0.
    """

    groups: int
    state: int
    exponents: int = 0
    left_values: int = 0
    left_groups: int = 0


class RowGroups(NamedTuple):
    """The group of each row.

    Args:
        codes: Address of int32; negative for a row in no group.
        folds: Address of int32, 0 if there are none; the group is fold * n_codes + code.
        n_codes: Number of codes.
    """

    codes: int
    folds: int = 0
    n_codes: int = 0


def table_words(
    task: DeviceMomentsRequest,
    column: tuple[int, int, int, int],
    cells: RowGroups,
    memory: TargetAddresses,
    exponent: int,
    shared: Shared,
) -> list[int]:
    """Return the words of a table.

    Args:
        task: The request.
        column: Address of the values, their first bit, address of the validity, its first bit.
        cells: The groups.
        memory: The target.
        exponent: Exponent of the window.
        shared: The part of the target in shared memory.
    """
    places, start = places_of(task), memory.groups
    return [
        *column,
        ELEMENTS.index(task.element),
        *cells,
        *(task.level, exponent, task.headroom, shared.n_groups, shared.n_copies),
        start + places.lines,
        start + places.extremes if task.extremes else 0,
        *(start + places.missing, start + places.positive, start + places.negative),
        *memory[1:],
    ]


def is_well_held(begins: Int64Array, ends: Int64Array, exponent: int) -> bool:
    """Return whether a window holds about as many floats as the best window.

    `begins` and `ends` count, by biased exponent, the floats for which a window is the lowest and
    the highest that holds them.
    """
    held = np.cumsum(begins) - np.cumsum(ends) + ends
    return bool(held[exponent + layout.EXPONENT_BIAS] >= ENOUGH_HELD * held.max())


class Arrays(NamedTuple):
    """Arrays with the result of a device, in host memory; shapes like `TargetOffsets`."""

    lines: Int64Array
    extremes: Int64Array
    missing: Int64Array
    positive: Int64Array
    negative: Int64Array


def arrays_of(task: DeviceMomentsRequest, seen: int) -> Arrays:
    """Return arrays to download to; arrays without any occurrence in `seen` are empty."""
    n = task.n_groups
    is_infinite = bool(seen & SEEN_INFINITE)
    return Arrays(
        np.empty((n, layout.LINE_WORDS[task.level]), np.int64),
        np.empty((n, 2), np.int64) if task.extremes else NO_EXTREMES,
        np.empty(n, np.int64) if seen & SEEN_MISSING else NONE,
        np.empty(n, np.int64) if is_infinite else NONE,
        np.empty(n, np.int64) if is_infinite else NONE,
    )


def moments_of(
    task: DeviceMomentsRequest, exponent: int, found: Arrays, left: Left
) -> GroupedMoments:
    """Return the moments that a device has computed; its lines must be carried."""
    return GroupedMoments(
        task.element,
        task.level,
        exponent,
        1,
        found.lines,
        found.missing,
        found.positive,
        found.negative,
        found.extremes,
        left,
    )
