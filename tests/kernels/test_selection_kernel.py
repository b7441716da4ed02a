"""Exact order statistics against sorting and the reference, also on data made to be hard."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest
from fastfeat_kernels.column import ELEMENTS, key_of
from fastfeat_kernels.selection import state
from fastfeat_kernels.selection.reference import ENTRIES
from fastfeat_kernels.selection.rounds import bucket_of, learn_map
from fastfeat_kernels.selection.state import OrderStatistics, select
from hypothesis import given
from hypothesis import strategies as st

from fastfeat_tests.kernels.kernel_columns import (
    chunked,
    columns,
    compiled,
    make_chunk,
    numpy_chunk,
    reference,
)

N_MANY = 150_000
QUANTILES = [0.0, 0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999, 1.0]


def quantile_ranks(count: int) -> list[int]:
    return [round((count - 1) * q) for q in QUANTILES]


@contextmanager
def small_rounds(n_sample: int) -> Iterator[None]:
    """Let a few rows go through all that millions go through."""
    with patch.multiple(
        state,
        N_SORTED_WHOLE=8,
        N_SORTED=12,
        FEW_RANKS=6,
        N_SAMPLE_FEW=n_sample,
        N_SAMPLE_MANY=n_sample,
    ):
        yield


def by_sorting(values: list[float], ranks: list[int]) -> OrderStatistics:
    """Return the same by the definition; sorting by keys puts -0.0 before 0.0."""
    ordered = sorted(values, key=lambda value: (value, math.copysign(1, value)))
    return OrderStatistics(len(values), {rank: ordered[rank] for rank in sorted(set(ranks))})


def shown(selected: OrderStatistics) -> tuple[int, dict[int, str]]:
    """Return what tells 0.0 from -0.0 and True from 1."""
    return selected.count, {rank: repr(value) for rank, value in selected.values.items()}


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_few_rows_equal_sorting(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element))
    present = [value for value in values if value is not None]
    ranks = data.draw(st.lists(st.integers(0, max(len(present) - 1, 0)))) if present else []
    chunks = data.draw(chunked(element, values))
    found = select(element, chunks, lambda _: ranks, compiled("selection"))
    assert shown(found) == shown(by_sorting(present, ranks))


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_all_rounds_equal_sorting_and_the_reference(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element))
    present = [value for value in values if value is not None]
    ranks = data.draw(st.lists(st.integers(0, max(len(present) - 1, 0)))) if present else []
    chunks, n_parts = data.draw(chunked(element, values)), data.draw(st.integers(1, 4))
    with small_rounds(data.draw(st.sampled_from([1, 2, 7, 64]))):
        found = select(element, chunks, lambda _: ranks, compiled("selection", 2), n_parts)
        same = select(element, chunks, lambda _: ranks, reference(ENTRIES), n_parts)
    assert shown(found) == shown(same) == shown(by_sorting(present, ranks))


def test_the_count_of_values_reaches_the_caller() -> None:
    asked: list[int] = []

    def ranks(count: int) -> list[int]:
        asked.append(count)
        return [count - 1]

    values = [None if i % 3 else float(i) for i in range(N_MANY)]
    found = select("float64", [make_chunk("float64", values, 5)], ranks, compiled("selection"))
    assert asked[-1] == found.count == N_MANY // 3
    assert found.values == {N_MANY // 3 - 1: float(N_MANY - 3)}


@pytest.mark.parametrize("n", [0, 3, N_MANY])
def test_nothing_but_missing_values(n: int) -> None:
    chunk = numpy_chunk(np.full(n, np.nan))
    found = select("float64", [chunk], quantile_ranks, compiled("selection"), 2)
    assert found == OrderStatistics(0, {})


def _distributions() -> dict[str, npt.NDArray[np.generic]]:
    random = np.random.default_rng(3)
    normal = random.normal(size=N_MANY)
    coin = random.random(N_MANY)
    close = 1 + random.random(N_MANY) * 1e-10
    return {
        "normal": normal,
        "heavy tails": random.standard_cauchy(N_MANY),
        "all exponents": normal * np.exp(300 * random.normal(size=N_MANY).clip(-2, 2)),
        "far from zero": 1e8 + normal,
        "constant": np.full(N_MANY, 2.5),
        "mostly zero": np.where(coin < 0.6, 0.0, normal),
        "zeros of both signs": np.where(coin < 0.5, 0.0, -0.0),
        "cents": np.round(random.gamma(2, 50, N_MANY), 2),
        "two narrow clusters": np.where(coin < 0.5, close, 1e300 * close),
        "sorted": np.sort(normal),
        "infinite ends": np.where(coin < 0.2, -np.inf, np.where(coin > 0.8, np.inf, normal)),
        "single": normal.astype(np.float32),
        "times": random.integers(1_300_000_000_000_000, 1_400_000_000_000_000, N_MANY),
        "times with a sentinel": np.where(coin < 0.01, -(2**63), random.integers(0, 10**6, N_MANY)),
        "all of uint64": random.integers(0, 2**64, N_MANY, dtype=np.uint64),
        "bytes": random.integers(-128, 128, N_MANY).astype(np.int8),
    }


DISTRIBUTIONS = _distributions()


@pytest.mark.parametrize("many", [False, True], ids=["few ranks", "many ranks"])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_any_distribution_equals_sorting(name: str, many: bool) -> None:
    values = DISTRIBUTIONS[name]
    element = str(values.dtype)
    ranks = list(range(0, N_MANY, 149)) if many else quantile_ranks(N_MANY)
    found = select(element, [numpy_chunk(values)], lambda _: ranks, compiled("selection", 2), 3)
    assert shown(found) == shown(by_sorting(values.tolist(), ranks))


def test_rows_that_the_sample_never_meets() -> None:
    """Make what the sample sees span the whole range, and all else fall into one bucket."""
    values = np.random.default_rng(5).random(N_MANY) * 1e-9 + 1
    stride = N_MANY // state.N_SAMPLE_FEW
    starts = np.arange(0, N_MANY, stride).astype(np.uint64)
    offsets = (starts * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(33)) % np.uint64(stride)
    seen = np.minimum(starts + offsets, N_MANY - 1).astype(np.int64)
    values[seen] = np.linspace(-1e300, 1e300, len(seen))
    ranks = quantile_ranks(N_MANY)
    with patch.object(state, "N_SORTED", 1000):
        found = select("float64", [numpy_chunk(values)], lambda _: ranks, compiled("selection"))
    assert shown(found) == shown(by_sorting(values.tolist(), ranks))


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=60),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=60),
    st.sampled_from([1, 4]),
)
def test_buckets_keep_the_order_of_keys(sample: list[int], keys: list[int], n: int) -> None:
    buckets = learn_map(np.array(sorted(sample)), n)
    found = bucket_of(np.array(sorted(keys)), buckets)
    assert (np.diff(found) >= 0).all()
    assert found[0] >= 0
    assert found[-1] < buckets.n_buckets


def test_two_keys_apart_in_the_sample_have_buckets_apart() -> None:
    sample = np.sort(np.array([key_of("float64", 1 + i / 64) for i in range(64)]))
    buckets = learn_map(sample, 1)
    assert len(set(bucket_of(sample, buckets).tolist())) > 32
