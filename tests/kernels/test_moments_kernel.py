"""The moments kernel against its reference, against fractions, and against itself in pieces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from fastfeat_kernels.column import ELEMENTS, EqualChunks, key_of, value_of_key
from fastfeat_kernels.moments import entry_of, exact
from fastfeat_kernels.moments.many import (
    counts_of,
    deviations_of,
    greatest_of,
    least_of,
    means_of,
    null_counts_of,
    summarize_columns,
    variances_of,
)
from fastfeat_kernels.moments.reference import ENTRIES
from fastfeat_kernels.moments.state import (
    NO_ROW,
    Level,
    Moments,
    make_table,
    merge,
    new_state,
    no_moments,
    read_state,
    summarize,
)
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.io.columns.column import Chunk
from fastfeat_tests.kernels.kernel_columns import (
    chunked,
    columns,
    compiled,
    kernel_of,
    make_chunk,
    numpy_chunk,
    reference,
)

LEVELS: st.SearchStrategy[Level] = st.sampled_from([0, 1, 2])


def moments_of(chunk: Chunk, element: str = "float64") -> Moments:
    return summarize(element, [chunk], 2, compiled("moments"))


def exact_sums(moments: Moments) -> tuple[Fraction, Fraction]:
    unit = Fraction(1, 1 << moments.scale)
    return moments.sum * unit, moments.sum_of_squares * unit * unit


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_kernel_equals_reference(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element))
    chunks, level = data.draw(chunked(element, values)), data.draw(LEVELS)
    found = summarize(element, chunks, level, compiled("moments"), data.draw(st.integers(1, 5)))
    assert found == summarize(element, chunks, level, reference(ENTRIES))


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_kernel_equals_definition(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element))
    found = summarize(element, data.draw(chunked(element, values)), 2, compiled("moments", 2), 2)
    present = [value for value in values if value is not None]
    finite = [Fraction(value) for value in present if math.isfinite(value)]
    infinite = [row for row, x in enumerate(values) if x is not None and math.isinf(x)]
    keys = [key_of(element, value) for value in present]
    assert (found.n_rows, found.count) == (len(values), len(present))
    assert found.n_positive_infinite == sum(value == math.inf for value in present)
    assert found.n_negative_infinite == sum(value == -math.inf for value in present)
    assert found.first_infinite == (infinite[0] if infinite else NO_ROW)
    assert exact_sums(found) == (sum(finite), sum(x * x for x in finite))
    if keys:
        assert (found.min_key, found.max_key) == (min(keys), max(keys))


@given(st.data())
def test_split_and_merge_order_do_not_matter(data: st.DataObject) -> None:
    element = data.draw(st.sampled_from(ELEMENTS))
    values = data.draw(columns(element))
    chunk = make_chunk(element, values, data.draw(st.integers(0, 70)))
    whole = summarize(element, [chunk], 2, compiled("moments"))
    places = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=5)))
    parts: list[Moments] = []
    for first, end in zip([0, *places], [*places, len(values)], strict=True):
        state = new_state()
        table = make_table(element, chunk, state, 2, 0)
        kernel_of("moments", entry_of(element))(table.ctypes.data, first, end - first)
        parts.append(read_state(element, state, 2))
    merged = no_moments(element)
    for part in data.draw(st.permutations(parts)):
        merged = merge(part, merged)
    assert merged == whole


@given(st.integers(0, 2**32), st.integers(0, 4000), st.sampled_from([0, 1, 3, 12, 40, 250]))
def test_sums_are_exact_whatever_the_exponents(seed: int, n: int, spread: int) -> None:
    random = np.random.default_rng(seed)
    with np.errstate(over="ignore", under="ignore"):
        x = random.normal(size=n) * np.exp(spread * random.normal(size=n))
    x = np.clip(x, -1.7e308, 1.7e308)
    found = exact_sums(moments_of(numpy_chunk(x)))
    assert found == (sum(map(Fraction, x)), sum(Fraction(v) ** 2 for v in x))
    if np.abs(x).max(initial=0) < 1e300:  # fsum may overflow on the way
        assert float(found[0]) == math.fsum(x)


@pytest.mark.parametrize("scale", [1e-320, 1e-310, 1e-160, 1e-150, 1e150, 1e153, 1e307])
def test_sums_are_exact_at_the_ends_of_the_range(scale: float) -> None:
    x = np.random.default_rng(1).uniform(-10, 10, 3000) * scale
    sums = sum(map(Fraction, x)), sum(Fraction(v) ** 2 for v in x)
    assert exact_sums(moments_of(numpy_chunk(x))) == sums


def test_total_beyond_float64_stays_exact() -> None:
    x = np.full(5000, 1.7e308)
    assert exact_sums(moments_of(numpy_chunk(x)))[0] == 5000 * Fraction(1.7e308)


@pytest.mark.parametrize("element", ["int64", "uint64"])
def test_integer_squares_need_more_than_128_bits(element: str) -> None:
    extreme = int(np.iinfo(element).min) or int(np.iinfo(element).max)
    found = moments_of(numpy_chunk(np.full(5000, extreme, element)), element)
    assert (found.sum, found.sum_of_squares) == (5000 * extreme, 5000 * extreme**2)


def test_carries_are_kept_over_many_blocks() -> None:
    x = np.tile(np.array([-(2**63), 2**63 - 1, -1, 2**62 + 12345]), 600_000)
    found = moments_of(numpy_chunk(x), "int64")
    assert found.sum == 600_000 * (2**62 + 12345 - 2)
    squares = 2**126 + (2**63 - 1) ** 2 + 1 + (2**62 + 12345) ** 2
    assert found.sum_of_squares == 600_000 * squares


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_keys_order_as_values_and_come_back(element: str, data: st.DataObject) -> None:
    values = [value for value in data.draw(columns(element)) if value is not None]
    keys = sorted({key_of(element, value) for value in values})
    back = [value_of_key(element, key) for key in keys]
    assert [key_of(element, value) for value in back] == keys
    signs = [(value, math.copysign(1, value)) for value in back]  # -0.0 is below 0.0
    assert signs == sorted(set(signs))
    assert set(back) == set(values)


@given(st.data())
def test_many_columns_are_summarized_as_each_alone(data: st.DataObject) -> None:
    element, n_rows = data.draw(st.sampled_from(ELEMENTS)), data.draw(st.integers(1, 40))
    ddof = data.draw(st.integers(0, 2))
    chunks = [
        make_chunk(element, values, data.draw(st.integers(0, 70)))
        for values in data.draw(
            st.lists(
                columns(element).filter(bool).map(lambda v: (v * n_rows)[:n_rows]),
                min_size=1,
                max_size=8,
            )
        )
    ]
    level, n_parts = data.draw(LEVELS), data.draw(st.integers(1, 3))
    found = summarize_columns(element, in_columns(chunks), level, compiled("moments"), n_parts)
    alone = [summarize(element, [chunk], level, compiled("moments")) for chunk in chunks]
    assert [found[k] for k in range(len(found))] == alone
    assert counts_of(found) == [moments.count for moments in alone]
    assert null_counts_of(found) == [moments.n_rows - moments.count for moments in alone]
    for keys, values in (("min_key", least_of(found)), ("max_key", greatest_of(found))):
        known = [value_of_key(element, getattr(m, keys)) if m.count else None for m in alone]
        assert list(map(repr, values)) == list(map(repr, known))
    if level > 0:
        assert list(map(repr, means_of(found))) == [repr(exact.mean_of(m)) for m in alone]
    if level > 1:
        variances, deviations = variances_of(found, ddof), deviations_of(found, ddof)
        assert list(map(repr, variances)) == [repr(exact.variance_of(m, ddof)) for m in alone]
        assert list(map(repr, deviations)) == [repr(exact.deviation_of(m, ddof)) for m in alone]


@given(st.integers(0, 2**32), st.integers(1, 300), st.sampled_from([0, 1, 3, 12, 40, 250]))
def test_many_columns_read_out_as_each_alone(seed: int, n: int, spread: int) -> None:
    random = np.random.default_rng(seed)
    with np.errstate(over="ignore", under="ignore"):
        x = random.normal(size=(20, n)) * np.exp(spread * random.normal(size=(20, 1)))
    x = np.clip(x + random.integers(-3, 4, (20, 1)), -1.7e308, 1.7e308)
    chunks = [numpy_chunk(column) for column in x]
    found = summarize_columns("float64", in_columns(chunks), 2, compiled("moments"))
    alone = [found[k] for k in range(20)]
    assert alone == [moments_of(chunk) for chunk in chunks]
    assert list(map(repr, means_of(found))) == [repr(exact.mean_of(m)) for m in alone]
    deviations = [exact.deviation_of(moments, 0) for moments in alone]
    assert list(map(repr, deviations_of(found, 0))) == list(map(repr, deviations))


def in_columns(chunks: Sequence[Chunk]) -> EqualChunks:
    """Return chunks of one length as columns."""
    words = np.array([chunk[:4] for chunk in chunks], np.int64)
    values, value_bit_offset, validity, bit_offset = words.T
    length = chunks[0].length
    return EqualChunks(values, value_bit_offset, validity, bit_offset, length, chunks)
