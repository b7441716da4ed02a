"""Tasks of keys: records of what a backend is asked to count, and to learn per group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastfeat.aggregates.keys import Groups, KeyCounts
from fastfeat.dtypes import DType
from fastfeat.engine.tasks import Task
from fastfeat.ir.node import Params


@dataclass(frozen=True, slots=True)
class KeysTask(Task[KeyCounts]):
    """The distinct keys of some rows, in the order of codes.

    Args:
        columns: the parts of the key, as `io.columns.keys` stores them.
        dtypes: their types.
        missing: "key" where one missing part makes the key missing, "value" where it is a value.
        max_memory: bytes that the keys may take.
        with_rows: whether to keep which key each row has.
    """

    columns: Sequence[Any]
    dtypes: Sequence[DType]
    missing: str
    max_memory: int
    with_rows: bool = False


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
