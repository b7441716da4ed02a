"""`backend="gpu"`: the backend of the calling thread's NVIDIA GPU.

CuPy is imported, and CUDA started, only when something is computed.
"""

from __future__ import annotations

from fastfeat.backends.device import device_backend
from fastfeat.engine.gpu.device.current import current_runtime

BACKEND = device_backend("gpu", current_runtime)
