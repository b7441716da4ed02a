"""Tasks of keys: records of what a backend is asked to count, and to learn per group.

What they mean stands below them: keys are counted, and aggregates of groups learnt, row by row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.keys import Groups, KeyCounts, groups_of
from fastfeat.engine.reference.run import stored_values
from fastfeat.engine.tasks import Task
from fastfeat.io.columns import strings
from fastfeat.io.columns.keys import key_array
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Params
from fastfeat.steps.keys import rows as of_keys


@dataclass(frozen=True, slots=True)
class KeysTask(Task[KeyCounts]):
    """The distinct keys of some rows.

    Args:
        columns: the parts of the key, as `io.columns.keys` stores them.
        dtypes: their types.
        missing: "key" where one missing part makes the key missing, "value" where it is a value.
        max_memory: bytes that the keys may take.
        with_rows: whether to keep which key each row has.
        in_order: whether the keys have to be in order; where not, a backend may leave that.
    """

    columns: Sequence[Any]
    dtypes: Sequence[DType]
    missing: str
    max_memory: int
    with_rows: bool = False
    in_order: bool = True


@dataclass(frozen=True, slots=True)
class DistinctTask(Task[int]):
    """How many distinct keys some rows have; the keys themselves stay where they are.

    Args:
        columns: the parts of the key, as of `KeysTask`.
        dtypes: their types.
        missing: as of `KeysTask`.
    """

    columns: Sequence[Any]
    dtypes: Sequence[DType]
    missing: str


@dataclass(frozen=True, slots=True)
class GroupsTask(Task[list[Groups]]):
    """Aggregates of the rows of each group.

    Where the sum of a group that is left out does not fit its type, it is no error.

    Args:
        wanted: the aggregates, by name and parameters.
        values: the argument, shape (n_rows,): an Arrow array, or a DeviceArray.
        dtype: its type.
        codes: the group of each row, int32, the same.
        n_groups: how many groups there are.
        n_left_out: of how many groups, the first, anything may come.
    """

    wanted: Sequence[tuple[str, Params]]
    values: Any
    dtype: DType
    codes: Any
    n_groups: int
    n_left_out: int = 0


def count_keys(task: KeysTask) -> KeyCounts:
    """Return the distinct keys of some rows in order; rows are looked up again, not kept.

    It takes the memory that it needs: the reference is for few rows.
    """
    counts = Counter(
        of_keys.rows_of_keys([strings.contents_of(column) for column in task.columns], task.missing)
    )
    n_missing = counts.pop(None, 0)
    found = [(key, n) for key, n in counts.items() if key is not None]
    found.sort(key=lambda pair: (-pair[1], *map(_order, pair[0])))
    parts = tuple(
        key_array([key[k] for key, _ in found], dtype) for k, dtype in enumerate(task.dtypes)
    )
    return KeyCounts(parts, np.array([n for _, n in found], dtype=np.int64), n_missing)


def count_distinct(task: DistinctTask) -> int:
    """Return how many distinct keys some rows have."""
    rows = of_keys.rows_of_keys(
        [strings.contents_of(column) for column in task.columns], task.missing
    )
    return len({key for key in rows if key is not None})


def _order(part: Any) -> tuple[bool, Any]:
    """Return the sort key of a part of keys: a missing one first, text by its bytes."""
    return part is not None, strings.content_of(part) if isinstance(
        part, str | bytes
    ) else part or 0


def learn_groups(task: GroupsTask) -> list[Groups]:
    """Return each wanted aggregate of each group."""
    dtype = task.dtype
    members: list[list[Any]] = [[] for _ in range(task.n_groups)]
    pairs = zip(stored_values(task.values, dtype), task.codes.to_pylist(), strict=True)
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
