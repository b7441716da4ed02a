"""States of groups: rows that leave memory, windows of floats far apart, and statistics of many."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastfeat_kernels.grouped import summarize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastfeat.engine.learner import LearntResult
from fastfeat.engine.state_bytes import of_bytes, to_bytes
from fastfeat.ir.dtypes import BOOL, FLOAT64, INT64, UINT64
from fastfeat.ir.node import params_of
from fastfeat.steps.keys import cpu_group_rows, cpu_group_states, cpu_ordered
from fastfeat.steps.keys.cpu_group_states import CODES, LEARNER, VALUES, GroupsSpec, GroupsState

IN_ORDER = [
    ("mode", ()),
    ("n_unique", ()),
    ("quantile", params_of(q=0.3, interpolation="linear")),
    ("skew", params_of(bias=True)),
    ("mean", ()),
]
SUMS = [("mean", ()), ("std", params_of(ddof=1)), ("sum", ())]

assert LEARNER.spill is not None
SPILL = LEARNER.spill


def added(state: GroupsState, x: Any, codes: Any) -> None:
    columns = {VALUES: pa.chunked_array([x]), CODES: pa.chunked_array([codes.astype(np.int32)])}
    LEARNER.add(state, columns, range(len(x)))


def bits_of(state: GroupsState) -> list[bytes]:
    found = LEARNER.next(state)
    assert isinstance(found, LearntResult)
    return [one.values.tobytes() + one.present.tobytes() for one in found.values]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_that_leave_memory_give_the_same_values(tmp_path: Path, data: st.DataObject) -> None:
    n_rows, n_groups = data.draw(st.integers(0, 200)), data.draw(st.sampled_from([1, 5, 300]))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    x = random.choice([0.5, -0.0, 0.0, np.nan, np.inf, -1.0, 1e300, 3.0], n_rows)
    codes = (random.random(n_rows) ** 3 * n_groups).astype(np.int32)
    spec = GroupsSpec(IN_ORDER, FLOAT64, n_groups)
    whole = LEARNER.start(spec, None)
    added(whole, x, codes)
    states = [LEARNER.start(spec, None) for _ in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu_ordered, "BLOCK_ROWS", data.draw(st.integers(1, 50)))
        patch.setattr(cpu_ordered, "RANGE_ROWS", data.draw(st.integers(1, 50)))
        for part in np.array_split(np.arange(n_rows), 8):
            state = states[data.draw(st.integers(0, 2))]
            added(state, x[part], codes[part])
            if data.draw(st.booleans()):
                SPILL(state, tmp_path)
        merged = LEARNER.merge(LEARNER.merge(states[0], states[1]), states[2])
        content = to_bytes(LEARNER, merged)
        assert bits_of(merged) == bits_of(whole)
        assert bits_of(of_bytes(LEARNER, spec, None, content)) == bits_of(whole)
    assert not list(tmp_path.iterdir())


def test_memory_is_free_after_rows_left_it(tmp_path: Path) -> None:
    state = LEARNER.start(GroupsSpec(IN_ORDER[:3], FLOAT64, 10), None)
    added(state, np.arange(50_000.0), np.arange(50_000) % 10)
    assert LEARNER.size(state) >= 8 * 50_000
    SPILL(state, tmp_path)
    assert LEARNER.size(state) == 0
    SPILL(state, tmp_path)
    assert state.rows is not None
    assert len(state.rows.runs) == 1
    assert not list(tmp_path.iterdir())


def test_values_far_apart_travel_as_columns_of_limbs() -> None:
    n_groups, n_rows = 500, 6_000
    random = np.random.default_rng(3)
    codes = random.integers(0, n_groups, n_rows)
    parts = [random.normal(size=n_rows) * scale for scale in (1e-30, 1.0, 1e30)]
    spec = GroupsSpec(SUMS, FLOAT64, n_groups)
    whole, merged = LEARNER.start(spec, None), LEARNER.start(spec, None)
    added(whole, np.concatenate(parts), np.tile(codes, 3))
    for x in parts:
        state = LEARNER.start(spec, None)
        added(state, x, codes)
        content = to_bytes(LEARNER, state)
        assert len(content) < 80 * n_groups
        merged = LEARNER.merge(of_bytes(LEARNER, spec, None, content), merged)
    merged = of_bytes(LEARNER, spec, None, to_bytes(LEARNER, merged))
    assert bits_of(merged) == bits_of(whole)


def test_statistics_of_very_many_groups_can_go_on() -> None:
    n_groups, n_rows = 200_000, 30_000
    random = np.random.default_rng(4)
    x, codes = random.normal(size=2 * n_rows), random.integers(0, n_groups, 2 * n_rows)
    spec = GroupsSpec(SUMS[:2], FLOAT64, n_groups)
    whole, first, second = (LEARNER.start(spec, None) for _ in range(3))
    added(whole, x, codes)
    assert whole.first is not None
    added(first, x[:n_rows], codes[:n_rows])
    added(first, x[n_rows : n_rows + 9], codes[n_rows : n_rows + 9])
    added(second, x[n_rows + 9 :], codes[n_rows + 9 :])
    content = to_bytes(LEARNER, second)
    assert len(content) < 80 * n_rows  # of the groups that have rows alone
    expected = bits_of(whole)
    assert bits_of(LEARNER.merge(first, of_bytes(LEARNER, spec, None, content))) == expected
    assert bits_of(whole) == expected


OF_MOMENTS = [*SUMS, ("count", ()), ("null_count", ()), ("min", ()), ("max", ())]


@given(data=st.data())
def test_rows_that_wait_are_added_to_the_sums_of_other_states(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n_rows, n_groups = data.draw(st.integers(0, 300)), data.draw(st.integers(1, 60))
    is_float, wanted = data.draw(st.booleans()), data.draw(st.sampled_from([SUMS, OF_MOMENTS]))
    codes = random.integers(0, n_groups, n_rows)
    if is_float:
        values = [0.5, -0.0, np.nan, np.inf, -1.0, 1e280, 3.0, 1e-300]
        x = pa.array(random.choice(values, n_rows) * random.choice([1.0, 1.0, 1e20], n_rows))
    else:
        numbers = random.integers(-(2**62), 2**62, n_rows) >> random.integers(10, 62, n_rows)
        x = pa.array(numbers, mask=random.random(n_rows) < 0.2)
    spec = GroupsSpec(wanted, FLOAT64 if is_float else INT64, n_groups)
    with pytest.MonkeyPatch.context() as patch:
        whole = LEARNER.start(spec, None)
        added(whole, x, codes)
        expected = bits_of(whole)
        patch.setattr(summarize, "MIN_BYTES_PARTITIONED", 0)
        patch.setattr(summarize, "MIN_ROWS_PARTITIONED", data.draw(st.sampled_from([1, 1 << 14])))
        patch.setattr(summarize, "PARTITION_SHIFT", data.draw(st.integers(0, 6)))
        cuts = sorted(data.draw(st.lists(st.integers(0, n_rows), max_size=6)))
        states: list[GroupsState] = []
        for first, end in pairwise([0, *cuts, n_rows]):
            if not states or data.draw(st.booleans()):
                states.append(LEARNER.start(spec, None))
            added(states[-1], x.slice(first, end - first), codes[first:end])
        while len(states) > 1:
            one = states.pop(data.draw(st.integers(0, len(states) - 1)))
            other = states.pop(data.draw(st.integers(0, len(states) - 1)))
            states.append(LEARNER.merge(one, other))
        assert LEARNER.size(states[0]) <= LEARNER.bound(spec, n_rows)
        assert bits_of(states[0]) == expected


OF_MOMENTS = [("count", ()), ("null_count", ()), ("min", ()), ("max", ()), *SUMS]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_kept_by_ranges_of_groups_give_the_same_values(
    tmp_path: Path, data: st.DataObject
) -> None:
    n_rows, n_groups = data.draw(st.integers(0, 200)), data.draw(st.sampled_from([1, 5, 300]))
    dtype = data.draw(st.sampled_from([FLOAT64, INT64, UINT64, BOOL]))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    if dtype == FLOAT64:
        x = random.choice([0.5, -0.0, 0.0, np.nan, np.inf, -1.0, 1e300, 3.0, 1e-300], n_rows)
    else:
        x = random.integers(0, 2, n_rows).astype({INT64: "i8", UINT64: "u8", BOOL: "?"}[dtype])
    missing, codes = random.random(n_rows) < 0.2, (random.random(n_rows) ** 3 * n_groups)
    wanted = data.draw(st.permutations(OF_MOMENTS + (IN_ORDER[:3] if dtype != BOOL else [])))
    spec = GroupsSpec(wanted[: data.draw(st.integers(1, len(wanted)))], dtype, n_groups)
    whole = LEARNER.start(spec, None)
    added(whole, pa.array(x, mask=missing), codes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu_group_rows, "MIN_RANGE_BITS", data.draw(st.integers(0, 9)))
        patch.setattr(cpu_group_states, "has_room", lambda n_bytes: False)
        states = [LEARNER.start(spec, None) for _ in range(3)]
        for part in np.array_split(np.arange(n_rows), 8):
            state = states[data.draw(st.integers(0, 2))]
            added(state, pa.array(x[part], mask=missing[part]), codes[part])
            if data.draw(st.booleans()):
                SPILL(state, tmp_path)
        merged = LEARNER.merge(LEARNER.merge(states[0], states[1]), states[2])
        if data.draw(st.booleans()):
            merged = of_bytes(LEARNER, spec, None, to_bytes(LEARNER, merged))
        assert bits_of(merged) == bits_of(whole)
    assert not list(tmp_path.iterdir())
