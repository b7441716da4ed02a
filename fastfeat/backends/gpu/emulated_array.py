"""What stands for a CuPy array on the emulated device, whose memory is the host's."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends.gpu.runtime import Buffer


@dataclass(frozen=True, slots=True, eq=False)
class EmulatedArray:
    """An array on the emulated device: to be read by `get`, or given to the emulated backend.

    Args:
        buffer: its memory.
        shape: number of elements along each axis.
        dtype: their type.
        strides: bytes from one to the next.
    """

    buffer: Buffer
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    strides: tuple[int, ...]

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Say where it is, as arrays on a card do."""
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.buffer.address, False),
            "strides": self.strides,
            "stream": None,
            "version": 3,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return the host's memory, where it is."""
        return self.view().__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        """Share it without a copy, as NumPy shares an array."""
        return self.view().__dlpack__(**options)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Refuse, as CuPy does: a copy to the host is asked for.

        Raises:
            TypeError: always.
        """
        raise TypeError("arrays on a device become NumPy's only when asked. Copy it: .get()")

    def view(self) -> NDArray[Any]:
        """Return a NumPy array of the same memory, which it keeps."""
        held = (ctypes.c_uint8 * max(1, self.buffer.n_bytes)).from_address(self.buffer.address)
        held.owner = self.buffer  # pyright: ignore[reportAttributeAccessIssue]  # ctypes takes any
        array: NDArray[Any] = np.ndarray(self.shape, self.dtype, memoryview(held), 0, self.strides)
        return array

    def get(self) -> NDArray[Any]:
        """Return a copy as a NumPy array, like that of CuPy."""
        return self.view().copy(order="K")
