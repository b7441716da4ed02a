"""From exact integers to floats, as the aggregates take it from the kernels."""

from __future__ import annotations

from fastfeat_kernels.moments.exact import (
    deviation_of,
    mean_of,
    nearest_float,
    rounded,
    scaled_quotient,
    sum_of,
    variance_of,
)

__all__ = [
    "deviation_of",
    "mean_of",
    "nearest_float",
    "rounded",
    "scaled_quotient",
    "sum_of",
    "variance_of",
]
