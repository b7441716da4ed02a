"""The words of what kernels and plans both know: imports nothing, so that plans are built fast."""

from __future__ import annotations

from typing import Literal

Interpolation = Literal["linear", "lower", "higher", "nearest", "midpoint"]
"""What stands between two values in order."""
RankMethod = Literal["average", "min", "max"]
"""Which rank values have that are equal."""
