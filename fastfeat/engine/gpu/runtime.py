"""The protocol of a device: memory, copies, kernels. Two runtimes have this shape.

Everything above is the same code for both: `CardRuntime` on a card, `EmulatedRuntime` by g++.

The order of things: launches and `zero` run one after another. An upload is there for every launch
that is asked for later; one asked for earlier may see it or not, so a buffer that a launch still
needs is never uploaded to: allocate another, which costs little, or `finish` a mark after that
launch. A download is there once `synchronize` has returned, or `finish` of a mark that it came
after; until then nothing is asked for that writes to its buffer. A buffer may be dropped while
launches that use it are outstanding.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.gpu.computations import Computations
from fastfeat.errors import KernelFailed

MOST_BLOCKS = (1 << 31) - 1
"""Blocks along x that CUDA takes; CuPy truncates more without a word."""

GRID_STRIDE_BLOCKS = 1 << 16
"""Enough blocks to fill every card many times over; beyond, each block takes several turns."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The shape of a runtime's launches; the bits of a result depend on none of this.

    Args:
        block: threads a block, a multiple of 32, at most the 256 that kernels are compiled for.
        most_blocks: cap on the blocks along x.
        rows_per_thread: how many rows a thread of a kernel that adds up takes, where there are very
            many: fewer blocks to add to the result.
    """

    block: int = 256
    most_blocks: int = GRID_STRIDE_BLOCKS
    rows_per_thread: int = 64

    def grid_of_rows(self, n_rows: int) -> int:
        """Return the number of blocks for a kernel that takes a row a thread."""
        return grid_of(n_rows, self.block, self.most_blocks)

    def grid_of_sums(self, n_rows: int) -> int:
        """Return the number of blocks for a kernel that adds up."""
        return grid_of(-(-n_rows // self.rows_per_thread), self.block, self.most_blocks)


def grid_of(n_rows: int, block: int, most: int = GRID_STRIDE_BLOCKS) -> int:
    """Return the number of blocks for a kernel whose blocks step through all rows.

    Args:
        n_rows: number of rows; an empty range still takes a block, because a grid cannot be empty.
        block: threads a block.
        most: cap on the result, at most `MOST_BLOCKS`.

    Raises:
        ValueError: a count that makes no sense.

    Example:
        >>> grid_of(1000, 256), grid_of(0, 256), grid_of(1 << 40, 256)
        (4, 1, 65536)
    """
    if n_rows < 0 or block < 1 or not 1 <= most <= MOST_BLOCKS:
        raise ValueError(f"no grid for {n_rows} rows in blocks of {block}, at most {most}")
    return max(1, min(-(-n_rows // block), most))


class Owner:
    """The owner that buffers refer to; its end gives the memory back."""

    __slots__ = ("__weakref__",)


class Watch(weakref.ref[Owner]):
    """A weak reference to an owner that says which memory it keeps.

    Make it with the `append` of a deque, which holds it when the owner is gone.
    """

    __slots__ = ("address", "kept", "n_bytes")

    address: int
    """Of the first byte."""
    n_bytes: int
    kept: object
    """Objects that are needed to give the memory back."""


ALIGNMENT = 256

SHARED_LIMIT = 48 << 10
"""Bytes of shared memory that a block has on every card without asking."""

PRELUDE = "prelude.cuh"

KERNEL_FILE = "kernel.cu"
"""Name of a kernel's text for compilers and sanitizers."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Buffer:
    """Memory of the device, free again when the last reference to its owner is gone.

    Args:
        address: of its first byte, on the device.
        n_bytes: its length.
        owner: what keeps the memory.
    """

    address: int
    n_bytes: int
    owner: object


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """Compiled kernels; `loaded` is of the runtime's own kind."""

    key: str
    loaded: Any


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A point in what a thread asks of a device.

    Args:
        number: how many launches came before it.
        event: of the runtime's own kind.
    """

    number: int
    event: Any


class Runtime(Protocol):
    """A device. Kernels are `NAME(const i64* table, i64 first, i64 n)`; see `prelude.cuh`."""

    @property
    def name(self) -> str:
        """Return the name of the device in messages."""
        ...

    @property
    def geometry(self) -> Geometry:
        """Return the shape of launches."""
        ...

    @property
    def computations(self) -> Computations:
        """Return the computations that share the device."""
        ...

    def allocate(self, n_bytes: int) -> Buffer:
        """Return memory that begins at a multiple of 256 bytes and holds anything.

        Raises:
            OutOfDeviceMemory: says what was asked for and what is free.
        """
        ...

    def adopt(self, address: int, n_bytes: int, owner: object) -> Buffer:
        """Return memory of the device that is somebody else's, in place.

        Args:
            address: of its first byte.
            n_bytes: its length, not 0.
            owner: what keeps it, which the buffer keeps.

        Raises:
            InvalidData: it is not in the memory of this device; says where it is, if that is known.
        """
        ...

    def wait_for(self, kind: Literal["stream", "event"], number: int) -> None:
        """Wait until work of others is done.

        Args:
            kind: "stream": all that was asked of a stream; "event": an event has come to pass.
            number: of the stream, as in CUDA's array interface: 1 the legacy default stream, 2 that
                of the thread, else its address; or the address of the event.
        """
        ...

    def array(
        self, buffer: Buffer, shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...]
    ) -> Any:
        """Return memory of the device as an array that users know; it keeps the memory.

        Args:
            buffer: the memory.
            shape: number of elements along each axis.
            dtype: their NumPy type.
            strides: bytes from one to the next.
        """
        ...

    def upload(self, array: NDArray[Any], buffer: Buffer, offset: int = 0) -> None:
        """Copy a contiguous array into a buffer, from byte `offset`; the array may change then."""
        ...

    def download(
        self, buffer: Buffer, array: NDArray[Any], offset: int = 0, after: Mark | None = None
    ) -> None:
        """Fill a contiguous array from byte `offset` of a buffer, beside later launches.

        Args:
            buffer: what is read.
            array: is filled when `synchronize` returns, or `finish` of the mark.
            offset: first byte.
            after: what was asked for before it is waited for; None: all so far.
        """
        ...

    def zero(self, buffer: Buffer) -> None:
        """Fill a buffer with zeros."""
        ...

    def module(self, text: str) -> Module:
        """Return the kernels of a text, compiled if this is the first time.

        Raises:
            KernelFailed: holds what the compiler says.
            BackendUnavailable: there is no compiler.
        """
        ...

    def launch(
        self,
        module: Module,
        kernel: str,
        grid: tuple[int, int],
        block: int,
        table: Buffer | int,
        first: int,
        n: int,
        shared_bytes: int = 0,
    ) -> None:
        """Run a kernel over rows [first, first + n).

        Args:
            module: where the kernel is.
            kernel: its name.
            grid: number of blocks, and of instances.
            block: threads a block, a multiple of 32.
            table: buffer of the words that the kernel reads, or its address.
            first: first row.
            n: number of rows.
            shared_bytes: length of the dynamic array in shared memory.

        Raises:
            KernelFailed: names the kernel; a failure while it runs may come at `synchronize`,
                and name all kernels since the last one.
        """
        ...

    def mark(self) -> Mark:
        """Return a mark after all that the calling thread has asked for so far."""
        ...

    def finish(self, mark: Mark) -> None:
        """Wait until everything asked for before a mark is done, and the downloads after that.

        Args:
            mark: made by the calling thread.
        """
        ...

    def synchronize(self) -> None:
        """Wait until everything that was asked for is done."""
        ...

    def memory(self) -> tuple[int, int]:
        """Return the numbers of bytes that are free, and that there are."""
        ...

    def give_back(self) -> None:
        """Return memory that is kept for later to the device."""
        ...


def check_launch(kernel: str, grid: tuple[int, int], block: int, n: int, shared_bytes: int) -> None:
    """Raise KernelFailed where a card would refuse the shape of a launch.

    Raises:
        KernelFailed: names the kernel.
    """
    problem = None
    if not (0 < grid[0] < 1 << 31 and 0 < grid[1] < 1 << 16):
        problem = f"a grid of {grid[0]} x {grid[1]} blocks; at most 2147483647 x 65535"
    elif not 0 < block <= 1024 or block % 32:
        problem = f"{block} threads a block; 1024 at most, and a multiple of 32"
    elif not 0 <= shared_bytes <= SHARED_LIMIT:
        problem = f"{shared_bytes} bytes of shared memory; {SHARED_LIMIT} at most"
    elif n < 0:
        problem = f"{n} rows"
    if problem is not None:
        raise KernelFailed(f"kernel {kernel!r} cannot be launched with {problem}", [kernel])


def bytes_of(array: NDArray[Any], buffer: Buffer, offset: int) -> NDArray[np.uint8]:
    """Return the bytes of an array, without a copy, once it is known to fit into a buffer.

    Raises:
        ValueError: the array is not contiguous, or reaches beyond the buffer.
    """
    if not array.flags.c_contiguous:
        raise ValueError("a copy between host and device needs a contiguous array")
    if not 0 <= offset <= buffer.n_bytes - array.nbytes:
        raise ValueError(
            f"{array.nbytes} bytes from byte {offset} reach beyond a buffer of {buffer.n_bytes}"
        )
    return array.reshape(-1).view(np.uint8)
