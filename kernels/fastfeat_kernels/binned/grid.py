"""The cells that find a bin: each gives the bin at its beginning."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Float64Array
from fastfeat_kernels.binned import MOST_EDGES, N_PADDING
from fastfeat_kernels.records import dataclass

N_CELLS: Final = 4096
_MAGNITUDE: Final = np.int64(2**63 - 1)


@dataclass(frozen=True, slots=True, eq=False)
class EdgeGrid:
    """The cells of some edges.

    Args:
        padded: 0, the edges, and +inf behind them, shape (1 + n_edges + N_PADDING,).
        cells: Bin at the beginning of each, shape (n_cells,).
        is_of_bits: Whether cells divide the bits that order values.
        least: Bits of a value in the first cell that is below all edges.
        base: Beginning of the first cell, as the bits of a float64, or of its key.
        factor: Cells per unit, as the bits of a float64; or the bits of a cell.
        most: Largest number of edges in a cell.
        step: First step of the bisection from a cell's beginning, as a power of two; 0 if no cell
            has more than three edges.
    """

    padded: Float64Array
    cells: npt.NDArray[np.uint16]
    is_of_bits: bool
    least: int
    base: int
    factor: int
    most: int
    step: int


def grid_of(edges: Float64Array) -> EdgeGrid:
    """Return the cells of edges, of the kind with fewer edges in a cell.

    The edges, shape (n_edges,), must be finite and ascending, 1 to MOST_EDGES, above the least
    float.
    """
    if not 0 < len(edges) <= MOST_EDGES:
        raise ValueError(f"needs 1 to {MOST_EDGES} edges, got {len(edges)}")
    linear = _linear(edges)
    if linear is not None and linear.most == 1:
        return linear
    of_bits = _of_bits(edges)
    return of_bits if linear is None or of_bits.most < linear.most else linear


def _linear(edges: Float64Array) -> EdgeGrid | None:
    """Return cells of equal width; None if floats cannot tell them apart, or they have no width."""
    least = np.nextafter(edges[0], -np.inf)
    with np.errstate(over="ignore", divide="ignore"):
        width = edges[-1] - least
        factor = (N_CELLS - 2) / width
    if not (np.isfinite(width) and np.isfinite(factor) and factor > 0):
        return None
    places = ((edges - least) * factor).astype(np.int64)
    return _grid(edges, places, (False, least, _bits(least), _bits(factor)))


def _of_bits(edges: Float64Array) -> EdgeGrid:
    """Return cells with equal numbers of floats."""
    least = np.nextafter(edges[0], -np.inf)
    keys = _keys(np.array([least, *edges]))
    span = keys[-1] - keys[0]
    shift = max(span.bit_length() - (N_CELLS.bit_length() - 1), 0)
    places = np.array([(key - keys[0]) >> shift for key in keys[1:]], np.int64)
    return _grid(edges, places, (True, least, keys[0], shift))


def _grid(
    edges: Float64Array, places: npt.NDArray[np.int64], words: tuple[bool, np.float64, int, int]
) -> EdgeGrid:
    """Return cells, from the cell of each edge.

    A cell begins in the bin after the edges of the cells before it.
    """
    counts = np.bincount(places)
    begins = (np.cumsum(counts) - counts).astype(np.uint16)
    most = int(counts.max())
    step = 0 if most < 4 else most.bit_length() - 1
    padded = np.concatenate([[0.0], edges, np.full(N_PADDING, np.inf)])
    is_of_bits, least, base, factor = words
    return EdgeGrid(padded, begins, is_of_bits, _bits(least), base, factor, most, step)


def _bits(value: np.float64) -> int:
    return int(np.float64(value).view(np.int64))


def _keys(values: Float64Array) -> list[int]:
    """Return the integers in the order of floats, -0.0 below 0.0."""
    bits = values.view(np.int64)
    return (bits ^ ((bits >> np.int64(63)) & _MAGNITUDE)).tolist()
