"""How far back rows are seen and kept, in ticks; entities that come and go take no memory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.ir.dtypes import FLOAT64, INT64, UTF8
from fastfeat.live.log.columns import ranges
from fastfeat.live.log.entities import NEVER, EntityIndex, RowPlaces
from fastfeat.live.log.log import Log
from fastfeat.live.log.retention import (
    find_first_reachable,
    find_reachable_slots,
    find_silent_slots,
    find_visible_range,
    find_visible_slots,
    retention,
    subtract_ticks,
)
from fastfeat.live.lower.live_plan import Reach

LAST = int(np.iinfo(np.int64).max)


def test_a_reach_is_rounded_so_that_no_row_in_it_is_lost():
    held = retention(Reach(1_999, 2), 1_001, 1_000, has_tie=False)
    assert (held.span, held.keep, held.kept, held.silent) == (1, 1, 3, 5)


@pytest.mark.parametrize(
    ("reach", "keep", "kept", "silent"),
    [
        (Reach(None, 3), 7, 7, None),  # a sweep would take what a lag sees
        (Reach(5, None), 7, None, None),
        (Reach(5, 0), None, None, None),
        (Reach(5, 0), 0, 5, 10),
        (Reach(2**70, 0), 2**70, LAST, LAST),
    ],
)
def test_what_is_kept_of_a_reach(reach: Reach, keep: int | None, kept: object, silent: object):
    held = retention(reach, keep, 1, has_tie=False)
    assert (held.kept, held.silent) == (kept, silent)


def test_times_do_not_wrap_around():
    times = np.array([NEVER, NEVER + 5, 0, LAST])
    assert subtract_ticks(times, 10).tolist() == [NEVER, NEVER, -10, LAST - 10]
    assert subtract_ticks(times, LAST).tolist() == [NEVER, NEVER, -LAST, 0]


@given(
    st.lists(st.integers(-20, 20) | st.sampled_from([NEVER, LAST]), min_size=1).map(sorted),
    st.none() | st.sampled_from([1, 3, LAST]),
    st.none() | st.integers(0, 4),
    st.none() | st.sampled_from([0, 5, LAST]),
    st.booleans(),
    st.integers(-25, 25) | st.sampled_from([NEVER, LAST]),
    st.integers(0, 9),
)
def test_one_entity_is_as_many(
    times: list[int],
    span: int | None,
    n_rows: int | None,
    keep: int | None,
    has_tie: bool,
    first: int,
    longer: int,
) -> None:
    held = retention(Reach(span, n_rows), keep, 1, has_tie=has_tie)
    index = EntityIndex()
    who = index.numbering.numbers([pa.array([7, 8])], 2, add=True)
    of_each = np.repeat(who, len(times))
    index.append(RowPlaces(np.array(times * 2, np.int64), of_each))
    sorted_times = np.array(times, np.int64)
    last = min(first + longer, LAST)
    both = np.array([first, first], np.int64), np.array([last, last], np.int64)
    starts, _ = index.stretches(who)
    begins, ends = find_visible_slots(index, held, who, *both)
    assert {*zip((begins - starts).tolist(), (ends - starts).tolist(), strict=True)} == {
        find_visible_range(sorted_times, held, first, last)
    }
    begins, _ = find_reachable_slots(index, held, who)
    assert {*(begins - starts).tolist()} == {find_first_reachable(sorted_times, held)}


def steps(n_rows: int) -> Log:
    """Return an empty log of rows of some text, seen for 10 steps and n rows."""
    held = retention(Reach(10, n_rows), 0, 1, has_tie=False)
    return Log({"e": INT64, "t": INT64, "s": UTF8, "v": FLOAT64}, {}, [held], "e")


def test_the_latest_rows_are_those_before_the_span():
    held = retention(Reach(10, 2), 5, 1, has_tie=False)  # 2 rows before an offset of 10, say
    times = np.array([0, 1, 2, 3, 50, 55, 60])
    assert find_visible_range(times, held, 60, 60) == (2, 7)
    assert find_first_reachable(times, held) == 2
    assert find_first_reachable(times, retention(Reach(10, 0), 4, 1, has_tie=False)) == 4


def test_with_a_tie_the_latest_rows_are_of_whole_instants():
    held = retention(Reach(10, 1), 0, 1, has_tie=True)
    times = np.array([0, 1, 1, 1, 60])
    assert find_visible_range(times, held, 60, 60) == (1, 5)
    assert find_first_reachable(times, held) == 1
    index = EntityIndex()
    who = index.numbering.numbers([pa.array([7])], 1, add=True)
    index.append(RowPlaces(times, np.repeat(who, 5)))
    asked = np.array([60])
    begins, ends = find_visible_slots(index, held, who, asked, asked)
    assert index.places(ranges(begins, ends - begins)).tolist() == [1, 2, 3, 4]
    assert find_reachable_slots(index, held, who)[0].tolist() == [begins[0]]
    index.append(RowPlaces(np.array([60]), who))
    silent, begins = find_silent_slots(index, held, 81)
    assert silent.tolist() == [0]
    assert index.places(begins).tolist() == [4]
    assert len(find_silent_slots(index, held, 80)[0]) == 0


def test_an_entity_whose_rows_were_swept_grows_into_its_own_room():
    log = steps(1)
    rows = pa.table({"e": [1, 2, 3, 4], "t": [0, 1, 30, 31], "s": [""] * 4, "v": [0.0] * 4})
    who = np.array([0, 0, 1, 1], np.int32)
    log.entities(0, [pa.array([1, 2])], 2, add=True)
    log.append(rows, {}, [RowPlaces(rows["t"].to_numpy(), who)])
    assert log.sweep([22]) == 1
    more = pa.table({"e": [5], "t": [50], "s": [""], "v": [0.0]})
    log.append(more, {}, [RowPlaces(np.array([50]), who[:1])])
    assert log.seen(0, who[1:3], np.array([50, 35]), alone=True).rows.tolist() == [1, 4, 2, 3]


def test_entities_that_come_and_go_leave_nothing():
    log, most = steps(0), 0
    for now in range(0, 200_000, 1_000):
        times = now + np.arange(1_000)
        keys = pa.array(times)
        rows = pa.table({"e": keys, "t": keys, "s": ["text"] * 1_000, "v": np.zeros(1_000)})
        log.append(rows, {}, [RowPlaces(times, log.entities(0, [keys], 1_000, add=True))])
        log.sweep([int(times[-1])])
        log.tidy()
        most = max(most, log.n_stored)
        assert log.n_entities(0) <= 8_200
    assert most <= 8_200
    assert log.n_rows == 200_000
    log.tidy(now=True)
    assert log.n_entities(0) == log.n_stored == 21  # twice the reach, and the last one
    assert log.find(pa.array([199_999, 199_000])).tolist() == [199_999, -1]


def test_a_row_older_than_what_was_swept_is_too_late():
    log = steps(0)
    rows = pa.table({"e": [1, 2], "t": [0, 100], "s": ["a", "b"], "v": [0.0, 0.0]})
    who = log.entities(0, [rows["e"]], 2, add=True)
    log.append(rows, {}, [RowPlaces(rows["t"].to_numpy(), who)])
    assert log.sweep([20]) == 0  # not older than twice the reach
    assert log.sweep([21]) == 1
    assert log.swept == [0]
    asked = np.array([-2, -2, -1, 1, 1], np.int32)
    times = np.array([10, 11, 0, 99, 100])
    assert log.too_late(0, asked, times).tolist() == [True, False, False, True, False]
    assert log.sweep([None]) == 0
    log.append(rows.slice(0, 1), {}, [RowPlaces(np.array([-9]), who[:1])])
    assert log.sweep([21]) == 1
    assert log.swept == [0]
