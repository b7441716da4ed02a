"""Text on a device: columns copied there in pieces (ranges of rows), functions, hashes and numbers.

`backends` imports it.
"""

from __future__ import annotations

from fastfeat.steps.text.gpu.functions import KERNELS

__all__ = ["KERNELS"]
