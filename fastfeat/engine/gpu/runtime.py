"""The interface of a device: memory, copies, kernels. Two runtimes implement it.

The code above this interface is the same for both: `CardRuntime` on a card, `EmulatedRuntime` by
g++ on the host. A mark is a point in a thread's sequence of requests, to wait for.

Order of operations: launches and `zero` run one after another. An upload is complete before every
launch that is requested later; a launch requested earlier may see it or not. So never upload to a
buffer that an earlier launch still needs: allocate another one, which is cheap, or `finish` a mark
after that launch. A download is complete once `synchronize` has returned, or `finish` of a mark
before the download; until then request nothing that writes to its buffer. A buffer may be dropped
while launches that use it are outstanding.
"""

from __future__ import annotations

import weakref
from typing import Any, Literal, Protocol

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.gpu.computations import Computations
from fastfeat.errors import KernelFailed

MOST_BLOCKS = (1 << 31) - 1
"""Blocks along x that CUDA allows; CuPy truncates a larger number silently."""

GRID_STRIDE_BLOCKS = 1 << 16
"""Enough blocks to fill every card many times; with more, each block takes several turns."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The numbers of threads and blocks of launches; the bits of a result do not depend on them.

    Args:
        block: Threads per block, a multiple of 32, at most the 256 that kernels are compiled for.
        most_blocks: Highest number of blocks along x.
        rows_per_thread: Rows per thread of a kernel that adds up, for very many rows. More rows per
            thread mean fewer blocks that add to the result.
    """

    block: int = 256
    most_blocks: int = GRID_STRIDE_BLOCKS
    rows_per_thread: int = 64

    def grid_of_rows(self, n_rows: int) -> int:
        """Return the number of blocks of threads for a kernel with one row per thread."""
        return grid_of(n_rows, self.block, self.most_blocks)

    def grid_of_sums(self, n_rows: int) -> int:
        """Return the number of blocks of threads for a kernel that sums up rows."""
        return grid_of(-(-n_rows // self.rows_per_thread), self.block, self.most_blocks)


def grid_of(n_rows: int, block: int, most: int = GRID_STRIDE_BLOCKS) -> int:
    """Return the number of blocks for a kernel in which blocks step through all rows.

    Args:
        n_rows: Number of rows; an empty range still takes a block, because a grid cannot be empty.
        block: Threads per block.
        most: Highest result, at most `MOST_BLOCKS`.

    Raises:
        ValueError: An argument is out of range, such as a negative number of rows.

    Example:
        >>> grid_of(1000, 256), grid_of(0, 256), grid_of(1 << 40, 256)
        (4, 1, 65536)
    """
    if n_rows < 0 or block < 1 or not 1 <= most <= MOST_BLOCKS:
        raise ValueError(
            f"no grid for {n_rows} rows, {block} threads per block and at most {most} blocks: a "
            "number is out of range"
        )
    return max(1, min(-(-n_rows // block), most))


class Owner:
    """The object that buffers keep alive; when it dies, their memory is freed."""

    __slots__ = ("__weakref__",)


class Watch(weakref.ref[Owner]):
    """A weak reference to an owner, which knows the memory to free when the owner dies.

    Its callback is the `append` of a deque, which thus receives it when the owner is gone.
    """

    __slots__ = ("address", "kept", "n_bytes")

    address: int
    """Address of the first byte."""
    n_bytes: int
    kept: object
    """Objects that are needed to free the memory."""


ALIGNMENT = 256

SHARED_LIMIT = 48 << 10
"""Bytes of shared memory that a block has on every card by default."""

PRELUDE = "prelude.cuh"

KERNEL_FILE = "kernel.cu"
"""Name of a kernel's text for compilers and sanitizers."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Buffer:
    """Memory of the device, freed when the last reference to its owner is gone.

    Args:
        address: Address of the first byte, on the device.
        n_bytes: Length in bytes.
        owner: The object that keeps the memory.
    """

    address: int
    n_bytes: int
    owner: object


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """Compiled kernels; the type of `loaded` depends on the runtime."""

    key: str
    loaded: Any


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A point in the requests of a thread to a device.

    Args:
        number: Number of launches before it.
        event: An event; its type depends on the runtime.
    """

    number: int
    event: Any


class Runtime(Protocol):
    """A device; kernels are C functions `NAME(const i64* table, i64 first, i64 n)`."""

    @property
    def name(self) -> str:
        """Return the name of the device in messages."""
        ...

    @property
    def geometry(self) -> Geometry:
        """Return the numbers of threads and blocks for launches."""
        ...

    @property
    def computations(self) -> Computations:
        """Return the record of the computations that share the device."""
        ...

    def allocate(self, n_bytes: int) -> Buffer:
        """Return uninitialized memory, aligned to 256 bytes.

        Raises OutOfDeviceMemory with the bytes requested and free.
        """
        ...

    def adopt(self, address: int, n_bytes: int, owner: object) -> Buffer:
        """Return memory of the device that belongs to another object, without a copy.

        `owner` keeps the memory, and the buffer keeps `owner`. `n_bytes` is not 0. Raises
        InvalidData if the memory is not on this device; the message says where it is, if known.
        """
        ...

    def wait_for(self, kind: Literal["stream", "event"], number: int) -> None:
        """Wait for work that others have started.

        Args:
            kind: "stream": all work put into a stream so far; "event": an event.
            number: The stream in CUDA's array interface: 1 the legacy default stream, 2 the default
                stream of the thread, else its address; or the address of the event.
        """
        ...

    def array(
        self, buffer: Buffer, shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...]
    ) -> Any:
        """Return memory of the device as an array for users, which keeps the memory.

        `strides` are the bytes from one element to the next, along each axis.
        """
        ...

    def upload(self, array: NDArray[Any], buffer: Buffer, offset: int = 0) -> None:
        """Copy a contiguous array to byte `offset` of a buffer; the array may change afterwards."""
        ...

    def download(
        self, buffer: Buffer, array: NDArray[Any], offset: int = 0, after: Mark | None = None
    ) -> None:
        """Fill a contiguous array from byte `offset` of a buffer, in parallel with later launches.

        Args:
            buffer: The source.
            array: Filled when `synchronize` returns, or `finish` of the mark.
            offset: First byte.
            after: The copy waits for the requests before this mark; None: for all so far.
        """
        ...

    def zero(self, buffer: Buffer) -> None:
        """Fill a buffer with zeros."""
        ...

    def module(self, text: str) -> Module:
        """Return the kernels of a CUDA text, compiled on first use.

        Raises KernelFailed with the compiler's message, or BackendUnavailable if there is no
        compiler.
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
            module: The module of the kernel.
            kernel: Its name.
            grid: Number of blocks, and of instances.
            block: Threads per block, a multiple of 32.
            table: Buffer of the words that the kernel reads, or its address.
            first: First row.
            n: Number of rows.
            shared_bytes: Length of the dynamic array in shared memory.

        Raises:
            KernelFailed: Names the kernel. A failure during the run may be raised by `synchronize`,
                and then names all kernels since the last one.
        """
        ...

    def mark(self) -> Mark:
        """Return a mark after all requests of the calling thread so far."""
        ...

    def finish(self, mark: Mark) -> None:
        """Wait until all requests before a mark are done, and the downloads after them.

        The calling thread must have made the mark.
        """
        ...

    def synchronize(self) -> None:
        """Wait until all requests are done."""
        ...

    def memory(self) -> tuple[int, int]:
        """Return two numbers of bytes: free memory, and all memory."""
        ...

    def give_back(self) -> None:
        """Return to the device the freed memory that was kept for later."""
        ...


def check_launch(kernel: str, grid: tuple[int, int], block: int, n: int, shared_bytes: int) -> None:
    """Raise KernelFailed, with the kernel's name, if a card would reject the sizes of a launch."""
    problem = None
    if not (0 < grid[0] < 1 << 31 and 0 < grid[1] < 1 << 16):
        problem = f"a grid of {grid[0]} x {grid[1]} blocks, at most 2147483647 x 65535"
    elif not 0 < block <= 1024 or block % 32:
        problem = f"{block} threads per block, which must be a multiple of 32, at most 1024"
    elif not 0 <= shared_bytes <= SHARED_LIMIT:
        problem = f"{shared_bytes} bytes of shared memory, at most {SHARED_LIMIT}"
    elif n < 0:
        problem = f"{n} rows"
    if problem is not None:
        raise KernelFailed(f"kernel {kernel!r} cannot be launched with {problem}", [kernel])


def bytes_of(array: NDArray[Any], buffer: Buffer, offset: int) -> NDArray[np.uint8]:
    """Return the bytes of an array, without a copy, after a check that they fit into a buffer.

    Raises ValueError if the array is not contiguous, or exceeds the buffer.
    """
    if not array.flags.c_contiguous:
        raise ValueError("a copy between host and device needs a contiguous array")
    if not 0 <= offset <= buffer.n_bytes - array.nbytes:
        raise ValueError(
            f"{array.nbytes} bytes from byte {offset} on exceed a buffer of {buffer.n_bytes} bytes"
        )
    return array.reshape(-1).view(np.uint8)
