"""Text on a device: columns in pieces, functions, hashes and numbers.

`backends` imports it.
"""

from __future__ import annotations

from fastfeat.steps.text.gpu.functions import KERNELS

__all__ = ["KERNELS"]
