"""Keys on a device: distinct keys, codes, hashes, and groups of rows.

`backends` imports it, `steps.tables`, and `tell` for what `explain` says of groups.
"""

from __future__ import annotations

from fastfeat.steps.keys.gpu.columns import hash_cross
from fastfeat.steps.keys.gpu.vocabulary import encode
from fastfeat.steps.on_device import DeviceKernel

KERNELS = {"encode": DeviceKernel(encode), "hash_cross": DeviceKernel(hash_cross)}
"""The steps of keys that run on the device; hashes of text are with text."""
