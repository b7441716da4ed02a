"""Keys on a device: distinct keys, codes, hashes, and groups of rows.

`backends` and `steps.tables` import it, and so does `tell`, for `explain`'s text about groups.
"""

from __future__ import annotations

from fastfeat.steps.keys.gpu.columns import hash_cross
from fastfeat.steps.keys.gpu.vocabulary import encode
from fastfeat.steps.on_device import DeviceKernel

KERNELS = {"encode": DeviceKernel(encode), "hash_cross": DeviceKernel(hash_cross)}
"""The steps of keys that run on the device; hashes of text are in the subject of text."""
