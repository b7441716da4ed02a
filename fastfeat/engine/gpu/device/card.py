"""Requests of a card's runtime to CUDA: memory, streams, events, copies, kernels.

`CupyCard` is the one of a real card. What is asked for is put at the end of a stream and done some
time later; only an event says when. Streams and events are of the card's own kind.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray


class Card(Protocol):
    """A device whose work is done in streams."""

    @property
    def name(self) -> str:
        """Return the name of the card in messages."""
        ...

    def is_current(self) -> bool:
        """Whether the calling thread works on this card."""
        ...

    def allocate(self, n_bytes: int) -> tuple[int, object]:
        """Return the address of memory and its owner, whose end frees it at once.

        Raises:
            MemoryError: there is not enough.
        """
        ...

    def allocate_pinned(self, n_bytes: int) -> NDArray[np.uint8]:
        """Return memory of the host that streams copy from and to."""
        ...

    def memory(self) -> tuple[int, int]:
        """Return the numbers of bytes that can be allocated, and that there are."""
        ...

    def adopt(self, address: int, n_bytes: int) -> None:
        """Do nothing where memory is on this card.

        Raises:
            InvalidData: it is not; says where it is, if that is known.
        """
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
        """Return memory of the card as an array that users know, which keeps its owner."""
        ...

    def give_back(self) -> None:
        """Return freed memory, which is kept for later, to the device."""
        ...

    def current_stream(self) -> Any:
        """Return the stream in which the calling thread computes."""
        ...

    def new_stream(self) -> Any:
        """Return a stream that waits for no other unless it is told to."""
        ...

    def record(self, stream: Any) -> Any:
        """Return an event that happens when all that is in a stream now is done."""
        ...

    def wait(self, stream: Any, event: Any) -> None:
        """Let what is put into a stream from now on wait for an event."""
        ...

    def has_happened(self, event: Any) -> bool:
        """Whether an event has happened."""
        ...

    def finish(self, pending: Any) -> None:
        """Wait until an event has happened, or until all that is in a stream is done."""
        ...

    def finish_other(self, kind: Literal["stream", "event"], number: int) -> None:
        """Wait until all in a stream of somebody else is done, or until an event has happened.

        Args:
            kind: what it is.
            number: of a stream, as in CUDA's array interface: 1 the legacy default stream, 2 that
                of the thread, else its address; or the address of an event.
        """
        ...

    def copy(self, target: int, source: int, n_bytes: int, stream: Any) -> None:
        """Copy between the device and pinned memory, either way."""
        ...

    def zero(self, address: int, n_bytes: int, stream: Any) -> None:
        """Fill memory of the device with zeros."""
        ...

    def load(self, text: str) -> Any:
        """Return the kernels of a text, compiled if this is the first time."""
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

        Args:
            kernels: what `load` returned.
            kernel: its name.
            grid: number of blocks along x and y.
            block: threads a block.
            arguments: each an int64.
            shared_bytes: length of the dynamic array in shared memory.
        """
        ...
