"""Tables of groups: rows added in any parts, joined in any order, give the moments of all rows."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.grouped import growing
from fastfeat_kernels.grouped import joining as joins
from fastfeat_kernels.grouped import summarize as summaries
from fastfeat_kernels.grouped.growing import Table, new_table
from fastfeat_kernels.grouped.joining import grow, join_tables
from fastfeat_kernels.grouped.state import moments_of
from fastfeat_kernels.grouped.summarize import add, moments_in, summarize
from hypothesis import given
from hypothesis import strategies as st

from fastfeat_tests.kernels.kernel_columns import columns, compiled, make_chunk, numpy_chunk
from fastfeat_tests.kernels.test_grouped_kernel import LEVELS, all_of, group_numbers

RUN = compiled("grouped")


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_parts_joined_in_any_order_are_the_whole(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element, 40))
    groups, n_groups = data.draw(group_numbers(len(values)))
    level, extremes = data.draw(LEVELS), data.draw(st.booleans())
    chunks = [make_chunk(element, values)]
    whole = summarize(element, chunks, groups, n_groups, level, RUN, 1, extremes)
    n_tables = data.draw(st.integers(1, 4))
    tables = [new_table(element, n_groups, level, extremes) for _ in range(n_tables)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summaries, "FEWEST_LEFT", data.draw(st.sampled_from([0, 16])))
        patch.setattr(summaries, "FEW_LEFT", data.draw(st.sampled_from([0, 2, 1 << 10])))
        reach = data.draw(st.sampled_from([1 << 42, 1 << 62]))
        patch.setattr(growing, "MOST_REACH", reach)
        patch.setattr(joins, "MOST_REACH", reach)
        patch.setattr(joins, "MANY_FALLEN", data.draw(st.sampled_from([1, 1 << 30])))
        n_others = data.draw(st.sampled_from([1, 3]))
        patch.setattr(summaries, "MOST_OTHERS", n_others)
        patch.setattr(joins, "MOST_OTHERS", n_others)
        if data.draw(st.booleans()):
            patch.setattr(summaries, "MIN_BYTES_PARTITIONED", 0)
            patch.setattr(summaries, "MIN_ROWS_PARTITIONED", 0)
            patch.setattr(summaries, "PARTITION_SHIFT", data.draw(st.integers(0, 3)))
        at = 0
        while at < len(values):
            n = data.draw(st.integers(1, len(values) - at))
            table = tables[data.draw(st.integers(0, n_tables - 1))]
            chunk = make_chunk(element, values[at : at + n])
            add(table, [chunk], groups[at : at + n], RUN, data.draw(st.integers(1, 3)))
            at += n
        while len(tables) > 1:
            a = tables.pop(data.draw(st.integers(0, len(tables) - 1)))
            b = tables.pop(data.draw(st.integers(0, len(tables) - 1)))
            tables.append(join_tables(a, b, RUN, data.draw(st.integers(1, 3))))
        assert all_of(moments_in(tables[0], RUN)) == all_of(whole)


def test_values_far_apart_have_windows_and_no_integers() -> None:
    n_groups, n_rows = 2_000, 12_000
    random = np.random.default_rng(1)
    groups = np.arange(n_rows, dtype=np.int32) % n_groups
    parts = [random.normal(size=n_rows) * scale for scale in (1e-30, 1.0, 1e30)]
    mixed = random.permutation(np.concatenate(parts))
    tables = [_table_of(x, groups, n_groups) for x in parts]
    tables.append(_table_of(mixed, np.tile(groups, 3), n_groups))
    table = tables.pop()
    while tables:
        table = join_tables(table, tables.pop(), RUN)
        assert len(table.moments.left.groups) < 20
        assert 1 + len(table.others) == 3  # of like exponents
    everything = np.concatenate([*parts, mixed])
    whole = _table_of(everything, np.tile(groups, 6), n_groups)
    some = range(0, n_groups, 97)
    found, expected = (moments_in(one, RUN) for one in (table, whole))
    assert [moments_of(found, k) for k in some] == [moments_of(expected, k) for k in some]
    for k in some:
        of_group = [float(x) for x in everything[np.tile(groups, 6) == k]]
        assert moments_of(found, k).sum == _exact(of_group, moments_of(found, k).scale)


def test_groups_can_become_more() -> None:
    x, groups = np.arange(10.0), np.arange(10, dtype=np.int32)
    table = new_table("float64", 5, 2)
    add(table, [numpy_chunk(x[:5])], groups[:5], RUN)
    grow(table, 10)
    add(table, [numpy_chunk(x[5:])], groups[5:], RUN)
    expected = summarize("float64", [numpy_chunk(x)], groups, 10, 2, RUN)
    assert all_of(moments_in(table, RUN)) == all_of(expected)


def test_tables_of_other_types_do_not_join() -> None:
    with pytest.raises(ValueError, match="cannot join"):
        join_tables(new_table("float64", 5, 2), new_table("int64", 5, 2), RUN)


def _table_of(x: Any, groups: Any, n_groups: int) -> Table:
    table = new_table("float64", n_groups, 2)
    for first in range(0, len(x), 5_000):
        rows = slice(first, first + 5_000)
        add(table, [numpy_chunk(x[rows].copy())], groups[rows], RUN)
    return table


def _exact(values: list[float], scale: int) -> int:
    return int(sum(map(Fraction, values)) * 2**scale)
