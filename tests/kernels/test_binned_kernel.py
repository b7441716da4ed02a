"""The kernel of bins against its reference, and against itself in pieces."""

from __future__ import annotations

import numpy as np
import pytest
from fastfeat_kernels.binned import MOST_EDGES, OFFSET_BITS
from fastfeat_kernels.binned.grid import grid_of
from fastfeat_kernels.binned.ordered import bins_of_ordered, finite_values
from fastfeat_kernels.binned.reference import ENTRIES
from fastfeat_kernels.binned.state import Binnable, BinnedValues, count_in_bins
from fastfeat_kernels.column import BLOCK, ELEMENTS, EqualChunks
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastfeat_tests.kernels.kernel_columns import (
    chunked,
    columns,
    compiled,
    make_chunk,
    numpy_chunk,
    reference,
    values_of,
)

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


def shown(bins: BinnedValues) -> tuple[list[int], list[int]]:
    return bins.counts.tolist(), bins.offsets.tolist()


@pytest.mark.parametrize("element", NUMBERS)
@given(data=st.data())
def test_kernel_equals_reference(element: str, data: st.DataObject) -> None:
    chunks = data.draw(chunked(element, data.draw(columns(element))))
    edges = EDGES[data.draw(st.sampled_from(list(EDGES)))]
    given = Binnable(element, chunks, edges, scales_of(edges))
    (expected,) = count_in_bins([given], reference(ENTRIES))
    (found,) = count_in_bins([given], compiled("binned"), data.draw(st.integers(1, 5)))
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
    given = Binnable("float64", [numpy_chunk(values)], edges, scales_of(edges))
    (found,) = count_in_bins([given], compiled("binned"))
    (expected,) = count_in_bins([given], reference(ENTRIES))
    assert shown(found) == shown(expected)
    is_outside = (values < edges[0]) | (values >= edges[-1])
    in_runs = [row for begin, end in found.unwritten for row in range(begin, end)]
    assert in_runs == sorted(set(in_runs))
    elsewhere = values[np.setdiff1d(np.flatnonzero(is_outside), in_runs)]
    assert sorted(found.outside) == sorted(elsewhere)


def test_a_grid_has_few_edges_in_a_cell() -> None:
    assert grid_of(EDGES["even"]).most == 1
    assert grid_of(EDGES["powers"]).most == 1
    assert grid_of(EDGES["atoms"]).most == 2
    with pytest.raises(ValueError, match=r"needs 1 to .* edges"):
        grid_of(np.empty(0))


SMALL = st.floats(allow_nan=False, allow_infinity=False, width=64) | st.sampled_from(
    [0.0, -5e-324, 5e-324, 1.0, np.nextafter(1.0, 2.0), 1.7976931348623157e308, -1e308, 1e308]
)


@st.composite
def sorted_columns(draw: st.DrawFn) -> list[NDArray[np.float64]]:
    found = list[NDArray[np.float64]]()
    for _ in range(draw(st.integers(1, 4))):
        some = draw(st.lists(SMALL, max_size=12))
        n, spread = draw(st.integers(0, 40)), draw(st.sampled_from([0, 1, 7, 2**50]))
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        near = 1 + rng.integers(0, spread + 1, n) * 2.0**-52
        repeated = np.repeat(np.array([*some, *near]), rng.integers(1, 4))
        found.append(np.sort(repeated + 0.0))
    return found


@pytest.mark.parametrize("element", NUMBERS)
@given(data=st.data(), n=st.sampled_from([0, 1, 9, 70, BLOCK, BLOCK + 65]))
def test_finite_values_of_columns_equal_the_reference(
    element: str, data: st.DataObject, n: int
) -> None:
    rng = np.random.default_rng(n)
    few = data.draw(st.lists(values_of(element) | st.none(), min_size=1, max_size=9))
    drawn = [[few[k] for k in rng.integers(0, len(few), n)] for _ in range(2)]
    pieces = [make_chunk(element, one, data.draw(st.integers(0, 9))) for one in drawn]
    values, validity, bit = (
        np.array([getattr(one, name) for one in pieces])
        for name in ("values", "validity", "bit_offset")
    )
    lying = EqualChunks(values, np.zeros(2, np.int64), validity, bit, n, pieces)
    found, sizes = finite_values(element, lying, compiled("binned"))
    expected, expected_sizes = finite_values(element, lying, reference(ENTRIES))
    assert sizes.tolist() == expected_sizes.tolist()
    assert found.tobytes() == expected.tobytes()


@given(sorted_columns(), st.sampled_from([1, 4, 7, 64]))
def test_bins_of_sorted_columns_equal_the_reference(
    given_columns: list[NDArray[np.float64]], n_bins: int
) -> None:
    sizes = np.array([len(one) for one in given_columns])
    values = np.full((len(sizes), sizes.max() + 3), np.nan)
    for row, one in zip(values, given_columns, strict=True):
        row[: len(one)] = one
    expected = bins_of_ordered(values, sizes, n_bins, reference(ENTRIES))
    found = bins_of_ordered(values, sizes, n_bins, compiled("binned"))
    for a, b in zip(found, expected, strict=True):
        assert a.tolist() == b.tolist()
    assert found.counts.sum() == sum(
        n for n, a, b in zip(sizes, [0, *found.ends], found.ends, strict=False) if b > a
    )


def test_a_frequent_value_among_sorted_ones_has_a_bin_of_its_own() -> None:
    values = np.sort(np.concatenate([np.arange(100.0), np.full(50, 40.5)]))[np.newaxis]
    found = bins_of_ordered(values, np.array([150]), 10, compiled("binned"))
    own = found.edges.tolist().index(40.5)
    assert found.is_atom[own + 1]
    assert found.counts[own + 1] == 50
    assert np.delete(found.counts, own + 1).max() <= 15
    assert found.counts[0] == found.counts[-1] == 0


def test_columns_whose_edges_are_no_floats_have_none() -> None:
    largest = np.finfo(np.float64).max
    values = np.array([[-largest, 0.0], [0.0, largest], [-1.5e308, 1.5e308], [1.0, 2.0]])
    found = bins_of_ordered(values, np.full(4, 2), 64, compiled("binned"))
    assert found.ends.tolist() == [0, 0, 0, 4]
