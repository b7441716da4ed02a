"""A log of rows: what is in reach, numbers that stay, keys, ids and readers beside a writer."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock, Thread
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest

from fastfeat.errors import InvalidData
from fastfeat.ir.dtypes import FLOAT64, INT64, UTF8
from fastfeat.live.log import row_ids as ids
from fastfeat.live.log.entities import RowPlaces
from fastfeat.live.log.log import Log
from fastfeat.live.log.numbering import Numbering
from fastfeat.live.log.retention import retention
from fastfeat.live.lower.live_plan import Reach


def log_of(span: int | None = 10, n_rows: int = 1, keep: int | None = 0) -> Log:
    """Return an empty log."""
    held = [retention(Reach(span, n_rows), keep, 1, has_tie=False)]
    return Log({"id": UTF8, "e": UTF8, "t": INT64, "v": FLOAT64}, {}, held, "id")


def put_in(log: Log, e: list[str | None], t: list[int], first_id: int | None = None) -> pa.Table:
    """Add rows, and return them."""
    first = log.n_rows if first_id is None else first_id
    ids = [f"r{first + k}" for k in range(len(t))]
    rows = pa.table(
        {"id": ids, "e": pa.array(e, pa.string()), "t": t, "v": [float(time) for time in t]}
    )
    who = log.entities(0, [rows["e"]], len(t), add=True)
    log.append(rows, {}, [RowPlaces(np.array(t, np.int64), who)])
    return rows


def test_rows_of_an_entity_are_seen_as_far_as_windows_reach():
    log = log_of()
    rows = put_in(log, ["a", "b", "a", "a", None], [0, 1, 5, 20, 21])
    seen = log.seen(0, np.array([0, 1, -1], np.int32), np.array([20, 3, 3]), alone=False)
    assert seen.rows.tolist() == [2, 3, 1]
    assert seen.codes.tolist() == [0, 0, 1]
    assert seen.asking.tolist() == [0, 1, -1]
    assert log.take(seen, ["v"])["v"].to_pylist() == [5.0, 20.0, 1.0]
    assert log.table().to_pylist() == rows.slice(1, 3).to_pylist()
    log.truncate(3)
    assert log.latest(0, np.array([0, 1])).tolist() == [5, 1]


def test_an_asked_key_that_is_unknown_is_an_entity_of_its_own():
    log = log_of()
    put_in(log, ["a"], [0])
    asked = pa.array(["new", "a", None, "new", "other"])
    who = log.entities(0, [asked], 5, add=False)
    assert who.tolist() == [-2, 0, -1, -2, -3]
    seen = log.seen(0, who, np.full(5, 1), alone=False)
    assert seen.rows.tolist() == [0]
    new, known, missing, again, other = seen.asking.tolist()
    assert (missing, again) == (-1, new)
    assert len({new, known, other}) == 3
    assert seen.codes.tolist() == [known]
    assert log.n_entities(0) == 1


def test_numbers_of_rows_stay_when_rows_are_put_away():
    log = log_of()
    put_in(log, ["a"] * 50, list(range(50)))
    before = log.seen(0, np.array([0], np.int32), np.array([49]), alone=True)
    assert log.tidy(now=True)
    assert log.n_stored == 12
    assert log.rows().tolist() == list(range(38, 50))
    assert log.take(before.rows, ["t"])["t"].to_pylist() == before.rows.tolist()
    assert log.take(before, ["t"])["t"].to_pylist() == before.rows.tolist()  # of other places
    put_in(log, ["a"], [50])
    assert log.find(pa.array(["r50", "r49", "r0"])).tolist() == [50, 49, -1]
    with pytest.raises(AssertionError, match="rows are there"):
        log.take(np.array([0, 49]))


def test_rows_are_put_away_beside_readers():
    log = log_of()
    put_in(log, ["a"] * 50, list(range(50)))
    held: list[list[Any]] = []

    @contextmanager
    def lock() -> Any:
        held.append(log.table().to_pylist())  # what others read until then
        yield
        held.append(log.table().to_pylist())

    assert not log.tidy(lock=lock())
    assert log.tidy(now=True, lock=lock())
    assert held[0] == held[1]
    assert len(held) == 2


def test_readers_beside_a_writer_see_whole_calls():
    log, lock, published = log_of(span=9, n_rows=2), Lock(), [0]
    failures: list[str] = []

    def read() -> None:
        while published[0] < 20_000:
            with lock:
                n_rows = published[0]
                who = log.entities(0, [pa.array(["a"])], 1, add=False)
                last = log.latest(0, who, n_rows=n_rows)
                seen = log.seen(0, who, last, alone=True, n_rows=n_rows)
                there = log.take(seen, ["t"])["t"].to_pylist()
            if there != list(range(max(0, n_rows - 12), n_rows)):
                failures.append(f"of {n_rows}: {there}")

    readers = [Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for k in range(0, 20_000, 100):
        with lock:
            put_in(log, ["a"] * 50, list(range(k, k + 50)))
        with lock:
            put_in(log, ["a"] * 70, list(range(k + 50, k + 120)))
        with lock:
            log.truncate(k + 100)
            published[0] = k + 100
        log.tidy(lock=lock)
    for reader in readers:
        reader.join()
    assert not failures, failures[0]
    assert log.n_stored < 10_000


def test_after_an_error_a_log_is_as_it_was():
    log = log_of()
    put_in(log, ["a"], [0])
    rows = pa.table({"id": ["r1"], "e": ["a"], "t": [1], "v": ["text"]})
    with pytest.raises(Exception, match="fit saw float64, got utf8"):
        log.append(rows, {}, [RowPlaces(np.array([1]), np.array([0], np.int32))])
    with pytest.raises(InvalidData, match="is not exactly a value of type int64"):
        log.put(np.array([0]), pa.table({"v": [7.0], "t": [0.5]}))
    assert (log.n_rows, log.n_stored) == (1, 1)
    assert log.table().to_pylist() == [{"id": "r0", "e": "a", "t": 0, "v": 0.0}]
    assert log.find(pa.array(["r1"])).tolist() == [-1]


def test_an_id_out_of_reach_may_come_again():
    log = log_of(n_rows=0)
    put_in(log, ["a", "a"], [0, 100])
    assert log.find(pa.array(["r0", "r1"])).tolist() == [-1, 1]
    put_in(log, ["a"], [101], first_id=0)
    assert log.find(pa.array(["r0", "r1"])).tolist() == [2, 1]
    log.tidy(now=True)
    assert log.find(pa.array(["r0", "r1"])).tolist() == [2, 1]


def test_an_id_that_was_taken_back_is_not_that_of_the_next_row():
    for most in (1_000, 0):
        with patch.object(ids, "_MOST", most):
            log = log_of()
            put_in(log, ["a"], [0])
            put_in(log, ["a"], [1])
            log.truncate(1)
            put_in(log, ["a"], [1], first_id=7)
            assert log.find(pa.array(["r0", "r1", "r7"])).tolist() == [0, -1, 1]


def test_ids_of_one_digest_are_told_apart():
    assert hash(-1) == hash(-2)
    with patch.object(ids, "_MOST", 0):
        log = Log({"id": INT64}, {}, [retention(Reach(9, 0), 0, 1, has_tie=False)], "id")
        who = log.entities(0, [], 3, add=True)
        rows = pa.table({"id": [-1, 2**61 - 2, 5]})
        log.append(rows, {}, [RowPlaces(np.arange(3), who)])
        assert log.find(pa.array([5, -2, -1, 2**61 - 2, 2**62 - 3])).tolist() == [2, -1, 0, 1, -1]


def test_what_was_removed_was_never_there():
    log = log_of(span=100)
    put_in(log, ["a", "b", "a"], [0, 1, 5])
    log.remove(np.array([2, 1]))
    assert log.latest(0, np.array([0])).tolist() == [0]
    assert log.n_entities(0) == 1
    assert log.rows().tolist() == [0]
    assert log.find(pa.array(["r1", "r2"])).tolist() == [-1, -1]
    assert not log.too_late(0, np.array([0]), np.array([1]))[0]


def test_no_rows_at_all():
    log, none = log_of(), np.zeros(0, np.int64)
    for _ in range(2):
        put_in(log, [], [])
        assert log.table().num_rows == 0
        assert log.table().column_names == ["id", "e", "t", "v"]
        assert log.find(pa.array([], pa.string())).tolist() == []
        assert log.find(pa.array(["r0"])).tolist() == [-1]
        seen = log.seen(0, none.astype(np.int32), none, alone=False)
        assert log.take(seen).num_rows == log.take(none).num_rows == 0
        assert log.too_late(0, none.astype(np.int32), none).tolist() == []
        log.put(none, log.table(["v"]), {0: RowPlaces(none, none.astype(np.int32))})
        assert log.sweep([1_000]) == 0
        log.remove(none)
        assert log.tidy(now=True)
        put_in(log, ["a", None], [0, 0])
        log.truncate(0)
        assert log.find(pa.array(["r0"])).tolist() == [-1]
        put_in(log, [None], [0])
        log.remove(np.array([log.n_rows - 1]))
        assert log.n_stored == 0
        log = log_of()


def test_rows_of_no_order_are_in_reach_of_nobody():
    log = Log({"v": FLOAT64}, {}, [])
    log.append(pa.table({"v": [1.0]}), {}, [])
    assert log.rows().tolist() == []
    log.tidy(now=True)
    assert (log.n_rows, log.n_stored) == (1, 0)


def test_late_rows_one_by_one_stand_by_time_and_then_by_arrival():
    log = log_of(span=100)
    for time in [5, 5, 9, 5, 7, 9, 5, 1]:
        put_in(log, ["a"], [time])
    seen = log.seen(0, np.array([0], np.int32), np.array([8]), alone=True)
    assert seen.rows.tolist() == [7, 0, 1, 3, 6, 4]
    log.truncate(3)
    put_in(log, ["a"], [5])
    seen = log.seen(0, np.array([0], np.int32), np.array([9]), alone=True)
    assert seen.rows.tolist() == [0, 1, 3, 2]


def test_a_row_that_moves_stands_by_its_arrival():
    log = log_of(span=100)
    put_in(log, ["a", "a", "a"], [1, 5, 9])
    put_in(log, ["b"], [2])
    who = np.array([0, 1], np.int32)
    log.put(np.array([0]), pa.table({"t": [9]}), {0: RowPlaces(np.array([9]), who[:1])})
    asked = np.array([9, 9])
    assert log.seen(0, who, asked, alone=True).rows.tolist() == [1, 0, 2, 3]
    log.put(np.array([1]), pa.table({"e": ["b"]}), {0: RowPlaces(np.array([5]), who[1:])})
    assert log.seen(0, who, asked, alone=True).rows.tolist() == [0, 2, 3, 1]
    assert log.table(["e", "t"]).to_pylist()[:2] == [{"e": "a", "t": 9}, {"e": "b", "t": 5}]


def test_a_row_that_one_order_put_away_has_no_entity_there():
    held = [retention(Reach(span, 0), 0, 1, has_tie=False) for span in (1, 100)]
    log = Log({"id": INT64}, {}, held, "id")

    def add(key: str, times: tuple[int, int]) -> None:
        who = [log.entities(k, keys, 1, add=True) for k, keys in enumerate(([pa.array([key])], []))]
        placed = [RowPlaces(np.array([t]), e) for t, e in zip(times, who, strict=True)]
        log.append(pa.table({"id": [log.n_rows]}), {}, placed)

    add("x", (50, 50))
    assert log.sweep([1_000, None]) == 1
    log.tidy(now=True)
    add("y", (40, 60))  # has the number that x had
    assert log.find(pa.array([0, 1])).tolist() == [0, 1]
    add("z", (40, 151))
    assert log.find(pa.array([0, 1])).tolist() == [-1, 1]


def test_what_was_out_of_reach_does_not_come_back():
    log = log_of(n_rows=0)
    put_in(log, ["a", "a", "a"], [4, 12, 20])
    assert log.rows().tolist() == [1, 2]
    log.remove(np.array([2]))
    assert log.rows().tolist() == [1]
    put_in(log, ["a"], [26])
    log.put(
        np.array([3]), pa.table({"t": [16]}), {0: RowPlaces(np.array([16]), np.zeros(1, np.int32))}
    )
    assert log.rows().tolist() == [3]


def test_what_was_put_away_is_not_found_when_an_earlier_row_stays():
    log = log_of(span=None, n_rows=1)
    put_in(log, ["a", "a", "a"], [8, 9, 10])
    where = RowPlaces(np.array([0]), np.zeros(1, np.int32))
    log.put(np.array([2]), pa.table({"t": [0]}), {0: where})
    assert log.rows().tolist() == [1, 2]
    assert log.find(pa.array(["r0", "r1", "r2"])).tolist() == [-1, 1, 2]


def test_many_rows_that_are_not_in_order_of_time():
    rng = np.random.default_rng(3)
    times = rng.permutation(3_000)
    names = rng.choice(["a", "b", "c"], 3_000)
    log = log_of(span=None, n_rows=2)
    put_in(log, names[:2_000].tolist(), times[:2_000].tolist())
    put_in(log, names[2_000:].tolist(), times[2_000:].tolist())
    expected = [
        row
        for name in "abc"
        for row in sorted(np.flatnonzero(names == name), key=lambda k: times[k])[-3:]
    ]
    assert log.rows().tolist() == sorted(expected)


def test_numbers_are_given_again():
    numbering = Numbering()
    assert numbering.numbers([pa.array(["a", None, "b"])], 3, add=True).tolist() == [0, -1, 1]
    numbering.release(np.array([0]))
    assert numbering.numbers([pa.array(["a"])], 1, add=False).tolist() == [-2]
    assert numbering.numbers([pa.array(["c", "a"])], 2, add=True).tolist() == [0, 2]
    assert (numbering.n_values, numbering.n_numbers) == (3, 3)


@pytest.mark.parametrize("n", [3, 6_000])
def test_keys_are_equal_whatever_form_they_have(n: int):
    texts = [None if k % 7 == 3 else f"ä{k % 50}" for k in range(n)]
    whole = pa.array(texts, pa.string())
    forms = [
        whole,
        whole.cast(pa.large_string()),
        whole.dictionary_encode(),
        pa.chunked_array([whole[:2], whole[2:]]),
        pa.array(["x", *texts], pa.large_string()).slice(1),
        whole.cast(pa.large_string()).cast(pa.string_view()),
    ]
    numbering = Numbering()
    first, *others = [numbering.numbers([form], n, add=True).tolist() for form in forms]
    assert all(other == first for other in others)
    assert numbering.n_values == len({*texts} - {None})
    floats = pa.array(np.arange(n) % 11 / 4)
    both = [Numbering().numbers([form, floats], n, add=True).tolist() for form in (whole, forms[2])]
    assert both[0] == both[1]
    pairs = {*zip(texts, floats.to_pylist(), strict=True)}
    assert len({*both[0]} - {-1}) == len([pair for pair in pairs if None not in pair])


def test_rows_without_a_key_are_one_entity():
    numbering = Numbering()
    assert numbering.numbers([], 2, add=False).tolist() == [-2, -2]
    assert numbering.numbers([], 2, add=True).tolist() == [0, 0]
    assert numbering.numbers([], 0, add=True).tolist() == []
