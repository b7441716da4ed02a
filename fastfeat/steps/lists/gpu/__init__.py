"""Lists on a device: columns copied there in pieces (ranges of rows), functions, and exact sums.

`backends` imports it.
"""

from __future__ import annotations

from fastfeat.steps.lists.gpu.functions import KERNELS

__all__ = ["KERNELS"]
