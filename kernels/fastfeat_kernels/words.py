"""The words of what kernels and plans both know: imports nothing, so that plans are built fast."""

from __future__ import annotations

from typing import Literal

Interpolation = Literal["linear", "lower", "higher", "nearest", "midpoint"]
"""The value between two values in order."""
RankMethod = Literal["average", "min", "max"]
"""The rank of values that are equal."""
