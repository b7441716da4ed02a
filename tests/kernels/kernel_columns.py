"""Columns in memory, as Arrow lays them out, at any bit offset; and who runs kernels on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.column import CallRunner, KernelRowCall
from fastfeat_kernels.load import LoadedKernel
from hypothesis import strategies as st

from fastfeat.engine.cpu.kernels import written_kernel
from fastfeat.io.columns.column import Chunk

Value = float | int | bool | None
Text = bytes | None
PADDING = 0xA5  # what stands around the bits that count


def make_chunk(
    element: str, values: Sequence[Value], bit_offset: int = 0, missing_as_nan: bool = False
) -> Chunk:
    """Return values in memory; a bitmap only where a value is missing and NaN does not say so."""
    present = [value is not None for value in values]
    filled = [_filler(element) if value is None else value for value in values]
    if element == "bool":
        memory = _bits([bool(value) for value in filled], bit_offset % 8)
        value_bit = bit_offset % 8
    else:
        memory = np.array(filled, dtype=element) if values else np.zeros(1, element)
        value_bit = 0
    if missing_as_nan:
        memory = np.where(present, memory, np.nan).astype(element)
    bitmap = None if missing_as_nan or all(present) else _bits(present, bit_offset)
    address = 0 if bitmap is None else bitmap.ctypes.data
    return Chunk(memory.ctypes.data, value_bit, address, bit_offset, len(values), (memory, bitmap))


def numpy_chunk(values: np.ndarray[Any, Any]) -> Chunk:
    """Return an array in place."""
    return Chunk(values.ctypes.data, 0, 0, 0, len(values), values)


class TextPiece(NamedTuple):
    """Text in memory, as kernels are told of it."""

    offsets: int
    offset_bytes: int
    data: int
    validity: int
    bit_offset: int
    length: int
    owner: object


def text_chunk(
    values: Sequence[Text], bit_offset: int = 0, offset_bytes: int = 4, before: bytes = b"?"
) -> TextPiece:
    """Return text in memory; offset 0 is where `before` begins, and of no row.

    Missing values have bytes too, which must not be seen.
    """
    present = [value is not None for value in values]
    filled = [b"missing" if value is None else value for value in values]
    ends = np.cumsum([len(before), *map(len, filled)]).astype(f"int{8 * offset_bytes}")
    data = np.array(bytearray(before + b"".join(filled) + b"!"), np.uint8)
    bitmap = None if all(present) else _bits(present, bit_offset)
    address = 0 if bitmap is None else bitmap.ctypes.data
    owner = (ends, data, bitmap)
    return TextPiece(
        ends.ctypes.data, offset_bytes, data.ctypes.data, address, bit_offset, len(values), owner
    )


def _filler(element: str) -> float:
    """Return what stands in memory where a value is missing: it must not be seen."""
    return 1e300 if element == "float64" else 77


def _bits(flags: Sequence[bool], offset: int) -> np.ndarray[Any, Any]:
    """Return a bitmap of exactly as many bytes as it needs."""
    memory = np.full(-(-(offset + len(flags)) // 8) or 1, PADDING, np.uint8)
    bits = np.unpackbits(memory, bitorder="little")
    bits[offset : offset + len(flags)] = flags
    return np.packbits(bits, bitorder="little")


def kernel_of(folder: str, entry: str) -> LoadedKernel:
    """Return a compiled entry, from the cache of kernels where it is in there."""
    return written_kernel(folder, entry)


def compiled(folder: str, n_threads: int = 1) -> CallRunner:
    """Return what runs calls of the compiled kernel."""
    return partial(_run, lambda entry: kernel_of(folder, entry), n_threads)


def reference(entries: Mapping[str, LoadedKernel]) -> CallRunner:
    """Return what runs calls of the reference."""
    return partial(_run, entries.__getitem__, 1)


def _run(
    kernel: Callable[[str], LoadedKernel],
    n_threads: int,
    entry: str,
    sequences: Sequence[Sequence[KernelRowCall]],
) -> None:
    def run_in_order(calls: Sequence[KernelRowCall]) -> None:
        for call in calls:
            assert kernel(entry)(call.table.ctypes.data, call.first, call.n) == 0

    if n_threads == 1:
        for calls in sequences:
            run_in_order(calls)
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(run_in_order, sequences))


def values_of(element: str) -> st.SearchStrategy[Any]:
    """Return a strategy of values of one type, the extremes often."""
    if element == "bool":
        return st.booleans()
    if element.startswith("float"):
        width = int(element[5:])
        extremes = [0.0, -0.0, float("inf"), float("-inf"), 1.0, -1.0, 0.1, 3.0]
        extremes = extremes + [5e-324, -5e-324, 2.0**-1022, 1.7e308, -1.7e308] * (width == 64)
        return st.one_of(
            st.sampled_from([float(np.dtype(element).type(x)) for x in extremes]),
            st.floats(width=width, allow_nan=False),  # pyright: ignore[reportArgumentType]
            st.floats(-1000, 1000, width=width),  # pyright: ignore[reportArgumentType]
        )
    low, high = int(np.iinfo(element).min), int(np.iinfo(element).max)
    return st.one_of(
        st.sampled_from([low, low + 1, 0, 1, high - 1, high]),
        st.integers(low, high),
        st.integers(max(low, -100), min(high, 100)),
    )


@st.composite
def columns(draw: st.DrawFn, element: str, max_size: int = 80) -> list[Value]:
    """Return values, some missing, often more than one block of them."""
    few = draw(st.lists(st.one_of(st.none(), values_of(element)), max_size=max_size))
    return few * draw(st.sampled_from([1, 1, 1, 2, 40]))


@st.composite
def cuts(draw: st.DrawFn, n: int) -> list[slice]:
    """Return slices that cut n rows into chunks, some of them empty."""
    places = sorted(draw(st.lists(st.integers(0, n), max_size=4)))
    return [slice(a, b) for a, b in zip([0, *places], [*places, n], strict=True)]


@st.composite
def chunked(draw: st.DrawFn, element: str, values: list[Value]) -> list[Chunk]:
    """Return a column in chunks, each at a bit offset of its own."""
    is_float = element.startswith("float")
    return [
        make_chunk(
            element,
            values[cut],
            draw(st.integers(0, 70)),
            missing_as_nan=is_float and draw(st.booleans()),
        )
        for cut in draw(cuts(len(values)))
    ]


def texts() -> st.SearchStrategy[bytes]:
    """Return a strategy of bytes: any, and those that differ late, in length, or by a zero."""
    alike = st.builds(
        lambda start, n, end: start * n + end,
        st.sampled_from([b"a", b"\0", b"ab\0", b"01234567", b"\xff"]),
        st.integers(0, 40),
        st.sampled_from([b"", b"\0", b"b", b"\xff\xfe"]),
    )
    return st.one_of(alike, st.binary(max_size=80))


@st.composite
def text_columns(draw: st.DrawFn, max_size: int = 60) -> list[Text]:
    """Return text, some missing, often more than one batch of rows."""
    few = draw(st.lists(st.one_of(st.none(), texts()), max_size=max_size))
    return few * draw(st.sampled_from([1, 1, 2, 30]))


@st.composite
def chunked_text(draw: st.DrawFn, values: list[Text]) -> list[TextPiece]:
    """Return text in chunks, each at a bit offset and with a width of offsets of its own."""
    return [
        text_chunk(
            values[cut],
            draw(st.integers(0, 70)),
            draw(st.sampled_from([4, 8])),
            draw(st.sampled_from([b"", b"?", b"before"])),
        )
        for cut in draw(cuts(len(values)))
    ]
