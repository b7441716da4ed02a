"""Tasks of keys: requests to a backend to count keys, or to compute aggregates per group.

The functions below the tasks define their results, row by row; backends must return the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.keys import Groups, KeyCounts, groups_of
from fastfeat.engine.reference import run as reference
from fastfeat.engine.tasks import Task
from fastfeat.io.columns import keys as key_columns
from fastfeat.io.columns import strings
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Params
from fastfeat.steps.keys import rows as of_keys


@dataclass(frozen=True, slots=True)
class KeysTask(Task[KeyCounts]):
    """A request for the distinct keys of rows, with their counts.

    Args:
        columns: The parts of the key, in the form of `io.columns.keys`.
        dtypes: Types of the parts.
        missing: "key" if one missing part makes the key missing, "value" if it is a value.
        max_memory: Limit of the bytes of the keys.
        with_rows: Whether the result must also tell the key number of each row.
        in_order: Whether keys must be sorted, the most frequent first; if not, a backend may leave
            them unsorted.
    """

    columns: Sequence[Any]
    dtypes: Sequence[DType]
    missing: str
    max_memory: int
    with_rows: bool = False
    in_order: bool = True


@dataclass(frozen=True, slots=True)
class DistinctTask(Task[int]):
    """A request for the number of distinct keys of rows.

    The fields are described in `KeysTask`.
    """

    columns: Sequence[Any]
    dtypes: Sequence[DType]
    missing: str


@dataclass(frozen=True, slots=True)
class GroupsTask(Task[list[Groups]]):
    """A request for aggregates of the rows of each group.

    Args:
        wanted: The aggregates, by name and parameters.
        values: The argument, shape (n_rows,): an Arrow array, or a DeviceArray.
        dtype: Type of the argument.
        codes: The group number of each row, int32, shape (n_rows,): an Arrow array, or a
            DeviceArray.
        n_groups: Number of groups.
        n_left_out: The results of the first `n_left_out` groups are ignored and may be anything; a
            sum that overflows there is not an error.
    """

    wanted: Sequence[tuple[str, Params]]
    values: Any
    dtype: DType
    codes: Any
    n_groups: int
    n_left_out: int = 0


def count_keys(task: KeysTask) -> KeyCounts:
    """Return the distinct keys of a task's rows with counts, the most frequent first.

    It does not tell the key of each row, and it ignores `max_memory`: the reference is for few
    rows.
    """
    counts = Counter(
        of_keys.rows_of_keys([strings.contents_of(column) for column in task.columns], task.missing)
    )
    n_missing = counts.pop(None, 0)
    found = [(key, n) for key, n in counts.items() if key is not None]
    found.sort(key=lambda pair: (-pair[1], *map(_order, pair[0])))
    parts = tuple(
        key_columns.key_array([key[k] for key, _ in found], dtype)
        for k, dtype in enumerate(task.dtypes)
    )
    return KeyCounts(parts, np.array([n for _, n in found], dtype=np.int64), n_missing)


def count_distinct(task: DistinctTask) -> int:
    """Return the number of distinct keys in the rows of a task."""
    rows = of_keys.rows_of_keys(
        [strings.contents_of(column) for column in task.columns], task.missing
    )
    return len({key for key in rows if key is not None})


def _order(part: Any) -> tuple[bool, Any]:
    """Return a sort key for one part of a key: a missing part first, text by its bytes."""
    return part is not None, strings.content_of(part) if isinstance(
        part, str | bytes
    ) else part or 0


def learn_groups(task: GroupsTask) -> list[Groups]:
    """Return the values of each wanted aggregate, one value per group."""
    dtype = task.dtype
    members: list[list[Any]] = [[] for _ in range(task.n_groups)]
    pairs = zip(reference.stored_values(task.values, dtype), task.codes.to_pylist(), strict=True)
    for value, code in pairs:
        if code >= task.n_left_out:
            members[code].append(value)
    return [
        groups_of(
            [AGGREGATES[name].reference(group, params, dtype) for group in members],
            AGGREGATES[name].result(dtype, params),
        )
        for name, params in task.wanted
    ]
