"""The kernel of bins against its reference, and against itself in pieces."""

from __future__ import annotations

import numpy as np
import pytest
from fastfeat_kernels.binned import MOST_EDGES, OFFSET_BITS
from fastfeat_kernels.binned.grid import grid_of
from fastfeat_kernels.binned.reference import ENTRIES
from fastfeat_kernels.binned.state import Bins, count_in_bins
from fastfeat_kernels.column import BLOCK, ELEMENTS
from hypothesis import given
from hypothesis import strategies as st
from kernel_columns import chunked, columns, compiled, numpy_chunk, reference
from numpy.typing import NDArray

NUMBERS = [element for element in ELEMENTS if element != "bool"]
EDGES = {
    "one": np.array([0.0]),
    "even": np.linspace(-5, 90, 40),
    "powers": 2.0 ** np.arange(-1022, 1023, 31),
    "both signs": np.concatenate(
        [-(3.0 ** np.arange(300, -300, -9)), 3.0 ** np.arange(-300, 300, 9)]
    ),
    "atoms": np.array([x for k in (0.0, 1.0, 7.0) for x in (k, np.nextafter(k, np.inf))]),
    "close": np.array([1e6, 1e6 + 1e-9, 1e6 + 2e-9, 1e6 + 1]),
    "most": np.arange(MOST_EDGES) / 7,
}


def scales_of(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        inside = 2.0**OFFSET_BITS / np.diff(edges)
    return np.concatenate([[0.0], np.where(np.isfinite(inside), inside, 0.0), [0.0]])


def shown(bins: Bins) -> tuple[list[int], list[int]]:
    return bins.counts.tolist(), bins.offsets.tolist()


@pytest.mark.parametrize("element", NUMBERS)
@given(data=st.data())
def test_kernel_equals_reference(element: str, data: st.DataObject) -> None:
    chunks = data.draw(chunked(element, data.draw(columns(element))))
    edges = EDGES[data.draw(st.sampled_from(list(EDGES)))]
    given = element, chunks, edges, scales_of(edges)
    expected = count_in_bins(*given, reference(ENTRIES))
    found = count_in_bins(*given, compiled("binned"), data.draw(st.integers(1, 5)))
    assert shown(found) == shown(expected)
    assert found.moments == expected.moments
    assert sorted(found.outside) == sorted(expected.outside)
    assert not found.unwritten


@pytest.mark.parametrize("name", EDGES)
def test_many_values_at_and_between_edges_are_in_their_bins(name: str) -> None:
    edges = EDGES[name]
    rng = np.random.default_rng(0)
    near = np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)])
    values = rng.choice(np.concatenate([near, [0.0, -0.0, 5e-324, 1e300, -1e300]]), 3 * BLOCK + 5)
    values[rng.random(len(values)) < 0.1] = np.nan
    given = "float64", [numpy_chunk(values)], edges, scales_of(edges)
    found = count_in_bins(*given, compiled("binned"))
    assert shown(found) == shown(count_in_bins(*given, reference(ENTRIES)))
    is_outside = (values < edges[0]) | (values >= edges[-1])
    in_runs = [row for begin, end in found.unwritten for row in range(begin, end)]
    assert in_runs == sorted(set(in_runs))
    elsewhere = values[np.setdiff1d(np.flatnonzero(is_outside), in_runs)]
    assert sorted(found.outside) == sorted(elsewhere)


def test_a_grid_has_few_edges_in_a_cell() -> None:
    assert grid_of(EDGES["even"]).most == 1
    assert grid_of(EDGES["powers"]).most == 1
    assert grid_of(EDGES["atoms"]).most == 2
    with pytest.raises(ValueError, match="may be 1 to"):
        grid_of(np.empty(0))
