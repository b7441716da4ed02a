"""Serialize tables with the moments of groups: their exact integers become Arrow columns.

A table sums floats exactly within a window of exponents. Values outside it go to further windows,
or into exact sums that are listed by group. The sums of a group in a window are a line of 64-bit
words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.growing import Table as GroupTable
from fastfeat_kernels.grouped.state import NO_EXTREMES, NONE, GroupedMoments
from fastfeat_kernels.grouped.tables import aligned_zeros
from fastfeat_kernels.grouped.wide import Left, no_left
from fastfeat_kernels.moments.state import Level
from numpy.typing import NDArray

from fastfeat.engine.learner import PackedState
from fastfeat.io.arrow import Table, pa
from fastfeat.io.columns.bits import array_of_values

_COUNTS = "n_missing", "n_positive_infinite", "n_negative_infinite"
_WINDOW = "window_"


def packed_table(table: GroupTable) -> PackedState:
    """Return a table in serializable form; if few groups have rows, with these groups only."""
    moments, left = table.moments, table.moments.left
    numbers: dict[str, Any] = {
        "element": moments.element,
        "level": moments.level,
        "n_groups": moments.n_groups,
        "has_extremes": table.has_extremes,
        "has_rows": table.has_rows,
        "left": [left.groups.tolist(), left.sums.tolist(), left.squares.tolist()],
        "windows": [
            [one.moments.exponent, one.moments.n_added, one.reach] for one in (table, *table.others)
        ],
    }
    if not table.has_rows:
        return PackedState(numbers)
    tables = {f"{_WINDOW}{k}": _columns(one) for k, one in enumerate((table, *table.others))}
    return PackedState(numbers, tables)


def unpacked_table(packed: PackedState) -> GroupTable:
    """Return the table that `packed_table` serialized."""
    numbers = packed.numbers
    groups, sums, squares = numbers["left"]
    left = Left(np.array(groups, np.int64), _integers(sums), _integers(squares))
    windows = [
        _window(numbers, k, packed.tables.get(f"{_WINDOW}{k}"))
        for k in range(len(numbers["windows"]))
    ]
    first = windows[0]
    first.moments = first.moments._replace(left=left)
    first.others = windows[1:]
    return first


def _integers(values: list[int]) -> NDArray[Any]:
    found = np.zeros(len(values), object)
    found[:] = values
    return found


def _columns(table: GroupTable) -> Table:
    """Return one window of a table as Arrow columns: one per word of a line, and one per count.

    If fewer than half of the groups have rows, only these are included, with a column of their
    numbers.
    """
    moments = table.moments
    columns = {f"word_{k}": moments.lines[:, k] for k in range(moments.lines.shape[1])}
    columns |= {name: getattr(moments, name) for name in _COUNTS if len(getattr(moments, name))}
    if table.has_extremes:
        columns |= {"least": moments.extremes[:, 0], "greatest": moments.extremes[:, 1]}
    present = moments.lines[:, layout.COUNT] != 0
    for name in _COUNTS:
        if name in columns:
            present |= columns[name] != 0
    if 2 * int(present.sum()) < moments.n_groups:
        groups = np.flatnonzero(present)
        columns = {name: column[groups] for name, column in columns.items()}
        columns["group"] = groups
    arrays = {
        name: array_of_values(np.ascontiguousarray(column), None, pa.int64())
        for name, column in columns.items()
    }
    return pa.table(arrays)


def _window(numbers: Mapping[str, Any], k: int, table: Table | None) -> GroupTable:
    """Return window number `k` of a serialized table."""
    exponent, n_added, reach = numbers["windows"][k]
    n_groups, level = numbers["n_groups"], cast("Level", numbers["level"])
    has_extremes = bool(numbers["has_extremes"]) and k == 0
    columns: dict[str, NDArray[np.int64]] = {}
    if table is not None:
        columns = {str(name): np.array(table.column(name)) for name in table.column_names}
    places = columns.pop("group", slice(None))
    lines = aligned_zeros(n_groups, layout.LINE_WORDS[level])
    extremes = np.empty((n_groups, 2), np.int64) if has_extremes else NO_EXTREMES
    extremes[:] = layout.NO_MIN_KEY, layout.NO_MAX_KEY
    targets = {f"word_{word}": lines[:, word] for word in range(lines.shape[1])}
    targets |= {"least": extremes[:, 0], "greatest": extremes[:, 1]}
    targets |= {name: np.zeros(n_groups, np.int64) for name in _COUNTS if name in columns}
    for name, column in columns.items():
        targets[name][places] = column
    moments = GroupedMoments(
        "float64" if k else numbers["element"],
        level,
        exponent,
        n_added,
        lines,
        targets.get("n_missing", NONE),
        targets.get("n_positive_infinite", NONE),
        targets.get("n_negative_infinite", NONE),
        extremes,
        no_left(),
    )
    return GroupTable(moments, [], reach, numbers["has_rows"], has_extremes)
