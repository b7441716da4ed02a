"""Lists on a device: columns in pieces, functions and exact sums.

`backends` imports it.
"""

from __future__ import annotations

from fastfeat.steps.lists.gpu.functions import KERNELS

__all__ = ["KERNELS"]
