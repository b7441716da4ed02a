"""The grouped kernel against its reference, and against moments of the rows of each group."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import pytest
from fastfeat_kernels.column import ELEMENTS, key_of, split_rows, value_of_key
from fastfeat_kernels.grouped import finalize, layout
from fastfeat_kernels.grouped import order as orders
from fastfeat_kernels.grouped import state as states
from fastfeat_kernels.grouped import summarize as summaries
from fastfeat_kernels.grouped.order import (
    SortedGroups,
    modes_of,
    n_unique_of,
    order,
    quantiles_of,
    whole_quantile_between,
)
from fastfeat_kernels.grouped.reference import ENTRIES
from fastfeat_kernels.grouped.state import (
    GroupedMoments,
    counts_of,
    merge,
    moments_of,
    n_rows_of,
    no_moments,
    outside_folds,
    subtract,
    sum_over_folds,
    sum_over_keys,
    take,
)
from fastfeat_kernels.grouped.statistics import GroupStatistic, level_of, statistics_in
from fastfeat_kernels.grouped.summarize import split_task, summarize
from fastfeat_kernels.grouped.tables import SERIAL_BELOW, side_by_side
from fastfeat_kernels.moments.exact import deviation_of, mean_of, sum_of, variance_of
from fastfeat_kernels.moments.reference import ENTRIES as MOMENTS
from fastfeat_kernels.moments.state import (
    NO_MAX_KEY,
    NO_MIN_KEY,
    NO_ROW,
    Level,
    Moments,
)
from fastfeat_kernels.moments.state import merge as merge_moments
from fastfeat_kernels.moments.state import summarize as summarize_column
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.aggregates.order import float_quantile
from fastfeat_tests.kernels.kernel_columns import (
    Value,
    chunked,
    columns,
    compiled,
    make_chunk,
    numpy_chunk,
    reference,
)

LEVELS: st.SearchStrategy[Level] = st.sampled_from([0, 1, 2])
FLOATS = ("float64", "float32")
RUN = compiled("grouped")


@st.composite
def group_numbers(draw: st.DrawFn, n_rows: int) -> tuple[Any, int]:
    """Return a group for each row, and how many groups there are: none, few, as many as rows."""
    n_groups = draw(st.sampled_from([1, 2, 3, 7, max(n_rows, 1), n_rows + 3]))
    seed, lowest = draw(st.integers(0, 2**32)), draw(st.sampled_from([0, 0, -1, -5]))
    random = np.random.default_rng(seed)
    return random.integers(lowest, n_groups, n_rows, np.int32), n_groups


def rows_of(values: Sequence[Value], groups: Any, group: int) -> list[Value]:
    return [value for value, number in zip(values, groups.tolist(), strict=True) if number == group]


def expected_of(
    element: str, values: Sequence[Value], groups: Any, n_groups: int, level: Level
) -> list[Moments]:
    """Return the moments of the rows of each group, without the first infinity."""
    found: list[Moments] = []
    for group in range(n_groups):
        chunk = make_chunk(element, rows_of(values, groups, group))
        moments = summarize_column(element, [chunk], level, reference({**MOMENTS}))
        found.append(replace(moments, first_infinite=NO_ROW))
    return found


def all_of(moments: GroupedMoments) -> list[Moments]:
    return [moments_of(moments, group) for group in range(moments.n_groups)]


def without_keys(moments: Moments) -> Moments:
    return replace(moments, min_key=NO_MIN_KEY, max_key=NO_MAX_KEY)


def same(found: Any, expected: Sequence[float | None]) -> bool:
    """Return whether floats are the same, NaN for None, to the bit."""
    wanted = np.array([math.nan if x is None else x for x in expected], np.float64)
    both_nan = np.isnan(found) & np.isnan(wanted)
    return bool(np.all(both_nan | (found.view(np.int64) == wanted.view(np.int64))))


def same_bits(a: Any, b: Any) -> bool:
    """Return whether two arrays are the same to the bit."""
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


def wild(seed: int, n: int, spread: float) -> Any:
    random = np.random.default_rng(seed)
    with np.errstate(over="ignore", under="ignore"):
        x = random.normal(size=n) * np.exp(spread * random.normal(size=n))
    return np.clip(x, -1.7e308, 1.7e308)


def read_out_is_exact(moments: GroupedMoments) -> None:
    known = all_of(moments)
    assert same(finalize.sums_of(moments, RUN), [sum_of(one) for one in known])
    assert same(finalize.means_of(moments, RUN, 2), [mean_of(one) for one in known])
    for ddof in (0, 1, 2):
        variances = finalize.variances_of(moments, ddof, RUN, 3)
        deviations = finalize.deviations_of(moments, ddof, RUN)
        assert same(variances, [variance_of(one, ddof) for one in known])
        assert same(deviations, [deviation_of(one, ddof) for one in known])


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_kernel_equals_reference(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element, 30))
    groups, n_groups = data.draw(group_numbers(len(values)))
    chunks, level, keys = (
        data.draw(chunked(element, values)),
        data.draw(LEVELS),
        data.draw(st.booleans()),
    )
    arguments = (element, chunks, groups, n_groups, level)
    found = summarize(*arguments, RUN, data.draw(st.integers(1, 5)), keys)
    assert all_of(found) == all_of(summarize(*arguments, reference(ENTRIES), 1, keys))
    if level == 2:
        for ddof in (0, 1):
            expected = finalize.deviations_of(found, ddof, reference(ENTRIES))
            assert same(finalize.deviations_of(found, ddof, RUN), expected.tolist())
        assert same(
            finalize.means_of(found, RUN), finalize.means_of(found, reference(ENTRIES)).tolist()
        )


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_groups_equal_columns_of_their_rows(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element, 30))
    groups, n_groups = data.draw(group_numbers(len(values)))
    level = data.draw(LEVELS)
    chunks = data.draw(chunked(element, values))
    found = summarize(element, chunks, groups, n_groups, level, compiled("grouped", 2), 3)
    expected = expected_of(element, values, groups, n_groups, level)
    assert all_of(found) == expected
    assert counts_of(found).tolist() == [one.count for one in expected]
    assert n_rows_of(found).tolist() == [one.n_rows for one in expected]
    bare = summarize(element, chunks, groups, n_groups, level, RUN, 2, extremes=False)
    assert all_of(bare) == [without_keys(one) for one in expected]


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_partitions_change_nothing(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element, 30))
    groups, n_groups = data.draw(group_numbers(len(values)))
    level, keys = data.draw(LEVELS), data.draw(st.booleans())
    arguments = (element, data.draw(chunked(element, values)), groups, n_groups, level)
    whole = all_of(summarize(*arguments, RUN, 1, keys))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summaries, "MIN_BYTES_PARTITIONED", 0)
        patch.setattr(summaries, "MIN_ROWS_PARTITIONED", 0)
        patch.setattr(summaries, "PARTITION_SHIFT", data.draw(st.integers(0, 3)))
        n_parts = data.draw(st.integers(1, 5))
        assert all_of(summarize(*arguments, compiled("grouped", 2), n_parts, keys)) == whole
        assert all_of(summarize(*arguments, reference(ENTRIES), n_parts, keys)) == whole


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_what_is_read_out_is_exact(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element, 30))
    groups, n_groups = data.draw(group_numbers(len(values)))
    moments = summarize(element, data.draw(chunked(element, values)), groups, n_groups, 2, RUN, 2)
    read_out_is_exact(moments)
    minima, maxima = finalize.minima_of(moments), finalize.maxima_of(moments)
    for group, one in enumerate(all_of(moments)):
        if one.count:
            found = [key_of(element, x[group].item()) for x in (minima, maxima)]
            assert found == [one.min_key, one.max_key]
        elif element in FLOATS:
            assert math.isnan(minima[group])
    if element not in FLOATS:
        exact = [one.sum for one in all_of(moments)]
        sums, overflow = finalize.integer_sums_of(moments)
        assert overflow.tolist() == [not -(2**63) <= x < 2**63 for x in exact]
        assert sums.tolist() == [0 if bad else x for x, bad in zip(exact, overflow, strict=True)]
    if element not in (*FLOATS, "uint64"):
        means = finalize.truncated_means_of(moments).tolist()
        counts = counts_of(moments).tolist()
        known = [one.sum for one in all_of(moments)]
        expected = [
            math.trunc(Fraction(x, n)) if n else 0 for x, n in zip(known, counts, strict=True)
        ]
        assert means == expected


@pytest.mark.parametrize("spread", [0, 1, 3, 12, 40, 250])
@given(st.integers(0, 2**32), st.integers(1, 3000), st.sampled_from([1, 7, 1000]))
def test_sums_are_exact_whatever_the_exponents(
    spread: int, seed: int, n: int, n_groups: int
) -> None:
    x = wild(seed, n, spread)
    groups = np.random.default_rng(seed).integers(0, n_groups, n, np.int32)
    moments = summarize("float64", [numpy_chunk(x)], groups, n_groups, 2, RUN)
    for group in np.unique(groups)[:20].tolist():
        column = summarize_column(
            "float64", [numpy_chunk(x[groups == group])], 2, compiled("moments")
        )
        assert moments_of(moments, group) == column
    read_out_is_exact(take(moments, np.unique(groups)[:50]))


@pytest.mark.parametrize("n_groups", [1, 7, 8, 255, 256, 600])
def test_sums_halfway_between_two_floats_round_to_even(n_groups: int) -> None:
    random = np.random.default_rng(n_groups)
    x = random.integers(1 << 52, 1 << 53, 2 * n_groups).astype(np.float64)
    groups = np.arange(2 * n_groups, dtype=np.int32) // 2
    read_out_is_exact(summarize("float64", [numpy_chunk(x)], groups, n_groups, 2, RUN))


@pytest.mark.parametrize("scale", [1e-320, 1e-310, 1e-160, 1e-150, 1e-100, 1e100, 1e153, 1e307])
def test_read_out_is_exact_at_the_ends_of_the_range(scale: float) -> None:
    x = np.random.default_rng(1).uniform(-10, 10, 3000) * scale
    groups = np.arange(3000, dtype=np.int32) // 30
    moments = summarize("float64", [numpy_chunk(x)], groups, 100, 2, RUN)
    read_out_is_exact(moments)


@pytest.mark.parametrize("x", [0.1, -1e17 / 3, 1 + 2.0**-52, 5e-324, 1.7e308, 0.0])
def test_equal_values_have_no_variance(x: float) -> None:
    groups = np.repeat(np.arange(40, dtype=np.int32), np.arange(40))
    values = np.full(len(groups), x)
    moments = summarize("float64", [numpy_chunk(values)], groups, 40, 2, RUN)
    assert set(finalize.variances_of(moments, 0, RUN)[1:].tolist()) == {0.0}
    read_out_is_exact(moments)


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_statistics_equal_what_is_read_out(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element, 30))
    groups, n_groups = data.draw(group_numbers(len(values)))
    arguments = (element, data.draw(chunked(element, values)), groups, n_groups)
    moments = summarize(*arguments, 2, RUN)
    expected = [
        finalize.means_of(moments, RUN),
        finalize.variances_of(moments, 0, RUN),
        finalize.deviations_of(moments, 1, RUN),
    ]
    wanted = [GroupStatistic("mean"), GroupStatistic("var", 0), GroupStatistic("std")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summaries, "PARTITION_SHIFT", data.draw(st.integers(0, 3)))
        for run in (compiled("grouped", 2), reference(ENTRIES)):
            n_parts = data.draw(st.integers(1, 3))
            parts: list[Any] = split_rows(arguments[1], n_parts)
            if not parts or not n_groups:
                return
            split = split_task(element, parts, groups, n_groups, level_of(wanted), run)
            found = statistics_in(*split, wanted, run, n_parts)
            for a, b in zip(found, expected, strict=True):
                assert same(a, b.tolist())


@pytest.mark.parametrize("n_groups", [0, 1, SERIAL_BELOW + 1500])
@pytest.mark.parametrize("n_columns", [1, 3, 4])
def test_columns_stand_side_by_side(n_groups: int, n_columns: int) -> None:
    columns = [np.arange(n_groups, dtype=np.int64) * 8 + k for k in range(n_columns)]
    for run in (RUN, reference(ENTRIES)):
        array = side_by_side(columns, run, 3)
        assert array.shape == (n_groups, 4 if n_columns == 3 else n_columns)
        assert (array[:, :n_columns] == np.stack(columns, axis=1)).all()


@given(st.data())
def test_split_and_merge_order_do_not_matter(data: st.DataObject) -> None:
    element = data.draw(st.sampled_from(ELEMENTS))
    values = data.draw(columns(element, 30))
    groups, n_groups = data.draw(group_numbers(len(values)))
    level = data.draw(LEVELS)
    whole = summarize(element, [make_chunk(element, values)], groups, n_groups, level, RUN)
    places = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=5)))
    cuts = [slice(a, b) for a, b in zip([0, *places], [*places, len(values)], strict=True)]
    parts = [
        summarize(element, [make_chunk(element, values[cut])], groups[cut], n_groups, level, RUN)
        for cut in cuts
    ]
    start = no_moments(element, n_groups, level)
    merged = reduce(merge, data.draw(st.permutations(parts)), start)
    assert all_of(merged) == all_of(whole)
    read_out_is_exact(merged) if level == 2 else None
    for cut, part in zip(cuts, parts, strict=True):
        rest = [value for at, value in enumerate(values) if not cut.start <= at < cut.stop]
        others = np.concatenate([groups[: cut.start], groups[cut.stop :]])
        expected = expected_of(element, rest, others, n_groups, level)
        found = subtract(merged, part)
        assert all_of(found) == [without_keys(one) for one in expected]


@given(st.data())
def test_cells_of_folds_add_up(data: st.DataObject) -> None:
    element = data.draw(st.sampled_from(ELEMENTS))
    values = data.draw(columns(element, 20))
    keys, n_keys = data.draw(group_numbers(len(values)))
    n_folds = data.draw(st.integers(1, 5))
    folds = np.random.default_rng(len(values)).integers(0, n_folds, len(values), np.int32)
    cells = np.where(keys < 0, -1, folds * n_keys + keys).astype(np.int32)
    chunks = [make_chunk(element, values)]
    found = summarize(element, chunks, cells, n_folds * n_keys, 2, RUN)
    total = summarize(element, chunks, keys, n_keys, 2, RUN)
    assert all_of(sum_over_folds(found, n_folds)) == all_of(total)
    of_folds = summarize(element, chunks, np.where(keys < 0, -1, folds), n_folds, 2, RUN, 1, False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(states, "MAX_ADDED", data.draw(st.sampled_from([1, 2, 1 << 20])))
        assert all_of(sum_over_keys(found, n_folds)) == all_of(of_folds)
    outside = outside_folds(found, sum_over_folds(found, n_folds), n_folds)
    for fold, here in enumerate(outside):
        elsewhere = np.where(folds == fold, -1, keys).astype(np.int32)
        expected = summarize(element, chunks, elsewhere, n_keys, 2, RUN, extremes=False)
        assert all_of(here) == all_of(expected)


@given(st.data())
def test_groups_are_taken_by_number(data: st.DataObject) -> None:
    element = data.draw(st.sampled_from(ELEMENTS))
    values = data.draw(columns(element, 20))
    groups, n_groups = data.draw(group_numbers(len(values)))
    moments = summarize(element, [make_chunk(element, values)], groups, n_groups, 2, RUN)
    indices = data.draw(st.lists(st.integers(-1, n_groups - 1), max_size=20))
    taken = all_of(take(moments, np.array(indices, np.int64)))
    (nothing,) = all_of(no_moments(element, 1, 2))
    every = all_of(moments)
    assert taken == [nothing if index < 0 else every[index] for index in indices]


def test_window_that_moves_loses_nothing() -> None:
    parts = [
        summarize("float64", [numpy_chunk(x)], np.arange(500, dtype=np.int32) % 9, 9, 2, RUN)
        for x in (wild(seed, 500, 2) * scale for seed, scale in enumerate([1, 1e30, 1e-30, 1e5]))
    ]
    forward, backward = all_of(reduce(merge, parts)), all_of(reduce(merge, parts[::-1]))
    assert forward == backward
    for group in range(9):
        assert forward[group] == reduce(merge_moments, [moments_of(p, group) for p in parts])


def test_many_rows_of_one_group_carry() -> None:
    n = 3_000_000
    x = np.full(n, -(2**63), np.int64)
    moments = summarize("int64", [numpy_chunk(x)], np.zeros(n, np.int32), 1, 2, RUN)
    one = moments_of(moments, 0)
    assert (one.sum, one.sum_of_squares) == (-n * 2**63, n * 2**126)
    y = np.full(n, 1 - 2.0**-53)
    moments = summarize("float64", [numpy_chunk(y)], np.zeros(n, np.int32), 1, 2, RUN)
    column = summarize_column("float64", [numpy_chunk(y)], 2, compiled("moments"))
    assert moments_of(moments, 0) == column


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("n_parts", [1, 4])
def test_many_values_just_below_the_end_of_the_window_fit(level: Level, n_parts: int) -> None:
    n = (1 << 23) + (1 << 18)
    x = np.full(n, 1 - 2.0**-53)
    x[:512] = (1 + 2.0**-52) * 2.0 ** (-27 if level == 2 else -67)
    groups = np.zeros(n, np.int32)
    moments = summarize("float64", [numpy_chunk(x)], groups, 1, level, RUN, n_parts)
    column = summarize_column("float64", [numpy_chunk(x)], level, compiled("moments"))
    assert without_keys(moments_of(moments, 0)) == without_keys(column)


@pytest.mark.parametrize("element", FLOATS)
@given(data=st.data())
def test_headroom_loses_nothing(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element, 30))
    groups, n_groups = data.draw(group_numbers(len(values)))
    chunks, level = data.draw(chunked(element, values)), data.draw(LEVELS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "MOST_AT_TOP", data.draw(st.sampled_from([1, 2, 16])))
        for run in (RUN, reference(ENTRIES)):
            found = summarize(element, chunks, groups, n_groups, level, run, 2)
            assert all_of(found) == expected_of(element, values, groups, n_groups, level)


def test_sums_at_the_ends_of_int64_fit() -> None:
    low, high = -(2**63), 2**63 - 1
    x = np.array([low, 0, high, 0, low, -1, high, 1, low, high, -(2**40), 2**40 - 1], np.int64)
    groups = np.repeat(np.arange(6, dtype=np.int32), 2)
    moments = summarize("int64", [numpy_chunk(x)], groups, 6, 1, RUN)
    sums, overflow = finalize.integer_sums_of(moments)
    assert sums.tolist() == [low, high, 0, 0, -1, -1]
    assert overflow.tolist() == [False, False, True, True, False, False]
    merged, _ = finalize.integer_sums_of(merge(moments, moments))
    assert merged.tolist()[4:] == [-2, -2]


def test_least_and_greatest_are_refused_where_they_are_not_known() -> None:
    chunk, groups = numpy_chunk(np.ones(3)), np.zeros(3, np.int32)
    moments = summarize("float64", [chunk], groups, 1, 1, RUN)
    with pytest.raises(ValueError, match="extremes are unknown"):
        finalize.minima_of(subtract(moments, moments))


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_order_statistics_equal_their_definition(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element, 30))
    groups, n_groups = data.draw(group_numbers(len(values)))
    chunks = data.draw(chunked(element, values))
    ordered = order(element, chunks, groups, n_groups, RUN, data.draw(st.integers(1, 4)))
    qs = [0.0, 0.25, 0.5, 1 / 3, 1.0, data.draw(st.floats(0, 1))]
    quantiles, modes = quantiles_of(ordered, qs), modes_of(ordered, RUN, 2)
    n_unique = n_unique_of(ordered, RUN)
    for group in range(n_groups):
        keys = [key_of(element, x) for x in rows_of(values, groups, group) if x is not None]
        known = {rank: value_of_key(element, key) for rank, key in enumerate(sorted(keys))}
        expected = [float_quantile(known, len(keys), q) if keys else None for q in qs]
        assert same(quantiles[group], expected)
        counts = Counter(x + 0 for x in rows_of(values, groups, group) if x is not None)
        assert n_unique[group] == len(counts)
        if counts:
            most = max(counts.values())
            assert modes[group] == min(x for x, n in counts.items() if n == most)


INT64 = st.sampled_from([-(2**63), 2**63 - 1, 2**53 + 1, 0, -1]) | st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(INT64, INT64, st.floats(0, 1, exclude_max=True)), max_size=20))
def test_whole_quantiles_lose_no_bit(pairs: list[tuple[int, int, float]]) -> None:
    low, high = (np.array([f(pair[:2]) for pair in pairs], np.int64) for f in (min, max))
    shares = np.array([share for *_, share in pairs], np.float64)
    exact = [
        math.trunc(min(pair) + (max(pair) - min(pair)) * Fraction(share)) for *pair, share in pairs
    ]
    assert whole_quantile_between(low, high, shares).tolist() == exact
    assert whole_quantile_between(low, high, 0.0).tolist() == low.tolist()


def keys_of(ordered: SortedGroups, group: int) -> list[int]:
    start = ordered.starts[group]
    return ordered.keys[start : start + ordered.counts[group]].tolist()


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_order_equals_reference(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element, 30))
    groups, n_groups = data.draw(group_numbers(len(values)))
    arguments = (element, data.draw(chunked(element, values)), groups, n_groups)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "MAX_PARTITION_BITS", data.draw(st.integers(0, 11)))
        found = order(*arguments, RUN, data.draw(st.integers(1, 5)))
        expected = order(*arguments, reference(ENTRIES), 2)
    assert found.counts.tolist() == expected.counts.tolist()
    for group in range(n_groups):
        rows = [
            slice(x.starts[group], x.starts[group] + x.counts[group]) for x in (found, expected)
        ]
        assert found.keys[rows[0]].tolist() == expected.keys[rows[1]].tolist()
    for read in (modes_of, n_unique_of):
        assert same_bits(read(found, RUN), read(expected, reference(ENTRIES)))


@pytest.mark.parametrize("n", [1, 16, 17, 31, 33, 64, 100, 1000, 4096, 4097, 20000])
def test_groups_of_any_size_are_sorted(n: int) -> None:
    x = np.random.default_rng(n).normal(size=3 * n)
    groups = np.random.default_rng(n).permutation(np.repeat(np.arange(3, dtype=np.int32), n))
    ordered = order("float64", [numpy_chunk(x)], groups, 3, RUN)
    for group in range(3):
        expected = [key_of("float64", value) for value in sorted(x[groups == group].tolist())]
        assert keys_of(ordered, group) == expected
