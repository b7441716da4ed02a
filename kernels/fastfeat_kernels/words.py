"""Words that kernels and plans share; this module imports nothing, so that plans build fast."""

from __future__ import annotations

from typing import Literal

Interpolation = Literal["linear", "lower", "higher", "nearest", "midpoint"]
"""The result for a quantile between two sorted values."""
RankMethod = Literal["average", "min", "max"]
"""The rank of equal values."""
