"""What is learnt per group of rows: one value a group, in the order of the groups' numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.dtypes import DType


@dataclass(frozen=True, eq=False)
class Groups:
    """The values of an aggregate per group.

    Args:
        values: float64, or int64 of integers, bools and times, shape (n_groups,); NaN or 0 where
            missing.
        present: whether a group has a value, shape (n_groups,).
    """

    values: NDArray[Any]
    present: NDArray[np.bool_]


def groups_of(values: Sequence[Any], dtype: DType) -> Groups:
    """Return Python values by group as they are learnt; None and NaN are missing."""
    present = np.array([v is not None and v == v for v in values], dtype=bool)
    if dtype.physical == "f64":
        floats = [v if there else np.nan for v, there in zip(values, present, strict=True)]
        return Groups(np.array(floats, np.float64), present)
    wide = [(int(v or 0) + (1 << 63)) % (1 << 64) - (1 << 63) for v in values]
    return Groups(np.array(wide, dtype=np.int64), present)
