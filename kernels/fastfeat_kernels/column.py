"""A column for the kernels: chunks in place, runs of rows, and the keys that order values."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BLOCK: Final = 1024  # rows that a kernel takes at a time: 8 kB, a quarter of the first-level cache

# A kernel gets the type of a column as its place in this list. Integers have sign and width.
ELEMENTS: Final = (
    "float64",
    "float32",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
)

# Text and bytes, which have kernels of their own: this marks them instead of a place in that list.
TEXT: Final = "text"

# Kinds of the 64-bit words that kernels read numbers as.
FLOAT: Final = 0
INTEGER: Final = 1
UNSIGNED: Final = 2  # its words are reduced by 2**63

_SIGN: Final = 1 << 63
_MAGNITUDE: Final = _SIGN - 1


class ArrowChunk(Protocol):
    """One contiguous piece of a column, in Arrow's layout; the caller keeps its memory alive."""

    @property
    def values(self) -> int:
        """Address of element 0; for bools, of the byte that holds bit 0."""
        ...

    @property
    def value_bit_offset(self) -> int:
        """For bools, the bit of the first row; else 0."""
        ...

    @property
    def validity(self) -> int:
        """Address of the bitmap, 0 if no value is missing."""
        ...

    @property
    def bit_offset(self) -> int:
        """Bit of the first row in the bitmap."""
        ...

    @property
    def length(self) -> int:
        """Number of rows."""
        ...


class ArrowTextChunk(Protocol):
    """One contiguous piece of a column of text or bytes, in Arrow's layout.

    The bytes of row i are those from offset i to offset i + 1 of `data`; they need not be UTF-8.
    """

    @property
    def offsets(self) -> int:
        """Address of the offset of row 0."""
        ...

    @property
    def offset_bytes(self) -> int:
        """Width of an offset: 4 or 8."""
        ...

    @property
    def data(self) -> int:
        """Address of the byte at offset 0; any number if all rows are empty."""
        ...

    @property
    def validity(self) -> int:
        """Address of the bitmap, 0 if no value is missing."""
        ...

    @property
    def bit_offset(self) -> int:
        """Bit of the first row in the bitmap."""
        ...

    @property
    def length(self) -> int:
        """Number of rows."""
        ...


class EqualChunks(NamedTuple):
    """Columns of one chunk each, all of one length.

    Args:
        values: Address of element 0 of each, shape (n_columns,); for bools, of its byte.
        value_bit_offset: For bools, the bit in it; else 0.
        validity: Address of the bitmap, 0 if no value is missing.
        bit_offset: Bit of the first row in the bitmap.
        n_rows: Number of rows.
        owner: Object that keeps the memory alive.
    """

    values: npt.NDArray[np.int64]
    value_bit_offset: npt.NDArray[np.int64]
    validity: npt.NDArray[np.int64]
    bit_offset: npt.NDArray[np.int64]
    n_rows: int
    owner: object


def columns_at(columns: EqualChunks, places: npt.NDArray[np.int64]) -> EqualChunks:
    """Return some columns, in the order of their places, shape (n_wanted,)."""
    return EqualChunks(
        columns.values[places],
        columns.value_bit_offset[places],
        columns.validity[places],
        columns.bit_offset[places],
        columns.n_rows,
        columns.owner,
    )


AnyChunk = ArrowChunk | ArrowTextChunk
C = TypeVar("C", bound=AnyChunk)


class KernelRowCall(NamedTuple):
    """One call of a kernel: on rows [first, first + n) of the chunk in the table.

    The table holds bare addresses; `owners` keeps their memory alive as long as the call.
    """

    table: np.ndarray
    first: int
    n: int
    owners: object


# Runs an entry of a kernel on sequences of calls, on any threads: the calls of one sequence one
# after the other. Returns when all are done.
CallRunner = Callable[[str, Sequence[Sequence[KernelRowCall]]], None]


class ChunkRows(NamedTuple, Generic[C]):
    """Rows [first, first + n) of a chunk; its row 0 is row `chunk_start` of the column."""

    chunk: C
    first: int
    n: int
    chunk_start: int


def split_rows(chunks: Sequence[C], n_parts: int, multiple: int = 1) -> list[list[ChunkRows[C]]]:
    """Return the rows of a column in at most n_parts runs of about equal length, in order.

    Each run but the last has a multiple of `multiple` rows.

    >>> split_rows([], 4)
    []
    """
    n_rows = sum(chunk.length for chunk in chunks)
    share = max(-(-n_rows // (n_parts * multiple)), 1) * multiple
    parts: list[list[ChunkRows[C]]] = []
    room = chunk_start = 0
    for chunk in chunks:
        first = 0
        while first < chunk.length:
            if room == 0:
                parts.append([])
                room = share
            n = min(chunk.length - first, room)
            parts[-1].append(ChunkRows(chunk, first, n, chunk_start))
            first, room = first + n, room - n
        chunk_start += chunk.length
    return parts


def key_of(element: str, value: float) -> int:
    """Return the signed 64-bit integer that orders a value: floats totally, -0.0 below 0.0.

    >>> key_of("float64", -0.0), key_of("float64", 0.0), key_of("uint8", 7)
    (-1, 0, 7)
    """
    if element.startswith("float"):
        (bits,) = struct.unpack("<q", struct.pack("<d", value))
        return bits ^ (_MAGNITUDE if bits < 0 else 0)
    return int(value) - (_SIGN if element == "uint64" else 0)


def value_of_key(element: str, key: int) -> float | int | bool:
    """Return the value of a key.

    >>> value_of_key("float32", key_of("float32", 0.5))
    0.5
    """
    if element.startswith("float"):
        bits = key ^ (_MAGNITUDE if key < 0 else 0)
        return struct.unpack("<d", struct.pack("<q", bits))[0]
    if element == "bool":
        return bool(key)
    return key + (_SIGN if element == "uint64" else 0)
