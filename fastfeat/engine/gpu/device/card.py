"""The interface of a card as this engine needs it: memory, streams, events, copies, kernels.

`CupyCard` implements it for a real card. A request is put at the end of a stream and done later;
only an event says when. Types of streams and events depend on the implementation.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray


class Card(Protocol):
    """A card that works on requests in streams."""

    @property
    def name(self) -> str:
        """Return the name of the card in messages."""
        ...

    def is_current(self) -> bool:
        """Whether the calling thread works on this card."""
        ...

    def allocate(self, n_bytes: int) -> tuple[int, object]:
        """Return the address of memory and an owner object.

        When the owner dies, the memory is free. Raises MemoryError if there is not enough.
        """
        ...

    def allocate_pinned(self, n_bytes: int) -> NDArray[np.uint8]:
        """Return page-locked host memory, which streams can copy from and to."""
        ...

    def memory(self) -> tuple[int, int]:
        """Return two numbers of bytes: free memory, and all memory."""
        ...

    def adopt(self, address: int, n_bytes: int) -> None:
        """Raise InvalidData unless memory is on this card; say where it is if that is known."""
        ...

    def array(
        self,
        address: int,
        n_bytes: int,
        owner: object,
        shape: tuple[int, ...],
        dtype: Any,
        strides: tuple[int, ...],
    ) -> Any:
        """Return memory of the card as an array for users, such as CuPy's.

        It keeps `owner` alive.
        """
        ...

    def give_back(self) -> None:
        """Return to the device the freed memory that was kept for later."""
        ...

    def current_stream(self) -> Any:
        """Return the stream in which the calling thread computes."""
        ...

    def new_stream(self) -> Any:
        """Return a stream that waits for no other stream by itself."""
        ...

    def record(self, stream: Any) -> Any:
        """Return an event that happens when all current work of a stream is done."""
        ...

    def wait(self, stream: Any, event: Any) -> None:
        """Make later work of a stream wait for an event."""
        ...

    def has_happened(self, event: Any) -> bool:
        """Whether an event has happened."""
        ...

    def finish(self, pending: Any) -> None:
        """Wait for an event, or for all work of a stream."""
        ...

    def finish_other(self, kind: Literal["stream", "event"], number: int) -> None:
        """Wait for all work of a foreign stream, or for a foreign event.

        `number` is a stream in CUDA's array interface: 1 the legacy default stream, 2 the default
        stream of the thread, else its address. For an event it is the event's address.
        """
        ...

    def copy(self, target: int, source: int, n_bytes: int, stream: Any) -> None:
        """Copy between the device and pinned memory, either way."""
        ...

    def zero(self, address: int, n_bytes: int, stream: Any) -> None:
        """Fill memory of the device with zeros."""
        ...

    def load(self, text: str) -> Any:
        """Return the kernels of a CUDA text, compiled on first use."""
        ...

    def launch(
        self,
        kernels: Any,
        kernel: str,
        grid: tuple[int, int],
        block: int,
        arguments: tuple[int, int, int],
        shared_bytes: int,
    ) -> None:
        """Run a kernel in the current stream.

        `kernels` is the result of `load`. `grid` has the number of blocks along x and y; `block` is
        the number of threads per block. The arguments are int64. `shared_bytes` is the length of
        the dynamic array in shared memory.
        """
        ...
