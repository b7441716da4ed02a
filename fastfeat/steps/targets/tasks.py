"""The task of targets: what a backend is asked to learn of a target per category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastfeat.aggregates.target import FoldedGroups
from fastfeat.dtypes import DType
from fastfeat.engine.tasks import Task
from fastfeat.ir.node import Params


@dataclass(frozen=True, slots=True)
class TargetTask(Task[FoldedGroups]):
    """A statistic of a target per category, of all rows and outside of each fold.

    Args:
        function: one of `aggregates.target.FUNCTIONS`.
        params: its parameters.
        values: the target, shape (n_rows,): an Arrow array, or a DeviceArray.
        dtype: its type.
        codes: the category of each row, int32, the same.
        folds: the fold of each row, int32, the same.
        n_codes: how many categories there are.
        n_folds: how many folds.
    """

    function: str
    params: Params
    values: Any
    dtype: DType
    codes: Any
    folds: Any
    n_codes: int
    n_folds: int
