"""A log of rows against lists of Python: any changes in any order, put away at any time."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastfeat.ir import dtypes
from fastfeat.live.log import entities, numbering
from fastfeat.live.log import retention as gathering
from fastfeat.live.log import row_ids as ids
from fastfeat.live.log.entities import NEVER, RowPlaces
from fastfeat.live.log.log import Log, RowsInReach
from fastfeat.live.log.retention import retention
from fastfeat.live.lower.live_plan import Reach

TYPES = {
    "id": dtypes.UTF8,
    "e": dtypes.UTF8,
    "g": dtypes.INT64,
    "t": dtypes.timestamp("ms", "Europe/Berlin"),
    "v": dtypes.FLOAT32,
    "b": dtypes.BOOL,
    "s": dtypes.UTF8,
    "l": dtypes.list_of(dtypes.UTF8),
    "d": dtypes.list_of(dtypes.DATE32),
    "none": dtypes.NULL,
}
KEPT = {"mean": dtypes.FLOAT64}
ARROW = {
    "id": pa.string(),
    "e": pa.dictionary(pa.int8(), pa.string()),
    "g": pa.int64(),
    "t": pa.timestamp("ms", "Europe/Berlin"),
    "v": pa.float32(),
    "b": pa.bool_(),
    "s": pa.string_view(),
    "l": pa.list_(pa.string()),
    "d": pa.large_list(pa.date32()),
    "none": pa.null(),
    "mean": pa.float64(),
}
DAY, EPOCH = datetime.date(2024, 1, 1), datetime.date(1970, 1, 1)
KEYS = (("e",), ("e", "g"), ())
TICK = 10**6


@dataclass
class Row:
    """A row of the model: its values, and the orders that have not put it away."""

    number: int
    values: dict[str, Any]
    there: set[int] = field(default_factory=lambda: {0, 1, 2})


class Model:
    """The definition: rows in a list, everything looked for from the start."""

    def __init__(self, reaches: list[tuple[int | None, int | None, int | None]]) -> None:
        self.rows: list[Row] = []
        self.reaches = reaches
        self.swept = [NEVER] * 3

    def entity(self, order: int, values: dict[str, Any]) -> tuple[Any, ...] | None:
        """Return the key of a row; None if it has none."""
        key = tuple(values[name] for name in KEYS[order])
        return None if None in key or values["t"] is None else key

    def members(self, order: int, key: tuple[Any, ...] | None) -> list[Row]:
        """Return the rows of an entity in order."""
        found = [
            row
            for row in self.rows
            if order in row.there and key is not None and self.entity(order, row.values) == key
        ]
        return sorted(found, key=lambda row: (row.values["t"], row.number))

    def latest(self, order: int, key: tuple[Any, ...] | None) -> int:
        """Return the latest time of an entity."""
        return max((row.values["t"] for row in self.members(order, key)), default=NEVER)

    def in_reach(self, order: int, key: tuple[Any, ...]) -> list[Row]:
        """Return the rows of an entity in reach."""
        span, n_rows, keep = self.reaches[order]
        members = self.members(order, key)
        if n_rows is None or keep is None or not members:
            return members
        cut = members[-1].values["t"] - (span or 0) - keep
        return self.from_cut(order, members, cut, n_rows)

    def from_cut(self, order: int, members: list[Row], cut: int, n_rows: int) -> list[Row]:
        """Return members from a time on, and the n latest before it."""
        before = [row for row in members if row.values["t"] < cut]
        latest = before[-n_rows:] if n_rows else []
        if order == 2 and latest:  # it has a tie
            latest = [row for row in before if row.values["t"] >= latest[0].values["t"]]
        return [row for row in members if row.values["t"] >= cut or row in latest]

    def seen(self, order: int, key: tuple[Any, ...] | None, first: int, last: int) -> list[int]:
        """Return the numbers of the rows that are seen from the first time to the last."""
        span, n_rows, _ = self.reaches[order]
        members = [row for row in self.members(order, key) if row.values["t"] <= last]
        if n_rows is not None:
            members = self.from_cut(order, members, first - (span or 0), n_rows)
        return [row.number for row in members]

    def history(self) -> list[Row]:
        """Return the rows in reach of some order."""
        reached = {
            row.number
            for order in range(3)
            for key in {self.entity(order, row.values) for row in self.rows}
            if key is not None
            for row in self.in_reach(order, key)
        }
        return [row for row in self.rows if row.number in reached]

    def put_away(self, order: int) -> None:
        """Leave the rows out of reach out for ever."""
        for key in {self.entity(order, row.values) for row in self.rows}:
            if key is not None:
                reached = self.in_reach(order, key)
                for row in self.members(order, key):
                    if row not in reached:
                        row.there.discard(order)

    def sweep(self, order: int, watermark: int) -> None:
        """Drop rows of silent entities."""
        span, n_rows, keep = self.reaches[order]
        if span is None or n_rows is None or keep is None:
            return
        for key in {self.entity(order, row.values) for row in self.rows} - {None}:
            members = self.members(order, key)
            if not members or members[-1].values["t"] >= watermark - 2 * span - keep:
                continue
            stay = self.from_cut(order, members, 10**9, n_rows)
            for row in members:
                if row not in stay:
                    row.there.discard(order)
                    self.swept[order] = max(self.swept[order], members[-1].values["t"])


def table(rows: list[dict[str, Any]], names: list[str]) -> pa.Table:
    """Return rows as a table of columns in all forms of Arrow."""
    columns: dict[str, Any] = {}
    for name in names:
        values = [row[name] for row in rows]
        kind = ARROW[name]
        if pa.types.is_dictionary(kind):
            pieces = [values[:2], values[2:]] if len(values) > 2 else [values]
            columns[name] = pa.chunked_array(
                [pa.array(piece, pa.string()).dictionary_encode() for piece in pieces]
            )
        else:
            padded = pa.array([None, *values], pa.int64() if name == "t" else kind)
            columns[name] = padded.slice(1).cast(kind)
    return pa.table(columns)


def keys_of(order: int, rows: list[dict[str, Any]]) -> list[pa.Array]:
    """Return the parts of keys as they are stored."""
    kinds = {"e": pa.large_string(), "g": pa.int64()}
    return [pa.array([row[name] for row in rows], kinds[name]) for name in KEYS[order]]


def placed(log: Log, rows: list[dict[str, Any]]) -> list[RowPlaces]:
    """Return where rows stand in each order; their keys are added."""
    times = np.array([row["t"] or 0 for row in rows], np.int64)
    there = np.array([row["t"] is not None for row in rows], np.bool_)
    return [
        RowPlaces(
            times,
            np.where(there, log.entities(k, keys_of(k, rows), len(rows), add=True), -1).astype(
                np.int32
            ),
        )
        for k in range(3)
    ]


def checked(
    log: Log,
    model: Model,
    asked: list[dict[str, Any]],
    n_rows: int | None,
    new: Sequence[dict[str, Any]] = ({"id": "never"},),
) -> None:
    """Compare all that can be asked."""
    history = model.history()
    names = [*TYPES, *KEPT]
    got = log.table(n_rows=n_rows)
    assert got.column_names == names
    plain = [{**row.values} for row in history]
    assert pythons(got) == plain
    assert log.rows(n_rows=n_rows).tolist() == [row.number for row in history]
    asked_ids = [row.values["id"] for row in model.rows] + [row["id"] for row in new]
    number_of = {row.values["id"]: row.number for row in history}
    found = log.find(pa.array(asked_ids), n_rows=n_rows).tolist()
    assert found == [number_of.get(one, -1) for one in asked_ids]
    for order in range(3):
        assert log.swept[order] == model.swept[order]
        keys = [model.entity(order, row) for row in asked]
        times = np.array([row["t"] or 0 for row in asked], np.int64)
        who = log.entities(order, keys_of(order, asked), len(asked), add=False)
        who[[key is None for key in keys]] = -1
        latest = [model.latest(order, key) for key in keys]
        assert log.latest(order, who, n_rows=n_rows).tolist() == latest
        span, limit, keep = model.reaches[order]
        late = [
            key is not None
            and (
                (model.swept[order] > NEVER and time - (span or 0) <= model.swept[order])
                or (limit is not None and keep is not None and time < last - keep)
            )
            for key, time, last in zip(keys, times.tolist(), latest, strict=True)
        ]
        assert log.too_late(order, who, times, n_rows=n_rows).tolist() == late
        on_time = [k for k, is_late in enumerate(late) if not is_late]
        keys = [keys[k] for k in on_time]
        times, who = times[on_time], who[on_time]
        alone = log.seen(order, who, times, alone=True, n_rows=n_rows)
        whole = log.seen(order, who, times, alone=False, n_rows=n_rows)
        for k, (key, time) in enumerate(zip(keys, times.tolist(), strict=True)):
            if key is None:
                assert alone.asking[k] == whole.asking[k] == -1
                continue
            assert rows_of(alone, k) == model.seen(order, key, time, time)
            if n_rows is None:
                one = log.visible_rows_of_key(order, one_key(key), time)
                assert one is not None
                assert one.latest == model.latest(order, key)
                assert one.times.tolist() == times_at(model, rows_of(alone, k))
            mine = [t for other, t in zip(keys, times.tolist(), strict=True) if other == key]
            assert rows_of(whole, k) == model.seen(order, key, min(mine), max(mine))
            same = [j for j in range(len(keys)) if whole.asking[j] == whole.asking[k]]
            assert same == [j for j in range(len(keys)) if keys[j] == key]
        assert set(whole.codes) <= set(whole.asking)
        assert (np.diff(whole.codes) >= 0).all()
        assert (np.diff(alone.codes) >= 0).all()
        by_number = {row.number: row.values for row in model.rows}
        assert pythons(log.take(alone)) == [by_number[k] for k in alone.rows.tolist()]
        assert pythons(log.take(whole.rows, ["s", "v"])) == [
            {name: by_number[k][name] for name in ("s", "v")} for k in whole.rows.tolist()
        ]


def rows_of(gathered: RowsInReach, k: int) -> list[int]:
    """Return the numbers of the rows that a row that asks sees."""
    return gathered.rows[gathered.codes == gathered.asking[k]].tolist()


def pythons(got: pa.Table) -> list[dict[str, Any]]:
    """Return a table as Python values, times as ticks."""
    if "t" in got.column_names:
        got = got.set_column(got.column_names.index("t"), "t", got["t"].cast(pa.int64()))
    return got.to_pylist()


texts = st.none() | st.sampled_from(["", "ä", "plane", "b" * 30])
row_values: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "e": st.none() | st.sampled_from(["x", "ÿ", ""]),
        "g": st.none() | st.sampled_from([0, 7]),
        "t": st.none() | st.integers(0, 12),
        "v": st.none() | st.floats(width=32, allow_nan=False),
        "b": st.none() | st.booleans(),
        "s": texts,
        "l": st.none() | st.lists(texts, max_size=3),
        "d": st.none() | st.lists(st.none() | st.just(DAY), max_size=2),
        "none": st.none(),
        "mean": st.none() | st.floats(allow_nan=False),
    }
)
reaches = st.tuples(
    st.none() | st.integers(1, 6), st.none() | st.integers(0, 3), st.none() | st.integers(0, 4)
).map(lambda r: (1, 0, r[2]) if r[:2] == (None, 0) else r)
kinds = st.sampled_from(
    ["append", "append", "append", "add", "undo", "put", "move", "remove", "sweep", "tidy"]
)


def drawn_rows(data: st.DataObject, model: Model, base: int, n: int) -> list[dict[str, Any]]:
    """Return rows to come, about as late as the earlier ones."""
    first = len(model.rows)
    rows = data.draw(st.lists(row_values, min_size=1, max_size=n), label="rows")
    for k, row in enumerate(rows):
        row["id"] = f"{base}:{first + k}"
        row["t"] = None if row["t"] is None else row["t"] + base
    return rows


@settings(deadline=None)
@given(st.data())
def test_log_equals_lists(data: st.DataObject) -> None:
    check_log(data, most=9)


@settings(deadline=None)
@given(st.data())
def test_log_whose_parts_are_large_equals_lists(data: st.DataObject) -> None:
    with (
        patch.multiple(ids, _MOST=2, _STEP=3),
        patch.multiple(numbering, _BULK=2, _LARGE=3),
        patch.object(entities, "_BULK", 2),
        patch.object(gathering, "_FEW", 0),
    ):
        check_log(data, most=9)


@pytest.mark.slow
@settings(deadline=None, max_examples=2000)
@given(st.data())
def test_log_equals_lists_for_long(data: st.DataObject) -> None:
    check_log(data, most=40)


def check_log(data: st.DataObject, most: int) -> None:
    model = Model(data.draw(st.lists(reaches, min_size=3, max_size=3), label="reaches"))
    held = [
        retention(
            Reach(None if span is None else span * TICK, n_rows),
            None if keep is None else keep * TICK,
            TICK,
            has_tie=k == 2,
        )
        for k, (span, n_rows, keep) in enumerate(model.reaches)
    ]
    log = Log(TYPES, KEPT, held, "id")
    number = 0
    for base, kind in enumerate(data.draw(st.lists(kinds, min_size=1, max_size=most))):
        base *= 2
        there = model.history()
        match kind:
            case "append" | "undo":
                rows = drawn_rows(data, model, base, 6)
                before = log.n_rows
                asked = [{**row, "t": row["t"] and row["t"] + 3} for row in rows]
                given_rows = table(rows, list(TYPES))
                kept = {"mean": table(rows, ["mean"])["mean"]}
                log.append(given_rows, kept, placed(log, rows))
                checked(log, model, asked, before, rows)
                if kind == "undo":
                    log.truncate(before)
                else:
                    model.rows += [Row(number + k, row) for k, row in enumerate(rows)]
                    number += len(rows)
                checked(log, model, asked, None)
            case "add":
                row = drawn_rows(data, model, base, 1)[0]
                assert log.lacks_id(row["id"])
                keys = [one_key(model.entity(k, row)) for k in range(3)]
                days = row["d"] and [
                    None if one is None else (one - EPOCH).days for one in row["d"]
                ]
                log.add({**row, "d": days}, [(key, row["t"] or 0) for key in keys])
                model.rows.append(Row(number, row))
                number += 1
                assert not log.lacks_id(row["id"])
                checked(log, model, [{**row, "t": row["t"] and row["t"] + 3}], None)
            case "put" | "move" if there:
                chosen = data.draw(st.lists(st.sampled_from(there), unique_by=id, min_size=1))
                chosen.sort(key=lambda row: row.number)
                news = data.draw(st.lists(row_values, min_size=len(chosen), max_size=len(chosen)))
                names = ["v", "s", "l", "b", "d", "mean"]
                names += ["t", "e", "g"] if kind == "move" else []
                numbers = np.array([row.number for row in chosen])
                if kind == "move":
                    for row, new in zip(chosen, news, strict=True):
                        for order in range(3):  # what stood in the order is settled before
                            key = model.entity(order, row.values)
                            stays = (key, row.values["t"]) == (model.entity(order, new), new["t"])
                            if key is not None and order in row.there and not stays:
                                settle(model, order, key)
                    where = dict(enumerate(placed(log, news)))
                    log.put(numbers, table(news, names), where)
                else:
                    log.put(numbers, table(news, names))
                for row, new in zip(chosen, news, strict=True):
                    changed = {name: new[name] for name in names}
                    for order in range(3):
                        if kind == "move":  # what was put away by one order comes there again
                            row.there.add(order)
                    row.values = {**row.values, **changed}
                checked(log, model, news_with_ids(news), None)
            case "remove" if there:
                chosen = data.draw(st.lists(st.sampled_from(there), unique_by=id, min_size=1))
                for order in range(3):
                    model.put_away(order)
                model.rows = [row for row in model.rows if row not in chosen]
                log.remove(np.array(sorted(row.number for row in chosen)))
                checked(log, model, [row.values for row in chosen], None)
            case "sweep":
                marks = data.draw(
                    st.lists(st.none() | st.integers(0, base + 20), min_size=3, max_size=3)
                )
                for order, mark in enumerate(marks):
                    if mark is not None:
                        model.sweep(order, mark)
                log.sweep(marks)
                checked(log, model, [row.values for row in model.rows], None)
            case "tidy":
                log.tidy(now=True)
                assert log.n_stored == len(there)
                checked(log, model, [row.values for row in model.rows], None)
            case _:
                pass


def one_key(key: tuple[Any, ...] | None) -> Any:
    """Return the key of an entity as one value, text as bytes; None for none."""
    if key is None:
        return None
    parts = [part.encode() if isinstance(part, str) else part for part in key]
    return parts[0] if len(parts) == 1 else tuple(parts)


def settle(model: Model, order: int, key: tuple[Any, ...]) -> None:
    """Leave the rows of an entity out of reach out for ever."""
    reached = model.in_reach(order, key)
    for row in model.members(order, key):
        if row not in reached:
            row.there.discard(order)


def news_with_ids(news: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows to ask, with a column of ids."""
    return [{**row, "id": "new"} for row in news]


def times_at(model: Model, numbers: list[int]) -> list[int]:
    """Return the times of rows, by their numbers."""
    of = {row.number: row.values["t"] for row in model.rows}
    return [of[number] for number in numbers]
